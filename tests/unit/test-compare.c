/* compare_read_methods: what makes an answer wrong, each thing alone. A run over a whole cluster
 * never sees most of them, so a check that went missing would go unnoticed there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "service/compare_int.h"

#include "base/banned.h"

#define ACKED    40u /* when the read began */
#define PROPOSED 44u /* when it ended */
#define TERM     7u
#define COMMIT   17u /* known here when the read began */
#define ALL                                                                                        \
    (WIRE_VIA_READ_INDEX | WIRE_VIA_LOG | WIRE_VIA_LEASE | WIRE_VIA_FOLLOWER | WIRE_VIA_BOUNDED |  \
     WIRE_VIA_LOCAL)

struct rig {
    struct service *service;
    struct compare *c;
    const char *text; /* what the state says; NULL: no such key */
    int get_error;
    uint64_t now_us;
    unsigned n_events;
    char last[128];
};

static void rig_event(void *ctx, enum log_level level, const char *event, const char *text)
{
    struct rig *rig = ctx;

    assert_int_equal(level, LOG_ERROR);
    assert_string_equal(event, "compare_violation");
    rig->n_events++;
    (void)snprintf(rig->last, sizeof(rig->last), "%s", text);
}

static uint64_t rig_now(void *ctx)
{
    return ((struct rig *)ctx)->now_us;
}

static int rig_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    struct rig *rig = ctx;

    assert_int_equal(key.len, rig->c->key.len);
    *ret_value = (struct command_value){0};
    if (rig->text != NULL)
        *ret_value = (struct command_value){.exists = true, .text = {rig->text, strlen(rig->text)}};
    return rig->get_error;
}

static void rig_init(struct rig *rig)
{
    const struct service_conf conf = {.node_name = "n1", .cluster_name = "c", .seed = 3};
    const struct service_ops ops = {.ctx = rig, .now_us = rig_now, .event = rig_event};

    memset(rig, 0, sizeof(*rig));
    assert_int_equal(service_new(&conf, &ops, &rig->service), 0);
    rig->c = calloc(1, sizeof(*rig->c));
    assert_non_null(rig->c);
    rig->c->service = rig->service;
    rig->c->is_right = true;
    rig->c->writes = true;
    rig->c->max_stale_us = 50000;
    rig->c->acked = ACKED + 2;
    rig->c->proposed = PROPOSED;
    wire_key_set_internal(&rig->c->key, "compare");
    assert_int_equal(compare_measure_init(rig->c, 10, ALL), 0);
}

static void rig_done(struct rig *rig)
{
    compare_free(rig->c);
    service_free(rig->service);
}

/* A read that nothing is wrong with. */
static struct compare_read read_of(enum compare_method method)
{
    return (struct compare_read){.method = method,
                                 .counted = true,
                                 .acked = ACKED,
                                 .commit = COMMIT,
                                 .term = TERM,
                                 .begun_us = 1000000};
}

/* What it comes back with when nothing is wrong. */
static struct replica_view view_of(struct rig *rig, enum compare_method method)
{
    struct replica_view view = {
        .last_applied = {TERM, COMMIT}, .read_index = COMMIT, .get = rig_get, .ctx = rig};

    switch (method) {
    case COMPARE_INDEX:
        view.proof = REPLICA_PROOF_ROUND;
        view.round = 9;
        view.arrival_round = 8;
        break;
    case COMPARE_LOG:
        view.proof = REPLICA_PROOF_MARKER;
        view.entry = view.last_applied;
        break;
    case COMPARE_LEASE:
        view.proof = REPLICA_PROOF_LEASE;
        view.look = 3;
        view.arrival_look = 2;
        break;
    case COMPARE_FOLLOWER:
        view.proof = REPLICA_PROOF_LEADER;
        view.ticket = 5;
        view.answered = 5;
        break;
    case COMPARE_BOUNDED:
        view.proof = REPLICA_PROOF_STAMP;
        view.staleness_us = 20000;
        return view;
    case COMPARE_LOCAL:
        return view;
    }
    view.term = TERM;
    return view;
}

static void assert_right(struct rig *rig)
{
    assert_true(rig->c->is_right);
    assert_int_equal(rig->n_events, 0);
}

