/* kv: damage of a file that nothing was running on. Whatever bits are flipped, the start either
 * finds it, or all that is answered afterwards is what it was (STATE-12). */
#include "unit/kv-example.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/prng.h"
#include "kv/page_int.h"
#include "kv/record_int.h"
#include "kv/walk_int.h"

/* What was not found does no harm later either: the file is written to, closed, read through. */
static bool stays_sound(struct fixture *f, const struct example *x, uint64_t seed)
{
    raft_index index = kv_last_applied(f->kv).index;
    struct example y = *x;
    struct prng p;
    bool sound;

    prng_init(&p, seed);
    for (unsigned i = 0; i < N_NAMES; i++)
        y.values[i] = x->values[i] != NULL ? strdup(x->values[i]) : NULL;
    for (unsigned round = 0; round < 4; round++) {
        if (kv_begin(f->kv) != 0)
            return false;
        for (unsigned i = 0; i < 30; i++)
            change(f, &y, &p, &index, (unsigned)prng_below(&p, N_NAMES), prng_below(&p, 3) == 0);
        if (kv_commit(f->kv) != 0)
            return false;
    }
    assert_int_equal(kv_get_stats(f->kv, &y.stats), 0);
    kv_down(f, true);
    kv_up(f);
    sound = f->trust == KV_TRUSTED_CLEAN && reads_the_same(f, &y);
    for (unsigned i = 0; i < N_NAMES; i++)
        free(y.values[i]);
    return sound;
}

/* ---- flips ---- */

struct tally {
    unsigned tried[N_KINDS];
    unsigned found[N_KINDS];
};

static void try_flip(struct fixture *f, struct example *x, const struct map *map, size_t bit,
                     struct tally *tally)
{
    const enum kind kind = map->kind[bit / 8 / PAGE];
    bool wrong = false;

    x->data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    restore(f, x);
    x->data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    kv_up(f);
    tally->tried[kind]++;
    if (f->trust == KV_REBUILD) {
        tally->found[kind]++;
        wrong = kv_last_applied(f->kv).index != 0;
    } else {
        wrong = !reads_the_same(f, x) || (bit % 5 == 0 && !stays_sound(f, x, bit));
    }
    if (wrong)
        fail_msg("a flipped bit %u of byte %u of page %u (%s) is answered wrongly: %s",
                 (unsigned)(bit % 8), (unsigned)(bit / 8 % PAGE), (unsigned)(bit / 8 / PAGE),
                 kind_names[kind], err_text());
    kv_down(f, false);
}

static void kv_flips__none_is_answered_wrongly(void **state)
{
    static const unsigned n_of_kind[N_KINDS] = {300, 300, 300, 120, 250, 40};
    const char *factor = getenv("RIDD_KV_FLIPS");
    struct fixture *f = *state;
    struct tally tally = {0};
    unsigned all = 0;
    struct example x;
    static struct map map;
    struct prng p;

    make_example(f, &x, 1);
    make_map(f, &map);
    prng_init(&p, 2);
    for (enum kind kind = HEAD; kind < N_KINDS; kind++)
        for (unsigned i = 0; i < n_of_kind[kind] * (factor != NULL ? (unsigned)atoi(factor) : 1);
             i++)
            try_flip(f, &x, &map, some_bit(&p, &map, kind), &tally);
    for (enum kind kind = HEAD; kind < N_KINDS; kind++) {
        print_message("%u flips in pages of kind '%s', %u found, the rest without effect\n",
                      tally.tried[kind], kind_names[kind], tally.found[kind]);
        all += tally.tried[kind];
        if (kind != FREE)
            assert_true(tally.found[kind] > 0);
    }
    assert_true(all >= 1000);
    free_example(&x);
}

/* Where separators part keys: the flips that a random one seldom hits. */
static void kv_flips__separators(void **state)
{
    const unsigned step = getenv("RIDD_KV_FLIPS") != NULL ? 1 : 7;
    struct fixture *f = *state;
    struct tally tally = {0};
    static struct map map;
    unsigned turn = 0;
    struct example x;

    make_example(f, &x, 6);
    make_map(f, &map);
    for (size_t page = 2; page < map.n_pages; page++) {
        const unsigned char *p = x.data + page * PAGE;

        for (size_t i = 1; map.kind[page] == BRANCH && 16 + 2 * i < get_u16(p + 12); i++)
            for (unsigned bit = 0; bit < 24; bit++)
                if (turn++ % step == 0) /* digits of the key, behind its byte of type */
                    try_flip(f, &x, &map, 8 * (page * PAGE + get_u16(p + 16 + 2 * i) + 9) + bit,
                             &tally);
    }
    print_message("%u flips of separators, %u found\n", tally.tried[BRANCH], tally.found[BRANCH]);
    assert_true(tally.found[BRANCH] > 0);
    free_example(&x);
}

struct flipping {
    struct fixture *f;
    struct example *x;
    const struct map *map;
    struct tally tally;
};

static void flip_number(void *ctx, size_t bit)
{
    struct flipping *flipping = ctx;

    try_flip(flipping->f, flipping->x, flipping->map, bit, &flipping->tally);
}

