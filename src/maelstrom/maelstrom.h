/* A ridd replica over standard input and output, one JSON envelope per line: a node for Maelstrom,
 * or for anything else that carries lines between processes (ridd-protocol(7), ridd-maelstrom(1)).
 *
 * maelstrom_run() reads until end of file or a signal and returns the exit code. It does not return
 * after an error that ends the node: it removes its temporary folder and exits. One per process,
 * one thread. */
#ifndef RIDD_MAELSTROM_MAELSTROM_H
#define RIDD_MAELSTROM_MAELSTROM_H

#include <stdint.h>

struct maelstrom_conf {
    uint64_t heartbeat_us;
    uint64_t election_timeout_us; /* randomised to 1..2 times this */
};
/* Messages may travel for a while here, and a person reads them: slower than over TCP. */
#define MAELSTROM_HEARTBEAT_MS 100u
#define MAELSTROM_ELECTION_MS  1000u

int maelstrom_run(const struct maelstrom_conf *conf);

#endif
