/* What clients ask for: what is so already, what may not be, and what is begun. */
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "engine/members_int.h"
#include "wire/frame.h"

#include "base/banned.h"

/* ---- who comes ---- */

/* A member is to take the place of another one: only that is left to be said. */
static void replace_by_member(struct engine *e, const struct wire_member *q,
                              const struct raft_server *there, const struct raft_server *old,
                              struct service_member_answer *a)
{
    struct raft_configuration c = *members_in_force(e);
    struct raft_server *s = member_server(&c, there->id);
    const raft_node_id id = there->id;
    const bool begins = there->role == RAFT_LEARNER && !there->promote;

    s->replaces = old->id;
    s->promote = s->role == RAFT_LEARNER;
    member_change(e, &c, q, a);
    if (begins && a->error == WIRE_ERROR_NONE && !q->dry_run)
        member_begin_catchup(e, id);
}

/* False: refused. */
static bool may_replace(struct engine *e, const struct wire_member *q,
                        const struct raft_server *there, const struct raft_server *old,
                        struct service_member_answer *a)
{
    const struct raft_configuration *c = members_in_force(e);
    const struct raft_server *other = member_successor(c, old->id);

    if (there == old)
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
                      "'%s' cannot replace itself: say rejoin when its disk was lost", old->name);
    else if (old->role == RAFT_LEARNER || q->learner)
        member_refuse(
            a, WIRE_ERROR_PRECONDITION_FAILED,
            "only a voter is replaced, and by a voter: add the new node, then remove '%s'",
            old->name);
    else if (other != NULL)
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is being replaced by '%s' already",
                      old->name, other->name);
    else if (there != NULL && raft_configuration_get(c, there->replaces) != NULL)
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is to replace another one already",
                      there->name);
    return a->error == WIRE_ERROR_NONE;
}

static void add(struct engine *e, const struct wire_member *q, const char *name,
                const struct raft_server *old, struct service_member_answer *a)
{
    const struct raft_server *there = raft_configuration_get_name(members_in_force(e), name);
    const struct raft_server *has_it = member_who_has(e, q->peer_addr);
    struct member_task wanted = {.learner = q->learner, .force = q->force};
    struct raft_configuration c = *members_in_force(e);
    const raft_node_id id = raft_member_id(name, 0); /* it has none yet: only to count it */
    int rc;

    if (old != NULL && !may_replace(e, q, there, old, a))
        return;
    if (there != NULL && has_it != there) {
        member_refuse(
            a, WIRE_ERROR_PRECONDITION_FAILED,
            "'%s' is a member already, at another address; give the new node another name, or "
            "say set-addr, or rejoin when its disk was lost",
            name);
        return;
    }
    if (there != NULL && old != NULL) {
        replace_by_member(e, q, there, old, a);
        return;
    }
    if (there != NULL) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
                      q->learner ? "'%s' is a voter, or becomes one: demote it"
                                 : "'%s' is a member already, a learner: promote it",
                      name);
        return;
    }
    if (has_it != NULL) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "that is the address of '%s'",
                      has_it->name);
        return;
    }
    if (c.n == RAFT_SERVERS_MAX) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "a cluster has at most %u servers",
                      RAFT_SERVERS_MAX);
        return;
    }
    (void)snprintf(wanted.name, sizeof(wanted.name), "%s", name);
    member_take_text(wanted.peer_addr, sizeof(wanted.peer_addr), q->peer_addr);
    member_take_text(wanted.client_addr, sizeof(wanted.client_addr), q->client_addr);
    wanted.replaces = old != NULL ? old->id : 0;
    rc = raft_configuration_add(&c, id, name, RAFT_LEARNER, wanted.peer_addr, wanted.client_addr);
    if (rc != 0) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "%s", raft_configuration_error_text(rc));
        return;
    }
    member_server(&c, id)->promote = !q->learner;
    member_server(&c, id)->replaces = wanted.replaces;
    member_count_after(e, &c, id, a);
    member_task_begin(e, q, &wanted, a);
}

/* ---- who comes back ---- */

/* It comes back where it was: one that an earlier version let in is not dialled (MEMBER-23). */
static bool can_be_dialled(const struct raft_server *s, struct service_member_answer *a)
{
    char normal[ADDRESS_BYTES_MAX + 1];
    const bool is_peer = address_normal(s->peer_addr, normal) != NULL || s->client_addr[0] == '\0';
    const char *addr = is_peer ? s->peer_addr : s->client_addr;
    const char *wrong = address_normal(addr, normal);

    if (wrong != NULL)
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "%s '%s' of '%s' %s: say set-addr first",
                      is_peer ? "peer_addr" : "client_addr", addr, s->name, wrong);
    return wrong == NULL;
}

/* A copied configuration file must not remove a node that lives (MEMBER-14). */
static bool may_rejoin(struct engine *e, const struct wire_member *q, const struct raft_server *old,
                       struct service_member_answer *a)
{
    const struct raft_server *successor = member_successor(members_in_force(e), old->id);

