/* `ridd --join` and `--rejoin`: a node that waits until the leader of its cluster comes and takes
 * it in.
 *
 * It is told everything, and believes the first who knows the cluster's name and its own: whoever
 * reaches the port before the leader does can make it a node of something else, which no node of
 * the cluster then listens to. It has no id before: that is made of its name and of the incarnation
 * that it draws (MEMBER-5).
 *
 * What it is told becomes durable in this order (MEMBER-21): the first segment of the log; CLUSTER;
 * IDENT, which makes a node of it; INIT goes. Only then is the leader answered, and only then does
 * that append an entry with the new id. A crash before IDENT leaves what another --join throws
 * away, with an incarnation that nobody counts on; one behind it, a node that never answered: it is
 * started, or --join is given again, and it answers the leader who asks once more as it did, or
 * would have done (MEMBER-22). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "net/join_port.h"
#include "node/node_int.h"
#include "node/notify.h"

#include "base/banned.h"

struct joining {
    const struct conf *conf;
    bool rejoin;
    struct identity_dir *dir;
    bool joined;
    uint64_t watchdog_us; /* 0: none */
};

static int say(int exit_code)
{
    fprintf(stderr, "ridd: %s\n", err_text());
    return exit_code;
}

/* ---- judging who comes ---- */

static void refuse(struct wire_join_reply *ret, enum wire_join_refusal why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct wire_join_reply *ret, enum wire_join_refusal why, const char *format, ...)
{
    va_list ap;

    ret->refused = (uint8_t)why;
    ret->incarnation = 0;
    va_start(ap, format);
    (void)vsnprintf(ret->text, sizeof(ret->text), format, ap);
    va_end(ap);
}

/* Only who asks for its cluster and for it (MEMBER-20). False: refused, in words. */
static bool is_meant(const struct conf *conf, const struct wire_join *j,
                     struct wire_join_reply *ret)
{
    if (!wire_join_version_ok(j->version_highest, j->version_lowest))
        refuse(ret, WIRE_JOIN_VERSION,
               "node %s speaks versions %u to %u of the protocol between nodes", conf->self->name,
               WIRE_VERSION_LOWEST, WIRE_VERSION_HIGHEST);
    else if (strcmp(j->cluster_name, conf->cluster_name) != 0)
        refuse(ret, WIRE_JOIN_CLUSTER_NAME, "node %s is of cluster '%s', as its configuration says",
               conf->self->name, conf->cluster_name);
    else if (strcmp(j->node_name, conf->self->name) != 0)
        refuse(ret, WIRE_JOIN_NODE_NAME, "this is node %s of cluster '%s'", conf->self->name,
               conf->cluster_name);
    else
        return true;
    return false;
}

/* It was told this before: by the same leader, or by the next one, who asks for the same cluster.
 * Who knows the random id is no stranger, so that he may be told the incarnation (PEER-7). */
static bool is_ours(const struct identity_dir *dir, const struct wire_join *j)
{
    static const unsigned char none[16];
    const struct identity_cluster *cluster = identity_cluster(dir);

    return identity_was_added(dir) && cluster->known && memcmp(cluster->id, none, 16) != 0 &&
           peer_net_same_key(j->cluster_id, cluster->id) &&
           memcmp(j->founding_id, identity_get(dir)->cluster_id, 16) == 0;
}

static void accept_node(const struct identity_dir *dir, struct wire_join_reply *ret)
{
    ret->refused = WIRE_JOIN_ACCEPTED;
    ret->incarnation = identity_get(dir)->incarnation;
}

void node_on_join(void *ctx, const struct wire_join *j, struct wire_join_reply *ret)
{
    const struct node *n = ctx;

    if (!is_meant(n->conf, j, ret))
        return;
    if (is_ours(n->dir, j))
        accept_node(n->dir, ret);
    else
        refuse(ret, WIRE_JOIN_NOT_WAITING,
               "node %s runs there already, with a data directory of its own", n->self->name);
}

/* Who is in it is the leader's business, and may be of long ago, when somebody else had this name.
 * */
static bool config_ok(const struct joining *w, const struct wire_join *j,
                      struct wire_join_reply *ret)
{
    struct raft_configuration *c = calloc(1, sizeof(*c));
    int rc = c != NULL ? raft_configuration_decode(j->config, j->config_len, c) : -ENOMEM;
    const bool same = rc == 0 && (!raft_configuration_has_cluster_id(c) ||
                                  memcmp(c->cluster_id, j->cluster_id, 16) == 0);

    free(c);
    if (rc == RAFT_CONFIGURATION_E_NEWER)
        refuse(ret, WIRE_JOIN_VERSION, "the program on %s is of an earlier version: %s",
               w->conf->self->name, raft_configuration_error_text(rc));
    else if (!same)
        refuse(ret, WIRE_JOIN_BUSY, "node %s cannot read the configuration that it was given",
               w->conf->self->name);
    return same;
}

/* ---- becoming a node ---- */

/* The order is that of the head of this file. */
static int make_node(struct joining *w, const struct wire_join *j)
{
    int rc;

    identity_join(w->dir, j->founding_id);
    rc = node_make_log(w->conf, w->dir, j->config, j->config_len);
    if (rc == 0)
        rc = identity_set_cluster(w->dir, j->cluster_id, j->cluster_name);
    if (rc == 0)
        rc = identity_commit(w->dir);
    return rc;
}

static enum join_port_end on_join(void *ctx, const struct wire_join *j, struct wire_join_reply *ret)
{
    struct joining *w = ctx;

