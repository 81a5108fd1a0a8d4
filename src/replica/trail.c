/* Rings of fixed size: what is written last is found first. */
#include "replica/trail.h"

#include <stddef.h>

#include "base/banned.h"

static struct trail_mark *mark_at(struct trail_marks *m, uint64_t n)
{
    return &m->marks[n % TRAIL_MARKS];
}

static const struct trail_mark *mark_of(const struct trail_marks *m, uint64_t n)
{
    return &m->marks[n % TRAIL_MARKS];
}

/* How far back the ring goes. */
static uint64_t first_of(uint64_t n, uint64_t size)
{
    return n > size ? n - size : 0;
}

void trail_committed(struct trail *t, raft_index index, uint64_t now_us, raft_node_id by,
                     uint64_t disk_us)
{
    *mark_at(&t->commits, t->commits.n++) =
        (struct trail_mark){.index = index, .us = now_us, .by = by, .disk_us = disk_us};
}

void trail_applied(struct trail *t, raft_index index, uint64_t now_us, uint64_t n, uint64_t bytes,
                   uint64_t took_us)
{
    const struct trail_mark *last = mark_of(&t->applies, t->applies.n - 1);
    const bool is_first = t->applies.n == 0;

    t->applied_us = now_us;
    *mark_at(&t->applies, t->applies.n++) =
        (struct trail_mark){.index = index,
                            .us = now_us,
                            .bytes = (is_first ? 0 : last->bytes) + bytes,
                            .busy_us = (is_first ? 0 : last->busy_us) + took_us};
    trail_add_snag(t, &(struct trail_snag){.kind = TRAIL_APPLYING,
                                           .from_us = now_us > took_us ? now_us - took_us : 0,
                                           .to_us = now_us,
                                           .n = n,
                                           .bytes = bytes});
}

void trail_state_is_new(struct trail *t, raft_index index, uint64_t now_us)
{
    t->applies.n = 0;
    trail_applied(t, index, now_us, 0, 0, 0);
}

void trail_round_opened(struct trail *t, uint64_t round, uint64_t now_us)
{
    struct trail_round *r = &t->rounds[round % TRAIL_ROUNDS];

    r->round = round;
    r->us = now_us;
    r->n_acks = 0;
    t->last_round = round;
}

/* Who answers a later one, or a heartbeat without reads, acknowledges the last as well. */
void trail_round_acked(struct trail *t, raft_node_id from, uint64_t round, uint64_t now_us)
{
    const uint64_t of = round < t->last_round ? round : t->last_round;
    struct trail_round *r = &t->rounds[of % TRAIL_ROUNDS];

    if (of == 0 || r->round != of)
        return;
    for (unsigned i = 0; i < r->n_acks; i++)
        if (r->acks[i].id == from)
            return;
    if (r->n_acks < RAFT_SERVERS_MAX)
        r->acks[r->n_acks++] = (struct trail_ack){.id = from, .us = now_us};
}

void trail_asked(struct trail *t, uint64_t now_us)
{
    t->asks[t->n_asks++ % TRAIL_ROUNDS] = now_us;
}

/* Members come and go: who was first makes room. */
static struct trail_peer *peer_for(struct trail *t, raft_node_id id)
{
    unsigned i = 0;

    while (i < t->n_peers && t->peers[i].id != id)
        i++;
    if (i == RAFT_SERVERS_MAX)
        i = 0;
    if (i == t->n_peers)
        t->n_peers++;
    if (t->peers[i].id != id)
        t->peers[i] = (struct trail_peer){.id = id};
    return &t->peers[i];
}

void trail_stored(struct trail *t, raft_node_id from, raft_index index, uint64_t now_us,
                  uint64_t disk_us)
{
    struct trail_peer *p = peer_for(t, from);
    const struct trail_ack ack = {.id = from, .index = index, .us = now_us, .disk_us = disk_us};

    if (disk_us >= TRAIL_SNAG_US)
        p->slow = ack;
    p->acks[p->n_acks++ % TRAIL_ACKS] = ack;
}

void trail_add_snag(struct trail *t, const struct trail_snag *snag)
{
    if (snag->to_us - snag->from_us >= TRAIL_SNAG_US)
        t->snags[t->n_snags++ % TRAIL_SNAGS] = *snag;
}

void trail_is(struct trail *t, enum trail_kind kind, bool is_so, uint64_t now_us)
{
    uint64_t *since_us = &t->since_us[kind];

    if (is_so && *since_us == 0) {
        *since_us = now_us;
    } else if (!is_so && *since_us != 0) {
        trail_add_snag(t,
                       &(struct trail_snag){.kind = kind, .from_us = *since_us, .to_us = now_us});
        *since_us = 0;
    }
}

/* ---- looking ---- */

