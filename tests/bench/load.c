/* A load generator for the client port: C connections with P requests in flight each, for S
 * seconds, one thread.
 *
 *     tests/bench/load --addr 127.0.0.1:7400 --connections 50 --in-flight 16 --seconds 5 \
 *                      --op read_index
 *
 * Every reply is matched to its request and timed from the moment the request was handed to the
 * kernel; errors are counted by their name. It prints one line of figures. By itself it speaks the
 * protocol by hand (load-raw.c); with --libridd, a list of addresses, --spread, --prefer or
 * --session it is C clients of libridd (load-libridd.c), which find the leader and repeat what may
 * be repeated, and times are those of whole calls. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/load.h"

struct load load = {.addr = "127.0.0.1:7400",
                    .n_connections = 50,
                    .in_flight = 16,
                    .seconds = 5,
                    .op = "read_index",
                    .n_keys = 1000,
                    .value_bytes = 16};

/* Latencies in buckets of 1/16 of a power of two: 6 % wide at most. */
#define N_BUCKETS 640u
static uint64_t buckets[N_BUCKETS];
static uint64_t n_done;
static uint64_t n_errors;
static uint64_t max_us;
static char first_error[256];

static unsigned bucket_of(uint64_t us)
{
    unsigned log;

    if (us < 16)
        return (unsigned)us;
    log = 63u - (unsigned)__builtin_clzll(us);
    return (log - 3) * 16 + (unsigned)((us >> (log - 4)) & 15u);
}

static uint64_t bucket_top(unsigned b)
{
    unsigned log = b / 16 + 3;

    if (b < 16)
        return b;
    return ((uint64_t)16 + b % 16 + 1) << (log - 4);
}

static uint64_t percentile(double p)
{
    uint64_t want = (uint64_t)((double)n_done * p / 100.0 + 0.5);
    uint64_t seen = 0;

    for (unsigned i = 0; i < N_BUCKETS; i++) {
        seen += buckets[i];
        if (seen >= want && seen > 0)
            return bucket_top(i) < max_us ? bucket_top(i) : max_us;
    }
    return max_us;
}

void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

const char *load_next_op(void)
{
    if (load.write_percent > 0 && prng_below(&load.prng, 100) < load.write_percent)
        return "write";
    return load.op;
}

unsigned load_next_key(void)
{
    return (unsigned)prng_below(&load.prng, load.n_keys);
}

void load_note(uint64_t us, const char *error, size_t error_len)
{
    buckets[bucket_of(us)]++;
    n_done++;
    if (us > max_us)
        max_us = us;
    if (error != NULL && n_errors++ == 0)
        (void)snprintf(first_error, sizeof(first_error), "%.*s", (int)error_len, error);
}

static void print_figures(uint64_t run_us)
{
    printf("op=%s write_percent=%u connections=%u in_flight=%u seconds=%.2f per_s=%.0f p50_us=%llu "
           "p99_us=%llu "
           "p999_us=%llu max_us=%llu errors=%llu\n",
           load.op, load.write_percent, load.n_connections, load.in_flight, (double)run_us / 1e6,
           (double)n_done * 1e6 / (double)run_us, (unsigned long long)percentile(50),
           (unsigned long long)percentile(99), (unsigned long long)percentile(99.9),
           (unsigned long long)max_us, (unsigned long long)n_errors);
    if (n_errors > 0)
        printf("first error: %s\n", first_error);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"addr", required_argument, NULL, 'a'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"in-flight", required_argument, NULL, 'f'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"op", required_argument, NULL, 'o'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"value-bytes", required_argument, NULL, 'v'},
                                            {"write-percent", required_argument, NULL, 'w'},
                                            {"libridd", no_argument, NULL, 'l'},
                                            {"spread", no_argument, NULL, 'S'},
                                            {"session", no_argument, NULL, 'x'},
                                            {"prefer", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'a':
            load.addr = optarg;
            break;
        case 'c':
            load.n_connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'f':
            load.in_flight = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            load.seconds = strtod(optarg, NULL);
            break;
        case 'o':
            load.op = optarg;
            break;
        case 'k':
            load.n_keys = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'v':
            load.value_bytes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            load.write_percent = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'l':
            load.with_libridd = true;
            break;
        case 'S':
            load.spread = true;
            break;
        case 'x':
            load.session = true;
            break;
        case 'p':
            load.prefer = optarg;
            break;
        default:
            fprintf(stderr, "usage: load [--addr HOST:PORT,...] [--connections C] [--in-flight P] "
                            "[--seconds S] [--op TYPE]\n"
                            "            [--keys K] [--value-bytes N] [--write-percent W]\n"
                            "            [--libridd] [--spread] [--session] [--prefer HOST:PORT]\n");
            return 64;
        }
    }
    if (load.n_connections == 0 || load.in_flight == 0 || load.in_flight > IN_FLIGHT_MAX ||
        load.n_keys == 0 || load.value_bytes > 4096) {
        fprintf(stderr,
                "load: out of range: connections and keys from 1, in-flight 1 to %u, value-bytes "
                "to 4096\n",
                IN_FLIGHT_MAX);
        return 64;
    }
    load.value = malloc(load.value_bytes + 1);
    if (load.value == NULL)
        die("memory");
    memset(load.value, 'v', load.value_bytes);
    load.value[load.value_bytes] = '\0';
    prng_init(&load.prng, 1);
    if (load.with_libridd || load.spread || load.session || load.prefer != NULL ||
        strchr(load.addr, ',') != NULL)
        print_figures(load_libridd());
    else
        print_figures(load_raw());
    free(load.value);
    return 0;
}
