/* store: marks, the front of the log that goes (DISK-42), the log that is reset (DISK-43). The power
 * losses in between are in test-store-front-crash.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
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
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "store/log_thread.h"
#include "store/read_thread.h"
#include "unit/store-forge.h"
#include "unit/store-model.h"
#include "unit/temp-folder.h"

#define CALLS_MAX 64

struct log {
    struct fake_disk *disk;
    struct vfs vfs; /* of the disk, with a pread() of our own */
    struct store_conf conf;
    struct store *store;
    struct store_recovered rec;
    struct raft_config_at config;
    raft_index last;
    raft_term term;
    raft_node_id vote;
    uint64_t lease_us;
    bool bare; /* submissions say no hard state */
    uint64_t number;
    /* What the next pread() does in the middle of it. */
    void (*in_read)(struct log *l);
    /* The changing calls. */
    char calls[CALLS_MAX][STORE_NAME_BYTES + 16];
    unsigned n_calls;
};

static struct log *reading;

static int64_t log_pread(void *ctx, struct vfs_file *f, void *buf, size_t n, uint64_t offset)
{
    struct log *l = reading;
    struct vfs *inner = fake_disk_vfs(l->disk);
    int64_t got = inner->pread(inner->ctx, f, buf, n, offset);

    (void)ctx;
    if (l->in_read != NULL) {
        void (*what)(struct log *) = l->in_read;

        l->in_read = NULL;
        what(l);
    }
    return got;
}

static void note_call(void *ctx, const char *what, const char *name)
{
    struct log *l = ctx;

    if (l->n_calls < CALLS_MAX)
        (void)snprintf(l->calls[l->n_calls++], sizeof(l->calls[0]), "%s %s", what, name);
}

static void settle(struct log *l)
{
    store_close(l->store);
    l->store = NULL;
    store_recovered_done(&l->rec);
    fake_disk_power_on(l->disk, &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 100});
}

static int open_log(struct log *l)
{
    int rc;

    l->conf.salt_seed++;
    err_reset();
    rc = store_open(&l->conf, &l->rec, &l->store);
    if (rc == 0) {
        l->last = l->rec.last_index;
        l->term = l->rec.hard_state.current_term;
        l->vote = l->rec.hard_state.voted_for != 0 ? l->rec.hard_state.voted_for : 1;
        l->lease_us = l->rec.hard_state.lease_max_us;
        l->number = 0;
    }
    return rc;
}

static int reopen(struct log *l)
{
    settle(l);
    return open_log(l);
}

/* The power goes off now: nothing that is pending stays. */
static int lose_power(struct log *l)
{
    store_close(l->store);
    l->store = NULL;
    store_recovered_done(&l->rec);
    fake_disk_cut_now(l->disk);
    fake_disk_power_on(l->disk, &(struct fake_disk_cut){.sector_bytes = 512});
    return open_log(l);
}

static void log_begin(struct log *l)
{
    size_t len;
    const void *config = model_config(&len);

    *l = (struct log){.disk = fake_disk_new(1)};
    reading = l;
    l->vfs = *fake_disk_vfs(l->disk);
    l->vfs.pread = log_pread;
    model_conf(&l->conf, &l->vfs, 8192, 8192);
    assert_int_equal(raft_configuration_decode(config, len, &l->config.configuration), 0);
    assert_int_equal(store_create(&l->conf, config, len), 0);
    assert_int_equal(reopen(l), 0);
}

static void log_end(struct log *l)
{
    store_close(l->store);
    store_recovered_done(&l->rec);
    assert_int_equal(fake_disk_n_open(l->disk), 0);
    fake_disk_free(l->disk);
}

static void work(struct log *l)
{
    uint64_t number = 0;

    assert_int_equal(store_work(l->store, &number), 0);
    assert_false(store_has_work(l->store));
}

/* One entry of so many bytes that say its index and term. */
static void submit(struct log *l, enum raft_entry_type type, size_t len, raft_index truncate_from)
{
    static unsigned char data[4000];
    const void *bytes = data;
    struct raft_entry e = {.type = type, .len = (uint32_t)len};

    if (truncate_from != 0)
        l->last = truncate_from - 1;
    e.id = (struct raft_entry_id){.term = l->term, .index = ++l->last};
    memset(data, (int)(e.id.index + 16 * l->term), len);
    if (type == RAFT_ENTRY_CONFIG) {
        bytes = model_config(&len);
        e.len = (uint32_t)len;
    }
    e.data = bytes;
    assert_int_equal(
        store_submit(l->store, &(struct store_batch){.number = ++l->number,
                                                     .has_hard_state = !l->bare,
                                                     .hard_state = {l->term, l->vote, l->lease_us},
                                                     .truncate_from = truncate_from,
                                                     .entries = &e,
                                                     .n_entries = 1}),
        0);
}

static void append(struct log *l, raft_index truncate_from)
{
    submit(l, RAFT_ENTRY_COMMAND, 1500, truncate_from);
    work(l);
}

static void append_to(struct log *l, raft_index last)
{
    while (l->last < last)
        append(l, 0);
}

static void mark(struct log *l, raft_index index, raft_term term)
{
    assert_int_equal(store_mark(l->store, (struct raft_entry_id){.term = term, .index = index}), 0);
    work(l);
    assert_true(store_marked(l->store) >= index);
}

static void submit_reset(struct log *l, raft_index index, raft_term term, raft_term new_term)
{
    const struct raft_hard_state hs = {
        .current_term = new_term, .voted_for = 2, .lease_max_us = l->lease_us};

    l->config.index = index > 3 ? index - 3 : 1;
    assert_int_equal(
        store_submit(l->store, &(struct store_batch){.number = ++l->number,
                                                     .has_hard_state = new_term != 0,
                                                     .hard_state = hs,
                                                     .reset = {.term = term, .index = index},
                                                     .reset_config = &l->config,
                                                     .commit_index = index}),
        0);
    l->last = index;
    if (new_term != 0) {
        l->term = new_term;
        l->vote = 2;
    }
}

static void reset(struct log *l, raft_index index, raft_term term, raft_term new_term)
{
    submit_reset(l, index, term, new_term);
    work(l);
}

static int read_one(struct log *l, raft_index index)
{
    struct raft_entry e = {0};
    struct arena arena;
    unsigned n = 0;
    int rc;

    arena_init(&arena, mem_libc);
    rc = store_read(l->store, index, index, 1, &arena, &e, 1, &n);
    if (rc == 0) {
        const unsigned char *data = e.data;

        assert_true(n == 1 && e.id.index == index);
        if (e.type == RAFT_ENTRY_COMMAND)
            assert_int_equal(data[e.len - 1], (unsigned char)(index + 16 * e.id.term));
    }
    arena_done(&arena);
    return rc;
}

/* Nothing up to the base, all behind it, nothing behind the end. */
static void check_reads(struct log *l, raft_index base, raft_index last)
{
    for (raft_index i = 1; i <= base; i++)
        assert_int_equal(read_one(l, i), STORE_E_COMPACTED);
    for (raft_index i = base + 1; i <= last; i++)
        assert_int_equal(read_one(l, i), 0);
    assert_int_equal(read_one(l, last + 1), -ERANGE);
}

static bool has_file(const struct log *l, uint64_t seq)
{
    char name[STORE_NAME_BYTES];
    size_t size;

    store_name_segment(name, seq);
    return fake_disk_bytes(l->disk, name, &size) != NULL;
}

