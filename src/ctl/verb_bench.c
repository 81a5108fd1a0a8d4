/* bench: keys of its own, a load on them for some seconds, what it found, and the keys are gone. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/seed.h"
#include "ctl/bench_int.h"
#include "ctl/command_line_int.h"
#include "ctl/keys_int.h"

#include "base/banned.h"

/* Of mixed: ten percent are written, as in what is usual to be measured (YCSB B has five). */
static const struct {
    const char *name;
    const char *also;
    enum ridd_via via;
    unsigned write_percent;
    bool linearizable;
} methods[] = {
    {"read_index", NULL, RIDD_VIA_READ_INDEX, 0, true},
    {"log", "read_via_log", RIDD_VIA_LOG, 0, true},
    {"lease", "lease_read", RIDD_VIA_LEASE, 0, true},
    {"follower", "follower_read", RIDD_VIA_FOLLOWER, 0, true},
    {"local", "local_read", RIDD_VIA_LOCAL, 0, false},
    {"write", "put", RIDD_VIA_READ_INDEX, 100, true},
    {"mixed", NULL, RIDD_VIA_READ_INDEX, BENCH_MIXED_PERCENT, true},
};

const char *ctl_bench_word(unsigned i)
{
    return i < sizeof(methods) / sizeof(methods[0]) ? methods[i].name : NULL;
}

static int take_method(struct bench *b)
{
    const char *name = b->ctl->method != NULL ? b->ctl->method : "read_index";

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (!ctl_same_name(name, methods[i].name) && !ctl_same_name(name, methods[i].also))
            continue;
        b->method = methods[i].name;
        b->via = methods[i].via;
        b->write_percent = methods[i].write_percent;
        b->linearizable = methods[i].linearizable;
        return CTL_EXIT_OK;
    }
    return report(b->ctl, CTL_EXIT_USAGE,
                  "no such method '%.60s'; --method takes read_index, log, lease, follower, local, "
                  "write, mixed",
                  name);
}

static unsigned or_else(unsigned given, unsigned otherwise)
{
    return given != 0 ? given : otherwise;
}

/* What stands in a value beside the padding is some forty bytes; less is not to be had. */
static int make_room(struct bench *b)
{
    cleanup_free char *shortest = NULL;
    size_t len;

    b->padding = calloc(1, b->value_bytes + 1);
    b->keys = calloc(b->n_keys, sizeof(b->keys[0]));
    b->clients = calloc(b->n_clients, sizeof(b->clients[0]));
    b->calls = calloc((size_t)b->n_clients * b->in_flight, sizeof(b->calls[0]));
    if (b->padding == NULL || b->keys == NULL || b->clients == NULL || b->calls == NULL)
        return report_no_memory(b->ctl);
    shortest = bench_value(b, 0, 0);
    if (shortest == NULL)
        return report_no_memory(b->ctl);
    len = strlen(shortest);
    if (b->value_bytes > len)
        memset(b->padding, 'x', b->value_bytes - len);
    else
        b->value_bytes = (unsigned)len;
    return CTL_EXIT_OK;
}

static int set_up(struct bench *b)
{
    const struct ctl *ctl = b->ctl;
    const uint64_t seed = seed_fresh();

    b->n_clients = or_else(ctl->clients, BENCH_CLIENTS_DEFAULT);
    b->in_flight = or_else(ctl->in_flight, BENCH_IN_FLIGHT_DEFAULT);
    b->seconds = or_else(ctl->seconds, BENCH_SECONDS_DEFAULT);
    b->run_us = b->seconds * UINT64_C(1000) * 1000;
    b->n_keys = or_else(ctl->keys, BENCH_KEYS_DEFAULT);
    b->value_bytes = or_else(ctl->value_bytes, BENCH_VALUE_BYTES_DEFAULT);
    if (b->write_percent == 100 && b->n_keys < b->n_clients * b->in_flight)
        return report(ctl, CTL_EXIT_USAGE,
                      "%u writes under way need as many keys: --keys %u, or fewer --clients or "
                      "--in-flight",
                      b->n_clients * b->in_flight, b->n_clients * b->in_flight);
    prng_init(&b->prng, seed);
    (void)snprintf(b->run, sizeof(b->run), "%08x-%04x", (unsigned)time(NULL),
                   (unsigned)(prng_next(&b->prng) & 0xffffu));
    return make_room(b);
}

/* Nothing was answered: why not is all there is to say. */
static int exit_code_of(const struct bench *b)
{
    if (b->n_wrong > 0)
        return CTL_EXIT_NOT_LINEARIZABLE;
    if (b->sides[BENCH_READ].us.n + b->sides[BENCH_WRITE].us.n == 0 && b->failed != NULL)
        return report_failure(b->ctl, b->failed, NULL);
    return CTL_EXIT_OK;
}

static int run(struct bench *b)
{
    struct keys_cluster cluster;
    int exit_code = keys_open(b->ctl, RIDD_FLAG_MONOTONIC, &cluster, &b->ridd);

    if (exit_code == CTL_EXIT_OK)
        exit_code = bench_prepare(b);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    bench_catch_signals();
    exit_code = bench_fill(b);
    if (exit_code == CTL_EXIT_OK && bench_was_signalled())
        exit_code = report(b->ctl, CTL_EXIT_AGAIN, "ended before anything was measured");
    if (exit_code == CTL_EXIT_OK)
        exit_code = bench_run(b);
    bench_remove(b);
    if (exit_code == CTL_EXIT_OK)
        exit_code = bench_report(b);
    return exit_code == CTL_EXIT_OK ? exit_code_of(b) : exit_code;
}

int verb_bench(struct ctl *ctl)
{
    cleanup_free struct bench *b = calloc(1, sizeof(*b));
    int exit_code;

    if (b == NULL)
        return report_no_memory(ctl);
    b->ctl = ctl;
    exit_code = take_method(b);
    if (exit_code == CTL_EXIT_OK)
        exit_code = set_up(b);
    if (exit_code == CTL_EXIT_OK)
        exit_code = run(b);
    ridd_close(b->ridd);
    ridd_reply_free(b->failed);
    free(b->keys);
    free(b->padding);
    free(b->clients);
    free(b->calls);
    return exit_code;
}
