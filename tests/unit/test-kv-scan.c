/* kv: keys in their order, compared with a sorted list of what there should be, over whole and over
 * damaged pages (SCAN-2, SCAN-4, STATE-15). */
#include "unit/kv-example.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"

static struct map map;

/* ---- a model: what is there, sorted ---- */

struct model {
    struct wire_key keys[2000];
    char *values[2000];
    unsigned n;
};

static int compare(const struct wire_key *a, const struct wire_key *b)
{
    const int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);

    return order != 0 ? order : (int)a->len - (int)b->len;
}

static void model_put(struct model *m, const struct wire_key *key, const char *value)
{
    unsigned at = m->n;

    for (; at > 0 && compare(&m->keys[at - 1], key) > 0; at--) {
        m->keys[at] = m->keys[at - 1];
        m->values[at] = m->values[at - 1];
    }
    assert_true(at == 0 || compare(&m->keys[at - 1], key) != 0);
    m->keys[at] = *key;
    m->values[at] = strdup(value);
    m->n++;
}

static void model_free(struct model *m)
{
    while (m->n > 0)
        free(m->values[--m->n]);
    free(m);
}

static struct model *model_of(const struct example *x)
{
    struct model *m = calloc(1, sizeof(*m));

    assert_non_null(m);
    for (unsigned i = 0; i < N_NAMES; i++) {
        char name[NAME_BYTES + 1];
        struct wire_key key;

        name_of(i, name);
        key = string_key(name);
        if (x->values[i] != NULL)
            model_put(m, &key, x->values[i]);
    }
    return m;
}

/* What the range holds is exactly this, in this order. READS_* of kv-example.h. */
static int range_is(struct fixture *f, const struct model *m, const struct command_range *range)
{
    struct wire_key low = {.len = (uint16_t)range->from.len};
    struct wire_key high = {.len = (uint16_t)range->to.len};
    unsigned at = 0;

    memcpy(low.bytes, range->from.data, range->from.len);
    memcpy(high.bytes, range->to.data, range->to.len);
    while (at < m->n &&
           (compare(&m->keys[at], &low) < 0 || (range->behind && compare(&m->keys[at], &low) == 0)))
        at++;
    if (kv_seek(f->kv, range) != 0)
        return READS_REFUSED;
    for (;;) {
        struct command_item item;

        if (kv_next(f->kv, &item) != 0)
            return READS_REFUSED;
        if (item.key.data == NULL)
            break;
        if (at == m->n || compare(&m->keys[at], &high) >= 0 || item.key.len != m->keys[at].len ||
            memcmp(item.key.data, m->keys[at].bytes, item.key.len) != 0 || !item.value.exists ||
            item.value.text.len != strlen(m->values[at]) ||
            memcmp(item.value.text.data, m->values[at], item.value.text.len) != 0)
            return READS_WRONG;
        at++;
    }
    return at == m->n || compare(&m->keys[at], &high) >= 0 ? READS_RIGHT : READS_WRONG;
}

static struct command_range all_strings(void)
{
    return (struct command_range){.from = {"s", 1}, .to = {"t", 1}};
}

static void begin(struct fixture *f)
{
    struct raft_entry_id id;

    if (kv_read_begin(f->kv, &id) != 0)
        fail_msg("%s", err_text());
}

/* ---- order and bounds ---- */

static void write_key(struct fixture *f, struct model *m, const struct wire_key *key,
                      const char *value)
{
    const struct command c = command_write(key_slice(key), value);

    (void)apply_one(f, &c);
    if (m != NULL)
        model_put(m, key, value);
}

