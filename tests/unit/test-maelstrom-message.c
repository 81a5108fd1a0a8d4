/* Messages between nodes as JSON: there and back, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/prng.h"
#include "maelstrom/message.h"

/* ---- base64 ---- */

static void maelstrom__base64_known_values(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}}; /* RFC 4648 section 10 */

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        cleanup_buf struct buf b = BUF_INIT;
        unsigned char back[16];
        size_t len = 99;

        assert_int_equal(base64_encode(pairs[i][0], strlen(pairs[i][0]), &b), 0);
        assert_int_equal(b.len, strlen(pairs[i][1]));
        assert_memory_equal(b.data, pairs[i][1], b.len);
        assert_true(base64_decode(pairs[i][1], b.len, back, &len));
        assert_int_equal(len, strlen(pairs[i][0]));
        assert_memory_equal(back, pairs[i][0], len);
    }
}

static void maelstrom__base64_has_one_spelling(void **state)
{
    static const char *const wrong[] = {"Z",     "Zg",   "Zg=",  "Zg==\n", "Z===",
                                        "====",  "Zh==", "Zm9=", "Zm=v",   "=m9v",
                                        "Zm9v=", "Zm 9", "Zm9-", "Zm9_",   "Zg==Zg=="};
    unsigned char back[16];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(base64_decode(wrong[i], strlen(wrong[i]), back, &len));
}

static void maelstrom__base64_gives_every_byte_back(void **state)
{
    unsigned char data[300];
    unsigned char back[300];
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    for (size_t n = 0; n < sizeof(data); n++) {
        cleanup_buf struct buf b = BUF_INIT;
        size_t len = 0;

        for (size_t i = 0; i < n; i++)
            data[i] = (unsigned char)prng_next(&p);
        assert_int_equal(base64_encode(data, n, &b), 0);
        assert_true(base64_bytes_max(b.len) <= sizeof(back) + 2);
        assert_true(base64_decode((const char *)b.data, b.len, back, &len));
        assert_int_equal(len, n);
        assert_memory_equal(back, data, n);
    }
}

/* ---- messages ---- */

static json_t *parse(const void *data, size_t len)
{
    json_error_t error;
    json_t *root = json_loadb(data, len, JSON_REJECT_DUPLICATES, &error);

    if (root == NULL)
        print_message("%s\n", error.text);
    assert_non_null(root);
    return root;
}

static void assert_same(const struct raft_msg *a, const struct raft_msg *b)
{
    assert_int_equal(a->type, b->type);
    assert_true(a->from == b->from);
    assert_true(a->to == b->to);
    assert_true(a->term == b->term);
    assert_true(a->prev.term == b->prev.term);
    assert_true(a->prev.index == b->prev.index);
    assert_true(a->leader_commit == b->leader_commit);
    assert_true(a->index == b->index);
    assert_true(a->hint.term == b->hint.term);
    assert_true(a->hint.index == b->hint.index);
    assert_true(a->round == b->round);
    assert_int_equal(a->reject, b->reject);
    assert_int_equal(a->transfer, b->transfer);
    assert_int_equal(a->beat.said, b->beat.said);
    assert_int_equal(a->beat.leased, b->beat.leased);
    assert_true(a->beat.lease_us == b->beat.lease_us);
    assert_true(a->beat.mono_us == b->beat.mono_us);
    assert_true(a->beat.stamp.nonce == b->beat.stamp.nonce);
    assert_true(a->beat.stamp.hold_us == b->beat.stamp.hold_us);
    assert_true(a->beat.proved_index == b->beat.proved_index);
    assert_true(a->left_us == b->left_us);
    assert_true(a->ask.nonce == b->ask.nonce && a->ask.number == b->ask.number);
    assert_true(a->leader == b->leader);
    assert_int_equal(a->n_entries, b->n_entries);
    for (unsigned i = 0; i < a->n_entries; i++) {
        assert_true(a->entries[i].id.term == b->entries[i].id.term);
        assert_true(a->entries[i].id.index == b->entries[i].id.index);
        assert_int_equal(a->entries[i].type, b->entries[i].type);
        assert_int_equal(a->entries[i].len, b->entries[i].len);
        if (a->entries[i].len > 0)
            assert_memory_equal(a->entries[i].data, b->entries[i].data, a->entries[i].len);
    }
}

