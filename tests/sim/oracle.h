/* The simulator's oracle: what it knows of the committed log and of the state at each index, whoever
 * said it. invariants.c keeps it and asks it. Part of sim.h; not to be included alone. */
#ifndef RIDD_TESTS_SIM_ORACLE_H
#define RIDD_TESTS_SIM_ORACLE_H

#include "sim/sim.h"

struct oracle_entry {
    raft_term term;
    raft_term committed_in; /* the term of the leader that committed it */
    uint64_t committed_at;  /* virtual time */
    uint64_t chain;         /* of the committed log */
    uint64_t content;       /* of the entry */
    uint64_t len;
    uint64_t op;            /* id, 0: none */
    uint64_t digest;        /* of the state after it */
    uint8_t status;
    bool existed;
    bool repeated;     /* what was applied at ... */
    raft_index answer; /* the index that the result names */
    bool applied;      /* op, digest and the rest are known */
};
/* A session remembers everything here; what the state may have forgotten is calculated. */
struct oracle_session {
    uint64_t client;
    unsigned owner; /* whose it is, plus 1; 0: nobody was told of it */
    raft_index used;
    uint64_t first;
    bool gone;
    struct {
        uint64_t seq;
        raft_index index;
        uint8_t status;
        bool existed;
    } * done; /* owned; by seq */
    unsigned n;
    unsigned size;
};
struct oracle_payload {
    enum raft_entry_type type;
    uint32_t len;
    unsigned char data[];
};
struct oracle_version {
    raft_index index;
    uint64_t hash; /* of the text */
    bool exists;
    raft_index create_index;
    uint64_t bytes; /* of key, text and what counts for a record */
    uint64_t version;
};
struct oracle_key {
    struct oracle_version *versions; /* owned */
    unsigned n;
    unsigned size;
};
struct oracle_op { /* by id, in a table */
    uint64_t id;
    raft_index applied_at;
    bool refused; /* it was said that it never happened */
    bool unknown; /* nobody was told */
};
struct oracle {
    struct oracle_entry *entries; /* owned; [0] is index 1 */
    uint64_t size;
    raft_index committed; /* by anybody */
    raft_index applied;   /* by anybody */
    raft_index shown;     /* acknowledged or read, by anybody */
    /* What leaves a node that works is known when that is over. */
    struct {
        uint64_t at;
        raft_index index;
    } soon[SIM_NODES_MAX];
    struct oracle_key keys[SIM_KEYS_MAX];
    uint64_t digest;
    uint64_t live_bytes; /* of the state at applied, and its limit */
    uint64_t limit_bytes;
    uint64_t limit_record;
    struct oracle_session sessions[SIM_CLIENTS_MAX * SIM_OPENED_MAX]; /* by client */
    unsigned n_sessions;
    struct {
        uint64_t key;
        uint64_t chain;
        struct oracle_payload *payload; /* owned; NULL when nobody will ask */
    } * matching;                       /* owned; (index, term) to chain */
    size_t matching_size;
    size_t n_matching;
    struct {
        raft_term term;
        unsigned node;
    } * leaders; /* owned; by term */
    size_t n_leaders;
    size_t leaders_size;
    struct {
        raft_index index;
        uint64_t hash;
    } * configs; /* owned; that are committed, by index; changes.c */
    size_t n_configs;
    size_t configs_size;
    struct oracle_op *ops; /* owned; hash table */
    size_t ops_size;
    size_t n_ops;
};

/* ---- invariants.c ---- */
void oracle_init(struct sim *s);
void oracle_done(struct sim *s);
void oracle_trace(struct sim_node *n, const struct raft_trace *t);
void oracle_submit(struct sim_node *n, const struct raft_ready *ready);
void oracle_send(struct sim_node *n, const struct raft_msg *m);
void oracle_apply(struct sim_node *n, const struct raft_entry *e,
                  const struct command_result *result);
void oracle_state(struct sim_node *n);
void oracle_boot(struct sim_node *n, const struct store_recovered *r, struct raft_entry_id applied);
void oracle_turn(struct sim_node *n);
/* What engine_turn() took. */
void oracle_turn_time(struct sim_node *n, uint64_t ns);
void oracle_end(struct sim *s);

/* ---- sessions.c ---- */
struct oracle_session *oracle_session(struct sim *s, uint64_t client); /* NULL: there was none */
void oracle_session_open(struct sim *s, raft_index index, struct oracle_entry *o);
void oracle_session_write(struct sim *s, const struct command *c, raft_index index,
                          struct oracle_entry *o);
void oracle_sessions_done(struct sim *s);

/* ---- oracle.c ---- */
/* Of the committed log; made when it is not there yet. */
struct oracle_entry *oracle_entry(struct sim *s, raft_index index);
/* The sequential model: what the command at index must give. */
void oracle_model_apply(struct sim *s, const struct raft_entry *e, struct oracle_entry *o);
void oracle_model_write(struct sim *s, const struct command *c, raft_index index,
                        struct oracle_entry *o);
uint64_t oracle_entry_key(raft_index index, raft_term term);
/* All of the committed log that was committed by then. */
raft_index oracle_committed_at(struct sim *s, uint64_t at);
/* n tells index when it has worked so long; and what was told by now. */
void oracle_shows(struct sim_node *n, raft_index index);
raft_index oracle_shown(struct sim *s);
struct oracle_payload *oracle_payload_new(const struct raft_entry *e);
struct oracle_op *oracle_op(struct sim *s, uint64_t id);
/* What an entry holds that somebody handed to its log; false: never seen. Borrowed. */
bool oracle_entry_get(struct sim *s, raft_index index, raft_term term, struct raft_entry *ret);
/* The value of a key in the state at index; NULL: none yet. */
const struct oracle_version *oracle_value(struct sim *s, unsigned key, raft_index index);

#endif
