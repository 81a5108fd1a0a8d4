/* A log that begins above 1: what is at or below its base is committed and compacted, and
 * "compacted" is another answer than "there is none" (LOG-9). Node 1 is real, the others are
 * puppets. */
#include "raft-fixture.h"

#include "raft/log_int.h"

#include "base/banned.h"

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

/* n1 of three with the log 1/1 (configuration) 1/2 2/3 2/4 4/5 4/6, beginning behind base. */
static void start_behind(raft_index base)
{
    static const raft_term terms[] = {1, 2, 2, 4, 4};

    fx_init(&fx, 3, 0, 1);
    fx_set_log(&fx, 1, terms, 5);
    fx_compact(&fx, 1, base);
    fx_start(&fx, 1);
}

static const struct raft_msg *answer(void)
{
    return fx_only(&fx, 1, 2, RAFT_MSG_APPEND_RESP);
}

/* ---- the log itself ---- */

static void raft__log_tells_none_from_compacted(void **state)
{
    static const struct raft_term_range terms[] = {{2, 4}, {4, 5}};
    struct raft_log l;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    assert_int_equal(raft_log_init(&l, mem_libc, (struct raft_entry_id){2, 3}, terms, 2, 6), 0);
    assert_true(raft_log_term(&l, 0) == RAFT_TERM_COMPACTED);
    assert_true(raft_log_term(&l, 2) == RAFT_TERM_COMPACTED);
    assert_true(raft_log_term(&l, 3) == 2); /* the base's own is kept */
    assert_true(raft_log_term(&l, 4) == 2);
    assert_true(raft_log_term(&l, 5) == 4);
    assert_true(raft_log_term(&l, 6) == 4);
    assert_true(raft_log_term(&l, 7) == RAFT_TERM_NONE);
    assert_int_equal(raft_log_first_of_term(&l, 4), 4); /* no further back than the log */
    assert_int_equal(raft_log_last_not_above(&l, 1), 0);
    assert_int_equal(raft_log_last_not_above(&l, 2), 4);
    assert_int_equal(raft_log_last_not_above(&l, 3), 4);
    assert_int_equal(raft_log_last_not_above(&l, 9), 6);
    raft_log_truncate(&l, 4);
    assert_int_equal(l.last_index, 3);
    assert_int_equal(raft_log_last(&l).term, 2);
    assert_int_equal(raft_log_last_not_above(&l, 2), 3); /* the base itself */
    assert_true(raft_log_term(&l, 4) == RAFT_TERM_NONE);
    raft_log_done(&l);
}

static void raft__log_without_a_base_has_nothing_at_zero(void **state)
{
    static const struct raft_term_range terms[] = {{1, 1}};
    struct raft_log l;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    assert_int_equal(raft_log_init(&l, mem_libc, (struct raft_entry_id){0, 0}, terms, 1, 1), 0);
    assert_true(raft_log_term(&l, 0) == RAFT_TERM_NONE);
    assert_true(raft_log_term(&l, 1) == 1);
    assert_true(raft_log_term(&l, 2) == RAFT_TERM_NONE);
    assert_int_equal(raft_log_last_not_above(&l, 0), 0);
    raft_log_done(&l);
}

/* ---- the start ---- */

static void raft__start_behind_a_base_must_not_contradict_itself(void **state)
{
    struct raft_config_at at[2] = {{.index = 2}, {.index = 7}};
    struct raft_term_range ranges[] = {{2, 5}, {3, 6}};
    struct raft_start good = {.hard_state = {.current_term = 3},
                              .base = {2, 4},
                              .last_index = 7,
                              .commit_index = 1, /* recorded long ago */
                              .last_applied = 5,
                              .terms = ranges,
                              .n_terms = 2,
                              .configs = at,
                              .n_configs = 2};
    struct raft_status s;
    struct raft_start bad;
    struct raft *r = NULL;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    at[0].configuration = at[1].configuration = fx.configuration;
    assert_int_equal(raft_new(&fx.nodes[1].conf, &good, 1, &r), 0);
    raft_check(r);
    raft_get_status(r, &s);
    assert_int_equal(s.base.index, 4);
    assert_int_equal(s.base.term, 2);
    assert_int_equal(s.commit_index, 5); /* what is applied is committed */
    assert_true(raft_term_at(r, 3) == RAFT_TERM_COMPACTED);
    assert_true(raft_term_at(r, 4) == 2);
    raft_free(r);
    r = NULL;
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        bad = good;                                                                                \
        change;                                                                                    \
        assert_int_equal(raft_new(&fx.nodes[1].conf, &bad, 1, &r), RAFT_E_INVALID);                \
        assert_null(r);                                                                            \
    } while (0)
    REFUSED(bad.base.index = 3); /* a gap before the first run */
    REFUSED(bad.base.index = 5);
    REFUSED(bad.base.term = 3); /* terms fall */
    REFUSED(bad.base.term = 0);
    REFUSED(bad.base = ((struct raft_entry_id){2, 0}));
    REFUSED(bad.last_applied = 3); /* the entry behind it is gone */
    REFUSED(bad.last_index = 3);
    REFUSED(bad.n_terms = 0);
    REFUSED(at[0].index = 5); /* nobody knows which one is in force at the base */
    at[0].index = 0;
    REFUSED((void)0);
    at[0].index = 4; /* at the base itself is well */
    assert_int_equal(raft_new(&fx.nodes[1].conf, &good, 1, &r), 0);
    raft_free(r);
    r = NULL;
    good.last_index = 4; /* nothing but the base */
    good.last_applied = 4;
    good.n_terms = 0;
    good.n_configs = 1;
    assert_int_equal(raft_new(&fx.nodes[1].conf, &good, 1, &r), 0);
    raft_check(r);
    raft_free(r);
    r = NULL;
    REFUSED(bad.n_terms = 1);
