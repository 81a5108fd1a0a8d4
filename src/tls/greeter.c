/* A thread that shakes hands (TLS-3).
 *
 *     loop                                   thread
 *     greeter_take_in()  -- incoming -->     tls_shake() as its socket allows, until it is done,
 *     on_done(), callback  <-- done --       fails, is too late or was given up
 *
 * A greeting is the thread's between the two lists, but for its descriptor, which the loop alone
 * closes: so the loop may ask the kernel whether anything has come, and no number is another
 * connection's meanwhile. */
#include "tls/greeter.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/prng.h"
#include "base/seed.h"
#include "base/thread.h"
#include "tls/tls_int.h"

#include "base/banned.h"

struct greeting {
    struct greeter *greeter; /* borrowed */
    /* The loop's. */
    struct list of_loop; /* in greeter->all while it counts */
    int fd;              /* owned */
    uint64_t host;
    uint64_t since_us;
    greeter_fn fn;
    void *ctx;
    /* Of both. */
    atomic_bool given_up; /* nobody wants to hear of it */
    atomic_bool makes_room;
    atomic_bool begun; /* something has come */
    /* The thread's, between incoming and done. */
    struct list of_thread;
    struct tls_ctx *tls; /* counted */
    enum tls_side side;
    struct tls_stream *stream; /* owned; made by the thread */
    struct event *ev;          /* owned */
    short awaits;              /* EV_READ or EV_WRITE: what ev is for */
    uint64_t deadline_us;
    bool silent; /* at the end */
    bool slow;
    char why[TLS_WHY_BYTES];
};

struct greeter {
    struct greeter_conf conf;
    /* The loop's. */
    struct event *ev_done; /* owned */
    struct list all;       /* oldest first; of those that make room none */
    struct greeter_stats stats;
    struct prng prng;
    /* Of both. */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of incoming, done and dropped */
    struct list incoming;
    struct list done;
    struct list dropped; /* streams that the loop has done with */
    int wake_fd;         /* owned; something came in, or is given up, or all is over */
    int done_fd;         /* owned */
    atomic_bool stop;
    atomic_bool failed; /* the thread has ended by itself */
    atomic_ullong busy_us;
    /* The thread's. */
    struct event_base *base; /* owned */
    struct event *ev_wake;   /* owned */
    struct event *ev_tick;   /* owned */
    struct list under_way;
};

static void kick(int fd)
{
    const uint64_t one = 1;

    (void)!write(fd, &one, sizeof(one));
}

static void calm(int fd)
{
    uint64_t count;

    (void)!read(fd, &count, sizeof(count));
}

/* What the thread has of it is over. */
static void greeting_free(struct greeting *w)
{
    list_remove(&w->of_loop);
    list_remove(&w->of_thread);
    tls_stream_free(w->stream);
    tls_ctx_unref(w->tls);
    if (w->fd >= 0)
        (void)close(w->fd);
    free(w);
}

/* ---- the thread ---- */

static void finish(struct greeting *w, const char *why)
{
    struct greeter *g = w->greeter;

    if (w->ev != NULL)
        event_free(take_ptr(w->ev));
    if (why != NULL) {
        w->silent = w->stream != NULL && tls_is_silent(w->stream);
        (void)snprintf(w->why, sizeof(w->why), "%s", why);
        tls_stream_free(take_ptr(w->stream));
    }
    list_remove(&w->of_thread);
    (void)pthread_mutex_lock(&g->lock);
    list_append(&g->done, &w->of_thread);
    (void)pthread_mutex_unlock(&g->lock);
    kick(g->done_fd);
}

static void on_ready(evutil_socket_t fd, short what, void *arg);

/* False: without memory. */
static bool await(struct greeting *w, short what)
{
    if (w->ev != NULL && w->awaits == what)
        return true;
    if (w->ev != NULL)
        event_free(take_ptr(w->ev));
    w->awaits = what;
    w->ev = event_new(w->greeter->base, w->fd, (short)(what | EV_PERSIST), on_ready, w);
    return w->ev != NULL && event_add(w->ev, NULL) == 0;
}

/* A scheduler may let a thread end its slice, of milliseconds, whoever wakes meanwhile and however
 * far behind him it stands: so it is over after each piece of work (TLS-3). */
static void make_way(uint64_t took_us)
{
    const struct timespec moment = {.tv_nsec = TLS_GREETER_REST_NS};

    if (took_us >= TLS_GREETER_WORK_US)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
}

