/* States that differ though each is whole: no checksum tells, only the others do (FIT-8, FIT-9). A node
 * is stopped, another value is written into its state as if an entry had said so, and it is started
 * again: its own walk finds nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cluster/harness.h"
#include "kv/kv_int.h"

#include "base/banned.h"

#define N_KEYS 60u
#define KEY    "k017"

static void write_keys(struct cluster *c)
{
    struct client *cl = client_open(c, cluster_leader(c));

    for (unsigned i = 0; i < N_KEYS; i++)
        client_sendf(cl, "{\"type\":\"write\",\"msg_id\":%u,\"key\":\"k%03u\",\"value\":%u}", i, i,
                     i);
    for (unsigned i = 0; i < N_KEYS; i++) {
        json_t *reply = client_recv_json(cl);

        assert_true(reply_is(reply, "write_ok"));
        json_decref(reply);
    }
    client_close(cl);
    (void)cluster_settle(c);
}

/* ---- another state ---- */

/* Of the mark of a clean end: its first words are the incarnation and, last but one, the term. */
static uint64_t incarnation_of(const char *db)
{
    cleanup_buf struct buf mark = BUF_INIT;
    char path[600];

    (void)snprintf(path, sizeof(path), "%s/" TRUST_CLEAN_NAME, db);
    file_read(path, &mark);
    assert_true(mark.len > 16);
    return get_u64((const unsigned char *)mark.data + 8);
}

/* The entry that was applied last is another one: a write of KEY. All that the state says of itself is
 * made to agree, by the code that always does it. */
static void apply_another(struct kv *kv, const char *text)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct command_result result;
    struct raft_entry e = {.id = kv_last_applied(kv), .type = RAFT_ENTRY_COMMAND};
    struct wire_key key;
    struct command c;

    assert_int_equal(wire_key_set_string(&key, KEY, strlen(KEY)), 0);
    c = (struct command){.op = COMMAND_WRITE,
                         .key = {(const char *)key.bytes, key.len},
                         .value = {text, strlen(text)}};
    assert_int_equal(command_encode(&c, &b), 0);
    e.len = (uint32_t)b.len;
    e.data = b.data;
    assert_int_equal(kv_begin(kv), 0);
    kv->pending.last_applied.index--;
    assert_int_equal(kv_apply(kv, &e, &result), 0);
    assert_int_equal(result.status, COMMAND_OK);
    assert_int_equal(kv_commit(kv), 0);
}

static void alter(struct cluster *c, unsigned node, const char *text)
{
    struct kv_conf conf = {.map_size_bytes = (size_t)256 << 20, .memtable_keys = 1};
    enum kv_trust trust;
    struct kv *kv;
    char db[300];

    (void)snprintf(db, sizeof(db), "%s/db", c->nodes[node].dir);
    conf.dir = db;
    conf.incarnation = incarnation_of(db);
    assert_int_equal(kv_open(&conf, &trust, &kv), 0);
    assert_int_equal(trust, KV_TRUSTED_CLEAN);
    apply_another(kv, text);
    assert_int_equal(kv_close(kv, true), 0);
}

/* ---- what is said ---- */

static bool status_says(const struct cluster *c, int code, const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;

    return run_ridctl(c, &out, "status") == code && strstr((const char *)out.data, text) != NULL;
}

/* Of the state of the node itself; NULL: it does not answer from it. */
static char *local_value(struct cluster *c, unsigned node)
{
    struct client *cl = client_open(c, node);
    json_t *reply = client_ask_json(cl, "{\"type\":\"local_read\",\"key\":\"" KEY "\"}");
    char *text = reply_is(reply, "local_read_ok")
                     ? json_dumps(json_object_get(reply, "value"), JSON_ENCODE_ANY)
                     : NULL;

    json_decref(reply);
    client_close(cl);
    return text;
}

static bool holds(struct cluster *c, unsigned node, const char *text)
{
    cleanup_free char *value = local_value(c, node);

    return value != NULL && strcmp(value, text) == 0;
}

static unsigned count_logged(struct cluster *c, const char *text)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++)
        n += c->nodes[i].pid != 0 && node_logged(c, i, text);
    return n;
}

/* By whoever leads: on a busy machine that changes. */
static bool is_answered(struct cluster *c, const char *request, const char *pattern)
{
    struct client *cl = client_open(c, cluster_leader(c));
    bool ok = pattern_matches(pattern, client_ask(cl, request));

    client_close(cl);
    return ok;
}

