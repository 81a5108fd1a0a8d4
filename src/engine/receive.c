/* A follower takes a snapshot from its leader.
 *
 *   PARTS ──all on the disk──► CHECKING ──► INSTALLING ──► SWITCHING ──► done
 *     │                           │            │               │
 *     │ s0 trailer looked at      │ s2 sizes   │ the core says │ s6 when the log on the disk is
 *     │ s1 parts into a file      │    and sums│ what becomes  │    the snapshot's (SNAP-8)
 *     │    that counts for        │ s4 copy    │ of it (SNAP-1)│
 *     │    nothing                │    beside  │ s5 log reset  │
 *     │                           │    the     │               │
 *     │                           │    state   │               │
 *     │                           │ s3 name    │               │
 *
 * Until it is installed the state is as it was, and what it answers is as right as before; then,
 * in one step of one turn, it is the snapshot's. What has been received is kept while the link is
 * down; of another transfer it begins anew. Parts that do not follow what is there are not looked
 * at: the answer says how far it is. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "wire/reply.h"

#include "base/banned.h"

/* What the bench says, beside 0 and -errno. */
enum { RECEIVED, RECEIVED_FULL, RECEIVED_USELESS };

static void answer(struct engine *e, raft_node_id to, uint64_t transfer, uint64_t offset,
                   uint64_t bytes, uint8_t status)
{
    const struct raft_snapshot_part part = {
        .transfer = transfer, .offset = offset, .bytes = bytes, .status = status};
    const struct raft_msg m = {.type = RAFT_MSG_SNAPSHOT_RESP,
                               .group = replica_group(e->replica),
                               .from = e->id,
                               .to = to,
                               .term = raft_get_term(engine_raft(e)),
                               .part = &part};

    e->ops.send(e->ops.ctx, &m);
}

/* An answer is one to the leader of the term it was asked in: who asked in an earlier one leads no
 * more, and would find it invalid (CORE-3). Who leads now asks for itself. */
static void say_where(struct engine *e, uint64_t offset)
{
    const struct receiving *r = &e->snap.receiving;

    if (raft_get_term(engine_raft(e)) != r->term)
        return;
    answer(e, r->from, r->transfer, offset, r->bytes,
           r->phase == RECEIVE_NOT     ? r->status
           : r->phase == RECEIVE_PARTS ? RAFT_SNAPSHOT_GO_ON
                                       : RAFT_SNAPSHOT_CHECKING);
}

/* ---- on the bench ---- */

static int outcome(int rc)
{
    if (rc == SNAP_E_FULL)
        return RECEIVED_FULL;
    return rc > 0 ? RECEIVED_USELESS : err_trace(rc);
}

static int run_write(void *ctx)
{
    struct engine *e = ctx;
    struct receiving *r = &e->snap.receiving;
    const struct buf *in = &r->in[1 - r->filling];
    int rc = 0;

    if (r->writer == NULL)
        rc = snap_writer_new(e->snap.folder, SNAP_RECEIVED, &r->writer);
    if (rc == 0 && in->len > 0)
        rc = snap_writer_add(r->writer, in->data, in->len);
    return outcome(rc);
}

/* Sizes and sums, then all that it holds, and only then its name: what has a name is good
 * (SNAP-11). Those of this node stay: the log that they belong to is still there (SNAP-23). */
static int run_check(void *ctx)
{
    struct engine *e = ctx;
    struct receiving *r = &e->snap.receiving;
    struct kv_source source = {snap_writer_read, r->writer, r->meta.body_bytes, &e->snap.stops};
    int rc;

    if (snap_writer_bytes(r->writer) != r->meta.body_bytes ||
        snap_writer_crc(r->writer) != r->meta.body_crc)
        return err_say(RECEIVED_USELESS, "its checksum is wrong");
    rc = e->state.prepare(e->state.ctx, &source, &r->info);
    if (rc == KV_E_FULL)
        return RECEIVED_FULL;
    if (rc != 0)
        return rc < 0 ? err_trace(rc) : RECEIVED_USELESS;
    r->is_prepared = true;
    if (!engine_copy_is_as_said(&r->info, &r->meta))
        return err_say(RECEIVED_USELESS, "it does not hold what it says");
    rc = snap_writer_finish(r->writer, &r->meta);
    r->writer = NULL;
    if (rc == 0)
        rc = snap_check(e->snap.folder, r->meta.id);
    /* The log is going to begin behind it: it stays, whatever else is there, and was checked. */
    if (rc == 0)
        rc = snap_reader_new(e->snap.folder, r->meta.id, &r->held);
    return outcome(rc);
}

/* ---- begin and end ---- */

