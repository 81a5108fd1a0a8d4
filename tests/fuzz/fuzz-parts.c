/* Parts of snapshots: a follower, core, log and engine on disks in memory, is sent parts by a script:
 * whole and damaged, in order and not, of several transfers and senders at once, of old terms and new
 * ones, beside entries that overtake them, and it dies at any moment. Each message is a frame that is
 * decoded.
 *
 * The model knows what was made: MADE says which snapshots there are, and which of them this node may
 * take. What holds whatever comes:
 *   - what is put beside the state, and in its place, is what somebody made, to the byte, and of this
 *     cluster (SNAP-11); it never goes back (SNAP-1); so is every file that has a name
 *   - the log does not begin behind what no such file covers (SNAP-8)
 *   - no answer says that more is there than came in order, nor that a snapshot is done with whose last
 *     entry is not committed here; answers are of the current term, to its leader
 *   - nothing ends the node; it starts again from what is on the disks */
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "engine/engine_int.h"
#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "snap/snap_int.h"
#include "unit/fake-disk.h"
#include "wire/frame.h"

#include "base/banned.h"

const char fuzz_name[] = "parts";
const unsigned fuzz_runs = 2500;

enum { PART, ASK, NEXT, ENTRIES, TURN, WAIT, RAW, DIE, SAY, N_OPS };

#define ENTRIES_MAX  40u
#define SENDERS      2u
#define TRANSFERS    16u
#define STATE_FORMAT 7u
#define SELF         1u
#define OTHERS       "somebody else's"
#define CLUSTER      "sixteen bytes.."

/* ---- what was made ---- */

/* TAKEN: good. LIAR: its trailer says what its copy does not hold. */
enum kind { TAKEN, FOREIGN, OTHER_FORMAT, LIAR };

static const struct {
    struct raft_entry_id id;
    size_t bytes;
    enum kind kind;
    raft_index holds; /* the copy */
} MADE[] = {
    {{2, 5}, 900, TAKEN, 5},   {{2, 9}, 70000, TAKEN, 9},       {{3, 20}, 3000, TAKEN, 20},
    {{2, 9}, 500, FOREIGN, 9}, {{3, 20}, 10, OTHER_FORMAT, 20}, {{3, 15}, 800, LIAR, 5},
    {{3, 30}, 0, LIAR, 30},    {{3, 25}, 200, TAKEN, 25},       {{3, 15}, 600, LIAR, 15},
};
#define N_MADE (sizeof(MADE) / sizeof(MADE[0]))

static struct made {
    struct buf copy;
    struct snap_meta meta;
    struct buf whole; /* as it travels */
} made[N_MADE];

/* What the log of the cluster has at that index. */
static raft_term term_of(raft_index index)
{
    return index == 1 ? 1 : index <= 12 ? 2 : 3;
}

static void fill_config(struct raft_configuration *c)
{
    static const char *const names[] = {"n1", "n2", "n3"};

    raft_configuration_init(c);
    for (unsigned i = 0; i < 3; i++)
        rid_assert(raft_configuration_add(c, SELF + i, names[i], RAFT_VOTER, "", "") == 0);
}

/* Copies say whose they are in their first bytes, where they have so many. */
static void make(unsigned i)
{
    struct made *m = &made[i];
    unsigned char head[SNAP_HEAD_BYTES] = {0};
    cleanup_buf struct buf trailer = BUF_INIT;

    for (size_t k = 0; k < MADE[i].bytes; k++)
        rid_assert(buf_add_u8(&m->copy, (uint8_t)(k * 31 + i + (k >> 8))) == 0);
    m->meta = (struct snap_meta){.id = MADE[i].id,
                                 .config = {.index = 1},
                                 .state_format = STATE_FORMAT + (MADE[i].kind == OTHER_FORMAT),
                                 .digest = {.index = MADE[i].id.index, .low = i},
                                 .n_keys = MADE[i].kind == LIAR ? 4 : 3,
                                 .body_bytes = MADE[i].bytes,
                                 .body_crc = crc32c(0, m->copy.data, m->copy.len)};
    memcpy(m->meta.cluster_id, MADE[i].kind == FOREIGN ? OTHERS : CLUSTER, 16);
    fill_config(&m->meta.config.configuration);
    rid_assert(snap_meta_encode(&m->meta, &trailer) == 0);
    put_u32(head, (uint32_t)trailer.len);
    rid_assert(buf_add(&m->whole, head, sizeof(head)) == 0);
    rid_assert(buf_add(&m->whole, trailer.data, trailer.len) == 0);
    rid_assert(m->copy.len == 0 || buf_add(&m->whole, m->copy.data, m->copy.len) == 0);
}

