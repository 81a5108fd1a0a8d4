/* Breadth-first search over the real core: what its files share.
 *
 *   pool.c     bytes that are kept once and have a number
 *   words.c    entries and messages as numbers; the same with nodes renamed
 *   cell.c     one node at rest: its core, its disk and what waits for it, as bytes and alive
 *   step.c     what one node does with one input; remembered by number
 *   world.c    a state: nodes, messages, what was promised to readers; which actions it has
 *   rules.c    what must hold in every state
 *   search.c   level after level, every state once
 *   files.c    the search on disk: it can be interrupted, and is longer than memory
 *   show.c     the way to a violation, played on cores that were never bytes
 *   scopes.c   bounds with names, and what they must give
 *   mc.c       options
 *
 * Numbers are of this run. Nodes are slots from 0, called n1, n2, ...; the id of a slot is one more. */
#ifndef RIDD_TESTS_MC_H
#define RIDD_TESTS_MC_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "raft/image.h"
#include "raft/raft.h"

#define MC_NODES_MAX   5u
#define MC_PERMS_MAX   120u
#define MC_LOG_MAX     24u
#define MC_BATCHES_MAX 12u
#define MC_HELD_MAX    24u
#define MC_NET_MAX     120u
#define MC_READS_MAX   6u
#define MC_TERMS_MAX   16u
#define MC_OUT_MAX     40u
#define MC_EVENTS_MAX  16u
#define MC_TICKS_MAX   16u
#define MC_NONE        UINT32_MAX

/* Times in microseconds. A node that heard its leader hears it after one tick and not after two; so does a leader its
 * followers. A lease is three ticks long. A clock goes as fast as it may or as slowly (LEASE-0). */
#define MC_TICK_US      100000u
#define MC_HEARTBEAT_US 30000u
#define MC_ELECTION_US  150000u
#define MC_LEASE_US     300000u
#define MC_EPOCH_US     1000000000u /* what a clock shows where it does not matter */
#define MC_SLOW_US      (MC_TICK_US - MC_TICK_US / RAFT_CLOCK_RHO)
#define MC_FAST_US      (MC_TICK_US + MC_TICK_US / RAFT_CLOCK_RHO)

/* ---- bounds ---- */

enum mc_budget {
    MC_CAMPAIGNS, /* of nodes whose patience ended */
    MC_BEATS,     /* periodic heartbeats of leaders */
    MC_QUIETS,    /* a leader looks whom it has heard, long after */
    MC_WRITES,
    MC_READS,
    MC_CRASHES,
    MC_DUPS,
    MC_TRANSFERS,
    MC_CHANGES,
    MC_LINKS,    /* a link breaks and comes back */
    MC_TICKS,    /* above 0: clocks go on together, within their rates, so often at most */
    MC_SUSPENDS, /* one machine is suspended while a tick passes */
    MC_ASKS,     /* reads of any node */
    MC_REASKS,   /* a node waits no longer for an answer */
    MC_GONES,    /* a follower is told that nobody listens where its leader is, be it so or not */
    MC_BUDGETS,
};

enum mc_disk { MC_DISK_AT_ONCE, MC_DISK_SLOW };

/* Where a scope is searched without being asked for. */
enum mc_mark {
    MC_FOR_CHECK = 1,  /* `make check` */
    MC_FOR_PLANTS = 2, /* planted bugs */
    MC_FOR_QUICK = 4,  /* `make check` under sanitizers */
    MC_FOR_WALK = 8,   /* random ways of it, in `make check` */
};

struct mc_scope {
    const char *name;
    const char *text;
    unsigned nodes;
    unsigned voters;   /* the first ones */
    unsigned learners; /* those behind them; the others are in no configuration yet */
    unsigned terms;    /* beyond the first */
    unsigned budgets[MC_BUDGETS];
    enum mc_disk disk;
    bool once;   /* a message comes once, and again within a bound; else as often as it likes */
    bool dead_come; /* so do messages of which is_dead() says that nothing would come of it */
    bool leases;   /* leaders take them; only with ticks */
    unsigned deaf; /* bits of slots: to them no heartbeat has come yet, they promised nothing */
    bool beating;   /* begins with a heartbeat under way */
    bool rates; /* every node's clock is fast or slow; else n1's is slow and the others' are fast */
    bool pairs; /* nodes learn how old their state is; only with ticks */
    bool pre_votes;   /* are messages like others; else they are asked and answered in one step */
    unsigned changes; /* bits of enum mc_change: those that are tried */
    unsigned marks;   /* bits of enum mc_mark */
    /* What it gave when it was searched last; 0: not searched to its end yet. */
    uint64_t states;
    unsigned depth;
};
extern struct mc_scope mc_scope; /* that of this run */
/* Clocks go on together; else each as it likes. */
static inline bool mc_clocks_are_bound(void)
{
    return mc_scope.budgets[MC_TICKS] > 0;
}
extern const char *const mc_budget_names[MC_BUDGETS];
const struct mc_scope *mc_scope_at(size_t i);           /* NULL: there are no more */
const struct mc_scope *mc_scope_find(const char *name); /* NULL: there is none */
void mc_scopes_print(FILE *to);
void mc_scope_say(const struct mc_scope *scope, char *text, size_t size);

