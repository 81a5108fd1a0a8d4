/* Creating, opening and feeding the store. Opening recovers, then starts a new segment: nothing is
 * ever appended behind bytes that a crash may have touched (DISK-11). The order makes a
 * crash at any step harmless:
 *
 *   1 the torn bytes are copied for a person to look at, leftovers are removed
 *   2 the new segment is made durable under its name; its header says where the one before it ends
 *   3 the older segments are cut to that
 *
 * A last segment that says nothing new is replaced by the new one under the same number (rename
 * over it), so that a loop of restarts does not fill the disk. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/recover_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(store, struct store *, store_close);
#define cleanup_store CLEANUP(store)

static void cleanup_recovery_fn(struct recovery *rv)
{
    recovery_done(rv);
}
#define cleanup_recovery __attribute__((cleanup(cleanup_recovery_fn)))

static int check_conf(const struct store_conf *conf)
{
    if (conf->segment_bytes > STORE_FILE_BYTES_MAX ||
        conf->segment_first_bytes > STORE_FILE_BYTES_MAX)
        return err_origin(err_say(-EINVAL, "a segment of the log may have at most %u bytes",
                                  STORE_FILE_BYTES_MAX));
    return 0;
}

static int store_new(const struct store_conf *conf, struct store **ret_store)
{
    struct store *s = calloc(1, sizeof(*s));
    int rc;

    if (s == NULL)
        return err_origin(-ENOMEM);
    rc = -pthread_mutex_init(&s->lock, NULL);
    if (rc != 0) {
        free(s);
        return err_origin(rc);
    }
    s->conf = *conf;
    s->queue_end = &s->queue;
    s->w.taken_end = &s->w.taken;
    s->w.bytes_max = conf->batch_bytes_max != 0 ? conf->batch_bytes_max : STORE_BATCH_BYTES_MAX;
    s->w.group = conf->group;
    s->oldest_read = UINT32_MAX;
    prng_init(&s->w.salts, conf->salt_seed);
    *ret_store = s;
    return 0;
}

static void free_submissions(struct submission *list)
{
    while (list != NULL) {
        struct submission *sub = list;

        list = sub->next;
        free(sub);
    }
}

void store_close(struct store *s)
{
    struct vfs *vfs;

    if (s == NULL)
        return;
    vfs = s->conf.vfs;
    if (s->w.file != NULL)
        (void)vfs->close(vfs->ctx, s->w.file);
    if (s->w.next_file != NULL)
        (void)vfs->close(vfs->ctx, s->w.next_file);
    for (unsigned i = 0; i < STORE_READ_FILES_MAX; i++)
        if (s->rd.files[i].file != NULL)
            (void)vfs->close(vfs->ctx, s->rd.files[i].file);
    free_submissions(s->queue);
    free_submissions(s->w.taken);
    buf_done(&s->w.out);
    buf_done(&s->rd.buf);
    free(s->w.ops);
    free(s->w.terms.ranges);
    store_free_configs(&s->w);
    free(s->segments);
    log_index_done(&s->index);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- create ---- */

struct create_scan {
    struct vfs *vfs;
    bool has_log;
    unsigned n_tmp;
    char tmp[8][STORE_NAME_BYTES];
};

static int create_look(void *arg, const char *name)
{
    struct create_scan *c = arg;
    size_t n = strlen(name);
    uint64_t seq;

    if ((n >= 4 && strcmp(name + n - 4, ".wal") == 0) || store_name_parse(name, ".prep", &seq) ||
        strncmp(name, STORE_NEWEST_PREFIX, strlen(STORE_NEWEST_PREFIX)) == 0 ||
        (strncmp(name, "torn-", 5) == 0 && store_name_parse(name + 5, "", &seq)))
        c->has_log = true;
    else if (store_name_parse(name, ".tmp", &seq) && c->n_tmp < 8)
        (void)snprintf(c->tmp[c->n_tmp++], STORE_NAME_BYTES, "%s", name);
    return 0;
}

static int create_clear(struct vfs *vfs)
{
    struct create_scan c = {.vfs = vfs};
    int rc = vfs->list(vfs->ctx, create_look, &c);

    if (rc != 0)
        return err_trace(rc);
    if (c.has_log)
        return err_origin(err_say(-EEXIST, "cannot create the log: its folder holds one already"));
    for (unsigned i = 0; i < c.n_tmp; i++) {
        rc = vfs->unlink(vfs->ctx, c.tmp[i]);
        if (rc != 0)
            return err_trace(rc);
    }
    return 0;
}

