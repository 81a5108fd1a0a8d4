/* Every bound on size, count and time that protects something: where the number comes from, and
 * what happens at the limit (CORE-4).
 *
 * For: the reader who asks how much, how many or how long at most; relations between bounds are
 * asserted here. By folder, in the order of the layers.
 * Not for: the widths of formats (they stand beside the format that they describe, and change only
 * with its version), the room of text buffers and first sizes of what grows, numbers that the
 * installed header ridd.h promises, and exit codes. tools/check-limits knows these by name and
 * refuses any other number defined outside of this file.
 * Units: at the end of each name: _BYTES, _US, _MS, _NS, _PERCENT; without one it is a count.
 * Ownership: none, these are numbers.
 * Errors: none.
 * Thread: any.
 * Source: said at each number; ridd-protocol(7) and the rules of docs/RULES.md where clients and
 * peers can see them. */
#ifndef RIDD_BASE_LIMITS_H
#define RIDD_BASE_LIMITS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the time of a turn ---- */

/* TIME-1: within a turn the clock is read after so many steps (some microseconds each) or so
 * many bytes that they touched (some tens of microseconds): reading it costs 1 % of that. Where
 * that many steps took longer than the third, it is read after each: nobody runs over the end
 * by more than one long step. */
#define SLICE_STEPS    8u
#define SLICE_BYTES    (64u << 10)
#define SLICE_QUICK_US 200u
/* TIME-4: a line is decoded in pieces, and the clock is read after so many bytes of it: some
 * microseconds, where numbers are long some tens. White space and the digits of one number are
 * passed over in one go: two milliseconds, if they are a megabyte. */
#define DECODE_LOOK_BYTES (1u << 10)
/* Where only brackets are counted, so many times as many. */
#define DECODE_QUICK 32u
/* A line of more than this is decoded in steps of so much time, with the loop in between: a two
 * hundredth of half a heartbeat, so that a read which comes meanwhile, and passes the loops of two
 * nodes three times, hardly notices. One step less takes as long at most. */
#define DECODE_WHOLE_BYTES (64u << 10)
#define DECODE_STEP_US     125u
/* TIME-1: a turn has half a heartbeat, so that one that is due leaves before the next is; a
 * fifth of it for each that can find more work than that: peers, who have a second one where
 * something is due, clients, apply, and answers. What none of them uses is left over for the
 * disk. */
#define TURN_SHARES 5u
/* And at most so much: a read passes the leader's loop, a follower's and the leader's again, and
 * waits for a turn in each. Shorter ones would pay for a transaction with less work. */
#define TURN_SHARE_US_MAX 1000u
/* TIME-5: a leader commits no more beyond what it has applied than it applies in this time, by what
 * the last entries took: a read waits for all of it, and with it for less than for its round on a
 * busy node. One entry at least. */
#define APPLY_AHEAD_US 2000u
/* Classes of the daemon's events: peers, everything else, clients (CLIENT-6). */
#define NODE_PRIORITIES 3

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
/* TERM-4: the own term rises by at most this for one message, so that one forged frame cannot use
 * up the terms; elections missed by the million are caught up with in a few heartbeats. */
#define RAFT_TERM_STEP_MAX ((uint64_t)1 << 20)
/* TERM-3: with fewer terms left than this an event and `status` say so: a million messages of the
 * largest step before the end, and at an election a millisecond still 34 years. */
#define RAFT_TERMS_LEFT_FEW ((uint64_t)1 << 40)

/* What is looked at of a text for a log line; the rest is cut off and marked. */
#define LOG_ESC_BYTES_MAX 64
/* One line of log, its end included; a longer one is cut. */
#define LOG_LINE_BYTES_MAX 1024u
/* Lines that wait for whoever reads standard error; beyond it they are dropped and counted
 * (LOOP-1). A start that goes wrong writes some ten lines, a stormy minute some hundred. */
#define LOG_RING_BYTES (256u << 10)
/* Written at once: a pipe takes so much in one piece (PIPE_BUF), or other writers' lines come
 * between. */
#define LOG_PIECE_BYTES 4096u
static_assert(LOG_LINE_BYTES_MAX <= LOG_PIECE_BYTES, "a line is never cut in two");
/* How long a process that ends waits for its last lines to be read. */
#define LOG_FLUSH_MS 1000
/* Events that are kept for who asks; the oldest makes room. Those that a bad minute brings by the
 * dozen have room of their own, so that the others last for some hours also then. All of them take
 * 150 kB. */
#define EVENTS_LASTING_MAX 256u
#define EVENTS_LOUD_MAX    64u
#define EVENTS_KEPT_MAX    (EVENTS_LASTING_MAX + EVENTS_LOUD_MAX)
/* Copied in one piece, while whoever logs waits. */
#define EVENTS_AT_ONCE 8u
/* And so many are told at once to who does not say how many. */
#define EVENTS_TOLD_DEFAULT 100u
static_assert(EVENTS_TOLD_DEFAULT <= EVENTS_KEPT_MAX, "there are no more");
/* Of the text of one; the rest is cut off. */
#define EVENT_TEXT_BYTES_MAX 384u
/* Of its name, and of the role: all that the program has are shorter. */
#define EVENT_NAME_BYTES_MAX 39u
#define EVENT_ROLE_BYTES_MAX 15u

/* ---- the core ---- */

/* Three to seven voters are the product; the rest is room for learners. A larger configuration is
 * refused. */
#define RAFT_SERVERS_MAX 16u
/* Servers that were removed and are remembered: who is older is told that it is no member, and not
 * since when. */
#define RAFT_REMOVED_MAX 32u
/* Names of nodes: they are part of file names, log lines and JSON. */
#define NODE_NAME_BYTES_MAX 63u
/* "[ipv6]:port" or a host name of 253 bytes with a port. */
#define ADDRESS_BYTES_MAX 262u
/* ridd.conf(5), [raft]: what holds when nothing is said. On a local network a heartbeat takes below
 * a millisecond; ten of them to a timeout leave room for a slow disk or a busy machine (VOTE-8). */
#define RAFT_HEARTBEAT_US_DEFAULT 50000u
#define RAFT_ELECTION_US_DEFAULT  500000u
static_assert(RAFT_HEARTBEAT_US_DEFAULT <= RAFT_ELECTION_US_DEFAULT / 3, "three to a timeout");
/* Election timeouts of silence before a node that is parked, or unfit, campaigns of itself: those
 * that are better have begun within two, and had time for a second try (FIT-2, FIT-3). */
#define RAFT_PARKED_TIMEOUTS 2u
#define RAFT_UNFIT_TIMEOUTS  4u
/* Where nobody listens any more a follower begins within so long, at random: of two most begin so
 * far apart that the second has heard of the first. What came to nothing is tried again, the first
 * time after one to three times AGAIN_US, then after twice as long, and so many times in all: two
 * whose votes were split need two or three, and all of it ends within an election timeout
 * (FAILOVER-3). */
#define RAFT_EARLY_US       20000u
#define RAFT_EARLY_AGAIN_US 10000u
#define RAFT_EARLY_TRIES    5u
/* And it is believed once in so long of one leader: a network that lies, or a leader that is
 * started and dies again and again, costs one early election in each (FAILOVER-3). */
#define RAFT_EARLY_APART_US 1000000u
/* AppendEntries of at most 64 KiB unless one entry is larger. */
#define RAFT_APPEND_BYTES_MAX   (64u << 10)
#define RAFT_APPEND_ENTRIES_MAX 512u
/* Sent and not yet acknowledged, per follower; beyond it nothing more is sent to that follower. */
#define RAFT_INFLIGHT_BYTES_MAX (1u << 20)
#define RAFT_INFLIGHT_MSGS_MAX  64u
/* Bytes of entries appended by this leader and not committed; beyond it raft_propose() says
 * RAFT_E_BUSY. */
#define RAFT_UNCOMMITTED_BYTES_MAX (32u << 20)
/* How many of the last syncs of the own disk a core looks at: enough that a hiccup among them does
 * not count, few enough that a disk which has become fast again is soon known to be. */
#define RAFT_DISK_SYNCS 8u
/* An election makes two syncs one after the other, and each may find one under way: so many syncs
 * must fit into the time that it is given (VOTE-9). */
#define RAFT_PATIENCE_SYNCS 4u
/* That time is at most so many election timeouts, however slow the disk is: a disk that stands
 * still must be noticed some day. Disks of up to two election timeouts to a sync still elect. */
#define RAFT_PATIENCE_MAX 8u
/* What is not answered is sent again after so many election timeouts at the latest (LOG-10): after
 * frames that were lost a commit waits so long. */
#define RAFT_RESEND_ELECTIONS 2u
/* What may wait for the own disk, however slow it is: an entry of the largest size. Above it the
 * bound is what the disk does in the time after which it counts as stalled, at most
 * RAFT_UNCOMMITTED_BYTES_MAX; beyond it raft_propose() says RAFT_E_BUSY (DISK-30). */
#define RAFT_DISK_BYTES_MIN (1u << 20)
/* Reads not yet confirmed; beyond it raft_read() says RAFT_E_BUSY. 128 in flight on 512
 * connections. */
#define RAFT_READS_PENDING_MAX 65536u
/* A node that has applied so many entries less than the leader has committed refuses follower reads
 * with the leader's name: `overloaded` (FOLLOW-7). It takes a tenth of a second or so to apply
 * them, and another node answers in a millisecond. */
#define FOLLOWER_BEHIND_ENTRIES_MAX 10000u
/* Entries kept in memory behind what is applied, stored and acknowledged, for followers a little
 * behind. */
#define RAFT_CACHE_BYTES_MAX (4u << 20)
/* Committed entries handed out per ready: bounds the length of a turn and of a write
 * transaction. */
#define RAFT_COMMITTED_ENTRIES_MAX 1024u
#define RAFT_COMMITTED_BYTES_MAX   (4u << 20)
/* Read rounds outstanding at once (READ-65): more only cost messages. */
#define RAFT_ROUNDS_MAX 2u
/* How old the newest round must be at least before one is opened beyond those, unless twice the
 * smoothed round trip says more: several round trips of a local network (READ-65). */
#define RAFT_ROUND_PATIENCE_US 1000u
/* The longest lease, and what two clocks may differ in their rates: each by one in so many
 * (LEASE-0). */
#define RAFT_LEASE_US_MAX 2000000u
#define RAFT_CLOCK_RHO    100u
/* Two clocks that differ by more than half of that are not trusted with leases any more
 * (LEASE-13). */
#define RAFT_DRIFT_PPM_MAX (1000000 / (2 * (int)RAFT_CLOCK_RHO))
/* Of a peer's clock the best reading of each such while is kept, so many of them: after one while
 * readings that are 2 ms wrong tell apart what counts, after sixteen 0.1 ms are 12 ppm. */
#define RAFT_DRIFT_SLOT_US 1000000u
#define RAFT_DRIFT_SLOTS   16u
#define RAFT_DRIFT_US      ((uint64_t)RAFT_DRIFT_SLOTS * RAFT_DRIFT_SLOT_US)
/* A lease ends so much before its time, for the granularity of clocks (LEASE-9). */
#define RAFT_LEASE_MARGIN_US 1000u
/* The clock of who holds and that of who waits go apart by more than this when the machine was
 * suspended (LEASE-12); readings of both, one after the other, by some microseconds. */
#define RAFT_SUSPEND_US 1000u
/* Terms whose promises are known apart: more than one leader in 2 s is rare, more than four are an
 * accident; what gives way counts for all other terms (LEASE-2). */
#define RAFT_PROMISES_MAX 4u
/* Questions of a follower whose answer is still taken (FOLLOW-1): one that is late, and the one
 * that was asked instead. */
#define RAFT_ASKS_MAX 2u
/* A question that is not answered in so long, or in twice the smoothed time that they take, is
 * asked anew (FOLLOW-6); each time it is twice as long, an election timeout at most. */
#define RAFT_ASK_US 10000u
/* Pairs that wait until apply has come to them (BOUND-4): at a heartbeat of 50 ms those of 0.4 s or
 * more. Beyond it the newest is dropped. */
