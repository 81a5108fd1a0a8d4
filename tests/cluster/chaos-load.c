/* Clients in groups of at most five operations at once, each group on two keys of its own, which it
 * leaves for fresh ones before their history becomes too long for the search of checker.h.
 *
 * One half of the clients follows what it is told of the leader. The others reside with a node
 * whatever it answers, and leave it only when it is silent: so a node that wrongly believes to lead
 * has clients to deceive, and the one that leads in its place has clients to make it stale at once.
 * A connection that is given up takes the outcomes of what was asked on it with it; the client goes
 * on under another number. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "cluster/chaos.h"

#include "base/banned.h"

#define DEPTH_MAX       8u
#define CLIENTS_PER_KEY 5u
#define KEYS_PER_GROUP  2u
#define KEY_OPS_MAX     5000u
/* Each stays open for ever and doubles the search. */
#define KEY_UNKNOWN_MAX  6u
#define READ_BYTES       65536u
#define VALUE_TEXT_BYTES 4200u
#define DIGESTS_SHOWN    8192u
#define STATUS_EVERY_MS  250u
#define PATIENCE_MS      700u /* beyond the timeout that the node was given */
#define THINK_US_MAX     8000u

const char *const method_names[N_METHODS] = {
    "write", "cas",        "delete",     "read_index", "read_via_log", "batch_read_index",
    "read",  "local_read", "write once", "final read",
};

struct key {
    uint32_t n_ops;
    uint32_t n_unknown;
    uint64_t ledger_value; /* 0: an ordinary key */
    uint64_t last;         /* what was found at the end of its window */
    enum fate fate;        /* of that write */
};

struct group {
    uint32_t keys[KEYS_PER_GROUP];
    uint64_t seen[KEYS_PER_GROUP]; /* the newest value that somebody of the group was told */
};

struct flight {
    uint64_t msg_id;
    uint64_t give_up_ms;
    enum method method;
    unsigned which;       /* key of the group */
    struct history_op op; /* key, kind, value, from, create, call_ns */
    uint32_t second_key;  /* batch */
};

struct conn {
    int fd;
    unsigned node;
    bool connecting;
    uint64_t retry_ms;
    struct buf in;
    struct buf out;
};

struct chaos_client {
    struct conn conn;
    bool resides;
    uint16_t number;
    struct group *group;
    uint64_t next_ns; /* not before this */
    struct flight flights[DEPTH_MAX];
    unsigned n_flights;
};

struct watcher {
    struct conn conn;
    uint64_t asked_ms; /* 0: nothing is owed */
    uint64_t next_ms;
    uint64_t snapshot_ms; /* the next is asked for */
};

struct digest_seen {
    uint64_t index;
    unsigned node;
    char digest[33];
};

