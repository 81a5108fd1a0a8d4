/* Assertions that stay on in release builds.
 *
 * For: errors of the programmer. rid_assert() prints the expression, the place and what the
 * context hook adds (node, term, role, indexes), then aborts: a stopped node is what Raft
 * survives, a wrong one is not. One condition for each, so that the line says which one failed.
 * Not for: bytes from the disk or the network, which are validated and refused; nor for memory,
 * disk or kernel that fail, which are errors.
 * Errors: none; it returns or the process ends.
 * Thread: any; the hook is called on the thread that failed.
 * Source: a safety system states what it relies on and checks it where it runs.
 * Obvious: units, ownership. */
#ifndef RIDD_BASE_ASSERT_H
#define RIDD_BASE_ASSERT_H

#include <assert.h>
#include <stddef.h>

/* Writes one line of context (no newline) into buf; called while aborting, so it may not allocate
 * or lock. */
typedef void (*rid_assert_context_fn)(void *ctx, char *buf, size_t size);

void rid_assert_set_context(rid_assert_context_fn fn, void *ctx);

_Noreturn void rid_assert_fail(const char *expr, const char *file, int line, const char *func);

#define rid_assert(expr)                                                                           \
    (__builtin_expect(!!(expr), 1) ? (void)0 : rid_assert_fail(#expr, __FILE__, __LINE__, __func__))

#endif
