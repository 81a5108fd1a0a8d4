/* A group of cores under the hands of one test: network, disks and time move only when the test
 * says so.
 *
 * Nodes are numbered 1 .. n_voters + n_learners and called "n1", "n2", ... A node is a puppet until
 * fx_start(): messages to it wait in the queue, and the test speaks for it with fx_inject(). Every
 * message is a deep copy in one queue that the test delivers, drops, repeats and reorders. Every
 * node has a disk in memory: batches of raft_ready() wait until they are completed (at once, unless
 * manual_store is set), and a restart begins with what was completed.
 *
 * After every call into a core raft_check() runs (CORE-5), and the fixture checks by itself:
 * numbering of batches, contiguous logs (LOG-4), one vote per term (VOTE-2), terms never fall
 * (TERM-1), nor does commit_index (COMMIT-5), one leader per term (VOTE-1), leaders only append
 * (LOG-1), logs of one term are one log (LOG-2), leader completeness (COMMIT-1), applied entries
 * equal everywhere (STATE-1), commit only what a majority holds durably (COMMIT-1), durable before
 * visible at every send (COMMIT-8), match_index never above what the follower holds (LOG-5), reads
 * not older than anything committed before they arrived (READ-1), apply only what is durable here
 * (COMMIT-7), nothing committed while a leader of an earlier term may use its lease (LEASE-7), reads by
 * lease not older than anything committed by then (LEASE-9), tickets not older than anything committed
 * before they were given (FOLLOW-1), pairs never below what was committed at their time (BOUND-2), a
 * log is replaced by a snapshot only where that has more (SNAP-1), and the state
 * behind it (SNAP-8); with changes_by_rule, that a leader's configurations are one step apart, the
 * one before and an entry of its term committed (MEMBER-1, MEMBER-2), and that it votes in each
 * (MEMBER-9). Majorities are counted by the configuration in force when something is committed. A
 * violation fails the running test.
 *
 * "Turn" below means: raft_ready() until nothing more is due, with its output dispatched. Every
 * helper that calls into a core ends with a turn of that node unless hold_turns is set. Everything
 * is owned by the fixture; fx_done() frees it. */
#ifndef RIDD_TESTS_RAFT_FIXTURE_H
#define RIDD_TESTS_RAFT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "raft/raft.h"

#define FX_NODES_MAX    9
#define FX_ELECTION_US  100000u
#define FX_HEARTBEAT_US 20000u

struct fx_msg {
    struct raft_msg m; /* m.entries: owned, one block */
};

/* Output that one raft_ready() asked to store. */
struct fx_batch {
    uint64_t number;
    struct raft_hard_state hard_state;
    raft_index truncate_from;
    struct raft_entry *entries; /* owned, each data too */
    unsigned n_entries;
    raft_index commit_index;
    struct raft_entry_id reset; /* index 0: none; otherwise the log becomes its, and ends there */
    struct raft_entry *reset_entries; /* owned, as entries */
};

/* What a state machine held when it was copied: all entries up to id, so that whoever takes it can
 * be compared with the others later. */
struct fx_snapshot {
    struct raft_entry_id id;
    struct raft_config_at config;
    struct raft_entry *entries; /* owned, each data too; entries[i] has index i + 1 */
};

struct fx_held {
    uint64_t after_batch;
    struct fx_msg msg;
};

struct fx_disk {
    struct raft_hard_state hard_state;
    struct raft_entry *log; /* owned, each data too; log[i] has index i + 1 */
    raft_index n;
    raft_index commit_index;
    raft_index base; /* the core is told that the log begins behind it; kept here for comparing */
};

enum fx_node_state { FX_PUPPET, FX_UP, FX_DOWN };

struct fx;

struct fx_node {
    struct fx *fx;
    unsigned i;
    raft_node_id id;
    char name[8];
    enum fx_node_state state;
    struct raft *r;
    struct raft_conf conf; /* may be changed before fx_start() */

    /* Its clocks: fx->now is the time of the world, which its hold clock shows at its own rate. */
    int rate_ppm;            /* faster than the world by */
    uint64_t asleep_us;      /* so much of the world's time its other clock missed */
    bool deaf_clock;         /* raft_hold() is not called */
    uint64_t lease_heard_us; /* of the last heartbeat that it was given */

    struct fx_disk disk;
    struct fx_batch *batches; /* handed out, not yet durable, oldest first */
    unsigned n_batches;
    struct fx_held *held;
    unsigned n_held;
    bool manual_store;
    uint64_t batch_last;
    uint64_t batch_durable;
    struct raft_hard_state hard_state; /* last handed out */
    raft_index tail;                   /* last index handed out for storing */

