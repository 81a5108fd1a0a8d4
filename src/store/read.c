/* Entries by index. The index gives a place at or before the wanted entry; from there the file is
 * read forward, every record checked, until the next point. Closed and active segments are read
 * through files of the reader's own, opened by name, so that nothing of the log thread is
 * touched; what is written meanwhile stands behind what is read. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "store/store_int.h"

#include "base/banned.h"

/* Entries from `next` to `end` stand one behind the other in one segment. */
struct run {
    uint32_t slot;
    uint64_t seq;
    uint64_t salt;
    uint64_t offset;
    raft_index next;
    raft_index end;
};

/* What read_run() still may hand out. */
struct sink {
    struct arena *arena;
    struct raft_entry *entries;
    unsigned n;
    unsigned n_max;
    size_t bytes;
    size_t bytes_max;
    bool full;
};

static int find_run(struct store *s, raft_index from, raft_index to, struct run *ret_run)
{
    const struct reader *rd = &s->rd;
    const struct index_point *p;
    raft_index next = 0;
    raft_index last;

    (void)pthread_mutex_lock(&s->lock);
    last = s->last_index;
    p = from <= last ? log_index_find(&s->index, from, &next) : NULL;
    if (p != NULL) {
        *ret_run = (struct run){.slot = p->slot,
                                .seq = store_slot(s, p->slot)->seq,
                                .salt = store_slot(s, p->slot)->salt,
                                .offset = p->offset,
                                .next = p->index,
                                .end = store_min_u64(to, next != 0 ? next - 1 : last)};
        /* Go on where the last read ended. A cursor that a truncation made stale stands before the
         * point that the truncation left, because nothing is ever written before what was. */
        if (rd->cursor_index == from && rd->cursor_slot == p->slot &&
            rd->cursor_offset > p->offset) {
            ret_run->offset = rd->cursor_offset;
            ret_run->next = from;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (p == NULL)
        return err_origin(err_say(
            -ERANGE, "no entry at index %" PRIu64 " in the log (last: %" PRIu64 ")", from, last));
    return 0;
}

static int open_slot(struct store *s, const struct run *run, struct vfs_file **ret_file)
{
    struct reader *rd = &s->rd;
    struct vfs *vfs = s->conf.vfs;
    struct read_file *oldest = &rd->files[0];
    char name[STORE_NAME_BYTES];
    int rc;

    rd->clock++;
    for (unsigned i = 0; i < STORE_READ_FILES_MAX; i++) {
        struct read_file *rf = &rd->files[i];

        if (rf->file != NULL && rf->slot == run->slot) {
            rf->used_at = rd->clock;
            *ret_file = rf->file;
            return 0;
        }
        if (rf->file == NULL ? oldest->file != NULL
                             : oldest->file != NULL && rf->used_at < oldest->used_at)
            oldest = rf;
    }
    if (oldest->file != NULL) {
        (void)vfs->close(vfs->ctx, oldest->file);
        oldest->file = NULL;
    }
    store_name_segment(name, run->seq);
    rc = vfs->open(vfs->ctx, name, O_RDONLY, &oldest->file);
    if (rc != 0) {
        oldest->file = NULL;
        return err_trace(rc);
    }
    oldest->slot = run->slot;
    oldest->used_at = rd->clock;
    *ret_file = oldest->file;
    return 0;
}

/* A window of the file around what is being read. */
struct window {
    struct vfs_file *file;
    uint64_t start;
    struct buf *buf;
};

/* At least n bytes of the file from offset on, or as many as there are. */
static int window_get(struct vfs *vfs, struct window *win, uint64_t offset, size_t n,
                      const unsigned char **ret_bytes, size_t *ret_avail)
{
    size_t want = n > STORE_READ_BYTES ? n : STORE_READ_BYTES;

    if (offset < win->start || offset + n > win->start + win->buf->len) {
        int64_t got;

        win->buf->len = 0;
        if (buf_reserve(win->buf, want) == NULL)
            return err_origin(-ENOMEM);
        got = vfs->pread(vfs->ctx, win->file, win->buf->data, want, offset);
        if (got < 0)
            return err_trace((int)got);
        win->buf->len = (size_t)got;
        win->start = offset;
    }
    *ret_bytes = win->buf->data + (offset - win->start);
    *ret_avail = win->buf->len - (size_t)(offset - win->start);
    return 0;
}

static int bad_record(const struct run *run, const char *what)
{
    return err_origin(
        err_say(-EBADMSG,
                "damaged log: '%016" PRIu64 ".wal' offset %" PRIu64 ", index %" PRIu64
                ": %s; evidence: it was durable; look with 'ridd --dump-log DIR', then see "
                "LOST DISK in ridd(8)",
                run->seq, run->offset, run->next, what));
}

static int read_record(struct store *s, struct window *win, const struct run *run,
                       struct record *ret_record)
{
    const unsigned char *bytes = NULL;
    size_t avail = 0;
    int rc = window_get(s->conf.vfs, win, run->offset, RECORD_HEADER_BYTES, &bytes, &avail);

    if (rc != 0)
        return err_trace(rc);
    rc = record_decode(bytes, avail, run->salt, run->offset, ret_record);
    if (rc == RECORD_E_LENGTH && ret_record->len <= RECORD_PAYLOAD_MAX) {
        rc = window_get(s->conf.vfs, win, run->offset, record_bytes(ret_record->len), &bytes,
                        &avail);
        if (rc != 0)
            return err_trace(rc);
        rc = record_decode(bytes, avail, run->salt, run->offset, ret_record);
    }
    return rc > 0 ? bad_record(run, record_error_text(rc)) : 0;
}

static int take_entry(struct sink *sink, const struct record *rec)
{
    unsigned char *data = NULL;

    if (sink->n == sink->n_max || (sink->n > 0 && sink->bytes + rec->len > sink->bytes_max)) {
        sink->full = true;
        return 0;
    }
    if (rec->len > 0) {
        data = arena_alloc(sink->arena, rec->len);
        if (data == NULL)
            return err_origin(-ENOMEM);
        memcpy(data, rec->data, rec->len);
    }
    sink->entries[sink->n++] = (struct raft_entry){.id = {.term = rec->term, .index = rec->index},
                                                   .type = (enum raft_entry_type)rec->flags,
                                                   .len = rec->len,
                                                   .data = data};
    sink->bytes += rec->len;
    return 0;
}

/* Hands out entries from `from` to run->end. */
static int read_run(struct store *s, struct run *run, raft_index from, struct sink *sink)
{
    struct window win = {.buf = &s->rd.buf};
    int rc = open_slot(s, run, &win.file);

    if (rc != 0)
        return err_trace(rc);
    win.buf->len = 0;
    win.start = run->offset;
    while (run->next <= run->end) {
        struct record rec = {0};

        rc = read_record(s, &win, run, &rec);
        if (rc != 0)
            return err_trace(rc);
        if (rec.type == RECORD_TRUNCATE || rec.type == RECORD_SEGMENT_END)
            return bad_record(run, "the entry is not where it was written");
        if (rec.type == RECORD_ENTRY) {
            if (rec.index != run->next || rec.group != s->conf.group ||
                rec.flags < RAFT_ENTRY_NOOP || rec.flags > RAFT_ENTRY_READ ||
                rec.len > ENTRY_BYTES_MAX)
                return bad_record(run, "another entry stands there");
            if (rec.index >= from) {
                rc = take_entry(sink, &rec);
                if (rc != 0 || sink->full)
                    return err_trace(rc);
            }
            run->next++;
        }
        run->offset += record_bytes(rec.len);
    }
    return 0;
}

/* ---- files that are of the log no more ---- */

bool store_read_is_stale(struct store *s)
{
    bool is_stale;

    (void)pthread_mutex_lock(&s->lock);
    is_stale = s->oldest_read < s->first_slot + s->n_gone;
    (void)pthread_mutex_unlock(&s->lock);
    return is_stale;
}

/* Kept open they would keep their room on the disk, and whoever compacts does it for the room. */
void store_read_forget(struct store *s)
{
    struct vfs *vfs = s->conf.vfs;
    uint32_t oldest = UINT32_MAX;
    uint32_t first;

    (void)pthread_mutex_lock(&s->lock);
    first = s->first_slot + s->n_gone;
    (void)pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < STORE_READ_FILES_MAX; i++) {
        struct read_file *rf = &s->rd.files[i];

        if (rf->file != NULL && rf->slot < first)
            (void)vfs->close(vfs->ctx, take_ptr(rf->file));
        if (rf->file != NULL && rf->slot < oldest)
            oldest = rf->slot;
    }
    (void)pthread_mutex_lock(&s->lock);
    s->oldest_read = oldest;
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- the whole of it ---- */

static int read_entries(struct store *s, raft_index from, raft_index to, struct sink *sink)
{
    const unsigned n_max = sink->n_max;
    raft_index next = from;

    while (next <= to && !sink->full && sink->n < n_max) {
        struct run run = {0};
        int rc;

        (void)pthread_mutex_lock(&s->lock);
        if (next > from && next > s->last_index)
            to = s->last_index; /* all that is durable has been handed out */
        (void)pthread_mutex_unlock(&s->lock);
        if (next > to)
            break;
        rc = find_run(s, next, to, &run);
        if (rc == 0)
            rc = read_run(s, &run, next, sink);
        if (rc != 0)
            return err_trace(rc);
        next = run.next;
        s->rd.cursor_index = run.next;
        s->rd.cursor_slot = run.slot;
        s->rd.cursor_offset = (uint32_t)run.offset;
    }
    return 0;
}

struct log_front {
    raft_index base;
    uint64_t n_resets;
};

static struct log_front front_now(struct store *s)
{
    struct log_front front;

    (void)pthread_mutex_lock(&s->lock);
    front = (struct log_front){s->base.index, s->n_resets};
    (void)pthread_mutex_unlock(&s->lock);
    return front;
}

/* The front may go while the file is read, by what two other threads do: then what was found of it,
 * or not found, says nothing (DISK-42). After a reset the entries are others (DISK-43). */
int store_read(struct store *s, raft_index from, raft_index to, size_t bytes_max,
               struct arena *arena, struct raft_entry *ret_entries, unsigned n_max, unsigned *ret_n)
{
    struct log_front before = front_now(s);
    struct sink sink;
    int rc;

    rid_assert(from >= 1);
    rid_assert(from <= to);
    rid_assert(n_max > 0);
    for (;;) {
        struct log_front after;

        if (from <= before.base) {
            store_read_forget(s);
            return STORE_E_COMPACTED;
        }
        sink = (struct sink){
            .arena = arena, .entries = ret_entries, .n_max = n_max, .bytes_max = bytes_max};
        rc = read_entries(s, from, to, &sink);
        after = front_now(s);
        if (from > after.base && after.n_resets == before.n_resets)
            break;
        err_reset();
        before = after;
    }
    buf_reset(&s->rd.buf, (size_t)4 * STORE_READ_BYTES);
    store_read_forget(s);
    if (rc != 0)
        return err_trace(rc);
    *ret_n = sink.n;
    return 0;
}
