/* How long is nobody answered when the leader goes?
 *
 *     failover [--kills N] [--how kill|stop|transfer] [--nodes N] [--lease-ms N] [--off] [--each] [--most-ms N]
 *
 * Three nodes, and two clients that never pause: one writes, in a session so that libridd repeats what was not
 * answered, one reads linearizably. Again and again the leader's process is ended (kill: SIGKILL; stop: SIGTERM) or
 * hands over (transfer, as `ridctl transfer` asks for it); from that moment on, until the first answer of each client that
 * another node has given. Then the node is started again, all is level, and it begins anew at a moment that is chosen by chance.
 *
 * --lease-ms: leaders take leases, and --off: with `fast_failover = 0`, for comparison. --each prints every round, --most-ms
 * ends with a failure, and keeps the logs, where a write took longer. Times
 * are those that harness gives nodes by itself but for heartbeat_ms 50 and election_ms 500, the defaults of ridd.conf(5).
 *
 * A measurement, not a test: of ten rounds without arguments it only asks that they end. */
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/prng.h"
#include "client/ridd_async.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define KILLS_MAX 10000u
/* A round begins at some moment of this, and no answer takes longer than that. */
#define CHANCE_MS 120u
#define ANSWER_MS 30000u

enum how { HOW_KILL, HOW_STOP, HOW_TRANSFER };
static const char *const how_names[] = {"kill", "stop", "transfer"};

static struct {
    unsigned kills;
    enum how how;
    unsigned nodes;
    unsigned lease_ms;
    unsigned most_ms;
    bool off;
    bool each;
} conf = {.kills = 10, .nodes = 3};

enum { WRITES, READS, KINDS };
static const char *const kind_names[] = {"write", "read"};

struct asker {
    unsigned kind;
    struct ridd *client;
    unsigned n;
    char last[RIDD_ENDPOINT_SIZE]; /* who answered last */
    const char *not;               /* whose answers do not count; NULL: no round is under way */
    uint64_t answered_us;          /* by another one; 0: not yet */
};

static struct asker askers[KINDS];
static uint64_t times_us[KINDS][KILLS_MAX];
static unsigned n_times;
static bool is_closing;

/* ---- two clients ---- */

static void ask(struct asker *a);

static void on_reply(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct asker *a = arg;

    (void)client;
    if (reply->status == RIDD_OK) {
        (void)snprintf(a->last, sizeof(a->last), "%s", reply->endpoint);
        if (a->not != NULL && a->answered_us == 0 && strcmp(a->last, a->not) != 0)
            a->answered_us = clock_mono_us();
    }
    ridd_reply_free(reply);
    if (!is_closing)
        ask(a);
}

static void ask(struct asker *a)
{
    struct ridd_op op = ridd_op(a->kind == WRITES ? RIDD_OP_PUT : RIDD_OP_GET);
    char json[32];

    (void)snprintf(json, sizeof(json), "%u", a->n++);
    op.key = ridd_key("failover");
    op.timeout_ms = ANSWER_MS;
    if (a->kind == WRITES)
        op.value = ridd_value_json(json);
    else
        op.via = RIDD_VIA_READ_INDEX;
    if (ridd_async_start(a->client, &op, on_reply, a) == 0)
        harness_fail("libridd begins nothing");
}

static void go_on_for(unsigned ms)
{
    struct pollfd fds[KINDS];
    int wait_ms = (int)ms;

    for (unsigned i = 0; i < KINDS; i++) {
        const int own_ms = ridd_async_timeout_ms(askers[i].client);

        fds[i] = (struct pollfd){.fd = ridd_async_fd(askers[i].client), .events = POLLIN};
        if (own_ms >= 0 && own_ms < wait_ms)
            wait_ms = own_ms;
    }
    (void)poll(fds, KINDS, wait_ms);
    for (unsigned i = 0; i < KINDS; i++)
        (void)ridd_process(askers[i].client);
}

