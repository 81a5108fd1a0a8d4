/* The handshake of one connection: who we are, whether the other one is who it should be, and in
 * words why not.
 *
 *     dialler                                     acceptor
 *     HELLO, its challenge          ->            who is that? Is anything against it?
 *     knows its id? Is it the one?  <-            HELLO_REPLY, its challenge and its proof
 *     HELLO_PROOF, its proof        ->            then it is let in
 *
 * Proofs are made where both have a cluster id (PEER-8). Until then, and with a node of version 1,
 * the reply is the end of it. One of which the acceptor, which has none yet, knows nothing has to
 * know the acceptor's incarnation instead (PEER-9). */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/peer_int.h"

#include "base/banned.h"

/* ---- what we say ---- */

static struct wire_hello our_hello(const struct peer_conn *c, raft_node_id to)
{
    const struct peer_net_conf *conf = &c->net->conf;
    struct wire_hello h = {
        .version_highest = WIRE_VERSION_HIGHEST,
        .version_lowest = (uint16_t)c->net->version_lowest,
        .channel = c->channel,
        .from = conf->self,
        .to = to,
        .incarnation = conf->incarnation,
        .link_nonce = c->nonce,
        .about = conf->about,
        .challenged = c->asks,
    };

    memcpy(h.cluster_id, conf->cluster_id, sizeof(h.cluster_id));
    if (c->asks)
        memcpy(h.challenge, c->challenge, sizeof(h.challenge));
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

/* Where there is no challenge there is no link: one of which the other side knows is none. */
static bool ask_for_proof(struct peer_conn *c)
{
    c->asks = c->net->has_key;
    return !c->asks || peer_challenge_draw(c->challenge);
}

void peer_hello_say(struct peer_conn *c)
{
    struct peer_net *n = c->net;
    struct wire_hello h;

    rid_assert(c->state == PEER_CONN_CONNECTING || c->state == PEER_CONN_SHAKING);
    if (peer_dial_yields(c->peer))
        return;
    if (!ask_for_proof(c)) {
        peer_net_lost(c, PEER_EVENT_FAILED, "no random bytes for a challenge");
        return;
    }
    h = our_hello(c, c->peer->id);
    if (c->state == PEER_CONN_CONNECTING) /* else it is that of TLS, too */
        c->deadline_us = clock_mono_us() + n->conf.handshake_us;
    c->state = PEER_CONN_HELLO_SENT;
    n->ops.fill_hello(n->ops.ctx, c->peer->id, &h);
    if (c->state != PEER_CONN_DEAD && send_hello(c, &h, false) != 0)
        peer_net_lost(c, PEER_EVENT_FAILED, "out of memory");
}

/* ---- proofs ---- */

/* theirs: the other side's hello; said: the reply, whoever wrote it. */
static struct peer_proof_over proof_over(const struct peer_conn *c, const struct wire_hello *theirs,
                                         const struct wire_hello *said)
{
    const bool dialled = c->dialled;
    const raft_node_id self = c->net->conf.self;
    /* Whom we dialled counts, not who answers. */
    const raft_node_id other = dialled ? c->peer->id : theirs->from;

    return (struct peer_proof_over){
        .dialler = dialled ? self : other,
        .acceptor = dialled ? other : self,
        .challenge_of_dialler = dialled ? c->challenge : theirs->challenge,
        .challenge_of_acceptor = dialled ? theirs->challenge : c->challenge,
        .nonce = c->nonce,
        .channel = c->channel,
        .refused = said->refused,
        .removed_index = said->removed_index,
    };
}

/* Both have a cluster id, and so both must prove that they know it (PEER-8). */
static bool both_ask(const struct peer_conn *c, const struct wire_hello *theirs)
{
    return c->asks && theirs->challenged && c->version >= WIRE_VERSION_PROOFS;
}

static bool make_proof(const struct peer_conn *c, enum peer_proof_text text,
                       const struct peer_proof_over *o, unsigned char ret[WIRE_PROOF_BYTES])
{
    return c->net->has_key && peer_proof(c->net->key, text, o, ret);
}

/* In constant time: how much of it is right is nobody's business. */
static bool proof_is_right(const struct peer_conn *c, enum peer_proof_text text,
                           const struct peer_proof_over *o,
                           const unsigned char proof[WIRE_PROOF_BYTES])
{
    unsigned char expected[WIRE_PROOF_BYTES];

    return make_proof(c, text, o, expected) && peer_proof_equal(expected, proof);
}

/* An acceptor speaks first, and to anybody: its incarnations are told to those alone who know the
 * id, too (PEER-7). Twice gives what was there. */
static void mask_incarnations(const struct peer_conn *c, const struct peer_proof_over *o,
                              struct wire_hello *reply)
{
    unsigned char mask[WIRE_PROOF_BYTES];

