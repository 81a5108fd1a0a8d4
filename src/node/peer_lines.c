/* A limit for each peer, made when it is first met. */
#include "node/peer_lines.h"

#include "base/banned.h"

bool peer_lines_ok(struct peer_lines *l, raft_node_id id, uint64_t now_us, uint64_t *ret_suppressed)
{
    unsigned i = 0;

    while (i < l->n && l->peers[i].id != id)
        i++;
    if (i == RAFT_SERVERS_MAX)
        i--;
    if (i == l->n) {
        l->peers[i].id = id;
        l->peers[i].limit =
            (struct log_limit){.window_us = PEER_LOG_WINDOW_US, .burst = PEER_LOG_BURST};
        l->n++;
    }
    return log_limit_ok(&l->peers[i].limit, now_us, ret_suppressed);
}
