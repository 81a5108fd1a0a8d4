/* Runs every transcript of a folder: one test per file.
 *
 * A transcript is text: comments and blank lines, and blocks of one or more command lines, a line
 * of four dashes, what the commands print, and a blank line. The file is worked through from the
 * top and written again as it goes, with the outputs of today in place of those in the file; it
 * passes when the two texts are the same. `--rewrite` keeps the new text: read every line of the
 * difference before committing it.
 *
 *     run-transcripts                    all of $srcdir/tests/transcripts
 *     run-transcripts a.txt b.txt        these
 *     run-transcripts --rewrite [...] */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "world.h"

#include "base/banned.h"

#define FILES_MAX 256u
#define LINES_MAX 20000u

struct lines {
    char **v; /* borrowed pieces of one buffer */
    size_t n;
};

static bool rewrite_wanted;

static int read_file(const char *path, struct buf *ret_text)
{
    cleanup_file FILE *f = fopen(path, "r");
    unsigned char piece[4096];
    size_t n;

    if (f == NULL)
        return err_origin(err_say(-errno, "cannot open '%s': %s", path, strerror(errno)));
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        if (buf_add(ret_text, piece, n) != 0)
            return err_origin(-ENOMEM);
    if (ferror(f))
        return err_origin(err_say(-EIO, "cannot read '%s'", path));
    return buf_add_u8(ret_text, 0);
}

static int write_file(const char *path, const struct buf *text)
{
    FILE *f = fopen(path, "w");
    bool good;

    if (f == NULL)
        return err_origin(err_say(-errno, "cannot open '%s': %s", path, strerror(errno)));
    good = fwrite(text->data, 1, text->len, f) == text->len;
    if (fclose(f) != 0 || !good)
        return err_origin(err_say(-EIO, "cannot write '%s'", path));
    return 0;
}

/* Cuts text in place; the last line may lack its newline. */
static void cut(char *text, struct lines *ret_lines)
{
    ret_lines->v = malloc(LINES_MAX * sizeof(char *));
    ret_lines->n = 0;
    if (ret_lines->v == NULL)
        abort();
    while (*text != '\0' && ret_lines->n < LINES_MAX) {
        char *end = strchr(text, '\n');

        ret_lines->v[ret_lines->n++] = text;
        if (end == NULL)
            break;
        *end = '\0';
        text = end + 1;
    }
}

/* The transcript with the outputs of today. */
static void play(const struct lines *in, struct buf *ret_text)
{
    struct world *w = world_new();
    size_t i = 0;

    while (i < in->n) {
        size_t first = i;

        if (in->v[i][0] == '\0' || in->v[i][0] == '#') {
            (void)buf_add_format(ret_text, "%s\n", in->v[i++]);
            continue;
        }
        while (i < in->n && in->v[i][0] != '\0' && strcmp(in->v[i], "----") != 0)
            (void)buf_add_format(ret_text, "%s\n", in->v[i++]);
        (void)buf_add_str(ret_text, "----\n");
        for (size_t k = first; k < i; k++)
            world_run(w, in->v[k], ret_text);
        /* The old output ends with a blank line. */
        while (i < in->n && in->v[i][0] != '\0')
            i++;
    }
    world_free(w);
}

