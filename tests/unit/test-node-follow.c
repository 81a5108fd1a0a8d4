/* node: what its log says of its members, when a whole node starts with it. The node runs in a
 * process of its own and is heard by its log lines. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "node/node_int.h"
#include "unit/temp-folder.h"

#define DEADLINE_S 60u

static const char *folder;

/* Free just now; two at a time, so that they differ. */
static void two_ports(unsigned ret[2])
{
    int fds[2];

    for (unsigned i = 0; i < 2; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(a);

        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
        assert_int_equal(bind(fds[i], (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(getsockname(fds[i], (struct sockaddr *)&a, &len), 0);
        ret[i] = ntohs(a.sin_port);
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void read_conf(struct conf *ret)
{
    struct conf_problems problems = {0};
    char text[512 + TEMP_FOLDER_PATH_MAX];
    unsigned ports[2];
    int len;

    two_ports(ports);
    len = snprintf(text, sizeof(text),
                   "[cluster]\nname = demo\n[node]\ndata_dir = %s/n1\n"
                   "[peers]\nn1 = 127.0.0.1:%u 127.0.0.1:%u\n",
                   folder, ports[0], ports[1]);
    if (conf_parse("test.conf", text, (size_t)len, "n1", true, ret, &problems) != 0) {
        conf_problems_print(&problems, "test.conf", stderr);
        fail();
    }
}

/* A node whose log begins with n1, which votes, and n2, which learns and lives at that address. */
static void make_node(const struct conf *conf, const char *peer_addr)
{
    unsigned char founding_id[16];
    struct identity_conf identity = {.data_dir = conf->data_dir,
                                     .node_name = "n1",
                                     .cluster_id = founding_id,
                                     .way = IDENTITY_FOUND};
    struct identity_dir *dir = NULL;
    struct raft_configuration c;
    cleanup_buf struct buf entry = BUF_INIT;

    conf_founding_id(conf, founding_id);
    raft_configuration_init(&c);
    c.version = MEMBERS_VERSION;
    memset(c.cluster_id, 7, sizeof(c.cluster_id));
    assert_int_equal(raft_configuration_add(&c, raft_founder_id("n1"), "n1", RAFT_VOTER,
                                            conf->self->peer_addr, conf->self->client_addr),
                     0);
    assert_int_equal(raft_configuration_add(&c, raft_member_id("n2", 5), "n2", RAFT_LEARNER,
                                            peer_addr, "127.0.0.1:1"),
                     0);
    c.servers[1].incarnation = 5;
    assert_int_equal(raft_configuration_encode(&c, &entry), 0);
    assert_int_equal(identity_create(&identity, &dir), 0);
    assert_int_equal(node_make_log(conf, dir, entry.data, entry.len), 0);
    assert_int_equal(identity_commit(dir), 0);
    identity_close(dir);
}

/* Its log lines can be read from *ret_log. */
static pid_t run_node(const struct conf *conf, FILE **ret_log)
{
    int fds[2];
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)alarm(DEADLINE_S);
        _exit(node_run(conf, clock_mono_us()));
    }
    (void)close(fds[1]);
    *ret_log = fdopen(fds[0], "r");
    assert_non_null(*ret_log);
    return pid;
}

/* False: the node ended without it. */
static bool wait_for_line(FILE *log, const char *part, const char *other_part)
{
    char line[2048];

    while (fgets(line, sizeof(line), log) != NULL)
        if (strstr(line, part) != NULL && strstr(line, other_part) != NULL)
            return true;
    return false;
}

/* MEMBER-23. */
static void follow__a_wrong_address_costs_one_link(void **state)
{
    static struct conf conf;
    FILE *log = NULL;
    pid_t pid;
    int status = 0;

    (void)state;
    read_conf(&conf);
    make_node(&conf, "a:b:1");
    pid = run_node(&conf, &log);
    assert_true(wait_for_line(log, "event=peer_not_added", "peer=n2"));
    assert_true(wait_for_line(log, "event=ready", ""));
    assert_true(wait_for_line(log, "event=role_changed", "role=leader"));
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_true(wait_for_line(log, "event=stopped", ""));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)fclose(log);
}

static int make_folder(void **state)
{
    (void)state;
    folder = temp_folder_new("follow");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_folder_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follow__a_wrong_address_costs_one_link),
    };

    return cmocka_run_group_tests_name("node-follow", tests, make_folder, remove_folder);
}
