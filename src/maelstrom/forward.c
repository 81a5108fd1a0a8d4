/* Requests that only a leader can answer, at a node that may not lead.
 *
 *   request ─► WAITING ── this node can serve ─► the service
 *                 ▲  └──── another node leads ──► SENT ── its answer ─► the client
 *                 └──── it certainly did not happen ───┘
 *
 * What is sent is the request itself under a number of our own, with the time that is left and the
 * name of the client in "forwarded_for". The receiver does each number at most once and never
 * forwards it on. Every request has its deadline in both stages; a write that was sent and not
 * answered by then has an unknown fate and is never sent again. The requests of one client keep
 * their order: while a write of it is out, what it sent later waits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "maelstrom/maelstrom_int.h"
#include "wire/value.h"

#include "base/banned.h"

enum stage { WAITING, SENT };

struct forward {
    struct list link;  /* maelstrom.waiting or .sent */
    struct list by_id; /* SENT */
    struct list timer;
    struct client *client;     /* borrowed: lives as long as it has forwards */
    struct wire_origin origin; /* owned copy */
    enum wire_request_type type;
    enum wire_via via; /* READ: as it came */
    enum stage stage;
    uint64_t timeout_at_us; /* the client's */
    uint64_t deadline_us;   /* that, or later */
    /* WAITING: refused by who was taken for the leader; not sent again before */
    uint64_t not_before_us;
    uint32_t timeout_ms;
    raft_node_id to; /* SENT */
    raft_term term;  /* SENT: then */
    uint64_t msg_id; /* SENT */
    size_t len;
    char line[]; /* as it came */
};

/* ---- kinds ---- */

static bool wants_leader(const struct maelstrom *m, enum wire_request_type type, enum wire_via via)
{
    switch ((int)type) { /* int: the rest is for default */
    case WIRE_REQ_READ_INDEX:
    case WIRE_REQ_READ_VIA_LOG:
    case WIRE_REQ_LEASE_READ:
    case WIRE_REQ_COMPARE:
    case WIRE_REQ_BATCH_READ_INDEX:
    case WIRE_REQ_WRITE:
    case WIRE_REQ_CAS:
    case WIRE_REQ_DELETE:
    case WIRE_REQ_OPEN_SESSION:
    case WIRE_REQ_TRANSFER_LEADER:
        return true;
    case WIRE_REQ_READ:
    case WIRE_REQ_SCAN:
        via = service_via_of(engine_service(m->engine), via);
        return via != WIRE_VIA_LOCAL && via != WIRE_VIA_FOLLOWER;
    default:
        return false;
    }
}

bool forward_wants_leader(const struct maelstrom *m, const struct wire_request *q)
{
    return wants_leader(m, q->type, q->via);
}

/* Also what any node answers, where it must see what its client wrote before. */
bool forward_wanted(const struct maelstrom *m, const struct wire_request *q)
{
    return wants_leader(m, q->type, q->via) || q->type == WIRE_REQ_FOLLOWER_READ ||
           q->type == WIRE_REQ_READ;
}

static bool is_write(enum wire_request_type type)
{
    return type == WIRE_REQ_WRITE || type == WIRE_REQ_CAS || type == WIRE_REQ_DELETE ||
           type == WIRE_REQ_OPEN_SESSION;
}

/* Once sent and not answered, it may have happened and may not. */
static bool changes_something(enum wire_request_type type)
{
    return is_write(type) || type == WIRE_REQ_TRANSFER_LEADER;
}

/* May be begun once more after it was begun elsewhere: it only reads, and belongs to no leader in
 * particular. */
static bool is_plain_read(enum wire_request_type type)
{
    return !changes_something(type) && type != WIRE_REQ_COMPARE;
}

/* ---- queues ---- */

static uint64_t deadline_of(const struct list *node)
{
    return list_entry_const(node, struct forward, timer)->deadline_us;
}

void forward_init(struct maelstrom *m)
{
    list_init(&m->waiting);
    list_init(&m->sent);
    for (unsigned i = 0; i < FORWARD_BUCKETS; i++)
        list_init(&m->by_id[i]);
    timers_init(&m->timers, m->now_us);
    m->wake_us = UINT64_MAX;
}