#undef REFUSED
}

/* A log that is all snapshot: it votes, is voted for, and takes entries behind its base. */
static void raft__log_of_nothing_but_its_base(void **state)
{
    static const raft_term next[] = {5};
    struct raft_msg m;

    (void)state;
    start_behind(6);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE, 3, 1, 5);
    m.prev = (struct raft_entry_id){4, 5}; /* shorter than our base */
    fx_inject_ok(&fx, &m);
    assert_true(fx_only(&fx, 1, 3, RAFT_MSG_PRE_VOTE_RESP)->reject);
    (void)fx_drop(&fx, 1, 3, FX_ANY);
    m.prev = (struct raft_entry_id){4, 6};
    fx_inject_ok(&fx, &m);
    assert_false(fx_only(&fx, 1, 3, RAFT_MSG_PRE_VOTE_RESP)->reject);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_PRE_VOTE)->prev.index, 6);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_PRE_VOTE)->prev.term, 4);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){4, 6}, next, 1, 7), 0);
    assert_false(answer()->reject);
    assert_int_equal(answer()->index, 7);
    assert_int_equal(fx_commit(&fx, 1), 7);
    assert_int_equal(fx_term_at(&fx, 1, 7), 5);
}

/* ---- appends ---- */

static void raft__append_at_the_base_is_checked_against_its_term(void **state)
{
    static const raft_term terms[] = {2, 5};

    (void)state;
    start_behind(3);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){1, 3}, terms, 2, 3),
                     RAFT_E_INVALID); /* the base is 2/3 and committed */
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){2, 3}, terms, 2, 3), 0);
    assert_int_equal(answer()->index, 5);
    assert_int_equal(fx_last(&fx, 1), 5); /* 4/5 gave way to 5/5, 2/4 agreed */
    assert_int_equal(fx_term_at(&fx, 1, 5), 5);
}

/* It begins below the base and reaches above it: what is below agrees, the rest is taken. */
static void raft__append_across_the_base_is_taken_from_there(void **state)
{
    static const raft_term terms[] = {2, 2, 4, 4, 5}; /* 3 .. 7 */

    (void)state;
    start_behind(4);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){1, 2}, terms, 5, 6), 0);
    assert_false(answer()->reject);
    assert_int_equal(answer()->index, 7);
    assert_int_equal(fx_last(&fx, 1), 7);
    assert_int_equal(fx_commit(&fx, 1), 6);
    assert_int_equal(fx.nodes[1].n_traces[RAFT_TRACE_TRUNCATED], 0);
}

/* Across the base with a conflict behind it: removed from there, never at or below the base. */
static void raft__append_across_the_base_truncates_behind_it(void **state)
{
    static const raft_term terms[] = {2, 2, 5}; /* 3 .. 5 */

    (void)state;
    start_behind(4);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){1, 2}, terms, 3, 4), 0);
    assert_int_equal(answer()->index, 5);
    assert_int_equal(fx_last(&fx, 1), 5);
    assert_int_equal(fx_term_at(&fx, 1, 5), 5);
    assert_int_equal(fx.nodes[1].n_traces[RAFT_TRACE_TRUNCATED], 1);
}

/* Wholly below the base: a late message. Acknowledged as far as it reaches, nothing else
 * happens. */
