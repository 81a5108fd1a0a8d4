/* The engine by itself: a group of one, or with others that a table plays, over a disk in memory, with kv in a folder or a state of the
 * test's own. What a start refuses, what ends a node and with which exit code, when writes are
 * refused for lack of room, what status says of the disk. Time is a number. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "engine/engine_int.h"
#include "store/store_int.h"
#include "unit/fake-disk.h"
#include "unit/temp-folder.h"
#include "wire/frame.h"

#define MIB ((uint64_t)1 << 20)

#define SECRET_ID          "it is the secret"
#define SECRET_INCARNATION UINT64_C(0x1122334455667788)

struct host {
    uint64_t now_us;
    uint64_t cpu_us;
    struct fake_disk *disk;
    struct fake_disk *snap_disk; /* NULL: no snapshots */
    const char *folder;          /* of kv */
    struct engine_conf conf;
    struct engine *engine;
    struct service_conn *conn;
    struct buf out;
    char *text; /* of the last take() */

    /* The host's answers. */
    int says_recovered; /* ops.recovered returns it */
    bool is_disrupted;
    bool logs;                /* what happens becomes log lines, as in a daemon */
    bool has_learner;         /* n2, which is never there */
    unsigned members_version; /* what the first configuration says all members understand */
    bool has_secrets;         /* it has SECRET_ID, and n1's SECRET_INCARNATION */
    unsigned learner_version; /* of commands, that it is known to understand */
    unsigned n_others;        /* voters n2, n3, ... that answer at once: */
    struct other {
        bool is_silent;
        bool is_full; /* it stores nothing */
        bool is_old;  /* it speaks the protocol of the version before */
        bool is_unmet;
        uint32_t flags; /* of its notes; 0: it writes none, as the version before */
    } others[5];
    struct raft_msg answers[64]; /* of theirs, on the way */
    unsigned n_answers;
    uint32_t said; /* flags of the last note that was sent */
    unsigned n_ends;
    struct engine_end end;

    /* A state of the test's own. */
    struct engine_state state;
    struct raft_entry_id applied;
    uint64_t apply_us; /* what it takes */
    uint64_t n_sessions;
    int fail_apply;
    int fail_rebuild;
    unsigned n_rebuilds;
    unsigned n_looks; /* at its disk */

    unsigned n_waiting; /* in the host's links */
    uint64_t looked_us; /* when it was last looked at them */
};

/* ---- what the engine asks of its host ---- */

static uint64_t host_now(void *ctx)
{
    return ((struct host *)ctx)->now_us;
}

static uint64_t host_cpu(void *ctx)
{
    return ((struct host *)ctx)->cpu_us;
}

static raft_node_id other_id(unsigned i)
{
    char name[8];

    (void)snprintf(name, sizeof(name), "n%u", i + 2);
    return raft_founder_id(name);
}

/* The answer of a node that votes for everybody, and stores at once what it has room for. */
static bool answer_of(const struct other *o, const struct raft_msg *m, struct raft_msg *ret)
{
    *ret = (struct raft_msg){.from = m->to, .to = m->from, .term = m->term};
    switch ((int)m->type) { /* int: nothing else is sent to them */
    case RAFT_MSG_PRE_VOTE:
        ret->type = RAFT_MSG_PRE_VOTE_RESP;
        break;
    case RAFT_MSG_VOTE:
        ret->type = RAFT_MSG_VOTE_RESP;
        break;
    case RAFT_MSG_APPEND:
        ret->type = RAFT_MSG_APPEND_RESP;
        ret->index = m->prev.index + m->n_entries;
        return !o->is_full;
    case RAFT_MSG_HEARTBEAT:
        ret->type = RAFT_MSG_HEARTBEAT_RESP;
        ret->round = m->round;
        ret->note.flags = o->flags;
        break;
    default:
        return false;
    }
    return true;
}

static void host_send(void *ctx, const struct raft_msg *m)
{
    struct host *h = ctx;

    if (h->n_others == 0 && !h->has_learner)
        fail_msg("a group of one sends nothing");
    if (m->type == RAFT_MSG_HEARTBEAT)
        h->said = m->note.flags;
    for (unsigned i = 0; i < h->n_others; i++)
        if (m->to == other_id(i) && !h->others[i].is_silent && h->n_answers < 64 &&
            answer_of(&h->others[i], m, &h->answers[h->n_answers]))
            h->n_answers++;
}

static void host_end(void *ctx, const struct engine_end *end)
{
    struct host *h = ctx;

    h->n_ends++;
    h->end = *end;
}

static void host_trace(void *ctx, const struct raft_trace *t)
{
    (void)ctx;
    (void)t;
}

static int host_recovered(void *ctx, const struct store_recovered *r)
{
    const struct host *h = ctx;

    assert_true(r->last_index >= 1);
    assert_non_null(engine_store(h->engine));
    assert_null(engine_replica(h->engine));
    return h->says_recovered;
}

static unsigned host_command_version(void *ctx, raft_node_id id)
{
    assert_true(id == raft_founder_id("n2"));
    return ((struct host *)ctx)->learner_version;
}

static unsigned host_peer_version(void *ctx, raft_node_id id)
{
    const struct host *h = ctx;

    for (unsigned i = 0; i < h->n_others; i++)
        if (id == other_id(i))
            return h->others[i].is_unmet ? 0 : WIRE_VERSION_SNAPSHOTS - h->others[i].is_old;
    return WIRE_VERSION_SNAPSHOTS;
}

static struct buf *host_out(void *ctx, void *conn)
{
    (void)conn;
    return &((struct host *)ctx)->out;
}

static void host_owes(void *ctx, void *conn)
{
    (void)ctx;
    (void)conn;
}

static void host_status(void *ctx, struct wire_reply *w)
{
    (void)ctx;
    wire_reply_u64(w, "of_the_host", 1);
}

/* ---- a state that does what the test says ---- */

static struct raft_entry_id own_last_applied(void *ctx)
{
    return ((struct host *)ctx)->applied;
}

static int own_begin(void *ctx)
{
    (void)ctx;
    return 0;
}

static int own_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    struct host *h = ctx;

    if (h->fail_apply != 0)
        return h->fail_apply;
    h->applied = e->id;
    h->now_us += h->apply_us;
    *ret_result = (struct command_result){.index = e->id.index};
    return 0;
}

static void own_sessions(void *ctx, struct kv_sessions *ret)
{
    *ret = (struct kv_sessions){.n = ((struct host *)ctx)->n_sessions};
}

static int own_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    (void)ctx;
    (void)key;
    *ret_value = (struct command_value){0};
    return 0;
}

static bool own_disk_room(void *ctx, uint64_t *ret_used, uint64_t *ret_limit)
{
    ((struct host *)ctx)->n_looks++;
    *ret_used = 95;
    *ret_limit = 100;
    return true;
}

static int own_commit(void *ctx)
{
    (void)ctx;
    return 0;
}

static void own_nothing(void *ctx)
{
    (void)ctx;
}

static int own_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    *ret_last_applied = own_last_applied(ctx);
    return 0;
}

/* ---- birth and death ---- */

static void host_init(struct host *h)
{
    *h = (struct host){.now_us = 1000000};
    buf_init(&h->out);
    h->disk = fake_disk_new(7);
    h->folder = temp_folder_new("engine");
    h->state = (struct engine_state){.ctx = h,
                                     .last_applied = own_last_applied,
                                     .begin = own_begin,
                                     .apply = own_apply,
                                     .apply_get = own_get,
                                     .commit = own_commit,
                                     .abort = own_nothing,
                                     .read_begin = own_read_begin,
                                     .get = own_get,
                                     .disk_room = own_disk_room,
                                     .sessions = own_sessions,
                                     .read_end = own_nothing};
    h->conf = (struct engine_conf){
        .node_name = "n1",
        .log = {.vfs = fake_disk_vfs(h->disk),
                .cluster_id = "a test",
                .node_id = raft_founder_id("n1"),
                .incarnation = 5,
                .segment_first_bytes = 1u << 16,
                .segment_bytes = 1u << 18},
        .log_path = "data/wal",
        /* What is applied is in the file: some cases spoil it there. */
        .kv = {.dir = h->folder, .map_size_bytes = 8u << 20, .incarnation = 5, .memtable_keys = 1}};
    raft_conf_init(&h->conf.raft);
    h->conf.raft.id = h->conf.log.node_id;
    h->conf.raft.seed = 3;
}

static void make_log_naming(struct host *h, const char *name)
{
    struct raft_configuration c;
    cleanup_buf struct buf b = BUF_INIT;

    raft_configuration_init(&c);
    c.version = h->members_version;
    assert_int_equal(raft_configuration_add(&c, raft_founder_id(name), name, RAFT_VOTER, "", ""),
                     0);
    for (unsigned i = 0; i < h->n_others; i++) {
        char other[8];

        (void)snprintf(other, sizeof(other), "n%u", i + 2);
        assert_int_equal(raft_configuration_add(&c, other_id(i), other, RAFT_VOTER, "", ""), 0);
    }
    if (h->has_learner)
        assert_int_equal(
            raft_configuration_add(&c, raft_founder_id("n2"), "n2", RAFT_LEARNER, "", ""), 0);
    if (h->has_secrets) {
        memcpy(c.cluster_id, SECRET_ID, sizeof(c.cluster_id));
        c.servers[0].incarnation = SECRET_INCARNATION;
    }
    assert_int_equal(raft_configuration_encode(&c, &b), 0);
    assert_int_equal(engine_create_log(&h->conf, b.data, b.len), 0);
}

/* The result of engine_open(). */
static int open_it(struct host *h)
{
    const struct engine_ops ops = {.ctx = h,
                                   .now_us = host_now,
                                   .cpu_us = host_cpu,
                                   .send = host_send,
                                   .end = host_end,
                                   .trace = h->logs ? NULL : host_trace,
                                   .invalid_action = "close_link",
                                   .recovered = host_recovered,
                                   .out = host_out,
                                   .hold = host_owes,
                                   .release = host_owes,
                                   .peer_version = host_peer_version,
                                   .command_version = host_command_version,
                                   .status = host_status};
    const struct service_conf service = {.cluster_name = "test", .seed = 1};

    assert_int_equal(engine_new(&ops, &service, &h->engine), 0);
    return engine_open(h->engine, &h->conf);
}

static void close_it(struct host *h)
{
    service_conn_free(h->conn);
    h->conn = NULL;
    engine_free(h->engine, true);
    h->engine = NULL;
    assert_int_equal(fake_disk_n_open(h->disk), 0);
}

static void host_done(struct host *h)
{
    close_it(h);
    fake_disk_free(h->disk);
    if (h->snap_disk != NULL)
        fake_disk_free(h->snap_disk);
    temp_folder_remove(h->folder);
    buf_done(&h->out);
    free(h->text);
}

static void hear(struct host *h)
{
    struct raft_msg answers[64];
    unsigned n = h->n_answers;

    memcpy(answers, h->answers, sizeof(answers));
    h->n_answers = 0;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(replica_step(engine_replica(h->engine), &answers[i], h->now_us), 0);
}

/* Until nothing moves any more at this time. */
static void settle(struct host *h)
{
    for (int i = 0; i < 20; i++) {
        hear(h);
        engine_turn(h->engine, h->now_us);
        engine_work(h->engine, h->now_us);
    }
}

static void advance(struct host *h, uint64_t us)
{
    h->now_us += us;
    settle(h);
}

static void lead(struct host *h)
{
    for (int i = 0; i < 100 && !raft_can_serve(engine_raft(h->engine)); i++)
        advance(h, 100000);
    assert_true(raft_can_serve(engine_raft(h->engine)));
    assert_int_equal(service_conn_new(engine_service(h->engine), h, &h->conn), 0);
}

/* Alone it is its own successor. */
static void lead_again(struct host *h)
{
    for (int i = 0; i < 100 && !raft_can_serve(engine_raft(h->engine)); i++)
        advance(h, 100000);
    assert_true(raft_can_serve(engine_raft(h->engine)));
}

static void start(struct host *h)
{
    host_init(h);
    make_log_naming(h, "n1");
    assert_int_equal(open_it(h), 0);
    lead(h);
}

/* What is answered; valid until the next. */
static const char *ask(struct host *h, const char *line)
{
    service_line(h->conn, line, strlen(line), 1);
    settle(h);
    assert_int_equal(buf_add_u8(&h->out, '\0'), 0);
    free(h->text);
    h->text = strdup((const char *)h->out.data);
    assert_non_null(h->text);
    buf_reset(&h->out, 0);
    return h->text;
}