    struct fx_snapshot installing; /* a copy, until the state is its; id.index 0: none */
    bool manual_restore;
    unsigned n_installs[RAFT_INSTALL_LATER + 1]; /* by outcome */

    bool manual_apply;
    raft_index committed_handed; /* committed entries handed out up to here */
    raft_index commit_index;
    raft_term config_term;   /* when it was last looked at, */
    raft_index config_index; /* the configuration in force was this */
    struct raft_configuration config;

    /* What the readies said since the test last looked; the test resets them. */
    enum raft_loss loss;
    raft_term loss_term;
    raft_index loss_commit_index;
    unsigned n_losses;
    unsigned n_transfers_over;
    unsigned n_reads_done;
    unsigned n_reads_failed;
    struct raft_answered answered; /* the last one */
    unsigned n_answered;
    int log_error;

    /* The log reader. */
    unsigned n_reader_calls;
    unsigned reader_entries_max; /* 0: no limit of its own */
    int reader_error;
    bool reader_later; /* what is asked for is not at hand */

    /* The allocator. */
    size_t n_allocs;
    size_t n_live;
    size_t fail_at; /* this allocation and those after it fail; 0: none */

    /* The trace. */
    unsigned n_traces[RAFT_TRACE_INVALID + 1];
};

enum fx_read_state { FX_READ_PENDING, FX_READ_DONE, FX_READ_FAILED };

struct fx_read {
    uint64_t ctx;
    unsigned node;
    raft_term term;
    raft_index min_index;
    raft_index floor; /* the highest commit_index of any node when it arrived */
    enum fx_read_state state;
    struct raft_read_done done;
};

/* A ticket, and what was committed by anybody when it was given. */
struct fx_ticket {
    unsigned node;
    uint64_t ticket;
    raft_index floor;
    bool answered;
    raft_index read_index;
};

/* So much was committed from then on. */
struct fx_moment {
    uint64_t now;
    raft_index n_commits;
};

/* What a leader's log was in its term. */
struct fx_leader {
    raft_term term;
    unsigned node;
    raft_term *terms; /* owned; of index 1, 2, ... */
    raft_index n;
};

struct fx_commit {
    raft_term term;
    raft_term seen_in; /* term of the node where it was first seen committed */
    uint64_t hash;     /* of type and payload; 0: not applied by anybody yet */
};

struct fx {
    unsigned n;
    unsigned n_voters;
    struct fx_node nodes[FX_NODES_MAX + 1]; /* 1 .. n */
    struct raft_configuration configuration;
    uint64_t now;
    struct prng prng;
    bool hold_turns;
    bool changes_by_rule; /* leaders append configurations by raft_configure() alone */

    struct fx_msg *net; /* oldest first */
    unsigned n_net;
    unsigned n_net_size;
    bool cut[FX_NODES_MAX + 1][FX_NODES_MAX + 1]; /* [from][to]: silently dropped at send */
    uint64_t n_sent[RAFT_MSG_TYPE_MAX + 1];

    struct fx_read *reads;
    unsigned n_reads;
    unsigned n_reads_size;
    uint64_t ctx_last;

    struct fx_ticket *tickets;
    unsigned n_tickets;
    struct fx_moment *moments;
    unsigned n_moments;
    unsigned n_lease_reads;

    struct fx_leader *leaders;
    unsigned n_leaders;
    struct fx_commit *commits; /* commits[i] is index i + 1 */
    raft_index n_commits;
};

/* All nodes are puppets with an empty log but the CONFIG entry (index 1, term 1, committed) and
 * term 1. */
void fx_init(struct fx *fx, unsigned n_voters, unsigned n_learners, uint64_t seed);
void fx_done(struct fx *fx);

/* Before fx_start(): the log becomes entry 1 followed by one command for each term given. */
void fx_set_log(struct fx *fx, unsigned i, const raft_term *terms, unsigned n);
/* Of a node that does not run: its log begins behind index from the next start on, with a state
 * machine that holds at least that much. A running node's reader says so at once. */
void fx_compact(struct fx *fx, unsigned i, raft_index index);
/* A running node compacts its log: the core is told, then the reader knows. */
void fx_compact_now(struct fx *fx, unsigned i, raft_index index);
/* What node i would hand to others: everything up to index, which is committed and on its disk. */
void fx_snapshot_take(struct fx *fx, unsigned i, raft_index index, struct fx_snapshot *ret_s);
void fx_snapshot_done(struct fx_snapshot *s);
/* Node i has got s, whole. Without manual_restore its state becomes that of s as soon as it may,
 * which is when the log on its disk is (SNAP-8). */
