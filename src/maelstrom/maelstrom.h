/* A ridd replica over standard input and output, one JSON envelope per line.
 *
 * For: a node under Maelstrom, or under anything else that carries lines between processes
 * (ridd-maelstrom(1)).
 * Not for: a cluster that must survive: its log goes with the process. Its lines for clients are
 * those of the daemon (ridd-protocol(7)), its lines between nodes are its own.
 * Units: microseconds.
 * Ownership: conf is borrowed during the call.
 * Errors: maelstrom_run() reads until end of file or a signal and returns the exit code. After an
 * error that ends the node it does not return: it removes its temporary folder and exits.
 * Thread: one; one node per process.
 * Source: the Maelstrom protocol; ridd-protocol(7). */
#ifndef RIDD_MAELSTROM_MAELSTROM_H
#define RIDD_MAELSTROM_MAELSTROM_H

#include <stdint.h>

#include "wire/request.h"

struct maelstrom_conf {
    uint64_t heartbeat_us;
    uint64_t election_timeout_us; /* randomised to 1..2 times this */
    enum wire_via read_via; /* of a `read` that names none; DEFAULT: by the role of the node */
};

int maelstrom_run(const struct maelstrom_conf *conf);

#endif
