/* The judges of src/history/checker.h on histories made by hand, good and bad, and on random ones
 * that are good by construction until one answer in them is made wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "history/checker.h"

#include "base/banned.h"

#define NEVER HISTORY_NEVER
/* The key of most tests; another one checks that they are kept apart. */
#define KEY 3u

static struct history h;

static int setup(void **state)
{
    (void)state;
    history_init(&h);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    history_done(&h);
    return 0;
}

/* ---- operations in one line; index 0: not told ---- */

static size_t add(enum history_kind kind, uint64_t call, uint64_t ret, uint64_t index,
                  struct history_op op)
{
    op.kind = (uint8_t)kind;
    op.call_ns = call;
    op.ret_ns = ret;
    op.index = index;
    op.outcome = ret == NEVER ? HISTORY_UNKNOWN : HISTORY_OK;
    op.key = KEY;
    return history_add(&h, &op);
}

static size_t wr(uint64_t call, uint64_t ret, uint64_t index, uint64_t value)
{
    return add(HISTORY_WRITE, call, ret, index, (struct history_op){.value = value});
}

static size_t rd(uint64_t call, uint64_t ret, uint64_t index, uint64_t value)
{
    return add(HISTORY_READ, call, ret, index, (struct history_op){.value = value});
}

static size_t rd_of(uint64_t call, uint64_t ret, uint64_t index, uint64_t value, uint64_t modify)
{
    return add(HISTORY_READ, call, ret, index,
               (struct history_op){.value = value, .modify = modify});
}

static size_t local(uint64_t call, uint64_t ret, uint64_t index, uint64_t value)
{
    return add(HISTORY_LOCAL, call, ret, index, (struct history_op){.value = value});
}

static size_t del(uint64_t call, uint64_t ret, uint64_t index, bool existed)
{
    return add(HISTORY_DELETE, call, ret, index, (struct history_op){.existed = existed});
}

static size_t cas(uint64_t call, uint64_t ret, uint64_t index, uint64_t from, uint64_t to,
                  enum history_cas result)
{
    return add(HISTORY_CAS, call, ret, index,
               (struct history_op){.from = from, .value = to, .result = (uint8_t)result});
}

static size_t cas_create(uint64_t call, uint64_t ret, uint64_t index, uint64_t from, uint64_t to,
                         enum history_cas result)
{
    return add(
        HISTORY_CAS, call, ret, index,
        (struct history_op){.from = from, .value = to, .result = (uint8_t)result, .create = true});
}

static enum check_result judge_a(struct check_verdict *v)
{
    history_check_index(&h, v);
    return v->result;
}

static enum check_result judge_b(struct check_verdict *v)
{
    history_check_keys(&h, v);
    return v->result;
}

static void expect(enum check_result a, enum check_result b)
{
    struct check_verdict v;

    if (judge_a(&v) != a) {
        print_error("A: %s\n", v.why);
        fail();
    }
    if (judge_b(&v) != b) {
        print_error("B: %s\n", v.why);
        fail();
    }
}

#define GOOD() expect(CHECK_GOOD, CHECK_GOOD)
#define BAD()  expect(CHECK_BAD, CHECK_BAD)

/* ---- good ones ---- */

static void checker__nothing_is_good(void **state)
{
    (void)state;
    GOOD();
    rd(1, 2, 1, 0);
    GOOD();
}

static void checker__one_after_the_other(void **state)
{
    (void)state;
    rd(1, 2, 1, 0);
    wr(3, 4, 2, 10);
    rd(5, 6, 2, 10);
    cas(7, 8, 3, 10, 11, HISTORY_CAS_DONE);
    cas(9, 10, 4, 10, 12, HISTORY_CAS_DIFFERS);
    rd(11, 12, 4, 11);
    del(13, 14, 5, true);
    del(15, 16, 6, false);
    cas(17, 18, 7, 11, 13, HISTORY_CAS_MISSING);
    rd(19, 20, 7, 0);
    cas_create(21, 22, 8, 99, 14, HISTORY_CAS_DONE);
    rd(23, 24, 8, 14);
    GOOD();
}