    if (!make_proof(c, PEER_PROOF_MASK, o, mask))
        memset(mask, 0, sizeof(mask));
    reply->incarnation ^= get_u64(mask);
    reply->known_incarnation ^= get_u64(mask + 8);
}

/* A founder that was removed before it heard of the cluster's id cannot ask for a proof by that.
 * The two incarnations are what it knows the acceptor by, and is known by: whoever knows both is
 * that peer for it anyway (PEER-11). theirs: what the other side says of itself. False: one of them
 * is not known here. */
static bool removal_proof(const struct peer_conn *c, const struct wire_hello *theirs,
                          const struct peer_proof_over *o, unsigned char ret[WIRE_PROOF_BYTES])
{
    const struct peer_net *n = c->net;
    struct wire_hello known = {.known_incarnation = 0};
    const raft_node_id other = c->dialled ? o->acceptor : o->dialler;
    unsigned char key[16];

    n->ops.fill_hello(n->ops.ctx, other, &known);
    if (c->state == PEER_CONN_DEAD || known.known_incarnation == 0 ||
        (!c->dialled && known.known_incarnation != theirs->incarnation))
        return false;
    put_u64(key, c->dialled ? known.known_incarnation : n->conf.incarnation);
    put_u64(key + 8, c->dialled ? n->conf.incarnation : known.known_incarnation);
    return peer_proof(key, PEER_PROOF_OF_REMOVAL, o, ret);
}

/* What the acceptor adds to its reply, whatever it says. */
static void prove_reply(const struct peer_conn *c, const struct wire_hello *theirs,
                        struct wire_hello *reply)
{
    const struct peer_proof_over o = proof_over(c, theirs, reply);

    if (reply->refused == WIRE_REFUSED_REMOVED && c->asks && !theirs->challenged)
        reply->proved = removal_proof(c, theirs, &o, reply->proof);
    if (!both_ask(c, theirs))
        return;
    reply->proved = make_proof(c, PEER_PROOF_OF_ACCEPTOR, &o, reply->proof);
    if (reply->refused == WIRE_REFUSED_NOT)
        mask_incarnations(c, &o, reply);
}

/* ---- who is that? ---- */

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

static enum wire_refusal ask_host(struct peer_conn *c, const struct wire_hello *h,
                                  struct peer_asked *asked)
{
    const struct peer_net *n = c->net;

