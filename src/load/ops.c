/* Operations: which one is next, and what its answer says. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/engine_int.h"
#include "load/text.h"

#include "base/banned.h"

/* ---- counting ---- */

static unsigned name_len(const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && n < LOAD_ERROR_BYTES_MAX && text[n] != ':' && text[n] > ' ' && text[n] < 0x7f)
        n++;
    return (unsigned)n;
}

/* A terminal shows it, and a document of JSON holds it: what is no ASCII that can be printed is
 * '?'. */
static void clean(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
            *text = '?';
}

static void add_error(struct load_figures *f, const char *name, unsigned len, uint64_t n)
{
    unsigned i = 0;

    while (i < f->n_error_names &&
           (strncmp(f->errors[i].name, name, len) != 0 || f->errors[i].name[len] != '\0'))
        i++;
    if (i == LOAD_ERRORS_MAX)
        i--;
    if (i == f->n_error_names) {
        f->n_error_names++;
        (void)snprintf(f->errors[i].name, sizeof(f->errors[i].name), "%.*s",
                       i == LOAD_ERRORS_MAX - 1 ? 5 : (int)len,
                       i == LOAD_ERRORS_MAX - 1 ? "other" : name);
    }
    f->errors[i].n += n;
    f->n_errors += n;
}

void ops_note_error(struct load_figures *f, const char *text, size_t len)
{
    if (f->n_errors == 0) {
        (void)snprintf(f->first_error, sizeof(f->first_error), "%.*s", (int)len, text);
        clean(f->first_error);
    }
    add_error(f, text, name_len(text, len), 1);
}

static void merge_side(struct load_side *s, const struct load_side *other)
{
    histogram_fine_merge(&s->ns, &other->ns);
    if (other->last_ns > s->last_ns)
        s->last_ns = other->last_ns;
    /* Of several threads each has its own gaps; the longest of the one that had the shortest is
     * the least that is certain. */
    if (s->longest_ns == 0 || (other->longest_ns != 0 && other->longest_ns < s->longest_ns)) {
        s->longest_ns = other->longest_ns;
        s->longest_at_ns = other->longest_at_ns;
    }
}

void figures_merge(struct load_figures *f, const struct load_figures *other)
{
    for (unsigned i = 0; i < LOAD_N_KINDS; i++)
        merge_side(&f->sides[i], &other->sides[i]);
    if (f->n_errors == 0)
        memcpy(f->first_error, other->first_error, sizeof(f->first_error));
    for (unsigned i = 0; i < other->n_error_names; i++)
        add_error(f, other->errors[i].name, (unsigned)strlen(other->errors[i].name),
                  other->errors[i].n);
    if (f->n_wrong == 0)
        memcpy(f->first_wrong, other->first_wrong, sizeof(f->first_wrong));
    f->n_wrong += other->n_wrong;
    f->n_absent += other->n_absent;
    f->n_again += other->n_again;
    f->n_dials += other->n_dials;
    f->n_shakes += other->n_shakes;
    f->n_lost += other->n_lost;
    f->n_unsent += other->n_unsent;
    f->cpu_ns += other->cpu_ns;
    for (unsigned i = 0; i < f->n_seconds && i < other->n_seconds; i++) {
        f->seconds[i].n += other->seconds[i].n;
        f->seconds[i].n_errors += other->seconds[i].n_errors;
        if (other->seconds[i].max_ns > f->seconds[i].max_ns)
            f->seconds[i].max_ns = other->seconds[i].max_ns;
    }
}

static bool is_counted(const struct loop *l, uint64_t due_ns)
{
    return l->role != LOOP_MEASURE ||
           (l->begin_ns != 0 && due_ns >= l->begin_ns && due_ns < l->end_ns);
}

static struct load_second *second_of(struct loop *l)
{
    struct load_figures *f = l->figures;
    uint64_t i = l->now_ns > l->begin_ns ? (l->now_ns - l->begin_ns) / LOAD_SAY_NS : 0;

    if (f->n_seconds == 0)
        return NULL;
    return &f->seconds[i < f->n_seconds ? i : f->n_seconds - 1];
}

static void note_gap(struct loop *l, struct load_side *side, uint64_t now_ns)
{
    const uint64_t from_ns = side->last_ns != 0 ? side->last_ns : l->begin_ns;

    if (now_ns > from_ns && now_ns - from_ns > side->longest_ns) {
        side->longest_ns = now_ns - from_ns;
        side->longest_at_ns = from_ns;
    }
    side->last_ns = now_ns;
}

