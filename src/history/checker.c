/* Judge B walks the calls and returns of a key in the order of time. A call that fits the state is
 * taken out with its return and becomes the next operation of the order that is being built; at a
 * return whose call was not taken, something must be undone. What is remembered of a visited point
 * is the set of operations taken and the state: the set as the exclusive or of a random number per
 * operation, 128 bits, so that a point costs 16 bytes however long the history is. Two points in
 * confusion would need a coincidence of one in 10^25, and would make the judge too strict, not
 * lenient.
 *
 * Operations of unknown outcome have no return. They are kept aside and tried when nothing else
 * fits any more: as good as always they are not needed. */
#include "history/checker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/prng.h"

#include "base/banned.h"

/* Operations shown on each side of the culprit. */
#define TIMELINE_ASIDE 40u

static void *need(void *p)
{
    if (p == NULL) {
        (void)fprintf(stderr, "the checker is out of memory\n");
        abort();
    }
    return p;
}

void history_init(struct history *h)
{
    *h = (struct history){NULL, 0, 0};
}

void history_done(struct history *h)
{
    free(h->ops);
    history_init(h);
}

size_t history_add(struct history *h, const struct history_op *op)
{
    if (h->n == h->size) {
        h->size = h->size == 0 ? 4096 : h->size * 2;
        h->ops = need(realloc(h->ops, h->size * sizeof(*h->ops)));
    }
    h->ops[h->n] = *op;
    return h->n++;
}

/* ---- the model: one register that may be empty ---- */

static bool cas_fits(const struct history_op *op, uint64_t state)
{
    return state == op->from ? state != 0 : state == 0 && op->create;
}

/* false: this answer is impossible in this state. */
static bool step(const struct history_op *op, uint64_t state, uint64_t *ret_state)
{
    const bool unknown = op->outcome == HISTORY_UNKNOWN;

    *ret_state = state;
    switch ((enum history_kind)op->kind) {
    case HISTORY_WRITE:
        *ret_state = op->value;
        return true;
    case HISTORY_DELETE:
        *ret_state = 0;
        return unknown || op->existed == (state != 0);
    case HISTORY_CAS:
        if (unknown || op->result == HISTORY_CAS_DONE) {
            if (!cas_fits(op, state))
                return unknown;
            *ret_state = op->value;
            return true;
        }
        if (op->result == HISTORY_CAS_MISSING)
            return state == 0 && !op->create;
        return state != 0 && state != op->from;
    case HISTORY_READ:
    case HISTORY_LOCAL:
        break;
    }
    return state == op->value;
}

/* ---- judge B ---- */

struct seen {
    unsigned __int128 *slots; /* 0: free */
    size_t size;              /* a power of two */
    size_t n;
};

static bool seen_put(struct seen *s, unsigned __int128 key)
{
    size_t at = (size_t)key & (s->size - 1);

    while (s->slots[at] != 0) {
        if (s->slots[at] == key)
            return false;
        at = (at + 1) & (s->size - 1);
    }
    s->slots[at] = key;
    s->n++;
    return true;
}

static bool seen_add(struct seen *s, unsigned __int128 key)
{
    if (key == 0)
        key = 1;
    if (s->n * 2 >= s->size) {
        struct seen old = *s;

        s->size = old.size == 0 ? 1024 : old.size * 2;
        s->n = 0;
        s->slots = need(calloc(s->size, sizeof(*s->slots)));
        for (size_t i = 0; i < old.size; i++)
            if (old.slots[i] != 0)
                (void)seen_put(s, old.slots[i]);
        free(old.slots);
    }
    return seen_put(s, key);
}

static unsigned __int128 scatter(uint64_t x, uint64_t salt)
{
    struct prng p;
    unsigned __int128 high;

    prng_init(&p, x * 2 + salt);
    high = prng_next(&p);
    return high << 64 | prng_next(&p);
}

/* A call or a return of a known operation, in the order of time. */
struct event {
    struct event *prev;
    struct event *next;
    struct event *ret; /* of a call; NULL: this is a return */
    uint64_t at_ns;
    size_t op; /* position in the sorted list */
};

struct choice {
    struct event *call; /* NULL: an unknown one */
    unsigned unknown;
    uint64_t state; /* before it */
};

struct search {
    const struct history *h;
    const size_t *ops; /* numbers, sorted by call */
    size_t n;
    struct event head;
    struct event *events; /* owned */
    size_t n_events;
    unsigned *unknowns; /* owned; positions, by call */
    unsigned n_unknowns;
    bool *used;             /* owned; of the unknowns */
    struct choice *choices; /* owned */
    size_t depth;
    size_t n_known;
    size_t n_taken; /* known ones */
    unsigned __int128 taken;
    uint64_t state;
    struct seen seen;
};

static const struct history_op *op_at(const struct search *s, size_t position)
{
    return &s->h->ops[s->ops[position]];
}

