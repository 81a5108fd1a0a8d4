/* What the two ways of the load generator share: what is asked for, and the figures. */
#ifndef RIDD_TESTS_BENCH_LOAD_H
#define RIDD_TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

#define IN_FLIGHT_MAX 1024u

struct load {
    const char *addr; /* with libridd a list */
    unsigned n_connections;
    unsigned in_flight;
    double seconds;
    const char *op;
    unsigned n_keys;
    unsigned value_bytes;
    unsigned write_percent;
    bool with_libridd;
    bool spread;
    bool session;
    const char *prefer; /* NULL: none */
    struct prng prng;
    char *value;
};
extern struct load load;

void die(const char *what) __attribute__((noreturn));
/* The op of the next request. */
const char *load_next_op(void);
unsigned load_next_key(void);
/* One that took so long; error: what went wrong, NULL: nothing did. */
void load_note(uint64_t us, const char *error, size_t error_len);

/* Both run for the time that was asked for, and return how long that was. */
uint64_t load_raw(void);
uint64_t load_libridd(void);

#endif
