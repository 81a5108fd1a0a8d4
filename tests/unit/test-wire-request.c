/* wire/request.h: every field with its errors and limits, both forms, and both decoders held
 * against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/reply.h"
#include "wire/request.h"
#include "wire/request_int.h" /* the two decoders behind wire_request_decode() */

static struct wire_decoder *decoder;
static struct wire_decoder *fast_decoder; /* each keeps what it returns until its next line */
static struct wire_request request;
static struct wire_refused refused;

static int setup(void **state)
{
    (void)state;
    json_object_seed(1);
    return wire_decoder_new(&decoder) != 0 || wire_decoder_new(&fast_decoder) != 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_decoder_free(decoder);
    wire_decoder_free(fast_decoder);
    return 0;
}

/* From a block of exactly that size, so that reading behind the line is seen by the sanitizer. */
static int decode_n(const char *line, size_t len)
{
    char *exact = malloc(len > 0 ? len : 1);
    int r;

    assert_non_null(exact);
    memcpy(exact, line, len);
    memset(&refused, 0x5a, sizeof(refused));
    refused.field[0] = '\0';
    r = wire_request_decode(decoder, exact, len, &request, &refused);
    free(exact); /* what was decoded does not point into the line */
    return r;
}

static int decode(const char *line)
{
    return decode_n(line, strlen(line));
}

static void must_decode(const char *line)
{
    int r = decode(line);

    if (r != 0)
        fail_msg("%s: %s", line, r == 1 ? refused.text : "not decoded");
}

static void assert_slice(struct wire_slice s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.data, want, s.len);
}

static void assert_string_key(const struct wire_key *key, const char *want)
{
    assert_int_equal(key->len, strlen(want) + 1);
    assert_int_equal(key->bytes[0], KEY_TYPE_STRING);
    assert_memory_equal(key->bytes + 1, want, key->len - 1u);
}

/* ---- what is right ---- */

static void request__reads_of_one_key(void **state)
{
    static const struct {
        const char *name;
        enum wire_request_type type;
    } reads[] = {
        {"read_index", WIRE_REQ_READ_INDEX},       {"read_via_log", WIRE_REQ_READ_VIA_LOG},
        {"follower_read", WIRE_REQ_FOLLOWER_READ}, {"lease_read", WIRE_REQ_LEASE_READ},
        {"local_read", WIRE_REQ_LOCAL_READ},       {"read", WIRE_REQ_READ},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        char line[256];

        (void)snprintf(line, sizeof(line), "{\"type\":\"%s\",\"msg_id\":12,\"key\":\"x\"}",
                       reads[i].name);
        must_decode(line);
        assert_int_equal(request.type, reads[i].type);
        assert_slice(request.type_name, reads[i].name);
        assert_string_equal(wire_request_type_name(request.type), reads[i].name);
        assert_true(request.origin.has_msg_id);
        assert_int_equal(request.origin.msg_id, 12);
        assert_false(request.origin.envelope);
        assert_string_key(&request.key, "x");
        assert_int_equal(request.timeout_ms, TIMEOUT_MS_DEFAULT);
        assert_false(request.verbose);
        assert_int_equal(request.via, WIRE_VIA_DEFAULT);
        (void)snprintf(
            line, sizeof(line),
            " { \"key\" : -3 , "
            "\"verbose\":true,\"timeout_ms\":60000,\"who\":{\"a\":1},\"type\":\"%s\"}\r\n",
            reads[i].name);
        must_decode(line);
        assert_int_equal(request.type, reads[i].type);
        assert_false(request.origin.has_msg_id);
        assert_int_equal(request.key.bytes[0], KEY_TYPE_INT);
        assert_true(wire_key_get_int(&request.key) == -3);
        assert_true(request.verbose);
        assert_int_equal(request.timeout_ms, 60000);
    }
}

static void request__via(void **state)
{
    static const struct {
        const char *name;
        enum wire_via via;
    } words[] = {{"read_index", WIRE_VIA_READ_INDEX},
                 {"log", WIRE_VIA_LOG},
                 {"lease", WIRE_VIA_LEASE},
                 {"follower", WIRE_VIA_FOLLOWER},
                 {"local", WIRE_VIA_LOCAL}};

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char line[128];

        (void)snprintf(line, sizeof(line), "{\"type\":\"read\",\"key\":\"x\",\"via\":\"%s\"}",
                       words[i].name);
        must_decode(line);
        assert_int_equal(request.via, words[i].via);
    }
    must_decode(
        "{\"type\":\"read_index\",\"key\":\"x\",\"via\":7}"); /* no field of this type: ignored */
}

static void request__writes(void **state)
{
    (void)state;
    must_decode("{\"type\":\"write\",\"msg_id\":0,\"key\":\"k\\u00e4\",\"value\": {\"b\" : [1.50, "
                "1] , \"a\":null}}");
    assert_int_equal(request.type, WIRE_REQ_WRITE);
    assert_string_key(&request.key, "k\xc3\xa4");
    assert_slice(request.value, "{\"b\":[1.5,1],\"a\":null}");
    assert_null(request.from.data);
    assert_false(request.has_session);
    assert_true(request.origin.has_msg_id);
    assert_int_equal(request.origin.msg_id, 0);

    must_decode(
        "{\"type\":\"cas\",\"key\":3,\"from\":null,\"to\":\"new\",\"create_if_not_exists\":true,"
        "\"client\":\"18446744073709551615\",\"seq\":9223372036854775807}");
    assert_int_equal(request.type, WIRE_REQ_CAS);
    assert_slice(request.from, "null");
    assert_slice(request.value, "\"new\"");
    assert_true(request.create_if_not_exists);
    assert_true(request.has_session);
    assert_true(request.client == UINT64_MAX);
    assert_true(request.seq == INT64_MAX);
    assert_true(request.first == 1); /* nothing is said */
    must_decode(
        "{\"type\":\"write\",\"key\":3,\"value\":1,\"client\":\"7\",\"seq\":9,\"first\":9}");
    assert_true(request.client == 7 && request.seq == 9 && request.first == 9);
    must_decode("{\"type\":\"read\",\"key\":3,\"first\":0}"); /* no field of this type */

    must_decode("{\"type\":\"delete\",\"key\":\"x\",\"client\":\"12\",\"seq\":1,\"value\":[]}");
    assert_int_equal(request.type, WIRE_REQ_DELETE);
    assert_true(request.client == 12 && request.seq == 1);
    assert_null(request.value.data);
    must_decode("{\"type\":\"open_session\"}");
    assert_int_equal(request.type, WIRE_REQ_OPEN_SESSION);
}

static void request__batch(void **state)
{
    (void)state;
    must_decode("{\"type\":\"batch_read_index\",\"keys\":[\"a\",3,\"3\",\"a\"]}");
    assert_int_equal(request.type, WIRE_REQ_BATCH_READ_INDEX);
    assert_int_equal(request.n_keys, 4);
    assert_string_key(&request.keys[0], "a");
    assert_true(wire_key_get_int(&request.keys[1]) == 3);
    assert_string_key(&request.keys[2], "3");
    assert_string_key(&request.keys[3], "a");
}

static void request__compare(void **state)
{
    (void)state;
    must_decode("{\"type\":\"compare_read_methods\",\"msg_id\":3,\"num_reads\":100}");
    assert_int_equal(request.type, WIRE_REQ_COMPARE);
    assert_int_equal(request.num_reads, 100);
    assert_int_equal(request.concurrency, 1);
    assert_int_equal(request.methods, 0);
    must_decode("{\"type\":\"compare_read_methods\",\"num_reads\":100000,\"concurrency\":128,"
                "\"methods\":[\"local_read\",\"lease_read\",\"follower_read\",\"local_read\"]}");
    assert_int_equal(request.num_reads, 100000);
    assert_int_equal(request.concurrency, 128);
    assert_int_equal(request.methods, WIRE_VIA_LEASE | WIRE_VIA_FOLLOWER | WIRE_VIA_LOCAL);
    must_decode("{\"type\":\"compare_read_methods\",\"num_reads\":1,\"methods\":[]}");
    assert_int_equal(request.methods, 0);
    assert_false(request.only);
    assert_false(request.cost);
    assert_int_equal(request.max_stale_ms, 0);
    must_decode("{\"type\":\"compare_read_methods\",\"num_reads\":1,\"methods\":[\"read_index\","
                "\"read_via_log\",\"bounded_read\"],\"only\":true,\"cost\":true,"
                "\"max_stale_ms\":86400000}");
    assert_int_equal(request.methods, WIRE_VIA_READ_INDEX | WIRE_VIA_LOG | WIRE_VIA_BOUNDED);
    assert_true(request.only);
    assert_true(request.cost);
    assert_int_equal(request.max_stale_ms, 86400000);
    must_decode("{\"type\":\"local_read\",\"key\":1,\"max_stale_ms\":1}");
    assert_int_equal(request.max_stale_ms, 1);
    must_decode("{\"type\":\"local_read\",\"key\":1}");
    assert_int_equal(request.max_stale_ms, 0);
    must_decode("{\"type\":\"read_index\",\"key\":1,\"max_stale_ms\":1}");
    assert_int_equal(request.max_stale_ms, 0); /* of another type: not known there */
}

