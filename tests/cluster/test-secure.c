/* Clusters whose nodes speak TLS with each other, by a secret or by certificates: all that links,
 * questions and joins are for works as without. Clients are spoken to plainly here. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"
#include "unit/fake-certs.h"

/* ---- what it is made safe by ---- */

static void write_secret(const struct cluster *c, const char *name, const char *text)
{
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/%s", c->dir, name);
    file_write(path, text, strlen(text));
    assert_int_equal(chmod(path, 0600), 0);
}

#define SECRET_A "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\n"
#define SECRET_B "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2\n"

/* Clients plainly, and each may do all. */
static void secret_conf(const struct cluster *c, const char *secret, char *ret, size_t size)
{
    (void)snprintf(ret, size, "[security]\nsecret_file = %s/%s\n\n[access]\nall = admin any\n",
                   c->dir, secret);
}

/* Each node has a file of its own: the certificate is its own. */
static void cert_conf(const struct cluster *c, const char *name, char *ret, size_t size)
{
    (void)snprintf(ret, size,
                   "[security]\npeer_cert = %s/%s.pem\npeer_key = %s/%s.key\npeer_ca = %s/ca.pem\n",
                   c->dir, name, c->dir, name, c->dir);
}

static void plain_clients(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++)
        (void)snprintf(c->nodes[i].addr, sizeof(c->nodes[i].addr), "tcp://127.0.0.1:%u",
                       c->nodes[i].port);
}

/* The file of a node, as if only the first n were there. */
static void conf_of(struct cluster *c, unsigned n, const char *path, const char *extra)
{
    char names[CLUSTER_NODES_MAX][sizeof(c->nodes[0].name)];

    for (unsigned i = 0; i < c->n; i++) {
        memcpy(names[i], c->nodes[i].name, sizeof(names[i]));
        if (i >= n)
            c->nodes[i].name[0] = '\0';
    }
    cluster_write_conf_to(c, path, "test", extra);
    for (unsigned i = 0; i < c->n; i++)
        memcpy(c->nodes[i].name, names[i], sizeof(names[i]));
}

/* ---- what works ---- */

static void write_and_read(struct cluster *c, unsigned value)
{
    struct client *cl = client_open(c, cluster_leader(c));

    client_expect(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"k\",\"value\":1}",
                  "{\"type\":\"write_ok\",\"in_reply_to\":1<*>}");
    (void)client_askf(cl, "{\"type\":\"write\",\"msg_id\":2,\"key\":\"k\",\"value\":%u}", value);
    client_expect(cl, "{\"type\":\"read\",\"msg_id\":3,\"key\":\"k\"}",
                  "{\"type\":\"read_ok\",\"in_reply_to\":3,<*>\"value\":<n><*>}");
    client_close(cl);
}

static void lose_the_leader(struct cluster *c)
{
    const unsigned leader = cluster_leader(c);

    node_kill(c, leader);
    write_and_read(c, 5);
    node_start(c, leader);
    (void)cluster_settle(c);
}

/* The leader asks it, and takes it in. */
static void add_fourth(struct cluster *c, const char *conf)
{
    struct node *n = &c->nodes[3];
    struct client *cl;
    const char *reply;

    n->conf = conf;
    node_spawn_with(c, 3, "--join");
    node_wait_logged(c, 3, "waiting to be added");
    cl = client_open(c, cluster_leader(c));
    reply = client_askf(cl,
                        "{\"type\":\"member_add\",\"msg_id\":1,\"id\":\"%s\","
                        "\"peer_addr\":\"%s\",\"client_addr\":\"127.0.0.1:%u\"}",
                        n->name, n->peer_addr, n->port);
    if (strstr(reply, "_ok") == NULL)
        harness_fail("not added: %s", reply);
    client_close(cl);
    node_wait_logged(c, 3, " event=ready ");
}

/* Nodes of a secret elect, write, read, lose one and take one in. */
static void secure__by_a_secret(void **state)
{
    struct cluster *c = cluster_new(4, NULL);
    char extra[700];
    char conf[300];

    (void)state;
    write_secret(c, "secret", SECRET_A);
    plain_clients(c);
    secret_conf(c, "secret", extra, sizeof(extra));
    conf_of(c, 3, c->conf, extra);
    (void)snprintf(conf, sizeof(conf), "%s/of-n4.conf", c->dir);
    conf_of(c, 4, conf, extra);
    c->n = 3;
    cluster_init(c);
    cluster_start(c);
    write_and_read(c, 1);
    lose_the_leader(c);
    c->n = 4;
    c->n_members = 3;
    add_fourth(c, conf);
    c->n_members = 4;
    write_and_read(c, 2);
    cluster_free(c);
}

