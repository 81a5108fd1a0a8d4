/* Old entries read ahead (DISK-33): asked for, read elsewhere, handed out; and what a truncation, an
 * error and a second thread do to that. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "store/log_thread.h"
#include "store/read_thread.h"
#include "unit/fake-disk.h"
#include "unit/store-model.h"

#include "base/banned.h"

/* Entries of `len` bytes, each filled with the low byte of its term + index. */
struct rig {
    struct fake_disk *disk;
    struct vfs vfs; /* of the disk, with a pread() of our own */
    struct store_conf conf;
    struct store *store;
    struct store_recovered rec;
    struct log_reads *reads;
    struct arena arena;
    raft_index last;
    uint64_t number;
    size_t len;
    /* What the next pread() does in the middle of it. */
    raft_index truncate_in_read;
};

static struct rig rig;

static int64_t rig_pread(void *ctx, struct vfs_file *f, void *buf, size_t n, uint64_t offset)
{
    struct vfs *inner = fake_disk_vfs(rig.disk);

    (void)ctx;
    if (rig.truncate_in_read != 0)
        log_reads_truncate(rig.reads, rig.truncate_in_read);
    rig.truncate_in_read = 0;
    return inner->pread(inner->ctx, f, buf, n, offset);
}

static void append(unsigned n, raft_term term, raft_index truncate_from)
{
    static unsigned char data[1u << 20];
    uint64_t number = 0;

    if (truncate_from != 0)
        rig.last = truncate_from - 1;
    for (unsigned i = 0; i < n; i++) {
        struct raft_entry e = {.id = {.term = term, .index = ++rig.last},
                               .type = RAFT_ENTRY_COMMAND,
                               .len = (uint32_t)rig.len,
                               .data = data};

        memset(data, (int)((term + rig.last) & 0xff), rig.len);
        assert_int_equal(
            store_submit(rig.store,
                         &(struct store_batch){.number = ++rig.number,
                                               .truncate_from = i == 0 ? truncate_from : 0,
                                               .entries = &e,
                                               .n_entries = 1,
                                               .commit_index = 1}),
            0);
    }
    assert_int_equal(store_work(rig.store, &number), 0);
}

static void rig_begin(unsigned n, size_t len)
{
    size_t config_len;
    const void *config = model_config(&config_len);

    rig = (struct rig){.disk = fake_disk_new(1), .len = len};
    rig.vfs = *fake_disk_vfs(rig.disk);
    rig.vfs.pread = rig_pread;
    model_conf(&rig.conf, &rig.vfs, 1u << 20, 4u << 20);
    assert_int_equal(store_create(&rig.conf, config, config_len), 0);
    assert_int_equal(store_open(&rig.conf, &rig.rec, &rig.store), 0);
    rig.last = rig.rec.last_index;
    append(n, 2, 0);
    assert_int_equal(log_reads_new(rig.store, &rig.reads), 0);
    arena_init(&rig.arena, mem_libc);
}

static void rig_end(void)
{
    log_reads_free(rig.reads);
    arena_done(&rig.arena);
    store_close(rig.store);
    store_recovered_done(&rig.rec);
    assert_int_equal(fake_disk_n_open(rig.disk), 0);
    fake_disk_free(rig.disk);
}

/* How many entries of `term` came; -1: later. */
static int get(raft_index from, raft_index to, size_t bytes_max, raft_term term)
{
    struct raft_entry e[2000];
    unsigned n = 0;
    int rc;

    arena_reset(&rig.arena);
    rc = log_reads_get(rig.reads, from, to, bytes_max, &rig.arena, e, 2000, &n);
    if (rc == STORE_E_LATER)
        return -1;
    assert_int_equal(rc, 0);
    assert_true(n >= 1);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(e[i].id.index, from + i);
        assert_int_equal(e[i].id.term, term);
        assert_int_equal(e[i].len, rig.len);
        if (rig.len > 0)
            assert_int_equal(((const unsigned char *)e[i].data)[rig.len - 1],
                             (term + from + i) & 0xff);
    }
    return (int)n;
}

static void work(void)
{
    uint64_t before = log_reads_n_done(rig.reads);

    assert_true(log_reads_has_work(rig.reads));
    log_reads_work(rig.reads);
    assert_int_equal(log_reads_n_done(rig.reads), before + 1);
}

