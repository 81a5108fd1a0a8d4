/* backup verify and inspect: what a file is, and whether it is whole. No server is asked, and none
 * is needed; LMDB neither. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "ctl/backup_int.h"
#include "kv/kv.h"
#include "snap/backup.h"

#include "base/banned.h"

struct looking {
    struct ctl *ctl;
    int fd; /* owned, but for standard input */
    struct backup b;
    struct kv_copy_info info;
    bool reads_all;
    bool bar;
};

/* ---- the file ---- */

/* What comes from a pipe can be read once, and a backup is read from its end: it is kept where
 * temporary files are, without a name. */
static int keep_input(struct looking *l)
{
    const char *dir = getenv("TMPDIR");
    cleanup_free char *piece = malloc(CTL_CHUNK_BYTES);
    ssize_t n;

    dir = dir != NULL && dir[0] != '\0' ? dir : "/tmp";
    if (piece == NULL)
        return report_no_memory(l->ctl);
    l->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (l->fd < 0)
        return report(l->ctl, CTL_EXIT_OUTPUT,
                      "cannot keep what comes from standard input in '%s': %s; set TMPDIR, or "
                      "name a file",
                      dir, strerror(errno));
    while ((n = read(STDIN_FILENO, piece, CTL_CHUNK_BYTES)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return report(l->ctl, CTL_EXIT_USAGE, "cannot read standard input: %s",
                          strerror(errno));
        for (ssize_t at = 0, done; at < n; at += done) {
            done = write(l->fd, piece + at, (size_t)(n - at));
            if (done < 0 && errno == EINTR)
                done = 0;
            else if (done < 0)
                return report(l->ctl, CTL_EXIT_OUTPUT,
                              "cannot keep what comes from standard input in '%s': %s; set TMPDIR "
                              "to where there is room, or name a file",
                              dir, strerror(errno));
        }
    }
    return CTL_EXIT_OK;
}

static int open_file(struct looking *l, const char *arg)
{
    struct stat st;

    if (strcmp(arg, "-") != 0) {
        l->fd = open(arg, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO is told what it is */
        if (l->fd < 0)
            return report(l->ctl, CTL_EXIT_USAGE, "cannot open '%s': %s", arg, strerror(errno));
        return CTL_EXIT_OK;
    }
    if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode)) {
        l->fd = STDIN_FILENO;
        return CTL_EXIT_OK;
    }
    return keep_input(l);
}

/* ---- reading it ---- */

static void draw(void *ctx, uint64_t done)
{
    struct looking *l = ctx;

    bar_draw(done, l->b.meta.body_bytes, "verify");
}

static bool info_is_as_said(const struct looking *l)
{
    const struct snap_meta *m = &l->b.meta;
    const struct kv_copy_info *i = &l->info;

    return i->last_applied.index == m->id.index && i->last_applied.term == m->id.term &&
           i->digest.high == m->digest.high && i->digest.low == m->digest.low &&
           i->n_keys == m->n_keys && i->live_bytes == m->live_bytes &&
           i->limit_bytes == m->limit_bytes;
}

/* Its checksums, then each page, key and value, and the digest of these anew (BACKUP-3). */
static int read_copy(struct looking *l)
{
    const struct kv_source source = {backup_read, &l->b, l->b.meta.body_bytes, NULL};
    int rc = 0;

    if (l->reads_all)
        rc = backup_check(&l->b, l->bar ? draw : NULL, l);
    if (rc != 0)
        return rc;
    if (l->reads_all && l->b.meta.digest_version != KV_DIGEST_VERSION)
        return err_say(
            BACKUP_E_NEWER,
            "'%s' is whole, and has a digest of version %u; this program makes %u: verify "
            "it with the version that saved it",
            l->b.name, l->b.meta.digest_version, KV_DIGEST_VERSION);
    rc = l->reads_all ? kv_verify_copy(&source, l->b.meta.state_format, &l->info)
                      : kv_look_copy(&source, l->b.meta.state_format, &l->info);
    if (rc == 0 && !info_is_as_said(l))
        return backup_say_wrong(&l->b, "the copy of the state does not hold what its end says");
    return rc == KV_E_DAMAGED ? backup_say_wrong(&l->b, err_text()) : rc;
}

static int look(struct looking *l, const char *name)
{
    int rc = backup_open(l->fd, name, &l->b);

    if (rc == 0)
        rc = read_copy(l);
    if (l->bar)
        bar_clear();
    if (rc < 0)
        return report(l->ctl, CTL_EXIT_USAGE, "%s",
                      err_text_for(rc)[0] != '\0' ? err_text_for(rc) : strerror(-rc));
    return rc == 0 ? CTL_EXIT_OK : report(l->ctl, CTL_EXIT_DAMAGED, "%s", err_text());
}

/* ---- saying it ---- */

static const char *kind_of(const struct backup *b)
{
    if (b->has_label)
        return "backup";
    return b->meta.given ? "snapshot" : "node_snapshot";
}

static const char *kind_text(const struct backup *b)
{
    if (b->has_label)
        return "a backup";
    return b->meta.given ? "a snapshot that was saved, without a label"
                         : "a snapshot as a node keeps it; it holds the cluster's secret id";
}

static void digest_text(const struct backup *b, char ret_text[33])
{
    (void)snprintf(ret_text, 33, "%016llx%016llx", (unsigned long long)b->meta.digest.high,
                   (unsigned long long)b->meta.digest.low);
}