    if (!is_meant(w->conf, j, ret))
        return JOIN_PORT_STOPPED;
    if (w->joined && is_ours(w->dir, j)) {
        accept_node(w->dir, ret);
        return JOIN_PORT_JOINED;
    }
    if (w->joined) {
        refuse(ret, WIRE_JOIN_HAS_DATA, "node %s was added by somebody else just now",
               w->conf->self->name);
        return JOIN_PORT_STOPPED;
    }
    if (j->config_len == 0) { /* it only asks */
        (void)snprintf(ret->text, sizeof(ret->text), "waiting to be added");
        return JOIN_PORT_STOPPED;
    }
    if (!config_ok(w, j, ret))
        return JOIN_PORT_STOPPED;
    err_reset();
    if (make_node(w, j) != 0) {
        refuse(ret, WIRE_JOIN_WRITE, "node %s: %s", w->conf->self->name, err_text());
        return JOIN_PORT_FAILED;
    }
    w->joined = true;
    accept_node(w->dir, ret);
    return JOIN_PORT_JOINED;
}

/* ---- waiting ---- */

static void on_tick(void *ctx)
{
    (void)ctx;
    notify_send("WATCHDOG=1");
}

static void say_waiting(const struct joining *w)
{
    const struct conf_peer *self = w->conf->self;

    if (w->rejoin)
        printf("ridd: waiting to be added: on any machine run: ridctl member rejoin %s\n",
               self->name);
    else
        printf("ridd: waiting to be added: on any machine run: ridctl member add %s %s %s\n",
               self->name, self->peer_addr, self->client_addr);
    (void)fflush(stdout);
    notify_send("READY=1\nSTATUS=waiting to be added");
}

static int wait_on(struct joining *w, int stop_fd)
{
    const struct join_port_ops ops = {
        .ctx = w, .on_join = on_join, .tick_us = w->watchdog_us / 2, .on_tick = on_tick};
    struct join_port *port = NULL;
    struct tls_ctx *tls = NULL;
    int rc = node_peer_tls(w->conf, &tls);

    if (rc != 0) {
        fprintf(stderr, "ridd: [security]: %s\n", err_text());
        return EXIT_CONF_ERROR;
    }
    rc = join_port_new(w->conf->self->peer_addr, tls, &port);
    tls_ctx_unref(tls);
    if (rc != 0)
        return say(rc == -EADDRINUSE ? EXIT_IO_ERROR : EXIT_CONF_ERROR);
    say_waiting(w);
    rc = join_port_wait(port, stop_fd, &ops);
    join_port_free(port);
    switch (rc) {
    case JOIN_PORT_JOINED:
        return -1;
    case JOIN_PORT_STOPPED:
        notify_send("STOPPING=1");
        printf("ridd: stopped while it waited to be added\n");
        return 0;
    default:
        return say(EXIT_IO_ERROR);
    }
}

/* TERM and INT are heard through a descriptor as long as there is no loop. -1: it is a node;
 * otherwise an exit code. */
static int wait_for_leader(struct joining *w)
{
    sigset_t stop;
    sigset_t before;
    cleanup_fd int stop_fd = -1;
    struct pollfd pfd;
    int code;

    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &stop, &before);
    stop_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    if (stop_fd < 0) {
        (void)err_say(-errno, "cannot wait for signals: %s", strerror(errno));
        return say(EXIT_IO_ERROR);
    }
    code = wait_on(w, stop_fd);
    pfd = (struct pollfd){.fd = stop_fd, .events = POLLIN};
    if (code == -1 && poll(&pfd, 1, 0) > 0)
        code = 0; /* a node that is not to run now */
    if (code == -1)
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

/* The same command again runs the node that it made, so that it may stand in a service for good.
 * But --rejoin says that a disk was lost: over a directory that was made otherwise it was not
 * (MEMBER-22). */
static bool may_run(const struct identity_dir *dir, bool rejoin)
{
    return identity_was_added(dir) && (!rejoin || identity_get(dir)->way == IDENTITY_REJOIN);
}

/* -1: there is nothing yet, or what another --join left; -2: it is a node that was added; otherwise
 * an exit code. */
static int look_at(const struct identity_conf *identity, bool rejoin)
{
    struct identity_dir *dir = NULL;
    int rc = identity_open(identity, &dir);
    const bool runs = rc == 0 && may_run(dir, rejoin);

    identity_close(dir);
    if (rc == IDENTITY_E_NOT_INITIALISED)
        return -1;
    if (rc != 0)
        return say(identity_exit_code(rc));
    if (runs)
        return -2;
    (void)err_say(IDENTITY_E_EXISTS,
                  "the data directory '%s' is that of node %s and holds all it needs: start it "
                  "without --%s",
                  identity->data_dir, identity->node_name, rejoin ? "rejoin" : "join");
    return say(EXIT_CONF_ERROR);
}

int node_join(const struct conf *conf, bool rejoin)
{
    char command[PATH_MAX + 128];
    struct identity_conf identity = {.data_dir = conf->data_dir,
                                     .node_name = conf->self->name,
                                     .command = command,
                                     .way = rejoin ? IDENTITY_REJOIN : IDENTITY_JOIN};
    struct joining w = {.conf = conf, .rejoin = rejoin, .watchdog_us = notify_watchdog_us()};
    int code;
    int rc;

    (void)snprintf(command, sizeof(command), "ridd --config %s --id %s", conf->path,
                   conf->self->name);
    code = look_at(&identity, rejoin);
    if (code == -1) {
        rc = identity_create(&identity, &w.dir);
        if (rc != 0)
            return say(identity_exit_code(rc));
        code = wait_for_leader(&w);
        if (code == -1)
            printf("ridd: added to cluster %s as node %s\n", conf->cluster_name, conf->self->name);
        (void)fflush(stdout);
        identity_close(w.dir);
    }
    return code < 0 ? node_run(conf, clock_mono_us()) : code;
}