/* Who has what was said, an operator is told, and nobody is excluded: each goes on to answer from
 * what it has. */
static void expect_split(struct cluster *c, const char *const *values)
{
    wait_until(count_logged(c, "event=states_split") > 0, "the leader to say who has what");
    wait_until(status_says(c, 6, "differs from that of"), "a verdict that says so");
    wait_until(is_answered(c, "{\"type\":\"write\",\"key\":\"other\",\"value\":1}",
                           "{\"type\":\"write_ok\"}"),
               "a write");
    (void)cluster_settle(c);
    wait_until(status_says(c, 6, "differs from that of"), "the verdict to stay");
    for (unsigned i = 0; i < c->n; i++) {
        if (c->nodes[i].pid == 0)
            continue;
        assert_true(holds(c, i, values[i]));
        assert_false(node_logged(c, i, "event=state_damaged"));
    }
}

/* The node was told that it is the wrong one, made its state again, has what the others have, and
 * leads when it is asked to. */
static void expect_mended(struct cluster *c, unsigned node)
{
    node_wait_logged(c, node, "event=state_rebuilt");
    wait_until(holds(c, node, "17"), "the value that was written");
    (void)cluster_settle(c); /* compares the digests */
    wait_until(!status_says(c, 6, "differs") && !status_says(c, 6, c->nodes[node].name),
               "nothing to be said of it");
    for (unsigned i = 0; i < c->n; i++)
        if (i != node)
            assert_false(node_logged(c, i, "event=state_damaged"));
    wait_until(cluster_leads(c, node) &&
                   is_answered(c, "{\"type\":\"read_index\",\"key\":\"" KEY "\"}",
                               "{\"type\":\"read_index_ok\",\"value\":17,<*>}") &&
                   cluster_leader(c) == node,
               "the node to lead, and to answer");
}

static struct cluster *written(unsigned n)
{
    struct cluster *c = cluster_up(n, "[state]\nscrub = 64\n");

    write_keys(c);
    return c;
}

static void stop_all(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++)
        assert_int_equal(node_terminate(c, i), 0);
}

/* ---- cases ---- */

CASE(differ__of_two_nobody_is_right)
{
    static const char *const values[] = {"17", "\"another\""};
    struct cluster *c = written(2);

    stop_all(c);
    alter(c, 1, values[1]);
    cluster_start(c);
    assert_true(node_logged(c, 1, "found=clean"));
    expect_split(c, values);
    cluster_free(c);
}

CASE(differ__one_of_three_is_made_again)
{
    struct cluster *c = written(3);
    unsigned node = (cluster_leader(c) + 1) % 3;

    assert_int_equal(node_terminate(c, node), 0);
    alter(c, node, "\"another\"");
    node_start(c, node);
    assert_true(node_logged(c, node, "found=clean"));
    node_wait_logged(c, node, "event=state_damaged why='a majority of the voters");
    expect_mended(c, node);
    assert_int_equal(count_logged(c, "event=states_split"), 0);
    cluster_free(c);
}

CASE(differ__of_three_that_all_differ_nobody_is_right)
{
    static const char *const values[] = {"\"one\"", "\"two\"", "\"three\""};
    struct cluster *c = written(3);

    stop_all(c);
    for (unsigned i = 0; i < 3; i++)
        alter(c, i, values[i]);
    cluster_start(c);
    expect_split(c, values);
    cluster_free(c);
}

/* Two of three differ, and the third could tell. What they concluded without it does not stand when
 * it is back, and long before they would ask again. */
CASE(differ__a_voter_that_comes_back_decides)
{
    static const char *const values[] = {"\"another\"", "17", "17"};
    struct cluster *c = written(3);

    stop_all(c);
    alter(c, 0, values[0]);
    node_spawn(c, 0);
    node_spawn(c, 1);
    expect_split(c, values);
    node_start(c, 2);
    node_wait_logged(c, 0, "event=state_damaged why='a majority of the voters");
    expect_mended(c, 0);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(differ__of_two_nobody_is_right),
        HARNESS_TEST(differ__one_of_three_is_made_again),
        HARNESS_TEST(differ__of_three_that_all_differ_nobody_is_right),
        HARNESS_TEST(differ__a_voter_that_comes_back_decides),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
