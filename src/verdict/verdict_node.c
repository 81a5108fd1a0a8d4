/* What is wrong with one node: a sentence for each thing that it, or the others, say of it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "verdict/verdict_int.h"

#include "base/banned.h"

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
    const struct member *m = verdict_member_of(j, node->name);
    char by[VERDICT_TEXT_BYTES + 1] = "";
    const char *why = NULL;
    size_t len = 0;

    if (m != NULL && m->alive && j->v->leader[0] != '\0')
        return false;
    for (unsigned i = 0; i < j->n_members; i++) {
        const char *other = j->members[i].name;
        const char *w = NULL;

        if (same(other, node->name) ||
            (!refuses(verdict_status_of(j, other), "refuses", node->name, &w) &&
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
    const json_t *sent = verdict_sent_to(j, node->name);
    const json_t *received = verdict_received_by(j, node->name);
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
    const struct member *m = verdict_member_of(j, node->name);
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
    if (!verdict_has_name(j, s))
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
    const struct member *m = verdict_member_of(j, str(s, "node"));
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

        if (!verdict_in_group(j, &j->nodes[i]) || str(s, "digest") == NULL ||
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
    const struct member *m = verdict_member_of(j, str(node->status, "node"));
    const char *said = verdict_of_state(node->status);

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

/* By what its syncs took, or by one that has not ended: the longer one is told (STATUS-5). */
static void judge_disk(struct judging *j, const struct verdict_node *node)
{
    const json_t *disk = json_object_get(node->status, "disk");
    const json_int_t election_ms = num(disk, "election_ms");
    const json_int_t waits_ms = num(disk, "oldest_append_ms");
    const double p99_ms = (double)num(disk, "fsync_p99_us") / 1000.0;
    char what[64];

    if (!json_is_true(json_object_get(disk, "slow")))
        return;
    if ((double)waits_ms > p99_ms)
        (void)snprintf(what, sizeof(what), "a sync has taken %lld ms so far", (long long)waits_ms);
    else
        (void)snprintf(what, sizeof(what), "fsync p99 %.1f ms", p99_ms);
    if (election_ms > 0)
        complain(j, node, VERDICT_DISK_SLOW,
                 "disk slow: %s, election_ms = %lld; a faster disk, or a larger election_ms on all "
                 "nodes",
                 what, (long long)election_ms);
    else
        complain(j, node, VERDICT_DISK_SLOW, "disk slow: %s", what);
}

/* What the leader knows of it in the log, or what it has not applied itself. */
static void judge_behind(struct judging *j, const struct verdict_node *node)
{
    const struct member *m = verdict_member_of(j, str(node->status, "node"));
    const json_t *s = node->status;
    json_int_t log = 0;
    json_int_t match = -1;
    const json_int_t applied = num(s, "applied_index");
    const json_int_t apply = num(s, "commit_index") - applied;

    if (m != NULL && json_is_integer(json_object_get(m->peer, "match_index"))) {
        match = num(m->peer, "match_index");
        log = num(j->view, "last_log_index") - match;
    }
    /* A log may begin at any index: its last one is then no number of entries (BACKUP-2). */
    if (log > VERDICT_BEHIND_ENTRIES && match == 0)
        complain(j, node, VERDICT_BEHIND, "behind: %s knows of nothing in its log yet",
                 j->v->leader);
    else if (log > VERDICT_BEHIND_ENTRIES)
        complain(j, node, VERDICT_BEHIND, "behind by %lld entries", (long long)log);
    else if (apply > VERDICT_BEHIND_ENTRIES && applied == 0)
        complain(j, node, VERDICT_BEHIND, "behind: it has applied nothing yet");
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
        complain(
            j, node, VERDICT_WARNING,
            "%s told it term %lld, far above its own %lld: see 'ridctl explain term_far_above'",
            str(far, "id") != NULL ? str(far, "id") : "a peer", (long long)num(far, "term"),
            (long long)term);
    if (json_is_true(json_object_get(node->status, "terms_run_out")))
        complain(j, node, VERDICT_WARNING,
                 "hardly any terms are left: see 'ridctl explain terms_run_out'");
}

void verdict_judge_node(struct judging *j, const struct verdict_node *node)
{
    if (node->status == NULL) {
        judge_silent(j, node);
    } else if (!verdict_in_group(j, node)) {
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
void verdict_judge_unasked(struct judging *j, const struct member *m)
{
    struct verdict_node node = {.name = m->name, .endpoint = ""};

    if (verdict_was_asked(j, m->name))
        return;
    (void)judge_snapshot(j, &node);
    if (m->alive || judge_refused(j, &node))
        return;
    if (j->v->leader_answered)
        complain(j, &node, VERDICT_NOT_HEARD, "%s does not hear it", j->v->leader);
    else
        complain(j, &node, VERDICT_UNREACHABLE, "unreachable: its address is not known");
}
