/* Who belongs to the group: voters and learners, and the bytes of a CONFIG entry.
 *
 * Plain values, copied freely. servers[] is sorted by name, so that equal memberships have equal
 * bytes; names and numbers are unique. Decoding validates everything: the bytes may come from a
 * disk or a peer. Pure, any thread. */
#ifndef RIDD_RAFT_CONFIGURATION_H
#define RIDD_RAFT_CONFIGURATION_H

#include "base/buf.h"
#include "raft/types.h"

enum raft_server_role { RAFT_VOTER = 1, RAFT_LEARNER = 2 };

struct raft_server {
    raft_node_id id;
    enum raft_server_role role;
    char name[NODE_NAME_BYTES_MAX + 1];
    char peer_addr[ADDRESS_BYTES_MAX + 1];
    char client_addr[ADDRESS_BYTES_MAX + 1]; /* "" on stdin/stdout */
};

struct raft_configuration {
    unsigned n;
    struct raft_server servers[RAFT_SERVERS_MAX];
};

/* Outcomes. */
enum raft_configuration_error {
    RAFT_CONFIGURATION_E_FULL = 1,      /* RAFT_SERVERS_MAX reached */
    RAFT_CONFIGURATION_E_DUPLICATE = 2, /* name or number already there */
    RAFT_CONFIGURATION_E_INVALID = 3, /* empty or overlong name, bytes that are no configuration */
};

void raft_configuration_init(struct raft_configuration *c);
/* Keeps servers[] sorted; id is computed from the name. c is unchanged on error. */
int raft_configuration_add(struct raft_configuration *c, const char *name,
                           enum raft_server_role role, const char *peer_addr,
                           const char *client_addr);
/* NULL when absent. */
const struct raft_server *raft_configuration_get(const struct raft_configuration *c,
                                                 raft_node_id id);
const struct raft_server *raft_configuration_get_name(const struct raft_configuration *c,
                                                      const char *name);
unsigned raft_configuration_n_voters(const struct raft_configuration *c);
/* Appends to buf; 0 or -ENOMEM. */
int raft_configuration_encode(const struct raft_configuration *c, struct buf *buf);
/* 0 or RAFT_CONFIGURATION_E_*; *ret is written only on success. */
int raft_configuration_decode(const void *data, size_t len, struct raft_configuration *ret);

#endif
