/* The links follow the configuration: whom we keep one with, where, and by which cluster id they
 * are known. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

static const struct raft_configuration *latest(const struct node *n)
{
    return raft_get_configuration(engine_raft(n->engine));
}

const struct raft_config_at *node_committed_configuration(const struct node *n)
{
    const struct raft *raft = engine_raft(n->engine);

    return raft_config_at(raft, raft_get_commit_index(raft));
}

/* One that leaves is a server until that is committed. */
const struct raft_server *node_server(const struct node *n, raft_node_id id)
{
    const struct raft_server *server = raft_configuration_get(latest(n), id);

    return server != NULL
               ? server
               : raft_configuration_get(&node_committed_configuration(n)->configuration, id);
}

/* ---- where they live ---- */

/* Of a file that was read later a peer may be gone; a member is still reached where it was. */
static const struct conf_peer *peer_in_file(const struct node *n, const char *name)
{
    const struct conf *files[] = {node_conf(n), n->conf};

    for (unsigned f = 0; f < 2; f++)
        for (unsigned i = 0; i < files[f]->n_peers; i++)
            if (strcmp(files[f]->peers[i].name, name) == 0)
                return &files[f]->peers[i];
    return NULL;
}

/* The file is right until the cluster has made its first change: then the log has the addresses, of
 * the first configuration that has a cluster id on, and they are the same on all nodes. */
static const char *address(const struct node *n, raft_node_id id, bool of_clients)
{
    const struct raft_server *server = node_server(n, id);
    const struct conf_peer *p;
    const char *logged;

    if (server == NULL)
        return NULL;
    p = peer_in_file(n, server->name);
    logged = of_clients ? server->client_addr : server->peer_addr;
    if (logged[0] != '\0' && (p == NULL || raft_configuration_has_cluster_id(latest(n))))
        return logged;
    if (p == NULL)
        return NULL;
    return of_clients ? p->client_addr : p->peer_addr;
}

const char *node_client_addr(void *ctx, raft_node_id id)
{
    return address(ctx, id, true);
}

const char *node_peer_addr(void *ctx, raft_node_id id)
{
    return address(ctx, id, false);
}

/* ---- links ---- */

static bool has_link(const struct node *n, raft_node_id id)
{
    for (unsigned i = 0; i < n->follow.n_links; i++)
        if (n->follow.links[i] == id)
            return true;
    return false;
}

static void drop(struct node *n, unsigned at)
{
    const raft_node_id id = n->follow.links[at];

    node_forget_met(n, id);
    node_forget_about(n, id);
    n->follow.links[at] = n->follow.links[--n->follow.n_links];
    peer_net_remove(n->peer_net, id);
}

/* Once its removal is committed, and not before: who has left is a server until then, and its link
 * stays. After that it is sent nothing, so that the link is of no use to either side, and without
 * it it calls, and is told that it was removed (PEER-11). */
static void drop_leavers(struct node *n)
{
    for (unsigned i = n->follow.n_links; i > 0; i--)
        if (node_server(n, n->follow.links[i - 1]) == NULL)
            drop(n, i - 1);
}

/* An earlier version let such an address into the log. */
static void say_undialled(const struct raft_server *server)
{
    log_event(LOG_ERROR, "peer_not_added", "peer=%s error=\"%s\" action=set_addr", server->name,
              err_text());
}

/* 0 or -errno with err_text(). */
static int add(struct node *n, const struct raft_server *server, uint64_t now_us)
{
    const char *addr = node_peer_addr(n, server->id);
    int rc;

    /* One of our name with another id is who was here before us: its address is ours. */
    if (server->id == n->id || strcmp(server->name, n->self->name) == 0 || addr == NULL)
        return 0;
    rc = peer_net_add(n->peer_net, server->id, addr);
    if (rc == -EINVAL) {
        /* No dial would ever succeed, which costs this one its link and nobody else (MEMBER-23). */
        say_undialled(server);
        rc = 0;
    }
    if (rc != 0 || has_link(n, server->id))
        return rc;
    if (n->follow.n_links < sizeof(n->follow.links) / sizeof(n->follow.links[0]))
        n->follow.links[n->follow.n_links++] = server->id;
    /* The core takes a link for granted until it hears of it. */
    if (n->follow.began && !peer_net_is_up(n->peer_net, server->id))
        engine_link(n->engine, server->id, false, now_us);
    return 0;
}