/* ---- the follower ---- */

struct seen {
    raft_node_id from;
    uint64_t transfer;
    uint64_t bytes;
    uint64_t in_order; /* so much of the whole came, without a gap */
};

static struct {
    struct fake_disk *disk;
    struct fake_disk *snaps;
    struct engine *engine;
    uint64_t now_us;
    raft_term term; /* of the leader that sends */
    struct raft_entry_id state;
    struct raft_entry_id begun; /* the state, in a transaction */
    int prepared;               /* which of MADE; -1: none */
    struct seen seen[64];
    unsigned n_seen;
    unsigned n_switched;
} f;

static uint64_t host_now(void *ctx)
{
    (void)ctx;
    return f.now_us;
}

/* There are two, who take turns. */
static raft_node_id leader_of(raft_term term)
{
    return SELF + 1 + term % SENDERS;
}

static struct seen *seen_of(raft_node_id from, const struct raft_snapshot_part *p)
{
    struct seen *s;

    for (unsigned i = 0; i < f.n_seen; i++)
        if (f.seen[i].from == from && f.seen[i].transfer == p->transfer &&
            f.seen[i].bytes == p->bytes)
            return &f.seen[i];
    if (f.n_seen == sizeof(f.seen) / sizeof(f.seen[0]))
        return NULL;
    s = &f.seen[f.n_seen++];
    *s = (struct seen){.from = from, .transfer = p->transfer, .bytes = p->bytes};
    return s;
}

static void check_answer(const struct raft_msg *m)
{
    const struct raft_snapshot_part *p = m->part;
    const struct seen *s;

    rid_assert(m->term <= raft_get_term(engine_raft(f.engine)));
    if (m->reject)
        return;
    rid_assert(m->term == raft_get_term(engine_raft(f.engine)));
    rid_assert(m->to == leader_of(m->term)); /* who asked in that term */
    rid_assert(p != NULL);
    rid_assert(p->offset <= p->bytes);
    rid_assert(p->len == 0);
    s = seen_of(m->to, p);
    if (p->status == RAFT_SNAPSHOT_GO_ON)
        rid_assert(s == NULL || p->offset <= s->in_order);
    if (p->status == RAFT_SNAPSHOT_DONE) {
        rid_assert(s == NULL || s->in_order == p->bytes);
        rid_assert(raft_get_commit_index(engine_raft(f.engine)) >=
                   f.engine->snap.receiving.meta.id.index);
    }
}

static void host_send(void *ctx, const struct raft_msg *m)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_frame frame;
    struct raft_msg back;
    struct arena arena;

    (void)ctx;
    rid_assert(wire_msg_encode(m, &b) == 0);
    rid_assert(wire_frame_cut(b.data, b.len, &frame, NULL) == 0);
    arena_init(&arena, mem_libc);
    rid_assert(wire_msg_decode(&frame, m->from, m->to, &arena, &back) == 0);
    rid_assert(back.type == m->type);
    arena_done(&arena);
    rid_assert(m->type != RAFT_MSG_SNAPSHOT); /* it never leads */
    if (m->type == RAFT_MSG_SNAPSHOT_RESP)
        check_answer(m);
}

static void host_end(void *ctx, const struct engine_end *end)
{
    (void)ctx;
    (void)end;
    rid_assert(false);
}

static void host_trace(void *ctx, const struct raft_trace *t)
{
    (void)ctx;
    (void)t;
}

/* ---- its state: which entry it holds ---- */

static struct raft_entry_id state_last_applied(void *ctx)
{
    (void)ctx;
    return f.state;
}

static int state_begin(void *ctx)
{
    (void)ctx;
    f.begun = f.state;
    return 0;
}

