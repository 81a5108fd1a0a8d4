/* What the engine asks of its host: where messages and replies go, and nothing decided. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "maelstrom/maelstrom_int.h"
#include "maelstrom/message.h"

#include "base/banned.h"

/* ---- messages ---- */

static void dropped(struct maelstrom *m)
{
    uint64_t suppressed;

    m->n_dropped++;
    if (log_limit_ok(&m->drop_limit, m->now_us, &suppressed))
        log_event(LOG_WARNING, "message_dropped",
                  "why='the reader of standard output is slow' dropped=%llu action=repeat_later",
                  (unsigned long long)m->n_dropped);
}

static void send_msg(void *ctx, const struct raft_msg *msg)
{
    struct maelstrom *m = ctx;
    const struct member *to = maelstrom_member_of(m, msg->to);
    size_t before = m->out.len;
    int rc;

    if (to == NULL || m->ending)
        return;
    /* No room: the core repeats what matters. */
    if (maelstrom_out_pending(m) > PEER_OUT_BYTES_MAX) {
        dropped(m);
        return;
    }
    rc = buf_add_format(&m->out, "{\"src\": %s, \"dest\": %s, \"body\": ", m->self->json, to->json);
    if (rc == 0)
        rc = message_encode(msg, &m->out);
    if (rc == 0)
        rc = buf_add_str(&m->out, "}\n");
    if (rc != 0) {
        m->out.len = before;
        dropped(m);
    }
}

/* ---- clients ---- */

static struct buf *service_out(void *ctx, void *conn)
{
    (void)conn;
    return &((struct maelstrom *)ctx)->out;
}

static void service_hold(void *ctx, void *conn)
{
    struct client *c = conn;

    c->n_owed++;
    clients_update(ctx, c);
}

static void service_release(void *ctx, void *conn)
{
    struct client *c = conn;

    c->n_owed--;
    clients_update(ctx, c);
}

static uint64_t now_us(void *ctx)
{
    (void)ctx;
    return clock_mono_us(); /* it measures how long a request took, within one turn too */
}

static uint64_t suspended_us(void *ctx)
{
    return hold_clock_suspended_us(&((struct maelstrom *)ctx)->hold);
}

/* There are no links: a node that was heard lately is there. */
static bool peer_connected(void *ctx, raft_node_id id)
{
    const struct maelstrom *m = ctx;

    return replica_hears(engine_replica(m->engine), id, m->now_us);
}

static void service_status(void *ctx, struct wire_reply *w)
{
    const struct maelstrom *m = ctx;

    wire_reply_u64(w, "forwards", m->n_forwards);
    wire_reply_u64(w, "dropped", m->n_dropped);
}

/* Nothing that is in memory may leave any more; only the folder goes. */
static void end(void *ctx, const struct engine_end *why)
{
    maelstrom_exit(ctx, why->exit_code);
}

void glue_fill_engine_ops(struct maelstrom *m, struct engine_ops *ops)
{
    *ops = (struct engine_ops){.ctx = m,
                               .now_us = now_us,
                               .suspended_us = suspended_us,
                               .send = send_msg,
                               .end = end,
                               .invalid_action = "drop",
                               .out = service_out,
                               .hold = service_hold,
                               .release = service_release,
                               .peer_connected = peer_connected,
                               .status = service_status,
                               .init = init_handle};
}
