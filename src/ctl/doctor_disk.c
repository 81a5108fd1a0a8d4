/* How long this disk takes to make a write of the log durable, measured.
 *
 * The file has a name, though one without (O_TMPFILE) would leave nothing behind in any case: some
 * file systems (btrfs) skip most of the work of a sync for a file that nobody can find again, and
 * the figure would be a fairy tale. So the signals that end a program are held back while the file
 * is there, and are given their way when it is gone. What a SIGKILL leaves is removed by the next
 * measurement in that folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "ctl/doctor_int.h"

#include "base/banned.h"

static const char prefix[] = ".ridctl-doctor-";

/* One record of a small write, a batch of some, and one of many clients. */
static const size_t write_sizes[DOCTOR_SYNC_SIZES] = {512, 4096, DOCTOR_SYNC_SIZE_MAX};

static int compare_us(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* One in a hundred, and one at least, is left out of the 99th percentile, as in a node's status. */
void doctor_figures(uint64_t *us, unsigned n, struct sync_figures *ret)
{
    unsigned left_out = n / 100 > 0 ? n / 100 : 1;

    ret->n = n;
    ret->p50_us = 0;
    ret->p99_us = 0;
    ret->max_us = 0;
    if (n == 0)
        return;
    qsort(us, n, sizeof(us[0]), compare_us);
    ret->p50_us = us[(n - 1) / 2];
    ret->p99_us = us[n > left_out ? n - 1 - left_out : 0];
    ret->max_us = us[n - 1];
}

/* ---- the measurement ---- */

struct measuring {
    int dir_fd;
    int fd;
    char name[64];
    sigset_t held; /* the mask before */
    uint64_t end_us;
    uint64_t bytes;
    uint64_t us[DOCTOR_SYNC_SIZES][DOCTOR_SYNCS_MAX];
    unsigned n[DOCTOR_SYNC_SIZES];
    unsigned char data[DOCTOR_SYNC_SIZE_MAX];
};

static void ending_signals(sigset_t *ret)
{
    (void)sigemptyset(ret);
    (void)sigaddset(ret, SIGINT);
    (void)sigaddset(ret, SIGTERM);
    (void)sigaddset(ret, SIGHUP);
    (void)sigaddset(ret, SIGQUIT);
}

static bool was_signalled(void)
{
    sigset_t ending;
    sigset_t pending;

    ending_signals(&ending);
    if (sigpending(&pending) != 0)
        return false;
    for (int s = 1; s < NSIG; s++)
        if (sigismember(&ending, s) == 1 && sigismember(&pending, s) == 1)
            return true;
    return false;
}

/* What a measurement left that was killed; of one that runs now the file is younger. */
static void remove_old(int dir_fd)
{
    cleanup_fd int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;

    if (dir == NULL)
        return;
    fd = -1; /* the stream's from here on */
    while ((e = readdir(dir)) != NULL) {
        struct stat st;

        if (strncmp(e->d_name, prefix, sizeof(prefix) - 1) == 0 &&
            fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_mtime + DOCTOR_LEFT_S < time(NULL))
            (void)unlinkat(dir_fd, e->d_name, 0);
    }
}

static int begin(struct measuring *m, const char *dir)
{
    m->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->dir_fd < 0)
        return err_origin_errno("open", dir);
    remove_old(m->dir_fd);
    (void)snprintf(m->name, sizeof(m->name), "%s%ld", prefix, (long)getpid());
    m->fd = openat(m->dir_fd, m->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return m->fd >= 0 ? 0 : err_origin_errno("make a file in", dir);
}

static int write_at(struct measuring *m, size_t len, off_t at)
{
    struct iovec iov = {.iov_base = m->data, .iov_len = len};
    ssize_t n = pwritev(m->fd, &iov, 1, at);

    if (n < 0)
        return err_origin_errno("write to", m->name);
    m->bytes += (uint64_t)n;
    return (size_t)n == len ? 0 : err_origin(-EIO);
}

/* As the log's segments: every block is written once before it counts. */
static int prepare(struct measuring *m)
{
    int rc = 0;

    for (off_t at = 0; rc == 0 && at < DOCTOR_FILE_BYTES; at += DOCTOR_SYNC_SIZE_MAX)
        rc = write_at(m, DOCTOR_SYNC_SIZE_MAX, at);
    if (rc == 0 && fdatasync(m->fd) != 0)
        rc = err_origin_errno("sync", m->name);
    return rc;
}

/* As long as it took: a node that runs on this disk keeps half of it. */
static void pause_for(uint64_t us)
{
    const struct timespec ts = {.tv_sec = (time_t)(us / 1000000),
                                .tv_nsec = (long)(us % 1000000) * 1000};

    (void)nanosleep(&ts, NULL);
}

static int sync_once(struct measuring *m, unsigned size, off_t *at)
{
    const size_t len = write_sizes[size];
    const uint64_t begun_us = clock_mono_us();
    uint64_t us;
    int rc;

    if (*at + (off_t)len > DOCTOR_FILE_BYTES)
        *at = 0;
    rc = write_at(m, len, *at);
    if (rc != 0)
        return rc;
    if (fdatasync(m->fd) != 0)
        return err_origin_errno("sync", m->name);
    us = clock_mono_us() - begun_us;
    m->us[size][m->n[size]++] = us;
    *at += (off_t)len;
    pause_for(us < DOCTOR_SYNC_US ? us : DOCTOR_SYNC_US);
    return 0;
}

static int measure(struct measuring *m)
{
    off_t at = 0;
    int rc = prepare(m);

    m->end_us = clock_mono_us() + DOCTOR_SYNC_US;
    for (unsigned i = 0; rc == 0 && i < DOCTOR_SYNCS_MAX; i++) {
        const unsigned size = i % DOCTOR_SYNC_SIZES;

        if (clock_mono_us() >= m->end_us || m->bytes + write_sizes[size] > DOCTOR_SYNC_BYTES_MAX)
            break;
        if (was_signalled())
            return -EINTR;
        rc = sync_once(m, size, &at);
    }
    return rc;
}

static void take_figures(struct measuring *m, struct disk_figures *ret)
{
    uint64_t all[DOCTOR_SYNCS_MAX];
    unsigned n = 0;

    for (unsigned s = 0; s < DOCTOR_SYNC_SIZES; s++) {
        memcpy(&all[n], m->us[s], m->n[s] * sizeof(all[0]));
        n += m->n[s];
        doctor_figures(m->us[s], m->n[s], &ret->sizes[s]);
        ret->sizes[s].bytes = write_sizes[s];
    }
    doctor_figures(all, n, &ret->all);
    ret->all.bytes = 0;
    ret->bytes_written = m->bytes;
}

int doctor_measure(const char *dir, struct disk_figures *ret)
{
    cleanup_free struct measuring *m = calloc(1, sizeof(*m));
    sigset_t ending;
    int rc;

    if (m == NULL)
        return err_origin(-ENOMEM);
    m->fd = -1;
    memset(m->data, 0xa5, sizeof(m->data)); /* no zeros, which a disk may keep as nothing */
    ending_signals(&ending);
    (void)sigprocmask(SIG_BLOCK, &ending, &m->held);
    rc = begin(m, dir);
    if (rc == 0)
        rc = measure(m);
    if (m->fd >= 0) {
        (void)unlinkat(m->dir_fd, m->name, 0); /* DOCTOR-1: before any signal is taken */
        (void)close(m->fd);
    }
    if (m->dir_fd >= 0)
        (void)close(m->dir_fd);
    (void)sigprocmask(SIG_SETMASK, &m->held, NULL);
    if (rc == 0)
        take_figures(m, ret);
    return rc;
}

/* ---- what it means ---- */

/* DOCTOR-6: a vote and the first entry of a term are synced one behind the other on two nodes while
 * the others wait: a timeout of ten such round trips bears an election on a bad day. */
uint64_t doctor_election_ms(uint64_t fsync_p99_us, uint64_t rtt_us)
{
    const uint64_t ms = (DOCTOR_ELECTION_SYNCS * (fsync_p99_us + rtt_us) + 999) / 1000;
    const uint64_t rounded = (ms + 49) / 50 * 50;

    return rounded > DOCTOR_ELECTION_MS_MIN ? rounded : DOCTOR_ELECTION_MS_MIN;
}

static void judge_slow(struct findings *f, const char *where, const struct disk_figures *d,
                       uint64_t rtt_us, uint64_t election_us)
{
    const double p99_ms = (double)d->all.p99_us / 1e3;
    const uint64_t wanted_ms = doctor_election_ms(d->all.p99_us, rtt_us);
    const bool hopeless = d->all.p99_us * 100 >= election_us * DISK_SLOW_PERCENT;
    char next[FINDING_NEXT_BUF];

    (void)snprintf(next, sizeof(next),
                   "set election_ms = %llu and heartbeat_ms = %llu on every node, or give the log "
                   "another disk",
                   (unsigned long long)wanted_ms, (unsigned long long)(wanted_ms / 10));
    finding_add(f, hopeless ? FINDING_FAIL : FINDING_WARN, "fsync", where, next,
                "p99 %.1f ms is %.0f %% of election_ms = %llu (p50 %.1f ms, longest %.1f ms, %u "
                "syncs): %s",
                p99_ms, (double)d->all.p99_us * 100.0 / (double)election_us,
                (unsigned long long)(election_us / 1000), (double)d->all.p50_us / 1e3,
                (double)d->all.max_us / 1e3, d->all.n,
                hopeless ? "leaders will lose their office to this disk"
                         : "an election may not be over within its time");
    finding_figure(f, p99_ms, "ms");
}

void doctor_judge_disk(struct findings *f, const char *where, const struct disk_figures *d,
                       uint64_t rtt_us, uint64_t heartbeat_us, uint64_t election_us)
{
    if (d->all.n == 0) {
        finding_add(f, FINDING_NOTE, "fsync", where, NULL, "not one sync ended in time");
        return;
    }
    if ((d->all.p99_us + rtt_us) * DOCTOR_ELECTION_SYNCS > election_us) {
        judge_slow(f, where, d, rtt_us, election_us);
    } else {
        finding_add(
            f, FINDING_OK, "fsync", where, NULL,
            "p50 %.2f ms, p99 %.2f ms, longest %.2f ms of %u syncs; heartbeat_ms = %llu and "
            "election_ms = %llu bear up to %.0f ms (election_ms >= %llu would do)",
            (double)d->all.p50_us / 1e3, (double)d->all.p99_us / 1e3, (double)d->all.max_us / 1e3,
            d->all.n, (unsigned long long)(heartbeat_us / 1000),
            (unsigned long long)(election_us / 1000),
            (double)election_us / 1e3 / DOCTOR_ELECTION_SYNCS,
            (unsigned long long)doctor_election_ms(d->all.p99_us, rtt_us));
        finding_figure(f, (double)d->all.p99_us / 1e3, "ms");
    }
    for (unsigned s = 0; s < DOCTOR_SYNC_SIZES; s++) {
        const struct sync_figures *x = &d->sizes[s];

        finding_add(f, FINDING_OK, "fsync", where, NULL,
                    "of %zu bytes: p50 %.2f ms, p99 %.2f ms, longest %.2f ms (%u)", x->bytes,
                    (double)x->p50_us / 1e3, (double)x->p99_us / 1e3, (double)x->max_us / 1e3,
                    x->n);
        finding_figure(f, (double)x->p50_us / 1e3, "ms");
        finding_is_detail(f);
    }
}