static uint64_t newest_segment(const struct log *l)
{
    uint64_t newest = 0;

    for (uint64_t seq = 1; seq < 100; seq++)
        if (has_file(l, seq))
            newest = seq;
    return newest;
}

static struct segment_header header_of(const struct log *l, uint64_t seq)
{
    char name[STORE_NAME_BYTES];
    struct segment_header h;
    size_t size;

    store_name_segment(name, seq);
    assert_int_equal(segment_header_decode(fake_disk_bytes(l->disk, name, &size), &h), 0);
    return h;
}

static raft_index base_of(const struct log *l, uint64_t seq)
{
    return header_of(l, seq).prev_last_index;
}

static void prepare_all(struct log *l)
{
    bool more = true;

    while (more)
        assert_int_equal(store_prepare(l->store, &more), 0);
}

/* As far as the marks let it. */
static struct raft_entry_id drop_all(struct log *l)
{
    struct raft_entry_id front = store_front(l->store, store_marked(l->store), 0);

    store_drop_front(l->store, front);
    assert_true(store_base(l->store).index == front.index);
    assert_true(store_base(l->store).term == front.term);
    return front;
}

/* Index 2 to 13 of term 1, two in a segment: segments 2 to 7, of which 5 begins behind 7. */
static void begin_long(struct log *l)
{
    log_begin(l);
    append_to(l, 13);
    assert_int_equal(newest_segment(l), 7);
    assert_true(base_of(l, 5) == 7 && base_of(l, 7) == 11);
}

static uint64_t used_bytes(const struct log *l)
{
    uint64_t bytes = 0;

    for (uint32_t i = l->store->n_gone; i < l->store->n_segments; i++)
        bytes += l->store->segments[i].used;
    return bytes;
}

static void check_stats(struct log *l, unsigned n_segments)
{
    struct store_stats stats;

    store_get_stats(l->store, &stats);
    assert_int_equal(stats.n_segments, n_segments);
    assert_true(stats.log_bytes == used_bytes(l));
    assert_true(store_bytes_behind(l->store, 0) == stats.log_bytes ||
                store_base(l->store).index == 0);
}

/* ---- marks ---- */

static void store__a_mark_is_said_when_it_is_durable(void **state)
{
    uint64_t number = 0;
    struct log l;

    (void)state;
    begin_long(&l);
    assert_true(store_marked(l.store) == 0);
    submit(&l, RAFT_ENTRY_COMMAND, 10, 0);
    /* Behind what was submitted, of which it may speak: in one batch with it. */
    assert_int_equal(store_mark(l.store, (struct raft_entry_id){1, 14}), 0);
    assert_true(store_has_work(l.store));
    assert_true(store_marked(l.store) == 0);
    assert_int_equal(lose_power(&l), 0);
    assert_true(l.rec.marked.index == 0 && l.rec.last_index == 13);
    assert_int_equal(store_mark(l.store, (struct raft_entry_id){1, 9}), 0);
    fake_disk_fail_sync(l.disk, 1, FAKE_DISK_SYNC_PAGES_CLEAN);
    assert_true(store_work(l.store, &number) < 0);
    assert_true(store_marked(l.store) == 0);
    assert_int_equal(lose_power(&l), 0);
    mark(&l, 9, 1);
    assert_int_equal(lose_power(&l), 0);
    assert_true(l.rec.marked.index == 9 && l.rec.marked.term == 1);
    assert_true(store_marked(l.store) == 9);
    mark(&l, 5, 1); /* an older one changes nothing */
    assert_true(store_marked(l.store) == 9);
    assert_int_equal(lose_power(&l), 0);
    assert_true(l.rec.marked.index == 9);
    log_end(&l);
}

/* Marks are no batches that anybody has numbered. */
static void store__a_mark_counts_as_no_batch(void **state)
{
    struct store_stats before;
    struct store_stats after;
    uint64_t number = 0;
    struct log l;

    (void)state;
    log_begin(&l);
    append_to(&l, 4);
    store_get_counts(l.store, &before);
    assert_int_equal(store_mark(l.store, (struct raft_entry_id){1, 3}), 0);
    assert_int_equal(store_work(l.store, &number), 0);
    assert_true(number == l.number); /* all up to there is durable still */
    store_get_counts(l.store, &after);
    assert_true(after.n_batches == before.n_batches && after.queued_bytes == 0);
    submit(&l, RAFT_ENTRY_COMMAND, 10, 0);
    assert_int_equal(store_mark(l.store, (struct raft_entry_id){1, 5}), 0);
    submit(&l, RAFT_ENTRY_COMMAND, 10, 0);
    assert_int_equal(store_work(l.store, &number), 0);
    assert_true(number == l.number && store_marked(l.store) == 5);
    log_end(&l);
}

/* A segment in which nothing but a mark stands says something: it is not replaced. */
static void store__a_mark_alone_outlives_restarts(void **state)
{
    struct log l;

    (void)state;
    begin_long(&l);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(reopen(&l), 0);
        mark(&l, 3 + i, 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.marked.index == 5);
    }
    log_end(&l);
}

/* What a mark covers is committed: a truncation of it is damage, wherever it stands. */
static void store__no_truncation_reaches_a_mark(void **state)
{
    struct log l;

    (void)state;
    for (raft_index from = 8; from <= 10; from++) {
        begin_long(&l);
        mark(&l, 8, 1);
        assert_int_equal(reopen(&l), 0);
        settle(&l);
        forge_batch(l.disk, &l.conf, &(struct record){.type = RECORD_TRUNCATE, .index = from}, 1,
                    &(struct raft_entry_id){1, from - 1});
        assert_int_equal(open_log(&l), from == 8 ? STORE_E_DAMAGED : 0);
        if (from == 8)
            assert_non_null(strstr(err_text(), "truncation"));
        log_end(&l);
    }
}

/* ---- what may go ---- */

static void store__whole_segments_below_the_limit_may_go(void **state)
{
    struct raft_entry_id front;
    struct log l;

    (void)state;
    begin_long(&l);
    mark(&l, 13, 1);
    for (raft_index limit = 0; limit <= 14; limit++) {
        raft_index want = 0;

        /* The active one begins behind 11, and stays. */
        for (uint64_t seq = 1; seq <= 7; seq++)
            if (base_of(&l, seq) <= limit)
                want = base_of(&l, seq);
        front = store_front(l.store, limit, 0);
        assert_true(front.index == want && front.term == (want > 0 ? 1 : 0));
    }
    /* At least so many bytes stay: those of the segments behind each. */
    for (uint64_t seq = 2; seq <= 7; seq++) {
        uint64_t bytes = 0;

        for (uint32_t i = (uint32_t)seq - 1; i < l.store->n_segments; i++)
            bytes += l.store->segments[i].used;
        assert_true(store_front(l.store, 13, bytes).index == base_of(&l, seq));
        assert_true(store_front(l.store, 13, bytes + 1).index == base_of(&l, seq - 1));
    }
    log_end(&l);
}

