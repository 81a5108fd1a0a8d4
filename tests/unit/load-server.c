#include "load-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define IN_BYTES (1u << 20)

void load_server_begin(struct load_server *s, const char *folder)
{
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < LOAD_SERVER_CONNS; i++)
        s->fds[i] = -1;
    s->listener =
        socket(folder != NULL ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    if (folder != NULL) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};

        assert_true(snprintf(a.sun_path, sizeof(a.sun_path), "%s/sock", folder) <
                    (int)sizeof(a.sun_path));
        assert_int_equal(bind(s->listener, (const struct sockaddr *)&a, sizeof(a)), 0);
        (void)snprintf(s->address, sizeof(s->address), "unix:%s", a.sun_path);
    } else {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t len = sizeof(a);

        assert_int_equal(bind(s->listener, (const struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
        (void)snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(a.sin_port));
    }
    assert_int_equal(listen(s->listener, 64), 0);
}

static void drop(struct load_server *s, unsigned i)
{
    if (s->fds[i] >= 0)
        (void)close(s->fds[i]);
    s->fds[i] = -1;
    s->in_len[i] = 0;
}

void load_server_end(struct load_server *s)
{
    for (unsigned i = 0; i < LOAD_SERVER_CONNS; i++) {
        drop(s, i);
        free(s->in[i]);
    }
    for (unsigned i = 0; i < LOAD_SERVER_KEYS; i++) {
        free(s->values[i]);
        free(s->older[i]);
    }
    (void)close(s->listener);
    if (strncmp(s->address, "unix:", 5) == 0)
        (void)unlink(s->address + 5);
}

unsigned load_server_n_keys(const struct load_server *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < LOAD_SERVER_KEYS; i++)
        n += s->values[i] != NULL;
    return n;
}

/* ---- lines ---- */

/* The string behind "name":" ; NULL: there is none. */
static char *field(const char *line, const char *name)
{
    char mark[32];
    const char *from;

    (void)snprintf(mark, sizeof(mark), "\"%s\":\"", name);
    from = strstr(line, mark);
    if (from == NULL)
        return NULL;
    from += strlen(mark);
    return strndup(from, strcspn(from, "\""));
}

static unsigned number_of(const char *key)
{
    const size_t len = strlen(key);

    return len < 8 ? LOAD_SERVER_KEYS : (unsigned)strtoul(key + len - 8, NULL, 10);
}

static const char *found(const struct load_server *s, unsigned key)
{
    if (s->lies_of_absence || key >= LOAD_SERVER_KEYS)
        return NULL;
    return s->lies && s->older[key] != NULL ? s->older[key] : s->values[key];
}

static size_t put_value(char *out, size_t size, const char *value)
{
    return (size_t)(value != NULL ? snprintf(out, size, "\"%s\"", value)
                                  : snprintf(out, size, "null"));
}

static void answer_write(struct load_server *s, const char *id, const char *line, unsigned key,
                         char *out, size_t size)
{
    s->n_writes++;
    assert_true(key < LOAD_SERVER_KEYS);
    free(s->older[key]);
    s->older[key] = s->values[key];
    s->values[key] = field(line, "value");
    assert_non_null(s->values[key]);
    s->n_twice += s->older[key] != NULL && strcmp(s->older[key], s->values[key]) == 0;
    (void)snprintf(out, size, "{\"type\":\"write_ok\",\"in_reply_to\":%s}\n", id);
}

static void answer_read(struct load_server *s, const char *id, const char *type, unsigned key,
                        char *out, size_t size)
{
    char value[4096];

    s->n_reads++;
    (void)put_value(value, sizeof(value), found(s, key));
    (void)snprintf(out, size, "{\"type\":\"%s_ok\",\"in_reply_to\":%s,\"value\":%s,%s}\n", type, id,
                   value,
                   strcmp(type, "local_read") == 0
                       ? "\"applied_index\":7,\"linearizable\":false"
                       : "\"read_at_index\":7,\"heartbeat_confirmed\":true,\"linearizable\":true");
}

/* What ridbench asks for before it begins. */
static void answer_scan(const struct load_server *s, const char *id, char *out, size_t size)
{
    char item[256] = "";

    if (s->foreign != NULL)
        (void)snprintf(item, sizeof(item), "{\"key\":\"%s\",\"value\":\"%s\"}", s->foreign,
                       s->foreign_value);
    (void)snprintf(out, size,
                   "{\"type\":\"scan_ok\",\"in_reply_to\":%s,\"items\":[%s],\"more\":false,"
                   "\"read_at_index\":7,\"heartbeat_confirmed\":true,\"linearizable\":true}\n",
                   id, item);
}

