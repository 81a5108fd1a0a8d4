/* Who is let in: the one thing that the daemon decides about its peers.
 *
 * Cluster, receiver, version and the proof of the cluster's id were compared by the port, which
 * answers probes by itself. Left are a node that is no member, or none any more, and one that is
 * not who it was: a lost disk, here or there, has forgotten votes and entries that others count on.
 * */
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

/* Nothing was believed: the peer comes again by itself, and is recorded then, or refused again. One
 * line until some peer was recorded (SPACE-12). */
static enum wire_refusal no_room(struct node *n, const struct raft_server *server)
{
    if (!n->peers_full)
        log_event(LOG_ERROR, "no_space", "what=peers peer=%s error=\"%s\" action=refuse_peer",
                  server->name, err_text());
    n->peers_full = true;
    return WIRE_REFUSED_ROOM;
}

/* An incarnation is recorded before its node is let in (IDENTITY-2). When it cannot be, whether it
 * is on the disk is not known, and after a restart another peer could come under that name: the
 * process ends at once, as after any write that failed. But a full disk is no failure: the file of
 * before is there, or one that names a peer which was not let in, and both refuse all others. */
static enum wire_refusal record(struct node *n, const struct raft_server *server,
                                const struct wire_hello *h)
{
    int rc;

    err_reset();
    rc = identity_peer_check_and_record(n->dir, h->from, server->name, h->incarnation);
    if (err_is_full(rc))
        return no_room(n, server);
    if (rc < 0)
        _exit(engine_log_end(rc, "cannot record the incarnation of a peer"));
    n->peers_full = n->peers_full && rc != IDENTITY_PEER_RECORDED;
    if (rc == IDENTITY_PEER_RECORDED)
        log_event(LOG_INFO, "peer_recorded", "peer=%s", server->name); /* no more (PEER-7) */
    if (rc == IDENTITY_PEER_FULL)
        return WIRE_REFUSED_BUSY;
    return rc == IDENTITY_PEER_REFUSED ? WIRE_REFUSED_INCARNATION : WIRE_REFUSED_NOT;
}

/* Heard in each handshake, dialled or accepted: the last word counts, since a node may go back to
 * an earlier version. What does not fit is not known. */
void node_note_met(struct node *n, const struct wire_hello *h)
{
    for (unsigned i = 0; i < NODE_MET_MAX; i++) {
        if (n->met[i].id != h->from && n->met[i].id != 0)
            continue;
        n->met[i].id = h->from;
        n->met[i].command_version = h->command_version;
        n->met[i].peer_version = h->version_highest;
        return;
    }
}

void node_forget_met(struct node *n, raft_node_id id)
{
    unsigned last = 0;
    unsigned at = NODE_MET_MAX;

    for (unsigned i = 0; i < NODE_MET_MAX && n->met[i].id != 0; i++) {
        at = n->met[i].id == id ? i : at;
        last = i;
    }
    if (at == NODE_MET_MAX)
        return;
    n->met[at] = n->met[last];
    n->met[last].id = 0;
}

unsigned node_command_version(void *ctx, raft_node_id id)
{
    const struct node *n = ctx;

    for (unsigned i = 0; i < NODE_MET_MAX; i++)
        if (n->met[i].id == id)
            return n->met[i].command_version;
    return 0;
}

unsigned node_peer_version(void *ctx, raft_node_id id)
{
    const struct node *n = ctx;

    for (unsigned i = 0; i < NODE_MET_MAX; i++)
        if (n->met[i].id == id)
            return n->met[i].peer_version;
    return 0;
}

/* server: what the configuration says of the caller; NULL: it does not know it. */
enum wire_refusal node_judge(const struct raft_server *server,
                             const struct raft_configuration *committed, bool leads,
                             uint64_t own_incarnation, const struct wire_hello *h,
                             struct peer_asked *asked)
{
    const struct raft_removed *removed = raft_configuration_removed(committed, h->from);

