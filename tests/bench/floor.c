/* What no store on this machine can be faster than: how long the disk takes to make 512 bytes durable,
 * alone and with three processes that ask it at once, each in blocks of its own that exist already;
 * and how long one byte takes to another process and back over loopback.
 *
 * usage: floor --dir DIR [--seconds S]; prints one line of NAME=VALUE, in microseconds. The disk is
 * that of DIR. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/histogram.h"

#define RECORD_BYTES 512u
#define FILE_BYTES   (16u << 20)
#define N_AT_ONCE    3u

static void die(const char *what)
{
    (void)fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static double us_at(const struct histogram_fine *h, unsigned permille)
{
    return (double)histogram_fine_at(h, permille) / 1e3;
}

static void *shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("memory");
    return p;
}

/* ---- the disk ---- */

/* Written once before: blocks that are only reserved are marked as written by the sync that writes
 * them. */
static int make_file(const char *dir, unsigned i)
{
    cleanup_free char *path = NULL;
    cleanup_free char *zeros = calloc(1, 1u << 20);
    int fd;

    if (zeros == NULL || asprintf(&path, "%s/floor-%u", dir, i) < 0)
        die("memory");
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || unlink(path) != 0)
        die(path);
    for (unsigned at = 0; at < FILE_BYTES; at += 1u << 20)
        if (pwrite(fd, zeros, 1u << 20, at) != 1 << 20)
            die(path);
    if (fsync(fd) != 0)
        die(path);
    return fd;
}

static void sync_on(int fd, uint64_t until_ns, struct histogram_fine *h)
{
    char record[RECORD_BYTES];
    unsigned at = 0;
    uint64_t from_ns;

    memset(record, 'x', sizeof(record));
    while ((from_ns = now_ns()) < until_ns) {
        if (pwrite(fd, record, sizeof(record), at) != (ssize_t)sizeof(record) || fdatasync(fd) != 0)
            die("a sync");
        histogram_fine_add(h, now_ns() - from_ns);
        at = (at + RECORD_BYTES) % FILE_BYTES;
    }
}

static void measure_disk(const char *dir, unsigned n, double seconds, struct histogram_fine *ret)
{
    struct histogram_fine *each = shared(n * sizeof(each[0]));
    int fds[N_AT_ONCE];
    int status;

    for (unsigned i = 0; i < n; i++)
        fds[i] = make_file(dir, i);
    for (unsigned i = 0; i < n; i++) {
        const pid_t pid = fork();

        if (pid < 0)
            die("a process");
        if (pid == 0) {
            sync_on(fds[i], now_ns() + (uint64_t)(seconds * 1e9), &each[i]);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (wait(&status) < 0 || status != 0)
            die("a process");
        (void)close(fds[i]);
    }
    for (unsigned i = 0; i < n; i++)
        histogram_fine_merge(ret, &each[i]);
    (void)munmap(each, n * sizeof(each[0]));
}

/* ---- loopback ---- */

static void no_delay(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void echo(int listener)
{
    const int fd = accept(listener, NULL, NULL);
    char byte;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    no_delay(fd);
    while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
        ;
    _exit(0);
}

static void measure_loopback(double seconds, struct histogram_fine *ret)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);
    cleanup_fd int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t until_ns;
    uint64_t from_ns;
    char byte = 'x';
    pid_t pid;

    if (listener < 0 || fd < 0 || bind(listener, (const struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&a, &len) != 0)
        die("a socket");
    pid = fork();
    if (pid < 0)
        die("a process");
    if (pid == 0)
        echo(listener);
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0)
        die("a connection");
    no_delay(fd);
    until_ns = now_ns() + (uint64_t)(seconds * 1e9);
    while ((from_ns = now_ns()) < until_ns) {
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            die("loopback");
        histogram_fine_add(ret, now_ns() - from_ns);
    }
    (void)shutdown(fd, SHUT_RDWR);
    (void)waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    static struct histogram_fine alone;
    static struct histogram_fine at_once;
    static struct histogram_fine trip;
    const char *dir = NULL;
    double seconds = 1;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--dir") == 0)
            dir = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(argv[i + 1], NULL);
    }
    if (dir == NULL || argc % 2 == 0 || !(seconds > 0 && seconds < 3600)) {
        (void)fprintf(stderr, "usage: floor --dir DIR [--seconds S]\n");
        return 64;
    }
    measure_disk(dir, 1, seconds, &alone);
    measure_disk(dir, N_AT_ONCE, seconds, &at_once);
    measure_loopback(seconds, &trip);
    (void)printf("sync_p50_us=%.1f sync_p99_us=%.1f sync3_p50_us=%.1f sync3_p99_us=%.1f "
                 "loopback_p50_us=%.1f loopback_p99_us=%.1f\n",
                 us_at(&alone, 500), us_at(&alone, 990), us_at(&at_once, 500), us_at(&at_once, 990),
                 us_at(&trip, 500), us_at(&trip, 990));
    return fflush(stdout) == 0 ? 0 : 1;
}
