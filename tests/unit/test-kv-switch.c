/* kv: a copy is put beside the state whole or not at all, and takes its place whole or not at all
 * (STATE-16). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "kv/kv_int.h"
#include "kv/scrub_int.h"
#include "unit/kv-copies.h"

/* ---- a disk that is full ---- */

int __real_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);
ssize_t __real_pwrite(int fd, const void *buf, size_t n, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static unsigned disk_fails_at; /* the n-th of these calls, with disk_error; 0: none */
static int disk_error;
static unsigned n_datasyncs;

static bool disk_fails(void)
{
    if (disk_fails_at == 0 || --disk_fails_at > 0)
        return false;
    errno = disk_error;
    return true;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
    return disk_fails() ? -1 : __real_fallocate(fd, mode, offset, len);
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    return disk_fails() ? -1 : __real_pwrite(fd, buf, n, offset);
}

int __wrap_fdatasync(int fd)
{
    if (disk_fails())
        return -1;
    n_datasyncs++;
    return skip_fsync ? 0 : __real_fdatasync(fd);
}

/* ---- beside the data file ---- */

static void prepare__leaves_nothing_on_a_full_disk(void **state)
{
    struct fixture *f = *state;
    const int errors[] = {ENOSPC, EDQUOT, EIO};
    struct kv_copy_info info;
    unsigned n_full = 0;
    char old[4400];
    struct bytes b = {0};
    struct example x;
    struct prng p;
    int rc = -1;

    open_example(f, &x, &p, 10);
    for (char name[2] = "a"; name[0] < 'm'; name[0]++)
        write_long(f, name, 500000);
    take_copy(f->kv, &b);
    for (unsigned i = 0; i < 3; i++) {
        rc = -1;
        for (unsigned at = 1; rc != 0; at++) {
            spill(f, "data.mdb.old", "old", 3);
            disk_fails_at = at;
            disk_error = errors[i];
            rc = prepare_bytes(f->kv, &b, &info);
            n_full += rc == KV_E_FULL;
            assert_true(disk_fails_at == 0 || rc == 0);
            if (rc != 0) {
                assert_int_equal(rc, errors[i] == EIO ? -EIO : KV_E_FULL);
                assert_false(there(f, "data.mdb.new"));
            }
            if (at == 1 && errors[i] != EIO) {
                /* The first asks for all of the room: what was set aside makes some. */
                assert_int_equal(rc, 0);
                assert_false(there(f, "data.mdb.old"));
                rc = -1;
            }
        }
        disk_fails_at = 0;
    }
    assert_true(n_full > 20);
    /* Mostly nothing was set aside. */
    path_of(f, "data.mdb.old", old, sizeof(old));
    assert_int_equal(unlink(old), 0);
    disk_fails_at = 1;
    disk_error = ENOSPC;
    assert_int_equal(prepare_bytes(f->kv, &b, &info), KV_E_FULL);
    disk_fails_at = 0;
    b.n_read = 0;
    n_datasyncs = 0;
    assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
    assert_true(b.n_read == b.len); /* each byte once */
    assert_int_equal(n_datasyncs, b.len / KV_PREPARE_SYNC_BYTES + 1);
    check_info(f, &info);
    /* What was prepared before goes, also for one that is none. */
    flip_in(&b, (size_t)16 * 8); /* the magic */
    assert_int_equal(prepare_bytes(f->kv, &b, &info), KV_E_DAMAGED);
    assert_false(there(f, "data.mdb.new"));
    flip_in(&b, (size_t)16 * 8);
    /* Or with the next start. */
    assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
    assert_true(there(f, "data.mdb.new"));
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    assert_false(there(f, "data.mdb.new"));
    free(b.data);
    free_example(&x);
}

/* ---- the place of the state ---- */

/* Two states: "x" is 1 up to entry 1, and 3 up to entry 3, of which b is the copy. */
static void two_states(struct fixture *f, struct bytes *b)
{
    struct fixture *g = make_another();

    kv_up(g);
    for (unsigned i = 0; i < 3; i++)
        write_one(g, "x", i == 2 ? "3" : "2");
    take_copy(g->kv, b);
    drop_another(g);
    skip_fsync = true;
    wipe(f->dir);
    kv_up(f);
    write_one(f, "x", "1");
}

static void check_is_one_of_two(struct fixture *f, bool may_be_old, bool may_be_new)
{
    const raft_index index = kv_last_applied(f->kv).index;

    assert_true((index == 1 && may_be_old) || (index == 3 && may_be_new));
    check_value(f, "x", index == 1 ? "1" : "3", 1, index, index);
    check_scrub(f);
}

/* Child: prepare and switch, and the end at some call. */
static void switch_and_end(struct fixture *f, struct bytes *b, bool has_clean, unsigned at)
{
    unsigned char clean[256];
    struct kv_copy_info info;
    size_t n = 0;

    skip_fsync = true;
    if (has_clean) { /* as a crash leaves it that comes before it is gone */
        n = slurp(f, "CLEAN", clean, sizeof(clean));
        kv_up(f);
        spill(f, "CLEAN", clean, n);
    } else {
        kv_up(f);
    }
    crash_at = at;
    if (prepare_bytes(f->kv, b, &info) != 0 || kv_switch(f->kv) != 0)
        _exit(1);
    _exit(crash_at > 0 ? 0 : 2);
}

/* STATE-16: a crash at any step leaves the one, the other, or what is not trusted. */
static void switch__crashes_at_every_step(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    unsigned n_of[4] = {0};

    for (unsigned has_clean = 0; has_clean < 2; has_clean++) {
        int status = 0;

        for (unsigned at = 1; WEXITSTATUS(status) != 0 || at == 1; at++) {
            pid_t pid;

            two_states(f, &b);
            kv_down(f, has_clean != 0);
            pid = fork();
            assert_true(pid >= 0);
            if (pid == 0)
                switch_and_end(f, &b, has_clean != 0, at);
            assert_true(waitpid(pid, &status, 0) == pid);
            assert_true(WIFEXITED(status));
            assert_true(WEXITSTATUS(status) == CRASHED || WEXITSTATUS(status) == 0);
            kv_up(f);
            assert_false(there(f, "data.mdb.new"));
            assert_false(there(f, "CLEAN"));
            if (f->trust == KV_REBUILD) {
                assert_int_equal(WEXITSTATUS(status), CRASHED);
                assert_int_equal(kv_last_applied(f->kv).index, 0);
                assert_true(kv_shown_index(f->kv) >= 1); /* DISK-41 */
                n_of[0]++;
            } else {
                check_is_one_of_two(f, WEXITSTATUS(status) != 0, true);
                n_of[kv_last_applied(f->kv).index]++;
            }
            kv_down(f, false);
        }
    }
    print_message("crashes: %u not trusted, %u as it was, %u the copy\n", n_of[0], n_of[1],
                  n_of[3]);
    assert_true(n_of[0] > 2);
    assert_true(n_of[1] > 2);
    assert_true(n_of[3] > 2);
    free(b.data);
}

static void switch__goes_on_when_there_is_room(void **state)
{
    struct fixture *f = *state;
    struct kv_copy_info info;
    unsigned n_full = 0;
    struct bytes b = {0};

    for (unsigned at = 1; at <= 14; at++) {
        int rc;

        two_states(f, &b);
        assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
        fail_with = at % 2 == 0 ? ENOSPC : EDQUOT;
        fail_at = at;
        rc = kv_switch(f->kv);
        fail_at = 0;
        fail_with = 0;
        assert_true(rc == 0 || rc == KV_E_FULL);
        if (rc != 0) {
            /* As it was; and it goes on. */
            n_full++;
            check_is_one_of_two(f, true, false);
            write_one(f, "y", "1");
            if (at % 2 == 0) { /* it is not tried again */
                kv_down(f, false);
                kv_up(f);
                if (f->trust != KV_REBUILD)
                    check_value(f, "y", "1", 2, 2, 1);
                kv_down(f, false);
                continue;
            }
            assert_int_equal(kv_switch(f->kv), 0);
        }
        check_is_one_of_two(f, false, true);
        write_one(f, "y", "1");
        kv_down(f, at % 3 == 0);
        kv_up(f);
        if (f->trust != KV_REBUILD)
            check_value(f, "y", "1", 4, 4, 1);
        kv_down(f, false);
    }
    assert_true(n_full >= 3);
    free(b.data);
}

/* Any other failure is final, and the next start finds one of two or makes it again. */
static void switch__fails_once(void **state)
{
    struct fixture *f = *state;
    struct kv_copy_info info;
    unsigned n_failed = 0;
    struct bytes b = {0};

    for (unsigned at = 1; at <= 14; at++) {
        struct kv *kv;
        int rc;

        two_states(f, &b);
        assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
        fail_at = at; /* and all after it */
        rc = kv_switch(f->kv);
        fail_at = 0;
        n_failed += rc != 0;
        assert_true(rc == 0 || rc == -EIO);
        kv = f->kv;
        f->kv = NULL;
        assert_true((kv_close(kv, true) == 0) == (rc == 0)); /* no mark of a clean end for it */
        kv_up(f);
        if (f->trust != KV_REBUILD)
            check_is_one_of_two(f, rc != 0, true);
        else
            assert_int_equal(kv_last_applied(f->kv).index, 0);
        kv_down(f, false);
    }
    assert_true(n_failed >= 6);
    free(b.data);
}

/* What was known of the file before is forgotten, and the marks are of the new one. */
static void switch__is_as_good_as_any_state(void **state)
{
    struct fixture *f = *state;
    struct kv_scrub_progress progress;
    struct kv_copy_info info;
    struct kv_digest digest;
    struct bytes b = {0};
    ino_t before;

    two_states(f, &b);
    before = ino_of(f, "data.mdb");
    check_value(f, "absent", NULL, 0, 0, 0); /* caches of pages */
    many_keys(f, 3000);
    raft_index round = kv_last_applied(f->kv).index / KV_DIGEST_EVERY * KV_DIGEST_EVERY;
    assert_true(round > 0);
    assert_true(kv_digest_at(f->kv, round, &digest));
    assert_int_equal(kv_scrub_step(f->kv, 4096, &progress), 0);
    assert_true(f->kv->scrub->runs);
    assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
    assert_int_equal(kv_switch(f->kv), 0);
    assert_true(ino_of(f, "data.mdb") != before);
    assert_false(kv_digest_at(f->kv, round, &digest));
    assert_int_equal(n_keys(f), 1);
    check_value(f, "absent", NULL, 0, 0, 0);
    check_is_one_of_two(f, false, true);
    assert_int_equal(kv_shown_index(f->kv), 3001); /* of the state before (DISK-41) */
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    check_is_one_of_two(f, false, true);
    /* It can be made again from the log, and switched again. */
    assert_int_equal(kv_rebuild(f->kv), 0);
    assert_int_equal(kv_last_applied(f->kv).index, 0);
    write_one(f, "x", "1");
    assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
    assert_int_equal(kv_rebuild(f->kv), 0); /* what is prepared stays */
    assert_int_equal(kv_switch(f->kv), 0);
    check_is_one_of_two(f, false, true);
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    check_is_one_of_two(f, false, true);
    free(b.data);
}

/* Bytes of files that have no name any more and are kept open. */
static uint64_t bytes_left(const struct fixture *f)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < f->kv->n_leavings; i++) {
        struct stat st;

        assert_int_equal(fstat(f->kv->leavings[i], &st), 0);
        if (st.st_nlink == 0)
            n += (uint64_t)st.st_size;
    }
    return n;
}

