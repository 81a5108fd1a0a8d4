/* One TCP connection, non-blocking underneath, with a deadline on every call. The deadline is
 * absolute, so that signals and short reads never make a call longer. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lookup.h"
#include "client/client_int.h"

#include "base/banned.h"

void conn_init(struct conn *c)
{
    memset(c, 0, sizeof(*c));
    c->fd = -1;
    buf_init(&c->in);
}

void conn_close(struct conn *c)
{
    if (c->fd >= 0)
        (void)close(take_fd(c->fd));
    buf_done(&c->in);
    c->n_taken = 0;
    c->n_scanned = 0;
}

void conn_reset_on_close(struct conn *c, bool on)
{
    const struct linger linger = {.l_onoff = on, .l_linger = 0};

    if (c->fd >= 0)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* Waits for events until the deadline: CONN_OK when something is to be done (errors included: the
 * call that follows finds them), CONN_E_TIMEOUT. */
static enum conn_result conn_wait(int fd, short events, uint64_t deadline_us)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        uint64_t now_us = clock_mono_us();
        uint64_t left_ms = deadline_us > now_us ? (deadline_us - now_us + 999) / 1000 : 0;
        int n = poll(&p, 1, left_ms > CALL_POLL_MS_MAX ? CALL_POLL_MS_MAX : (int)left_ms);

        if (n > 0)
            return CONN_OK;
        if (n == 0 && left_ms <= CALL_POLL_MS_MAX)
            return CONN_E_TIMEOUT;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return CONN_E_CLOSED;
    }
}

static void say_errno(char *why, size_t why_size, const struct endpoint *to, int error)
{
    char text[128];
    const char *s = strerror_r(error, text, sizeof(text)); /* GNU's */
    char first = s[0];

    if (first >= 'A' && first <= 'Z')
        first = (char)(first - 'A' + 'a');
    (void)snprintf(why, why_size, "cannot connect to %s: %c%s", to->text, first,
                   s + (s[0] != '\0'));
}

/* A long wait (compare_read_methods) must notice a host that vanished: after 10 s of silence it is
 * asked three times. */
static void set_options(int fd)
{
    const int on = 1;
    const int idle_s = 10;
    const int interval_s = 5;
    const int n_probes = 3;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n_probes, sizeof(n_probes));
}

/* A connected socket, or -1 with errno. */
static int connect_one(const struct addrinfo *ai, uint64_t deadline_us)
{
    cleanup_fd int fd =
        socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
    int error = 0;
    socklen_t len = sizeof(error);

    if (fd < 0)
        return -1;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        if (errno != EINPROGRESS && errno != EINTR)
            return -1;
        if (conn_wait(fd, POLLOUT, deadline_us) != CONN_OK) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            return -1;
        if (error != 0) {
            errno = error;
            return -1;
        }
    }
    set_options(fd);
    return take_fd(fd);
}

/* Whether a socket on a port of this host that nobody listens on was connected to itself, which TCP
 * allows when the kernel happens to choose that very port as the source: it would echo the request
 * as its own answer. */
static bool is_own_end(int fd)
{
    struct sockaddr_storage a;
    struct sockaddr_storage b;
    socklen_t a_len = sizeof(a);
    socklen_t b_len = sizeof(b);

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    return getsockname(fd, (struct sockaddr *)&a, &a_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&b, &b_len) == 0 && a_len == b_len &&
           memcmp(&a, &b, a_len) == 0;
}

/* The addresses of a server: 0, or an EAI_ code. First as an address, which asks nobody; a name is
 * asked for by a thread, since a name server may be silent for longer than the call lasts (LOOP-2).
 * *ret_late: it was. */
static int find(const struct endpoint *to, uint64_t deadline_us, struct addrinfo **ret_list,
                bool *ret_late)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct lookup *lookup = NULL;
    int unused;
    int rc = getaddrinfo(to->host, to->port, &hints, ret_list);

    if (rc != EAI_NONAME)
        return rc;
    rc = lookup_start(to->host, to->port, AI_ADDRCONFIG, -1, &lookup);
    if (rc != 0)
        return rc == -ENOMEM ? EAI_MEMORY : EAI_AGAIN;
    *ret_late = lookup_wait(lookup, deadline_us) != 0;
    rc = *ret_late ? EAI_AGAIN : lookup_take(lookup, ret_list, &unused);
    lookup_drop(lookup);
    return rc;
}

