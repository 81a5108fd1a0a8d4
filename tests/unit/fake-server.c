/* One thread accepts, one thread per connection answers. Plain blocking code: the tests are about
 * the other side. */
#include "unit/fake-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNECTIONS_MAX 8192
#define LINES_MAX       65536
#define HELD_MAX        4096

struct connection {
    struct fake_server *server;
    pthread_t thread;
    int fd;     /* -1: closed */
    void *conn; /* of the transport; NULL: plain */
};

struct fake_server {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    int fd;
    char address[32];
    const struct fake_step *steps;
    unsigned *used;
    size_t n_steps;
    const struct fake_transport *transport; /* NULL: plain */
    const char *greeting;
    int greeting_closes;
    unsigned greeting_times;
    bool stopping;
    bool goes_on;
    unsigned n_closed;
    unsigned n_connections;
    struct connection connections[CONNECTIONS_MAX];
    unsigned n_held;
    struct held {
        struct connection *connection;
        char *line; /* one of lines */
    } held[HELD_MAX];
    unsigned n_lines;
    char *lines[LINES_MAX];
};

static void send_all(const struct connection *c, const char *data, size_t len, size_t piece)
{
    while (len > 0) {
        size_t n = len < piece ? len : piece;
        ssize_t sent = c->conn != NULL ? c->server->transport->send(c->conn, data, n)
                                       : send(c->fd, data, n, MSG_NOSIGNAL);

        if (sent < 0 && errno != EINTR)
            return;
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        }
    }
}

/* The digits behind "msg_id": of a request, "null" without them. */
static void find_msg_id(const char *line, char *ret, size_t size)
{
    const char *p = strstr(line, "\"msg_id\":");
    size_t n = p != NULL ? strspn(p + 9, "0123456789") : 0;

    if (n > 0)
        (void)snprintf(ret, size, "%.*s", (int)n, p + 9);
    else
        (void)snprintf(ret, size, "null");
}

static void send_reply(const struct connection *c, const char *reply, const char *line,
                       size_t piece)
{
    char id[32];
    const char *at;

    find_msg_id(line, id, sizeof(id));
    while ((at = strstr(reply, "%ID")) != NULL) {
        send_all(c, reply, (size_t)(at - reply), piece);
        send_all(c, id, strlen(id), piece);
        reply = at + 3;
    }
    send_all(c, reply, strlen(reply), piece);
    send_all(c, "\n", 1, piece);
}

static void send_flood(const struct connection *c)
{
    static const char x[4096] = {[0 ... 4095] = 'x'};

    for (int i = 0; i < 512; i++)
        send_all(c, x, sizeof(x), sizeof(x));
}

/* Keeps the line and chooses the step. */
static const struct fake_step *take_line(struct connection *c, const char *line)
{
    struct fake_server *s = c->server;
    const struct fake_step *found = NULL;

    (void)pthread_mutex_lock(&s->mutex);
    if (s->n_lines < LINES_MAX)
        s->lines[s->n_lines++] = strdup(line);
    for (size_t i = 0; i < s->n_steps && found == NULL; i++) {
        const struct fake_step *step = &s->steps[i];

        if (step->action == FAKE_REPLY_AFTER && s->used[i + 1] == 0)
            continue;
        if (step->times != 0 && s->used[i] >= step->times)
            continue;
        if (step->match != NULL && strstr(line, step->match) == NULL)
            continue;
        s->used[i]++;
        found = step;
    }
    if (found != NULL && found->action == FAKE_HOLD && s->n_held < HELD_MAX && s->n_lines > 0) {
        s->held[s->n_held].connection = c;
        s->held[s->n_held++].line = s->lines[s->n_lines - 1];
    }
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->mutex);
    return found;
}

/* What a request takes, so that those who answer are alike however busy the machine is. */
static void take_time(void)
{
    const struct timespec time = {.tv_nsec = 2000000};

    (void)nanosleep(&time, NULL);
}