static void kv_scan__strings_are_in_the_order_of_their_bytes(void **state)
{
    static const char *const names[] = {"b",   "a",  "ab", "\x7f", "a\x01", "aa",
                                        "B",   "é",  "z",  "10",   "9",     "\xf4\x8f\xbf\xbf",
                                        "ABC", "abc"};
    struct model *m = calloc(1, sizeof(*m));
    struct command_range range = all_strings();
    struct fixture *f = *state;
    struct wire_key a = string_key("a");
    struct wire_key b = string_key("b");

    assert_non_null(m);
    kv_up(f);
    begin(f);
    assert_int_equal(range_is(f, m, &range), READS_RIGHT); /* nothing was ever written */
    kv_read_end(f->kv);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct wire_key key = string_key(names[i]);
        char value[16];

        (void)snprintf(value, sizeof(value), "%u", i);
        write_key(f, m, &key, value);
    }
    begin(f);
    assert_int_equal(range_is(f, m, &range), READS_RIGHT);
    assert_int_equal(m->n, sizeof(names) / sizeof(names[0]));
    range = (struct command_range){.from = key_slice(&a), .to = key_slice(&b)};
    assert_int_equal(range_is(f, m, &range), READS_RIGHT); /* a, a\x01, aa, ab, abc, and no b */
    range.behind = true;
    assert_int_equal(range_is(f, m, &range), READS_RIGHT);
    range.to = range.from;
    assert_int_equal(range_is(f, m, &range), READS_RIGHT); /* nothing */
    range = (struct command_range){.from = key_slice(&b), .to = key_slice(&a)};
    assert_int_equal(range_is(f, m, &range), READS_RIGHT); /* nothing */
    kv_read_end(f->kv);
    model_free(m);
}

static void kv_scan__integers_are_in_the_order_of_numbers(void **state)
{
    static const int64_t numbers[] = {0, -1, 1, 256, -256, INT64_MIN, INT64_MAX, 10, 9, 255};
    static const int64_t sorted[] = {INT64_MIN, -256, -1, 0, 1, 9, 10, 255, 256, INT64_MAX};
    const struct command_range range = {.from = {"i", 1}, .to = {"j", 1}};
    const struct wire_key other = string_key("9");
    struct fixture *f = *state;
    struct command_item item;
    struct wire_key internal;

    kv_up(f);
    wire_key_set_internal(&internal, "x");
    write_key(f, NULL, &internal, "0");
    write_key(f, NULL, &other, "0");
    for (unsigned i = 0; i < 10; i++) {
        struct wire_key key;

        wire_key_set_int(&key, numbers[i]);
        write_key(f, NULL, &key, "0");
    }
    begin(f);
    assert_int_equal(kv_seek(f->kv, &range), 0);
    for (unsigned i = 0; i < 10; i++) {
        struct wire_key key;

        assert_int_equal(kv_next(f->kv, &item), 0);
        assert_non_null(item.key.data);
        key.len = (uint16_t)item.key.len;
        memcpy(key.bytes, item.key.data, item.key.len);
        assert_true(wire_key_get_int(&key) == sorted[i]);
    }
    assert_int_equal(kv_next(f->kv, &item), 0);
    assert_null(item.key.data);
    kv_read_end(f->kv);
}

/* Any range, over several levels of pages, long values and runs of empty ones, while entries come. */
static void some_range(struct prng *p, struct wire_key *from, struct wire_key *to,
                       struct command_range *ret)
{
    char name[NAME_BYTES + 1];
    struct wire_key *const keys[] = {from, to};

    for (unsigned i = 0; i < 2; i++) {
        name_of((unsigned)prng_below(p, N_NAMES), name);
        if (prng_below(p, 3) == 0)
            name[1 + prng_below(p, strlen(name))] = '\0'; /* a prefix, mostly no key itself */
        if (prng_below(p, 4) == 0)
            name[strlen(name) - 1]++;
        *keys[i] = string_key(name);
    }
    *ret = (struct command_range){
        .from = key_slice(from), .behind = prng_below(p, 2) == 0, .to = key_slice(to)};
    if (compare(from, to) > 0 && prng_below(p, 8) > 0) {
        ret->from = key_slice(to);
        ret->to = key_slice(from);
    }
    if (prng_below(p, 8) == 0)
        ret->from = (struct wire_slice){"s", 1};
    if (prng_below(p, 8) == 0)
        ret->to = (struct wire_slice){"t", 1};
}