#define RAFT_PAIRS_MAX 8u
/* What is left of a promise is less than this: it outlasts a lease by two of those hundredths. More
 * is nonsense, and refused (WIRE-2). */
#define RAFT_LEFT_US_MAX (UINT64_C(2) * RAFT_LEASE_US_MAX)

/* ---- clocks ---- */

/* What a lease that comes and goes writes into the log: five lines in ten seconds, and then how
 * many there were. */
#define LEASE_LOG_WINDOW_US 10000000u
#define LEASE_LOG_BURST     5u
/* How often it is looked whether a lease was taken or lost, for the log. */
#define LEASE_LOOK_US 50000u

/* Two clocks that are compared are read within this time, or once more, and no more than so often:
 * three readings take a tenth of a microsecond, and on a busy machine a process is held up between
 * them for milliseconds now and then. The last ones count then, and are as wrong as they took. */
#define HOLD_CLOCK_BRACKET_US 100u
#define HOLD_CLOCK_LOOKS      4u
/* The hypervisor writes its page within microseconds; one that is at it for longer than so many
 * looks counts as having told something. */
#define VMCLOCK_LOOKS 1000u
/* Beyond this, half of what clocks may differ, no lease is taken (LEASE-13). */
#define CLOCK_DRIFT_PPM_MAX (1000000u / RAFT_CLOCK_RHO / 2)
/* What waits for longer waits for so long, thirty years, and looks at the time again. */
#define CLOCK_TIMER_US_MAX (UINT64_C(1) << 50)
/* While states differ: how long an index is asked about before a later one, and how long it takes
 * until they are looked at again where nobody could tell who is wrong and nobody came since; as
 * long a node that was made again waits to hear that it is equal (FIT-9). */
#define AGREE_INDEX_US 1000000u
#define AGREE_AGAIN_US 60000000u
/* Between two rebuilds of one state: a disk whose every state is damaged again costs one pass over
 * the log in a minute, and the node stays unfit meanwhile (FIT-6). */
#define REBUILD_AGAIN_US 60000000u
/* Readies taken in one turn: a follower far behind applies in slices and the loop goes on in
 * between. */
#define READIES_PER_TURN 16u

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
/* Connections that have not finished their handshake, in all and of one host; beyond either a
 * silent one goes (PEER-2, PEER-6): sixteen nodes with two channels each, twice. */
#define PEER_HALF_OPEN_MAX      64u
#define PEER_HALF_OPEN_HOST_MAX 16u
/* One that has begun a hello goes not before this: some round trips, in which the rest comes. */
#define PEER_HALF_OPEN_YOUNG_US 20000u
static_assert(2 * PEER_HALF_OPEN_HOST_MAX <= PEER_HALF_OPEN_MAX, "one host takes no majority");
/* From the connection to the end of the handshake, and from the first channel's to the second's:
 * some election timeouts. Beyond it both connections of the attempt are closed; the dialler comes
 * again. */
#define PEER_HANDSHAKE_US 5000000u
/* A first SYN and one repeat; then it is better to start anew than to wait for the kernel's next
 * repeat. */
#define PEER_CONNECT_US 2000000u
/* Whether anybody listens where a peer was whose link has ended is found out within this, or not: a
 * dying process has its connections and its port closed within some milliseconds, or within some
 * turns of a busy processor. What is taken and ended is called again after AGAIN_US, twice as long
 * each time up to AGAIN_US_MAX, and so many times (FAILOVER-1). */
#define PEER_LOOK_US           250000u
#define PEER_LOOK_AGAIN_US     1000u
#define PEER_LOOK_AGAIN_US_MAX 16000u
#define PEER_LOOK_TRIES        20u
/* Delay before a peer is dialled again: doubling, a random part of its upper half. A link that was
 * up for PEER_STABLE_US starts over. */
#define PEER_BACKOFF_US_MIN 50000u
#define PEER_BACKOFF_US_MAX 1000000u
#define PEER_STABLE_US      2000000u
/* Of each pair the node with the lower id dials at once. The other one dials, too, when there was
 * no link for this long, doubling, a random part of its upper half: the lower one may not know it
 * (PEER-10). Some times as long as the lower one needs to come back, and less than operators wait.
 * */
#define PEER_SECOND_US_MIN 500000u
#define PEER_SECOND_US_MAX 2000000u
/* So young a link that the lower id dialled was made after whatever the other one still has on its
 * way. */
#define PEER_CROSSED_US 2000000u
/* So often a node puts off its own dial for a caller who has not yet proved who it is: whoever only
 * says so does not keep it from dialling. */
#define PEER_YIELDS_MAX 3u
/* Links of those who are no members as far as this node knows, but prove that they know its
 * cluster's id (PEER-9). Beyond it the one that was silent longest goes, if it was silent for the
 * second; otherwise whoever comes is refused. */
#define PEER_STRANGERS_MAX    8u
#define PEER_STRANGER_IDLE_US 1000000u
/* Unacknowledged or untaken for this long: the kernel gives the connection up. Heartbeats make sure
 * that there is data. */
#define PEER_USER_TIMEOUT_MS 3000u
/* The answer for a name is used this long; then the next dial asks again, and dials what is known
 * meanwhile. */
#define PEER_RESOLVE_US 5000000u
/* Names asked for at once in a process, each by a thread; beyond it the question fails, and is
 * asked again with the next attempt. */
#define LOOKUPS_MAX 32u
/* A name server that has not answered after this counts as silent: the attempt failed, and the
 * answer is still taken when it comes. */
#define PEER_LOOKUP_US 5000000u
/* Deadlines of handshakes are looked at each eighth of PEER_HANDSHAKE_US, within these. */
#define PEER_TICK_US_MIN 5000u
#define PEER_TICK_US_MAX 500000u
/* A hello has some 270 bytes at most and may grow. Nobody who has not shaken hands makes us keep
 * more than this: a longer frame closes the connection. Version 1 took 512. */
#define PEER_HELLO_BYTES_MAX    1024u
#define PEER_HELLO_BYTES_MAX_V1 512u
/* What the proof of a cluster's id is made over, and what it is: HMAC-SHA256 (PEER-8). */
#define WIRE_CHALLENGE_BYTES 16u
#define WIRE_PROOF_BYTES     32u
/* Settings that a hello tells of its node: those that should be the same on all, and room for
 * those of later versions. Of more than these the rest is not looked at. */
#define WIRE_SETTINGS_MAX 8u
/* A refusal is shown in `status` this long: whoever is refused tries again each second, so an older
 * one is over. */
#define PEER_REFUSAL_SHOWN_US 10000000u
/* The longest frame with its length word: what one connection may keep of its input. */
#define PEER_IN_BYTES_MAX (FRAME_BYTES_MAX + 4u)
/* What one more read may add before libevent notices that reading is suspended; input beyond both
 * closes the link. */
#define PEER_IN_SLACK_BYTES (64u << 10)
/* Memory for a turn's output that is kept for the next; what is more is given back. */
#define PEER_OUT_KEEP_BYTES (64u << 10)

/* A node that waits to be added. The largest configuration has some 13 KiB, and later versions keep
 * to this; a longer frame closes the connection. */
#define JOIN_CONFIG_BYTES_MAX (16u << 10)
#define JOIN_FRAME_BYTES_MAX  (JOIN_CONFIG_BYTES_MAX + 512u)
static_assert(1024 + RAFT_SERVERS_MAX * (64 + NODE_NAME_BYTES_MAX + 2 * ADDRESS_BYTES_MAX) +
                      RAFT_REMOVED_MAX * (32 + NODE_NAME_BYTES_MAX) <=
                  JOIN_CONFIG_BYTES_MAX,
              "the largest configuration fits a JOIN");
/* What a node says of why; one byte says how long it is. Longer ones are cut. */
#define JOIN_TEXT_BYTES_MAX 255u
/* Callers at once: the leader, one that was before it, those that still dial the node that was
 * there. The oldest goes. */
#define JOIN_CALLERS_MAX 8u
/* A caller who has not asked, or not taken its answer, is closed. */
#define JOIN_CALLER_US 2000000u
/* An added node answers the leader again for so long, if that lost the answer, before it begins to
 * be a node. */
#define JOIN_AGAIN_US 500000u

/* ---- sockets of both ports ---- */

/* Addresses of one name; more are ignored. */
#define NET_ADDRS_MAX 8u
/* Connections that the kernel keeps for accept(2); beyond it callers are not answered and repeat
 * their SYN. */
#define NET_BACKLOG 1024
/* Connections accepted per listener and loop turn; the rest wait in the kernel's queue for the next
 * one. */
#define NET_ACCEPTS_PER_TURN 64u
/* Lists among which hosts with connections are found: some tens of hosts to each at the most
 * connections. */
#define NET_SOURCE_BUCKETS 1024u
/* How long the listener sleeps for want of a descriptor when nothing of ours gives one back. */
#define NET_ACCEPT_RETRY_US 200000

/* ---- what is told of requests ---- */

/* What is remembered of rounds and questions, of commits and runs of the apply, of
 * acknowledgements of each peer, and of what held requests up: that of the last round trips, and of
 * some hundred milliseconds under load. The oldest is forgotten, and a cause that is forgotten is
 * not told. */
#define TRAIL_ROUNDS 64u
#define TRAIL_MARKS  128u
#define TRAIL_ACKS   64u
#define TRAIL_SNAGS  32u
/* What held up for less is not kept: half of what is slow at all, and seldom enough. */
#define TRAIL_SNAG_US 10000u

/* Exceptional operations that are kept; the oldest makes room. */
#define SLOW_KEPT_MAX 64u
/* Why one was slow, in words; the rest is cut off. */
#define SLOW_WHY_BYTES_MAX 255u
/* Slower than this, or than so much of the election timeout, is exceptional: a round of a healthy
 * cluster and a sync of a healthy disk take a tenth of either. */
#define SLOW_US_LEAST    20000u
#define SLOW_OF_ELECTION 5u
static_assert(TRAIL_SNAG_US <= SLOW_US_LEAST / 2, "half of any slow leg is long enough");
/* Slow syncs of the disk that the loop has not looked at yet; the oldest are dropped. */
#define STORE_SLOW_MAX 8u
/* Looking for what held slow operations up takes so much of each window, and a window begins when
 * the first is looked at. */
#define SLOW_EXPLAIN_WINDOW_US 20000u
#define SLOW_EXPLAIN_US        1000u
/* Lines of the log about them, in a window; the rest is counted in the next one. */
#define SLOW_LOG_WINDOW_US 10000000u
#define SLOW_LOG_BURST     5u
/* Quantiles are of the last one or two of these. */
#define SERVICE_WINDOW_US 30000000u
/* So many reads that went the same way at the same time are counted as one that counts for all: as
 * many as there are between two looks at the clock. */
#define SERVICE_ALIKE_MAX SLICE_STEPS
/* The steps of the last operation of each kind are kept anew after so long: to do so costs as much
 * as a short read. */
#define LAST_KEPT_US 50000u

/* ---- the client port ---- */

/* [limits] request_bytes (CLIENT-1). Longer line: `too_large`, the rest is skipped; the second
 * time: closed. Below the least, which holds any request without a long value, the configuration
 * has a problem. */
#define REQUEST_BYTES_MIN     (1u << 10)
#define REQUEST_BYTES_DEFAULT (1u << 20)
#define REQUEST_BYTES_MAX     (4u << 20)
/* A larger reply becomes `too_large`. */
#define REPLY_BYTES_MAX (1u << 20)
/* Each byte of a text may be a quotation mark, which takes two in JSON; the rest are its fields. */
static_assert(EVENTS_KEPT_MAX * (2 * EVENT_TEXT_BYTES_MAX + 2 * EVENT_NAME_BYTES_MAX + 256) <=
                  REPLY_BYTES_MAX,
              "all events that are kept are one reply");
/* [limits] in_flight (CLIENT-4): unanswered requests per connection; beyond it the socket is
 * not read. */
