/* A node that waits to be added. The leader's side is played by this program: peer_join() with what
 * a leader would say. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cluster/harness.h"
#include "cluster/shim.h"
#include "net/peer_net.h"
#include "node/identity.h"
#include "raft/configuration.h"
#include "store/store.h"

#define ANSWER_MS 5000u

/* What a leader of a cluster of n1, n2, n3 says to n4 of the configuration file. */
struct leader {
    struct buf config;
    struct wire_join join;
};

static void leader_begin(struct leader *l, const char *node)
{
    struct raft_configuration c;

    *l = (struct leader){.config = BUF_INIT,
                         .join = {.version_highest = WIRE_VERSION_HIGHEST,
                                  .version_lowest = WIRE_VERSION_LOWEST,
                                  .from = raft_founder_id("n1")}};
    raft_configuration_init(&c);
    for (unsigned i = 1; i <= 3; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "x%u", i);
        assert_int_equal(
            raft_configuration_add(&c, raft_founder_id(name), name, RAFT_VOTER, "", ""), 0);
    }
    assert_int_equal(raft_configuration_encode(&c, &l->config), 0);
    memset(l->join.founding_id, 0xf0, 16);
    memset(l->join.cluster_id, 0xc1, 16);
    (void)snprintf(l->join.cluster_name, sizeof(l->join.cluster_name), "%s", "test");
    (void)snprintf(l->join.node_name, sizeof(l->join.node_name), "%s", node);
    l->join.config = l->config.data;
    l->join.config_len = l->config.len;
}

static void leader_end(struct leader *l)
{
    buf_done(&l->config);
}

static int ask(const struct cluster *c, unsigned i, const struct wire_join *join,
               struct wire_join_reply *ret)
{
    *ret = (struct wire_join_reply){0};
    return peer_join(&(struct peer_whom){.addr = c->nodes[i].peer_addr}, join, (unsigned)slow(ANSWER_MS), NULL, ret);
}

static void expect_refused(const struct cluster *c, const struct wire_join *join, unsigned refused,
                           const char *words)
{
    struct wire_join_reply reply;

    assert_int_equal(ask(c, 0, join, &reply), 0);
    if (reply.refused != refused || strstr(reply.text, words) == NULL)
        harness_fail("refused %u '%s', not %u '%s'", reply.refused, reply.text, refused, words);
    assert_int_equal(reply.incarnation, 0);
}

static void wait_waiting(struct cluster *c, unsigned i)
{
    node_wait_logged(c, i, "waiting to be added: on any machine run: ridctl member");
}

static bool has(const struct cluster *c, unsigned i, const char *name)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", c->nodes[i].dir, name);
    return access(path, F_OK) == 0;
}

