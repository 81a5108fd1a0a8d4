/* A whole node, core, replica and log on a disk in memory, stepped by a script: messages that look
 * valid from peers that need not be honest, time, requests, storage that takes its time, crashes.
 *
 * No assertion is reachable from bytes, and the invariants of the core hold after every step
 * (raft_check()). What else is checked, and holds whatever the peers say:
 *   - what leaves encodes to a frame that decodes to the same message
 *   - what leaves is durable: votes, vote requests, a leader's term, acknowledged entries; and a
 *     crash forgets none of it (COMMIT-8)
 *   - what is applied is durable here, is what the log says, follows without a gap, and never has to
 *     be taken back after a crash (COMMIT-7)
 *   - a leader has the votes of a quorum (VOTE-1)
 *   - what is committed was acknowledged by a quorum in this term, or said by a leader and proven by
 *     its message; what is acknowledged was proven (COMMIT-1, LOG-5)
 *   - a linearizable read is anchored at or above all that was committed here when it was asked
 *     (READ-1), and a quorum answered its round; a write or log read stands behind it
 *   - every request is answered once, or cancelled
 *   - without a fault of the disk nothing is fatal, and the log always opens again
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fuzz/fuzz.h"
#include "fuzz/node-world.h"
#include "raft/configuration.h"
#include "wire/frame.h"

#include "base/banned.h"

const char fuzz_name[] = "node";
const unsigned fuzz_runs = 3000;

#define ENTRIES_MOST 9u
#define ELECTION_US  100000u
#define HEARTBEAT_US 20000u

enum op {
    OP_MESSAGE,
    OP_ANSWER, /* to what the node sent, as a correct peer would, or nearly */
    OP_TIME,
    OP_REQUEST,
    OP_STORE,
    OP_CAMPAIGN, /* until it leads, or the others refuse */
    OP_LINK,
    OP_TRANSFER,
    OP_CANCEL,
    OP_CRASH,
    OP_FAULT,
    OP_RAW,
    OP_TUNE,
    OP_DAMAGE, /* of the state; it is made again */
    N_OPS,
};

static struct world world;

/* ---- requests ---- */

static struct request *request_of(struct replica_request *rr)
{
    struct request *q = list_entry(rr, struct request, rr);

    rid_assert(q->live);
    q->live = false;
    return q;
}

static void on_served(struct replica_request *rr, const struct replica_view *view)
{
    static const struct wire_slice key = {"sa", 2};
    struct request *q = request_of(rr);
    struct command_value value;

    if (view->get(view->ctx, key, &value) == KV_E_DAMAGED) { /* FIT-7: no answer */
        rid_assert(world.damaged);
        q->live = true; /* it fails from inside */
        rid_assert(replica_read_failed(world.replica, rr));
        rid_assert(!q->live);
        return;
    }
    rid_assert(!value.exists || value.modify_index <= view->last_applied.index);
    switch (rr->kind) {
    case REPLICA_READ:
        judge_read(&world, q, view);
        break;
    case REPLICA_READ_LOG:
        rid_assert(view->entry.index > q->floor);
        rid_assert(view->last_applied.index == view->entry.index);
        break;
    case REPLICA_READ_LOCAL:
        break;
    case REPLICA_READ_LEASE: /* whatever became of the leadership since */
        rid_assert(replica_view_is_linearizable(view));
        rid_assert(view->read_index >= q->floor);
        break;
    case REPLICA_READ_FOLLOWER:
        rid_assert(replica_view_is_linearizable(view));
        break;
    case REPLICA_READ_BOUNDED:
        rid_assert(view->staleness_us <= rr->max_stale_us);
        rid_assert(!replica_view_is_linearizable(view));
        break;
    case REPLICA_WRITE:
        rid_assert(false); /* a write is not served */
        break;
    }
}

static void on_written(struct replica_request *rr, const struct command_result *result)
{
    const struct request *q = request_of(rr);

    rid_assert(rr->kind == REPLICA_WRITE);
    rid_assert(result->index > q->floor);
    rid_assert(result->index <= world.durable_most);
}