enum mc_change {
    MC_ADD_VOTER = 1,
    MC_REMOVE_VOTER = 2,
    MC_ADD_LEARNER = 4,
    MC_PROMOTE = 8,
    MC_DEMOTE = 16
};

/* ---- pool.c ---- */

struct mc_pool {
    const char *name;
    unsigned char **chunks; /* owned */
    size_t n_chunks;
    size_t chunk_used;
    struct mc_place {
        uint32_t chunk;
        uint32_t at;
        uint32_t len;
        uint32_t hash;
    } * places; /* owned; by number */
    uint32_t n;
    uint32_t size;
    uint32_t *slots; /* owned; numbers + 1, by hash; 0: free */
    uint32_t n_slots;
};
/* The number of these bytes. */
uint32_t mc_pool_put(struct mc_pool *p, const void *bytes, size_t len);
const unsigned char *mc_pool_get(const struct mc_pool *p, uint32_t number, size_t *ret_len);
size_t mc_pool_bytes(const struct mc_pool *p);
void *mc_alloc(size_t size); /* zeros; ends the process when memory is out */
void *mc_grow(void *p, size_t size);

/* Numbers in bytes, seven bits each. */
struct mc_writer {
    unsigned char *at;
    unsigned char *end;
};
struct mc_reader {
    const unsigned char *at;
    const unsigned char *end;
};
void mc_write(struct mc_writer *w, uint64_t v);
uint64_t mc_read(struct mc_reader *r);

/* ---- words.c ---- */

/* Who is called what: slot i becomes slot to[i]. Permutation 0 changes nothing. */
extern unsigned mc_n_perms;
extern unsigned char mc_perms[MC_PERMS_MAX][MC_NODES_MAX];
extern struct raft_server mc_servers[MC_NODES_MAX];
void mc_perms_init(void);
static inline raft_node_id mc_id(unsigned slot)
{
    return slot + 1;
}
static inline unsigned mc_slot(raft_node_id id)
{
    return (unsigned)id - 1;
}

uint32_t mc_entry_put(const struct raft_entry *e);
const struct raft_entry *mc_entry(uint32_t number);
uint32_t mc_entry_renamed(uint32_t number, unsigned perm);

/* What a message is about. */
struct mc_head {
    uint8_t type;
    uint8_t from; /* slots */
    uint8_t to;
    uint8_t term;
    bool reject;
    uint8_t ask_nonce;
    uint8_t ask_number;
};
uint32_t mc_msg_put(const struct raft_msg *m);
const struct mc_head *mc_msg_head(uint32_t number);
/* As it is handed to a core; its entries are in room. */
struct raft_msg mc_msg(uint32_t number, struct raft_entry room[MC_LOG_MAX]);
uint32_t mc_msg_renamed(uint32_t number, unsigned perm);
uint32_t mc_n_msgs(void);

/* ---- cell.c ---- */

struct mc_batch {
    struct raft_hard_state hard_state;
    raft_index truncate_from;
    raft_index commit_index;
    unsigned n;
    uint32_t entries[MC_LOG_MAX];
};
struct mc_held {
    uint64_t after_batch;
    uint32_t msg;
};

/* One node, alive. */
struct mc_cell {
    unsigned slot;
    struct raft *raft; /* owned */
    struct raft_conf conf;
    uint64_t now_us;
    uint64_t hold_us;
    unsigned rate;                     /* 0: not chosen yet, 1: slow, 2: fast */
    unsigned boots;                    /* before this one */
    struct raft_hard_state hard_state; /* durable, as the next three */
    raft_index commit_index;
    unsigned n_log;
    uint32_t log[MC_LOG_MAX];
    uint64_t last_durable; /* number of the last batch that is */
    unsigned n_batches;
    struct mc_batch batches[MC_BATCHES_MAX];
    unsigned n_held;
    struct mc_held held[MC_HELD_MAX];
    bool spared; /* does not crash any more: what it would begin with is not kept */
    bool loud;   /* says what happens */
};