static void any_range(struct fixture *f, uint64_t seed)
{
    struct example x;
    struct prng p;

    open_example(f, &x, &p, seed);
    for (unsigned round = 0; round < 20; round++) {
        struct model *m = model_of(&x);

        begin(f);
        for (unsigned i = 0; i < 50; i++) {
            struct command_range range;
            struct wire_key from;
            struct wire_key to;

            some_range(&p, &from, &to, &range);
            if (range_is(f, m, &range) != READS_RIGHT)
                fail_msg("round %u, range %u: %s", round, i, err_text());
        }
        kv_read_end(f->kv);
        model_free(m);
        some_changes(f, &x, &p);
        if (prng_below(&p, 4) == 0)
            assert_int_equal(kv_flush(f->kv), 0);
    }
    assert_false(kv_is_distrusted(f->kv));
    kv_down(f, true);
    free_example(&x);
}

static void kv_scan__any_range_is_what_is_in_it(void **state)
{
    any_range(*state, 3);
}

/* Some of it stands in the file, some of it not yet, in another form, or was deleted since. */
static void kv_scan__what_is_not_in_the_file_yet_is_in_it(void **state)
{
    struct fixture *f = *state;

    f->conf.memtable_keys = 0;
    for (uint64_t seed = 10; seed < 14; seed++) {
        any_range(f, seed);
        wipe(f->dir);
    }
}

/* ---- damage ---- */

/* Bits that mislead: ends, offsets, children, keys; and any others. */
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
        return (page * PAGE + node + (kind == LEAF ? 9 : 0)) * 8 + prng_below(p, 10);
    case 2: /* the first bytes of a key */
        return (page * PAGE + node + 8) * 8 + prng_below(p, 40);
    default:
        return bit;
    }
}

/* Everything in pieces of some keys, each begun behind the last key of the one before, as a client
 * turns pages: a piece that begins or ends at an edge must see what lies beyond it. */
static int in_pieces(struct fixture *f, const struct model *m, unsigned piece)
{
    for (unsigned at = 0; at <= m->n; at += piece) {
        const unsigned end = at + piece;
        const struct command_range range = {
            .from = at > 0 ? key_slice(&m->keys[at - 1]) : (struct wire_slice){"s", 1},
            .behind = true,
            .to = end < m->n ? key_slice(&m->keys[end]) : (struct wire_slice){"t", 1}};
        const int found = range_is(f, m, &range);

        if (found != READS_RIGHT)
            return found;
    }
    return READS_RIGHT;
}

/* From places between the keys, too. */
static int between_keys(struct fixture *f, const struct model *m, struct prng *p)
{
    for (unsigned i = 0; i < 60; i++) {
        struct command_range range;
        struct wire_key from;
        struct wire_key to;
        int found;

        some_range(p, &from, &to, &range);
        found = range_is(f, m, &range);
        if (found != READS_RIGHT)
            return found;
    }
    return READS_RIGHT;
}

/* known: all pages were looked at before the bit flips. */
static int flip_and_scan(struct fixture *f, const struct example *x, const struct model *m,
                         size_t bit, bool known)
{
    struct raft_entry_id id;
    struct prng p;
    int found;

    prng_init(&p, bit);
    kv_up(f);
    if (f->trust != KV_TRUSTED_CLEAN)
        return READS_WRONG;
    if (known) {
        begin(f);
        if (in_pieces(f, m, 7) != READS_RIGHT)
            return READS_WRONG;
        kv_read_end(f->kv);
    }
    flip_bit(f, bit);
    if (kv_read_begin(f->kv, &id) != 0)
        return READS_REFUSED;
    found = bit % 2 == 0 ? between_keys(f, m, &p) : READS_RIGHT;
    if (found == READS_RIGHT)
        found = in_pieces(f, m, 1 + (unsigned)prng_below(&p, 9));
    if (found == READS_REFUSED && !kv_is_distrusted(f->kv))
        return READS_WRONG;
    (void)x;
    return found;
}

