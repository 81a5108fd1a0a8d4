/* ctl: the real ridctl against scripted servers; standard output, standard error and the exit code
 * are compared whole.
 * '*' in an expectation stands for anything, for ports and times alone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/crc32c.h"
#include "snap/backup.h"
#include "snap/snap.h"
#include "unit/ctl-run.h"
#include "unit/fake-server.h"

/* A call that is repeated until its time is up begins its last attempt shortly before that. On a busy
 * machine that attempt's answer comes too late, which is another result; then there is more time. */
static const char *const patience_ms[] = {"150", "600", "2400", "9600", "38400"};

/* Runs `ridctl -e address -t TIME` and these words. */
static void run_patiently(const char *address, int exit_code, const char *err, const char *verb,
                          const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof(patience_ms) / sizeof(patience_ms[0]); i++) {
        run("-e", address, "-t", patience_ms[i], verb, key, value, NULL);
        if (result.exit_code == exit_code && matches_failure(result.err, err))
            return;
    }
}

/* ---- reads ---- */

#define READ_OK(value)                                                                             \
    "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":" value ",\"read_at_index\":5,"     \
    "\"heartbeat_confirmed\":true,\"linearizable\":true,\"exists\":true}"
#define ERROR(name, code, definite, more)                                                          \
    "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":" #code ",\"text\":\"words of the server\"," \
    "\"error\":\"" name "\",\"definite\":" #definite more "}"

