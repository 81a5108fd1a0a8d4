/* A state that is lost or damaged comes back by itself, from a snapshot of the node's own, its log, or
 * the leader's snapshot; and nothing is ever answered from half of one. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cluster/snapshots.h"

#include "base/banned.h"

/* ---- a state that is lost ---- */

/* Waits while the node is asked: what it answers is never half. */
static void wait_whole(struct cluster *c, unsigned node, const struct writers *w)
{
    uint64_t index = cluster_settle(c);
    const uint64_t deadline = now_ms() + slow(2 * WAIT_MS);

    for (;;) {
        json_t *status = node_status(c, node);
        const int64_t applied = reply_int(status, "applied_index");

        json_decref(status);
        expect_never_half(c, node, w);
        if (applied >= (int64_t)index)
            break;
        if (now_ms() > deadline)
            harness_fail("%s does not come back", c->nodes[node].name);
    }
}

static void spoil_db(struct cluster *c, unsigned node)
{
    const char *path = path_of(c, node, "db/data.mdb");
    const uint64_t pages = file_size(path) / 4096u;

    for (uint64_t page = 2; page < pages; page += pages / 8 + 1)
        for (unsigned at = 0; at < 4096; at += 512)
            file_xor(path, page * 4096u + at, 0x40);
}

/* How the state is lost, and whether the snapshots are, too. */
enum loss { LOSE_FILE, LOSE_PAGES, LOSE_FOLDER };

static void lose(struct cluster *c, unsigned node, enum loss loss, bool snaps_too)
{
    switch (loss) {
    case LOSE_FILE:
        assert_int_equal(unlink(path_of(c, node, "db/data.mdb")), 0);
        break;
    case LOSE_PAGES:
        spoil_db(c, node);
        break;
    case LOSE_FOLDER:
        tree_remove(path_of(c, node, "db"), false);
        break;
    }
    if (snaps_too)
        tree_remove(path_of(c, node, "snap"), true);
}

/* SNAP-8, STATE-12: from a snapshot of its own and the log where there is one, else from the
 * leader's, in each case by itself. */
static void lose_in_each_way(bool begins_at_one)
{
    struct cluster *c =
        begins_at_one ? cluster_up_without_syncs(3, "map_size = 256M\n") : cluster_small(0);
    struct writers w;
    unsigned node;

    preload(&w, c, begins_at_one ? 1 : 6);
    node = (cluster_leader(c) + 1) % 3;
    for (unsigned i = 0; !begins_at_one && i < c->n; i++) {
        make_snapshot(c, i);
        writers_run(&w, 250);
        make_snapshot(c, i);
        wait_until(snap_of(c, i, "log_begins_behind") > 0, "the front to go");
    }
    for (unsigned round = 0; round < 6; round++) {
        const enum loss loss = (enum loss)(round / 2);
        const bool snaps_too = round % 2 == 1;

        writers_run(&w, 50);
        if (round % 3 == 0)
            node_kill(c, node);
        else
            assert_int_equal(node_terminate(c, node), 0);
        lose(c, node, loss, snaps_too);
        node_start(c, node);
        wait_whole(c, node, &w);
        if (!begins_at_one && !snaps_too)
            assert_true(node_logged(c, node, "event=state_restored"));
        if (!begins_at_one && snaps_too) {
            assert_true(node_logged(c, node, "event=state_wanted"));
            assert_true(node_logged(c, node, "event=snapshot_receiving"));
        }
        expect_equal_states(c);
    }
    verify(&w, c);
    cluster_free(c);
}

CASE(restores__a_lost_state_where_the_log_is_whole)
{
    lose_in_each_way(true);
}

CASE(restores__a_lost_state_where_the_front_is_gone)
{
    lose_in_each_way(false);
}

