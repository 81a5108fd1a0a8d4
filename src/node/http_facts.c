/* What the loop puts up for HTTP: copied, not rendered, where rendering takes long. */
#include <string.h>

#include "base/clock.h"
#include "http/metrics.h"
#include "node/http_int.h"

#include "base/banned.h"

static void *room_for(struct buf *out, size_t size)
{
    void *p = buf_reserve(out, size);

    if (p == NULL)
        return NULL;
    out->len += size;
    memset(p, 0, size);
    return p;
}

static bool fill_ready(struct node *n, struct buf *out)
{
    struct node_ready *r = room_for(out, sizeof(*r));
    const char *addr;

    if (r == NULL)
        return false;
    engine_get_health(n->engine, &r->health);
    r->stopping = n->phase != NODE_RUNNING;
    addr = r->health.leader_id != 0 ? node_client_addr(n, r->health.leader_id) : NULL;
    (void)snprintf(r->leader_addr, sizeof(r->leader_addr), "%s", addr != NULL ? addr : "");
    return true;
}

static bool fill_metrics(struct node *n, struct buf *out)
{
    struct metrics_facts *f = room_for(out, sizeof(*f));
    struct client_port_stats clients;

    if (f == NULL)
        return false;
    engine_get_metrics(n->engine, &f->engine);
    client_port_get_stats(n->client_port, &clients);
    f->host = (struct metrics_host){.fitness = raft_get_fitness(engine_raft(n->engine)),
                                    .up_us = clock_mono_us() - n->started_us,
                                    .n_connections = clients.n_open,
                                    .connections_limit = clients.limit,
                                    .n_accepted = clients.n_accepted,
                                    .n_refused = clients.n_refused,
                                    .bytes_in = clients.bytes_in,
                                    .bytes_out = clients.bytes_out,
                                    .memory_limit_bytes = n->memory.all.limit,
                                    .replies_bytes = n->memory.replies.used,
                                    .requests_bytes = n->memory.requests.used,
                                    .commands_bytes = n->memory.commands.used,
                                    .peer_bytes = n->wire_bytes,
                                    .turns = n->turns.all,
                                    .n_stood_still = n->clocks.n_late};
    memcpy(f->host.n_denied, n->access.n_denied, sizeof(f->host.n_denied));
    f->host.n_auth_failed = n->access.n_auth_failed;
    f->host.n_handshakes = clients.n_handshakes;
    f->host.n_handshakes_failed = clients.n_handshakes_failed;
    f->host.n_certificates = n->tls.n_expiries;
    memcpy(f->host.certificates, n->tls.expiries, sizeof(f->host.certificates));
    (void)snprintf(f->host.cluster_hash, sizeof(f->host.cluster_hash), "%s", n->cluster_hash);
    return true;
}

bool node_http_fill(void *ctx, unsigned kind, struct buf *out)
{
    static const struct wire_origin bare;
    struct node *n = ctx;

    switch ((enum node_http_kind)kind) {
    case NODE_HTTP_READY:
        return fill_ready(n, out);
    case NODE_HTTP_METRICS:
        return fill_metrics(n, out);
    case NODE_HTTP_STATUS:
        service_write_status(engine_service(n->engine), out, &bare);
        break;
    case NODE_HTTP_SLOW:
        service_write_slow(engine_service(n->engine), out, &bare);
        break;
    case NODE_HTTP_KINDS:
        break;
    }
    return out->len > 0;
}
