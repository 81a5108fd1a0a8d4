/* What held up a request that took long, from what is known of that time.
 *
 * Each thing that may have done so is weighed by how much of the leg it covers; the heaviest is
 * named, if it covers half. Whose acknowledgement made the quorum is no guess: without it nothing
 * was confirmed, and with an earlier one it would have been earlier. That others were slower still
 * does not matter, and is not told as a cause (SEE-3). */
#include "base/assert.h"
#include "raft/quorum.h"
#include "replica/replica_int.h"

#include "base/banned.h"

#define KIND(kind) (1u << (kind))
/* Whatever it waits for: while the loop does something else it does not get on. */
#define OF_LOOP (KIND(TRAIL_APPLYING) | KIND(TRAIL_LOOP) | KIND(TRAIL_STOOD))

struct weighing {
    const struct replica *r;
    const struct replica_case *c;
    struct replica_why *why;
    uint64_t weight; /* of what stands in *why */
};

static uint64_t length(const struct replica_case *c)
{
    return c->to_us > c->from_us ? c->to_us - c->from_us : 0;
}

/* It covers so much of the leg, and lasted so long: is that the heaviest? */
static bool weigh(struct weighing *w, enum replica_why_kind kind, uint64_t covers_us, uint64_t us)
{
    if (covers_us <= w->weight || covers_us < length(w->c) / 2 || covers_us == 0)
        return false;
    w->weight = covers_us;
    w->why->kind = kind;
    w->why->us = us;
    w->why->peer = 0;
    w->why->n = 0;
    w->why->bytes = 0;
    return true;
}

static const enum replica_why_kind why_of[TRAIL_KINDS] = {
    [TRAIL_APPLYING] = REPLICA_WHY_APPLYING, [TRAIL_LOOP] = REPLICA_WHY_LOOP,
    [TRAIL_STOOD] = REPLICA_WHY_STOOD,       [TRAIL_SYNC] = REPLICA_WHY_OWN_DISK,
    [TRAIL_SILENT] = REPLICA_WHY_SILENT,     [TRAIL_NO_LEADER] = REPLICA_WHY_NO_LEADER,
    [TRAIL_GATE] = REPLICA_WHY_GATE,         [TRAIL_TRANSFER] = REPLICA_WHY_TRANSFER,
    [TRAIL_PARKED] = REPLICA_WHY_PARKED,     [TRAIL_REBUILDING] = REPLICA_WHY_REBUILDING,
};

static void weigh_snags(struct weighing *w, unsigned kinds)
{
    const struct replica_case *c = w->c;
    struct trail_snag snag;
    uint64_t covers_us;

    if (!trail_worst(&w->r->trail, kinds, 0, c->from_us, c->to_us, &snag, &covers_us))
        return;
    if (!weigh(w, why_of[snag.kind], covers_us, snag.to_us - snag.from_us))
        return;
    w->why->peer = snag.peer;
    w->why->n = snag.n;
    w->why->bytes = snag.bytes;
}

/* ---- the quorum ---- */

/* This node heard nobody in most of that time, for its own sake. */
static bool was_deaf(const struct replica *r, uint64_t from_us, uint64_t to_us)
{
    struct trail_snag snag;
    uint64_t us;

    return trail_worst(&r->trail, OF_LOOP, 0, from_us, to_us, &snag, &us) &&
           us >= (to_us - from_us) / 2;
}

/* This peer's word was the one that was waited for, and came at that time. */
static void weigh_peer(struct weighing *w, const struct trail_ack *ack)
{
    const struct replica_case *c = w->c;
    const uint64_t until_us = ack->us < c->to_us ? ack->us : c->to_us;
    struct trail_snag snag;
    uint64_t covers_us;

    if (until_us <= c->from_us)
        return;
    /* In place of the plain word that it came late, where more is known. */
    if (ack->disk_us > 0) {
        covers_us = ack->disk_us < until_us - c->from_us ? ack->disk_us : until_us - c->from_us;
        if (weigh(w, REPLICA_WHY_PEER_DISK, covers_us, ack->disk_us))
            w->why->peer = ack->id;
    }
    if (trail_worst(&w->r->trail, KIND(TRAIL_SILENT), ack->id, c->from_us, until_us, &snag,
                    &covers_us) &&
        !was_deaf(w->r, snag.from_us, snag.to_us) &&
        weigh(w, REPLICA_WHY_SILENT, covers_us, snag.to_us - snag.from_us))
        w->why->peer = ack->id;
    if (w->why->kind == REPLICA_WHY_UNKNOWN &&
        weigh(w, REPLICA_WHY_PEERS, until_us - c->from_us, until_us - c->from_us))
        w->why->peer = ack->id;
}

