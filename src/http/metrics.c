/* One function for each family writes its samples; head and type come from the table. */
#include "http/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "http/metrics_int.h"
#include "http/metrics_table_int.h"

#include "base/banned.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the families, in the order of the table ---- */

static void cluster_info(struct writer *w)
{
    metrics_sample(
        w, (struct labels){{"cluster_hash", "version"}, {w->h->cluster_hash, PACKAGE_VERSION}}, 1);
}

static void up(struct writer *w)
{
    metrics_seconds(w, w->h->up_us);
}

static void rss(struct writer *w)
{
    metrics_u64(w, w->s->rss_bytes);
}

static void role(struct writer *w)
{
    static const char *const names[] = {"follower", "pre_candidate", "candidate", "leader"};

    metrics_one_of(w, "role", names, N_OF(names), raft_role_name(w->e->role));
}

static void term(struct writer *w)
{
    metrics_u64(w, w->e->term);
}

static void leader_known(struct writer *w)
{
    metrics_u64(w, w->e->leader[0] != '\0');
}

static void serving(struct writer *w)
{
    metrics_u64(w, w->e->can_serve);
}

static void fitness(struct writer *w)
{
    static const enum raft_fitness all[] = {RAFT_FIT, RAFT_PARKED, RAFT_UNFIT};

    for (unsigned i = 0; i < N_OF(all); i++)
        metrics_labelled(w, "state", raft_fitness_name(all[i]), w->h->fitness == all[i]);
}

static void commit_index(struct writer *w)
{
    metrics_u64(w, w->e->commit_index);
}

static void applied_index(struct writer *w)
{
    metrics_u64(w, w->e->applied_index);
}

static void last_index(struct writer *w)
{
    metrics_u64(w, w->e->last_index);
}

static void stored_index(struct writer *w)
{
    metrics_u64(w, w->e->stored_index);
}

static void base_index(struct writer *w)
{
    metrics_u64(w, w->e->base_index);
}

static const char *result_name(unsigned error)
{
    return error == WIRE_ERROR_NONE ? "ok" : wire_error_name((enum wire_error)error);
}

/* What never happened is left out, but for what should. */
static void reads(struct writer *w)
{
    for (unsigned op = 0; op < SERVICE_N_OPS; op++)
        for (unsigned error = 0; error < WIRE_N_ERRORS; error++) {
            const uint64_t n = w->e->requests.results[op][error];

            if (op != SERVICE_OP_WRITE && (n > 0 || error == WIRE_ERROR_NONE))
                metrics_sample(
                    w,
                    (struct labels){{"method", "result"},
                                    {service_op_name((enum service_op)op), result_name(error)}},
                    n);
        }
}

static void writes(struct writer *w)
{
    for (unsigned error = 0; error < WIRE_N_ERRORS; error++) {
        const uint64_t n = w->e->requests.results[SERVICE_OP_WRITE][error];

        if (n > 0 || error == WIRE_ERROR_NONE)
            metrics_labelled(w, "result", result_name(error), n);
    }
}

static void stages(struct writer *w)
{
    for (unsigned op = 0; op < SERVICE_N_OPS; op++)
        for (unsigned stage = 0; stage < SERVICE_N_STAGES; stage++)
            metrics_histogram(w,
                              (struct labels){{"op", "stage"},
                                              {service_op_name((enum service_op)op),
                                               service_stage_name((enum service_stage)stage)}},
                              &w->e->requests.stages[op][stage], true);
}

static void requests(struct writer *w)
{
    for (unsigned op = 0; op < SERVICE_N_OPS; op++)
        metrics_histogram(
            w, (struct labels){{"op", NULL}, {service_op_name((enum service_op)op), NULL}},
            &w->e->requests.total[op], true);
}

static void rejections(struct writer *w)
{
    for (unsigned error = WIRE_ERROR_NONE + 1; error < WIRE_N_ERRORS; error++)
        metrics_labelled(w, "reason", result_name(error), w->e->requests.rejections[error]);
}

static void slow(struct writer *w)
{
    metrics_u64(w, w->e->requests.n_slow);
}