static void forward_free(struct maelstrom *m, struct forward *f)
{
    struct client *c = f->client;

    list_remove(&f->link);
    list_remove(&f->by_id);
    timers_remove(&m->timers, &f->timer);
    if (f->stage == SENT && is_write(f->type))
        c->n_writes_out--;
    c->n_forwards--;
    m->n_forwards--;
    m->forward_bytes -= f->len;
    wire_origin_done(&f->origin);
    free(f);
    clients_update(m, c);
}

void forward_done(struct maelstrom *m)
{
    while (!list_empty(&m->waiting))
        forward_free(m, list_entry(m->waiting.next, struct forward, link));
    while (!list_empty(&m->sent))
        forward_free(m, list_entry(m->sent.next, struct forward, link));
}

static void set_deadline(struct maelstrom *m, struct forward *f, uint64_t deadline_us)
{
    timers_remove(&m->timers, &f->timer);
    f->deadline_us = deadline_us;
    timers_add(&m->timers, &f->timer, deadline_us);
}

/* Back into the queue: it certainly did not happen. A write goes in front of what its client sent
 * after it, which waited for it. */
static void back_to_waiting(struct maelstrom *m, struct forward *f, uint64_t not_before_us)
{
    if (is_write(f->type))
        f->client->n_writes_out--;
    list_remove(&f->by_id);
    list_remove(&f->link);
    list_append(m->waiting.next, &f->link);
    f->stage = WAITING;
    set_deadline(m, f, f->timeout_at_us);
    f->not_before_us = not_before_us;
    if (not_before_us < m->wake_us)
        m->wake_us = not_before_us;
}

/* ---- failures of our own ---- */

/* The replica says whether this is a timeout or the network, and the service has the words for it:
 * a client is told the same whoever kept its request. */
static void fail_timeout(struct maelstrom *m, struct forward *f)
{
    struct replica_failure failure;

    replica_deadline_failure(engine_replica(m->engine), f->stage == SENT ? "forward" : "leader",
                             m->now_us, &failure);
    failure.after_append = f->stage == SENT && changes_something(f->type);
    service_write_failure(engine_service(m->engine), &m->out, &f->origin, &failure, "it",
                          f->timeout_ms);
    forward_free(m, f);
}

/* What runs at one leader does not outlive its leadership. */
static void fail_leader_gone(struct maelstrom *m, struct forward *f)
{
    const struct raft *raft = engine_raft(m->engine);
    const struct member *leader = maelstrom_member_of(m, raft_get_leader(raft));
    struct wire_reply w;

    wire_reply_begin_error(&w, &m->out, &f->origin, true,
                           service_next_msg_id(engine_service(m->engine)), WIRE_ERROR_TERM_CHANGED,
                           f->stage == SENT && changes_something(f->type),
                           "the leader that was at work changed");
    wire_reply_u64(&w, "old_term", f->term);
    wire_reply_u64(&w, "term", raft_get_term(raft));
    wire_reply_str(&w, "leader_id", leader != NULL ? leader->name : NULL);
    (void)wire_reply_end(&w);
    forward_free(m, f);
}

static void refuse_busy(struct maelstrom *m, const struct wire_request *q, uint64_t limit)
{
    struct replica_failure failure = {.error = WIRE_ERROR_BUSY, .limit = limit};

    service_write_failure(engine_service(m->engine), &m->out, &q->origin, &failure, "it",
                          q->timeout_ms);
}

/* ---- on their way ---- */

/* The line decoded before; it may only fail for want of memory. */
static bool decode_again(struct maelstrom *m, const struct forward *f, struct wire_request *q)
{
    struct wire_refused refused;

    return wire_request_decode(service_decoder(engine_service(m->engine)), f->line, f->len, q,
                               &refused) == 0;
}

