/* Whether this virtual machine was moved, copied or loaded from a snapshot: its clocks may have
 * stood still then, or run at another rate, and show nothing of it.
 *
 * For: whoever relies on a clock; he begins anew when this says so (LEASE-12).
 * Not for: the time; machines without such a device, where nobody knows.
 * Ownership: the caller frees; NULL is accepted everywhere and never says anything.
 * Errors: vmclock_open() gives NULL where there is no device, or none that we understand.
 * Thread: one at a time.
 * Source: UAPI.13, version 1.
 * Obvious: units. */
#ifndef RIDD_BASE_VMCLOCK_H
#define RIDD_BASE_VMCLOCK_H

#include <stdbool.h>

#define VMCLOCK_PATH "/dev/vmclock0"

struct vmclock;

struct vmclock *vmclock_open(const char *path);
void vmclock_free(struct vmclock *v);
/* Something of that kind happened since this was asked last, or since it was opened. A look at
 * memory, no call of the kernel. */
bool vmclock_disrupted(struct vmclock *v);

#endif