static void forget(struct engine *e)
{
    struct receiving *r = &e->snap.receiving;

    rid_assert(!chore_is_busy(&r->chore));
    /* As large as the state, and of use to nobody: it was not switched to (SNAP-24). */
    if (r->is_prepared && e->state.unprepare != NULL)
        e->state.unprepare(e->state.ctx);
    r->is_prepared = false;
    snap_writer_drop(r->writer);
    r->writer = NULL;
    snap_reader_drop(r->held);
    r->held = NULL;
    buf_done(&r->head);
    buf_init(&r->head);
    for (unsigned i = 0; i < 2; i++) {
        buf_done(&r->in[i]);
        buf_init(&r->in[i]);
    }
    r->phase = RECEIVE_NOT;
    r->has_meta = false;
    r->writing = false;
}

/* Whoever asks about this transfer again is told the same again. */
static void end_receiving(struct engine *e, enum raft_snapshot_status status, const char *why)
{
    struct receiving *r = &e->snap.receiving;

    if (status != RAFT_SNAPSHOT_DONE && engine_logs(e))
        log_event(LOG_WARNING, "snapshot_refused", "from=%s index=%llu why=\"%s\"",
                  engine_name_of(e, r->from),
                  (unsigned long long)(r->has_meta ? r->meta.id.index : 0), why);
    forget(e);
    r->status = (uint8_t)status;
    say_where(e, r->bytes);
}

static void begin_receiving(struct engine *e, const struct raft_msg *m)
{
    struct receiving *r = &e->snap.receiving;

    forget(e);
    r->phase = RECEIVE_PARTS;
    r->from = m->from;
    r->transfer = m->part->transfer;
    r->bytes = m->part->bytes;
    r->taken = r->written = 0;
    r->status = RAFT_SNAPSHOT_GO_ON;
    r->began_us = engine_now_us(e);
}

/* ---- s0: the trailer ---- */

static bool is_ours(const struct engine *e, const struct snap_meta *m)
{
    return !m->given && memcmp(m->cluster_id, e->snap.cluster_id, sizeof(m->cluster_id)) == 0 &&
           m->group == replica_group(e->replica) && m->state_format == e->state.copy_format &&
           m->digest_version == e->state.digest_version;
}

/* It is kept as a snapshot, and put beside the state, before what is there now goes (SNAP-15). */
static bool has_room(const struct engine *e, uint64_t bytes)
{
    uint64_t used;
    uint64_t limit;

    return e->state.disk_room == NULL || !e->state.disk_room(e->state.ctx, &used, &limit) ||
           limit - used >= 2 * bytes + SNAP_ROOM_LEFT_BYTES;
}

static void look_at_meta(struct engine *e)
{
    struct receiving *r = &e->snap.receiving;
    int rc =
        snap_meta_decode(r->head.data + SNAP_HEAD_BYTES, r->head.len - SNAP_HEAD_BYTES, &r->meta);

    if (rc != 0 || !is_ours(e, &r->meta) || r->bytes != r->head.len + r->meta.body_bytes) {
        end_receiving(e, RAFT_SNAPSHOT_REFUSED, "its trailer is of no use here");
        return;
    }
    r->has_meta = true;
    if (!has_room(e, r->meta.body_bytes)) {
        end_receiving(e, RAFT_SNAPSHOT_NO_ROOM, "the disk has no room for it");
        return;
    }
    if (engine_logs(e))
        log_event(LOG_INFO, "snapshot_receiving", "from=%s index=%llu bytes=%llu",
                  engine_name_of(e, r->from), (unsigned long long)r->meta.id.index,
                  (unsigned long long)r->meta.body_bytes);
}

/* Bytes of the head; returns how many were taken. */
static size_t take_head(struct engine *e, const unsigned char *p, size_t n)
{
    struct receiving *r = &e->snap.receiving;
    size_t taken = 0;

    while (taken < n && !r->has_meta && r->phase == RECEIVE_PARTS) {
        size_t want = SNAP_HEAD_BYTES;
        size_t part;

        if (r->head.len >= SNAP_HEAD_BYTES)
            want += get_u32(r->head.data);
        if (want > SNAP_HEAD_BYTES + SNAP_TRAILER_BYTES || want > r->bytes) {
            end_receiving(e, RAFT_SNAPSHOT_REFUSED, "its trailer is too long");
            break;
        }
        part = want - r->head.len < n - taken ? want - r->head.len : n - taken;
        if (part > 0 && buf_add(&r->head, p + taken, part) != 0)
            break;
        taken += part;
        if (r->head.len > SNAP_HEAD_BYTES && r->head.len == SNAP_HEAD_BYTES + get_u32(r->head.data))
            look_at_meta(e);
        else if (part == 0)
            break;
    }
    return taken;
}

/* ---- parts ---- */

