/* One word from the kernel. */
#include "base/seed.h"

#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"

#include "base/banned.h"

uint64_t seed_fresh(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = clock_mono_us() ^ (uint64_t)getpid() << 32;
    return seed;
}
