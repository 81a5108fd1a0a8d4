/* Where the seeds of a process come from.
 *
 * For: prng.h in programs, salts, incarnations of what lives no longer than its process.
 * Not for: tests and simulations, which must repeat and bring their own seed; nor secrets, nor what
 * may never come twice: there the lack of random bytes is an error (node/identity.c).
 * Errors: none: without the kernel's random bytes, clock and process give a seed.
 * Thread: any.
 * Source: getrandom(2).
 * Obvious: units, ownership. */
#ifndef RIDD_BASE_SEED_H
#define RIDD_BASE_SEED_H

#include <stdint.h>

/* Another one at each call. */
uint64_t seed_fresh(void);

#endif