static void write_on(struct engine *e)
{
    struct receiving *r = &e->snap.receiving;

    if (r->phase != RECEIVE_PARTS || !r->has_meta || chore_is_busy(&r->chore) || r->writing)
        return;
    if (r->in[r->filling].len == 0 && (r->writer != NULL || r->written < r->bytes))
        return;
    r->filling = 1 - r->filling;
    r->writing = true;
    chores_add(e->snap.bench, &r->chore, run_write, e);
}

/* What is there already is passed over; what does not follow is not taken. */
static void take_part(struct engine *e, const struct raft_snapshot_part *part)
{
    struct receiving *r = &e->snap.receiving;
    const unsigned char *p = part->data;
    size_t n = part->len;
    size_t head;

    if (part->bytes != r->bytes || part->offset > r->taken || part->offset + n <= r->taken)
        return;
    p += r->taken - part->offset;
    n -= (size_t)(r->taken - part->offset);
    head = take_head(e, p, n);
    if (r->phase != RECEIVE_PARTS)
        return;
    r->taken += head;
    if (r->taken > r->written && r->head.len >= r->taken)
        r->written = r->taken; /* as good as on the disk: it is written with the name */
    p += head;
    n -= head;
    if (n == 0 || !r->has_meta || r->in[r->filling].len + n > SNAP_IN_BYTES_MAX ||
        buf_add(&r->in[r->filling], p, n) != 0)
        return;
    r->taken += n;
}

static bool is_busy(const struct receiving *r)
{
    return r->phase > RECEIVE_PARTS || chore_is_busy(&r->chore) || r->writing;
}

void engine_receive(struct engine *e, const struct raft_msg *m)
{
    struct receiving *r = &e->snap.receiving;
    const struct raft_snapshot_part *part = m->part;

    if (e->snap.folder == NULL)
        return;
    if (part->transfer != r->transfer || m->from != r->from) {
        if (is_busy(r)) { /* of another leader, perhaps: it asks again */
            if (part->len == 0)
                answer(e, m->from, part->transfer, 0, part->bytes, RAFT_SNAPSHOT_CHECKING);
            return;
        }
        begin_receiving(e, m);
    }
    r->term = m->term;
    r->heard_us = engine_now_us(e);
    if (r->phase == RECEIVE_PARTS && part->len > 0)
        take_part(e, part);
    else if (part->len == 0)
        say_where(e, r->phase == RECEIVE_PARTS ? r->taken : r->bytes);
    write_on(e);
}

/* ---- the turn ---- */

static void begin_check(struct engine *e)
{
    struct receiving *r = &e->snap.receiving;

    r->phase = RECEIVE_CHECKING;
    say_where(e, r->bytes);
    chores_add(e->snap.bench, &r->chore, run_check, e);
}

static void take_chore(struct engine *e, uint64_t now_us)
{
    struct receiving *r = &e->snap.receiving;
    int rc;

    if (!chore_take(&r->chore, &rc))
        return;
    if (rc != 0) {
        r->writing = false;
        end_receiving(e, rc == RECEIVED_FULL ? RAFT_SNAPSHOT_NO_ROOM : RAFT_SNAPSHOT_REFUSED,
                      r->chore.text[0] != '\0' ? r->chore.text
                      : rc < 0                 ? strerror(-rc)
                                               : "its copy is damaged");
        return;
    }
    if (r->phase == RECEIVE_CHECKING) {
        r->phase = RECEIVE_INSTALLING;
        r->again_us = now_us;
        return;
    }
    r->writing = false;
    r->written += r->in[1 - r->filling].len;
    buf_reset(&r->in[1 - r->filling], SNAP_IN_BYTES_MAX);
    say_where(e, r->written);
}

static void give_up(struct engine *e, const char *why)
{
    end_receiving(e, RAFT_SNAPSHOT_REFUSED, why);
}

static void refused(struct engine *e)
{
    const struct receiving *r = &e->snap.receiving;
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    if (r->meta.id.index < st.base.index)
        end_receiving(e, RAFT_SNAPSHOT_TOO_OLD, "it ends before the log begins here");
    else
        give_up(e, "it is of another log than what is committed here");
}

/* All is looked at again at the moment of the switch, not only at the first part (SNAP-1). */
static void install(struct engine *e, uint64_t now_us)
{
    struct receiving *r = &e->snap.receiving;

    if (now_us < r->again_us)
        return;
    if (raft_get_role(engine_raft(e)) == RAFT_LEADER) {
        give_up(e, "this node leads by now");
        return;
    }
    switch (replica_install(e->replica, r->meta.id, &r->meta.config, now_us)) {
    case RAFT_INSTALL_NOTHING:
        end_receiving(e, RAFT_SNAPSHOT_DONE, "");
        return;
    case RAFT_INSTALL_REFUSED:
        refused(e);
        return;
    case RAFT_INSTALL_LATER:
        r->again_us = now_us + SNAP_INSTALL_US;
        return;
    case RAFT_INSTALL_STATE:
    case RAFT_INSTALL_LOG:
        break;
    }
    r->phase = RECEIVE_SWITCHING;
    r->again_us = now_us;
}

