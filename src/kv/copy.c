/* Copies of the running state (SNAP-4).
 *
 * LMDB writes a compacted copy of one moment into a pipe, on a thread of its own (and one more of
 * LMDB's); the caller's thread reads the pipe and hands pieces on. So a copy needs no second place
 * on the disk, and whoever takes it says how fast it goes.
 *
 * It may be ended at any time, also while the caller's thread waits for its sink: whoever ends it
 * closes the reading end, LMDB's next write fails (EPIPE), its walk ends, and transaction and map
 * are free, whatever the sink does. That is why the end that is read from stands in struct copying,
 * is read without waiting, and under the lock.
 *
 * What was met in LMDB 0.9.24 (mdb_env_copyfd1), and stands behind the choices here:
 * - Its writer takes a signal that interrupts a write for a failure: both threads run with all
 *   signals blocked, the one of LMDB by inheritance.
 * - After EPIPE it waits, without end, for the SIGPIPE that came with it. A pipe sends one each
 *   time; a socket does not when the write was waiting, so it must not be a socket.
 * - It believes the pages that it copies, and compares nothing but the last page's number with what
 *   the list of free pages lets it expect. A page that was lost is MDB_INCOMPATIBLE: such a file
 *   can never be copied, and is made again, as a damaged one is. Whoever keeps a copy checks it
 *   (kv_check_copy()).
 * - What is free on a page is not cleared: two copies of one state may differ there. */
#include "kv/copy_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/limits.h"
#include "kv/kv_int.h"

#include "base/banned.h"

void copying_init(struct copying *c)
{
    *c = (struct copying){.read_fd = -1, .wake_fd = -1};
    (void)pthread_mutex_init(&c->lock, NULL); /* cannot fail without attributes */
}

void copying_done(struct copying *c)
{
    rid_assert(c->wake_fd < 0);
    (void)pthread_mutex_destroy(&c->lock);
}

static void close_reading_end(struct copying *c)
{
    if (c->read_fd >= 0)
        (void)close(c->read_fd);
    c->read_fd = -1;
}

static void end_locked(struct copying *c)
{
    if (c->read_fd < 0)
        return;
    c->was_ended = true;
    close_reading_end(c);
    (void)eventfd_write(c->wake_fd, 1);
}

void copying_end(struct kv *kv)
{
    (void)pthread_mutex_lock(&kv->copying.lock);
    end_locked(&kv->copying);
    (void)pthread_mutex_unlock(&kv->copying.lock);
}

bool copying_runs(struct kv *kv)
{
    bool runs;

    (void)pthread_mutex_lock(&kv->copying.lock);
    runs = kv->copying.wake_fd >= 0;
    (void)pthread_mutex_unlock(&kv->copying.lock);
    return runs;
}

bool copying_bar(struct kv *kv)
{
    struct copying *c = &kv->copying;
    bool is_barred;

    (void)pthread_mutex_lock(&c->lock);
    is_barred = c->wake_fd < 0;
    c->is_barred = is_barred;
    (void)pthread_mutex_unlock(&c->lock);
    return is_barred;
}

void copying_unbar(struct kv *kv)
{
    (void)pthread_mutex_lock(&kv->copying.lock);
    kv->copying.is_barred = false;
    (void)pthread_mutex_unlock(&kv->copying.lock);
}

void kv_copy_stop(struct kv *kv)
{
    (void)pthread_mutex_lock(&kv->copying.lock);
    kv->copying.is_halted = true;
    end_locked(&kv->copying);
    (void)pthread_mutex_unlock(&kv->copying.lock);
}

void kv_copy_go(struct kv *kv)
{
    (void)pthread_mutex_lock(&kv->copying.lock);
    kv->copying.is_halted = false;
    (void)pthread_mutex_unlock(&kv->copying.lock);
}

/* ---- the thread that runs LMDB's copy ---- */

struct writer {
    struct kv *kv;
    pthread_t thread;
    int write_fd; /* owned by the thread */
    int code;     /* what LMDB said */
};

/* The map is held here and not by the caller's thread, whose sink may wait for long. */
static void *run_writer(void *arg)
{
    struct writer *w = arg;

    kv_map_hold(w->kv);
    w->code = mdb_env_copyfd2(w->kv->env, w->write_fd, MDB_CP_COMPACT);
    kv_map_release(w->kv);
    (void)close(w->write_fd);
    return NULL;
}

static int start_writer(struct writer *w)
{
    sigset_t all;
    sigset_t before;
    int error;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&w->thread, NULL, run_writer, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        return 0;
    (void)close(w->write_fd);
    return err_origin(err_say(-error, "cannot copy the state: %s", strerror(error)));
}

/* ---- the caller's thread ---- */

