/* Most requests are answered within a millisecond and leave their slot before anybody looks at it.
 */
#include "replica/timers.h"

#include "base/assert.h"

void timers_init(struct timers *t, uint64_t now_us)
{
    for (unsigned i = 0; i < TIMERS_SLOTS; i++)
        list_init(&t->slots[i]);
    t->tick = now_us / TIMERS_TICK_US;
    t->next = t->tick;
    t->n = 0;
}

void timers_add(struct timers *t, struct list *node, uint64_t deadline_us)
{
    uint64_t tick = deadline_us / TIMERS_TICK_US + 1; /* never early */

    rid_assert(list_empty(node));
    if (tick < t->tick)
        tick = t->tick;
    list_append(&t->slots[tick % TIMERS_SLOTS], node);
    if (t->n++ == 0 || tick < t->next)
        t->next = tick;
}

void timers_remove(struct timers *t, struct list *node)
{
    if (list_empty(node))
        return;
    rid_assert(t->n > 0);
    list_remove(node);
    t->n--;
}

/* None is due before it: every slot in front of it is empty, as far as the wheel goes. */
static uint64_t first_slot(const struct timers *t)
{
    for (uint64_t i = 0; i < TIMERS_SLOTS; i++)
        if (!list_empty(&t->slots[(t->tick + i) % TIMERS_SLOTS]))
            return t->tick + i;
    return t->tick;
}

void timers_expired(struct timers *t, uint64_t now_us,
                    uint64_t (*deadline_of)(const struct list *node), struct list *due)
{
    uint64_t last = now_us / TIMERS_TICK_US;
    uint64_t n_slots;

    if (last < t->tick)
        return;
    n_slots = last + 1 - t->tick;
    if (n_slots > TIMERS_SLOTS)
        n_slots = TIMERS_SLOTS; /* a long pause: every slot once */
    for (uint64_t i = 0; i < n_slots && t->n > 0; i++) {
        list_for_each_safe(it, &t->slots[(t->tick + i) % TIMERS_SLOTS])
        {
            if (deadline_of(it) <= now_us) {
                list_remove(it);
                list_append(due, it);
            }
        }
    }
    t->tick = last + 1;
    if (t->n > 0 && t->next < t->tick)
        t->next = first_slot(t);
}

/* Not looked for each time: nearly all that were set earlier are gone by then, and who looks once
 * too often finds nothing. */
uint64_t timers_next_us(const struct timers *t)
{
    return t->n == 0 ? UINT64_MAX : t->next * TIMERS_TICK_US;
}
