/* client: what is tried again and what is not, deadlines, hints, values byte for byte, arguments.
 * Each test scripts the servers and then counts what they were sent: a write that arrives twice is
 * the failure that matters most. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/ridd.h"
#include "unit/fake-names.h"
#include "unit/fake-server.h"

#define STEPS(a) (a), sizeof(a) / sizeof((a)[0])
#define READ_OK                                                                                    \
    "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":\"42\",\"read_at_index\":5,"        \
    "\"heartbeat_confirmed\":true,\"linearizable\":true,\"exists\":true}"
#define WRITE_OK "{\"type\":\"write_ok\",\"in_reply_to\":%ID,\"index\":9}"
#define ERROR(name, code, definite)                                                                \
    "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":" #code ",\"text\":\"it went wrong\","       \
    "\"error\":\"" name "\",\"definite\":" #definite "}"

/* For a call that is to be answered, however busy the machine. */
#define PATIENCE_MS 60000u

static struct ridd *open_with(const char *endpoints, unsigned timeout_ms, unsigned flags)
{
    struct ridd_options options = {.timeout_ms = timeout_ms, .flags = flags, .seed = 7};
    struct ridd *c = NULL;

    assert_int_equal(ridd_open(endpoints, &options, &c), RIDD_OK);
    return c;
}

static struct ridd *open_two(const char *a, const char *b, unsigned timeout_ms)
{
    char list[128];

    (void)snprintf(list, sizeof(list), "%s,%s", a, b);
    return open_with(list, timeout_ms, 0);
}

static void not_leader(char *ret, size_t size, const char *address)
{
    (void)snprintf(
        ret, size,
        "{\"type\":\"error\",\"in_reply_to\":%%ID,\"code\":11,\"text\":\"not the leader\","
        "\"error\":\"not_leader\",\"definite\":true,\"leader_id\":\"n2\",\"leader_addr\":%s%s%s}",
        address != NULL ? "\"" : "", address != NULL ? address : "null",
        address != NULL ? "\"" : "");
}

/* One read, one write on a fresh client; the status is checked, the reply freed. */
static void expect_read(struct ridd *c, enum ridd_status status)
{
    struct ridd_reply *r = ridd_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX);

    if (r->status != status)
        print_error("%s: %s\n", ridd_status_name(r->status), r->text);
    assert_int_equal(r->status, status);
    if (status == RIDD_OK)
        assert_string_equal(r->value, "\"42\"");
    ridd_reply_free(r);
}

static void expect_write(struct ridd *c, enum ridd_status status, enum ridd_status cause,
                         int definite)
{
    struct ridd_reply *r = ridd_put(c, ridd_key("x"), "1");

    if (r->status != status)
        print_error("%s: %s\n", ridd_status_name(r->status), r->text);
    assert_int_equal(r->status, status);
    assert_int_equal(r->cause, cause);
    assert_int_equal(r->definite, definite);
    ridd_reply_free(r);
}

/* ---- answers ---- */

static void client__a_read_gives_the_value_byte_for_byte(void **state)
{
    static const char value[] =
        "{\"b\":0.1,\"a\":[1,2.50,1e100,-7,\"]}\\\"\\u00e4\\n\"],\"value\":null}";
    char reply[512];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, reply, 0}};
    struct fake_server *s;
    struct ridd_reply *r;
    struct ridd *c;

    (void)state;
    (void)snprintf(
        reply, sizeof(reply),
        "{\"x\":{\"value\":1},\"type\":\"read_index_ok\" , \"in_reply_to\":%%ID,\"value\" : %s ,"
        "\"read_at_index\":5,\"heartbeat_confirmed\":true,\"linearizable\":true}",
        value);
    s = fake_start(STEPS(steps));
    c = open_with(fake_address(s), 2000, 0);
    r = ridd_get(c, ridd_key("k\"\n"), RIDD_VIA_READ_INDEX);
    assert_int_equal(r->status, RIDD_OK);
    assert_string_equal(r->value, value);
    assert_int_equal(r->value_len, strlen(value));
    assert_null(r->string);
    assert_int_equal(r->exists, 1);
    assert_int_equal(r->index, 5);
    assert_int_equal(r->linearizable, 1);
    assert_int_equal(r->heartbeat_confirmed, 1);
    assert_int_equal(r->attempts, 1);
    assert_string_equal(r->endpoint, fake_address(s));
    ridd_reply_free(r);
    /* The server is told less than there is, so that it can still say why it failed. */
    assert_non_null(strstr(fake_line(s, NULL, 0),
                           "{\"type\":\"read_index\",\"key\":\"k\\\"\\n\",\"verbose\":true,"
                           "\"timeout_ms\":1"));
    ridd_close(c);
    fake_stop(s);
}

