/* Full: the quota, and disks of log and state together, on one, two and three nodes of three. No
 * node ends, no acknowledged write is lost, reads go on, and everything goes on by itself.
 *
 * The disks are tmpfs in a mount namespace of the test's own, which asks for root; without it those
 * cases are skipped. RIDD_SPACE_ROUNDS=200 tests/cluster/test-space space__rounds_of_full_disks
 * runs as many, and says how many nodes ended and how many writes were lost. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "cluster/harness.h"
#include "cluster/shim.h"

#include "base/banned.h"

#define DISK_BYTES ((uint64_t)150 << 20)

/* ---- disks ---- */

static bool has_disks;

static void own_mounts(void)
{
    has_disks = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool skip_without_disks(void)
{
    if (!has_disks)
        print_message("skipped: no tmpfs can be mounted: %s\n", strerror(errno));
    return !has_disks;
}

static bool set_disk(const struct cluster *c, unsigned i, uint64_t bytes, unsigned long flags)
{
    char options[64];

    (void)snprintf(options, sizeof(options), "size=%llu,mode=0700", (unsigned long long)bytes);
    return mount("tmpfs", c->nodes[i].dir, "tmpfs", flags | MS_NOSUID | MS_NODEV, options) == 0;
}

/* Room for so many bytes is left, or for none. */
static void fill_disk(const struct cluster *c, unsigned i, uint64_t room)
{
    struct statvfs fs;
    uint64_t used;

    for (unsigned try = 0; try < 50; try++) {
        assert_int_equal(statvfs(c->nodes[i].dir, &fs), 0);
        used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
        if (set_disk(c, i, used + room, MS_REMOUNT))
            return; /* it fails when more was written meanwhile */
    }
    harness_fail("the disk of %s cannot be made full: %s", c->nodes[i].name, strerror(errno));
}

static struct cluster *cluster_on_disks(const char *extra)
{
    struct cluster *c = cluster_new(3, extra);

    for (unsigned i = 0; i < c->n; i++) {
        if (mkdir(c->nodes[i].dir, 0700) != 0 || !set_disk(c, i, DISK_BYTES, 0))
            harness_fail("cannot mount: %s", strerror(errno));
    }
    cluster_init(c);
    cluster_start(c);
    return c;
}

static void end(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (c->nodes[i].pid != 0)
            node_kill(c, i);
        (void)umount2(c->nodes[i].dir, MNT_DETACH);
    }
    cluster_free(c);
}

static unsigned n_dead(struct cluster *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++) {
        siginfo_t info = {0};

        if (waitid(P_PID, (id_t)c->nodes[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0) {
            print_message("%s ended with %d\n", c->nodes[i].name, info.si_status);
            n++;
        }
    }
    return n;
}

/* ---- looking ---- */

static int64_t limit_of(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);
    int64_t limit = reply_int(json_object_get(status, "space"), "limit_bytes");

    json_decref(status);
    return limit;
}

static bool is_full(struct cluster *c, unsigned i, const char *what)
{
    json_t *status = node_status(c, i);
    const bool is = strcmp(reply_str(json_object_get(status, "space"), "full"), what) == 0;

    json_decref(status);
    return is;
}

/* Whoever leads by then: a leader without room hands over. */
static bool can_read(struct cluster *c)
{
    struct client *cl = client_open(c, cluster_leader(c));
    json_t *reply = client_ask_json(
        cl, "{\"type\":\"read_index\",\"key\":\"none of these\",\"timeout_ms\":1000}");
    const bool can = reply_is(reply, "read_index_ok");

    json_decref(reply);
    client_close(cl);
    return can;
}

static void expect_read(struct cluster *c)
{
    wait_until(can_read(c), "a read");
}

/* ---- the quota ---- */

static json_t *write_bytes(struct client *cl, const char *key, size_t bytes)
{
    char *line = malloc(bytes + 100);
    json_t *reply;
    int n;

    assert_non_null(line);
    n = snprintf(line, bytes + 100, "{\"type\":\"write\",\"key\":\"%s\",\"value\":\"", key);
    memset(line + n, 'v', bytes);
    memcpy(line + n + bytes, "\"}", 3);
    reply = client_ask_json(cl, line);
    free(line);
    return reply;
}

/* Pages of values that need many in a row, in a file full of holes: where the map was the quota, the
 * apply failed, and each next leader ended at the same entry. */
