/* Nodes that end and begin again, many times, while clients read and write.
 *
 * A cycle: one node, all at once, one after the other, or one that is killed again while it comes
 * up; each by SIGKILL or by SIGTERM, as chance has it. It is over when all nodes are ready and
 * writes are acknowledged again. Nodes make a snapshot for each 64 KiB of log, slowly enough that
 * kills meet them, keep nothing behind it, and large values drive the log on now and then. There is
 * no shim: syncs and links are the machine's own.
 *
 * Cycles come in windows, so that memory is bounded and the judges end: at the end of each all is
 * read and judged, and the clients go on with keys of their own. Those of the windows before are
 * read once more at the very end: nothing may have changed them. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "cluster/chaos.h"

#include "base/banned.h"

#define WINDOW_CYCLES 50u
#define SNAPSHOT_MS   2000u
#define ACKNOWLEDGED  10u /* so many more, and it is well again */
#define FLOOD_MS      4u  /* between two large values */

struct restarts {
    const struct chaos_conf *conf;
    struct cluster *cluster; /* owned */
    struct load *load;       /* owned */
    struct history history;
    struct prng prng;
    struct flood floods[CLUSTER_NODES_MAX];
    uint64_t flooded_ms;
    bool floods_now;
    unsigned n_killed;
    unsigned n_stopped;
    unsigned n_all;   /* cycles in which all were down together */
    unsigned n_again; /* killed while they came up */
    uint64_t n_ops;
    uint64_t n_states;
    uint64_t longest_ms; /* from the first end until all was well */
};

static uint64_t draw(struct restarts *r, uint64_t bound)
{
    return prng_below(&r->prng, bound);
}

static void flood(struct restarts *r)
{
    if (!r->floods_now || now_ms() < r->flooded_ms + FLOOD_MS)
        return;
    r->flooded_ms = now_ms();
    for (unsigned i = 0; i < r->cluster->n; i++)
        flood_turn(&r->floods[i], r->cluster->nodes[i].port);
}

static void turn(void *ctx)
{
    struct restarts *r = ctx;

    load_turn(r->load, 4);
    flood(r);
}

static void turn_for(struct restarts *r, uint64_t ms)
{
    const uint64_t ends_ms = now_ms() + ms;

    while (now_ms() < ends_ms)
        turn(r);
}

/* ---- one cycle ---- */

static unsigned choose_node(struct restarts *r)
{
    const int leader = load_leader(r->load);

    return leader >= 0 && draw(r, 2) == 0 ? (unsigned)leader : (unsigned)draw(r, r->cluster->n);
}

/* All of a set, at once: bits of nodes. */
static void end_nodes(struct restarts *r, unsigned set)
{
    bool kills[CLUSTER_NODES_MAX];

    for (unsigned i = 0; i < r->cluster->n; i++) {
        if ((set >> i & 1u) == 0)
            continue;
        kills[i] = draw(r, 3) != 0;
        node_signal(r->cluster, i, kills[i] ? SIGKILL : SIGTERM);
        r->n_killed += kills[i];
        r->n_stopped += !kills[i];
    }
    for (unsigned i = 0; i < r->cluster->n; i++) {
        const int want = (set >> i & 1u) != 0 && kills[i] ? 128 + SIGKILL : 0;
        int code;

        if ((set >> i & 1u) == 0)
            continue;
        code = node_wait_exit(r->cluster, i);
        if (code != want)
            harness_fail("%s ended with exit code %d, not %d", r->cluster->nodes[i].name, code,
                         want);
    }
}

static void start_nodes(struct restarts *r, unsigned set)
{
    for (unsigned i = 0; i < r->cluster->n; i++)
        if ((set >> i & 1u) != 0)
            node_spawn(r->cluster, i);
}

static void wait_ready(struct restarts *r, unsigned set)
{
    for (unsigned i = 0; i < r->cluster->n; i++)
        if ((set >> i & 1u) != 0)
            node_wait_logged(r->cluster, i, " event=ready ");
}

static void restart_one(struct restarts *r)
{
    const unsigned set = 1u << choose_node(r);

    end_nodes(r, set);
    turn_for(r, draw(r, 200));
    start_nodes(r, set);
    wait_ready(r, set);
}

static void restart_all(struct restarts *r)
{
    const unsigned set = (1u << r->cluster->n) - 1u;

    r->n_all++;
    end_nodes(r, set);
    start_nodes(r, set);
    wait_ready(r, set);
}

/* As an upgrade does, and faster: the next goes as soon as this one says that it is ready. */
static void restart_each(struct restarts *r)
{
    for (unsigned i = 0; i < r->cluster->n; i++) {
        end_nodes(r, 1u << i);
        start_nodes(r, 1u << i);
        wait_ready(r, 1u << i);
    }
}

static void restart_twice(struct restarts *r)
{
    const unsigned node = choose_node(r);

    end_nodes(r, 1u << node);
    for (uint64_t n = 1 + draw(r, 3); n > 0; n--) {
        start_nodes(r, 1u << node);
        turn_for(r, draw(r, 60));
        node_kill(r->cluster, node);
        r->n_again++;
    }
    start_nodes(r, 1u << node);
    wait_ready(r, 1u << node);
}

