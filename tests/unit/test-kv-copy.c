/* kv: copies of the state are it at one moment, can be ended at any, and are checked before they
 * are believed (SNAP-4, SNAP-9). */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "kv/kv_int.h"
#include "kv/record_int.h"
#include "unit/kv-copies.h"

/* ---- what a copy is ---- */

static void copy__is_the_state_somewhere_else(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = make_another();
    struct kv_digest digest;
    struct example x;
    struct prng p;

    for (uint64_t seed = 1; seed <= 3; seed++) {
        raft_index index;

        open_example(f, &x, &p, seed);
        if (g->kv != NULL)
            kv_down(g, false);
        wipe(g->dir);
        kv_up(g);
        write_one(g, "its own", "1");
        copy_over(f, g);
        assert_true(reads_the_same(g, &x));
        check_value(g, "its own", NULL, 0, 0, 0);
        index = kv_last_applied(g->kv).index;
        assert_true(kv_digest_at(g->kv, index, &digest));
        assert_true(digests_equal(digest, x.stats.digest));
        check_scrub(g);
        /* Both go on, and stay equal. */
        g->term = f->term;
        write_one(f, "later", "2");
        write_one(g, "later", "2");
        assert_true(digests_equal(stats_of(f).digest, stats_of(g).digest));
        /* Found again after an end of either kind. */
        kv_down(g, seed % 2 == 0);
        kv_up(g);
        assert_int_equal(g->trust, seed % 2 == 0 ? KV_TRUSTED_CLEAN : KV_TRUSTED_SAME_BOOT);
        assert_true(digests_equal(stats_of(f).digest, stats_of(g).digest));
        kv_down(f, false);
        free_example(&x);
    }
    drop_another(g);
}

/* Empty, emptied, one record, long ones, many; each over the one before. */
static void copy__of_every_kind_of_state(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = make_another();

    kv_up(f);
    kv_up(g);
    for (unsigned step = 0; step < 6; step++) {
        if (step == 1)
            write_one(f, "x", "1");
        else if (step == 2)
            assert_true(delete_one(f, "x")); /* the meta record alone */
        else if (step == 3)
            write_long(f, "long", 500000);
        else if (step == 4)
            many_keys(f, 20000);
        else if (step == 5)
            for (size_t len = 3900; len < 4200; len++) /* about a page, in and out of the leaf */
                write_long(f, "edge", len / 2);
        copy_over(f, g);
        check_scrub(g);
    }
    assert_int_equal(kv_copy_format(f->kv) >> 16, 0x4c01);
    assert_int_equal(1u << (kv_copy_format(f->kv) & 0xff), f->kv->page_bytes);
    assert_int_equal(kv_copy_format(f->kv) >> 8 & 0x7f, sizeof(size_t));
    drop_another(g);
}

/* SNAP-4: what moved in memory only is not in the copy, and it says so. */
/* Nobody waits for it any more (SNAP-18). */
static void expect_to_end(struct kv *kv, struct bytes *b)
{
    static const atomic_bool stop = true;
    struct kv_source source = source_of_bytes(b);
    struct kv_copy_info info;

    source.stop = &stop;
    assert_int_equal(kv_check_copy(kv, &source, &info), -ECANCELED);
    assert_int_equal(kv_prepare(kv, &source, &info), -ECANCELED);
    assert_int_equal(b->n_read, 0);
}

static void copy__says_what_it_holds(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = make_another();
    struct command_result result;
    struct kv_copy_info info;
    struct bytes b = {0};
    raft_index index;

    kv_up(f);
    kv_up(g);
    write_one(f, "x", "1");
    write_one(f, "x", "2");
    index = kv_last_applied(f->kv).index;
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_NOOP, NULL, 0, &result), 0);
    assert_int_equal(kv_commit(f->kv), 0);
    take_copy(f->kv, &b);
    assert_int_equal(kv_last_applied(f->kv).index, 3);
    expect_to_end(f->kv, &b);
    assert_int_equal(check_bytes(f->kv, &b, &info), 0);
    assert_int_equal(info.last_applied.index, 2);
    assert_int_equal(info.last_applied.term, 1);
    write_one(f, "x", "3"); /* the copy says what it said, whatever the state says */
    assert_int_equal(check_bytes(f->kv, &b, &info), 0);
    assert_int_equal(info.last_applied.index, 2);
    assert_int_equal(prepare_bytes(g->kv, &b, &info), 0);
    assert_int_equal(info.last_applied.index, 2);
    assert_int_equal(kv_switch(g->kv), 0);
    assert_int_equal(kv_last_applied(g->kv).index, 2);
    check_value(g, "x", "2", 1, 2, 2);
    free(b.data);
    drop_another(g);
}

