/* Opening and closing: everything that decides whether the data file is believed. LMDB asserts on
 * damage and has no checksums, so a file of doubtful origin is never shown to it; the log can
 * rebuild what is set aside. */
#include "kv/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mark.h"
#include "kv/kv_int.h"
#include "kv/record_int.h"
#include "kv/scrub_int.h"
#include "kv/shown_int.h"
#include "kv/trust_int.h"
#include "kv/walk_int.h"

#include "base/banned.h"

const char *kv_error_text(int rc)
{
    switch (rc) {
        KV_ERRORS(OUTCOME_CASE)
    }
    return "unknown";
}

static void close_env(struct kv *kv)
{
    kv_look_end(kv);
    if (kv->read_txn != NULL)
        mdb_txn_abort(take_ptr(kv->read_txn));
    kv_flush_abort(kv);
    if (kv->env != NULL)
        mdb_env_close(take_ptr(kv->env));
}

static void kv_free(struct kv *kv)
{
    range_close(kv);
    close_env(kv);
    if (kv->dir_fd >= 0)
        (void)close(kv->dir_fd);
    if (kv->witness_fd >= 0)
        (void)close(kv->witness_fd);
    (void)pthread_rwlock_destroy(&kv->map_lock);
    scrub_free(kv->scrub);
    range_forget_file(kv);
    absent_forget_file(&kv->absent);
    memtable_done(&kv->memtable);
    memtable_done(&kv->immutable.table);
    memtable_done(&kv->flushed);
    kv_clear_leavings(kv);
    (void)pthread_mutex_destroy(&kv->leavings_lock);
    (void)pthread_mutex_destroy(&kv->stats_lock);
    copying_done(&kv->copying);
    free(kv->dir);
    free(kv);
}

DEFINE_CLEANUP(kv, struct kv *, kv_free);
#define cleanup_kv CLEANUP(kv)

bool kv_lmdb_damage(int rc)
{
    switch (rc) {
    case MDB_MAP_FULL: /* bounds of ours, or of the environment */
    case MDB_DBS_FULL:
    case MDB_READERS_FULL:
    case MDB_TLS_FULL:
    case MDB_TXN_FULL:
    case MDB_MAP_RESIZED:
    case MDB_BAD_RSLOT:
        return false;
    default: /* also what only pages that contradict one another can bring about */
        return rc < 0;
    }
}

int kv_lmdb_error(struct kv *kv, int rc, const char *what)
{
    if (rc == MDB_MAP_FULL)
        return err_say(KV_E_FULL, "cannot %s in '%s': all %llu bytes of the map are in use", what,
                       kv->dir, (unsigned long long)kv->map_bytes);
    if (rc == ENOSPC || rc == EDQUOT || (rc == EIO && kv->env != NULL && kv_disk_is_full(kv))) {
        kv_give_room(kv);
        return err_say(KV_E_FULL, "cannot %s in '%s': %s", what, kv->dir, strerror(rc));
    }
    if (rc > 0)
        return err_origin(err_say(-rc, "cannot %s in '%s': %s", what, kv->dir, strerror(rc)));
    if (kv_lmdb_damage(rc))
        (void)kv_distrust(kv);
    return err_origin(err_say(kv_lmdb_damage(rc) ? -EBADMSG : -EIO, "cannot %s in '%s': %s", what,
                              kv->dir, mdb_strerror(rc)));
}

int kv_lmdb_fatal(struct kv *kv, int code, const char *what)
{
    int rc = kv_lmdb_error(kv, code, what);

    if (rc == KV_E_FULL)
        return err_origin(code > 0 ? -code : -ENOSPC);
    return err_trace(rc);
}

int kv_page_file(struct kv *kv, struct page_file *f)
{
    int rc = mdb_env_get_fd(kv->env, &f->fd);

    f->name = TRUST_DATA_NAME;
    return rc != 0 ? err_trace(kv_lmdb_fatal(kv, rc, "look at the file")) : 0;
}