static bool is_voter(const struct raft_configuration *conf, raft_node_id id)
{
    const struct raft_server *s = raft_configuration_get(conf, id);

    return s != NULL && s->role == RAFT_VOTER;
}

/* Whose acknowledgement of the round made it a quorum, this node's own being there from the
 * start; NULL: too few are known. */
static const struct trail_ack *decider_of(const struct replica *r, uint64_t round)
{
    const struct raft_configuration *conf = raft_get_configuration(r->raft);
    unsigned left = raft_quorum_size(conf);
    const struct trail_ack *last = NULL;
    uint64_t after_us = 0;

    if (left > 0 && is_voter(conf, r->id))
        left--;
    for (; left > 0; left--) {
        const struct trail_ack *next = NULL;

        for (unsigned i = 0; i < conf->n; i++) {
            const struct raft_server *s = &conf->servers[i];
            const struct trail_ack *ack;

            if (s->role != RAFT_VOTER || s->id == r->id)
                continue;
            ack = trail_round_ack(&r->trail, round, s->id);
            if (ack == NULL || (last != NULL && (ack->us < after_us ||
                                                 (ack->us == after_us && ack->id <= last->id))))
                continue;
            if (next == NULL || ack->us < next->us || (ack->us == next->us && ack->id < next->id))
                next = ack;
        }
        if (next == NULL)
            return NULL;
        last = next;
        after_us = next->us;
    }
    return last;
}

/* Whose word that it has stored the entry made it a quorum; NULL: too few are known. */
static const struct trail_ack *storer_of(const struct replica *r, raft_index index)
{
    const struct raft_configuration *conf = raft_get_configuration(r->raft);
    const struct trail_ack *acks[RAFT_SERVERS_MAX];
    const unsigned needed = raft_quorum_size(conf);
    unsigned n = 0;

    for (unsigned i = 0; i < conf->n; i++) {
        const struct trail_ack *ack = NULL;
        unsigned at = n;

        if (conf->servers[i].role == RAFT_VOTER)
            ack = trail_stored_ack(&r->trail, index, conf->servers[i].id);
        if (ack == NULL)
            continue;
        for (; at > 0 && acks[at - 1]->us > ack->us; at--)
            acks[at] = acks[at - 1];
        acks[at] = ack;
        n++;
    }
    return needed > 0 && n >= needed ? acks[needed - 1] : NULL;
}

/* A quorum held it already, or not for most of the time: only what came behind that it was held
 * back. */
static void weigh_held_back(struct weighing *w, const struct trail_mark *mark)
{
    const struct trail_ack *ack = storer_of(w->r, w->c->index);
    uint64_t since_us;

    if (ack == NULL || ack->us > mark->us)
        return;
    since_us = ack->us > w->c->from_us ? ack->us : w->c->from_us;
    (void)weigh(w, REPLICA_WHY_APPLYING, mark->us - since_us, mark->us - since_us);
    if (ack->id == w->r->id)
        weigh_snags(w, KIND(TRAIL_SYNC));
    else
        weigh_peer(w, ack);
}

/* An entry: whatever made it committed was the last thing that was missing. */
static void weigh_commit(struct weighing *w)
{
    const struct replica *r = w->r;
    const struct trail_mark *mark = NULL;

    if (w->c->index != 0)
        mark = trail_find(&r->trail.commits, w->c->index);
    if (mark == NULL || mark->us <= w->c->from_us || mark->us > w->c->to_us)
        return; /* it did not wait for that */
    if (mark->by == r->id) {
        weigh_snags(w, KIND(TRAIL_SYNC));
        (void)weigh(w, REPLICA_WHY_OWN_DISK,
                    mark->disk_us < length(w->c) ? mark->disk_us : length(w->c), mark->disk_us);
    } else if (mark->by != 0) {
        const struct trail_ack ack = {.id = mark->by, .us = mark->us, .disk_us = mark->disk_us};

        weigh_peer(w, &ack);
    } else {
        /* Held back behind what is applied (TIME-5), or by a gate, which has been weighed. */
        weigh_snags(w, KIND(TRAIL_PARKED));
        if (w->why->kind == REPLICA_WHY_UNKNOWN)
            weigh_held_back(w, mark);
    }
}

