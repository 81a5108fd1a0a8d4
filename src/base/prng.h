/* SplitMix64: a seed in, a repeatable sequence out.
 *
 * For: jitter, nonces, tests and simulations that must repeat.
 * Not for: secrets.
 * Units: prng_below(n) gives 0 to n - 1.
 * Errors: none; a bound of 0 is an error of the programmer.
 * Thread: one at a time for each generator.
 * Source: Steele, Lea and Flood, 2014.
 * Obvious: ownership. */
#ifndef RIDD_BASE_PRNG_H
#define RIDD_BASE_PRNG_H

#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline void prng_init(struct prng *p, uint64_t seed)
{
    p->state = seed;
}

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t z = (p->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in 0 .. bound-1; bound 0 gives 0. The bias of the multiplication is below 2^-32 for the
 * bounds used here. It is the upper half of a product of 128 bits, which a machine of 32 does not
 * have. */
static inline uint64_t prng_below(struct prng *p, uint64_t bound)
{
    const uint64_t x = prng_next(p);
    const uint64_t x_low = x & 0xffffffffu;
    const uint64_t bound_low = bound & 0xffffffffu;
    const uint64_t middle = (x >> 32) * bound_low + (x_low * bound_low >> 32);
    const uint64_t other = x_low * (bound >> 32) + (middle & 0xffffffffu);

    return (x >> 32) * (bound >> 32) + (middle >> 32) + (other >> 32);
}

#endif