static void request__changes_of_the_members(void **state)
{
    static const struct {
        const char *name;
        enum wire_request_type type;
        bool has_addrs;
    } verbs[] = {{"member_add", WIRE_REQ_MEMBER_ADD, true},
                 {"member_remove", WIRE_REQ_MEMBER_REMOVE, false},
                 {"member_promote", WIRE_REQ_MEMBER_PROMOTE, false},
                 {"member_demote", WIRE_REQ_MEMBER_DEMOTE, false},
                 {"member_set_addr", WIRE_REQ_MEMBER_SET_ADDR, true},
                 {"member_replace", WIRE_REQ_MEMBER_REPLACE, true},
                 {"member_rejoin", WIRE_REQ_MEMBER_REJOIN, false}};
    char line[256];

    (void)state;
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        (void)snprintf(line, sizeof(line),
                       "{\"type\":\"%s\",\"id\":\"n4\",\"old\":\"n3\",\"peer_addr\":\"a:1\","
                       "\"client_addr\":\"[::1]:65535\"}",
                       verbs[i].name);
        must_decode(line);
        assert_int_equal(request.type, verbs[i].type);
        assert_slice(request.member.id, "n4");
        if (verbs[i].has_addrs) {
            assert_slice(request.member.peer_addr, "a:1");
            assert_slice(request.member.client_addr, "[::1]:65535");
        } else {
            assert_int_equal(request.member.peer_addr.len, 0);
        }
        if (verbs[i].type == WIRE_REQ_MEMBER_REPLACE)
            assert_slice(request.member.old, "n3");
        else
            assert_int_equal(request.member.old.len, 0);
        assert_false(request.member.learner);
        assert_false(request.member.dry_run);
        assert_false(request.member.force);
        assert_true(request.member.based_on == 0);
    }
    must_decode("{\"type\":\"member_remove\",\"id\":\"A-z_9\",\"learner\":true,\"dry_run\":true,"
                "\"force\":true,\"based_on\":1}");
    assert_true(request.member.learner);
    assert_true(request.member.dry_run);
    assert_true(request.member.force);
    assert_true(request.member.based_on == 1);
}

static void request__cluster(void **state)
{
    static const struct {
        const char *name;
        enum wire_request_type type;
    } plain[] = {{"ping", WIRE_REQ_PING},         {"status", WIRE_REQ_STATUS},
                 {"slow", WIRE_REQ_SLOW},         {"members", WIRE_REQ_MEMBERS},
                 {"snapshot", WIRE_REQ_SNAPSHOT}, {"transfer_leader", WIRE_REQ_TRANSFER_LEADER}};

    (void)state;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        char line[128];

        (void)snprintf(line, sizeof(line), "{\"type\":\"%s\",\"key\":[]}", plain[i].name);
        must_decode(line);
        assert_int_equal(request.type, plain[i].type);
        assert_null(request.to.data);
    }
    must_decode("{\"type\":\"snapshot_part\"}");
    assert_int_equal(request.type, WIRE_REQ_SNAPSHOT_PART);
    assert_int_equal(request.part.index, 0);
    assert_int_equal(request.part.offset, 0);
    must_decode("{\"type\":\"snapshot_part\",\"index\":9,\"term\":2,\"offset\":65536}");
    assert_int_equal(request.part.index, 9);
    assert_int_equal(request.part.term, 2);
    assert_int_equal(request.part.offset, 65536);
    must_decode("{\"type\":\"events\"}");
    assert_int_equal(request.type, WIRE_REQ_EVENTS);
    assert_int_equal(request.after, 0);
    assert_int_equal(request.limit, EVENTS_TOLD_DEFAULT);
    must_decode("{\"type\":\"events\",\"after\":9223372036854775807,\"limit\":320}");
    assert_int_equal(request.after, INT64_MAX);
    assert_int_equal(request.limit, EVENTS_KEPT_MAX);
    must_decode("{\"type\":\"transfer_leader\",\"to\":\"n2\"}");
    assert_slice(request.to, "n2");
    must_decode("{\"type\":\"auth\",\"msg_id\":1,\"token\":\"ridd_\\u0030\"}");
    assert_int_equal(request.type, WIRE_REQ_AUTH);
    assert_slice(request.token, "ridd_0");
    must_decode("{\"src\":\"c0\",\"dest\":\"n1\",\"body\":{\"type\":\"init\",\"msg_id\":1,\"node_"
                "id\":\"n1\","
                "\"node_ids\":[\"n1\",\"n2\",\"n3\"]}}");
    assert_int_equal(request.type, WIRE_REQ_INIT);
    assert_slice(request.node_id, "n1");
    assert_int_equal(request.n_node_ids, 3);
    assert_slice(request.node_ids[2], "n3");
}

static void request__envelopes(void **state)
{
    (void)state;
    must_decode("{\"id\":5,\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read_index\",\"msg_"
                "id\":9007199254740991,"
                "\"key\":\"x\"}}");
    assert_true(request.origin.envelope);
    assert_slice(request.origin.src, "c1");
    assert_slice(request.origin.dest, "n1");
    assert_true(request.origin.msg_id == ((uint64_t)1 << 53) - 1);
    /* A bare request may have fields of these names; an envelope may have a type. */
    must_decode("{\"type\":\"ping\",\"src\":\"c1\",\"body\":3}");
    assert_false(request.origin.envelope);
    must_decode("{\"type\":\"x\",\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"ping\"}}");
    assert_true(request.origin.envelope);
    assert_int_equal(request.type, WIRE_REQ_PING);
}

static void request__origins_are_copied(void **state)
{
    struct wire_origin copy;

    (void)state;
    must_decode("{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"ping\",\"msg_id\":4}}");
    assert_int_equal(wire_origin_copy(&request.origin, &copy), 0);
    must_decode("{\"src\":\"xx\",\"dest\":\"yy\",\"body\":{\"type\":\"ping\"}}");
    assert_true(copy.envelope && copy.has_msg_id && copy.msg_id == 4);
    assert_slice(copy.src, "c1");
    assert_slice(copy.dest, "n1");
    wire_origin_done(&copy);
    assert_null(copy.src.data);
    must_decode("{\"type\":\"ping\",\"msg_id\":5}");
    assert_int_equal(wire_origin_copy(&request.origin, &copy), 0);
    assert_true(!copy.envelope && copy.has_msg_id && copy.msg_id == 5);
    assert_null(copy.src.data);
    wire_origin_done(&copy);
}

static void request__unknown_types_are_named(void **state)
{
    (void)state;
    must_decode("{\"type\":\"fly\",\"msg_id\":4,\"timeout_ms\":\"wrong\"}");
    assert_int_equal(request.type, WIRE_REQ_UNKNOWN);
    assert_slice(request.type_name, "fly");
    assert_true(request.origin.has_msg_id);
    must_decode("{\"type\":\"\"}");
    assert_int_equal(request.type, WIRE_REQ_UNKNOWN);
    /* Names of our own that are no types. */
    must_decode("{\"type\":\"unknown\"}");
    assert_int_equal(request.type, WIRE_REQ_UNKNOWN);
    must_decode("{\"type\":\"none\"}");
    assert_int_equal(request.type, WIRE_REQ_UNKNOWN);
    must_decode("{\"src\":\"n2\",\"dest\":\"n1\",\"body\":{\"type\":\"peer\"}}");
    assert_int_equal(request.type, WIRE_REQ_UNKNOWN);
}

static void request__peer_types(void **state)
{
    static const char *const names[] = {"raft", "forward"};
    cleanup_buf struct buf b = BUF_INIT;

    (void)state;
    wire_decoder_set_peer_types(decoder, names, 2);
    must_decode("{\"src\":\"n2\",\"dest\":\"n1\",\"body\":{\"type\":\"raft\",\"frame\":\"abc\"}}");
    assert_int_equal(request.type, WIRE_REQ_PEER);
    assert_slice(request.origin.src, "n2");
    assert_string_equal(json_string_value(json_object_get((const json_t *)request.json, "frame")),
                        "abc");
    must_decode("{\"type\":\"raft\",\"frame\":\"abc\"}"); /* peers speak in envelopes */
    assert_int_equal(request.type, WIRE_REQ_UNKNOWN);
    /* Theirs may have more keys than a client's value. */
    assert_int_equal(
        buf_add_str(&b,
                    "{\"src\":\"n2\",\"dest\":\"n1\",\"body\":{\"type\":\"forward\",\"x\":{\"\":0"),
        0);
    for (unsigned i = 0; i < JSON_VALUE_KEYS_MAX; i++)
        assert_int_equal(buf_add_format(&b, ",\"%u\":0", i), 0);
    assert_int_equal(buf_add_str(&b, "}}}"), 0);
    assert_int_equal(decode_n((char *)b.data, b.len), 0);
    assert_int_equal(request.type, WIRE_REQ_PEER);
    wire_decoder_set_peer_types(decoder, NULL, 0);
    assert_int_equal(decode_n((char *)b.data, b.len), WIRE_REQUEST_REFUSED);
    assert_string_equal(refused.field, "x");
}