#define CLIENT_IN_FLIGHT_DEFAULT 128u
#define CLIENT_IN_FLIGHT_MAX     4096u
/* Unanswered requests of all clients; beyond it `busy`. */
#define REQUESTS_MAX 65536u
/* Of requests that were answered the memory of so many is kept for the next ones, some 800 bytes
 * each; beyond it goes back. There is room for key and command in it; those with a longer key, or
 * for which both together are longer, ask for more. */
#define REQUESTS_KEPT_MAX  1024u
#define REQUEST_ROOM_BYTES 192u
/* Of most machines: a guess that costs nothing but time where it is wrong. */
#define CACHE_LINE_BYTES 64u
/* Replies not yet taken by the client: above the high mark it is not read from, below the low mark
 * it is again, and after CLIENT_STUCK_US without any progress it is closed (CLIENT-3). */
#define CLIENT_OUT_BYTES_HIGH (4u << 20)
#define CLIENT_OUT_BYTES_LOW  (1u << 20)
#define CLIENT_STUCK_US       30000000u
static_assert(REPLY_BYTES_MAX <= CLIENT_OUT_BYTES_LOW, "below the low mark any reply fits");
/* Replies owed by a connection that counts as owing nothing: what is kept back from slow readers is
 * for these (CLIENT-14). */
#define CLIENT_OUT_BYTES_FREE (64u << 10)
/* Requests and commands of one connection that are under way: above the high mark it is not read,
 * below the low mark it is again (CLIENT-13). Any request fits below. */
#define CLIENT_HELD_BYTES_HIGH (8u << 20)
#define CLIENT_HELD_BYTES_LOW  (2u << 20)
static_assert(REQUEST_BYTES_MAX < CLIENT_HELD_BYTES_HIGH, "one request never stops its own");
/* Of a connection that counts as having few requests under way: four or five of one key. */
#define CLIENT_HELD_BYTES_FREE (8u << 10)
/* [limits] memory: what clients may cost this process in all; the most is what one machine may
 * have, the least what a few connections need. Beyond it requests are `overloaded`. */
#define MEMORY_BYTES_DEFAULT ((uint64_t)256 << 20)
#define MEMORY_BYTES_MIN     ((uint64_t)16 << 20)
#define MEMORY_BYTES_MAX     (sizeof(size_t) > 4 ? (uint64_t)1 << 40 : (uint64_t)1 << 30)
/* So many times request_bytes at least: the longest line must find room in its part. Less is a
 * problem of the configuration. */
#define CONF_MEMORY_REQUESTS 8u
/* Addresses that a node must have beside these (ulimit -v): 64 MiB of memory of its own, the stacks
 * of six threads, programs and libraries. It does not start with less, and run out later. */
#define ADDRESS_BYTES_OTHER ((uint64_t)160 << 20)
/* Of that: each kind below the whole, so that none of them shuts out the others. */
#define MEMORY_REPLIES_PERCENT  75u
#define MEMORY_REQUESTS_PERCENT 40u
#define MEMORY_COMMANDS_PERCENT 50u
/* And connections by TLS, however idle: others still find room for what they ask. */
#define MEMORY_STREAMS_PERCENT 40u
/* Replies and commands together, with what only those who owe nothing may take. */
#define MEMORY_BULK_PERCENT 90u
/* Of the whole, of requests and of commands: what only requests of connections that have few under
 * way may take (CLIENT-14). */
#define MEMORY_KEPT_PERCENT 5u
static_assert(MEMORY_BULK_PERCENT + MEMORY_KEPT_PERCENT < 100u, "others may have requests, too");
/* Used for more than this it is tight: little is read at once, and who owes most goes if it has not
 * read for MEMORY_QUIET_US; looked at this often. */
#define MEMORY_TIGHT_PERCENT 85u
#define MEMORY_QUIET_US      1000000u
#define MEMORY_LOOK_US       100000u
/* And so many at most are closed then, for each of which all are looked at. */
#define CLIENT_CLOSED_PER_LOOK 64u
/* One read(2) while memory is tight: the rest of it may have to be kept. */
#define CLIENT_CHUNK_TIGHT_BYTES (4u << 10)
/* Blocks of this and more are mappings of their own. The longest value and its copies on the way to
 * log, peers and state are none: a mapping is made and given back for each of them, and each of its
 * pages is filled by the kernel anew, which took most of the time of such a write. So much may be
 * free at the end of the heap before it is given back at once. */
#define MALLOC_MAPPED_BYTES (4 << 20)
#define MALLOC_KEEP_BYTES   (8 << 20)
/* So much less is charged than at the peak, and this long after the last time: what is free in the
 * heap is given back, but for so much of it. Takes milliseconds for a hundred megabytes. */
#define MEMORY_TRIM_BYTES     (8u << 20)
#define MEMORY_TRIM_US        1000000u
#define MEMORY_TRIM_PAD_BYTES (1u << 20)
/* Connections that wait for room and are looked at per turn. */
#define CLIENT_STARVED_PER_TURN 256u
/* The longest beginning of a line that is kept however tight memory is: most requests. */
#define CLIENT_LINE_FREE_BYTES (4u << 10)
/* When a client that was told `overloaded` should try again: slow readers are closed within a
 * second or two. */
#define OVERLOADED_RETRY_AFTER_MS 500u
/* What a reply takes beside its value, reserved when its request is admitted; a reply below it
 * always finds room. */
#define SERVICE_REPLY_BYTES 1024u
/* A value up to this is part of that, and is copied without asking. */
#define SERVICE_REPLY_FREE_BYTES 512u
/* What an item of a reply takes beside key and value: names and punctuation. */
#define SERVICE_ITEM_BYTES 128u
/* What the allocator adds to a block. */
#define MALLOC_BYTES 16u
/* A line must be complete within this of its first byte (CLIENT-2); a connection idle for longer
 * than the second is closed. */
#define CLIENT_LINE_US 10000000u
#define CLIENT_IDLE_US 300000000u
/* One read(2). The buffer is shared by all connections of a port. */
#define CLIENT_CHUNK_BYTES (64u << 10)
/* What a line costs beside its bytes: a parse and an error, in bytes that take as long to copy. */
#define CLIENT_LINE_COST 256u
/* What one connection may cost in a turn; the rest of its lines waits for the next (CLIENT-15). */
#define CLIENT_COST_PER_TURN (256u << 10)
static_assert(CLIENT_CHUNK_BYTES <= CLIENT_COST_PER_TURN, "a turn reads at least one piece");
static_assert(CLIENT_CHUNK_BYTES <= DECODE_WHOLE_BYTES,
              "what is decoded in steps lies outside the buffer that all connections share");
/* And all together between two flushes, some 10 ms of work, so that a flood of clients delays
 * peers and timers by less than a heartbeat (CLIENT-6), whatever the host says of the time. */
#define CLIENT_PORT_COST_PER_TURN (8u << 20)
/* And in time, where the host does not say that it is over: less than a heartbeat. */
#define CLIENT_TURN_US 10000u
/* The time of one connection in a turn, and how much it may cost before that is looked at. */
#define CLIENT_STEP_US   1000u
#define CLIENT_LOOK_COST (2u << 10)
/* How much time a connection took lately counts half after this, and levels are powers of two of
 * it above the least: one that takes one part in a hundred of all time is at level 4, one that
 * takes all of it at 11. */
#define CLIENT_USE_HALF_US  65536u
#define CLIENT_USE_LEAST_US 64u
#define CLIENT_LEVELS       12u
/* Who takes eight times as much as somebody who was served within the second of these has the third
 * in a turn, together with all like him: what the other one waits at most, beside one step. */
#define CLIENT_LEVELS_APART 3u
#define CLIENT_MODEST_US    100000u
#define CLIENT_GREEDY_US    1000u
/* Requests of at least the first, by what those of their connection took lately, are heavy. While
 * somebody is there who takes much less, so much of them is under way at once, of all clients
 * together: it lies in front of whatever comes then. One at least. */
#define CLIENT_HEAVY_US      20u
#define CLIENT_HEAVY_HELD_US 2000u
/* When none of them was done for so long, they wait for something else than time of this node (for
 * a leader, for memory that is freed when others read) and hold nobody back: forgotten. */
#define CLIENT_HEAVY_STUCK_US 10000u
/* What is read, compared or copied for a request behind its line takes so long: a checksum and a
 * copy. */
#define CLIENT_TOUCH_BYTES_PER_US 4096u
/* Less than this is not worth a word. */
#define SERVICE_TOUCH_BYTES_MIN 4096u
/* One send(2), all of them in a turn, and what they cost: copies into the kernel. */
#define CLIENT_SEND_BYTES          (1u << 20)
#define CLIENT_SEND_BYTES_PER_TURN (8u << 20)
#define CLIENT_SEND_BYTES_PER_US   1024u
/* The same by TLS, which is enciphered. */
#define CLIENT_SEND_TLS_BYTES_PER_US 512u
/* What OpenSSL keeps for a connection by TLS, which no account sees: while it is idle 14 KiB were
 * measured with a secret and 25 KiB with certificates on both sides, and 17 KiB more while a record
 * of it waits. Who finds no room for it is not taken (TLS-24). */
#define CLIENT_STREAM_BYTES (32u << 10)
/* Output memory that a connection keeps between turns while it is busy; an idle one keeps none. */
#define CLIENT_OUT_KEEP_BYTES 4096u
/* After its last line a connection that offended twice is given this long to read it; then it is
 * closed. */
#define CLIENT_LINGER_US 2000000u
/* Whether the socket of one that has been quiet for so long is as empty as it seemed is looked at
 * once: a reset is seen within a second or two (CLIENT-16). */
#define CLIENT_QUIET_US 500000u
/* The timer need not be exact: each deadline is met within an eighth of the shortest, and at most a
 * second. */
#define CLIENT_TICK_US_MIN 5000u
#define CLIENT_TICK_US_MAX 1000000u
/* [limits] connections; beyond it new ones get one `busy` line and are closed. Beyond the most,
 * more than one address of clients has ports, the configuration has a problem. */
#define CLIENT_CONNECTIONS_DEFAULT 10000u
#define CLIENT_CONNECTIONS_MAX     65536u
/* What one host may have of them unless [limits] connections_per_address says otherwise: a proxy or
 * a load generator finds room, and the rest is for the others (CLIENT-12). */
#define CLIENT_HOST_PERCENT 75u
/* When whoever got that line should try again: connections last longer than requests. */
#define CONNECTIONS_RETRY_AFTER_MS 1000u
/* Descriptors kept for peers and the log, out of RLIMIT_NOFILE (CLIENT-5). */
#define FDS_RESERVED 64u
/* ridd-protocol(7), WIRE-3. Beyond: `malformed`. */
#define JSON_DEPTH_MAX        16u
#define JSON_REQUEST_KEYS_MAX 32u
#define JSON_VALUE_KEYS_MAX   1024u
/* ridd-protocol(7): keys of one batch_read_index. */
#define BATCH_KEYS_MAX    128u
#define COMPARE_READS_MAX 100000u
/* max_stale_ms of a local_read: a day. Who takes older asks for no bound. */
#define MAX_STALE_MS_MAX 86400000u
/* ridd-protocol(7): items of a page of `scan`, and what ends it sooner (SCAN-3): so many bytes of
 * records read, given or not, and so much time, since a page is one step of a turn (TIME-1). An
 * item at least, and by time not before so many bytes, which lie side by side: on a busy machine
 * pages would be of one item each. What an item costs beside its bytes, in bytes that take as long
 * to copy: a few tenths of a microsecond. */
#define SCAN_ITEMS_MAX   1000u
#define SCAN_BYTES_MAX   (2u << 20)
#define SCAN_BYTES_LEAST (4u << 10)
#define SCAN_STEP_US     500u
#define SCAN_ITEM_COST   1024u
/* `cluster` of a read: what `status` shows has 16; longer: `malformed`. */
#define CLUSTER_HASH_BYTES_MAX  64u
#define COMPARE_CONCURRENCY_MAX 128u
#define TIMEOUT_MS_DEFAULT      5000u
#define TIMEOUT_MS_MAX          60000u
/* ridd-protocol(7): the numbers that a double holds exactly. Beyond: `malformed`. */
#define MSG_ID_MAX (((uint64_t)1 << 53) - 1)
/* src and dest of an envelope: 1 to this many bytes, otherwise `malformed`; they are copied for
 * every request in flight. */
