/* Who asks: some clients, each with one connection to each node, in open or closed loop, on a few
 * hot keys.
 *
 * READ-1: a read answered as linearizable shows a state that has everything acknowledged or shown to
 * anybody before the read was submitted, and the value is that of a sequential model at that index.
 * A write answered with OK is in the committed log where it says; one answered with a definite
 * failure is never there. READ-58: a read sees what was written before it on its connection. What is
 * repeated in a session, and what must come of that, is in sessions.c. */
#include <inttypes.h>
#include <stdlib.h>

#include "kv/kv.h"
#include "sim/sim.h"

#include "base/banned.h"

/* ---- memory of operations ---- */

struct op *client_op(struct sim *s, unsigned client)
{
    struct op *op = s->free_ops;
    struct buf command;

    if (op == NULL)
        op = sim_alloc(sizeof(*op));
    else
        s->free_ops = op->next;
    command = op->command;
    command.len = 0;
    *op = (struct op){.client = client, .command = command};
    op->next = s->clients[client].flying;
    s->clients[client].flying = op;
    s->clients[client].n_in_flight++;
    return op;
}

static void op_end(struct sim *s, struct op *op)
{
    struct sim_client *c = &s->clients[op->client];
    struct op **at = &c->flying;

    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    c->n_in_flight--;
    op->next = s->free_ops;
    s->free_ops = op;
}

const char *op_key(unsigned key)
{
    static const char keys[SIM_KEYS_MAX][OP_KEY_BYTES + 1] = {
        "skey-00", "skey-01", "skey-02", "skey-03", "skey-04", "skey-05",
        "skey-06", "skey-07", "skey-08", "skey-09", "skey-10", "skey-11"};

    return keys[key];
}

static bool is_write(enum op_kind kind)
{
    return kind == OP_WRITE || kind == OP_CAS || kind == OP_DELETE || kind == OP_OPEN;
}

/* ---- what an operation ends with ---- */

/* COMMIT-1, CLIENT-9: who is told that nothing happened is told the truth. */
static void check_definite(struct sim *s, const struct op *op)
{
    struct oracle_op *known;

    /* What is definite is said of one attempt, and a session that was opened is nothing yet. */
    if (op->doubtful || op->kind == OP_OPEN)
        return;
    known = oracle_op(s, op->id);

    if (known->applied_at != 0)
        sim_fail(s, "COMMIT-1", "a write was refused as never having happened, and is at %" PRIu64,
                 known->applied_at);
    known->refused = true;
    MARK(s, writes_refused);
}

static void check_written(struct sim *s, const struct op *op)
{
    const struct oracle_entry *e = &s->oracle.entries[op->index - 1];
    const struct sim_session *c = &s->clients[op->client].sessions[op->node];

    if (op->index > s->oracle.committed || (op->kind != OP_OPEN && e->op != op->id))
        sim_fail(s, "COMMIT-1", "a write is acknowledged at %" PRIu64 ", where another is",
                 op->index);
    /* SESSION-1: whichever attempt was answered, it is told what came of the one that was applied. */
    if (op->status != (enum command_status)e->status || op->existed != e->existed)
        sim_fail(s, "SESSION-1", "a write at %" PRIu64 " is answered by %d, and gave %d", op->index,
                 (int)op->status, (int)e->status);
    /* READ-58: later reads of the same connection have seen it. */
    for (unsigned i = 0; i < c->n_reads && i < 16; i++)
        if (c->reads[i].order > op->order && c->reads[i].index < op->index)
            sim_fail(s, "READ-58",
                     "a read at %" PRIu64
                     " misses the write before it on its connection, at %" PRIu64,
                     c->reads[i].index, op->index);
    MARK(s, writes_ok);
}

