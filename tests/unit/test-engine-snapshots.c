/* Snapshots where core, log, state and files meet: three engines in one process, each with a log and
 * snapshots on disks in memory and a state in a folder, joined by a queue of messages. Processes end,
 * and machines lose their power, between any two steps. Time is a number. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "engine/engine_int.h"
#include "kv/kv_int.h"
#include "unit/fake-disk.h"
#include "unit/temp-folder.h"

#define HOSTS   3u
#define STEP_US 10000u
/* Of what comes by itself on threads: only a test that has failed waits for so long. */
#define WAIT_US 60000000u

static const char *const boots[] = {"00000000-0000-4000-8000-000000000001",
                                    "00000000-0000-4000-8000-000000000002"};

struct host {
    unsigned i;
    char name[16];
    const char *folder; /* of kv */
    raft_node_id id;
    bool is_cut;
    unsigned boot;
    struct fake_disk *disk;
    struct fake_disk *snaps;
    struct engine_conf conf;
    struct engine *engine; /* NULL: it does not run */
    struct service_conn *conn;
    struct buf out;
    char *text;
    bool in_turn; /* of the loop, in which nothing waits for a disk */
    unsigned n_ends;
};

struct letter {
    struct raft_msg m;
    struct raft_snapshot_part part;
    void *data; /* entries or part, one block */
};

struct rig {
    uint64_t now_us;
    struct host hosts[HOSTS];
    unsigned n;
    struct letter letters[4096];
    unsigned n_letters;
    void (*look)(const struct raft_msg *m, unsigned char *data); /* at what travels */
    bool parts_are_lost;
    const char *ends_with; /* one is to end, and says this */
    int ends_error;
};

static struct rig rig;

/* ---- what an engine asks of its host ---- */

static uint64_t host_now(void *ctx)
{
    (void)ctx;
    return rig.now_us;
}

static void copy_entries(struct letter *l, const struct raft_msg *m)
{
    size_t bytes = m->n_entries * sizeof(*m->entries);
    struct raft_entry *entries;
    unsigned char *p;

    for (unsigned k = 0; k < m->n_entries; k++)
        bytes += m->entries[k].len;
    l->data = entries = malloc(bytes + 1);
    assert_non_null(entries);
    p = (unsigned char *)(entries + m->n_entries);
    for (unsigned k = 0; k < m->n_entries; k++) {
        entries[k] = m->entries[k];
        if (m->entries[k].len == 0)
            continue;
        memcpy(p, m->entries[k].data, m->entries[k].len);
        entries[k].data = p;
        p += m->entries[k].len;
    }
    l->m.entries = m->n_entries > 0 ? entries : NULL;
}

static void host_send(void *ctx, const struct raft_msg *m)
{
    const struct host *h = ctx;
    struct letter *l = &rig.letters[rig.n_letters];

    if (h->is_cut || (m->part != NULL && rig.parts_are_lost))
        return;
    assert_true(rig.n_letters < sizeof(rig.letters) / sizeof(rig.letters[0]));
    *l = (struct letter){.m = *m};
    if (m->part != NULL) {
        l->part = *m->part;
        l->data = malloc(m->part->len + 1);
        assert_non_null(l->data);
        if (m->part->len > 0)
            memcpy(l->data, m->part->data, m->part->len);
        l->part.data = m->part->len > 0 ? l->data : NULL;
        l->m.part = &l->part;
        if (rig.look != NULL)
            rig.look(&l->m, l->data);
    } else {
        copy_entries(l, m);
    }
    rig.n_letters++;
}

