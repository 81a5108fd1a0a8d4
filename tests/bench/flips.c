/* Bits that flip in the file of the state while its node runs: how long until that is found, and
 * whether anybody is answered wrongly meanwhile.
 *
 *     make tests/bench/flips && tests/bench/flips          both settings
 *     tests/bench/flips flips__scrub_default               one of them (flips__scrub_64)
 *
 * Three nodes; keys with values of 20 bytes to 9 kilobytes, a third of them deleted. One bit is
 * flipped at a time, in any page of any node, often in its header, and until it is found a client
 * reads keys at the leader, those that are there and those that are not. A flip is without effect
 * when two passes over the file have ended since. One line per setting of [state] scrub:
 *
 *   flips          tried: found by a node in its own file; ended a node that LMDB led out of the map (the
 *                  next start found it, or its walk nothing wrong any more); without effect
 *   reads          answered; wrong: with another value than was written; errors: asked again elsewhere
 *   until found    seconds, of those found
 *   right          of all keys, read at the end
 *
 * A test that takes longer than a quarter of an hour is ended: RIDD_TEST_SLOW makes that longer.
 * RIDD_BENCH_FLIPS is how many (30), RIDD_BENCH_SEED another choice. Ends with 1 when a read was
 * answered wrongly. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/prng.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define N_KEYS    3000u
#define AT_ONCE   100u
#define READS     50u
#define PAGE      4096u
#define FLIPS_MAX 10000u

struct run {
    struct cluster *c;
    struct prng p;
    unsigned n_flips;
    unsigned n_found;
    unsigned n_died;
    unsigned n_harmless;
    unsigned n_reads;
    unsigned n_wrong;
    unsigned n_errors;
    double found_s[FLIPS_MAX];
};

static struct run run;

/* ---- keys ---- */

static bool is_there(unsigned i)
{
    return i % 3 != 0;
}

static unsigned length_of(unsigned i)
{
    static const unsigned lengths[] = {20, 200, 200, 200, 3000, 50, 20, 200, 200, 9000};

    return lengths[i * 7919 % 10];
}

static void ask_for(struct client *cl, unsigned i, bool writes)
{
    if (writes)
        client_sendf(cl,
                     "{\"type\":\"write\",\"msg_id\":%u,\"key\":\"k%04u\",\"value\":\"%u %0*u\"}",
                     i, i, i, (int)length_of(i), 0u);
    else
        client_sendf(cl, "{\"type\":\"delete\",\"msg_id\":%u,\"key\":\"k%04u\"}", i, i);
}

/* To be done again until all is: a leader may change. */
static bool change_some(struct cluster *c, unsigned from, bool writes)
{
    struct client *cl = client_open(c, cluster_leader(c));
    unsigned n_ok = 0;
    unsigned n = 0;

    for (unsigned i = from; i < from + AT_ONCE && i < N_KEYS; i++)
        if (writes || !is_there(i)) {
            ask_for(cl, i, writes);
            n++;
        }
    for (unsigned i = 0; i < n; i++) {
        const char *text = client_recv_within(cl, 5000);

        n_ok += text != NULL && strstr(text, writes ? "write_ok" : "delete_ok") != NULL;
        if (text == NULL)
            break;
    }
    client_close(cl);
    return n_ok == n;
}

static void fill(struct cluster *c)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < N_KEYS; i += AT_ONCE)
            wait_until(change_some(c, i, pass == 0), "the keys");
    (void)cluster_settle(c);
}

/* 1: as it was; 0: no answer; -1: another. */
static int judge(const char *text, unsigned i)
{
    char beginning[32];
    const char *value;

    if (text == NULL || strstr(text, "\"type\":\"read_index_ok\"") == NULL)
        return 0;
    value = strstr(text, "\"value\":");
    if (value == NULL)
        return -1;
    value += strlen("\"value\":");
    if (!is_there(i))
        return strncmp(value, "null", 4) == 0 ? 1 : -1;
    (void)snprintf(beginning, sizeof(beginning), "\"%u ", i);
    if (strncmp(value, beginning, strlen(beginning)) != 0)
        return -1;
    value += strlen(beginning);
    return strspn(value, "0") == length_of(i) && value[length_of(i)] == '"' ? 1 : -1;
}

static int read_one(struct client *cl, unsigned i)
{
    client_sendf(cl, "{\"type\":\"read_index\",\"key\":\"k%04u\"}", i);
    return judge(client_recv_within(cl, 2000), i);
}

static void read_some(struct run *r)
{
    struct client *cl = client_open(r->c, cluster_leader(r->c));

    for (unsigned k = 0; k < READS; k++) {
        const unsigned i = (unsigned)prng_below(&r->p, N_KEYS);
        const int found = read_one(cl, i);

        r->n_reads += found != 0;
        r->n_wrong += found < 0;
        r->n_errors += found == 0;
        if (found < 0)
            print_message("WRONG: k%04u: %.200s\n", i, (const char *)cl->line.data);
        if (found == 0)
            break; /* an answer that comes late must not be taken for that of the next question */
    }
    client_close(cl);
}

/* ---- one flip ---- */

