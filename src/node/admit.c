/* Who is let in: the one thing that the daemon decides about its peers.
 *
 * Cluster, receiver and version were compared by the port, which answers probes by itself. Left are
 * a node that is no member, and one that is not who it was: a lost disk, here or there, has
 * forgotten votes and entries that others count on. */
#include <unistd.h>

#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

/* An incarnation is recorded before its node is let in (IDENTITY-2). When it cannot be, whether it
 * is on the disk is not known, and after a restart another peer could come under that name: the
 * process ends at once, as after any write that failed. */
static enum wire_refusal record(struct node *n, const struct raft_server *server,
                                const struct wire_hello *h)
{
    int rc = identity_peer_check_and_record(n->dir, h->from, server->name, h->incarnation);

    if (rc < 0)
        _exit(engine_log_end(rc, "cannot record the incarnation of a peer"));
    if (rc == IDENTITY_PEER_RECORDED)
        log_event(LOG_INFO, "peer_recorded", "peer=%s incarnation=%016llx", server->name,
                  (unsigned long long)h->incarnation);
    if (rc == IDENTITY_PEER_FULL)
        return WIRE_REFUSED_BUSY;
    return rc == IDENTITY_PEER_REFUSED ? WIRE_REFUSED_INCARNATION : WIRE_REFUSED_NOT;
}

enum wire_refusal node_admit(void *ctx, const struct wire_hello *h)
{
    struct node *n = ctx;
    const struct raft_server *server =
        raft_configuration_get(raft_get_configuration(engine_raft(n->engine)), h->from);
    enum wire_refusal refusal;

    if (server == NULL)
        return WIRE_REFUSED_FROM;
    if (h->known_incarnation != 0 && h->known_incarnation != n->incarnation)
        return WIRE_REFUSED_OURSELVES;
    refusal = record(n, server, h);
    if (refusal == WIRE_REFUSED_NOT)
        node_heard_about(n, h);
    return refusal;
}