static void step(struct greeting *w)
{
    const uint64_t began_us = clock_thread_us();
    const int rc = tls_shake(w->stream);
    const uint64_t took_us = clock_thread_us() - began_us;
    bool ok = true;

    if (!atomic_load(&w->begun) && !tls_is_silent(w->stream))
        atomic_store(&w->begun, true);
    if (rc == TLS_DONE)
        finish(w, NULL);
    else if (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE)
        ok = await(w, rc == TLS_WANT_READ ? EV_READ : EV_WRITE);
    else
        finish(w, err_text());
    if (!ok)
        finish(w, "out of memory");
    make_way(took_us);
}

/* A stream is some dozen pieces of memory, and locks of the library and of malloc: were it made by
 * the loop, that would wait for this thread whenever it is out of its turn with one of them. */
static void begin(struct greeting *w)
{
    if (tls_stream_new(w->tls, w->side, w->fd, NULL, &w->stream) == 0)
        step(w);
    else
        finish(w, err_text());
}

static void note_time(struct greeter *g)
{
    atomic_store(&g->busy_us, clock_thread_us());
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct greeting *w = arg;
    struct greeter *g = w->greeter;

    (void)fd;
    (void)what;
    step(w);
    note_time(g);
}

static const struct timeval tick = {0, TLS_GREETER_TICK_US};

/* Nothing is worth its while any more. */
static bool is_over(const struct greeting *w)
{
    return atomic_load(&w->given_up) || atomic_load(&w->makes_room);
}

/* Those that are too late, or that nobody waits for. */
static void sweep(struct greeter *g)
{
    const uint64_t now_us = clock_mono_us();
    struct list seen = LIST_INIT(seen);

    while (!list_empty(&g->under_way)) {
        struct greeting *w = list_entry(g->under_way.next, struct greeting, of_thread);

        if (atomic_load(&w->given_up)) {
            finish(w, "given up");
        } else if (atomic_load(&w->makes_room)) {
            finish(w, "newer connections came before its handshake was done");
        } else if (now_us >= w->deadline_us) {
            w->slow = true;
            finish(w, "its handshake was not done in time");
        } else {
            list_remove(&w->of_thread);
            list_append(&seen, &w->of_thread);
        }
    }
    list_splice(&g->under_way, &seen);
    /* Nobody is woken for nothing. */
    if (list_empty(&g->under_way))
        (void)event_del(g->ev_tick);
    else if (!evtimer_pending(g->ev_tick, NULL))
        (void)event_add(g->ev_tick, &tick);
}

static void bury(struct list *streams)
{
    while (!list_empty(streams))
        tls_stream_free(list_entry(streams->next, struct tls_stream, dropped));
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct greeter *g = arg;
    struct list fresh = LIST_INIT(fresh);
    struct list dropped = LIST_INIT(dropped);

    (void)what;
    calm(fd);
    (void)pthread_mutex_lock(&g->lock);
    list_splice(&fresh, &g->incoming);
    list_splice(&dropped, &g->dropped);
    (void)pthread_mutex_unlock(&g->lock);
    while (!list_empty(&fresh)) {
        struct greeting *w = list_entry(fresh.next, struct greeting, of_thread);

        list_remove(&w->of_thread);
        list_append(&g->under_way, &w->of_thread);
        if (!is_over(w))
            begin(w);
    }
    bury(&dropped);
    sweep(g);
    note_time(g);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    sweep(arg);
}

static void *run(void *arg)
{
    struct greeter *g = arg;

    /* Who is let in is not worth what they wait for who are in already. */
    if (g->conf.nice != 0)
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(),
                          getpriority(PRIO_PROCESS, (id_t)gettid()) + g->conf.nice);
    while (!atomic_load(&g->stop))
        if (event_base_loop(g->base, EVLOOP_ONCE) < 0) {
            atomic_store(&g->failed, true);
            break;
        }
    return NULL;
}

/* ---- the loop ---- */

/* A number of them; the rest in the next turn. */
static void take_done(struct greeter *g, struct list *ret)
{
    (void)pthread_mutex_lock(&g->lock);
    for (unsigned n = 0; n < TLS_GREETINGS_PER_TURN && !list_empty(&g->done); n++) {
        struct greeting *w = list_entry(g->done.next, struct greeting, of_thread);

        list_remove(&w->of_thread);
        list_append(ret, &w->of_thread);
    }
    if (!list_empty(&g->done))
        kick(g->done_fd);
    (void)pthread_mutex_unlock(&g->lock);
}

