/* Whether an answer was right: each method is held against what it promises, and no more.
 *
 * `acked` is the highest number whose write was acknowledged, `proposed` the highest handed to the
 * log. A linearizable read that began at acked = a and ended at proposed = p is right iff
 * a <= value <= p, where a is also what an earlier answer had shown, and its state holds all that
 * was known here to be committed when it began. It must also have the right that its method claims:
 * the term it began in, and a proof that was found after it arrived.
 *
 * A bounded read is right iff it is no older than its bound, and its state holds what was
 * acknowledged, and known here to be committed, so long before it began as it says.
 *
 * On a node that does not lead nothing is written, so that acknowledgements are not known: there
 * the indexes that it heard to be committed are what reads are held against, and what earlier reads
 * had shown. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "service/compare_int.h"

#include "base/banned.h"

const struct compare_kind compare_kinds[COMPARE_METHODS] = {
    [COMPARE_INDEX] = {"read_index", WIRE_VIA_READ_INDEX, REPLICA_READ, true, COMPARE_LINEARIZABLE},
    [COMPARE_LOG] = {"read_via_log", WIRE_VIA_LOG, REPLICA_READ_LOG, true, COMPARE_LINEARIZABLE},
    [COMPARE_LEASE] = {"lease_read", WIRE_VIA_LEASE, REPLICA_READ_LEASE, true,
                       COMPARE_LINEARIZABLE},
    [COMPARE_FOLLOWER] = {"follower_read", WIRE_VIA_FOLLOWER, REPLICA_READ_FOLLOWER, false,
                          COMPARE_LINEARIZABLE},
    [COMPARE_BOUNDED] = {"bounded_read", WIRE_VIA_BOUNDED, REPLICA_READ_BOUNDED, false,
                         COMPARE_BOUND},
    [COMPARE_LOCAL] = {"local_read", WIRE_VIA_LOCAL, REPLICA_READ_LOCAL, false, COMPARE_NOTHING},
};

/* both_linearizable is earned by every read of the run (CLIENT-8). */
static void violation(struct compare *c, struct compare_method_run *m, const char *what)
{
    struct service *s = c->service;

    c->is_right = false;
    if (m != NULL)
        m->n_wrong++;
    if (s->ops.event != NULL)
        s->ops.event(s->ops.ctx, LOG_ERROR, "compare_violation", what);
}

void compare_unread(struct compare *c)
{
    violation(c, NULL, "the counter could not be read back");
}

/* ---- what was known when ---- */

void compare_learn(struct compare *c, raft_index commit)
{
    const uint64_t now_us = c->service->ops.now_us(c->service->ops.ctx);
    const struct compare_fact *last =
        c->n_facts > 0 ? &c->facts[(c->n_facts - 1) % COMPARE_FACTS] : NULL;

    rid_assert(c->facts != NULL);
    /* So that they reach back: to know later is to demand less. */
    if (last != NULL && now_us - last->us < COMPARE_FACT_US)
        return;
    c->facts[c->n_facts++ % COMPARE_FACTS] =
        (struct compare_fact){.us = now_us, .acked = c->acked, .commit = commit};
}

/* The latest that is not younger than that; nothing, when it is forgotten. */
static struct compare_fact fact_at(const struct compare *c, uint64_t us)
{
    const uint64_t first = c->n_facts > COMPARE_FACTS ? c->n_facts - COMPARE_FACTS : 0;

    for (uint64_t i = c->n_facts; i > first; i--)
        if (c->facts[(i - 1) % COMPARE_FACTS].us <= us)
            return c->facts[(i - 1) % COMPARE_FACTS];
    return (struct compare_fact){0};
}

/* ---- right or wrong ---- */

/* The number in the state. False: there is none, and there should be. */
static bool number_of(const struct compare *c, const struct command_value *v, uint64_t *ret)
{
    char text[24] = "";

    *ret = 0;
    if (!v->exists)
        return !c->writes; /* nobody has written it yet */
    if (v->text.len >= sizeof(text))
        return false;
    memcpy(text, v->text.data, v->text.len);
    *ret = strtoull(text, NULL, 10);
    return true;
}

static void judge_linearizable(struct compare *c, const struct compare_read *read,
                               const struct replica_view *view, uint64_t value)
{
    struct compare_method_run *m = &c->methods[read->method];

    if (value < read->acked)
        violation(c, m, "a read returned less than the last value acknowledged before it began");
    if (c->writes && value > c->proposed)
        violation(c, m, "a read returned a value that was never proposed");
    if (view->last_applied.index < read->commit)
        violation(c, m, "a read lacked what was committed before it began");
    if (c->writes && view->term != read->term)
        violation(c, m, "a read was confirmed in another term than it began in");
    if (!replica_view_is_linearizable(view))
        violation(c, m,
                  read->method == COMPARE_INDEX
                      ? "a read was confirmed by a round that was open when it arrived"
                      : "a read was answered without what proves it");
}

static void judge_bound(struct compare *c, const struct compare_read *read,
                        const struct replica_view *view, uint64_t value)
{
    struct compare_method_run *m = &c->methods[read->method];
    const uint64_t ms = (view->staleness_us + 999u) / 1000u; /* as it is told */
    const uint64_t us = ms * 1000u;
    struct compare_fact fact = {0};

    if (view->proof != REPLICA_PROOF_STAMP || us > c->max_stale_us)
        violation(c, m, "a bounded read was older than its bound");
    if (us <= read->begun_us)
        fact = fact_at(c, read->begun_us - us);
    if (value < fact.acked || view->last_applied.index < fact.commit)
        violation(c, m, "a bounded read was older than it said");
}

bool compare_judge(struct compare *c, const struct compare_read *read,
                   const struct replica_view *view)
{
    struct compare_method_run *m = &c->methods[read->method];
    struct command_value v;
    uint64_t value;

    if (view->get(view->ctx, (struct wire_slice){(const char *)c->key.bytes, c->key.len}, &v) != 0)
        return false;
    if (!number_of(c, &v, &value)) {
        compare_unread(c);
        return true;
    }
    if (value < read->acked || view->last_applied.index < read->commit)
        m->n_stale++;
    switch (compare_kinds[read->method].promise) {
    case COMPARE_LINEARIZABLE:
        judge_linearizable(c, read, view, value);
        if (value > c->seen) {
            c->seen = value;
            c->n_seen++;
        }
        break;
    case COMPARE_BOUND:
        judge_bound(c, read, view, value);
        break;
    case COMPARE_NOTHING: /* its stale answers are only counted */
        break;
    }
    return true;
}