static void checker__overlapping_may_go_either_way(void **state)
{
    (void)state;
    wr(1, 100, 2, 10);
    wr(2, 99, 1, 11); /* asked later, first in the log */
    rd(3, 20, 1, 11);
    rd(30, 40, 2, 10);
    GOOD();
}

static void checker__overlapping_reads_see_one_order(void **state)
{
    (void)state;
    wr(1, 100, 2, 10);
    wr(2, 99, 3, 11);
    rd(3, 20, 3, 11);
    rd(30, 40, 2, 10); /* back again: 11 cannot be undone */
    rd(101, 102, 3, 11);
    BAD();
}

static void checker__touching_times_count_as_overlapping(void **state)
{
    (void)state;
    wr(1, 5, 2, 10);
    rd(5, 6, 1, 0);
    GOOD();
}

static void checker__keys_are_apart(void **state)
{
    struct history_op other = {
        .kind = HISTORY_WRITE, .key = 7, .call_ns = 3, .ret_ns = 4, .value = 50, .index = 2};

    (void)state;
    wr(1, 2, 1, 10);
    (void)history_add(&h, &other);
    rd(5, 6, 2, 10);
    GOOD();
    h.ops[1].index = 1; /* but an entry is of one key */
    expect(CHECK_BAD, CHECK_GOOD);
}

/* ---- bad ones ---- */

static void checker__stale_read(void **state)
{
    struct check_verdict v;

    (void)state;
    wr(1, 2, 1, 10);
    wr(3, 4, 2, 11);
    rd(5, 6, 1, 10);
    BAD();
    assert_int_equal(judge_a(&v), CHECK_BAD);
    assert_int_equal(v.culprit, 2);
    assert_int_equal(judge_b(&v), CHECK_BAD);
    assert_int_equal(v.culprit, 2);
    assert_int_equal(v.key, KEY);
    assert_non_null(strstr(v.why, "read -> 10"));
}

static void checker__read_before_the_write_was_known(void **state)
{
    (void)state;
    wr(1, 10, 2, 10);
    rd(3, 4, 2, 10); /* one saw it */
    rd(5, 6, 1, 0);  /* the next one did not, while it was still under way */
    BAD();
}

static void checker__lost_write(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    wr(3, 4, 2, 11);
    rd(5, 6, 3, 10);
    BAD();
}

static void checker__lost_first_write(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    rd(3, 4, 1, 0);
    BAD();
}

static void checker__value_from_nowhere(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    rd(3, 4, 1, 12);
    BAD();
}

static void checker__value_from_the_future(void **state)
{
    (void)state;
    rd(1, 2, 5, 10);
    wr(3, 4, 5, 10);
    BAD();
}

static void checker__two_cas_from_one_value(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    cas(3, 9, 2, 10, 11, HISTORY_CAS_DONE);
    cas(4, 8, 3, 10, 12, HISTORY_CAS_DONE);
    BAD();
}

static void checker__cas_refused_without_reason(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    cas(3, 4, 2, 10, 11, HISTORY_CAS_DIFFERS);
    BAD();
}

static void checker__cas_misses_what_is_there(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    cas(3, 4, 2, 10, 11, HISTORY_CAS_MISSING);
    BAD();
}

static void checker__cas_that_creates_cannot_miss(void **state)
{
    (void)state;
    cas_create(3, 4, 2, 10, 11, HISTORY_CAS_MISSING);
    BAD();
}

static void checker__cas_done_on_nothing(void **state)
{
    (void)state;
    cas(3, 4, 2, 10, 11, HISTORY_CAS_DONE);
    BAD();
}

static void checker__refused_cas_took_effect(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    cas(3, 4, 2, 9, 11, HISTORY_CAS_DIFFERS);
    rd(5, 6, 2, 11);
    BAD();
}

static void checker__delete_that_was_undone(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    del(3, 4, 2, true);
    rd(5, 6, 2, 10);
    BAD();
}

static void checker__deleted_twice(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    del(3, 10, 2, true);
    del(4, 9, 3, true);
    BAD();
}

/* ---- unknown outcomes ---- */

