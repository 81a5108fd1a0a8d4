/* What is made from a configuration file: the first membership of a cluster, and the cluster's
 * identity. */
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "conf/conf.h"

#include "base/banned.h"

int conf_to_configuration(const struct conf *c, bool with_addresses, struct raft_configuration *ret)
{
    struct raft_configuration cfg;

    raft_configuration_init(&cfg);
    for (unsigned i = 0; i < c->n_peers; i++) {
        const struct conf_peer *p = &c->peers[i];
        int rc = raft_configuration_add(&cfg, raft_founder_id(p->name), p->name, RAFT_VOTER,
                                        with_addresses ? p->peer_addr : "",
                                        with_addresses ? p->client_addr : "");

        if (rc != 0) /* conf_load() has refused duplicates and too many */
            return err_fold(rc);
    }
    *ret = cfg;
    return 0;
}

struct id_text {
    char text[(RAFT_SERVERS_MAX + 1) * (NODE_NAME_BYTES_MAX + ADDRESS_BYTES_MAX + 2) + 32];
    size_t len;
};

static void add(struct id_text *t, const char *a, const char *b, const char *c)
{
    int n = snprintf(t->text + t->len, sizeof(t->text) - t->len, "%s%s%s\n", a, b, c);

    rid_assert(n > 0);
    rid_assert((size_t)n < sizeof(t->text) - t->len);
    t->len += (size_t)n;
}

/* Two nodes that were started with different lists are nodes of two clusters (IDENTITY-7). Peers
 * are sorted by name: the order in the file does not matter. */
void conf_founding_id(const struct conf *c, unsigned char ret_id[16])
{
    struct id_text t = {.len = 0};

    add(&t, "founders of ", c->cluster_name, "");
    for (unsigned i = 0; i < c->n_peers; i++)
        add(&t, c->peers[i].name, "", "");
    hash_fnv128(t.text, t.len, ret_id);
}

void conf_first_id(const char *cluster_name, const struct raft_configuration *members,
                   unsigned char ret_id[16])
{
    struct id_text t = {.len = 0};

    add(&t, cluster_name, "", "");
    for (unsigned i = 0; i < members->n; i++) /* sorted by name, too */
        add(&t, members->servers[i].name, " ", members->servers[i].peer_addr);
    hash_fnv128(t.text, t.len, ret_id);
}