CASE(space__holes_in_the_file_end_nobody)
{
    struct cluster *c = cluster_up_without_syncs(3, "map_size = 16M\n");
    struct client *cl = client_open(c, cluster_leader(c));
    unsigned n_keys = 16u * 1024 * 65 / 100 * 1024 / 4000;
    unsigned n_big = 0;
    char key[16];

    wait_until(limit_of(c, cluster_leader(c)) == 16 << 20, "the limit");
    for (unsigned i = 0; i < n_keys; i++) {
        (void)snprintf(key, sizeof(key), "k%u", i);
        json_decref(write_bytes(cl, key, 3900));
    }
    for (unsigned i = 0; i < n_keys; i += 2)
        json_decref(
            json_loads(client_askf(cl, "{\"type\":\"delete\",\"key\":\"k%u\"}", i), 0, NULL));
    for (;; n_big++) {
        json_t *reply;
        bool is_taken;

        (void)snprintf(key, sizeof(key), "big%u", n_big);
        reply = write_bytes(cl, key, 500000);
        is_taken = reply_is(reply, "write_ok");
        if (!is_taken)
            assert_string_equal(reply_str(reply, "what"), "quota");
        json_decref(reply);
        if (!is_taken)
            break;
    }
    assert_true(n_big >= 20);
    client_close(cl);
    assert_int_equal(n_dead(c), 0);
    expect_read(c);
    expect_equal_states(c);
    cluster_free(c);
}

/* SPACE-5: each node's file says another size, and the states stay the same all the same. */
CASE(space__nodes_with_different_files_stay_equal)
{
    static const char *const sizes[] = {"map_size = 1M\n", "map_size = 2M\n", "map_size = 3M\n"};
    struct cluster *c = cluster_new(3, sizes[0]);

    cluster_init(c);
    for (unsigned i = 0; i < c->n; i++) {
        cluster_write_conf(c, "test", sizes[i]);
        node_start(c, i);
    }
    for (unsigned round = 0; round < 3; round++) {
        unsigned leader = cluster_leader(c);
        struct client *cl = client_open(c, leader);
        unsigned n_refused = 0;
        char key[32];

        wait_until(limit_of(c, leader) == (int64_t)(leader + 1) << 20, "the leader's limit");
        for (unsigned i = 0; n_refused < 3; i++) {
            json_t *reply;

            assert_true(i < 1000);
            (void)snprintf(key, sizeof(key), "r%u-%u", round, i);
            reply = write_bytes(cl, key, 50000);
            n_refused += !reply_is(reply, "write_ok");
            json_decref(reply);
        }
        for (unsigned i = 0; i < c->n; i++)
            wait_until(limit_of(c, i) == (int64_t)(leader + 1) << 20, "the limit everywhere");
        expect_equal_states(c);
        (void)client_askf(cl, "{\"type\":\"transfer_leader\",\"to\":\"%s\"}",
                          c->nodes[(leader + 1) % 3].name);
        client_close(cl);
    }
    assert_int_equal(n_dead(c), 0);
    cluster_free(c);
}

/* SPACE-5: a file that is read again counts for who leads, at once; for the others when they do.
 * Leaders whose files differ change it once each, however often the files are read. */
CASE(space__the_limit_follows_the_file_of_who_leads)
{
    struct cluster *c = cluster_up(3, "map_size = 1M\n");
    unsigned leader = cluster_leader(c);
    unsigned next = (leader + 1) % c->n;
    struct client *cl;

    node_wait_logged(c, leader, "event=limit_set limit=1048576");
    cluster_write_conf(c, "test", "map_size = 2M\n");
    node_signal(c, next, SIGHUP);
    node_wait_logged(c, next, "event=reloaded");
    assert_true(node_logged(c, next, "taken=\"[node] map_size\""));
    cluster_write_conf(c, "test", "map_size = 3M\n");
    node_signal(c, leader, SIGHUP);
    for (unsigned i = 0; i < c->n; i++)
        wait_until(limit_of(c, i) == 3 << 20, "the limit of the leader's file, everywhere");
    assert_true(node_logged(c, leader, "taken=\"[node] map_size\""));
    assert_false(node_logged(c, leader, "reload_not_taken"));
    for (unsigned i = 0; i < 3; i++)
        node_signal(c, leader, SIGHUP); /* the same file */
    cl = client_open(c, leader);
    (void)client_askf(cl, "{\"type\":\"transfer_leader\",\"to\":\"%s\"}", c->nodes[next].name);
    client_close(cl);
    for (unsigned i = 0; i < c->n; i++)
        wait_until(limit_of(c, i) == 2 << 20, "the limit of the next leader's file");
    /* All its looks at it since, and those of the others, have proposed nothing. */
    (void)cluster_settle(c);
    assert_int_equal(node_log_lines(c, next, "event=limit_set", "limit=2097152"), 1);
    assert_int_equal(node_log_lines(c, leader, "event=limit_set", "limit=3145728"), 1);
    assert_int_equal(node_log_lines(c, leader, "event=limit_set", "limit=1048576"), 1);
    for (unsigned i = 0; i < c->n; i++)
        assert_int_equal(node_log_lines(c, i, "event=limit_set", NULL), i == leader ? 2
                                                                        : i == next ? 1
                                                                                    : 0);
    assert_int_equal(n_dead(c), 0);
    cluster_free(c);
}

