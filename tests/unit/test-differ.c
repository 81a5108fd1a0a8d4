/* States that differ, at one node whose peers say what the test wants: when a check is begun again,
 * and when nothing may be concluded from it (FIT-8, FIT-9). Time is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine_int.h"
#include "unit/fake-disk.h"

#define OWN_VERSION 3u
#define MSGS_MAX    64

static const char *const names[] = {"n1", "n2", "n3", "n4", "n5"}; /* n1 is the engine */

struct peer {
    bool is_here;
    bool is_reading; /* itself through, for as long as the test goes on */
    uint64_t state;  /* what its digest says */
};

struct rig {
    uint64_t now_us;
    struct fake_disk *disk;
    struct engine_conf conf;
    struct engine_state state;
    struct engine *engine;
    struct raft_entry_id applied;
    uint64_t own_state;
    bool forgets; /* its digest of what it applied last */
    unsigned n_rebuilds;
    bool is_damaged; /* the next step of a scrub finds it */
    uint64_t passes;
    struct peer peers[5];
    struct raft_msg sent[MSGS_MAX];
    unsigned n_sent;
    struct raft_note said; /* with the last heartbeat or answer to one */
    bool said_more;        /* than the core's flags, with any */
};

/* ---- what the engine asks of its host and its state ---- */

static uint64_t rig_now(void *ctx)
{
    return ((struct rig *)ctx)->now_us;
}

static void rig_send(void *ctx, const struct raft_msg *m)
{
    struct rig *rig = ctx;

    assert_true(rig->n_sent < MSGS_MAX);
    rig->sent[rig->n_sent++] = *m;
    if (m->type != RAFT_MSG_HEARTBEAT && m->type != RAFT_MSG_HEARTBEAT_RESP)
        return;
    rig->said = m->note;
    rig->said_more |= (m->note.flags & ~RAFT_NOTE_CORE) != 0;
}

static void rig_end(void *ctx, const struct engine_end *end)
{
    (void)ctx;
    fail_msg("%s", end->what);
}

static void rig_trace(void *ctx, const struct raft_trace *t)
{
    (void)ctx;
    (void)t;
}

static struct raft_entry_id rig_last_applied(void *ctx)
{
    return ((struct rig *)ctx)->applied;
}

static int rig_nothing(void *ctx)
{
    (void)ctx;
    return 0;
}

static void rig_none(void *ctx)
{
    (void)ctx;
}

static int rig_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    ((struct rig *)ctx)->applied = e->id;
    *ret_result = (struct command_result){.index = e->id.index};
    return 0;
}

static int rig_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    (void)ctx;
    (void)key;
    *ret_value = (struct command_value){0};
    return 0;
}

static int rig_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    *ret_last_applied = rig_last_applied(ctx);
    return 0;
}

static int rig_rebuild(void *ctx)
{
    struct rig *rig = ctx;

    rig->applied = (struct raft_entry_id){0};
    rig->n_rebuilds++;
    return 0;
}

static bool rig_digest_at(void *ctx, raft_index index, struct raft_digest_at *ret)
{
    struct rig *rig = ctx;

    if (index != rig->applied.index || rig->forgets)
        return false;
    *ret = (struct raft_digest_at){index, 7, rig->own_state};
    return true;
}

static int rig_scrub(void *ctx, size_t bytes, struct kv_scrub_progress *ret)
{
    struct rig *rig = ctx;

    (void)bytes;
    if (rig->is_damaged) {
        rig->is_damaged = false;
        return KV_E_DAMAGED;
    }
    *ret = (struct kv_scrub_progress){.passes = ++rig->passes, .percent = 100, .bytes = 1};
    return 0;
}

/* ---- birth and death ---- */