static int state_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    (void)ctx;
    rid_assert(e->id.index == f.begun.index + 1);
    rid_assert(e->id.term == term_of(e->id.index));
    f.begun = e->id;
    memset(ret_result, 0, sizeof(*ret_result));
    return 0;
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    (void)ctx;
    (void)key;
    memset(ret_value, 0, sizeof(*ret_value));
    return 0;
}

static int state_commit(void *ctx)
{
    (void)ctx;
    f.state = f.begun;
    return 0;
}

static void state_abort(void *ctx)
{
    (void)ctx;
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    (void)ctx;
    *ret_last_applied = f.state;
    return 0;
}

static int state_copy(void *ctx, const struct kv_sink *sink)
{
    (void)ctx;
    (void)sink;
    return KV_E_STOPPED;
}

/* Which of them it is, to the byte; -1: none. */
static int which(const struct kv_source *source)
{
    cleanup_free unsigned char *bytes = malloc(source->bytes + 1);

    rid_assert(bytes != NULL);
    if (source->bytes > 0 && source->read(source->ctx, bytes, source->bytes, 0) != 0)
        return -1;
    for (unsigned i = 0; i < N_MADE; i++)
        if (MADE[i].bytes == source->bytes && memcmp(bytes, made[i].copy.data, source->bytes) == 0)
            return (int)i;
    return -1;
}

/* What comes so far has the right sum: so it was made, every byte of it. */
static int state_check(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    int i;

    (void)ctx;
    i = source->bytes == 0 ? 6 : which(source);
    rid_assert(i >= 0);
    *ret = (struct kv_copy_info){.last_applied = {term_of(MADE[i].holds), MADE[i].holds},
                                 .n_keys = 3,
                                 .digest = {.low = (uint64_t)i}};
    return 0;
}

/* The empty one is no copy of anything. */
static int state_prepare(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    f.prepared = -1;
    if (source->bytes == 0)
        return err_say(KV_E_DAMAGED, "there is nothing in it");
    (void)state_check(ctx, source, ret);
    f.prepared = which(source);
    rid_assert(MADE[f.prepared].kind == TAKEN || MADE[f.prepared].kind == LIAR);
    return 0;
}

static int state_switch(void *ctx)
{
    (void)ctx;
    rid_assert(f.prepared >= 0);
    rid_assert(MADE[f.prepared].kind == TAKEN);
    rid_assert(MADE[f.prepared].id.index > f.state.index);
    f.state = MADE[f.prepared].id;
    f.prepared = -1;
    f.n_switched++;
    return 0;
}

static void state_nothing(void *ctx)
{
    (void)ctx;
}

static uint64_t state_copy_bytes(void *ctx)
{
    (void)ctx;
    return 1000;
}

/* ---- life and death ---- */

static void fill_conf(struct engine_conf *conf, const struct engine_state *state)
{
    *conf = (struct engine_conf){.node_name = "n1",
                                 .log = {.vfs = fake_disk_vfs(f.disk),
                                         .node_id = SELF,
                                         .incarnation = 5,
                                         .segment_first_bytes = 1u << 12,
                                         .segment_bytes = 1u << 14},
                                 .log_path = "wal",
                                 .snap_vfs = fake_disk_vfs(f.snaps),
                                 .snapshots = {.log_bytes = UINT64_MAX / 2, .keep_bytes = 1},
                                 .state = state};
    memcpy(conf->log.cluster_id, CLUSTER, sizeof(conf->log.cluster_id));
    raft_conf_init(&conf->raft);
    conf->raft.id = SELF;
    conf->raft.seed = 3;
}

static void boot(void)
{
    const struct engine_ops ops = {
        .now_us = host_now, .send = host_send, .end = host_end, .trace = host_trace};
    const struct engine_state state = {.last_applied = state_last_applied,
                                       .begin = state_begin,
                                       .apply = state_apply,
                                       .apply_get = state_get,
                                       .commit = state_commit,
                                       .abort = state_abort,
                                       .read_begin = state_read_begin,
                                       .get = state_get,
                                       .read_end = state_nothing,
                                       .copy = state_copy,
                                       .copy_stop = state_nothing,
                                       .copy_go = state_nothing,
                                       .check_copy = state_check,
                                       .prepare = state_prepare,
                                       .switch_to = state_switch,
                                       .copy_format = STATE_FORMAT,
                                       .copy_bytes = state_copy_bytes};
    struct engine_conf conf;

    fill_conf(&conf, &state);
    f.prepared = -1;
    f.n_seen = 0;
    rid_assert(engine_new(&ops, NULL, &f.engine) == 0);
    rid_assert(engine_open(f.engine, &conf) == 0);
    f.now_us += 1000;
}

