/* The parts of the peer links: peer_net.c knows peers and pairs connections into links; peer_dial.c
 * calls them; peer_look.c looks whether one is gone; peer_accept.c says who may come in;
 * peer_conn.c is one connection with its frames, peer_tls.c its TLS, and peer_hello.c its
 * handshake. */
#ifndef RIDD_NET_PEER_INT_H
#define RIDD_NET_PEER_INT_H

#include <event2/bufferevent.h>

#include "base/list.h"
#include "base/prng.h"
#include "net/net_int.h"
#include "net/peer_net.h"

#define PEER_CHANNELS 2
/* Room of what is told of a refused handshake: with the names of two clusters. */
#define PEER_TEXT_BYTES 320

/*   dialled:  CONNECTING -> (SHAKING ->) HELLO_SENT ----------> PAIRING -> UP
 *   accepted: (SHAKING ->) HELLO_AWAITED -> (PROOF_AWAITED ->) PAIRING -> UP
 *   accepted, refused or a probe: (SHAKING ->) HELLO_AWAITED -> LAST_WORDS
 * and from each of them to DEAD. SHAKING there is with TLS alone. */
enum peer_conn_state {
    PEER_CONN_CONNECTING,
    PEER_CONN_SHAKING, /* TLS; an accepted one that says nothing waits for the first byte of it */
    PEER_CONN_HELLO_SENT,
    PEER_CONN_HELLO_AWAITED,
    PEER_CONN_PROOF_AWAITED, /* answered, and not believed so far */
    /* shook hands, waits for the other channel; frames that come already stay unread */
    PEER_CONN_PAIRING,
    PEER_CONN_UP,
    PEER_CONN_LAST_WORDS, /* a reply is on its way out, then closed */
    PEER_CONN_DEAD,       /* detached; freed by net->ev_work */
};

struct peer_conn {
    struct peer_net *net;    /* borrowed */
    struct list node;        /* in net->conns or net->dead */
    struct bufferevent *bev; /* owned, with its socket; NULL: TLS is not made so far */
    /* Before TLS has a bufferevent: the socket, what it waits for, and the handshake, which owns
     * the socket while it is under way. */
    int fd;                    /* owned; -1: somebody else does */
    struct event *ev;          /* owned */
    struct greeting *greeting; /* NULL: none */
    bool tls;
    struct ssl_st *ssl;           /* bev owns it; NULL: plain */
    struct tls_identity identity; /* of the other side */
    struct peer *peer;            /* borrowed; NULL until a handshake names it */
    uint64_t nonce;
    uint64_t deadline_us; /* of connecting or shaking hands; 0 when up */
    enum wire_channel channel;
    enum peer_conn_state state;
    bool dialled; /* by us */
    bool asks;    /* we have a cluster id, and our side of the handshake says challenge */
    unsigned char challenge[WIRE_CHALLENGE_BYTES];
    struct wire_hello caller; /* in PROOF_AWAITED: what it said of itself */
    bool rests;               /* it is not read until the next turn */
    bool ended;               /* by the other side, with FIN or RST */
    bool spared;              /* detached, it is not shut down: somebody else watches its end */
    unsigned version;         /* of the protocol; agreed in the handshake */
    struct list half_open;    /* accepted and not up: in net->half_open, counted there */
    uint64_t host;            /* of one that was accepted, and when */
    uint64_t accepted_us;
    struct sockaddr_storage from; /* the same, in full */
    char address[ADDRESS_BYTES_MAX + 1];
};

/* Both connections or, while it is being made, those that got so far. */
struct peer_link {
    uint64_t nonce;
    bool dialled;                           /* by us */
    struct peer_conn *conns[PEER_CHANNELS]; /* borrowed; by channel - 1 */
};

enum peer_look_state { PEER_LOOK_PAUSED, PEER_LOOK_CALLING, PEER_LOOK_CONNECTED };

/* peer_look.c: whether anybody listens where a peer was. */
struct peer_look {
    bool under_way;
    bool found; /* it is gone */
    enum peer_look_state state;
    struct event *ev; /* owned; of fd, or of time */
    int fd;           /* owned; -1 */
    int sibling_fd;   /* owned: the connection that had not ended when the other one did; -1 */
    unsigned at;      /* which address */
    unsigned n_tries;
    uint64_t until_us;
};

