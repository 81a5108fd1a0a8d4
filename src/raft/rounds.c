/* Numbers only grow, and times stand beside the number that they belong to. */
#include "raft/rounds_int.h"

#include <string.h>

#include "base/assert.h"

void raft_rounds_init(struct rounds *s, unsigned max)
{
    rid_assert(max > 0);
    memset(s, 0, sizeof(*s));
    s->next = 1;
    s->max = max;
}

void raft_rounds_begin_term(struct rounds *s)
{
    rid_assert(s->n_open == 0); /* the reads of an earlier leadership have failed */
    s->confirmed = raft_rounds_last(s);
}

uint64_t raft_rounds_last(const struct rounds *s)
{
    rid_assert(s->next > 0);
    return s->next - 1;
}

/* A number of our own (READ-5), never given before while the process lives, whatever became of
 * terms and roles since (READ-10). */
uint64_t raft_rounds_open(struct rounds *s, uint64_t now_us, uint64_t hold_us, uint64_t lease_us)
{
    uint64_t round = s->next++;
    struct round_time *t = &s->times[round % ROUND_TIMES];

    rid_assert(t->round < round); /* a number is given, and its time written, once */
    *t = (struct round_time){
        .round = round, .opened_us = now_us, .hold_us = hold_us, .lease_us = lease_us};
    s->due = false;
    return round;
}

const struct round_time *raft_rounds_get(const struct rounds *s, uint64_t round)
{
    const struct round_time *t = &s->times[round % ROUND_TIMES];

    return round != 0 && t->round == round ? t : NULL;
}

void raft_rounds_confirm(struct rounds *s, uint64_t round, uint64_t now_us)
{
    const struct round_time *t = raft_rounds_get(s, round);

    rid_assert(round > s->confirmed);
    rid_assert(round < s->next);
    s->confirmed = round;
    if (t != NULL) {
        uint64_t rtt_us = now_us - t->opened_us;

        rid_assert(now_us >= t->opened_us);
        s->srtt_us = s->srtt_us == 0 ? rtt_us : (s->srtt_us * 7 + rtt_us) / 8;
    }
}