static void host_end(void *ctx, const struct engine_end *end)
{
    struct host *h = ctx;

    h->n_ends++;
    if (rig.ends_with == NULL || end->error != rig.ends_error ||
        strstr(err_text(), rig.ends_with) == NULL)
        fail_msg("%s: %s: %s", h->name, end->what, err_text());
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

static bool host_connected(void *ctx, raft_node_id id)
{
    (void)ctx;
    for (unsigned i = 0; i < rig.n; i++)
        if (rig.hosts[i].id == id)
            return !rig.hosts[i].is_cut && rig.hosts[i].engine != NULL;
    return false;
}

/* ---- birth and death ---- */

static void link_all(void)
{
    for (unsigned i = 0; i < rig.n; i++)
        for (unsigned k = 0; k < rig.n; k++)
            if (i != k && rig.hosts[i].engine != NULL)
                replica_link(engine_replica(rig.hosts[i].engine), rig.hosts[k].id,
                             !rig.hosts[i].is_cut && host_connected(NULL, rig.hosts[k].id),
                             rig.now_us);
}

static int open_host(struct host *h)
{
    const struct engine_ops ops = {.ctx = h,
                                   .now_us = host_now,
                                   .send = host_send,
                                   .end = host_end,
                                   .trace = host_trace,
                                   .out = host_out,
                                   .hold = host_owes,
                                   .release = host_owes,
                                   .peer_connected = host_connected,
                                   .invalid_action = "close_link"};
    const struct service_conf service = {.cluster_name = "test", .seed = 1};

    assert_null(h->engine);
    h->conf.kv.boot_id = boots[h->boot % 2];
    assert_int_equal(engine_new(&ops, &service, &h->engine), 0);
    return engine_open(h->engine, &h->conf);
}

static void start(struct host *h)
{
    int rc = open_host(h);

    if (rc != 0)
        fail_msg("%s does not start: %s", h->name, err_text());
    assert_int_equal(service_conn_new(engine_service(h->engine), h, &h->conn), 0);
    link_all();
}

static void forget_letters(const struct host *h)
{
    unsigned n = 0;

    for (unsigned i = 0; i < rig.n_letters; i++) {
        struct letter *l = &rig.letters[i];

        if (l->m.from == h->id || l->m.to == h->id) {
            free(l->data);
            continue;
        }
        rig.letters[n] = *l;
        if (l->m.part != NULL)
            rig.letters[n].m.part = &rig.letters[n].part;
        n++;
    }
    rig.n_letters = n;
}

static void stop(struct host *h, bool clean)
{
    service_conn_free(h->conn);
    h->conn = NULL;
    engine_free(h->engine, clean);
    h->engine = NULL;
    forget_letters(h);
    assert_int_equal(fake_disk_n_open(h->disk), 0);
    assert_int_equal(fake_disk_n_open(h->snaps), 0);
    link_all();
}

/* The machine: what was not synced is gone, and no state is believed that was not closed. */
static void lose_power(struct host *h)
{
    static const struct fake_disk_cut all_lost = {512, 0, 0};

    fake_disk_cut_now(h->disk);
    fake_disk_cut_now(h->snaps);
    stop(h, false);
    fake_disk_power_on(h->disk, &all_lost);
    fake_disk_power_on(h->snaps, &all_lost);
    h->boot++;
}

/* The largest files there are go beside the loop (SNAP-24). */
static void look_at_disk(void *ctx, const char *what, const char *name)
{
    const struct host *h = ctx;

    if (h->in_turn && strcmp(what, "unlink") == 0)
        fail_msg("%s: '%s' is removed in a turn", h->name, name);
}

static void make(struct host *h, const struct buf *config)
{
    h->disk = fake_disk_new(7 + h->i);
    h->snaps = fake_disk_new(17 + h->i);
    fake_disk_set_hook(h->disk, look_at_disk, h);
    fake_disk_set_hook(h->snaps, look_at_disk, h);
    h->folder = temp_folder_new("snapshots");
    h->conf = (struct engine_conf){
        .node_name = h->name,
        .log = {.vfs = fake_disk_vfs(h->disk),
                .cluster_id = "a test",
                .node_id = h->id,
                .incarnation = 5,
                .segment_first_bytes = 1u << 16,
                .segment_bytes = 1u << 16},
        .log_path = "data/wal",
        .snap_vfs = fake_disk_vfs(h->snaps),
        .snapshots = {.log_bytes = UINT64_MAX / 2, .keep_bytes = 1},
        .kv = {.dir = h->folder, .map_size_bytes = 8u << 20, .incarnation = 5}};
    raft_conf_init(&h->conf.raft);
    h->conf.raft.id = h->id;
    h->conf.raft.seed = 3 + h->i;
    assert_int_equal(engine_create_log(&h->conf, config->data, config->len), 0);
}

static void found(unsigned n)
{
    struct raft_configuration c;
    cleanup_buf struct buf b = BUF_INIT;

    memset(&rig, 0, sizeof(rig));
    rig.now_us = 1000000;
    rig.n = n;
    raft_configuration_init(&c);
    for (unsigned i = 0; i < n; i++) {
        struct host *h = &rig.hosts[i];

        h->i = i;
        buf_init(&h->out);
        (void)snprintf(h->name, sizeof(h->name), "n%u", i + 1);
        h->id = raft_founder_id(h->name);
        assert_int_equal(raft_configuration_add(&c, h->id, h->name, RAFT_VOTER, "", ""), 0);
    }
    assert_int_equal(raft_configuration_encode(&c, &b), 0);
    for (unsigned i = 0; i < n; i++)
        make(&rig.hosts[i], &b);
    for (unsigned i = 0; i < n; i++)
        start(&rig.hosts[i]);
}

static void done(void)
{
    for (unsigned i = 0; i < rig.n; i++) {
        struct host *h = &rig.hosts[i];

        if (h->engine != NULL)
            stop(h, true);
        fake_disk_free(h->disk);
        fake_disk_free(h->snaps);
        temp_folder_remove(h->folder);
        buf_done(&h->out);
        free(h->text);
    }
    assert_int_equal(rig.n_letters, 0);
}

/* ---- time ---- */

static void deliver(void)
{
    static struct letter now[4096];
    const unsigned n = rig.n_letters;

    memcpy(now, rig.letters, n * sizeof(now[0]));
    rig.n_letters = 0;
    for (unsigned k = 0; k < n; k++) {
        struct letter *l = &now[k];

        if (l->m.part != NULL)
            l->m.part = &l->part;
        for (unsigned i = 0; i < rig.n; i++)
            if (rig.hosts[i].id == l->m.to && rig.hosts[i].engine != NULL && !rig.hosts[i].is_cut)
                (void)replica_step(engine_replica(rig.hosts[i].engine), &l->m, rig.now_us);
        free(l->data);
    }
}

static unsigned n_left(const struct host *h)
{
    return h->engine->kv != NULL ? h->engine->kv->n_leavings : 0;
}

static void turn(struct host *h)
{
    unsigned before;

    if (h->engine == NULL)
        return;
    before = n_left(h);
    h->in_turn = true;
    engine_turn(h->engine, rig.now_us);
    h->in_turn = false;
    assert_true(n_left(h) >= before);
    engine_work(h->engine, rig.now_us);
}

static void step(void)
{
    rig.now_us += STEP_US;
    deliver();
    for (unsigned i = 0; i < rig.n; i++)
        turn(&rig.hosts[i]);
}

static void run(unsigned ms)
{
    for (unsigned i = 0; i < ms * 1000 / STEP_US; i++)
        step();
}

static void cut(struct host *h, bool is_cut)
{
    h->is_cut = is_cut;
    link_all();
}

static struct host *leader(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned k = 0; k < rig.n; k++)
            if (rig.hosts[k].engine != NULL && !rig.hosts[k].is_cut &&
                raft_can_serve(engine_raft(rig.hosts[k].engine)))
                return &rig.hosts[k];
        step();
    }
    for (unsigned k = 0; k < rig.n; k++)
        if (rig.hosts[k].engine != NULL) {
            char text[128] = "";

            engine_describe(rig.hosts[k].engine, text, sizeof(text));
            print_error("%s, %s\n", text, engine_verdict(rig.hosts[k].engine));
        }
    fail_msg("nobody leads");
    return NULL;
}

static struct host *follower(void)
{
    return leader() == &rig.hosts[0] ? &rig.hosts[1] : &rig.hosts[0];
}

static const char *ask(struct host *h, const char *line)
{
    service_line(h->conn, line, strlen(line), 1);
    for (unsigned i = 0; i < 400 && h->out.len == 0; i++)
        step();
    assert_int_equal(buf_add_u8(&h->out, '\0'), 0);
    free(h->text);
    h->text = strdup((const char *)h->out.data);
    assert_non_null(h->text);
    buf_reset(&h->out, 0);
    return h->text;
}

static void put(struct host *h, int key, size_t bytes)
{
    char *line = malloc(bytes + 100);
    int n;

    assert_non_null(line);
    n = snprintf(line, bytes + 100, "{\"type\":\"write\",\"msg_id\":1,\"key\":%d,\"value\":\"",
                 key);
    memset(line + n, 'a' + key % 26, bytes);
    memcpy(line + n + bytes, "\"}", 3);
    if (strstr(ask(h, line), "write_ok") == NULL)
        fail_msg("%s", h->text);
    free(line);
}

static void make_snapshot(struct host *h)
{
    const uint64_t before = h->engine->snap.making.n_made;

    assert_true(engine_make_snapshot(h->engine));
    for (unsigned i = 0; i < 200 && h->engine->snap.making.n_made == before; i++)
        step();
    if (h->engine->snap.making.n_made == before)
        fail_msg("none was made: %s", h->engine->snap.making.why);
    run(1000); /* its mark, and the front of the log */
}