/* The first n_voters of n are. */
static void start_with(struct rig *rig, unsigned n, unsigned n_voters)
{
    const struct engine_ops ops = {.ctx = rig,
                                   .now_us = rig_now,
                                   .send = rig_send,
                                   .end = rig_end,
                                   .trace = rig_trace,
                                   .invalid_action = "close_link"};
    struct raft_configuration c;
    cleanup_buf struct buf b = BUF_INIT;

    *rig = (struct rig){.now_us = 1000000, .own_state = 1};
    rig->disk = fake_disk_new(7);
    rig->state = (struct engine_state){.ctx = rig,
                                       .last_applied = rig_last_applied,
                                       .begin = rig_nothing,
                                       .apply = rig_apply,
                                       .apply_get = rig_get,
                                       .commit = rig_nothing,
                                       .abort = rig_none,
                                       .read_begin = rig_read_begin,
                                       .get = rig_get,
                                       .read_end = rig_none,
                                       .rebuild = rig_rebuild,
                                       .digest_at = rig_digest_at,
                                       .digest_version = OWN_VERSION,
                                       .scrub = rig_scrub,
                                       .scrub_restart = rig_none};
    rig->conf = (struct engine_conf){.node_name = "n1",
                                     .state = &rig->state,
                                     .log = {.vfs = fake_disk_vfs(rig->disk),
                                             .cluster_id = "a test",
                                             .node_id = raft_founder_id("n1"),
                                             .incarnation = 5,
                                             .segment_first_bytes = 1u << 16,
                                             .segment_bytes = 1u << 18},
                                     .log_path = "data/wal"};
    raft_conf_init(&rig->conf.raft);
    rig->conf.raft.id = rig->conf.log.node_id;
    rig->conf.raft.seed = 3;
    raft_configuration_init(&c);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(raft_configuration_add(&c, raft_founder_id(names[i]), names[i],
                                                i < n_voters ? RAFT_VOTER : RAFT_LEARNER, "", ""),
                         0);
    assert_int_equal(raft_configuration_encode(&c, &b), 0);
    assert_int_equal(engine_create_log(&rig->conf, b.data, b.len), 0);
    assert_int_equal(engine_new(&ops, NULL, &rig->engine), 0);
    assert_int_equal(engine_open(rig->engine, &rig->conf), 0);
}

static void start(struct rig *rig, unsigned n)
{
    start_with(rig, n, n);
}

static void rig_done(struct rig *rig)
{
    engine_free(rig->engine, true);
    fake_disk_free(rig->disk);
}

/* ---- peers ---- */

static void come(struct rig *rig, unsigned i, uint64_t state)
{
    rig->peers[i] = (struct peer){.is_here = true, .state = state};
    replica_link(engine_replica(rig->engine), raft_founder_id(names[i]), true, rig->now_us);
}

/* Of the indexes that the engine spoke of, and the number of its check. */
static struct raft_note note_of(const struct rig *rig, const struct peer *p)
{
    struct raft_note note = {
        .flags = RAFT_NOTE_SAID, .digest_version = OWN_VERSION, .check = rig->said.check};

    if (p->is_reading)
        note.check = 0;

    for (unsigned i = 0; i < 2; i++)
        if (rig->said.digests[i].index != 0)
            note.digests[i] = (struct raft_digest_at){rig->said.digests[i].index, 7, p->state};
    /* The leader may have asked without knowing its own. */
    if (rig->engine->differ.check != 0)
        note.digests[0] = (struct raft_digest_at){rig->engine->differ.at.index, 7, p->state};
    return note;
}

static void step(struct rig *rig, const struct raft_msg *m)
{
    assert_int_equal(replica_step(engine_replica(rig->engine), m, rig->now_us), 0);
}

/* What a good follower answers. */
static void answer(struct rig *rig, const struct peer *p, const struct raft_msg *m)
{
    struct raft_msg resp = {.from = m->to, .to = m->from, .term = m->term};

    switch ((int)m->type) { /* int: the rest is for default */
    case RAFT_MSG_PRE_VOTE:
        resp.type = RAFT_MSG_PRE_VOTE_RESP;
        break;
    case RAFT_MSG_VOTE:
        resp.type = RAFT_MSG_VOTE_RESP;
        break;
    case RAFT_MSG_APPEND:
        resp.type = RAFT_MSG_APPEND_RESP;
        resp.index = m->prev.index + m->n_entries;
        break;
    case RAFT_MSG_HEARTBEAT:
        resp.type = RAFT_MSG_HEARTBEAT_RESP;
        resp.round = m->round;
        resp.note = note_of(rig, p);
        break;
    default:
        return;
    }
    step(rig, &resp);
}

