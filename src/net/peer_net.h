/* Links to the other nodes on libevent bufferevents: dialling, handshake, two connections per pair,
 * frames.
 *
 * For: frames that go to a peer while there is a link, and news of links. Of each pair the node
 * with the lower number dials, and the other one where that brings no link for a while (PEER-10).
 * A link is up when its control and its log connection both finished their handshake with the same
 * nonce; when one dies both are closed, and it is dialled again after a jittered delay (50 ms
 * doubling to 1 s; 500 ms to 2 s for the other side). A new link of a peer replaces one that still
 * looks alive when both of its connections shook hands: DOWN, then UP. Once the cluster's id is
 * known (peer_net_set_key()) whoever knows it, too, proves so (PEER-8); then also one that was not
 * added is let in, a stranger (PEER-9).
 *
 * With TLS nothing of a peer is read, and nothing is sent to it but TLS, before both sides have
 * proved by certificate or secret that they belong to the cluster (TLS-10); that is done on a
 * thread of its own. A certificate names its node, and is no other node's (TLS-11).
 *
 * Not for: Raft, about which nothing is decided here; delivery, since frames may be dropped (Raft
 * repeats); judging who a caller is: the handshake's fixed part (version, cluster, to) is checked,
 * whether the other side's name and incarnation are acceptable is asked of the host.
 *
 * Units: as names say; an index of a channel is its number less 1.
 *
 * Ownership: the event_base is borrowed and must outlive the net. The buffer of peer_net_out() is
 * the net's, for this turn. What callbacks are given is valid during the call. Inside callbacks
 * nothing that libevent handed in is freed (PEER-4); they may call any function here,
 * peer_net_free() too: the memory then goes back in a later turn of the loop.
 *
 * Errors: 0 or -errno with err_text(), and nothing is changed; a failure of one link is an event.
 * SIGPIPE is set to be ignored if nothing else was chosen.
 *
 * Thread: the loop's only; peer_join() and the probe block, and are for other threads or a process
 * without a loop. If the base has several priorities, links run at the highest, 0, and whoever
 * calls is accepted at the last (CLIENT-6); a loop that turns until nothing is left to do would not
 * end while a peer goes on talking, so that each connection is read once more at most when the host
 * has no time left for them (TIME-1). A name is asked of the resolver by a thread when it is
 * dialled (LOOP-2); one that hangs delays that peer alone.
 *
 * Source: the PEER rules of docs/RULES.md; frames are those of wire/frame.h. */
#ifndef RIDD_NET_PEER_NET_H
#define RIDD_NET_PEER_NET_H

#include <event2/event.h>
#include <stdatomic.h>

#include "tls/greeter.h"
#include "wire/join.h"

struct peer_net;

enum peer_event {
    /* text = the agreed version of the protocol; peer_net_is_stranger() tells whose it is */
    PEER_EVENT_UP,
    PEER_EVENT_DOWN, /* an established link was lost; text = why */
    /* a handshake was refused, by us or by them; text = why. Of a link that we dial: once per
     * outage and reason. peer is what the caller claims to be, 0 if it did not get so far */
    PEER_EVENT_REFUSED,
    PEER_EVENT_FAILED, /* connect failed; text = why; reported once per outage */
    /* output passed PEER_OUT_BYTES_MAX: frames are dropped until half of it drained; reported once
     * for that time, by the next peer_net_flush() */
    PEER_EVENT_DROPPED,
    /* We were removed from the cluster; text = the index. A peer has said it, and has proved that
     * it belongs to the cluster. Told again with each dial. */
    PEER_EVENT_REMOVED,
    /* After DOWN: the other side ended both connections, and nobody listens at its address, which
     * is the one that it has now; once at most for each link (FAILOVER-1). */
    PEER_EVENT_GONE,
    PEER_EVENTS,
};

/* What becomes of a frame of an established link. */
enum peer_frame {
    PEER_FRAME_TAKEN = 0,
    PEER_FRAME_REFUSED = 1, /* the link is closed; err_text() says why */
};

/* How on_hello is asked. */
struct peer_asked {
    bool stranger; /* it was not added */
    /* It has not proved anything so far. Accepted, it is asked about once more when it has. */
    bool proof_follows;
    bool without_id; /* this node has the cluster's id, and it does not say that it has one */
    /* It says that it has the cluster's id, which this node has not, and neither knows anything of
     * the other. */
    bool unmet;
    /* The node that its certificate names, which its id is made of; "": it proved itself by the
     * cluster's secret, or there is no TLS. */
    const char *tls_name;
    raft_index removed_index; /* to be filled with WIRE_REFUSED_REMOVED */
};

struct peer_net_ops {
    void *ctx;
    /* Is this the node we know? Called for every handshake, dialled or accepted; unless a proof
     * follows, must have recorded h->incarnation durably before it returns WIRE_REFUSED_NOT. Not
     * called where neither side has the cluster's id and the caller was not added (refused as
     * FROM), nor for a probe, which is answered and changes nothing. */
    enum wire_refusal (*on_hello)(void *ctx, const struct wire_hello *h, struct peer_asked *asked);
    /* Our own side of a handshake or of the answer to a probe: fill last_index and
     * known_incarnation of `to`. */
    void (*fill_hello)(void *ctx, raft_node_id to, struct wire_hello *h);
    /* A whole, CRC-checked frame of an established link, also of a stranger's: enum peer_frame. */
    int (*on_frame)(void *ctx, raft_node_id from, const struct wire_frame *frame);
    void (*on_event)(void *ctx, enum peer_event event, raft_node_id peer, const char *address,
                     const char *text);
    /* Somebody asks who this node is, as for one that waits to be added (wire/join.h): what is
     * answered. NULL: the connection is closed. */
    void (*on_join)(void *ctx, const struct wire_join *j, struct wire_join_reply *ret);
    /* Asked after a connection was read: is the time of this turn for peers over? Then it is read
     * again after peer_net_flush() or peer_net_go_on(). NULL: it never is. */
    bool (*spent)(void *ctx);
};