enum raft_install fx_install(struct fx *fx, unsigned i, const struct fx_snapshot *s, bool lost);
/* fx_snapshot_take() and fx_install(). */
enum raft_install fx_hand_over(struct fx *fx, unsigned from, unsigned to, raft_index index,
                               bool lost);
bool fx_may_restore(struct fx *fx, unsigned i);
void fx_restored(struct fx *fx, unsigned i);
void fx_set_hard_state(struct fx *fx, unsigned i, raft_term term, unsigned voted_for);
/* Before fx_start(): appends a CONFIG entry to the disk. */
void fx_add_config(struct fx *fx, unsigned i, raft_term term, const struct raft_configuration *c);

/* "123l": n1 and n2 are voters, n3 is a learner. */
void fx_configuration(const struct fx *fx, const char *servers, struct raft_configuration *ret_c);
/* Before fx_start(): these are the founders, the other nodes are strangers so far. */
void fx_found(struct fx *fx, const char *servers);
/* The leader i appends a CONFIG entry, whatever stands in it and whether or not it may: the fixture
 * reaches inside. Its index. */
raft_index fx_configure(struct fx *fx, unsigned i, const struct raft_configuration *c);
/* What raft_configure() says to it, made from the configuration in force. */
int fx_try_configure(struct fx *fx, unsigned i, const struct raft_configuration *c, bool force);

void fx_start(struct fx *fx, unsigned i); /* from the disk; links to all others are up */
void fx_start_all(struct fx *fx);
/* raft_new() alone: its result; *ret_raft as it. For refusals. */
int fx_try_start(struct fx *fx, unsigned i, raft_index last_applied, struct raft **ret_raft);
/* The process dies. Batches not completed are lost, but the oldest `keep` of them reached the disk
 * all the same. */
void fx_crash(struct fx *fx, unsigned i, unsigned keep);
void fx_restart(struct fx *fx, unsigned i);

struct raft *fx_raft(struct fx *fx, unsigned i);
raft_node_id fx_id(const struct fx *fx, unsigned i);  /* 0 for 0 */
unsigned fx_of(const struct fx *fx, raft_node_id id); /* 0: unknown */
struct raft_status fx_status(struct fx *fx, unsigned i);
const struct raft_peer_status *fx_peer(const struct fx *fx, const struct raft_status *s,
                                       unsigned i);
enum raft_role fx_role(struct fx *fx, unsigned i);
raft_term fx_term(struct fx *fx, unsigned i);
raft_index fx_commit(struct fx *fx, unsigned i);
raft_index fx_last(struct fx *fx, unsigned i);
raft_index fx_noop(struct fx *fx, unsigned i);
raft_term fx_term_at(struct fx *fx, unsigned i, raft_index index);
unsigned
fx_leader(struct fx *fx); /* the leader of the highest term among the nodes that are up; 0: none */

/* ---- inputs ---- */
void fx_turn(struct fx *fx, unsigned i);
void fx_tick(struct fx *fx, unsigned i); /* at fx->now */
/* The clock goes to the deadline of node i (if that lies ahead), and that node alone is ticked. */
void fx_tick_deadline(struct fx *fx, unsigned i);
int fx_inject(struct fx *fx,
              const struct raft_msg *m); /* straight into node m->to; what raft_step() said */
void fx_inject_ok(struct fx *fx, const struct raft_msg *m);
void fx_link(struct fx *fx, unsigned i, unsigned peer, bool up);
int fx_try_propose(struct fx *fx, unsigned i, const void *data, size_t len,
                   struct raft_entry_id *ret_id);
struct raft_entry_id fx_propose(struct fx *fx, unsigned i); /* eight bytes, different each time */
int fx_try_read(struct fx *fx, unsigned i, uint64_t ctx, raft_index min_index);
uint64_t fx_read(struct fx *fx, unsigned i, raft_index min_index); /* the ctx */
struct fx_read *fx_read_get(struct fx *fx, uint64_t ctx);          /* the first with this ctx */
enum fx_read_state fx_read_state(struct fx *fx, uint64_t ctx);
unsigned fx_n_reads(const struct fx *fx, unsigned i, enum fx_read_state state);
void fx_store(struct fx *fx, unsigned i,
              unsigned n); /* completes the oldest n batches, one raft_stored() */
void fx_store_all(struct fx *fx, unsigned i);
void fx_applied(struct fx *fx, unsigned i, raft_index index);