static void request__blank_lines_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(decode(""), WIRE_REQUEST_BLANK);
    assert_int_equal(decode(" "), WIRE_REQUEST_BLANK);
    assert_int_equal(decode("\r"), WIRE_REQUEST_BLANK);
    assert_int_equal(decode(" \t\r\n"), WIRE_REQUEST_BLANK);
    assert_int_equal(decode_n("\0", 1), WIRE_REQUEST_REFUSED);
    for (int i = 0; i <= WIRE_REQUEST_BLANK + 1; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(wire_request_outcome_text(i), wire_request_outcome_text(k));
}

/* ---- what is wrong ---- */

#define NO_ID UINT64_MAX

struct wrong {
    const char *line;
    const char *field;
    uint64_t limit;
    uint64_t msg_id; /* what the refusal carries */
};

#define MALFORMED_ID       (((uint64_t)1 << 53) - 1)
#define READ(rest)         "{\"msg_id\":7,\"type\":\"read_index\"," rest "}"
#define WRITE(rest)        "{\"msg_id\":7,\"type\":\"write\",\"key\":\"x\"," rest "}"
#define CAS(rest)          "{\"msg_id\":7,\"type\":\"cas\",\"key\":\"x\"," rest "}"
#define COMPARE(rest)      "{\"msg_id\":7,\"type\":\"compare_read_methods\"" rest "}"
#define BATCH(rest)        "{\"msg_id\":7,\"type\":\"batch_read_index\"" rest "}"
#define MEMBER(verb, rest) "{\"msg_id\":7,\"type\":\"member_" verb "\"" rest "}"
#define INIT(rest)         "{\"msg_id\":7,\"type\":\"init\"" rest "}"

