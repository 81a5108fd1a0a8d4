/* Numbered rounds of heartbeats, as the leader counts them (READ-5, READ-10).
 *
 * A round is one broadcast: its number is new, and everybody who answers it was in our term
 * after it left. Every periodic heartbeat opens a round of its own, whether a read waits or not;
 * what an answer proves about time rests on it. Only rounds that carry reads count in the window
 * of outstanding ones: a heartbeat without reads never makes a read wait.
 *
 * The time at which a round was opened is kept beside its number, in a ring that a later round
 * takes over: asked about a round that is no longer there the answer is "unknown", never the
 * time of another. Written once, before the first byte of the round leaves: a number that is
 * sent again, on a new link, keeps its time. */
#ifndef RIDD_RAFT_ROUNDS_INT_H
#define RIDD_RAFT_ROUNDS_INT_H

#include <stdbool.h>
#include <stdint.h>

/* Rounds back that the time is known of, and outstanding rounds with reads at the very most. */
#define ROUND_TIMES 64u

struct round_time {
    uint64_t round; /* 0: nothing here yet */
    uint64_t opened_us;
    uint64_t hold_us;  /* the same by the hold clock */
    uint64_t lease_us; /* what its heartbeats carry, also when they are repeated */
};

struct rounds {
    uint64_t next; /* the number of the next one, from 1; never reset while the process lives */
    uint64_t confirmed; /* a quorum has acknowledged it, and so all before it; below next */
    struct round_time times[ROUND_TIMES]; /* that of round n at n % ROUND_TIMES */
    bool due;         /* a broadcast of heartbeats is due: it opens a round, reads or not */
    uint64_t srtt_us; /* from opening to confirmation, smoothed; 0: not measured */

    /* Those that carry reads. */
    unsigned max;      /* outstanding at once, unless even the newest has waited for long */
    unsigned n_open;   /* opened and not confirmed; at most ROUND_TIMES */
    uint64_t last_us;  /* when the newest was opened */
    uint64_t n_opened; /* since the process started */
    uint64_t n_confirmed;
};

void raft_rounds_init(struct rounds *s, unsigned max);
/* A new leader: what an earlier leadership opened is closed. */
void raft_rounds_begin_term(struct rounds *s);
/* The highest number given out; 0: none yet. */
uint64_t raft_rounds_last(const struct rounds *s);
/* The number of a round opened now. */
uint64_t raft_rounds_open(struct rounds *s, uint64_t now_us, uint64_t hold_us, uint64_t lease_us);
/* What was when it was opened; NULL: that is not known any more. */
const struct round_time *raft_rounds_get(const struct rounds *s, uint64_t round);
/* A quorum has acknowledged everything up to round; it is above confirmed. */
void raft_rounds_confirm(struct rounds *s, uint64_t round, uint64_t now_us);

#endif
