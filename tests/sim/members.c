/* Changes of the members: who asks for them, who joins, and what must hold of configurations.
 *
 * Of seven places some are founders; in the others a node waits at an address until a leader tells
 * it who it is (engine_ops.join), which takes its time, may fail, and may succeed without an answer.
 * Somebody asks whoever leads for any change at any time. A place that is no member any more may be
 * emptied, and waits again as another incarnation; else the node that was removed goes on with its
 * old disk. Where the majority promises to survive it, a voter's disk is taken away: it comes back
 * by rejoin. When all else is healed, those that are lost are asked back, and every change must end.
 *
 * MEMBER-2: what a leader appends is one step away from what is committed, so that any two majorities
 * meet. */
#include <inttypes.h>

#include "base/err.h"
#include "engine/engine_int.h"
#include "sim/sim.h"

#include "base/banned.h"

static uint64_t below(struct sim *s, uint64_t bound)
{
    return sim_below(s, STREAM_MEMBER, 0, bound);
}

bool members_are_on(const struct sim *s)
{
    return (s->p.features >> FEATURE_MEMBERS & 1) != 0;
}

/* What makes other seeds hard is left out here: time that work takes, disks that are slower than an
 * election, which nobody catches up with, and pieces, which go to anybody. */
void members_profile(struct sim *s)
{
    struct profile *p = &s->p;

    if (sim_below(s, STREAM_FEATURE, FEATURE_MEMBERS, 4) != 0 ||
        (s->options.features_off >> FEATURE_MEMBERS & 1) != 0)
        return;
    MARK(s, seeds_members);
    p->features = UINT64_C(1) << FEATURE_MEMBERS;
    if (p->n_founders > SIM_NODES_MAX - 1)
        p->n_founders = SIM_NODES_MAX - 1;
    if (p->n_voters > p->n_founders)
        p->n_voters = p->n_founders;
    p->n_nodes = SIM_NODES_MAX;
    p->cpu_entry_ns = p->cpu_read_ns = p->cpu_msg_ns = p->cpu_byte_ps = 0;
    p->burst = 0;
    p->slow_sync_percent = 0;
    p->piece_ppm = 0;
    p->events *= 5; /* seven nodes, and a change takes some elections */
}

/* ---- looking ---- */

bool members_is_voter(const struct raft_configuration *c, const struct sim_node *n)
{
    const struct raft_server *r = raft_configuration_get(c, n->id);

    return r != NULL && r->role == RAFT_VOTER;
}

unsigned members_n_lost(struct sim *s, const struct raft_configuration *c)
{
    unsigned count = 0;

    for (unsigned i = 0; i < c->n; i++)
        count += c->servers[i].role == RAFT_VOTER && node_of_id(s, c->servers[i].id) == NULL;
    return count;
}

uint64_t members_core(const struct sim *s)
{
    uint64_t core = 0;

    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if (raft_configuration_get(&s->committed.configuration, s->nodes[i].id) != NULL)
            core |= UINT64_C(1) << i;
    return core;
}

/* NULL: all that are there are there. */
static const struct raft_server *lost_member(struct sim *s)
{
    const struct raft_configuration *c = &s->committed.configuration;

    for (unsigned i = 0; i < c->n; i++)
        if (node_of_id(s, c->servers[i].id) == NULL)
            return &c->servers[i];
    return NULL;
}

static bool is_under_way(const struct raft_configuration *c, const char **ret_name)
{
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *r = &c->servers[i];

        *ret_name = r->name;
        if (r->promote || raft_configuration_get(c, r->replaces) != NULL)
            return true;
    }
    return false;
}

const char *members_pending(struct sim *s)
{
    static char text[128];
    const struct sim_node *leader = node_leader(s);
    const struct raft_server *lost = lost_member(s);
    const char *name;

    text[0] = '\0';
    if (lost != NULL) {
        (void)snprintf(text, sizeof(text), "%s is lost and still a member", lost->name);
    } else if (leader == NULL) {
        (void)snprintf(text, sizeof(text), "nobody leads");
    } else {
        const struct member_task *t = &leader->engine->members.task;

        if (is_under_way(raft_get_configuration(node_raft(leader)), &name))
            (void)snprintf(text, sizeof(text), "%s is not what it is to be", name);
        else if (raft_get_configuration_index(node_raft(leader)) != s->committed.index)
            (void)snprintf(text, sizeof(text), "the last configuration is not committed");
        else if (t->state >= TASK_ASKING && t->state <= TASK_ADDING)
            (void)snprintf(text, sizeof(text), "%s is being told", t->name);
    }
    return text[0] != '\0' ? text : NULL;
}

