/* Changes of the members: what a client asks for becomes configurations, one server at a time, and
 * what takes longer goes on by itself under whoever leads.
 *
 *   add      the new node is told who it is (join) ──► learner ──► caught up ──► voter
 *   replace  the same ──► the old one is removed
 *   rejoin   join ──► one entry: the old incarnation goes, a learner of the new one comes ──► voter
 *   remove, promote, demote, set_addr: one entry
 *
 * What is to become of a learner stands in the configuration itself (promote, replaces, patience),
 * so that a leader that dies in the middle takes nothing with it: the next one goes on (MEMBER-7,
 * MEMBER-14). Only the telling of the new node, before anything is appended, is this node's alone:
 * when that fails nothing was changed.
 *
 * A learner is brought up in rounds: a round ends when it has what the log had at the beginning of
 * it, and who needs less than an election timeout for one is as good as a voter. Time is counted by
 * the leader that leads, and no reading of a clock enters the log. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "raft/quorum.h"
#include "wire/reply.h"

#include "base/banned.h"

static uint64_t now_of(const struct engine *e)
{
    return e->ops.now_us(e->ops.ctx);
}

static const struct raft_configuration *in_force(const struct engine *e)
{
    return raft_get_configuration(engine_raft(e));
}

static bool is_settled(const struct engine *e)
{
    return raft_get_configuration_index(engine_raft(e)) <= raft_get_commit_index(engine_raft(e));
}

/* ---- what a change adds to every configuration ---- */

static void draw_cluster_id(struct engine *e, struct raft_configuration *c)
{
    if (e->ops.random != NULL && e->ops.random(e->ops.ctx, c->cluster_id, sizeof(c->cluster_id)))
        return;
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t v = prng_next(&e->members.prng) | 1;

        memcpy(c->cluster_id + 8 * i, &v, sizeof(v));
    }
}

static void fill_address(char *to, size_t size, const char *addr)
{
    if (to[0] == '\0' && addr != NULL)
        (void)snprintf(to, size, "%s", addr);
}

/* The first change says what the founders' entry could not say, since their files need not be
 * equal: addresses, incarnations, and the id by which members know each other (MEMBER-16). */
static void complete(struct engine *e, struct raft_configuration *c)
{
    if (!raft_configuration_has_cluster_id(c))
        draw_cluster_id(e, c);
    if (c->version < MEMBERS_VERSION)
        c->version = MEMBERS_VERSION;
    for (unsigned i = 0; i < c->n; i++) {
        struct raft_server *s = &c->servers[i];

        if (e->ops.peer_addr != NULL)
            fill_address(s->peer_addr, sizeof(s->peer_addr), e->ops.peer_addr(e->ops.ctx, s->id));
        if (e->ops.client_addr != NULL)
            fill_address(s->client_addr, sizeof(s->client_addr),
                         e->ops.client_addr(e->ops.ctx, s->id));
        if (s->incarnation == 0 && e->ops.incarnation != NULL)
            s->incarnation = e->ops.incarnation(e->ops.ctx, s->id);
    }
}

/* Whoever is there understands such an entry; who is away and does not will say so in words when it
 * comes back (MEMBER-17). */
static const char *who_is_too_old(const struct engine *e)
{
    const struct raft_configuration *c = in_force(e);

    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id != e->id && e->ops.takes_snapshots != NULL &&
            (e->ops.peer_connected == NULL ||
             e->ops.peer_connected(e->ops.ctx, c->servers[i].id)) &&
            !e->ops.takes_snapshots(e->ops.ctx, c->servers[i].id))
            return c->servers[i].name;
    return NULL;
}

static int append(struct engine *e, struct raft_configuration *c, bool force)
{
    const raft_index based_on = raft_get_configuration_index(engine_raft(e));
    struct raft_entry_id id;
    int rc;

    complete(e, c);
    rc = replica_configure(e->replica, c, based_on, force, now_of(e), &id);
    if (rc == 0 && engine_logs(e))
        log_event(LOG_INFO, "members_change", "index=%llu voters=%u servers=%u",
                  (unsigned long long)id.index, raft_configuration_n_voters(c), c->n);
    return rc;
}