static bool says(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* The reply to a write of so many bytes. */
static const char *write_of(struct host *h, int key, size_t bytes)
{
    char *line = malloc(bytes + 100);
    const char *reply;
    int n;

    assert_non_null(line);
    n = snprintf(line, bytes + 100, "{\"type\":\"write\",\"msg_id\":1,\"key\":%d,\"value\":\"",
                 key);
    memset(line + n, 'x', bytes);
    memcpy(line + n + bytes, "\"}", 3);
    reply = ask(h, line);
    free(line);
    return reply;
}

/* Whether it was taken; otherwise it was refused for lack of room. */
static bool takes(struct host *h, int key, size_t bytes)
{
    const char *reply = write_of(h, key, bytes);

    assert_true(says(reply, "\"write_ok\"") || says(reply, "\"no_space\""));
    return says(reply, "\"write_ok\"");
}

/* ---- starting ---- */

static void engine__a_node_comes_back_with_what_it_had(void **state)
{
    struct host h;

    (void)state;
    start(&h);
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":\"a\",\"value\":41}"), "write_ok"));
    close_it(&h);
    assert_int_equal(open_it(&h), 0);
    assert_true(engine_raft(h.engine) != NULL);
    lead(&h);
    assert_true(says(ask(&h, "{\"type\":\"read\",\"key\":\"a\"}"), "\"value\":41"));
    assert_int_equal(h.n_ends, 0);
    host_done(&h);
}

static void engine__status_speaks_of_log_and_state(void **state)
{
    struct host h;
    const char *reply;

    (void)state;
    start(&h);
    reply = ask(&h, "{\"type\":\"status\"}");
    assert_true(says(reply, "\"log\":{\"fsyncs\":"));
    assert_true(says(reply, "\"segments\":"));
    assert_true(says(reply, "\"state\":{\"keys\":0,"));
    assert_true(says(reply, "\"live_bytes\":0,"));
    assert_true(says(reply, "\"file_bytes\":"));
    assert_false(says(reply, "\"file_bytes\":0"));
    assert_true(says(reply, "\"digest\":\""));
    assert_true(says(reply, "\"digest_index\":2"));
    assert_true(says(reply, "\"of_the_host\":1"));
    host_done(&h);
}

/* ---- parts of snapshots for clients ---- */

static void begin_with_snapshots(struct host *h, unsigned n_others)
{
    h->n_others = n_others;
    h->snap_disk = fake_disk_new(9);
    h->conf.snap_vfs = fake_disk_vfs(h->snap_disk);
    make_log_naming(h, "n1");
    assert_int_equal(open_it(h), 0);
    for (unsigned i = 0; i < n_others; i++)
        replica_link(engine_replica(h->engine), other_id(i), true, h->now_us);
    lead(h);
}

static void start_with_snapshots(struct host *h, unsigned n_others)
{
    host_init(h);
    begin_with_snapshots(h, n_others);
}

static uint64_t number_in(const char *reply, const char *name)
{
    const char *p = strstr(reply, name);

    assert_non_null(p);
    return strtoull(p + strlen(name), NULL, 10);
}

/* The part that is told, at the end of file; its length. */
static size_t take_part(const char *reply, struct buf *file)
{
    const char *text = strstr(reply, "\"part\":\"");
    size_t text_len;
    size_t len;
    void *room;

    assert_non_null(text);
    text += strlen("\"part\":\"");
    text_len = strcspn(text, "\"");
    room = buf_reserve(file, base64_bytes_max(text_len) + 1);
    assert_non_null(room);
    assert_true(base64_decode(text, text_len, room, &len));
    assert_int_equal(number_in(reply, "\"crc32c\":"), crc32c(0, room, len));
    file->len += len;
    return len;
}

static void make_snapshot(struct host *h)
{
    const char *reply = ask(h, "{\"type\":\"snapshot\"}");

    assert_true(says(reply, "\"making\":true"));
    for (int i = 0; i < 20 && h->engine->snap.making.n_made == 0; i++)
        advance(h, 100000);
    assert_int_equal(h->engine->snap.making.n_made, 1);
}

static bool holds(const struct buf *b, const void *what, size_t n)
{
    return memmem(b->data, b->len, what, n) != NULL;
}

/* What the node keeps has it, and what it gives a client has it not (MEMBER-16, PEER-7). */
static void assert_tells_no_secret(struct host *h, const struct buf *file)
{
    struct snap_meta own;
    unsigned char incarnation[8];

    put_u64(incarnation, SECRET_INCARNATION);
    assert_int_equal(snap_list(h->engine->snap.folder, &own, 1), 1);
    assert_memory_equal(own.config.configuration.cluster_id, SECRET_ID, 16);
    assert_true(own.config.configuration.servers[0].incarnation == SECRET_INCARNATION);
    assert_false(holds(file, SECRET_ID, 16));
    assert_false(holds(file, incarnation, sizeof(incarnation)));
}

/* What they add up to is a copy that its trailer describes (SNAP-16). */
static void engine__parts_add_up_to_the_snapshot(void **state)
{
    struct host h;
    struct buf file = BUF_INIT;
    struct buf again = BUF_INIT;
    struct snap_meta m;
    char line[128];
    const char *reply;
    unsigned n = 0;
    size_t trailer;

    (void)state;
    host_init(&h);
    h.has_secrets = true;
    begin_with_snapshots(&h, 0);
    assert_true(says(ask(&h, "{\"type\":\"snapshot_part\"}"), "\"field\":\"index\""));
    for (int key = 0; key < 4; key++)
        assert_true(takes(&h, key, 50000));
    make_snapshot(&h);
    do {
        (void)snprintf(line, sizeof(line), "{\"type\":\"snapshot_part\",\"offset\":%zu}", file.len);
        reply = ask(&h, line);
        assert_true(says(reply, "\"snapshot_part_ok\""));
        assert_int_equal(number_in(reply, "\"offset\":"), file.len);
        assert_true(take_part(reply, &file) <= SNAP_PART_BYTES_MAX);
        advance(&h, 100000); /* not faster than snapshots may be made */
        n++;
    } while (!says(reply, "\"last\":true"));
    assert_true(n > 2);
    assert_int_equal(number_in(reply, "\"bytes\":"), file.len);
    trailer = snap_tail_find(file.data, file.len);
    assert_int_equal(snap_meta_decode(file.data + file.len - trailer, trailer, &m), 0);
    assert_int_equal(m.body_bytes + trailer, file.len);
    assert_int_equal(m.body_crc, crc32c(0, file.data, (size_t)m.body_bytes));
    assert_int_equal(m.id.index, number_in(reply, "\"index\":"));
    assert_true(m.given);
    assert_int_equal(m.config.configuration.n, 1);
    assert_string_equal(m.config.configuration.servers[0].name, "n1");
    assert_tells_no_secret(&h, &file);
    /* Whoever goes on in the middle of the trailer, and after the file was closed, has the same. */
    advance(&h, SNAP_GIVE_IDLE_US + 1);
    advance(&h, 1000);
    assert_null(h.engine->snap.giving.reader);
    (void)snprintf(line, sizeof(line), "{\"type\":\"snapshot_part\",\"offset\":%zu}",
                   file.len - trailer + 50);
    assert_int_equal(take_part(ask(&h, line), &again), trailer - 50);
    assert_memory_equal(again.data, file.data + file.len - trailer + 50, trailer - 50);
    buf_done(&again);
    buf_done(&file);
    host_done(&h);
}

/* What was read for one that is gone is not the part that the next one asked for. */
static void engine__a_part_is_the_one_that_was_asked_for(void **state)
{
    static const char first[] = "{\"type\":\"snapshot_part\",\"offset\":0}";
    struct host h;
    struct buf a = BUF_INIT;
    struct buf b = BUF_INIT;

    (void)state;
    start_with_snapshots(&h, 0);
    assert_true(takes(&h, 1, 50000));
    make_snapshot(&h);
    (void)take_part(ask(&h, "{\"type\":\"snapshot_part\",\"offset\":1000}"), &a);
    advance(&h, 100000);
    service_line(h.conn, first, sizeof(first) - 1, 1);
    engine_turn(h.engine, h.now_us);
    service_conn_free(h.conn);
    assert_int_equal(service_conn_new(engine_service(h.engine), &h, &h.conn), 0);
    settle(&h);
    (void)take_part(ask(&h, "{\"type\":\"snapshot_part\",\"offset\":1000}"), &b);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    buf_done(&a);
    buf_done(&b);
    host_done(&h);
}

/* Whoever asks for what is not there is told so, and no file stays open for who asks no more. */
static void engine__a_part_is_of_a_snapshot_that_is_there(void **state)
{
    struct host h;
    char line[128];

    (void)state;
    start_with_snapshots(&h, 0);
    assert_true(takes(&h, 1, 50000));
    make_snapshot(&h);
    assert_int_equal(fake_disk_n_open(h.snap_disk), 0);
    assert_true(
        says(ask(&h, "{\"type\":\"snapshot_part\",\"offset\":999999999}"), "\"field\":\"offset\""));
    assert_true(says(ask(&h, "{\"type\":\"snapshot_part\",\"index\":1,\"term\":1}"),
                     "\"field\":\"index\""));
    /* Of that index, but not of that term. */
    (void)snprintf(line, sizeof(line), "{\"type\":\"snapshot_part\",\"index\":%llu,\"term\":77}",
                   (unsigned long long)h.engine->snap.newest.index);
    assert_true(says(ask(&h, line), "\"field\":\"index\""));
    assert_true(says(ask(&h, "{\"type\":\"snapshot_part\"}"), "\"snapshot_part_ok\""));
    assert_int_equal(fake_disk_n_open(h.snap_disk), 1);
    for (int i = 0; i < 3; i++) { /* who goes on asking keeps it */
        advance(&h, SNAP_GIVE_IDLE_US - 1);
        assert_true(says(ask(&h, "{\"type\":\"snapshot_part\"}"), "\"snapshot_part_ok\""));
        assert_int_equal(fake_disk_n_open(h.snap_disk), 1);
    }
    assert_true(engine_deadline_us(h.engine) <= h.now_us + SNAP_GIVE_IDLE_US);
    h.engine->differ.differs = true; /* SNAP-12 */
    service_line(h.conn, "{\"type\":\"snapshot_part\"}", 24, 1);
    service_turn(engine_service(h.engine), h.now_us);
    h.engine->differ.differs = false;
    assert_true(says(ask(&h, "{\"type\":\"ping\"}"), "not to be trusted"));
    advance(&h, SNAP_GIVE_IDLE_US);
    assert_int_equal(fake_disk_n_open(h.snap_disk), 0);
    host_done(&h);
}

/* ---- snapshots for followers ---- */

/* What a follower said before it was done is still on its way then: it does not begin the next one,
 * of which nobody would take the end (SNAP-7). */
static void engine__a_snapshot_that_is_done_is_not_sent_again(void **state)
{
    struct host h;
    struct sending *s;

    (void)state;
    start_with_snapshots(&h, 2);
    assert_true(takes(&h, 1, 50000));
    make_snapshot(&h);
    s = &h.engine->snap.sendings[0];
    h.others[0].flags = RAFT_NOTE_SAID | NOTE_WANTS_SNAPSHOT;
    for (int i = 0; i < 20 && !s->is_ready; i++)
        advance(&h, 50000);
    assert_true(s->is_ready && s->to == other_id(0));
    engine_send_answer(h.engine, &(struct raft_msg){.type = RAFT_MSG_SNAPSHOT_RESP,
                                                    .from = s->to,
                                                    .part = &(struct raft_snapshot_part){
                                                        .transfer = s->transfer,
                                                        .offset = s->sent,
                                                        .bytes = s->bytes,
                                                        .status = RAFT_SNAPSHOT_DONE}});
    settle(&h); /* a turn in which nobody wants one */
    engine_send_heard(h.engine, other_id(0), NOTE_WANTS_SNAPSHOT);
    settle(&h);
    assert_false(s->is_open);
    h.others[0].flags = RAFT_NOTE_SAID;
    for (int i = 0; i < 40; i++)
        advance(&h, 50000);
    assert_int_equal(h.engine->snap.n_sent, 1);
    assert_int_equal(s->to, 0);
    /* And if it is so, it gets another. */
    h.others[0].flags = RAFT_NOTE_SAID | NOTE_WANTS_SNAPSHOT;
    for (int i = 0; i < 40 && !s->is_ready; i++)
        advance(&h, 50000);
    assert_true(s->is_ready);
    host_done(&h);
}

/* ---- beside an earlier version ---- */

static raft_index begins_behind(const struct host *h)
{
    return store_base(engine_store(h->engine)).index;
}

/* More than a segment, and a snapshot of it all. */
static void fill_segments(struct host *h)
{
    for (int i = 0; i < 12; i++)
        assert_true(takes(h, i, 50000));
    make_snapshot(h);
    for (int i = 0; i < 5; i++)
        advance(h, 100000);
}

/* An earlier version reads a log that begins with entry 1, and no other (MEMBER-17). */
static void engine__the_log_is_kept_whole_for_an_earlier_version(void **state)
{
    struct host h;
    uint64_t opened_us;

    (void)state;
    start_with_snapshots(&h, 2);
    opened_us = h.engine->snap.unmet_until_us - SNAP_UNMET_US;
    assert_true(opened_us > 0 && opened_us <= h.now_us);
    h.others[1].is_old = true;
    fill_segments(&h);
    assert_int_equal(begins_behind(&h), 0);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"front_kept_for\":\"n3\""));
    h.engine->space.log_is_full = true; /* nor for want of room */
    advance(&h, 100000);
    assert_int_equal(begins_behind(&h), 0);
    h.others[1].is_old = false;
    advance(&h, 100000);
    assert_true(begins_behind(&h) > 0);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"front_kept_for\":null"));
    host_done(&h);
}

