/* The mutator of scripts: it knows where steps begin and nothing of what they mean. libFuzzer calls
 * it in place of its own, and it asks libFuzzer's back (LLVMFuzzerMutate) for single steps, so that
 * what comparisons were seen to want still gets in. driver.c plays the same part without libFuzzer.
 */
#include "fuzz/steps.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/prng.h"
#include "fuzz/fuzz.h"

uint64_t steps_near(uint64_t base, uint8_t b)
{
    static const uint64_t edges[] = {
        0,
        1,
        2,
        UINT32_MAX,
        (uint64_t)UINT32_MAX + 1,
        RAFT_INDEX_MAX - 1,
        RAFT_INDEX_MAX,
        RAFT_INDEX_MAX + 1,
        UINT64_MAX / 2,
        UINT64_MAX - 1,
        UINT64_MAX,
    };

    if (b < 64)
        return base + b;
    if (b < 128)
        return base < (uint64_t)b - 63 ? 0 : base - ((uint64_t)b - 63);
    return edges[(b - 128u) % (sizeof(edges) / sizeof(edges[0]))];
}

void steps_add(struct buf *buf, const uint8_t step[STEP_BYTES])
{
    if (buf_add(buf, step, STEP_BYTES) != 0)
        abort();
}

static void draw_step(struct prng *p, uint8_t *step)
{
    for (unsigned i = 0; i < STEP_BYTES; i++) {
        uint64_t kind = prng_below(p, 8);

        step[i] = 0;
        if (i == 0 || kind == 0)
            step[i] = (uint8_t)prng_next(p);
        else if (kind < 3)
            step[i] = (uint8_t)prng_below(p, 8);
    }
}

/* Opens a gap of n steps at step `at`; false when there is no room. */
static bool open_gap(uint8_t *data, size_t *n_steps, size_t max, size_t at, size_t n)
{
    if (*n_steps + n > max)
        return false;
    memmove(data + (at + n) * STEP_BYTES, data + at * STEP_BYTES, (*n_steps - at) * STEP_BYTES);
    *n_steps += n;
    return true;
}

static size_t draw_run(struct prng *p, size_t most)
{
    size_t n = 1 + (size_t)prng_below(p, prng_below(p, 4) == 0 ? 12 : 2);

    return n < most ? n : most;
}

static void mutate_once(struct prng *p, uint8_t *data, size_t *n_steps, size_t max)
{
    uint8_t copy[12 * STEP_BYTES];
    size_t at = (size_t)prng_below(p, *n_steps);
    size_t from = (size_t)prng_below(p, *n_steps);
    size_t n = draw_run(p, *n_steps - from);
    uint8_t *step = data + at * STEP_BYTES;
    unsigned i = (unsigned)prng_below(p, STEP_BYTES);

    switch (prng_below(p, 10)) {
    case 0:
        step[i] = (uint8_t)prng_next(p);
        break;
    case 1:
        step[i] = (uint8_t)(step[i] + (prng_below(p, 2) == 0 ? 1 : 255));
        break;
    case 2:
        step[i] = 0;
        break;
    case 3:
        step[0] = (uint8_t)prng_next(p);
        break;
    case 4: /* again, elsewhere */
        memcpy(copy, data + from * STEP_BYTES, n * STEP_BYTES);
        if (open_gap(data, n_steps, max, at, n))
            memcpy(data + at * STEP_BYTES, copy, n * STEP_BYTES);
        break;
    case 5:
        if (open_gap(data, n_steps, max, at, 1))
            draw_step(p, data + at * STEP_BYTES);
        break;
    case 6:
        if (*n_steps > n) {
            memmove(data + from * STEP_BYTES, data + (from + n) * STEP_BYTES,
                    (*n_steps - from - n) * STEP_BYTES);
            *n_steps -= n;
        }
        break;
    case 7:
        memcpy(copy, step, STEP_BYTES);
        memcpy(step, data + from * STEP_BYTES, STEP_BYTES);
        memcpy(data + from * STEP_BYTES, copy, STEP_BYTES);
        break;
    case 8:
        draw_step(p, step);
        break;
    default:
        memcpy(copy, step, STEP_BYTES);
        n = LLVMFuzzerMutate(copy, STEP_BYTES, STEP_BYTES);
        memset(copy + n, 0, STEP_BYTES - n);
        memcpy(step, copy, STEP_BYTES);
        break;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t max = max_size / STEP_BYTES;
    size_t n = size / STEP_BYTES;
    struct prng p;

    prng_init(&p, seed);
    if (max == 0 || prng_below(&p, 8) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (n == 0) {
        memset(data, 0, STEP_BYTES);
        n = 1;
    }
    for (uint64_t i = 1 + prng_below(&p, 5); i > 0; i--)
        mutate_once(&p, data, &n, max);
    return n * STEP_BYTES;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
                                 size_t size2, uint8_t *out, size_t max_out_size, unsigned seed)
{
    struct prng p;
    size_t head;
    size_t from;
    size_t tail;

    prng_init(&p, seed);
    head = (size_t)prng_below(&p, size1 / STEP_BYTES + 1) * STEP_BYTES;
    from = (size_t)prng_below(&p, size2 / STEP_BYTES + 1) * STEP_BYTES;
    if (head > max_out_size)
        head = max_out_size / STEP_BYTES * STEP_BYTES;
    tail = size2 - from < max_out_size - head ? size2 - from : max_out_size - head;
    if (head > 0)
        memcpy(out, data1, head);
    if (tail > 0)
        memcpy(out + head, data2 + from, tail);
    return head + tail;
}
