/* import: the lines of a file of keys (lines.c) become writes, many under way at once, in a
 * session: one whose answer was lost is sent again, and is applied once.
 *
 * A file is read through first, and nothing is written of one that is not whole (CLIENT-34); from a
 * pipe what is wrong is found where it stands. What is acknowledged without a gap from the first
 * line on stands in FILE.progress, from where the same command goes on after an interruption. Lines
 * of one key are written one behind the other (CLIENT-35). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/keys_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

struct import;

/* A write that is under way, or answered and behind one that is not. */
struct slot {
    struct import *import; /* borrowed */
    bool answered;
    uint64_t number; /* of the line */
    size_t bytes;
    struct ridd_key key;
    char text[KEY_STRING_BYTES_MAX + 1];
};

struct import {
    struct ctl *ctl;
    const char *name;
    int fd;
    bool is_file; /* it was read through, and can be again */
    struct stat st;
    struct keys_cluster cluster;
    struct ridd *client; /* owned */
    struct lines lines;
    struct line line; /* the next to be written, if there is one */
    bool has_line;
    bool end;

    uint64_t n_total;  /* keys of the file; 0: not known */
    uint32_t crc;      /* of all of it */
    uint64_t n_before; /* keys that an earlier run had written */
    uint64_t n_done;   /* acknowledged, without a gap, those included */
    uint64_t n_begun;
    uint64_t n_kept; /* --create: other values that stand where they did */

    struct slot slots[CTL_KEYS_WRITES]; /* key number n at n % CTL_KEYS_WRITES */
    size_t bytes;                       /* of those under way */
    struct ridd_reply *failed;          /* owned: of the line that failed */
    uint64_t failed_number;
    bool wrong;              /* lines.why says what */
    char progress[PATH_MAX]; /* "": none is kept */
    uint64_t n_noted;        /* of n_done */
    uint64_t began_us;
    uint64_t note_us; /* not before: again */
    struct meter meter;
};

/* ---- the file ---- */

static int fail_lines(const struct import *m)
{
    return report(m->ctl, CTL_EXIT_USAGE, "%s", m->lines.why);
}

static int open_file(struct import *m)
{
    const char *arg = m->ctl->args[0];

    if (strcmp(arg, "-") == 0) {
        m->name = "standard input";
        m->fd = STDIN_FILENO;
    } else {
        m->name = arg;
        m->fd = open(arg, O_RDONLY | O_CLOEXEC);
    }
    if (m->fd < 0 || fstat(m->fd, &m->st) != 0)
        return report(m->ctl, CTL_EXIT_USAGE, "cannot open '%s': %s", arg, strerror(errno));
    m->is_file = S_ISREG(m->st.st_mode) && m->fd != STDIN_FILENO;
    return CTL_EXIT_OK;
}

/* Reads it through and counts. */
static int check_file(struct import *m)
{
    struct lines *l = &m->lines;
    enum lines_outcome outcome;
    struct line line;

    lines_begin(l, m->fd, m->name);
    while ((outcome = lines_read(l, &line)) == LINES_KEY)
        line_done(&line);
    if (outcome == LINES_WRONG)
        return report(m->ctl, CTL_EXIT_USAGE, "%s; nothing was written", l->why);
    m->n_total = l->n_keys;
    m->crc = l->crc;
    return CTL_EXIT_OK;
}

static int rewind_file(struct import *m)
{
    lines_done(&m->lines);
    lines_begin(&m->lines, m->fd, m->name);
    if (m->is_file && lseek(m->fd, 0, SEEK_SET) < 0)
        return report(m->ctl, CTL_EXIT_USAGE, "cannot read '%s' again: %s", m->name,
                      strerror(errno));
    return CTL_EXIT_OK;
}

static int dry_run(struct import *m)
{
    const json_t *header = m->lines.header;
    const char *cluster = json_string_value(json_object_get(header, "cluster"));
    struct doc d = DOC_INIT;

    if (!m->ctl->json) {
        (void)printf("%s: %llu keys%s%.64s, the file is whole; nothing was written\n", m->name,
                     (unsigned long long)m->n_total, cluster != NULL ? " of cluster " : "",
                     cluster != NULL ? cluster : "");
        return CTL_EXIT_OK;
    }
    doc_open(&d, NULL, '{');
    doc_bool(&d, "ok", true);
    doc_u64(&d, "keys", m->n_total);
    doc_bool(&d, "dry_run", true);
    doc_close(&d, '}');
    return doc_print(&d, m->ctl);
}