static const struct history *sort_history; /* qsort has no context */

static int by_call(const void *a, const void *b)
{
    const struct history_op *x = &sort_history->ops[*(const size_t *)a];
    const struct history_op *y = &sort_history->ops[*(const size_t *)b];

    if (x->call_ns != y->call_ns)
        return x->call_ns < y->call_ns ? -1 : 1;
    return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

/* Calls before returns of the same moment: what might overlap is taken to overlap. */
static int by_time(const void *a, const void *b)
{
    const struct event *x = a;
    const struct event *y = b;

    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    if ((x->ret != NULL) != (y->ret != NULL))
        return x->ret != NULL ? -1 : 1;
    return x->op < y->op ? -1 : x->op > y->op;
}

static void search_init(struct search *s, const struct history *h, const size_t *ops, size_t n)
{
    struct event **returns = need(calloc(n + 1, sizeof(struct event *)));
    struct event *last = &s->head;
    size_t k = 0;

    *s = (struct search){.h = h, .ops = ops, .n = n};
    s->events = need(calloc(2 * n + 1, sizeof(*s->events)));
    s->unknowns = need(calloc(n + 1, sizeof(*s->unknowns)));
    s->used = need(calloc(n + 1, sizeof(*s->used)));
    s->choices = need(calloc(n + 1, sizeof(*s->choices)));
    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = op_at(s, i);

        if (op->kind == HISTORY_LOCAL)
            continue;
        if (op->outcome == HISTORY_UNKNOWN) {
            s->unknowns[s->n_unknowns++] = (unsigned)i;
            continue;
        }
        s->n_known++;
        s->events[k++] = (struct event){.at_ns = op->call_ns, .op = i, .ret = &s->head};
        s->events[k++] = (struct event){.at_ns = op->ret_ns, .op = i};
    }
    s->n_events = k;
    if (k > 0)
        qsort(s->events, k, sizeof(*s->events), by_time);
    for (size_t i = k; i-- > 0;) { /* the return of a call is behind it */
        struct event *e = &s->events[i];

        if (e->ret == NULL)
            returns[e->op] = e;
        else
            e->ret = returns[e->op];
    }
    for (size_t i = 0; i < k; i++) {
        s->events[i].prev = last;
        last->next = &s->events[i];
        last = &s->events[i];
    }
    free(returns);
}

static void search_done(struct search *s)
{
    free(s->events);
    free(s->unknowns);
    free(s->used);
    free(s->choices);
    free(s->seen.slots);
}

static void unlink_event(struct event *e)
{
    e->prev->next = e->next;
    if (e->next != NULL)
        e->next->prev = e->prev;
}

static void link_event(struct event *e)
{
    e->prev->next = e;
    if (e->next != NULL)
        e->next->prev = e;
}

/* Makes the operation the next of the order; false: it does not fit, or we were there before. */
static bool take(struct search *s, struct event *call, unsigned unknown)
{
    size_t position = call != NULL ? call->op : s->unknowns[unknown];
    unsigned __int128 taken = s->taken ^ scatter(position, 1);
    uint64_t state;

    if (!step(op_at(s, position), s->state, &state) ||
        !seen_add(&s->seen, taken ^ scatter(state, 0)))
        return false;
    s->choices[s->depth++] = (struct choice){call, unknown, s->state};
    s->state = state;
    s->taken = taken;
    if (call != NULL) {
        s->n_taken++;
        unlink_event(call);
        unlink_event(call->ret);
    } else {
        s->used[unknown] = true;
    }
    return true;
}

static struct choice undo(struct search *s)
{
    struct choice c = s->choices[--s->depth];
    size_t position = c.call != NULL ? c.call->op : s->unknowns[c.unknown];

    s->state = c.state;
    s->taken ^= scatter(position, 1);
    if (c.call != NULL) {
        s->n_taken--;
        link_event(c.call->ret);
        link_event(c.call);
    } else {
        s->used[c.unknown] = false;
    }
    return c;
}

static void describe(const struct history_op *op, char *text, size_t size)
{
    const bool unknown = op->outcome == HISTORY_UNKNOWN;

    switch ((enum history_kind)op->kind) {
    case HISTORY_WRITE:
        (void)snprintf(text, size, "write %" PRIu64 "%s", op->value, unknown ? " -> ?" : "");
        break;
    case HISTORY_CAS:
        (void)snprintf(text, size, "cas %" PRIu64 " to %" PRIu64 "%s -> %s", op->from, op->value,
                       op->create ? " or create" : "",
                       unknown                             ? "?"
                       : op->result == HISTORY_CAS_DONE    ? "done"
                       : op->result == HISTORY_CAS_MISSING ? "no such key"
                                                           : "differs");
        break;
    case HISTORY_DELETE:
        (void)snprintf(text, size, "delete -> %s",
                       unknown ? "?" : (op->existed ? "existed" : "was not there"));
        break;
    case HISTORY_READ:
    case HISTORY_LOCAL:
        if (op->value == 0)
            (void)snprintf(text, size, "%s -> nothing",
                           op->kind == HISTORY_LOCAL ? "local read" : "read");
        else
            (void)snprintf(text, size, "%s -> %" PRIu64,
                           op->kind == HISTORY_LOCAL ? "local read" : "read", op->value);
        break;
    }
}