static void client__absent_and_null_are_told_apart(void **state)
{
    static const struct fake_step steps[] = {
        {"\"absent\"", FAKE_REPLY,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":null,\"exists\":false,"
         "\"linearizable\":true}",
         0},
        {"\"null\"", FAKE_REPLY,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":null,\"exists\":true,"
         "\"linearizable\":false}",
         0},
        {"\"plain\"", FAKE_REPLY,
         "{\"type\":\"read_via_log_ok\",\"in_reply_to\":%ID,\"value\":null}", 0},
        {"\"read\"", FAKE_REPLY,
         "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":20,\"text\":\"no\",\"error\":\"key_not_"
         "found\","
         "\"definite\":true,\"index\":6}",
         0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
    struct ridd_reply *r = ridd_get(c, ridd_key("absent"), RIDD_VIA_READ_INDEX);

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->exists, 0);
    assert_string_equal(r->value, "null");
    ridd_reply_free(r);
    r = ridd_get(c, ridd_key("null"), RIDD_VIA_READ_INDEX);
    assert_int_equal(r->exists, 1);
    assert_int_equal(r->linearizable, 0);
    ridd_reply_free(r);
    r = ridd_get(c, ridd_key("plain"), RIDD_VIA_LOG);
    assert_int_equal(r->exists, 0);
    assert_int_equal(r->linearizable, 1);
    ridd_reply_free(r);
    r = ridd_get(c, ridd_key("other"), RIDD_VIA_DEFAULT);
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->exists, 0);
    assert_string_equal(r->value, "null");
    assert_int_equal(r->index, 6);
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

static void client__a_batch_keeps_order_and_texts(void **state)
{
    static const struct fake_step steps[] = {
        {"\"keys\":[\"a\",7,\"c\"]", FAKE_REPLY,
         "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":%ID,\"values\":[{\"key\":\"a\","
         "\"value\":[1.0, 2]},"
         "{\"key\":7,\"value\":null,\"exists\":true},{\"key\":\"c\",\"value\":null}],\"read_at_"
         "index\":8,"
         "\"heartbeat_confirmed\":true,\"linearizable\":true}",
         1},
        {NULL, FAKE_REPLY,
         "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":%ID,\"values\":[{\"key\":\"a\"}]}", 0},
    };
    const struct ridd_key keys[] = {ridd_key("a"), ridd_key_int(7), ridd_key("c")};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
    struct ridd_reply *r = ridd_batch_get(c, keys, 3);

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->n_items, 3);
    assert_string_equal(r->items[0].key, "\"a\"");
    assert_string_equal(r->items[0].value, "[1.0, 2]");
    assert_int_equal(r->items[0].exists, 1);
    assert_string_equal(r->items[1].key, "7");
    assert_int_equal(r->items[1].exists, 1);
    assert_int_equal(r->items[2].exists, 0);
    assert_int_equal(r->index, 8);
    ridd_reply_free(r);
    r = ridd_batch_get(c, keys, 3); /* fewer values than keys */
    assert_int_equal(r->status, RIDD_BAD_REPLY);
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

static void client__writes_send_what_was_meant(void **state)
{
    static const struct fake_step steps[] = {
        {"\"write\"", FAKE_REPLY, WRITE_OK, 0},
        {"\"cas\"", FAKE_REPLY, "{\"type\":\"cas_ok\",\"in_reply_to\":%ID}", 0},
        {"\"delete\"", FAKE_REPLY, "{\"type\":\"delete_ok\",\"in_reply_to\":%ID,\"existed\":true}",
         0},
        {"\"transfer_leader\"", FAKE_REPLY,
         "{\"type\":\"transfer_leader_ok\",\"in_reply_to\":%ID,\"leader_id\":\"n3\"}", 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
    struct ridd_reply *r =
        ridd_put(c, ridd_key("k"), " { \"a b\" : [ 1.50 ,\n\t\"x y\\\" z\" ] } ");

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->index, 9);
    ridd_reply_free(r);
    r = ridd_cas(c, ridd_key_int(-3), "1", "null", 1);
    assert_int_equal(r->status, RIDD_OK);
    ridd_reply_free(r);
    r = ridd_del(c, ridd_key("k"));
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->exists, 1);
    ridd_reply_free(r);
    r = ridd_transfer(c, "n3");
    assert_int_equal(r->status, RIDD_OK);
    assert_string_equal(r->leader_id, "n3");
    ridd_reply_free(r);
    assert_non_null(strstr(fake_line(s, NULL, 0),
                           "{\"type\":\"write\",\"key\":\"k\",\"value\":{\"a b\":[1.50,"
                           "\"x y\\\" z\"]},\"verbose\":true,\"timeout_ms\":"));
    assert_non_null(strstr(fake_line(s, NULL, 1),
                           "{\"type\":\"cas\",\"key\":-3,\"from\":1,\"to\":null,"
                           "\"create_if_not_exists\":true,\"verbose\":true,"));
    assert_non_null(
        strstr(fake_line(s, NULL, 2), "{\"type\":\"delete\",\"key\":\"k\",\"verbose\":true,"));
    assert_non_null(strstr(fake_line(s, NULL, 3),
                           "{\"type\":\"transfer_leader\",\"to\":\"n3\",\"timeout_ms\":"));
    ridd_close(c);
    fake_stop(s);
}

static void client__snapshots_and_their_parts(void **state)
{
    static const struct fake_step steps[] = {
        {"\"snapshot\"", FAKE_REPLY,
         "{\"type\":\"snapshot_ok\",\"in_reply_to\":%ID,\"index\":9,\"making\":true}", 0},
        {"\"snapshot_part\"", FAKE_REPLY,
         "{\"type\":\"snapshot_part_ok\",\"in_reply_to\":%ID,\"index\":9,\"part\":\"\"}", 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, RIDD_FLAG_LISTED_ONLY);
    struct ridd_reply *r = ridd_snapshot(c, fake_address(s));

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->index, 9);
    assert_non_null(strstr(r->json, "\"making\":true"));
    ridd_reply_free(r);
    r = ridd_snapshot_part(c, 0, 0, 0);
    assert_int_equal(r->status, RIDD_OK);
    ridd_reply_free(r);
    r = ridd_snapshot_part(c, 9, 2, 65536);
    assert_int_equal(r->status, RIDD_OK);
    ridd_reply_free(r);
    assert_non_null(
        strstr(fake_line(s, NULL, 1), "{\"type\":\"snapshot_part\",\"offset\":0,\"timeout_ms\":"));
    assert_non_null(strstr(fake_line(s, NULL, 2),
                           "{\"type\":\"snapshot_part\",\"offset\":65536,\"index\":9,"
                           "\"term\":2,\"timeout_ms\":"));
    ridd_close(c);
    fake_stop(s);
}

static void client__one_byte_at_a_time_is_a_reply_too(void **state)
{
    static const struct fake_step steps[] = {
        {NULL, FAKE_REPLY_BYTEWISE,
         "\r\n\n{\"type\":\"error\",\"in_reply_to\":99999}\n" READ_OK "\r", 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), 5000, 0);

    (void)state;
    expect_read(
        c, RIDD_OK); /* empty lines and the answer to somebody else's request are passed over */
    expect_read(c, RIDD_OK);
    assert_int_equal(fake_count(s, NULL), 2);
    ridd_close(c);
    fake_stop(s);
}

/* ---- hints ---- */

/* CLIENT-9: what happened where a hint led is what is told, and not the hint. */
static void client__a_followed_hint_does_not_hide_what_came_of_it(void **state)
{
    static const struct fake_step closing[] = {{NULL, FAKE_CLOSE, NULL, 0}};
    static const struct fake_step silent[] = {{NULL, FAKE_SILENT, NULL, 0}};
    char hint[320];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fake_server *leader = fake_start(i == 0 ? closing : silent, 1);
        struct fake_server *s = fake_start(STEPS(steps));
        struct ridd *c = open_with(fake_address(s), 300, 0);
        struct ridd_reply *r;

        not_leader(hint, sizeof(hint), fake_address(leader));
        fake_publish(s);
        r = ridd_request(c, "{\"type\":\"compare_read_methods\"}", RIDD_KIND_ONCE, 0);
        assert_int_equal(r->status, i == 0 ? RIDD_DISCONNECTED : RIDD_NO_ANSWER);
        assert_string_equal(r->endpoint, fake_address(leader));
        ridd_reply_free(r);
        ridd_close(c);
        fake_stop(s);
        fake_stop(leader);
    }
}

