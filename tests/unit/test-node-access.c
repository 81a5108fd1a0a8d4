/* node: who may do what: on the local socket (ACCESS-2), and by certificates, secrets and tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "node/access.h"

static struct access base(void)
{
    return (struct access){
        .own = 500, .sees_all = true, .overflow_uid = 65534, .overflow_gid = 65534};
}

static void put(struct access *a, enum service_role role, enum conf_who_kind kind, uint32_t id,
                const char *name)
{
    struct access_list *l = &a->lists[role - 1];

    l->entries[l->n] = (struct access_entry){.kind = kind, .id = id};
    (void)snprintf(l->entries[l->n++].name, sizeof(l->entries[0].name), "%s", name);
}

static enum service_role role_of(const struct access *a, uid_t uid, gid_t gid, gid_t more)
{
    const gid_t groups[] = {7777, more};
    struct access_right right;

    access_judge(a, &(struct access_peer){uid, gid, groups, more != 0 ? 2 : 1}, &right);
    assert_int_equal(right.prefixed, 0);
    return right.role;
}

/* ---- the local socket ---- */

static void access__roles(void **state)
{
    struct access a = base();

    (void)state;
    assert_int_equal(role_of(&a, 0, 0, 0), SERVICE_ADMIN);
    assert_int_equal(role_of(&a, 500, 1, 0), SERVICE_ADMIN);
    assert_int_equal(role_of(&a, 1000, 1000, 0), SERVICE_NONE);
    put(&a, SERVICE_READ, CONF_WHO_USER, 1000, "alice");
    put(&a, SERVICE_WRITE, CONF_WHO_GROUP, 50, "ridd");
    put(&a, SERVICE_ADMIN, CONF_WHO_GROUP, 60, "ops");
    put(&a, SERVICE_ADMIN, CONF_WHO_USER, 1001, "bob");
    assert_int_equal(role_of(&a, 1000, 1000, 0), SERVICE_READ);
    assert_int_equal(role_of(&a, 1000, 50, 0), SERVICE_WRITE);
    assert_int_equal(role_of(&a, 1000, 1000, 50), SERVICE_WRITE); /* supplementary */
    assert_int_equal(role_of(&a, 1000, 50, 60), SERVICE_ADMIN);   /* the highest */
    assert_int_equal(role_of(&a, 1001, 1, 0), SERVICE_ADMIN);
    assert_int_equal(role_of(&a, 1002, 1, 0), SERVICE_NONE);
    assert_int_equal(role_of(&a, 50, 1, 0), SERVICE_NONE); /* a user is no group */
    assert_int_equal(role_of(&a, 1, 1000, 0), SERVICE_NONE);
    put(&a, SERVICE_READ, CONF_WHO_ANY, 0, "");
    assert_int_equal(role_of(&a, 1002, 1, 0), SERVICE_READ);
}

/* Where others have no numbers of their own, the one that all of them show is nobody's. */
static void access__in_a_user_namespace(void **state)
{
    struct access a = base();
    char who[128];

    (void)state;
    put(&a, SERVICE_WRITE, CONF_WHO_USER, 65534, "nobody");
    put(&a, SERVICE_ADMIN, CONF_WHO_GROUP, 65534, "nogroup");
    assert_int_equal(role_of(&a, 65534, 1, 0), SERVICE_WRITE);
    assert_int_equal(role_of(&a, 1, 65534, 0), SERVICE_ADMIN);
    a.sees_all = false;
    assert_int_equal(role_of(&a, 65534, 1, 0), SERVICE_NONE);
    assert_int_equal(role_of(&a, 1, 65534, 0), SERVICE_NONE);
    assert_int_equal(role_of(&a, 1, 1, 65534), SERVICE_NONE);
    a.own = 65534;
    assert_int_equal(role_of(&a, 65534, 1, 0), SERVICE_NONE);
    assert_int_equal(role_of(&a, 0, 0, 0), SERVICE_ADMIN);
    put(&a, SERVICE_READ, CONF_WHO_ANY, 0, "");
    assert_int_equal(role_of(&a, 65534, 65534, 0), SERVICE_READ);
    assert_non_null(strstr(access_who(&a, 65534, who, sizeof(who)), "cannot see"));
}

static struct conf *conf_of(const char *access)
{
    struct conf_problems problems;
    struct conf *c = calloc(1, sizeof(*c));
    char text[4000];

    assert_non_null(c);
    (void)snprintf(text, sizeof(text),
                   "[cluster]\nname = c\n[node]\nid = n1\ndata_dir = /tmp/d\n[peers]\n"
                   "n1 = 127.0.0.1:7000 127.0.0.1:7400\n[access]\n%s",
                   access);
    if (conf_parse("ridd.conf", text, strlen(text), "n1", true, c, &problems) != 0) {
        conf_problems_print(&problems, "ridd.conf", stderr);
        fail_msg("the file is wrong");
    }
    conf_problems_done(&problems);
    return c;
}