static void ctl__reads_print_the_value_alone(void **state)
{
    static const struct fake_step steps[] = {
        {"\"absent\"", FAKE_REPLY,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":null,\"read_at_index\":5,"
         "\"heartbeat_confirmed\":true,\"linearizable\":true,\"exists\":false}",
         0},
        {"\"null\"", FAKE_REPLY, READ_OK("null"), 0},
        {"\"real\"", FAKE_REPLY, READ_OK("{\"a\":0.1}"), 0},
        {"\"read_index\"", FAKE_REPLY, READ_OK("\"a\\tb\""), 0},
        {"\"read_via_log\"", FAKE_REPLY,
         "{\"type\":\"read_via_log_ok\",\"in_reply_to\":%ID,\"value\":\"l\",\"log_index_used\":6,"
         "\"latency_ms\":15}",
         0},
        {"\"local_read\"", FAKE_REPLY,
         "{\"type\":\"local_read_ok\",\"in_reply_to\":%ID,\"value\":\"o\",\"applied_index\":4,"
         "\"linearizable\":false}",
         0},
        {"\"lease_read\"", FAKE_REPLY, ERROR("not_supported", 10, true, ""), 0},
        {"\"follower_read\"", FAKE_REPLY, ERROR("not_supported", 10, true, ""), 0},
        {"\"key\":\"new\"", FAKE_REPLY,
         "{\"type\":\"read_ok\",\"in_reply_to\":%ID,\"value\":3,\"exists\":true,\"read_at_index\":"
         "9,"
         "\"heartbeat_confirmed\":true,\"linearizable\":true}",
         0},
        {"\"key\":\"gone\"", FAKE_REPLY,
         ERROR("key_not_found", 20, true,
               ",\"index\":9,\"read_at_index\":9,\"heartbeat_confirmed\":true,"
               "\"linearizable\":true"),
         0},
        {"\"read\"", FAKE_REPLY, "{\"type\":\"read_ok\",\"in_reply_to\":%ID,\"value\":3}", 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    const char *at = fake_address(s);

    (void)state;
    run("-e", at, "read_index", "x", NULL);
    EXPECT(0, "\"a\\tb\"\n", "");
    run("read-index", "x", "--raw", "-e", at, NULL);
    EXPECT(0, "a\tb\n", "");
    run("-e", at, "get", "x", "--via", "read-index", "-v", NULL);
    EXPECT(
        0, "\"a\\tb\"\n",
        "read_index: index 5, linearizable, confirmed by a quorum, from 127.0.0.1:* in *.* ms\n");
    run("-e", at, "read_index", "real", "--raw", NULL);
    EXPECT(0, "{\"a\":0.1}\n", "");
    run("-e", at, "read_index", "null", NULL);
    EXPECT(0, "null\n", "");
    run("-e", at, "read_index", "absent", NULL);
    EXPECT(3, "", "ridctl: read_index: 'absent': no such key\n");
    run("-e", at, "read_index", "absent", "--json", NULL);
    EXPECT(
        3,
        "{\"key\":\"absent\",\"exists\":false,\"value\":null,\"method\":\"read_index\",\"index\":5,"
        "\"linearizable\":true,\"heartbeat_confirmed\":true,\"endpoint\":\"127.0.0.1:*\","
        "\"attempts\":1,"
        "\"elapsed_ms\":*.*}\n",
        "ridctl: read_index: 'absent': no such key\n");
    run("-e", at, "read_via_log", "x", "-v", NULL);
    EXPECT(0, "\"l\"\n", "read_via_log: index 6, linearizable, from 127.0.0.1:* in *.* ms\n");
    run("-e", at, "local_read", "x", "-v", NULL);
    EXPECT(0, "\"o\"\n",
           "local_read: index 4, not linearizable: may be old, from 127.0.0.1:* in *.* ms\n");
    run("-e", at, "get", "--via", "local", "x", "--json", NULL);
    EXPECT(
        0,
        "{\"key\":\"x\",\"exists\":true,\"value\":\"o\",\"method\":\"local_read\",\"index\":4,"
        "\"linearizable\":false,\"endpoint\":\"127.0.0.1:*\",\"attempts\":1,\"elapsed_ms\":*.*}\n",
        "");
    run("-e", at, "get", "7", "--int-key", NULL);
    EXPECT(0, "3\n", "");
    run("-e", at, "get", "-v", "x", NULL);
    EXPECT(0, "3\n", "read: from 127.0.0.1:* in *.* ms\n");
    /* What the node chose, and what stands behind it. */
    run("-e", at, "get", "-v", "new", NULL);
    EXPECT(0, "3\n",
           "read: index 9, linearizable, confirmed by a quorum, from 127.0.0.1:* in *.* ms\n");
    run("-e", at, "get", "new", "--json", NULL);
    EXPECT(0,
           "{\"key\":\"new\",\"exists\":true,\"value\":3,\"method\":\"read\",\"index\":9,"
           "\"linearizable\":true,\"heartbeat_confirmed\":true,\"endpoint\":\"127.0.0.1:*\",*}\n",
           "");
    run("-e", at, "get", "gone", "--json", NULL);
    EXPECT(3,
           "{\"key\":\"gone\",\"exists\":false,\"value\":null,\"method\":\"read\",\"index\":9,"
           "\"linearizable\":true,\"heartbeat_confirmed\":true,\"endpoint\":\"127.0.0.1:*\",*}\n",
           "ridctl: get: 'gone': no such key\n");
    run("-e", at, "lease_read", "x", NULL);
    EXPECT(64, "", "ridctl: lease_read: 'x': 127.0.0.1:* says: words of the server\n");
    run("-e", at, "follower-read", "x", NULL);
    EXPECT(64, "", "ridctl: follower_read: 'x': *\n");
    assert_non_null(strstr(fake_line(s, "\"read\"", 0), "{\"type\":\"read\",\"key\":7,"));
    fake_stop(s);
}

/* With --json a mistake is a document, too, wherever --json stands. */
static void ctl__mistakes_are_json_with_json(void **state)
{
    (void)state;
    run("get", "--json", NULL);
    EXPECT(64, "{\"error\":\"usage\",\"definite\":true,\"text\":\"something is missing; *\"}\n",
           "ridctl: get: something is missing; *\n");
    run("get", "x", "--sing", "--json", NULL);
    EXPECT(64, "{\"error\":\"usage\",\"definite\":true,\"text\":\"unknown option '--sing'*\"}\n",
           "ridctl: unknown option '--sing'*\n");
    run("--json", "frobnicate", NULL);
    EXPECT(64, "{\"error\":\"usage\",*}\n", "ridctl: no such verb *\n");
    run("-c", "/nowhere/ridd.conf", "get", "x", "--json", NULL);
    EXPECT(78, "{\"error\":\"configuration\",*}\n", "ridctl: get: cannot open *\n");
    run("get", "--", "--json", "x", NULL);
    EXPECT(64, "", "ridctl: get: too many arguments*\n");
}

/* A file with the addresses of another cluster: said in one line, and nothing is written there. */
static void ctl__another_cluster_is_told_before_anything_is_sent(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"cluster\":\"there\"}", 0},
        {"\"members\"", FAKE_CLOSE, NULL, 0},
        {NULL, FAKE_REPLY, "{\"type\":\"write_ok\",\"in_reply_to\":%ID}", 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    const char *const names[] = {"here", "there"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen("other.conf", "we");

        assert_non_null(f);
        (void)fprintf(f, "[cluster]\nname = %s\n[peers]\nn1 = 127.0.0.1:1 %s\n", names[i],
                      fake_address(s));
        assert_int_equal(fclose(f), 0);
        run("-c", "other.conf", "put", "k", "v", NULL);
        if (i == 1) {
            EXPECT(0, "", "");
            continue;
        }
        EXPECT(78, "",
               "ridctl: put: 127.0.0.1:* belongs to cluster 'there', but other.conf describes "
               "'here'; nothing was sent\n");
        assert_int_equal(fake_count(s, "write"), 0);
        run("-c", "other.conf", "status", NULL);
        EXPECT(7,
               "SPLIT: 1 of 1 nodes answered, of cluster 'there'; the configuration describes "
               "'here'\n  n1: belongs to cluster 'there', "
               "the configuration describes 'here'\nNODE *\nn1 *\n",
               "");
    }
    fake_stop(s);
}

static void ctl__batch_prints_a_line_per_key(void **state)
{
    static const struct fake_step steps[] = {
        {NULL, FAKE_REPLY,
         "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":%ID,\"values\":[{\"key\":\"a\","
         "\"value\":[1.0]},"
         "{\"key\":\"long\",\"value\":null}],\"read_at_index\":8,\"heartbeat_confirmed\":true,"
         "\"linearizable\":true}",
         0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "batch", "a", "long", NULL);
    EXPECT(0, "a     [1.0]\nlong  (no such key)\n", "");
    run("-e", fake_address(s), "batch-read-index", "a", "long", "--json", NULL);
    EXPECT(0,
           "{\"values\":[{\"key\":\"a\",\"exists\":true,\"value\":[1.0]},{\"key\":\"long\","
           "\"exists\":false,"
           "\"value\":null}],\"index\":8,\"linearizable\":true,\"heartbeat_confirmed\":true,"
           "\"endpoint\":"
           "\"127.0.0.1:*\",\"attempts\":1,\"elapsed_ms\":*}\n",
           "");
    fake_stop(s);
}

/* ---- writes ---- */

static void ctl__writes_are_silent_and_exact(void **state)
{
    static const struct fake_step steps[] = {
        {"\"write\"", FAKE_REPLY, "{\"type\":\"write_ok\",\"in_reply_to\":%ID,\"index\":9}", 0},
        {"\"key\":\"none\"", FAKE_REPLY,
         "{\"type\":\"delete_ok\",\"in_reply_to\":%ID,\"existed\":false}", 0},
        {"\"delete\"", FAKE_REPLY, "{\"type\":\"delete_ok\",\"in_reply_to\":%ID,\"existed\":true}",
         0},
        {"\"from\":\"1\"", FAKE_REPLY, ERROR("precondition_failed", 22, true, ",\"index\":12"), 0},
        {"\"from\":\"2\"", FAKE_REPLY, ERROR("key_not_found", 20, true, ",\"index\":13"), 0},
        {"\"cas\"", FAKE_REPLY, "{\"type\":\"cas_ok\",\"in_reply_to\":%ID}", 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    const char *at = fake_address(s);

    (void)state;
    run("-e", at, "put", "k", "5", NULL);
    EXPECT(0, "", "");
    run("-e", at, "put", "k", "{\"a\": 1.50}", "--json-value", "--json", NULL);
    EXPECT(0,
           "{\"key\":\"k\",\"ok\":true,\"index\":9,\"endpoint\":\"127.0.0.1:*\",\"attempts\":1,"
           "\"elapsed_ms\":*}\n",
           "");
    input = "two\nlines\n";
    run("-e", at, "write", "k", "-", NULL);
    EXPECT(0, "", "");
    input = NULL;
    run("-e", at, "put", "-v", "--", "-k", "-5", NULL);
    EXPECT(0, "", "put: index 9, from 127.0.0.1:* in * ms\n");
    assert_non_null(strstr(fake_line(s, NULL, 0), "\"key\":\"k\",\"value\":\"5\","));
    assert_non_null(strstr(fake_line(s, NULL, 1), "\"key\":\"k\",\"value\":{\"a\":1.50},"));
    assert_non_null(strstr(fake_line(s, NULL, 2), "\"key\":\"k\",\"value\":\"two\\nlines\","));
    assert_non_null(strstr(fake_line(s, NULL, 3), "\"key\":\"-k\",\"value\":\"-5\","));
    run("-e", at, "del", "k", NULL);
    EXPECT(0, "", "");
    run("-e", at, "delete", "none", NULL);
    EXPECT(3, "", "ridctl: del: 'none': no such key, nothing to delete\n");
    run("-e", at, "cas", "k", "7", "8", "--create", NULL);
    EXPECT(0, "", "");
    assert_non_null(strstr(fake_line(s, "\"cas\"", 0),
                           "\"from\":\"7\",\"to\":\"8\",\"create_if_not_exists\":true"));
    run("-e", at, "cas", "k", "1", "8", NULL);
    EXPECT(4, "",
           "ridctl: cas: 'k': 127.0.0.1:* says: words of the server; read it and decide again: "
           "'ridctl get KEY'\n");
    run("-e", at, "cas", "k", "2", "8", "--json", NULL);
    EXPECT(3,
           "{\"error\":\"key_not_found\",\"code\":20,\"definite\":true,\"text\":\"words of the "
           "server\",\"index\":13,"
           "\"endpoint\":\"127.0.0.1:*\",\"attempts\":1}\n",
           "ridctl: cas: 'k': 127.0.0.1:* says: words of the server; --create would make it: "
           "'ridctl cas --help'\n");
    run("-e", at, "put", "k", "\xff", NULL);
    EXPECT(64, "", "ridctl: put: the value is not UTF-8 text without NUL bytes\n");
    input = "\xff\xfe"
            "a"; /* as an editor saves it elsewhere */
    run("-e", at, "put", "k", "-", NULL);
    EXPECT(64, "", "ridctl: put: the value is UTF-16, not UTF-8\n");
    input = NULL;
    run("-e", at, "put", "k", "{", "--json-value", NULL);
    EXPECT(64, "", "ridctl: put: 'k': value is not JSON: *\n");
    run("-e", at, "put", "x7", "1", "--int-key", NULL);
    EXPECT(64, "", "ridctl: put: 'x7' is no integer key (64 bit, decimal)\n");
    run("-e", at, "cas", "k", "-", "-", NULL);
    EXPECT(64, "", "ridctl: cas: only one of FROM and TO can come from standard input\n");
    fake_stop(s);
}

/* ---- failures ---- */

static void ctl__failures_have_a_line_and_a_number(void **state)
{
    static const struct {
        enum fake_action action;
        const char *reply;
        int exit_code;
        const char *err;
    } rows[] = {
        {FAKE_REPLY, ERROR("network", 11, true, ",\"reached\":1,\"needed\":2"), 2,
         "ridctl: put: 'k': 127.0.0.1:* says: words of the server; start more nodes; 'ridctl "
         "status' shows which are "
         "down\n"},
        {FAKE_REPLY, ERROR("timeout", 0, false, ""), 5,
         "ridctl: put: 'k': 127.0.0.1:* says: it is not known whether the write happened: words of "
         "the server; read "
         "the key before you write it again: 'ridctl get KEY'\n"},
        {FAKE_CLOSE, NULL, 5,
         "ridctl: put: 'k': it is not known whether the write happened: 127.0.0.1:* closed the "
         "connection before it "
         "answered; read the key before you write it again: 'ridctl get KEY'\n"},
        {FAKE_SILENT, NULL, 5,
         "ridctl: put: 'k': it is not known whether the write happened: no answer from 127.0.0.1:* "
         "within * ms; read "
         "the key before you write it again: 'ridctl get KEY'\n"},
        {FAKE_REPLY, ERROR("not_leader", 11, true, ",\"leader_id\":null,\"leader_addr\":null"), 2,
         "ridctl: put: 'k': 127.0.0.1:* says: words of the server; 'ridctl status' shows why "
         "nobody leads, and which nodes to start\n"},
        {FAKE_REPLY, ERROR("busy", 11, true, ",\"retry_after_ms\":1"), 75,
         "ridctl: put: 'k': 127.0.0.1:* says: words of the server; try again later; 'ridctl top' "
         "shows who is busy\n"},
        {FAKE_REPLY, ERROR("no_space", 14, true, ""), 75,
         "ridctl: put: 'k': 127.0.0.1:* says: words of the server; 'ridctl status' shows "
         "which nodes are full\n"},
        {FAKE_REPLY, ERROR("too_large", 12, true, ",\"limit\":9"), 64,
         "ridctl: put: 'k': 127.0.0.1:* says: words of the server; 'ridctl explain too_large'\n"},
        {FAKE_REPLY, ERROR("brand_new", 1, true, ""), 75,
         "ridctl: put: 'k': 127.0.0.1:* says: words of the server; this ridctl does not know that "
         "error: is it older "
         "than the node? 'ridctl --version'\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct fake_step steps[] = {{NULL, rows[i].action, rows[i].reply, 0}};
        struct fake_server *s = fake_start(STEPS(steps));

        run_patiently(fake_address(s), rows[i].exit_code, rows[i].err, "put", "k", "v");
        EXPECT(rows[i].exit_code, "", rows[i].err);
        fake_stop(s);
    }
}

static void ctl__a_read_that_fails_says_why(void **state)
{
    static const struct fake_step silent[] = {{NULL, FAKE_SILENT, NULL, 0}};
    static const char no_protocol[] =
        "ridctl: read_index: 'k': 127.0.0.1:* does not speak the protocol: not a JSON object; is "
        "that the client port of ridd?\n";
    static const struct fake_step garbage[] = {{NULL, FAKE_REPLY, "HTTP/1.1 400 Bad Request\r", 0}};
    struct fake_server *s = fake_start(STEPS(silent));
    char dead[32];
    char two[80];
    int fd = fake_refusing_port(dead, sizeof(dead));

    (void)state;
    run("-e", fake_address(s), "--timeout=120", "read_index", "k", NULL);
    EXPECT(69, "",
           "ridctl: read_index: 'k': no answer from 127.0.0.1:* within * ms; try 'ridctl status', "
           "or a larger "
           "--timeout\n");
    run("-e", fake_address(s), "--timeout=120", "read_index", "k", "--json", NULL);
    EXPECT(69,
           "{\"error\":\"no_answer\",\"definite\":true,\"text\":\"no answer from "
           "*\",\"endpoint\":\"127.0.0.1:*\","
           "\"attempts\":1}\n",
           "ridctl: *\n");
    fake_stop(s);
    s = fake_start(STEPS(garbage));
    run_patiently(fake_address(s), 69, no_protocol, "read_index", "k", NULL);
    EXPECT(69, "", no_protocol);
    fake_stop(s);
    run("-e", dead, "get", "k", NULL);
    EXPECT(69, "",
           "ridctl: get: 'k': cannot connect to 127.0.0.1:*: connection refused; is ridd running "
           "there? try 'ridctl "
           "status'\n");
    (void)snprintf(two, sizeof(two), "%s,127.0.0.1:1", dead);
    run("-e", two, "get", "k", NULL);
    EXPECT(69, "",
           "ridctl: get: 'k': none of 2 endpoints can be reached, the last: cannot connect to "
           "127.0.0.1:1: connection "
           "refused; is ridd running there? try 'ridctl status'\n");
    (void)close(fd);
}

static void ctl__what_comes_from_a_server_cannot_command_a_terminal(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n\\u001b[2J\",\"role\":"
         "\"le\\u0007der\","
         "\"leader_id\":\"\\u009bx\"}",
         0},
        {"\"members\"", FAKE_REPLY,
         "{\"type\":\"members_ok\",\"in_reply_to\":%ID,\"members\":[{\"id\":\"\\u001bc\"}]}", 0},
        {NULL, FAKE_REPLY,
         "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":12,\"text\":\"a\\u001b[31m\",\"error\":"
         "\"malformed\","
         "\"definite\":true}",
         0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "put", "k\x1b", "v", NULL);
    EXPECT(64, "", "ridctl: put: 'k?': 127.0.0.1:* says: a?[31m\n");
    run("-e", fake_address(s), "status", NULL);
    assert_null(strchr(result.out, '\x1b'));
    assert_null(strchr(result.out, '\a'));
    assert_null(strstr(result.out, "\xc2\x9b"));
    run("-e", fake_address(s), "members", NULL);
    EXPECT(0, "NODE  ROLE  PEER ADDRESS  CLIENT ADDRESS\n?c    -     -             -\n", "");
    fake_stop(s);
}

/* ---- usage and configuration ---- */

static void ctl__usage_errors_are_64(void **state)
{
    static const struct {
        const char *args[6];
        const char *err;
    } rows[] = {
        {{NULL}, "ridctl: no verb given; 'ridctl --help' lists them\n"},
        {{"gte", "x"}, "ridctl: no such verb 'gte'; did you mean 'get'?\n"},
        {{"rm", "x"}, "ridctl: no such verb 'rm'; did you mean 'del'?\n"},
        {{"set", "x", "y"}, "ridctl: no such verb 'set'; did you mean 'put'?\n"},
        {{"dump"}, "ridctl: no such verb 'dump'; did you mean 'export'?\n"},
        {{"frobnicate"}, "ridctl: no such verb 'frobnicate'; 'ridctl --help' lists them\n"},
        {{"get"}, "ridctl: get: something is missing; usage: ridctl get KEY *\n"},
        {{"get", "a", "b"},
         "ridctl: get: too many arguments, beginning with 'b'; usage: ridctl get KEY *\n"},
        {{"get", "a", "--create"},
         "ridctl: get: does not take '--create'; see 'ridctl get --help'\n"},
        {{"get", "a", "--via", "magic"},
         "ridctl: --via takes read_index, log, lease, follower, local, not 'magic'; see 'ridctl "
         "--help'\n"},
        {{"put", "a", "-5"},
         "ridctl: unknown option '-5'; see 'ridctl --help' (a value that begins with '-' goes "
         "behind '--')\n"},
        {{"put", "a", "-55"},
         "ridctl: unknown option '-5'; see 'ridctl --help' (a value that begins with '-' goes "
         "behind '--')\n"},
        {{"get", "--raw=x"}, "ridctl: '--raw' takes no value; see 'ridctl --help'\n"},
        {{"get", "--zork"},
         "ridctl: unknown option '--zork'; see 'ridctl --help' (a value that begins with '-' goes "
         "behind '--')\n"},
        {{"get", "--via"}, "ridctl: '--via' wants a value; see 'ridctl --help'\n"},
        {{"member", "remove", "n4", "--learner"},
         "ridctl: member: --learner is for add and rejoin\n"},
        {{"member", "promote", "n4", "--learner"},
         "ridctl: member: --learner is for add and rejoin\n"},
        {{"member", "list", "--learner"}, "ridctl: member: --learner is for add and rejoin\n"},
        {{"member", "list", "--dry-run"},
         "ridctl: member: --dry-run is for changes, and list makes none\n"},
        {{"member", "list", "--force-unsafe"},
         "ridctl: member: --force-unsafe is for changes, and list makes none\n"},
        {{"member", "add", "n4"},
         "ridctl: member: usage: ridctl member add NAME PEER-ADDRESS CLIENT-ADDRESS\n"},
        {{"-t", "0", "get", "a"}, "ridctl: --timeout takes a number from 1 to 60000, not '0'\n"},
        {{"-t", "1s", "get", "a"}, "ridctl: --timeout takes a number from 1 to 60000, not '1s'\n"},
        {{"compare", "-n", "100001"}, "ridctl: -n takes a number from 1 to 100000, not '100001'\n"},
        {{"compare", "--concurrency", "-1"},
         "ridctl: --concurrency takes a number from 1 to 128, not '-1'\n"},
        {{"-e", "127.0.0.1:1", "compare", "--methods", "magic"},
         "ridctl: compare: no such method 'magic'; --methods takes lease_read, follower_read, "
         "bounded_read, "
         "local_read\n"},
        {{"-e", "foo", "get", "a"},
         "ridctl: get: --endpoints: endpoint 'foo' has no port: write host:port\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const *a = rows[i].args;

        run(a[0], a[1], a[2], a[3], a[4], a[5], NULL);
        EXPECT(64, "", rows[i].err);
    }
}

static void ctl__the_cluster_is_found_in_order(void **state)
{
    static const char peers[] = "[cluster]\nname = test\n\n[peers]\n"
                                "n1 = 127.0.0.1:17401 %s\n"
                                "n2 = 127.0.0.1:17402 %s\n"
                                "n3 = 127.0.0.1:17403 127.0.0.1:3\n";
    static const struct fake_step steps_a[] = {
        {NULL, FAKE_REPLY, "{\"type\":\"read_ok\",\"in_reply_to\":%ID,\"value\":\"a\"}", 0}};
    static const struct fake_step steps_b[] = {
        {NULL, FAKE_REPLY, "{\"type\":\"read_ok\",\"in_reply_to\":%ID,\"value\":\"b\"}", 0}};
    struct fake_server *a = fake_start(STEPS(steps_a));
    struct fake_server *b = fake_start(STEPS(steps_b));
    char text[512];

    (void)state;
    run("get", "k", NULL);
    EXPECT(78, "",
           "ridctl: get: no cluster named: no ./ridd.conf, no " RIDD_CONF_FILE
           "; give --endpoints HOST:PORT,... or --config FILE\n");
    (void)snprintf(text, sizeof(text), peers, fake_address(a), "127.0.0.1:2");
    write_file("ridd.conf", text);
    run("get", "k", NULL);
    EXPECT(0, "\"a\"\n", "");
    (void)snprintf(text, sizeof(text), peers, fake_address(b), "127.0.0.1:2");
    write_file("other.conf", text);
    env_conf = "other.conf";
    run("get", "k", NULL);
    EXPECT(0, "\"b\"\n", "");
    env_endpoints = fake_address(a);
    run("get", "k", NULL);
    EXPECT(0, "\"a\"\n", "");
    run("-c", "other.conf", "get", "k", NULL);
    EXPECT(0, "\"b\"\n", "");
    run("-c", "other.conf", "-e", fake_address(a), "get", "k", NULL);
    EXPECT(0, "\"a\"\n", "");
    run("-c", "missing.conf", "get", "k", NULL);
    EXPECT(78, "",
           "ridctl: get: *missing.conf*; give --endpoints HOST:PORT,... or --config FILE\n");
    write_file("bad.conf", "[peers]\nn1 = nonsense\n");
    run("-c", "bad.conf", "get", "k", NULL);
    EXPECT(78, "", "ridctl: get: bad.conf:*; 'ridd --config bad.conf --check-config' shows all\n");
    env_endpoints = "x";
    run("get", "k", NULL);
    EXPECT(78, "", "ridctl: get: RIDCTL_ENDPOINTS: endpoint 'x' has no port: write host:port\n");
    env_endpoints = NULL;
    env_conf = NULL;
    (void)unlink("ridd.conf");
    fake_stop(a);
    fake_stop(b);
}

static void ctl__help_helps(void **state)
{
    static const char *const verbs[] = {"read_index", "read_via_log",  "compare",    "get",
                                        "put",        "del",           "cas",        "batch",
                                        "status",     "members",       "ping",       "transfer",
                                        "raw",        "follower_read", "lease_read", "local_read"};
    const char *index;
    const char *log;
    const char *compare;

    (void)state;
    run("--help", NULL);
    EXPECT(0, "Usage: ridctl [OPTION]... VERB [ARGUMENT]...\n*Examples:\n*Exit codes:*", "");
    index = strstr(result.out, "\n  read_index ");
    log = strstr(result.out, "\n  read_via_log ");
    compare = strstr(result.out, "\n  compare ");
    assert_true(index != NULL && log != NULL && compare != NULL);
    assert_true(index < log && log < compare && compare < strstr(result.out, "\n  get "));
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        char want[128];

        assert_non_null(strstr(result.out, verbs[i]));
        (void)snprintf(want, sizeof(want), "Usage: ridctl [OPTION]... %s*Options:\n*", verbs[i]);
        run(verbs[i], "--help", NULL);
        EXPECT(0, want, "");
        run("help", verbs[i], NULL);
        EXPECT(0, want, "");
        run("--help", NULL);
    }
    run("--version", NULL);
    EXPECT(0, "ridctl *.*.*\n", "");
    run("help", "gte", NULL);
    EXPECT(64, "", "ridctl: no such verb 'gte'; did you mean 'get'?\n");
}

static void ctl__a_full_disk_is_not_success(void **state)
{
    char *argv[] = {program, (char[]){"--help"}, NULL};

    (void)state;
    if (access("/dev/full", W_OK) != 0)
        return;
    run_args("/dev/full", argv);
    EXPECT(74, "", "ridctl: cannot write to standard output: No space left on device\n");
}

/* ---- the cluster ---- */

#define STATUS(node, role, more)                                                                   \
    "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"" node "\",\"role\":\"" role           \
    "\",\"term\":3,\"leader_id\":\"n1\",\"commit_index\":1200,\"applied_index\":1200,"             \
    "\"durable_index\":1201,\"peers\":[{\"id\":\"n2\",\"connected\":true},{\"id\":\"n3\","         \
    "\"connected\":false}],\"reads\":{\"read_index\":100,\"read_via_log\":20,\"batch\":3,"         \
    "\"local\":1},\"writes\":{\"applied\":55},\"log\":{\"fsyncs\":44},\"uptime_ms\":62000" more    \
    "}"

static void ctl__status_shows_all_nodes(void **state)
{
    char members[512];
    struct fake_step steps[] = {{"\"status\"", FAKE_REPLY, STATUS("n1", "leader", ""), 0},
                                {"\"members\"", FAKE_REPLY, members, 0}};
    static const struct fake_step other_steps[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n2\",\"role\":\"follower\","
         "\"term\":3}",
         0}};
    static const struct fake_step bereft[] = {
        {"\"status\"", FAKE_REPLY, STATUS("n2", "follower", ""), 0},
        {"\"members\"", FAKE_CLOSE, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct fake_server *other = fake_start(STEPS(other_steps));
    char dead[32];
    char list[80];
    char want[2048];
    int fd = fake_refusing_port(dead, sizeof(dead));

    (void)state;
    (void)snprintf(
        members, sizeof(members),
        "{\"type\":\"members_ok\",\"in_reply_to\":%%ID,\"members\":[{\"id\":\"n1\",\"role\":"
        "\"voter\","
        "\"peer_addr\":\"10.0.0.1:7401\",\"client_addr\":\"%s\"},{\"id\":\"n2\",\"role\":\"voter\","
        "\"client_addr\":\"%s\"},{\"id\":\"n3\",\"role\":\"voter\",\"client_addr\":\"%s\"}]}",
        fake_address(s), fake_address(other), dead);
    fake_publish(s);
    (void)snprintf(list, sizeof(list), "%s,%s", fake_address(s), dead); /* n2 is found through n1 */
    run("-e", list, "status", NULL);
    (void)snprintf(want, sizeof(want),
                   "DEGRADED: survives no more failure; 2 of 3 nodes answered, leader n1, term 3\n"
                   "  n3: unreachable: cannot connect to %s: connection refused\n"
                   "  n2: hears no leader\n"
                   "NODE  ROLE      TERM  APPLIED  LAG  PEERS  SYNC P99  UPTIME  ADDRESS\n"
                   "n1    leader       3     1200    0    1/2         -   1m02s  %s\n"
                   "n3    down\n"
                   "n2    follower     3        -    -      -         -       -  %s\n",
                   dead, fake_address(s), fake_address(other));
    EXPECT(6, want, "");
    run("-e", list, "status", "--wide", NULL);
    (void)snprintf(want, sizeof(want),
                   "DEGRADED: *\n  n3: *\n  n2: hears no leader\n"
                   "NODE  ROLE      TERM  LEADER  COMMIT  APPLIED  DURABLE  PEERS  READS  READS/S  "
                   "WRITES  FSYNCS  UPTIME  ADDRESS\n"
                   "n1    leader       3  n1        1200     1200     1201    1/2    124      2.0  "
                   "    55      44   1m02s  %s\n"
                   "n3    down\n"
                   "n2    follower     3  -            -        -        -      -      -        -  "
                   "     -       -       -  %s\n",
                   fake_address(s), fake_address(other));
    EXPECT(6, want, "");
    run("-e", fake_address(s), "status", "--json", NULL);
    EXPECT(
        6,
        "{\"verdict\":\"degraded\",\"survives\":0,\"reasons\":[{\"node\":\"n2\",\"endpoint\":"
        "\"127.0.0.1:*\",\"reason\":\"no_leader\",\"text\":\"hears no leader\"},{\"node\":\"n3\","
        "\"endpoint\":\"127.0.0.1:*\",\"reason\":\"unreachable\",\"text\":\"unreachable: cannot "
        "*\"}"
        "],\"answered\":2,\"nodes_total\":3,\"leader_id\":\"n1\",\"leader_answered\":true,"
        "\"term\":3,\"line\":\"DEGRADED: survives no more failure; 2 of 3 nodes answered, leader "
        "n1, term 3\",\"nodes\":[{\"node\":\"n1\",\"endpoint\":"
        "\"127.0.0.1:*\",\"up\":true,\"member\":\"voter\",\"status\":{\"type\":\"status_ok\",*}},"
        "{\"node\":\"n2\",*},"
        "{\"node\":\"n3\","
        "\"endpoint\":\"127.0.0.1:*\",\"up\":false,\"member\":\"voter\",\"error\":\"unreachable\","
        "\"text\":\"cannot "
        "connect to *: "
        "connection refused\"}]}\n",
        "");
    run("-e", fake_address(other), "status", NULL);
    EXPECT(2, "NO QUORUM: 1 of 1 nodes answered, no leader, term 3\nNODE *\nn2 *\n", "");
    run("-e", dead, "status", NULL);
    EXPECT(69,
           "NO QUORUM: 0 of 1 nodes answered\n"
           "  127.0.0.1:*: unreachable: cannot connect to 127.0.0.1:*: connection refused\n"
           "NODE *\n?     down\n",
           "");
    fake_stop(s);
    fake_stop(other);
    (void)close(fd);
    /* A follower believes in its leader for a while after that has died. */
    s = fake_start(STEPS(bereft));
    run("-e", fake_address(s), "status", NULL);
    EXPECT(2,
           "NO QUORUM: start 1 more node; 1 of 1 nodes answered, leader n1, which did not answer, "
           "term "
           "3\n*NODE *\n"
           "n2 *\n",
           "");
    fake_stop(s);
}

/* The second table: what is on the disks, and what is on its way. */
#define NO_CHANGES                                                                                 \
    ",\"configuration_index\":6,\"committed\":true,\"removed\":[],\"changes\":[],"                 \
    "\"last_task\":null}"

/* The leader that was asked has gone before anything of it was in the log, and the next one knows
 * nothing of it: it is asked again, and not waited for without end. */
static void ctl__a_change_that_nobody_knows_is_asked_for_again(void **state)
{
    static const struct fake_step steps[] = {
        {"\"member_add\"", FAKE_REPLY,
         "{\"type\":\"member_add_ok\",\"in_reply_to\":%ID,\"done\":false,"
         "\"configuration_index\":5,\"voters\":3,\"quorum\":2,\"voters_after\":4,"
         "\"quorum_after\":3,\"heard_after\":4}",
         0},
        {"\"members\"", FAKE_REPLY,
         "{\"type\":\"members_ok\",\"in_reply_to\":%ID,\"members\":[]" NO_CHANGES, 7},
        {"\"members\"", FAKE_REPLY,
         "{\"type\":\"members_ok\",\"in_reply_to\":%ID,\"members\":[{\"id\":\"n4\",\"role\":"
         "\"voter\"}]" NO_CHANGES,
         0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "member", "add", "n4", "10.0.0.4:7401", "10.0.0.4:7400", NULL);
    EXPECT(0,
           "voters 3 -> 4, quorum 2 -> 3; of those that would be voters 4 answer now: survives 1 "
           "more\nn4 is a member\n",
           "");
    assert_int_equal(fake_count(s, "\"member_add\""), 2);
    fake_stop(s);
}

/* What the leader says of a change of n4, and what is seen of it afterwards. */
#define MEMBER_OK(verb, done, index, task)                                                         \
    "{\"type\":\"" verb "_ok\",\"in_reply_to\":%ID,\"done\":" done                                 \
    ",\"configuration_index\":" index ",\"voters\":3,\"quorum\":2,\"voters_after\":3,\"quorum_"    \
    "after\":2,\"heard_after\":3,\"task\":" task "}"
#define MEMBERS_OK(index, role, last_task)                                                         \
    "{\"type\":\"members_ok\",\"in_reply_to\":%ID,\"members\":[{\"id\":\"n4\",\"role\":\"" role    \
    "\"}],\"configuration_index\":" index                                                          \
    ",\"committed\":true,\"removed\":[],\"changes\":[],\"last_task\":" last_task "}"
#define FAILED_TASK(task, taken_back)                                                              \
    "{\"id\":\"n4\",\"state\":\"failed\",\"why\":\"it did not answer\",\"task\":" task             \
    ",\"taken_back\":" taken_back "}"
#define QUORUMS                                                                                    \
    "voters 3 -> 3, quorum 2 -> 2; of those that would be voters 3 answer now: survives 1 more\n"

/* MEMBER-24: n4 was a learner before it became a voter, and a follower that lags shows that. */
static void ctl__what_lags_does_not_end_a_change(void **state)
{
    static const struct fake_step steps[] = {
        {"\"member_demote\"", FAKE_REPLY, MEMBER_OK("member_demote", "false", "12", "0"), 0},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("7", "learner", "null"), 1},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("11", "voter", "null"), 1},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("12", "learner", "null"), 0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "member", "demote", "n4", NULL);
    EXPECT(0, QUORUMS "n4 is a learner\n", "");
    assert_int_equal(fake_count(s, "\"members\""), 3);
    fake_stop(s);
}

/* MEMBER-24: whoever says that it is so already may lead no more, and show what was. */
static void ctl__what_is_so_already_is_confirmed(void **state)
{
    static const struct fake_step steps[] = {
        {"\"member_demote\"", FAKE_REPLY, MEMBER_OK("member_demote", "true", "7", "0"), 1},
        {"\"member_demote\"", FAKE_REPLY, MEMBER_OK("member_demote", "false", "12", "0"), 0},
        {"\"read_index\"", FAKE_REPLY,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":null,\"read_at_index\":9,"
         "\"heartbeat_confirmed\":true,\"linearizable\":true}",
         0},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("7", "learner", "null"), 1},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("9", "voter", "null"), 6},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("12", "learner", "null"), 0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "member", "demote", "n4", NULL);
    EXPECT(0, QUORUMS "n4 is a learner\n", "");
    assert_int_equal(fake_count(s, "\"read_index\""), 1);
    assert_int_equal(fake_count(s, "\"member_demote\""), 2);
    fake_stop(s);
}

/* MEMBER-3: who came back before this was asked for is back, and no removal will follow. */
static void ctl__a_rejoin_that_is_so_already_is_done(void **state)
{
    static const struct fake_step steps[] = {
        {"\"member_rejoin\"", FAKE_REPLY, MEMBER_OK("member_rejoin", "true", "7", "0"), 0},
        {"\"read_index\"", FAKE_REPLY,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":null,\"read_at_index\":9,"
         "\"heartbeat_confirmed\":true,\"linearizable\":true}",
         0},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("7", "voter", "null"), 0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "-t", "10000", "member", "rejoin", "n4", NULL);
    EXPECT(0, QUORUMS "n4 is back\n", "");
    assert_int_equal(fake_count(s, "\"read_index\""), 1);
    assert_int_equal(fake_count(s, "\"member_rejoin\""), 1);
    fake_stop(s);
}

static void ctl__a_quorum_that_is_not_there_is_said(void **state)
{
    static const struct fake_step steps[] = {
        {"\"member_add\"", FAKE_REPLY,
         "{\"type\":\"member_add_ok\",\"in_reply_to\":%ID,\"done\":false,"
         "\"configuration_index\":5,\"voters\":5,\"quorum\":3,\"voters_after\":6,"
         "\"quorum_after\":4,\"heard_after\":2,\"task\":0}",
         0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "member", "add", "n6", "10.0.0.6:7401", "10.0.0.6:7400", "--dry-run",
        NULL);
    EXPECT(0,
           "voters 5 -> 6, quorum 3 -> 4; of those that would be voters 2 answer now: no quorum, "
           "2 more must\n",
           "");
    fake_stop(s);
}

/* MEMBER-24: of an earlier attempt to add n4, and of a later one. */
static void ctl__only_the_own_failure_is_told(void **state)
{
    static const struct fake_step old[] = {
        {"\"member_promote\"", FAKE_REPLY, MEMBER_OK("member_promote", "false", "12", "0"), 0},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("12", "learner", FAILED_TASK("5", "12")), 1},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("13", "voter", FAILED_TASK("5", "9")), 0}};
    static const struct fake_step own[] = {
        {"\"member_add\"", FAKE_REPLY, MEMBER_OK("member_add", "false", "12", "8"), 0},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("12", "learner", FAILED_TASK("5", "0")), 1},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("12", "learner", FAILED_TASK("8", "0")), 0}};
    static const struct fake_step taken_back[] = {
        {"\"member_promote\"", FAKE_REPLY, MEMBER_OK("member_promote", "false", "12", "0"), 0},
        {"\"members\"", FAKE_REPLY, MEMBERS_OK("13", "learner", FAILED_TASK("0", "13")), 0}};
    struct fake_server *s = fake_start(STEPS(old));

    (void)state;
    run("-e", fake_address(s), "member", "promote", "n4", NULL);
    EXPECT(0, QUORUMS "n4 is a voter\n", "");
    fake_stop(s);
    s = fake_start(STEPS(own));
    run("-e", fake_address(s), "member", "add", "n4", "10.0.0.4:7401", "10.0.0.4:7400", NULL);
    EXPECT(4, QUORUMS, "ridctl: member: 'n4': it did not answer\n");
    assert_int_equal(fake_count(s, "\"members\""), 2);
    fake_stop(s);
    s = fake_start(STEPS(taken_back));
    run("-e", fake_address(s), "member", "promote", "n4", NULL);
    EXPECT(4, QUORUMS, "ridctl: member: 'n4': it did not answer\n");
    fake_stop(s);
}

/* STATUS-4: the file lists a node that has left, has the old address of another, and does not know
 * the one that leads; only a node that lags, and knows less, answers at first. */
static void ctl__status_knows_members_better_than_the_file(void **state)
{
    char members[2][512];
    struct fake_step lags[] = {{"\"status\"", FAKE_REPLY,
                                "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n2\","
                                "\"cluster\":\"here\",\"role\":\"follower\",\"term\":3,"
                                "\"leader_id\":\"n5\"}",
                                0},
                               {"\"members\"", FAKE_REPLY, members[0], 0}};
    struct fake_step leads[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n5\",\"cluster\":\"here\","
         "\"role\":\"leader\",\"term\":3,\"leader_id\":\"n5\",\"serving\":true,\"peers\":[{"
         "\"id\":\"n2\",\"connected\":true,\"heard\":true},{\"id\":\"n3\",\"connected\":true,"
         "\"heard\":true}]}",
         0},
        {"\"members\"", FAKE_REPLY, members[1], 0}};
    static const struct fake_step moved[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n3\",\"cluster\":\"here\","
         "\"role\":\"follower\",\"term\":3,\"leader_id\":\"n5\"}",
         0}};
    struct fake_server *n2 = fake_start(STEPS(lags));
    struct fake_server *n3 = fake_start(STEPS(moved));
    struct fake_server *n5 = fake_start(STEPS(leads));
    char dead[2][32];
    char want[1024];
    FILE *f;
    const int fds[] = {fake_refusing_port(dead[0], sizeof(dead[0])),
                       fake_refusing_port(dead[1], sizeof(dead[1]))};

    (void)state;
    (void)snprintf(members[0], sizeof(members[0]),
                   "{\"type\":\"members_ok\",\"in_reply_to\":%%ID,\"members\":[{\"id\":\"n5\","
                   "\"client_addr\":\"%s\"},{\"id\":\"n3\",\"client_addr\":\"%s\"}]}",
                   fake_address(n5), dead[0]);
    (void)snprintf(members[1], sizeof(members[1]),
                   "{\"type\":\"members_ok\",\"in_reply_to\":%%ID,\"members\":[{\"id\":\"n2\","
                   "\"client_addr\":\"%s\"},{\"id\":\"n3\",\"client_addr\":\"%s\"},{\"id\":"
                   "\"n5\",\"client_addr\":\"%s\"}]}",
                   fake_address(n2), fake_address(n3), fake_address(n5));
    fake_publish(n2);
    fake_publish(n5);
    f = fopen("other.conf", "we");
    assert_non_null(f);
    (void)fprintf(f,
                  "[cluster]\nname = here\n\n[peers]\nn2 = 10.0.0.2:7401 %s\nn3 = "
                  "10.0.0.3:7401 %s\nn4 = 10.0.0.4:7401 %s\n[security]\ninsecure = yes\n",
                  fake_address(n2), dead[0], dead[1]);
    assert_int_equal(fclose(f), 0);
    run("-c", "other.conf", "status", NULL);
    (void)snprintf(want, sizeof(want),
                   "OK: survives 1 more failure; 3 of 3 nodes answered, leader n5, term 3\n"
                   "NODE *\nn2 *\nn4    no member\nn5 *\nn3 *  %s\n",
                   fake_address(n3));
    EXPECT(0, want, "");
    run("-c", "other.conf", "status", "-v", NULL);
    EXPECT(0, "OK: *\nn4    no member\n*\n\nNODE *\nn4    no member\n*", "");
    run("-c", "other.conf", "status", "--json", NULL);
    EXPECT(
        0,
        "*\"nodes\":[{\"node\":\"n2\",*,\"member\":\"voter\",*{\"node\":\"n4\",\"endpoint\":\"*\","
        "\"up\":false,\"member\":\"no_member\",\"error\":\"unreachable\",*",
        "");
    fake_stop(n2);
    fake_stop(n3);
    fake_stop(n5);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* What the leader says of its lease: nothing where it is to take none. */