/* What the rules and the choice of actions ask about a node; by number of its cell. */
struct mc_face {
    uint8_t role;
    uint8_t term;
    uint8_t durable_term;
    uint8_t durable_vote; /* slot + 1 */
    uint8_t commit;
    uint8_t n_log; /* as the core sees it */
    uint8_t n_durable;
    uint8_t n_batches;
    bool hears_leader;
    bool may_campaign;
    bool can_serve;
    bool transferring;
    bool spared;
    bool is_due; /* its clock shows a time at which it wanted to look */
    bool election_due;
    bool lease; /* a read by lease would be answered now */
    uint8_t rate;
    uint8_t nonce;
    uint8_t asks[2]; /* numbers of questions that may be answered */
    uint8_t n_pairs;
    struct {
        uint8_t ticks; /* ago */
        uint8_t index;
    } pairs[RAFT_PAIRS_MAX + 1];
    uint8_t voters; /* of the configuration in force, bits */
    uint8_t learners;
    uint8_t config_index;
    uint8_t match[MC_NODES_MAX]; /* of a leader: what it believes each to hold */
    uint32_t log;                /* number of the list of its entries */
    uint32_t durable_log;
};

void mc_cell_begin(struct mc_cell *c, unsigned slot); /* as founded */
void mc_cell_start(struct mc_cell *c);                /* raft_new() from what is durable */
void mc_cell_done(struct mc_cell *c);
uint32_t mc_cell_write(struct mc_cell *c);
void mc_cell_read(uint32_t number, struct mc_cell *ret_c);
const struct mc_face *mc_face(uint32_t cell);
bool mc_cell_has_lease(const struct mc_cell *c);
uint32_t mc_cell_renamed(uint32_t cell, unsigned perm);
uint32_t mc_n_cells(void);
/* The entries of a log by its number. */
const uint32_t *mc_log(uint32_t number, unsigned *ret_n);

/* raft_conf.trace of a loud one */
void mc_say_trace(void *ctx, const struct raft_trace *t);

/* ---- step.c ---- */

enum mc_input {
    MC_DELIVER,  /* arg: message */
    MC_STORE,    /* the oldest batch becomes durable */
    MC_WAIT,     /* so long that no leader is heard any more; nobody looks at the clock */
    MC_CAMPAIGN, /* until its patience ends, and then it looks */
    MC_BEAT,     /* until the next heartbeat is due; arg 1: until a transfer has failed */
    MC_QUIET,    /* longer than it takes to be silent, and then it looks */
    MC_PROPOSE,  /* arg: which write */
    MC_READ,     /* arg: which read; by a round */
    MC_CRASH,    /* what is not durable is lost; and it starts again */
    MC_TRANSFER, /* arg: to slot */
    MC_CHANGE,   /* arg: kind << 4 | slot */
    MC_LINK,     /* arg: slot */
    MC_GONE,
    MC_SPARE,    /* it does not crash any more */
    MC_RATE,     /* arg: of its clock */
    MC_PASS,     /* a tick; arg 1: it is suspended meanwhile */
    MC_LOOK,     /* at the clock as it is */
    MC_ASK,      /* for a ticket */
    MC_REASK,    /* it has waited for long */
};

enum mc_event {
    MC_READ_DONE,   /* which, index */
    MC_READ_FAILED, /* which */
    MC_TICKET,      /* was given */
    MC_ANSWERED,    /* all up to this ticket, with that index */
    MC_REFUSED_MSG, /* what raft_step() said, to what type */
    MC_ABORTED,
};
static inline uint32_t mc_event_make(enum mc_event what, unsigned a, unsigned b)
{
    return (uint32_t)what << 24 | a << 12 | b;
}

struct mc_outcome {
    uint32_t next; /* cell; MC_NONE: the input is refused, nothing happens */
    unsigned n_msgs;
    uint32_t msgs[MC_OUT_MAX];
    unsigned n_events;
    uint32_t events[MC_EVENTS_MAX];
};

/* One input to one node that is alive. False: refused. */
bool mc_cell_step(struct mc_cell *c, enum mc_input what, uint32_t arg, struct mc_outcome *ret);
/* The same; an assertion that fails is told as the only event, MC_ABORTED, and the node is lost. */
bool mc_cell_step_caught(struct mc_cell *c, enum mc_input what, uint32_t arg,
                         struct mc_outcome *ret);
/* The same by numbers. Without a cache it is played each time. */
void mc_step(uint32_t cell, enum mc_input what, uint32_t arg, struct mc_outcome *ret);
void mc_step_init(size_t cache_bytes);
extern struct mc_counts {
    uint64_t played;
    uint64_t remembered;
} mc_counts;

/* ---- world.c ---- */

enum mc_read_state { MC_NO_READ, MC_PENDING, MC_ASKED };
struct mc_read {
    uint8_t state;
    uint8_t slot;
    uint8_t floor;  /* what anybody had committed when it began */
    uint8_t ticket; /* MC_ASKED */
};

