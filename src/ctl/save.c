/* snapshot --save, backup save: the newest snapshot of a node, part by part, into a file.
 *
 *   FILE.part      what has come so far
 *   FILE.part-of   of which node and snapshot that is, and when it was begun:
 *                  "NODE INDEX TERM BYTES SECONDS"
 *   FILE           only when all of it is there, is what its trailer says, and is durable
 *
 * Whoever is interrupted goes on where it was the next time, as long as the node still has that
 * snapshot. Nobody else's memory is needed for it: the server keeps nothing of its clients.
 *
 * A backup may go to standard output as well, as it comes: its label, at the end of all, is written
 * when the rest was found to be whole, so that a stream that was cut has none. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "ctl/part_int.h"
#include "ctl/snapshot_int.h"
#include "snap/snap.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

#define SAVE_PART_OF_BYTES (SAVE_NODE_BYTES + 128)

struct saving {
    const struct ctl *ctl;
    const struct ctl_node *node;
    struct snapshot_outcome *o;
    struct ridd *client; /* owned: of this node alone */
    struct part part;
    char part_of[PATH_MAX];
    uint64_t index;
    uint64_t term;
    uint64_t bytes;   /* of the whole */
    uint64_t at;      /* so much is there */
    const char *file; /* borrowed; NULL: standard output */
    bool goes_on;
    struct backup_label *label; /* borrowed; NULL: a snapshot, which has none */
    uint64_t begun_s;           /* this one, or the run that began it */
    unsigned char *end; /* owned; the last bytes of all that came, as far as they are read */
    size_t n_end;       /* of SNAP_TRAILER_BYTES */
    uint32_t crc;       /* standard output: of what came before these */
    size_t trailer;     /* at the end of `end`, once it was found */
    uint64_t began_us;
    uint64_t began_at;
    uint64_t deadline_us;
    uint64_t show_us; /* not before: the bar again */
    bool bar;
};

static const char *name_of(const struct ctl_node *node)
{
    return node->name[0] != '\0' ? node->name : node->endpoint;
}

/* ---- files ---- */

static int fail_file(struct saving *s, const char *what, const char *path)
{
    return snapshot_fail(s->o, CTL_EXIT_OUTPUT, "output", "cannot %s '%s': %s", what, path,
                         strerror(errno));
}

static bool name_files(struct saving *s)
{
    return part_name(&s->part, s->file) &&
           (size_t)snprintf(s->part_of, sizeof(s->part_of), "%s.part-of", s->file) <
               sizeof(s->part_of);
}

/* What was begun, whosever it is; index 0: nothing. */
static void read_part_of(const char *path, const char *part, struct save_begun *ret)
{
    char text[SAVE_PART_OF_BYTES];
    unsigned long long n[4] = {0};
    struct stat st;
    int n_read;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (fd >= 0)
        (void)close(fd);
    text[len > 0 ? len : 0] = '\0';
    *ret = (struct save_begun){0};
    /* NOLINTNEXTLINE(cert-err34-c): numbers that make no sense are nothing that was begun */
    n_read = sscanf(text, "%326s %llu %llu %llu %llu", ret->node, &n[0], &n[1], &n[2], &n[3]);
    if (n_read < 4 || n[0] == 0 || n[1] == 0 || n[2] == 0 || stat(part, &st) != 0)
        return;
    ret->index = n[0];
    ret->term = n[1];
    ret->bytes = n[2];
    ret->begun_s = n[3];
    ret->at = (uint64_t)st.st_size < n[2] ? (uint64_t)st.st_size : n[2];
}

/* Goes on with what was begun, if that is of this node. */
static void go_on(struct saving *s)
{
    struct save_begun b;

    read_part_of(s->part_of, s->part.path, &b);
    if (strcmp(b.node, name_of(s->node)) != 0)
        return;
    s->index = b.index;
    s->term = b.term;
    s->bytes = b.bytes;
    s->at = b.at;
    if (b.begun_s != 0)
        s->begun_s = b.begun_s;
}