static void ctl__status_tells_of_the_lease(void **state)
{
    static const struct {
        const char *leases;
        const char *says;
    } rows[] = {
        {"\"lease_ms\":0,\"valid\":false,\"why_not\":null,\"waits_for\":null", ""},
        {"\"lease_ms\":300,\"valid\":true,\"left_ms\":247.61,\"why_not\":null",
         "lease: n1, 300 ms, for another 248 ms\n"},
        {"\"lease_ms\":300,\"valid\":false,\"why_not\":\"version\",\"waits_for\":{\"id\":\"n3\","
         "\"why\":\"it was not met since this node started\"}",
         "lease: n1, 300 ms, none now: n3: it was not met since this node started\n"},
        {"\"lease_ms\":300,\"valid\":false,\"why_not\":\"version\",\"waits_for\":null",
         "lease: n1, 300 ms, none now: not all members are known to know of leases yet\n"},
        {"\"lease_ms\":300,\"valid\":false,\"why_not\":\"clocks\",\"waits_for\":null",
         "lease: n1, 300 ms, none now: clocks run apart\n"},
        {"\"lease_ms\":300,\"valid\":false,\"why_not\":\"handed over\",\"waits_for\":null",
         "lease: n1, 300 ms, none now: the leadership was being handed over in this term\n"},
        {"\"lease_ms\":300,\"valid\":false,\"why_not\":\"silent\",\"waits_for\":null",
         "lease: n1, 300 ms, none now: too few nodes have answered lately\n"},
        {"\"lease_ms\":300,\"valid\":false,\"why_not\":\"\\u001b[31m\",\"waits_for\":null",
         "lease: n1, 300 ms, none now: ?[31m\n"},
        {"\"lease_ms\":0,\"valid\":false,\"gate_left_ms\":65.3",
         "gate: nothing is committed for another 65 ms: promises to the leader before it run so "
         "long\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char reply[1024];
        char want[512];
        struct fake_step steps[] = {{"\"status\"", FAKE_REPLY, reply, 0},
                                    {"\"members\"", FAKE_CLOSE, NULL, 0}};
        struct fake_server *s = fake_start(STEPS(steps));

        (void)snprintf(reply, sizeof(reply),
                       "{\"type\":\"status_ok\",\"in_reply_to\":%%ID,\"node\":\"n1\",\"role\":"
                       "\"leader\",\"term\":3,\"serving\":true,\"leases\":{%s}}",
                       rows[i].leases);
        fake_publish(s);
        (void)snprintf(want, sizeof(want), "OK: *\n%sNODE *\nn1 *\n", rows[i].says);
        run("-e", fake_address(s), "status", NULL);
        EXPECT(0, want, "");
        fake_stop(s);
    }
}

static void ctl__status_shows_what_is_on_the_disks(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"role\":\"leader\",\"term\":"
         "3,"
         "\"serving\":true,\"log\":{\"fsyncs\":4,\"bytes\":10485760},"
         "\"state\":{\"keys\":12,\"live_bytes\":5242880,\"file_bytes\":1073741824},"
         "\"snapshots\":{\"index\":77,\"bytes\":6291456,\"age_s\":95,\"log_begins_behind\":70,"
         "\"making\":true,\"making_percent\":43,\"sending\":[],\"receiving\":null}}",
         0},
        {"\"members\"", FAKE_CLOSE, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "status", "-v", NULL);
    EXPECT(0,
           "OK: *\nNODE *\nn1 *\n\n"
           "NODE  KEYS  LIVE  FILE  LOG  BEGINS  SNAPSHOT    AGE  SIZE  UNDER WAY\n"
           "n1      12    5M    1G  10M      70        77  1m35s    6M  making: 43 %\n",
           "");
    run("-e", fake_address(s), "status", "-v", "--wide", NULL);
    EXPECT(0,
           "OK: *\nNODE *\nn1 *\n\n"
           "NODE  KEYS     LIVE     FILE       LOG  BEGINS  SNAPSHOT    AGE     SIZE  UNDER WAY\n"
           "n1      12  5.0 MiB  1.0 GiB  10.0 MiB      70        77  1m35s  6.0 MiB  making: 43 "
           "%\n",
           "");
    fake_stop(s);
}

