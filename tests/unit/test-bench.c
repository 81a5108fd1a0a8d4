/* Judging the answers that `ridctl bench` gets, and telling its keys from others. The load itself is
 * run in tests/cluster/test-doctor.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/bench_int.h"

static struct bench_key keys[3];
static char padding[] = "xx";

static void begin(struct bench *b, bool linearizable)
{
    memset(b, 0, sizeof(*b));
    memset(keys, 0, sizeof(keys));
    b->method = "read_index";
    b->linearizable = linearizable;
    b->keys = keys;
    b->n_keys = 3;
    b->padding = padding;
    (void)snprintf(b->run, sizeof(b->run), "65f1a2b3-9c0d");
}

/* An answer with this value, to a read of key 1 that must find `least`. */
static bool is_wrong(struct bench *b, uint32_t least, const char *value, bool says_linearizable)
{
    const struct bench_call call = {.bench = b, .key = 1, .number = least};
    struct ridd_reply r = {.status = RIDD_OK,
                           .exists = value != NULL,
                           .string = value,
                           .linearizable = says_linearizable};
    const uint64_t before = b->n_wrong;

    bench_judge(b, &call, &r);
    return b->n_wrong > before;
}

#define VALUE(number) "ridbench/65f1a2b3-9c0d/000001/" number "/xx"

/* DOCTOR-4 */
static void bench__a_wrong_answer_is_told(void **state)
{
    struct bench b;

    (void)state;
    begin(&b, true);
    keys[1] = (struct bench_key){.begun = 5, .done = 4};
    assert_false(is_wrong(&b, 4, VALUE("4"), true));
    assert_false(is_wrong(&b, 4, VALUE("5"), true)); /* under way: it may be there */
    assert_int_equal(b.n_wrong, 0);
    assert_true(is_wrong(&b, 4, VALUE("3"), true));
    assert_non_null(strstr(b.wrong, "read_index of bench/65f1a2b3-9c0d/000001"));
    assert_non_null(strstr(b.wrong, "an older value"));
    assert_true(is_wrong(&b, 4, VALUE("6"), true));
    assert_true(is_wrong(&b, 4, NULL, true));
    assert_true(is_wrong(&b, 4, "ridbench/65f1a2b3-9c0d/000002/4/xx", true)); /* another key */
    assert_true(is_wrong(&b, 4, "ridbench/65f1a2b4-9c0d/000001/4/xx", true)); /* another run */
    assert_true(is_wrong(&b, 4, "ridbench/65f1a2b3-9c0d/000001/4/x", true));  /* cut */
    assert_true(is_wrong(&b, 4, "ridbench/65f1a2b3-9c0d/000001/-1/xx", true));
    assert_true(is_wrong(&b, 4, "something else", true));
    assert_true(is_wrong(&b, 4, VALUE("4"), false));
    assert_int_equal(b.n_wrong, 9);
    assert_non_null(strstr(b.wrong, "an older value")); /* the first */
    keys[1].loose = true;                               /* a write may have come late */
    assert_false(is_wrong(&b, 4, VALUE("3"), true));
    assert_true(is_wrong(&b, 4, VALUE("6"), true));
}

static void bench__local_promises_little(void **state)
{
    struct bench b;

    (void)state;
    begin(&b, false);
    keys[1] = (struct bench_key){.begun = 5, .done = 4};
    assert_false(is_wrong(&b, 4, VALUE("0"), false));
    assert_false(is_wrong(&b, 4, NULL, false));
    assert_int_equal(b.n_absent, 1);
    assert_true(is_wrong(&b, 4, VALUE("6"), false));
    assert_true(is_wrong(&b, 4, "something else", false));
}

static void bench__values_are_read_back(void **state)
{
    struct bench b;
    char name[BENCH_KEY_SIZE];
    uint32_t number = 0;
    uint64_t begun_s = 0;
    char *value;

    (void)state;
    begin(&b, true);
    value = bench_value(&b, 2, 4294967295u);
    assert_non_null(value);
    value[strlen(value) - 1] = '\0'; /* it is JSON */
    assert_true(bench_value_number(&b, 2, value + 1, &number));
    assert_int_equal(number, 4294967295u);
    bench_key_name(&b, 2, name);
    assert_true(bench_key_is_own(name, value + 1, &begun_s));
    assert_int_equal(begun_s, 0x65f1a2b3);
    free(value);
}

/* DOCTOR-5 */
static void bench__other_keys_are_not_its_own(void **state)
{
    static const char *const names[] = {"bench/65f1a2b3-9c0d/00001",
                                        "bench/65f1a2b3-9c0d/0000011",
                                        "bench/65f1a2b3-9c0d/00000x",
                                        "bench/65f1A2b3-9c0d/000001",
                                        "bench/65f1a2b3_9c0d/000001",
                                        "bunch/65f1a2b3-9c0d/000001",
                                        "bench/leader",
                                        "bench/",
                                        NULL};
    static const char *const values[] = {"ridbench/65f1a2b3-9c0d/000002/1/", "ridbench", "", NULL};
    uint64_t begun_s;

    (void)state;
    for (size_t i = 0; names[i] != NULL; i++)
        assert_false(bench_key_is_own(names[i], VALUE("1"), &begun_s));
    for (size_t i = 0; values[i] != NULL; i++)
        assert_false(bench_key_is_own("bench/65f1a2b3-9c0d/000001", values[i], &begun_s));
    assert_false(bench_key_is_own(NULL, VALUE("1"), &begun_s));
    assert_false(bench_key_is_own("bench/65f1a2b3-9c0d/000001", NULL, &begun_s));
    assert_true(bench_key_is_own("bench/65f1a2b3-9c0d/000001", VALUE("1"), &begun_s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bench__a_wrong_answer_is_told),
        cmocka_unit_test(bench__local_promises_little),
        cmocka_unit_test(bench__values_are_read_back),
        cmocka_unit_test(bench__other_keys_are_not_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