static void engine__the_log_is_kept_whole_for_who_was_not_met(void **state)
{
    struct host h;

    (void)state;
    start_with_snapshots(&h, 2);
    h.others[0].is_unmet = true;
    fill_segments(&h);
    assert_int_equal(begins_behind(&h), 0);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"front_kept_for\":\"n2\""));
    h.engine->snap.unmet_until_us = h.now_us + 200000; /* but not for ever */
    advance(&h, 100000);
    assert_int_equal(begins_behind(&h), 0);
    advance(&h, 100000);
    assert_true(begins_behind(&h) > 0);
    host_done(&h);
}

/* Once the members were changed no earlier version can read the log. */
static void engine__who_must_know_changes_is_no_earlier_version(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    h.members_version = MEMBERS_VERSION;
    begin_with_snapshots(&h, 2);
    h.others[0].is_unmet = true;
    fill_segments(&h);
    assert_true(begins_behind(&h) > 0);
    host_done(&h);
}

/* A second of which the loop worked so much of each tenth. */
static unsigned rounds_after(struct host *h, unsigned percent)
{
    struct raft_status st;

    for (int i = 0; i < 10; i++) {
        h->cpu_us += 1000 * percent;
        advance(h, 100000);
    }
    raft_get_status(engine_raft(h->engine), &st);
    return st.rounds_max;
}

/* One round at a time while the loop is the bottleneck (READ-65). */
static void engine__rounds_follow_the_load(void **state)
{
    struct host h;

    (void)state;
    start(&h);
    assert_int_equal(rounds_after(&h, 10), RAFT_ROUNDS_MAX);
    assert_int_equal(rounds_after(&h, 80), RAFT_ROUNDS_MAX);
    assert_int_equal(rounds_after(&h, 95), 1);
    assert_int_equal(rounds_after(&h, 80), 1);
    engine_set_rounds(h.engine, 4); /* a new configuration does not end that */
    assert_int_equal(rounds_after(&h, 95), 1);
    assert_int_equal(rounds_after(&h, 50), 4);
    host_done(&h);
}

static void expect_refusal(struct host *h, int refusal, const char *event, int exit_code)
{
    assert_int_equal(open_it(h), refusal);
    assert_string_equal(engine_refusal_text(refusal), event);
    assert_int_equal(engine_refusal_exit_code(refusal), exit_code);
    close_it(h);
}

/* The log is gone, but there was one: a node that has voted and forgotten (DISK-1). */
static void engine__no_log_is_refused(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    expect_refusal(&h, ENGINE_E_LOG_LOST, "log_lost", EXIT_DAMAGED);
    host_done(&h);
}

/* Neither damage nor an I/O error, after which a supervisor would start it again and again
 * (DISK-24). */
static void engine__the_log_of_a_later_version_is_refused(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    h.conf.log.group = 3;
    make_log_naming(&h, "n1");
    h.conf.log.group = 0;
    expect_refusal(&h, ENGINE_E_LOG_NEWER, "log_refused", EXIT_CONF_ERROR);
    assert_non_null(strstr(err_text(), "start that version"));
    host_done(&h);
}

/* The same of the state (STATE-9). */
static void engine__the_state_of_another_group_is_refused(void **state)
{
    const struct raft_entry first = {{1, 1}, RAFT_ENTRY_NOOP, 0, NULL};
    struct command_result result;
    enum kv_trust trust;
    struct kv_conf conf;
    struct kv *kv;
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    conf = h.conf.kv;
    conf.group = 3;
    assert_int_equal(kv_open(&conf, &trust, &kv), 0);
    assert_int_equal(kv_begin(kv), 0);
    assert_int_equal(kv_apply(kv, &first, &result), 0);
    assert_int_equal(kv_commit(kv), 0);
    assert_int_equal(kv_close(kv, true), 0);
    expect_refusal(&h, ENGINE_E_STATE_OTHER, "state_refused", EXIT_CONF_ERROR);
    assert_non_null(strstr(err_text(), "of group 3, not of group 0"));
    host_done(&h);
}

/* Cluster, node and incarnation in the headers are compared: another log is not one's own
 * (IDENTITY-3). */
static void engine__the_log_of_another_life_is_refused(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    h.conf.log.incarnation++;
    expect_refusal(&h, ENGINE_E_LOG_FOREIGN, "log_foreign", EXIT_CONF_ERROR);
    host_done(&h);
}

/* DISK-9: state and log of two different copies would go on side by side. */
static void engine__state_and_log_must_agree(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    h.conf.state = &h.state;
    h.applied = (struct raft_entry_id){2, 1};
    expect_refusal(&h, ENGINE_E_CONTRADICTION, "core_refused", EXIT_DAMAGED);
    h.applied = (struct raft_entry_id){1, 1};
    assert_int_equal(open_it(&h), 0);
    host_done(&h);
}

/* What the state has applied was durable in the log once (DISK-4). */
static void engine__a_state_ahead_of_the_log_is_refused(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    h.conf.state = &h.state;
    h.applied = (struct raft_entry_id){1, 2};
    expect_refusal(&h, ENGINE_E_LOG_DAMAGED, "log_damaged", EXIT_DAMAGED);
    host_done(&h);
}

/* ---- a log whose front was removed (DISK-23) ---- */

struct compacted {
    struct host h;
    struct raft_entry_id base;
};

/* The front goes, as far as segment 3. */
static void drop_two_segments(struct compacted *c)
{
    struct host *h = &c->h;
    struct store_recovered recovered = {0};
    struct segment_header header;
    struct store *store = NULL;
    char name[STORE_NAME_BYTES];
    uint64_t number = 0;
    bool more = true;
    size_t size;

    store_name_segment(name, 3);
    assert_int_equal(segment_header_decode(fake_disk_bytes(h->disk, name, &size), &header), 0);
    c->base = (struct raft_entry_id){header.prev_last_term, header.prev_last_index};
    assert_true(c->base.index > 2);
    assert_int_equal(store_open(&h->conf.log, &recovered, &store), 0);
    assert_int_equal(store_mark(store, c->base), 0);
    assert_int_equal(store_work(store, &number), 0);
    assert_int_equal(store_front(store, c->base.index, 0).index, c->base.index);
    store_drop_front(store, c->base);
    while (more)
        assert_int_equal(store_prepare(store, &more), 0);
    store_close(store);
    store_recovered_done(&recovered);
    assert_null(fake_disk_bytes(h->disk, "0000000000000002.wal", &size));
}

/* A node of one writes past its second segment; both then go. Its state is the test's own and ends
 * with the base. */
static void begin_compacted(struct compacted *c)
{
    struct host *h = &c->h;

    host_init(h);
    h->conf.log.segment_bytes = 1u << 16;
    make_log_naming(h, "n1");
    h->conf.state = &h->state;
    assert_int_equal(open_it(h), 0);
    lead(h);
    for (int i = 0; i < 8; i++)
        assert_true(takes(h, 1, 20000));
    close_it(h);
    drop_two_segments(c);
    h->applied = c->base;
}

static void engine__a_log_may_begin_behind_its_base(void **state)
{
    struct compacted c;
    struct raft_status status;

    (void)state;
    begin_compacted(&c);
    assert_int_equal(open_it(&c.h), 0);
    raft_get_status(engine_raft(c.h.engine), &status);
    assert_true(status.base.index == c.base.index && status.base.term == c.base.term);
    lead(&c.h); /* what is behind the base is applied */
    assert_true(c.h.applied.index > c.base.index + 1);
    assert_true(takes(&c.h, 1, 100));
    host_done(&c.h);
}

/* The state that ends with the base has its term of it, or is of another copy (DISK-9). */
static void engine__a_state_at_the_base_has_its_term(void **state)
{
    struct compacted c;

    (void)state;
    begin_compacted(&c);
    c.h.applied.term++;
    expect_refusal(&c.h, ENGINE_E_CONTRADICTION, "core_refused", EXIT_DAMAGED);
    assert_non_null(strstr(err_text(), "not of the same copy"));
    /* Its entries are gone: what made it cannot be had from the log. */
    assert_null(strstr(err_text(), "rebuilt from the log"));
    host_done(&c.h);
}

static void engine__a_state_behind_the_base_is_refused(void **state)
{
    struct compacted c;

    (void)state;
    begin_compacted(&c);
    c.h.applied = (struct raft_entry_id){1, c.base.index - 1};
    expect_refusal(&c.h, ENGINE_E_CONTRADICTION, "core_refused", EXIT_DAMAGED);
    assert_non_null(strstr(err_text(), "cannot be rebuilt"));
    assert_non_null(strstr(err_text(), "LOST DISK"));
    /* A state that was moved away, too. */
    c.h.applied = (struct raft_entry_id){0, 0};
    expect_refusal(&c.h, ENGINE_E_CONTRADICTION, "core_refused", EXIT_DAMAGED);
    assert_non_null(strstr(err_text(), "cannot be rebuilt"));
    host_done(&c.h);
}

/* To the core it is its own outcome, by its own number, and the end of nothing. */
static void engine__reading_what_was_removed_is_the_cores_outcome(void **state)
{
    struct raft_entry entry;
    struct compacted c;
    struct arena arena;
    unsigned n = 0;

    (void)state;
    begin_compacted(&c);
    assert_int_equal(open_it(&c.h), 0);
    arena_init(&arena, mem_libc);
    for (raft_index i = 1; i <= c.base.index; i++)
        assert_int_equal(engine_log_read(c.h.engine, i, i, 1, &arena, &entry, 1, &n),
                         RAFT_LOG_E_COMPACTED);
    assert_int_equal(
        engine_log_read(c.h.engine, c.base.index + 1, c.base.index + 1, 1, &arena, &entry, 1, &n),
        0);
    assert_true(n == 1 && entry.id.index == c.base.index + 1);
    assert_true(engine_log_read(c.h.engine, 1000, 1000, 1, &arena, &entry, 1, &n) < 0);
    arena_done(&arena);
    host_done(&c.h);
}

/* One group in three places: a host that says two is stopped before it opens anything. */
static void engine__one_group_or_none(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
            struct host h;

            (void)signal(SIGABRT, SIG_DFL);
            (void)close(STDERR_FILENO);
            host_init(&h);
            temp_folder_remove(h.folder); /* nobody is left to do it */
            if (how == 0)
                h.conf.raft.group = 3;
            else if (how == 1)
                h.conf.log.group = 3;
            else
                h.conf.kv.group = 3;
            (void)open_it(&h);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

static void engine__a_stranger_to_its_log_is_refused(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n2");
    expect_refusal(&h, ENGINE_E_NOT_MEMBER, "core_refused", EXIT_CONF_ERROR);
    h.conf.may_be_stranger = true;
    assert_int_equal(open_it(&h), 0);
    host_done(&h);
}

static void engine__the_host_may_refuse(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    h.says_recovered = 1;
    assert_int_equal(open_it(&h), ENGINE_E_HOST);
    assert_null(engine_replica(h.engine));
    host_done(&h);
}

static void engine__no_state_is_refused(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    h.conf.kv.dir = "/nowhere/at/all";
    expect_refusal(&h, ENGINE_E_STATE, "state_refused", EXIT_IO_ERROR);
    host_done(&h);
}

/* ---- the end ---- */

/* Once, and what waited for that batch never leaves (DISK-13). */
static void engine__a_failed_sync_ends_the_node(void **state)
{
    struct host h;

    (void)state;
    start(&h);
    fake_disk_fail_sync(h.disk, 1, FAKE_DISK_SYNC_REVERT);
    service_line(h.conn, "{\"type\":\"write\",\"key\":1,\"value\":1}", 34, 1);
    engine_turn(h.engine, h.now_us);
    engine_work(h.engine, h.now_us);
    assert_int_equal(h.n_ends, 1);
    assert_int_equal(h.end.exit_code, EXIT_IO_ERROR);
    assert_true(h.end.error < 0);
    assert_non_null(h.end.what);
    engine_turn(h.engine, h.now_us);
    assert_int_equal(h.out.len, 0);
    host_done(&h);
}

static void expect_end(int error, int exit_code)
{
    struct host h;

    host_init(&h);
    make_log_naming(&h, "n1");
    h.conf.state = &h.state;
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    h.fail_apply = error;
    (void)ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":1}");
    assert_int_equal(h.n_ends, 1);
    assert_int_equal(h.end.error, error);
    assert_int_equal(h.end.exit_code, exit_code);
    host_done(&h);
}

/* ---- a state that is damaged ---- */

static int own_rebuild(void *ctx)
{
    struct host *h = ctx;

    h->applied = (struct raft_entry_id){0};
    h->fail_apply = 0;
    h->n_rebuilds++;
    return h->fail_rebuild;
}

