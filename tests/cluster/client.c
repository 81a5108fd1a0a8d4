/* One client on a raw socket: what is sent is seen exactly, and so is what comes. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define READ_BYTES 65536u

static int connect_to(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return take_fd(fd);
}

struct client *client_of_fd(int fd)
{
    struct client *cl = calloc(1, sizeof(*cl));

    assert_non_null(cl);
    cl->fd = fd;
    buf_init(&cl->in);
    buf_init(&cl->line);
    return cl;
}

struct client *client_open_port(uint16_t port)
{
    const int fd = connect_to(port);

    if (fd < 0)
        harness_fail("cannot connect to port %u: %s", port, strerror(errno));
    return client_of_fd(fd);
}

struct client *client_open(const struct cluster *c, unsigned node)
{
    return client_open_port(c->nodes[node].port);
}

void client_close(struct client *cl)
{
    if (cl == NULL)
        return;
    (void)close(cl->fd);
    buf_done(&cl->in);
    buf_done(&cl->line);
    free(cl);
}

void client_reset(struct client *cl)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(cl->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    client_close(cl);
}

static void take_in(struct client *cl)
{
    void *room;
    ssize_t got;

    if (cl->taken > READ_BYTES) {
        buf_consume(&cl->in, cl->taken);
        cl->taken = 0;
    }
    room = buf_reserve(&cl->in, READ_BYTES);
    assert_non_null(room);
    got = recv(cl->fd, room, READ_BYTES, MSG_DONTWAIT);
    if (got > 0)
        cl->in.len += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        cl->ended = true;
}

void client_send_raw(struct client *cl, const void *data, size_t len)
{
    const char *at = data;
    uint64_t deadline = now_ms() + slow(WAIT_MS);

    while (len > 0) {
        struct pollfd p = {.fd = cl->fd, .events = (short)(POLLOUT | (cl->ended ? 0 : POLLIN))};
        ssize_t sent;

        if (now_ms() > deadline)
            harness_fail("the server does not take %zu bytes more", len);
        if (poll(&p, 1, 20) <= 0)
            continue;
        if (p.revents & POLLIN)
            take_in(cl);
        sent = send(cl->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            cl->ended = true; /* the test sees it when it waits for the reply */
            return;
        }
        if (sent > 0) {
            at += sent;
            len -= (size_t)sent;
        }
    }
}

size_t client_push(struct client *cl, const void *data, size_t len, unsigned ms)
{
    const char *at = data;
    size_t pushed = 0;

    while (pushed < len) {
        struct pollfd p = {.fd = cl->fd, .events = POLLOUT};
        ssize_t sent;

        if (poll(&p, 1, (int)ms) <= 0)
            return pushed;
        sent = send(cl->fd, at + pushed, len - pushed, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            cl->ended = true;
            return pushed;
        }
        if (sent > 0)
            pushed += (size_t)sent;
    }
    return pushed;
}

void client_send_bytewise(struct client *cl, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        client_send_raw(cl, (const char *)data + i, 1);
}

void client_send(struct client *cl, const char *line)
{
    cleanup_buf struct buf out = BUF_INIT;

    assert_int_equal(buf_add_str(&out, line), 0);
    assert_int_equal(buf_add_str(&out, "\n"), 0);
    client_send_raw(cl, out.data, out.len);
}

void client_sendf(struct client *cl, const char *format, ...)
{
    cleanup_free char *line = NULL;
    va_list ap;

    va_start(ap, format);
    assert_true(vasprintf(&line, format, ap) >= 0);
    va_end(ap);
    client_send(cl, line);
}

void client_half_close(struct client *cl)
{
    (void)shutdown(cl->fd, SHUT_WR);
}

const char *client_recv_within(struct client *cl, unsigned ms)
{
    uint64_t deadline = now_ms() + ms;
    size_t seen = 0;

    for (;;) {
        const char *start = (const char *)cl->in.data + cl->taken;
        size_t len = cl->in.len - cl->taken;
        const char *end = len > seen ? memchr(start + seen, '\n', len - seen) : NULL;
        struct pollfd p = {.fd = cl->fd, .events = POLLIN};
        uint64_t now;

        if (end != NULL) {
            size_t n = (size_t)(end - start);

            buf_reset(&cl->line, SIZE_MAX);
            assert_int_equal(buf_add(&cl->line, start, n), 0);
            assert_int_equal(buf_add_u8(&cl->line, 0), 0);
            cl->taken += n + 1;
            return (const char *)cl->line.data;
        }
        seen = len;
        if (cl->ended)
            return NULL;
        now = now_ms();
        /* Looks at least once, also when ms is 0. */
        if (poll(&p, 1, now < deadline ? (int)(deadline - now) : 0) > 0)
            take_in(cl);
        else if (now >= deadline)
            return NULL;
    }
}

const char *client_recv(struct client *cl)
{
    const char *line = client_recv_within(cl, (unsigned)slow(WAIT_MS));

    if (line == NULL)
        harness_fail(cl->ended ? "the connection ended instead of an answer" : "no answer comes");
    return line;
}