static void waiting(struct writer *w)
{
    metrics_labelled(w, "what", "leader", w->e->n_waiting);
    metrics_labelled(w, "what", "round", w->e->n_in_round);
    metrics_labelled(w, "what", "answer", w->e->n_asking);
    metrics_labelled(w, "what", "log", w->e->n_proposed);
    metrics_labelled(w, "what", "state", w->e->n_confirmed);
}

static void rounds(struct writer *w)
{
    metrics_u64(w, w->e->rounds_opened);
}

static void rounds_confirmed(struct writer *w)
{
    metrics_u64(w, w->e->rounds_confirmed);
}

static void round_reads(struct writer *w)
{
    metrics_histogram(w, NO_LABELS, &w->e->round_reads, false);
}

static void lease_reads(struct writer *w)
{
    metrics_u64(w, w->e->lease_reads);
}

static void lease_valid(struct writer *w)
{
    metrics_u64(w, w->e->lease_valid);
}

static void lease_fallbacks(struct writer *w)
{
    for (unsigned i = 0; i < REPLICA_N_FALLBACKS; i++)
        metrics_labelled(w, "reason", replica_fallback_name((enum replica_fallback)i),
                         w->e->lease_fallbacks[i]);
}

static void asks_sent(struct writer *w)
{
    metrics_u64(w, w->e->asks_sent);
}

static void asks(struct writer *w)
{
    metrics_labelled(w, "answered", "ack", w->e->asks_by_ack);
    metrics_labelled(w, "answered", "lease", w->e->asks_by_lease);
    metrics_labelled(w, "answered", "round", w->e->asks_by_round);
}

static void leader_changes(struct writer *w)
{
    for (unsigned i = 0; i < ENGINE_N_LEADER_CHANGES; i++)
        metrics_labelled(w, "reason", engine_leader_change_name((enum engine_leader_change)i),
                         w->e->leader_changes[i]);
}

static void early_campaigns(struct writer *w)
{
    metrics_u64(w, w->e->early_campaigns);
}

static void leaderless(struct writer *w)
{
    metrics_seconds(w, w->e->leaderless_us);
}

static void failover(struct writer *w)
{
    metrics_histogram(w, NO_LABELS, &w->e->failover_us, true);
}

static void fsyncs(struct writer *w)
{
    metrics_histogram(w, NO_LABELS, &w->e->fsync_us, true);
}

static void fsyncs_slow(struct writer *w)
{
    metrics_u64(w, w->e->n_fsyncs_slow);
}

static void log_written(struct writer *w)
{
    metrics_u64(w, w->e->log_written_bytes);
}

static void log_bytes(struct writer *w)
{
    metrics_u64(w, w->e->log_bytes);
}

static void log_segments(struct writer *w)
{
    metrics_u64(w, w->e->log_segments);
}

static void log_queued(struct writer *w)
{
    metrics_u64(w, w->e->log_queued_bytes);
}

static void disk_free(struct writer *w)
{
    if (w->s->disk_free_bytes != METRICS_UNKNOWN)
        metrics_u64(w, w->s->disk_free_bytes);
}

static void state_keys(struct writer *w)
{
    metrics_u64(w, w->e->state_keys);
}

static void state_bytes(struct writer *w)
{
    metrics_u64(w, w->e->state_bytes);
}

static void state_limit(struct writer *w)
{
    metrics_u64(w, w->e->state_limit_bytes);
}

static void sessions(struct writer *w)
{
    metrics_u64(w, w->e->sessions);
}

static void full(struct writer *w)
{
    static const char *const names[] = {"log", "state", "quota", "nodes"};

    metrics_one_of(w, "what", names, N_OF(names), w->e->full);
}

static void verdict(struct writer *w)
{
    static const char *const names[] = {"good", "checking", "differs", "damaged", "rebuilding"};

    metrics_one_of(w, "verdict", names, N_OF(names), w->e->verdict);
}

static void digest_agrees(struct writer *w)
{
    metrics_u64(w, strcmp(w->e->verdict, "differs") != 0);
}

static void digest_alarms(struct writer *w)
{
    metrics_u64(w, w->e->n_digest_alarms);
}

static void scrub(struct writer *w)
{
    metrics_ratio(w, NO_LABELS, w->e->scrub_percent, 100);
}

static void snapshot_index(struct writer *w)
{
    metrics_u64(w, w->e->snapshot_index);
}

static void snapshot_bytes(struct writer *w)
{
    metrics_u64(w, w->e->snapshot_bytes);
}

