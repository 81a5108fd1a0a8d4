/* Secrets and certificates that change under clients which write and read all the time: nobody
 * notices but who has only what was taken away (TLS-6, TLS-14, TLS-25). */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "client/ridd_async.h"
#include "cluster/harness.h"
#include "cluster/s-client.h"
#include "unit/fake-certs.h"

#include "base/banned.h"

#define NODES    3u
#define SECRET_A "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\n"
#define SECRET_B "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2\n"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

/* ---- clients that never pause ---- */

enum { PLAIN_WRITER, SESSION_WRITER, READER, FOLLOWER_READER, ASKERS };

struct asker {
    unsigned kind;
    struct ridd *client;
    unsigned n_done;
    bool is_idle;
};

static struct {
    struct cluster *c;
    struct asker askers[ASKERS];
    struct ridd_tls tls; /* of clients from here on */
    bool pauses;
    char failure[600]; /* of the first request that failed; "": none */
    char path[300];
    char ca[300];
} world;

static struct ridd *open_client(unsigned flags)
{
    const struct ridd_options options = {.timeout_ms = 20000, .flags = flags};
    char endpoints[300];
    char why[300];
    struct ridd *client;
    size_t n = 0;

    for (unsigned i = 0; i < NODES; i++)
        n += (size_t)snprintf(endpoints + n, sizeof(endpoints) - n, "tls://127.0.0.1:%u ",
                              world.c->nodes[NODES + i].port);
    assert_int_equal(ridd_open(endpoints, &options, &client), RIDD_OK);
    if (ridd_set_tls(client, &world.tls, why, sizeof(why)) != RIDD_OK)
        harness_fail("ridd_set_tls: %s", why);
    return client;
}

static void ask(struct asker *a);

static void on_reply(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct asker *a = arg;

    (void)client;
    if (reply->status == RIDD_OK)
        a->n_done++;
    else if (reply->status != RIDD_CANCELLED && world.failure[0] == '\0')
        (void)snprintf(world.failure, sizeof(world.failure), "asker %u, request %u: %s: %s",
                       a->kind, a->n_done, ridd_status_name(reply->status), reply->text);
    ridd_reply_free(reply);
    a->is_idle = true;
    if (!world.pauses)
        ask(a);
}

static void ask(struct asker *a)
{
    const bool writes = a->kind <= SESSION_WRITER;
    struct ridd_op op = ridd_op(writes ? RIDD_OP_PUT : RIDD_OP_GET);
    char json[32];

    (void)snprintf(json, sizeof(json), "%u", a->n_done);
    op.key = ridd_key("k");
    if (writes)
        op.value = ridd_value_json(json);
    else
        op.via = a->kind == READER ? RIDD_VIA_READ_INDEX : RIDD_VIA_FOLLOWER;
    if (ridd_async_start(a->client, &op, on_reply, a) == 0)
        harness_fail("libridd begins nothing");
    a->is_idle = false;
}

static void go_on(void *ctx)
{
    struct pollfd fds[ASKERS];

    (void)ctx;
    for (unsigned i = 0; i < ASKERS; i++)
        fds[i] = (struct pollfd){.fd = ridd_async_fd(world.askers[i].client), .events = POLLIN};
    (void)poll(fds, ASKERS, 1);
    for (unsigned i = 0; i < ASKERS; i++)
        (void)ridd_process(world.askers[i].client);
}

static void askers_open(void)
{
    for (unsigned i = 0; i < ASKERS; i++) {
        world.askers[i] = (struct asker){.kind = i};
        world.askers[i].client = open_client(i == SESSION_WRITER ? RIDD_FLAG_SESSION : 0);
    }
    world.pauses = false;
    for (unsigned i = 0; i < ASKERS; i++)
        ask(&world.askers[i]);
    harness_meanwhile(go_on, NULL);
}

/* When each has its answer. */
static void askers_close(void)
{
    world.pauses = true;
    for (unsigned i = 0; i < ASKERS; i++)
        wait_until((go_on(NULL), world.askers[i].is_idle), "the last answer");
    harness_meanwhile(NULL, NULL);
    for (unsigned i = 0; i < ASKERS; i++)
        ridd_close(world.askers[i].client);
}

static void expect_no_failure(void)
{
    if (world.failure[0] != '\0')
        harness_fail("%s", world.failure);
}