/* It is gone for readers at once, while all files are there. */
static void store__what_is_dropped_is_gone_at_once(void **state)
{
    struct raft_entry_id front;
    struct log l;

    (void)state;
    begin_long(&l);
    check_reads(&l, 0, 13); /* files are open */
    mark(&l, 8, 1);
    check_stats(&l, 7);
    front = drop_all(&l);
    assert_true(front.index == 7 && front.term == 1);
    assert_true(has_file(&l, 1) && has_file(&l, 4));
    check_reads(&l, 7, 13);
    check_stats(&l, 3);
    for (size_t i = 0; i < l.store->index.n; i++)
        assert_true(l.store->index.points[i].index > 7);
    prepare_all(&l);
    assert_false(has_file(&l, 4));
    assert_true(has_file(&l, 5));
    check_stats(&l, 3);
    append_to(&l, 17);
    assert_true(l.store->w.terms.base.index == 7); /* the log thread follows */
    check_reads(&l, 7, 17);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.base.index == 7 && l.rec.base.term == 1 && l.rec.last_index == 17);
    assert_true(l.rec.n_terms == 1 && l.rec.terms[0].first == 8);
    assert_true(l.rec.n_configs == 1 && l.rec.configs[0].index == 1);
    check_reads(&l, 7, 17);
    /* And again. */
    mark(&l, 17, 1);
    front = drop_all(&l);
    assert_true(front.index > 7);
    prepare_all(&l);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.base.index == front.index);
    check_reads(&l, front.index, 17);
    store_drop_front(l.store, front); /* nothing */
    store_drop_front(l.store, (struct raft_entry_id){0});
    assert_true(store_base(l.store).index == front.index);
    log_end(&l);
}

/* DISK-16: one for each call, and the folder is synced before the next. */
static void store__files_go_oldest_first_and_one_by_one(void **state)
{
    struct log l;
    bool more = false;

    (void)state;
    begin_long(&l);
    mark(&l, 8, 1);
    (void)drop_all(&l);
    fake_disk_set_hook(l.disk, note_call, &l);
    for (unsigned i = 0; i < 4; i++) {
        char name[STORE_NAME_BYTES + 16];

        l.n_calls = 0;
        assert_int_equal(store_prepare(l.store, &more), 0);
        assert_true(more);
        assert_int_equal(l.n_calls, 2);
        (void)snprintf(name, sizeof(name), "unlink %016u.wal", i + 1);
        assert_string_equal(l.calls[0], name);
        assert_string_equal(l.calls[1], "sync_dir ");
    }
    l.n_calls = 0;
    prepare_all(&l);
    for (unsigned i = 0; i < l.n_calls; i++)
        assert_null(strstr(l.calls[i], "unlink"));
    fake_disk_set_hook(l.disk, NULL, NULL);
    log_end(&l);
}

/* SPACE-13: a file system that needs room for taking something away. Another error is final. */
static void store__a_full_disk_keeps_files_for_a_while(void **state)
{
    struct log l;
    bool more;

    (void)state;
    for (unsigned call = 1; call <= 2; call++) { /* unlink, sync_dir */
        begin_long(&l);
        mark(&l, 8, 1);
        (void)drop_all(&l);
        fake_disk_fail_call(l.disk, call, -ENOSPC);
        assert_int_equal(store_prepare(l.store, &more), 0);
        if (call == 2) { /* before the next one goes */
            fake_disk_fail_call(l.disk, 1, -ENOSPC);
            assert_int_equal(store_prepare(l.store, &more), 0);
            assert_true(has_file(&l, 2));
        }
        assert_true(has_file(&l, 1) == (call == 1));
        prepare_all(&l);
        assert_false(has_file(&l, 4));
        assert_int_equal(lose_power(&l), 0);
        assert_true(l.rec.base.index == 7);
        mark(&l, 13, 1);
        (void)drop_all(&l);
        fake_disk_fail_call(l.disk, call, -EIO);
        assert_int_equal(store_prepare(l.store, &more), -EIO);
        assert_int_equal(store_prepare(l.store, &more), -EIO);
        log_end(&l);
    }
}

/* What goes makes room before room is looked for. */
static void store__a_front_that_goes_ends_a_full_disk(void **state)
{
    uint64_t number = 0;
    bool more = true;
    struct log l;

    (void)state;
    begin_long(&l);
    mark(&l, 13, 1);
    fake_disk_set_capacity(l.disk, fake_disk_used(l.disk));
    while (!l.store->stalled) {
        submit(&l, RAFT_ENTRY_COMMAND, 1500, 0);
        assert_int_equal(store_work(l.store, &number), 0);
        assert_int_equal(store_prepare(l.store, &more), 0);
        assert_true(l.last < 100);
    }
    assert_true(number < l.number);
    (void)drop_all(&l);
    prepare_all(&l);
    assert_true(store_has_work(l.store));
    work(&l);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.last_index == l.last);
    log_end(&l);
}

/* ---- segments that cannot be the first ---- */

/* Index 10 to 13 are replaced: what stands before segments 7 and 8 is of the log no more. */
static void begin_overwritten(struct log *l)
{
    begin_long(l);
    append(l, 0);
    append(l, 0);
    assert_int_equal(newest_segment(l), 8);
    l->term = 2;
    append(l, 10);
    append_to(l, 17);
    assert_true(base_of(l, 7) == 11 && base_of(l, 8) == 13 && newest_segment(l) >= 11);
}

static void store__the_log_never_begins_behind_what_was_truncated(void **state)
{
    struct log l;

    (void)state;
    for (unsigned again = 0; again < 2; again++) {
        begin_overwritten(&l);
        if (again)
            assert_int_equal(reopen(&l), 0);
        mark(&l, 17, 2);
        for (raft_index limit = 9; limit <= 17; limit++) {
            const struct raft_entry_id front = store_front(l.store, limit, 0);

            assert_true(front.index <= limit);
            assert_true(front.term == (front.index < 10 ? 1 : 2));
        }
        assert_true(store_front(l.store, 13, 0).term != 1 ||
                    store_front(l.store, 13, 0).index == 9);
        log_end(&l);
    }
}

/* The removal is interrupted where what is left begins with such a segment. */
static void store__an_interrupted_removal_ends_at_a_segment_that_may_be_first(void **state)
{
    struct raft_entry_id front;
    struct log l;

    (void)state;
    for (unsigned n = 1; n <= 8; n++) {
        bool more;

        begin_overwritten(&l);
        mark(&l, 17, 2);
        front = drop_all(&l);
        assert_true(front.index > 10 && front.term == 2);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(store_prepare(l.store, &more), 0);
        assert_int_equal(lose_power(&l), 0);
        assert_false(has_file(&l, n));
        assert_true(l.rec.base.index <= front.index && l.rec.marked.index == 17);
        assert_true(l.rec.base.term == (l.rec.base.index < 10 ? 1 : 2));
        assert_true(l.rec.base.index == base_of(&l, n <= 5 ? n + 1 : 10));
        assert_true(l.rec.configs[0].index == 1 && l.rec.last_index == 17);
        check_reads(&l, l.rec.base.index, 17);
        prepare_all(&l);
        assert_int_equal(reopen(&l), 0);
        check_reads(&l, l.rec.base.index, 17);
        log_end(&l);
    }
}

/* As an earlier version wrote them, which says no configuration there: the header and the records
 * of the opening batch but for CONFIG, in a log of one batch for each segment. */
static void make_opening_old(struct log *l, uint64_t seq)
{
    char name[STORE_NAME_BYTES];
    size_t size;
    size_t at = SEGMENT_HEADER_BYTES + record_bytes(HARDSTATE_BYTES);
    const unsigned char *old;
    cleanup_free unsigned char *bytes = NULL;
    struct segment_header h = header_of(l, seq);
    cleanup_buf struct buf b = BUF_INIT;
    struct record rec;

    /* CONFIG becomes a SYNCMARK of the same length: an earlier version may have written that, and
     * the chains stay as they are but for this batch, which must be the last of the segment. */
    store_name_segment(name, seq);
    old = fake_disk_bytes(l->disk, name, &size);
    bytes = malloc(size);
    assert_non_null(bytes);
    memcpy(bytes, old, size);
    assert_int_equal(record_decode(bytes + at, size - at, h.salt, at, &rec), 0);
    assert_int_equal(rec.type, RECORD_CONFIG);
    rec.type = RECORD_SYNCMARK;
    assert_int_equal(record_encode(&b, h.salt, at, &rec), 0);
    memcpy(bytes + at, b.data, b.len);
    fake_disk_put(l->disk, name, bytes, size);
}