#define WIRE_ENVELOPE_NAME_BYTES_MAX 255u
/* No tree is built of a longer line: in it values, and objects, arrays and names longer than the
 * second, are taken as text, but for a list that is no longer than one of keys (TIME-4); and
 * strings beyond the third, the text of the longest key with each byte of it escaped. A tree of so
 * many bytes takes some milliseconds. The most that is left of a line is twice the longest list of
 * keys, of which a tree takes ten milliseconds if each byte is an escape, and less than two if none
 * is. */
#define WIRE_TREE_BYTES         (16u << 10)
#define WIRE_LARGE_BYTES        256u
#define WIRE_KEY_TEXT_BYTES_MAX (6u * KEY_STRING_BYTES_MAX + 2u)
#define WIRE_LISTS_BYTES_MAX    ((size_t)2 * BATCH_KEYS_MAX * (WIRE_KEY_TEXT_BYTES_MAX + 1u))
/* Memory for the text of a request that is kept for the next; what is more is given back. */
#define WIRE_TEXT_KEEP_BYTES (128u << 10)
/* When a client that was told `busy` should try again: a few batches of the disk from now. */
#define RETRY_AFTER_MS 20u
/* The same of a change of the members, of which there is one at a time: the one before needs a
 * round of the log, or the leader hands over first. */
#define MEMBER_CHANGES_MAX    1u
#define MEMBER_RETRY_AFTER_MS 200u
/* Of one read within a run of compare_read_methods: far beyond any step-down. Beyond it the run
 * ends with the reason. */
#define COMPARE_DEADLINE_US 60000000u
/* Reads of each method that are not counted: they pay for cold caches and a first round trip that
 * nothing is known of. More of them would only make a run longer. */
#define COMPARE_WARM_UP_READS 8u
/* Reads of each method whose cost is measured: what else passes in their time is a small part. */
#define COMPARE_COST_READS 256u
/* The bound of bounded_read in a run that gives none: many heartbeats. */
#define COMPARE_STALE_MS_DEFAULT 1000u
/* What a run remembers of what was known when, for the bounded ones: a second and more, and what is
 * older is demanded of nobody. */
#define COMPARE_FACTS   4096u
#define COMPARE_FACT_US 250u
/* How old may be in `status` what is dear to find out: quick for a person, and a tenth of the
 * cost for who asks without a pause (TIME-4). */
#define STATUS_FRESH_US 20000u
/* Memory for the encoding of a command that is kept for the next; what is more is given back. */
#define SERVICE_SCRATCH_KEEP_BYTES (64u << 10)

/* ---- the log ---- */

/* A batch never spans two segments and one record holds one entry. */
/* A start reads a segment in pieces of so much, and tells of each: a disk of 1 MB/s is none that
 * hangs. */
#define STORE_LOAD_PIECE_BYTES    (4u << 20)
#define STORE_SEGMENT_FIRST_BYTES (1u << 20)
#define STORE_SEGMENT_BYTES       (64u << 20)
#define STORE_BATCH_BYTES_MAX     (8u << 20)
/* [log] segment_size: at least the first segment's, and at most what a file of ours may have.
 * Beyond them the configuration has a problem. */
#define STORE_SEGMENT_BYTES_MIN STORE_SEGMENT_FIRST_BYTES
#define STORE_SEGMENT_BYTES_MAX (1u << 30)
/* No file of ours is larger (a segment, or one made larger for a batch); a larger one is refused
 * before it is read. */
#define STORE_FILE_BYTES_MAX (1u << 30)
static_assert(STORE_SEGMENT_BYTES_MAX <= STORE_FILE_BYTES_MAX, "every segment can be read back");
/* A batch of the disk takes at most so long, as measured, however much is queued: then what it did
 * is known, and the next is begun. It may have this much at least, whatever the disk does. */
#define STORE_BATCH_BYTES_MIN      (256u << 10)
#define STORE_BATCHES_PER_ELECTION 4u
/* Times of syncs are forgotten after once to twice this. */
#define STORE_SYNC_WINDOW_US UINT64_C(30000000)
/* Zeros written and synced per slice of preparation, when nothing is queued and when a batch waits
 * for it. */
#define STORE_PREPARE_BYTES      (512u << 10)
#define STORE_PREPARE_BUSY_BYTES (128u << 10)
/* Copies of torn tails kept for a person to look at; beyond it the oldest makes room. */
#define STORE_TORN_COPIES_MAX 4u
/* Files of closed segments that store_read() keeps open; the one used longest ago gives way. */
#define STORE_READ_FILES_MAX 8u
/* Old entries that are read ahead: what one window holds, and how many there are, more than the
 * places of the log where somebody may read (each follower, and apply). Together at most some
 * 6 MiB, and an entry of the largest size for each; beyond it whoever asks waits for a window. */
#define STORE_WINDOW_BYTES   (256u << 10)
#define STORE_WINDOW_ENTRIES 1024u
#define STORE_WINDOWS_MAX    24u
/* What store_read() takes from a file at once. */
#define STORE_READ_BYTES (64u << 10)
/* Memory for building batches that is kept from one to the next; what is more is given back. */
#define STORE_KEEP_BYTES (1u << 20)
/* Quiet after a sync for this long: the mark is written that says how far the log was synced
 * (DISK-18). */
#define STORE_SYNC_MARK_NS 5000000
/* How often a full disk is tried again while nothing else happens. */
#define STORE_NO_SPACE_NS 100000000
/* After a failed attempt to make room: calls left out before the next one, at most. */
#define STORE_NO_SPACE_SKIP_MAX 8u
/* Kept for term, vote, no-op and configuration where the disk is full: a follower takes no entries
 * that would need it, and a start that finds nothing else opens a segment of two thirds of it:
 * cutting the one before gives that much back. */
#define STORE_KEPT_BYTES (48u << 10)

/* ---- the state ---- */

/* LMDB's default limit; a static library cannot be asked at compile time. Keys of ours are shorter
 * by their own bound. */
#define LMDB_KEY_BYTES_MAX 511u
static_assert(KEY_BYTES_MAX <= LMDB_KEY_BYTES_MAX, "LMDB must take every key");
/* Read transactions open at once; beyond it one more fails. The loop opens one at a time,
 * and a copy has one. */
#define KV_READERS_DEFAULT 16u
/* What was applied is stored when it is so many entries; twice as many a start applies again at
 * most, in some tens of milliseconds, and on a full disk more. */
#define KV_UNSTORED_MAX 16384u
/* Or when it is so many keys, or bytes of them and their records. Where the state has more pages
 * than this each key stands on one of its own, and there is less to be won by more of them. */
#define KV_MEMTABLE_KEYS        8192u
#define KV_MEMTABLE_KEYS_SPREAD 1024u
#define KV_MEMTABLE_PAGES       1024u
#define KV_MEMTABLE_BYTES       (4u << 20)
/* It is put into the file in steps, each of so much time of the loop, and as much more as it takes
 * to have all of it there when what comes meanwhile fills two thirds of the next memtable. */
#define KV_FLUSH_STEP_US 300u
#define KV_FLUSH_PACE    1.5
/* Or when it would need this part of the blocks that were taken ahead: so many keys share a page,
 * of those that are new. */
#define KV_MEMTABLE_AHEAD_PART    3u
#define KV_MEMTABLE_KEYS_PER_PAGE 16u
/* Or when a key stands so far from its place in the table: somebody has chosen keys that fall
 * together. */
#define KV_MEMTABLE_STEPS_MAX 64u
/* Its table begins with so many places, a power of two; half of them are taken at most, and this
 * part of a half. A place holds the number of a key in so many bits. */
#define KV_MEMTABLE_SLOTS_MIN   1024u
#define KV_MEMTABLE_SLOTS_PART  8u
#define KV_MEMTABLE_NUMBER_BITS 20u
static_assert(KV_MEMTABLE_KEYS + KV_UNSTORED_MAX < 1u << KV_MEMTABLE_NUMBER_BITS, "all have one");
/* What a record counts of the quota beside its key and text: its header of 32 bytes, and what LMDB
 * needs for it in a page that is two thirds full. The same on every node, for ever. */
#define KV_RECORD_OVERHEAD 64u
/* SESSION-2: answers that a session keeps. Who has more writes in flight than this may be told that
 * the oldest of them is not known any more. The same on every node, for ever: what is kept decides
 * what is applied. So are the three below (SESSION-5). */
#define SESSION_ANSWERS_MAX 128u
/* Sessions at once, and bytes of their records: each client process has one, and with all answers
 * kept it takes some 2 KiB, with those that the client still waits for some 100 bytes. Under a
 * limit of the state they have no more than one part in so many of that. Beyond either the one that
 * was not used for the longest time goes. */
#define SESSIONS_MAX        4096u
#define SESSIONS_BYTES_MAX  (8u << 20)
#define SESSIONS_QUOTA_PART 8u
/* The id of a session that is one client's alone has a seal behind its number: 64 bits, always all
 * digits of them, so that no number is as long as both. The kind of client is sealed with it, with
 * zeros behind. */
#define SESSION_SEAL_DIGITS     20
#define SESSION_SEAL_KIND_BYTES 16u
/* The key of seals: an id of a cluster is one. */
#define TLS_SEAL_KEY_BYTES 16u
/* So many go for one entry at most, some 20 us each: when the limit was lowered it takes a few
 * entries until there are few enough. */
#define SESSIONS_GONE_AT_ONCE 8u
/* LMDB's map is address space (SPACE-3): so much is asked for at first, or eight times the quota if
 * that is more; where the kernel gives less (ulimit -v) half of it, down to the least, so that a
 * third is left for all else. It is made larger before a transaction that would find less than the
 * room left: four times what the largest batch of entries, 4 MiB and as many pages for keys here
 * and there, can write. */
#define KV_MAP_BYTES      (sizeof(size_t) > 4 ? (uint64_t)64 << 30 : (uint64_t)512 << 20)
#define KV_MAP_BYTES_MAX  (sizeof(size_t) > 4 ? (uint64_t)1 << 45 : (uint64_t)1 << 30)
#define KV_MAP_QUOTAS     8u
#define KV_MAP_BYTES_MIN  (16u << 20)
#define KV_MAP_ROOM_BYTES (64u << 20)
/* Blocks of the data file that are taken before they are needed, so that what a leader has accepted
 * can be applied on a disk that is full (SPACE-6): twice what it may have under way, and what the
 * memtable holds; of a small disk a sixteenth, of a small quota a quarter. Taken again when half of
 * it is used. */
#define KV_AHEAD_BYTES      (2ull * RAFT_UNCOMMITTED_BYTES_MAX)
#define KV_AHEAD_PART       16u
#define KV_AHEAD_QUOTA_PART 4u
/* With less than this free a disk is full, whatever LMDB calls the write that failed. */
#define KV_DISK_FULL_BYTES (1u << 20)
/* And so often in a row it is taken for full although there is room. */
#define KV_EIO_MAX 10u
/* LMDB's lock file is written through a map: it has its blocks before, or a full disk is a
 * SIGBUS. */
#define KV_LOCK_FILE_BYTES 8192u
/* The start reads the state once through; so much of it is asked of the kernel in the order of the
 * file, the rest page by page as the keys lead. */
#define KV_READ_AHEAD_BYTES (1024u << 20)
#define KV_READ_AHEAD_STEP  (128u << 10)
/* The scrub reads only what is in memory, and asks the kernel for the rest. A page that was asked
 * for so often and is still not there is waited for: memory is short, and the loop would ask for
 * ever. */
#define KV_SCRUB_ASKS_MAX 100u
/* A list of free pages that is longer than so many pages itself, or a file of more pages, is not
 * held against what is read (the scrub, an absence): it would have to be read anew after every
 * transaction. */
#define KV_SCRUB_LIST_PAGES_MAX 64u
#define KV_SCRUB_PAGES_MAX      (4u << 20)
/* Pages whose check is remembered for absences (256 MiB of state), and inner ones that are held. */
#define KV_SOUND_PAGES_MAX (1u << 16)
#define KV_HELD_PAGES      1024u
/* Nodes compare the digests of their states at equal indexes, so each remembers some. A node that
 * is more than 16 * 1,024 entries behind finds none in common: nothing is compared until it is
 * nearer. */
