/* Fields appear in the order of the comment in raft/types.h, and only those that the type of
 * message uses. */
#include "sim/print.h"

#include <inttypes.h>

#include "base/assert.h"

#include "base/banned.h"

#define add(b, ...) rid_assert(buf_add_format((b), __VA_ARGS__) == 0)

void sim_print_entry(struct buf *b, const struct raft_entry *e)
{
    add(b, "%" PRIu64 "/%" PRIu64 " %s", e->id.term, e->id.index, raft_entry_type_name(e->type));
    if (e->type == RAFT_ENTRY_COMMAND && e->len > 0 && e->len <= 24)
        add(b, " \"%.*s\"", (int)e->len, (const char *)e->data);
    else if (e->type == RAFT_ENTRY_COMMAND)
        add(b, " (%" PRIu32 " bytes)", e->len);
}

void sim_print_entries(struct buf *b, const struct raft_entry *entries, unsigned n)
{
    add(b, "[");
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            add(b, ", ");
        sim_print_entry(b, &entries[i]);
    }
    add(b, "]");
}

void sim_print_msg(struct buf *b, const struct raft_msg *m, sim_name_fn name, void *ctx)
{
    add(b, "%s->", name(ctx, m->from));
    add(b, "%s %s term=%" PRIu64, name(ctx, m->to), raft_msg_type_name(m->type), m->term);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        add(b, " last=%" PRIu64 "/%" PRIu64, m->prev.term, m->prev.index);
        break;
    case RAFT_MSG_APPEND:
        add(b, " prev=%" PRIu64 "/%" PRIu64 " commit=%" PRIu64 " ", m->prev.term, m->prev.index,
            m->leader_commit);
        sim_print_entries(b, m->entries, m->n_entries);
        break;
    case RAFT_MSG_APPEND_RESP:
        add(b, " index=%" PRIu64, m->index);
        break;
    case RAFT_MSG_HEARTBEAT:
        add(b, " round=%" PRIu64 " commit=%" PRIu64, m->round, m->leader_commit);
        if (m->beat.lease_us > 0)
            add(b, " lease=%" PRIu64 "ms", m->beat.lease_us / 1000);
        if (m->beat.stamp.nonce != 0)
            add(b, " proved=%" PRIu64, m->beat.proved_index);
        break;
    case RAFT_MSG_HEARTBEAT_RESP:
        add(b, " round=%" PRIu64 "%s", m->round, m->beat.leased ? " leased" : "");
        break;
    case RAFT_MSG_READ_ASK:
        add(b, " ask=%" PRIu64, m->ask.number);
        break;
    case RAFT_MSG_READ_ANSWER:
        add(b, " ask=%" PRIu64, m->ask.number);
        if (m->reject)
            add(b, " leader=%s", name(ctx, m->leader));
        else
            add(b, " index=%" PRIu64, m->index);
        break;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
    case RAFT_MSG_SNAPSHOT_RESP:
        break;
    }
    if (m->left_us > 0)
        add(b, " left=%" PRIu64 "ms", m->left_us / 1000);
    if (m->reject)
        add(b, " reject");
    if (m->type == RAFT_MSG_APPEND_RESP && m->reject)
        add(b, " hint=%" PRIu64 "/%" PRIu64, m->hint.term, m->hint.index);
    if (m->transfer)
        add(b, " transfer");
    if ((m->note.flags & RAFT_NOTE_UNFIT) != 0)
        add(b, " unfit");
    else if ((m->note.flags & RAFT_NOTE_PARKED) != 0)
        add(b, " parked");
}