static raft_index base_of(const struct host *h)
{
    return store_base(h->engine->store).index;
}

/* The first has made a snapshot, and its log begins behind entry 1. */
static void found_with_base(unsigned n)
{
    found(n);
    for (int k = 0; k < 8; k++)
        put(leader(), k, 30000);
    run(500);
    make_snapshot(&rig.hosts[0]);
    assert_true(base_of(&rig.hosts[0]) > 0);
}

/* Its state of its own, so that the caller may change what it does. */
static struct kv *open_state(struct host *h, const char *boot_id, enum kv_trust expected,
                             struct engine_state *ret)
{
    enum kv_trust trust;
    struct kv *kv = NULL;

    h->conf.kv.boot_id = boot_id;
    assert_int_equal(kv_open(&h->conf.kv, &trust, &kv), 0);
    assert_int_equal(trust, expected);
    engine_state_of_kv(kv, ret);
    h->conf.state = ret;
    return kv;
}

/* A follower that was away for so long that the log does not reach back to it. It made a snapshot
 * of its own before, and its log begins behind entry 1. */
static struct host *leave_behind(void)
{
    struct host *f = follower();
    struct host *l;

    for (int k = 0; k < 8; k++)
        put(leader(), k, 30000);
    run(500);
    make_snapshot(f);
    assert_true(base_of(f) > 0);
    put(leader(), 50, 10000);
    run(500);
    cut(f, true);
    l = leader();
    for (int k = 0; k < 8; k++)
        put(l, k, 30000);
    for (unsigned i = 0; i < rig.n; i++)
        if (&rig.hosts[i] != f)
            make_snapshot(&rig.hosts[i]);
    assert_true(base_of(l) > replica_last_applied(engine_replica(f->engine)));
    return f;
}

static bool is_checked(const struct host *f)
{
    const struct receiving *r = &f->engine->snap.receiving;

    return r->phase == RECEIVE_CHECKING && !chore_is_busy(&r->chore);
}

static void run_until_checked(const struct host *f)
{
    for (unsigned i = 0; i < 2000 && !is_checked(f); i++)
        step();
    assert_true(is_checked(f));
}

static bool is_level(const struct host *f)
{
    return strcmp(engine_verdict(f->engine), "good") == 0 &&
           replica_last_applied(engine_replica(f->engine)) ==
               replica_last_applied(engine_replica(leader()->engine));
}

static void expect_level(const struct host *f)
{
    for (unsigned i = 0; i < 4000 && !is_level(f); i++)
        step();
    assert_true(is_level(f));
}

/* ---- the steps of an installation ---- */

/* Named, and the log not begun anew: a snapshot that ends behind the log is nobody's, not marked,
 * not sent, and no reason to make none (SNAP-23). */
static void snapshots__a_process_may_end_before_the_log_goes(void **state)
{
    struct host *f;
    raft_index ends;

    (void)state;
    found(3);
    f = leave_behind();
    cut(f, false);
    run_until_checked(f);
    ends = f->engine->snap.receiving.meta.id.index;
    cut(f, true);
    stop(f, false);
    start(f);
    assert_true(f->engine->snap.newest.index < ends);
    run(2000); /* alone */
    put(leader(), 60, 100);
    cut(f, false);
    expect_level(f);
    done();
}

/* The same with the power: what it had is made again of its own snapshot, which had to stay for
 * that (SNAP-23). */
static void snapshots__a_machine_may_end_before_the_log_goes(void **state)
{
    struct host *f;
    raft_index had;

    (void)state;
    found(3);
    f = leave_behind();
    had = replica_last_applied(engine_replica(f->engine));
    cut(f, false);
    run_until_checked(f);
    cut(f, true);
    lose_power(f);
    start(f);
    run(2000);
    assert_true(f->engine->state.last_applied(f->engine->state.ctx).index + 2 >= had);
    assert_false(f->engine->snap.restoring.wants);
    cut(f, false);
    expect_level(f);
    done();
}

/* And at each of the changes that the two disks see on the way. */
static void snapshots__the_power_may_go_at_any_step(void **state)
{
    (void)state;
    for (unsigned at = 1; at < 14; at++) {
        struct host *f;
        raft_index had;

        found(3);
        f = leave_behind();
        had = replica_last_applied(engine_replica(f->engine));
        cut(f, false);
        run_until_checked(f);
        for (unsigned i = 0; i < at; i++)
            step();
        cut(f, true);
        lose_power(f);
        start(f);
        run(500);
        assert_true(f->engine->state.last_applied(f->engine->state.ctx).index + 2 >= had);
        cut(f, false);
        expect_level(f);
        done();
    }
}

/* ---- what is passed over ---- */

static int no_room(void *ctx)
{
    (void)ctx;
    return KV_E_FULL;
}

/* What was handed to the log and is passed over by a snapshot is never applied, and does not stand
 * against the limit for ever, nor does a state stay parked that is gone (SNAP-19). */
static void snapshots__what_is_passed_over_is_not_in_flight(void **state)
{
    int (*begin)(void *ctx);
    struct host *f;

    (void)state;
    found(3);
    f = follower();
    for (int k = 0; k < 8; k++)
        put(leader(), k, 30000);
    run(500);
    begin = f->engine->state.begin;
    f->engine->state.begin = no_room;
    for (int k = 0; k < 4; k++)
        put(leader(), k, 1000);
    run(500);
    assert_true(replica_is_parked(engine_replica(f->engine)));
    assert_true(f->engine->space.in_flight > 4000);
    cut(f, true);
    for (int k = 0; k < 8; k++)
        put(leader(), k, 30000);
    make_snapshot(leader());
    cut(f, false);
    for (unsigned i = 0; i < 2000 && f->engine->snap.n_installed == 0; i++)
        step();
    assert_int_equal(f->engine->snap.n_installed, 1);
    f->engine->state.begin = begin;
    expect_level(f);
    assert_false(replica_is_parked(engine_replica(f->engine)));
    assert_int_equal(f->engine->space.in_flight, 0);
    done();
}

/* ---- no room ---- */

static int (*switch_to)(void *ctx);
static unsigned n_full;

static int switch_without_room(void *ctx)
{
    return n_full > 0 && n_full-- > 0 ? KV_E_FULL : switch_to(ctx);
}

