/* store: the bytes, group commit, rotation, recovery rule by rule, failures of the disk, the dump,
 * the log thread. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "store/log_thread.h"
#include "store/recover_int.h"
#include "unit/fake-disk.h"
#include "unit/store-forge.h"
#include "unit/store-model.h"

/* ---- the bytes ---- */

static void store__header_round_trip(void **state)
{
    static const struct segment_header h = {.cluster_id = "0123456789abcde",
                                            .node_id = 1,
                                            .incarnation = 2,
                                            .seq = 3,
                                            .salt = 4,
                                            .first_index = 5,
                                            .first_batch = 6,
                                            .size = 7,
                                            .flags = SEGMENT_FLAG_BASE,
                                            .prev_chain = 9,
                                            .prev_seq = 10,
                                            .prev_last_index = 11,
                                            .prev_last_term = 12,
                                            .prev_last_batch = 13,
                                            .prev_used = 14};
    unsigned char page[SEGMENT_HEADER_BYTES];
    struct segment_header got = {0};

    (void)state;
    segment_header_encode(&h, page);
    assert_memory_equal(page, "RIDDWAL1", 8);
    assert_int_equal(segment_header_decode(page, &got), 0);
    assert_memory_equal(&got, &h, sizeof(h));
    for (unsigned bit = 0; bit < 8 * SEGMENT_HEADER_BYTES; bit += 1 + bit / 2048) {
        page[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_int_not_equal(segment_header_decode(page, &got), 0);
        page[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    for (unsigned row = 0; row < 4; row++) {
        static const uint32_t rows[4][2] = {
            {SEGMENT_VERSION + 1, 0}, {SEGMENT_VERSION, 4}, {1, SEGMENT_FLAG_RESET}, {0, 0}};

        put_u32(page + 8, rows[row][0]);
        put_u32(page + 88, rows[row][1]);
        put_u32(page + 12, 0);
        put_u32(page + 12, crc32c(0, page, SEGMENT_HEADER_BYTES));
        assert_int_equal(segment_header_decode(page, &got), SEGMENT_HEADER_E_VERSION);
    }
    /* Without flags an earlier program reads it. */
    segment_header_encode(&(struct segment_header){.seq = 3}, page);
    assert_int_equal(get_u32(page + 8), 1);
    assert_int_equal(segment_header_decode(page, &got), 0);
    memset(page, 0, sizeof(page));
    assert_int_equal(segment_header_decode(page, &got), SEGMENT_HEADER_E_BLANK);
}

/* Whatever of a record changes, its place included, a checksum notices (DISK-17). */
static void store__record_round_trip(void **state)
{
    unsigned char payload[300];

    (void)state;
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (unsigned char)(i * 7);
    for (unsigned type = 1; type <= RECORD_TYPE_MAX; type++) {
        for (uint32_t len = 0; len < sizeof(payload); len += 1 + len / 3) {
            struct record rec = {.type = (enum record_type)type,
                                 .flags = (uint8_t)len,
                                 .len = len,
                                 .batch = 5,
                                 .index = 6,
                                 .term = 7,
                                 .data = payload};
            cleanup_buf struct buf b = BUF_INIT;
            struct record got;

            assert_int_equal(record_encode(&b, 99, 4096, &rec), 0);
            assert_int_equal(b.len, record_bytes(len));
            assert_int_equal(b.len % 8, 0);
            assert_int_equal(record_decode(b.data, b.len, 99, 4096, &got), 0);
            assert_int_equal(got.type, type);
            assert_int_equal(got.flags, rec.flags);
            assert_int_equal(got.len, len);
            assert_true(got.batch == 5 && got.index == 6 && got.term == 7);
            assert_memory_equal(got.data, payload, len);
            /* The identity holds in its own segment and at its own place only. */
            assert_int_equal(record_decode(b.data, b.len, 98, 4096, &got), RECORD_E_HEADER);
            assert_int_equal(record_decode(b.data, b.len, 99, 4104, &got), RECORD_E_HEADER);
            assert_int_equal(record_decode(b.data, b.len - 8, 99, 4096, &got),
                             len > 0 ? RECORD_E_LENGTH : RECORD_E_HEADER);
            for (size_t bit = 0; bit < 8 * (RECORD_HEADER_BYTES + (size_t)len); bit++) {
                b.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
                assert_int_not_equal(record_decode(b.data, b.len, 99, 4096, &got), 0);
                b.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
            }
        }
    }
}

static void store__record_lengths_are_bounded(void **state)
{
    unsigned char bytes[RECORD_HEADER_BYTES] = {0};
    unsigned char place[16];
    static const uint32_t lens[] = {1, RECORD_PAYLOAD_MAX, RECORD_PAYLOAD_MAX + 1, UINT32_MAX,
                                    UINT32_MAX - 7};

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct record got;

        bytes[4] = RECORD_ENTRY;
        put_u32(bytes + 8, lens[i]);
        put_u64(place, 1);
        put_u64(place + 8, 4096);
        put_u32(bytes, crc32c(crc32c(0, place, 16), bytes + 4, RECORD_HEADER_BYTES - 4));
        assert_int_equal(record_decode(bytes, sizeof(bytes), 1, 4096, &got), RECORD_E_LENGTH);
        assert_int_equal(got.len, lens[i]);
        assert_null(got.data);
    }
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(record_decode(bytes, sizeof(bytes), 1, 4096, &(struct record){0}),
                     RECORD_E_ZERO);
    assert_int_equal(record_decode(bytes, 8, 1, 4096, &(struct record){0}), RECORD_E_ZERO);
}

/* ---- a log on the fake disk ---- */

struct log {
    struct fake_disk *disk;
    struct store_conf conf;
    struct store *store;
    struct store_recovered rec;
    raft_index last;
    uint64_t number;
    unsigned n_writes; /* to segments, counted by the hook */
    unsigned n_syncs;
    bool unsynced_write;
    bool overlapping; /* a batch was written before the last one was synced */
};

static void watch(void *ctx, const char *what, const char *name)
{
    struct log *l = ctx;

    if (strstr(name, ".wal") == NULL)
        return;
    if (strcmp(what, "pwritev") == 0) {
        l->n_writes++;
        l->overlapping = l->overlapping || l->unsynced_write;
        l->unsynced_write = true;
    } else if (strcmp(what, "fdatasync") == 0) {
        l->n_syncs++;
        l->unsynced_write = false;
    }
}

static int reopen(struct log *l)
{
    int r;

    store_close(l->store);
    l->store = NULL;
    store_recovered_done(&l->rec);
    l->conf.salt_seed++;
    r = store_open(&l->conf, &l->rec, &l->store);
    if (r == 0) {
        l->last = l->rec.last_index;
        l->number = 0;
    }
    return r;
}

static void log_begin(struct log *l, size_t first_bytes, size_t bytes)
{
    size_t len;
    const void *config = model_config(&len);

    *l = (struct log){.disk = fake_disk_new(1)};
    model_conf(&l->conf, fake_disk_vfs(l->disk), first_bytes, bytes);
    assert_int_equal(store_create(&l->conf, config, len), 0);
    assert_int_equal(reopen(l), 0);
    fake_disk_set_hook(l->disk, watch, l);
}

static void log_end(struct log *l)
{
    store_close(l->store);
    store_recovered_done(&l->rec);
    assert_int_equal(fake_disk_n_open(l->disk), 0);
    fake_disk_free(l->disk);
}

static void submit(struct log *l, raft_term term, const void *data, size_t len)
{
    struct raft_entry e = {.id = {.term = term, .index = ++l->last},
                           .type = RAFT_ENTRY_COMMAND,
                           .len = (uint32_t)len,
                           .data = data};

    assert_int_equal(store_submit(l->store, &(struct store_batch){.number = ++l->number,
                                                                  .entries = &e,
                                                                  .n_entries = 1,
                                                                  .commit_index = l->last - 1}),
                     0);
}

static void submit_hard_state(struct log *l, raft_term term, raft_node_id vote)
{
    assert_int_equal(store_submit(l->store, &(struct store_batch){.number = ++l->number,
                                                                  .has_hard_state = true,
                                                                  .hard_state = {term, vote}}),
                     0);
}

static void submit_lease(struct log *l, raft_term term, raft_node_id vote, uint64_t lease_us)
{
    assert_int_equal(
        store_submit(l->store, &(struct store_batch){.number = ++l->number,
                                                     .has_hard_state = true,
                                                     .hard_state = {term, vote, lease_us}}),
        0);
}

static void work_all(struct log *l)
{
    uint64_t number = 0;

    assert_true(store_has_work(l->store));
    assert_int_equal(store_work(l->store, &number), 0);
    assert_true(number == l->number);
    assert_false(store_has_work(l->store));
}

static bool has_file(const struct fake_disk *d, const char *suffix)
{
    for (unsigned i = 0; i < fake_disk_n_files(d); i++)
        if (strstr(fake_disk_name(d, i), suffix) != NULL)
            return true;
    return false;
}

/* Term and vote stand in every segment (DISK-15), the commit index with every batch (DISK-19), and
 * the first entry is the configuration that all begin with (IDENTITY-6). */
static void store__create_then_open(void **state)
{
    struct log l;
    size_t len;
    const void *config = model_config(&len);
    struct fake_disk *empty = fake_disk_new(1);
    struct store_conf conf;

    (void)state;
    model_conf(&conf, fake_disk_vfs(empty), 8192, 8192);
    assert_int_equal(store_open(&conf, &(struct store_recovered){0}, &(struct store *){NULL}),
                     STORE_E_NO_LOG);
    fake_disk_put(empty, "0000000000000001.tmp", "x", 1);
    fake_disk_put(empty, "notes.txt", "x", 1);
    assert_int_equal(store_open(&conf, &(struct store_recovered){0}, &(struct store *){NULL}),
                     STORE_E_NO_LOG);
    /* Absence is not inferred from what only exists beside a log. */
    fake_disk_put(empty, "0000000000000004.prep", "x", 1);
    assert_int_equal(store_open(&conf, &(struct store_recovered){0}, &(struct store *){NULL}),
                     STORE_E_DAMAGED);
    assert_int_equal(store_create(&conf, config, len), -EEXIST);
    fake_disk_remove(empty, "0000000000000004.prep");
    fake_disk_put(empty, "torn-0000000000000004", "x", 1);
    assert_int_equal(store_open(&conf, &(struct store_recovered){0}, &(struct store *){NULL}),
                     STORE_E_DAMAGED);
    assert_int_equal(store_create(&conf, config, len), -EEXIST);
    fake_disk_free(empty);

    log_begin(&l, 8192, 8192);
    assert_int_equal(store_create(&l.conf, config, len), -EEXIST);
    assert_true(l.rec.hard_state.current_term == 1 && l.rec.hard_state.voted_for == 0);
    assert_true(l.rec.last_index == 1 && l.rec.commit_index == 1);
    assert_int_equal(l.rec.n_terms, 1);
    assert_int_equal(l.rec.n_configs, 1);
    assert_int_equal(l.rec.configs[0].configuration.n, 3);
    assert_false(l.rec.torn_tail);
    log_end(&l);
}

/* No batch is written before the sync of the one before has returned (DISK-14). */
static void store__group_commit_is_one_write_and_one_sync(void **state)
{
    struct log l;
    struct store_stats stats;

    (void)state;
    log_begin(&l, 1u << 20, 1u << 20);
    submit_hard_state(&l, 2, 7);
    for (unsigned i = 0; i < 50; i++)
        submit(&l, 2, "hello", 5);
    work_all(&l);
    assert_int_equal(l.n_writes, 1);
    assert_int_equal(l.n_syncs, 1);
    store_get_stats(l.store, &stats);
    assert_true(stats.n_batches == 51 && stats.n_entries == 50);
    /* Nothing queued: nothing happens. */
    assert_int_equal(store_work(l.store, &(uint64_t){0}), 0);
    assert_int_equal(l.n_writes, 1);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.last_index == 51 && l.rec.commit_index == 50);
    assert_true(l.rec.hard_state.current_term == 2 && l.rec.hard_state.voted_for == 7);
    log_end(&l);
}

/* More than a batch holds: several, each synced before the next is written; also with entries of
 * the largest size. */
static void store__large_queues_are_split(void **state)
{
    unsigned char *data = calloc(1, ENTRY_BYTES_MAX);
    struct log l;
    struct arena arena;
    struct raft_entry e;
    unsigned n;

    (void)state;
    assert_non_null(data);
    log_begin(&l, 64u << 10, 32u << 20);
    for (unsigned i = 0; i < 20; i++) {
        memset(data, (int)i, ENTRY_BYTES_MAX);
        submit(&l, 1, data, i % 2 == 0 ? ENTRY_BYTES_MAX : 1000);
    }
    work_all(&l);
    assert_false(l.overlapping);
    /* SEGMENT_END of the small first one, then 10.5 MiB in two. */
    assert_int_equal(l.n_writes, 3);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.last_index == 21);
    arena_init(&arena, mem_libc);
    for (raft_index i = 2; i <= 21; i++) {
        assert_int_equal(store_read(l.store, i, 21, 1, &arena, &e, 1, &n), 0);
        assert_true(n == 1 && e.id.index == i);
        assert_int_equal(e.len, i % 2 == 0 ? ENTRY_BYTES_MAX : 1000);
        assert_int_equal(((const unsigned char *)e.data)[e.len - 1], i - 2);
        arena_reset(&arena);
    }
    arena_done(&arena);
    free(data);
    log_end(&l);
}

