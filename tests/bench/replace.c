/* Members that are replaced under load: who notices?
 *
 *     RIDD_BENCH_N=200 tests/bench/replace
 *
 * Three nodes of this build on loopback, and a place for a fourth. In each of RIDD_BENCH_N (20)
 * replacements a node that waits with --join takes the place of a member (`ridctl member replace`), the
 * leader's one time in three; what was replaced is wiped, and is the next that
 * comes. replace_running: the member runs until it is told that it is none any more.
 * replace_dead: it is killed first (SIGKILL), as a server that is lost.
 *
 * Clients use libridd: RIDD_BENCH_CLIENTS (4) threads, one request at a time, reads and writes in
 * turns, of a key of its own each. A read may be tried again until its time (5 s) is over, as
 * libridd does; a read that fails in spite of that is a failed one, the goal is none. A write is not
 * repeated once it may have happened. Each read is compared with what the client wrote.
 *
 * The goal for the slowest write is two election timeouts, while members run. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/ridd.h"
#include "cluster/harness.h"

#define HEARTBEAT_MS 50u
#define ELECTION_MS  500u
#define PLACES       4u
#define CLIENTS_MAX  32u
#define TRIES_MAX    20u

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* ---- clients ---- */

struct one {
    pthread_t thread;
    unsigned number;
    const char *endpoints;
    uint64_t n_reads;
    uint64_t n_reads_failed;
    uint64_t n_writes;
    uint64_t n_writes_failed; /* definitely not done */
    uint64_t n_writes_unknown;
    uint64_t n_wrong;
    uint64_t slowest_read_us;
    uint64_t slowest_write_us;
    uint64_t n_slow_writes; /* above two election timeouts */
    uint64_t n_slow_reads;
    char last_failure[200];
};

static atomic_bool stopping;

static void note(struct one *o, const struct ridd_reply *r)
{
    (void)snprintf(o->last_failure, sizeof(o->last_failure), "%s: %.160s",
                   ridd_status_name(r->status), r->text);
}

static void read_once(struct one *o, struct ridd *c, const char *key, long acked, long tried)
{
    struct ridd_reply *r = ridd_get(c, ridd_key(key), RIDD_VIA_READ_INDEX);
    const long value = r->value != NULL ? strtol(r->value, NULL, 10) : 0;

    o->n_reads++;
    if (r->elapsed_us > o->slowest_read_us)
        o->slowest_read_us = r->elapsed_us;
    o->n_slow_reads += r->elapsed_us > 2000u * ELECTION_MS;
    if (r->status != RIDD_OK) {
        o->n_reads_failed++;
        note(o, r);
    } else if (value < acked || value > tried) {
        o->n_wrong++;
    }
    ridd_reply_free(r);
}

static void *live(void *arg)
{
    struct one *o = arg;
    struct ridd *c = NULL;
    long acked = 0;
    long tried = 0;
    char key[16];

    (void)snprintf(key, sizeof(key), "c%u", o->number);
    if (ridd_open(o->endpoints, NULL, &c) != RIDD_OK)
        return NULL;
    while (!atomic_load(&stopping)) {
        struct ridd_reply *r;
        char value[24];

        (void)snprintf(value, sizeof(value), "%ld", ++tried);
        r = ridd_put(c, ridd_key(key), value);
        o->n_writes++;
        if (r->elapsed_us > o->slowest_write_us)
            o->slowest_write_us = r->elapsed_us;
        o->n_slow_writes += r->elapsed_us > 2000u * ELECTION_MS;
        if (r->status == RIDD_OK)
            acked = tried;
        else if (r->status == RIDD_OUTCOME_UNKNOWN)
            o->n_writes_unknown++;
        else
            o->n_writes_failed++;
        if (r->status != RIDD_OK)
            note(o, r);
        ridd_reply_free(r);
        read_once(o, c, key, acked, tried);
    }
    ridd_close(c);
    return NULL;
}

/* ---- replacing ---- */

struct bench {
    struct cluster *c;
    unsigned spare; /* the place that is no member */
    struct one clients[CLIENTS_MAX];
    unsigned n_clients;
    char endpoints[200];
    uint64_t slowest_us; /* replacement */
    uint64_t sum_us;
    unsigned n_again;   /* commands that had to be repeated */
    unsigned n_leaders; /* of the replaced */
};

static void begin(struct bench *b)
{
    struct cluster *c = cluster_new(PLACES, NULL);
    char conf[100];
    size_t len = 0;

    memset(b, 0, sizeof(*b));
    b->c = c;
    b->spare = PLACES - 1;
    (void)snprintf(conf, sizeof(conf), "[raft]\nheartbeat_ms = %u\nelection_ms = %u\n",
                   HEARTBEAT_MS, ELECTION_MS);
    c->n = PLACES - 1; /* the founders */
    cluster_write_conf(c, "test", conf);
    cluster_init(c);
    cluster_start(c);
    c->n = PLACES;
    c->n_members = PLACES - 1;
    cluster_write_conf(c, "test", conf);
    for (unsigned i = 0; i < PLACES; i++)
        len += (size_t)snprintf(b->endpoints + len, sizeof(b->endpoints) - len, "%s%s",
                                i > 0 ? "," : "", c->nodes[i].addr);
    b->n_clients = number("RIDD_BENCH_CLIENTS", 4);
    if (b->n_clients > CLIENTS_MAX)
        b->n_clients = CLIENTS_MAX;
    atomic_store(&stopping, false);
    for (unsigned i = 0; i < b->n_clients; i++) {
        b->clients[i] = (struct one){.number = i, .endpoints = b->endpoints};
        assert_int_equal(pthread_create(&b->clients[i].thread, NULL, live, &b->clients[i]), 0);
    }
}

