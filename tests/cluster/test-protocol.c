/* ridd-protocol(7), sentence by sentence, against real nodes: exact replies and the order of their
 * fields, every error that a client can provoke, every limit, and what is no protocol at all. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/limits.h"
#include "cluster/harness.h"

#include "base/banned.h"

static struct cluster *one;   /* shared by the cases */
static struct cluster *three; /* shared; every case leaves it whole */

static int setup(void **state)
{
    (void)state;
    one = cluster_up(1, NULL);
    three = cluster_up(3, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_free(one);
    cluster_free(three);
    return 0;
}

#define ERROR(id, code, name, definite, more)                                                      \
    "{\"type\":\"error\",\"in_reply_to\":" #id ",\"code\":" #code                                  \
    ",\"text\":<s>,\"error\":\"" name "\",\"definite\":" #definite more "}"
/* Without a msg_id. */
#define ERROR_BARE(code, name, more)                                                               \
    "{\"type\":\"error\",\"code\":" #code ",\"text\":<s>,\"error\":\"" name                        \
    "\",\"definite\":true" more "}"

/* ---- requests and replies ---- */

/* First: nobody has taken a msg_id of this node yet. */
CASE(protocol__envelopes)
{
    struct client *cl = client_open(one, 0);

    /* A counter of the node's own, the last field of the body, src and dest swapped. */
    client_expect(cl,
                  "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"write\",\"msg_id\":7,"
                  "\"key\":\"e\",\"value\":\"42\"}}",
                  "{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{\"type\":\"write_ok\","
                  "\"in_reply_to\":7,\"msg_id\":0}}");
    client_expect(cl,
                  "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read_index\",\"msg_id\":8,"
                  "\"key\":\"e\"}}",
                  "{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{\"type\":\"read_index_ok\","
                  "\"in_reply_to\":8,\"value\":\"42\",\"read_at_index\":<n>,"
                  "\"heartbeat_confirmed\":true,\"linearizable\":true,\"msg_id\":1}}");
    /* Without msg_id no in_reply_to; a bare request takes no number. */
    client_expect(cl, "{\"type\":\"read\",\"key\":\"e\"}",
                  "{\"type\":\"read_ok\",\"value\":\"42\"}");
    client_expect(cl, "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read\",\"key\":\"e\"}}",
                  "{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{\"type\":\"read_ok\",\"value\":\"42\","
                  "\"msg_id\":2}}");
    client_expect(cl,
                  "{\"dest\":\"x\",\"body\":{\"key\":\"none\",\"type\":\"read\",\"msg_id\":9},"
                  "\"src\":\"y\",\"id\":3}",
                  "{\"src\":\"x\",\"dest\":\"y\",\"body\":{\"type\":\"error\",\"in_reply_to\":9,"
                  "\"code\":20,\"text\":<s>,\"error\":\"key_not_found\",\"definite\":true,"
                  "\"index\":<n>,\"msg_id\":3}}");
    client_expect(cl,
                  "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read_via_log\","
                  "\"msg_id\":10,\"key\":\"e\"}}",
                  "{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{\"type\":\"read_via_log_ok\","
                  "\"in_reply_to\":10,\"value\":\"42\",\"log_index_used\":<n>,\"latency_ms\":<n>,"
                  "\"msg_id\":4}}");
    client_expect(cl,
                  "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"compare_read_methods\","
                  "\"msg_id\":11,\"num_reads\":3}}",
                  "{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{\"type\":\"compare_read_methods_ok\","
                  "\"in_reply_to\":11,\"read_index_avg_ms\":<n>,\"read_via_log_avg_ms\":<n>,"
                  "\"both_linearizable\":true,\"msg_id\":5}}");
    client_expect(cl, "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"sing\",\"msg_id\":12}}",
                  "{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{\"type\":\"error\",\"in_reply_to\":12,"
                  "\"code\":10,\"text\":<s>,\"error\":\"not_supported\",\"definite\":true,"
                  "\"request_type\":\"sing\",\"msg_id\":6}}");
    client_expect(cl, "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read\",\"msg_id\":13}}",
                  "{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{\"type\":\"error\",\"in_reply_to\":13,"
                  "\"code\":12,\"text\":<s>,\"error\":\"malformed\",\"definite\":true,"
                  "\"field\":\"key\",\"msg_id\":7}}");
    client_close(cl);
}

CASE(protocol__reads)
{
    struct client *cl = client_open(one, 0);

    client_expect(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"x\",\"value\":\"42\"}",
                  "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"}",
                  "{\"type\":\"read_index_ok\",\"in_reply_to\":1,\"value\":\"42\","
                  "\"read_at_index\":<n>,\"heartbeat_confirmed\":true,\"linearizable\":true}");
    client_expect(cl, "{\"type\":\"read_via_log\",\"msg_id\":2,\"key\":\"x\"}",
                  "{\"type\":\"read_via_log_ok\",\"in_reply_to\":2,\"value\":\"42\","
                  "\"log_index_used\":<n>,\"latency_ms\":<n>}");
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":3,\"key\":\"no such\"}",
                  "{\"type\":\"read_index_ok\",\"in_reply_to\":3,\"value\":null,"
                  "\"read_at_index\":<n>,\"heartbeat_confirmed\":true,\"linearizable\":true}");
    client_expect(cl, "{\"type\":\"read_via_log\",\"msg_id\":4,\"key\":\"no such\"}",
                  "{\"type\":\"read_via_log_ok\",\"in_reply_to\":4,\"value\":null,"
                  "\"log_index_used\":<n>,\"latency_ms\":<n>}");
    client_expect(
        cl, "{\"type\":\"batch_read_index\",\"msg_id\":5,\"keys\":[\"no such\",\"x\",7,\"x\"]}",
        "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":5,\"values\":["
        "{\"key\":\"no such\",\"value\":null},{\"key\":\"x\",\"value\":\"42\"},"
        "{\"key\":7,\"value\":null},{\"key\":\"x\",\"value\":\"42\"}],"
        "\"read_at_index\":<n>,\"heartbeat_confirmed\":true,\"linearizable\":true}");
    client_expect(cl, "{\"type\":\"local_read\",\"msg_id\":6,\"key\":\"x\"}",
                  "{\"type\":\"local_read_ok\",\"in_reply_to\":6,\"value\":\"42\","
                  "\"applied_index\":<n>,\"linearizable\":false}");
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":7,\"key\":\"x\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":7,\"value\":\"42\"}");
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":8,\"key\":\"x\",\"via\":\"read_index\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":8,\"value\":\"42\"}");
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":9,\"key\":\"x\",\"via\":\"log\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":9,\"value\":\"42\"}");
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":10,\"key\":\"x\",\"via\":\"local\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":10,\"value\":\"42\"}");
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":11,\"key\":\"no such\"}",
                  ERROR(11, 20, "key_not_found", true, ",\"index\":<n>"));
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":12,\"key\":\"no such\",\"via\":\"log\"}",
                  ERROR(12, 20, "key_not_found", true, ",\"index\":<n>"));
    /* Unknown fields are ignored. */
    client_expect(cl, "{\"color\":[1,{}],\"type\":\"read\",\"msg_id\":13,\"key\":\"x\",\"src\":1}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":13,\"value\":\"42\"}");
    client_close(cl);
}

CASE(protocol__verbose)
{
    struct client *cl = client_open(one, 0);

    client_expect(cl,
                  "{\"type\":\"write\",\"msg_id\":1,\"key\":\"v\",\"value\":null,\"verbose\":true}",
                  "{\"type\":\"write_ok\",\"in_reply_to\":1,\"index\":<n>}");
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":2,\"key\":\"v\",\"verbose\":true}",
                  "{\"type\":\"read_index_ok\",\"in_reply_to\":2,\"value\":null,"
                  "\"read_at_index\":<n>,\"heartbeat_confirmed\":true,\"linearizable\":true,"
                  "\"exists\":true,<*>}");
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":3,\"key\":\"no such\",\"verbose\":true}",
                  "{\"type\":\"read_index_ok\",\"in_reply_to\":3,\"value\":null,"
                  "\"read_at_index\":<n>,\"heartbeat_confirmed\":true,\"linearizable\":true,"
                  "\"exists\":false,<*>}");
    client_expect(cl, "{\"type\":\"read_via_log\",\"msg_id\":4,\"key\":\"v\",\"verbose\":true}",
                  "{\"type\":\"read_via_log_ok\",\"in_reply_to\":4,\"value\":null,"
                  "\"log_index_used\":<n>,\"latency_ms\":<n>,\"exists\":true,<*>}");
    client_expect(
        cl, "{\"type\":\"cas\",\"msg_id\":5,\"key\":\"v\",\"from\":null,\"to\":1,\"verbose\":true}",
        "{\"type\":\"cas_ok\",\"in_reply_to\":5,\"index\":<n>}");
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":6,\"key\":\"v\",\"verbose\":false}",
                  "{\"type\":\"read_index_ok\",\"in_reply_to\":6,\"value\":1,\"read_at_index\":<n>,"
                  "\"heartbeat_confirmed\":true,\"linearizable\":true}");
    client_expect(
        cl, "{\"type\":\"compare_read_methods\",\"msg_id\":7,\"num_reads\":5,\"verbose\":true}",
        "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":7,"
        "\"read_index_avg_ms\":<n>,\"read_via_log_avg_ms\":<n>,"
        "\"both_linearizable\":true,<*>\"p50<*>p95<*>p99<*>max<*>}");
    client_close(cl);
}