/* ---- how far it is ---- */

static int add_progress(const struct import *m, struct buf *buf)
{
    return buf_add_format(buf,
                          "{\"ridd_import\":%llu,\"bytes\":%llu,\"crc32c\":%lu,\"create\":%s,"
                          "\"cluster_hash\":\"%s\"}\n",
                          (unsigned long long)m->n_done, (unsigned long long)m->st.st_size,
                          (unsigned long)m->crc, m->ctl->create ? "true" : "false",
                          m->cluster.hash);
}

/* Under another name first, so that what is there is whole. It need not be durable: what it does
 * not say is written once more. */
static void note_progress(struct import *m)
{
    cleanup_buf struct buf buf = BUF_INIT;
    char path[PATH_MAX + 8];
    bool written;
    int fd;

    if (m->progress[0] == '\0' || m->n_done == m->n_noted || add_progress(m, &buf) != 0)
        return;
    (void)snprintf(path, sizeof(path), "%s.new", m->progress);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        written = write(fd, buf.data, buf.len) == (ssize_t)buf.len;
        if (close(fd) == 0 && written && rename(path, m->progress) == 0) {
            m->n_noted = m->n_done;
            return;
        }
        (void)unlink(path);
    }
    m->progress[0] = '\0'; /* it begins anew then, which does no harm */
}

static bool is_of_this(const struct import *m, const json_t *o)
{
    const char *hash = json_string_value(json_object_get(o, "cluster_hash"));

    return json_integer_value(json_object_get(o, "bytes")) == (json_int_t)m->st.st_size &&
           json_integer_value(json_object_get(o, "crc32c")) == (json_int_t)m->crc &&
           json_is_true(json_object_get(o, "create")) == m->ctl->create && hash != NULL &&
           strcmp(hash, m->cluster.hash) == 0 && m->cluster.hash[0] != '\0';
}

/* What an earlier run has noted, if it is of this file and this cluster. */
static void take_progress(struct import *m)
{
    cleanup_json json_t *o = NULL;
    json_int_t n;

    if (!m->is_file || (size_t)snprintf(m->progress, sizeof(m->progress), "%s.progress", m->name) >=
                           sizeof(m->progress)) {
        m->progress[0] = '\0';
        return;
    }
    if (access(m->progress, F_OK) != 0)
        return;
    o = json_load_file(m->progress, JSON_REJECT_DUPLICATES, NULL);
    n = json_integer_value(json_object_get(o, "ridd_import"));
    if (n <= 0 || (uint64_t)n > m->n_total || !is_of_this(m, o)) {
        (void)fprintf(stderr,
                      "import: %s is of another file, cluster or way to write: beginning anew\n",
                      m->progress);
        return;
    }
    m->n_before = m->n_done = m->n_noted = m->n_begun = (uint64_t)n;
    (void)fprintf(stderr, "import: going on behind the first %llu keys, as %s says\n",
                  (unsigned long long)n, m->progress);
}

static void show(struct import *m)
{
    const double s = (double)(clock_mono_us() - m->began_us + 1) / 1e6;
    const double per_s = (double)(m->n_done - m->n_before) / s;

    if (clock_mono_us() >= m->note_us) {
        note_progress(m);
        m->note_us = clock_mono_us() + CTL_PROGRESS_EVERY_MS * UINT64_C(1000);
    }
    if (!meter_is_due(&m->meter))
        return;
    if (m->n_total > 0)
        meter_say(&m->meter, m->ctl, m->n_done, m->n_total, "%llu of %llu keys, %.0f a second",
                  (unsigned long long)m->n_done, (unsigned long long)m->n_total, per_s);
    else
        meter_say(&m->meter, m->ctl, 0, 0, "%llu keys, %.0f a second",
                  (unsigned long long)m->n_done, per_s);
}

/* ---- writes ---- */

static void take_answer(struct import *m, const struct slot *slot, struct ridd_reply *r)
{
    const bool kept = r->status == RIDD_PRECONDITION_FAILED && m->ctl->create;

    m->n_kept += kept;
    if (r->status == RIDD_OK || kept || (m->failed != NULL && m->failed_number < slot->number)) {
        ridd_reply_free(r);
        return;
    }
    ridd_reply_free(m->failed);
    m->failed = r;
    m->failed_number = slot->number;
}

