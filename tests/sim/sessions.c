/* Writes that name a session and are repeated: with the same number after an outcome that is not
 * known, or while another attempt is under way, at the same node or another one, and long after
 * they were answered.
 *
 * Three parts. The state of a node that has a map: the records of its sessions stand among its
 * keys, and what they mean the code under test says (kv/session_int.h). The model, which remembers
 * every write of every session, and calculates what may be forgotten. And the clients.
 *
 * SESSION-1: of all attempts one is applied, and each that is answered has the same answer.
 * SESSION-2, SESSION-5: what is new, repeated or expired the model says, too, at each entry. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "kv/kv.h"
#include "kv/session_int.h"
#include "sim/sim.h"

#include "base/banned.h"

bool sessions_are_on(const struct sim *s)
{
    return (s->p.features >> FEATURE_SESSIONS & 1) != 0;
}

void sessions_profile(struct sim *s)
{
    struct profile *p = &s->p;

    if (sim_below(s, STREAM_FEATURE, FEATURE_SESSIONS, 2) != 0 ||
        (s->options.features_off >> FEATURE_SESSIONS & 1) != 0)
        return;
    p->features |= UINT64_C(1) << FEATURE_SESSIONS;
    MARK(s, seeds_sessions);
    /* An eighth of it is room for some of them, and long values find none. */
    if (p->quota_bytes == 0 && sim_below(s, STREAM_SESSION, 40, 3) == 0)
        p->quota_bytes = 800 + sim_below(s, STREAM_SESSION, 40, 12000);
    if (!p->lmdb && sim_below(s, STREAM_SESSION, 40, 20) == 0) {
        p->lmdb = true;
        MARK(s, seeds_lmdb);
    }
}

/* ---- the map ---- */

static bool is_session(const struct map_key *k, uint64_t *ret_client)
{
    return session_key_get((struct wire_slice){(const char *)k->key, k->len}, ret_client);
}

/* Below it nothing is new (SESSION-2). */
static uint64_t floor_of(const struct session *s)
{
    if (s->n == SESSION_ANSWERS_MAX && s->answers[0].seq > s->first)
        return s->answers[0].seq;
    return s->first;
}

static uint64_t answer_digest(uint64_t h, uint64_t seq, raft_index index, unsigned status,
                              bool existed)
{
    return sim_mix(sim_mix(h, seq), index * 64 + status * 2 + existed);
}

uint64_t sessions_key_digest(const struct map_key *k)
{
    struct session s;
    uint64_t client;
    uint64_t h;

    if (!is_session(k, &client))
        return 0;
    rid_assert(session_parse((struct wire_slice){k->value.text, k->value.len}, &s));
    h = sim_mix(sim_mix(sim_mix(23, client), k->value.modify_index), floor_of(&s));
    for (unsigned i = 0; i < s.n; i++)
        h = answer_digest(h, s.answers[i].seq, s.answers[i].index, s.answers[i].status,
                          s.answers[i].existed);
    return h;
}

/* All of them, in the order of the list. */
static void list_them(const struct sim_map *m, struct session_list *ret)
{
    struct session_head heads[SIM_MAP_KEYS_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < m->n; i++) {
        struct session_head head = {.used = m->keys[i].value.modify_index,
                                    .bytes = map_key_bytes(&m->keys[i])};
        unsigned at = n;

        if (!m->keys[i].value.exists || !is_session(&m->keys[i], &head.client))
            continue;
        for (; at > 0 && heads[at - 1].client > head.client; at--)
            heads[at] = heads[at - 1];
        heads[at] = head;
        n++;
    }
    ret->n = 0;
    ret->bytes = 0;
    for (unsigned i = 0; i < n; i++)
        rid_assert(session_list_add(ret, &heads[i]));
}

void sessions_count(const struct sim_map *m, struct kv_sessions *ret)
{
    static struct session_list list;

    list_them(m, &list);
    *ret = (struct kv_sessions){list.n, list.bytes, m->n_gone};
}

static void map_keep(struct sim_state *st, uint64_t client, raft_index index,
                     const struct session *s)
{
    static struct session_list list;
    unsigned char text[SESSION_TEXT_BYTES_MAX];
    const struct wire_slice slice = {(const char *)text, session_write(s, text)};
    struct session_key key;

    session_key_set(&key, client);
    map_set(st, (struct wire_slice){key.bytes, sizeof(key.bytes)}, &slice, index);
    for (unsigned i = 0; i < SESSIONS_GONE_AT_ONCE; i++) {
        list_them(&st->map, &list);
        if (!session_list_is_over(&list, st->map.limit_bytes, &client))
            return;
        session_key_set(&key, client);
        map_set(st, (struct wire_slice){key.bytes, sizeof(key.bytes)}, NULL, index);
        st->map.n_gone++;
    }
}

