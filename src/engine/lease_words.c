/* What is told of leases: fields of status, lines of the log, and which two clocks run apart. */
#include "engine/engine_int.h"
#include "wire/reply.h"

#include "base/banned.h"

/* ---- status ---- */

/* Why a leader that is to take a lease has none, in a word of the core; who is waited for, if that
 * is why. */
static void status_why_not(const struct engine *e, struct wire_reply *w,
                           const struct raft_status *st)
{
    const char *why = NULL;
    const struct raft_server *s =
        st->lease_us != 0 && st->role == RAFT_LEADER &&
                raft_get_configuration(engine_raft(e))->version < GATES_VERSION
            ? engine_leases_wait_for(e, &why)
            : NULL;

    wire_reply_str(w, "why_not", st->lease_why_not);
    if (s == NULL) {
        wire_reply_null(w, "waits_for");
        return;
    }
    wire_reply_open_object(w, "waits_for");
    wire_reply_str(w, "id", s->name);
    wire_reply_str(w, "why", why);
    wire_reply_close_object(w);
}

/* Those that were measured; of a leader, which all others answer. */
static void status_clocks(const struct engine *e, struct wire_reply *w,
                          const struct raft_status *st)
{
    wire_reply_open_array(w, "clocks");
    for (unsigned i = 0; i < st->n_peers; i++) {
        const struct raft_peer_status *p = &st->peers[i];

        if (!p->drift_known)
            continue;
        wire_reply_open_object(w, NULL);
        wire_reply_str(w, "id", engine_name_of(e, p->id));
        wire_reply_i64(w, "ppm", p->drift_ppm);
        wire_reply_u64(w, "error_ppm", p->drift_error_ppm);
        wire_reply_close_object(w);
    }
    wire_reply_close_array(w);
}

void engine_leases_tell(const struct engine *e, struct wire_reply *w, const struct raft_status *st)
{
    wire_reply_open_object(w, "leases");
    wire_reply_u64(w, "lease_ms", st->lease_us / 1000u);
    wire_reply_bool(w, "valid", st->lease_valid);
    wire_reply_ms(w, "left_ms", st->lease_left_us);
    status_why_not(e, w, st);
    wire_reply_ms(w, "gate_left_ms", st->gate_left_us);
    wire_reply_ms(w, "promised_ms", st->promise_left_us);
    wire_reply_u64(w, "reads", st->n_lease_reads);
    wire_reply_u64(w, "stood_still", e->leases.n_disrupted);
    wire_reply_u64(w, "asks_sent", st->n_asks_sent);
    wire_reply_u64(w, "asks_by_ack", st->n_asks_by_ack);
    wire_reply_u64(w, "asks_by_lease", st->n_asks_by_lease);
    wire_reply_u64(w, "asks_by_round", st->n_asks_by_round);
    status_clocks(e, w, st);
    wire_reply_close_object(w);
}

void engine_leases_status(const struct engine *e, struct wire_reply *w)
{
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    engine_leases_tell(e, w, &st);
}

/* ---- clocks that run apart ---- */

static const struct raft_peer_status *peer_that_drifts(const struct raft_status *st)
{
    for (unsigned i = 0; st->drift_peer != 0 && i < st->n_peers; i++)
        if (st->peers[i].id == st->drift_peer)
            return &st->peers[i];
    return NULL;
}

/* Which of the two is wrong nobody here can say (LEASE-13). */
bool engine_clocks_warning(const struct engine *e, const struct raft_status *st, char *ret_text,
                           size_t size)
{
    const struct raft_peer_status *p = peer_that_drifts(st);

    if (p == NULL)
        return false;
    (void)snprintf(ret_text, size,
                   "the clocks of %s and %s run apart by %d ppm (+- %u), more than %u: no lease is "
                   "taken until they agree; see CLOCKS in ridd(8)",
                   e->node_name, engine_name_of(e, p->id), p->drift_ppm, p->drift_error_ppm,
                   CLOCK_DRIFT_PPM_MAX);
    return true;
}