static void finish(struct sim *s, struct op *op)
{
    struct sim_client *c = &s->clients[op->client];

    TRACE(s, "c%u %s key %u at n%u: %s index %" PRIu64, op->client + 1, sim_op_names[op->kind],
          op->key, op->node + 1,
          op->ok        ? "ok"
          : op->unknown ? "unknown"
                        : "failed",
          op->index);
    if (op->ok && op->text[0] != '\0')
        memcpy(c->seen[op->key], op->text, sizeof(op->text));
    if (op->ok && s->healing && s->stable_since != 0)
        s->ok_since_stable[op->kind]++;
    if (c->resides && !s->healing)
        ; /* it stays where it is */
    else if (op->ok && !ways_is_anywhere(op->kind))
        c->guess = op->node;
    else if (op->hint != 0)
        c->guess = op->hint - 1;
    else if (!op->ok)
        c->guess = (unsigned)sim_below(s, STREAM_CLIENT, op->client, s->p.n_nodes);
    if (sessions_again(s, op))
        return;
    sessions_finished(s, op);
    if (!op->ok && op->unknown && op->kind != OP_OPEN) {
        MARK(s, writes_unknown);
        oracle_op(s, op->id)->unknown = true;
    }
    if (!op->ok && !op->unknown && is_write(op->kind))
        check_definite(s, op);
    if (!c->open_loop && !s->drained)
        sim_push(s, s->now + sim_below(s, STREAM_CLIENT, op->client, c->interval_ns / 2 + 1),
                 EV_CLIENT, NULL, (uint16_t)(op->client | 256), NULL);
    op_end(s, op);
}

/* What the turn answered leaves the node: from now on it is known to somebody. */
void clients_replies(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct op *op = n->replies;

    n->replies = NULL;
    while (op != NULL) {
        struct op *next = op->reply_next;

        if (op->ok) {
            oracle_shows(n, op->index);
            ways_told(s, op);
            if (is_write(op->kind))
                check_written(s, op);
        }
        finish(s, op);
        op = next;
    }
}

/* The connections break: whatever was not answered is never answered. */
void clients_node_died(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct op *op = n->replies;

    n->replies = NULL;
    while (op != NULL) {
        struct op *next = op->reply_next;

        if (op->ok || op->expired) { /* answered in the turn in which the node died */
            op->ok = op->expired = false;
            op->unknown = is_write(op->kind);
        }
        finish(s, op);
        op = next;
    }
    for (unsigned i = 0; i < s->p.n_clients; i++)
        for (op = s->clients[i].flying; op != NULL; op = op->next)
            if (op->submitted && op->node == n->i)
                sim_fail(s, "CORE-4", "a request of c%u was forgotten by n%u", i + 1, n->i + 1);
}

static void reply(struct sim_node *n, struct op *op)
{
    n->reading_ns = 0;
    op->submitted = false;
    op->reply_next = NULL;
    if (n->replies == NULL)
        n->replies = op;
    else
        n->replies_last->reply_next = op;
    n->replies_last = op;
}

/* ---- callbacks ---- */

static struct op *op_of(struct replica_request *q)
{
    return (struct op *)(void *)q;
}

static void check_value(struct sim *s, struct op *op, const struct command_value *v)
{
    const struct oracle_version *want = oracle_value(s, op->key, op->index);
    bool exists = want != NULL && want->exists;

    if (v->exists != exists)
        sim_fail(s, "READ-1", "key %u %s in the state %" PRIu64 ", it should%s be", op->key,
                 v->exists ? "is" : "is not", op->index, exists ? "" : " not");
    if (!exists)
        return;
    if (sim_hash_bytes(1, v->text.data, v->text.len) != want->hash ||
        v->create_index != want->create_index || v->modify_index != want->index ||
        v->version != want->version)
        sim_fail(s, "READ-1",
                 "key %u in the state %" PRIu64 " is of %" PRIu64 " version %" PRIu64
                 ", it should be of %" PRIu64 " version %" PRIu64,
                 op->key, op->index, v->modify_index, v->version, want->index, want->version);
    if (v->text.len < sizeof(op->text)) {
        memcpy(op->text, v->text.data, v->text.len);
        op->text[v->text.len] = '\0';
    }
}

static bool has_echoed(const struct sim_node *n, unsigned leader, raft_term term, uint64_t round)
{
    for (unsigned i = 0; i < SIM_ECHOES; i++)
        if (n->echoed[leader][i].term == term)
            return n->echoed[leader][i].round >= round;
    return false;
}

/* What makes a ReadIndex right (READ-1, READ-5, READ-6): its round was opened after the read came, a
 * quorum was still in the leader's term when it answered that round, and its index is not below the
 * commit index of then. The consequence is looked at above; the reason here, which is seen far more
 * often. */