static void map_open(struct sim_state *st, raft_index index, struct command_result *result)
{
    struct session s;

    if (st->map.limit_bytes != 0 && st->map.live_bytes + kv_session_bytes() > st->map.limit_bytes) {
        result->status = COMMAND_NO_SPACE;
        return;
    }
    session_init(&s);
    map_keep(st, index, index, &s);
}

int sessions_map_apply(struct sim_node *n, const struct command *c, raft_index index,
                       struct command_result *result)
{
    static struct session_list list;
    struct sim_state *st = &n->state;
    struct session_answer answer;
    struct session_key key;
    struct map_key *k;
    struct session s;
    int rc;

    if (c->op == COMMAND_OPEN_SESSION) {
        map_open(st, index, result);
        return 0;
    }
    list_them(&st->map, &list);
    result->status = COMMAND_SESSION_EXPIRED;
    if (session_list_find(&list, c->client) == NULL)
        return 0;
    session_key_set(&key, c->client);
    k = map_find(&st->map, (struct wire_slice){key.bytes, sizeof(key.bytes)});
    rid_assert(session_parse((struct wire_slice){k->value.text, k->value.len}, &s));
    switch (session_look(&s, c->seq, &answer)) {
    case SESSION_EXPIRED:
        return 0;
    case SESSION_REPEATED:
        *result = (struct command_result){.status = answer.status,
                                          .existed = answer.existed,
                                          .repeated = true,
                                          .index = answer.index};
        session_forget(&s, c->first);
        break;
    case SESSION_NEW:
        result->status = COMMAND_OK;
        rc = map_write(n, c, index, result);
        if (rc != 0)
            return rc;
        session_forget(&s, c->first);
        session_answered(&s, c->seq, result);
        break;
    }
    map_keep(st, c->client, index, &s);
    return 0;
}

/* ---- the model ---- */

struct oracle_session *oracle_session(struct sim *s, uint64_t client)
{
    for (unsigned i = 0; i < s->oracle.n_sessions; i++)
        if (s->oracle.sessions[i].client == client)
            return &s->oracle.sessions[i];
    return NULL;
}

/* The first one of the answers that are kept: those of the 128 highest numbers, but for what is
 * below `first`. */
static unsigned kept_from(const struct oracle_session *o)
{
    unsigned i = o->n > 128 ? o->n - 128 : 0;

    while (i < o->n && o->done[i].seq < o->first)
        i++;
    return i;
}

static uint64_t session_bytes(const struct oracle_session *o)
{
    uint64_t bytes = 10 + 8 + 64;

    for (unsigned i = kept_from(o); i < o->n; i++)
        bytes += o->done[i].status == COMMAND_NO_SPACE ? 33 : 17;
    return bytes;
}

static uint64_t session_digest(const struct oracle_session *o)
{
    const unsigned from = kept_from(o);
    uint64_t lowest = o->first;
    uint64_t h;

    if (o->n - from == 128 && o->done[from].seq > lowest)
        lowest = o->done[from].seq;
    h = sim_mix(sim_mix(sim_mix(23, o->client), o->used), lowest);
    for (unsigned i = from; i < o->n; i++)
        h = answer_digest(h, o->done[i].seq, o->done[i].index, o->done[i].status,
                          o->done[i].existed);
    return h;
}

/* Before it changes, and after. */
static void take_off(struct sim *s, const struct oracle_session *o)
{
    s->oracle.digest -= session_digest(o);
    s->oracle.live_bytes -= session_bytes(o);
}

static void put_on(struct sim *s, const struct oracle_session *o)
{
    s->oracle.digest += session_digest(o);
    s->oracle.live_bytes += session_bytes(o);
}

/* Who was not used for the longest time goes: of more bytes than an eighth of the limit, at most
 * eight with an entry, and not the last. */
static void fit(struct sim *s)
{
    for (unsigned round = 0; round < 8; round++) {
        struct oracle_session *oldest = NULL;
        uint64_t bytes = 0;
        unsigned n = 0;

        for (unsigned i = 0; i < s->oracle.n_sessions; i++) {
            struct oracle_session *o = &s->oracle.sessions[i];

            if (o->gone)
                continue;
            n++;
            bytes += session_bytes(o);
            oldest = oldest == NULL || o->used < oldest->used ? o : oldest;
        }
        if (n <= 1 || s->oracle.limit_bytes == 0 || bytes <= s->oracle.limit_bytes / 8)
            return;
        MARK(s, session_gone);
        take_off(s, oldest);
        oldest->gone = true;
    }
}