/* All chains from segment `seq` on, computed anew. */
static void chain_anew(struct log *l, uint64_t seq)
{
    uint32_t chain = header_of(l, seq).prev_chain;

    for (; has_file(l, seq); seq++) {
        struct segment_header h = header_of(l, seq);
        unsigned char page[SEGMENT_HEADER_BYTES];
        cleanup_free unsigned char *bytes = NULL;
        char name[STORE_NAME_BYTES];
        uint64_t start = SEGMENT_HEADER_BYTES;
        struct record rec;
        size_t size;

        store_name_segment(name, seq);
        bytes = malloc(SEGMENT_HEADER_BYTES * 4);
        assert_non_null(bytes);
        memcpy(bytes, fake_disk_bytes(l->disk, name, &size), 1);
        assert_true(size <= (size_t)SEGMENT_HEADER_BYTES * 4);
        memcpy(bytes, fake_disk_bytes(l->disk, name, &size), size);
        h.prev_chain = chain;
        segment_header_encode(&h, page);
        memcpy(bytes, page, sizeof(page));
        for (uint64_t at = start; at < size;) {
            cleanup_buf struct buf b = BUF_INIT;
            unsigned char payload[BATCH_END_BYTES];
            struct batch_end end;

            if (record_decode(bytes + at, size - at, h.salt, at, &rec) != 0)
                break;
            if (rec.type == RECORD_BATCH_END) {
                assert_true(batch_end_decode(&rec, &end));
                chain = crc32c(chain, bytes + start, at - start);
                end.chain = chain;
                batch_end_encode(&end, payload);
                rec.data = payload;
                assert_int_equal(record_encode(&b, h.salt, at, &rec), 0);
                memcpy(bytes + at, b.data, b.len);
                start = at + b.len;
            }
            at += record_bytes(rec.len);
        }
        fake_disk_put(l->disk, name, bytes, size);
    }
}

static void store__segments_of_an_earlier_version_go_but_do_not_begin(void **state)
{
    struct raft_entry_id front;
    struct log l;

    (void)state;
    for (unsigned n = 0; n <= 4; n++) {
        bool more;

        begin_long(&l);
        settle(&l);
        for (uint64_t seq = 2; seq <= 5; seq++)
            make_opening_old(&l, seq);
        chain_anew(&l, 2);
        assert_int_equal(open_log(&l), 0);
        assert_true(l.rec.last_index == 13 && l.rec.configs[0].index == 1);
        mark(&l, 13, 1);
        assert_true(store_front(l.store, 8, 0).index == 0);
        front = store_front(l.store, 9, 0);
        assert_true(front.index == 9);
        store_drop_front(l.store, front);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(store_prepare(l.store, &more), 0);
        assert_int_equal(lose_power(&l), 0);
        assert_true(l.rec.base.index == (n == 0 ? 0 : 9));
        check_reads(&l, l.rec.base.index, 13);
        log_end(&l);
    }
    /* Without another that could be the first. */
    begin_long(&l);
    settle(&l);
    for (uint64_t seq = 2; seq <= 7; seq++)
        make_opening_old(&l, seq);
    chain_anew(&l, 2);
    assert_int_equal(open_log(&l), 0);
    settle(&l);
    fake_disk_remove(l.disk, "0000000000000001.wal");
    assert_int_equal(open_log(&l), STORE_E_DAMAGED);
    log_end(&l);
}

/* ---- reads that race ---- */

static void drop_in_read(struct log *l)
{
    (void)drop_all(l);
    prepare_all(l);
}

static void reset_in_read(struct log *l)
{
    reset(l, 5, 1, 0);
    append(l, 0);
}

static void store__a_read_that_races_is_told(void **state)
{
    struct raft_entry e[16];
    struct arena arena;
    unsigned n = 0;
    struct log l;

    (void)state;
    begin_long(&l);
    mark(&l, 8, 1);
    arena_init(&arena, mem_libc);
    l.in_read = drop_in_read;
    assert_int_equal(store_read(l.store, 2, 13, 1u << 20, &arena, e, 16, &n), STORE_E_COMPACTED);
    assert_string_equal(err_text(), "");
    assert_int_equal(store_read(l.store, 8, 13, 1u << 20, &arena, e, 16, &n), 0);
    assert_int_equal(n, 6);
    log_end(&l);
    /* Of the log that was, nothing: index 6 is another entry now, and 7 is not there. */
    for (raft_index from = 5; from <= 7; from++) {
        begin_long(&l);
        l.term = 3;
        l.in_read = reset_in_read;
        assert_int_equal(store_read(l.store, from, 13, 1u << 20, &arena, e, 16, &n),
                         from == 5   ? STORE_E_COMPACTED
                         : from == 6 ? 0
                                     : -ERANGE);
        if (from == 6)
            assert_true(n == 1 && e[0].id.term == 3);
        log_end(&l);
    }
    arena_done(&arena);
}

/* Its room on the disk comes back only when nobody has it open. */
static void store__files_that_went_are_closed(void **state)
{
    struct log_reads *reads = NULL;
    unsigned before;
    struct log l;

    (void)state;
    begin_long(&l);
    assert_int_equal(log_reads_new(l.store, &reads), 0);
    before = fake_disk_n_open(l.disk);
    check_reads(&l, 0, 13);
    assert_int_equal(fake_disk_n_open(l.disk), before + 7);
    assert_false(log_reads_has_work(reads));
    mark(&l, 8, 1);
    (void)drop_all(&l);
    assert_true(log_reads_has_work(reads));
    log_reads_work(reads);
    assert_false(log_reads_has_work(reads));
    assert_int_equal(fake_disk_n_open(l.disk), before + 3);
    log_reads_free(reads);
    log_end(&l);
}

static int get(struct log_reads *reads, raft_index from, raft_index to, raft_term *ret_term)
{
    struct raft_entry e[16];
    struct arena arena;
    unsigned n = 0;
    int rc;

    arena_init(&arena, mem_libc);
    rc = log_reads_get(reads, from, to, 1u << 20, &arena, e, 16, &n);
    if (rc == 0 && ret_term != NULL)
        *ret_term = e[0].id.term;
    arena_done(&arena);
    return rc;
}

static struct log_reads *dropping;

static void drop_windows(struct log *l)
{
    (void)drop_all(l);
    log_reads_drop_front(dropping, store_base(l->store).index);
}

static void reset_windows(struct log *l)
{
    log_reads_reset(dropping, 5);
    submit_reset(l, 5, 1, 0);
}

