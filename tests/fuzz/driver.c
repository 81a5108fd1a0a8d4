/* Runs a fuzz target without libFuzzer. As a unit test: over its corpus, then over some thousand
 * mutations of corpus and seeds. With names of files or folders: over those (a crash). With
 * --write-seeds FOLDER: writes the seeds there, for libFuzzer to begin with.
 *
 * FUZZ_RUNS and FUZZ_SEED change number and sequence of the mutations, FUZZ_SAVE names a file that
 * holds the input being run, for when it ends the program. The corpus is found by $srcdir. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

#pragma weak LLVMFuzzerCustomMutator

static struct prng prng;

/* ---- running one input ---- */

static void save(const char *path, const unsigned char *data, size_t len)
{
    FILE *f = fopen(path, "wb");

    if (f == NULL)
        return;
    (void)fwrite(data, 1, len, f);
    (void)fclose(f);
}

/* From a block of exactly that size, so that the sanitizer sees every byte read behind it. */
static void run_exact(const unsigned char *data, size_t len)
{
    static const char *path;
    static bool asked;
    unsigned char *exact = malloc(len > 0 ? len : 1);

    if (exact == NULL)
        abort();
    if (!asked)
        path = getenv("FUZZ_SAVE");
    asked = true;
    if (path != NULL)
        save(path, data, len);
    if (len > 0)
        memcpy(exact, data, len);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

/* ---- files ---- */

struct inputs {
    struct buf *list; /* owned */
    size_t n;
};

static struct buf *inputs_add(struct inputs *in)
{
    struct buf *list = realloc(in->list, (in->n + 1) * sizeof(*list));

    if (list == NULL)
        abort();
    in->list = list;
    buf_init(&list[in->n]);
    return &list[in->n++];
}

static void inputs_done(struct inputs *in)
{
    for (size_t i = 0; i < in->n; i++)
        buf_done(&in->list[i]);
    free(in->list);
    *in = (struct inputs){0};
}

static int load_file(const char *path, struct inputs *in)
{
    static unsigned char bytes[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (f == NULL)
        return -errno;
    n = fread(bytes, 1, sizeof(bytes), f);
    (void)fclose(f);
    if (buf_add(inputs_add(in), bytes, n) != 0)
        abort();
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* A file, or every file of a folder by name. */
static int load(const char *path, struct inputs *in)
{
    struct dirent **names = NULL;
    int n = scandir(path, &names, NULL, by_name);
    int r = 0;

    if (n < 0 && errno == ENOTDIR)
        return load_file(path, in);
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        char file[4096];

        (void)snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
        if (r == 0 && names[i]->d_name[0] != '.')
            r = load_file(file, in);
        free(names[i]);
    }
    free(names);
    return r;
}

static void load_seeds(struct inputs *in)
{
    unsigned i = 0;

    while (fuzz_seed(i, inputs_add(in)) == 0)
        i++;
    in->n--; /* the last one asked for was none */
    buf_done(&in->list[in->n]);
}

static int run_files(int n, char **paths)
{
    for (int i = 0; i < n; i++) {
        struct inputs in = {0};
        int r = load(paths[i], &in);

        if (r != 0) {
            (void)fprintf(stderr, "cannot read '%s': %s\n", paths[i], strerror(-r));
            return 1;
        }
        for (size_t k = 0; k < in.n; k++)
            run_exact(in.list[k].data, in.list[k].len);
        inputs_done(&in);
    }
    return 0;
}

static int write_seeds(const char *folder)
{
    struct inputs in = {0};

    load_seeds(&in);
    for (size_t i = 0; i < in.n; i++) {
        char path[4096];

        (void)snprintf(path, sizeof(path), "%s/seed-%02zu", folder, i);
        save(path, in.list[i].data, in.list[i].len);
    }
    inputs_done(&in);
    return 0;
}

/* ---- mutation ---- */

static void insert(struct buf *b, size_t at, const unsigned char *data, size_t len)
{
    if (buf_reserve(b, len) == NULL)
        abort();
    memmove(b->data + at + len, b->data + at, b->len - at);
    memcpy(b->data + at, data, len);
    b->len += len;
}

/* One change of those that find most: bits, edge values, cuts, doubled parts, parts of another
 * input. */
static void mutate(struct prng *p, struct buf *b, const unsigned char *other, size_t other_len)
{
    static const unsigned char edges[] = {0,   1,   0x7f, 0x80, 0xff, '"', '\\',
                                          '{', '}', '[',  ']',  '0',  '-'};
    size_t at = prng_below(p, b->len + 1);
    size_t len = prng_below(p, 1 + (b->len - at < 16 ? b->len - at : 16));
    unsigned char part[16];

    switch (prng_below(p, 6)) {
    case 0:
        if (at < b->len)
            b->data[at] ^= (unsigned char)(1u << prng_below(p, 8));
        break;
    case 1:
        if (at < b->len)
            b->data[at] = edges[prng_below(p, sizeof(edges))];
        break;
    case 2:
        b->len = at;
        break;
    case 3: /* cut out */
        memmove(b->data + at, b->data + at + len, b->len - at - len);
        b->len -= len;
        break;
    case 4: /* say twice */
        memcpy(part, b->data + at, len);
        insert(b, at, part, len);
        break;
    default:
        len = prng_below(p, 1 + (other_len < 16 ? other_len : 16));
        if (len > 0)
            memcpy(part, other + prng_below(p, other_len - len + 1), len);
        insert(b, at, part, len);
        break;
    }
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    cleanup_buf struct buf b = BUF_INIT;
    size_t len;

    if (buf_reserve(&b, size + 64) == NULL || buf_add(&b, data, size) != 0)
        abort();
    mutate(&prng, &b, data, size);
    len = b.len < max_size ? b.len : max_size;
    if (len > 0)
        memcpy(data, b.data, len);
    return len;
}

static void mutate_input(struct buf *b, const struct buf *other)
{
    for (uint64_t n = 1 + prng_below(&prng, 4); n > 0; n--) {
        if (LLVMFuzzerCustomMutator != NULL) {
            if (buf_reserve(b, 256) == NULL)
                abort();
            b->len = LLVMFuzzerCustomMutator(b->data, b->len, b->size, (unsigned)prng_next(&prng));
        } else {
            mutate(&prng, b, other->data, other->len);
        }
    }
}

/* ---- the unit test ---- */

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);

    return s != NULL ? strtoull(s, NULL, 0) : otherwise;
}

