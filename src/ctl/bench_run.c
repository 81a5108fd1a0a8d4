/* The load of `bench`: clients that each keep some requests under way, and a judge of every answer
 * (DOCTOR-4): its value must be one of that key, and where the method promises a linearizable read,
 * no older than the last write that was acknowledged before it began. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/bench_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

/* ---- signals ---- */

static volatile sig_atomic_t signalled;

static void on_signal(int signal_number)
{
    (void)signal_number;
    signalled = 1;
}

void bench_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool bench_was_signalled(void)
{
    return signalled != 0;
}

/* ---- answers ---- */

static void note_gap(struct bench *b, struct bench_side *side, uint64_t now_us)
{
    const uint64_t from_us = side->last_us != 0 ? side->last_us : b->begun_us;

    if (now_us - from_us > side->longest_us) {
        side->longest_us = now_us - from_us;
        side->longest_at_us = from_us;
    }
    side->last_us = now_us;
}

static void note(struct bench *b, const struct bench_call *call, struct ridd_reply *r)
{
    struct bench_side *side = &b->sides[call->kind];

    if (!b->measuring)
        return;
    if (r->status == RIDD_OK) {
        histogram_add(&side->us, r->elapsed_us, 1);
        note_gap(b, side, clock_mono_us());
    } else {
        b->n_errors++;
        b->errors[(unsigned)r->status <= RIDD_NO_MEMORY ? r->status : RIDD_OTHER_ERROR]++;
    }
}

static void take_write(struct bench *b, const struct bench_call *call, const struct ridd_reply *r)
{
    struct bench_key *key = &b->keys[call->key];

    key->writing = false;
    if (r->status == RIDD_OK)
        key->done = call->number;
    else if (!r->definite)
        key->loose = true;
}

static void begin_call(struct bench_call *call);

static void on_reply(struct ridd *client, struct ridd_reply *r, void *arg)
{
    struct bench_call *call = arg;
    struct bench *b = call->bench;

    (void)client;
    note(b, call, r);
    if (call->kind == BENCH_WRITE)
        take_write(b, call, r);
    else if (r->status == RIDD_OK)
        bench_judge(b, call, r);
    if (r->status != RIDD_OK && !b->ending) {
        ridd_reply_free(b->failed);
        b->failed = r;
    } else {
        ridd_reply_free(r);
    }
    if (!b->ending)
        begin_call(call);
}

/* ---- requests ---- */

/* A key that nobody writes, found within some tries; else it is a read. */
static bool choose_write(struct bench *b, unsigned *ret_key)
{
    if (prng_below(&b->prng, 100) >= b->write_percent)
        return false;
    for (unsigned i = 0; i < BENCH_KEY_TRIES; i++) {
        *ret_key = (unsigned)prng_below(&b->prng, b->n_keys);
        if (!b->keys[*ret_key].writing)
            return true;
    }
    for (unsigned i = 0; i < b->n_keys; i++)
        if (!b->keys[i].writing) {
            *ret_key = i;
            return true;
        }
    return false;
}

static void begin_call(struct bench_call *call)
{
    struct bench *b = call->bench;
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    cleanup_free char *value = NULL;
    char name[BENCH_KEY_SIZE];

    call->kind = choose_write(b, &call->key) ? BENCH_WRITE : BENCH_READ;
    if (call->kind == BENCH_WRITE) {
        struct bench_key *key = &b->keys[call->key];

        call->number = ++key->begun;
        key->writing = true;
        op.type = RIDD_OP_PUT;
        value = bench_value(b, call->key, call->number);
        op.value = ridd_value_json(value);
    } else {
        call->key = (unsigned)prng_below(&b->prng, b->n_keys);
        call->number = b->keys[call->key].done;
        op.via = b->via;
    }
    bench_key_name(b, call->key, name);
    op.key = ridd_key(name);
    if (ridd_async_start(call->client->ridd, &op, on_reply, call) == 0)
        b->ending = true; /* no memory: what is under way is taken in, and told */
}

static int open_clients(struct bench *b, int epoll_fd)
{
    const struct ridd_options options = {
        .timeout_ms = b->ctl->timeout_ms,
        .flags = b->via == RIDD_VIA_FOLLOWER || b->via == RIDD_VIA_LOCAL ? RIDD_FLAG_SPREAD : 0};
    const struct ridd_limits limits = {.requests = b->in_flight, .in_flight = b->in_flight};
    /* Who waits for a new leader looks often: the gap is measured. */
    const struct ridd_retry retry = {.backoff_ms = BENCH_BACKOFF_MS,
                                     .backoff_ms_max = BENCH_BACKOFF_MS_MAX};

    for (unsigned i = 0; i < b->n_clients; i++) {
        struct bench_client *c = &b->clients[i];
        struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = c}};

        if (ridd_open(b->ctl->endpoints, &options, &c->ridd) != RIDD_OK ||
            ridd_set_limits(c->ridd, &limits) != RIDD_OK ||
            ridd_set_retry(c->ridd, &retry) != RIDD_OK ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ridd_async_fd(c->ridd), &e) != 0)
            return report_no_memory(b->ctl);
    }
    return CTL_EXIT_OK;
}

/* ---- the loop ---- */

/* How long until the first of them must be looked at, whatever its descriptor says. */
static int patience_ms(const struct bench *b, int most_ms)
{
    for (unsigned i = 0; i < b->n_clients; i++) {
        const int ms = ridd_async_timeout_ms(b->clients[i].ridd);

        if (ms >= 0 && ms < most_ms)
            most_ms = ms;
    }
    return most_ms;
}

