/* Every bound in one place: where the number comes from, and what happens at the limit
 * (CORE-4). */
#ifndef RIDD_BASE_LIMITS_H
#define RIDD_BASE_LIMITS_H

#include <assert.h>

/* ---- keys, values, commands ---- */

/* ridd-protocol(7): a string key is 1 to 480 bytes; LMDB takes 511. Longer: `malformed`. */
#define KEY_STRING_BYTES_MAX 480u
/* As stored: one byte of type before it. */
#define KEY_BYTES_MAX (KEY_STRING_BYTES_MAX + 1u)
/* ridd-protocol(7): a value as compact text. Larger: `too_large`. */
#define VALUE_BYTES_MAX (512u << 10)
/* A cas carries two values and a key. A larger command cannot be built, a larger entry is refused
 * by every decoder. */
#define ENTRY_BYTES_MAX (2u * VALUE_BYTES_MAX + 4096u)
/* Indexes and terms from the wire above this are nonsense: the frame is refused, the link closed
 * (WIRE-2). */
#define RAFT_INDEX_MAX ((uint64_t)1 << 56)

/* ---- the core ---- */

/* Three to seven voters are the product; the rest is room for learners. A larger configuration is
 * refused. */
#define RAFT_SERVERS_MAX 16u
/* Names of nodes: they are part of file names, log lines and JSON. */
#define NODE_NAME_BYTES_MAX 63u
/* "[ipv6]:port" or a host name of 253 bytes with a port. */
#define ADDRESS_BYTES_MAX 262u
/* AppendEntries of at most 64 KiB unless one entry is larger. */
#define RAFT_APPEND_BYTES_MAX   (64u << 10)
#define RAFT_APPEND_ENTRIES_MAX 512u
/* Sent and not yet acknowledged, per follower; beyond it nothing more is sent to that follower. */
#define RAFT_INFLIGHT_BYTES_MAX (1u << 20)
#define RAFT_INFLIGHT_MSGS_MAX  64u
/* Bytes of entries appended by this leader and not committed; beyond it raft_propose() says
 * RAFT_E_BUSY. */
#define RAFT_UNCOMMITTED_BYTES_MAX (32u << 20)
/* Reads not yet confirmed; beyond it raft_read() says RAFT_E_BUSY. 128 in flight on 512
 * connections. */
#define RAFT_READS_PENDING_MAX 65536u
/* Entries kept in memory behind what is applied, stored and acknowledged, for followers a little
 * behind. */
#define RAFT_CACHE_BYTES_MAX (4u << 20)
/* Committed entries handed out per ready: bounds the length of a turn and of a write
 * transaction. */
#define RAFT_COMMITTED_ENTRIES_MAX 1024u
#define RAFT_COMMITTED_BYTES_MAX   (4u << 20)
/* Read rounds outstanding at once (READ-65): more only cost messages. */
#define RAFT_ROUNDS_MAX 2u

/* ---- peer links ---- */

/* length, crc32c, type, flags, group. */
#define FRAME_HEADER_BYTES 12u
/* A frame carries at least one entry of the largest size; the reader needs no more than one frame
 * of memory. A larger length closes the link before anything is allocated. */
#define FRAME_BYTES_MAX (4u << 20)
static_assert(FRAME_HEADER_BYTES + 256u + ENTRY_BYTES_MAX <= FRAME_BYTES_MAX,
              "an entry must fit a frame");
static_assert(RAFT_APPEND_BYTES_MAX + ENTRY_BYTES_MAX <= FRAME_BYTES_MAX, "so must a full append");
/* Output waiting on one peer connection; beyond it frames for that peer are dropped and counted:
 * Raft repeats them. */
#define PEER_OUT_BYTES_MAX (8u << 20)
/* A frame of the control channel carries no entries: some 100 bytes. A longer one closes the
 * link. */
#define PEER_CONTROL_FRAME_BYTES_MAX 4096u
/* Connections that have not finished their handshake; beyond it new ones are closed
 * (PEER-2). */
#define PEER_HALF_OPEN_MAX 64u
#define PEER_HANDSHAKE_US  5000000u

/* ---- the client port ---- */

/* [limits] request_bytes (CLIENT-1). Longer line: `too_large`, the rest is skipped; the second
 * time: closed. */
#define REQUEST_BYTES_DEFAULT (1u << 20)
#define REQUEST_BYTES_MAX     (4u << 20)
/* A larger reply becomes `too_large`. */
#define REPLY_BYTES_MAX (1u << 20)
/* [limits] in_flight (CLIENT-4): unanswered requests per connection; beyond it the socket is
 * not read. */
#define CLIENT_IN_FLIGHT_DEFAULT 128u
#define CLIENT_IN_FLIGHT_MAX     4096u
/* Unanswered requests of all clients; beyond it `busy`. */
#define REQUESTS_MAX 65536u
/* Replies not yet taken by the client: above the high mark it is not read from, below the low mark
 * it is again, and after CLIENT_STUCK_US without any progress it is closed (CLIENT-3). */
#define CLIENT_OUT_BYTES_HIGH (4u << 20)
#define CLIENT_OUT_BYTES_LOW  (1u << 20)
#define CLIENT_STUCK_US       30000000u
/* A line must be complete within this of its first byte (CLIENT-2); a connection idle for longer
 * than the second is closed. */
#define CLIENT_LINE_US 10000000u
#define CLIENT_IDLE_US 300000000u
/* Bytes read from one client per turn, so that one client cannot hold the loop. */
#define CLIENT_READ_BYTES_PER_TURN (256u << 10)
/* [limits] connections; beyond it new ones get one `busy` line and are closed. */
#define CLIENT_CONNECTIONS_DEFAULT 4096u
/* Descriptors kept for peers and the log, out of RLIMIT_NOFILE (CLIENT-5). */
#define FDS_RESERVED 64u
/* ridd-protocol(7), WIRE-3. Beyond: `malformed`. */
#define JSON_DEPTH_MAX        16u
#define JSON_REQUEST_KEYS_MAX 32u
#define JSON_VALUE_KEYS_MAX   1024u
/* ridd-protocol(7): keys of one batch_read_index. */
#define BATCH_KEYS_MAX          128u
#define COMPARE_READS_MAX       100000u
#define COMPARE_CONCURRENCY_MAX 128u
#define TIMEOUT_MS_DEFAULT      5000u
#define TIMEOUT_MS_MAX          60000u

/* ---- the log ---- */

/* A batch never spans two segments and one record holds one entry. */
#define STORE_SEGMENT_FIRST_BYTES (1u << 20)
#define STORE_SEGMENT_BYTES       (64u << 20)
#define STORE_BATCH_BYTES_MAX     (8u << 20)

#endif
