/* What links between nodes are made safe by is used on the loop, and by the thread that asks a node
 * which is to join. */
#include <pthread.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "node/node_int.h"
#include "tls/tls.h"

#include "base/banned.h"

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
