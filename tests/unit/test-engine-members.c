/* Changes of the members from a client's request to their end: several engines in one process, each
 * with a disk in memory, joined by a queue of messages that the test cuts. New nodes wait at an
 * address until a leader tells them who they are; that is played. Time is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "engine/engine_int.h"
#include "unit/fake-disk.h"
#include "wire/frame.h"

#include "base/banned.h"

#define HOSTS      7u
#define ELECTION   RAFT_ELECTION_US_DEFAULT
#define STEP_US    5000u
#define HOUR_US    UINT64_C(3600000000)
#define MANY_STEPS (20 * ELECTION / STEP_US) /* in which every change comes to its end */

struct rig;

struct host {
    struct rig *rig;
    unsigned i;
    char name[8];
    char peer_addr[16];
    char client_addr[16];
    raft_node_id id;
    uint64_t incarnation;
    bool waits; /* for a leader that tells it who it is */
    bool is_cut;
    bool is_old;      /* of a version that knows no changes */
    unsigned version; /* of the protocol, else; 0: one that knows of changes and no more */
    bool never_joins; /* it says no */
    bool is_unmet;    /* nobody met it since the start */
    struct fake_disk *disk;
    struct engine_state state;
    struct engine_conf conf;
    struct raft_entry_id applied;
    struct engine *engine; /* NULL: it does not run */
    struct service_conn *conn;
    struct buf out;
};

struct letter {
    struct raft_msg m;
    struct raft_entry *entries; /* one block */
};

struct rig {
    uint64_t now_us;
    struct host hosts[HOSTS + 1]; /* 1 .. HOSTS */
    struct letter letters[4096];
    unsigned n_letters;
    unsigned n_joins;
    unsigned n_asks;
    unsigned n_ends;
    bool holds_joins; /* whoever is told takes its time */
};

static struct rig rig;

/* ---- what an engine asks of its host ---- */

static uint64_t host_now(void *ctx)
{
    (void)ctx;
    return rig.now_us;
}

static void host_send(void *ctx, const struct raft_msg *m)
{
    const struct host *h = ctx;
    struct letter *l = &rig.letters[rig.n_letters];
    size_t bytes = m->n_entries * sizeof(*m->entries);
    unsigned char *p;

    if (h->is_cut)
        return;
    assert_true(rig.n_letters < sizeof(rig.letters) / sizeof(rig.letters[0]));
    for (unsigned k = 0; k < m->n_entries; k++)
        bytes += m->entries[k].len;
    *l = (struct letter){.m = *m, .entries = malloc(bytes + 1)};
    assert_non_null(l->entries);
    p = (unsigned char *)(l->entries + m->n_entries);
    for (unsigned k = 0; k < m->n_entries; k++) {
        l->entries[k] = m->entries[k];
        if (m->entries[k].len == 0)
            continue;
        memcpy(p, m->entries[k].data, m->entries[k].len);
        l->entries[k].data = p;
        p += m->entries[k].len;
    }
    l->m.entries = m->n_entries > 0 ? l->entries : NULL;
    assert_null(m->part);
    rig.n_letters++;
}

static void host_end(void *ctx, const struct engine_end *end)
{
    (void)ctx;
    rig.n_ends++;
    fail_msg("%s", end->what);
}

static void host_trace(void *ctx, const struct raft_trace *t)
{
    (void)ctx;
    (void)t;
}

static struct buf *host_out(void *ctx, void *conn)
{
    (void)ctx;
    return &((struct host *)conn)->out;
}

static void host_owes(void *ctx, void *conn)
{
    (void)ctx;
    (void)conn;
}

static struct host *host_of(raft_node_id id)
{
    for (unsigned i = 1; i <= HOSTS; i++)
        if (rig.hosts[i].id == id)
            return &rig.hosts[i];
    return NULL;
}

static const char *host_peer_addr(void *ctx, raft_node_id id)
{
    (void)ctx;
    for (unsigned i = 1; i <= HOSTS; i++) /* a founder's by its file, also when its disk is lost */
        if (rig.hosts[i].id == id || raft_founder_id(rig.hosts[i].name) == id)
            return rig.hosts[i].peer_addr;
    return NULL;
}

static bool host_connected(void *ctx, raft_node_id id)
{
    const struct host *h = ctx;
    const struct host *other = host_of(id);

    return other != NULL && other->engine != NULL && !other->is_cut && !h->is_cut;
}

static unsigned version_of(const struct host *h)
{
    if (h->version != 0)
        return h->version;
    return h->is_old ? WIRE_VERSION_SNAPSHOTS - 1 : WIRE_VERSION_SNAPSHOTS;
}

static unsigned host_peer_version(void *ctx, raft_node_id id)
{
    const struct host *h = host_of(id);

    (void)ctx;
    return h == NULL || h->is_unmet ? 0 : version_of(h);
}

static bool host_random(void *ctx, void *ret, size_t n)
{
    const struct host *h = ctx;

    memset(ret, (int)h->i, n);
    return true;
}

static int host_join(void *ctx, const struct engine_join *j, uint64_t *ret_incarnation);

/* ---- its state: it counts, and no more ---- */

static struct raft_entry_id state_last_applied(void *ctx)
{
    return ((struct host *)ctx)->applied;
}

static int state_nothing(void *ctx)
{
    (void)ctx;
    return 0;
}

static void state_none(void *ctx)
{
    (void)ctx;
}

static int state_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    ((struct host *)ctx)->applied = e->id;
    *ret_result = (struct command_result){.index = e->id.index};
    return 0;
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    (void)ctx;
    (void)key;
    *ret_value = (struct command_value){0};
    return 0;
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    *ret_last_applied = state_last_applied(ctx);
    return 0;
}

/* ---- birth and death ---- */

static void stop(unsigned i)
{
    struct host *h = &rig.hosts[i];

    if (h->engine == NULL)
        return;
    service_conn_free(h->conn);
    engine_free(h->engine, true);
    h->engine = NULL;
    h->conn = NULL;
}

static void start(unsigned i)
{
    struct host *h = &rig.hosts[i];
    const struct engine_ops ops = {.ctx = h,
                                   .now_us = host_now,
                                   .send = host_send,
                                   .end = host_end,
                                   .trace = host_trace,
                                   .out = host_out,
                                   .hold = host_owes,
                                   .release = host_owes,
                                   .peer_addr = host_peer_addr,
                                   .peer_version = host_peer_version,
                                   .peer_connected = host_connected,
                                   .random = host_random,
                                   .join = host_join,
                                   .invalid_action = "close_link"};
    const struct service_conf service = {.cluster_name = "test", .seed = 1};

    assert_null(h->engine);
    assert_int_equal(engine_new(&ops, &service, &h->engine), 0);
    assert_int_equal(engine_open(h->engine, &h->conf), 0);
    assert_int_equal(service_conn_new(engine_service(h->engine), h, &h->conn), 0);
}

/* Its folder with a log that begins with this configuration. */
static void make(unsigned i, raft_node_id id, const void *config, size_t len)
{
    struct host *h = &rig.hosts[i];

    if (h->disk != NULL)
        fake_disk_free(h->disk);
    h->disk = fake_disk_new(7 + i);
    h->id = id;
    h->applied = (struct raft_entry_id){0};
    h->state = (struct engine_state){.ctx = h,
                                     .last_applied = state_last_applied,
                                     .begin = state_nothing,
                                     .apply = state_apply,
                                     .apply_get = state_get,
                                     .commit = state_nothing,
                                     .abort = state_none,
                                     .read_begin = state_read_begin,
                                     .get = state_get,
                                     .read_end = state_none};
    h->conf = (struct engine_conf){.node_name = h->name,
                                   .state = &h->state,
                                   .may_be_stranger = true,
                                   .log = {.vfs = fake_disk_vfs(h->disk),
                                           .cluster_id = "a test",
                                           .node_id = id,
                                           .incarnation = h->incarnation,
                                           .segment_first_bytes = 1u << 16,
                                           .segment_bytes = 1u << 18},
                                   .log_path = "data/wal"};
    raft_conf_init(&h->conf.raft);
    h->conf.raft.id = id;
    h->conf.raft.seed = 3 + i;
    assert_int_equal(engine_create_log(&h->conf, config, len), 0);
}

static int host_join(void *ctx, const struct engine_join *j, uint64_t *ret_incarnation)
{
    static const unsigned char none[16];

    (void)ctx;
    rig.n_asks += j->len == 0;
    rig.n_joins += j->len > 0;
    if (j->len > 0)
        assert_memory_not_equal(j->cluster_id, none, sizeof(none));
    for (unsigned i = 1; i <= HOSTS; i++) {
        struct host *h = &rig.hosts[i];

        if (!h->waits || h->is_cut || strcmp(h->peer_addr, j->peer_addr) != 0)
            continue;
        if (h->never_joins)
            return err_say(-1, "its directory is not empty");
        if (version_of(h) < j->version_lowest)
            return err_say(-1, "another version");
        if (j->len == 0)
            return 0;
        if (h->engine == NULL) {
            (void)snprintf(h->name, sizeof(h->name), "%s", j->name);
            make(i, raft_member_id(j->name, h->incarnation), j->config, j->len);
            start(i);
        }
        *ret_incarnation = h->incarnation;
        return 0;
    }
    return err_say(-1, "nobody waits at %s", j->peer_addr);
}