static void note_time(struct loop *l, enum load_kind kind, uint64_t due_ns)
{
    struct load_side *side = &l->figures->sides[kind];
    struct load_second *second = second_of(l);
    const uint64_t ns = l->now_ns > due_ns ? l->now_ns - due_ns : 0;

    histogram_fine_add(&side->ns, ns);
    note_gap(l, side, l->now_ns);
    if (second == NULL)
        return;
    second->n++;
    if (ns > second->max_ns)
        second->max_ns = ns;
}

static void note_failure(struct loop *l, const struct slot *s, const char *text, size_t len)
{
    struct load_second *second = second_of(l);

    if (!is_counted(l, s->due_ns))
        return;
    ops_note_error(l->figures, text, len);
    if (second != NULL)
        second->n_errors++;
}

/* A wrong answer is counted whenever it came. */
static void note_wrong(struct load_conn *c, struct slot *s, uint64_t key, const char *why,
                       const char *found, size_t found_len)
{
    static const char *const kinds[LOAD_N_KINDS] = {"read", "write", "batch", "scan", "remove"};
    struct loop *l = c->loop;
    struct load_figures *f = l->figures;

    s->wrong = true;
    if (f->n_wrong++ > 0)
        return;
    (void)snprintf(
        f->first_wrong, sizeof(f->first_wrong), "%s (%s) of %s%08" PRIu64 " from %s: %s: '%.*s'",
        kinds[s->op.kind], l->load->plan->protocol->name, l->load->plan->prefix, key,
        l->load->targets[c->address].text, why, (int)found_len, found != NULL ? found : "");
    clean(f->first_wrong);
}

/* ---- recording ---- */

static void record_begin(struct load_conn *c, struct slot *s)
{
    struct loop *l = c->loop;
    const struct history_op op = {.call_ns = s->sent_ns,
                                  .ret_ns = HISTORY_NEVER,
                                  .value =
                                      s->op.kind == LOAD_WRITE ? s->op.number + UINT64_C(1) : 0,
                                  .key = (uint32_t)s->op.key,
                                  .client = (uint16_t)c->id,
                                  .kind = s->op.kind == LOAD_WRITE ? HISTORY_WRITE : HISTORY_READ,
                                  .outcome = HISTORY_UNKNOWN,
                                  .node = (uint8_t)c->address};

    s->recorded = SIZE_MAX;
    if (l->load->plan->record && l->role == LOOP_MEASURE &&
        l->history.n < LOAD_HISTORY_MAX / l->load->plan->n_threads &&
        (s->op.kind == LOAD_WRITE || s->op.kind == LOAD_READ))
        s->recorded = history_add(&l->history, &op);
}

/* number: what a read has found; below 0: nothing. */
static void record_end(struct load_conn *c, const struct slot *s, int64_t number)
{
    struct history_op *op;

    if (s->recorded == SIZE_MAX)
        return;
    op = &c->loop->history.ops[s->recorded];
    op->ret_ns = c->loop->now_ns;
    op->outcome = HISTORY_OK;
    op->node = (uint8_t)c->address;
    if (s->op.kind == LOAD_READ)
        op->value = number >= 0 ? (uint64_t)number + 1 : 0;
}

/* A read without an answer, and what certainly was not done, are no part of it: LOCAL, which the
 * judge does not look at. */
static void record_nothing(struct load_conn *c, const struct slot *s)
{
    if (s->recorded != SIZE_MAX)
        c->loop->history.ops[s->recorded].kind = HISTORY_LOCAL;
}

void ops_end_history(struct loop *l)
{
    for (size_t i = 0; i < l->history.n; i++)
        if (l->history.ops[i].kind == HISTORY_READ && l->history.ops[i].ret_ns == HISTORY_NEVER)
            l->history.ops[i].kind = HISTORY_LOCAL;
}

/* ---- beginning ---- */

static void begin_write(struct loop *l, struct slot *s)
{
    s->op.kind = LOAD_WRITE;
    s->op.key = draw_key(&l->draw, &l->prng);
    s->write = truth_begin_write(l->load->truth, s->op.key);
    s->op.number = s->write.number;
}

