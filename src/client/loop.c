/* One turn: what came, what is due, what is ready to go, and at the end the callbacks. They are
 * called here and nowhere else, when nothing else is under way, so that a callback may do anything
 * with the client (ASYNC-1). What it does is only noted; a second look takes it up in the same
 * turn, and its answers come in a later one, however fast they are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/client_int.h"

#include "base/banned.h"

/* ---- requests ---- */

struct request *request_new(struct ridd *c, enum req_purpose purpose)
{
    struct request *r;

    if (table_reserve(&c->by_id) != 0 || timers_own(&c->timers) != 0)
        return NULL;
    r = calloc(1, sizeof(*r));
    if (r == NULL) {
        c->timers.n_owned--;
        return NULL;
    }
    r->client = c;
    r->purpose = purpose;
    list_init(&r->link);
    list_init(&r->by_seq);
    buf_init(&r->body);
    buf_init(&r->key);
    return r;
}

void request_free(struct request *r)
{
    node_hold(&r->at, NULL);
    node_hold(&r->next, NULL);
    node_hold(&r->pin, NULL);
    timers_disown(&r->client->timers, &r->timer);
    r->client->n_bytes -= r->n_bytes;
    buf_done(&r->body);
    buf_done(&r->key);
    ridd_reply_free(r->best);
    ridd_reply_free(r->reply);
    free(r->only);
    free(r);
}

static void give_id(struct request *r)
{
    struct ridd *c = r->client;

    table_add(&c->by_id, &r->by_id, c->next_id++);
    r->n_bytes = r->body.len + r->key.len;
    c->n_bytes += r->n_bytes;
    c->n_pending += r->purpose == REQ_FOR_CALLER;
}

void request_begin(struct request *r, uint64_t now_us)
{
    give_id(r);
    turn_begin(r, now_us);
}

/* ---- calls from outside ---- */

/* Who waits for the descriptor shall look. */
void loop_wake(struct ridd *c)
{
    const uint64_t one = 1;

    if (c->is_processing || c->woken)
        return;
    c->woken = true;
    (void)!write(c->wake_fd, &one, sizeof(one));
}

static uint64_t refuse(struct ridd *c, enum ridd_status why)
{
    c->refused = why;
    return 0;
}

uint64_t request_start(struct ridd *c, const struct ridd_op *op, ridd_async_fn *fn, void *arg,
                       bool connect_only)
{
    struct request *r;
    struct ridd_reply *why;
    uint64_t id;
    int built;

    if (c->is_closing || c->close_wanted)
        return refuse(c, RIDD_CANCELLED);
    if (c->n_pending >= c->limits.requests)
        return refuse(c, RIDD_BUSY);
    r = request_new(c, REQ_FOR_CALLER);
    why = reply_new();
    if (r == NULL || reply_is_const(why)) {
        if (r != NULL)
            request_free(r);
        ridd_reply_free(why);
        return refuse(c, RIDD_NO_MEMORY);
    }
    r->fn = fn;
    r->arg = arg;
    r->connect_only = connect_only;
    built = op_build(c, op, r, why);
    if (built == BUILD_NO_MEMORY || c->n_bytes + r->body.len > c->limits.bytes) {
        request_free(r);
        ridd_reply_free(why);
        return refuse(c, built == BUILD_NO_MEMORY ? RIDD_NO_MEMORY : RIDD_BUSY);
    }
    id = c->next_id;
    if (built == 0) {
        ridd_reply_free(why);
        request_begin(r, clock_mono_us());
    } else {
        give_id(r);
        r->start_us = clock_mono_us();
        turn_finish(r, why, r->start_us);
    }
    loop_wake(c);
    return id;
}

uint64_t ridd_async_start(struct ridd *client, const struct ridd_op *op, ridd_async_fn *fn,
                          void *arg)
{
    return request_start(client, op, fn, arg, false);
}

enum ridd_status ridd_async_refused(const struct ridd *client)
{
    return client->refused;
}

enum ridd_status ridd_async_cancel(struct ridd *client, uint64_t id)
{
    struct entry *e = id != 0 ? table_find(&client->by_id, id) : NULL;

    if (e == NULL || list_entry(e, struct request, by_id)->purpose != REQ_FOR_CALLER)
        return RIDD_INVALID;
    turn_cancel(list_entry(e, struct request, by_id), "cancelled", clock_mono_us());
    loop_wake(client);
    return RIDD_OK;
}

size_t ridd_async_pending(const struct ridd *client)
{
    return client->n_pending;
}

int ridd_async_fd(const struct ridd *client)
{
    return client->epoll_fd;
}

int64_t ridd_async_timeout_us(const struct ridd *client)
{
    const struct timer *first = timers_first(&client->timers);
    uint64_t now_us = clock_mono_us();

    if (!list_empty(&client->ready) || !list_empty(&client->done) ||
        !list_empty(&client->done_inside) || !list_empty(&client->unread))
        return 0;
    if (first == NULL)
        return -1;
    return first->due_us > now_us ? (int64_t)(first->due_us - now_us) : 0;
}

static int to_ms(int64_t us)
{
    int64_t ms = us < 0 ? -1 : (us + 999) / 1000;

    return ms > CALL_POLL_MS_MAX ? CALL_POLL_MS_MAX : (int)ms;
}

int ridd_async_timeout_ms(const struct ridd *client)
{
    return to_ms(ridd_async_timeout_us(client));
}

