/* kv: the file of a running node is read through in slices (STATE-13). */
#include "unit/kv-example.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "kv/record_int.h"

/* Steps until one more pass than `done` has ended, or something is found. */
static int scrub_pass(struct fixture *f, size_t bytes, uint64_t done)
{
    struct kv_scrub_progress progress = {0};

    for (unsigned i = 0; progress.passes <= done; i++) {
        int rc = kv_scrub_step(f->kv, bytes, &progress);

        if (rc != 0)
            return rc;
        assert_true(progress.percent <= 99);
        assert_true(i < 100000);
    }
    return 0;
}

/* A transaction that never was: neither sum may remember it. */
static void given_up(struct fixture *f, struct prng *p)
{
    raft_index index = kv_last_applied(f->kv).index;
    struct example nothing;

    memset(&nothing, 0, sizeof(nothing));
    assert_int_equal(kv_begin(f->kv), 0);
    for (unsigned i = 0; i < 10; i++)
        change(f, &nothing, p, &index, (unsigned)prng_below(p, N_NAMES), i % 3 == 0);
    kv_abort(f->kv);
    for (unsigned i = 0; i < N_NAMES; i++)
        free(nothing.values[i]);
}

/* Entries are applied behind and in front of the cursor while a pass is under way: it never takes
 * them for damage. */
static void kv_scrub__changes_raise_no_alarm(void **state)
{
    const char *factor = getenv("RIDD_KV_SEEDS");
    const unsigned n_seeds = factor != NULL ? (unsigned)atoi(factor) : 20;
    struct fixture *f = *state;

    for (unsigned seed = 1; seed <= n_seeds; seed++) {
        struct kv_scrub_progress progress = {0};
        raft_index index;
        struct example x;
        struct prng p;

        open_example(f, &x, &p, seed);
        for (unsigned i = 0; i < 400; i++) {
            const uint64_t what = prng_below(&p, 8);

            if (what < 2)
                some_changes(f, &x, &p);
            else if (what == 2)
                given_up(f, &p);
            else if (what == 3 && prng_below(&p, 20) == 0)
                kv_scrub_restart(f->kv);
            else if (kv_scrub_step(f->kv, 1 + (size_t)prng_below(&p, 100000), &progress) != 0)
                fail_msg("seed %u, step %u: %s", seed, i, err_text());
        }
        assert_true(progress.passes > 0);
        /* Nor does the walk of the next start, after whatever end. (What changes nothing is applied
         * in memory only: something that does comes last.) */
        index = kv_last_applied(f->kv).index;
        assert_int_equal(kv_begin(f->kv), 0);
        change(f, &x, &p, &index, 0, false);
        assert_int_equal(kv_commit(f->kv), 0);
        assert_int_equal(kv_get_stats(f->kv, &x.stats), 0);
        kv_down(f, seed % 2 == 0);
        kv_up(f);
        assert_int_equal(f->trust, seed % 2 == 0 ? KV_TRUSTED_CLEAN : KV_TRUSTED_SAME_BOOT);
        assert_true(reads_the_same(f, &x));
        kv_down(f, true);
        free_example(&x);
    }
}

/* Thousands of pages that become free at once, and are used again: lists of free pages that need
 * overflow pages, pages put back. */
static void kv_scrub__large_transactions_raise_no_alarm(void **state)
{
    struct fixture *f = *state;
    struct example x;
    struct prng p;

    prng_init(&p, 1);
    memset(&x, 0, sizeof(x));
    skip_fsync = true;
    kv_up(f);
    for (unsigned round = 0; round < 24; round++) {
        raft_index index = kv_last_applied(f->kv).index;

        assert_int_equal(kv_begin(f->kv), 0);
        for (unsigned i = 0; i < N_NAMES; i++)
            if (round % 4 < 2 || prng_below(&p, 3) == 0)
                change(f, &x, &p, &index, i, round % 4 == 1);
        assert_int_equal(kv_commit(f->kv), 0);
        assert_int_equal(kv_get_stats(f->kv, &x.stats), 0);
        if (scrub_pass(f, 50000, 0) != 0)
            fail_msg("round %u: %s", round, err_text());
        kv_down(f, round % 2 == 0);
        kv_up(f);
        if (f->trust != KV_TRUSTED_CLEAN && f->trust != KV_TRUSTED_SAME_BOOT)
            fail_msg("round %u: %s", round, err_text());
        assert_true(reads_the_same(f, &x));
    }
    free_example(&x);
}

