/* A leader brings a snapshot to a follower that needs what is no longer in the log, or that has
 * lost its state and has nothing to make it of.
 *
 * Cut into parts, on the connection of the log, with so much under way as fits two blocks that the
 * bench reads ahead (SNAP-10). The transfer has a number drawn at random, and goes on where it
 * was when the link is back: what is not answered for a second is asked about, and the answer says
 * where to go on. A follower that has another number in hand begins anew.
 *
 * match_index is none of this: it moves when the follower acknowledges, as for any append (SNAP-3).
 * A snapshot that came to nothing is followed by the next one after a pause, so that nobody is
 * chased without end.
 *
 * An open transfer holds a file that could go, and with it the log behind it (SNAP-7). So it is
 * open only for a member that needs it and answers: for one that was removed, that is silent for as
 * long as a receiver keeps what it has, or that is away while the log has gone on beyond the
 * snapshot, nothing is kept; it gets the newest when it is back (SNAP-25). */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"
#include "engine/engine_int.h"
#include "wire/frame.h"
#include "wire/reply.h"

#include "base/banned.h"

static struct sending *sending_to(struct engine *e, raft_node_id id, bool make)
{
    struct sending *unused = NULL;

    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        struct sending *s = &e->snap.sendings[i];

        if (s->to == id)
            return s;
        if (s->to == 0 && unused == NULL && !chore_is_busy(&s->chore))
            unused = s;
    }
    if (make && unused != NULL)
        unused->to = id;
    return make ? unused : NULL;
}

static void close_sending(struct sending *s)
{
    rid_assert(!chore_is_busy(&s->chore));
    if (s->reader != NULL)
        engine_snapshots_prune(s->engine); /* it may have been spared for this */
    snap_reader_drop(s->reader);
    s->reader = NULL;
    for (unsigned i = 0; i < SNAP_SEND_BLOCKS; i++) {
        free(s->blocks[i].data);
        s->blocks[i] = (struct send_block){0};
    }
    buf_done(&s->head);
    buf_init(&s->head);
    s->is_open = s->is_ready = s->is_read_again = false;
}

static void free_sending(struct sending *s)
{
    close_sending(s);
    s->to = 0;
    s->wants = false;
    s->next_us = 0;
    s->above = 0;
    s->status = RAFT_SNAPSHOT_GO_ON;
    s->n_refused = 0;
}

/* ---- on the bench ---- */

/* Length, trailer, then the copy: one row of bytes. */
static int read_whole(struct sending *s, unsigned char *p, size_t n, uint64_t offset)
{
    if (offset < s->head.len) {
        const size_t part = n < s->head.len - offset ? n : (size_t)(s->head.len - offset);

        memcpy(p, s->head.data + offset, part);
        p += part;
        n -= part;
        offset += part;
    }
    return n > 0 ? snap_reader_read(s->reader, p, n, offset - s->head.len) : 0;
}

static int run_read(void *ctx)
{
    struct sending *s = ctx;
    struct send_block *b = &s->blocks[s->reading];
    int rc = read_whole(s, b->data, s->reading_len, b->offset);

    return rc < 0 ? err_trace(rc) : rc;
}

static int open_reader(struct engine *e, struct sending *s)
{
    unsigned char length[SNAP_HEAD_BYTES] = {0};
    const struct snap_meta *m;
    int rc = snap_reader_new(e->snap.folder, s->id, &s->reader);

    if (rc != 0)
        return rc < 0 ? err_trace(rc) : rc;
    m = snap_reader_meta(s->reader);
    buf_reset(&s->head, 0);
    rc = buf_add(&s->head, length, sizeof(length));
    if (rc == 0)
        rc = snap_meta_encode(m, &s->head);
    for (unsigned i = 0; rc == 0 && i < SNAP_SEND_BLOCKS; i++) {
        s->blocks[i].data = malloc(SNAP_BLOCK_BYTES);
        rc = s->blocks[i].data == NULL ? -ENOMEM : 0;
    }
    if (rc != 0)
        return err_origin(rc);
    put_u32(s->head.data, (uint32_t)(s->head.len - SNAP_HEAD_BYTES));
    s->bytes = s->head.len + m->body_bytes;
    return 0;
}

static int run_open(void *ctx)
{
    struct sending *s = ctx;

    return open_reader(s->engine, s);
}

static int run_check(void *ctx)
{
    struct sending *s = ctx;
    int rc = snap_check(s->engine->snap.folder, s->id);

    return rc < 0 ? err_trace(rc) : rc;
}

