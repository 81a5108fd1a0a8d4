/* service: who may what. Each type of request is tried with each role, for all keys and for those
 * of a prefix, with keys that are inside of it and outside (ACCESS-1, ACCESS-10). */
#include "test-service-util.h"

#include <errno.h>

#include "wire/request_int.h" /* which types name keys */

/* ---- a host that says what a connection may do ---- */

static enum service_role role_for_all;
static unsigned n_grants;
static struct service_grant grants[CONF_GRANTS_MAX];
static unsigned n_grants_asked;
static struct service_denial last_denial;
static unsigned n_denied;
static unsigned n_told;
static int auth_outcome;
static char auth_token[256];
static uint64_t seal_of_client;

static enum service_role the_role(void *ctx, void *conn)
{
    (void)ctx;
    (void)conn;
    return role_for_all;
}

static unsigned the_grants(void *ctx, void *conn, struct service_grant ret[CONF_GRANTS_MAX])
{
    (void)ctx;
    (void)conn;
    n_grants_asked++;
    memcpy(ret, grants, n_grants * sizeof(grants[0]));
    return n_grants;
}

static void the_denial(void *ctx, void *conn, const struct service_denial *denial, char *ret_who,
                       size_t size)
{
    (void)ctx;
    (void)conn;
    last_denial = *denial;
    n_denied++;
    (void)snprintf(ret_who, size, "certificate app1.test (app1)");
}

static void the_admin(void *ctx, void *conn, const struct wire_request *q)
{
    (void)ctx;
    (void)conn;
    assert_int_equal(service_role_needed(q), SERVICE_ADMIN);
    n_told++;
}

static int the_auth(void *ctx, void *conn, struct wire_slice token, struct service_who *ret)
{
    (void)ctx;
    (void)conn;
    (void)snprintf(auth_token, sizeof(auth_token), "%.*s", (int)token.len, token.data);
    *ret = (struct service_who){.name = "token ci", .role = SERVICE_WRITE};
    return auth_outcome;
}

static bool the_seal(void *ctx, void *conn, uint64_t client, uint64_t *ret)
{
    (void)ctx;
    (void)conn;
    *ret = client + seal_of_client;
    return seal_of_client != 0;
}

static void begin(struct host *h, struct conn *c)
{
    struct service_ops *ops;

    host_init(h, 1, "00c0ffee00c0ffee");
    ops = &h->services[0]->ops;
    ops->role = the_role;
    ops->grants = the_grants;
    ops->denied = the_denial;
    ops->admin = the_admin;
    ops->auth = the_auth;
    ops->seal = the_seal;
    conn_open(c, h, 0);
    role_for_all = SERVICE_NONE;
    n_grants = 0;
    n_denied = 0;
    n_told = 0;
}

static void end(struct host *h, struct conn *c)
{
    conn_close(c);
    host_done(h);
}

static void grant(enum service_role role, const char *prefix)
{
    grants[n_grants++] = (struct service_grant){role, {prefix, strlen(prefix)}};
}

/* Whether it may, and whether it was told in one line if not. */
static bool may(struct conn *c, const char *line)
{
    struct service *s = c->sc->service;
    bool ret;

    if (wire_request_decode(s->decoder, line, strlen(line), &s->request, &s->refused) != 0)
        fail_msg("%s: %s", line, s->refused.text);
    ret = service_may(c->sc, &s->request);
    if (!ret) {
        cleanup_free char *got = take(c);

        assert_non_null(got);
        assert_non_null(strstr(got, "\"error\":\"denied\",\"definite\":true,\"role\":\""));
    }
    assert_int_equal(c->out.len, 0);
    return ret;
}

/* ---- the table ---- */

struct row {
    enum service_role role;
    enum service_reach reach;
    const char *inside; /* with keys below app1/, or without any */
    const char *outside[6];
};

#define OF_ONE_KEY(type, more)                                                                     \
    "{\"type\":\"" type "\",\"key\":\"app1/x\"" more "}",                                          \
    {                                                                                              \
        "{\"type\":\"" type "\",\"key\":\"app2/x\"" more "}",                                      \
            "{\"type\":\"" type "\",\"key\":\"app1\"" more "}",                                    \
            "{\"type\":\"" type "\",\"key\":\"xapp1/\"" more "}",                                  \
            "{\"type\":\"" type "\",\"key\":7" more "}",                                           \
    }
