/* The turn of a loop: what has come, what is due, what there is to be sent; then it waits. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/engine_int.h"

#include "base/banned.h"

int loop_init(struct loop *l, struct load *load, enum loop_role role, unsigned n_conns,
              unsigned in_flight)
{
    int rc = 0;

    l->load = load;
    l->role = role;
    l->n_conns = n_conns;
    l->in_flight = in_flight;
    l->dial_ns = UINT64_MAX;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->conns = calloc(n_conns, sizeof(l->conns[0]));
    l->dirty = calloc(n_conns, sizeof(l->dirty[0]));
    l->figures = calloc(1, sizeof(*l->figures));
    if (l->epoll_fd < 0)
        return -errno;
    if (l->conns == NULL || l->dirty == NULL || l->figures == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < n_conns; i++)
        l->conns[i] = (struct load_conn){.fd = -1, .loop = l};
    for (unsigned i = 0; i < n_conns && rc == 0; i++)
        rc = conn_init(&l->conns[i], l, i);
    return rc;
}

void loop_done(struct loop *l)
{
    l->ending = true;
    for (unsigned i = 0; l->conns != NULL && i < l->n_conns; i++)
        conn_done(&l->conns[i]);
    free(l->conns);
    free(l->dirty);
    history_done(&l->history);
    if (l->figures != NULL)
        free(l->figures->seconds);
    free(l->figures);
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
}

void loop_mark(struct loop *l, struct load_conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    l->dirty[l->n_dirty++] = c;
}

static unsigned n_in_flight(const struct loop *l)
{
    unsigned n = 0;

    for (unsigned i = 0; i < l->n_conns; i++)
        n += l->conns[i].n_sent + l->conns[i].n_again;
    return n;
}

/* The next thing that happens whether an answer comes or not. */
static uint64_t wake_ns(const struct loop *l)
{
    uint64_t ns = l->look_ns < l->dial_ns ? l->look_ns : l->dial_ns;

    if (l->rate > 0 && !l->starved && !l->ending && l->due_ns < (double)ns)
        ns = (uint64_t)l->due_ns;
    return ns;
}

static void look(struct loop *l)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < l->n_conns; i++)
        ops_give_up(&l->conns[i]);
    for (unsigned i = 0; i < LOAD_N_KINDS; i++)
        n += l->figures->sides[i].ns.n;
    __atomic_store_n(&l->seen_done, n, __ATOMIC_RELAXED);
    __atomic_store_n(&l->seen_errors, l->figures->n_errors, __ATOMIC_RELAXED);
    __atomic_store_n(&l->seen_wrong, l->figures->n_wrong, __ATOMIC_RELAXED);
    l->look_ns = l->now_ns + LOAD_LOOK_NS;
}

static void dial_due(struct loop *l)
{
    l->dial_ns = UINT64_MAX;
    for (unsigned i = 0; i < l->n_conns; i++)
        if (l->conns[i].state == CONN_CLOSED)
            loop_mark(l, &l->conns[i]);
}

static void turn(struct loop *l)
{
    const struct load_world *w = &l->load->world;
    struct epoll_event events[LOAD_EVENTS_MAX];
    const int n = w->wait(w->ctx, l->epoll_fd, events, (int)LOAD_EVENTS_MAX, wake_ns(l));

    l->now_ns = load_now(l->load);
    for (int i = 0; i < n; i++)
        conn_event(events[i].data.ptr, events[i].events);
    if (l->now_ns >= l->dial_ns)
        dial_due(l);
    if (l->now_ns >= l->look_ns)
        look(l);
    if (l->rate > 0)
        ops_arrive(l);
    for (unsigned i = 0; i < l->n_dirty; i++) { /* it may mark others: they come behind */
        struct load_conn *c = l->dirty[i];

        conn_go_on(c);
        c->dirty = false;
    }
    l->n_dirty = 0;
}

bool loop_is_spread(const struct loop *l)
{
    return l->load->plan->spread && l->role == LOOP_MEASURE;
}

bool loop_makes_anew(const struct loop *l)
{
    return l->load->plan->handshakes && l->role == LOOP_MEASURE;
}

bool loop_is_over(const struct loop *l)
{
    const struct load_plan *plan = l->load->plan;

    return plan->is_over != NULL && plan->is_over(plan->arg);
}

static uint64_t thread_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

static void begin_measuring(struct loop *l)
{
    if (l->measured || l->now_ns < l->begin_ns)
        return;
    l->measured = true;
    l->cpu_ns = thread_ns();
}

static void run_measure(struct loop *l)
{
    bool over = false;

    while (l->rc == 0 && l->now_ns < l->end_ns && !(over = loop_is_over(l))) {
        turn(l);
        begin_measuring(l);
    }
    if (over &&
        l->end_ns > l->now_ns) /* perhaps while it was warming up: nothing is counted then */
        l->end_ns = l->now_ns > l->begin_ns ? l->now_ns : l->begin_ns;
    l->figures->cpu_ns = l->measured ? thread_ns() - l->cpu_ns : 0;
    while (l->rc == 0 && l->rate > 0 && l->due_ns < (double)l->end_ns &&
           l->now_ns < l->end_ns + LOAD_LAST_NS)
        turn(l);
    if (l->rate > 0)
        ops_unsent(l);
}

static void run_keys(struct loop *l)
{
    while (l->rc == 0 && !l->ending && l->next_key < l->end_key &&
           !(l->role == LOOP_FILL && loop_is_over(l)))
        turn(l);
}

/* What is under way is waited for: nothing may come behind what removes the keys. */
static void run_last(struct loop *l)
{
    const uint64_t patience_ns = l->load->plan->timeout_ns + LOAD_LAST_NS;
    const uint64_t from_ns = l->now_ns;

    l->ending = true;
    while (l->rc == 0 && n_in_flight(l) > 0 && l->now_ns - from_ns < patience_ns)
        turn(l);
    for (unsigned i = 0; i < l->n_conns; i++)
        ops_abandon(&l->conns[i]);
    look(l);
}

int loop_run(struct loop *l)
{
    l->now_ns = load_now(l->load);
    l->look_ns = l->now_ns + LOAD_LOOK_NS;
    for (unsigned i = 0; i < l->n_conns; i++) {
        l->conns[i].dial_at_ns = l->now_ns;
        loop_mark(l, &l->conns[i]);
    }
    l->dial_ns = l->now_ns;
    if (l->role == LOOP_MEASURE)
        run_measure(l);
    else
        run_keys(l);
    run_last(l);
    ops_end_history(l);
    return l->rc;
}
