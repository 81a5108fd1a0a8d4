/* Several views become one. The leader of the highest term that anybody names counts; whom it hears
 * lives, and what lives beyond a quorum may still fail. Where no leader answered, those count that
 * follow it, and the leader itself does not: followers go on believing in a dead one for an
 * election timeout. */
#include <stdio.h>
#include <string.h>

#include "verdict/verdict_int.h"

#include "base/banned.h"

static bool same_cluster(const json_t *a, const json_t *b)
{
    return !differ(a, b, "cluster") && !differ(a, b, "cluster_hash");
}

const json_t *verdict_status_of(const struct judging *j, const char *name)
{
    for (unsigned i = 0; i < j->n; i++)
        if (j->nodes[i].status != NULL && same(str(j->nodes[i].status, "node"), name) &&
            same_cluster(j->nodes[i].status, j->group))
            return j->nodes[i].status;
    return NULL;
}

const struct member *verdict_member_of(const struct judging *j, const char *name)
{
    for (unsigned i = 0; i < j->n_members; i++)
        if (same(j->members[i].name, name))
            return &j->members[i];
    return NULL;
}

/* ---- who belongs together, and who leads ---- */

bool verdict_has_name(const struct judging *j, const json_t *status)
{
    const char *name = str(status, "cluster");

    return j->cluster == NULL || name == NULL || strcmp(name, j->cluster) == 0;
}

/* The cluster of most nodes, of those with the right name; of two as large the one that was named
 * first. */
static void find_group(struct judging *j)
{
    unsigned most = 0;

    for (unsigned i = 0; i < j->n; i++) {
        unsigned count = 0;

        if (j->nodes[i].status == NULL || !verdict_has_name(j, j->nodes[i].status))
            continue;
        for (unsigned k = 0; k < j->n; k++)
            count +=
                j->nodes[k].status != NULL && same_cluster(j->nodes[i].status, j->nodes[k].status);
        if (count > most) {
            most = count;
            j->group = j->nodes[i].status;
        }
    }
}

bool verdict_in_group(const struct judging *j, const struct verdict_node *node)
{
    return node->status != NULL && j->group != NULL && verdict_has_name(j, node->status) &&
           same_cluster(node->status, j->group);
}

/* The highest term in which anybody names a leader (STATUS-2). A node that knows none deposes
 * nobody by its term alone: it may be cut off, or refused by all others. A leader of a lower
 * term is one that has not heard of its end. */
static void find_leader(struct judging *j)
{
    struct verdict *v = j->v;
    const char *leader = NULL;
    json_int_t highest = 0;

    for (unsigned i = 0; i < j->n; i++) {
        const json_t *s = j->nodes[i].status;
        const char *named = leader_of(s);
        json_int_t term = num(s, "term");

        if (!verdict_in_group(j, &j->nodes[i]))
            continue;
        if (term > highest)
            highest = term;
        if (named == NULL || (leader != NULL && term < v->term))
            continue;
        if (leader != NULL && term == v->term && strcmp(leader, named) != 0)
            j->split = true;
        if (leader == NULL || term > v->term) {
            leader = named;
            v->term = term;
            j->split = false;
        }
        if (term == v->term && leads(s))
            leader = named;
    }
    if (leader == NULL) {
        v->term = highest;
        return;
    }
    (void)snprintf(v->leader, sizeof(v->leader), "%s", leader);
    v->leader_answered = leads(verdict_status_of(j, leader));
    v->leader_denies = !v->leader_answered && verdict_status_of(j, leader) != NULL;
}

/* The leader's own answer, else one of those who follow it, else any. */
static void find_view(struct judging *j)
{
    if (j->v->leader_answered)
        j->view = verdict_status_of(j, j->v->leader);
    for (unsigned i = 0; i < j->n && j->view == NULL; i++)
        if (verdict_in_group(j, &j->nodes[i]) && j->v->leader[0] != '\0' &&
            same(leader_of(j->nodes[i].status), j->v->leader))
            j->view = j->nodes[i].status;
    if (j->view == NULL)
        j->view = j->group;
}

/* ---- who lives ---- */

static bool heard_by_leader(const json_t *peer)
{
    return json_is_true(json_object_get(peer, "connected")) &&
           !json_is_false(json_object_get(peer, "heard"));
}

static bool is_busy(const struct judging *j, const char *name)
{
    for (unsigned i = 0; i < j->n; i++)
        if (j->nodes[i].status == NULL && j->nodes[i].failure == RIDD_BUSY &&
            same(j->nodes[i].name, name))
            return true;
    return false;
}

static bool is_alive(const struct judging *j, const struct member *m)
{
    const json_t *s = verdict_status_of(j, m->name);

    if (j->v->leader_answered)
        return m->peer == NULL || heard_by_leader(m->peer);
    if (s == NULL)
        return is_busy(j, m->name);
    return j->v->leader[0] == '\0' || same(leader_of(s), j->v->leader);
}

