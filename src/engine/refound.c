#include "engine/refound.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

const char *refound_error_text(int rc)
{
    switch ((enum refound_error)rc) {
        REFOUND_ERRORS(OUTCOME_CASE)
    }
    return "unknown";
}

/* So many places are given in a time, at most. */
static raft_index places_in(uint64_t us)
{
    return us / 1000 * BACKUP_INDEX_PER_MS;
}

/* Neither before the epoch nor too far behind it, and not before the backup was begun, nor long
 * after. Who has begun it asked another machine for the time. */
static bool is_believed(uint64_t now_us, uint64_t begun_us)
{
    if (now_us < BACKUP_INDEX_EPOCH_US || now_us - BACKUP_INDEX_EPOCH_US > BACKUP_CLOCK_FAR_US)
        return false;
    return begun_us == 0 || (now_us + BACKUP_CLOCK_SKEW_US >= begun_us &&
                             (now_us < begun_us || now_us - begun_us <= BACKUP_AGE_US_MAX));
}

/* What any cluster can have come to by now that began at the time at which it began; or, where the
 * one of the backup had come further, since that was begun. Whoever restores later is above it,
 * whichever backup it takes (BACKUP-2). 0: neither can be said. */
static raft_index index_of_time(raft_index last, uint64_t now_us, uint64_t begun_us)
{
    const raft_index by_time = places_in(now_us - BACKUP_INDEX_EPOCH_US);

    if (begun_us == 0 || now_us < begun_us) /* how long ago it was is not known */
        return by_time > last ? by_time : 0;
    return by_time > last + places_in(now_us - begun_us) ? by_time
                                                         : last + places_in(now_us - begun_us);
}

/* Above all that the old cluster may have written since: sessions are numbered by their places in
 * the log, and a client of it that calls at this one would find another's under its number. */
int refound_index(const struct snap_meta *backup, const struct refound_time *t,
                  struct refound_base *ret)
{
    const raft_index last = backup->id.index;
    /* A label of before there was any is of a clock that was wrong. */
    const uint64_t begun_us = t->begun_us >= BACKUP_INDEX_EPOCH_US ? t->begun_us : 0;
    uint64_t more = 0;

    if (last > RAFT_INDEX_MAX - 4 * BACKUP_INDEX_STEP)
        return err_say(REFOUND_E_OTHER,
                       "the backup ends with index %" PRIu64
                       ", and there are no numbers left above "
                       "that: write its keys into a new cluster with 'ridctl export' and 'import'",
                       last);
    /* Each election takes one, and one that is refused here would never be led (TERM-3). */
    if (backup->id.term > RAFT_INDEX_MAX - RAFT_TERMS_LEFT_FEW)
        return err_say(REFOUND_E_OTHER,
                       "the backup is of term %" PRIu64 ", and hardly any terms are left above "
                       "that: write its keys into a new cluster with 'ridctl export' and 'import'",
                       backup->id.term);
    if (getrandom(&more, sizeof(more), 0) != (ssize_t)sizeof(more))
        return err_origin(err_say(-EIO, "no random bytes from the kernel"));
    ret->index = is_believed(t->now_us, begun_us) ? index_of_time(last, t->now_us, begun_us) : 0;
    ret->by_time = ret->index != 0 && ret->index < RAFT_INDEX_MAX - BACKUP_INDEX_STEP;
    if (ret->by_time)
        ret->index += 1 + more % BACKUP_INDEX_PER_MS;
    else
        ret->index = last + BACKUP_INDEX_STEP + more % BACKUP_INDEX_STEP;
    return 0;
}

/* ---- outcomes of the modules as ours ---- */

static int of_kv(int rc)
{
    switch (rc) {
    case KV_E_DAMAGED:
        return REFOUND_E_DAMAGED;
    case KV_E_NEWER:
    case KV_E_FOREIGN:
        return REFOUND_E_OTHER;
    case KV_E_FULL:
        return REFOUND_E_FULL;
    default:
        return err_is_full(rc) ? REFOUND_E_FULL : err_fold(rc);
    }
}

