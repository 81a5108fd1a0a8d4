/* kv: absences over pages that were checked before (STATE-15). What is remembered of a page holds
 * for its bytes, and for nothing else. */
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

#define LAST_PAGE_AT 136 /* in a head */

static struct map map;

/* Bits that mislead: lower ends (the last keys go), offsets, numbers of children, anything. */
static size_t misleading_bit(struct prng *p, const struct example *x, unsigned i)
{
    const enum kind kind = i % 2 == 0 ? LEAF : BRANCH;
    const size_t bit = some_bit(p, &map, kind);
    const size_t page = bit / 8 / PAGE;
    const unsigned char *b = x->data + page * PAGE;
    const unsigned n = (get_u16(b + 12) - 16u) / 2;
    const size_t node = get_u16(b + 16 + 2 * prng_below(p, n));

    switch (i / 2 % 4) {
    case 0:
        return (page * PAGE + 12) * 8 + prng_below(p, 9);
    case 1:
        return (page * PAGE + 16 + 2 * prng_below(p, n)) * 8 + prng_below(p, 12);
    case 2:
        return (page * PAGE + node + (kind == LEAF ? 9 : 0)) * 8 + prng_below(p, 10);
    default:
        return bit;
    }
}

/* All was read, so that each page is known; also with transactions since, which leave most pages
 * where they are: after one of them copies of inner pages count, after more the file does. */
static int read_flip_read(struct fixture *f, struct example *x, size_t bit, unsigned n_writes)
{
    kv_up(f);
    if (f->trust != KV_TRUSTED_CLEAN || read_all(f, x) != READS_RIGHT)
        return READS_WRONG;
    for (unsigned i = 0; i < n_writes; i++) {
        raft_index index = kv_last_applied(f->kv).index;
        struct prng p;

        prng_init(&p, bit);
        assert_int_equal(kv_begin(f->kv), 0);
        change(f, x, &p, &index, 7, false);
        assert_int_equal(kv_commit(f->kv), 0);
        x->stats.digest_index = index;
    }
    flip_bit(f, bit);
    return read_all(f, x);
}

static void kv_absent__a_page_that_was_sound_is_none_when_a_bit_flips(void **state)
{
    const char *factor = getenv("RIDD_KV_FLIPS");
    const unsigned n = 400 * (factor != NULL ? (unsigned)atoi(factor) : 1);
    struct fixture *f = *state;
    unsigned found[N_READS] = {0};
    struct example x;
    struct prng p;

    make_example(f, &x, 1);
    make_map(f, &map);
    prng_init(&p, 11);
    for (unsigned i = 0; i < n; i++) {
        const size_t bit = misleading_bit(&p, &x, i);
        int status;
        pid_t pid;

        restore(f, &x);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)signal(SIGSEGV, SIG_DFL); /* not cmocka's */
            (void)signal(SIGBUS, SIG_DFL);
            _exit(read_flip_read(f, &x, bit, i % 5));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == READS_WRONG)
            fail_msg("a flipped bit %u of byte %u of page %u (%s) is answered wrongly",
                     (unsigned)(bit % 8), (unsigned)(bit / 8 % PAGE), (unsigned)(bit / 8 / PAGE),
                     kind_names[map.kind[bit / 8 / PAGE]]);
        found[WIFEXITED(status) && WEXITSTATUS(status) < ENDED ? WEXITSTATUS(status) : ENDED]++;
    }
    print_message("%u flips: %u without effect, %u refused, %u ended the process\n", n,
                  found[READS_RIGHT], found[READS_REFUSED], found[ENDED]);
    assert_true(found[READS_REFUSED] > n / 10);
    free_example(&x);
}

/* Pages are written over by others, and some are looked at seldom: no page is taken for what was on
 * it before, and none that is free is what it was. */
static void kv_absent__changes_raise_no_alarm(void **state)
{
    const char *factor = getenv("RIDD_KV_SEEDS");
    const unsigned n_seeds = factor != NULL ? (unsigned)atoi(factor) : 4;
    struct fixture *f = *state;

    for (unsigned seed = 1; seed <= n_seeds; seed++) {
        struct example x;
        struct prng p;

        open_example(f, &x, &p, seed);
        for (unsigned i = 0; i < 150; i++) {
            some_changes(f, &x, &p);
            if (prng_below(&p, 3) == 0)
                continue;
            assert_int_equal(kv_get_stats(f->kv, &x.stats), 0);
            if (read_all(f, &x) != READS_RIGHT)
                fail_msg("seed %u, transaction %u: %s", seed, i, err_text());
        }
        kv_down(f, true);
        free_example(&x);
    }
}

static void read_image(struct fixture *f, struct buf *ret)
{
    unsigned char page[PAGE];
    char path[5000];
    int fd;

    path_of(f, "data.mdb", path, sizeof(path));
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    while (read(fd, page, PAGE) == (ssize_t)PAGE)
        assert_int_equal(buf_add(ret, page, PAGE), 0);
    (void)close(fd);
}

static bool is_leaf(const unsigned char *page, size_t number)
{
    return get_u64(page) == number && get_u16(page + 10) == 2 && get_u16(page + 12) > 16;
}