static void check_round(struct sim *s, const struct op *op, const struct replica_view *view)
{
    unsigned count = 1;
    unsigned quorum = node_quorum(s);

    if (view->round <= view->arrival_round || view->round <= op->round)
        sim_fail(s, "READ-6",
                 "a read rode on round %" PRIu64 ", and %" PRIu64 " was open when it came",
                 view->round, op->round);
    if (view->read_index < op->commit)
        sim_fail(s, "READ-6",
                 "a read was given the index %" PRIu64 ", and %" PRIu64
                 " was committed there when it came",
                 view->read_index, op->commit);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        count += i != op->node && (node_is_voter(&s->nodes[i]) || members_are_on(s)) &&
                 has_echoed(&s->nodes[i], op->node, view->term, view->round);
    /* Counted in the configuration before the present one, perhaps: one voter less. */
    if (members_are_on(s))
        quorum =
            raft_configuration_n_voters(raft_get_configuration(node_raft(&s->nodes[op->node]))) / 2;
    if (count < quorum)
        sim_fail(s, "READ-6",
                 "a read was confirmed by round %" PRIu64 " of term %" PRIu64
                 ", which %u of %u voters have answered",
                 view->round, view->term, count,
                 raft_configuration_n_voters(&s->committed.configuration));
}

static void check_linearizable(struct sim *s, const struct op *op, const struct replica_view *view)
{
    raft_index index = view->last_applied.index;

    if (index < op->floor)
        sim_fail(s, "READ-1",
                 "a %s shows the state %" PRIu64 ", but %" PRIu64
                 " was known to somebody before it was asked",
                 sim_op_names[op->kind], index, op->floor);
    if (view->read_index < op->floor)
        sim_fail(s, "READ-2",
                 "a %s was given the index %" PRIu64 ", but %" PRIu64
                 " was known to somebody before it was asked",
                 sim_op_names[op->kind], view->read_index, op->floor);
    if (view->read_index > index)
        sim_fail(s, "READ-1", "a %s of index %" PRIu64 " is served from the state %" PRIu64,
                 sim_op_names[op->kind], view->read_index, index);
    if (op->kind == OP_READ || (op->kind == OP_READ_LEASE && view->proof == REPLICA_PROOF_ROUND))
        check_round(s, op, view);
    if (op->kind == OP_READ_LOG && view->entry.index != index)
        sim_fail(s, "READ-1", "a log read of %" PRIu64 " shows the state %" PRIu64,
                 view->entry.index, index);
}

/* Of those that must show all that was known before: with clocks that nothing may rest on, those
 * that rest on none. What a leader answered to another node may rest on its lease. */
static bool is_judged(const struct sim *s, const struct op *op, const struct replica_view *view)
{
    if (op->kind == OP_READ_LOCAL || op->kind == OP_READ_TOKEN || op->kind == OP_READ_BOUNDED)
        return false;
    return s->options.judge != JUDGE_INDEX || view->proof == REPLICA_PROOF_ROUND ||
           view->proof == REPLICA_PROOF_MARKER;
}

static struct sim *the_sim; /* callbacks know their node only by number */

static void served(struct replica_request *q, const struct replica_view *view)
{
    struct op *op = op_of(q);
    struct sim_node *n = &the_sim->nodes[op->node];
    struct sim *s = n->sim;
    struct sim_session *c = &s->clients[op->client].sessions[op->node];
    struct command_value v;
    int r;

    op->ok = true;
    op->index = view->last_applied.index;
    if (op->index > s->oracle.committed)
        sim_fail(s, "STATE-1", "n%u shows the state %" PRIu64 ", which is not committed", n->i + 1,
                 op->index);
    if (is_judged(s, op, view))
        check_linearizable(s, op, view);
    c->reads[c->n_reads++ % 16].order = op->order;
    c->reads[(c->n_reads - 1) % 16].index = op->index;
    ways_check(s, op, view);
    r = view->get(view->ctx, (struct wire_slice){op_key(op->key), OP_KEY_BYTES}, &v);
    if (r == KV_E_DAMAGED && n->state.damaged) {
        op->ok = false;
        op->index = 0;
        if (!replica_read_failed(n->replica, q))
            sim_fail(s, "FIT-7", "n%u does not mind its damage", n->i + 1);
        return;
    }
    if (r != 0)
        sim_fail(s, "setup", "get gave %d", r);
    if (op->index > 0)
        check_value(s, op, &v);
    if (op->kind == OP_READ) {
        MARK(s, reads_confirmed);
        if (q->session != NULL && q->session->last_write.term == view->term)
            MARK(s, reads_floor);
    } else if (op->kind == OP_READ_LOG) {
        MARK(s, reads_log);
    } else if (op->kind == OP_READ_LOCAL) {
        MARK(s, reads_local);
    }
    reply(n, op);
}

