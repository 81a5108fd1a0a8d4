/* Memberships as values and as bytes: sorted, unique, bounded, and no byte string decodes to
 * anything that does not encode to the very same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "raft/configuration.h"

#include "base/banned.h"

static void add(struct raft_configuration *c, const char *name, enum raft_server_role role)
{
    assert_int_equal(raft_configuration_add(c, raft_founder_id(name), name, role, "10.0.0.1:7401",
                                            "10.0.0.1:7400"),
                     0);
}

static void make(struct raft_configuration *c)
{
    raft_configuration_init(c);
    add(c, "n2", RAFT_VOTER);
    add(c, "n1", RAFT_VOTER);
    assert_int_equal(
        raft_configuration_add(c, raft_founder_id("n3"), "n3", RAFT_LEARNER, "[::1]:7401", ""), 0);
}

static void assert_same(const struct raft_configuration *a, const struct raft_configuration *b)
{
    assert_int_equal(a->n, b->n);
    for (unsigned i = 0; i < a->n; i++) {
        assert_true(a->servers[i].id == b->servers[i].id);
        assert_int_equal(a->servers[i].role, b->servers[i].role);
        assert_string_equal(a->servers[i].name, b->servers[i].name);
        assert_string_equal(a->servers[i].peer_addr, b->servers[i].peer_addr);
        assert_string_equal(a->servers[i].client_addr, b->servers[i].client_addr);
    }
}

static void assert_valid(const struct raft_configuration *c)
{
    assert_true(c->n <= RAFT_SERVERS_MAX);
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];

        assert_true(s->role == RAFT_VOTER || s->role == RAFT_LEARNER);
        assert_non_null(memchr(s->name, 0, sizeof(s->name)));
        assert_non_null(memchr(s->peer_addr, 0, sizeof(s->peer_addr)));
        assert_non_null(memchr(s->client_addr, 0, sizeof(s->client_addr)));
        assert_true(s->name[0] != '\0');
        assert_true(s->id != 0);
        for (unsigned j = 0; j < i; j++)
            assert_true(c->servers[j].id != s->id);
        if (i > 0)
            assert_true(strcmp(c->servers[i - 1].name, s->name) < 0);
    }
}

static void raft__configuration_is_sorted_by_name(void **state)
{
    struct raft_configuration c;

    (void)state;
    make(&c);
    assert_int_equal(c.n, 3);
    assert_valid(&c);
    assert_string_equal(c.servers[0].name, "n1");
    assert_string_equal(c.servers[2].name, "n3");
    assert_string_equal(c.servers[2].peer_addr, "[::1]:7401");
    assert_string_equal(c.servers[2].client_addr, "");
    assert_int_equal(raft_configuration_n_voters(&c), 2);
}

static void raft__configuration_finds_by_number_and_name(void **state)
{
    struct raft_configuration c;

    (void)state;
    make(&c);
    assert_string_equal(raft_configuration_get(&c, raft_founder_id("n2"))->name, "n2");
    assert_ptr_equal(raft_configuration_get_name(&c, "n3"),
                     raft_configuration_get(&c, raft_founder_id("n3")));
    assert_null(raft_configuration_get(&c, raft_founder_id("n4")));
    assert_null(raft_configuration_get(&c, 0));
    assert_null(raft_configuration_get_name(&c, "n"));
    assert_null(raft_configuration_get_name(&c, ""));
    raft_configuration_init(&c);
    assert_int_equal(c.n, 0);
    assert_null(raft_configuration_get(&c, raft_founder_id("n1")));
    assert_int_equal(raft_configuration_n_voters(&c), 0);
}

static void raft__configuration_refuses_duplicates_unchanged(void **state)
{
    struct raft_configuration c;
    struct raft_configuration before;

    (void)state;
    make(&c);
    before = c;
    assert_int_equal(
        raft_configuration_add(&c, raft_founder_id("n2"), "n2", RAFT_LEARNER, "a:1", "b:2"),
        RAFT_CONFIGURATION_E_DUPLICATE);
    assert_int_equal(raft_configuration_add(&c, 77, "n2", RAFT_LEARNER, "a:1", "b:2"),
                     RAFT_CONFIGURATION_E_DUPLICATE); /* the name alone */
    assert_int_equal(
        raft_configuration_add(&c, raft_founder_id("n2"), "n4", RAFT_LEARNER, "a:1", "b:2"),
        RAFT_CONFIGURATION_E_DUPLICATE); /* the id alone */
    assert_int_equal(raft_configuration_add(&c, 0, "n4", RAFT_LEARNER, "a:1", "b:2"),
                     RAFT_CONFIGURATION_E_INVALID); /* 0 is nobody */
    assert_memory_equal(&c, &before, sizeof(c));
}