/* A server that names a path of this host as the leader is not followed there (ACCESS-6). */
static void client__a_hint_is_an_address_and_no_path(void **state)
{
    char hint[320];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), 300, RIDD_FLAG_IMPATIENT);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char endpoint[128];

    (void)state;
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/ridd-test-client-%d", (int)getpid());
    (void)unlink(un.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 1), 0);
    (void)snprintf(endpoint, sizeof(endpoint), "unix:%s", un.sun_path);
    not_leader(hint, sizeof(hint), endpoint);
    fake_publish(s);
    expect_read(c, RIDD_NOT_LEADER);
    assert_int_equal(accept(fd, NULL, NULL), -1); /* nobody came */
    ridd_close(c);
    /* Who is told to goes there. */
    c = open_with(endpoint, 300, RIDD_FLAG_IMPATIENT);
    expect_read(c, RIDD_NO_ANSWER);
    assert_true(accept(fd, NULL, NULL) >= 0);
    ridd_close(c);
    (void)unlink(un.sun_path);
    c = open_with(endpoint, 300, RIDD_FLAG_IMPATIENT);
    expect_read(c, RIDD_UNREACHABLE);
    ridd_close(c);
    (void)close(fd);
    fake_stop(s);
}

/* Where an error names the leader there is nothing to wait for (READ-54). */
static void client__a_hint_is_followed_out_of_the_list_and_remembered(void **state)
{
    static const struct fake_step leader_steps[] = {{"write", FAKE_REPLY, WRITE_OK, 0},
                                                    {NULL, FAKE_REPLY, READ_OK, 0}};
    char hint[320];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    struct fake_server *leader = fake_start(STEPS(leader_steps));
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);

    (void)state;
    not_leader(hint, sizeof(hint), fake_address(leader));
    expect_write(c, RIDD_OK, RIDD_OK, 1);
    expect_read(c, RIDD_OK);
    assert_int_equal(fake_count(s, NULL), 1);
    assert_int_equal(fake_count(leader, NULL), 2);
    ridd_close(c);

    c = open_with(fake_address(s), 200, RIDD_FLAG_LISTED_ONLY);
    expect_write(c, RIDD_NOT_LEADER, RIDD_NOT_LEADER, 1);
    assert_int_equal(fake_count(leader, NULL), 2);
    ridd_close(c);
    fake_stop(s);
    fake_stop(leader);
}

static void client__two_nodes_that_name_each_other_are_not_asked_for_ever(void **state)
{
    char hint_a[320];
    char hint_b[320];
    struct fake_step steps_a[] = {{NULL, FAKE_REPLY, hint_b, 0}};
    struct fake_step steps_b[] = {{NULL, FAKE_REPLY, hint_a, 0}};
    struct fake_server *a = fake_start(STEPS(steps_a));
    struct fake_server *b = fake_start(STEPS(steps_b));
    struct ridd *c = open_two(fake_address(a), fake_address(b), 2000);
    struct ridd_reply *r;

    (void)state;
    not_leader(hint_a, sizeof(hint_a), fake_address(a));
    not_leader(hint_b, sizeof(hint_b), fake_address(b));
    r = ridd_put(c, ridd_key("x"), "1");
    /* On a busy machine the last attempt may find its node too late to answer in what is left of
     * the time: then the fate of that one is not known. */
    if (r->status != RIDD_OUTCOME_UNKNOWN) {
        assert_int_equal(r->status, RIDD_NOT_LEADER);
        assert_int_equal(r->cause, RIDD_NOT_LEADER);
        assert_int_equal(r->definite, 1);
    } else if (r->cause != RIDD_NO_ANSWER) { /* the client's clock ended it, or the server's */
        assert_int_equal(r->cause, RIDD_TIMEOUT);
    }
    ridd_reply_free(r);
    assert_true(fake_count(a, NULL) + fake_count(b, NULL) >= 4);
    assert_true(fake_count(a, NULL) + fake_count(b, NULL) <= 60);
    ridd_close(c);
    fake_stop(a);
    fake_stop(b);
}

static void client__without_a_hint_the_others_are_asked(void **state)
{
    static const struct fake_step leader_steps[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    char no_hint[320];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, no_hint, 0}};
    struct fake_server *leader = fake_start(STEPS(leader_steps));
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_two(fake_address(s), fake_address(leader), PATIENCE_MS);
    struct ridd_reply *r;

    (void)state;
    not_leader(no_hint, sizeof(no_hint), NULL);
    r = ridd_put(c, ridd_key("x"), "1");
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->attempts, 2);
    assert_true(r->elapsed_us < 1000000); /* no pause */
    ridd_reply_free(r);
    /* A node that names itself while it refuses gives no hint either. */
    not_leader(no_hint, sizeof(no_hint), fake_address(s));
    ridd_close(c);
    c = open_two(fake_address(s), fake_address(leader), PATIENCE_MS);
    expect_write(c, RIDD_OK, RIDD_OK, 1);
    assert_int_equal(fake_count(s, NULL), 2);
    ridd_close(c);
    fake_stop(s);
    fake_stop(leader);
}

