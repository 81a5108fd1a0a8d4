/* store on slow disks: what is queued is written in batches of bounded bytes, so that it is known
 * when the disk moves (DISK-31); how long syncs took is remembered for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "store/store_int.h"
#include "unit/fake-disk.h"
#include "unit/store-model.h"

#include "base/banned.h"

static unsigned char bytes[1u << 20];

/* A disk that takes `us` for a byte and `sync_us` for a sync, on a clock of its own. */
struct slow {
    struct fake_disk *disk;
    struct store_conf conf;
    struct store *store;
    struct store_recovered rec;
    uint64_t now_us;
    uint64_t sync_us;
    uint64_t bytes_per_us;
    uint64_t written; /* when the last sync came */
    raft_index last;
    uint64_t number;
};

static uint64_t slow_now(const void *ctx)
{
    return ((const struct slow *)ctx)->now_us;
}

static void slow_call(void *ctx, const char *what, const char *name)
{
    struct slow *d = ctx;

    (void)name;
    if (strcmp(what, "fdatasync") != 0 || d->store == NULL)
        return;
    d->now_us += d->sync_us;
    if (d->bytes_per_us > 0)
        d->now_us += d->store->w.out.len / d->bytes_per_us;
}

static void slow_begin(struct slow *d, uint64_t batch_us, size_t batch_bytes_max)
{
    size_t len;
    const void *config = model_config(&len);

    *d = (struct slow){.disk = fake_disk_new(1), .now_us = 1000000};
    model_conf(&d->conf, fake_disk_vfs(d->disk), 64u << 20, 64u << 20);
    d->conf.batch_us = batch_us;
    d->conf.batch_bytes_max = batch_bytes_max;
    d->conf.now_us = slow_now;
    d->conf.now_ctx = d;
    assert_int_equal(store_create(&d->conf, config, len), 0);
    assert_int_equal(store_open(&d->conf, &d->rec, &d->store), 0);
    d->last = d->rec.last_index;
    fake_disk_set_hook(d->disk, slow_call, d);
}

static void slow_end(struct slow *d)
{
    store_close(d->store);
    store_recovered_done(&d->rec);
    fake_disk_free(d->disk);
}

static void submit(struct slow *d, unsigned n, size_t len)
{
    struct raft_entry e[64];

    assert_in_range(n, 1, 64);
    for (unsigned i = 0; i < n; i++)
        e[i] = (struct raft_entry){.id = {.term = 1, .index = ++d->last},
                                   .type = RAFT_ENTRY_COMMAND,
                                   .len = (uint32_t)len,
                                   .data = bytes};
    assert_int_equal(store_submit(d->store, &(struct store_batch){.number = ++d->number,
                                                                  .entries = e,
                                                                  .n_entries = n,
                                                                  .commit_index = 1}),
                     0);
}

/* A submission that is larger than a batch: its number comes with the last part of it, and what is
 * queued meanwhile rides along. */
static void store__large_submission_is_written_in_parts(void **state)
{
    struct slow d;
    struct store_stats before;
    struct store_stats after;
    uint64_t number = 0;
    unsigned parts = 0;

    (void)state;
    slow_begin(&d, 0, 10000);
    store_get_stats(d.store, &before);
    submit(&d, 40, 1000);
    while (number == 0) {
        assert_true(store_has_work(d.store));
        assert_int_equal(store_write(d.store, &number), 0);
        parts++;
        if (parts == 2)
            submit(&d, 1, 10);
    }
    assert_int_equal(parts, 5); /* nine entries to each */
    assert_int_equal(number, 2);
    assert_false(store_has_work(d.store));
    store_get_stats(d.store, &after);
    assert_int_equal(after.n_fsyncs - before.n_fsyncs, parts);
    assert_int_equal(after.n_batches - before.n_batches, 2);
    /* A crash in the middle leaves a beginning, which the next start takes as it is. */
    submit(&d, 20, 1000);
    assert_int_equal(store_write(d.store, &number), 0);
    assert_int_equal(number, 2);
    store_close(d.store);
    store_recovered_done(&d.rec);
    assert_int_equal(store_open(&d.conf, &d.rec, &d.store), 0);
    assert_in_range(d.rec.last_index, 42 + 8, 42 + 10);
    assert_false(d.rec.torn_tail);
    slow_end(&d);
}

/* Ten megabytes a second: none of its batches may take much more than a tenth of a second. */
static void store__batches_are_no_longer_than_the_disk_is_fast(void **state)
{
    const uint64_t batch_us = 100000;
    struct slow d;
    uint64_t number = 0;
    uint64_t longest = 0;
    unsigned n = 0;

    (void)state;
    slow_begin(&d, batch_us, 0);
    d.bytes_per_us = 10;
    for (unsigned i = 0; i < 16; i++)
        submit(&d, 4, 500000);
    for (; store_has_work(d.store); n++) {
        uint64_t began = d.now_us;

        assert_int_equal(store_write(d.store, &number), 0);
        if (n >= 4 && d.now_us - began > longest)
            longest = d.now_us - began;
    }
    assert_int_equal(number, 16);
    assert_in_range(longest, 1, 2 * batch_us);
    assert_in_range(d.store->w.bytes_max, STORE_BATCH_BYTES_MIN, 2u << 20);
    /* And they grow again. */
    d.bytes_per_us = 10000;
    for (unsigned i = 0; i < 16; i++) {
        submit(&d, 64, 500000);
        assert_int_equal(store_work(d.store, &number), 0);
    }
    assert_int_equal(d.store->w.bytes_max, STORE_BATCH_BYTES_MAX);
    slow_end(&d);
}