/* Asked once however often; nothing is read by who asks. */
static void store__old_entries_come_later(void **state)
{
    (void)state;
    rig_begin(100, 100);
    assert_false(log_reads_has_work(rig.reads));
    assert_int_equal(get(2, 101, 100000, 2), -1);
    assert_int_equal(get(2, 101, 100000, 2), -1);
    work();
    assert_false(log_reads_has_work(rig.reads));
    assert_int_equal(get(2, 101, 1050, 2), 10);
    assert_int_equal(get(12, 101, 1050, 2), 10);
    assert_int_equal(get(12, 13, 1050, 2), 2); /* again, and no further than it may */
    assert_int_equal(get(50, 101, 100000, 2), 52);
    /* Its end was handed out: it is gone, and its memory. */
    assert_int_equal(get(50, 101, 100000, 2), -1);
    rig_end();
}

/* While one window is handed out the next is read already. */
static void store__windows_are_read_ahead(void **state)
{
    raft_index next = 2;
    unsigned waits = 0;

    (void)state;
    rig_begin(600, 3000);
    while (next <= rig.last) {
        int n = get(next, rig.last, 65536, 2);

        if (n < 0)
            waits++;
        else
            next += (unsigned)n;
        if (log_reads_has_work(rig.reads))
            work();
    }
    assert_int_equal(waits, 1); /* for the first of seven */
    rig_end();
}

/* More places than windows, each with more windows ahead: everybody gets what he asked for. */
static void store__every_place_has_its_window(void **state)
{
    raft_index next[RAFT_SERVERS_MAX + 1];
    unsigned turns = 0;
    bool all = false;

    (void)state;
    rig_begin(1700, 3000);
    for (unsigned i = 0; i <= RAFT_SERVERS_MAX; i++)
        next[i] = 2 + i * 100;
    while (!all) {
        assert_true(++turns < 2000);
        all = true;
        for (unsigned i = 0; i <= RAFT_SERVERS_MAX; i++) {
            int n = next[i] <= rig.last ? get(next[i], rig.last, 65536, 2) : 0;

            next[i] += n > 0 ? (unsigned)n : 0;
            all = all && next[i] > rig.last;
        }
        if (log_reads_has_work(rig.reads))
            work();
    }
    rig_end();
}

/* What was read, or is being read, of entries that are replaced is never handed out. */
static void store__a_truncation_drops_what_was_read(void **state)
{
    uint64_t before;

    (void)state;
    for (unsigned when = 0; when < 3; when++) {
        rig_begin(50, 100);
        assert_int_equal(get(30, 51, 100000, 2), -1);
        before = log_reads_n_done(rig.reads);
        if (when == 0) /* asked for */
            log_reads_truncate(rig.reads, 40);
        if (when == 1) { /* read */
            work();
            log_reads_truncate(rig.reads, 40);
        }
        if (when == 2) { /* in the middle of it */
            rig.truncate_in_read = 40;
            work();
        }
        assert_true(log_reads_n_done(rig.reads) > before); /* who waits asks again */
        append(10, 3, 40);
        assert_int_equal(get(40, 49, 100000, 3), -1);
        work();
        assert_int_equal(get(40, 49, 100000, 3), 10);
        assert_int_equal(get(30, 39, 100000, 2), -1);
        work();
        assert_int_equal(get(30, 39, 100000, 2), 10);
        rig_end();
    }
}

/* What lies below a truncation is not touched. */
static void store__a_truncation_leaves_what_is_below(void **state)
{
    (void)state;
    rig_begin(50, 100);
    assert_int_equal(get(2, 39, 100000, 2), -1);
    work();
    log_reads_truncate(rig.reads, 40);
    assert_int_equal(get(2, 39, 100000, 2), 38);
    rig_end();
}

static void store__who_asked_is_told_of_damage(void **state)
{
    struct raft_entry e[4];
    unsigned n;
    char name[64];

    (void)state;
    rig_begin(50, 1000);
    for (unsigned i = 0; i < fake_disk_n_files(rig.disk); i++) {
        size_t size;
        const unsigned char *bytes;

        (void)snprintf(name, sizeof(name), "%s", fake_disk_name(rig.disk, i));
        bytes = fake_disk_bytes(rig.disk, name, &size);
        for (size_t at = 0; bytes != NULL && at + 1000 < size; at++)
            if (bytes[at] == 22 && bytes[at + 900] == 22) { /* of entry 20 */
                fake_disk_flip(rig.disk, name, at + 500, 0);
                break;
            }
    }
    assert_int_equal(log_reads_get(rig.reads, 20, 51, 100000, &rig.arena, e, 4, &n), STORE_E_LATER);
    work();
    err_reset();
    assert_int_equal(log_reads_get(rig.reads, 20, 51, 100000, &rig.arena, e, 4, &n), -EBADMSG);
    assert_non_null(strstr(err_text(), "damaged log: '"));
    assert_int_equal(get(45, 51, 100000, 2), -1); /* others are not */
    work();
    assert_int_equal(get(45, 51, 100000, 2), 7);
    rig_end();
}