static void turn(const struct bench *b, int epoll_fd)
{
    struct epoll_event events[BENCH_CLIENTS_MAX];
    const int n =
        epoll_wait(epoll_fd, events, BENCH_CLIENTS_MAX, patience_ms(b, (int)CTL_PROGRESS_EVERY_MS));

    for (int i = 0; i < n; i++)
        (void)ridd_process(((struct bench_client *)events[i].data.ptr)->ridd);
    for (unsigned i = 0; i < b->n_clients; i++)
        if (ridd_async_timeout_us(b->clients[i].ridd) == 0)
            (void)ridd_process(b->clients[i].ridd);
}

static void say(struct bench *b, struct meter *meter, uint64_t now_us)
{
    const uint64_t gone_us = now_us - b->begun_us;
    const uint64_t n = b->sides[0].us.n + b->sides[1].us.n;

    if (!meter_is_due(meter))
        return;
    meter_say(meter, b->ctl, gone_us, b->run_us, "%.0f of %u s, %.0f a second, %llu errors",
              (double)gone_us / 1e6, b->seconds,
              (double)n * 1e6 / (double)(gone_us > 0 ? gone_us : 1),
              (unsigned long long)b->n_errors);
}

static void run_until(struct bench *b, int epoll_fd, uint64_t end_us, struct meter *meter)
{
    uint64_t now_us;

    while (!b->ending && !bench_was_signalled() && (now_us = clock_mono_us()) < end_us) {
        turn(b, epoll_fd);
        if (b->measuring)
            say(b, meter, now_us);
    }
}

static bool is_idle(const struct bench *b)
{
    for (unsigned i = 0; i < b->n_clients; i++)
        if (ridd_async_pending(b->clients[i].ridd) > 0)
            return false;
    return true;
}

/* Writes under way are waited for: none may come behind what removes the keys. */
static void end_calls(struct bench *b, int epoll_fd)
{
    b->ending = true;
    while (!is_idle(b))
        turn(b, epoll_fd);
}

static void measure(struct bench *b, int epoll_fd)
{
    const uint64_t warm_us = b->run_us / BENCH_WARM_PART;
    struct meter meter;
    uint64_t cpu_us;

    for (unsigned i = 0; i < b->n_clients * b->in_flight; i++)
        begin_call(&b->calls[i]);
    run_until(b, epoll_fd,
              clock_mono_us() + (warm_us < BENCH_WARM_US_MAX ? warm_us : BENCH_WARM_US_MAX), NULL);
    bench_look_at_cost(b, &b->before);
    if (b->ctl->verbose)
        (void)fprintf(stderr, "bench: measuring for %u s\n", b->seconds);
    meter_begin(&meter);
    b->begun_us = clock_mono_us();
    cpu_us = clock_thread_us();
    b->measuring = true;
    run_until(b, epoll_fd, b->begun_us + b->run_us, &meter);
    b->measuring = false;
    b->end_us = clock_mono_us();
    b->cpu_us = clock_thread_us() - cpu_us;
    meter_end(&meter);
    bench_look_at_cost(b, &b->after);
    b->interrupted = bench_was_signalled();
    end_calls(b, epoll_fd);
    for (unsigned i = 0; i < 2; i++) /* a silence that did not end */
        if (b->sides[i].us.n > 0)
            note_gap(b, &b->sides[i], b->end_us);
}

int bench_run(struct bench *b)
{
    cleanup_fd int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int exit_code;

    if (epoll_fd < 0)
        return report(b->ctl, CTL_EXIT_SYSTEM, "epoll: %s", strerror(errno));
    for (unsigned i = 0; i < b->n_clients * b->in_flight; i++)
        b->calls[i] = (struct bench_call){.bench = b, .client = &b->clients[i / b->in_flight]};
    exit_code = open_clients(b, epoll_fd);
    if (exit_code == CTL_EXIT_OK)
        measure(b, epoll_fd);
    b->ending = true;
    for (unsigned i = 0; i < b->n_clients; i++)
        ridd_close(b->clients[i].ridd);
    return exit_code;
}

/* ---- what it costs the nodes ---- */

static uint64_t counter(const json_t *status, const char *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(json_object_get(status, object), name));
}

void bench_look_at_cost(const struct bench *b, struct bench_cost *ret)
{
    struct answer answers[RIDD_ENDPOINTS_MAX];

    memset(ret, 0, sizeof(*ret));
    if (ask_all(b->ctl, b->ctl->nodes, b->ctl->n_nodes, "{\"type\":\"status\"}",
                b->ctl->timeout_ms != 0 ? b->ctl->timeout_ms : CTL_ASK_MS, answers) != CTL_EXIT_OK)
        return;
    ret->known = true;
    for (unsigned i = 0; i < b->ctl->n_nodes; i++) {
        const struct ridd_reply *r = answers[i].reply;
        cleanup_json json_t *status =
            r != NULL && r->status == RIDD_OK ? json_loadb(r->json, r->json_len, 0, NULL) : NULL;

        ret->known &= status != NULL;
        ret->fsyncs += counter(status, "log", "fsyncs");
        ret->log_bytes += counter(status, "log", "bytes_written");
        ret->rounds += counter(status, "reads", "rounds");
    }
    ask_done(answers, b->ctl->n_nodes);
}