/* A bit of the running file is found by the first pass that begins afterwards, or nothing is
 * answered otherwise for it. */
static void kv_scrub__a_flip_is_found_by_the_next_pass(void **state)
{
    static const unsigned n_of_kind[N_KINDS] = {60, 150, 150, 60, 80, 20};
    const char *factor = getenv("RIDD_KV_FLIPS");
    struct fixture *f = *state;
    unsigned found[N_KINDS] = {0};
    static struct map map;
    struct example x;
    struct prng p;

    make_example(f, &x, 1);
    make_map(f, &map);
    prng_init(&p, 3);
    for (enum kind kind = HEAD; kind < N_KINDS; kind++) {
        const unsigned n = n_of_kind[kind] * (factor != NULL ? (unsigned)atoi(factor) : 1);

        for (unsigned i = 0; i < n; i++) {
            const size_t bit = some_bit(&p, &map, kind);
            int rc;

            restore(f, &x);
            kv_up(f);
            assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
            assert_int_equal(scrub_pass(f, 10000, 0), 0);
            flip_bit(f, bit);
            kv_scrub_restart(f->kv);
            rc = scrub_pass(f, 10000, 1);
            if (rc == KV_E_DAMAGED) {
                found[kind]++;
                assert_true(err_text()[0] != '\0');
                assert_false(there(f, "TRUST"));
            } else if (rc != 0 || !reads_the_same(f, &x)) {
                fail_msg("a flipped bit %u of byte %u of page %u (%s) was not found: %s",
                         (unsigned)(bit % 8), (unsigned)(bit / 8 % PAGE),
                         (unsigned)(bit / 8 / PAGE), kind_names[kind], err_text());
            }
            kv_down(f, false);
        }
        print_message("%u flips in pages of kind '%s', %u found, the rest without effect\n", n,
                      kind_names[kind], found[kind]);
    }
    assert_true(found[HEAD] > 0);
    assert_true(found[BRANCH] > 0);
    assert_true(found[LEAF] > 0);
    assert_true(found[LONG] > 0);
    assert_true(found[FREE_LIST] > 0);
    free_example(&x);
}

struct flipping {
    struct fixture *f;
    const struct example *x;
    unsigned turn;
    unsigned tried;
};

static void flip_number(void *ctx, size_t bit)
{
    struct flipping *flipping = ctx;

    if (flipping->turn++ % 4 != 0)
        return;
    restore(flipping->f, flipping->x);
    kv_up(flipping->f);
    flip_bit(flipping->f, bit);
    assert_int_equal(scrub_pass(flipping->f, 10000, 0), KV_E_DAMAGED);
    kv_down(flipping->f, false);
    flipping->tried++;
}

/* Before anything is written over it. */
static void kv_scrub__a_used_page_that_is_listed_as_free_is_found(void **state)
{
    static struct map map;
    struct example x;
    struct flipping flipping = {.f = *state, .x = &x};

    make_example(flipping.f, &x, 7);
    make_map(flipping.f, &map);
    each_free_page_to_be_used(&x, &map, flip_number, &flipping);
    assert_true(flipping.tried > 10);
    free_example(&x);
}

/* What depends on whether the key is there is not answered; a write does not depend on it, but where
 * the state is full. */
static void refuse_to_answer(struct fixture *f, const struct wire_key *key)
{
    const struct command cas = command_cas(key_slice(key), "1", "2", true);
    const struct command removal = {.op = COMMAND_DELETE, .key = key_slice(key)};
    const struct command write = command_write(key_slice(key), "1");
    raft_index index = kv_last_applied(f->kv).index;
    char text[COMMAND_LIMIT_CHARS];
    struct command limit = {.op = COMMAND_LIMIT};
    struct wire_key limit_key;
    struct command_result result;
    struct command_value v;

    command_limit_key(&limit_key);
    command_limit_text(1, text);
    limit.key = key_slice(&limit_key);
    limit.value = (struct wire_slice){text, strlen(text)};
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_command(f, &index, &limit, &result), 0);
    assert_true(apply_command(f, &index, &write, &result) < 0);
    kv_abort(f->kv);
    index = kv_last_applied(f->kv).index;
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(kv_apply_get(f->kv, key_slice(key), &v), KV_E_DAMAGED);
    assert_true(apply_command(f, &index, &cas, &result) < 0);
    kv_abort(f->kv);
    assert_int_equal(kv_begin(f->kv), 0);
    assert_true(apply_command(f, &index, &removal, &result) < 0);
    kv_abort(f->kv);
    assert_true(kv_is_distrusted(f->kv));
}