static void checker__unknown_write_that_happened(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    wr(3, NEVER, 0, 11);
    rd(5, 6, 1, 10); /* not yet */
    rd(7, 8, 2, 11);
    wr(9, 10, 3, 12);
    rd(11, 12, 3, 12);
    GOOD();
}

static void checker__unknown_write_that_did_not_happen(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    wr(3, NEVER, 0, 11);
    rd(5, 6, 1, 10);
    rd(1000, 1001, 1, 10);
    GOOD();
}

static void checker__unknown_write_happens_once(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    wr(3, NEVER, 0, 11);
    rd_of(5, 6, 2, 11, 2);
    wr(7, 8, 3, 12);
    rd_of(9, 10, 4, 11, 4); /* applied twice */
    BAD();
}

static void checker__unknown_write_not_before_its_call(void **state)
{
    (void)state;
    rd_of(1, 2, 2, 11, 2);
    wr(3, NEVER, 0, 11);
    BAD();
}

static void checker__unknown_write_cannot_be_older_than_its_call(void **state)
{
    (void)state;
    wr(1, 2, 5, 10);
    wr(3, NEVER, 0, 11);
    rd_of(4, 5, 6, 11, 4); /* an entry below what was acknowledged before */
    expect(CHECK_BAD, CHECK_GOOD);
}

static void checker__unknown_cas(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    cas(3, NEVER, 0, 10, 11, HISTORY_CAS_DONE);
    rd_of(4, 5, 2, 11, 2);
    cas(6, NEVER, 0, 99, 12, HISTORY_CAS_DONE); /* can never fit */
    rd(7, 8, 2, 11);
    GOOD();
    rd_of(9, 10, 3, 12, 3);
    BAD();
}

static void checker__unknown_delete(void **state)
{
    (void)state;
    wr(1, 2, 1, 10);
    del(3, NEVER, 0, false);
    rd(4, 5, 1, 10);
    rd(6, 7, 2, 0);
    GOOD();
    rd(8, 9, 3, 10);
    expect(CHECK_GOOD, CHECK_BAD); /* A sees that something is unsure, and says nothing */
}

static void checker__several_unknown_ones_in_any_order(void **state)
{
    (void)state;
    wr(1, NEVER, 0, 11);
    wr(2, NEVER, 0, 12);
    wr(3, NEVER, 0, 13);
    wr(4, NEVER, 0, 14);
    rd_of(5, 6, 1, 13, 1);
    rd_of(7, 8, 2, 11, 2);
    cas(9, 10, 4, 11, 15, HISTORY_CAS_DIFFERS); /* 12 or 14 came between */
    rd_of(11, 12, 5, 12, 5);
    GOOD();
    rd_of(13, 14, 6, 13, 6);
    BAD();
}

/* ---- what only the indexes tell ---- */

static void checker__index_goes_back(void **state)
{
    (void)state;
    wr(1, 2, 7, 10);
    rd(3, 4, 6, 10); /* the right value from a state that did not have it */
    expect(CHECK_BAD, CHECK_GOOD);
}

static void checker__one_index_for_two(void **state)
{
    (void)state;
    wr(1, 9, 2, 10);
    wr(2, 8, 2, 11);
    expect(CHECK_BAD, CHECK_GOOD);
}

static void checker__read_by_entry_is_an_entry(void **state)
{
    size_t r;

    (void)state;
    wr(1, 2, 2, 10);
    r = rd(3, 4, 3, 10);
    h.ops[r].own_entry = true;
    GOOD();
    h.ops[r].index = 2;
    expect(CHECK_BAD, CHECK_GOOD);
}

static void checker__local_reads_may_be_old_but_not_wrong(void **state)
{
    size_t r;

    (void)state;
    wr(1, 2, 1, 10);
    wr(3, 4, 2, 11);
    r = local(5, 6, 1, 10);
    GOOD();
    h.ops[r].index = 2;
    expect(CHECK_BAD, CHECK_GOOD);
}

static void checker__a_shown_state_binds_later_reads(void **state)
{
    (void)state;
    wr(1, 100, 5, 10);
    local(2, 3, 5, 10);
    rd(4, 5, 4, 0);
    expect(CHECK_BAD, CHECK_GOOD);
}

/* ---- random ones ---- */

#define N_CLIENTS 5u