static void go_on(void *ctx)
{
    (void)ctx;
    go_on_for(1);
}

static void clients_open(const struct cluster *c)
{
    char endpoints[1024] = "";
    size_t len = 0;

    for (unsigned i = 0; i < c->n; i++)
        len += (size_t)snprintf(endpoints + len, sizeof(endpoints) - len, "%s%s", i > 0 ? "," : "",
                                c->nodes[i].addr);
    for (unsigned i = 0; i < KINDS; i++) {
        const struct ridd_options options = {.timeout_ms = ANSWER_MS,
                                             .flags = i == WRITES ? RIDD_FLAG_SESSION : 0};

        askers[i] = (struct asker){.kind = i};
        if (ridd_open(endpoints, &options, &askers[i].client) != RIDD_OK)
            harness_fail("libridd cannot be opened");
        ask(&askers[i]);
    }
}

static void clients_close(void)
{
    is_closing = true;
    for (unsigned i = 0; i < KINDS; i++)
        ridd_close(askers[i].client);
}

/* ---- rounds ---- */

static bool are_answered_by(const char *endpoint)
{
    return strcmp(askers[WRITES].last, endpoint) == 0 && strcmp(askers[READS].last, endpoint) == 0;
}

static bool are_answered(void)
{
    return askers[WRITES].answered_us != 0 && askers[READS].answered_us != 0;
}

static void hand_over(const struct cluster *c, unsigned leader)
{
    struct client *cl = client_open(c, leader);

    client_send(cl, "{\"type\":\"transfer_leader\",\"msg_id\":1}");
    client_close(cl);
}

/* Each node to each other one: who was started a moment ago may still be dialling. */
static bool are_linked(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        json_t *const status = node_status(c, i);
        const json_t *peer;
        bool all = json_array_size(json_object_get(status, "peers")) + 1 == c->n;
        size_t k;

        json_array_foreach(json_object_get(status, "peers"), k, peer) all =
            all && json_is_true(json_object_get(peer, "connected"));
        json_decref(status);
        if (!all)
            return false;
    }
    return true;
}

