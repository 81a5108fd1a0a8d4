/* Who a tool of ours is to the nodes, and how it knows them.
 *
 * For: ridctl and ridbench, which take the same options and the same environment, and otherwise use
 * what the configuration of a node has and they may read.
 * Not for: programs of others, which tell libridd by themselves.
 * Ownership: everything is borrowed, from the command line, the environment and the configuration.
 * Errors: false, with one sentence that names the next step.
 * Thread: any that the environment does not change beside.
 * Obvious: units, source. */
#ifndef RIDD_LOAD_KEYRING_H
#define RIDD_LOAD_KEYRING_H

#include <stdbool.h>
#include <stddef.h>

#include "client/ridd.h"
#include "conf/conf.h"

/* As the command line has it; NULL: not given. A token is never taken there: it would stand in the
 * list of processes. */
struct keyring {
    const char *ca;
    const char *cert;
    const char *key;
    const char *secret;
    const char *cluster;
    const char *server_name;
    const char *token_file;
};

/* What an option or a variable names, and where none is, what [security] of conf (NULL: none was
 * read) has for clients and may be read. False: conf wants TLS, and there is nothing for it. */
bool keyring_fill(const struct keyring *k, const struct conf *conf, struct ridd_tls *ret, char *why,
                  size_t size);
/* All of that is nothing. */
bool keyring_is_empty(const struct ridd_tls *tls);
/* How the address of a peer is written in a list of endpoints. False: it does not fit. */
bool keyring_endpoint(const struct conf *conf, const struct conf_peer *peer, char *ret,
                      size_t size);
/* Refuses what cannot work, in the words of these options. */
bool keyring_check(const char *endpoints, const struct ridd_tls *tls, char *why, size_t size);

#endif
