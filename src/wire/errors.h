/* The only place where a client error's name, code and definiteness meet (WIRE-6).
 *
 * For: what a reply says of a failure.
 *
 * X(symbol, name, code before append or of a read, definite then, code of a write after append)
 *
 * A code of -1 means that the error cannot happen there. After append nothing is definite but the
 * deterministic failures of apply (20, 22): the write may have happened, or may yet happen.
 *
 * Not for: outcomes of functions (base/outcome.h), exit codes of processes.
 *
 * Thread: pure, any thread.
 *
 * Source: ridd-protocol(7), ERRORS.
 *
 * Obvious: units, ownership, errors. */
#ifndef RIDD_WIRE_ERRORS_H
#define RIDD_WIRE_ERRORS_H

#include <stdbool.h>

#define WIRE_ERRORS(X)                                                                             \
    X(NOT_LEADER, "not_leader", 11, true, -1)                                                      \
    X(TERM_CHANGED, "term_changed", 11, true, 13)                                                  \
    X(ROLE_CHANGED, "role_changed", 11, true, 13)                                                  \
    X(TIMEOUT, "timeout", 0, true, 0)                                                              \
    X(NETWORK, "network", 11, true, 0)                                                             \
    X(INTERNAL, "internal", 14, true, 13)                                                          \
    X(CANCELLED, "cancelled", 14, true, 13)                                                        \
    X(OVERLOADED, "overloaded", 11, true, -1)                                                      \
    X(BUSY, "busy", 11, true, -1)                                                                  \
    X(NO_SPACE, "no_space", 14, true, -1)                                                          \
    X(SESSION_EXPIRED, "session_expired", 13, false, -1)                                           \
    X(NOT_SUPPORTED, "not_supported", 10, true, -1)                                                \
    X(MALFORMED, "malformed", 12, true, -1)                                                        \
    X(TOO_LARGE, "too_large", 12, true, -1)                                                        \
    X(KEY_NOT_FOUND, "key_not_found", 20, true, 20)                                                \
    X(PRECONDITION_FAILED, "precondition_failed", 22, true, 22)                                    \
    X(DENIED, "denied", 14, true, -1)

enum wire_error {
    WIRE_ERROR_NONE = 0,
#define X(symbol, name, code, definite, code_after) WIRE_ERROR_##symbol,
    WIRE_ERRORS(X)
#undef X
};
#define WIRE_ERROR_ONE(...) +1u
#define WIRE_N_ERRORS       (1u WIRE_ERRORS(WIRE_ERROR_ONE)) /* with NONE; counted, not named */
const char *wire_error_name(enum wire_error error);
enum wire_error wire_error_from_name(const char *name); /* WIRE_ERROR_NONE: unknown */
int wire_error_code(enum wire_error error, bool after_append);
bool wire_error_definite(enum wire_error error, bool after_append);

#endif
