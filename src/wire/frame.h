/* Peer frames: bytes to messages and back.
 *
 * For: what travels between two nodes, in both directions. docs/PEERS.md has the bytes, the
 * handshake and what a later version may change; the heads of frame.c and hello.c have the
 * payloads.
 *
 * Not for: clients (request.h, reply.h), the disk (src/store has its own format), I/O.
 *
 * A frame is, little endian: u32 length (of what follows the length word), u32 crc32c (of
 * everything behind it), u8 type, u8 flags (0), u16 group, payload. Types below 32 are enum
 * raft_msg_type, those from 32 on are the handshake (and join.h). Decoding is total: any bytes give
 * a message or WIRE_FRAME_E_*; nothing is allocated before a length was compared with its bound;
 * what a later version added at the end of a payload is not looked at.
 *
 * Units: lengths in bytes, terms and indexes as in raft/types.h.
 *
 * Ownership: a decoded message borrows its payloads from the frame, which borrows the bytes that it
 * was cut from; its entries array comes from the given arena. Encoders append to a buffer of the
 * caller.
 *
 * Errors: WIRE_FRAME_E_* or -ENOMEM; *ret and the buffer are unchanged then.
 *
 * Thread: pure, any thread.
 *
 * Source: PEER-1, WIRE-1, WIRE-2. */
#ifndef RIDD_WIRE_FRAME_H
#define RIDD_WIRE_FRAME_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/outcome.h"
#include "raft/types.h"

/* SHORT: more bytes are needed, nothing was consumed. LENGTH: above FRAME_BYTES_MAX or below the
 * header. PAYLOAD: it ends too early, a field is out of range, entries are not contiguous. */
#define WIRE_FRAME_ERRORS(X)                                                                       \
    X(WIRE_FRAME_E_SHORT, 1, "the frame is not complete")                                          \
    X(WIRE_FRAME_E_LENGTH, 2, "the length of the frame is out of range")                           \
    X(WIRE_FRAME_E_CRC, 3, "the checksum of the frame is wrong")                                   \
    X(WIRE_FRAME_E_TYPE, 4, "unknown frame type or flags")                                         \
    X(WIRE_FRAME_E_PAYLOAD, 5, "the payload of the frame is invalid")                              \
    X(WIRE_FRAME_E_GROUP, 6, "the frame is for a group that this node does not have")
enum wire_frame_error { WIRE_FRAME_ERRORS(OUTCOME_NUMBER) };
const char *wire_frame_error_text(int error);

#define WIRE_FRAME_HELLO       32u
#define WIRE_FRAME_HELLO_REPLY 33u
#define WIRE_FRAME_HELLO_PROOF 34u

/* The one group that there is. */
#define WIRE_GROUP 0u

/* Two connections per pair; probe asks one question and closes (ridd --init). */
enum wire_channel { WIRE_CHANNEL_CONTROL = 1, WIRE_CHANNEL_LOG = 2, WIRE_CHANNEL_PROBE = 3 };

/* The versions of the protocol that this program speaks. A later one is needed when a frame gets a
 * new type, or a field that may not be overlooked; a field that may be goes to the end of a payload
 * and needs none. */
#define WIRE_VERSION_LOWEST  1u
#define WIRE_VERSION_HIGHEST 3u
/* From this one on there are parts of snapshots. */
#define WIRE_VERSION_SNAPSHOTS 2u
/* From this one on a handshake may ask for a proof of the cluster's id. */
#define WIRE_VERSION_PROOFS 2u
/* From this one on nodes answer READ_ASK, promise leases, and wait for what is left of promises
 * before they commit (LEASE-15). */
#define WIRE_VERSION_ASKS 3u

/* What a node says of itself for the operator of the other one; nothing stands on it. A node of an
 * older version says nothing. */
struct wire_about {
    char cluster_name[NODE_NAME_BYTES_MAX + 1]; /* "": not said */
    /* in an order that never changes; a later version adds at the end. 0: not said */
    unsigned n_settings;
    uint64_t settings[WIRE_SETTINGS_MAX];
};

/* In the answer to a probe: "something is recorded, and you are not told what" (PEER-7). A drawn
 * incarnation that is equal to it, one of 2^64, would do no harm: nobody compares with it. */
#define WIRE_INCARNATION_WITHHELD UINT64_C(1)