/* Each operation takes effect at a moment between its call and its return; what it answers is what
 * it found then. */
/* ---- judge C ---- */

#define AGE 1000u

static size_t aged(uint64_t call, uint64_t ret, uint64_t index, uint64_t value)
{
    return add(HISTORY_LOCAL, call, ret, index,
               (struct history_op){.value = value, .stale_ns = AGE});
}

static size_t with_token(uint64_t call, uint64_t ret, uint64_t index, uint64_t value,
                         uint16_t session)
{
    return add(HISTORY_LOCAL, call, ret, index,
               (struct history_op){.value = value, .session = session, .has_token = true});
}

static size_t rd_in(uint64_t call, uint64_t ret, uint64_t index, uint64_t value, uint16_t session)
{
    return add(HISTORY_READ, call, ret, index,
               (struct history_op){.value = value, .session = session});
}

static void expect_old(enum check_result want, size_t culprit)
{
    struct check_verdict v;

    history_check_old(&h, &v);
    assert_int_equal(v.result, want);
    if (want == CHECK_BAD)
        assert_int_equal(v.culprit, culprit);
}

static void expect_a(enum check_result want)
{
    struct check_verdict v;

    history_check_index(&h, &v);
    assert_int_equal(v.result, want);
}

/* What was written over when the age began is too old, by values and by indexes. */
static void checker__aged_read_of_what_was_written_over(void **state)
{
    size_t bad;

    (void)state;
    (void)wr(100, 200, 5, 1);
    (void)wr(300, 400, 6, 2);
    (void)aged(400 + AGE, 2000, 5, 1); /* it may just have been so */
    expect_old(CHECK_GOOD, 0);
    expect_a(CHECK_GOOD);
    bad = aged(401 + AGE, 2000, 5, 1);
    expect_old(CHECK_BAD, bad);
    expect_a(CHECK_BAD);
}

static void checker__aged_read_that_lies_about_its_index(void **state)
{
    size_t bad;

    (void)state;
    (void)wr(100, 200, 0, 1);
    (void)wr(300, 400, 0, 2);
    bad = aged(401 + AGE, 2000, 0, 1);
    expect_a(CHECK_GOOD); /* it believes indexes, and there are none */
    expect_old(CHECK_BAD, bad);
}

static void checker__aged_read_of_nothing(void **state)
{
    size_t bad;

    (void)state;
    (void)wr(100, 200, 0, 1);
    (void)aged(200 + AGE, 2000, 0, 0);
    expect_old(CHECK_GOOD, 0);
    (void)del(500, 600, 0, true);
    (void)aged(601 + AGE, 2000, 0, 0);
    expect_old(CHECK_GOOD, 0);
    (void)wr(700, 800, 0, 2);
    (void)aged(800 + AGE, 2000, 0, 0);
    expect_old(CHECK_GOOD, 0);
    bad = aged(801 + AGE, 2000, 0, 0);
    expect_old(CHECK_BAD, bad);
}

/* Overlapping writes may have come in either order, and an unknown one at any time. */
static void checker__aged_read_may_be_of_the_later_of_two(void **state)
{
    (void)state;
    (void)wr(100, 400, 0, 1);
    (void)wr(300, 350, 0, 2);
    (void)aged(5000, 5100, 0, 1);
    (void)wr(200, NEVER, 0, 3);
    (void)aged(5000, 5100, 0, 3);
    expect_old(CHECK_GOOD, 0);
}

static void checker__session_goes_back_by_index(void **state)
{
    size_t bad;

    (void)state;
    (void)rd_in(100, 200, 7, 0, 1);
    (void)with_token(150, 300, 5, 0, 1); /* asked before that was told */
    (void)with_token(250, 300, 5, 0, 2); /* another one */
    expect_old(CHECK_GOOD, 0);
    bad = with_token(250, 300, 6, 0, 1);
    expect_old(CHECK_BAD, bad);
}

static void checker__session_goes_back_by_value(void **state)
{
    size_t bad;

    (void)state;
    (void)wr(100, 200, 0, 1);
    (void)wr(300, 400, 0, 2);
    (void)rd_in(500, 600, 0, 2, 1);
    (void)with_token(700, 800, 0, 1, 2);
    expect_old(CHECK_GOOD, 0);
    bad = with_token(700, 800, 0, 1, 1);
    expect_old(CHECK_BAD, bad);
}