/* ---- what must hold ---- */

/* The least that a majority of one has of what both have; that of the other may have all else. */
static unsigned least_common(unsigned n, unsigned common)
{
    const unsigned majority = n / 2 + 1;

    return majority > n - common ? majority - (n - common) : 0;
}

static bool majorities_meet(const struct raft_configuration *a, const struct raft_configuration *b)
{
    const unsigned n_a = raft_configuration_n_voters(a);
    const unsigned n_b = raft_configuration_n_voters(b);
    unsigned common = 0;

    for (unsigned i = 0; i < a->n; i++) {
        const struct raft_server *r = raft_configuration_get(b, a->servers[i].id);

        common += a->servers[i].role == RAFT_VOTER && r != NULL && r->role == RAFT_VOTER;
    }
    return least_common(n_a, common) + least_common(n_b, common) > common;
}

static void mark_step(struct sim *s, const struct raft_configuration *a,
                      const struct raft_configuration *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        const struct raft_server *r = raft_configuration_get(a, b->servers[i].id);

        if (r == NULL)
            MARK(s, member_added);
        else if (r->role != b->servers[i].role && r->role == RAFT_LEARNER)
            MARK(s, member_promoted);
        else if (r->role != b->servers[i].role)
            MARK(s, member_demoted);
    }
    for (unsigned i = 0; i < a->n; i++)
        if (raft_configuration_get(b, a->servers[i].id) == NULL)
            MARK(s, member_removed);
}

/* MEMBER-5: what is removed does not come back. */
static void note_gone(struct sim *s, const struct raft_configuration *before,
                      const struct raft_configuration *now, raft_term term)
{
    for (unsigned i = 0; i < before->n; i++) {
        if (raft_configuration_get(now, before->servers[i].id) != NULL)
            continue;
        if (s->n_gone == SIM_GONE_MAX)
            sim_fail(s, "setup", "too many members were removed");
        s->gone[s->n_gone].id = before->servers[i].id;
        s->gone[s->n_gone++].term = term;
    }
}

static bool is_gone(const struct sim *s, raft_node_id id)
{
    for (unsigned i = 0; i < s->n_gone; i++)
        if (s->gone[i].id == id)
            return true;
    return false;
}

/* Whoever leads later has the entry that removed it, and so is another. */
void members_leads(struct sim_node *n, raft_term term)
{
    const struct sim *s = n->sim;

    for (unsigned i = 0; i < s->n_gone; i++)
        if (s->gone[i].id == n->id && s->gone[i].term < term)
            sim_fail(n->sim, "MEMBER-5",
                     "n%u leads in term %" PRIu64 ", and was removed in term %" PRIu64, n->i + 1,
                     term, s->gone[i].term);
}

void members_committed(struct sim_node *n, raft_index index)
{
    struct sim *s = n->sim;
    /* More than one may have become committed at once, by a leader of a newer term. */
    for (raft_index i = s->committed.index + 1; i <= index; i++) {
        const struct raft_config_at *at = raft_config_at(node_raft(n), i);

        if (at->index <= s->committed.index || at->index > index)
            continue;
        mark_step(s, &s->committed.configuration, &at->configuration);
        note_gone(s, &s->committed.configuration, &at->configuration,
                  oracle_entry(s, at->index)->committed_in);
        s->committed = *at;
    }
}

void members_appends(struct sim_node *n, const struct raft_entry *e)
{
    struct sim *s = n->sim;
    const struct raft *r = n->replica != NULL ? node_raft(n) : NULL;
    const struct raft_config_at *before;
    struct raft_configuration c;

    if (r == NULL || raft_get_role(r) != RAFT_LEADER || e->id.term != raft_get_term(r))
        return;
    if (raft_configuration_decode(e->data, e->len, &c) != 0)
        sim_fail(s, "MEMBER-2", "n%u appends a configuration that cannot be read", n->i + 1);
    before = raft_config_at(r, e->id.index - 1);
    /* MEMBER-9. */
    if (!members_is_voter(&c, n))
        sim_fail(s, "MEMBER-9", "n%u appends a configuration at %" PRIu64 " that it is no voter of",
                 n->i + 1, e->id.index);
    /* MEMBER-1: of this term something is committed, and so is the one before. */
    if (before->index > s->oracle.committed)
        sim_fail(s, "MEMBER-1",
                 "n%u appends a configuration at %" PRIu64 ", and that of %" PRIu64
                 " is not committed",
                 n->i + 1, e->id.index, before->index);
    if (oracle_entry(s, s->oracle.committed)->term != e->id.term &&
        oracle_entry(s, s->oracle.committed)->term < e->id.term)
        sim_fail(s, "MEMBER-1",
                 "n%u appends a configuration at %" PRIu64 ", and nothing of its term %" PRIu64
                 " is committed",
                 n->i + 1, e->id.index, e->id.term);
    if (!majorities_meet(&before->configuration, &c) ||
        (s->committed.index < e->id.index && !majorities_meet(&s->committed.configuration, &c)))
        sim_fail(s, "MEMBER-2",
                 "n%u appends a configuration at %" PRIu64 ", and two majorities need not meet",
                 n->i + 1, e->id.index);
    for (unsigned i = 0; i < c.n; i++)
        if (is_gone(s, c.servers[i].id))
            sim_fail(s, "MEMBER-5", "n%u takes in at %" PRIu64 " who was removed", n->i + 1,
                     e->id.index);
    if (!s->healing && below(s, 12) == 0) { /* in the middle of it */
        MARK(s, crash_changing);
        n->wal.crash_stored = true;
        n->wal.crash_machine = below(s, 2) == 0;
    }
}