/* SNAP-24: the old file, the one that was set aside before, and a copy that nobody wants are given
 * back by whoever has time, not by whoever switches. */
static void switch__leaves_the_room_to_another(void **state)
{
    struct fixture *f = *state;
    struct kv_copy_info info;
    struct bytes b = {0};
    uint64_t was;

    two_states(f, &b);
    write_long(f, "long", 400000);
    was = kv_file_bytes(f->kv);
    assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
    assert_false(kv_has_leavings(f->kv));
    assert_int_equal(kv_switch(f->kv), 0);
    assert_true(bytes_left(f) >= was);
    assert_true(kv_has_leavings(f->kv));
    kv_clear_leavings(f->kv);
    assert_false(kv_has_leavings(f->kv));
    assert_int_equal(kv_rebuild(f->kv), 0); /* nothing was set aside before */
    assert_int_equal(bytes_left(f), 0);
    spill(f, "data.mdb.old", "old", 3);
    assert_int_equal(kv_rebuild(f->kv), 0);
    assert_int_equal(bytes_left(f), 3);
    for (unsigned i = 0; i < 2 * KV_LEAVINGS_MAX; i++) { /* nobody comes to give it back */
        spill(f, "data.mdb.old", "old", 3);
        kv_give_room(f->kv);
        assert_false(there(f, "data.mdb.old"));
    }
    assert_int_equal(f->kv->n_leavings, KV_LEAVINGS_MAX);
    kv_down(f, false);
    free(b.data);
}