static const struct wrong wrongs[] = {
    /* no JSON, no object */
    {"x", "", 0, NO_ID},
    {"{", "", 0, NO_ID},
    {"{\"type\":\"ping\"", "", 0, NO_ID},
    {"{\"type\":\"ping\",}", "", 0, NO_ID},
    {"{\"type\":\"ping\"} x", "", 0, NO_ID},
    {"{\"type\":\"ping\"}{}", "", 0, NO_ID},
    {"{'type':'ping'}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"msg_id\":01}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"msg_id\":+1}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"x\":NaN}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"x\":\"\xff\"}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"x\":\"\xc0\x80\"}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"x\":\"\xed\xa0\x80\"}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"x\":\"\\ud800\"}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"x\":\"a\tb\"}", "", 0, NO_ID},
    {"\xef\xbb\xbf{\"type\":\"ping\"}", "", 0, NO_ID},
    {"[]", "", 0, NO_ID},
    {"[{\"type\":\"ping\"}]", "", 0, NO_ID},
    {"\"ping\"", "", 0, NO_ID},
    {"17", "", 0, NO_ID},
    {"null", "", 0, NO_ID},
    /* what jansson would take but the protocol does not */
    {READ("\"key\":\"x\",\"key\":\"x\""), "", 0, NO_ID},
    {"{\"type\":\"ping\",\"x\":{\"a\":1,\"a\":1}}", "", 0, NO_ID},
    {"{\"type\":\"ping\",\"x\":{\"a\":1,\"\\u0061\":1}}", "", 0, NO_ID},
    {WRITE("\"value\":\"\\u0000\""), "", 0, NO_ID},
    {WRITE("\"value\":{\"a\\u0000\":1}"), "", 0, NO_ID},
    {READ("\"key\":\"\\u0000\""), "", 0, NO_ID},
    {WRITE("\"value\":9223372036854775808"), "", 0, NO_ID},
    {WRITE("\"value\":-9223372036854775809"), "", 0, NO_ID},
    {WRITE("\"value\":1e309"), "", 0, NO_ID},
    {WRITE("\"value\":[-1e309]"), "", 0, NO_ID},
    {WRITE("\"value\":1.7976931348623159e308"), "", 0, NO_ID},
    /* type and msg_id */
    {"{}", "type", 0, NO_ID},
    {"{\"msg_id\":7}", "type", 0, 7},
    {"{\"msg_id\":7,\"type\":null}", "type", 0, 7},
    {"{\"msg_id\":7,\"type\":3}", "type", 0, 7},
    {"{\"msg_id\":-1,\"type\":\"ping\"}", "msg_id", MALFORMED_ID, NO_ID},
    {"{\"msg_id\":9007199254740992,\"type\":\"ping\"}", "msg_id", MALFORMED_ID, NO_ID},
    {"{\"msg_id\":9223372036854775807,\"type\":\"ping\"}", "msg_id", MALFORMED_ID, NO_ID},
    {"{\"msg_id\":1.0,\"type\":\"ping\"}", "msg_id", MALFORMED_ID, NO_ID},
    {"{\"msg_id\":1e3,\"type\":\"ping\"}", "msg_id", MALFORMED_ID, NO_ID},
    {"{\"msg_id\":\"1\",\"type\":\"ping\"}", "msg_id", MALFORMED_ID, NO_ID},
    {"{\"msg_id\":null,\"type\":\"ping\"}", "msg_id", MALFORMED_ID, NO_ID},
    {"{\"msg_id\":true,\"type\":\"fly\"}", "msg_id", MALFORMED_ID, NO_ID},
    /* timeout_ms, verbose */
    {READ("\"key\":\"x\",\"timeout_ms\":0"), "timeout_ms", 60000, 7},
    {READ("\"key\":\"x\",\"timeout_ms\":-1"), "timeout_ms", 60000, 7},
    {READ("\"key\":\"x\",\"timeout_ms\":60001"), "timeout_ms", 60000, 7},
    {READ("\"key\":\"x\",\"timeout_ms\":4294967297"), "timeout_ms", 60000, 7},
    {READ("\"key\":\"x\",\"timeout_ms\":5.0"), "timeout_ms", 60000, 7},
    {READ("\"key\":\"x\",\"timeout_ms\":\"5\""), "timeout_ms", 60000, 7},
    {READ("\"key\":\"x\",\"timeout_ms\":null"), "timeout_ms", 60000, 7},
    {READ("\"key\":\"x\",\"verbose\":1"), "verbose", 0, 7},
    {READ("\"key\":\"x\",\"verbose\":\"true\""), "verbose", 0, 7},
    {READ("\"key\":\"x\",\"verbose\":null"), "verbose", 0, 7},
    /* key */
    {"{\"msg_id\":7,\"type\":\"read_index\"}", "key", 0, 7},
    {"{\"msg_id\":7,\"type\":\"read_via_log\"}", "key", 0, 7},
    {"{\"msg_id\":7,\"type\":\"events\",\"after\":-1}", "after", 0, 7},
    {"{\"msg_id\":7,\"type\":\"events\",\"after\":\"1\"}", "after", 0, 7},
    {"{\"msg_id\":7,\"type\":\"events\",\"after\":null}", "after", 0, 7},
    {"{\"msg_id\":7,\"type\":\"events\",\"limit\":0}", "limit", EVENTS_KEPT_MAX, 7},
    {"{\"msg_id\":7,\"type\":\"events\",\"limit\":321}", "limit", EVENTS_KEPT_MAX, 7},
    {"{\"msg_id\":7,\"type\":\"follower_read\"}", "key", 0, 7},
    {"{\"msg_id\":7,\"type\":\"lease_read\"}", "key", 0, 7},
    {"{\"msg_id\":7,\"type\":\"local_read\"}", "key", 0, 7},
    {"{\"msg_id\":7,\"type\":\"read\"}", "key", 0, 7},
    {"{\"msg_id\":7,\"type\":\"write\",\"value\":1}", "key", 0, 7},
    {"{\"msg_id\":7,\"type\":\"cas\",\"from\":1,\"to\":1}", "key", 0, 7},
    {"{\"msg_id\":7,\"type\":\"delete\"}", "key", 0, 7},
    {READ("\"key\":null"), "key", 0, 7},
    {READ("\"key\":1.0"), "key", 0, 7},
    {READ("\"key\":1e2"), "key", 0, 7},
    {READ("\"key\":true"), "key", 0, 7},
    {READ("\"key\":[\"x\"]"), "key", 0, 7},
    {READ("\"key\":{}"), "key", 0, 7},
    {READ("\"key\":\"\""), "key", 480, 7},
    /* keys */
    {BATCH(""), "keys", 0, 7},
    {BATCH(",\"keys\":[]"), "keys", 128, 7},
    {BATCH(",\"keys\":\"x\""), "keys", 128, 7},
    {BATCH(",\"keys\":{\"a\":1}"), "keys", 128, 7},
    {BATCH(",\"keys\":[\"a\",null]"), "keys[1]", 0, 7},
    {BATCH(",\"keys\":[\"a\",\"b\",\"\"]"), "keys[2]", 480, 7},
    {BATCH(",\"keys\":[1.5]"), "keys[0]", 0, 7},
    /* values */
    {"{\"msg_id\":7,\"type\":\"write\",\"key\":\"x\"}", "value", 0, 7},
    {CAS("\"from\":1"), "to", 0, 7},
    {CAS("\"to\":1"), "from", 0, 7},
    {CAS("\"from\":1,\"to\":1,\"create_if_not_exists\":1"), "create_if_not_exists", 0, 7},
    {CAS("\"from\":1,\"to\":1,\"create_if_not_exists\":null"), "create_if_not_exists", 0, 7},
    /* sessions */
    {WRITE("\"value\":1,\"client\":\"5\""), "seq", 0, 7},
    {WRITE("\"value\":1,\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":5,\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"0\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"05\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"+5\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"-5\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"5 \",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"0x5\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"18446744073709551616\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"518446744073709551616\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"000000000000000000005\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"50000000000000000000x\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"99999999999999999999\",\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":null,\"seq\":5"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"5\",\"seq\":0"), "seq", INT64_MAX, 7},
    {WRITE("\"value\":1,\"client\":\"5\",\"seq\":-1"), "seq", INT64_MAX, 7},
    {WRITE("\"value\":1,\"client\":\"5\",\"seq\":1.0"), "seq", INT64_MAX, 7},
    {WRITE("\"value\":1,\"client\":\"5\",\"seq\":\"1\""), "seq", INT64_MAX, 7},
    {CAS("\"from\":1,\"to\":1,\"client\":\"5\""), "seq", 0, 7},
    {WRITE("\"value\":1,\"first\":1"), "client", 0, 7},
    {WRITE("\"value\":1,\"client\":\"5\",\"first\":1"), "seq", 0, 7},
    {WRITE("\"value\":1,\"client\":\"5\",\"seq\":5,\"first\":0"), "first", 5, 7},
    {WRITE("\"value\":1,\"client\":\"5\",\"seq\":5,\"first\":6"), "first", 5, 7},
    {WRITE("\"value\":1,\"client\":\"5\",\"seq\":5,\"first\":\"1\""), "first", 5, 7},
    {"{\"msg_id\":7,\"type\":\"delete\",\"key\":\"x\",\"seq\":5}", "client", 0, 7},
    /* via */
    {"{\"msg_id\":7,\"type\":\"read\",\"key\":\"x\",\"via\":\"quorum\"}", "via", 0, 7},
    {"{\"msg_id\":7,\"type\":\"read\",\"key\":\"x\",\"via\":\"\"}", "via", 0, 7},
    {"{\"msg_id\":7,\"type\":\"read\",\"key\":\"x\",\"via\":\"Log\"}", "via", 0, 7},
    {"{\"msg_id\":7,\"type\":\"read\",\"key\":\"x\",\"via\":\"lease_read\"}", "via", 0, 7},
    {"{\"msg_id\":7,\"type\":\"read\",\"key\":\"x\",\"via\":null}", "via", 0, 7},
    {"{\"msg_id\":7,\"type\":\"read\",\"key\":\"x\",\"via\":[\"log\"]}", "via", 0, 7},
    /* compare */
    {COMPARE(""), "num_reads", 0, 7},
    {COMPARE(",\"num_reads\":0"), "num_reads", 100000, 7},
    {COMPARE(",\"num_reads\":100001"), "num_reads", 100000, 7},
    {COMPARE(",\"num_reads\":4294967297"), "num_reads", 100000, 7},
    {COMPARE(",\"num_reads\":\"1\""), "num_reads", 100000, 7},
    {COMPARE(",\"num_reads\":1,\"concurrency\":0"), "concurrency", 128, 7},
    {COMPARE(",\"num_reads\":1,\"concurrency\":129"), "concurrency", 128, 7},
    {COMPARE(",\"num_reads\":1,\"methods\":\"lease_read\""), "methods", 0, 7},
    {COMPARE(",\"num_reads\":1,\"methods\":null"), "methods", 0, 7},
    {COMPARE(",\"num_reads\":1,\"methods\":{\"lease_read\":true}"), "methods", 0, 7},
    {COMPARE(",\"num_reads\":1,\"methods\":[\"lease_read\",\"lease\"]"), "methods", 0, 7},
    {COMPARE(",\"num_reads\":1,\"methods\":[1]"), "methods", 0, 7},
    {COMPARE(",\"num_reads\":1,\"only\":true"), "methods", 0, 7},
    {COMPARE(",\"num_reads\":1,\"only\":1,\"methods\":[\"local_read\"]"), "only", 0, 7},
    {COMPARE(",\"num_reads\":1,\"cost\":null"), "cost", 0, 7},
    {COMPARE(",\"num_reads\":1,\"max_stale_ms\":0"), "max_stale_ms", 86400000, 7},
    /* names of nodes */
    {"{\"msg_id\":7,\"type\":\"transfer_leader\",\"to\":null}", "to", 63, 7},
    {"{\"msg_id\":7,\"type\":\"transfer_leader\",\"to\":\"\"}", "to", 63, 7},
    {"{\"msg_id\":7,\"type\":\"transfer_leader\",\"to\":2}", "to", 63, 7},
    {"{\"msg_id\":7,\"type\":\"auth\"}", "token", 0, 7},
    {"{\"msg_id\":7,\"type\":\"auth\",\"token\":\"\"}", "token", 128, 7},
    {"{\"msg_id\":7,\"type\":\"auth\",\"token\":[\"ridd_0\"]}", "token", 128, 7},
    {INIT(",\"node_ids\":[\"n1\"]"), "node_id", 0, 7},
    {INIT(",\"node_id\":1,\"node_ids\":[\"n1\"]"), "node_id", 63, 7},
    {INIT(",\"node_id\":\"n1\""), "node_ids", 0, 7},
    {INIT(",\"node_id\":\"n1\",\"node_ids\":[]"), "node_ids", 16, 7},
    {INIT(",\"node_id\":\"n1\",\"node_ids\":\"n1\""), "node_ids", 16, 7},
    {INIT(",\"node_id\":\"n1\",\"node_ids\":[\"n1\",7]"), "node_ids[1]", 63, 7},
    /* changes of the members */
    {MEMBER("remove", ""), "id", 0, 7},
    {MEMBER("remove", ",\"id\":\"\""), "id", 63, 7},
    {MEMBER("remove", ",\"id\":4"), "id", 63, 7},
    {MEMBER("remove", ",\"id\":\"a b\""), "id", 63, 7},
    {MEMBER("remove", ",\"id\":\"../x\""), "id", 63, 7},
    {MEMBER("remove", ",\"id\":\"n\xc3\xa4\""), "id", 63, 7},
    {MEMBER("remove", ",\"id\":\"n1\",\"force\":1"), "force", 0, 7},
    {MEMBER("remove", ",\"id\":\"n1\",\"dry_run\":null"), "dry_run", 0, 7},
    {MEMBER("remove", ",\"id\":\"n1\",\"learner\":\"yes\""), "learner", 0, 7},
    {MEMBER("remove", ",\"id\":\"n1\",\"based_on\":0"), "based_on", RAFT_INDEX_MAX, 7},
    {MEMBER("remove", ",\"id\":\"n1\",\"based_on\":-1"), "based_on", RAFT_INDEX_MAX, 7},
    {MEMBER("add", ",\"id\":\"n1\""), "peer_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"a:1\""), "client_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":7"), "peer_addr", 262, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"\""), "peer_addr", 262, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"a\""), "peer_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\":1\""), "peer_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"a:\""), "peer_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"a:0\""), "peer_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"a:65536\""), "peer_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"a:123456\""), "peer_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"a b:1\""), "peer_addr", 0, 7},
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"\xc3\xa4:1\""), "peer_addr", 0, 7},
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"a\\u0001:1\""), "peer_addr", 0, 7},
    /* MEMBER-23 */
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"a:b:1\""), "peer_addr", 0, 7},
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"[::1:1\""), "peer_addr", 0, 7},
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"[a]:1\""), "peer_addr", 0, 7},
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"10.0.0:1\""), "peer_addr", 0, 7},
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"a:01\""), "peer_addr", 0, 7},
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"0.0.0.0:1\""), "peer_addr", 0, 7},
    {MEMBER("set_addr", ",\"id\":\"n1\",\"peer_addr\":\"[::]:1\""), "peer_addr", 0, 7},
    {MEMBER("add", ",\"id\":\"n1\",\"peer_addr\":\"a:1\",\"client_addr\":\"a/:1\""), "client_addr",
     0, 7},
    {MEMBER("replace",
            ",\"id\":\"n1\",\"peer_addr\":\"a:1\",\"client_addr\":\"0.0.0.0:1\",\"old\":\"b\""),
     "client_addr", 0, 7},
    {MEMBER("replace", ",\"id\":\"n1\",\"peer_addr\":\"a:1\",\"client_addr\":\"a:2\""), "old", 0,
     7},
    {MEMBER("replace", ",\"id\":\"n1\",\"peer_addr\":\"a:1\",\"client_addr\":\"a:2\",\"old\":\"\""),
     "old", 63, 7},
    /* envelopes */
    {"{\"src\":\"c1\"}", "dest", 0, NO_ID},
    {"{\"dest\":\"n1\",\"body\":{\"msg_id\":7,\"type\":\"ping\"}}", "src", 0, 7},
    {"{\"src\":\"c1\",\"body\":{\"msg_id\":7,\"type\":\"ping\"}}", "dest", 0, 7},
    {"{\"src\":1,\"dest\":\"n1\",\"body\":{\"msg_id\":7,\"type\":\"ping\"}}", "src", 255, 7},
    {"{\"src\":\"c1\",\"dest\":\"\",\"body\":{\"msg_id\":7,\"type\":\"ping\"}}", "dest", 255, 7},
    {"{\"src\":\"c1\",\"dest\":\"n1\"}", "body", 0, NO_ID},
    {"{\"src\":\"c1\",\"dest\":\"n1\",\"body\":\"ping\"}", "body", 0, NO_ID},
    {"{\"src\":\"c1\",\"dest\":\"n1\",\"body\":[]}", "body", 0, NO_ID},
    {"{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"msg_id\":7}}", "type", 0, 7},
    {"{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"msg_id\":7,\"type\":\"read_index\"}}", "key", 0,
     7},
};

