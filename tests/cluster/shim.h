/* What shim.c, loaded into a ridd process, and the driver that started it share: a file of this
 * form that both have mapped, named by RIDD_SHIM_CONTROL. All zero: nothing is changed. */
#ifndef RIDD_TESTS_CLUSTER_SHIM_H
#define RIDD_TESTS_CLUSTER_SHIM_H

#include <stdatomic.h>

#define SHIM_NO_WRITE 1u /* pwrite() and pwritev() */
#define SHIM_NO_SYNC  2u /* fdatasync() and fsync() */

struct shim_control {
    /* The n-th fdatasync() or fsync() from now fails with EIO, once; 0: none does. */
    atomic_uint fail_sync;
    /* The n-th of them from now kills the process instead, as a crash does; 0: none does. */
    atomic_uint kill_sync;
    /* Each of them takes so much longer. */
    atomic_uint slow_sync_ms;
    /* There is no room: SHIM_NO_WRITE and SHIM_NO_SYNC together or alone. Allocating goes on. */
    atomic_uint no_room;
    /* CLOCK_REALTIME is off by so much; other clocks are as they are. */
    atomic_llong clock_shift_s;
    /* What happened. */
    atomic_ullong n_syncs;
    atomic_ullong n_failed;
    atomic_ullong n_redirected;
};

#endif