/* ---- clocks, leases, questions, pairs ---- */
/* What the clocks of node i show. */
uint64_t fx_now(const struct fx *fx, unsigned i);
uint64_t fx_hold(const struct fx *fx, unsigned i);
/* The machine of node i is suspended for so long, and nothing else happens. */
void fx_suspend(struct fx *fx, unsigned i, uint64_t us);
/* Before fx_start(): all members know gates, and whoever leads takes leases of so long. */
void fx_leases(struct fx *fx, uint64_t lease_us);
/* What raft_lease() says now; an index of it is looked at. */
int fx_try_lease(struct fx *fx, unsigned i, raft_index min_index, raft_index *ret_index);
bool fx_lease(struct fx *fx, unsigned i);
/* Everybody knows of everybody who is up that it understands questions. */
void fx_all_understand(struct fx *fx);
uint64_t fx_ask(struct fx *fx, unsigned i);
bool fx_is_answered(struct fx *fx, unsigned i, uint64_t ticket);
/* What raft_get_pair() says; a pair is looked at. */
bool fx_pair(struct fx *fx, unsigned i, uint64_t since_us, struct raft_pair *ret_pair);

/* ---- the network ---- */
#define FX_ANY 0
/* The k-th (from 0) waiting message; NULL: none. Valid until the queue changes. */
struct fx_msg *fx_find_nth(struct fx *fx, unsigned from, unsigned to, int type, unsigned k);
struct fx_msg *fx_find(struct fx *fx, unsigned from, unsigned to, int type);
struct fx_msg *fx_find_last(struct fx *fx, unsigned from, unsigned to, int type);
unsigned fx_count(struct fx *fx, unsigned from, unsigned to, int type);
void fx_deliver_msg(struct fx *fx, struct fx_msg *m);
bool fx_deliver(struct fx *fx, unsigned from, unsigned to,
                int type); /* the oldest such; false: none */
unsigned fx_deliver_each(struct fx *fx, unsigned from, unsigned to,
                         int type);                 /* those waiting now */
void fx_duplicate(struct fx *fx, struct fx_msg *m); /* to the end of the queue */
struct fx_msg fx_take(struct fx *fx, unsigned from, unsigned to,
                      int type); /* fails when there is none */
void fx_msg_done(struct fx_msg *m);
unsigned fx_drop(struct fx *fx, unsigned from, unsigned to, int type);
void fx_isolate(struct fx *fx, unsigned i, bool isolated); /* cut both ways from everybody */
void fx_heal(struct fx *fx);

/* ---- running ---- */
void fx_deliver_all(
    struct fx *fx); /* until no message to a running node waits; time stands still */
void fx_run(struct fx *fx, uint64_t us);
bool fx_run_until(struct fx *fx, uint64_t us_max, bool (*condition)(struct fx *fx, void *arg),
                  void *arg);
bool fx_has_leader(struct fx *fx, void *arg); /* one that can serve */
bool fx_converged(struct fx *fx,
                  void *arg); /* a leader that can serve, all that are up hold and commit its log */
/* Makes node i leader through real messages; the other nodes that are up are not ticked. */
void fx_elect(struct fx *fx, unsigned i);

/* ---- one real node among puppets ---- */
struct raft_msg fx_make(const struct fx *fx, enum raft_msg_type type, unsigned from, unsigned to,
                        raft_term term);
/* Node i (real) becomes leader of its next term with grants of the puppets 2, 3, ... as needed; its
 * no-op is not yet committed and all its messages are dropped. */
void fx_puppets_elect(struct fx *fx, unsigned i);
/* The puppet acknowledges everything up to index. */
void fx_puppet_ack(struct fx *fx, unsigned from, unsigned to, raft_index index);
/* fx_puppets_elect() and acknowledgements until the no-op is committed; messages are dropped. */
void fx_puppets_lead(struct fx *fx, unsigned i);
/* An append of the puppet with one command for each term given, made as fx_set_log() makes them. */
int fx_puppet_append(struct fx *fx, unsigned from, unsigned to, raft_term term,
                     struct raft_entry_id prev, const raft_term *terms, unsigned n,
                     raft_index leader_commit);
/* The only waiting message of this kind; fails when there are none or several. */
const struct raft_msg *fx_only(struct fx *fx, unsigned from, unsigned to, int type);
int fx_puppet_ack_round(struct fx *fx, unsigned from, unsigned to, raft_term term, uint64_t round);
/* The highest round on a heartbeat waiting from node i to the peer; 0: none. */
uint64_t fx_round_sent(struct fx *fx, unsigned i, unsigned peer);

#endif