/* FIT-7: while it runs, from its own snapshot, and nothing is answered from the damaged one. */
CASE(restores__a_page_flips_while_it_runs)
{
    char conf[300];
    struct cluster *c;
    struct writers w;
    unsigned node;

    small_conf(conf, sizeof(conf), 0);
    (void)snprintf(conf + strlen(conf), sizeof(conf) - strlen(conf), "[state]\nscrub = 64\n");
    c = cluster_up_without_syncs(3, conf);
    preload(&w, c, 6);
    node = (cluster_leader(c) + 1) % 3;
    make_snapshot(c, node);
    writers_run(&w, 250);
    make_snapshot(c, node);
    wait_until(snap_of(c, node, "log_begins_behind") > 0, "the front to go");
    spoil_db(c, node);
    node_wait_logged(c, node, "event=state_damaged");
    node_wait_logged(c, node, "event=state_restored");
    node_wait_logged(c, node, "event=state_rebuilt");
    wait_whole(c, node, &w);
    verify(&w, c);
    cluster_free(c);
}

/* A trailer that is damaged is seen at once, a copy when it is wanted: it counts for nothing, and
 * another is made. */
CASE(restores__damaged_snapshots_count_for_nothing)
{
    struct cluster *c = cluster_small(0);
    struct writers w;
    unsigned node;

    preload(&w, c, 4);
    node = (cluster_leader(c) + 1) % 3;
    for (unsigned round = 0; round < 4; round++) {
        const bool trailer = round % 2 == 0;

        make_snapshot(c, node);
        writers_run(&w, 250);
        make_snapshot(c, node);
        wait_until(snap_of(c, node, "log_begins_behind") > 0, "the front to go");
        assert_int_equal(node_terminate(c, node), 0);
        spoil_snaps(c, node, trailer);
        if (round >= 2)
            tree_remove(path_of(c, node, "db"), false);
        node_start(c, node);
        if (trailer || round >= 2)
            node_wait_logged(c, node, "event=snapshot_unusable");
        wait_whole(c, node, &w);
        writers_run(&w, 300);
        make_snapshot(c, node);
        expect_equal_states(c);
    }
    verify(&w, c);
    cluster_free(c);
}

/* ---- what a client was given ---- */

static void ridctl(const struct cluster *c, const char *const args[5])
{
    const char *argv[] = {ridctl_path(), "--config", c->conf, args[0],
                          args[1],       args[2],    args[3], NULL};
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(run_program(argv, &out), 0, &out);
}

static bool holds(const struct buf *file, const unsigned char *what, size_t n)
{
    return memmem(file->data, file->len, what, n) != NULL;
}

/* Of the node's own files: the cluster's random id, and each member's incarnation. */
static unsigned n_secrets(const struct cluster *c, const struct buf *file)
{
    cleanup_buf struct buf id = BUF_INIT;
    unsigned n;

    file_read(path_of(c, 0, "CLUSTER"), &id);
    assert_true(id.len > 24);
    n = holds(file, id.data + 8, 16);
    for (unsigned i = 0; i < c->n; i++) {
        cleanup_buf struct buf ident = BUF_INIT;

        file_read(path_of(c, i, "IDENT"), &ident);
        assert_true(ident.len > 40);
        n += holds(file, ident.data + 8 + 24, 8);
    }
    return n;
}

static char *only_snapshot(const struct cluster *c, unsigned node)
{
    static char name[64];
    char **names;
    const unsigned n = folder_list(path_of(c, node, "snap"), &names);

    assert_int_equal(n, 1);
    (void)snprintf(name, sizeof(name), "snap/%s", names[0]);
    names_free(names, n);
    return path_of(c, node, name);
}

/* MEMBER-16, PEER-7: it tells no secret, and so no node goes on from it, which says why; what it
 * needs it gets from the leader. */
