/* replica and service: the rules that make an answer right, each under the one schedule that tells.
 *
 * One node, "n1", with a real core. The test completes its batches, speaks for its peers, moves its
 * clock, and holds the state: a small map with transactions, so that what is pending and what is
 * committed differ where they should. */
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
#include "base/buf.h"
#include "replica/replica.h"
#include "service/service.h"

#include "base/banned.h"

#define ELECTION_US  100000u
#define HEARTBEAT_US 20000u
#define SENT_MAX     256u
#define KEYS_MAX     8u

struct pair {
    char key[64];
    size_t key_len;
    char text[64];
    raft_index index;
};

struct map {
    raft_index applied;
    raft_term term;
    unsigned n;
    struct pair pairs[KEYS_MAX];
};

struct rig {
    struct replica *r;
    struct service *s;
    uint64_t now;
    uint64_t batch; /* highest submitted */
    struct map committed;
    struct map pending;
    int commit_error;
    struct raft_msg sent[SENT_MAX]; /* without entries */
    unsigned n_sent;
    unsigned n_fatal;
    struct buf out;
};

static int log_submit(void *ctx, const struct raft_ready *ready)
{
    ((struct rig *)ctx)->batch = ready->batch;
    return 0;
}

/* Only entry 1 is not cached, and it is applied. */
static int log_read(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n)
{
    (void)ctx, (void)from, (void)to, (void)bytes_max, (void)arena;
    (void)ret_entries, (void)n_max, (void)ret_n;
    return -5;
}

static int state_begin(void *ctx)
{
    struct rig *rig = ctx;

    rig->pending = rig->committed;
    return 0;
}

static struct pair *map_find(struct map *map, struct wire_slice key)
{
    for (unsigned i = 0; i < map->n; i++)
        if (map->pairs[i].key_len == key.len && memcmp(map->pairs[i].key, key.data, key.len) == 0)
            return &map->pairs[i];
    return NULL;
}

static int state_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    struct rig *rig = ctx;
    struct command c;
    struct pair *pair;

    assert_int_equal(e->id.index, rig->pending.applied + 1);
    rig->pending.applied = e->id.index;
    rig->pending.term = e->id.term;
    *ret_result = (struct command_result){.index = e->id.index};
    if (e->type != RAFT_ENTRY_COMMAND || command_decode(e->data, e->len, &c) != 0 || c.key.len == 0)
        return 0;
    pair = map_find(&rig->pending, c.key);
    if (pair == NULL) {
        assert_true(rig->pending.n < KEYS_MAX);
        pair = &rig->pending.pairs[rig->pending.n++];
        assert_true(c.key.len < sizeof(pair->key));
        memcpy(pair->key, c.key.data, c.key.len);
        pair->key_len = c.key.len;
    }
    assert_true(c.value.len < sizeof(pair->text));
    memcpy(pair->text, c.value.data, c.value.len);
    pair->text[c.value.len] = '\0';
    pair->index = e->id.index;
    return 0;
}

static int map_get(struct map *map, struct wire_slice key, struct command_value *ret_value)
{
    struct pair *pair = map_find(map, key);

    *ret_value = (struct command_value){0};
    if (pair != NULL)
        *ret_value = (struct command_value){.exists = true,
                                            .text = {pair->text, strlen(pair->text)},
                                            .create_index = pair->index,
                                            .modify_index = pair->index,
                                            .version = 1};
    return 0;
}

static int state_apply_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    return map_get(&((struct rig *)ctx)->pending, key, ret_value);
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    return map_get(&((struct rig *)ctx)->committed, key, ret_value);
}

static int state_commit(void *ctx)
{
    struct rig *rig = ctx;

    if (rig->commit_error != 0)
        return rig->commit_error;
    rig->committed = rig->pending;
    return 0;
}

static void state_abort(void *ctx)
{
    (void)ctx;
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    struct rig *rig = ctx;

    *ret_last_applied = (struct raft_entry_id){rig->committed.term, rig->committed.applied};
    return 0;
}

static void state_read_end(void *ctx)
{
    (void)ctx;
}

