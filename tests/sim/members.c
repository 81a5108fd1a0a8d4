/* Changes of the members: who asks for them, who joins, and what must hold of configurations.
 *
 * Of seven places some are founders; in the others a node waits at an address until a leader tells
 * it who it is (engine_ops.join), which takes its time, may fail, and may succeed without an answer.
 * Somebody asks whoever leads for any change at any time. A place that is no member any more may be
 * emptied, and waits again as another incarnation; else the node that was removed goes on with its
 * old disk. Where the majority promises to survive it, a voter's disk is taken away: it comes back
 * by rejoin, and so is a learner's. Who joins behind the front of the leader's log is brought a
 * snapshot. When all else is healed, those that are lost are asked back, and every change must end.
 * What must hold of configurations is in changes.c. */
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

static struct sim_node *place_of(struct sim *s, const struct raft_server *r)
{
    unsigned i = 0;

    while (i + 1 < s->p.n_nodes && strcmp(s->nodes[i].name, r->name) != 0)
        i++;
    return &s->nodes[i];
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
static int tell(const struct sim_node *leader, struct sim_node *n, const char *name,
                const void *config, size_t len, const unsigned char cluster_id[16])
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
    if (store_base(leader->wal.store).index > 0)
        MARK(s, join_behind_front);
    n->joined = true;
    TRACE(s, "n%u joins as %" PRIx64, n->i + 1, n->id);
    n->waits = false;
    memcpy(n->cluster_id, cluster_id, sizeof(n->cluster_id));
    sim_push(s, s->now + below(s, s->p.election_us * 1000), EV_BOOT, n, 0, NULL);
    return 0;
}

static int join(void *ctx, const struct engine_join *j, uint64_t *ret_incarnation)
{
    struct sim_node *leader = ctx;
    const char *addr = j->peer_addr;
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
    rc = tell(leader, &s->nodes[i], j->name, j->config, j->len, j->cluster_id);
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
    uint64_t most = 100; /* thousandths of an election timeout */

    if (!members_are_on(s) || n->join_due || n->engine->members.bench == NULL ||
        !chores_has_work(n->engine->members.bench))
        return;
    n->join_due = true;
    n->join_waits = !s->healing && below(s, 6) == 0;
    if (n->join_waits)
        most = 16000;
    else if (!s->healing && below(s, 4) == 0)
        most = 4000;
    sim_push(s, s->now + 1 + below(s, s->p.election_us * most), EV_JOIN, n, 0, NULL);
}

void members_join_event(struct sim_node *n)
{
    n->join_due = false;
    n->join_waits = false;
    chores_work(n->engine->members.bench);
    node_input(n);
}

/* ---- disks that go ---- */

/* Its place is empty, and a new node waits there. */
static void empty(struct sim_node *n)
{
    struct sim *s = n->sim;
    const unsigned failing = n->wal.failing;

    n->was_voter = node_is_voter(n);
    node_crash(n, true, 1);
    n->boot++;
    wal_done(n);
    state_done(n);
    snap_node_done(n);
    be_someone(n);
    n->snap = (struct sim_snap){0};
    n->changes = (struct sim_changes){0};
    n->joined = false;
    snap_node_init(n);
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

/* A learner, whoever is asked: nobody counts on what it holds. Who was heard a moment ago may become
 * a voter yet, and so the others must be enough without it. */
static bool is_spare(struct sim *s, const struct sim_node *n)
{
    const struct raft_server *r = raft_configuration_get(&s->committed.configuration, n->id);

    if (r == NULL || r->role != RAFT_LEARNER || lost_member(s) != NULL ||
        (r->promote && raft_configuration_n_voters(&s->committed.configuration) < 3))
        return false;
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *m = &s->nodes[i];

        if (!m->waits &&
            (m->life != NODE_UP || members_is_voter(raft_get_configuration(node_raft(m)), n)))
            return false;
    }
    return true;
}