static void written(struct replica_request *q, const struct command_result *result)
{
    struct op *op = op_of(q);

    op->index = result->index;
    op->status = result->status;
    op->existed = result->existed;
    op->ok = result->status != COMMAND_SESSION_EXPIRED;
    op->expired = op->unknown = !op->ok;
    if (op->kind == OP_CAS && result->status != COMMAND_OK)
        MARK(the_sim, cas_failed);
    reply(&the_sim->nodes[op->node], op);
}

static void failed(struct replica_request *q, const struct replica_failure *f)
{
    struct op *op = op_of(q);
    struct sim_node *n = &the_sim->nodes[op->node];
    const struct sim_node *leader = node_of_id(the_sim, f->leader_id);

    if (f->error == WIRE_ERROR_NO_SPACE && strcmp(f->space.what, "quota") == 0) {
        MARK(the_sim, quota_at_propose);
        if (op->kind == OP_DELETE) /* SPACE-5: what makes the state no larger is always taken */
            sim_fail(the_sim, "SPACE-5", "n%u refuses a delete for the quota", n->i + 1);
        if (op->session != 0) /* it may be the repetition of one that was applied */
            sim_fail(the_sim, "SESSION-8", "n%u refuses a write in a session for the quota",
                     n->i + 1);
    }
    if (f->error == WIRE_ERROR_NOT_SUPPORTED)
        sim_fail(the_sim, "SESSION-7", "n%u says that there are no sessions", n->i + 1);
    op->unknown = is_write(op->kind) && (f->after_append || n->dying);
    if (leader != NULL)
        op->hint = leader->i + 1;
    if (op->kind == OP_READ &&
        (f->error == WIRE_ERROR_TERM_CHANGED || f->error == WIRE_ERROR_ROLE_CHANGED))
        MARK(the_sim, reads_failed_by_loss);
    ways_failed(the_sim, op, f);
    reply(n, op);
}

/* ---- asking ---- */

static void encode(struct sim *s, struct op *op)
{
    /* So the oracle knows a write without a session; for the state these two are nothing. */
    struct command c = {.client = op->client + 1, .seq = op->id & 0xffffffff};
    const char *seen = s->clients[op->client].seen[op->key];
    static char text[40000];
    int n;

    op->command.len = 0;
    if (op->session != 0) {
        c.client = op->session;
        c.seq = op->seq;
        c.first = sessions_first(s, op);
    }
    c.key = (struct wire_slice){op_key(op->key), OP_KEY_BYTES};
    if (sim_below(s, STREAM_OP, op->client, 100) < s->p.large_percent)
        n = snprintf(text, sizeof(text), "\"%" PRIu64 "-%0*d\"", op->id,
                     (int)sim_below(s, STREAM_OP, op->client, s->p.large_bytes) + 1, 0);
    else
        n = snprintf(text, sizeof(text), "%" PRIu64, op->id);
    c.value = (struct wire_slice){text, (size_t)n};
    switch (op->kind) {
    case OP_CAS:
        c.op = COMMAND_CAS;
        c.from =
            seen[0] != '\0' ? (struct wire_slice){seen, strlen(seen)} : (struct wire_slice){"0", 1};
        c.flags =
            sim_below(s, STREAM_OP, op->client, 2) == 0 ? COMMAND_FLAG_CREATE_IF_NOT_EXISTS : 0;
        break;
    case OP_DELETE:
        c.op = COMMAND_DELETE;
        c.value = (struct wire_slice){0};
        break;
    case OP_OPEN:
        c = (struct command){.op = COMMAND_OPEN_SESSION};
        break;
    case OP_WRITE:
    case OP_READ:
    case OP_READ_LOG:
    case OP_READ_LOCAL:
    case OP_READ_FOLLOWER:
    case OP_READ_LEASE:
    case OP_READ_BOUNDED:
    case OP_READ_TOKEN:
    case OP_TRANSFER:
    case OP_COUNT:
        c.op = COMMAND_WRITE;
        break;
    }
    if (command_encode(&c, &op->command) != 0)
        sim_fail(s, "setup", "a command cannot be encoded");
}

