/* Several views become one. The leader of the highest term that anybody names counts; whom it hears
 * lives, and what lives beyond a quorum may still fail. Where no leader answered, those count that
 * follow it, and the leader itself does not: followers go on believing in a dead one for an
 * election timeout. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/verdict.h"

#include "base/banned.h"

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
static const char *str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && s[0] != '\0' ? s : NULL;
}

static json_int_t num(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool leads(const json_t *status)
{
    return same(str(status, "role"), "leader");
}

/* Whom a node says leads; itself when it does. */
static const char *leader_of(const json_t *status)
{
    return leads(status) ? str(status, "node") : str(status, "leader_id");
}

static bool differ(const json_t *a, const json_t *b, const char *field)
{
    const char *x = str(a, field);
    const char *y = str(b, field);

    return x != NULL && y != NULL && strcmp(x, y) != 0;
}

static bool same_cluster(const json_t *a, const json_t *b)
{
    return !differ(a, b, "cluster") && !differ(a, b, "cluster_hash");
}

static const json_t *status_of(const struct judging *j, const char *name)
{
    for (unsigned i = 0; i < j->n; i++)
        if (j->nodes[i].status != NULL && same(str(j->nodes[i].status, "node"), name) &&
            same_cluster(j->nodes[i].status, j->group))
            return j->nodes[i].status;
    return NULL;
}

static const struct member *member_of(const struct judging *j, const char *name)
{
    for (unsigned i = 0; i < j->n_members; i++)
        if (same(j->members[i].name, name))
            return &j->members[i];
    return NULL;
}

/* ---- reasons ---- */