static void snapshot_age(struct writer *w)
{
    if (w->e->snapshot_index != 0)
        metrics_seconds(w, w->e->snapshot_age_us);
}

static void snapshots(struct writer *w)
{
    metrics_labelled(w, "what", "made", w->e->snapshots_made);
    metrics_labelled(w, "what", "failed", w->e->snapshots_failed);
    metrics_labelled(w, "what", "sent", w->e->snapshots_sent);
    metrics_labelled(w, "what", "installed", w->e->snapshots_installed);
}

static void snapshot_progress(struct writer *w)
{
    const struct engine_metrics *e = w->e;

    metrics_ratio(w, (struct labels){{"direction", NULL}, {"making", NULL}}, e->snapshot_made_bytes,
                  e->snapshot_making ? e->snapshot_making_bytes : 0);
    metrics_ratio(w, (struct labels){{"direction", NULL}, {"receiving", NULL}},
                  e->snapshot_received_bytes, e->snapshot_receiving_bytes);
}

static struct labels of_peer(const struct engine_peer_metrics *p)
{
    return (struct labels){{"peer", NULL}, {p->name, NULL}};
}

static void transfer_progress(struct writer *w)
{
    for (unsigned i = 0; i < w->e->n_peers; i++)
        if (w->e->peers[i].snapshot_bytes != 0)
            metrics_ratio(w, of_peer(&w->e->peers[i]), w->e->peers[i].snapshot_acked_bytes,
                          w->e->peers[i].snapshot_bytes);
}

static void members(struct writer *w)
{
    metrics_labelled(w, "kind", "voter", w->e->n_voters);
    metrics_labelled(w, "kind", "learner", w->e->n_learners);
}

static bool leads(const struct writer *w)
{
    return w->e->role == RAFT_LEADER;
}

static void voters_heard(struct writer *w)
{
    if (leads(w))
        metrics_u64(w, w->e->n_voters_heard);
}

static void survivable(struct writer *w)
{
    const unsigned quorum = w->e->n_voters / 2 + 1;

    if (leads(w))
        metrics_u64(w, w->e->n_voters_heard > quorum ? w->e->n_voters_heard - quorum : 0);
}

static void peer_connected(struct writer *w)
{
    for (unsigned i = 0; i < w->e->n_peers; i++)
        metrics_sample(w, of_peer(&w->e->peers[i]), w->e->peers[i].connected);
}

static void peer_heard(struct writer *w)
{
    for (unsigned i = 0; i < w->e->n_peers && leads(w); i++)
        metrics_sample(w, of_peer(&w->e->peers[i]), w->e->peers[i].heard);
}

static void peer_rtt(struct writer *w)
{
    for (unsigned i = 0; i < w->e->n_peers; i++)
        if (w->e->peers[i].rtt_us != 0)
            metrics_sample_seconds(w, of_peer(&w->e->peers[i]), w->e->peers[i].rtt_us);
}

static void peer_behind(struct writer *w)
{
    for (unsigned i = 0; i < w->e->n_peers && leads(w); i++)
        if (w->e->peers[i].behind_entries != RAFT_BEHIND_UNKNOWN)
            metrics_sample(w, of_peer(&w->e->peers[i]), w->e->peers[i].behind_entries);
}

static void peer_fsync(struct writer *w)
{
    for (unsigned i = 0; i < w->e->n_peers; i++)
        if (w->e->peers[i].fsync_us != 0)
            metrics_sample_seconds(w, of_peer(&w->e->peers[i]), w->e->peers[i].fsync_us);
}

static void drift(struct writer *w)
{
    for (unsigned i = 0; i < w->e->n_peers; i++) {
        const struct labels l = of_peer(&w->e->peers[i]);

        if (!w->e->peers[i].drift_known)
            continue;
        metrics_name(w, "", &l, NULL);
        w->failed |= buf_add_format(w->out, "%" PRId32 "\n", w->e->peers[i].drift_ppm) != 0;
    }
}

static void peer_bytes(struct writer *w)
{
    metrics_u64(w, w->h->peer_bytes);
}

static void turns(struct writer *w)
{
    metrics_u64(w, w->h->turns.n);
}

static void turn_seconds(struct writer *w)
{
    metrics_histogram(w, NO_LABELS, &w->h->turns, true);
}