static void assert_wrong(struct rig *rig, const char *why)
{
    assert_false(rig->c->is_right);
    assert_int_equal(rig->n_events, 1);
    assert_non_null(strstr(rig->last, why));
    rig->c->is_right = true;
    rig->n_events = 0;
}

static const enum compare_method promising[] = {COMPARE_INDEX, COMPARE_LOG, COMPARE_LEASE,
                                                COMPARE_FOLLOWER};
#define N_PROMISING (sizeof(promising) / sizeof(promising[0]))

/* From the last value acknowledged before it began to the last proposed before it ended: right. */
static void compare__every_value_in_between_is_right(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    for (unsigned method = 0; method < COMPARE_METHODS; method++) {
        for (unsigned value = ACKED; value <= PROPOSED; value++) {
            const struct compare_read read = read_of((enum compare_method)method);
            const struct replica_view view = view_of(&rig, (enum compare_method)method);
            char text[24];

            (void)snprintf(text, sizeof(text), "%u", value);
            rig.text = text;
            compare_judge(rig.c, &read, &view);
            assert_right(&rig);
            assert_int_equal(rig.c->methods[method].n_stale, 0);
        }
    }
    rig_done(&rig);
}

/* READ-1: one less than what was acknowledged is stale, by any method; one more than was ever
 * proposed comes from nowhere. */
static void compare__values_of_all_are_held_against_the_writer(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    for (size_t i = 0; i < N_PROMISING; i++) {
        const struct compare_read read = read_of(promising[i]);
        const struct replica_view view = view_of(&rig, promising[i]);

        rig.text = "39";
        compare_judge(rig.c, &read, &view);
        assert_wrong(&rig, "less than the last value acknowledged");
        assert_int_equal(rig.c->methods[promising[i]].n_stale, 1);
        rig.text = "45";
        compare_judge(rig.c, &read, &view);
        assert_wrong(&rig, "never proposed");
        assert_int_equal(rig.c->methods[promising[i]].n_stale, 1);
    }
    rig_done(&rig);
}

/* READ-9: what was confirmed in another term than it began in has passed through a loss of
 * leadership, and should have failed. */
static void compare__the_term_of_all_is_checked(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.text = "40";
    for (size_t i = 0; i < N_PROMISING; i++) {
        const struct compare_read read = read_of(promising[i]);
        struct replica_view view = view_of(&rig, promising[i]);

        view.term = TERM + 1;
        compare_judge(rig.c, &read, &view);
        assert_wrong(&rig, "another term");
        view.term = TERM - 1;
        compare_judge(rig.c, &read, &view);
        assert_wrong(&rig, "another term");
    }
    rig_done(&rig);
}

/* READ-6, LEASE-9, FOLLOW-1: what was found before the read came proves nothing about it. */
static void compare__the_proof_is_checked(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.text = "40";
    for (size_t i = 0; i < N_PROMISING; i++) {
        const struct compare_read read = read_of(promising[i]);
        struct replica_view view = view_of(&rig, promising[i]);

        compare_judge(rig.c, &read, &view);
        assert_right(&rig);
        view.arrival_round = view.round;
        view.arrival_look = view.look;
        view.ticket = view.answered + 1;
        view.entry.index++;
        compare_judge(rig.c, &read, &view);
        assert_wrong(&rig, promising[i] == COMPARE_INDEX ? "open when it arrived"
                                                         : "without what proves it");
        view = view_of(&rig, promising[i]);
        view.proof = REPLICA_PROOF_NONE;
        compare_judge(rig.c, &read, &view);
        assert_false(rig.c->is_right);
        rig.c->is_right = true;
        rig.n_events = 0;
    }
    rig_done(&rig);
}

/* READ-1: what was known here to be committed, whoever wrote it. */
static void compare__what_was_committed_must_be_there(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.text = "40";
    for (size_t i = 0; i < N_PROMISING; i++) {
        const struct compare_read read = read_of(promising[i]);
        struct replica_view view = view_of(&rig, promising[i]);

        view.last_applied.index = view.read_index = view.entry.index = COMMIT - 1;
        compare_judge(rig.c, &read, &view);
        assert_wrong(&rig, "lacked what was committed");
        assert_int_equal(rig.c->methods[promising[i]].n_stale, 1);
    }
    rig_done(&rig);
}