/* The first n found the cluster; the others wait. */
static void found(unsigned n)
{
    struct raft_configuration c;
    cleanup_buf struct buf b = BUF_INIT;

    memset(&rig, 0, sizeof(rig));
    rig.now_us = 1000000;
    raft_configuration_init(&c);
    for (unsigned i = 1; i <= HOSTS; i++) {
        struct host *h = &rig.hosts[i];

        *h = (struct host){.rig = &rig, .i = i, .incarnation = 100 + i, .waits = i > n};
        buf_init(&h->out);
        (void)snprintf(h->name, sizeof(h->name), "n%u", i);
        (void)snprintf(h->peer_addr, sizeof(h->peer_addr), "n%u:1", i);
        (void)snprintf(h->client_addr, sizeof(h->client_addr), "n%u:2", i);
        if (i <= n)
            assert_int_equal(
                raft_configuration_add(&c, raft_founder_id(h->name), h->name, RAFT_VOTER, "", ""),
                0);
    }
    assert_int_equal(raft_configuration_encode(&c, &b), 0);
    for (unsigned i = 1; i <= n; i++) {
        make(i, raft_founder_id(rig.hosts[i].name), b.data, b.len);
        start(i);
    }
}

static int done(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= HOSTS; i++) {
        stop(i);
        if (rig.hosts[i].disk != NULL)
            fake_disk_free(rig.hosts[i].disk);
        buf_done(&rig.hosts[i].out);
    }
    for (unsigned k = 0; k < rig.n_letters; k++)
        free(rig.letters[k].entries);
    return 0;
}

/* Its disk is lost, and it waits as a new node. */
static void wipe(unsigned i)
{
    stop(i);
    rig.hosts[i].incarnation += 1000;
    rig.hosts[i].id = 0;
    rig.hosts[i].waits = true;
}

/* ---- time ---- */

static const struct raft *raft_of(unsigned i)
{
    assert_non_null(rig.hosts[i].engine);
    return engine_raft(rig.hosts[i].engine);
}

static void deliver(void)
{
    static struct letter letters[4096];
    const unsigned n = rig.n_letters;

    rig.now_us += STEP_US;
    memcpy(letters, rig.letters, n * sizeof(letters[0]));
    rig.n_letters = 0;
    for (unsigned k = 0; k < n; k++) {
        struct host *h = host_of(letters[k].m.to);

        if (h != NULL && h->engine != NULL && !h->is_cut)
            assert_int_equal(replica_step(engine_replica(h->engine), &letters[k].m, rig.now_us), 0);
        free(letters[k].entries);
    }
}

static void turns(void)
{
    for (unsigned i = 1; i <= HOSTS; i++) {
        struct host *h = &rig.hosts[i];

        if (h->engine == NULL)
            continue;
        h->engine->members.has_thread = rig.holds_joins;
        for (unsigned k = 0; k < 3; k++) {
            engine_turn(h->engine, rig.now_us);
            engine_work(h->engine, rig.now_us);
        }
        h->engine->members.has_thread = false;
    }
}

static void step(void)
{
    deliver();
    turns();
}

static void run(uint64_t us)
{
    for (const uint64_t until = rig.now_us + us; rig.now_us < until;)
        step();
}

/* The one of the highest term that serves; 0: none. */
static unsigned leader(void)
{
    unsigned best = 0;

    for (unsigned i = 1; i <= HOSTS; i++)
        if (rig.hosts[i].engine != NULL && !rig.hosts[i].is_cut && raft_can_serve(raft_of(i)) &&
            (best == 0 || raft_get_term(raft_of(i)) > raft_get_term(raft_of(best))))
            best = i;
    return best;
}

static unsigned lead(void)
{
    for (unsigned k = 0; k < MANY_STEPS && leader() == 0; k++)
        step();
    assert_int_not_equal(leader(), 0);
    return leader();
}

static void lead_as(unsigned i)
{
    for (unsigned k = 0; k < 20 && lead() != i; k++) {
        (void)replica_transfer(engine_replica(rig.hosts[lead()].engine), rig.hosts[i].id,
                               rig.now_us);
        run(2 * ELECTION);
    }
    assert_int_equal(leader(), i);
}

/* ---- asking ---- */

static struct wire_slice slice(const char *s)
{
    return (struct wire_slice){s, s != NULL ? strlen(s) : 0};
}

struct question {
    const char *id;
    const char *addr; /* NULL: that of the host with this name */
    const char *old;
    bool learner;
    bool dry_run;
    bool force;
    uint64_t based_on;
};

static struct service_member_answer ask_at(unsigned i, enum wire_request_type verb,
                                           struct question q)
{
    struct service_member_answer a;
    char peer[32];
    char client[32];
    struct wire_member m = {.id = slice(q.id),
                            .old = slice(q.old),
                            .learner = q.learner,
                            .dry_run = q.dry_run,
                            .force = q.force,
                            .based_on = q.based_on};

    (void)snprintf(peer, sizeof(peer), "%s:1", q.addr != NULL ? q.addr : q.id);
    (void)snprintf(client, sizeof(client), "%s:2", q.addr != NULL ? q.addr : q.id);
    if (verb != WIRE_REQ_MEMBER_REMOVE && verb != WIRE_REQ_MEMBER_PROMOTE &&
        verb != WIRE_REQ_MEMBER_DEMOTE && verb != WIRE_REQ_MEMBER_REJOIN) {
        m.peer_addr = slice(peer);
        m.client_addr = slice(client);
    }
    engine_member(rig.hosts[i].engine, verb, &m, &a);
    return a;
}

#define ASK(verb, ...) ask_at(lead(), WIRE_REQ_MEMBER_##verb, (struct question){__VA_ARGS__})

static void assert_begun(struct service_member_answer a)
{
    if (a.error != WIRE_ERROR_NONE)
        fail_msg("%s", a.text);
    assert_false(a.done);
}

static void assert_is_done(struct service_member_answer a)
{
    if (a.error != WIRE_ERROR_NONE)
        fail_msg("%s", a.text);
    assert_true(a.done);
}

