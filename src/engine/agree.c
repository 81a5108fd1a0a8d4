/* Whether the state of this node is to be believed, and what follows.
 *
 * Damage that is found here, by whoever finds it, makes the node unfit: others lead, nothing is
 * answered from the state, and it is made again from the log while the node votes and stores. A
 * damaged state beside a good log is never the end of a node (FIT-7, STATE-14). */
#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "engine/engine_int.h"

#include "base/banned.h"

/* ---- fitness ---- */

/* The worse of the two things that can be said of a state. */
static enum raft_fitness fitness_of(const struct engine *e)
{
    if (replica_rebuilding(e->replica) || e->differ.is_wrong)
        return RAFT_UNFIT;
    if (e->agree.is_parked || replica_is_parked(e->replica) || e->snap.receiving.is_full)
        return RAFT_PARKED;
    return RAFT_FIT;
}

static void settle_fitness(struct engine *e, uint64_t now_us)
{
    enum raft_fitness fitness = fitness_of(e);

    if (fitness != raft_get_fitness(engine_raft(e)))
        replica_set_fit(e->replica, fitness, now_us);
}

void engine_set_parked(struct engine *e, bool is_parked)
{
    e->agree.is_parked = is_parked;
    if (e->replica != NULL)
        settle_fitness(e, engine_now_us(e));
}

void engine_agree_turn(struct engine *e, uint64_t now_us)
{
    bool is_rebuilding = replica_rebuilding(e->replica);

    if (e->agree.was_rebuilding && !is_rebuilding && !e->agree.catches_up && engine_logs(e))
        log_event(LOG_WARNING, "state_rebuilt", "applied_index=%llu",
                  (unsigned long long)replica_last_applied(e->replica));
    e->agree.was_rebuilding = is_rebuilding;
    e->agree.catches_up = e->agree.catches_up && is_rebuilding;
    settle_fitness(e, now_us);
}

/* ---- damage ---- */

static void say_damaged(const struct engine *e, const char *why)
{
    if (engine_logs(e))
        log_event(LOG_ERROR, "state_damaged", "why='%s' action=rebuild", why);
}

raft_index engine_shown_index(const struct engine *e)
{
    return e->kv != NULL ? kv_shown_index(e->kv) : 0;
}

raft_index engine_was_applied(const struct engine *e)
{
    const raft_index applied = e->state.last_applied(e->state.ctx).index;
    const raft_index witness = e->kv != NULL ? kv_witness_index(e->kv) : 0;

    return witness > applied ? witness : applied;
}

/* An earlier process set one aside, and ended before this one held what that one held. It is as
 * good as its log, and as far from what was shown as on the day it was begun (FIT-6). */
static bool is_half_made(const struct engine *e)
{
    return e->state.last_applied(e->state.ctx).index < engine_shown_index(e);
}

/* It was set aside when it was opened, and this one does not hold what that one held. */
void engine_agree_begin(struct engine *e)
{
    e->agree.is_set_aside |= is_half_made(e);
    /* What the last process had applied and not stored is shown by nobody before it is applied
     * again, which takes nobody else: else a local read would go back. */
    e->agree.catches_up =
        !e->agree.is_set_aside && engine_was_applied(e) > e->state.last_applied(e->state.ctx).index;
    if (!e->agree.is_set_aside && !e->agree.catches_up)
        return;
    replica_begin_rebuilding(e->replica);
    e->agree.was_rebuilding = true;
}

/* So that it is not believed either when the process ends before it is emptied. */
static void distrust(struct engine *e)
{
    e->agree.is_set_aside = false;
    e->agree.catches_up = false;
    if (e->kv != NULL && kv_distrust(e->kv) != 0 && engine_logs(e))
        log_event(LOG_WARNING, "state_not_distrusted", "error=\"%s\"", err_text());
}

void engine_state_damaged(struct engine *e, const char *why)
{
    if (e->state.rebuild == NULL) {
        engine_fatal(e, KV_E_DAMAGED, why);
        return;
    }
    say_damaged(e, why);
    distrust(e);
    replica_rebuild(e->replica, engine_now_us(e));
}

/* Of what the functions of the state say only this is about its file: -EBADMSG is LMDB's word. What
 * the disk does not give, or has no room for, another file would not get either. */
bool engine_state_is_damaged(void *ctx, int rc, const char *what)
{
    struct engine *e = ctx;

    if (rc != KV_E_DAMAGED && rc != -EBADMSG)
        return false;
    say_damaged(e, err_text()[0] != '\0' ? err_text() : what);
    distrust(e);
    return true;
}

int engine_state_rebuild(void *ctx, raft_index *ret_applied)
{
    return engine_restore(ctx, ret_applied);
}

/* ---- looking ---- */

const char *engine_verdict(const struct engine *e)
{
    const struct differ *d = &e->differ;

    if (e->replica == NULL)
        return "good";
    if (replica_rebuilding(e->replica))
        return e->agree.is_set_aside || e->agree.catches_up ? "rebuilding" : "damaged";
    if (d->differs || d->is_wrong)
        return "differs";
    return d->check != 0 ? "checking" : "good";
}

uint64_t engine_n_alarms(const struct engine *e)
{
    return e->differ.n_alarms;
}
