/* Runs a fuzz target without libFuzzer: over mutated seeds as a unit test, or over the files that
 * are named (a corpus, a crash). With libFuzzer: clang -fsanitize=fuzzer,address,undefined, the
 * target, libwire.a, libbase.a, -ljansson, without this file. FUZZ_RUNS and FUZZ_SEED change number
 * and sequence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "fuzz/fuzz.h"

#define RUNS_DEFAULT 8000u
#define INPUT_MAX    (1u << 20)

/* From a block of exactly that size, so that the sanitizer sees every byte read behind it. */
static void run_exact(const unsigned char *data, size_t len)
{
    unsigned char *exact = malloc(len > 0 ? len : 1);

    assert_non_null(exact);
    if (len > 0)
        memcpy(exact, data, len);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static int run_file(const char *path)
{
    unsigned char *data = malloc(INPUT_MAX);
    FILE *f = fopen(path, "rb");
    size_t n;

    if (data == NULL || f == NULL) {
        fprintf(stderr, "cannot open '%s'\n", path);
        free(data);
        if (f != NULL)
            (void)fclose(f);
        return 1;
    }
    n = fread(data, 1, INPUT_MAX, f);
    (void)fclose(f);
    run_exact(data, n);
    free(data);
    return 0;
}

static unsigned count_seeds(void)
{
    cleanup_buf struct buf b = BUF_INIT;
    unsigned n = 0;

    while (fuzz_seed(n, &b) == 0)
        n++;
    return n;
}

static void insert(struct buf *b, size_t at, const unsigned char *data, size_t len)
{
    assert_non_null(buf_reserve(b, len));
    memmove(b->data + at + len, b->data + at, b->len - at);
    memcpy(b->data + at, data, len);
    b->len += len;
}

/* One change of those that find most: bits, edge values, cuts, doubled parts, parts of another
 * seed. */
static void mutate(struct prng *p, struct buf *b, const struct buf *other)
{
    static const unsigned char edges[] = {0,   1,   0x7f, 0x80, 0xff, '"', '\\',
                                          '{', '}', '[',  ']',  '0',  '-'};
    size_t at = prng_below(p, b->len + 1);
    size_t len = prng_below(p, 1 + (b->len - at < 16 ? b->len - at : 16));
    unsigned char part[16];

    switch (prng_below(p, 6)) {
    case 0:
        if (at < b->len)
            b->data[at] ^= (unsigned char)(1u << prng_below(p, 8));
        break;
    case 1:
        if (at < b->len)
            b->data[at] = edges[prng_below(p, sizeof(edges))];
        break;
    case 2:
        b->len = at;
        break;
    case 3: /* cut out */
        memmove(b->data + at, b->data + at + len, b->len - at - len);
        b->len -= len;
        break;
    case 4: /* say twice */
        memcpy(part, b->data + at, len);
        insert(b, at, part, len);
        break;
    default:
        len = prng_below(p, 1 + (other->len < 16 ? other->len : 16));
        memcpy(part, other->data + prng_below(p, other->len - len + 1), len);
        insert(b, at, part, len);
        break;
    }
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);

    return s != NULL ? strtoull(s, NULL, 0) : otherwise;
}

static void fuzz__mutated_seeds(void **state)
{
    uint64_t n_runs = from_environment("FUZZ_RUNS", RUNS_DEFAULT);
    unsigned n_seeds = count_seeds();
    struct prng p;

    (void)state;
    assert_true(n_seeds > 0);
    prng_init(&p, from_environment("FUZZ_SEED", 1));
    for (uint64_t i = 0; i < n_runs; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        cleanup_buf struct buf other = BUF_INIT;

        assert_int_equal(fuzz_seed((unsigned)(i % n_seeds), &b), 0);
        assert_int_equal(fuzz_seed((unsigned)prng_below(&p, n_seeds), &other), 0);
        if (i >= n_seeds) /* each seed once as it is */
            for (uint64_t n = 1 + prng_below(&p, 4); n > 0; n--)
                mutate(&p, &b, &other);
        run_exact(b.data, b.len);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fuzz__mutated_seeds)};
    int r = 0;

    for (int i = 1; i < argc; i++)
        r |= run_file(argv[i]);
    return argc > 1 ? r : cmocka_run_group_tests_name(fuzz_name, tests, NULL, NULL);
}
