/* Sizes are doubled from the first block on; they are checked before they are multiplied. */
#include "base/array.h"

#include <stdint.h>

#include "base/assert.h"

#include "base/banned.h"

/* The first block; an array that is used at all soon holds this many. */
#define ARRAY_SIZE_MIN 16u

void *array_reserve(struct mem mem, void *array, size_t *size, size_t n, size_t more, size_t width)
{
    size_t want = *size > 0 ? *size : ARRAY_SIZE_MIN;

    rid_assert(n <= *size);
    rid_assert(more > 0);
    rid_assert(width > 0);
    if (more <= *size - n)
        return array;
    if (more > SIZE_MAX / 4 - n)
        return NULL;
    while (want < n + more)
        want *= 2;
    if (want > SIZE_MAX / width)
        return NULL;
    array = mem.resize(mem.ctx, array, want * width);
    if (array != NULL)
        *size = want;
    return array;
}
