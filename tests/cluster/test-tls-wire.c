/* What somebody on the way sees: a key and a value are written, copied, read and brought to a late
 * node by a snapshot, through relays that keep every byte. Without TLS both are found there, so that
 * it is known that they would be; by a secret and by certificates they are not. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "client/ridd.h"
#include "cluster/recorder.h"
#include "cluster/snapshots.h"
#include "unit/fake-certs.h"

#include "base/banned.h"

#define NODES 3u

/* Letters that nobody has ever thrown together but here. */
static const char key[] = "qkzvhdyxjwpbmrgucntlofasieqxzjkvwyhpdbgmfurclnotsaeivqjzxkwybhpd";
static const char value[] = "mxoqzjtvwkepyrhgbcdulnfasimzqxjwvkyptbhdgrfcuoelnsaiqvzxmjkwpygb";

static const char secret[] = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\n";

enum means { PLAINLY, BY_SECRET, BY_CERTIFICATES };

struct wire {
    enum means means;
    struct cluster *c;
    struct recorder *recorder;
    char confs[NODES][300];
    char ports[400];
    struct shim_env env;
    struct ridd *client;
    char secret_file[300];
};

/* ---- nodes behind relays ---- */

static void say_security(const struct wire *w, unsigned i, char *ret, size_t size)
{
    const char *dir = w->c->dir;
    const char *name = w->c->nodes[i].name;

    ret[0] = '\0';
    if (w->means == BY_SECRET)
        (void)snprintf(ret, size, "[security]\nsecret_file = %s\n[access]\nall = admin any\n",
                       w->secret_file);
    else if (w->means == BY_CERTIFICATES)
        (void)snprintf(ret, size,
                       "[security]\npeer_cert = %s/%s.pem\npeer_key = %s/%s.key\n"
                       "peer_ca = %s/ca.pem\nclient_cert = %s/server.pem\n"
                       "client_key = %s/server.key\n[access]\nall = admin any\n",
                       dir, name, dir, name, dir, dir, dir);
}

/* The places behind the three are there for their ports. What the harness asks it does plainly, and
 * past the relays. */
static uint16_t client_port(const struct wire *w, unsigned i)
{
    return w->means == PLAINLY ? w->c->nodes[i].port : w->c->nodes[NODES + i].port;
}

static void write_conf(struct wire *w, unsigned i)
{
    char small[300];
    char security[1800];
    char extra[2400];
    char listen[64] = "";

    small_conf(small, sizeof(small), 0);
    say_security(w, i, security, sizeof(security));
    if (w->means != PLAINLY)
        (void)snprintf(listen, sizeof(listen), "listen = tls://127.0.0.1:%u\n", client_port(w, i));
    (void)snprintf(extra, sizeof(extra), "%s%s%s", listen, small, security);
    (void)snprintf(w->confs[i], sizeof(w->confs[i]), "%s/of-n%u.conf", w->c->dir, i + 1);
    cluster_write_conf_to(w->c, w->confs[i], "test", extra);
    w->c->nodes[i].conf = w->confs[i];
}

static void found(struct wire *w)
{
    for (unsigned i = 0; i < NODES; i++)
        (void)snprintf(w->c->nodes[i].addr, sizeof(w->c->nodes[i].addr), "tcp://127.0.0.1:%u",
                       w->c->nodes[i].port);
    for (unsigned i = 0; i < NODES; i++) {
        cleanup_buf struct buf out = BUF_INIT;

        write_conf(w, i);
        expect_code(run_ridd(w->confs[i], w->c->nodes[i].name, &out, "--init", NULL), 0, &out);
    }
}

/* Nodes dial the relays, and know nothing of it. */
static void lay_relays(struct wire *w)
{
    size_t n = (size_t)snprintf(w->ports, sizeof(w->ports), "RIDD_SHIM_PORTS=");

    w->recorder = recorder_new();
    for (unsigned i = 0; i < NODES; i++) {
        const uint16_t to = w->c->nodes[i].peer_port;

        n += (size_t)snprintf(w->ports + n, sizeof(w->ports) - n, "%s%u=%u", i > 0 ? "," : "", to,
                              recorder_add(w->recorder, to));
    }
    shim_env_init(&w->env, w->ports);
    w->c->env = w->env.env;
}

