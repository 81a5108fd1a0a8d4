/* Preloaded into ridd by the chaos driver: it may make a sync fail or take long, shift the wall
 * clock, and let the clock that nobody slews run at another rate or stand still, when the control
 * file says so; it sends the daemon's connections to its peers through
 * the proxy; and the name hangs.test, of a host or a
 * user, is one that nobody ever answers for. With
 * RIDD_SHIM_NO_SYNC a sync does nothing, for tests that are not about the disk and whose outcome
 * must not depend on it: no test with it may speak of what is durable. With RIDD_SHIM_MAGIC (a
 * number) all file systems say that they are of that kind. With RIDD_SHIM_BOOT (a file) the machine's boot
 * has the id that stands there. With RIDD_SHIM_VMCLOCK (a file) that is what the hypervisor says of
 * the machine.
 *
 * Why connect() is redirected here: all nodes share one configuration file, and each node listens
 * on the address that the others dial. Addresses of a proxy in that file would be addresses nobody
 * listens on. So the daemon dials the true port, and RIDD_SHIM_PORTS ("true=proxy,true=proxy") says
 * where that leads from this node. Nothing in the daemon knows of it. Connections to other ports,
 * or not to 127.0.0.1, are left alone. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"

#define PORTS_MAX 16

static struct shim_control *control;
static struct {
    unsigned short from;
    unsigned short to;
} ports[PORTS_MAX];
static unsigned n_ports;
static int no_sync;

static int (*real_getaddrinfo)(const char *, const char *, const struct addrinfo *,
                               struct addrinfo **);
static int (*real_getpwnam_r)(const char *, struct passwd *, char *, size_t, struct passwd **);
static int (*real_open)(const char *, int, ...);
static int (*real_connect)(int, const struct sockaddr *, socklen_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_fstatfs)(int, struct statfs *);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_gettimeofday)(struct timeval *, void *);

/* A function pointer out of dlsym()'s object pointer, the way POSIX shows it. */
static void find(void *ret_function, const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);

    if (p == NULL)
        abort();
    memcpy(ret_function, &p, sizeof(p));
}

static void find_all(void)
{
    if (real_gettimeofday != NULL)
        return;
    find(&real_getaddrinfo, "getaddrinfo");
    find(&real_getpwnam_r, "getpwnam_r");
    find(&real_open, "open");
    find(&real_connect, "connect");
    find(&real_fdatasync, "fdatasync");
    find(&real_fsync, "fsync");
    find(&real_fstatfs, "fstatfs");
    find(&real_pread, "pread");
    find(&real_pwrite, "pwrite");
    find(&real_pwritev, "pwritev");
    find(&real_clock_gettime, "clock_gettime");
    find(&real_gettimeofday, "gettimeofday");
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("RIDD_SHIM_CONTROL");
    const char *map = getenv("RIDD_SHIM_PORTS");

    find_all();
    no_sync = getenv("RIDD_SHIM_NO_SYNC") != NULL;
    if (path != NULL) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *p = fd >= 0 ? mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                          : MAP_FAILED;

        if (p == MAP_FAILED)
            _exit(125); /* a run that only seems to have faults would prove nothing */
        (void)close(fd);
        control = p;
    }
    while (map != NULL && *map != '\0' && n_ports < PORTS_MAX) {
        char *end;

        ports[n_ports].from = (unsigned short)strtoul(map, &end, 10);
        if (*end != '=')
            _exit(125);
        ports[n_ports].to = (unsigned short)strtoul(end + 1, &end, 10);
        n_ports++;
        map = *end == ',' ? end + 1 : NULL;
    }
}

int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    struct sockaddr_in in;

    find_all();
    if (sa->sa_family != AF_INET || len < sizeof(in))
        return real_connect(fd, sa, len);
    memcpy(&in, sa, sizeof(in));
    for (unsigned i = 0; i < n_ports; i++) {
        if (ntohs(in.sin_port) != ports[i].from || in.sin_addr.s_addr != htonl(INADDR_LOOPBACK))
            continue;
        in.sin_port = htons(ports[i].to);
        if (control != NULL)
            atomic_fetch_add(&control->n_redirected, 1);
        break;
    }
    return real_connect(fd, (struct sockaddr *)&in, sizeof(in));
}