static void assert_refused(struct service_member_answer a, enum wire_error error, const char *part)
{
    assert_int_equal(a.error, error);
    assert_false(a.done);
    if (strstr(a.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", a.text, part);
}

/* "n1 n2 n3l": the members, by the leader's committed configuration. */
static const char *members(void)
{
    static char text[256];
    const struct raft *raft = raft_of(lead());
    const struct raft_configuration *c =
        &raft_config_at(raft, raft_get_commit_index(raft))->configuration;
    size_t n = 0;

    text[0] = '\0';
    for (unsigned k = 0; k < c->n; k++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s", k > 0 ? " " : "",
                              c->servers[k].name, c->servers[k].role == RAFT_LEARNER ? "l" : "");
    return text;
}

static bool is_settled(const char *want)
{
    unsigned l = leader();

    return l != 0 && strcmp(members(), want) == 0 &&
           raft_get_configuration_index(raft_of(l)) <= raft_get_commit_index(raft_of(l));
}

static void wait_for(const char *want)
{
    for (unsigned k = 0; k < MANY_STEPS; k++) {
        if (is_settled(want))
            return;
        step();
    }
    fail_msg("the members are \"%s\", and should be \"%s\"; last task %d '%s'", members(), want,
             (int)rig.hosts[lead()].engine->members.task.state,
             rig.hosts[lead()].engine->members.task.why);
}

static const struct member_task *task(void)
{
    return &rig.hosts[lead()].engine->members.task;
}

static const struct raft_server *member(const char *name)
{
    return raft_configuration_get_name(raft_get_configuration(raft_of(lead())), name);
}

/* What a client sees. */
static const char *say(const char *line)
{
    static char text[8192];
    struct host *h = &rig.hosts[lead()];

    buf_reset(&h->out, 0);
    (void)service_line(h->conn, line, strlen(line), 1);
    engine_turn(h->engine, rig.now_us);
    assert_true(h->out.len < sizeof(text));
    memcpy(text, h->out.data, h->out.len);
    text[h->out.len] = '\0';
    return text;
}

static void assert_says(const char *line, const char *part)
{
    const char *text = say(line);

    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say %s", text, part);
}

/* ---- add ---- */

/* MEMBER-7, MEMBER-16. */
static void members__a_node_is_added_and_becomes_a_voter(void **state)
{
    unsigned char id[16];
    struct service_member_answer a;

    (void)state;
    found(3);
    a = ASK(ADD, .id = "n4");
    assert_begun(a);
    assert_int_equal(a.voters_before, 3);
    assert_int_equal(a.voters_after, 4);
    assert_int_equal(a.heard_after, 4);
    wait_for("n1 n2 n3 n4");
    assert_int_equal(rig.n_joins, 1);
    assert_true(member("n4")->id == raft_member_id("n4", 104));
    assert_true(member("n4")->incarnation == 104);
    assert_string_equal(member("n4")->peer_addr, "n4:1");
    assert_string_equal(member("n1")->peer_addr, "n1:1"); /* what the founders' entry had not */
    assert_false(member("n4")->promote);
    assert_int_equal(member("n4")->patience_ms, 0);
    assert_true(engine_cluster_id(rig.hosts[lead()].engine, id));
    assert_false(
        raft_cluster_id_is_alone(id)); /* what clients have seen stays where it is (TOKEN-1) */
    run(ELECTION);
    for (unsigned i = 1; i <= 4; i++) {
        unsigned char its[16];

        assert_true(engine_cluster_id(rig.hosts[i].engine, its));
        assert_memory_equal(its, id, sizeof(id));
    }
    assert_is_done(ASK(ADD, .id = "n4"));
    assert_int_equal(rig.n_asks, 1);
    assert_int_equal(rig.n_joins, 1);
    assert_begun(ASK(ADD, .id = "n5"));
    wait_for("n1 n2 n3 n4 n5");
    assert_int_equal(rig.n_asks, 1); /* the cluster has its id */
}

/* MEMBER-16: what a directory says of its cluster outlives the process, so its log must, too. */
static void members__the_id_counts_where_it_is_on_the_disk(void **state)
{
    struct raft_status st;
    unsigned char id[16];
    bool was_seen = false;

    (void)state;
    found(3);
    lead_as(1);
    rig.hosts[3].is_cut = true;
    assert_begun(ASK(SET_ADDR, .id = "n2", .addr = "other"));
    for (unsigned k = 0; k < MANY_STEPS && !is_settled("n1 n2 n3"); k++)
        step();
    assert_true(engine_cluster_id(rig.hosts[1].engine, id));
    rig.hosts[3].is_cut = false;
    /* It is told of entry and commit at once; its disk comes later. */
    for (unsigned k = 0; k < MANY_STEPS && !was_seen; k++) {
        deliver();
        raft_get_status(raft_of(3), &st);
        if (raft_configuration_has_cluster_id(raft_get_configuration(raft_of(3))) &&
            st.commit_index >= raft_get_configuration_index(raft_of(3)) &&
            st.last_stored < raft_get_configuration_index(raft_of(3))) {
            was_seen = true;
            assert_false(engine_cluster_id(rig.hosts[3].engine, id));
        }
        turns();
    }
    assert_true(was_seen);
    run(ELECTION);
    assert_true(engine_cluster_id(rig.hosts[3].engine, id));
}

static void members__a_learner_stays_one_until_it_is_promoted(void **state)
{
    struct service_member_answer a;

    (void)state;
    found(3);
    a = ASK(ADD, .id = "n4", .learner = true);
    assert_begun(a);
    assert_int_equal(a.voters_after, 3);
    wait_for("n1 n2 n3 n4l");
    run(4 * ELECTION);
    wait_for("n1 n2 n3 n4l");
    assert_is_done(ASK(ADD, .id = "n4", .learner = true));
    assert_refused(ASK(ADD, .id = "n4"), WIRE_ERROR_PRECONDITION_FAILED, "promote it");
    a = ASK(PROMOTE, .id = "n4");
    assert_begun(a);
    assert_int_equal(a.voters_after, 4);
    assert_begun(ASK(PROMOTE, .id = "n4")); /* it is no voter yet */
    assert_refused(ASK(ADD, .id = "n4", .learner = true), WIRE_ERROR_PRECONDITION_FAILED,
                   "demote it");
    wait_for("n1 n2 n3 n4");
    assert_is_done(ASK(PROMOTE, .id = "n4"));
    a = ASK(DEMOTE, .id = "n4");
    assert_begun(a);
    assert_int_equal(a.voters_after, 3);
    wait_for("n1 n2 n3 n4l");
    assert_is_done(ASK(DEMOTE, .id = "n4"));
}

/* Who is not there is not made a voter, however much it holds (MEMBER-7). */
static void members__a_learner_that_is_silent_is_not_promoted(void **state)
{
    (void)state;
    found(3);
    assert_begun(ASK(ADD, .id = "n4", .learner = true));
    wait_for("n1 n2 n3 n4l");
    run(2 * ELECTION);
    rig.hosts[4].is_cut = true;
    run(2 * ELECTION);
    assert_begun(ASK(PROMOTE, .id = "n4"));
    run(4 * ELECTION);
    wait_for("n1 n2 n3 n4l");
    assert_begun(ASK(PROMOTE, .id = "n4")); /* asked again it is not done either */
    assert_says("{\"type\":\"member_promote\",\"msg_id\":1,\"id\":\"n4\"}", "\"done\":false");
    rig.hosts[4].is_cut = false;
    wait_for("n1 n2 n3 n4");
}

/* Its disk was lost while it caught up: it never comes back under that number. */
static void members__a_learner_that_was_wiped_is_not_promoted(void **state)
{
    (void)state;
    found(3);
    assert_begun(ASK(ADD, .id = "n4", .learner = true));
    wait_for("n1 n2 n3 n4l");
    wipe(4);
    run(2 * ELECTION);
    assert_begun(ASK(PROMOTE, .id = "n4"));
    run(4 * ELECTION);
    wait_for("n1 n2 n3 n4l");
    assert_begun(ASK(REJOIN, .id = "n4")); /* it goes on with what it was to become */
    wait_for("n1 n2 n3 n4");
    assert_true(member("n4")->id == raft_member_id("n4", 1104));
}

static void members__a_short_election_timeout_still_sees_short_rounds(void **state)
{
    (void)state;
    found(1);
    stop(1);
    rig.hosts[1].conf.raft.election_timeout_us = 30000;
    rig.hosts[1].conf.raft.heartbeat_us = 10000;
    start(1);
    assert_begun(ASK(ADD, .id = "n2"));
    wait_for("n1 n2");
}

static void members__whoever_cannot_be_told_is_not_added(void **state)
{
    (void)state;
    found(3);
    rig.hosts[4].never_joins = true;
    assert_begun(ASK(ADD, .id = "n4"));
    run(ELECTION);
    assert_int_equal(task()->state, TASK_FAILED);
    assert_string_equal(task()->why, "its directory is not empty");
    assert_says("{\"type\":\"members\",\"msg_id\":1}",
                "\"last_task\":{\"id\":\"n4\",\"state\":\"failed\",\"why\":\"its directory is not "
                "empty\",\"task\":");
    assert_begun(ASK(ADD, .id = "n9", .addr = "n9"));
    run(ELECTION);
    assert_string_equal(task()->why, "nobody waits at n9:1");
    wait_for("n1 n2 n3");
    /* The cluster is as it was, and an earlier version can still take part. */
    assert_int_equal(raft_get_configuration_index(raft_of(lead())), 1);
    assert_int_equal(rig.n_joins, 0);
    rig.hosts[4].never_joins = false;
    assert_begun(ASK(ADD, .id = "n4"));
    wait_for("n1 n2 n3 n4");
}

/* A request that is repeated is no second one, and another one is not the same. */
static void members__another_task_waits(void **state)
{
    (void)state;
    found(3);
    rig.holds_joins = true;
    assert_begun(ASK(ADD, .id = "n4"));
    run(ELECTION);
    assert_begun(ASK(ADD, .id = "n4"));
    assert_refused(ASK(ADD, .id = "n4", .addr = "n5"), WIRE_ERROR_BUSY, "'n4' is being added");
    assert_refused(ASK(ADD, .id = "n4", .learner = true), WIRE_ERROR_BUSY, "'n4' is being added");
    assert_refused(ASK(REPLACE, .id = "n4", .old = "n3"), WIRE_ERROR_BUSY, "'n4' is being added");
    assert_refused(ASK(ADD, .id = "n5"), WIRE_ERROR_BUSY, "'n4' is being added");
    assert_says("{\"type\":\"members\",\"msg_id\":1}", "\"state\":\"asking\"");
    rig.holds_joins = false;
    wait_for("n1 n2 n3 n4");
    assert_int_equal(rig.n_joins, 1);
}

/* A name that is on its way out: the new one waits until that is committed. */
static void members__a_name_that_is_being_removed_can_be_added(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(ADD, .id = "n4"));
    wait_for("n1 n2 n3 n4");
    assert_begun(ASK(REMOVE, .id = "n4"));
    assert_false(ASK(REMOVE, .id = "n4").done); /* not committed */
    wipe(4);
    assert_begun(ASK(ADD, .id = "n4"));
    wait_for("n1 n2 n3 n4");
    assert_true(member("n4")->id == raft_member_id("n4", 1104));
}

/* MEMBER-5: a directory whose number was removed is no new node. */
static void members__a_removed_directory_does_not_come_back(void **state)
{
    (void)state;
    found(3);
    assert_begun(ASK(ADD, .id = "n4"));
    wait_for("n1 n2 n3 n4");
    assert_begun(ASK(REMOVE, .id = "n4"));
    wait_for("n1 n2 n3");
    assert_begun(ASK(ADD, .id = "n4"));
    run(ELECTION);
    assert_int_equal(task()->state, TASK_FAILED);
    assert_non_null(strstr(task()->why, "needs an empty one"));
    wait_for("n1 n2 n3");
}

/* What is said of a removal is where it stands in the log. */
static void members__a_tombstone_names_its_entry(void **state)
{
    const struct raft_removed *gone;

    (void)state;
    found(3);
    lead_as(1);
    run(ELECTION);
    assert_begun(ASK(REMOVE, .id = "n3"));
    gone = raft_configuration_removed(raft_get_configuration(raft_of(1)), rig.hosts[3].id);
    assert_non_null(gone);
    assert_true(gone->index == raft_get_configuration_index(raft_of(1)));
    assert_string_equal(gone->name, "n3");
    assert_string_equal(engine_name_of(rig.hosts[1].engine, rig.hosts[3].id), "n3");
    assert_string_equal(engine_name_of(rig.hosts[1].engine, 4711), "?");
    assert_string_equal(engine_name_of(rig.hosts[1].engine, 0), "none");
}

/* ---- who is heard ---- */

/* Seventeen servers have been met in the life of this process: the last is heard as the first was. */
static void members__many_that_came_and_went_are_heard(void **state)
{
    (void)state;
    found(1);
    (void)lead();
    for (unsigned k = 0; k < RAFT_SERVERS_MAX + 2; k++) {
        assert_begun(ASK(ADD, .id = "n2"));
        wait_for("n1 n2");
        run(ELECTION);
        assert_int_equal(ASK(ADD, .id = "n3", .dry_run = true).heard_after, 3);
        assert_begun(ASK(REMOVE, .id = "n2"));
        wait_for("n1");
        wipe(2);
    }
}

/* MEMBER-8: whose link has gone was heard a moment ago, and is not there all the same. */
static void members__who_was_stopped_just_now_does_not_count(void **state)
{
    struct service_member_answer a;

    (void)state;
    found(3);
    lead_as(1);
    run(ELECTION);
    rig.hosts[3].is_cut = true;
    a = ASK(REMOVE, .id = "n2");
    assert_refused(a, WIRE_ERROR_PRECONDITION_FAILED,
                   "no quorum, 1 more must be heard: of the 2 voters that would be left 1 are, and "
                   "2 are needed");
    a = ASK(REMOVE, .id = "n3", .dry_run = true);
    assert_int_equal(a.heard_after, 2);
    /* A link that breaks for a moment makes nobody anew. */
    a = ASK(REJOIN, .id = "n3");
    assert_refused(a, WIRE_ERROR_PRECONDITION_FAILED, "'n3' is heard");
}

/* MEMBER-8. */
static void members__a_change_that_leaves_no_quorum_is_refused(void **state)
{
    struct service_member_answer a;

    (void)state;
    found(3);
    lead_as(1);
    rig.hosts[3].is_cut = true;
    run(2 * ELECTION);
    a = ASK(REMOVE, .id = "n2");
    assert_refused(a, WIRE_ERROR_PRECONDITION_FAILED,
                   "no quorum, 1 more must be heard: of the 2 voters that would be left 1 are, and "
                   "2 are needed");
    assert_refused(ASK(DEMOTE, .id = "n2"), WIRE_ERROR_PRECONDITION_FAILED, "of the 2 voters");
    assert_refused(ASK(REMOVE, .id = "n2", .dry_run = true), WIRE_ERROR_PRECONDITION_FAILED,
                   "of the 2 voters");
    assert_refused(ASK(REMOVE, .id = "n1"), WIRE_ERROR_PRECONDITION_FAILED, "of the 2 voters");
    assert_int_equal(leader(), 1); /* nothing was handed over for it */
    assert_begun(ASK(REMOVE, .id = "n2", .dry_run = true, .force = true));
    wait_for("n1 n2 n3");
    assert_begun(ASK(REMOVE, .id = "n3"));
    wait_for("n1 n2");
}

/* ---- what is asked, and what is so already ---- */

/* MEMBER-3. */
static void members__what_is_so_is_done_whatever_it_was_made_from(void **state)
{
    raft_index based_on;

    (void)state;
    found(4);
    based_on = raft_get_configuration_index(raft_of(lead()));
    lead_as(1);
    assert_begun(ASK(REMOVE, .id = "n4", .based_on = based_on));
    wait_for("n1 n2 n3");
    assert_is_done(ASK(REMOVE, .id = "n4", .based_on = based_on));
    assert_refused(ASK(REMOVE, .id = "n3", .based_on = based_on), WIRE_ERROR_PRECONDITION_FAILED,
                   "the members have changed since: the configuration is that of index");
    assert_begun(ASK(SET_ADDR, .id = "n3", .addr = "elsewhere"));
    wait_for("n1 n2 n3");
    assert_string_equal(member("n3")->peer_addr, "elsewhere:1");
    assert_int_equal(member("n3")->role, RAFT_VOTER);
    assert_is_done(ASK(SET_ADDR, .id = "n3", .addr = "elsewhere", .based_on = based_on));
    assert_refused(ASK(SET_ADDR, .id = "n3", .addr = "n2"), WIRE_ERROR_PRECONDITION_FAILED,
                   "that is the address of 'n2'");
}

static void members__refusals_say_why(void **state)
{
    unsigned other;

    (void)state;
    found(3);
    lead_as(1);
    other = 2;
    assert_int_equal(ask_at(other, WIRE_REQ_MEMBER_ADD, (struct question){.id = "n4"}).error,
                     WIRE_ERROR_NOT_LEADER);
    assert_refused(ASK(PROMOTE, .id = "n9"), WIRE_ERROR_PRECONDITION_FAILED, "'n9' is no member");
    assert_refused(ASK(REJOIN, .id = "n9"), WIRE_ERROR_PRECONDITION_FAILED, "'n9' is no member");
    assert_refused(ASK(REPLACE, .id = "n4", .old = "n9"), WIRE_ERROR_PRECONDITION_FAILED,
                   "'n9' is no member");
    assert_refused(ASK(REPLACE, .id = "n2", .old = "n9"), WIRE_ERROR_PRECONDITION_FAILED,
                   "'n9' is no member"); /* a slip of the pen is not done */
    assert_refused(ASK(REPLACE, .id = "n3", .old = "n3"), WIRE_ERROR_PRECONDITION_FAILED,
                   "cannot replace itself");
    assert_refused(ASK(REPLACE, .id = "n4", .old = "n3", .learner = true),
                   WIRE_ERROR_PRECONDITION_FAILED, "only a voter is replaced");
    assert_refused(ASK(ADD, .id = "n3", .addr = "elsewhere"), WIRE_ERROR_PRECONDITION_FAILED,
                   "at another address");
    assert_refused(ASK(ADD, .id = "n4", .addr = "n3"), WIRE_ERROR_PRECONDITION_FAILED,
                   "that is the address of 'n3'");
    assert_refused(ASK(REJOIN, .id = "n3"), WIRE_ERROR_PRECONDITION_FAILED, "'n3' is heard");
    assert_refused(ASK(REJOIN, .id = "n1"), WIRE_ERROR_PRECONDITION_FAILED, "it is not gone");
    assert_refused(ASK(REMOVE, .id = "n1"), WIRE_ERROR_BUSY, "it leads, and hands over first");
    assert_refused(ASK(DEMOTE, .id = "n2"), WIRE_ERROR_BUSY, "ask again"); /* meanwhile */
    run(2 * ELECTION);
    lead_as(1);
    rig.hosts[3].is_old = true;
    assert_refused(ASK(ADD, .id = "n4"), WIRE_ERROR_PRECONDITION_FAILED,
                   "'n3' runs a version that does not know changes of the members"); /* MEMBER-17 */
    rig.hosts[3].is_old = false;
    rig.hosts[1].engine->ops.join = NULL;
    assert_refused(ASK(ADD, .id = "n4", .dry_run = true), WIRE_ERROR_NOT_SUPPORTED,
                   "no node can be added");
    assert_int_equal(rig.n_joins, 0);
    wait_for("n1 n2 n3");
}

/* Whoever said that it is of an earlier version would not understand the change when it comes back;
 * but it can be taken out, or replaced, when it is gone (MEMBER-17). */
static void members__an_earlier_version_that_is_away_holds_changes_up(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    run(ELECTION);
    rig.hosts[3].is_old = true;
    assert_refused(ASK(REMOVE, .id = "n3"), WIRE_ERROR_PRECONDITION_FAILED, "'n3' runs a version");
    stop(3);
    run(2 * ELECTION);
    assert_refused(ASK(DEMOTE, .id = "n2"), WIRE_ERROR_PRECONDITION_FAILED, "'n3' runs a version");
    assert_refused(ASK(REMOVE, .id = "n2"), WIRE_ERROR_PRECONDITION_FAILED, "'n3' runs a version");
    assert_begun(ASK(REMOVE, .id = "n3"));
    wait_for("n1 n2");
}

static void members__a_dry_run_counts_and_changes_nothing(void **state)
{
    const struct {
        enum wire_request_type verb;
        struct question q;
        unsigned voters;
        unsigned heard;
    } tests[] = {
        {WIRE_REQ_MEMBER_ADD, {.id = "n4"}, 4, 4},
        {WIRE_REQ_MEMBER_ADD, {.id = "n4", .learner = true}, 3, 3},
        {WIRE_REQ_MEMBER_REPLACE, {.id = "n4", .old = "n3"}, 3, 3},
        {WIRE_REQ_MEMBER_REMOVE, {.id = "n3"}, 2, 2},
        {WIRE_REQ_MEMBER_REMOVE, {.id = "n1"}, 2, 2},
        {WIRE_REQ_MEMBER_DEMOTE, {.id = "n2"}, 2, 2},
        {WIRE_REQ_MEMBER_SET_ADDR, {.id = "n2", .addr = "x"}, 3, 3},
    };
    raft_index last;

    (void)state;
    found(3);
    lead_as(1);
    run(ELECTION);
    last = raft_get_commit_index(raft_of(1));
    for (unsigned k = 0; k < sizeof(tests) / sizeof(tests[0]); k++) {
        struct question q = tests[k].q;
        struct service_member_answer a;

        q.dry_run = true;
        a = ask_at(1, tests[k].verb, q);
        assert_begun(a);
        assert_int_equal(a.voters_before, 3);
        assert_int_equal(a.voters_after, tests[k].voters);
        assert_int_equal(a.heard_after, tests[k].heard);
        step();
        assert_int_equal(raft_get_configuration_index(raft_of(1)), 1);
    }
    assert_true(raft_get_commit_index(raft_of(1)) == last);
    assert_int_equal(rig.n_joins, 0);
    assert_int_equal(leader(), 1);
    rig.hosts[3].is_cut = true;
    run(2 * ELECTION);
    assert_int_equal(ASK(REPLACE, .id = "n4", .old = "n3", .dry_run = true).heard_after, 3);
    assert_int_equal(ASK(REPLACE, .id = "n4", .old = "n2", .dry_run = true).heard_after, 2);
    assert_int_equal(ASK(REJOIN, .id = "n3", .dry_run = true).voters_after, 3);
    assert_int_equal(ASK(REJOIN, .id = "n3", .dry_run = true).heard_after, 3);
}

/* MEMBER-24: a client takes no end for that of another task. */
static void members__a_task_has_a_number(void **state)
{
    struct service_member_answer a;
    uint64_t first;
    char part[64];

    (void)state;
    found(3);
    rig.hosts[4].never_joins = true;
    a = ASK(ADD, .id = "n4");
    first = a.task;
    assert_true(first != 0 && first < UINT64_C(1) << 53);
    assert_true(ASK(ADD, .id = "n4").task == first); /* the same one */
    assert_true(ASK(DEMOTE, .id = "n3").task == 0);
    for (unsigned k = 0; k < MANY_STEPS && task()->state != TASK_FAILED; k++)
        step();
    (void)snprintf(part, sizeof(part), "\"task\":%llu,\"taken_back\":0}",
                   (unsigned long long)first);
    assert_says("{\"type\":\"members\",\"msg_id\":1}", part);
    rig.hosts[4].never_joins = false;
    a = ASK(ADD, .id = "n4");
    assert_true(a.task != 0 && a.task != first);
}

static void members__what_is_under_way_is_shown(void **state)
{
    (void)state;
    found(3);
    assert_says("{\"type\":\"members\",\"msg_id\":1}", "\"changes\":[],\"last_task\":null");
    assert_begun(ASK(REPLACE, .id = "n4", .old = "n3"));
    for (unsigned k = 0; k < MANY_STEPS && member("n4") == NULL; k++)
        step();
    assert_says("{\"type\":\"members\",\"msg_id\":1}",
                "\"changes\":[{\"id\":\"n4\",\"what\":\"catching up\",\"replaces\":\"n3\"");
    for (unsigned k = 0; k < MANY_STEPS && member("n4")->role != RAFT_VOTER; k++)
        step();
    assert_says("{\"type\":\"members\",\"msg_id\":1}", "\"what\":\"removing the old one\"");
    assert_begun(ASK(REPLACE, .id = "n4", .old = "n3")); /* the old one is there yet */
    assert_refused(ASK(REPLACE, .id = "n5", .old = "n3"), WIRE_ERROR_PRECONDITION_FAILED,
                   "being replaced by 'n4' already");
    wait_for("n1 n2 n4");
    assert_is_done(ASK(REPLACE, .id = "n4", .old = "n3"));
    assert_says("{\"type\":\"members\",\"msg_id\":1}",
                "\"changes\":[],\"last_task\":{\"id\":\"n4\"");
    assert_says("{\"type\":\"member_add\",\"msg_id\":1,\"id\":\"n4\",\"peer_addr\":\"n4:1\","
                "\"client_addr\":\"n4:2\"}",
                "\"type\":\"member_add_ok\",\"in_reply_to\":1,\"done\":true");
}

/* ---- replace (MEMBER-14) ---- */

static void members__the_leader_is_replaced_by_handing_over(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(REPLACE, .id = "n4", .old = "n1"));
    wait_for("n2 n3 n4");
    assert_int_not_equal(lead(), 1);
}