/* READ-1: what any of them has shown the next one shows, too. */
static void compare__what_was_shown_stays(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.text = "43";
    for (size_t i = 0; i < N_PROMISING; i++) {
        const struct compare_read read = read_of(promising[i]);
        const struct replica_view view = view_of(&rig, promising[i]);

        rig.c->seen = 0;
        compare_judge(rig.c, &read, &view);
        assert_right(&rig);
        assert_int_equal(rig.c->seen, 43);
    }
    assert_int_equal(rig.c->n_seen, N_PROMISING);
    rig_done(&rig);
}

/* BOUND-1: no older than its bound, and than it says: what was known that long before it began is
 * there. What is forgotten is demanded of nobody. */
static void compare__bounded_reads_are_held_against_the_past(void **state)
{
    const struct compare_read read = read_of(COMPARE_BOUNDED);
    struct replica_view view;
    struct rig rig;

    (void)state;
    rig_init(&rig);
    view = view_of(&rig, COMPARE_BOUNDED);
    for (unsigned i = 0; i < 5; i++) { /* 940, 960, 980, 1000, 1020 ms: 36 .. 40, 13 .. 17 */
        rig.now_us = 940000 + 20000 * i;
        rig.c->acked = 36 + i;
        compare_learn(rig.c, 13 + i);
        compare_learn(rig.c, 1000); /* not so soon again */
    }
    assert_int_equal(rig.c->n_facts, 5);
    view.last_applied.index = 15;
    rig.text = "38";
    compare_judge(rig.c, &read, &view);
    assert_right(&rig);
    assert_int_equal(rig.c->methods[COMPARE_BOUNDED].n_stale, 1); /* that is allowed */
    rig.text = "37";
    compare_judge(rig.c, &read, &view);
    assert_wrong(&rig, "older than it said");
    rig.text = "38";
    view.last_applied.index = 14;
    compare_judge(rig.c, &read, &view);
    assert_wrong(&rig, "older than it said");
    view.staleness_us = 19001; /* told as 20 ms */
    view.last_applied.index = 15;
    compare_judge(rig.c, &read, &view);
    assert_right(&rig);
    view.staleness_us = 50001;
    compare_judge(rig.c, &read, &view);
    assert_wrong(&rig, "older than its bound");
    view.staleness_us = 0;
    view.proof = REPLICA_PROOF_NONE;
    rig.text = "40";
    view.last_applied.index = COMMIT;
    compare_judge(rig.c, &read, &view);
    assert_wrong(&rig, "older than its bound");
    rig.c->n_facts = 0;
    rig.text = "0";
    view = view_of(&rig, COMPARE_BOUNDED);
    compare_judge(rig.c, &read, &view);
    assert_right(&rig);
    rig_done(&rig);
}

/* A node that does not lead knows of no acknowledgement: nothing need be written, any term is
 * right, and what it knows counts all the same. */
static void compare__without_a_writer_less_is_known(void **state)
{
    struct compare_read read = read_of(COMPARE_FOLLOWER);
    struct replica_view view;
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.c->writes = false;
    rig.c->proposed = 0;
    view = view_of(&rig, COMPARE_FOLLOWER);
    view.term = TERM + 1;
    read.acked = 0;
    compare_judge(rig.c, &read, &view);
    assert_right(&rig);
    rig.text = "99";
    compare_judge(rig.c, &read, &view);
    assert_right(&rig);
    read.acked = rig.c->seen;
    rig.text = "98";
    compare_judge(rig.c, &read, &view);
    assert_wrong(&rig, "less than the last value");
    rig_done(&rig);
}

static void compare__what_cannot_be_read_back_is_wrong(void **state)
{
    static const char *const texts[] = {NULL, "123456789012345678901234567890"};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    for (unsigned method = 0; method < COMPARE_METHODS; method++) {
        const struct compare_read read = read_of((enum compare_method)method);
        const struct replica_view view = view_of(&rig, (enum compare_method)method);

        for (size_t i = 0; i < 2; i++) {
            rig.text = texts[i];
            assert_true(compare_judge(rig.c, &read, &view));
            assert_wrong(&rig, "could not be read back");
        }
        rig.text = "40";
        rig.get_error = 1;
        assert_false(compare_judge(rig.c, &read, &view));
        assert_right(&rig); /* damage may be the reason */
        compare_unread(rig.c);
        assert_wrong(&rig, "could not be read back");
        rig.get_error = 0;
    }
    rig_done(&rig);
}