#define KV_DIGEST_EVERY 1024u
#define KV_DIGESTS_KEPT 16u
/* A copy of the state goes on in pieces of so much: what is in memory of it, beside two buffers of
 * LMDB's of 1 MiB each. */
#define KV_COPY_PIECE_BYTES (256u << 10)
/* Files of the state that lost their names and are not closed yet. There is one for each time that
 * a state is set aside or replaced, and they are closed within moments; of more the room is given
 * back at once, by whoever takes the name away. */
#define KV_LEAVINGS_MAX 4u
/* One that was received is synced each time that so much of it was written: what the log syncs
 * meanwhile waits behind no more than this. */
#define KV_PREPARE_SYNC_BYTES (8u << 20)
static_assert(KV_PREPARE_SYNC_BYTES % KV_COPY_PIECE_BYTES == 0, "it is synced between pieces");
/* Small durable files (base/mark.h): a larger payload cannot be written, a larger file is
 * damaged. */
#define MARK_BYTES_MAX (64u << 10)
/* Kept in the folder of the state for these files, and for LMDB's lock file, on a full disk: room
 * for a few of them at once. */
#define MARK_RESERVE_BYTES (64u << 10)
/* Their names are constants of ours; a longer one is refused as a programmer's error. */
#define MARK_NAME_BYTES_MAX 32u

/* ---- histories ---- */

/* Points that a search remembers, at 16 bytes each: half a gigabyte when the table has doubled for
 * the last time. Beyond it the judge gives up, which is no success. */
#define HISTORY_STATES_MAX ((size_t)16 << 20)

/* ---- ridbench ---- */

/* Addresses of a cluster, and of leaders that it names. What is beyond is not followed. */
#define LOAD_TARGETS_MAX       64u
#define LOAD_ADDRESS_BYTES_MAX 300u
/* Names of errors that are counted apart; the last takes all others. */
#define LOAD_ERRORS_MAX      32u
#define LOAD_ERROR_BYTES_MAX 31u
/* The first error and the first wrong answer, in full; what is longer is cut. */
#define LOAD_TEXT_BYTES_MAX 700u
/* What one process can drive; more is a mistake. */
#define LOAD_CONNECTIONS_MAX 10000u
#define LOAD_THREADS_MAX     64u
#define LOAD_SECONDS_MAX     86400u
/* Keys have eight digits. */
#define LOAD_KEYS_MAX 100000000u
#define LOAD_OF_MAX   128u
/* Operations that --check records and judges; at some hundred bytes each two gibibytes. What comes
 * later is not judged, and that is said. */
#define LOAD_HISTORY_MAX ((size_t)20 * 1000 * 1000)
/* One read(2); answers that do not fit come with the next. */
#define LOAD_READ_BYTES (256u << 10)
/* An answer that is longer than this is none: a scan of LOAD_OF_MAX of the largest values. */
#define LOAD_ANSWER_BYTES_MAX ((size_t)16 << 20)
/* Events of one turn. */
#define LOAD_EVENTS_MAX 256u
/* Between two tries to connect: the time without a leader is measured, and is wrong by as much. */
#define LOAD_PAUSE_NS     2000000u
#define LOAD_PAUSE_NS_MAX 10000000u
/* A host that is down does not refuse: then the next one is tried. */
#define LOAD_DIAL_NS 1000000000u
/* How often it is looked at what waits too long, and told how far the load is. */
#define LOAD_LOOK_NS 50000000u
#define LOAD_SAY_NS  1000000000u
/* Of what is not measured: keys are written and removed as fast as a cluster takes them. */
#define LOAD_BULK_CONNECTIONS 8u
#define LOAD_BULK_IN_FLIGHT   64u
/* --failover: how often it is looked whether somebody took over, and all are well again; how long
 * that may take; how far behind its leader a node may be that is well, under load. */
#define BENCH_FAILOVER_LOOK_NS 1000000
#define BENCH_FAILOVER_GONE_MS 5000
#define BENCH_FAILOVER_NS_MAX  (60 * UINT64_C(1000000000))
#define BENCH_FAILOVER_BEHIND  1000u
#define BENCH_ROUNDS_MAX       1000u
#define BENCH_ROUNDS_DEFAULT   10u
/* What is in flight at the end is waited for, by nobody for longer than its time and this. */
#define LOAD_LAST_NS 1000000000u

/* ---- snapshots ---- */

/* The copy in one: as much as a map may ever have, on machines of any width. A trailer that says
 * more is damaged, and a writer that is given more ends as on a full disk. */
#define SNAP_BYTES_MAX ((uint64_t)1 << 45)
static_assert(KV_MAP_BYTES_MAX <= SNAP_BYTES_MAX, "what a map holds can be copied");
/* Numbers and the largest configuration, and as much again for later versions, which keep to it: a
 * longer one is none, and is damaged. */
#define SNAP_TRAILER_BYTES (16u << 10)
static_assert(512 + RAFT_SERVERS_MAX * (64 + NODE_NAME_BYTES_MAX + 2 * ADDRESS_BYTES_MAX) +
                      RAFT_REMOVED_MAX * (32 + NODE_NAME_BYTES_MAX) <=
                  SNAP_TRAILER_BYTES,
              "a trailer has room for the largest configuration");
/* One that is being written is synced each time that so much came to it: what the log syncs
 * meanwhile waits behind no more than this, and the end of it is no burst. */
#define SNAP_SYNC_BYTES (4u << 20)
/* Read at once while one is read again; it takes as long as it takes, on a thread of its own. */
#define SNAP_CHECK_BYTES (256u << 10)
/* In the folder at once: mostly one, or two until the newer was read again; those that are being
 * read; and what a person put there. At the start the oldest above it are left alone; a writer
 * ends as on a full disk. */
#define SNAP_FILES_MAX 64u

/* ---- backups ---- */

/* What stands behind the snapshot in one: a few short texts, and as much again for later versions,
 * which keep to it. A longer one is none, and the backup is damaged. */
#define BACKUP_LABEL_BYTES_MAX 1024u
/* "ridctl 0.1.0" of it. Who has a longer name is cut when it is made. */
#define BACKUP_PROGRAM_BYTES_MAX 47u
/* The log of a restored cluster begins at an index that is the time, so many a millisecond since
 * the first of January 2026: a million entries a second, twenty times what a cluster writes. So
 * nothing that was written before, into whichever cluster, stands as high (BACKUP-2). */
#define BACKUP_INDEX_PER_MS   1024u
#define BACKUP_INDEX_EPOCH_US UINT64_C(1767225600000000)
/* Up to a hundred years after that a clock is believed, which keeps each index a number that a
 * double holds; and if it is not that long before the backup was begun, nor so long after. */
#define BACKUP_CLOCK_FAR_US  UINT64_C(3155760000000000)
#define BACKUP_CLOCK_SKEW_US UINT64_C(600000000)
#define BACKUP_AGE_US_MAX    UINT64_C(631152000000000)
static_assert((BACKUP_CLOCK_FAR_US + BACKUP_AGE_US_MAX) / 1000 * BACKUP_INDEX_PER_MS < (uint64_t)1
                                                                                           << 53,
              "JSON readers of the usual kind take it for what it is");
/* Where the clock is not believed the log begins this far above the backup, and up to as much again
 * by chance: the cluster that was would have to have written for eight months since, at 50,000
 * entries a second. Of RAFT_INDEX_MAX it takes less than a part in 30,000 each time; who has not as
 * much left is refused. */
#define BACKUP_INDEX_STEP ((uint64_t)1 << 40)
/* LOCK that was removed between opening and locking is opened again so often. */
#define IDENTITY_LOCK_TRIES 100u
/* How often a terminal is told how far a restore is. */
#define RESTORE_SHOW_US 100000u
static_assert(BACKUP_INDEX_STEP * 4096 <= RAFT_INDEX_MAX,
              "thousands of restores, each of the last");

/* ---- policies of a node ---- */

/* Messages that no correct node sends: five lines in ten seconds, the rest is counted. */
#define INVALID_LOG_WINDOW_US 10000000u
#define INVALID_LOG_BURST     5u
/* That the terms run out: one line in a minute, for as long as it is so. */
#define TERMS_LOG_WINDOW_US 60000000u
/* Links of one peer that come and go: eight lines in ten seconds, the rest is counted. */
#define PEER_LOG_WINDOW_US 10000000u
#define PEER_LOG_BURST     8u
/* Peers that are refused: five lines in ten seconds, the rest is counted; they come again and
 * again. */
#define REFUSED_LOG_WINDOW_US 10000000u
#define REFUSED_LOG_BURST     5u
/* The loop wakes at least this often, whatever is due. */
#define NODE_WAIT_US_MAX 1000000u
/* Turns of the loop that last less than the first, with the waiting before them, have their CPU
 * time asked for together, until they have lasted for the second. */
#define TURN_SHORT_US  100u
#define TURNS_SHORT_US 500u
/* How old STATUS= of systemd may be while role, term and leader stay the same. */
#define NODE_STATUS_US 10000000u
/* A start that takes long says how far it is: to systemd as often as the first, in the log as often
 * as the second. Each time that it has come further it asks for the third: no step of it that moves
 * may take longer, and one that hangs is ended then (UNIT-1). */
#define NODE_START_SAY_US    1000000u
#define NODE_START_LOG_US    10000000u
#define NODE_START_EXTEND_US 60000000u
static_assert(NODE_START_EXTEND_US >= 10 * NODE_START_SAY_US, "it is asked for in time");
/* How long STATUS= begins with what a reload took. */
#define NODE_RELOADED_US 60000000u
/* How often the free space is looked at, and a leader's limit of the state is compared. */
#define SPACE_LOOK_US 100000u
/* An entry that sets the limit and is not applied by then is proposed again. */
#define SPACE_LIMIT_US 5000000u
/* How long an apply that found no room waits before the next attempt. */
#define STATE_RETRY_US 100000u
/* How long the file of the state may lack what was applied: after a kill of the machine it says how
 * far the log must reach. */
#define STATE_AHEAD_US 1000000u
/* Of a processor: a loop that uses more than the first is what everybody waits for, one that uses
 * less than the second is not any more. How often that is looked at. */
#define LOAD_BUSY_PERCENT 90u
#define LOAD_IDLE_PERCENT 75u
#define LOAD_LOOK_US      100000u
static_assert(LOAD_IDLE_PERCENT < LOAD_BUSY_PERCENT, "a gap against flapping");
/* A sync that takes more of the election timeout than this is slow: two of them, as an election
 * needs, do not fit into it (DISK-32). How often that is looked at, and how soon after one line
 * about it the next may follow. */
#define DISK_SLOW_PERCENT 60u
#define DISK_LOOK_US      1000000u
#define DISK_SAY_US       10000000u
/* The state of a running node is read through in slices of so many bytes, each a fraction of a
 * millisecond in the loop, one after the other at the rate of [state] scrub, with a pause between
 * two passes. A pass that was asked for is not held to the rate. A page that comes from the disk
 * is asked for again after a while. */
#define SCRUB_SLICE_BYTES      (128u << 10)
#define SCRUB_PAUSE_US         10000000u
#define SCRUB_HURRY_US         1000u
#define SCRUB_WAIT_US          2000u
#define CONF_SCRUB_MIB_DEFAULT 4u
#define CONF_SCRUB_MIB_MAX     1024u
/* systemd's watchdog is answered twice in its time; a shorter time than this counts as this. */
#define WATCHDOG_US_MIN 10000u
/* Names of peers of all times. Beyond: no new peer is accepted. */
#define IDENTITY_PEERS_MAX 256u
/* ridd --init asks each peer for at most this long whether it knows this node already. */
#define INIT_PROBE_MS 500u
/* At SIGTERM leadership is handed over for at most the first, then what is owed is answered for at
 * most the second; then the node ends all the same. */
#define TRANSFER_US 5000000u
#define DRAIN_US    10000000u

