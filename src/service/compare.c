/* compare_read_methods: every method on the same key, side by side, each read checked (PROTOCOL.md
 * 2).
 *
 * The key is internal: no client can name it. One writer keeps raising the number in it through the
 * log while the reads run. `acked` is the highest number whose write was acknowledged, `proposed`
 * the highest handed to the log. A read that began at acked = a and ended at proposed = p is right
 * iff a <= value <= p. The numbers of one run begin above those of every earlier run, so a value of
 * yesterday cannot pass.
 *
 * Reads of all methods are mixed in random order, `concurrency` at a time, after a few that are not
 * counted. Any failure, so any change of leadership, ends the run with that error. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "service/service_int.h"

#include "base/banned.h"

#define COMPARE_KEY         "compare"
#define COMPARE_WARM_UP     8u        /* reads of each method that are not counted */
#define COMPARE_DEADLINE_US 60000000u /* of one read within a run: far beyond any step-down */
#define N_METHODS           3u

enum method { METHOD_INDEX, METHOD_LOG, METHOD_LOCAL };

static const char *const method_names[N_METHODS] = {"read_index", "read_via_log", "local_read"};

struct method_run {
    bool wanted;
    uint32_t warm_up_left;
    uint32_t left; /* counted reads not begun */
    uint32_t n;    /* counted reads done */
    uint32_t *us;  /* owned; one per counted read */
    uint64_t sum_us;
    uint64_t n_entries; /* log entries its counted reads cost */
    uint64_t n_batches; /* log batches, one fdatasync each on this node, that held a marker of it */
    uint64_t last_turn; /* the turn in which its last marker was proposed */
    uint64_t n_rounds;  /* distinct rounds that confirmed its counted reads */
    uint64_t last_round;
    uint64_t n_stale;
};

/* One read under way. */
struct compare_read {
    struct replica_request rr;
    struct compare *compare;
    enum method method;
    bool counted;
    bool busy;
    uint64_t begun_us;
    uint64_t acked; /* when it began */
    raft_term term; /* when it began */
    uint64_t turn;
};

struct compare {
    struct service *service;        /* borrowed */
    struct request *req;            /* borrowed; NULL when its client went away */
    struct replica_session session; /* the writer's own: reads set no floor by it */
    struct method_run methods[N_METHODS];
    uint32_t concurrency;
    uint32_t total;
    uint32_t done;
    uint64_t proposed;
    uint64_t acked;
    uint64_t begun_us; /* first counted read */
    raft_term term;    /* of the whole run: that of the first write */
    bool is_right;     /* no violation yet */
    bool stopping;     /* nothing new begins */
    bool filling;      /* in fill(): completions do not recurse */
    bool writer_busy;
    struct replica_failure failure; /* of the run; error NONE: none */
    struct replica_request writer;
    unsigned char command[256];
    struct wire_key key;
    unsigned n_busy;
    struct compare_read reads[];
};

static void fill(struct compare *c);

void compare_free(struct compare *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < N_METHODS; i++)
        free(c->methods[i].us);
    free(c);
}

static uint64_t now_of(const struct compare *c)
{
    return c->service->ops.now_us(c->service->ops.ctx);
}

static void violation(struct compare *c, const char *what)
{
    struct service *s = c->service;

    c->is_right = false;
    if (s->ops.event != NULL)
        s->ops.event(s->ops.ctx, LOG_ERROR, "compare_violation", what);
}

/* ---- the end ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least this share of the reads did not exceed. */
static uint32_t percentile(const struct method_run *m, unsigned percent)
{
    uint64_t rank = ((uint64_t)m->n * percent + 99) / 100;

    return m->n == 0 ? 0 : m->us[rank > 0 ? rank - 1 : 0];
}

static uint64_t average(const struct method_run *m)
{
    return m->n == 0 ? 0 : (m->sum_us + m->n / 2) / m->n;
}