static void on_failed(struct replica_request *rr, const struct replica_failure *f)
{
    (void)request_of(rr);
    rid_assert(f->error != WIRE_ERROR_NONE);
    rid_assert(wire_error_name(f->error) != NULL);
    rid_assert(!f->after_append || rr->kind == REPLICA_WRITE);
}

static void request(struct world *w, const uint8_t *s)
{
    static const enum replica_kind kinds[] = {REPLICA_READ, REPLICA_WRITE, REPLICA_READ_LOG,
                                              REPLICA_READ_LOCAL};
    /* The last numbers: what others mean stays. */
    static const enum replica_kind later[] = {REPLICA_READ_FOLLOWER, REPLICA_READ_LEASE,
                                              REPLICA_READ_BOUNDED, REPLICA_READ_FOLLOWER};

    for (unsigned n = 1 + s[4] % 8; n > 0; n--) {
        struct command c = {.op = COMMAND_WRITE, .key = {"sa", 2}, .value = {"1", 1}};
        cleanup_buf struct buf b = BUF_INIT;
        struct request *q = NULL;

        for (unsigned i = 0; q == NULL && i < REQUESTS_MOST; i++)
            if (!w->requests[i].live)
                q = &w->requests[i];
        if (q == NULL)
            return;
        *q = (struct request){.live = true,
                              .order = ++w->n_requests,
                              .floor = raft_get_commit_index(replica_raft(w->replica))};
        q->rr = (struct replica_request){
            .kind = s[1] < 0xf0 ? kinds[s[1] % 4] : later[s[1] % 4],
            .max_stale_us = 1000u * (1 + s[2]),
            .deadline_us = s[3] == 0 ? UINT64_MAX : w->now_us + 1000u * s[3],
            .session = s[2] % (SESSIONS + 1) == 0 ? NULL : &w->sessions[s[2] % (SESSIONS + 1) - 1],
            .served = on_served,
            .written = on_written,
            .failed = on_failed};
        if ((s[5] & 1) != 0)
            c.op = COMMAND_DELETE;
        if ((s[5] & 2) != 0)
            c.key.data = "sb";
        if (c.op == COMMAND_DELETE)
            c.value = (struct wire_slice){0};
        rid_assert(command_encode(&c, &b) == 0);
        rid_assert(b.len <= sizeof(q->command));
        memcpy(q->command, b.data, b.len);
        q->rr.command = q->command;
        q->rr.command_len = b.len;
        replica_submit(w->replica, &q->rr, w->now_us);
    }
}

static void cancel(struct world *w, const uint8_t *s)
{
    struct request *q = &w->requests[s[1] % REQUESTS_MOST];

    if (!q->live)
        return;
    replica_cancel(w->replica, &q->rr);
    q->live = false;
}

/* ---- time and storage ---- */

static void storage(struct world *w, const uint8_t *s)
{
    bool more = false;
    int r = 0;

    switch (s[1] % 5) {
    case 0:
        world_write(w, s);
        world_report(w);
        break;
    case 1:
        world_write(w, s);
        break;
    case 2:
        world_report(w);
        break;
    case 3:
        r = store_idle(w->store);
        break;
    default:
        r = store_prepare(w->store, &more);
        break;
    }
    if (r != 0) {
        rid_assert(w->faults);
        world_crash(w, s);
    }
}

static void pass_time(struct world *w, const uint8_t *s)
{
    uint64_t deadline = replica_deadline_us(w->replica);

    switch (s[1] % 4) {
    case 0: /* to the next deadline */
        if (deadline != UINT64_MAX && deadline > w->now_us)
            w->now_us = deadline;
        break;
    case 1:
        w->now_us += s[2];
        break;
    case 2:
        w->now_us += 1000u * s[2];
        break;
    default:
        w->now_us += 100000u * s[2];
        break;
    }
}