static int is_out_of_room(unsigned what)
{
    if (control == NULL || (atomic_load(&control->no_room) & what) == 0)
        return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    find_all();
    return is_out_of_room(SHIM_NO_WRITE) ? -1 : real_pwrite(fd, data, n, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t offset)
{
    return pwrite(fd, data, n, offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    find_all();
    return is_out_of_room(SHIM_NO_WRITE) ? -1 : real_pwritev(fd, iov, n, offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off_t offset)
{
    return pwritev(fd, iov, n, offset);
}

int open(const char *path, int flags, ...)
{
    const char *boot = getenv("RIDD_SHIM_BOOT");
    const char *vmclock = getenv("RIDD_SHIM_VMCLOCK");
    mode_t mode = 0;
    va_list ap;

    find_all();
    va_start(ap, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(ap, mode_t);
    va_end(ap);
    if (boot != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        path = boot;
    if (vmclock != NULL && strcmp(path, "/dev/vmclock0") == 0)
        path = vmclock;
    return real_open(path, flags, mode);
}

int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

int fstatfs(int fd, struct statfs *ret)
{
    const char *magic = getenv("RIDD_SHIM_MAGIC");
    int r;

    find_all();
    r = real_fstatfs(fd, ret);
    if (r == 0 && magic != NULL)
        ret->f_type = (__typeof__(ret->f_type))strtoul(magic, NULL, 0);
    return r;
}

static void before_read(size_t n)
{
    unsigned ms;

    if (control == NULL || n <= SHIM_LARGE_READ)
        return;
    ms = atomic_load(&control->slow_read_ms);
    while (ms > 0) {
        struct timespec ts = {0, (ms < 20 ? ms : 20) * 1000000L};
        const unsigned now_ms = atomic_load(&control->slow_read_ms);

        (void)nanosleep(&ts, NULL);
        if (ms != UINT_MAX)
            ms -= ms < 20 ? ms : 20;
        if (now_ms == UINT_MAX)
            ms = now_ms;
        else if (now_ms == 0 || ms == UINT_MAX)
            break;
    }
}

ssize_t pread(int fd, void *data, size_t n, off_t offset)
{
    find_all();
    before_read(n);
    return real_pread(fd, data, n, offset);
}

ssize_t pread64(int fd, void *data, size_t n, off_t offset)
{
    return pread(fd, data, n, offset);
}

/* Delays, then true when the sync is to fail. */
static int before_sync(void)
{
    unsigned left;
    unsigned ms;

    if (control == NULL)
        return 0;
    atomic_fetch_add(&control->n_syncs, 1);
    if (is_out_of_room(SHIM_NO_SYNC))
        return 1;
    left = atomic_load(&control->kill_sync);
    while (left > 0 && !atomic_compare_exchange_weak(&control->kill_sync, &left, left - 1))
        ;
    if (left == 1)
        (void)raise(SIGKILL);
    ms = atomic_load(&control->slow_sync_ms);
    while (ms > 0) { /* in steps, so that healing does not have to wait */
        struct timespec ts = {0, (ms < 20 ? ms : 20) * 1000000L};

        (void)nanosleep(&ts, NULL);
        ms -= ms < 20 ? ms : 20;
        if (atomic_load(&control->slow_sync_ms) == 0)
            break;
    }
    left = atomic_load(&control->fail_sync);
    while (left > 0 && !atomic_compare_exchange_weak(&control->fail_sync, &left, left - 1))
        ;
    if (left != 1)
        return 0;
    atomic_fetch_add(&control->n_failed, 1);
    errno = EIO;
    return 1;
}

int fdatasync(int fd)
{
    find_all();
    if (before_sync())
        return -1;
    return no_sync ? 0 : real_fdatasync(fd);
}

int fsync(int fd)
{
    find_all();
    if (before_sync())
        return -1;
    return no_sync ? 0 : real_fsync(fd);
}

static int64_t ns_of(const struct timespec *ts)
{
    return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

static void show(struct timespec *ts, int64_t ns)
{
    ts->tv_sec = (time_t)(ns / 1000000000);
    ts->tv_nsec = (long)(ns % 1000000000);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int r;

    find_all();
    r = real_clock_gettime(id, ts);
    if (r == 0 && control != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ts->tv_sec += (time_t)atomic_load(&control->clock_shift_s);
    if (r == 0 && control != NULL && id == CLOCK_MONOTONIC_RAW)
        show(ts, shim_clocks_show(&control->clocks, ns_of(ts)));
    if (r == 0 && control != NULL && id == CLOCK_BOOTTIME)
        show(ts, ns_of(ts) + atomic_load(&control->clocks.boot_shift_ns));
    return r;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    int r;

    find_all();
    r = real_gettimeofday(tv, zone);
    if (r == 0 && control != NULL)
        tv->tv_sec += (time_t)atomic_load(&control->clock_shift_s);
    return r;
}

time_t time(time_t *ret)
{
    struct timespec ts;

    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        return (time_t)-1;
    if (ret != NULL)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}

/* A user whom only a directory knows that never answers. */
int getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t size, struct passwd **ret)
{
    find_all();
    if (strcmp(name, "hangs.test") == 0)
        for (;;)
            (void)pause();
    return real_getpwnam_r(name, pw, buf, size, ret);
}

/* A name whose server never answers. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    find_all();
    if (host != NULL && strcmp(host, "hangs.test") == 0 && hints != NULL &&
        (hints->ai_flags & AI_NUMERICHOST) == 0)
        for (;;)
            (void)pause();
    return real_getaddrinfo(host, port, hints, ret);
}
