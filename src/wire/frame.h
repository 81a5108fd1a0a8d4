/* Peer frames: bytes to messages and back.
 *
 * A frame is, little endian: u32 length (of what follows the length word: crc, type, flags, group,
 * payload), u32 crc32c (of everything behind it), u8 type, u8 flags (0), u16 group (0), payload.
 * Types below 32 are enum raft_msg_type, those from 32 on are the handshake. Does no I/O. Decoding
 * is total: any bytes give a message or WIRE_E_*, nothing is allocated before a length was compared
 * with its bound, no trailing bytes are accepted. Messages of group 0 only. Pure, any thread.
 * Source: DESIGN.md 7, RELIABILITY 6.1 P3, P6, P7. */
#ifndef RIDD_WIRE_FRAME_H
#define RIDD_WIRE_FRAME_H

#include "base/arena.h"
#include "base/buf.h"
#include "raft/types.h"

enum wire_frame_error {
    WIRE_FRAME_E_SHORT = 1,  /* more bytes are needed: nothing was consumed */
    WIRE_FRAME_E_LENGTH = 2, /* length above FRAME_BYTES_MAX or below the header */
    WIRE_FRAME_E_CRC = 3,
    WIRE_FRAME_E_TYPE = 4,    /* unknown type, flags or group */
    WIRE_FRAME_E_PAYLOAD = 5, /* fields out of range, entries not contiguous, bytes left over */
};
const char *wire_frame_error_text(int error);

#define WIRE_FRAME_HELLO       32u
#define WIRE_FRAME_HELLO_REPLY 33u

/* Two connections per pair; probe asks one question and closes (ridd --init). */
enum wire_channel { WIRE_CHANNEL_CONTROL = 1, WIRE_CHANNEL_LOG = 2, WIRE_CHANNEL_PROBE = 3 };

#define WIRE_PROTOCOL_VERSION 1u

/* Both directions of the handshake carry the same fields. */
struct wire_hello {
    uint32_t version;
    enum wire_channel channel;
    unsigned char cluster_id[16];
    raft_node_id from;
    raft_node_id to;
    uint64_t incarnation; /* of from */
    /* chosen by the dialler; the same on the two connections of one link, repeated in the reply */
    uint64_t link_nonce;
    raft_index last_index;      /* of from's log: what `--init` must know */
    uint64_t known_incarnation; /* what from has recorded of to; 0: nothing */
    uint8_t refused;            /* in the reply: 0 accepted, otherwise enum wire_refusal */
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
    WIRE_REFUSALS_END,
};
/* "it" is the other side: what the refusing node says (by_us), and what the refused one tells its
 * operator. */
const char *wire_refusal_text(enum wire_refusal refusal, bool by_us);

/* One frame cut from the front of a byte stream; payload is borrowed from data. */
struct wire_frame {
    uint8_t type;
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
 * arguments. Entry payloads are borrowed from the frame, the entries array comes from the arena. 0,
 * WIRE_FRAME_E_TYPE/_PAYLOAD, -ENOMEM. */
int wire_msg_decode(const struct wire_frame *frame, raft_node_id from, raft_node_id to,
                    struct arena *arena, struct raft_msg *ret);
int wire_hello_encode(const struct wire_hello *h, bool is_reply, struct buf *buf);
int wire_hello_decode(const struct wire_frame *frame, struct wire_hello *ret);

#endif