/* FIT-7: a state that says so of itself is made again, and the write that met it is answered. */
static void engine__damage_met_while_applying_is_no_end(void **state)
{
    static const int damages[] = {KV_E_DAMAGED, -EBADMSG};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct host h;

        host_init(&h);
        make_log_naming(&h, "n1");
        h.state.rebuild = own_rebuild;
        h.conf.state = &h.state;
        assert_int_equal(open_it(&h), 0);
        lead(&h);
        h.fail_apply = damages[i];
        assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":1}"), "write_ok"));
        assert_int_equal(h.n_rebuilds, 1);
        assert_int_equal(h.n_ends, 0);
        lead_again(&h);
        assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":1}"), "write_ok"));
        host_done(&h);
    }
}

static void engine__a_rebuild_that_fails_is_the_end(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    h.state.rebuild = own_rebuild;
    h.conf.state = &h.state;
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    h.fail_rebuild = -EIO;
    engine_state_damaged(h.engine, "a test says so");
    settle(&h);
    assert_int_equal(h.n_ends, 1);
    assert_int_equal(h.end.exit_code, EXIT_IO_ERROR);
    host_done(&h);
}

/* The real one: nothing is answered before it holds again what it held, and status says why. */
static void engine__a_damaged_kv_is_made_again_in_place(void **state)
{
    struct host h;

    (void)state;
    start(&h);
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":7}"), "write_ok"));
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"verdict\":\"good\""));
    engine_state_damaged(h.engine, "a test says so");
    assert_string_equal(engine_verdict(h.engine), "damaged");
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_UNFIT);
    engine_turn(h.engine, h.now_us); /* empties it, and applies what is committed */
    assert_int_equal(raft_get_role(engine_raft(h.engine)), RAFT_FOLLOWER);
    settle(&h);
    assert_string_equal(engine_verdict(h.engine), "good");
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_FIT);
    assert_true(says(ask(&h, "{\"type\":\"read\",\"via\":\"local\",\"key\":1}"), "\"value\":7"));
    lead_again(&h);
    assert_true(says(ask(&h, "{\"type\":\"read\",\"key\":1}"), "\"value\":7"));
    assert_int_equal(h.n_ends, 0);
    host_done(&h);
}

/* FIT-6: a process that ends in the middle of it leaves a file that is believed, and that lacks what
 * this node has shown. */
static void engine__a_half_made_state_goes_on_being_made(void **state)
{
    struct host h;

    (void)state;
    start(&h);
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":7}"), "write_ok"));
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":8}"), "write_ok"));
    assert_int_equal(kv_rebuild(h.engine->kv), 0); /* and then the process ends */
    close_it(&h);
    assert_int_equal(open_it(&h), 0);
    assert_string_equal(engine_verdict(h.engine), "rebuilding");
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_UNFIT);
    settle(&h);
    assert_string_equal(engine_verdict(h.engine), "good");
    assert_int_equal(service_conn_new(engine_service(h.engine), &h, &h.conn), 0);
    assert_true(says(ask(&h, "{\"type\":\"read\",\"via\":\"local\",\"key\":1}"), "\"value\":8"));
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_FIT);
    lead_again(&h);
    assert_true(says(ask(&h, "{\"type\":\"read\",\"key\":1}"), "\"value\":8"));
    close_it(&h); /* made, and closed: the next start finds all of it */
    assert_int_equal(open_it(&h), 0);
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_FIT);
    host_done(&h);
}

/* Found at the start instead: the same, until it has applied what it had applied before. */
static void engine__a_state_set_aside_at_the_start_is_unfit(void **state)
{
    struct host h;

    (void)state;
    start(&h);
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":7}"), "write_ok"));
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":8}"), "write_ok"));
    engine_state_damaged(h.engine, "and then the process ends"); /* the mark is gone */
    close_it(&h);
    assert_int_equal(open_it(&h), 0);
    assert_string_equal(engine_verdict(h.engine), "rebuilding");
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_UNFIT);
    settle(&h);
    assert_string_equal(engine_verdict(h.engine), "good");
    assert_int_equal(service_conn_new(engine_service(h.engine), &h, &h.conn), 0);
    assert_true(says(ask(&h, "{\"type\":\"read\",\"via\":\"local\",\"key\":1}"), "\"value\":8"));
    lead_again(&h);
    assert_true(says(ask(&h, "{\"type\":\"read\",\"key\":1}"), "\"value\":8"));
    host_done(&h);
}

/* SPACE and damage at once: the worse of the two is said. */
static void engine__parked_and_unfit(void **state)
{
    struct host h;

    (void)state;
    start(&h);
    engine_set_parked(h.engine, true);
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_PARKED);
    assert_true(raft_can_serve(engine_raft(h.engine)));
    engine_state_damaged(h.engine, "a test says so");
    engine_set_parked(h.engine, false);
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_UNFIT);
    engine_set_parked(h.engine, true);
    settle(&h);
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_PARKED);
    engine_set_parked(h.engine, false);
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_FIT);
    host_done(&h);
}

/* Damage stays damage at the next start; anything else may be gone by then. */
static void engine__damage_and_failures_have_their_codes(void **state)
{
    (void)state;
    expect_end(KV_E_DAMAGED, EXIT_IO_ERROR); /* the next start makes the state again (FIT-7) */
    expect_end(-EBADMSG, EXIT_DAMAGED);
    expect_end(KV_E_COMMAND_NEWER, EXIT_CONF_ERROR);
    expect_end(-EIO, EXIT_IO_ERROR);
}

/* Every copy of a text in the file of the state. */
static void spoil_state(struct host *h, const char *text)
{
    static char bytes[1u << 20];
    char path[TEMP_FOLDER_PATH_MAX + 16];
    size_t n;
    FILE *file;
    unsigned found = 0;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", h->folder);
    file = fopen(path, "r+b");
    assert_non_null(file);
    n = fread(bytes, 1, sizeof(bytes), file);
    for (size_t i = 0; i + strlen(text) <= n; i++)
        if (memcmp(bytes + i, text, strlen(text)) == 0) {
            assert_int_equal(fseek(file, (long)i + 1, SEEK_SET), 0);
            assert_int_equal(fputc(bytes[i + 1] ^ 4, file), bytes[i + 1] ^ 4);
            found++;
        }
    assert_int_equal(fclose(file), 0);
    assert_true(found > 0);
}

/* Once it is known: until the log has given it all again. */
static bool is_found(struct host *h)
{
    char path[TEMP_FOLDER_PATH_MAX + 16];

    (void)snprintf(path, sizeof(path), "%s/data.mdb.old", h->folder);
    return strcmp(engine_verdict(h->engine), "good") != 0 || access(path, F_OK) == 0;
}

/* STATE-14, FIT-7: the log is good, so it has it all again, and nothing ends. */
static void expect_rebuilt(struct host *h)
{
    assert_true(is_found(h));
    advance(h, 1000);
    assert_int_equal(h->n_ends, 0);
    assert_string_equal(engine_verdict(h->engine), "good");
    lead_again(h);
    assert_true(says(ask(h, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"a\"}"), "some words"));
    host_done(h);
}

static void start_and_write(struct host *h, unsigned scrub_mib_per_s)
{
    host_init(h);
    h->conf.scrub_mib_per_s = scrub_mib_per_s;
    make_log_naming(h, "n1");
    assert_int_equal(open_it(h), 0);
    lead(h);
    assert_true(
        says(ask(h, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"a\",\"value\":\"some words\"}"),
             "write_ok"));
}

/* STATE-13: nobody reads the key; the pass that comes by finds it. */
static void engine__damage_of_a_running_state_is_found(void **state)
{
    struct host h;

    (void)state;
    start_and_write(&h, 4);
    advance(&h, SCRUB_PAUSE_US);
    assert_true(engine_scrub_passes(h.engine) > 0);
    spoil_state(&h, "some words");
    for (unsigned i = 0; !is_found(&h) && i < 100; i++) {
        h.now_us += SCRUB_PAUSE_US / 50;
        engine_turn(h.engine, h.now_us);
    }
    expect_rebuilt(&h);
}

/* Without a rate nothing is read, until somebody asks. */
static void engine__a_scrub_can_be_asked_for(void **state)
{
    struct host h;

    (void)state;
    start_and_write(&h, 0);
    spoil_state(&h, "some words");
    advance(&h, 10 * SCRUB_PAUSE_US);
    assert_int_equal(h.n_ends, 0);
    assert_int_equal(engine_scrub_passes(h.engine), 0);
    engine_scrub_now(h.engine);
    assert_int_equal(engine_scrub_deadline_us(h.engine), 0);
    engine_turn(h.engine, h.now_us);
    expect_rebuilt(&h);

    start_and_write(&h, 0);
    engine_scrub_now(h.engine);
    engine_turn(h.engine, h.now_us);
    assert_int_equal(h.n_ends, 0);
    assert_int_equal(engine_scrub_passes(h.engine), 1);
    assert_true(engine_scrub_deadline_us(h.engine) == UINT64_MAX);
    host_done(&h);
}

/* The file may lack what was applied, but not for long, and nobody has to come for that (STATE-17):
 * what it says of the log is all there is once the machine has stopped. */
static void engine__a_state_at_rest_is_stored(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    h.conf.kv.memtable_keys = 0;
    make_log_naming(&h, "n1");
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    advance(&h, 2 * STATE_AHEAD_US);
    assert_false(kv_is_ahead(h.engine->kv));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(takes(&h, 1, 10));
        assert_true(kv_is_ahead(h.engine->kv));
        assert_true(engine_deadline_us(h.engine) <= h.now_us + STATE_AHEAD_US);
        advance(&h, STATE_AHEAD_US / 4);
        assert_true(kv_is_ahead(h.engine->kv));
        /* Also when it is written now and then. */
        assert_true(takes(&h, 2, 10));
        advance(&h, STATE_AHEAD_US);
        assert_false(kv_is_ahead(h.engine->kv));
    }
    host_done(&h);
}

static raft_index asked_for;

static bool is_always_ahead(void *ctx)
{
    (void)ctx;
    return true;
}

static int note_step(void *ctx, raft_index up_to, bool *ret_more)
{
    (void)ctx;
    asked_for = up_to;
    *ret_more = false;
    return 0;
}

/* It never is at rest, and each second all of that time is asked for. */
static void engine__a_state_that_is_written_is_stored(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    h.engine->state.is_ahead = is_always_ahead;
    h.engine->state.flush_step = note_step;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(takes(&h, 1, 10));
        advance(&h, STATE_AHEAD_US);
        assert_int_equal(asked_for, kv_last_applied(h.engine->kv).index);
    }
    host_done(&h);
}

static void engine__a_damaged_record_is_no_end_for_good(void **state)
{
    static const char cas[] =
        "{\"type\":\"cas\",\"msg_id\":1,\"key\":\"a\",\"from\":\"x\",\"to\":1}";
    struct host h;

    (void)state;
    start_and_write(&h, 0);
    spoil_state(&h, "some words");
    service_line(h.conn, cas, strlen(cas), 1);
    for (unsigned i = 0; !is_found(&h) && i < 20; i++) {
        engine_turn(h.engine, h.now_us);
        engine_work(h.engine, h.now_us);
    }
    expect_rebuilt(&h);
}

/* What an I/O error keeps from being read is not lost: a restart may help. */
static void engine__a_log_that_cannot_be_opened_is_refused(void **state)
{
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    fake_disk_fail_call(h.disk, 1, -EIO);
    err_reset();
    expect_refusal(&h, ENGINE_E_LOG, "log_refused", EXIT_IO_ERROR);
    assert_true(err_text()[0] != '\0');
    assert_int_equal(open_it(&h), 0);
    host_done(&h);
}

static void engine__it_describes_itself(void **state)
{
    char text[256] = "nothing yet";
    char expected[256];
    struct host h;

    (void)state;
    engine_describe(NULL, text, sizeof(text));
    assert_string_equal(text, "nothing yet");
    start(&h);
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":1}"), "write_ok"));
    (void)snprintf(expected, sizeof(expected), "node n1 term %llu role leader commit 3 applied 3",
                   (unsigned long long)raft_get_term(engine_raft(h.engine)));
    engine_describe(h.engine, text, sizeof(text));
    assert_string_equal(text, expected);
    host_done(&h);
}

/* ---- what it tells its operator ---- */

struct capture {
    int saved;
    FILE *file;
};

static struct capture capture_begin(void)
{
    struct capture c = {.saved = dup(STDERR_FILENO), .file = tmpfile()};

    assert_non_null(c.file);
    (void)dup2(fileno(c.file), STDERR_FILENO);
    return c;
}

static void capture_end(struct capture *c, char *ret, size_t size)
{
    size_t n;

    (void)dup2(c->saved, STDERR_FILENO);
    (void)close(c->saved);
    rewind(c->file);
    n = fread(ret, 1, size - 1, c->file);
    ret[n] = '\0';
    (void)fclose(c->file);
}