/* ---- full disks ---- */

/* Until it is clear what becomes of writes: so many are taken, or refused for certain. */
static void write_on(struct writers *w, unsigned n_taken, unsigned n_refused, unsigned ms)
{
    const uint64_t taken = w->n_acknowledged + n_taken;
    const uint64_t refused = w->n_failed + n_refused;
    const uint64_t until = now_ms() + slow(ms);

    while (w->n_acknowledged < taken && w->n_failed < refused && now_ms() < until)
        swarm_turn(w->swarm, 10);
}

/* One round: the disks of n_full nodes become full in the middle of writes, and are not any more.
 * Returns how many nodes ended. */
static unsigned one_round(unsigned n_full, struct prng *prng, bool restarts)
{
    struct cluster *c =
        cluster_on_disks("map_size = 256M\nlog_level = debug\n[log]\nsegment_size = 4M\n");
    struct writers w;
    unsigned leader;
    unsigned dead;

    writers_init(&w, c, 4, 8, "k", 2000 + (size_t)prng_below(prng, 30000));
    writers_run(&w, 20 + (unsigned)prng_below(prng, 200));
    leader = cluster_leader(c);
    for (unsigned i = 0; i < n_full; i++)
        fill_disk(c, (leader + i) % c->n, prng_below(prng, 3) * 100000);
    write_on(&w, 2000, 50, 6000);
    dead = n_dead(c);
    if (dead == 0 && restarts)
        for (unsigned i = 0; i < n_full; i++) {
            node_kill(c, (leader + i) % c->n);
            node_start(c, (leader + i) % c->n);
        }
    if (dead == 0)
        expect_read(c);
    for (unsigned i = 0; i < c->n; i++)
        if (!set_disk(c, i, DISK_BYTES * 4, MS_REMOUNT))
            harness_fail("cannot give room: %s", strerror(errno));
    dead += dead == 0 ? n_dead(c) : 0;
    if (dead == 0) {
        writers_run(&w, 50);
        writers_stop(&w);
        writers_verify(&w, c);
        expect_equal_states(c);
    }
    writers_done(&w);
    end(c);
    return dead;
}

CASE(space__rounds_of_full_disks)
{
    const char *text = getenv("RIDD_SPACE_ROUNDS");
    unsigned n = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 6;
    unsigned dead = 0;
    struct prng prng;

    if (skip_without_disks())
        return;
    prng_init(&prng, 12);
    for (unsigned i = 0; i < n; i++)
        dead += one_round(1 + i % 3, &prng, i / 3 % 2 == 1);
    print_message("%u rounds: 0 acknowledged writes lost, %u nodes ended\n", n, dead);
    assert_int_equal(dead, 0);
}

/* SPACE-11: the log of one follower is full and the other is gone. What the leader appended then
 * nobody would commit: refused at once and for certain, not unknown after the client's time. */
