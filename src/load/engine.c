/* The phases of a load, and its threads: each has a loop of its own, with its share of connections,
 * rate and keys; they share what is known of the keys, and nothing else. */
#include "load/engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "load/engine_int.h"

#include "base/banned.h"

/* ---- time ---- */

static uint64_t kernel_now_ns(void *ctx)
{
    struct timespec ts;

    (void)ctx;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* epoll_wait(2) counts milliseconds, which is longer than most answers take. */
static int kernel_wait(void *ctx, int epoll_fd, struct epoll_event *events, int n,
                       uint64_t until_ns)
{
    const uint64_t now_ns = kernel_now_ns(ctx);
    const uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const struct timespec ts = {.tv_sec = (time_t)(left_ns / SECOND_NS),
                                .tv_nsec = (long)(left_ns % SECOND_NS)};

    const int rc = epoll_pwait2(epoll_fd, events, n, &ts, NULL);

    /* Linux before 5.11: what is due within a millisecond is waited for without sleep. */
    return rc < 0 && errno == ENOSYS ? epoll_wait(epoll_fd, events, n, (int)(left_ns / MILLI_NS))
                                     : rc;
}

uint64_t load_now(const struct load *load)
{
    return load->world.now_ns(load->world.ctx);
}

void load_mark(struct load *load, uint64_t since_ns)
{
    __atomic_store_n(&load->mark_ns, 0, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < LOAD_N_KINDS; i++)
        __atomic_store_n(&load->marked_ns[i], 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&load->mark_ns, since_ns, __ATOMIC_SEQ_CST);
}

uint64_t load_marked(const struct load *load, enum load_kind kind)
{
    return __atomic_load_n(&load->marked_ns[kind], __ATOMIC_ACQUIRE);
}

/* ---- addresses ---- */

static int resolve_unix(const char *path, struct target *ret)
{
    struct sockaddr_un *to = (struct sockaddr_un *)&ret->to;

    if (strlen(path) >= sizeof(to->sun_path))
        return -ENAMETOOLONG;
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, strlen(path) + 1);
    ret->len = sizeof(*to);
    return 0;
}

/* What of it is an address. */
static const char *address_of(const char *text)
{
    const bool has_scheme = strncmp(text, "tls://", 6) == 0 || strncmp(text, "tcp://", 6) == 0;

    return text + (has_scheme ? 6 : 0);
}

/* Waits for a name server: before anything is measured, or for the address of a leader that the
 * command line does not have. */
static int resolve(const char *text, struct target *ret)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char port[8];

    if (strncmp(text, "unix:", 5) == 0)
        return resolve_unix(text + 5, ret);
    if (!address_split(address_of(text), ret->host, sizeof(ret->host), port, sizeof(port)))
        return -EINVAL;
    if (getaddrinfo(ret->host, port, &hints, &list) != 0)
        return -EHOSTUNREACH;
    memcpy(&ret->to, list->ai_addr, list->ai_addrlen);
    ret->len = list->ai_addrlen;
    freeaddrinfo(list);
    return 0;
}

static bool is_secure(const struct load *load, const char *text)
{
    if (strncmp(text, "unix:", 5) == 0 || strncmp(text, "tcp://", 6) == 0)
        return false;
    return load->plan->secure != NULL || strncmp(text, "tls://", 6) == 0;
}

/* An address that a node names is spoken at as the list says, or else as its first one is. */
unsigned load_target(struct load *load, const char *text, size_t len)
{
    unsigned i;

    (void)pthread_mutex_lock(&load->lock);
    for (i = 0; i < load->n_targets; i++) {
        const char *known = address_of(load->targets[i].text);

        if (strcmp(known, load->targets[i].text) != 0 && strlen(known) == len &&
            memcmp(known, text, len) == 0)
            break;
        if (strlen(load->targets[i].text) == len && memcmp(load->targets[i].text, text, len) == 0)
            break;
    }
    if (i == load->n_targets && i < LOAD_TARGETS_MAX) {
        struct target *t = &load->targets[i];

        (void)snprintf(t->text, sizeof(t->text), "%.*s", (int)len, text);
        t->is_secure =
            is_secure(load, t->text) && (i < load->plan->n_addresses || load->targets[0].is_secure);
        if (len >= sizeof(t->text) || resolve(t->text, t) != 0)
            i = LOAD_TARGETS_MAX;
        else
            load->n_targets++;
    }
    (void)pthread_mutex_unlock(&load->lock);
    return i;
}