/* The id is what the configuration says, not what the name would give (MEMBER-5). */
static void raft__configuration_keeps_the_id_it_was_given(void **state)
{
    cleanup_buf struct buf founder = BUF_INIT;
    cleanup_buf struct buf later = BUF_INIT;
    struct raft_configuration c;
    struct raft_configuration d;

    (void)state;
    raft_configuration_init(&c);
    add(&c, "n1", RAFT_VOTER);
    assert_int_equal(raft_configuration_encode(&c, &founder), 0);
    raft_configuration_init(&c);
    assert_int_equal(raft_configuration_add(&c, 0x1122334455667788u, "n1", RAFT_VOTER,
                                            "10.0.0.1:7401", "10.0.0.1:7400"),
                     0);
    assert_int_equal(raft_configuration_encode(&c, &later), 0);
    assert_int_equal(founder.len, later.len);
    assert_true(memcmp(founder.data, later.data, founder.len) != 0);
    assert_int_equal(raft_configuration_decode(later.data, later.len, &d), 0);
    assert_true(d.servers[0].id == 0x1122334455667788u);
    assert_null(raft_configuration_get(&d, raft_founder_id("n1")));
}

/* The bytes that version 1 wrote: no ids, everybody a founder. They stand in logs and must be
 * read for ever. */
static void raft__configuration_of_version_1_is_read(void **state)
{
    static const unsigned char v1[] = {1,   0, 2, 0, /* */
                                       1,   2, 3, 0, 3, 0, 'n', '1', 'a', ':', '1', 'b', ':',
                                       '1', 2, 2, 3, 0, 0, 0,   'n', '2', 'a', ':', '2'};
    cleanup_buf struct buf now = BUF_INIT;
    struct raft_configuration c;
    struct raft_configuration d;

    (void)state;
    assert_int_equal(raft_configuration_decode(v1, sizeof(v1), &c), 0);
    assert_int_equal(c.n, 2);
    assert_true(c.servers[0].id == raft_founder_id("n1"));
    assert_true(c.servers[1].id == raft_founder_id("n2"));
    assert_int_equal(c.servers[1].role, RAFT_LEARNER);
    assert_string_equal(c.servers[0].client_addr, "b:1");
    assert_string_equal(c.servers[1].peer_addr, "a:2");
    for (size_t len = 0; len < sizeof(v1); len++)
        assert_int_equal(raft_configuration_decode(v1, len, &d), RAFT_CONFIGURATION_E_INVALID);
    assert_int_equal(raft_configuration_encode(&c, &now), 0);
    assert_int_equal(now.data[0], 2); /* it is written as version 2 from then on */
    assert_int_equal(raft_configuration_decode(now.data, now.len, &d), 0);
    assert_same(&c, &d);
}

static void raft__configuration_of_a_later_version_is_refused(void **state)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;

    (void)state;
    make(&c);
    assert_int_equal(raft_configuration_encode(&c, &bytes), 0);
    bytes.data[0] = 4;
    assert_int_equal(raft_configuration_decode(bytes.data, bytes.len, &c),
                     RAFT_CONFIGURATION_E_NEWER);
    bytes.data[0] = 0;
    assert_int_equal(raft_configuration_decode(bytes.data, bytes.len, &c),
                     RAFT_CONFIGURATION_E_INVALID);
}

/* What only version 3 has goes through bytes and back, every field of it, and cut anywhere it is
 * refused. */