static void hand_over(struct greeter *g, struct greeting *w)
{
    const bool failed = w->stream == NULL;

    if (!list_empty(&w->of_loop)) {
        list_remove(&w->of_loop);
        g->stats.n_under_way--;
    }
    if (failed) {
        g->stats.n_failed++;
        g->stats.n_slow += w->slow;
        (void)close(take_fd(w->fd));
    } else {
        g->stats.n_done++;
    }
    w->fn(w->ctx, take_ptr(w->stream), take_fd(w->fd), w->silent, failed ? w->why : NULL);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    struct greeter *g = arg;
    struct list done = LIST_INIT(done);

    (void)what;
    calm(fd);
    take_done(g, &done);
    while (!list_empty(&done)) {
        struct greeting *w = list_entry(done.next, struct greeting, of_thread);

        list_remove(&w->of_thread);
        if (!atomic_load(&w->given_up))
            hand_over(g, w);
        greeting_free(w);
    }
}

/* ---- who makes room ---- */

static unsigned n_of(const struct greeter *g, uint64_t host)
{
    unsigned n = 0;

    list_for_each(it, &g->all) n += list_entry_const(it, struct greeting, of_loop)->host == host;
    return n;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Sorted, those of one host stand together. In one turn of the loop this is asked for each that is
 * accepted in it, when strangers of many hosts come. */
static uint64_t host_with_most(const struct greeter *g)
{
    uint64_t hosts[TLS_GREETINGS_MAX];
    unsigned n = 0;
    unsigned n_same = 0;
    unsigned most = 0;
    uint64_t host = 0;

    list_for_each(it, &g->all) hosts[n++] = list_entry_const(it, struct greeting, of_loop)->host;
    qsort(hosts, n, sizeof(hosts[0]), by_number);
    for (unsigned i = 0; i < n; i++) {
        n_same = i > 0 && hosts[i] == hosts[i - 1] ? n_same + 1 : 1;
        if (n_same > most) {
            most = n_same;
            host = hosts[i];
        }
    }
    return host;
}

static bool is_silent(const struct greeting *w)
{
    int n_unread = 0;

    return !atomic_load(&w->begun) && ioctl(w->fd, FIONREAD, &n_unread) == 0 && n_unread == 0;
}

/* Any that is silent, each as likely, or else the oldest that has had its chance: with the oldest
 * always first, whoever comes often enough would be sure to drive out others in time. */
static struct greeting *who_goes(struct greeter *g, uint64_t host)
{
    const uint64_t now_us = clock_mono_us();
    struct greeting *chosen = NULL;
    struct greeting *oldest = NULL;
    unsigned n_silent = 0;

    list_for_each(it, &g->all)
    {
        struct greeting *w = list_entry(it, struct greeting, of_loop);

        if (w->host != host)
            continue;
        if (oldest == NULL)
            oldest = w;
        if (is_silent(w) && prng_below(&g->prng, ++n_silent) == 0)
            chosen = w;
    }
    if (chosen == NULL && oldest != NULL && now_us >= oldest->since_us + TLS_GREETING_YOUNG_US)
        chosen = oldest;
    return chosen;
}

static bool make_room(struct greeter *g, uint64_t host)
{
    struct greeting *w;

    if (n_of(g, host) < g->conf.per_host) {
        if (g->stats.n_under_way < g->conf.max)
            return true;
        host = host_with_most(g);
    }
    w = who_goes(g, host);
    if (w == NULL)
        return false;
    list_remove(&w->of_loop);
    g->stats.n_under_way--;
    g->stats.n_made_room++;
    atomic_store(&w->makes_room, true);
    return true;
}

/* ---- the interface ---- */

static void cleanup_greeting_fn(struct greeting **w)
{
    if (*w != NULL)
        greeting_free(*w);
}

int greeter_take_in(struct greeter *g, struct tls_ctx *c, enum tls_side side, int fd, uint64_t host,
                    uint64_t deadline_us, greeter_fn fn, void *ctx, struct greeting **ret_greeting)
{
    CLEANUP(greeting) struct greeting *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        (void)close(fd);
        return err_origin(err_say(-ENOMEM, "out of memory"));
    }
    *w = (struct greeting){.greeter = g,
                           .fd = fd,
                           .host = host,
                           .since_us = clock_mono_us(),
                           .deadline_us = deadline_us,
                           .tls = tls_ctx_ref(c),
                           .side = side,
                           .fn = fn,
                           .ctx = ctx};
    list_init(&w->of_loop);
    list_init(&w->of_thread);
    if (atomic_load(&g->failed))
        return err_origin(err_say(-ENOTRECOVERABLE, "the thread of handshakes has ended: restart"));
    if (!make_room(g, host))
        return err_origin(err_say(-EBUSY, "too many handshakes are under way"));
    list_append(&g->all, &w->of_loop);
    g->stats.n_under_way++;
    (void)pthread_mutex_lock(&g->lock);
    list_append(&g->incoming, &w->of_thread);
    (void)pthread_mutex_unlock(&g->lock);
    kick(g->wake_fd);
    *ret_greeting = take_ptr(w);
    return 0;
}