static void print_short(const struct looking *l)
{
    const struct backup *b = &l->b;
    char when[BACKUP_TIME_SIZE];
    char digest[33];
    char size[32];

    table_size_text(b->bytes, size, sizeof(size));
    digest_text(b, digest);
    backup_time_text(b->label.begun_s, when);
    (void)printf("%s: good: ", b->name);
    if (b->has_label)
        (void)printf("cluster %s at %s, ", b->label.cluster_name, when);
    (void)printf("index %llu, %llu keys, %s, digest %s\n", (unsigned long long)b->meta.id.index,
                 (unsigned long long)b->meta.n_keys, size, digest);
}

static void print_members(const struct raft_configuration *c)
{
    for (unsigned i = 0; i < c->n; i++)
        (void)printf("%s%s%s", i > 0 ? ", " : "", c->servers[i].name,
                     c->servers[i].role == RAFT_LEARNER ? " (learner)" : "");
    (void)printf("\n");
}

static void print_long(const struct looking *l)
{
    const struct backup *b = &l->b;
    const struct snap_meta *m = &b->meta;
    char when[BACKUP_TIME_SIZE];
    char digest[33];
    char live[32];
    char limit[32];
    char size[32];

    table_size_text(b->bytes, size, sizeof(size));
    table_size_text(m->live_bytes, live, sizeof(live));
    table_size_text(m->limit_bytes, limit, sizeof(limit));
    digest_text(b, digest);
    backup_time_text(b->label.begun_s, when);
    (void)printf("file      %s, %s: %s\n", b->name, size, kind_text(b));
    if (b->has_label)
        (void)printf("cluster   %s, %s\n"
                     "saved     %s, from %s by %s\n",
                     b->label.cluster_name, b->label.cluster_hash, when, b->label.node_name,
                     b->label.program);
    (void)printf("index     %llu of term %llu\n", (unsigned long long)m->id.index,
                 (unsigned long long)m->id.term);
    (void)printf("keys      %llu, with their values %s%s%s\n", (unsigned long long)m->n_keys, live,
                 m->limit_bytes != 0 ? " of at most " : "", m->limit_bytes != 0 ? limit : "");
    (void)printf("sessions  %llu, which a restore drops\n", (unsigned long long)l->info.n_sessions);
    (void)printf("members   ");
    print_members(&m->config.configuration);
    (void)printf("digest    %s, version %u\n", digest, m->digest_version);
    (void)printf("format    %08x\n", m->state_format);
}

static void json_members(struct doc *d, const struct raft_configuration *c)
{
    doc_open(d, "members", '[');
    for (unsigned i = 0; i < c->n; i++) {
        doc_open(d, NULL, '{');
        doc_str(d, "id", c->servers[i].name);
        doc_str(d, "role", c->servers[i].role == RAFT_LEARNER ? "learner" : "voter");
        doc_close(d, '}');
    }
    doc_close(d, ']');
}

static int print_json(const struct looking *l)
{
    const struct backup *b = &l->b;
    const struct snap_meta *m = &b->meta;
    char when[BACKUP_TIME_SIZE];
    char format[9];
    char digest[33];
    struct doc d = DOC_INIT;

    digest_text(b, digest);
    backup_time_text(b->label.begun_s, when);
    (void)snprintf(format, sizeof(format), "%08x", m->state_format);
    doc_open(&d, NULL, '{');
    doc_bool(&d, "ok", true);
    doc_bool(&d, "verified", l->reads_all);
    doc_str(&d, "file", b->name);
    doc_str(&d, "kind", kind_of(b));
    doc_u64(&d, "bytes", b->bytes);
    if (b->has_label) {
        doc_str(&d, "cluster", b->label.cluster_name);
        doc_str(&d, "cluster_hash", b->label.cluster_hash);
        doc_str(&d, "node", b->label.node_name);
        doc_str(&d, "begun", when);
        doc_str(&d, "program", b->label.program);
    }
    doc_u64(&d, "index", m->id.index);
    doc_u64(&d, "term", m->id.term);
    doc_u64(&d, "keys", m->n_keys);
    doc_u64(&d, "sessions", l->info.n_sessions);
    doc_u64(&d, "live_bytes", m->live_bytes);
    doc_u64(&d, "limit_bytes", m->limit_bytes);
    json_members(&d, &m->config.configuration);
    doc_str(&d, "digest", digest);
    doc_u64(&d, "digest_version", m->digest_version);
    doc_str(&d, "format", format);
    doc_close(&d, '}');
    return doc_print(&d, l->ctl);
}

int backup_look(struct ctl *ctl, bool reads_all)
{
    const char *arg = ctl->args[0];
    const char *name = strcmp(arg, "-") != 0 ? arg : "standard input";
    cleanup_free struct looking *l = calloc(1, sizeof(*l));
    int exit_code;

    if (l == NULL)
        return report_no_memory(ctl);
    *l = (struct looking){
        .ctl = ctl, .fd = -1, .reads_all = reads_all, .bar = reads_all && bar_is_shown()};
    exit_code = open_file(l, arg);
    if (exit_code == CTL_EXIT_OK)
        exit_code = look(l, name);
    if (l->fd > STDERR_FILENO)
        (void)close(l->fd);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (ctl->json)
        return print_json(l);
    if (reads_all)
        print_short(l);
    else
        print_long(l);
    return CTL_EXIT_OK;
}