CASE(protocol__writes)
{
    struct client *cl = client_open(one, 0);

    client_expect(cl,
                  "{\"type\":\"write\",\"msg_id\":1,\"key\":\"w\",\"value\":{\"a\":1,\"b\":[2]}}",
                  "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    client_expect(
        cl, "{\"type\":\"cas\",\"msg_id\":2,\"key\":\"w\",\"from\":{\"b\":[2],\"a\":1},\"to\":2}",
        "{\"type\":\"cas_ok\",\"in_reply_to\":2}");
    client_expect(cl, "{\"type\":\"cas\",\"msg_id\":3,\"key\":\"w\",\"from\":2.0,\"to\":3}",
                  ERROR(3, 22, "precondition_failed", true, ",\"index\":<n>"));
    client_expect(cl, "{\"type\":\"cas\",\"msg_id\":4,\"key\":\"w0\",\"from\":2,\"to\":3}",
                  ERROR(4, 20, "key_not_found", true, ",\"index\":<n>"));
    client_expect(cl,
                  "{\"type\":\"cas\",\"msg_id\":5,\"key\":\"w0\",\"from\":2,\"to\":3,"
                  "\"create_if_not_exists\":true}",
                  "{\"type\":\"cas_ok\",\"in_reply_to\":5}");
    client_expect(cl,
                  "{\"type\":\"cas\",\"msg_id\":6,\"key\":\"w0\",\"from\":2,\"to\":3,"
                  "\"create_if_not_exists\":true}",
                  ERROR(6, 22, "precondition_failed", true, ",\"index\":<n>"));
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":7,\"key\":\"w0\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":7,\"value\":3}");
    client_expect(cl, "{\"type\":\"delete\",\"msg_id\":8,\"key\":\"w0\"}",
                  "{\"type\":\"delete_ok\",\"in_reply_to\":8,\"existed\":true}");
    client_expect(cl, "{\"type\":\"delete\",\"msg_id\":9,\"key\":\"w0\"}",
                  "{\"type\":\"delete_ok\",\"in_reply_to\":9,\"existed\":false}");
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":10,\"key\":\"w0\"}",
                  "{\"type\":\"read_index_ok\",\"in_reply_to\":10,\"value\":null,<*>}");
    client_expect(
        cl,
        "{\"type\":\"write\",\"msg_id\":11,\"key\":\"w\",\"value\":1,\"client\":\"999999\","
        "\"seq\":1}",
        ERROR(11, 13, "session_expired", false, ",\"client\":\"999999\""));
    client_close(cl);
}

/* What this version may lack it says so; what it has must have the form that the text gives it. */
static void expect_either(struct client *cl, const char *line, const char *good, const char *error)
{
    const char *reply = client_ask(cl, line);

    if (!pattern_matches(good, reply) && !pattern_matches(error, reply))
        harness_fail("neither '%s' nor '%s': %s", good, error, reply);
}

#define NOT_SUPPORTED(id, type)                                                                    \
    ERROR(id, 10, "not_supported", true, ",\"request_type\":\"" type "\"")

CASE(protocol__optional_requests)
{
    struct client *cl = client_open(one, 0);

    client_expect(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"o\",\"value\":5}",
                  "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    expect_either(cl, "{\"type\":\"follower_read\",\"msg_id\":2,\"key\":\"o\"}",
                  "{\"type\":\"follower_read_ok\",\"in_reply_to\":2,\"value\":5,"
                  "\"read_at_index\":<n>,\"served_by\":\"n1\",\"linearizable\":true}",
                  NOT_SUPPORTED(2, "follower_read"));
    expect_either(cl, "{\"type\":\"lease_read\",\"msg_id\":3,\"key\":\"o\"}",
                  "{\"type\":\"lease_read_ok\",\"in_reply_to\":3,\"value\":5,\"read_at_index\":<n>,"
                  "\"lease_valid\":<*>,\"linearizable\":true}",
                  NOT_SUPPORTED(3, "lease_read"));
    expect_either(cl, "{\"type\":\"read\",\"msg_id\":6,\"key\":\"o\",\"via\":\"lease\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":6,\"value\":5}", NOT_SUPPORTED(6, "read"));
    expect_either(cl, "{\"type\":\"read\",\"msg_id\":7,\"key\":\"o\",\"via\":\"follower\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":7,\"value\":5}", NOT_SUPPORTED(7, "read"));
    client_expect(cl, "{\"type\":\"init\",\"msg_id\":8,\"node_id\":\"n1\",\"node_ids\":[\"n1\"]}",
                  NOT_SUPPORTED(8, "init"));
    client_expect(cl, "{\"type\":\"sing\",\"msg_id\":9}", NOT_SUPPORTED(9, "sing"));
    client_expect(cl, "{\"type\":\"sing\"}",
                  ERROR_BARE(10, "not_supported", ",\"request_type\":\"sing\""));
    client_close(cl);
}

static const char *ask_in_session(struct client *cl, const char *client, const char *what)
{
    return client_askf(cl, "{%s,\"msg_id\":5,\"key\":\"s\",\"client\":\"%s\",\"verbose\":true}",
                       what, client);
}

static void repeat(struct client *cl, const char *client, const char *what, const char *first)
{
    const char *again = ask_in_session(cl, client, what);

    if (strcmp(again, first) != 0)
        harness_fail("'%s' was answered by '%s', at first by '%s'", what, again, first);
}

/* SESSION-1: a repetition has the first answer, on the node that leads now, and after all nodes were
 * killed. */
CASE(protocol__sessions)
{
    static const char *const writes[] = {
        "\"type\":\"write\",\"value\":1,\"seq\":1",
        "\"type\":\"cas\",\"from\":1,\"to\":2,\"seq\":2,\"first\":1",
        "\"type\":\"cas\",\"from\":1,\"to\":3,\"seq\":3",
        "\"type\":\"delete\",\"seq\":4",
        "\"type\":\"delete\",\"seq\":5",
        "\"type\":\"cas\",\"from\":1,\"to\":3,\"seq\":6",
    };
    static const char *const replies[] = {
        "{\"type\":\"write_ok\",\"in_reply_to\":5,\"index\":<n>}",
        "{\"type\":\"cas_ok\",\"in_reply_to\":5,\"index\":<n>}",
        ERROR(5, 22, "precondition_failed", true, ",\"index\":<n>"),
        "{\"type\":\"delete_ok\",\"in_reply_to\":5,\"existed\":true,\"index\":<n>}",
        "{\"type\":\"delete_ok\",\"in_reply_to\":5,\"existed\":false,\"index\":<n>}",
        ERROR(5, 20, "key_not_found", true, ",\"index\":<n>"),
    };
    enum { N = sizeof(writes) / sizeof(writes[0]) };
    char first[N][300];
    unsigned leader = cluster_leader(three);
    struct client *cl = client_open(three, leader);
    char name[32];
    json_t *opened;

    opened = client_ask_json(cl, "{\"type\":\"open_session\"}");
    (void)snprintf(name, sizeof(name), "%s", json_string_value(json_object_get(opened, "client")));
    json_decref(opened);
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(first[i], sizeof(first[i]), "%s", ask_in_session(cl, name, writes[i]));
        if (!pattern_matches(replies[i], first[i]))
            harness_fail("%s: %s", writes[i], first[i]);
    }
    client_expect(cl, "{\"type\":\"write\",\"msg_id\":9,\"key\":\"s\",\"value\":7}",
                  "{\"type\":\"write_ok\",\"in_reply_to\":9}");
    for (unsigned i = 0; i < N; i++)
        repeat(cl, name, writes[i], first[i]);
    /* Elsewhere, and from the disk. */
    client_close(cl);
    for (unsigned i = 0; i < 3; i++)
        node_kill(three, i);
    for (unsigned i = 0; i < 3; i++)
        node_start(three, i);
    cl = client_open(three, cluster_leader(three));
    for (unsigned i = 0; i < N; i++)
        repeat(cl, name, writes[i], first[i]);
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":9,\"key\":\"s\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":9,\"value\":7}");
    client_expect(cl, "{\"type\":\"status\",\"msg_id\":9}",
                  "<*>\"sessions\":{\"n\":1,\"bytes\":<n>,\"evicted\":0}<*>");
    client_close(cl);
}

