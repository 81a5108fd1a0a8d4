/* ridd as a program: options, exit codes, what it says when it will not start, signals, and
 * the identity of its data directory. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"
#include "cluster/shim.h"

#include "base/banned.h"

/* ---- the command line ---- */

CASE(daemon__usage)
{
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(run_ridd(NULL, NULL, &out, "--help", NULL), 0, &out);
    expect_text(&out, "usage: ridd");
    expect_text(&out, "Exit codes: 0, 64");
    assert_int_equal(buf_add_u8(&out, 0), 0);
    for (const char *s = (const char *)out.data; *s != '\0'; s += strcspn(s, "\n") + 1) {
        const size_t columns = strcspn(s, "\n");
        const bool names_a_path = memmem(s, columns, "(default /", 10) != NULL;

        assert_true(columns <= 80 || names_a_path); /* of a terminal as it is opened */
    }
    expect_code(run_ridd(NULL, NULL, &out, "--version", NULL), 0, &out);
    expect_text(&out, "ridd ");
    expect_code(run_ridd(NULL, NULL, &out, "--sing", NULL), 64, &out);
    expect_text(&out, "ridd: unknown option '--sing'; see 'ridd --help'\n");
    assert_ptr_equal(memchr(out.data, '\n', out.len), out.data + out.len - 1); /* one line */
    expect_code(run_ridd(NULL, NULL, &out, "--init", "-xz", NULL), 64, &out);
    expect_text(&out, "unknown option '-x'");
    expect_code(run_ridd(NULL, NULL, &out, "--help=me", NULL), 64, &out);
    expect_text(&out, "unknown option '--help=me'");
    expect_code(run_ridd(NULL, NULL, &out, "--config", NULL), 64, &out);
    expect_code(run_ridd(NULL, NULL, &out, "more", NULL), 64, &out);
    expect_text(&out, "unexpected argument 'more'");
    expect_code(run_ridd("/x", NULL, &out, "--init", "--check-config", NULL), 64, &out);
    expect_text(&out, "only one of");
    expect_code(run_ridd("/nowhere/ridd.conf", "n1", &out, NULL), 78, &out);
    expect_text(&out, "cannot open '/nowhere/ridd.conf'");
    expect_code(run_ridd(NULL, NULL, &out, "--dump-log", "/nowhere", NULL), 74, &out);
    expect_text(&out, "cannot open '/nowhere'");
}

CASE(daemon__check_config_prints_all_problems)
{
    static const char wrong[] =
        "[cluster]\nnam = x\n[peers]\nn1 = 127.0.0.1\n n2 = 127.0.0.1:1 127.0.0.1:2\n"
        "[node]\ndata_dir = /x\nlog_level = loud\n[raft]\nheartbeat_ms = 0\n";
    static const char twice[] = "[cluster]\nname = x\n[peers]\nn1 = 127.0.0.1:71 127.0.0.1:72\n"
                                "n2 = [::ffff:127.0.0.1]:71 127.0.0.2:72\n[node]\ndata_dir = /x\n"
                                "[security]\ninsecure = yes\n";
    static const char even[] = "[cluster]\nname = x\n[peers]\nn1 = 127.0.0.1:71 127.0.0.1:72\n"
                               "n2 = 127.0.0.2:71 127.0.0.2:72\n[node]\ndata_dir = /x\n";
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char path[300];
    char prefix[320];

    expect_code(run_ridd(c->conf, "n1", &out, "--check-config", NULL), 0, &out);
    expect_text(&out, "cluster test, 1 node\n");
    (void)snprintf(path, sizeof(path), "%s/wrong.conf", c->dir);
    file_write(path, wrong, sizeof(wrong) - 1);
    expect_code(run_ridd(path, "n1", &out, "--check-config", NULL), 78, &out);
    for (unsigned line = 1; line <= 10; line++) {
        if (line == 3 || line == 6 || line == 7 || line == 9)
            continue;
        (void)snprintf(prefix, sizeof(prefix), "wrong.conf:%u: ", line);
        expect_text(&out, prefix);
    }
    expect_text(&out, "did you mean 'name'?");
    expect_code(run_ridd(path, "n1", &out, NULL), 78, &out); /* and does not start with it */
    expect_code(run_ridd(c->conf, "n7", &out, "--check-config", NULL), 78, &out);
    expect_text(&out, "n7");
    expect_code(run_ridd(c->conf, NULL, &out, NULL), 78, &out); /* which node? */
    file_write(path, twice, sizeof(twice) - 1);
    expect_code(run_ridd(path, "n1", &out, "--check-config", NULL), 78, &out);
    expect_text(&out, "wrong.conf:5: address '[::ffff:127.0.0.1]:71' is that of '127.0.0.1:71' on");
    file_write(path, even, sizeof(even) - 1);
    expect_code(run_ridd(path, "n1", &out, "--check-config", NULL), 0, &out);
    expect_text(&out, "2 nodes survive the loss of no more than 1 do");
    cluster_free(c);
}

