/* The inside of a transcript's world: what its files of commands share.
 *
 *   world.c     nodes, their disks, messages, time, links; elections, log, reads
 *   members.c   configurations, nodes that come and go, snapshots; what `check` looks at
 *   leases.c    clocks, leases, questions of followers, pairs of time and index
 *
 * Nobody but these includes it. Times are microseconds of a node's own clock. */
#ifndef RIDD_TESTS_TRANSCRIPTS_WORLD_INT_H
#define RIDD_TESTS_TRANSCRIPTS_WORLD_INT_H

#include "raft/raft.h"
#include "sim/disk.h"
#include "transcripts/world.h"

#define HEARTBEAT_US  50000u
#define ELECTION_US   500000u
#define ARGS_MAX      64u
#define NET_MAX       4096u
#define SNAPSHOTS_MAX 8u
#define FORMER_MAX    8u

struct held {
    uint64_t after_batch;
    struct raft_msg *msg; /* owned */
};

struct node {
    struct world *world; /* borrowed */
    unsigned number;     /* 1 .. n_nodes */
    char name[16];
    raft_node_id id;
    unsigned incarnation; /* of its disk: how often that was wiped */
    struct sim_disk disk;
    struct raft *raft; /* owned; NULL while down */
    uint64_t now_us;
    uint64_t asleep_us; /* its other clock is ahead of now_us by */
    uint64_t lives;     /* how often it was started */
    raft_index committed; /* handed out for applying */
    raft_index applied;
    struct held *held; /* owned; waiting for the disk */
    size_t n_held;
};

/* An id that a node had before it was wiped. */
struct former {
    raft_node_id id;
    char name[24];
};

/* What a node held when it was made. */
struct snapshot {
    char name[16];
    struct raft_entry_id id;
    struct raft_config_at config;
    struct sim_disk disk; /* only its log is used */
};

struct net_msg {
    struct raft_msg *msg; /* owned */
    bool held;
};

struct world {
    struct node nodes[RAFT_SERVERS_MAX];
    unsigned n_nodes;
    struct raft_configuration founders;
    struct former former[FORMER_MAX];
    unsigned n_former;
    struct snapshot snapshots[SNAPSHOTS_MAX];
    unsigned n_snapshots;
    bool cut[RAFT_SERVERS_MAX][RAFT_SERVERS_MAX];
    struct net_msg net[NET_MAX];
    size_t n_net;
    unsigned rounds_max;
    size_t append_bytes_max;
    size_t inflight_bytes_max;
    size_t cache_bytes_max;
    raft_term term_step_max;
    bool stamps; /* nodes have nonces: they stamp their answers, and ask */
    uint64_t lease_us;
    struct buf *out; /* borrowed, during world_run() */
    bool quiet;
    unsigned indent;
    char line[256]; /* for the text of a failed assertion */
};

struct args {
    char text[512];
    const char *v[ARGS_MAX];
    unsigned n;
};

/* ---- world.c ---- */
void world_say(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_say_state(struct world *w, struct node *n);
struct node *world_node_of_id(struct world *w, raft_node_id id);
struct node *world_node_named(struct world *w, const char *name);
/* "-" for nobody, "was-n3" for what n3 was before it was wiped. */
const char *world_name_of(void *world, raft_node_id id);
/* The node in the first argument; says what is wrong otherwise. */
struct node *world_arg_node(struct world *w, const struct args *a, bool running);
/* The value of key=, or NULL. */
const char *world_option(const struct args *a, const char *key);
uint64_t world_option_number(const struct args *a, const char *key, uint64_t otherwise);
bool world_flag(const struct args *a, const char *name);
/* Is the name in the comma-separated list? `all` holds everybody. */
bool world_in_list(const char *list, const char *name);
const char *world_error_name(int r);
void world_start_node(struct world *w, struct node *n, raft_index applied);
/* Tells both ends that their link is up (or down), if both are running and it is not cut. */
void world_tell_link(struct world *w, struct node *a, struct node *b, bool up);

/* ---- leases.c ---- */
/* Both clocks, before each call that looks at them. */
void world_tell_clocks(struct node *n);
void world_say_answered(struct world *w, const struct raft_ready *rd);
void cmd_ask(struct world *w, const struct args *a);
void cmd_lease(struct world *w, const struct args *a);
void cmd_pair(struct world *w, const struct args *a);
void cmd_promises(struct world *w, const struct args *a);
void cmd_set_lease(struct world *w, const struct args *a);
void cmd_sleep(struct world *w, const struct args *a);

/* ---- members.c ---- */
/* Why nothing goes from one to the other; NULL: nothing speaks against it. */
const char *world_no_link(const struct node *from, const struct node *to);
void world_free_snapshots(struct world *w);
void cmd_check(struct world *w, const struct args *a);
void cmd_compact(struct world *w, const struct args *a);
void cmd_configuration(struct world *w, const struct args *a);
void cmd_configure(struct world *w, const struct args *a);
void cmd_install(struct world *w, const struct args *a);
void cmd_links(struct world *w, const struct args *a);
void cmd_restored(struct world *w, const struct args *a);
void cmd_snapshot(struct world *w, const struct args *a);
void cmd_wipe(struct world *w, const struct args *a);

#endif