static void checker__session_sees_what_it_wrote(void **state)
{
    size_t bad;

    (void)state;
    (void)wr(100, 200, 0, 1);
    (void)add(HISTORY_WRITE, 300, 400, 0, (struct history_op){.value = 2, .session = 3});
    bad = with_token(500, 600, 0, 1, 3);
    expect_old(CHECK_BAD, bad);
}

static void make_history(struct prng *p, unsigned n_ops, unsigned unknown_percent)
{
    uint64_t busy_until[N_CLIENTS] = {0};
    struct {
        uint64_t at;
        size_t op;
    } points[2000];
    uint64_t now = 10;
    uint64_t value = 0;
    uint64_t state = 0;
    uint64_t index = 0;
    uint64_t modify = 0;

    assert_true(n_ops <= 2000);
    for (unsigned i = 0; i < n_ops; i++) {
        unsigned client = (unsigned)prng_below(p, N_CLIENTS);
        uint64_t call = now > busy_until[client] ? now : busy_until[client] + 1;
        uint64_t ret = call + 1 + prng_below(p, 100);
        struct history_op op = {.key = KEY,
                                .client = (uint16_t)client,
                                .call_ns = call,
                                .ret_ns = ret,
                                .value = ++value};
        unsigned what = (unsigned)prng_below(p, 10);

        op.kind = what < 3   ? HISTORY_WRITE
                  : what < 5 ? HISTORY_CAS
                  : what < 6 ? HISTORY_DELETE
                             : HISTORY_READ;
        op.from = 1 + prng_below(p, value);
        op.create = prng_below(p, 4) == 0;
        busy_until[client] = ret;
        now += prng_below(p, 40);
        points[i].at = call + prng_below(p, ret - call);
        points[i].op = history_add(&h, &op);
    }
    for (unsigned i = 1; i < n_ops; i++) /* by moment */
        for (unsigned k = i; k > 0 && points[k].at < points[k - 1].at; k--) {
            uint64_t at = points[k].at;
            size_t op = points[k].op;

            points[k] = points[k - 1];
            points[k - 1].at = at;
            points[k - 1].op = op;
        }
    for (unsigned i = 0; i < n_ops; i++) {
        struct history_op *op = &h.ops[points[i].op];
        const bool unsure = op->kind != HISTORY_READ && prng_below(p, 100) < unknown_percent;
        const bool happens = !unsure || prng_below(p, 2) == 0;
        bool fits;

        if (op->kind == HISTORY_CAS && prng_below(p, 2) == 0 && state != 0)
            op->from = state;
        fits = state == op->from ? state != 0 : state == 0 && op->create;
        if (op->kind != HISTORY_READ)
            index++;
        op->index = index;
        if (op->kind == HISTORY_CAS)
            op->result = fits         ? HISTORY_CAS_DONE
                         : state == 0 ? HISTORY_CAS_MISSING
                                      : HISTORY_CAS_DIFFERS;
        op->existed = state != 0;
        if (op->kind == HISTORY_READ) {
            op->value = state;
            op->modify = state != 0 ? modify : 0;
        } else if (happens && (op->kind != HISTORY_CAS || fits)) {
            state = op->kind == HISTORY_DELETE ? 0 : op->value;
            modify = index;
        }
        if (unsure) {
            op->outcome = HISTORY_UNKNOWN;
            op->ret_ns = NEVER;
            op->index = 0;
        }
    }
}

static void checker__random_good_histories(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 1);
    for (unsigned i = 0; i < 60; i++) {
        make_history(&p, 400, i % 3);
        GOOD();
        h.n = 0;
    }
    make_history(&p, 2000, 1);
    GOOD();
}

/* A read that returns what had been overwritten before it was asked, by a write with a known
 * outcome and in every order: certainly wrong. */