static void there_and_back(const struct raft_msg *m)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct raft_msg back;
    struct arena arena;
    const char *wrong;
    json_t *body;

    arena_init(&arena, mem_libc);
    assert_int_equal(message_encode(m, &b), 0);
    body = parse(b.data, b.len);
    assert_string_equal(json_string_value(json_object_get(body, "type")),
                        message_type_name(m->type));
    assert_int_equal(message_decode(body, m->from, m->to, &arena, &back, &wrong), 0);
    assert_same(m, &back);
    json_decref(body);
    arena_done(&arena);
}

static void maelstrom__messages_come_back_equal(void **state)
{
    unsigned char data[1000];
    const struct raft_entry entries[] = {{{3, 8}, RAFT_ENTRY_NOOP, 0, NULL},
                                         {{3, 9}, RAFT_ENTRY_COMMAND, sizeof(data), data},
                                         {{4, 10}, RAFT_ENTRY_READ, 0, NULL},
                                         {{4, 11}, RAFT_ENTRY_CONFIG, 1, data}};
    const struct raft_msg msgs[] = {
        {.type = RAFT_MSG_PRE_VOTE, .term = 5, .prev = {3, 7}},
        {.type = RAFT_MSG_PRE_VOTE_RESP, .term = 5},
        {.type = RAFT_MSG_PRE_VOTE_RESP, .term = 5, .reject = true},
        {.type = RAFT_MSG_VOTE, .term = RAFT_INDEX_MAX, .prev = {3, RAFT_INDEX_MAX}},
        {.type = RAFT_MSG_VOTE, .term = 5, .prev = {3, 7}, .transfer = true},
        {.type = RAFT_MSG_VOTE_RESP, .term = 5},
        {.type = RAFT_MSG_VOTE_RESP, .term = 5, .reject = true},
        {.type = RAFT_MSG_APPEND, .term = 5, .prev = {3, 7}, .leader_commit = 6},
        {.type = RAFT_MSG_APPEND, .term = 5, .prev = {3, 7}, .n_entries = 4, .entries = entries},
        {.type = RAFT_MSG_APPEND_RESP, .term = 5, .index = 11},
        {.type = RAFT_MSG_APPEND_RESP, .term = 5, .reject = true, .index = 11, .hint = {2, 4}},
        {.type = RAFT_MSG_HEARTBEAT, .term = 5, .round = 77, .leader_commit = 6},
        {.type = RAFT_MSG_HEARTBEAT_RESP, .term = 5, .round = 77},
        {.type = RAFT_MSG_HEARTBEAT_RESP, .term = 9, .round = 77, .reject = true},
        {.type = RAFT_MSG_TIMEOUT_NOW, .term = 5},
        {.type = RAFT_MSG_VOTE_RESP, .term = 5, .left_us = RAFT_LEFT_US_MAX},
        {.type = RAFT_MSG_HEARTBEAT, .term = 5, .round = 77, .beat = {.said = true}},
        {.type = RAFT_MSG_HEARTBEAT,
         .term = 5,
         .round = 77,
         .leader_commit = 6,
         .beat = {.said = true,
                  .lease_us = RAFT_LEASE_US_MAX,
                  .stamp = {UINT64_MAX, RAFT_INDEX_MAX},
                  .proved_index = RAFT_INDEX_MAX}},
        {.type = RAFT_MSG_HEARTBEAT_RESP,
         .term = 5,
         .round = 77,
         .beat = {.said = true, .leased = true, .mono_us = RAFT_INDEX_MAX, .stamp = {1, 0}}},
        {.type = RAFT_MSG_READ_ASK, .term = 5, .ask = {UINT64_MAX, 3}},
        {.type = RAFT_MSG_READ_ANSWER, .term = 5, .ask = {UINT64_MAX, 3}, .index = 9},
        {.type = RAFT_MSG_READ_ANSWER,
         .term = 5,
         .reject = true,
         .ask = {1, 3},
         .leader = UINT64_MAX - 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 31);
    for (size_t i = 0; i < sizeof(msgs) / sizeof(msgs[0]); i++) {
        struct raft_msg m = msgs[i];

        m.from = 12;
        m.to = 34;
        there_and_back(&m);
    }
}

/* What stands in a Lamport diagram. */
static void maelstrom__messages_are_readable(void **state)
{
    const struct raft_entry e = {{2, 3}, RAFT_ENTRY_COMMAND, 3, "foo"};
    const struct raft_msg m = {.type = RAFT_MSG_APPEND,
                               .term = 2,
                               .prev = {1, 2},
                               .leader_commit = 2,
                               .n_entries = 1,
                               .entries = &e};
    static const char expected[] =
        "{\"type\": \"append_entries\", \"term\": 2, \"prev_log_index\": 2, \"prev_log_term\": 1, "
        "\"leader_commit\": 2, \"entries\": [{\"index\": 3, \"term\": 2, \"type\": \"command\", "
        "\"data\": \"Zm9v\"}]}";
    cleanup_buf struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(message_encode(&m, &b), 0);
    assert_int_equal(b.len, strlen(expected));
    assert_memory_equal(b.data, expected, b.len);
}

static void refused(json_t *body, const char *field)
{
    struct raft_msg m;
    struct arena arena;
    const char *wrong = "";

    arena_init(&arena, mem_libc);
    assert_int_equal(message_decode(body, 1, 2, &arena, &m, &wrong), MESSAGE_E_INVALID);
    assert_string_equal(wrong, field);
    arena_done(&arena);
}

/* Every field of every message, missing and of every wrong type; the first of those that may be
 * missing together is one that may. */
static void maelstrom__each_field_is_looked_at(void **state)
{
    const struct raft_entry e = {{2, 3}, RAFT_ENTRY_COMMAND, 3, "foo"};

    (void)state;
    for (int type = RAFT_MSG_PRE_VOTE; type <= (int)RAFT_MSG_TYPE_MAX; type++) {
        struct raft_msg m = {.type = (enum raft_msg_type)type, .term = 2};
        const bool has_beat = type == RAFT_MSG_HEARTBEAT || type == RAFT_MSG_HEARTBEAT_RESP;
        cleanup_buf struct buf b = BUF_INIT;
        const char *name;
        json_t *body;
        json_t *v;

        if (type == RAFT_MSG_APPEND) {
            m.n_entries = 1;
            m.entries = &e;
        }
        m.beat.said = has_beat;
        m.left_us = type == RAFT_MSG_VOTE_RESP;
        assert_int_equal(message_encode(&m, &b), 0);
        body = parse(b.data, b.len);
        json_object_foreach(body, name, v)
        {
            json_t *copy = json_deep_copy(body);
            json_t *const wrong[] = {NULL,
                                     json_null(),
                                     json_integer(-1),
                                     json_real(1.0),
                                     json_string("x"),
                                     json_object(),
                                     json_integer(INT64_MIN)};

            for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                if (wrong[i] == NULL)
                    (void)json_object_del(copy, name);
                else
                    (void)json_object_set_new(copy, name, wrong[i]);
                if (wrong[i] != NULL ||
                    (strcmp(name, "left_us") != 0 && strcmp(name, "lease_us") != 0 &&
                     strcmp(name, "leased") != 0))
                    refused(copy, name);
            }
            json_decref(copy);
        }
        json_decref(body);
    }
}