static void ctl__a_node_that_hangs_costs_status_its_time_once(void **state)
{
    static const struct fake_step silent[] = {{NULL, FAKE_SILENT, NULL, 0}};
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, STATUS("n1", "leader", ""), 0},
        {"\"members\"", FAKE_CLOSE, NULL, 0}};
    struct fake_server *hung[12];
    struct fake_server *s = fake_start(STEPS(steps));
    char list[512];
    size_t used = (size_t)snprintf(list, sizeof(list), "%s", fake_address(s));
    struct timespec before;
    struct timespec after;

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        hung[i] = fake_start(STEPS(silent));
        used += (size_t)snprintf(list + used, sizeof(list) - used, ",%s", fake_address(hung[i]));
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    run("-e", list, "-t", "2000", "status", NULL);
    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    EXPECT(6,
           "DEGRADED: survives no more failure; 1 of 13 nodes answered, leader n1, term 3\n  "
           "127.0.0.1:*: unreachable: no "
           "answer from *\nNODE *\nn1 *\n?     down\n?     down\n",
           "");
    assert_true(after.tv_sec - before.tv_sec < 15); /* one after the other: 24 s */
    for (size_t i = 0; i < 12; i++)
        fake_stop(hung[i]);
    fake_stop(s);
}

/* STATUS-1: a node that is busy lives. */
static void ctl__a_busy_node_is_not_absent(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, STATUS("n1", "leader", ""), 0},
        {"\"members\"", FAKE_CLOSE, NULL, 0}};
    static const struct fake_step full[] = {
        {NULL, FAKE_REPLY_AND_CLOSE,
         "{\"type\":\"error\",\"code\":11,\"text\":\"too many connections; try again\",\"error\":"
         "\"busy\",\"definite\":true,\"limit\":64,\"retry_after_ms\":1000}",
         0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct fake_server *busy = fake_start(STEPS(full));
    char list[80];

    (void)state;
    (void)snprintf(list, sizeof(list), "%s,%s", fake_address(s), fake_address(busy));
    run("-e", list, "status", NULL);
    EXPECT(6,
           "DEGRADED: survives no more failure; 2 of 2 nodes answered (1 busy), leader n1, term 3\n"
           "  127.0.0.1:*: busy: too many connections; try again\n*NODE *\nn1 *\n?     busy\n",
           "");
    fake_stop(s);
    fake_stop(busy);
}

static void ctl__members_ping_transfer(void **state)
{
    static const struct fake_step steps[] = {
        {"\"members\"", FAKE_REPLY,
         "{\"type\":\"members_ok\",\"in_reply_to\":%ID,\"members\":[{\"id\":\"n1\",\"role\":"
         "\"voter\",\"peer_addr\":"
         "\"10.0.0.1:7401\",\"client_addr\":\"10.0.0.1:7400\"},{\"id\":\"node-2\",\"role\":"
         "\"learner\"}]}",
         0},
        {"\"ping\"", FAKE_REPLY,
         "{\"type\":\"pong\",\"in_reply_to\":%ID,\"node\":\"n1\",\"role\":\"leader\",\"term\":3,"
         "\"applied_index\":17}",
         0},
        {"\"to\":\"n9\"", FAKE_REPLY, ERROR("malformed", 12, true, ",\"field\":\"to\""), 0},
        {"\"to\":\"n7\"", FAKE_REPLY, ERROR("timeout", 0, true, ",\"timeout_ms\":500"), 0},
        {"\"to\":\"n6\"", FAKE_REPLY, ERROR("network", 11, true, ",\"reached\":1,\"needed\":2"), 0},
        {"\"to\":\"n8\"", FAKE_REPLY,
         ERROR("not_leader", 11, true, ",\"leader_id\":null,\"leader_addr\":null"), 0},
        {"\"transfer_leader\"", FAKE_REPLY,
         "{\"type\":\"transfer_leader_ok\",\"in_reply_to\":%ID,\"leader_id\":\"n2\"}", 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    char dead[32];
    char list[80];
    int fd = fake_refusing_port(dead, sizeof(dead));

    (void)state;
    (void)snprintf(list, sizeof(list), "%s,%s", fake_address(s), dead);
    run("-e", list, "members", NULL);
    EXPECT(0,
           "NODE    ROLE     PEER ADDRESS   CLIENT ADDRESS\n"
           "n1      voter    10.0.0.1:7401  10.0.0.1:7400\n"
           "node-2  learner  -              -\n",
           "");
    run("-e", list, "members", "--json", NULL);
    EXPECT(0, "{\"type\":\"members_ok\",*}\n", "");
    run("-e", list, "ping", NULL);
    EXPECT(0,
           "NODE  ROLE *\nn1    leader     3       17  *.*  127.0.0.1:*\n?     down: cannot "
           "connect to *\n",
           "");
    run("-e", list, "ping", "--json", NULL);
    EXPECT(
        0,
        "{\"nodes\":[{\"endpoint\":\"127.0.0.1:*\",\"up\":true,\"elapsed_ms\":*,\"pong\":{\"type\":"
        "\"pong\",*}},"
        "{\"endpoint\":\"127.0.0.1:*\",\"up\":false,\"error\":\"unreachable\",\"text\":\"*\"}]}\n",
        "");
    run("-e", dead, "ping", NULL);
    EXPECT(69, "*",
           "ridctl: ping: none of 1 nodes answered; is ridd running there? try 'ridctl status'\n");
    run("-e", list, "transfer", NULL);
    EXPECT(0, "n2 leads\n", "");
    run("-e", list, "transfer", "n9", NULL);
    EXPECT(64, "", "ridctl: transfer: 'n9': 127.0.0.1:* says: words of the server\n");
    run_patiently(fake_address(s), 2, "ridctl: transfer: 'n8': *\n", "transfer", "n8", NULL);
    EXPECT(
        2, "",
        "ridctl: transfer: 'n8': 127.0.0.1:* says: words of the server; 'ridctl status' shows why "
        "nobody leads, and which nodes to start\n");
    /* Given up: more time alone would not have helped. */
    run("-e", list, "transfer", "n7", NULL);
    EXPECT(75, "",
           "ridctl: transfer: 'n7': 127.0.0.1:* says: words of the server; try again, or a larger "
           "--timeout; 'ridctl status' shows which nodes are slow, full or down\n");
    run("-e", list, "transfer", "n6", NULL);
    EXPECT(2, "",
           "ridctl: transfer: 'n6': 127.0.0.1:* says: words of the server; start more nodes; "
           "'ridctl status' shows which are down\n");
    fake_stop(s);
    (void)close(fd);
}

/* ---- compare ---- */

#define METHOD(name, ms, entries)                                                                  \
    "{\"method\":\"" name "\",\"reads\":100,\"avg_ms\":" ms ",\"p50_ms\":0.4,\"p95_ms\":1,"        \
    "\"p99_ms\":1.5,\"max_ms\":12.25,\"reads_per_s\":2000.4,\"log_entries\":" entries              \
    ",\"log_bytes\":6400,\"fsyncs\":" entries ",\"quorum_rounds\":12,\"stale\":0}"
#define COMPARE_OK(linearizable, methods)                                                          \
    "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":%ID,\"read_index_avg_ms\":0.5,"         \
    "\"read_via_log_avg_ms\":3.7,\"both_linearizable\":" linearizable methods "}"

static void ctl__compare_measures_and_judges(void **state)
{
    static const struct fake_step steps[] = {
        {"\"num_reads\":1,", FAKE_REPLY, COMPARE_OK("true", ""), 0},
        {"\"num_reads\":2,", FAKE_REPLY, COMPARE_OK("false", ""), 0},
        {"\"num_reads\":3,", FAKE_REPLY,
         COMPARE_OK("true", ",\"methods\":[" METHOD("read_index", "4", "1") "," METHOD(
                                "read_via_log", "2", "100") "]"),
         0},
        {"\"num_reads\":4,", FAKE_REPLY, ERROR("term_changed", 11, true, ""), 0},
        {"\"compare_read_methods\"", FAKE_REPLY,
         COMPARE_OK("true",
                    ",\"node\":\"n1\",\"methods\":[" METHOD("read_index", "0.5", "0") "," METHOD(
                        "read_via_log", "3.7", "100") "]"),
         0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    const char *at = fake_address(s);

    (void)state;
    run("-e", at, "compare", NULL);
    EXPECT(0,
           "METHOD        AT  READS  P50 MS  P95 MS  P99 MS  MAX MS  READS/S  STALE\n"
           "read_index    n1    100   0.400   1.000   1.500  12.250     2000      0\n"
           "read_via_log  n1    100   0.400   1.000   1.500  12.250     2000      0\n"
           "read_index answered 7.4 times faster than read_via_log with 0 log entries and 0 "
           "fsyncs; both were "
           "linearizable\n",
           "");
    assert_string_equal(
        fake_line(s, NULL, 0),
        "{\"type\":\"compare_read_methods\",\"num_reads\":100,\"verbose\":true,\"cost\":true,"
        "\"msg_id\":1}");
    run("-e", at, "compare_read_methods", "-n", "7", "--concurrency", "16", "--methods",
        "local,lease_read,follower-read,read_index", NULL);
    EXPECT(0, "METHOD *", "");
    assert_string_equal(
        fake_line(s, NULL, 1),
        "{\"type\":\"compare_read_methods\",\"num_reads\":7,\"verbose\":true,\"cost\":true,"
        "\"concurrency\":16,\"methods\":[\"local_read\",\"lease_read\",\"follower_read\"],"
        "\"msg_id\":1}");
    run("-e", at, "compare", "-n", "1", NULL); /* a server that tells no more than it must */
    EXPECT(0,
           "METHOD *\nread_index answered 7.4 times faster than read_via_log; both were "
           "linearizable\n",
           "");
    run("-e", at, "compare", "--num-reads", "2", NULL);
    EXPECT(1,
           "METHOD *\nread_index answered 7.4 times faster than read_via_log; they were NOT both "
           "linearizable\n",
           "ridctl: compare: a read broke linearizability: keep the logs and data of all nodes, "
           "and report it\n");
    run("-e", at, "compare", "--num-reads", "2", "--json", NULL);
    EXPECT(1, "{\"type\":\"compare_read_methods_ok\",*}\n", "");
    run("-e", at, "compare", "-n", "3", NULL);
    EXPECT(0,
           "METHOD *\nread_index answered 2.0 times slower than read_via_log with 1 log entry and "
           "1 fsync; both were "
           "linearizable\n",
           "");
    run("-e", at, "compare", "-n", "4", NULL); /* not silently begun again */
    EXPECT(75, "",
           "ridctl: compare: 127.0.0.1:* says: words of the server; the leader changed meanwhile: "
           "try again\n");
    assert_int_equal(fake_count(s, "\"num_reads\":4,"), 1);
    fake_stop(s);
}

/* What a node of this version adds: a histogram, and what it cost. */
#define FIGURES(name, node, histogram, messages)                                                   \
    "{\"method\":\"" name "\",\"reads\":100,\"avg_ms\":0.4,\"p50_ms\":0.2,\"p95_ms\":1,"           \
    "\"p99_ms\":1.5,\"max_ms\":2.5,\"reads_per_s\":2000,\"stale\":0,\"promises\":"                 \
    "\"linearizable\",\"wrong\":0,\"histogram\":[" histogram "],\"cost\":{\"reads\":256,"          \
    "\"messages\":" messages ",\"rounds\":256,\"asks\":0,\"log_entries\":0,\"log_bytes\":0,"       \
    "\"fsyncs\":0,\"disk_writes\":0,\"wire_bytes\":25600}}"

static void ctl__compare_shows_where_the_times_lie(void **state)
{
    static const struct fake_step steps[] = {
        {"\"compare_read_methods\"", FAKE_REPLY,
         COMPARE_OK("true",
                    ",\"node\":\"n1\",\"methods\":[" FIGURES(
                        "read_index", "n1", "[95,1],[111,80],[127,10],[1023,9]",
                        "1024") "," FIGURES("lease_read", "n1", "[7,99],[2559,1]", "0") "]"),
         0}};
    struct fake_server *s = fake_start(STEPS(steps));
    const char *at = fake_address(s);

    (void)state;
    run("-e", at, "compare", "--methods", "lease", NULL);
    EXPECT(0,
           "METHOD      AT  READS  P50 MS  P95 MS  P99 MS  MAX MS  READS/S  STALE\n"
           "read_index  n1    100   0.200   1.000   1.500   2.500     2000      0\n"
           "lease_read  n1    100   0.200   1.000   1.500   2.500     2000      0\n"
           "\n"
           "read_index     n1                .@.           .\n"
           "lease_read     n1  @                                .\n"
           "                     10us         100us        1ms\n"
           "\n"
           "PER READ    AT  MESSAGES  ROUNDS  ENTRIES  FSYNCS  WRITES  LOG B  WIRE B\n"
           "read_index  n1      4.00    1.00     0.00    0.00    0.00      0     100\n"
           "lease_read  n1      0.00    1.00     0.00    0.00    0.00      0     100\n"
           "read_index answered *; both were linearizable\n",
           "");
    env_locale = "C.UTF-8";
    run("-e", at, "compare", NULL);
    EXPECT(0, "*lease_read     n1  \xe2\x96\x88 *\xe2\x96\x81\n*", "");
    env_locale = "C";
    run("-e", at, "compare", "--csv", NULL);
    EXPECT(0,
           "node,role,readers,method,reads,avg_ms,*,wire_bytes\n"
           "n1,leader,1,read_index,100,0.400,0.200,1.000,1.500,2.500,2000,0,0,0,4.0000,1.0000,"
           "0.0000,0.0000,0.0000,0.0000,0.0000,100.0000\n"
           "n1,leader,1,lease_read,*\n"
           "\n\nnode,role,readers,method,upper_us,reads\n"
           "n1,leader,1,read_index,95,1\n"
           "n1,leader,1,read_index,111,80\n"
           "n1,leader,1,read_index,127,10\n"
           "n1,leader,1,read_index,1023,9\n"
           "n1,leader,1,lease_read,7,99\n"
           "n1,leader,1,lease_read,2559,1\n",
           "");
    fake_stop(s);
}

/* --all: a follower beside the leader, while that is kept writing. */
static void ctl__compare_all_asks_two_nodes(void **state)
{
    static const struct fake_step leading[] = {
        /* It runs once it was asked for, and not before. */
        {"\"status\"", FAKE_REPLY_AFTER,
         STATUS("n1", "leader", ",\"compare\":{\"done\":5,\"total\":100000}"), 0},
        {"\"only\":true", FAKE_SILENT, NULL, 0},
        {"\"status\"", FAKE_REPLY, STATUS("n1", "leader", ""), 0},
        {"\"compare_read_methods\"", FAKE_REPLY,
         COMPARE_OK("true",
                    ",\"node\":\"n1\",\"writes\":true,\"values_seen\":9,\"methods\":[" FIGURES(
                        "read_index", "n1", "[95,100]", "1024") "]"),
         0}};
    static const struct fake_step following[] = {
        {"\"status\"", FAKE_REPLY, STATUS("n2", "follower", ""), 0},
        {"\"num_reads\":1,", FAKE_REPLY,
         "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":%ID,\"read_index_avg_ms\":null,"
         "\"read_via_log_avg_ms\":null,\"both_linearizable\":true,\"node\":\"n2\",\"methods\":"
         "[" FIGURES("follower_read", "n2", "[95,1]", "512") "]}",
         0},
        {"\"compare_read_methods\"", FAKE_REPLY,
         "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":%ID,\"read_index_avg_ms\":null,"
         "\"read_via_log_avg_ms\":null,\"both_linearizable\":true,\"node\":\"n2\","
         "\"writes\":false,\"values_seen\":0,\"methods\":[" FIGURES("follower_read", "n2",
                                                                    "[95,100]", "9999") "]}",
         0}};
    struct fake_server *n1 = fake_start(STEPS(leading));
    struct fake_server *n2 = fake_start(STEPS(following));
    char list[256];

    (void)state;
    (void)snprintf(list, sizeof(list), "%s,%s", fake_address(n1), fake_address(n2));
    run("-e", list, "compare", "--all", "--readers", "4", "--max-stale", "70", NULL);
    EXPECT(0,
           "4 reads at a time\n"
           "METHOD         AT  READS  *\n"
           "read_index     n1    100  *\n"
           "follower_read  n2    100  *\n"
           "*"
           "read_index     n1      4.00  *\n"
           "follower_read  n2      2.00  *\n"
           "\n"
           "read_index answered *\n"
           "nothing was written while n2 read: its reads were held against little\n",
           "");
    assert_string_equal(
        fake_line(n1, "\"lease_read\"", 0),
        "{\"type\":\"compare_read_methods\",\"num_reads\":100,\"verbose\":true,\"cost\":true,"
        "\"concurrency\":4,\"max_stale_ms\":70,\"methods\":[\"lease_read\",\"follower_read\","
        "\"bounded_read\",\"local_read\"],\"msg_id\":1}");
    assert_int_equal(fake_count(n1, "\"only\":true"), 1);
    assert_string_equal(
        fake_line(n2, "\"compare_read_methods\"", 0),
        "{\"type\":\"compare_read_methods\",\"num_reads\":100,\"verbose\":true,\"cost\":true,"
        "\"concurrency\":4,\"max_stale_ms\":70,\"only\":true,\"methods\":[\"follower_read\","
        "\"bounded_read\",\"local_read\"],\"msg_id\":4}");
    run("-e", list, "compare", "--all", "--json", NULL);
    EXPECT(0,
           "{\"runs\":[{\"node\":\"n1\",\"role\":\"leader\",\"readers\":1,\"reply\":{*}},"
           "{\"node\":\"n2\",\"role\":\"follower\",\"readers\":1,*"
           "{\"node\":\"n1\",\"role\":\"leader\",\"readers\":16,*"
           "{\"node\":\"n2\",\"role\":\"follower\",\"readers\":16,*}]}\n",
           "");
    fake_stop(n1);
    fake_stop(n2);
}

/* Reads what a terminal would show until the pattern has come. */
static bool terminal_shows(int fd, const char *pattern, char *seen, size_t size)
{
    size_t len = 0;
    char want[256];

    (void)snprintf(want, sizeof(want), "*%s*", pattern);
    seen[0] = '\0';
    while (len + 1 < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, 10000) <= 0)
            return false;
        n = read(fd, seen + len, size - len - 1);
        if (n <= 0)
            return false;
        len += (size_t)n;
        seen[len] = '\0';
        if (matches(seen, want))
            return true;
    }
    return false;
}

static pid_t run_on_terminal(const char *address, const char *verb, int *ret_terminal)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[128];
    pid_t pid;

    assert_true(terminal >= 0);
    assert_int_equal(grantpt(terminal), 0);
    assert_int_equal(unlockpt(terminal), 0);
    assert_int_equal(ptsname_r(terminal, name, sizeof(name)), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        redirect("/dev/null", O_RDONLY, STDIN_FILENO);
        redirect("out", O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
        redirect(name, O_WRONLY | O_NOCTTY, STDERR_FILENO);
        (void)setenv("TERM", "xterm", 1);
        (void)alarm(60);
        (void)execl(program, program, "-e", address, verb, (char *)NULL);
        _exit(127);
    }
    *ret_terminal = terminal;
    return pid;
}

static void ctl__compare_shows_progress_on_a_terminal(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY,
         STATUS("n1", "leader", ",\"compare\":{\"done\":50,\"total\":200}"), 0},
        {"\"compare_read_methods\"", FAKE_SILENT, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    char seen[8192];
    int terminal;
    int status;
    pid_t pid = run_on_terminal(fake_address(s), "compare", &terminal);

    (void)state;
    assert_true(terminal_shows(terminal,
                               "[##########..............................] 50 of 200 reads", seen,
                               sizeof(seen)));
    /* The node goes away: the bar ends with the call, and the failure is told. */
    fake_stop(s);
    assert_true(terminal_shows(terminal, "ridctl: compare: ", seen, sizeof(seen)));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 0);
    (void)close(terminal);
}

/* ---- snapshot ---- */

#define PONG "{\"type\":\"pong\",\"in_reply_to\":%ID,\"node\":\"n1\"}"
#define SNAPSHOT_OK(index, making)                                                                 \
    "{\"type\":\"snapshot_ok\",\"in_reply_to\":%ID,\"index\":" index ",\"making\":" making "}"
/* As it is at applied index 20. */
#define SNAPSHOTS(fields)                                                                          \
    "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"applied_index\":20,"            \
    "\"uptime_ms\":5000,\"snapshots\":{" fields "}}"
#define MAKING  SNAPSHOTS("\"index\":10,\"making\":true,\"making_percent\":43,\"wanted\":false")
#define OLD_ONE SNAPSHOTS("\"index\":10,\"bytes\":1024,\"making\":false,\"wanted\":false")
#define MADE_ONE                                                                                   \
    SNAPSHOTS("\"index\":20,\"bytes\":12897485,\"last_ms\":400,\"making\":false,\"wanted\":false")

static void ctl__a_snapshot_is_waited_for(void **state)
{
    static const struct fake_step good[] = {
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "true"), 0},
        {"\"status\"", FAKE_REPLY, OLD_ONE, 1},
        {"\"status\"", FAKE_REPLY, MAKING, 2},
        {"\"status\"", FAKE_REPLY, MADE_ONE, 2},
        {"\"status\"", FAKE_REPLY, MAKING, 1},
        {"\"status\"", FAKE_REPLY, MADE_ONE, 0}};
    static const struct fake_step nothing[] = {
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "false"), 1},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("0", "false"), 0},
        {"\"status\"", FAKE_REPLY, OLD_ONE, 0}};
    static const struct fake_step full[] = {
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "true"), 0},
        {"\"status\"", FAKE_REPLY, OLD_ONE, 1},
        {"\"status\"", FAKE_REPLY,
         SNAPSHOTS("\"index\":10,\"failed\":1,\"failed_why\":\"no room\",\"making\":false,"
                   "\"wanted\":true"),
         0}};
    static const struct fake_step none[] = {
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"status\"", FAKE_REPLY, OLD_ONE, 0},
        {"\"snapshot\"", FAKE_REPLY, ERROR("not_supported", 10, true, ""), 0}};
    struct fake_server *s = fake_start(STEPS(good));

    (void)state;
    run("-e", fake_address(s), "snapshot", NULL);
    EXPECT(0, "n1: snapshot of index 20, 12.3 MiB in 0.4 s\n", "");
    assert_int_equal(fake_count(s, "\"type\":\"snapshot\""), 1);
    fake_stop(s);
    s = fake_start(STEPS(nothing));
    run("-e", fake_address(s), "snapshot", NULL);
    EXPECT(0, "n1: nothing new since the snapshot of index 10\n", "");
    run("-e", fake_address(s), "snapshot", NULL);
    EXPECT(0, "n1: there is nothing to make a snapshot of\n", "");
    fake_stop(s);
    s = fake_start(STEPS(full));
    run("-e", fake_address(s), "snapshot", NULL);
    EXPECT(75, "",
           "ridctl: snapshot: n1: no snapshot could be made: no room; the node goes on trying\n");
    fake_stop(s);
    s = fake_start(STEPS(none));
    run("-e", fake_address(s), "snapshot", "--json", NULL);
    EXPECT(64,
           "{\"nodes\":[{\"node\":\"n1\",\"endpoint\":\"127.0.0.1:*\",\"error\":\"not_supported\","
           "\"text\":\"words of the server\"}]}\n",
           "ridctl: snapshot: n1: words of the server\n");
    fake_stop(s);
}

