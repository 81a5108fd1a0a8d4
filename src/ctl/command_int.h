/* Another program, run to its end within a time: its standard output, and no more of it than asked.
 *
 * For: systemctl and journalctl, for doctor and bundle.
 * Not for: anything that reads standard input (it is /dev/null) or whose standard error matters
 * (the same).
 * Units: milliseconds, bytes.
 * Ownership: out is the caller's; a NUL stands behind its bytes and is not counted.
 * Errors: 0: it ended by itself, and *ret_status is its exit code; -ENOENT: there is no such
 * program; -ETIMEDOUT: it was ended; else -errno. What was printed until then is in out.
 * Thread: any.
 * Obvious: source. */
#ifndef RIDD_CTL_COMMAND_INT_H
#define RIDD_CTL_COMMAND_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* What is printed beyond bytes_max is read and thrown away, and *ret_cut is true then. argv ends
 * with NULL; argv[0] is looked for in PATH. */
int command_run(const char *const *argv, unsigned timeout_ms, size_t bytes_max, struct buf *out,
                bool *ret_cut, int *ret_status);

/* The ridd of this ridctl's build, or the one that is installed. False: there is none here. */
bool command_find_ridd(char *ret_path, size_t size);

#endif
