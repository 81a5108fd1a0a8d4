/* The least that a leader does: the yardstick beside which ridd's reads are measured.
 *
 * Requests that come while a round is under way wait for the next one. A round is one heartbeat line
 * to each of two processes, and is over when the first of them has answered: a majority of three. Then
 * each read of it is one look into LMDB and one line. There is no log, no election, no session, no
 * bound on anything, and a write is in nobody's hands but this process's. What ridd is slower than
 * this is the price of being more.
 *
 * usage: skeleton --dir DIR [--port PORT]; prints "port PORT pids LEADER,FOLLOWER,FOLLOWER" once it
 * listens, and runs until SIGTERM. It understands read_index and write of ridd-protocol(7), their
 * fields in the order in which src/load sends them. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <lmdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"

#define N_FOLLOWERS    2u
#define KEY_BYTES_MAX  64u
#define READ_BYTES     16384u
#define MAP_BYTES      ((size_t)4 << 30)
#define BACKLOG        4096
#define MORE_THAN_TEXT 160u /* of a reply beside its value */

struct conn {
    int fd;
    struct event *ev; /* owned */
    struct buf in;
    struct buf out;
    unsigned n_asked; /* in a batch: it lives until they are answered */
    bool dead;
    bool dirty;
    struct conn *next_dirty;
};

struct request {
    struct conn *from;
    uint64_t id;
    bool is_write;
    unsigned key_len;
    char key[KEY_BYTES_MAX];
    size_t value_at; /* of the batch's values */
    size_t value_len;
};

struct batch {
    struct request *at; /* owned */
    size_t n;
    size_t room;
    struct buf values;
    bool writes;
};

static struct {
    struct event_base *base;
    struct conn followers[N_FOLLOWERS];
    struct batch gathering; /* for the next round */
    struct batch asked;     /* for the one that is under way */
    bool under_way;
    uint64_t round;
    struct conn *dirty;
    MDB_env *env;
    MDB_txn *reader;
    MDB_dbi dbi;
} leader;

