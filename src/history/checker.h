/* Is a history linearizable? Judges that know nothing of each other.
 *
 * A history is what clients saw of single keys: when they asked, when they were answered, and what.
 * Time is any clock that is one for all clients and does not fall. Values are numbers that no two
 * writes of a history share; 0 means that there is none.
 *
 * Judge B (history_check_key) believes clients only: the search of Wing and Gong with Lowe's
 * memoisation, one key at a time, which is enough because linearizability is local (Herlihy and
 * Wing, 1990). Histories must be small: at most five operations at once on a key and a few thousand
 * in all, and few of unknown outcome, each of which stays open for ever. It never guesses: a search
 * that becomes too large is CHECK_GAVE_UP, which is no success.
 *
 * Judge A (history_check_index) believes the log indexes in the replies, and so needs no search:
 * what is answered must follow from the entries before it, an index may stand for one entry only,
 * and what was asked after an answer may not have an older index; of a read that tells its age, so
 * much later than the answer. It sees all keys together, and local reads too, and takes time as
 * n log n. Where an operation of unknown outcome might explain
 * an answer it holds its tongue, so B may find what A does not; the reverse means that the indexes
 * are wrong.
 *
 * Judge C (history_check_old) is for local reads that promise something: not to be older than they
 * say, or to show all that their session has seen. It believes values and times, and of a session
 * the indexes, too: what was found may not have been written over for certain before the moment
 * that was promised.
 *
 * Judge Z (history_check_zones) is for long histories of writes and reads alone, with any number of
 * them under way at once. Like B it believes clients only. All operations of one value must stand
 * together in the order, the write in front; so of each value it takes the span from its first
 * return to its last call, in which it was certainly there, or within which it was for one moment.
 * No two spans of the first kind may overlap, and none of the second may be inside one of the first
 * (Gibbons and Korach, "Testing shared memories", 1997). It takes time as n log n, and never gives
 * up; to a cas or a delete it does.
 *
 * Outcomes. An operation that failed definitely is not part of a history. A write, cas or delete
 * that may have happened is UNKNOWN; a read without an answer is left out. A cas that was refused
 * is OK with `result` CAS_MISSING or CAS_DIFFERS: it read.
 *
 * One thread. Memory that runs out ends the program. Source: Lowe, "Testing for
 * linearizability" (2017). */
#ifndef RIDD_HISTORY_CHECKER_H
#define RIDD_HISTORY_CHECKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum history_kind {
    HISTORY_WRITE,
    HISTORY_CAS,
    HISTORY_DELETE,
    HISTORY_READ, /* must be linearizable */
    HISTORY_LOCAL /* an old state is allowed, a wrong one is not; not for judge B */
};
enum history_outcome { HISTORY_OK, HISTORY_UNKNOWN };
enum history_cas { HISTORY_CAS_DONE, HISTORY_CAS_MISSING, HISTORY_CAS_DIFFERS };

#define HISTORY_NEVER   UINT64_MAX
#define HISTORY_ANY_AGE 0u /* of a local read; none that is told is 0 */

struct history_op {
    uint64_t call_ns;
    uint64_t ret_ns;   /* HISTORY_NEVER: unknown */
    uint64_t value;    /* write, cas: what is written; read: what was found, 0: nothing */
    uint64_t from;     /* cas */
    uint64_t index;    /* of the entry, or of the state that was read; 0: not told */
    uint64_t modify;   /* read: index of the entry that wrote the value; 0: not told */
    uint64_t stale_ns; /* local read: it is no older than this when it was called; or ANY_AGE */
    uint32_t key;
    uint16_t session; /* whose reads never go back, unless it is 0; see judge C */
    uint16_t client;
    uint8_t kind;    /* enum history_kind */
    uint8_t outcome; /* enum history_outcome */
    uint8_t result;  /* cas: enum history_cas */
    bool create;     /* cas: also when there is none */
    bool existed;    /* delete */
    bool has_token;  /* local read: it was to show all that the session had seen */
    bool own_entry;  /* read: index is that of an entry of its own in the log */
    uint8_t node;    /* who answered; for timelines */
    uint8_t method;  /* the caller's own; for timelines */
};

struct history {
    struct history_op *ops; /* owned */
    size_t n;
    size_t size;
};

void history_init(struct history *h);
void history_done(struct history *h);
/* Its number, which stays. */
size_t history_add(struct history *h, const struct history_op *op);

enum check_result { CHECK_GOOD, CHECK_BAD, CHECK_GAVE_UP };

struct check_verdict {
    enum check_result result;
    uint32_t key;        /* BAD, GAVE_UP: of which */
    size_t culprit;      /* BAD: the operation that does not fit, by its number */
    size_t n_linearized; /* B: of the longest order that was found */
    size_t n_states;     /* B: remembered */
    char why[320];
};

/* Judge B on the operations with this key. ops: numbers of them, in any order; the array is sorted.
 */
void history_check_key(const struct history *h, size_t *ops, size_t n,
                       struct check_verdict *ret_verdict);
/* Judge B on all keys; stops at the first that is not good. */
void history_check_keys(const struct history *h, struct check_verdict *ret_verdict);
/* Judge Z on all keys; stops at the first that is not good. GAVE_UP: something else than writes and
 * reads. first: what each key held before all; no write writes it. */
void history_check_zones(const struct history *h, uint64_t first,
                         struct check_verdict *ret_verdict);
/* Judge A. */
void history_check_index(const struct history *h, struct check_verdict *ret_verdict);
/* Judge C. */
void history_check_old(const struct history *h, struct check_verdict *ret_verdict);

/* The operations on a key about the culprit, as text and as a page with a picture. method_names may
 * be NULL; title is the caller's (seed, key's name). */
void history_print_timeline(const struct history *h, const struct check_verdict *v,
                            const char *title, const char *const *method_names, FILE *out);
void history_print_html(const struct history *h, const struct check_verdict *v, const char *title,
                        const char *const *method_names, FILE *out);

#endif
