/* SIGHUP: the configuration is read again, and what of it can be taken at once is. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "node/node_int.h"
#include "node/notify.h"

#include "base/banned.h"

void node_warn_lease(const struct conf *conf)
{
    char why[256];

    if (conf_lease_warning(conf, why, sizeof(why)))
        log_event(LOG_WARNING, "lease_unwise", "why='%s' action=none", why);
}

void node_warn_open(const struct conf *conf)
{
    char why[CONF_OPEN_WARNING_BYTES];

    if (conf_open_warning(conf, why, sizeof(why)))
        log_event(LOG_WARNING, "clients_unasked", "why='%s' action=none", why);
}

/* By name, both what is taken and what is not, in one line of the log and in STATUS=: a file that
 * was half obeyed must not look as if it was in force (IDENTITY-9). */
static void say_taken(struct node *n, const struct conf *fresh)
{
    const bool same = node_same_cluster(n, fresh);
    const char *why =
        same ? "needs a restart" : "it is of another cluster: the next start would be refused";
    char taken[sizeof(n->shown.reloaded)];
    char waiting[512];

    if (conf_differences(node_conf(n), fresh, true, taken, sizeof(taken)) == 0)
        (void)snprintf(taken, sizeof(taken), "nothing that differs");
    (void)snprintf(n->shown.reloaded, sizeof(n->shown.reloaded), "%s", taken);
    n->shown.reloaded_until_us = clock_mono_us() + NODE_RELOADED_US;
    n->shown.reload_wrong[0] = '\0';
    if (conf_differences(n->conf, fresh, false, waiting, sizeof(waiting)) == 0) {
        log_event(LOG_INFO, "reloaded", "file='%s' taken=\"%s\"", fresh->path, taken);
        return;
    }
    (void)snprintf(n->shown.reload_wrong, sizeof(n->shown.reload_wrong), "%s: %s", why, waiting);
    log_event(LOG_INFO, "reloaded", "file='%s' taken=\"%s\" not_taken=\"%s\" why='%s'", fresh->path,
              taken, waiting, why);
    log_event(LOG_WARNING, "reload_not_taken", "keys=\"%s\" action=%s", waiting,
              same ? "at_next_start"
                   : "none why='it describes another cluster: the next start would be refused'");
}

static void say_refused(struct node *n, unsigned line, const char *error)
{
    log_event(LOG_ERROR, "reload_refused", "line=%u error=\"%s\" action=keep_old", line, error);
    (void)snprintf(n->shown.reload_wrong, sizeof(n->shown.reload_wrong),
                   "the file was read again and refused, line %u: %.400s", line, error);
    n->shown.reloaded_until_us = 0;
}

/* What is wrong has been logged. Nothing of the file is taken: one that was half obeyed must not
 * look as if it was in force (IDENTITY-9). */
static void say_tls_refused(struct node *n)
{
    (void)snprintf(n->shown.reload_wrong, sizeof(n->shown.reload_wrong),
                   "the file was read again and refused, [security]: %.400s", err_text());
    n->shown.reloaded_until_us = 0;
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

static void take(struct node *n, struct conf *fresh)
{
    struct client_port_conf limits;
    struct engine_snapshots_conf snapshots;

    say_taken(n, fresh);
    free(n->reloaded);
    n->reloaded = fresh;
    log_set_level(fresh->log_level);
    memory_set_limit(&n->memory, fresh->memory_bytes);
    node_client_conf(n, &limits);
    client_port_set_conf(n->client_port, &limits);
    client_port_set_tls(n->client_port, n->tls.clients);
    (void)node_peers_take_tls(n); /* of the kind that it was, and so nothing is to be made */
    engine_set_rounds(n->engine, fresh->rounds_max);
    if (n->phase == NODE_RUNNING)
        engine_set_lease(n->engine, fresh->lease_us);
    engine_set_fast_failover(n->engine, fresh->fast_failover != 0);
    node_warn_lease(fresh);
    node_warn_open(fresh);
    engine_set_quota(n->engine, fresh->map_size_bytes);
    node_snapshots_conf(fresh, &snapshots);
    engine_set_snapshots(n->engine, &snapshots);
    node_access_again(n);
    node_http_again(n);
    node_compare_members(n);
    (void)node_follow_now(n);
    introduce_anew(n);
}

static void read_again(struct node *n)
{
    struct conf_problems problems = {0};
    struct conf *fresh = calloc(1, sizeof(*fresh));
    struct stat st;
    int rc = 0;

    if (fresh == NULL) {
        say_refused(n, 0, "out of memory");
        return;
    }
    /* At the start a pipe is as good as a file; in the loop reading one would wait for whoever
     * writes it (LOOP-1). */
    if (stat(n->conf->path, &st) == 0 && !S_ISREG(st.st_mode))
        rc = err_say(-EINVAL, "'%s' is no regular file", n->conf->path);
    if (rc == 0)
        rc = conf_load(n->conf->path, n->self->name, true, fresh, &problems);
    if (rc == 0 && node_tls_again(n, fresh) != 0) {
        say_tls_refused(n);
        free(fresh);
    } else if (rc == 0) {
        take(n, fresh);
    } else {
        say_refused(n, problems.n > 0 ? problems.list[0].line : 0,
                    problems.n > 0 ? problems.list[0].text : err_text());
        free(fresh);
    }
    conf_problems_done(&problems);
}

/* Whatever comes of it, systemd is told that it is over: a unit that reloads for ever is stopped
 * (UNIT-3). */
void node_on_reload(evutil_socket_t fd, short what, void *arg)
{
    struct node *n = arg;

    (void)fd;
    (void)what;
    if (n->phase == NODE_RUNNING)
        notify_reloading();
    read_again(n);
    if (n->phase == NODE_RUNNING)
        notify_send("READY=1");
    node_show(n, true);
}