static void members__the_only_voter_is_replaced(void **state)
{
    (void)state;
    found(1);
    assert_refused(ASK(REMOVE, .id = "n1"), WIRE_ERROR_PRECONDITION_FAILED, "the last voter");
    assert_refused(ASK(DEMOTE, .id = "n1"), WIRE_ERROR_PRECONDITION_FAILED, "the last voter");
    assert_begun(ASK(REPLACE, .id = "n2", .old = "n1"));
    wait_for("n2");
    assert_begun(ASK(ADD, .id = "n3"));
    wait_for("n2 n3");
    assert_begun(ASK(REMOVE, .id = "n3"));
    wait_for("n2");
}

/* A successor that fails when it is a voter does not take the old one with it, and does not have
 * the leader stop its writes again and again. */
static void promote_and_cut(const char *old)
{
    found(3);
    lead_as(1);
    assert_begun(ASK(REPLACE, .id = "n4", .old = old));
    for (unsigned k = 0;
         k < MANY_STEPS && (member("n4") == NULL || member("n4")->role != RAFT_VOTER); k++)
        step();
    assert_int_equal(member("n4")->role, RAFT_VOTER);
    rig.hosts[1].engine->members.due_us = rig.now_us + 3 * ELECTION; /* it is busy */
    run(ELECTION / 4);
    rig.hosts[4].is_cut = true;
    run(3 * ELECTION);
}