    if (!peer_tls_is(c, h->from, h->incarnation))
        return WIRE_REFUSED_NAME;
    asked->tls_name = peer_tls_name(c);
    return n->ops.on_hello(n->ops.ctx, h, asked);
}

/* A founder that was away when its cluster got an id cannot ask for a proof of that. But who has an
 * id and knows our incarnation, which nobody but members is told (PEER-7), was told of us by the
 * configuration (PEER-9). Refused, a voter that came since and we would be a majority that never
 * elects anybody. */
static bool was_told_of_us(const struct peer_conn *c, const struct wire_hello *h)
{
    const uint64_t own = c->net->conf.incarnation;

    return !c->net->has_key && h->challenged && own != 0 && h->known_incarnation == own;
}

/* Nor could we be made known to it: whoever filled in what the configuration says had not met us.
 * Whether it may be somebody all the same the host knows (PEER-9). */
static bool is_unmet(const struct peer_conn *c, const struct wire_hello *h)
{
    return !c->net->has_key && h->challenged && h->known_incarnation == 0;
}

static enum wire_refusal judge_caller(struct peer_conn *c, const struct wire_hello *h,
                                      struct peer_asked *asked)
{
    struct peer_net *n = c->net;
    const struct peer *p = peer_net_find(n, h->from);
    enum wire_refusal refusal = check_fixed_part(c, h);
    bool may_be_one;

    if (refusal != WIRE_REFUSED_NOT)
        return refusal;
    asked->proof_follows = both_ask(c, h);
    asked->without_id = c->asks && !both_ask(c, h);
    asked->stranger = p == NULL || p->stranger;
    if (h->from == n->conf.self)
        return WIRE_REFUSED_FROM;
    asked->unmet = asked->stranger && is_unmet(c, h);
    /* Who is no member as far as we know may be one all the same: it has to prove that it belongs
     * here (PEER-9). Without an id it may have been removed, and is told (PEER-11). */
    may_be_one = asked->proof_follows || asked->unmet || was_told_of_us(c, h);
    if (asked->stranger && (h->channel == WIRE_CHANNEL_PROBE || !(may_be_one || asked->without_id)))
        return WIRE_REFUSED_FROM;
    if (h->channel == WIRE_CHANNEL_PROBE)
        return WIRE_REFUSED_NOT;
    if (p == NULL && !peer_net_has_room(n))
        return WIRE_REFUSED_BUSY;
    if (p != NULL && peer_dial_is_under_way(p))
        return WIRE_REFUSED_CROSSED;
    refusal = ask_host(c, h, asked);
    if (refusal == WIRE_REFUSED_NOT && asked->stranger && !may_be_one)
        return WIRE_REFUSED_FROM;
    return refusal;
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

/* For the operator of this node; h is what the other one said of itself, said the reply. */
static void say_refusal(char *text, size_t size, const struct peer_conn *c,
                        const struct wire_hello *h, const struct wire_hello *said, bool by_us)
{
    const char *who = by_us ? "we refuse" : "they refuse";
    const char *why = wire_refusal_text((enum wire_refusal)said->refused, by_us);

    if (said->refused == WIRE_REFUSED_VERSION) {
        (void)snprintf(text, size, "%s: %s: it speaks %u to %u, we speak %u to %u", who, why,
                       h->version_lowest, h->version_highest, c->net->version_lowest,
                       WIRE_VERSION_HIGHEST);
    } else if (said->refused == WIRE_REFUSED_CLUSTER) {
        say_clusters(text, size, who, &c->net->conf, h);
    } else if (said->refused == WIRE_REFUSED_REMOVED && said->removed_index != 0) {
        (void)snprintf(text, size, "%s: %s at index %llu", who, why,
                       (unsigned long long)said->removed_index);
    } else {
        (void)snprintf(text, size, "%s: %s", who, why);
    }
}

/* ---- of who was called ---- */

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

/* Once for both connections of a link. */
static void tell_refused(struct peer_conn *c, const struct wire_hello *h,
                         const struct wire_hello *reply)
{
    struct peer_net *n = c->net;
    const bool told = n->refused_any && n->refused_nonce == h->link_nonce;
    char text[PEER_TEXT_BYTES];

    if (reply->refused == WIRE_REFUSED_CROSSED)
        return;
    n->refused_any = true;
    n->refused_nonce = h->link_nonce;
    say_refusal(text, sizeof(text), c, h, reply, true);
    peer_net_note_refusal(n, h->from, h, reply->refused, true);
    if (!told)
        n->ops.on_event(n->ops.ctx, PEER_EVENT_REFUSED, h->from, c->address, text);
}

static void refuse_caller(struct peer_conn *c, const struct wire_hello *h,
                          enum wire_refusal refusal, const struct peer_asked *asked)
{
    struct wire_hello reply = our_hello(c, h->from);