static bool plant_stale_read(struct prng *p)
{
    for (unsigned tries = 0; tries < 2000; tries++) {
        struct history_op *r = &h.ops[prng_below(p, h.n)];
        struct history_op *old = &h.ops[prng_below(p, h.n)];

        if (r->kind != HISTORY_READ || old->kind != HISTORY_WRITE || old->outcome != HISTORY_OK)
            continue;
        for (size_t i = 0; i < h.n; i++) {
            const struct history_op *over = &h.ops[i];

            if (over->kind == HISTORY_WRITE && over->outcome == HISTORY_OK &&
                over->call_ns > old->ret_ns && over->ret_ns < r->call_ns) {
                r->value = old->value;
                r->modify = old->index;
                return true;
            }
        }
    }
    return false;
}

static void checker__random_histories_with_one_stale_read(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 2);
    for (unsigned i = 0; i < 60; i++) {
        make_history(&p, 300, i % 3);
        assert_true(plant_stale_read(&p));
        BAD();
        h.n = 0;
    }
}

static void checker__lost_writes_in_random_histories(void **state)
{
    unsigned n_found = 0;
    struct prng p;

    (void)state;
    prng_init(&p, 3);
    for (unsigned i = 0; i < 60; i++) {
        struct check_verdict v;

        make_history(&p, 300, 0);
        /* An acknowledged delete that found something says that it found nothing. */
        for (size_t k = 100; k < h.n; k++)
            if (h.ops[k].kind == HISTORY_DELETE && h.ops[k].existed) {
                h.ops[k].existed = false;
                break;
            }
        if (judge_a(&v) == CHECK_BAD)
            n_found++;
        /* B may explain it by another order; A knows the order. */
        h.n = 0;
    }
    assert_true(n_found > 50);
}

/* ---- timelines ---- */