    if (old->id == e->id)
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' leads: it is not gone", old->name);
    else if (replica_hears(e->replica, old->id, engine_now_us(e)) && !q->force)
        member_refuse(
            a, WIRE_ERROR_PRECONDITION_FAILED,
            "'%s' is heard: only a node that is gone can come back as another; stop it first",
            old->name);
    else if (successor != NULL)
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is being replaced by '%s' already",
                      old->name, successor->name);
    return a->error == WIRE_ERROR_NONE;
}

static void rejoin(struct engine *e, const struct wire_member *q, const struct raft_server *old,
                   struct service_member_answer *a)
{
    struct raft_configuration c = *members_in_force(e);
    struct member_task wanted = {.learner = q->learner, .force = q->force, .exchanges = old->id};
    const raft_node_id id = raft_member_id(old->name, 0); /* only to count it */

    if (!may_rejoin(e, q, old, a))
        return;
    member_complete(e, &c);
    if (!can_be_dialled(member_server(&c, old->id), a))
        return;
    memcpy(wanted.name, old->name, sizeof(wanted.name));
    (void)snprintf(wanted.peer_addr, sizeof(wanted.peer_addr), "%s",
                   member_server(&c, old->id)->peer_addr);
    (void)snprintf(wanted.client_addr, sizeof(wanted.client_addr), "%s",
                   member_server(&c, old->id)->client_addr);
    (void)raft_configuration_remove(&c, old->id, member_next_index(e));
    if (!member_may_lose(e, &c, q->force, a))
        return;
    rid_assert(raft_configuration_add(&c, id, old->name, RAFT_LEARNER, wanted.peer_addr,
                                      wanted.client_addr) == 0);
    member_server(&c, id)->promote = !q->learner && (old->role == RAFT_VOTER || old->promote);
    member_server(&c, id)->replaces = member_server(&c, id)->promote ? old->replaces : 0;
    member_count_after(e, &c, id, a);
    member_task_begin(e, q, &wanted, a);
}

/* ---- what is so already ---- */

enum already { NOT_YET, UNDER_WAY, IS_SO };

static enum already becomes_voter(const struct raft_server *s)
{
    if (s->role == RAFT_VOTER)
        return IS_SO;
    return s->promote ? UNDER_WAY : NOT_YET;
}

static bool was_removed(const struct raft_configuration *c, const char *name, raft_index after)
{
    for (unsigned i = 0; i < c->n_removed; i++)
        if (c->removed[i].index > after && strcmp(c->removed[i].name, name) == 0)
            return true;
    return false;
}

static enum already is_added(const struct engine *e, const struct wire_member *q,
                             const struct raft_server *s)
{
    if (s == NULL || !member_is_text(q->peer_addr, member_address(e, s)))
        return NOT_YET;
    if (q->learner)
        return s->role == RAFT_LEARNER && !s->promote ? IS_SO : NOT_YET;
    return becomes_voter(s);
}

static enum already is_replaced(const struct engine *e, const struct wire_member *q,
                                const struct raft_server *s, const struct raft_server *old,
                                const char *old_name)
{
    const enum already added = is_added(e, q, s);

    if (added == NOT_YET)
        return NOT_YET;
    if (old == NULL)
        return was_removed(members_in_force(e), old_name, 0) ? added : NOT_YET;
    return s->replaces == old->id ? UNDER_WAY : NOT_YET;
}

/* Whether the one that is there is the one that was to come back: by what the request was made
 * from, or by what this node remembers of it. */
static enum already is_back(const struct engine *e, const struct wire_member *q,
                            const struct raft_server *s)
{
    const struct member_task *t = &e->members.task;
    const bool by_task = t->state == TASK_IN_LOG && t->exchanges != 0 && t->id == s->id;
    const enum already voter = becomes_voter(s);

    if (!replica_hears(e->replica, s->id, engine_now_us(e)) || q->force)
        return NOT_YET;
    if (!by_task && (q->based_on == 0 || !was_removed(members_in_force(e), s->name, q->based_on)))
        return NOT_YET;
    return voter != NOT_YET ? voter : IS_SO; /* a learner that came back as one */
}

static enum already look_already(const struct engine *e, enum wire_request_type verb,
                                 const struct wire_member *q, const struct raft_server *s,
                                 const struct raft_server *old, const char *old_name)
{
    if (verb == WIRE_REQ_MEMBER_ADD)
        return is_added(e, q, s);
    if (verb == WIRE_REQ_MEMBER_REPLACE)
        return is_replaced(e, q, s, old, old_name);
    if (s == NULL)
        return verb == WIRE_REQ_MEMBER_REMOVE ? IS_SO : NOT_YET;
    switch ((int)verb) {
    case WIRE_REQ_MEMBER_PROMOTE:
        return becomes_voter(s);
    case WIRE_REQ_MEMBER_DEMOTE:
        return s->role == RAFT_LEARNER && !s->promote ? IS_SO : NOT_YET;
    case WIRE_REQ_MEMBER_SET_ADDR:
        return member_is_text(q->peer_addr, s->peer_addr) &&
                       member_is_text(q->client_addr, s->client_addr)
                   ? IS_SO
                   : NOT_YET;
    case WIRE_REQ_MEMBER_REJOIN:
        return is_back(e, q, s);
    default:
        return NOT_YET;
    }
}