static void complain(struct judging *j, const struct verdict_node *node, enum verdict_why why,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

static void complain(struct judging *j, const struct verdict_node *node, enum verdict_why why,
                     const char *format, ...)
{
    struct verdict_reason *r = &j->v->reasons[j->v->n_reasons];
    va_list ap;

    if (j->v->n_reasons == VERDICT_REASONS_MAX)
        return;
    j->v->n_reasons++;
    (void)snprintf(r->node, sizeof(r->node), "%s", node->name);
    r->endpoint = node->endpoint;
    r->why = why;
    va_start(ap, format);
    (void)vsnprintf(r->text, sizeof(r->text), format, ap);
    va_end(ap);
}

/* ---- who belongs together, and who leads ---- */

static bool has_name(const struct judging *j, const json_t *status)
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

        if (j->nodes[i].status == NULL || !has_name(j, j->nodes[i].status))
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

static bool in_group(const struct judging *j, const struct verdict_node *node)
{
    return node->status != NULL && j->group != NULL && has_name(j, node->status) &&
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

        if (!in_group(j, &j->nodes[i]))
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
    v->leader_answered = leads(status_of(j, leader));
}

/* The leader's own answer, else one of those who follow it, else any. */
static void find_view(struct judging *j)
{
    if (j->v->leader_answered)
        j->view = status_of(j, j->v->leader);
    for (unsigned i = 0; i < j->n && j->view == NULL; i++)
        if (in_group(j, &j->nodes[i]) && j->v->leader[0] != '\0' &&
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
    const json_t *s = status_of(j, m->name);

    if (j->v->leader_answered)
        return m->peer == NULL || heard_by_leader(m->peer);
    if (s == NULL)
        return is_busy(j, m->name);
    return j->v->leader[0] == '\0' || same(leader_of(s), j->v->leader);
}

static const char *state_verdict(const json_t *status)
{
    const char *s = str(json_object_get(status, "state"), "verdict");

    return s != NULL && strcmp(s, "good") != 0 ? s : NULL;
}

static bool is_fit(const struct judging *j, const struct member *m)
{
    const json_t *s = status_of(j, m->name);
    const char *fit = str(m->peer, "fit");

    return (fit == NULL || strcmp(fit, "fit") == 0) && state_verdict(s) == NULL &&
           !json_is_true(json_object_get(json_object_get(s, "space"), "parked"));
}

/* The snapshot that the leader sends it, as the leader tells it; NULL: none. */
static const json_t *sent_to(const struct judging *j, const char *name)
{
    const json_t *list = json_object_get(json_object_get(j->view, "snapshots"), "sending");

    for (size_t i = 0; j->v->leader_answered && i < json_array_size(list); i++)
        if (same(str(json_array_get(list, i), "to"), name))
            return json_array_get(list, i);
    return NULL;
}

/* The one that it is receiving, as it tells itself; NULL: none. What a leader has begun and does
 * not send any more lies there for a while. */
static const json_t *received_by(const struct judging *j, const char *name)
{
    const json_t *r =
        json_object_get(json_object_get(status_of(j, name), "snapshots"), "receiving");
    const bool leader_tells =
        j->v->leader_answered &&
        json_is_array(json_object_get(json_object_get(j->view, "snapshots"), "sending"));

    return json_is_object(r) && (!leader_tells || sent_to(j, name) != NULL) ? r : NULL;
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
           (sent_to(j, m->name) != NULL || received_by(j, m->name) != NULL);
}

/* With a log that is full, or that does not go on yet, nothing more is committed (STATUS-2). */
static bool can_store(const struct judging *j, const struct member *m)
{
    return !same(str(json_object_get(status_of(j, m->name), "space"), "full"), "log") &&
           !lacks_log(j, m);
}

static void add_member(struct judging *j, const char *name, const char *role, const json_t *peer)
{
    struct member *m = &j->members[j->n_members];

    if (name == NULL || member_of(j, name) != NULL || j->n_members == RIDD_ENDPOINTS_MAX)
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

static bool was_asked(const struct judging *j, const char *name)
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
    return m->alive || is_busy(j, m->name) || status_of(j, m->name) != NULL ||
           (!was_asked(j, m->name) && json_is_true(json_object_get(m->peer, "connected")));
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

/* ---- what is wrong with one node ---- */

static bool refuses(const json_t *status, const char *list, const char *name, const char **ret_why)
{
    const json_t *entries = json_object_get(status, list);

    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *e = json_array_get(entries, i);

        if (same(str(e, "id"), name)) {
            *ret_why = str(e, "why");
            return true;
        }
    }
    return false;
}

/* Refused by whom, whether it knows it or they do. Of a node that the leader hears nothing is said:
 * it is the other side that has a problem then. */
static bool judge_refused(struct judging *j, const struct verdict_node *node)
{
    const struct member *m = member_of(j, node->name);
    char by[VERDICT_TEXT_BYTES + 1] = "";
    const char *why = NULL;
    size_t len = 0;

    if (m != NULL && m->alive && j->v->leader[0] != '\0')
        return false;
    for (unsigned i = 0; i < j->n_members; i++) {
        const char *other = j->members[i].name;
        const char *w = NULL;

        if (same(other, node->name) || (!refuses(status_of(j, other), "refuses", node->name, &w) &&
                                        !refuses(node->status, "refused_by", other, &w)))
            continue;
        if (len + strlen(other) + 3 < sizeof(by))
            len += (size_t)snprintf(by + len, sizeof(by) - len, "%s%s", len > 0 ? ", " : "", other);
        why = why != NULL ? why : w;
    }
    if (len > 0)
        complain(j, node, VERDICT_REFUSED, "refused by %s: %s", by,
                 why != NULL ? why : "no reason given");
    return len > 0;
}

/* "43 %, 12.3 MiB/s, about 12 s left" */
static void progress_text(const json_t *r, char *ret_text, size_t size)
{
    const char *state = str(r, "state");
    const json_int_t per_s = num(r, "bytes_per_s");
    size_t len = (size_t)snprintf(ret_text, size, "%lld %%", (long long)num(r, "percent"));

    if (same(state, "checking") || same(state, "installing"))
        (void)snprintf(ret_text, size, "it is there, %s it", state);
    else if (per_s > 0)
        (void)snprintf(ret_text + len, size - len, ", %.1f MiB/s, about %lld s left",
                       (double)per_s / (1 << 20), (long long)num(r, "left_s"));
}

/* A snapshot that cannot be made, or not be taken, is tried again, but not for ever by itself: the
 * log is kept until there is one. True: it catches up by one, and is no other kind of late. */
static bool judge_snapshot(struct judging *j, const struct verdict_node *node)
{
    const json_t *own = json_object_get(node->status, "snapshots");
    const json_t *sent = sent_to(j, node->name);
    const json_t *received = received_by(j, node->name);
    char text[96];

    if (str(own, "failed_why") != NULL)
        complain(j, node, VERDICT_SNAPSHOT,
                 "no snapshot can be made: %s; its log cannot be let go of (%.1f MiB)",
                 str(own, "failed_why"), (double)num(own, "log_bytes_behind") / (1 << 20));
    if (num(sent, "refused") > 0) {
        complain(j, node, VERDICT_SNAPSHOT, "the snapshot that %s sends was %s (%lld time%s)",
                 j->v->leader,
                 str(sent, "refused_why") != NULL ? str(sent, "refused_why") : "refused",
                 (long long)num(sent, "refused"), num(sent, "refused") == 1 ? "" : "s");
        return true;
    }
    if (sent == NULL && received == NULL)
        return false;
    /* How fast it goes, and that it is being checked, the receiver knows best. */
    progress_text(received != NULL ? received : sent, text, sizeof(text));
    complain(j, node, VERDICT_CATCHING_UP, "is catching up by a snapshot: %s", text);
    return true;
}

static void judge_silent(struct judging *j, const struct verdict_node *node)
{
    const struct member *m = member_of(j, node->name);
    const char *heard = "";

    if (node->failure == RIDD_BUSY) {
        complain(j, node, VERDICT_BUSY, "busy: %s", node->text);
        (void)judge_snapshot(j, node);
        return;
    }
    if (m != NULL && j->v->leader_answered && m->alive)
        heard = "; the leader hears it";
    complain(j, node, VERDICT_UNREACHABLE, "unreachable: %s%s", node->text, heard);
    (void)judge_refused(j, node);
    (void)judge_snapshot(j, node);
}

static void judge_other_cluster(struct judging *j, const struct verdict_node *node)
{
    const json_t *s = node->status;
    const char *hash = str(s, "cluster_hash");
    const char *group_hash = str(j->group, "cluster_hash");

    j->split = true;
    if (!has_name(j, s))
        complain(j, node, VERDICT_OTHER_CLUSTER,
                 "belongs to cluster '%s', the configuration describes '%s'", str(s, "cluster"),
                 j->cluster);
    else if (differ(s, j->group, "cluster"))
        complain(j, node, VERDICT_OTHER_CLUSTER, "belongs to cluster '%s', %s to '%s'",
                 str(s, "cluster"),
                 str(j->group, "node") != NULL ? str(j->group, "node") : "others",
                 str(j->group, "cluster"));
    else
        complain(j, node, VERDICT_OTHER_CLUSTER,
                 "belongs to another cluster of the same name: identity %s, not %s; its [peers] or "
                 "its data directory are not those of the others",
                 hash != NULL ? hash : "?", group_hash != NULL ? group_hash : "?");
}

/* Whether it has its place: a member that follows the leader of the others. */
static void judge_place(struct judging *j, const struct verdict_node *node)
{
    const json_t *s = node->status;
    const struct verdict *v = j->v;
    const struct member *m = member_of(j, str(s, "node"));
    const char *named = leader_of(s);

    if (judge_refused(j, node))
        return;
    if (m == NULL && v->leader_answered)
        complain(j, node, VERDICT_NOT_MEMBER, "not a member, says the leader");
    else if (v->leader[0] == '\0' || same(named, v->leader))
        ;
    else if (leads(s) && num(s, "term") == v->term)
        complain(j, node, VERDICT_TWO_LEADERS, "leads in term %lld, as %s does", (long long)v->term,
                 v->leader);
    else if (leads(s))
        complain(j, node, VERDICT_STALE_LEADER,
                 "still thinks that it leads, in term %lld; %s leads in term %lld",
                 (long long)num(s, "term"), v->leader, (long long)v->term);
    else if (named != NULL)
        complain(j, node, VERDICT_NO_LEADER, "follows %s in term %lld, not %s", named,
                 (long long)num(s, "term"), v->leader);
    else
        complain(j, node, VERDICT_NO_LEADER, "hears no leader");
    if (same(named, v->leader) && m != NULL && v->leader_answered && !m->alive)
        complain(j, node, VERDICT_NOT_HEARD, "%s does not hear it", v->leader);
    if (leads(s) && same(named, v->leader) && json_is_false(json_object_get(s, "serving")))
        complain(j, node, VERDICT_NOT_SERVING,
                 "leads, but has committed nothing in its term yet and answers no reads");
}

/* Two states at the same index must have the same sum. Who is wrong is what most voters say; where
 * there is no majority, it is said of each. */
static void judge_digest(struct judging *j, const struct verdict_node *node)
{
    const json_t *mine = json_object_get(node->status, "state");
    const char *other = NULL;
    unsigned n_same = 0;

    for (unsigned i = 0; i < j->n; i++) {
        const json_t *s = json_object_get(j->nodes[i].status, "state");

        if (!in_group(j, &j->nodes[i]) || str(s, "digest") == NULL ||
            num(s, "digest_index") != num(mine, "digest_index") ||
            num(s, "digest_version") != num(mine, "digest_version"))
            continue;
        if (same(str(s, "digest"), str(mine, "digest")))
            n_same++;
        else
            other = str(j->nodes[i].status, "node");
    }
    if (str(mine, "digest") != NULL && other != NULL && n_same <= j->v->n_voters / 2)
        complain(j, node, VERDICT_DIFFERS, "its state differs from that of %s at index %lld", other,
                 (long long)num(mine, "digest_index"));
}

static void judge_state(struct judging *j, const struct verdict_node *node)
{
    const json_t *state = json_object_get(node->status, "state");
    const struct member *m = member_of(j, str(node->status, "node"));
    const char *said = state_verdict(node->status);

    if (same(said, "damaged"))
        complain(j, node, VERDICT_DAMAGED, "its state is damaged: it serves nothing");
    else if (same(said, "differs"))
        complain(j, node, VERDICT_DIFFERS, "its state differs from that of the others");
    else if (same(said, "rebuilding"))
        complain(j, node, VERDICT_REBUILDING, "rebuilds its state");
    else if (same(said, "checking") && json_is_integer(json_object_get(state, "scrub_percent")))
        complain(j, node, VERDICT_CHECKING, "checks its state: %lld %% done",
                 (long long)num(state, "scrub_percent"));
    else if (said != NULL)
        complain(j, node, VERDICT_CHECKING, "its state: %s", said);
    else
        judge_digest(j, node);
    if (said == NULL && m != NULL && same(str(m->peer, "fit"), "unfit"))
        complain(j, node, VERDICT_UNFIT, "not fit to lead");
}

static void judge_space(struct judging *j, const struct verdict_node *node)
{
    const json_t *space = json_object_get(node->status, "space");
    const char *full = str(space, "full");

    /* used and limit are those of what is full, and change nothing in what helps against a disk. */
    if (same(full, "log") || same(full, "state"))
        complain(j, node, VERDICT_NO_SPACE,
                 "no space (%s): the disk of its %s is full; make room there, or enlarge it", full,
                 full);
    else if (same(full, "nodes"))
        complain(j, node, VERDICT_NO_SPACE,
                 "no space (nodes): with the nodes that are full or away no write is committed; "
                 "make room on them, or start them");
    else if (full != NULL && num(space, "limit_bytes") > 0)
        complain(j, node, VERDICT_NO_SPACE, "no space (%s): %.1f of %.1f MiB used", full,
                 (double)num(space, "used_bytes") / (1 << 20),
                 (double)num(space, "limit_bytes") / (1 << 20));
    else if (full != NULL)
        complain(j, node, VERDICT_NO_SPACE, "no space (%s)", full);
    if (json_is_true(json_object_get(space, "parked")))
        complain(j, node, VERDICT_PARKED, "waits for room on its disk and applies nothing");
}

static void judge_disk(struct judging *j, const struct verdict_node *node)
{
    const json_t *disk = json_object_get(node->status, "disk");
    json_int_t election_ms = num(disk, "election_ms");

    if (!json_is_true(json_object_get(disk, "slow")))
        return;
    if (election_ms > 0)
        complain(j, node, VERDICT_DISK_SLOW,
                 "disk slow: fsync p99 %.1f ms, election_ms = %lld; a faster disk, or a larger "
                 "election_ms on all nodes",
                 (double)num(disk, "fsync_p99_us") / 1000.0, (long long)election_ms);
    else
        complain(j, node, VERDICT_DISK_SLOW, "disk slow: fsync p99 %.1f ms",
                 (double)num(disk, "fsync_p99_us") / 1000.0);
}

/* What the leader knows of it in the log, or what it has not applied itself. */
static void judge_behind(struct judging *j, const struct verdict_node *node)
{
    const struct member *m = member_of(j, str(node->status, "node"));
    const json_t *s = node->status;
    json_int_t log = 0;
    json_int_t apply = num(s, "commit_index") - num(s, "applied_index");

    if (m != NULL && json_is_integer(json_object_get(m->peer, "match_index")))
        log = num(j->view, "last_log_index") - num(m->peer, "match_index");
    if (log > VERDICT_BEHIND_ENTRIES)
        complain(j, node, VERDICT_BEHIND, "behind by %lld entries", (long long)log);
    else if (apply > VERDICT_BEHIND_ENTRIES)
        complain(j, node, VERDICT_BEHIND, "behind with applying by %lld entries", (long long)apply);
}

static void judge_warnings(struct judging *j, const struct verdict_node *node)
{
    const json_t *warnings = json_object_get(node->status, "warnings");

    for (size_t i = 0; i < json_array_size(warnings); i++)
        if (json_is_string(json_array_get(warnings, i)))
            complain(j, node, VERDICT_WARNING, "%s",
                     json_string_value(json_array_get(warnings, i)));
}

/* A node that was new climbs to the term it was told; what still stands far above
 * can only be forged, or was brought there by forged frames. */
static void judge_terms(struct judging *j, const struct verdict_node *node)
{
    const json_t *far = json_object_get(node->status, "term_refused");
    json_int_t term = num(node->status, "term");

    if (num(far, "term") - term > (json_int_t)RAFT_TERM_STEP_MAX)
        complain(j, node, VERDICT_WARNING,
                 "%s told it term %lld, far above its own %lld: see term_far_above in ridd(8)",
                 str(far, "id") != NULL ? str(far, "id") : "a peer", (long long)num(far, "term"),
                 (long long)term);
    if (json_is_true(json_object_get(node->status, "terms_run_out")))
        complain(j, node, VERDICT_WARNING,
                 "hardly any terms are left: see terms_run_out in ridd(8)");
}

static void judge_node(struct judging *j, const struct verdict_node *node)
{
    if (node->status == NULL) {
        judge_silent(j, node);
    } else if (!in_group(j, node)) {
        judge_other_cluster(j, node);
    } else {
        judge_place(j, node);
        judge_state(j, node);
        judge_space(j, node);
        judge_disk(j, node);
        if (!judge_snapshot(j, node))
            judge_behind(j, node);
        judge_warnings(j, node);
        judge_terms(j, node);
    }
}

/* A member that nobody named and whose address nobody knew. */
static void judge_unasked(struct judging *j, const struct member *m)
{
    struct verdict_node node = {.name = m->name, .endpoint = ""};

    if (was_asked(j, m->name))
        return;
    (void)judge_snapshot(j, &node);
    if (m->alive || judge_refused(j, &node))
        return;
    if (j->v->leader_answered)
        complain(j, &node, VERDICT_NOT_HEARD, "%s does not hear it", j->v->leader);
    else
        complain(j, &node, VERDICT_UNREACHABLE, "unreachable: its address is not known");
}

/* Files go on naming a node that was removed, or replaced: while it is silent, and the leader's
 * configuration does not have it, nothing is wrong with that (STATUS-4). One that answers is
 * judged: it is not stopped. */
static bool has_left(const struct judging *j, const struct verdict_node *node)
{
    return node->status == NULL && node->failure != RIDD_BUSY && node->name[0] != '\0' &&
           j->v->leader_answered && member_of(j, node->name) == NULL;
}

static enum verdict_place place_of(const struct judging *j, const struct verdict_node *node)
{
    const char *name = node->status != NULL ? str(node->status, "node") : node->name;
    const struct member *m = member_of(j, name);

    if (!j->v->leader_answered || name == NULL || name[0] == '\0' ||
        (node->status != NULL && !in_group(j, node)))
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
            judge_node(&j, &nodes[i]);
    for (unsigned i = 0; i < j.n_members; i++)
        judge_unasked(&j, &j.members[i]);

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