    reply.refused = (uint8_t)refusal;
    reply.removed_index = refusal == WIRE_REFUSED_REMOVED ? asked->removed_index : 0;
    forget_incarnations(&reply);
    prove_reply(c, h, &reply);
    if (c->state == PEER_CONN_DEAD)
        return;
    say_last_words(c, &reply);
    tell_refused(c, h, &reply);
}

/* After the reply has left. */
static void let_in(struct peer_conn *c, raft_node_id from, bool stranger)
{
    struct peer_net *n = c->net;
    struct peer *p = peer_net_find(n, from);

    if (p == NULL && stranger)
        p = peer_net_add_stranger(n, from);
    if (c->state == PEER_CONN_DEAD)
        return; /* the host was told of one that made room */
    if (p == NULL)
        peer_net_lost(c, PEER_EVENT_REFUSED, "it is no peer any more");
    else
        peer_net_shaken(n, p, c);
}

/* Sent instead of a handshake; the answer is the last thing on this connection. */
static void on_join_frame(struct peer_conn *c, const struct wire_frame *frame)
{
    struct peer_net *n = c->net;
    cleanup_buf struct buf out = BUF_INIT;
    struct wire_join_reply reply = {.version_highest = WIRE_VERSION_HIGHEST,
                                    .version_lowest = WIRE_VERSION_LOWEST};
    struct wire_join join;

    if (n->ops.on_join == NULL || wire_join_decode(frame, &join) != 0) {
        peer_net_lost(c, PEER_EVENT_REFUSED, "the first frame is not a valid hello");
        return;
    }
    n->ops.on_join(n->ops.ctx, &join, &reply);
    if (c->state == PEER_CONN_DEAD)
        return;
    c->state = PEER_CONN_LAST_WORDS;
    if (wire_join_reply_encode(&reply, &out) != 0 || peer_conn_send(c, &out) != 0 ||
        peer_conn_out_bytes(c) == 0)
        peer_conn_detach(c);
}

static void on_hello(struct peer_conn *c, const struct wire_frame *frame)
{
    struct peer_net *n = c->net;
    struct peer_asked asked = {0};
    struct wire_hello h;
    struct wire_hello reply;
    enum wire_refusal refusal;

    if (frame->type == WIRE_FRAME_JOIN) {
        on_join_frame(c, frame);
        return;
    }
    if (frame->type != WIRE_FRAME_HELLO || wire_hello_decode(frame, &h) != 0) {
        peer_net_lost(c, PEER_EVENT_REFUSED, "the first frame is not a valid hello");
        return;
    }
    c->channel = h.channel;
    c->nonce = h.link_nonce;
    if (h.channel != WIRE_CHANNEL_PROBE && !ask_for_proof(c)) {
        peer_net_lost(c, PEER_EVENT_REFUSED, "no random bytes for a challenge");
        return;
    }
    refusal = judge_caller(c, &h, &asked);
    if (c->state == PEER_CONN_DEAD)
        return;
    if (refusal != WIRE_REFUSED_NOT) {
        refuse_caller(c, &h, refusal, &asked);
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
    if (asked.stranger)
        reply.last_index = 0; /* it has proved nothing so far */
    prove_reply(c, &h, &reply);
    if (send_hello(c, &reply, true) != 0) {
        peer_net_lost(c, PEER_EVENT_FAILED, "out of memory");
    } else if (asked.proof_follows) {
        c->state = PEER_CONN_PROOF_AWAITED;
        c->caller = h;
    } else {
        let_in(c, h.from, asked.stranger);
    }
}

/* Now it is known who that is. The host is asked once more, and may record it. */
static enum wire_refusal judge_proof(struct peer_conn *c, const struct wire_frame *frame,
                                     struct peer_asked *asked)
{
    static const struct wire_hello accepted;
    const struct peer_proof_over o = proof_over(c, &c->caller, &accepted);
    const struct peer *p = peer_net_find(c->net, c->caller.from);
    unsigned char proof[WIRE_PROOF_BYTES];

    if (wire_proof_decode(frame, proof) != 0 ||
        !proof_is_right(c, PEER_PROOF_OF_DIALLER, &o, proof))
        return WIRE_REFUSED_PROOF;
    if (p != NULL && peer_dial_has_come_first(p))
        return WIRE_REFUSED_CROSSED;
    asked->stranger = p == NULL || p->stranger;
    return ask_host(c, &c->caller, asked);
}

static void on_proof(struct peer_conn *c, const struct wire_frame *frame)
{
    struct wire_hello said = {0};
    struct peer_asked asked = {0};
    const enum wire_refusal refusal = judge_proof(c, frame, &asked);

    if (c->state == PEER_CONN_DEAD)
        return;
    if (refusal == WIRE_REFUSED_NOT) {
        let_in(c, c->caller.from, asked.stranger);
        return;
    }
    said.refused = (uint8_t)refusal;
    said.removed_index = asked.removed_index;
    peer_conn_detach(c);
    tell_refused(c, &c->caller, &said);
}

/* ---- of who called ---- */

static void refused_by_us(struct peer_conn *c, const struct wire_hello *h,
                          enum wire_refusal refusal, const struct peer_asked *asked)
{
    const struct wire_hello said = {.refused = (uint8_t)refusal,
                                    .removed_index = asked->removed_index};
    char text[PEER_TEXT_BYTES];

    say_refusal(text, sizeof(text), c, h, &said, true);
    peer_net_note_refusal(c->net, c->peer->id, h, refusal, true);
    peer_net_lost(c, PEER_EVENT_REFUSED, text);
}

/* That we were removed is believed of nobody who has not proved that it belongs to the cluster
 * (PEER-11): else anybody who answers at a peer's address could end this node. */
static bool removed_for_sure(const struct peer_conn *c, const struct wire_hello *h)
{
    const struct peer_proof_over o = proof_over(c, h, h);
    unsigned char expected[WIRE_PROOF_BYTES];

    if (h->refused != WIRE_REFUSED_REMOVED || !h->proved)
        return false;
    if (c->asks)
        return both_ask(c, h) && proof_is_right(c, PEER_PROOF_OF_ACCEPTOR, &o, h->proof);
    return removal_proof(c, h, &o, expected) && peer_proof_equal(expected, h->proof);
}

/* A node of version 1 with a lower id takes no calls: it calls. */
static bool is_crossed(const struct peer_conn *c, const struct wire_hello *h)
{
    return h->refused == WIRE_REFUSED_CROSSED ||
           (h->refused == WIRE_REFUSED_FROM && h->version_highest < WIRE_VERSION_PROOFS &&
            !peer_dials_first(c->peer));
}

static void refused_by_them(struct peer_conn *c, const struct wire_hello *h)
{
    struct peer_net *n = c->net;
    char address[ADDRESS_BYTES_MAX + 1];
    char text[PEER_TEXT_BYTES];
    const raft_node_id id = c->peer->id;

    if (is_crossed(c, h)) {
        peer_dial_put_off(c->peer);
        return;
    }
    say_refusal(text, sizeof(text), c, h, h, false);
    peer_net_note_refusal(n, id, h, h->refused, false);
    if (!removed_for_sure(c, h)) {
        peer_net_lost(c, PEER_EVENT_REFUSED, text);
        return;
    }
    (void)snprintf(address, sizeof(address), "%s", c->address);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)h->removed_index);
    peer_dial_put_off(c->peer);
    n->ops.on_event(n->ops.ctx, PEER_EVENT_REMOVED, id, address, text);
}

static enum wire_refusal judge_answer(struct peer_conn *c, struct wire_hello *h,
                                      struct peer_asked *asked)
{
    enum wire_refusal refusal = check_fixed_part(c, h);
    struct peer_proof_over o;