static void access__names(void **state)
{
    cleanup_free struct access_wanted *wanted = calloc(1, sizeof(*wanted));
    cleanup_free struct access *a = calloc(1, sizeof(*a));
    cleanup_free struct conf *conf =
        conf_of("unix_admin = user root, group 1234, any, user no-such-user-here\n"
                "r = write user root\nt = read group 4321 prefix a/\nu = read user no-such-one\n"
                "c = admin cert x.test\n");
    char who[SERVICE_WHO_BYTES];

    (void)state;
    assert_true(conf->unix_write.is_default);
    (void)snprintf(conf->unix_write.who[0].name, sizeof(conf->unix_write.who[0].name),
                   "no-such-group-here");
    access_want(conf, wanted);
    access_find(wanted, a);
    assert_int_equal(a->own, geteuid());
    assert_int_equal(a->lists[0].n, 0);
    assert_int_equal(a->lists[1].n, 0);
    assert_int_equal(a->lists[2].n, 3);
    assert_int_equal(a->lists[2].entries[0].id, 0);
    assert_int_equal(a->lists[2].entries[1].id, 1234);
    assert_int_equal(a->grants.n, 2); /* a certificate is of no local socket */
    assert_int_equal(a->grants.of[0].id, 0);
    assert_int_equal(a->grants.of[1].id, 4321);
    assert_string_equal(a->grants.of[1].prefix, "a/");
    assert_string_equal(a->unknown, "unix_admin: user no-such-user-here, u: user no-such-one");
    a->sees_all = true;
    assert_string_equal(access_who(a, 0, who, sizeof(who)), "uid 0 (root)");
    assert_string_equal(access_who(a, 1234, who, sizeof(who)), "uid 1234");
    access_find(NULL, a);
    assert_int_equal(a->own, geteuid());
    assert_int_equal(a->lists[2].n + a->grants.n, 0);
}

static void put_grant(struct access_grants *l, enum service_role role, enum conf_grant_kind kind,
                      uint32_t id, const char *prefix)
{
    struct access_grant *g = &l->of[l->n++];

    *g = (struct access_grant){.kind = kind, .role = role, .id = id, .has_prefix = prefix != NULL};
    (void)snprintf(g->name, sizeof(g->name), "line%u", l->n);
    (void)snprintf(g->who, sizeof(g->who), "%u", id);
    (void)snprintf(g->prefix, sizeof(g->prefix), "%s", prefix != NULL ? prefix : "");
}

static struct access_right right_of(const struct access *a, uid_t uid, gid_t gid)
{
    struct access_right right;

    access_judge(a, &(struct access_peer){uid, gid, NULL, 0}, &right);
    return right;
}

/* Beside the lists: what any line says of somebody counts. */
static void access__lines_on_the_local_socket(void **state)
{
    struct access a = base();
    struct service_grant got[CONF_GRANTS_MAX];
    struct access_right right;
    char who[SERVICE_WHO_BYTES];

    (void)state;
    put(&a, SERVICE_READ, CONF_WHO_USER, 1000, "alice");
    put_grant(&a.grants, SERVICE_WRITE, CONF_GRANT_USER, 1001, NULL);
    put_grant(&a.grants, SERVICE_WRITE, CONF_GRANT_USER, 1000, "a/");
    put_grant(&a.grants, SERVICE_READ, CONF_GRANT_GROUP, 50, "b/");
    put_grant(&a.grants, SERVICE_ADMIN, CONF_GRANT_GROUP, 60, NULL);
    right = right_of(&a, 1000, 1);
    assert_int_equal(right.role, SERVICE_READ);
    assert_int_equal(right.prefixed, 2);
    assert_int_equal(access_highest(&a.grants, &right), SERVICE_WRITE);
    assert_int_equal(access_prefixed(&a.grants, right.prefixed, got), 1);
    assert_int_equal(got[0].role, SERVICE_WRITE);
    assert_int_equal(got[0].prefix.len, 2);
    assert_memory_equal(got[0].prefix.data, "a/", 2);
    right = right_of(&a, 1000, 50);
    assert_int_equal(right.prefixed, 6);
    assert_int_equal(access_prefixed(&a.grants, right.prefixed, got), 2);
    right = right_of(&a, 1001, 60);
    assert_int_equal(right.role, SERVICE_ADMIN);
    right = right_of(&a, 1002, 50);
    assert_int_equal(right.role, SERVICE_NONE);
    assert_int_equal(right.prefixed, 4);
    right = right_of(&a, 50, 1001); /* a user is no group */
    assert_int_equal(right.role, SERVICE_NONE);
    assert_int_equal(right.prefixed, 0);
    put_grant(&a.grants, SERVICE_READ, CONF_GRANT_ANY, 0, NULL);
    assert_int_equal(right_of(&a, 1002, 1).role, SERVICE_READ);
    assert_int_equal(right_of(&a, 1001, 60).role, SERVICE_ADMIN); /* the highest, not the last */
    assert_string_equal(access_who(&a, 1001, who, sizeof(who)), "uid 1001 (line1)");
    /* The number of all strangers is nobody's (ACCESS-2). */
    a.sees_all = false;
    a.grants.n = 0;
    put_grant(&a.grants, SERVICE_WRITE, CONF_GRANT_USER, 65534, NULL);
    put_grant(&a.grants, SERVICE_WRITE, CONF_GRANT_GROUP, 65534, "x/");
    right = right_of(&a, 65534, 65534);
    assert_int_equal(right.role, SERVICE_NONE);
    assert_int_equal(right.prefixed, 0);
}