/* Texts are for people: one sentence without a full stop that names the field and the limit. */
static void assert_text(const char *line)
{
    char number[32];
    size_t n = strlen(refused.text);

    if (n == 0 || n >= sizeof(refused.text) - 1 || refused.text[n - 1] == '.')
        fail_msg("%s: text '%s'", line, refused.text);
    if (refused.field[0] != '\0' && strstr(refused.text, refused.field) == NULL)
        fail_msg("%s: '%s' does not name '%s'", line, refused.text, refused.field);
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)refused.limit);
    if (refused.limit != 0 && strstr(refused.text, number) == NULL)
        fail_msg("%s: '%s' does not name %s", line, refused.text, number);
}

static void request__everything_wrong_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        const struct wrong *w = &wrongs[i];
        int r = decode(w->line);

        if (r != 1 || refused.error != WIRE_ERROR_MALFORMED)
            fail_msg("%s: got %d", w->line, r);
        if (strcmp(refused.field, w->field) != 0 || refused.limit != w->limit)
            fail_msg("%s: field '%s' limit %llu", w->line, refused.field,
                     (unsigned long long)refused.limit);
        if (refused.origin.has_msg_id != (w->msg_id != NO_ID) ||
            (w->msg_id != NO_ID && refused.origin.msg_id != w->msg_id))
            fail_msg("%s: msg_id", w->line);
        assert_text(w->line);
    }
}

static void request__a_refusal_in_an_envelope_goes_back(void **state)
{
    (void)state;
    assert_int_equal(
        decode("{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"msg_id\":7,\"type\":\"read_index\"}}"),
        1);
    assert_true(refused.origin.envelope);
    assert_slice(refused.origin.src, "c1");
    assert_slice(refused.origin.dest, "n1");
    assert_int_equal(decode("{\"src\":\"c1\",\"dest\":\"n1\",\"body\":7}"), WIRE_REQUEST_REFUSED);
    assert_true(refused.origin.envelope);
    assert_int_equal(decode("{\"dest\":\"n1\",\"body\":{\"msg_id\":7,\"type\":\"ping\"}}"),
                     WIRE_REQUEST_REFUSED);
    assert_false(refused.origin.envelope); /* nobody to send it to */
}

/* ---- limits ---- */

static void add_repeated(struct buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_add_str(b, s), 0);
}

/* Decodes head, n times the unit, tail. */
static int decode_repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    cleanup_buf struct buf b = BUF_INIT;

    add_repeated(&b, head, 1);
    add_repeated(&b, unit, n);
    add_repeated(&b, tail, 1);
    return decode_n((const char *)b.data, b.len);
}

static void request__key_length(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const char *head =
            i == 0 ? "{\"type\":\"read_index\",\"msg_id\":7,\"key\":\"" /* fast */
                   : "{\"verbose\":true,\"type\":\"read_index\",\"msg_id\":7,\"key\":\"";

        assert_int_equal(decode_repeated(head, "k", KEY_STRING_BYTES_MAX, "\"}"), 0);
        assert_int_equal(request.key.len, KEY_BYTES_MAX);
        assert_int_equal(decode_repeated(head, "k", KEY_STRING_BYTES_MAX + 1, "\"}"),
                         WIRE_REQUEST_REFUSED);
        assert_int_equal(refused.limit, KEY_STRING_BYTES_MAX);
        assert_true(refused.origin.has_msg_id);
        assert_text("a long key");
        /* Bytes count, not characters. */
        assert_int_equal(decode_repeated(head, "\xc3\xa4", KEY_STRING_BYTES_MAX / 2, "\"}"), 0);
        assert_int_equal(decode_repeated(head, "\xc3\xa4", KEY_STRING_BYTES_MAX / 2 + 1, "\"}"),
                         WIRE_REQUEST_REFUSED);
        assert_int_equal(decode_repeated(head, "\\u00e4", KEY_STRING_BYTES_MAX / 2, "\"}"), 0);
    }
    assert_int_equal(decode(READ("\"key\":9223372036854775807")), 0);
    assert_true(wire_key_get_int(&request.key) == INT64_MAX);
    assert_int_equal(decode(READ("\"key\":-9223372036854775808")), 0);
    assert_true(wire_key_get_int(&request.key) == INT64_MIN);
}

static void request__value_size(void **state)
{
    const char *write = "{\"type\":\"write\",\"msg_id\":7,\"key\":\"x\",\"value\":\"";
    const char *cas = "{\"type\":\"cas\",\"msg_id\":7,\"key\":\"x\",\"from\":1,\"to\":\"";

    (void)state;
    assert_int_equal(decode_repeated(write, "v", VALUE_BYTES_MAX - 2, "\"}"), 0);
    assert_int_equal(request.value.len, VALUE_BYTES_MAX);
    assert_int_equal(decode_repeated(write, "v", VALUE_BYTES_MAX - 1, "\"}"), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.error, WIRE_ERROR_TOO_LARGE);
    assert_int_equal(refused.limit, VALUE_BYTES_MAX);
    assert_string_equal(refused.field, "value");
    assert_true(refused.origin.has_msg_id);
    assert_text("a large value");
    assert_int_equal(decode_repeated(cas, "v", VALUE_BYTES_MAX - 1, "\"}"), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.error, WIRE_ERROR_TOO_LARGE);
    assert_string_equal(refused.field, "to");
    /* The compact text counts: an escape that is not needed costs nothing, and white space neither.
     */
    assert_int_equal(decode_repeated(write, "\\/", VALUE_BYTES_MAX - 2, "\"}"), 0);
    assert_int_equal(decode_repeated(write, "\\/", VALUE_BYTES_MAX - 1, "\"}"),
                     WIRE_REQUEST_REFUSED);
    assert_int_equal(decode_repeated("{\"type\":\"write\",\"key\":\"x\",\"value\":[1", " ",
                                     VALUE_BYTES_MAX, "]}"),
                     0);
    assert_slice(request.value, "[1]");
}

static void request__depth(void **state)
{
    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        cleanup_buf struct buf b = BUF_INIT;
        unsigned levels = JSON_DEPTH_MAX - 1 + extra; /* the request object is a level */

        add_repeated(&b, "{\"msg_id\":7,\"type\":\"write\",\"key\":\"x\",\"value\":", 1);
        add_repeated(&b, "[", levels);
        add_repeated(&b, "]", levels);
        add_repeated(&b, ",\"note\":\"[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[\\\\\"}", 1);
        assert_int_equal(decode_n((char *)b.data, b.len), (int)extra);
    }
    assert_int_equal(refused.error, WIRE_ERROR_MALFORMED);
    assert_int_equal(refused.limit, JSON_DEPTH_MAX);
    assert_false(refused.origin.has_msg_id);
    assert_text("a deep line");
    /* The envelope is a level, too. */
    assert_int_equal(
        decode("{\"src\":\"c\",\"dest\":\"n\",\"body\":{\"type\":\"write\",\"key\":\"x\",\"value\":"
               "[[[[[[[[[[[[[[]]]]]]]]]]]]]]}}"),
        0);
    assert_int_equal(
        decode("{\"src\":\"c\",\"dest\":\"n\",\"body\":{\"type\":\"write\",\"key\":\"x\",\"value\":"
               "[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}}"),
        1);
    /* Far beyond what a recursive parser survives. */
    assert_int_equal(decode_repeated("", "[", 1000000, ""), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.limit, JSON_DEPTH_MAX);
    assert_int_equal(decode_repeated("", "{\"a\":", 200000, ""), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.limit, JSON_DEPTH_MAX);
    assert_int_equal(decode("]]][[]]"), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.limit, 0);
    /* Closing more than was opened opens nothing. */
    assert_int_equal(decode_repeated("]]]]", "[", 17, ""), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.limit, JSON_DEPTH_MAX);
}