static struct raft_server *server_of(struct raft_configuration *c, raft_node_id id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

/* ---- the task that has not entered the log ---- */

static void fail_task(struct engine *e, const char *why)
{
    struct member_task *t = &e->members.task;

    t->state = TASK_FAILED;
    (void)snprintf(t->why, sizeof(t->why), "%s", why);
    if (engine_logs(e))
        log_event(LOG_WARNING, "member_not_added", "node=%s why=\"%s\"", t->name, t->why);
}

/* On the bench. */
static int run_join(void *ctx)
{
    struct engine *e = ctx;
    struct member_task *t = &e->members.task;

    return e->ops.join(e->ops.ctx, t->peer_addr, t->name, t->config.data, t->config.len,
                       t->cluster_id, &t->incarnation);
}

/* What the new node's log begins with: the configuration where the log of this node begins, which
 * is the founders' as long as that begins with entry 1. */
static bool begin_join(struct engine *e)
{
    struct member_task *t = &e->members.task;
    const struct raft *raft = engine_raft(e);
    struct raft_status st;

    raft_get_status(raft, &st);
    memcpy(t->cluster_id, in_force(e)->cluster_id, sizeof(t->cluster_id));
    buf_reset(&t->config, 0);
    if (raft_configuration_encode(
            &raft_config_at(raft, st.base.index > 0 ? st.base.index : 1)->configuration,
            &t->config) != 0)
        return false;
    t->state = TASK_JOINING;
    t->began_us = now_of(e);
    chores_add(e->members.bench, &t->chore, run_join, e);
    return true;
}

/* The node that was told: a learner. */
static void add_learner(struct engine *e)
{
    struct member_task *t = &e->members.task;
    struct raft_configuration c = *in_force(e);
    const struct raft_server *old = raft_configuration_get_name(&c, t->name);
    const raft_node_id id = raft_member_id(t->name, t->incarnation);
    struct raft_server *s;
    int rc = 0;

    if (old != NULL && old->id == id) { /* a task that was begun again */
        t->state = TASK_IN_LOG;
        return;
    }
    rid_assert(memcmp(c.cluster_id, t->cluster_id, sizeof(c.cluster_id)) == 0);
    if (t->exchange && old != NULL)
        (void)raft_configuration_remove(&c, old->id,
                                        raft_get_configuration_index(engine_raft(e)) + 1);
    rc = raft_configuration_add(&c, id, t->name, RAFT_LEARNER, t->peer_addr, t->client_addr);
    if (rc != 0) {
        fail_task(e, raft_configuration_error_text(rc));
        return;
    }
    s = server_of(&c, id);
    s->incarnation = t->incarnation;
    s->promote = !t->learner;
    s->replaces = t->replaces;
    s->patience_ms = t->learner ? 0 : MEMBER_PATIENCE_MS;
    rc = append(e, &c, t->force);
    if (rc == RAFT_E_CHANGING || rc == RAFT_E_GATED || rc == RAFT_E_BUSY)
        return; /* in a later turn */
    if (rc != 0) {
        fail_task(e, rc < 0 ? strerror(-rc) : raft_error_text(rc));
        return;
    }
    t->state = TASK_IN_LOG;
}

/* The log decides which id the cluster has: a node that joins is told one that is committed
 * (MEMBER-16). */
static void name_cluster(struct engine *e)
{
    struct raft_configuration c = *in_force(e);
    struct member_task *t = &e->members.task;
    int rc;

    if (!is_settled(e))
        return;
    if (raft_configuration_has_cluster_id(&c)) {
        if (!begin_join(e))
            fail_task(e, "out of memory");
        return;
    }
    rc = append(e, &c, true);
    if (rc != 0 && rc != RAFT_E_CHANGING && rc != RAFT_E_GATED && rc != RAFT_E_BUSY)
        fail_task(e, rc < 0 ? strerror(-rc) : raft_error_text(rc));
    t->began_us = now_of(e);
}

static void look_at_task(struct engine *e)
{
    struct member_task *t = &e->members.task;
    int rc;

    if (t->state == TASK_NAMING && raft_get_role(engine_raft(e)) != RAFT_LEADER)
        fail_task(e, "this node does not lead any more: ask the new leader again");
    if (t->state == TASK_NAMING)
        name_cluster(e);
    if (t->state == TASK_JOINING && chore_take(&t->chore, &rc)) {
        if (rc != 0)
            fail_task(e, t->chore.text[0] != '\0' ? t->chore.text : "the new node did not answer");
        else
            t->state = TASK_ADDING;
    }
    if (t->state != TASK_ADDING)
        return;
    if (raft_get_role(engine_raft(e)) != RAFT_LEADER)
        fail_task(e, "this node does not lead any more: ask the new leader again");
    else if (is_settled(e))
        add_learner(e);
}

/* ---- catching up ---- */

static struct catchup *catchup_of(struct engine *e, raft_node_id id)
{
    struct catchup *unused = NULL;

    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        struct catchup *u = &e->members.catchups[i];

        if (u->id == id)
            return u;
        if (unused == NULL && raft_configuration_get(in_force(e), u->id) == NULL)
            unused = u;
    }
    rid_assert(unused != NULL);
    *unused = (struct catchup){.id = id};
    return unused;
}

