/* What the answers of all nodes say, while it is being found out: shared by verdict.c, which judges
 * the cluster, and verdict_node.c, which judges its nodes.
 *
 * Obvious: all but what is said below. */
#ifndef RIDD_VERDICT_VERDICT_INT_H
#define RIDD_VERDICT_VERDICT_INT_H

#include <string.h>

#include "verdict/verdict.h"

struct member {
    const char *name;
    bool votes;
    bool alive;
    bool fit;           /* may lead */
    bool stores;        /* its log has room, and goes on: a write can be committed with it */
    const json_t *peer; /* what the view says of it; NULL: it is the view's own node */
};

struct judging {
    const struct verdict_node *nodes;
    unsigned n;
    const char *cluster; /* the name that it should have; NULL: any */
    struct verdict *v;
    const json_t *group; /* a node of the cluster that most of the nodes belong to */
    const json_t *view;  /* who knows best who belongs to the cluster */
    struct member members[RIDD_ENDPOINTS_MAX];
    unsigned n_members;
    bool split;
};

/* ---- fields ---- */

/* NULL: absent, null, empty or no string. */
static inline const char *str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && s[0] != '\0' ? s : NULL;
}

static inline json_int_t num(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static inline bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static inline bool leads(const json_t *status)
{
    return same(str(status, "role"), "leader");
}

/* Whom a node says leads; itself when it does. */
static inline const char *leader_of(const json_t *status)
{
    return leads(status) ? str(status, "node") : str(status, "leader_id");
}

static inline bool differ(const json_t *a, const json_t *b, const char *field)
{
    const char *x = str(a, field);
    const char *y = str(b, field);

    return x != NULL && y != NULL && strcmp(x, y) != 0;
}

/* ---- verdict.c ---- */

/* The answer of a node of the group; NULL: there is none. */
const json_t *verdict_status_of(const struct judging *j, const char *name);
/* NULL: it is none. */
const struct member *verdict_member_of(const struct judging *j, const char *name);
bool verdict_has_name(const struct judging *j, const json_t *status);
bool verdict_in_group(const struct judging *j, const struct verdict_node *node);
/* What it says of its state; NULL: that it is good, or nothing. */
const char *verdict_of_state(const json_t *status);
/* The snapshot that the leader sends it, as the leader tells it; NULL: none. */
const json_t *verdict_sent_to(const struct judging *j, const char *name);
/* The one that it is receiving, as it tells itself; NULL: none. */
const json_t *verdict_received_by(const struct judging *j, const char *name);
bool verdict_was_asked(const struct judging *j, const char *name);

/* ---- verdict_node.c: reasons, into the verdict ---- */

void verdict_judge_node(struct judging *j, const struct verdict_node *node);
/* A member that nobody named and whose address nobody knew; of another nothing is said. */
void verdict_judge_unasked(struct judging *j, const struct member *m);

#endif
