/* What shim.c, loaded into a ridd process, and the driver that started it share: a file of this
 * form that both have mapped, named by RIDD_SHIM_CONTROL. All zero: nothing is changed. */
#ifndef RIDD_TESTS_CLUSTER_SHIM_H
#define RIDD_TESTS_CLUSTER_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#define SHIM_NO_WRITE   1u /* pwrite() and pwritev() */
#define SHIM_NO_SYNC    2u /* fdatasync() and fsync() */
#define SHIM_LARGE_READ (64u << 10)

/* What a machine's clocks show, in ns. CLOCK_MONOTONIC_RAW shows its own time and shift_ns, and
 * since the moment at which it showed since_ns by itself it runs by ppm millionths faster;
 * CLOCK_BOOTTIME is off by boot_shift_ns. Read and written by the two functions below. */
struct shim_clocks {
    atomic_uint turn; /* odd: it is being written */
    atomic_llong since_ns;
    atomic_llong shift_ns;
    atomic_llong ppm;
    atomic_llong boot_shift_ns;
};

struct shim_control {
    /* The n-th fdatasync() or fsync() from now fails with EIO, once; 0: none does. */
    atomic_uint fail_sync;
    /* The n-th of them from now kills the process instead, as a crash does; 0: none does. */
    atomic_uint kill_sync;
    /* Each of them takes so much longer. */
    atomic_uint slow_sync_ms;
    /* Each pread() of more than SHIM_LARGE_READ bytes takes so much longer; UINT_MAX: it hangs until
     * another number stands here. */
    atomic_uint slow_read_ms;
    /* There is no room: SHIM_NO_WRITE and SHIM_NO_SYNC together or alone. Allocating goes on. */
    atomic_uint no_room;
    /* CLOCK_REALTIME is off by so much; other clocks are as they are. */
    atomic_llong clock_shift_s;
    /* CLOCK_MONOTONIC is as it is: it is what the kernel waits by. */
    struct shim_clocks clocks;
    /* What happened. */
    atomic_ullong n_syncs;
    atomic_ullong n_failed;
    atomic_ullong n_redirected;
};

/* What CLOCK_MONOTONIC_RAW is to show where it shows own_ns by itself. */
static inline int64_t shim_clocks_show(struct shim_clocks *c, int64_t own_ns)
{
    for (;;) {
        const unsigned turn = atomic_load(&c->turn);
        const int64_t ran_ns = own_ns - atomic_load(&c->since_ns);
        const int64_t shown_ns =
            own_ns + atomic_load(&c->shift_ns) + ran_ns * atomic_load(&c->ppm) / 1000000;

        if (turn % 2 == 0 && atomic_load(&c->turn) == turn)
            return shown_ns;
    }
}

/* From own_ns on it runs at another rate; what it shows there, it goes on from, less back_ns. By
 * one who writes alone. */
static inline void shim_clocks_set(struct shim_clocks *c, int64_t own_ns, int64_t back_ns,
                                   int64_t ppm)
{
    const int64_t shown_ns = shim_clocks_show(c, own_ns);

    atomic_fetch_add(&c->turn, 1);
    atomic_store(&c->shift_ns, shown_ns - own_ns - back_ns);
    atomic_store(&c->since_ns, own_ns);
    atomic_store(&c->ppm, ppm);
    atomic_fetch_add(&c->turn, 1);
}

#endif
