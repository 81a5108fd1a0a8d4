/* libridd without waiting: requests that are begun, and callbacks when they are answered.
 *
 * For: programs with a loop of their own: many requests under way at once, sent one behind the
 * other on one connection for each node. Leader, hints, reconnects, retries, deadlines and
 * cancelling are the library's, as in ridd.h.
 *
 * Not for: several threads at one client; the order of requests that are under way at once: who
 * needs one write behind another begins it in the callback of the first.
 *
 *     struct ridd_op op = ridd_op(RIDD_OP_GET);
 *     op.key = ridd_key("leader");
 *     op.via = RIDD_VIA_READ_INDEX;
 *     ridd_async_start(client, &op, on_leader, arg);
 *     for (;;) {
 *         struct pollfd p = {.fd = ridd_async_fd(client), .events = POLLIN};
 *         poll(&p, 1, ridd_async_timeout_ms(client));
 *         ridd_process(client);
 *     }
 *
 * Units: ridd.h.
 *
 * Ownership: what an op points at is copied by ridd_async_start(). The reply is the callback's: it
 * frees it with ridd_reply_free(), then or later, also after the client is closed.
 *
 * Callbacks: each request that was begun (its id is not 0) has its callback exactly once, in
 * ridd_process(), in a call of ridd.h that waits, or in ridd_close(); never inside the call that
 * made the request, nor inside ridd_async_cancel() (ASYNC-1, ASYNC-2). A callback may begin and
 * cancel requests and close the client; it may not wait (ridd.h), nor call ridd_process(). What a
 * callback begins is answered by a later ridd_process() at the earliest, so that no chain of
 * callbacks holds the loop.
 *
 * Errors: a failure is the status of a reply, wrong arguments included. Only where nothing can be
 * begun (no memory, more than ridd_set_limits() allows, the client is being closed) there is no
 * request: the id is 0, and ridd_async_refused() says why.
 *
 * Thread: the one of the client.
 *
 * Source: ridd-protocol(7); rules ASYNC-1 to ASYNC-16. */
#ifndef RIDD_ASYNC_H
#define RIDD_ASYNC_H

#include <ridd.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void ridd_async_fn(struct ridd *client, struct ridd_reply *reply, void *arg);

/* Begins a request. The id is never 0 and never used again in this client; 0: nothing was begun,
 * and fn is not called. fn may be NULL: nobody cares for the answer. */
RIDD_API uint64_t ridd_async_start(struct ridd *client, const struct ridd_op *op, ridd_async_fn *fn,
                                   void *arg);
/* Why the last ridd_async_start() gave 0: RIDD_NO_MEMORY, RIDD_BUSY or RIDD_CANCELLED. */
RIDD_API enum ridd_status ridd_async_refused(const struct ridd *client);
/* Ends a request with RIDD_CANCELLED; a write that may have left this host with
 * RIDD_OUTCOME_UNKNOWN, cause RIDD_CANCELLED. Its callback comes with the next ridd_process().
 * RIDD_INVALID: it has its answer already, or had its callback. */
RIDD_API enum ridd_status ridd_async_cancel(struct ridd *client, uint64_t id);
/* Requests whose callback is still to come. */
RIDD_API size_t ridd_async_pending(const struct ridd *client);

/* ---- the loop ---- */

/* A descriptor that is readable (POLLIN) when there is something to do; an epoll instance, which
 * poll, select, epoll and libevent take like any other. Also readable after ridd_async_start() and
 * ridd_async_cancel(). The same one as long as the client lives; only to be waited for. */
RIDD_API int ridd_async_fd(const struct ridd *client);
/* So long from now, without the descriptor being readable, ridd_process() is to be called; -1: for
 * ever. Asked for anew after each ridd_process(). In milliseconds it is rounded up, for poll(2). */
RIDD_API int64_t ridd_async_timeout_us(const struct ridd *client);
RIDD_API int ridd_async_timeout_ms(const struct ridd *client);
/* Does what there is to do without waiting: sends, receives, looks at deadlines, runs callbacks. A
 * call does a bounded piece of work; where there is more, the descriptor stays readable, or the
 * timeout is 0. RIDD_CANCELLED: a callback has closed the client, which is gone. RIDD_INVALID: from
 * a callback. */
RIDD_API enum ridd_status ridd_process(struct ridd *client);
/* Waits until there is something to do, at most timeout_ms (negative: for ever), then
 * ridd_process(): a loop for programs that have none. */
RIDD_API enum ridd_status ridd_wait(struct ridd *client, int timeout_ms);
/* fn is called when the client is gone, as the last thing of all: for what joins it to a loop. */
RIDD_API void ridd_async_on_close(struct ridd *client, void (*fn)(void *arg), void *arg);

/* ---- the most usual requests ---- */

static inline uint64_t ridd_async_get(struct ridd *client, struct ridd_key key, enum ridd_via via,
                                      ridd_async_fn *fn, void *arg)
{
    struct ridd_op op = ridd_op(RIDD_OP_GET);

    op.key = key;
    op.via = via;
    return ridd_async_start(client, &op, fn, arg);
}

static inline uint64_t ridd_async_put(struct ridd *client, struct ridd_key key,
                                      struct ridd_value value, ridd_async_fn *fn, void *arg)
{
    struct ridd_op op = ridd_op(RIDD_OP_PUT);

    op.key = key;
    op.value = value;
    return ridd_async_start(client, &op, fn, arg);
}

static inline uint64_t ridd_async_cas(struct ridd *client, struct ridd_key key,
                                      struct ridd_value from, struct ridd_value to, int create,
                                      ridd_async_fn *fn, void *arg)
{
    struct ridd_op op = ridd_op(RIDD_OP_CAS);

    op.key = key;
    op.from = from;
    op.value = to;
    op.create = create;
    return ridd_async_start(client, &op, fn, arg);
}

static inline uint64_t ridd_async_delete(struct ridd *client, struct ridd_key key,
                                         ridd_async_fn *fn, void *arg)
{
    struct ridd_op op = ridd_op(RIDD_OP_DELETE);

    op.key = key;
    return ridd_async_start(client, &op, fn, arg);
}

#ifdef __cplusplus
}
#endif

#endif
