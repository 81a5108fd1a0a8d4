/* How often one peer may be written about.
 *
 * For: lines that a peer brings about by coming and going: a few in ten seconds for each, the rest
 * is counted, so that a link which flaps a hundred times a second cannot fill a disk with its log,
 * nor drown what is said of the others.
 * Not for: strangers, who have no number of their own (node_int.h, refused_limit).
 * Units: microseconds.
 * Ownership: zeroed by the owner.
 * Errors: none; a peer beyond RAFT_SERVERS_MAX shares the last one's limit.
 * Thread: one.
 * Source: CLIENT-7's kin: what others bring about is bounded in the log. */
#ifndef RIDD_NODE_PEER_LINES_H
#define RIDD_NODE_PEER_LINES_H

#include "base/log.h"
#include "raft/types.h"

struct peer_lines {
    struct {
        raft_node_id id;
        struct log_limit limit;
    } peers[RAFT_SERVERS_MAX];
    unsigned n;
};
/* May this line go out? Then *ret_suppressed is how many did not since the last that did. */
bool peer_lines_ok(struct peer_lines *l, raft_node_id id, uint64_t now_us,
                   uint64_t *ret_suppressed);

#endif