CASE(space__a_leader_with_room_and_no_quorum_with_room)
{
    struct cluster *c;
    struct client *cl;
    json_t *reply;
    unsigned leader;
    unsigned full;
    unsigned other;
    char key[16];

    if (skip_without_disks())
        return;
    c = cluster_on_disks("map_size = 256M\nlog_level = debug\n[log]\nsegment_size = 4M\n");
    leader = cluster_leader(c);
    full = (leader + 1) % c->n;
    other = (leader + 2) % c->n;
    fill_disk(c, full, 0);
    cl = client_open(c, leader);
    for (unsigned i = 0; !is_full(c, full, "log"); i++) {
        assert_true(i < 2000);
        (void)snprintf(key, sizeof(key), "k%u", i % 100);
        reply = write_bytes(cl, key, 30000);
        assert_true(reply_is(reply, "write_ok"));
        json_decref(reply);
    }
    node_kill(c, other);
    wait_until(is_full(c, leader, "nodes"), "the leader to know that most are full or away");
    for (unsigned i = 0; i < 20; i++) {
        reply = write_bytes(cl, "k1", 100);
        assert_string_equal(reply_str(reply, "what"), "nodes");
        assert_true(json_is_true(json_object_get(reply, "definite")));
        assert_non_null(strstr(reply_str(reply, "text"), c->nodes[full].name));
        json_decref(reply);
    }
    expect_read(c);
    assert_true(set_disk(c, full, DISK_BYTES * 4, MS_REMOUNT));
    wait_until(!is_full(c, leader, "nodes"), "the leader to know that there is room");
    reply = write_bytes(cl, "k1", 100);
    assert_true(reply_is(reply, "write_ok"));
    json_decref(reply);
    client_close(cl);
    node_start(c, other);
    expect_equal_states(c);
    assert_int_equal(n_dead(c), 0);
    end(c);
}

static uint64_t disk_of(const struct cluster *c, unsigned i)
{
    struct statvfs fs;

    assert_int_equal(statvfs(c->nodes[i].dir, &fs), 0);
    return (uint64_t)fs.f_bfree * fs.f_frsize;
}

/* Not a block is left: what the node itself has taken ahead included. */
static void fill_wholly(const struct cluster *c, unsigned i)
{
    char path[PATH_MAX + 16];
    char zeros[4096] = {0};
    int fd;

    fill_disk(c, i, 0);
    (void)snprintf(path, sizeof(path), "%s/db/filler", c->nodes[i].dir);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    while (fd >= 0 && write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    if (fd >= 0)
        (void)close(fd);
    assert_true(disk_of(c, i) == 0);
}

/* SPACE-10: killed and stopped, and started each time on a disk without a free block, and without the
 * reserves that would have been there. Status and what is old are answered all the same. */
CASE(space__a_node_starts_on_a_full_disk_each_time)
{
    static const char *const reserves[] = {"wal/reserve", "db/reserve"};
    struct cluster *c;
    struct client *cl;
    unsigned full;

    if (skip_without_disks())
        return;
    c = cluster_on_disks("map_size = 16M\n[log]\nsegment_size = 1M\n");
    cl = client_open(c, cluster_leader(c));
    for (unsigned i = 0; i < 50; i++)
        json_decref(write_bytes(cl, "k", 30000));
    full = (cluster_leader(c) + 1) % c->n;
    (void)cluster_settle(c);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < 2; i++) {
            char path[PATH_MAX + 16];

            (void)snprintf(path, sizeof(path), "%s/%s", c->nodes[full].dir, reserves[i]);
            (void)unlink(path);
        }
        fill_wholly(c, full);
        if (round % 2 == 0)
            node_kill(c, full);
        else
            assert_int_equal(node_terminate(c, full), 0);
        fill_wholly(c, full);
        node_start(c, full);
        json_decref(write_bytes(cl, "k", 30000));
        expect_read(c);
    }
    assert_true(set_disk(c, full, DISK_BYTES * 4, MS_REMOUNT));
    json_decref(write_bytes(cl, "k", 100));
    client_close(cl);
    expect_equal_states(c);
    assert_int_equal(n_dead(c), 0);
    end(c);
}

/* SPACE-13: all was allocated, and neither a write nor a sync into it finds room, as where nothing is
 * written in place; on all nodes at once, so that not even a term can be stored. All goes on when
 * there is room. */