/* False: close the connection. */
static bool answer(struct connection *c, const char *line)
{
    struct fake_server *s = c->server;
    const struct fake_step *step = take_line(c, line);

    if (step == NULL)
        return true;
    switch (step->action) {
    case FAKE_REPLY_IN_TURN:
        take_time();
        send_reply(c, step->reply, line, SIZE_MAX);
        return true;
    case FAKE_REPLY:
    case FAKE_REPLY_AFTER:
        send_reply(c, step->reply, line, SIZE_MAX);
        return true;
    case FAKE_REPLY_BYTEWISE:
        send_reply(c, step->reply, line, 1);
        return true;
    case FAKE_REPLY_AND_CLOSE:
        send_reply(c, step->reply, line, SIZE_MAX);
        return false;
    case FAKE_CLOSE:
        return false;
    case FAKE_SILENT:
    case FAKE_HOLD:
        return true;
    case FAKE_STALL:
        (void)pthread_mutex_lock(&s->mutex);
        while (!s->stopping && !s->goes_on)
            (void)pthread_cond_wait(&s->changed, &s->mutex);
        (void)pthread_mutex_unlock(&s->mutex);
        return !s->stopping;
    case FAKE_FLOOD:
        send_flood(c);
        return true;
    }
    return false;
}

static bool greet(const struct connection *c)
{
    struct fake_server *s = c->server;
    bool go_on = true;

    (void)pthread_mutex_lock(&s->mutex);
    if (s->greeting != NULL && s->greeting_times > 0) {
        s->greeting_times--;
        send_all(c, s->greeting, strlen(s->greeting), SIZE_MAX);
        go_on = !s->greeting_closes;
    }
    (void)pthread_mutex_unlock(&s->mutex);
    return go_on;
}

static bool open_transport(struct connection *c)
{
    const struct fake_transport *t = c->server->transport;
    void *conn = t != NULL ? t->open(t->arg, c->fd) : NULL;

    (void)pthread_mutex_lock(&c->server->mutex);
    c->conn = conn;
    (void)pthread_mutex_unlock(&c->server->mutex);
    return t == NULL || conn != NULL;
}

static void *connection_thread(void *arg)
{
    struct connection *c = arg;
    struct fake_server *s = c->server;
    size_t size = 64u << 10;
    char *data = malloc(size);
    size_t len = 0;
    bool go_on = data != NULL && open_transport(c) && greet(c);

    while (go_on) {
        ssize_t n;
        char *newline;

        if (size - len < 32768) {
            char *more = realloc(data, size * 2);

            if (more == NULL)
                break;
            data = more;
            size *= 2;
        }
        n = c->conn != NULL ? s->transport->receive(c->conn, data + len, size - len - 1)
                            : recv(c->fd, data + len, size - len - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        data[len + (size_t)n] = '\0';
        newline = strchr(data + len, '\n');
        len += (size_t)n;
        for (; go_on && newline != NULL; newline = strchr(data, '\n')) {
            *newline = '\0';
            go_on = answer(c, data);
            len -= (size_t)(newline + 1 - data);
            memmove(data, newline + 1, len + 1);
        }
    }
    (void)pthread_mutex_lock(&s->mutex);
    if (c->conn != NULL)
        s->transport->close(c->conn);
    (void)close(c->fd);
    c->fd = -1;
    s->n_closed++;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->mutex);
    free(data);
    return NULL;
}

static void *accept_thread(void *arg)
{
    struct fake_server *s = arg;

    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        const int on = 1;
        struct connection *c;

        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            return NULL;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)pthread_mutex_lock(&s->mutex);
        if (s->stopping || s->n_connections == CONNECTIONS_MAX) {
            (void)close(fd);
        } else {
            c = &s->connections[s->n_connections];
            c->server = s;
            c->fd = fd;
            if (pthread_create(&c->thread, NULL, connection_thread, c) == 0)
                s->n_connections++;
            else
                (void)close(fd);
        }
        (void)pthread_mutex_unlock(&s->mutex);
    }
}

static int bound_socket(char *ret_address, size_t size)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(ret_address, size, "127.0.0.1:%u", ntohs(a.sin_port));
    return fd;
}

int fake_refusing_port(char *ret_address, size_t size)
{
    return bound_socket(ret_address, size);
}

struct fake_server *fake_start(const struct fake_step *steps, size_t n_steps)
{
    struct fake_server *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->used = calloc(n_steps + 1, sizeof(*s->used));
    assert_non_null(s->used);
    s->steps = steps;
    s->n_steps = n_steps;
    (void)pthread_mutex_init(&s->mutex, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    s->fd = bound_socket(s->address, sizeof(s->address));
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, accept_thread, s), 0);
    return s;
}

void fake_set_greeting(struct fake_server *s, const char *line, int and_close, unsigned times)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->greeting = line;
    s->greeting_closes = and_close;
    s->greeting_times = times;
    (void)pthread_mutex_unlock(&s->mutex);
}