static void arm_fault(struct world *w, const uint8_t *s)
{
    w->faults = true;
    switch (s[1] % 5) {
    case 0:
        fake_disk_cut_after(w->disk, 1u + s[2] % 32);
        break;
    case 1:
        fake_disk_fail_sync(w->disk, 1u + s[2] % 16,
                            (s[3] & 1) != 0 ? FAKE_DISK_SYNC_REVERT : FAKE_DISK_SYNC_PAGES_CLEAN);
        break;
    case 2:
        fake_disk_fail_call(w->disk, 1u + s[2] % 32, (s[3] & 1) != 0 ? -ENOSPC : -EIO);
        break;
    case 3:
        fake_disk_set_capacity(w->disk, fake_disk_used(w->disk) + 256u * s[2]);
        break;
    default:
        fake_disk_cut_now(w->disk);
        break;
    }
}

/* Found when somebody reads, or at once. */
static void damage(struct world *w, const uint8_t *s)
{
    if ((s[1] & 1) != 0)
        w->damaged = true;
    else if (!replica_rebuilding(w->replica))
        replica_rebuild(w->replica, w->now_us);
}

/* What a peer says of its state: what this node has at that index, or another. */
static void fill_note(struct world *w, const uint8_t *s, struct raft_msg *m)
{
    const struct raft_note *own = &w->said;

    if ((s[4] & 0x10) == 0)
        return;
    m->note = *own;
    m->note.digest_version = (s[13] & 3) == 3 ? FUZZ_DIGEST_VERSION + 1 : FUZZ_DIGEST_VERSION;
    for (unsigned i = 0; i < 2; i++) {
        struct raft_digest_at *d = &m->note.digests[i];

        d->index = steps_near(d->index != 0 ? d->index : w->n_applied, s[14]);
        d->low += (s[15] & 1u << i) != 0;
    }
    m->note.check = steps_near(own->check, s[9]);
    m->note.flags = RAFT_NOTE_SAID | (s[10] & 7);
}

/* ---- messages ---- */

static raft_node_id peer(const struct world *w, uint8_t b)
{
    if (b >= 250)
        return b == 250 ? 0 : (b == 251 ? w->self : b);
    return w->peers[b % 6];
}

/* 0 or RAFT_E_INVALID, after which a daemon closes the link, and it comes up again. There is none to
 * the node itself, in whose name anybody may speak. */
static void deliver(struct world *w, const struct raft_msg *m, bool relink)
{
    if (judge_deliver(w, m) != 0 && relink && m->from != w->self) {
        replica_link(w->replica, m->from, false, w->now_us);
        replica_link(w->replica, m->from, true, w->now_us);
    }
}

static const unsigned char payload[256] = {1, 1};

/* A configuration as a peer may send: one of a few, or bytes that are none. */
static void config_entry(struct world *w, uint8_t which, struct raft_entry *e)
{
    struct raft_configuration c;
    struct buf b = BUF_INIT;
    unsigned n = which % 18;
    unsigned char *data;

    raft_configuration_init(&c);
    for (unsigned i = which & 64 ? 1 : 0; i < n && i < RAFT_SERVERS_MAX; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "n%u", i + 1);
        rid_assert(raft_configuration_add(&c, raft_founder_id(name), name,
                                          (which >> (i % 3)) & 32 ? RAFT_LEARNER : RAFT_VOTER,
                                          "a:1", "") == 0);
    }
    rid_assert(raft_configuration_encode(&c, &b) == 0);
    e->len = (uint32_t)b.len;
    data = arena_alloc(&w->arena, b.len);
    rid_assert(data != NULL);
    memcpy(data, b.data, b.len);
    e->data = data;
    buf_done(&b);
}

