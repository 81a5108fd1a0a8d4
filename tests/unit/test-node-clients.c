/* node: who a client is, how long its right stands, and what is counted and logged of it. The
 * connections are ours: what they are, and whom TLS says they are, the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/events.h"
#include "node/node_int.h"

/* ---- connections ---- */

struct client_conn {
    bool is_local;
    struct client_peer peer;
    bool has_identity;
    struct tls_identity identity;
    uint64_t mark;
    struct node_client own;
};

bool client_conn_peer(const struct client_conn *c, struct client_peer *ret)
{
    *ret = c->peer;
    return c->is_local;
}

gid_t *client_conn_groups(const struct client_conn *c, unsigned *ret_n)
{
    (void)c;
    *ret_n = 0;
    return NULL;
}

const struct tls_identity *client_conn_identity(const struct client_conn *c)
{
    return c->has_identity ? &c->identity : NULL;
}

bool client_conn_is_tls(const struct client_conn *c)
{
    return c->has_identity;
}

void client_conn_set_mark(struct client_conn *c, uint64_t mark)
{
    c->mark = mark;
}

uint64_t client_conn_mark(const struct client_conn *c)
{
    return c->mark;
}

void *client_conn_user(const struct client_conn *c)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): as the real one, which does not change it */
    return (void *)(uintptr_t)&c->own;
}

const char *client_conn_address(const struct client_conn *c)
{
    return c->is_local ? "unix:uid=1000,pid=42" : "10.0.0.9:50344";
}

/* ---- a node ---- */