/* A key that an inner page hides is written a second time before the scrub comes by: from what is
 * remembered nothing could be told any more, from the pages it is. */
static void kv_scrub__a_hidden_key_is_found_after_it_was_made_again(void **state)
{
    struct fixture *f = *state;
    static struct map map;
    unsigned hidden = 0;
    struct example x;

    make_example(f, &x, 1);
    make_map(f, &map);
    for (size_t page = 2; page < map.n_pages && hidden < 10; page++) {
        const unsigned char *p = x.data + page * PAGE;

        for (size_t i = 1; map.kind[page] == BRANCH && 16 + 2 * i < get_u16(p + 12); i++) {
            struct raft_entry_id id;
            struct command_value v;
            bool is_hidden = false;

            restore(f, &x);
            kv_up(f);
            /* The first digit of a separator. */
            flip_bit(f, 8 * (page * PAGE + get_u16(p + 16 + 2 * i) + 9) + 1);
            for (unsigned k = 0; k < N_NAMES && !is_hidden; k++) {
                char name[NAME_BYTES + 1];
                struct wire_key key;

                name_of(k, name);
                key = string_key(name);
                assert_int_equal(kv_read_begin(f->kv, &id), 0);
                is_hidden =
                    x.values[k] != NULL && kv_get(f->kv, key_slice(&key), &v) == KV_E_DAMAGED;
                kv_read_end(f->kv);
                if (is_hidden) {
                    refuse_to_answer(f, &key);
                    write_one(f, name, "1");
                }
            }
            if (is_hidden) {
                hidden++;
                assert_int_equal(scrub_pass(f, 4096, 0), KV_E_DAMAGED);
            }
            kv_down(f, false);
        }
    }
    assert_true(hidden > 0);
    free_example(&x);
}

/* STATE-15: between the flip and the pass that finds it no answer is wrong. */
static void kv_scrub__no_flip_is_answered_wrongly(void **state)
{
    const char *factor = getenv("RIDD_KV_FLIPS");
    const unsigned n = 400 * (factor != NULL ? (unsigned)atoi(factor) : 1);
    struct fixture *f = *state;
    unsigned found[N_READS] = {0};
    static struct map map;
    struct example x;
    struct prng p;

    make_example(f, &x, 1);
    make_map(f, &map);
    prng_init(&p, 9);
    for (unsigned i = 0; i < n; i++) {
        const enum kind kind = i % 4 == 0 ? LEAF : BRANCH;
        size_t bit = some_bit(&p, &map, kind);
        int status;
        pid_t pid;

        if (i % 4 > 1) { /* digits of separators, and numbers of children */
            const size_t page = bit / 8 / PAGE;
            const unsigned char *b = x.data + page * PAGE;
            const size_t node = get_u16(b + 16 + 2 * prng_below(&p, (get_u16(b + 12) - 16u) / 2));

            bit = (page * PAGE + node + (i % 4 == 2 ? 9 : 0)) * 8 + prng_below(&p, 24);
        }
        restore(f, &x);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)signal(SIGSEGV, SIG_DFL); /* not cmocka's */
            (void)signal(SIGBUS, SIG_DFL);
            kv_up(f);
            flip_bit(f, bit);
            _exit(f->trust == KV_TRUSTED_CLEAN ? read_all(f, &x) : READS_WRONG);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == READS_WRONG)
            fail_msg("a flipped bit %u of byte %u of page %u (%s) is answered wrongly",
                     (unsigned)(bit % 8), (unsigned)(bit / 8 % PAGE), (unsigned)(bit / 8 / PAGE),
                     kind_names[kind]);
        found[WIFEXITED(status) && WEXITSTATUS(status) < ENDED ? WEXITSTATUS(status) : ENDED]++;
    }
    print_message("%u flips: %u without effect, %u refused, %u ended the process\n", n,
                  found[READS_RIGHT], found[READS_REFUSED], found[ENDED]);
    assert_true(found[READS_REFUSED] > n / 10);
    free_example(&x);
}