#define MEMBER(type, more) "{\"type\":\"" type "\",\"id\":\"n4\"" more "}"
#define ADDRS              ",\"peer_addr\":\"h:1\",\"client_addr\":\"h:2\""
#define BATCH(keys)        "{\"type\":\"batch_read_index\",\"keys\":[" keys "]}"
#define SCAN(range)        "{\"type\":\"scan\"" range "}"

/* clang-format off */
static const struct row rows[] = {
    [WIRE_REQ_READ_INDEX] = {SERVICE_READ, SERVICE_KEYS, OF_ONE_KEY("read_index", "")},
    [WIRE_REQ_READ_VIA_LOG] = {SERVICE_READ, SERVICE_KEYS, OF_ONE_KEY("read_via_log", "")},
    [WIRE_REQ_COMPARE] = {SERVICE_READ, SERVICE_WHOLE,
                          "{\"type\":\"compare_read_methods\",\"num_reads\":1000}", {NULL}},
    [WIRE_REQ_BATCH_READ_INDEX] =
        {SERVICE_READ, SERVICE_KEYS, BATCH("\"app1/x\",\"app1/y\""),
         {BATCH("\"app2/x\""), BATCH("\"app1/x\",\"app2/y\""), BATCH("\"app2/x\",\"app1/y\""),
          BATCH("\"app1/x\",7,\"app1/y\"")}},
    [WIRE_REQ_FOLLOWER_READ] = {SERVICE_READ, SERVICE_KEYS, OF_ONE_KEY("follower_read", "")},
    [WIRE_REQ_LEASE_READ] = {SERVICE_READ, SERVICE_KEYS, OF_ONE_KEY("lease_read", "")},
    [WIRE_REQ_LOCAL_READ] = {SERVICE_READ, SERVICE_KEYS, OF_ONE_KEY("local_read", "")},
    [WIRE_REQ_READ] = {SERVICE_READ, SERVICE_KEYS, OF_ONE_KEY("read", ",\"via\":\"local\"")},
    [WIRE_REQ_SCAN] = {SERVICE_READ, SERVICE_KEYS, SCAN(",\"prefix\":\"app1/\""),
                       {SCAN(""), SCAN(",\"prefix\":\"app1\""), SCAN(",\"start\":\"app1/\""),
                        SCAN(",\"end\":\"app1/x\""), SCAN(",\"int_keys\":true"),
                        SCAN(",\"prefix\":\"app2/\"")}},
    [WIRE_REQ_WRITE] = {SERVICE_WRITE, SERVICE_KEYS, OF_ONE_KEY("write", ",\"value\":1")},
    [WIRE_REQ_CAS] = {SERVICE_WRITE, SERVICE_KEYS, OF_ONE_KEY("cas", ",\"from\":1,\"to\":2")},
    [WIRE_REQ_DELETE] = {SERVICE_WRITE, SERVICE_KEYS, OF_ONE_KEY("delete", "")},
    [WIRE_REQ_OPEN_SESSION] = {SERVICE_WRITE, SERVICE_NO_KEY, "{\"type\":\"open_session\"}", {NULL}},
    [WIRE_REQ_INIT] = {SERVICE_ADMIN, SERVICE_WHOLE,
                       "{\"type\":\"init\",\"node_id\":\"n1\",\"node_ids\":[\"n1\"]}", {NULL}},
    [WIRE_REQ_PING] = {SERVICE_READ, SERVICE_NO_KEY, "{\"type\":\"ping\"}", {NULL}},
    [WIRE_REQ_STATUS] = {SERVICE_READ, SERVICE_NO_KEY, "{\"type\":\"status\"}", {NULL}},
    [WIRE_REQ_EVENTS] = {SERVICE_READ, SERVICE_WHOLE, "{\"type\":\"events\"}", {NULL}},
    [WIRE_REQ_SLOW] = {SERVICE_READ, SERVICE_WHOLE, "{\"type\":\"slow\"}", {NULL}},
    [WIRE_REQ_MEMBERS] = {SERVICE_READ, SERVICE_NO_KEY, "{\"type\":\"members\"}", {NULL}},
    [WIRE_REQ_TRANSFER_LEADER] = {SERVICE_ADMIN, SERVICE_WHOLE,
                                  "{\"type\":\"transfer_leader\",\"to\":\"n2\"}", {NULL}},
    [WIRE_REQ_SNAPSHOT] = {SERVICE_ADMIN, SERVICE_WHOLE, "{\"type\":\"snapshot\"}", {NULL}},
    [WIRE_REQ_SNAPSHOT_PART] = {SERVICE_ADMIN, SERVICE_WHOLE, "{\"type\":\"snapshot_part\"}",
                                {NULL}},
    [WIRE_REQ_MEMBER_ADD] = {SERVICE_ADMIN, SERVICE_WHOLE, MEMBER("member_add", ADDRS), {NULL}},
    [WIRE_REQ_MEMBER_REMOVE] = {SERVICE_ADMIN, SERVICE_WHOLE, MEMBER("member_remove", ""), {NULL}},
    [WIRE_REQ_MEMBER_PROMOTE] = {SERVICE_ADMIN, SERVICE_WHOLE, MEMBER("member_promote", ""), {NULL}},
    [WIRE_REQ_MEMBER_DEMOTE] = {SERVICE_ADMIN, SERVICE_WHOLE, MEMBER("member_demote", ""), {NULL}},
    [WIRE_REQ_MEMBER_SET_ADDR] = {SERVICE_ADMIN, SERVICE_WHOLE, MEMBER("member_set_addr", ADDRS),
                                  {NULL}},
    [WIRE_REQ_MEMBER_REPLACE] = {SERVICE_ADMIN, SERVICE_WHOLE,
                                 MEMBER("member_replace", ADDRS ",\"old\":\"n3\""), {NULL}},
    [WIRE_REQ_MEMBER_REJOIN] = {SERVICE_ADMIN, SERVICE_WHOLE, MEMBER("member_rejoin", ""), {NULL}},
    [WIRE_REQ_AUTH] = {SERVICE_NONE, SERVICE_NO_KEY, "{\"type\":\"auth\",\"token\":\"t\"}", {NULL}},
    [WIRE_REQ_UNKNOWN] = {SERVICE_READ, SERVICE_NO_KEY, "{\"type\":\"fly\"}", {NULL}},
    /* No client can ask for it: its type is what a host of its own says. */
    [WIRE_REQ_PEER] = {SERVICE_READ, SERVICE_NO_KEY, "{\"type\":\"frame\"}", {NULL}},
};
/* clang-format on */
static_assert(sizeof(rows) / sizeof(rows[0]) == WIRE_REQ_PEER + 1,
              "each type of request needs a row here");