/* ---- the thread ---- */

struct real {
    char path[64];
    int dir_fd;
    int fd;
    struct vfs *vfs;
    struct log_thread *log;
    struct read_thread *read;
};

static void must_not_fail(void *ctx, int error)
{
    (void)ctx;
    (void)fprintf(stderr, "log thread failed: %d\n", error);
    abort();
}

static int remove_one(void *arg, const char *name)
{
    return unlinkat(((struct real *)arg)->dir_fd, name, 0);
}

static void real_begin(struct real *d)
{
    size_t len;
    const void *config = model_config(&len);

    *d = (struct real){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    rig = (struct rig){.len = 700};
    (void)snprintf(d->path, sizeof(d->path), "test-store-reads-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    d->dir_fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(vfs_posix_new(d->dir_fd, &d->vfs), 0);
    model_conf(&rig.conf, d->vfs, 1u << 20, 1u << 20);
    assert_int_equal(store_create(&rig.conf, config, len), 0);
    assert_int_equal(store_open(&rig.conf, &rig.rec, &rig.store), 0);
    rig.last = rig.rec.last_index;
    assert_int_equal(log_reads_new(rig.store, &rig.reads), 0);
    arena_init(&rig.arena, mem_libc);
    assert_int_equal(log_thread_start(rig.store, d->fd, must_not_fail, NULL, &d->log), 0);
    assert_int_equal(read_thread_start(rig.reads, d->fd, &d->read), 0);
}

static void real_end(struct real *d)
{
    log_thread_stop(d->log);
    read_thread_stop(d->read);
    log_reads_free(rig.reads);
    arena_done(&rig.arena);
    store_close(rig.store);
    store_recovered_done(&rig.rec);
    (void)d->vfs->list(d->vfs->ctx, remove_one, d);
    assert_int_equal(rmdir(d->path), 0);
    (void)close(d->dir_fd);
    (void)close(d->fd);
    vfs_posix_free(d->vfs);
}

static void wait_for(struct real *d)
{
    struct pollfd p = {.fd = d->fd, .events = POLLIN};
    uint64_t n;

    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_int_equal(read(d->fd, &n, sizeof(n)), sizeof(n));
}

static void submit_one(raft_term term, raft_index truncate_from)
{
    unsigned char data[700];
    struct raft_entry e = {
        .id = {.term = term}, .type = RAFT_ENTRY_COMMAND, .len = sizeof(data), .data = data};

    if (truncate_from != 0) {
        log_reads_truncate(rig.reads, truncate_from);
        rig.last = truncate_from - 1;
    }
    e.id.index = ++rig.last;
    memset(data, (int)((term + rig.last) & 0xff), sizeof(data));
    assert_int_equal(store_submit(rig.store, &(struct store_batch){.number = ++rig.number,
                                                                   .truncate_from = truncate_from,
                                                                   .entries = &e,
                                                                   .n_entries = 1,
                                                                   .commit_index = 1}),
                     0);
}

/* The log is written and truncated while old entries of it are read, by three threads. */
static void store__reads_beside_writes_and_truncations(void **state)
{
    const unsigned rounds = 60;
    uint64_t deadline = clock_mono_us() + 120000000;
    struct real d;

    (void)state;
    real_begin(&d);
    for (unsigned round = 1; round <= rounds; round++) {
        raft_term term = 1 + round;
        raft_index first = round == 1 ? rig.last + 1 : rig.last - 40;
        raft_index next = first;

        for (unsigned i = 0; i < 120; i++) {
            submit_one(term, i == 0 && round > 1 ? first : 0);
            log_thread_wake(d.log);
        }
        while (log_thread_durable(d.log) < rig.number)
            wait_for(&d);
        /* All of this term, which is what stands there now; the next round begins when some of it
         * is still being read. */
        while (next <= rig.last - 60) {
            int n = get(next, rig.last, 20000, term);

            assert_true(clock_mono_us() < deadline);
            if (log_reads_has_work(rig.reads))
                read_thread_wake(d.read);
            if (n < 0)
                wait_for(&d);
            else
                next += (unsigned)n;
        }
    }
    real_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__old_entries_come_later),
        cmocka_unit_test(store__windows_are_read_ahead),
        cmocka_unit_test(store__every_place_has_its_window),
        cmocka_unit_test(store__a_truncation_drops_what_was_read),
        cmocka_unit_test(store__a_truncation_leaves_what_is_below),
        cmocka_unit_test(store__who_asked_is_told_of_damage),
        cmocka_unit_test(store__reads_beside_writes_and_truncations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