/* What was being made when it was asked is there, and what was asked for is forgotten (BACKUP-5). */
static void ctl__a_node_that_was_started_again_has_forgotten(void **state)
{
    static const struct fake_step early[] = {
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "true"), 0},
        {"\"status\"", FAKE_REPLY, OLD_ONE, 1},
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"applied_index\":20,"
         "\"uptime_ms\":300,\"snapshots\":{\"index\":15,\"making\":false,\"wanted\":false}}",
         0}};
    /* Up for as long as it was before, again. */
    static const struct fake_step late[] = {
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "true"), 0},
        {"\"status\"", FAKE_REPLY, OLD_ONE, 1},
        {"\"status\"", FAKE_REPLY, MAKING, 0}};
    struct fake_server *s = fake_start(STEPS(early));

    (void)state;
    run("-e", fake_address(s), "snapshot", NULL);
    EXPECT(75, "", "ridctl: snapshot: n1: the node was started again meanwhile; try again\n");
    fake_stop(s);
    s = fake_start(STEPS(late));
    run("-e", fake_address(s), "snapshot", NULL);
    EXPECT(75, "", "ridctl: snapshot: n1: the node was started again meanwhile; try again\n");
    fake_stop(s);
}

static void ctl__a_snapshot_shows_progress_on_a_terminal(void **state)
{
    static const struct fake_step steps[] = {
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "true"), 0},
        {"\"status\"", FAKE_REPLY, OLD_ONE, 1},
        {"\"status\"", FAKE_REPLY, MAKING, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    char seen[8192];
    int terminal;
    int status;
    pid_t pid = run_on_terminal(fake_address(s), "snapshot", &terminal);

    (void)state;
    assert_true(terminal_shows(terminal, "[#################.......................] n1: 43 %",
                               seen, sizeof(seen)));
    fake_stop(s);
    assert_true(terminal_shows(terminal, "ridctl: snapshot: n1: ", seen, sizeof(seen)));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 69);
    (void)close(terminal);
}