CASE(restores__what_a_client_was_given_is_no_snapshot)
{
    struct cluster *c = cluster_small(0);
    cleanup_buf struct buf own = BUF_INIT;
    cleanup_buf struct buf given = BUF_INIT;
    struct writers w;
    char saved[300];
    unsigned node;

    preload(&w, c, 4);
    node = (cluster_leader(c) + 1) % 3;
    ridctl(c, (const char *const[5]){"member", "demote", c->nodes[node].name});
    ridctl(c, (const char *const[5]){"member", "promote", c->nodes[node].name});
    writers_run(&w, 250);
    make_snapshot(c, node);
    wait_until(snap_of(c, node, "log_begins_behind") > 0, "the front to go");
    (void)snprintf(saved, sizeof(saved), "%s/saved", c->dir);
    ridctl(c, (const char *const[5]){"snapshot", c->nodes[node].name, "--save", saved});
    assert_int_equal(node_terminate(c, node), 0);

    file_read(only_snapshot(c, node), &own);
    file_read(saved, &given);
    assert_int_equal(n_secrets(c, &own), 1 + c->n);
    assert_int_equal(n_secrets(c, &given), 0);
    assert_int_equal(given.len, own.len);
    file_write(only_snapshot(c, node), given.data, file_size(saved));
    tree_remove(path_of(c, node, "db"), false);
    node_start(c, node);
    node_wait_logged(c, node, "event=snapshot_unusable");
    assert_true(node_logged(c, node, "is a copy that a client was given"));
    wait_whole(c, node, &w);
    assert_true(node_logged(c, node, "event=snapshot_receiving"));
    expect_equal_states(c);
    verify(&w, c);
    cluster_free(c);
}

/* ---- the machine crashes ---- */

/* As far as a shim can play it: another boot, and what was not synced of the state is not what was
 * written. */
CASE(restores__the_machine_crashes)
{
    char conf[200];
    char boot[PATH_MAX];
    char variable[PATH_MAX + 20];
    struct shim_env shim;
    struct cluster *c;
    struct writers w;

    small_conf(conf, sizeof(conf), 0);
    c = cluster_new(3, conf);
    (void)snprintf(boot, sizeof(boot), "%s/boot", c->dir);
    (void)snprintf(variable, sizeof(variable), "RIDD_SHIM_BOOT=%s", boot);
    file_write(boot, "00000000-0000-4000-8000-000000000001\n", 37);
    shim_env_init(&shim, variable);
    c->env = shim.env;
    cluster_init(c);
    cluster_start(c);
    preload(&w, c, 4);
    for (unsigned i = 0; i < c->n; i++) {
        make_snapshot(c, i);
        writers_run(&w, 250);
        make_snapshot(c, i);
        wait_until(snap_of(c, i, "log_begins_behind") > 0, "the front to go");
    }
    writers_run(&w, 50);
    for (unsigned i = 0; i < c->n; i++)
        node_signal(c, i, SIGKILL);
    for (unsigned i = 0; i < c->n; i++)
        assert_int_equal(node_wait_exit(c, i), 128 + SIGKILL);
    file_write(boot, "00000000-0000-4000-8000-000000000002\n", 37);
    for (unsigned i = 0; i < c->n; i++)
        spoil_db(c, i);
    cluster_start(c);
    for (unsigned i = 0; i < c->n; i++) {
        assert_true(node_logged(c, i, "found=rebuild"));
        assert_true(node_logged(c, i, "event=state_restored"));
        assert_false(node_logged(c, i, "event=snapshot_receiving"));
    }
    verify(&w, c);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(restores__a_lost_state_where_the_log_is_whole),
        HARNESS_TEST(restores__a_lost_state_where_the_front_is_gone),
        HARNESS_TEST(restores__a_page_flips_while_it_runs),
        HARNESS_TEST(restores__damaged_snapshots_count_for_nothing),
        HARNESS_TEST(restores__what_a_client_was_given_is_no_snapshot),
        HARNESS_TEST(restores__the_machine_crashes),
    };

    own_mounts();
    return harness_main(argc, argv, tests, NULL, NULL);
}
