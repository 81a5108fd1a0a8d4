/* The leader's side of taking in a node: it is told, and asked again when its answer was lost. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/net_int.h"
#include "net/peer_net.h"

#include "base/banned.h"

static int on_reply(void *ctx, const struct wire_frame *frame)
{
    return wire_join_reply_decode(frame, ctx) == 0 ? 0 : -EPROTO;
}

static int tell(const struct peer_whom *whom, const struct wire_join *join, uint64_t deadline_us,
                const atomic_bool *stops, struct wire_join_reply *ret_reply)
{
    cleanup_buf struct buf out = BUF_INIT;
    const struct net_question q = {
        .out = &out, .on_reply = on_reply, .ctx = ret_reply, .stops = stops};
    int rc = wire_join_encode(join, &out);

    return err_trace(rc == 0 ? net_ask(whom, &q, deadline_us) : rc);
}

/* Nobody is there, which asking does not change; or nobody waits for the answer. */
static bool is_absent(int rc)
{
    return rc == -ECONNREFUSED || rc == -EHOSTUNREACH || rc == -ENETUNREACH || rc == -EINVAL ||
           rc == -ECANCELED;
}

/* A node that runs closes a connection that begins with so long a frame. Without the configuration
 * it is short, and such a node says who it is: the one that was wanted, which took all in before,
 * or another (MEMBER-22). */
int peer_join(const struct peer_whom *whom, const struct wire_join *join, unsigned timeout_ms,
              const atomic_bool *stops, struct wire_join_reply *ret_reply)
{
    const uint64_t deadline_us = clock_mono_us() + (uint64_t)timeout_ms * 1000u;
    struct wire_join question = *join;
    struct wire_join_reply reply = {0};
    char why[320];
    int rc;

    rc = tell(whom, join, deadline_us, stops, &reply);
    if (rc != 0 && !is_absent(rc) && join->config_len > 0) {
        (void)snprintf(why, sizeof(why), "%s", err_text());
        question.config = NULL;
        question.config_len = 0;
        /* Waiting, it has not been told. */
        if (tell(whom, &question, deadline_us, stops, &reply) != 0 ||
            (reply.refused == WIRE_JOIN_ACCEPTED && reply.incarnation == 0))
            return err_origin(err_say(rc, "%s", why));
        rc = 0;
    }
    if (rc != 0)
        return err_trace(rc);
    if (!wire_join_version_ok(reply.version_highest, reply.version_lowest)) {
        reply.refused = WIRE_JOIN_VERSION;
        reply.incarnation = 0;
    }
    *ret_reply = reply;
    return 0;
}
