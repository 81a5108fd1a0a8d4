/* What is known of each key while it is written and read: which numbers it may hold, and which it
 * must have passed.
 *
 * Writes of a key get their numbers in the order in which they begin. Several may be under way at
 * once, and are done in any order; so a lower number may stand behind a higher one. What is
 * certain: a write that began when all numbers up to m were over has taken the place of each of
 * them, once it is acknowledged. m + 1 is then the least that a linearizable read may find which
 * begins later (DOCTOR-4).
 *
 * To know m without a list, the writes of a key are counted in two generations: those that began
 * before the older generation was over are the younger one.
 *
 * For: the judge of each answer.
 * Not for: whole histories (history/history.h), which find what one answer cannot show.
 * Ownership: truth_new() to truth_free().
 * Errors: -ENOMEM.
 * Thread: any, when made for several.
 * Source: linearizability of a register (Herlihy and Wing, 1990).
 * Obvious: units. */
#ifndef RIDD_LOAD_TRUTH_H
#define RIDD_LOAD_TRUTH_H

#include <stdbool.h>
#include <stdint.h>

struct truth;
/* Where a write stands: of truth_begin_write() for truth_end_write(). */
struct truth_write {
    uint64_t key;
    uint32_t number;
    uint32_t over; /* all numbers up to this one were over when it began */
};

enum truth_outcome { TRUTH_DONE, TRUTH_NOT_DONE, TRUTH_UNKNOWN };
enum truth_verdict { TRUTH_RIGHT, TRUTH_OLD, TRUTH_NEVER_WRITTEN };

/* Each key holds number 0. shared: by several threads. */
int truth_new(uint64_t n_keys, bool shared, struct truth **ret);
void truth_free(struct truth *t);

struct truth_write truth_begin_write(struct truth *t, uint64_t key);
void truth_end_write(struct truth *t, const struct truth_write *w, enum truth_outcome outcome);
/* The least that a linearizable read may find which begins now. */
uint32_t truth_least(struct truth *t, uint64_t key);
/* Of a number that such a read has found; linearizable: it promises that. */
enum truth_verdict truth_judge(struct truth *t, uint64_t key, uint32_t least, uint32_t number,
                               bool linearizable);

#endif