/* One that has no room to take the place of the state is waited for, and told (SNAP-22). */
static void snapshots__a_switch_without_room_is_parked(void **state)
{
    struct host *f;

    (void)state;
    found(3);
    f = leave_behind();
    switch_to = f->engine->state.switch_to;
    f->engine->state.switch_to = switch_without_room;
    n_full = 2;
    cut(f, false);
    for (unsigned i = 0; i < 2000 && n_full == 2; i++)
        step();
    run(50);
    assert_int_equal(n_full, 1);
    assert_int_equal(raft_get_fitness(engine_raft(f->engine)), RAFT_PARKED);
    assert_non_null(strstr(ask(f, "{\"type\":\"status\"}"), "\"full\":\"state\""));
    expect_level(f);
    assert_int_equal(raft_get_fitness(engine_raft(f->engine)), RAFT_FIT);
    assert_int_equal(f->engine->snap.n_installed, 1);
    done();
}

static int (*prepare)(void *ctx, const struct kv_source *source, struct kv_copy_info *ret);

static int prepare_without_room(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    return n_full > 0 && n_full-- > 0 ? KV_E_FULL : prepare(ctx, source, ret);
}

/* A disk without room at the start is no end: the state is made when there is some (FIT-7). */
static void snapshots__a_start_without_room_goes_on(void **state)
{
    struct host *h = &rig.hosts[0];
    struct engine_state own = {0};
    struct kv *kv;

    (void)state;
    found_with_base(1);
    lose_power(h);
    kv = open_state(h, boots[1], KV_REBUILD, &own);
    prepare = own.prepare;
    own.prepare = prepare_without_room;
    n_full = 3;
    start(h);
    assert_int_equal(n_full, 2);
    assert_string_equal(engine_verdict(h->engine), "rebuilding");
    assert_non_null(strstr(ask(leader(), "{\"type\":\"read\",\"key\":1}"), "bbbb"));
    assert_int_equal(n_full, 0);
    stop(h, true);
    assert_int_equal(kv_close(kv, true), 0);
    done();
}

static unsigned n_broken;

static int prepare_badly(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    if (n_full > 0 && n_full-- > 0)
        return KV_E_FULL;
    return n_broken > 0 && n_broken-- > 0 ? -EIO : prepare(ctx, source, ret);
}

/* FIT-6: what fails once is tried again, where nobody else's snapshot can be had. */
static void snapshots__a_state_that_could_not_be_made_is_made_later(void **state)
{
    struct host *h = &rig.hosts[0];
    struct engine_state own = {0};
    struct kv *kv;

    (void)state;
    found_with_base(3);
    rig.parts_are_lost = true;
    lose_power(h);
    kv = open_state(h, boots[1], KV_REBUILD, &own);
    prepare = own.prepare;
    own.prepare = prepare_badly;
    n_full = 2; /* at the start, which would end with an error */
    n_broken = 1;
    start(h);
    for (unsigned i = 0; i < 10000 && n_broken > 0; i++)
        step();
    assert_int_equal(n_broken, 0);
    run(SNAP_AGAIN_US / 2000);
    assert_string_equal(engine_verdict(h->engine), "rebuilding");
    run(SNAP_AGAIN_US / 1000);
    expect_level(h);
    stop(h, true);
    assert_int_equal(kv_close(kv, true), 0);
    done();
}

static uint64_t many_bytes(void *ctx)
{
    (void)ctx;
    return 32u << 20;
}