    if (refusal != WIRE_REFUSED_NOT)
        return refusal;
    if (h->from != c->peer->id)
        return WIRE_REFUSED_FROM;
    asked->without_id = c->asks && !both_ask(c, h);
    if (both_ask(c, h)) {
        o = proof_over(c, h, h);
        if (!h->proved || !proof_is_right(c, PEER_PROOF_OF_ACCEPTOR, &o, h->proof))
            return WIRE_REFUSED_PROOF;
        mask_incarnations(c, &o, h);
    }
    return ask_host(c, h, asked);
}

/* Its incarnation is in the configuration where its id was made of one, too. */
static bool is_meant(struct peer_conn *c)
{
    struct wire_hello known = {.known_incarnation = 0};

    if (c->identity.kind == TLS_CERTIFICATE)
        c->net->ops.fill_hello(c->net->ops.ctx, c->peer->id, &known);
    return c->state != PEER_CONN_DEAD && peer_tls_is(c, c->peer->id, known.known_incarnation);
}

/* Whom a certificate names is known before anything is said: our hello tells what the meant one
 * alone may know, and of its answers some end this node (TLS-11, PEER-11). */
void peer_hello_begin(struct peer_conn *c)
{
    const struct wire_hello nothing = {.channel = c->channel};
    const struct peer_asked asked = {0};

    if (is_meant(c))
        peer_hello_say(c);
    else if (c->state != PEER_CONN_DEAD)
        refused_by_us(c, &nothing, WIRE_REFUSED_NAME, &asked);
}

static int send_proof(struct peer_conn *c, const struct wire_hello *reply)
{
    const struct peer_proof_over o = proof_over(c, reply, reply);
    cleanup_buf struct buf out = BUF_INIT;
    unsigned char proof[WIRE_PROOF_BYTES];
    int rc;

    if (!make_proof(c, PEER_PROOF_OF_DIALLER, &o, proof))
        return -ENOMEM;
    rc = wire_proof_encode(proof, &out);
    return rc == 0 ? peer_conn_send(c, &out) : rc;
}

static void on_reply(struct peer_conn *c, const struct wire_frame *frame)
{
    struct peer_asked asked = {0};
    struct wire_hello h;
    enum wire_refusal refusal;

    if (frame->type != WIRE_FRAME_HELLO_REPLY || wire_hello_decode(frame, &h) != 0 ||
        h.link_nonce != c->nonce || h.channel != c->channel) {
        peer_net_lost(c, PEER_EVENT_REFUSED, "the answer is not a valid reply to our hello");
        return;
    }
    /* Their reason first: what else they say may differ for that very reason. */
    if (h.refused != WIRE_REFUSED_NOT) {
        (void)check_fixed_part(c, &h);
        refused_by_them(c, &h);
        return;
    }
    refusal = judge_answer(c, &h, &asked);
    if (c->state == PEER_CONN_DEAD)
        return;
    if (refusal != WIRE_REFUSED_NOT)
        refused_by_us(c, &h, refusal, &asked);
    else if (both_ask(c, &h) && send_proof(c, &h) != 0)
        peer_net_lost(c, PEER_EVENT_FAILED, "out of memory");
    else
        peer_net_shaken(c->net, c->peer, c);
}

void peer_hello_take(struct peer_conn *c, const struct wire_frame *frame)
{
    if (c->state == PEER_CONN_HELLO_AWAITED)
        on_hello(c, frame);
    else if (c->state == PEER_CONN_PROOF_AWAITED)
        on_proof(c, frame);
    else
        on_reply(c, frame);
}