/* Until it has its answers the harness's own looks would only be in the way. */
static void round_once(struct cluster *c, struct prng *prng)
{
    const unsigned leader = cluster_leader(c);
    const char *const endpoint = c->nodes[leader].addr;
    uint64_t begin_us;

    wait_until((go_on(NULL), are_linked(c)), "links");
    wait_until((go_on(NULL), are_answered_by(endpoint)), "the leader's answers");
    begin_us = clock_mono_us() + prng_below(prng, CHANCE_MS * 1000);
    while (clock_mono_us() < begin_us)
        go_on(NULL);
    for (unsigned i = 0; i < KINDS; i++) {
        askers[i].answered_us = 0;
        askers[i].not = endpoint;
    }
    begin_us = clock_mono_us();
    if (conf.how == HOW_TRANSFER)
        hand_over(c, leader);
    else if (kill(c->nodes[leader].pid, conf.how == HOW_KILL ? SIGKILL : SIGTERM) != 0)
        harness_fail("'%s' cannot be ended", c->nodes[leader].name);
    while (!are_answered()) {
        go_on_for(1);
        if (clock_mono_us() - begin_us > slow(ANSWER_MS) * 1000)
            harness_fail("nobody answers");
    }
    for (unsigned i = 0; i < KINDS; i++) {
        times_us[i][n_times] = askers[i].answered_us - begin_us;
        askers[i].not = NULL;
    }
    if (conf.each)
        printf("%u: %s write %.1f ms, read %.1f ms\n", n_times + 1, c->nodes[leader].name,
               (double)times_us[WRITES][n_times] / 1e3, (double)times_us[READS][n_times] / 1e3);
    if (conf.most_ms != 0 && times_us[WRITES][n_times] > conf.most_ms * UINT64_C(1000))
        harness_fail("round %u: the first write after %.1f ms", n_times + 1,
                     (double)times_us[WRITES][n_times] / 1e3);
    n_times++;
    if (conf.how == HOW_TRANSFER)
        return;
    (void)node_wait_exit(c, leader);
    node_start(c, leader);
    (void)cluster_settle(c);
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static double ms_at(unsigned kind, unsigned permille)
{
    const unsigned at = (unsigned)((uint64_t)n_times * permille / 1000);

    return (double)times_us[kind][at < n_times ? at : n_times - 1] / 1e3;
}

static void report(void)
{
    for (unsigned i = 0; i < KINDS; i++) {
        qsort(times_us[i], n_times, sizeof(times_us[i][0]), compare);
        printf("failover: first %-5s after %s, nodes %u, lease_ms %u, fast_failover %d, rounds %u: "
               "p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, longest %.1f ms\n",
               kind_names[i], how_names[conf.how], conf.nodes, conf.lease_ms, !conf.off, n_times,
               ms_at(i, 500), ms_at(i, 900), ms_at(i, 990), ms_at(i, 1000));
    }
    (void)fflush(stdout);
}

CASE(failover__rounds)
{
    struct cluster *c;
    struct prng prng;
    char extra[256];

    (void)snprintf(extra, sizeof(extra),
                   "[raft]\nheartbeat_ms = 50\nelection_ms = 500\nfast_failover = %d\n[reads]\n"
                   "lease_ms = %u\n",
                   !conf.off, conf.lease_ms);
    (void)alarm(0); /* it may take long */
    prng_init(&prng, clock_mono_us());
    c = cluster_up(conf.nodes, extra);
    clients_open(c);
    harness_meanwhile(go_on, NULL);
    while (n_times < conf.kills)
        round_once(c, &prng);
    harness_meanwhile(NULL, NULL);
    clients_close();
    cluster_free(c);
    report();
}

/* ---- options ---- */

static int usage(FILE *to, int code)
{
    (void)fprintf(to, "usage: failover [--kills N] [--how kill|stop|transfer] [--nodes N] "
                      "[--lease-ms N] [--off] [--each] [--most-ms N]\n");
    return code;
}

static bool take_number(const char *text, unsigned most, unsigned *ret)
{
    char *end;
    const unsigned long n = strtoul(text, &end, 10);

    *ret = (unsigned)n;
    return end != text && *end == '\0' && n <= most;
}

static bool take_how(const char *text)
{
    for (unsigned i = 0; i < sizeof(how_names) / sizeof(how_names[0]); i++)
        if (strcmp(how_names[i], text) == 0) {
            conf.how = (enum how)i;
            return true;
        }
    return false;
}

static bool take_option(int option, const char *text)
{
    switch (option) {
    case 'k':
        return take_number(text, KILLS_MAX, &conf.kills) && conf.kills > 0;
    case 'w':
        return take_how(text);
    case 'n':
        return take_number(text, CLUSTER_NODES_MAX, &conf.nodes) && conf.nodes >= 3;
    case 'l':
        return take_number(text, 2000, &conf.lease_ms);
    case 'm':
        return take_number(text, ANSWER_MS, &conf.most_ms);
    case 'o':
        return conf.off = true;
    case 'e':
        return conf.each = true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"kills", required_argument, NULL, 'k'}, {"how", required_argument, NULL, 'w'},
        {"nodes", required_argument, NULL, 'n'}, {"lease-ms", required_argument, NULL, 'l'},
        {"off", no_argument, NULL, 'o'},         {"each", no_argument, NULL, 'e'},
        {"most-ms", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},        {0},
    };
    const struct CMUnitTest tests[] = {HARNESS_TEST(failover__rounds)};
    char *only_name[] = {argv[0], NULL};
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h')
            return usage(stdout, 0);
        if (!take_option(option, optarg))
            return usage(stderr, 64);
    }
    return harness_main(1, only_name, tests, NULL, NULL);
}