/* The next segment is allocated at once behind a small one, filled in slices from the half on, and
 * used: so there is room for what a leader may have under way, or it is known that there is not. */
static void store__preparation_fills_from_the_half_on(void **state)
{
    unsigned char data[1000] = {0};
    struct log l;
    struct store_stats stats;
    unsigned slices = 0;
    bool more = false;

    (void)state;
    log_begin(&l, 64u << 10, 4u << 20);
    assert_int_equal(store_prepare(l.store, &more), 0);
    assert_true(has_file(l.disk, ".prep"));
    store_get_stats(l.store, &stats);
    assert_true(stats.room_bytes > 4u << 20);
    while (l.store->w.used < (32u << 10)) {
        assert_false(more);
        assert_int_equal(l.store->w.next_filled, 0);
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
        assert_int_equal(store_prepare(l.store, &more), 0);
    }
    assert_true(more);
    assert_true(has_file(l.disk, ".prep"));
    while (more) {
        assert_int_equal(store_prepare(l.store, &more), 0);
        slices++;
    }
    assert_true(slices + 1 >= (4u << 20) / STORE_PREPARE_BYTES);
    assert_int_equal(store_prepare(l.store, &more), 0);
    assert_false(more);
    for (unsigned i = 0; i < 64; i++) {
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
    }
    assert_false(has_file(l.disk, ".prep"));
    assert_true(l.store->w.size == 4u << 20);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.last_index == l.last);
    log_end(&l);
}

/* Each start opens a segment, and an unused one goes (DISK-11). */
static void store__a_restart_loop_does_not_fill_the_disk(void **state)
{
    struct log l;
    uint64_t used;

    (void)state;
    log_begin(&l, 64u << 10, 1u << 20);
    submit(&l, 1, "x", 1);
    work_all(&l);
    assert_int_equal(reopen(&l), 0);
    used = fake_disk_used(l.disk);
    for (unsigned i = 0; i < 100; i++) {
        if (i % 3 == 0)
            assert_int_equal(store_idle(l.store), 0);
        assert_int_equal(reopen(&l), 0);
        assert_int_equal(fake_disk_n_files(l.disk), 5); /* three segments, newest-3, reserve */
        assert_true(fake_disk_used(l.disk) == used);
        assert_true(l.rec.last_index == 2 && !l.rec.torn_tail);
    }
    /* A hard state is something new. */
    submit_hard_state(&l, 9, 0);
    work_all(&l);
    assert_int_equal(reopen(&l), 0);
    assert_int_equal(fake_disk_n_files(l.disk), 6);
    assert_true(l.rec.hard_state.current_term == 9);
    /* So is a promise that is longer than any before, and nothing else (LEASE-3). */
    submit_lease(&l, 9, 0, 300000);
    work_all(&l);
    assert_int_equal(reopen(&l), 0);
    assert_int_equal(fake_disk_n_files(l.disk), 7);
    assert_true(l.rec.hard_state.current_term == 9 && l.rec.hard_state.lease_max_us == 300000);
    assert_int_equal(reopen(&l), 0);
    assert_int_equal(fake_disk_n_files(l.disk), 7);
    assert_true(l.rec.hard_state.lease_max_us == 300000);
    log_end(&l);
}

/* Crash after crash in mid-batch: the torn bytes are kept, the newest four copies of them. What a
 * crash tore is cut, kept aside and told (DISK-5, DISK-12). */
static void store__torn_tails_are_kept_and_few(void **state)
{
    unsigned char data[2000];
    struct log l;

    (void)state;
    memset(data, 0x5a, sizeof(data));
    log_begin(&l, 64u << 10, 1u << 20);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t torn_batch;
        unsigned n_copies = 0;

        submit(&l, 1, data, sizeof(data));
        work_all(&l);
        submit(&l, 1, data, sizeof(data));
        fake_disk_cut_after(l.disk, 2); /* in the sync */
        torn_batch = l.store->w.batch;
        assert_true(store_work(l.store, &(uint64_t){0}) < 0);
        store_close(l.store);
        l.store = NULL;
        fake_disk_power_on(l.disk,
                           &(struct fake_disk_cut){.sector_bytes = 512, .garble_percent = 100});
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.last_index == i + 2);
        assert_true(l.rec.torn_tail);
        assert_non_null(strstr(l.rec.torn_text, ".wal"));
        /* The number of the torn batch is not used again: its successor opened the segment. */
        assert_true(l.store->w.batch == torn_batch + 2);
        for (unsigned j = 0; j < fake_disk_n_files(l.disk); j++)
            n_copies += strncmp(fake_disk_name(l.disk, j), "torn-", 5) == 0;
        assert_int_equal(n_copies, i + 1 < STORE_TORN_COPIES_MAX ? i + 1 : STORE_TORN_COPIES_MAX);
    }
    log_end(&l);
}

/* A segment that another cluster, node or incarnation wrote is none of this log (IDENTITY-3), and a
 * name is no more than a hint (DISK-2). */
static void store__foreign_segments_are_refused(void **state)
{
    struct log l;
    struct store_conf mine;

    (void)state;
    log_begin(&l, 8192, 8192);
    mine = l.conf;
    l.conf.cluster_id[3] ^= 1;
    assert_int_equal(reopen(&l), STORE_E_FOREIGN);
    assert_non_null(strstr(err_text(), "another cluster"));
    l.conf = mine;
    l.conf.node_id++;
    assert_int_equal(reopen(&l), STORE_E_FOREIGN);
    assert_non_null(strstr(err_text(), "another node"));
    l.conf = mine;
    l.conf.incarnation++;
    assert_int_equal(reopen(&l), STORE_E_FOREIGN);
    assert_non_null(strstr(err_text(), "incarnation"));
    l.conf = mine;
    assert_int_equal(reopen(&l), 0);
    log_end(&l);
}