/* ---- a load ---- */

int load_fail(struct load *load, int rc, const char *format, ...)
{
    va_list ap;

    (void)pthread_mutex_lock(&load->lock);
    if (load->why[0] == '\0') {
        va_start(ap, format);
        (void)vsnprintf(load->why, sizeof(load->why), format, ap);
        va_end(ap);
    }
    (void)pthread_mutex_unlock(&load->lock);
    return rc;
}

const char *load_why(const struct load *load)
{
    return load->why;
}

const struct load_figures *load_figures(const struct load *load)
{
    return load->figures;
}

const struct history *load_history(const struct load *load)
{
    return &load->history;
}

bool load_history_is_full(const struct load *load)
{
    return load->history.n >= LOAD_HISTORY_MAX / load->plan->n_threads * load->plan->n_threads;
}

uint64_t load_n_done(const struct load_figures *f)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < LOAD_N_KINDS; i++)
        n += f->sides[i].ns.n;
    return n;
}

static int take_addresses(struct load *load)
{
    for (unsigned i = 0; i < load->plan->n_addresses; i++) {
        const char *text = load->plan->addresses[i];

        if (strncmp(text, "tls://", 6) == 0 && load->plan->secure == NULL)
            return load_fail(load, -EINVAL, "nothing says how to speak TLS at '%s'", text);
        if (load_target(load, text, strlen(text)) == LOAD_TARGETS_MAX)
            return load_fail(load, -EINVAL, "'%s' is no address that can be found", text);
    }
    return 0;
}

int load_new(const struct load_plan *plan, struct load **ret)
{
    static const struct load_world kernel = {kernel_now_ns, kernel_wait, NULL};
    struct load *load = calloc(1, sizeof(*load));
    int rc;

    if (load == NULL)
        return -ENOMEM;
    load->plan = plan;
    load->prefix_len = strlen(plan->prefix);
    load->world = plan->world != NULL ? *plan->world : kernel;
    (void)pthread_mutex_init(&load->lock, NULL);
    *ret = load; /* also where it fails: it says why */
    load->figures = calloc(1, sizeof(*load->figures));
    load->bulk = calloc(1, sizeof(*load->bulk));
    if (load->figures == NULL || load->bulk == NULL)
        return -ENOMEM;
    rc = take_addresses(load);
    return rc != 0 ? rc : truth_new(plan->n_keys, plan->n_threads > 1, &load->truth);
}

void load_free(struct load *load)
{
    if (load == NULL)
        return;
    truth_free(load->truth);
    if (load->figures != NULL)
        free(load->figures->seconds);
    free(load->figures);
    free(load->bulk);
    history_done(&load->history);
    (void)pthread_mutex_destroy(&load->lock);
    free(load);
}

/* ---- threads ---- */

struct crew {
    struct load *load;
    struct loop *loops; /* owned */
    unsigned n;
    unsigned n_running;
    enum loop_role role;
    struct load_figures *figures; /* borrowed from load */
    uint64_t begin_ns;
    uint64_t end_ns;
};

static unsigned share(unsigned total, unsigned n, unsigned i)
{
    return total / n + (i < total % n ? 1 : 0);
}

static int add_seconds(struct load_figures *f, const struct load_plan *plan)
{
    f->n_seconds = (unsigned)((plan->run_ns + SECOND_NS - 1) / SECOND_NS);
    f->seconds = calloc(f->n_seconds, sizeof(f->seconds[0]));
    return f->seconds != NULL ? 0 : -ENOMEM;
}

