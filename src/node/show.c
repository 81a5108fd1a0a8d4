/* What systemd shows of a node that runs, in one line of `systemctl status`: role, term and leader,
 * how far it is behind, and what is wrong if something is. The same facts as `ridctl status`, of
 * this node alone. */
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/node_int.h"
#include "node/notify.h"

#include "base/banned.h"

/* One datagram, one line. */
struct line {
    char text[1024];
    size_t len;
};

static void add(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *l, const char *format, ...)
{
    const size_t room = sizeof(l->text) - l->len;
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(l->text + l->len, room, format, ap);
    va_end(ap);
    if (n > 0)
        l->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* The state is made again: of what it had, so much is there again. */
static void add_replay(struct node *n, struct line *l)
{
    const raft_index applied = replica_last_applied(engine_replica(n->engine));
    const raft_index target = replica_rebuilt_at(engine_replica(n->engine));

    if (target == 0) {
        add(l, "; the state is made again: waiting for what it is made of");
        return;
    }
    if (n->shown.replay_to != target) {
        n->shown.replay_to = target;
        n->shown.replay_from = applied;
    }
    add(l, "; the state is made again from the log: %u %%, %llu of %llu entries",
        applied <= n->shown.replay_from
            ? 0
            : node_percent(applied - n->shown.replay_from, target - n->shown.replay_from),
        (unsigned long long)applied, (unsigned long long)target);
}

/* A follower knows what the leader told it to be committed; how far others are behind only the
 * leader knows. */
static void add_lag(struct node *n, struct line *l, const struct raft_status *st)
{
    const raft_index applied = replica_last_applied(engine_replica(n->engine));
    const struct raft_peer_status *last = NULL;

    if (applied == 0)
        add(l, ", nothing applied yet");
    else
        add(l, ", %llu entries applied, %llu behind", (unsigned long long)applied,
            (unsigned long long)(st->commit_index > applied ? st->commit_index - applied : 0));
    if (st->role != RAFT_LEADER)
        return;
    for (unsigned i = 0; i < st->n_peers; i++)
        if (st->peers[i].behind != RAFT_BEHIND_UNKNOWN &&
            (last == NULL || st->peers[i].behind > last->behind))
            last = &st->peers[i];
    if (last != NULL && last->behind > 0)
        add(l, ", %s is %llu behind", engine_name_of(n->engine, last->id),
            (unsigned long long)last->behind);
}

static void add_wrong(struct node *n, struct line *l, const struct raft_status *st)
{
    char text[256];

    if (st->role == RAFT_LEADER && st->n_voters_heard <= st->n_voters / 2)
        add(l, "; no quorum: %u of %u voters heard", st->n_voters_heard, st->n_voters);
    if (st->leader_id == 0)
        add(l, "; no leader is known");
    if (replica_rebuilding(engine_replica(n->engine)))
        add_replay(n, l);
    if (engine_trouble(n->engine, text, sizeof(text)))
        add(l, "; %s", text);
    if (n->shown.reload_wrong[0] != '\0')
        add(l, "; %s", n->shown.reload_wrong);
}

static bool is_news(const struct node *n, const struct raft *raft, uint64_t now_us)
{
    return raft_get_role(raft) != n->shown_role || raft_get_term(raft) != n->shown_term ||
           raft_get_leader(raft) != n->shown_leader || now_us >= n->status_due_us;
}

static void show(struct node *n, uint64_t now_us)
{
    const struct raft *raft = engine_raft(n->engine);
    struct line l = {.len = 0};
    struct raft_status st;

    n->shown_role = raft_get_role(raft);
    n->shown_term = raft_get_term(raft);
    n->shown_leader = raft_get_leader(raft);
    log_set_role(raft_role_name(n->shown_role), n->shown_term);
    raft_get_status(raft, &st);
    add(&l, "STATUS=%s in term %llu, leader %s", raft_role_name(n->shown_role),
        (unsigned long long)n->shown_term, engine_name_of(n->engine, n->shown_leader));
    add_lag(n, &l, &st);
    add_wrong(n, &l, &st);
    if (now_us < n->shown.reloaded_until_us)
        add(&l, "; reloaded: %s", n->shown.reloaded);
    /* What moves is looked at again soon. */
    n->status_due_us = now_us + (replica_rebuilding(engine_replica(n->engine)) ? NODE_START_SAY_US
                                                                               : NODE_STATUS_US);
    notify_send(l.text);
}

/* Apart from the showing, for which the compiler clears some KiB. */
void node_show(struct node *n, bool force)
{
    const uint64_t now_us = clock_mono_us();

    if (force || is_news(n, engine_raft(n->engine), now_us))
        show(n, now_us);
}
