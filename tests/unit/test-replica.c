/* replica: requests and their queues, under a core that is real, with a disk, a state and peers
 * that are not.
 *
 * One node, "n1". The test completes its batches, speaks for its peers and moves its clock. Every
 * request counts its callbacks: exactly one may come. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "replica/replica.h"
#include "replica/timers.h"
#include "service/service.h"

#include "base/banned.h"

#define ELECTION_US  100000u
#define HEARTBEAT_US 20000u
#define SENT_MAX     256u

struct rig {
    struct replica *r;
    struct raft_configuration conf;
    uint64_t now;
    uint64_t batch; /* highest submitted */
    raft_index applied;
    raft_index pending;
    struct raft_msg sent[SENT_MAX]; /* without entries */
    unsigned n_sent;
    unsigned n_fatal;
    int apply_error;
};

static int log_submit(void *ctx, const struct raft_ready *ready)
{
    struct rig *rig = ctx;

    rig->batch = ready->batch;
    return 0;
}

static int log_read(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n)
{
    (void)ctx, (void)from, (void)to, (void)bytes_max, (void)arena, (void)ret_entries, (void)n_max,
        (void)ret_n;
    return -EIO; /* only entry 1 is not cached, and it is applied */
}

static int state_begin(void *ctx)
{
    struct rig *rig = ctx;

    rig->pending = rig->applied;
    return 0;
}

static int state_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    struct rig *rig = ctx;

    if (rig->apply_error != 0)
        return rig->apply_error;
    assert_int_equal(e->id.index, rig->pending + 1);
    rig->pending = e->id.index;
    ret_result->index = e->id.index;
    return 0;
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    (void)ctx, (void)key;
    *ret_value = (struct command_value){0};
    return 0;
}

static int state_commit(void *ctx)
{
    struct rig *rig = ctx;

    rig->applied = rig->pending;
    return 0;
}

static void state_abort(void *ctx)
{
    (void)ctx;
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    struct rig *rig = ctx;

    *ret_last_applied = (struct raft_entry_id){1, rig->applied};
    return 0;
}

static void state_read_end(void *ctx)
{
    (void)ctx;
}

static void send_msg(void *ctx, const struct raft_msg *m)
{
    struct rig *rig = ctx;

    assert_true(rig->n_sent < SENT_MAX);
    rig->sent[rig->n_sent] = *m;
    rig->sent[rig->n_sent++].entries = NULL;
}

static void fatal(void *ctx, int error, const char *what)
{
    struct rig *rig = ctx;

    (void)error, (void)what;
    rig->n_fatal++;
}

static void rig_init(struct rig *rig, unsigned n_voters)
{
    const struct raft_term_range terms = {1, 1};
    struct raft_config_at config = {.index = 1};
    struct replica_ops ops = {.ctx = rig,
                              .log_submit = log_submit,
                              .log_reader = {log_read, rig},
                              .state_begin = state_begin,
                              .state_apply = state_apply,
                              .state_apply_get = state_get,
                              .state_commit = state_commit,
                              .state_abort = state_abort,
                              .state_read_begin = state_read_begin,
                              .state_get = state_get,
                              .state_read_end = state_read_end,
                              .send = send_msg,
                              .fatal = fatal};
    struct replica_conf conf = {.start = {.hard_state = {1, 0},
                                          .last_index = 1,
                                          .commit_index = 1,
                                          .last_applied = 1,
                                          .terms = &terms,
                                          .n_terms = 1,
                                          .configs = &config,
                                          .n_configs = 1}};

    memset(rig, 0, sizeof(*rig));
    rig->now = 1000000;
    rig->applied = 1;
    for (unsigned i = 1; i <= n_voters; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(raft_configuration_add(&config.configuration, raft_founder_id(name), name,
                                                RAFT_VOTER, "a:1", "a:2"),
                         0);
    }
    raft_conf_init(&conf.raft);
    conf.raft.id = raft_founder_id("n1");
    conf.raft.election_timeout_us = ELECTION_US;
    conf.raft.heartbeat_us = HEARTBEAT_US;
    conf.raft.seed = 1;
    assert_int_equal(replica_new(&conf, &ops, rig->now, &rig->r), 0);
}

static void rig_done(struct rig *rig)
{
    replica_free(rig->r);
}

static void turn(struct rig *rig)
{
    replica_turn(rig->r, rig->now);
    raft_check(replica_raft_mutable(rig->r));
    replica_check(rig->r);
}

static void store(struct rig *rig)
{
    replica_stored(rig->r, rig->batch, rig->now);
    turn(rig);
}

static void from_n2(struct rig *rig, struct raft_msg m)
{
    m.from = raft_founder_id("n2");
    m.to = raft_founder_id("n1");
    assert_int_equal(replica_step(rig->r, &m, rig->now), 0);
}