static void ctl__snapshots_of_several_nodes(void **state)
{
    char members[512];
    struct fake_step steps[] = {{"\"members\"", FAKE_REPLY, members, 0},
                                {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "false"), 0},
                                {"\"status\"", FAKE_REPLY, OLD_ONE, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    char dead[32];
    int fd = fake_refusing_port(dead, sizeof(dead));

    (void)state;
    (void)snprintf(members, sizeof(members),
                   "{\"type\":\"members_ok\",\"in_reply_to\":%%ID,\"members\":[{\"id\":\"n1\","
                   "\"client_addr\":\"%s\"},{\"id\":\"n2\",\"client_addr\":\"%s\"}]}",
                   fake_address(s), dead);
    fake_publish(s);
    run("-e", fake_address(s), "snapshot", "--all", NULL);
    EXPECT(69, "n1: nothing new since the snapshot of index 10\n",
           "ridctl: snapshot: n2: cannot connect to 127.0.0.1:*: connection refused\n");
    run("-e", fake_address(s), "snapshot", "n1", "--json", NULL);
    EXPECT(0,
           "{\"nodes\":[{\"node\":\"n1\",\"endpoint\":\"127.0.0.1:*\",\"made\":false,\"index\":10,"
           "\"bytes\":1024,\"elapsed_ms\":0.000}]}\n",
           "");
    run("-e", fake_address(s), "snapshot", "n9", NULL);
    EXPECT(64, "", "ridctl: snapshot: no node 'n9' in this cluster; 'ridctl members' lists them\n");
    run("-e", fake_address(s), "snapshot", "n1", "--all", NULL);
    EXPECT(64, "", "ridctl: snapshot: --all names every node already\n");
    run("-e", fake_address(s), "snapshot", "n1", "n2", "--save", "f", NULL);
    EXPECT(64, "", "ridctl: snapshot: --save takes the snapshot of one node\n");
    run("-e", fake_address(s), "snapshot", "n1", "--save", ".", NULL);
    EXPECT(64, "", "ridctl: snapshot: n1: '.' is no regular file\n");
    run("-e", fake_address(s), "save", NULL);
    EXPECT(64, "", "ridctl: no such verb 'save'; did you mean 'backup'?\n");
    fake_stop(s);
    (void)close(fd);
}

/* The file of a snapshot, and the replies that it comes in. */
#define BODY_BYTES 5000u
#define PART_BYTES 3000u
struct whole {
    struct buf file;
    struct buf replies[2];
};

static void make_whole(struct whole *w, const char *spoil)
{
    struct snap_meta m = {.id = {.index = 10, .term = 2},
                          .config = {.index = 1},
                          .body_bytes = BODY_BYTES,
                          .digest = {.index = 10}};

    memset(w, 0, sizeof(*w));
    raft_configuration_init(&m.config.configuration);
    assert_int_equal(raft_configuration_add(&m.config.configuration, 5, "n1", RAFT_VOTER, "", ""),
                     0);
    for (unsigned i = 0; i < BODY_BYTES; i++)
        assert_int_equal(buf_add_u8(&w->file, (uint8_t)(i * 7 + i / 256)), 0);
    m.body_crc = crc32c(0, w->file.data, BODY_BYTES) + (strcmp(spoil, "trailer") == 0);
    assert_int_equal(snap_meta_encode(&m, &w->file), 0);
    for (unsigned i = 0; i < 2; i++) {
        const size_t at = i * PART_BYTES;
        const size_t n = i == 0 ? PART_BYTES : w->file.len - PART_BYTES;
        struct buf *b = &w->replies[i];
        uint32_t crc = crc32c(0, w->file.data + at, n);

        crc += i == 1 && strcmp(spoil, "part") == 0;
        assert_int_equal(buf_add_format(b,
                                        "{\"type\":\"snapshot_part_ok\",\"in_reply_to\":%%ID,"
                                        "\"index\":10,\"term\":2,\"offset\":%zu,\"bytes\":%zu,"
                                        "\"crc32c\":%u,\"last\":%s,\"part\":\"",
                                        at, w->file.len, crc, i == 1 ? "true" : "false"),
                         0);
        assert_int_equal(base64_encode(w->file.data + at, n, b), 0);
        assert_int_equal(buf_add(b, "\"}", 3), 0);
    }
}

static void free_whole(struct whole *w)
{
    buf_done(&w->file);
    buf_done(&w->replies[0]);
    buf_done(&w->replies[1]);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void expect_file(const char *path, const struct buf *want)
{
    static char have[BYTES_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, have, sizeof(have)), (ssize_t)want->len);
    assert_memory_equal(have, want->data, want->len);
    (void)close(fd);
}

/* Steps are six. After the first part it may say nothing more. */
static struct fake_server *serve(struct fake_step *steps, const struct whole *w, bool stops)
{
    const struct fake_step all[6] = {
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"status\"", FAKE_REPLY, OLD_ONE, 0},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "false"), 0},
        {"\"offset\":0,", FAKE_REPLY, (char *)w->replies[0].data, 0},
        {"\"offset\":3000,", stops ? FAKE_SILENT : FAKE_REPLY, (char *)w->replies[1].data, 0},
        {NULL, FAKE_CLOSE, NULL, 0}};

    memcpy(steps, all, sizeof(all));
    return fake_start(steps, 6);
}