static void written(struct ridd *client, struct ridd_reply *r, void *arg)
{
    struct slot *slot = arg;
    struct import *m = slot->import;

    (void)client;
    slot->answered = true;
    m->bytes -= slot->bytes;
    take_answer(m, slot, r);
    /* Up to the first that is not acknowledged, and no further. */
    while (m->n_done < m->n_begun && m->slots[m->n_done % CTL_KEYS_WRITES].answered &&
           (m->failed == NULL || m->slots[m->n_done % CTL_KEYS_WRITES].number < m->failed_number))
        m->n_done++;
}

/* Writes that are under way may change places. */
static bool is_under_way(const struct import *m, struct ridd_key key)
{
    for (uint64_t n = m->n_done; n < m->n_begun; n++) {
        const struct slot *slot = &m->slots[n % CTL_KEYS_WRITES];

        if (!slot->answered && key_compare(slot->key, key) == 0)
            return true;
    }
    return false;
}

/* Absent, it becomes `value`; equal, it stays; another value is left alone. */
static void describe(const struct import *m, const char *value, struct ridd_op *op)
{
    *op = ridd_op(m->ctl->create ? RIDD_OP_CAS : RIDD_OP_PUT);
    op->key = m->line.key;
    op->value = ridd_value_json(value);
    op->from = op->value;
    op->create = 1;
}

/* False: no memory, or none just now. */
static bool start(struct import *m)
{
    struct slot *slot = &m->slots[m->n_begun % CTL_KEYS_WRITES];
    cleanup_free char *value = json_dumps(m->line.value, JSON_ENCODE_ANY | JSON_COMPACT);
    struct ridd_op op;

    if (value == NULL)
        return false;
    describe(m, value, &op);
    *slot = (struct slot){
        .import = m, .number = m->lines.number, .bytes = strlen(value), .key = m->line.key};
    if (slot->key.string != NULL) {
        (void)snprintf(slot->text, sizeof(slot->text), "%s", m->line.key.string);
        slot->key.string = slot->text;
    }
    if (ridd_async_start(m->client, &op, written, slot) == 0)
        return false;
    m->bytes += slot->bytes;
    m->n_begun++;
    line_done(&m->line);
    m->has_line = false;
    return true;
}

/* The next line that is to be written; false: there is none, now or ever. */
static bool next_line(struct import *m)
{
    while (!m->has_line && !m->end) {
        enum lines_outcome outcome =
            m->is_file ? lines_read(&m->lines, &m->line) : lines_next(&m->lines, &m->line);

        if (outcome == LINES_NEED)
            return false;
        m->end = outcome != LINES_KEY;
        m->wrong = outcome == LINES_WRONG;
        m->has_line = outcome == LINES_KEY;
        if (m->has_line && m->lines.n_keys <= m->n_before) { /* an earlier run has written it */
            line_done(&m->line);
            m->has_line = false;
        }
    }
    return m->has_line;
}

static int fill(struct import *m)
{
    while (m->failed == NULL && m->n_begun - m->n_done < CTL_KEYS_WRITES &&
           m->bytes < CTL_KEYS_BYTES_MAX && next_line(m)) {
        if (is_under_way(m, m->line.key))
            return CTL_EXIT_OK;
        if (!start(m))
            return report_no_memory(m->ctl);
    }
    return CTL_EXIT_OK;
}

/* For an answer, or, where one may be used, for more of the pipe. */
static int wait_for_more(struct import *m)
{
    const bool hungry = !m->is_file && !m->end && !m->has_line && m->failed == NULL &&
                        m->n_begun - m->n_done < CTL_KEYS_WRITES && m->bytes < CTL_KEYS_BYTES_MAX;
    struct pollfd fds[2] = {{.fd = ridd_async_fd(m->client), .events = POLLIN},
                            {.fd = hungry ? m->fd : -1, .events = POLLIN}};
    const int timeout_ms = ridd_async_timeout_ms(m->client);
    int rc;

    if (poll(fds, 2,
             timeout_ms >= 0 && timeout_ms < (int)CTL_PROGRESS_EVERY_MS
                 ? timeout_ms
                 : (int)CTL_PROGRESS_EVERY_MS) < 0 &&
        errno != EINTR)
        return report(m->ctl, CTL_EXIT_SYSTEM, "cannot wait: %s", strerror(errno));
    (void)ridd_process(m->client);
    if (fds[1].revents == 0)
        return CTL_EXIT_OK;
    rc = lines_fill(&m->lines);
    if (rc != 0)
        return report(m->ctl, CTL_EXIT_USAGE, "cannot read %s: %s", m->name, strerror(-rc));
    return CTL_EXIT_OK;
}