static void expect_says(const char *text, const char *part)
{
    if (!says(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

/* The names are those of ridd-events(7): others look for them. */
static void engine__events_have_their_lines(void **state)
{
    static const struct {
        struct raft_trace t;
        const char *line;
    } cases[] = {
        {{.event = RAFT_TRACE_VOTE_GRANTED, .text = "vote"},
         "event=vote_granted peer=none kind='vote'"},
        {{.event = RAFT_TRACE_VOTE_REFUSED, .text = "its log"},
         "event=vote_refused peer=none why='its log'"},
        {{.event = RAFT_TRACE_TRUNCATED, .index = 8}, "event=log_truncated from_index=8"},
        {{.event = RAFT_TRACE_TRANSFER, .peer = 99, .text = "begun"},
         "event=leader_transfer to=? state=begun"},
        {{.event = RAFT_TRACE_PROBE, .index = 4}, "event=follower_probed peer=none next_index=4"},
        {{.event = RAFT_TRACE_COMPACTED, .index = 5},
         "event=follower_too_far_behind peer=none next_index=5 action=send_snapshot"},
        {{.event = RAFT_TRACE_INVALID, .text = "odd"},
         "event=message_refused peer=none why='odd' suppressed=0 action=close_link"},
        {{.event = RAFT_TRACE_TERM_REFUSED, .term = 3, .heard_term = 99},
         "level=error event=term_far_above peer=none told_term=99 own_term=3 suppressed=0 "
         "action=drop\n"},
        {{.event = RAFT_TRACE_TERM_CLIMB, .term = 3, .heard_term = 99},
         "level=warning event=term_far_above peer=none told_term=99 own_term=3 suppressed=0 "
         "action=drop_and_climb\n"},
        {{.event = RAFT_TRACE_ROLE, .term = RAFT_INDEX_MAX - RAFT_TERMS_LEFT_FEW + 1},
         "level=error event=terms_run_out term=72056494526300161 left=1099511627775 "},
    };
    char text[8192];
    struct capture c;
    struct host h;

    (void)state;
    host_init(&h);
    h.logs = true;
    make_log_naming(&h, "n1");
    log_set_level(LOG_DEBUG);
    c = capture_begin();
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        engine_trace(h.engine, &cases[i].t);
    capture_end(&c, text, sizeof(text));
    log_set_level(LOG_INFO);
    expect_says(text, "event=state_opened found=new applied_index=0 keys=0 verify_ms=0 open_ms=");
    expect_says(text, "event=log_opened last_index=1 commit_index=");
    expect_says(text, "event=role_changed");
    expect_says(text, "event=leader_changed leader=n1\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_says(text, cases[i].line);
    host_done(&h);
}

static unsigned count_lines(const char *text, const char *part)
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, part)) != NULL; p++)
        n++;
    return n;
}

/* A batch that the disk does not answer for 0.7 election timeouts: slow in `status`, and in the
 * log, once; and well again when it has (DISK-32). */
static void engine__a_slow_disk_is_told(void **state)
{
    const char *ask_status = "{\"type\":\"status\"}";
    char text[16384];
    struct capture c;
    struct host h;

    (void)state;
    host_init(&h);
    h.logs = true;
    make_log_naming(&h, "n1");
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    assert_true(says(ask(&h, ask_status), "\"disk\":{\"fsync_p50_us\":"));
    assert_true(says(h.text, "\"outstanding_bytes\":0,\"oldest_append_ms\":0,"
                             "\"election_ms\":500,\"patience_ms\":500,\"slow\":false}"));
    c = capture_begin();
    service_line(h.conn, "{\"type\":\"write\",\"key\":1,\"value\":2}", 34, 1);
    engine_turn(h.engine, h.now_us);
    for (int i = 0; i < 7; i++) {
        h.now_us += 50000;
        engine_turn(h.engine, h.now_us);
    }
    service_line(h.conn, ask_status, strlen(ask_status), 1);
    assert_int_equal(buf_add_u8(&h.out, '\0'), 0);
    assert_true(says((const char *)h.out.data, "\"oldest_append_ms\":350,"));
    assert_true(says((const char *)h.out.data, "\"slow\":true}"));
    assert_false(says((const char *)h.out.data, "\"outstanding_bytes\":0,"));
    buf_reset(&h.out, 0);
    for (int i = 0; i < 40; i++) {
        h.now_us += 50000;
        engine_turn(h.engine, h.now_us);
    }
    advance(&h, 50000);
    for (int i = 0; i < 40; i++)
        advance(&h, 500000);
    capture_end(&c, text, sizeof(text));
    assert_int_equal(count_lines(text, "event=disk_slow "), 1);
    assert_int_equal(count_lines(text, "event=disk_fine "), 1);
    host_done(&h);
}

static void start_among(struct host *h, unsigned n_others)
{
    host_init(h);
    h->n_others = n_others;
    make_log_naming(h, "n1");
    assert_int_equal(open_it(h), 0);
    for (unsigned i = 0; i < n_others; i++)
        replica_link(engine_replica(h->engine), other_id(i), true, h->now_us);
    lead(h);
}

/* ---- leases ---- */

/* A leader of n1, n2, n3 as its core might describe itself. */
static struct raft_status lease_status(void)
{
    return (struct raft_status){
        .role = RAFT_LEADER,
        .current_term = 5,
        .lease_us = 300000,
        .lease_valid = true,
        .lease_left_us = 123456,
        .n_peers = 2,
        .peers = {{.id = other_id(0), .drift_known = true, .drift_ppm = -12, .drift_error_ppm = 30},
                  {.id = other_id(1)}}};
}

static void start_logging_among(struct host *h, unsigned n_others)
{
    host_init(h);
    h->logs = true;
    h->n_others = n_others;
    make_log_naming(h, "n1");
    assert_int_equal(open_it(h), 0);
}

/* Each once, and what comes and goes is counted. */
static void engine__leases_have_their_lines(void **state)
{
    struct raft_status st = lease_status();
    char text[8192];
    struct capture c;
    struct host h;

    (void)state;
    start_logging_among(&h, 2);
    c = capture_begin();
    st.gate_left_us = 65001;
    st.lease_valid = false;
    st.lease_why_not = "silent";
    for (unsigned i = 0; i < 3; i++)
        engine_leases_say(h.engine, &st, h.now_us); /* nothing to lose yet */
    capture_end(&c, text, sizeof(text));
    expect_says(text, "level=info event=gate_waits ms=66 why='promises to the leader before it");
    assert_int_equal(count_lines(text, "event="), 1);
    c = capture_begin();
    for (unsigned i = 0; i < 100; i++) {
        st.lease_valid = i % 2 == 0;
        engine_leases_say(h.engine, &st, h.now_us);
        engine_leases_say(h.engine, &st, h.now_us);
    }
    capture_end(&c, text, sizeof(text));
    expect_says(text, "level=info event=lease_taken ms=300 suppressed=0\n");
    expect_says(text, "level=info event=lease_lost why='silent' suppressed=0\n");
    assert_int_equal(count_lines(text, "event="), LEASE_LOG_BURST);
    /* Whoever does not lead any more says so otherwise. */
    st.lease_valid = true;
    engine_leases_say(h.engine, &st, h.now_us);
    st.lease_valid = false;
    st.role = RAFT_FOLLOWER;
    c = capture_begin();
    engine_leases_say(h.engine, &st, h.now_us + LEASE_LOG_WINDOW_US);
    capture_end(&c, text, sizeof(text));
    assert_int_equal(count_lines(text, "event="), 0);
    host_done(&h);
}

/* LEASE-13: both nodes are named, in the log and to whoever asks, and which of them is wrong is not
 * claimed. */
static void engine__clocks_that_run_apart_are_named(void **state)
{
    struct raft_status st = lease_status();
    char warning[256];
    char text[8192];
    struct capture c;
    struct host h;

    (void)state;
    start_logging_among(&h, 2);
    assert_false(engine_clocks_warning(h.engine, &st, warning, sizeof(warning)));
    assert_false(engine_warning(h.engine, warning, sizeof(warning)));
    st.drift_peer = other_id(1);
    st.peers[1].drift_known = true;
    st.peers[1].drift_ppm = 6001;
    st.peers[1].drift_error_ppm = 40;
    assert_true(engine_clocks_warning(h.engine, &st, warning, sizeof(warning)));
    assert_string_equal(warning, "the clocks of n1 and n3 run apart by 6001 ppm (+- 40), more than "
                                 "5000: no lease is taken until they agree; see CLOCKS in ridd(8)");
    c = capture_begin();
    engine_leases_say(h.engine, &st, h.now_us);
    engine_leases_say(h.engine, &st, h.now_us);
    capture_end(&c, text, sizeof(text));
    assert_int_equal(count_lines(text, "event=clocks_drift"), 1);
    expect_says(text, "level=warning event=clocks_drift here=n1 peer=n3 ppm=6001 error_ppm=40 "
                      "most_ppm=5000 action=no_lease\n");
    c = capture_begin();
    st.drift_peer = 0;
    engine_leases_say(h.engine, &st, h.now_us);
    engine_leases_say(h.engine, &st, h.now_us);
    capture_end(&c, text, sizeof(text));
    assert_int_equal(count_lines(text, "event=clocks_agree here=n1 peer=n3"), 1);
    host_done(&h);
}

static void expect_told(struct host *h, const struct raft_status *st, const char *expected)
{
    const struct wire_origin origin = {0};
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_reply w;

    wire_reply_begin(&w, &b, &origin, false, 0, "x");
    engine_leases_tell(h->engine, &w, st);
    assert_int_equal(wire_reply_end(&w), 0);
    assert_int_equal(buf_add_u8(&b, '\0'), 0);
    expect_says((const char *)b.data, expected);
}

static void engine__status_tells_of_leases(void **state)
{
    struct raft_status st = lease_status();
    struct host h;

    (void)state;
    start_among(&h, 2);
    expect_told(&h, &st,
                "\"leases\":{\"lease_ms\":300,\"valid\":true,\"left_ms\":123.456,\"why_not\":null,"
                "\"waits_for\":{\"id\":\"n2\",\"why\":\"it runs a version that does not know of "
                "leases: upgrade it\"},\"gate_left_ms\":0,\"promised_ms\":0,\"reads\":0,"
                "\"stood_still\":0,\"asks_sent\":0,\"asks_by_ack\":0,\"asks_by_lease\":0,"
                "\"asks_by_round\":0,\"clocks\":[{\"id\":\"n2\",\"ppm\":-12,\"error_ppm\":30}]}");
    h.others[0].is_unmet = true;
    st.lease_valid = false;
    st.lease_left_us = 0;
    st.lease_why_not = "version";
    st.gate_left_us = 66000;
    st.promise_left_us = 303500;
    st.n_lease_reads = 1;
    st.n_asks_sent = 2;
    st.n_asks_by_ack = 3;
    st.n_asks_by_lease = 4;
    st.n_asks_by_round = 5;
    h.engine->leases.n_disrupted = 6;
    expect_told(
        &h, &st,
        "\"valid\":false,\"left_ms\":0,\"why_not\":\"version\",\"waits_for\":{\"id\":\"n2\","
        "\"why\":\"it was not met since this node started\"},\"gate_left_ms\":66,"
        "\"promised_ms\":303.5,\"reads\":1,\"stood_still\":6,\"asks_sent\":2,"
        "\"asks_by_ack\":3,\"asks_by_lease\":4,\"asks_by_round\":5,");
    st.role = RAFT_FOLLOWER; /* nobody waits for anybody */
    expect_told(&h, &st, "\"waits_for\":null,");
    st.role = RAFT_LEADER;
    st.lease_us = 0;
    expect_told(&h, &st, "\"lease_ms\":0,");
    expect_told(&h, &st, "\"waits_for\":null,");
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"leases\":{\"lease_ms\":0,"));
    host_done(&h);
}

static bool host_disrupted(void *ctx)
{
    return ((struct host *)ctx)->is_disrupted;
}

/* LEASE-12: what the host saw is counted, and said where a lease is wanted. */
static void engine__a_machine_that_stood_still_is_told(void **state)
{
    char text[8192];
    struct capture c;
    struct host h;

    (void)state;
    start_logging_among(&h, 0);
    h.engine->ops.disrupted = host_disrupted;
    h.is_disrupted = true;
    c = capture_begin();
    assert_true(engine_disrupted(h.engine));
    capture_end(&c, text, sizeof(text));
    assert_int_equal(count_lines(text, "event="), 0);
    assert_int_equal(engine_get_lease(h.engine), 0);
    engine_set_lease(h.engine, 300000);
    assert_int_equal(engine_get_lease(h.engine), 300000);
    c = capture_begin();
    for (unsigned i = 0; i < 100; i++)
        assert_true(engine_disrupted(h.engine));
    h.is_disrupted = false;
    assert_false(engine_disrupted(h.engine));
    capture_end(&c, text, sizeof(text));
    assert_int_equal(count_lines(text, "level=info event=stood_still "), LEASE_LOG_BURST);
    assert_int_equal(h.engine->leases.n_disrupted, 101);
    host_done(&h);
}