static void blame(const struct search *s, size_t position, struct check_verdict *v)
{
    char text[120];

    v->n_linearized = s->n_taken;
    v->culprit = s->ops[position];
    describe(op_at(s, position), text, sizeof(text));
    (void)snprintf(v->why, sizeof(v->why),
                   "no order explains '%s': after the longest one, of %zu operations, the value is "
                   "%" PRIu64,
                   text, s->n_taken, s->state);
}

static void run_search(struct search *s, struct check_verdict *v)
{
    struct event *e = s->head.next;
    unsigned unknown = 0; /* at a return: the next unknown one to try */
    bool blamed = false;

    while (s->n_taken < s->n_known) {
        struct choice last;

        if (s->seen.n >= HISTORY_STATES_MAX) {
            v->result = CHECK_GAVE_UP;
            (void)snprintf(v->why, sizeof(v->why), "gave up after %zu states", s->seen.n);
            return;
        }
        if (e->ret != NULL) {
            if (take(s, e, 0)) {
                e = s->head.next;
                unknown = 0;
            } else {
                e = e->next;
            }
            continue;
        }
        /* The first return: its operation must be taken now, or after an unknown one. */
        while (unknown < s->n_unknowns &&
               (s->used[unknown] || op_at(s, s->unknowns[unknown])->call_ns > e->at_ns ||
                !take(s, NULL, unknown)))
            unknown++;
        if (unknown < s->n_unknowns) {
            e = s->head.next;
            unknown = 0;
            continue;
        }
        if (!blamed || s->n_taken > v->n_linearized)
            blame(s, e->op, v);
        blamed = true;
        if (s->depth == 0) {
            v->result = CHECK_BAD;
            return;
        }
        last = undo(s);
        if (last.call != NULL) {
            e = last.call->next;
            unknown = 0;
        } else {
            for (e = s->head.next; e->ret != NULL; e = e->next)
                ;
            unknown = last.unknown + 1;
        }
    }
    v->result = CHECK_GOOD;
    v->n_linearized = s->n_taken;
}

void history_check_key(const struct history *h, size_t *ops, size_t n,
                       struct check_verdict *ret_verdict)
{
    struct search s;

    *ret_verdict = (struct check_verdict){.key = n > 0 ? h->ops[ops[0]].key : 0};
    sort_history = h;
    if (n > 0)
        qsort(ops, n, sizeof(*ops), by_call);
    search_init(&s, h, ops, n);
    run_search(&s, ret_verdict);
    ret_verdict->n_states = s.seen.n;
    search_done(&s);
}

