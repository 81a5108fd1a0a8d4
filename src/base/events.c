/* Two rings of fixed slots under one mutex: nothing is allocated, so that an event of a process
 * that has no memory is kept. */
#include "base/events.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"

#include "base/banned.h"

/* One of the two: what is told a few times a day must not make room for what a bad minute brings by
 * the dozen, or who asks after a bad night does not see who led in it (SEE-7). */
struct kept {
    uint64_t n; /* ever */
    uint64_t size;
    struct event *events;
};

static struct event lasting[EVENTS_LASTING_MAX];
static struct event loud[EVENTS_LOUD_MAX];

static struct {
    pthread_mutex_t lock;
    uint64_t began_us;
    uint64_t seq; /* of the last one */
    struct kept kept[2];
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .kept = {{0, EVENTS_LASTING_MAX, lasting}, {0, EVENTS_LOUD_MAX, loud}}};

/* Those that a client, a peer or a disk can bring about at any rate; each is limited where it is
 * logged, to some dozens a minute. */
static struct kept *kept_of(const char *name)
{
    static const char *const names[] = {
        "slow_op",         "fsync_slow",   "access_denied",    "access_auth_failed",
        "message_refused", "peer_refused", "peer_unreachable", "peer_slow",
        "term_far_above"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return &ring.kept[1];
    return &ring.kept[0];
}

/* The i-th that was ever there, which is still kept. */
static struct event *at(const struct kept *k, uint64_t i)
{
    return &k->events[i % k->size];
}

static uint64_t first_of(const struct kept *k)
{
    return k->n > k->size ? k->n - k->size : 0;
}

/* Which of those that are kept is the first with a number above seq; k->n: none. */
static uint64_t first_above(const struct kept *k, uint64_t seq)
{
    uint64_t low = first_of(k);
    uint64_t high = k->n;

    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;

        if (at(k, middle)->seq > seq)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

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
    struct kept *k = kept_of(name);
    struct event *e;

    (void)pthread_mutex_lock(&ring.lock);
    e = at(k, k->n++);
    e->seq = ++ring.seq;
    e->unix_us = now_us();
    e->level = level;
    e->term = term;
    copy(e->name, EVENT_NAME_BYTES_MAX, name, strlen(name));
    copy(e->role, EVENT_ROLE_BYTES_MAX, role, strlen(role));
    copy(e->text, EVENT_TEXT_BYTES_MAX, text, len);
    (void)pthread_mutex_unlock(&ring.lock);
}

/* Under the lock: how many above that number are kept. */
static uint64_t n_above(uint64_t seq)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < 2; i++)
        n += ring.kept[i].n - first_above(&ring.kept[i], seq);
    return n;
}

/* Under the lock: behind which number the last n of all begin, of which more are kept. */
static uint64_t before_last(unsigned n)
{
    uint64_t left[2] = {ring.kept[0].n, ring.kept[1].n};
    uint64_t seq = ring.seq;

    for (; n > 0; n--) {
        uint64_t last[2] = {0, 0};

        for (unsigned i = 0; i < 2; i++)
            if (left[i] > first_of(&ring.kept[i]))
                last[i] = at(&ring.kept[i], left[i] - 1)->seq;
        seq = last[0] > last[1] ? last[0] : last[1];
        left[last[0] > last[1] ? 0 : 1]--;
    }
    return seq - 1;
}

/* Under the lock: up to max behind that number, in their order. */
static unsigned take(uint64_t after, unsigned max, struct event *ret)
{
    uint64_t next[2];
    unsigned n = 0;

    for (unsigned i = 0; i < 2; i++)
        next[i] = first_above(&ring.kept[i], after);
    while (n < max) {
        const struct event *e[2] = {NULL, NULL};
        unsigned which;

        for (unsigned i = 0; i < 2; i++)
            if (next[i] < ring.kept[i].n)
                e[i] = at(&ring.kept[i], next[i]);
        if (e[0] == NULL && e[1] == NULL)
            break;
        which = e[1] == NULL || (e[0] != NULL && e[0]->seq < e[1]->seq) ? 0 : 1;
        ret[n++] = *e[which];
        next[which]++;
    }
    return n;
}

unsigned events_get(uint64_t after, unsigned max, struct event *ret, struct events_range *ret_range)
{
    unsigned n = 0;
    unsigned got;
    uint64_t seq;

    (void)pthread_mutex_lock(&ring.lock);
    ret_range->oldest = 1;
    for (unsigned i = 0; i < 2; i++)
        if (ring.kept[i].n > ring.kept[i].size && ring.seq > 0) {
            /* All behind the last of it that went are still there. */
            const uint64_t first = at(&ring.kept[i], first_of(&ring.kept[i]))->seq;

            ret_range->oldest = first > ret_range->oldest ? first : ret_range->oldest;
        }
    if (after > ring.seq)
        after = 0;
    ret_range->missed = ring.seq - after - n_above(after);
    seq = after;
    if (after == 0 && n_above(0) > max)
        seq = before_last(max);
    ret_range->next = ring.seq;
    (void)pthread_mutex_unlock(&ring.lock);
    /* A few at a time: whoever logs must not wait for a thread that is interrupted in the middle of
     * a long copy (LOOP-1). */
    do {
        (void)pthread_mutex_lock(&ring.lock);
        got = take(seq, max - n < EVENTS_AT_ONCE ? max - n : EVENTS_AT_ONCE, &ret[n]);
        (void)pthread_mutex_unlock(&ring.lock);
        n += got;
        if (got > 0)
            seq = ret[n - 1].seq;
    } while (got > 0 && n < max);
    if (n > 0)
        ret_range->next = ret[n - 1].seq;
    /* Also those that made room between two pieces. */
    if (n > 0 && after > 0)
        ret_range->missed = ret[n - 1].seq - after - n;
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
