/* Which read comes next, and what each took.
 *
 * First all methods are mixed, some reads of each uncounted; that is what is judged, and what the
 * latencies are of. Then, where it is asked for, each method runs alone and nothing is written:
 * what this node sends, receives and stores meanwhile is what the method costs it, with what
 * everybody else wants of it at that time. */
#include <errno.h>
#include <stdlib.h>

#include "service/compare_int.h"

#include "base/banned.h"

int compare_measure_init(struct compare *c, uint32_t num_reads, unsigned methods)
{
    c->facts = calloc(COMPARE_FACTS, sizeof(*c->facts));
    if (c->facts == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < COMPARE_METHODS; i++) {
        struct compare_method_run *m = &c->methods[i];

        m->wanted = (methods & compare_kinds[i].bit) != 0;
        if (!m->wanted)
            continue;
        m->warm_up_left = COMPARE_WARM_UP_READS;
        m->left = num_reads;
        m->last_turn = UINT64_MAX;
        c->total += num_reads;
        m->us = malloc(num_reads * sizeof(*m->us));
        if (m->us == NULL)
            return -ENOMEM;
    }
    return 0;
}

void compare_measure_done(struct compare *c)
{
    for (unsigned i = 0; i < COMPARE_METHODS; i++)
        free(c->methods[i].us);
    free(c->facts);
}

bool compare_pick(struct compare *c, enum compare_method *ret_method, bool *ret_counted)
{
    uint64_t left = 0;
    uint64_t at;
    bool warm = false;

    for (unsigned i = 0; i < COMPARE_METHODS; i++)
        warm = warm || c->methods[i].warm_up_left > 0;
    for (unsigned i = 0; i < COMPARE_METHODS; i++)
        left += warm ? c->methods[i].warm_up_left : c->methods[i].left;
    if (left == 0)
        return false;
    at = prng_below(&c->service->prng, left);
    for (unsigned i = 0; i < COMPARE_METHODS; i++) {
        uint32_t *mine = warm ? &c->methods[i].warm_up_left : &c->methods[i].left;

        if (at < *mine) {
            (*mine)--;
            *ret_method = (enum compare_method)i;
            *ret_counted = !warm;
            return true;
        }
        at -= *mine;
    }
    return false;
}

/* ---- cost ---- */

static void look(const struct compare *c, struct compare_cost *ret)
{
    const struct service *s = c->service;
    struct replica_stats stats;
    struct raft_status st;

    replica_get_stats(s->replica, &stats);
    raft_get_status(replica_raft(s->replica), &st);
    *ret = (struct compare_cost){.messages = stats.n_msgs_sent + stats.n_msgs_received,
                                 .rounds = st.rounds_opened,
                                 .asks = st.n_asks_sent,
                                 .entries = stats.n_entries_proposed};
    if (s->ops.costs != NULL)
        s->ops.costs(s->ops.ctx, &ret->host);
}

static void close_cost(struct compare *c)
{
    struct compare_method_run *m = &c->methods[c->cost_method];
    const struct compare_cost *b = &c->cost_before;
    struct compare_cost now;

    look(c, &now);
    m->has_cost = true;
    m->cost =
        (struct compare_cost){.reads = COMPARE_COST_READS,
                              .messages = now.messages - b->messages,
                              .rounds = now.rounds - b->rounds,
                              .asks = now.asks - b->asks,
                              .entries = now.entries - b->entries,
                              .host = {.fsyncs = now.host.fsyncs - b->host.fsyncs,
                                       .disk_writes = now.host.disk_writes - b->host.disk_writes,
                                       .log_bytes = now.host.log_bytes - b->host.log_bytes,
                                       .wire_bytes = now.host.wire_bytes - b->host.wire_bytes}};
    c->costing = false;
}

/* The next method without figures; false: all have some. */
static bool open_cost(struct compare *c)
{
    for (unsigned i = 0; i < COMPARE_METHODS; i++) {
        if (!c->methods[i].wanted || c->methods[i].has_cost)
            continue;
        c->costing = true;
        c->cost_method = (enum compare_method)i;
        c->cost_left = COMPARE_COST_READS;
        look(c, &c->cost_before);
        return true;
    }
    return false;
}

bool compare_pick_cost(struct compare *c, enum compare_method *ret_method)
{
    if (!c->with_cost)
        return false;
    if (!c->costing || c->cost_left == 0) {
        if (c->n_busy > 0 || c->writer_busy)
            return false; /* when those are in */
        if (c->costing)
            close_cost(c);
        c->with_cost = open_cost(c);
        if (!c->with_cost)
            return false;
    }
    c->cost_left--;
    *ret_method = c->cost_method;
    return true;
}

/* ---- latency ---- */

void compare_count(struct compare *c, const struct compare_read *read,
                   const struct replica_view *view)
{
    struct compare_method_run *m = &c->methods[read->method];
    uint64_t us = c->service->ops.now_us(c->service->ops.ctx) - read->begun_us;

    m->us[m->n++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    m->sum_us += us;
    c->done++;
    if (read->method == COMPARE_LOG) {
        m->n_entries++;
        if (read->turn != m->last_turn) {
            m->last_turn = read->turn;
            m->n_batches++;
        }
    } else if (view->round != 0 && view->round != m->last_round) {
        m->last_round = view->round;
        m->n_rounds++;
    }
    m->n_fallbacks += read->method == COMPARE_LEASE && view->proof != REPLICA_PROOF_LEASE;
}