struct peer {
    struct peer_net *net; /* borrowed */
    struct list node;     /* in net->peers */
    raft_node_id id;
    /* Nobody added it: it called, and proved the cluster's id. It lives as long as its links. */
    bool stranger;
    bool gone;         /* removed; freed by net->ev_work */
    uint64_t heard_us; /* of a stranger */
    char address[ADDRESS_BYTES_MAX + 1];
    struct peer_link up; /* both connections or none */
    /* being made: dialled, or accepted while the old one may still look alive */
    struct peer_link next;
    uint64_t up_since_us;
    struct peer_refusal refusal; /* the last one */
    uint64_t refused_us;         /* when; 0: never, or there was a link since */
    struct buf out[PEER_CHANNELS];
    bool dropping[PEER_CHANNELS];
    bool drop_untold; /* PEER_EVENT_DROPPED is delivered by the next flush */
    unsigned n_yields;
    struct event *ev_dial; /* owned */
    uint64_t backoff_us;
    unsigned n_dials;
    bool numeric;
    bool failure_told; /* PEER_EVENT_FAILED in this outage */
    char refusal_told[PEER_TEXT_BYTES];
    struct net_addr addrs[NET_ADDRS_MAX];
    unsigned n_addrs;
    uint64_t resolve_after_us;
    struct lookup *lookup; /* owned; the name is being asked for; NULL: it is not */
    bool waits_for_name;   /* no address is known meanwhile: dialled when there is an answer */
    struct peer_look look;
};

struct peer_net {
    struct event_base *base; /* borrowed */
    struct peer_net_ops ops;
    struct peer_net_conf conf; /* no zero where that means a default */
    struct prng prng;
    struct net_listener *listener; /* owned */
    struct event *ev_tick;         /* owned; deadlines of handshakes */
    int names_fd;                  /* owned; eventfd: some name has an answer */
    struct event *ev_names;        /* owned */
    struct event *ev_work;         /* owned; zero timeout: frees */
    struct list conns;             /* the tick rotates it */
    struct list dead;
    struct list peers;  /* owned */
    unsigned n_members; /* of them; those that are gone count nowhere */
    unsigned n_strangers;
    unsigned version_lowest;
    bool has_key;
    unsigned char key[16]; /* the cluster's id; never told, never logged */
    bool some_rest;        /* of conns, or of those that were */
    struct list half_open; /* oldest first */
    unsigned n_half_open;
    bool refused_any;
    uint64_t refused_nonce; /* the second connection of a refused link makes no second event */
    unsigned depth;         /* of callbacks; not freed above 0 */
    bool freed;
    struct greeter *greeter; /* owned; NULL: there has been no TLS */
};

static inline struct timeval net_timeval(uint64_t us)
{
    struct timeval tv = {(time_t)(us / 1000000u), (suseconds_t)(us % 1000000u)};

    return tv;
}
static inline bool peer_link_empty(const struct peer_link *link)
{
    return link->conns[0] == NULL && link->conns[1] == NULL;
}
void peer_link_close(struct peer_link *link);
void peer_net_tell(struct peer_net *n, enum peer_event event, const struct peer *p,
                   const char *address, const char *text);

/* We are the one that dials at once. */
bool peer_dials_first(const struct peer *p);
/* The next delay is the shortest. */
void peer_dial_begin_anew(struct peer *p);
void peer_dial_later(struct peer *p);
/* Of one that is new, or lives elsewhere now: as soon as it is our turn. */
void peer_dial_now(struct peer *p);
/* Our own link to p, which is the one that counts, is being made or has just come up. */
bool peer_dial_is_under_way(const struct peer *p);
bool peer_dial_has_come_first(const struct peer *p);
/* What is being made is given up; nobody is told. */
void peer_dial_put_off(struct peer *p);
/* Before the hello: is p about to have a link to us? Then ours is put off, and its connections are
 * dead. */
bool peer_dial_yields(struct peer *p);
/* A dialled link came to nothing. */
void peer_dial_failed(struct peer *p, enum peer_event event, const char *why);
/* Of the timer, and of names that were answered; ctx is the peer, or the net. */
void peer_on_dial(evutil_socket_t unused, short what, void *ctx);
void peer_on_names(evutil_socket_t fd, short what, void *ctx);

/* Its address, if it is not known yet; nothing waits for it. */
void peer_dial_learn(struct peer *p);

/* peer_look.c */
void peer_look_init(struct peer_look *l);
/* By FIN or RST, also where something that was sent before has not been read; or otherwise: by a
 * time-out, or because there is no way. The kernel tells an error once. */
enum peer_end { PEER_END_NOT_YET, PEER_END_BY_PEER, PEER_END_OTHERWISE };
enum peer_end peer_look_how_ended(int fd);
/* The other side ended one connection of a link; this is the other one, still whole. Then, when the
 * link is down, the look begins. The host may be told before that returns. */
void peer_look_take(struct peer *p, const struct peer_conn *other);
void peer_look_begin(struct peer *p);
void peer_look_settle(struct peer *p, bool goes_on);
/* It is over, whatever it would have found. */
void peer_look_end(struct peer *p);

/* We are connected: our hello. */
void peer_hello_say(struct peer_conn *c);
/* By TLS: if the other side is the one that was dialled. */
void peer_hello_begin(struct peer_conn *c);
/* A frame of one that is not up. */
void peer_hello_take(struct peer_conn *c, const struct wire_frame *frame);

