/* What clients cost this process, and that it goes back when they do not any more.
 *
 * The allocator keeps what is freed below something that is still used, for ever: after a flood
 * the node would stay as large as it was. So very large blocks are mappings of their own, which go
 * back at once (the threshold is fixed, or it would rise with the first of them), and when much
 * less is charged than was before, what is free inside the heap is given back, too. */
#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "node/node_int.h"

#include "base/banned.h"

/* Nobody can be told in time that there are no addresses left: it would show as a failed allocation
 * in the midst of a flood. */
int node_memory_check(const struct conf *conf)
{
    const uint64_t needed = conf->memory_bytes + KV_MAP_BYTES_MIN * 3 / 2 + ADDRESS_BYTES_OTHER;
    struct rlimit rl;

    if (getrlimit(RLIMIT_AS, &rl) != 0 || rl.rlim_cur == RLIM_INFINITY || rl.rlim_cur >= needed)
        return 0;
    return err_say(-ENOMEM,
                   "the limit of addresses (ulimit -v) is %llu KiB, and with [limits] memory = "
                   "%lluM at least %llu are needed: raise it, or LimitAS= of the unit",
                   (unsigned long long)rl.rlim_cur >> 10,
                   (unsigned long long)conf->memory_bytes >> 20,
                   (unsigned long long)(needed + 1023) >> 10);
}

void node_memory_begin(struct node *n)
{
    memory_init(&n->memory, n->conf->memory_bytes);
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, MALLOC_MAPPED_BYTES);
#endif
#ifdef M_TRIM_THRESHOLD
    (void)mallopt(M_TRIM_THRESHOLD, MALLOC_KEEP_BYTES);
#endif
}

void node_memory_turn(struct node *n, uint64_t now_us)
{
    if (n->memory.all.used > n->memory_peak)
        n->memory_peak = n->memory.all.used;
    if (n->memory_peak - n->memory.all.used < MEMORY_TRIM_BYTES ||
        now_us - n->memory_trimmed_us < MEMORY_TRIM_US)
        return;
    n->memory_peak = n->memory.all.used;
    n->memory_trimmed_us = now_us;
#ifdef __GLIBC__
    (void)malloc_trim(MEMORY_TRIM_PAD_BYTES);
#endif
}
