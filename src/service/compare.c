/* compare_read_methods: every method on the same key, side by side, each read checked (CLIENT-8).
 *
 * The key is internal: no client can name it. A leader keeps raising the number in it through the
 * log while the reads run, and compare_judge.c holds each answer against it. The numbers of one
 * run begin above those of every earlier run, so a value of yesterday cannot pass. A node that does
 * not lead runs only what any node answers, and writes nothing.
 *
 * Reads of all methods are mixed in random order, `concurrency` at a time, after a few that are not
 * counted. Any failure, so any change of leadership, ends the run with that error. */
#include <stdlib.h>
#include <string.h>

#include "service/compare_int.h"

#include "base/banned.h"

/* No client can name this key. */
#define COMPARE_KEY "compare"

static void fill(struct compare *c);

void compare_free(struct compare *c)
{
    if (c == NULL)
        return;
    compare_measure_done(c);
    free(c);
}

static uint64_t now_of(const struct compare *c)
{
    return c->service->ops.now_us(c->service->ops.ctx);
}

/* ---- the end ---- */

static void maybe_end(struct compare *c)
{
    struct service *s = c->service;

    if (c->n_busy > 0 || c->writer_busy || (!c->stopping && (c->done < c->total || c->with_cost)))
        return;
    if (c->req != NULL) {
        struct buf *out = service_out(c->req->conn);

        if (out != NULL && c->failure.error != WIRE_ERROR_NONE)
            service_write_failure(s, out, &c->req->origin, &c->failure, "the write",
                                  c->req->timeout_ms);
        else if (out != NULL)
            compare_reply(c, out);
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
    compare_learn(c, raft_get_commit_index(replica_raft(c->service->replica)));
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
    buf_reset(scratch, SERVICE_SCRATCH_KEEP_BYTES);
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

static void read_served(struct replica_request *rr, const struct replica_view *view)
{
    struct compare_read *read = list_entry(rr, struct compare_read, rr);
    struct compare *c = read->compare;
    bool is_judged = compare_judge(c, read, view);

    /* Damage is no wrong answer: the state is made again, and the run ends as reads do (FIT-7). */
    if (!is_judged && replica_read_failed(c->service->replica, rr))
        return; /* through read_failed() */
    if (!is_judged)
        compare_unread(c);
    read->busy = false;
    c->n_busy--;
    if (read->counted)
        compare_count(c, read, view);
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

static void begin_read(struct compare *c, struct compare_read *read, enum compare_method method,
                       bool counted)
{
    const struct raft *raft = replica_raft(c->service->replica);
    struct replica_stats stats;

    replica_get_stats(c->service->replica, &stats);
    compare_learn(c, raft_get_commit_index(raft));
    memset(read, 0, sizeof(*read));
    read->compare = c;
    read->method = method;
    read->counted = counted;
    read->busy = true;
    read->begun_us = now_of(c);
    read->acked = c->seen > c->acked ? c->seen : c->acked;
    read->commit = raft_get_commit_index(raft);
    read->term = raft_get_term(raft);
    read->turn = stats.n_turns;
    read->rr.kind = compare_kinds[method].kind;
    read->rr.max_stale_us = c->max_stale_us;
    read->rr.deadline_us = read->begun_us + COMPARE_DEADLINE_US;
    read->rr.served = read_served;
    read->rr.failed = read_failed;
    c->n_busy++;
    replica_submit(c->service->replica, &read->rr, read->begun_us);
}

/* A change of leadership ends a leader's run, also when nothing was under way that could fail by
 * it: what began now would wait, and be confirmed in another term than it began in. Elsewhere it
 * is ended when this node is elected: its follower reads are no others' word any more. */
static void stop_if_role_changed(struct compare *c)
{
    const struct raft *raft = replica_raft(c->service->replica);
    struct replica_failure f = {.error = WIRE_ERROR_ROLE_CHANGED,
                                .old_term = c->term,
                                .term = raft_get_term(raft),
                                .leader_id = raft_get_leader(raft),
                                .role = raft_get_role(raft)};

    if (!c->writes && raft_get_role(raft) != RAFT_LEADER)
        return;
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
    stop_if_role_changed(c);
    /* While the leadership is being handed over nothing begins: it would wait in the replica, and
     * where this node is elected again be confirmed in another term than it began in, rightly.
     * While this node is shutting down, what begins is refused, and that ends the run. */
    if (replica_transferring(c->service->replica) && !replica_quiesced(c->service->replica)) {
        c->filling = false;
        return;
    }
    for (uint32_t i = 0; i < c->concurrency && !c->stopping; i++) {
        enum compare_method method;
        bool counted = false;

        if (c->reads[i].busy)
            continue;
        if (!compare_pick(c, &method, &counted) && !compare_pick_cost(c, &method))
            break;
        begin_read(c, &c->reads[i], method, counted);
    }
    /* The next number goes out when the last one is in and reads are there to be held against it.
     */
    if (c->writes && !c->costing && !c->stopping && !c->writer_busy && c->n_busy > 0 &&
        prng_below(&c->service->prng, 4) == 0)
        write_next(c);
    c->filling = false;
}

void compare_turn(struct service *s)
{
    struct compare *c = s->compare;

    if (c == NULL || c->begun_us == 0 || c->n_busy > 0 || c->writer_busy)
        return;
    fill(c);
    maybe_end(c);
}

/* ---- the beginning ---- */

static unsigned methods_of(const struct wire_request *q)
{
    return q->only ? q->methods : q->methods | WIRE_VIA_READ_INDEX | WIRE_VIA_LOG;
}

static bool wants_leader(unsigned methods)
{
    for (unsigned i = 0; i < COMPARE_METHODS; i++)
        if ((methods & compare_kinds[i].bit) != 0 && compare_kinds[i].by_leader)
            return true;
    return false;
}

/* NULL: memory is out. */
static struct compare *run_new(struct service *s, struct request *req, const struct wire_request *q)
{
    const struct raft *raft = replica_raft(s->replica);
    struct compare *c;

    c = calloc(1, sizeof(*c) + q->concurrency * sizeof(c->reads[0]));
    if (c == NULL)
        return NULL;
    c->service = s;
    c->req = req;
    c->concurrency = q->concurrency;
    c->is_right = true;
    c->with_cost = q->cost;
    c->max_stale_us =
        (uint64_t)(q->max_stale_ms != 0 ? q->max_stale_ms : COMPARE_STALE_MS_DEFAULT) * 1000u;
    if (compare_measure_init(c, q->num_reads, methods_of(q)) != 0) {
        compare_free(c);
        return NULL;
    }
    wire_key_set_internal(&c->key, COMPARE_KEY);
    raft_get_status(raft, &c->before);
    /* Who does not lead runs what it can, if nothing else is asked for; otherwise its first write
     * waits for a leader, or is refused. */
    c->writes = raft_get_role(raft) == RAFT_LEADER || wants_leader(methods_of(q));
    if (!c->writes)
        return c;
    /* Above every number of every earlier run: the commit index grew by at least one with each of
     * them. */
    c->proposed = raft_get_commit_index(raft) << 20;
    c->acked = c->proposed;
    return c;
}

/* Another run is under way: how far it is, and whose, so that who waits knows what for (CLIENT-8).
 */
static void refuse_second(struct request *req)
{
    struct service *s = req->conn->service;
    const struct compare *c = s->compare;
    struct buf *out = service_out(req->conn);
    const char *whose = s->ops.conn_address != NULL && c->req != NULL
                            ? s->ops.conn_address(s->ops.ctx, c->req->conn->host)
                            : NULL;
    struct wire_reply w;
    char text[192];

    (void)snprintf(text, sizeof(text),
                   "another comparison is under way: %u of %u reads are done%s%s", c->done,
                   c->total, whose != NULL ? ", for " : "", whose != NULL ? whose : "");
    if (out != NULL) {
        service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_BUSY, false, text);
        wire_reply_u64(&w, "limit", 1);
        wire_reply_u64(&w, "retry_after_ms", RETRY_AFTER_MS);
        wire_reply_u64(&w, "done", c->done);
        wire_reply_u64(&w, "total", c->total);
        wire_reply_str(&w, "client", whose);
        service_end(s, &w, &req->origin);
    }
    service_request_free(req);
}

static void start(struct request *req, const struct wire_request *q)
{
    struct compare *c;

    if (req->conn->service->compare != NULL) {
        refuse_second(req);
        return;
    }
    c = run_new(req->conn->service, req, q);
    if (c == NULL) {
        service_request_no_memory(req);
        return;
    }
    c->service->compare = c;
    if (c->writes) {
        c->filling = true;
        write_next(c);
        c->filling = false;
    } else {
        c->begun_us = now_of(c);
        c->term = raft_get_term(replica_raft(c->service->replica));
        fill(c);
    }
    maybe_end(c);
}

void service_handle_compare(struct service_conn *c, const struct wire_request *q)
{
    struct request *req;

    /* This request never enters the replica itself: the reads and writes of the run do. */
    req = service_request_new(c, q, 0);
    if (req != NULL)
        start(req, q);
}

/* What is under way is forgotten; nobody waits for it any more. */
void compare_cancel(struct service *s, struct request *req)
{
    struct compare *c = s->compare;

    if (c == NULL || c->req != req)
        return;
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