int kv_distrust(struct kv *kv)
{
    if (atomic_exchange(&kv->distrusted, true))
        return 0;
    /* Without the mark no later start knows whose file it is (DISK-41). Where there is no room for
     * the note it is not made: that the state is damaged counts for more. */
    (void)shown_note(kv);
    return err_trace(mark_remove(kv->dir_fd, TRUST_NAME));
}

bool kv_is_distrusted(const struct kv *kv)
{
    return atomic_load(&kv->distrusted);
}

/* LMDB found its own structure broken, in the middle of whatever it did, and must not return. That
 * is damage of the state, not a bug, and the log has it all: an exit after which the next start
 * rebuilds, not an abort (STATE-14). */
static void on_lmdb_assert(MDB_env *env, const char *text)
{
    struct kv *kv = mdb_env_get_userctx(env);

    (void)kv_distrust(kv);
    log_event(LOG_ERROR, "state_damaged", "why=\"%s\" action=exit_%d next_start=rebuild", text,
              EXIT_IO_ERROR);
    log_flush();
    _exit(EXIT_IO_ERROR);
}

static int sync_parent(const char *dir)
{
    cleanup_free char *copy = strdup(dir);
    cleanup_fd int fd = -1;

    if (copy == NULL)
        return err_origin(err_say(-ENOMEM, "cannot open '%s': out of memory", dir));
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int error = errno;

        return err_origin(
            err_say(-error, "cannot sync the folder of '%s': %s", dir, strerror(error)));
    }
    return 0;
}