/* ---- addresses ---- */

static struct tls_identity cert(const char *names)
{
    struct tls_identity id = {.kind = TLS_CERTIFICATE};

    (void)snprintf(id.names, sizeof(id.names), "%s", names);
    return id;
}

static struct tls_identity secret(const char *name)
{
    struct tls_identity id = {.kind = TLS_SECRET};

    (void)snprintf(id.names, sizeof(id.names), "%s", name);
    return id;
}

static const struct tls_identity nobody = {.kind = TLS_NOBODY};

static struct access_right remote_right(const struct access_remote *a,
                                        const struct tls_identity *id, const unsigned char *hash)
{
    struct access_right right;

    access_judge_remote(a, &(struct access_caller){id, hash}, &right);
    return right;
}

static enum service_role remote_role(const struct access_remote *a, const struct tls_identity *id)
{
    const struct access_right right = remote_right(a, id, NULL);

    assert_int_equal(right.prefixed, 0);
    return right.role;
}

static struct access_remote *remote_of(const char *access)
{
    cleanup_free struct conf *conf = conf_of(access);
    struct access_remote *a = calloc(1, sizeof(*a));

    assert_non_null(a);
    access_of_addresses(conf, a);
    return a;
}

/* Where nobody is asked, whoever comes is admin; with the first line that asks, nobody is
 * (ACCESS-13). */
static void access__by_addresses(void **state)
{
    const struct tls_identity app1 = cert("other.test\napp1.test");
    const struct tls_identity ops = secret("ops");
    const struct tls_identity own = secret("");
    const struct tls_identity confused = secret("app1.test");
    const struct tls_identity named_ops = cert("ops");
    struct access_remote *a = remote_of("alice = read user 1000\n");

    (void)state;
    assert_false(a->asks);
    assert_int_equal(a->grants.n, 0); /* a user is of the local socket */
    assert_int_equal(remote_role(a, NULL), SERVICE_ADMIN);
    free(a);
    a = remote_of("app1 = write cert app1.test\nops = admin secret ops\nu = admin user 1000\n");
    assert_true(a->asks);
    assert_int_equal(a->grants.n, 2);
    assert_int_equal(remote_role(a, NULL), SERVICE_NONE);
    assert_int_equal(remote_role(a, &nobody), SERVICE_NONE);
    assert_int_equal(remote_role(a, &app1), SERVICE_WRITE);
    assert_int_equal(remote_role(a, &ops), SERVICE_ADMIN);
    assert_int_equal(remote_role(a, &own), SERVICE_ADMIN);
    /* A name of one kind is none of the other. */
    assert_int_equal(remote_role(a, &confused), SERVICE_NONE);
    assert_int_equal(remote_role(a, &named_ops), SERVICE_NONE);
    free(a);
    a = remote_of("all = read any\nother = write cert other.test prefix o/\n");
    assert_int_equal(remote_role(a, NULL), SERVICE_READ);
    assert_int_equal(remote_role(a, &nobody), SERVICE_READ);
    assert_int_equal(remote_right(a, &app1, NULL).role, SERVICE_READ);
    assert_int_equal(remote_right(a, &app1, NULL).prefixed, 2);
    free(a);
}

/* Neither a certificate without names nor one that shows nothing is the cluster's own secret. */
static void access__the_clusters_secret(void **state)
{
    const struct tls_identity unnamed = cert("");
    const struct tls_identity own = secret("");
    struct access_remote *a = remote_of("c = read cert x.test\n");

    (void)state;
    assert_int_equal(remote_role(a, &unnamed), SERVICE_NONE);
    assert_int_equal(remote_role(a, &nobody), SERVICE_NONE);
    assert_int_equal(remote_role(a, &own), SERVICE_ADMIN);
    free(a);
}