static void fill_entries(struct world *w, const uint8_t *s, struct raft_msg *m)
{
    unsigned n = s[7] % (ENTRIES_MOST + 1);
    struct raft_entry *list = arena_alloc(&w->arena, ENTRIES_MOST * sizeof(*list));
    raft_term term = (s[9] & 0x80) != 0 ? m->prev.term : m->term;
    raft_index index = m->prev.index;

    rid_assert(list != NULL);
    for (unsigned i = 0; i < n; i++) {
        struct raft_entry *e = &list[i];
        unsigned type = 1 + (s[8] + i * (s[8] >> 6)) % 4;

        term += (uint64_t)((s[9] >> i) & 1) * ((s[9] & 0x80) != 0);
        index++;
        if (s[15] == 7 && i == 1)
            index++; /* a gap */
        *e = (struct raft_entry){.id = {term, index}, .type = (enum raft_entry_type)type};
        if ((s[10] & 0x40) != 0 && raft_term_at(replica_raft(w->replica), index) != 0)
            e->id.term = raft_term_at(replica_raft(w->replica), index); /* sent before */
        switch (e->type) {
        case RAFT_ENTRY_NOOP:
        case RAFT_ENTRY_READ:
            break;
        case RAFT_ENTRY_CONFIG:
            config_entry(w, s[14], e);
            break;
        case RAFT_ENTRY_COMMAND:
            e->len = 1u + s[13];
            e->data = payload;
            break;
        }
    }
    m->entries = list;
    m->n_entries = n;
}

/* Operands of 0 give what a correct peer would send next, more or less. */
static void message(struct world *w, const uint8_t *s)
{
    struct raft_status st;
    struct raft_msg m = {.type = (enum raft_msg_type)(1 + s[1] % RAFT_MSG_TYPE_MAX),
                         .from = peer(w, s[2]),
                         .to = w->self};

    raft_get_status(replica_raft(w->replica), &st);
    m.term = steps_near(st.current_term + (m.type == RAFT_MSG_PRE_VOTE_RESP), s[3]);
    switch (m.type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_APPEND:
        m.prev.index = steps_near((s[4] & 1) != 0 ? st.commit_index : st.last_index, s[5]);
        m.prev.term = raft_term_at(replica_raft(w->replica), m.prev.index);
        if (m.prev.term == 0 || s[6] != 0)
            m.prev.term = steps_near(m.prev.term, s[6]);
        m.transfer = (s[4] & 2) != 0 && m.type == RAFT_MSG_VOTE;
        if (m.type == RAFT_MSG_APPEND) {
            fill_entries(w, s, &m);
            m.leader_commit =
                steps_near((s[4] & 4) != 0 ? m.prev.index + m.n_entries : st.commit_index, s[11]);
        }
        break;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
        m.reject = (s[4] & 1) != 0;
        break;
    case RAFT_MSG_APPEND_RESP:
        m.reject = (s[4] & 1) != 0;
        m.index = steps_near((s[4] & 2) != 0 ? st.commit_index : st.last_index, s[5]);
        if (m.reject) {
            m.hint.index = steps_near(st.last_index, s[6]);
            m.hint.term = steps_near(raft_term_at(replica_raft(w->replica), m.hint.index), s[7]);
        }
        break;
    case RAFT_MSG_HEARTBEAT:
        m.leader_commit = steps_near((s[4] & 1) != 0 ? st.last_index : st.commit_index, s[11]);
        m.round = steps_near(0, s[12]);
        fill_note(w, s, &m);
        break;
    case RAFT_MSG_HEARTBEAT_RESP:
        m.reject = (s[4] & 1) != 0;
        m.round = steps_near(st.round, s[12]);
        fill_note(w, s, &m);
        break;
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        break;
    }
    deliver(w, &m, (s[4] & 0x80) == 0);
}

static bool answer_of(const struct raft_msg *sent, bool reject, struct raft_msg *ret)
{
    struct raft_msg m = {.from = sent->to, .to = sent->from, .term = sent->term, .reject = reject};

    switch (sent->type) {
    case RAFT_MSG_PRE_VOTE:
        m.type = RAFT_MSG_PRE_VOTE_RESP;
        break;
    case RAFT_MSG_VOTE:
        m.type = RAFT_MSG_VOTE_RESP;
        break;
    case RAFT_MSG_APPEND:
        m.type = RAFT_MSG_APPEND_RESP;
        m.index = sent->prev.index + (reject ? 0 : sent->n_entries);
        if (reject)
            m.hint.index = sent->prev.index;
        break;
    case RAFT_MSG_HEARTBEAT:
        m.type = RAFT_MSG_HEARTBEAT_RESP;
        m.round = sent->round;
        break;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_APPEND_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        return false;
    }
    *ret = m;
    return true;
}