static int add_all(struct node *n, const struct raft_configuration *c, uint64_t now_us)
{
    int rc = 0;

    for (unsigned i = 0; i < c->n; i++) {
        int rc_one = add(n, &c->servers[i], now_us);

        if (rc_one == 0)
            continue;
        rc = rc_one;
        if (n->follow.began)
            log_event(LOG_ERROR, "peer_not_added", "peer=%s error=\"%s\" action=none",
                      c->servers[i].name, err_text());
    }
    return rc;
}

/* Behind it the log has another one: this node has gone on alone, and is the other cluster from the
 * moment on at which its directory says so, not only when that is committed (MEMBER-15). */
static bool is_left_behind(const struct node *n, const unsigned char id[16])
{
    const struct raft_configuration *newest = latest(n);

    return raft_configuration_has_cluster_id(newest) && memcmp(newest->cluster_id, id, 16) != 0;
}

/* What is committed counts; a node that has just joined was told it, and does not have it in its
 * log yet. */
static void follow_cluster_id(struct node *n, const struct raft_configuration *committed)
{
    static const unsigned char none[16];
    const struct identity_cluster *known = identity_cluster(n->dir);

    if (raft_configuration_has_cluster_id(committed) && !is_left_behind(n, committed->cluster_id))
        peer_net_set_key(n->peer_net, committed->cluster_id);
    else
        peer_net_set_key(n->peer_net,
                         memcmp(known->id, none, sizeof(none)) != 0 ? known->id : NULL);
}

/* So that a later start knows its cluster by it, and by its name: the list of peers in the file
 * says no more who founded it (IDENTITY-7). Not before a start would find it in the log, too: after
 * a crash the directory must not name an id that its log does not know (MEMBER-16). */
static void record_cluster_id(struct node *n)
{
    const struct identity_cluster *known = identity_cluster(n->dir);
    unsigned char id[16];

    if (!engine_cluster_id(n->engine, id) || is_left_behind(n, id) ||
        (memcmp(known->id, id, sizeof(id)) == 0 && known->name[0] != '\0'))
        return;
    if (identity_set_cluster(n->dir, id, n->conf->cluster_name) != 0)
        log_event(LOG_WARNING, "cluster_not_recorded", "error=\"%s\" action=at_next_change",
                  err_text());
}

/* 0: not known. */
static raft_index durable_index(const struct node *n)
{
    const struct raft_config_at *at = engine_durable_configuration(n->engine);

    return at != NULL ? at->index : 0;
}

int node_follow_now(struct node *n)
{
    const struct raft *raft = engine_raft(n->engine);
    const struct raft_config_at *newest = raft_config_at(raft, RAFT_INDEX_MAX);
    const struct raft_config_at *committed = node_committed_configuration(n);
    const uint64_t now_us = clock_mono_us();
    int rc;

    n->follow.newest_index = newest->index;
    n->follow.newest_term = raft_term_at(raft, newest->index);
    n->follow.committed_index = committed->index;
    n->follow.durable_index = durable_index(n);
    follow_cluster_id(n, &committed->configuration);
    peer_net_set_lowest(n->peer_net, engine_version_lowest(n->engine));
    record_cluster_id(n);
    drop_leavers(n);
    rc = add_all(n, &committed->configuration, now_us);
    if (newest != committed) {
        int rc_newest = add_all(n, &newest->configuration, now_us);

        rc = rc != 0 ? rc : rc_newest;
    }
    n->follow.began = true;
    return rc;
}

void node_follow_configuration(struct node *n)
{
    const struct raft *raft = engine_raft(n->engine);
    const struct raft_config_at *newest = raft_config_at(raft, RAFT_INDEX_MAX);

    if (newest->index == n->follow.newest_index &&
        raft_term_at(raft, newest->index) == n->follow.newest_term &&
        node_committed_configuration(n)->index == n->follow.committed_index &&
        (n->follow.durable_index == n->follow.committed_index ||
         durable_index(n) == n->follow.durable_index))
        return;
    (void)node_follow_now(n);
}