static int by_key(const void *a, const void *b)
{
    const struct history_op *x = &sort_history->ops[*(const size_t *)a];
    const struct history_op *y = &sort_history->ops[*(const size_t *)b];

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

/* All numbers, sorted by key; the caller frees. */
static size_t *numbers_by_key(const struct history *h)
{
    size_t *ops = need(calloc(h->n + 1, sizeof(*ops)));

    for (size_t i = 0; i < h->n; i++)
        ops[i] = i;
    sort_history = h;
    qsort(ops, h->n, sizeof(*ops), by_key);
    return ops;
}

void history_check_keys(const struct history *h, struct check_verdict *ret_verdict)
{
    size_t *ops = numbers_by_key(h);
    struct check_verdict total = {.result = CHECK_GOOD};
    size_t end;

    for (size_t from = 0; from < h->n; from = end) {
        for (end = from; end < h->n && h->ops[ops[end]].key == h->ops[ops[from]].key; end++)
            ;
        history_check_key(h, ops + from, end - from, ret_verdict);
        if (ret_verdict->result != CHECK_GOOD) {
            free(ops);
            return;
        }
        total.n_linearized += ret_verdict->n_linearized;
        total.n_states += ret_verdict->n_states;
    }
    free(ops);
    *ret_verdict = total;
}

/* ---- judge A ---- */

__attribute__((format(printf, 4, 5))) static bool
bad(struct check_verdict *v, const struct history *h, size_t op, const char *format, ...)
{
    char text[120];
    va_list ap;
    size_t n;

    describe(&h->ops[op], text, sizeof(text));
    *v = (struct check_verdict){.result = CHECK_BAD, .key = h->ops[op].key, .culprit = op};
    (void)snprintf(v->why, sizeof(v->why), "'%s' at index %" PRIu64 ": ", text, h->ops[op].index);
    n = strlen(v->why);
    va_start(ap, format);
    (void)vsnprintf(v->why + n, sizeof(v->why) - n, format, ap);
    va_end(ap);
    return false;
}

static bool has_entry(const struct history_op *op)
{
    return op->kind == HISTORY_WRITE || op->kind == HISTORY_CAS || op->kind == HISTORY_DELETE ||
           op->own_entry;
}

static bool changes(const struct history_op *op)
{
    return op->kind == HISTORY_WRITE || op->kind == HISTORY_DELETE ||
           (op->kind == HISTORY_CAS && op->result == HISTORY_CAS_DONE);
}

static bool writes(const struct history_op *op)
{
    return op->kind == HISTORY_WRITE || op->kind == HISTORY_CAS;
}

static int by_value(const void *a, const void *b)
{
    const struct history_op *x = &sort_history->ops[*(const size_t *)a];
    const struct history_op *y = &sort_history->ops[*(const size_t *)b];

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

static int by_index(const void *a, const void *b)
{
    const struct history_op *x = &sort_history->ops[*(const size_t *)a];
    const struct history_op *y = &sort_history->ops[*(const size_t *)b];

    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    if (has_entry(x) != has_entry(y)) /* a read at that index sees its entry */
        return has_entry(x) ? -1 : 1;
    return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

struct moment {
    uint64_t at_ns;
    size_t op;
    bool is_return;
};

static int by_moment(const void *a, const void *b)
{
    const struct moment *x = a;
    const struct moment *y = b;

    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return (int)x->is_return - (int)y->is_return;
}

/* The operation that wrote a value, or SIZE_MAX. */
static size_t find_writer(const struct history *h, const size_t *writers, size_t n, uint64_t value)
{
    size_t low = 0;
    size_t high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (h->ops[writers[mid]].value < value)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && h->ops[writers[low]].value == value ? writers[low] : SIZE_MAX;
}

/* Operations of unknown outcome get the index at which somebody saw their value. */
static bool resolve(struct history *h, struct check_verdict *v)
{
    size_t *writers = need(calloc(h->n + 1, sizeof(*writers)));
    size_t n = 0;
    bool ok = true;

    for (size_t i = 0; i < h->n; i++)
        if (writes(&h->ops[i]))
            writers[n++] = i;
    sort_history = h;
    qsort(writers, n, sizeof(*writers), by_value);
    for (size_t i = 1; ok && i < n; i++)
        if (h->ops[writers[i]].value == h->ops[writers[i - 1]].value)
            ok = bad(v, h, writers[i], "the history is not sound: two operations write this");
    for (size_t i = 0; ok && i < h->n; i++) {
        const struct history_op *op = &h->ops[i];
        struct history_op *writer;
        size_t w;

        if ((op->kind != HISTORY_READ && op->kind != HISTORY_LOCAL) || op->value == 0)
            continue;
        w = find_writer(h, writers, n, op->value);
        if (w == SIZE_MAX || h->ops[w].key != op->key) {
            ok = bad(v, h, i, "nobody wrote this to this key");
            break;
        }
        writer = &h->ops[w];
        if (op->ret_ns < writer->call_ns)
            ok = bad(v, h, i, "it was read before anybody wrote it");
        else if (writer->outcome == HISTORY_OK && !changes(writer))
            ok = bad(v, h, i, "this was written by a cas that was refused");
        else if (op->modify != 0 && op->modify > op->index)
            ok = bad(v, h, i, "modified at %" PRIu64 ", after the state that was read", op->modify);
        else if (op->modify != 0 && writer->index == 0)
            writer->index = op->modify;
        else if (op->modify != 0 && writer->index != op->modify)
            ok = bad(v, h, i, "modified at %" PRIu64 ", but its entry is %" PRIu64, op->modify,
                     writer->index);
    }
    free(writers);
    return ok;
}

/* What is known of a key while the log is replayed. */
struct register_state {
    uint64_t value;
    uint64_t changed_at;    /* index of the last change */
    uint64_t doubt_from_ns; /* the first call of an unknown operation without an index */
};

static bool replay_one(const struct history *h, size_t i, struct register_state *reg,
                       struct check_verdict *v)
{
    const struct history_op *op = &h->ops[i];
    /* Something that nobody saw may have come between. */
    const bool doubt = reg->doubt_from_ns < op->ret_ns;
    uint64_t state;

    if (op->outcome == HISTORY_UNKNOWN) {
        /* Somebody saw it, so it happened. */
        if (op->kind == HISTORY_CAS && !cas_fits(op, reg->value) && !doubt)
            return bad(v, h, i, "it took effect although the value was %" PRIu64, reg->value);
        reg->value = op->value;
        reg->changed_at = op->index;
        return true;
    }
    /* Who tells which entry wrote the value leaves no room for doubt. */
    if (op->modify != 0 && op->modify != reg->changed_at)
        return bad(v, h, i, "modified at %" PRIu64 ", but it was changed at %" PRIu64, op->modify,
                   reg->changed_at);
    if (!step(op, reg->value, &state)) {
        if (!doubt)
            return bad(v, h, i, "the value was %" PRIu64 " then", reg->value);
        state = changes(op) ? (op->kind == HISTORY_DELETE ? 0 : op->value)
                : op->kind == HISTORY_READ || op->kind == HISTORY_LOCAL        ? op->value
                : op->kind == HISTORY_CAS && op->result == HISTORY_CAS_MISSING ? 0
                                                                               : reg->value;
    }
    reg->value = state;
    if (changes(op))
        reg->changed_at = op->index;
    return true;
}

static bool replay(const struct history *h, struct check_verdict *v)
{
    size_t *order = need(calloc(h->n + 1, sizeof(*order)));
    struct register_state *regs;
    uint32_t key_max = 0;
    size_t last_entry = SIZE_MAX;
    size_t n = 0;
    bool ok = true;

    for (size_t i = 0; i < h->n; i++)
        if (h->ops[i].key > key_max)
            key_max = h->ops[i].key;
    regs = need(calloc((size_t)key_max + 1, sizeof(*regs)));
    for (size_t i = 0; i <= key_max; i++)
        regs[i].doubt_from_ns = HISTORY_NEVER;
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *op = &h->ops[i];

        if (op->index != 0)
            order[n++] = i;
        else if (op->outcome == HISTORY_UNKNOWN && op->call_ns < regs[op->key].doubt_from_ns)
            regs[op->key].doubt_from_ns = op->call_ns;
    }
    sort_history = h;
    qsort(order, n, sizeof(*order), by_index);
    for (size_t i = 0; ok && i < n; i++) {
        const struct history_op *op = &h->ops[order[i]];

        if (has_entry(op)) {
            if (last_entry != SIZE_MAX && h->ops[last_entry].index == op->index)
                ok = bad(v, h, order[i], "another operation has this index");
            last_entry = order[i];
        }
        ok = ok && replay_one(h, order[i], &regs[op->key], v);
    }
    free(regs);
    free(order);
    return ok;
}

/* All that was shown before is in what it found; of a local read that tells how old it is. */
static uint64_t from_ns(const struct history_op *op)
{
    const uint64_t stale_ns = op->kind == HISTORY_LOCAL ? op->stale_ns : 0;

    return op->call_ns > stale_ns ? op->call_ns - stale_ns : 0;
}

/* a before b in time: the index of b is not lower, and higher when b has an entry of its own. */
static bool check_time(const struct history *h, struct check_verdict *v)
{
    struct moment *moments = need(calloc(2 * h->n + 1, sizeof(*moments)));
    uint64_t highest = 0;
    size_t n = 0;
    bool ok = true;

    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *op = &h->ops[i];

        if (op->index == 0)
            continue;
        if (op->kind != HISTORY_LOCAL || op->stale_ns != HISTORY_ANY_AGE)
            moments[n++] = (struct moment){from_ns(op), i, false};
        /* What a local read shows is committed, and so binds those that ask later. */
        if (op->outcome == HISTORY_OK)
            moments[n++] = (struct moment){op->ret_ns, i, true};
    }
    qsort(moments, n, sizeof(*moments), by_moment);
    for (size_t i = 0; ok && i < n; i++) {
        const struct history_op *op = &h->ops[moments[i].op];

        if (moments[i].is_return)
            highest = op->index > highest ? op->index : highest;
        else if (op->index < highest || (has_entry(op) && op->index == highest))
            ok = bad(v, h, moments[i].op, "index %" PRIu64 " had been shown before %s", highest,
                     op->kind == HISTORY_LOCAL ? "the age that it tells" : "it was asked");
    }
    free(moments);
    return ok;
}

void history_check_index(const struct history *h, struct check_verdict *ret_verdict)
{
    struct history copy = {need(calloc(h->n + 1, sizeof(*h->ops))), h->n, h->n + 1};

    if (h->n > 0)
        memcpy(copy.ops, h->ops, h->n * sizeof(*h->ops));
    *ret_verdict = (struct check_verdict){.result = CHECK_GOOD};
    if (resolve(&copy, ret_verdict) && check_time(&copy, ret_verdict))
        (void)replay(&copy, ret_verdict);
    history_done(&copy);
}

/* ---- judge C ---- */

/* What is known of one key. */
struct lane {
    const struct history *h;
    const size_t *ops; /* by call */
    size_t n;
    const size_t *writers; /* of all keys, by value */
    size_t n_writers;
    size_t *changes; /* owned; those that took effect for certain, by return */
    size_t n_changes;
    uint64_t *last_call_ns; /* owned; of the changes up to each */
    uint64_t *seen_ns; /* owned, for each session: the latest call of a writer of what it saw */
};

static int by_ret(const void *a, const void *b)
{
    const struct history_op *x = &sort_history->ops[*(const size_t *)a];
    const struct history_op *y = &sort_history->ops[*(const size_t *)b];

    if (x->ret_ns != y->ret_ns)
        return x->ret_ns < y->ret_ns ? -1 : 1;
    return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

/* The latest call of a change that had returned before that time; 0: none had. */
static uint64_t changed_ns(const struct lane *l, uint64_t before_ns)
{
    size_t low = 0;
    size_t high = l->n_changes;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (l->h->ops[l->changes[mid]].ret_ns < before_ns)
            low = mid + 1;
        else
            high = mid;
    }
    return low > 0 ? l->last_call_ns[low - 1] : 0;
}

/* Until when this had happened for certain: the value's write; of nothing, the last delete that
 * may be what was found. HISTORY_NEVER: that is not known. */
static uint64_t made_ns(const struct lane *l, const struct history_op *op)
{
    uint64_t last_ns = 0;
    size_t w;

    if (op->value != 0) {
        w = find_writer(l->h, l->writers, l->n_writers, op->value);
        return w == SIZE_MAX ? HISTORY_NEVER : l->h->ops[w].ret_ns;
    }
    for (size_t i = 0; i < l->n; i++) {
        const struct history_op *d = &l->h->ops[l->ops[i]];

        if (d->kind == HISTORY_DELETE && d->call_ns < op->ret_ns && d->ret_ns > last_ns)
            last_ns = d->ret_ns;
    }
    return last_ns;
}

static bool check_age(const struct lane *l, size_t i, struct check_verdict *v)
{
    const struct history_op *op = &l->h->ops[i];
    const uint64_t made = made_ns(l, op);

    if (changed_ns(l, from_ns(op)) <= made)
        return true;
    return bad(v, l->h, i, "it had been written over more than %.3f ms before it was asked",
               (double)op->stale_ns / 1e6);
}

static uint64_t writer_call_ns(const struct lane *l, const struct history_op *op)
{
    size_t w;

    if (changes(op))
        return op->call_ns;
    w = op->value != 0 && !writes(op) ? find_writer(l->h, l->writers, l->n_writers, op->value)
                                      : SIZE_MAX;
    return w == SIZE_MAX ? 0 : l->h->ops[w].call_ns;
}

/* What a session saw of the key, or wrote, comes after what it is shown later. */
static bool check_seen(struct lane *l, const struct moment *m, struct check_verdict *v)
{
    const struct history_op *op = &l->h->ops[m->op];
    uint64_t *seen_ns = &l->seen_ns[op->session];

    if (m->is_return) {
        const uint64_t ns = op->outcome == HISTORY_OK ? writer_call_ns(l, op) : 0;

        *seen_ns = ns > *seen_ns ? ns : *seen_ns;
        return true;
    }
    if (!op->has_token || op->value == 0 || *seen_ns <= made_ns(l, op))
        return true;
    return bad(v, l->h, m->op, "its session has seen, or written, what came later");
}

static bool check_sessions_of(struct lane *l, struct moment *moments, struct check_verdict *v)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        const struct history_op *op = &l->h->ops[l->ops[i]];

        if (op->session == 0)
            continue;
        moments[n++] = (struct moment){op->call_ns, l->ops[i], false};
        if (op->ret_ns != HISTORY_NEVER)
            moments[n++] = (struct moment){op->ret_ns, l->ops[i], true};
        l->seen_ns[op->session] = 0;
    }
    if (n > 0)
        qsort(moments, n, sizeof(*moments), by_moment);
    for (size_t i = 0; i < n; i++)
        if (!check_seen(l, &moments[i], v))
            return false;
    return true;
}