static void ctl__a_snapshot_is_saved_whole_or_not_at_all(void **state)
{
    struct fake_step steps[6];
    struct fake_server *s;
    struct whole w;

    (void)state;
    make_whole(&w, "");
    s = serve(steps, &w, false);
    write_file("saved", "an older one");
    run("-e", fake_address(s), "snapshot", "--save", "saved", NULL);
    EXPECT(0, "n1: snapshot of index 10 saved in saved, 5.* KiB in *.* s\n", "");
    expect_file("saved", &w.file);
    assert_false(exists("saved.part") || exists("saved.part-of"));
    (void)unlink("saved");
    fake_stop(s);

    /* Interrupted: nothing has its name, and the next run asks for the rest alone. */
    s = serve(steps, &w, true);
    run("-e", fake_address(s), "-t", "300", "snapshot", "--save", "saved", NULL);
    EXPECT(69, "", "ridctl: snapshot: n1: *; the same command goes on from 5* %\n");
    assert_true(!exists("saved") && exists("saved.part") && exists("saved.part-of"));
    fake_stop(s);
    s = serve(steps, &w, false);
    run("-e", fake_address(s), "snapshot", "--save", "saved", "--json", NULL);
    EXPECT(0, "{\"nodes\":[{\"node\":\"n1\",*\"index\":10,*\"file\":\"saved\"}]}\n", "");
    expect_file("saved", &w.file);
    assert_int_equal(fake_count(s, "\"offset\":0,"), 0);
    assert_int_equal(fake_count(s, "\"type\":\"snapshot\""), 0);
    assert_int_equal(fake_count(s, "\"offset\":3000,\"index\":10,\"term\":2,"), 1);
    fake_stop(s);

    /* What is begun is of a snapshot that is gone: from the beginning. */
    write_file("saved.part", "xxx");
    write_file("saved.part-of", "n1 7 2 9999\n");
    s = serve(steps, &w, false);
    steps[5] = (struct fake_step){"\"index\":7,", FAKE_REPLY,
                                  ERROR("malformed", 12, true, ",\"field\":\"index\""), 0};
    fake_publish(s);
    run("-e", fake_address(s), "snapshot", "--save", "saved", NULL);
    EXPECT(0, "n1: snapshot of index 10 saved in saved, *\n", "");
    expect_file("saved", &w.file);
    fake_stop(s);
    free_whole(&w);
}

/* SNAP-16 */
static void ctl__a_spoilt_snapshot_is_not_saved(void **state)
{
    struct fake_step steps[6];
    struct fake_server *s;
    struct whole w;

    (void)state;
    (void)unlink("saved");
    make_whole(&w, "part");
    s = serve(steps, &w, false);
    run("-e", fake_address(s), "snapshot", "--save", "saved", NULL);
    EXPECT(75, "", "ridctl: snapshot: n1: a part came damaged (its checksum); try again; *\n");
    assert_false(exists("saved"));
    fake_stop(s);
    free_whole(&w);
    (void)unlink("saved.part");
    (void)unlink("saved.part-of");

    make_whole(&w, "trailer");
    s = serve(steps, &w, false);
    run("-e", fake_address(s), "snapshot", "--save", "saved", NULL);
    EXPECT(75, "", "ridctl: snapshot: n1: what came does not add up to what its end says; *\n");
    assert_false(exists("saved") || exists("saved.part") || exists("saved.part-of"));
    fake_stop(s);
    free_whole(&w);
}

/* ---- backup ---- */

#define BACKUP_STEPS 8
static const char well[] =
    "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"cluster\":\"main\","
    "\"cluster_hash\":\"5ada9d6d4a637107\",\"role\":\"leader\",\"applied_index\":10,"
    "\"snapshots\":{\"index\":10,\"bytes\":5000}}";

/* As serve(), and who belongs to it, and how far it is. */
static struct fake_server *serve_backup(struct fake_step *steps, const struct whole *w, bool stops)
{
    const struct fake_step all[BACKUP_STEPS] = {
        {"\"members\"", FAKE_REPLY, "{\"type\":\"members_ok\",\"in_reply_to\":%ID,\"members\":[]}",
         0},
        {"\"scan\"", FAKE_REPLY,
         "{\"type\":\"scan_ok\",\"in_reply_to\":%ID,\"keys\":[],\"more\":false,\"read_at_index\":"
         "10,"
         "\"linearizable\":true}",
         0},
        {"\"status\"", FAKE_REPLY, well, 0},
        {"\"snapshot\"", FAKE_REPLY, SNAPSHOT_OK("10", "false"), 0},
        {"\"offset\":0,", FAKE_REPLY, (char *)w->replies[0].data, 0},
        {"\"offset\":3000,", stops ? FAKE_CLOSE : FAKE_REPLY, (char *)w->replies[1].data, 0},
        {NULL, FAKE_CLOSE, NULL, 0},
        {NULL, FAKE_CLOSE, NULL, 0}};

    memcpy(steps, all, sizeof(all));
    return fake_start(steps, BACKUP_STEPS);
}

static size_t read_bytes(const char *path, char have[BYTES_MAX])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    assert_true(fd >= 0);
    n = read(fd, have, BYTES_MAX);
    (void)close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

/* The snapshot to the byte, and a label that is of it. */
static void expect_backup(const char *path, const struct whole *w)
{
    static char have[BYTES_MAX];
    const size_t trailer = w->file.len - BODY_BYTES;
    const size_t n = read_bytes(path, have);
    struct backup_label l;

    assert_true(n > w->file.len);
    assert_memory_equal(have, w->file.data, w->file.len);
    assert_int_equal(backup_label_decode(have + w->file.len, n - w->file.len, w->file.len,
                                         have + BODY_BYTES, trailer, &l),
                     0);
    assert_string_equal(l.cluster_name, "main");
    assert_string_equal(l.cluster_hash, "5ada9d6d4a637107");
    assert_string_equal(l.node_name, "n1");
    assert_true(strncmp(l.program, "ridctl ", 7) == 0);
}

static void save_stream(const char *address)
{
    char *argv[] = {program,          (char[]){"-e"},   (char *)(uintptr_t)address,
                    (char[]){"-t"},   (char[]){"2000"}, (char[]){"backup"},
                    (char[]){"save"}, (char[]){"-"},    NULL};

    run_args("stream", argv);
}