CASE(protocol__cluster_requests)
{
    struct client *cl = client_open(one, 0);
    char pattern[512];

    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":1}",
                  "{\"type\":\"pong\",\"in_reply_to\":1,\"node\":\"n1\",\"role\":\"leader\","
                  "\"term\":<n>,\"applied_index\":<n>}");
    client_expect(
        cl, "{\"type\":\"status\",\"msg_id\":2}",
        "{\"type\":\"status_ok\",\"in_reply_to\":2,\"node\":\"n1\",\"cluster\":\"test\","
        "\"version\":<s>,\"role\":\"leader\",\"term\":<n>,\"leader_id\":\"n1\","
        "\"serving\":true,\"commit_index\":<n>,\"applied_index\":<n>,\"last_log_index\":<n>,"
        "\"durable_index\":<n>,\"peers\":[],\"reads\":{<*>},\"writes\":{<*>},<*>"
        "\"log\":{<*>}<*>}");
    (void)snprintf(pattern, sizeof(pattern),
                   "{\"type\":\"members_ok\",\"in_reply_to\":3,\"members\":[{\"id\":\"n1\","
                   "\"role\":\"voter\",\"peer_addr\":\"%s\",\"client_addr\":\"%s\"}]"
                   ",\"configuration_index\":1,\"committed\":true,\"removed\":[],\"changes\":[],"
                   "\"last_task\":null}",
                   one->nodes[0].peer_addr, one->nodes[0].addr);
    client_expect(cl, "{\"type\":\"members\",\"msg_id\":3}", pattern);
    client_expect(cl, "{\"type\":\"transfer_leader\",\"msg_id\":4,\"to\":\"n1\"}",
                  "{\"type\":\"transfer_leader_ok\",\"in_reply_to\":4,\"leader_id\":\"n1\"}");
    client_expect(cl, "{\"type\":\"transfer_leader\",\"msg_id\":5}",
                  ERROR(5, 12, "malformed", true, ",\"field\":\"to\""));
    client_expect(cl, "{\"type\":\"transfer_leader\",\"msg_id\":6,\"to\":\"n9\"}",
                  ERROR(6, 12, "malformed", true, ",\"field\":\"to\""));
    client_expect(cl, "{\"type\":\"snapshot\",\"msg_id\":8}",
                  "{\"type\":\"snapshot_ok\",\"in_reply_to\":8,\"index\":<n>,\"making\":<*>}");
    wait_until(({
                   json_t *status = node_status(one, 0);
                   bool made = json_integer_value(json_object_get(
                                   json_object_get(status, "snapshots"), "index")) > 0;

                   json_decref(status);
                   made;
               }),
               "a snapshot");
    client_expect(
        cl, "{\"type\":\"events\",\"msg_id\":13,\"after\":1,\"limit\":1}",
        "{\"type\":\"events_ok\",\"in_reply_to\":13,\"node\":\"n1\",\"began\":<s>,"
        "\"oldest\":1,\"missed\":0,\"next\":2,\"events\":[{\"seq\":2,\"ts\":<s>,\"level\":<s>,"
        "\"event\":<s>,\"term\":<n>,\"role\":<s>,\"text\":<s>}]}");
    client_expect(cl, "{\"type\":\"events\",\"msg_id\":14,\"limit\":321}",
                  ERROR(14, 12, "malformed", true, ",\"field\":\"limit\",\"limit\":320"));
    client_expect(cl, "{\"type\":\"snapshot_part\",\"msg_id\":9}",
                  "{\"type\":\"snapshot_part_ok\",\"in_reply_to\":9,\"index\":<n>,\"term\":<n>,"
                  "\"offset\":0,\"bytes\":<n>,\"part\":<s>,\"crc32c\":<n>,\"last\":<*>}");
    client_expect(cl, "{\"type\":\"snapshot_part\",\"msg_id\":10,\"index\":1,\"term\":99}",
                  ERROR(10, 12, "malformed", true, ",\"field\":\"index\""));
    client_expect(cl, "{\"type\":\"snapshot_part\",\"msg_id\":11,\"offset\":1099511627776}",
                  ERROR(11, 12, "malformed", true, ",\"field\":\"offset\""));
    client_expect(cl, "{\"type\":\"snapshot_part\",\"msg_id\":12,\"index\":1}",
                  ERROR(12, 12, "malformed", true, ",\"field\":\"term\""));
    client_expect(cl, "{\"type\":\"compare_read_methods\",\"msg_id\":7,\"num_reads\":10}",
                  "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":7,"
                  "\"read_index_avg_ms\":<n>,\"read_via_log_avg_ms\":<n>,"
                  "\"both_linearizable\":true}");
    client_close(cl);
}

/* ---- values and keys ---- */

CASE(protocol__values_come_back_equal)
{
    static const struct {
        const char *value;
        const char *back; /* NULL: the same */
    } values[] = {
        {"null", NULL},
        {"true", NULL},
        {"false", NULL},
        {"0", NULL},
        {"-1", NULL},
        {"9223372036854775807", NULL},
        {"-9223372036854775808", NULL},
        {"9007199254740993", NULL},
        {"0.1", NULL},
        {"1.0", NULL},
        {"2.50", "2.5"},
        {"0.30000000000000004", NULL},
        {"\"\"", NULL},
        {"\"a\\\"b\\\\c\"", NULL},
        {"\"\\u00e9\\u4e2d\\ud83d\\ude00\"", "\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\""},
        {"\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"", NULL},
        {"[]", NULL},
        {"{}", NULL},
        {"{\"z\":1,\"a\":2,\"m\":{\"y\":[],\"b\":null}}", NULL},
        {"[1, 2.0, \"x\", [true], {\"k\" : false}]", "[1,2.0,\"x\",[true],{\"k\":false}]"},
        {"\"\\u0001\\n\\t\"", NULL}, /* compared as JSON below */
        {"1e300", NULL},
        {"5e-324", NULL},
        {"-0.0", NULL},
    };
    struct client *cl = client_open(one, 0);

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const char *back = values[i].back != NULL ? values[i].back : values[i].value;
        cleanup_free char *ask = NULL;
        json_t *reply;
        json_t *want;

        assert_true(asprintf(&ask, "{\"type\":\"write\",\"key\":\"val\",\"value\":%s}",
                             values[i].value) > 0);
        client_expect(cl, ask, "{\"type\":\"write_ok\"}");
        client_send(cl, "{\"type\":\"read\",\"key\":\"val\"}");
        if (i < 20) {
            cleanup_free char *pattern = NULL;

            assert_true(asprintf(&pattern, "{\"type\":\"read_ok\",\"value\":%s}", back) > 0);
            client_expect_reply(cl, pattern);
            continue;
        }
        reply = client_recv_json(cl);
        want = json_loads(back, JSON_DECODE_ANY, NULL);
        assert_non_null(want);
        if (!json_equal(json_object_get(reply, "value"), want))
            harness_fail("%s does not come back", back);
        json_decref(want);
        json_decref(reply);
    }
    client_close(cl);
}

CASE(protocol__keys)
{
    struct client *cl = client_open(one, 0);
    char key[512];
    char ask[1024];

    client_expect(cl, "{\"type\":\"write\",\"key\":3,\"value\":\"int\"}",
                  "{\"type\":\"write_ok\"}");
    client_expect(cl, "{\"type\":\"write\",\"key\":\"3\",\"value\":\"str\"}",
                  "{\"type\":\"write_ok\"}");
    client_expect(cl, "{\"type\":\"read\",\"key\":3}", "{\"type\":\"read_ok\",\"value\":\"int\"}");
    client_expect(cl, "{\"type\":\"read\",\"key\":\"3\"}",
                  "{\"type\":\"read_ok\",\"value\":\"str\"}");
    client_expect(cl, "{\"type\":\"write\",\"key\":-9223372036854775808,\"value\":1}",
                  "{\"type\":\"write_ok\"}");
    client_expect(cl, "{\"type\":\"write\",\"key\":9223372036854775807,\"value\":2}",
                  "{\"type\":\"write_ok\"}");
    client_expect(cl,
                  "{\"type\":\"batch_read_index\",\"keys\":[-9223372036854775808,"
                  "9223372036854775807]}",
                  "{\"type\":\"batch_read_index_ok\",\"values\":[{\"key\":-9223372036854775808,"
                  "\"value\":1},{\"key\":9223372036854775807,\"value\":2}],<*>}");
    memset(key, 'k', sizeof(key));
    (void)snprintf(ask, sizeof(ask), "{\"type\":\"write\",\"key\":\"%.480s\",\"value\":480}", key);
    client_expect(cl, ask, "{\"type\":\"write_ok\"}");
    (void)snprintf(ask, sizeof(ask), "{\"type\":\"read\",\"key\":\"%.480s\"}", key);
    client_expect(cl, ask, "{\"type\":\"read_ok\",\"value\":480}");
    (void)snprintf(ask, sizeof(ask), "{\"type\":\"read\",\"msg_id\":1,\"key\":\"%.481s\"}", key);
    client_expect(cl, ask, ERROR(1, 12, "malformed", true, ",\"field\":\"key\",\"limit\":480"));
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":2,\"key\":\"\"}",
                  ERROR(2, 12, "malformed", true, ",\"field\":\"key\",\"limit\":480"));
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":3,\"key\":1.5}",
                  ERROR(3, 12, "malformed", true, ",\"field\":\"key\""));
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":4,\"key\":null}",
                  ERROR(4, 12, "malformed", true, ",\"field\":\"key\""));
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":5}",
                  ERROR(5, 12, "malformed", true, ",\"field\":\"key\""));
    client_expect(cl, "{\"type\":\"batch_read_index\",\"msg_id\":6,\"keys\":[\"a\",true]}",
                  ERROR(6, 12, "malformed", true, ",\"field\":\"keys[1]\""));
    client_close(cl);
}

/* ---- what is refused ---- */

CASE(protocol__malformed_lines)
{
    /* No msg_id can be read: the number of the line. */
    static const char *const lines[] = {
        "{",
        "hello",
        "[]",
        "7",
        "\"x\"",
        "null",
        "{} {}",
        "{\"type\":\"ping\"}}",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":{\"b\":1,\"b\":2}}",
        "{\"type\":\"write\",\"key\":\"a\\u0000b\",\"value\":1}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":\"\\u0000\"}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":9223372036854775808}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":-9223372036854775809}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":1e999}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":\"\xff\"}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":\"\xc0\x80\"}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":\"\\ud800\"}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":NaN}",
        "{\"type\":\"write\",\"key\":\"a\",\"value\":01}",
        "{'type':'ping'}",
    };
    struct client *cl = client_open(one, 0);
    char pattern[256];
    unsigned n = 0;

    for (; n < sizeof(lines) / sizeof(lines[0]); n++) {
        (void)snprintf(pattern, sizeof(pattern), ERROR_BARE(12, "malformed", "<*>,\"line\":%u"),
                       n + 1);
        client_expect(cl, lines[n], pattern);
    }
    client_send_raw(cl, "{\"type\":\"ping\0\"}\n", 17); /* a raw NUL */
    (void)snprintf(pattern, sizeof(pattern), ERROR_BARE(12, "malformed", "<*>,\"line\":%u"), n + 1);
    client_expect_reply(cl, pattern);
    client_expect(cl, "{\"msg_id\":1}", ERROR(1, 12, "malformed", true, ",\"field\":\"type\""));
    client_expect(cl, "{\"type\":7,\"msg_id\":2}",
                  ERROR(2, 12, "malformed", true, ",\"field\":\"type\""));
    client_expect(cl, "{\"src\":\"c\",\"body\":{\"type\":\"ping\",\"msg_id\":3}}",
                  ERROR(3, 12, "malformed", true, ",\"field\":\"dest\""));
    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":4}",
                  "{\"type\":\"pong\",\"in_reply_to\":4,<*>}");
    client_close(cl);
}

