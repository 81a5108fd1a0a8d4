/* The first membership of a cluster, from its configuration file. */
#include "base/err.h"
#include "conf/conf.h"

#include "base/banned.h"

int conf_to_configuration(const struct conf *c, struct raft_configuration *ret)
{
    struct raft_configuration cfg;

    raft_configuration_init(&cfg);
    for (unsigned i = 0; i < c->n_peers; i++) {
        const struct conf_peer *p = &c->peers[i];
        int r = raft_configuration_add(&cfg, raft_founder_id(p->name), p->name, RAFT_VOTER,
                                       p->peer_addr, p->client_addr);

        if (r != 0) /* conf_load() has refused duplicates and too many */
            return err_fold(r);
    }
    *ret = cfg;
    return 0;
}