int store_create(const struct store_conf *conf, const void *config_entry, size_t len)
{
    static const char name[] = "0000000000000001.tmp";
    const struct segment_prev prev = {0};
    struct raft_entry entry = {.id = {.term = 1, .index = 1},
                               .type = RAFT_ENTRY_CONFIG,
                               .len = (uint32_t)len,
                               .data = config_entry};
    uint64_t size = STORE_SEGMENT_OVERHEAD + record_bytes(len);
    cleanup_store struct store *s = NULL;
    struct vfs_file *f = NULL;
    int rc;

    rid_assert(len <= ENTRY_BYTES_MAX);
    rc = check_conf(conf);
    if (rc == 0)
        rc = create_clear(conf->vfs);
    if (rc == 0)
        rc = store_new(conf, &s);
    /* Just large enough: the first start opens a segment of its own. */
    size = (size + SEGMENT_HEADER_BYTES - 1) / SEGMENT_HEADER_BYTES * SEGMENT_HEADER_BYTES;
    if (rc == 0)
        rc = store_make_file(conf->vfs, name, size, size, &f);
    if (rc != 0)
        return err_trace(rc);
    s->w.batch = 1;
    s->w.hard_state.current_term = 1;
    s->w.commit_index = 1;
    return err_trace(store_start_segment(s, f, name, 1, size, &prev, &entry));
}

/* ---- open ---- */

void store_recovered_done(struct store_recovered *r)
{
    free(r->terms);
    free(r->configs);
    *r = (struct store_recovered){0};
}

/* For a person to look at; that it fails is no reason not to start. */
static void keep_torn_bytes(const struct recovery *rv, const struct wal_file *last)
{
    struct vfs *vfs = rv->conf.vfs;
    struct vfs_file *f = NULL;
    char name[STORE_NAME_BYTES];
    struct iovec iov;

    if (rv->torn_bytes == 0 || last->used + rv->torn_bytes > rv->image.len)
        return;
    for (size_t i = 0; i + STORE_TORN_COPIES_MAX <= rv->n_torn_copies; i++) {
        (void)snprintf(name, sizeof(name), "torn-%016" PRIu64, rv->torn_copies[i]);
        (void)vfs->unlink(vfs->ctx, name);
    }
    (void)snprintf(name, sizeof(name), "torn-%016" PRIu64, rv->log.batch + 1);
    if (vfs->open(vfs->ctx, name, O_RDWR | O_CREAT | O_EXCL, &f) != 0)
        return; /* kept by an earlier start that was interrupted */
    iov =
        (struct iovec){.iov_base = rv->image.data + last->used, .iov_len = (size_t)rv->torn_bytes};
    (void)vfs->pwritev(vfs->ctx, f, &iov, 1, 0);
    (void)vfs->fdatasync(vfs->ctx, f);
    (void)vfs->close(vfs->ctx, f);
}

static int remove_leftovers(const struct recovery *rv)
{
    for (size_t i = 0; i < rv->n_leftovers; i++) {
        int rc = rv->conf.vfs->unlink(rv->conf.vfs->ctx, rv->leftovers[i]);

        if (rc != 0)
            return err_trace(rc);
    }
    return 0;
}

static int cut_closed(struct vfs *vfs, const struct wal_file *file)
{
    struct vfs_file *f = NULL;
    int rc;

    if (file->file_bytes <= file->used)
        return 0;
    rc = vfs->open(vfs->ctx, file->name, O_RDWR, &f);
    if (rc != 0)
        return err_trace(rc);
    rc = vfs->truncate(vfs->ctx, f, file->used);
    if (rc == 0)
        rc = vfs->fdatasync(vfs->ctx, f);
    (void)vfs->close(vfs->ctx, f);
    /* What is cut off is nothing: the next start tries again. */
    return err_is_full(rc) ? 0 : err_trace(rc);
}

static int resume_configs(struct writer *w, const struct log_state *log)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < log->n_configs; i++) {
        const struct log_config *c = &log->configs[i];
        cleanup_buf struct buf b = BUF_INIT;

        rc = raft_configuration_encode(&c->at.configuration, &b);
        if (rc == 0)
            rc = store_note_config(w, (struct raft_entry_id){.term = c->term, .index = c->at.index},
                                   b.data, (uint32_t)b.len);
    }
    return err_trace(rc);
}

