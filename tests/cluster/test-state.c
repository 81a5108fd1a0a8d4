/* The file of the state, damaged on one node of three: no flipped bit is ever an answer. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define N_KEYS 300u
#define PAGE   4096u

static void write_keys(struct cluster *c)
{
    struct client *cl = client_open(c, cluster_leader(c));

    for (unsigned i = 0; i < N_KEYS; i++)
        client_sendf(cl,
                     "{\"type\":\"write\",\"msg_id\":%u,\"key\":\"k%03u\",\"value\":\"%u %0200u\"}",
                     i, i, i, 0u);
    for (unsigned i = 0; i < N_KEYS; i++) {
        json_t *reply = client_recv_json(cl);

        assert_true(reply_is(reply, "write_ok"));
        json_decref(reply);
    }
    client_close(cl);
    (void)cluster_settle(c);
}

/* All that was applied stands in the file when a node ends cleanly (STATE-17). */
static void store_keys(struct cluster *c)
{
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(node_terminate(c, i), 0);
        node_start(c, i);
        (void)cluster_settle(c);
    }
}

/* The root of the keys, by the newer one of LMDB's two heads. */
static const unsigned char *root_of(const struct buf *file)
{
    const unsigned char *head = file->data;
    uint64_t root;

    if (get_u64(head + PAGE + 144) > get_u64(head + 144))
        head += PAGE;
    root = get_u64(head + 128);
    assert_true(root >= 2 && root < file->len / PAGE);
    return (const unsigned char *)file->data + root * PAGE;
}

/* The separator in the middle of the root says another ten: the keys between the two are looked for
 * where they are not. */
static void hide_keys(struct cluster *c, unsigned node)
{
    cleanup_buf struct buf file = BUF_INIT;
    const unsigned char *root;
    unsigned n;
    unsigned at;
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/db/data.mdb", c->nodes[node].dir);
    file_read(path, &file);
    root = root_of(&file);
    n = (get_u16(root + 12) - 16u) / 2;
    assert_int_equal(get_u16(root + 10), 1); /* a branch */
    assert_true(n > 4);
    at = get_u16(root + 16 + 2 * (size_t)(n / 2));
    assert_memory_equal(root + at + 8, "sk", 2);
    file_xor(path, (uint64_t)(root - (const unsigned char *)file.data) + at + 11, 4);
}

static void lead_by(struct cluster *c, unsigned node)
{
    (void)cluster_settle(c);
    wait_until(cluster_leads(c, node), "the node to lead");
}

/* Asked of the node itself, as the leader: every key is there, and cannot be made again. */
static void expect_all(struct cluster *c, unsigned node)
{
    struct client *cl;

    lead_by(c, node);
    cl = client_open(c, node);
    for (unsigned i = 0; i < N_KEYS; i++) {
        char pattern[400];
        const char *text;
        json_t *reply;

        (void)snprintf(pattern, sizeof(pattern),
                       "{\"type\":\"read_index_ok\",\"value\":\"%u %0200u\",<*>}", i, 0u);
        client_sendf(cl, "{\"type\":\"read_index\",\"key\":\"k%03u\"}", i);
        text = client_recv(cl);
        if (!pattern_matches(pattern, text))
            harness_fail("k%03u: %s", i, text);
        client_sendf(cl,
                     "{\"type\":\"cas\",\"key\":\"k%03u\",\"from\":\"x\",\"to\":1,"
                     "\"create_if_not_exists\":true}",
                     i);
        reply = client_recv_json(cl);
        assert_true(reply_is(reply, "error"));
        assert_int_equal(reply_int(reply, "code"), 22);
        json_decref(reply);
    }
    client_close(cl);
}

/* STATE-12: it stood, and a bit was flipped. */
CASE(state__a_hidden_key_is_found_at_the_start)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned node;

    write_keys(c);
    node = (cluster_leader(c) + 1) % 3;
    assert_int_equal(node_terminate(c, node), 0);
    hide_keys(c, node);
    node_start(c, node);
    assert_true(node_logged(c, node, "found=rebuild"));
    assert_true(node_logged(c, node, "' is damaged: "));
    expect_all(c, node);
    assert_int_equal(node_terminate(c, node), 0);
    node_start(c, node);
    assert_true(node_logged(c, node, "found=clean"));
    cluster_free(c);
}