static void store__windows_of_what_went_are_dropped(void **state)
{
    raft_term term = 0;
    uint64_t n_done;
    struct log l;

    (void)state;
    for (unsigned how = 0; how < 3; how++) { /* asked, read, being read */
        begin_long(&l);
        mark(&l, 8, 1);
        assert_int_equal(log_reads_new(l.store, &dropping), 0);
        assert_int_equal(get(dropping, 3, 13, NULL), STORE_E_LATER);
        n_done = log_reads_n_done(dropping);
        if (how == 2)
            l.in_read = drop_windows;
        if (how >= 1)
            log_reads_work(dropping);
        if (how < 2)
            drop_windows(&l);
        assert_true(log_reads_n_done(dropping) > n_done);
        assert_int_equal(get(dropping, 3, 13, NULL), STORE_E_COMPACTED);
        assert_int_equal(get(dropping, 8, 13, NULL), STORE_E_LATER);
        log_reads_work(dropping);
        assert_int_equal(get(dropping, 8, 13, NULL), 0);
        log_reads_free(dropping);
        log_end(&l);
    }
    for (unsigned how = 0; how < 3; how++) {
        begin_long(&l);
        assert_int_equal(log_reads_new(l.store, &dropping), 0);
        assert_int_equal(get(dropping, 6, 13, NULL), STORE_E_LATER);
        if (how == 2)
            l.in_read = reset_windows;
        if (how >= 1)
            log_reads_work(dropping);
        if (how < 2)
            reset_windows(&l);
        /* The store has not done it yet. */
        assert_int_equal(get(dropping, 5, 13, NULL), STORE_E_COMPACTED);
        l.term = 3;
        append(&l, 0);
        assert_int_equal(get(dropping, 6, 6, NULL), STORE_E_LATER);
        log_reads_work(dropping);
        assert_int_equal(get(dropping, 6, 6, &term), 0);
        assert_true(term == 3);
        log_reads_free(dropping);
        log_end(&l);
    }
}

/* ---- how much is behind an entry ---- */

static void store__bytes_behind_an_entry(void **state)
{
    struct store_stats stats;
    struct log l;

    (void)state;
    begin_long(&l);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t before = UINT64_MAX;
        const raft_index base = store_base(l.store).index;

        store_get_counts(l.store, &stats);
        for (raft_index index = base + 1; index <= l.last; index++) {
            uint64_t bytes = store_bytes_behind(l.store, index);
            const uint64_t least = (l.last - index) * 1500;

            assert_true(bytes >= least && bytes <= before && bytes < stats.log_bytes);
            assert_true(bytes <= least + 8 * 1024 + (l.last - index) * 2600);
            before = bytes;
        }
        assert_true(store_bytes_behind(l.store, l.last) == 0);
        assert_true(store_bytes_behind(l.store, l.last + 1) == stats.log_bytes);
        if (base > 0)
            assert_true(store_bytes_behind(l.store, base - 1) == stats.log_bytes);
        mark(&l, 8, 1);
        (void)drop_all(&l);
    }
    log_end(&l);
}

/* ---- a reset ---- */

/* LEASE-3: said once, in a segment that goes, and then the whole log goes, twice. */
static void store__a_promise_outlives_the_log(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l);
    l.lease_us = 250000;
    append(&l, 0);
    l.bare = true;
    append_to(&l, 13);
    mark(&l, 12, 1);
    assert_true(drop_all(&l).index == 11);
    prepare_all(&l);
    for (uint64_t seq = 1; seq < 7; seq++)
        assert_false(has_file(&l, seq));
    assert_int_equal(lose_power(&l), 0);
    assert_true(l.rec.base.index == 11 && l.rec.hard_state.lease_max_us == 250000);
    for (raft_term new_term = 0; new_term <= 3; new_term += 3) {
        reset(&l, 100 + new_term, new_term != 0 ? new_term : 1, new_term);
        assert_int_equal(lose_power(&l), 0);
        assert_true(l.rec.base.index == 100 + new_term);
        assert_true(l.rec.hard_state.lease_max_us == 250000);
    }
    log_end(&l);
}

/* Entries go, term and vote stay. */
static void store__a_reset_leaves_a_log_without_entries(void **state)
{
    static const raft_index to[] = {100, 9}; /* ahead of the log; of another term in it */
    struct log l;

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        for (raft_term new_term = 0; new_term <= 5; new_term += 5) {
            begin_long(&l);
            l.term = 4;
            append(&l, 0);
            assert_int_equal(store_idle(l.store), 0); /* a mark in the open batch goes with it */
            reset(&l, to[i], new_term != 0 ? 5 : 2, new_term);
            assert_true(store_base(l.store).index == to[i]);
            assert_true(store_marked(l.store) == to[i]);
            check_reads(&l, to[i], to[i]);
            check_stats(&l, 1);
            for (unsigned k = 0; k < 3; k++) {
                if (k == 1)
                    assert_int_equal(lose_power(&l), 0);
                else if (k == 2)
                    append(&l, 0);
                if (k != 1)
                    continue;
                assert_true(l.rec.base.index == to[i] && l.rec.last_index == to[i]);
                assert_true(l.rec.base.term == (new_term != 0 ? 5 : 2));
                assert_true(l.rec.marked.index == to[i]);
                assert_true(l.rec.hard_state.current_term == (new_term != 0 ? 5 : 4));
                assert_true(l.rec.hard_state.voted_for == (new_term != 0 ? 2 : 1));
                assert_true(l.rec.n_terms == 0 && l.rec.commit_index == to[i]);
                assert_true(l.rec.n_configs == 1 && l.rec.configs[0].index == l.config.index);
                assert_true(l.rec.configs[0].configuration.n == 3);
            }
            prepare_all(&l);
            for (uint64_t seq = 1; seq <= 8; seq++)
                assert_false(has_file(&l, seq) &&
                             (header_of(&l, seq).flags & SEGMENT_FLAG_BASE) == 0);
            assert_int_equal(reopen(&l), 0);
            check_reads(&l, to[i], to[i] + 1);
            log_end(&l);
        }
}

/* What comes with it and behind it stands behind it. */
static void store__writes_around_a_reset_keep_their_order(void **state)
{
    struct store_stats stats;
    uint64_t number = 0;
    struct log l;

    (void)state;
    begin_long(&l);
    l.term = 2;
    submit(&l, RAFT_ENTRY_COMMAND, 100, 0);
    submit_reset(&l, 50, 2, 3);
    submit(&l, RAFT_ENTRY_COMMAND, 100, 0);
    submit(&l, RAFT_ENTRY_CONFIG, 0, 0);
    assert_int_equal(store_mark(l.store, (struct raft_entry_id){3, 51}), 0);
    submit_reset(&l, 60, 3, 0);
    l.term = 4;
    submit(&l, RAFT_ENTRY_COMMAND, 100, 0);
    submit(&l, RAFT_ENTRY_COMMAND, 1500, 61);
    while (store_has_work(l.store))
        assert_int_equal(store_write(l.store, &number), 0);
    assert_true(number == l.number);
    store_get_counts(l.store, &stats);
    assert_true(stats.queued_bytes == 0);
    for (unsigned i = 0; i < 3; i++) {
        check_reads(&l, 60, 61);
        assert_int_equal(i == 0 ? lose_power(&l) : reopen(&l), 0);
        assert_true(l.rec.base.index == 60 && l.rec.last_index == 61 && l.rec.marked.index == 60);
        assert_true(l.rec.n_terms == 1 && l.rec.terms[0].term == 4);
        assert_true(l.rec.n_configs == 1 && l.rec.configs[0].index == 57);
    }
    log_end(&l);
}