static enum op_kind draw_kind(struct sim *s, unsigned client)
{
    unsigned sum = 0;
    unsigned draw;

    for (unsigned i = 0; i < OP_COUNT; i++)
        sum += s->p.weights[i];
    draw = (unsigned)sim_below(s, STREAM_OP, client, sum);
    for (unsigned i = 0; i < OP_COUNT; i++) {
        if (draw < s->p.weights[i])
            return (enum op_kind)i;
        draw -= s->p.weights[i];
    }
    return OP_READ;
}

static unsigned draw_node(struct sim *s, unsigned client, enum op_kind kind)
{
    const struct sim_client *c = &s->clients[client];
    unsigned stray = (unsigned)sim_below(s, STREAM_CLIENT, client, 100);
    unsigned node = (unsigned)sim_below(s, STREAM_CLIENT, client, s->p.n_nodes);

    if (s->healing) {
        while ((s->core >> node & 1) == 0)
            node = (node + 1) % s->p.n_nodes;
        return !ways_is_anywhere(kind) && stray >= 10 ? c->guess : node;
    }
    return ways_is_anywhere(kind) || (stray < s->p.stray_percent && !c->resides) ? node : c->guess;
}

/* Each attempt in a session says its own: what a repetition is compared with, or writes, is not
 * looked at, and below which number nothing is waited for changes. */
void client_send(struct sim *s, struct op *op, uint64_t delay_ns)
{
    if (op->session != 0)
        encode(s, op);
    sim_push_any(s, s->now + delay_ns, EV_SUBMIT, op->node, 0, op);
}

static void issue(struct sim *s, unsigned client)
{
    struct sim_client *c = &s->clients[client];
    struct op *op = client_op(s, client);

    op->kind = sessions_wants_one(s, client) ? OP_OPEN : draw_kind(s, client);
    op->key = (unsigned)sim_below(s, STREAM_OP, client, s->p.n_keys);
    op->node = draw_node(s, client, op->kind);
    op->id = (uint64_t)(client + 1) << 32 | ++c->n_ops;
    if (is_write(op->kind))
        encode(s, op);
    if ((s->options.ops_off >> op->kind & 1) != 0 && !s->healing) {
        op_end(s, op);
        return;
    }
    if (is_write(op->kind) && op->kind != OP_OPEN)
        sessions_name(s, op);
    client_send(s, op, sim_below(s, STREAM_CLIENT, client, 2 * s->p.delay_spread_ns + 1));
}

/* The client goes away from one node, with everything it has there. */
static void leave(struct sim *s, unsigned client, unsigned node)
{
    struct sim_client *c = &s->clients[client];
    struct sim_node *n = &s->nodes[node];
    struct op *next;

    for (struct op *op = c->flying; op != NULL; op = next) {
        next = op->next;
        if (!op->submitted || op->node != node)
            continue;
        op->unknown = is_write(op->kind) && op->request.stage == REPLICA_PROPOSED;
        replica_cancel(n->replica, &op->request);
        op->submitted = false;
        MARK(s, client_left);
        finish(s, op);
    }
    c->sessions[node] = (struct sim_session){0};
}

void client_event(struct sim *s, unsigned client)
{
    struct sim_client *c = &s->clients[client & 255];

    if (!c->on || s->drained)
        return;
    if (client < 256)
        sim_push(s,
                 s->now + c->interval_ns / 2 + sim_below(s, STREAM_CLIENT, client, c->interval_ns),
                 EV_CLIENT, NULL, (uint16_t)client, NULL);
    client &= 255;
    if (!s->healing && sim_chance(s, STREAM_CLIENT, client, s->p.leave_ppm)) {
        unsigned node = (unsigned)sim_below(s, STREAM_CLIENT, client, s->p.n_nodes);

        if (s->nodes[node].life == NODE_UP)
            leave(s, client, node);
    }
    for (unsigned i = 0; i <= s->p.burst && c->n_in_flight < c->in_flight_max; i++)
        issue(s, client);
}