/* ---- begin and end ---- */

/* What cannot be read, or was of no use elsewhere, may have been spoilt here since it was made:
 * then it goes to nobody any more, and another is made, of the same entry if need be. */
static void read_again(struct engine *e, struct sending *s)
{
    s->engine = e;
    s->is_read_again = true;
    chores_add(e->snap.bench, &s->chore, run_check, s);
}

static void was_read_again(struct engine *e, struct sending *s, int rc)
{
    s->is_read_again = false;
    if (rc <= 0)
        return;
    if (engine_logs(e))
        log_event(LOG_WARNING, "snapshot_unusable", "index=%llu why=\"%s\" action=make_another",
                  (unsigned long long)s->id.index, s->chore.text);
    engine_snapshots_lost(e);
}

/* Only what is not in doubt is given away. Who may be wrong gives what was made before states began
 * to differ: without it a voter that is needed to say who is right might never come to say it
 * (SNAP-12). */
static bool is_in_doubt(const struct engine *e, struct raft_entry_id id)
{
    return e->differ.differs && id.index > engine_agreed_index(e);
}

/* The newest that may be given away. One that ends before the log begins is of no use: its receiver
 * would need entries again that are gone. False: there is none. */
static bool choose(const struct engine *e, const struct sending *s, struct snap_meta *ret)
{
    struct snap_meta list[SNAP_LIST_MAX];
    const unsigned n = snap_list(e->snap.folder, list, SNAP_LIST_MAX);

    for (unsigned i = 0; i < n; i++) {
        if (list[i].id.index > e->snap.newest.index || is_in_doubt(e, list[i].id) ||
            !engine_snapshot_is_of_log(e, list[i].id))
            continue;
        *ret = list[i];
        return ret->id.index > s->above;
    }
    return false;
}

static void begin_sending(struct engine *e, struct sending *s, uint64_t now_us)
{
    struct snap_meta m;

    if (!choose(e, s, &m)) {
        if (!e->snap.making.wanted && !chore_is_busy(&e->snap.making.chore))
            (void)engine_make_snapshot(e);
        s->next_us = now_us + SNAP_LOOK_US;
        return;
    }
    s->engine = e;
    s->id = m.id;
    s->is_open = true;
    s->is_ready = false;
    s->transfer = prng_next(&e->snap.prng) | 1;
    s->bytes = 0;
    s->sent = s->acked = s->read_to = s->began_at = 0;
    s->status = RAFT_SNAPSHOT_GO_ON;
    s->asks = false;
    s->heard_us = s->began_us = now_us;
    s->asked_us = 0;
    s->next_us = now_us;
    chores_add(e->snap.bench, &s->chore, run_open, s);
    if (engine_logs(e))
        log_event(LOG_INFO, "snapshot_sending", "to=%s index=%llu bytes=%llu",
                  engine_name_of(e, s->to), (unsigned long long)s->id.index,
                  (unsigned long long)m.body_bytes);
}

static const char *status_text(uint8_t status)
{
    switch ((enum raft_snapshot_status)status) {
    case RAFT_SNAPSHOT_GO_ON:
        return "receiving";
    case RAFT_SNAPSHOT_CHECKING:
        return "checking";
    case RAFT_SNAPSHOT_DONE:
        return "done";
    case RAFT_SNAPSHOT_REFUSED:
        return "refused: it cannot be used there";
    case RAFT_SNAPSHOT_NO_ROOM:
        return "refused: its disk is full";
    case RAFT_SNAPSHOT_TOO_OLD:
        return "refused: it ends before the log begins there";
    case RAFT_SNAPSHOT_STATUSES:
        break;
    }
    return "unknown";
}

static void end_sending(struct engine *e, struct sending *s, uint64_t now_us)
{
    const bool done = s->status == RAFT_SNAPSHOT_DONE;

    if (engine_logs(e))
        log_event(done ? LOG_INFO : LOG_WARNING, done ? "snapshot_sent" : "snapshot_not_sent",
                  "to=%s index=%llu ms=%llu why='%s'", engine_name_of(e, s->to),
                  (unsigned long long)s->id.index,
                  (unsigned long long)(now_us - s->began_us) / 1000, status_text(s->status));
    e->snap.n_sent += done;
    s->n_refused = done ? 0 : s->n_refused + 1;
    s->refused = s->status;
    if (s->status == RAFT_SNAPSHOT_TOO_OLD)
        s->above = s->id.index;
    close_sending(s);
    if (s->status == RAFT_SNAPSHOT_REFUSED)
        read_again(e, s); /* what rots here is refused there for ever (SNAP-17) */
    /* When it is done, what the follower says with its notes and acknowledgements may still be from
     * before. */
    s->next_us = now_us + (done ? SNAP_ASK_US : SNAP_AGAIN_US);
}