static void client__a_hint_at_a_dead_node_leads_back_to_the_list(void **state)
{
    static const struct fake_step new_leader_steps[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    char hint[320];
    char dead[32];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    int fd = fake_refusing_port(dead, sizeof(dead));
    struct fake_server *s = fake_start(STEPS(steps));
    struct fake_server *new_leader = fake_start(STEPS(new_leader_steps));
    struct ridd *c = open_two(fake_address(s), fake_address(new_leader), PATIENCE_MS);

    (void)state;
    not_leader(hint, sizeof(hint), dead);
    expect_write(c, RIDD_OK, RIDD_OK, 1);
    assert_int_equal(fake_count(new_leader, NULL), 1);
    ridd_close(c);
    fake_stop(s);
    fake_stop(new_leader);
    (void)close(fd);
}

/* ---- what is tried again ---- */

/* It may have happened, and would then happen twice (CLIENT-9). */
static void client__a_lost_write_is_never_sent_again(void **state)
{
    static const struct {
        enum fake_action action;
        const char *reply;
        enum ridd_status cause;
    } rows[] = {
        {FAKE_CLOSE, NULL, RIDD_DISCONNECTED},
        {FAKE_SILENT, NULL, RIDD_NO_ANSWER},
        {FAKE_FLOOD, NULL, RIDD_BAD_REPLY},
        {FAKE_REPLY, "this is not JSON", RIDD_BAD_REPLY},
        {FAKE_REPLY, "[1]", RIDD_BAD_REPLY},
        {FAKE_REPLY, "{\"type\":\"write_ok\"}", RIDD_BAD_REPLY},
        {FAKE_REPLY, "{\"type\":\"cas_ok\",\"in_reply_to\":%ID}", RIDD_BAD_REPLY},
        {FAKE_REPLY, ERROR("timeout", 0, false), RIDD_TIMEOUT},
        {FAKE_REPLY, ERROR("network", 0, false), RIDD_NETWORK},
        {FAKE_REPLY, ERROR("term_changed", 13, false), RIDD_TERM_CHANGED},
        {FAKE_REPLY, ERROR("cancelled", 13, false), RIDD_CANCELLED},
        {FAKE_REPLY, ERROR("not_leader", 11, false), RIDD_NOT_LEADER},
        {FAKE_REPLY,
         "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":11,\"error\":\"not_leader\"}",
         RIDD_NOT_LEADER},
        {FAKE_REPLY, "{\"type\":\"error\",\"in_reply_to\":%ID}", RIDD_OTHER_ERROR},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct fake_step steps[] = {{NULL, rows[i].action, rows[i].reply, 0}};
        struct fake_server *a = fake_start(STEPS(steps));
        struct fake_server *b = fake_start(STEPS(steps));
        struct ridd *c = open_two(fake_address(a), fake_address(b), 1500);

        expect_write(c, RIDD_OUTCOME_UNKNOWN, rows[i].cause, 0);
        assert_int_equal(fake_count(a, NULL), 1);
        assert_int_equal(fake_count(b, NULL), 0);
        ridd_close(c);
        fake_stop(a);
        fake_stop(b);
    }
}

static void client__a_write_that_did_not_happen_is_sent_again(void **state)
{
    static const char *const errors[] = {
        ERROR("term_changed", 11, true),
        ERROR("role_changed", 11, true),
        ERROR("network", 11, true),
        ERROR("overloaded", 11, true),
        ERROR("busy", 11, true),
        ERROR("cancelled", 14, true),
        ERROR("from_the_future", 11, true),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        const struct fake_step steps[] = {{NULL, FAKE_REPLY, errors[i], 2},
                                          {NULL, FAKE_REPLY, WRITE_OK, 0}};
        struct fake_server *s = fake_start(STEPS(steps));
        struct ridd *c = open_with(fake_address(s), 5000, 0);

        expect_write(c, RIDD_OK, RIDD_OK, 1);
        assert_int_equal(fake_count(s, NULL), 3);
        /* Each try is a request of its own. */
        assert_non_null(strstr(fake_line(s, NULL, 0), "\"msg_id\":1}"));
        assert_non_null(strstr(fake_line(s, NULL, 2), "\"msg_id\":3}"));
        ridd_close(c);
        fake_stop(s);
    }
}

static void client__an_answer_is_an_answer(void **state)
{
    static const struct {
        const char *reply;
        enum ridd_status status;
        int code;
    } rows[] = {
        {ERROR("precondition_failed", 22, true), RIDD_PRECONDITION_FAILED, 22},
        {ERROR("key_not_found", 20, true), RIDD_KEY_NOT_FOUND, 20},
        {ERROR("malformed", 12, true), RIDD_MALFORMED, 12},
        {ERROR("too_large", 12, true), RIDD_TOO_LARGE, 12},
        {ERROR("not_supported", 10, true), RIDD_NOT_SUPPORTED, 10},
        {ERROR("no_space", 14, true), RIDD_NO_SPACE, 14},
        {ERROR("timeout", 0, true), RIDD_TIMEOUT, 0},
        {ERROR("something_new", 1, true), RIDD_OTHER_ERROR, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct fake_step steps[] = {{NULL, FAKE_REPLY, rows[i].reply, 0}};
        struct fake_server *s = fake_start(STEPS(steps));
        struct ridd *c = open_with(fake_address(s), 5000, 0);
        struct ridd_reply *r = ridd_cas(c, ridd_key("x"), "1", "2", 0);

        assert_int_equal(r->status, rows[i].status);
        assert_int_equal(r->code, rows[i].code);
        assert_int_equal(r->definite, 1);
        assert_string_equal(r->text, "it went wrong");
        assert_non_null(r->json);
        assert_int_equal(fake_count(s, NULL), 1);
        ridd_reply_free(r);
        ridd_close(c);
        fake_stop(s);
    }
}

/* A read that failed changed nothing and is asked anew (READ-53). */
static void client__a_read_survives_everything(void **state)
{
    static const struct fake_step steps[] = {
        {NULL, FAKE_CLOSE, NULL, 1},
        {NULL, FAKE_REPLY, "garbage", 1},
        {NULL, FAKE_REPLY, ERROR("timeout", 0, true), 1},
        {NULL, FAKE_REPLY, ERROR("network", 11, true), 1},
        {NULL, FAKE_REPLY, ERROR("internal", 14, true), 1},
        {NULL, FAKE_REPLY, ERROR("cancelled", 13, false), 1},
        {NULL, FAKE_FLOOD, NULL, 1},
        {NULL, FAKE_REPLY, READ_OK, 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), 20000, 0);

    (void)state;
    expect_read(c, RIDD_OK);
    assert_int_equal(fake_count(s, NULL), 8);
    ridd_close(c);
    fake_stop(s);
}

static void client__a_node_that_hangs_does_not_eat_a_read(void **state)
{
    static const struct fake_step silent[] = {{NULL, FAKE_SILENT, NULL, 0}};
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *hung = fake_start(STEPS(silent));
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_two(fake_address(hung), fake_address(s), 4000);

    (void)state;
    expect_read(c, RIDD_OK);
    assert_int_equal(fake_count(hung, NULL), 1);
    ridd_close(c);
    fake_stop(hung);
    fake_stop(s);
}

static void client__silence_ends_at_the_deadline(void **state)
{
    static const struct fake_step silent[] = {{NULL, FAKE_SILENT, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(silent));
    struct ridd *c = open_with(fake_address(s), 200, 0);
    struct ridd_reply *r = ridd_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX);

    (void)state;
    assert_int_equal(r->status, RIDD_NO_ANSWER);
    assert_true(r->elapsed_us >= 190000);
    assert_true(r->elapsed_us < 2000000);
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

static void client__busy_says_how_long_to_wait(void **state)
{
    static const struct fake_step steps[] = {
        {NULL, FAKE_REPLY,
         "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":11,\"text\":\"b\",\"error\":\"busy\","
         "\"definite\":true,"
         "\"limit\":1,\"retry_after_ms\":120}",
         1},
        {NULL, FAKE_REPLY, WRITE_OK, 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), 5000, 0);
    struct ridd_reply *r = ridd_put(c, ridd_key("x"), "1");

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_true(r->elapsed_us >= 120000);
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

static void client__a_refused_connection_is_no_lost_write(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), 5000, 0);

    (void)state;
    /* Too many connections: one line without in_reply_to, then the end. Nothing was read, so
     * nothing happened. */
    fake_set_greeting(
        s,
        "{\"type\":\"error\",\"code\":11,\"text\":\"too many connections\",\"error\":\"busy\","
        "\"definite\":true}\n",
        0, 2);
    expect_write(c, RIDD_OK, RIDD_OK, 1);
    ridd_close(c);
    fake_stop(s);
}

/* ---- a name server that is silent ---- */

/* LOOP-2: a call ends in time although no name is answered, says so, and finds the server whose
 * address is known; what it left behind frees itself. */
static void client__a_silent_name_server_ends_no_later_than_the_call(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with("hangs.test:7400", 200, 0);
    struct ridd_reply *r;

    (void)state;
    fake_names_hang(true);
    r = ridd_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX);
    assert_int_equal(r->status, RIDD_UNREACHABLE);
    assert_non_null(strstr(r->text, "hangs.test:7400"));
    assert_non_null(strstr(r->text, "name server"));
    assert_true(r->elapsed_us < 60000000);
    ridd_reply_free(r);
    ridd_close(c);
    c = open_two("hangs.test:7400", fake_address(s), 5000);
    expect_read(c, RIDD_OK);
    ridd_close(c);
    fake_names_end();
    fake_stop(s);
}

static void client__an_idle_connection_that_died_is_replaced(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY_AND_CLOSE, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);

    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        expect_write(c, RIDD_OK, RIDD_OK, 1);
        assert_int_equal(fake_count(s, NULL), i);
        fake_wait_closed(s, i);
    }
    ridd_close(c);
    fake_stop(s);
}