/* BACKUP-5 in the order of its questions, and SNAP-16. */
static void ctl__a_backup_is_saved_with_its_label(void **state)
{
    struct fake_step steps[BACKUP_STEPS];
    struct fake_server *s;
    char members[512];
    struct whole w;

    (void)state;
    make_whole(&w, "");
    s = serve_backup(steps, &w, false);
    run("-e", fake_address(s), "backup", "save", "saved", NULL);
    EXPECT(0, "n1: index 10 saved in saved, 5.* KiB in *.* s\n", "");
    expect_backup("saved", &w);
    assert_int_equal(fake_count(s, "\"via\":\"read_index\""), 1);
    assert_int_equal(fake_count(s, "\"type\":\"snapshot\""), 1);
    (void)unlink("saved");
    run("-e", fake_address(s), "backup", "save", "saved", "--json", NULL);
    EXPECT(0,
           "{\"file\":\"saved\",\"node\":\"n1\",\"endpoint\":\"127.0.0.1:*\",\"cluster\":\"main\","
           "\"cluster_hash\":\"5ada9d6d4a637107\",\"begun\":\"2*Z\",\"went_on\":false,\"index\":10,"
           "\"holds_index\":10,\"bytes\":5*,\"elapsed_ms\":*}\n",
           "");
    (void)unlink("saved");
    save_stream(fake_address(s));
    assert_int_equal(result.exit_code, 0);
    expect_backup("stream", &w);
    run("-e", fake_address(s), "backup", "save", "saved", "n9", NULL);
    EXPECT(64, "", "ridctl: backup: no node 'n9' in this cluster; 'ridctl members' lists them\n");
    fake_stop(s);

    /* Interrupted, and gone on with, whatever was said of newer ones. */
    s = serve_backup(steps, &w, true);
    run("-e", fake_address(s), "-t", "2000", "backup", "save", "saved", NULL);
    EXPECT(69, "", "ridctl: backup: n1: *; the same command goes on from 5* %\n");
    assert_true(!exists("saved") && exists("saved.part"));
    save_stream(fake_address(s));
    assert_int_equal(result.exit_code, 69);
    assert_true(matches(result.err, "*; what was written is no backup; *\n"));
    fake_stop(s);
    s = serve_backup(steps, &w, false);
    run("-e", fake_address(s), "backup", "save", "saved", "--min-index", "11", "-t", "300", NULL);
    assert_int_equal(result.exit_code, 75); /* what was begun is too old, and so is the node */
    fake_stop(s);

    /* What was begun the node has no more: a new one, and not just the newest that it has. */
    write_file("saved.part", "xxx");
    write_file("saved.part-of", "n1 7 2 9999 17\n");
    s = serve_backup(steps, &w, false);
    (void)snprintf(members, sizeof(members),
                   "{\"type\":\"members_ok\",\"in_reply_to\":%%ID,\"members\":[{\"id\":\"n1\","
                   "\"client_addr\":\"%s\"}]}",
                   fake_address(s));
    steps[0].reply = members;
    steps[6] = (struct fake_step){"\"index\":7,", FAKE_REPLY,
                                  ERROR("malformed", 12, true, ",\"field\":\"index\""), 0};
    fake_publish(s);
    run("-e", fake_address(s), "backup", "save", "saved", NULL);
    EXPECT(0, "n1: index 10 saved in saved, 5.* KiB in *.* s\n", "");
    expect_backup("saved", &w);
    assert_int_equal(fake_count(s, "\"via\":\"read_index\""), 1);
    assert_int_equal(fake_count(s, "\"type\":\"snapshot\""), 1);
    assert_int_equal(fake_count(s, "\"index\":7,"), 1);
    (void)unlink("saved");
    /* What was begun is too old for who asks for more: it is not even asked for. */
    write_file("saved.part", "xxx");
    write_file("saved.part-of", "n1 7 2 9999 17\n");
    run("-e", fake_address(s), "backup", "save", "saved", "--min-index", "8", NULL);
    EXPECT(0, "n1: index 10 saved in saved, 5.* KiB in *.* s\n", "");
    assert_int_equal(fake_count(s, "\"index\":7,"), 1);
    (void)unlink("saved");
    fake_stop(s);
    free_whole(&w);
}

/* BACKUP-5: neither what somebody else has ended with meanwhile, nor what the node falls back to,
 * is taken for what was asked for. */
static void ctl__a_backup_is_never_of_before(void **state)
{
    struct fake_step steps[BACKUP_STEPS];
    struct fake_server *s;
    char members[512];
    char begun[128];
    struct whole w;

    (void)state;
    (void)unlink("saved");
    make_whole(&w, "");
    s = serve_backup(steps, &w, false);
    (void)snprintf(members, sizeof(members),
                   "{\"type\":\"members_ok\",\"in_reply_to\":%%ID,\"members\":[{\"id\":\"n1\","
                   "\"client_addr\":\"%s\"}]}",
                   fake_address(s));
    steps[0].reply = members;
    fake_publish(s);
    /* There when it is looked at, and not what it goes on with. */
    (void)snprintf(begun, sizeof(begun), "%s 7 2 9999 17\n", fake_address(s));
    write_file("saved.part", "xxx");
    write_file("saved.part-of", begun);
    run("-e", fake_address(s), "backup", "save", "saved", NULL);
    EXPECT(0, "n1: index 10 saved in saved, 5.* KiB in *.* s\n", "");
    assert_int_equal(fake_count(s, "\"via\":\"read_index\""), 1);
    assert_int_equal(fake_count(s, "\"type\":\"snapshot\""), 1);
    assert_false(exists("saved.part") || exists("saved.part-of"));
    (void)unlink("saved");
    /* It has made 11, and gives 10. */
    steps[3].reply = SNAPSHOT_OK("11", "false");
    fake_publish(s);
    run("-e", fake_address(s), "backup", "save", "saved", NULL);
    EXPECT(75, "", "ridctl: backup: n1: the node has let go of that snapshot meanwhile: *\n");
    assert_false(exists("saved") || exists("saved.part") || exists("saved.part-of"));
    save_stream(fake_address(s));
    assert_int_equal(result.exit_code, 75);
    fake_stop(s);
    free_whole(&w);
}

/* A stream that is not whole has no label: what comes out of it is refused. */
static void ctl__a_spoilt_backup_is_none(void **state)
{
    static char have[BYTES_MAX];
    struct fake_step steps[BACKUP_STEPS];
    struct fake_server *s;
    struct whole w;

    (void)state;
    make_whole(&w, "trailer");
    s = serve_backup(steps, &w, false);
    save_stream(fake_address(s));
    assert_int_equal(result.exit_code, 75);
    assert_true(matches(result.err, "*; what was written is no backup: try again*"));
    assert_int_equal(read_bytes("stream", have), w.file.len);
    run("backup", "verify", "stream", NULL);
    EXPECT(65, "", "ridctl: backup: 'stream' is damaged: *; take another backup\n");
    run("-e", fake_address(s), "backup", "save", "saved", NULL);
    EXPECT(75, "", "ridctl: backup: n1: what came does not add up *; nothing was saved: *\n");
    assert_false(exists("saved"));
    fake_stop(s);
    free_whole(&w);
}

/* It is no damage, and nobody should throw it away. */
static void ctl__a_digest_of_another_version_is_said(void **state)
{
    struct whole w;
    FILE *file = fopen("whole", "w");

    (void)state;
    make_whole(&w, "");
    assert_non_null(file);
    assert_int_equal(fwrite(w.file.data, 1, w.file.len, file), w.file.len);
    assert_int_equal(fclose(file), 0);
    run("backup", "verify", "whole", NULL);
    EXPECT(65, "",
           "ridctl: backup: 'whole' is whole, and has a digest of version 0; this program makes 1: "
           "verify it with the version that saved it\n");
    free_whole(&w);
}

static void ctl__backup_takes_its_words(void **state)
{
    (void)state;
    run("backup", "save", NULL);
    EXPECT(64, "", "ridctl: backup: something is missing; usage: *\n");
    run("backup", "mend", "x", NULL);
    EXPECT(64, "", "ridctl: backup: no such word 'mend'; it is save, verify, inspect or restore\n");
    run("backup", "verify", "x", "y", NULL);
    EXPECT(64, "", "ridctl: backup: verify takes FILE, not 'y', too\n");
    run("backup", "verify", "x", "--id", "n1", NULL);
    EXPECT(64, "", "ridctl: backup: --id goes with restore\n");
    run("backup", "restore", "x", "--min-index", "4", NULL);
    EXPECT(64, "", "ridctl: backup: --min-index goes with save\n");
    run("-e", "h:1", "backup", "restore", "x", NULL);
    EXPECT(64, "", "ridctl: backup: restore makes a data directory on this machine: *\n");
    run("backup", "restore", "x", "--json", NULL);
    EXPECT(64, "{\"error\":\"usage\",*}\n", "ridctl: backup: --json goes with save, *\n");
    run("backup", "verify", "nothing", NULL);
    EXPECT(64, "", "ridctl: backup: cannot open 'nothing': No such file or directory\n");
    write_file("file", "text");
    run("backup", "inspect", "file", "--json", NULL);
    EXPECT(65, "{\"error\":\"damaged\",\"definite\":true,\"text\":\"'file' is no backup: *\"}\n",
           "ridctl: backup: 'file' is no backup: one is made with 'ridctl backup save FILE'\n");
}

/* ---- raw ---- */

static void ctl__raw_passes_lines_both_ways(void **state)
{
    static const struct fake_step steps[] = {{"last", FAKE_REPLY_AND_CLOSE, "{\"x\":%ID}", 0},
                                             {"hangs", FAKE_STALL, NULL, 0},
                                             {NULL, FAKE_REPLY, "{\"in_reply_to\":%ID}", 0}};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    input = "{\"msg_id\":1}\nnot JSON\n{\"msg_id\":3}\n";
    run("-e", fake_address(s), "raw", NULL);
    EXPECT(0, "{\"in_reply_to\":1}\n{\"in_reply_to\":null}\n{\"in_reply_to\":3}\n", "");
    input = "";
    run("-e", fake_address(s), "raw", NULL);
    EXPECT(0, "", "");
    input = "{\"msg_id\":5}\nhangs\n";
    run("-e", fake_address(s), "-t", "1500", "raw", NULL);
    EXPECT(75, "{\"in_reply_to\":5}\n",
           "ridctl: raw: 127.0.0.1:* still owes an answer after 1500 ms of silence; give --timeout "
           "more\n");
    input = NULL;
    run("-e", "127.0.0.1:1", "raw", NULL);
    EXPECT(69, "",
           "ridctl: raw: cannot connect to 127.0.0.1:1: connection refused; is ridd running there? "
           "try 'ridctl "
           "status'\n");
    fake_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ctl__reads_print_the_value_alone),
        cmocka_unit_test(ctl__mistakes_are_json_with_json),
        cmocka_unit_test(ctl__another_cluster_is_told_before_anything_is_sent),
        cmocka_unit_test(ctl__batch_prints_a_line_per_key),
        cmocka_unit_test(ctl__writes_are_silent_and_exact),
        cmocka_unit_test(ctl__failures_have_a_line_and_a_number),
        cmocka_unit_test(ctl__a_read_that_fails_says_why),
        cmocka_unit_test(ctl__what_comes_from_a_server_cannot_command_a_terminal),
        cmocka_unit_test(ctl__usage_errors_are_64),
        cmocka_unit_test(ctl__the_cluster_is_found_in_order),
        cmocka_unit_test(ctl__help_helps),
        cmocka_unit_test(ctl__a_full_disk_is_not_success),
        cmocka_unit_test(ctl__status_shows_all_nodes),
        cmocka_unit_test(ctl__a_change_that_nobody_knows_is_asked_for_again),
        cmocka_unit_test(ctl__what_lags_does_not_end_a_change),
        cmocka_unit_test(ctl__what_is_so_already_is_confirmed),
        cmocka_unit_test(ctl__a_rejoin_that_is_so_already_is_done),
        cmocka_unit_test(ctl__only_the_own_failure_is_told),
        cmocka_unit_test(ctl__a_quorum_that_is_not_there_is_said),
        cmocka_unit_test(ctl__status_knows_members_better_than_the_file),
        cmocka_unit_test(ctl__status_tells_of_the_lease),
        cmocka_unit_test(ctl__status_shows_what_is_on_the_disks),
        cmocka_unit_test(ctl__a_busy_node_is_not_absent),
        cmocka_unit_test(ctl__a_node_that_hangs_costs_status_its_time_once),
        cmocka_unit_test(ctl__members_ping_transfer),
        cmocka_unit_test(ctl__compare_measures_and_judges),
        cmocka_unit_test(ctl__compare_shows_where_the_times_lie),
        cmocka_unit_test(ctl__compare_all_asks_two_nodes),
        cmocka_unit_test(ctl__compare_shows_progress_on_a_terminal),
        cmocka_unit_test(ctl__a_snapshot_is_waited_for),
        cmocka_unit_test(ctl__a_node_that_was_started_again_has_forgotten),
        cmocka_unit_test(ctl__a_snapshot_shows_progress_on_a_terminal),
        cmocka_unit_test(ctl__snapshots_of_several_nodes),
        cmocka_unit_test(ctl__a_snapshot_is_saved_whole_or_not_at_all),
        cmocka_unit_test(ctl__a_spoilt_snapshot_is_not_saved),
        cmocka_unit_test(ctl__a_backup_is_saved_with_its_label),
        cmocka_unit_test(ctl__a_backup_is_never_of_before),
        cmocka_unit_test(ctl__a_spoilt_backup_is_none),
        cmocka_unit_test(ctl__a_digest_of_another_version_is_said),
        cmocka_unit_test(ctl__backup_takes_its_words),
        cmocka_unit_test(ctl__raw_passes_lines_both_ways),
    };

    return cmocka_run_group_tests_name("ctl", tests, ctl_run_set_up, ctl_run_tear_down);
}
