/* Changes that are one entry each: what every configuration gets besides, and whether enough voters
 * would be heard when it is in force. */
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "engine/engine_int.h"
#include "engine/members_int.h"
#include "wire/frame.h"

#include "base/banned.h"

/* Where a change that is appended now will stand: what a tombstone says (MEMBER-5). */
raft_index member_next_index(const struct engine *e)
{
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    return st.last_index + 1;
}

struct raft_server *member_server(struct raft_configuration *c, raft_node_id id)
{
    unsigned i = 0;

    while (i < c->n && c->servers[i].id != id)
        i++;
    rid_assert(i < c->n);
    return &c->servers[i];
}

const struct raft_server *member_successor(const struct raft_configuration *c, raft_node_id id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].replaces == id)
            return &c->servers[i];
    return NULL;
}

/* ---- what a change adds to every configuration ---- */

static void draw_cluster_id(struct engine *e, struct raft_configuration *c)
{
    if (e->ops.random != NULL && e->ops.random(e->ops.ctx, c->cluster_id, sizeof(c->cluster_id)))
        return;
    for (size_t i = 0; i < 2; i++) {
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
void member_complete(struct engine *e, struct raft_configuration *c)
{
    if (!raft_configuration_has_cluster_id(c)) {
        draw_cluster_id(e, c);
        raft_cluster_id_mark(c->cluster_id, false);
    }
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

int member_append(struct engine *e, struct raft_configuration *c, bool force)
{
    const raft_index based_on = raft_get_configuration_index(engine_raft(e));
    struct raft_entry_id id;
    int rc;

    member_complete(e, c);
    rc = replica_configure(e->replica, c, based_on, force, engine_now_us(e), &id);
    if (rc == 0 && engine_logs(e))
        log_event(LOG_INFO, "members_change", "index=%llu voters=%u servers=%u",
                  (unsigned long long)id.index, raft_configuration_n_voters(c), c->n);
    return rc;
}

/* ---- who would be left ---- */

void member_refuse(struct service_member_answer *a, enum wire_error error, const char *format, ...)
{
    va_list ap;

    a->error = error;
    va_start(ap, format);
    (void)vsnprintf(a->text, sizeof(a->text), format, ap);
    va_end(ap);
}

/* When all that stands in c has been done. */
static bool will_vote(const struct raft_configuration *c, const struct raft_server *s)
{
    return (s->role == RAFT_VOTER || s->promote) && member_successor(c, s->id) == NULL;
}

/* Heard, and not only lately: of who was stopped the link goes at once. */
static bool is_there(struct engine *e, raft_node_id id)
{
    return replica_hears(e->replica, id, engine_now_us(e)) &&
           (id == e->id || member_is_linked(e, id));
}

struct tally {
    unsigned voters;
    unsigned heard; /* of them, now */
};

/* A newcomer counts as heard: it does not become a voter before it is. */
static struct tally tally_of(struct engine *e, const struct raft_configuration *c, bool in_the_end,
                             raft_node_id newcomer)
{
    struct tally t = {0};

    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];

        if (in_the_end ? !will_vote(c, s) : s->role != RAFT_VOTER)
            continue;
        t.voters++;
        t.heard += s->id == newcomer || is_there(e, s->id);
    }
    return t;
}

void member_count_after(struct engine *e, const struct raft_configuration *c, raft_node_id newcomer,
                        struct service_member_answer *a)
{
    const struct tally t = tally_of(e, c, true, newcomer);

    a->voters_after = t.voters;
    a->heard_after = t.heard;
}

/* The voters that c has at once must be heard enough (MEMBER-8). */
bool member_may_lose(struct engine *e, const struct raft_configuration *c, bool force,
                     struct service_member_answer *a)
{
    const struct tally t = tally_of(e, c, false, 0);

    if (t.voters == 0)
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "no voter would be left");
    else if (!force && t.heard < t.voters / 2 + 1)
        member_refuse(
            a, WIRE_ERROR_PRECONDITION_FAILED,
            "no quorum, %u more must be heard: of the %u voters that would be left %u are, and "
            "%u are needed; bring back who is down first, or force it",
            t.voters / 2 + 1 - t.heard, t.voters, t.heard, t.voters / 2 + 1);
    return a->error == WIRE_ERROR_NONE;
}

/* ---- a change ---- */

void member_change(struct engine *e, struct raft_configuration *c, const struct wire_member *q,
                   struct service_member_answer *a)
{
    int rc;