/* What was prepared and is not switched to has no room to take, and is switched to no more. */
static void unprepare__gives_it_back(void **state)
{
    struct fixture *f = *state;
    struct kv_copy_info info;
    struct bytes b = {0};

    two_states(f, &b);
    kv_unprepare(f->kv);
    assert_false(kv_has_leavings(f->kv));
    assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
    assert_true(there(f, "data.mdb.new"));
    kv_unprepare(f->kv);
    assert_false(there(f, "data.mdb.new"));
    assert_false(f->kv->prepared.is_there);
    assert_int_equal(bytes_left(f), b.len);
    check_is_one_of_two(f, true, false);
    assert_int_equal(prepare_bytes(f->kv, &b, &info), 0);
    assert_int_equal(kv_switch(f->kv), 0);
    kv_unprepare(f->kv); /* it is the state now */
    check_is_one_of_two(f, false, true);
    kv_down(f, false);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(prepare__leaves_nothing_on_a_full_disk),
        TEST(switch__crashes_at_every_step),
        TEST(switch__goes_on_when_there_is_room),
        TEST(switch__fails_once),
        TEST(switch__is_as_good_as_any_state),
        TEST(switch__leaves_the_room_to_another),
        TEST(unprepare__gives_it_back),
    };

    return cmocka_run_group_tests_name("kv-switch", tests, NULL, NULL);
}