static void checker__timeline_names_the_culprit(void **state)
{
    struct check_verdict v;
    cleanup_free char *text = NULL;
    cleanup_free char *page = NULL;
    size_t size = 0;
    FILE *f;

    (void)state;
    wr(1000000, 2000000, 1, 10);
    wr(3000000, 4000000, 2, 11);
    wr(3500000, NEVER, 0, 12);
    rd(5000000, 6000000, 2, 10);
    assert_int_equal(judge_b(&v), CHECK_BAD);
    f = open_memstream(&text, &size);
    assert_non_null(f);
    history_print_timeline(&h, &v, "seed 1", NULL, f);
    (void)fclose(f);
    assert_non_null(strstr(text, ">>        4.000        5.000"));
    assert_non_null(strstr(text, "write 12 -> ?"));
    f = open_memstream(&page, &size);
    assert_non_null(f);
    history_print_html(&h, &v, "seed <1>", NULL, f);
    (void)fclose(f);
    assert_non_null(strstr(page, "seed &lt;1&gt;"));
    assert_non_null(strstr(page, "class=\"culprit\""));
    assert_non_null(strstr(page, "class=\"unknown\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- judge Z ---- */

static enum check_result zones(void)
{
    struct check_verdict v;

    history_check_zones(&h, 0, &v);
    return v.result;
}

/* What B finds by search. */
static void checker__zones_see_old_reads(void **state)
{
    struct check_verdict v;

    (void)state;
    (void)wr(0, 10, 0, 1);
    (void)wr(20, 30, 0, 2);
    (void)rd(40, 50, 0, 2);
    assert_int_equal(zones(), CHECK_GOOD);
    const size_t old = rd(60, 70, 0, 1);

    history_check_zones(&h, 0, &v);
    assert_int_equal(v.result, CHECK_BAD);
    assert_int_equal(v.culprit, old);
    assert_int_equal(v.key, KEY);
}

static void checker__zones_of_what_was_there_before(void **state)
{
    struct check_verdict v;

    (void)state;
    (void)rd(0, 5, 0, 7);
    (void)wr(4, 10, 0, 1);
    (void)rd(6, 12, 0, 7);
    history_check_zones(&h, 7, &v);
    assert_int_equal(v.result, CHECK_GOOD);
    (void)rd(11, 14, 0, 7);
    history_check_zones(&h, 7, &v);
    assert_int_equal(v.result, CHECK_BAD);
    assert_int_equal(zones(), CHECK_BAD); /* 7 was never written */
}

static void checker__zones_give_up_on_more_than_a_register(void **state)
{
    (void)state;
    (void)wr(0, 10, 0, 1);
    (void)del(20, 30, 0, true);
    assert_int_equal(zones(), CHECK_GAVE_UP);
}

/* LOAD-4: small histories of every kind, right and wrong: two judges that know nothing of each other. */
static void checker__zones_and_search_agree(void **state)
{
    unsigned n[2] = {0, 0};
    struct prng p;

    (void)state;
    prng_init(&p, 20260730);
    for (unsigned round = 0; round < 20000; round++) {
        const unsigned n_writes = 1 + (unsigned)prng_below(&p, 4);
        const unsigned n_reads = (unsigned)prng_below(&p, 6);
        struct check_verdict b;
        struct check_verdict z;

        history_done(&h);
        for (unsigned i = 0; i < n_writes + n_reads; i++) {
            const uint64_t call = prng_below(&p, 24);
            const uint64_t ret = call + prng_below(&p, 8);

            if (i < n_writes)
                (void)wr(call, prng_below(&p, 6) == 0 ? NEVER : ret, 0, i + 1);
            else
                (void)rd(call, ret, 0, prng_below(&p, n_writes + 1));
        }
        history_check_keys(&h, &b);
        history_check_zones(&h, 0, &z);
        if (b.result != z.result)
            history_print_timeline(&h, b.result == CHECK_BAD ? &b : &z, z.why, NULL, stderr);
        assert_int_equal(b.result, z.result);
        n[b.result == CHECK_GOOD]++;
    }
    assert_true(n[0] > 2000);
    assert_true(n[1] > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checker__nothing_is_good),
        TEST(checker__one_after_the_other),
        TEST(checker__overlapping_may_go_either_way),
        TEST(checker__overlapping_reads_see_one_order),
        TEST(checker__touching_times_count_as_overlapping),
        TEST(checker__keys_are_apart),
        TEST(checker__stale_read),
        TEST(checker__read_before_the_write_was_known),
        TEST(checker__lost_write),
        TEST(checker__lost_first_write),
        TEST(checker__value_from_nowhere),
        TEST(checker__value_from_the_future),
        TEST(checker__two_cas_from_one_value),
        TEST(checker__cas_refused_without_reason),
        TEST(checker__cas_misses_what_is_there),
        TEST(checker__cas_that_creates_cannot_miss),
        TEST(checker__cas_done_on_nothing),
        TEST(checker__refused_cas_took_effect),
        TEST(checker__delete_that_was_undone),
        TEST(checker__deleted_twice),
        TEST(checker__unknown_write_that_happened),
        TEST(checker__unknown_write_that_did_not_happen),
        TEST(checker__unknown_write_happens_once),
        TEST(checker__unknown_write_not_before_its_call),
        TEST(checker__unknown_write_cannot_be_older_than_its_call),
        TEST(checker__unknown_cas),
        TEST(checker__unknown_delete),
        TEST(checker__several_unknown_ones_in_any_order),
        TEST(checker__index_goes_back),
        TEST(checker__one_index_for_two),
        TEST(checker__read_by_entry_is_an_entry),
        TEST(checker__local_reads_may_be_old_but_not_wrong),
        TEST(checker__a_shown_state_binds_later_reads),
        TEST(checker__aged_read_of_what_was_written_over),
        TEST(checker__aged_read_that_lies_about_its_index),
        TEST(checker__aged_read_of_nothing),
        TEST(checker__aged_read_may_be_of_the_later_of_two),
        TEST(checker__session_goes_back_by_index),
        TEST(checker__session_goes_back_by_value),
        TEST(checker__session_sees_what_it_wrote),
        TEST(checker__random_good_histories),
        TEST(checker__random_histories_with_one_stale_read),
        TEST(checker__lost_writes_in_random_histories),
        TEST(checker__timeline_names_the_culprit),
        TEST(checker__zones_see_old_reads),
        TEST(checker__zones_of_what_was_there_before),
        TEST(checker__zones_give_up_on_more_than_a_register),
        TEST(checker__zones_and_search_agree),
    };

    return cmocka_run_group_tests_name("checker", tests, NULL, NULL);
}
