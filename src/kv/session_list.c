/* All sessions by client, for who is to go when there are too many.
 *
 * Clients are indexes of the log, so that a new one stands at the end; and there are few enough
 * that the one not used for the longest time is looked for one by one, which happens when a session
 * goes and not when one is used. */
#include <string.h>

#include "base/assert.h"
#include "kv/session_int.h"

#include "base/banned.h"

/* The first one that is not below client. */
static unsigned place_of(const struct session_list *l, uint64_t client)
{
    unsigned from = 0;
    unsigned to = l->n;

    while (from < to) {
        const unsigned middle = (from + to) / 2;

        if (l->heads[middle].client < client)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

const struct session_head *session_list_find(const struct session_list *l, uint64_t client)
{
    const unsigned i = place_of(l, client);

    return i < l->n && l->heads[i].client == client ? &l->heads[i] : NULL;
}

bool session_list_add(struct session_list *l, const struct session_head *head)
{
    if (l->n > SESSIONS_MAX || (l->n > 0 && l->heads[l->n - 1].client >= head->client))
        return false;
    l->heads[l->n++] = *head;
    l->bytes += head->bytes;
    return true;
}

void session_list_use(struct session_list *l, const struct session_head *head)
{
    struct session_head *known = &l->heads[place_of(l, head->client)];

    rid_assert(known->client == head->client);
    rid_assert(known->used < head->used);
    l->bytes = l->bytes - known->bytes + head->bytes;
    *known = *head;
}

void session_list_drop(struct session_list *l, uint64_t client)
{
    const unsigned i = place_of(l, client);

    rid_assert(i < l->n);
    rid_assert(l->heads[i].client == client);
    l->bytes -= l->heads[i].bytes;
    l->n--;
    memmove(&l->heads[i], &l->heads[i + 1], (l->n - i) * sizeof(l->heads[0]));
}

/* Two are never as old as each other: an entry uses one. */
static const struct session_head *oldest(const struct session_list *l)
{
    const struct session_head *found = &l->heads[0];

    for (unsigned i = 1; i < l->n; i++)
        if (l->heads[i].used < found->used)
            found = &l->heads[i];
    return found;
}

static uint64_t bytes_max(uint64_t limit_bytes)
{
    const uint64_t part = limit_bytes / SESSIONS_QUOTA_PART;

    return limit_bytes == 0 || part > SESSIONS_BYTES_MAX ? SESSIONS_BYTES_MAX : part;
}

/* By what the log has brought about alone (SESSION-5): numbers of entries, not of seconds. */
bool session_list_is_over(const struct session_list *l, uint64_t limit_bytes, uint64_t *ret_client)
{
    if (l->n <= 1 || (l->n <= SESSIONS_MAX && l->bytes <= bytes_max(limit_bytes)))
        return false;
    *ret_client = oldest(l)->client;
    return true;
}