CASE(protocol__bounds_of_numbers)
{
    static const struct {
        const char *line;
        const char *pattern;
    } asks[] = {
        {"{\"type\":\"ping\",\"msg_id\":0}", "{\"type\":\"pong\",\"in_reply_to\":0,<*>}"},
        {"{\"type\":\"ping\",\"msg_id\":9007199254740991}",
         "{\"type\":\"pong\",\"in_reply_to\":9007199254740991,<*>}"},
        {"{\"type\":\"ping\",\"msg_id\":9007199254740992}",
         ERROR_BARE(12, "malformed",
                    ",\"field\":\"msg_id\",\"limit\":9007199254740991,\"line\":3")},
        {"{\"type\":\"ping\",\"msg_id\":-1}",
         ERROR_BARE(12, "malformed",
                    ",\"field\":\"msg_id\",\"limit\":9007199254740991,\"line\":4")},
        {"{\"type\":\"ping\",\"msg_id\":1.0}",
         ERROR_BARE(12, "malformed",
                    ",\"field\":\"msg_id\",\"limit\":9007199254740991,\"line\":5")},
        {"{\"type\":\"ping\",\"msg_id\":\"1\"}",
         ERROR_BARE(12, "malformed",
                    ",\"field\":\"msg_id\",\"limit\":9007199254740991,\"line\":6")},
        {"{\"type\":\"read\",\"msg_id\":7,\"key\":\"q\",\"timeout_ms\":0}",
         ERROR(7, 12, "malformed", true, ",\"field\":\"timeout_ms\",\"limit\":60000")},
        {"{\"type\":\"read_index\",\"msg_id\":8,\"key\":\"q\",\"timeout_ms\":60000}",
         "{\"type\":\"read_index_ok\",\"in_reply_to\":8,<*>}"},
        {"{\"type\":\"read\",\"msg_id\":9,\"key\":\"q\",\"timeout_ms\":60001}",
         ERROR(9, 12, "malformed", true, ",\"field\":\"timeout_ms\",\"limit\":60000")},
        {"{\"type\":\"write\",\"msg_id\":10,\"key\":\"q\",\"value\":1,\"timeout_ms\":\"9\"}",
         ERROR(10, 12, "malformed", true, ",\"field\":\"timeout_ms\",\"limit\":60000")},
        {"{\"type\":\"read\",\"msg_id\":11,\"key\":\"q\",\"verbose\":1}",
         ERROR(11, 12, "malformed", true, ",\"field\":\"verbose\"")},
        {"{\"type\":\"read\",\"msg_id\":12,\"key\":\"q\",\"via\":\"pigeon\"}",
         ERROR(12, 12, "malformed", true, ",\"field\":\"via\"")},
        {"{\"type\":\"compare_read_methods\",\"msg_id\":13}",
         ERROR(13, 12, "malformed", true, ",\"field\":\"num_reads\"")},
        {"{\"type\":\"compare_read_methods\",\"msg_id\":14,\"num_reads\":0}",
         ERROR(14, 12, "malformed", true, ",\"field\":\"num_reads\",\"limit\":100000")},
        {"{\"type\":\"compare_read_methods\",\"msg_id\":15,\"num_reads\":100001}",
         ERROR(15, 12, "malformed", true, ",\"field\":\"num_reads\",\"limit\":100000")},
        {"{\"type\":\"compare_read_methods\",\"msg_id\":16,\"num_reads\":1,\"concurrency\":0}",
         ERROR(16, 12, "malformed", true, ",\"field\":\"concurrency\",\"limit\":128")},
        {"{\"type\":\"compare_read_methods\",\"msg_id\":17,\"num_reads\":1,\"concurrency\":129}",
         ERROR(17, 12, "malformed", true, ",\"field\":\"concurrency\",\"limit\":128")},
        {"{\"type\":\"compare_read_methods\",\"msg_id\":18,\"num_reads\":1,\"methods\":["
         "\"psychic\"]}",
         ERROR(18, 12, "malformed", true, ",\"field\":\"methods\"")},
        {"{\"type\":\"batch_read_index\",\"msg_id\":19,\"keys\":[]}",
         ERROR(19, 12, "malformed", true, ",\"field\":\"keys\",\"limit\":128")},
        {"{\"type\":\"batch_read_index\",\"msg_id\":20,\"keys\":\"a\"}",
         ERROR(20, 12, "malformed", true, ",\"field\":\"keys\",\"limit\":128")},
        {"{\"type\":\"write\",\"msg_id\":21,\"key\":\"q\"}",
         ERROR(21, 12, "malformed", true, ",\"field\":\"value\"")},
        {"{\"type\":\"cas\",\"msg_id\":22,\"key\":\"q\",\"to\":1}",
         ERROR(22, 12, "malformed", true, ",\"field\":\"from\"")},
        {"{\"type\":\"cas\",\"msg_id\":23,\"key\":\"q\",\"from\":1}",
         ERROR(23, 12, "malformed", true, ",\"field\":\"to\"")},
        {"{\"type\":\"cas\",\"msg_id\":24,\"key\":\"q\",\"from\":1,\"to\":1,\"create_if_not_"
         "exists\":0}",
         ERROR(24, 12, "malformed", true, ",\"field\":\"create_if_not_exists\"")},
        {"{\"type\":\"write\",\"msg_id\":25,\"key\":\"q\",\"value\":1,\"client\":\"1\"}",
         ERROR(25, 12, "malformed", true, ",\"field\":\"seq\"")},
        {"{\"type\":\"write\",\"msg_id\":26,\"key\":\"q\",\"value\":1,\"client\":\"1\",\"seq\":0}",
         ERROR(26, 12, "malformed", true, ",\"field\":\"seq\"<*>")},
        {"{\"type\":\"write\",\"msg_id\":27,\"key\":\"q\",\"value\":1,\"client\":1,\"seq\":1}",
         ERROR(27, 12, "malformed", true, ",\"field\":\"client\"")},
        {"{\"type\":\"transfer_leader\",\"msg_id\":28,\"to\":5}",
         ERROR(28, 12, "malformed", true, ",\"field\":\"to\"<*>")},
    };
    struct client *cl = client_open(one, 0);
    cleanup_buf struct buf ask = BUF_INIT;

    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
        client_expect(cl, asks[i].line, asks[i].pattern);
    for (unsigned n = 128; n <= 129; n++) {
        buf_reset(&ask, SIZE_MAX);
        (void)buf_add_str(&ask, "{\"type\":\"batch_read_index\",\"msg_id\":40,\"keys\":[");
        for (unsigned i = 0; i < n; i++)
            (void)buf_add_format(&ask, "%s%u", i > 0 ? "," : "", i);
        (void)buf_add(&ask, "]}", 3);
        client_expect(cl, (const char *)ask.data,
                      n == 128
                          ? "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":40,\"values\":["
                            "{\"key\":0,\"value\":null},<*>}"
                          : ERROR(40, 12, "malformed", true, ",\"field\":\"keys\",\"limit\":128"));
    }
    client_close(cl);
}

/* The text of a value nested `depth` deep, or with so many keys. */
static void add_nested(struct buf *b, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        (void)buf_add_str(b, "[");
    for (unsigned i = 0; i < depth; i++)
        (void)buf_add_str(b, "]");
}

static void add_members(struct buf *b, unsigned from, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        (void)buf_add_format(b, "%s\"f%u\":0", i > 0 ? "," : "", from + i);
}

CASE(protocol__bounds_of_structure)
{
    struct client *cl = client_open(one, 0);
    cleanup_buf struct buf ask = BUF_INIT;

    /* 16 levels with the request object itself. */
    for (unsigned depth = 15; depth <= 16; depth++) {
        buf_reset(&ask, SIZE_MAX);
        (void)buf_add_str(&ask, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"d\",\"value\":");
        add_nested(&ask, depth);
        (void)buf_add(&ask, "}", 2);
        client_expect(cl, (const char *)ask.data,
                      depth == 15 ? "{\"type\":\"write_ok\",\"in_reply_to\":1}"
                                  : ERROR_BARE(12, "malformed", ",\"limit\":16,\"line\":2"));
    }
    for (unsigned n = 32; n <= 33; n++) {
        buf_reset(&ask, SIZE_MAX);
        (void)buf_add_str(&ask, "{\"type\":\"ping\",\"msg_id\":2,");
        add_members(&ask, 0, n - 2);
        (void)buf_add(&ask, "}", 2);
        client_expect(cl, (const char *)ask.data,
                      n == 32 ? "{\"type\":\"pong\",\"in_reply_to\":2,<*>}"
                              : ERROR(2, 12, "malformed", true, ",\"limit\":32"));
    }
    for (unsigned n = 1024; n <= 1025; n++) {
        buf_reset(&ask, SIZE_MAX);
        (void)buf_add_str(&ask, "{\"type\":\"write\",\"msg_id\":3,\"key\":\"d\",\"value\":{");
        add_members(&ask, 0, n);
        (void)buf_add(&ask, "}}", 3);
        client_expect(cl, (const char *)ask.data,
                      n == 1024
                          ? "{\"type\":\"write_ok\",\"in_reply_to\":3}"
                          : ERROR(3, 12, "malformed", true, ",\"field\":\"value\",\"limit\":1024"));
    }
    /* A hundred thousand brackets are no stack of the server's. */
    buf_reset(&ask, SIZE_MAX);
    add_nested(&ask, 100000);
    (void)buf_add(&ask, "", 1);
    client_expect(cl, (const char *)ask.data,
                  ERROR_BARE(12, "malformed", ",\"limit\":16,\"line\":<n>"));
    client_close(cl);
}