struct job {
    struct kv *kv;
    struct kv_sink sink;
    pthread_t thread;
    atomic_bool is_over;
    int rc;
};

static void *run_job(void *arg)
{
    struct job *job = arg;

    job->rc = kv_copy(job->kv, &job->sink);
    atomic_store(&job->is_over, true);
    return NULL;
}

static void begin_job(struct job *job)
{
    atomic_store(&job->is_over, false);
    assert_int_equal(pthread_create(&job->thread, NULL, run_job, job), 0);
}

static int end_job(struct job *job)
{
    assert_int_equal(pthread_join(job->thread, NULL), 0);
    return job->rc;
}

/* The moment of a copy is one, whatever is written meanwhile. */
static void copy__is_of_one_moment(void **state)
{
    enum { INDEXES = 1u << 20 };
    struct kv_digest *digests = calloc(INDEXES, sizeof(*digests));
    struct fixture *f = *state;
    struct bytes b = {0};
    struct job job = {.sink = {.write = bytes_write, .ctx = &b}};
    raft_index last = 0;
    struct example x;
    unsigned beside = 0;
    struct prng p;

    assert_non_null(digests);
    f->conf.map_size_bytes = (size_t)1 << 30; /* it need not grow: that would end a copy */
    open_example(f, &x, &p, 7);
    job.kv = f->kv;
    for (unsigned round = 0; round < 40; round++) {
        const raft_index before = kv_last_applied(f->kv).index;
        struct kv_copy_info info;

        digests[before] = stats_of(f).digest;
        b.len = 0;
        begin_job(&job);
        do {
            some_changes(f, &x, &p);
            assert_true(kv_last_applied(f->kv).index < INDEXES);
            digests[kv_last_applied(f->kv).index] = stats_of(f).digest;
        } while (!atomic_load(&job.is_over));
        assert_int_equal(end_job(&job), 0);
        if (check_bytes(f->kv, &b, &info) != 0)
            fail_msg("kv_check_copy: %s", err_text());
        assert_true(info.last_applied.index >= before);
        assert_true(info.last_applied.index >= last);
        assert_true(digests_equal(info.digest, digests[info.last_applied.index]));
        beside += info.last_applied.index != kv_last_applied(f->kv).index;
        last = info.last_applied.index;
    }
    assert_true(beside > 0);
    check_scrub(f);
    free(digests);
    free(b.data);
    free_example(&x);
}

/* ---- ends ---- */

static unsigned n_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

/* A thread that was joined may stand in the list for a moment. */
static void check_threads(unsigned expected)
{
    const uint64_t end_us = clock_mono_us() + 20000000;

    while (n_entries("/proc/self/task") > expected && clock_mono_us() < end_us)
        (void)sched_yield();
    assert_true(n_entries("/proc/self/task") <= expected);
}

static int count_reader(const char *line, void *ctx)
{
    const char *last = strrchr(line, ' ');

    /* "pid thread txnid", of one that reads nothing "-" */
    if (strstr(line, "pid") == NULL && last != NULL && last[1] >= '0' && last[1] <= '9')
        ++*(unsigned *)ctx;
    return 0;
}

static void check_nothing_is_held(struct fixture *f)
{
    unsigned readers = 0;

    kv_look_end(f->kv); /* what is applied and read is no copy */
    assert_true(mdb_reader_list(f->kv->env, count_reader, &readers) >= 0);
    assert_int_equal(readers, 0);
    assert_int_equal(pthread_rwlock_trywrlock(&f->kv->map_lock), 0);
    (void)pthread_rwlock_unlock(&f->kv->map_lock);
    assert_int_equal(f->kv->copying.read_fd, -1);
    assert_int_equal(f->kv->copying.wake_fd, -1);
}

struct stopper {
    struct kv *kv;
    unsigned at; /* the n-th piece */
    unsigned n;
    int rc; /* what the sink says from then on; 0: it stops the copy */
};

