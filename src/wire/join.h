/* How a leader takes in a node that waits to be added: two frames on a connection of their own.
 *
 * For: what the leader tells a node started with --join or --rejoin (`ridctl member add`), and what
 * that answers. A JOIN without a configuration only asks: who are you?
 * Not for: links, on which neither frame is ever sent; deciding anything.
 * Units: bytes.
 * Ownership: a decoded JOIN borrows its configuration from the frame, all else is in the struct.
 * Errors: WIRE_FRAME_E_TYPE, WIRE_FRAME_E_PAYLOAD or -ENOMEM; *ret and the buffer are unchanged
 * then.
 * Thread: pure, any thread.
 * Source: MEMBER-20. */
#ifndef RIDD_WIRE_JOIN_H
#define RIDD_WIRE_JOIN_H

#include "wire/frame.h"

#define WIRE_FRAME_JOIN       35u
#define WIRE_FRAME_JOIN_REPLY 36u

struct wire_join {
    uint16_t version_highest; /* of the protocol, as in a hello */
    uint16_t version_lowest;
    unsigned char founding_id[16]; /* what hellos carry */
    unsigned char cluster_id[16];  /* the random one, which nobody is shown; zeros: there is none */
    raft_node_id from;
    char cluster_name[NODE_NAME_BYTES_MAX + 1];
    char node_name[NODE_NAME_BYTES_MAX + 1]; /* the node that is wanted */
    /* The bytes of a CONFIG entry, at most JOIN_CONFIG_BYTES_MAX, not looked into here. None: it is
     * a question, and nothing is done. */
    const unsigned char *config;
    size_t config_len;
};

/* NOT_WAITING: a node runs there that is not this one of this cluster. HAS_DATA: it has just been
 * added by somebody else. WRITE: its disk failed, or is full. */
/* clang-format off */
#define WIRE_JOIN_REFUSALS(X)                                                                    \
    X(WIRE_JOIN_NOT_WAITING,   1, "a node runs there that does not wait to be added")            \
    X(WIRE_JOIN_CLUSTER_NAME,  2, "it waits for another cluster")                                \
    X(WIRE_JOIN_NODE_NAME,     3, "another node waits there")                                    \
    X(WIRE_JOIN_VERSION,       4, "it is of another version")                                    \
    X(WIRE_JOIN_HAS_DATA,      5, "it belongs to a cluster already")                             \
    X(WIRE_JOIN_BUSY,          6, "it is busy")                                                  \
    X(WIRE_JOIN_WRITE,         7, "it cannot write its data directory")
/* clang-format on */
#define WIRE_JOIN_REFUSAL_ENUM(name, number, text) name = number,
enum wire_join_refusal { WIRE_JOIN_ACCEPTED = 0, WIRE_JOIN_REFUSALS(WIRE_JOIN_REFUSAL_ENUM) };
const char *wire_join_refusal_text(unsigned refused);

struct wire_join_reply {
    uint16_t version_highest;
    uint16_t version_lowest;
    uint8_t refused; /* enum wire_join_refusal, or a reason of a later version */
    /* Of the node, which is durable; its id is raft_member_id(name, incarnation). 0: it was
     * refused, or only asked and is still waiting. An incarnation tells a member from a stranger
     * (PEER-7). */
    uint64_t incarnation;
    /* For the operator; printable. What is not, or has no room, is left out when it is written. */
    char text[JOIN_TEXT_BYTES_MAX + 1];
};

/* Names must be names, and config_len within its bound. Appends a whole frame. */
int wire_join_encode(const struct wire_join *j, struct buf *buf);
/* Whether the versions have one in common is the caller's to look at: one of another version must
 * be understood well enough to be refused in words. */
int wire_join_decode(const struct wire_frame *frame, struct wire_join *ret);
int wire_join_reply_encode(const struct wire_join_reply *r, struct buf *buf);
int wire_join_reply_decode(const struct wire_frame *frame, struct wire_join_reply *ret);
/* Do they speak one version of the protocol? */
bool wire_join_version_ok(uint16_t version_highest, uint16_t version_lowest);

#endif