static void weigh_quorum(struct weighing *w)
{
    const struct replica_case *c = w->c;
    const struct trail_ack *decider = c->round != 0 ? decider_of(w->r, c->round) : NULL;

    weigh_snags(w, OF_LOOP | KIND(TRAIL_GATE) | KIND(TRAIL_NO_LEADER));
    if (decider != NULL && decider->us > c->from_us)
        weigh_peer(w, decider);
    /* A read whose round was answered long before waited for a write of its own connection. */
    if (c->round == 0 ||
        (decider != NULL && decider->us < c->to_us && c->to_us - decider->us > length(c) / 2))
        weigh_commit(w);
    /* It never came so far: that it waited for them is all that is known. */
    if (w->why->kind == REPLICA_WHY_UNKNOWN && c->failure != NULL && decider == NULL)
        (void)weigh(w, REPLICA_WHY_PEERS, length(c), length(c));
}

/* ---- the other legs ---- */

/* Its round opened when one of those before it had been answered. */
static void weigh_rounds(struct weighing *w)
{
    const struct replica_case *c = w->c;
    uint64_t until_us = c->from_us;

    for (unsigned i = 0; i < TRAIL_ROUNDS; i++) {
        const struct trail_round *before = &w->r->trail.rounds[i];
        const struct trail_ack *decider = NULL;

        if (before->round != 0 && before->round < c->round)
            decider = decider_of(w->r, before->round);
        if (decider != NULL && decider->us > until_us && decider->us <= c->to_us)
            until_us = decider->us;
    }
    (void)weigh(w, REPLICA_WHY_ROUNDS, until_us - c->from_us, until_us - c->from_us);
}

static void weigh_queue(struct weighing *w)
{
    weigh_snags(w, OF_LOOP | KIND(TRAIL_NO_LEADER) | KIND(TRAIL_GATE) | KIND(TRAIL_TRANSFER) |
                       KIND(TRAIL_REBUILDING));
    if (w->why->kind == REPLICA_WHY_UNKNOWN && w->c->round != 0)
        weigh_rounds(w);
}

/* Until the state held it: it was not here, or not known to be committed; or it was not applied. */
static void weigh_apply(struct weighing *w)
{
    const struct replica_case *c = w->c;
    const struct trail *t = &w->r->trail;
    const struct trail_mark *before = trail_before(&t->applies, c->from_us);
    const struct trail_mark *committed = NULL;
    const struct trail_mark *after = NULL;

    if (c->index != 0) {
        committed = trail_find(&t->commits, c->index);
        after = trail_find(&t->applies, c->index);
    }
    weigh_snags(w,
                KIND(TRAIL_LOOP) | KIND(TRAIL_STOOD) | KIND(TRAIL_PARKED) | KIND(TRAIL_REBUILDING));
    if (after != NULL && before != NULL && after->busy_us - before->busy_us >= length(c) / 2 &&
        weigh(w, REPLICA_WHY_APPLYING, after->busy_us - before->busy_us, length(c))) {
        w->why->n = after->index - before->index;
        w->why->bytes = after->bytes - before->bytes;
    }
    if (committed != NULL && committed->us > c->from_us &&
        raft_get_role(w->r->raft) != RAFT_LEADER) {
        const uint64_t us = committed->us - c->from_us;

        weigh_snags(w, KIND(TRAIL_SYNC) | KIND(TRAIL_NO_LEADER));
        if (w->why->kind == REPLICA_WHY_UNKNOWN && weigh(w, REPLICA_WHY_ENTRIES, us, us))
            w->why->peer = raft_get_leader(w->r->raft);
    }
    /* It was applied in many small runs, with other work in between. */
    if (w->why->kind == REPLICA_WHY_UNKNOWN && after != NULL && before != NULL &&
        after->index > before->index && (committed == NULL || committed->us <= c->from_us) &&
        weigh(w, REPLICA_WHY_APPLYING, length(c), length(c))) {
        w->why->n = after->index - before->index;
        w->why->bytes = after->bytes - before->bytes;
    }
}

/* ---- who was silent ---- */

