/* Where lines go: a bounded ring, and a thread that writes them.
 *
 * write(2) to standard error waits for whoever reads it: a pager that stands, a pipe that is full,
 * a journal that hangs. In the loop that would be the end of heartbeats (LOOP-1). O_NONBLOCK is no
 * way out: it is a flag of the open file, which the terminal or the pipe of the parent shares with
 * others. So a thread of its own waits in write(2), and who logs only copies into memory; when that
 * is full the line is dropped, and counted in a line of its own as soon as there is room. */
#include "base/log_sink_int.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"

#include "base/banned.h"

struct sink {
    pthread_mutex_t lock;
    pthread_cond_t wake;    /* there is something to write */
    pthread_cond_t written; /* and now it is written */
    bool runs;
    bool writing; /* a piece is out of the ring and not yet written */
    size_t head;  /* of the ring: where the oldest line begins */
    size_t len;
    uint64_t n_dropped; /* since the last line that told */
    char ring[LOG_RING_BYTES];
};
static struct sink sink = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void put(const char *text, size_t len)
{
    size_t at = (sink.head + sink.len) % sizeof(sink.ring);
    size_t first = len < sizeof(sink.ring) - at ? len : sizeof(sink.ring) - at;

    memcpy(sink.ring + at, text, first);
    memcpy(sink.ring, text + first, len - first);
    sink.len += len;
}

static bool fits(size_t len)
{
    return sink.len + len <= sizeof(sink.ring);
}

/* Before the line that has room again, so that the gap is told where it is. */
static void put_dropped(void)
{
    char line[LOG_LINE_BYTES_MAX];
    size_t len;

    if (sink.n_dropped == 0)
        return;
    len = log_format(line, sizeof(line), LOG_WARNING, "log_lines_dropped", "n=%llu why='%s'",
                     (unsigned long long)sink.n_dropped, "standard error is not read");
    if (!fits(len))
        return;
    put(line, len);
    sink.n_dropped = 0;
}

/* Whole lines, so that they do not mix with those of others; at most what a pipe takes in one
 * piece. */
static size_t take(char *piece, size_t size)
{
    size_t n = 0;
    size_t whole = 0;

    for (; n < sink.len && n < size; n++) {
        piece[n] = sink.ring[(sink.head + n) % sizeof(sink.ring)];
        if (piece[n] == '\n')
            whole = n + 1;
    }
    sink.head = (sink.head + whole) % sizeof(sink.ring);
    sink.len -= whole;
    return whole;
}

static void write_out(const char *piece, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(STDERR_FILENO, piece + done, len - done);
        struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};

        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno == EAGAIN) /* another process made it non-blocking */
            (void)poll(&pfd, 1, LOG_FLUSH_MS);
        else if (n == 0 || errno != EINTR)
            return; /* nobody will ever read it */
    }
}

static void *sink_main(void *arg)
{
    char piece[LOG_PIECE_BYTES];

    (void)arg;
    (void)pthread_mutex_lock(&sink.lock);
    for (;;) {
        size_t len;

        while (sink.len == 0)
            (void)pthread_cond_wait(&sink.wake, &sink.lock);
        len = take(piece, sizeof(piece));
        sink.writing = true;
        (void)pthread_mutex_unlock(&sink.lock);
        write_out(piece, len);
        (void)pthread_mutex_lock(&sink.lock);
        sink.writing = false;
        put_dropped();
        (void)pthread_cond_broadcast(&sink.written);
    }
    return NULL;
}

int log_start_thread(void)
{
    pthread_condattr_t attr;
    pthread_t thread;
    int rc;

    if (sink.runs)
        return 0;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&sink.wake, NULL);
    (void)pthread_cond_init(&sink.written, &attr);
    (void)pthread_condattr_destroy(&attr);
    rc = thread_start("ridd-lines", sink_main, NULL, &thread);
    if (rc != 0)
        return err_trace(rc);
    (void)pthread_detach(thread);
    (void)pthread_mutex_lock(&sink.lock);
    sink.runs = true;
    (void)pthread_mutex_unlock(&sink.lock);
    return 0;
}

void log_sink_put(const char *line, size_t len)
{
    (void)pthread_mutex_lock(&sink.lock);
    if (!sink.runs) {
        (void)pthread_mutex_unlock(&sink.lock);
        (void)!write(STDERR_FILENO, line, len);
        return;
    }
    put_dropped();
    if (sink.n_dropped == 0 && fits(len))
        put(line, len);
    else
        sink.n_dropped++;
    (void)pthread_cond_signal(&sink.wake);
    (void)pthread_mutex_unlock(&sink.lock);
}

void log_flush(void)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOG_FLUSH_MS / 1000;
    (void)pthread_mutex_lock(&sink.lock);
    while (sink.runs && (sink.len > 0 || sink.writing) &&
           pthread_cond_timedwait(&sink.written, &sink.lock, &until) == 0)
        continue;
    (void)pthread_mutex_unlock(&sink.lock);
}

void log_last_words(const char *text, size_t len)
{
    struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (poll(&pfd, 1, LOG_FLUSH_MS) == 1)
        (void)!write(STDERR_FILENO, text, len);
}