/* Until the new segment has its name for good the log is the old one; after that, the new one. */
static void store__a_reset_happens_at_one_moment(void **state)
{
    bool was_old = true;

    (void)state;
    for (uint64_t call = 1;; call++) {
        uint64_t number = 0;
        struct log l;
        int rc;

        begin_long(&l);
        l.term = 2;
        append(&l, 0);
        submit_reset(&l, 50, 2, 3);
        fake_disk_cut_after(l.disk, call);
        rc = store_work(l.store, &number);
        assert_int_equal(rc == 0 ? 0 : -EIO, rc);
        fake_disk_cut_now(l.disk);
        store_close(l.store);
        l.store = NULL;
        store_recovered_done(&l.rec);
        fake_disk_power_on(l.disk, &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 0});
        assert_int_equal(open_log(&l), 0);
        if (was_old && l.rec.base.index == 50)
            was_old = false;
        assert_true(l.rec.base.index == (was_old ? 0 : 50));
        assert_true(l.rec.last_index == (was_old ? 14 : 50));
        assert_true(l.rec.hard_state.current_term == (was_old ? 2 : 3));
        check_reads(&l, l.rec.base.index, l.rec.last_index);
        assert_true(rc != 0 || !was_old);
        log_end(&l);
        if (rc == 0)
            break;
    }
}

/* The newest segment that says so voids what is before it, however that looks. */
static void store__what_is_before_a_reset_may_look_like_anything(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 5; how++) {
        struct log l;

        begin_long(&l);
        l.term = 2;
        append(&l, 0);
        reset(&l, 50, 2, 0);
        append(&l, 0);
        settle(&l);
        switch (how) {
        case 0:
            fake_disk_remove(l.disk, "0000000000000003.wal");
            break;
        case 1:
            fake_disk_remove(l.disk, "0000000000000001.wal");
            fake_disk_remove(l.disk, "0000000000000007.wal");
            break;
        case 2:
            fake_disk_flip(l.disk, "0000000000000004.wal", 5000, 1);
            break;
        case 3:
            fake_disk_flip(l.disk, "0000000000000005.wal", 20, 1);
            break;
        default:
            fake_disk_resize(l.disk, "0000000000000007.wal", 100);
            break;
        }
        assert_int_equal(open_log(&l), 0);
        assert_true(l.rec.base.index == 50 && l.rec.last_index == 51);
        check_reads(&l, 50, 51);
        prepare_all(&l);
        for (uint64_t seq = 1; seq <= 7; seq++)
            assert_false(has_file(&l, seq));
        assert_int_equal(reopen(&l), 0);
        log_end(&l);
    }
}

/* A reset that is missing, or damaged, is no older log. */
static void store__a_reset_that_is_lost_is_missed(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        struct log l;
        char name[STORE_NAME_BYTES];
        uint64_t seq;

        begin_long(&l);
        l.term = 2;
        append(&l, 0);
        reset(&l, 50, 2, 0);
        append(&l, 0);
        seq = newest_segment(&l);
        if (how >= 2) { /* not the last one */
            append_to(&l, 55);
            assert_true(newest_segment(&l) > seq);
        }
        settle(&l);
        while ((header_of(&l, seq).flags & SEGMENT_FLAG_RESET) == 0)
            seq--;
        store_name_segment(name, seq);
        if (how % 2 == 0)
            fake_disk_remove(l.disk, name);
        else
            fake_disk_flip(l.disk, name, how == 1 ? 90 : 4200, 0);
        assert_int_equal(open_log(&l), STORE_E_DAMAGED);
        log_end(&l);
    }
}

/* The tail of the segment that the log was reset to is torn as any other is. */
static void store__the_tail_behind_a_reset_may_be_torn(void **state)
{
    uint64_t number = 0;
    struct log l;

    (void)state;
    begin_long(&l);
    l.term = 2;
    append(&l, 0);
    reset(&l, 50, 2, 0);
    append(&l, 0);
    submit(&l, RAFT_ENTRY_COMMAND, 1000, 0);
    fake_disk_cut_after(l.disk, 1);
    assert_true(store_work(l.store, &number) < 0);
    store_close(l.store);
    l.store = NULL;
    store_recovered_done(&l.rec);
    fake_disk_power_on(l.disk, &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 50});
    assert_int_equal(open_log(&l), 0);
    assert_true(l.rec.torn_tail && l.rec.base.index == 50 && l.rec.last_index == 51);
    append_to(&l, 60);
    assert_int_equal(reopen(&l), 0);
    check_reads(&l, 50, 60);
    log_end(&l);
}

/* SPACE-9, SPACE-13: it waits for room as a batch does, at each of its steps. */
static void store__a_reset_waits_for_room(void **state)
{
    (void)state;
    for (uint64_t call = 1; call < 12; call++)
        for (unsigned n_times = 1; n_times <= 3; n_times += 2) {
            uint64_t number = 0;
            struct log l;
            bool more;

            begin_long(&l);
            l.term = 2;
            append(&l, 0);
            submit_reset(&l, 50, 2, 3);
            submit(&l, RAFT_ENTRY_COMMAND, 1500, 0);
            fake_disk_fail_call(l.disk, call, -ENOSPC);
            assert_int_equal(store_work(l.store, &number), 0);
            for (unsigned i = 1; i < n_times; i++) {
                fake_disk_fail_call(l.disk, 1, -ENOSPC);
                assert_int_equal(store_prepare(l.store, &more), 0);
            }
            fake_disk_fail_call(l.disk, 0, 0);
            for (unsigned i = 0; i < 40; i++)
                assert_int_equal(store_prepare(l.store, &more), 0);
            work(&l);
            assert_true(store_base(l.store).index == 50);
            check_reads(&l, 50, 51);
            assert_int_equal(lose_power(&l), 0);
            assert_true(l.rec.base.index == 50 && l.rec.hard_state.current_term == 3);
            check_reads(&l, 50, 51);
            log_end(&l);
        }
}

/* A disk without any room, a start included, and then with some. */
static void store__a_reset_of_a_full_disk_comes_when_there_is_room(void **state)
{
    (void)state;
    for (unsigned at_start = 0; at_start < 2; at_start++) {
        uint64_t number = 0;
        struct log l;
        bool more;

        begin_long(&l);
        l.term = 2;
        append(&l, 0);
        prepare_all(&l);
        if (at_start) {
            settle(&l);
            fake_disk_remove(l.disk, "reserve");
            fake_disk_set_capacity(l.disk, 1);
            assert_int_equal(open_log(&l), 0);
        } else {
            fake_disk_set_capacity(l.disk, 1);
            submit_reset(&l, 40, 2, 0); /* takes what was prepared */
            submit_reset(&l, 45, 2, 0); /* takes the reserve */
            assert_int_equal(store_work(l.store, &number), 0);
        }
        submit_reset(&l, 50, 2, 3);
        submit(&l, RAFT_ENTRY_COMMAND, 1000, 0);
        assert_int_equal(store_work(l.store, &number), 0);
        assert_true(number < l.number);
        assert_true(store_base(l.store).index < 50);
        fake_disk_set_capacity(l.disk, 0);
        for (unsigned i = 0; i < 40; i++)
            assert_int_equal(store_prepare(l.store, &more), 0);
        work(&l);
        check_reads(&l, 50, 51);
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.base.index == 50 && l.rec.last_index == 51);
        log_end(&l);
    }
}

/* At a start the name of the reset may be in the cache alone: files that it voids go after it is
 * there for good (DISK-16). */
static void store__a_start_syncs_the_folder_before_anything_goes(void **state)
{
    struct log l;
    bool synced = false;

    (void)state;
    begin_long(&l);
    l.term = 2;
    append(&l, 0);
    reset(&l, 50, 2, 0);
    append(&l, 0);
    settle(&l);
    fake_disk_remove(l.disk, "reserve");
    fake_disk_set_capacity(l.disk, 1); /* no segment of its own is opened, and no folder synced */
    fake_disk_set_hook(l.disk, note_call, &l);
    assert_int_equal(open_log(&l), 0);
    prepare_all(&l);
    for (unsigned i = 0; i < l.n_calls; i++) {
        synced = synced || strcmp(l.calls[i], "sync_dir ") == 0;
        assert_true(synced ||
                    (strstr(l.calls[i], "unlink") == NULL && strstr(l.calls[i], "open") == NULL &&
                     strstr(l.calls[i], "rename") == NULL));
    }
    assert_true(synced && !has_file(&l, 7));
    fake_disk_set_hook(l.disk, NULL, NULL);
    log_end(&l);
}