const struct trail_mark *trail_find(const struct trail_marks *m, raft_index index)
{
    const struct trail_mark *found = NULL;

    for (uint64_t i = m->n; i > first_of(m->n, TRAIL_MARKS); i--) {
        if (mark_of(m, i - 1)->index < index)
            return found;
        found = mark_of(m, i - 1);
    }
    /* The oldest that is known may not be the first that reached it, but nothing came before. */
    return m->n <= TRAIL_MARKS ? found : NULL;
}

const struct trail_mark *trail_before(const struct trail_marks *m, uint64_t us)
{
    for (uint64_t i = m->n; i > first_of(m->n, TRAIL_MARKS); i--)
        if (mark_of(m, i - 1)->us <= us)
            return mark_of(m, i - 1);
    return NULL;
}

uint64_t trail_round_us(const struct trail *t, uint64_t round)
{
    const struct trail_round *r = &t->rounds[round % TRAIL_ROUNDS];

    return r->round == round ? r->us : 0;
}

uint64_t trail_round_at(const struct trail *t, uint64_t us)
{
    for (unsigned i = 0; i < TRAIL_ROUNDS; i++)
        if (t->rounds[i].round != 0 && t->rounds[i].us == us)
            return t->rounds[i].round;
    return 0;
}

uint64_t trail_round_since(const struct trail *t, uint64_t us)
{
    uint64_t first = 0;

    for (unsigned i = 0; i < TRAIL_ROUNDS; i++)
        if (t->rounds[i].round != 0 && t->rounds[i].us >= us &&
            (first == 0 || t->rounds[i].us < first))
            first = t->rounds[i].us;
    return first;
}

uint64_t trail_ask_since(const struct trail *t, uint64_t us)
{
    uint64_t first = 0;

    for (uint64_t i = t->n_asks; i > first_of(t->n_asks, TRAIL_ROUNDS); i--) {
        const uint64_t at = t->asks[(i - 1) % TRAIL_ROUNDS];

        if (at < us)
            break;
        first = at;
    }
    return first;
}

const struct trail_ack *trail_round_ack(const struct trail *t, uint64_t round, raft_node_id id)
{
    const struct trail_ack *found = NULL;

    for (unsigned i = 0; i < TRAIL_ROUNDS; i++) {
        const struct trail_round *r = &t->rounds[i];

        for (unsigned k = 0; r->round >= round && k < r->n_acks; k++)
            if (r->acks[k].id == id && (found == NULL || r->acks[k].us < found->us))
                found = &r->acks[k];
    }
    return found;
}

const struct trail_peer *trail_peer(const struct trail *t, raft_node_id id)
{
    for (unsigned i = 0; i < t->n_peers; i++)
        if (t->peers[i].id == id)
            return &t->peers[i];
    return NULL;
}

const struct trail_ack *trail_stored_ack(const struct trail *t, raft_index index, raft_node_id id)
{
    const struct trail_peer *p = trail_peer(t, id);
    const struct trail_ack *found = NULL;

    for (uint64_t i = p != NULL ? p->n_acks : 0; p != NULL && i > first_of(p->n_acks, TRAIL_ACKS);
         i--) {
        const struct trail_ack *ack = &p->acks[(i - 1) % TRAIL_ACKS];

        if (ack->index < index)
            return found;
        found = ack;
    }
    return p != NULL && p->n_acks <= TRAIL_ACKS ? found : NULL;
}

static uint64_t covers_us(const struct trail_snag *s, uint64_t from_us, uint64_t to_us)
{
    const uint64_t from = s->from_us > from_us ? s->from_us : from_us;
    const uint64_t to = s->to_us < to_us ? s->to_us : to_us;

    return to > from ? to - from : 0;
}

bool trail_worst(const struct trail *t, unsigned kinds, raft_node_id peer, uint64_t from_us,
                 uint64_t to_us, struct trail_snag *ret, uint64_t *ret_us)
{
    uint64_t most = 0;

    for (uint64_t i = t->n_snags; i > first_of(t->n_snags, TRAIL_SNAGS); i--) {
        const struct trail_snag *s = &t->snags[(i - 1) % TRAIL_SNAGS];
        const uint64_t us = covers_us(s, from_us, to_us);

        if ((kinds >> s->kind & 1u) == 0 || (peer != 0 && s->peer != peer) || us <= most)
            continue;
        most = us;
        *ret = *s;
    }
    for (unsigned kind = 0; peer == 0 && kind < TRAIL_KINDS; kind++) {
        const struct trail_snag now = {
            .kind = (enum trail_kind)kind, .from_us = t->since_us[kind], .to_us = to_us};

        if ((kinds >> kind & 1u) == 0 || now.from_us == 0 ||
            covers_us(&now, from_us, to_us) <= most)
            continue;
        most = covers_us(&now, from_us, to_us);
        *ret = now;
    }
    *ret_us = most;
    return most > 0;
}