static void members__a_failed_successor_removes_nobody(void **state)
{
    unsigned n = 0;

    (void)state;
    promote_and_cut("n3");
    run(8 * ELECTION);
    wait_for("n1 n2 n3 n4");
    rig.hosts[4].is_cut = false;
    wait_for("n1 n2 n4");
    done(NULL);
    promote_and_cut("n1");
    for (unsigned k = 0; k < 1000; k++) {
        step();
        n += raft_is_transferring(raft_of(lead()));
    }
    assert_int_equal(n, 0);
    rig.hosts[4].is_cut = false;
    wait_for("n2 n3 n4");
}

/* A member becomes the successor: it was added for that, perhaps, by somebody who did not say so. */
static void members__a_member_replaces_another(void **state)
{
    (void)state;
    found(4);
    lead_as(1);
    assert_begun(ASK(ADD, .id = "n5", .learner = true));
    wait_for("n1 n2 n3 n4 n5l");
    assert_begun(ASK(REPLACE, .id = "n5", .old = "n4"));
    wait_for("n1 n2 n3 n5");
    assert_begun(ASK(REPLACE, .id = "n5", .old = "n3"));
    wait_for("n1 n2 n5");
    assert_is_done(ASK(REPLACE, .id = "n5", .old = "n3"));
}

enum replace_step { NAMED, TOLD, IN_LOG, LEARNER, VOTER, GONE, REPLACE_STEPS };

static bool has_come_to(unsigned l, enum replace_step s)
{
    const struct raft *raft = raft_of(l);
    const struct raft_configuration *c = raft_get_configuration(raft);
    const struct raft_server *n4 = raft_configuration_get_name(c, "n4");
    const bool committed = raft_get_configuration_index(raft) <= raft_get_commit_index(raft);

    switch (s) {
    case NAMED:
        return raft_configuration_has_cluster_id(c);
    case TOLD:
        return rig.n_joins > 0;
    case IN_LOG:
        return n4 != NULL;
    case LEARNER:
        return n4 != NULL && committed;
    case VOTER:
        return n4 != NULL && n4->role == RAFT_VOTER;
    case GONE:
    case REPLACE_STEPS:
        break;
    }
    return raft_configuration_get_name(c, "n3") == NULL &&
           raft_configuration_get_name(c, "n1") != NULL;
}

/* The leader falls at each of the six steps, is cut off or dies, and comes back, or not before all
 * is over; it is the one that is replaced, or another. It ends all the same, with as many voters. */
static void members__replace_survives_its_leader(void **state)
{
    (void)state;
    for (unsigned k = 0; k < REPLACE_STEPS * 4; k++) {
        const enum replace_step at = (enum replace_step)(k % REPLACE_STEPS);
        const bool dies = k / REPLACE_STEPS % 2 == 1;
        const bool comes_back = k / REPLACE_STEPS >= 2;
        struct service_member_answer a;

        found(3);
        lead_as(1);
        assert_begun(ASK(REPLACE, .id = "n4", .old = "n3"));
        for (unsigned j = 0; j < MANY_STEPS && !has_come_to(1, at); j++)
            step();
        assert_true(has_come_to(1, at));
        if (dies)
            stop(1);
        else
            rig.hosts[1].is_cut = true;
        run(4 * ELECTION);
        if (comes_back && dies)
            start(1);
        rig.hosts[1].is_cut = rig.hosts[1].is_cut && !comes_back;
        /* The client repeats it until it is done: what is in the log goes on by itself. */
        for (unsigned j = 0; j < MANY_STEPS; j++) {
            a = ASK(REPLACE, .id = "n4", .old = "n3");
            if (a.error != WIRE_ERROR_NONE && a.error != WIRE_ERROR_BUSY &&
                a.error != WIRE_ERROR_NOT_LEADER)
                fail_msg("step %d: %s", (int)at, a.text);
            if (a.error == WIRE_ERROR_NONE && a.done)
                break;
            step();
        }
        wait_for("n1 n2 n4");
        assert_int_equal(raft_configuration_n_voters(raft_get_configuration(raft_of(lead()))), 3);
        (void)done(NULL);
    }
    memset(&rig, 0, sizeof(rig));
}

/* Once it stands in the log nobody has to ask again, also where the leader is the one that goes. */
static void members__the_next_leader_goes_on(void **state)
{
    (void)state;
    for (enum replace_step at = LEARNER; at <= VOTER; at++) {
        found(3);
        lead_as(1);
        assert_begun(ASK(REPLACE, .id = "n4", .old = "n1"));
        for (unsigned j = 0; j < MANY_STEPS && !has_come_to(1, at); j++)
            step();
        stop(1);
        if (at == VOTER) { /* perhaps not committed: then the next one promotes it again */
            run(4 * ELECTION);
        }
        wait_for("n2 n3 n4");
        (void)done(NULL);
    }
    memset(&rig, 0, sizeof(rig));
}