/* ---- configurations ---- */

static void store__the_configuration_in_force_begins_the_log(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l);
    append_to(&l, 4);
    submit(&l, RAFT_ENTRY_CONFIG, 0, 0); /* 5 */
    append_to(&l, 9);
    submit(&l, RAFT_ENTRY_CONFIG, 0, 0); /* 10, which goes */
    append(&l, 0);
    l.term = 2;
    append(&l, 9);
    append_to(&l, 14);
    submit(&l, RAFT_ENTRY_CONFIG, 0, 0); /* 15 */
    append_to(&l, 20);
    for (raft_index limit = 4; limit <= 20; limit++) {
        raft_index base;

        mark(&l, limit, limit < 9 ? 1 : 2);
        (void)drop_all(&l);
        prepare_all(&l);
        assert_int_equal(reopen(&l), 0);
        base = l.rec.base.index;
        assert_true(base <= limit);
        assert_true(l.rec.configs[0].index == (base < 5 ? 1 : base < 15 ? 5 : 15));
        assert_true(l.rec.n_configs == (base < 5 ? 3 : base < 15 ? 2 : 1));
        assert_true(l.rec.configs[l.rec.n_configs - 1].index == 15);
    }
    assert_true(l.rec.base.index >= 15);
    log_end(&l);
}

/* ---- what others see ---- */

/* An earlier program reads a log that begins with entry 1, and refuses in words what it cannot
 * know. */
static void store__headers_say_what_an_earlier_program_cannot_read(void **state)
{
    char name[STORE_NAME_BYTES];
    uint64_t last;
    struct log l;
    size_t size;

    (void)state;
    begin_long(&l);
    mark(&l, 8, 1);
    for (uint64_t seq = 1; seq <= 7; seq++) {
        store_name_segment(name, seq);
        assert_int_equal(get_u32(fake_disk_bytes(l.disk, name, &size) + 8), 1);
        assert_true(header_of(&l, seq).flags == 0);
    }
    (void)drop_all(&l);
    append_to(&l, 18);
    last = newest_segment(&l);
    assert_true(header_of(&l, last).flags == SEGMENT_FLAG_BASE);
    reset(&l, 50, 1, 0);
    assert_true(header_of(&l, last + 1).flags == (SEGMENT_FLAG_RESET | SEGMENT_FLAG_BASE));
    store_name_segment(name, last + 1);
    assert_int_equal(get_u32(fake_disk_bytes(l.disk, name, &size) + 8), 2);
    log_end(&l);
}

static void dump_says(struct log *l, int want, const char *const *texts)
{
    cleanup_free char *out = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&out, &len);

    assert_non_null(f);
    settle(l);
    assert_int_equal(store_dump(&l->conf, f), want);
    assert_int_equal(fclose(f), 0);
    for (; *texts != NULL; texts++)
        if (strstr(out, *texts) == NULL)
            fail_msg("no '%s' in: %s", *texts, out);
}

static void store__the_dump_shows_marks_and_resets(void **state)
{
    struct log l;

    (void)state;
    begin_long(&l);
    mark(&l, 8, 1);
    append_to(&l, 15);
    dump_says(&l, 0,
              (const char *const[]){"snapshot_mark index=8 term=1",
                                    "config index=1 term=1 members=", "\nmarked_index=8 term=1\n",
                                    NULL});
    assert_int_equal(open_log(&l), 0);
    l.term = 2;
    append(&l, 0);
    reset(&l, 50, 2, 0);
    dump_says(&l, 0,
              (const char *const[]){"segment=0000000000000007.wal void: the log begins behind it\n",
                                    " reset=yes\n", "\nbegins_behind_index=50 term=2\n",
                                    "\nmarked_index=50 term=2\n", NULL});
    log_end(&l);
}

/* A prepared segment that was stamped for a reset is none; what it says of the log before counts. */
static void store__a_stamped_reset_is_a_leftover_and_evidence(void **state)
{
    struct log l;
    uint64_t number = 0;
    uint64_t n = 0;

    (void)state;
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        char name[STORE_NAME_BYTES];
        const unsigned char *bytes;
        size_t size;

        begin_long(&l);
        l.term = 2;
        append(&l, 0);
        submit_reset(&l, 50, 2, 0);
        fake_disk_set_hook(l.disk, note_call, &l);
        l.n_calls = 0;
        assert_int_equal(store_work(l.store, &number), 0);
        for (n = 0; n < l.n_calls && strncmp(l.calls[n], "rename", 6) != 0; n++)
            continue;
        assert_true(n > 0 && n < l.n_calls);
        fake_disk_set_hook(l.disk, NULL, NULL);
        log_end(&l);

        begin_long(&l);
        l.term = 2;
        append(&l, 0);
        submit_reset(&l, 50, 2, 0);
        fake_disk_cut_after(l.disk, n); /* in the sync before the rename */
        assert_true(store_work(l.store, &number) < 0);
        store_close(l.store);
        l.store = NULL;
        store_recovered_done(&l.rec);
        fake_disk_power_on(l.disk,
                           &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 100});
        store_name_prepared(name, newest_segment(&l) + 1);
        bytes = fake_disk_bytes(l.disk, name, &size);
        assert_non_null(bytes);
        assert_int_equal(get_u32(bytes + 88), SEGMENT_FLAG_RESET | SEGMENT_FLAG_BASE);
        if (damaged) { /* of the last batch, which it says was durable */
            store_name_segment(name, newest_segment(&l));
            bytes = fake_disk_bytes(l.disk, name, &size);
            while (bytes[size - 1] == 0)
                size--;
            fake_disk_flip(l.disk, name, size - 1, 1);
        }
        assert_int_equal(open_log(&l), damaged ? STORE_E_DAMAGED : 0);
        if (!damaged)
            assert_true(l.rec.base.index == 0 && l.rec.last_index == 14);
        log_end(&l);
    }
}

/* ---- three threads ---- */

struct threads {
    const char *path;
    int dir_fd;
    int fd;
    struct vfs *vfs;
    struct store *store;
    struct log_reads *reads;
    struct log_thread *log_thread;
    struct read_thread *read_thread;
    raft_index last;
    raft_index base;
    raft_term term;
    uint64_t number;
};

static void must_not_fail(void *ctx, int error)
{
    (void)ctx;
    (void)fprintf(stderr, "the log failed: %d %s\n", error, err_text());
    abort();
}

static void threads_begin(struct threads *t)
{
    struct store_recovered rec = {0};
    struct store_conf conf;
    size_t len;
    const void *config = model_config(&len);

    *t = (struct threads){.path = temp_folder_new("front"), .term = 1, .last = 1};
    t->dir_fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(t->dir_fd >= 0 && t->fd >= 0);
    assert_int_equal(vfs_posix_new(t->dir_fd, &t->vfs), 0);
    model_conf(&conf, t->vfs, 16384, 32768);
    assert_int_equal(store_create(&conf, config, len), 0);
    assert_int_equal(store_open(&conf, &rec, &t->store), 0);
    store_recovered_done(&rec);
    assert_int_equal(log_reads_new(t->store, &t->reads), 0);
    assert_int_equal(log_thread_start(t->store, t->fd, must_not_fail, NULL, &t->log_thread), 0);
    assert_int_equal(read_thread_start(t->reads, t->fd, &t->read_thread), 0);
}