static bool check_lane(struct lane *l, struct moment *moments, struct check_verdict *v)
{
    uint64_t last_ns = 0;

    l->n_changes = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct history_op *op = &l->h->ops[l->ops[i]];

        if (op->outcome == HISTORY_OK && changes(op))
            l->changes[l->n_changes++] = l->ops[i];
    }
    sort_history = l->h;
    if (l->n_changes > 0)
        qsort(l->changes, l->n_changes, sizeof(*l->changes), by_ret);
    for (size_t i = 0; i < l->n_changes; i++) {
        const uint64_t call_ns = l->h->ops[l->changes[i]].call_ns;

        last_ns = call_ns > last_ns ? call_ns : last_ns;
        l->last_call_ns[i] = last_ns;
    }
    for (size_t i = 0; i < l->n; i++) {
        const struct history_op *op = &l->h->ops[l->ops[i]];

        if (op->kind == HISTORY_LOCAL && op->stale_ns != HISTORY_ANY_AGE &&
            !check_age(l, l->ops[i], v))
            return false;
    }
    return check_sessions_of(l, moments, v);
}

/* Of all keys together: no index below one that the session was told. */
static bool check_tokens(const struct history *h, uint64_t *highest, struct moment *moments,
                         struct check_verdict *v)
{
    size_t n = 0;

    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *op = &h->ops[i];

