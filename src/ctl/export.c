/* export: keys and values as lines of JSON (lines.c), in the order of the pages: strings by their
 * bytes, then integers by number.
 *
 * A page is of one index, the next one of a later, where something was written between: the header
 * says of which index the first was, the trailer of which the last. Where both are the same, the
 * file is the state at that index; otherwise each key is as it was at some moment between
 * (CLIENT-33).
 *
 * With --save it grows in FILE.part, which needs no notes of its own: the last whole line says
 * where to go on. FILE is there when all of it is there, durably. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "ctl/keys_int.h"
#include "ctl/part_int.h"

#include "base/banned.h"

struct export
{
    const struct ctl *ctl;
    struct keys_cluster cluster;
    struct pages pages;
    struct ridd *client; /* owned */
    struct part part;    /* with --save */
    int fd;              /* of that, borrowed, or standard output */
    struct buf out;      /* lines on their way */
    uint32_t crc;        /* of all lines so far */
    uint64_t n_keys;
    uint64_t n_found; /* of them, that an earlier run had left */
    uint64_t from;    /* index of the first page; 0: there is no header yet */
    char last_text[KEY_STRING_BYTES_MAX + 1]; /* of the last key that was left */
    struct ridd_key last;
    bool has_last;
    unsigned tries;
    uint64_t began_us;
    struct meter meter;
};

/* What export_kind() and the like give besides exit codes: the index moved. */
#define EXPORT_MOVED (-1)

/* ---- writing ---- */

static int fail_file(const struct export *e, const char *what, const char *path)
{
    return report(e->ctl, CTL_EXIT_OUTPUT, "cannot %s '%s': %s", what, path, strerror(errno));
}