/* What the person is told: file, offset, batch, index range, evidence, the next command (DISK-4). */
static void store__damage_is_explained(void **state)
{
    struct log l;
    uint64_t at = 0;
    char offset[48];

    (void)state;
    log_begin(&l, 64u << 10, 1u << 20);
    for (unsigned i = 0; i < 5; i++) {
        submit(&l, 1, "abcdefgh", 8);
        submit(&l, 1, "abcdefgh", 8);
        if (i == 3)
            at = l.store->w.used;
        work_all(&l);
    }
    store_close(l.store);
    l.store = NULL;
    fake_disk_power_on(l.disk, &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 100});
    fake_disk_flip(l.disk, "0000000000000002.wal", at + 45, 0);
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    (void)snprintf(offset, sizeof(offset), "offset %" PRIu64 ",", at);
    assert_non_null(strstr(err_text(), "'0000000000000002.wal'"));
    assert_non_null(strstr(err_text(), offset));
    assert_non_null(strstr(err_text(), "batch 6"));
    assert_non_null(strstr(err_text(), "index 8 to 9"));
    assert_non_null(strstr(err_text(), "payload is wrong"));
    assert_non_null(strstr(err_text(), "evidence: batch 7 begins to follow at offset"));
    assert_non_null(strstr(err_text(), "ridd --dump-log DIR"));
    assert_non_null(strstr(err_text(), "LOST DISK"));
    /* Repeatable, and nothing was changed by looking. */
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    fake_disk_flip(l.disk, "0000000000000002.wal", at + 45, 0);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.last_index == 11);
    log_end(&l);
}

/* What the state has applied was durable here (DISK-4). */
static void store__the_state_machine_is_evidence(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, 8192, 8192);
    submit(&l, 1, "x", 1);
    work_all(&l);
    l.conf.applied_index = 2;
    assert_int_equal(reopen(&l), 0);
    l.conf.applied_index = 3;
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "state machine holds index 3"));
    log_end(&l);
}

/* A state that is not trusted any more still says how far this log must reach (DISK-41). */
static void store__an_untrusted_state_is_evidence(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, 8192, 8192);
    submit(&l, 1, "x", 1);
    work_all(&l);
    l.conf.shown_index = 2;
    assert_int_equal(reopen(&l), 0);
    l.conf.shown_index = 3;
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "was not to be trusted, but had applied index 3"));
    log_end(&l);
}

static void settle(struct log *l)
{
    store_close(l->store);
    l->store = NULL;
    fake_disk_restart(l->disk);
    fake_disk_cut_now(l->disk);
    fake_disk_power_on(l->disk, &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 100});
}

/* The first batch of a segment is durable before the segment has its name: damage in it is never a
 * torn tail. */
static void store__an_opening_batch_is_never_torn(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, 8192, 8192);
    submit(&l, 1, "x", 1);
    work_all(&l);
    assert_int_equal(reopen(&l), 0); /* segment 3: the opening batch alone */
    settle(&l);
    fake_disk_flip(l.disk, "0000000000000003.wal", 4096 + 60, 2);
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "before it gets its name"));
    log_end(&l);
}

/* A stamped .prep proves that the batch before it was durable. */
static void store__a_prepared_segment_is_evidence(void **state)
{
    unsigned char data[3000] = {0};
    struct log l;
    uint64_t at;

    (void)state;
    log_begin(&l, 8192, 8192);
    submit(&l, 1, data, sizeof(data));
    work_all(&l);
    at = l.store->w.used;
    submit(&l, 1, data, sizeof(data));
    /* write, sync, create, allocate, header, batch, sync, and the rename does not happen */
    fake_disk_fail_call(l.disk, 8, -EIO);
    assert_int_equal(store_work(l.store, &(uint64_t){0}), -EIO);
    settle(&l);
    assert_true(has_file(l.disk, "0000000000000003.prep"));
    fake_disk_flip(l.disk, "0000000000000002.wal", at + 3, 2);
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "'0000000000000003.prep' was made when batch"));
    fake_disk_flip(l.disk, "0000000000000002.wal", at + 3, 2);
    /* Not even a prepared file with records in it is thrown away. */
    fake_disk_remove(l.disk, "0000000000000003.prep");
    assert_int_equal(reopen(&l), 0);
    submit(&l, 1, "x", 1);
    work_all(&l);
    settle(&l);
    fake_disk_rename(l.disk, "0000000000000003.wal", "0000000000000003.prep");
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_true(has_file(l.disk, "0000000000000003.prep"));
    log_end(&l);
}

static void remove_segments(struct fake_disk *d, uint64_t from, uint64_t to)
{
    char name[STORE_NAME_BYTES];

    for (uint64_t seq = from; seq <= to; seq++) {
        store_name_segment(name, seq);
        fake_disk_remove(d, name);
    }
}

/* DISK-2: whoever gives each segment the name of the next leaves a sequence without a gap by its
 * headers; the next segment to be written would take a name that is there. */
static void store__segments_under_names_of_others_are_refused(void **state)
{
    unsigned char data[3000] = {0};
    char from[STORE_NAME_BYTES];
    char to[STORE_NAME_BYTES];
    struct log l;

    (void)state;
    log_begin(&l, 8192, 8192);
    for (unsigned i = 0; i < 4; i++) {
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
    }
    settle(&l);
    for (uint64_t seq = 9; seq > 0; seq--) {
        store_name_segment(from, seq);
        store_name_segment(to, seq + 1);
        if (has_file(l.disk, from))
            fake_disk_rename(l.disk, from, to);
    }
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "a file was renamed or copied over another"));
    log_end(&l);
}

static void remove_like(struct fake_disk *d, const char *part)
{
    for (unsigned i = 0; i < fake_disk_n_files(d);)
        if (strstr(fake_disk_name(d, i), part) != NULL)
            fake_disk_remove(d, fake_disk_name(d, i));
        else
            i++;
}

/* DISK-40: however many of the last segments somebody deletes, whatever the last one held, with and
 * without a prepared one beside it: what is left is not taken for the log. */
static void store__deleted_last_segments_are_missed(void **state)
{
    unsigned char data[3000] = {0};
    struct log l;

    (void)state;
    log_begin(&l, 8192, 8192);
    for (unsigned step = 0; step < 9; step++) {
        uint64_t last = l.store->w.seq;
        bool more = true;

        for (uint64_t from = 2; from <= last; from++)
            for (unsigned kind = 0; kind < 2; kind++) {
                struct fake_disk *d = fake_disk_clone(l.disk, step);
                struct store_conf conf = l.conf;
                struct store_recovered rec = {0};
                struct store *s = NULL;

                fake_disk_restart(d);
                remove_segments(d, from, last);
                if (kind == 1)
                    remove_like(d, ".prep");
                conf.vfs = fake_disk_vfs(d);
                assert_int_equal(store_open(&conf, &rec, &s), STORE_E_DAMAGED);
                assert_non_null(strstr(err_text(), " is missing"));
                fake_disk_free(d);
            }
        if (step % 3 == 2)
            assert_int_equal(reopen(&l), 0); /* one that was started and not used */
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
        while (step % 2 == 0 && more)
            assert_int_equal(store_prepare(l.store, &more), 0);
    }
    assert_true(l.store->w.seq >= 5);
    log_end(&l);
}

/* The same without that name: a file prepared for a number is made beside the one before it. */
static void store__a_prepared_segment_tells_of_the_one_before(void **state)
{
    unsigned char data[3000] = {0};
    struct log l;
    bool more = true;

    (void)state;
    log_begin(&l, 8192, 8192);
    for (unsigned i = 0; i < 2; i++) {
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
    }
    while (more)
        assert_int_equal(store_prepare(l.store, &more), 0);
    settle(&l);
    assert_true(has_file(l.disk, "0000000000000004.prep"));
    remove_like(l.disk, "newest-");
    remove_segments(l.disk, 3, 3);
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "'0000000000000004.prep'"));
    assert_non_null(strstr(err_text(), "segment 3 is missing"));
    assert_true(has_file(l.disk, "0000000000000004.prep")); /* and stays, as it is evidence */
    log_end(&l);
}

/* A log that a version before wrote has no such name, and a crash leaves two. */
static void store__the_highest_newest_counts(void **state)
{
    struct log l;
    struct vfs_file *f = NULL;
    struct vfs *vfs;

    (void)state;
    log_begin(&l, 8192, 8192);
    submit(&l, 1, "x", 1);
    work_all(&l);
    settle(&l);
    remove_like(l.disk, "newest-");
    assert_int_equal(reopen(&l), 0);
    assert_true(has_file(l.disk, "newest-0000000000000003"));
    vfs = fake_disk_vfs(l.disk);
    assert_int_equal(vfs->open(vfs->ctx, "newest-0000000000000002", O_RDWR | O_CREAT | O_EXCL, &f),
                     0);
    assert_int_equal(vfs->close(vfs->ctx, f), 0);
    assert_int_equal(reopen(&l), 0);
    assert_true(has_file(l.disk, "newest-0000000000000003"));
    assert_false(has_file(l.disk, "newest-0000000000000002"));
    remove_segments(l.disk, 3, 3);
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "'newest-0000000000000003'"));
    /* Without any segment the name alone says that there was a log. */
    remove_segments(l.disk, 1, 2);
    assert_int_equal(reopen(&l), STORE_E_NO_LOG);
    assert_int_equal(store_create(&l.conf, "", 0), -EEXIST);
    log_end(&l);
}