void oracle_session_open(struct sim *s, raft_index index, struct oracle_entry *o)
{
    struct oracle *model = &s->oracle;
    struct oracle_session *new;

    o->status = COMMAND_OK;
    if (model->limit_bytes != 0 && model->live_bytes + 10 + 8 + 64 > model->limit_bytes) {
        MARK(s, quota_at_apply);
        o->status = COMMAND_NO_SPACE;
        return;
    }
    rid_assert(model->n_sessions < SIM_CLIENTS_MAX * SIM_OPENED_MAX);
    new = &model->sessions[model->n_sessions++];
    *new = (struct oracle_session){.client = index, .used = index, .first = 1};
    put_on(s, new);
    fit(s);
}

static void add_done(struct oracle_session *o, uint64_t seq, raft_index index,
                     const struct oracle_entry *e)
{
    unsigned at = o->n;

    if (o->n == o->size) {
        o->size = o->size > 0 ? o->size * 2 : 64;
        o->done = sim_realloc_n(o->done, o->size, sizeof(*o->done));
    }
    for (; at > 0 && o->done[at - 1].seq > seq; at--)
        o->done[at] = o->done[at - 1];
    o->done[at].seq = seq;
    o->done[at].index = index;
    o->done[at].status = e->status;
    o->done[at].existed = e->existed;
    o->n++;
}

void oracle_session_write(struct sim *s, const struct command *c, raft_index index,
                          struct oracle_entry *o)
{
    struct oracle_session *known = oracle_session(s, c->client);
    unsigned n_above = 0;
    unsigned at;

    o->status = COMMAND_SESSION_EXPIRED;
    if (known == NULL || known->gone)
        return;
    at = known->n;
    for (unsigned i = 0; i < known->n; i++) {
        n_above += known->done[i].seq > c->seq;
        at = known->done[i].seq == c->seq ? i : at;
    }
    if (c->seq < known->first || n_above >= 128)
        return;
    take_off(s, known);
    if (at < known->n) {
        o->status = known->done[at].status;
        o->existed = known->done[at].existed;
        o->answer = known->done[at].index;
        o->repeated = true;
    } else {
        /* The session is taken off only for the sum: what it took counted when this was written. */
        s->oracle.live_bytes += session_bytes(known);
        o->op = (uint64_t)known->owner << 32 | c->seq;
        oracle_model_write(s, c, index, o);
        s->oracle.live_bytes -= session_bytes(known);
        add_done(known, c->seq, index, o);
        if (known->n > 128)
            MARK(s, session_full);
    }
    known->used = index;
    known->first = c->first > known->first ? c->first : known->first;
    put_on(s, known);
    fit(s);
}

void oracle_sessions_done(struct sim *s)
{
    for (unsigned i = 0; i < s->oracle.n_sessions; i++)
        free(s->oracle.sessions[i].done);
}

/* ---- the clients ---- */

void sessions_init(struct sim *s, unsigned client)
{
    if (!sessions_are_on(s))
        return;
    s->clients[client].named.wanted = sim_below(s, STREAM_SESSION, client, 4) != 0;
    s->clients[client].named.says_first = sim_below(s, STREAM_SESSION, client, 3) != 0;
}

bool sessions_wants_one(struct sim *s, unsigned client)
{
    struct sim_client *c = &s->clients[client];

    if (!c->named.wanted || c->named.id != 0 || c->named.opening ||
        c->named.n_opened == SIM_OPENED_MAX || (s->options.ops_off >> OP_OPEN & 1) != 0)
        return false;
    c->named.opening = true;
    c->named.n_opened++;
    return true;
}

/* Of what was answered lately, as if a frame of then came only now. */
static void send_late(struct sim *s, unsigned client)
{
    struct sim_client *c = &s->clients[client];
    const unsigned n = c->named.n_answered < 8 ? c->named.n_answered : 8;
    const unsigned i = (unsigned)sim_below(s, STREAM_SESSION, client, n);
    struct op *op;

    if (n == 0)
        return;
    op = client_op(s, client);
    op->id = c->named.answered[i].op;
    op->session = c->named.answered[i].session;
    op->seq = c->named.answered[i].seq;
    op->kind = c->named.answered[i].kind;
    op->key = c->named.answered[i].key;
    op->node = (unsigned)sim_below(s, STREAM_SESSION, client, s->p.n_nodes);
    op->is_twin = op->doubtful = true;
    MARK(s, write_late);
    client_send(s, op, 0);
}