/* Some more of each. */
static void serve_some_more(void)
{
    for (unsigned i = 0; i < ASKERS; i++) {
        struct asker *a = &world.askers[i];
        const unsigned n = a->n_done + 20;

        wait_until((go_on(NULL), a->n_done >= n || world.failure[0] != '\0'), "answers");
    }
    expect_no_failure();
}

/* ---- nodes ---- */

static const char *file_of(const char *name)
{
    static char path[300];

    (void)snprintf(path, sizeof(path), "%s/%s", world.c->dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    file_write(file_of(name), text, strlen(text));
    assert_int_equal(chmod(file_of(name), 0600), 0);
}

/* The places behind the three are there for their ports, which are those of clients; the harness
 * itself asks plainly. */
static void make_cluster(void)
{
    struct cluster *c = cluster_new(2 * NODES, "[http]\n");

    memset(&world, 0, sizeof(world));
    world.c = c;
    c->n = NODES;
    for (unsigned i = 0; i < NODES; i++)
        (void)snprintf(c->nodes[i].addr, sizeof(c->nodes[i].addr), "tcp://127.0.0.1:%u",
                       c->nodes[i].port);
    (void)snprintf(world.path, sizeof(world.path), "%s/secret", c->dir);
    (void)snprintf(world.ca, sizeof(world.ca), "%s/ca.pem", c->dir);
}

static void found(unsigned i, const char *security, const char *access)
{
    static char confs[NODES][300];
    cleanup_buf struct buf out = BUF_INIT;
    char extra[2200];
    struct node *n = &world.c->nodes[i];

    (void)snprintf(extra, sizeof(extra), "listen = tls://127.0.0.1:%u\n%s[access]\nall = %s\n",
                   world.c->nodes[NODES + i].port, security, access);
    (void)snprintf(confs[i], sizeof(confs[i]), "%s/of-%s.conf", world.c->dir, n->name);
    cluster_write_conf_to(world.c, confs[i], "test", extra);
    n->conf = confs[i];
    expect_code(run_ridd(n->conf, n->name, &out, "--init", NULL), 0, &out);
}

/* One after the other, as an operator does it, while the clients go on. */
static void reload_each(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        const unsigned n = node_log_lines(world.c, i, "event=tls_taken", NULL);

        node_signal(world.c, i, SIGHUP);
        wait_until((go_on(NULL), node_log_lines(world.c, i, "event=tls_taken", NULL) > n),
                   "the reload");
        serve_some_more();
    }
}

/* ---- a secret ---- */

static void expect_refused_with(const char *secret)
{
    struct ridd_reply *reply;
    struct ridd *client;

    write_file("client", secret);
    client = open_client(RIDD_FLAG_IMPATIENT);
    reply = ridd_get(client, ridd_key("k"), RIDD_VIA_READ_INDEX);
    if (reply->status != RIDD_UNREACHABLE || strstr(reply->text, "secret") == NULL)
        harness_fail("%s: %s", ridd_status_name(reply->status), reply->text);
    ridd_reply_free(reply);
    ridd_close(client);
}

static void change_clients(void)
{
    for (unsigned i = 0; i < ASKERS; i++)
        assert_int_equal(ridd_set_tls(world.askers[i].client, &world.tls, NULL, 0), RIDD_OK);
}

/* In the three steps of docs/SECURITY.md; clients are told between the second and the third, and keep
 * the connections that they have until they are denied something there (TLS-36). */
CASE(reload__a_secret_under_load)
{
    char client[300];
    char security[400];

    make_cluster();
    write_file("secret", SECRET_A);
    write_file("client", SECRET_A);
    (void)snprintf(client, sizeof(client), "%s", file_of("client"));
    world.tls = (struct ridd_tls){.secret_file = client, .cluster = "test"};
    (void)snprintf(security, sizeof(security), "[security]\nsecret_file = %s\n", world.path);
    for (unsigned i = 0; i < NODES; i++)
        found(i, security, "read any prefix none/"); /* who has no secret sees no key */
    cluster_start(world.c);
    askers_open();
    serve_some_more();
    write_file("secret", SECRET_A SECRET_B);
    reload_each();
    write_file("secret", SECRET_B SECRET_A);
    reload_each();
    write_file("client", SECRET_B);
    change_clients();
    write_file("secret", SECRET_B);
    reload_each();
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(node_log_lines(world.c, i, "event=peer_refused", NULL), 0);
    askers_close();
    expect_refused_with(SECRET_A);
    cluster_free(world.c);
}

