/* The local socket of a running node: the roles in force, the thread that finds names anew at a
 * reload, and what is said of those who are denied.
 *
 * A role is kept with the connection, and with the number of the lists that it follows from: after
 * a reload it is judged anew at the next request (ACCESS-3). */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "node/node_int.h"

#include "base/banned.h"

/* ---- the lists ---- */

/* Of the loop and of the thread: whoever is the last to let go frees it. A name server that is
 * silent leaves it to the thread (ACCESS-4). */
struct access_search {
    atomic_uint n_owners;
    atomic_bool done;
    int wake_fd; /* owned */
    struct conf_who_list lists[ACCESS_ROLES];
    struct access found;
};

static void let_go(struct access_search *s)
{
    if (s == NULL || atomic_fetch_sub(&s->n_owners, 1) > 1)
        return;
    if (s->wake_fd >= 0)
        (void)close(s->wake_fd);
    free(s);
}

/* However often a file is read again while names are not answered. */
static atomic_uint n_searches;

static void *search(void *arg)
{
    struct access_search *s = arg;
    const struct conf_who_list *const lists[ACCESS_ROLES] = {&s->lists[0], &s->lists[1],
                                                             &s->lists[2]};
    const uint64_t one = 1;

    access_find(lists, &s->found);
    atomic_store(&s->done, true);
    atomic_fetch_sub(&n_searches, 1);
    (void)!write(s->wake_fd, &one, sizeof(one));
    let_go(s);
    return NULL;
}

static void take(struct node *n, const struct access *found)
{
    n->local.access = *found;
    n->local.generation++;
    if (found->unknown[0] != '\0')
        log_event(LOG_WARNING, "access_unknown",
                  "names=\"%s\" why='there is no such user or group: it stands for nobody' "
                  "action=make_it_and_reload",
                  found->unknown);
}

/* 0: n->local.search is under way; -errno. */
static int begin_search(struct node *n, pthread_t *ret_thread)
{
    const struct conf *conf = node_conf(n);
    struct access_search *s;
    int rc;

    if (atomic_load(&n_searches) >= ACCESS_SEARCHES_MAX)
        return -EBUSY;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    atomic_init(&s->n_owners, 2);
    s->wake_fd = dup(n->durable_fd);
    s->lists[0] = conf->unix_read;
    s->lists[1] = conf->unix_write;
    s->lists[2] = conf->unix_admin;
    atomic_fetch_add(&n_searches, 1);
    rc = thread_start("ridd-access", search, s, ret_thread);
    if (rc != 0) {
        atomic_fetch_sub(&n_searches, 1);
        atomic_store(&s->n_owners, 1);
        let_go(s);
        return rc;
    }
    n->local.search = s;
    return 0;
}

/* Until the lists are found the local socket is for root and the own user alone. A directory that
 * is silent holds a start for a moment, and no longer: three nodes that are restarted while it is
 * away must come back (ACCESS-4). */
static void find_at_start(struct node *n)
{
    struct timespec until;
    pthread_t thread;

    if (begin_search(n, &thread) != 0) {
        log_event(LOG_ERROR, "access_not_taken",
                  "why='no memory or no thread' action=root_and_own_user_until_reload");
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ACCESS_START_S;
    if (pthread_timedjoin_np(thread, NULL, &until) == 0) {
        take(n, &n->local.search->found);
        let_go(take_ptr(n->local.search));
        return;
    }
    (void)pthread_detach(thread);
    log_event(LOG_WARNING, "access_not_taken",
              "why='the names of [access] are still being looked up' "
              "action=root_and_own_user_until_then");
}

int node_access_begin(struct node *n)
{
    static const struct conf_who_list nobody;
    const struct conf_who_list *const lists[ACCESS_ROLES] = {&nobody, &nobody, &nobody};
    struct access found;

    if (n->conf->client_socket[0] == '\0')
        return 0;
    access_find(lists, &found); /* asks for no name */
    take(n, &found);
    if (!found.sees_all)
        log_event(LOG_WARNING, "access_blind",
                  "why='in this user namespace other users have no numbers: local clients are "
                  "nobody' action=no_PrivateUsers");
    find_at_start(n);
    return client_port_listen_local(n->client_port, n->conf->client_socket);
}

/* Of two reloads the lists of the later one count: a search before it is left alone. */
void node_access_again(struct node *n)
{
    pthread_t thread;
    int rc;

    if (n->local.generation == 0)
        return;
    let_go(take_ptr(n->local.search));
    rc = begin_search(n, &thread);
    if (rc == 0)
        (void)pthread_detach(thread);
    else
        log_event(LOG_ERROR, "access_not_taken", "why='%s' action=keep_old_until_next_reload",
                  rc == -EBUSY ? "earlier look-ups of names hang" : "no memory or no thread");
}

void node_access_turn(struct node *n)
{
    if (n->local.search == NULL || !atomic_load(&n->local.search->done))
        return;
    take(n, &n->local.search->found);
    log_event(LOG_INFO, "access_taken", "generation=%llu", (unsigned long long)n->local.generation);
    let_go(take_ptr(n->local.search));
}

void node_access_end(struct node *n)
{
    let_go(take_ptr(n->local.search));
}

/* ---- clients ---- */

static enum service_role judge(const struct node *n, const struct client_conn *c,
                               const struct client_peer *who)
{
    unsigned n_groups;
    cleanup_free gid_t *groups = client_conn_groups(c, &n_groups);
    const struct access_peer peer = {
        .uid = who->uid, .gid = who->gid, .groups = groups, .n_groups = n_groups};

    return access_role(&n->local.access, &peer);
}

/* In the mark of a connection: the number of the lists, and the role by them. */
#define MARK_ROLES 8u

enum service_role node_client_role(void *ctx, void *conn)
{
    struct node *n = ctx;
    struct client_conn *c = conn;
    struct client_peer who;
    enum service_role role;
    uint64_t mark;

    if (!client_conn_peer(c, &who))
        return SERVICE_ADMIN; /* TCP asks nobody who they are */
    mark = client_conn_mark(c);
    if (mark / MARK_ROLES == n->local.generation)
        return (enum service_role)(mark % MARK_ROLES);
    role = judge(n, c, &who);
    client_conn_set_mark(c, n->local.generation * MARK_ROLES + (uint64_t)role);
    return role;
}

void node_client_denied(void *ctx, void *conn, const struct wire_request *q,
                        enum service_role needed, char *ret_who, size_t size)
{
    struct node *n = ctx;
    struct client_peer who;
    uint64_t suppressed;

    n->local.n_denied++;
    if (!client_conn_peer(conn, &who))
        return;
    (void)access_who(&n->local.access, who.uid, ret_who, size);
    if (log_limit_ok(&n->local.denied_limit, clock_mono_us(), &suppressed))
        log_event(LOG_WARNING, "access_denied",
                  "who='%s' gid=%lu pid=%ld request=%s needed=%s suppressed=%llu", ret_who,
                  (unsigned long)who.gid, (long)who.pid, wire_request_type_name(q->type),
                  service_role_name(needed), (unsigned long long)suppressed);
}