void ridd_async_on_close(struct ridd *client, void (*fn)(void *arg), void *arg)
{
    client->on_close = fn;
    client->on_close_arg = arg;
}

/* ---- a turn ---- */

static void take_wake(struct ridd *c, uint64_t now_us)
{
    uint64_t n;

    (void)!read(c->wake_fd, &n, sizeof(n));
    c->woken = false;
    list_for_each_safe(it, &c->conns) dial_on_lookup(list_entry(it, struct conn, link), now_us);
}

/* What a turn left in a stream of TLS makes nothing readable (TLS-35). */
static void read_on(struct list *unread, uint64_t now_us)
{
    while (!list_empty(unread))
        conn_read_on(list_entry(unread->next, struct conn, unread), now_us);
}

static void take_events(struct ridd *c, int wait_ms)
{
    struct epoll_event events[CALL_EVENTS_MAX];
    int n = epoll_wait(c->epoll_fd, events, CALL_EVENTS_MAX, wait_ms);
    uint64_t now_us = clock_mono_us();
    struct list unread;

    list_init(&unread);
    list_splice(&unread, &c->unread);

    for (int i = 0; i < n; i++)
        if (events[i].data.ptr == NULL)
            take_wake(c, now_us);
        else
            conn_on_event(events[i].data.ptr, events[i].events, now_us);
    read_on(&unread, now_us);
}

static void take_time(struct ridd *c)
{
    uint64_t now_us = clock_mono_us();
    struct timer *t;

    while ((t = timers_first(&c->timers)) != NULL && t->due_us <= now_us) {
        timers_clear(&c->timers, t);
        t->fn(t, now_us);
    }
}

static void answer_inside(struct ridd *c, uint64_t now_us)
{
    while (!list_empty(&c->done_inside)) {
        struct request *r = list_entry(c->done_inside.next, struct request, link);

        list_remove(&r->link);
        request_answered(r, now_us);
        request_free(r);
    }
}

/* Until nothing is left that can be done without waiting. */
static void settle(struct ridd *c)
{
    uint64_t now_us = clock_mono_us();

    do {
        answer_inside(c, now_us);
        while (!list_empty(&c->ready))
            turn_dispatch(list_entry(c->ready.next, struct request, link), now_us);
        list_for_each_safe(it, &c->conns)
        {
            struct conn *conn = list_entry(it, struct conn, link);

            if (conn->wants_flush)
                conn_flush(conn, now_us);
        }
    } while (!list_empty(&c->ready) || !list_empty(&c->done_inside));
}

/* Of what is done now, once each (ASYNC-2): what callbacks add to it comes in the next turn. */
static void run_callbacks(struct ridd *c)
{
    struct list due;

    list_init(&due);
    list_splice(&due, &c->done);
    c->in_callback = true;
    while (!list_empty(&due)) {
        struct request *r = list_entry(due.next, struct request, link);
        struct ridd_reply *reply = r->reply;
        ridd_async_fn *fn = r->fn;
        void *arg = r->arg;

        list_remove(&r->link);
        r->reply = NULL;
        request_free(r);
        c->n_pending--;
        if (fn != NULL)
            fn(c, reply, arg);
        else
            ridd_reply_free(reply);
    }
    c->in_callback = false;
}

static void bury(struct ridd *c)
{
    list_for_each_safe(it, &c->dead) conn_free(list_entry(it, struct conn, link));
}

static int wait_ms(const struct ridd *c, int64_t wait_us)
{
    int64_t own_us = ridd_async_timeout_us(c);

    return to_ms(wait_us < 0 || (own_us >= 0 && own_us < wait_us) ? own_us : wait_us);
}

bool loop_turn(struct ridd *c, int64_t wait_us)
{
    c->is_processing = true;
    take_events(c, wait_ms(c, wait_us));
    take_time(c);
    settle(c);
    if (!list_empty(&c->done)) {
        run_callbacks(c);
        settle(c);
    }
    bury(c);
    c->is_processing = false;
    if (!c->close_wanted)
        return true;
    loop_close(c);
    return false;
}

enum ridd_status ridd_process(struct ridd *client)
{
    return ridd_wait(client, 0);
}

enum ridd_status ridd_wait(struct ridd *client, int timeout_ms)
{
    if (client->is_processing || client->is_closing)
        return RIDD_INVALID;
    return loop_turn(client, timeout_ms < 0 ? -1 : timeout_ms * INT64_C(1000)) ? RIDD_OK
                                                                               : RIDD_CANCELLED;
}

/* ---- the end ---- */

static void cancel_all(struct ridd *c)
{
    uint64_t now_us = clock_mono_us();

    for (size_t i = 0; i < c->by_id.n_buckets; i++)
        while (c->by_id.buckets[i] != NULL)
            turn_cancel(list_entry(c->by_id.buckets[i], struct request, by_id),
                        "the client was closed", now_us);
    answer_inside(c, now_us);
}

/* No request is left behind without its callback (ASYNC-3); none can be begun any more. */
void loop_close(struct ridd *c)
{
    void (*on_close)(void *arg) = c->on_close;
    void *arg = c->on_close_arg;

    c->is_closing = true;
    c->is_processing = true;
    cancel_all(c);
    run_callbacks(c);
    client_free(c);
    if (on_close != NULL)
        on_close(arg);
}

void ridd_close(struct ridd *client)
{
    if (client == NULL || client->is_closing)
        return;
    client->close_wanted = true;
    if (!client->in_callback)
        loop_close(client);
}