/* ACCESS-1: a type that has no row fails here. */
static void access__each_type_has_a_row(void **state)
{
    struct wire_request q = {.num_reads = 1};

    (void)state;
    for (unsigned type = WIRE_REQ_READ_INDEX; type <= WIRE_REQ_PEER; type++) {
        const char *name = wire_request_type_name((enum wire_request_type)type);
        const unsigned fields = wire_request_type_fields((enum wire_request_type)type);

        q.type = (enum wire_request_type)type;
        if (service_reach_of(q.type) == SERVICE_NO_ROW)
            fail_msg("'%s' needs a row in service/access.c", name);
        if (rows[type].inside == NULL)
            fail_msg("'%s' needs a row here", name);
        if (service_role_needed(&q) != rows[type].role ||
            service_reach_of(q.type) != rows[type].reach)
            fail_msg("'%s' is not as this table has it", name);
        /* A type that names keys, or may name them one day, is judged by them (ACCESS-10). */
        if (((fields & (FIELD_KEY | FIELD_KEYS | FIELD_SCAN)) != 0) !=
            (rows[type].reach == SERVICE_KEYS))
            fail_msg("'%s' names keys, and its reach says nothing of that", name);
    }
    q.type = (enum wire_request_type)0; /* one without a row */
    assert_int_equal(service_reach_of(q.type), SERVICE_NO_ROW);
    assert_int_equal(service_role_needed(&q), SERVICE_ADMIN);
    q.type = (enum wire_request_type)(WIRE_REQ_PEER + 1);
    assert_int_equal(service_role_needed(&q), SERVICE_ADMIN);
    q.type = WIRE_REQ_COMPARE;
    q.num_reads = 1000;
    assert_int_equal(service_role_needed(&q), SERVICE_READ);
    q.num_reads = 1001;
    assert_int_equal(service_role_needed(&q), SERVICE_ADMIN);
}

