/* libridd on a loop of libevent. Only this header knows libevent: the library does not, and a
 * program that includes it links -levent_core (or -levent) itself.
 *
 * For: programs whose loop is libevent's.
 *
 *     struct ridd_event *joined = ridd_event_join(client, base);    // NULL: no memory
 *     ridd_async_get(client, ridd_key("x"), RIDD_VIA_DEFAULT, on_value, NULL);
 *     event_base_dispatch(base);                                   // callbacks come from here
 *
 * Not for: several threads at one client, with or without locks of libevent.
 *
 * Ownership: ridd_close() of the client frees what joins it, from a callback, too.
 * ridd_event_part() does so before, and leaves the client as it is, to be driven in another way.
 * The base must live until then.
 *
 * Errors: NULL when there is no memory; the client is unchanged.
 *
 * Thread: the one of the client and the base.
 *
 * Obvious: units, source. */
#ifndef RIDD_EVENT_H
#define RIDD_EVENT_H

#include <event2/event.h>
#include <ridd_async.h>
#include <stdlib.h>

struct ridd_event {
    struct ridd *client;
    struct event *readable;
    struct event *timer;
};

static inline void ridd_event_free_(void *arg)
{
    struct ridd_event *joined = (struct ridd_event *)arg;

    if (joined->readable != NULL)
        event_free(joined->readable);
    if (joined->timer != NULL)
        event_free(joined->timer);
    free(joined);
}

static inline void ridd_event_set_timer_(struct ridd_event *joined)
{
    int64_t us = ridd_async_timeout_us(joined->client);
    struct timeval tv;

    if (us < 0) {
        (void)event_del(joined->timer);
        return;
    }
    tv.tv_sec = (long)(us / 1000000);
    tv.tv_usec = (long)(us % 1000000);
    (void)event_add(joined->timer, &tv);
}

static inline void ridd_event_on_event_(evutil_socket_t fd, short what, void *arg)
{
    struct ridd_event *joined = (struct ridd_event *)arg;

    (void)fd;
    (void)what;
    /* When a callback has closed the client, `joined` went with it. */
    if (ridd_process(joined->client) == RIDD_OK)
        ridd_event_set_timer_(joined);
}

static inline struct ridd_event *ridd_event_join(struct ridd *client, struct event_base *base)
{
    struct ridd_event *joined = (struct ridd_event *)calloc(1, sizeof(*joined));

    if (joined == NULL)
        return NULL;
    joined->client = client;
    joined->readable =
        event_new(base, ridd_async_fd(client), EV_READ | EV_PERSIST, ridd_event_on_event_, joined);
    joined->timer = event_new(base, -1, 0, ridd_event_on_event_, joined);
    if (joined->readable == NULL || joined->timer == NULL ||
        event_add(joined->readable, NULL) != 0) {
        ridd_event_free_(joined);
        return NULL;
    }
    ridd_event_set_timer_(joined);
    ridd_async_on_close(client, ridd_event_free_, joined);
    return joined;
}

static inline void ridd_event_part(struct ridd_event *joined)
{
    ridd_async_on_close(joined->client, NULL, NULL);
    ridd_event_free_(joined);
}

#endif