static int write_all(struct import *m)
{
    int exit_code = CTL_EXIT_OK;

    while (exit_code == CTL_EXIT_OK) {
        exit_code = fill(m);
        if (exit_code == CTL_EXIT_OK && ridd_async_pending(m->client) == 0 &&
            (m->failed != NULL || (m->end && !m->has_line)))
            break;
        if (exit_code == CTL_EXIT_OK)
            exit_code = wait_for_more(m);
        if (exit_code == CTL_EXIT_OK)
            show(m);
    }
    meter_end(&m->meter);
    note_progress(m);
    return exit_code;
}

/* ---- the end ---- */

static void say_stopped(const struct import *m)
{
    char total[40] = "";

    if (m->n_done == 0) {
        (void)fprintf(stderr, "import: stopped: no key is known to be written\n");
        return;
    }
    if (m->n_total > 0)
        (void)snprintf(total, sizeof(total), " of %llu", (unsigned long long)m->n_total);
    (void)fprintf(stderr, "import: stopped: the first %llu%s keys are written; %s\n",
                  (unsigned long long)m->n_done, total,
                  m->progress[0] != '\0' && m->n_done > 0 ? "the same command goes on behind them"
                                                          : "to write them again does no harm");
}

static int fail_write(const struct import *m)
{
    char where[128];

    say_stopped(m);
    (void)snprintf(where, sizeof(where), "%.90s:%llu", m->name,
                   (unsigned long long)m->failed_number);
    return report_failure(m->ctl, m->failed, where);
}

static int print_done(const struct import *m)
{
    const double s = (double)(clock_mono_us() - m->began_us) / 1e6;
    const uint64_t n = m->n_done - m->n_before;
    struct doc d = DOC_INIT;

    if (m->ctl->json) {
        doc_open(&d, NULL, '{');
        doc_bool(&d, "ok", m->n_kept == 0);
        doc_u64(&d, "keys", m->n_done);
        doc_u64(&d, "written", n - m->n_kept);
        doc_u64(&d, "kept", m->n_kept);
        doc_ms(&d, "elapsed_ms", clock_mono_us() - m->began_us);
        doc_close(&d, '}');
        return doc_print(&d, m->ctl);
    }
    (void)printf("%llu keys written in %.1f s", (unsigned long long)(n - m->n_kept), s);
    if (m->n_before > 0)
        (void)printf(", %llu before", (unsigned long long)m->n_before);
    (void)puts("");
    return CTL_EXIT_OK;
}

static int finish(struct import *m)
{
    int exit_code;

    if (m->failed != NULL)
        return fail_write(m);
    if (m->wrong) { /* of a pipe, or a file that was changed meanwhile */
        say_stopped(m);
        return fail_lines(m);
    }
    if (m->progress[0] != '\0')
        (void)unlink(m->progress);
    exit_code = print_done(m);
    if (exit_code == CTL_EXIT_OK && m->n_kept > 0)
        return report(m->ctl, CTL_EXIT_PRECONDITION,
                      m->n_kept == 1 ? "%llu key had another value, and was left alone (--create)"
                                     : "%llu keys had other values, and were left alone (--create)",
                      (unsigned long long)m->n_kept);
    return exit_code;
}

static int import_run(struct import *m)
{
    int exit_code = open_file(m);

    if (exit_code == CTL_EXIT_OK && (m->is_file || m->ctl->dry_run))
        exit_code = check_file(m);
    if (exit_code == CTL_EXIT_OK && m->ctl->dry_run)
        return dry_run(m);
    if (exit_code == CTL_EXIT_OK)
        exit_code = rewind_file(m);
    if (exit_code == CTL_EXIT_OK)
        exit_code = keys_open(m->ctl, RIDD_FLAG_SESSION, &m->cluster, &m->client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    take_progress(m);
    m->began_us = clock_mono_us();
    meter_begin(&m->meter);
    exit_code = write_all(m);
    return exit_code == CTL_EXIT_OK ? finish(m) : exit_code;
}

int verb_import(struct ctl *ctl)
{
    struct import *m = calloc(1, sizeof(*m));
    int exit_code;

    if (m == NULL)
        return report_no_memory(ctl);
    m->ctl = ctl;
    m->fd = -1;
    exit_code = import_run(m);
    ridd_close(m->client); /* callbacks may run in here */
    ridd_reply_free(m->failed);
    line_done(&m->line);
    lines_done(&m->lines);
    if (m->fd > STDIN_FILENO)
        (void)close(m->fd);
    free(m);
    return exit_code;
}
