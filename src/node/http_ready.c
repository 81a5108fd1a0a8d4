/* Does this node live, and is it ready?
 *
 * A probe must know what 200 of /readyz promises: whoever sends requests to this node now gets
 * linearizable reads answered here. A leader is ready when it serves. Another node is when it can
 * ask the leader for an index: it has a link to one, its state is right, and it is not further
 * behind than where it begins to turn such reads away itself (HTTP-7). Writes go to the leader
 * whoever is asked; so what is full in other nodes, or in the quota, makes no node unready. */
#include <string.h>

#include "node/http_int.h"

#include "base/banned.h"

struct checks {
    struct buf *out;
    bool failed;
};

/* why NULL: it is well. */
static void check(struct checks *c, const char *name, const char *why)
{
    c->failed |= why != NULL;
    if (why == NULL)
        (void)buf_add_format(c->out, "[+]%s ok\n", name);
    else
        (void)buf_add_format(c->out, "[-]%s failed: %s\n", name, why);
}

static const char *state_failure(const struct engine_health *e)
{
    if (e->fitness != RAFT_UNFIT)
        return NULL;
    if (strcmp(e->verdict, "rebuilding") == 0)
        return "it is being made again from a snapshot and the log";
    if (strcmp(e->verdict, "damaged") == 0)
        return "it is damaged, and will be made again once another node leads";
    return "it differs from that of a majority, and will be made again";
}

static const char *serving_failure(const struct engine_health *e, char *text, size_t size)
{
    if (e->role == RAFT_LEADER) {
        if (e->can_serve && e->n_voters_heard > e->n_voters / 2)
            return NULL;
        (void)snprintf(text, size, "this node leads, hears %u of %u voters, and %s",
                       e->n_voters_heard, e->n_voters,
                       e->can_serve ? "can commit nothing" : "does not serve yet");
        return text;
    }
    if (e->leader_id == 0)
        return "there is no leader to ask";
    if (!e->leader_connected) {
        (void)snprintf(text, size, "there is no link to the leader %s", e->leader);
        return text;
    }
    if (e->behind_entries <= READY_BEHIND_ENTRIES_MAX)
        return NULL;
    if (e->applied_nothing)
        return "nothing is applied here yet";
    (void)snprintf(text, size, "%llu entries are committed and not applied here, over %u",
                   (unsigned long long)e->behind_entries, READY_BEHIND_ENTRIES_MAX);
    return text;
}

static const char *disk_failure(const struct engine_health *e, char *text, size_t size)
{
    if (e->full != NULL && strcmp(e->full, "log") == 0)
        return "no room for the log: free some space";
    if (e->full != NULL && strcmp(e->full, "state") == 0)
        return "no room for the state: free some space";
    if (e->disk_silent_us <= e->election_us)
        return NULL;
    (void)snprintf(text, size, "the disk has not answered for %.1f s",
                   (double)e->disk_silent_us / 1e6);
    return text;
}

/* Reading the log, and closing the state, take what they take: who starts and stops this process
 * has time limits of its own. */
bool node_http_lives(enum node_http_stage stage, uint64_t silent_us, char *text, size_t size)
{
    const bool hangs = stage == NODE_HTTP_TURNING && silent_us > HTTP_LOOP_US;

    if (hangs)
        (void)snprintf(text, size, "the loop has not turned for %.1f s", (double)silent_us / 1e6);
    else
        (void)snprintf(text, size, "%s", stage == NODE_HTTP_LEAVING ? "stopping" : "ok");
    return !hangs;
}

bool node_http_is_ready(const struct node_ready *r, struct buf *out)
{
    struct checks checks = {.out = out};
    struct checks *c = &checks;
    const struct engine_health *e = &r->health;
    char text[160];

    check(c, "loop", NULL); /* it has just said all this */
    check(c, "log", NULL);  /* verified, or the loop would not turn */
    check(c, "state", state_failure(e));
    check(c, "leader", e->leader_id != 0 ? NULL : "no leader is known");
    check(c, "serving", serving_failure(e, text, sizeof(text)));
    check(c, "disk", disk_failure(e, text, sizeof(text)));
    check(c, "room", e->fitness != RAFT_PARKED ? NULL : "the node is parked: its disk is full");
    check(c, "stopping", r->stopping ? "this node is stopping" : NULL);
    return !c->failed;
}