/* ---- joining ---- */

static const char *addr_of(unsigned i)
{
    static const char *const addrs[SIM_NODES_MAX] = {"n1:1", "n2:1", "n3:1", "n4:1",
                                                     "n5:1", "n6:1", "n7:1"};

    return addrs[i];
}

static const char *peer_addr(void *ctx, raft_node_id id)
{
    const struct sim_node *n = ctx;
    const struct sim *s = n->sim;

    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if (s->nodes[i].id == id || raft_founder_id(s->nodes[i].name) == id)
            return addr_of(i);
    return NULL;
}

static bool random_bytes(void *ctx, void *ret, size_t size)
{
    struct sim_node *n = ctx;
    unsigned char *p = ret;

    for (size_t i = 0; i < size; i++)
        p[i] = (unsigned char)(1 + below(n->sim, 255));
    return true;
}

static void be_someone(struct sim_node *n)
{
    n->waits = true;
    n->incarnation++;
    n->id = raft_member_id(n->name, n->incarnation);
    memset(n->cluster_id, 0, sizeof(n->cluster_id));
}

/* 0, or it says why not. */
static int tell(struct sim_node *n, const char *name, const void *config, size_t len,
                const unsigned char cluster_id[16])
{
    struct sim *s = n->sim;

    if (strcmp(n->name, name) != 0)
        sim_fail(s, "MEMBER-20", "n%u is told that it is %s", n->i + 1, name);
    if (!n->waits && n->incarnation != 0 && memcmp(n->cluster_id, cluster_id, 16) == 0) {
        MARK(s, join_again);
        return 0;
    }
    if (!n->waits)
        return err_say(-1, "it runs there already");
    if (len == 0) /* it is only asked */
        return 0;
    if (wal_join(n, config, len) != 0) {
        if (n->wal.failing == 0)
            sim_fail(s, "MEMBER-21", "n%u cannot make its log: %s", n->i + 1, err_text());
        while (fake_disk_n_files(n->wal.disk) > 0) {
            char file[64];

            (void)snprintf(file, sizeof(file), "%s", fake_disk_name(n->wal.disk, 0));
            fake_disk_remove(n->wal.disk, file);
        }
        return err_say(-1, "it cannot write");
    }
    MARK(s, joined);
    TRACE(s, "n%u joins as %" PRIx64, n->i + 1, n->id);
    n->waits = false;
    memcpy(n->cluster_id, cluster_id, sizeof(n->cluster_id));
    sim_push(s, s->now + below(s, s->p.election_us * 1000), EV_BOOT, n, 0, NULL);
    return 0;
}

static int join(void *ctx, const char *addr, const char *name, const void *config, size_t len,
                const unsigned char cluster_id[16], uint64_t *ret_incarnation)
{
    struct sim_node *leader = ctx;
    struct sim *s = leader->sim;
    const unsigned draw = s->healing ? 99 : (unsigned)below(s, 12);
    unsigned i = 0;
    int rc;

    while (i < s->p.n_nodes && strcmp(addr_of(i), addr) != 0)
        i++;
    if (i == s->p.n_nodes || s->net.cut[leader->i][i] || s->net.cut[i][leader->i] || draw == 0) {
        MARK(s, join_failed);
        return err_say(-1, "nobody answers at %s", addr);
    }
    rc = tell(&s->nodes[i], name, config, len, cluster_id);
    if (rc != 0)
        return rc;
    if (draw <= 2) {
        MARK(s, join_unanswered);
        return err_say(-1, "no answer came from %s", addr);
    }
    *ret_incarnation = s->nodes[i].incarnation;
    return 0;
}