static void found(void)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct raft_configuration c;
    struct engine_conf conf;

    if (made[0].whole.len == 0)
        for (unsigned i = 0; i < N_MADE; i++)
            make(i);
    memset(&f, 0, sizeof(f));
    f.now_us = 1000000;
    f.term = 4;
    f.disk = fake_disk_new(1);
    f.snaps = fake_disk_new(2);
    fill_config(&c);
    rid_assert(raft_configuration_encode(&c, &b) == 0);
    fill_conf(&conf, NULL);
    rid_assert(engine_create_log(&conf, b.data, b.len) == 0);
    boot();
}

/* The process alone, or the machine, with what its disks had not written yet. */
static void die(const uint8_t *s)
{
    static const struct fake_disk_cut cut = {.sector_bytes = 512};

    if ((s[1] & 1) != 0) {
        fake_disk_cut_now(f.disk);
        fake_disk_cut_now(f.snaps);
    }
    engine_free(f.engine, false);
    rid_assert(fake_disk_n_open(f.disk) == 0);
    rid_assert(fake_disk_n_open(f.snaps) == 0);
    if ((s[1] & 1) != 0) {
        fake_disk_power_on(f.disk, &cut);
        fake_disk_power_on(f.snaps, &cut);
    }
    boot();
}

/* ---- messages ---- */

/* In one term one of them leads, whatever is said. */
static void step(const struct wire_frame *frame)
{
    struct arena arena;
    struct raft_msg m;

    arena_init(&arena, mem_libc);
    if (wire_msg_decode(frame, SELF + 1, SELF, &arena, &m) == 0) {
        m.from = leader_of(m.term);
        (void)replica_step(engine_replica(f.engine), &m, f.now_us);
    }
    arena_done(&arena);
    raft_check((struct raft *)(uintptr_t)engine_raft(f.engine));
}

static void send(const struct raft_msg *m)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_frame frame;

    rid_assert(wire_msg_encode(m, &b) == 0);
    rid_assert(wire_frame_cut(b.data, b.len, &frame, NULL) == 0);
    step(&frame);
}

/* What of it came in order, if it is looked at. */
static void note_part(const struct raft_msg *m)
{
    struct seen *s = seen_of(m->from, m->part);

    if (s != NULL && m->part->offset <= s->in_order && m->part->offset + m->part->len > s->in_order)
        s->in_order = m->part->offset + m->part->len;
}