static void raft__configuration_of_running_clusters_survives(void **state)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;
    struct raft_configuration back;

    (void)state;
    make(&c);
    assert_true(raft_configuration_remove(&c, c.servers[0].id, 17));
    c.servers[0].incarnation = 5;
    c.servers[0].promote = true;
    c.servers[0].replaces = 77;
    c.servers[0].patience_ms = 60000;
    c.version = 2;
    memset(c.cluster_id, 0xa5, sizeof(c.cluster_id));
    assert_int_equal(raft_configuration_encode(&c, &bytes), 0);
    assert_int_equal(bytes.data[0], 3);
    assert_int_equal(raft_configuration_decode(bytes.data, bytes.len, &back), 0);
    assert_true(raft_configuration_equal(&c, &back));
    assert_true(back.removed[0].index == 17);
    assert_non_null(raft_configuration_removed(&back, c.removed[0].id));
    assert_null(raft_configuration_removed(&back, c.servers[0].id));
    assert_true(raft_configuration_has_cluster_id(&back));
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(raft_configuration_decode(bytes.data, len, &back),
                         RAFT_CONFIGURATION_E_INVALID);
    /* The last ones are remembered, and the oldest is forgotten. */
    for (unsigned i = 0; i < RAFT_REMOVED_MAX; i++) {
        assert_int_equal(raft_configuration_add(&c, 1000 + i, "later", RAFT_LEARNER, "", ""), 0);
        assert_true(raft_configuration_remove(&c, 1000 + i, 20 + i));
    }
    assert_int_equal(c.n_removed, RAFT_REMOVED_MAX);
    assert_true(c.removed[0].index == 20);
    assert_false(raft_configuration_remove(&c, 1000, 9));
    buf_reset(&bytes, 0);
    assert_int_equal(raft_configuration_encode(&c, &bytes), 0);
    assert_int_equal(raft_configuration_decode(bytes.data, bytes.len, &back), 0);
    assert_true(raft_configuration_equal(&c, &back));
}

static void raft__configuration_outcomes_have_texts(void **state)
{
    (void)state;
    for (int rc = RAFT_CONFIGURATION_E_FULL; rc <= RAFT_CONFIGURATION_E_NEWER; rc++)
        assert_string_not_equal(raft_configuration_error_text(rc), "unknown");
    assert_string_equal(raft_configuration_error_text(0), "unknown");
}

static void raft__configuration_refuses_bad_names_and_addresses(void **state)
{
    struct raft_configuration c;
    struct raft_configuration before;
    char name[NODE_NAME_BYTES_MAX + 2];
    char addr[ADDRESS_BYTES_MAX + 2];

    (void)state;
    make(&c);
    before = c;
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    memset(addr, '1', sizeof(addr));
    addr[sizeof(addr) - 1] = '\0';
    assert_int_equal(raft_configuration_add(&c, raft_founder_id(""), "", RAFT_VOTER, "a:1", "b:2"),
                     RAFT_CONFIGURATION_E_INVALID);
    assert_int_equal(
        raft_configuration_add(&c, raft_founder_id(name), name, RAFT_VOTER, "a:1", "b:2"),
        RAFT_CONFIGURATION_E_INVALID);
    assert_int_equal(
        raft_configuration_add(&c, raft_founder_id("n4"), "n4", RAFT_VOTER, addr, "b:2"),
        RAFT_CONFIGURATION_E_INVALID);
    assert_int_equal(
        raft_configuration_add(&c, raft_founder_id("n4"), "n4", RAFT_VOTER, "a:1", addr),
        RAFT_CONFIGURATION_E_INVALID);
    assert_memory_equal(&c, &before, sizeof(c));
    name[NODE_NAME_BYTES_MAX] = '\0';
    addr[ADDRESS_BYTES_MAX] = '\0';
    assert_int_equal(
        raft_configuration_add(&c, raft_founder_id(name), name, RAFT_VOTER, addr, addr), 0);
    assert_valid(&c);
}

static void raft__configuration_is_bounded(void **state)
{
    struct raft_configuration c;
    struct raft_configuration before;

    (void)state;
    raft_configuration_init(&c);
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "n%u", i * 7 % RAFT_SERVERS_MAX);
        add(&c, name, RAFT_VOTER);
    }
    assert_valid(&c);
    before = c;
    assert_int_equal(
        raft_configuration_add(&c, raft_founder_id("zz"), "zz", RAFT_VOTER, "a:1", "b:2"),
        RAFT_CONFIGURATION_E_FULL);
    assert_memory_equal(&c, &before, sizeof(c));
}