/* What does not fit the limit of the log lines is counted in the next one that does. */
static void engine__odd_messages_do_not_fill_the_log(void **state)
{
    const struct raft_trace odd = {.event = RAFT_TRACE_INVALID, .text = "odd"};
    char expected[64];
    char text[65536];
    unsigned n = 0;
    struct capture c;
    struct host h;

    (void)state;
    host_init(&h);
    h.logs = true;
    make_log_naming(&h, "n1");
    c = capture_begin();
    assert_int_equal(open_it(&h), 0);
    for (int i = 0; i < 1000; i++)
        engine_trace(h.engine, &odd);
    h.now_us += INVALID_LOG_WINDOW_US;
    engine_trace(h.engine, &odd);
    capture_end(&c, text, sizeof(text));
    for (const char *p = text; (p = strstr(p, "event=message_refused")) != NULL; p++)
        n++;
    assert_int_equal(n, INVALID_LOG_BURST + 1);
    (void)snprintf(expected, sizeof(expected), "suppressed=%u ",
                   1000 - (unsigned)INVALID_LOG_BURST);
    expect_says(text, expected);
    host_done(&h);
}

static void expect_last_words(int error, const char *error_text, int exit_code)
{
    char expected[256];
    char text[2048];
    struct capture c = capture_begin();

    err_reset();
    (void)err_say(error, "the detail");
    assert_int_equal(engine_log_end(error, "cannot do it"), exit_code);
    capture_end(&c, text, sizeof(text));
    (void)snprintf(expected, sizeof(expected),
                   "event=fatal what='cannot do it' error=\"%s\" detail=\"the detail\"",
                   error_text);
    expect_says(text, expected);
    (void)snprintf(expected, sizeof(expected), " action=exit_%d\n", exit_code);
    expect_says(text, expected);
}

static void engine__the_last_line_says_why(void **state)
{
    (void)state;
    expect_last_words(-EIO, "Input/output error", EXIT_IO_ERROR);
    expect_last_words(KV_E_DAMAGED, "damaged", EXIT_IO_ERROR);
    expect_last_words(KV_E_COMMAND_NEWER, "the log holds a command of a later version",
                      EXIT_CONF_ERROR);
}

static void no_answer(struct replica_request *q, const struct command_result *result)
{
    (void)q;
    (void)result;
    fail_msg("what was not applied was answered");
}

static void at_the_end(struct replica_request *q, const struct replica_failure *f)
{
    (void)q;
    assert_int_equal(f->error, WIRE_ERROR_CANCELLED);
}

/* STATE-10: in a cluster of mixed versions the log may hold what this program cannot do. The node
 * ends in front of that entry, now and at every later start, until another program is installed. */
static void engine__a_command_of_a_later_version_ends_the_node(void **state)
{
    static const unsigned char later[] = {COMMAND_VERSION + 1, 'n', 'e', 'w'};
    struct replica_request q = {.kind = REPLICA_WRITE,
                                .deadline_us = UINT64_MAX,
                                .command = later,
                                .command_len = sizeof(later),
                                .written = no_answer,
                                .failed = at_the_end};
    raft_index applied;
    struct host h;

    (void)state;
    start(&h);
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":\"a\",\"value\":41}"), "write_ok"));
    applied = replica_last_applied(engine_replica(h.engine));
    replica_submit(engine_replica(h.engine), &q, h.now_us);
    for (unsigned life = 1; life <= 3; life++) {
        char entry[64];

        err_reset();
        for (int i = 0; i < 100 && h.n_ends < life; i++)
            advance(&h, 100000);
        assert_int_equal(h.n_ends, life);
        assert_int_equal(h.end.error, KV_E_COMMAND_NEWER);
        assert_int_equal(h.end.exit_code, EXIT_CONF_ERROR);
        (void)snprintf(entry, sizeof(entry), "log entry %llu holds a command of version %u",
                       (unsigned long long)applied + 1, COMMAND_VERSION + 1);
        assert_true(says(err_text(), entry));
        assert_true(says(err_text(), "install that version"));
        assert_int_equal(replica_last_applied(engine_replica(h.engine)), applied);
        close_it(&h);
        assert_int_equal(open_it(&h), 0);
    }
    host_done(&h);
}

/* ---- room ---- */

static void start_with(struct host *h, uint64_t quota_bytes)
{
    host_init(h);
    h->conf.quota_bytes = quota_bytes;
    make_log_naming(h, "n1");
    assert_int_equal(open_it(h), 0);
    lead(h);
    advance(h, 200000);
}

static void start_again(struct host *h, uint64_t quota_bytes)
{
    close_it(h);
    h->conf.quota_bytes = quota_bytes;
    assert_int_equal(open_it(h), 0);
    lead(h);
    advance(h, 200000);
}

/* SPACE-5: by an entry of the log, once; the next leader whose file says otherwise sets its own. */
static void engine__the_limit_comes_from_the_log(void **state)
{
    raft_index last;
    struct host h;

    (void)state;
    start_with(&h, MIB);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"space\":{\"full\":null,\"used_bytes\":"));
    assert_true(says(h.text, "\"limit_bytes\":1048576,\"parked\":false}"));
    last = replica_last_applied(engine_replica(h.engine));
    assert_true(last == 3); /* its configuration, the no-op, the limit */
    advance(&h, 2000000);
    assert_true(replica_last_applied(engine_replica(h.engine)) == last);
    start_again(&h, 2 * MIB);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"limit_bytes\":2097152"));
    /* No wish: the limit stays. */
    start_again(&h, 0);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"limit_bytes\":2097152"));
    host_done(&h);
}

/* SPACE-5: a file that is read again is taken by who leads, at once and with one entry, and the same
 * one again is none. */
static void engine__a_limit_that_is_read_again(void **state)
{
    char limit[48];
    raft_index last;
    struct host h;

    (void)state;
    start_with(&h, MIB);
    last = replica_last_applied(engine_replica(h.engine));
    engine_set_quota(h.engine, MIB);
    advance(&h, 2000000);
    assert_true(replica_last_applied(engine_replica(h.engine)) == last);
    for (unsigned i = 2; i < 5; i++) {
        engine_set_quota(h.engine, i * MIB);
        advance(&h, 2000000);
        assert_true(replica_last_applied(engine_replica(h.engine)) == last + i - 1);
        (void)snprintf(limit, sizeof(limit), "\"limit_bytes\":%u,", i << 20);
        assert_true(says(ask(&h, "{\"type\":\"status\"}"), limit));
    }
    host_done(&h);
}

/* A node that does not know the command would end at it (STATE-10): nothing is proposed before all
 * are known to. Meanwhile this leader goes by its file. */
static void engine__the_limit_waits_for_the_last_member(void **state)
{
    struct host h;
    unsigned n = 0;

    (void)state;
    host_init(&h);
    h.has_learner = true;
    h.conf.quota_bytes = MIB;
    make_log_naming(&h, "n1");
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    h.learner_version = COMMAND_VERSION_LIMIT - 1;
    advance(&h, 1000000);
    assert_true(replica_last_applied(engine_replica(h.engine)) == 2);
    while (n < 20 && takes(&h, (int)n, 100000))
        n++;
    assert_int_equal(n, 10);
    h.learner_version = COMMAND_VERSION_LIMIT;
    advance(&h, 200000);
    assert_true(replica_last_applied(engine_replica(h.engine)) == 2 + 10 + 1);
    /* Once the log has one, all have met it. */
    h.learner_version = 0;
    start_again(&h, 2 * MIB);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"limit_bytes\":2097152"));
    host_done(&h);
}

/* SPACE-2: refused before it is appended, with the name of what is full; reads go on, and what
 * makes the state no larger. It ends by itself. */
static void engine__a_full_quota_takes_what_frees(void **state)
{
    raft_index last;
    struct host h;
    int n = 0;

    (void)state;
    start_with(&h, MIB);
    while (n < 20 && takes(&h, n, 100000))
        n++;
    assert_int_equal(n, 10);
    assert_true(says(h.text, "\"limit\":1048576,\"what\":\"quota\"}"));
    last = replica_last_applied(engine_replica(h.engine));
    assert_false(takes(&h, n, 100000));
    assert_true(replica_last_applied(engine_replica(h.engine)) == last);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"space\":{\"full\":\"quota\""));
    assert_true(takes(&h, 3, 100000));
    assert_false(takes(&h, 3, 200000));
    assert_true(says(ask(&h, "{\"type\":\"read\",\"key\":3}"), "xxx"));
    /* To the last byte, so that a delete of what is not there has no room to be told so. */
    for (size_t bytes = 100000; bytes > 0; bytes /= 2)
        while (n < 200 && takes(&h, n, bytes))
            n++;
    assert_true(n > 10 && n < 200);
    assert_true(says(ask(&h, "{\"type\":\"delete\",\"key\":77}"), "\"existed\":false"));
    assert_true(says(ask(&h, "{\"type\":\"delete\",\"key\":1}"), "\"existed\":true"));
    advance(&h, 200000);
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"space\":{\"full\":null"));
    assert_true(takes(&h, n, 100000));
    host_done(&h);
}

/* FIT-7: who only looks how much a write would take meets damage like any reader. */
static void engine__damage_that_a_full_quota_meets_is_told(void **state)
{
    static const char again[] =
        "{\"type\":\"write\",\"msg_id\":1,\"key\":\"a\",\"value\":\"some words\"}";
    struct host h;

    (void)state;
    start_with(&h, MIB);
    assert_true(says(ask(&h, again), "write_ok"));
    for (int n = 0; n < 10; n++)
        assert_true(takes(&h, n, 100000));
    for (int n = 10; takes(&h, n, n == 10 ? 46000 : 100); n++)
        assert_true(n < 100);
    spoil_state(&h, "some words");
    service_line(h.conn, again, strlen(again), 1);
    for (unsigned i = 0; !is_found(&h) && i < 20; i++) {
        engine_turn(h.engine, h.now_us);
        engine_work(h.engine, h.now_us);
    }
    expect_rebuilt(&h);
}

/* What is proposed and not applied counts, so that the log does not fill with what the apply would
 * refuse. */
static void engine__what_is_in_flight_counts(void **state)
{
    char line[100100];
    struct host h;
    raft_index last;
    int n;

    (void)state;
    start_with(&h, MIB);
    last = replica_last_applied(engine_replica(h.engine));
    for (int key = 0; key < 20; key++) {
        n = snprintf(line, sizeof(line), "{\"type\":\"write\",\"key\":%d,\"value\":\"", key);
        memset(line + n, 'x', 100000);
        memcpy(line + n + 100000, "\"}", 3);
        while (service_line(h.conn, line, (size_t)n + 100002, 1))
            ;
        if (key % 3 == 2)
            engine_turn(h.engine, h.now_us);
    }
    settle(&h);
    assert_true(replica_last_applied(engine_replica(h.engine)) == last + 10);
    host_done(&h);
}

/* SPACE-5: the core refuses what its disk is too slow for, and may do so for as long as nothing else is
 * appended: what it refused is nowhere. */
static void engine__what_was_not_proposed_does_not_count(void **state)
{
    static char text[100000];
    const struct command c = {.op = COMMAND_WRITE, .key = {"sk", 2}, .value = {text, sizeof(text)}};
    struct replica_request q = {.kind = REPLICA_WRITE};
    struct replica_refusal why;
    struct buf command;
    struct host h;

    (void)state;
    start_with(&h, MIB);
    memset(text, '1', sizeof(text));
    buf_init(&command);
    assert_int_equal(command_encode(&c, &command), 0);
    q.command = command.data;
    q.command_len = command.len;
    for (unsigned i = 0; i < 20; i++)
        assert_true(engine_may_propose(h.engine, &q, &why));
    assert_true(takes(&h, 1, sizeof(text)));
    buf_done(&command);
    host_done(&h);
}

/* ---- sessions ---- */

static const char open_session[] = "{\"type\":\"open_session\"}";

/* SESSION-7: a member that does not understand them would end at the first (STATE-10); nothing is
 * appended before it is known to. Once the log has had one it is too late to ask. */
static void engine__sessions_wait_for_the_last_member(void **state)
{
    raft_index last;
    struct host h;

    (void)state;
    host_init(&h);
    h.has_learner = true;
    make_log_naming(&h, "n1");
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    last = replica_last_applied(engine_replica(h.engine));
    for (unsigned version = 0; version < COMMAND_VERSION_SESSION; version++) {
        h.learner_version = version;
        assert_true(says(ask(&h, open_session), "\"not_supported\",\"definite\":true"));
        assert_true(says(h.text, "n2 is not known to understand sessions"));
        assert_true(says(ask(&h, "{\"type\":\"delete\",\"key\":1,\"client\":\"3\",\"seq\":1}"),
                         "\"not_supported\",\"definite\":true"));
        assert_true(takes(&h, 1, 10));
    }
    assert_true(replica_last_applied(engine_replica(h.engine)) == last + COMMAND_VERSION_SESSION);
    assert_true(
        says(ask(&h, "{\"type\":\"status\"}"), "\"sessions\":{\"n\":0,\"bytes\":0,\"evicted\":0}"));
    h.learner_version = COMMAND_VERSION_SESSION;
    assert_true(says(ask(&h, open_session), "{\"type\":\"open_session_ok\",\"client\":\""));
    assert_true(says(ask(&h, "{\"type\":\"status\"}"),
                     "\"sessions\":{\"n\":1,\"bytes\":82,\"evicted\":0}"));
    h.learner_version = 0;
    start_again(&h, 0);
    assert_true(says(ask(&h, open_session), "open_session_ok"));
    assert_true(says(ask(&h, "{\"type\":\"status\"}"),
                     "\"sessions\":{\"n\":2,\"bytes\":164,\"evicted\":0}"));
    host_done(&h);
}

