/* Most requests are answered within a millisecond and leave their slot before anybody looks at it.
 */
#include "replica/timers.h"

#include "base/assert.h"

void timers_init(struct timers *t, uint64_t now_us)
{
    for (unsigned i = 0; i < TIMERS_SLOTS; i++)
        list_init(&t->slots[i]);
    for (unsigned i = 0; i < TIMERS_WORDS; i++)
        t->used[i] = 0;
    t->tick = now_us / TIMERS_TICK_US;
    t->n = 0;
}

void timers_add(struct timers *t, struct list *node, uint64_t deadline_us)
{
    uint64_t tick = deadline_us / TIMERS_TICK_US + 1; /* never early */

    rid_assert(list_empty(node));
    if (tick < t->tick)
        tick = t->tick;
    tick %= TIMERS_SLOTS;
    list_append(&t->slots[tick], node);
    t->used[tick / 64] |= (uint64_t)1 << tick % 64;
    t->n++;
}

void timers_remove(struct timers *t, struct list *node)
{
    if (list_empty(node))
        return;
    rid_assert(t->n > 0);
    list_remove(node);
    t->n--;
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
}

/* The first slot of a word, from the slot `from` of it on, that has something; its number in the
 * word, or 64. Bits of slots that were emptied since go. */
static unsigned next_in_word(struct timers *t, unsigned word, unsigned from)
{
    uint64_t bits = t->used[word] >> from << from;

    while (bits != 0) {
        const unsigned bit = (unsigned)__builtin_ctzll(bits);

        if (!list_empty(&t->slots[word * 64 + bit]))
            return bit;
        bits &= bits - 1;
        t->used[word] &= ~((uint64_t)1 << bit);
    }
    return 64;
}

/* Round the wheel from the next tick on; of the word that this is in, the slots before it are the
 * last. */
uint64_t timers_next_us(struct timers *t)
{
    const unsigned first = (unsigned)(t->tick % TIMERS_SLOTS);

    if (t->n == 0)
        return UINT64_MAX;
    for (unsigned i = 0; i <= TIMERS_WORDS; i++) {
        const unsigned word = (first / 64 + i) % TIMERS_WORDS;
        const unsigned bit = next_in_word(t, word, i == 0 ? first % 64 : 0);

        if (bit < 64)
            return (t->tick + (word * 64 + bit + TIMERS_SLOTS - first) % TIMERS_SLOTS) *
                   TIMERS_TICK_US;
    }
    return UINT64_MAX;
}