/* Two futures of one log: a segment of one does not fit the other, although each is well-formed. */
static void store__segments_of_another_copy_are_refused(void **state)
{
    struct log a;
    struct log b;
    const unsigned char *bytes;
    size_t size;

    (void)state;
    log_begin(&a, 8192, 8192);
    b = a;
    b.rec = (struct store_recovered){0};
    b.store = NULL;
    settle(&a);
    b.disk = fake_disk_clone(a.disk, 2);
    b.conf.vfs = fake_disk_vfs(b.disk);
    assert_int_equal(reopen(&a), 0);
    assert_int_equal(reopen(&b), 0);
    submit(&a, 1, "left", 4);
    work_all(&a);
    submit(&b, 1, "rght", 4);
    work_all(&b);
    assert_int_equal(reopen(&a), 0);
    assert_int_equal(reopen(&b), 0);
    settle(&a);
    settle(&b);
    bytes = fake_disk_bytes(b.disk, "0000000000000002.wal", &size);
    fake_disk_put(a.disk, "0000000000000002.wal", bytes, size);
    assert_int_equal(reopen(&a), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "ends otherwise than the next one says"));
    log_end(&a);
    log_end(&b);
}

/* ---- batches written by hand ---- */

struct by_hand {
    const char *what; /* NULL: must open */
    struct record rec[2];
    unsigned n;
    raft_index last_index;
    raft_term last_term;
};

/* DISK-7, DISK-8, DISK-9, LEASE-3: checksums are good, and still it is nonsense. The log before: index 1 and
 * 2, term 4, vote for 5. */
static void store__nonsense_with_good_checksums_is_refused(void **state)
{
    static const unsigned char vote5[8] = {5};
    static const unsigned char vote6[8] = {6};
    static const unsigned char hash[SNAPMARK_BYTES] = {1};
    size_t len;
    const unsigned char *config = model_config(&len);
    const uint32_t config_len = (uint32_t)len;
    static const unsigned char lease[3][16] = {
        {5}, {5, [8] = 1}, {5, [8] = 0x81, 0x84, 0x1e}}; /* none; 1 us; 2 s and 1 us */
    const struct by_hand cases[] = {
        {NULL, {{.type = RECORD_LEASED_STATE, .term = 4, .len = 16, .data = lease[1]}}, 1, 2, 4},
        {"is shorter",
         {{.type = RECORD_LEASED_STATE, .term = 4, .len = 16, .data = lease[0]}},
         1,
         2,
         4},
        {"out of range",
         {{.type = RECORD_LEASED_STATE, .term = 4, .len = 16, .data = lease[2]}},
         1,
         2,
         4},
        {"wrong length",
         {{.type = RECORD_LEASED_STATE, .term = 4, .len = 8, .data = lease[1]}},
         1,
         2,
         4},
        {"wrong length",
         {{.type = RECORD_HARDSTATE, .term = 4, .len = 16, .data = lease[1]}},
         1,
         2,
         4},
        {"is shorter",
         {{.type = RECORD_LEASED_STATE, .term = 4, .len = 16, .data = lease[1]},
          {.type = RECORD_HARDSTATE, .term = 4, .len = 8, .data = vote5}},
         2,
         2,
         4},
        {NULL, {{.type = RECORD_HARDSTATE, .term = 4, .len = 8, .data = vote5}}, 1, 2, 4},
        {NULL, {{.type = RECORD_HARDSTATE, .term = 5, .len = 8, .data = vote6}}, 1, 2, 4},
        {"term of a hard state is lower",
         {{.type = RECORD_HARDSTATE, .term = 3, .len = 8, .data = vote5}},
         1,
         2,
         4},
        {"vote changes", {{.type = RECORD_HARDSTATE, .term = 4, .len = 8, .data = vote6}}, 1, 2, 4},
        {"wrong length", {{.type = RECORD_HARDSTATE, .term = 4, .len = 7, .data = vote5}}, 1, 2, 4},
        {NULL, {{.type = RECORD_ENTRY, .flags = 1, .index = 3, .term = 4}}, 1, 3, 4},
        {"does not follow", {{.type = RECORD_ENTRY, .flags = 1, .index = 4, .term = 4}}, 1, 4, 4},
        {"does not follow", {{.type = RECORD_ENTRY, .flags = 1, .index = 2, .term = 4}}, 1, 2, 4},
        {"term of an entry is lower",
         {{.type = RECORD_ENTRY, .flags = 1, .index = 3, .term = 3}},
         1,
         3,
         3},
        {"no type", {{.type = RECORD_ENTRY, .flags = 0, .index = 3, .term = 4}}, 1, 3, 4},
        {"not hold a configuration",
         {{.type = RECORD_ENTRY, .flags = RAFT_ENTRY_CONFIG, .index = 3, .term = 4}},
         1,
         3,
         4},
        {"another last entry",
         {{.type = RECORD_ENTRY, .flags = 1, .index = 3, .term = 4}},
         1,
         2,
         4},
        {NULL,
         {{.type = RECORD_TRUNCATE, .index = 2},
          {.type = RECORD_ENTRY, .flags = 1, .index = 2, .term = 4}},
         2,
         2,
         4},
        {NULL, {{.type = RECORD_TRUNCATE, .index = 77}}, 1, 2, 4},
        {"truncation", {{.type = RECORD_TRUNCATE, .index = 0}}, 1, 2, 4},
        {NULL,
         {{.type = RECORD_SNAPMARK, .index = 2, .term = 4, .len = 32, .data = hash}},
         1,
         2,
         4},
        {"snapshot mark",
         {{.type = RECORD_SNAPMARK, .index = 2, .term = 3, .len = 32, .data = hash}},
         1,
         2,
         4},
        {"snapshot mark",
         {{.type = RECORD_SNAPMARK, .index = 9, .term = 4, .len = 32, .data = hash}},
         1,
         2,
         4},
        {NULL,
         {{.type = RECORD_CONFIG, .index = 1, .term = 1, .len = config_len, .data = config}},
         1,
         2,
         4},
        {"names another configuration",
         {{.type = RECORD_CONFIG, .index = 2, .term = 4, .len = config_len, .data = config}},
         1,
         2,
         4},
        {"not hold a configuration", {{.type = RECORD_CONFIG, .index = 1, .term = 1}}, 1, 2, 4},
        {"truncation",
         {{.type = RECORD_SNAPMARK, .index = 2, .term = 4, .len = 32, .data = hash},
          {.type = RECORD_TRUNCATE, .index = 2}},
         2,
         1,
         1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct by_hand *c = &cases[i];
        struct log l;
        int r;

        log_begin(&l, 8192, 8192);
        submit_hard_state(&l, 4, 5);
        submit(&l, 4, "x", 1);
        work_all(&l);
        settle(&l);
        forge_batch(l.disk, &l.conf, c->rec, c->n,
                    &(struct raft_entry_id){c->last_term, c->last_index});
        r = reopen(&l);
        if (r != (c->what == NULL ? 0 : STORE_E_DAMAGED) ||
            (c->what != NULL && strstr(err_text(), c->what) == NULL))
            fail_msg("case %zu: %d %s", i, r, err_text());
        log_end(&l);
    }
}

/* ---- failures of the disk ---- */

/* DISK-13: an error is final, and what was not durable does not come back as durable. */
static void store__a_failed_sync_is_final(void **state)
{
    static const enum fake_disk_sync_failure models[] = {FAKE_DISK_SYNC_PAGES_CLEAN,
                                                         FAKE_DISK_SYNC_REVERT};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct log l;
        uint64_t number = 77;
        bool more;

        log_begin(&l, 64u << 10, 64u << 10);
        submit(&l, 1, "durable", 7);
        work_all(&l);
        submit(&l, 1, "lost", 4);
        fake_disk_fail_sync(l.disk, 1, models[i]);
        assert_int_equal(store_work(l.store, &number), -EIO);
        /* The disk works again; the store does not ask it. */
        l.n_writes = 0;
        assert_int_equal(store_work(l.store, &number), -EIO);
        submit(&l, 1, "later", 5);
        assert_int_equal(store_work(l.store, &number), -EIO);
        assert_int_equal(store_idle(l.store), -EIO);
        assert_int_equal(store_prepare(l.store, &more), -EIO);
        assert_true(number == 77);
        assert_int_equal(l.n_writes, 0);
        /* Only the process dies: with clean pages the cache still shows the lost batch (DISK-10).
         */
        store_close(l.store);
        l.store = NULL;
        fake_disk_restart(l.disk);
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.last_index == 2);
        if (models[i] == FAKE_DISK_SYNC_PAGES_CLEAN) {
            assert_true(l.rec.torn_tail);
            assert_non_null(strstr(l.rec.torn_text, "never reached the disk"));
        }
        log_end(&l);
    }
}

static void store__a_failed_call_is_handed_up(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 40; n++) {
        struct log l;
        unsigned char data[900] = {0};
        uint64_t number = 0;
        raft_index durable = 1;
        int r = 0;

        log_begin(&l, 5000, 6000);
        fake_disk_fail_call(l.disk, n, -EIO);
        for (unsigned i = 0; r == 0 && i < 40; i++) {
            submit(&l, 1, data, sizeof(data));
            r = store_work(l.store, &number);
            if (r == 0) {
                assert_true(number == l.number);
                durable = l.last;
            }
        }
        assert_int_equal(r, -EIO);
        store_close(l.store);
        l.store = NULL;
        fake_disk_cut_now(l.disk);
        fake_disk_power_on(l.disk, &(struct fake_disk_cut){.sector_bytes = 512});
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.last_index >= durable && l.rec.last_index <= durable + 1);
        log_end(&l);
    }
}