/* What is committed and not applied yet may hold the first: then it is not known yet, and not no. */
static void engine__who_leads_may_not_know_yet_of_sessions(void **state)
{
    static const char write[] = "{\"type\":\"write\",\"key\":1,\"value\":1}";
    struct replica *r;
    struct host h;

    (void)state;
    host_init(&h);
    h.has_learner = true;
    h.conf.state = &h.state;
    make_log_naming(&h, "n1");
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    r = engine_replica(h.engine);
    h.apply_us = 100000; /* one entry in each turn */
    for (unsigned i = 0; i < 4; i++)
        service_line(h.conn, write, strlen(write), 1);
    while (raft_get_commit_index(engine_raft(h.engine)) < replica_last_applied(r) + 2) {
        engine_work(h.engine, h.now_us);
        engine_turn(h.engine, h.now_us);
    }
    service_line(h.conn, open_session, strlen(open_session), 1);
    assert_int_equal(buf_add_u8(&h.out, '\0'), 0);
    assert_true(says((const char *)h.out.data, "\"busy\",\"definite\":true"));
    h.apply_us = 0;
    settle(&h);
    buf_reset(&h.out, 0);
    assert_true(says(ask(&h, open_session), "\"not_supported\",\"definite\":true"));
    h.n_sessions = 1; /* what was applied said so */
    assert_true(says(ask(&h, open_session), "open_session_ok"));
    host_done(&h);
}

/* SESSION-8: a repetition of a write that was applied is answered as it was, however full the state
 * is by now; and what is refused is refused at its place in the log, for good. */
static void engine__a_full_quota_refuses_no_repetition(void **state)
{
    char line[160];
    unsigned client;
    struct host h;
    int key = 0;

    (void)state;
    start_with(&h, MIB);
    client = (unsigned)number_in(ask(&h, open_session), "\"client\":\"");
    (void)snprintf(line, sizeof(line),
                   "{\"type\":\"write\",\"key\":\"s\",\"value\":1,\"client\":\"%u\",\"seq\":1}",
                   client);
    assert_true(says(ask(&h, line), "write_ok"));
    for (size_t bytes = 100000; bytes > 0; bytes /= 10) /* to the brim */
        while (takes(&h, key, bytes))
            assert_true(++key < 100);
    assert_true(says(ask(&h, open_session), "\"no_space\",\"definite\":true"));
    assert_true(says(ask(&h, line), "write_ok"));
    (void)snprintf(
        line, sizeof(line),
        "{\"type\":\"write\",\"key\":\"t\",\"value\":\"a longer one\",\"client\":\"%u\",\"seq\":2}",
        client);
    for (unsigned round = 0; round < 2; round++) {
        assert_true(says(ask(&h, line), "\"no_space\",\"definite\":true"));
        assert_true(says(h.text, "\"what\":\"quota\""));
        assert_true(says(ask(&h, "{\"type\":\"delete\",\"key\":3}"), "delete_ok"));
    }
    /* A new session is a new key, and was refused early as one; there is room now. */
    assert_true(says(ask(&h, open_session), "open_session_ok"));
    host_done(&h);
}

/* SPACE-6: an apply that finds no room is no end. What waits for it waits; what is new is refused,
 * deletes too; reads go on; and it goes on by itself. */
static void engine__an_apply_without_room_is_parked(void **state)
{
    struct service_conn *other;
    struct service_conn *conn;
    struct host h;

    (void)state;
    host_init(&h);
    make_log_naming(&h, "n1");
    h.conf.state = &h.state;
    assert_int_equal(open_it(&h), 0);
    lead(&h);
    h.fail_apply = KV_E_FULL;
    assert_string_equal(ask(&h, "{\"type\":\"write\",\"msg_id\":7,\"key\":1,\"value\":1}"), "");
    advance(&h, 1000000);
    assert_int_equal(h.n_ends, 0);
    assert_int_equal(h.out.len, 0);
    h.n_looks = 0;
    for (unsigned i = 0; i < 10; i++)
        assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":2}"),
                         "\"used\":95,\"limit\":100,\"what\":\"state\"}"));
    assert_int_equal(h.n_looks, 0); /* now and then, and not for each that asks */
    h.now_us += SPACE_LOOK_US;
    assert_true(says(ask(&h, "{\"type\":\"delete\",\"key\":1}"), "\"what\":\"state\"}"));
    /* Of who has written nothing that is not applied (READ-58). */
    conn = h.conn;
    assert_int_equal(service_conn_new(engine_service(h.engine), &h, &other), 0);
    h.conn = other;
    assert_true(says(ask(&h, "{\"type\":\"local_read\",\"key\":1}"), "local_read_ok"));
    service_conn_free(other);
    h.conn = conn;
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"space\":{\"full\":\"state\""));
    assert_true(says(h.text, "\"used_bytes\":95,\"limit_bytes\":100,"));
    assert_int_equal(h.n_looks, 1);
    assert_true(says(h.text, "\"parked\":true}"));
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_PARKED);
    h.fail_apply = 0;
    advance(&h, STATE_RETRY_US);
    assert_true(
        says(ask(&h, "{\"type\":\"status\"}"), "{\"type\":\"write_ok\",\"in_reply_to\":7}"));
    assert_true(says(h.text, "\"parked\":false}"));
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_FIT);
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":2}"), "write_ok"));
    host_done(&h);
}

/* TIME-4: what is dear is looked at again after a while, and after each change of the state. */
static void engine__status_looks_now_and_then(void **state)
{
    static const char ask_status[] = "{\"type\":\"status\"}";
    struct host h;

    (void)state;
    start(&h);
    h.engine->scrub.good_us = h.now_us - 5000000;
    assert_true(says(ask(&h, ask_status), "\"scrubbed_s_ago\":5}"));
    h.engine->scrub.good_us = h.now_us - 7000000;
    assert_true(says(ask(&h, ask_status), "\"scrubbed_s_ago\":5}"));
    assert_true(says(h.text, "\"of_the_host\":1"));
    h.now_us += STATUS_FRESH_US;
    assert_true(says(ask(&h, ask_status), "\"scrubbed_s_ago\":7}"));
    h.engine->scrub.good_us = h.now_us - 9000000;
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":2}"), "write_ok"));
    assert_true(says(ask(&h, ask_status), "\"scrubbed_s_ago\":9}"));
    host_done(&h);
}

/* ---- time ---- */

/* A look takes a while, whether something was there or not. */
static bool take_one(void *ctx)
{
    struct host *h = ctx;
    bool there = h->n_waiting > 0;

    h->looked_us = h->now_us;
    h->n_waiting -= there;
    h->now_us += 100;
    return there;
}

/* TIME-3: at the time that it says, the links had been read. */
static void engine__nothing_waits_at_the_time_of_a_turn(void **state)
{
    struct host h;
    uint64_t now_us;

    (void)state;
    start(&h);
    for (unsigned n = 0; n < 4; n++) {
        h.n_waiting = n;
        now_us = engine_drain(h.engine, take_one);
        assert_int_equal(h.n_waiting, 0);
        assert_true(now_us <= h.looked_us);
        assert_int_equal(now_us, h.looked_us);
    }
    host_done(&h);
}

/* Somebody who never stops talking holds up no turn. */
static void engine__looks_at_the_links_for_a_share_only(void **state)
{
    struct host h;
    uint64_t from_us;

    (void)state;
    start(&h);
    h.n_waiting = UINT32_MAX;
    from_us = h.now_us;
    (void)engine_drain(h.engine, take_one);
    assert_true(h.now_us - from_us >= h.conf.raft.heartbeat_us / 2 / TURN_SHARES);
    assert_true(h.now_us - from_us <= h.conf.raft.heartbeat_us / 2);
    host_done(&h);
}

/* TIME-3: lines that come after the last look at the links bring a later time. Nobody is judged by
 * it: what has come from peers by then was not read. */
static void engine__lines_make_nobody_late(void **state)
{
    static const char hasty[] = "{\"type\":\"write\",\"key\":1,\"value\":1,\"timeout_ms\":5}";
    struct host h;
    uint64_t due_us;

    (void)state;
    start(&h);
    settle(&h);
    due_us = raft_tick_due_us(engine_raft(h.engine));
    h.now_us = due_us + 50;
    service_line(h.conn, "{\"type\":\"read_index\",\"key\":1}", 29, 1);
    engine_turn(h.engine, due_us - 50);
    assert_int_equal(raft_tick_due_us(engine_raft(h.engine)), due_us);
    engine_turn(h.engine, due_us);
    assert_true(raft_tick_due_us(engine_raft(h.engine)) > due_us);
    settle(&h);
    /* Nor is what somebody asked for. */
    buf_reset(&h.out, 0);
    service_line(h.conn, hasty, sizeof(hasty) - 1, 2);
    engine_turn(h.engine, h.now_us);
    due_us = h.now_us + 5000;
    h.now_us = due_us + 5000;
    service_line(h.conn, "{\"type\":\"write\",\"key\":2,\"value\":1}", 34, 3);
    engine_turn(h.engine, due_us - 50);
    assert_int_equal(h.out.len, 0);
    engine_turn(h.engine, h.now_us);
    assert_true(h.out.len > 0);
    host_done(&h);
}

static void engine__only_time_makes_something_due(void **state)
{
    struct host h;

    (void)state;
    start(&h);
    assert_false(engine_is_due(h.engine, h.now_us));
    h.now_us += h.conf.raft.heartbeat_us;
    assert_true(engine_is_due(h.engine, h.now_us));
    settle(&h);
    assert_false(engine_is_due(h.engine, h.now_us));
    /* Work that waits is done at once, but it is not due. */
    replica_link(engine_replica(h.engine), raft_founder_id("n2"), true, h.now_us);
    assert_int_equal(engine_deadline_us(h.engine), 0);
    assert_false(engine_is_due(h.engine, h.now_us));
    settle(&h);
    /* Nor is a round for a read: nobody is judged by it, and looking at the links would only hold
     * it up. */
    service_line(h.conn, "{\"type\":\"read_index\",\"key\":1}", 29, 1);
    assert_true(raft_deadline_us(engine_raft(h.engine)) <= h.now_us);
    assert_false(engine_is_due(h.engine, h.now_us));
    engine_turn(h.engine, h.now_us);
    assert_true(h.out.len > 0);
    host_done(&h);
}

/* SPACE-9: entries of a leader are taken while there is room for them and for what elections need;
 * that itself is always taken, for as long as it fits. */
static void engine__a_follower_keeps_room_for_elections(void **state)
{
    static const char data[1000];
    struct raft_entry e = {
        .id = {2, 9}, .type = RAFT_ENTRY_COMMAND, .len = sizeof(data), .data = data};
    const struct raft_msg m = {.type = RAFT_MSG_APPEND, .entries = &e, .n_entries = 1};
    struct store_stats log;
    char figures[128];
    struct host h;
    unsigned n = 0;

    (void)state;
    start(&h);
    advance(&h, 200000);
    for (unsigned i = 0; i < 1000; i++) /* no limit while the disk is not known to be full */
        assert_true(engine_may_store(h.engine, &m));
    assert_true(says(ask(&h, "{\"type\":\"write\",\"key\":1,\"value\":1}"), "write_ok"));
    fake_disk_set_capacity(h.disk, 1);
    while (n < 500 && says(write_of(&h, 1, 2000), "write_ok"))
        n++;
    assert_true(says(h.text, "\"what\":\"log\"}"));
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_PARKED);
    assert_int_equal(h.n_ends, 0);
    store_get_stats(engine_store(h.engine), &log);
    assert_true(log.no_space);
    assert_true(log.room_bytes > 0);
    (void)snprintf(figures, sizeof(figures), "\"used\":%llu,\"limit\":%llu,\"what\":\"log\"}",
                   (unsigned long long)log.log_bytes,
                   (unsigned long long)(log.log_bytes + log.room_bytes));
    assert_true(says(write_of(&h, 1, 10), figures));
    (void)snprintf(
        figures, sizeof(figures), "\"full\":\"log\",\"used_bytes\":%llu,\"limit_bytes\":%llu,",
        (unsigned long long)log.log_bytes, (unsigned long long)(log.log_bytes + log.room_bytes));
    h.now_us += STATUS_FRESH_US;
    assert_true(says(ask(&h, "{\"type\":\"status\"}"), figures));
    n = 0;
    while (n < 1000 && engine_may_store(h.engine, &m))
        n++;
    assert_true(n < 1000);
    /* The log had them already, as what a leader sends again: they take no room twice. */
    engine_turn(h.engine, h.now_us);
    assert_true(engine_may_store(h.engine, &m));
    while (engine_may_store(h.engine, &m))
        ;
    assert_true(n * store_record_bytes(sizeof(data)) + STORE_KEPT_BYTES <= log.room_bytes);
    e.type = RAFT_ENTRY_NOOP;
    e.len = 0;
    assert_true(engine_may_store(h.engine, &m));
    /* Reads go on, and with room so does everything. */
    assert_true(says(ask(&h, "{\"type\":\"read_index\",\"key\":1}"), "read_index_ok"));
    fake_disk_set_capacity(h.disk, 0);
    for (unsigned i = 0; i < 50; i++)
        advance(&h, 100000);
    assert_true(says(write_of(&h, 1, 2000), "write_ok"));
    assert_int_equal(raft_get_fitness(engine_raft(h.engine)), RAFT_FIT);
    host_done(&h);
}

