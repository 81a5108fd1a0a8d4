/* node: what /readyz says of a node in each state (HTTP-7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/http_int.h"

/* A follower, and a leader, that are well. */
static struct node_ready follower(void)
{
    return (struct node_ready){.health = {.role = RAFT_FOLLOWER,
                                          .leader_id = 7,
                                          .leader = "n2",
                                          .leader_connected = true,
                                          .verdict = "good",
                                          .election_us = 500000}};
}

static struct node_ready leader(void)
{
    struct node_ready r = follower();

    r.health.role = RAFT_LEADER;
    r.health.can_serve = true;
    r.health.n_voters = 3;
    r.health.n_voters_heard = 2;
    return r;
}

/* NULL: it is ready. Otherwise this line is among what is said, and no other one failed. */
static void expect(const struct node_ready *r, const char *failure)
{
    cleanup_buf struct buf out = BUF_INIT;
    const bool ready = node_http_is_ready(r, &out);
    unsigned n_failed = 0;
    const char *text;

    assert_int_equal(buf_add(&out, "", 1), 0);
    text = (const char *)out.data;
    for (const char *at = text; (at = strstr(at, "[-]")) != NULL; at++)
        n_failed++;
    if (ready != (failure == NULL) || n_failed != (failure != NULL) ||
        (failure != NULL && strstr(text, failure) == NULL))
        fail_msg("not '%s' but: %s", failure != NULL ? failure : "ready", text);
}

static void ready__who_is_well_is_ready(void **state)
{
    struct node_ready r = follower();

    (void)state;
    expect(&r, NULL);
    r = leader();
    expect(&r, NULL);
}

static void ready__a_leader_serves_and_hears_a_quorum(void **state)
{
    struct node_ready r = leader();

    (void)state;
    r.health.can_serve = false;
    expect(&r, "[-]serving failed: this node leads, hears 2 of 3 voters, and does not serve yet\n");
    r = leader();
    r.health.n_voters_heard = 1;
    expect(&r, "[-]serving failed: this node leads, hears 1 of 3 voters, and can commit nothing\n");
    r.health.n_voters = 1; /* it alone is the quorum */
    expect(&r, NULL);
    r.health.n_voters = 4;
    r.health.n_voters_heard = 2;
    expect(&r, "[-]serving failed: ");
}

static void ready__a_follower_can_ask_its_leader(void **state)
{
    struct node_ready r = follower();

    (void)state;
    r.health.leader_connected = false;
    expect(&r, "[-]serving failed: there is no link to the leader n2\n");
    r = follower();
    r.health.behind_entries = READY_BEHIND_ENTRIES_MAX;
    expect(&r, NULL);
    r.health.behind_entries++;
    expect(&r, "[-]serving failed: 10001 entries are committed and not applied here, over 10000\n");
}

static void ready__without_a_leader_two_things_fail(void **state)
{
    struct node_ready r = follower();
    cleanup_buf struct buf out = BUF_INIT;

    (void)state;
    r.health.leader_id = 0;
    assert_false(node_http_is_ready(&r, &out));
    assert_int_equal(buf_add(&out, "", 1), 0);
    assert_non_null(strstr((char *)out.data, "[-]leader failed: no leader is known\n"));
    assert_non_null(strstr((char *)out.data, "[-]serving failed: there is no leader to ask\n"));
}

static void ready__an_unfit_state_is_named(void **state)
{
    static const char *const cases[][2] = {
        {"rebuilding", "[-]state failed: it is being made again "},
        {"damaged", "[-]state failed: it is damaged, "},
        {"differs", "[-]state failed: it differs from that of a majority"},
    };
    struct node_ready r = follower();

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        r.health.fitness = RAFT_UNFIT;
        r.health.verdict = cases[i][0];
        expect(&r, cases[i][1]);
    }
    /* Being looked at is no fault yet. */
    r.health.fitness = RAFT_FIT;
    r.health.verdict = "checking";
    expect(&r, NULL);
}

static void ready__a_disk_without_room_or_answer_is_named(void **state)
{
    struct node_ready r = follower();

    (void)state;
    r.health.full = "log";
    expect(&r, "[-]disk failed: no room for the log");
    r.health.full = "state";
    expect(&r, "[-]disk failed: no room for the state");
    /* Those are not this node's. */
    r.health.full = "quota";
    expect(&r, NULL);
    r.health.full = "nodes";
    expect(&r, NULL);
    r.health.full = NULL;
    r.health.disk_silent_us = 500000;
    expect(&r, NULL);
    r.health.disk_silent_us = 1500000;
    expect(&r, "[-]disk failed: the disk has not answered for 1.5 s\n");
    r.health.disk_silent_us = 0;
    r.health.fitness = RAFT_PARKED;
    expect(&r, "[-]room failed: the node is parked");
}

/* A new node behind a log that begins at the time of a restore. */
static void ready__who_has_nothing_yet_is_not(void **state)
{
    struct node_ready r = follower();

    (void)state;
    r.health.applied_nothing = true;
    r.health.behind_entries = 30000000000000u;
    expect(&r, "[-]serving failed: nothing is applied here yet\n");
}

static void ready__who_stops_is_not(void **state)
{
    struct node_ready r = leader();

    (void)state;
    r.stopping = true;
    expect(&r, "[-]stopping failed: this node is stopping\n");
}

/* HTTP-7: reading a log, and closing a state, take long, and a restart would only begin that anew. */
static void lives__as_long_as_the_loop_turns(void **state)
{
    char text[64];

    (void)state;
    assert_true(node_http_lives(NODE_HTTP_TURNING, HTTP_LOOP_US, text, sizeof(text)));
    assert_string_equal(text, "ok");
    assert_false(node_http_lives(NODE_HTTP_TURNING, HTTP_LOOP_US + 1, text, sizeof(text)));
    assert_string_equal(text, "the loop has not turned for 2.0 s");
    assert_true(node_http_lives(NODE_HTTP_STARTING, UINT64_MAX, text, sizeof(text)));
    assert_string_equal(text, "ok");
    assert_true(node_http_lives(NODE_HTTP_LEAVING, UINT64_MAX, text, sizeof(text)));
    assert_string_equal(text, "stopping");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready__who_is_well_is_ready),
        cmocka_unit_test(ready__a_leader_serves_and_hears_a_quorum),
        cmocka_unit_test(ready__a_follower_can_ask_its_leader),
        cmocka_unit_test(ready__without_a_leader_two_things_fail),
        cmocka_unit_test(ready__an_unfit_state_is_named),
        cmocka_unit_test(ready__a_disk_without_room_or_answer_is_named),
        cmocka_unit_test(ready__who_has_nothing_yet_is_not),
        cmocka_unit_test(ready__who_stops_is_not),
        cmocka_unit_test(lives__as_long_as_the_loop_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