/* What is known by now, whoever said it. */
struct mc_ghost {
    unsigned n; /* committed by anybody */
    uint32_t entries[MC_LOG_MAX];
    uint8_t terms[MC_LOG_MAX];     /* of whoever was first to say so */
    uint8_t leaders[MC_TERMS_MAX]; /* by term: slot + 1 */
    uint8_t at_tick[MC_TICKS_MAX]; /* pairs: so many were committed when that tick began */
};

struct mc_world {
    uint32_t cells[MC_NODES_MAX];
    struct mc_ghost ghost;
    uint8_t used[MC_BUDGETS];
    struct mc_read reads[MC_READS_MAX];
    unsigned n_msgs;
    uint32_t msgs[MC_NET_MAX]; /* ascending */
};

enum mc_act {
    MC_ACT_DELIVER,
    MC_ACT_AGAIN, /* and it comes once more, perhaps */
    MC_ACT_STORE,
    MC_ACT_WAIT,
    MC_ACT_CAMPAIGN, /* arg: who hears of it, bits, where pre-votes are one step */
    MC_ACT_BEAT,
    MC_ACT_QUIET,
    MC_ACT_PROPOSE,
    MC_ACT_READ,
    MC_ACT_CRASH,
    MC_ACT_TRANSFER,
    MC_ACT_CHANGE,
    MC_ACT_LINK,
    MC_ACT_RATES, /* arg: whose clocks are fast, bits */
    MC_ACT_PASS,  /* arg: who is suspended, bits */
    MC_ACT_LOOK,
    MC_ACT_ASK,
    MC_ACT_REASK,
    MC_ACT_GONE,
};
struct mc_action {
    enum mc_act what;
    unsigned slot;
    uint32_t arg;
};
static inline uint32_t mc_action_pack(struct mc_action a)
{
    return (uint32_t)a.what << 27 | a.slot << 24 | a.arg;
}
static inline struct mc_action mc_action_unpack(uint32_t v)
{
    return (struct mc_action){(enum mc_act)(v >> 27), v >> 24 & 7, v & 0xffffff};
}

/* Text of what is wrong; empty: nothing. */
struct mc_verdict {
    char text[512];
};
void mc_wrong(struct mc_verdict *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Who plays the inputs: mc_step(), or somebody who looks closer. */
typedef void mc_play_fn(void *ctx, unsigned slot, uint32_t cell, enum mc_input what, uint32_t arg,
                        struct mc_outcome *ret);
struct mc_player {
    mc_play_fn *play;
    void *ctx;
};
extern const struct mc_player mc_by_number;

/* All that may be tried; some of it is refused. Their number. */
#define MC_ACTIONS_MAX 512u
extern unsigned mc_first_term; /* in which the search begins */
unsigned mc_world_actions(const struct mc_world *w, struct mc_action actions[MC_ACTIONS_MAX]);
/* False: refused, w means nothing then. */
bool mc_world_act(struct mc_world *w, struct mc_action a, const struct mc_player *p,
                  struct mc_verdict *v);
/* One leader, its no-op committed, nothing under way: where the search begins. */
void mc_world_begin(struct mc_world *w, const struct mc_player *p, struct mc_verdict *v);
void mc_world_found(struct mc_world *w); /* nothing has happened at all */
/* The smallest of all renamings of w takes its place; which it was. */
unsigned mc_world_canonical(struct mc_world *w);

#define MC_RECORD_MAX 2048u
size_t mc_world_write(const struct mc_world *w, unsigned char record[MC_RECORD_MAX]);
void mc_world_read(const unsigned char *record, size_t len, struct mc_world *ret_w);

/* ---- rules.c ---- */

/* After slot has become what it is now, from `before`; its outcome may hold answers to reads. */
void mc_rules(struct mc_world *w, unsigned slot, uint32_t before, enum mc_input what,
              const struct mc_outcome *out, struct mc_verdict *v);

/* When nothing but time has gone on. */
void mc_rules_after_pass(const struct mc_world *w, struct mc_verdict *v);

/* ---- search.c ---- */

struct mc_options {
    uint64_t states_max; /* 0: all */
    unsigned depth_max;  /* 0: any */
    size_t memory_max;   /* of the table of states */
    const char *folder;  /* NULL: only in memory */
    bool resume;
    bool symmetry;
    bool quiet;
    unsigned seconds_max;
};
struct mc_result {
    bool complete;
    bool violated;
    uint64_t states;
    uint64_t transitions;
    unsigned depth;
    uint64_t widest; /* level */
    double seconds;
};
void mc_search(const struct mc_options *o, struct mc_result *ret);

/* ---- show.c ---- */

/* From the beginning through all actions, each packed, of states that were renamed on the way or not. */
void mc_show(const uint32_t *actions, unsigned n, bool renamed);
/* Random ways, on cores that never become bytes, compared with those that do: nothing may differ. */
void mc_walk(uint64_t seed, unsigned n_ways, unsigned n_steps);

#endif