/* It stays at the relays, whatever it is told of the nodes' own addresses. */
static void open_client(struct wire *w)
{
    const struct ridd_options options = {.timeout_ms = 20000, .flags = RIDD_FLAG_LISTED_ONLY};
    char ca[300];
    const struct ridd_tls by_secret = {.secret_file = w->secret_file, .cluster = "test"};
    const struct ridd_tls by_ca = {.ca_file = ca};
    char endpoints[300];
    size_t n = 0;

    for (unsigned i = 0; i < NODES; i++)
        n += (size_t)snprintf(endpoints + n, sizeof(endpoints) - n, "%s127.0.0.1:%u ",
                              w->means == PLAINLY ? "" : "tls://",
                              recorder_add(w->recorder, client_port(w, i)));
    (void)snprintf(ca, sizeof(ca), "%s/ca.pem", w->c->dir);
    assert_int_equal(ridd_open(endpoints, &options, &w->client), RIDD_OK);
    if (w->means != PLAINLY)
        assert_int_equal(
            ridd_set_tls(w->client, w->means == BY_SECRET ? &by_secret : &by_ca, NULL, 0), RIDD_OK);
}

static void up(struct wire *w, enum means means)
{
    memset(w, 0, sizeof(*w));
    w->means = means;
    w->c = cluster_new(2 * NODES, NULL);
    w->c->n = NODES;
    (void)snprintf(w->secret_file, sizeof(w->secret_file), "%s/secret", w->c->dir);
    file_write(w->secret_file, secret, strlen(secret));
    assert_int_equal(chmod(w->secret_file, 0600), 0);
    if (means == BY_CERTIFICATES)
        fake_certs_make(w->c->dir, "test");
    found(w);
    lay_relays(w);
    open_client(w);
    cluster_start(w->c);
}

static void down(struct wire *w)
{
    ridd_close(w->client);
    cluster_free(w->c);
    recorder_free(w->recorder);
}

/* ---- what is carried ---- */

static void expect_ok(struct ridd_reply *reply, bool reads)
{
    if (reply->status != RIDD_OK)
        harness_fail("%s: %s", ridd_status_name(reply->status), reply->text);
    if (reads)
        assert_string_equal(reply->string, value);
    ridd_reply_free(reply);
}

static void write_and_read(struct wire *w)
{
    static const enum ridd_via vias[] = {RIDD_VIA_DEFAULT, RIDD_VIA_READ_INDEX, RIDD_VIA_LOG,
                                         RIDD_VIA_FOLLOWER, RIDD_VIA_LOCAL};

    expect_ok(ridd_put_value(w->client, ridd_key(key), ridd_value_string(value)), false);
    (void)cluster_settle(w->c);
    for (size_t i = 0; i < sizeof(vias) / sizeof(vias[0]); i++)
        expect_ok(ridd_get(w->client, ridd_key(key), vias[i]), true);
}

/* Its log does not hold what was written: that comes with a snapshot. Flows from the result on are
 * of that. */
static unsigned bring_by_snapshot(struct wire *w)
{
    const unsigned late = (cluster_leader(w->c) + 1) % NODES;
    struct writers writers;
    unsigned first;

    node_kill(w->c, late);
    writers_init(&writers, w->c, 4, 8, "load", 10000);
    leave_behind(w->c, late, &writers);
    first = recorder_flows(w->recorder);
    node_start(w->c, late);
    wait_until(snap_of(w->c, late, "installed") == 1, "the snapshot to be installed");
    verify(&writers, w->c);
    expect_ok(ridd_get(w->client, ridd_key(key), RIDD_VIA_READ_INDEX), true);
    return first;
}

/* ---- cases ---- */

CASE(wire__without_tls_all_is_seen)
{
    struct wire w;
    unsigned first;

    up(&w, PLAINLY);
    write_and_read(&w);
    assert_true(recorder_find(w.recorder, 0, key) >= 3); /* a client's, and those of two peers */
    assert_true(recorder_find(w.recorder, 0, value) >= 3);
    assert_true(recorder_find(w.recorder, 0, "\"type\"") >= 1);
    first = bring_by_snapshot(&w);
    assert_true(recorder_find(w.recorder, first, key) >= 1);
    assert_true(recorder_find(w.recorder, first, value) >= 1);
    down(&w);
}

static void expect_unseen(enum means means)
{
    struct wire w;

    up(&w, means);
    write_and_read(&w);
    (void)bring_by_snapshot(&w);
    assert_true(recorder_bytes(w.recorder) > SEGMENT_BYTES);
    assert_int_equal(recorder_find(w.recorder, 0, key), 0);
    assert_int_equal(recorder_find(w.recorder, 0, value), 0);
    assert_int_equal(recorder_find(w.recorder, 0, "\"type\""), 0);
    down(&w);
}

CASE(wire__by_a_secret_nothing_is)
{
    expect_unseen(BY_SECRET);
}

CASE(wire__by_certificates_nothing_is)
{
    expect_unseen(BY_CERTIFICATES);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(wire__without_tls_all_is_seen),
        HARNESS_TEST(wire__by_a_secret_nothing_is),
        HARNESS_TEST(wire__by_certificates_nothing_is),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