static int set_up(struct crew *crew, unsigned i)
{
    const struct load_plan *plan = crew->load->plan;
    struct loop *l = &crew->loops[i];
    const bool measures = crew->role == LOOP_MEASURE;
    unsigned n_conns = plan->n_connections;
    unsigned in_flight = plan->in_flight;
    int rc;

    if (!measures && n_conns < LOAD_BULK_CONNECTIONS)
        n_conns = LOAD_BULK_CONNECTIONS;
    if (!measures && in_flight < LOAD_BULK_IN_FLIGHT)
        in_flight = LOAD_BULK_IN_FLIGHT;
    rc = loop_init(l, crew->load, crew->role, share(n_conns, crew->n, i), in_flight);
    if (rc != 0)
        return rc;
    prng_init(&l->prng, plan->seed + i * UINT64_C(0x9e3779b97f4a7c15));
    draw_init(&l->draw, plan->n_keys, plan->zipf);
    l->next_key = plan->n_keys / crew->n * i;
    l->end_key = i + 1 < crew->n ? plan->n_keys / crew->n * (i + 1) : plan->n_keys;
    if (!measures)
        return 0;
    l->rate = plan->rate / crew->n;
    l->begin_ns = crew->begin_ns;
    l->end_ns = crew->end_ns;
    /* Not from when a thread comes to it: what was due meanwhile was due all the same. */
    l->due_ns = (double)(crew->begin_ns - plan->warm_ns);
    return add_seconds(l->figures, plan);
}

static void *run_loop(void *arg)
{
    struct loop *l = arg;

    (void)loop_run(l);
    return NULL;
}

static void crew_done(struct crew *crew)
{
    for (unsigned i = 0; i < crew->n; i++)
        loop_done(&crew->loops[i]);
    free(crew->loops);
}

static int crew_init(struct crew *crew, struct load *load, enum loop_role role)
{
    const struct load_plan *plan = load->plan;
    int rc = 0;

    *crew = (struct crew){.load = load, .role = role, .n = plan->n_threads};
    load->why[0] = '\0';
    crew->figures = role == LOOP_MEASURE ? load->figures : load->bulk;
    free(crew->figures->seconds);
    memset(crew->figures, 0, sizeof(*crew->figures));
    crew->loops = calloc(crew->n, sizeof(crew->loops[0]));
    if (crew->loops == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < crew->n; i++)
        crew->loops[i].epoll_fd = -1;
    crew->begin_ns = load_now(load) + plan->warm_ns;
    crew->end_ns = crew->begin_ns + plan->run_ns;
    if (role == LOOP_MEASURE)
        rc = add_seconds(crew->figures, plan);
    for (unsigned i = 0; i < crew->n && rc == 0; i++)
        rc = set_up(crew, i);
    return rc;
}

static int begin(struct crew *crew)
{
    for (unsigned i = 0; i < crew->n; i++, crew->n_running++) {
        const int rc = pthread_create(&crew->loops[i].thread, NULL, run_loop, &crew->loops[i]);

        if (rc != 0) {
            for (unsigned k = 0; k < i; k++)
                crew->loops[k].rc = -rc;
            return load_fail(crew->load, -rc, "no thread: %s", strerror(rc));
        }
    }
    return 0;
}

/* ---- looking on ---- */

static void say(const struct crew *crew, uint64_t now_ns)
{
    static const char *const whats[] = {"measuring", "filling", "clearing"};
    const struct load_plan *plan = crew->load->plan;
    const bool measures = crew->role == LOOP_MEASURE;
    struct load_progress p = {.what = whats[crew->role]};

    for (unsigned i = 0; i < crew->n; i++) {
        p.n_done += __atomic_load_n(&crew->loops[i].seen_done, __ATOMIC_RELAXED);
        p.n_errors += __atomic_load_n(&crew->loops[i].seen_errors, __ATOMIC_RELAXED);
        p.n_wrong += __atomic_load_n(&crew->loops[i].seen_wrong, __ATOMIC_RELAXED);
    }
    if (measures && now_ns < crew->begin_ns)
        p.what = "warming up";
    p.gone_ns = now_ns - (measures && now_ns >= crew->begin_ns ? crew->begin_ns
                                                               : crew->begin_ns - plan->warm_ns);
    p.total = measures ? (now_ns < crew->begin_ns ? plan->warm_ns : plan->run_ns) / MILLI_NS
                       : plan->n_keys;
    p.gone = measures ? p.gone_ns / MILLI_NS : p.n_done;
    if (p.gone > p.total)
        p.gone = p.total;
    plan->progress(plan->arg, &p);
}