/* ---- the turn ---- */

static bool is_connected(const struct engine *e, raft_node_id id)
{
    return e->ops.peer_connected == NULL || e->ops.peer_connected(e->ops.ctx, id);
}

static bool can_take(const struct engine *e, raft_node_id id)
{
    return e->ops.peer_version == NULL ||
           e->ops.peer_version(e->ops.ctx, id) >= WIRE_VERSION_SNAPSHOTS;
}

static bool may_send(const struct engine *e)
{
    return raft_get_role(engine_raft(e)) == RAFT_LEADER &&
           raft_get_fitness(engine_raft(e)) != RAFT_UNFIT;
}

static void send_part(struct engine *e, struct sending *s, uint64_t offset, const void *data,
                      size_t n)
{
    const struct raft_snapshot_part part = {.transfer = s->transfer,
                                            .offset = offset,
                                            .bytes = s->bytes,
                                            .len = (uint32_t)n,
                                            .data = n > 0 ? data : NULL};
    const struct raft_msg m = {.type = RAFT_MSG_SNAPSHOT,
                               .group = replica_group(e->replica),
                               .from = e->id,
                               .to = s->to,
                               .term = raft_get_term(engine_raft(e)),
                               .part = &part};

    e->ops.send(e->ops.ctx, &m);
}

static struct send_block *block_at(struct sending *s, uint64_t offset)
{
    for (unsigned i = 0; i < SNAP_SEND_BLOCKS; i++)
        if (s->blocks[i].len > 0 && s->blocks[i].offset <= offset &&
            offset - s->blocks[i].offset < s->blocks[i].len)
            return &s->blocks[i];
    return NULL;
}

/* It goes on somewhere that is not in memory any more. */
static void go_back(struct sending *s)
{
    if (s->sent >= s->read_to || block_at(s, s->sent) != NULL)
        return;
    for (unsigned i = 0; i < SNAP_SEND_BLOCKS; i++)
        s->blocks[i].len = 0;
    s->read_to = s->sent;
}

/* A block whose bytes are all acknowledged is read anew, one at a time. */
static void read_ahead(struct engine *e, struct sending *s)
{
    if (chore_is_busy(&s->chore))
        return;
    go_back(s);
    if (s->read_to >= s->bytes)
        return;
    for (unsigned i = 0; i < SNAP_SEND_BLOCKS; i++) {
        struct send_block *b = &s->blocks[i];

        if (b->len > 0 && b->offset + b->len > s->acked)
            continue;
        *b = (struct send_block){.offset = s->read_to, .data = b->data};
        s->reading = i;
        s->reading_len = s->bytes - s->read_to < SNAP_BLOCK_BYTES ? (size_t)(s->bytes - s->read_to)
                                                                  : SNAP_BLOCK_BYTES;
        chores_add(e->snap.bench, &s->chore, run_read, s);
        return;
    }
}

/* What is read and not sent, as fast as it may go. */
static void send_ahead(struct engine *e, struct sending *s, uint64_t now_us)
{
    const uint64_t bytes_per_s = (uint64_t)e->snap.conf.mib_per_s << 20;
    struct send_block *b;

    while (now_us >= s->next_us && (b = block_at(s, s->sent)) != NULL) {
        const size_t at = (size_t)(s->sent - b->offset);
        const size_t n = b->len - at < SNAP_PART_BYTES_MAX ? b->len - at : SNAP_PART_BYTES_MAX;

        send_part(e, s, s->sent, b->data + at, n);
        s->sent += n;
        if (bytes_per_s != 0)
            s->next_us += n * 1000000u / bytes_per_s;
    }
    /* Time in which there was nothing to send is not made up for. */
    if (s->next_us + SNAP_LOOK_US < now_us)
        s->next_us = now_us;
}

static void ask(struct engine *e, struct sending *s, uint64_t now_us)
{
    if (now_us < s->heard_us + SNAP_ASK_US || now_us < s->asked_us + SNAP_ASK_US)
        return;
    s->asks = true;
    s->asked_us = now_us;
    send_part(e, s, s->acked, NULL, 0);
}