/* MEMBER-20 to MEMBER-22. */
CASE(join__a_node_waits_is_told_and_runs)
{
    struct cluster *c = cluster_new(1, NULL);
    struct wire_join_reply reply;
    struct wire_join other;
    struct leader l;
    uint64_t incarnation;
    char words[200];
    json_t *status;
    int code;

    leader_begin(&l, c->nodes[0].name);
    node_spawn_with(c, 0, "--join");
    wait_waiting(c, 0);
    (void)snprintf(words, sizeof(words), "run: ridctl member add %s %s %s\n", c->nodes[0].name,
                   c->nodes[0].peer_addr, c->nodes[0].addr);
    assert_true(node_logged(c, 0, words));

    /* Whoever means another is refused in words, and it goes on waiting. */
    other = l.join;
    (void)snprintf(other.cluster_name, sizeof(other.cluster_name), "%s", "other");
    expect_refused(c, &other, WIRE_JOIN_CLUSTER_NAME, "of cluster 'test'");
    other = l.join;
    (void)snprintf(other.node_name, sizeof(other.node_name), "%s", "n9");
    expect_refused(c, &other, WIRE_JOIN_NODE_NAME, "this is node n1 of cluster 'test'");
    other = l.join;
    other.version_highest = 900;
    other.version_lowest = 800;
    expect_refused(c, &other, WIRE_JOIN_VERSION, "speaks versions 1 to ");
    other = l.join;
    other.config_len--;
    expect_refused(c, &other, WIRE_JOIN_BUSY, "cannot read the configuration");
    /* A question alone makes nothing. */
    other = l.join;
    other.config_len = 0;
    expect_refused(c, &other, WIRE_JOIN_ACCEPTED, "waiting");
    assert_false(has(c, 0, "IDENT"));
    assert_true(has(c, 0, "INIT"));

    assert_int_equal(ask(c, 0, &l.join, &reply), 0);
    assert_int_equal(reply.refused, 0);
    incarnation = reply.incarnation;
    assert_int_not_equal(incarnation, 0);
    assert_true(has(c, 0, "IDENT"));
    assert_true(has(c, 0, "CLUSTER"));
    node_wait_logged(c, 0, " event=ready ");
    assert_false(has(c, 0, "INIT"));

    /* It runs, and knows nobody who leads. The leader who lost the answer asks again. */
    status = node_status(c, 0);
    assert_non_null(status);
    json_decref(status);
    assert_int_equal(ask(c, 0, &l.join, &reply), 0);
    assert_int_equal(reply.refused, 0);
    assert_true(reply.incarnation == incarnation);
    /* Who does not know the cluster's random id is a stranger. */
    other = l.join;
    other.cluster_id[3] ^= 1;
    expect_refused(c, &other, WIRE_JOIN_NOT_WAITING, "runs there already");
    other = l.join;
    other.founding_id[3] ^= 1;
    expect_refused(c, &other, WIRE_JOIN_NOT_WAITING, "runs there already");
    other = l.join;
    (void)snprintf(other.node_name, sizeof(other.node_name), "%s", "n9");
    expect_refused(c, &other, WIRE_JOIN_NODE_NAME, "this is node n1");

    /* Plainly, and with --join: it is that node. */
    assert_int_equal(node_terminate(c, 0), 0);
    node_start(c, 0);
    assert_int_equal(node_terminate(c, 0), 0);
    node_spawn_with(c, 0, "--join");
    node_wait_logged(c, 0, " event=ready ");
    assert_int_equal(ask(c, 0, &l.join, &reply), 0);
    assert_true(reply.incarnation == incarnation);
    assert_int_equal(node_terminate(c, 0), 0);

    /* Its disk is not lost. */
    {
        cleanup_buf struct buf out = BUF_INIT;

        code = run_ridd(c->conf, c->nodes[0].name, &out, "--rejoin", NULL);
        expect_code(code, 78, &out);
        expect_text(&out, "start it without --rejoin");
        buf_reset(&out, SIZE_MAX);
        code = run_ridd(c->conf, c->nodes[0].name, &out, "--init", NULL);
        expect_code(code, 0, &out);
        expect_text(&out, "already");
    }
    /* Another cluster's name in the file, and it does not start. */
    cluster_write_conf(c, "elsewhere", NULL);
    assert_false(node_try_start(c, 0, &code));
    assert_int_equal(code, 78);
    assert_true(node_logged(c, 0, "belongs to cluster 'test'"));
    leader_end(&l);
    cluster_free(c);
}

/* What a node says to whom it may take for a peer: enum wire_refusal. */
static unsigned probe_as(const struct cluster *c, unsigned i, const struct leader *l,
                         raft_node_id from, uint64_t incarnation)
{
    struct wire_hello hello = {.version_highest = WIRE_VERSION_HIGHEST,
                               .version_lowest = WIRE_VERSION_LOWEST,
                               .from = from,
                               .to = raft_member_id(c->nodes[i].name, incarnation)};
    struct wire_hello reply;

    memcpy(hello.cluster_id, l->join.founding_id, 16);
    assert_int_equal(peer_probe(&(struct peer_whom){.addr = c->nodes[i].peer_addr}, &hello, (unsigned)slow(ANSWER_MS), &reply),
                     0);
    return reply.refused;
}