void greeter_drop(struct greeter *g, struct tls_stream *stream)
{
    (void)pthread_mutex_lock(&g->lock);
    list_append(&g->dropped, &stream->dropped);
    (void)pthread_mutex_unlock(&g->lock);
    kick(g->wake_fd);
}

void greeter_give_up(struct greeter *g, struct greeting *w)
{
    rid_assert(!atomic_load(&w->given_up));
    if (!list_empty(&w->of_loop)) {
        list_remove(&w->of_loop);
        g->stats.n_under_way--;
    }
    /* The other side learns it now; the descriptor goes when the thread is done with it. */
    (void)shutdown(w->fd, SHUT_RDWR);
    atomic_store(&w->given_up, true);
    kick(g->wake_fd);
}

void greeter_get_stats(const struct greeter *g, struct greeter_stats *ret)
{
    *ret = g->stats;
    ret->busy_us = atomic_load(&g->busy_us);
}

static void free_all(struct list *l)
{
    while (!list_empty(l)) {
        struct greeting *w = list_entry(l->next, struct greeting, of_thread);

        if (w->ev != NULL)
            event_free(take_ptr(w->ev));
        greeting_free(w);
    }
}

static void free_event(struct event *e)
{
    if (e != NULL)
        event_free(e);
}

void greeter_free(struct greeter *g)
{
    if (g == NULL)
        return;
    if (g->has_thread) {
        atomic_store(&g->stop, true);
        kick(g->wake_fd);
        (void)pthread_join(g->thread, NULL);
    }
    free_all(&g->incoming);
    free_all(&g->under_way);
    free_all(&g->done);
    bury(&g->dropped);
    free_event(g->ev_done);
    free_event(g->ev_wake);
    free_event(g->ev_tick);
    if (g->base != NULL)
        event_base_free(g->base);
    if (g->wake_fd >= 0)
        (void)close(g->wake_fd);
    if (g->done_fd >= 0)
        (void)close(g->done_fd);
    (void)pthread_mutex_destroy(&g->lock);
    free(g);
}

static void cleanup_greeter_fn(struct greeter **g)
{
    greeter_free(*g);
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config == NULL)
        return NULL;
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static int make_events(struct greeter *g, struct event_base *base)
{
    g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (g->wake_fd < 0 || g->done_fd < 0)
        return -errno;
    g->base = new_base();
    if (g->base == NULL)
        return -ENOMEM;
    g->ev_wake = event_new(g->base, g->wake_fd, EV_READ | EV_PERSIST, on_wake, g);
    g->ev_tick = event_new(g->base, -1, EV_PERSIST, on_tick, g);
    g->ev_done = event_new(base, g->done_fd, EV_READ | EV_PERSIST, on_done, g);
    if (g->ev_wake == NULL || g->ev_tick == NULL || g->ev_done == NULL ||
        event_priority_set(g->ev_done, g->conf.priority) != 0 || event_add(g->ev_wake, NULL) != 0 ||
        event_add(g->ev_tick, &tick) != 0 || event_add(g->ev_done, NULL) != 0)
        return -ENOMEM;
    return 0;
}

int greeter_new(struct event_base *base, const struct greeter_conf *conf, struct greeter **ret)
{
    CLEANUP(greeter) struct greeter *g = calloc(1, sizeof(*g));
    int rc;

    if (g == NULL)
        return err_origin(err_say(-ENOMEM, "cannot make the thread of handshakes: out of memory"));
    g->conf = *conf;
    if (g->conf.max == 0)
        g->conf.max = TLS_GREETINGS_MAX;
    rid_assert(g->conf.max <= TLS_GREETINGS_MAX);
    if (g->conf.per_host == 0)
        g->conf.per_host = (g->conf.max + 1) / 2;
    g->wake_fd = -1;
    g->done_fd = -1;
    (void)pthread_mutex_init(&g->lock, NULL);
    list_init(&g->all);
    list_init(&g->incoming);
    list_init(&g->done);
    list_init(&g->dropped);
    list_init(&g->under_way);
    prng_init(&g->prng, seed_fresh());
    rc = make_events(g, base);
    if (rc != 0)
        return err_origin(err_say(rc, "cannot make the thread of handshakes: %s", strerror(-rc)));
    rc = thread_start(conf->name, run, g, &g->thread);
    if (rc != 0)
        return err_trace(rc);
    g->has_thread = true;
    *ret = take_ptr(g);
    return 0;
}