static void take_disk(struct sim *s, struct sim_node *n)
{
    if (is_outside(s, n)) {
        MARK(s, member_reborn);
        empty(n);
    } else if (is_spare(s, n)) {
        MARK(s, learner_wiped);
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

/* What was asked for is so, or is done: nothing is to be appended for it. */
static bool is_so(const struct sim_node *at, enum wire_request_type verb,
                  const struct sim_node *whom)
{
    const struct raft_server *r =
        raft_configuration_get_name(raft_get_configuration(node_raft(at)), whom->name);

    switch ((unsigned)verb) { /* only those of one entry */
    case WIRE_REQ_MEMBER_REMOVE:
        return r == NULL;
    case WIRE_REQ_MEMBER_PROMOTE:
        return r != NULL && r->role == RAFT_VOTER;
    case WIRE_REQ_MEMBER_DEMOTE:
        return r != NULL && r->role == RAFT_LEARNER && !r->promote;
    default:
        return false;
    }
}

/* MEMBER-3: what is so is so whatever it was asked from; else that must be in force. */
static void check_answer(struct sim_node *at, const struct change *c, bool was_so,
                         raft_index was_in_force, const struct service_member_answer *a)
{
    struct sim *s = at->sim;
    const raft_index now_in_force = raft_get_configuration_index(node_raft(at));
    const struct raft_server *r =
        raft_configuration_get_name(raft_get_configuration(node_raft(at)), c->whom->name);
    const bool stays = c->learner || c->verb == WIRE_REQ_MEMBER_REMOVE ||
                       c->verb == WIRE_REQ_MEMBER_DEMOTE || c->verb == WIRE_REQ_MEMBER_REJOIN;

    if (was_so && a->error != WIRE_ERROR_NONE)
        sim_fail(s, "MEMBER-3", "n%u refuses what is so already: %s", at->i + 1, a->text);
    if (now_in_force != was_in_force && c->based_on != 0 && c->based_on != was_in_force)
        sim_fail(s, "MEMBER-3",
                 "n%u takes a change made from %" PRIu64 ", and that of %" PRIu64 " was in force",
                 at->i + 1, c->based_on, was_in_force);
    if (a->done && !stays && (r == NULL || r->role != RAFT_VOTER))
        sim_fail(s, "MEMBER-3", "n%u says that it is done, and %s does not vote", at->i + 1,
                 c->whom->name);
}

static void ask(struct sim_node *at, const struct change *c)
{
    struct sim *s = at->sim;
    const raft_index in_force = raft_get_configuration_index(node_raft(at));
    const bool was_so = raft_can_serve(node_raft(at)) && is_so(at, c->verb, c->whom);
    struct service_member_answer a;
    struct wire_member m = {
        .id = slice(c->whom->name), .learner = c->learner, .based_on = c->based_on};

    if (c->verb == WIRE_REQ_MEMBER_ADD || c->verb == WIRE_REQ_MEMBER_REPLACE) {
        m.peer_addr = slice(addr_of(c->whom->i));
        m.client_addr = slice("");
    }
    if (c->verb == WIRE_REQ_MEMBER_REPLACE)
        m.old = slice(c->old->name);
    engine_member(at->engine, c->verb, &m, &a);
    TRACE(s, "n%u is asked for change %d of n%u: error %d %s", at->i + 1, (int)c->verb,
          c->whom->i + 1, (int)a.error,
          a.error != WIRE_ERROR_NONE ? a.text
          : a.done                   ? "done"
                                     : "begun");
    MARK(s, member_asked);
    if (c->based_on != 0 && c->based_on != in_force)
        MARK(s, change_stale);
    if (a.error == WIRE_ERROR_BUSY)
        MARK(s, member_busy);
    else if (a.error != WIRE_ERROR_NONE)
        MARK(s, member_refused);
    else if (a.done)
        MARK(s, member_done);
    check_answer(at, c, was_so, in_force, &a);
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
        return r != NULL && (r->role == RAFT_VOTER || r->promote);
    case WIRE_REQ_MEMBER_REJOIN:
        return r != NULL && r->id != n->id;
    default:
        return r != NULL;
    }
}

/* Once more, by somebody whose answer was lost: made from what was in force then. */
static void ask_again(struct sim *s)
{
    struct sim_node *at = node_leader(s);

    if (s->last_change.whom == NULL || at == NULL || at->fatal_error != 0)
        return;
    MARK(s, change_again);
    ask(at, &s->last_change);
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
    struct change c;

    if (below(s, 6) == 0)
        take_disk(s, whom);
    for (unsigned k = 0; k < s->p.n_nodes && !makes_sense(s, verb, whom); k++)
        whom = &s->nodes[(whom->i + 1) % s->p.n_nodes];
    if (verb == WIRE_REQ_MEMBER_REPLACE && !node_is_voter(old))
        old = at != NULL ? at : old;
    if (at == NULL || below(s, 16) == 0)
        at = &s->nodes[below(s, s->p.n_nodes)];
    /* Who has lost one brings it back before anybody else goes. */
    if (lost_member(s) != NULL && verb != WIRE_REQ_MEMBER_ADD) {
        verb = WIRE_REQ_MEMBER_REJOIN;
        whom = below(s, 4) > 0 ? place_of(s, lost_member(s)) : whom;
    }
    if (at->life != NODE_UP || at->fatal_error != 0)
        return;
    c = (struct change){.verb = verb, .whom = whom, .old = old};
    if (verb != WIRE_REQ_MEMBER_REPLACE)
        c.learner = below(s, verb == WIRE_REQ_MEMBER_REJOIN ? 2 : 4) == 0;
    if (below(s, 3) == 0) /* or an older one */
        c.based_on = below(s, 4) > 0 ? raft_get_configuration_index(node_raft(at))
                                     : 1 + below(s, s->committed.index);
    ask(at, &c);
    c.based_on = c.based_on != 0 ? c.based_on : s->committed.index;
    s->last_change = c;
}

/* A learner that is to vote does not: somebody calls it off, or its disk goes, when it is to replace
 * somebody. */
static void thwart(struct sim *s)
{
    const struct raft_configuration *c = &s->committed.configuration;
    struct sim_node *leader = node_leader(s);

    for (unsigned i = 0; i < c->n; i++) {
        struct sim_node *n = node_of_id(s, c->servers[i].id);

        const unsigned one_in = c->servers[i].replaces != 0 ? 2 : 4;

        if (!c->servers[i].promote || n == NULL || below(s, one_in) != 0)
            continue;
        if (c->servers[i].replaces != 0)
            take_disk(s, n);
        else if (leader != NULL && leader->fatal_error == 0)
            ask(leader, &(struct change){WIRE_REQ_MEMBER_DEMOTE, n, NULL, false, 0});
        return;
    }
}

/* What is left to whoever looks after the cluster: those that are lost come back as others. */
static void bring_back(struct sim *s)
{
    const struct raft_server *lost = lost_member(s);
    struct sim_node *leader = node_leader(s);

    if (lost == NULL || leader == NULL || leader->fatal_error != 0)
        return;
    MARK(s, member_lost);
    ask(leader, &(struct change){WIRE_REQ_MEMBER_REJOIN, place_of(s, lost), NULL, false, 0});
}

/* Who leads and is telling a new node who it is gives the leadership away, and gets it back. */
static void go_round(struct sim *s)
{
    struct sim_node *leader = node_leader(s);

    for (unsigned i = 0; leader != NULL && leader->fatal_error == 0 && i < s->p.n_nodes; i++) {
        const struct sim_node *n = &s->nodes[i];

        if (n->life != NODE_UP || !n->join_waits)
            continue;
        (void)replica_transfer(leader->replica, leader == n ? 0 : n->id, clock_local_us(leader));
        node_input(leader);
        return;
    }
}

/* With a few others, which may have what it has just handed on: another one is elected, and what
 * the two have is truncated when they are back. */
static void cut_off(struct sim *s, struct sim_node *n)
{
    if (s->healing || s->cut_off != 0 || n->life != NODE_UP)
        return;
    MARK(s, leader_cut_changing);
    s->cut_off = UINT64_C(1) << n->i;
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if (below(s, 4) == 0)
            s->cut_off |= UINT64_C(1) << i;
    TRACE(s, "n%u is cut off in a change, with %" PRIx64, n->i + 1, s->cut_off);
    nemesis_recut(s);
    sim_push_any(s, s->now + s->p.election_us * (2000 + below(s, 8000)), EV_MEMBER, n->i,
                 MEMBER_UNCUT, NULL);
}

static void look_around(struct sim *s)
{
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *n = &s->nodes[i];

        if (n->life != NODE_UP)
            continue;
        if (n->engine->members.task.state == TASK_FAILED && n->engine->members.task.why[0] == '\0')
            sim_fail(s, "LIVE-2", "n%u has given up adding %s and does not say why", i + 1,
                     n->engine->members.task.name);
        if (!changes_is_gone(s, n->id))
            continue;
        MARK(s, removed_runs);
        if (n->wal.base > 0)
            MARK(s, removed_with_snapshot);
    }
}