    member_count_after(e, c, 0, a);
    if (!member_may_lose(e, c, q->force, a) || q->dry_run)
        return;
    rc = member_append(e, c, q->force);
    switch (rc) {
    case 0:
        a->configuration_index = raft_get_configuration_index(engine_raft(e));
        break;
    case RAFT_E_NOT_LEADER:
        a->error = WIRE_ERROR_NOT_LEADER;
        break;
    case RAFT_E_SELF:
        member_refuse(a, WIRE_ERROR_BUSY, "the leader hands over first: ask again");
        break;
    case RAFT_E_GATED:
    case RAFT_E_BUSY:
    case RAFT_E_CHANGING:
        member_refuse(a, WIRE_ERROR_BUSY, "%s: ask again", raft_error_text(rc));
        break;
    default:
        member_refuse(a, rc < 0 ? WIRE_ERROR_INTERNAL : WIRE_ERROR_PRECONDITION_FAILED, "%s",
                      rc < 0 ? strerror(-rc) : raft_error_text(rc));
        break;
    }
}

/* Of founders the configuration says nothing before the first change. */
const char *member_address(const struct engine *e, const struct raft_server *s)
{
    const char *addr = s->peer_addr;

    if (addr[0] == '\0' && e->ops.peer_addr != NULL)
        addr = e->ops.peer_addr(e->ops.ctx, s->id);
    return addr != NULL ? addr : "";
}

const struct raft_server *member_who_has(const struct engine *e, struct wire_slice addr)
{
    const struct raft_configuration *c = members_in_force(e);

    for (unsigned i = 0; i < c->n; i++)
        if (member_is_text(addr, member_address(e, &c->servers[i])))
            return &c->servers[i];
    return NULL;
}

/* The leader does not leave by itself: somebody else leads, and is asked then. */
static void hand_over_first(struct engine *e, struct service_member_answer *a)
{
    if (replica_transfer(e->replica, 0, engine_now_us(e)) == 0)
        member_refuse(a, WIRE_ERROR_BUSY, "it leads, and hands over first: ask again");
    else
        member_refuse(a, WIRE_ERROR_BUSY,
                      "it leads, and there is nobody to hand over to now: ask again");
}

static void leave(struct engine *e, struct raft_configuration *c, const struct wire_member *q,
                  raft_node_id id, struct service_member_answer *a)
{
    const bool was_voter = raft_configuration_get(members_in_force(e), id)->role == RAFT_VOTER;

    if (was_voter && raft_configuration_n_voters(members_in_force(e)) == 1) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "it is the last voter");
        return;
    }
    if (id != e->id || q->dry_run) {
        member_change(e, c, q, a);
        return;
    }
    member_count_after(e, c, 0, a);
    if (member_may_lose(e, c, q->force, a))
        hand_over_first(e, a);
}

static void set_addr(struct engine *e, struct raft_configuration *c, const struct wire_member *q,
                     struct raft_server *s, struct service_member_answer *a)
{
    const struct raft_server *has_it = member_who_has(e, q->peer_addr);

    if (has_it != NULL && has_it->id != s->id) {
        member_refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "that is the address of '%s'",
                      has_it->name);
        return;
    }
    /* An address changes, and nothing else: the role stays (MEMBER-2). */
    member_take_text(s->peer_addr, sizeof(s->peer_addr), q->peer_addr);
    member_take_text(s->client_addr, sizeof(s->client_addr), q->client_addr);
    member_change(e, c, q, a);
}

void member_one_entry(struct engine *e, enum wire_request_type verb, const struct wire_member *q,
                      raft_node_id id, struct service_member_answer *a)
{
    struct raft_configuration c = *members_in_force(e);
    struct raft_server *s = member_server(&c, id);

    switch ((int)verb) {
    case WIRE_REQ_MEMBER_REMOVE:
        (void)raft_configuration_remove(&c, id, member_next_index(e));
        leave(e, &c, q, id, a);
        break;
    case WIRE_REQ_MEMBER_PROMOTE:
        s->promote = true; /* when it has caught up */
        member_change(e, &c, q, a);
        if (a->error == WIRE_ERROR_NONE && !q->dry_run)
            member_begin_catchup(e, id); /* its time begins now */
        break;
    case WIRE_REQ_MEMBER_DEMOTE:
        s->role = RAFT_LEARNER;
        s->promote = false;
        s->patience_ms = 0;
        s->replaces = 0;
        leave(e, &c, q, id, a);
        break;
    default:
        set_addr(e, &c, q, s, a);
        break;
    }
}