CASE(daemon__print_config_reads_back)
{
    struct cluster *c = cluster_new(3, "log_level = debug\n[limits]\nin_flight = 99\n");
    cleanup_buf struct buf first = BUF_INIT;
    cleanup_buf struct buf second = BUF_INIT;
    char path[300];

    expect_code(run_ridd(c->conf, "n2", &first, "--print-config", NULL), 0, &first);
    expect_text(&first, "in_flight = 99");
    expect_text(&first, "request_bytes = 1M");
    (void)snprintf(path, sizeof(path), "%s/printed.conf", c->dir);
    file_write(path, first.data, first.len);
    expect_code(run_ridd(path, "n2", &second, "--print-config", NULL), 0, &second);
    assert_string_equal((const char *)first.data, (const char *)second.data);
    cluster_free(c);
}

/* Once, for its owner alone, and nothing of it is shown. */
CASE(daemon__makes_a_secret)
{
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_buf struct buf text = BUF_INIT;
    char path[300];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/secret", c->dir);
    expect_code(run_ridd(c->conf, NULL, &out, "--make-secret", path, NULL), 0, &out);
    expect_text(&out, "secret_file = ");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    file_read(path, &text);
    assert_true(text.len > 64);
    assert_null(strstr((const char *)out.data, (const char *)text.data + text.len - 65));
    expect_code(run_ridd(c->conf, NULL, &out, "--make-secret", path, NULL), 78, &out);
    expect_text(&out, "stays as it is");
    expect_code(run_ridd(c->conf, NULL, &out, "--make-secret", "/nowhere/x", NULL), 74, &out);
    cluster_free(c);
}

/* ---- identity ---- */