static void die(const char *what)
{
    (void)fprintf(stderr, "skeleton: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void check(int rc, const char *what)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "skeleton: %s: %s\n", what, mdb_strerror(rc));
    exit(1);
}

/* ---- sockets ---- */

static struct sockaddr_in loopback(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void prepare(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)evutil_make_socket_nonblocking(fd);
}

static void watch(struct conn *c, int fd, event_callback_fn call)
{
    c->fd = fd;
    prepare(fd);
    c->ev = event_new(leader.base, fd, EV_READ | EV_PERSIST, call, c);
    if (c->ev == NULL || event_add(c->ev, NULL) != 0)
        die("memory");
}

/* False: the other end is gone. */
static bool fill(struct conn *c)
{
    unsigned char *room = buf_reserve(&c->in, READ_BYTES);
    ssize_t n;

    if (room == NULL)
        die("memory");
    n = read(c->fd, room, READ_BYTES);
    if (n > 0)
        c->in.len += (size_t)n;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Calls take() for each whole line, without its end; false: the connection is over. */
static bool each_line(struct conn *c, bool (*take)(struct conn *c, const char *line, size_t len))
{
    const bool goes_on = fill(c);
    const char *p = (const char *)c->in.data;
    const char *const end = p + c->in.len;
    const char *newline;
    bool good = true;

    while (good && p < end && (newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        good = take(c, p, (size_t)(newline - p));
        p = newline + 1;
    }
    if (p != NULL)
        buf_consume(&c->in, (size_t)(p - (const char *)c->in.data));
    return goes_on && good;
}

static void free_conn(struct conn *c)
{
    if (c->ev != NULL)
        event_free(c->ev);
    (void)close(c->fd);
    buf_done(&c->in);
    buf_done(&c->out);
    free(c);
}

/* ---- lines ---- */

struct cursor {
    const char *p;
    const char *end;
};

static bool take(struct cursor *c, const char *text, size_t len)
{
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, text, len) != 0)
        return false;
    c->p += len;
    return true;
}
#define TAKE(c, text) take(c, text, sizeof(text) - 1)

static bool take_number(struct cursor *c, uint64_t *ret)
{
    const char *const from = c->p;
    uint64_t v = 0;

    while (c->p < c->end && *c->p >= '0' && *c->p <= '9' && c->p - from < 19)
        v = v * 10 + (uint64_t)(*c->p++ - '0');
    *ret = v;
    return c->p > from;
}

/* Of a string without escapes. */
static bool take_string(struct cursor *c, const char **ret, size_t *ret_len)
{
    const char *quote = memchr(c->p, '"', (size_t)(c->end - c->p));

    if (quote == NULL || memchr(c->p, '\\', (size_t)(quote - c->p)) != NULL)
        return false;
    *ret = c->p;
    *ret_len = (size_t)(quote - c->p);
    c->p = quote + 1;
    return true;
}

static char *put(char *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}
#define PUT(at, text) put(at, text, sizeof(text) - 1)

static char *put_number(char *at, uint64_t v)
{
    char digits[20];
    char *d = digits + sizeof(digits);

    do
        *--d = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    return put(at, d, (size_t)(digits + sizeof(digits) - d));
}

/* ---- requests ---- */

static struct request *new_request(struct batch *b)
{
    if (b->n == b->room) {
        b->room = 2 * b->room + 64;
        b->at = realloc(b->at, b->room * sizeof(b->at[0]));
        if (b->at == NULL)
            die("memory");
    }
    return &b->at[b->n];
}

static bool take_value(struct cursor *c, struct batch *b, struct request *r)
{
    const char *value;

    if (!TAKE(c, ",\"value\":\"") || !take_string(c, &value, &r->value_len))
        return false;
    r->value_at = b->values.len;
    b->writes = true;
    if (buf_add(&b->values, value, r->value_len) != 0)
        die("memory");
    return true;
}

static bool take_request(struct conn *from, const char *line, size_t len)
{
    struct cursor c = {line, line + len};
    struct batch *b = &leader.gathering;
    struct request *r = new_request(b);
    const char *key;
    size_t key_len;

    if (!TAKE(&c, "{\"type\":\""))
        return false;
    r->is_write = TAKE(&c, "write\"");
    if ((!r->is_write && !TAKE(&c, "read_index\"")) || !TAKE(&c, ",\"msg_id\":") ||
        !take_number(&c, &r->id) || !TAKE(&c, ",\"key\":\"") || !take_string(&c, &key, &key_len) ||
        key_len > sizeof(r->key) || (r->is_write && !take_value(&c, b, r)) || !TAKE(&c, "}") ||
        c.p != c.end)
        return false;
    r->from = from;
    r->key_len = (unsigned)key_len;
    memcpy(r->key, key, key_len);
    from->n_asked++;
    b->n++;
    return true;
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    (void)what;
    if (each_line(c, take_request))
        return;
    (void)event_del(c->ev);
    c->dead = true;
    if (c->n_asked == 0 && !c->dirty)
        free_conn(c);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int len, void *arg)
{
    struct conn *c = calloc(1, sizeof(*c));

    (void)listener;
    (void)from;
    (void)len;
    (void)arg;
    if (c == NULL)
        die("memory");
    watch(c, fd, on_client);
}

/* ---- answers ---- */

static void write_batch(const struct batch *b)
{
    MDB_txn *txn;

    check(mdb_txn_begin(leader.env, NULL, 0, &txn), "a transaction");
    for (size_t i = 0; i < b->n; i++) {
        struct request *r = &b->at[i];
        MDB_val key = {r->key_len, r->key};
        MDB_val value = {r->value_len, b->values.data + r->value_at};

        if (r->is_write)
            check(mdb_put(txn, leader.dbi, &key, &value, 0), "a write");
    }
    check(mdb_txn_commit(txn), "a transaction");
}

static void answer_read(struct request *r, struct buf *out)
{
    MDB_val key = {r->key_len, r->key};
    MDB_val value = {0, NULL};
    const bool found = mdb_get(leader.reader, leader.dbi, &key, &value) == 0;
    char *const room = buf_reserve(out, value.mv_size + MORE_THAN_TEXT);
    char *p = room;

    if (room == NULL)
        die("memory");
    p = PUT(p, "{\"type\":\"read_index_ok\",\"in_reply_to\":");
    p = put_number(p, r->id);
    if (found) {
        p = PUT(p, ",\"value\":\"");
        p = put(p, value.mv_data, value.mv_size);
        p = PUT(p, "\"");
    } else {
        p = PUT(p, ",\"value\":null");
    }
    p = PUT(p, ",\"read_at_index\":");
    p = put_number(p, leader.round);
    p = PUT(p, ",\"heartbeat_confirmed\":true,\"linearizable\":true}\n");
    out->len += (size_t)(p - room);
}

static void answer_write(const struct request *r, struct buf *out)
{
    char *const room = buf_reserve(out, MORE_THAN_TEXT);
    char *p = room;

    if (room == NULL)
        die("memory");
    p = PUT(p, "{\"type\":\"write_ok\",\"in_reply_to\":");
    p = put_number(p, r->id);
    p = PUT(p, "}\n");
    out->len += (size_t)(p - room);
}

static void answer_batch(void)
{
    struct batch *b = &leader.asked;

    if (b->writes)
        write_batch(b);
    check(mdb_txn_renew(leader.reader), "a transaction");
    for (size_t i = 0; i < b->n; i++) {
        struct request *r = &b->at[i];
        struct conn *c = r->from;

        c->n_asked--;
        if (r->is_write)
            answer_write(r, &c->out);
        else
            answer_read(r, &c->out);
        if (!c->dirty) {
            c->dirty = true;
            c->next_dirty = leader.dirty;
            leader.dirty = c;
        }
    }
    mdb_txn_reset(leader.reader);
    b->n = 0;
    b->writes = false;
    buf_reset(&b->values, 1u << 20);
}

/* What the socket does not take waits for the next turn. */
static void send_replies(void)
{
    struct conn *again = NULL;
    struct conn *next;

    for (struct conn *c = leader.dirty; c != NULL; c = next) {
        ssize_t n = 0;

        next = c->next_dirty;
        if (!c->dead)
            n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
        if (n > 0)
            buf_consume(&c->out, (size_t)n);
        if (!c->dead && c->out.len > 0 && (n >= 0 || errno == EAGAIN || errno == EINTR)) {
            c->next_dirty = again;
            again = c;
            continue;
        }
        c->dirty = false;
        if (c->dead && c->n_asked == 0)
            free_conn(c);
    }
    leader.dirty = again;
}

/* ---- rounds ---- */

static void begin_round(void)
{
    const struct batch spare = leader.asked;
    char line[192];
    int len;

    leader.asked = leader.gathering;
    leader.gathering = spare;
    leader.round++;
    len = snprintf(line, sizeof(line),
                   "{\"type\":\"append_entries\",\"round\":%llu,\"term\":7,\"leader_id\":1,"
                   "\"prev_log_index\":12345,\"prev_log_term\":7,\"leader_commit\":12345,"
                   "\"entries\":[]}\n",
                   (unsigned long long)leader.round);
    for (unsigned i = 0; i < N_FOLLOWERS; i++)
        if (write(leader.followers[i].fd, line, (size_t)len) != len)
            die("a heartbeat");
    leader.under_way = true;
}

/* The number behind "round": */
static bool round_of(const char *line, size_t len, uint64_t *ret)
{
    static const char name[] = "\"round\":";
    const char *at = memmem(line, len, name, sizeof(name) - 1);
    struct cursor c = {at != NULL ? at + sizeof(name) - 1 : line, line + len};

    return at != NULL && take_number(&c, ret);
}

static bool take_acknowledgement(struct conn *c, const char *line, size_t len)
{
    uint64_t round;

    (void)c;
    if (!round_of(line, len, &round))
        return false;
    if (leader.under_way && round == leader.round) {
        leader.under_way = false;
        answer_batch();
    }
    return true;
}

static void on_acknowledgement(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    if (!each_line(arg, take_acknowledgement))
        die("a follower is gone");
}

static bool take_heartbeat(struct conn *c, const char *line, size_t len)
{
    char reply[128];
    uint64_t round;
    int n;

    if (!round_of(line, len, &round))
        return false;
    n = snprintf(reply, sizeof(reply),
                 "{\"type\":\"append_entries_ok\",\"round\":%llu,\"term\":7,\"match_index\":12345,"
                 "\"success\":true}\n",
                 (unsigned long long)round);
    return write(c->fd, reply, (size_t)n) == n;
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    if (!each_line(arg, take_heartbeat))
        _exit(0);
}

/* ---- beginning and end ---- */

/* A process of its own at the other end of a connection; it ends with that. */
static pid_t start_follower(struct conn *c)
{
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof(a);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid;

    if (listener < 0 || bind(listener, (const struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&a, &len) != 0)
        die("a socket");
    pid = fork();
    if (pid < 0)
        die("a process");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        leader.base = event_base_new();
        watch(c, accept(listener, NULL, NULL), on_heartbeat);
        (void)event_base_dispatch(leader.base);
        _exit(0);
    }
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&a, sizeof(a)) != 0)
        die("a follower");
    (void)close(listener);
    return pid;
}