/* s[1] which, s[2] transfer, s[3] bits, s[4..5] offset, s[6] near, s[7] length, s[8..11] damage */
static void send_part(const uint8_t *s, bool question)
{
    static unsigned char bytes[SNAP_PART_BYTES_MAX];
    const struct buf *whole = &made[s[1] % N_MADE].whole;
    const bool mixed = (s[3] & 1) != 0; /* of another one, in this one's transfer */
    const bool goes_on = (s[3] & 2) == 0;
    const struct receiving *r = &f.engine->snap.receiving;
    struct raft_snapshot_part p = {.transfer = 1 + s[1] % N_MADE + N_MADE * (s[2] % 4u),
                                   .bytes = whole->len};
    struct raft_msg m = {.type = RAFT_MSG_SNAPSHOT, .to = SELF, .part = &p};
    uint64_t at = goes_on && r->transfer == p.transfer ? r->taken : 0;

    if ((s[3] & 4) != 0)
        f.term++;
    m.term = (s[3] & 8) != 0 ? f.term - 1 : f.term;
    m.from = leader_of(m.term);
    if (!goes_on)
        at = get_u16(s + 4) % (whole->len + 1);
    p.offset = s[6] == 0 ? at : steps_near(at, s[6]);
    if ((s[3] & 16) != 0)
        p.bytes = steps_near(p.bytes, s[12]);
    if (p.offset < whole->len && !question) {
        size_t n = whole->len - (size_t)p.offset;

        if (n > (s[7] == 0 ? SNAP_PART_BYTES_MAX : 8u * s[7]))
            n = s[7] == 0 ? SNAP_PART_BYTES_MAX : 8u * s[7];
        memcpy(bytes, whole->data + p.offset, n);
        if (mixed) {
            const struct buf *other = &made[s[13] % N_MADE].whole;

            for (size_t k = 0; k < n && p.offset + k < other->len; k++)
                bytes[k] = other->data[p.offset + k];
        }
        /* As much as a checksum finds for certain. */
        if (s[8] % 4 == 1)
            for (unsigned k = 0; k < 2 && n > k; k++)
                bytes[(get_u16(s + 9) + k) % n] ^= s[11 + k];
        p.len = (uint32_t)n;
        p.data = bytes;
    }
    /* Others do not encode. */
    if (p.offset > p.bytes)
        p.offset = p.bytes;
    if (p.len > p.bytes - p.offset)
        p.len = (uint32_t)(p.bytes - p.offset);
    if (p.len == 0)
        p.data = NULL;
    note_part(&m);
    send(&m);
}

/* As its leader, who has committed all that it sends. */
static void send_entries(const uint8_t *s)
{
    struct raft_entry entries[ENTRIES_MAX];
    struct raft_status st;
    struct raft_msg m = {.type = RAFT_MSG_APPEND,
                         .from = leader_of(f.term),
                         .to = SELF,
                         .term = f.term,
                         .entries = entries};

    raft_get_status(engine_raft(f.engine), &st);
    m.prev = (struct raft_entry_id){term_of(st.last_index), st.last_index};
    while (m.n_entries < s[1] % 16u && m.prev.index + m.n_entries < ENTRIES_MAX) {
        const raft_index index = m.prev.index + 1 + m.n_entries;

        entries[m.n_entries++] =
            (struct raft_entry){.id = {term_of(index), index}, .type = RAFT_ENTRY_NOOP};
    }
    m.leader_commit = m.prev.index + m.n_entries;
    send(&m);
}

/* Any payload. */
static void send_raw(const uint8_t *s, struct steps *in)
{
    uint8_t bytes[8 * STEP_BYTES];
    struct wire_frame frame = {.type = (s[1] & 1) != 0 ? RAFT_MSG_SNAPSHOT_RESP : RAFT_MSG_SNAPSHOT,
                               .payload = bytes};

    for (unsigned i = 0; i < 1u + s[2] % 8u && steps_next(in, bytes + frame.payload_len); i++)
        frame.payload_len += STEP_BYTES;
    if (frame.payload_len > s[3] % STEP_BYTES)
        frame.payload_len -= s[3] % STEP_BYTES;
    step(&frame);
    f.n_seen = sizeof(f.seen) / sizeof(f.seen[0]); /* nobody knows what it said */
    if (raft_get_term(engine_raft(f.engine)) > f.term)
        f.term = raft_get_term(engine_raft(f.engine));
}

/* What a follower hears of its leader besides. */
static void say(const uint8_t *s)
{
    const struct raft_msg m = {.type = RAFT_MSG_HEARTBEAT,
                               .from = leader_of(f.term),
                               .to = SELF,
                               .term = f.term,
                               .round = s[1]};

    send(&m);
}

static void turn(void)
{
    engine_turn(f.engine, f.now_us);
    engine_work(f.engine, f.now_us);
}

/* ---- what must hold ---- */