static void client__a_broken_pipe_is_a_status(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
    size_t len = 6u << 20; /* more than the kernel takes at once */
    char *value = malloc(len + 1);
    struct ridd_reply *r;

    (void)state;
    assert_non_null(value);
    memset(value, '1', len);
    value[0] = '"';
    value[len - 1] = '"';
    value[len] = '\0';
    /* The server hangs up while much is still to be sent: that request did not leave whole, so it
     * is safe to send it again; and the process lives. */
    fake_set_greeting(s, "", 1, 1);
    r = ridd_put(c, ridd_key("x"), value);
    assert_int_equal(r->status, RIDD_OK);
    assert_true(r->attempts >= 2);
    assert_int_equal(fake_count(s, NULL), 1);
    ridd_reply_free(r);
    free(value);
    ridd_close(c);
    fake_stop(s);
}

/* ---- nobody there ---- */

static void client__the_dead_are_passed_over(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    char dead[32];
    int fd = fake_refusing_port(dead, sizeof(dead));
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_two(dead, fake_address(s), PATIENCE_MS);

    (void)state;
    expect_write(c, RIDD_OK, RIDD_OK, 1);
    ridd_close(c);
    fake_stop(s);
    (void)close(fd);
}

static void client__nobody_there_is_told_at_once_or_at_the_end(void **state)
{
    char dead[2][32];
    char list[80];
    int fds[2] = {fake_refusing_port(dead[0], sizeof(dead[0])),
                  fake_refusing_port(dead[1], sizeof(dead[1]))};
    struct ridd *c;
    struct ridd_reply *r;

    (void)state;
    (void)snprintf(list, sizeof(list), "%s %s", dead[0], dead[1]);
    c = open_with(list, 5000, RIDD_FLAG_IMPATIENT);
    r = ridd_put(c, ridd_key("x"), "1");
    assert_int_equal(r->status, RIDD_UNREACHABLE);
    assert_int_equal(r->definite, 1);
    assert_int_equal(r->attempts, 2);
    assert_true(r->elapsed_us < 3000000);
    ridd_reply_free(r);
    ridd_close(c);
    c = open_with(list, 300, 0);
    r = ridd_put(c, ridd_key("x"), "1");
    assert_int_equal(r->status, RIDD_UNREACHABLE);
    assert_true(r->attempts > 2); /* it kept trying */
    assert_true(r->attempts < 100);
    assert_true(r->elapsed_us < 2000000);
    ridd_reply_free(r);
    ridd_close(c);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void client__a_missing_quorum_says_more_than_a_dead_node(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, ERROR("network", 11, true), 0}};
    char dead[32];
    int fd = fake_refusing_port(dead, sizeof(dead));
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_two(fake_address(s), dead, 1500);

    (void)state;
    expect_read(c, RIDD_NETWORK);
    expect_write(c, RIDD_NETWORK, RIDD_NETWORK, 1);
    ridd_close(c);
    fake_stop(s);
    (void)close(fd);
}