static void replace(struct bench *b, unsigned old, bool kills)
{
    struct cluster *c = b->c;
    const struct node *fresh = &c->nodes[b->spare];
    const char *const argv[] = {
        ridctl_path(),      "-e",        b->endpoints,     "member",    "replace",
        c->nodes[old].name, fresh->name, fresh->peer_addr, fresh->addr, NULL};
    cleanup_buf struct buf out = BUF_INIT;
    uint64_t began_us;
    int code = 1;

    b->n_leaders += cluster_leader(c) == old;
    tree_remove(fresh->dir, false);
    node_spawn_with(c, b->spare, "--join");
    node_wait_logged(c, b->spare, "waiting to be added");
    if (kills)
        node_kill(c, old);
    began_us = clock_mono_us();
    for (unsigned i = 0; code != 0 && i < TRIES_MAX; i++) {
        code = run_program_within(argv, &out, 60000);
        b->n_again += code != 0;
    }
    expect_code(code, 0, &out);
    began_us = clock_mono_us() - began_us;
    b->sum_us += began_us;
    if (began_us > b->slowest_us)
        b->slowest_us = began_us;
    if (!kills)
        assert_int_equal(node_wait_exit(c, old), 0);
    b->spare = old;
}

/* The leader one time in three, and otherwise none. */
static unsigned choose(const struct bench *b, unsigned i)
{
    const unsigned leader = cluster_leader(b->c);
    unsigned old = (b->spare + 1) % PLACES;

    if (i % 3 == 0)
        return leader;
    return old == leader ? (old + 1) % PLACES : old;
}

static void end(struct bench *b, const char *what, unsigned n)
{
    struct one all = {0};

    atomic_store(&stopping, true);
    for (unsigned i = 0; i < b->n_clients; i++) {
        const struct one *o = &b->clients[i];

        (void)pthread_join(o->thread, NULL);
        all.n_reads += o->n_reads;
        all.n_reads_failed += o->n_reads_failed;
        all.n_writes += o->n_writes;
        all.n_writes_failed += o->n_writes_failed;
        all.n_writes_unknown += o->n_writes_unknown;
        all.n_wrong += o->n_wrong;
        all.n_slow_reads += o->n_slow_reads;
        all.n_slow_writes += o->n_slow_writes;
        if (o->slowest_read_us > all.slowest_read_us)
            all.slowest_read_us = o->slowest_read_us;
        if (o->slowest_write_us > all.slowest_write_us)
            all.slowest_write_us = o->slowest_write_us;
        if (o->last_failure[0] != '\0')
            memcpy(all.last_failure, o->last_failure, sizeof(all.last_failure));
    }
    (void)printf("%s: replacements=%u of_leaders=%u mean_ms=%llu slowest_ms=%llu again=%u\n", what,
                 n, b->n_leaders, (unsigned long long)(b->sum_us / 1000 / (n > 0 ? n : 1)),
                 (unsigned long long)b->slowest_us / 1000, b->n_again);
    (void)printf("%s: reads=%llu failed=%llu (goal 0) slowest_ms=%llu above_2_elections=%llu\n",
                 what, (unsigned long long)all.n_reads, (unsigned long long)all.n_reads_failed,
                 (unsigned long long)all.slowest_read_us / 1000,
                 (unsigned long long)all.n_slow_reads);
    (void)printf("%s: writes=%llu failed=%llu unknown=%llu slowest_ms=%llu (goal %u) "
                 "above_2_elections=%llu\n",
                 what, (unsigned long long)all.n_writes, (unsigned long long)all.n_writes_failed,
                 (unsigned long long)all.n_writes_unknown,
                 (unsigned long long)all.slowest_write_us / 1000, 2 * ELECTION_MS,
                 (unsigned long long)all.n_slow_writes);
    if (all.last_failure[0] != '\0')
        (void)printf("%s: last failure: %s\n", what, all.last_failure);
    (void)fflush(stdout);
    assert_int_equal(all.n_wrong, 0);
    cluster_free(b->c);
}

static void run(const char *what, bool kills)
{
    const unsigned n = number("RIDD_BENCH_N", 20);
    struct bench b;

    (void)alarm(0); /* two hundred take longer than any test */
    begin(&b);
    for (unsigned i = 0; i < n; i++)
        replace(&b, choose(&b, i), kills);
    end(&b, what, n);
}

CASE(bench__replace_running)
{
    run("replace_running", false);
}

CASE(bench__replace_dead)
{
    run("replace_dead", true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(bench__replace_running),
        HARNESS_TEST(bench__replace_dead),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