        if (op->session == 0 || op->index == 0 || op->outcome != HISTORY_OK)
            continue;
        moments[n++] = (struct moment){op->call_ns, i, false};
        moments[n++] = (struct moment){op->ret_ns, i, true};
    }
    if (n > 0)
        qsort(moments, n, sizeof(*moments), by_moment);
    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = &h->ops[moments[i].op];
        uint64_t *seen = &highest[op->session];

        if (moments[i].is_return)
            *seen = op->index > *seen ? op->index : *seen;
        else if (op->has_token && op->index < *seen)
            return bad(v, h, moments[i].op, "its session had been told index %" PRIu64, *seen);
    }
    return true;
}

static unsigned sessions_of(const struct history *h)
{
    unsigned most = 0;

    for (size_t i = 0; i < h->n; i++)
        most = h->ops[i].session > most ? h->ops[i].session : most;
    return most;
}

void history_check_old(const struct history *h, struct check_verdict *ret_verdict)
{
    size_t *ops = numbers_by_key(h);
    size_t *writers = need(calloc(h->n + 1, sizeof(*writers)));
    struct moment *moments = need(calloc(2 * h->n + 1, sizeof(*moments)));
    struct lane lane = {.h = h, .writers = writers};
    bool ok;
    size_t end;

    lane.changes = need(calloc(h->n + 1, sizeof(*lane.changes)));
    lane.last_call_ns = need(calloc(h->n + 1, sizeof(*lane.last_call_ns)));
    lane.seen_ns = need(calloc(sessions_of(h) + 1u, sizeof(*lane.seen_ns)));
    *ret_verdict = (struct check_verdict){.result = CHECK_GOOD};
    for (size_t i = 0; i < h->n; i++)
        if (writes(&h->ops[i]))
            writers[lane.n_writers++] = i;
    sort_history = h;
    if (lane.n_writers > 0)
        qsort(writers, lane.n_writers, sizeof(*writers), by_value);
    ok = check_tokens(h, lane.seen_ns, moments, ret_verdict);
    for (size_t from = 0; ok && from < h->n; from = end) {
        for (end = from; end < h->n && h->ops[ops[end]].key == h->ops[ops[from]].key; end++)
            ;
        lane.ops = ops + from;
        lane.n = end - from;
        ok = check_lane(&lane, moments, ret_verdict);
    }
    free(lane.changes);
    free(lane.last_call_ns);
    free(lane.seen_ns);
    free(moments);
    free(writers);
    free(ops);
}