/* ---- one endpoint, requests of one's own ---- */

static void client__status_asks_one_node_once(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\"}",
         1},
        {NULL, FAKE_CLOSE, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with("127.0.0.1:1", PATIENCE_MS, 0);
    struct ridd_reply *r = ridd_status(c, fake_address(s));

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_non_null(strstr(r->json, "\"node\":\"n1\""));
    ridd_reply_free(r);
    r = ridd_status(c, fake_address(s));
    assert_int_equal(r->status, RIDD_DISCONNECTED);
    assert_int_equal(r->attempts, 1);
    ridd_reply_free(r);
    assert_int_equal(fake_count(s, NULL), 2);
    r = ridd_status(c, "nonsense");
    assert_int_equal(r->status, RIDD_INVALID);
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

static void client__a_request_once_is_not_repeated(void **state)
{
    static const struct fake_step steps[] = {
        {NULL, FAKE_REPLY, ERROR("term_changed", 11, true), 1},
        {NULL, FAKE_CLOSE, NULL, 1},
        {NULL, FAKE_REPLY, "{\"type\":\"pong\",\"in_reply_to\":%ID}", 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
    struct ridd_reply *r = ridd_request(c, "{\"type\": \"ping\"}", RIDD_KIND_ONCE, 70000);

    (void)state;
    assert_int_equal(r->status, RIDD_TERM_CHANGED);
    ridd_reply_free(r);
    r = ridd_request(c, "{\"type\":\"ping\",\"timeout_ms\":55}", RIDD_KIND_ONCE, 0);
    assert_int_equal(r->status, RIDD_DISCONNECTED);
    ridd_reply_free(r);
    r = ridd_request(c, "{\"type\":\"ping\"}", RIDD_KIND_ONCE, 0);
    assert_int_equal(r->status, RIDD_OK);
    ridd_reply_free(r);
    assert_string_equal(fake_line(s, NULL, 0), "{\"type\":\"ping\",\"msg_id\":1}");
    assert_string_equal(fake_line(s, NULL, 1),
                        "{\"type\":\"ping\",\"timeout_ms\":55,\"msg_id\":2}");
    assert_int_equal(fake_count(s, NULL), 3);
    ridd_close(c);
    fake_stop(s);
}

static void client__connect_hands_out_a_socket(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, "x", 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
    int fd = -2;
    struct ridd_reply *r = ridd_connect(c, &fd);

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_true(fd >= 0);
    (void)close(fd);
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

/* A name that cannot be one is never asked of a server of names (its label is too long). It says so,
 * and does not keep the next endpoint from being asked. */
static void client__a_name_without_an_address_is_told(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    char name[80];
    char list[256];
    struct ridd_reply *r;
    struct ridd *c;

    (void)state;
    memset(name, 'n', 70);
    (void)snprintf(name + 70, sizeof(name) - 70, ":7400");
    c = open_with(name, 300, 0);
    r = ridd_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX);
    assert_int_equal(r->status, RIDD_UNREACHABLE);
    assert_int_equal(r->definite, 1);
    assert_non_null(strstr(r->text, "cannot find the address of nnnn"));
    ridd_reply_free(r);
    ridd_close(c);
    (void)snprintf(list, sizeof(list), "%s,%s", name, fake_address(s));
    c = open_with(list, 5000, 0);
    expect_read(c, RIDD_OK);
    assert_int_equal(fake_count(s, NULL), 1);
    ridd_close(c);
    fake_stop(s);
}

/* ---- arguments ---- */

static void expect_invalid(struct ridd_reply *r)
{
    assert_int_equal(r->status, RIDD_INVALID);
    assert_int_equal(r->definite, 1);
    assert_true(r->text[0] != '\0');
    ridd_reply_free(r);
}

static void client__wrong_arguments_are_told_and_not_sent(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
    const struct ridd_key keys[129] = {{NULL, 0}};
    char long_key[482];

    (void)state;
    memset(long_key, 'k', 481);
    long_key[481] = '\0';
    expect_invalid(ridd_get(c, ridd_key(""), RIDD_VIA_LOG));
    expect_invalid(ridd_get(c, ridd_key(long_key), RIDD_VIA_LOG));
    expect_invalid(ridd_get(c, ridd_key("\xff"), RIDD_VIA_LOG));
    expect_invalid(ridd_get(c, ridd_key("x"), (enum ridd_via)77));
    expect_invalid(ridd_put(c, ridd_key("x"), NULL));
    expect_invalid(ridd_put(c, ridd_key("x"), ""));
    expect_invalid(ridd_put(c, ridd_key("x"), "{"));
    expect_invalid(ridd_put(c, ridd_key("x"), "1 2"));
    expect_invalid(ridd_put(c, ridd_key("x"), "{\"a\":1,\"a\":2}"));
    expect_invalid(ridd_cas(c, ridd_key("x"), "1", "nul", 0));
    expect_invalid(ridd_batch_get(c, keys, 0));
    expect_invalid(ridd_batch_get(c, keys, 129));
    expect_invalid(ridd_request(c, "[]", RIDD_KIND_READ, 0));
    expect_invalid(ridd_request(c, NULL, RIDD_KIND_READ, 0));
    expect_invalid(ridd_request(c, "{\"type\":5}", RIDD_KIND_READ, 0));
    expect_invalid(ridd_request(c, "{\"type\":\"ping\",\"msg_id\":1}", RIDD_KIND_READ, 0));
    expect_invalid(ridd_request(c, "{\"type\":\"ping\"}", RIDD_KIND_READ, 86400001));
    expect_invalid(ridd_transfer(c, "\xc3("));
    assert_int_equal(ridd_set_timeout(c, 0), RIDD_INVALID);
    assert_int_equal(ridd_set_timeout(c, 60001), RIDD_INVALID);
    assert_int_equal(ridd_set_timeout(c, 60000), RIDD_OK);
    assert_int_equal(fake_count(s, NULL), 0);
    ridd_close(c);
    fake_stop(s);
}

#define Z20  "01234567890123456789"
#define Z100 Z20 Z20 Z20 Z20 Z20

static void client__endpoints_are_checked(void **state)
{
    static const struct {
        const char *list;
        const char *why; /* NULL: good */
    } rows[] = {
        {"127.0.0.1:7400", NULL},
        {" n1.example:1, [::1]:65535\n10.0.0.1:7400,,", NULL},
        {"[fe80::1%eth0]:7400", NULL},
        {"", "no endpoint given: write host:port,host:port"},
        {" , ", "no endpoint given: write host:port,host:port"},
        {"localhost", "endpoint 'localhost' has no port: write host:port"},
        {":7400", "endpoint ':7400' has no usable host"},
        {"a:0", "endpoint 'a:0' has no port from 1 to 65535"},
        {"a:65536", "endpoint 'a:65536' has no port from 1 to 65535"},
        {"a:7400x", "endpoint 'a:7400x' has no port from 1 to 65535"},
        {"::1:7400", "endpoint '::1:7400' has more than one colon: write [address]:port for IPv6"},
        {"[::1:7400", "endpoint '[::1:7400' is not [address]:port"},
        {"http://a:7400",
         "endpoint 'http://a:7400' begins with none of tls://, tcp:// and unix:/"},
        {"tls://a:7400,tcp://[::1]:7400", NULL},
        {"tls://a", "endpoint 'tls://a' has no port: write host:port"},
        {"tls://unix:/x", "endpoint 'tls://unix:/x' has no port from 1 to 65535"},
        {"tls://tls://a:1",
         "endpoint 'tls://tls://a:1' has more than one colon: write [address]:port for IPv6"},
        {"a;b:7400", "endpoint 'a;b:7400' has no usable host"},
        {"unix:/run/ridd/n1.sock,127.0.0.1:7400", NULL},
        {"unix:7400", NULL}, /* a host of that name */
        {"unix:/" Z100 "123456", NULL},
        {"unix:/" Z100 "1234567",
         "endpoint 'unix:/0123456789012345678901234567890123456789012345678901234567...' is longer "
         "than a socket's path: 107 bytes"},
        {"unix:run/x", "endpoint 'unix:run/x' is no absolute path: write unix:/path"},
        {"unix:", "endpoint 'unix:' is no absolute path: write unix:/path"},
    };
    struct ridd *c = NULL;
    char many[RIDD_ENDPOINTS_MAX * 14 + 40] = "";
    char why[RIDD_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        why[0] = '\0';
        assert_int_equal(ridd_check_endpoints(rows[i].list, why, sizeof(why)),
                         rows[i].why != NULL ? RIDD_INVALID : RIDD_OK);
        assert_string_equal(why, rows[i].why != NULL ? rows[i].why : "");
    }
    assert_int_equal(ridd_check_endpoints(NULL, NULL, 0), RIDD_INVALID);
    assert_int_equal(ridd_open("nonsense", NULL, &c), RIDD_INVALID);
    assert_null(c);
    for (int i = 0; i < RIDD_ENDPOINTS_MAX; i++)
        (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "h:%d,h:%d,", 1000 + i,
                       1000);
    c = open_with(many, 100, 0); /* twice the same is once */
    assert_int_equal(ridd_endpoint_count(c), RIDD_ENDPOINTS_MAX);
    assert_string_equal(ridd_endpoint(c, RIDD_ENDPOINTS_MAX - 1), "h:1031");
    assert_null(ridd_endpoint(c, RIDD_ENDPOINTS_MAX));
    ridd_close(c);
    (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "h:1");
    assert_int_equal(ridd_check_endpoints(many, why, sizeof(why)), RIDD_INVALID);
    assert_string_equal(why, "more than 32 endpoints");
    ridd_close(NULL);
    ridd_reply_free(NULL);
}

static void client__strings_become_json(void **state)
{
    char *json = NULL;

    (void)state;
    assert_int_equal(ridd_json_string("a\"\\\n\xc3\xa4", 6, &json), RIDD_OK);
    assert_string_equal(json, "\"a\\\"\\\\\\n\xc3\xa4\"");
    free(json);
    json = NULL;
    assert_int_equal(ridd_json_string("a\0b", 3, &json), RIDD_INVALID);
    assert_int_equal(ridd_json_string("\xff", 1, &json), RIDD_INVALID);
    assert_int_equal(ridd_json_string(NULL, 0, &json), RIDD_INVALID);
    assert_null(json);
}

static void client__texts_of_servers_are_cleaned(void **state)
{
    static const struct fake_step steps[] = {
        {NULL, FAKE_REPLY,
         "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":12,\"text\":\"a\\u001b[31m\\u009bb\\n\","
         "\"error\":"
         "\"malformed\",\"definite\":true,\"leader_id\":\"n\\t1\"}",
         0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
    struct ridd_reply *r = ridd_put(c, ridd_key("x"), "1");

    (void)state;
    assert_string_equal(r->text, "a?[31m??b?");
    assert_string_equal(r->leader_id, "n?1");
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

static void client__names_are_those_of_the_protocol(void **state)
{
    (void)state;
    assert_string_equal(ridd_status_name(RIDD_OK), "ok");
    assert_string_equal(ridd_status_name(RIDD_NOT_LEADER), "not_leader");
    assert_string_equal(ridd_status_name(RIDD_PRECONDITION_FAILED), "precondition_failed");
    assert_string_equal(ridd_status_name(RIDD_OUTCOME_UNKNOWN), "outcome_unknown");
    assert_string_equal(ridd_status_name(RIDD_OTHER_ERROR), "other_error");
    assert_string_equal(ridd_status_name(RIDD_UNREACHABLE), "unreachable");
    assert_string_equal(ridd_status_name(RIDD_NO_ANSWER), "no_answer");
    assert_string_equal(ridd_status_name(RIDD_DISCONNECTED), "disconnected");
    assert_string_equal(ridd_status_name(RIDD_BAD_REPLY), "bad_reply");
    assert_string_equal(ridd_status_name(RIDD_INVALID), "invalid");
    assert_string_equal(ridd_status_name(RIDD_NO_MEMORY), "no_memory");
    assert_string_equal(ridd_status_name((enum ridd_status)1234), "unknown");
    assert_string_equal(ridd_via_name(RIDD_VIA_LOCAL), "local");
    assert_null(ridd_via_name((enum ridd_via) - 1));
}

/* ---- no memory ---- */

static unsigned alloc_left;

static void *failing_malloc(size_t size)
{
    if (alloc_left == 0)
        return NULL;
    alloc_left--;
    return malloc(size);
}

/* jansson's allocations fail one after the other; whatever happens must be a status, and a write
 * that has left is sent once. */
static void client__no_memory_is_a_status(void **state)
{
    static const struct fake_step steps[] = {{"write", FAKE_REPLY, WRITE_OK, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    unsigned n_failed = 0;
    bool done = false;

    (void)state;
    for (unsigned n = 0; n < 500 && !done; n++) {
        struct ridd *c = open_with(fake_address(s), PATIENCE_MS, 0);
        unsigned before = fake_count(s, "write");
        struct ridd_reply *r;

        json_set_alloc_funcs(failing_malloc, free);
        alloc_left = n;
        r = ridd_put(c, ridd_key("x"), "{\"a\":[1,\"b\"]}");
        json_set_alloc_funcs(malloc, free);
        done = r->status == RIDD_OK;
        if (!done) {
            n_failed++;
            /* Where jansson itself does not tell a lack of memory from bad text, nor do we. */
            assert_true(r->status == RIDD_NO_MEMORY || r->status == RIDD_INVALID ||
                        (r->status == RIDD_OUTCOME_UNKNOWN && r->cause == RIDD_BAD_REPLY));
            assert_true(fake_count(s, "write") - before <= 1);
        }
        ridd_reply_free(r);
        expect_read(c, RIDD_OK); /* still fit */
        ridd_close(c);
    }
    assert_true(done);
    assert_true(n_failed > 5);
    fake_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client__a_read_gives_the_value_byte_for_byte),
        cmocka_unit_test(client__absent_and_null_are_told_apart),
        cmocka_unit_test(client__a_batch_keeps_order_and_texts),
        cmocka_unit_test(client__writes_send_what_was_meant),
        cmocka_unit_test(client__snapshots_and_their_parts),
        cmocka_unit_test(client__one_byte_at_a_time_is_a_reply_too),
        cmocka_unit_test(client__a_followed_hint_does_not_hide_what_came_of_it),
        cmocka_unit_test(client__a_hint_is_followed_out_of_the_list_and_remembered),
        cmocka_unit_test(client__two_nodes_that_name_each_other_are_not_asked_for_ever),
        cmocka_unit_test(client__without_a_hint_the_others_are_asked),
        cmocka_unit_test(client__a_hint_at_a_dead_node_leads_back_to_the_list),
        cmocka_unit_test(client__a_lost_write_is_never_sent_again),
        cmocka_unit_test(client__a_write_that_did_not_happen_is_sent_again),
        cmocka_unit_test(client__an_answer_is_an_answer),
        cmocka_unit_test(client__a_read_survives_everything),
        cmocka_unit_test(client__a_node_that_hangs_does_not_eat_a_read),
        cmocka_unit_test(client__silence_ends_at_the_deadline),
        cmocka_unit_test(client__busy_says_how_long_to_wait),
        cmocka_unit_test(client__a_refused_connection_is_no_lost_write),
        cmocka_unit_test(client__a_silent_name_server_ends_no_later_than_the_call),
        cmocka_unit_test(client__an_idle_connection_that_died_is_replaced),
        cmocka_unit_test(client__a_broken_pipe_is_a_status),
        cmocka_unit_test(client__the_dead_are_passed_over),
        cmocka_unit_test(client__nobody_there_is_told_at_once_or_at_the_end),
        cmocka_unit_test(client__a_missing_quorum_says_more_than_a_dead_node),
        cmocka_unit_test(client__status_asks_one_node_once),
        cmocka_unit_test(client__a_request_once_is_not_repeated),
        cmocka_unit_test(client__connect_hands_out_a_socket),
        cmocka_unit_test(client__wrong_arguments_are_told_and_not_sent),
        cmocka_unit_test(client__a_name_without_an_address_is_told),
        cmocka_unit_test(client__endpoints_are_checked),
        cmocka_unit_test(client__a_hint_is_an_address_and_no_path),
        cmocka_unit_test(client__strings_become_json),
        cmocka_unit_test(client__texts_of_servers_are_cleaned),
        cmocka_unit_test(client__names_are_those_of_the_protocol),
        cmocka_unit_test(client__no_memory_is_a_status),
    };

    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