/* Until then, or until all threads have ended. */
static bool all_ended(struct crew *crew)
{
    while (crew->n_running > 0 &&
           pthread_tryjoin_np(crew->loops[crew->n_running - 1].thread, NULL) == 0)
        crew->n_running--;
    return crew->n_running == 0;
}

static void look_on(struct crew *crew, uint64_t until_ns, uint64_t *say_ns)
{
    uint64_t now_ns;

    while (!all_ended(crew) && (now_ns = load_now(crew->load)) < until_ns) {
        const uint64_t left_ns = until_ns - now_ns;
        const struct timespec ts = {
            .tv_nsec = (long)(left_ns < LOAD_LOOK_NS / 5 ? left_ns : LOAD_LOOK_NS / 5)};

        (void)nanosleep(&ts, NULL);
        if (crew->load->plan->progress != NULL && now_ns >= *say_ns) {
            say(crew, now_ns);
            *say_ns = now_ns + LOAD_SAY_NS;
        }
    }
}

static int end(struct crew *crew)
{
    struct load_figures *f = crew->figures;
    int rc = 0;

    for (unsigned i = 0; i < crew->n; i++) {
        if (rc == 0)
            rc = crew->loops[i].rc;
        figures_merge(f, crew->loops[i].figures);
        for (size_t k = 0; k < crew->loops[i].history.n; k++)
            (void)history_add(&crew->load->history, &crew->loops[i].history.ops[k]);
    }
    f->begin_ns = crew->begin_ns;
    f->end_ns = crew->loops[0].end_ns;
    return rc;
}

static int run(struct crew *crew, void (*before)(void *arg), void (*after)(void *arg), void *arg)
{
    uint64_t say_ns = load_now(crew->load) + LOAD_SAY_NS;
    int rc;

    if (crew->load->plan->world != NULL) {
        for (unsigned i = 0; i < crew->n; i++)
            (void)loop_run(&crew->loops[i]);
        return end(crew);
    }
    rc = begin(crew);
    if (rc == 0 && crew->role == LOOP_MEASURE) {
        look_on(crew, crew->begin_ns, &say_ns);
        if (before != NULL)
            before(arg);
        look_on(crew, crew->end_ns, &say_ns);
        if (after != NULL)
            after(arg);
    }
    look_on(crew, UINT64_MAX, &say_ns);
    return rc != 0 ? rc : end(crew);
}

/* ---- phases ---- */

int load_measure(struct load *load, void (*before)(void *arg), void (*after)(void *arg), void *arg)
{
    struct crew crew;
    int rc = crew_init(&crew, load, LOOP_MEASURE);

    if (rc == 0)
        rc = run(&crew, before, after, arg);
    crew_done(&crew);
    return rc;
}

int load_fill(struct load *load)
{
    struct crew crew;
    int rc = crew_init(&crew, load, LOOP_FILL);

    if (rc == 0)
        rc = run(&crew, NULL, NULL, NULL);
    if (rc == 0 && load->bulk->n_errors > 0)
        rc = load_fail(load, -EIO, "%s", load->bulk->first_error);
    if (rc == 0 && load_n_done(load->bulk) < load->plan->n_keys)
        rc = load_fail(load, -ECANCELED, "ended before that");
    crew_done(&crew);
    return rc;
}

int load_clear(struct load *load, uint64_t *ret_left)
{
    struct crew crew;
    int rc = crew_init(&crew, load, LOOP_CLEAR);

    if (rc == 0)
        rc = run(&crew, NULL, NULL, NULL);
    *ret_left = load->plan->n_keys - (rc == 0 ? load_n_done(load->bulk) : 0);
    crew_done(&crew);
    return rc;
}