static void expect(struct conn *c, const char *line, bool allowed, const char *how,
                   enum service_role role)
{
    if (may(c, line) != allowed)
        fail_msg("%s with role '%s' %s must be %s", line, service_role_name(role), how,
                 allowed ? "allowed" : "denied");
}

static void try_row(struct conn *c, const struct row *row, enum service_role role)
{
    const bool enough = role >= row->role;
    const bool in_part = enough && row->reach != SERVICE_WHOLE;

    role_for_all = role;
    n_grants = 0;
    n_grants_asked = 0;
    expect(c, row->inside, enough, "for all keys", role);
    for (unsigned i = 0; i < 6 && row->outside[i] != NULL; i++)
        expect(c, row->outside[i], enough, "for all keys", role);
    if (enough)
        assert_int_equal(n_grants_asked, 0); /* one comparison, and no more */
    role_for_all = SERVICE_NONE;
    grant(role, "app1/");
    expect(c, row->inside, in_part, "below app1/, inside,", role);
    for (unsigned i = 0; i < 6 && row->outside[i] != NULL; i++)
        expect(c, row->outside[i], false, "below app1/, outside,", role);
}

static void access__roles_by_types_by_prefixes(void **state)
{
    struct host h;
    struct conn c;

    (void)state;
    begin(&h, &c);
    for (unsigned type = WIRE_REQ_READ_INDEX; type <= WIRE_REQ_PEER; type++)
        for (unsigned role = SERVICE_NONE; role <= SERVICE_ADMIN; role++)
            try_row(&c, &rows[type], (enum service_role)role);
    end(&h, &c);
}

/* ---- prefixes ---- */

/* A scan is inside as a whole, or it is denied: never cut down to what is (ACCESS-10). */
static void access__a_scan_lies_within_a_prefix(void **state)
{
    static const struct {
        const char *range;
        bool allowed;
    } scans[] = {
        {",\"prefix\":\"app1/\"", true},
        {",\"prefix\":\"app1/sub/\"", true},
        {",\"prefix\":\"app1/\",\"after\":\"app1/x\"", true},
        {",\"prefix\":\"app1/\",\"after\":\"app1x\"", false},
        {",\"start\":\"app1/\",\"end\":\"app1/z\"", true},
        {",\"start\":\"app1/\",\"end\":\"app1/\"", true},
        {",\"start\":\"app1/x\",\"end\":\"app10\"", true}, /* '0' is what comes behind '/' */
        {",\"start\":\"app1/x\",\"end\":\"app10a\"", false},
        {",\"start\":\"app1/x\",\"end\":\"app11\"", false},
        {",\"start\":\"app1/x\",\"end\":\"app2\"", false},
        {",\"start\":\"app1\",\"end\":\"app1/z\"", false},
        {",\"start\":\"app1.\",\"end\":\"app1/z\"", false},
        {",\"start\":\"app1.\",\"end\":\"app1/z\",\"after\":\"app1/a\"",
         true},                                             /* it goes on there */
        {",\"start\":\"app1/z\",\"end\":\"app1/a\"", true}, /* nothing is in it */
        {",\"start\":\"app1/a\",\"end\":\"a\"", false},
        {",\"start\":\"app1/a\"", false},
        {",\"start\":\"\",\"end\":\"\"", false},
        {",\"prefix\":\"\"", false},
        {",\"int_keys\":true,\"start\":1,\"end\":2", false},
        {",\"prefix\":\"\\u0061pp1\\/\"", true}, /* the same string, written otherwise */
    };
    struct host h;
    struct conn c;
    char line[256];

    (void)state;
    begin(&h, &c);
    grant(SERVICE_READ, "app1/");
    for (size_t i = 0; i < sizeof(scans) / sizeof(scans[0]); i++) {
        (void)snprintf(line, sizeof(line), "{\"type\":\"scan\"%s}", scans[i].range);
        expect(&c, line, scans[i].allowed, "below app1/", SERVICE_READ);
    }
    /* All string keys; integers are none. */
    n_grants = 0;
    grant(SERVICE_READ, "");
    expect(&c, "{\"type\":\"scan\"}", true, "of all strings", SERVICE_READ);
    expect(&c, "{\"type\":\"scan\",\"prefix\":\"x\"}", true, "of all strings", SERVICE_READ);
    expect(&c, "{\"type\":\"scan\",\"int_keys\":true}", false, "of all strings", SERVICE_READ);
    expect(&c, "{\"type\":\"read\",\"key\":-1}", false, "of all strings", SERVICE_READ);
    end(&h, &c);
}