static void open_state(const char *dir)
{
    cleanup_free char *path = NULL;
    MDB_txn *txn;

    if (asprintf(&path, "%s/skeleton.mdb", dir) < 0)
        die("memory");
    check(mdb_env_create(&leader.env), "the state");
    check(mdb_env_set_mapsize(leader.env, MAP_BYTES), "the state");
    check(
        mdb_env_open(leader.env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC | MDB_WRITEMAP, 0600),
        path);
    check(mdb_txn_begin(leader.env, NULL, 0, &txn), "a transaction");
    check(mdb_dbi_open(txn, NULL, 0, &leader.dbi), "the state");
    check(mdb_txn_commit(txn), "a transaction");
    check(mdb_txn_begin(leader.env, NULL, MDB_RDONLY, &leader.reader), "a transaction");
    mdb_txn_reset(leader.reader);
}

static unsigned start_listening(unsigned port)
{
    struct sockaddr_in a = loopback(port);
    socklen_t len = sizeof(a);
    struct evconnlistener *listener =
        evconnlistener_new_bind(leader.base, on_accept, NULL,
                                LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                                BACKLOG, (const struct sockaddr *)&a, sizeof(a));

    if (listener == NULL ||
        getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&a, &len) != 0)
        die("listening");
    return ntohs(a.sin_port);
}