    /* The port has seen that its id is made of the name that its certificate says; that it is this
     * one's here is for us to know (TLS-11). */
    if (server != NULL && asked->tls_name != NULL && asked->tls_name[0] != '\0' &&
        strcmp(asked->tls_name, server->name) != 0)
        return WIRE_REFUSED_NAME;
    /* Removed is who is so for good: a configuration that is not committed may end with its entry
     * (PEER-11). */
    if (server == NULL && removed != NULL) {
        asked->removed_index = removed->index;
        return WIRE_REFUSED_REMOVED;
    }
    /* It has not been made a peer, and is not about to prove anything: it was let as far as here to
     * be told the above (PEER-11). */
    if (asked->stranger && asked->without_id)
        return WIRE_REFUSED_FROM;
    /* It may be a member, and we may lag: the port has seen, or will see, that it knows the
     * cluster's id (PEER-9). Who leads does not lag: for it the caller is none, removed so long ago
     * perhaps that nothing says so any more, and would never be told else (PEER-9). */
    if (server == NULL && (leads || !asked->stranger))
        return WIRE_REFUSED_FROM;
    /* Only a founder may lag so far that it has no id: whoever was added was told it before it was
     * a node. Its id gives its incarnation away, and so that proves nothing (PEER-8). */
    if (server != NULL && asked->without_id && server->id != raft_founder_id(server->name))
        return WIRE_REFUSED_PROOF;
    if (h->known_incarnation != 0 && h->known_incarnation != own_incarnation)
        return WIRE_REFUSED_OURSELVES;
    if (server != NULL && server->incarnation != 0 && server->incarnation != h->incarnation)
        return WIRE_REFUSED_INCARNATION;
    return WIRE_REFUSED_NOT;
}

/* One whose incarnation stands in the configuration needs no record of ours. */
static enum wire_refusal meet(struct node *n, const struct raft_server *server,
                              const struct wire_hello *h, bool proof_follows)
{
    const uint64_t known = identity_peer_incarnation(n->dir, h->from);

    if (server->incarnation != 0)
        return WIRE_REFUSED_NOT;
    if (!proof_follows)
        return record(n, server, h);
    return known != 0 && known != h->incarnation ? WIRE_REFUSED_INCARNATION : WIRE_REFUSED_NOT;
}

/* A stranger may become a server while its link stands, and is not met again then: what it said is
 * known from the beginning, or it would never be sent a snapshot (PEER-9). Strangers that have gone
 * are forgotten, so that there is always room for the next. */
static void meet_stranger(struct node *n, const struct wire_hello *h)
{
    for (unsigned i = NODE_MET_MAX; i > 0; i--) {
        const raft_node_id id = n->met[i - 1].id;

        if (id != 0 && node_server(n, id) == NULL && !peer_net_is_up(n->peer_net, id))
            node_forget_met(n, id);
    }
    node_note_met(n, h);
}

/* Who has never met us was made a member by founders who had not: a leader fills in the
 * incarnations of those that it knows. So we have not met all of them either; and whoever calls
 * itself the one that we have not met is let in, and given more: nothing is lost by this
 * (PEER-9). */
bool node_lacks_a_founder(const struct raft_configuration *c, raft_node_id self,
                          const struct identity_dir *dir)
{
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];

        if (s->id != self && s->incarnation == 0 && identity_peer_incarnation(dir, s->id) == 0)
            return true;
    }
    return false;
}

enum wire_refusal node_admit(void *ctx, const struct wire_hello *h, struct peer_asked *asked)
{
    struct node *n = ctx;
    const struct raft_server *server = node_server(n, h->from);
    enum wire_refusal refusal =
        node_judge(server, &node_committed_configuration(n)->configuration,
                   raft_can_serve(engine_raft(n->engine)), n->incarnation, h, asked);

    if (refusal == WIRE_REFUSED_NOT && asked->unmet &&
        !node_lacks_a_founder(raft_get_configuration(engine_raft(n->engine)), n->id, n->dir))
        refusal = WIRE_REFUSED_FROM;
    if (refusal == WIRE_REFUSED_NOT && server == NULL && !asked->proof_follows)
        meet_stranger(n, h);
    if (refusal != WIRE_REFUSED_NOT || server == NULL)
        return refusal;
    refusal = meet(n, server, h, asked->proof_follows);
    if (asked->proof_follows)
        return refusal;
    node_note_met(n, h);
    if (refusal == WIRE_REFUSED_NOT)
        node_heard_about(n, h);
    return refusal;
}