CASE(daemon__init)
{
    struct cluster *c = cluster_new(3, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char name[16];

    /* Not made yet: says what to type, and makes nothing. */
    expect_code(run_ridd(c->conf, "n1", &out, NULL), 78, &out);
    expect_text(&out, "--init");
    assert_int_not_equal(access(c->nodes[0].dir, F_OK), 0);
    expect_code(run_ridd(c->conf, "n1", &out, "--init", NULL), 0, &out);
    expect_code(run_ridd(c->conf, "n1", &out, "--init", NULL), 0, &out);
    expect_text(&out, "already");
    /* Another name for the same folder, and another cluster. */
    (void)snprintf(name, sizeof(name), "n2");
    assert_int_equal(rename(c->nodes[0].dir, c->nodes[1].dir), 0);
    expect_code(run_ridd(c->conf, name, &out, "--init", NULL), 78, &out);
    expect_text(&out, "belongs to node 'n1'");
    expect_code(run_ridd(c->conf, name, &out, NULL), 78, &out);
    assert_int_equal(rename(c->nodes[1].dir, c->nodes[0].dir), 0);
    cluster_write_conf(c, "other", NULL);
    expect_code(run_ridd(c->conf, "n1", &out, "--init", NULL), 78, &out);
    expect_text(&out, "belongs to cluster");
    expect_code(run_ridd(c->conf, "n1", &out, NULL), 78, &out);
    cluster_write_conf(c, "test", NULL);
    cluster_init(c);
    cluster_start(c);
    cluster_free(c);
}

/* A node that its peers have met, in a cluster that never had a quorum: their logs say nothing. */
CASE(daemon__init_asks_who_is_remembered)
{
    struct cluster *c = cluster_new(5, NULL);
    cleanup_buf struct buf out = BUF_INIT;

    cluster_init(c);
    node_start(c, 0);
    node_start(c, 1);
    node_wait_logged(c, 0, "event=peer_recorded peer=n2");
    node_kill(c, 1);
    tree_remove(c->nodes[1].dir, false);
    expect_code(run_ridd(c->conf, "n2", &out, "--init", NULL), 78, &out);
    expect_text(&out, "has met a node named n2 before");
    assert_int_not_equal(access(c->nodes[1].dir, F_OK), 0);
    cluster_free(c);
}

/* db/ and wal/ of two copies of one directory: same node, same incarnation, other entries. */
/* A linearizable read waits for the first entry of the term: it is applied then. */
static void wait_for_no_op(struct cluster *c)
{
    struct client *cl = client_open(c, 0);

    client_expect(cl, "{\"type\":\"read_index\",\"key\":\"none\"}",
                  "{\"type\":\"read_index_ok\",<*>");
    client_close(cl);
}

CASE(daemon__state_of_another_copy_is_refused)
{
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf first = BUF_INIT;
    char path[300];
    char db[300];
    char kept[300];
    struct client *cl;
    char *line;

    cluster_init(c);
    (void)snprintf(path, sizeof(path), "%s/wal/0000000000000001.wal", c->nodes[0].dir);
    (void)snprintf(db, sizeof(db), "%s/db", c->nodes[0].dir);
    (void)snprintf(kept, sizeof(kept), "%s/kept", c->dir);
    file_read(path, &first);
    /* One history: 2 and 3, the limit, of term 2, 4 of term 3. */
    cluster_start(c);
    wait_for_no_op(c);
    node_wait_logged(c, 0, "event=limit_set");
    assert_int_equal(node_terminate(c, 0), 0);
    cluster_start(c);
    wait_for_no_op(c);
    assert_int_equal(node_terminate(c, 0), 0);
    assert_int_equal(rename(db, kept), 0);
    /* Another: all of term 2. */
    (void)snprintf(path, sizeof(path), "%s/wal", c->nodes[0].dir);
    tree_remove(path, true);
    (void)snprintf(path, sizeof(path), "%s/wal/0000000000000001.wal", c->nodes[0].dir);
    file_write(path, first.data, first.len);
    assert_int_equal(chmod(path, 0600), 0);
    cluster_start(c);
    cl = client_open(c, 0);
    client_expect(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"a\",\"value\":1}",
                  "<*>\"type\":\"write_ok\"<*>");
    client_close(cl);
    node_wait_logged(c, 0, "event=limit_set");
    assert_int_equal(node_terminate(c, 0), 0);
    tree_remove(db, false);
    assert_int_equal(rename(kept, db), 0);
    node_spawn(c, 0);
    assert_int_equal(node_wait_exit(c, 0), 65);
    line = node_log_line(c, 0, "event=core_refused");
    assert_non_null(line);
    assert_non_null(strstr(line, "not of the same copy"));
    free(line);
    /* The way out that it names. */
    tree_remove(db, false);
    cluster_start(c);
    cluster_free(c);
}

CASE(daemon__strange_directories)
{
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char path[300];

    assert_int_equal(mkdir(c->nodes[0].dir, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/photo.jpg", c->nodes[0].dir);
    file_write(path, "x", 1);
    expect_code(run_ridd(c->conf, "n1", &out, "--init", NULL), 78, &out);
    expect_text(&out, "photo.jpg");
    assert_int_equal(unlink(path), 0);
    expect_code(run_ridd(c->conf, "n1", &out, "--init", NULL), 0, &out);
    assert_int_equal(chmod(c->nodes[0].dir, 0755), 0);
    expect_code(run_ridd(c->conf, "n1", &out, NULL), 78, &out);
    expect_text(&out, "chmod 700");
    assert_int_equal(chmod(c->nodes[0].dir, 0700), 0);
    cluster_start(c);
    assert_int_equal(node_terminate(c, 0), 0);
    /* A log that is gone is not an empty one: this node may have voted. */
    (void)snprintf(path, sizeof(path), "%s/wal", c->nodes[0].dir);
    tree_remove(path, true);
    expect_code(run_ridd(c->conf, "n1", &out, NULL), 65, &out);
    cluster_free(c);
}

CASE(daemon__second_process_is_refused)
{
    struct cluster *c = cluster_up(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char pid[64];
    int code = run_ridd(c->conf, "n1", &out, NULL);

    assert_int_not_equal(code, 0);
    (void)snprintf(pid, sizeof(pid), "in use by process %d", (int)c->nodes[0].pid);
    expect_text(&out, pid);
    assert_int_not_equal(run_ridd(c->conf, "n1", &out, "--init", NULL), 0);
    expect_text(&out, pid);
    assert_int_equal(node_terminate(c, 0), 0);
    node_start(c, 0);
    cluster_free(c);
}

/* A node that lost its disk could vote twice under its old name. */
CASE(daemon__lost_disk)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned lost = (cluster_leader(c) + 1) % 3;
    const char *name = c->nodes[lost].name;
    cleanup_buf struct buf out = BUF_INIT;
    struct client *cl;

    wait_until(node_log_lines(c, (lost + 1) % 3, "event=peer_recorded", name) > 0 &&
                   node_log_lines(c, (lost + 2) % 3, "event=peer_recorded", name) > 0,
               "the incarnation to be recorded");
    node_kill(c, lost);
    tree_remove(c->nodes[lost].dir, false);
    expect_code(run_ridd(c->conf, name, &out, NULL), 78, &out);
    expect_text(&out, "does not exist");
    /* The peers are up: they know better. */
    expect_code(run_ridd(c->conf, name, &out, "--init", NULL), 78, &out);
    expect_text(&out, "has met a node named");
    expect_text(&out, "put that directory back");
    assert_int_not_equal(access(c->nodes[lost].dir, F_OK), 0);
    /* Nobody is up to ask: --init cannot know, but the handshake does. */
    for (unsigned i = 0; i < 3; i++)
        if (i != lost)
            node_kill(c, i);
    expect_code(run_ridd(c->conf, name, &out, "--init", NULL), 0, &out);
    expect_text(&out, "did not answer");
    for (unsigned i = 0; i < 3; i++)
        node_start(c, i);
    for (unsigned i = 0; i < 3; i++)
        if (i != lost)
            wait_until(node_log_lines(c, i, "event=peer_refused", "its disk was lost") > 0,
                       "the refusal");
    wait_until(node_log_lines(c, lost, "event=peer_refused", "our disk was lost") > 0,
               "the refused to be told");
    wait_until(({
                   json_t *status = node_status(c, (lost + 1) % 3);
                   bool ok = reply_str(status, "leader_id")[0] != '\0' &&
                             strcmp(reply_str(status, "leader_id"), name) != 0;

                   json_decref(status);
                   ok;
               }),
               "the other two to go on");
    cl = client_open(c, cluster_leader(c));
    client_expect(cl, "{\"type\":\"write\",\"key\":1,\"value\":1}", "{\"type\":\"write_ok\"}");
    client_close(cl);
    cl = client_open(c, lost);
    client_expect(
        cl, "{\"type\":\"read_index\",\"key\":1,\"timeout_ms\":500}",
        "{\"type\":\"error\",\"code\":11,<*>\"error\":\"network\",\"definite\":true,<*>}");
    client_close(cl);
    cluster_free(c);
}

CASE(daemon__clusters_refuse_each_other)
{
    struct cluster *c = cluster_new(3, NULL);

    /* n3 was made from a file with another cluster name. */
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(run_ridd(c->conf, c->nodes[i].name, NULL, "--init", NULL), 0);
    cluster_write_conf(c, "elsewhere", NULL);
    assert_int_equal(run_ridd(c->conf, "n3", NULL, "--init", NULL), 0);
    node_start(c, 2);
    cluster_write_conf(c, "test", NULL);
    node_start(c, 0);
    node_start(c, 1);
    assert_true(cluster_leader(c) < 2);
    wait_until(node_log_lines(c, 2, "event=peer_refused", "it belongs to cluster 'test'") > 0 ||
                   node_log_lines(c, 0, "event=peer_refused", "it belongs to cluster 'else") > 0,
               "the refusal");
    {
        json_t *status = node_status(c, 2);

        assert_string_equal(reply_str(status, "leader_id"), "");
        assert_string_equal(reply_str(status, "cluster"), "elsewhere");
        json_decref(status);
    }
    cluster_free(c);
}

/* ---- ports ---- */

CASE(daemon__port_in_use)
{
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    cluster_init(c);
    for (unsigned i = 0; i < 2; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int one = 1;

        in.sin_port = htons(i == 0 ? c->nodes[0].port : c->nodes[0].peer_port);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
        assert_int_equal(listen(fd, 1), 0);
        expect_code(run_ridd(c->conf, "n1", &out, NULL), 74, &out);
        expect_text(&out, "event=cannot_listen error=\"cannot listen on '");
        expect_text(&out, i == 0 ? c->nodes[0].addr : c->nodes[0].peer_addr);
        expect_text(&out, "in use");
        (void)close(fd);
    }
    cluster_start(c);
    cluster_free(c);
}

/* ---- signals ---- */

/* An address that is not of this host never will be: a restart changes nothing, a person must look. */
CASE(daemon__address_of_another_host)
{
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char addr[sizeof(c->nodes[0].addr)];

    cluster_init(c);
    memcpy(addr, c->nodes[0].addr, sizeof(addr));
    (void)snprintf(c->nodes[0].addr, sizeof(c->nodes[0].addr), "192.0.2.1:7400");
    cluster_write_conf(c, "test", NULL);
    expect_code(run_ridd(c->conf, "n1", &out, NULL), 78, &out);
    expect_text(&out, "event=cannot_listen error=\"cannot listen on '192.0.2.1:7400'");
    memcpy(c->nodes[0].addr, addr, sizeof(addr));
    cluster_write_conf(c, "test", NULL);
    cluster_start(c); /* the refused start has left nothing behind */
    cluster_free(c);
}

CASE(daemon__dump_log_has_a_verdict)
{
    struct cluster *c = cluster_up(1, NULL);
    struct cluster *other = cluster_new(1, NULL);
    struct client *cl = client_open(c, 0);
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_buf struct buf segment = BUF_INIT;
    char wal[280];
    char path[600];
    char **names;
    unsigned n;

    cluster_write_conf(other, "elsewhere", NULL);
    cluster_init(other);
    cluster_start(other);
    client_expect(cl, "{\"type\":\"write\",\"key\":1,\"value\":1}", "{\"type\":\"write_ok\"}");
    client_close(cl);
    assert_int_equal(node_terminate(c, 0), 0);
    assert_int_equal(node_terminate(other, 0), 0);
    expect_code(run_ridd(NULL, NULL, &out, "--dump-log", c->nodes[0].dir, NULL), 0, &out);
    (void)snprintf(wal, sizeof(wal), "%s/wal", c->nodes[0].dir);
    expect_code(run_ridd(NULL, NULL, &out, "--dump-log", wal, NULL), 0, &out);
    expect_code(run_ridd(NULL, NULL, &out, "--dump-log", c->dir, NULL), 78, &out);
    expect_text(&out, "holds no log");
    /* A segment of another cluster among its own: the exit code is that of a start. */
    (void)snprintf(path, sizeof(path), "%s/wal/0000000000000001.wal", other->nodes[0].dir);
    file_read(path, &segment);
    (void)snprintf(path, sizeof(path), "%s/0000000000000009.wal", wal);
    file_write(path, segment.data, segment.len);
    expect_code(run_ridd(NULL, NULL, &out, "--dump-log", wal, NULL), 78, &out);
    expect_text(&out, "cannot read the log in");
    expect_text(&out, "belongs to another cluster");
    assert_int_equal(unlink(path), 0);
    /* One bit of the first record: what was durable cannot be read, and that is no torn tail. */
    n = folder_list(wal, &names);
    assert_true(n > 0);
    (void)snprintf(path, sizeof(path), "%s/%s", wal, names[0]);
    names_free(names, n);
    file_xor(path, file_size(path) > 4200 ? 4196 : file_size(path) / 2, 0x10);
    expect_code(run_ridd(NULL, NULL, &out, "--dump-log", c->nodes[0].dir, NULL), 65, &out);
    expect_text(&out, "ridd: ");
    expect_code(run_ridd(c->conf, "n1", &out, NULL), 65, &out);
    expect_text(&out, "action=exit_65");
    cluster_free(other);
    cluster_free(c);
}

CASE(daemon__reload)
{
    struct cluster *c = cluster_up(1, NULL);
    struct client *cl;

    assert_int_equal(node_log_lines(c, 0, "level=debug", NULL), 0);
    cluster_write_conf(c, "test", "log_level = debug\n[limits]\nrequest_bytes = 8K\n");
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=reloaded");
    cl = client_open(c, 0);
    client_expect(cl, "{\"type\":\"ping\"}", "{\"type\":\"pong\",<*>}");
    client_close(cl);
    node_wait_logged(c, 0, "event=client_closed"); /* a debug line */
    {
        cleanup_buf struct buf line = BUF_INIT;

        cl = client_open(c, 0);
        (void)buf_add_str(&line, "{\"x\":\"");
        while (line.len < 9000)
            (void)buf_add_u8(&line, 'x');
        (void)buf_add(&line, "\"}", 3);
        client_expect(cl, (const char *)line.data,
                      "{\"type\":\"error\",\"code\":12,<*>\"limit\":8192,\"line\":1}");
        client_close(cl);
    }
    cluster_write_conf(c, "test", "log_level = loud\n");
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=reload_refused");
    {
        char *line = node_log_line(c, 0, "event=reload_refused");

        assert_non_null(strstr(line, "loud"));
        assert_non_null(strstr(line, "action=keep_old"));
        free(line);
    }
    cl = client_open(c, 0); /* still the old one: debug lines go on */
    client_expect(cl, "{\"type\":\"write\",\"key\":1,\"value\":1}", "{\"type\":\"write_ok\"}");
    client_close(cl);
    wait_until(node_log_lines(c, 0, "event=client_closed", NULL) >= 3, "debug lines to go on");
    cluster_write_conf(c, "test", NULL);
    assert_int_equal(node_terminate(c, 0), 0);
    cluster_free(c);
}

CASE(daemon__reload_without_a_file)
{
    struct cluster *c = cluster_up(1, NULL);
    char away[320];

    (void)snprintf(away, sizeof(away), "%s.away", c->conf);
    assert_int_equal(rename(c->conf, away), 0);
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=reload_refused");
    {
        char *line = node_log_line(c, 0, "event=reload_refused");

        assert_non_null(strstr(line, "cannot open"));
        assert_non_null(strstr(line, "action=keep_old"));
        free(line);
    }
    assert_int_equal(rename(away, c->conf), 0);
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=reloaded");
    assert_int_equal(node_terminate(c, 0), 0);
    cluster_free(c);
}

CASE(daemon__dumps_its_state)
{
    static const char *const events[] = {"event=state_core", "event=state_requests",
                                         "event=state_log", "event=state_clients"};
    struct cluster *c = cluster_up(3, NULL);

    for (unsigned i = 0; i < 3; i++) {
        node_signal(c, i, SIGUSR1);
        for (size_t k = 0; k < sizeof(events) / sizeof(events[0]); k++)
            node_wait_logged(c, i, events[k]);
        wait_until(node_log_lines(c, i, "event=state_peer", NULL) == 2, "a line for each peer");
    }
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(node_terminate(c, i), 0);
    cluster_free(c);
}

/* What the core does can be followed at the level debug, and only there. */
CASE(daemon__debug_follows_the_core)
{
    struct cluster *c = cluster_up(3, "log_level = debug\n");
    unsigned leader = cluster_leader(c);
    unsigned granted = 0;
    unsigned other;

    for (unsigned i = 0; i < 3; i++)
        granted += node_log_lines(c, i, "event=vote_granted", "level=debug");
    assert_true(granted > 0);
    other = (leader + 1) % 3;
    assert_int_equal(node_terminate(c, other), 0);
    cluster_write_conf(c, "test", NULL);
    node_start(c, other);
    (void)cluster_settle(c);
    assert_int_equal(node_log_lines(c, other, "level=debug", NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(node_terminate(c, i), 0);
    cluster_free(c);
}

CASE(daemon__interrupt_is_a_clean_end_too)
{
    struct cluster *c = cluster_up(1, NULL);

    node_signal(c, 0, SIGINT);
    assert_int_equal(node_wait_exit(c, 0), 0);
    assert_true(node_logged(c, 0, "event=stopped"));
    cluster_free(c);
}

/* A client that takes none of its answers is waited for, but not after a second signal. */
CASE(daemon__a_second_signal_ends_it_now)
{
    const size_t size = 500u << 10;
    struct cluster *c = cluster_up(1, NULL);
    struct client *cl = client_open(c, 0);
    cleanup_buf struct buf text = BUF_INIT;

    (void)buf_add_str(&text, "{\"type\":\"write\",\"key\":1,\"value\":\"");
    for (size_t i = 0; i < size; i++)
        (void)buf_add_u8(&text, 'x');
    (void)buf_add(&text, "\"}", 3);
    client_expect(cl, (const char *)text.data, "{\"type\":\"write_ok\"}");
    /* Far more than the sockets hold between them. */
    text.len = 0;
    for (int i = 0; i < 60; i++)
        (void)buf_add_str(&text, "{\"type\":\"read\",\"key\":1}\n");
    (void)client_push(cl, text.data, text.len, 1000);
    /* The sockets are full, and what was sent is still owed. */
    wait_until(memory_of(c, 0, "replies_bytes") > 1 << 20, "replies that nobody takes");
    node_signal(c, 0, SIGTERM);
    node_wait_logged(c, 0, "event=stopping ");
    node_signal(c, 0, SIGTERM);
    assert_int_equal(node_wait_exit(c, 0), 0);
    assert_true(node_logged(c, 0, "event=stopping_now"));
    assert_true(node_logged(c, 0, "event=stopped"));
    client_close(cl);
    cluster_free(c);
}

/* As fast as they can be sent, until it is gone: what comes when nobody hears signals any more does
 * not end it either (LOOP-3). */
CASE(daemon__signals_to_the_last_do_no_harm)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGUSR1, SIGINT};
    struct cluster *c = cluster_new(1, NULL);

    cluster_init(c);
    for (int life = 0; life < 8; life++) {
        siginfo_t info = {0};

        node_spawn(c, 0);
        (void)cluster_leader(c);
        for (unsigned k = 0; info.si_pid == 0; k++) {
            node_signal(c, 0, signals[k % 4]);
            assert_int_equal(
                waitid(P_PID, (id_t)c->nodes[0].pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
        }
        assert_int_equal(node_wait_exit(c, 0), 0);
    }
    cluster_free(c);
}

/* A sync of the log that fails is final (DISK-13): exit 74, no answer, and nothing of the write is
 * promised; the next start is a whole one. */
CASE(daemon__a_failed_sync_is_the_end)
{
    const unsigned next = 1;
    struct cluster *c = cluster_new(1, NULL);
    struct shim shim;
    struct client *cl;

    cluster_init(c);
    shim_begin(&shim, c);
    cluster_start(c);
    cl = client_open(c, 0);
    client_expect(cl, "{\"type\":\"write\",\"key\":1,\"value\":1}", "{\"type\":\"write_ok\"}");
    file_patch(shim.control, offsetof(struct shim_control, fail_sync), &next, sizeof(next));
    client_send(cl, "{\"type\":\"write\",\"key\":1,\"value\":2}");
    client_expect_end(cl);
    assert_int_equal(node_wait_exit(c, 0), 74);
    assert_true(node_logged(c, 0, "event=log_failed"));
    assert_true(node_logged(c, 0, "action=exit_74"));
    client_close(cl);
    c->env = NULL;
    cluster_start(c);
    cl = client_open(c, 0);
    client_expect(cl, "{\"type\":\"read_index\",\"key\":1}",
                  "{\"type\":\"read_index_ok\",\"value\":<n>,<*>}");
    client_close(cl);
    assert_int_equal(node_terminate(c, 0), 0);
    cluster_free(c);
}

/* Every sync of every node takes more than 0.6 of the election timeout. Once a leader resigned again
 * and again on such disks (READ-51), or none was ever elected (VOTE-9); what is written has a certain
 * fate, and nodes say that their disks are slow (DISK-32). */
CASE(daemon__slow_disks_keep_their_leader)
{
    const unsigned ms = 300;
    struct cluster *c = cluster_new(3, "[raft]\nheartbeat_ms = 50\nelection_ms = 500\n");
    struct writers w;
    struct shim shim;
    unsigned leader;
    json_t *before;
    json_t *after;

    cluster_init(c);
    shim_begin(&shim, c);
    file_patch(shim.control, offsetof(struct shim_control, slow_sync_ms), &ms, sizeof(ms));
    cluster_start(c);
    leader = cluster_leader(c);
    before = node_status(c, leader);
    writers_init(&w, c, 2, 8, "slow", 100);
    swarm_set_patience(w.swarm, 20000);
    writers_run(&w, 200);
    writers_stop(&w);
    assert_int_equal(w.n_unknown, 0);
    after = node_status(c, leader);
    assert_string_equal(reply_str(after, "role"), "leader");
    assert_int_equal(reply_int(after, "term"), reply_int(before, "term"));
    assert_true(json_is_true(json_object_get(json_object_get(after, "disk"), "slow")));
    node_wait_logged(c, leader, "event=disk_slow ");
    writers_done(&w);
    json_decref(before);
    json_decref(after);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(daemon__usage),
        HARNESS_TEST(daemon__check_config_prints_all_problems),
        HARNESS_TEST(daemon__print_config_reads_back),
        HARNESS_TEST(daemon__makes_a_secret),
        HARNESS_TEST(daemon__init),
        HARNESS_TEST(daemon__init_asks_who_is_remembered),
        HARNESS_TEST(daemon__state_of_another_copy_is_refused),
        HARNESS_TEST(daemon__strange_directories),
        HARNESS_TEST(daemon__second_process_is_refused),
        HARNESS_TEST(daemon__lost_disk),
        HARNESS_TEST(daemon__clusters_refuse_each_other),
        HARNESS_TEST(daemon__port_in_use),
        HARNESS_TEST(daemon__address_of_another_host),
        HARNESS_TEST(daemon__dump_log_has_a_verdict),
        HARNESS_TEST(daemon__reload),
        HARNESS_TEST(daemon__reload_without_a_file),
        HARNESS_TEST(daemon__dumps_its_state),
        HARNESS_TEST(daemon__debug_follows_the_core),
        HARNESS_TEST(daemon__interrupt_is_a_clean_end_too),
        HARNESS_TEST(daemon__a_second_signal_ends_it_now),
        HARNESS_TEST(daemon__signals_to_the_last_do_no_harm),
        HARNESS_TEST(daemon__a_failed_sync_is_the_end),
        HARNESS_TEST(daemon__slow_disks_keep_their_leader),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