static void flip(struct run *r, unsigned node)
{
    unsigned char page[16];
    unsigned char byte;
    char path[512];
    uint64_t n_pages;
    uint64_t pgno;
    uint64_t at;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/db/data.mdb", r->c->nodes[node].dir);
    n_pages = file_size(path) / PAGE;
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    do { /* one that was written once: inner pages of long values have no number */
        pgno = prng_below(&r->p, n_pages);
        assert_int_equal(pread(fd, page, sizeof(page), (off_t)(pgno * PAGE)), sizeof(page));
    } while (pgno >= 2 && get_u64(page) != pgno);
    at = pgno * PAGE + prng_below(&r->p, prng_below(&r->p, 2) == 0 ? 64 : PAGE);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= (unsigned char)(1u << prng_below(&r->p, 8));
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    (void)close(fd);
}

static bool has_ended(const struct node *node)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)node->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == node->pid;
}

/* -1: it does not say. */
static int64_t scrubbed_s(struct cluster *c, unsigned node)
{
    json_t *status = node_status(c, node);
    int64_t s = reply_int(json_object_get(status, "state"), "scrubbed_s_ago");

    json_decref(status);
    return s;
}

struct watch {
    int64_t ago_s;
    unsigned n_passes;
};

/* The second that ends began after the flip. */
static bool is_harmless(struct run *r, unsigned node, struct watch *w)
{
    const int64_t ago_s = scrubbed_s(r->c, node);

    if (ago_s >= 0 && ago_s < w->ago_s)
        w->n_passes++;
    w->ago_s = ago_s;
    return w->n_passes >= 2;
}

static void note_found(struct run *r, uint64_t begin_ms)
{
    r->found_s[r->n_found++] = (double)(now_ms() - begin_ms) / 1000.0;
}

/* Reads go on meanwhile. A state that is damaged again soon after it was made waits for a while. */
static void wait_for_rebuilt(struct run *r, unsigned node, unsigned before)
{
    const uint64_t deadline_ms = now_ms() + slow(2 * REBUILD_AGAIN_US / 1000);

    while (node_log_lines(r->c, node, "event=state_rebuilt", NULL) <= before &&
           !has_ended(&r->c->nodes[node])) {
        if (now_ms() > deadline_ms)
            harness_fail("%s does not make its state again", r->c->nodes[node].name);
        read_some(r);
    }
}

/* One node after the other. */
static void one_flip(struct run *r)
{
    const unsigned node = r->n_flips % r->c->n;
    const unsigned damaged = node_log_lines(r->c, node, "event=state_damaged", NULL);
    const unsigned rebuilt = node_log_lines(r->c, node, "event=state_rebuilt", NULL);
    struct watch w = {scrubbed_s(r->c, node), 0};
    const uint64_t begin_ms = now_ms();

    flip(r, node);
    r->n_flips++;
    for (;;) {
        if (has_ended(&r->c->nodes[node])) {
            (void)node_wait_exit(r->c, node);
            node_start(r->c, node);
            r->n_died++;
            break;
        }
        if (node_log_lines(r->c, node, "event=state_damaged", NULL) > damaged) {
            note_found(r, begin_ms);
            wait_for_rebuilt(r, node, rebuilt);
            break;
        }
        if (is_harmless(r, node, &w)) {
            r->n_harmless++;
            break;
        }
        read_some(r);
    }
    if (has_ended(&r->c->nodes[node])) {
        (void)node_wait_exit(r->c, node);
        node_start(r->c, node);
    }
    (void)cluster_settle(r->c);
}

/* ---- a setting ---- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

static unsigned count_right(struct run *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < N_KEYS; i++) {
        struct client *cl = NULL;
        int found = 0;

        wait_until((cl = client_open(r->c, cluster_leader(r->c)), found = read_one(cl, i),
                    client_close(cl), found != 0),
                   "an answer");
        n += found > 0;
    }
    return n;
}

static void measure(const char *name, const char *conf)
{
    const char *n = getenv("RIDD_BENCH_FLIPS");
    const char *seed = getenv("RIDD_BENCH_SEED");
    const unsigned n_flips = n != NULL ? (unsigned)strtoul(n, NULL, 10) : 30;
    unsigned right;

    run = (struct run){.c = cluster_up(3, conf)};
    prng_init(&run.p, seed != NULL ? strtoul(seed, NULL, 10) : 1);
    fill(run.c);
    while (run.n_flips < n_flips && run.n_flips < FLIPS_MAX)
        one_flip(&run);
    right = count_right(&run);
    qsort(run.found_s, run.n_found, sizeof(run.found_s[0]), by_size);
    print_message(
        "scrub %s: %u flips: %u found, %u ended the node, %u without effect; %u reads, %u "
        "wrong, %u errors; until found median %.1f s, max %.1f s; %u of %u right\n",
        name, run.n_flips, run.n_found, run.n_died, run.n_harmless, run.n_reads, run.n_wrong,
        run.n_errors, run.n_found > 0 ? run.found_s[run.n_found / 2] : 0.0,
        run.n_found > 0 ? run.found_s[run.n_found - 1] : 0.0, right, N_KEYS);
    assert_int_equal(run.n_wrong, 0);
    assert_int_equal(right, N_KEYS);
    cluster_free(run.c);
}

CASE(flips__scrub_default)
{
    measure("default", NULL);
}

CASE(flips__scrub_64)
{
    measure("64", "[state]\nscrub = 64\n");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(flips__scrub_default),
        HARNESS_TEST(flips__scrub_64),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