static void access__grants_add_up(void **state)
{
    struct host h;
    struct conn c;

    (void)state;
    begin(&h, &c);
    grant(SERVICE_WRITE, "a/");
    grant(SERVICE_READ, "b/");
    assert_true(may(&c, BATCH("\"a/1\",\"b/1\"")));
    assert_false(may(&c, BATCH("\"a/1\",\"b/1\",\"c/1\"")));
    assert_true(may(&c, "{\"type\":\"delete\",\"key\":\"a/1\"}"));
    assert_false(may(&c, "{\"type\":\"delete\",\"key\":\"b/1\"}"));
    assert_true(last_denial.by_prefix);
    assert_false(may(&c, "{\"type\":\"scan\",\"start\":\"a/1\",\"end\":\"b/1\"}"));
    assert_true(may(&c, "{\"type\":\"read\",\"key\":\"\\u0062\\/1\"}"));
    /* All keys may be read, some be written. */
    role_for_all = SERVICE_READ;
    assert_true(may(&c, "{\"type\":\"read\",\"key\":7}"));
    assert_true(may(&c, "{\"type\":\"delete\",\"key\":\"a/1\"}"));
    assert_false(may(&c, "{\"type\":\"delete\",\"key\":\"c/1\"}"));
    /* An admin of a prefix is no admin, and writes there. */
    n_grants = 0;
    role_for_all = SERVICE_NONE;
    grant(SERVICE_ADMIN, "a/");
    assert_false(may(&c, "{\"type\":\"snapshot\"}"));
    assert_true(may(&c, "{\"type\":\"delete\",\"key\":\"a/1\"}"));
    assert_int_equal(n_told, 0);
    end(&h, &c);
}

/* ACCESS-16: who may not write all keys has no session but its own, by which alone its seal is. */
static void access__a_session_is_its_clients_own(void **state)
{
    static const struct {
        const char *client;
        bool is_own;
    } ids[] = {
        {"4711", false},                     /* the number alone */
        {"471100000000000000005711", true},  /* and the seal, 1000 above it */
        {"471200000000000000005712", true},  /* likewise */
        {"471200000000000000005711", false}, /* of another number */
        {"47110000000000000005711", false},  /* a digit is missing: number 471 */
        {"47111234", false},
    };
    struct host h;
    struct conn c;
    char line[256];

    (void)state;
    begin(&h, &c);
    grant(SERVICE_WRITE, "app1/");
    seal_of_client = 1000;
    for (unsigned i = 0; i < 2 * (unsigned)(sizeof(ids) / sizeof(ids[0])); i++) {
        const char *id = ids[i / 2].client;
        const bool writes_all = i % 2 != 0;
        cleanup_free char *got = NULL;
        struct service *s = c.sc->service;

        role_for_all = writes_all ? SERVICE_WRITE : SERVICE_READ;
        (void)snprintf(line, sizeof(line),
                       "{\"type\":\"delete\",\"key\":\"app1/x\",\"client\":\"%s\",\"seq\":1}", id);
        if (wire_request_decode(s->decoder, line, strlen(line), &s->request, &s->refused) != 0)
            fail_msg("%s: %s", line, s->refused.text);
        if (service_may(c.sc, &s->request) != (writes_all || ids[i / 2].is_own))
            fail_msg("%s", line);
        got = take(&c);
        assert_int_equal(got != NULL, !writes_all && !ids[i / 2].is_own);
        if (got != NULL) /* not definite: a try before may have been applied */
            assert_non_null(strstr(got, "\"error\":\"session_expired\",\"definite\":false"));
    }
    end(&h, &c);
}