/* The last 1 .. n messages, oldest first, but those to one peer that keeps silent. */
static void answer(struct world *w, const uint8_t *s)
{
    unsigned n = s[1] == 0 ? 8 : s[1] % OUTBOX;
    raft_node_id silent = s[2] == 0 ? 0 : peer(w, s[2]);
    struct raft_msg answers[OUTBOX];
    unsigned n_answers = 0;

    if (n > w->n_sent)
        n = w->n_sent;
    for (unsigned i = w->n_sent - n; i < w->n_sent; i++) {
        const struct raft_msg *sent = &w->outbox[i % OUTBOX];

        if (sent->to != silent && n_answers < OUTBOX &&
            answer_of(sent, (s[3] & 1) != 0, &answers[n_answers]))
            n_answers++;
    }
    for (unsigned i = 0; i < n_answers; i++) {
        answers[i].term = steps_near(answers[i].term, s[4]);
        answers[i].index = steps_near(answers[i].index, s[5]);
        if (answers[i].type == RAFT_MSG_APPEND_RESP && answers[i].reject)
            answers[i].hint.term = s[6];
        deliver(w, &answers[i], true);
    }
}

static void campaign(struct world *w, const uint8_t *s)
{
    static const uint8_t to_deadline[STEP_BYTES] = {OP_TIME};
    static const uint8_t all[STEP_BYTES] = {OP_ANSWER};

    for (unsigned i = 0; i < 4 + s[1] % 4u; i++) {
        if (raft_can_serve(replica_raft(w->replica)))
            break;
        if (i == 0)
            pass_time(w, to_deadline);
        world_turn(w, s);
        world_write(w, s);
        world_report(w);
        world_turn(w, s);
        answer(w, all);
    }
}

static void raw(struct world *w, const uint8_t *s)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_frame frame = {.type = s[1]};
    struct raft_msg m;
    uint8_t part[STEP_BYTES];

    for (unsigned i = s[3] % 8; i > 0 && steps_next(&w->steps, part); i--)
        rid_assert(buf_add(&b, part, sizeof(part)) == 0);
    if (b.len >= s[4] % STEP_BYTES)
        b.len -= s[4] % STEP_BYTES;
    frame.payload = b.data;
    frame.payload_len = b.len;
    if (wire_msg_decode(&frame, peer(w, s[2]), w->self, &w->arena, &m) == 0)
        deliver(w, &m, true);
}

static void tune(struct world *w, const uint8_t *s)
{
    switch (s[1] % 4) {
    case 0:
        raft_set_rounds_max(replica_raft_mutable(w->replica), 1 + s[2] % (4 * RAFT_ROUNDS_MAX));
        break;
    case 1: {
        struct replica_stats stats;

        replica_get_stats(w->replica, &stats);
        rid_assert(replica_last_applied(w->replica) == w->n_applied);
        rid_assert(replica_idle(w->replica) ==
                   (stats.n_waiting + stats.n_in_round + stats.n_asking + stats.n_confirmed +
                        stats.n_proposed ==
                    0));
        break;
    }
    case 2:
        (void)raft_term_at(replica_raft(w->replica), s[2]);
        break;
    default:
        if (s[2] == 77) /* rarely: nothing is taken any more after it */
            replica_quiesce(w->replica);
        break;
    }
}

/* ---- the script ---- */