static void set_full(struct host *h, unsigned i, uint32_t flags)
{
    h->others[i].is_full = flags != 0;
    h->others[i].flags = RAFT_NOTE_SAID | flags;
}

static void expect_full_nodes(struct host *h, const char *figures, const char *name)
{
    const raft_index last = raft_get_commit_index(engine_raft(h->engine));

    assert_true(says(write_of(h, 1, 10), "\"no_space\""));
    assert_true(says(h->text, figures));
    assert_true(says(h->text, name));
    assert_true(says(ask(h, "{\"type\":\"delete\",\"key\":1}"), "\"what\":\"nodes\"}"));
    assert_true(says(ask(h, "{\"type\":\"read_index\",\"key\":1}"), "read_index_ok"));
    assert_true(says(ask(h, "{\"type\":\"status\"}"), "\"space\":{\"full\":\"nodes\""));
    /* Nothing was appended, so that nobody's fate is unknown. */
    assert_int_equal(raft_get_commit_index(engine_raft(h->engine)), last);
    settle(h);
    assert_int_equal(raft_get_commit_index(engine_raft(h->engine)), last);
}

/* SPACE-11: this node has room, and too few others that are heard have. One that is away counts like
 * one that is full; it ends with the first note that says so. */
static void engine__a_quorum_without_room_takes_no_writes(void **state)
{
    static const uint32_t said[] = {RAFT_NOTE_PARKED, NOTE_LOG_FULL | RAFT_NOTE_UNFIT};
    struct host h;

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        start_among(&h, 2);
        assert_true(says(write_of(&h, 1, 10), "write_ok"));
        /* One of three may be full, or away. */
        set_full(&h, 0, said[k]);
        advance(&h, 100000);
        assert_true(says(write_of(&h, 1, 10), "write_ok"));
        h.others[1].is_silent = true;
        for (unsigned i = 0; i < 4; i++)
            advance(&h, h.conf.raft.election_timeout_us / 3);
        expect_full_nodes(&h, "\"used\":2,\"limit\":1,\"what\":\"nodes\"}",
                          k == 0 ? "room on n2" : "room on those");
        /* It has room again. */
        set_full(&h, 0, 0);
        advance(&h, 100000);
        assert_true(says(write_of(&h, 1, 10), "write_ok"));
        assert_true(says(ask(&h, "{\"type\":\"status\"}"), "\"space\":{\"full\":null"));
        /* Both are full, and the other comes back. */
        set_full(&h, 0, said[k]);
        set_full(&h, 1, said[k]);
        h.others[1].is_silent = false;
        advance(&h, 100000);
        expect_full_nodes(&h, "\"used\":2,\"limit\":1,\"what\":\"nodes\"}",
                          k == 0 ? "room on n2, n3" : "room on those");
        set_full(&h, 1, 0);
        advance(&h, 100000);
        assert_true(says(write_of(&h, 1, 10), "write_ok"));
        host_done(&h);
    }
}

static const char *read_by_log(struct host *h)
{
    return ask(h, "{\"type\":\"read_via_log\",\"key\":1}");
}

/* A marker changes nothing in a state: it asks for room in the logs alone. */
static void engine__markers_ask_for_room_in_logs(void **state)
{
    struct host h;

    (void)state;
    start_among(&h, 2);
    for (unsigned i = 0; i < 2; i++) {
        set_full(&h, i, RAFT_NOTE_PARKED);
        h.others[i].is_full = false;
    }
    advance(&h, 100000);
    assert_true(says(write_of(&h, 1, 10), "\"what\":\"nodes\"}"));
    assert_true(says(read_by_log(&h), "read_via_log_ok"));
    set_full(&h, 0, RAFT_NOTE_PARKED | NOTE_LOG_FULL);
    set_full(&h, 1, RAFT_NOTE_PARKED | NOTE_LOG_FULL);
    advance(&h, 100000);
    assert_true(says(read_by_log(&h), "\"what\":\"nodes\"}"));
    host_done(&h);
}

/* What the leader goes by the others must say: parked, and that it is the log. */
static void engine__a_full_log_is_said(void **state)
{
    struct host h;

    (void)state;
    start_among(&h, 2);
    advance(&h, 100000);
    assert_int_equal(h.said & (RAFT_NOTE_PARKED | NOTE_LOG_FULL), 0);
    h.others[0].is_full = h.others[1].is_full = true; /* so that nobody takes over */
    fake_disk_set_capacity(h.disk, 1);
    for (unsigned i = 0; i < 500 && !h.engine->space.log_is_full; i++)
        (void)write_of(&h, 1, 2000);
    advance(&h, 100000);
    advance(&h, 100000);
    assert_int_equal(h.said & (RAFT_NOTE_PARKED | NOTE_LOG_FULL), RAFT_NOTE_PARKED | NOTE_LOG_FULL);
    fake_disk_set_capacity(h.disk, 0);
    for (unsigned i = 0; i < 50; i++)
        advance(&h, 100000);
    assert_int_equal(h.said & (RAFT_NOTE_PARKED | NOTE_LOG_FULL), 0);
    host_done(&h);
}

/* A quorum is what counts, not those that are full: two of five, and one away. */
static void engine__fewer_than_a_quorum_with_room_is_what_counts(void **state)
{
    struct host h;

    (void)state;
    start_among(&h, 4);
    set_full(&h, 0, RAFT_NOTE_PARKED);
    set_full(&h, 1, RAFT_NOTE_PARKED);
    advance(&h, 100000);
    assert_true(says(write_of(&h, 1, 10), "write_ok"));
    h.others[2].is_silent = true;
    for (unsigned i = 0; i < 4; i++)
        advance(&h, h.conf.raft.election_timeout_us / 3);
    expect_full_nodes(&h, "\"used\":3,\"limit\":2,\"what\":\"nodes\"}", "room on n2, n3,");
    host_done(&h);
}

/* Nobody is refused for want of room because of somebody who is not there, whatever it said last:
 * with no quorum that is heard this node soon leads no more. A version that writes no notes has
 * room. */
static void engine__who_is_away_is_not_full(void **state)
{
    const char *reply;
    struct host h;

    (void)state;
    start_among(&h, 2);
    h.others[0].flags = h.others[1].flags = 0;
    advance(&h, 100000);
    assert_true(says(write_of(&h, 1, 10), "write_ok"));
    set_full(&h, 0, RAFT_NOTE_PARKED);
    advance(&h, 100000);
    assert_true(says(write_of(&h, 1, 10), "write_ok"));
    h.others[0].is_silent = h.others[1].is_silent = true;
    h.now_us += h.conf.raft.election_timeout_us + 1;
    reply = write_of(&h, 1, 10);
    assert_false(says(reply, "no_space"));
    advance(&h, 10 * h.conf.raft.election_timeout_us);
    assert_false(says(ask(&h, "{\"type\":\"status\"}"), "\"full\":\"nodes\""));
    /* What it said to an earlier leadership is forgotten. */
    h.others[1].is_silent = h.others[0].is_silent = false;
    h.others[0].is_full = false;
    h.others[0].flags = 0;
    lead_again(&h);
    assert_true(says(write_of(&h, 1, 10), "write_ok"));
    host_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine__a_node_comes_back_with_what_it_had),
        cmocka_unit_test(engine__status_speaks_of_log_and_state),
        cmocka_unit_test(engine__parts_add_up_to_the_snapshot),
        cmocka_unit_test(engine__a_part_is_the_one_that_was_asked_for),
        cmocka_unit_test(engine__a_part_is_of_a_snapshot_that_is_there),
        cmocka_unit_test(engine__a_snapshot_that_is_done_is_not_sent_again),
        cmocka_unit_test(engine__the_log_is_kept_whole_for_an_earlier_version),
        cmocka_unit_test(engine__the_log_is_kept_whole_for_who_was_not_met),
        cmocka_unit_test(engine__who_must_know_changes_is_no_earlier_version),
        cmocka_unit_test(engine__rounds_follow_the_load),
        cmocka_unit_test(engine__a_slow_disk_is_told),
        cmocka_unit_test(engine__no_log_is_refused),
        cmocka_unit_test(engine__the_log_of_a_later_version_is_refused),
        cmocka_unit_test(engine__the_state_of_another_group_is_refused),
        cmocka_unit_test(engine__the_log_of_another_life_is_refused),
        cmocka_unit_test(engine__state_and_log_must_agree),
        cmocka_unit_test(engine__a_state_ahead_of_the_log_is_refused),
        cmocka_unit_test(engine__a_log_may_begin_behind_its_base),
        cmocka_unit_test(engine__a_state_at_the_base_has_its_term),
        cmocka_unit_test(engine__a_state_behind_the_base_is_refused),
        cmocka_unit_test(engine__reading_what_was_removed_is_the_cores_outcome),
        cmocka_unit_test(engine__one_group_or_none),
        cmocka_unit_test(engine__a_stranger_to_its_log_is_refused),
        cmocka_unit_test(engine__the_host_may_refuse),
        cmocka_unit_test(engine__no_state_is_refused),
        cmocka_unit_test(engine__a_failed_sync_ends_the_node),
        cmocka_unit_test(engine__damage_and_failures_have_their_codes),
        cmocka_unit_test(engine__damage_met_while_applying_is_no_end),
        cmocka_unit_test(engine__a_rebuild_that_fails_is_the_end),
        cmocka_unit_test(engine__a_damaged_kv_is_made_again_in_place),
        cmocka_unit_test(engine__a_half_made_state_goes_on_being_made),
        cmocka_unit_test(engine__a_state_set_aside_at_the_start_is_unfit),
        cmocka_unit_test(engine__parked_and_unfit),
        cmocka_unit_test(engine__damage_of_a_running_state_is_found),
        cmocka_unit_test(engine__a_scrub_can_be_asked_for),
        cmocka_unit_test(engine__a_state_at_rest_is_stored),
        cmocka_unit_test(engine__a_state_that_is_written_is_stored),
        cmocka_unit_test(engine__a_damaged_record_is_no_end_for_good),
        cmocka_unit_test(engine__a_command_of_a_later_version_ends_the_node),
        cmocka_unit_test(engine__a_log_that_cannot_be_opened_is_refused),
        cmocka_unit_test(engine__it_describes_itself),
        cmocka_unit_test(engine__events_have_their_lines),
        cmocka_unit_test(engine__odd_messages_do_not_fill_the_log),
        cmocka_unit_test(engine__leases_have_their_lines),
        cmocka_unit_test(engine__clocks_that_run_apart_are_named),
        cmocka_unit_test(engine__status_tells_of_leases),
        cmocka_unit_test(engine__a_machine_that_stood_still_is_told),
        cmocka_unit_test(engine__the_last_line_says_why),
        cmocka_unit_test(engine__the_limit_comes_from_the_log),
        cmocka_unit_test(engine__a_limit_that_is_read_again),
        cmocka_unit_test(engine__the_limit_waits_for_the_last_member),
        cmocka_unit_test(engine__a_full_quota_takes_what_frees),
        cmocka_unit_test(engine__damage_that_a_full_quota_meets_is_told),
        cmocka_unit_test(engine__what_is_in_flight_counts),
        cmocka_unit_test(engine__what_was_not_proposed_does_not_count),
        cmocka_unit_test(engine__sessions_wait_for_the_last_member),
        cmocka_unit_test(engine__who_leads_may_not_know_yet_of_sessions),
        cmocka_unit_test(engine__a_full_quota_refuses_no_repetition),
        cmocka_unit_test(engine__an_apply_without_room_is_parked),
        cmocka_unit_test(engine__a_follower_keeps_room_for_elections),
        cmocka_unit_test(engine__a_quorum_without_room_takes_no_writes),
        cmocka_unit_test(engine__markers_ask_for_room_in_logs),
        cmocka_unit_test(engine__a_full_log_is_said),
        cmocka_unit_test(engine__fewer_than_a_quorum_with_room_is_what_counts),
        cmocka_unit_test(engine__who_is_away_is_not_full),
        cmocka_unit_test(engine__status_looks_now_and_then),
        cmocka_unit_test(engine__nothing_waits_at_the_time_of_a_turn),
        cmocka_unit_test(engine__looks_at_the_links_for_a_share_only),
        cmocka_unit_test(engine__lines_make_nobody_late),
        cmocka_unit_test(engine__only_time_makes_something_due)};

    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