static void next_change(struct sim *s)
{
    const uint64_t election_ns = s->p.election_us * 1000;

    look_around(s);
    if (s->healing) {
        bring_back(s);
    } else {
        go_round(s);
        thwart(s);
        for (uint64_t n = below(s, 3) == 0 ? 3 : 1; n > 0; n--) /* several at once, too */
            ask_any(s);
        if (below(s, 3) == 0)
            ask_again(s);
    }
    refusals_ask(node_leader(s));
    sim_push_any(s,
                 s->now + election_ns / 4 + (s->healing ? election_ns : below(s, 2 * election_ns)),
                 EV_MEMBER, 0, MEMBER_ASK, NULL);
}

void members_event(struct sim *s, const struct sim_event *e)
{
    struct sim_node *n = &s->nodes[e->node];

    switch ((enum member_deed)e->arg) {
    case MEMBER_ASK:
        next_change(s);
        break;
    case MEMBER_CUT:
        cut_off(s, n);
        break;
    case MEMBER_UNCUT:
        s->cut_off = 0;
        nemesis_recut(s);
        break;
    case MEMBER_DIES:
        if (s->healing || n->life != NODE_UP)
            break;
        node_crash(n, below(s, 2) == 0, s->p.election_us * 1000 * (1 + below(s, 8)));
        break;
    case MEMBER_REFUSE:
        refusals_ask(n);
        break;
    }
}

void members_init(struct sim *s)
{
    if (!members_are_on(s))
        return;
    for (unsigned i = s->p.n_founders; i < s->p.n_nodes; i++)
        be_someone(&s->nodes[i]);
    sim_push_any(s, below(s, s->p.election_us * 4000), EV_MEMBER, 0, MEMBER_ASK, NULL);
}
