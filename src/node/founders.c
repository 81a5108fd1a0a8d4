/* Whether the configuration's file, the data directory and the log speak of the same cluster. */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

static void list_members(const struct raft_configuration *c, char *ret_text, size_t size)
{
    size_t at = 0;

    ret_text[0] = '\0';
    for (unsigned i = 0; i < c->n && at < size; i++)
        at += (size_t)snprintf(ret_text + at, size - at, "%s%s", i > 0 ? ", " : "",
                               c->servers[i].name);
}

/* The configuration and the directory agree on the cluster's random id, or --recover-alone was
 * interrupted between the two. */
static int check_cluster_id(const struct node *n)
{
    static const unsigned char none[16];
    const struct raft_configuration *c = raft_get_configuration(engine_raft(n->engine));
    const unsigned char *id = identity_cluster(n->dir)->id;

    if (memcmp(id, none, sizeof(none)) == 0 || !raft_configuration_has_cluster_id(c) ||
        memcmp(id, c->cluster_id, sizeof(none)) == 0)
        return 0;
    (void)err_say(IDENTITY_E_FOREIGN,
                  "'%.160s' was left by 'ridd --recover-alone' that did not finish: run it again",
                  n->conf->data_dir);
    return node_fail("identity_refused", identity_exit_code(IDENTITY_E_FOREIGN));
}

/* Of a cluster to which nodes were added: its members are not the founders any more, and the
 * directory says what it is called. */
static int check_cluster_name(const struct node *n, const struct identity_cluster *cluster)
{
    if (strcmp(cluster->name, n->conf->cluster_name) == 0)
        return 0;
    (void)err_say(
        IDENTITY_E_FOREIGN,
        "'%.160s' belongs to cluster '%s', the configuration describes cluster '%s': give "
        "that name, or another data_dir",
        n->conf->data_dir, cluster->name, n->conf->cluster_name);
    return node_fail("identity_refused", identity_exit_code(IDENTITY_E_FOREIGN));
}

/* A directory whose identity is not that of the configuration's founders is another cluster's
 * (IDENTITY-1), unless an earlier version made it: then the identity is that of the cluster's name
 * and of the members and addresses with which the log begins. */
int node_check_founders(const struct node *n)
{
    const struct identity_cluster *cluster = identity_cluster(n->dir);
    const unsigned char *id = identity_get(n->dir)->cluster_id;
    const struct raft_configuration *c = raft_get_configuration(engine_raft(n->engine));
    struct raft_configuration described;
    unsigned char first_id[16];
    char theirs[160];
    char ours[160];

    if (check_cluster_id(n) != 0)
        return identity_exit_code(IDENTITY_E_FOREIGN);
    if (cluster->name[0] != '\0')
        return check_cluster_name(n, cluster);
    conf_first_id(n->conf->cluster_name, c, first_id);
    if (n->founded || memcmp(id, first_id, sizeof(first_id)) == 0)
        return 0;
    (void)conf_to_configuration(n->conf, false, &described);
    list_members(c, theirs, sizeof(theirs));
    list_members(&described, ours, sizeof(ours));
    (void)err_say(IDENTITY_E_FOREIGN,
                  "'%.160s' belongs to another cluster, of %s; the configuration describes cluster "
                  "'%s' of %s: give the cluster name and the names of peers that it was "
                  "initialised with, or another data_dir",
                  n->conf->data_dir, theirs, n->conf->cluster_name, ours);
    return node_fail("identity_refused", identity_exit_code(IDENTITY_E_FOREIGN));
}

/* Whether the next start would take that file (node_check_founders()). */
bool node_same_cluster(const struct node *n, const struct conf *fresh)
{
    const struct identity_cluster *cluster = identity_cluster(n->dir);

    return cluster->name[0] != '\0' ? strcmp(cluster->name, fresh->cluster_name) == 0
                                    : conf_same_founders(n->conf, fresh);
}

/* A peer list that differs from the log's is reported, not obeyed (IDENTITY-5). */
void node_compare_members(const struct node *n)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(n->engine));

    for (unsigned i = 0; i < node_conf(n)->n_peers; i++)
        if (raft_configuration_get_name(c, node_conf(n)->peers[i].name) == NULL)
            log_event(LOG_WARNING, "peer_not_member",
                      "peer=%s line=%u why='the log does not know it' action=ignore",
                      node_conf(n)->peers[i].name, node_conf(n)->peers[i].line);
    for (unsigned i = 0; i < c->n; i++) {
        bool found = false;

        for (unsigned j = 0; j < node_conf(n)->n_peers; j++)
            found = found || strcmp(node_conf(n)->peers[j].name, c->servers[i].name) == 0;
        if (!found)
            log_event(LOG_WARNING, "member_not_listed",
                      "peer=%s why='it is a member but not in [peers]' action=use_logged_address",
                      c->servers[i].name);
    }
}