#define TOKEN "ridd_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER "ridd_ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void hash_text(const char *token, char ret[65])
{
    unsigned char hash[ACCESS_HASH_BYTES];

    assert_int_equal(tls_token_hash(token, strlen(token), hash), 0);
    for (unsigned i = 0; i < sizeof(hash); i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

/* As a reload does, without threads. */
static void take(struct node *n, const char *access)
{
    cleanup_free struct conf *conf = calloc(1, sizeof(*conf));
    cleanup_free struct access_wanted *wanted = calloc(1, sizeof(*wanted));
    struct conf_problems problems;
    char text[2000];

    assert_true(conf != NULL && wanted != NULL);
    (void)snprintf(text, sizeof(text),
                   "[cluster]\nname = c\n[node]\nid = n1\ndata_dir = /tmp/d\n[peers]\n"
                   "n1 = 127.0.0.1:7000 127.0.0.1:7400\n[access]\n%s",
                   access);
    if (conf_parse("ridd.conf", text, strlen(text), "n1", true, conf, &problems) != 0) {
        conf_problems_print(&problems, "ridd.conf", stderr);
        fail_msg("the file is wrong");
    }
    conf_problems_done(&problems);
    access_of_addresses(conf, &n->access.remote);
    access_want(conf, wanted);
    access_find(wanted, &n->access.local);
    n->access.local.sees_all = true;
    n->access.local.own = 500;
    n->access.generation++;
}

static struct node *node_with(const char *access)
{
    struct node *n = calloc(1, sizeof(*n));

    assert_non_null(n);
    n->access.denied_limit =
        (struct log_limit){.window_us = ACCESS_LOG_WINDOW_US, .burst = ACCESS_LOG_BURST};
    n->access.failed_limit = n->access.denied_limit;
    take(n, access);
    return n;
}

static struct client_conn tls_conn(enum tls_identity_kind kind, const char *names)
{
    struct client_conn c = {.has_identity = true, .identity = {.kind = kind}};

    (void)snprintf(c.identity.names, sizeof(c.identity.names), "%s", names);
    return c;
}

static int show(struct node *n, struct client_conn *c, const char *token, const char *want_name,
                enum service_role want_role)
{
    struct service_who who;
    const int rc = node_client_auth(n, c, (struct wire_slice){token, strlen(token)}, &who);

    assert_string_equal(who.name, want_name);
    assert_int_equal(who.role, want_role);
    return rc;
}

/* The last line, of this event. */
static struct event last_event(const char *name)
{
    static struct event events[EVENTS_KEPT_MAX];
    struct events_range range;
    const unsigned n = events_get(0, EVENTS_KEPT_MAX, events, &range);

    assert_true(n > 0);
    assert_string_equal(events[n - 1].name, name);
    return events[n - 1];
}

/* ---- rights ---- */

/* ACCESS-3, of every kind: what the file said when it was opened is nothing. */
static void clients__a_reload_judges_each_anew(void **state)
{
    struct client_conn plain = {0};
    struct client_conn local = {.is_local = true, .peer = {.uid = 1000, .gid = 1000, .pid = 42}};
    struct client_conn cert = tls_conn(TLS_CERTIFICATE, "app1.test");
    struct client_conn secret = tls_conn(TLS_SECRET, "ops");
    struct node *n = node_with("unix_read = user 7\nunix_write = user 7\n");
    struct service_grant got[CONF_GRANTS_MAX];

    (void)state;
    assert_int_equal(node_client_role(n, &plain), SERVICE_ADMIN); /* nobody is asked */
    assert_int_equal(node_client_role(n, &local), SERVICE_NONE);
    take(n, "app1 = write cert app1.test\nops = admin secret ops\nal = read user 1000 prefix a/\n"
            "unix_read = user 7\nunix_write = user 7\n");
    assert_int_equal(node_client_role(n, &plain), SERVICE_NONE);
    assert_int_equal(node_client_grants(n, &plain, got), 0);
    assert_int_equal(node_client_role(n, &local), SERVICE_NONE);
    assert_int_equal(node_client_grants(n, &local, got), 1);
    assert_memory_equal(got[0].prefix.data, "a/", 2);
    assert_int_equal(node_client_role(n, &cert), SERVICE_WRITE);
    assert_int_equal(node_client_role(n, &secret), SERVICE_ADMIN);
    take(n, "x = read any\napp1 = write cert app1.test prefix a/\nunix_write = user 7\n");
    assert_int_equal(node_client_role(n, &plain), SERVICE_READ);
    assert_int_equal(node_client_role(n, &cert), SERVICE_READ);
    assert_int_equal(node_client_grants(n, &cert, got), 1);
    assert_int_equal(got[0].role, SERVICE_WRITE);
    assert_int_equal(node_client_role(n, &secret), SERVICE_READ);
    assert_int_equal(node_client_role(n, &local), SERVICE_READ);
    assert_int_equal(node_client_grants(n, &local, got), 0);
    free(n);
}

static struct tls_ctx *context_of(unsigned char fill, unsigned char ret_id[TLS_SECRET_ID_BYTES])
{
    struct tls_secrets secrets = {.n = 1, .of = {{.len = TLS_SECRET_BYTES_MIN}}};
    const struct tls_conf conf = {.use = TLS_CLIENTS, .cluster = "c", .secrets = &secrets};
    struct tls_ctx *ctx;

    memset(secrets.of[0].bytes, fill, TLS_SECRET_BYTES_MIN);
    assert_int_equal(tls_secret_id(&secrets.of[0], TLS_SECRET_CLIENT, "c", ret_id), 0);
    assert_int_equal(tls_ctx_new(&conf, &ctx), 0);
    return ctx;
}

/* ACCESS-15 */
static void clients__a_secret_that_is_taken_away(void **state)
{
    struct client_conn own = tls_conn(TLS_SECRET, "");
    struct client_conn ops = tls_conn(TLS_SECRET, "ops");
    struct node *n = node_with("ops = admin secret ops\n");
    struct tls_ctx *one = context_of(1, own.identity.secret_id);
    unsigned char other_id[TLS_SECRET_ID_BYTES];
    struct tls_ctx *other = context_of(2, other_id);

    (void)state;
    memcpy(ops.identity.secret_id, own.identity.secret_id, TLS_SECRET_ID_BYTES);
    n->tls.clients = one;
    assert_int_equal(node_client_role(n, &own), SERVICE_ADMIN);
    assert_int_equal(node_client_role(n, &ops), SERVICE_ADMIN);
    n->tls.clients = other;
    take(n, "ops = admin secret ops\n");
    assert_int_equal(node_client_role(n, &own), SERVICE_NONE);
    assert_int_equal(node_client_role(n, &ops), SERVICE_NONE);
    memcpy(ops.identity.secret_id, other_id, TLS_SECRET_ID_BYTES);
    take(n, "ops = admin secret ops\n");
    assert_int_equal(node_client_role(n, &ops), SERVICE_ADMIN);
    tls_ctx_unref(one);
    tls_ctx_unref(other);
    free(n);
}

/* Where the right did not change it is not looked for. */
static void clients__a_right_is_kept(void **state)
{
    struct client_conn cert = tls_conn(TLS_CERTIFICATE, "app1.test");
    struct node *n = node_with("app1 = write cert app1.test\n");

    (void)state;
    assert_int_equal(node_client_role(n, &cert), SERVICE_WRITE);
    n->access.remote.grants.n = 0; /* not as a reload does it */
    assert_int_equal(node_client_role(n, &cert), SERVICE_WRITE);
    free(n);
}

/* ---- tokens ---- */

static void clients__a_token_over_tls_alone(void **state)
{
    char text[400];
    char hash[65];
    struct client_conn plain = {0};
    struct client_conn local = {.is_local = true, .peer = {.uid = 0}};
    struct client_conn tls = tls_conn(TLS_NOBODY, "");
    struct node *n;
    struct event e;

    (void)state;
    hash_text(TOKEN, hash);
    (void)snprintf(text, sizeof(text), "ci = write token %s\n", hash);
    n = node_with(text);
    assert_int_equal(show(n, &plain, TOKEN, "nobody (TCP)", SERVICE_NONE), SERVICE_AUTH_PLAIN);
    e = last_event("access_auth_failed");
    assert_string_equal(e.text, "who='nobody (TCP)' address=10.0.0.9:50344 why='it came in the "
                                "clear' suppressed=0");
    assert_int_equal(node_client_role(n, &plain), SERVICE_NONE);
    assert_int_equal(show(n, &local, TOKEN, "uid 0 (root)", SERVICE_ADMIN), SERVICE_AUTH_LOCAL);
    assert_int_equal(n->access.n_auth_failed, 2);
    assert_int_equal(show(n, &tls, TOKEN, "token ci", SERVICE_WRITE), 0);
    assert_int_equal(n->access.n_auth_failed, 2);
    assert_int_equal(node_client_role(n, &tls), SERVICE_WRITE);
    assert_null(memmem(&tls.own, sizeof(tls.own), TOKEN, 12)); /* ACCESS-12 */
    free(n);
}

/* The last good one counts, as long as the file has it (ACCESS-12). */
static void clients__the_last_good_token(void **state)
{
    char text[400];
    char hash[65];
    char other[65];
    struct client_conn c = tls_conn(TLS_CERTIFICATE, "app1.test");
    struct service_grant got[CONF_GRANTS_MAX];
    struct event e;
    struct node *n;

    (void)state;
    hash_text(TOKEN, hash);
    hash_text(OTHER, other);
    (void)snprintf(text, sizeof(text),
                   "app1 = read cert app1.test\nci = write token %s prefix ci/\nops = admin token "
                   "%s\n",
                   hash, other);
    n = node_with(text);
    assert_int_equal(node_client_role(n, &c), SERVICE_READ);
    assert_int_equal(show(n, &c, TOKEN, "certificate app1.test (app1), token ci", SERVICE_WRITE),
                     0);
    assert_int_equal(node_client_role(n, &c), SERVICE_READ);
    assert_int_equal(node_client_grants(n, &c, got), 1);
    assert_int_equal(show(n, &c, OTHER, "certificate app1.test (app1), token ops", SERVICE_ADMIN),
                     0);
    assert_int_equal(node_client_role(n, &c), SERVICE_ADMIN);
    assert_int_equal(node_client_grants(n, &c, got), 0); /* the one before is forgotten */
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(
            show(n, &c, "ridd_0", "certificate app1.test (app1), token ops", SERVICE_ADMIN),
            SERVICE_AUTH_WRONG);
    assert_int_equal(n->access.n_auth_failed, 7);
    e = last_event("access_auth_failed");
    assert_non_null(strstr(e.text, "why='no such token'"));
    assert_null(strstr(e.text, "ridd_0"));
    assert_int_equal(node_client_role(n, &c), SERVICE_ADMIN);
    take(n, "app1 = read cert app1.test\n");
    assert_int_equal(node_client_role(n, &c), SERVICE_READ);
    take(n, text);
    assert_int_equal(node_client_role(n, &c), SERVICE_ADMIN);
    free(n);
}

/* ---- what is told ---- */

static void clients__denials_are_counted_and_told(void **state)
{
    const struct wire_request q = {.type = WIRE_REQ_WRITE};
    const struct service_denial denial = {.request = &q, .needed = SERVICE_WRITE};
    const struct service_denial by_prefix = {
        .request = &q, .needed = SERVICE_WRITE, .by_prefix = true};
    struct client_conn conns[] = {
        {.is_local = true, .peer = {.uid = 1000, .gid = 1000, .pid = 42}},
        tls_conn(TLS_CERTIFICATE, "app1.test"),
        tls_conn(TLS_SECRET, "ops"),
        tls_conn(TLS_NOBODY, ""),
        tls_conn(TLS_NOBODY, ""),
    };
    struct node *n = node_with("app1 = read cert app1.test\n");
    cleanup_buf struct buf out = BUF_INIT;
    struct wire_reply w;
    char who[SERVICE_WHO_BYTES];
    struct event e;

    (void)state;
    conns[3].own.has_token = true;
    for (unsigned i = 0; i < SERVICE_N_IDENTITIES; i++) {
        node_client_denied(n, &conns[i], &denial, who, sizeof(who));
        assert_int_equal(n->access.n_denied[i], 1);
    }
    e = last_event("access_denied");
    assert_string_equal(e.text, "who='nobody (TLS, without a certificate or secret)' "
                                "identity=nobody address=10.0.0.9:50344 request=write "
                                "needed=write why=role suppressed=0");
    n->access.denied_limit = (struct log_limit){.window_us = 1, .burst = 1};
    node_client_denied(n, &conns[0], &by_prefix, who, sizeof(who));
    assert_string_equal(who, "uid 1000");
    e = last_event("access_denied");
    assert_string_equal(e.text, "who='uid 1000' identity=unix address=unix:uid=1000,pid=42 "
                                "request=write needed=write why=prefix suppressed=0");
    n->access.n_auth_failed = 3;
    wire_reply_begin(&w, &out, &(struct wire_origin){0}, false, 0, "x");
    node_access_status(n, &w);
    assert_int_equal(wire_reply_end(&w), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    assert_non_null(strstr((const char *)out.data,
                           "\"denied\":6,\"denied_by\":{\"unix\":2,\"cert\":1,\"secret\":1,"
                           "\"token\":1,\"nobody\":1},\"auth_failed\":3"));
    free(n);
}

/* ACCESS-11: each is told, however many. */
static void clients__what_admins_do(void **state)
{
    struct client_conn secret = tls_conn(TLS_SECRET, "");
    const struct wire_request replace = {.type = WIRE_REQ_MEMBER_REPLACE,
                                         .member = {.id = {"n4", 2},
                                                    .old = {"n3' who='x\n", 11},
                                                    .peer_addr = {"h:1", 3},
                                                    .client_addr = {"h:2", 3},
                                                    .dry_run = true}};
    const struct wire_request part = {.type = WIRE_REQ_SNAPSHOT_PART, .part = {.index = 9}};
    const struct wire_request transfer = {.type = WIRE_REQ_TRANSFER_LEADER};
    struct node *n = node_with("app1 = read cert app1.test\n");
    struct event e;
    uint64_t before;

    (void)state;
    node_client_admin(n, &secret, &replace);
    e = last_event("access_admin");
    assert_int_equal(e.level, LOG_INFO);
    assert_string_equal(e.text, "who='the secret of the cluster' identity=secret "
                                "address=10.0.0.9:50344 request=member_replace names='id=n4 "
                                "old=n3? who=?x? peer_addr=h:1 client_addr=h:2 dry_run=yes'");
    node_client_admin(n, &secret, &part);
    e = last_event("access_admin");
    assert_non_null(strstr(e.text, "request=snapshot_part names='index=9'"));
    before = last_event("access_admin").seq;
    for (unsigned i = 0; i < 50; i++)
        node_client_admin(n, &secret, &transfer);
    e = last_event("access_admin");
    assert_int_equal(e.seq - before, 50);
    assert_non_null(strstr(e.text, "request=transfer_leader names=''"));
    free(n);
}

static uint64_t seal_of(const struct node *n, struct client_conn *c, unsigned char key_byte,
                        uint64_t client)
{
    unsigned char key[16];
    uint64_t seal = 0;

    memset(key, key_byte, sizeof(key));
    assert_true(node_seal(n, c, key, client, &seal));
    return seal;
}

/* ACCESS-16: of one client, one session and one cluster; the same whenever the client comes again,
 * and to whichever node. */
static void clients__a_seal_is_of_one_client(void **state)
{
    struct client_conn plain = {0};
    struct client_conn bob = {.is_local = true, .peer = {.uid = 1000, .gid = 1000, .pid = 42}};
    struct client_conn eve = {.is_local = true, .peer = {.uid = 100, .gid = 1000, .pid = 42}};
    struct client_conn cert = tls_conn(TLS_CERTIFICATE, "app1");
    struct client_conn other = tls_conn(TLS_CERTIFICATE, "app1.x");
    struct client_conn secret = tls_conn(TLS_SECRET, "app1");
    struct client_conn bare = tls_conn(TLS_NOBODY, "");
    struct client_conn with_token = tls_conn(TLS_CERTIFICATE, "app1");
    struct client_conn *const all[] = {&plain, &bob, &eve, &cert, &other, &secret, &with_token};
    const unsigned n_all = sizeof(all) / sizeof(all[0]);
    char hash[65];
    char access[200];
    uint64_t seals[7];
    struct node *n;

    (void)state;
    hash_text(TOKEN, hash);
    (void)snprintf(access, sizeof(access), "ci = write token %s prefix ci/\n", hash);
    n = node_with(access);
    assert_int_equal(show(n, &with_token, TOKEN, "certificate app1, token ci", SERVICE_WRITE), 0);
    for (unsigned i = 0; i < n_all; i++) {
        seals[i] = seal_of(n, all[i], 1, 4711);
        for (unsigned k = 0; k < i; k++)
            assert_true(seals[i] != seals[k]);
        assert_true(seals[i] != seal_of(n, all[i], 1, 4712));
        assert_true(seals[i] != seal_of(n, all[i], 2, 4711));
    }
    assert_true(seal_of(n, &bare, 1, 4711) == seals[0]); /* nobody is nobody */
    bob.peer.pid = 43;
    take(n, "x = read any\n");
    for (unsigned i = 0; i + 1 < n_all; i++)
        assert_true(seal_of(n, all[i], 1, 4711) == seals[i]);
    /* A token that is taken away is nobody's. */
    assert_true(seal_of(n, &with_token, 1, 4711) == seals[3]);
    free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients__a_reload_judges_each_anew),
        cmocka_unit_test(clients__a_secret_that_is_taken_away),
        cmocka_unit_test(clients__a_right_is_kept),
        cmocka_unit_test(clients__a_token_over_tls_alone),
        cmocka_unit_test(clients__the_last_good_token),
        cmocka_unit_test(clients__denials_are_counted_and_told),
        cmocka_unit_test(clients__what_admins_do),
        cmocka_unit_test(clients__a_seal_is_of_one_client),
    };

    return cmocka_run_group_tests_name("node-clients", tests, NULL, NULL);
}