static void begin_read(struct loop *l, struct slot *s)
{
    const struct load_plan *plan = l->load->plan;

    s->op.kind = plan->kind;
    s->op.key = draw_key(&l->draw, &l->prng);
    s->op.n = plan->n_of;
    if (s->op.n > 0 && s->op.key + s->op.n > plan->n_keys)
        s->op.key = plan->n_keys - s->op.n;
    if (!plan->linearizable)
        return;
    if (s->op.kind == LOAD_READ)
        s->least = truth_least(l->load->truth, s->op.key);
    else
        for (unsigned i = 0; i < s->op.n; i++)
            s->leasts[i] = truth_least(l->load->truth, s->op.key + i);
}

static void choose(struct loop *l, struct slot *s)
{
    const struct load_plan *plan = l->load->plan;

    s->op = (struct load_op){.value_bytes = plan->value_bytes};
    if (l->role != LOOP_MEASURE) {
        s->op.kind = l->role == LOOP_FILL ? LOAD_WRITE : LOAD_REMOVE;
        s->op.key = l->next_key++;
    } else if (plan->write_percent > 0 && prng_below(&l->prng, 100) < plan->write_percent) {
        begin_write(l, s);
    } else {
        begin_read(l, s);
    }
}

static void submit(struct load_conn *c, unsigned slot)
{
    struct slot *s = &c->slots[slot];

    s->state = SLOT_SENT;
    s->n_items = 0;
    s->wrong = false;
    c->n_sent++;
    if (c->loop->load->plan->protocol->submit(c->protocol, &c->out, slot, &s->op) != 0)
        c->broken = true;
}

static void begin(struct load_conn *c, uint64_t due_ns)
{
    const unsigned slot = c->free[--c->n_free];
    struct slot *s = &c->slots[slot];

    s->due_ns = due_ns;
    s->sent_ns = c->loop->now_ns;
    choose(c->loop, s);
    record_begin(c, s);
    submit(c, slot);
}

void ops_fill(struct load_conn *c)
{
    struct loop *l = c->loop;

    if (c->n_free == 0 || l->ending || (loop_makes_anew(l) && c->n_sent > 0))
        return;
    l->now_ns = load_now(l->load);
    while (c->n_free > 0 && !c->broken && (l->role == LOOP_MEASURE || l->next_key < l->end_key)) {
        /* With a connection of its own a request takes that long, too. */
        begin(c, loop_makes_anew(l) ? c->begun_ns : l->now_ns);
        if (loop_makes_anew(l))
            return;
    }
}

static struct load_conn *find_room(struct loop *l)
{
    for (unsigned i = 0; i < l->n_conns; i++) {
        struct load_conn *c = &l->conns[l->next_conn];

        l->next_conn = l->next_conn + 1 < l->n_conns ? l->next_conn + 1 : 0;
        if (c->state == CONN_OPEN && !c->moves && !c->broken && c->n_free > 0)
            return c;
    }
    return NULL;
}

/* Each with the time at which it was due, whatever kept it (LOAD-1). */
void ops_arrive(struct loop *l)
{
    const double end_ns = l->end_ns != 0 ? (double)l->end_ns : INFINITY;

    l->starved = false;
    while (!l->ending && l->due_ns <= (double)l->now_ns && l->due_ns < end_ns) {
        struct load_conn *c = find_room(l);

        if (c == NULL) {
            l->starved = true;
            return;
        }
        begin(c, (uint64_t)l->due_ns);
        l->due_ns += draw_gap_ns(&l->prng, l->rate, l->load->plan->poisson);
        loop_mark(l, c);
    }
}

void ops_unsent(struct loop *l)
{
    for (; l->due_ns < (double)l->end_ns;
         l->due_ns += draw_gap_ns(&l->prng, l->rate, l->load->plan->poisson)) {
        if (!is_counted(l, (uint64_t)l->due_ns))
            continue;
        l->figures->n_unsent++;
        histogram_fine_add(
            &l->figures
                 ->sides[l->load->plan->write_percent == 100 ? LOAD_WRITE : l->load->plan->kind]
                 .ns,
            l->now_ns - (uint64_t)l->due_ns);
    }
}

/* ---- once more ---- */

static void set_free(struct load_conn *c, unsigned slot)
{
    c->slots[slot].state = SLOT_FREE;
    c->free[c->n_free++] = slot;
    loop_mark(c->loop, c);
}

/* For as long as its time is not over. */
static void wait_again(struct load_conn *c, unsigned slot, const char *why, size_t len)
{
    c->slots[slot].state = SLOT_AGAIN;
    c->n_again++;
    if (is_counted(c->loop, c->slots[slot].due_ns))
        c->loop->figures->n_again++;
    (void)snprintf(c->last_error, sizeof(c->last_error), "%.*s", (int)name_len(why, len), why);
    loop_mark(c->loop, c);
}