/* The writer stands behind the last good batch; the number of a torn one is never used again. */
static int writer_resume(struct store *s, const struct recovery *rv)
{
    struct writer *w = &s->w;

    w->mark = rv->log.mark;
    s->marked = rv->log.mark.index;
    s->submitted_mark = rv->log.mark.index;
    w->newest_seq = rv->newest_seq;
    w->batch = rv->log.batch + (rv->torn_bytes > 0 ? 2 : 1);
    w->synced_batch = rv->log.batch;
    w->hard_state = rv->log.hard_state;
    w->last_index = rv->log.last_index;
    w->last_term = rv->log.last_term;
    w->commit_index = rv->log.commit_index;
    s->submitted_last_index = rv->log.last_index;
    s->last_index = rv->log.last_index;
    s->base = rv->log.terms.base;
    if (term_list_copy(&w->terms, &rv->log.terms) != 0)
        return err_origin(-ENOMEM);
    return err_trace(resume_configs(w, &rv->log));
}

/* Small, so that a start costs milliseconds (DISK-22), and never behind old bytes (DISK-11). */
static int open_new_segment(struct store *s, const struct recovery *rv, size_t n_kept)
{
    const struct wal_file *last = &rv->files[rv->n_files - 1];
    uint64_t size = store_max_u64(s->conf.segment_first_bytes, store_overhead(&s->w));
    const uint64_t least =
        store_min_u64(size, store_overhead(&s->w) + (uint64_t)STORE_KEPT_BYTES / 3 * 2);
    struct segment_prev prev = {.seq = last->header.seq,
                                .last_index = rv->log.last_index,
                                .last_term = rv->log.last_term,
                                .last_batch = rv->log.batch,
                                .used = last->used,
                                .chain = rv->log.chain};
    struct vfs_file *f = NULL;
    char name[STORE_NAME_BYTES];
    int rc;

    if (n_kept < rv->n_files)
        prev = (struct segment_prev){.seq = last->header.prev_seq,
                                     .last_index = last->header.prev_last_index,
                                     .last_term = last->header.prev_last_term,
                                     .last_batch = last->header.prev_last_batch,
                                     .used = last->header.prev_used,
                                     .chain = last->header.prev_chain};
    store_name_prepared(name, prev.seq + 1);
    rc = store_room_make(s, name, size, least, size, &f, &size);
    if (rc == 0 && f == NULL) {
        /* What comes to be written waits for one (SPACE-10). */
        s->w.prev = prev;
        s->w.seq = prev.seq;
        return 0;
    }
    if (rc != 0)
        return err_trace(rc);
    return err_trace(store_start_segment(s, f, name, prev.seq + 1, size, &prev, NULL));
}

/* In the places that the index knows them by. Those that the log does not begin with any more go
 * one by one, when it is certain that what it does begin with is there for good. */
static int list_segments(struct store *s, const struct recovery *rv, size_t n_kept)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n_kept; i++) {
        const struct wal_file *file = &rv->files[i];
        const struct segment_header *h = &file->header;

        rc = store_add_segment(s, &(struct store_segment){.seq = file->name_seq,
                                                          .salt = h->salt,
                                                          .base = {.term = h->prev_last_term,
                                                                   .index = h->prev_last_index},
                                                          .used = file->used,
                                                          .may_begin = wal_file_may_begin(file)});
        s->stats.log_bytes += file->used;
    }
    if (rc == 0)
        store_void_segments(s, (uint32_t)rv->first);
    return err_trace(rc);
}

/* The process before may have ended between a rename and the sync of the folder: then the names
 * that were found are perhaps in the cache alone. Before anything is made or removed beside them
 * they are there for good (DISK-16), or a loss of power leaves a file that proves one which it
 * took. */
static int keep_names(struct store *s)
{
    int rc = s->conf.vfs->sync_dir(s->conf.vfs->ctx);

    s->w.folder_unsynced = rc != 0;
    return err_is_full(rc) ? 0 : err_trace(rc);
}