static void add_silent(struct replica_why *why, raft_node_id id, uint64_t us)
{
    if (why->n_silent < REPLICA_WHY_SILENT_MAX) {
        why->silent[why->n_silent].id = id;
        why->silent[why->n_silent++].us = us;
    }
}

/* Now, or until then. */
static void find_silent(const struct replica *r, const struct replica_case *c,
                        struct replica_why *why)
{
    const struct raft_configuration *conf = raft_get_configuration(r->raft);

    for (unsigned i = 0; i < conf->n; i++) {
        const raft_node_id id = conf->servers[i].id;
        uint64_t heard_us = 0;
        struct trail_snag snag;
        uint64_t us;

        if (conf->servers[i].role != RAFT_VOTER || id == r->id)
            continue;
        for (unsigned k = 0; k < r->n_heard; k++)
            if (r->heard[k].id == id)
                heard_us = r->heard[k].heard_us;
        if (heard_us == 0)
            add_silent(why, id, 0);
        else if (r->now_us - heard_us > r->silent_us && !was_deaf(r, heard_us, r->now_us))
            add_silent(why, id, r->now_us - heard_us);
        else if (trail_worst(&r->trail, KIND(TRAIL_SILENT), id, c->from_us, c->to_us, &snag, &us) &&
                 !was_deaf(r, snag.from_us, snag.to_us))
            add_silent(why, id, snag.to_us - snag.from_us);
    }
}

/* ---- failures ---- */

/* Why it was not answered in time the failure says, of the moment when it failed. */
static bool explain_failure(const struct replica *r, const struct replica_case *c,
                            struct replica_why *why)
{
    const struct replica_failure *f = c->failure;

    switch (f->cause) {
    case REPLICA_CAUSE_PEERS_SILENT:
        why->kind = REPLICA_WHY_SILENT;
        break;
    case REPLICA_CAUSE_OWN_DISK:
        why->kind = REPLICA_WHY_OWN_DISK;
        why->us = f->sync_us;
        return true;
    case REPLICA_CAUSE_PEERS_DISKS:
        why->kind = REPLICA_WHY_PEERS_DISKS;
        break;
    case REPLICA_CAUSE_NO_LEADER:
        why->kind = REPLICA_WHY_NO_LEADER;
        why->us = f->no_leader_us;
        return true;
    case REPLICA_CAUSE_GATE:
        why->kind = REPLICA_WHY_GATE;
        break;
    case REPLICA_CAUSE_NONE:
        break;
    }
    if (f->error == WIRE_ERROR_TERM_CHANGED || f->error == WIRE_ERROR_ROLE_CHANGED)
        why->kind = REPLICA_WHY_LOST;
    why->us = length(c);
    (void)r;
    return why->kind != REPLICA_WHY_UNKNOWN;
}

void replica_explain(const struct replica *r, const struct replica_case *c, struct replica_why *ret)
{
    const struct raft_configuration *conf = raft_get_configuration(r->raft);
    struct weighing w = {.r = r, .c = c, .why = ret};

    *ret = (struct replica_why){.needed = raft_quorum_size(conf)};
    for (unsigned i = 0; i < conf->n; i++)
        ret->voters += conf->servers[i].role == RAFT_VOTER;
    if (c->leg == REPLICA_LEG_QUORUM || c->leg == REPLICA_LEG_QUEUE)
        find_silent(r, c, ret);
    if (c->failure != NULL && explain_failure(r, c, ret))
        return;
    switch (c->leg) {
    case REPLICA_LEG_QUEUE:
        weigh_queue(&w);
        break;
    case REPLICA_LEG_QUORUM:
        if (c->kind == REPLICA_READ_FOLLOWER && raft_get_role(r->raft) != RAFT_LEADER) {
            weigh_snags(&w, OF_LOOP | KIND(TRAIL_NO_LEADER));
            if (ret->kind == REPLICA_WHY_UNKNOWN &&
                weigh(&w, REPLICA_WHY_LEADER, length(c), length(c)))
                ret->peer = raft_get_leader(r->raft);
            break;
        }
        weigh_quorum(&w);
        break;
    case REPLICA_LEG_APPLY:
        weigh_apply(&w);
        break;
    case REPLICA_LEG_EXECUTE:
        weigh_snags(&w, OF_LOOP);
        break;
    }
}