static const struct raft_peer_status *peer_of(const struct raft_status *st, raft_node_id id)
{
    for (unsigned i = 0; i < st->n_peers; i++)
        if (st->peers[i].id == id)
            return &st->peers[i];
    return NULL;
}

static void begin_round(struct catchup *u, const struct raft_status *st, uint64_t now_us)
{
    u->round_end = st->last_index;
    u->round_us = now_us;
    u->n_rounds++;
}

/* It holds what the log had when the round began, the round was short, and it is there
 * (MEMBER-7). */
static bool has_caught_up(struct engine *e, const struct raft_server *s,
                          const struct raft_status *st, uint64_t now_us)
{
    const struct raft_peer_status *p = peer_of(st, s->id);
    struct catchup *u = catchup_of(e, s->id);
    bool was_short;

    if (u->term != st->current_term) { /* another leader begins to count anew */
        *u = (struct catchup){.id = s->id, .term = st->current_term, .began_us = now_us};
        begin_round(u, st, now_us);
        return false;
    }
    if (p == NULL || p->match_index < u->round_end)
        return false;
    was_short = now_us - u->round_us <= st->election_timeout_us;
    if (was_short && p->heard && p->fitness == RAFT_FIT && p->match_index >= st->noop_index)
        return true;
    begin_round(u, st, now_us);
    return false;
}

static void promote(struct engine *e, const struct raft_server *s)
{
    struct raft_configuration c = *in_force(e);
    struct raft_server *to = server_of(&c, s->id);

    to->role = RAFT_VOTER;
    to->promote = false;
    to->patience_ms = 0;
    (void)append(e, &c, false); /* refused: in a later turn */
}

static void give_up_learner(struct engine *e, const struct raft_server *s)
{
    struct raft_configuration c = *in_force(e);

    if (engine_logs(e))
        log_event(LOG_WARNING, "member_given_up", "node=%s after_ms=%u why='it did not catch up'",
                  s->name, s->patience_ms);
    (void)snprintf(e->members.task.why, sizeof(e->members.task.why),
                   "'%s' did not catch up within %u s and was removed again", s->name,
                   s->patience_ms / 1000);
    (void)raft_configuration_remove(&c, s->id, raft_get_configuration_index(engine_raft(e)) + 1);
    (void)append(e, &c, true);
}

/* ---- who was replaced ---- */