static void check_files(void)
{
    static struct snap_meta list[SNAP_FILES_MAX];
    const unsigned n = snap_list(f.engine->snap.folder, list, SNAP_FILES_MAX);
    const struct raft_entry_id base = store_base(engine_store(f.engine));
    bool covered = base.index <= 1;

    for (unsigned i = 0; i < n; i++) {
        bool found = false;

        for (unsigned k = 0; k < N_MADE; k++)
            found |= MADE[k].kind == TAKEN && MADE[k].id.index == list[i].id.index &&
                     MADE[k].id.term == list[i].id.term &&
                     made[k].meta.body_crc == list[i].body_crc;
        rid_assert(found);
        covered |= list[i].id.index >= base.index;
    }
    rid_assert(covered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct steps in = {data, size};
    uint8_t s[STEP_BYTES];
    struct raft_entry_id before = {0};

    found();
    for (unsigned n = 0; n < 100 && steps_next(&in, s); n++) {
        switch (s[0] % N_OPS) {
        case PART:
            send_part(s, false);
            break;
        case NEXT: /* the rest, with the disk's work between */
            for (unsigned i = 0; i < 4; i++) {
                send_part(s, false);
                turn();
            }
            break;
        case ASK:
            send_part(s, true);
            break;
        case ENTRIES:
            send_entries(s);
            break;
        case TURN:
            for (unsigned i = 0; i <= s[1] % 8u; i++)
                turn();
            break;
        case WAIT:
            f.now_us += 1000u * (1 + s[1]) * (1 + s[2]);
            turn();
            break;
        case RAW:
            send_raw(s, &in);
            break;
        case DIE:
            die(s);
            break;
        default:
            say(s);
            break;
        }
        rid_assert(f.state.index >= before.index); /* nothing is taken back */
        rid_assert(f.state.index == 0 || f.state.term == term_of(f.state.index));
        before = f.state;
        check_files();
    }
    engine_free(f.engine, true);
    rid_assert(fake_disk_n_open(f.disk) == 0);
    rid_assert(fake_disk_n_open(f.snaps) == 0);
    fake_disk_free(f.disk);
    fake_disk_free(f.snaps);
    return 0;
}

/* ---- seeds ---- */

int fuzz_seed(unsigned i, struct buf *buf)
{
    static const uint8_t scripts[][8][STEP_BYTES] = {
        /* one is taken; entries follow */
        {{SAY}, {NEXT, 2}, {TURN, 7}, {TURN, 7}, {ASK, 2}, {ENTRIES, 5}, {TURN, 3}},
        /* it comes too late */
        {{ENTRIES, 8}, {TURN, 3}, {NEXT, 0}, {TURN, 7}, {ASK, 0}, {NEXT, 1}, {TURN, 7}},
        /* a large one, and its process ends */
        {{NEXT, 1}, {DIE, 0}, {ASK, 1}, {NEXT, 1}, {TURN, 3}, {DIE, 1}, {TURN, 7}, {ENTRIES, 9}},
        /* a gap between parts */
        {{PART, 2, 0, 0, 0, 0, 0, 60},
         {TURN},
         {PART, 2, 0, 0, 0, 0, 30, 60},
         {TURN, 3},
         {ASK, 2},
         {NEXT, 2},
         {TURN, 7}},
        /* none of this node's */
        {{NEXT, 3}, {NEXT, 4}, {NEXT, 8}, {TURN, 7}, {NEXT, 5}, {TURN, 7}, {NEXT, 6}, {TURN, 7}},
        /* damaged, and once more */
        {{PART, 2, 0, 0, 0, 0, 0, 0, 1, 40, 2, 8}, {TURN, 7}, {ASK, 2}, {NEXT, 2, 1}, {TURN, 7}},
        /* of two senders at once, small parts */
        {{PART, 2, 0, 0, 0, 0, 0, 20},
         {PART, 7, 1, 4, 0, 0, 0, 20},
         {PART, 2, 0, 8},
         {NEXT, 7, 1},
         {TURN, 7},
         {WAIT, 200, 255},
         {NEXT, 7, 2},
         {TURN, 7}},
        /* one after the other */
        {{NEXT, 0}, {TURN, 7}, {TURN, 7}, {NEXT, 2}, {TURN, 7}, {TURN, 7}, {NEXT, 7}, {TURN, 7}},
        /* bytes of two in one transfer */
        {{PART, 2, 0, 0, 0, 0, 0, 60},
         {NEXT, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
         {TURN, 7},
         {RAW, 0, 3}},
    };

    if (i >= sizeof(scripts) / sizeof(scripts[0]))
        return 1;
    for (unsigned k = 0; k < 8; k++)
        steps_add(buf, scripts[i][k]);
    return 0;
}