/* MEMBER-22: what was made in this way, or another one that adds, runs. */
static void runs_again(struct cluster *c, unsigned i, const char *option)
{
    node_spawn_with(c, i, option);
    node_wait_logged(c, i, " event=ready ");
    assert_int_equal(node_terminate(c, i), 0);
}

/* A member's place is taken by its own name with another id, beside which the old one may still
 * stand in the configuration that it is given. */
CASE(join__rejoin_has_another_id)
{
    struct cluster *c = cluster_new(3, NULL);
    struct raft_configuration members;
    struct wire_join_reply reply;
    cleanup_buf struct buf config = BUF_INIT;
    struct leader l;
    json_t *status;

    leader_begin(&l, "n2");
    raft_configuration_init(&members);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(raft_configuration_add(&members, raft_founder_id(c->nodes[i].name),
                                                c->nodes[i].name, RAFT_VOTER, "", ""),
                         0);
    assert_int_equal(raft_configuration_encode(&members, &config), 0);
    l.join.config = config.data;
    l.join.config_len = config.len;
    node_spawn_with(c, 1, "--rejoin");
    wait_waiting(c, 1);
    assert_true(node_logged(c, 1, "run: ridctl member rejoin n2\n"));
    assert_int_equal(ask(c, 1, &l.join, &reply), 0);
    assert_int_equal(reply.refused, 0);
    node_wait_logged(c, 1, " event=ready ");
    /* It does not vote in the place of the one that was lost. */
    status = node_status(c, 1);
    assert_non_null(status);
    assert_string_equal(reply_str(status, "role"), "follower");
    json_decref(status);
    /* It keeps links with the others, and none with the one that it replaces: that is itself. */
    assert_int_equal(probe_as(c, 1, &l, raft_founder_id("n1"), reply.incarnation),
                     WIRE_REFUSED_NOT);
    assert_int_equal(probe_as(c, 1, &l, raft_founder_id("n2"), reply.incarnation),
                     WIRE_REFUSED_FROM);
    assert_int_equal(node_terminate(c, 1), 0);
    runs_again(c, 1, "--rejoin");
    runs_again(c, 1, "--join");
    leader_end(&l);
    cluster_free(c);
}

/* ---- signals, ports, strangers ---- */

static int dial(const struct cluster *c)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(c->nodes[0].peer_port),
                             .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

CASE(join__a_signal_ends_the_waiting)
{
    struct cluster *c = cluster_new(1, NULL);
    struct wire_join_reply reply;
    struct leader l;
    int code;

    leader_begin(&l, c->nodes[0].name);
    node_spawn_with(c, 0, "--join");
    wait_waiting(c, 0);
    node_signal(c, 0, SIGHUP); /* of a node that is starting: it waits */
    assert_int_equal(node_terminate(c, 0), 0);
    /* What it leaves is no node, and is begun anew in the same way. */
    assert_false(node_try_start(c, 0, &code));
    assert_int_equal(code, 78);
    assert_true(node_logged(c, 0, "left by 'ridd --join' that did not finish"));
    {
        cleanup_buf struct buf out = BUF_INIT;

        code = run_ridd(c->conf, c->nodes[0].name, &out, "--rejoin", NULL);
        expect_code(code, 78, &out);
        expect_text(&out, "left by 'ridd --join'");
    }
    node_spawn_with(c, 0, "--join");
    wait_waiting(c, 0);
    assert_int_equal(ask(c, 0, &l.join, &reply), 0);
    assert_int_not_equal(reply.incarnation, 0);
    node_wait_logged(c, 0, " event=ready ");
    assert_int_equal(node_terminate(c, 0), 0);
    leader_end(&l);
    cluster_free(c);
}