/* The entry went with the leadership: who asks the node that began it is told. */
static void members__a_task_whose_entry_is_lost_says_so(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(ADD, .id = "n4", .learner = true)); /* the cluster has its id then */
    wait_for("n1 n2 n3 n4l");
    rig.holds_joins = true;
    assert_begun(ASK(ADD, .id = "n5"));
    run(ELECTION / 4);
    rig.holds_joins = false;
    for (unsigned i = 2; i <= 4; i++)
        rig.hosts[i].is_cut = true;
    for (unsigned k = 0; k < 20 && rig.hosts[1].engine->members.task.state != TASK_IN_LOG; k++)
        step();
    assert_int_equal(rig.hosts[1].engine->members.task.state, TASK_IN_LOG);
    rig.hosts[1].is_cut = true;
    step(); /* what is on its way is lost */
    for (unsigned i = 2; i <= 4; i++)
        rig.hosts[i].is_cut = false;
    run(4 * ELECTION);
    rig.hosts[1].is_cut = false;
    run(4 * ELECTION);
    assert_int_equal(rig.hosts[1].engine->members.task.state, TASK_FAILED);
    assert_non_null(strstr(rig.hosts[1].engine->members.task.why, "lost with the leadership"));
    assert_begun(ASK(ADD, .id = "n5"));
    wait_for("n1 n2 n3 n4l n5");
}

/* While the new node is told, its leader falls: the task ends there. */
static void members__a_task_ends_with_its_leader(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(ADD, .id = "n4"));
    for (unsigned k = 0; k < MANY_STEPS && task()->state == TASK_ASKING; k++)
        step();
    rig.holds_joins = true;
    run(ELECTION / 2);
    assert_int_equal(rig.hosts[1].engine->members.task.state, TASK_JOINING);
    rig.hosts[1].is_cut = true;
    run(4 * ELECTION);
    rig.holds_joins = false;
    run(ELECTION);
    assert_int_equal(rig.hosts[1].engine->members.task.state, TASK_FAILED);
    assert_non_null(strstr(rig.hosts[1].engine->members.task.why, "ask the new leader again"));
    rig.hosts[1].is_cut = false;
    run(ELECTION);
    wait_for("n1 n2 n3");
    assert_begun(ASK(ADD, .id = "n4"));
    wait_for("n1 n2 n3 n4");
}

/* ---- rejoin ---- */

static void members__a_wiped_node_comes_back_as_another(void **state)
{
    raft_index based_on;

    (void)state;
    found(3);
    lead_as(1);
    wipe(3);
    run(2 * ELECTION);
    based_on = raft_get_configuration_index(raft_of(1));
    assert_begun(ASK(REJOIN, .id = "n3", .based_on = based_on));
    wait_for("n1 n2 n3");
    for (unsigned k = 0; k < MANY_STEPS && member("n3")->id != raft_member_id("n3", 1103); k++)
        step();
    wait_for("n1 n2 n3");
    assert_true(member("n3")->id == raft_member_id("n3", 1103));
    assert_non_null(
        raft_configuration_removed(raft_get_configuration(raft_of(lead())), raft_founder_id("n3")));
    assert_is_done(ASK(REJOIN, .id = "n3", .based_on = based_on)); /* repeated */
    assert_is_done(ASK(REJOIN, .id = "n3"));
}

/* MEMBER-25. */
static void members__changes_are_not_without_end(void **state)
{
    struct service_member_answer a = {.error = WIRE_ERROR_NONE};
    unsigned n = 0;

    (void)state;
    found(2);
    lead_as(1);
    for (; n < 2 * MEMBERS_CONFIGURATIONS_MAX && a.error == WIRE_ERROR_NONE; n++) {
        a = ASK(SET_ADDR, .id = "n2", .addr = n % 2 == 0 ? "other" : NULL);
        for (unsigned k = 0; k < MANY_STEPS && raft_get_configuration_index(raft_of(1)) >
                                                   raft_get_commit_index(raft_of(1));
             k++)
            step();
    }
    assert_int_equal(a.error, WIRE_ERROR_BUSY);
    assert_non_null(strstr(a.text, "ask again when its front has gone"));
    assert_int_equal(n, MEMBERS_CONFIGURATIONS_MAX);
    assert_int_equal(ASK(REMOVE, .id = "n2").error, WIRE_ERROR_NONE);
    wait_for("n1");
}

/* MEMBER-25. */
static void members__what_fails_is_not_said_each_time(void **state)
{
    const struct log_limit *limit;

    (void)state;
    found(1);
    lead_as(1);
    limit = &rig.hosts[1].engine->members.failed_limit;
    rig.hosts[4].is_cut = true;
    for (unsigned i = 0; i < 3 * MEMBERS_LOG_BURST; i++) {
        assert_begun(ASK(ADD, .id = "n4"));
        for (unsigned k = 0; k < MANY_STEPS && task()->state != TASK_FAILED; k++)
            step();
    }
    assert_true(limit->n_suppressed > MEMBERS_LOG_BURST);
}

/* MEMBER-14. Else nothing would ever be seen of what was asked for. */
static void members__who_lost_nothing_does_not_come_back_as_another(void **state)
{
    const raft_node_id id = raft_member_id("n3", 1103);

    (void)state;
    found(3);
    lead_as(1);
    wipe(3);
    run(2 * ELECTION);
    assert_begun(ASK(REJOIN, .id = "n3"));
    for (unsigned k = 0; k < MANY_STEPS && member("n3")->id != id; k++)
        step();
    wait_for("n1 n2 n3");
    rig.hosts[3].is_cut = true;
    run(2 * ELECTION);
    rig.holds_joins = true;
    assert_begun(ASK(REJOIN, .id = "n3"));
    rig.hosts[3].is_cut = false;
    rig.holds_joins = false;
    run(2 * ELECTION);
    assert_int_equal(task()->state, TASK_FAILED);
    assert_non_null(strstr(task()->why, "nothing was lost"));
    assert_true(member("n3")->id == id);
}

/* MEMBER-23: an earlier version did not look at what it was given. */
static void members__whose_address_is_wrong_does_not_come_back(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(SET_ADDR, .id = "n3", .addr = "a:b"));
    wait_for("n1 n2 n3");
    wipe(3);
    run(2 * ELECTION);
    assert_refused(ASK(REJOIN, .id = "n3"), WIRE_ERROR_PRECONDITION_FAILED,
                   "peer_addr 'a:b:1' of 'n3' is not an address");
    assert_begun(ASK(SET_ADDR, .id = "n3"));
    wait_for("n1 n2 n3");
    assert_begun(ASK(REJOIN, .id = "n3"));
}

/* A learner comes back as one. */
static void members__a_wiped_learner_stays_a_learner(void **state)
{
    (void)state;
    found(3);
    assert_begun(ASK(ADD, .id = "n4", .learner = true));
    wait_for("n1 n2 n3 n4l");
    wipe(4);
    run(2 * ELECTION);
    assert_int_equal(ASK(REJOIN, .id = "n4", .dry_run = true).voters_after, 3);
    assert_begun(ASK(REJOIN, .id = "n4"));
    run(6 * ELECTION);
    wait_for("n1 n2 n3 n4l");
    assert_true(member("n4")->id == raft_member_id("n4", 1104));
}

/* What it was to do it does: else a replace ends with one voter more. */
static void members__a_wiped_successor_still_replaces(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(REPLACE, .id = "n4", .old = "n3"));
    for (unsigned j = 0; j < MANY_STEPS && !has_come_to(1, LEARNER); j++)
        step();
    assert_int_equal(member("n4")->role, RAFT_LEARNER);
    wipe(4);
    run(2 * ELECTION);
    assert_int_equal(ASK(REJOIN, .id = "n4", .dry_run = true).voters_after, 3);
    assert_begun(ASK(REJOIN, .id = "n4"));
    wait_for("n1 n2 n4");
}

/* MEMBER-14. It would replace nobody, for ever, and nobody else could. */
static void members__a_successor_that_stays_a_learner_replaces_nobody(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(REPLACE, .id = "n4", .old = "n3"));
    for (unsigned j = 0; j < MANY_STEPS && !has_come_to(1, LEARNER); j++)
        step();
    assert_int_equal(member("n4")->role, RAFT_LEARNER);
    wipe(4);
    run(2 * ELECTION);
    assert_int_equal(ASK(REJOIN, .id = "n4", .learner = true, .dry_run = true).voters_after, 3);
    assert_begun(ASK(REJOIN, .id = "n4", .learner = true));
    wait_for("n1 n2 n3 n4l");
    for (unsigned j = 0; j < MANY_STEPS && member("n4")->id != raft_member_id("n4", 1104); j++)
        step();
    assert_true(member("n4")->id == raft_member_id("n4", 1104));
    assert_true(member("n4")->replaces == 0);
    assert_begun(ASK(REPLACE, .id = "n5", .old = "n3"));
    wait_for("n1 n2 n4l n5");
}

/* The old one was only slow: it is heard again before its place is given away. */
static void members__whoever_is_heard_again_keeps_its_place(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(ADD, .id = "n4", .learner = true)); /* the cluster has its id then */
    wait_for("n1 n2 n3 n4l");
    rig.hosts[3].is_cut = true;
    run(2 * ELECTION);
    rig.holds_joins = true;
    assert_begun(ASK(REJOIN, .id = "n3"));
    run(ELECTION / 2);
    rig.hosts[3].is_cut = false;
    (void)snprintf(rig.hosts[5].peer_addr, sizeof(rig.hosts[5].peer_addr), "n3:1"); /* a copy */
    run(ELECTION / 2);
    rig.holds_joins = false;
    run(ELECTION);
    assert_int_equal(task()->state, TASK_FAILED);
    assert_non_null(strstr(task()->why, "'n3' is heard again"));
    assert_true(member("n3")->id == raft_founder_id("n3"));
}

