/* When real nodes make snapshots, and what goes of the log then: it stays short under load, and as
 * long as it is to be; a disk that is full harms nothing. */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "cluster/snapshots.h"

#include "base/banned.h"

/* ---- the length of the log ---- */

struct overwriting {
    uint64_t n_done;
    char value[VALUE_BYTES + 1];
};

static bool next_over(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    struct overwriting *o = ctx;

    (void)snprintf(fields, size, "\"type\":\"write\",\"key\":\"o%u-%u\",\"value\":\"%s\"", client,
                   (unsigned)(msg_id % 20), o->value);
    return true;
}

static void over_done(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    struct overwriting *o = ctx;

    (void)client;
    (void)msg_id;
    o->n_done += reply != NULL && reply_is(reply, "write_ok");
}

/* So many writes of few keys: log, and little state. */
static void run_over(struct cluster *c, uint64_t n)
{
    static const struct swarm_ops ops = {next_over, over_done};
    static struct overwriting o;
    const uint64_t deadline = now_ms() + slow(2 * WAIT_MS);
    struct swarm *s = swarm_new(c, 4, 8, &ops, &o);

    memset(o.value, 'v', VALUE_BYTES);
    for (o.n_done = 0; o.n_done < n; swarm_turn(s, 10))
        if (now_ms() > deadline)
            harness_fail("%llu writes are too slow", (unsigned long long)o.n_done);
    swarm_drain(s);
    swarm_free(s);
}

/* ---- asking and reloading ---- */

CASE(snapshots__asked_for_by_a_client)
{
    struct cluster *c = cluster_up_without_syncs(3, NULL);
    struct writers w;

    writers_init(&w, c, 2, 8, "k", 100);
    writers_run(&w, 200);
    writers_stop(&w);
    node_wait_logged(c, cluster_leader(c),
                     "event=limit_set"); /* nothing comes by itself any more */
    (void)cluster_settle(c);
    for (unsigned i = 0; i < c->n; i++) {
        struct client *cl = client_open(c, i);
        json_t *reply;
        int64_t index;

        client_expect(cl, "{\"type\":\"snapshot\",\"msg_id\":1}",
                      "{\"type\":\"snapshot_ok\",<*>\"index\":0,\"making\":true}");
        wait_until(snap_of(c, i, "made") == 1, "a snapshot");
        index = snap_of(c, i, "index");
        assert_true(index >= 200);
        node_wait_logged(c, i, "event=snapshot_made");
        reply = client_ask_json(cl, "{\"type\":\"snapshot\"}");
        assert_int_equal(reply_int(reply, "index"), index); /* there is nothing new */
        assert_true(json_is_false(json_object_get(reply, "making")));
        json_decref(reply);
        client_close(cl);
        assert_int_equal(snap_of(c, i, "made"), 1);
    }
    writers_verify(&w, c);
    writers_done(&w);
    cluster_free(c);
}

/* Asked without end, while one is made and while it ends: the next begins when the last was taken
 * in, not before (SNAP-13). */
CASE(snapshots__asked_for_again_and_again)
{
    struct cluster *c = cluster_up_without_syncs(1, NULL);
    struct client *cl = client_open(c, 0);

    for (unsigned i = 0; i < 100000; i++) {
        client_send(cl, "{\"type\":\"write\",\"key\":\"k\",\"value\":1}");
        client_send(cl, "{\"type\":\"snapshot\"}");
        if (i % 16 != 15)
            continue;
        for (unsigned k = 0; k < 32; k++)
            if (client_recv_within(cl, (unsigned)slow(WAIT_MS)) == NULL)
                harness_fail("no answer to request %u", i);
        if (snap_of(c, 0, "made") >= 2000)
            break;
    }
    print_message("%lld snapshots\n", (long long)snap_of(c, 0, "made"));
    client_close(cl);
    expect_nobody_ended(c);
    cluster_free(c);
}

CASE(snapshots__the_three_keys_are_read_again)
{
    struct cluster *c = cluster_up_without_syncs(3, "map_size = 256M\n[log]\nsegment_size = 1M\n");
    const unsigned leader = cluster_leader(c);
    struct writers w;

    preload(&w, c, 6);
    for (unsigned i = 0; i < c->n; i++)
        assert_int_equal(snap_of(c, i, "made"), 0);
    take_conf(c, "map_size = 256M\n[log]\nsegment_size = 1M\nsnapshot_bytes = 1M\n"
                 "keep_bytes = 1M\nsnapshot_mib_per_s = 1\n");
    for (unsigned i = 0; i < c->n; i++) {
        assert_true(node_logged(c, i, "[log] snapshot_bytes"));
        assert_true(node_logged(c, i, "[log] keep_bytes"));
        assert_true(node_logged(c, i, "[log] snapshot_mib_per_s"));
        assert_false(node_logged(c, i, "reload_not_taken"));
    }
    /* At a mebibyte in a second it takes some. */
    run_over(c, 1500);
    wait_until(snap_of(c, leader, "made") == 1, "a snapshot without being asked");
    assert_true(snap_of(c, leader, "last_ms") >= 5000);
    /* As much as the state, what is kept, and two segments more: of more than twenty. What was
     * written before it began is gone, and when that was depends on how fast the writes came. */
    wait_until(wal_bytes(c, leader) <= 14 * SEGMENT_BYTES, "the front to go");
    take_conf(c, "map_size = 256M\n[log]\nsegment_size = 1M\nsnapshot_bytes = 1M\n"
                 "keep_bytes = 1M\nsnapshot_mib_per_s = 0\n");
    writers_run(&w, 50);
    make_snapshot(c, leader);
    wait_until(snap_of(c, leader, "made") >= 2, "another");
    assert_true(snap_of(c, leader, "last_ms") < 5000);
    verify(&w, c);
    cluster_free(c);
}