static void stood_still(struct writer *w)
{
    metrics_u64(w, w->h->n_stood_still);
}

static void memory(struct writer *w)
{
    metrics_labelled(w, "budget", "replies", w->h->replies_bytes);
    metrics_labelled(w, "budget", "requests", w->h->requests_bytes);
    metrics_labelled(w, "budget", "commands", w->h->commands_bytes);
}

static void memory_limit(struct writer *w)
{
    metrics_u64(w, w->h->memory_limit_bytes);
}

static void connections(struct writer *w)
{
    metrics_u64(w, w->h->n_connections);
}

static void connections_limit(struct writer *w)
{
    metrics_u64(w, w->h->connections_limit);
}

static void accepted(struct writer *w)
{
    metrics_u64(w, w->h->n_accepted);
}

static void refused(struct writer *w)
{
    metrics_u64(w, w->h->n_refused);
}

static void denied(struct writer *w)
{
    for (unsigned i = 0; i < SERVICE_N_IDENTITIES; i++)
        metrics_labelled(w, "identity", service_identity_name((enum service_identity)i),
                         w->h->n_denied[i]);
}

static void auth_failed(struct writer *w)
{
    metrics_u64(w, w->h->n_auth_failed);
}

static void handshakes(struct writer *w)
{
    metrics_labelled(w, "result", "done", w->h->n_handshakes);
    metrics_labelled(w, "result", "failed", w->h->n_handshakes_failed);
}

static void certificates(struct writer *w)
{
    for (unsigned i = 0; i < w->h->n_certificates; i++) {
        const struct tls_expiry *e = &w->h->certificates[i];

        metrics_labelled(w, "what", e->what, e->not_after_s > 0 ? (uint64_t)e->not_after_s : 0);
    }
}

static void client_bytes(struct writer *w)
{
    metrics_labelled(w, "direction", "in", w->h->bytes_in);
    metrics_labelled(w, "direction", "out", w->h->bytes_out);
}

static void http_requests(struct writer *w)
{
    const struct http_stats *s = &w->s->stats;

    metrics_labelled(w, "result", "ok", s->n_requests - s->n_refused - s->n_unavailable);
    metrics_labelled(w, "result", "refused", s->n_refused);
    metrics_labelled(w, "result", "unavailable", s->n_unavailable);
}

static void http_connections(struct writer *w)
{
    metrics_u64(w, w->s->stats.n_open);
}

static void http_closed(struct writer *w)
{
    metrics_labelled(w, "why", "evicted", w->s->stats.n_evicted);
    metrics_labelled(w, "why", "expired", w->s->stats.n_expired);
}

static void http_asks(struct writer *w)
{
    metrics_u64(w, w->s->costs.n);
}

static void http_loop(struct writer *w)
{
    metrics_seconds(w, w->s->costs.us_sum);
}

/* ---- the table ---- */

#define FAMILY(function, name, type, labels, help) {name, METRIC_##type, labels, help},
static const struct metric_family families[] = {METRICS(FAMILY)};
#undef FAMILY
#define FUNCTION(function, name, type, labels, help) function,
static void (*const functions[])(struct writer *w) = {METRICS(FUNCTION)};
#undef FUNCTION

const char *metric_type_name(enum metric_type type)
{
    static const char *const names[] = {"gauge", "counter", "histogram"};

    return names[type];
}

const struct metric_family *metrics_families(unsigned *ret_n)
{
    *ret_n = N_OF(families);
    return families;
}

/* A family without a sample has no head either. */
static void add_family(struct writer *w, unsigned i)
{
    const struct metric_family *f = &families[i];
    const size_t from = w->out->len;
    size_t head;

    w->failed |= buf_add_format(w->out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
                                metric_type_name(f->type)) != 0;
    head = w->out->len;
    w->name = f->name;
    functions[i](w);
    if (w->out->len == head)
        w->out->len = from;
}

int metrics_write(const struct metrics_facts *f, const struct metrics_server *s, struct buf *out)
{
    struct writer w = {.e = &f->engine, .h = &f->host, .s = s, .out = out};

    for (unsigned i = 0; i < N_OF(families) && !w.failed; i++)
        add_family(&w, i);
    return w.failed ? -ENOMEM : 0;
}
