/* kv: what compares, checks and rebuilds the state (STATE-7, STATE-11). */
#include "unit/kv-fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"

/* Entries up to `last`, so many in a transaction; expected[i / KV_DIGEST_EVERY]: what the digest
 * was after entry i. */
static void apply_up_to(struct fixture *f, raft_index last, raft_index batch,
                        struct kv_digest *expected)
{
    raft_index index = kv_last_applied(f->kv).index;

    while (index < last) {
        const raft_index end = index + batch < last ? index + batch : last;

        assert_int_equal(kv_begin(f->kv), 0);
        while (index < end) {
            struct command_result result;
            struct wire_key key;
            struct command c;
            char name[16];

            (void)snprintf(name, sizeof(name), "k%u", (unsigned)(index % 7));
            key = string_key(name);
            c = command_write(key_slice(&key), "1");
            assert_int_equal(apply_command(f, &index, &c, &result), 0);
        }
        assert_int_equal(kv_commit(f->kv), 0);
        if (expected != NULL && index % KV_DIGEST_EVERY == 0) {
            struct kv_stats stats;

            assert_int_equal(kv_get_stats(f->kv, &stats), 0);
            expected[index / KV_DIGEST_EVERY] = stats.digest;
        }
    }
}

static void check_digest_at(struct fixture *f, raft_index index, struct kv_digest expected)
{
    struct kv_digest d;

    assert_true(kv_digest_at(f->kv, index, &d));
    assert_true(d.high == expected.high);
    assert_true(d.low == expected.low);
}

/* STATE-11: a node that applied in batches of another length has the same digest at the same
 * index. */
static void kv_verify__digests_of_round_indexes_do_not_depend_on_batches(void **state)
{
    const raft_index last = (KV_DIGESTS_KEPT + 3) * KV_DIGEST_EVERY + 5;
    struct kv_digest expected[KV_DIGESTS_KEPT + 4];
    struct fixture *f = *state;
    struct kv_stats stats;
    struct kv_digest d;

    kv_up(f);
    assert_false(kv_digest_at(f->kv, 0, &d));
    apply_up_to(f, last, KV_DIGEST_EVERY / 4, expected);
    kv_down(f, false);
    wipe(f->dir);
    kv_up(f);
    apply_up_to(f, last, 700, NULL);
    for (raft_index i = 0; i < last; i++) {
        const raft_index k = i / KV_DIGEST_EVERY;

        if (i % KV_DIGEST_EVERY == 0 && k >= 4)
            check_digest_at(f, i, expected[k]);
        else
            assert_false(kv_digest_at(f->kv, i, &d));
    }
    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    check_digest_at(f, last, stats.digest);
    assert_false(kv_digest_at(f->kv, last + 1, &d));
    /* After a start the last applied one is known, and it is the same. */
    kv_down(f, true);
    kv_up(f);
    check_digest_at(f, last, stats.digest);
    assert_false(kv_digest_at(f->kv, last - 5, &d));
}

/* STATE-11: what was given up never was. */
static void kv_verify__digests_of_an_aborted_batch_are_unknown(void **state)
{
    struct fixture *f = *state;
    raft_index index = KV_DIGEST_EVERY - 1;
    struct command_result result;
    struct kv_digest d;

    kv_up(f);
    apply_up_to(f, index, 100, NULL);
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_NOOP, NULL, 0, &result), 0);
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_NOOP, NULL, 0, &result), 0);
    assert_false(kv_digest_at(f->kv, KV_DIGEST_EVERY, &d));
    kv_abort(f->kv);
    assert_false(kv_digest_at(f->kv, KV_DIGEST_EVERY, &d));
    apply_up_to(f, KV_DIGEST_EVERY - 1, 1, NULL);
    write_one(f, "a", "1");
    write_one(f, "a", "2");
    assert_true(kv_digest_at(f->kv, KV_DIGEST_EVERY, &d));
}

/* The state is made again in the running process, and is the same afterwards. */
static void kv_verify__a_rebuilt_state_is_empty_and_then_the_same(void **state)
{
    struct fixture *f = *state;
    struct kv_stats before;
    struct kv_stats after;
    struct kv_digest d;
    ino_t old;

    kv_up(f);
    apply_up_to(f, 2000, 300, NULL);
    assert_int_equal(kv_get_stats(f->kv, &before), 0);
    old = ino_of(f, "data.mdb");
    assert_int_equal(kv_distrust(f->kv), 0);
    assert_int_equal(kv_rebuild(f->kv), 0);
    assert_true(ino_of(f, "data.mdb.old") == old);
    assert_true(there(f, "TRUST"));
    assert_int_equal(kv_last_applied(f->kv).index, 0);
    assert_int_equal(n_keys(f), 0);
    assert_false(kv_digest_at(f->kv, KV_DIGEST_EVERY, &d));
    check_value(f, "k1", NULL, 0, 0, 0);
    apply_up_to(f, 2000, 700, NULL);
    assert_int_equal(kv_get_stats(f->kv, &after), 0);
    assert_memory_equal(&before.digest, &after.digest, sizeof(before.digest));
    assert_true(before.n_keys == after.n_keys);
    /* Believed again: the next start has nothing to rebuild. */
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_int_equal(kv_last_applied(f->kv).index, 2000);
}

/* A rebuild that fails at any of its file calls leaves what the next start rebuilds, or finds
 * empty; only when it could not even remove the mark, or write down before what was applied (DISK-41), is
 * nothing changed. */
static void kv_verify__a_failed_rebuild_leaves_no_trusted_file(void **state)
{
    struct fixture *f = *state;
    unsigned n_unchanged = 0;

    for (unsigned n = 1;; n++) {
        int rc;

        wipe(f->dir);
        kv_up(f);
        apply_up_to(f, 50, 50, NULL);
        did_fail = false;
        fail_at = n;
        rc = kv_rebuild(f->kv);
        fail_at = 0;
        if (!did_fail) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_true(rc < 0);
        assert_true(kv_close(f->kv, true) != 0);
        f->kv = NULL;
        assert_false(there(f, "CLEAN"));
        kv_up(f);
        if (kv_last_applied(f->kv).index != 0)
            assert_int_equal(n, ++n_unchanged);
        else
            check_value(f, "k1", NULL, 0, 0, 0);
        kv_down(f, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kv_verify__digests_of_round_indexes_do_not_depend_on_batches),
        TEST(kv_verify__digests_of_an_aborted_batch_are_unknown),
        TEST(kv_verify__a_rebuilt_state_is_empty_and_then_the_same),
        TEST(kv_verify__a_failed_rebuild_leaves_no_trusted_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
