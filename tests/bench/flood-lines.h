/* What floods send: the lines, and the table of floods with a harmless request of each kind.
 *
 * For: floods.c, which runs them. Not for: judging anything.
 * Ownership: a line is the caller's, freed with free(l.data). Errors: none; it asserts. */
#ifndef RIDD_TESTS_BENCH_FLOOD_LINES_H
#define RIDD_TESTS_BENCH_FLOOD_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* A line, ready to be sent as often as wanted. */
struct line {
    char *data;
    size_t len;
};

struct flood {
    const char *name;
    unsigned n_conns;
    unsigned in_flight;
    bool unread; /* replies are left in the socket; everything is sent once */
    bool lonely; /* the other two nodes are killed first: there is no leader */
    struct line (*line)(void);
    struct line (*same)(void); /* a harmless request of its kind; NULL: the reads are */
    const char *prepare; /* what is written before: "big" 500 KB of text, "deep" nested, NULL */
};
extern const struct flood floods[];
extern const size_t n_floods;

/* What the good client reads as well. */
struct line line_read_small(void);
/* A value that takes long: "deep" is nested, others are text. */
struct line line_write_value(const char *key);

#endif
