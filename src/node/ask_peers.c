/* What `ridd --init` asks before it makes anything: could a node of this name have been there
 * before? An empty one in its place could vote a second time in a term in which it has voted, and
 * has forgotten entries that others count on (IDENTITY-8).
 *
 * Whoever had the vote or an acknowledgement of that node had a link with it, and had recorded its
 * incarnation before. So nothing is lost where
 *
 *     - no peer that answers remembers it, and
 *     - none is at work, or those that are silent cannot have used it either: together with it they
 *       are no quorum, and none of them was ever met by one that answers.
 *
 * All founders of a new cluster may so be made at once, and in any order, while the first ones are
 * at work already. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/exit_codes.h"
#include "net/peer_net.h"
#include "node/node_int.h"

#include "base/banned.h"

struct asking {
    const struct conf *conf;
    struct tls_ctx *tls;       /* borrowed; NULL: plain */
    unsigned char *cluster_id; /* of the cluster that the peers belong to */
    const unsigned char *first_id;
    bool answered[RAFT_SERVERS_MAX];
    raft_index last_index[RAFT_SERVERS_MAX];
    unsigned n_answered;
    unsigned at_work; /* one with a log beyond the first entry; n_peers: none */
};

/* As the node `from`, which changes nothing: is it known to p? 0 or -errno. */
static int probe(const struct asking *a, const struct conf_peer *p, raft_node_id from,
                 struct wire_hello *ret_reply)
{
    struct wire_hello hello = {.version_highest = WIRE_VERSION_HIGHEST,
                               .version_lowest = WIRE_VERSION_LOWEST,
                               .channel = WIRE_CHANNEL_PROBE,
                               .from = from,
                               .to = p->id};

    memcpy(hello.cluster_id, a->cluster_id, sizeof(hello.cluster_id));
    node_about(a->conf, &hello.about);
    return peer_probe(&(struct peer_whom){.addr = p->peer_addr, .tls = a->tls, .name = p->name},
                      &hello, INIT_PROBE_MS, ret_reply);
}

static int say_refused(const struct asking *a, const struct conf_peer *p,
                       const struct wire_hello *reply)
{
    char theirs[WIRE_CLUSTER_HASH_BUF];
    char ours[WIRE_CLUSTER_HASH_BUF];

    if (reply->refused != WIRE_REFUSED_CLUSTER) {
        fprintf(stderr, "ridd: %s at %s refuses this node: %s; nothing was made\n", p->name,
                p->peer_addr, wire_refusal_text((enum wire_refusal)reply->refused, false));
        return EXIT_CONF_ERROR;
    }
    wire_cluster_hash(reply->cluster_id, theirs);
    wire_cluster_hash(a->cluster_id, ours);
    fprintf(stderr,
            "ridd: %s at %s belongs to another cluster: %s%s%sidentity %s; the configuration "
            "describes '%s', identity %s; nothing was made\n"
            "ridd: the name of the cluster and the names in [peers] must be the same on all "
            "nodes; of one that was restored or changed since only --join makes a node\n",
            p->name, p->peer_addr, reply->about.cluster_name[0] != '\0' ? "'" : "",
            reply->about.cluster_name, reply->about.cluster_name[0] != '\0' ? "', " : "", theirs,
            a->conf->cluster_name, ours);
    return EXIT_CONF_ERROR;
}

static int say_remembered(const struct asking *a, const struct conf_peer *p)
{
    const char *self = a->conf->self->name;

    fprintf(stderr,
            "ridd: %s at %s has met a node named %s before, with another data directory: "
            "it would refuse this one; nothing was made\n"
            "ridd: put that directory back as '%s', or make the whole cluster anew: "
            "stop every node, move every data directory away, then ridd --init on each\n",
            p->name, p->peer_addr, self, a->conf->data_dir);
    return EXIT_CONF_ERROR;
}

static int say_at_work(const struct asking *a)
{
    const struct conf_peer *p = &a->conf->peers[a->at_work];
    const char *self = a->conf->self->name;

    fprintf(stderr,
            "ridd: %s at %s has a log up to index %" PRIu64
            ": this cluster is at work already, and an empty node named %s could vote twice in one "
            "term; nothing was made\n"
            "ridd: if %s never ran, start the peers that do not answer, and try again\n"
            "ridd: if the disk of %s was lost, restore '%s' from a copy no older than its last "
            "write, or make the whole cluster anew: "
            "stop every node, move every data directory away, then ridd --init on each\n",
            p->name, p->peer_addr, a->last_index[a->at_work], self, self, self, a->conf->data_dir);
    return EXIT_CONF_ERROR;
}

/* A cluster that an earlier version made has another identity, which a new node of it takes. */
static bool take_first_id(struct asking *a, const struct conf_peer *p, struct wire_hello *reply)
{
    unsigned char founding_id[16];

    if (a->n_answered > 0)
        return false;
    memcpy(founding_id, a->cluster_id, 16);
    memcpy(a->cluster_id, a->first_id, 16);
    if (probe(a, p, a->conf->self->id, reply) == 0 && reply->refused == WIRE_REFUSED_NOT)
        return true;
    memcpy(a->cluster_id, founding_id, 16);
    return false;
}

/* 0, also when nobody answers there, or an exit code. */
static int ask_one(struct asking *a, unsigned i)
{
    const struct conf_peer *p = &a->conf->peers[i];
    struct wire_hello reply;
    struct wire_hello second;

    if (probe(a, p, a->conf->self->id, &reply) != 0)
        return 0;
    second = reply;
    if (reply.refused == WIRE_REFUSED_CLUSTER && take_first_id(a, p, &second))
        reply = second;
    if (reply.refused != WIRE_REFUSED_NOT)
        return say_refused(a, p, &reply);
    if (reply.known_incarnation != 0)
        return say_remembered(a, p);
    a->answered[i] = true;
    a->n_answered++;
    a->last_index[i] = reply.last_index;
    if (reply.last_index > 1)
        a->at_work = i;
    return 0;
}

/* Whether one that answers has met one that does not, or cannot say. */
static bool silent_one_was_met(const struct asking *a)
{
    struct wire_hello reply;

    for (unsigned i = 0; i < a->conf->n_peers; i++)
        for (unsigned k = 0; a->answered[i] && k < a->conf->n_peers; k++) {
            if (a->answered[k] || &a->conf->peers[k] == a->conf->self)
                continue;
            if (probe(a, &a->conf->peers[i], a->conf->peers[k].id, &reply) != 0 ||
                reply.refused != WIRE_REFUSED_NOT || reply.known_incarnation != 0)
                return true;
        }
    return false;
}

int node_ask_peers(const struct conf *conf, struct tls_ctx *tls, const unsigned char first_id[16],
                   unsigned char cluster_id[16])
{
    struct asking a = {.conf = conf,
                       .tls = tls,
                       .cluster_id = cluster_id,
                       .first_id = first_id,
                       .at_work = conf->n_peers};
    unsigned n_silent;
    int code = 0;

    for (unsigned i = 0; i < conf->n_peers && code == 0; i++)
        if (&conf->peers[i] != conf->self)
            code = ask_one(&a, i);
    if (code != 0)
        return code;
    n_silent = conf->n_peers - 1 - a.n_answered;
    if (a.at_work < conf->n_peers &&
        (n_silent + 1 >= conf->n_peers / 2 + 1 || silent_one_was_met(&a)))
        return say_at_work(&a);
    if (n_silent > 0)
        printf("ridd: %u of %u peers did not answer; that is as it should be when the cluster is "
               "new\n",
               n_silent, conf->n_peers - 1);
    return 0;
}