static void refused_with(const struct raft_msg *m, const char *field, json_t *value)
{
    cleanup_buf struct buf b = BUF_INIT;
    json_t *body;

    assert_int_equal(message_encode(m, &b), 0);
    body = parse(b.data, b.len);
    (void)json_object_set_new(body, field, value);
    refused(body, field);
    json_decref(body);
}

/* No lease and no promise is longer than the longest, clocks count from a boot, and 64 bits have one
 * spelling (WIRE-2). */
static void maelstrom__what_goes_with_heartbeats_is_bounded(void **state)
{
    static const char *const words[] = {"",
                                        "0",
                                        "00000000000000001",
                                        "000000000000000G",
                                        "00000000000000AB",
                                        "0x00000000000001",
                                        " 000000000000001",
                                        "-000000000000001"};
    const struct raft_msg beat = {.type = RAFT_MSG_HEARTBEAT, .term = 2, .beat = {.said = true}};
    const struct raft_msg back = {
        .type = RAFT_MSG_HEARTBEAT_RESP, .term = 2, .beat = {.said = true}};
    const struct raft_msg vote = {.type = RAFT_MSG_VOTE_RESP, .term = 2, .left_us = 1};
    const struct raft_msg answer = {.type = RAFT_MSG_READ_ANSWER, .term = 2, .ask = {1, 1}};

    (void)state;
    refused_with(&beat, "lease_us", json_integer(RAFT_LEASE_US_MAX + 1));
    refused_with(&beat, "stamp_us", json_integer((json_int_t)RAFT_INDEX_MAX + 1));
    refused_with(&beat, "proved_index", json_integer((json_int_t)RAFT_INDEX_MAX + 1));
    refused_with(&back, "clock_us", json_integer((json_int_t)RAFT_INDEX_MAX + 1));
    refused_with(&vote, "left_us", json_integer(RAFT_LEFT_US_MAX + 1));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        refused_with(&beat, "stamp_nonce", json_string(words[i]));
        refused_with(&answer, "leader", json_string(words[i]));
    }
}

