/* Handshakes of TLS on a thread of their own.
 *
 * For: whoever has a loop that nothing may hold. A handshake takes up to milliseconds in one piece,
 * strangers can ask for as many as they like, and none of it may be done where heartbeats wait
 * (TLS-3). Sockets go in, streams that shook hands come out.
 * Not for: bytes after the handshake; who may come in, which is judged before and afterwards.
 * Units: microseconds.
 * Ownership: the greeter owns descriptor and stream between greeter_take_in() and the callback,
 * which gets both; where it fails it has closed and freed them.
 * Errors: 0 or -errno with err_text().
 * Thread: all calls and callbacks are those of the loop of `base`; the thread is its own.
 * Source: none. */
#ifndef RIDD_TLS_GREETER_H
#define RIDD_TLS_GREETER_H

#include <event2/event.h>

#include "tls/tls.h"

struct greeter;
struct greeting; /* one under way */

/* Not called for what was given up. stream and fd: both the callee's now; NULL and -1 with `why`
 * when the handshake failed, was too slow, or made room. silent: nothing had come. */
typedef void (*greeter_fn)(void *ctx, struct tls_stream *stream, int fd, bool silent,
                           const char *why);

struct greeter_conf {
    const char *name;  /* of the thread: 15 characters */
    int priority;      /* of the event that hands streams over */
    unsigned max;      /* under way at once; 0: TLS_GREETINGS_MAX */
    unsigned per_host; /* of them, of one host; 0: half of max */
    int nice;          /* added to that of the process: 0 for peers, more for clients */
};
int greeter_new(struct event_base *base, const struct greeter_conf *conf, struct greeter **ret);
/* Owns fd at once. deadline_us: of the monotonic clock. host: a number that tells one host from
 * another (net_host_of()); where it has per_host under way, or all of them together max, one of the
 * host with most makes room: any that is silent, or else the oldest. *ret_greeting is valid until
 * the callback. */
int greeter_take_in(struct greeter *g, struct tls_ctx *c, enum tls_side side, int fd, uint64_t host,
                    uint64_t deadline_us, greeter_fn fn, void *ctx, struct greeting **ret_greeting);
/* A stream that it has handed over, and that is not needed any more, is freed by the thread: that
 * is work, too. */
void greeter_drop(struct greeter *g, struct tls_stream *stream);
/* Closed as soon as the thread sees it; fn is not called any more. */
void greeter_give_up(struct greeter *g, struct greeting *what);
struct greeter_stats {
    unsigned n_under_way;
    uint64_t n_done;
    uint64_t n_failed;
    uint64_t n_slow; /* of those that failed: by their deadline */
    uint64_t n_made_room;
    uint64_t busy_us; /* time of the processor that the thread took */
};
void greeter_get_stats(const struct greeter *g, struct greeter_stats *ret);
/* All are given up. NULL is accepted. Not from a callback. */
void greeter_free(struct greeter *g);

#endif