/* ---- configuration ---- */

/* A configuration is a page or two; more is the wrong file: one problem. */
#define CONF_FILE_BYTES_MAX (256u << 10)
/* Beyond it the rest is summed up in one line. */
#define CONF_PROBLEMS_MAX 100u
/* [node] client: what the kernel takes of the path of a socket. A longer one has a problem. */
#define CONF_SOCKET_BYTES_MAX 107u
/* [access]: names in one list, and bytes of a name (useradd takes 32; others' directories take
 * more). Beyond them the list has a problem. */
#define CONF_WHO_MAX            16u
#define CONF_WHO_NAME_BYTES_MAX 63u
/* As CONF_DATA_DIR_BYTES_MAX, of such a list as it is printed. */
#define CONF_WHO_BYTES_MAX 180u
/* Groups of a local client that are looked at: what Linux lets a process have (NGROUPS_MAX). */
#define ACCESS_GROUPS_MAX 65536u
/* How long a start waits for the names of [access]; they are taken when they come. */
#define ACCESS_START_S 2
/* Look-ups under way at once: those before a reload may hang. Beyond: the lists stay. */
#define ACCESS_SEARCHES_MAX 4u
/* Who somebody is, in words: "certificate app1.example.org (app1), token ci". What does not fit is
 * cut off. */
#define SERVICE_WHO_BYTES 224u
/* What an admin's request names, in a line of the log: two names of nodes and two addresses. What
 * does not fit is cut off. */
#define ACCESS_WORDS_BYTES 700u
/* Prefixes that a denial names; the others are counted. */
#define ACCESS_PREFIXES_SAID 4u
/* A compare with more reads than this is for admins alone. */
#define ACCESS_COMPARE_READS 1000u
/* What a user or group is known by may be long, a group of thousands: it is asked for again with
 * more room, from the first up to the second; one that does not fit stands for nobody. */
#define ACCESS_RECORD_BYTES     1024u
#define ACCESS_RECORD_BYTES_MAX (4u << 20)
/* A client that is denied something is written about five times in ten seconds, and counted. */
#define ACCESS_LOG_WINDOW_US 10000000u
#define ACCESS_LOG_BURST     5u
/* Secrets of TLS: the shortest that is one, 256 bits; the longest that is read; how many a file has
 * while they rotate. Others are a problem of the file. */
#define TLS_SECRET_BYTES_MIN 32u
#define TLS_SECRET_BYTES_MAX 128u
#define TLS_SECRETS_MAX      4u
/* What tells one secret from another, and a key that is derived of one: 256 bits. */
#define TLS_SECRET_ID_BYTES 8u
#define TLS_PSK_BYTES       32u
/* Of a file of secrets: with comments. A longer one is none. */
#define TLS_SECRET_FILE_BYTES_MAX 8192u
/* "ridd_" and 32 bytes in hexadecimal. */
#define TLS_TOKEN_TEXT_BYTES 69u
/* What is kept of a token: SHA-256. */
#define ACCESS_HASH_BYTES 32u
/* `auth`: what is taken as a token at all; ours have less. A longer one is malformed. */
#define AUTH_TOKEN_BYTES_MAX 128u
/* Paths in [security], as CONF_DATA_DIR_BYTES_MAX. */
#define TLS_FILE_BYTES_MAX 180u
/* Names of a certificate: one of them, and all together; what does not fit is no name. */
#define TLS_NAME_BYTES_MAX  127u
#define TLS_NAMES_BYTES_MAX 511u
/* Why a handshake failed, as a sentence; cut to it. */
#define TLS_WHY_BYTES 320u
/* How often a client may change its keys: so often, and once more for each so many bytes; then it
 * is closed. Nobody needs to for less than some hundred gigabytes. */
#define TLS_KEY_UPDATES_MAX  64u
#define TLS_KEY_UPDATE_BYTES (1u << 20)
/* Of files whose end is watched. */
#define TLS_EXPIRIES_MAX 8u
/* Handshakes under way on one port; whoever comes then makes the one of the host with most go. */
#define TLS_GREETINGS_MAX 256u
/* One that came just now may be about to speak, and is no longer than this out of turn. */
#define TLS_GREETING_YOUNG_US 20000u
/* Of those that are done so many are handed over in one turn of the loop, the rest in the next. */
#define TLS_GREETINGS_PER_TURN 64u
/* How often the thread looks for those that are too late. */
#define TLS_GREETER_TICK_US 50000
/* After a step that took so much of the processor the thread rests for a moment: whoever waits for
 * the same core gets on. */
#define TLS_GREETER_WORK_US 50u
#define TLS_GREETER_REST_NS 50000
/* From a connection to the end of its handshake; then it is closed. */
#define TLS_HANDSHAKE_US 5000000u
/* The thread that shakes hands with clients stands behind the loop and the log, where the
 * processors do not suffice: nice(2). */
#define CLIENT_GREETER_NICE 5
/* A certificate that ends within 30 days is warned of. */
#define TLS_EXPIRY_WARNING_S (INT64_C(30) * 86400)
/* A day; so often that is looked at. */
#define TLS_DAY_S          86400
#define TLS_EXPIRY_LOOK_US (UINT64_C(1000000) * TLS_DAY_S)
/* A sentence with an address. */
#define CONF_OPEN_WARNING_BYTES (ADDRESS_BYTES_MAX + 200u)
/* Lines of [access] that name somebody, bytes of whom they name and of a prefix of keys. */
#define CONF_GRANTS_MAX          64u
#define CONF_GRANT_WHO_BYTES_MAX 127u
#define CONF_PREFIX_BYTES_MAX    63u
/* Of the hash of a token in [access], SHA-256 in hexadecimal; more or fewer are a problem. */
#define CONF_TOKEN_DIGITS 64u
/* Addresses of [node] listen. */
#define CONF_LISTEN_MAX 4u
/* With the one on the line of [peers]. */
#define CLIENT_LISTENERS_MAX (CONF_LISTEN_MAX + 1u)
/* What inih takes of a line. A longer one is a problem, and so is one that would be longer as
 * conf_print() writes it. */
#define CONF_LINE_BYTES_MAX 197u
/* After %i is replaced; conf_print() must fit it into one line of the file, which inih bounds at
 * 197 bytes. A longer one is a problem. */
#define CONF_DATA_DIR_BYTES_MAX 180u
/* ridd.conf(5), [raft]: from what a fast machine can keep up with to what a person would wait for.
 * Beyond them is a problem. */
#define CONF_HEARTBEAT_MS_MIN 1u
#define CONF_HEARTBEAT_MS_MAX 10000u
#define CONF_ELECTION_MS_MIN  10u
#define CONF_ELECTION_MS_MAX  60000u
/* ridd.conf(5), read rounds: more only cost messages. A larger number is a problem. */
#define CONF_ROUNDS_MAX 8u
/* [node] map_size. The most is half an address space: 1T where pointers are wide, 1G where they are
 * not; below the least next to nothing would fit. Beyond them is a problem. */
#define CONF_MAP_BYTES_MIN     ((uint64_t)1 << 20)
#define CONF_MAP_BYTES_DEFAULT ((uint64_t)1 << 30)
#define CONF_MAP_BYTES_MAX     (sizeof(size_t) > 4 ? (uint64_t)1 << 40 : (uint64_t)1 << 30)
/* For "did you mean": a longer word is like none. */
#define CONF_WORD_BYTES_MAX 64u
/* So many hexadecimal digits in a row are half of what the least secret has (TLS_SECRET_BYTES_MIN):
 * they are left out of what is said of [security] and [access], and of a bundle's copy of the file,
 * whatever they are. */
#define CONF_HEX_DIGITS_MAX 32u
/* A host name in full (RFC 1035); a longer one is a problem. */
#define HOST_BYTES_MAX 253u

/* ---- libridd ---- */

/* The longest line taken from a server: REPLY_BYTES_MAX is what it promises, the rest is for
 * envelopes of the future. Beyond it the connection is closed (RIDD_BAD_REPLY). */
#define CALL_LINE_BYTES_MAX (REPLY_BYTES_MAX + (64u << 10))
/* Between attempts: 10 ms at first, doubled up to 400 ms, half of it to one and a half times as
 * much by chance, so that clients that failed together do not come back together. */
#define CALL_BACKOFF_US_MIN 10000u
#define CALL_BACKOFF_US_MAX 400000u
/* A pause is so much longer or shorter by chance. */
#define CALL_JITTER_PERCENT 50u
/* Hints followed at once; a longer chain is two nodes that each believe in the other, and waits in
 * between. */
#define CALL_HINTS_MAX 3u
/* Who names a leader that could not be reached a moment ago is asked again after so long, twice as
 * long each time, half of it to one and a half times as much by chance, and so many times: a
 * follower learns in milliseconds that its leader's process has ended, and keeps what comes from
 * then on until it knows the next one (FAILOVER-5). */
#define CALL_STALE_US  2000u
#define CALL_STALE_MAX 5u
/* A read gives no node more than half of what is left, so that a node which hangs does not eat the
 * whole call. */
#define CALL_READ_SHARE 2u
/* No further attempt begins with less than this left, or a tenth of the call's time if that is
 * less: a write that leaves at the last moment only turns a certain failure into an unknown
 * outcome. */
#define CALL_LAST_ATTEMPT_US 20000u
/* One address of one node, within the call's own time; then the next is tried. */
#define CALL_CONNECT_MS 1000u
/* Of the time that a call has left the server is told a tenth less, at most this: it must answer
 * before nobody listens any more. */
#define CALL_SERVER_RESERVE_US 100000u
/* One wait in poll(2), whose argument is an int; a longer one is made of several. */
#define CALL_POLL_MS_MAX 60000
/* A server that is `busy` for longer is asked again after this. */
#define CALL_RETRY_AFTER_MS_MAX 60000u
/* Codes of errors: Maelstrom's have two digits, those of a user at least four. A larger one is none
 * and counts as the code of what may have happened or not. */
#define CALL_ERROR_CODE_MAX 99999
/* A day, for runs that measure. A longer timeout is RIDD_INVALID. */
#define CALL_LONG_TIMEOUT_MS_MAX 86400000u
/* Nodes that a client knows: those of its list, and as many that hints have named. Of the latter
 * one that has nothing under way gives its place to a new one; without such the hint counts as
 * none. */
#define CALL_NODES_MAX 64u
/* Requests that are begun and not called back, and their bytes, unless ridd_set_limits() says
 * otherwise: 10,000 take some tens of megabytes. Beyond them nothing is begun (RIDD_BUSY). */
#define CALL_REQUESTS_DEFAULT 10000u
#define CALL_REQUESTS_MAX     1000000u
#define CALL_BYTES_DEFAULT    ((size_t)64 << 20)
/* Unanswered at one node: as many as a server reads without waiting, unless it is told otherwise.
 * The others wait here, where they can still be given up for certain. */
#define CALL_IN_FLIGHT_DEFAULT CLIENT_IN_FLIGHT_DEFAULT
#define CALL_IN_FLIGHT_MAX     CLIENT_IN_FLIGHT_MAX
/* While so much is written and not taken by the kernel no further request is written: beyond it
 * only the rest of one line waits. */
#define CALL_OUT_BYTES_LOW (64u << 10)
/* Descriptors that one turn looks at; the others are looked at in the next. */
#define CALL_EVENTS_MAX 64
/* What one call asks the kernel for at least; twice as much as long as a line goes on. */
#define CALL_READ_BYTES 4096u
/* What one connection may read in one turn of ridd_process(); the rest comes in the next, so that
 * nobody's callbacks wait for one server. */
#define CALL_TURN_BYTES (256u << 10)
/* A token that is sent, as AUTH_TOKEN_BYTES_MAX. A longer one is RIDD_INVALID. */
#define CALL_TOKEN_BYTES_MAX AUTH_TOKEN_BYTES_MAX
/* Numbers of a write session that may be under way at once: so many answers the servers keep for
 * each client. Further writes wait for the lowest to be answered. */
#define CALL_SESSION_WINDOW 128u
/* A node's score as a place to read doubles with each read that took too long, up to a thousand
 * times; a node that was not heard of for a second is asked once in each second whether it is
 * better. */