static void kv_scan__a_flipped_bit_hides_no_key(void **state)
{
    const char *factor = getenv("RIDD_KV_FLIPS");
    const unsigned n = 600 * (factor != NULL ? (unsigned)atoi(factor) : 1);
    struct fixture *f = *state;
    unsigned found[N_READS] = {0};
    struct model *m;
    struct example x;
    struct prng p;

    make_example(f, &x, 1);
    make_map(f, &map);
    m = model_of(&x);
    prng_init(&p, 12);
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
            _exit(flip_and_scan(f, &x, m, bit, i % 3 == 0));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == READS_WRONG)
            fail_msg("a flipped bit %u of byte %u of page %u (%s) is scanned over",
                     (unsigned)(bit % 8), (unsigned)(bit / 8 % PAGE), (unsigned)(bit / 8 / PAGE),
                     kind_names[map.kind[bit / 8 / PAGE]]);
        found[WIFEXITED(status) && WEXITSTATUS(status) < ENDED ? WEXITSTATUS(status) : ENDED]++;
    }
    print_message("%u flips: %u without effect, %u refused, %u ended the process\n", n,
                  found[READS_RIGHT], found[READS_REFUSED], found[ENDED]);
    assert_true(found[READS_REFUSED] > n / 10);
    model_free(m);
    free_example(&x);
}

/* A key with a wrong bit in it is still in its place among others, and only its checksum tells: each
 * of the records at the edges of a range may be the one that should be in it. */
static void kv_scan__the_keys_at_the_edges_are_read_whole(void **state)
{
    static const struct {
        const char *from;
        bool behind;
        const char *to;
    } ranges[] = {
        {"c3", false, "c9"}, /* "c5" became "c1": the one in front */
        {"c1", true, "c9"},  /* which the client may even have named */
        {"c0", false, "c6"}, /* "c5" became "c7": the one behind */
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        struct wire_key from = string_key(ranges[i].from);
        struct wire_key to = string_key(ranges[i].to);
        const struct command_range range = {
            .from = key_slice(&from), .behind = ranges[i].behind, .to = key_slice(&to)};
        const unsigned char wrong = i == 2 ? '5' ^ '7' : '5' ^ '1';
        struct command_item item = {.key = {NULL, 0}};
        struct raft_entry_id id;
        int rc = 0;
        size_t at;
        char *data;
        size_t len;

        wipe(f->dir);
        kv_up(f);
        (void)write_one(f, "c5", "1");
        (void)write_one(f, "z", "2");
        kv_down(f, true);
        len = (size_t)size_of(f, "data.mdb");
        data = malloc(len);
        assert_non_null(data);
        assert_int_equal(slurp(f, "data.mdb", data, len), len);
        kv_up(f);
        for (at = 0; at + 3 < len; at++) /* of each copy of the page */
            if (memcmp(data + at, "sc5", 3) == 0)
                for (unsigned bit = 0; bit < 8; bit++)
                    if ((wrong >> bit & 1) != 0)
                        flip_bit(f, 8 * (at + 2) + bit);
        free(data);
        rc = kv_read_begin(f->kv, &id);
        assert_int_equal(rc, 0);
        rc = kv_seek(f->kv, &range);
        if (rc == 0)
            rc = kv_next(f->kv, &item);
        if (rc != KV_E_DAMAGED)
            fail_msg("range %u: %d, %s", i, rc, item.key.data != NULL ? "a key" : "no key");
        assert_true(kv_is_distrusted(f->kv));
        kv_read_end(f->kv);
        kv_down(f, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kv_scan__strings_are_in_the_order_of_their_bytes),
        TEST(kv_scan__integers_are_in_the_order_of_numbers),
        TEST(kv_scan__any_range_is_what_is_in_it),
        TEST(kv_scan__what_is_not_in_the_file_yet_is_in_it),
        TEST(kv_scan__a_flipped_bit_hides_no_key),
        TEST(kv_scan__the_keys_at_the_edges_are_read_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
