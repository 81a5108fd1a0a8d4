/* What the tests of replica/ share: up to three replicas with a log whose completion is said by the
 * test, a state in memory that can be made to lie, and a network that delivers when it is told to.
 * Time is a number. */
#ifndef RIDD_TESTS_REPLICA_UTIL_H
#define RIDD_TESTS_REPLICA_UTIL_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replica/replica.h"
#include "wire/command.h"
#include "wire/value.h"

#define FX_NODES_MAX    5
#define FX_ELECTION_US  500000u
#define FX_HEARTBEAT_US 50000u
#define FX_KEYS_MAX     8
#define FX_DAMAGED      2 /* what the state says of itself when it is to be rebuilt */

struct fx;

#define FX_ANSWERS_MAX 16u

struct fx_value {
    unsigned char key[KEY_BYTES_MAX];
    size_t key_len;
    char *text; /* owned */
    size_t len;
    raft_index create_index;
    raft_index modify_index;
    uint64_t version;
};

struct fx_node {
    struct fx *fx;
    int i;
    raft_node_id id;
    struct replica *replica;

    /* The log: everything handed over, and how much of it is durable. */
    struct raft_entry *log; /* owned, payloads too; log[0] is index 1 */
    size_t log_size;
    raft_index log_last;
    uint64_t submitted; /* batches */
    uint64_t stored;
    bool holds_store; /* fx_settle() completes nothing */
    uint64_t busy_us; /* what the disk says that its syncs took, in all */
    int fail_submit;

    /* The state. */
    struct fx_value values[FX_KEYS_MAX];
    unsigned n_values;
    struct raft_entry_id applied;
    const char *planted;       /* every read returns this text instead */
    const char *planted_apply; /* only reads right behind a marker do */
    const char *planted_read;  /* only the others do */
    bool last_is_marker;       /* of what was committed, and nothing was read since */
    bool reads_marker;
    struct raft_entry_id applied_before; /* the transaction */
    bool says_no_space;                  /* every command's result */
    const char *no_space;                /* nothing may be appended for a write: what is full */
    raft_node_id behind;                 /* nor, with sessions, before it understands them */
    /* Answers of writes in sessions: a few, for ever; a session is one that was opened. */
    struct {
        uint64_t client;
        uint64_t seq; /* 0: that it was opened */
        struct command_result result;
    } answers[FX_ANSWERS_MAX];
    unsigned n_answers;
    bool is_reading;
    bool is_writing;
    int fail_begin;
    int fail_apply;
    int fail_commit;
    int fail_read;
    int fail_get;

    /* Ranges: so many string keys "000000" to "999999" with values of so many bytes, in place of
     * what was written; 0: what was written. fail_next: what the n-th item of a range gives. */
    unsigned n_planted;
    size_t planted_bytes;
    char *planted_text; /* owned */
    unsigned n_until_fail;
    int fail_next;
    uint64_t next_us; /* what a step of a range takes */
    unsigned n_nexts;
    const struct command_range *range; /* NULL: none is read */
    unsigned char last_key[KEY_BYTES_MAX];
    size_t last_len;
    bool last_counts;

    int fail_rebuild;
    unsigned n_damaged;
    unsigned n_rebuilds;
    unsigned n_full_rebuilds; /* so many find no room */
    bool stays_unfit;         /* else the host makes it fit when it is rebuilt */

    unsigned n_fatal;
    int fatal_error;
    unsigned n_sent;

    /* What a step of this node takes; 0: no time. */
    uint64_t apply_us;
    uint64_t get_us;
    uint64_t slept_us;    /* its machine was suspended for so long: only its hold clock goes on */
    uint64_t sleeps_read; /* that happens, once, when a read transaction begins */
    bool is_disrupted;    /* said once */
    unsigned n_looks;     /* at both clocks */
    unsigned n_flushed;   /* of n_sent: told to leave */
    raft_index flushed_before; /* applied when that was last said */
};

struct fx_msg {
    struct raft_msg m;
    struct fx_msg *next;
};

/* Of a group that is more than voters who know everything. */
struct fx_options {
    uint64_t lease_us; /* of leaders; 0: none */
    int n_learners;    /* the last ones */
};

struct fx {
    int n;
    struct fx_options options;
    uint64_t now_us;
    struct fx_node nodes[FX_NODES_MAX];
    struct fx_msg *first;
    struct fx_msg **last;
    bool cut[FX_NODES_MAX]; /* nothing to or from */
    /* When set: only messages for which it says so travel, the others are lost. */
    bool (*pass)(const struct fx *fx, const struct raft_msg *m);
};

/* ---- network ---- */

/* Forgets what is under way. */
void fx_lose(struct fx *fx);
/* What is under way now arrives, in order. Returns how many messages that were. */
unsigned fx_deliver(struct fx *fx);
/* How many of a type are under way. */
unsigned fx_n_under_way(const struct fx *fx, enum raft_msg_type type);

/* ---- log ---- */

/* Every batch up to this one is durable. */
void fx_store_to(struct fx *fx, int i, uint64_t batch);
void fx_store(struct fx *fx, int i);

/* ---- state ---- */

/* What this node's state holds under the key; NULL: nothing. */
struct fx_value *fx_find(struct fx_node *n, struct wire_slice key);

/* ---- birth and death ---- */

/* n1 .. nN, all voters; nobody leads yet. */
void fx_init(struct fx *fx, int n);
void fx_init_with(struct fx *fx, int n, const struct fx_options *options);
void fx_done(struct fx *fx);

/* ---- driving ---- */

const struct raft *fx_raft(const struct fx *fx, int i);
/* One turn, and everything that must hold after it. */
void fx_turn(struct fx *fx, int i);
/* Until nothing moves any more at this time: turns, disks that are not held, messages. */
void fx_settle(struct fx *fx);
/* In steps, so that nobody misses a heartbeat. */
void fx_advance(struct fx *fx, uint64_t us);
/* Without anybody being told: the next turn sees it. */
void fx_pass_time(struct fx *fx, uint64_t us);
/* A leader that can serve; -1: none. */
int fx_leader(const struct fx *fx);
int fx_elect(struct fx *fx);
int fx_other(const struct fx *fx, int i);

/* ---- messages by hand ---- */

/* As if a leader of a higher term had sent a heartbeat: this one steps down in the next turn. Only
 * for a node that is cut off from then on: there is no such leader. */
void fx_depose(struct fx *fx, int i, int by);
/* As if `by` had refused something in a higher term: nobody is known to lead it. */
void fx_outdate(struct fx *fx, int i, int by);
/* The acknowledgement of a round by `from`. */
void fx_ack_round(struct fx *fx, int i, int from, uint64_t round);
/* The acknowledgement of entries by `from`. */
void fx_ack_append(struct fx *fx, int i, int from, raft_index index);
uint64_t fx_last_round(const struct fx *fx, int i);
raft_index fx_last_index(const struct fx *fx, int i);

#endif