struct peer_net_conf {
    unsigned char cluster_id[16];
    raft_node_id self;
    uint64_t incarnation;
    struct wire_about about;  /* what our hellos say of us */
    uint64_t seed;            /* nonces and jitter: different at each start */
    uint64_t handshake_us;    /* 0: PEER_HANDSHAKE_US */
    unsigned user_timeout_ms; /* 0: PEER_USER_TIMEOUT_MS */
    uint64_t second_us;       /* 0: PEER_SECOND_US_MIN */
    struct tls_ctx *tls; /* one count is taken; NULL: plain, as whoever reaches the port likes */
};

int peer_net_new(struct event_base *base, const char *listen_addr, const struct peer_net_conf *conf,
                 const struct peer_net_ops *ops, struct peer_net **ret);
/* A peer to keep a link with. 0 or -errno. Called again with another address: used from the next
 * dial on. The link of a stranger stays, and is a peer's. */
int peer_net_add(struct peer_net *n, raft_node_id id, const char *addr);
/* Its link is closed (DOWN is reported before this returns), and it is dialled no more. Also of a
 * stranger. */
void peer_net_remove(struct peer_net *n, raft_node_id id);
/* The cluster's id, for the handshakes that follow; NULL: it is not known. Links stay. */
void peer_net_set_key(struct peer_net *n, const unsigned char key[16]);
/* The lowest version of the protocol that is spoken from the next handshake on; WIRE_VERSION_LOWEST
 * until then. Links stay. */
void peer_net_set_lowest(struct peer_net *n, unsigned version);
/* Whether two of them are the same, in a time that does not tell where they differ. */
bool peer_net_same_key(const unsigned char a[16], const unsigned char b[16]);
/* What anybody may see of a key: it tells one from another, and nothing of it follows. False: the
 * library of ciphers says no. */
bool peer_net_shown_key(const unsigned char key[16], char ret_text[WIRE_CLUSTER_HASH_BUF]);
/* It has a link, or the beginning of one, and was not added. */
bool peer_net_is_stranger(const struct peer_net *n, raft_node_id id);
/* The buffer of that connection's output for this turn: append whole frames; NULL when the link is
 * down or its queue is full (the frame is dropped, Raft repeats). Sent by peer_net_flush(). */
struct buf *peer_net_out(struct peer_net *n, raft_node_id peer, enum wire_channel channel);
void peer_net_flush(struct peer_net *n);
/* Within a turn: all are read again. */
void peer_net_go_on(struct peer_net *n);
bool peer_net_is_up(const struct peer_net *n, raft_node_id peer);
/* Why there is no link, if it is because one side refuses the other: the last refusal, unless there
 * was a link since, or PEER_REFUSAL_SHOWN_US without another one. */
struct peer_refusal {
    enum wire_refusal reason; /* or a number of a later version */
    bool by_us;
    char cluster_name[NODE_NAME_BYTES_MAX + 1]; /* the peer's; "": it did not say */
};
bool peer_net_refusal(const struct peer_net *n, raft_node_id peer, struct peer_refusal *ret);
/* For the hellos that follow. False: it says nothing new. */
bool peer_net_set_about(struct peer_net *n, const struct wire_about *about);
/* Close the link now; DOWN is reported before this returns. It is dialled again later. */
void peer_net_close(struct peer_net *n, raft_node_id peer, const char *why);
unsigned peer_net_number(const struct peer_net *n); /* listening port */
/* For connections from now on. Those of before stay as long as what they were made with is accepted
 * by it, too (TLS-14); the others are closed, and dialled again. NULL: none of TLS stays. 0, or
 * -errno with err_text(): all is as before. */
int peer_net_set_tls(struct peer_net *n, struct tls_ctx *tls);
/* Of the handshakes of TLS; all zero without it. */
void peer_net_greetings(const struct peer_net *n, struct greeter_stats *ret);
/* Closes everything; no event is reported. NULL is accepted. */
void peer_net_free(struct peer_net *n);

/* Who is asked by what follows. */
struct peer_whom {
    const char *addr;
    struct tls_ctx *tls; /* borrowed; NULL: plain */
    const char *name; /* of the node that its certificate has to name, if it proves itself by one */
};
/* Blocking, for `ridd --init`: connect, say hello on the probe channel, read the reply, all within
 * timeout_ms. 0, or -errno with err_text() (nobody there, no answer, not a ridd). A refusal is an
 * answer: ret_reply->refused. */
int peer_probe(const struct peer_whom *whom, const struct wire_hello *hello, unsigned timeout_ms,
               struct wire_hello *ret_reply);
/* Blocking, for a thread of the leader's: the node that waits at this address is told what `join`
 * says. 0: it answered, and a refusal is an answer: ret_reply->refused, with its own words in
 * ret_reply->text. Accepted, its directory is durable when it answers. -errno with err_text():
 * nobody there, no answer in time, not a ridd; -ECANCELED soon after *stops (NULL: never) became
 * true. It may have joined all the same. Then this is called
 * again: a node that has joined already, and runs, says the same as when it was told (MEMBER-22).
 * */
int peer_join(const struct peer_whom *whom, const struct wire_join *join, unsigned timeout_ms,
              const atomic_bool *stops, struct wire_join_reply *ret_reply);

#endif