static void answer_delete(struct load_server *s, const char *id, unsigned key, char *out,
                          size_t size)
{
    const bool existed = s->values[key] != NULL;

    free(s->values[key]);
    free(s->older[key]);
    s->values[key] = s->older[key] = NULL;
    (void)snprintf(out, size, "{\"type\":\"delete_ok\",\"in_reply_to\":%s,\"existed\":%s}\n", id,
                   existed ? "true" : "false");
}

static void answer(struct load_server *s, int fd, const char *line)
{
    static char out[8192];
    char id[24] = "0";
    char *type = field(line, "type");
    char *key = field(line, "key");
    const unsigned number = key != NULL ? number_of(key) : 0;
    const char *at = strstr(line, "\"msg_id\":");

    s->n_lines++;
    if (at != NULL)
        (void)snprintf(id, sizeof(id), "%.*s", (int)strspn(at + 9, "0123456789"), at + 9);
    assert_non_null(type);
    if (s->garbles)
        (void)snprintf(out, sizeof(out), "{\"type\":\"%s_ok\",\"in_reply_to\":%s,}\n", type, id);
    else if (strcmp(type, "status") == 0)
        (void)snprintf(out, sizeof(out),
                       "{\"type\":\"status_ok\",\"in_reply_to\":%s,\"node\":\"n1\",\"role\":"
                       "\"leader\",\"uptime_ms\":%u,\"rss_bytes\":4096,\"log\":{\"fsyncs\":%u,"
                       "\"bytes_written\":0},\"reads\":{\"rounds\":0}}\n",
                       id, s->n_lines, s->n_writes);
    else if (s->leader != NULL)
        (void)snprintf(out, sizeof(out),
                       "{\"type\":\"error\",\"in_reply_to\":%s,\"code\":11,\"text\":\"not the "
                       "leader\",\"error\":\"not_leader\",\"definite\":true,\"leader_id\":\"n2\","
                       "\"leader_addr\":\"%s\"}\n",
                       id, s->leader);
    else if (strcmp(type, "write") == 0)
        answer_write(s, id, line, number, out, sizeof(out));
    else if (s->foreign != NULL && key != NULL && strcmp(key, s->foreign) == 0) {
        s->n_foreign_removed++;
        (void)snprintf(out, sizeof(out),
                       "{\"type\":\"delete_ok\",\"in_reply_to\":%s,\"existed\":true}\n", id);
    } else if (strcmp(type, "delete") == 0)
        answer_delete(s, id, number, out, sizeof(out));
    else if (strcmp(type, "scan") == 0)
        answer_scan(s, id, out, sizeof(out));
    else
        answer_read(s, id, type, number, out, sizeof(out));
    free(type);
    free(key);
    if (s->n_lines != s->mute_at)
        (void)send(fd, out, strlen(out), MSG_NOSIGNAL);
}

/* ---- connections ---- */

static bool take_new(struct load_server *s)
{
    const int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return false;
    for (unsigned i = 0; i < LOAD_SERVER_CONNS; i++)
        if (s->fds[i] < 0) {
            s->fds[i] = fd;
            if (s->in[i] == NULL)
                s->in[i] = malloc(IN_BYTES);
            assert_non_null(s->in[i]);
            return true;
        }
    (void)close(fd);
    return true;
}

static bool serve_one(struct load_server *s, unsigned i)
{
    const ssize_t n = s->fds[i] < 0 ? -1
                                    : recv(s->fds[i], s->in[i] + s->in_len[i],
                                           IN_BYTES - 1 - s->in_len[i], MSG_DONTWAIT);
    char *line = s->in[i];
    char *end;

    if (s->fds[i] < 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return false;
    if (n <= 0) {
        drop(s, i);
        return true;
    }
    s->in_len[i] += (size_t)n;
    s->in[i][s->in_len[i]] = '\0';
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        if (s->drop_after > 0 && s->n_lines >= s->drop_after && strstr(line, "\"write\"") != NULL) {
            s->drop_after = 0;
            answer(s, -1, line);
            drop(s, i);
            return true;
        }
        answer(s, s->fds[i], line);
        line = end + 1;
    }
    s->in_len[i] -= (size_t)(line - s->in[i]);
    memmove(s->in[i], line, s->in_len[i]);
    return true;
}

bool load_server_serve(struct load_server *s)
{
    bool any = false;

    while (take_new(s))
        any = true;
    for (unsigned i = 0; i < LOAD_SERVER_CONNS; i++)
        any |= serve_one(s, i);
    return any;
}

void load_server_wait(struct load_server *s, int timeout_ms)
{
    struct pollfd p[LOAD_SERVER_CONNS + 1];

    for (unsigned i = 0; i < LOAD_SERVER_CONNS; i++)
        p[i] = (struct pollfd){.fd = s->fds[i], .events = POLLIN};
    p[LOAD_SERVER_CONNS] = (struct pollfd){.fd = s->listener, .events = POLLIN};
    (void)poll(p, LOAD_SERVER_CONNS + 1, timeout_ms);
    (void)load_server_serve(s);
}