/* {"type":"ping","msg_id":1,"x":"aaa..."} of exactly len bytes. */
static void make_line(struct buf *b, size_t len)
{
    static const char head[] = "{\"type\":\"ping\",\"msg_id\":1,\"x\":\"";

    buf_reset(b, SIZE_MAX);
    (void)buf_add_str(b, head);
    while (b->len < len - 2)
        (void)buf_add_u8(b, 'a');
    (void)buf_add_str(b, "\"}");
    assert_int_equal(b->len, len);
}

CASE(protocol__length_of_lines)
{
    struct client *cl = client_open(one, 0);
    cleanup_buf struct buf line = BUF_INIT;

    make_line(&line, 1u << 20);
    client_send_raw(cl, line.data, line.len);
    client_send_raw(cl, "\n", 1);
    client_expect_reply(cl, "{\"type\":\"pong\",\"in_reply_to\":1,<*>}");
    client_send_raw(cl, line.data, line.len); /* the \r before the line feed does not count */
    client_send_raw(cl, "\r\n", 2);
    client_expect_reply(cl, "{\"type\":\"pong\",\"in_reply_to\":1,<*>}");
    make_line(&line, (1u << 20) + 1);
    client_send_raw(cl, line.data, line.len);
    /* Told while the line is still coming. */
    client_expect_reply(cl, ERROR_BARE(12, "too_large", ",\"limit\":1048576,\"line\":3"));
    client_send_raw(cl, line.data, line.len);
    client_send_raw(cl, "\n", 1);
    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":2}",
                  "{\"type\":\"pong\",\"in_reply_to\":2,<*>}");
    /* The second offence is answered and ends it. */
    client_send_raw(cl, line.data, line.len);
    client_expect_reply(cl, ERROR_BARE(12, "too_large", ",\"limit\":1048576,\"line\":5"));
    client_expect_end(cl);
    client_close(cl);
    cl = client_open(one, 0);
    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":3}",
                  "{\"type\":\"pong\",\"in_reply_to\":3,<*>}");
    client_close(cl);
}

/* A write whose value is len bytes of compact text. */
static void make_write(struct buf *b, const char *key, size_t len)
{
    size_t start;

    buf_reset(b, SIZE_MAX);
    (void)buf_add_format(b, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"%s\",\"value\":\"", key);
    start = b->len - 1;
    while (b->len - start < len - 1)
        (void)buf_add_u8(b, 'v');
    (void)buf_add(b, "\"}", 3);
}

