/* Lease reads: while the leader's lease is valid nobody else can have committed anything, so the
 * commit index is an anchor at once (LEASE-9).
 *
 * The clock is read after the request is in memory: one look serves all that came before it, and
 * none that comes after. A time that was read before the machine slept would find the lease of
 * yesterday valid. So a read waits in LOOK for the next ready, which looks once for all of them;
 * the two numbers in its anchor tell that its look came later than it.
 *
 * Without a lease it joins a round like any other read, and says so. */
#include <string.h>

#include "base/assert.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

static enum wire_error ask(struct replica *r, struct replica_request *q)
{
    rid_assert(q->stage == REPLICA_IDLE || q->stage == REPLICA_WAITING);
    q->anchor = (struct replica_anchor){.arrival_look = r->n_looks};
    r->dirty = true;
    replica_move(r, q, REPLICA_LOOK);
    return WIRE_ERROR_NONE;
}

/* The words are those of the core's status. */
static enum replica_fallback fallback_of(const struct replica *r, const struct replica_request *q)
{
    static const struct {
        const char *why;
        enum replica_fallback reason;
    } reasons[] = {{"off", REPLICA_FALLBACK_OFF},
                   {"version", REPLICA_FALLBACK_VERSION},
                   {"clocks", REPLICA_FALLBACK_CLOCKS},
                   {"handed over", REPLICA_FALLBACK_HANDED_OVER},
                   {"silent", REPLICA_FALLBACK_SILENT}};
    const char *why = raft_lease_why_not(r->raft);

    if (why == NULL && anchor_floor(r, q) > raft_get_commit_index(r->raft))
        return REPLICA_FALLBACK_OWN_WRITE;
    for (unsigned i = 0; why != NULL && i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (strcmp(why, reasons[i].why) == 0)
            return reasons[i].reason;
    return REPLICA_FALLBACK_NOT_READY;
}

static void ask_by_round(struct replica *r, struct replica_request *q)
{
    enum wire_error error = anchor_index.ask(r, q);

    r->stats.n_lease_fallbacks++;
    r->stats.n_fallbacks[fallback_of(r, q)]++;
    if (error != WIRE_ERROR_NONE)
        replica_fail(r, q, error, NULL);
}

/* The leadership was lost before anybody looked: as if it came now. */
static void wait_again(struct replica *r, struct replica_request *q)
{
    if (r->quiesced)
        replica_fail(r, q, WIRE_ERROR_CANCELLED, NULL);
    else
        replica_move(r, q, REPLICA_WAITING);
}

static void decide(struct replica *r, struct replica_request *q, uint64_t hold_us)
{
    raft_index index;

    if (!replica_can_serve(r)) {
        wait_again(r, q);
        return;
    }
    if (raft_lease(r->raft, anchor_floor(r, q), r->now_us, hold_us, &index) != 0) {
        ask_by_round(r, q);
        return;
    }
    rid_assert(r->n_looks > q->anchor.arrival_look);
    q->times.begun_us = r->now_us;
    q->anchor = (struct replica_anchor){.index = index,
                                        .proof = REPLICA_PROOF_LEASE,
                                        .by = r->id,
                                        .term = raft_get_term(r->raft),
                                        .look = r->n_looks,
                                        .arrival_look = q->anchor.arrival_look};
    anchor_confirmed(r, q);
}

static void prepare(struct replica *r)
{
    struct replica_request *q = replica_first(r, REPLICA_LOOK);
    uint64_t hold_us;

    if (q == NULL)
        return;
    hold_us = replica_look(r);
    r->n_looks++;
    /* What callbacks submit meanwhile came after the look, and waits for the next one. */
    for (; q != NULL && q->anchor.arrival_look < r->n_looks; q = replica_first(r, REPLICA_LOOK))
        decide(r, q, hold_us);
}

static void forget(struct replica *r, struct replica_request *q)
{
    anchor_index.forget(r, q);
}

/* The nearest of those that are heard, fit, and hold all of it. */
static raft_node_id nearest(const struct replica *r, raft_index index)
{
    const struct raft_peer_status *best = NULL;
    struct raft_status status;

    raft_get_status(r->raft, &status);
    for (unsigned i = 0; i < status.n_peers; i++) {
        const struct raft_peer_status *p = &status.peers[i];

        if (!p->connected || !p->heard || p->match_index < index)
            continue;
        if (p->fitness_said && p->fitness != RAFT_FIT)
            continue;
        if (best == NULL || p->srtt_us < best->srtt_us)
            best = p;
    }
    return best != NULL ? best->id : 0;
}

/* A round would make it wait here, which is what it is refused for: only a lease proves at once.
 * Nor is it sent away from its own earlier writes, of which some wait here yet (READ-58). */
bool replica_spare(struct replica *r, struct replica_session *session, raft_index *ret_index,
                   raft_node_id *ret_node)
{
    const struct replica_request q = {.session = session};
    uint64_t hold_us;

    if (!replica_can_serve(r) || session->n_waiting > 0)
        return false;
    hold_us = replica_look(r);
    if (raft_lease(r->raft, anchor_floor(r, &q), r->now_us, hold_us, ret_index) != 0)
        return false;
    *ret_node = nearest(r, *ret_index);
    return *ret_node != 0;
}

/* In a round they are lost and confirmed with the other reads there: anchor_index.c. */
const struct anchor_provider anchor_lease = {
    .use = ANCHOR_REACHED, .by_leader = true, .ask = ask, .forget = forget, .prepare = prepare};