/* ---- certificates ---- */

static void issue_all(struct fake_ca *ca)
{
    const struct fake_cert server = {.common_name = "server", .san = "IP:127.0.0.1"};

    fake_ca_issue(ca, &server, world.c->dir, "server");
    for (unsigned i = 0; i < NODES; i++) {
        const char *name = world.c->nodes[i].name;
        char san[64];
        const struct fake_cert peer = {.common_name = name, .san = san};

        (void)snprintf(san, sizeof(san), "URI:ridd://test/%s", name);
        fake_ca_issue(ca, &peer, world.c->dir, name);
    }
}

static void found_by_certificates(unsigned i)
{
    const char *dir = world.c->dir;
    const char *name = world.c->nodes[i].name;
    char security[1800];

    world.c->nodes[i].http_scheme = "https://";
    (void)snprintf(security, sizeof(security),
                   "[security]\npeer_cert = %s/%s.pem\npeer_key = %s/%s.key\npeer_ca = %s/ca.pem\n"
                   "client_cert = %s/server.pem\nclient_key = %s/server.key\n",
                   dir, name, dir, name, dir, dir, dir);
    found(i, security, "admin any");
}

/* What a server shows is this file's, all of it. */
static void expect_shown(uint16_t port, const char *name, bool wanted)
{
    const struct s_client what = {.folder = world.c->dir,
                                  .port = port,
                                  .options = "-CAfile ca.pem -showcerts -cert n2.pem -key n2.key",
                                  .say = "",
                                  .until = "Verify return code"};
    cleanup_buf struct buf pem = BUF_INIT;
    const char *shown = s_client(&what);

    file_read(file_of(name), &pem);
    if ((strstr(shown, (const char *)pem.data) != NULL) != wanted)
        harness_fail("port %u, %s: %.3000s", port, name, shown);
}

static int64_t accepted(unsigned i)
{
    cleanup_json json_t *status = node_status(world.c, i);

    return reply_int(json_object_get(status, "clients"), "accepted");
}

static void expect_all_shown(void)
{
    char name[32];

    for (unsigned i = 0; i < NODES; i++) {
        const struct node *n = &world.c->nodes[i];

        (void)snprintf(name, sizeof(name), "%s.pem", n->name);
        expect_shown(world.c->nodes[NODES + i].port, "server.pem", true);
        expect_shown(n->http_port, "server.pem", true);
        expect_shown(n->peer_port, name, true);
    }
}

/* Whoever is there stays, and who comes sees the new ones, at each port. */
CASE(reload__certificates_under_load)
{
    struct fake_ca *ca;
    int64_t n_accepted[NODES];
    unsigned n_links[NODES];

    make_cluster();
    world.tls = (struct ridd_tls){.ca_file = world.ca};
    ca = fake_ca_new(world.c->dir, "ca");
    issue_all(ca);
    for (unsigned i = 0; i < NODES; i++)
        found_by_certificates(i);
    cluster_start(world.c);
    askers_open();
    serve_some_more();
    expect_all_shown();
    for (unsigned i = 0; i < NODES; i++) {
        n_accepted[i] = accepted(i);
        n_links[i] = node_log_lines(world.c, i, "event=peer_", NULL);
    }
    issue_all(ca);
    fake_ca_free(ca);
    expect_shown(world.c->nodes[NODES].port, "server.pem", false);
    n_accepted[0]++;
    reload_each();
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(accepted(i), n_accepted[i]);
        assert_int_equal(node_log_lines(world.c, i, "event=peer_", NULL), n_links[i]);
    }
    expect_all_shown();
    serve_some_more();
    askers_close();
    expect_equal_states(world.c);
    cluster_free(world.c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest secrets[] = {HARNESS_TEST(reload__a_secret_under_load)};
    const struct CMUnitTest all[] = {
        HARNESS_TEST(reload__a_secret_under_load),
        HARNESS_TEST(reload__certificates_under_load),
    };

    harness_init(argc, argv);
    return s_client_is_there() ? cmocka_run_group_tests_name(argv[0], all, NULL, NULL)
                               : cmocka_run_group_tests_name(argv[0], secrets, NULL, NULL);
}