/* Another attempt while the first is under way: there, or elsewhere. */
static void send_twin(struct sim *s, struct op *first)
{
    struct op *op = client_op(s, first->client);

    op->id = first->id;
    op->session = first->session;
    op->seq = first->seq;
    op->kind = first->kind;
    op->key = first->key;
    op->node = sim_below(s, STREAM_SESSION, first->client, 2) == 0
                   ? first->node
                   : (unsigned)sim_below(s, STREAM_SESSION, first->client, s->p.n_nodes);
    op->is_twin = op->doubtful = first->doubtful = true;
    MARK(s, write_twice);
    client_send(s, op, sim_below(s, STREAM_SESSION, first->client, s->p.delay_spread_ns + 1));
}

void sessions_name(struct sim *s, struct op *op)
{
    const struct sim_client *c = &s->clients[op->client];

    if (c->named.id == 0 || sim_below(s, STREAM_SESSION, op->client, 10) == 0)
        return;
    op->session = c->named.id;
    op->seq = op->id & 0xffffffff;
    if (s->healing)
        return;
    if (sim_below(s, STREAM_SESSION, op->client, 6) == 0)
        send_twin(s, op);
    if (sim_below(s, STREAM_SESSION, op->client, 16) == 0)
        send_late(s, op->client);
}

/* The lowest number that is still waited for. */
uint64_t sessions_first(const struct sim *s, const struct op *op)
{
    const struct sim_client *c = &s->clients[op->client];
    uint64_t first = op->seq;

    if (!c->named.says_first || op->is_twin)
        return 1;
    for (const struct op *other = c->flying; other != NULL; other = other->next)
        if (other->session == op->session && !other->is_twin && other->seq < first)
            first = other->seq;
    return first;
}

bool sessions_again(struct sim *s, struct op *op)
{
    const unsigned most = s->healing ? 30 : 1 + (unsigned)(op->id % 7);
    const struct sim_client *c = &s->clients[op->client];

    if (op->session == 0 || op->is_twin || op->ok || op->expired)
        return false;
    op->doubtful |= op->unknown;
    if (s->drained || op->tries >= most) {
        op->unknown = op->doubtful;
        return false;
    }
    op->tries++;
    op->unknown = false;
    if (op->hint != 0)
        op->node = op->hint - 1;
    else if (sim_below(s, STREAM_SESSION, op->client, 3) != 0)
        op->node = s->healing ? c->guess
                              : (unsigned)sim_below(s, STREAM_SESSION, op->client, s->p.n_nodes);
    op->hint = 0;
    MARK(s, write_again);
    client_send(s, op, sim_below(s, STREAM_SESSION, op->client, s->p.election_us * 500));
    return true;
}

static void mark_repeated(struct sim *s, const struct op *op)
{
    struct oracle_op *known = oracle_op(s, op->id);

    if (!op->doubtful || known->applied_at == 0)
        return;
    MARK(s, write_repeated);
    if (op->status == COMMAND_NO_SPACE)
        MARK(s, repeated_no_space);
    else if (op->status != COMMAND_OK)
        MARK(s, repeated_failed);
    else if (op->kind == OP_CAS)
        MARK(s, repeated_cas);
    else if (op->kind == OP_DELETE)
        MARK(s, repeated_delete);
}

static void opened(struct sim *s, struct op *op)
{
    struct sim_client *c = &s->clients[op->client];
    struct oracle_session *o;

    c->named.opening = false;
    if (op->unknown)
        MARK(s, session_orphaned);
    if (!op->ok || op->status != COMMAND_OK)
        return;
    MARK(s, session_opened);
    o = oracle_session(s, op->index);
    if (o == NULL)
        sim_fail(s, "SESSION-1", "c%u was told of a session %" PRIu64 " that there is not",
                 op->client + 1, op->index);
    if (o->owner != 0)
        sim_fail(s, "SESSION-1", "c%u was told of the session %" PRIu64 " of c%u", op->client + 1,
                 op->index, o->owner);
    o->owner = op->client + 1;
    c->named.id = op->index;
}

void sessions_finished(struct sim *s, struct op *op)
{
    struct sim_client *c = &s->clients[op->client];
    const unsigned at = c->named.n_answered % 8;

    if (op->kind == OP_OPEN) {
        opened(s, op);
        return;
    }
    if (op->session == 0)
        return;
    if (op->expired) {
        MARK(s, session_expired);
        if (!op->is_twin && c->named.id == op->session)
            c->named.id = 0;
    }
    if (!op->ok)
        return;
    mark_repeated(s, op);
    c->named.answered[at].op = op->id;
    c->named.answered[at].session = op->session;
    c->named.answered[at].seq = op->seq;
    c->named.answered[at].kind = op->kind;
    c->named.answered[at].key = op->key;
    c->named.n_answered++;
}