/* SNAP-2, DISK-42: many times as much is written as the bound, and none of three logs is ever
 * longer than what is behind a snapshot and may be while the next is made. */
CASE(snapshots__the_log_stays_short_under_load)
{
    static const struct swarm_ops ops = {next_over, over_done};
    static struct overwriting o;
    struct cluster *c = cluster_small(0);
    struct swarm *s;
    uint64_t longest[3] = {0};
    const uint64_t n_writes = 24000;

    memset(o.value, 'v', VALUE_BYTES);
    o.n_done = 0;
    s = swarm_new(c, 4, 8, &ops, &o);
    for (uint64_t deadline = now_ms() + slow(6 * WAIT_MS); o.n_done < n_writes;) {
        if (now_ms() > deadline)
            harness_fail("%llu writes are too slow", (unsigned long long)o.n_done);
        for (uint64_t until = o.n_done + 50; o.n_done < until && now_ms() < deadline;)
            swarm_turn(s, 10);
        for (unsigned i = 0; i < c->n; i++) {
            const uint64_t bytes = wal_bytes(c, i);

            longest[i] = bytes > longest[i] ? bytes : longest[i];
        }
    }
    swarm_drain(s);
    swarm_free(s);
    for (unsigned i = 0; i < c->n; i++) {
        char **names;
        const unsigned n = folder_list(path_of(c, i, "wal"), &names);

        names_free(names, n);
        print_message("%s: %llu of %llu MiB, %u files, %lld snapshots\n", c->nodes[i].name,
                      (unsigned long long)longest[i] >> 20,
                      (unsigned long long)(n_writes * VALUE_BYTES) >> 20, n,
                      (long long)snap_of(c, i, "made"));
        /* state of 0.8 MiB: four segments behind the newest, as many while the next is made, and
         * more of them where disk and processors are busy with something else meanwhile: who
         * writes is fast, and who copies stands behind; of 228 */
        assert_true(longest[i] <= 64 * SEGMENT_BYTES);
        wait_until(wal_bytes(c, i) <= 5 * SEGMENT_BYTES, "a log of a few segments");
    }
    expect_equal_states(c);
    expect_nobody_ended(c);
    cluster_free(c);
}

/* What is kept is kept, and who needs no more of it gets entries, no snapshot. */
CASE(snapshots__keep_bytes_are_kept)
{
    struct cluster *c = cluster_up_without_syncs(
        3, "map_size = 256M\n[log]\nsegment_size = 1M\nsnapshot_bytes = 1M\n"
           "keep_bytes = 12M\nsnapshot_mib_per_s = 0\n");
    const unsigned leader = cluster_leader(c);
    const unsigned away = (leader + 1) % 3;
    struct writers w;

    writers_init(&w, c, 4, 8, "k", VALUE_BYTES);
    writers_run(&w, 2500);
    (void)cluster_settle(c);
    for (unsigned i = 0; i < c->n; i++)
        make_snapshot(c, i);
    wait_until(snap_of(c, leader, "log_begins_behind") > 0, "the front to go");
    node_kill(c, away);
    writers_run(&w, 600);
    make_snapshot(c, leader);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(wal_bytes(c, leader) >= 12 * SEGMENT_BYTES);
        writers_run(&w, 10);
    }
    wait_until(wal_bytes(c, leader) <= 15 * SEGMENT_BYTES, "no more than is to be kept");
    node_start(c, away);
    verify(&w, c);
    for (unsigned i = 0; i < c->n; i++)
        assert_int_equal(lines_ever(c, i, "event=snapshot_sending"), 0);
    cluster_free(c);
}

/* SNAP-15: nothing is harmed where a snapshot cannot be made: writes go on as long as the log has room, and
 * what the log keeps too much of goes later. */
CASE(snapshots__the_disk_of_the_maker_fills)
{
    struct cluster *c;
    struct writers w;
    json_t *status;
    const char *why;
    unsigned full;

    if (skip_without_disks())
        return;
    c = cluster_on_disks();
    full = (cluster_leader(c) + 1) % 3;
    preload(&w, c, 3);
    fill_disk(c, full, (uint64_t)15 << 20); /* less than must be left */
    run_over(c, 600);
    node_wait_logged(c, full, "event=snapshot_failed");
    status = node_status(c, full);
    why = reply_str(json_object_get(status, "snapshots"), "failed_why");
    assert_non_null(strstr(why, "the disk has less than 16 MiB left"));
    json_decref(status);
    assert_true(snap_of(c, full, "failed") > 0);
    writers_run(&w, 100);
    assert_true(set_disk(c, full, DISK_BYTES, MS_REMOUNT));
    run_over(c, 400);
    node_wait_logged(c, full, "event=snapshot_made");
    wait_until(snap_of(c, full, "log_begins_behind") > 0, "the front to go");
    verify(&w, c);
    end_on_disks(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(snapshots__asked_for_by_a_client),
        HARNESS_TEST(snapshots__asked_for_again_and_again),
        HARNESS_TEST(snapshots__the_three_keys_are_read_again),
        HARNESS_TEST(snapshots__the_log_stays_short_under_load),
        HARNESS_TEST(snapshots__keep_bytes_are_kept),
        HARNESS_TEST(snapshots__the_disk_of_the_maker_fills),
    };

    own_mounts();
    return harness_main(argc, argv, tests, NULL, NULL);
}