/* A power cut now, which keeps nothing that is pending, and one that keeps some of it: what was told
 * as durable is there. */
static void expect_survives(const struct log *l, raft_index durable)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        struct fake_disk *d = fake_disk_clone(l->disk, l->number);
        const struct fake_disk_cut nothing = {.sector_bytes = 512};
        struct log copy = {.disk = d, .conf = l->conf};

        fake_disk_cut_now(d);
        fake_disk_power_on(d, kind == 0 ? &nothing : NULL);
        copy.conf.vfs = fake_disk_vfs(d);
        if (reopen(&copy) != 0)
            fail_msg("held at stage %d: %s", (int)l->store->w.stage, err_text());
        assert_true(copy.last >= durable);
        log_end(&copy);
    }
}

/* True: it was held for want of room meanwhile. With n_held_at, by stage, it may lose power whenever
 * it is held, and when it is not any more. */
static bool write_until_durable(struct log *l, uint64_t *number, unsigned *n_held_at)
{
    bool was_held = false;

    for (unsigned i = 0; i < 100 && *number != l->number; i++) {
        struct store_stats stats;
        bool more;

        assert_int_equal(store_work(l->store, number), 0);
        store_get_stats(l->store, &stats);
        if (l->store->w.held) {
            was_held = true;
            assert_true(stats.no_space);
            assert_false(store_has_work(l->store));
            assert_int_equal(store_idle(l->store), 0);
            if (n_held_at != NULL) {
                n_held_at[l->store->w.stage]++;
                expect_survives(l, l->last - (*number != l->number));
            }
        }
        assert_int_equal(store_prepare(l->store, &more), 0);
    }
    assert_true(*number == l->number);
    if (was_held && n_held_at != NULL)
        expect_survives(l, l->last);
    return was_held;
}

/* SPACE-13: the blocks were there, and a write into them, a sync or a name finds no room: whichever
 * of them it is, and however often. Nothing fails, and what is told as durable is: also where a sync
 * that failed has made the pages look clean. Names are no pages: a folder whose sync failed has
 * them, and they are synced again. */
static void store__room_that_was_promised_and_is_not_there(void **state)
{
    unsigned n_held_at[STAGE_BATCH + 1] = {0};
    unsigned n_held = 0;

    (void)state;
    for (unsigned k = 0; k < 3 * 60; k++) {
        struct log l;
        unsigned char data[900] = {0};
        uint64_t number = 0;
        struct store_stats stats;
        bool was_held = false;
        bool more;

        log_begin(&l, 5000, 6000);
        if (k % 3 == 0)
            fake_disk_fail_call(l.disk, 1 + k / 3, -ENOSPC);
        else
            fake_disk_fail_sync(l.disk, 1 + k / 3 / 2,
                                k % 3 == 1 ? FAKE_DISK_SYNC_PAGES_CLEAN : FAKE_DISK_SYNC_REVERT);
        fake_disk_set_sync_error(l.disk, k % 2 == 0 ? -ENOSPC : -EDQUOT);
        for (unsigned i = 0; i < 40; i++) {
            submit(&l, 1, data, sizeof(data));
            if (write_until_durable(&l, &number, n_held_at) && !was_held && k % 3 == 0) {
                was_held = true;
                fake_disk_fail_call(l.disk, 1, -EDQUOT); /* and once more */
            }
            if (i % 2 == 0)
                assert_int_equal(store_idle(l.store), 0);
        }
        for (unsigned i = 0; i < 200; i++)
            assert_int_equal(store_prepare(l.store, &more), 0);
        store_get_stats(l.store, &stats);
        assert_false(stats.no_space);
        store_close(l.store);
        l.store = NULL;
        fake_disk_cut_now(l.disk);
        fake_disk_power_on(l.disk, &(struct fake_disk_cut){.sector_bytes = 512});
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.last_index == 41); /* the configuration is the first */
        log_end(&l);
        n_held += was_held;
    }
    assert_true(n_held >= 30);
    for (unsigned stage = STAGE_END; stage <= STAGE_BATCH; stage++)
        assert_true(n_held_at[stage] > 0);
}

/* SPACE-10: not even the reserve is there. The log is read and answers, and what is written waits for
 * a segment. */
static void store__a_start_without_a_segment(void **state)
{
    unsigned char data[1000] = {0};
    struct store_stats stats;
    uint64_t number = 0;
    struct log l;
    bool more;

    (void)state;
    log_begin(&l, 128u << 10, 1u << 20);
    for (unsigned i = 0; i < 20; i++) {
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
    }
    for (unsigned start = 0; start < 3; start++) {
        store_close(l.store);
        l.store = NULL;
        if (has_file(l.disk, "reserve"))
            fake_disk_remove(l.disk, "reserve");
        fake_disk_set_capacity(l.disk, 1);
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.last_index == 21);
        store_get_stats(l.store, &stats);
        assert_true(stats.no_space);
        assert_int_equal(stats.room_bytes, 0);
        assert_int_equal(store_idle(l.store), 0);
    }
    submit(&l, 1, data, sizeof(data));
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(store_work(l.store, &number), 0);
        assert_true(number == 0);
        assert_int_equal(store_prepare(l.store, &more), 0);
    }
    fake_disk_set_capacity(l.disk, 0);
    (void)write_until_durable(&l, &number, NULL);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.last_index == 22);
    }
    log_end(&l);
}

/* No room is a state that ends by itself, not an error (SPACE-1). */
static void store__a_full_disk(void **state)
{
    unsigned char data[1000] = {0};
    struct store_stats stats;
    struct log l;
    raft_index durable = 0;
    uint64_t number;
    bool more;
    bool had_small = false;

    (void)state;
    log_begin(&l, 64u << 10, 1u << 20);
    fake_disk_set_capacity(l.disk, fake_disk_used(l.disk) + (100u << 10));
    while (l.store->w.used < (40u << 10)) {
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
    }
    /* It cannot be prepared: a state, not an error; batches go on. */
    assert_int_equal(store_prepare(l.store, &more), 0);
    store_get_stats(l.store, &stats);
    assert_true(stats.no_space);
    assert_false(has_file(l.disk, ".prep"));
    submit(&l, 1, data, sizeof(data));
    work_all(&l);
    /* It ends by itself when there is room. */
    fake_disk_set_capacity(l.disk, 0);
    for (unsigned i = 0; i < 200 && stats.no_space; i++) {
        assert_int_equal(store_prepare(l.store, &more), 0);
        store_get_stats(l.store, &stats);
    }
    assert_false(stats.no_space);
    assert_true(has_file(l.disk, ".prep"));
    while (more)
        assert_int_equal(store_prepare(l.store, &more), 0);
    while (l.store->w.size < (1u << 20)) {
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
    }
    /* Rotation on a nearly full disk: small segments while there is room for one, the reserve, one
     * that is just large enough; then what is queued waits, and nothing is lost of it (SPACE-9). */
    fake_disk_set_capacity(l.disk, fake_disk_used(l.disk) + (70u << 10));
    do {
        submit(&l, 1, data, sizeof(data));
        number = 0;
        assert_int_equal(store_work(l.store, &number), 0);
        assert_int_equal(store_prepare(l.store, &more), 0);
        durable = number != 0 ? l.last : durable;
        if (!had_small && l.store->w.size < (1u << 20)) {
            had_small = true;
            assert_int_equal(l.store->w.size, 64u << 10);
            assert_true(has_file(l.disk, "reserve"));
        }
    } while (number != 0 && l.last < 3000);
    assert_true(had_small);
    assert_int_equal(l.last, durable + 1);
    assert_false(has_file(l.disk, "reserve"));
    store_get_stats(l.store, &stats);
    assert_true(stats.no_space);
    assert_true(stats.queued_bytes > sizeof(data));
    assert_false(store_has_work(l.store)); /* nobody goes round for nothing */
    for (unsigned i = 0; i < 5; i++) {
        submit(&l, 1, data, sizeof(data));
        assert_int_equal(store_work(l.store, &number), 0);
        assert_int_equal(store_prepare(l.store, &more), 0);
    }
    assert_false(store_has_work(l.store));
    fake_disk_set_capacity(l.disk, 0);
    for (unsigned i = 0; i < 200 && !store_has_work(l.store); i++)
        assert_int_equal(store_prepare(l.store, &more), 0);
    work_all(&l);
    store_get_stats(l.store, &stats);
    assert_int_equal(stats.queued_bytes, 0);
    durable = l.last;
    assert_int_equal(reopen(&l), 0);
    assert_false(l.rec.torn_tail);
    assert_true(l.rec.last_index == durable);
    log_end(&l);
}

/* A start finds the disk full to the last byte, and another one after it: the reserve is the new
 * segment, and what the old ones do not need any more becomes the next reserve (SPACE-10). */