static uint32_t left_ms(const struct maelstrom *m, const struct forward *f)
{
    uint64_t us = f->timeout_at_us > m->now_us ? f->timeout_at_us - m->now_us : 0;
    uint64_t ms = (us + 999u) / 1000u;

    return ms == 0 ? 1 : (uint32_t)ms;
}

static void hand_over(struct maelstrom *m, struct forward *f)
{
    struct wire_request q;

    if (!decode_again(m, f, &q))
        return; /* it stays until its deadline */
    q.timeout_ms = left_ms(m, f);
    service_handle(f->client->conn, &q);
    forward_free(m, f);
}

/* Known fields only: what is unknown is ignored anyway, and the number of fields is bounded. */
static int add_fields(struct wire_reply *w, const json_t *body)
{
    static const char *const names[] = {
        "key", "keys",      "value",       "from",    "to",      "create_if_not_exists",
        "via", "num_reads", "concurrency", "methods", "verbose", "client",
        "seq", "first"};
    cleanup_buf struct buf text = BUF_INIT;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *v = json_object_get(body, names[i]);
        int rc;

        if (v == NULL)
            continue;
        buf_reset(&text, SIZE_MAX);
        rc = wire_value_encode(v, &text);
        if (rc < 0)
            return rc;
        if (rc == 0) /* otherwise it is no field of this request: those were decoded before */
            wire_reply_value(w, names[i], (struct wire_slice){(const char *)text.data, text.len});
    }
    return 0;
}

static void send(struct maelstrom *m, struct forward *f, const struct member *leader)
{
    /* The writer of replies swaps the names. */
    struct wire_origin there = {.envelope = true,
                                .src = {leader->name, strlen(leader->name)},
                                .dest = {m->self->name, strlen(m->self->name)}};
    size_t before = m->out.len;
    struct wire_request q;
    struct wire_reply w;

    if (!decode_again(m, f, &q))
        return;
    f->msg_id = service_next_msg_id(engine_service(m->engine));
    wire_reply_begin(&w, &m->out, &there, true, f->msg_id, wire_request_type_name(q.type));
    if (add_fields(&w, q.json) != 0) {
        m->out.len = before;
        return;
    }
    /* The method is this node's to choose, and the receiver may have another one. */
    if (f->type == WIRE_REQ_READ && f->via == WIRE_VIA_DEFAULT)
        wire_reply_str(&w, "via",
                       wire_via_name(service_via_of(engine_service(m->engine), WIRE_VIA_DEFAULT)));
    wire_reply_u64(&w, "timeout_ms", left_ms(m, f));
    wire_reply_string(&w, "forwarded_for", f->origin.src.data, f->origin.src.len);
    if (wire_reply_end(&w) != 0)
        return;
    f->stage = SENT;
    if (f->type == WIRE_REQ_COMPARE)
        set_deadline(m, f, m->now_us + MAELSTROM_COMPARE_US);
    f->to = leader->id;
    f->term = raft_get_term(engine_raft(m->engine));
    if (is_write(f->type))
        f->client->n_writes_out++;
    list_remove(&f->link);
    list_append(&m->sent, &f->link);
    list_append(&m->by_id[f->msg_id % FORWARD_BUCKETS], &f->by_id);
}

/* In order of arrival; a client whose request stays behind holds its later ones, too. */
static void pump(struct maelstrom *m)
{
    const struct raft *raft = engine_raft(m->engine);
    bool serve = replica_can_serve(engine_replica(m->engine));
    const struct member *leader =
        raft_get_role(raft) != RAFT_LEADER ? maelstrom_member_of(m, raft_get_leader(raft)) : NULL;

    m->wake_us = UINT64_MAX;
    if (!serve && leader == NULL)
        return;
    m->pass++;
    list_for_each_safe(it, &m->waiting)
    {
        struct forward *f = list_entry(it, struct forward, link);

        if (f->client->held_pass == m->pass || f->client->n_writes_out > 0 ||
            (!serve && f->not_before_us > m->now_us)) {
            f->client->held_pass = m->pass;
            if (f->not_before_us > m->now_us && f->not_before_us < m->wake_us)
                m->wake_us = f->not_before_us;
            continue;
        }
        if (serve || !wants_leader(m, f->type, f->via))
            hand_over(m, f);
        else
            send(m, f, leader);
    }
}

