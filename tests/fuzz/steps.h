/* Inputs that are scripts: steps of STEP_BYTES bytes, the first of them settings. A fixed width keeps
 * a changed operand from shifting the meaning of everything behind it, and lets the mutator of
 * steps.c insert, remove, repeat and move whole steps. The last step of an input may be short: what
 * is missing is 0, and 0 is the harmless value of every operand.
 *
 * No owner, any thread. */
#ifndef RIDD_TESTS_FUZZ_STEPS_H
#define RIDD_TESTS_FUZZ_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

#define STEP_BYTES 16u

struct steps {
    const uint8_t *data; /* borrowed */
    size_t left;
};

/* False at the end. */
static inline bool steps_next(struct steps *s, uint8_t ret_step[STEP_BYTES])
{
    size_t n = s->left < STEP_BYTES ? s->left : STEP_BYTES;

    if (n == 0)
        return false;
    memset(ret_step, 0, STEP_BYTES);
    memcpy(ret_step, s->data, n);
    s->data += n;
    s->left -= n;
    return true;
}

/* A number near `base`, or one of the edges: 0 is base itself, 1 .. 63 above, 64 .. 127 below (not
 * under 0), the rest edges. */
uint64_t steps_near(uint64_t base, uint8_t b);

/* For seeds. */
void steps_add(struct buf *buf, const uint8_t step[STEP_BYTES]);

#endif