static void store__a_start_on_a_full_disk(void **state)
{
    unsigned char data[1000] = {0};
    struct store_stats stats;
    struct log l;
    bool more;

    (void)state;
    log_begin(&l, 128u << 10, 1u << 20);
    assert_int_equal(store_prepare(l.store, &more), 0);
    assert_true(has_file(l.disk, "reserve"));
    for (unsigned i = 0; i < 50; i++) {
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
    }
    /* Without the prepared segment, which the start removes, nothing is free. */
    fake_disk_set_capacity(l.disk, fake_disk_used(l.disk) - (1u << 20));
    for (unsigned start = 0; start < 6; start++) {
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.last_index == l.last);
        assert_int_equal(store_prepare(l.store, &more), 0);
        store_get_stats(l.store, &stats);
        assert_true(stats.no_space);
        if (start % 2 == 1) {
            submit(&l, 1, "x", 1);
            work_all(&l);
        }
    }
    log_end(&l);
}

/* A follower goes on writing while there is no room to prepare, and so it rotates. What it then finds
 * must end the state: as a leader it refuses writes, and without writes no segment gets half full. */
static void store__room_is_noticed_after_a_rotation(void **state)
{
    unsigned char data[1000] = {0};

    (void)state;
    for (unsigned scene = 0; scene < 2; scene++) {
        struct store_stats stats;
        struct log l;
        uint64_t seq;
        bool more;

        log_begin(&l, 64u << 10, 1u << 20);
        seq = l.store->w.seq;
        fake_disk_set_capacity(l.disk, fake_disk_used(l.disk) + (200u << 10));
        while (l.store->w.used < (40u << 10)) {
            submit(&l, 1, data, sizeof(data));
            work_all(&l);
        }
        assert_int_equal(store_prepare(l.store, &more), 0);
        store_get_stats(l.store, &stats);
        assert_true(stats.no_space);
        /* Scene 0: the rotation itself finds room. Scene 1: a small segment only. */
        if (scene == 0)
            fake_disk_set_capacity(l.disk, 0);
        while (l.store->w.seq == seq) {
            submit(&l, 1, data, sizeof(data));
            work_all(&l);
        }
        store_get_stats(l.store, &stats);
        assert_true(stats.no_space == (scene == 1));
        assert_true(l.store->w.size == (scene == 1 ? 64u << 10 : 1u << 20));
        fake_disk_set_capacity(l.disk, 0);
        for (unsigned i = 0; i < 200 && stats.no_space; i++) {
            assert_int_equal(store_prepare(l.store, &more), 0);
            store_get_stats(l.store, &stats);
        }
        assert_false(stats.no_space);
        log_end(&l);
    }
}

/* A quota says the same as a full disk. */
static void store__a_quota_is_a_full_disk(void **state)
{
    unsigned char data[1000] = {0};
    struct store_stats stats;
    struct log l;
    bool more;

    (void)state;
    log_begin(&l, 64u << 10, 1u << 20);
    while (l.store->w.used < (40u << 10)) {
        submit(&l, 1, data, sizeof(data));
        work_all(&l);
    }
    fake_disk_fail_call(l.disk, 2, -EDQUOT); /* open, allocate */
    assert_int_equal(store_prepare(l.store, &more), 0);
    store_get_stats(l.store, &stats);
    assert_true(stats.no_space);
    log_end(&l);
}

static void store__bad_reads(void **state)
{
    struct log l;
    struct arena arena;
    struct raft_entry e[8];
    size_t config_len;
    unsigned n = 0;

    (void)state;
    log_begin(&l, 64u << 10, 64u << 10);
    arena_init(&arena, mem_libc);
    submit(&l, 1, "abcdefgh", 8);
    submit(&l, 1, "ijklmnop", 8);
    work_all(&l);
    assert_int_equal(store_read(l.store, 1, 99, 1000, &arena, e, 8, &n), 0);
    assert_int_equal(n, 3);
    assert_memory_equal(e[2].data, "ijklmnop", 8);
    assert_int_equal(store_read(l.store, 4, 9, 1000, &arena, e, 8, &n), -ERANGE);
    fake_disk_fail_read(l.disk, "0000000000000002.wal", 4096, 8192);
    assert_int_equal(store_read(l.store, 2, 3, 1000, &arena, e, 8, &n), -EIO);
    assert_int_equal(store_read(l.store, 1, 1, 1000, &arena, e, 8, &n), 0);
    fake_disk_fail_read(l.disk, NULL, 0, 0);
    /* Rot under a running node: found at the read, never handed out. */
    (void)model_config(&config_len);
    fake_disk_flip(l.disk, "0000000000000002.wal",
                   4096 + record_bytes(HARDSTATE_BYTES) + record_bytes(config_len) +
                       record_bytes(BATCH_END_BYTES) + RECORD_HEADER_BYTES,
                   3);
    assert_int_equal(store_read(l.store, 2, 3, 1000, &arena, e, 8, &n), -EBADMSG);
    assert_non_null(strstr(err_text(), "index 2"));
    assert_non_null(strstr(err_text(), "ridd --dump-log DIR"));
    arena_done(&arena);
    log_end(&l);
}

static void store__read_errors_stop_the_start(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, 8192, 8192);
    submit(&l, 1, "x", 1);
    work_all(&l);
    fake_disk_fail_read(l.disk, "0000000000000001.wal", 0, 1);
    assert_int_equal(reopen(&l), -EIO);
    fake_disk_fail_read(l.disk, "0000000000000002.wal", 5000, 1);
    assert_int_equal(reopen(&l), -EIO);
    fake_disk_fail_read(l.disk, NULL, 0, 0);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.last_index == 2);
    log_end(&l);
}

/* ---- the dump ---- */

static char *dump(const struct store_conf *conf, int *ret_result)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    *ret_result = store_dump(conf, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void dump_has(const struct store_conf *conf, int result, const char *const *words)
{
    int r;
    char *text = dump(conf, &r);
    const char *at = text;

    if (r != result)
        fail_msg("dump returned %d, not %d:\n%s", r, result, text);
    for (; *words != NULL; words++) {
        at = strstr(at, *words);
        if (at == NULL)
            fail_msg("no '%s' (in this order) in:\n%s", *words, text);
    }
    /* The verdict is the last line. */
    assert_string_equal(strchr(strstr(text, "verdict="), '\n'), "\n");
    free(text);
}

static void store__dump(void **state)
{
    static const unsigned char hash[SNAPMARK_BYTES] = {0xab};
    size_t config_len;
    const void *config = model_config(&config_len);
    const struct record recs[] = {
        {.type = RECORD_SNAPMARK, .index = 2, .term = 3, .len = 32, .data = hash},
        {.type = RECORD_CONFIG, .index = 1, .term = 1, .len = (uint32_t)config_len, .data = config},
    };
    struct fake_disk *disk;
    struct store_conf conf;
    struct log l;
    uint64_t at;
    uint64_t calls;

    (void)state;
    log_begin(&l, 64u << 10, 64u << 10);
    submit_hard_state(&l, 3, 0xbeef);
    submit(&l, 3, "new\nline\x1b", 9);
    at = l.store->w.used;
    work_all(&l);
    submit(&l, 3, "second", 6);
    submit_lease(&l, 3, 0xbeef, 300000);
    work_all(&l);
    assert_int_equal(store_idle(l.store), 0);
    assert_int_equal(
        store_submit(l.store, &(struct store_batch){.number = ++l.number, .truncate_from = 3}), 0);
    l.last = 2;
    work_all(&l);
    settle(&l);
    forge_batch(l.disk, &l.conf, recs, 2, &(struct raft_entry_id){3, 2});
    calls = fake_disk_n_calls(l.disk);
    conf = l.conf;
    conf.node_id = 0; /* any identity */
    dump_has(&conf, 0,
             (const char *const[]){
                 "segment=0000000000000001.wal", "seq=1", "hard_state term=1",
                 "entry index=1 term=1 type=config", "members=n1:voter,n2:voter,n3:learner",
                 "batch_end last_index=1", "segment=0000000000000002.wal",
                 "hard_state term=3 voted_for=000000000000beef",
                 "entry index=2 term=3 type=command bytes=9 data='new\\x0aline\\x1b'",
                 "leased_state term=3 voted_for=000000000000beef lease_max_us=300000",
                 "sync_mark synced_batch=4", "truncate from=3",
                 "snapshot_mark index=2 term=3 hash=ab00", "config index=1 term=1 members=n1",
                 "zeros bytes=", "verdict=clean batch=6 last_index=2 last_term=3", NULL});
    /* Torn: garbage behind the last batch. */
    disk = fake_disk_clone(l.disk, 1);
    conf.vfs = fake_disk_vfs(disk);
    fake_disk_flip(disk, "0000000000000002.wal", 60000, 1);
    dump_has(&conf, 0,
             (const char *const[]){"unreadable", "verdict=torn_tail", "last_index=2", NULL});
    fake_disk_free(disk);
    /* Damaged: goes on behind it. */
    disk = fake_disk_clone(l.disk, 1);
    conf.vfs = fake_disk_vfs(disk);
    fake_disk_flip(disk, "0000000000000002.wal", at + 50, 1);
    fake_disk_flip(disk, "0000000000000002.wal", at + 2, 1);
    dump_has(&conf, STORE_E_DAMAGED,
             (const char *const[]){"unreadable", "DAMAGED", "sync_mark", "truncate from=3",
                                   "verdict=damaged: damaged log: '0000000000000002.wal'", NULL});
    fake_disk_flip(disk, "0000000000000001.wal", 100, 1);
    dump_has(&conf, STORE_E_DAMAGED,
             (const char *const[]){"segment=0000000000000001.wal",
                                   "DAMAGED: the checksum of the segment header",
                                   "segment=0000000000000002.wal", "verdict=damaged", NULL});
    fake_disk_free(disk);
    /* Another node's. */
    conf = l.conf;
    conf.incarnation++;
    dump_has(&conf, STORE_E_FOREIGN,
             (const char *const[]){"entry index=1", "verdict=foreign", NULL});
    /* Looking changed nothing. */
    assert_true(fake_disk_n_calls(l.disk) == calls);
    log_end(&l);
}

static void dump_lacks(const struct store_conf *conf, const char *word)
{
    int r;
    char *text = dump(conf, &r);

    assert_int_equal(r, 0);
    if (strstr(text, word) != NULL)
        fail_msg("'%s' in:\n%s", word, text);
    free(text);
}

/* LEASE-3: the longest promise stands in every segment, with term and vote. A node that never gave one
 * has a log without a trace of it, which an earlier program reads; one that did has records of a type
 * that such a program does not know, and refuses in words (DISK-24). */
static void store__the_longest_promise_is_kept(void **state)
{
    static char data[4000];
    struct log l;

    (void)state;
    log_begin(&l, 64u << 10, 64u << 10);
    submit_lease(&l, 2, 7, 0);
    work_all(&l);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.hard_state.lease_max_us == 0);
    dump_lacks(&l.conf, "leased_state");
    submit_lease(&l, 2, 7, 1);
    work_all(&l);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.hard_state.lease_max_us == 1);
    dump_has(&l.conf, 0,
             (const char *const[]){"hard_state term=1", "leased_state term=2", "lease_max_us=1",
                                   "verdict=clean", "lease_max_us=1", NULL});
    submit_lease(&l, 2, 7, RAFT_LEASE_US_MAX);
    submit_lease(&l, 3, 0, RAFT_LEASE_US_MAX);
    for (unsigned i = 0; i < 40; i++) {
        submit(&l, 3, data, sizeof(data));
        work_all(&l);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.hard_state.current_term == 3 && l.rec.hard_state.voted_for == 0);
        assert_true(l.rec.hard_state.lease_max_us == RAFT_LEASE_US_MAX);
    }
    log_end(&l);
}