/* The leader does not remove itself: it hands over to the one that came, which goes on (MEMBER-9).
 */
static void remove_replaced(struct engine *e, const struct raft_server *s, uint64_t now_us)
{
    struct raft_configuration c = *in_force(e);
    const raft_node_id old = s->replaces;

    if (old == e->id) {
        if (!replica_transferring(e->replica))
            (void)replica_transfer(e->replica, s->id, now_us);
        return;
    }
    server_of(&c, s->id)->replaces = 0;
    (void)raft_configuration_remove(&c, old, raft_get_configuration_index(engine_raft(e)) + 1);
    (void)append(e, &c, false);
}

/* The first thing that is due, since a change waits for the one before. */
static void go_on(struct engine *e, uint64_t now_us)
{
    const struct raft_configuration *c = in_force(e);
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];

        if (s->role == RAFT_LEARNER && s->promote) {
            if (has_caught_up(e, s, &st, now_us)) {
                promote(e, s);
                return;
            }
            if (s->patience_ms != 0 &&
                catchup_of(e, s->id)->began_us + (uint64_t)s->patience_ms * 1000u < now_us) {
                give_up_learner(e, s);
                return;
            }
        }
        if (s->role == RAFT_VOTER && s->replaces != 0 &&
            raft_configuration_get(c, s->replaces) != NULL) {
            remove_replaced(e, s, now_us);
            return;
        }
    }
}

void engine_members_turn(struct engine *e, uint64_t now_us)
{
    if (e->members.bench == NULL)
        return;
    look_at_task(e);
    if (now_us < e->members.due_us)
        return;
    e->members.due_us = now_us + MEMBERS_LOOK_US;
    if (!raft_can_serve(engine_raft(e)) || !is_settled(e) || replica_transferring(e->replica))
        return;
    go_on(e, now_us);
}

/* ---- what clients ask for ---- */

__attribute__((format(printf, 3, 4))) static void
refuse(struct service_member_answer *a, enum wire_error error, const char *format, ...)
{
    va_list ap;

    a->error = error;
    va_start(ap, format);
    (void)vsnprintf(a->text, sizeof(a->text), format, ap);
    va_end(ap);
}

static void take_text(char *to, size_t size, struct wire_slice from)
{
    (void)snprintf(to, size, "%.*s", (int)from.len, from.data != NULL ? from.data : "");
}

/* Of the configuration that it would be in the end: its voters, and those of them that are
 * heard. */
static void count_after(struct engine *e, const struct raft_configuration *c,
                        struct service_member_answer *a)
{
    a->voters_after = 0;
    a->heard_after = 0;
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];
        const bool votes = s->role == RAFT_VOTER || s->promote;

        a->voters_after += votes;
        a->heard_after += votes && replica_hears(e->replica, s->id, now_of(e));
    }
}

static bool may_lose(const struct service_member_answer *a, bool force)
{
    return force || a->heard_after >= a->voters_after / 2 + 1;
}

static void refuse_quorum(struct service_member_answer *a)
{
    refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
           "of the %u voters that would be left %u are heard, and %u are needed; bring one back "
           "first, or force it",
           a->voters_after, a->heard_after, a->voters_after / 2 + 1);
}

/* A change of one entry, made from the configuration in force. */
static void change(struct engine *e, struct raft_configuration *c, const struct wire_member *q,
                   struct service_member_answer *a)
{
    int rc;