static void step(struct world *w, const uint8_t *s)
{
    switch ((enum op)(s[0] % 16 < N_OPS ? s[0] % 16 : OP_MESSAGE)) {
    case OP_MESSAGE:
        message(w, s);
        break;
    case OP_ANSWER:
        answer(w, s);
        break;
    case OP_TIME:
        pass_time(w, s);
        break;
    case OP_REQUEST:
        request(w, s);
        break;
    case OP_STORE:
        storage(w, s);
        break;
    case OP_CAMPAIGN:
        campaign(w, s);
        break;
    case OP_LINK:
        if (peer(w, s[1]) != w->self)
            replica_link(w->replica, peer(w, s[1]), (s[2] & 1) != 0, w->now_us);
        break;
    case OP_TRANSFER: {
        int r = replica_transfer(w->replica, s[1] == 0 ? 0 : peer(w, s[1]), w->now_us);

        rid_assert(r >= 0);
        break;
    }
    case OP_CANCEL:
        cancel(w, s);
        break;
    case OP_CRASH:
        world_crash(w, s);
        break;
    case OP_FAULT:
        arm_fault(w, s);
        break;
    case OP_RAW:
        raw(w, s);
        break;
    case OP_TUNE:
        tune(w, s);
        break;
    case OP_DAMAGE:
        damage(w, s);
        break;
    case N_OPS:
        break;
    }
    judge(w);
    if ((s[0] & 0x40) == 0) /* several inputs may share a turn */
        world_turn(w, s);
    judge(w);
    if ((s[0] & 0x80) != 0) { /* a fast disk */
        world_write(w, s);
        world_report(w);
        judge(w);
        world_turn(w, s);
        judge(w);
    }
    arena_reset(&w->arena);
}

static void create(struct world *w, const uint8_t *head)
{
    unsigned n = 1 + (head[1] == 0 ? 2 : head[1] % 5);
    unsigned learner = head[2] == 0 ? 99 : head[2] % 6;
    struct raft_configuration c;
    cleanup_buf struct buf b = BUF_INIT;

    raft_configuration_init(&c);
    for (unsigned i = 0; i < 1 + PEERS; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "n%u", i + 1);
        if (i > 0)
            w->peers[i - 1] = raft_founder_id(name);
        else
            w->self = raft_founder_id(name);
        if (i < n)
            rid_assert(raft_configuration_add(&c, raft_founder_id(name), name,
                                              i == learner ? RAFT_LEARNER : RAFT_VOTER, "a:1",
                                              "b:2") == 0);
    }
    rid_assert(raft_configuration_encode(&c, &b) == 0);
    w->disk = fake_disk_new(head[0]);
    w->store_conf = (struct store_conf){.vfs = fake_disk_vfs(w->disk),
                                        .node_id = w->self,
                                        .incarnation = 7,
                                        .salt_seed = head[0],
                                        .segment_first_bytes = 4096 + 64u * head[3],
                                        .segment_bytes = 6000 + 128u * head[4]};
    rid_assert(store_create(&w->store_conf, b.data, b.len) == 0);
    raft_conf_init(&w->raft_conf);
    w->raft_conf.id = w->self;
    w->raft_conf.seed = head[5];
    w->raft_conf.election_timeout_us = ELECTION_US;
    w->raft_conf.heartbeat_us = HEARTBEAT_US;
    if ((head[6] & 1) != 0)
        w->raft_conf.cache_bytes_max = 1;
    if ((head[6] & 2) != 0)
        w->raft_conf.append_bytes_max = 100;
    if ((head[6] & 4) != 0)
        w->raft_conf.inflight_bytes_max = 300;
    w->now_us = 1000;
    w->promised.current_term = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = &world;
    uint8_t head[STEP_BYTES];
    uint8_t s[STEP_BYTES];

    memset(w, 0, sizeof(*w));
    w->steps = (struct steps){data, size};
    if (!steps_next(&w->steps, head))
        return 0;
    arena_init(&w->arena, mem_libc);
    create(w, head);
    world_boot(w);
    for (unsigned i = 0; i < STEPS_MAX && steps_next(&w->steps, s); i++)
        step(w, s);
    world_stop(w);
    arena_done(&w->arena);
    fake_disk_free(w->disk);
    free(w->applied);
    return 0;
}

/* ---- seeds ---- */

#define LEAD OP_CAMPAIGN
#define FAST 0x80