enum conn_result conn_open(struct conn *c, const struct endpoint *to, uint64_t deadline_us,
                           char *why, size_t why_size)
{
    struct addrinfo *list = NULL;
    bool late = false;
    int error = ETIMEDOUT;
    int rc;

    conn_close(c);
    rc = find(to, deadline_us, &list, &late);
    if (rc == EAI_MEMORY)
        return CONN_E_MEMORY;
    if (rc != 0) {
        (void)snprintf(why, why_size, "cannot find the address of %s: %s", to->text,
                       late ? "no answer from the name server in time" : gai_strerror(rc));
        return CONN_E_UNREACHABLE;
    }
    for (const struct addrinfo *ai = list; ai != NULL && c->fd < 0; ai = ai->ai_next) {
        uint64_t now_us = clock_mono_us();
        uint64_t until_us = deadline_us;

        /* An address that swallows packets leaves time for the next one. */
        if (ai->ai_next != NULL && deadline_us > now_us)
            until_us = now_us + (deadline_us - now_us) / 2;
        c->fd = connect_one(ai, until_us);
        if (c->fd < 0) {
            error = errno;
        } else if (is_own_end(c->fd)) {
            (void)close(take_fd(c->fd));
            error = ECONNREFUSED;
        }
    }
    freeaddrinfo(list);
    if (c->fd < 0) {
        say_errno(why, why_size, to, error);
        return CONN_E_UNREACHABLE;
    }
    c->to = *to;
    return CONN_OK;
}

enum conn_result conn_send(struct conn *c, const void *data, size_t len, uint64_t deadline_us,
                           size_t *ret_sent)
{
    const unsigned char *p = data;

    *ret_sent = 0;
    while (*ret_sent < len) {
        ssize_t n = send(c->fd, p + *ret_sent, len - *ret_sent, MSG_NOSIGNAL);
        enum conn_result r;

        if (n >= 0) {
            *ret_sent += (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return CONN_E_CLOSED;
        r = conn_wait(c->fd, POLLOUT, deadline_us);
        if (r != CONN_OK)
            return r;
    }
    return CONN_OK;
}

/* Drops the line that was returned last. */
static void drop_taken(struct conn *c)
{
    buf_consume(&c->in, c->n_taken);
    c->n_taken = 0;
}

/* A whole line out of what was received, or NULL. Its newline becomes a NUL. */
static const char *take_line(struct conn *c, size_t *ret_len)
{
    char *start = (char *)c->in.data;
    char *newline;
    size_t len;

    if (c->in.len == c->n_scanned)
        return NULL;
    newline = memchr(start + c->n_scanned, '\n', c->in.len - c->n_scanned);
    if (newline == NULL) {
        c->n_scanned = c->in.len;
        return NULL;
    }
    len = (size_t)(newline - start);
    c->n_taken = len + 1;
    c->n_scanned = 0;
    if (len > 0 && start[len - 1] == '\r')
        len--;
    start[len] = '\0';
    *ret_len = len;
    return start;
}

/* Receives some bytes. */
static enum conn_result receive(struct conn *c, uint64_t deadline_us)
{
    size_t room = c->in.len < 4096 ? 4096 : c->in.len;
    void *p = buf_reserve(&c->in, room);

    if (p == NULL)
        return CONN_E_MEMORY;
    for (;;) {
        ssize_t n = recv(c->fd, p, room, 0);
        enum conn_result r;

        if (n > 0) {
            c->in.len += (size_t)n;
            return CONN_OK;
        }
        if (n == 0)
            return CONN_E_CLOSED;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return CONN_E_CLOSED;
        r = conn_wait(c->fd, POLLIN, deadline_us);
        if (r != CONN_OK)
            return r;
    }
}

enum conn_result conn_line(struct conn *c, uint64_t deadline_us, const char **ret_line,
                           size_t *ret_len)
{
    drop_taken(c);
    for (;;) {
        enum conn_result r;
        const char *line;

        while ((line = take_line(c, ret_len)) != NULL) {
            if (*ret_len > 0) {
                *ret_line = line;
                return CONN_OK;
            }
            drop_taken(c);
        }
        if (c->in.len > CALL_LINE_BYTES_MAX)
            return CONN_E_TOO_LONG;
        r = receive(c, deadline_us);
        if (r != CONN_OK)
            return r;
    }
}

bool conn_stale(const struct conn *c)
{
    char byte;
    ssize_t n;

    if (c->fd < 0 || c->in.len > c->n_taken)
        return true;
    do
        n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}