CASE(protocol__size_of_values)
{
    struct client *cl = client_open(one, 0);
    cleanup_buf struct buf line = BUF_INIT;
    json_t *reply;

    make_write(&line, "big1", 512u << 10);
    client_expect(cl, (const char *)line.data, "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    reply = client_ask_json(cl, "{\"type\":\"read_index\",\"key\":\"big1\"}");
    assert_int_equal(json_string_length(json_object_get(reply, "value")), (512u << 10) - 2);
    json_decref(reply);
    make_write(&line, "big2", (512u << 10) + 1);
    client_expect(cl, (const char *)line.data,
                  ERROR(1, 12, "too_large", true, ",\"field\":\"value\",\"limit\":524288"));
    client_expect(cl, "{\"type\":\"read_index\",\"key\":\"big2\"}",
                  "{\"type\":\"read_index_ok\",\"value\":null,<*>}");
    /* A reply over 1 MiB: with one value it fits, with two it does not. */
    client_send(cl, "{\"type\":\"batch_read_index\",\"msg_id\":2,\"keys\":[\"big1\"]}");
    reply = client_recv_json(cl);
    assert_true(reply_is(reply, "batch_read_index_ok"));
    json_decref(reply);
    client_expect(cl, "{\"type\":\"batch_read_index\",\"msg_id\":3,\"keys\":[\"big1\",\"big1\"]}",
                  ERROR(3, 12, "too_large", true, ",\"limit\":1048576"));
    client_expect(cl,
                  "{\"src\":\"c\",\"dest\":\"n1\",\"body\":{\"type\":\"batch_read_index\","
                  "\"msg_id\":4,\"keys\":[\"big1\",\"big1\"]}}",
                  "{\"src\":\"n1\",\"dest\":\"c\",\"body\":"
                  "{\"type\":\"error\",\"in_reply_to\":4,"
                  "\"code\":12,\"text\":<s>,\"error\":\"too_large\",\"definite\":true,"
                  "\"limit\":1048576,\"msg_id\":<n>}}");
    client_close(cl);
}

/* ---- the stream ---- */

CASE(protocol__line_ends)
{
    static const char bytes[] =
        "\n\r\n{\"type\":\"ping\",\"msg_id\":1}\r\n  \n\n"
        "{\"type\":\"ping\",\"msg_id\":2}\n{\"type\":\"ping\",\"msg_id\":3}";
    struct client *cl = client_open(one, 0);

    client_send_raw(cl, bytes, sizeof(bytes) - 1);
    client_expect_reply(cl, "{\"type\":\"pong\",\"in_reply_to\":1,<*>}");
    client_expect_reply(cl, "{\"type\":\"pong\",\"in_reply_to\":2,<*>}");
    client_half_close(cl); /* the last line without \n counts */
    client_expect_reply(cl, "{\"type\":\"pong\",\"in_reply_to\":3,<*>}");
    client_expect_end(cl);
    client_close(cl);
}

CASE(protocol__half_close_answers_what_is_owed)
{
    struct client *cl = client_open(one, 0);
    unsigned char seen[500] = {0};
    cleanup_buf struct buf all = BUF_INIT;

    for (unsigned i = 0; i < 500; i++)
        (void)buf_add_format(&all,
                             i % 3 == 0
                                 ? "{\"type\":\"write\",\"msg_id\":%u,\"key\":1,\"value\":1}\n"
                             : i % 3 == 1 ? "{\"type\":\"read_index\",\"msg_id\":%u,\"key\":1}\n"
                                          : "{\"type\":\"read_via_log\",\"msg_id\":%u,\"key\":1}\n",
                             i);
    client_send_raw(cl, all.data, all.len - 1); /* the last one without its line feed */
    client_half_close(cl);
    for (unsigned i = 0; i < 500; i++) {
        json_t *reply = client_recv_json(cl);
        int64_t id = reply_int(reply, "in_reply_to");

        assert_true(id >= 0 && id < 500);
        assert_int_equal(seen[id], 0);
        seen[id] = 1;
        assert_false(reply_is(reply, "error"));
        json_decref(reply);
    }
    client_expect_end(cl);
    client_close(cl);
}

CASE(protocol__one_byte_at_a_time)
{
    static const char bytes[] = "{\"type\":\"write\",\"msg_id\":1,\"key\":\"slow\",\"value\":["
                                "\"\xc3\xa9\",{\"a\":-1.5}]}\r\n"
                                "{\"src\":\"c\",\"dest\":\"n1\",\"body\":{\"type\":\"read\",\"msg_"
                                "id\":2,\"key\":\"slow\"}}\n";
    struct client *cl = client_open(one, 0);

    client_send_bytewise(cl, bytes, sizeof(bytes) - 1);
    client_expect_reply(cl, "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    client_expect_reply(cl,
                        "{\"src\":\"n1\",\"dest\":\"c\",\"body\":{\"type\":\"read_ok\","
                        "\"in_reply_to\":2,\"value\":[\"\xc3\xa9\",{\"a\":-1.5}],\"msg_id\":<n>}}");
    client_close(cl);
}

/* Writes take effect in the order received; a read sees every write the connection sent before it.
 */
CASE(protocol__order_on_one_connection)
{
    struct client *cl = client_open(three, cluster_leader(three));
    int64_t values[200];

    for (unsigned i = 0; i < 200; i++) {
        client_sendf(cl, "{\"type\":\"write\",\"msg_id\":%u,\"key\":\"ord\",\"value\":%u}",
                     1000 + i, i);
        client_sendf(cl, "{\"type\":\"%s\",\"msg_id\":%u,\"key\":\"ord\"}",
                     i % 2 == 0 ? "read_index" : "read_via_log", i);
    }
    for (unsigned i = 0; i < 400; i++) {
        json_t *reply = client_recv_json(cl);
        int64_t id = reply_int(reply, "in_reply_to");

        if (reply_is(reply, "error"))
            harness_fail("%s", reply_str(reply, "text"));
        if (id < 1000) {
            values[id] = reply_int(reply, "value");
            if (values[id] < id)
                harness_fail("read %lld saw %lld: older than the write before it", (long long)id,
                             (long long)values[id]);
            /* The state at exactly the marker's index. */
            if (reply_is(reply, "read_via_log_ok"))
                assert_int_equal(values[id], id);
        }
        json_decref(reply);
    }
    client_expect(cl, "{\"type\":\"read\",\"key\":\"ord\"}",
                  "{\"type\":\"read_ok\",\"value\":199}");
    client_close(cl);
}

CASE(protocol__many_in_flight_none_lost)
{
    struct client *cl = client_open(three, cluster_leader(three));
    unsigned n = 4000;
    cleanup_free unsigned char *seen = calloc(n, 1);

    for (unsigned i = 0; i < n; i++)
        client_sendf(cl, "{\"type\":\"read_index\",\"msg_id\":%u,\"key\":\"f\"}", i);
    for (unsigned i = 0; i < n; i++) {
        json_t *reply = client_recv_json(cl);
        int64_t id = reply_int(reply, "in_reply_to");

        assert_true(id >= 0 && id < (int64_t)n && seen[id] == 0);
        seen[id] = 1;
        assert_true(reply_is(reply, "read_index_ok"));
        json_decref(reply);
    }
    client_close(cl);
}

/* 128 unanswered requests stop the reading: what stands behind them is not seen until a part of
 * them is answered. */
CASE(protocol__in_flight_is_bounded)
{
    struct cluster *c = cluster_new(3, NULL);
    struct client *cl;
    cleanup_buf struct buf all = BUF_INIT;
    unsigned n_failed = 0;
    unsigned n_pongs = 0;

    cluster_init(c);
    node_start(c, 0); /* alone: everything waits for a leader */
    cl = client_open(c, 0);
    for (unsigned i = 0; i < 127; i++)
        (void)buf_add_format(
            &all, "{\"type\":\"read_index\",\"msg_id\":%u,\"key\":1,\"timeout_ms\":%u}\n", i,
            (unsigned)slow(1500));
    (void)buf_add_str(&all, "{\"type\":\"ping\",\"msg_id\":500}\n");
    (void)buf_add_format(
        &all, "{\"type\":\"write\",\"msg_id\":127,\"key\":1,\"value\":1,\"timeout_ms\":%u}\n",
        (unsigned)slow(1500));
    (void)buf_add_str(&all, "{\"type\":\"ping\",\"msg_id\":501}\n");
    client_send_raw(cl, all.data, all.len);
    client_expect_reply(cl, "{\"type\":\"pong\",\"in_reply_to\":500,<*>}");
    while (n_pongs < 1 || n_failed < 128) {
        json_t *reply = client_recv_json(cl);

        if (reply_int(reply, "in_reply_to") == 501) {
            if (n_failed < 1)
                harness_fail("129 requests were taken in");
            n_pongs++;
        } else {
            assert_true(reply_is(reply, "error"));
            assert_string_equal(reply_str(reply, "error"), "network");
            assert_int_equal(reply_int(reply, "code"), 11);
            assert_true(json_is_true(json_object_get(reply, "definite")));
            assert_int_equal(reply_int(reply, "reached"), 1);
            assert_int_equal(reply_int(reply, "needed"), 2);
            n_failed++;
        }
        json_decref(reply);
    }
    client_close(cl);
    cluster_free(c);
}

CASE(protocol__client_that_never_reads)
{
    struct client *cl = client_open(one, 0);
    struct client *other = client_open(one, 0);
    cleanup_buf struct buf line = BUF_INIT;
    static const char ask[] = "{\"type\":\"read_index\",\"key\":\"huge\"}\n";
    cleanup_buf struct buf asks = BUF_INIT;
    json_t *status;
    size_t pushed = 0;
    size_t part;

    make_write(&line, "huge", 400u << 10);
    client_expect(cl, (const char *)line.data, "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    for (unsigned i = 0; i < 2000; i++)
        (void)buf_add(&asks, ask, sizeof(ask) - 1);
    /* 2,000 answers of 400 KiB are owed for every 74 KiB; at some time nothing more is taken. */
    do {
        part = client_push(cl, asks.data, asks.len, (unsigned)slow(300));
        pushed += part;
    } while (part == asks.len && pushed < (64u << 20));
    assert_true(pushed < (64u << 20));
    for (unsigned i = 0; i < 20; i++)
        client_expect(other, "{\"type\":\"write\",\"key\":\"o\",\"value\":1}",
                      "{\"type\":\"write_ok\"}");
    status = node_status(one, 0);
    assert_non_null(status);
    /* 4 MiB of replies, and 128 requests that may each add one. */
    if (reply_int(status, "rss_bytes") > (int64_t)slow(300) << 20)
        harness_fail("%lld bytes resident", (long long)reply_int(status, "rss_bytes"));
    json_decref(status);
    client_close(cl);
    client_expect(other, "{\"type\":\"ping\",\"msg_id\":1}", "{\"type\":\"pong\",<*>}");
    client_close(other);
}

CASE(protocol__too_many_connections)
{
    struct cluster *c = cluster_up(1, "[limits]\nconnections = 3\n");
    struct client *cl[4];

    /* The harness keeps one for status. */
    cl[0] = client_open(c, 0);
    cl[1] = client_open(c, 0);
    client_expect(cl[0], "{\"type\":\"ping\",\"msg_id\":1}", "{\"type\":\"pong\",<*>}");
    client_expect(cl[1], "{\"type\":\"ping\",\"msg_id\":1}", "{\"type\":\"pong\",<*>}");
    cl[2] = client_open(c, 0);
    client_expect_reply(cl[2], ERROR_BARE(11, "busy", ",\"limit\":3,\"retry_after_ms\":<n>"));
    client_expect_end(cl[2]);
    client_close(cl[2]);
    client_close(cl[1]);
    wait_until(({
                   bool ok;
                   const char *line;

                   cl[3] = client_open(c, 0);
                   client_send(cl[3], "{\"type\":\"ping\",\"msg_id\":2}");
                   line = client_recv_within(cl[3], (unsigned)slow(1000));
                   ok = line != NULL && strstr(line, "pong") != NULL;
                   if (!ok)
                       client_close(cl[3]);
                   ok;
               }),
               "the place of the one that left");
    client_close(cl[3]);
    client_close(cl[0]);
    cluster_free(c);
}

CASE(protocol__small_request_bytes)
{
    struct cluster *c = cluster_up(1, "[limits]\nrequest_bytes = 4K\nin_flight = 2\n");
    struct client *cl = client_open(c, 0);
    cleanup_buf struct buf line = BUF_INIT;

    make_line(&line, 4096);
    client_send_raw(cl, line.data, line.len);
    client_send_raw(cl, "\n", 1);
    client_expect_reply(cl, "{\"type\":\"pong\",\"in_reply_to\":1,<*>}");
    make_line(&line, 4097);
    client_send_raw(cl, line.data, line.len);
    client_send_raw(cl, "\n", 1);
    client_expect_reply(cl, ERROR_BARE(12, "too_large", ",\"limit\":4096,\"line\":2"));
    for (unsigned i = 0; i < 50; i++)
        client_sendf(cl, "{\"type\":\"write\",\"msg_id\":%u,\"key\":1,\"value\":%u}", i, i);
    for (unsigned i = 0; i < 50; i++)
        client_expect_reply(cl, "{\"type\":\"write_ok\",\"in_reply_to\":<n>}");
    client_close(cl);
    cluster_free(c);
}

/* A full state refuses writes before they are appended, and the node goes on: an entry that cannot be applied would end
 * every node of the cluster, again at each start. */
CASE(protocol__no_space)
{
    struct cluster *c = cluster_up(1, "map_size = 1M\n");
    struct client *cl = client_open(c, 0);
    cleanup_buf struct buf line = BUF_INIT;
    unsigned n = 0;

    for (;; n++) {
        char key[16];
        const char *reply;

        (void)snprintf(key, sizeof(key), "k%u", n);
        make_write(&line, key, 10000);
        client_send(cl, (const char *)line.data);
        reply = client_recv_within(cl, (unsigned)slow(WAIT_MS));
        if (reply == NULL)
            harness_fail("the node ended with exit code %d instead of saying no_space",
                         node_wait_exit(c, 0));
        if (pattern_matches("{\"type\":\"write_ok\",\"in_reply_to\":1}", reply) && n < 1000)
            continue;
        if (!pattern_matches(ERROR(1, 14, "no_space", true,
                                   ",\"used\":<n>,\"limit\":1048576,\"what\":\"quota\""),
                             reply))
            harness_fail("not no_space: %s", reply);
        break;
    }
    assert_true(n > 10);
    client_expect(cl, "{\"type\":\"read_index\",\"key\":\"none\"}",
                  "{\"type\":\"read_index_ok\",\"value\":null,<*>}");
    for (unsigned i = 0; i < n; i++) {
        char ask[64];

        (void)snprintf(ask, sizeof(ask), "{\"type\":\"delete\",\"key\":\"k%u\"}", i);
        client_expect(cl, ask, "{\"type\":\"delete_ok\",\"existed\":true}");
    }
    make_write(&line, "again", 10000);
    client_expect(cl, (const char *)line.data, "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    client_close(cl);
    assert_true(node_logged(c, 0, "event=no_space what=quota"));
    node_wait_logged(c, 0, "event=space_again");
    assert_int_equal(node_terminate(c, 0), 0);
    cluster_free(c);
}

/* ---- three nodes ---- */

CASE(protocol__followers_name_the_leader)
{
    static const char *const asks[] = {
        "\"type\":\"read_index\",\"key\":\"x\"",
        "\"type\":\"read_via_log\",\"key\":\"x\"",
        "\"type\":\"batch_read_index\",\"keys\":[\"x\"]",
        "\"type\":\"write\",\"key\":\"x\",\"value\":1",
        "\"type\":\"cas\",\"key\":\"x\",\"from\":1,\"to\":1",
        "\"type\":\"delete\",\"key\":\"x\"",
        "\"type\":\"read\",\"key\":\"x\",\"via\":\"log\"",
        "\"type\":\"transfer_leader\"",
    };
    unsigned leader = cluster_leader(three);

    for (unsigned i = 0; i < 3; i++) {
        struct client *cl;
        char pattern[512];

        if (i == leader)
            continue;
        cl = client_open(three, i);
        (void)snprintf(
            pattern, sizeof(pattern),
            ERROR(5, 11, "not_leader", true, ",\"leader_id\":\"%s\",\"leader_addr\":\"%s\""),
            three->nodes[leader].name, three->nodes[leader].addr);
        for (size_t k = 0; k < sizeof(asks) / sizeof(asks[0]); k++) {
            char ask[256];

            (void)snprintf(ask, sizeof(ask), "{\"msg_id\":5,%s}", asks[k]);
            client_expect(cl, ask, pattern);
        }
        client_expect(cl, "{\"type\":\"local_read\",\"msg_id\":6,\"key\":\"none\"}",
                      "{\"type\":\"local_read_ok\",\"in_reply_to\":6,\"value\":null,"
                      "\"applied_index\":<n>,\"linearizable\":false}");
        client_expect(cl, "{\"type\":\"ping\",\"msg_id\":7}",
                      "{\"type\":\"pong\",\"in_reply_to\":7,\"node\":<s>,\"role\":\"follower\","
                      "\"term\":<n>,\"applied_index\":<n>}");
        client_close(cl);
    }
}

CASE(protocol__status_of_three)
{
    unsigned leader = cluster_leader(three);

    for (unsigned i = 0; i < 3; i++) {
        struct client *cl = client_open(three, i);
        const struct node *a = &three->nodes[i == 0 ? 1 : 0];
        const struct node *b = &three->nodes[i == 2 ? 1 : 2];
        /* Only a leader knows these. */
        const char *known =
            i == leader
                ? "\"role\":\"voter\",\"connected\":true,\"heard\":true,\"match_index\":<n>,"
                  "\"behind_entries\":<n>,\"rtt_us\":<n>,\"last_heard_ms\":<n>"
                : "\"role\":\"voter\",\"connected\":true,\"heard\":null,\"match_index\":null,"
                  "\"behind_entries\":null,\"rtt_us\":null,\"last_heard_ms\":null";
        char pattern[2048];

        wait_until(({
                       json_t *status = node_status(three, i);
                       const json_t *peers = json_object_get(status, "peers");
                       bool up =
                           json_is_true(json_object_get(json_array_get(peers, 0), "connected")) &&
                           json_is_true(json_object_get(json_array_get(peers, 1), "connected"));

                       json_decref(status);
                       up;
                   }),
                   "the links");
        (void)snprintf(
            pattern, sizeof(pattern),
            "{\"type\":\"members_ok\",\"members\":["
            "{\"id\":\"n1\",\"role\":\"voter\",\"peer_addr\":\"%s\",\"client_addr\":\"%s\"},"
            "{\"id\":\"n2\",\"role\":\"voter\",\"peer_addr\":\"%s\",\"client_addr\":\"%s\"},"
            "{\"id\":\"n3\",\"role\":\"voter\",\"peer_addr\":\"%s\",\"client_addr\":\"%s\"}],"
            "\"configuration_index\":1,\"committed\":true,\"removed\":[],\"changes\":[],\"last_"
            "task\":null}",
            three->nodes[0].peer_addr, three->nodes[0].addr, three->nodes[1].peer_addr,
            three->nodes[1].addr, three->nodes[2].peer_addr, three->nodes[2].addr);
        client_expect(cl, "{\"type\":\"members\"}", pattern);
        (void)snprintf(
            pattern, sizeof(pattern),
            "{\"type\":\"status_ok\",\"in_reply_to\":1,\"node\":\"n%u\",\"cluster\":\"test\","
            "\"version\":<s>,\"role\":\"%s\",\"term\":<n>,\"leader_id\":\"n%u\",\"serving\":%s,"
            "\"commit_index\":<n>,\"applied_index\":<n>,\"last_log_index\":<n>,"
            "\"durable_index\":<n>,\"peers\":[{\"id\":\"%s\",\"address\":\"%s\",%s,\"fit\":%s},"
            "{\"id\":\"%s\",\"address\":\"%s\",%s,\"fit\":%s}],<*>}",
            i + 1, i == leader ? "leader" : "follower", leader + 1, i == leader ? "true" : "false",
            a->name, a->peer_addr, known,
            i == leader || a == &three->nodes[leader] ? "\"fit\"" : "null", b->name, b->peer_addr,
            known, i == leader || b == &three->nodes[leader] ? "\"fit\"" : "null");
        client_expect(cl, "{\"type\":\"status\",\"msg_id\":1}", pattern);
        client_close(cl);
    }
}

CASE(protocol__transfer_leader)
{
    unsigned leader = cluster_leader(three);
    unsigned other = (leader + 1) % 3;
    struct client *cl = client_open(three, leader);
    char ask[128];
    char pattern[128];

    (void)snprintf(ask, sizeof(ask), "{\"type\":\"transfer_leader\",\"msg_id\":1,\"to\":\"n%u\"}",
                   other + 1);
    (void)snprintf(pattern, sizeof(pattern),
                   "{\"type\":\"transfer_leader_ok\",\"in_reply_to\":1,\"leader_id\":\"n%u\"}",
                   other + 1);
    client_expect(cl, ask, pattern);
    assert_int_equal(cluster_leader(three), other);
    client_close(cl);
    cl = client_open(three, other);
    client_expect(cl, "{\"type\":\"transfer_leader\",\"msg_id\":2}",
                  "{\"type\":\"transfer_leader_ok\",\"in_reply_to\":2,\"leader_id\":<s>}");
    assert_int_not_equal(cluster_leader(three), other);
    client_expect(cl, "{\"type\":\"transfer_leader\",\"msg_id\":3,\"to\":\"nobody\"}",
                  ERROR(3, 12, "malformed", true, ",\"field\":\"to\""));
    client_close(cl);
}

/* Waiting for a leader: definite, whatever ends it. */
CASE(protocol__errors_without_a_leader)
{
    struct cluster *c = cluster_new(3, NULL);
    struct client *cl;

    cluster_init(c);
    node_start(c, 0);
    cl = client_open(c, 0);
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":1,\"timeout_ms\":50}",
                  ERROR(1, 11, "network", true, ",\"reached\":1,\"needed\":2"));
    client_expect(cl, "{\"type\":\"write\",\"msg_id\":2,\"key\":1,\"value\":1,\"timeout_ms\":50}",
                  ERROR(2, 11, "network", true, ",\"reached\":1,\"needed\":2"));
    client_expect(cl, "{\"type\":\"read_via_log\",\"msg_id\":3,\"key\":1,\"timeout_ms\":50}",
                  ERROR(3, 11, "network", true, ",\"reached\":1,\"needed\":2"));
    client_expect(cl, "{\"type\":\"status\",\"msg_id\":4}",
                  "{\"type\":\"status_ok\",\"in_reply_to\":4,<*>\"leader_id\":null,<*>}");
    client_expect(
        cl, "{\"type\":\"local_read\",\"msg_id\":5,\"key\":1}",
        "{\"type\":\"local_read_ok\",\"in_reply_to\":5,\"value\":null,\"applied_index\":<n>,"
        "\"linearizable\":false}");
    client_expect(cl, "{\"type\":\"transfer_leader\",\"msg_id\":6}",
                  ERROR(6, 11, "not_leader", true, ",\"leader_id\":null,\"leader_addr\":null"));
    /* SIGTERM: what waits is answered before the end. */
    client_send(cl, "{\"type\":\"write\",\"msg_id\":7,\"key\":1,\"value\":1,\"timeout_ms\":60000}");
    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":8}",
                  "{\"type\":\"pong\",\"in_reply_to\":8,<*>}");
    node_signal(c, 0, SIGTERM);
    client_expect_reply(cl, ERROR(7, 14, "cancelled", true, ",\"by\":\"shutdown\""));
    client_expect_end(cl);
    assert_int_equal(node_wait_exit(c, 0), 0);
    client_close(cl);
    /* And with a leader at last they are answered: they waited. */
    node_start(c, 0);
    cl = client_open(c, 0);
    client_send(cl, "{\"type\":\"read\",\"msg_id\":9,\"key\":1,\"timeout_ms\":60000}");
    cluster_start(c);
    client_close(cl);
    cluster_free(c);
}

/* A leader whose followers stand still: what was appended fails without certainty, reads fail for
 * certain. */
CASE(protocol__errors_without_a_quorum)
{
    /* Long enough that the requests are there before it steps down, on a busy machine too. */
    struct cluster *c = cluster_up(3, "[raft]\nelection_ms = 2000\n");
    unsigned leader = cluster_leader(c);
    struct client *cl = client_open(c, leader);
    unsigned n = 0;

    /* Elected is not yet serving: what comes before its first entry is committed waits for that. */
    (void)client_ask(cl, "{\"type\":\"read_index\",\"key\":1}");
    node_stop(c, (leader + 1) % 3);
    node_stop(c, (leader + 2) % 3);
    client_send(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":1,\"value\":1,\"timeout_ms\":50}");
    client_send(cl, "{\"type\":\"read_index\",\"msg_id\":2,\"key\":1,\"timeout_ms\":60}");
    client_send(cl, "{\"type\":\"read_via_log\",\"msg_id\":3,\"key\":1,\"timeout_ms\":70}");
    /* In this time it steps down: it was answered by no quorum for an election timeout. */
    client_send(cl, "{\"type\":\"write\",\"msg_id\":4,\"key\":1,\"value\":1,\"timeout_ms\":60000}");
    client_send(cl, "{\"type\":\"read_index\",\"msg_id\":5,\"key\":1,\"timeout_ms\":60000}");
    client_send(cl, "{\"type\":\"read_via_log\",\"msg_id\":6,\"key\":1,\"timeout_ms\":60000}");
    for (; n < 6; n++) {
        const char *line = client_recv(cl);
        const char *patterns[4] = {NULL, NULL, NULL, NULL};
        bool ok = false;
        const char *id = strstr(line, "\"in_reply_to\":");

        assert_non_null(id);
        switch (id[14]) {
        case '1':
            patterns[0] = ERROR(1, 0, "timeout", false, ",\"timeout_ms\":50,\"stage\":\"commit\"");
            patterns[1] = ERROR(1, 0, "network", false, ",\"reached\":1,\"needed\":2");
            patterns[2] = ERROR(1, 0, "timeout", false,
                                ",\"timeout_ms\":50,\"stage\":\"commit\",\"cause\":<s>");
            break;
        case '2':
            patterns[0] = ERROR(2, 0, "timeout", true,
                                ",\"timeout_ms\":60,\"stage\":\"round\",\"cause\":null");
            patterns[1] = ERROR(2, 11, "network", true, ",\"reached\":1,\"needed\":2");
            break;
        case '3':
            patterns[0] = ERROR(3, 0, "timeout", true, ",\"timeout_ms\":70,\"stage\":\"commit\"");
            patterns[1] = ERROR(3, 11, "network", true, ",\"reached\":1,\"needed\":2");
            patterns[2] = ERROR(3, 0, "timeout", true,
                                ",\"timeout_ms\":70,\"stage\":\"commit\",\"cause\":<s>");
            break;
        case '4':
            patterns[0] =
                ERROR(4, 13, "role_changed", false, ",\"role\":\"follower\",\"leader_id\":null");
            break;
        case '5':
            patterns[0] =
                ERROR(5, 11, "role_changed", true, ",\"role\":\"follower\",\"leader_id\":null");
            break;
        case '6':
            patterns[0] =
                ERROR(6, 11, "role_changed", true, ",\"role\":\"follower\",\"leader_id\":null");
            break;
        default:
            break;
        }
        for (unsigned k = 0; k < 4 && patterns[k] != NULL; k++)
            ok = ok || pattern_matches(patterns[k], line);
        if (!ok)
            harness_fail("not %s: %s", patterns[0] != NULL ? patterns[0] : "anything asked", line);
    }
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":7,\"key\":1,\"timeout_ms\":700}",
                  ERROR(7, 11, "network", true, ",\"reached\":1,\"needed\":2"));
    node_continue(c, (leader + 1) % 3);
    node_continue(c, (leader + 2) % 3);
    (void)cluster_leader(c);
    client_close(cl);
    cluster_free(c);
}