#define HASH_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HASH_B "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe"

static void access__by_token(void **state)
{
    static const unsigned char hash_a[ACCESS_HASH_BYTES] = {
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
        0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
        0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    const struct tls_identity app1 = cert("app1.test");
    unsigned char hash_b[ACCESS_HASH_BYTES];
    unsigned char first[ACCESS_HASH_BYTES];
    struct access_remote *a =
        remote_of("ci = write token " HASH_A " prefix ci/\n"
                  "app1 = read cert app1.test\nops = admin token " HASH_B "\n");
    struct access_right right;

    (void)state;
    memcpy(hash_b, hash_a, sizeof(hash_b));
    hash_b[ACCESS_HASH_BYTES - 1] = 0xfe;
    memcpy(first, hash_a, sizeof(first));
    first[0] = 1;
    assert_string_equal(access_find_token(a, hash_a)->name, "ci");
    assert_string_equal(access_find_token(a, hash_b)->name, "ops");
    assert_null(access_find_token(a, first));
    right = remote_right(a, &nobody, hash_a);
    assert_int_equal(right.role, SERVICE_NONE);
    assert_int_equal(right.prefixed, 1);
    right = remote_right(a, &app1, hash_a); /* both count */
    assert_int_equal(right.role, SERVICE_READ);
    assert_int_equal(right.prefixed, 1);
    assert_int_equal(access_highest(&a->grants, &right), SERVICE_WRITE);
    assert_int_equal(remote_right(a, &nobody, hash_b).role, SERVICE_ADMIN);
    assert_int_equal(remote_right(a, &nobody, first).role, SERVICE_NONE);
    assert_int_equal(remote_right(a, &nobody, NULL).role, SERVICE_NONE);
    free(a);
}

static void expect_who(const struct access_remote *a, const struct tls_identity *id,
                       const unsigned char *hash, enum service_identity kind, const char *want)
{
    enum service_identity got;
    char who[SERVICE_WHO_BYTES];

    assert_string_equal(
        access_who_remote(a, &(struct access_caller){id, hash}, &got, who, sizeof(who)), want);
    assert_int_equal(got, kind);
}

/* What is written of somebody is what they are known by, and nothing that they could write. */
static void access__words(void **state)
{
    static const unsigned char known[ACCESS_HASH_BYTES] = {1};
    static const unsigned char unknown[ACCESS_HASH_BYTES] = {2};
    const struct tls_identity two = cert("other.test\napp1.test");
    const struct tls_identity bad = cert("x' who='root\nx.test");
    const struct tls_identity ops = secret("ops");
    const struct tls_identity own = secret("");
    struct tls_identity longest = cert("");
    struct access_remote *a =
        remote_of("app1 = read cert app1.test\nops = admin secret ops\nci = read token "
                  "0100000000000000000000000000000000000000000000000000000000000000\n");
    enum service_identity kind;
    char who[SERVICE_WHO_BYTES];

    (void)state;
    expect_who(a, NULL, NULL, SERVICE_BY_NOBODY, "nobody (TCP)");
    expect_who(a, &nobody, NULL, SERVICE_BY_NOBODY,
               "nobody (TLS, without a certificate or secret)");
    expect_who(a, &two, NULL, SERVICE_BY_CERT, "certificate app1.test (app1)");
    expect_who(a, &bad, NULL, SERVICE_BY_CERT, "certificate x? who=?root");
    expect_who(a, &ops, NULL, SERVICE_BY_SECRET, "secret ops (ops)");
    expect_who(a, &own, NULL, SERVICE_BY_SECRET, "the secret of the cluster");
    expect_who(a, &nobody, known, SERVICE_BY_TOKEN, "token ci");
    expect_who(a, &ops, known, SERVICE_BY_TOKEN, "secret ops (ops), token ci");
    expect_who(a, &nobody, unknown, SERVICE_BY_TOKEN, "token that [access] knows no more");
    memset(longest.names, 'a', sizeof(longest.names) - 1);
    (void)access_who_remote(a, &(struct access_caller){&longest, known}, &kind, who, sizeof(who));
    assert_int_equal(strlen(who), sizeof(who) - 1);
    for (unsigned i = 0; i < SERVICE_N_IDENTITIES; i++)
        assert_non_null(service_identity_name((enum service_identity)i));
    free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access__roles),        cmocka_unit_test(access__in_a_user_namespace),
        cmocka_unit_test(access__names),        cmocka_unit_test(access__lines_on_the_local_socket),
        cmocka_unit_test(access__by_addresses), cmocka_unit_test(access__the_clusters_secret),
        cmocka_unit_test(access__by_token),     cmocka_unit_test(access__words),
    };

    return cmocka_run_group_tests_name("node-access", tests, NULL, NULL);
}