const char *verdict_of_state(const json_t *status)
{
    const char *s = str(json_object_get(status, "state"), "verdict");

    return s != NULL && strcmp(s, "good") != 0 ? s : NULL;
}

static bool is_fit(const struct judging *j, const struct member *m)
{
    const json_t *s = verdict_status_of(j, m->name);
    const char *fit = str(m->peer, "fit");

    return (fit == NULL || strcmp(fit, "fit") == 0) && verdict_of_state(s) == NULL &&
           !json_is_true(json_object_get(json_object_get(s, "space"), "parked"));
}

/* The snapshot that the leader sends it, as the leader tells it; NULL: none. */
const json_t *verdict_sent_to(const struct judging *j, const char *name)
{
    const json_t *list = json_object_get(json_object_get(j->view, "snapshots"), "sending");

    for (size_t i = 0; j->v->leader_answered && i < json_array_size(list); i++)
        if (same(str(json_array_get(list, i), "to"), name))
            return json_array_get(list, i);
    return NULL;
}

/* The one that it is receiving, as it tells itself; NULL: none. What a leader has begun and does
 * not send any more lies there for a while. */
const json_t *verdict_received_by(const struct judging *j, const char *name)
{
    const json_t *r =
        json_object_get(json_object_get(verdict_status_of(j, name), "snapshots"), "receiving");
    const bool leader_tells =
        j->v->leader_answered &&
        json_is_array(json_object_get(json_object_get(j->view, "snapshots"), "sending"));

    return json_is_object(r) && (!leader_tells || verdict_sent_to(j, name) != NULL) ? r : NULL;
}

/* What it needs next is not in the leader's log any more, and until it has the snapshot it stores
 * nothing. */
static bool lacks_log(const struct judging *j, const struct member *m)
{
    const json_t *begins =
        json_object_get(json_object_get(j->view, "snapshots"), "log_begins_behind");
    const json_t *match = json_object_get(m->peer, "match_index");

    return json_is_integer(match) && json_is_integer(begins) &&
           json_integer_value(match) < json_integer_value(begins) &&
           (verdict_sent_to(j, m->name) != NULL || verdict_received_by(j, m->name) != NULL);
}

/* With a log that is full, or that does not go on yet, nothing more is committed (STATUS-2). */
static bool can_store(const struct judging *j, const struct member *m)
{
    return !same(str(json_object_get(verdict_status_of(j, m->name), "space"), "full"), "log") &&
           !lacks_log(j, m);
}

static void add_member(struct judging *j, const char *name, const char *role, const json_t *peer)
{
    struct member *m = &j->members[j->n_members];

    if (name == NULL || verdict_member_of(j, name) != NULL || j->n_members == RIDD_ENDPOINTS_MAX)
        return;
    j->n_members++;
    *m = (struct member){.name = name, .votes = !same(role, "learner"), .peer = peer};
    m->alive = is_alive(j, m);
    m->fit = is_fit(j, m);
    m->stores = can_store(j, m);
}

static void find_members(struct judging *j)
{
    const json_t *peers = json_object_get(j->view, "peers");

    if (j->view == NULL)
        return;
    add_member(j, str(j->view, "node"), str(j->view, "role"), NULL);
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *p = json_array_get(peers, i);

        add_member(j, str(p, "id"), str(p, "role"), p);
    }
}

static bool is_refused(const struct verdict *v, const char *name)
{
    for (unsigned i = 0; i < v->n_reasons; i++)
        if (v->reasons[i].why == VERDICT_REFUSED && strcmp(v->reasons[i].node, name) == 0)
            return true;
    return false;
}

bool verdict_was_asked(const struct judging *j, const char *name)
{
    for (unsigned i = 0; i < j->n; i++)
        if (same(j->nodes[i].name, name))
            return true;
    return false;
}

/* Whoever answers runs, though it may follow nobody yet; of who could not be asked it is enough
 * that another has a link with it. */
static bool is_running(const struct judging *j, const struct member *m)
{
    return m->alive || is_busy(j, m->name) || verdict_status_of(j, m->name) != NULL ||
           (!verdict_was_asked(j, m->name) && json_is_true(json_object_get(m->peer, "connected")));
}

/* How many voters are missing. Whom the others refuse is none of those that are needed; where
 * nobody answered a configuration must tell how many there are. */
static unsigned count_to_start(const struct judging *j)
{
    const struct verdict *v = j->v;
    unsigned n_voters = v->n_voters;
    unsigned n_running = 0;

    if (j->view == NULL)
        n_voters = j->cluster != NULL ? v->n_nodes : 0;
    for (unsigned i = 0; i < j->n_members; i++) {
        const struct member *m = &j->members[i];

        n_running += m->votes && is_running(j, m) && !is_refused(v, m->name);
    }
    return n_voters / 2 + 1 > n_running && n_voters > 0 ? n_voters / 2 + 1 - n_running : 0;
}