static int open_dir(struct kv *kv)
{
    struct stat st;
    int error;

    if (mkdir(kv->dir, 0700) == 0) {
        int rc = sync_parent(kv->dir);

        if (rc != 0)
            return err_trace(rc);
    } else if (errno != EEXIST) {
        error = errno;
        return err_origin(err_say(-error, "cannot make '%s': %s", kv->dir, strerror(error)));
    }
    kv->dir_fd = open(kv->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (kv->dir_fd < 0 || fstat(kv->dir_fd, &st) != 0) {
        error = errno;
        return err_origin(err_say(-error, "cannot open '%s': %s", kv->dir, strerror(error)));
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return err_origin(err_say(
            -EPERM,
            "'%s' has owner %u and mode %04o: it must be this user's (%u) and "
            "closed to others (chmod 700)",
            kv->dir, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777u, (unsigned)geteuid()));
    return 0;
}

static struct kv *kv_new(const struct kv_conf *conf)
{
    cleanup_kv struct kv *kv = calloc(1, sizeof(*kv));

    if (kv == NULL)
        return NULL;
    kv->dir_fd = -1;
    kv->witness_fd = -1;
    kv->conf = *conf;
    kv->conf.dir = NULL;
    kv->conf.boot_id = NULL;
    (void)pthread_mutex_init(&kv->stats_lock, NULL); /* cannot fail without attributes */
    (void)pthread_mutex_init(&kv->leavings_lock, NULL);
    (void)pthread_rwlock_init(&kv->map_lock, NULL);
    copying_init(&kv->copying);
    memtable_init(&kv->memtable);
    memtable_init(&kv->immutable.table);
    memtable_init(&kv->flushed);
    kv->map_bytes_max = conf->map_bytes_max;
    kv->incarnation = conf->incarnation;
    kv->group = conf->group;
    trust_boot_get(conf->boot_id, &kv->boot);
    kv->dir = strdup(conf->dir);
    kv->scrub = scrub_new();
    return kv->dir != NULL && kv->scrub != NULL ? take_ptr(kv) : NULL;
}

/* 0, or a code of LMDB: kv->env is set whenever it has to be closed. */
/* LMDB opens its file so that it passes to children (IDENTITY-4). */
static int keep_from_children(const struct kv *kv)
{
    int fd = -1;
    const int rc = mdb_env_get_fd(kv->env, &fd);

    if (rc != 0)
        return rc;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : errno;
}

static int open_env_of(struct kv *kv, const struct kv_conf *conf, size_t map_size)
{
    MDB_envinfo info;
    MDB_stat stat;
    int rc;

    rc = mdb_env_create(&kv->env);
    if (rc == 0)
        rc = mdb_env_set_userctx(kv->env, kv);
    if (rc == 0)
        rc = mdb_env_set_assert(kv->env, on_lmdb_assert);
    if (rc == 0)
        rc = mdb_env_set_mapsize(kv->env, map_size);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(kv->env, conf->readers_max != 0 ? conf->readers_max
                                                                    : KV_READERS_DEFAULT);
    if (rc == 0)
        rc = mdb_env_open(kv->env, kv->dir, MDB_NOSYNC | MDB_NOTLS, 0600);
    if (rc == 0)
        rc = keep_from_children(kv);
    if (rc == 0)
        rc = mdb_env_info(kv->env, &info);
    if (rc == 0)
        rc = mdb_env_stat(kv->env, &stat);
    if (rc != 0)
        return rc;
    kv->map_bytes = info.me_mapsize;
    kv->page_bytes = stat.ms_psize;
    return 0;
}

/* The same, with as large a map as there are addresses for. */
static int open_env(struct kv *kv, const struct kv_conf *conf)
{
    size_t map_size = kv_map_first(conf);
    int rc = kv_room_for_lock(kv);

    if (rc != 0)
        return rc;
    kv->ahead_to = 0;
    kv->ahead_look = 0;
    rc = open_env_of(kv, conf, map_size);

    while ((rc == ENOMEM || rc == EINVAL) && (map_size = kv_map_smaller(map_size)) != 0) {
        close_env(kv);
        rc = open_env_of(kv, conf, map_size);
    }
    return rc;
}

/* Every page that the file says it has must be there: a page behind its end is not an error but a
 * SIGBUS. */
static int check_length(struct kv *kv, bool *ret_ok)
{
    MDB_envinfo info;
    struct stat st;
    int fd = -1;
    int rc;

    rc = mdb_env_get_fd(kv->env, &fd);
    if (rc == 0)
        rc = mdb_env_info(kv->env, &info);
    if (rc == 0 && fstat(fd, &st) != 0)
        rc = errno;
    if (rc != 0)
        return rc;
    kv->file_pages = (uint64_t)st.st_size / kv->page_bytes;
    *ret_ok = info.me_last_pgno < kv->file_pages;
    return 0;
}

/* The mark's own words, and the folder it is in. */
static int say_newer_mark(const struct kv *kv)
{
    char why[256];

    (void)snprintf(why, sizeof(why), "%s", err_text());
    return err_say(KV_E_NEWER, "the state in '%s': %s", kv->dir, why);
}

/* Reads where the state stands and leaves kv->read_txn reset. 0, KV_E_DAMAGED, -errno. */
static int read_state(struct kv *kv)
{
    MDB_stat stat;
    int code;
    int rc;

    code = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &kv->read_txn);
    if (code == 0)
        code = mdb_dbi_open(kv->read_txn, NULL, 0, &kv->dbi);
    if (code == 0)
        code = mdb_stat(kv->read_txn, kv->dbi, &stat);
    if (code != 0)
        return kv_lmdb_damage(code) ? err_say(KV_E_DAMAGED, "%s", mdb_strerror(code))
                                    : err_trace(kv_lmdb_fatal(kv, code, "read"));
    rc = kv_meta_get(kv, &kv->committed);
    if (rc != 0)
        return err_trace(rc);
    if (kv->committed.last_applied.index == 0 && stat.ms_entries > 0)
        return err_say(KV_E_DAMAGED, "it holds keys but does not say up to which entry");
    rc = kv_used_bytes(kv, kv->read_txn);
    if (rc != 0)
        return err_fold(rc);
    mdb_txn_reset(kv->read_txn);
    kv->pending = kv->committed;
    kv->stored = kv->committed;
    kv->sessions_known = false;
    kv->sessions_changed = false;
    kv_publish(kv);
    return 0;
}

static void doubt(struct trust_verdict *v, const char *why)
{
    v->trust = KV_REBUILD;
    (void)snprintf(v->why, sizeof(v->why), "%s", why);
}

/* LMDB's own view of a file that the walk found whole. Damage becomes a doubt. */
static int open_walked(struct kv *kv, const struct kv_conf *conf, struct trust_verdict *v)
{
    bool long_enough = false;
    int code;
    int rc;

    code = open_env(kv, conf);
    if (code == 0)
        code = check_length(kv, &long_enough);
    if (code != 0) {
        if (!kv_lmdb_damage(code))
            return err_trace(kv_lmdb_fatal(kv, code, "open the state"));
        doubt(v, mdb_strerror(code));
        return 0;
    }
    if (!long_enough) {
        doubt(v, "'" TRUST_DATA_NAME "' is shorter than what it holds");
        return 0;
    }
    if (v->trust == KV_TRUSTED_SAME_BOOT) {
        /* The kernel reports a failed write-back once. Were the file believed after a sync that
         * failed, the next start would sync with success and believe pages that never reached
         * the disk. The mark goes on saying whose file it is (DISK-41). */
        rc = trust_record_doubt(kv->dir_fd, kv->incarnation);
        if (err_is_full(rc)) /* taking it away needs no room, and says no less */
            rc = mark_remove(kv->dir_fd, TRUST_NAME);
        if (rc != 0)
            return err_trace(rc);
        code = mdb_env_sync(kv->env, 1);
        if (code != 0)
            return err_trace(kv_lmdb_fatal(kv, code, "sync the state"));
    }
    rc = read_state(kv);
    if (rc < 0 && !atomic_load(&kv->distrusted))
        return err_trace(rc);
    if (rc != 0)
        doubt(v, err_text());
    else if (v->trust == KV_TRUSTED_CLEAN &&
             (kv->committed.last_applied.index != v->clean_id.index ||
              kv->committed.last_applied.term != v->clean_id.term))
        doubt(v, "'" TRUST_DATA_NAME "' is not the one that was closed");
    return 0;
}

/* Opens a file that its marks speak for. Its contents may still contradict them, or themselves:
 * then v becomes KV_REBUILD and nothing is open. The walk comes before LMDB, which would follow a
 * damaged page wherever it leads (STATE-12), and before the first change to folder or file: what is
 * refused stays as it was (DISK-24). */
static int open_trusted(struct kv *kv, const struct kv_conf *conf, struct trust_verdict *v)
{
    int rc = walk_file(kv, &kv->opening);

    if (rc == KV_E_DAMAGED) {
        doubt(v, err_text());
        return 0;
    }
    if (rc == 0)
        rc = open_walked(kv, conf, v);
    if (v->trust == KV_REBUILD)
        close_env(kv);
    return rc < 0 ? err_trace(rc) : rc;
}

/* What was known of the file that was open: another one takes its place. */
static void forget_file(struct kv *kv)
{
    kv->committed = (struct kv_meta){0};
    kv->stored = kv->committed;
    memtable_clear(&kv->memtable);
    memtable_clear(&kv->immutable.table);
    kv->immutable.is_there = false;
    kv->immutable.has_failed = false;
    memtable_clear(&kv->flushed);
    kv->committed_ring = (struct digest_ring){0};
    kv->pending_ring = kv->committed_ring;
    scrub_forget_file(kv->scrub);
    range_forget_file(kv);
    absent_forget_file(&kv->absent);
    atomic_store(&kv->distrusted, false);
}

static int open_fresh(struct kv *kv, const struct kv_conf *conf)
{
    bool long_enough = false;
    int code;
    int rc;

    kv_leave_file(kv, TRUST_OLD_NAME); /* what was set aside before gives way to what is now */
    rc = trust_set_aside(kv->dir_fd);
    if (rc != 0)
        return err_trace(rc);
    forget_file(kv);
    code = open_env(kv, conf);
    if (err_is_full(-code)) { /* what was set aside is dearer than nothing, and no more than that */
        close_env(kv);
        kv_give_room(kv);
        (void)unlinkat(kv->dir_fd, TRUST_DATA_NAME, 0);
        code = open_env(kv, conf);
    }
    if (code == 0)
        code = check_length(kv, &long_enough);
    if (code != 0)
        return err_trace(kv_lmdb_fatal(kv, code, "make a new state"));
    if (!long_enough)
        return err_origin(err_say(-EIO, "a new state in '%s' is damaged", kv->dir));
    rc = read_state(kv);
    return err_fold(rc);
}

/* Where there is no room for it there is none, or one of this file, this boot and an earlier open:
 * an end without a clean close has the state made again from the log, or finds what is true
 * (SPACE-10). */
static int record_trust(const struct kv *kv)
{
    int rc = trust_record(kv->dir_fd, kv->incarnation, &kv->boot);

    return err_is_full(rc) ? 0 : err_trace(rc);
}

int kv_open(const struct kv_conf *conf, enum kv_trust *ret_trust, struct kv **ret_kv)
{
    const uint64_t begin_us = clock_mono_us();
    cleanup_kv struct kv *kv = NULL;
    struct trust_verdict v;
    int rc;

    rid_assert(conf->dir[0] == '/');
    rid_assert(conf->map_size_bytes > 0);
    rid_assert(conf->map_size_bytes < SIZE_MAX / 2);
    kv = kv_new(conf);
    if (kv == NULL)
        return err_origin(err_say(-ENOMEM, "cannot open '%s': out of memory", conf->dir));
    rc = open_dir(kv);
    if (rc != 0)
        return err_trace(rc);
    rc = trust_examine(kv->dir_fd, kv->incarnation, &kv->boot, &v);
    if (rc == KV_E_NEWER)
        return say_newer_mark(kv);
    if (rc == 0 && (v.trust == KV_TRUSTED_SAME_BOOT || v.trust == KV_TRUSTED_CLEAN))
        rc = open_trusted(kv, conf, &v);
    if (rc == 0) /* of an end between kv_prepare() and kv_switch(); it may be prepared again */
        (void)unlinkat(kv->dir_fd, TRUST_NEXT_NAME, 0);
    if (rc == 0)
        rc = shown_look(kv, v.trust == KV_REBUILD);
    if (rc == 0 && (v.trust == KV_REBUILD || v.trust == KV_NEW))
        rc = open_fresh(kv, conf);
    /* TRUST before CLEAN goes, so that a crash between them leaves one of the two. CLEAN is gone
     * before the first change: no start may believe what that leaves half done (STATE-5). */
    if (rc == 0)
        rc = record_trust(kv);
    if (rc == 0)
        rc = mark_remove(kv->dir_fd, TRUST_CLEAN_NAME);
    if (rc != 0)
        return err_trace(rc);
    if (v.trust == KV_REBUILD)
        (void)err_say(0, "the state in '%s' is not trusted and rebuilt from the log: %s", kv->dir,
                      v.why);
    kv->opening.open_us = clock_mono_us() - begin_us;
    *ret_trust = v.trust;
    mark_keep_reserve(kv->dir_fd);
    shown_open(kv);
    kv->is_open = true;
    *ret_kv = take_ptr(kv);
    return 0;
}

/* The marks go first: a crash at any point leaves a file that nothing speaks for,
 * and the next start rebuilds (STATE-4). */
int kv_rebuild(struct kv *kv)
{
    int rc = shown_note(kv); /* it may have gone on since it was distrusted */
    int mark = kv_distrust(kv);

    rid_assert(!kv->applying);
    rid_assert(!kv->reading);
    rid_assert(!copying_runs(kv));
    if (rc == 0 || err_is_full(rc)) /* as in kv_distrust() */
        rc = mark;
    close_env(kv);
    if (rc == 0)
        rc = open_fresh(kv, &kv->conf);
    if (rc == 0)
        rc = record_trust(kv);
    if (rc != 0)
        atomic_store(&kv->distrusted, true);
    return err_is_full(rc) ? err_say(KV_E_FULL, "cannot make the state in '%s' anew: %s", kv->dir,
                                     strerror(-rc))
                           : err_trace(rc);
}

/* All of a switch that may find no room, while the old file is open still: until the rename nothing
 * has happened but that no mark speaks for it, and after it the old one has no name. */
static int put_prepared(struct kv *kv)
{
    int rc = shown_note(kv);

    if (rc == 0 || err_is_full(rc)) /* as in kv_distrust() */
        rc = trust_remove_marks(kv->dir_fd);
    if (rc != 0)
        return err_trace(rc);
    kv_leave_file(kv, TRUST_DATA_NAME);
    if (renameat(kv->dir_fd, TRUST_NEXT_NAME, kv->dir_fd, TRUST_DATA_NAME) != 0)
        return err_origin_errno("switch to", TRUST_NEXT_NAME);
    kv->prepared.is_there = false;
    /* Lost with the power, the rename leaves a file that no mark speaks for: the next mark syncs
     * the folder again, and where it cannot there is none. */
    if (fsync(kv->dir_fd) != 0 && !err_is_full(-errno))
        return err_origin_errno("sync the directory of", TRUST_DATA_NAME);
    return 0;
}

static int open_again(struct kv *kv)
{
    bool long_enough = false;
    int code = open_env(kv, &kv->conf);

    if (code == 0)
        code = check_length(kv, &long_enough);
    if (code == 0)
        code = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &kv->read_txn);
    if (code == 0)
        code = mdb_dbi_open(kv->read_txn, NULL, 0, &kv->dbi);
    if (code != 0)
        return err_trace(kv_lmdb_fatal(kv, code, "open the state again"));
    return long_enough ? 0 : kv_record_damaged(kv, record_meta_key, "the file became shorter");
}

