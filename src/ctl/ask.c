/* The same question to many nodes at once, so that a dead one costs nobody else's time. One thread
 * per node: the library blocks, and looking up a name cannot be bounded. A thread that is still
 * looking when the time is over is left behind; what it holds is counted and freed by whoever
 * leaves last. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

struct ask {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    unsigned n_running;     /* threads that have not answered */
    unsigned n_refs;        /* threads and the asker */
    unsigned timeout_ms;
    char json[256];
    struct ridd_reply *replies[RIDD_ENDPOINTS_MAX]; /* owned until the asker takes them */
};

struct ask_one {
    struct ask *ask; /* counted */
    unsigned place;
    char endpoint[RIDD_ENDPOINT_SIZE];
};

static void ask_unref(struct ask *ask)
{
    bool last;

    (void)pthread_mutex_lock(&ask->mutex);
    last = --ask->n_refs == 0;
    (void)pthread_mutex_unlock(&ask->mutex);
    if (!last)
        return;
    for (unsigned i = 0; i < RIDD_ENDPOINTS_MAX; i++)
        ridd_reply_free(ask->replies[i]);
    (void)pthread_cond_destroy(&ask->changed);
    (void)pthread_mutex_destroy(&ask->mutex);
    free(ask);
}

static void *ask_thread(void *arg)
{
    struct ask_one *one = arg;
    struct ask *ask = one->ask;
    struct ridd_options options = {.timeout_ms = ask->timeout_ms,
                                   .connect_timeout_ms = ask->timeout_ms};
    struct ridd_reply *reply = NULL;
    struct ridd *client;

    if (ridd_open(one->endpoint, &options, &client) == RIDD_OK) {
        reply = ridd_request_at(client, one->endpoint, ask->json, RIDD_KIND_READ, 0);
        ridd_close(client);
    }
    (void)pthread_mutex_lock(&ask->mutex);
    ask->replies[one->place] = reply;
    ask->n_running--;
    (void)pthread_cond_signal(&ask->changed);
    (void)pthread_mutex_unlock(&ask->mutex);
    ask_unref(ask);
    free(one);
    return NULL;
}

static struct ask *ask_new(const char *json, unsigned timeout_ms)
{
    struct ask *ask = calloc(1, sizeof(*ask));
    pthread_condattr_t attr;

    if (ask == NULL)
        return NULL;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&ask->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&ask->mutex, NULL);
    ask->n_refs = 1;
    ask->timeout_ms = timeout_ms;
    (void)snprintf(ask->json, sizeof(ask->json), "%s", json);
    return ask;
}

static bool ask_start(struct ask *ask, unsigned place, const char *endpoint)
{
    struct ask_one *one = calloc(1, sizeof(*one));
    pthread_t thread;

    if (one == NULL)
        return false;
    one->ask = ask;
    one->place = place;
    (void)snprintf(one->endpoint, sizeof(one->endpoint), "%s", endpoint);
    (void)pthread_mutex_lock(&ask->mutex);
    ask->n_refs++;
    ask->n_running++;
    (void)pthread_mutex_unlock(&ask->mutex);
    if (pthread_create(&thread, NULL, ask_thread, one) == 0) {
        (void)pthread_detach(thread);
        return true;
    }
    (void)pthread_mutex_lock(&ask->mutex);
    ask->n_refs--;
    ask->n_running--;
    (void)pthread_mutex_unlock(&ask->mutex);
    free(one);
    return false;
}

/* Until all have answered, or the time is over. */
static void ask_wait(struct ask *ask)
{
    uint64_t until_us = clock_mono_us() + (ask->timeout_ms + CTL_ASK_GRACE_MS) * UINT64_C(1000);
    const struct timespec until = clock_timer_at(until_us);

    while (ask->n_running > 0)
        if (pthread_cond_timedwait(&ask->changed, &ask->mutex, &until) != 0)
            break;
}

int ask_all(const struct ctl *ctl, const struct ctl_node *nodes, unsigned n, const char *json,
            unsigned timeout_ms, struct answer *ret_answers)
{
    struct ask *ask = ask_new(json, timeout_ms);
    bool started = true;

    if (ask == NULL)
        return report_no_memory(ctl);
    for (unsigned i = 0; i < n && started; i++)
        started = ask_start(ask, i, nodes[i].endpoint);
    (void)pthread_mutex_lock(&ask->mutex);
    if (started)
        ask_wait(ask);
    for (unsigned i = 0; i < n; i++) {
        ret_answers[i].reply = ask->replies[i];
        ask->replies[i] = NULL;
    }
    (void)pthread_mutex_unlock(&ask->mutex);
    ask_unref(ask);
    if (!started) {
        ask_done(ret_answers, n);
        return report(ctl, CTL_EXIT_SYSTEM,
                      "cannot start a thread for each node: out of memory or threads");
    }
    return CTL_EXIT_OK;
}

void ask_done(struct answer *answers, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ridd_reply_free(answers[i].reply);
        answers[i].reply = NULL;
    }
}