/* Both directions of the handshake carry the same fields. */
struct wire_hello {
    uint16_t version_highest;
    uint16_t version_lowest; /* on the wire 0 says: the same as the highest */
    enum wire_channel channel;
    unsigned char cluster_id[16];
    raft_node_id from;
    raft_node_id to;
    uint64_t incarnation; /* of from */
    /* chosen by the dialler; the same on the two connections of one link, repeated in the reply */
    uint64_t link_nonce;
    raft_index last_index; /* of from's log: what `--init` must know */
    /* what from has recorded of to; 0: nothing. To a probe WIRE_INCARNATION_WITHHELD instead */
    uint64_t known_incarnation;
    /* in the reply: 0 accepted, otherwise enum wire_refusal, or a reason of a later version */
    uint8_t refused;
    /* The latest version of a command that from understands; 0: it does not say, and knows 1. */
    uint8_t command_version;
    struct wire_about about;
    /* Whoever has a cluster id asks the other side to prove that it knows it, too. */
    bool challenged;
    unsigned char challenge[WIRE_CHALLENGE_BYTES];
    /* In the reply to one that asked. */
    bool proved;
    unsigned char proof[WIRE_PROOF_BYTES];
    raft_index removed_index; /* with WIRE_REFUSED_REMOVED */
};
enum wire_refusal {
    WIRE_REFUSED_NOT = 0,
    WIRE_REFUSED_VERSION,
    WIRE_REFUSED_CLUSTER,
    WIRE_REFUSED_TO,          /* I am not the node you want */
    WIRE_REFUSED_FROM,        /* you are not in my configuration */
    WIRE_REFUSED_INCARNATION, /* you are not the one I knew under this name: its disk was lost */
    WIRE_REFUSED_BUSY,
    WIRE_REFUSED_OURSELVES, /* I am not the one you knew under my name: my disk was lost */
    WIRE_REFUSED_ROOM,      /* my disk is full: I cannot record that I have met you */
    WIRE_REFUSED_PROOF,     /* you do not know the id of my cluster */
    WIRE_REFUSED_REMOVED,   /* you were removed from the cluster, at removed_index */
    WIRE_REFUSED_CROSSED,   /* I am dialling you myself, and that link is the one that counts */
    WIRE_REFUSED_NAME,      /* your certificate is another node's */
    WIRE_REFUSALS_END,
};
/* "it" is the other side: what the refusing node says (by_us), and what the refused one tells its
 * operator. */
const char *wire_refusal_text(enum wire_refusal refusal, bool by_us);
/* A cluster's id as anybody may see it: 16 hexadecimal digits of a hash. */
#define WIRE_CLUSTER_HASH_BUF 17
void wire_cluster_hash(const unsigned char cluster_id[16], char ret_text[WIRE_CLUSTER_HASH_BUF]);
/* The version that two nodes speak with each other: the smaller of the highest ones. Both compute
 * it from the two hellos, and the order of the arguments does not matter (PEER-5). 0: they have
 * none in common, which is WIRE_REFUSED_VERSION. */
unsigned wire_version_agreed(const struct wire_hello *a, const struct wire_hello *b);

/* One frame cut from the front of a byte stream; payload is borrowed from data. */
struct wire_frame {
    uint8_t type;
    uint16_t group; /* of a handshake: WIRE_GROUP */
    const unsigned char *payload;
    size_t payload_len;
    size_t total_len; /* bytes to consume */
};
/* 0 or WIRE_FRAME_E_*. On SHORT, *ret_need (may be NULL) is the total length when it is known, else
 * 0. */
int wire_frame_cut(const void *data, size_t len, struct wire_frame *ret, size_t *ret_need);

/* Which connection a message travels on: heartbeats never queue behind data. */
enum wire_channel wire_msg_channel(enum raft_msg_type type);
/* Appends a whole frame to buf. 0 or -ENOMEM (buf unchanged). Entries that would not fit are a
 * programmer's error. */
int wire_msg_encode(const struct raft_msg *m, struct buf *buf);
/* from and to are not on the wire of a link (the handshake named them) and are written from the
 * arguments. 0, WIRE_FRAME_E_TYPE/_PAYLOAD/_GROUP, -ENOMEM. */
int wire_msg_decode(const struct wire_frame *frame, raft_node_id from, raft_node_id to,
                    struct arena *arena, struct raft_msg *ret);
int wire_hello_encode(const struct wire_hello *h, bool is_reply, struct buf *buf);
/* Whether the versions have one in common is left to the caller: also a hello of another version
 * must be understood well enough to be refused in words. */
int wire_hello_decode(const struct wire_frame *frame, struct wire_hello *ret);
/* The dialler's proof, its answer to a reply that asked. */
int wire_proof_encode(const unsigned char proof[WIRE_PROOF_BYTES], struct buf *buf);
int wire_proof_decode(const struct wire_frame *frame, unsigned char ret_proof[WIRE_PROOF_BYTES]);

#endif