static int decode_with_keys(const char *head, unsigned n, const char *tail)
{
    cleanup_buf struct buf b = BUF_INIT;

    add_repeated(&b, head, 1);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(buf_add_format(&b, ",\"k%u\":0", i), 0);
    add_repeated(&b, tail, 1);
    return decode_n((char *)b.data, b.len);
}

static void request__counts_of_keys(void **state)
{
    const char *const bare = "{\"type\":\"ping\",\"msg_id\":7";
    const char *const body =
        "{\"src\":\"c\",\"dest\":\"n\",\"body\":{\"type\":\"ping\",\"msg_id\":7";
    const char *const envelope =
        "{\"src\":\"c\",\"dest\":\"n\",\"body\":{\"type\":\"ping\",\"msg_id\":7}";
    const char *const value = "{\"type\":\"write\",\"msg_id\":7,\"key\":\"x\",\"value\":{\"\":0";
    const char *const other = "{\"type\":\"ping\",\"msg_id\":7,\"other\":[{\"\":{}";

    (void)state;
    assert_int_equal(decode_with_keys(bare, JSON_REQUEST_KEYS_MAX - 2, "}"), 0);
    assert_int_equal(decode_with_keys(bare, JSON_REQUEST_KEYS_MAX - 1, "}"), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.limit, JSON_REQUEST_KEYS_MAX);
    assert_true(refused.origin.has_msg_id);
    assert_text("many keys");
    assert_int_equal(decode_with_keys(body, JSON_REQUEST_KEYS_MAX - 2, "}}"), 0);
    assert_int_equal(decode_with_keys(body, JSON_REQUEST_KEYS_MAX - 1, "}}"), WIRE_REQUEST_REFUSED);
    assert_true(refused.origin.has_msg_id && refused.origin.envelope);
    assert_int_equal(decode_with_keys(envelope, JSON_REQUEST_KEYS_MAX - 3, "}"), 0);
    assert_int_equal(decode_with_keys(envelope, JSON_REQUEST_KEYS_MAX - 2, "}"),
                     WIRE_REQUEST_REFUSED);
    assert_true(refused.origin.has_msg_id && refused.origin.envelope);
    assert_text("many keys in the envelope");

    assert_int_equal(decode_with_keys(value, JSON_VALUE_KEYS_MAX - 1, "}}"), 0);
    assert_int_equal(decode_with_keys(value, JSON_VALUE_KEYS_MAX, "}}"), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.error, WIRE_ERROR_MALFORMED);
    assert_string_equal(refused.field, "value");
    assert_int_equal(refused.limit, JSON_VALUE_KEYS_MAX);
    assert_true(refused.origin.has_msg_id);
    assert_text("many keys in a value");
    assert_int_equal(decode_with_keys(other, JSON_VALUE_KEYS_MAX - 1, "}]}"), 0);
    assert_int_equal(decode_with_keys(other, JSON_VALUE_KEYS_MAX, "}]}"), WIRE_REQUEST_REFUSED);
    assert_string_equal(refused.field, "other");
}

/* The name of the field is from outside: it is cut between characters. */
static void request__a_long_field_name_is_cut(void **state)
{
    (void)state;
    for (size_t n_ascii = 1; n_ascii <= 2; n_ascii++) {
        cleanup_buf struct buf b = BUF_INIT;

        add_repeated(&b, "{\"type\":\"ping\",\"", 1);
        add_repeated(&b, "x", n_ascii);
        add_repeated(&b, "\xc3\xa4", 100);
        add_repeated(&b, "\":{\"\":0", 1);
        assert_int_equal(buf_add_u8(&b, 0), 0);
        assert_int_equal(decode_with_keys((const char *)b.data, JSON_VALUE_KEYS_MAX, "}}"),
                         WIRE_REQUEST_REFUSED);
        assert_int_equal(strlen(refused.field), n_ascii == 1 ? 63 : 62);
        assert_memory_equal(refused.field + strlen(refused.field) - 2, "\xc3\xa4", 2);
        assert_text("a long name");
    }
}

static void request__counts_of_items(void **state)
{
    const char *const batch = "{\"type\":\"batch_read_index\",\"keys\":[1";
    const char *const init = "{\"type\":\"init\",\"node_id\":\"n\",\"node_ids\":[\"n\"";

    (void)state;
    assert_int_equal(decode_repeated(batch, ",\"k\"", BATCH_KEYS_MAX - 1, "]}"), 0);
    assert_int_equal(request.n_keys, BATCH_KEYS_MAX);
    assert_int_equal(decode_repeated(batch, ",\"k\"", BATCH_KEYS_MAX, "]}"), WIRE_REQUEST_REFUSED);
    assert_string_equal(refused.field, "keys");
    assert_int_equal(decode_repeated(init, ",\"m\"", RAFT_SERVERS_MAX - 1, "]}"), 0);
    assert_int_equal(decode_repeated(init, ",\"m\"", RAFT_SERVERS_MAX, "]}"), WIRE_REQUEST_REFUSED);
    assert_string_equal(refused.field, "node_ids");
    assert_int_equal(
        decode_repeated("{\"type\":\"auth\",\"token\":\"", "t", AUTH_TOKEN_BYTES_MAX, "\"}"), 0);
    assert_int_equal(
        decode_repeated("{\"type\":\"auth\",\"token\":\"", "t", AUTH_TOKEN_BYTES_MAX + 1, "\"}"),
        WIRE_REQUEST_REFUSED);
    assert_null(strstr(refused.text, "tt")); /* ACCESS-12 */
    assert_int_equal(
        decode_repeated("{\"type\":\"transfer_leader\",\"to\":\"", "n", NODE_NAME_BYTES_MAX, "\"}"),
        0);
    assert_int_equal(decode_repeated("{\"type\":\"transfer_leader\",\"to\":\"", "n",
                                     NODE_NAME_BYTES_MAX + 1, "\"}"),
                     1);
    assert_int_equal(
        decode_repeated("{\"dest\":\"n\",\"body\":{\"type\":\"ping\"},\"src\":\"", "c", 255, "\"}"),
        0);
    assert_int_equal(
        decode_repeated("{\"dest\":\"n\",\"body\":{\"type\":\"ping\"},\"src\":\"", "c", 256, "\"}"),
        1);
}

/* WIRE-3: any number of keys costs linear time, and is then refused. */
static void request__a_line_full_of_keys_is_refused(void **state)
{
    (void)state;
    assert_int_equal(decode_with_keys("{\"type\":\"ping\"", 80000, "}"), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.limit, JSON_REQUEST_KEYS_MAX);
}

/* ---- the two decoders ---- */

static struct wire_request by_fast;