/* peer_proof.c. */
enum peer_proof_text {
    PEER_PROOF_OF_ACCEPTOR,
    PEER_PROOF_OF_DIALLER,
    PEER_PROOF_MASK,       /* no proof: hides what a reply says */
    PEER_PROOF_OF_REMOVAL, /* by incarnations, to a founder that has no id */
    PEER_PROOF_SHOWN,      /* nor this: what anybody may see of the id */
    PEER_PROOF_TEXTS,
};
struct peer_proof_over {
    raft_node_id dialler;
    raft_node_id acceptor;
    const unsigned char *challenge_of_dialler;
    const unsigned char *challenge_of_acceptor;
    uint64_t nonce;
    enum wire_channel channel;
    uint8_t refused;
    raft_index removed_index;
};
/* False: it cannot be made. */
bool peer_proof(const unsigned char key[16], enum peer_proof_text text,
                const struct peer_proof_over *o, unsigned char ret[WIRE_PROOF_BYTES]);
/* In constant time. */
bool peer_proof_equal(const unsigned char a[WIRE_PROOF_BYTES],
                      const unsigned char b[WIRE_PROOF_BYTES]);
/* Random bytes of the kernel's; false: there are none. */
bool peer_challenge_draw(unsigned char ret[WIRE_CHALLENGE_BYTES]);

/* Is there room for one more stranger, or one that may go? */
bool peer_net_has_room(const struct peer_net *n);
/* One that has proved who it is. The host may be told of another one that went. NULL: no room. */
struct peer *peer_net_add_stranger(struct peer_net *n, raft_node_id id);

/* Reads it again, if it rests. */
void peer_conn_go_on(struct peer_conn *c);
void peer_net_enter(struct peer_net *n);
void peer_net_leave(struct peer_net *n);
static inline bool peer_conn_is_half_open(const struct peer_conn *c)
{
    return !list_empty(&c->half_open);
}
struct peer *peer_net_find(const struct peer_net *n, raft_node_id id);
/* Of a handshake for a link; h is what the other side said. */
void peer_net_note_refusal(struct peer_net *n, raft_node_id peer, const struct wire_hello *h,
                           int reason, bool by_us);

/* ---- peer_tls.c ---- */

/* There is none so far. 0 or -errno with err_text(). */
int peer_tls_begin(struct peer_net *n);
/* A connection that is to be made, and one that has come. c->fd is its socket. 0 or -errno with
 * err_text(). */
int peer_tls_connect(struct peer_conn *c, const struct net_addr *addr);
int peer_tls_await(struct peer_conn *c);
/* What it has before it has a bufferevent: closed, and freed. */
void peer_tls_drop(struct peer_conn *c);
/* As much as goes at once: how many bytes. The rest has to be offered from its first byte on, and
 * in one piece at least as long as now. */
size_t peer_tls_send_some(struct peer_conn *c, const void *data, size_t len);
/* The rest. 0 or -ENOMEM. */
int peer_tls_send_later(struct peer_conn *c, const void *data, size_t len);
/* How it ended, of on_end(): in words. True: TLS itself came to its end. */
bool peer_tls_why(struct peer_conn *c, int error, char *ret, size_t size);
/* The name that its certificate says; "": it has none, or there is no TLS. */
const char *peer_tls_name(const struct peer_conn *c);
/* What net->conf.tls says of it now: it stays, or is dead and dialled again (TLS-14). */
void peer_tls_judge(struct peer_conn *c);
/* Another one for net->conf.tls. 0 or -errno with err_text(). */
int peer_tls_change(struct peer_net *n, struct tls_ctx *tls);
/* A certificate names its node, and what came of it says whose it is (TLS-11). */
bool peer_tls_is(const struct peer_conn *c, raft_node_id id, uint64_t incarnation);

/* A net_accept_fn; ctx is the net. */
void peer_net_on_accept(void *ctx, int fd, const struct sockaddr_storage *sa, bool last_fd);

/* Owns fd at once. */
int peer_conn_accept(struct peer_net *n, int fd, const struct sockaddr_storage *sa);
/* On error there is no connection; err_text() says why. */
int peer_conn_dial(struct peer *p, enum wire_channel channel, uint64_t nonce,
                   const struct net_addr *addr, struct peer_conn **ret_conn);
/* Takes it out of everything but the list of the dead. Calls nobody. */
void peer_conn_detach(struct peer_conn *c);
void peer_conn_free(struct peer_conn *c);
/* c->bev is there. 0 or -ENOMEM with err_text(). */
int peer_conn_watch(struct peer_conn *c);
/* From here on frames are handed up. */
void peer_conn_set_up(struct peer_conn *c);
size_t peer_conn_out_bytes(const struct peer_conn *c);
int peer_conn_send(struct peer_conn *c, struct buf *out);

/* A connection shook hands; with its sibling it makes a link. c may be dead afterwards. */
void peer_net_shaken(struct peer_net *n, struct peer *p, struct peer_conn *c);
/* A connection came to its end, and its link with it. event is what to report of one that was not
 * up. */
void peer_net_lost(struct peer_conn *c, enum peer_event event, const char *why);
/* Its deadline has passed. */
void peer_net_too_late(struct peer_conn *c);

#endif