/* Nodes answered, and not one of them is of the cluster that the configuration describes: they may
 * be well, and it is the question that is wrong. */
static void find_wanted(struct judging *j)
{
    struct verdict *v = j->v;
    const char *first = NULL;
    bool one = true;

    if (j->group != NULL)
        return;
    for (unsigned i = 0; i < j->n; i++) {
        const char *name = str(j->nodes[i].status, "cluster");

        one = one && (name == NULL || first == NULL || strcmp(name, first) == 0);
        first = first != NULL ? first : name;
    }
    if (first == NULL)
        return;
    v->wanted = j->cluster;
    if (one)
        (void)snprintf(v->found, sizeof(v->found), "%s", first);
}

/* How many may fail: a quorum must be left that can store a write, and in it one that may lead.
 * False: there is no quorum now. */
static bool count_voters(struct judging *j)
{
    int n_alive = 0;
    int n_fit = 0;
    int n_storing = 0;
    int quorum;

    for (unsigned i = 0; i < j->n_members; i++) {
        const struct member *m = &j->members[i];

        j->v->n_voters += m->votes;
        n_alive += m->votes && m->alive;
        n_fit += m->votes && m->alive && m->fit;
        n_storing += m->votes && m->alive && m->stores;
    }
    quorum = (int)(j->v->n_voters / 2 + 1);
    j->v->survives = n_storing - quorum < n_fit - 1 ? n_storing - quorum : n_fit - 1;
    if (j->v->survives < 0)
        j->v->survives = 0;
    return n_alive >= quorum && j->v->leader[0] != '\0';
}

/* ---- all of it ---- */

/* Files go on naming a node that was removed, or replaced: while it is silent, and the leader's
 * configuration does not have it, nothing is wrong with that (STATUS-4). One that answers is
 * judged: it is not stopped. */
static bool has_left(const struct judging *j, const struct verdict_node *node)
{
    return node->status == NULL && node->failure != RIDD_BUSY && node->name[0] != '\0' &&
           j->v->leader_answered && verdict_member_of(j, node->name) == NULL;
}

static enum verdict_place place_of(const struct judging *j, const struct verdict_node *node)
{
    const char *name = node->status != NULL ? str(node->status, "node") : node->name;
    const struct member *m = verdict_member_of(j, name);

    if (!j->v->leader_answered || name == NULL || name[0] == '\0' ||
        (node->status != NULL && !verdict_in_group(j, node)))
        return VERDICT_UNKNOWN;
    if (m == NULL)
        return VERDICT_NO_MEMBER;
    return m->votes ? VERDICT_VOTER : VERDICT_LEARNER;
}

static void find_leavers(struct judging *j)
{
    for (unsigned i = 0; i < j->n; i++) {
        j->v->places[i] = place_of(j, &j->nodes[i]);
        if (!has_left(j, &j->nodes[i]))
            continue;
        j->v->left |= UINT64_C(1) << i;
        j->v->n_nodes--;
    }
}

void verdict_judge(const struct verdict_node *nodes, unsigned n, const char *cluster,
                   struct verdict *ret)
{
    struct judging j = {.nodes = nodes, .n = n, .cluster = cluster, .v = ret};
    bool has_quorum;

    memset(ret, 0, sizeof(*ret));
    ret->n_nodes = n;
    for (unsigned i = 0; i < n; i++) {
        bool busy = nodes[i].status == NULL && nodes[i].failure == RIDD_BUSY;

        ret->n_busy += busy;
        ret->n_answered += busy || nodes[i].status != NULL;
    }
    find_group(&j);
    find_leader(&j);
    find_view(&j);
    find_wanted(&j);
    find_members(&j);
    find_leavers(&j);
    has_quorum = count_voters(&j);
    for (unsigned i = 0; i < n; i++)
        if ((ret->left & UINT64_C(1) << i) == 0)
            verdict_judge_node(&j, &nodes[i]);
    for (unsigned i = 0; i < j.n_members; i++)
        verdict_judge_unasked(&j, &j.members[i]);

    ret->kind = ret->n_reasons > 0 ? VERDICT_DEGRADED : VERDICT_OK;
    if (j.split)
        ret->kind = VERDICT_SPLIT;
    else if (!has_quorum && (j.view != NULL || ret->n_busy == 0))
        ret->kind = VERDICT_NO_QUORUM;
    if (ret->kind == VERDICT_NO_QUORUM)
        ret->n_to_start = count_to_start(&j);
    if (j.split || j.view == NULL)
        ret->survives = -1;
    else if (!has_quorum)
        ret->survives = 0;
}