/* ACCESS-16: a session that is opened is given with its seal to who needs one, and to nobody else. */
static void access__a_session_is_given_with_its_seal(void **state)
{
    static const struct {
        enum service_role role;
        uint64_t seal;
        const char *client;
    } opened[] = {
        {SERVICE_READ, 1000, "\"client\":\"300000000000000001003\"}"},
        {SERVICE_NONE, UINT64_MAX - 4, "\"client\":\"418446744073709551615\"}"},
        {SERVICE_WRITE, 1000, "\"client\":\"5\"}"},
        {SERVICE_NONE, 0, "\"client\":\"6\"}"}, /* there is none: it is of no use */
    };
    struct host h;
    struct conn c;

    (void)state;
    begin(&h, &c);
    assert_int_equal(fx_elect(&h.fx), 0);
    grant(SERVICE_WRITE, "app1/");
    for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
        cleanup_free char *got = NULL;

        role_for_all = opened[i].role;
        seal_of_client = opened[i].seal;
        say(&c, "{\"type\":\"open_session\",\"msg_id\":1}");
        settle(&h);
        got = take(&c);
        if (got == NULL || strstr(got, opened[i].client) == NULL)
            fail_msg("%zu: %s", i, got != NULL ? got : "nothing");
    }
    end(&h, &c);
}

/* ---- what is said ---- */

static void access__a_denial_says_why(void **state)
{
    static const char *const many[] = {"a/", "b/", "c/", "d/", "e/", "f/"};
    struct host h;
    struct conn c;
    char *got;

    (void)state;
    begin(&h, &c);
    grant(SERVICE_WRITE, "app1/");
    grant(SERVICE_READ, "lib/");
    say(&c, "{\"type\":\"delete\",\"msg_id\":1,\"key\":\"other/secret\"}");
    got = take(&c);
    assert_string_equal(
        got, "{\"type\":\"error\",\"in_reply_to\":1,\"code\":14,\"text\":\"this needs the role "
             "'write' for each key that it names, and certificate app1.test (app1) has it for keys "
             "that begin with 'app1/' alone; see [access] in ridd.conf(5)\",\"error\":\"denied\","
             "\"definite\":true,\"role\":\"write\",\"identity\":\"certificate app1.test (app1)\"}");
    free(got);
    say(&c, "{\"type\":\"slow\",\"msg_id\":1}");
    got = take(&c);
    assert_non_null(strstr(got, "needs the role 'read' for all keys, and certificate app1.test "
                                "(app1) has it for keys that begin with 'app1/', 'lib/' alone;"));
    free(got);
    /* The highest role that it has, whatever for. */
    say(&c, "{\"type\":\"snapshot\",\"msg_id\":1}");
    got = take(&c);
    assert_non_null(strstr(got, "needs the role 'admin', and certificate app1.test (app1) has "
                                "'write' on this node;"));
    free(got);
    n_grants = 0;
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        grant(SERVICE_READ, many[i]);
    say(&c, "{\"type\":\"read\",\"msg_id\":1,\"key\":\"x\"}");
    got = take(&c);
    assert_non_null(strstr(got, "begin with 'a/', 'b/', 'c/', 'd/' and 2 more alone;"));
    free(got);
    assert_int_equal(service_n_pending(h.services[0]), 0);
    end(&h, &c);
}