static bool is_older_copy(const struct example *x, const struct map *map, size_t page, size_t of)
{
    const unsigned char *p = x->data + page * PAGE;
    const unsigned char *q = x->data + of * PAGE;
    const unsigned char *a;
    const unsigned char *b;

    if (map->kind[page] != FREE || get_u64(p) != page || get_u16(p + 10) != 2 ||
        get_u16(p + 12) <= 16)
        return false;
    a = p + get_u16(p + 16);
    b = q + get_u16(q + 16);
    return get_u16(a + 6) == get_u16(b + 6) && memcmp(a + 8, b + 8, get_u16(a + 6)) == 0;
}

/* An inner page leads to what a leaf was some transactions ago: a whole page, in order, with sound
 * records, and without what came since. */
static void kv_scrub__an_older_copy_of_a_page_is_no_answer(void **state)
{
    struct fixture *f = *state;
    unsigned found[N_READS] = {0};
    static struct map map;
    struct example x;
    unsigned n = 0;

    make_example(f, &x, 1);
    make_map(f, &map);
    for (size_t page = 2; page < map.n_pages; page++) {
        unsigned char *b = x.data + page * PAGE;

        for (size_t i = 0; map.kind[page] == BRANCH && 16 + 2 * i < get_u16(b + 12); i++) {
            unsigned char *number = b + get_u16(b + 16 + 2 * i);
            const uint16_t child = get_u16(number); /* of so few pages */

            for (size_t old = 2; map.kind[child] == LEAF && old < map.n_pages && n < 60; old++)
                if (is_older_copy(&x, &map, old, child)) {
                    int status;
                    pid_t pid;

                    restore(f, &x);
                    pid = fork();
                    assert_true(pid >= 0);
                    if (pid == 0) {
                        kv_up(f);
                        for (unsigned bit = 0; bit < 16; bit++)
                            if (((old ^ child) >> bit & 1) != 0)
                                flip_bit(f, 8 * (size_t)(number - x.data) + bit);
                        _exit(read_all(f, &x));
                    }
                    assert_int_equal(waitpid(pid, &status, 0), pid);
                    assert_true(WIFEXITED(status));
                    assert_true(WEXITSTATUS(status) < READS_WRONG);
                    found[WEXITSTATUS(status)]++;
                    n++;
                }
        }
    }
    print_message("%u older copies, %u refused\n", n, found[READS_REFUSED]);
    assert_true(n > 10);
    free_example(&x);
}

/* What an empty state, one of a single page and one after a rebuild have to say. */
static void kv_scrub__small_states_pass(void **state)
{
    struct fixture *f = *state;
    struct kv_scrub_progress progress;

    kv_up(f);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(kv_scrub_step(f->kv, 4096, &progress), 0);
        assert_int_equal(progress.passes, i);
        assert_false(progress.waits);
    }
    write_one(f, "a", "1");
    assert_int_equal(kv_scrub_step(f->kv, 4096, &progress), 0);
    write_one(f, "a", "2");
    assert_true(delete_one(f, "a"));
    assert_int_equal(scrub_pass(f, 4096, 4), 0);
    assert_int_equal(kv_rebuild(f->kv), 0);
    assert_int_equal(kv_scrub_step(f->kv, 4096, &progress), 0);
    assert_int_equal(progress.passes, 6);
    write_one(f, "b", "1");
    assert_int_equal(scrub_pass(f, 4096, 6), 0);
}

/* What LMDB has open is what is answered from, whatever somebody puts under the name. */
static void kv_scrub__reads_the_file_that_is_open(void **state)
{
    struct fixture *f = *state;
    struct raft_entry_id id;
    char from[5000];
    char to[5000];
    struct command_value v;
    struct wire_key key = string_key("b");

    kv_up(f);
    write_one(f, "a", "1");
    path_of(f, "data.mdb", from, sizeof(from));
    path_of(f, "elsewhere", to, sizeof(to));
    assert_int_equal(rename(from, to), 0);
    spill(f, "data.mdb", "nothing", 7);
    assert_int_equal(scrub_pass(f, 4096, 0), 0);
    assert_int_equal(kv_read_begin(f->kv, &id), 0);
    assert_int_equal(kv_get(f->kv, key_slice(&key), &v), 0);
    assert_false(v.exists);
    kv_read_end(f->kv);
}

