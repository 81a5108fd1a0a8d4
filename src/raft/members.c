/* The configurations of the log, and what is known of each other server of the one in force. */
#include "raft/raft_int.h"

struct progress *raft_progress(struct raft *r, raft_node_id id)
{
    for (unsigned i = 0; i < r->n_progress; i++)
        if (r->progress[i].id == id)
            return &r->progress[i];
    return NULL;
}

/* The servers of the configuration in force; what is known of those that stay is kept. */
static void rebuild_progress(struct raft *r)
{
    const struct raft_configuration *c = &r->configs[r->n_configs - 1].configuration;
    struct progress old[RAFT_SERVERS_MAX];
    unsigned n_old = r->n_progress;

    memcpy(old, r->progress, sizeof(old));
    r->n_progress = 0;
    r->is_voter = false;
    r->n_voters = raft_configuration_n_voters(c);
    for (unsigned i = 0; i < c->n; i++) {
        struct progress *p = &r->progress[r->n_progress];

        if (c->servers[i].id == r->conf.id) {
            r->is_voter = c->servers[i].role == RAFT_VOTER;
            continue;
        }
        memset(p, 0, sizeof(*p));
        p->link_up = true; /* until told otherwise: a host without links never tells */
        p->next_index = r->log.last_index + 1;
        for (unsigned j = 0; j < n_old; j++)
            if (old[j].id == c->servers[i].id)
                *p = old[j];
        p->id = c->servers[i].id;
        p->role = c->servers[i].role;
        r->n_progress++;
    }
}

void raft_config_push(struct raft *r, raft_index index, const struct raft_configuration *c)
{
    r->configs = raft_grow(r, r->configs, &r->configs_size, r->n_configs, sizeof(*r->configs));
    r->configs[r->n_configs].index = index;
    r->configs[r->n_configs].configuration = *c;
    r->n_configs++;
    rebuild_progress(r);
    raft_trace(r, RAFT_TRACE_CONFIGURATION, 0, index, NULL);
}

void raft_config_truncate(struct raft *r, raft_index from)
{
    size_t n = r->n_configs;

    while (r->n_configs > 1 && r->configs[r->n_configs - 1].index >= from)
        r->n_configs--;
    if (r->n_configs != n)
        rebuild_progress(r);
}