static int begin_anew(struct kv *kv)
{
    struct kv_meta meta = {0};
    int rc;

    close_env(kv);
    scrub_forget_file(kv->scrub);
    range_forget_file(kv);
    absent_forget_file(&kv->absent);
    rc = open_again(kv);
    if (rc == 0)
        rc = kv_meta_get(kv, &meta);
    if (rc == 0 && (meta.last_applied.index != kv->stored.last_applied.index ||
                    !digest_equal(meta.digest, kv->stored.digest)))
        rc = kv_record_damaged(kv, record_meta_key, "it is not the one that was written last");
    if (rc != 0)
        return rc > 0 ? err_origin(-EBADMSG) : err_trace(rc);
    mdb_txn_reset(kv->read_txn);
    return 0;
}

/* LMDB goes on with nothing once it could not write a head, which is the last thing that a
 * transaction writes: MDB_PANIC. The file is what it was, or it is damaged, which shows; and what
 * it lacks is in memory (STATE-17). Beside a copy, which has it open, it is left alone: then it is
 * made again. */
int kv_mend(struct kv *kv)
{
    int rc;

    rid_assert(!kv->is_looking);
    if (mdb_txn_renew(kv->read_txn) != MDB_PANIC) {
        mdb_txn_reset(kv->read_txn);
        return 0;
    }
    if (!copying_bar(kv))
        return 0;
    rc = begin_anew(kv);
    copying_unbar(kv);
    return err_trace(rc);
}

