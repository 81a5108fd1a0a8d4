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
    uint64_t incarnation; /* of its data directory; 0: a founder, and not said */
    /* LEARNER: the leader makes it a voter when it has caught up (MEMBER-7). */
    bool promote;
    /* Who leaves when this one is a voter; 0: nobody (MEMBER-14). */
    raft_node_id replaces;
    /* LEARNER to be promoted: a leader that has not managed it for so long removes it again;
     * counted from the moment at which it begins to lead, or the entry is committed. 0: no
     * limit. */
    uint32_t patience_ms;
    char name[NODE_NAME_BYTES_MAX + 1];
    char peer_addr[ADDRESS_BYTES_MAX + 1];
    char client_addr[ADDRESS_BYTES_MAX + 1]; /* "" on stdin/stdout */
};

/* A server that was removed: it does not come back under this id. */
struct raft_removed {
    raft_node_id id;
    raft_index index; /* of the configuration that does not have it any more */
    char name[NODE_NAME_BYTES_MAX + 1];
};

struct raft_configuration {
    unsigned n;
    struct raft_server servers[RAFT_SERVERS_MAX];
    /* Drawn at random by the leader that makes the first change, and the same ever since; zeros:
     * there was none (MEMBER-16). Another one, with a mark, where a node went on alone (MEMBER-15).
     * Never shown to anybody. */
    unsigned char cluster_id[16];
    /* What of formats and behaviour all members are known to understand (MEMBER-17). */
    uint32_t version;
    unsigned n_removed;
    struct raft_removed removed[RAFT_REMOVED_MAX]; /* the last ones, oldest first */
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
/* The server goes; with `index` it is remembered among the removed. False: there is none. */
bool raft_configuration_remove(struct raft_configuration *c, raft_node_id id, raft_index index);
/* NULL: it was not removed, or so long ago that it is not remembered. */
const struct raft_removed *raft_configuration_removed(const struct raft_configuration *c,
                                                      raft_node_id id);
bool raft_configuration_has_cluster_id(const struct raft_configuration *c);
/* An id that was drawn gets the mark of a cluster that has gone on alone, or is certain to have
 * none: two of its bytes, 112 bits are left to chance. Whoever knows the id then knows whether all
 * that was ever acknowledged under the founding id is in the log (TOKEN-1). */
void raft_cluster_id_mark(unsigned char id[16], bool alone);
bool raft_cluster_id_is_alone(const unsigned char id[16]);
/* The same members with the same roles, addresses and all else. */
bool raft_configuration_equal(const struct raft_configuration *a,
                              const struct raft_configuration *b);
/* Appends to buf; 0 or -ENOMEM. A configuration that has nothing but what version 2 knew is written
 * as that, so that the first entry of a log is the same whoever writes it. */
int raft_configuration_encode(const struct raft_configuration *c, struct buf *buf);
/* 0 or RAFT_CONFIGURATION_E_*; *ret is written only on success. */
int raft_configuration_decode(const void *data, size_t len, struct raft_configuration *ret);

#endif