static void turn(struct rig *rig)
{
    engine_turn(rig->engine, rig->now_us);
    engine_work(rig->engine, rig->now_us);
}

static void advance(struct rig *rig, uint64_t us)
{
    const uint64_t until_us = rig->now_us + us;

    while (rig->now_us < until_us) {
        rig->now_us += 1000;
        turn(rig);
        for (unsigned k = 0; k < rig->n_sent; k++) {
            const struct raft_msg m = rig->sent[k];

            for (unsigned i = 1; i < 5; i++)
                if (m.to == raft_founder_id(names[i]) && rig->peers[i].is_here)
                    answer(rig, &rig->peers[i], &m);
        }
        rig->n_sent = 0;
    }
}

static void lead(struct rig *rig)
{
    for (unsigned i = 0; i < 100 && !raft_can_serve(engine_raft(rig->engine)); i++)
        advance(rig, 100000);
    assert_true(raft_can_serve(engine_raft(rig->engine)));
}

static enum raft_fitness fitness(const struct rig *rig)
{
    return raft_get_fitness(engine_raft(rig->engine));
}

/* ---- the leader ---- */

/* Two that differ, and the third is away: nobody knows, and nobody is asked again for a minute. The
 * third comes, and with it the answer: at once, for the one that leads may be the wrong one. */
static void differ__who_was_missing_is_asked_when_it_comes(void **state)
{
    struct rig rig;

    (void)state;
    start(&rig, 3);
    come(&rig, 1, 1);
    lead(&rig);
    rig.peers[1].state = 2;
    advance(&rig, 5000000);
    assert_string_equal(engine_verdict(rig.engine), "differs");
    assert_int_equal(rig.engine->differ.n_checks, 1);
    assert_int_equal(fitness(&rig), RAFT_FIT);
    assert_int_equal(raft_get_role(engine_raft(rig.engine)), RAFT_LEADER);
    come(&rig, 2, 2);
    advance(&rig, 1000000);
    assert_int_equal(rig.engine->differ.n_checks, 2);
    assert_int_equal(fitness(&rig), RAFT_UNFIT);
    rig_done(&rig);
}

/* All are there and differ, so there is nobody to wait for: once in a minute. */
static void differ__a_split_of_all_is_looked_at_seldom(void **state)
{
    struct rig rig;

    (void)state;
    start(&rig, 3);
    come(&rig, 1, 1);
    come(&rig, 2, 1);
    lead(&rig);
    rig.peers[1].state = 2;
    rig.peers[2].state = 3;
    advance(&rig, 5000000);
    assert_int_equal(rig.engine->differ.n_checks, 1);
    assert_int_equal(fitness(&rig), RAFT_FIT);
    advance(&rig, AGREE_AGAIN_US);
    assert_int_equal(rig.engine->differ.n_checks, 2);
    rig_done(&rig);
}

/* A learner decides nothing: whether it has read itself through or not, nobody is asked sooner. */
static void differ__a_learner_that_reads_is_not_waited_for(void **state)
{
    struct rig rig;

    (void)state;
    start_with(&rig, 4, 3);
    come(&rig, 1, 1);
    come(&rig, 2, 1);
    come(&rig, 3, 1);
    lead(&rig);
    rig.peers[1].state = 2;
    rig.peers[2].state = 3;
    rig.peers[3].is_reading = true;
    advance(&rig, 5000000);
    assert_int_equal(rig.engine->differ.n_checks, 1);
    advance(&rig, AGREE_AGAIN_US);
    assert_int_equal(rig.engine->differ.n_checks, 2);
    rig_done(&rig);
}

/* A majority has one state, another node has another, and the leader has forgotten what its own was
 * there. It says of nobody that it is wrong, itself included, before it has asked for an index that
 * it knows. */