bool engine_warning(const struct engine *e, char *ret_text, size_t size)
{
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    return engine_clocks_warning(e, &st, ret_text, size);
}

bool engine_trouble(const struct engine *e, char *ret_text, size_t size)
{
    const char *full = engine_what_is_full(&e->space);

    if (full != NULL) {
        (void)snprintf(ret_text, size, "no room (%s): no writes are taken", full);
        return true;
    }
    if (e->differ.differs) {
        (void)snprintf(ret_text, size, "its state differs from another node's");
        return true;
    }
    if (e->disk.said_slow) {
        (void)snprintf(ret_text, size, "the disk is slow");
        return true;
    }
    return engine_warning(e, ret_text, size);
}

/* ---- the log ---- */

static void say_gate(const struct engine *e, const struct raft_status *st)
{
    if (engine_logs(e) && st->gate_left_us != 0)
        log_event(LOG_INFO, "gate_waits",
                  "ms=%llu why='promises to the leader before it run so long: nothing is committed "
                  "until then'",
                  (unsigned long long)(st->gate_left_us + 999u) / 1000u);
}

static void say_lease(struct engine *e, const struct raft_status *st, uint64_t now_us)
{
    uint64_t suppressed;

    if (st->lease_valid == e->leases.said_valid)
        return;
    e->leases.said_valid = st->lease_valid;
    if (!engine_logs(e) || !log_limit_ok(&e->leases.taken_limit, now_us, &suppressed))
        return;
    if (st->lease_valid)
        log_event(LOG_INFO, "lease_taken", "ms=%llu suppressed=%llu",
                  (unsigned long long)st->lease_us / 1000u, (unsigned long long)suppressed);
    else if (st->role == RAFT_LEADER) /* else role_changed says it */
        log_event(LOG_INFO, "lease_lost", "why='%s' suppressed=%llu",
                  st->lease_why_not != NULL ? st->lease_why_not : "lease_ms is 0",
                  (unsigned long long)suppressed);
}

/* When it begins, when it is another one, and when it has ended (LEASE-13). */
static void say_drift(struct engine *e, const struct raft_status *st)
{
    const struct raft_peer_status *p = peer_that_drifts(st);
    const raft_node_id was = e->leases.said_drift;

    if (st->drift_peer == was)
        return;
    e->leases.said_drift = st->drift_peer;
    if (!engine_logs(e))
        return;
    if (p != NULL)
        log_event(LOG_WARNING, "clocks_drift",
                  "here=%s peer=%s ppm=%d error_ppm=%u most_ppm=%u action=no_lease", e->node_name,
                  engine_name_of(e, p->id), p->drift_ppm, p->drift_error_ppm, CLOCK_DRIFT_PPM_MAX);
    else if (st->role == RAFT_LEADER)
        log_event(LOG_INFO, "clocks_agree", "here=%s peer=%s", e->node_name,
                  engine_name_of(e, was));
}

void engine_leases_say(struct engine *e, const struct raft_status *st, uint64_t now_us)
{
    if (st->role == RAFT_LEADER && st->current_term != e->leases.said_term) {
        e->leases.said_term = st->current_term;
        say_gate(e, st);
    }
    say_lease(e, st, now_us);
    say_drift(e, st);
}

static void look(struct engine *e, uint64_t now_us)
{
    struct raft_status st;

    e->leases.say_us = now_us + LEASE_LOOK_US;
    raft_get_status(engine_raft(e), &st);
    engine_leases_say(e, &st, now_us);
}

/* As soon as this node leads, since its gate may be short; then now and then. */
void engine_leases_look(struct engine *e, uint64_t now_us)
{
    const struct raft *raft = engine_raft(e);
    const bool has_begun =
        raft_get_role(raft) == RAFT_LEADER && raft_get_term(raft) != e->leases.said_term;

    if (has_begun || now_us >= e->leases.say_us)
        look(e, now_us);
}