static void store__dump_survives_any_bytes(void **state)
{
    struct log l;
    struct prng p;

    (void)state;
    log_begin(&l, 8192, 8192);
    for (unsigned i = 0; i < 20; i++) {
        submit(&l, 1, "payload", 7);
        work_all(&l);
    }
    store_close(l.store);
    l.store = NULL;
    fake_disk_power_on(l.disk, &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 100});
    prng_init(&p, 5);
    for (unsigned i = 0; i < 300; i++) {
        struct fake_disk *disk = fake_disk_clone(l.disk, i);
        struct store_conf conf = l.conf;
        int r;
        char *text;

        for (unsigned j = 0; j < 1 + i % 40; j++) {
            const char *name =
                fake_disk_name(disk, (unsigned)prng_below(&p, fake_disk_n_files(disk)));
            size_t size;

            (void)fake_disk_bytes(disk, name, &size);
            if (size > 0)
                fake_disk_flip(disk, name, prng_below(&p, size), (unsigned)prng_below(&p, 8));
        }
        conf.vfs = fake_disk_vfs(disk);
        conf.node_id = 0;
        text = dump(&conf, &r);
        assert_non_null(strstr(text, "verdict="));
        assert_true(r >= 0);
        free(text);
        fake_disk_free(disk);
    }
    log_end(&l);
}

/* ---- the real files ---- */

struct real {
    char path[64];
    int dir_fd;
    struct vfs *vfs;
    struct store_conf conf;
};

