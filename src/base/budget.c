/* Who may have how much. Each kind has a share of the whole below the whole, so that none of them
 * shuts out the others: waiting writes leave room for replies, and both together for requests. */
#include "base/budget.h"

#include "base/banned.h"

static size_t share(size_t limit, unsigned percent)
{
    return limit / 100 * percent;
}

void memory_set_limit(struct memory *m, size_t limit)
{
    m->all.limit = limit;
    m->bulk.limit = share(limit, MEMORY_BULK_PERCENT);
    m->replies.limit = share(limit, MEMORY_REPLIES_PERCENT);
    m->requests.limit = share(limit, MEMORY_REQUESTS_PERCENT);
    m->commands.limit = share(limit, MEMORY_COMMANDS_PERCENT);
}

void memory_init(struct memory *m, size_t limit)
{
    budget_init(&m->all, NULL, 0);
    budget_init(&m->bulk, &m->all, 0);
    budget_init(&m->replies, &m->bulk, 0);
    budget_init(&m->commands, &m->bulk, 0);
    budget_init(&m->requests, &m->all, 0);
    memory_set_limit(m, limit);
}

static bool nearly(const struct budget *b)
{
    return b->used > share(b->limit, MEMORY_TIGHT_PERCENT);
}

bool memory_is_tight(const struct memory *m)
{
    return nearly(&m->all) || nearly(&m->replies);
}

void memory_conn_init(struct memory_conn *c, struct memory *m)
{
    budget_init(&c->replies, m != NULL ? &m->replies : NULL, SIZE_MAX);
    budget_init(&c->requests, m != NULL ? &m->requests : NULL, SIZE_MAX);
    budget_init(&c->commands, m != NULL ? &m->commands : NULL, SIZE_MAX);
    c->waits = false;
}

/* The account that holds for one more reply. Who owes next to nothing may use what is kept back
 * from those who do not read: else a few slow readers would be the only ones that are served
 * (CLIENT-14). But not what is kept for requests: many who owe nothing yet would take it. */
static const struct budget *judge_of(const struct memory_conn *c, const struct buf *out)
{
    const struct budget *kind = c->replies.up;

    return kind == NULL || out->len > CLIENT_OUT_BYTES_FREE ? kind : kind->up;
}

bool memory_conn_may_reply(struct memory_conn *c, const struct buf *out, size_t bytes)
{
    const struct budget *judge = judge_of(c, out);
    const size_t after = buf_size_with(out, bytes);
    const size_t more = after > c->replies.used ? after - c->replies.used : 0;
    bool may = out->len + bytes <= CLIENT_OUT_BYTES_HIGH;

    if (may && judge != NULL)
        may = budget_may(judge, more);
    if (may)
        budget_take(&c->replies, more);
    else
        c->waits = true;
    return may;
}

/* A buffer grows by doubling: from the low mark by one reply, to four of them at most. */
bool memory_conn_has_room(const struct memory_conn *c, const struct buf *out)
{
    const struct budget *judge = judge_of(c, out);

    return out->len <= CLIENT_OUT_BYTES_LOW &&
           (judge == NULL || budget_may(judge, (size_t)4 * REPLY_BYTES_MAX));
}