/* A difference in the form of diff -U2, by the longest common subsequence. */
static void print_diff(const char *path, const struct lines *a, const struct lines *b)
{
    size_t width = b->n + 1;
    cleanup_free uint32_t *lcs = calloc((a->n + 1) * width, sizeof(*lcs));
    cleanup_free char *mark = NULL;
    cleanup_free const char **text = NULL;
    size_t n = 0, i = 0, j = 0;

    if (lcs == NULL)
        return;
    for (i = a->n; i-- > 0;)
        for (j = b->n; j-- > 0;) {
            uint32_t down = lcs[(i + 1) * width + j], right = lcs[i * width + j + 1];

            lcs[i * width + j] = strcmp(a->v[i], b->v[j]) == 0 ? lcs[(i + 1) * width + j + 1] + 1
                                 : down > right                ? down
                                                               : right;
        }
    mark = malloc(a->n + b->n + 1);
    text = malloc((a->n + b->n + 1) * sizeof(*text));
    if (mark == NULL || text == NULL)
        return;
    for (i = j = 0; i < a->n || j < b->n; n++) {
        if (i < a->n && j < b->n && strcmp(a->v[i], b->v[j]) == 0) {
            mark[n] = ' ';
            text[n] = a->v[i++];
            j++;
        } else if (i < a->n && (j == b->n || lcs[(i + 1) * width + j] >= lcs[i * width + j + 1])) {
            mark[n] = '-';
            text[n] = a->v[i++];
        } else {
            mark[n] = '+';
            text[n] = b->v[j++];
        }
    }
    print_message("--- %s: expected\n+++ %s: printed now\n", path, path);
    for (size_t k = 0, shown = 0; k < n; k++) {
        bool near = false;

        for (size_t o = k > 2 ? k - 2 : 0; o <= k + 2 && o < n; o++)
            near = near || mark[o] != ' ';
        if (!near)
            continue;
        if (k > 0 && shown != k)
            print_message("@@\n");
        print_message("%c%s\n", mark[k], text[k]);
        shown = k + 1;
    }
}

static void run_file(void **state)
{
    const char *path = *state;
    cleanup_buf struct buf was = BUF_INIT;
    cleanup_buf struct buf copy = BUF_INIT;
    cleanup_buf struct buf now = BUF_INIT;
    struct lines in = {0}, out = {0};
    bool same;

    if (read_file(path, &was) != 0)
        fail_msg("%s", err_text());
    assert_int_equal(buf_add(&copy, was.data, was.len), 0);
    cut((char *)copy.data, &in);
    play(&in, &now);
    same = now.len + 1 == was.len && memcmp(now.data, was.data, now.len) == 0;
    if (!same && rewrite_wanted) {
        int r = write_file(path, &now);

        free(in.v);
        if (r != 0)
            fail_msg("%s", err_text());
        print_message("rewritten: %s\n", path);
        return;
    }
    if (!same) {
        assert_int_equal(buf_add_u8(&now, 0), 0);
        cut((char *)now.data, &out);
        print_diff(path, &in, &out);
    }
    free(in.v);
    free(out.v);
    if (!same)
        fail_msg("%s prints something else now", path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t list_folder(char **paths)
{
    const char *srcdir = getenv("srcdir");
    char folder[512];
    cleanup_dir DIR *d = NULL;
    struct dirent *e;
    size_t n = 0;

    (void)snprintf(folder, sizeof(folder), "%s/tests/transcripts", srcdir != NULL ? srcdir : ".");
    d = opendir(folder);
    while (d != NULL && (e = readdir(d)) != NULL && n < FILES_MAX) {
        size_t len = strlen(e->d_name);
        size_t size = strlen(folder) + len + 2;

        if (len < 5 || strcmp(e->d_name + len - 4, ".txt") != 0)
            continue;
        paths[n] = malloc(size);
        if (paths[n] == NULL)
            abort();
        (void)snprintf(paths[n++], size, "%s/%s", folder, e->d_name);
    }
    if (n == 0)
        fprintf(stderr, "no transcripts in '%s': set srcdir\n", folder);
    qsort(paths, n, sizeof(paths[0]), by_name);
    return n;
}

int main(int argc, char **argv)
{
    static char *paths[FILES_MAX];
    static struct CMUnitTest tests[FILES_MAX];
    size_t n = 0;
    int failed;

    for (int i = 1; i < argc && n < FILES_MAX; i++) {
        if (strcmp(argv[i], "--rewrite") == 0) {
            rewrite_wanted = true;
            continue;
        }
        paths[n] = strdup(argv[i]);
        if (paths[n++] == NULL)
            abort();
    }
    if (n == 0)
        n = list_folder(paths);
    for (size_t i = 0; i < n; i++) {
        const char *slash = strrchr(paths[i], '/');

        tests[i] = (struct CMUnitTest){.name = slash != NULL ? slash + 1 : paths[i],
                                       .test_func = run_file,
                                       .initial_state = paths[i]};
    }
    failed = n > 0 ? _cmocka_run_group_tests("transcripts", tests, n, NULL, NULL) : 1;
    for (size_t i = 0; i < n; i++)
        free(paths[i]);
    return failed;
}
