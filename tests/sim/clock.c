/* The heap of events, the draws, and the clocks of the nodes.
 *
 * Order is (time, number of the push): nothing else decides. A draw is a hash of seed, stream,
 * entity and how many of them there were, so that a stream which is left out leaves the others as
 * they are. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "sim/sim.h"

#include "base/banned.h"

/* ---- memory ---- */

void *sim_alloc(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);

    if (p == NULL)
        abort();
    return p;
}

void *sim_realloc_n(void *p, size_t n, size_t width)
{
    p = realloc(p, n > 0 ? n * width : width);
    if (p == NULL)
        abort();
    return p;
}

/* ---- the heap ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void put(struct sim *s, struct sim_event e)
{
    size_t i = s->n_heap++;

    if (s->n_heap > s->heap_size) {
        s->heap_size = s->heap_size > 0 ? s->heap_size * 2 : 256;
        s->heap = sim_realloc_n(s->heap, s->heap_size, sizeof(*s->heap));
    }
    while (i > 0 && before(&e, &s->heap[(i - 1) / 4])) {
        s->heap[i] = s->heap[(i - 1) / 4];
        i = (i - 1) / 4;
    }
    s->heap[i] = e;
}

void sim_push(struct sim *s, uint64_t at, enum sim_event_kind kind, const struct sim_node *node,
              uint16_t arg, void *p)
{
    put(s, (struct sim_event){.at = at > s->now ? at : s->now,
                              .seq = ++s->next_seq << 1,
                              .p = p,
                              .boot = node != NULL ? node->boot : 0,
                              .arg = arg,
                              .kind = (uint8_t)kind,
                              .node = node != NULL ? (uint8_t)node->i : 0});
}

void sim_push_any(struct sim *s, uint64_t at, enum sim_event_kind kind, unsigned node, uint16_t arg,
                  void *p)
{
    put(s, (struct sim_event){.at = at > s->now ? at : s->now,
                              .seq = ++s->next_seq << 1,
                              .p = p,
                              .arg = arg,
                              .kind = (uint8_t)kind,
                              .node = (uint8_t)node});
}

/* For a node that is paused. in_front: before everything else of that time, which was pushed. */
void sim_push_again(struct sim *s, struct sim_event e, uint64_t at, bool in_front)
{
    e.at = at;
    e.seq = in_front ? 1 : ++s->next_seq << 1;
    put(s, e);
}

bool sim_pop(struct sim *s, struct sim_event *ret)
{
    struct sim_event e;
    size_t i = 0;

    if (s->n_heap == 0)
        return false;
    *ret = s->heap[0];
    e = s->heap[--s->n_heap];
    for (;;) {
        size_t first = i * 4 + 1;
        size_t least = first;

        if (first >= s->n_heap)
            break;
        for (size_t j = first + 1; j < first + 4 && j < s->n_heap; j++)
            if (before(&s->heap[j], &s->heap[least]))
                least = j;
        if (!before(&s->heap[least], &e))
            break;
        s->heap[i] = s->heap[least];
        i = least;
    }
    if (s->n_heap > 0)
        s->heap[i] = e;
    return true;
}

/* ---- draws ---- */

uint64_t sim_mix(uint64_t h, uint64_t v)
{
    return hash_mix64(h ^ (v * 0x9e3779b97f4a7c15u + 0x7f4a7c15u));
}

uint64_t sim_hash_bytes(uint64_t h, const void *data, size_t len)
{
    const unsigned char *p = data;

    h ^= len * 0x9e3779b97f4a7c15u;
    for (; len >= 8; p += 8, len -= 8)
        h = (h ^ get_u64(p)) * 0xff51afd7ed558ccdu, h ^= h >> 32;
    for (; len > 0; p++, len--)
        h = (h ^ *p) * 0x100000001b3u;
    return hash_mix64(h);
}

void sim_draws_init(struct sim *s)
{
    for (unsigned i = 0; i < STREAM_COUNT; i++)
        s->stream_base[i] = sim_mix(hash_mix64(s->options.seed + 0x5eed), i + 1);
}

uint64_t sim_draw(struct sim *s, enum sim_stream stream, unsigned entity)
{
    uint32_t n = s->stream_n[stream][entity % 64]++;

    return hash_mix64(s->stream_base[stream] + ((uint64_t)(entity + 1) << 40) +
                      (uint64_t)n * 0x9e3779b97f4a7c15u);
}

uint64_t sim_below(struct sim *s, enum sim_stream stream, unsigned entity, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)sim_draw(s, stream, entity) * bound) >> 64);
}

bool sim_chance(struct sim *s, enum sim_stream stream, unsigned entity, unsigned ppm)
{
    if (ppm == 0 || (s->options.streams_off >> stream & 1) != 0)
        return false;
    return sim_below(s, stream, entity, 1000000) < ppm;
}

/* ---- clocks ---- */

uint64_t clock_ns_at(const struct sim_clock *c, uint64_t at)
{
    uint64_t passed = at - c->base_at;

    return c->base_local + (uint64_t)((__int128)passed * (1000000 + c->ppm) / 1000000);
}

uint64_t clock_local_us_at(const struct sim_node *n, uint64_t at)
{
    return clock_ns_at(&n->clock, at) / 1000;
}

uint64_t clock_local_us(const struct sim_node *n)
{
    return clock_local_us_at(n, n->sim->now + n->cpu_ns);
}

void clock_work(struct sim_node *n, uint64_t ns)
{
    n->cpu_ns += ns;
    if (ns > n->longest_ns)
        n->longest_ns = ns;
}

uint64_t clock_step_ns(const struct sim *s, uint64_t ns, size_t bytes)
{
    return ns + bytes * s->p.cpu_byte_ps / 1000;
}

uint64_t clock_when(const struct sim_node *n, uint64_t local_us)
{
    const struct sim_clock *c = &n->clock;
    uint64_t now = n->sim->now;
    uint64_t local = clock_ns_at(c, now);
    uint64_t rate = (uint64_t)(1000000 + c->ppm);
    unsigned __int128 wait;

    if (local_us <= local / 1000)
        return now;
    if (rate == 0 || local_us > UINT64_MAX / 1000)
        return UINT64_MAX;
    wait = (unsigned __int128)(local_us * 1000 - local) * 1000000 / rate + 2;
    return wait > UINT64_MAX / 2 ? UINT64_MAX : now + (uint64_t)wait;
}

void clock_set_ppm(struct sim_node *n, int64_t ppm)
{
    clock_turn(&n->clock, n->sim->now, ppm);
}

void clock_turn(struct sim_clock *c, uint64_t at, int64_t ppm)
{
    c->base_local = clock_ns_at(c, at);
    c->base_at = at;
    c->ppm = ppm;
}