static void differ__a_leader_without_a_digest_judges_nobody(void **state)
{
    struct rig rig;

    (void)state;
    start(&rig, 5);
    for (unsigned i = 1; i < 5; i++)
        come(&rig, i, 1);
    lead(&rig);
    for (unsigned i = 1; i < 5; i++)
        rig.peers[i].state = i < 4 ? 2 : 3;
    while (rig.engine->differ.check == 0)
        advance(&rig, 1000);
    rig.forgets = true;
    memset(rig.engine->differ.said, 0, sizeof(rig.engine->differ.said));
    advance(&rig, 3 * AGREE_INDEX_US);
    assert_true(rig.engine->differ.check != 0);
    assert_true(rig.engine->differ.right.index != 0); /* the majority was found */
    assert_false(rig.said_more);
    assert_int_equal(fitness(&rig), RAFT_FIT);
    rig.forgets = false;
    advance(&rig, 2 * AGREE_INDEX_US);
    assert_false(rig.said_more);
    assert_int_equal(fitness(&rig), RAFT_UNFIT);
    rig_done(&rig);
}

/* ---- a follower ---- */

static void hear_state(struct rig *rig, uint64_t check, uint64_t state)
{
    const struct raft_msg m = {.type = RAFT_MSG_HEARTBEAT,
                               .from = raft_founder_id("n2"),
                               .to = raft_founder_id("n1"),
                               .term = 5,
                               .leader_commit = 1,
                               .note = {.flags = RAFT_NOTE_SAID,
                                        .digest_version = OWN_VERSION,
                                        .check = check,
                                        .digests = {{.index = 1, .high = 7, .low = state}}}};

    step(rig, &m);
    turn(rig);
    turn(rig);
    rig->n_sent = 0;
    rig->now_us += rig->conf.raft.heartbeat_us;
}

static void hear_check(struct rig *rig, uint64_t check)
{
    hear_state(rig, check, 1);
}

/* A follower differed from its leader, which was wrong and handed over to it. It knows of nobody that
 * differs any more, and nobody tells a leader that he is right: it asks, and forgets. */
static void differ__who_leads_after_the_wrong_one_forgets_it(void **state)
{
    struct rig rig;

    (void)state;
    start(&rig, 3);
    for (unsigned i = 0; i < 4; i++)
        hear_state(&rig, 0, 2);
    assert_string_equal(engine_verdict(rig.engine), "differs");
    for (unsigned i = 1; i < 3; i++)
        come(&rig, i, 1);
    lead(&rig);
    advance(&rig, 5000000);
    assert_string_equal(engine_verdict(rig.engine), "good");
    assert_int_equal(rig.engine->differ.n_checks, 1);
    assert_int_equal(fitness(&rig), RAFT_FIT);
    rig_done(&rig);
}

/* Its state is found damaged by the check itself, and made again: the check is answered with what
 * was made, also where nothing is read through without being asked for. */
static void differ__a_state_made_again_is_checked_again(void **state)
{
    struct rig rig;

    (void)state;
    start(&rig, 3);
    for (unsigned i = 0; i < 4; i++)
        hear_check(&rig, 9);
    assert_int_equal(rig.said.check, 9);
    rig.is_damaged = true;
    for (unsigned i = 0; i < 8; i++)
        hear_check(&rig, 10);
    assert_int_equal(rig.n_rebuilds, 1);
    assert_int_equal(fitness(&rig), RAFT_FIT);
    assert_int_equal(rig.said.check, 10);
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differ__who_was_missing_is_asked_when_it_comes),
        cmocka_unit_test(differ__a_split_of_all_is_looked_at_seldom),
        cmocka_unit_test(differ__a_learner_that_reads_is_not_waited_for),
        cmocka_unit_test(differ__a_leader_without_a_digest_judges_nobody),
        cmocka_unit_test(differ__a_state_made_again_is_checked_again),
        cmocka_unit_test(differ__who_leads_after_the_wrong_one_forgets_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