/* A page is listed as free that is in use: it would be written over some time later. */
static void kv_flips__numbers_of_free_pages(void **state)
{
    static struct map map;
    struct example x;
    struct flipping flipping = {.f = *state, .x = &x, .map = &map};

    make_example(flipping.f, &x, 7);
    make_map(flipping.f, &map);
    each_free_page_to_be_used(&x, &map, flip_number, &flipping);
    print_message("%u flips of numbers of free pages, all found\n",
                  flipping.tally.tried[FREE_LIST]);
    assert_true(flipping.tally.tried[FREE_LIST] > 10);
    assert_int_equal(flipping.tally.found[FREE_LIST], flipping.tally.tried[FREE_LIST]);
    free_example(&x);
}

/* A record that is whole, but not the one that was applied: as if an older page had come back. The
 * sum over all of them is what differs. */
static void kv_flips__a_sound_but_wrong_record_is_found(void **state)
{
    struct fixture *f = *state;
    struct example x;
    unsigned forged = 0;

    make_example(f, &x, 5);
    for (unsigned i = 0; i < N_NAMES && forged < 5; i++) {
        const size_t len = x.values[i] != NULL ? strlen(x.values[i]) : 0;
        char name[NAME_BYTES + 1];
        unsigned char *record;
        struct wire_key key;

        if (len < 50 || len > 1000)
            continue;
        name_of(i, name);
        key = string_key(name);
        for (size_t at = 0; at + len < x.len; at++)
            if (memcmp(x.data + at, x.values[i], len) == 0) {
                record = x.data + at - RECORD_HEADER_BYTES;
                record[RECORD_HEADER_BYTES + 5] ^= 1;
                put_u32(record, record_crc(key_slice(&key), record, RECORD_HEADER_BYTES + len));
            }
        restore(f, &x);
        kv_up(f);
        assert_int_equal(f->trust, KV_REBUILD);
        assert_non_null(strstr(err_text(), "digest"));
        kv_down(f, false);
        forged++;
    }
    assert_int_equal(forged, 5);
    free_example(&x);
}

/* ---- worse than flips ---- */

static void spoil_page(struct prng *p, const struct example *x, unsigned char *page)
{
    const size_t n_pages = x->len / PAGE;
    const size_t at = (size_t)prng_below(p, prng_below(p, 2) == 0 ? 64 : PAGE - 8);

    switch (prng_below(p, 5)) {
    case 0: /* another page, or an older state of this one */
        memcpy(page, x->data + (size_t)prng_below(p, n_pages) * PAGE, PAGE);
        break;
    case 1:
        for (size_t i = at; i < PAGE; i++)
            page[i] = (unsigned char)prng_next(p);
        break;
    case 2:
        memset(page + at, prng_below(p, 2) == 0 ? 0 : 255, (size_t)prng_below(p, PAGE - at));
        break;
    case 3: /* a number that another place of the file has */
        memcpy(page + at, x->data + (size_t)prng_below(p, x->len - 8), 8);
        break;
    default:
        page[at] = (unsigned char)prng_next(p);
        break;
    }
}

/* The walk reads whatever stands there, and ends: 0 or damage. (With the address sanitizer this
 * finds each number that is used unchecked.) */
static void kv_flips__a_walk_survives_any_file(void **state)
{
    const char *factor = getenv("RIDD_KV_FLIPS");
    const unsigned rounds = 1500 * (factor != NULL ? (unsigned)atoi(factor) : 1);
    struct fixture *f = *state;
    unsigned n_damaged = 0;
    struct example x;
    struct kv kv = {.dir = f->dir};
    char path[5000];
    struct prng p;
    int fd;

    make_example(f, &x, 3);
    path_of(f, "data.mdb", path, sizeof(path));
    fd = open(path, O_RDWR);
    kv.dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_true(kv.dir_fd >= 0);
    prng_init(&p, 4);
    for (unsigned i = 0; i < rounds; i++) {
        const unsigned n = 1 + (unsigned)prng_below(&p, 3);
        struct kv_opening opening;
        size_t at[3];
        int rc;

        for (unsigned k = 0; k < n; k++) {
            unsigned char page[PAGE];

            at[k] = (size_t)prng_below(&p, x.len / PAGE) * PAGE;
            if (at[k] < 2 * PAGE && prng_below(&p, 4) != 0)
                at[k] += 2 * PAGE;
            memcpy(page, x.data + at[k], PAGE);
            spoil_page(&p, &x, page);
            assert_int_equal(pwrite(fd, page, PAGE, (off_t)at[k]), PAGE);
        }
        if (prng_below(&p, 20) == 0)
            assert_int_equal(ftruncate(fd, (off_t)prng_below(&p, x.len)), 0);
        rc = walk_file(&kv, &opening);
        assert_true(rc == 0 || rc == KV_E_DAMAGED || rc == KV_E_NEWER || rc == KV_E_FOREIGN);
        n_damaged += rc != 0;
        assert_int_equal(ftruncate(fd, (off_t)x.len), 0);
        assert_int_equal(pwrite(fd, x.data, x.len, 0), (ssize_t)x.len);
    }
    print_message("%u of %u damaged files were found out\n", n_damaged, rounds);
    assert_true(n_damaged > rounds / 4);
    (void)close(kv.dir_fd);
    (void)close(fd);
    free_example(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kv_flips__none_is_answered_wrongly), TEST(kv_flips__separators),
        TEST(kv_flips__numbers_of_free_pages),    TEST(kv_flips__a_sound_but_wrong_record_is_found),
        TEST(kv_flips__a_walk_survives_any_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
