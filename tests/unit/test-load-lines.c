/* ridd's protocol as a load speaks it: what is sent, and of what comes back only what it must be is
 * taken. The loop is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "load/ridd_lines.h"

#include "base/banned.h"

#define K "b/00000007"

struct load_conn {
    char said[1024]; /* what was answered, one after the other */
};

static struct load_conn conn;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    const size_t len = strlen(conn.said);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(conn.said + len, sizeof(conn.said) - len, format, ap);
    va_end(ap);
}

void load_answered(struct load_conn *c, unsigned slot, const struct load_answer *a)
{
    static const char *const names[] = {"done", "absent", "refused", "unknown", "wrong"};

    assert_ptr_equal(c, &conn);
    say("%u %s", slot, names[a->outcome]);
    if (a->value != NULL)
        say(" '%.*s'", (int)a->value_len, a->value);
    if (a->error != NULL)
        say(" (%.*s)", (int)a->error_len, a->error);
    if (a->leader != NULL)
        say(" -> '%.*s'", (int)a->leader_len, a->leader);
    say(";");
}

void load_item(struct load_conn *c, unsigned slot, unsigned place, const char *value,
               size_t value_len)
{
    assert_ptr_equal(c, &conn);
    say("%u[%u] '%.*s',", slot, place, (int)value_len, value != NULL ? value : "");
}

static const struct load_protocol *protocol;
static void *lines;
static struct buf out;

static void begin(enum load_ridd_via via)
{
    memset(&conn, 0, sizeof(conn));
    protocol = load_ridd(via);
    assert_int_equal(protocol->open("b/", 12, &out, &lines), 0);
}

static void end(void)
{
    protocol->close(lines);
    buf_done(&out);
}

static void ask(unsigned slot, enum load_kind kind, unsigned n)
{
    const struct load_op op = {.kind = kind, .key = 7, .n = n, .number = 3, .value_bytes = 15};

    assert_int_equal(protocol->submit(lines, &out, slot, &op), 0);
}

static void sent(const char *text)
{
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.data, text, out.len);
    out.len = 0;
}

static long take(const char *bytes)
{
    conn.said[0] = '\0';
    return protocol->receive(lines, &conn, (const unsigned char *)bytes, strlen(bytes), &out);
}

/* Of one read under way in slot 11. */
static const char *answered(enum load_ridd_via via, enum load_kind kind, unsigned n,
                            const char *line)
{
    static char result[1024];
    long rc;

    begin(via);
    ask(11, kind, n);
    rc = take(line);
    (void)snprintf(result, sizeof(result), "%s", rc < 0 ? "refused" : conn.said);
    if (rc >= 0)
        assert_int_equal(rc, strlen(line));
    end();
    return result;
}

static void lines__requests(void **state)
{
    (void)state;
    begin(LOAD_RIDD_READ_INDEX);
    ask(11, LOAD_READ, 0);
    sent("{\"type\":\"read_index\",\"msg_id\":11,\"key\":\"" K "\"}\n");
    ask(0, LOAD_WRITE, 0);
    sent("{\"type\":\"write\",\"msg_id\":0,\"key\":\"" K "\",\"value\":\"" K "/3/xx\"}\n");
    ask(1, LOAD_BATCH, 2);
    sent("{\"type\":\"batch_read_index\",\"msg_id\":1,\"keys\":[\"" K "\",\"b/00000008\"]}\n");
    ask(2, LOAD_SCAN, 5);
    sent("{\"type\":\"scan\",\"msg_id\":2,\"start\":\"" K "\",\"end\":\"b0\",\"limit\":5}\n");
    ask(3, LOAD_REMOVE, 0);
    sent("{\"type\":\"delete\",\"msg_id\":3,\"key\":\"" K "\"}\n");
    end();
    begin(LOAD_RIDD_BOUNDED);
    load_ridd_set_max_stale(250);
    ask(4, LOAD_READ, 0);
    sent("{\"type\":\"local_read\",\"msg_id\":4,\"key\":\"" K "\",\"max_stale_ms\":250}\n");
    end();
    begin(LOAD_RIDD_LOG);
    ask(5, LOAD_READ, 0);
    sent("{\"type\":\"read_via_log\",\"msg_id\":5,\"key\":\"" K "\"}\n");
    end();
}

#define READ "{\"type\":\"read_index_ok\",\"in_reply_to\":11,\"value\":"
#define TAIL ",\"read_at_index\":5,\"heartbeat_confirmed\":true,\"linearizable\":true}\n"