void forward_request(struct maelstrom *m, struct client *c, const struct wire_request *q,
                     const char *line, size_t len)
{
    struct forward *f;

    if (c->n_forwards == 0 &&
        (replica_can_serve(engine_replica(m->engine)) || !wants_leader(m, q->type, q->via))) {
        service_handle(c->conn, q);
        return;
    }
    if (m->n_forwards >= REQUESTS_MAX || m->forward_bytes + len > MAELSTROM_FORWARD_BYTES_MAX) {
        refuse_busy(m, q,
                    m->n_forwards >= REQUESTS_MAX ? REQUESTS_MAX : MAELSTROM_FORWARD_BYTES_MAX);
        return;
    }
    f = calloc(1, sizeof(*f) + len);
    if (f == NULL || wire_origin_copy(&q->origin, &f->origin) != 0) {
        free(f);
        refuse_busy(m, q, REQUESTS_MAX);
        return;
    }
    list_init(&f->by_id);
    list_init(&f->timer);
    f->client = c;
    f->type = q->type;
    f->via = q->via;
    f->timeout_ms = q->timeout_ms;
    f->timeout_at_us = m->now_us + (uint64_t)q->timeout_ms * 1000u;
    f->len = len;
    memcpy(f->line, line, len);
    list_append(&m->waiting, &f->link);
    set_deadline(m, f, f->timeout_at_us);
    c->n_forwards++;
    m->n_forwards++;
    m->forward_bytes += len;
    clients_update(m, c);
}

/* ---- answers ---- */

static bool did_not_happen(const struct forward *f, const json_t *body)
{
    const char *type = json_string_value(json_object_get(body, "type"));
    const char *name = json_string_value(json_object_get(body, "error"));
    enum wire_error error = name != NULL ? wire_error_from_name(name) : WIRE_ERROR_NONE;

    if (type == NULL || strcmp(type, "error") != 0 ||
        !json_is_true(json_object_get(body, "definite")))
        return false;
    if (error == WIRE_ERROR_NOT_LEADER)
        return true;
    return (is_plain_read(f->type) || is_write(f->type)) &&
           (error == WIRE_ERROR_TERM_CHANGED || error == WIRE_ERROR_ROLE_CHANGED ||
            error == WIRE_ERROR_CANCELLED);
}

/* Names are written without escapes. */
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* jansson walks an object only through a pointer that may change it; nothing here does. */
static json_t *walkable(const json_t *object)
{
    union {
        const json_t *given;
        json_t *walked;
    } o = {.given = object};

    return o.walked;
}

static int add_value(struct wire_reply *w, const char *name, const json_t *v, struct buf *text)
{
    const char *member_name;
    json_t *member;
    size_t i;
    int rc;

    buf_reset(text, SIZE_MAX);
    rc = wire_value_encode(v, text);
    if (rc == 0) {
        wire_reply_value(w, name, (struct wire_slice){(const char *)text->data, text->len});
        return 0;
    }
    if (rc < 0)
        return rc;
    /* Larger than one value may be: many together, in a list or in pairs. Depth was bounded by the
     * parser. */
    if (json_is_array(v)) {
        wire_reply_open_array(w, name);
        rc = 0;
        json_array_foreach(v, i, member)
        {
            if (rc == 0)
                rc = add_value(w, NULL, member, text);
        }
        wire_reply_close_array(w);
        return rc;
    }
    if (!json_is_object(v))
        return -EMSGSIZE;
    wire_reply_open_object(w, name);
    rc = 0;
    json_object_foreach(walkable(v), member_name, member)
    {
        if (rc == 0)
            rc = is_plain_name(member_name) ? add_value(w, member_name, member, text) : -EBADMSG;
    }
    wire_reply_close_object(w);
    return rc;
}