static int open_files(struct store *s, struct recovery *rv)
{
    struct wal_file *last = &rv->files[rv->n_files - 1];
    size_t n_kept = rv->n_files - (rv->last_is_unused ? 1 : 0);
    int rc = list_segments(s, rv, n_kept);

    if (rc == 0)
        rc = keep_names(s);
    if (rc != 0)
        return err_trace(rc);
    keep_torn_bytes(rv, last);
    rc = remove_leftovers(rv);
    if (rc == 0)
        rc = writer_resume(s, rv);
    if (rc == 0)
        rc = store_room_find_reserve(s);
    if (rc == 0)
        rc = open_new_segment(s, rv, n_kept);
    /* The last one of the folder has its full size: it is cut when it has a successor. */
    if (s->w.file == NULL || s->w.stage != STAGE_NONE)
        n_kept--;
    for (size_t i = rv->first; rc == 0 && i < n_kept; i++)
        rc = cut_closed(s->conf.vfs, &rv->files[i]);
    if (rc == 0)
        rc = store_room_keep_reserve(s);
    store_room_publish(s);
    return err_trace(rc);
}

static struct raft_config_at *copy_configs(const struct log_state *log)
{
    struct raft_config_at *configs = calloc(log->n_configs, sizeof(*configs));

    for (size_t i = 0; configs != NULL && i < log->n_configs; i++)
        configs[i] = log->configs[i].at;
    return configs;
}

int store_open(const struct store_conf *conf, struct store_recovered *ret_recovered,
               struct store **ret_store)
{
    cleanup_recovery struct recovery rv = {0};
    cleanup_store struct store *s = NULL;
    cleanup_free struct raft_config_at *configs = NULL;
    int rc;

    rid_assert(conf->node_id != 0);
    rc = check_conf(conf);
    if (rc != 0)
        return err_trace(rc);
    rc = recovery_run(&rv, conf, true);
    if (rc != 0)
        return rc; /* negative or an outcome of ours: the same enum */
    configs = copy_configs(&rv.log);
    rc = configs == NULL ? err_origin(-ENOMEM) : store_new(conf, &s);
    if (rc == 0)
        rc = open_files(s, &rv);
    if (rc != 0)
        return err_trace(rc);
    s->index = rv.log.index;
    rv.log.index = (struct log_index){0};
    *ret_recovered = (struct store_recovered){
        .hard_state = rv.log.hard_state,
        .base = rv.log.terms.base,
        .marked = rv.log.mark,
        .last_index = rv.log.last_index,
        .commit_index = rv.log.commit_index,
        .terms = take_ptr(rv.log.terms.ranges),
        .n_terms = rv.log.terms.n,
        .configs = take_ptr(configs),
        .n_configs = rv.log.n_configs,
        .torn_tail = rv.torn_tail,
        .bytes_scanned = rv.bytes_scanned,
        .n_segments = s->n_segments - s->n_gone,
    };
    memcpy(ret_recovered->torn_text, rv.torn_text, sizeof(ret_recovered->torn_text));
    *ret_store = take_ptr(s);
    return 0;
}

uint64_t store_now_us(const struct store *s)
{
    return s->conf.now_us != NULL ? s->conf.now_us(s->conf.now_ctx) : clock_mono_us();
}

/* ---- submit ---- */

static size_t reset_bytes(const struct submission *sub)
{
    return sub->reset.index == 0 ? 0 : STORE_SEGMENT_OVERHEAD + record_bytes(sub->reset_config_len);
}

static struct submission *submission_new(const struct store_batch *b, const struct buf *config)
{
    size_t head = sizeof(struct submission) + b->n_entries * sizeof(struct raft_entry);
    size_t bytes = head + config->len;
    struct submission *sub;
    unsigned char *data;

    for (unsigned i = 0; i < b->n_entries; i++)
        bytes += b->entries[i].len;
    sub = malloc(bytes);
    if (sub == NULL)
        return NULL;
    *sub = (struct submission){.number = b->number,
                               .has_hard_state = b->has_hard_state,
                               .hard_state = b->hard_state,
                               .reset = b->reset,
                               .reset_config_len = (uint32_t)config->len,
                               .truncate_from = b->truncate_from,
                               .commit_index = b->commit_index,
                               .n_entries = b->n_entries};
    sub->bytes = record_bytes(LEASED_STATE_BYTES) + reset_bytes(sub);
    data = (unsigned char *)sub + head;
    if (b->reset.index != 0) {
        memcpy(data, config->data, config->len);
        sub->reset_config = data;
        sub->reset_config_id.index = b->reset_config->index; /* its term is not known here */
        data += config->len;
    }
    for (unsigned i = 0; i < b->n_entries; i++) {
        sub->entries[i] = b->entries[i];
        sub->bytes += record_bytes(b->entries[i].len);
        sub->entries[i].data = data;
        if (b->entries[i].len > 0)
            memcpy(data, b->entries[i].data, b->entries[i].len);
        data += b->entries[i].len;
    }
    return sub;
}