static void raft__configuration_order_of_adding_does_not_matter(void **state)
{
    static const char *const names[] = {"b", "a", "c", "aa", "B", "n10", "n2"};
    cleanup_buf struct buf first = BUF_INIT;

    (void)state;
    for (unsigned shift = 0; shift < 7; shift++) {
        cleanup_buf struct buf bytes = BUF_INIT;
        struct raft_configuration c;

        raft_configuration_init(&c);
        for (unsigned i = 0; i < 7; i++)
            add(&c, names[(i * 3 + shift) % 7], RAFT_VOTER);
        assert_valid(&c);
        assert_int_equal(raft_configuration_encode(&c, shift == 0 ? &first : &bytes), 0);
        if (shift == 0)
            continue;
        assert_int_equal(bytes.len, first.len);
        assert_memory_equal(bytes.data, first.data, first.len);
    }
}

static void raft__configuration_encode_decode_gives_the_same(void **state)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;
    struct raft_configuration d;

    (void)state;
    make(&c);
    assert_int_equal(buf_add_str(&bytes, "head"), 0);
    assert_int_equal(raft_configuration_encode(&c, &bytes), 0);
    assert_memory_equal(bytes.data, "head", 4); /* appended, not overwritten */
    assert_int_equal(raft_configuration_decode(bytes.data + 4, bytes.len - 4, &d), 0);
    assert_same(&c, &d);
    assert_valid(&d);
}

static void raft__configuration_largest_survives(void **state)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;
    struct raft_configuration d;

    (void)state;
    raft_configuration_init(&c);
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        char name[NODE_NAME_BYTES_MAX + 1];
        char addr[ADDRESS_BYTES_MAX + 1];

        memset(name, 'a' + (int)i, sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        memset(addr, '0' + (int)i, sizeof(addr) - 1);
        addr[sizeof(addr) - 1] = '\0';
        assert_int_equal(raft_configuration_add(&c, raft_founder_id(name), name,
                                                i % 2 != 0 ? RAFT_VOTER : RAFT_LEARNER, addr, addr),
                         0);
    }
    assert_int_equal(raft_configuration_encode(&c, &bytes), 0);
    assert_true(bytes.len <= ENTRY_BYTES_MAX);
    assert_int_equal(raft_configuration_decode(bytes.data, bytes.len, &d), 0);
    assert_same(&c, &d);
}

/* Refused, or a valid membership whose bytes are exactly these. */
static bool decode_is_total(const unsigned char *data, size_t len)
{
    cleanup_buf struct buf again = BUF_INIT;
    unsigned char *copy =
        malloc(len != 0 ? len : 1); /* of exactly this size: reading past it shows */
    struct raft_configuration d;
    struct raft_configuration untouched;
    int r;

    assert_non_null(copy);
    if (len != 0)
        memcpy(copy, data, len);
    memset(&d, 0x5c, sizeof(d));
    memset(&untouched, 0x5c, sizeof(untouched));
    r = raft_configuration_decode(copy, len, &d);
    free(copy);
    if (r != 0) {
        assert_true(r == RAFT_CONFIGURATION_E_FULL || r == RAFT_CONFIGURATION_E_DUPLICATE ||
                    r == RAFT_CONFIGURATION_E_INVALID || r == RAFT_CONFIGURATION_E_NEWER);
        assert_memory_equal(&d, &untouched, sizeof(d)); /* written only on success */
        return false;
    }
    assert_valid(&d);
    assert_int_equal(raft_configuration_encode(&d, &again), 0);
    if (data[0] != again.data[0])
        return true; /* an older version, which is not written any more */
    assert_int_equal(again.len, len);
    assert_memory_equal(again.data, data, len);
    return true;
}

static void raft__configuration_truncated_bytes_are_refused(void **state)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;

    (void)state;
    make(&c);
    assert_int_equal(raft_configuration_encode(&c, &bytes), 0);
    for (size_t len = 0; len < bytes.len; len++)
        assert_false(decode_is_total(bytes.data, len));
    assert_true(decode_is_total(bytes.data, bytes.len));
    assert_int_equal(buf_add_u8(&bytes, 0), 0);
    assert_false(decode_is_total(bytes.data, bytes.len)); /* nothing may follow */
}

static void raft__configuration_mutated_bytes_are_refused_or_equal(void **state)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;
    unsigned n_refused = 0;

    (void)state;
    make(&c);
    assert_int_equal(raft_configuration_encode(&c, &bytes), 0);
    for (size_t at = 0; at < bytes.len; at++) {
        unsigned char was = bytes.data[at];

        for (unsigned v = 0; v < 256; v++) {
            bytes.data[at] = (unsigned char)v;
            n_refused += !decode_is_total(bytes.data, bytes.len);
        }
        bytes.data[at] = was;
    }
    assert_true(n_refused > 0);
}