/* The file that was prepared, under its new name. */
static int open_prepared(struct kv *kv)
{
    bool long_enough = false;
    int code;
    int rc;

    close_env(kv);
    forget_file(kv);
    code = open_env(kv, &kv->conf);
    if (code == 0)
        code = check_length(kv, &long_enough);
    if (code != 0)
        return err_trace(kv_lmdb_fatal(kv, code, "open the copy"));
    rc = read_state(kv);
    if (rc < 0)
        return err_trace(rc);
    if (rc != 0 || !long_enough ||
        kv->committed.last_applied.index != kv->prepared.last_applied.index ||
        kv->committed.last_applied.term != kv->prepared.last_applied.term ||
        !digest_equal(kv->committed.digest, kv->prepared.digest))
        return err_origin(err_say(-EBADMSG, "'%s' in '%s' is not the copy that was prepared",
                                  TRUST_DATA_NAME, kv->dir));
    return 0;
}

/* As in kv_rebuild() the marks go first, so that none ever speaks for another file (STATE-16). */
int kv_switch(struct kv *kv)
{
    const bool was_distrusted = kv_is_distrusted(kv);
    int rc;

    rid_assert(kv->prepared.is_there);
    rid_assert(!kv->applying);
    rid_assert(!kv->reading);
    rid_assert(!copying_runs(kv));
    rc = put_prepared(kv);
    if (err_is_full(rc)) {
        /* As it was: a mark may speak for it again. Without one the next start rebuilds. */
        if (!was_distrusted)
            (void)record_trust(kv);
        return err_say(KV_E_FULL, "cannot switch the state in '%s': %s", kv->dir, strerror(-rc));
    }
    if (rc == 0)
        rc = open_prepared(kv);
    if (rc == 0)
        rc = record_trust(kv);
    if (rc != 0)
        atomic_store(&kv->distrusted, true);
    return err_trace(rc);
}

