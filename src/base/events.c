/* A ring of fixed slots under one mutex: nothing is allocated, so that an event of a process that
 * has no memory is kept. */
#include "base/events.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"

#include "base/banned.h"

static struct {
    pthread_mutex_t lock;
    uint64_t began_us;
    uint64_t n; /* ever */
    struct event events[EVENTS_KEPT_MAX];
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Printable ASCII goes into JSON, a terminal and a page as it is (SEE-2). */
static void copy(char *to, size_t room, const char *from, size_t len)
{
    size_t n = len < room ? len : room;

    for (size_t i = 0; i < n; i++)
        to[i] = (char)(from[i] >= 0x20 && from[i] < 0x7f ? from[i] : '?');
    to[n] = '\0';
}

/* Under the lock. */
static uint64_t now_us(void)
{
    const uint64_t us = clock_wall_us();

    if (ring.began_us == 0)
        ring.began_us = us;
    return us;
}

void events_add(enum log_level level, const char *name, uint64_t term, const char *role,
                const char *text, size_t len)
{
    struct event *e;

    (void)pthread_mutex_lock(&ring.lock);
    e = &ring.events[ring.n++ % EVENTS_KEPT_MAX];
    e->seq = ring.n;
    e->unix_us = now_us();
    e->level = level;
    e->term = term;
    copy(e->name, EVENT_NAME_BYTES_MAX, name, strlen(name));
    copy(e->role, EVENT_ROLE_BYTES_MAX, role, strlen(role));
    copy(e->text, EVENT_TEXT_BYTES_MAX, text, len);
    (void)pthread_mutex_unlock(&ring.lock);
}

unsigned events_get(uint64_t after, unsigned max, struct event *ret, struct events_range *ret_range)
{
    uint64_t from; /* the number of the first that is told */
    unsigned n = 0;

    (void)pthread_mutex_lock(&ring.lock);
    ret_range->oldest = ring.n > EVENTS_KEPT_MAX ? ring.n - EVENTS_KEPT_MAX + 1 : 1;
    if (after > ring.n)
        after = 0;
    from = after + 1;
    if (after == 0 && ring.n > max)
        from = ring.n - max + 1;
    if (from < ret_range->oldest)
        from = ret_range->oldest;
    for (; n < max && from + n <= ring.n; n++)
        ret[n] = ring.events[(from + n - 1) % EVENTS_KEPT_MAX];
    ret_range->next = n > 0 ? from + n - 1 : ring.n;
    (void)pthread_mutex_unlock(&ring.lock);
    return n;
}

uint64_t events_began_us(void)
{
    uint64_t us;

    (void)pthread_mutex_lock(&ring.lock);
    (void)now_us();
    us = ring.began_us;
    (void)pthread_mutex_unlock(&ring.lock);
    return us;
}
