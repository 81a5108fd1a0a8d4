/* ls, scan, export, import, and how old a get may be: the real ridctl against scripted servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "unit/ctl-run.h"
#include "unit/fake-server.h"

#define HASH "0123456789abcdef"
#define STATUS                                                                                     \
    {                                                                                              \
        "\"status\"", FAKE_REPLY,                                                                  \
            "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"cluster\":\"here\","    \
            "\"cluster_hash\":\"" HASH "\"}",                                                      \
            0                                                                                      \
    }
#define PAGE(index, more, items)                                                                   \
    "{\"type\":\"scan_ok\",\"in_reply_to\":%ID,\"items\":[" items "],\"more\":" #more              \
    ",\"read_at_index\":" #index ",\"heartbeat_confirmed\":true,\"linearizable\":true}"
#define KEY(key)         "{\"key\":" key ",\"exists\":true}"
#define ITEM(key, value) "{\"key\":" key ",\"value\":" value ",\"exists\":true}"
#define ERROR(name, code, text)                                                                    \
    "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":" #code ",\"text\":\"" text                  \
    "\",\"error\":\"" name "\",\"definite\":true}"

static bool sent(struct fake_server *s, const char *match, unsigned nth, const char *part)
{
    const char *line = fake_line(s, match, nth);

    if (strstr(line, part) == NULL)
        print_error("'%s' is not in '%s'\n", part, line);
    return strstr(line, part) != NULL;
}

/* ---- lists ---- */

/* Each page with the index of the one before, of the same cluster (SCAN-1, TOKEN-1); what could
 * command a terminal is '?'; and pages of different states are not told as one. */
