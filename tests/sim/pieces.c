/* Appends that a leader may send and hardly ever does.
 *
 * The core finds the place where logs agree in few steps and sends from there on. Raft allows more:
 * in its term a leader may send any entries that follow each other in its log, behind any entry of
 * it, in any order, as often as it likes, with any commit index up to its own. A follower's rules
 * hold for all of them - what it acknowledges and commits is what this very message proved, what
 * agrees is never truncated - and only such messages tell whether it keeps them. So the driver
 * slips them in before its other messages, made from what it has handed to its log. */
#include "sim/sim.h"

#include "base/banned.h"

#define PIECE_ENTRIES_MAX 6u

/* Up to where the two logs are one; both begin with the same entry. */
static raft_index agree_up_to(const struct shadow_log *a, const struct shadow_log *b)
{
    raft_index i = a->n < b->n ? a->n : b->n;

    while (i > 1 && a->entries[i - 1].chain != b->entries[i - 1].chain)
        i--;
    return i;
}

static raft_index draw_prev(struct sim *s, unsigned leader, raft_index last)
{
    uint64_t back = sim_below(s, STREAM_PIECE, leader, 4) == 0 ? last : last < 12 ? last : 12;

    return last - sim_below(s, STREAM_PIECE, leader, back);
}

static unsigned fill(struct sim_node *n, raft_index prev, raft_index last,
                     struct raft_entry *ret_entries)
{
    struct sim *s = n->sim;
    const struct shadow_log *log = &n->wal.tail;
    unsigned n_max = (unsigned)sim_below(s, STREAM_PIECE, n->i, PIECE_ENTRIES_MAX + 1);
    unsigned count = 0;
    size_t bytes = 0;

    for (; count < n_max && prev + count < last; count++) {
        raft_index index = prev + count + 1;

        if (!oracle_entry_get(s, index, log->entries[index - 1].term, &ret_entries[count]))
            break; /* its configuration */
        bytes += ret_entries[count].len;
        if (count > 0 && bytes > s->p.append_bytes_max)
            break;
    }
    return count;
}

void pieces_send(struct sim_node *n, const struct raft_msg *m)
{
    struct sim *s = n->sim;
    const struct raft *r = node_raft(n);
    struct raft_entry entries[PIECE_ENTRIES_MAX];
    const struct sim_node *receiver;
    struct raft_msg piece;
    raft_index last = n->wal.tail.n;
    unsigned to;

    if ((m->type != RAFT_MSG_APPEND && m->type != RAFT_MSG_HEARTBEAT) ||
        raft_get_role(r) != RAFT_LEADER || raft_get_term(r) != m->term ||
        !sim_chance(s, STREAM_PIECE, n->i, s->p.piece_ppm))
        return;
    MARK(s, pieces);
    piece = (struct raft_msg){.type = RAFT_MSG_APPEND,
                              .from = n->id,
                              .to = m->to,
                              .term = m->term,
                              .leader_commit = raft_get_commit_index(r),
                              .entries = entries};
    to = (unsigned)sim_below(s, STREAM_PIECE, n->i, 2 * s->p.n_nodes);
    if (to < s->p.n_nodes && to != n->i)
        piece.to = s->nodes[to].id;
    /* Most of all one that ends before the receiver's log turns into another: it proves nothing of
     * what stands behind. */
    receiver = node_of_id(s, piece.to);
    if (sim_below(s, STREAM_PIECE, n->i, 2) == 0)
        last = agree_up_to(&n->wal.tail, &receiver->wal.tail);
    piece.prev.index = draw_prev(s, n->i, last);
    piece.prev.term = n->wal.tail.entries[piece.prev.index - 1].term;
    piece.n_entries = fill(n, piece.prev.index, last, entries);
    if (sim_below(s, STREAM_PIECE, n->i, 4) == 0)
        piece.leader_commit -= sim_below(s, STREAM_PIECE, n->i, piece.leader_commit + 1);
    net_send(n, &piece);
}