static void raft__append_below_the_base_changes_nothing(void **state)
{
    static const raft_term terms[] = {1, 2};

    (void)state;
    start_behind(5);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){1, 1}, terms, 2, 6), 0);
    assert_false(answer()->reject);
    assert_int_equal(answer()->index, 3);
    assert_int_equal(fx_last(&fx, 1), 6);
    assert_int_equal(fx_commit(&fx, 1), 5);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){0, 0}, terms, 1, 6), 0);
    assert_int_equal(answer()->index, 1);
    assert_int_equal(fx_last(&fx, 1), 6);
}

/* No correct leader says that. */
static void raft__append_that_contradicts_the_base_is_invalid(void **state)
{
    static const raft_term at_base[] = {2, 3, 4};    /* 3 .. 5; 2/4 is the base */
    static const raft_term below_base[] = {3, 3, 4}; /* 3 .. 5: terms would fall at the base */

    (void)state;
    start_behind(4);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){1, 2}, at_base, 3, 4),
                     RAFT_E_INVALID);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){1, 2}, below_base, 3, 4),
                     RAFT_E_INVALID);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 5, (struct raft_entry_id){3, 3}, NULL, 0, 4),
                     RAFT_E_INVALID);
    assert_int_equal(fx_last(&fx, 1), 6);
    assert_int_equal(fx.nodes[1].n_traces[RAFT_TRACE_TRUNCATED], 0);
}

/* The hint of a refusal never leads below what is committed. */
static void raft__refusal_points_above_the_base(void **state)
{
    (void)state;
    start_behind(5);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 6, (struct raft_entry_id){6, 6}, NULL, 0, 5), 0);
    assert_true(answer()->reject);
    assert_int_equal(answer()->hint.index, 6);
    assert_int_equal(answer()->hint.term, 4);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 6, (struct raft_entry_id){6, 9}, NULL, 0, 5), 0);
    assert_int_equal(answer()->hint.index, 7);
    assert_int_equal(answer()->hint.term, 0);
}

/* A configuration behind the base that is truncated gives way to the one at the base. */
static void raft__configuration_at_the_base_stays(void **state)
{
    static const raft_term terms[] = {3};
    struct raft_configuration c;

    (void)state;
    fx_init(&fx, 5, 0, 1);
    fx_configuration(&fx, "123", &c);
    fx_add_config(&fx, 1, 1, &c);                /* 1/2 */
    fx_add_config(&fx, 1, 2, &fx.configuration); /* 2/3 */
    fx_compact(&fx, 1, 2);
    fx_start(&fx, 1);
    assert_int_equal(fx_status(&fx, 1).n_voters, 5);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 3, (struct raft_entry_id){1, 2}, terms, 1, 2), 0);
    assert_int_equal(fx_status(&fx, 1).n_voters, 3);
}

/* ---- a leader whose log begins behind what a follower needs ---- */

/* n1 leads the log of start_behind(4); 5/7 is its no-op; n3 is with it; n2 has only entry 1. */
static void lead_with_n2_far_behind(void)
{
    struct raft_msg m;

    start_behind(4);
    fx_puppets_elect(&fx, 1);
    fx_puppet_ack(&fx, 3, 1, 7);
    assert_true(raft_can_serve(fx_raft(&fx, 1)));
    m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 5);
    m.reject = true;
    m.index = 6; /* the first probe asked for 4/6 */
    m.hint.index = 2;
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_inject_ok(&fx, &m);
}

static void raft__follower_that_needs_compacted_entries_stays_in_probe(void **state)
{
    struct raft_entry_id e;
    struct raft_status s;
    uint64_t a;

    (void)state;
    lead_with_n2_far_behind();
    assert_int_equal(fx.nodes[1].n_traces[RAFT_TRACE_COMPACTED], 1);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_APPEND), 0);
    assert_int_equal(fx.nodes[1].log_error, 0);
    /* Life goes on: writes by the others, reads also with its answers. */
    e = fx_propose(&fx, 1);
    fx_puppet_ack(&fx, 3, 1, e.index);
    assert_int_equal(fx_commit(&fx, 1), e.index);
    a = fx_read(&fx, 1, 0);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), fx_round_sent(&fx, 1, 2)), 0);
    assert_int_equal(fx_read_state(&fx, a), FX_READ_DONE);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_APPEND), 0);
    s = fx_status(&fx, 1);
    assert_int_equal(fx_peer(&fx, &s, 2)->match_index, 0);
    assert_int_equal(fx.nodes[1].n_traces[RAFT_TRACE_COMPACTED], 1); /* said once */
}