    count_after(e, c, a);
    if (raft_configuration_equal(c, in_force(e))) { /* looked at before what it was based on */
        a->done = is_settled(e);
        return;
    }
    if (a->voters_after == 0) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "no voter would be left");
        return;
    }
    if (!may_lose(a, q->force)) {
        refuse_quorum(a);
        return;
    }
    if (q->dry_run)
        return;
    rc = append(e, c, q->force);
    switch (rc) {
    case 0:
        a->configuration_index = raft_get_configuration_index(engine_raft(e));
        break;
    case RAFT_E_NOT_LEADER:
        a->error = WIRE_ERROR_NOT_LEADER;
        break;
    case RAFT_E_QUORUM:
        refuse_quorum(a);
        break;
    case RAFT_E_SELF:
        refuse(a, WIRE_ERROR_BUSY, "the leader hands over first: ask again");
        break;
    case RAFT_E_GATED:
    case RAFT_E_BUSY:
    case RAFT_E_CHANGING:
        refuse(a, WIRE_ERROR_BUSY, "%s: ask again", raft_error_text(rc));
        break;
    default:
        refuse(a, rc < 0 ? WIRE_ERROR_INTERNAL : WIRE_ERROR_PRECONDITION_FAILED, "%s",
               rc < 0 ? strerror(-rc) : raft_error_text(rc));
        break;
    }
}

/* The new node is told first; who it is stands in the log afterwards. */
static void begin_task(struct engine *e, const struct wire_member *q, const char *name,
                       const struct raft_server *old, bool exchange,
                       struct service_member_answer *a)
{
    struct member_task *t = &e->members.task;

    if (t->state >= TASK_NAMING && t->state <= TASK_ADDING) {
        if (strcmp(t->name, name) != 0)
            refuse(a, WIRE_ERROR_BUSY, "'%s' is being added: ask again when that is done", t->name);
        return;
    }
    if (q->dry_run)
        return;
    if (e->ops.join == NULL || e->members.bench == NULL) {
        refuse(a, WIRE_ERROR_NOT_SUPPORTED, "no node can be added to this cluster");
        return;
    }
    if (chore_is_busy(&t->chore)) {
        refuse(a, WIRE_ERROR_BUSY, "another node is being told: ask again");
        return;
    }
    t->state = TASK_NONE;
    t->why[0] = '\0';
    t->learner = q->learner;
    t->force = q->force;
    t->exchange = exchange;
    t->replaces = old != NULL && !exchange ? old->id : 0;
    (void)snprintf(t->name, sizeof(t->name), "%s", name);
    if (q->peer_addr.len > 0) {
        take_text(t->peer_addr, sizeof(t->peer_addr), q->peer_addr);
        take_text(t->client_addr, sizeof(t->client_addr), q->client_addr);
    } else if (old != NULL) {
        struct raft_configuration c = *in_force(e);

        complete(e, &c);
        (void)snprintf(t->peer_addr, sizeof(t->peer_addr), "%s",
                       raft_configuration_get(&c, old->id)->peer_addr);
        (void)snprintf(t->client_addr, sizeof(t->client_addr), "%s",
                       raft_configuration_get(&c, old->id)->client_addr);
    }
    t->state = TASK_NAMING;
    look_at_task(e);
}

static void add(struct engine *e, const struct wire_member *q, const char *name,
                const struct raft_server *old, struct service_member_answer *a)
{
    const struct raft_server *there = raft_configuration_get_name(in_force(e), name);
    struct raft_configuration c = *in_force(e);

    if (there != NULL && (q->peer_addr.len != strlen(there->peer_addr) ||
                          memcmp(q->peer_addr.data, there->peer_addr, q->peer_addr.len) != 0)) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "'%s' is a member already, at another address; give the new node another name, or "
               "say set_addr, or rejoin when its disk was lost",
               name);
        return;
    }
    if (there != NULL) { /* done, or under way */
        a->done = there->role == RAFT_VOTER ? old == NULL || there->replaces == 0 : q->learner;
        count_after(e, &c, a);
        return;
    }
    if (c.n == RAFT_SERVERS_MAX) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "a cluster has at most %u servers",
               RAFT_SERVERS_MAX);
        return;
    }
    count_after(e, &c, a);
    a->voters_after += old != NULL || q->learner ? 0 : 1;
    a->heard_after += old != NULL || q->learner ? 0 : 1;
    begin_task(e, q, name, old, false, a);
}

