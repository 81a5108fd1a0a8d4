/* The figures of a node as Prometheus reads them: one table of families, from which the text, the
 * table in docs/METRICS.md and the checks of rules and dashboard come.
 *
 * For: /metrics. The names, types and labels of the table are promised: what is renamed or taken
 * away breaks somebody's dashboard, and stands in CHANGELOG.md.
 * Not for: asking a node: the facts are copied on its loop, the text is made elsewhere.
 * Units: base units in the text (seconds, bytes), microseconds in the facts.
 * Ownership: facts are borrowed during the call.
 * Errors: -ENOMEM.
 * Thread: pure, any thread.
 * Source: Prometheus, "Metric and label naming" and "Text-based format" 0.0.4. No key, no value and
 * no secret id is in it (HTTP-6). */
#ifndef RIDD_HTTP_METRICS_H
#define RIDD_HTTP_METRICS_H

#include "base/buf.h"
#include "engine/metrics.h"
#include "http/board.h"
#include "http/http.h"
#include "tls/tls.h"

#define METRICS_UNKNOWN UINT64_MAX
#define METRICS_TYPE    "text/plain; version=0.0.4; charset=utf-8"

/* What the host of the engine adds: on its loop. */
struct metrics_host {
    char cluster_hash[64]; /* what clients are shown of the cluster's id */
    enum raft_fitness fitness;
    uint64_t up_us;
    unsigned n_connections;
    unsigned connections_limit;
    uint64_t n_accepted;
    uint64_t n_refused;
    uint64_t n_denied[SERVICE_N_IDENTITIES]; /* requests */
    uint64_t n_auth_failed;
    uint64_t n_handshakes; /* of clients by TLS */
    uint64_t n_handshakes_failed;
    unsigned n_certificates;
    struct tls_expiry certificates[2 * TLS_EXPIRIES_MAX];
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t memory_limit_bytes;
    uint64_t replies_bytes;
    uint64_t requests_bytes;
    uint64_t commands_bytes;
    uint64_t peer_bytes;    /* of frames, both ways */
    struct histogram turns; /* CPU time of each turn of the loop */
    uint64_t n_stood_still; /* times that the loop woke far too late */
};

/* Some 120 kB. */
struct metrics_facts {
    struct engine_metrics engine;
    struct metrics_host host;
};

/* Known on the thread of HTTP alone. */
struct metrics_server {
    uint64_t rss_bytes;       /* of the process */
    uint64_t disk_free_bytes; /* of the data directory's file system, or METRICS_UNKNOWN */
    struct http_stats stats;
    struct board_costs costs;
};

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM };
const char *metric_type_name(enum metric_type type);

struct metric_family {
    const char *name; /* "ridd_reads_total" */
    enum metric_type type;
    const char *labels; /* "method, result"; "" none */
    const char *help;
};
/* All, in the order in which they are written. */
const struct metric_family *metrics_families(unsigned *ret_n);

int metrics_write(const struct metrics_facts *f, const struct metrics_server *s, struct buf *out);
/* A value of a label: its quotes, backslashes and newlines escaped. */
int metrics_add_label(struct buf *out, const char *text);

#endif
