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
    m->streams.limit = share(limit, MEMORY_STREAMS_PERCENT);
    m->kept = share(limit, MEMORY_KEPT_PERCENT);
}

void memory_init(struct memory *m, size_t limit)
{
    budget_init(&m->all, NULL, 0);
    budget_init(&m->bulk, &m->all, 0);
    budget_init(&m->replies, &m->bulk, 0);
    budget_init(&m->commands, &m->bulk, 0);
    budget_init(&m->requests, &m->all, 0);
    budget_init(&m->streams, &m->all, 0);
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
    c->memory = m;
    budget_init(&c->replies, m != NULL ? &m->replies : NULL, SIZE_MAX);
    budget_init(&c->requests, m != NULL ? &m->requests : NULL, SIZE_MAX);
    budget_init(&c->commands, m != NULL ? &m->commands : NULL, SIZE_MAX);
    budget_init(&c->stream, m != NULL ? &m->streams : NULL, SIZE_MAX);
    c->waits = false;
}

/* Here alone, with so much of it left to others. */
static bool fits(const struct budget *b, size_t bytes, size_t kept)
{
    const size_t limit = b->limit > kept ? b->limit - kept : 0;

    return b->used <= limit && bytes <= limit - b->used;
}

/* Who has few requests under way may use what is kept back from replies, and from those who have
 * many: else a client that has one would be refused for what others do not read (CLIENT-14). */
bool memory_conn_may_hold(const struct memory_conn *c, size_t request, size_t command)
{
    const struct memory *m = c->memory;
    const bool is_few =
        c->requests.used + c->commands.used + request + command <= CLIENT_HELD_BYTES_FREE;
    size_t kept;

    if (m == NULL)
        return true;
    kept = is_few ? 0 : m->kept;
    return fits(&m->all, request + command, kept) && fits(&m->requests, request, kept) &&
           (command == 0 ||
            (fits(&m->commands, command, kept) && (is_few || fits(&m->bulk, command, 0))));
}

/* The account that holds for one more reply. Who owes next to nothing may use what is kept back
 * from those who do not read: else a few slow readers would be the only ones that are served
 * (CLIENT-14). But not what is kept for requests: many who owe nothing yet would take it. */
static const struct budget *judge_of(const struct memory_conn *c, const struct buf *out)
{
    const struct budget *kind = c->replies.up;

    return out->len > CLIENT_OUT_BYTES_FREE ? kind : kind->up;
}

static bool may_owe(const struct memory_conn *c, const struct buf *out, size_t bytes)
{
    const struct memory *m = c->memory;

    return m == NULL || (budget_may(judge_of(c, out), bytes) && fits(&m->all, bytes, m->kept));
}

bool memory_conn_may_reply(struct memory_conn *c, const struct buf *out, size_t bytes)
{
    const size_t after = buf_size_with(out, bytes);
    const size_t more = after > c->replies.used ? after - c->replies.used : 0;
    const bool may = out->len + bytes <= CLIENT_OUT_BYTES_HIGH && may_owe(c, out, more);

    if (may)
        budget_take(&c->replies, more);
    else
        c->waits = true;
    return may;
}

/* A buffer grows by doubling: from the low mark by one reply, to four of them at most. */
bool memory_conn_has_room(const struct memory_conn *c, const struct buf *out)
{
    return out->len <= CLIENT_OUT_BYTES_LOW && may_owe(c, out, (size_t)4 * REPLY_BYTES_MAX);
}
