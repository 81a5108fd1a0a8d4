/* Changes of the members, shared by the files that make them.
 *
 *   members.c        the turn: learners that are brought up, and who was replaced
 *   member_task.c    the new node that is told who it is
 *   member_change.c  what is one entry
 *   member_ask.c     what clients ask for
 *   member_say.c     what is told of it
 *
 * For: those files.
 * Not for: anybody else: engine_int.h and engine.h have what others call.
 * Ownership: all that is passed is borrowed for the call. What points into the configuration in
 * force is gone with the next change.
 * Errors: functions that refuse say why in the answer; outcomes are those of raft.h.
 * Thread: the loop.
 * Obvious: units.
 * Source: dissertation, chapter 4; MEMBER-1 to MEMBER-25. */
#ifndef RIDD_ENGINE_MEMBERS_INT_H
#define RIDD_ENGINE_MEMBERS_INT_H

#include <stdio.h>
#include <string.h>

#include "engine/engine_int.h"

static inline const struct raft_configuration *members_in_force(const struct engine *e)
{
    return raft_get_configuration(engine_raft(e));
}

static inline bool members_are_settled(const struct engine *e)
{
    return raft_get_configuration_index(engine_raft(e)) <= raft_get_commit_index(engine_raft(e));
}

static inline bool member_is_linked(const struct engine *e, raft_node_id id)
{
    return e->ops.peer_connected == NULL || e->ops.peer_connected(e->ops.ctx, id);
}

static inline bool member_is_text(struct wire_slice a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.data, b, a.len) == 0;
}

static inline void member_take_text(char *to, size_t size, struct wire_slice from)
{
    (void)snprintf(to, size, "%.*s", (int)from.len, from.data != NULL ? from.data : "");
}

/* members.c */
/* NULL: the leader does not know it, or it is this node. */
const struct raft_peer_status *member_peer(const struct raft_status *st, raft_node_id id);
/* Its time to catch up begins now. */
void member_begin_catchup(struct engine *e, raft_node_id id);

/* member_task.c */
/* It is under way, and nothing of it stands in the log. */
bool member_task_is_waited_for(const struct member_task *t);
/* Or refuses: another one is under way. */
void member_task_begin(struct engine *e, const struct wire_member *q,
                       const struct member_task *wanted, struct service_member_answer *a);
void member_task_turn(struct engine *e);

/* member_change.c */
/* Of the entry of a change that is appended now. */
raft_index member_next_index(const struct engine *e);
/* It is there. */
struct raft_server *member_server(struct raft_configuration *c, raft_node_id id);
/* Who is to replace it; NULL: nobody. */
const struct raft_server *member_successor(const struct raft_configuration *c, raft_node_id id);
/* With what the entry of the founders could not say. */
void member_complete(struct engine *e, struct raft_configuration *c);
/* As replica_configure(); c is completed. */
int member_append(struct engine *e, struct raft_configuration *c, bool force);
__attribute__((format(printf, 3, 4))) void
member_refuse(struct service_member_answer *a, enum wire_error error, const char *format, ...);
/* Into the answer: the voters when all that stands in c has been done. newcomer: counts as heard;
 * 0: none. */
void member_count_after(struct engine *e, const struct raft_configuration *c, raft_node_id newcomer,
                        struct service_member_answer *a);
/* False: refused, for too few would be heard. */
bool member_may_lose(struct engine *e, const struct raft_configuration *c, bool force,
                     struct service_member_answer *a);
/* A change of one entry, made from the configuration in force. */
void member_change(struct engine *e, struct raft_configuration *c, const struct wire_member *q,
                   struct service_member_answer *a);
/* remove, promote, demote and set_addr of a member. */
void member_one_entry(struct engine *e, enum wire_request_type verb, const struct wire_member *q,
                      raft_node_id id, struct service_member_answer *a);
/* "": nobody knows it. */
const char *member_address(const struct engine *e, const struct raft_server *s);
/* NULL: nobody has it. */
const struct raft_server *member_who_has(const struct engine *e, struct wire_slice addr);

#endif