static void send_msg(void *ctx, const struct raft_msg *m)
{
    struct rig *rig = ctx;

    if (rig->n_sent == SENT_MAX) {
        memmove(&rig->sent[0], &rig->sent[SENT_MAX / 2], SENT_MAX / 2 * sizeof(rig->sent[0]));
        rig->n_sent = SENT_MAX / 2;
    }
    rig->sent[rig->n_sent] = *m;
    rig->sent[rig->n_sent++].entries = NULL;
}

static void fatal(void *ctx, int error, const char *what)
{
    (void)error, (void)what;
    ((struct rig *)ctx)->n_fatal++;
}

static struct buf *service_out(void *ctx, void *conn)
{
    (void)conn;
    return &((struct rig *)ctx)->out;
}

static uint64_t service_now(void *ctx)
{
    return ((struct rig *)ctx)->now;
}

static void rig_init(struct rig *rig, unsigned n_voters)
{
    const struct raft_term_range terms = {1, 1};
    const struct service_conf service_conf = {.node_name = "n1", .cluster_name = "c", .seed = 1};
    const struct service_ops service_ops = {.ctx = rig, .out = service_out, .now_us = service_now};
    struct raft_config_at config = {.index = 1};
    struct replica_ops ops = {.ctx = rig,
                              .log_submit = log_submit,
                              .log_reader = {log_read, rig},
                              .state_begin = state_begin,
                              .state_apply = state_apply,
                              .state_apply_get = state_apply_get,
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
    rig->committed.applied = 1;
    rig->committed.term = 1;
    for (unsigned i = 1; i <= n_voters; i++) {
        char name[16];

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
    assert_int_equal(service_new(&service_conf, &service_ops, &rig->s), 0);
    service_set_replica(rig->s, rig->r, "n1");
    buf_init(&rig->out);
}

static void rig_done(struct rig *rig)
{
    service_free(rig->s);
    replica_free(rig->r);
    buf_done(&rig->out);
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

static struct raft_status status(const struct rig *rig)
{
    struct raft_status s;

    raft_get_status(replica_raft(rig->r), &s);
    return s;
}

static raft_term term_of(const struct rig *rig)
{
    return raft_get_term(replica_raft(rig->r));
}

/* n2 holds all that n1 has sent it. */
static void n2_has_all(struct rig *rig)
{
    const struct raft_status s = status(rig);

    from_n2(rig, (struct raft_msg){
                     .type = RAFT_MSG_APPEND_RESP, .term = s.current_term, .index = s.last_index});
}

/* n2 has seen the newest round. */
static void n2_has_round(struct rig *rig, uint64_t round)
{
    from_n2(rig, (struct raft_msg){
                     .type = RAFT_MSG_HEARTBEAT_RESP, .term = term_of(rig), .round = round});
}

static uint64_t round_of(const struct rig *rig)
{
    return status(rig).round;
}

/* n1 leads, its no-op is committed and applied; n2 is the other half of its quorum. */
static void lead(struct rig *rig)
{
    for (unsigned i = 0; i < 20 && !raft_can_serve(replica_raft(rig->r)); i++) {
        rig->now += 2 * ELECTION_US;
        turn(rig);
        if (status(rig).n_voters > 1) {
            from_n2(rig,
                    (struct raft_msg){.type = RAFT_MSG_PRE_VOTE_RESP, .term = term_of(rig) + 1});
            turn(rig);
            store(rig);
            from_n2(rig, (struct raft_msg){.type = RAFT_MSG_VOTE_RESP, .term = term_of(rig)});
            turn(rig);
            store(rig);
            n2_has_all(rig);
            turn(rig);
        } else {
            store(rig);
            store(rig);
        }
    }
    assert_true(raft_can_serve(replica_raft(rig->r)));
    assert_int_equal(rig->committed.applied, status(rig).commit_index);
}

/* ---- requests ---- */

struct ask {
    struct replica_request rr;
    unsigned n_served;
    unsigned n_written;
    unsigned n_failed;
    struct replica_failure failure;
    struct replica_view view;
    char text[64]; /* of key x, when served */
    unsigned char command[64];
};

static struct wire_key key_x(void)
{
    struct wire_key key;

    assert_int_equal(wire_key_set_string(&key, "x", 1), 0);
    return key;
}

static void on_served(struct replica_request *q, const struct replica_view *view)
{
    struct ask *a = list_entry(q, struct ask, rr);
    const struct wire_key key = key_x();
    struct command_value v;

    a->n_served++;
    a->view = *view;
    assert_int_equal(
        view->get(view->ctx, (struct wire_slice){(const char *)key.bytes, key.len}, &v), 0);
    (void)snprintf(a->text, sizeof(a->text), "%.*s", (int)v.text.len, v.exists ? v.text.data : "");
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
}

static void ask(struct rig *rig, struct ask *a, enum replica_kind kind,
                struct replica_session *session)
{
    *a = (struct ask){.rr = {.kind = kind,
                             .deadline_us = rig->now + 10000000,
                             .session = session,
                             .served = on_served,
                             .written = on_written,
                             .failed = on_failed}};
    replica_submit(rig->r, &a->rr, rig->now);
}

/* Writes key x. */
static void ask_write(struct rig *rig, struct ask *a, const char *text,
                      struct replica_session *session)
{
    const struct wire_key key = key_x();
    const struct command c = {.op = COMMAND_WRITE,
                              .key = {(const char *)key.bytes, key.len},
                              .value = {text, strlen(text)}};
    struct buf buf;

    buf_init(&buf);
    assert_int_equal(command_encode(&c, &buf), 0);
    assert_true(buf.len <= sizeof(a->command));
    *a = (struct ask){.rr = {.kind = REPLICA_WRITE,
                             .deadline_us = rig->now + 10000000,
                             .session = session,
                             .command = a->command,
                             .command_len = buf.len,
                             .served = on_served,
                             .written = on_written,
                             .failed = on_failed}};
    memcpy(a->command, buf.data, buf.len);
    buf_done(&buf);
    replica_submit(rig->r, &a->rr, rig->now);
}

/* ---- reads ---- */

/* READ-1: one turn applies at most RAFT_COMMITTED_ENTRIES_MAX entries at a time, and a group
 * of one confirms at once. So the read is confirmed when one slice of many is applied. Confirmed is
 * not yet visible (READ-36). */
static void replica__a_read_waits_until_its_index_is_applied(void **state)
{
    const unsigned n = 2 * RAFT_COMMITTED_ENTRIES_MAX;
    struct ask *writes = calloc(n, sizeof(*writes));
    struct ask read;
    struct rig rig;

    (void)state;
    assert_non_null(writes);
    rig_init(&rig, 1);
    lead(&rig);
    for (unsigned i = 0; i < n; i++)
        ask_write(&rig, &writes[i], i + 1 < n ? "1" : "2", NULL);
    turn(&rig);
    replica_stored(rig.r, rig.batch, rig.now);
    ask(&rig, &read, REPLICA_READ, NULL);
    turn(&rig);
    assert_int_equal(read.n_served, 1);
    assert_true(read.view.last_applied.index >= writes[n - 1].rr.entry.index);
    assert_string_equal(read.text, "2");
    rig_done(&rig);
    free(writes);
}

/* READ-58: on one session a read sees the write before it, although that is not acknowledged yet.
 */
static void replica__a_read_sees_the_writes_of_its_session(void **state)
{
    struct replica_session session = {0};
    struct ask write;
    struct ask read;
    struct ask other;
    struct rig rig;

    (void)state;
    rig_init(&rig, 3);
    lead(&rig);
    ask_write(&rig, &write, "1", &session);
    ask(&rig, &read, REPLICA_READ, &session);
    ask(&rig, &other, REPLICA_READ, NULL);
    turn(&rig);
    n2_has_round(&rig, round_of(&rig));
    turn(&rig);
    assert_int_equal(other.n_served, 1);
    assert_int_equal(read.n_served, 0);
    store(&rig);
    n2_has_all(&rig);
    turn(&rig);
    assert_int_equal(write.n_written, 1);
    assert_int_equal(read.n_served, 1);
    assert_string_equal(read.text, "1");
    rig_done(&rig);
}

/* A leader of a later term, n2, replaces all that n1 had not committed, and n1 leads again. */
static void lose_and_lead_again(struct rig *rig)
{
    const struct raft_status s = status(rig);
    const struct raft_entry noop = {.id = {s.current_term + 1, s.commit_index + 1},
                                    .type = RAFT_ENTRY_NOOP};

    from_n2(rig, (struct raft_msg){
                     .type = RAFT_MSG_APPEND,
                     .term = s.current_term + 1,
                     .prev = {raft_term_at(replica_raft(rig->r), s.commit_index), s.commit_index},
                     .leader_commit = s.commit_index,
                     .entries = &noop,
                     .n_entries = 1});
    turn(rig);
    store(rig);
    lead(rig);
}

/* What a session wrote in an earlier term is below the no-op, or gone: it holds no read up. */
static void replica__writes_of_an_earlier_term_set_no_floor(void **state)
{
    struct replica_session session = {0};
    struct ask writes[5];
    struct ask read;
    struct rig rig;

    (void)state;
    rig_init(&rig, 3);
    lead(&rig);
    for (unsigned i = 0; i < 5; i++)
        ask_write(&rig, &writes[i], "1", &session);
    turn(&rig);
    lose_and_lead_again(&rig);
    ask(&rig, &read, REPLICA_READ, &session);
    turn(&rig);
    n2_has_round(&rig, round_of(&rig));
    turn(&rig);
    assert_int_equal(read.n_served, 1);
    assert_string_equal(read.text, "");
    rig_done(&rig);
}

/* READ-60: the marker is at an index where now another entry stands. */
static void replica__a_read_of_the_log_fails_with_its_marker(void **state)
{
    struct ask read;
    struct rig rig;

    (void)state;
    rig_init(&rig, 3);
    lead(&rig);
    ask(&rig, &read, REPLICA_READ_LOG, NULL);
    turn(&rig);
    lose_and_lead_again(&rig);
    assert_int_equal(read.n_served, 0);
    assert_int_equal(read.n_failed, 1);
    assert_int_equal(read.failure.error, WIRE_ERROR_TERM_CHANGED);
    assert_false(read.failure.after_append); /* a read changes nothing: it may be repeated */
    rig_done(&rig);
}

/* READ-60: the state at exactly the marker's index. The write before it is in the same
 * transaction, and the write behind it too. */
static void replica__a_read_of_the_log_sees_the_state_at_its_marker(void **state)
{
    struct ask writes[2];
    struct ask read;
    struct rig rig;

    (void)state;
    rig_init(&rig, 1);
    lead(&rig);
    ask_write(&rig, &writes[0], "1", NULL);
    ask(&rig, &read, REPLICA_READ_LOG, NULL);
    ask_write(&rig, &writes[1], "2", NULL);
    turn(&rig);
    store(&rig);
    assert_int_equal(read.n_served, 1);
    assert_string_equal(read.text, "1");
    rig_done(&rig);
}

/* A read timed out while its round was out; the next one got its place. The round of the first says
 * nothing of the second. A reply reaches the request that asked (READ-32). */
static void replica__a_late_round_does_not_answer_the_next_read(void **state)
{
    struct ask first;
    struct ask second;
    struct rig rig;
    uint64_t round;

    (void)state;
    rig_init(&rig, 3);
    lead(&rig);
    ask(&rig, &first, REPLICA_READ, NULL);
    turn(&rig);
    round = round_of(&rig);
    replica_cancel(rig.r, &first.rr);
    ask(&rig, &second, REPLICA_READ, NULL);
    assert_int_equal(second.rr.slot, first.rr.slot);
    n2_has_round(&rig, round);
    turn(&rig);
    assert_int_equal(first.n_served, 0);
    assert_int_equal(second.n_served, 0);
    rig.now += HEARTBEAT_US;
    turn(&rig);
    n2_has_round(&rig, round_of(&rig));
    turn(&rig);
    assert_int_equal(second.n_served, 1);
    assert_true(second.view.round > round);
    rig_done(&rig);
}

/* ---- what waits for the disk ---- */

static unsigned n_acks(const struct rig *rig, raft_index index)
{
    unsigned n = 0;

    for (unsigned i = 0; i < rig->n_sent; i++)
        n += rig->sent[i].type == RAFT_MSG_APPEND_RESP && !rig->sent[i].reject &&
             rig->sent[i].index == index;
    return n;
}

static void append_from_n2(struct rig *rig, raft_index prev)
{
    const struct raft_entry e = {.id = {2, prev + 1}, .type = RAFT_ENTRY_NOOP};

    from_n2(rig, (struct raft_msg){.type = RAFT_MSG_APPEND,
                                   .term = 2,
                                   .prev = {prev == 1 ? 1 : 2, prev},
                                   .leader_commit = 1,
                                   .entries = &e,
                                   .n_entries = 1});
    turn(rig);
}

static void replica__each_acknowledgement_waits_for_its_own_batch(void **state)
{
    struct rig rig;
    uint64_t first;

    (void)state;
    rig_init(&rig, 3);
    append_from_n2(&rig, 1);
    first = rig.batch;
    append_from_n2(&rig, 2);
    assert_true(rig.batch > first);
    assert_int_equal(n_acks(&rig, 2), 0);
    assert_int_equal(n_acks(&rig, 3), 0);
    replica_stored(rig.r, first, rig.now);
    turn(&rig);
    assert_int_equal(n_acks(&rig, 2), 1);
    assert_int_equal(n_acks(&rig, 3), 0);
    store(&rig);
    assert_int_equal(n_acks(&rig, 3), 1);
    rig_done(&rig);
}

static void replica__a_state_that_cannot_commit_ends_the_node(void **state)
{
    struct ask write;
    struct rig rig;
    unsigned n_sent;

    (void)state;
    rig_init(&rig, 1);
    lead(&rig);
    ask_write(&rig, &write, "1", NULL);
    turn(&rig);
    rig.commit_error = -28;
    replica_stored(rig.r, rig.batch, rig.now);
    turn(&rig);
    assert_int_equal(rig.n_fatal, 1);
    n_sent = rig.n_sent;
    rig.now += 10 * ELECTION_US;
    turn(&rig);
    assert_int_equal(rig.n_sent, n_sent);
    rig_done(&rig);
}

/* CORE-2: a pause of 2^32 us and a little is not a little. */
static void replica__a_leader_that_was_stopped_for_long_leads_no_more(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig, 3);
    lead(&rig);
    n2_has_round(&rig, 0);
    rig.now += ((uint64_t)1 << 32) + HEARTBEAT_US;
    turn(&rig);
    assert_int_not_equal(raft_get_role(replica_raft(rig.r)), RAFT_LEADER);
    rig_done(&rig);
}

/* ---- what a failure says ---- */

static void replica__a_write_in_the_log_fails_with_its_fate_unknown(void **state)
{
    struct ask lost;
    struct ask late;
    struct ask waiting;
    struct rig rig;

    (void)state;
    rig_init(&rig, 3);
    ask_write(&rig, &waiting, "1", NULL);
    rig.now += 20000000;
    turn(&rig);
    assert_int_equal(waiting.n_failed, 1);
    assert_false(waiting.failure.after_append);
    lead(&rig);
    ask_write(&rig, &late, "1", NULL);
    turn(&rig);
    late.rr.deadline_us = 0; /* looked at only when its tick comes */
    rig.now += HEARTBEAT_US;
    n2_has_round(&rig, 0);
    rig.now += 9990000;
    n2_has_round(&rig, 0);
    turn(&rig);
    n2_has_round(&rig, 0);
    rig.now += 20000;
    turn(&rig);
    assert_int_equal(late.n_failed, 1);
    assert_true(late.failure.after_append);
    assert_true(late.failure.error == WIRE_ERROR_TIMEOUT ||
                late.failure.error == WIRE_ERROR_NETWORK);
    lead(&rig);
    ask_write(&rig, &lost, "1", NULL);
    turn(&rig);
    lose_and_lead_again(&rig);
    assert_int_equal(lost.n_written, 0);
    assert_int_equal(lost.n_failed, 1);
    assert_int_equal(lost.failure.error, WIRE_ERROR_TERM_CHANGED);
    assert_true(lost.failure.after_append);
    rig_done(&rig);
}

/* ---- the service on top ---- */

static void line(struct service_conn *c, const char *text)
{
    service_line(c, text, strlen(text), 1);
}

static bool replied(const struct rig *rig, const char *text)
{
    return rig->out.len > 0 && memmem(rig->out.data, rig->out.len, text, strlen(text)) != NULL;
}

/* Both methods against a counter that grows meanwhile: nothing here is wrong, and compare says so.
 */
static void service__compare_finds_both_methods_right(void **state)
{
    struct service_conn *c;
    struct rig rig;

    (void)state;
    for (unsigned n_voters = 1; n_voters <= 3; n_voters += 2) {
        rig_init(&rig, n_voters);
        lead(&rig);
        assert_int_equal(service_conn_new(rig.s, NULL, &c), 0);
        line(c,
             "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":200,\"verbose\":true}");
        for (unsigned i = 0; i < 20000 && rig.out.len == 0; i++) {
            service_turn(rig.s, rig.now);
            turn(&rig);
            store(&rig);
            if (n_voters > 1 && raft_get_role(replica_raft(rig.r)) == RAFT_LEADER) {
                n2_has_all(&rig);
                n2_has_round(&rig, round_of(&rig));
            }
            rig.now += 500;
        }
        assert_true(replied(&rig, "\"compare_read_methods_ok\""));
        assert_true(replied(&rig, "\"both_linearizable\":true"));
        assert_true(replied(&rig, "\"method\":\"read_index\",\"reads\":200"));
        assert_int_equal(service_n_pending(rig.s), 0);
        service_conn_free(c);
        rig_done(&rig);
    }
}

/* READ-57: the client may repeat the one, and not the other. */
static void service__only_a_write_that_never_was_in_the_log_fails_definitely(void **state)
{
    struct service_conn *c;
    struct rig rig;

    (void)state;
    rig_init(&rig, 3);
    assert_int_equal(service_conn_new(rig.s, NULL, &c), 0);
    line(c, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"x\",\"value\":1,\"timeout_ms\":100}");
    rig.now += 200000;
    turn(&rig);
    assert_true(replied(&rig, "\"in_reply_to\":1"));
    assert_true(replied(&rig, "\"definite\":true"));
    buf_reset(&rig.out, 0);
    lead(&rig);
    line(c, "{\"type\":\"write\",\"msg_id\":2,\"key\":\"x\",\"value\":1,\"timeout_ms\":1000}");
    turn(&rig);
    from_n2(&rig, (struct raft_msg){.type = RAFT_MSG_HEARTBEAT, .term = term_of(&rig) + 1});
    turn(&rig);
    assert_true(replied(&rig, "\"in_reply_to\":2"));
    assert_true(replied(&rig, "\"definite\":false"));
    service_conn_free(c);
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replica__a_read_waits_until_its_index_is_applied),
        cmocka_unit_test(replica__a_read_sees_the_writes_of_its_session),
        cmocka_unit_test(replica__writes_of_an_earlier_term_set_no_floor),
        cmocka_unit_test(replica__a_read_of_the_log_fails_with_its_marker),
        cmocka_unit_test(replica__a_read_of_the_log_sees_the_state_at_its_marker),
        cmocka_unit_test(replica__a_late_round_does_not_answer_the_next_read),
        cmocka_unit_test(replica__each_acknowledgement_waits_for_its_own_batch),
        cmocka_unit_test(replica__a_state_that_cannot_commit_ends_the_node),
        cmocka_unit_test(replica__a_leader_that_was_stopped_for_long_leads_no_more),
        cmocka_unit_test(replica__a_write_in_the_log_fails_with_its_fate_unknown),
        cmocka_unit_test(service__compare_finds_both_methods_right),
        cmocka_unit_test(service__only_a_write_that_never_was_in_the_log_fails_definitely),
    };

    return cmocka_run_group_tests_name("replica-rules", tests, NULL, NULL);
}