void members_engine(struct sim_node *n, struct engine_ops *ops)
{
    (void)n;
    ops->join = join;
    ops->random = random_bytes;
    ops->peer_addr = peer_addr;
}

/* It takes as long as it takes: others may lead by then. */
void members_kick(struct sim_node *n)
{
    struct sim *s = n->sim;

    if (!members_are_on(s) || n->join_due || n->engine->members.bench == NULL ||
        !chores_has_work(n->engine->members.bench))
        return;
    n->join_due = true;
    sim_push(s,
             s->now + 1 + below(s, s->p.election_us * (s->healing || below(s, 4) > 0 ? 100 : 4000)),
             EV_JOIN, n, 0, NULL);
}

void members_join_event(struct sim_node *n)
{
    n->join_due = false;
    chores_work(n->engine->members.bench);
    node_input(n);
}

/* ---- disks that go ---- */

/* Its place is empty, and a new node waits there. */
static void empty(struct sim_node *n)
{
    struct sim *s = n->sim;
    const unsigned failing = n->wal.failing;

    node_crash(n, true, 1);
    n->boot++;
    wal_done(n);
    state_done(n);
    be_someone(n);
    n->wal = (struct sim_wal){.failing = failing};
    n->state = (struct sim_state){0};
    state_init(n);
    wal_create(n);
    n->boot_term = 0;
    n->applied = 0;
    n->commit = 0;
    n->last_term = 0;
    n->match_term = 0;
    n->seed = 0;
    memset(n->echoed, 0, sizeof(n->echoed));
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        s->nodes[i].match[n->i] = 0;
        memset(&s->nodes[i].manners.flight[n->i], 0, sizeof(n->manners.flight[0]));
        s->nodes[i].manners.owes_echo &= ~(1u << n->i);
        s->nodes[i].manners.owes_heartbeat &= ~(1u << n->i);
        s->nodes[i].manners.owes_term &= ~(1u << n->i);
    }
    TRACE(s, "n%u is emptied, and waits as %" PRIx64, n->i + 1, n->id);
}

/* All see the same members, nothing is under way, and all are up: one of three may go. */
static bool may_lose_one(struct sim *s)
{
    const struct raft_configuration *c = &s->committed.configuration;
    const char *name;

    if (raft_configuration_n_voters(c) < 3 || is_under_way(c, &name))
        return false;
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *n = &s->nodes[i];
        const bool is_in = raft_configuration_get(c, n->id) != NULL;

        if (is_in && (n->life != NODE_UP ||
                      raft_get_configuration_index(node_raft(n)) != s->committed.index))
            return false;
        if (n->life == NODE_UP && n->engine->members.task.state >= TASK_ASKING &&
            n->engine->members.task.state <= TASK_ADDING)
            return false;
    }
    return lost_member(s) == NULL;
}

/* No log that somebody may still go by has it. */
static bool is_outside(struct sim *s, const struct sim_node *n)
{
    if (n->waits || raft_configuration_get(&s->committed.configuration, n->id) != NULL)
        return false;
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *m = &s->nodes[i];

        if (m->waits || m == n)
            continue;
        if (m->life != NODE_UP ||
            (raft_get_configuration_index(node_raft(m)) >= s->committed.index &&
             raft_configuration_get(raft_get_configuration(node_raft(m)), n->id) != NULL))
            return false;
    }
    return true;
}

static void take_disk(struct sim *s, struct sim_node *n)
{
    if (is_outside(s, n)) {
        MARK(s, member_reborn);
        empty(n);
    } else if (node_is_voter(n) && may_lose_one(s)) {
        MARK(s, member_wiped);
        empty(n);
    }
}

/* ---- asking ---- */

static struct wire_slice slice(const char *text)
{
    return (struct wire_slice){text, strlen(text)};
}

static void ask(struct sim *s, struct sim_node *at, enum wire_request_type verb,
                const struct sim_node *whom, const struct sim_node *old)
{
    struct service_member_answer a;
    struct wire_member m = {.id = slice(whom->name), .learner = !s->healing && below(s, 4) == 0};

    if (verb == WIRE_REQ_MEMBER_ADD || verb == WIRE_REQ_MEMBER_REPLACE) {
        m.peer_addr = slice(addr_of(whom->i));
        m.client_addr = slice("");
    }
    if (verb == WIRE_REQ_MEMBER_REPLACE) {
        m.old = slice(old->name);
        m.learner = false;
    }
    engine_member(at->engine, verb, &m, &a);
    TRACE(s, "n%u is asked for change %d of n%u: error %d %s", at->i + 1, (int)verb, whom->i + 1,
          (int)a.error,
          a.error != WIRE_ERROR_NONE ? a.text
          : a.done                   ? "done"
                                     : "begun");
    MARK(s, member_asked);
    if (a.error == WIRE_ERROR_BUSY)
        MARK(s, member_busy);
    else if (a.error != WIRE_ERROR_NONE)
        MARK(s, member_refused);
    else if (a.done)
        MARK(s, member_done);
    node_input(at);
}