static bool same_slice(struct wire_slice a, struct wire_slice b)
{
    return (a.data == NULL) == (b.data == NULL) && a.len == b.len &&
           (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void assert_same_request(const char *line, size_t len)
{
    const struct wire_request *f = &by_fast;
    const struct wire_request *j = &request;
    bool same =
        f->type == j->type && f->type_name.len == j->type_name.len &&
        memcmp(f->type_name.data, j->type_name.data, f->type_name.len) == 0 &&
        f->origin.envelope == j->origin.envelope && f->origin.has_msg_id == j->origin.has_msg_id &&
        (!f->origin.has_msg_id || f->origin.msg_id == j->origin.msg_id) &&
        f->verbose == j->verbose && f->timeout_ms == j->timeout_ms && f->key.len == j->key.len &&
        memcmp(f->key.bytes, j->key.bytes, f->key.len) == 0 && f->n_keys == j->n_keys &&
        same_slice(f->value, j->value) && same_slice(f->from, j->from) && f->via == j->via &&
        f->create_if_not_exists == j->create_if_not_exists && f->min_index == j->min_index &&
        f->cluster.data == j->cluster.data && f->max_stale_ms == j->max_stale_ms &&
        f->scan == j->scan && f->num_reads == j->num_reads && f->concurrency == j->concurrency &&
        f->methods == j->methods && f->has_session == j->has_session && f->client == j->client &&
        f->seq == j->seq && f->first == j->first && f->to.data == j->to.data &&
        f->node_id.data == j->node_id.data && f->n_node_ids == j->n_node_ids;

    if (!same)
        fail_msg("the decoders differ: %.*s", (int)len, line);
}

/* Whatever the fast decoder accepts, the full one accepts with the same result. */
static bool hold_against_each_other(const char *line, size_t len)
{
    if (!wire_request_decode_fast(fast_decoder, line, len, &by_fast))
        return false;
    if (wire_request_decode_json(decoder, line, len, &request, &refused) != 0)
        fail_msg("only the fast decoder takes %.*s", (int)len, line);
    assert_same_request(line, len);
    return true;
}

static void fast__takes_the_common_lines(void **state)
{
    static const struct {
        const char *line;
        bool fast;
    } cases[] = {
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"}", true},
        {"{\"key\":\"x\",\"msg_id\":9007199254740991,\"type\":\"read_index\"}\r\n", true},
        {" { \"type\" : \"local_read\" , \"key\" : \"a b/c\" } ", true},
        {"{\"type\":\"read\",\"key\":0}", true},
        {"{\"type\":\"read_via_log\",\"key\":999999999999999999}", true},
        {"{\"type\":\"read_index\",\"msg_id\":9007199254740992,\"key\":\"x\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":01,\"key\":\"x\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1.0,\"key\":\"x\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"msg_id\":1,\"key\":\"x\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\",}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"}}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"\\u0041\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"\xc3\xa4\"}", true},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"\xc0\xa4\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"1234567\x1f\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":-1}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":9999999999999999999}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1}", false},
        {"{\"type\":\"status\",\"msg_id\":1}", true},
        {"{\"msg_id\":7,\"type\":\"ping\"}", true},
        {"{\"type\":\"members\"}", true},
        {"{\"type\":\"init\",\"msg_id\":1}", false},
        {"{\"type\":\"transfer_leader\",\"msg_id\":1}", false},
        {"{\"type\":\"nothing\",\"msg_id\":1}", false},
        {"{\"msg_id\":1}", false},
        {"{\"type\":\"write\",\"msg_id\":1,\"key\":\"x\"}", false},
        {"{\"type\":\"delete\",\"msg_id\":1,\"key\":\"x\"}", true},
        {"{\"type\":\"write\",\"msg_id\":1,\"key\":\"x\",\"value\":\"y\"}", true},
        {"{\"value\":-7,\"key\":3,\"type\":\"write\",\"verbose\":true,\"timeout_ms\":60000}", true},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":-0}", true},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":01}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":[1.50,{\"a\":\"\\u00e4\\/\"},1e3]}", true},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":{\"a\":1,\"a\":1}}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":\"\\u0000\"}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":1,\"value\":1}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":1,\"to\":1}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":1,\"timeout_ms\":0}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":1,\"timeout_ms\":60001}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":1,\"client\":\"7\",\"seq\":2}", true},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":1,\"client\":\"07\",\"seq\":2}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":1,\"client\":\"7\"}", false},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":1,\"seq\":7}", false},
        {"{\"type\":\"delete\",\"key\":\"x\",\"client\":\"9999999999999999999\",\"seq\":3,"
         "\"first\":3}",
         true},
        {"{\"type\":\"delete\",\"key\":\"x\",\"client\":\"7\",\"seq\":3,\"first\":4}", false},
        {"{\"type\":\"cas\",\"key\":\"x\",\"from\":\"a\",\"to\":null,\"create_if_not_exists\":"
         "true}",
         true},
        {"{\"type\":\"cas\",\"key\":\"x\",\"to\":[false],\"from\":true}", true},
        {"{\"type\":\"cas\",\"key\":\"x\",\"to\":1}", false},
        {"{\"type\":\"open_session\",\"msg_id\":1}", true},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}", true},
        {"{\"type\":\"write\",\"key\":\"x\",\"value\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", false},
        {"{\"type\":\"ping\",\"msg_id\":1,\"key\":\"x\"}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\",\"verbose\":true}", true},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\",\"verbose\":1}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\",\"value\":1}", false},
        {"{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\",\"body\":1}", false},
        {"{}", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (hold_against_each_other(cases[i].line, strlen(cases[i].line)) != cases[i].fast)
            fail_msg("%s", cases[i].line);
}

/* ---- lines near the common shapes ---- */

struct choice {
    const char *const *of;
    unsigned n_good; /* the first ones */
    unsigned n;
};

static void add_choice(struct prng *p, struct buf *b, struct choice c)
{
    const unsigned n = prng_below(p, 5) > 0 ? c.n_good : c.n;

    assert_int_equal(buf_add_str(b, c.of[prng_below(p, n)]), 0);
}

static void add_space(struct prng *p, struct buf *b)
{
    static const char *const spaces[] = {"", "", "", "", " ", "\t", "\r\n", "  "};

    assert_int_equal(buf_add_str(b, spaces[prng_below(p, 8)]), 0);
}

#define CHOICE(array, good) ((struct choice){array, good, sizeof(array) / sizeof(array[0])})

static const char *const random_types[] = {"\"read_index\"",
                                           "\"read_via_log\"",
                                           "\"follower_read\"",
                                           "\"lease_read\"",
                                           "\"local_read\"",
                                           "\"read\"",
                                           "\"write\"",
                                           "\"write\"",
                                           "\"write\"",
                                           "\"cas\"",
                                           "\"cas\"",
                                           "\"delete\"",
                                           "\"open_session\"",
                                           "\"ping\"",
                                           "\"read_inde\"",
                                           "\"writes\"",
                                           "\"\"",
                                           "7",
                                           "\"wr\\u0069te\"",
                                           "\"scan\""};
static const char *const random_keys[] = {"\"x\"",
                                          "\"abc def\"",
                                          "\"3\"",
                                          "3",
                                          "0",
                                          "-1",
                                          "00",
                                          "1.5",
                                          "\"\"",
                                          "null",
                                          "\"a\\\"b\"",
                                          "\"\xc3\xa4\"",
                                          "\"\x7f\"",
                                          "123456789012345678",
                                          "\"k\xf0\x9f\x98\x80ley\"",
                                          "1234567890123456789"};
static const char *const random_ids[] = {
    "0", "1", "77", "9007199254740991", "9007199254740992", "-0", "1e1", "\"1\"", "01"};
/* All that JSON has, beside what is too long for one of these. */
static const char *const random_atoms[] = {
    "\"\"", "\"y\"", "\"a longer text of some thirty bytes\"", "0", "-1", "17", "true", "false",
    "null", "123456789012345678", "9223372036854775807", "-9223372036854775808", "1.0", "-0",
    "-0.0", "1e3", "1E+22", "5e-324", "0.1", "1.50", "\"\xc3\xa4\"", "\"\\u00e4\"",
    "\"\\\"\\\\\\/\\b\\n\"", "\"\\ud83d\\ude00\"", "\"\x7f\"", "[]", "{}", "\"\xe2\x82\xac uro\"",
    /* from here on they are wrong */
    "9223372036854775808", "1e400", "01", "-", "-01", "1.", ".5", "+1", "1e", "tru", "nul", "NaN",
    "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\\u0000\"", "\"\\ud800\"", "\"\\x\"",
    "\"\n\"", "{\"a\":1,\"a\":2}", "[1,]", "{\"a\"}", "", "truefalse"};
static const char *const random_numbers[] = {"1",   "2",    "3",     "60000", "9223372036854775807",
                                             "0",   "-1",   "60001", "01",    "9223372036854775808",
                                             "1.0", "null", "\"1\""};
static const char *const random_clients[] = {"\"1\"",
                                             "\"7\"",
                                             "\"9999999999999999999\"",
                                             "\"18446744073709551615\"",
                                             "\"18446744073709551616\"",
                                             "\"0\"",
                                             "\"07\"",
                                             "7",
                                             "\"\"",
                                             "\"7 \""};
static const char *const random_bools[] = {"true", "false", "1", "null", "truE", "\"true\""};
#define N_GOOD_ATOMS 28u

static void random_value(struct prng *p, struct buf *b, unsigned depth)
{
    const uint64_t what = prng_below(p, depth > 0 ? 6 : 5);
    const bool is_object = prng_below(p, 2) == 0;
    const uint64_t n = prng_below(p, 4);

    if (what < 5) {
        add_choice(p, b,
                   (struct choice){random_atoms, N_GOOD_ATOMS,
                                   prng_below(p, 8) > 0
                                       ? N_GOOD_ATOMS
                                       : sizeof(random_atoms) / sizeof(random_atoms[0])});
        return;
    }
    assert_int_equal(buf_add_str(b, is_object ? "{" : "["), 0);
    for (uint64_t i = 0; i < n; i++) {
        add_space(p, b);
        if (i > 0)
            assert_int_equal(buf_add_str(b, ","), 0);
        add_space(p, b);
        if (is_object) /* one in sixteen twice */
            assert_int_equal(buf_add_format(b, "\"m%u\"%s:", (unsigned)(prng_below(p, 16) ? i : 0),
                                            prng_below(p, 8) ? "" : " "),
                             0);
        random_value(p, b, depth - 1);
    }
    add_space(p, b);
    assert_int_equal(buf_add_str(b, is_object ? "}" : "]"), 0);
}

