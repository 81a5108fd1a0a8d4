/* How far work has come that may take long, told by whoever does it to whoever waits for it.
 *
 * For: what happens before a node is ready, on the thread that opens it: a log that is read, a
 * state that is checked, a snapshot that is copied. The layers that work know nothing of who
 * listens, and whoever listens nothing of how they work.
 * Not for: a second thread that says that all is well: only a step that was done tells anything, so
 * that what hangs is silent (UNIT-1).
 * Units: done and total of one kind, bytes as a rule; total is an estimate, and done may pass it.
 * Ownership: `what` is a literal.
 * Thread: the listener is that of the calling thread; on any other nobody listens.
 * Obvious: errors, source. */
#ifndef RIDD_BASE_PROGRESS_H
#define RIDD_BASE_PROGRESS_H

#include <stdint.h>

typedef void (*progress_fn)(void *ctx, const char *what, uint64_t done, uint64_t total);

/* NULL: nobody. */
void progress_listen(progress_fn fn, void *ctx);
/* A step was done. Cheap: it may be called for every key. The callback may do nothing but tell. */
void progress_tell(const char *what, uint64_t done, uint64_t total);

#endif