/* Most of what is asked could be done; the rest is refused. */
static bool makes_sense(struct sim *s, enum wire_request_type verb, const struct sim_node *n)
{
    const struct raft_server *r = raft_configuration_get_name(&s->committed.configuration, n->name);

    if (below(s, 16) == 0)
        return true;
    switch ((unsigned)verb) { /* only those of members */
    case WIRE_REQ_MEMBER_ADD:
        return r == NULL;
    case WIRE_REQ_MEMBER_PROMOTE:
        return r != NULL && r->role == RAFT_LEARNER;
    case WIRE_REQ_MEMBER_DEMOTE:
        return r != NULL && r->role == RAFT_VOTER;
    case WIRE_REQ_MEMBER_REJOIN:
        return r != NULL && r->id != n->id;
    default:
        return r != NULL;
    }
}

static void ask_any(struct sim *s)
{
    static const enum wire_request_type verbs[] = {WIRE_REQ_MEMBER_ADD,     WIRE_REQ_MEMBER_ADD,
                                                   WIRE_REQ_MEMBER_ADD,     WIRE_REQ_MEMBER_REMOVE,
                                                   WIRE_REQ_MEMBER_REMOVE,  WIRE_REQ_MEMBER_PROMOTE,
                                                   WIRE_REQ_MEMBER_DEMOTE,  WIRE_REQ_MEMBER_REPLACE,
                                                   WIRE_REQ_MEMBER_REPLACE, WIRE_REQ_MEMBER_REJOIN};
    struct sim_node *at = node_leader(s);
    struct sim_node *whom = &s->nodes[below(s, s->p.n_nodes)];
    const struct sim_node *old = &s->nodes[below(s, s->p.n_nodes)];
    enum wire_request_type verb = verbs[below(s, sizeof(verbs) / sizeof(verbs[0]))];

    if (below(s, 6) == 0)
        take_disk(s, whom);
    for (unsigned k = 0; k < s->p.n_nodes && !makes_sense(s, verb, whom); k++)
        whom = &s->nodes[(whom->i + 1) % s->p.n_nodes];
    if (verb == WIRE_REQ_MEMBER_REPLACE && !node_is_voter(old))
        old = at != NULL ? at : old;
    if (at == NULL || below(s, 16) == 0)
        at = &s->nodes[below(s, s->p.n_nodes)];
    /* Who has lost one brings it back before anybody else goes. */
    if (lost_member(s) != NULL && verb != WIRE_REQ_MEMBER_ADD)
        verb = WIRE_REQ_MEMBER_REJOIN;
    if (at->life == NODE_UP && at->fatal_error == 0)
        ask(s, at, verb, whom, old);
}

/* What is left to whoever looks after the cluster: those that are lost come back as others. */
static void bring_back(struct sim *s)
{
    const struct raft_server *lost = lost_member(s);
    struct sim_node *leader = node_leader(s);

    if (lost == NULL || leader == NULL || leader->fatal_error != 0)
        return;
    MARK(s, member_lost);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if (strcmp(s->nodes[i].name, lost->name) == 0)
            ask(s, leader, WIRE_REQ_MEMBER_REJOIN, &s->nodes[i], NULL);
}

void members_event(struct sim *s)
{
    const uint64_t election_ns = s->p.election_us * 1000;

    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if (s->nodes[i].life == NODE_UP && is_gone(s, s->nodes[i].id))
            MARK(s, removed_runs);
    if (s->healing)
        bring_back(s);
    else
        for (uint64_t n = below(s, 3) == 0 ? 3 : 1; n > 0; n--) /* several at once, too */
            ask_any(s);
    sim_push_any(s,
                 s->now + election_ns / 4 + (s->healing ? election_ns : below(s, 2 * election_ns)),
                 EV_MEMBER, 0, 0, NULL);
}

void members_init(struct sim *s)
{
    if (!members_are_on(s))
        return;
    for (unsigned i = s->p.n_founders; i < s->p.n_nodes; i++)
        be_someone(&s->nodes[i]);
    sim_push_any(s, below(s, s->p.election_us * 4000), EV_MEMBER, 0, 0, NULL);
}