static void store__stats_tell_how_long_syncs_take(void **state)
{
    struct slow d;
    struct store_stats stats;
    uint64_t number = 0;

    (void)state;
    slow_begin(&d, 0, 0);
    d.sync_us = 310000;
    for (unsigned i = 0; i < 20; i++) {
        submit(&d, 1, 10);
        assert_int_equal(store_work(d.store, &number), 0);
    }
    store_get_stats(d.store, &stats);
    assert_in_range(stats.fsync_p50_us, 310000, 350000);
    assert_in_range(stats.fsync_p99_us, 310000, 350000);
    assert_in_range(stats.fsync_longest_us, 310000, 310000);
    slow_end(&d);
}

/* In their order, each once; of too many that nobody took the last ones are left. */
static void store__slow_syncs_are_told(void **state)
{
    struct slow d;
    struct store_slow slow;
    struct histogram syncs;
    uint64_t number = 0;
    uint64_t n_before; /* of opening it */
    uint64_t from_us;

    (void)state;
    slow_begin(&d, 0, 0);
    d.store->conf.slow_us = 100000;
    store_get_syncs(d.store, &syncs);
    n_before = syncs.n;
    assert_false(store_take_slow(d.store, &slow));
    d.sync_us = 99999;
    submit(&d, 1, 10);
    assert_int_equal(store_work(d.store, &number), 0);
    assert_false(store_take_slow(d.store, &slow));
    d.sync_us = 310000;
    from_us = d.now_us;
    submit(&d, 1, 1000);
    assert_int_equal(store_work(d.store, &number), 0);
    assert_true(store_take_slow(d.store, &slow));
    assert_int_equal(slow.from_us, from_us);
    assert_int_equal(slow.to_us, from_us + 310000);
    assert_in_range(slow.bytes, 1000, 2000);
    assert_false(store_take_slow(d.store, &slow));
    assert_int_equal(store_busy_us(d.store), 99999 + 310000);
    for (unsigned i = 0; i < STORE_SLOW_MAX + 3; i++) {
        d.sync_us = 200000 + i;
        submit(&d, 1, 10);
        assert_int_equal(store_work(d.store, &number), 0);
    }
    for (unsigned i = 3; i < STORE_SLOW_MAX + 3; i++) {
        assert_true(store_take_slow(d.store, &slow));
        assert_int_equal(slow.to_us - slow.from_us, 200000 + i);
    }
    assert_false(store_take_slow(d.store, &slow));
    store_get_syncs(d.store, &syncs);
    assert_int_equal(syncs.n - n_before, 2 + STORE_SLOW_MAX + 3);
    assert_int_equal(syncs.max, 310000);
    slow_end(&d);
}

/* ---- the histogram ---- */

static void expect_times(const struct sync_times *t, uint64_t now_us, uint64_t p50, uint64_t p99,
                         uint64_t longest)
{
    uint64_t got[3];

    sync_times_get(t, now_us, &got[0], &got[1], &got[2]);
    assert_in_range(got[0], p50, p50 + p50 / 8);
    assert_in_range(got[1], p99, p99 + p99 / 8);
    assert_int_equal(got[2], longest);
}

static void store__sync_times_are_within_an_eighth(void **state)
{
    (void)state;
    for (uint64_t us = 0; us < (uint64_t)1 << 35; us += 1 + us / 5) {
        struct sync_times t = {0};

        sync_times_add(&t, 1, us);
        expect_times(&t, 1, us, us, us);
        sync_times_add(&t, 2, us + us / 7);
        sync_times_add(&t, 2, us + us / 7);
        expect_times(&t, 2, us + us / 7, us + us / 7, us + us / 7);
    }
}

static void store__one_hiccup_is_no_slow_disk(void **state)
{
    struct sync_times t = {0};

    (void)state;
    for (unsigned i = 0; i < 50; i++)
        sync_times_add(&t, 1000, 100);
    sync_times_add(&t, 1000, 400000);
    expect_times(&t, 1000, 100, 100, 400000);
    sync_times_add(&t, 1000, 400000);
    expect_times(&t, 1000, 100, 400000, 400000);
}

static void store__sync_times_are_forgotten(void **state)
{
    const uint64_t window = STORE_SYNC_WINDOW_US;
    struct sync_times t = {0};

    (void)state;
    expect_times(&t, 5, 0, 0, 0);
    for (unsigned i = 0; i < 10; i++)
        sync_times_add(&t, 1000, 400000);
    expect_times(&t, 1000 + window, 400000, 400000, 400000);
    sync_times_add(&t, 1000 + window, 100);
    expect_times(&t, 1000 + window, 400000, 400000, 400000);
    /* Also while nothing is added. */
    expect_times(&t, 1000 + 2 * window, 100, 100, 100);
    sync_times_add(&t, 1000 + 2 * window, 90);
    expect_times(&t, 1000 + 2 * window, 90, 90, 100);
    expect_times(&t, 1000 + 4 * window, 0, 0, 0);
    sync_times_add(&t, 1000 + 9 * window, 7);
    expect_times(&t, 1000 + 9 * window, 7, 7, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__large_submission_is_written_in_parts),
        cmocka_unit_test(store__batches_are_no_longer_than_the_disk_is_fast),
        cmocka_unit_test(store__stats_tell_how_long_syncs_take),
        cmocka_unit_test(store__slow_syncs_are_told),
        cmocka_unit_test(store__sync_times_are_within_an_eighth),
        cmocka_unit_test(store__one_hiccup_is_no_slow_disk),
        cmocka_unit_test(store__sync_times_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
