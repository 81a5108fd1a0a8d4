/* What links between nodes are made safe by, and where it is used apart from the loop: a node that
 * is made, one that waits to be added, and the thread that asks such a one. */
#include <pthread.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "node/node_int.h"
#include "tls/tls.h"

#include "base/banned.h"

int node_peer_tls(const struct conf *conf, struct tls_ctx **ret)
{
    const bool has_secrets = conf->security.secret_file[0] != '\0';
    struct tls_secrets secrets = {0};
    const struct tls_conf tls = {.use = TLS_PEERS,
                                 .cluster = conf->cluster_name,
                                 .secrets = has_secrets ? &secrets : NULL,
                                 .cert_file = conf->security.peer_cert,
                                 .key_file = conf->security.peer_key,
                                 .ca_file = conf->security.peer_ca};
    struct tls_ctx *c = NULL;
    int rc = 0;

    if (has_secrets)
        rc = tls_secrets_read(conf->security.secret_file, &secrets);
    if (rc == 0 && conf_has_peer_tls(conf))
        rc = tls_ctx_new(&tls, &c);
    tls_secrets_wipe(&secrets);
    if (rc != 0)
        return err_trace(rc);
    *ret = c;
    return 0;
}

/* The thread that asks a node to join may hold what the loop replaces meanwhile. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void set_for_joins(struct node *n, struct tls_ctx *tls)
{
    struct tls_ctx *old;

    (void)pthread_mutex_lock(&lock);
    old = n->joins_tls;
    n->joins_tls = tls;
    (void)pthread_mutex_unlock(&lock);
    tls_ctx_unref(old);
}

struct tls_ctx *node_joins_tls(const struct node *n)
{
    struct tls_ctx *tls;

    (void)pthread_mutex_lock(&lock);
    tls = n->joins_tls != NULL ? tls_ctx_ref(n->joins_tls) : NULL;
    (void)pthread_mutex_unlock(&lock);
    return tls;
}

int node_peers_take_tls(struct node *n)
{
    struct tls_ctx *tls = n->tls.peers;
    int rc = n->peer_net != NULL ? peer_net_set_tls(n->peer_net, tls) : 0;

    if (rc == 0)
        set_for_joins(n, tls != NULL ? tls_ctx_ref(tls) : NULL);
    return err_trace(rc);
}

void node_peers_drop_tls(struct node *n)
{
    set_for_joins(n, NULL);
}