/* ---- whether it may be asked for ---- */

static const struct raft_server *
who_leaves(enum wire_request_type verb, const struct raft_server *s, const struct raft_server *old)
{
    if (verb == WIRE_REQ_MEMBER_REPLACE)
        return old;
    return verb == WIRE_REQ_MEMBER_REMOVE || verb == WIRE_REQ_MEMBER_REJOIN ? s : NULL;
}

/* Who was met and was of this version understands such an entry; who was not met is away, and says
 * so in words if it comes back and does not (MEMBER-17). leaves: when away it will not come. */
static const char *who_is_too_old(const struct engine *e, const struct raft_server *leaves)
{
    const struct raft_configuration *c = members_in_force(e);

    for (unsigned i = 0; e->ops.peer_version != NULL && i < c->n; i++) {
        const raft_node_id id = c->servers[i].id;
        const unsigned version = id == e->id ? 0 : e->ops.peer_version(e->ops.ctx, id);

        if (version != 0 && version < WIRE_VERSION_SNAPSHOTS &&
            (leaves == NULL || leaves->id != id || member_is_linked(e, id)))
            return c->servers[i].name;
    }
    return NULL;
}

static bool may_ask(struct engine *e, const struct raft_server *leaves,
                    struct service_member_answer *a)
{
    const char *old = who_is_too_old(e, leaves);

    a->configuration_index = raft_get_configuration_index(engine_raft(e));
    a->voters_before = raft_configuration_n_voters(members_in_force(e));
    if (raft_get_role(engine_raft(e)) != RAFT_LEADER)
        a->error = WIRE_ERROR_NOT_LEADER;
    else if (!raft_can_serve(engine_raft(e)))
        member_refuse(a, WIRE_ERROR_BUSY, "the leader has not committed an entry of its term yet");
    else if (old != NULL)
        member_refuse(
            a, WIRE_ERROR_PRECONDITION_FAILED,
            "'%s' runs a version that does not know changes of the members: upgrade it first", old);
    return a->error == WIRE_ERROR_NONE;
}

/* Each costs memory on all nodes until the front of the log goes, and again at each start
 * (MEMBER-25). Who is gone is removed all the same. */
static bool are_too_many(const struct engine *e, enum wire_request_type verb)
{
    return verb != WIRE_REQ_MEMBER_REMOVE &&
           raft_n_configurations(engine_raft(e)) >= MEMBERS_CONFIGURATIONS_MAX;
}

void engine_member(void *ctx, enum wire_request_type verb, const struct wire_member *q,
                   struct service_member_answer *a)
{
    struct engine *e = ctx;
    const struct member_task *t = &e->members.task;
    const struct raft_server *s;
    const struct raft_server *old = NULL;
    char name[NODE_NAME_BYTES_MAX + 1];
    char old_name[NODE_NAME_BYTES_MAX + 1];
    enum already already;

    *a = (struct service_member_answer){.error = WIRE_ERROR_NONE};
    member_take_text(name, sizeof(name), q->id);
    member_take_text(old_name, sizeof(old_name), q->old);
    s = raft_configuration_get_name(members_in_force(e), name);
    old = raft_configuration_get_name(members_in_force(e), old_name);
    if (!may_ask(e, who_leaves(verb, s, old), a))
        return;
    already = look_already(e, verb, q, s, old, old_name);
    if (already != NOT_YET) { /* looked at before what it was based on (MEMBER-3) */
        a->done = already == IS_SO && members_are_settled(e);
        if (t->state == TASK_IN_LOG && s != NULL && s->id == t->id)
            a->task = t->number;
        member_count_after(e, members_in_force(e), 0, a);
    } else if (q->based_on != 0 && q->based_on != a->configuration_index) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
                      "the members have changed since: the configuration is that of index %llu",
                      (unsigned long long)a->configuration_index);
    } else if (are_too_many(e, verb)) {
        member_refuse(
            a, WIRE_ERROR_BUSY,
            "the log has %u changes of the members: ask again when its front has gone, which "
            "'ridctl snapshot' and a smaller [log] keep_bytes bring on",
            MEMBERS_CONFIGURATIONS_MAX);
    } else if (verb == WIRE_REQ_MEMBER_ADD) {
        add(e, q, name, NULL, a);
    } else if (verb == WIRE_REQ_MEMBER_REPLACE && old == NULL) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is no member", old_name);
    } else if (verb == WIRE_REQ_MEMBER_REPLACE) {
        add(e, q, name, old, a);
    } else if (s == NULL) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is no member", name);
    } else if (verb == WIRE_REQ_MEMBER_REJOIN) {
        rejoin(e, q, s, a);
    } else {
        member_one_entry(e, verb, q, s->id, a);
    }
}