static int open_pipe(int ret_fds[2], int *ret_wake_fd)
{
    cleanup_fd int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (wake_fd < 0 || pipe2(ret_fds, O_CLOEXEC) != 0)
        return err_origin_errno("make", "pipe");
    /* Of this end only; LMDB knows no write that does not wait. Where the pipe may not be larger it
     * is as it was. */
    (void)fcntl(ret_fds[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(ret_fds[1], F_SETPIPE_SZ, (int)KV_COPY_PIECE_BYTES);
    *ret_wake_fd = take_fd(wake_fd);
    return 0;
}

/* 0, KV_E_STOPPED: nothing was begun. */
static int begin(struct kv *kv, struct writer *w)
{
    struct copying *c = &kv->copying;
    int fds[2] = {-1, -1};
    int wake_fd = -1;
    int rc = open_pipe(fds, &wake_fd);
    bool is_halted;

    if (rc != 0)
        return err_trace(rc);
    (void)pthread_mutex_lock(&c->lock);
    rid_assert(c->wake_fd < 0);
    is_halted = c->is_halted || c->is_barred;
    if (!is_halted) {
        c->was_ended = false;
        c->read_fd = fds[0];
        c->wake_fd = wake_fd;
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (!is_halted) {
        w->write_fd = fds[1];
        return 0;
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)close(wake_fd);
    return KV_E_STOPPED;
}

/* True when somebody had ended it. */
static bool end(struct kv *kv)
{
    struct copying *c = &kv->copying;
    bool was_ended;

    (void)pthread_mutex_lock(&c->lock);
    close_reading_end(c);
    (void)close(c->wake_fd);
    c->wake_fd = -1;
    was_ended = c->was_ended;
    (void)pthread_mutex_unlock(&c->lock);
    return was_ended;
}

/* The number may be that of another file by the time that it is waited for: then the eventfd has
 * been told, and this returns at once. */
static void wait_for_bytes(const struct copying *c, int read_fd)
{
    struct pollfd fds[2] = {{.fd = read_fd, .events = POLLIN},
                            {.fd = c->wake_fd, .events = POLLIN}};

    (void)poll(fds, 2, -1);
}

/* Fills a piece. *ret_n is less only at the end. 0, KV_E_STOPPED, -errno. */
static int read_piece(struct kv *kv, unsigned char *piece, size_t *ret_n)
{
    struct copying *c = &kv->copying;
    size_t n = 0;

    while (n < KV_COPY_PIECE_BYTES) {
        ssize_t got = -1;
        int error = 0;
        int read_fd;

        (void)pthread_mutex_lock(&c->lock);
        read_fd = c->read_fd;
        if (read_fd >= 0) {
            got = read(read_fd, piece + n, KV_COPY_PIECE_BYTES - n);
            error = errno;
        }
        (void)pthread_mutex_unlock(&c->lock);
        if (read_fd < 0)
            return KV_E_STOPPED;
        if (got == 0)
            break;
        if (got > 0)
            n += (size_t)got;
        else if (error == EAGAIN)
            wait_for_bytes(c, read_fd);
        else if (error != EINTR)
            return err_origin(err_say(-error, "cannot copy the state: %s", strerror(error)));
    }
    *ret_n = n;
    return 0;
}

static int pump(struct kv *kv, const struct kv_sink *sink)
{
    cleanup_free unsigned char *piece = malloc(KV_COPY_PIECE_BYTES);
    size_t n = KV_COPY_PIECE_BYTES;
    int rc = 0;

    if (piece == NULL)
        return err_origin(err_say(-ENOMEM, "cannot copy the state: out of memory"));
    while (rc == 0 && n == KV_COPY_PIECE_BYTES) {
        rc = read_piece(kv, piece, &n);
        if (rc == 0 && n > 0)
            rc = sink->write(sink->ctx, piece, n);
    }
    return rc;
}

/* Being full is nothing that a copy meets: all that is written is a pipe. */
static int copy_error(struct kv *kv, int code)
{
    if (code > 0)
        return err_origin(err_say(-code, "cannot copy the state: %s", strerror(code)));
    if (!kv_lmdb_damage(code))
        return err_origin(err_say(-EIO, "cannot copy the state: %s", mdb_strerror(code)));
    (void)kv_distrust(kv);
    return err_say(KV_E_DAMAGED, "cannot copy the state: %s", mdb_strerror(code));
}

static int say_not_trusted(void)
{
    return err_say(KV_E_DAMAGED, "the state is not trusted: a copy of it would not be either");
}

int kv_copy(struct kv *kv, const struct kv_sink *sink)
{
    struct writer w = {.kv = kv, .write_fd = -1};
    bool was_ended;
    int rc;

    if (kv_is_distrusted(kv))
        return say_not_trusted();
    rc = begin(kv, &w);
    if (rc != 0)
        return rc > 0 ? rc : err_trace(rc);
    rc = start_writer(&w);
    if (rc != 0) {
        (void)end(kv);
        return err_trace(rc);
    }
    rc = pump(kv, sink);
    was_ended = end(kv);
    (void)pthread_join(w.thread, NULL);
    /* That the pipe came to its end says only that LMDB did. */
    if (rc == 0 && w.code != 0)
        rc = was_ended ? KV_E_STOPPED : copy_error(kv, w.code);
    if (rc == 0 && kv_is_distrusted(kv))
        rc = say_not_trusted();
    return rc < 0 ? err_trace(rc) : rc;
}
