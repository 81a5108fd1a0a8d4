/* Which key is asked for next, and when.
 *
 * For: the loop of a load.
 * Not for: secrets, or anything that must not repeat: a seed gives the same load again.
 * Units: keys by their number, 0 being the one that is asked for most; nanoseconds.
 * Ownership: values of fixed size.
 * Errors: none.
 * Thread: the caller's.
 * Source: rejection-inversion, W. Hoermann and G. Derflinger, "Rejection-inversion to generate
 * variates from monotone discrete distributions", ACM TOMACS 6 (1996): exact for every exponent, a
 * logarithm and an exponential for each, no table of keys. */
#ifndef RIDD_LOAD_DRAW_H
#define RIDD_LOAD_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"

struct draw {
    uint64_t n_keys;
    double exponent; /* 0: all keys alike */
    double from;     /* of the integral of the hat: where draws may fall */
    double to;
    double at_once; /* what is within this of its key needs no second look */
};

/* n_keys at least 1, exponent not negative. */
void draw_init(struct draw *d, uint64_t n_keys, double exponent);
uint64_t draw_key(const struct draw *d, struct prng *p);
/* Uniform in (0, 1]. */
double draw_unit(struct prng *p);
/* Until the next of so many a second: always the same time, or one of a Poisson process. */
double draw_gap_ns(struct prng *p, double per_s, bool poisson);

#endif