static int close_clean(struct kv *kv)
{
    int rc;

    if (atomic_load(&kv->distrusted))
        return err_origin(err_say(
            -EBADMSG, "the state in '%s' was found damaged: it is rebuilt at the next start",
            kv->dir));
    rc = kv_flush(kv);
    if (rc != 0 && rc != KV_E_FULL)
        return err_trace(rc);
    rc = mdb_env_sync(kv->env, 1);
    if (rc != 0) {
        (void)kv_distrust(kv);
        return err_trace(kv_lmdb_fatal(kv, rc, "sync the state"));
    }
    close_env(kv);
    return err_trace(trust_record_clean(kv->dir_fd, kv->incarnation, kv->stored.last_applied));
}

int kv_close(struct kv *kv, bool clean)
{
    int rc = 0;

    if (kv == NULL)
        return 0;
    kv_abort(kv);
    if (kv->reading)
        kv_read_end(kv);
    kv->is_open = false; /* nobody waits any more, and a clean end may need the room */
    kv_clear_leavings(kv);
    if (clean)
        rc = close_clean(kv);
    kv_free(kv);
    return err_trace(rc);
}

struct kv_opening kv_get_opening(const struct kv *kv)
{
    return kv->opening;
}

bool kv_is_ahead(const struct kv *kv)
{
    return kv->env != NULL && kv->stored.last_applied.index != kv->committed.last_applied.index;
}