/* LOAD-3 */
static void lines__answers(void **state)
{
    static const struct {
        enum load_ridd_via via;
        enum load_kind kind;
        unsigned n;
        const char *line;
        const char *said;
    } table[] = {
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, READ "\"v\"" TAIL, "11 done 'v';"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, READ "\"\"" TAIL, "11 done '';"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, READ "null" TAIL, "11 absent;"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, READ "{\"a\":\"\\\"\"}" TAIL,
         "11 done '{\"a\":\"\\\"\"}';"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, READ "\"a\\\"b\"" TAIL, "11 done '\"a\\\"b\"';"},
        {LOAD_RIDD_LOG, LOAD_READ, 0,
         "{\"type\":\"read_via_log_ok\",\"in_reply_to\":11,\"value\":\"v\",\"log_index_used\":6,"
         "\"latency_ms\":0.299}\n",
         "11 done 'v';"},
        {LOAD_RIDD_LEASE, LOAD_READ, 0,
         "{\"type\":\"lease_read_ok\",\"in_reply_to\":11,\"value\":\"v\",\"read_at_index\":5,"
         "\"lease_valid\":false,\"linearizable\":true}\n",
         "11 done 'v';"},
        {LOAD_RIDD_FOLLOWER, LOAD_READ, 0,
         "{\"type\":\"follower_read_ok\",\"in_reply_to\":11,\"value\":\"v\",\"read_at_index\":5,"
         "\"served_by\":\"n1\",\"linearizable\":true}\n",
         "11 done 'v';"},
        {LOAD_RIDD_LOCAL, LOAD_READ, 0,
         "{\"type\":\"local_read_ok\",\"in_reply_to\":11,\"value\":\"v\",\"applied_index\":5,"
         "\"linearizable\":false}\n",
         "11 done 'v';"},
        {LOAD_RIDD_BOUNDED, LOAD_READ, 0,
         "{\"type\":\"local_read_ok\",\"in_reply_to\":11,\"value\":\"v\",\"applied_index\":5,"
         "\"staleness_ms\":1.5,\"linearizable\":false}\n",
         "11 done 'v';"},
        {LOAD_RIDD_READ_INDEX, LOAD_WRITE, 0, "{\"type\":\"write_ok\",\"in_reply_to\":11}\n",
         "11 done;"},
        {LOAD_RIDD_READ_INDEX, LOAD_REMOVE, 0,
         "{\"type\":\"delete_ok\",\"in_reply_to\":11,\"existed\":true}\n", "11 done;"},
        {LOAD_RIDD_READ_INDEX, LOAD_BATCH, 2,
         "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":11,\"values\":[{\"key\":\"" K
         "\",\"value\":\"v\"},{\"key\":\"b/00000008\",\"value\":null}]" TAIL,
         "11[0] 'v',11[1] '',11 done;"},
        {LOAD_RIDD_READ_INDEX, LOAD_SCAN, 2,
         "{\"type\":\"scan_ok\",\"in_reply_to\":11,\"items\":[{\"key\":\"" K
         "\",\"value\":\"v\"}],\"more\":false" TAIL,
         "11[0] 'v',11 done;"},
        /* It is an answer, and does not keep what the method promises. */
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0,
         READ "\"v\",\"read_at_index\":5,\"heartbeat_confirmed\":false,\"linearizable\":true}\n",
         "11 wrong 'v' (it does not say what this method promises);"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0,
         READ "\"v\",\"read_at_index\":5,\"heartbeat_confirmed\":true,\"linearizable\":false}\n",
         "11 wrong 'v' (it does not say what this method promises);"},
        {LOAD_RIDD_LEASE, LOAD_READ, 0,
         "{\"type\":\"lease_read_ok\",\"in_reply_to\":11,\"value\":\"v\",\"read_at_index\":5,"
         "\"lease_valid\":true,\"linearizable\":false}\n",
         "11 wrong 'v' (it does not say what this method promises);"},
        {LOAD_RIDD_READ_INDEX, LOAD_BATCH, 1,
         "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":11,\"values\":[{\"key\":\"" K
         "\",\"value\":\"v\"}],\"read_at_index\":5,\"heartbeat_confirmed\":true,"
         "\"linearizable\":false}\n",
         "11[0] 'v',11 wrong (it does not say that it is linearizable);"},
        /* Errors. */
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0,
         "{\"type\":\"error\",\"in_reply_to\":11,\"code\":11,\"text\":\"no\",\"error\":\"busy\","
         "\"definite\":true,\"limit\":1}\n",
         "11 refused (busy: no);"},
        {LOAD_RIDD_READ_INDEX, LOAD_WRITE, 0,
         "{\"type\":\"error\",\"in_reply_to\":11,\"code\":0,\"text\":\"late\",\"error\":"
         "\"timeout\",\"definite\":false}\n",
         "11 unknown (timeout: late);"},
        {LOAD_RIDD_READ_INDEX, LOAD_WRITE, 0,
         "{\"type\":\"error\",\"in_reply_to\":11,\"code\":11,\"text\":\"t\",\"error\":"
         "\"not_leader\",\"definite\":true,\"leader_id\":\"n1\",\"leader_addr\":\"1.2.3.4:5\"}\n",
         "11 refused (not_leader: t) -> '1.2.3.4:5';"},
        {LOAD_RIDD_READ_INDEX, LOAD_WRITE, 0,
         "{\"type\":\"error\",\"in_reply_to\":11,\"code\":11,\"text\":\"t\",\"error\":"
         "\"not_leader\",\"definite\":true,\"leader_id\":null,\"leader_addr\":null}\n",
         "11 refused (not_leader: t) -> '';"},
        /* No answers at all. */
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, "\n", "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, "{}\n", "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, "null\n", "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, "{\"type\":\"error\"}\n", "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, READ "\"v\n", "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, READ "\n", "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0,
         READ "v"
              "}\n",
         "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":,\"value\":\"v\"" TAIL, "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":-1,\"value\":\"v\"" TAIL, "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, /* another slot, that asked nothing */
         "{\"type\":\"read_index_ok\",\"in_reply_to\":1,\"value\":\"v\"" TAIL, "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, /* no slot */
         "{\"type\":\"read_index_ok\",\"in_reply_to\":12,\"value\":\"v\"" TAIL, "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":99999999999999999999,\"value\":\"v\"" TAIL,
         "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0, /* an answer to something else */
         "{\"type\":\"write_ok\",\"in_reply_to\":11}\n", "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_READ, 0,
         "{\"type\":\"read_index\",\"in_reply_to\":11,\"value\":\"v\"" TAIL, "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_WRITE, 0,
         "{\"type\":\"write_ok\",\"in_reply_to\":11,\"index\":3}\n", "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_BATCH, 1, /* another key */
         "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":11,\"values\":[{\"key\":\"b/00000008\","
         "\"value\":\"v\"}]" TAIL,
         "refused"},
        {LOAD_RIDD_READ_INDEX, LOAD_BATCH, 1, /* more than was asked for */
         "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":11,\"values\":[{\"key\":\"" K
         "\",\"value\":\"v\"},{\"key\":\"b/00000008\",\"value\":\"v\"}]" TAIL,
         "refused"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_string_equal(answered(table[i].via, table[i].kind, table[i].n, table[i].line),
                            table[i].said);
}