static void switch_state(struct engine *e, uint64_t now_us)
{
    struct receiving *r = &e->snap.receiving;
    int rc;

    if (now_us < r->again_us || !replica_may_restore(e->replica) || e->reading)
        return;
    r->again_us = now_us + SNAP_INSTALL_US;
    if (!engine_copy_is_over(e))
        return;
    rc = e->state.switch_to(e->state.ctx);
    r->is_full = rc == KV_E_FULL; /* as an apply that finds no room (SPACE-6) */
    if (r->is_full) {
        r->again_us = now_us + STATE_RETRY_US;
        return;
    }
    if (rc != 0) {
        engine_fatal(e, rc, "cannot put the state of a snapshot in place");
        return;
    }
    r->is_prepared = false;
    engine_state_is_new(e);
    engine_restore_forget(e);
    engine_snapshots_have(e, &r->meta);
    e->snap.n_installed++;
    replica_restored(e->replica, now_us);
    engine_snapshots_prune(e);
    end_receiving(e, RAFT_SNAPSHOT_DONE, "");
}

void engine_receive_turn(struct engine *e, uint64_t now_us)
{
    struct receiving *r = &e->snap.receiving;

    take_chore(e, now_us);
    switch (r->phase) {
    case RECEIVE_NOT:
        break;
    case RECEIVE_PARTS:
        write_on(e);
        if (r->has_meta && r->written == r->bytes && !r->writing &&
            e->snap.restoring.phase == RESTORE_NOT && !e->snap.doubted)
            begin_check(e);
        else if (!is_busy(r) && now_us - r->heard_us > SNAP_SILENT_US) {
            forget(e);
            r->transfer = 0; /* of which nothing is there any more */
        }
        break;
    case RECEIVE_CHECKING:
        break;
    case RECEIVE_INSTALLING:
        install(e, now_us);
        break;
    case RECEIVE_SWITCHING:
        switch_state(e, now_us);
        break;
    }
}

bool engine_receive_holds_copy(const struct engine *e)
{
    return e->snap.receiving.phase >= RECEIVE_CHECKING;
}

uint64_t engine_receive_deadline_us(const struct engine *e)
{
    const struct receiving *r = &e->snap.receiving;

    return r->phase == RECEIVE_INSTALLING ||
                   (r->phase == RECEIVE_SWITCHING && replica_may_restore(e->replica))
               ? r->again_us
               : UINT64_MAX;
}

void engine_receive_stop(struct engine *e)
{
    forget(e);
}

/* Of the last one, until another is tried. NULL: it was not refused. */
static const char *refused_text(uint8_t status)
{
    if (status == RAFT_SNAPSHOT_NO_ROOM)
        return "refused: the disk has no room for it";
    return status == RAFT_SNAPSHOT_REFUSED ? "refused: it cannot be used" : NULL;
}

void engine_receive_status(const struct engine *e, struct wire_reply *w)
{
    static const char *const names[] = {[RECEIVE_PARTS] = "receiving",
                                        [RECEIVE_CHECKING] = "checking",
                                        [RECEIVE_INSTALLING] = "installing",
                                        [RECEIVE_SWITCHING] = "installing"};
    const struct receiving *r = &e->snap.receiving;
    const char *state = names[r->phase];
    uint64_t bytes_per_s;

    if (r->phase == RECEIVE_NOT && engine_now_us(e) - r->heard_us < 2ull * SNAP_AGAIN_US)
        state = refused_text(r->status);
    if (state == NULL || r->bytes == 0) {
        wire_reply_null(w, "receiving");
        return;
    }
    bytes_per_s = r->written * 1000000u / (engine_now_us(e) - r->began_us + 1);
    wire_reply_open_object(w, "receiving");
    wire_reply_str(w, "from", engine_name_of(e, r->from));
    wire_reply_u64(w, "index", r->has_meta ? r->meta.id.index : 0);
    wire_reply_u64(w, "percent", r->written * 100 / r->bytes);
    wire_reply_u64(w, "bytes", r->bytes);
    wire_reply_u64(w, "bytes_per_s", bytes_per_s);
    wire_reply_u64(w, "left_s", bytes_per_s != 0 ? (r->bytes - r->written) / bytes_per_s : 0);
    wire_reply_str(w, "state", state);
    wire_reply_close_object(w);
}