/* PEER-6: who says nothing, or nothing that is meant for it, keeps nobody out. */
CASE(join__strangers_do_not_keep_the_leader_out)
{
    static const unsigned char huge[] = {0xff, 0xff, 0x10, 0, 1, 2, 3, 4};
    struct cluster *c = cluster_new(1, NULL);
    struct wire_join_reply reply;
    struct leader l;
    int fds[2 * JOIN_CALLERS_MAX];
    char byte;

    leader_begin(&l, c->nodes[0].name);
    node_spawn_with(c, 0, "--join");
    wait_waiting(c, 0);
    for (unsigned i = 0; i < 2 * JOIN_CALLERS_MAX; i++)
        fds[i] = dial(c);
    /* A frame that is longer than any it takes. */
    assert_int_equal(write(fds[2 * JOIN_CALLERS_MAX - 1], huge, sizeof(huge)), sizeof(huge));
    assert_true(read(fds[2 * JOIN_CALLERS_MAX - 1], &byte, 1) <= 0);
    assert_int_equal(ask(c, 0, &l.join, &reply), 0);
    assert_int_equal(reply.refused, 0);
    assert_int_not_equal(reply.incarnation, 0);
    node_wait_logged(c, 0, " event=ready ");
    for (unsigned i = 0; i < 2 * JOIN_CALLERS_MAX; i++)
        (void)close(fds[i]);
    assert_int_equal(node_terminate(c, 0), 0);
    leader_end(&l);
    cluster_free(c);
}

/* Two leaders, or one of something else: the first counts. The one that was told has not taken its
 * answer, so that the node still waits for that. */
CASE(join__the_second_is_told_that_it_came_late)
{
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    struct wire_join_reply reply;
    struct wire_join other;
    struct leader l;
    int fd;

    leader_begin(&l, c->nodes[0].name);
    node_spawn_with(c, 0, "--join");
    wait_waiting(c, 0);
    assert_int_equal(wire_join_encode(&l.join, &out), 0);
    fd = dial(c);
    assert_int_equal(write(fd, out.data, out.len), (ssize_t)out.len);
    wait_until(has(c, 0, "IDENT") && !has(c, 0, "INIT"), "a node");
    other = l.join;
    other.cluster_id[0] ^= 1;
    assert_int_equal(ask(c, 0, &other, &reply), 0);
    /* By now it may run; it says the same in other words. */
    assert_true(reply.refused == WIRE_JOIN_HAS_DATA || reply.refused == WIRE_JOIN_NOT_WAITING);
    assert_int_equal(reply.incarnation, 0);
    assert_int_equal(ask(c, 0, &l.join, &reply), 0);
    assert_int_equal(reply.refused, 0);
    assert_int_not_equal(reply.incarnation, 0);
    (void)close(fd);
    node_wait_logged(c, 0, " event=ready ");
    assert_int_equal(node_terminate(c, 0), 0);
    leader_end(&l);
    cluster_free(c);
}

/* A founder that runs was never waiting. */
CASE(join__a_founder_is_not_added)
{
    struct cluster *c = cluster_up(1, NULL);
    struct leader l;

    leader_begin(&l, c->nodes[0].name);
    expect_refused(c, &l.join, WIRE_JOIN_NOT_WAITING, "runs there already");
    assert_int_equal(node_terminate(c, 0), 0);
    {
        cleanup_buf struct buf out = BUF_INIT;
        int code = run_ridd(c->conf, c->nodes[0].name, &out, "--join", NULL);

        expect_code(code, 78, &out);
        expect_text(&out, "start it without --join");
    }
    leader_end(&l);
    cluster_free(c);
}

/* ---- crashes ---- */

