/* The peer port of a node that waits to be added.
 *
 * For: `ridd --join` and `--rejoin`, before there is a node: whoever connects is heard, what is no
 * JOIN is closed, and the first that is accepted ends the waiting.
 * Not for: deciding whom to accept, and the disk: that is the host's.
 * Units: microseconds.
 * Ownership: stop_fd and what ops point to are the caller's. A JOIN is valid during the call.
 * Errors: -errno with err_text(). A caller's failure is that caller's end.
 * Thread: one, which blocks.
 * Source: MEMBER-20, MEMBER-21, TLS-10. */
#ifndef RIDD_NET_JOIN_PORT_H
#define RIDD_NET_JOIN_PORT_H

#include "tls/tls.h"
#include "wire/join.h"

struct join_port;

enum join_port_end {
    JOIN_PORT_JOINED = 0,
    JOIN_PORT_STOPPED = 1, /* stop_fd became readable */
    JOIN_PORT_FAILED = 2,  /* on_join said so */
};

struct join_port_ops {
    void *ctx;
    /* Fills *ret, whose versions are filled in. JOINED: all of it is durable, and the same JOIN is
     * answered the same again. STOPPED: still waiting. FAILED: answered, then the waiting ends. */
    enum join_port_end (*on_join)(void *ctx, const struct wire_join *j,
                                  struct wire_join_reply *ret);
    /* At least so often; 0: never. */
    uint64_t tick_us;
    void (*on_tick)(void *ctx);
};

/* Listens; nobody is answered yet. tls: one count is taken; NULL: plain. With it nothing is read of
 * whoever has not proved that it belongs to the cluster (TLS-10). */
int join_port_new(const char *addr, struct tls_ctx *tls, struct join_port **ret);
/* Until one was accepted, and then until that one has taken the answer, or JOIN_AGAIN_US at most,
 * in which others, and it again, are asked about, too. enum join_port_end or -errno. */
int join_port_wait(struct join_port *p, int stop_fd, const struct join_port_ops *ops);
/* Stops listening. NULL is accepted. */
void join_port_free(struct join_port *p);

#endif