/* ---- what is no protocol ---- */

static void fill_random(unsigned char *data, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (unsigned char)(seed >> 24);
    }
}

/* The beginning of a TLS 1.2 ClientHello. */
static const unsigned char tls_hello[] = {
    0x16, 0x03, 0x01, 0x00, 0x2f, 0x01, 0x00, 0x00, 0x2b, 0x03, 0x03, 1,    2,
    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    16,   17,   18,   19,   20,   21,   22,   23,   24,   25,   26,   27,   28,
    29,   30,   31,   32,   0x00, 0x00, 0x04, 0x13, 0x01, 0x00, 0xff, 0x01, 0x00};
static const char http_get[] = "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";

CASE(protocol__rubbish_on_the_client_port)
{
    struct client *other = client_open(one, 0);
    struct client *cl;
    unsigned char random[65536];

    cl = client_open(one, 0);
    client_send_raw(cl, http_get, sizeof(http_get) - 1);
    client_expect_reply(cl, ERROR_BARE(12, "malformed", ",\"line\":1"));
    client_expect_end(cl);
    client_close(cl);
    cl = client_open(one, 0);
    client_send_raw(cl, tls_hello, sizeof(tls_hello));
    client_half_close(cl);
    while (client_recv_within(cl, (unsigned)slow(WAIT_MS)) != NULL)
        ;
    assert_true(cl->ended);
    client_close(cl);
    for (unsigned round = 0; round < 8; round++) {
        cl = client_open(one, 0);
        fill_random(random, sizeof(random), round + 1);
        client_send_raw(cl, random, sizeof(random));
        client_half_close(cl);
        while (client_recv_within(cl, (unsigned)slow(WAIT_MS)) != NULL)
            ;
        assert_true(cl->ended);
        client_close(cl);
        client_expect(other, "{\"type\":\"ping\",\"msg_id\":1}", "{\"type\":\"pong\",<*>}");
    }
    client_close(other);
    assert_int_equal(node_log_lines(one, 0, "level=error", NULL), 0);
}

