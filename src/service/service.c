/* Birth and death of the service and of its connections; what a host may ask of it between lines.
 *
 * The life of a request goes the other way through the files: a line is decoded and handed to its
 * verb (lines.c), admitted (admission.c), given to the replica, answered by one callback. */
#include "service/service.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "raft/raft.h"
#include "service/service_int.h"

#include "base/banned.h"

int service_new(const struct service_conf *conf, const struct service_ops *ops,
                struct service **ret)
{
    struct service *s = calloc(1, sizeof(*s));
    int rc;

    if (s == NULL)
        return -ENOMEM;
    rc = wire_decoder_new(&s->decoder);
    if (rc == 0)
        rc = wire_decoder_new(&s->long_line.decoder);
    if (rc != 0) {
        wire_decoder_free(s->decoder);
        free(s);
        return rc;
    }
    s->ops = *ops;
    s->conf = *conf;
    buf_init(&s->scratch);
    prng_init(&s->prng, conf->seed);
    list_init(&s->transfers);
    list_init(&s->parts);
    timers_init(&s->waiting, ops->now_us(ops->ctx));
    s->slow.threshold_us = UINT64_MAX;
    *ret = s;
    return 0;
}

void service_set_replica(struct service *s, struct replica *replica, const char *node_name)
{
    if (replica != NULL)
        rid_assert(replica_group(replica) == s->conf.group);
    s->replica = replica;
    s->conf.node_name = node_name;
}

void service_free(struct service *s)
{
    if (s == NULL)
        return;
    compare_free(s->compare);
    service_requests_done(s);
    wire_decoder_free(s->decoder);
    wire_decoder_free(s->long_line.decoder);
    buf_done(&s->scratch);
    free(s);
}

struct wire_decoder *service_decoder(struct service *s)
{
    return s->decoder;
}

uint64_t service_next_msg_id(struct service *s)
{
    return s->next_msg_id++;
}

void service_set_slow(struct service *s, uint64_t threshold_us)
{
    s->slow.threshold_us = threshold_us;
}

void service_get_counts(struct service *s, struct service_counts *ret)
{
    service_count_alike(s);
    *ret = s->counts;
    for (unsigned op = 0; op < SERVICE_N_OPS; op++)
        for (unsigned stage = 0; stage < SERVICE_N_STAGES; stage++)
            service_complete(&ret->stages[op][stage], ret->total[op].n);
}

uint64_t service_slow_threshold_us(const struct service *s)
{
    return s->slow.threshold_us;
}

unsigned service_n_pending(const struct service *s)
{
    return s->n_pending;
}

int service_conn_new(struct service *s, void *host_conn, struct service_conn **ret)
{
    struct service_conn *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return -ENOMEM;
    c->service = s;
    c->host = host_conn;
    list_init(&c->requests);
    list_init(&c->waiting);
    if (s->ops.memory != NULL)
        c->memory = s->ops.memory(s->ops.ctx, host_conn);
    *ret = c;
    return 0;
}

void service_conn_free(struct service_conn *c)
{
    if (c == NULL)
        return;
    while (!list_empty(&c->requests)) {
        struct request *req = list_entry(c->requests.next, struct request, link);

        compare_cancel(c->service, req);
        if (c->service->replica != NULL)
            replica_cancel(c->service->replica, &req->rr);
        service_request_free(req);
    }
    service_line_forget(c->service, c);
    free(c);
}

void service_conn_check(const struct service_conn *c)
{
    size_t requests = 0;
    size_t commands = 0;
    unsigned n_waiting = 0;

    list_for_each(it, &c->requests)
    {
        const struct request *req = list_entry_const(it, struct request, link);

        requests += req->charged;
        commands += req->charged_command;
        n_waiting += !list_empty(&req->waiting_link);
        if (!list_empty(&req->waiting_link))
            rid_assert(req->rr.stage == REPLICA_IDLE);
        rid_assert(req->rr.command == NULL || req->rr.command_len == req->charged_command);
    }
    list_for_each(it, &c->waiting) n_waiting--;
    rid_assert(n_waiting == 0);
    if (c->memory == NULL)
        return;
    rid_assert(c->memory->requests.used >= requests);
    rid_assert(c->memory->commands.used == commands);
}