/* Whatever piece of an answer has come, nothing is taken before its end; and one answer only. */
static void lines__pieces(void **state)
{
    static const char line[] = READ "\"v\"" TAIL;
    char piece[sizeof(line)];

    (void)state;
    begin(LOAD_RIDD_READ_INDEX);
    ask(11, LOAD_READ, 0);
    for (size_t len = 0; len < sizeof(line) - 1; len++) {
        (void)snprintf(piece, sizeof(piece), "%.*s", (int)len, line);
        assert_int_equal(take(piece), 0);
        assert_string_equal(conn.said, "");
    }
    assert_int_equal(take(line), sizeof(line) - 1);
    assert_string_equal(conn.said, "11 done 'v';");
    assert_true(take(line) < 0);
    end();
}

/* Bytes that flip: refused or taken for what they are, and nothing is read beyond the end. */
static void lines__bytes_that_flip(void **state)
{
    static const char *const seeds[] = {
        READ "\"v\"" TAIL,
        "{\"type\":\"scan_ok\",\"in_reply_to\":11,\"items\":[{\"key\":\"" K
        "\",\"value\":\"v\"}],\"more\":false" TAIL,
        "{\"type\":\"error\",\"in_reply_to\":11,\"code\":0,\"text\":\"late\",\"error\":"
        "\"timeout\",\"definite\":false}\n",
    };
    struct prng p;

    (void)state;
    prng_init(&p, 3);
    for (unsigned round = 0; round < 20000; round++) {
        const unsigned which = (unsigned)prng_below(&p, 3);
        const size_t len = strlen(seeds[which]);
        unsigned char *bytes = malloc(len); /* of exactly that size, for the sanitizer to see */
        long rc;

        assert_non_null(bytes);
        memcpy(bytes, seeds[which], len);
        for (unsigned i = 0; i < 1 + prng_below(&p, 3); i++)
            bytes[prng_below(&p, len)] = (unsigned char)prng_below(&p, 256);
        begin(LOAD_RIDD_READ_INDEX);
        ask(11, which == 1 ? LOAD_SCAN : LOAD_READ, which == 1 ? 1 : 0);
        rc = protocol->receive(lines, &conn, bytes, len, &out);
        assert_true(rc < 0 || (size_t)rc <= len);
        end();
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines__requests),
        cmocka_unit_test(lines__answers),
        cmocka_unit_test(lines__pieces),
        cmocka_unit_test(lines__bytes_that_flip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
