/* The configurations of the log, and what is known of each other server of the one in force. */
#include "raft/raft_int.h"

struct progress *raft_progress(struct raft *r, raft_node_id id)
{
    for (unsigned i = 0; i < r->n_progress; i++)
        if (r->progress[i].id == id)
            return &r->progress[i];
    return NULL;
}

const struct progress *raft_progress_at(const struct raft *r, unsigned slot)
{
    unsigned i = slot < r->self_slot ? slot : slot - 1;

    if (slot == r->self_slot)
        return NULL;
    rid_assert(i < r->n_progress);
    return &r->progress[i];
}

static const struct progress *find(const struct progress *list, unsigned n, raft_node_id id)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i].id == id)
            return &list[i];
    return NULL;
}

/* What is known of a server that stays is kept. A new one is heard from now on: counted as silent
 * from the start, it would depose the leader that adds it. Who becomes a voter is told the open
 * round with this turn's messages: it is needed for that round now, and may never have seen it
 * (READ-24). */
static void take_server(struct raft *r, struct progress *p, const struct raft_server *s,
                        const struct progress *before)
{
    bool becomes_voter = s->role == RAFT_VOTER && (before == NULL || before->role != RAFT_VOTER);

    if (before != NULL) {
        *p = *before;
    } else {
        memset(p, 0, sizeof(*p));
        p->id = s->id;
        p->link_up = true; /* until told otherwise: a host without links never tells */
        raft_progress_reset(r, p);
    }
    rid_assert(p->id == s->id);
    p->role = s->role;
    if (r->role == RAFT_LEADER && becomes_voter)
        p->heartbeat_due = p->link_up;
}

/* The servers of the configuration in force, matched by id: a name that comes back under another id
 * is another server (MEMBER-5). */
static void rebuild_progress(struct raft *r)
{
    const struct raft_configuration *c = raft_get_configuration(r);
    struct progress old[RAFT_SERVERS_MAX];
    unsigned n_old = r->n_progress;

    rid_assert(c->n <= RAFT_SERVERS_MAX);
    memcpy(old, r->progress, sizeof(old));
    r->n_progress = 0;
    r->is_voter = false;
    r->self_slot = c->n;
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];

        if (s->id == r->conf.id) {
            r->is_voter = s->role == RAFT_VOTER;
            r->self_slot = i;
        } else {
            take_server(r, &r->progress[r->n_progress++], s, find(old, n_old, s->id));
        }
    }
    rid_assert(r->n_progress + (r->self_slot < c->n ? 1 : 0) == c->n);
}

/* A quorum that shrinks may have been reached already, by entries and rounds that nobody will
 * acknowledge again: without this a read waits for the next heartbeat, or for ever when one
 * voter is left. */
static void configuration_changed(struct raft *r)
{
    rebuild_progress(r);
    if (r->role != RAFT_LEADER)
        return;
    raft_maybe_commit(r);
    raft_maybe_confirm(r);
}

void raft_config_push(struct raft *r, raft_index index, const struct raft_configuration *c)
{
    rid_assert(index <= r->log.last_index);
    rid_assert(r->n_configs == 0 || r->configs[r->n_configs - 1].index < index);
    r->configs =
        raft_grow(r->conf.mem, r->configs, &r->configs_size, r->n_configs, sizeof(*r->configs));
    r->configs[r->n_configs].index = index;
    r->configs[r->n_configs].configuration = *c;
    r->n_configs++;
    raft_trace(r, RAFT_TRACE_CONFIGURATION, 0, index, NULL);
    configuration_changed(r);
}

/* A configuration ends with its entry (MEMBER-4). */
void raft_config_truncate(struct raft *r, raft_index from)
{
    size_t n = r->n_configs;

    rid_assert(from > r->log.base.index); /* what the base covers is committed */
    while (r->n_configs > 1 && r->configs[r->n_configs - 1].index >= from)
        r->n_configs--;
    rid_assert(r->n_configs >= 1);
    if (r->n_configs != n)
        configuration_changed(r);
}

const struct raft_config_at *raft_config_at(const struct raft *r, raft_index index)
{
    size_t at = r->n_configs - 1;

    while (at > 0 && r->configs[at].index > index)
        at--;
    return &r->configs[at];
}

static bool is_voter_in(const struct raft_config_at *at, raft_node_id id)
{
    const struct raft_server *s = raft_configuration_get(&at->configuration, id);

    return s != NULL && s->role == RAFT_VOTER;
}

/* Who is a voter no more is not sent the entry that says so before it is committed. With it its log
 * would be ahead of the others', so it would refuse them its vote, and it does not campaign itself:
 * when the leader loses the entry nobody is elected any more, with all of them there (MEMBER-18).
 * Nobody counts what it acknowledges. */
raft_index raft_send_bound(const struct raft *r, const struct progress *p)
{
    raft_index bound = r->log.last_index;

    if (p->role == RAFT_VOTER)
        return bound;
    for (size_t i = r->n_configs - 1; i > 0 && r->configs[i].index > r->commit_index; i--) {
        if (is_voter_in(&r->configs[i], p->id))
            break;
        if (is_voter_in(&r->configs[i - 1], p->id))
            bound = r->configs[i].index - 1;
    }
    return bound;
}

void raft_config_compact(struct raft *r, raft_index index)
{
    const size_t first = (size_t)(raft_config_at(r, index) - r->configs);

    memmove(r->configs, r->configs + first, (r->n_configs - first) * sizeof(*r->configs));
    r->n_configs -= first;
}

void raft_config_reset(struct raft *r, const struct raft_config_at *c)
{
    r->configs[0] = *c;
    r->n_configs = 1;
    raft_trace(r, RAFT_TRACE_CONFIGURATION, 0, c->index, NULL);
    configuration_changed(r);
}