/* The log can never have as much as such a state, and would stay full for ever (SNAP-22). */
static void snapshots__a_full_log_does_not_wait_for_a_large_state(void **state)
{
    struct host *h = &rig.hosts[0];
    char line[100];

    (void)state;
    found(1);
    (void)leader();
    h->engine->snap.conf.log_bytes = 1u << 16;
    h->engine->state.copy_bytes = many_bytes;
    fake_disk_set_capacity(h->disk, 1u << 20);
    for (unsigned i = 0; i < 100 && !h->engine->space.log_is_full; i++) {
        char value[20001];
        char *request = malloc(sizeof(value) + 100);

        memset(value, 'v', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        assert_non_null(request);
        (void)snprintf(request, sizeof(value) + 100,
                       "{\"type\":\"write\",\"key\":1,\"value\":\"%s\"}", value);
        (void)ask(h, request);
        free(request);
    }
    assert_true(h->engine->space.log_is_full);
    run(3000);
    (void)snprintf(line, sizeof(line), "{\"type\":\"write\",\"key\":2,\"value\":3}");
    assert_non_null(strstr(ask(h, line), "write_ok"));
    assert_true(base_of(h) > 0);
    done();
}

/* ---- what is received is looked at ---- */

static void lie_about_the_digest(const struct raft_msg *m, unsigned char *p)
{
    struct snap_meta meta;
    cleanup_buf struct buf b = BUF_INIT;
    size_t len;

    if (m->type != RAFT_MSG_SNAPSHOT || m->part->offset != 0 || m->part->len < SNAP_HEAD_BYTES)
        return;
    len = get_u32(p);
    assert_int_equal(snap_meta_decode(p + SNAP_HEAD_BYTES, len, &meta), 0);
    meta.digest.high ^= 1;
    assert_int_equal(snap_meta_encode(&meta, &b), 0);
    assert_int_equal(b.len, len);
    memcpy(p + SNAP_HEAD_BYTES, b.data, len);
}

/* As one that a client was given, by a node that cannot be a member. */
static void give_it(const struct raft_msg *m, unsigned char *p)
{
    struct snap_meta meta;
    cleanup_buf struct buf b = BUF_INIT;
    size_t len;

    if (m->type != RAFT_MSG_SNAPSHOT || m->part->offset != 0 || m->part->len < SNAP_HEAD_BYTES)
        return;
    len = get_u32(p);
    assert_int_equal(snap_meta_decode(p + SNAP_HEAD_BYTES, len, &meta), 0);
    assert_false(meta.given); /* a peer is sent all of it */
    snap_meta_give(&meta);
    assert_int_equal(snap_meta_encode(&meta, &b), 0);
    assert_int_equal(b.len, len);
    memcpy(p + SNAP_HEAD_BYTES, b.data, len);
}

static unsigned n_snapshots(struct host *h)
{
    struct snap_meta list[SNAP_LIST_MAX];

    return snap_list(h->engine->snap.folder, list, SNAP_LIST_MAX);
}

/* SNAP-11. Its checksum is right, and it holds something else than it says. */
static void snapshots__one_that_lies_gets_no_name(void **state)
{
    struct host *f;
    raft_index base;
    unsigned n;

    (void)state;
    found(3);
    f = leave_behind();
    base = base_of(f);
    n = n_snapshots(f);
    rig.look = lie_about_the_digest;
    cut(f, false);
    run_until_checked(f);
    assert_int_equal(n_snapshots(f), n);
    step();
    assert_int_equal(f->engine->snap.receiving.phase, RECEIVE_NOT);
    assert_int_equal(f->engine->snap.receiving.status, RAFT_SNAPSHOT_REFUSED);
    assert_false(f->engine->kv->prepared.is_there); /* nor does its copy stay beside the state */
    assert_int_equal(base_of(f), base);
    assert_int_equal(f->engine->snap.n_installed, 0);
    rig.look = NULL;
    expect_level(f);
    assert_int_equal(f->engine->snap.n_installed, 1);
    done();
}

/* MEMBER-16. A node that goes on from one would not know its cluster. */
static void snapshots__one_that_was_given_is_not_received(void **state)
{
    struct host *f;

    (void)state;
    found(3);
    f = leave_behind();
    rig.look = give_it;
    cut(f, false);
    for (unsigned i = 0;
         i < 2000 && f->engine->snap.receiving.status != RAFT_SNAPSHOT_REFUSED && !is_checked(f);
         i++)
        step();
    assert_int_equal(f->engine->snap.receiving.status, RAFT_SNAPSHOT_REFUSED);
    assert_false(f->engine->snap.receiving.has_meta);
    assert_int_equal(f->engine->snap.n_installed, 0);
    rig.look = NULL;
    expect_level(f);
    assert_int_equal(f->engine->snap.n_installed, 1);
    done();
}

/* ---- a state that is wrong ---- */

static void judge_wrong(struct host *f, const struct host *l)
{
    struct raft_note note = {.flags = RAFT_NOTE_SAID | NOTE_JUDGED,
                             .check = 1,
                             .digest_version = f->engine->state.digest_version};

    note.digests[0].index = replica_last_applied(engine_replica(f->engine));
    note.digests[0].high = 1;
    engine_heard_note(f->engine, l->id, &note);
    assert_true(f->engine->differ.is_wrong);
}

/* What it made may be as wrong, also when it is good again, and in the life of the next process
 * (SNAP-12). */
static void snapshots__of_a_wrong_state_none_stays(void **state)
{
    struct host *f;

    (void)state;
    found(3);
    f = follower();
    f->engine->snap.conf.keep_bytes = 1u << 30; /* so that the log has all that it needs */
    put(leader(), 1, 1000);
    run(500);
    make_snapshot(f);
    assert_int_equal(base_of(f), 0);
    assert_int_equal(n_snapshots(f), 1);
    judge_wrong(f, leader());
    run(300);
    assert_int_equal(f->engine->snap.newest.index, 0);
    assert_int_equal(n_snapshots(f), 0);
    expect_level(f);
    stop(f, false);
    start(f);
    assert_int_equal(n_snapshots(f), 0);
    expect_level(f);
    done();
}

/* One that is on its way when that is found out is none, either. */
static void snapshots__one_of_a_wrong_state_is_not_finished(void **state)
{
    struct host *f;

    (void)state;
    found(3);
    f = follower();
    put(leader(), 1, 1000);
    run(500);
    assert_true(engine_make_snapshot(f->engine));
    for (unsigned i = 0; i < 100 && !f->engine->snap.making.finishing; i++)
        step();
    assert_true(f->engine->snap.making.finishing);
    judge_wrong(f, leader());
    for (unsigned i = 0; i < 30; i++) {
        step();
        assert_int_equal(f->engine->snap.newest.index, 0); /* nor is it marked in the log */
    }
    assert_int_equal(f->engine->snap.making.n_made, 0);
    assert_int_equal(n_snapshots(f), 0);
    assert_int_equal(f->engine->snap.newest.index, 0);
    expect_level(f);
    done();
}

/* ---- disks that cannot read, or have no room ---- */

static const char *newest_file(const struct host *h)
{
    const char *name = NULL;

    for (unsigned i = 0; i < fake_disk_n_files(h->snaps); i++)
        if (strstr(fake_disk_name(h->snaps, i), ".snap") != NULL &&
            (name == NULL || strcmp(fake_disk_name(h->snaps, i), name) > 0))
            name = fake_disk_name(h->snaps, i);
    assert_non_null(name);
    return name;
}

/* A snapshot that the disk does not read is of no use, and no reason not to start; another one is
 * made (FIT-7). */
static void snapshots__one_that_cannot_be_read_is_no_end(void **state)
{
    char name[64];

    (void)state;
    found(1);
    rig.hosts[0].engine->snap.conf.keep_bytes = 1u << 30;
    put(leader(), 1, 10000);
    make_snapshot(&rig.hosts[0]);
    (void)snprintf(name, sizeof(name), "%s", newest_file(&rig.hosts[0]));
    lose_power(&rig.hosts[0]);
    fake_disk_fail_read(rig.hosts[0].snaps, name, 5000, 100);
    start(&rig.hosts[0]);
    assert_int_equal(rig.hosts[0].engine->snap.newest.index, 0);
    assert_non_null(strstr(ask(leader(), "{\"type\":\"read\",\"key\":1}"), "bbbb"));
    put(leader(), 2, 100);
    make_snapshot(&rig.hosts[0]);
    done();
}

/* One node with a snapshot and all of its log. */
static void found_with_all(struct host *h)
{
    found(1);
    h->conf.snapshots.keep_bytes = h->engine->snap.conf.keep_bytes = 1u << 30;
    for (int k = 0; k < 8; k++)
        put(leader(), k, 30000);
    make_snapshot(h);
}

/* What was there when the process began has a name and a size, and the log is kept until somebody
 * has read the rest (SNAP-5). */
static void snapshots__the_front_waits_for_one_that_was_read_again(void **state)
{
    struct host *h = &rig.hosts[0];
    uint64_t n_made;

    (void)state;
    found_with_all(h);
    assert_int_equal(base_of(h), 0);
    stop(h, true);
    fake_disk_flip(h->snaps, newest_file(h), 5000, 3);
    h->conf.snapshots.keep_bytes = 1;
    start(h);
    assert_true(h->engine->snap.newest.index > 0);
    n_made = h->engine->snap.making.n_made;
    for (unsigned i = 0; i < 3000 && base_of(h) == 0; i++)
        step();
    assert_true(base_of(h) > 0);
    assert_true(h->engine->snap.making.n_made > n_made); /* another, for that one was rotten */
    assert_true(snap_is_checked(h->engine->snap.folder, h->engine->snap.newest));
    lose_power(h);
    start(h);
    assert_non_null(strstr(ask(leader(), "{\"type\":\"read\",\"key\":1}"), "bbbb"));
    done();
}

/* And with one that is good it goes soon, without another. */
static void snapshots__the_front_goes_when_it_was_read_again(void **state)
{
    struct host *h = &rig.hosts[0];

    (void)state;
    found_with_all(h);
    stop(h, true);
    h->conf.snapshots.keep_bytes = 1;
    start(h);
    for (unsigned i = 0; i < 300 && base_of(h) == 0; i++)
        step();
    assert_true(base_of(h) > 0);
    assert_int_equal(h->engine->snap.making.n_made, 0);
    done();
}

static raft_index asked_for;

static int has_more(void *ctx, raft_index up_to, bool *ret_more)
{
    (void)ctx;
    asked_for = up_to;
    *ret_more = true;
    return 0;
}

/* What the file of the state lacks stands in the log alone (STATE-17). */
static void snapshots__the_front_waits_for_what_the_file_lacks(void **state)
{
    struct host *h = &rig.hosts[0];
    int (*was)(void *ctx, raft_index up_to, bool *ret_more);

    (void)state;
    found_with_all(h);
    was = h->engine->state.flush_step;
    h->engine->state.flush_step = has_more;
    h->engine->snap.conf.keep_bytes = 1;
    asked_for = 0;
    for (unsigned i = 0; i < 3000 && asked_for == 0; i++)
        step();
    run(1000);
    assert_int_equal(base_of(h), 0);
    h->engine->state.flush_step = was;
    run(1000);
    assert_int_equal(base_of(h), asked_for);
    done();
}

/* Nobody else has what is missing, and nobody comes: that is said, and which file it was
 * (FIT-10). */
static void snapshots__who_is_alone_says_that_nobody_has_it(void **state)
{
    struct host *h = &rig.hosts[0];

    (void)state;
    found_with_base(1);
    lose_power(h); /* the state is not believed */
    fake_disk_flip(h->snaps, newest_file(h), 50000, 3);
    start(h);
    rig.ends_with = newest_file(h);
    rig.ends_error = -EBADMSG;
    for (unsigned i = 0; i < 1000 && h->n_ends == 0; i++)
        step();
    assert_int_equal(h->n_ends, 1);
    /* The way out that it names. */
    stop(h, false);
    fake_disk_flip(h->snaps, newest_file(h), 50000, 3);
    rig.ends_with = NULL;
    start(h);
    assert_non_null(strstr(ask(leader(), "{\"type\":\"read\",\"key\":1}"), "bbbb"));
    done();
}

/* One that was tried, and has gone since, says nothing of those that were made behind it
 * (SNAP-5). */
static void snapshots__those_made_since_one_was_tried_are_of_use(void **state)
{
    struct host *h = &rig.hosts[0];
    struct restoring *r;

    (void)state;
    found_with_base(1);
    r = &h->engine->snap.restoring;
    r->below = r->tried = h->engine->snap.newest.index - 1;
    r->tried_us = rig.now_us; /* and not to be tried again so soon */
    engine_state_damaged(h->engine, "a test");
    while (rig.now_us < r->tried_us + SNAP_AGAIN_US / 2 &&
           strcmp(engine_verdict(h->engine), "good") != 0)
        step();
    assert_string_equal(engine_verdict(h->engine), "good");
    assert_int_equal(r->tried, 0);
    done();
}

static unsigned n_without_memory;

static int prepare_without_memory(void *ctx, const struct kv_source *source,
                                  struct kv_copy_info *ret)
{
    if (n_without_memory == 0)
        return prepare(ctx, source, ret);
    n_without_memory--;
    return err_say(-ENOMEM, "there is no memory");
}

/* What says nothing of the snapshot is no reason to say that it is lost: it is tried again (FIT-6,
 * FIT-10). */
static void snapshots__who_is_alone_tries_again(void **state)
{
    struct host *h = &rig.hosts[0];

    (void)state;
    found_with_base(1);
    prepare = h->engine->state.prepare;
    h->engine->state.prepare = prepare_without_memory;
    n_without_memory = 2;
    engine_state_damaged(h->engine, "a test");
    for (unsigned i = 0; i < 10000 && n_without_memory > 0; i++)
        step();
    assert_int_equal(n_without_memory, 0);
    assert_string_not_equal(engine_verdict(h->engine), "good");
    run(SNAP_AGAIN_US / 1000);
    assert_non_null(strstr(ask(leader(), "{\"type\":\"read\",\"key\":1}"), "bbbb"));
    done();
}

static struct raft_entry_id of_another_term(void *ctx)
{
    struct raft_entry_id id = kv_last_applied(ctx);

    id.term++;
    return id;
}

/* DISK-9. What becomes of it without that folder is said, and is so. */
static void snapshots__a_state_of_another_copy_can_be_moved_away(void **state)
{
    struct host *h = &rig.hosts[0];
    struct engine_state own = {0};
    struct kv *kv;

    (void)state;
    found_with_base(1);
    put(leader(), 30, 100);
    stop(h, true);
    kv = open_state(h, boots[0], KV_TRUSTED_CLEAN, &own);
    own.last_applied = of_another_term;
    assert_int_equal(open_host(h), ENGINE_E_CONTRADICTION);
    assert_non_null(strstr(err_text(), "not of the same copy"));
    assert_non_null(strstr(err_text(), "made again from a snapshot"));
    engine_free(h->engine, false);
    h->engine = NULL;
    assert_int_equal(kv_close(kv, true), 0);
    h->conf.state = NULL;
    temp_folder_empty(h->folder);
    start(h);
    assert_non_null(strstr(ask(leader(), "{\"type\":\"read\",\"key\":1}"), "bbbb"));
    assert_non_null(strstr(ask(leader(), "{\"type\":\"read\",\"key\":30}"), "eeee"));
    done();
}

/* One that was received and is of the log, as if a leader had sent it. */
static void receive_one(const struct host *h, struct raft_entry_id id)
{
    static const unsigned char body[100];
    struct snap_writer *w = NULL;
    struct snap_meta m = {.id = id,
                          .config = *raft_config_at(engine_raft(h->engine), id.index),
                          .state_format = h->engine->state.copy_format,
                          .digest_version = h->engine->state.digest_version,
                          .digest = {.index = id.index},
                          .body_bytes = sizeof(body)};

    memcpy(m.cluster_id, h->conf.log.cluster_id, sizeof(m.cluster_id));
    assert_int_equal(snap_writer_new(h->engine->snap.folder, SNAP_RECEIVED, &w), 0);
    assert_int_equal(snap_writer_add(w, body, sizeof(body)), 0);
    m.body_crc = snap_writer_crc(w);
    assert_int_equal(snap_writer_finish(w, &m), 0);
    assert_int_equal(snap_check(h->engine->snap.folder, id), 0);
}

/* What is counted on is there: one that was made may be behind one that was received meanwhile, and
 * go with the older ones as soon as it has its name (SNAP-5). */
static void snapshots__the_newest_is_one_that_is_there(void **state)
{
    struct host *h = &rig.hosts[0];
    struct raft_entry_id id;
    struct making *m;

    (void)state;
    found(1);
    put(leader(), 1, 1000);
    m = &h->engine->snap.making;
    assert_true(engine_make_snapshot(h->engine));
    for (unsigned i = 0; i < 100 && (m->writer == NULL || chore_is_busy(&m->chore)); i++)
        step();
    assert_false(m->finishing);
    atomic_store(&m->chore.state, CHORE_BUSY); /* it takes long yet */
    put(leader(), 2, 1000);
    id.index = replica_last_applied(engine_replica(h->engine));
    id.term = raft_term_at(engine_raft(h->engine), id.index);
    receive_one(h, id);
    atomic_store(&m->chore.state, CHORE_DONE);
    for (unsigned i = 0; i < 100 && m->n_made == 0; i++)
        step();
    assert_true(m->meta.id.index < id.index);
    assert_int_equal(h->engine->snap.newest.index, id.index);
    assert_true(snap_is_checked(h->engine->snap.folder, h->engine->snap.newest));
    done();
}

/* Who asked for one sees it made, or being made, at any moment: also between its thread's end and the
 * turn that takes it in (SNAP-13). */
static void snapshots__one_that_is_made_is_never_out_of_sight(void **state)
{
    struct host *h = &rig.hosts[0];
    const struct making *m;
    unsigned n_done = 0;

    (void)state;
    found(1);
    m = &h->engine->snap.making;
    put(leader(), 1, 1000);
    assert_true(engine_make_snapshot(h->engine));
    for (unsigned i = 0; i < 200 && m->n_made == 0; i++) {
        const char *text;

        n_done += !chore_is_busy(&m->chore) && !chore_is_idle(&m->chore);
        text = ask(h, "{\"type\":\"status\"}");
        if (m->n_made == 0 && strstr(text, "\"making\":true") == NULL &&
            strstr(text, "\"wanted\":true") == NULL)
            fail_msg("neither made nor being made: %s", strstr(text, "\"snapshots\""));
        step();
    }
    assert_true(m->n_made == 1 && n_done > 0);
    done();
}

/* ---- what is given up ---- */

static bool has_file(const struct host *h, const char *name)
{
    for (unsigned i = 0; i < fake_disk_n_files(h->snaps); i++)
        if (strcmp(fake_disk_name(h->snaps, i), name) == 0)
            return true;
    return false;
}

/* A copy that came to nothing, in the moment in which the loop would finish it (SNAP-24). */
static void snapshots__what_was_copied_in_vain_goes_beside_the_loop(void **state)
{
    struct host *f;
    struct making *m;

    (void)state;
    found(3);
    f = follower();
    put(leader(), 1, 1000);
    run(500);
    m = &f->engine->snap.making;
    assert_true(engine_make_snapshot(f->engine));
    for (unsigned i = 0; i < 100 && (m->writer == NULL || chore_is_busy(&m->chore)); i++)
        step();
    assert_false(m->finishing);
    judge_wrong(f, leader());
    assert_true(has_file(f, "made.tmp"));
    run(100);
    assert_false(has_file(f, "made.tmp"));
    expect_level(f);
    done();
}

static void run_until_half(const struct host *f)
{
    const struct receiving *r = &f->engine->snap.receiving;

    leader()->engine->snap.conf.mib_per_s = 1;
    for (unsigned i = 0; i < 2000 && (r->phase != RECEIVE_PARTS || r->written < 100000); i++)
        step();
    leader()->engine->snap.conf.mib_per_s = 0;
    assert_int_equal(r->phase, RECEIVE_PARTS);
}

static unsigned n_open(const struct host *h)
{
    unsigned n = 0;

    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++)
        n += h->engine->snap.sendings[i].is_open;
    return n;
}

