/* A TCP proxy between all peers that makes links bad, on purpose and by a seed.
 *
 * For each ordered pair of nodes there is a port of its own: what `from` dials there reaches `to`.
 * A connection carries two flows, and each flow obeys the fault set for its own direction, whoever
 * dialled. Bytes of a flow are never lost, doubled or swapped alone: flows are cut into the frames
 * of wire/frame.h (a length word and so many bytes), and whole frames are dropped, sent twice, or
 * sent again much later, as a careless middlebox or a restarted link might make it look. Frames of the handshake, types 32
 * and 33, are only ever late, held or gone with all others. Frames of one connection keep their
 * order; since each is delayed by chance, those of different connections do not.
 *
 * It runs in a thread of its own, over poll(). All functions may be called from one other thread.
 * Only 127.0.0.1 is used. Random choices repeat with the seed as far as the kernel's timing does.
 */
#ifndef RIDD_TESTS_CLUSTER_PROXY_H
#define RIDD_TESTS_CLUSTER_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#define PROXY_NODES_MAX 7u

enum proxy_cut {
    PROXY_PASS,
    PROXY_HOLD, /* nothing is read: it piles up at the sender, and comes later */
    PROXY_DROP, /* all frames vanish */
};

/* Of one direction. All zero: a good link. */
struct proxy_fault {
    enum proxy_cut cut;
    unsigned delay_ms;      /* every frame, at least */
    unsigned jitter_ms;     /* and up to so much more, at random */
    unsigned drop_permille; /* of frames */
    unsigned twice_permille;
    unsigned again_permille; /* an earlier frame of the connection comes once more behind it */
    bool dribble;            /* one byte at a time, a thousand in a second */
};

struct proxy_stats {
    uint64_t n_connections;
    uint64_t n_frames;
    uint64_t n_dropped;
    uint64_t n_twice;
    uint64_t n_again;
    uint64_t n_resets;
    uint64_t n_dribbled; /* bytes */
};

struct proxy;
/* peer_ports[i] is where node i listens. NULL and errno when there are no sockets or threads. */
struct proxy *proxy_new(unsigned n, const uint16_t *peer_ports, uint64_t seed);
void proxy_free(struct proxy *p);
/* What node `from` has to dial instead of peer_ports[to]. */
uint16_t proxy_port(const struct proxy *p, unsigned from, unsigned to);
void proxy_set(struct proxy *p, unsigned from, unsigned to, const struct proxy_fault *fault);
/* All links are good again; what is late still comes. */
void proxy_heal(struct proxy *p);
/* Ends all connections between two nodes with RST. */
void proxy_reset(struct proxy *p, unsigned a, unsigned b);
void proxy_get_stats(struct proxy *p, struct proxy_stats *ret);

#endif