/* ---- timelines ---- */

/* Numbers of the operations on the verdict's key that are near the culprit, by call. */
static size_t *neighbours(const struct history *h, const struct check_verdict *v, size_t *ret_n)
{
    size_t *ops = need(calloc(h->n + 1, sizeof(*ops)));
    const uint64_t at_ns = v->result == CHECK_BAD ? h->ops[v->culprit].call_ns : 0;
    size_t n = 0;
    size_t at = 0;
    size_t from;
    size_t to;
    size_t kept = 0;

    for (size_t i = 0; i < h->n; i++)
        if (h->ops[i].key == v->key)
            ops[n++] = i;
    sort_history = h;
    qsort(ops, n, sizeof(*ops), by_call);
    while (at < n && h->ops[ops[at]].call_ns < at_ns)
        at++;
    from = at > TIMELINE_ASIDE ? at - TIMELINE_ASIDE : 0;
    to = at + TIMELINE_ASIDE < n ? at + TIMELINE_ASIDE : n;
    /* Also what began long ago and may still happen, and what the culprit found. */
    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = &h->ops[ops[i]];
        const bool source = v->result == CHECK_BAD && writes(op) &&
                            op->value == h->ops[v->culprit].value && op->value != 0;

        if ((i >= from && i < to) || (i < to && op->ret_ns >= at_ns) || source)
            ops[kept++] = ops[i];
    }
    *ret_n = kept;
    return ops;
}

static const char *method_of(const struct history_op *op, const char *const *names)
{
    return names != NULL ? names[op->method] : "";
}

void history_print_timeline(const struct history *h, const struct check_verdict *v,
                            const char *title, const char *const *method_names, FILE *out)
{
    size_t n;
    size_t *ops = neighbours(h, v, &n);
    uint64_t zero_ns = n > 0 ? h->ops[ops[0]].call_ns : 0;

    (void)fprintf(out, "%s\n%s\n", title, v->why);
    (void)fprintf(out, "   %12s %12s %6s %4s %10s  %s\n", "call ms", "return ms", "client", "node",
                  "index", "operation");
    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = &h->ops[ops[i]];
        char text[120];
        char ret[32] = "never";

        describe(op, text, sizeof(text));
        if (op->ret_ns != HISTORY_NEVER)
            (void)snprintf(ret, sizeof(ret), "%.3f", (double)(op->ret_ns - zero_ns) / 1e6);
        (void)fprintf(out, "%s %12.3f %12s %6u %4u %10" PRIu64 "  %s  %s\n",
                      v->result == CHECK_BAD && ops[i] == v->culprit ? ">>" : "  ",
                      (double)(op->call_ns - zero_ns) / 1e6, ret, op->client, op->node, op->index,
                      text, method_of(op, method_names));
    }
    free(ops);
}