/* A copied configuration file must not remove a node that lives (MEMBER-14). */
static void rejoin(struct engine *e, const struct wire_member *q, const struct raft_server *old,
                   struct service_member_answer *a)
{
    struct raft_configuration c = *in_force(e);

    if (old->id == e->id) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' leads: it is not gone", old->name);
        return;
    }
    if (replica_hears(e->replica, old->id, now_of(e)) && !q->force) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "'%s' is heard: only a node that is gone can come back as another; stop it first",
               old->name);
        return;
    }
    count_after(e, &c, a);
    begin_task(e, q, old->name, old, true, a);
}

/* The leader does not leave by itself: somebody else leads, and is asked then. */
static void hand_over_first(struct engine *e, struct service_member_answer *a)
{
    if (raft_configuration_n_voters(in_force(e)) == 1)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "it is the last voter");
    else if (replica_transfer(e->replica, 0, now_of(e)) == 0)
        refuse(a, WIRE_ERROR_BUSY, "it leads, and hands over first: ask again");
    else
        refuse(a, WIRE_ERROR_BUSY, "it leads, and there is nobody to hand over to now: ask again");
}

static void one_entry(struct engine *e, enum wire_request_type verb, const struct wire_member *q,
                      raft_node_id id, struct service_member_answer *a)
{
    struct raft_configuration c = *in_force(e);
    struct raft_server *s = server_of(&c, id);
    const bool leaves = verb == WIRE_REQ_MEMBER_REMOVE || verb == WIRE_REQ_MEMBER_DEMOTE;

    switch ((int)verb) {
    case WIRE_REQ_MEMBER_REMOVE:
        (void)raft_configuration_remove(&c, id, raft_get_configuration_index(engine_raft(e)) + 1);
        break;
    case WIRE_REQ_MEMBER_PROMOTE:
        if (s->role == RAFT_LEARNER)
            s->promote = true; /* when it has caught up */
        break;
    case WIRE_REQ_MEMBER_DEMOTE:
        s->role = RAFT_LEARNER;
        s->promote = false;
        s->replaces = 0;
        break;
    default: /* an address changes, and nothing else: the role stays (MEMBER-2) */
        take_text(s->peer_addr, sizeof(s->peer_addr), q->peer_addr);
        take_text(s->client_addr, sizeof(s->client_addr), q->client_addr);
        break;
    }
    if (leaves && id == e->id && !q->dry_run) {
        count_after(e, &c, a);
        hand_over_first(e, a);
        return;
    }
    change(e, &c, q, a);
}

static bool may_ask(struct engine *e, const struct wire_member *q, struct service_member_answer *a)
{
    const raft_index index = raft_get_configuration_index(engine_raft(e));
    const char *old = who_is_too_old(e);

    a->configuration_index = index;
    a->voters_before = raft_configuration_n_voters(in_force(e));
    if (raft_get_role(engine_raft(e)) != RAFT_LEADER) {
        a->error = WIRE_ERROR_NOT_LEADER;
        return false;
    }
    if (!raft_can_serve(engine_raft(e))) {
        refuse(a, WIRE_ERROR_BUSY, "the leader has not committed an entry of its term yet");
        return false;
    }
    if (old != NULL) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "'%s' runs a version that does not know changes of the members: upgrade it first",
               old);
        return false;
    }
    if (q->based_on != 0 && q->based_on != index) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "the members have changed since: the configuration is that of index %llu",
               (unsigned long long)index);
        return false;
    }
    return true;
}

void engine_member(void *ctx, enum wire_request_type verb, const struct wire_member *q,
                   struct service_member_answer *a)
{
    struct engine *e = ctx;
    const struct raft_server *s;
    const struct raft_server *old = NULL;
    char name[NODE_NAME_BYTES_MAX + 1];
    char old_name[NODE_NAME_BYTES_MAX + 1];