void ops_again(struct load_conn *c)
{
    for (unsigned i = 0; c->n_again > 0 && !c->broken && i < c->loop->in_flight; i++) {
        if (c->slots[i].state != SLOT_AGAIN)
            continue;
        c->n_again--;
        submit(c, i);
    }
}

static void end_write(struct loop *l, const struct slot *s, enum truth_outcome outcome)
{
    if (l->role == LOOP_MEASURE && s->op.kind == LOAD_WRITE)
        truth_end_write(l->load->truth, &s->write, outcome);
}

static void fail(struct load_conn *c, unsigned slot, enum truth_outcome outcome, const char *text,
                 size_t len)
{
    struct loop *l = c->loop;

    end_write(l, &c->slots[slot], outcome);
    if (outcome == TRUTH_NOT_DONE || c->slots[slot].op.kind == LOAD_READ)
        record_nothing(c, &c->slots[slot]);
    note_failure(l, &c->slots[slot], text, len);
    if (l->role != LOOP_MEASURE) {
        l->n_left++;
        l->ending = true;
    }
    set_free(c, slot);
}

/* A write may have been done, and is never sent again (LOAD-2); but writing number 0, and removing,
 * may be done twice. */
void ops_lost(struct load_conn *c, unsigned slot, const char *why)
{
    static const char unknown[] = "outcome_unknown: the connection was lost";

    c->n_sent--;
    if (c->slots[slot].op.kind == LOAD_WRITE && c->loop->role == LOOP_MEASURE)
        fail(c, slot, TRUTH_UNKNOWN, unknown, sizeof(unknown) - 1);
    else
        wait_again(c, slot, why, strlen(why));
}

void ops_give_up(struct load_conn *c)
{
    struct loop *l = c->loop;
    const uint64_t timeout_ns = l->load->plan->timeout_ns;

    for (unsigned i = 0; c->n_again > 0 && i < l->in_flight; i++) {
        if (c->slots[i].state != SLOT_AGAIN || l->now_ns - c->slots[i].sent_ns < timeout_ns)
            continue;
        c->n_again--;
        fail(c, i, TRUTH_NOT_DONE, c->last_error, strlen(c->last_error));
    }
    if (c->state != CONN_CLOSED && c->state != CONN_OPEN &&
        l->now_ns - c->heard_ns > LOAD_DIAL_NS) {
        conn_lose(c, "unreachable");
        return;
    }
    /* A node that stands still says nothing at all. */
    if (c->state != CONN_OPEN || l->now_ns - c->heard_ns <= timeout_ns)
        return;
    for (unsigned i = 0; i < l->in_flight; i++)
        if (c->slots[i].state == SLOT_SENT && l->now_ns - c->slots[i].sent_ns > timeout_ns) {
            conn_lose(c, "no_answer");
            return;
        }
}

void ops_abandon(struct load_conn *c)
{
    static const char text[] = "no_answer: none until the end";

    for (unsigned i = 0; i < c->loop->in_flight; i++) {
        if (c->slots[i].state == SLOT_FREE)
            continue;
        if (c->slots[i].state == SLOT_SENT)
            c->n_sent--;
        else
            c->n_again--;
        fail(c, i, TRUTH_UNKNOWN, text, sizeof(text) - 1);
    }
}

/* ---- answers ---- */

static void judge(struct load_conn *c, struct slot *s, uint64_t key, uint32_t least,
                  const char *value, size_t len)
{
    const struct load *load = c->loop->load;
    const struct load_plan *plan = load->plan;
    uint32_t number = 0;

    if (value == NULL) {
        record_end(c, s, -1);
        if (plan->absent_is_right)
            c->loop->figures->n_absent++;
        else
            note_wrong(c, s, key, "the key is said to be absent", NULL, 0);
        return;
    }
    if (!load_value_number(value, len, plan->prefix, load->prefix_len, key, plan->value_bytes,
                           &number)) {
        record_nothing(c, s);
        note_wrong(c, s, key, "that is no value of this key", value, len);
        return;
    }
    record_end(c, s, number);
    switch (truth_judge(load->truth, key, least, number, plan->linearizable)) {
    case TRUTH_RIGHT:
        break;
    case TRUTH_OLD: {
        char why[96];

        (void)snprintf(why, sizeof(why),
                       "number %u is older than %u, acknowledged before it was asked",
                       (unsigned)number, (unsigned)least);
        note_wrong(c, s, key, why, value, len);
        break;
    }
    case TRUTH_NEVER_WRITTEN:
        note_wrong(c, s, key, "that was never written", value, len);
        break;
    }
}

