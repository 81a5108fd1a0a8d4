/* What a run measured, and whether it was right.
 *
 * `acked` is the highest number whose write was acknowledged, `proposed` the highest handed to the
 * log. A read that began at acked = a and ended at proposed = p is right iff a <= value <= p. It
 * must also have the right that its method claims: the term it began in, and a round that was
 * opened after it arrived. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "service/compare_int.h"

#include "base/banned.h"

static const char *const method_names[COMPARE_METHODS] = {"read_index", "read_via_log",
                                                          "local_read"};

int compare_measure_init(struct compare *c, uint32_t num_reads, bool with_local)
{
    c->methods[COMPARE_INDEX].wanted = true;
    c->methods[COMPARE_LOG].wanted = true;
    c->methods[COMPARE_LOCAL].wanted = with_local;
    for (unsigned i = 0; i < COMPARE_METHODS; i++) {
        struct compare_method_run *m = &c->methods[i];

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

/* ---- right or wrong ---- */

static void violation(struct compare *c, const char *what)
{
    struct service *s = c->service;

    c->is_right = false; /* both_linearizable is earned by every read of the run (CLIENT-8) */
    if (s->ops.event != NULL)
        s->ops.event(s->ops.ctx, LOG_ERROR, "compare_violation", what);
}

void compare_unread(struct compare *c)
{
    violation(c, "the counter could not be read back");
}

bool compare_judge(struct compare *c, const struct compare_read *read,
                   const struct replica_view *view)
{
    struct compare_method_run *m = &c->methods[read->method];
    struct command_value v;
    char text[24] = "";
    uint64_t value;

    if (view->get(view->ctx, (struct wire_slice){(const char *)c->key.bytes, c->key.len}, &v) != 0)
        return false;
    if (!v.exists || v.text.len >= sizeof(text)) {
        compare_unread(c);
        return true;
    }
    memcpy(text, v.text.data, v.text.len);
    value = strtoull(text, NULL, 10);
    if (value < read->acked)
        m->n_stale++;
    if (read->method == COMPARE_LOCAL)
        return true; /* promises nothing; its stale answers are only counted */
    if (value < read->acked)
        violation(c, "a read returned less than the last value acknowledged before it began");
    if (value > c->proposed)
        violation(c, "a read returned a value that was never proposed");
    if (view->term != read->term)
        violation(c, "a read was confirmed in another term than it began in");
    if (read->method == COMPARE_INDEX && view->round <= view->arrival_round)
        violation(c, "a read was confirmed by a round that was open when it arrived");
    return true;
}

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
    } else if (read->method == COMPARE_INDEX && view->round != m->last_round) {
        m->last_round = view->round;
        m->n_rounds++;
    }
}

/* ---- the report ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least this share of the reads did not exceed. */
static uint32_t percentile(const struct compare_method_run *m, unsigned percent)
{
    uint64_t rank = ((uint64_t)m->n * percent + 99) / 100;

    return m->n == 0 ? 0 : m->us[rank > 0 ? rank - 1 : 0];
}

static uint64_t average(const struct compare_method_run *m)
{
    return m->n == 0 ? 0 : (m->sum_us + m->n / 2) / m->n;
}

static void reply_method(struct compare *c, struct wire_reply *w, struct compare_method_run *m,
                         const char *name)
{
    struct service *s = c->service;

    qsort(m->us, m->n, sizeof(*m->us), by_value);
    wire_reply_open_object(w, NULL);
    wire_reply_str(w, "method", name);
    wire_reply_u64(w, "reads", m->n);
    wire_reply_ms(w, "avg_ms", average(m));
    wire_reply_ms(w, "p50_ms", percentile(m, 50));
    wire_reply_ms(w, "p95_ms", percentile(m, 95));
    wire_reply_ms(w, "p99_ms", percentile(m, 99));
    wire_reply_ms(w, "max_ms", percentile(m, 100));
    wire_reply_u64(w, "log_entries", m->n_entries);
    wire_reply_u64(w, "log_bytes",
                   s->ops.record_bytes != NULL ? m->n_entries * s->ops.record_bytes(s->ops.ctx, 0)
                                               : 0);
    wire_reply_u64(w, "fsyncs", m->n_batches);
    wire_reply_u64(w, "quorum_rounds", m->n_rounds);
    wire_reply_u64(w, "stale", m->n_stale);
    /* Little's law: what `concurrency` reads at a time of this method alone give at the average
     * measured. */
    wire_reply_u64(w, "reads_per_s",
                   m->sum_us == 0 ? 0 : (uint64_t)m->n * c->concurrency * 1000000u / m->sum_us);
    wire_reply_close_object(w);
}

void compare_reply(struct compare *c, struct buf *out)
{
    struct service *s = c->service;
    struct wire_reply w;

    service_begin(s, &w, out, &c->req->origin, "compare_read_methods_ok");
    wire_reply_ms(&w, "read_index_avg_ms", average(&c->methods[COMPARE_INDEX]));
    wire_reply_ms(&w, "read_via_log_avg_ms", average(&c->methods[COMPARE_LOG]));
    wire_reply_bool(&w, "both_linearizable", c->is_right);
    if (c->req->verbose) {
        wire_reply_open_array(&w, "methods");
        for (unsigned i = 0; i < COMPARE_METHODS; i++)
            if (c->methods[i].wanted)
                reply_method(c, &w, &c->methods[i], method_names[i]);
        wire_reply_close_array(&w);
        wire_reply_u64(&w, "concurrency", c->concurrency);
        wire_reply_ms(&w, "elapsed_ms", c->service->ops.now_us(c->service->ops.ctx) - c->begun_us);
    }
    service_end(s, &w, &c->req->origin);
}