static raft_term term_of(const struct rig *rig)
{
    return raft_get_term(replica_raft(rig->r));
}

/* n1 leads, its no-op is committed and applied; n2 is the other half of its quorum. */
static void lead(struct rig *rig)
{
    struct raft_status s;

    for (unsigned i = 0; i < 20 && !raft_can_serve(replica_raft(rig->r)); i++) {
        rig->now += 2 * ELECTION_US;
        turn(rig);
        from_n2(rig, (struct raft_msg){.type = RAFT_MSG_PRE_VOTE_RESP, .term = term_of(rig) + 1});
        turn(rig);
        store(rig);
        from_n2(rig, (struct raft_msg){.type = RAFT_MSG_VOTE_RESP, .term = term_of(rig)});
        turn(rig);
        store(rig);
        raft_get_status(replica_raft(rig->r), &s);
        from_n2(rig, (struct raft_msg){.type = RAFT_MSG_APPEND_RESP,
                                       .term = term_of(rig),
                                       .index = s.last_index});
        turn(rig);
    }
    assert_true(raft_can_serve(replica_raft(rig->r)));
}

struct ask {
    struct replica_request rr;
    struct rig *rig;
    unsigned n_served;
    unsigned n_written;
    unsigned n_failed;
    struct replica_failure failure;
    struct ask *cancels; /* when it fails */
};

static void on_served(struct replica_request *q, const struct replica_view *view)
{
    (void)view;
    list_entry(q, struct ask, rr)->n_served++;
}

static void on_written(struct replica_request *q, const struct command_result *result)
{
    (void)result;
    list_entry(q, struct ask, rr)->n_written++;
}

static void on_failed(struct replica_request *q, const struct replica_failure *f)
{
    struct ask *a = list_entry(q, struct ask, rr);

    a->n_failed++;
    a->failure = *f;
    if (a->cancels != NULL)
        replica_cancel(a->rig->r, &a->cancels->rr);
}

static unsigned n_answers(const struct ask *a)
{
    return a->n_served + a->n_written + a->n_failed;
}

static void ask(struct rig *rig, struct ask *a, enum replica_kind kind, size_t command_len)
{
    static unsigned char command[ENTRY_BYTES_MAX + 1];

    a->rig = rig;
    a->rr.kind = kind;
    a->rr.deadline_us = rig->now + 50000;
    a->rr.command = command;
    a->rr.command_len = command_len;
    a->rr.served = on_served;
    a->rr.written = on_written;
    a->rr.failed = on_failed;
    replica_submit(rig->r, &a->rr, rig->now);
}

static void replica__a_refusal_leaves_nothing_behind(void **state)
{
    struct rig rig;
    struct ask *a;

    (void)state;
    rig_init(&rig, 1);
    lead(&rig);
    a = calloc(1, sizeof(*a));
    assert_non_null(a);
    ask(&rig, a, REPLICA_WRITE, ENTRY_BYTES_MAX + 1);
    assert_int_equal(a->n_failed, 1);
    assert_int_equal(a->failure.error, WIRE_ERROR_TOO_LARGE);
    assert_true(list_empty(&a->rr.timer));
    assert_true(list_empty(&a->rr.link));
    assert_true(replica_idle(rig.r));
    free(a);
    rig.now += 2000000; /* the wheel looks at every slot: what was freed is not in it */
    turn(&rig);
    rig_done(&rig);
}

/* The same by the bound that a slow disk and large values reach: RAFT_UNCOMMITTED_BYTES_MAX. */
static void replica__busy_leaves_nothing_behind(void **state)
{
    struct ask asks[40];
    struct rig rig;
    unsigned n_busy = 0;

    (void)state;
    memset(asks, 0, sizeof(asks));
    rig_init(&rig, 1);
    lead(&rig);
    for (unsigned i = 0; i < 40; i++)
        ask(&rig, &asks[i], REPLICA_WRITE, ENTRY_BYTES_MAX);
    for (unsigned i = 0; i < 40; i++) {
        n_busy += asks[i].n_failed;
        assert_int_equal(list_empty(&asks[i].rr.timer), asks[i].n_failed == 1);
    }
    assert_true(n_busy > 0);
    turn(&rig);
    rig.now += 60000;
    turn(&rig);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(n_answers(&asks[i]), 1);
    rig_done(&rig);
}

/* Its client is gone: a host may find that out while it answers another request of the same client.
 */
