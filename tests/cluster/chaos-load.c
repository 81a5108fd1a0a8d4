/* Clients in groups of at most five operations at once, each group on two keys of its own, which it
 * leaves for fresh ones before their history becomes too long for the search of checker.h.
 *
 * One half of the clients follows what it is told of the leader. The others reside with a node
 * whatever it answers, and leave it only when it is silent: so a node that wrongly believes to lead
 * has clients to deceive, and the one that leads in its place has clients to make it stale at once.
 * A connection that is given up takes the outcomes of what was asked on it with it; the client goes
 * on under another number. Only a write of a session is not lost with it: it is repeated, by the
 * same seq, until somebody tells what became of it, and is one operation all the time.
 *
 * A client keeps the highest index that it was told, and gives it with some local reads, on whatever
 * node it is then (TOKEN-1). */
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
/* Where there are reads of all kinds: a node that stands still is soon asked by others, too. */
#define PATIENCE_MS_READS 100u
#define THINK_US_MAX      8000u
#define THINK_US_READS    3000u /* where there are reads of all kinds */
#define PAGE_LIMIT        4u
#define TRIES_MAX         40u /* of a write of a session */
/* The bound of a clock's rate within which faults stay, and what is lost in roundings. */
#define AGE_NS_MARGIN(ns) ((ns) / 1000u * 3u + 100000u)

const char *const method_names[N_METHODS] = {
    "write",
    "cas",
    "delete",
    "read_index",
    "read_via_log",
    "batch_read_index",
    "read",
    "local_read",
    "write once",
    "lease_read",
    "follower_read",
    "scan",
    "read with a token",
    "bounded read",
    "write of a session",
    "repetition",
    "open_session",
    "final read",
};

struct key {
    unsigned group;
    unsigned generation;
    uint32_t n_ops;
    uint32_t n_unknown;
    uint64_t ledger_value; /* 0: an ordinary key */
    uint64_t last;         /* what was found at the end of its window */
    enum fate fate;        /* of that write */
};

struct group {
    unsigned generation; /* what is used now; the names of its keys begin alike */
    uint32_t keys[KEYS_PER_GROUP];
    uint64_t seen[KEYS_PER_GROUP]; /* the newest value that somebody of the group was told */
};

struct flight {
    uint64_t msg_id;
    uint64_t timeout_ms;
    uint64_t give_up_ms;
    enum method method;
    unsigned which;       /* key of the group */
    struct history_op op; /* key, kind, value, from, create, call_ns */
    uint32_t second_key;  /* batch, page */
    const char *via;      /* NULL: none is said */
    uint64_t min_index;   /* a token */
    unsigned max_stale_ms;
    bool is_foreign;  /* the token is of another cluster */
    uint64_t session; /* write of a session */
    uint64_t seq;
    unsigned n_tries;
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
    uint64_t seen_index; /* the highest that it was told */
    uint64_t session;    /* 0: none yet */
    uint64_t next_seq;
    struct flight owed; /* a write whose outcome is not known */
    bool owes;
    struct flight last; /* the last write of the session that was answered */
    bool has_last;
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
    bool reads; /* of all kinds */
    char cluster_hash[64];
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