static void take_chore(struct engine *e, struct sending *s, uint64_t now_us)
{
    int rc;

    if (!chore_take(&s->chore, &rc))
        return;
    if (s->is_read_again)
        was_read_again(e, s, rc);
    if (!s->is_open)
        return; /* of one that ended meanwhile */
    if (rc == 0 && !s->is_ready) {
        s->is_ready = true;
        s->heard_us = now_us; /* the bench may have had other work for long */
        return;
    }
    if (rc == 0) {
        s->blocks[s->reading].len = s->reading_len;
        s->read_to = s->blocks[s->reading].offset + s->reading_len;
        return;
    }
    if (engine_logs(e))
        log_event(LOG_WARNING, "snapshot_unreadable", "index=%llu why=\"%s\" action=read_again",
                  (unsigned long long)s->id.index, s->chore.text);
    close_sending(s);
    read_again(e, s);
    s->next_us = now_us + SNAP_AGAIN_US;
}

/* It needs none any more. The pause after one that is done stands in here, so that is kept to its
 * end: what the follower said before it was done may come after. */
static void end_wish(const struct engine *e, struct sending *s, uint64_t now_us)
{
    if (s->is_open || now_us >= s->next_us || !may_send(e))
        free_sending(s);
}

/* What a member said last is no wish any more when it was removed since. */
static bool needs_one(const struct engine *e, const struct sending *s)
{
    if (raft_configuration_get(raft_get_configuration(engine_raft(e)), s->to) == NULL)
        return false;
    return s->wants || raft_needs_snapshot(engine_raft(e), s->to);
}

/* For so long a receiver keeps what it has got (receive.c): behind that it begins anew anyway. */
static bool is_silent(const struct sending *s, uint64_t now_us)
{
    return now_us - s->heard_us > SNAP_SILENT_US;
}

/* The log has gone on beyond it: who has it would need the next one at once. Whoever is there may
 * have it to its end, for an end comes nearer with each part, and a link that broke comes back
 * (SNAP-10); who stays away begins anew. */
static bool is_overtaken(const struct engine *e, const struct sending *s, uint64_t now_us)
{
    return !engine_snapshot_is_of_log(e, s->id) && !is_connected(e, s->to) &&
           now_us - s->heard_us > SNAP_AWAY_US;
}

/* Nothing is kept for who is not there to take it (SNAP-25). */
static void let_go(struct engine *e, struct sending *s, uint64_t now_us)
{
    if (engine_logs(e))
        log_event(LOG_WARNING, "snapshot_not_sent", "to=%s index=%llu ms=%llu why='%s'",
                  engine_name_of(e, s->to), (unsigned long long)s->id.index,
                  (unsigned long long)(now_us - s->began_us) / 1000,
                  is_silent(s, now_us) ? "it does not answer" : "it is away, and the log went on");
    close_sending(s);
    s->next_us = now_us + SNAP_AGAIN_US;
}

static void one_turn(struct engine *e, struct sending *s, uint64_t now_us)
{
    take_chore(e, s, now_us);
    if (!may_send(e) || !needs_one(e, s)) {
        if (!chore_is_busy(&s->chore))
            end_wish(e, s, now_us);
        return;
    }
    if (s->is_open && is_in_doubt(e, s->id) && !chore_is_busy(&s->chore)) {
        close_sending(s);
        s->next_us = now_us + SNAP_LOOK_US;
    }
    if (s->is_open && (is_silent(s, now_us) || is_overtaken(e, s, now_us)) &&
        !chore_is_busy(&s->chore))
        let_go(e, s, now_us);
    if (!is_connected(e, s->to) || !can_take(e, s->to))
        return;
    if (!s->is_open) {
        if (now_us >= s->next_us && !chore_is_busy(&s->chore))
            begin_sending(e, s, now_us);
        return;
    }
    if (!s->is_ready)
        return;
    if (s->status == RAFT_SNAPSHOT_GO_ON) {
        read_ahead(e, s);
        send_ahead(e, s, now_us);
    }
    ask(e, s, now_us);
}

void engine_send_turn(struct engine *e, uint64_t now_us)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));

    for (unsigned i = 0; may_send(e) && i < c->n; i++)
        if (raft_needs_snapshot(engine_raft(e), c->servers[i].id))
            (void)sending_to(e, c->servers[i].id, true);
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++)
        if (e->snap.sendings[i].to != 0)
            one_turn(e, &e->snap.sendings[i], now_us);
}

