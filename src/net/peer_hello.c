/* The handshake of one connection: who we are, whether the other one is who it should be, and in words
 * why not. */
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/peer_int.h"

#include "base/banned.h"

static struct wire_hello our_hello(const struct peer_conn *c, raft_node_id to)
{
    const struct peer_net_conf *conf = &c->net->conf;
    struct wire_hello h = {
        .version_highest = WIRE_VERSION_HIGHEST,
        .version_lowest = WIRE_VERSION_LOWEST,
        .channel = c->channel,
        .from = conf->self,
        .to = to,
        .incarnation = conf->incarnation,
        .link_nonce = c->nonce,
        .about = conf->about,
    };

    memcpy(h.cluster_id, conf->cluster_id, sizeof(h.cluster_id));
    return h;
}

static int send_hello(struct peer_conn *c, const struct wire_hello *h, bool is_reply)
{
    cleanup_buf struct buf out = BUF_INIT;
    int rc;

    rc = wire_hello_encode(h, is_reply, &out);
    if (rc != 0)
        return err_trace(rc);
    return peer_conn_send(c, &out);
}

void peer_hello_say(struct peer_conn *c)
{
    struct peer_net *n = c->net;
    struct wire_hello h = our_hello(c, c->peer->id);

    rid_assert(c->state == PEER_CONN_CONNECTING);
    c->state = PEER_CONN_HELLO_SENT;
    c->deadline_us = clock_mono_us() + n->conf.handshake_us;
    n->ops.fill_hello(n->ops.ctx, c->peer->id, &h);
    if (c->state != PEER_CONN_DEAD && send_hello(c, &h, false) != 0)
        peer_net_lost(c, PEER_EVENT_FAILED, "out of memory");
}

/* What both sides check of the other's hello, before anything else of that connection is read
 * (PEER-1). */
static enum wire_refusal check_fixed_part(struct peer_conn *c, const struct wire_hello *h)
{
    const struct peer_net *n = c->net;
    const struct wire_hello ours = our_hello(c, h->from);

    c->version = wire_version_agreed(&ours, h);
    if (c->version == 0)
        return WIRE_REFUSED_VERSION;
    if (memcmp(h->cluster_id, n->conf.cluster_id, sizeof(h->cluster_id)) != 0)
        return WIRE_REFUSED_CLUSTER;
    if (h->to != n->conf.self)
        return WIRE_REFUSED_TO;
    return WIRE_REFUSED_NOT;
}

static enum wire_refusal judge_caller(struct peer_conn *c, const struct wire_hello *h)
{
    const struct peer_net *n = c->net;
    enum wire_refusal refusal = check_fixed_part(c, h);

    if (refusal != WIRE_REFUSED_NOT)
        return refusal;
    if (peer_net_find(n, h->from) == NULL)
        return WIRE_REFUSED_FROM;
    if (h->channel == WIRE_CHANNEL_PROBE)
        return WIRE_REFUSED_NOT;
    /* Two nodes that dial each other would replace each other's links for ever. */
    if (h->from > n->conf.self)
        return WIRE_REFUSED_FROM;
    return n->ops.on_hello(n->ops.ctx, h);
}

/* In words (STATUS-3), as far as there are some: an older node does not say its cluster's name,
 * and two that were made apart may have one name. */
static void say_clusters(char *text, size_t size, const char *who, const struct peer_net_conf *conf,
                         const struct wire_hello *h)
{
    const char *name = h->about.cluster_name;
    const char *ours_name = conf->about.cluster_name;
    const bool same = name[0] != '\0' && strcmp(name, ours_name) == 0;
    char theirs[WIRE_CLUSTER_HASH_BUF];
    char ours[WIRE_CLUSTER_HASH_BUF];

    wire_cluster_hash(h->cluster_id, theirs);
    wire_cluster_hash(conf->cluster_id, ours);
    if (name[0] != '\0' && ours_name[0] != '\0' && strcmp(name, ours_name) != 0)
        (void)snprintf(text, size, "%s: it belongs to cluster '%s', we to '%s'", who, name,
                       ours_name);
    else
        (void)snprintf(text, size, "%s: it belongs to another cluster%s%s: identity %s, ours %s",
                       who, same ? " of the same name, " : "", same ? name : "", theirs, ours);
}

/* For the operator of this node; h is what the other one said of itself. */
static void say_refusal(char *text, size_t size, const struct peer_conn *c,
                        const struct wire_hello *h, int refusal, bool by_us)
{
    const char *who = by_us ? "we refuse" : "they refuse";
    const char *why = wire_refusal_text((enum wire_refusal)refusal, by_us);

    if (refusal == WIRE_REFUSED_VERSION) {
        (void)snprintf(text, size, "%s: %s: it speaks %u to %u, we speak %u to %u", who, why,
                       h->version_lowest, h->version_highest, WIRE_VERSION_LOWEST,
                       WIRE_VERSION_HIGHEST);
    } else if (refusal == WIRE_REFUSED_CLUSTER) {
        say_clusters(text, size, who, &c->net->conf, h);
    } else {
        (void)snprintf(text, size, "%s: %s", who, why);
    }
}