static void submit_transfer(struct sim *s, struct op *op)
{
    struct sim_node *n = &s->nodes[op->node];
    uint64_t draw = sim_draw(s, STREAM_OP, op->client);
    raft_node_id to = draw % 2 == 0 ? 0 : s->nodes[(draw >> 8) % s->p.n_nodes].id;

    if (!s->healing && replica_transfer(n->replica, to, clock_local_us(n)) == 0)
        MARK(s, transfers);
    node_input(n);
    op->hint = (unsigned)((draw >> 16) % s->p.n_nodes) + 1;
    op->ok = true;
    finish(s, op);
}

void client_submit(struct sim *s, struct op *op)
{
    static const enum replica_kind kinds[OP_COUNT] = {
        REPLICA_WRITE,         REPLICA_WRITE,      REPLICA_WRITE,        REPLICA_READ,
        REPLICA_READ_LOG,      REPLICA_READ_LOCAL, REPLICA_READ,         REPLICA_WRITE,
        REPLICA_READ_FOLLOWER, REPLICA_READ_LEASE, REPLICA_READ_BOUNDED, REPLICA_READ_LOCAL};
    struct sim_node *n = &s->nodes[op->node];
    struct sim_session *c = &s->clients[op->client].sessions[op->node];
    raft_index closed;
    uint64_t now;

    if (n->life != NODE_UP || s->drained) {
        finish(s, op);
        return;
    }
    if (op->kind == OP_TRANSFER) {
        submit_transfer(s, op);
        return;
    }
    the_sim = s;
    if (c->boot != n->boot)
        *c = (struct sim_session){.boot = n->boot};
    clock_work(n, clock_step_ns(s, s->p.cpu_msg_ns, op->command.len));
    now = clock_local_us(n);
    op->order = ++c->n_ops;
    op->floor = oracle_shown(s);
    op->commit = raft_get_commit_index(node_raft(n));
    op->round = n->round;
    op->submitted = true;
    op->request = (struct replica_request){.kind = kinds[op->kind],
                                           .deadline_us =
                                               now + s->p.timeout_us / 4 +
                                               sim_below(s, STREAM_OP, op->client, s->p.timeout_us),
                                           .session = &c->session,
                                           .command = is_write(op->kind) ? op->command.data : NULL,
                                           .command_len = is_write(op->kind) ? op->command.len : 0,
                                           .served = served,
                                           .written = written,
                                           .failed = failed};
    if (ways_is_read(op->kind))
        ways_ask(s, op);
    closed = is_write(op->kind) ? manners_propose_begin(n) : 0;
    replica_submit(n->replica, &op->request, now);
    if (closed != 0)
        manners_propose_end(n, closed);
    if (op->submitted && op->request.stage == REPLICA_WAITING)
        MARK(s, requests_waited);
    if (op->submitted)
        node_arm(n, op->request.deadline_us + 2000);
    node_input(n);
}

/* ---- life ---- */

void clients_init(struct sim *s)
{
    the_sim = s;
    for (unsigned i = 0; i < s->p.n_clients; i++) {
        struct sim_client *c = &s->clients[i];

        c->on = (s->options.clients_off >> i & 1) == 0;
        c->open_loop = sim_below(s, STREAM_CLIENT, i, 2) == 0;
        c->resides = sim_below(s, STREAM_CLIENT, i, 100) < s->p.reside_percent;
        c->in_flight_max = (1u << sim_below(s, STREAM_CLIENT, i, 5)) + s->p.burst;
        c->guess = (unsigned)sim_below(s, STREAM_CLIENT, i, s->p.n_nodes);
        c->interval_ns = s->p.length_ns * s->p.n_clients * 12 / s->p.events + 1;
        sessions_init(s, i);
        sim_push(s, sim_below(s, STREAM_CLIENT, i, 100 * SIM_MS), EV_CLIENT, NULL, (uint16_t)i,
                 NULL);
    }
}

void clients_done(struct sim *s)
{
    for (unsigned i = 0; i < SIM_CLIENTS_MAX; i++)
        while (s->clients[i].flying != NULL)
            op_end(s, s->clients[i].flying);
    while (s->free_ops != NULL) {
        struct op *op = s->free_ops;

        s->free_ops = op->next;
        buf_done(&op->command);
        free(op);
    }
}
