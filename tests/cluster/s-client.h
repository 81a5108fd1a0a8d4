/* `openssl s_client` as a stranger who looks at a port: another program's TLS, not ours.
 *
 * For: tests that ask what a port of a node takes and what it gives.
 * Not for: clients that work; tls/tls.h and libridd are those.
 * Units: milliseconds.
 * Ownership: files are in the folder of the test, which removes it.
 * Errors: a failure fails the case.
 * Thread: the one of the harness.
 * Source: none. */
#ifndef RIDD_TESTS_CLUSTER_S_CLIENT_H
#define RIDD_TESTS_CLUSTER_S_CLIENT_H

#include "cluster/harness.h"

/* False, and a line that says so: the program openssl is not there. */
bool s_client_is_there(void);

struct s_client {
    const char *folder;  /* files in the options are relative to it */
    uint16_t port;       /* of 127.0.0.1 */
    const char *options; /* split at blanks */
    const char *say;     /* as printf(1) takes it for %b; "": nothing */
    const char
        *until; /* an extended regular expression; when it is seen, or s_client ends, it is over */
};
/* All that it has written, valid until the next call; its last line is "exit=" and a number. */
const char *s_client(const struct s_client *what);

#endif
