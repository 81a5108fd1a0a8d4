/* Judge Z (LOAD-4). Of each value of a key a cluster is made: its write and all reads of it. The
 * cluster's first return F and last call C say when it was there. F before C: from F to C it
 * certainly was (forward). Otherwise it was at one moment at least between C and F (backward).
 *
 * A write of unknown outcome that nobody has read is left out: it may be the last of all, or not
 * have happened. One that was read has a return that never comes. Local reads are not looked at. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history/checker.h"

#include "base/banned.h"

struct zone {
    uint64_t value;
    uint64_t from_ns; /* the lesser of its first return and its last call */
    uint64_t to_ns;
    uint64_t write_call_ns;
    size_t last_call; /* operations, by their numbers */
    size_t write;     /* SIZE_MAX: there is none */
    bool forward;
    bool was_read;
};

static void *need(void *p)
{
    if (p == NULL) {
        (void)fprintf(stderr, "the checker is out of memory\n");
        abort();
    }
    return p;
}

static const struct history *sort_history; /* qsort has no context */

static int by_value(const void *a, const void *b)
{
    const struct history_op *x = &sort_history->ops[*(const size_t *)a];
    const struct history_op *y = &sort_history->ops[*(const size_t *)b];

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind == HISTORY_WRITE ? -1 : 1;
    return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

/* By their beginning; what is there from before all comes first. */
static int by_begin(const void *a, const void *b)
{
    const struct zone *x = a;
    const struct zone *y = b;

    if ((x->write == SIZE_MAX) != (y->write == SIZE_MAX))
        return x->write == SIZE_MAX ? -1 : 1;
    if (x->from_ns != y->from_ns)
        return x->from_ns < y->from_ns ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

static bool bad(struct check_verdict *v, const struct history *h, size_t op, const char *why)
{
    v->result = CHECK_BAD;
    v->culprit = op;
    v->key = h->ops[op].key;
    (void)snprintf(v->why, sizeof(v->why), "key %" PRIu32 ": value %" PRIu64 " %s", v->key,
                   h->ops[op].value, why);
    return false;
}

/* ops: those of one value, the write first. False: the verdict says why. */
static bool make_zone(const struct history *h, const size_t *ops, size_t n, uint64_t first,
                      struct zone *ret, struct check_verdict *v)
{
    const struct history_op *write = &h->ops[ops[0]];
    uint64_t ret_ns = HISTORY_NEVER;
    uint64_t call_ns = 0;

    *ret = (struct zone){.value = write->value, .write = SIZE_MAX, .last_call = ops[0]};
    if (write->kind == HISTORY_WRITE) {
        ret->write = ops[0];
        ret->write_call_ns = write->call_ns;
    } else if (write->value != first) {
        return bad(v, h, ops[0], "was read and never written");
    } else {
        ret_ns = 0; /* it was there before all */
    }
    if (n > 1 && write->kind == HISTORY_WRITE && h->ops[ops[1]].kind == HISTORY_WRITE)
        return bad(v, h, ops[1], "was written twice");
    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = &h->ops[ops[i]];

        if (op->kind == HISTORY_READ && op->ret_ns < ret->write_call_ns)
            return bad(v, h, ops[i], "was read before anybody began to write it");
        ret->was_read |= op->kind == HISTORY_READ;
        if (op->ret_ns < ret_ns)
            ret_ns = op->ret_ns;
        if (op->call_ns > call_ns) {
            call_ns = op->call_ns;
            ret->last_call = ops[i];
        }
    }
    ret->forward = ret_ns < call_ns;
    ret->from_ns = ret->forward ? ret_ns : call_ns;
    ret->to_ns = ret->forward ? call_ns : ret_ns;
    return true;
}

/* Zones of one key, sorted. Forward ones do not overlap, so that the last of them is the only one
 * that may reach into what begins later. Whoever found its value last did so too late. */
static bool check_zones(const struct history *h, const struct zone *zones, size_t n,
                        struct check_verdict *v)
{
    const struct zone *reach = NULL;

    for (size_t i = 0; i < n; i++) {
        const struct zone *z = &zones[i];

        if (reach != NULL && z->forward && z->from_ns < reach->to_ns)
            return bad(v, h, reach->last_call, "is there although another took its place before");
        if (reach != NULL && !z->forward &&
            (z->from_ns > reach->from_ns || reach->write == SIZE_MAX) && z->to_ns < reach->to_ns)
            return bad(v, h, reach->last_call, "is there although another was there meanwhile");
        if (z->forward)
            reach = z;
    }
    return true;
}

static size_t end_of(const struct history *h, const size_t *ops, size_t from, size_t n,
                     bool of_value)
{
    const struct history_op *op = &h->ops[ops[from]];
    size_t end = from;

    while (end < n && h->ops[ops[end]].key == op->key &&
           (!of_value || h->ops[ops[end]].value == op->value))
        end++;
    return end;
}

static bool check_key(const struct history *h, const size_t *ops, size_t n, uint64_t first,
                      struct zone *zones, struct check_verdict *v)
{
    size_t n_zones = 0;
    size_t end;

    for (size_t from = 0; from < n; from = end) {
        struct zone *z = &zones[n_zones];

        end = end_of(h, ops, from, n, true);
        if (!make_zone(h, ops + from, end - from, first, z, v))
            return false;
        if (z->was_read || z->write == SIZE_MAX || h->ops[z->write].outcome != HISTORY_UNKNOWN)
            n_zones++;
    }
    if (n_zones > 0)
        qsort(zones, n_zones, sizeof(zones[0]), by_begin);
    v->n_linearized += n;
    return check_zones(h, zones, n_zones, v);
}

void history_check_zones(const struct history *h, uint64_t first, struct check_verdict *ret_verdict)
{
    size_t *ops = need(calloc(h->n + 1, sizeof(*ops)));
    struct zone *zones = need(calloc(h->n + 1, sizeof(*zones)));
    size_t n = 0;
    size_t end;

    *ret_verdict = (struct check_verdict){.result = CHECK_GOOD};
    for (size_t i = 0; i < h->n && ret_verdict->result == CHECK_GOOD; i++) {
        const struct history_op *op = &h->ops[i];

        if (op->kind == HISTORY_CAS || op->kind == HISTORY_DELETE) {
            *ret_verdict = (struct check_verdict){.result = CHECK_GAVE_UP, .key = op->key};
            (void)snprintf(ret_verdict->why, sizeof(ret_verdict->why),
                           "there is more than writes and reads");
        }
        if (op->kind == HISTORY_WRITE || op->kind == HISTORY_READ)
            ops[n++] = i;
    }
    sort_history = h;
    if (n > 0)
        qsort(ops, n, sizeof(*ops), by_value);
    for (size_t from = 0; from < n && ret_verdict->result == CHECK_GOOD; from = end) {
        end = end_of(h, ops, from, n, false);
        (void)check_key(h, ops + from, end - from, first, zones, ret_verdict);
    }
    free(ops);
    free(zones);
}