static void replica__a_deadline_may_cancel_another(void **state)
{
    struct ask asks[3];
    struct rig rig;

    (void)state;
    memset(asks, 0, sizeof(asks));
    rig_init(&rig, 3);
    for (unsigned i = 0; i < 3; i++)
        ask(&rig, &asks[i], REPLICA_WRITE, 8); /* no leader: all wait, and are due together */
    asks[0].cancels = &asks[1];
    asks[2].rr.deadline_us = 0; /* looked at only when it is due */
    rig.now += 60000;
    turn(&rig);
    assert_int_equal(n_answers(&asks[0]), 1);
    assert_int_equal(n_answers(&asks[1]), 0);
    assert_int_equal(n_answers(&asks[2]), 1);
    /* The wheel did not lose count: another deadline is still kept. */
    memset(asks, 0, sizeof(asks));
    ask(&rig, &asks[0], REPLICA_WRITE, 8);
    rig.now += 60000;
    turn(&rig);
    assert_int_equal(asks[0].n_failed, 1);
    rig_done(&rig);
}

static void replica__loss_may_cancel_another(void **state)
{
    struct ask *asks[3];
    struct rig rig;

    (void)state;
    rig_init(&rig, 3);
    lead(&rig);
    for (unsigned i = 0; i < 3; i++) {
        asks[i] = calloc(1, sizeof(*asks[i]));
        assert_non_null(asks[i]);
        ask(&rig, asks[i], REPLICA_WRITE, 8);
    }
    turn(&rig);
    asks[0]->cancels = asks[1];
    from_n2(&rig, (struct raft_msg){.type = RAFT_MSG_HEARTBEAT, .term = term_of(&rig) + 1});
    turn(&rig);
    assert_int_equal(asks[0]->n_failed, 1);
    assert_int_equal(asks[0]->failure.error, WIRE_ERROR_TERM_CHANGED);
    assert_true(asks[0]->failure.after_append);
    assert_int_equal(n_answers(asks[1]), 0);
    assert_int_equal(asks[2]->n_failed, 1);
    assert_true(replica_idle(rig.r));
    for (unsigned i = 0; i < 3; i++)
        free(asks[i]);
    rig_done(&rig);
}

/* ---- compare_read_methods ---- */

static struct buf *service_out(void *ctx, void *conn)
{
    (void)ctx;
    return conn;
}

static uint64_t service_now(void *ctx)
{
    return ((struct rig *)ctx)->now;
}

static void service_event(void *ctx, enum log_level level, const char *event, const char *text)
{
    (void)ctx, (void)level;
    fail_msg("%s: %s", event, text);
}

/* The first write is committed and the leadership lost in one turn: no read is under way that would
 * fail. */
static void replica__compare_ends_with_the_leadership(void **state)
{
    const char line[] = "{\"type\":\"compare_read_methods\",\"num_reads\":2}";
    struct service_ops ops = {.out = service_out, .now_us = service_now, .event = service_event};
    struct service_conf conf = {.node_name = "n1", .cluster_name = "c"};
    struct service_conn *conn = NULL;
    struct service *s = NULL;
    struct buf out = BUF_INIT;
    struct raft_status st;
    struct rig rig;

    (void)state;
    rig_init(&rig, 3);
    lead(&rig);
    ops.ctx = &rig;
    assert_int_equal(service_new(&conf, &ops, &s), 0);
    service_set_replica(s, rig.r, "n1");
    assert_int_equal(service_conn_new(s, &out, &conn), 0);
    service_line(conn, line, sizeof(line) - 1, 1);
    turn(&rig);
    store(&rig);
    raft_get_status(replica_raft(rig.r), &st);
    from_n2(&rig, (struct raft_msg){
                      .type = RAFT_MSG_APPEND_RESP, .term = term_of(&rig), .index = st.last_index});
    from_n2(&rig, (struct raft_msg){
                      .type = RAFT_MSG_VOTE_RESP, .term = term_of(&rig) + 1, .reject = true});
    turn(&rig);
    assert_int_equal(rig.applied, st.last_index);
    lead(&rig); /* again, in another term */
    for (unsigned i = 0; i < 4; i++) {
        raft_get_status(replica_raft(rig.r), &st);
        from_n2(&rig, (struct raft_msg){.type = RAFT_MSG_HEARTBEAT_RESP,
                                        .term = term_of(&rig),
                                        .round = st.round});
        turn(&rig);
    }
    assert_int_equal(service_n_pending(s), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    assert_non_null(strstr((const char *)out.data, "\"error\":\"term_changed\""));
    service_conn_free(conn);
    replica_free(rig.r);
    service_free(s);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replica__a_refusal_leaves_nothing_behind),
        cmocka_unit_test(replica__busy_leaves_nothing_behind),
        cmocka_unit_test(replica__a_deadline_may_cancel_another),
        cmocka_unit_test(replica__loss_may_cancel_another),
        cmocka_unit_test(replica__compare_ends_with_the_leadership),
    };

    return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