void client_expect_end(struct client *cl)
{
    const char *line = client_recv_within(cl, (unsigned)slow(WAIT_MS));

    if (line != NULL)
        harness_fail("a line instead of the end: %s", line);
    if (!cl->ended)
        harness_fail("the connection does not end");
}

const char *client_ask(struct client *cl, const char *line)
{
    client_send(cl, line);
    return client_recv(cl);
}

const char *client_askf(struct client *cl, const char *format, ...)
{
    cleanup_free char *line = NULL;
    va_list ap;

    va_start(ap, format);
    assert_true(vasprintf(&line, format, ap) >= 0);
    va_end(ap);
    return client_ask(cl, line);
}

static size_t number_len(const char *s)
{
    size_t n = 0;

    while ((s[n] >= '0' && s[n] <= '9') ||
           (n > 0 && s[n] == '.' && s[n + 1] >= '0' && s[n + 1] <= '9'))
        n++;
    return n;
}

static size_t string_len(const char *s)
{
    size_t n = 1;

    if (s[0] != '"')
        return 0;
    while (s[n] != '\0' && s[n] != '"')
        n += s[n] == '\\' && s[n + 1] != '\0' ? 2 : 1;
    return s[n] == '"' ? n + 1 : 0;
}

bool pattern_matches(const char *pattern, const char *text)
{
    while (*pattern != '\0') {
        if (strncmp(pattern, "<*>", 3) == 0) {
            for (;; text++) {
                if (pattern_matches(pattern + 3, text))
                    return true;
                if (*text == '\0')
                    return false;
            }
        }
        if (strncmp(pattern, "<n>", 3) == 0 || strncmp(pattern, "<s>", 3) == 0) {
            size_t n = pattern[1] == 'n' ? number_len(text) : string_len(text);

            if (n == 0)
                return false;
            pattern += 3;
            text += n;
            continue;
        }
        if (*pattern++ != *text++)
            return false;
    }
    return *text == '\0';
}

void client_expect_at(struct client *cl, const char *line, const char *pattern, const char *file,
                      int at)
{
    const char *reply;

    if (line != NULL)
        client_send(cl, line);
    reply = client_recv_within(cl, (unsigned)slow(WAIT_MS));
    if (reply == NULL)
        harness_fail("%s:%d: %s to: %.200s", file, at,
                     cl->ended ? "the connection ended" : "no answer",
                     line != NULL ? line : "(what was sent before)");
    if (!pattern_matches(pattern, reply))
        harness_fail("%s:%d:\n  asked    %.200s\n  expected %.300s\n  got      %.300s", file, at,
                     line != NULL ? line : "(before)", pattern, reply);
}

json_t *client_recv_json(struct client *cl)
{
    const char *line = client_recv(cl);
    json_t *reply = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

    if (reply == NULL)
        harness_fail("not JSON: %.300s", line);
    return reply;
}

json_t *client_ask_json(struct client *cl, const char *line)
{
    client_send(cl, line);
    return client_recv_json(cl);
}

const char *reply_str(const json_t *reply, const char *name)
{
    const char *s = json_string_value(json_object_get(reply, name));

    return s != NULL ? s : "";
}

int64_t reply_int(const json_t *reply, const char *name)
{
    const json_t *v = json_object_get(reply, name);

    return json_is_integer(v) ? (int64_t)json_integer_value(v) : -1;
}

bool reply_is(const json_t *reply, const char *type)
{
    return strcmp(reply_str(reply, "type"), type) == 0;
}

/* A fresh connection each time would do; a kept one spares the node a thousand of them. */
json_t *node_status(struct cluster *c, unsigned i)
{
    struct node *node = &c->nodes[i];
    static const char ask[] = "{\"type\":\"status\",\"msg_id\":1}\n";
    struct client cl = {.fd = -1};
    const char *line = NULL;
    json_t *status = NULL;

    if (node->pid == 0 || node->stopped)
        return NULL;
    if (node->admin_fd < 0)
        node->admin_fd = connect_to(node->port);
    if (node->admin_fd < 0)
        return NULL;
    cl.fd = node->admin_fd;
    if (send(cl.fd, ask, sizeof(ask) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(ask) - 1)
        line = client_recv_within(&cl, (unsigned)slow(2000));
    if (line != NULL)
        status = json_loads(line, 0, NULL);
    if (status == NULL || !reply_is(status, "status_ok")) {
        json_decref(status);
        status = NULL;
        (void)close(
            node->admin_fd); /* an answer that comes late must not be taken for the next one */
        node->admin_fd = -1;
    }
    buf_done(&cl.in);
    buf_done(&cl.line);
    return status;
}

int64_t memory_of(struct cluster *c, unsigned i, const char *name)
{
    json_t *status = node_status(c, i);
    int64_t n = status != NULL ? reply_int(json_object_get(status, "memory"), name) : -1;

    json_decref(status);
    return n;
}
