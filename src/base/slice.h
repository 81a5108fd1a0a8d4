/* A share of the time of one turn: how long a stage may go on with the work that it finds.
 *
 * A stage does a step, then asks slice_spent(), and leaves the rest for its next turn when the
 * answer is yes. Asked after a step, never before the first one, so that whoever has work gets on
 * by one step however late the turn already is. What is known to cost more than a step usually does
 * (a long value that was copied) is charged, and makes the next question look at the clock.
 *
 * For: everything in the loop that can find more work than fits half a heartbeat: lines of
 * clients, messages of peers, entries to apply, reads to serve.
 * Not for: bounds on memory (budget.h has them), and never for a decision that two nodes must take
 * alike: when a slice is spent depends on the machine.
 * Units: monotonic microseconds, bytes.
 * Ownership: a plain value; the clock's context outlives it.
 * Errors: none. A spent slice stays spent, whatever the clock says later.
 * Thread: one. The clock is the host's, so that virtual time can cost CPU in a simulator.
 * Source: TIME-1 (every stage that has work does one step, then stops in time). */
#ifndef RIDD_BASE_SLICE_H
#define RIDD_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
    uint64_t (*now_us)(void *ctx);
    void *ctx;
    uint64_t end_us;
    uint64_t looked_us;  /* when the clock was read last; 0: never */
    unsigned steps;      /* between two looks: doubles while they are quick, up to SLICE_STEPS */
    unsigned steps_left; /* until the clock is read */
    size_t bytes_left;   /* likewise; 0: at the next question */
    bool spent;
};

/* What one of the stages has of each turn, for this heartbeat. */
uint64_t slice_share_us(uint64_t heartbeat_us);
/* Until end_us by this clock, which is not read yet. Without a clock, or with UINT64_MAX, it has no
 * end. */
void slice_begin(struct slice *s, uint64_t (*now_us)(void *ctx), void *ctx, uint64_t end_us);
/* The step touched so many bytes more than a step usually does. */
void slice_charge(struct slice *s, size_t bytes);
/* Looks at the clock: is it over? */
bool slice_look(struct slice *s);

/* One step was done: stop? The clock is read every SLICE_STEPS steps or SLICE_BYTES bytes; after
 * each step where steps turn out to be long. */
static inline bool slice_spent(struct slice *s)
{
    if (s->spent)
        return true;
    if (--s->steps_left > 0 && s->bytes_left > 0)
        return false;
    return slice_look(s);
}

#endif