static int stop_at(void *ctx, const void *data, size_t n)
{
    struct stopper *s = ctx;

    (void)data;
    (void)n;
    if (++s->n < s->at)
        return 0;
    if (s->rc != 0)
        return s->rc;
    kv_copy_stop(s->kv);
    return 0;
}

static void copy__is_stopped_at_any_piece(void **state)
{
    struct fixture *f = *state;
    unsigned n_threads;
    unsigned n_stopped = 0;
    struct example x;
    unsigned n_fds;
    struct prng p;

    open_example(f, &x, &p, 4);
    n_threads = n_entries("/proc/self/task");
    n_fds = n_entries("/proc/self/fd");
    for (unsigned ignored = 0; ignored < 2; ignored++) {
        (void)signal(SIGPIPE, ignored != 0 ? SIG_IGN : SIG_DFL);
        for (unsigned at = 0; at < 15; at++) {
            struct stopper s = {.kv = f->kv, .at = at};
            const struct kv_sink sink = {.write = stop_at, .ctx = &s};
            int rc;

            if (at == 0)
                kv_copy_stop(f->kv);
            rc = kv_copy(f->kv, &sink);
            assert_true(rc == KV_E_STOPPED || rc == 0);
            n_stopped += rc == KV_E_STOPPED;
            if (rc == KV_E_STOPPED)
                assert_int_equal(s.n, at); /* nothing comes afterwards */
            if (s.n >= at) {
                s.n = 0;
                assert_int_equal(kv_copy(f->kv, &sink), KV_E_STOPPED); /* it stays so */
                assert_int_equal(s.n, 0);
            }
            kv_copy_go(f->kv);
            check_nothing_is_held(f);
        }
        for (unsigned at = 1; at < 6; at++) {
            struct stopper s = {.kv = f->kv, .at = at, .rc = at % 2 == 0 ? 17 : -EDOM};
            const struct kv_sink sink = {.write = stop_at, .ctx = &s};

            assert_int_equal(kv_copy(f->kv, &sink), s.rc);
            assert_int_equal(s.n, at);
            check_nothing_is_held(f);
        }
    }
    assert_true(n_stopped > 4);
    check_threads(n_threads);
    assert_int_equal(n_entries("/proc/self/fd"), n_fds);
    (void)signal(SIGPIPE, SIG_DFL);
    some_changes(f, &x, &p);
    check_scrub(f);
    free_example(&x);
}

static void copy__is_stopped_at_any_moment(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    struct job job = {.sink = {.write = bytes_write, .ctx = &b}};
    unsigned n_threads;
    unsigned n_of[2] = {0, 0};
    struct example x;
    unsigned n_fds;
    struct prng p;

    open_example(f, &x, &p, 5);
    n_threads = n_entries("/proc/self/task");
    n_fds = n_entries("/proc/self/fd");
    job.kv = f->kv;
    for (unsigned i = 0; i < 300; i++) {
        const uint64_t end_us = clock_mono_us() + prng_below(&p, 12000);
        struct kv_copy_info info;

        b.len = 0;
        begin_job(&job);
        while (clock_mono_us() < end_us)
            if (i % 3 == 0)
                some_changes(f, &x, &p);
        kv_copy_stop(f->kv);
        (void)end_job(&job);
        assert_true(job.rc == 0 || job.rc == KV_E_STOPPED);
        n_of[job.rc == 0]++;
        if (job.rc == 0)
            assert_int_equal(check_bytes(f->kv, &b, &info), 0);
        check_nothing_is_held(f);
        kv_copy_go(f->kv);
    }
    print_message("%u copies were stopped, %u came to their end\n", n_of[0], n_of[1]);
    assert_true(n_of[0] > 0);
    check_threads(n_threads);
    assert_int_equal(n_entries("/proc/self/fd"), n_fds);
    free(b.data);
    free_example(&x);
}

/* A sink that waits. */
struct gate {
    sem_t reached;
    sem_t open;
};

static int wait_at_gate(void *ctx, const void *data, size_t n)
{
    struct gate *gate = ctx;

    (void)data;
    (void)n;
    (void)sem_post(&gate->reached);
    while (sem_wait(&gate->open) != 0)
        continue;
    return 0;
}

static void gate_init(struct gate *gate)
{
    assert_int_equal(sem_init(&gate->reached, 0, 0), 0);
    assert_int_equal(sem_init(&gate->open, 0, 0), 0);
}