/* The receiver gives its half away, and the sender keeps neither file nor log for it (SNAP-24,
 * SNAP-25); both begin anew when it is back. */
static void snapshots__nothing_is_kept_for_who_is_away_for_long(void **state)
{
    struct host *f;
    struct host *l;

    (void)state;
    found(3);
    f = leave_behind();
    l = leader();
    cut(f, false);
    run_until_half(f);
    cut(f, true);
    run(2000); /* for a while it is kept */
    assert_int_equal(n_open(l), 1);
    assert_true(engine_send_floor(l->engine) > 0);
    assert_true(has_file(f, "received.tmp"));
    run(SNAP_SILENT_US / 1000 + 1000);
    assert_ptr_equal(leader(), l);
    assert_int_equal(n_open(l), 0);
    assert_int_equal(engine_send_floor(l->engine), 0);
    assert_int_equal(fake_disk_n_open(l->snaps), 0);
    assert_false(has_file(f, "received.tmp"));
    cut(f, false);
    expect_level(f);
    run(500);
    assert_int_equal(n_left(f), 0); /* the state that was is gone for good, too */
    done();
}

/* Nor for a moment when the log has gone on: it would need the next one at once (SNAP-25). */
static void snapshots__one_that_was_overtaken_is_not_kept(void **state)
{
    struct host *f;
    struct host *l;

    (void)state;
    found(3);
    f = leave_behind();
    l = leader();
    cut(f, false);
    run_until_half(f);
    cut(f, true);
    run(100);
    assert_int_equal(n_open(l), 1);
    for (int k = 0; k < 8; k++)
        put(l, k, 30000);
    make_snapshot(l);
    assert_int_equal(n_open(l), 1); /* its link may only have broken (SNAP-10) */
    run(SNAP_AWAY_US / 1000);
    assert_int_equal(n_open(l), 0);
    run(1000);
    assert_int_equal(n_snapshots(l), 1);
    cut(f, false);
    expect_level(f);
    done();
}

