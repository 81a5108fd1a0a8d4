/* Leases as far as a whole process is needed to see them: the file, signals, a process that is stopped,
 * a machine that is moved, and a cluster that comes to know of them. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define LEASE "[reads]\nlease_ms = 300\n"

static unsigned lines_of_all(struct cluster *c, const char *text)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++)
        n += node_log_lines(c, i, text, NULL);
    return n;
}

/* LEASE-15: said once, by the leader, without anybody asking for it; and it stays said. */
CASE(leases__the_cluster_comes_to_know_of_them)
{
    struct cluster *c = cluster_up(3, LEASE);

    wait_until(lines_of_all(c, "event=leases_known ") > 0, "the version to be raised");
    (void)cluster_settle(c);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(node_terminate(c, i), 0);
    cluster_start(c);
    (void)cluster_settle(c);
    assert_int_equal(lines_of_all(c, "event=leases_known "), 0);
    cluster_free(c);
}

/* One that was not met since the leader started may be of any version. */
CASE(leases__who_was_not_met_is_waited_for)
{
    struct cluster *c = cluster_new(3, LEASE);

    cluster_init(c);
    node_spawn(c, 0);
    node_spawn(c, 1);
    wait_until(node_logged(c, 0, "role=leader") || node_logged(c, 1, "role=leader"), "a leader");
    node_wait_logged(c, 0, "event=peer_up peer=n2");
    assert_int_equal(lines_of_all(c, "event=leases_known "), 0);
    node_start(c, 2);
    wait_until(lines_of_all(c, "event=leases_known ") > 0, "the version to be raised");
    cluster_free(c);
}

static void read_again(struct cluster *c, unsigned i, const char *extra)
{
    const unsigned n = node_log_lines(c, i, "event=reloaded", NULL);

    cluster_write_conf(c, "test", extra);
    node_signal(c, i, SIGHUP);
    wait_until(node_log_lines(c, i, "event=reloaded", NULL) > n, "the file to be read again");
}

/* IDENTITY-9: the only switch, and it needs no restart. Until it is on the log stays as it was. */
CASE(leases__lease_ms_is_taken_while_the_node_runs)
{
    struct cluster *c = cluster_up(1, NULL);

    (void)cluster_settle(c);
    assert_false(node_logged(c, 0, "event=leases_known "));
    read_again(c, 0, LEASE);
    assert_true(node_logged(c, 0, "taken=\"[reads] lease_ms\""));
    node_wait_logged(c, 0, "event=leases_known ");
    assert_false(node_logged(c, 0, "event=lease_unwise"));
    read_again(c, 0, "[reads]\nlease_ms = 2000\n");
    node_wait_logged(c, 0, "event=lease_unwise why='lease_ms = 2000 is more than election_ms = ");
    cluster_free(c);
}

/* LEASE-12: by half a lease and more; the time is what is waited for. */
CASE(leases__a_process_that_stood_still_is_noticed)
{
    struct cluster *c = cluster_up_without_syncs(1, LEASE);
    uint64_t until_ms;

    (void)cluster_settle(c);
    node_stop(c, 0);
    until_ms = now_ms() + 400;
    wait_until(now_ms() > until_ms, "more than half a lease to pass");
    node_continue(c, 0);
    node_wait_logged(c, 0, "event=stood_still ");
    cluster_free(c);
}

static void write_marker(const char *path, uint64_t marker)
{
    unsigned char page[4096] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    put_u32(page, 0x4b4c4356u);
    put_u32(page + 4, sizeof(page));
    put_u16(page + 8, 1);
    put_u32(page + 12, (uint32_t)(2 * marker));
    put_u64(page + 16, marker);
    assert_int_equal(pwrite(fd, page, sizeof(page), 0), sizeof(page));
    (void)close(fd);
}

/* LEASE-12: the hypervisor's file is there, and says so. */
CASE(leases__a_machine_that_was_moved_is_noticed)
{
    struct cluster *c = cluster_new(1, "[reads]\nlease_ms = 2000\n"); /* no stall is so long */
    struct shim_env env;
    char path[256];
    char more[300];
    unsigned n;

    (void)snprintf(path, sizeof(path), "%s/vmclock", c->dir);
    (void)snprintf(more, sizeof(more), "RIDD_SHIM_VMCLOCK=%s", path);
    write_marker(path, 7);
    shim_env_init(&env, more);
    c->env = env.env;
    cluster_init(c);
    cluster_start(c);
    (void)cluster_settle(c);
    n = node_log_lines(c, 0, "event=stood_still ", NULL);
    write_marker(path, 8);
    wait_until(node_log_lines(c, 0, "event=stood_still ", NULL) > n, "the move to be noticed");
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(leases__the_cluster_comes_to_know_of_them),
        HARNESS_TEST(leases__who_was_not_met_is_waited_for),
        HARNESS_TEST(leases__lease_ms_is_taken_while_the_node_runs),
        HARNESS_TEST(leases__a_process_that_stood_still_is_noticed),
        HARNESS_TEST(leases__a_machine_that_was_moved_is_noticed),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