static void raft__configuration_random_damage_is_refused_or_equal(void **state)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;
    struct prng p;

    (void)state;
    make(&c);
    assert_int_equal(raft_configuration_encode(&c, &bytes), 0);
    prng_init(&p, 3);
    for (unsigned k = 0; k < 50000; k++) {
        unsigned char data[512];
        size_t len = (size_t)prng_below(&p, bytes.len + 16);

        assert_true(bytes.len + 16 < sizeof(data));
        for (size_t i = 0; i < len; i++)
            data[i] = i < bytes.len && prng_below(&p, 8) != 0 ? bytes.data[i]
                                                              : (unsigned char)prng_next(&p);
        (void)decode_is_total(data, len);
    }
}

/* Swapping two servers of equal encoded length in the bytes gives an unsorted membership; the same
 * server twice a duplicate. Both are found without knowing the format: the block of a server is
 * what its neighbour differs by. */
static void raft__configuration_unsorted_or_double_bytes_are_refused(void **state)
{
    cleanup_buf struct buf one = BUF_INIT;
    cleanup_buf struct buf two = BUF_INIT;
    struct raft_configuration c;
    unsigned char swapped[512];
    size_t block;
    size_t head;

    (void)state;
    raft_configuration_init(&c);
    add(&c, "n1", RAFT_VOTER);
    assert_int_equal(raft_configuration_encode(&c, &one), 0);
    add(&c, "n2", RAFT_VOTER);
    assert_int_equal(raft_configuration_encode(&c, &two), 0);
    block = two.len - one.len;
    head = one.len - block;
    assert_true(two.len < sizeof(swapped));
    memcpy(swapped, two.data, head);
    memcpy(swapped + head, two.data + head + block, block);
    memcpy(swapped + head + block, two.data + head, block);
    assert_false(decode_is_total(swapped, two.len));
    memcpy(swapped + head + block, swapped + head, block);
    assert_false(decode_is_total(swapped, two.len));
}

/* TOKEN-1. */
static void raft__configuration_ids_say_who_went_on_alone(void **state)
{
    unsigned char id[16];
    unsigned char same[16];

    (void)state;
    for (unsigned i = 0; i < 65536; i++) { /* whatever chance gives */
        memset(id, 7, sizeof(id));
        id[0] = (unsigned char)i;
        id[1] = (unsigned char)(i >> 8);
        memcpy(same, id, sizeof(id));
        raft_cluster_id_mark(id, false);
        assert_false(raft_cluster_id_is_alone(id));
        assert_memory_equal(id + 2, same + 2, 14);
        raft_cluster_id_mark(id, true);
        assert_true(raft_cluster_id_is_alone(id));
        assert_memory_equal(id + 2, same + 2, 14);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(raft__configuration_is_sorted_by_name),
        cmocka_unit_test(raft__configuration_finds_by_number_and_name),
        cmocka_unit_test(raft__configuration_refuses_duplicates_unchanged),
        cmocka_unit_test(raft__configuration_keeps_the_id_it_was_given),
        cmocka_unit_test(raft__configuration_of_version_1_is_read),
        cmocka_unit_test(raft__configuration_of_a_later_version_is_refused),
        cmocka_unit_test(raft__configuration_of_running_clusters_survives),
        cmocka_unit_test(raft__configuration_outcomes_have_texts),
        cmocka_unit_test(raft__configuration_refuses_bad_names_and_addresses),
        cmocka_unit_test(raft__configuration_is_bounded),
        cmocka_unit_test(raft__configuration_order_of_adding_does_not_matter),
        cmocka_unit_test(raft__configuration_encode_decode_gives_the_same),
        cmocka_unit_test(raft__configuration_largest_survives),
        cmocka_unit_test(raft__configuration_truncated_bytes_are_refused),
        cmocka_unit_test(raft__configuration_mutated_bytes_are_refused_or_equal),
        cmocka_unit_test(raft__configuration_random_damage_is_refused_or_equal),
        cmocka_unit_test(raft__configuration_unsorted_or_double_bytes_are_refused),
        cmocka_unit_test(raft__configuration_ids_say_who_went_on_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