static void keys__a_list_goes_on_page_after_page(void **state)
{
    static const struct fake_step steps[] = {
        STATUS,
        {"\"after\":\"a\\u001B\"", FAKE_REPLY,
         PAGE(9, false, KEY("\"b\\n\"") "," KEY("\"\u00e9\"")), 0},
        {"\"scan\"", FAKE_REPLY, PAGE(5, true, KEY("\"a\"") "," KEY("\"a\\u001b\"")), 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "ls", "p", NULL);
    EXPECT(0, "a\na?\nb?\n\u00e9\n",
           "ls: 4 keys as of index 5 to 9, each page of one index, linearizable, in 2 pages\n");
    assert_true(sent(s, "\"scan\"", 0, "\"prefix\":\"p\""));
    assert_true(sent(s, "\"scan\"", 0, "\"keys_only\":true"));
    assert_null(strstr(fake_line(s, "\"scan\"", 0), "\"int_keys\""));
    assert_true(sent(s, "\"scan\"", 1, "\"min_index\":5"));
    assert_true(sent(s, "\"scan\"", 1, "\"cluster\":\"" HASH "\""));
    run("-e", fake_address(s), "keys", "--json", NULL);
    EXPECT(0,
           "{\"keys\":[\"a\",\"a\\u001b\",\"b\\n\",\"\u00e9\"],\"count\":4,\"more\":false,"
           "\"first_index\":5,\"last_index\":9,\"linearizable\":true}\n",
           "ls: 4 keys as of index 5 to 9, *\n");
    /* No more than were asked for, and where to go on. */
    run("-e", fake_address(s), "ls", "--limit", "2", "--after", "0", "--from", "x", "--to", "y",
        "--via", "log", "--min-index", HASH ":3", NULL);
    EXPECT(0, "a\na?\n", "ls: more follow behind 'a?' (--after)\n");
    assert_true(sent(s, "\"scan\"", 4,
                     "\"start\":\"x\",\"end\":\"y\",\"after\":\"0\",\"limit\":2,\"keys_only\":true,"
                     "\"via\":\"log\",\"verbose\":true,\"min_index\":3"));
    run("-e", fake_address(s), "ls", "--limit", "3", "-v", NULL);
    EXPECT(0, "a\na?\nb?\n\u00e9\n", "ls: 4 keys *\n");
    assert_true(sent(s, "\"scan\"", 6, "\"limit\":1"));
    run("-e", fake_address(s), "ls", "--min-index", "fedcba9876543210:3", NULL);
    EXPECT(0, "*", "*");
    assert_true(sent(s, "\"scan\"", 7, "\"cluster\":\"fedcba9876543210\""));
    fake_stop(s);
}

static void keys__scan_prints_values(void **state)
{
    static const struct fake_step steps[] = {
        STATUS,
        {"\"int_keys\"", FAKE_REPLY, PAGE(5, true, ITEM("-3", "0.1") "," ITEM("7", "\"x\"")), 0},
        {"\"scan\"", FAKE_REPLY,
         PAGE(5, false, ITEM("\"k\\tk\"", "{\"a\":\"\\u001b\x7f\"}") "," ITEM("\"z\"", "null")), 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "scan", NULL);
    EXPECT(0, "k?k\t{\"a\":\"\\u001b?\"}\nz\tnull\n", "");
    run("-e", fake_address(s), "scan", "--json", NULL);
    EXPECT(0,
           "{\"items\":[{\"key\":\"k\\tk\",\"value\":{\"a\":\"\\u001b\x7f\"}},{\"key\":\"z\","
           "\"value\":null}],\"count\":2,\"more\":false,\"first_index\":5,\"last_index\":5,"
           "\"linearizable\":true}\n",
           "");
    run("-e", fake_address(s), "scan", "--int-key", "--after", "-9", "--limit", "2", NULL);
    EXPECT(0, "-3\t0.1\n7\t\"x\"\n", "scan: more follow behind 7 (--after)\n");
    assert_true(sent(s, "\"int_keys\"", 0, "\"after\":-9"));
    run("-e", fake_address(s), "scan", "--int-key", "--from", "x", NULL);
    EXPECT(64, "", "ridctl: scan: 'x' is no integer key (64 bit, decimal)\n");
    run("-e", fake_address(s), "scan", "p", "--from", "x", NULL);
    EXPECT(64, "", "ridctl: scan: a prefix stands alone, *\n");
    run("-e", fake_address(s), "scan", "--limit", "0", NULL);
    EXPECT(64, "", "ridctl: --limit takes a number from 1 to 4294967295, not '0'\n");
    run("-e", fake_address(s), "scan", "--min-index", "0123:4", NULL);
    EXPECT(64, "", "ridctl: --min-index takes INDEX or CLUSTER:INDEX, *, not '0123:4'\n");
    fake_stop(s);
}

/* What would be asked for again for ever, or is not what was asked for (CLIENT-31). */
static void keys__a_page_that_is_none_is_not_believed(void **state)
{
    static const struct {
        const char *first;
        const char *second;
        const char *says;
    } cases[] = {
        {PAGE(5, true, ""), NULL, "a page without keys that promises more"},
        {PAGE(5, true, KEY("\"b\"")), PAGE(5, true, KEY("\"b\"")),
         "a page whose keys are out of order"},
        {PAGE(5, false, KEY("\"b\"") "," KEY("\"a\"")), NULL, "a page whose keys are out of order"},
        {PAGE(5, true, KEY("\"b\"")), PAGE(4, false, KEY("\"c\"")),
         "a page of an earlier state than the one before"},
        {PAGE(0, false, KEY("\"b\"")), NULL, "a page that does not say its index"},
        {PAGE(5, false, KEY("3")), NULL, "a page of something else"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct fake_step steps[] = {
            STATUS,
            {"\"after\"", FAKE_REPLY, cases[i].second, 3},
            {"\"scan\"", FAKE_REPLY, cases[i].first, 3},
        };
        struct fake_server *s = fake_start(STEPS(steps));
        char says[200];

        (void)snprintf(says, sizeof(says), "*ridctl: ls: 127.0.0.1:* gave %s; is that ridd?\n",
                       cases[i].says);
        run("-e", fake_address(s), "-t", "2000", "ls", NULL);
        EXPECT(69, cases[i].second != NULL ? "b\n" : "", says);
        fake_stop(s);
    }
}

/* What was printed is still one document, and says that it is not all. */
static void keys__a_list_that_breaks_off_says_so(void **state)
{
    static const struct fake_step steps[] = {
        STATUS,
        {"\"prefix\":\"none\"", FAKE_REPLY, ERROR("not_supported", 10, "no"), 0},
        {"\"after\"", FAKE_REPLY, ERROR("internal", 13, "the state cannot be read"), 0},
        {"\"scan\"", FAKE_REPLY, PAGE(5, true, KEY("\"a\"")), 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "-t", "300", "ls", "--json", NULL);
    EXPECT(75,
           "{\"keys\":[\"a\"],\"count\":1,\"more\":true,\"first_index\":5,\"last_index\":5,"
           "\"linearizable\":true,\"error\":\"internal\"}\n",
           "ridctl: ls: 127.0.0.1:* says: the state cannot be read; 'ridctl events' or the log of "
           "that node says why\n");
    run("-e", fake_address(s), "-t", "300", "ls", "none", "--json", NULL);
    EXPECT(64, "{\"error\":\"not_supported\",*}\n", "ridctl: ls: 127.0.0.1:* says: no\n");
    fake_stop(s);
}

/* ---- how old a get may be ---- */

#define LOCAL(more)                                                                                \
    "{\"type\":\"local_read_ok\",\"in_reply_to\":%ID,\"value\":1,\"applied_index\":7,"             \
    "\"linearizable\":false,\"exists\":true" more "}"

/* TOKEN-1, by any method: what was seen is in the answer, or there is none. */
static void keys__a_get_is_not_older_than_what_was_seen(void **state)
{
    static const struct fake_step steps[] = {
        STATUS,
        {"\"cluster\":\"fedcba9876543210\"", FAKE_REPLY,
         ERROR("precondition_failed", 22, "another cluster's; begin without min_index"), 0},
        {"\"max_stale_ms\":50", FAKE_REPLY, LOCAL(",\"staleness_ms\":13"), 0},
        {"\"local_read\"", FAKE_REPLY, LOCAL(""), 0},
        {"\"read_index\"", FAKE_REPLY,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":2,\"read_at_index\":7,"
         "\"heartbeat_confirmed\":true,\"linearizable\":true,\"exists\":true}",
         0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    const char *at = fake_address(s);

    (void)state;
    run("-e", at, "get", "k", "--via", "local", "--min-index", HASH ":7", NULL);
    EXPECT(0, "1\n", "");
    assert_true(sent(s, "\"local_read\"", 0, "\"min_index\":7,\"cluster\":\"" HASH "\""));
    run("-e", at, "get", "k", "--via", "local", "--min-index", "7", NULL);
    EXPECT(0, "1\n", "");
    assert_null(strstr(fake_line(s, "\"local_read\"", 1), "\"cluster\""));
    run("-e", at, "get", "k", "--via", "local", "--min-index", "fedcba9876543210:7", NULL);
    EXPECT(4, "",
           "ridctl: get: 'k': 127.0.0.1:* says: another cluster's; begin without min_index\n");
    run("-e", at, "get", "k", "--via", "read_index", "--min-index", HASH ":7", NULL);
    EXPECT(0, "2\n", "");
    run("-e", at, "get", "k", "--via", "read_index", "--min-index", HASH ":8", NULL);
    EXPECT(4, "", "ridctl: get: 127.0.0.1:* has come to index 7, and 8 was seen: of another *\n");
    run("-e", at, "get", "k", "--via", "read_index", "--min-index", "fedcba9876543210:7", NULL);
    EXPECT(4, "",
           "ridctl: get: the index was seen in another cluster, *: 127.0.0.1:* is " HASH "\n");
    run("-e", at, "get", "k", "--max-stale", "50", "-v", NULL);
    EXPECT(0, "1\n", "local_read: index 7, at most 13 ms old, from 127.0.0.1:* in *.* ms\n");
    run("-e", at, "get", "k", "--max-stale", "50", "--via", "local", "--json", NULL);
    EXPECT(0, "{\"key\":\"k\",*\"linearizable\":false,\"staleness_ms\":13.000,\"endpoint\":*}\n",
           "");
    run("-e", at, "get", "k", "--max-stale", "50", "--via", "lease", NULL);
    EXPECT(64, "", "ridctl: get: --max-stale is for --via local: no other may be old\n");
    fake_stop(s);
}

/* ---- export ---- */

#define HEADER(more, index)                                                                        \
    "{\"ridd_export\":1,\"cluster\":\"here\",\"cluster_hash\":\"" HASH "\"" more                   \
    ",\"via\":\"default\",\"index\":" index "}\n"
#define LINE(key, value) "{\"key\":" key ",\"value\":" value "}\n"

/* text, its trailer, and "" behind it: a file as it should be. */
static const char *whole(char *buf, size_t size, const char *text, unsigned n, const char *indexes)
{
    (void)snprintf(buf, size, "%s{\"ridd_export_end\":%u,\"crc32c\":%lu,%s}\n", text, n,
                   (unsigned long)crc32c(0, text, strlen(text)), indexes);
    return buf;
}

#define OF_5    "\"index_from\":5,\"index_to\":5,\"linearizable\":true"
#define OF_5_10 "\"index_from\":5,\"index_to\":10,\"linearizable\":true"

static void expect_file(const char *path, const char *text)
{
    static char have[BYTES_MAX];

    read_file(path, have);
    assert_string_equal(have, text);
}

/* Strings, then integers, as the server sent them; of which indexes, how many, with which sum
 * (CLIENT-32, CLIENT-33). */
static void keys__an_export_says_what_it_is(void **state)
{
    static const struct fake_step steps[] = {
        STATUS,
        {"\"prefix\":\"empty\"", FAKE_REPLY, PAGE(5, false, ""), 0},
        {"\"int_keys\"", FAKE_REPLY, PAGE(10, false, ITEM("-7", "{\"b\":1,\"a\":[]}")), 0},
        {"\"after\"", FAKE_REPLY, PAGE(9, false, ITEM("\"b\"", "\"\\u001b\"")), 0},
        {"\"scan\"", FAKE_REPLY, PAGE(5, true, ITEM("\"a\"", "0.1")), 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    char text[2048];

    (void)state;
    (void)whole(text, sizeof(text),
                HEADER("", "5") LINE("\"a\"", "0.1") LINE("\"b\"", "\"\\u001b\"")
                    LINE("-7", "{\"b\":1,\"a\":[]}"),
                3, OF_5_10);
    run("-e", fake_address(s), "export", NULL);
    EXPECT(
        0, text,
        "export: 3 keys as of index 5 to 10\nexport: written to meanwhile: each key is as it was "
        "at some moment between; --one-index refuses that\n");
    run("-e", fake_address(s), "export", "--save", "keys", NULL);
    EXPECT(0, "3 keys as of index 5 to 10 saved in keys, in *.* s\n", "export: written to *\n");
    expect_file("keys", text);
    assert_int_equal(access("keys.part", F_OK), -1);
    (void)whole(text, sizeof(text), HEADER(",\"prefix\":\"empty\"", "5"), 0, OF_5);
    run("-e", fake_address(s), "export", "empty", NULL);
    EXPECT(0, text, "");
    run("-e", fake_address(s), "export", "--save", ".", NULL);
    EXPECT(64, "", "ridctl: export: '.' is no regular file\n");
    run("-e", fake_address(s), "export", "--save", "no/such", NULL);
    EXPECT(74, "", "ridctl: export: cannot write 'no/such.part': No such file or directory\n");
    fake_stop(s);
}

static void keys__of_one_index_or_not_at_all(void **state)
{
    static const struct fake_step steps[] = {
        STATUS,
        {"\"int_keys\"", FAKE_REPLY, PAGE(6, false, ITEM("1", "1")), 1},
        {"\"int_keys\"", FAKE_REPLY, PAGE(7, false, ITEM("1", "2")), 0},
        {"\"scan\"", FAKE_REPLY, PAGE(5, false, ITEM("\"a\"", "1")), 1},
        {"\"scan\"", FAKE_REPLY, PAGE(7, false, ITEM("\"a\"", "2")), 1},
        {"\"scan\"", FAKE_REPLY, PAGE(6, false, ITEM("\"a\"", "3")), 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));
    char text[2048];

    (void)state;
    run("-e", fake_address(s), "export", "--one-index", "--save", "keys", NULL);
    EXPECT(0, "2 keys as of index 7 saved in keys, in *.* s\n", "");
    expect_file("keys", whole(text, sizeof(text), HEADER("", "7") LINE("\"a\"", "2") LINE("1", "2"),
                              2, "\"index_from\":7,\"index_to\":7,\"linearizable\":true"));
    run("-e", fake_address(s), "export", "--one-index", NULL);
    EXPECT(75, HEADER("", "6") LINE("\"a\"", "3"),
           "ridctl: export: the cluster is written to meanwhile (index 6, then 7): *\n");
    run("-e", fake_address(s), "export", "--one-index", "--save", "never", NULL);
    EXPECT(75, "", "ridctl: export: the cluster is written to meanwhile (index 6, then 7): *\n");
    assert_int_equal(access("never", F_OK), -1);
    assert_int_equal(access("never.part", F_OK), -1);
    fake_stop(s);
}

/* Whole lines of this very export are gone on with, and nothing else is. */
static void keys__an_export_goes_on_where_it_was(void **state)
{
    static const struct {
        const char *part;
        const char *after; /* what is asked for next; NULL: it begins anew */
    } cases[] = {
        {HEADER("", "5") LINE("\"a\"", "1") "{\"key\":\"b\",\"va", "\"after\":\"a\""},
        {HEADER("", "5") LINE("\"a\"", "1") "{\"key\":\"b\",\"value\":1}", "\"after\":\"a\""},
        {HEADER("", "5") LINE("\"a\"", "1") LINE("\"0\"", "1"), "\"after\":\"a\""},
        {HEADER("", "5") LINE("\"a\"", "1") LINE("-7", "1"), "\"after\":-7"},
        {HEADER(",\"prefix\":\"a\"", "5") LINE("\"a\"", "1"), NULL},
        {HEADER("", "5"), NULL},
        {"rubbish\n", NULL},
        {"{\"ridd_export\":1,\"cluster_hash\":\"other\",\"via\":\"default\",\"index\":5}\n" LINE(
             "\"a\"", "1"),
         NULL},
    };
    static const struct fake_step steps[] = {
        STATUS,
        {"\"after\":-7", FAKE_REPLY, PAGE(10, false, ""), 0},
        {"\"int_keys\"", FAKE_REPLY, PAGE(10, false, ITEM("-7", "1")), 0},
        {"\"after\":\"a\"", FAKE_REPLY, PAGE(10, false, ""), 0},
        {"\"scan\"", FAKE_REPLY, PAGE(5, false, ITEM("\"a\"", "1")), 0},
    };
    char text[2048];

    (void)state;
    (void)whole(text, sizeof(text), HEADER("", "5") LINE("\"a\"", "1") LINE("-7", "1"), 2, OF_5_10);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_server *s = fake_start(STEPS(steps));

        write_file("keys.part", cases[i].part);
        run("-e", fake_address(s), "export", "--save", "keys", NULL);
        EXPECT(0, "2 keys as of index 5 to 10 saved in keys, in *.* s\n",
               cases[i].after != NULL ? "export: going on behind the * keys of keys.part\n*"
                                      : "export: keys.part cannot be gone on with (*): beginning "
                                        "anew\n*");
        expect_file("keys", text);
        if (cases[i].after != NULL) {
            assert_true(sent(s, "\"scan\"", 0, cases[i].after));
            assert_true(sent(s, "\"scan\"", 0, "\"min_index\":5"));
        } else {
            assert_null(strstr(fake_line(s, "\"scan\"", 0), "\"after\""));
        }
        fake_stop(s);
    }
}

/* How far a node had come is kept nowhere: a local page may be older than those in the file. */
static void keys__local_pages_are_not_gone_on_with(void **state)
{
    static const struct fake_step steps[] = {
        STATUS,
        {"\"scan\"", FAKE_REPLY,
         "{\"type\":\"scan_ok\",\"in_reply_to\":%ID,\"items\":[],\"more\":false,"
         "\"applied_index\":5,\"linearizable\":false}",
         0},
    };
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    write_file("keys.part", "{\"ridd_export\":1,\"cluster\":\"here\",\"cluster_hash\":\"" HASH
                            "\",\"via\":\"local\",\"index\":5}\n" LINE("\"a\"", "1"));
    run("-e", fake_address(s), "export", "--save", "keys", "--via", "local", NULL);
    EXPECT(0, "0 keys as of index 5 saved in keys, in *.* s\n",
           "export: keys.part cannot be gone on with (*local*): beginning anew\nexport: not "
           "linearizable: it may be old\n");
    fake_stop(s);
}

/* ---- import ---- */

#define SESSION                                                                                    \
    {                                                                                              \
        "\"open_session\"", FAKE_REPLY,                                                            \
            "{\"type\":\"open_session_ok\",\"in_reply_to\":%ID,\"client\":\"77\"}", 0              \
    }
#define WRITES                                                                                     \
    {                                                                                              \
        "\"write\"", FAKE_REPLY, "{\"type\":\"write_ok\",\"in_reply_to\":%ID,\"index\":9}", 0      \
    }
#define BEGIN  "{\"ridd_export\":1}\n"
#define END(n) "{\"ridd_export_end\":" #n "}\n"

static void keys__an_import_writes_each_key_once(void **state)
{
    static const struct fake_step steps[] = {STATUS, SESSION, WRITES};
    struct fake_server *s = fake_start(STEPS(steps));
    char text[2048];

    (void)state;
    (void)whole(text, sizeof(text),
                HEADER("", "5") LINE("\"a\\u001b\"", "0.1") LINE("-7", "{\"b\":1,\"a\":[]}"), 2,
                OF_5);
    write_file("keys", text);
    run("import", "keys", "--dry-run", "-e", "127.0.0.1:1", NULL);
    EXPECT(0, "keys: 2 keys of cluster here, the file is whole; nothing was written\n", "");
    run("import", "keys", "--dry-run", "--json", NULL);
    EXPECT(0, "{\"ok\":true,\"keys\":2,\"dry_run\":true}\n", "");
    run("-e", fake_address(s), "import", "keys", NULL);
    EXPECT(0, "2 keys written in *.* s\n", "");
    assert_int_equal(fake_count(s, "\"write\""), 2);
    assert_true(sent(s, "\"write\"", 0, "\"key\":\"a\\u001B\",\"value\":0.10000000000000001"));
    assert_true(sent(s, "\"write\"", 1, "\"key\":-7,\"value\":{\"b\":1,\"a\":[]}"));
    assert_true(sent(s, "\"write\"", 1, "\"client\":\"77\",\"seq\":2"));
    assert_int_equal(access("keys.progress", F_OK), -1);
    input = text;
    run("-e", fake_address(s), "import", "-", "--json", NULL);
    EXPECT(0, "{\"ok\":true,\"keys\":2,\"written\":2,\"kept\":0,\"elapsed_ms\":*.*}\n", "");
    input = NULL;
    assert_int_equal(fake_count(s, "\"write\""), 4);
    fake_stop(s);
}

/* Nothing is written of a file that is not whole; of a pipe what came before (CLIENT-34). */
static void keys__a_file_that_is_not_whole_is_refused(void **state)
{
    static const struct {
        const char *text;
        unsigned n_piped; /* written where that is found only at the end */
        const char *says;
    } cases[] = {
        {"", 0, ":0: it ends without its last line (\"ridd_export_end\"): it was cut short"},
        {"rubbish\n", 0, ":1: no JSON, at byte *"},
        {"{\"key\":1,\"value\":1}\n", 0, ":1: no file of 'ridctl export': *"},
        {"{\"ridd_export\":2}\n", 0, ":1: of a format that this ridctl does not know (2): *"},
        {BEGIN LINE("1", "1"), 1, ":2: it ends without its last line *"},
        {BEGIN LINE("1", "1") "{\"key\":2,\"val", 1, ":3: cut off in the middle of this line"},
        {BEGIN LINE("1", "1") "{\"key\":2}\n" END(2), 1, ":3: no \"key\" and \"value\""},
        {BEGIN LINE("1", "1") LINE("\"\"", "1") END(2), 1, ":3: the key is no integer and no *"},
        {BEGIN LINE("1.5", "1") END(1), 0, ":2: the key is no integer and no *"},
        {BEGIN LINE("1", "\"\\u0000\"") END(1), 0, ":2: no JSON, *"},
        {BEGIN LINE("1", "{\"a\":1,\"a\":2}") END(1), 0, ":2: no JSON, *"},
        {BEGIN LINE("1", "1") END(2), 1, ":3: the last line counts 2 keys, and there are 1: *"},
        {BEGIN LINE("1", "1") "{\"ridd_export_end\":1,\"crc32c\":5}\n", 1,
         ":3: the checksum is wrong: *"},
        {BEGIN LINE("1", "1") END(1) LINE("2", "2"), 1,
         ":4: something stands behind the last line"},
    };
    static const struct fake_step steps[] = {STATUS, SESSION, WRITES};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_server *s = fake_start(STEPS(steps));
        char says[300];

        write_file("keys", cases[i].text);
        (void)snprintf(says, sizeof(says), "ridctl: import: keys%s; nothing was written\n",
                       cases[i].says);
        run("-e", fake_address(s), "import", "keys", NULL);
        EXPECT(64, "", says);
        run("-e", fake_address(s), "import", "keys", "--dry-run", NULL);
        EXPECT(64, "", says);
        assert_int_equal(fake_count(s, NULL), 0);
        (void)snprintf(says, sizeof(says), "import: stopped: *ridctl: import: standard input%s\n",
                       cases[i].says);
        input = cases[i].text;
        run("-e", fake_address(s), "import", "-", NULL);
        input = NULL;
        EXPECT(64, "", says);
        assert_int_equal(fake_count(s, "\"write\""), cases[i].n_piped);
        fake_stop(s);
    }
    run("-e", "127.0.0.1:1", "import", "nowhere", NULL);
    EXPECT(64, "", "ridctl: import: cannot open 'nowhere': No such file or directory\n");
}

/* A write that is not answered holds back a later one of its key, and what is noted as done: a later
 * run begins with it (CLIENT-35). */
static void keys__what_is_done_has_no_gap(void **state)
{
    static const struct fake_step silent[] = {
        STATUS, SESSION, {"\"value\":2", FAKE_SILENT, NULL, 0}, WRITES};
    static const struct fake_step steps[] = {STATUS, SESSION, WRITES};
    static const struct fake_step elsewhere[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"cluster\":\"here\","
         "\"cluster_hash\":\"fedcba9876543210\"}",
         0},
        SESSION,
        WRITES};
    struct fake_server *s = fake_start(STEPS(silent));

    (void)state;
    write_file("keys", BEGIN LINE("\"a\"", "1") LINE("\"b\"", "2") LINE("\"c\"", "3")
                           LINE("\"b\"", "4") LINE("\"d\"", "5") END(5));
    run("-e", fake_address(s), "-t", "400", "import", "keys", NULL);
    EXPECT(5, "",
           "import: stopped: the first 1 of 5 keys are written; the same command goes on behind "
           "them\nridctl: import: 'keys:3': *; read the key before you write it again: 'ridctl get "
           "KEY'\n");
    assert_int_equal(fake_count(s, "\"value\":3"), 1);
    assert_int_equal(fake_count(s, "\"value\":4"), 0);
    fake_stop(s);

    s = fake_start(STEPS(elsewhere));
    run("-e", fake_address(s), "import", "keys", "--create", "--dry-run", NULL);
    EXPECT(0, "keys: 5 keys, the file is whole; nothing was written\n", "");
    assert_int_equal(access("keys.progress", F_OK), 0);
    fake_stop(s);

    s = fake_start(STEPS(steps));
    run("-e", fake_address(s), "import", "keys", NULL);
    EXPECT(0, "4 keys written in *.* s, 1 before\n",
           "import: going on behind the first 1 keys, as keys.progress says\n");
    assert_int_equal(fake_count(s, "\"write\""), 4);
    assert_true(sent(s, "\"write\"", 0, "\"value\":2"));
    fake_stop(s);

    write_file("keys.progress", "{\"ridd_import\":3,\"bytes\":1,\"crc32c\":1,\"create\":false,"
                                "\"cluster_hash\":\"" HASH "\"}\n");
    s = fake_start(STEPS(elsewhere));
    run("-e", fake_address(s), "import", "keys", NULL);
    EXPECT(0, "5 keys written in *.* s\n",
           "import: keys.progress is of another file, cluster or way to write: beginning anew\n");
    fake_stop(s);
}

/* What was noted of one cluster and one file says nothing of another, of the same length, too. */
static void keys__what_is_done_is_done_in_one_cluster(void **state)
{
    static const struct fake_step steps[] = {
        STATUS, SESSION, {"\"value\":2", FAKE_REPLY, ERROR("no_space", 9, "full"), 0}, WRITES};
    static const struct fake_step elsewhere[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"cluster\":\"here\","
         "\"cluster_hash\":\"fedcba9876543210\"}",
         0},
        SESSION,
        WRITES};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    write_file("keys", BEGIN LINE("1", "1") LINE("2", "2") END(2));
    run("-e", fake_address(s), "-t", "300", "import", "keys", NULL);
    EXPECT(75, "",
           "import: stopped: the first 1 of 2 keys are written; *\nridctl: import: 'keys:3': "
           "127.0.0.1:* says: full; 'ridctl status' shows which nodes are full\n");
    fake_stop(s);
    s = fake_start(STEPS(elsewhere));
    run("-e", fake_address(s), "import", "keys", NULL);
    EXPECT(0, "2 keys written in *.* s\n", "import: keys.progress is of another *\n");
    assert_int_equal(fake_count(s, "\"write\""), 2);
    fake_stop(s);
    s = fake_start(STEPS(steps));
    run("-e", fake_address(s), "-t", "300", "import", "keys", NULL);
    EXPECT(75, "", "import: stopped: the first 1 of 2 keys are written; *");
    write_file("keys", BEGIN LINE("1", "3") LINE("2", "4") END(2));
    run("-e", fake_address(s), "import", "keys", NULL);
    EXPECT(0, "2 keys written in *.* s\n", "import: keys.progress is of another *\n");
    fake_stop(s);
}

static void keys__create_leaves_other_values_alone(void **state)
{
    static const struct fake_step steps[] = {
        STATUS,
        SESSION,
        {"\"key\":\"b\"", FAKE_REPLY, ERROR("precondition_failed", 22, "differs"), 0},
        {"\"cas\"", FAKE_REPLY, "{\"type\":\"cas_ok\",\"in_reply_to\":%ID,\"index\":9}", 0},
    };
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    write_file("keys", BEGIN LINE("\"a\"", "1") LINE("\"b\"", "2") LINE("\"c\"", "3") END(3));
    run("-e", fake_address(s), "import", "keys", "--create", NULL);
    EXPECT(4, "2 keys written in *.* s\n",
           "ridctl: import: 1 key had another value, and was left alone (--create)\n");
    assert_true(
        sent(s, "\"cas\"", 0, "\"key\":\"a\",\"from\":1,\"to\":1,\"create_if_not_exists\":true"));
    assert_int_equal(fake_count(s, "\"write\""), 0);
    fake_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys__a_list_goes_on_page_after_page),
        cmocka_unit_test(keys__scan_prints_values),
        cmocka_unit_test(keys__a_page_that_is_none_is_not_believed),
        cmocka_unit_test(keys__a_list_that_breaks_off_says_so),
        cmocka_unit_test(keys__a_get_is_not_older_than_what_was_seen),
        cmocka_unit_test(keys__an_export_says_what_it_is),
        cmocka_unit_test(keys__of_one_index_or_not_at_all),
        cmocka_unit_test(keys__an_export_goes_on_where_it_was),
        cmocka_unit_test(keys__local_pages_are_not_gone_on_with),
        cmocka_unit_test(keys__an_import_writes_each_key_once),
        cmocka_unit_test(keys__a_file_that_is_not_whole_is_refused),
        cmocka_unit_test(keys__what_is_done_has_no_gap),
        cmocka_unit_test(keys__what_is_done_is_done_in_one_cluster),
        cmocka_unit_test(keys__create_leaves_other_values_alone),
    };

    return cmocka_run_group_tests_name("ctl-keys", tests, ctl_run_set_up, ctl_run_tear_down);
}