static void wait_well(struct restarts *r, unsigned cycle)
{
    const uint64_t deadline = now_ms() + slow(WAIT_MS);
    const uint64_t goal = load_get_stats(r->load)->n_acknowledged + ACKNOWLEDGED;

    while (load_get_stats(r->load)->n_acknowledged < goal) {
        if (now_ms() > deadline)
            harness_fail("cycle %u: all nodes run, and no write is acknowledged", cycle);
        turn(r);
    }
}

static void cycle(struct restarts *r, unsigned number)
{
    uint64_t began_ms;

    r->floods_now = draw(r, 3) == 0;
    turn_for(r, 20 + draw(r, 200));
    began_ms = now_ms();
    switch (draw(r, 10)) {
    case 0:
    case 1:
    case 2:
        restart_all(r);
        break;
    case 3:
        restart_each(r);
        break;
    case 4:
        restart_twice(r);
        break;
    default:
        restart_one(r);
        break;
    }
    wait_well(r, number);
    if (now_ms() - began_ms > r->longest_ms)
        r->longest_ms = now_ms() - began_ms;
}

/* ---- windows ---- */

static void end_window(struct restarts *r, unsigned n_cycles)
{
    harness_meanwhile(NULL, NULL);
    for (unsigned i = 0; i < r->cluster->n; i++)
        flood_end(&r->floods[i]);
    load_stop(r->load);
    (void)cluster_settle(r->cluster);
    load_read_all(r->load);
    chaos_compare_states(r->cluster, r->conf->seed);
    r->n_states += chaos_judge(r->cluster, &r->history, r->conf->seed);
    r->n_ops += r->history.n;
    if (!r->conf->say)
        return;
    (void)printf("  %u cycles good: %zu operations of this window judged\n", n_cycles,
                 r->history.n);
    (void)fflush(stdout);
}

static unsigned lines_of_all(const struct restarts *r, const char *text)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->cluster->n; i++) {
        cleanup_buf struct buf log = BUF_INIT;

        file_read(r->cluster->nodes[i].log, &log);
        for (const char *at = (const char *)log.data; (at = strstr(at, text)) != NULL; at++)
            n++;
    }
    return n;
}

static int64_t log_begins_behind(struct restarts *r, unsigned i)
{
    json_t *status = node_status(r->cluster, i);
    const int64_t index = reply_int(json_object_get(status, "snapshots"), "log_begins_behind");

    json_decref(status);
    return index;
}

static void report(struct restarts *r, uint64_t began_ms)
{
    const struct load_stats *ls = load_get_stats(r->load);
    const unsigned n_made = lines_of_all(r, " event=snapshot_made ");

    (void)printf("restarts: %u cycles in %" PRIu64
                 " s: %u nodes killed, %u stopped, %u killed again while they came up, %u times "
                 "all together; the longest cycle %" PRIu64 " ms\n",
                 r->conf->n_cycles, (now_ms() - began_ms) / 1000, r->n_killed, r->n_stopped,
                 r->n_again, r->n_all, r->longest_ms);
    (void)printf("restarts: %" PRIu64 " operations judged, %" PRIu64
                 " writes acknowledged, %" PRIu64 " unknown, %" PRIu64 " digests compared, %" PRIu64
                 " states searched; %u snapshots made, %u installed, %u states restored; at the "
                 "longest %" PRIu64 " ms without an acknowledged write\n",
                 r->n_ops, ls->n_acknowledged, ls->n_unknown, ls->n_digests, r->n_states, n_made,
                 lines_of_all(r, " event=snapshot_installed "),
                 lines_of_all(r, " event=state_restored "), ls->longest_gap_ms);
    for (unsigned i = 0; i < r->cluster->n && r->conf->n_cycles >= 10; i++)
        if (log_begins_behind(r, i) <= 0)
            harness_fail("the log of %s begins where it always did", r->cluster->nodes[i].name);
}

void chaos_restart(const struct chaos_conf *conf)
{
    const unsigned window = conf->window != 0 ? conf->window : WINDOW_CYCLES;
    const uint64_t began_ms = now_ms();
    struct restarts r = {.conf = conf};

    prng_init(&r.prng, conf->seed);
    r.cluster = cluster_up(conf->nodes != 0 ? conf->nodes : 3, CHAOS_NODE_CONF);
    history_init(&r.history);
    r.load = load_new(r.cluster, conf->clients != 0 ? conf->clients : 8,
                      conf->depth != 0 ? conf->depth : 1, prng_next(&r.prng), &r.history);
    load_set_snapshots(r.load, conf->snapshot_ms != 0 ? conf->snapshot_ms : SNAPSHOT_MS);
    (void)printf("seed=%" PRIu64 " nodes=%u cycles=%u window=%u\n", conf->seed, r.cluster->n,
                 conf->n_cycles, window);
    (void)fflush(stdout);
    for (unsigned i = 1; i <= conf->n_cycles; i++) {
        harness_meanwhile(turn, &r);
        cycle(&r, i);
        if (i % window != 0 && i != conf->n_cycles)
            continue;
        end_window(&r, i);
        if (i != conf->n_cycles)
            load_begin_window(r.load);
    }
    load_read_back(r.load);
    report(&r, began_ms);
    load_free(r.load);
    history_done(&r.history);
    cluster_free(r.cluster);
}