/* SNAP-9: whoever stops a copy need not wait for what takes it. */
static void copy__holds_nothing_while_its_sink_waits(void **state)
{
    struct fixture *f = *state;
    struct gate gate;
    struct job job = {.sink = {.write = wait_at_gate, .ctx = &gate}};
    const uint64_t end_us = clock_mono_us() + 20000000;
    struct example x;
    struct prng p;

    gate_init(&gate);
    open_example(f, &x, &p, 6);
    write_long(f, "long", 500000);
    job.kv = f->kv;
    begin_job(&job);
    assert_int_equal(sem_wait(&gate.reached), 0);
    assert_int_not_equal(pthread_rwlock_trywrlock(&f->kv->map_lock), 0);
    kv_copy_stop(f->kv);
    while (pthread_rwlock_trywrlock(&f->kv->map_lock) != 0) {
        assert_true(clock_mono_us() < end_us);
        (void)sched_yield();
    }
    (void)pthread_rwlock_unlock(&f->kv->map_lock);
    assert_false(atomic_load(&job.is_over));
    assert_int_equal(sem_post(&gate.open), 0);
    assert_int_equal(end_job(&job), KV_E_STOPPED);
    check_nothing_is_held(f);
    free_example(&x);
}

/* SNAP-9: the map must grow, and a copy whose sink waits stands in its way. No write waits. */
static void copy__gives_way_to_a_map_that_must_grow(void **state)
{
    struct fixture *f = *state;
    struct gate gate;
    struct job job = {.sink = {.write = wait_at_gate, .ctx = &gate}};
    const uint64_t end_us = clock_mono_us() + 60000000;
    struct bytes b = {0};
    uint64_t map_bytes;

    gate_init(&gate);
    f->conf.map_size_bytes = KV_MAP_ROOM_BYTES + (8u << 20);
    kv_up(f);
    for (char name[2] = "a"; name[0] < 'g'; name[0]++) /* more than what pipe and buffers take */
        write_long(f, name, 500000);
    map_bytes = f->kv->map_bytes;
    job.kv = f->kv;
    begin_job(&job);
    assert_int_equal(sem_wait(&gate.reached), 0);
    for (unsigned i = 0; f->kv->map_bytes == map_bytes; i++) {
        char name[32];

        assert_true(clock_mono_us() < end_us);
        (void)snprintf(name, sizeof(name), "%u", i % 32);
        write_long(f, name, 500000);
    }
    assert_false(atomic_load(&job.is_over));
    assert_int_equal(sem_post(&gate.open), 0);
    assert_int_equal(end_job(&job), KV_E_STOPPED);
    /* That one alone. */
    take_copy(f->kv, &b);
    check_nothing_is_held(f);
    free(b.data);
}

#define SIGNALS_PER_PIECE 20u

static atomic_uint n_signals;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&n_signals, 1);
}

/* Whoever writes waits meanwhile, and is one of those that get the signals. */
static int take_between_signals(void *ctx, const void *data, size_t n)
{
    const unsigned before = atomic_load(&n_signals);

    while (atomic_load(&n_signals) - before < SIGNALS_PER_PIECE)
        (void)sched_yield();
    return bytes_write(ctx, data, n);
}

static void signal_others(void)
{
    DIR *dir = opendir("/proc/self/task");
    const struct dirent *d;

    assert_non_null(dir);
    while ((d = readdir(dir)) != NULL)
        if (d->d_name[0] != '.' && atoi(d->d_name) != getpid())
            (void)syscall(SYS_tgkill, getpid(), atoi(d->d_name), SIGUSR1);
    (void)closedir(dir);
}

/* Signals come to whichever thread takes them; a write that one interrupts is none that failed. */
static void copy__survives_signals(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    struct job job = {.sink = {.write = take_between_signals, .ctx = &b}};
    struct sigaction action = {.sa_handler = on_signal};
    struct kv_copy_info info;

    kv_up(f);
    many_keys(f, 20000);
    for (unsigned i = 0; i < 8; i++) {
        char name[2] = {(char)('a' + i), '\0'};

        write_long(f, name, 500000);
    }
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    job.kv = f->kv;
    begin_job(&job);
    while (!atomic_load(&job.is_over)) {
        signal_others();
        (void)sched_yield();
    }
    assert_int_equal(end_job(&job), 0);
    (void)signal(SIGUSR1, SIG_IGN);
    assert_true(atomic_load(&n_signals) > SIGNALS_PER_PIECE);
    assert_int_equal(check_bytes(f->kv, &b, &info), 0);
    check_info(f, &info);
    free(b.data);
}

