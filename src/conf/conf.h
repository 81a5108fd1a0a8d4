/* The configuration file: parse, check, print. One file serves the whole cluster; which node this is comes from the caller.
 *
 * inih silently turns an indented key into a second value, splits long lines and reports only the first error; the guard
 * here counts lines itself, feeds ini_parse_stream() and refuses those, duplicates and unknown keys, and reports *all*
 * problems with line numbers and the nearest known name. Does not touch the data directory. Any thread. */
#ifndef RIDD_CONF_CONF_H
#define RIDD_CONF_CONF_H

#include <limits.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/log.h"
#include "raft/configuration.h"

struct conf_peer {
    char name[NODE_NAME_BYTES_MAX + 1];
    raft_node_id id;
    char peer_addr[ADDRESS_BYTES_MAX + 1];
    char client_addr[ADDRESS_BYTES_MAX + 1];
    char http_addr[ADDRESS_BYTES_MAX + 1]; /* "": none; kept for later, nothing listens there yet */
    unsigned line;
};

struct conf {
    char path[PATH_MAX];
    char cluster_name[NODE_NAME_BYTES_MAX + 1];
    unsigned n_peers;
    struct conf_peer peers[RAFT_SERVERS_MAX]; /* sorted by name */
    const struct conf_peer *self;             /* in peers; NULL when no id was given (ridctl) */
    char data_dir[PATH_MAX];                  /* %i replaced by the node's name */
    size_t map_size_bytes;                    /* [node] map_size, with K, M, G */
    enum log_level log_level;
    uint64_t heartbeat_us;
    uint64_t election_us;
    unsigned rounds_max;                      /* [reads] rounds */
    size_t request_bytes;
    unsigned in_flight;
    unsigned connections;
    size_t segment_bytes;                     /* [log] segment_size */
};

struct conf_problem {
    unsigned line; /* 0: the file as a whole */
    char text[320];
};
struct conf_problems {
    size_t n;
    struct conf_problem *list; /* owned */
};
void conf_problems_done(struct conf_problems *p);

enum conf_error { CONF_E_PROBLEMS = 1 };

/* id: the node's name (`--id`), or NULL: [node] id, or none. 0; CONF_E_PROBLEMS with the list; -errno when the file cannot
 * be read (err_text() says which). need_self: a missing or unknown id is a problem. *ret is written only on 0. */
int conf_load(const char *path, const char *id, bool need_self, struct conf *ret, struct conf_problems *ret_problems);
/* "<path>:<line>: <text>" per problem. */
void conf_problems_print(const struct conf_problems *p, const char *path, FILE *out);
/* The configuration in force, defaults included, as a file that conf_load() reads back equal. */
void conf_print(const struct conf *c, FILE *out);
/* The initial membership, all voters. */
int conf_to_configuration(const struct conf *c, struct raft_configuration *ret);
/* Hash of the cluster's name and the sorted `id peer-address` lines (DESIGN.md 7). */
void conf_cluster_id(const struct conf *c, unsigned char ret_id[16]);
/* The address a node listens on and a client dials: splits "host:port" / "[v6]:port". 0 or 1 (not an address). */
int conf_split_address(const char *addr, char *ret_host, size_t host_size, char *ret_port, size_t port_size);

#endif