static int write_part_of(struct saving *s)
{
    char text[SAVE_PART_OF_BYTES];
    const int len = snprintf(text, sizeof(text), "%s %llu %llu %llu %llu\n", name_of(s->node),
                             (unsigned long long)s->index, (unsigned long long)s->term,
                             (unsigned long long)s->bytes, (unsigned long long)s->begun_s);
    int fd = open(s->part_of, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written;

    if (fd < 0)
        return fail_file(s, "write", s->part_of);
    written = write(fd, text, (size_t)len) == len;
    if (close(fd) != 0 || !written)
        return fail_file(s, "write", s->part_of);
    return CTL_EXIT_OK;
}

static int fail_part(struct saving *s, int exit_code, const char *why)
{
    return snapshot_fail(s->o, exit_code,
                         exit_code == CTL_EXIT_AGAIN    ? "busy"
                         : exit_code == CTL_EXIT_USAGE  ? "usage"
                         : exit_code == CTL_EXIT_SYSTEM ? "no_memory"
                                                        : "output",
                         "%s", why);
}

/* What is there is of no use. */
static void forget(struct saving *s)
{
    (void)unlink(s->part_of);
    s->index = s->term = s->bytes = s->at = 0;
}

/* The last bytes are kept, for there the trailer will be; what comes before them is of the copy for
 * certain, and counts for its checksum. */
static void keep_end(struct saving *s, const unsigned char *data, size_t n)
{
    const size_t all = s->n_end + n;
    size_t over = all > SNAP_TRAILER_BYTES ? all - SNAP_TRAILER_BYTES : 0;
    const size_t of_end = over < s->n_end ? over : s->n_end;

    s->crc = crc32c(s->crc, s->end, of_end);
    s->n_end -= of_end;
    memmove(s->end, s->end + of_end, s->n_end);
    over -= of_end;
    s->crc = crc32c(s->crc, data, over);
    memcpy(s->end + s->n_end, data + over, n - over);
    s->n_end += n - over;
}

static int write_out(struct saving *s, const unsigned char *data, size_t n)
{
    while (n > 0) {
        const ssize_t done = write(STDOUT_FILENO, data, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return snapshot_fail(s->o, CTL_EXIT_OUTPUT, "output",
                                 "cannot write to standard output: %s", strerror(errno));
        data += done;
        n -= (size_t)done;
    }
    return CTL_EXIT_OK;
}

static int add_out(struct saving *s, const unsigned char *data, size_t n)
{
    int exit_code = write_out(s, data, n);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    keep_end(s, data, n);
    s->at += n;
    return CTL_EXIT_OK;
}

static int add(struct saving *s, const unsigned char *data, size_t n)
{
    if (s->file == NULL)
        return add_out(s, data, n);
    while (n > 0) {
        const ssize_t done = pwrite(s->part.fd, data, n, (off_t)s->at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail_file(s, "write", s->part.path);
        data += done;
        n -= (size_t)done;
        s->at += (uint64_t)done;
    }
    return CTL_EXIT_OK;
}

static bool read_all(const struct saving *s, unsigned char *p, size_t n, uint64_t offset)
{
    while (n > 0) {
        const ssize_t done = pread(s->part.fd, p, n, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
        offset += (uint64_t)done;
    }
    return true;
}

/* ---- parts ---- */

static uint64_t num(const json_t *o, const char *name)
{
    const json_int_t v = json_integer_value(json_object_get(o, name));

    return v > 0 ? (uint64_t)v : 0;
}

static int fail_garbled(struct saving *s, const char *what)
{
    return snapshot_fail(s->o, CTL_EXIT_AGAIN, "damaged", "a part came damaged (%s); try again",
                         what);
}

/* Nothing is left of what was begun, and the newest of the node may be of before its caller began
 * (BACKUP-5). */
static int fail_gone(struct saving *s)
{
    if (s->file != NULL)
        forget(s);
    return snapshot_fail(s->o, CTL_EXIT_AGAIN, SAVE_GONE,
                         "the node has let go of that snapshot meanwhile: try again");
}

/* The first part says which snapshot it is of: the one that was made for it, or a later one. */
static int take_first(struct saving *s, const json_t *part)
{
    s->index = num(part, "index");
    s->term = num(part, "term");
    s->bytes = num(part, "bytes");
    if (s->index == 0 || s->term == 0 || s->bytes == 0)
        return fail_garbled(s, "it does not say what it is of");
    if (s->index < s->o->index)
        return fail_gone(s);
    if (s->file == NULL)
        return CTL_EXIT_OK;
    if (ftruncate(s->part.fd, 0) != 0)
        return fail_file(s, "write", s->part.path);
    return write_part_of(s);
}

static int take_part(struct saving *s, const json_t *part)
{
    const json_t *text = json_object_get(part, "part");
    const size_t text_len = json_string_length(text);
    cleanup_free unsigned char *data = malloc(base64_bytes_max(text_len) + 1);
    size_t len = 0;

    if (data == NULL)
        return snapshot_fail(s->o, CTL_EXIT_SYSTEM, "no_memory", "out of memory");
    if (num(part, "index") != s->index || num(part, "term") != s->term ||
        num(part, "bytes") != s->bytes || num(part, "offset") != s->at)
        return fail_garbled(s, "it is not the one that was asked for");
    if (!json_is_string(text) || !base64_decode(json_string_value(text), text_len, data, &len) ||
        len > s->bytes - s->at)
        return fail_garbled(s, "it is no Base64 of the right length");
    if (crc32c(0, data, len) != num(part, "crc32c"))
        return fail_garbled(s, "its checksum");
    if (len == 0 && s->at < s->bytes)
        return fail_garbled(s, "it is empty");
    return add(s, data, len);
}

static void show(struct saving *s)
{
    const uint64_t now_us = clock_mono_us();
    const uint64_t us = now_us - s->began_us + 1;
    const double per_s = (double)(s->at - s->began_at) * 1e6 / (double)us;

    if (!s->bar || s->bytes == 0 || now_us < s->show_us)
        return;
    s->show_us = now_us + CTL_PROGRESS_EVERY_MS * UINT64_C(1000);
    bar_draw(s->at, s->bytes, "%s: %llu %%, %.1f MiB/s, about %.0f s left", name_of(s->node),
             (unsigned long long)(s->at * 100 / s->bytes), per_s / (1 << 20),
             per_s > 0 ? (double)(s->bytes - s->at) / per_s : 0.0);
}

/* That snapshot is not there (any more), and others may be. */
static bool is_gone(const struct ridd_reply *r)
{
    return r->status == RIDD_MALFORMED && r->json != NULL &&
           strstr(r->json, "\"field\":\"index\"") != NULL;
}

/* One part. *ret_gone: it is of a snapshot that the node has no more. */
static int fetch_part(struct saving *s, bool *ret_gone)
{
    struct ridd_reply *r = ridd_snapshot_part(s->client, s->index, s->term, s->at);
    cleanup_json json_t *part = NULL;
    int exit_code = CTL_EXIT_OK;

    if (r->status == RIDD_OK)
        part = json_loadb(r->json, r->json_len, 0, NULL);
    *ret_gone = is_gone(r) && s->index != 0;
    if (r->status != RIDD_OK)
        exit_code = snapshot_fail_reply(s->o, r);
    else if (s->index == 0)
        exit_code = take_first(s, part);
    if (exit_code == CTL_EXIT_OK)
        exit_code = take_part(s, part);
    ridd_reply_free(r);
    return exit_code;
}

static int fail_stopped(struct saving *s)
{
    size_t len;

    if (s->bytes == 0 || s->at == 0)
        return s->o->exit_code;
    len = strlen(s->o->text);
    if (s->file == NULL)
        (void)snprintf(s->o->text + len, sizeof(s->o->text) - len,
                       "; what was written is no backup");
    else
        (void)snprintf(s->o->text + len, sizeof(s->o->text) - len,
                       "; the same command goes on from %llu %%",
                       (unsigned long long)(s->at * 100 / s->bytes));
    return s->o->exit_code;
}

static int fetch(struct saving *s)
{
    bool gone = false;

    do {
        int exit_code = fetch_part(s, &gone);

        if (gone && s->file == NULL)
            return fail_stopped(s); /* half of it is with whoever reads it */
        if (gone && s->label != NULL)
            return fail_gone(s);
        if (gone) {
            memset(s->o, 0, sizeof(*s->o));
            forget(s);
            continue;
        }
        if (exit_code == CTL_EXIT_OK && s->at < s->bytes && clock_mono_us() >= s->deadline_us)
            exit_code = snapshot_fail(s->o, CTL_EXIT_AGAIN, "timeout", "the time is over");
        if (exit_code != CTL_EXIT_OK)
            return fail_stopped(s);
        show(s);
    } while (gone || s->at < s->bytes);
    return CTL_EXIT_OK;
}

/* ---- the whole ---- */

/* What all must add up to stands at its end (SNAP-16). False: not even that is good. */
static bool find_trailer(struct saving *s, struct snap_meta *ret)
{
    s->trailer = snap_tail_find(s->end, s->n_end);
    return s->trailer != 0 && s->trailer <= s->n_end &&
           snap_meta_decode(s->end + (s->n_end - s->trailer), s->trailer, ret) == 0 &&
           ret->id.index == s->index && ret->id.term == s->term &&
           ret->body_bytes + s->trailer == s->bytes;
}

static bool is_whole(struct saving *s)
{
    cleanup_free unsigned char *piece = malloc(SNAP_CHECK_BYTES);
    struct snap_meta m;
    uint32_t crc = 0;
    size_t n;

    s->n_end = s->bytes < SNAP_TRAILER_BYTES ? (size_t)s->bytes : SNAP_TRAILER_BYTES;
    if (piece == NULL || !read_all(s, s->end, s->n_end, s->bytes - s->n_end) ||
        !find_trailer(s, &m))
        return false;
    for (uint64_t at = 0; at < m.body_bytes; at += n) {
        n = m.body_bytes - at < SNAP_CHECK_BYTES ? (size_t)(m.body_bytes - at) : SNAP_CHECK_BYTES;
        if (!read_all(s, piece, n, at))
            return false;
        crc = crc32c(crc, piece, n);
    }
    return crc == m.body_crc;
}

static bool was_whole(struct saving *s)
{
    struct snap_meta m;

    return find_trailer(s, &m) && crc32c(s->crc, s->end, s->n_end - s->trailer) == m.body_crc;
}

static int encode_label(struct saving *s, struct buf *buf)
{
    s->label->begun_s = s->begun_s;
    if (backup_label_encode(s->label, s->bytes, s->end + (s->n_end - s->trailer), s->trailer,
                            buf) != 0)
        return snapshot_fail(s->o, CTL_EXIT_SYSTEM, "no_memory", "out of memory");
    return CTL_EXIT_OK;
}

/* It speaks for all before it, and is the last thing that comes. */
static int add_label(struct saving *s)
{
    cleanup_buf struct buf label = BUF_INIT;
    int exit_code = encode_label(s, &label);

    if (exit_code == CTL_EXIT_OK && s->file == NULL)
        return write_out(s, label.data, label.len);
    if (exit_code == CTL_EXIT_OK) {
        s->at = s->bytes; /* behind it the file may be longer, of a run before */
        exit_code = add(s, label.data, label.len);
    }
    return exit_code;
}

static int put_in_place(struct saving *s)
{
    char why[RIDD_TEXT_SIZE];
    int exit_code;

    if (ftruncate(s->part.fd, (off_t)s->at) != 0)
        return fail_file(s, "write", s->part.path);
    exit_code = part_place(&s->part, s->file, why);
    if (!s->part.locked)
        (void)unlink(s->part_of); /* it has its name */
    return exit_code == CTL_EXIT_OK ? exit_code : fail_part(s, exit_code, why);
}

static int fail_damaged(struct saving *s)
{
    if (s->file != NULL)
        forget(s);
    return snapshot_fail(s->o, CTL_EXIT_AGAIN, "damaged",
                         "what came does not add up to what its end says; %s: try again, and see "
                         "the log of the node",
                         s->file != NULL ? "nothing was saved" : "what was written is no backup");
}

static int finish(struct saving *s)
{
    if (s->file != NULL ? !is_whole(s) : !was_whole(s))
        return fail_damaged(s);
    if (s->label != NULL && add_label(s) != CTL_EXIT_OK)
        return s->o->exit_code;
    if (s->file != NULL && put_in_place(s) != CTL_EXIT_OK)
        return s->o->exit_code;
    s->o->index = s->index;
    s->o->bytes = s->at;
    s->o->elapsed_us = clock_mono_us() - s->began_us;
    s->o->file = s->file != NULL ? s->file : "standard output";
    return CTL_EXIT_OK;
}

/* ---- */

bool save_begun(const char *file, struct save_begun *ret)
{
    struct saving s = {.file = file};

    *ret = (struct save_begun){0};
    if (name_files(&s))
        read_part_of(s.part_of, s.part.path, ret);
    return ret->index != 0;
}

static int begin_file(struct saving *s)
{
    char why[RIDD_TEXT_SIZE];
    int exit_code;

    if (!name_files(s))
        return fail_part(s, CTL_EXIT_USAGE, "the name of the file is too long");
    exit_code = part_open(&s->part, s->file, why);
    if (exit_code != CTL_EXIT_OK)
        return fail_part(s, exit_code, why);
    if (s->goes_on)
        go_on(s);
    else
        (void)unlink(s->part_of); /* of one that ended: who is killed now leaves it to nobody */
    /* Another ridctl may have ended with it since it was looked at, and the caller counts on it. */
    if (s->goes_on && s->label != NULL && s->index == 0)
        return fail_gone(s);
    return CTL_EXIT_OK;
}

static int begin(struct saving *s)
{
    const struct ridd_options options = {.timeout_ms = s->ctl->timeout_ms,
                                         .flags = RIDD_FLAG_IMPATIENT | RIDD_FLAG_LISTED_ONLY};

    s->end = malloc(SNAP_TRAILER_BYTES);
    if (s->end == NULL ||
        cluster_dial(s->ctl, s->node->endpoint, &options, &s->client) != CTL_EXIT_OK)
        return snapshot_fail(s->o, CTL_EXIT_SYSTEM, "no_memory", "out of memory");
    return s->file != NULL ? begin_file(s) : CTL_EXIT_OK;
}

int save_snapshot(const struct ctl *ctl, const struct ctl_node *node, const char *file,
                  bool goes_on, struct backup_label *label, uint64_t deadline_us,
                  struct snapshot_outcome *o)
{
    struct saving s = {.ctl = ctl,
                       .node = node,
                       .o = o,
                       .file = file,
                       .goes_on = goes_on,
                       .label = label,
                       .part = {.fd = -1},
                       .begun_s = label != NULL ? label->begun_s : (uint64_t)time(NULL),
                       .began_us = clock_mono_us(),
                       .deadline_us = deadline_us,
                       .bar = bar_is_shown()};

    if (begin(&s) == CTL_EXIT_OK) {
        s.began_at = s.at;
        if (fetch(&s) == CTL_EXIT_OK)
            (void)finish(&s);
        if (s.bar)
            bar_clear();
    }
    part_close(&s.part, s.bytes != 0);
    ridd_close(s.client);
    free(s.end);
    return o->exit_code;
}