void fake_publish(struct fake_server *s)
{
    (void)pthread_mutex_lock(&s->mutex); /* the threads take it before they look */
    (void)pthread_mutex_unlock(&s->mutex);
}

void fake_set_transport(struct fake_server *s, const struct fake_transport *transport)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->transport = transport;
    (void)pthread_mutex_unlock(&s->mutex);
}

void fake_stop(struct fake_server *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    (void)pthread_cond_broadcast(&s->changed);
    (void)shutdown(s->fd, SHUT_RDWR); /* ends accept() */
    for (unsigned i = 0; i < s->n_connections; i++)
        if (s->connections[i].fd >= 0)
            (void)shutdown(s->connections[i].fd, SHUT_RDWR);
    (void)pthread_mutex_unlock(&s->mutex);
    (void)pthread_join(s->thread, NULL);
    for (unsigned i = 0; i < s->n_connections; i++)
        (void)pthread_join(s->connections[i].thread, NULL);
    (void)close(s->fd);
    for (unsigned i = 0; i < s->n_lines; i++)
        free(s->lines[i]);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s->used);
    free(s);
}

const char *fake_address(const struct fake_server *s)
{
    return s->address;
}

unsigned fake_count(struct fake_server *s, const char *match)
{
    unsigned n = 0;

    (void)pthread_mutex_lock(&s->mutex);
    for (unsigned i = 0; i < s->n_lines; i++)
        n += match == NULL || strstr(s->lines[i], match) != NULL;
    (void)pthread_mutex_unlock(&s->mutex);
    return n;
}

const char *fake_line(struct fake_server *s, const char *match, unsigned nth)
{
    const char *found = "";

    (void)pthread_mutex_lock(&s->mutex);
    for (unsigned i = 0; i < s->n_lines; i++)
        if ((match == NULL || strstr(s->lines[i], match) != NULL) && nth-- == 0)
            found = s->lines[i];
    (void)pthread_mutex_unlock(&s->mutex);
    return found;
}

static void deadline_in(struct timespec *ret, time_t seconds)
{
    (void)clock_gettime(CLOCK_REALTIME, ret);
    ret->tv_sec += seconds;
}

/* Takes a held line out; false: there is none. With the mutex. */
static bool take_held(struct fake_server *s, const char *match, struct held *ret)
{
    for (unsigned i = 0; i < s->n_held; i++) {
        if (match != NULL && strstr(s->held[i].line, match) == NULL)
            continue;
        *ret = s->held[i];
        memmove(&s->held[i], &s->held[i + 1], (s->n_held - i - 1) * sizeof(s->held[0]));
        s->n_held--;
        return true;
    }
    return false;
}

int fake_answer(struct fake_server *s, const char *match, const char *reply)
{
    struct timespec until;
    struct held h;
    bool found;
    int r = 0;

    deadline_in(&until, 10);
    (void)pthread_mutex_lock(&s->mutex);
    while (!(found = take_held(s, match, &h)) && r == 0)
        r = pthread_cond_timedwait(&s->changed, &s->mutex, &until);
    found = found && h.connection->fd >= 0;
    if (found)
        send_reply(h.connection, reply, h.line, SIZE_MAX);
    (void)pthread_mutex_unlock(&s->mutex);
    return found;
}

void fake_go_on(struct fake_server *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->goes_on = true;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->mutex);
}

unsigned fake_connections(struct fake_server *s)
{
    unsigned n;

    (void)pthread_mutex_lock(&s->mutex);
    n = s->n_connections;
    (void)pthread_mutex_unlock(&s->mutex);
    return n;
}

void fake_hang_up(struct fake_server *s)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)pthread_mutex_lock(&s->mutex);
    for (unsigned i = 0; i < s->n_connections; i++) {
        if (s->connections[i].fd < 0)
            continue;
        (void)setsockopt(s->connections[i].fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        (void)shutdown(s->connections[i].fd, SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&s->mutex);
}

void fake_wait_closed(struct fake_server *s, unsigned n)
{
    struct timespec until;
    int r = 0;

    deadline_in(&until, 5);
    (void)pthread_mutex_lock(&s->mutex);
    while (s->n_closed < n && r == 0)
        r = pthread_cond_timedwait(&s->changed, &s->mutex, &until);
    (void)pthread_mutex_unlock(&s->mutex);
    assert_int_equal(r, 0);
}