/* A local read promises nothing: it is counted as stale, and nobody is blamed. */
static void compare__local_reads_are_counted_not_judged(void **state)
{
    const struct compare_read read = read_of(COMPARE_LOCAL);
    struct replica_view view;
    struct rig rig;

    (void)state;
    rig_init(&rig);
    view = view_of(&rig, COMPARE_LOCAL);
    rig.text = "39";
    compare_judge(rig.c, &read, &view);
    assert_right(&rig);
    assert_int_equal(rig.c->methods[COMPARE_LOCAL].n_stale, 1);
    rig_done(&rig);
}

/* Log batches by the turn of the marker, rounds by their number: what is shared is counted once. */
static void compare__cost_is_counted_once(void **state)
{
    struct compare_read index = read_of(COMPARE_INDEX);
    struct compare_read log = read_of(COMPARE_LOG);
    struct compare_read lease = read_of(COMPARE_LEASE);
    struct replica_view by_lease;
    struct replica_view view;
    struct rig rig;

    (void)state;
    rig_init(&rig);
    view = view_of(&rig, COMPARE_INDEX);
    rig.now_us = 1000;
    for (unsigned i = 0; i < 6; i++) {
        log.turn = 3 + i / 3;
        view.round = 20 + i / 2;
        lease.begun_us = log.begun_us = index.begun_us = 1000 - 100 * i;
        compare_count(rig.c, &log, &view);
        compare_count(rig.c, &index, &view);
        by_lease = view_of(&rig, i < 4 ? COMPARE_LEASE : COMPARE_INDEX);
        compare_count(rig.c, &lease, &by_lease);
    }
    assert_int_equal(rig.c->done, 18);
    assert_int_equal(rig.c->methods[COMPARE_LEASE].n_fallbacks, 2);
    assert_int_equal(rig.c->methods[COMPARE_LEASE].n_rounds, 1);
    assert_int_equal(rig.c->methods[COMPARE_INDEX].n_fallbacks, 0);
    assert_int_equal(rig.c->methods[COMPARE_LOG].n_entries, 6);
    assert_int_equal(rig.c->methods[COMPARE_LOG].n_batches, 2);
    assert_int_equal(rig.c->methods[COMPARE_LOG].n_rounds, 0);
    assert_int_equal(rig.c->methods[COMPARE_INDEX].n_rounds, 3);
    assert_int_equal(rig.c->methods[COMPARE_INDEX].n_entries, 0);
    assert_int_equal(rig.c->methods[COMPARE_INDEX].sum_us, 1500);
    assert_int_equal(rig.c->methods[COMPARE_INDEX].us[5], 500);
    rig_done(&rig);
}

/* As many of each method as were ordered, the uncounted ones first. */
static void compare__picks_what_was_ordered(void **state)
{
    unsigned counted[COMPARE_METHODS] = {0};
    unsigned warm_up[COMPARE_METHODS] = {0};
    enum compare_method method;
    bool is_counted;
    struct rig rig;
    bool any = false;

    (void)state;
    rig_init(&rig);
    assert_int_equal(rig.c->total, 10 * COMPARE_METHODS);
    while (compare_pick(rig.c, &method, &is_counted)) {
        assert_true(is_counted || !any);
        any = any || is_counted;
        (is_counted ? counted : warm_up)[method]++;
    }
    for (unsigned i = 0; i < COMPARE_METHODS; i++) {
        assert_int_equal(counted[i], 10);
        assert_int_equal(warm_up[i], 8);
    }
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare__every_value_in_between_is_right),
        cmocka_unit_test(compare__values_of_all_are_held_against_the_writer),
        cmocka_unit_test(compare__the_term_of_all_is_checked),
        cmocka_unit_test(compare__the_proof_is_checked),
        cmocka_unit_test(compare__what_was_committed_must_be_there),
        cmocka_unit_test(compare__what_was_shown_stays),
        cmocka_unit_test(compare__bounded_reads_are_held_against_the_past),
        cmocka_unit_test(compare__without_a_writer_less_is_known),
        cmocka_unit_test(compare__what_cannot_be_read_back_is_wrong),
        cmocka_unit_test(compare__local_reads_are_counted_not_judged),
        cmocka_unit_test(compare__cost_is_counted_once),
        cmocka_unit_test(compare__picks_what_was_ordered),
    };

    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