#define N_MEMBERS 12u

static void random_member(struct prng *p, struct buf *b, unsigned which, const char *type)
{
    static const char *const names[N_MEMBERS] = {
        "type",   "key", "value", "from",       "to",      "msg_id",
        "client", "seq", "first", "timeout_ms", "verbose", "create_if_not_exists"};

    assert_int_equal(buf_add_format(b, "\"%s\"", names[which]), 0);
    add_space(p, b);
    assert_int_equal(buf_add_str(b, ":"), 0);
    add_space(p, b);
    if (which == 0 && prng_below(p, 5) > 0)
        assert_int_equal(buf_add_format(b, "\"%s\"", type), 0);
    else if (which == 0)
        add_choice(p, b, CHOICE(random_types, 14));
    else if (which == 1)
        add_choice(p, b, CHOICE(random_keys, 5));
    else if (which <= 4)
        random_value(p, b, 3);
    else if (which == 5)
        add_choice(p, b, CHOICE(random_ids, 4));
    else if (which == 6)
        add_choice(p, b, CHOICE(random_clients, 4));
    else if (which <= 9)
        add_choice(p, b, CHOICE(random_numbers, 4));
    else
        add_choice(p, b, CHOICE(random_bools, 2));
    add_space(p, b);
}

/* What a type needs, mostly; what it may have, sometimes; then in any order. */
static unsigned choose_members(struct prng *p, unsigned ret[2 * N_MEMBERS], const char **ret_type)
{
    static const struct {
        const char *type;
        unsigned n;
        unsigned members[5];
    } shapes[] = {{"read_index", 3, {0, 1, 5}},  {"write", 4, {0, 1, 2, 5}},
                  {"write", 5, {0, 1, 2, 6, 7}}, {"cas", 4, {0, 1, 3, 4}},
                  {"delete", 2, {0, 1}},         {"ping", 2, {0, 5}}};
    const uint64_t shape = prng_below(p, 6);
    unsigned n = 0;

    *ret_type = shapes[shape].type;
    for (unsigned i = 0; i < shapes[shape].n; i++)
        if (prng_below(p, 20) > 0)
            ret[n++] = shapes[shape].members[i];
    for (unsigned i = 2; i < N_MEMBERS; i++)
        if (prng_below(p, 32) == 0) /* perhaps for the second time */
            ret[n++] = i;
    for (unsigned i = n; i > 1; i--) {
        const unsigned j = (unsigned)prng_below(p, i);
        const unsigned m = ret[i - 1];

        ret[i - 1] = ret[j];
        ret[j] = m;
    }
    return n;
}

static void random_line(struct prng *p, struct buf *b)
{
    unsigned members[2 * N_MEMBERS];
    const char *type;
    const unsigned n = choose_members(p, members, &type);

    b->len = 0;
    add_space(p, b);
    assert_int_equal(buf_add_str(b, "{"), 0);
    add_space(p, b);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            assert_int_equal(buf_add_str(b, ","), 0);
        add_space(p, b);
        random_member(p, b, members[i], type);
    }
    assert_int_equal(buf_add_str(b, "}"), 0);
    add_space(p, b);
}

static void mutate(struct prng *p, struct buf *b)
{
    static const char alphabet[] =
        "{}[]\":,\\ 0123456789-.+eEtypekmsg_idrewavlu/\n\x01\x7f\xc3\xa4";
    size_t at = prng_below(p, b->len);

    switch (prng_below(p, 5)) {
    case 0:
        b->data[at] = (unsigned char)alphabet[prng_below(p, sizeof(alphabet))];
        break;
    case 1:
        b->data[at] ^= (unsigned char)(1u << prng_below(p, 8));
        break;
    case 2:
        memmove(b->data + at, b->data + at + 1, b->len - at - 1);
        b->len--;
        break;
    case 3:
        assert_int_equal(buf_add_u8(b, 0), 0);
        memmove(b->data + at + 1, b->data + at, b->len - at - 1);
        b->data[at] = (unsigned char)alphabet[prng_below(p, sizeof(alphabet))];
        break;
    default:
        b->len = at + 1;
        break;
    }
}

static void fast__agrees_with_the_full_decoder(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct prng p;
    unsigned n_fast = 0;
    unsigned n_fast_mutated = 0;

    const char *runs = getenv("RIDD_WIRE_LINES");
    const unsigned n = runs != NULL ? (unsigned)strtoul(runs, NULL, 10) : 60000;

    (void)state;
    prng_init(&p, 11);
    for (unsigned i = 0; i < n; i++) {
        random_line(&p, &b);
        n_fast += hold_against_each_other((char *)b.data, b.len);
        for (uint64_t m = 1 + prng_below(&p, 2); m > 0 && b.len > 1; m--)
            mutate(&p, &b);
        n_fast_mutated += hold_against_each_other((char *)b.data, b.len);
    }
    /* Both sides of the question were asked. */
    assert_true(n_fast > n / 6 && n_fast < n - n / 6);
    assert_true(n_fast_mutated > n / 60);
}

/* Every text that is cut off anywhere is refused, and every refusal can be printed. */
static void request__cut_at_every_byte(void **state)
{
    static const char *const lines[] = {
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"cas\",\"msg_id\":9,\"key\":"
        "\"k\\u00e4\",\"from\":[1.5e3,-0],"
        "\"to\":{\"a\":\"\\\"\"},\"create_if_not_exists\":true,\"client\":\"12\",\"seq\":3}}",
        "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"}",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t len = 1; len < strlen(lines[i]); len++) {
            cleanup_buf struct buf b = BUF_INIT;
            json_t *reply;

            assert_int_equal(decode_n(lines[i], len), WIRE_REQUEST_REFUSED);
            assert_int_equal(wire_reply_refused(&b, &refused, false, 0, 3), 0);
            reply = json_loadb((char *)b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
            assert_int_equal(json_integer_value(json_object_get(reply, "code")), 12);
            assert_int_equal(json_integer_value(json_object_get(reply, "line")), 3);
            json_decref(reply);
        }
        must_decode(lines[i]);
    }
}

/* What was sent is called what it is. */
static void wire_request__wrong_text_is_named(void **state)
{
    static const struct {
        const char *line;
        size_t len;
        const char *text;
    } cases[] = {
        {"{\"type\":\"ping\",\"x\":\"\\ud800\"}", 0, "half of a surrogate pair stands alone"},
        {"{\"type\":\"ping\",\"x\":\"\\udc00\\ud800\"}", 0,
         "half of a surrogate pair stands alone"},
        {"\xff\xfe{\0}\0", 6, "UTF-16, not UTF-8"},
        {"{\0}\0", 4, "UTF-16, not UTF-8"},
        {"\0{\0}", 4, "UTF-16, not UTF-8"},
        {"{\"type\":ping}", 0, "not JSON"},
    };
    struct wire_decoder *d = NULL;

    (void)state;
    assert_int_equal(wire_decoder_new(&d), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = cases[i].len != 0 ? cases[i].len : strlen(cases[i].line);
        struct wire_refused why = {0};
        struct wire_request q;

        assert_int_equal(wire_request_decode(d, cases[i].line, len, &q, &why),
                         WIRE_REQUEST_REFUSED);
        if (strstr(why.text, cases[i].text) != why.text)
            fail_msg("case %zu: %s", i, why.text);
    }
    wire_decoder_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire_request__wrong_text_is_named),
        cmocka_unit_test(request__reads_of_one_key),
        cmocka_unit_test(request__via),
        cmocka_unit_test(request__writes),
        cmocka_unit_test(request__batch),
        cmocka_unit_test(request__compare),
        cmocka_unit_test(request__cluster),
        cmocka_unit_test(request__envelopes),
        cmocka_unit_test(request__origins_are_copied),
        cmocka_unit_test(request__unknown_types_are_named),
        cmocka_unit_test(request__peer_types),
        cmocka_unit_test(request__blank_lines_are_ignored),
        cmocka_unit_test(request__everything_wrong_is_malformed),
        cmocka_unit_test(request__a_refusal_in_an_envelope_goes_back),
        cmocka_unit_test(request__key_length),
        cmocka_unit_test(request__value_size),
        cmocka_unit_test(request__depth),
        cmocka_unit_test(request__counts_of_keys),
        cmocka_unit_test(request__a_long_field_name_is_cut),
        cmocka_unit_test(request__counts_of_items),
        cmocka_unit_test(request__changes_of_the_members),
        cmocka_unit_test(request__a_line_full_of_keys_is_refused),
        cmocka_unit_test(fast__takes_the_common_lines),
        cmocka_unit_test(fast__agrees_with_the_full_decoder),
        cmocka_unit_test(request__cut_at_every_byte),
    };

    return cmocka_run_group_tests_name("wire-request", tests, setup, teardown);
}