static bool same_first_key(const unsigned char *p, const unsigned char *q)
{
    const unsigned char *a = p + get_u16(p + 16);
    const unsigned char *b = q + get_u16(q + 16);

    return get_u16(a + 6) == get_u16(b + 6) && memcmp(a + 8, b + 8, get_u16(a + 6)) == 0;
}

/* Every branch that leads to one of the pages leads to the other one. */
static unsigned lead_to(struct fixture *f, const struct buf *image, size_t from, size_t to)
{
    unsigned n = 0;

    for (size_t page = 2; page < image->len / PAGE; page++) {
        const unsigned char *b = (const unsigned char *)image->data + page * PAGE;

        for (size_t i = 0;
             get_u64(b) == page && get_u16(b + 10) == 1 && 16 + 2 * i < get_u16(b + 12); i++) {
            const size_t at = get_u16(b + 16 + 2 * i);

            for (unsigned bit = 0; get_u16(b + at) == from && bit < 16; bit++)
                if (((from ^ to) >> bit & 1) != 0) {
                    flip_bit(f, 8 * (page * PAGE + at) + bit);
                    n++;
                }
        }
    }
    return n;
}

/* What became free with the transaction just before was in use, known, and sound. */
static void kv_absent__an_older_copy_of_a_moment_ago_is_no_answer(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;
    struct example x;
    struct prng p;

    make_example(f, &x, 1);
    prng_init(&p, 5);
    for (unsigned k = 0; k < 40; k++) {
        cleanup_buf struct buf before = BUF_INIT;
        cleanup_buf struct buf image = BUF_INIT;
        raft_index index;
        char *was;

        restore(f, &x);
        kv_up(f);
        assert_int_equal(read_all(f, &x), READS_RIGHT);
        read_image(f, &before);
        index = kv_last_applied(f->kv).index;
        was = x.values[k] != NULL ? strdup(x.values[k]) : NULL;
        assert_int_equal(kv_begin(f->kv), 0);
        change(f, &x, &p, &index, k, false);
        assert_int_equal(kv_commit(f->kv), 0);
        read_image(f, &image);
        for (size_t page = 2; page < before.len / PAGE; page++) {
            const unsigned char *now = (const unsigned char *)image.data + page * PAGE;

            if (!is_leaf(now, page) ||
                memcmp(now, (const unsigned char *)before.data + page * PAGE, PAGE) == 0)
                continue;
            for (size_t old = 2; old < before.len / PAGE; old++) {
                const unsigned char *o = (const unsigned char *)before.data + old * PAGE;

                if (old == page || !is_leaf(o, old) || !same_first_key(o, now) ||
                    memcmp(o, (const unsigned char *)image.data + old * PAGE, PAGE) != 0)
                    continue;
                n += lead_to(f, &image, page, old) > 0;
                break;
            }
            x.stats.digest_index = index;
            if (read_all(f, &x) == READS_WRONG)
                fail_msg("key %u: an older leaf answers", k);
            break;
        }
        kv_down(f, false);
        free(x.values[k]);
        x.values[k] = was;
        x.stats.digest_index = index - 1;
    }
    print_message("%u older leaves\n", n);
    assert_true(n > 10);
    free_example(&x);
}

/* Both heads speak of one page more than the file has, as between LMDB's commit and the moment when
 * its file is given its length: what another thread reads then is no damage. */
static void kv_absent__a_file_without_its_length_yet_is_no_alarm(void **state)
{
    const struct wire_key key = string_key("no such key");
    struct fixture *f = *state;
    struct command_value v;
    struct raft_entry_id id;
    struct example x;
    struct prng p;

    make_example(f, &x, 1);
    prng_init(&p, 1);
    kv_up(f);
    some_changes(f, &x, &p); /* the reader has not seen these heads */
    for (unsigned head = 0; head < 2; head++) {
        unsigned char word[8];
        char path[5000];
        int fd;

        path_of(f, "data.mdb", path, sizeof(path));
        fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        memcpy(word, &(uint64_t){(uint64_t)lseek(fd, 0, SEEK_END) / PAGE}, sizeof(word));
        assert_int_equal(pwrite(fd, word, sizeof(word), head * (off_t)PAGE + LAST_PAGE_AT), 8);
        (void)close(fd);
    }
    if (kv_read_begin(f->kv, &id) != 0 || kv_get(f->kv, key_slice(&key), &v) != 0)
        fail_msg("%s", err_text());
    assert_false(v.exists);
    kv_read_end(f->kv);
    assert_int_equal(kv_get_stats(f->kv, &x.stats), 0);
    assert_int_equal(read_all(f, &x), READS_RIGHT);
    assert_false(kv_is_distrusted(f->kv));
    kv_down(f, false);
    free_example(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kv_absent__a_page_that_was_sound_is_none_when_a_bit_flips),
        TEST(kv_absent__changes_raise_no_alarm),
        TEST(kv_absent__an_older_copy_of_a_moment_ago_is_no_answer),
        TEST(kv_absent__a_file_without_its_length_yet_is_no_alarm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
