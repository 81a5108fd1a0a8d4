/* The byte oracle (CLIENT-13, CORE-4): what a node holds is walked, and compared with the accounts and
 * with the bounds.
 *
 * Accounts that the core keeps of its own log and appends raft_check() walks in every turn; here are
 * those that go through more than one module: replies, requests and commands of clients of lines by
 * what the allocator says of them, what waits for the disk by what was handed over, entries in memory
 * by the rule that lets go of them. */
#include <inttypes.h>
#include <malloc.h>

#include "raft/raft_int.h"
#include "service/service_int.h"
#include "sim/lines.h"

#include "base/banned.h"

/* What a reply without a value may take, and the answer to a line that is refused. */
#define SMALL_REPLY_BYTES (8u << 10)

static size_t usable(const void *p)
{
    return p != NULL ? malloc_usable_size((void *)(uintptr_t)p) : 0;
}

struct walked {
    size_t requests;
    size_t commands;
    unsigned n;
};

static void walk(const struct talker *t, struct walked *ret)
{
    *ret = (struct walked){0};
    list_for_each(it, &t->conn->requests)
    {
        const struct request *q = list_entry_const(it, struct request, link);

        ret->n++;
        ret->requests += usable(q) + usable(q->keys) + usable(q->origin.src.data);
        ret->commands += q->rr.command != NULL ? q->rr.command_len : 0;
    }
}

/* Each connection's accounts are what it holds. */
static void check_conn(struct sim_node *n, const struct talker *t)
{
    struct sim *s = n->sim;
    struct walked w;

    walk(t, &w);
    if (w.n != t->n_held)
        sim_fail(s, "CLIENT-4", "n%u holds %u requests and says %u", n->i + 1, w.n, t->n_held);
    if (w.commands != t->memory.commands.used)
        sim_fail(s, "CLIENT-13", "n%u holds %zu bytes of commands, its account has %zu", n->i + 1,
                 w.commands, t->memory.commands.used);
    if (w.requests > t->memory.requests.used)
        sim_fail(s, "CLIENT-13", "n%u holds %zu bytes of requests, its account has %zu", n->i + 1,
                 w.requests, t->memory.requests.used);
    if (w.n == 0 && t->memory.requests.used != 0)
        sim_fail(s, "CLIENT-13", "n%u holds no request, its account has %zu bytes", n->i + 1,
                 t->memory.requests.used);
    if (t->out.size != t->memory.replies.used)
        sim_fail(s, "CLIENT-13", "n%u holds %zu bytes of replies, its account has %zu", n->i + 1,
                 t->out.size, t->memory.replies.used);
}

/* What is charged to connections is charged to all, and all is within the limit: beyond it comes
 * only what is answered without asking. */
static void check_all(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct memory *m = &n->memory;
    size_t replies = 0;
    size_t requests = 0;
    size_t commands = 0;
    size_t beyond = 0;

    for (unsigned i = 0; i < s->n_talkers; i++) {
        const struct talker *t = &s->talkers[i];

        if (t->conn == NULL || t->node != n->i)
            continue;
        check_conn(n, t);
        replies += t->memory.replies.used;
        requests += t->memory.requests.used;
        commands += t->memory.commands.used;
        beyond += CLIENT_OUT_BYTES_FREE + SMALL_REPLY_BYTES * (t->n_held + 32u);
    }
    if (replies != m->replies.used || requests != m->requests.used ||
        commands != m->commands.used || replies + requests + commands != m->all.used)
        sim_fail(s, "CLIENT-13",
                 "n%u: connections have %zu + %zu + %zu bytes, the accounts %zu + %zu + %zu, in "
                 "all %zu",
                 n->i + 1, replies, requests, commands, m->replies.used, m->requests.used,
                 m->commands.used, m->all.used);
    if (requests > m->requests.limit || commands > m->commands.limit ||
        m->all.used > m->all.limit + beyond + replies / 2)
        sim_fail(s, "CLIENT-13", "n%u holds %zu + %zu + %zu bytes of clients, of %zu", n->i + 1,
                 replies, requests, commands, m->all.limit);
}

/* What waits for the disk: as much as was handed over and is not durable. */
static void check_queue(struct sim_node *n)
{
    struct store_stats st;
    uint64_t bytes = 0;
    uint64_t records = snap_is_on(n->sim) ? 4 : 0; /* marks, that nobody else counts */

    if (n->wal.busy || n->wal.store == NULL)
        return;
    store_get_counts(n->wal.store, &st);
    for (const struct shadow_batch *b = n->wal.first; b != NULL; b = b->next) {
        records += 1 + b->n_added + (b->reset.index != 0 ? 16 : 0);
        for (uint64_t i = 0; i < b->n_added; i++)
            bytes += b->added[i].bytes;
    }
    if (st.queued_bytes < bytes || st.queued_bytes > bytes + records * 128)
        sim_fail(n->sim, "CORE-4",
                 "%" PRIu64 " bytes in %" PRIu64 " records wait for the disk of n%u, its account "
                 "has %" PRIu64,
                 bytes, records, n->i + 1, st.queued_bytes);
}

/* Entries in memory: those that are not applied, and of the others so many as are asked for. */
static void check_cache(struct sim_node *n)
{
    const struct raft *r = node_raft(n);
    size_t bytes = 0;

    if (r->log.cached_bytes <= n->sim->p.cache_bytes_max)
        return;
    for (raft_index i = r->log.first_cached; i <= r->last_applied; i++)
        bytes += raft_entry_bytes(raft_log_get(&r->log, i));
    if (bytes > n->sim->p.cache_bytes_max)
        sim_fail(n->sim, "CORE-4",
                 "n%u keeps %zu bytes of entries that it has applied, and %zu are allowed",
                 n->i + 1, bytes, n->sim->p.cache_bytes_max);
}

void bytes_turn(struct sim_node *n)
{
    if (lines_are_on(n->sim))
        check_all(n);
    check_queue(n);
    check_cache(n);
}

void bytes_before(struct talker *t)
{
    t->out_before = t->out.len;
    t->charged_before = t->memory.replies.used;
}

/* A line is answered at once with little, or with what was asked for first. */
void bytes_after(struct sim_node *n, struct talker *t)
{
    const size_t more = t->memory.replies.used - t->charged_before;

    if (t->out.len > t->out_before + more + SMALL_REPLY_BYTES)
        sim_fail(n->sim, "CLIENT-13", "n%u answers a line with %zu bytes and has asked for %zu",
                 n->i + 1, t->out.len - t->out_before, more);
}

/* A value has room before it is copied. */
void bytes_answered(struct sim_node *n, const struct talker *t)
{
    if (t->out.len > t->memory.replies.used + CLIENT_OUT_BYTES_FREE + SMALL_REPLY_BYTES)
        sim_fail(n->sim, "CLIENT-13",
                 "n%u owes a client %zu bytes of replies and has asked for %zu", n->i + 1,
                 t->out.len, t->memory.replies.used);
}

void bytes_gone(struct sim_node *n, const struct talker *t)
{
    if (t->memory.replies.used + t->memory.requests.used + t->memory.commands.used != 0)
        sim_fail(n->sim, "CLIENT-13", "a connection to n%u is gone, and %zu + %zu + %zu bytes stay",
                 n->i + 1, t->memory.replies.used, t->memory.requests.used,
                 t->memory.commands.used);
}