struct raft_entry_id kv_last_applied(const struct kv *kv)
{
    return kv->committed.last_applied;
}

bool kv_digest_at(const struct kv *kv, raft_index index, struct kv_digest *ret_digest)
{
    const size_t place = index / KV_DIGEST_EVERY % KV_DIGESTS_KEPT;

    if (index == 0)
        return false;
    if (index == kv->committed.last_applied.index) {
        *ret_digest = kv->committed.digest;
        return true;
    }
    if (kv->committed_ring.at[place].index != index)
        return false;
    *ret_digest = kv->committed_ring.at[place].digest;
    return true;
}

void kv_publish(struct kv *kv)
{
    (void)pthread_mutex_lock(&kv->stats_lock);
    kv->applied = kv->committed.last_applied;
    kv->stats = (struct kv_stats){
        .n_keys = kv->committed.n_keys,
        .live_bytes = kv->committed.live_bytes,
        .limit_bytes = kv->committed.limit_bytes,
        .map_bytes = kv->map_bytes,
        .used_bytes = kv->used_bytes,
        .sessions = kv->committed.sessions,
        .digest = kv->committed.digest,
        .digest_index = kv->committed.last_applied.index,
    };
    (void)pthread_mutex_unlock(&kv->stats_lock);
}

int kv_get_stats(struct kv *kv, struct kv_stats *ret_stats)
{
    (void)pthread_mutex_lock(&kv->stats_lock);
    *ret_stats = kv->stats;
    (void)pthread_mutex_unlock(&kv->stats_lock);
    return 0;
}

uint64_t kv_file_bytes(const struct kv *kv)
{
    struct stat st;

    if (fstatat(kv->dir_fd, TRUST_DATA_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    return (uint64_t)st.st_size;
}
