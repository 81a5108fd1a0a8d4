/* The file of the state may be behind what was applied (STATE-17), and here is who sees to it that
 * it does not stay so: a state at rest is stored after a second, and whatever else looks into the
 * file or drops what it lacks asks for it. */
#include "base/err.h"
#include "engine/engine_int.h"

#include "base/banned.h"

/* False: there is no room, or the state is damaged, which is seen to, as is all else. */
static bool is_stored(struct engine *e, int rc)
{
    if (rc == 0)
        return true;
    if (rc == KV_E_FULL)
        return false;
    if (rc == KV_E_DAMAGED || rc == -EBADMSG)
        engine_state_damaged(e, err_text());
    else
        engine_fatal(e, rc, "cannot store what was applied");
    return false;
}

bool engine_flush(struct engine *e)
{
    return is_stored(e, e->state.flush != NULL ? e->state.flush(e->state.ctx) : 0);
}

bool engine_flush_to(struct engine *e, raft_index index)
{
    bool more = false;

    if (e->state.flush_step == NULL)
        return true;
    return is_stored(e, e->state.flush_step(e->state.ctx, index, &more)) && !more;
}

/* Also while it is written now and then: a second after the first entry that the file lacks. In
 * steps, one in a turn, so that whoever comes meanwhile is served. */
void engine_ahead_turn(struct engine *e, uint64_t now_us)
{
    bool more = false;

    if (e->state.is_ahead == NULL || !e->state.is_ahead(e->state.ctx)) {
        e->ahead_due_us = 0;
        e->ahead_to = 0;
        return;
    }
    if (e->ahead_due_us == 0)
        e->ahead_due_us = now_us + STATE_AHEAD_US;
    if (now_us < e->ahead_due_us)
        return;
    if (e->ahead_to == 0)
        e->ahead_to = e->state.last_applied(e->state.ctx).index;
    if (!is_stored(e, e->state.flush_step(e->state.ctx, e->ahead_to, &more)))
        e->ahead_due_us = now_us + SNAP_AGAIN_US;
    else if (!more)
        e->ahead_due_us = 0;
    if (!more)
        e->ahead_to = 0;
}