    (void)clock_gettime(CLOCK_MONOTONIC_RAW, &ts); /* ages are compared with it */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- keys and values ---- */

static uint32_t new_key(struct load *l, const struct group *g)
{
    if (l->n_keys == l->keys_size) {
        l->keys_size = l->keys_size == 0 ? 4096 : l->keys_size * 2;
        l->keys = realloc(l->keys, l->keys_size * sizeof(*l->keys));
        assert_non_null(l->keys);
    }
    l->keys[l->n_keys] =
        (struct key){.group = (unsigned)(g - l->groups), .generation = g->generation};
    l->stats.n_keys++;
    return (uint32_t)l->n_keys++;
}

/* Keys that are used once stand behind the others of their group. */
static const char *key_name(const struct load *l, uint32_t key, char *text, size_t size)
{
    const struct key *k = &l->keys[key];

    (void)snprintf(text, size, "g%u.%u.%s%08u", k->group, k->generation,
                   k->ledger_value != 0 ? "o" : "k", key);
    return text;
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

static void begin_generation(struct load *l, struct group *g)
{
    g->generation++;
    for (unsigned i = 0; i < KEYS_PER_GROUP; i++) {
        g->keys[i] = new_key(l, g);
        g->seen[i] = 0;
    }
}

/* The group's keys; worn ones are replaced, both at once. */
static uint32_t group_key(struct load *l, struct group *g, unsigned which)
{
    for (unsigned i = 0; i < KEYS_PER_GROUP; i++) {
        const struct key *k = &l->keys[g->keys[i]];

        if (k->n_ops >= KEY_OPS_MAX - CLIENTS_PER_KEY || k->n_unknown >= KEY_UNKNOWN_MAX) {
            begin_generation(l, g);
            break;
        }
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

static bool is_write(const struct flight *f)
{
    return f->op.kind != HISTORY_READ && f->op.kind != HISTORY_LOCAL && f->method != METHOD_AGAIN &&
           f->method != METHOD_OPEN;
}

static void record_unknown(struct load *l, struct flight *f)
{
    if (!is_write(f))
        return;
    f->op.outcome = HISTORY_UNKNOWN;
    f->op.ret_ns = HISTORY_NEVER;
    record(l, &f->op);
    l->keys[f->op.key].n_unknown++;
    if (f->method == METHOD_LEDGER)
        l->keys[f->op.key].fate = FATE_UNKNOWN;
    l->stats.n_unknown++;
}

/* Nobody will say any more what became of it, or somebody may. */
static void lose(struct load *l, struct chaos_client *cl, struct flight *f)
{
    if (f->method != METHOD_SESSION || l->stopping || f->n_tries >= TRIES_MAX) {
        record_unknown(l, f);
        return;
    }
    assert_false(cl->owes);
    cl->owed = *f;
    cl->owes = true;
}

/* The connection is given up. */
static void client_drop(struct load *l, struct chaos_client *cl, unsigned next_node)
{
    for (unsigned i = 0; i < cl->n_flights; i++)
        lose(l, cl, &cl->flights[i]);
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
    /* The items of a page are those that there are, and do not say so. */
    if (exists != NULL && json_is_true(exists) != (op->value != 0))
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

/* A page's part of the history: what it tells of the keys of the group, of those that are not there
 * too, as far as it goes. */
static void record_page_key(struct load *l, const struct flight *f, uint32_t key,
                            const json_t *item)
{
    struct history_op op = f->op;

    op.key = key;
    op.value = 0;
    if (item != NULL)
        take_value(l, item, &op);
    l->stats.n_page_keys++;
    record(l, &op);
}

static const json_t *find_item(const json_t *items, const char *name)
{
    for (size_t i = 0; i < json_array_size(items); i++)
        if (strcmp(reply_str(json_array_get(items, i), "key"), name) == 0)
            return json_array_get(items, i);
    return NULL;
}

/* The keys that are used once, as they come; their order is that of their numbers. */
static void take_once(struct load *l, const struct flight *f, const json_t *item)
{
    const char *name = reply_str(item, "key");
    const char *mark = strrchr(name, '.');
    unsigned long key;
    char text[64];

    if (mark == NULL || mark[1] != 'o')
        return;
    key = strtoul(mark + 2, NULL, 10);
    if (key >= l->n_keys || strcmp(key_name(l, (uint32_t)key, text, sizeof(text)), name) != 0)
        harness_fail("a page shows '%s', which nobody wrote", name);
    record_page_key(l, f, (uint32_t)key, item);
}

static void take_page(struct load *l, struct flight *f, const json_t *reply)
{
    const json_t *items = json_object_get(reply, "items");
    const bool more = json_is_true(json_object_get(reply, "more"));
    const uint32_t keys[KEYS_PER_GROUP] = {f->op.key, f->second_key};
    const char *last;
    size_t n_seen = 0;

    if (!json_is_array(items) || (more && json_array_size(items) == 0))
        harness_fail("a page without items");
    last = reply_str(json_array_get(items, json_array_size(items) - 1), "key");
    for (unsigned i = 0; i < KEYS_PER_GROUP; i++) {
        char name[64];
        const json_t *item = find_item(items, key_name(l, keys[i], name, sizeof(name)));

        n_seen += item != NULL;
        if (item != NULL || !more || strcmp(last, name) > 0)
            record_page_key(l, f, keys[i], item);
    }
    for (size_t i = n_seen; i < json_array_size(items); i++)
        take_once(l, f, json_array_get(items, i));
}

/* What the reply says of itself must hold; returns the index. */
static uint64_t take_proof(struct load *l, struct chaos_client *cl, struct flight *f,
                           const json_t *reply)
{
    const bool is_linearizable = json_is_true(json_object_get(reply, "linearizable"));
    const bool is_local = f->op.kind == HISTORY_LOCAL;
    const uint64_t index = need_index(reply, is_local ? "applied_index" : "read_at_index");

    if (is_linearizable == is_local)
        harness_fail("%s says that it is %slinearizable", method_names[f->method],
                     is_linearizable ? "" : "not ");
    if (f->method == METHOD_LEASE)
        l->stats.n_by_lease += json_is_true(json_object_get(reply, "lease_valid"));
    if (f->method == METHOD_FOLLOWER)
        l->stats.n_by_leader +=
            strcmp(reply_str(reply, "by"), l->cluster->nodes[cl->conn.node].name) != 0;
    if (f->is_foreign)
        harness_fail("a token of another cluster was taken");
    if (index < f->min_index)
        harness_fail("%s is answered from index %llu, and the token was %llu",
                     method_names[f->method], (unsigned long long)index,
                     (unsigned long long)f->min_index);
    return index;
}

static void take_age(struct flight *f, const json_t *reply)
{
    const uint64_t ms = need_index(reply, "staleness_ms");

    if (ms > f->max_stale_ms)
        harness_fail("a state that is %llu ms old, and %u were asked for", (unsigned long long)ms,
                     f->max_stale_ms);
    f->op.stale_ns = ms * 1000000u + AGE_NS_MARGIN(ms * 1000000u);
}

/* A repetition of a write that was answered: by the same, whatever the key is by now. */
static void take_again(const struct flight *f, const json_t *reply)
{
    const char *error = reply_str(reply, "error");
    const enum history_cas result = strcmp(error, "key_not_found") == 0 ? HISTORY_CAS_MISSING
                                    : strcmp(error, "precondition_failed") == 0
                                        ? HISTORY_CAS_DIFFERS
                                        : HISTORY_CAS_DONE;

    if (result != (enum history_cas)f->op.result || need_index(reply, "index") != f->op.index)
        harness_fail("seq %llu of session %llu was answered by index %llu and result %u, and is "
                     "now by index %lld and result %u",
                     (unsigned long long)f->seq, (unsigned long long)f->session,
                     (unsigned long long)f->op.index, f->op.result,
                     (long long)reply_int(reply, "index"), result);
}

static void take_session(struct chaos_client *cl, const json_t *reply)
{
    cl->session = strtoull(reply_str(reply, "client"), NULL, 10);
    cl->next_seq = 1;
    cl->has_last = false;
    if (cl->session == 0)
        harness_fail("a session without a name");
}

/* Of a write of a session: its outcome is told. */
static void settle(struct load *l, struct chaos_client *cl, const struct flight *f)
{
    l->stats.n_settled += f->n_tries > 1;
    cl->last = *f;
    cl->has_last = true;
}

static void tell_index(struct chaos_client *cl, uint64_t index)
{
    if (index > cl->seen_index)
        cl->seen_index = index;
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
    tell_index(cl, need_index(reply, "read_at_index"));
    for (unsigned i = 0; i < 2; i++) {
        struct history_op op = f->op;

        op.key = i == 0 ? f->op.key : f->second_key;
        op.index = need_index(reply, "read_at_index");
        take_value(l, json_array_get(values, i), &op);
        record(l, &op);
    }
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
    case METHOD_SESSION:
    case METHOD_DELETE:
        op->index = need_index(reply, "index");
        op->existed = json_is_true(json_object_get(reply, "existed"));
        take_acknowledged(l);
        if (f->method == METHOD_SESSION)
            settle(l, cl, f);
        break;
    case METHOD_AGAIN:
        take_again(f, reply);
        return;
    case METHOD_OPEN:
        take_session(cl, reply);
        return;
    case METHOD_SCAN:
        op->index = take_proof(l, cl, f, reply);
        tell_index(cl, op->index);
        take_page(l, f, reply);
        return;
    case METHOD_LEASE:
    case METHOD_FOLLOWER:
        op->index = take_proof(l, cl, f, reply);
        take_value(l, reply, op);
        break;
    case METHOD_TOKEN:
    case METHOD_BOUNDED:
        op->index = take_proof(l, cl, f, reply);
        if (f->method == METHOD_BOUNDED)
            take_age(f, reply);
        tell_index(cl, op->index);
        if (f->via != NULL) {
            take_page(l, f, reply);
            return;
        }
        take_value(l, reply, op);
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
        /* An earlier version does not tell the index of its state, which is at least each of
         * these. */
        op->index = json_object_get(reply, "read_at_index") != NULL
                        ? take_proof(l, cl, f, reply)
                        : need_index(reply, "read_index");
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
    tell_index(cl, op->index);
    record(l, op);
    if (f->method == METHOD_LEDGER)
        l->keys[op->key].fate = FATE_ACKNOWLEDGED;
    else if (l->keys[op->key].ledger_value == 0 && cl->group->keys[f->which] == op->key)
        cl->group->seen[f->which] = op->kind == HISTORY_DELETE ? 0 : op->value;
}

/* Names of errors that a node may answer with in a storm. */
static bool error_is_expected(const char *name)
{
    static const char *const names[] = {"not_leader", "term_changed",   "role_changed", "timeout",
                                        "network",    "cancelled",      "overloaded",   "busy",
                                        "no_space",   "session_expired"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* True: this error is all there is to be said. */
static bool take_error_of_new(struct load *l, struct chaos_client *cl, const struct flight *f,
                              const char *name)
{
    if (f->is_foreign && strcmp(name, "precondition_failed") == 0) {
        l->stats.n_foreign++;
        return true;
    }
    if (f->method == METHOD_AGAIN && strcmp(name, "session_expired") == 0)
        harness_fail("seq %llu of session %llu was answered lately, and has expired",
                     (unsigned long long)f->seq, (unsigned long long)f->session);
    if (strcmp(name, "session_expired") == 0)
        cl->session = 0;
    /* Until all members are known to know of sessions. */
    return strcmp(name, "not_supported") == 0 &&
           (f->method == METHOD_OPEN || f->method == METHOD_SESSION || f->method == METHOD_AGAIN);
}

/* The node to go on with. */
static unsigned take_error(struct load *l, struct chaos_client *cl, struct flight *f,
                           const json_t *reply)
{
    const char *name = reply_str(reply, "error");
    const bool missing = strcmp(name, "key_not_found") == 0;
    int leader;

    if (take_error_of_new(l, cl, f, name)) {
        if (f->method == METHOD_SESSION)
            lose(l, cl, f);
        return cl->conn.node;
    }
    if (missing || strcmp(name, "precondition_failed") == 0) {
        if (f->method == METHOD_AGAIN) {
            take_again(f, reply);
            l->stats.n_ok[f->method]++;
            return cl->conn.node;
        }
        f->op.index = need_index(reply, "index");
        tell_index(cl, f->op.index);
        if (f->op.kind == HISTORY_CAS) {
            f->op.result = missing ? HISTORY_CAS_MISSING : HISTORY_CAS_DIFFERS;
            if (f->method == METHOD_SESSION)
                settle(l, cl, f);
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
    /* Of a repetition it says nothing of the tries before. */
    if (json_is_true(json_object_get(reply, "definite")) &&
        (f->method != METHOD_SESSION || f->n_tries == 1)) {
        l->stats.n_refused++;
        if (f->method == METHOD_LEDGER)
            l->keys[f->op.key].fate = FATE_FAILED;
    } else if (f->method == METHOD_SESSION && strcmp(name, "session_expired") == 0 &&
               f->n_tries == 1) {
        l->stats.n_refused++;
    } else if (strcmp(name, "session_expired") == 0) {
        record_unknown(l, f);
    } else {
        lose(l, cl, f);
    }
    if (cl->resides && (f->method != METHOD_SESSION || f->n_tries % 8 != 0))
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

struct share {
    enum method method;
    unsigned share;
};

static enum method draw_method(struct load *l, const struct share *shares)
{
    uint64_t x = prng_below(&l->prng, 100);

    while (x >= shares->share)
        x -= (shares++)->share;
    return shares->method;
}

static enum method choose_method(struct load *l, const struct chaos_client *cl)
{
    static const struct share all[] = {
        {METHOD_WRITE, 8},        {METHOD_CAS, 6},   {METHOD_DELETE, 2}, {METHOD_READ_INDEX, 4},
        {METHOD_READ_VIA_LOG, 2}, {METHOD_BATCH, 2}, {METHOD_LOCAL, 1},  {METHOD_LEDGER, 2},
        {METHOD_SESSION, 7},      {METHOD_AGAIN, 1}, {METHOD_READ, 12},  {METHOD_LEASE, 17},
        {METHOD_FOLLOWER, 13},    {METHOD_SCAN, 5},  {METHOD_TOKEN, 8},  {METHOD_BOUNDED, 10}};
    /* Of a node that leads least of all: mostly what each node answers. */
    static const struct share any[] = {
        {METHOD_FOLLOWER, 28},  {METHOD_READ, 20}, {METHOD_TOKEN, 16},
        {METHOD_BOUNDED, 18},   {METHOD_SCAN, 8},  {METHOD_LEASE, 4},
        {METHOD_READ_INDEX, 2}, {METHOD_WRITE, 2}, {METHOD_SESSION, 2}};
    const bool elsewhere = l->leader >= 0 && (unsigned)l->leader != cl->conn.node;
    static const struct share shares[] = {
        {METHOD_WRITE, 22},      {METHOD_CAS, 18},          {METHOD_DELETE, 4},
        {METHOD_READ_INDEX, 20}, {METHOD_READ_VIA_LOG, 10}, {METHOD_BATCH, 6},
        {METHOD_READ, 8},        {METHOD_LOCAL, 5},         {METHOD_LEDGER, 7}};
    enum method method = draw_method(l, !l->reads                                  ? shares
                                        : elsewhere && prng_below(&l->prng, 5) > 0 ? any
                                                                                   : all);

    if (method == METHOD_SESSION && cl->session == 0)
        return METHOD_OPEN;
    if (method == METHOD_SESSION || method == METHOD_AGAIN) {
        /* One write of a session at a time; it is repeated while its answer is among the kept. */
        for (unsigned i = 0; i < cl->n_flights; i++)
            if (cl->flights[i].method == METHOD_SESSION || cl->flights[i].method == METHOD_AGAIN)
                return METHOD_READ;
        if (method == METHOD_AGAIN && !cl->has_last)
            return METHOD_READ;
    }
    return method;
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
    case METHOD_TOKEN:
    case METHOD_BOUNDED:
        return HISTORY_LOCAL;
    case METHOD_LEASE:
    case METHOD_FOLLOWER:
    case METHOD_SCAN:
    case METHOD_SESSION: /* as it is drawn */
    case METHOD_AGAIN:
    case METHOD_OPEN:
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

static const char *type_of(const struct flight *f)
{
    switch ((int)f->method) {
    case METHOD_LEDGER:
        return "write";
    case METHOD_SESSION:
    case METHOD_AGAIN:
        return f->op.kind == HISTORY_CAS ? "cas" : "write";
    case METHOD_TOKEN:
        return f->via != NULL ? "scan" : "local_read";
    case METHOD_BOUNDED:
        return "local_read";
    default:
        return method_names[f->method];
    }
}

static void put_key(struct load *l, struct conn *c, const struct flight *f)
{
    char name[64];
    char second[64];

    if (f->method == METHOD_OPEN)
        return;
    (void)key_name(l, f->op.key, name, sizeof(name));
    if (f->method == METHOD_BATCH)
        (void)buf_add_format(&c->out, ",\"keys\":[\"%s\",\"%s\"]", name,
                             key_name(l, f->second_key, second, sizeof(second)));
    else if (strcmp(type_of(f), "scan") == 0)
        (void)buf_add_format(&c->out, ",\"prefix\":\"g%u.%u.\",\"limit\":%u",
                             l->keys[f->op.key].group, l->keys[f->op.key].generation, PAGE_LIMIT);
    else
        (void)buf_add_format(&c->out, ",\"key\":\"%s\"", name);
    if (f->via != NULL)
        (void)buf_add_format(&c->out, ",\"via\":\"%s\"", f->via);
}

static void put_promise(struct load *l, struct conn *c, const struct flight *f)
{
    if (f->op.has_token)
        (void)buf_add_format(&c->out, ",\"min_index\":%llu", (unsigned long long)f->min_index);
    if (f->is_foreign)
        (void)buf_add_format(&c->out, ",\"cluster\":\"%s\"",
                             strcmp(l->cluster_hash, "0123456789abcdef") != 0 ? "0123456789abcdef"
                                                                              : "fedcba9876543210");
    else if (f->op.has_token && l->cluster_hash[0] != '\0')
        (void)buf_add_format(&c->out, ",\"cluster\":\"%s\"", l->cluster_hash);
    if (f->max_stale_ms != 0)
        (void)buf_add_format(&c->out, ",\"max_stale_ms\":%u", f->max_stale_ms);
    if (f->seq != 0)
        (void)buf_add_format(&c->out, ",\"client\":\"%llu\",\"seq\":%llu,\"first\":%llu",
                             (unsigned long long)f->session, (unsigned long long)f->seq,
                             (unsigned long long)f->seq);
}

static void put_request(struct load *l, struct conn *c, const struct flight *f)
{
    (void)buf_add_format(&c->out, "{\"msg_id\":%llu,\"verbose\":true,\"timeout_ms\":%llu,",
                         (unsigned long long)f->msg_id, (unsigned long long)f->timeout_ms);
    (void)buf_add_format(&c->out, "\"type\":\"%s\"", type_of(f));
    put_key(l, c, f);
    put_promise(l, c, f);
    if (f->op.kind == HISTORY_WRITE)
        (void)buf_add_format(&c->out, ",\"value\":%s", value_text(f->op.value, l->text));
    if (f->op.kind == HISTORY_CAS)
        (void)buf_add_format(&c->out, ",\"from\":%s,\"to\":%s%s", value_text(f->op.from, l->text),
                             value_text(f->op.value, l->text_2),
                             f->op.create ? ",\"create_if_not_exists\":true" : "");
    assert_int_equal(buf_add_str(&c->out, "}\n"), 0);
}

static void send_flight(struct load *l, struct chaos_client *cl, struct flight *f)
{
    static const unsigned timeouts[] = {250, 1000, 2500};
    const unsigned ms = timeouts[prng_below(&l->prng, 3)];

    f->msg_id = ++l->next_msg_id;
    f->timeout_ms = slow(l->reads ? ms / 2 : ms);
    f->give_up_ms = now_ms() + f->timeout_ms + (l->reads ? PATIENCE_MS_READS : PATIENCE_MS);
    l->stats.n_asked[f->method]++;
    put_request(l, &cl->conn, f);
    cl->flights[cl->n_flights++] = *f;
}

/* What only some methods say. */
static void draw_promise(struct load *l, const struct chaos_client *cl, struct flight *f)
{
    static const char *const vias[] = {NULL, NULL, "lease", "follower", "read_index"};
    static const unsigned bounds_ms[] = {10, 50, 200, 1000, 5000};

    if (f->method == METHOD_READ || f->method == METHOD_SCAN)
        f->via = vias[prng_below(&l->prng, 5)];
    if (f->method == METHOD_SCAN && f->via == NULL && prng_below(&l->prng, 4) == 0)
        f->via = "log";
    if (f->method == METHOD_TOKEN && prng_below(&l->prng, 4) == 0)
        f->via = "local";
    if (f->method == METHOD_BOUNDED)
        f->max_stale_ms = bounds_ms[prng_below(&l->prng, 5)];
    f->op.has_token =
        f->method == METHOD_TOKEN || (f->method == METHOD_BOUNDED && prng_below(&l->prng, 4) == 0);
    if (!f->op.has_token)
        return;
    f->min_index = cl->seen_index;
    f->is_foreign = l->cluster_hash[0] != '\0' && prng_below(&l->prng, 50) == 0;
}

static void draw_session(struct load *l, struct chaos_client *cl, struct flight *f)
{
    f->op.kind = prng_below(&l->prng, 2) == 0 ? HISTORY_CAS : HISTORY_WRITE;
    f->session = cl->session;
    f->seq = cl->next_seq++;
    f->n_tries = 1;
    cl->has_last = false; /* this one may say that its answer is not needed any more */
}

/* As it was sent; what it says beside its number is not looked at. */
static void ask_again(struct load *l, struct chaos_client *cl)
{
    struct flight f = cl->last;

    f.method = METHOD_AGAIN;
    f.op.call_ns = now_ns();
    send_flight(l, cl, &f);
}

/* On any node; the same until its outcome is told. */
static void ask_owed(struct load *l, struct chaos_client *cl)
{
    struct flight f = cl->owed;

    cl->owes = false;
    f.n_tries++;
    l->stats.n_repeated++;
    send_flight(l, cl, &f);
}

static void ask(struct load *l, struct chaos_client *cl)
{
    struct group *g = cl->group;
    struct flight f = {.method = choose_method(l, cl)};

    if (f.method == METHOD_AGAIN) {
        ask_again(l, cl);
        return;
    }
    f.which = (unsigned)prng_below(&l->prng, KEYS_PER_GROUP);
    f.op.kind = (uint8_t)kind_of(f.method);
    f.op.method = (uint8_t)f.method;
    f.op.client = cl->number;
    f.op.session = (uint16_t)(cl - l->clients + 1);
    if (f.method == METHOD_SESSION)
        draw_session(l, cl, &f);
    if (l->reads)
        draw_promise(l, cl, &f);
    f.op.key = group_key(l, g, f.which);
    if (f.method == METHOD_LEDGER)
        f.op.key = new_key(l, g);
    if (f.method == METHOD_BATCH || strcmp(type_of(&f), "scan") == 0)
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
    f.op.call_ns = now_ns();
    send_flight(l, cl, &f);
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
    (void)snprintf(l->cluster_hash, sizeof(l->cluster_hash), "%s",
                   reply_str(reply, "cluster_hash"));
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
        if (cl->owes)
            ask_owed(l, cl);
        else
            ask(l, cl);
        cl->next_ns =
            at_ns + 1000u * prng_below(&l->prng, l->reads ? THINK_US_READS : THINK_US_MAX);
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
    for (unsigned i = 0; i < l->n_groups; i++)
        begin_generation(l, &l->groups[i]);
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
    for (unsigned i = 0; i < l->n_clients; i++) {
        if (l->clients[i].owes)
            record_unknown(l, &l->clients[i].owed);
        l->clients[i].owes = false;
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
    for (size_t i = from; i < to; i++) {
        char name[64];

        (void)buf_add_format(&line, "%s\"%s\"", i > from ? "," : "",
                             key_name(l, (uint32_t)i, name, sizeof(name)));
    }
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

void load_set_reads(struct load *l, bool all)
{
    l->reads = all;
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