static void put_escaped(const char *s, FILE *out)
{
    for (; *s != '\0'; s++) {
        switch (*s) {
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        case '&':
            (void)fputs("&amp;", out);
            break;
        default:
            (void)fputc(*s, out);
            break;
        }
    }
}

#define LANE_HEIGHT 26u
#define PAGE_WIDTH  1600.0

static unsigned lane_of(uint16_t *lanes, unsigned *n_lanes, uint16_t client)
{
    for (unsigned i = 0; i < *n_lanes; i++)
        if (lanes[i] == client)
            return i;
    lanes[*n_lanes] = client;
    return (*n_lanes)++;
}

void history_print_html(const struct history *h, const struct check_verdict *v, const char *title,
                        const char *const *method_names, FILE *out)
{
    size_t n;
    size_t *ops = neighbours(h, v, &n);
    uint16_t *lanes = need(calloc(n + 1, sizeof(*lanes)));
    unsigned n_lanes = 0;
    uint64_t start_ns = HISTORY_NEVER;
    uint64_t end_ns = 0;
    double scale;

    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = &h->ops[ops[i]];

        (void)lane_of(lanes, &n_lanes, op->client);
        if (op->call_ns < start_ns)
            start_ns = op->call_ns;
        if (op->call_ns > end_ns)
            end_ns = op->call_ns;
        if (op->ret_ns != HISTORY_NEVER && op->ret_ns > end_ns)
            end_ns = op->ret_ns;
    }
    scale = end_ns > start_ns ? PAGE_WIDTH / (double)(end_ns - start_ns) : 1;
    (void)fputs("<!DOCTYPE html><meta charset=\"utf-8\"><title>timeline</title><style>"
                "body{font:13px sans-serif}rect{fill:#9cc3e6;stroke:#456}"
                ".unknown{fill:#ddd}.culprit{fill:#f66}text{font:10px monospace}"
                "td{padding:0 8px;font-family:monospace}</style><h2>",
                out);
    put_escaped(title, out);
    (void)fputs("</h2><p>", out);
    put_escaped(v->why, out);
    (void)fprintf(out, "</p><svg width=\"%d\" height=\"%u\">", (int)PAGE_WIDTH + 240,
                  n_lanes * LANE_HEIGHT + 4);
    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = &h->ops[ops[i]];
        const unsigned y = lane_of(lanes, &n_lanes, op->client) * LANE_HEIGHT;
        const uint64_t ret_ns = op->ret_ns == HISTORY_NEVER ? end_ns : op->ret_ns;
        const double x = (double)(op->call_ns - start_ns) * scale;
        double width = (double)(ret_ns - op->call_ns) * scale;
        char text[120];

        if (width < 3)
            width = 3;
        describe(op, text, sizeof(text));
        (void)fprintf(out,
                      "<g><rect class=\"%s\" x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"11\"/>"
                      "<text x=\"%.1f\" y=\"%u\">",
                      v->result == CHECK_BAD && ops[i] == v->culprit ? "culprit"
                      : op->outcome == HISTORY_UNKNOWN               ? "unknown"
                                                                     : "known",
                      x, y, width, x, y + 21);
        put_escaped(text, out);
        (void)fprintf(out, "</text><title>client %u, node %u, index %" PRIu64 ", %s</title></g>\n",
                      op->client, op->node, op->index, method_of(op, method_names));
    }
    (void)fputs("</svg><table>", out);
    for (size_t i = 0; i < n; i++) {
        const struct history_op *op = &h->ops[ops[i]];
        char text[120];

        describe(op, text, sizeof(text));
        (void)fprintf(out, "<tr><td>%s<td>%.3f<td>%.3f<td>client %u<td>node %u<td>%" PRIu64 "<td>",
                      v->result == CHECK_BAD && ops[i] == v->culprit ? "&#9654;" : "",
                      (double)(op->call_ns - start_ns) / 1e6,
                      op->ret_ns == HISTORY_NEVER ? -1.0 : (double)(op->ret_ns - start_ns) / 1e6,
                      op->client, op->node, op->index);
        put_escaped(text, out);
        (void)fprintf(out, "<td>%s\n", method_of(op, method_names));
    }
    (void)fputs("</table>\n", out);
    free(lanes);
    free(ops);
}