    *a = (struct service_member_answer){.error = WIRE_ERROR_NONE};
    if (!may_ask(e, q, a))
        return;
    take_text(name, sizeof(name), q->id);
    take_text(old_name, sizeof(old_name), q->old);
    s = raft_configuration_get_name(in_force(e), name);
    old = raft_configuration_get_name(in_force(e), old_name);
    if (verb == WIRE_REQ_MEMBER_ADD) {
        add(e, q, name, NULL, a);
    } else if (verb == WIRE_REQ_MEMBER_REPLACE) {
        if (old == NULL && s == NULL)
            refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is no member", old_name);
        else if (old == NULL)
            a->done = true; /* it is gone, and the new one is there */
        else
            add(e, q, name, old, a);
    } else if (s == NULL) {
        a->done = verb == WIRE_REQ_MEMBER_REMOVE;
        if (!a->done)
            refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is no member", name);
        count_after(e, in_force(e), a);
    } else if (verb == WIRE_REQ_MEMBER_REJOIN) {
        rejoin(e, q, s, a);
    } else {
        one_entry(e, verb, q, s->id, a);
    }
}

/* ---- looking ---- */

static void say_change(const struct engine *e, struct wire_reply *w, const struct raft_status *st,
                       const struct raft_server *s)
{
    const struct raft_peer_status *p = peer_of(st, s->id);
    const struct raft_server *old = raft_configuration_get(in_force(e), s->replaces);
    const bool leads = st->role == RAFT_LEADER;

    if (!s->promote && old == NULL)
        return;
    wire_reply_open_object(w, NULL);
    wire_reply_str(w, "id", s->name);
    wire_reply_str(w, "what", s->role == RAFT_LEARNER ? "catching up" : "removing the old one");
    wire_reply_str(w, "replaces", old != NULL ? old->name : NULL);
    if (leads && p != NULL) {
        wire_reply_u64(w, "match_index", p->match_index);
        wire_reply_u64(w, "behind_entries", st->last_index - p->match_index);
        wire_reply_bool(w, "heard", p->heard);
    }
    wire_reply_close_object(w);
}

void engine_member_changes(void *ctx, struct wire_reply *w)
{
    static const char *const states[] = {
        [TASK_NONE] = "none",     [TASK_NAMING] = "naming", [TASK_JOINING] = "dialling",
        [TASK_ADDING] = "adding", [TASK_IN_LOG] = "in_log", [TASK_FAILED] = "failed"};
    struct engine *e = ctx;
    const struct raft_configuration *c = in_force(e);
    const struct member_task *t = &e->members.task;
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    wire_reply_open_array(w, "changes");
    for (unsigned i = 0; i < c->n; i++)
        say_change(e, w, &st, &c->servers[i]);
    wire_reply_close_array(w);
    if (t->state == TASK_NONE && t->why[0] == '\0') {
        wire_reply_null(w, "last_task");
        return;
    }
    wire_reply_open_object(w, "last_task");
    wire_reply_str(w, "id", t->name);
    wire_reply_str(w, "state", states[t->state]);
    wire_reply_str(w, "why", t->why[0] != '\0' ? t->why : NULL);
    wire_reply_close_object(w);
}

bool engine_cluster_id(const struct engine *e, unsigned char ret_id[16])
{
    const struct raft *raft = engine_raft(e);
    const struct raft_configuration *c =
        &raft_config_at(raft, raft_get_commit_index(raft))->configuration;

    memcpy(ret_id, c->cluster_id, sizeof(c->cluster_id));
    return raft_configuration_has_cluster_id(c);
}

/* ---- life ---- */

int engine_members_begin(struct engine *e, uint64_t seed)
{
    prng_init(&e->members.prng, seed);
    return chores_new("ridd-join", -1, &e->members.bench);
}

int engine_members_start(struct engine *e, int notify_fd)
{
    return chores_start(e->members.bench, notify_fd);
}

void engine_members_stop(struct engine *e)
{
    chores_free(e->members.bench);
    e->members.bench = NULL;
    buf_done(&e->members.task.config);
    buf_init(&e->members.task.config);
}
