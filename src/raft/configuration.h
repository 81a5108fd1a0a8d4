/* Who belongs to the group: voters and learners, and the bytes of a CONFIG entry.
 *
 * For: what stands in a CONFIG entry, who is asked and who is counted, addresses to dial.
 * Not for: when a configuration is in force (that is the log's), what is known of a server
 * (struct progress).
 * Units: addresses are texts of the host, not looked into.
 * Ownership: plain values, copied freely.
 * Errors: RAFT_CONFIGURATION_E_* and -ENOMEM; what was to be changed or written is unchanged
 * then. Decoding validates everything: the bytes may come from a disk or a peer.
 * Thread: any; pure.
 * Source: dissertation 4.1; rules MEMBER-4 and MEMBER-5.
 *
 * servers[] is sorted by name, so that equal memberships have equal bytes. Names and ids are
 * unique in one configuration. The id is what the core knows a server by: a value given by
 * whoever adds the server, never computed here, so that a name can come back as another server. */
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

/* clang-format off */
#define RAFT_CONFIGURATION_ERRORS(X)                                                               \
    X(RAFT_CONFIGURATION_E_FULL,      1, "there is no room for another server")                    \
    X(RAFT_CONFIGURATION_E_DUPLICATE, 2, "its name or its id is there already")                    \
    X(RAFT_CONFIGURATION_E_INVALID,   3, "an id, a name or bytes that cannot be")                  \
    X(RAFT_CONFIGURATION_E_NEWER,     4, "the bytes are of a later version")
/* clang-format on */
enum raft_configuration_error {
#define RAFT_CONFIGURATION_ERROR(name, value, text) name = value,
    RAFT_CONFIGURATION_ERRORS(RAFT_CONFIGURATION_ERROR)
#undef RAFT_CONFIGURATION_ERROR
};
const char *raft_configuration_error_text(int rc);

void raft_configuration_init(struct raft_configuration *c);
/* Keeps servers[] sorted. The id is the caller's: raft_founder_id(name) where a cluster is
 * founded. c is unchanged on error. */
int raft_configuration_add(struct raft_configuration *c, raft_node_id id, const char *name,
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