static int flush(struct export *e)
{
    const unsigned char *data = e->out.data;
    size_t left = e->out.len;

    while (left > 0) {
        const ssize_t n = write(e->fd, data, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_file(e, "write", e->ctl->save != NULL ? e->part.path : "standard output");
        data += n;
        left -= (size_t)n;
    }
    buf_reset(&e->out, CTL_KEYS_BYTES_MAX);
    return CTL_EXIT_OK;
}

/* A line is in e->out from `from` on, without its end. */
static int end_line(struct export *e, size_t from, int rc)
{
    if (rc == 0)
        rc = buf_add_u8(&e->out, '\n');
    if (rc != 0)
        return report_no_memory(e->ctl);
    e->crc = crc32c(e->crc, e->out.data + from, e->out.len - from);
    return CTL_EXIT_OK;
}

static struct header header_of(const struct export *e)
{
    return (struct header){
        .cluster = e->cluster.name,
        .cluster_hash = e->cluster.hash,
        .prefix = e->ctl->n_args > 0 ? e->ctl->args[0] : NULL,
        .via = ridd_via_name(e->ctl->via),
        .index = e->pages.first_index,
    };
}

static int write_header(struct export *e)
{
    const struct header header = header_of(e);
    const size_t from = e->out.len;

    e->from = e->pages.first_index;
    return end_line(e, from, lines_add_header(&e->out, &header));
}

static int write_page(struct export *e)
{
    const struct ridd_reply *r = e->pages.reply;
    int exit_code = CTL_EXIT_OK;

    if (e->from == 0)
        exit_code = write_header(e);
    for (size_t i = 0; i < r->n_items && exit_code == CTL_EXIT_OK; i++) {
        const size_t from = e->out.len;

        exit_code = end_line(e, from, lines_add_key(&e->out, &r->items[i]));
        e->n_keys++;
    }
    return exit_code == CTL_EXIT_OK ? flush(e) : exit_code;
}

static int write_trailer(struct export *e)
{
    const size_t from = e->out.len;

    return end_line(e, from, lines_add_trailer(&e->out, e->n_keys, e->crc, &e->pages));
}

/* ---- what an earlier run has left ---- */

/* Why nothing of it can be gone on with; NULL: something can. */
static const char *why_not(const struct export *e, const struct lines *l)
{
    const struct header header = header_of(e);

    if (e->ctl->via == RIDD_VIA_LOCAL) /* nobody has kept how far the node had come */
        return "pages by local are of any age";
    if (l->header == NULL)
        return "it does not begin as one";
    if (!lines_header_is(l->header, &header))
        return "it is of another cluster, prefix or method";
    if (json_integer_value(json_object_get(l->header, "index")) <= 0)
        return "it does not say its index";
    return NULL;
}

/* Copied: the line goes. */
static void take_last(struct export *e, struct ridd_key key)
{
    e->last = key;
    if (key.string != NULL) {
        (void)snprintf(e->last_text, sizeof(e->last_text), "%s", key.string);
        e->last.string = e->last_text;
    }
    e->has_last = true;
}

/* Keys up to the last line that is good and behind the one in front of it. */
static uint64_t take_left(struct export *e, struct lines *l)
{
    uint64_t bytes = 0;
    struct line line;

    while (lines_read(l, &line) == LINES_KEY) {
        const bool in_order = !e->has_last || key_compare(line.key, e->last) > 0;

        if (bytes == 0) { /* the header is behind us, and is no key */
            const char *why = why_not(e, l);

            if (why != NULL) {
                line_done(&line);
                return 0;
            }
        }
        if (!in_order || l->buf.data[l->at - 1] != '\n') { /* the next one would go on in it */
            line_done(&line);
            break;
        }
        take_last(e, line.key);
        line_done(&line);
        bytes = l->bytes;
        e->crc = l->crc;
        e->n_keys = l->n_keys;
    }
    if (bytes != 0)
        e->from = (uint64_t)json_integer_value(json_object_get(l->header, "index"));
    return bytes;
}

static void begin_anew(struct export *e)
{
    e->crc = 0;
    e->n_keys = e->n_found = e->from = 0;
    e->has_last = false;
}

static int resume(struct export *e)
{
    struct stat st;
    struct lines l;
    uint64_t bytes;

    if (fstat(e->fd, &st) != 0)
        return fail_file(e, "read", e->part.path);
    if (st.st_size == 0)
        return CTL_EXIT_OK;
    lines_begin(&l, e->fd, e->part.path);
    bytes = take_left(e, &l);
    e->n_found = e->n_keys;
    if (bytes == 0) {
        const char *why = l.header != NULL || l.why[0] == '\0' ? why_not(e, &l) : l.why;

        begin_anew(e);
        (void)fprintf(stderr, "export: %s cannot be gone on with (%s): beginning anew\n",
                      e->part.path, why != NULL ? why : "it holds no key yet");
    } else {
        (void)fprintf(stderr, "export: going on behind the %llu keys of %s\n",
                      (unsigned long long)e->n_keys, e->part.path);
    }
    lines_done(&l);
    if (ftruncate(e->fd, (off_t)bytes) != 0 || lseek(e->fd, (off_t)bytes, SEEK_SET) < 0)
        return fail_file(e, "write", e->part.path);
    return CTL_EXIT_OK;
}

static int open_part(struct export *e)
{
    char why[RIDD_TEXT_SIZE];
    const int exit_code = part_open(&e->part, e->ctl->save, why);

    if (exit_code != CTL_EXIT_OK)
        return report(e->ctl, exit_code, "%s", why);
    e->fd = e->part.fd;
    return resume(e);
}

static int place_part(struct export *e)
{
    char why[RIDD_TEXT_SIZE];
    const int exit_code = part_place(&e->part, e->ctl->save, why);

    return exit_code == CTL_EXIT_OK ? exit_code : report(e->ctl, exit_code, "%s", why);
}

/* ---- pages ---- */

static void show(struct export *e)
{
    const uint64_t us = clock_mono_us() - e->began_us + 1;

    if (meter_is_due(&e->meter))
        meter_say(&e->meter, e->ctl, 0, 0, "%llu keys, %.0f a second",
                  (unsigned long long)e->n_keys,
                  (double)(e->n_keys - e->n_found) * 1e6 / (double)us);
}

static int fail_page(struct export *e)
{
    meter_end(&e->meter);
    if (e->ctl->save != NULL && e->n_keys > 0)
        (void)fprintf(stderr, "export: %llu keys are in %s; the same command goes on from there\n",
                      (unsigned long long)e->n_keys, e->part.path);
    return pages_report(e->ctl, &e->pages, false);
}

/* Keys of one kind, from where it is. */
static int export_kind(struct export *e, bool int_keys)
{
    struct pages *p = &e->pages;

    p->int_keys = int_keys;
    p->has_after = e->has_last;
    p->after = e->last;
    p->more = true;
    while (p->more) {
        int exit_code;

        if (!pages_next(p))
            return fail_page(e);
        if (e->ctl->one_index && p->last_index != p->first_index)
            return EXPORT_MOVED;
        exit_code = write_page(e);
        if (exit_code != CTL_EXIT_OK)
            return exit_code;
        show(e);
    }
    e->has_last = false;
    return CTL_EXIT_OK;
}

/* From the beginning, or from where an earlier run had come to. */
static int export_all(struct export *e)
{
    struct pages *p = &e->pages;
    int exit_code = CTL_EXIT_OK;

    *p = (struct pages){.client = e->client, .via = e->ctl->via};
    p->first_index = p->last_index = e->from;
    p->prefix = e->ctl->n_args > 0 ? e->ctl->args[0] : NULL;
    if (!e->has_last || e->last.string != NULL)
        exit_code = export_kind(e, false);
    if (exit_code == CTL_EXIT_OK && p->prefix == NULL)
        exit_code = export_kind(e, true);
    if (exit_code == CTL_EXIT_OK)
        exit_code = write_trailer(e);
    return exit_code == CTL_EXIT_OK ? flush(e) : exit_code;
}

/* Of one index, or not at all: what went out to a pipe cannot be taken back. */
static int export_anew(struct export *e)
{
    const struct pages *p = &e->pages;

    if (e->ctl->save == NULL || e->tries == CTL_ONE_INDEX_TRIES) {
        e->n_keys = 0; /* no use in going on with them */
        return report(
            e->ctl, CTL_EXIT_AGAIN,
            "the cluster is written to meanwhile (index %llu, then %llu): these pages are "
            "not of one index; 'ridctl snapshot --save' has all keys of one",
            (unsigned long long)p->first_index, (unsigned long long)p->last_index);
    }
    e->tries++;
    pages_done(&e->pages);
    begin_anew(e);
    buf_reset(&e->out, 0);
    if (ftruncate(e->fd, 0) != 0 || lseek(e->fd, 0, SEEK_SET) < 0)
        return fail_file(e, "write", e->part.path);
    return CTL_EXIT_OK;
}

static void say_done(const struct export *e)
{
    const struct pages *p = &e->pages;
    const double s = (double)(clock_mono_us() - e->began_us) / 1e6;
    char index[96];

    pages_text(e->n_keys, e->from, p->last_index, index, sizeof(index));
    if (e->ctl->save != NULL)
        (void)printf("%s saved in %s, in %.1f s\n", index, e->ctl->save, s);
    else if (e->from != p->last_index || e->ctl->verbose)
        (void)fprintf(stderr, "export: %s\n", index);
    if (!p->linearizable)
        (void)fprintf(stderr, "export: not linearizable: it may be old\n");
    if (e->from != p->last_index)
        (void)fprintf(stderr, "export: written to meanwhile: each key is as it was at some moment "
                              "between; --one-index refuses that\n");
}

static int export_run(struct export *e)
{
    int exit_code = e->ctl->save != NULL ? open_part(e) : CTL_EXIT_OK;

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    e->began_us = clock_mono_us();
    meter_begin(&e->meter);
    do {
        exit_code = export_all(e);
        if (exit_code == EXPORT_MOVED) {
            meter_end(&e->meter);
            exit_code = export_anew(e);
            if (exit_code == CTL_EXIT_OK)
                exit_code = EXPORT_MOVED;
        }
    } while (exit_code == EXPORT_MOVED);
    meter_end(&e->meter);
    if (exit_code == CTL_EXIT_OK && e->ctl->save != NULL)
        exit_code = place_part(e);
    if (exit_code == CTL_EXIT_OK)
        say_done(e);
    return exit_code;
}

int verb_export(struct ctl *ctl)
{
    struct export e = {.ctl = ctl, .part = {.fd = -1}, .fd = STDOUT_FILENO, .out = BUF_INIT};
    int exit_code = keys_open(ctl, RIDD_FLAG_MONOTONIC, &e.cluster, &e.client);

    if (exit_code == CTL_EXIT_OK)
        exit_code = export_run(&e);
    part_close(&e.part, e.n_keys > 0);
    pages_done(&e.pages);
    buf_done(&e.out);
    ridd_close(e.client);
    return exit_code;
}
