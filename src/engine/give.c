/* Parts of a snapshot for clients: the copy as it stands in its file, and behind it a trailer of
 * its own, without what only members may know (SNAP-16, MEMBER-16). It is the same whenever it is
 * made, so that whoever goes on later has one whole.
 *
 * One reader is open at a time, and one part is read at a time, on the bench: a request waits for
 * it, and so do those behind it. Nothing is remembered of a client: whoever asks says which
 * snapshot and from where on, and what was read for one that is gone is dropped when another part
 * is asked for. While a reader is open its snapshot is not pruned, so that a client that goes on
 * asking has it to its end; it is closed some seconds after the last question.
 *
 * As many bytes a second as a snapshot is made or sent with: this, too, is work that nobody who
 * writes should notice. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/base64.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

/* ---- on the bench ---- */

static struct raft_entry_id id_of(const struct wire_part *p)
{
    return (struct raft_entry_id){.index = p->index, .term = p->term};
}

static bool is_open(const struct giving *g)
{
    const struct raft_entry_id wanted = id_of(&g->of);
    struct raft_entry_id open;

    if (g->reader == NULL)
        return false;
    open = snap_reader_meta(g->reader)->id;
    return open.index == wanted.index && open.term == wanted.term;
}

static void close_reader(struct giving *g)
{
    snap_reader_drop(g->reader);
    g->reader = NULL;
}

/* What is wrong with a snapshot is one thing here; each module numbers its outcomes for itself. */
static int of_snap(int rc)
{
    if (rc <= 0)
        return rc;
    return rc == SNAP_E_MISSING ? SERVICE_PART_MISSING : SERVICE_PART_FAILED;
}

/* By the random id whoever knows it is a member's equal, and whoever reaches this port may be
 * anybody (MEMBER-16, PEER-7). */
static int make_trailer(struct giving *g)
{
    struct snap_meta m = *snap_reader_meta(g->reader);

    snap_meta_give(&m);
    return snap_meta_encode(&m, &g->trailer);
}

static int open_reader(struct giving *g)
{
    int rc;

    close_reader(g);
    buf_reset(&g->trailer, 0);
    rc = of_snap(snap_reader_new(g->folder, id_of(&g->of), &g->reader));
    if (rc == 0)
        rc = make_trailer(g);
    return rc;
}

/* The copy, then the trailer: one row of bytes. */
static int read_whole(struct giving *g)
{
    const uint64_t body = snap_reader_meta(g->reader)->body_bytes;
    const uint64_t offset = g->of.offset;
    size_t n = 0;
    int rc;

    if (offset < body) {
        n = body - offset < g->len ? (size_t)(body - offset) : g->len;
        rc = of_snap(snap_reader_read(g->reader, g->block, n, offset));
        if (rc != 0)
            return rc;
    }
    if (n < g->len)
        memcpy(g->block + n, g->trailer.data + (size_t)(offset + n - body), g->len - n);
    return 0;
}

static int read_part(struct giving *g)
{
    uint64_t left;
    int rc = is_open(g) ? 0 : open_reader(g);

    if (rc != 0)
        return rc;
    g->bytes = snap_reader_meta(g->reader)->body_bytes + g->trailer.len;
    if (g->of.offset > g->bytes)
        return SERVICE_PART_BEYOND;
    left = g->bytes - g->of.offset;
    g->len = left < SNAP_PART_BYTES_MAX ? (size_t)left : SNAP_PART_BYTES_MAX;
    if (g->block == NULL)
        g->block = malloc(SNAP_PART_BYTES_MAX);
    if (g->block == NULL)
        return err_origin(-ENOMEM);
    rc = read_whole(g);
    if (rc != 0)
        return rc;
    g->crc = crc32c(0, g->block, g->len);
    buf_reset(&g->text, SIZE_MAX);
    return base64_encode(g->block, g->len, &g->text);
}

static int run_read(void *ctx)
{
    int rc = read_part(ctx);

    return rc < 0 ? err_trace(rc) : rc;
}

static int run_close(void *ctx)
{
    close_reader(ctx);
    return 0;
}

/* ---- in the loop ---- */

static void begin_reading(struct engine *e, const struct wire_part *of)
{
    struct giving *g = &e->snap.giving;

    g->is_there = false;
    g->of = *of;
    g->folder = e->snap.folder;
    chores_add(e->snap.bench, &g->chore, run_read, g);
}