static void more_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    const char *dir = NULL;
    unsigned port = 0;
    pid_t pids[N_FOLLOWERS];

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--dir") == 0)
            dir = argv[i + 1];
        else if (strcmp(argv[i], "--port") == 0)
            port = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    if (dir == NULL || argc % 2 == 0 || port > 65535) {
        (void)fprintf(stderr, "usage: skeleton --dir DIR [--port PORT]\n");
        return 64;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    more_files();
    for (unsigned i = 0; i < N_FOLLOWERS; i++)
        pids[i] = start_follower(&leader.followers[i]);
    open_state(dir);
    leader.base = event_base_new();
    if (leader.base == NULL)
        die("memory");
    for (unsigned i = 0; i < N_FOLLOWERS; i++)
        watch(&leader.followers[i], leader.followers[i].fd, on_acknowledgement);
    port = start_listening(port);
    (void)printf("port %u pids %ld,%ld,%ld\n", port, (long)getpid(), (long)pids[0], (long)pids[1]);
    (void)fflush(stdout);
    /* A round begins once all that was ready has been read. */
    while (event_base_loop(leader.base, EVLOOP_ONCE) >= 0) {
        if (!leader.under_way && leader.gathering.n > 0)
            begin_round();
        send_replies();
    }
    return 1;
}