static void load_corpus(struct inputs *in)
{
    const char *srcdir = getenv("srcdir");
    char path[4096];
    int r;

    (void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".",
                   fuzz_name);
    r = load(path, in);
    if (r != 0)
        fail_msg("cannot read '%s': %s", path, strerror(-r));
}

static void fuzz__corpus(void **state)
{
    struct inputs in = {0};

    (void)state;
    load_corpus(&in);
    assert_true(in.n > 0);
    for (size_t i = 0; i < in.n; i++)
        run_exact(in.list[i].data, in.list[i].len);
    inputs_done(&in);
}

static void fuzz__mutations(void **state)
{
    uint64_t n_runs = from_environment("FUZZ_RUNS", fuzz_runs);
    struct inputs in = {0};

    (void)state;
    load_seeds(&in);
    assert_true(in.n > 0);
    for (size_t i = 0; i < in.n; i++) /* each seed once as it is */
        run_exact(in.list[i].data, in.list[i].len);
    load_corpus(&in);
    prng_init(&prng, from_environment("FUZZ_SEED", 1));
    for (uint64_t i = 0; i < n_runs; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        const struct buf *from = &in.list[prng_below(&prng, in.n)];
        const struct buf *other = &in.list[prng_below(&prng, in.n)];

        if (buf_add(&b, from->data, from->len) != 0)
            abort();
        mutate_input(&b, other);
        run_exact(b.data, b.len);
    }
    inputs_done(&in);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fuzz__corpus),
                                       cmocka_unit_test(fuzz__mutations)};

    if (argc == 3 && strcmp(argv[1], "--write-seeds") == 0)
        return write_seeds(argv[2]);
    if (argc > 1)
        return run_files(argc - 1, argv + 1);
    return cmocka_run_group_tests_name(fuzz_name, tests, NULL, NULL);
}