/* A chore that closed has nothing to say. */
static void take_chore(struct giving *g)
{
    const bool read = g->chore.run == run_read;
    int rc;

    if (!chore_take(&g->chore, &rc) || !read)
        return;
    g->is_there = true;
    g->rc = rc;
}

static bool is_it(const struct giving *g, const struct wire_part *of)
{
    return g->is_there && g->of.index == of->index && g->of.term == of->term &&
           g->of.offset == of->offset;
}

static void say_unreadable(const struct engine *e, const struct giving *g)
{
    if (engine_logs(e))
        log_event(LOG_WARNING, "snapshot_unreadable", "index=%llu why=\"%s\" action=refuse",
                  (unsigned long long)g->of.index, g->chore.text);
}

/* Once: the next one who asks has it read anew. */
static int hand_out(struct engine *e, struct service_part *part)
{
    const uint64_t bytes_per_s = (uint64_t)e->snap.conf.mib_per_s << 20;
    struct giving *g = &e->snap.giving;

    g->is_there = false;
    if (g->rc != 0) {
        if (g->rc < 0 || g->rc == SERVICE_PART_FAILED)
            say_unreadable(e, g);
        part->why = (struct wire_slice){g->chore.text, strlen(g->chore.text)};
        return g->rc > 0 ? g->rc : SERVICE_PART_FAILED;
    }
    part->bytes = g->bytes;
    part->len = g->len;
    part->crc = g->crc;
    part->text = (struct wire_slice){(char *)g->text.data, g->text.len};
    /* On the mean, but time in which nobody asked is not made up for. */
    if (g->next_us + SNAP_LOOK_US < g->used_us)
        g->next_us = g->used_us;
    if (bytes_per_s != 0)
        g->next_us += g->len * 1000000u / bytes_per_s;
    return 0;
}

/* Who is wrong, or may be, gives nothing (SNAP-12). */
static bool is_in_doubt(const struct engine *e)
{
    return raft_get_fitness(engine_raft(e)) == RAFT_UNFIT || e->differ.differs;
}

int engine_give(struct engine *e, struct service_part *part)
{
    static const char doubt[] = "the state of this node is not to be trusted now";
    struct giving *g = &e->snap.giving;

    if (e->snap.folder == NULL)
        return SERVICE_PART_NONE;
    if (is_in_doubt(e)) {
        part->why = (struct wire_slice){doubt, sizeof(doubt) - 1};
        return SERVICE_PART_FAILED;
    }
    if (part->of.index == 0) {
        part->of.index = e->snap.newest.index;
        part->of.term = e->snap.newest.term;
    }
    if (part->of.index == 0)
        return SERVICE_PART_MISSING;
    g->used_us = engine_now_us(e);
    g->waits = false;
    take_chore(g);
    if (is_it(g, &part->of))
        return hand_out(e, part);
    if (chore_is_busy(&g->chore))
        return SERVICE_PART_LATER;
    if (g->used_us < g->next_us)
        g->waits = true;
    else
        begin_reading(e, &part->of);
    return SERVICE_PART_LATER;
}

void engine_give_turn(struct engine *e, uint64_t now_us)
{
    struct giving *g = &e->snap.giving;

    if (chore_is_busy(&g->chore))
        return;
    if (!chore_is_idle(&g->chore) && g->chore.run == run_close)
        engine_snapshots_prune(e); /* it may have been spared for this */
    take_chore(g);
    /* Who waited for this time has asked in this turn, or is gone. */
    if (now_us >= g->next_us)
        g->waits = false;
    if (now_us < g->used_us + SNAP_GIVE_IDLE_US)
        return;
    g->is_there = false;
    if (g->reader != NULL)
        chores_add(e->snap.bench, &g->chore, run_close, g);
}

/* The reader is the chore's while that is busy. */
uint64_t engine_give_deadline_us(const struct engine *e)
{
    const struct giving *g = &e->snap.giving;

    if (chore_is_busy(&g->chore))
        return UINT64_MAX;
    if (g->waits)
        return g->next_us;
    return g->reader != NULL ? g->used_us + SNAP_GIVE_IDLE_US : UINT64_MAX;
}

void engine_give_stop(struct engine *e)
{
    struct giving *g = &e->snap.giving;

    rid_assert(!chore_is_busy(&g->chore));
    close_reader(g);
    buf_done(&g->trailer);
    buf_done(&g->text);
    free(g->block);
    *g = (struct giving){0};
}