/* LMDB's copy ends with this; 0: with what it says itself. */
int __real_mdb_env_copyfd2(MDB_env *env, mdb_filehandle_t fd, unsigned flags);
int __wrap_mdb_env_copyfd2(MDB_env *env, mdb_filehandle_t fd, unsigned flags);
static int copy_code;

int __wrap_mdb_env_copyfd2(MDB_env *env, mdb_filehandle_t fd, unsigned flags)
{
    const int code = __real_mdb_env_copyfd2(env, fd, flags);

    return code != 0 ? code : copy_code;
}

/* All bytes came, and LMDB says that they are no copy. */
static void copy__ends_as_lmdb_says(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    const struct kv_sink sink = {.write = bytes_write, .ctx = &b};

    kv_up(f);
    write_one(f, "x", "1");
    copy_code = MDB_READERS_FULL;
    assert_int_equal(kv_copy(f->kv, &sink), -EIO);
    assert_non_null(strstr(err_text(), "MDB_READERS_FULL"));
    copy_code = ENOMEM;
    assert_int_equal(kv_copy(f->kv, &sink), -ENOMEM);
    assert_false(kv_is_distrusted(f->kv));
    copy_code = MDB_INCOMPATIBLE; /* pages that nothing leads to, or damage */
    assert_int_equal(kv_copy(f->kv, &sink), KV_E_DAMAGED);
    assert_true(kv_is_distrusted(f->kv));
    copy_code = 0;
    check_nothing_is_held(f);
    free(b.data);
}

/* ---- what is not believed ---- */

/* A flip that is not found has no effect: all reads as before. */
static void check_harmless(struct fixture *g, struct bytes *b, const struct example *x, size_t bit)
{
    struct kv_copy_info info;

    if (prepare_bytes(g->kv, b, &info) != 0 || kv_switch(g->kv) != 0 || !reads_the_same(g, x))
        fail_msg("a flipped bit %u of byte %u of page %u of a copy was not found: %s",
                 (unsigned)(bit % 8), (unsigned)(bit / 8 % PAGE), (unsigned)(bit / 8 / PAGE),
                 err_text());
}

static void check_copy__finds_flips_in_all_pages(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = make_another();
    unsigned n_found = 0;
    unsigned n_tried = 0;
    struct bytes b = {0};
    struct example x;
    struct prng p;

    open_example(f, &x, &p, 8);
    kv_up(g);
    take_copy(f->kv, &b);
    for (size_t page = 0; page < b.len / PAGE; page++) {
        unsigned found = 0;

        for (unsigned i = 0; i < 12; i++) {
            /* Half of them where pages are described. */
            const size_t at = (size_t)prng_below(&p, i % 2 == 0 ? 24 : PAGE);
            const size_t bit = (page * PAGE + at) * 8 + (size_t)prng_below(&p, 8);
            struct kv_copy_info info;
            int rc;

            flip_in(&b, bit);
            rc = check_bytes(f->kv, &b, &info);
            if (rc == 0)
                check_harmless(g, &b, &x, bit);
            else
                assert_int_equal(rc, KV_E_DAMAGED);
            flip_in(&b, bit);
            found += rc != 0;
            n_tried++;
        }
        n_found += found;
    }
    print_message("%u flips in %u pages, %u found, the rest without effect\n", n_tried,
                  (unsigned)(b.len / PAGE), n_found);
    assert_true(n_found > n_tried / 2);
    free(b.data);
    free_example(&x);
    drop_another(g);
}

static unsigned char *meta_record(struct bytes *b)
{
    const struct wire_slice key = record_meta_key;
    size_t i = 0;

    while (memcmp(b->data + i, key.data, key.len) != 0) {
        assert_true(i + key.len + META_BYTES_PLAIN < b->len);
        i++;
    }
    return b->data + i + key.len;
}

static void forge(unsigned char *record)
{
    put_u32(record, record_crc(record_meta_key, record, META_BYTES_PLAIN));
}