/* With each heartbeat one small question whether it has come to the base; refusals are not
 * chased. */
static void raft__follower_below_the_base_is_asked_with_each_heartbeat(void **state)
{
    const struct raft_msg *m;

    (void)state;
    lead_with_n2_far_behind();
    for (unsigned k = 0; k < 3; k++) {
        struct raft_msg no = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 5);

        fx_tick_deadline(&fx, 1);
        m = fx_only(&fx, 1, 2, RAFT_MSG_APPEND);
        assert_int_equal(m->prev.index, 4);
        assert_int_equal(m->prev.term, 2);
        assert_int_equal(m->n_entries, 0);
        (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
        no.reject = true;
        no.index = 4;
        no.hint.index = 2;
        fx_inject_ok(&fx, &no);
        assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_APPEND), 0);
        /* It is heard; n3 must be too, or this node would step down. */
        fx_puppet_ack(&fx, 3, 1, 7);
    }
    fx_tick_deadline(&fx, 1);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_puppet_ack(&fx, 2, 1, 4); /* a snapshot has brought it there */
    m = &fx_find(&fx, 1, 2, RAFT_MSG_APPEND)->m;
    assert_int_equal(m->prev.index, 4);
    assert_true(m->n_entries > 0);
    fx_puppet_ack(&fx, 2, 1, 7);
    {
        struct raft_status s = fx_status(&fx, 1);

        assert_int_equal(fx_peer(&fx, &s, 2)->match_index, 7);
    }
    assert_int_equal(fx.nodes[1].n_traces[RAFT_TRACE_COMPACTED], 1);
}

/* The reader says it before the core knows: the disk is compacted under a running node. */
static void raft__reader_that_says_compacted_is_not_the_end(void **state)
{
    struct raft_msg m;

    (void)state;
    start_behind(0);
    fx_puppets_elect(&fx, 1);
    fx_puppet_ack(&fx, 3, 1, 7);
    fx_compact(&fx, 1, 4); /* the core still believes that its log begins at 1 */
    m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 5);
    m.reject = true;
    m.index = 6;
    m.hint.index = 2;
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[1].log_error, 0);
    assert_int_equal(fx.nodes[1].n_traces[RAFT_TRACE_COMPACTED], 1);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_APPEND), 0);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    fx_puppet_ack(&fx, 2, 1, 4);
    assert_int_equal(fx_find(&fx, 1, 2, RAFT_MSG_APPEND)->m.prev.index, 4);
    assert_true(fx_find(&fx, 1, 2, RAFT_MSG_APPEND)->m.n_entries > 0);
}

/* A real error of the disk still is: it is handed up. */
static void raft__reader_that_fails_is_the_end(void **state)
{
    struct raft_msg m;

    (void)state;
    start_behind(0);
    fx_puppets_elect(&fx, 1);
    fx.nodes[1].reader_error = -5;
    m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 5);
    m.reject = true;
    m.index = 6;
    m.hint.index = 2;
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[1].log_error, -5);
    fx.nodes[1].reader_error = 0;
}

/* Where the leader's log begins behind a conflict that a refusal names: back to the base, not
 * below. */
static void raft__refusal_of_an_older_term_leads_to_the_base(void **state)
{
    struct raft_msg m;

    (void)state;
    start_behind(4);
    fx_puppets_elect(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 5);
    m.reject = true;
    m.index = 6;
    m.hint =
        (struct raft_entry_id){.term = 3, .index = 3}; /* our last not above 3 is the base 2/4 */
    fx_inject_ok(&fx, &m);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_find_last(&fx, 1, 2, RAFT_MSG_APPEND)->m.prev.index, 4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(raft__##name, teardown)
        TEST(log_tells_none_from_compacted),
        TEST(log_without_a_base_has_nothing_at_zero),
        TEST(start_behind_a_base_must_not_contradict_itself),
        TEST(log_of_nothing_but_its_base),
        TEST(append_at_the_base_is_checked_against_its_term),
        TEST(append_across_the_base_is_taken_from_there),
        TEST(append_across_the_base_truncates_behind_it),
        TEST(append_below_the_base_changes_nothing),
        TEST(append_that_contradicts_the_base_is_invalid),
        TEST(refusal_points_above_the_base),
        TEST(configuration_at_the_base_stays),
        TEST(follower_that_needs_compacted_entries_stays_in_probe),
        TEST(follower_below_the_base_is_asked_with_each_heartbeat),
        TEST(reader_that_says_compacted_is_not_the_end),
        TEST(reader_that_fails_is_the_end),
        TEST(refusal_of_an_older_term_leads_to_the_base),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