static void reply_method(struct compare *c, struct wire_reply *w, struct method_run *m,
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

static void reply_result(struct compare *c, struct buf *out)
{
    struct service *s = c->service;
    struct wire_reply w;

    service_begin(s, &w, out, &c->req->origin, "compare_read_methods_ok");
    wire_reply_ms(&w, "read_index_avg_ms", average(&c->methods[METHOD_INDEX]));
    wire_reply_ms(&w, "read_via_log_avg_ms", average(&c->methods[METHOD_LOG]));
    wire_reply_bool(&w, "both_linearizable", c->is_right);
    if (c->req->verbose) {
        wire_reply_open_array(&w, "methods");
        for (unsigned i = 0; i < N_METHODS; i++)
            if (c->methods[i].wanted)
                reply_method(c, &w, &c->methods[i], method_names[i]);
        wire_reply_close_array(&w);
        wire_reply_u64(&w, "concurrency", c->concurrency);
        wire_reply_ms(&w, "elapsed_ms", now_of(c) - c->begun_us);
    }
    service_end(s, &w, &c->req->origin);
}

static void maybe_end(struct compare *c)
{
    struct service *s = c->service;

    if (c->n_busy > 0 || c->writer_busy || (!c->stopping && c->done < c->total))
        return;
    if (c->req != NULL) {
        struct buf *out = s->ops.out(s->ops.ctx, c->req->conn->host);

        if (out != NULL && c->failure.error != WIRE_ERROR_NONE)
            service_write_failure(s, out, &c->req->origin, &c->failure, c->req->timeout_ms);
        else if (out != NULL)
            reply_result(c, out);
        service_request_free(c->req);
    }
    s->compare = NULL;
    compare_free(c);
}

static void stop(struct compare *c, const struct replica_failure *f)
{
    if (c->failure.error == WIRE_ERROR_NONE) {
        c->failure = *f;
        c->failure.after_append = false; /* the run as a whole only read what anybody could see */
    }
    c->stopping = true;
}

/* ---- the writer ---- */

static void write_next(struct compare *c);

static void writer_written(struct replica_request *rr, const struct command_result *result)
{
    struct compare *c = list_entry(rr, struct compare, writer);

    (void)result;
    c->writer_busy = false;
    c->acked = c->proposed;
    if (c->begun_us == 0) {
        c->begun_us = now_of(c);
        c->term = c->session.last_write.term;
    }
    fill(c);
    maybe_end(c);
}

static void writer_failed(struct replica_request *rr, const struct replica_failure *f)
{
    struct compare *c = list_entry(rr, struct compare, writer);

    c->writer_busy = false;
    stop(c, f);
    if (!c->filling)
        maybe_end(c);
}

static void write_next(struct compare *c)
{
    char text[24];
    struct command command = {.op = COMMAND_WRITE, .key = {(const char *)c->key.bytes, c->key.len}};
    struct buf *scratch = &c->service->scratch;
    bool first = c->begun_us == 0;

    c->proposed++;
    command.value.len =
        (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)c->proposed);
    command.value.data = text;
    buf_reset(scratch, 1u << 16);
    if (command_encode(&command, scratch) != 0 || scratch->len > sizeof(c->command)) {
        const struct replica_failure f = {.error = WIRE_ERROR_BUSY, .limit = REQUESTS_MAX};

        stop(c, &f);
        return;
    }
    memcpy(c->command, scratch->data, scratch->len);
    memset(&c->writer, 0, sizeof(c->writer));
    c->writer.kind = REPLICA_WRITE;
    c->writer.command = c->command;
    c->writer.command_len = scratch->len;
    /* The first write may have to wait for a leader, like any request; after that the run is not
     * bound by timeout_ms. */
    c->writer.deadline_us =
        now_of(c) +
        (first && c->req != NULL ? (uint64_t)c->req->timeout_ms * 1000u : COMPARE_DEADLINE_US);
    c->writer.session = &c->session;
    c->writer.written = writer_written;
    c->writer.failed = writer_failed;
    c->writer_busy = true;
    replica_submit(c->service->replica, &c->writer, now_of(c));
}

/* ---- the reads ---- */