static void threads_end(struct threads *t)
{
    log_thread_stop(t->log_thread);
    read_thread_stop(t->read_thread);
    log_reads_free(t->reads);
    store_close(t->store);
    vfs_posix_free(t->vfs);
    (void)close(t->fd);
    (void)close(t->dir_fd);
    temp_folder_remove(t->path);
}

static void threads_submit(struct threads *t, size_t len)
{
    static unsigned char data[4096];
    struct raft_entry e = {.id = {.term = t->term, .index = ++t->last},
                           .type = RAFT_ENTRY_COMMAND,
                           .len = (uint32_t)len,
                           .data = data};

    memset(data, (int)((t->last + t->term) & 0xff), len);
    assert_int_equal(store_submit(t->store, &(struct store_batch){.number = ++t->number,
                                                                  .has_hard_state = true,
                                                                  .hard_state = {t->term, 1},
                                                                  .entries = &e,
                                                                  .n_entries = 1}),
                     0);
    log_thread_wake(t->log_thread);
}

static void threads_wait(struct threads *t)
{
    const uint64_t deadline = clock_mono_us() + 60000000;

    while (log_thread_durable(t->log_thread) < t->number) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        uint64_t n;

        assert_true(clock_mono_us() < deadline);
        (void)poll(&p, 1, 100);
        (void)!read(t->fd, &n, sizeof(n));
    }
}

/* What is durable is there, what is below the base is not, and nothing of an older log is. */
static void threads_read(struct threads *t, raft_index from, raft_index durable)
{
    struct raft_entry e[8];
    struct arena arena;
    unsigned n = 0;
    int rc;

    arena_init(&arena, mem_libc);
    rc = log_reads_get(t->reads, from, from + 7 < durable ? from + 7 : durable, 1u << 16, &arena, e,
                       8, &n);
    if (rc == STORE_E_LATER)
        read_thread_wake(t->read_thread);
    else if (from <= t->base)
        assert_int_equal(rc, STORE_E_COMPACTED);
    else
        assert_int_equal(rc, 0);
    for (unsigned i = 0; rc == 0 && i < n; i++) {
        const unsigned char *data = e[i].data;

        assert_true(e[i].id.index == from + i);
        if (e[i].type == RAFT_ENTRY_COMMAND && e[i].len > 0)
            assert_int_equal(data[e[i].len - 1], (e[i].id.index + e[i].id.term) & 0xff);
    }
    arena_done(&arena);
}

static void threads_drop(struct threads *t, uint64_t keep_bytes)
{
    const struct raft_entry_id front = store_front(t->store, store_marked(t->store), keep_bytes);

    if (front.index <= t->base)
        return;
    store_drop_front(t->store, front);
    t->base = front.index;
    log_reads_drop_front(t->reads, front.index);
    log_thread_wake(t->log_thread);
    read_thread_wake(t->read_thread);
}

static void threads_reset(struct threads *t)
{
    struct raft_config_at at = {.index = 1};
    size_t len;
    const void *config = model_config(&len);

    assert_int_equal(raft_configuration_decode(config, len, &at.configuration), 0);
    t->last += 5;
    t->base = t->last;
    log_reads_reset(t->reads, t->base);
    assert_int_equal(store_submit(t->store, &(struct store_batch){.number = ++t->number,
                                                                  .has_hard_state = true,
                                                                  .hard_state = {t->term + 1, 1},
                                                                  .reset = {t->term, t->last},
                                                                  .reset_config = &at}),
                     0);
    t->term++;
    log_thread_wake(t->log_thread);
}

static void store__front_log_and_reads_on_three_threads(void **state)
{
    struct store_stats stats;
    unsigned n_drops = 0;
    struct threads t;
    struct prng p;

    (void)state;
    threads_begin(&t);
    prng_init(&p, 7);
    for (unsigned round = 0; round < 400; round++) {
        const raft_index before = t.base;
        raft_index durable = t.last;

        threads_wait(&t);
        assert_int_equal(
            store_mark(t.store, (struct raft_entry_id){.term = t.term, .index = t.last}), 0);
        for (unsigned i = 0; i < 6; i++)
            threads_submit(&t, (size_t)prng_below(&p, 4096));
        if (round % 50 == 49) {
            threads_reset(&t);
            threads_submit(&t, 100);
            continue;
        }
        for (unsigned i = 0; i < 20; i++)
            threads_read(&t, 1 + prng_below(&p, durable), durable);
        threads_drop(&t, prng_below(&p, 60000));
        n_drops += t.base > before;
        for (unsigned i = 0; i < 20; i++)
            threads_read(&t, 1 + prng_below(&p, durable), durable);
    }
    threads_wait(&t);
    store_get_counts(t.store, &stats);
    assert_true(n_drops > 50 && stats.n_segments < 20);
    threads_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__a_mark_is_said_when_it_is_durable),
        cmocka_unit_test(store__a_mark_counts_as_no_batch),
        cmocka_unit_test(store__a_mark_alone_outlives_restarts),
        cmocka_unit_test(store__no_truncation_reaches_a_mark),
        cmocka_unit_test(store__whole_segments_below_the_limit_may_go),
        cmocka_unit_test(store__what_is_dropped_is_gone_at_once),
        cmocka_unit_test(store__files_go_oldest_first_and_one_by_one),
        cmocka_unit_test(store__a_full_disk_keeps_files_for_a_while),
        cmocka_unit_test(store__a_front_that_goes_ends_a_full_disk),
        cmocka_unit_test(store__the_log_never_begins_behind_what_was_truncated),
        cmocka_unit_test(store__an_interrupted_removal_ends_at_a_segment_that_may_be_first),
        cmocka_unit_test(store__segments_of_an_earlier_version_go_but_do_not_begin),
        cmocka_unit_test(store__a_read_that_races_is_told),
        cmocka_unit_test(store__files_that_went_are_closed),
        cmocka_unit_test(store__windows_of_what_went_are_dropped),
        cmocka_unit_test(store__bytes_behind_an_entry),
        cmocka_unit_test(store__a_promise_outlives_the_log),
        cmocka_unit_test(store__a_reset_leaves_a_log_without_entries),
        cmocka_unit_test(store__writes_around_a_reset_keep_their_order),
        cmocka_unit_test(store__a_reset_happens_at_one_moment),
        cmocka_unit_test(store__what_is_before_a_reset_may_look_like_anything),
        cmocka_unit_test(store__a_reset_that_is_lost_is_missed),
        cmocka_unit_test(store__the_tail_behind_a_reset_may_be_torn),
        cmocka_unit_test(store__a_reset_waits_for_room),
        cmocka_unit_test(store__a_reset_of_a_full_disk_comes_when_there_is_room),
        cmocka_unit_test(store__a_start_syncs_the_folder_before_anything_goes),
        cmocka_unit_test(store__the_configuration_in_force_begins_the_log),
        cmocka_unit_test(store__headers_say_what_an_earlier_program_cannot_read),
        cmocka_unit_test(store__the_dump_shows_marks_and_resets),
        cmocka_unit_test(store__a_stamped_reset_is_a_leftover_and_evidence),
        cmocka_unit_test(store__front_log_and_reads_on_three_threads),
    };

    return cmocka_run_group_tests_name("store-front", tests, NULL, NULL);
}