/* A page that has to come from the disk is asked for, and the step ends: the loop does not wait
 * for a disk. In the end all was read. */
static void kv_scrub__a_cold_file_is_asked_for(void **state)
{
    struct kv_scrub_progress progress = {0};
    struct fixture *f = *state;
    struct example x;
    char path[5000];
    int fd;

    make_example(f, &x, 2);
    kv_up(f);
    path_of(f, "data.mdb", path, sizeof(path));
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fdatasync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    for (unsigned i = 0; progress.passes == 0; i++) {
        assert_true(i < 1000000);
        assert_int_equal(kv_scrub_step(f->kv, 10000, &progress), 0);
    }
    (void)close(fd);
    free_example(&x);
}

/* A record that is whole, but not the one that was applied: only the sum tells. */
static void kv_scrub__a_sound_but_wrong_record_is_found(void **state)
{
    struct fixture *f = *state;
    char name[NAME_BYTES + 1];
    struct wire_key key;
    struct example x;
    char path[5000];
    unsigned i = 0;
    size_t len;
    int fd;

    make_example(f, &x, 5);
    while (x.values[i] == NULL || strlen(x.values[i]) < 50 || strlen(x.values[i]) > 1000)
        i++;
    len = strlen(x.values[i]);
    name_of(i, name);
    key = string_key(name);
    kv_up(f);
    path_of(f, "data.mdb", path, sizeof(path));
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (size_t at = 0; at + len < x.len; at++)
        if (memcmp(x.data + at, x.values[i], len) == 0) {
            unsigned char *record = x.data + at - RECORD_HEADER_BYTES;

            record[RECORD_HEADER_BYTES + 5] ^= 1;
            put_u32(record, record_crc(key_slice(&key), record, RECORD_HEADER_BYTES + len));
            assert_true(pwrite(fd, record, RECORD_HEADER_BYTES + len, record - x.data) > 0);
        }
    (void)close(fd);
    assert_int_equal(scrub_pass(f, 4096, 0), KV_E_DAMAGED);
    assert_non_null(strstr(err_text(), "digest"));
    free_example(&x);
}

/* STATE-14: LMDB meets an inner page without children and would abort. */
static void kv_scrub__an_assertion_of_lmdb_is_damage(void **state)
{
    struct fixture *f = *state;
    static struct map map;
    struct example x;
    int status;
    pid_t pid;

    make_example(f, &x, 1);
    make_map(f, &map);
    kv_up(f);
    for (size_t page = 2; page < map.n_pages; page++)
        for (unsigned bit = 0; map.kind[page] == BRANCH && bit < 16; bit++) {
            const unsigned lower = get_u16(x.data + page * PAGE + 12);

            if (((lower ^ 16) >> bit & 1) != 0)
                flip_bit(f, 8 * (page * PAGE + 12) + bit);
        }
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct wire_key key = string_key("x");
        struct raft_entry_id id;
        struct command_value v;

        if (kv_read_begin(f->kv, &id) == 0)
            (void)kv_get(f->kv, key_slice(&key), &v);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_IO_ERROR);
    assert_false(there(f, "TRUST"));
    free_example(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kv_scrub__changes_raise_no_alarm),
        TEST(kv_scrub__large_transactions_raise_no_alarm),
        TEST(kv_scrub__a_flip_is_found_by_the_next_pass),
        TEST(kv_scrub__a_used_page_that_is_listed_as_free_is_found),
        TEST(kv_scrub__a_hidden_key_is_found_after_it_was_made_again),
        TEST(kv_scrub__a_sound_but_wrong_record_is_found),
        TEST(kv_scrub__an_assertion_of_lmdb_is_damage),
        TEST(kv_scrub__no_flip_is_answered_wrongly),
        TEST(kv_scrub__an_older_copy_of_a_page_is_no_answer),
        TEST(kv_scrub__small_states_pass),
        TEST(kv_scrub__reads_the_file_that_is_open),
        TEST(kv_scrub__a_cold_file_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