/* What a member said last is no wish when it is none any more (SNAP-25). */
static void snapshots__nothing_is_sent_to_who_was_removed(void **state)
{
    struct host *l;

    (void)state;
    found(3);
    l = leader();
    put(l, 1, 1000);
    make_snapshot(l);
    engine_send_heard(l->engine, 12345, NOTE_WANTS_SNAPSHOT);
    run(100);
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++)
        assert_true(l->engine->snap.sendings[i].to != 12345);
    done();
}

/* ---- the end ---- */

static atomic_bool begun;
static atomic_bool was_told;

/* A state that has no end: what reads it is told, or this test has found that it is not. */
static int read_for_long(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    const uint64_t until_us = clock_mono_us() + WAIT_US;
    unsigned char bytes[512];
    int rc = 0;

    (void)ctx;
    (void)ret;
    atomic_store(&begun, true);
    assert_non_null(source->stop);
    while (rc == 0 && clock_mono_us() < until_us && !atomic_load(source->stop))
        rc = source->read(source->ctx, bytes, sizeof(bytes), 0);
    atomic_store(&was_told, atomic_load(source->stop));
    return rc;
}

/* Whoever is told to end does, whatever is being read (SNAP-18). */
static void snapshots__nobody_waits_for_one_at_the_end(void **state)
{
    const int fd = eventfd(0, EFD_NONBLOCK);
    struct host *h = &rig.hosts[0];
    uint64_t until_us;

    (void)state;
    found(1);
    put(leader(), 1, 10000);
    atomic_store(&begun, false);
    atomic_store(&was_told, false);
    h->engine->state.check_copy = read_for_long;
    assert_int_equal(engine_snapshots_start(h->engine, fd), 0);
    assert_true(engine_make_snapshot(h->engine));
    for (until_us = clock_mono_us() + WAIT_US;
         clock_mono_us() < until_us && !atomic_load(&begun);) {
        engine_turn(h->engine, rig.now_us += STEP_US);
        (void)sched_yield();
    }
    assert_true(atomic_load(&begun));
    stop(h, true);
    assert_true(atomic_load(&was_told));
    (void)close(fd);
    done();
}