void load_item(struct load_conn *c, unsigned slot, unsigned place, const char *value, size_t len)
{
    struct slot *s;

    if (slot >= c->loop->in_flight || c->slots[slot].state != SLOT_SENT ||
        place != c->slots[slot].n_items || place >= c->slots[slot].op.n) {
        c->broken = true;
        return;
    }
    s = &c->slots[slot];
    s->n_items++;
    judge(c, s, s->op.key + place, s->leasts[place], value, len);
}

static void maybe_mark(struct loop *l, const struct slot *s)
{
    const uint64_t mark_ns = __atomic_load_n(&l->load->mark_ns, __ATOMIC_ACQUIRE);
    uint64_t none = 0;

    if (mark_ns != 0 && s->sent_ns >= mark_ns)
        (void)__atomic_compare_exchange_n(&l->load->marked_ns[s->op.kind], &none, l->now_ns, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void take_answer(struct load_conn *c, struct slot *s, const struct load_answer *a)
{
    struct loop *l = c->loop;

    if (l->role != LOOP_MEASURE)
        l->figures->sides[s->op.kind].ns.n++;
    else if (s->op.kind == LOAD_READ)
        judge(c, s, s->op.key, s->least, a->outcome == LOAD_ABSENT ? NULL : a->value, a->value_len);
    else if ((s->op.kind == LOAD_BATCH || s->op.kind == LOAD_SCAN) && s->n_items != s->op.n)
        note_wrong(c, s, s->op.key, "it has not the keys that were asked for", NULL, 0);
    if (l->role == LOOP_MEASURE)
        maybe_mark(l, s);
    if (l->role == LOOP_MEASURE && is_counted(l, s->due_ns))
        note_time(l, s->op.kind, s->due_ns);
}

/* Who refuses because another one leads is left, and that one is asked. */
static void follow(struct load_conn *c, const struct load_answer *a)
{
    struct load *load = c->loop->load;

    if (loop_is_spread(c->loop))
        return;
    c->moves = true;
    if (a->leader != NULL && a->leader_len > 0) {
        const unsigned target = load_target(load, a->leader, a->leader_len);

        if (target < LOAD_TARGETS_MAX)
            __atomic_store_n(&load->leader, target, __ATOMIC_RELEASE);
    }
}

static bool is_name(const struct load_answer *a, const char *name)
{
    return a->error != NULL && name_len(a->error, a->error_len) == strlen(name) &&
           strncmp(a->error, name, strlen(name)) == 0;
}

void load_answered(struct load_conn *c, unsigned slot, const struct load_answer *a)
{
    struct slot *s;

    if (slot >= c->loop->in_flight || c->slots[slot].state != SLOT_SENT) {
        c->broken = true;
        return;
    }
    s = &c->slots[slot];
    c->n_sent--;
    switch (a->outcome) {
    case LOAD_DONE:
    case LOAD_ABSENT:
        if (s->op.kind == LOAD_WRITE)
            record_end(c, s, -1);
        take_answer(c, s, a);
        end_write(c->loop, s, TRUTH_DONE);
        set_free(c, slot);
        return;
    case LOAD_REFUSED:
        if (a->leader != NULL || is_name(a, "not_leader")) {
            follow(c, a);
            wait_again(c, slot, a->error, a->error_len);
            return;
        }
        if (c->loop->role == LOOP_MEASURE)
            fail(c, slot, TRUTH_NOT_DONE, a->error, a->error_len);
        else
            wait_again(c, slot, a->error, a->error_len);
        return;
    case LOAD_UNKNOWN:
        if (c->loop->role == LOOP_MEASURE)
            fail(c, slot, TRUTH_UNKNOWN, a->error, a->error_len);
        else
            wait_again(c, slot, a->error, a->error_len);
        return;
    case LOAD_WRONG:
        break;
    }
    if (s->op.kind == LOAD_READ)
        record_nothing(c, s);
    note_wrong(c, s, s->op.key, "that is no answer to it", a->error, a->error_len);
    end_write(c->loop, s, TRUTH_UNKNOWN);
    set_free(c, slot);
}