struct load {
    struct cluster *cluster;
    struct history *history;
    struct prng prng;
    unsigned n_clients;
    unsigned depth;
    struct chaos_client *clients;
    struct group *groups;
    unsigned n_groups;
    struct key *keys;
    size_t n_keys;
    size_t keys_size;
    size_t window; /* the first key of it */
    uint64_t n_values;
    uint64_t next_msg_id;
    uint16_t next_number;
    bool stopping;
    int leader;
    struct watcher watchers[CLUSTER_NODES_MAX];
    unsigned snapshots_every_ms;            /* 0: nobody is asked */
    uint64_t removed_ns[CLUSTER_NODES_MAX]; /* 0: who lives there belongs to the cluster */
    uint64_t acknowledged_ms;               /* the last write; 0: none yet */
    struct digest_seen digests[DIGESTS_SHOWN];
    struct load_stats stats;
    char *text; /* of a value */
    char *text_2;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- keys and values ---- */

static uint32_t new_key(struct load *l)
{
    if (l->n_keys == l->keys_size) {
        l->keys_size = l->keys_size == 0 ? 4096 : l->keys_size * 2;
        l->keys = realloc(l->keys, l->keys_size * sizeof(*l->keys));
        assert_non_null(l->keys);
    }
    l->keys[l->n_keys] = (struct key){0};
    l->stats.n_keys++;
    return (uint32_t)l->n_keys++;
}

/* The text of a value follows from its number, so that a damaged one is noticed. */
static const char *value_text(uint64_t value, char *text)
{
    size_t pad = value % 64 == 0 ? 4000 : value % 7 == 0 ? 300 : value % 11;
    int n = snprintf(text, VALUE_TEXT_BYTES, "\"%llu:", (unsigned long long)value);

    memset(text + n, (int)('a' + value % 26), pad);
    text[(size_t)n + pad] = '"';
    text[(size_t)n + pad + 1] = '\0';
    return text;
}

static uint64_t value_number(struct load *l, const json_t *v)
{
    const char *s = json_string_value(v);
    uint64_t value;

    if (json_is_null(v))
        return 0;
    if (s == NULL)
        harness_fail("a value that nobody wrote");
    value = strtoull(s, NULL, 10);
    (void)value_text(value, l->text);
    if (strlen(s) + 2 != strlen(l->text) || memcmp(s, l->text + 1, strlen(s)) != 0)
        harness_fail("a damaged value: %.100s", s);
    return value;
}

/* The group's next key; a worn one is replaced. */
static uint32_t group_key(struct load *l, struct group *g, unsigned which)
{
    const struct key *k = &l->keys[g->keys[which]];

    if (k->n_ops >= KEY_OPS_MAX - CLIENTS_PER_KEY || k->n_unknown >= KEY_UNKNOWN_MAX) {
        g->keys[which] = new_key(l);
        g->seen[which] = 0;
    }
    return g->keys[which];
}

/* ---- connections ---- */

static void conn_init(struct conn *c, unsigned node)
{
    *c = (struct conn){.fd = -1, .node = node};
    buf_init(&c->in);
    buf_init(&c->out);
}

static void conn_close(struct conn *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    c->connecting = false;
    buf_reset(&c->in, SIZE_MAX);
    buf_reset(&c->out, SIZE_MAX);
}

static void conn_done(struct conn *c)
{
    conn_close(c);
    buf_done(&c->in);
    buf_done(&c->out);
}

/* false: nobody there. */
static bool conn_open(struct load *l, struct conn *c)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(l->cluster->nodes[c->node].port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(c->fd >= 0);
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->connecting = connect(c->fd, (struct sockaddr *)&in, sizeof(in)) != 0;
    if (!c->connecting || errno == EINPROGRESS)
        return true;
    conn_close(c);
    return false;
}

/* false: it is over. */
static bool conn_flush(struct conn *c)
{
    while (c->out.len > 0) {
        ssize_t sent = send(c->fd, c->out.data, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_consume(&c->out, (size_t)sent);
    }
    return true;
}

static bool conn_read(struct conn *c)
{
    void *room = buf_reserve(&c->in, READ_BYTES);
    ssize_t got;

    assert_non_null(room);
    got = recv(c->fd, room, READ_BYTES, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    c->in.len += (size_t)got;
    return got > 0;
}

/* The next whole line of c->in from *at on as JSON, NULL: none. */
static json_t *conn_line(struct conn *c, size_t *at)
{
    const char *start = (const char *)c->in.data + *at;
    const char *end = c->in.len > *at ? memchr(start, '\n', c->in.len - *at) : NULL;
    json_t *reply;

    if (end == NULL)
        return NULL;
    reply = json_loadb(start, (size_t)(end - start), JSON_REJECT_DUPLICATES, NULL);
    if (reply == NULL)
        harness_fail("not JSON: %.*s", (int)(end - start < 300 ? end - start : 300), start);
    *at += (size_t)(end - start) + 1;
    return reply;
}

static bool conn_established(struct conn *c)
{
    int error = 0;
    socklen_t size = sizeof(error);

    c->connecting = false;
    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

/* ---- what comes of an operation ---- */

static void record(struct load *l, const struct history_op *op)
{
    l->keys[op->key].n_ops++;
    (void)history_add(l->history, op);
}

static void record_unknown(struct load *l, struct flight *f)
{
    if (f->op.kind == HISTORY_READ || f->op.kind == HISTORY_LOCAL)
        return;
    f->op.outcome = HISTORY_UNKNOWN;
    f->op.ret_ns = HISTORY_NEVER;
    record(l, &f->op);
    l->keys[f->op.key].n_unknown++;
    if (f->method == METHOD_LEDGER)
        l->keys[f->op.key].fate = FATE_UNKNOWN;
    l->stats.n_unknown++;
}

/* The connection is given up. */
static void client_drop(struct load *l, struct chaos_client *cl, unsigned next_node)
{
    for (unsigned i = 0; i < cl->n_flights; i++)
        record_unknown(l, &cl->flights[i]);
    if (cl->n_flights > 0)
        cl->number = l->next_number++;
    cl->n_flights = 0;
    conn_close(&cl->conn);
    cl->conn.node = next_node % l->cluster->n;
    cl->conn.retry_ms = now_ms() + 5 + prng_below(&l->prng, 40);
}

static unsigned another_node(struct load *l)
{
    return (unsigned)prng_below(&l->prng, l->cluster->n);
}

/* After silence. */
static unsigned next_node_of(struct load *l, const struct chaos_client *cl)
{
    if (cl->resides && prng_below(&l->prng, 10) < 7)
        return cl->conn.node;
    return another_node(l);
}

/* Facts that a read must state of itself. */
static void check_confirmed(const json_t *reply)
{
    if (!json_is_true(json_object_get(reply, "heartbeat_confirmed")) ||
        !json_is_true(json_object_get(reply, "linearizable")))
        harness_fail("a read that was not confirmed was answered");
}

/* value, exists, modify_index. */
static void take_value(struct load *l, const json_t *reply, struct history_op *op)
{
    const json_t *exists = json_object_get(reply, "exists");

    op->value = value_number(l, json_object_get(reply, "value"));
    op->modify = op->value != 0 ? (uint64_t)reply_int(reply, "modify_index") : 0;
    if (json_is_true(exists) != (op->value != 0))
        harness_fail("'exists' and the value contradict each other");
    if (op->value != 0 && reply_int(reply, "modify_index") <= 0)
        harness_fail("a value without a modify_index");
}

static uint64_t need_index(const json_t *reply, const char *name)
{
    int64_t index = reply_int(reply, name);

    if (index < 0)
        harness_fail("a reply without '%s'", name);
    return (uint64_t)index;
}

/* A node that was removed before it was asked knows nothing of what has been written since. */
static void check_belongs(struct load *l, const struct chaos_client *cl, const struct flight *f)
{
    const uint64_t removed_ns = l->removed_ns[cl->conn.node];

    if (removed_ns == 0 || f->op.call_ns < removed_ns)
        return;
    if (f->op.kind != HISTORY_LOCAL)
        harness_fail("%s was removed, and answers a %s that it was asked after that",
                     l->cluster->nodes[cl->conn.node].name, method_names[f->method]);
    l->stats.n_from_removed++;
}

static void take_acknowledged(struct load *l)
{
    const uint64_t now = now_ms();

    if (l->acknowledged_ms != 0 && now - l->acknowledged_ms > l->stats.longest_gap_ms)
        l->stats.longest_gap_ms = now - l->acknowledged_ms;
    l->acknowledged_ms = now;
    l->stats.n_acknowledged++;
}

static void take_batch(struct load *l, struct chaos_client *cl, struct flight *f,
                       const json_t *reply)
{
    const json_t *values = json_object_get(reply, "values");

    check_confirmed(reply);
    if (json_array_size(values) != 2)
        harness_fail("a batch of %zu values, not 2", json_array_size(values));
    for (unsigned i = 0; i < 2; i++) {
        struct history_op op = f->op;

        op.key = i == 0 ? f->op.key : f->second_key;
        op.index = need_index(reply, "read_at_index");
        take_value(l, json_array_get(values, i), &op);
        record(l, &op);
    }
    (void)cl;
}

static void take_ok(struct load *l, struct chaos_client *cl, struct flight *f, const json_t *reply)
{
    struct history_op *op = &f->op;

    switch (f->method) {
    case METHOD_BATCH:
        take_batch(l, cl, f, reply);
        return;
    case METHOD_WRITE:
    case METHOD_CAS:
    case METHOD_LEDGER:
    case METHOD_DELETE:
        op->index = need_index(reply, "index");
        op->existed = json_is_true(json_object_get(reply, "existed"));
        take_acknowledged(l);
        break;
    case METHOD_READ_INDEX:
        check_confirmed(reply);
        op->index = need_index(reply, "read_at_index");
        take_value(l, reply, op);
        break;
    case METHOD_READ_VIA_LOG:
        op->index = need_index(reply, "log_index_used");
        op->own_entry = true;
        take_value(l, reply, op);
        break;
    case METHOD_READ:
        /* It does not tell the index of its state, which is at least each of these. */
        op->index = need_index(reply, "read_index");
        take_value(l, reply, op);
        if (op->modify > op->index)
            op->index = op->modify;
        break;
    case METHOD_LOCAL:
        op->index = need_index(reply, "applied_index");
        take_value(l, reply, op);
        break;
    case METHOD_FINAL:
    case N_METHODS:
        harness_fail("an answer to a question that nobody asks");
    }
    record(l, op);
    if (f->method == METHOD_LEDGER)
        l->keys[op->key].fate = FATE_ACKNOWLEDGED;
    else if (l->keys[op->key].ledger_value == 0 && cl->group->keys[f->which] == op->key)
        cl->group->seen[f->which] = op->kind == HISTORY_DELETE ? 0 : op->value;
}

/* Names of errors that a node may answer with in a storm. */
static bool error_is_expected(const char *name)
{
    static const char *const names[] = {"not_leader", "term_changed", "role_changed",
                                        "timeout",    "network",      "cancelled",
                                        "overloaded", "busy",         "no_space"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The node to go on with. */
static unsigned take_error(struct load *l, struct chaos_client *cl, struct flight *f,
                           const json_t *reply)
{
    const char *name = reply_str(reply, "error");
    const bool missing = strcmp(name, "key_not_found") == 0;
    int leader;

    if (missing || strcmp(name, "precondition_failed") == 0) {
        f->op.index = need_index(reply, "index");
        if (f->method == METHOD_CAS) {
            f->op.result = missing ? HISTORY_CAS_MISSING : HISTORY_CAS_DIFFERS;
        } else if (f->method == METHOD_READ && missing) {
            f->op.value = 0;
            cl->group->seen[f->which] = 0;
        } else {
            harness_fail("'%s' for a %s", name, method_names[f->method]);
        }
        record(l, &f->op);
        l->stats.n_ok[f->method]++;
        return cl->conn.node;
    }
    if (!error_is_expected(name))
        harness_fail("%s is answered with '%s': %s", method_names[f->method], name,
                     reply_str(reply, "text"));
    if (json_is_true(json_object_get(reply, "definite"))) {
        l->stats.n_refused++;
        if (f->method == METHOD_LEDGER)
            l->keys[f->op.key].fate = FATE_FAILED;
    } else {
        record_unknown(l, f);
    }
    if (cl->resides)
        return cl->conn.node;
    leader = cluster_find(l->cluster, reply_str(reply, "leader_id"));
    if (leader >= 0 && prng_below(&l->prng, 10) < 7)
        return (unsigned)leader;
    return prng_below(&l->prng, 2) == 0 ? another_node(l) : cl->conn.node;
}

static unsigned take_reply(struct load *l, struct chaos_client *cl, const json_t *reply,
                           uint64_t ret_ns)
{
    uint64_t id = (uint64_t)reply_int(reply, "in_reply_to");
    unsigned next_node = cl->conn.node;
    struct flight f;
    unsigned k;

    for (k = 0; k < cl->n_flights && cl->flights[k].msg_id != id; k++)
        ;
    if (k == cl->n_flights)
        harness_fail("an answer to nothing that was asked");
    f = cl->flights[k];
    memmove(&cl->flights[k], &cl->flights[k + 1], (cl->n_flights - k - 1) * sizeof(f));
    cl->n_flights--;
    f.op.ret_ns = ret_ns;
    f.op.node = (uint8_t)(cl->conn.node + 1);
    if (reply_is(reply, "error")) {
        next_node = take_error(l, cl, &f, reply);
        cl->next_ns = now_ns() + prng_below(&l->prng, 20000000u);
    } else {
        l->stats.n_ok[f.method]++;
        check_belongs(l, cl, &f);
        take_ok(l, cl, &f, reply);
    }
    return next_node;
}

/* ---- asking ---- */

static enum method choose_method(struct load *l)
{
    static const struct {
        enum method method;
        unsigned share;
    } shares[] = {{METHOD_WRITE, 22},      {METHOD_CAS, 18},          {METHOD_DELETE, 4},
                  {METHOD_READ_INDEX, 20}, {METHOD_READ_VIA_LOG, 10}, {METHOD_BATCH, 6},
                  {METHOD_READ, 8},        {METHOD_LOCAL, 5},         {METHOD_LEDGER, 7}};
    uint64_t x = prng_below(&l->prng, 100);

    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        if (x < shares[i].share)
            return shares[i].method;
        x -= shares[i].share;
    }
    return METHOD_READ_INDEX;
}

static enum history_kind kind_of(enum method method)
{
    switch (method) {
    case METHOD_WRITE:
    case METHOD_LEDGER:
        return HISTORY_WRITE;
    case METHOD_CAS:
        return HISTORY_CAS;
    case METHOD_DELETE:
        return HISTORY_DELETE;
    case METHOD_LOCAL:
        return HISTORY_LOCAL;
    case METHOD_READ_INDEX:
    case METHOD_READ_VIA_LOG:
    case METHOD_BATCH:
    case METHOD_READ:
    case METHOD_FINAL:
    case N_METHODS:
        break;
    }
    return HISTORY_READ;
}

static void put_request(struct load *l, struct conn *c, const struct flight *f)
{
    const char *key = f->method == METHOD_BATCH ? NULL : "key";

    (void)buf_add_format(&c->out, "{\"msg_id\":%llu,\"verbose\":true,\"timeout_ms\":%llu,",
                         (unsigned long long)f->msg_id,
                         (unsigned long long)(f->give_up_ms - now_ms() - PATIENCE_MS));
    (void)buf_add_format(&c->out, "\"type\":\"%s\"",
                         f->method == METHOD_LEDGER ? "write" : method_names[f->method]);
    if (key != NULL)
        (void)buf_add_format(&c->out, ",\"key\":\"k%u\"", f->op.key);
    else
        (void)buf_add_format(&c->out, ",\"keys\":[\"k%u\",\"k%u\"]", f->op.key, f->second_key);
    if (f->op.kind == HISTORY_WRITE)
        (void)buf_add_format(&c->out, ",\"value\":%s", value_text(f->op.value, l->text));
    if (f->op.kind == HISTORY_CAS)
        (void)buf_add_format(&c->out, ",\"from\":%s,\"to\":%s%s", value_text(f->op.from, l->text),
                             value_text(f->op.value, l->text_2),
                             f->op.create ? ",\"create_if_not_exists\":true" : "");
    assert_int_equal(buf_add_str(&c->out, "}\n"), 0);
}

static void ask(struct load *l, struct chaos_client *cl)
{
    static const unsigned timeouts[] = {250, 1000, 2500};
    struct group *g = cl->group;
    struct flight f = {.msg_id = ++l->next_msg_id};

    f.method = choose_method(l);
    f.which = (unsigned)prng_below(&l->prng, KEYS_PER_GROUP);
    f.give_up_ms = now_ms() + slow(timeouts[prng_below(&l->prng, 3)]) + PATIENCE_MS;
    f.op.kind = (uint8_t)kind_of(f.method);
    f.op.method = (uint8_t)f.method;
    f.op.client = cl->number;
    if (f.method == METHOD_LEDGER)
        f.op.key = new_key(l);
    else
        f.op.key = group_key(l, g, f.which);
    if (f.method == METHOD_BATCH)
        f.second_key = group_key(l, g, 1 - f.which);
    if (f.op.kind == HISTORY_WRITE || f.op.kind == HISTORY_CAS)
        f.op.value = ++l->n_values;
    if (f.method == METHOD_LEDGER) {
        l->keys[f.op.key].ledger_value = f.op.value;
        l->keys[f.op.key].fate = FATE_SENT;
    }
    if (f.op.kind == HISTORY_CAS) {
        f.op.from = prng_below(&l->prng, 10) == 0 ? 1 + prng_below(&l->prng, l->n_values)
                                                  : g->seen[f.which];
        if (f.op.from == 0)
            f.op.from = l->n_values;
        f.op.create = prng_below(&l->prng, 3) == 0;
    }
    l->stats.n_asked[f.method]++;
    f.op.call_ns = now_ns();
    put_request(l, &cl->conn, &f);
    cl->flights[cl->n_flights++] = f;
}

/* ---- the watcher: digests, and who leads ---- */

static void take_digest(struct load *l, unsigned node, const json_t *state)
{
    const char *digest = reply_str(state, "digest");
    uint64_t index = need_index(state, "digest_index");
    struct digest_seen *seen = &l->digests[index % DIGESTS_SHOWN];

    if (strlen(digest) != 32)
        harness_fail("%s shows no digest", l->cluster->nodes[node].name);
    if (seen->index == index && seen->digest[0] != '\0') {
        if (strcmp(seen->digest, digest) != 0)
            harness_fail("the states differ at index %llu: %s has %s, %s has %s",
                         (unsigned long long)index, l->cluster->nodes[seen->node].name,
                         seen->digest, l->cluster->nodes[node].name, digest);
        if (seen->node != node)
            l->stats.n_digests++;
        return;
    }
    seen->index = index;
    seen->node = node;
    (void)snprintf(seen->digest, sizeof(seen->digest), "%s", digest);
}

static void take_status(struct load *l, unsigned node, const json_t *reply)
{
    if (!reply_is(reply, "status_ok"))
        harness_fail("status is answered with '%s'", reply_str(reply, "text"));
    if (strcmp(reply_str(reply, "role"), "leader") == 0)
        l->leader = (int)node;
    else if (l->leader == (int)node)
        l->leader = -1;
    take_digest(l, node, json_object_get(reply, "state"));
}

static void watch(struct load *l, unsigned node)
{
    struct watcher *w = &l->watchers[node];
    const uint64_t now = now_ms();

    if (w->asked_ms != 0 && now > w->asked_ms + slow(3000)) {
        conn_close(&w->conn);
        w->asked_ms = 0;
        w->next_ms = now + STATUS_EVERY_MS;
    }
    if (w->asked_ms != 0 || now < w->next_ms)
        return;
    w->next_ms = now + STATUS_EVERY_MS;
    if (w->conn.fd < 0 && !conn_open(l, &w->conn))
        return;
    w->asked_ms = now;
    assert_int_equal(buf_add_str(&w->conn.out, "{\"type\":\"status\",\"msg_id\":1}\n"), 0);
    if (l->snapshots_every_ms == 0 || now < w->snapshot_ms)
        return;
    w->snapshot_ms = now + l->snapshots_every_ms / 2 + prng_below(&l->prng, l->snapshots_every_ms);
    assert_int_equal(buf_add_str(&w->conn.out, "{\"type\":\"snapshot\",\"msg_id\":2}\n"), 0);
}

static void take_watched(struct load *l, unsigned node, const json_t *reply)
{
    if (reply_int(reply, "in_reply_to") == 1) {
        take_status(l, node, reply);
        l->watchers[node].asked_ms = 0;
    } else if (reply_is(reply, "snapshot_ok")) {
        l->stats.n_snapshots += json_is_true(json_object_get(reply, "making"));
    } else {
        harness_fail("snapshot is answered with '%s'", reply_str(reply, "text"));
    }
}

static void watcher_serve(struct load *l, unsigned node)
{
    struct watcher *w = &l->watchers[node];
    size_t at = 0;
    bool alive;
    json_t *reply;

    alive = (!w->conn.connecting || conn_established(&w->conn)) && conn_flush(&w->conn) &&
            conn_read(&w->conn);
    while ((reply = conn_line(&w->conn, &at)) != NULL) {
        take_watched(l, node, reply);
        json_decref(reply);
    }
    buf_consume(&w->conn.in, at);
    if (!alive) {
        conn_close(&w->conn);
        w->asked_ms = 0;
    }
}

/* ---- the turn ---- */

static void client_prepare(struct load *l, struct chaos_client *cl, int *wait_ms)
{
    const uint64_t now = now_ms();
    const uint64_t at_ns = now_ns();

    for (unsigned i = 0; i < cl->n_flights; i++)
        if (now > cl->flights[i].give_up_ms) {
            client_drop(l, cl, next_node_of(l, cl));
            break;
        }
    if (cl->conn.fd < 0 && !l->stopping && now >= cl->conn.retry_ms && !conn_open(l, &cl->conn))
        client_drop(l, cl, next_node_of(l, cl));
    if (cl->conn.fd < 0 || cl->conn.connecting || l->stopping)
        return;
    if (cl->n_flights < l->depth && at_ns >= cl->next_ns) {
        ask(l, cl);
        cl->next_ns = at_ns + 1000u * prng_below(&l->prng, THINK_US_MAX);
        if (!conn_flush(&cl->conn))
            client_drop(l, cl, next_node_of(l, cl));
    } else if (cl->n_flights < l->depth) {
        int ms = (int)((cl->next_ns - at_ns) / 1000000u) + 1;

        if (ms < *wait_ms)
            *wait_ms = ms;
    }
}

static void client_serve(struct load *l, struct chaos_client *cl)
{
    unsigned next_node = cl->conn.node;
    size_t at = 0;
    bool alive;
    uint64_t ret_ns;
    json_t *reply;

    if (cl->conn.connecting && !conn_established(&cl->conn)) {
        client_drop(l, cl, next_node_of(l, cl));
        return;
    }
    alive = conn_flush(&cl->conn) && conn_read(&cl->conn);
    ret_ns = now_ns();
    while ((reply = conn_line(&cl->conn, &at)) != NULL) {
        unsigned next = take_reply(l, cl, reply, ret_ns);

        if (next != cl->conn.node)
            next_node = next;
        json_decref(reply);
    }
    buf_consume(&cl->conn.in, at);
    if (!alive)
        client_drop(l, cl, next_node != cl->conn.node ? next_node : next_node_of(l, cl));
    else if (next_node != cl->conn.node && cl->n_flights == 0)
        client_drop(l, cl, next_node);
}

static struct pollfd poll_of(const struct conn *c)
{
    return (struct pollfd){
        .fd = c->fd, .events = (short)(POLLIN | (c->connecting || c->out.len > 0 ? POLLOUT : 0))};
}

void load_turn(struct load *l, unsigned ms)
{
    struct pollfd polls[64 + CLUSTER_NODES_MAX];
    int wait_ms = (int)ms;

    for (unsigned i = 0; i < l->n_clients; i++)
        client_prepare(l, &l->clients[i], &wait_ms);
    for (unsigned i = 0; i < l->cluster->n; i++)
        if (l->cluster->nodes[i].name[0] != '\0')
            watch(l, i);
    for (unsigned i = 0; i < l->n_clients; i++)
        polls[i] = poll_of(&l->clients[i].conn);
    for (unsigned i = 0; i < l->cluster->n; i++)
        polls[l->n_clients + i] = poll_of(&l->watchers[i].conn);
    if (poll(polls, l->n_clients + l->cluster->n, wait_ms) <= 0)
        return;
    for (unsigned i = 0; i < l->n_clients; i++)
        if (polls[i].revents != 0)
            client_serve(l, &l->clients[i]);
    for (unsigned i = 0; i < l->cluster->n; i++)
        if (polls[l->n_clients + i].revents != 0)
            watcher_serve(l, i);
}

static void begin_keys(struct load *l)
{
    for (unsigned i = 0; i < l->n_groups; i++) {
        l->groups[i] = (struct group){0};
        for (unsigned k = 0; k < KEYS_PER_GROUP; k++)
            l->groups[i].keys[k] = new_key(l);
    }
}

struct load *load_new(struct cluster *c, unsigned n_clients, unsigned depth, uint64_t seed,
                      struct history *h)
{
    const unsigned per_group = depth >= CLIENTS_PER_KEY ? 1 : CLIENTS_PER_KEY / depth;
    const unsigned n_groups = (n_clients + per_group - 1) / per_group;
    struct load *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    assert_true(n_clients >= 1 && n_clients <= 64);
    assert_true(depth >= 1 && depth <= DEPTH_MAX);
    l->cluster = c;
    l->history = h;
    l->n_clients = n_clients;
    l->n_groups = n_groups;
    l->depth = depth > CLIENTS_PER_KEY ? CLIENTS_PER_KEY : depth;
    l->leader = -1;
    prng_init(&l->prng, seed);
    l->text = malloc(VALUE_TEXT_BYTES);
    l->text_2 = malloc(VALUE_TEXT_BYTES);
    l->clients = calloc(n_clients, sizeof(*l->clients));
    l->groups = calloc(n_groups, sizeof(*l->groups));
    assert_non_null(l->text);
    assert_non_null(l->text_2);
    assert_non_null(l->clients);
    assert_non_null(l->groups);
    begin_keys(l);
    for (unsigned i = 0; i < n_clients; i++) {
        l->clients[i].resides = i / 2 % 2 == 1;
        conn_init(&l->clients[i].conn, (i / 4 + i) % c->n);
        l->clients[i].number = l->next_number++;
        l->clients[i].group = &l->groups[i % n_groups];
    }
    for (unsigned i = 0; i < c->n; i++)
        conn_init(&l->watchers[i].conn, i);
    return l;
}

void load_free(struct load *l)
{
    if (l == NULL)
        return;
    for (unsigned i = 0; i < l->n_clients; i++)
        conn_done(&l->clients[i].conn);
    for (unsigned i = 0; i < l->cluster->n; i++)
        conn_done(&l->watchers[i].conn);
    free(l->text);
    free(l->text_2);
    free(l->clients);
    free(l->groups);
    free(l->keys);
    free(l);
}

static bool anything_owed(const struct load *l)
{
    for (unsigned i = 0; i < l->n_clients; i++)
        if (l->clients[i].n_flights > 0)
            return true;
    return false;
}

void load_stop(struct load *l)
{
    uint64_t deadline = now_ms() + slow(WAIT_MS);

    l->stopping = true;
    while (anything_owed(l)) { /* each is given up in its time */
        if (now_ms() > deadline)
            harness_fail("requests are neither answered nor given up");
        load_turn(l, 20);
    }
}

/* ---- the end ---- */

static void check_ledger(struct load *l, uint32_t key, uint64_t value)
{
    const struct key *k = &l->keys[key];

    if (k->ledger_value == 0)
        return;
    if (value != 0 && value != k->ledger_value)
        harness_fail("'k%u' has a value that was written to another key", key);
    if (value == 0 && k->fate == FATE_ACKNOWLEDGED)
        harness_fail("LOST: the acknowledged write 'k%u' is not there", key);
    if (value != 0 && (k->fate == FATE_FAILED || k->fate == FATE_UNSENT))
        harness_fail("the write 'k%u' failed definitely, and is there", key);
}

/* After a window nobody writes to its keys; what was unknown then may have come late. */
static void check_last(struct load *l, uint32_t key, uint64_t value)
{
    struct key *k = &l->keys[key];

    if (key >= l->window)
        k->last = value;
    else if (k->last != value && k->n_unknown == 0)
        harness_fail("'k%u' was %llu when its window ended, and is %llu", key,
                     (unsigned long long)k->last, (unsigned long long)value);
}

static bool read_some(struct load *l, struct client *cl, size_t from, size_t to)
{
    cleanup_buf struct buf line = BUF_INIT;
    struct history_op op = {.kind = HISTORY_READ, .method = METHOD_FINAL, .client = l->next_number};
    const char *answer;
    json_t *reply;
    json_t *values;
    bool ok;

    (void)buf_add_str(&line, "{\"type\":\"batch_read_index\",\"verbose\":true,\"keys\":[");
    for (size_t i = from; i < to; i++)
        (void)buf_add_format(&line, "%s\"k%zu\"", i > from ? "," : "", i);
    assert_int_equal(buf_add(&line, "]}", 3), 0);
    op.call_ns = now_ns();
    client_send(cl, (const char *)line.data);
    answer = client_recv_within(cl, (unsigned)slow(WAIT_MS));
    if (answer == NULL)
        return false;
    op.ret_ns = now_ns();
    reply = json_loads(answer, 0, NULL);
    values = json_object_get(reply, "values");
    ok = reply_is(reply, "batch_read_index_ok");
    if (ok && json_array_size(values) != to - from)
        harness_fail("a batch with %zu values, not %zu", json_array_size(values), to - from);
    for (size_t i = from; ok && i < to; i++) {
        op.key = (uint32_t)i;
        op.index = need_index(reply, "read_at_index");
        take_value(l, json_array_get(values, i - from), &op);
        if (i >= l->window)
            (void)history_add(l->history, &op);
        check_ledger(l, op.key, op.value);
        check_last(l, op.key, op.value);
        l->stats.n_ok[METHOD_FINAL]++;
    }
    json_decref(reply);
    return ok;
}

static void read_from(struct load *l, size_t from)
{
    const size_t step = 64;
    uint64_t deadline = now_ms() + slow(3 * WAIT_MS);

    while (from < l->n_keys) {
        struct client *cl = client_open(l->cluster, cluster_leader(l->cluster));
        bool ok = true;

        while (ok && from < l->n_keys) {
            size_t to = from + step < l->n_keys ? from + step : l->n_keys;

            ok = read_some(l, cl, from, to);
            if (ok)
                from = to;
        }
        client_close(cl);
        if (now_ms() > deadline)
            harness_fail("the keys cannot be read back although all nodes are well");
    }
}

void load_read_all(struct load *l)
{
    read_from(l, l->window);
}

void load_read_back(struct load *l)
{
    read_from(l, 0);
}

void load_begin_window(struct load *l)
{
    l->window = l->n_keys;
    l->history->n = 0;
    l->stopping = false;
    l->acknowledged_ms = 0;
    begin_keys(l);
}

void load_set_snapshots(struct load *l, unsigned every_ms)
{
    l->snapshots_every_ms = every_ms;
}

void load_set_removed(struct load *l, unsigned place, bool is_removed)
{
    l->removed_ns[place] = is_removed ? now_ns() : 0;
    if (l->leader == (int)place)
        l->leader = -1;
}

int load_leader(const struct load *l)
{
    return l->leader;
}

const struct load_stats *load_get_stats(const struct load *l)
{
    return &l->stats;
}