/* Sent as a reply that is the last thing on this connection. */
static void say_last_words(struct peer_conn *c, const struct wire_hello *reply)
{
    c->state = PEER_CONN_LAST_WORDS;
    if (send_hello(c, reply, true) != 0 || peer_conn_out_bytes(c) == 0)
        peer_conn_detach(c);
}

/* Whoever asks by a probe, and whoever is refused, may be anybody who reaches the port, and says an
 * id that stands in every configuration. An incarnation is all that tells a member from a stranger:
 * told to one it would let him speak in a member's name (PEER-7). That something is known of the
 * name is all that `ridd --init` needs. */
static void forget_incarnations(struct wire_hello *reply)
{
    reply->incarnation = 0;
    reply->known_incarnation = reply->known_incarnation != 0 ? WIRE_INCARNATION_WITHHELD : 0;
}

static void refuse_caller(struct peer_conn *c, const struct wire_hello *h,
                          enum wire_refusal refusal)
{
    struct peer_net *n = c->net;
    struct wire_hello reply = our_hello(c, h->from);
    const bool told = n->refused_any && n->refused_nonce == h->link_nonce;
    char text[PEER_TEXT_BYTES];

    reply.refused = (uint8_t)refusal;
    forget_incarnations(&reply);
    n->refused_any = true;
    n->refused_nonce = h->link_nonce;
    say_refusal(text, sizeof(text), c, h, refusal, true);
    peer_net_note_refusal(n, h->from, h, refusal, true);
    say_last_words(c, &reply);
    if (!told)
        n->ops.on_event(n->ops.ctx, PEER_EVENT_REFUSED, h->from, c->address, text);
}

static void on_hello(struct peer_conn *c, const struct wire_frame *frame)
{
    struct peer_net *n = c->net;
    struct wire_hello h;
    struct wire_hello reply;
    enum wire_refusal refusal;

    if (frame->type != WIRE_FRAME_HELLO || wire_hello_decode(frame, &h) != 0) {
        peer_net_lost(c, PEER_EVENT_REFUSED, "the first frame is not a valid hello");
        return;
    }
    c->channel = h.channel;
    c->nonce = h.link_nonce;
    refusal = judge_caller(c, &h);
    if (c->state == PEER_CONN_DEAD)
        return;
    if (refusal != WIRE_REFUSED_NOT) {
        refuse_caller(c, &h, refusal);
        return;
    }
    reply = our_hello(c, h.from);
    n->ops.fill_hello(n->ops.ctx, h.from, &reply);
    if (c->state == PEER_CONN_DEAD)
        return;
    if (h.channel == WIRE_CHANNEL_PROBE) {
        forget_incarnations(&reply);
        say_last_words(c, &reply);
        return;
    }
    if (send_hello(c, &reply, true) != 0)
        peer_net_lost(c, PEER_EVENT_FAILED, "out of memory");
    else
        peer_net_shaken(n, peer_net_find(n, h.from), c);
}

static void refused_by_us(struct peer_conn *c, const struct wire_hello *h,
                          enum wire_refusal refusal)
{
    char text[PEER_TEXT_BYTES];

    say_refusal(text, sizeof(text), c, h, refusal, true);
    peer_net_note_refusal(c->net, c->peer->id, h, refusal, true);
    peer_net_lost(c, PEER_EVENT_REFUSED, text);
}

static void on_reply(struct peer_conn *c, const struct wire_frame *frame)
{
    struct peer_net *n = c->net;
    struct wire_hello h;
    enum wire_refusal refusal;
    char text[PEER_TEXT_BYTES];

    if (frame->type != WIRE_FRAME_HELLO_REPLY || wire_hello_decode(frame, &h) != 0 ||
        h.link_nonce != c->nonce || h.channel != c->channel) {
        peer_net_lost(c, PEER_EVENT_REFUSED, "the answer is not a valid reply to our hello");
        return;
    }
    /* Their reason first: what else they say may differ for that very reason. */
    if (h.refused != WIRE_REFUSED_NOT) {
        say_refusal(text, sizeof(text), c, &h, h.refused, false);
        peer_net_note_refusal(n, c->peer->id, &h, h.refused, false);
        peer_net_lost(c, PEER_EVENT_REFUSED, text);
        return;
    }
    refusal = check_fixed_part(c, &h);
    if (refusal == WIRE_REFUSED_NOT && h.from != c->peer->id)
        refusal = WIRE_REFUSED_FROM;
    if (refusal == WIRE_REFUSED_NOT)
        refusal = n->ops.on_hello(n->ops.ctx, &h);
    if (c->state == PEER_CONN_DEAD)
        return;
    if (refusal != WIRE_REFUSED_NOT)
        refused_by_us(c, &h, refusal);
    else
        peer_net_shaken(n, c->peer, c);
}

void peer_hello_take(struct peer_conn *c, const struct wire_frame *frame)
{
    if (c->state == PEER_CONN_HELLO_AWAITED)
        on_hello(c, frame);
    else
        on_reply(c, frame);
}
