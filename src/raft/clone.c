/* A copy of a core at rest. Everything that it owns is made anew; what the last ready handed out
 * stays with the original. */
#include "raft/image.h"

#include <errno.h>

#include "raft/raft_int.h"

/* The runs that begin before what is cached; the entries bring theirs. */
static int copy_log(const struct raft_log *from, struct mem mem, struct raft_log *to)
{
    size_t n_terms = 0;
    int rc;

    while (n_terms < from->n_terms && from->terms[n_terms].first < from->first_cached)
        n_terms++;
    rc = raft_log_init(to, mem, from->base, from->terms, n_terms, from->first_cached - 1);
    for (raft_index i = from->first_cached; rc == 0 && i <= from->last_index; i++)
        rc = raft_log_append(to, raft_log_get(from, i));
    return rc;
}

static int copy_configs(const struct raft *from, struct raft *to)
{
    to->configs =
        to->conf.mem.resize(to->conf.mem.ctx, NULL, from->n_configs * sizeof(*to->configs));
    if (to->configs == NULL)
        return -ENOMEM;
    memcpy(to->configs, from->configs, from->n_configs * sizeof(*to->configs));
    to->n_configs = from->n_configs;
    to->configs_size = from->n_configs;
    return 0;
}

static int copy_reads(const struct read_ring *from, struct read_ring *to)
{
    int rc = read_ring_reserve(to, read_ring_n(from));

    for (size_t i = 0; rc == 0 && i < read_ring_n(from); i++)
        rc = read_ring_push(to, *read_ring_at(from, i));
    return rc;
}

static int copy_marks(const struct mark_ring *from, struct mark_ring *to)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < mark_ring_n(from); i++)
        rc = mark_ring_push(to, *mark_ring_at(from, i));
    return rc;
}

/* All that points anywhere points nowhere: what is half made can be freed. */
static void disown(struct raft *r, const struct raft_conf *conf)
{
    const size_t n_inflight = r->reads.n_inflight;
    const size_t n_asks = r->reads.n_asks;

    r->conf.mem = conf->mem;
    r->conf.log_reader = conf->log_reader;
    r->conf.trace = conf->trace;
    r->conf.trace_ctx = conf->trace_ctx;
    arena_init(&r->arena, conf->mem);
    r->configs = NULL;
    r->n_configs = 0;
    r->configs_size = 0;
    memset(&r->log, 0, sizeof(r->log));
    raft_read_queue_init(&r->reads, conf->mem);
    r->reads.n_inflight = n_inflight;
    r->reads.n_asks = n_asks;
    mark_ring_init(&r->marks, conf->mem);
    r->msgs = (struct msg_queue){0};
    r->msgs_after = (struct msg_queue){0};
    r->out = (struct msg_queue){0};
    r->out_after = (struct msg_queue){0};
}

int raft_clone(const struct raft *r, const struct raft_conf *conf, struct raft **ret_raft)
{
    struct raft *c = conf->mem.resize(conf->mem.ctx, NULL, sizeof(*c));
    int rc;

    rid_assert(raft_is_at_rest(r));
    if (c == NULL)
        return -ENOMEM;
    *c = *r;
    disown(c, conf);
    rc = copy_log(&r->log, conf->mem, &c->log);
    if (rc == 0)
        rc = copy_configs(r, c);
    if (rc == 0)
        rc = copy_reads(&r->reads.list, &c->reads.list);
    if (rc == 0)
        rc = copy_reads(&r->reads.floors, &c->reads.floors);
    if (rc == 0)
        rc = copy_marks(&r->marks, &c->marks);
    if (rc != 0) {
        raft_free(c);
        return rc;
    }
    *ret_raft = c;
    return 0;
}