static void real_begin(struct real *d)
{
    (void)snprintf(d->path, sizeof(d->path), "test-store-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    d->dir_fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(d->dir_fd >= 0);
    assert_int_equal(vfs_posix_new(d->dir_fd, &d->vfs), 0);
    model_conf(&d->conf, d->vfs, 1u << 20, 8u << 20);
}

static int remove_one(void *arg, const char *name)
{
    struct real *d = arg;

    return unlinkat(d->dir_fd, name, 0);
}

static void real_end(struct real *d)
{
    (void)d->vfs->list(d->vfs->ctx, remove_one, d);
    assert_int_equal(rmdir(d->path), 0);
    (void)close(d->dir_fd);
    vfs_posix_free(d->vfs);
}

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void store__posix_files(void **state)
{
    struct real d;
    struct vfs_file *f;
    struct stat st;
    unsigned char buf[8];
    struct iovec iov[2] = {{.iov_base = buf, .iov_len = 3}, {.iov_base = buf + 3, .iov_len = 5}};
    int before = count_fds();

    (void)state;
    memcpy(buf, "12345678", 8);
    real_begin(&d);
    assert_int_equal(d.vfs->open(d.vfs->ctx, "a", O_RDWR, &f), -ENOENT);
    assert_non_null(strstr(err_text(), "cannot open 'a'"));
    assert_int_equal(d.vfs->open(d.vfs->ctx, "a", O_RDWR | O_CREAT | O_EXCL, &f), 0);
    assert_int_equal(fstatat(d.dir_fd, "a", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(d.vfs->pwritev(d.vfs->ctx, f, iov, 2, 10), 8);
    assert_int_equal(d.vfs->size(d.vfs->ctx, f), 18);
    assert_int_equal(d.vfs->allocate(d.vfs->ctx, f, 8192), 0);
    assert_int_equal(d.vfs->size(d.vfs->ctx, f), 8192);
    assert_int_equal(d.vfs->fdatasync(d.vfs->ctx, f), 0);
    assert_int_equal(d.vfs->drop_cache(d.vfs->ctx, f), 0);
    memset(buf, 0, sizeof(buf));
    assert_int_equal(d.vfs->pread(d.vfs->ctx, f, buf, 8, 10), 8);
    assert_memory_equal(buf, "12345678", 8);
    assert_int_equal(d.vfs->pread(d.vfs->ctx, f, buf, 8, 8190), 2);
    assert_int_equal(d.vfs->truncate(d.vfs->ctx, f, 12), 0);
    assert_int_equal(d.vfs->size(d.vfs->ctx, f), 12);
    assert_int_equal(d.vfs->close(d.vfs->ctx, f), 0);
    assert_int_equal(d.vfs->open(d.vfs->ctx, "a", O_RDWR | O_CREAT | O_EXCL, &f), -EEXIST);
    /* A link is not followed. */
    assert_int_equal(symlinkat("a", d.dir_fd, "link"), 0);
    assert_int_equal(d.vfs->open(d.vfs->ctx, "link", O_RDWR, &f), -ELOOP);
    assert_int_equal(d.vfs->rename(d.vfs->ctx, "a", "b"), 0);
    assert_int_equal(d.vfs->sync_dir(d.vfs->ctx), 0);
    assert_int_equal(d.vfs->unlink(d.vfs->ctx, "b"), 0);
    assert_int_equal(d.vfs->unlink(d.vfs->ctx, "b"), -ENOENT);
    real_end(&d);
    assert_int_equal(count_fds(), before);
}

static void real_create_open(struct real *d, struct store **ret_store)
{
    struct store_recovered rec;
    size_t len;
    const void *config = model_config(&len);

    assert_int_equal(store_create(&d->conf, config, len), 0);
    assert_int_equal(store_open(&d->conf, &rec, ret_store), 0);
    store_recovered_done(&rec);
}

static int submit_number(struct store *s, uint64_t number)
{
    unsigned char data[200];
    struct raft_entry e = {.id = {.term = 1, .index = number + 1},
                           .type = RAFT_ENTRY_COMMAND,
                           .len = (uint32_t)(number % sizeof(data)),
                           .data = data};

    memset(data, (int)(number & 0xff), sizeof(data));
    return store_submit(s, &(struct store_batch){.number = number, .entries = &e, .n_entries = 1});
}

/* Waits on fd until the log thread says that number is durable. */
static void wait_durable(struct log_thread *t, int fd, uint64_t number)
{
    uint64_t deadline = clock_mono_us() + 60000000;

    while (log_thread_durable(t) < number) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t n;

        assert_true(clock_mono_us() < deadline);
        (void)poll(&p, 1, 1000);
        if (p.revents != 0)
            assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
    }
}

static void must_not_fail(void *ctx, int error)
{
    (void)ctx;
    (void)fprintf(stderr, "log thread failed: %d %s\n", error, err_text());
    abort();
}

/* Two threads: submitting and reading here, writing there, through a rotation and several prepared
 * slices. */
static void store__log_thread(void **state)
{
    const uint64_t total = 20000;
    struct real d;
    struct store *s;
    struct log_thread *t;
    struct arena arena;
    struct store_recovered rec;
    struct store_stats stats;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    (void)state;
    real_begin(&d);
    d.conf.segment_bytes = 1u << 20;
    real_create_open(&d, &s);
    assert_int_equal(log_thread_start(s, fd, must_not_fail, NULL, &t), 0);
    arena_init(&arena, mem_libc);
    for (uint64_t number = 1; number <= total; number++) {
        uint64_t durable;

        assert_int_equal(submit_number(s, number), 0);
        log_thread_wake(t);
        durable = log_thread_durable(t);
        assert_true(durable <= number);
        if (number % 512 == 0)
            wait_durable(t, fd, number - 256);
        if (durable > 0 && number % 7 == 0) {
            struct raft_entry e[16];
            raft_index from = 2 + number * 31 % durable;
            unsigned n;

            assert_int_equal(store_read(s, from, durable + 1, 4096, &arena, e, 16, &n), 0);
            for (unsigned i = 0; i < n; i++) {
                assert_true(e[i].id.index == from + i);
                assert_int_equal(e[i].len, (from + i - 1) % 200);
                if (e[i].len > 0)
                    assert_int_equal(((const unsigned char *)e[i].data)[e[i].len - 1],
                                     (from + i - 1) & 0xff);
            }
            arena_reset(&arena);
        }
    }
    /* What is queued is finished by stopping. */
    log_thread_stop(t);
    store_get_stats(s, &stats);
    assert_true(stats.n_batches == total);
    assert_true(stats.n_fsyncs < total);
    assert_true(stats.n_segments > 2);
    store_close(s);
    assert_int_equal(store_open(&d.conf, &rec, &s), 0);
    assert_true(rec.last_index == total + 1);
    store_recovered_done(&rec);
    store_close(s);
    arena_done(&arena);
    (void)close(fd);
    real_end(&d);
}

static int (*real_fdatasync)(void *ctx, struct vfs_file *f);

/* A log with its thread. */
struct threaded {
    struct real d;
    struct store *store;
    struct log_thread *thread;
    int fd;
    uint64_t deadline;
};

/* on_failure is given &t->fd; a sync of the test's own is set before the thread begins, NULL: none. */
static void threaded_begin(struct threaded *t, void (*on_failure)(void *ctx, int error),
                           int (*sync)(void *ctx, struct vfs_file *f))
{
    *t = (struct threaded){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                           .deadline = clock_mono_us() + 30000000};
    assert_true(t->fd >= 0);
    real_begin(&t->d);
    real_create_open(&t->d, &t->store);
    real_fdatasync = t->d.vfs->fdatasync;
    if (sync != NULL)
        t->d.vfs->fdatasync = sync;
    assert_int_equal(log_thread_start(t->store, t->fd, on_failure, &t->fd, &t->thread), 0);
}

static void threaded_submit(struct threaded *t, uint64_t number)
{
    assert_int_equal(submit_number(t->store, number), 0);
    log_thread_wake(t->thread);
}

/* Until the thread says something, or for so long, before one looks again. */
static void threaded_pause(const struct threaded *t, int ms)
{
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    uint64_t n;

    assert_true(clock_mono_us() < t->deadline);
    if (poll(&p, 1, ms) > 0)
        assert_int_equal(read(t->fd, &n, sizeof(n)), sizeof(n));
}

/* The thread has been stopped. */
static void threaded_end(struct threaded *t)
{
    store_close(t->store);
    (void)close(t->fd);
    real_end(&t->d);
}

static bool has_sync_mark(const struct real *d)
{
    struct recovery rc;
    struct wal_file *file;
    cleanup_buf struct buf b = BUF_INIT;
    struct vfs_file *f;
    struct segment_image img;
    struct scan_rest rest;

    assert_int_equal(recovery_run(&rc, &d->conf, false), 0);
    file = &rc.files[rc.n_files - 1];
    assert_int_equal(d->vfs->open(d->vfs->ctx, file->name, O_RDONLY, &f), 0);
    assert_int_equal(recovery_load(NULL, d->vfs, f, file->file_bytes, &b), 0);
    (void)d->vfs->close(d->vfs->ctx, f);
    img = (struct segment_image){b.data, b.len, file->header.salt, 0};
    scan_rest(&img, file->used, rc.log.batch + 1, &rest);
    recovery_done(&rc);
    return rest.only_sync_mark;
}

/* An idle log notes that its last batch was synced (DISK-18). */
static void store__log_thread_marks_when_idle(void **state)
{
    struct threaded t;

    (void)state;
    threaded_begin(&t, must_not_fail, NULL);
    threaded_submit(&t, 1);
    wait_durable(t.thread, t.fd, 1);
    assert_true(log_thread_durable(t.thread) == 1);
    while (!has_sync_mark(&t.d))
        threaded_pause(&t, 2);
    threaded_submit(&t, 2);
    wait_durable(t.thread, t.fd, 2);
    log_thread_stop(t.thread);
    threaded_end(&t);
}

/* A stop right behind a batch: later starts have to believe that batch, and its mark is the
 * evidence. */
static void store__log_thread_marks_at_the_end(void **state)
{
    struct threaded t;

    (void)state;
    threaded_begin(&t, must_not_fail, NULL);
    threaded_submit(&t, 1);
    log_thread_stop(t.thread);
    assert_false(store_has_work(t.store));
    assert_true(has_sync_mark(&t.d));
    threaded_end(&t);
}

static _Atomic int failed_with;
static _Atomic unsigned syncs_left;

static int failing_fdatasync(void *ctx, struct vfs_file *f)
{
    return syncs_left-- > 0 ? real_fdatasync(ctx, f) : -EIO;
}

static void note_failure(void *ctx, int error)
{
    failed_with = error;
    /* The daemon ends here. */
    (void)!write(*(int *)ctx, &(uint64_t){1}, sizeof(uint64_t));
}

static _Atomic bool is_full;

static int full_fdatasync(void *ctx, struct vfs_file *f)
{
    return is_full ? -ENOSPC : real_fdatasync(ctx, f);
}

/* SPACE-13: a full disk has answered each time that it was asked, and so it is told, again and
 * again: nobody shall call it stalled. Nothing is told as durable before it is. */
static void store__log_thread_says_that_a_full_disk_answers(void **state)
{
    uint64_t durable = 0;
    struct threaded t;

    (void)state;
    is_full = true;
    threaded_begin(&t, must_not_fail, full_fdatasync);
    threaded_submit(&t, 1);
    while (log_thread_done(t.thread, &durable) < 4)
        threaded_pause(&t, 10);
    assert_true(durable == 0);
    is_full = false;
    wait_durable(t.thread, t.fd, 1);
    log_thread_stop(t.thread);
    threaded_end(&t);
}

static void store__log_thread_hands_up_failures(void **state)
{
    struct threaded t;

    (void)state;
    syncs_left = 1;
    threaded_begin(&t, note_failure, failing_fdatasync);
    threaded_submit(&t, 1);
    wait_durable(t.thread, t.fd, 1);
    threaded_submit(&t, 2);
    while (failed_with == 0)
        threaded_pause(&t, 1000);
    assert_int_equal(failed_with, -EIO);
    threaded_submit(&t, 3);
    log_thread_stop(t.thread);
    assert_true(store_has_work(t.store));
    threaded_end(&t);
}

/* DISK-22: a start on a small log is a matter of milliseconds, and writes no 64 MiB. */
static void store__starting_is_cheap(void **state)
{
    struct real d;
    struct store *s;
    struct store_stats stats;
    uint64_t begin;
    uint64_t took;

    (void)state;
    real_begin(&d);
    d.conf.segment_first_bytes = STORE_SEGMENT_FIRST_BYTES;
    d.conf.segment_bytes = STORE_SEGMENT_BYTES;
    begin = clock_mono_us();
    real_create_open(&d, &s);
    took = clock_mono_us() - begin;
    print_message("create and open: %" PRIu64 " us\n", took);
    store_get_stats(s, &stats);
    assert_true(stats.log_bytes < 32768);
    store_close(s);
    real_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__header_round_trip),
        cmocka_unit_test(store__record_round_trip),
        cmocka_unit_test(store__record_lengths_are_bounded),
        cmocka_unit_test(store__create_then_open),
        cmocka_unit_test(store__group_commit_is_one_write_and_one_sync),
        cmocka_unit_test(store__large_queues_are_split),
        cmocka_unit_test(store__preparation_fills_from_the_half_on),
        cmocka_unit_test(store__a_restart_loop_does_not_fill_the_disk),
        cmocka_unit_test(store__torn_tails_are_kept_and_few),
        cmocka_unit_test(store__foreign_segments_are_refused),
        cmocka_unit_test(store__damage_is_explained),
        cmocka_unit_test(store__the_state_machine_is_evidence),
        cmocka_unit_test(store__an_untrusted_state_is_evidence),
        cmocka_unit_test(store__deleted_last_segments_are_missed),
        cmocka_unit_test(store__a_prepared_segment_tells_of_the_one_before),
        cmocka_unit_test(store__the_highest_newest_counts),
        cmocka_unit_test(store__an_opening_batch_is_never_torn),
        cmocka_unit_test(store__a_prepared_segment_is_evidence),
        cmocka_unit_test(store__segments_under_names_of_others_are_refused),
        cmocka_unit_test(store__segments_of_another_copy_are_refused),
        cmocka_unit_test(store__nonsense_with_good_checksums_is_refused),
        cmocka_unit_test(store__the_longest_promise_is_kept),
        cmocka_unit_test(store__a_failed_sync_is_final),
        cmocka_unit_test(store__a_failed_call_is_handed_up),
        cmocka_unit_test(store__room_that_was_promised_and_is_not_there),
        cmocka_unit_test(store__a_start_without_a_segment),
        cmocka_unit_test(store__a_full_disk),
        cmocka_unit_test(store__a_start_on_a_full_disk),
        cmocka_unit_test(store__room_is_noticed_after_a_rotation),
        cmocka_unit_test(store__a_quota_is_a_full_disk),
        cmocka_unit_test(store__bad_reads),
        cmocka_unit_test(store__read_errors_stop_the_start),
        cmocka_unit_test(store__dump),
        cmocka_unit_test(store__dump_survives_any_bytes),
        cmocka_unit_test(store__posix_files),
        cmocka_unit_test(store__log_thread),
        cmocka_unit_test(store__log_thread_marks_when_idle),
        cmocka_unit_test(store__log_thread_marks_at_the_end),
        cmocka_unit_test(store__log_thread_says_that_a_full_disk_answers),
        cmocka_unit_test(store__log_thread_hands_up_failures),
        cmocka_unit_test(store__starting_is_cheap),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