/* Who came back meanwhile by another leader's hand is not the one that was to go. */
static void members__an_old_task_removes_nobody_new(void **state)
{
    (void)state;
    found(3);
    lead_as(1);
    assert_begun(ASK(ADD, .id = "n4", .learner = true));
    wait_for("n1 n2 n3 n4l");
    wipe(3);
    run(2 * ELECTION);
    rig.holds_joins = true;
    assert_begun(ASK(REJOIN, .id = "n3"));
    run(ELECTION / 2);
    /* As if another had led meanwhile, and this one again. */
    rig.hosts[1].engine->members.task.exchanges ^= 1;
    rig.holds_joins = false;
    run(ELECTION);
    assert_non_null(strstr(task()->why, "the members have changed meanwhile"));
    assert_true(member("n3")->id == raft_founder_id("n3"));
}

/* ---- patience ---- */

static void wait_hours(unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        rig.now_us += HOUR_US;
        step();
        step();
    }
}

static void members__whoever_never_catches_up_is_removed(void **state)
{
    (void)state;
    found(1);
    assert_begun(ASK(ADD, .id = "n2"));
    for (unsigned k = 0; k < MANY_STEPS && !is_settled("n1 n2l"); k++)
        step();
    rig.hosts[2].is_cut = true;
    run(ELECTION);
    wait_hours(23);
    assert_string_equal(members(), "n1 n2l");
    wait_hours(2);
    wait_for("n1");
    assert_int_equal(task()->state, TASK_FAILED);
    assert_string_equal(task()->name, "n2");
    assert_string_equal(task()->why, "'n2' did not catch up within 86400 s and was removed again");
    assert_int_equal(task()->taken_back, raft_get_configuration_index(raft_of(lead())));
}

/* A promotion that was called off and asked for again begins its time anew. */
static void members__patience_begins_with_the_promotion(void **state)
{
    (void)state;
    found(1);
    assert_begun(ASK(ADD, .id = "n2"));
    for (unsigned k = 0; k < MANY_STEPS && !is_settled("n1 n2l"); k++)
        step();
    rig.hosts[2].is_cut = true;
    run(ELECTION);
    wait_hours(23);
    assert_begun(ASK(DEMOTE, .id = "n2"));
    run(ELECTION);
    assert_begun(ASK(PROMOTE, .id = "n2"));
    wait_hours(3);
    assert_string_equal(members(), "n1 n2l");
    rig.hosts[2].is_cut = false;
    wait_for("n1 n2");
}

/* Sixteen servers, as many learners as there can be: each has a place where its rounds are
 * counted. */
static void members__all_that_fit_are_brought_up(void **state)
{
    struct raft_configuration c;
    struct raft_entry_id id;
    char name[8];

    (void)state;
    found(1);
    (void)lead();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned k = 0; k < RAFT_SERVERS_MAX - 1; k++) {
            c = *raft_get_configuration(raft_of(1));
            (void)snprintf(name, sizeof(name), "l%u", k);
            assert_int_equal(raft_configuration_add(&c, raft_member_id(name, 1 + round), name,
                                                    RAFT_LEARNER, "x:1", "x:2"),
                             0);
            for (unsigned j = 0; j < c.n; j++)
                c.servers[j].promote = c.servers[j].role == RAFT_LEARNER;
            assert_int_equal(replica_configure(engine_replica(rig.hosts[1].engine), &c,
                                               raft_get_configuration_index(raft_of(1)), false,
                                               rig.now_us, &id),
                             0);
            run(ELECTION / 4);
        }
        assert_refused(ASK(ADD, .id = "n2"), WIRE_ERROR_PRECONDITION_FAILED, "at most 16 servers");
        for (unsigned k = 0; k < RAFT_SERVERS_MAX - 1; k++) {
            (void)snprintf(name, sizeof(name), "l%u", k);
            assert_begun(ASK(REMOVE, .id = name));
            run(ELECTION / 4);
        }
        wait_for("n1");
    }
}

/* ---- chaos ---- */

/* One after the other, 1 -> 2 -> 3 -> 2 -> 1, while whoever leads is cut off again and again: each
 * comes to its end within twenty election timeouts after healing. */
static void members__one_two_three_two_one(void **state)
{
    static const struct {
        enum wire_request_type verb;
        struct question q;
        const char *after;
    } steps[] = {
        {WIRE_REQ_MEMBER_ADD, {.id = "n2"}, "n1 n2"},
        {WIRE_REQ_MEMBER_ADD, {.id = "n3"}, "n1 n2 n3"},
        {WIRE_REQ_MEMBER_REMOVE, {.id = "n2"}, "n1 n3"},
        {WIRE_REQ_MEMBER_REMOVE, {.id = "n3"}, "n1"},
    };
    unsigned salt = 1;

    (void)state;
    found(1);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned k = 0; k < 4; k++) {
            struct service_member_answer a;

            for (unsigned j = 0; j < MANY_STEPS; j++) {
                a = ask_at(lead(), steps[k].verb, steps[k].q);
                if (a.error != WIRE_ERROR_NONE && a.error != WIRE_ERROR_BUSY &&
                    a.error != WIRE_ERROR_PRECONDITION_FAILED)
                    fail_msg("%s", a.text);
                if (a.done)
                    break;
                run(STEP_US * (salt % 7 + 1));
                salt = salt * 1103515245u + 12345u;
                if (j % 24 == 8) {
                    const unsigned cut = lead();

                    rig.hosts[cut].is_cut = true;
                    run(3 * ELECTION);
                    rig.hosts[cut].is_cut = false;
                    run(ELECTION);
                }
            }
            wait_for(steps[k].after);
        }
        wipe(2);
        wipe(3);
    }
}

/* ---- who may be asked ---- */

static bool asks(unsigned i, unsigned k)
{
    return engine_understands_asks(rig.hosts[i].engine, rig.hosts[k].id);
}

/* LEASE-15: a READ_ASK goes to whoever said that it understands it, and to nobody before. */
static void members__who_may_be_asked_is_known_with_its_link(void **state)
{
    (void)state;
    found(3);
    rig.hosts[2].version = WIRE_VERSION_ASKS;
    step();
    assert_true(asks(1, 2)); /* at the start */
    assert_false(asks(1, 3));
    assert_false(asks(1, 1)); /* nobody asks itself */
    rig.hosts[3].version = WIRE_VERSION_ASKS + 4;
    rig.hosts[2].version = WIRE_VERSION_ASKS - 1;
    step();
    assert_false(asks(1, 3)); /* it comes back with another version by a link */
    engine_link(rig.hosts[1].engine, rig.hosts[3].id, false, rig.now_us);
    step();
    assert_false(asks(1, 3));
    engine_link(rig.hosts[1].engine, rig.hosts[3].id, true, rig.now_us);
    step();
    assert_true(asks(1, 3));
    assert_false(asks(1, 2));
}

/* Its link was there before it was a member: the core did not know it, and is told again. */
static void members__who_becomes_a_member_may_be_asked(void **state)
{
    (void)state;
    found(3);
    for (unsigned i = 1; i <= 4; i++)
        rig.hosts[i].version = WIRE_VERSION_ASKS;
    assert_begun(ASK(ADD, .id = "n4"));
    wait_for("n1 n2 n3 n4");
    run(ELECTION);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(asks(i, 4));
        assert_true(asks(4, i));
    }
}

/* ---- leases ---- */

static unsigned version_in_force(unsigned i)
{
    return raft_get_configuration(raft_of(i))->version;
}

static void take_leases(uint64_t lease_us)
{
    for (unsigned i = 1; i <= HOSTS; i++)
        if (rig.hosts[i].engine != NULL)
            engine_set_lease(rig.hosts[i].engine, lease_us);
}

static const char *who_is_waited_for(void)
{
    const char *why = NULL;
    const struct raft_server *s = engine_leases_wait_for(rig.hosts[lead()].engine, &why);

    assert_int_equal(s == NULL, why == NULL);
    return s != NULL ? s->name : "";
}

/* LEASE-15: the leader says by itself that all members know of leases, once, and when somebody is to
 * take one; nothing else changes. */
static void members__the_version_is_raised_when_all_know_of_leases(void **state)
{
    raft_index index;

    (void)state;
    found(3);
    for (unsigned i = 1; i <= 3; i++)
        rig.hosts[i].version = WIRE_VERSION_ASKS;
    lead_as(1);
    run(4 * ELECTION);
    assert_int_equal(version_in_force(1), 0); /* nobody takes leases */
    assert_int_equal(engine_version_lowest(rig.hosts[1].engine), WIRE_VERSION_LOWEST);
    take_leases(300000);
    run(2 * ELECTION);
    wait_for("n1 n2 n3");
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(version_in_force(i), GATES_VERSION);
        assert_int_equal(engine_version_lowest(rig.hosts[i].engine), WIRE_VERSION_ASKS);
    }
    index = raft_get_configuration_index(raft_of(1));
    run(4 * ELECTION);
    assert_true(raft_get_configuration_index(raft_of(lead())) == index);
    /* It stays, whoever leads, and through all later changes. */
    take_leases(0);
    lead_as(2);
    assert_begun(ASK(SET_ADDR, .id = "n3", .addr = "other"));
    run(2 * ELECTION);
    wait_for("n1 n2 n3");
    assert_true(raft_get_configuration_index(raft_of(2)) > index);
    assert_int_equal(version_in_force(2), GATES_VERSION);
}