static const uint8_t scripts[][16][STEP_BYTES] = {
    /* a leader writes and reads, in groups of 3, 1, 5 and with a learner */
    {{0}, {LEAD}, {OP_REQUEST | FAST, 1, 0, 0, 3}, {OP_ANSWER}, {OP_REQUEST}, {OP_ANSWER}},
    {{1, 5}, {LEAD}, {OP_REQUEST | FAST, 1}, {OP_REQUEST, 0, 1}, {OP_TIME}, {OP_REQUEST, 3}},
    {{2, 4, 0, 0, 0, 0, 7},
     {LEAD},
     {OP_REQUEST | FAST, 1, 1, 9, 7},
     {OP_ANSWER, 0, 2},
     {OP_REQUEST, 2, 1, 9, 2},
     {OP_ANSWER},
     {OP_TIME, 0},
     {OP_ANSWER}},
    {{3, 3, 2, 0, 0, 0, 1},
     {LEAD},
     {OP_REQUEST | FAST, 1, 0, 0, 7},
     {OP_ANSWER},
     {OP_TIME, 0},
     {OP_ANSWER},
     {OP_TIME, 3, 9}},
    /* a follower takes entries, votes, is told to campaign */
    {{4},
     {OP_MESSAGE | FAST, 4, 0, 1, 4, 0, 0, 3, 2},
     {OP_MESSAGE, 6, 0, 0, 1},
     {OP_MESSAGE | FAST, 2, 1, 1},
     {OP_MESSAGE | FAST, 8, 1},
     {OP_ANSWER}},
    {{5},
     {OP_MESSAGE | FAST, 4, 0, 1, 4, 0, 0, 5, 0x41},
     {OP_MESSAGE | FAST, 4, 1, 2, 5, 0, 0, 2},
     {OP_MESSAGE | FAST, 4, 2, 3, 4, 65, 0, 1, 3},
     {OP_CRASH, 1, 1},
     {OP_TIME},
     {LEAD}},
    /* configurations from a peer */
    {{6},
     {OP_MESSAGE | FAST, 4, 0, 1, 4, 0, 0, 1, 1, 0, 0, 0, 0, 0, 5},
     {LEAD},
     {OP_REQUEST | FAST, 1}},
    {{7}, {OP_MESSAGE | FAST, 4, 0, 1, 4, 0, 0, 1, 1, 0, 0, 0, 0, 0, 66}, {LEAD}, {OP_TIME, 3, 3}},
    /* transfer, links, crashes of disk and process, a stalled disk */
    {{8}, {LEAD}, {OP_TRANSFER, 0}, {OP_ANSWER}, {OP_MESSAGE | FAST, 2, 0, 1, 2}, {OP_TIME, 3, 2}},
    {{9}, {LEAD}, {OP_LINK, 0, 0}, {OP_REQUEST | FAST, 1, 0, 0, 4}, {OP_LINK, 0, 1}, {OP_ANSWER}},
    {{10}, {LEAD}, {OP_REQUEST, 1, 0, 0, 4}, {OP_FAULT, 0, 1}, {OP_STORE}, {OP_TIME}, {LEAD}},
    {{11}, {LEAD}, {OP_REQUEST, 1}, {OP_FAULT, 1, 0}, {OP_STORE}, {LEAD}, {OP_CRASH, 4}, {LEAD}},
    {{12}, {LEAD}, {OP_REQUEST, 1}, {OP_TIME, 2, 90}, {OP_ANSWER}, {OP_TIME, 2, 90}, {OP_ANSWER}},
    {{13}, {LEAD}, {OP_STORE, 3}, {OP_STORE, 4}, {OP_REQUEST | FAST, 1, 0, 0, 7}, {OP_STORE, 4}},
    {{14}, {LEAD}, {OP_REQUEST, 0, 0, 5, 7}, {OP_CANCEL, 3}, {OP_TIME, 2, 9}, {OP_TUNE, 1}},
    /* a higher term while reads wait; refusals; numbers at the edge */
    {{15},
     {LEAD},
     {OP_REQUEST, 0, 0, 0, 7},
     {OP_MESSAGE, 6, 0, 1},
     {OP_REQUEST, 0, 0, 0, 2},
     {LEAD}},
    {{16}, {LEAD}, {OP_REQUEST | FAST, 1}, {OP_ANSWER, 0, 0, 1}, {OP_ANSWER, 3}, {OP_TIME}},
    {{17}, {OP_MESSAGE | FAST, 2, 0, 133, 0}, {OP_TIME}, {OP_MESSAGE, 6, 0, 134}},
    {{18}, {OP_RAW | FAST, 7, 0, 2, 8}, {2, 0, 0, 0, 0, 0, 0, 0, 1}, {0}, {OP_TIME}},
    {{19, 0, 0, 0, 0, 0, 3},
     {LEAD},
     {OP_REQUEST | FAST, 1, 0, 0, 7},
     {OP_ANSWER, 8, 1},
     {OP_REQUEST | FAST, 1, 0, 0, 7},
     {OP_ANSWER, 9, 1},
     {OP_LINK, 0, 1},
     {OP_ANSWER},
     {OP_ANSWER}},
    /* storage late and in parts, votes late, a learner's vote */
    {{20},
     {LEAD},
     {OP_REQUEST, 1},
     {OP_STORE, 1},
     {OP_REQUEST, 1},
     {OP_STORE, 2},
     {OP_ANSWER},
     {OP_STORE}},
    {{21}, {OP_TIME}, {OP_ANSWER}, {OP_STORE}, {OP_TIME}, {OP_ANSWER}, {OP_ANSWER, 0, 0, 0, 64}},
    {{22, 3, 3}, {OP_TIME}, {OP_ANSWER}, {OP_STORE}, {OP_ANSWER, 1}, {OP_STORE}, {OP_REQUEST}},
    {{23, 3, 3}, {OP_TIME}, {OP_ANSWER, 1}, {OP_STORE}, {OP_ANSWER, 1}, {OP_STORE}, {OP_REQUEST}},
    {{24}, {LEAD}, {OP_REQUEST, 1, 1}, {OP_REQUEST, 0, 1}, {OP_STORE}, {OP_ANSWER}, {OP_ANSWER}},
    {{25},
     {OP_MESSAGE | FAST, 4, 0, 1, 0, 0, 0, 3, 2},
     {OP_TIME},
     {OP_ANSWER},
     {OP_STORE},
     {OP_ANSWER},
     {OP_STORE},
     {OP_ANSWER, 0, 0, 0, 0, 64}},
    {{26}, {OP_MESSAGE | FAST, 2, 0, 1, 0, 64}, {OP_MESSAGE | FAST, 0, 1, 1, 0, 64}},
    /* a state that is damaged, or said to be: while leading, with reads that wait, as a follower */
    {{27},
     {LEAD},
     {OP_REQUEST | FAST, 1, 0, 0, 3},
     {OP_DAMAGE, 1},
     {OP_REQUEST, 3},
     {OP_ANSWER},
     {OP_MESSAGE | FAST, 6, 0, 1},
     {OP_TIME},
     {OP_TIME, 2, 90},
     {LEAD},
     {OP_REQUEST, 3}},
    {{28},
     {OP_MESSAGE | FAST, 4, 0, 1, 4, 0, 0, 3, 3},
     {OP_MESSAGE | FAST, 6, 0, 1, 0},
     {OP_DAMAGE},
     {OP_TIME, 2, 9},
     {OP_REQUEST, 3},
     {OP_MESSAGE | FAST, 6, 0, 1, 0x10}},
    /* both others say that this state is another */
    {{29},
     {OP_MESSAGE | FAST, 4, 0, 1, 4, 0, 0, 3, 3},
     {OP_MESSAGE | FAST, 6, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3},
     {OP_TIME, 2, 9},
     {OP_MESSAGE | FAST, 6, 0, 1, 0x10, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 3}},
};

int fuzz_seed(unsigned i, struct buf *buf)
{
    size_t n = sizeof(scripts[0]) / STEP_BYTES;

    if (i >= sizeof(scripts) / sizeof(scripts[0]))
        return 1;
    while (n > 1 && memcmp(scripts[i][n - 1], (uint8_t[STEP_BYTES]){0}, STEP_BYTES) == 0)
        n--;
    for (size_t k = 0; k < n; k++)
        steps_add(buf, scripts[i][k]);
    return 0;
}