#define CALL_SLOW_DOUBLINGS_MAX 10u
#define CALL_PROBE_US           1000000u
/* A node that was never read from counts as this fast: as a node in the same room. */
#define CALL_LATENCY_US_FIRST 500u
/* A moving average with an eighth for the newest. */
#define CALL_LATENCY_SHARE 8u

/* ---- ridctl ---- */

/* The line of a client's secret: its name, which it is of, and 64 digits. */
#define CTL_SECRET_LINE_SIZE 256u

/* ridctl waits for so long for an answer on the socket of this host's node, then it asks by TCP. */
#define CTL_LOCAL_MS 1000u
/* How long `status`, `ping` and `members` wait for one node, and beyond the nodes' own time for
 * starting threads on a busy machine. A node that is later is shown as silent. */
#define CTL_ASK_MS 1000u
/* Columns of a line for people: a terminal of 80 wraps none. What cannot be broken stands alone. */
#define CTL_LINE_COLUMNS 79u
/* `status --watch`, `top`, `events -f`: so often they look, if nobody says otherwise. */
#define CTL_LOOK_EVERY_MS 1000u
/* `events`: so many are asked of a node at once, as many as it keeps; so many are shown at first, a
 * terminal's rows; and with -f so often, in looks, it is asked who belongs to the cluster. */
#define CTL_EVENTS_AT_ONCE EVENTS_KEPT_MAX
#define CTL_EVENTS_SHOWN   20u
#define CTL_MEMBERS_EVERY  10u
/* `check`: a node that runs for less has started lately; within which time other leaders count; and
 * from where on a lag is a warning or critical: beyond what `status` calls behind. What else it has
 * limits for are shares and counts, in check_int.h. */
#define CTL_CHECK_YOUNG_MS 600000
#define CTL_CHECK_LATELY_S 3600u
#define CTL_CHECK_LAG      10000
#define CTL_CHECK_LAG_FAR  100000
/* `status -v`: so many keys are shown as a number, and more in a short form. */
#define CTL_KEYS_EXACT 100000
/* The widest table of a verb; asserted. */
#define TABLE_COLUMNS_MAX 16
/* `status`: what all nodes have against themselves and each other. Four each is more than was ever
 * seen at once; what comes behind is not shown, the verdict is the same. A text is one line of a
 * terminal or three; a longer one is cut. */
#define VERDICT_REASONS_MAX 128u
#define VERDICT_TEXT_BYTES  255u
/* `status`: a node that lacks more entries than this is behind. What is under way while the leader
 * is busy lies below: some thousand small entries fill all that one link may have in flight. */
#define VERDICT_BEHIND_ENTRIES 10000
/* The longest that a run of `compare` may take before ridctl gives up on it, and how often it shows
 * how far it got. */
#define CTL_COMPARE_TIMEOUT_MS 86400000u
/* Numbers of `compare --readers`. With --all: how often the leader is looked at until it writes;
 * the run goes on after that in any case, and says when nothing was written. */
#define CTL_READERS_MAX       8u
#define CTL_COMPARE_LOOKS     1000u
#define CTL_PROGRESS_EVERY_MS 200u
/* `snapshot`: one that has not begun for so long does not wait for a moment, but for something. */
#define CTL_SNAPSHOT_IDLE_MS 5000u
/* `ridctl backup save`: a node that has not applied in this time what was acknowledged when the
 * command began is not waited for any longer. */
#define CTL_BACKUP_REACH_MS 30000u
/* How much shorter than the own clock says a node may have been up without having been started
 * again; of a long wait a part in a hundred, too. */
#define CTL_UPTIME_SLACK_MS 1000u
/* So often it begins anew where a node has let go of what was being fetched: once for what an
 * earlier run had begun, and then another time at most. */
#define CTL_BACKUP_TRIES 3u
/* `member`: so long it asks again while another change is under way. */
#define MEMBER_BUSY_MS 30000u
/* The same: so long nobody is seen to do anything for the change, and it is asked for again. */
#define CTL_MEMBER_IDLE_MS 1000u
/* One read(2) of standard input, and one recv(2) of `raw`. */
#define CTL_CHUNK_BYTES (64u << 10)
/* `raw`: standard input is not read while this much waits for the server. */
#define CTL_RAW_OUT_BYTES_MAX (256u << 10)
/* `export`, `import`: how long one page or write may take. An election of slow disks lies within
 * it; what is far on is not given up for one. */
#define CTL_KEYS_TIMEOUT_MS 30000u
/* `import`: writes under way, and the bytes of their values. A session keeps the answers of as
 * many, and a connection's output holds some of the largest. Beyond them it waits for answers. */
#define CTL_KEYS_WRITES    128u
#define CTL_KEYS_BYTES_MAX (4u << 20)
static_assert(CTL_KEYS_WRITES <= SESSION_ANSWERS_MAX, "what is under way can be asked for again");
/* The same, and `export`: where nobody looks (no terminal) they say how far they are so often. */
#define CTL_KEYS_SAY_MS 10000u
/* `export --one-index`: so often it begins again where the cluster is written to meanwhile. */
#define CTL_ONE_INDEX_TRIES 10u
/* `write -`: the server's bound holds for compact text; with room for blanks a larger input is a
 * mistake, and told as one. */
#define CTL_STDIN_BYTES_MAX ((size_t)4 * VALUE_BYTES_MAX)
/* `bundle`: logs that may be named; more is a mistake, and told as one. */
#define CTL_LOGS_MAX 16u
/* Its parts: four of each of 32 nodes, five of each of 32 processes, and some. What is beyond is
 * left out and counted. A part holds hours of a node's log, all of it what a mail still takes when
 * it is compressed; of what is longer the end (logs) or the beginning (all else) is kept. */
#define BUNDLE_PARTS_MAX      400u
#define BUNDLE_PART_BYTES_MAX (1u << 20)
#define BUNDLE_BYTES_MAX      (24u << 20)
/* What journalctl is asked for, and how long it may take to find that. */
#define BUNDLE_JOURNAL_LINES     "5000"
#define BUNDLE_JOURNAL_MS        10000u
#define BUNDLE_JOURNAL_BYTES_MAX (4u << 20)
/* `bench`: what one process can drive; more is a mistake. In flight as many as a client of libridd
 * keeps at one node. Values as large as the store takes them, with quotes around; keys as many as
 * are removed again within seconds. */
#define BENCH_CLIENTS_MAX     256u
#define BENCH_IN_FLIGHT_MAX   128u
#define BENCH_SECONDS_MAX     3600u
#define BENCH_KEYS_MAX        100000u
#define BENCH_VALUE_BYTES_MAX (VALUE_BYTES_MAX - 2u)
/* And all requests that are under way at once, with what is asked for: they are kept in memory. */
#define BENCH_BYTES_MAX (UINT64_C(2) << 30)
/* What it does unless told otherwise: enough to see what a cluster can do, and done before somebody
 * grows impatient. One in ten of mixed is a write. */
#define BENCH_CLIENTS_DEFAULT     4u
#define BENCH_IN_FLIGHT_DEFAULT   16u
#define BENCH_SECONDS_DEFAULT     5u
#define BENCH_KEYS_DEFAULT        1000u
#define BENCH_VALUE_BYTES_DEFAULT 64u
#define BENCH_MIXED_PERCENT       10u
/* A tenth of the time, and two seconds at most, are not measured: connections are made. */
#define BENCH_WARM_PART  10u
#define BENCH_WARM_S_MAX 2
/* Where nobody looks, it says once in so many seconds how far it is. */
#define BENCH_SAY_EACH 10u
/* Above it the client's processor is the limit. */
#define BENCH_BUSY_PERCENT 90u
/* Keys of a run that began so long before the longest that there may be are nobody's, also where
 * clocks of hosts differ by minutes. */
#define BENCH_OLD_S 600u
/* `doctor`: lines that it keeps; what is found beyond is counted. Some twenty for each of 16 nodes
 * is more than was ever seen. The rooms of their texts: what is longer is cut. */
#define DOCTOR_FINDINGS_MAX 400u
#define FINDING_WHERE_BUF   320u
#define FINDING_TEXT_BUF    400u
#define FINDING_NEXT_BUF    400u
/* How it measures a disk: as many syncs as a percentile needs, in no more time than a person waits,
 * half of it with pauses; into one file that is written over; never more bytes than a disk takes
 * within a second. Whichever comes first ends it. */
#define DOCTOR_SYNCS_MAX      600u
#define DOCTOR_SYNC_US        1500000u
#define DOCTOR_SYNC_BYTES_MAX (24u << 20)
#define DOCTOR_FILE_BYTES     (1 << 20)
#define DOCTOR_SYNC_SIZE_MAX  (64u << 10)
/* For `ridd --check-log`, which reads some hundred mebibytes; then it is a note that it was not. */
#define DOCTOR_LOG_MS 20000u
/* Below so much free room nothing is measured: the node may need it. */
#define DOCTOR_MEASURE_FREE_BYTES (16u << 20)
/* A file of a measurement that is so old was left by one that was killed, and is removed. */
#define DOCTOR_LEFT_S 60
/* election_ms is this many times a slow sync and a round trip, and never less than what a busy host
 * may keep a process waiting: docs/OPERATIONS.md, Tuning. Less is a warning. */
#define DOCTOR_ELECTION_SYNCS  10u
#define DOCTOR_ELECTION_MS_MIN 150u
/* What it waits for a name, and what it calls slow: a link that is made anew waits as long. */
#define DOCTOR_NAME_MS      2000u
#define DOCTOR_NAME_SLOW_US 100000u
/* A clock that costs more is read by a system call: some ten times what it should. */
#define DOCTOR_CLOCK_READS  10000u
#define DOCTOR_CLOCK_NS_MAX 500
/* Share of the last minute in which somebody waited (PSI): above it is a warning. */
#define DOCTOR_PRESSURE_PERCENT     20
#define DOCTOR_PRESSURE_CPU_PERCENT 50
/* Files that a node makes in an hour, many times over. */
#define DOCTOR_INODES_MIN 1024u
/* What a node takes beside [limits] memory: measured 6 MiB idle, its log's and links' buffers, and
 * room for the state's hot pages. */
#define DOCTOR_OWN_BYTES ((uint64_t)64 << 20)
/* Processes of ridd on one host that are looked at; the others are counted. */
#define DOCTOR_PROCESSES_MAX 32u
/* Another program that is asked (systemctl): its time, and what of its output is kept. */
#define DOCTOR_COMMAND_MS        3000u
#define DOCTOR_COMMAND_BYTES_MAX (64u << 10)

/* ---- snapshots ---- */

/* Threads that read and write snapshots stand behind the loop and the log, where the processors do
 * not suffice: nice(2). */
#define CHORES_NICE 10
/* One part of a snapshot on its way to a follower, or to a client. */
#define SNAP_PART_BYTES_MAX (64u << 10)
/* Read ahead for one follower, in two of these, and so much is under way to it. */
#define SNAP_BLOCK_BYTES (256u << 10)
#define SNAP_SEND_BLOCKS 2u
/* Before the trailer of one on its way stands how long that is. */
#define SNAP_HEAD_BYTES 4u
/* Received and not written yet; what comes beyond it is dropped and asked for again. */
#define SNAP_IN_BYTES_MAX (1u << 20)
/* What is not answered for so long is asked about. */
#define SNAP_ASK_US 1000000u
/* After one that came to nothing: until the next is made, or sent, or the state is made of it. */
#define SNAP_AGAIN_US 5000000u
/* A node that cannot install one now is asked again. */
#define SNAP_INSTALL_US 10000u
/* Where nobody sends any more, a snapshot that is half there is dropped. */
#define SNAP_SILENT_US 60000000u
/* Whose link is down for so long goes on with it only while the log reaches back to its end: some
 * of the longest pauses between two dials. */
