/* What [access] says, in a running node, and its local socket: the thread that finds names, at the
 * start and anew at a reload.
 *
 * Each change of what is in force has a number: by that a connection is judged anew at its next
 * request (ACCESS-3). */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
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
    struct access_wanted wanted;
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
    const uint64_t one = 1;

    access_find(&s->wanted, &s->found);
    atomic_store(&s->done, true);
    atomic_fetch_sub(&n_searches, 1);
    (void)!write(s->wake_fd, &one, sizeof(one));
    let_go(s);
    return NULL;
}

static void take(struct node *n, const struct access *found)
{
    n->access.local = *found;
    n->access.generation++;
    if (found->unknown[0] != '\0')
        log_event(LOG_WARNING, "access_unknown",
                  "names=\"%s\" why='there is no such user or group: it stands for nobody' "
                  "action=make_it_and_reload",
                  found->unknown);
}

/* 0: n->access.search is under way; -errno. */
static int begin_search(struct node *n, pthread_t *ret_thread)
{
    struct access_search *s;
    int rc;

    if (atomic_load(&n_searches) >= ACCESS_SEARCHES_MAX)
        return -EBUSY;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    atomic_init(&s->n_owners, 2);
    s->wake_fd = dup(n->durable_fd);
    access_want(node_conf(n), &s->wanted);
    atomic_fetch_add(&n_searches, 1);
    rc = thread_start("ridd-access", search, s, ret_thread);
    if (rc != 0) {
        atomic_fetch_sub(&n_searches, 1);
        atomic_store(&s->n_owners, 1);
        let_go(s);
        return rc;
    }
    n->access.search = s;
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
        take(n, &n->access.search->found);
        let_go(take_ptr(n->access.search));
        return;
    }
    (void)pthread_detach(thread);
    log_event(LOG_WARNING, "access_not_taken",
              "why='the names of [access] are still being looked up' "
              "action=root_and_own_user_until_then");
}

int node_access_begin(struct node *n)
{
    access_of_addresses(n->conf, &n->access.remote);
    access_find(NULL, &n->access.local);
    n->access.generation = 1;
    if (n->conf->client_socket[0] == '\0')
        return 0;
    if (!n->access.local.sees_all)
        log_event(LOG_WARNING, "access_blind",
                  "why='in this user namespace other users have no numbers: local clients are "
                  "nobody' action=no_PrivateUsers");
    find_at_start(n);
    return client_port_listen_local(n->client_port, n->conf->client_socket);
}

static void say_taken(const struct node *n)
{
    log_event(LOG_INFO, "access_taken", "generation=%llu",
              (unsigned long long)n->access.generation);
}

/* Whom a certificate, a secret or a token names is known without asking: who lost his right has
 * lost it now, whether or not somebody answers for the names of users (ACCESS-14). Of two reloads
 * the lists of the later one count: a search before it is left alone. */
void node_access_again(struct node *n)
{
    pthread_t thread;
    int rc;

    access_of_addresses(node_conf(n), &n->access.remote);
    n->access.generation++;
    if (n->conf->client_socket[0] == '\0') {
        say_taken(n);
        return;
    }
    let_go(take_ptr(n->access.search));
    rc = begin_search(n, &thread);
    if (rc == 0)
        (void)pthread_detach(thread);
    else
        log_event(LOG_ERROR, "access_not_taken", "why='%s' action=keep_old_until_next_reload",
                  rc == -EBUSY ? "earlier look-ups of names hang" : "no memory or no thread");
}

void node_access_turn(struct node *n)
{
    if (n->access.search == NULL || !atomic_load(&n->access.search->done))
        return;
    take(n, &n->access.search->found);
    say_taken(n);
    let_go(take_ptr(n->access.search));
}

void node_access_end(struct node *n)
{
    let_go(take_ptr(n->access.search));
}
