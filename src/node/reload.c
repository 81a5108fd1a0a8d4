/* SIGHUP: the configuration is read again, and what of it can be taken at once is. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

void node_warn_lease(const struct conf *conf)
{
    char why[256];

    if (conf_lease_warning(conf, why, sizeof(why)))
        log_event(LOG_WARNING, "lease_unwise", "why='%s' action=none", why);
}

/* By name, both what is taken and what is not: a file that was half obeyed must not look as if it
 * was in force (IDENTITY-9). */
static void say_taken(const struct node *n, const struct conf *fresh)
{
    char taken[512];
    char waiting[512];

    (void)conf_differences(node_conf(n), fresh, true, taken, sizeof(taken));
    log_event(LOG_INFO, "reloaded", "file='%s' taken=\"%s\"", fresh->path,
              taken[0] != '\0' ? taken : "nothing that differs");
    if (conf_differences(n->conf, fresh, false, waiting, sizeof(waiting)) > 0)
        log_event(LOG_WARNING, "reload_not_taken", "keys=\"%s\" action=%s", waiting,
                  node_same_cluster(n, fresh) ? "at_next_start"
                                              : "none why='it describes another cluster: "
                                                "the next start would be refused'");
}

/* Peers know our settings from the handshake; the next one tells the new ones. A link that is made
 * anew is back before anybody misses it. */
static void introduce_anew(struct node *n)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(n->engine));
    struct wire_about about;

    node_about_in_force(n, &about);
    if (!peer_net_set_about(n->peer_net, &about))
        return;
    for (unsigned i = 0; i < c->n; i++)
        if (peer_net_is_up(n->peer_net, c->servers[i].id))
            peer_net_close(n->peer_net, c->servers[i].id, "our settings have changed");
}

void node_on_reload(evutil_socket_t fd, short what, void *arg)
{
    struct node *n = arg;
    struct conf_problems problems = {0};
    struct conf *fresh = calloc(1, sizeof(*fresh));
    struct client_port_conf limits;
    struct engine_snapshots_conf snapshots;
    struct stat st;
    int rc = 0;

    (void)fd;
    (void)what;
    if (fresh == NULL)
        return;
    /* At the start a pipe is as good as a file; in the loop reading one would wait for whoever
     * writes it (LOOP-1). */
    if (stat(n->conf->path, &st) == 0 && !S_ISREG(st.st_mode))
        rc = err_say(-EINVAL, "'%s' is no regular file", n->conf->path);
    if (rc == 0)
        rc = conf_load(n->conf->path, n->self->name, true, fresh, &problems);
    if (rc != 0) {
        log_event(LOG_ERROR, "reload_refused", "line=%u error=\"%s\" action=keep_old",
                  problems.n > 0 ? problems.list[0].line : 0,
                  problems.n > 0 ? problems.list[0].text : err_text());
        conf_problems_done(&problems);
        free(fresh);
        return;
    }
    conf_problems_done(&problems);
    say_taken(n, fresh);
    free(n->reloaded);
    n->reloaded = fresh;
    log_set_level(fresh->log_level);
    memory_set_limit(&n->memory, fresh->memory_bytes);
    node_client_conf(n, &limits);
    client_port_set_conf(n->client_port, &limits);
    engine_set_rounds(n->engine, fresh->rounds_max);
    if (n->phase == NODE_RUNNING)
        engine_set_lease(n->engine, fresh->lease_us);
    node_warn_lease(fresh);
    engine_set_quota(n->engine, fresh->map_size_bytes);
    node_snapshots_conf(fresh, &snapshots);
    engine_set_snapshots(n->engine, &snapshots);
    node_compare_members(n);
    (void)node_follow_now(n);
    introduce_anew(n);
}
