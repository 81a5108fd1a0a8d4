/* What a probe asks of a node: whether it can be sent requests. */
#include <stdio.h>

#include "engine/engine_int.h"

#include "base/banned.h"

void engine_get_health(const struct engine *e, struct engine_health *ret)
{
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    *ret =
        (struct engine_health){.role = st.role,
                               .term = st.current_term,
                               .leader_id = st.leader_id,
                               .can_serve = st.can_serve,
                               .fitness = st.fitness,
                               .verdict = engine_verdict(e),
                               .full = engine_what_is_full(&e->space),
                               .applied_nothing = replica_last_applied(e->replica) == 0,
                               .behind_entries = st.commit_index - replica_last_applied(e->replica),
                               .n_voters = st.n_voters,
                               .n_voters_heard = st.role == RAFT_LEADER ? st.n_voters_heard : 0,
                               .disk_silent_us = st.disk_silent_us,
                               .election_us = st.election_timeout_us};
    if (st.leader_id == 0)
        return;
    (void)snprintf(ret->leader, sizeof(ret->leader), "%s", engine_name_of(e, st.leader_id));
    ret->leader_connected = e->ops.peer_connected == NULL || st.leader_id == st.id ||
                            e->ops.peer_connected(e->ops.ctx, st.leader_id);
}
