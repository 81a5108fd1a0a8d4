/* A load: connections that ask a server as fast as they are told, and what they noticed.
 *
 * What is asked is the same whoever is asked: a server is a table of functions (struct
 * load_protocol) that make bytes of one operation, and operations of the bytes that come back. So
 * ridd and others are measured by the same loop, the same clock and the same counting.
 *
 * For: ridbench, and tools/versus, which puts ridd beside other servers.
 * Not for: clients that want an answer and not a figure: libridd is theirs, with its retries.
 * Units: bytes; times in nanoseconds on the monotonic clock.
 * Ownership: a protocol's state belongs to its connection, from open() to close(). What an answer
 * points at is valid during load_answered() only.
 * Errors: -errno; of submit() and receive() one ends the connection, and that is counted.
 * Thread: one loop, and all that it calls, in one thread; several loops share nothing.
 * Source: docs/BENCH.md; coordinated omission: a latency begins when its request was meant to be
 * sent, not when there was room for it (open loop). */
#ifndef RIDD_LOAD_LOAD_H
#define RIDD_LOAD_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum load_kind {
    LOAD_READ = 0, /* one key */
    LOAD_WRITE,
    LOAD_BATCH,  /* several keys at one index */
    LOAD_SCAN,   /* some keys from one on */
    LOAD_REMOVE, /* one key; never measured: a run clears away what it has written */
    LOAD_N_KINDS
};

/* What a key holds says whose it is: "KEY/NUMBER/" and as many 'x' as fill it up. */
struct load_op {
    enum load_kind kind;
    uint64_t key;         /* its number: 0 to n_keys - 1 */
    unsigned n;           /* batch, scan: so many keys */
    uint32_t number;      /* write: what it writes; each one of a key is higher than all before */
    unsigned value_bytes; /* write: the whole of the value */
};

enum load_outcome {
    LOAD_DONE = 0,
    LOAD_ABSENT,  /* the read is an answer: there is no such key */
    LOAD_REFUSED, /* for certain not done */
    LOAD_UNKNOWN, /* a write that may yet be done */
    LOAD_WRONG    /* an answer that cannot be one to what was asked: error says why */
};

struct load_answer {
    enum load_outcome outcome;
    const char *value; /* read: the bytes of the value, unescaped; NULL where there is none */
    size_t value_len;
    const char *error; /* refused, unknown: what the server said, in some words; no NUL needed */
    size_t error_len;
    const char *leader; /* refused, and who would do it: HOST:PORT; NULL: not said */
    size_t leader_len;
};

struct load_conn;
/* slot: as submit() was given it. Each slot has one answer. */
void load_answered(struct load_conn *conn, unsigned slot, const struct load_answer *answer);
/* Before the answer of a batch or a scan: each key that it holds, in the order asked for; value as
 * in load_answer. The key's own number is known by its place. */
void load_item(struct load_conn *conn, unsigned slot, unsigned place, const char *value,
               size_t value_len);

struct load_protocol {
    const char *name;
    /* Of one connection; what has to be sent first goes to out. n_slots: the most in flight.
     * prefix stands before each key's number, and lives as long as the connection. */
    int (*open)(const char *prefix, unsigned n_slots, struct buf *out, void **ret);
    void (*close)(void *state);
    /* Bytes of one operation, behind what is in out. */
    int (*submit)(void *state, struct buf *out, unsigned slot, const struct load_op *op);
    /* Takes whole answers of what has come and calls load_answered() for each; what it must send
     * back at once (windows, pings) goes to out. How many bytes it took; the rest is shown again,
     * with more behind it. */
    long (*receive)(void *state, struct load_conn *conn, const unsigned char *bytes, size_t len,
                    struct buf *out);
};

#endif