int store_submit(struct store *s, const struct store_batch *b)
{
    cleanup_buf struct buf config = BUF_INIT;
    struct submission *sub;

    if (b->reset.index != 0 &&
        raft_configuration_encode(&b->reset_config->configuration, &config) != 0)
        return err_origin(-ENOMEM);
    sub = submission_new(b, &config);
    if (sub == NULL)
        return err_origin(-ENOMEM);
    (void)pthread_mutex_lock(&s->lock);
    rid_assert(b->number > s->submitted_number);
    s->submitted_number = b->number;
    if (b->reset.index != 0) {
        rid_assert(b->reset.term != 0);
        rid_assert(b->reset.index > s->base.index);
        rid_assert(b->reset.index > s->submitted_mark);
        rid_assert(b->reset_config->index >= 1);
        rid_assert(b->reset_config->index <= b->reset.index);
        s->submitted_last_index = b->reset.index;
        s->submitted_mark = b->reset.index;
    }
    if (b->truncate_from != 0) {
        rid_assert(b->truncate_from > s->base.index);
        rid_assert(b->truncate_from > s->submitted_mark); /* a mark is of what is committed */
        rid_assert(b->truncate_from <= s->submitted_last_index + 1);
        s->submitted_last_index = b->truncate_from - 1;
    }
    for (unsigned i = 0; i < b->n_entries; i++) {
        rid_assert(b->entries[i].id.index == s->submitted_last_index + 1);
        rid_assert(b->entries[i].len <= ENTRY_BYTES_MAX);
        s->submitted_last_index++;
    }
    *s->queue_end = sub;
    s->queue_end = &sub->next;
    s->stats.queued_bytes += sub->bytes;
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

bool store_has_work(struct store *s)
{
    bool has;

    (void)pthread_mutex_lock(&s->lock);
    has = (s->queue != NULL || s->rest) && !s->stalled;
    (void)pthread_mutex_unlock(&s->lock);
    return has;
}

void store_get_counts(struct store *s, struct store_stats *ret_stats)
{
    (void)pthread_mutex_lock(&s->lock);
    *ret_stats = s->stats;
    (void)pthread_mutex_unlock(&s->lock);
}

void store_get_stats(struct store *s, struct store_stats *ret_stats)
{
    (void)pthread_mutex_lock(&s->lock);
    *ret_stats = s->stats;
    sync_times_get(&s->sync_times, store_now_us(s), &ret_stats->fsync_p50_us,
                   &ret_stats->fsync_p99_us, &ret_stats->fsync_longest_us);
    (void)pthread_mutex_unlock(&s->lock);
}

uint64_t store_busy_us(const struct store *s)
{
    return s->busy_us;
}

bool store_take_slow(struct store *s, struct store_slow *ret)
{
    bool has;

    if (s->n_slow == s->n_slow_taken)
        return false;
    (void)pthread_mutex_lock(&s->lock);
    if (s->n_slow - s->n_slow_taken > STORE_SLOW_MAX)
        s->n_slow_taken = s->n_slow - STORE_SLOW_MAX;
    has = s->n_slow > s->n_slow_taken;
    if (has)
        *ret = s->slow[s->n_slow_taken++ % STORE_SLOW_MAX];
    (void)pthread_mutex_unlock(&s->lock);
    return has;
}

void store_get_syncs(struct store *s, struct histogram *ret)
{
    (void)pthread_mutex_lock(&s->lock);
    *ret = s->syncs;
    (void)pthread_mutex_unlock(&s->lock);
}

const char *store_error_text(int error)
{
    switch (error) {
    case 0:
        return "done";
        STORE_ERRORS(OUTCOME_CASE)
    default:
        return "unknown outcome";
    }
}

size_t store_record_bytes(size_t payload_len)
{
    return record_bytes(payload_len);
}