static void check_copy__refuses_what_is_none(void **state)
{
    struct fixture *f = *state;
    struct kv_copy_info info;
    unsigned char *meta;
    struct bytes b = {0};
    struct example x;
    struct prng p;
    size_t len;

    open_example(f, &x, &p, 9);
    take_copy(f->kv, &b);
    len = b.len;
    for (b.len = 0; b.len < len; b.len += b.len < 10000 ? 100 : PAGE)
        assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_DAMAGED);
    b.len = len;
    assert_int_equal(check_bytes(f->kv, &b, &info), 0);
    assert_int_equal(bytes_write(&b, x.data, PAGE), 0); /* a page too many */
    assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_DAMAGED);
    /* And one that the heads speak of. */
    for (size_t page = 0; page < 2; page++) {
        unsigned char *last = b.data + page * PAGE + 16 + 8 + 16 + 96;

        put_u64(last, b.len / PAGE - 1);
    }
    assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_DAMAGED);
    assert_non_null(strstr(err_text(), "nothing leads to it"));
    b.len = len;
    take_copy(f->kv, &b);
    /* The source fails: it is not the copy that is wrong, or the source says so. */
    b.error = -EIO;
    assert_int_equal(check_bytes(f->kv, &b, &info), -EIO);
    assert_int_equal(prepare_bytes(f->kv, &b, &info), -EIO);
    assert_false(there(f, "data.mdb.new"));
    b.error = KV_E_DAMAGED;
    assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_DAMAGED);
    b.error = 0;
    meta = meta_record(&b);
    put_u64(meta + 24, get_u64(meta + 24) + 1); /* one key more than there are */
    forge(meta);
    assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_DAMAGED);
    put_u64(meta + 24, get_u64(meta + 24) - 1);
    put_u64(meta + 32, get_u64(meta + 32) ^ 1); /* another digest */
    forge(meta);
    assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_DAMAGED);
    put_u64(meta + 32, get_u64(meta + 32) ^ 1);
    meta[4] = META_FORMAT + 1;
    forge(meta);
    assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_NEWER);
    assert_int_equal(prepare_bytes(f->kv, &b, &info), KV_E_NEWER);
    assert_non_null(strstr(err_text(), "later version"));
    meta[4] = META_FORMAT; /* which has more bytes */
    forge(meta);
    assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_DAMAGED);
    meta[4] = META_FORMAT_PLAIN;
    put_u16(meta + 6, 1);
    forge(meta);
    assert_int_equal(check_bytes(f->kv, &b, &info), KV_E_FOREIGN);
    put_u16(meta + 6, 0);
    forge(meta);
    assert_int_equal(check_bytes(f->kv, &b, &info), 0);
    assert_false(there(f, "data.mdb.new"));
    assert_true(reads_the_same(f, &x));
    free(b.data);
    free_example(&x);
}

/* STATE-14: what is not believed is not handed on. */
static void copy__of_a_state_that_is_not_trusted(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = make_another();
    struct stopper s = {.at = 1000};
    const struct kv_sink sink = {.write = stop_at, .ctx = &s};

    kv_up(f);
    kv_up(g);
    write_one(f, "x", "1");
    write_one(g, "x", "2");
    assert_int_equal(kv_distrust(f->kv), 0);
    assert_int_equal(kv_copy(f->kv, &sink), KV_E_DAMAGED);
    assert_int_equal(s.n, 0);
    /* But it can be replaced, and is trusted again. */
    copy_over(g, f);
    assert_false(kv_is_distrusted(f->kv));
    check_value(f, "x", "2", 1, 1, 1);
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    check_value(f, "x", "2", 1, 1, 1);
    drop_another(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(copy__is_the_state_somewhere_else),
        TEST(copy__of_every_kind_of_state),
        TEST(copy__says_what_it_holds),
        TEST(copy__is_of_one_moment),
        TEST(copy__is_stopped_at_any_piece),
        TEST(copy__is_stopped_at_any_moment),
        TEST(copy__holds_nothing_while_its_sink_waits),
        TEST(copy__gives_way_to_a_map_that_must_grow),
        TEST(copy__survives_signals),
        TEST(copy__ends_as_lmdb_says),
        TEST(copy__of_a_state_that_is_not_trusted),
        TEST(check_copy__finds_flips_in_all_pages),
        TEST(check_copy__refuses_what_is_none),
    };

    return cmocka_run_group_tests_name("kv-copy", tests, NULL, NULL);
}