/* LEASE-15: one member of an earlier version would overlook what votes say of promises, and one that was
 * not met may be of any; a learner will vote some day. */
static void members__the_version_waits_for_whoever_may_not_know(void **state)
{
    (void)state;
    found(3);
    for (unsigned i = 1; i <= 3; i++)
        rig.hosts[i].version = WIRE_VERSION_ASKS;
    rig.hosts[3].version = WIRE_VERSION_ASKS - 1;
    lead_as(1);
    take_leases(300000);
    run(4 * ELECTION);
    assert_int_equal(version_in_force(1), 0);
    assert_string_equal(who_is_waited_for(), "n3");
    stop(3); /* and when it is away, too */
    run(4 * ELECTION);
    assert_int_equal(version_in_force(lead()), 0);
    rig.hosts[3].is_unmet = true;
    run(4 * ELECTION);
    assert_int_equal(version_in_force(lead()), 0);
    assert_string_equal(who_is_waited_for(), "n3");
    start(3);
    rig.hosts[3].version = WIRE_VERSION_ASKS + 1;
    rig.hosts[3].is_unmet = false;
    run(4 * ELECTION);
    assert_int_equal(version_in_force(lead()), GATES_VERSION);
    assert_string_equal(who_is_waited_for(), "");
}

/* LEASE-15: a node that is just being told who it is may be of an earlier version: before it is a member
 * nothing is raised, and then it is waited for. Once it is raised such a node is not told any more. */
static void members__an_earlier_version_does_not_join_any_more(void **state)
{
    (void)state;
    found(3);
    for (unsigned i = 1; i <= 3; i++)
        rig.hosts[i].version = WIRE_VERSION_ASKS;
    lead_as(1);
    rig.holds_joins = true;
    assert_begun(ASK(ADD, .id = "n4", .learner = true));
    run(ELECTION);
    take_leases(300000);
    run(4 * ELECTION);
    assert_int_equal(version_in_force(1), 0);
    rig.holds_joins = false;
    wait_for("n1 n2 n3 n4l");
    run(4 * ELECTION);
    assert_int_equal(version_in_force(1), MEMBERS_VERSION);
    assert_string_equal(who_is_waited_for(), "n4");
    assert_begun(ASK(REMOVE, .id = "n4"));
    wait_for("n1 n2 n3");
    run(2 * ELECTION);
    assert_int_equal(version_in_force(1), GATES_VERSION);
    assert_begun(ASK(ADD, .id = "n5"));
    run(2 * ELECTION);
    assert_int_equal(task()->state, TASK_FAILED);
    assert_non_null(strstr(task()->why, "another version"));
    rig.hosts[5].version = WIRE_VERSION_ASKS;
    assert_begun(ASK(ADD, .id = "n5"));
    wait_for("n1 n2 n3 n5");
    assert_int_equal(version_in_force(lead()), GATES_VERSION);
}

/* ---- leaders that come and go, as they are counted ---- */

static struct engine_metrics metrics;

static uint64_t changes(unsigned i, enum engine_leader_change reason)
{
    engine_get_metrics(rig.hosts[i].engine, &metrics);
    return metrics.leader_changes[reason];
}

/* SEE-6: by every node that saw it, for the reason that there was. */
static void members__changes_of_the_leader_have_a_reason(void **state)
{
    unsigned was;
    unsigned is;
    uint64_t alone_us;

    (void)state;
    found(3);
    was = lead();
    run(ELECTION);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(changes(i, ENGINE_LEADER_CHANGE_FIRST), 1);
        assert_int_equal(metrics.failover_us.n, 0); /* nothing was there before */
        assert_string_equal(metrics.leader, rig.hosts[was].name);
        assert_int_equal(metrics.role, i == was ? RAFT_LEADER : RAFT_FOLLOWER);
        assert_int_equal(metrics.n_voters, 3);
    }
    assert_int_equal(metrics.n_voters_heard, was == 3 ? 3 : 0);
    /* Handed over: nobody was without a leader for an election timeout. */
    is = was % 3 + 1;
    assert_int_equal(
        replica_transfer(engine_replica(rig.hosts[was].engine), rig.hosts[is].id, rig.now_us), 0);
    run(2 * ELECTION);
    assert_int_equal(lead(), is);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(changes(i, ENGINE_LEADER_CHANGE_TRANSFER), 1);
    /* Cut off: it hears no quorum; the others miss it. */
    engine_get_metrics(rig.hosts[was].engine, &metrics);
    alone_us = metrics.leaderless_us;
    rig.hosts[is].is_cut = true;
    run(6 * ELECTION);
    was = is;
    is = lead();
    assert_int_not_equal(was, is);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(changes(i, ENGINE_LEADER_CHANGE_SILENCE), i != was);
    engine_get_metrics(rig.hosts[is].engine, &metrics);
    assert_true(metrics.failover_us.n >= 1);
    assert_true(metrics.failover_us.max >= ELECTION);
    engine_get_metrics(rig.hosts[was].engine, &metrics);
    assert_true(metrics.leaderless_us > alone_us + 3 * ELECTION);
    assert_string_equal(metrics.leader, "");
    rig.hosts[was].is_cut = false;
    run(2 * ELECTION);
    assert_int_equal(changes(was, ENGINE_LEADER_CHANGE_QUORUM_LOST), 1);
    assert_string_equal(metrics.leader, rig.hosts[is].name);
}

static raft_node_id known_to(unsigned i)
{
    return raft_get_leader(raft_of(i));
}

/* FAILOVER-1: at the address that it has, and not for a link that ended; SEE-6. */
static void members__a_leader_that_is_gone(void **state)
{
    raft_node_id id;
    unsigned was;

    (void)state;
    found(3);
    was = lead();
    id = rig.hosts[was].id;
    run(ELECTION);
    rig.hosts[was].is_cut = true;
    for (unsigned i = 1; i <= 3; i++) {
        if (i == was)
            continue;
        engine_link(rig.hosts[i].engine, id, false, rig.now_us);
        assert_true(known_to(i) == id);
        engine_gone(rig.hosts[i].engine, id, "elsewhere:7401", rig.now_us);
        assert_true(known_to(i) == id);
        engine_set_fast_failover(rig.hosts[i].engine, false);
        engine_gone(rig.hosts[i].engine, id, rig.hosts[was].peer_addr, rig.now_us);
        assert_true(known_to(i) == id);
        engine_set_fast_failover(rig.hosts[i].engine, true);
        engine_gone(rig.hosts[i].engine, id, rig.hosts[was].peer_addr, rig.now_us);
        assert_true(known_to(i) == 0);
        engine_get_metrics(rig.hosts[i].engine, &metrics);
        assert_int_equal(metrics.early_campaigns, 1);
    }
    run(ELECTION / 2);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(changes(i, ENGINE_LEADER_CHANGE_GONE), i != was);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(members__##name, done)
    const struct CMUnitTest tests[] = {
        TEST(a_node_is_added_and_becomes_a_voter),
        TEST(the_id_counts_where_it_is_on_the_disk),
        TEST(a_learner_stays_one_until_it_is_promoted),
        TEST(a_learner_that_is_silent_is_not_promoted),
        TEST(a_learner_that_was_wiped_is_not_promoted),
        TEST(a_short_election_timeout_still_sees_short_rounds),
        TEST(whoever_cannot_be_told_is_not_added),
        TEST(another_task_waits),
        TEST(a_name_that_is_being_removed_can_be_added),
        TEST(a_removed_directory_does_not_come_back),
        TEST(a_tombstone_names_its_entry),
        TEST(many_that_came_and_went_are_heard),
        TEST(who_was_stopped_just_now_does_not_count),
        TEST(a_change_that_leaves_no_quorum_is_refused),
        TEST(what_is_so_is_done_whatever_it_was_made_from),
        TEST(refusals_say_why),
        TEST(an_earlier_version_that_is_away_holds_changes_up),
        TEST(a_dry_run_counts_and_changes_nothing),
        TEST(a_task_has_a_number),
        TEST(what_is_under_way_is_shown),
        TEST(the_leader_is_replaced_by_handing_over),
        TEST(changes_of_the_leader_have_a_reason),
        TEST(a_leader_that_is_gone),
        TEST(the_only_voter_is_replaced),
        TEST(a_failed_successor_removes_nobody),
        TEST(a_member_replaces_another),
        TEST(replace_survives_its_leader),
        TEST(the_next_leader_goes_on),
        TEST(a_task_whose_entry_is_lost_says_so),
        TEST(a_task_ends_with_its_leader),
        TEST(a_wiped_node_comes_back_as_another),
        TEST(who_lost_nothing_does_not_come_back_as_another),
        TEST(changes_are_not_without_end),
        TEST(what_fails_is_not_said_each_time),
        TEST(whose_address_is_wrong_does_not_come_back),
        TEST(a_wiped_learner_stays_a_learner),
        TEST(a_wiped_successor_still_replaces),
        TEST(a_successor_that_stays_a_learner_replaces_nobody),
        TEST(whoever_is_heard_again_keeps_its_place),
        TEST(an_old_task_removes_nobody_new),
        TEST(whoever_never_catches_up_is_removed),
        TEST(patience_begins_with_the_promotion),
        TEST(all_that_fit_are_brought_up),
        TEST(one_two_three_two_one),
        TEST(who_may_be_asked_is_known_with_its_link),
        TEST(who_becomes_a_member_may_be_asked),
        TEST(the_version_is_raised_when_all_know_of_leases),
        TEST(the_version_waits_for_whoever_may_not_know),
        TEST(an_earlier_version_does_not_join_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