CASE(space__blocks_that_were_given_and_are_not_there)
{
    static const unsigned whats[] = {SHIM_NO_WRITE, SHIM_NO_SYNC, SHIM_NO_WRITE | SHIM_NO_SYNC};
    static const unsigned none = 0;
    struct cluster *c = cluster_new(3, "[log]\nsegment_size = 1M\n");
    struct writers w;
    struct shim shim;

    cluster_init(c);
    shim_begin(&shim, c);
    cluster_start(c);
    writers_init(&w, c, 4, 8, "k", 5000);
    for (unsigned i = 0; i < 6; i++) {
        writers_run(&w, 100);
        file_patch(shim.control, offsetof(struct shim_control, no_room), &whats[i % 3],
                   sizeof(whats[0]));
        write_on(&w, 2000, 50, 3000);
        assert_int_equal(n_dead(c), 0);
        file_patch(shim.control, offsetof(struct shim_control, no_room), &none, sizeof(none));
        expect_read(c);
    }
    writers_run(&w, 50);
    writers_stop(&w);
    writers_verify(&w, c);
    writers_done(&w);
    assert_int_equal(n_dead(c), 0);
    expect_equal_states(c);
    cluster_free(c);
}

/* The start says what kind of file system does not keep what is kept for it. */
CASE(space__a_file_system_that_keeps_no_room_is_named)
{
    struct cluster *c = cluster_new(1, NULL);
    struct shim_env shim;
    char *line;

    cluster_init(c);
    shim_env_init(&shim, "RIDD_SHIM_MAGIC=0x9123683e");
    c->env = shim.env;
    cluster_start(c);
    line = node_log_line(c, 0, "event=no_reserve");
    assert_non_null(line);
    assert_non_null(strstr(line, "level=warning"));
    assert_non_null(strstr(line, "log=btrfs state=btrfs"));
    free(line);
    assert_int_equal(node_log_lines(c, 0, "event=no_reserve", NULL), 1);
    node_kill(c, 0);
    c->env = NULL;
    cluster_start(c);
    assert_false(node_logged(c, 0, "event=no_reserve"));
    cluster_free(c);
}

static bool says_refused(struct cluster *c, unsigned i, const char *why)
{
    json_t *status = node_status(c, i);
    char *text = json_dumps(json_object_get(status, "refused_by"), JSON_COMPACT);
    const bool says = text != NULL && strstr(text, why) != NULL;

    free(text);
    json_decref(status);
    return says;
}

/* SPACE-12: who cannot be recorded for want of room is not let in, and ends nobody. */
CASE(space__a_full_disk_meets_a_new_peer)
{
    struct cluster *c;

    if (skip_without_disks())
        return;
    c = cluster_new(3, "map_size = 16M\n");
    for (unsigned i = 0; i < c->n; i++)
        if (mkdir(c->nodes[i].dir, 0700) != 0 || !set_disk(c, i, DISK_BYTES, 0))
            harness_fail("cannot mount: %s", strerror(errno));
    cluster_init(c);
    node_start(c, 0);
    node_start(c, 1);
    (void)cluster_leader(c);
    fill_wholly(c, 0);
    node_start(c, 2);
    node_wait_logged(c, 0, "event=no_space what=peers peer=n3");
    node_wait_logged(c, 1, "event=peer_up peer=n3");
    expect_read(c);
    wait_until(says_refused(c, 2, "the disk of n1 is full: it cannot record that it met n3"),
               "the new peer to know why");
    assert_int_equal(node_log_lines(c, 0, "what=peers", NULL), 1);
    assert_int_equal(n_dead(c), 0);
    assert_true(set_disk(c, 0, DISK_BYTES * 4, MS_REMOUNT));
    node_wait_logged(c, 0, "event=peer_recorded peer=n3");
    node_wait_logged(c, 0, "event=peer_up peer=n3");
    expect_equal_states(c);
    assert_int_equal(n_dead(c), 0);
    end(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(space__holes_in_the_file_end_nobody),
        HARNESS_TEST(space__nodes_with_different_files_stay_equal),
        HARNESS_TEST(space__the_limit_follows_the_file_of_who_leads),
        HARNESS_TEST(space__blocks_that_were_given_and_are_not_there),
        HARNESS_TEST(space__a_file_system_that_keeps_no_room_is_named),
        HARNESS_TEST(space__a_full_disk_meets_a_new_peer),
        HARNESS_TEST(space__a_node_starts_on_a_full_disk_each_time),
        HARNESS_TEST(space__a_leader_with_room_and_no_quorum_with_room),
        HARNESS_TEST(space__rounds_of_full_disks),
    };

    own_mounts();
    return harness_main(argc, argv, tests, NULL, NULL);
}
