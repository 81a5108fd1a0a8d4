/* A connection until it is there: the address of a name, then one address after the other. A name
 * is asked for by a thread, since a name server may be silent for longer than anybody waits
 * (LOOP-2). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lookup.h"
#include "base/own_end.h"
#include "client/client_int.h"

#include "base/banned.h"

void dial_describe(const struct conn *conn, int error, char *ret, size_t size)
{
    char text[128];
    const char *s = strerror_r(error, text, sizeof(text)); /* GNU's */
    char first = s[0];

    if (conn->state == CONN_LOOKUP) {
        (void)snprintf(ret, size,
                       "cannot find the address of %s: no answer from the name server in time",
                       conn->to.text);
        return;
    }
    if (conn->state == CONN_SHAKING) {
        (void)snprintf(ret, size, "no TLS with %s: %s", conn->to.text,
                       tls_is_silent(conn->tls)
                           ? "it said nothing in time; does it speak TLS there?"
                           : "the handshake was not done in time");
        return;
    }
    if (conn->state == CONN_PROVING) {
        (void)snprintf(ret, size, "%s did not say in time whether it takes %s", conn->to.text,
                       conn->proof_is_ping ? "the certificate" : "the token");
        return;
    }
    if (first >= 'A' && first <= 'Z')
        first = (char)(first - 'A' + 'a');
    (void)snprintf(ret, size, "cannot connect to %s: %c%s", conn->to.text, first,
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

void dial_done(struct conn *conn)
{
    lookup_drop(take_ptr(conn->lookup));
    if (conn->list != NULL)
        freeaddrinfo(take_ptr(conn->list));
    conn->address = NULL;
}

static void fail(struct conn *conn, const char *why, uint64_t now_us)
{
    conn_fail(conn, CONN_UNREACHABLE, why, now_us);
}

static void close_socket(struct conn *conn)
{
    if (conn->fd >= 0)
        (void)close(take_fd(conn->fd));
    conn->events = 0;
}

static void opened(struct conn *conn, uint64_t now_us)
{
    if (!conn->to.is_local)
        set_options(conn->fd);
    dial_done(conn);
    if (conn->wants_tls) {
        shake_start(conn, now_us);
        return;
    }
    conn_is_open(conn, now_us);
}

/* Begins with the address at hand. 0: it is there, EINPROGRESS: it may come to be, or an errno. */
static int try_address(struct conn *conn)
{
    const struct addrinfo *ai = conn->address;
    int rc;

    conn->fd =
        socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
    if (conn->fd < 0)
        return errno;
    if (connect(conn->fd, ai->ai_addr, ai->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR)
        return errno;
    rc = conn_watch(conn, EPOLLOUT);
    return rc == 0 ? EINPROGRESS : -rc;
}

/* Tries addresses until one is there, or may come to be, or there is none left. */
static void try_addresses(struct conn *conn, uint64_t now_us)
{
    char why[RIDD_TEXT_SIZE];

    for (; conn->address != NULL; conn->address = conn->address->ai_next) {
        uint64_t until_us = conn->dial_until_us;
        int rc = try_address(conn);

        if (rc == 0 && fd_is_own_end(conn->fd))
            rc = ECONNREFUSED;
        if (rc == 0) {
            opened(conn, now_us);
            return;
        }
        if (rc == EINPROGRESS) {
            /* An address that swallows packets leaves time for the next one. */
            if (conn->address->ai_next != NULL && until_us > now_us)
                until_us = now_us + (until_us - now_us) / 2;
            timers_set(&conn->client->timers, &conn->timer, until_us);
            return;
        }
        conn->error = rc;
        close_socket(conn);
    }
    dial_describe(conn, conn->error, why, sizeof(why));
    fail(conn, why, now_us);
}

static void next_address(struct conn *conn, int error, uint64_t now_us)
{
    conn->error = error;
    close_socket(conn);
    conn->address = conn->address->ai_next;
    try_addresses(conn, now_us);
}

static void found(struct conn *conn, int rc, struct addrinfo *list, uint64_t now_us)
{
    char why[RIDD_TEXT_SIZE];

    if (rc != 0) {
        (void)snprintf(why, sizeof(why), "cannot find the address of %s: %s", conn->to.text,
                       gai_strerror(rc));
        if (rc == EAI_MEMORY)
            conn_fail(conn, CONN_MEMORY, why, now_us);
        else
            fail(conn, why, now_us);
        return;
    }
    conn->state = CONN_DIALING;
    conn->list = list;
    conn->address = list;
    try_addresses(conn, now_us);
}

/* It is there at once or not at all; a queue that is full is not waited for. */
static void dial_local(struct conn *conn, uint64_t now_us)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char why[RIDD_TEXT_SIZE];

    conn->state = CONN_DIALING;
    memcpy(un.sun_path, conn->to.host, strlen(conn->to.host));
    conn->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (conn->fd >= 0 && connect(conn->fd, (const struct sockaddr *)&un, sizeof(un)) == 0) {
        opened(conn, now_us);
        return;
    }
    conn->error = errno;
    close_socket(conn);
    dial_describe(conn, conn->error, why, sizeof(why));
    fail(conn, why, now_us);
}
static_assert(CONF_SOCKET_BYTES_MAX < sizeof(((struct sockaddr_un *)NULL)->sun_path),
              "a path that endpoint_parse() takes fits, with its NUL");

static void dial_name(struct conn *conn, uint64_t now_us)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(conn->to.host, conn->to.port, &hints, &list);

    if (rc != EAI_NONAME) {
        found(conn, rc, list, now_us);
        return;
    }
    rc = lookup_start(conn->to.host, conn->to.port, AI_ADDRCONFIG, conn->client->wake_fd,
                      &conn->lookup);
    if (rc != 0) {
        found(conn, rc == -ENOMEM ? EAI_MEMORY : EAI_AGAIN, NULL, now_us);
        return;
    }
    conn->state = CONN_LOOKUP;
    timers_set(&conn->client->timers, &conn->timer, conn->dial_until_us);
}

void dial_start(struct conn *conn, uint64_t now_us)
{
    char why[RIDD_TEXT_SIZE];

    if (!shake_choose(conn, why, sizeof(why))) {
        conn_fail(conn, CONN_UNUSABLE, why, now_us);
        return;
    }
    conn->dial_until_us = now_us + conn->client->connect_timeout_ms * UINT64_C(1000);
    conn->error = ETIMEDOUT;
    if (conn->to.is_local)
        dial_local(conn, now_us);
    else
        dial_name(conn, now_us);
}

void dial_on_lookup(struct conn *conn, uint64_t now_us)
{
    struct addrinfo *list = NULL;
    int unused;
    int rc;

    if (conn->state != CONN_LOOKUP || !lookup_is_done(conn->lookup))
        return;
    rc = lookup_take(conn->lookup, &list, &unused);
    lookup_drop(take_ptr(conn->lookup));
    timers_clear(&conn->client->timers, &conn->timer);
    found(conn, rc, list, now_us);
}

void dial_on_event(struct conn *conn, uint64_t now_us)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0 && fd_is_own_end(conn->fd))
        error = ECONNREFUSED;
    if (error == 0)
        opened(conn, now_us);
    else
        next_address(conn, error, now_us);
}

void dial_on_timer(struct conn *conn, uint64_t now_us)
{
    char why[RIDD_TEXT_SIZE];

    if (conn->state == CONN_DIALING) {
        next_address(conn, ETIMEDOUT, now_us);
        return;
    }
    dial_describe(conn, ETIMEDOUT, why, sizeof(why));
    fail(conn, why, now_us);
}