/* What a form on a web page can make a browser send, as a first request and behind one of ours: one
 * error, the end, and no write (CLIENT-11). */
CASE(protocol__web_page_cannot_write)
{
    static const char post[] = "POST / HTTP/1.1\r\nHost: 127.0.0.1:7400\r\n"
                               "Content-Type: text/plain\r\nContent-Length: 49\r\n\r\n"
                               "{\"type\":\"write\",\"key\":\"by a page\",\"value\":\"x\"}\n";
    struct client *cl = client_open(one, 0);

    client_send_raw(cl, post, sizeof(post) - 1);
    client_expect_reply(cl, ERROR_BARE(12, "malformed", ",\"line\":1"));
    client_expect_end(cl);
    client_close(cl);
    cl = client_open(one, 0);
    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":1}", "{\"type\":\"pong\",<*>}");
    client_send_raw(cl, post, sizeof(post) - 1);
    client_expect_reply(cl, ERROR_BARE(12, "malformed", ",\"line\":2"));
    client_expect_end(cl);
    client_close(cl);
    cl = client_open(one, 0);
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":1,\"key\":\"by a page\"}",
                  ERROR(1, 20, "key_not_found", true, ",\"index\":<n>"));
    client_close(cl);
}

static uint16_t local_port(const struct client *cl)
{
    struct sockaddr_in in;
    socklen_t len = sizeof(in);

    assert_int_equal(getsockname(cl->fd, (struct sockaddr *)&in, &len), 0);
    return ntohs(in.sin_port);
}

CASE(protocol__rubbish_on_the_peer_port)
{
    static const unsigned char oversized[] = {0xff, 0xff, 0xff, 0x7f, 1, 2, 3, 4, 32, 0, 0, 0};
    static const unsigned char half[] = {60, 0, 0, 0, 9, 9, 9, 9, 32, 0, 0, 0, 1, 0};
    unsigned char random[4096];
    struct cluster *c = cluster_up(1, NULL);
    struct client *other = client_open(c, 0);
    const struct {
        const void *data;
        size_t len;
        bool half_close;
    } rubbish[] = {{random, sizeof(random), false},
                   {tls_hello, sizeof(tls_hello), true},
                   {http_get, sizeof(http_get) - 1, true},
                   {oversized, sizeof(oversized), false},
                   {half, sizeof(half), true}};

    fill_random(random, sizeof(random), 4711);
    for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
        struct client *cl = client_open_port(c->nodes[0].peer_port);
        char address[32];

        (void)snprintf(address, sizeof(address), "127.0.0.1:%u", local_port(cl));
        client_send_raw(cl, rubbish[i].data, rubbish[i].len);
        if (rubbish[i].half_close)
            client_half_close(cl);
        client_expect_end(cl);
        client_close(cl);
        wait_until(node_log_lines(c, 0, "event=peer_refused", address) > 0, "the line of log");
        assert_int_equal(node_log_lines(c, 0, "event=peer_refused", address), 1);
        client_expect(other, "{\"type\":\"write\",\"key\":1,\"value\":1}",
                      "{\"type\":\"write_ok\"}");
    }
    {
        /* Half a handshake, and then nothing: it is ended in time. */
        struct client *cl = client_open_port(c->nodes[0].peer_port);

        client_send_raw(cl, half, sizeof(half));
        client_expect_end(cl);
        client_close(cl);
    }
    client_expect(other, "{\"type\":\"ping\"}", "{\"type\":\"pong\",<*>}");
    client_close(other);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(protocol__envelopes),
        HARNESS_TEST(protocol__reads),
        HARNESS_TEST(protocol__verbose),
        HARNESS_TEST(protocol__writes),
        HARNESS_TEST(protocol__optional_requests),
        HARNESS_TEST(protocol__sessions),
        HARNESS_TEST(protocol__cluster_requests),
        HARNESS_TEST(protocol__values_come_back_equal),
        HARNESS_TEST(protocol__keys),
        HARNESS_TEST(protocol__malformed_lines),
        HARNESS_TEST(protocol__bounds_of_numbers),
        HARNESS_TEST(protocol__bounds_of_structure),
        HARNESS_TEST(protocol__length_of_lines),
        HARNESS_TEST(protocol__size_of_values),
        HARNESS_TEST(protocol__line_ends),
        HARNESS_TEST(protocol__half_close_answers_what_is_owed),
        HARNESS_TEST(protocol__one_byte_at_a_time),
        HARNESS_TEST(protocol__order_on_one_connection),
        HARNESS_TEST(protocol__many_in_flight_none_lost),
        HARNESS_TEST(protocol__in_flight_is_bounded),
        HARNESS_TEST(protocol__client_that_never_reads),
        HARNESS_TEST(protocol__too_many_connections),
        HARNESS_TEST(protocol__small_request_bytes),
        HARNESS_TEST(protocol__no_space),
        HARNESS_TEST(protocol__followers_name_the_leader),
        HARNESS_TEST(protocol__status_of_three),
        HARNESS_TEST(protocol__transfer_leader),
        HARNESS_TEST(protocol__errors_without_a_leader),
        HARNESS_TEST(protocol__errors_without_a_quorum),
        HARNESS_TEST(protocol__rubbish_on_the_client_port),
        HARNESS_TEST(protocol__web_page_cannot_write),
        HARNESS_TEST(protocol__rubbish_on_the_peer_port),
    };

    return harness_main(argc, argv, tests, setup, teardown);
}