/* One with another secret belongs to nobody, and both sides say so. */
static void secure__another_secret_is_no_secret(void **state)
{
    struct cluster *c = cluster_new(3, NULL);
    char extra[700];
    char conf[300];

    (void)state;
    write_secret(c, "secret", SECRET_A);
    write_secret(c, "other", SECRET_B);
    write_secret(c, "both", SECRET_B SECRET_A);
    plain_clients(c);
    secret_conf(c, "secret", extra, sizeof(extra));
    cluster_write_conf(c, "test", extra);
    secret_conf(c, "other", extra, sizeof(extra));
    (void)snprintf(conf, sizeof(conf), "%s/of-n3.conf", c->dir);
    cluster_write_conf_to(c, conf, "test", extra);
    c->nodes[2].conf = conf;
    cluster_init(c);
    c->n = 2;
    cluster_start(c);
    c->n = 3;
    node_spawn(c, 2);
    node_wait_logged(c, 2, "secret");
    c->n = 2;
    write_and_read(c, 1);
    cluster_free(c);
}

/* One secret takes the place of another while the cluster works: TLS-6, TLS-14. */
static void secure__a_secret_is_changed(void **state)
{
    static const char *const steps[] = {SECRET_A SECRET_B, SECRET_B SECRET_A, SECRET_B};
    struct cluster *c = cluster_new(3, NULL);
    char extra[700];

    (void)state;
    write_secret(c, "secret", SECRET_A);
    plain_clients(c);
    secret_conf(c, "secret", extra, sizeof(extra));
    cluster_write_conf(c, "test", extra);
    cluster_init(c);
    cluster_start(c);
    write_and_read(c, 1);
    for (unsigned step = 0; step < 3; step++) {
        write_secret(c, "secret", steps[step]);
        for (unsigned i = 0; i < 3; i++) {
            const unsigned n = node_log_lines(c, i, " event=reloaded ", NULL);

            node_signal(c, i, SIGHUP);
            wait_until(node_log_lines(c, i, " event=reloaded ", NULL) == n + 1, "the reload");
        }
        write_and_read(c, 2 + step);
        for (unsigned i = 0; i < 3 && step < 2; i++)
            assert_int_equal(node_log_lines(c, i, "not accepted any more", NULL), 0);
    }
    wait_until(node_log_lines(c, 0, "the secret that it was made with", NULL) > 0, "its end");
    write_and_read(c, 9);
    cluster_free(c);
}

/* By certificates, of which each names its node. */
static void secure__by_certificates(void **state)
{
    struct cluster *c = cluster_new(4, NULL);
    struct fake_ca *ca = fake_ca_new(c->dir, "ca");
    char confs[4][300];
    char extra[1000];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        char san[64];
        const struct fake_cert cert = {.common_name = c->nodes[i].name, .san = san};

        (void)snprintf(san, sizeof(san), "URI:ridd://test/%s", c->nodes[i].name);
        fake_ca_issue(ca, &cert, c->dir, c->nodes[i].name);
        cert_conf(c, c->nodes[i].name, extra, sizeof(extra));
        (void)snprintf(confs[i], sizeof(confs[i]), "%s/of-%s.conf", c->dir, c->nodes[i].name);
        conf_of(c, i < 3 ? 3 : 4, confs[i], extra);
        c->nodes[i].conf = confs[i];
    }
    fake_ca_free(ca);
    c->n = 3;
    for (unsigned i = 0; i < 3; i++) {
        cleanup_buf struct buf out = BUF_INIT;

        expect_code(run_ridd(confs[i], c->nodes[i].name, &out, "--init", NULL), 0, &out);
        if (i == 1) /* it was answered by the one that runs */
            expect_text(&out, "1 of 2 peers did not answer");
        node_start(c, i);
    }
    cluster_start(c);
    write_and_read(c, 1);
    lose_the_leader(c);
    c->n = 4;
    c->n_members = 3;
    add_fourth(c, confs[3]);
    c->n_members = 4;
    write_and_read(c, 2);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(secure__by_a_secret),
        HARNESS_TEST(secure__another_secret_is_no_secret),
        HARNESS_TEST(secure__a_secret_is_changed),
        HARNESS_TEST(secure__by_certificates),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
