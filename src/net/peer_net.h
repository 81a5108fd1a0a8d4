/* Links to the other nodes on libevent bufferevents: dialling, handshake, two connections per pair, frames.
 *
 * Of each pair the node with the lower number dials. A link is up when its control and its log connection both finished
 * their handshake with the same nonce; when one dies both are closed, and the dialler tries again after a jittered
 * delay (50 ms doubling to 1 s). It moves frames and checks the handshake's fixed part (version, cluster, to); whether
 * the other side's name and incarnation are acceptable is asked of the host. Decides nothing about Raft. Loop thread only.
 * Inside callbacks nothing that libevent handed in is freed (STYLE.md 4). */
#ifndef RIDD_NET_PEER_NET_H
#define RIDD_NET_PEER_NET_H

#include <event2/event.h>

#include "wire/frame.h"

struct peer_net;

enum peer_event {
    PEER_EVENT_UP,
    PEER_EVENT_DOWN,    /* an established link was lost; text = why */
    PEER_EVENT_REFUSED, /* a handshake was refused, by us or by them; text = why */
    PEER_EVENT_FAILED,  /* connect failed; text = why; reported once per outage */
    PEER_EVENT_DROPPED, /* output passed PEER_OUT_BYTES_MAX: frames are dropped until it drains */
};

struct peer_net_ops {
    void *ctx;
    /* Is this the node we know? Called for every handshake, dialled or accepted; must have recorded h->incarnation durably
     * before it returns WIRE_REFUSED_NOT. */
    enum wire_refusal (*on_hello)(void *ctx, const struct wire_hello *h);
    /* Our own side of a handshake: fill last_index and known_incarnation of `to`. */
    void (*fill_hello)(void *ctx, raft_node_id to, struct wire_hello *h);
    /* A whole, CRC-checked frame of an established link. Non-zero: close the link (text in err_text()). */
    int (*on_frame)(void *ctx, raft_node_id from, const struct wire_frame *frame);
    void (*on_event)(void *ctx, enum peer_event event, raft_node_id peer, const char *address, const char *text);
};

struct peer_net_conf {
    unsigned char cluster_id[16];
    raft_node_id self;
    uint64_t incarnation;
    uint64_t seed; /* nonces and jitter */
};

int peer_net_new(struct event_base *base, const char *listen_addr, const struct peer_net_conf *conf,
                 const struct peer_net_ops *ops, struct peer_net **ret);
/* A peer to keep a link with. 0 or -errno. Called again with another address: used from the next dial on. */
int peer_net_add(struct peer_net *n, raft_node_id id, const char *addr);
/* The buffer of that connection's output for this turn: append whole frames; NULL when the link is down or its queue is
 * full (the frame is dropped, Raft repeats). Sent by peer_net_flush(). */
struct buf *peer_net_out(struct peer_net *n, raft_node_id peer, enum wire_channel channel);
void peer_net_flush(struct peer_net *n);
bool peer_net_is_up(const struct peer_net *n, raft_node_id peer);
/* Close the link now; it is dialled again later. */
void peer_net_close(struct peer_net *n, raft_node_id peer, const char *why);
unsigned peer_net_number(const struct peer_net *n); /* listening port */
void peer_net_free(struct peer_net *n);

/* Blocking, for `ridd --init`: connect, say hello on the probe channel, read the reply, all within timeout_ms.
 * 0, or -errno (nobody there, no answer). */
int peer_probe(const char *addr, const struct wire_hello *hello, unsigned timeout_ms, struct wire_hello *ret_reply);

#endif