/* The body of an answer, as the leader wrote it, under the numbers of this node and its client. */
static int pass_on(struct maelstrom *m, const struct forward *f, const json_t *body)
{
    const char *type = json_string_value(json_object_get(body, "type"));
    cleanup_buf struct buf text = BUF_INIT;
    size_t before = m->out.len;
    struct wire_reply w;
    const char *name;
    json_t *v;
    int rc = 0;

    if (type == NULL)
        return -EBADMSG;
    wire_reply_begin(&w, &m->out, &f->origin, true, service_next_msg_id(engine_service(m->engine)),
                     type);
    json_object_foreach(walkable(body), name, v)
    {
        if (rc != 0 || strcmp(name, "type") == 0 || strcmp(name, "in_reply_to") == 0 ||
            strcmp(name, "msg_id") == 0 || !is_plain_name(name))
            continue;
        rc = add_value(&w, name, v, &text);
    }
    if (rc == 0)
        return wire_reply_end(&w);
    m->out.len = before;
    return rc;
}

void forward_reply(struct maelstrom *m, const struct member *from, const json_t *body)
{
    const json_t *in_reply_to = json_object_get(body, "in_reply_to");
    uint64_t msg_id = (uint64_t)json_integer_value(in_reply_to); /* 0 if it is no integer */
    struct forward *f = NULL;

    replica_hear(engine_replica(m->engine), from->id, m->now_us);
    list_for_each(it, &m->by_id[msg_id % FORWARD_BUCKETS])
    {
        f = list_entry(it, struct forward, by_id);
        if (f->msg_id == msg_id && f->to == from->id)
            break;
        f = NULL;
    }
    if (f == NULL || !json_is_integer(in_reply_to))
        return; /* late, or twice: it was answered before */
    if (did_not_happen(f, body))
        back_to_waiting(m, f, m->now_us + m->conf->heartbeat_us);
    else if (pass_on(m, f, body) == 0)
        forward_free(m, f);
    /* Otherwise it cannot be told: the deadline tells it. */
}

bool forward_first_time(struct member *from, uint64_t msg_id)
{
    if (msg_id > from->seen_highest) {
        uint64_t gap = msg_id - from->seen_highest;

        for (uint64_t i = 1; i <= gap && i <= MAELSTROM_SEEN_MAX; i++) {
            uint64_t at = (from->seen_highest + i) % MAELSTROM_SEEN_MAX;

            from->seen[at / 64] &= ~((uint64_t)1 << (at % 64));
        }
        from->seen_highest = msg_id;
    } else if (from->seen_highest - msg_id >= MAELSTROM_SEEN_MAX) {
        return false; /* too old to be told: it may have been done */
    }
    if ((from->seen[msg_id % MAELSTROM_SEEN_MAX / 64] >> (msg_id % 64) & 1u) != 0)
        return false;
    from->seen[msg_id % MAELSTROM_SEEN_MAX / 64] |= (uint64_t)1 << (msg_id % 64);
    return true;
}

/* ---- the turn ---- */

/* Reads go to whoever leads now; what changes something waits for its answer, which may still come.
 */
static void leader_changed(struct maelstrom *m)
{
    list_for_each_safe(it, &m->sent)
    {
        struct forward *f = list_entry(it, struct forward, link);

        if (f->to == m->leader_id || changes_something(f->type))
            continue;
        if (is_plain_read(f->type))
            back_to_waiting(m, f, 0);
        else if (m->leader_id != 0)
            fail_leader_gone(m, f);
    }
}

void forward_turn(struct maelstrom *m)
{
    struct list due = LIST_INIT(due);
    raft_node_id leader_id = raft_get_leader(engine_raft(m->engine));

    timers_expired(&m->timers, m->now_us, deadline_of, &due);
    while (!list_empty(&due))
        fail_timeout(m, list_entry(due.next, struct forward, timer));
    if (leader_id != m->leader_id) {
        m->leader_id = leader_id;
        leader_changed(m);
    }
    if (!list_empty(&m->waiting))
        pump(m);
}

uint64_t forward_deadline_us(struct maelstrom *m)
{
    uint64_t timer = timers_next_us(&m->timers);

    return timer < m->wake_us ? timer : m->wake_us;
}