#define SNAP_AWAY_US 10000000u
/* Defaults of [log]; one is made when there is that much log behind the newest. */
#define SNAP_LOG_BYTES_DEFAULT  (64u << 20)
#define SNAP_KEEP_BYTES_DEFAULT (64u << 20)
#define SNAP_MIB_PER_S_DEFAULT  64u
#define SNAP_LOG_BYTES_MIN      (64u << 10)
#define SNAP_LOG_BYTES_MAX      ((size_t)1 << 40)
#define SNAP_MIB_PER_S_MAX      65536u
/* How often it is looked whether one is due, and what of the log may go. */
#define SNAP_LOOK_US 100000u
/* Since the start: so long the log is kept whole for a member that was not met and may be of a
 * version that cannot go on with less. */
#define SNAP_UNMET_US 300000000u
/* One that is read for clients is closed when none of them asked for so long. */
#define SNAP_GIVE_IDLE_US 10000000u
/* While one is sent the log behind it is kept, up to so many times of what is kept in any case. */
#define SNAP_SEND_KEEPS 8u
/* Left on the disk by who makes one. */
#define SNAP_ROOM_LEFT_BYTES (16u << 20)
/* At a clean stop one is made of a state that is no larger, when as much of the log is behind the
 * newest as the state has, and not less than this; it may take so long. */
#define SNAP_STOP_BYTES_MAX ((uint64_t)4 << 20)
#define SNAP_STOP_BEHIND    ((uint64_t)1 << 20)
#define SNAP_STOP_US        200000u
#define SNAP_STOP_LOOK_NS   1000000l
/* A state's file that is larger, and more than twice what it holds, gives way at the start to a
 * snapshot that has no more of the log behind it than this. */
#define SNAP_SHRINK_BYTES ((uint64_t)64 << 20)
#define SNAP_NEAR_BYTES   ((uint64_t)16 << 20)
/* At most so many are looked at when one is needed. */
#define SNAP_LIST_MAX 8u

/* ---- changes of the members ---- */

/* What configurations say of the formats that all members know. */
#define MEMBERS_VERSION 1u
/* From this one on all of them wait for what is left of promises before they commit (LEASE-15). */
#define GATES_VERSION 2u
/* The core keeps every configuration of the log, 12 KiB each and many times what it is there; a
 * client is told to ask again when there are so many: a thousand replacements in 64 MiB of log. */
#define MEMBERS_CONFIGURATIONS_MAX 4096u
/* Nodes that could not be added: five lines in ten seconds, the rest is counted: whoever asks for
 * them may ask a thousand times a second. */
#define MEMBERS_LOG_WINDOW_US 10000000u
#define MEMBERS_LOG_BURST     5u
/* Who asks such a node looks so often whether anybody still waits for the answer. */
#define NET_ASK_LOOK_US 100000u
/* A node that is to be added answers within so long. */
#define PEER_JOIN_MS 10000u
/* How often it is looked whether a learner has caught up. */
#define MEMBERS_LOOK_US 50000u
/* A leader that is replaced offers its place to its successor once in so many election timeouts:
 * each time nothing is proposed for one of them. */
#define MEMBERS_HAND_OVER_TIMEOUTS 10u
/* A learner that is to become a voter and does not catch up in so long is removed again. */
#define MEMBER_PATIENCE_MS (24u * 3600000u)

/* ---- HTTP ---- */

/* Connections at once. A scrape, some probes and a person's browser (six of them) need a dozen. At
 * the limit the one that has waited longest for its next request is closed for the new one; where
 * all are being answered nobody more is taken until one is free (HTTP-4). */
#define HTTP_CONNECTIONS_MAX 32u
/* What else HTTP keeps open: a listener, an epoll, two eventfds, the pair of libevent's own. */
#define HTTP_FDS_MAX (HTTP_CONNECTIONS_MAX + 6u)
/* Request line and headers; a browser sends less than 2 KiB. Beyond: 400 or closed, by evhttp. */
#define HTTP_HEAD_BYTES_MAX 8192
/* There is nothing that a body could say. Beyond: 413, by evhttp. */
#define HTTP_BODY_BYTES_MAX 1024
/* What a client may send ahead of its answers: behind it its socket is not read. Two heads that are
 * as large as may be, so that one that is too large is seen to be so. */
#define HTTP_AHEAD_BYTES_MAX (2u * HTTP_HEAD_BYTES_MAX)
/* A path and its query; a longer one is not found (404). */
#define HTTP_PATH_BYTES_MAX 256u
/* Parameters of a query; with more of them it is refused (400). */
#define HTTP_PARAMS_MAX 4u
/* Names in [http] hosts, and how long each may be (RFC 1035). */
#define HTTP_HOSTS_MAX       8u
#define HTTP_HOST_BYTES_MAX  253u
#define CONF_HOSTS_BYTES_MAX 1023u
/* Pages that a server has; one more is a mistake of the program. */
#define HTTP_PAGES_MAX 16u
/* Kinds of things that are asked of the loop. */
#define HTTP_KINDS_MAX 8u
/* A new connection brings its first request within this, one that was answered its next one; the
 * longer time keeps a browser's or a scraper's connection between two of its questions. Then it is
 * closed, however busily it sends (HTTP-5). */
#define HTTP_FIRST_US 5000000u
#define HTTP_NEXT_US  30000000u
/* From a request to the last byte of its answer taken by the client: then it is closed. */
#define HTTP_ANSWER_US 15000000u
/* Whose answer has been made for so long and is not taken yet makes room for a new connection, as
 * those do that ask nothing: a probe must not wait for clients that do not read. */
#define HTTP_UNREAD_US 2000000u
/* How often that is looked at, while there are connections. */
#define HTTP_LOOK_US 100000u
/* What the loop said is so fresh for whoever asks next: however many ask, the loop answers each
 * kind of question ten times a second at most (HTTP-2). */
#define HTTP_FRESH_US 100000u
/* How much room the disk has is asked for so often. */
#define ROOM_LOOK_US 5000000u
/* The loop has this long to answer, and to turn: a standing loop is told as such then (503). Twice
 * what it may wait for with nothing to do (NODE_WAIT_US_MAX). */
#define HTTP_LOOP_US 2000000u
static_assert(HTTP_LOOP_US >= 2 * NODE_WAIT_US_MAX, "a loop with nothing to do is no standing one");
/* The listener rests so long when there is no descriptor to accept with. */
#define HTTP_ACCEPT_RETRY_US 200000u
/* Clients that may wait for accept(). */
#define HTTP_BACKLOG 32
/* A node is not ready when it is this far behind what it knows to be committed: from there on it
 * turns reads away, too. */
#define READY_BEHIND_ENTRIES_MAX FOLLOWER_BEHIND_ENTRIES_MAX

/* ---- the Maelstrom host ---- */

/* The longest line: an append of one entry of the largest size, in Base64, and a client's line with
 * a blank behind each comma. What is longer is skipped. */
#define MAELSTROM_LINE_BYTES_MAX (4u << 20)
/* Lines that are dropped, and messages that are for want of room: so many lines of log in a second,
 * the rest is counted. The first kind comes from a person at the keyboard, too. */
#define MAELSTROM_LOG_WINDOW_US   1000000u
#define MAELSTROM_INPUT_LOG_BURST 20u
#define MAELSTROM_DROP_LOG_BURST  5u
/* Read before the turn is taken although its time is spent: what comes with a scenario's last line
 * belongs to it. */
#define MAELSTROM_IN_BYTES_LEAST (1u << 20)
/* Clients whose order is kept; beyond it those that are owed nothing are forgotten, then `busy`. */
#define MAELSTROM_CLIENTS_MAX 4096u
/* Lines of requests that wait for a leader, or for its answer; beyond it `busy`. */
#define MAELSTROM_FORWARD_BYTES_MAX (64u << 20)
/* Numbers of forwarded requests that are remembered per node, so that none is done twice. */
#define MAELSTROM_SEEN_MAX 65536u
/* compare_read_methods is not bound by timeout_ms; a lost answer must be forgotten some day all the
 * same. */
#define MAELSTROM_COMPARE_US 600000000u
/* After end of file: how long the reader may take for what was written. */
#define MAELSTROM_LAST_WRITE_US 10000000u
/* A run lasts minutes: a state of this size and small segments; what does not fit is refused as by
 * any node that is full. */
#define MAELSTROM_QUOTA_BYTES   ((uint64_t)1 << 30)
#define MAELSTROM_SEGMENT_BYTES ((size_t)16 << 20)
/* Messages may travel for a while here, and a person reads them: slower than over TCP. */
#define MAELSTROM_HEARTBEAT_MS 100u
#define MAELSTROM_ELECTION_MS  1000u
/* Of the options that set these two; a larger number is a usage error. */
#define MAELSTROM_MS_MAX 60000ul
/* The tree of a work folder is two levels deep; anything deeper is not ours and stays. */
#define WORKDIR_DEPTH_MAX 4u
/* Abandoned folders looked at per start; the next start looks at the rest. */
#define WORKDIR_SWEEP_MAX 256u
/* Names tried for a new folder; then the start fails. */
#define WORKDIR_TRIES_MAX 16u

/* ---- the status page ---- */

/* What is shown of a document; what is beyond is left out, and the page says so where it counts
 * things. Together they keep a page of five nodes below WEB_BYTES_FIVE (PAGE-2). */
#define WEB_BYTES_FIVE  60000u
#define WEB_NODES_MAX   16u
#define WEB_REASONS_MAX 12u
#define WEB_WRONGS_MAX  3u /* on the card of a node */
#define WEB_EVENTS_MAX  25u
#define WEB_SLOW_MAX    12u
#define WEB_STEPS_MAX   12u
#define WEB_REIGNS_TOLD 5u
/* What nodes tell in the same words within so long stands there once, with all their names. */
#define WEB_SAME_US 3000000
/* A text and a name of a node, in bytes of the page, after escaping; a longer one is cut. A name is
 * brief where it stands again and again: on its card stands all of it. */
#define WEB_TEXT_BYTES  200u
#define WEB_NAME_BYTES  64u
#define WEB_BRIEF_BYTES 32u
static_assert(NODE_NAME_BYTES_MAX <= WEB_NAME_BYTES, "a name that ridd takes is never cut");
/* One piece of markup of ours with its numbers. */
#define WEB_MARKUP_BYTES 512u
/* The word in front of a verdict's line. */
#define WEB_WORD_BYTES 32
/* A larger number of a document counts as this one: more than 30 years in microseconds, and what is
 * summed or multiplied by a thousand stays a number. */
#define WEB_NUMBER_MAX ((int64_t)1 << 50)
/* Looked at of one node: no node sends more, and what is beyond is not looked at. */
#define WEB_EVENTS_LOOKED_MAX 512u
#define WEB_OPS_LOOKED_MAX    64u
/* Leaders that are drawn; the oldest are left out. */
#define WEB_REIGNS_MAX 64u
/* The least width of a bar in percent: about two dots of a screen. */
#define WEB_BAR_LEAST 0.4
/* How often a page loads itself again where scripts do not run. */
#define WEB_RELOAD_S 10u

/* ---- gathering what all nodes say ---- */

/* How long a node has for an answer, as for `ridctl status`; a later one is shown as silent. Who is
 * found by the answers is asked in a second round, and where the leader was found by that in a
 * third. */
#define GATHER_ASK_MS     1000u
#define GATHER_ROUNDS_MAX 4u
/* Not sooner than this after the last one began, however many look (PAGE-3). */
#define GATHER_EVERY_US 1000000u
/* Who looks at once; beyond it there is no answer but "later". */
#define GATHER_WAITERS_MAX 64u
static_assert(GATHER_WAITERS_MAX >= HTTP_CONNECTIONS_MAX, "whoever has a connection may look");
/* The longest answer that is taken; a longer one counts as none. Status, slow operations, and
 * GATHER_EVENTS_TEXT events with their longest texts are shorter. */
#define GATHER_ANSWER_BYTES_MAX (128u << 10)
#define GATHER_EVENTS_TEXT      "128"
/* Of all answers in a document; what is beyond is left out, the states last. */
#define GATHER_BYTES_MAX  (4u << 20)
#define GATHER_KEPT_BYTES (256u << 10)
static_assert(GATHER_BYTES_MAX >= 32 * GATHER_ANSWER_BYTES_MAX, "all states have room");

#endif