uint64_t engine_send_deadline_us(const struct engine *e)
{
    uint64_t due = UINT64_MAX;

    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        const struct sending *s = &e->snap.sendings[i];

        if (s->to == 0 || chore_is_busy(&s->chore))
            continue;
        if (s->is_open && s->heard_us + SNAP_SILENT_US + 1 < due)
            due = s->heard_us + SNAP_SILENT_US + 1;
        if (!is_connected(e, s->to))
            continue;
        if (s->is_open && s->asked_us + SNAP_ASK_US < due)
            due = s->heard_us > s->asked_us ? s->heard_us + SNAP_ASK_US : s->asked_us + SNAP_ASK_US;
        if ((!s->is_open || (s->status == RAFT_SNAPSHOT_GO_ON && s->sent < s->read_to)) &&
            s->next_us < due)
            due = s->next_us;
    }
    return due;
}

/* ---- what comes back ---- */

/* What was said before a question was asked tells nothing of where to go on; the links keep the
 * order. */
static void take_answer(struct sending *s, const struct raft_snapshot_part *part)
{
    const bool falls = part->offset < s->acked;

    if (part->offset > s->bytes || part->offset > s->sent)
        return; /* that was never sent */
    if (part->offset > s->acked)
        s->acked = part->offset;
    if (!s->asks && !falls)
        return;
    s->asks = false;
    s->acked = s->sent = part->offset;
}

void engine_send_answer(struct engine *e, const struct raft_msg *m)
{
    const uint64_t now_us = engine_now_us(e);
    struct sending *s;

    if (e->snap.folder == NULL || m->part == NULL)
        return;
    s = sending_to(e, m->from, false);
    if (s == NULL || !s->is_ready || m->part->transfer != s->transfer)
        return;
    s->heard_us = now_us;
    s->status = m->part->status;
    if (s->status > RAFT_SNAPSHOT_CHECKING && !chore_is_busy(&s->chore)) {
        if (s->status == RAFT_SNAPSHOT_DONE)
            s->wants = false; /* until it says so again */
        end_sending(e, s, now_us);
        return;
    }
    take_answer(s, m->part);
}

void engine_send_heard(struct engine *e, raft_node_id from, uint32_t flags)
{
    const bool wants = (flags & NOTE_WANTS_SNAPSHOT) != 0;
    struct sending *s;

    if (e->snap.folder == NULL)
        return;
    s = sending_to(e, from, wants);
    if (s != NULL)
        s->wants = wants;
}

raft_index engine_send_floor(const struct engine *e)
{
    raft_index floor = 0;

    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        const struct sending *s = &e->snap.sendings[i];

        if (s->to != 0 && s->is_open && (floor == 0 || s->id.index < floor))
            floor = s->id.index;
    }
    return floor;
}

void engine_send_stop(struct engine *e)
{
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++)
        free_sending(&e->snap.sendings[i]);
}

/* Between two tries nothing is on its way, and what came of the last ones is told all the same. */
static void one_status(const struct engine *e, const struct sending *s, struct wire_reply *w)
{
    const uint64_t us = engine_now_us(e) - s->began_us + 1;
    const uint64_t bytes = s->is_ready ? s->bytes : 0;
    const uint64_t acked = s->is_ready ? s->acked : 0;
    const uint64_t bytes_per_s = s->is_ready ? (acked - s->began_at) * 1000000u / us : 0;

    wire_reply_open_object(w, NULL);
    wire_reply_str(w, "to", engine_name_of(e, s->to));
    wire_reply_u64(w, "index", s->id.index);
    wire_reply_u64(w, "percent", bytes != 0 ? acked * 100 / bytes : 0);
    wire_reply_u64(w, "bytes", bytes);
    wire_reply_u64(w, "bytes_per_s", bytes_per_s);
    wire_reply_u64(w, "left_s", bytes_per_s != 0 ? (bytes - acked) / bytes_per_s : 0);
    wire_reply_str(w, "state",
                   s->is_ready || s->status > RAFT_SNAPSHOT_DONE ? status_text(s->status)
                                                                 : "waiting");
    wire_reply_u64(w, "refused", s->n_refused);
    wire_reply_str(w, "refused_why", s->n_refused > 0 ? status_text(s->refused) : NULL);
    wire_reply_close_object(w);
}

void engine_send_status(const struct engine *e, struct wire_reply *w)
{
    wire_reply_open_array(w, "sending");
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        const struct sending *s = &e->snap.sendings[i];

        /* One that came to nothing is shown until the next is tried. */
        if (s->to != 0 && (s->is_ready || s->n_refused > 0 || s->status > RAFT_SNAPSHOT_DONE))
            one_status(e, s, w);
    }
    wire_reply_close_array(w);
}