/* ACCESS-11: each request of an admin; of a download the first part. */
static void access__what_admins_do_is_told(void **state)
{
    static const struct {
        const char *part;
        unsigned n;
    } parts[] = {
        {"\"offset\":65536", 1}, /* whoever begins in the middle is told, too */
        {"\"index\":9,\"term\":2,\"offset\":131072", 0},
        {"\"index\":9,\"term\":2,\"offset\":196608", 0},
        {"\"index\":9,\"term\":3,\"offset\":196608", 1},
        {"\"index\":12,\"term\":3,\"offset\":1", 1},
        {"\"index\":12,\"term\":3,\"offset\":0", 1},
        {"\"index\":12,\"term\":3,\"offset\":2", 0},
        {"\"offset\":0", 1},
        {"\"index\":13,\"term\":3,\"offset\":65536", 0},
        {"\"index\":12,\"term\":3,\"offset\":65536", 1},
    };
    struct host h;
    struct conn c;
    struct conn other;
    char line[200];

    (void)state;
    begin(&h, &c);
    conn_open(&other, &h, 0);
    role_for_all = SERVICE_ADMIN;
    for (unsigned type = WIRE_REQ_READ_INDEX; type <= WIRE_REQ_PEER; type++) {
        n_told = 0;
        assert_true(may(&other, rows[type].inside));
        assert_int_equal(n_told, rows[type].role == SERVICE_ADMIN);
    }
    n_told = 0;
    assert_true(may(&c, "{\"type\":\"compare_read_methods\",\"num_reads\":1001}"));
    assert_int_equal(n_told, 1);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        n_told = 0;
        (void)snprintf(line, sizeof(line), "{\"type\":\"snapshot_part\",%s}", parts[i].part);
        assert_true(may(&c, line));
        if (n_told != parts[i].n)
            fail_msg("%s was told %u times", line, n_told);
    }
    role_for_all = SERVICE_WRITE;
    n_told = 0;
    assert_false(may(&c, "{\"type\":\"snapshot\"}"));
    assert_int_equal(n_told, 0);
    conn_close(&other);
    end(&h, &c);
}

/* ---- tokens ---- */

#define TOKEN "ridd_0123456789abcdef"

static void expect_auth(struct conn *c, int outcome, const char *want)
{
    char *got;

    auth_outcome = outcome;
    say(c, "{\"type\":\"auth\",\"msg_id\":4,\"token\":\"" TOKEN "\"}");
    assert_string_equal(auth_token, TOKEN);
    got = take(c);
    assert_non_null(got);
    if (strstr(got, want) == NULL)
        fail_msg("%s instead of %s", got, want);
    assert_null(strstr(got, "0123456789abcdef")); /* ACCESS-12 */
    free(got);
}

static void access__tokens(void **state)
{
    struct host h;
    struct conn c;
    char *got;

    (void)state;
    begin(&h, &c); /* it has no role at all */
    expect_auth(
        &c, 0,
        "{\"type\":\"auth_ok\",\"in_reply_to\":4,\"identity\":\"token ci\",\"role\":\"write\"}");
    expect_auth(&c, SERVICE_AUTH_WRONG,
                "\"code\":14,\"text\":\"this token is not one that [access] knows; see "
                "ridd.conf(5)\",\"error\":\"denied\",\"definite\":true,\"role\":\"none\","
                "\"identity\":\"token ci\"}");
    expect_auth(&c, SERVICE_AUTH_PLAIN,
                "\"text\":\"a token goes over TLS only, and this connection");
    expect_auth(&c, SERVICE_AUTH_LOCAL,
                "\"text\":\"a token goes over TLS only: on the local socket");
    expect_auth(&c, -ENOMEM, "\"error\":\"busy\",\"definite\":true,");
    assert_int_equal(n_denied, 0); /* the host counts these by itself */
    h.services[0]->ops.auth = NULL;
    say(&c, "{\"type\":\"auth\",\"msg_id\":4,\"token\":\"" TOKEN "\"}");
    got = take(&c);
    assert_non_null(strstr(got, "\"error\":\"not_supported\""));
    free(got);
    c.dead = true;
    h.services[0]->ops.auth = the_auth;
    auth_outcome = 0;
    say(&c, "{\"type\":\"auth\",\"msg_id\":4,\"token\":\"" TOKEN "\"}");
    assert_int_equal(c.out.len, 0);
    end(&h, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access__each_type_has_a_row),
        cmocka_unit_test(access__roles_by_types_by_prefixes),
        cmocka_unit_test(access__a_scan_lies_within_a_prefix),
        cmocka_unit_test(access__grants_add_up),
        cmocka_unit_test(access__a_session_is_its_clients_own),
        cmocka_unit_test(access__a_session_is_given_with_its_seal),
        cmocka_unit_test(access__a_denial_says_why),
        cmocka_unit_test(access__what_admins_do_is_told),
        cmocka_unit_test(access__tokens),
    };

    return cmocka_run_group_tests_name("service-access", tests, NULL, NULL);
}
