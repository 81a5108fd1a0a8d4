/* The file of the state may be behind what was applied (STATE-17), and here is who sees to it that
 * it does not stay so: a state at rest is stored after a second, and whatever else looks into the
 * file or drops what it lacks asks for it. */
#include "base/err.h"
#include "engine/engine_int.h"

#include "base/banned.h"

bool engine_flush(struct engine *e)
{
    int rc = e->state.flush != NULL ? e->state.flush(e->state.ctx) : 0;

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

/* Also while it is written now and then: a second after the first entry that the file lacks. */
void engine_ahead_turn(struct engine *e, uint64_t now_us)
{
    if (e->state.is_ahead == NULL || !e->state.is_ahead(e->state.ctx)) {
        e->ahead_due_us = 0;
        return;
    }
    if (e->ahead_due_us == 0)
        e->ahead_due_us = now_us + STATE_AHEAD_US;
    if (now_us < e->ahead_due_us)
        return;
    e->ahead_due_us = engine_flush(e) ? 0 : now_us + SNAP_AGAIN_US;
}