/* STATE-13, STATE-14: it runs, and somebody else writes into its file. */
CASE(state__a_hidden_key_is_found_while_running)
{
    struct cluster *c = cluster_up(3, "[state]\nscrub = 64\n");
    uint64_t begin_ms;
    unsigned node;

    write_keys(c);
    store_keys(c);
    node = (cluster_leader(c) + 1) % 3;
    hide_keys(c, node);
    begin_ms = now_ms();
    node_wait_logged(c, node, "event=state_damaged");
    print_message("found after %u ms\n", (unsigned)(now_ms() - begin_ms));
    node_wait_logged(c, node, "event=state_rebuilt");
    expect_all(c, node);
    assert_int_equal(node_terminate(c, node), 0);
    node_start(c, node);
    assert_true(node_logged(c, node, "found=clean"));
    cluster_free(c);
}

/* Every copy of a text in the file of a running node. */
static void spoil_values(struct cluster *c, unsigned node, const char *text)
{
    cleanup_buf struct buf file = BUF_INIT;
    char path[512];
    unsigned found = 0;

    (void)snprintf(path, sizeof(path), "%s/db/data.mdb", c->nodes[node].dir);
    file_read(path, &file);
    for (size_t i = 0; i + strlen(text) <= file.len; i++)
        if (memcmp(file.data + i, text, strlen(text)) == 0) {
            file_xor(path, i + 1, 4);
            found++;
        }
    assert_true(found > 0);
}

static json_t *read_k017(struct cluster *c, unsigned node)
{
    struct client *cl = client_open(c, node);
    json_t *reply;

    client_sendf(cl, "{\"type\":\"read_index\",\"key\":\"k017\"}");
    reply = client_recv_json(cl);
    client_close(cl);
    return reply;
}

/* FIT-7: the leader meets a damaged record. The read fails so that it can be asked again, another node
 * answers it, nobody ends, and at the end all have one digest. */
CASE(state__a_damaged_record_at_the_leader)
{
    struct cluster *c = cluster_up(3, "[state]\nscrub = 0\n");
    unsigned leader;
    unsigned next;
    json_t *reply;

    write_keys(c);
    store_keys(c);
    leader = cluster_leader(c);
    spoil_values(c, leader, "17 0000000000");
    reply = read_k017(c, leader);
    assert_true(reply_is(reply, "error"));
    assert_int_equal(reply_int(reply, "code"), 11); /* to be asked again: not 14, for ever */
    json_decref(reply);
    node_wait_logged(c, leader, "event=state_damaged");
    wait_until((next = cluster_leader(c)) != leader, "another leader");
    reply = read_k017(c, next);
    assert_true(reply_is(reply, "read_index_ok"));
    json_decref(reply);
    node_wait_logged(c, leader, "event=state_rebuilt");
    expect_all(c, leader);
    (void)cluster_settle(c); /* compares the digests */
    for (unsigned i = 0; i < 3; i++)
        assert_false(node_logged(c, i, "event=states_differ"));
    cluster_free(c);
}

/* The value, or an error; never that there is none. True: the value. */
static bool has_key(struct client *cl, unsigned i)
{
    char pattern[400];
    const char *text;

    (void)snprintf(pattern, sizeof(pattern),
                   "{\"type\":\"read_index_ok\",\"value\":\"%u %0200u\",<*>}", i, 0u);
    client_sendf(cl, "{\"type\":\"read_index\",\"key\":\"k%03u\"}", i);
    text = client_recv(cl);
    if (pattern_matches(pattern, text))
        return true;
    if (!pattern_matches("{\"type\":\"error\",<*>}", text))
        harness_fail("k%03u: %s", i, text);
    return false;
}

/* STATE-15: nothing reads the file through, and the node leads. Its own reads and those of a cas are
 * what find it, and others answer instead. */
CASE(state__a_leader_never_calls_a_hidden_key_absent)
{
    struct cluster *c = cluster_up(3, "[state]\nscrub = 0\n");
    unsigned n_errors = 0;
    unsigned leader;

    write_keys(c);
    store_keys(c);
    leader = cluster_leader(c);
    hide_keys(c, leader);
    for (unsigned i = 0; i < N_KEYS; i++) {
        struct client *cl = client_open(c, cluster_leader(c));

        wait_until(has_key(cl, i) || (n_errors++, client_close(cl),
                                      cl = client_open(c, cluster_leader(c)), false),
                   "a value");
        client_close(cl);
    }
    print_message("%u errors before every key was answered\n", n_errors);
    node_wait_logged(c, leader, "event=state_damaged");
    node_wait_logged(c, leader, "event=state_rebuilt");
    expect_all(c, leader);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(state__a_hidden_key_is_found_at_the_start),
        HARNESS_TEST(state__a_hidden_key_is_found_while_running),
        HARNESS_TEST(state__a_damaged_record_at_the_leader),
        HARNESS_TEST(state__a_leader_never_calls_a_hidden_key_absent),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