/* The sentence that came is about that number, and goes on about ours. */
static int hand_on(int before, int rc)
{
    char why[512];

    if (rc <= 0 || rc == before)
        return rc;
    (void)snprintf(why, sizeof(why), "%s", err_text_for(before));
    return err_say(rc, "%s", why[0] != '\0' ? why : refound_error_text(rc));
}

static int take_kv(int rc)
{
    return hand_on(rc, of_kv(rc));
}

static int take_snap(int rc)
{
    if (rc == SNAP_E_FULL || err_is_full(rc))
        return hand_on(rc, REFOUND_E_FULL);
    return err_fold(rc);
}

static int take_log(int rc)
{
    return err_is_full(rc) ? hand_on(rc, REFOUND_E_FULL) : err_fold(rc);
}

/* ---- the state ---- */

static int check_format(const struct kv *kv, const struct snap_meta *backup)
{
    if (backup->state_format != kv_copy_format(kv))
        return err_say(REFOUND_E_OTHER,
                       "the backup was made on another kind of machine (format %08x, this one has "
                       "%08x): restore it on one of that kind, or take a file of 'ridctl export'",
                       backup->state_format, kv_copy_format(kv));
    if (backup->digest_version != KV_DIGEST_VERSION)
        return err_say(REFOUND_E_OTHER,
                       "the backup has a digest of version %u, this program makes %u: take the "
                       "programs of the version that saved it",
                       backup->digest_version, KV_DIGEST_VERSION);
    return 0;
}

/* It is written, read through as it was written, compared with what the backup says, and only then
 * opened (BACKUP-3, STATE-16). */
static int take_copy(const struct refound *r, struct kv *kv)
{
    struct kv_copy_info info;
    int rc = check_format(kv, r->backup);

    if (rc == 0)
        rc = take_kv(kv_prepare(kv, r->source, &info));
    if (rc != 0)
        return rc;
    if (!engine_copy_is_as_said(&info, r->backup))
        return err_say(REFOUND_E_DAMAGED, "the copy of the state does not hold what its end says");
    rc = take_kv(kv_switch(kv));
    if (rc == 0 && r->read != NULL)
        r->read(r->ctx);
    return rc;
}

/* ---- the snapshot ---- */

/* Whose outcome ended a copy is known by who gave it: both number theirs from 1. */
struct adding {
    struct snap_writer *writer;
    int rc;
};

static int add_piece(void *ctx, const void *data, size_t n)
{
    struct adding *a = ctx;

    a->rc = snap_writer_add(a->writer, data, n);
    return a->rc;
}

static int make_copy(struct kv *kv, struct snap_writer *w, struct kv_copy_info *ret)
{
    struct adding a = {.writer = w};
    const struct kv_sink sink = {add_piece, &a};
    struct kv_source source;
    int rc = kv_copy(kv, &sink);

    if (rc != 0)
        return a.rc != 0 ? take_snap(a.rc) : take_kv(rc);
    source = (struct kv_source){snap_writer_read, w, snap_writer_bytes(w), NULL};
    return take_kv(kv_check_copy(kv, &source, ret));
}

static void fill_meta(const struct refound *r, const struct kv *kv, const struct snap_writer *w,
                      const struct kv_copy_info *info, struct snap_meta *ret)
{
    *ret = (struct snap_meta){
        .group = r->conf->log.group,
        .id = info->last_applied,
        .config = {.index = info->last_applied.index, .configuration = r->configuration},
        .state_format = kv_copy_format(kv),
        .digest_version = KV_DIGEST_VERSION,
        .digest = {.index = info->last_applied.index,
                   .high = info->digest.high,
                   .low = info->digest.low},
        .n_keys = info->n_keys,
        .live_bytes = info->live_bytes,
        .limit_bytes = info->limit_bytes,
        .body_bytes = snap_writer_bytes(w),
        .body_crc = snap_writer_crc(w)};
    memcpy(ret->cluster_id, r->conf->log.cluster_id, sizeof(ret->cluster_id));
}

