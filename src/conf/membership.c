/* The two identities that are made from a configuration file: the first membership of a cluster,
 * and the cluster's id. */
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "conf/conf.h"

#include "base/banned.h"

int conf_to_configuration(const struct conf *c, struct raft_configuration *ret)
{
    struct raft_configuration cfg;

    raft_configuration_init(&cfg);
    for (unsigned i = 0; i < c->n_peers; i++) {
        const struct conf_peer *p = &c->peers[i];
        int rc = raft_configuration_add(&cfg, raft_founder_id(p->name), p->name, RAFT_VOTER,
                                        p->peer_addr, p->client_addr);

        if (rc != 0) /* conf_load() has refused duplicates and too many */
            return err_fold(rc);
    }
    *ret = cfg;
    return 0;
}

/* Two nodes that were started with different lists are nodes of two clusters (IDENTITY-7). */
void conf_cluster_id(const struct conf *c, unsigned char ret_id[16])
{
    char text[(RAFT_SERVERS_MAX + 1) * (NODE_NAME_BYTES_MAX + ADDRESS_BYTES_MAX + 2) + 1];
    size_t at = 0;
    int n;

    /* peers are sorted by name, addresses have one spelling: the order and the writing in the file
     * do not matter. */
    n = snprintf(text, sizeof(text), "%s\n", c->cluster_name);
    rid_assert(n > 0);
    rid_assert((size_t)n < sizeof(text));
    at = (size_t)n;
    for (unsigned i = 0; i < c->n_peers; i++) {
        n = snprintf(text + at, sizeof(text) - at, "%s %s\n", c->peers[i].name,
                     c->peers[i].peer_addr);
        rid_assert(n > 0);
        rid_assert((size_t)n < sizeof(text) - at);
        at += (size_t)n;
    }
    hash_fnv128(text, at, ret_id);
}