static struct shim_control *control_of(const struct shim *s)
{
    cleanup_fd int fd = open(s->control, O_RDWR | O_CLOEXEC);
    void *p = mmap(NULL, sizeof(struct shim_control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    assert_true(p != MAP_FAILED);
    return p;
}

/* What stands there is a node, which answers the leader as it did if it did, or what --join begins
 * anew. */
static bool expect_clear_case(struct cluster *c, const struct leader *l, uint64_t told)
{
    const bool is_node = has(c, 0, "IDENT");
    struct wire_join_reply reply;
    int code;

    if (is_node) {
        node_start(c, 0);
    } else {
        assert_int_equal(told, 0); /* nobody counts on it */
        assert_false(node_try_start(c, 0, &code));
        assert_int_equal(code, 78);
        assert_true(node_logged(c, 0, "that did not finish"));
        node_spawn_with(c, 0, "--join");
        wait_waiting(c, 0);
    }
    assert_int_equal(ask(c, 0, &l->join, &reply), 0);
    assert_int_equal(reply.refused, 0);
    assert_int_not_equal(reply.incarnation, 0);
    assert_true(told == 0 || reply.incarnation == told);
    node_wait_logged(c, 0, " event=ready ");
    assert_int_equal(node_terminate(c, 0), 0);
    return is_node;
}

/* MEMBER-21: at each sync of the acceptance the process dies, or that sync fails. */
static void at_each_sync(bool kills)
{
    struct cluster *c = cluster_new(1, NULL);
    struct shim_control *control;
    unsigned n_nodes = 0;
    unsigned n_begun = 0;
    struct shim shim;
    struct leader l;

    shim_begin(&shim, c);
    control = control_of(&shim);
    leader_begin(&l, c->nodes[0].name);
    for (unsigned at = 1;; at++) {
        struct wire_join_reply reply;
        uint64_t told;
        int rc;

        tree_remove(c->nodes[0].dir, false);
        node_spawn_with(c, 0, "--join");
        wait_waiting(c, 0);
        atomic_store(kills ? &control->kill_sync : &control->fail_sync, at);
        rc = ask(c, 0, &l.join, &reply);
        told = rc == 0 && reply.refused == 0 ? reply.incarnation : 0;
        if (told != 0) { /* behind the last step; what was to happen may have happened since */
            (void)kill(c->nodes[0].pid, SIGKILL);
            (void)node_wait_exit(c, 0);
            atomic_store(&control->fail_sync, 0);
            atomic_store(&control->kill_sync, 0);
            assert_true(expect_clear_case(c, &l, told));
            break;
        }
        if (!kills) {
            assert_int_equal(rc, 0);
            assert_int_equal(reply.refused, WIRE_JOIN_WRITE);
        }
        assert_int_equal(node_wait_exit(c, 0), kills ? 128 + SIGKILL : 74);
        atomic_store(&control->fail_sync, 0);
        atomic_store(&control->kill_sync, 0);
        n_begun++;
        n_nodes += expect_clear_case(c, &l, told);
    }
    assert_true(n_begun >= 6);
    assert_true(n_nodes >= 1);
    assert_true(n_nodes < n_begun);
    (void)munmap(control, sizeof(*control));
    leader_end(&l);
    cluster_free(c);
}

CASE(join__a_crash_at_any_step_leaves_a_clear_case)
{
    at_each_sync(true);
}

CASE(join__a_disk_that_fails_at_any_step_leaves_a_clear_case)
{
    at_each_sync(false);
}

/* ---- a quorum that is lost for ever ---- */

static int recover_alone(const struct cluster *c, unsigned i, bool yes, struct buf *out)
{
    const char *argv[] = {ridd_path(), "--recover-alone", c->nodes[i].dir, yes ? "--yes" : NULL,
                          NULL};

    return run_program(argv, out);
}

/* As if the node had promised a lease before it was stopped. */
static void put_promise(const struct cluster *c, unsigned i, uint64_t lease_us)
{
    struct identity_dir *dir = NULL;
    struct store_recovered log = {0};
    struct store_conf conf = {.segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                              .segment_bytes = STORE_SEGMENT_BYTES};
    struct store_batch batch = {.number = 1, .has_hard_state = true};
    struct store *store = NULL;
    uint64_t number = 0;
    bool more = true;
    char name[8];
    int fd;

    (void)snprintf(name, sizeof(name), "n%u", i + 1);
    assert_int_equal(identity_open(&(struct identity_conf){.data_dir = c->nodes[i].dir,
                                                           .node_name = name,
                                                           .command = "a test"},
                                   &dir),
                     0);
    fd = identity_open_folder(dir, "wal");
    assert_true(fd >= 0);
    conf.node_id = identity_get(dir)->node_id;
    conf.incarnation = identity_get(dir)->incarnation;
    memcpy(conf.cluster_id, identity_get(dir)->cluster_id, sizeof(conf.cluster_id));
    assert_int_equal(vfs_posix_new(fd, &conf.vfs), 0);
    assert_int_equal(store_open(&conf, &log, &store), 0);
    batch.hard_state = log.hard_state;
    batch.hard_state.lease_max_us = lease_us;
    assert_int_equal(store_submit(store, &batch), 0);
    while (number == 0 && more) {
        assert_int_equal(store_work(store, &number), 0);
        assert_int_equal(store_prepare(store, &more), 0);
    }
    assert_int_equal(number, 1);
    store_close(store);
    store_recovered_done(&log);
    vfs_posix_free(conf.vfs);
    (void)close(fd);
    identity_close(dir);
}

static void expect_promise(const struct cluster *c, unsigned i, uint64_t lease_us)
{
    cleanup_buf struct buf out = BUF_INIT;
    char text[64];

    (void)snprintf(text, sizeof(text), "lease_max_us=%llu\n", (unsigned long long)lease_us);
    expect_code(
        run_program((const char *[]){ridd_path(), "--dump-log", c->nodes[i].dir, NULL}, &out), 0,
        &out);
    expect_text(&out, "verdict=clean");
    expect_text(&out, text);
}

/* MEMBER-15; and what it promised, it promised (LEASE-3). */
CASE(join__one_that_is_left_goes_on_alone)
{
    struct cluster *c = cluster_up(3, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    struct client *cl = client_open(c, cluster_leader(c));
    unsigned left;
    int code;

    for (unsigned i = 0; i < 50; i++)
        assert_non_null(strstr(
            client_askf(cl, "{\"type\":\"write\",\"msg_id\":%u,\"key\":\"k%u\",\"value\":%u}",
                        i + 1, i, i),
            "write_ok"));
    client_close(cl);
    (void)cluster_settle(c);
    left = (cluster_leader(c) + 1) % 3; /* a follower, which knows less of what is committed */
    code = recover_alone(c, left, true, &out);
    expect_code(code, 74, &out); /* it runs */
    expect_text(&out, "is in use by process");
    for (unsigned i = 0; i < 3; i++)
        node_kill(c, i);

    put_promise(c, left, 300000);
    buf_reset(&out, SIZE_MAX);
    code = recover_alone(c, left, false, &out);
    expect_code(code, 64, &out);
    expect_text(&out, "members now:        n1, n2, n3\n");
    expect_text(&out, "known as committed: index ");
    expect_text(&out, "run it again with --yes");
    assert_false(has(c, left, "CLUSTER"));

    buf_reset(&out, SIZE_MAX);
    code = recover_alone(c, left, true, &out);
    expect_code(code, 0, &out);
    expect_text(&out, "the only voter");
    assert_true(has(c, left, "CLUSTER"));
    expect_promise(c, left, 300000);
    for (unsigned i = 0; i < 3; i++)
        if (i != left)
            tree_remove(c->nodes[i].dir, false);
    node_start(c, left);
    for (unsigned again = 0; again < 2; again++) {
        wait_until(node_logged(c, left, "role=leader"), "a leader of one");
        cl = client_open(c, left);
        for (unsigned i = 0; i < 50; i++)
            assert_non_null(strstr(
                client_askf(cl, "{\"type\":\"read\",\"msg_id\":%u,\"key\":\"k%u\"}", i + 1, i),
                "read_ok"));
        client_expect(cl, "{\"type\":\"write\",\"msg_id\":99,\"key\":\"a\",\"value\":1}",
                      "{\"type\":\"write_ok\",<*>}");
        client_close(cl);
        assert_int_equal(node_terminate(c, left), 0);
        if (again == 0)
            node_start(c, left);
    }
    cluster_free(c);
}

/* MEMBER-15: killed at any sync of it, the node starts as it was, is refused until it is done, or
 * is alone, but never without another random id. */
CASE(join__recovering_alone_may_be_interrupted)
{
    struct cluster *c = cluster_new(3, NULL);
    struct shim_control *control;
    unsigned n_killed = 0;
    struct shim shim;

    cluster_init(c);
    shim_begin(&shim, c);
    control = control_of(&shim);
    for (unsigned at = 1;; at++) {
        cleanup_buf struct buf out = BUF_INIT;
        int code;

        atomic_store(&control->kill_sync, at);
        for (const char *const *env = c->env; *env != NULL; env++)
            (void)putenv((char *)(uintptr_t)*env);
        code = recover_alone(c, 0, true, &out);
        (void)unsetenv("RIDD_SHIM_CONTROL");
        (void)unsetenv("LD_PRELOAD");
        atomic_store(&control->kill_sync, 0);
        if (code == 0)
            break;
        assert_int_equal(code, 128 + SIGKILL);
        n_killed++;
        buf_reset(&out, SIZE_MAX);
        expect_code(recover_alone(c, 0, false, &out), 64, &out);
        expect_text(&out, "members now:        n1");
        assert_true(has(c, 0, "CLUSTER") ||
                    strstr((const char *)out.data, "members now:        n1, n2, n3\n") != NULL);
        if (node_try_start(c, 0, &code)) {
            assert_int_equal(node_terminate(c, 0), 0);
        } else {
            assert_int_equal(code, 78);
            assert_true(node_logged(c, 0, "--recover-alone' that did not finish"));
        }
    }
    assert_true(n_killed >= 3);
    node_start(c, 0);
    wait_until(node_logged(c, 0, "role=leader"), "a leader of one");
    assert_int_equal(node_terminate(c, 0), 0);
    (void)munmap(control, sizeof(*control));
    cluster_free(c);
}

/* A cluster that has an id already: until the entry that makes the node the only voter is committed
 * the configuration before it is the one that counts, and must not take the new id away again. */
CASE(join__who_goes_on_alone_does_not_fall_back)
{
    struct cluster *c = cluster_new(3, NULL);
    char path[300];
    cleanup_buf struct buf before = BUF_INIT;
    cleanup_buf struct buf after = BUF_INIT;

    cluster_init(c);
    c->n_members = 1;
    (void)snprintf(path, sizeof(path), "%s/CLUSTER", c->nodes[0].dir);
    for (unsigned again = 0; again < 2; again++) {
        cleanup_buf struct buf out = BUF_INIT;

        expect_code(recover_alone(c, 0, true, &out), 0, &out);
        buf_reset(&before, SIZE_MAX);
        file_read(path, &before);
        node_start(c, 0);
        node_kill(c, 0); /* nobody was elected yet */
        buf_reset(&after, SIZE_MAX);
        file_read(path, &after);
        assert_int_equal(before.len, after.len);
        assert_memory_equal(before.data, after.data, before.len);
        node_start(c, 0);
        wait_until(node_logged(c, 0, "role=leader"), "a leader of one");
        (void)cluster_settle(c);
        assert_int_equal(node_terminate(c, 0), 0);
    }
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(join__a_node_waits_is_told_and_runs),
        HARNESS_TEST(join__rejoin_has_another_id),
        HARNESS_TEST(join__a_signal_ends_the_waiting),
        HARNESS_TEST(join__strangers_do_not_keep_the_leader_out),
        HARNESS_TEST(join__the_second_is_told_that_it_came_late),
        HARNESS_TEST(join__a_founder_is_not_added),
        HARNESS_TEST(join__a_crash_at_any_step_leaves_a_clear_case),
        HARNESS_TEST(join__a_disk_that_fails_at_any_step_leaves_a_clear_case),
        HARNESS_TEST(join__one_that_is_left_goes_on_alone),
        HARNESS_TEST(join__recovering_alone_may_be_interrupted),
        HARNESS_TEST(join__who_goes_on_alone_does_not_fall_back),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