/* Cheap, and so there is one for the next start (SNAP-20). */
static void snapshots__the_last_one_is_made_when_cheap(void **state)
{
    const int fd = eventfd(0, EFD_NONBLOCK);
    struct host *h = &rig.hosts[0];
    uint64_t from_us;

    (void)state;
    found(1);
    for (int k = 0; k < 36; k++)
        put(leader(), 1, 30000);
    put(leader(), 1, 77);
    assert_int_equal(engine_snapshots_start(h->engine, fd), 0);
    from_us = clock_mono_us();
    stop(h, true);
    assert_true(clock_mono_us() - from_us < 1000000u);
    start(h);
    assert_true(h->engine->snap.newest.index > 36);
    (void)leader();
    assert_int_equal(engine_snapshots_start(h->engine, fd), 0);
    stop(h, true); /* nothing is behind it: none is made */
    start(h);
    assert_int_equal(n_snapshots(h), 1);
    (void)close(fd);
    done();
}

/* ---- a file that is too large ---- */

/* SNAP-21, and nothing is answered that is older than what was shown (FIT-6). */
static void snapshots__a_bloated_file_gives_way_at_the_start(void **state)
{
    struct host *h = &rig.hosts[0];
    char line[100];

    (void)state;
    found(1);
    stop(h, true);
    h->conf.log.segment_bytes = 4u << 20;
    start(h);
    h->engine->snap.conf.keep_bytes = 1u << 30;
    for (int k = 0; k < 150; k++)
        put(leader(), k, 500000);
    for (int k = 1; k < 150; k++) {
        (void)snprintf(line, sizeof(line), "{\"type\":\"delete\",\"key\":%d}", k);
        assert_non_null(strstr(ask(h, line), "delete_ok"));
    }
    assert_true(kv_file_bytes(h->engine->kv) > SNAP_SHRINK_BYTES);
    make_snapshot(h);
    for (int k = 0; k < 36; k++)
        put(leader(), 0, 500000);
    stop(h, true);
    start(h);
    assert_true(kv_file_bytes(h->engine->kv) > SNAP_SHRINK_BYTES); /* it is not near enough */
    assert_string_equal(engine_verdict(h->engine), "good");
    (void)leader();
    make_snapshot(h);
    put(leader(), 200, 10);
    put(leader(), 201, 10);
    stop(h, true);
    start(h);
    assert_true(kv_file_bytes(h->engine->kv) < SNAP_SHRINK_BYTES / 8);
    assert_string_equal(engine_verdict(h->engine), "rebuilding");
    assert_non_null(strstr(ask(leader(), "{\"type\":\"read\",\"key\":201}"), "\"tttttttttt\""));
    expect_level(h);
    stop(h, true); /* once */
    start(h);
    assert_string_equal(engine_verdict(h->engine), "good");
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots__a_process_may_end_before_the_log_goes),
        cmocka_unit_test(snapshots__a_machine_may_end_before_the_log_goes),
        cmocka_unit_test(snapshots__the_power_may_go_at_any_step),
        cmocka_unit_test(snapshots__what_is_passed_over_is_not_in_flight),
        cmocka_unit_test(snapshots__a_switch_without_room_is_parked),
        cmocka_unit_test(snapshots__a_start_without_room_goes_on),
        cmocka_unit_test(snapshots__a_state_that_could_not_be_made_is_made_later),
        cmocka_unit_test(snapshots__a_full_log_does_not_wait_for_a_large_state),
        cmocka_unit_test(snapshots__one_that_lies_gets_no_name),
        cmocka_unit_test(snapshots__one_that_was_given_is_not_received),
        cmocka_unit_test(snapshots__of_a_wrong_state_none_stays),
        cmocka_unit_test(snapshots__one_of_a_wrong_state_is_not_finished),
        cmocka_unit_test(snapshots__one_that_cannot_be_read_is_no_end),
        cmocka_unit_test(snapshots__the_front_waits_for_one_that_was_read_again),
        cmocka_unit_test(snapshots__the_front_goes_when_it_was_read_again),
        cmocka_unit_test(snapshots__the_front_waits_for_what_the_file_lacks),
        cmocka_unit_test(snapshots__who_is_alone_says_that_nobody_has_it),
        cmocka_unit_test(snapshots__a_state_of_another_copy_can_be_moved_away),
        cmocka_unit_test(snapshots__who_is_alone_tries_again),
        cmocka_unit_test(snapshots__those_made_since_one_was_tried_are_of_use),
        cmocka_unit_test(snapshots__the_newest_is_one_that_is_there),
        cmocka_unit_test(snapshots__one_that_is_made_is_never_out_of_sight),
        cmocka_unit_test(snapshots__what_was_copied_in_vain_goes_beside_the_loop),
        cmocka_unit_test(snapshots__nothing_is_kept_for_who_is_away_for_long),
        cmocka_unit_test(snapshots__one_that_was_overtaken_is_not_kept),
        cmocka_unit_test(snapshots__nothing_is_sent_to_who_was_removed),
        cmocka_unit_test(snapshots__nobody_waits_for_one_at_the_end),
        cmocka_unit_test(snapshots__the_last_one_is_made_when_cheap),
        cmocka_unit_test(snapshots__a_bloated_file_gives_way_at_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