static int write_snapshot(const struct refound *r, struct kv *kv, struct snap_folder *folder,
                          struct snap_meta *ret)
{
    struct snap_writer *w = NULL;
    struct kv_copy_info info;
    int rc = take_snap(snap_writer_new(folder, SNAP_MADE, &w));

    if (rc == 0)
        rc = make_copy(kv, w, &info);
    if (rc != 0) {
        snap_writer_drop(w);
        return rc;
    }
    fill_meta(r, kv, w, &info, ret);
    rc = snap_writer_finish(w, ret);
    if (rc == 0)
        rc = snap_check(folder, ret->id);
    return take_snap(rc);
}

static int make_snapshot(const struct refound *r, struct kv *kv, struct snap_meta *ret)
{
    struct snap_conf conf = {.group = r->conf->log.group};
    struct snap_folder *folder = NULL;
    struct vfs *vfs = NULL;
    int rc = vfs_posix_new(r->conf->snap_fd, &vfs);

    if (rc != 0)
        return err_trace(rc);
    conf.vfs = vfs;
    memcpy(conf.cluster_id, r->conf->log.cluster_id, sizeof(conf.cluster_id));
    rc = snap_open(&conf, &folder);
    if (rc == 0)
        rc = write_snapshot(r, kv, folder, ret);
    snap_close(folder);
    vfs_posix_free(vfs);
    return rc;
}

/* ---- the log ---- */

/* What a reset leaves of the log that was made is nothing; only then the folder is as one of which
 * a start need remove nothing. */
static int reset_log(struct store *store, const struct snap_meta *m)
{
    const struct store_batch batch = {.number = 1,
                                      .has_hard_state = true,
                                      .hard_state = {.current_term = m->id.term},
                                      .reset = m->id,
                                      .reset_config = &m->config,
                                      .commit_index = m->id.index};
    bool more = true;
    int rc = store_write_now(store, &batch);

    while (rc == 0 && more)
        rc = store_prepare(store, &more);
    return rc;
}

static int make_log(const struct refound *r, const struct snap_meta *m)
{
    cleanup_buf struct buf entry = BUF_INIT;
    struct store_recovered recovered = {0};
    struct store_conf log = r->conf->log;
    struct store *store = NULL;
    struct vfs *vfs = NULL;
    int rc = raft_configuration_encode(&r->configuration, &entry);

    if (rc == 0)
        rc = engine_create_log(r->conf, entry.data, entry.len);
    if (rc == 0)
        rc = vfs_posix_new(r->conf->log_fd, &vfs);
    if (rc == 0) {
        log.vfs = vfs;
        rc = store_open(&log, &recovered, &store);
    }
    if (rc == 0)
        rc = reset_log(store, m);
    store_close(store);
    store_recovered_done(&recovered);
    vfs_posix_free(vfs);
    return take_log(rc);
}

/* ---- all of it ---- */

/* Closed in the middle of it where anything failed: all of it is thrown away then. */
static int make_state(const struct refound *r, struct snap_meta *ret)
{
    const struct raft_entry_id last = {.term = r->backup->id.term, .index = r->first_index};
    struct kv_conf conf = r->conf->kv;
    struct kv *kv = NULL;
    enum kv_trust trust;
    int closed;
    int rc;

    conf.map_size_bytes = engine_map_bytes(r->conf->quota_bytes);
    rc = take_kv(kv_open(&conf, &trust, &kv));
    if (rc == 0)
        rc = take_copy(r, kv);
    if (rc == 0)
        rc = take_kv(kv_refound(kv, last));
    if (rc == 0)
        rc = make_snapshot(r, kv, ret);
    closed = kv_close(kv, rc == 0);
    return rc == 0 ? take_kv(closed) : rc;
}

int refound_make(const struct refound *r, struct snap_meta *ret)
{
    int rc = make_state(r, ret);

    return rc == 0 ? make_log(r, ret) : rc;
}