static void maelstrom__entries_are_bounded(void **state)
{
    static const char *const entries[] = {
        "{\"entries\":[1]}",
        "{\"entries\":[{}]}",
        "{\"entries\":[{\"index\":1,\"term\":1,\"type\":\"noop\",\"data\":1}]}",
        "{\"entries\":[{\"index\":1,\"term\":1,\"type\":\"noop\",\"data\":\"\"}]}",
        "{\"entries\":[{\"index\":1,\"term\":1,\"type\":\"command\",\"data\":\"Zg\"}]}",
        "{\"entries\":[{\"index\":1,\"term\":1,\"type\":2}]}",
        "{\"entries\":[{\"index\":-1,\"term\":1,\"type\":\"noop\"}]}",
        "{\"entries\":[{\"index\":1,\"type\":\"noop\"}]}"};
    const struct raft_msg m = {.type = RAFT_MSG_APPEND, .term = 2};
    cleanup_buf struct buf b = BUF_INIT;
    cleanup_buf struct buf text = BUF_INIT;
    unsigned char *big = calloc(1, ENTRY_BYTES_MAX + 1);
    json_t *body;
    json_t *list = json_array();

    (void)state;
    assert_non_null(big);
    assert_int_equal(message_encode(&m, &b), 0);
    body = parse(b.data, b.len);
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        json_t *v = parse(entries[i], strlen(entries[i]));

        (void)json_object_set(body, "entries", json_object_get(v, "entries"));
        refused(body, "entries");
        json_decref(v);
    }
    for (unsigned i = 0; i <= RAFT_APPEND_ENTRIES_MAX; i++)
        (void)json_array_append_new(
            list, json_pack("{s:i,s:i,s:s}", "index", (int)i, "term", 1, "type", "noop"));
    (void)json_object_set(body, "entries", list);
    refused(body, "entries");
    (void)json_array_clear(list);
    /* One byte more than an entry may have; exactly as many is the largest there is. */
    for (size_t len = ENTRY_BYTES_MAX + 1; len >= ENTRY_BYTES_MAX; len--) {
        struct raft_msg back;
        struct arena arena;
        const char *wrong = "";

        buf_reset(&text, SIZE_MAX);
        assert_int_equal(base64_encode(big, len, &text), 0);
        (void)json_array_clear(list);
        (void)json_array_append_new(list, json_pack("{s:i,s:i,s:s,s:s#}", "index", 1, "term", 1,
                                                    "type", "command", "data",
                                                    (const char *)text.data, (int)text.len));
        arena_init(&arena, mem_libc);
        assert_int_equal(message_decode(body, 1, 2, &arena, &back, &wrong),
                         len > ENTRY_BYTES_MAX ? MESSAGE_E_INVALID : 0);
        arena_done(&arena);
    }
    json_decref(list);
    json_decref(body);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maelstrom__base64_known_values),
        cmocka_unit_test(maelstrom__base64_has_one_spelling),
        cmocka_unit_test(maelstrom__base64_gives_every_byte_back),
        cmocka_unit_test(maelstrom__messages_come_back_equal),
        cmocka_unit_test(maelstrom__messages_are_readable),
        cmocka_unit_test(maelstrom__each_field_is_looked_at),
        cmocka_unit_test(maelstrom__what_goes_with_heartbeats_is_bounded),
        cmocka_unit_test(maelstrom__entries_are_bounded),
    };

    return cmocka_run_group_tests_name("maelstrom-message", tests, NULL, NULL);
}