static void check_value(struct compare *c, struct compare_read *read,
                        const struct replica_view *view)
{
    struct method_run *m = &c->methods[read->method];
    struct command_value v;
    char text[24] = "";
    uint64_t value;

    if (view->get(view->ctx, (struct wire_slice){(const char *)c->key.bytes, c->key.len}, &v) !=
            0 ||
        !v.exists || v.text.len >= sizeof(text)) {
        violation(c, "the counter could not be read back");
        return;
    }
    memcpy(text, v.text.data, v.text.len);
    value = strtoull(text, NULL, 10);
    if (value < read->acked)
        m->n_stale++;
    if (read->method == METHOD_LOCAL)
        return; /* promises nothing; its stale answers are only counted */
    if (value < read->acked)
        violation(c, "a read returned less than the last value acknowledged before it began");
    if (value > c->proposed)
        violation(c, "a read returned a value that was never proposed");
    if (view->term != read->term)
        violation(c, "a read was confirmed in another term than it began in");
    if (read->method == METHOD_INDEX && view->round <= view->arrival_round)
        violation(c, "a read was confirmed by a round that was open when it arrived");
}

static void read_served(struct replica_request *rr, const struct replica_view *view)
{
    struct compare_read *read = list_entry(rr, struct compare_read, rr);
    struct compare *c = read->compare;
    struct method_run *m = &c->methods[read->method];
    uint64_t us = now_of(c) - read->begun_us;

    read->busy = false;
    c->n_busy--;
    check_value(c, read, view);
    if (read->counted) {
        m->us[m->n++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
        m->sum_us += us;
        c->done++;
        if (read->method == METHOD_LOG) {
            m->n_entries++;
            if (read->turn != m->last_turn) {
                m->last_turn = read->turn;
                m->n_batches++;
            }
        } else if (read->method == METHOD_INDEX && view->round != m->last_round) {
            m->last_round = view->round;
            m->n_rounds++;
        }
    }
    fill(c);
    maybe_end(c);
}

static void read_failed(struct replica_request *rr, const struct replica_failure *f)
{
    struct compare_read *read = list_entry(rr, struct compare_read, rr);
    struct compare *c = read->compare;

    read->busy = false;
    c->n_busy--;
    stop(c, f);
    if (!c->filling)
        maybe_end(c);
}

/* Which method next: at random, by how many reads each still owes. */
static bool pick(struct compare *c, enum method *ret_method, bool *ret_counted)
{
    uint64_t left = 0;
    uint64_t at;
    bool warm = false;

    for (unsigned i = 0; i < N_METHODS; i++)
        warm = warm || c->methods[i].warm_up_left > 0;
    for (unsigned i = 0; i < N_METHODS; i++)
        left += warm ? c->methods[i].warm_up_left : c->methods[i].left;
    if (left == 0)
        return false;
    at = prng_below(&c->service->prng, left);
    for (unsigned i = 0; i < N_METHODS; i++) {
        uint32_t *mine = warm ? &c->methods[i].warm_up_left : &c->methods[i].left;

        if (at < *mine) {
            (*mine)--;
            *ret_method = (enum method)i;
            *ret_counted = !warm;
            return true;
        }
        at -= *mine;
    }
    return false;
}

static void begin_read(struct compare *c, struct compare_read *read, enum method method,
                       bool counted)
{
    static const enum replica_kind kinds[N_METHODS] = {REPLICA_READ, REPLICA_READ_LOG,
                                                       REPLICA_READ_LOCAL};
    struct replica_stats stats;

    replica_get_stats(c->service->replica, &stats);
    memset(read, 0, sizeof(*read));
    read->compare = c;
    read->method = method;
    read->counted = counted;
    read->busy = true;
    read->begun_us = now_of(c);
    read->acked = c->acked;
    read->term = raft_get_term(replica_raft(c->service->replica));
    read->turn = stats.n_turns;
    read->rr.kind = kinds[method];
    read->rr.deadline_us = read->begun_us + COMPARE_DEADLINE_US;
    read->rr.served = read_served;
    read->rr.failed = read_failed;
    c->n_busy++;
    replica_submit(c->service->replica, &read->rr, read->begun_us);
}

/* A change of leadership ends the run (PROTOCOL.md 2), also when nothing was under way that could
 * fail by it: what began now would wait, and be confirmed in another term than it began in. */
static void stop_if_led_no_more(struct compare *c)
{
    const struct raft *raft = replica_raft(c->service->replica);
    struct replica_failure f = {.error = WIRE_ERROR_ROLE_CHANGED,
                                .old_term = c->term,
                                .term = raft_get_term(raft),
                                .leader_id = raft_get_leader(raft),
                                .role = raft_get_role(raft)};

    if (f.term != c->term)
        f.error = WIRE_ERROR_TERM_CHANGED;
    else if (raft_can_serve(raft))
        return;
    stop(c, &f);
}

/* Keeps `concurrency` reads and the writer busy. Submitting may complete things at once (refusals):
 * those come back here by the flag, not by recursion. */
static void fill(struct compare *c)
{
    if (c->filling)
        return;
    c->filling = true;
    stop_if_led_no_more(c);
    for (uint32_t i = 0; i < c->concurrency && !c->stopping; i++) {
        enum method method;
        bool counted;

        if (c->reads[i].busy)
            continue;
        if (!pick(c, &method, &counted))
            break;
        begin_read(c, &c->reads[i], method, counted);
    }
    /* The next number goes out when the last one is in and reads are there to be held against it.
     */
    if (!c->stopping && !c->writer_busy && c->n_busy > 0 && prng_below(&c->service->prng, 4) == 0)
        write_next(c);
    c->filling = false;
}

/* ---- the beginning ---- */

void compare_start(struct request *req, const struct wire_request *q)
{
    struct service *s = req->conn->service;
    const struct raft *raft = replica_raft(s->replica);
    struct replica_failure busy = {.error = WIRE_ERROR_BUSY, .limit = 1};
    struct compare *c;

    req->rr.failed = NULL; /* this request never enters the replica itself */
    c = s->compare == NULL ? calloc(1, sizeof(*c) + q->concurrency * sizeof(c->reads[0])) : NULL;
    if (c != NULL) {
        c->methods[METHOD_INDEX].wanted = true;
        c->methods[METHOD_LOG].wanted = true;
        c->methods[METHOD_LOCAL].wanted = (q->methods & WIRE_VIA_LOCAL) != 0;
        for (unsigned i = 0; i < N_METHODS; i++) {
            struct method_run *m = &c->methods[i];

            if (!m->wanted)
                continue;
            m->warm_up_left = COMPARE_WARM_UP;
            m->left = q->num_reads;
            m->last_turn = UINT64_MAX;
            c->total += q->num_reads;
            m->us = malloc(q->num_reads * sizeof(*m->us));
            if (m->us == NULL) {
                compare_free(c);
                c = NULL;
                break;
            }
        }
    }
    if (c == NULL) {
        struct buf *out = s->ops.out(s->ops.ctx, req->conn->host);

        busy.term = raft_get_term(raft);
        if (out != NULL)
            service_write_failure(s, out, &req->origin, &busy, req->timeout_ms);
        service_request_free(req);
        return;
    }
    c->service = s;
    c->req = req;
    c->concurrency = q->concurrency;
    c->is_right = true;
    wire_key_set_internal(&c->key, COMPARE_KEY);
    /* Above every number of every earlier run: the commit index grew by at least one with each of
     * them. */
    c->proposed = raft_get_commit_index(raft) << 20;
    c->acked = c->proposed;
    s->compare = c;
    c->filling = true;
    write_next(c);
    c->filling = false;
    maybe_end(c);
}

void compare_cancel(struct service *s, struct request *req)
{
    struct compare *c = s->compare;

    if (c == NULL || c->req != req)
        return;
    c->req = NULL;
    c->stopping = true;
    /* What is under way is forgotten; nobody waits for it any more. */
    for (uint32_t i = 0; i < c->concurrency; i++)
        if (c->reads[i].busy)
            replica_cancel(s->replica, &c->reads[i].rr);
    if (c->writer_busy)
        replica_cancel(s->replica, &c->writer);
    s->compare = NULL;
    compare_free(c);
}

void compare_progress(const struct service *s, struct wire_reply *w)
{
    if (s->compare == NULL)
        return;
    wire_reply_open_object(w, "compare");
    wire_reply_u64(w, "done", s->compare->done);
    wire_reply_u64(w, "total", s->compare->total);
    wire_reply_close_object(w);
}
