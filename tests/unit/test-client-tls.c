/* client, TLS: who is spoken to and who is not, what is said before anything else, and that what
 * was reported as not having happened never arrives. The servers are scripted; those that speak TLS
 * do so by the product's own streams. */
#include <poll.h>

#include "unit/async-util.h"
#include "unit/fake-certs.h"
#include "unit/fake-tls.h"
#include "unit/temp-folder.h"

#define CLUSTER "test"
#define AUTH_OK "{\"type\":\"auth_ok\",\"in_reply_to\":%ID}"
#define TOKEN   "ridd_0123456789abcdef"

static const char *folder;
static struct tls_ctx *by_certificate; /* of the server that is right */
static struct tls_ctx *by_secret;

static int set_up(void **state)
{
    (void)state;
    folder = temp_folder_new("client-tls");
    fake_certs_make(folder, CLUSTER);
    fake_secret(folder, "secret");
    fake_secret(folder, "other-secret");
    fake_secret_of(folder, "secret", CLUSTER, "app1", "app1-secret");
    by_certificate = fake_tls_ctx(folder, "server", NULL, NULL);
    by_secret = fake_tls_ctx(folder, NULL, fake_path(folder, "secret"), CLUSTER);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_tls_ctx_free(by_certificate);
    fake_tls_ctx_free(by_secret);
    return 0;
}

static const char *path(const char *name)
{
    return fake_path(folder, name);
}

static struct ridd_tls with_ca(void)
{
    return (struct ridd_tls){.ca_file = path("ca.pem")};
}

static struct ridd *open_list(const char *list, const struct ridd_tls *tls)
{
    struct ridd_options options = {
        .timeout_ms = PATIENCE_MS, .connect_timeout_ms = 60000, .seed = 7};
    struct ridd *c = NULL;
    char why[RIDD_TEXT_SIZE];

    assert_int_equal(ridd_open(list, &options, &c), RIDD_OK);
    if (tls != NULL && ridd_set_tls(c, tls, why, sizeof(why)) != RIDD_OK)
        fail_msg("%s", why);
    return c;
}

static struct ridd *open_at(const char *scheme, struct fake_server *s, const struct ridd_tls *tls)
{
    char list[64];

    (void)snprintf(list, sizeof(list), "%s%s", scheme, fake_address(s));
    return open_list(list, tls);
}

static void give_up_at_once(struct ridd *c)
{
    const struct ridd_retry retry = {.max_retries = RIDD_NONE};

    assert_int_equal(ridd_set_retry(c, &retry), RIDD_OK);
}

static void expect_read(struct ridd *c)
{
    struct ridd_reply *r = ridd_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX);

    if (r->status != RIDD_OK)
        fail_msg("%s: %s", ridd_status_name(r->status), r->text);
    assert_string_equal(r->string, "42");
    ridd_reply_free(r);
}

/* A write that certainly did not happen, with these words in what is said of it. */
static void expect_refused(struct ridd *c, enum ridd_status status, const char *words)
{
    struct ridd_reply *r;

    give_up_at_once(c);
    r = ridd_put(c, ridd_key("x"), "1");
    if (r->status != status || strstr(r->text, words) == NULL)
        print_error("%s: %s; and not: %s\n", ridd_status_name(r->status), r->text, words);
    assert_int_equal(r->status, status);
    assert_int_equal(r->definite, 1);
    assert_non_null(strstr(r->text, words));
    ridd_reply_free(r);
}

static const struct fake_step good[] = {{"\"ping\"", FAKE_REPLY, PONG, 0},
                                        {"\"read_index\"", FAKE_REPLY, READ_OK, 0},
                                        {"\"write\"", FAKE_REPLY, WRITE_OK, 0},
                                        {"\"auth\"", FAKE_REPLY, AUTH_OK, 0}};

static struct fake_server *start_tls(const struct fake_step *steps, size_t n,
                                     const struct fake_transport *t)
{
    struct fake_server *s = fake_start(steps, n);

    fake_set_transport(s, t);
    return s;
}

/* ---- who is spoken to ---- */

/* TLS-30 */
static void client_tls__a_server_is_known_by_certificate_or_secret(void **state)
{
    const struct fake_transport certificate = fake_tls(by_certificate);
    const struct fake_transport secret = fake_tls(by_secret);
    const struct {
        const char *scheme;
        const struct fake_transport *server;
        struct ridd_tls tls;
    } rows[] = {
        {"tls://", &certificate, {.ca_file = path("ca.pem")}},
        {"", &certificate, {.ca_file = path("ca.pem")}}, /* bare: TLS, since it was set up */
        {"tls://", &certificate, {.ca_file = path("ca.pem"), .server_name = "localhost"}},
        {"tls://",
         &certificate,
         {.ca_file = path("ca.pem"),
          .cert_file = path("client.pem"),
          .key_file = path("client.key")}},
        {"tls://", &secret, {.secret_file = path("secret"), .cluster = CLUSTER}},
        {"", &secret, {.secret_file = path("app1-secret")}},
        /* Either will do. */
        {"tls://", &secret, {.ca_file = path("ca.pem"), .secret_file = path("app1-secret")}},
        {"tls://", &certificate, {.ca_file = path("ca.pem"), .secret_file = path("app1-secret")}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_server *s = start_tls(STEPS(good), rows[i].server);
        struct ridd *c = open_at(rows[i].scheme, s, &rows[i].tls);

        expect_read(c);
        expect_read(c);
        assert_int_equal(fake_connections(s), 1);
        ridd_close(c);
        fake_stop(s);
    }
}

/* TLS-30 */
static void client_tls__who_is_not_known_is_told_nothing(void **state)
{
    struct tls_ctx *elsewhere = fake_tls_ctx(folder, "elsewhere", NULL, NULL);
    struct tls_ctx *expired = fake_tls_ctx(folder, "expired", NULL, NULL);
    struct tls_ctx *early = fake_tls_ctx(folder, "early", NULL, NULL);
    struct tls_ctx *other = fake_tls_ctx(folder, "other", NULL, NULL);
    struct tls_ctx *foreign = fake_tls_ctx(folder, NULL, path("secret"), "foreign");
    const struct {
        struct tls_ctx *server;
        struct ridd_tls tls;
        const char *words;
    } rows[] = {
        {other, {.ca_file = path("ca.pem")}, "its certificate is not accepted"},
        {by_certificate, {.ca_file = path("other-ca.pem")}, "its certificate is not accepted"},
        {elsewhere, {.ca_file = path("ca.pem")}, "IP address mismatch"},
        {by_certificate,
         {.ca_file = path("ca.pem"), .server_name = "elsewhere.example.org"},
         "hostname mismatch"},
        {expired, {.ca_file = path("ca.pem")}, "certificate has expired"},
        {early, {.ca_file = path("ca.pem")}, "certificate is not yet valid"},
        {foreign, {.secret_file = path("secret"), .cluster = CLUSTER}, "no TLS with"},
        {by_secret, {.secret_file = path("other-secret"), .cluster = CLUSTER}, "no TLS with"},
        {by_secret, {.ca_file = path("ca.pem")}, "no TLS with"},
        {by_certificate, {.secret_file = path("app1-secret")}, "no authorities (ca)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct fake_transport t = fake_tls(rows[i].server);
        struct fake_server *s = start_tls(STEPS(good), &t);
        struct ridd *c = open_at("tls://", s, &rows[i].tls);

        expect_refused(c, RIDD_UNREACHABLE, rows[i].words);
        ridd_close(c);
        fake_stop(s);
    }
    fake_tls_ctx_free(elsewhere);
    fake_tls_ctx_free(expired);
    fake_tls_ctx_free(early);
    fake_tls_ctx_free(other);
    fake_tls_ctx_free(foreign);
}

static void client_tls__a_server_without_it_is_not_spoken_to(void **state)
{
    static const struct fake_step none[] = {{"nothing", FAKE_SILENT, NULL, 0}};
    const struct ridd_tls tls = with_ca();
    struct fake_server *s = fake_start(STEPS(none));
    struct ridd *c = open_at("tls://", s, &tls);

    (void)state;
    fake_set_greeting(s, "{\"type\":\"error\",\"text\":\"too many\"}\n", 0, 10);
    expect_refused(c, RIDD_UNREACHABLE, "it speaks plain text here");
    assert_int_equal(fake_count(s, "write"), 0);
    ridd_close(c);
    fake_stop(s);
}

static void client_tls__without_it_nobody_speaks_to_a_server_that_has_it(void **state)
{
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    struct fake_server *s = start_tls(STEPS(good), &t);
    struct ridd *c = open_at("tcp://", s, &tls);
    struct ridd_reply *r;

    (void)state;
    give_up_at_once(c);
    r = ridd_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX);
    assert_true(r->status == RIDD_DISCONNECTED || r->status == RIDD_BAD_REPLY);
    assert_int_equal(fake_count(s, NULL), 0);
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

/* TLS-30: that nothing says how is no reason to do without. */
static void client_tls__what_cannot_be_known_is_invalid(void **state)
{
    const struct fake_transport t = fake_tls(by_certificate);
    struct fake_server *s = start_tls(STEPS(good), &t);
    struct ridd *c = open_at("tls://", s, NULL);

    (void)state;
    expect_refused(c, RIDD_INVALID, "give ca_file or secret_file");
    assert_int_equal(fake_connections(s), 0);
    ridd_close(c);
    fake_stop(s);
}

#define DENIED                                                                                     \
    "{\"type\":\"error\",\"in_reply_to\":%ID,\"error\":\"denied\",\"code\":30,\"definite\":true,"  \
    "\"text\":\"no\"}"

static const struct fake_step denied_twice[] = {{"\"write\"", FAKE_REPLY, DENIED, 1},
                                                {"\"read_index\"", FAKE_REPLY, DENIED, 1},
                                                {"\"read_index\"", FAKE_REPLY, READ_OK, 0}};

/* A word of the server's, unless the client is somebody else since then: TLS-36. */
static void client_tls__denied_to_who_it_was(void **state)
{
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    struct fake_server *s = start_tls(STEPS(denied_twice), &t);
    struct ridd *c = open_at("tls://", s, &tls);

    (void)state;
    expect_refused(c, RIDD_DENIED, "");
    assert_int_equal(fake_connections(s), 1);
    assert_int_equal(ridd_set_tls(c, &tls, NULL, 0), RIDD_OK);
    expect_read(c);
    assert_int_equal(fake_connections(s), 2);
    expect_read(c);
    assert_int_equal(fake_connections(s), 2);
    assert_int_equal(fake_count(s, "\"read_index\""), 3);
    ridd_close(c);
    fake_stop(s);
}

static void client_tls__files_may_be_taken_anew(void **state)
{
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls right = with_ca();
    const struct ridd_tls wrong = {.ca_file = path("other-ca.pem")};
    const struct ridd_tls broken = {.ca_file = path("nowhere.pem")};
    struct fake_server *s = start_tls(STEPS(good), &t);
    struct ridd *c = open_at("tls://", s, &wrong);
    char why[RIDD_TEXT_SIZE];

    (void)state;
    expect_refused(c, RIDD_UNREACHABLE, "not accepted");
    assert_int_equal(ridd_set_retry(c, NULL), RIDD_OK);
    assert_int_equal(ridd_set_tls(c, &right, NULL, 0), RIDD_OK);
    expect_read(c);
    /* What fails changes nothing; the connection that is there stays what it is. */
    assert_int_equal(ridd_set_tls(c, &broken, why, sizeof(why)), RIDD_INVALID);
    expect_read(c);
    assert_int_equal(ridd_set_tls(c, NULL, NULL, 0), RIDD_OK);
    expect_read(c);
    ridd_close(c);
    fake_stop(s);
}

static void client_tls__what_it_is_told_is_checked(void **state)
{
    const struct {
        struct ridd_tls tls;
        const char *words;
    } rows[] = {
        {{.flags = 1}, "flags"},
        {{.cert_file = path("client.pem")}, "go together"},
        {{.cert_file = path("client.pem"), .key_file = path("client.key")},
         "give ca_file or secret_file"},
        {{.ca_file = path("ca.pem"),
          .cert_file = path("client.pem"),
          .key_file = path("server.key")},
         "client.pem"},
        {{.ca_file = path("nowhere.pem")}, "nowhere.pem"},
        {{.ca_file = path("server.key")}, "server.key"},
        {{.secret_file = path("secret")}, "is the secret of a cluster"},
        {{.secret_file = path("nowhere")}, "nowhere"},
        {{.secret_file = path("ca.pem"), .cluster = CLUSTER}, "ca.pem"},
        {{.token = TOKEN, .token_file = path("x")}, "token and token_file"},
        {{.token = "two words"}, "holds no token"},
        {{.token_file = path("nowhere")}, "nowhere"},
        {{.token_file = path("ca.pem")}, "others may"},
        {{.token_file = path("client.key")}, "holds no token"},
    };
    struct ridd *c = open_list("127.0.0.1:1", NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char why[RIDD_TEXT_SIZE] = "";

        if (ridd_set_tls(c, &rows[i].tls, why, sizeof(why)) != RIDD_INVALID ||
            strstr(why, rows[i].words) == NULL)
            fail_msg("%zu: '%s', and not: %s", i, why, rows[i].words);
        assert_int_equal(ridd_set_tls(c, &rows[i].tls, NULL, 0), RIDD_INVALID);
    }
    ridd_close(c);
}

static void client_tls__a_socket_alone_is_not_given_away(void **state)
{
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    struct fake_server *s = start_tls(STEPS(good), &t);
    struct ridd *c = open_at("", s, &tls);
    int fd = 0;
    struct ridd_reply *r = ridd_connect(c, &fd);

    (void)state;
    assert_int_equal(r->status, RIDD_INVALID);
    assert_int_equal(fd, -1);
    ridd_reply_free(r);
    ridd_close(c);
    fake_stop(s);
}

/* ---- a handshake that comes to nothing ---- */

static void client_tls__a_silent_handshake_ends_in_time(void **state)
{
    static const struct fake_step none[] = {{"nothing", FAKE_SILENT, NULL, 0}};
    const struct ridd_options options = {.timeout_ms = PATIENCE_MS, .connect_timeout_ms = 100};
    const struct ridd_tls tls = with_ca();
    struct fake_server *s = fake_start(STEPS(none));
    struct ridd *c = NULL;
    char list[64];

    (void)state;
    (void)snprintf(list, sizeof(list), "tls://%s", fake_address(s));
    assert_int_equal(ridd_open(list, &options, &c), RIDD_OK);
    assert_int_equal(ridd_set_tls(c, &tls, NULL, 0), RIDD_OK);
    expect_refused(c, RIDD_UNREACHABLE, "it said nothing in time");
    /* Nor does it outlive the request that it was for. */
    assert_int_equal(ridd_set_timeout(c, 50), RIDD_OK);
    expect_refused(c, RIDD_UNREACHABLE, "it said nothing in time");
    ridd_close(c);
    fake_stop(s);
}

static void client_tls__a_handshake_that_is_cut_off_sent_nothing(void **state)
{
    const struct fake_transport t = fake_tls_cut();
    const struct ridd_tls tls = with_ca();
    struct fake_server *s = start_tls(STEPS(good), &t);
    struct ridd *c = open_at("tls://", s, &tls);

    (void)state;
    expect_refused(c, RIDD_UNREACHABLE, "no TLS with");
    ridd_close(c);
    fake_stop(s);
}

/* ---- replies ---- */

static void client_tls__a_reply_that_is_cut_off_is_none(void **state)
{
    static const struct fake_step cut[] = {{NULL, FAKE_CLOSE, NULL, 0}};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    struct fake_server *s = start_tls(STEPS(cut), &t);
    struct ridd *c = open_at("tls://", s, &tls);
    struct ridd_reply *r;

    (void)state;
    fake_set_greeting(s, "{\"type\":\"write_ok\",\"in_reply_to\":1,\"ind", 0, 10);
    give_up_at_once(c);
    r = ridd_put(c, ridd_key("x"), "1");
    assert_int_equal(r->status, RIDD_OUTCOME_UNKNOWN);
    assert_int_equal(r->cause, RIDD_DISCONNECTED);
    assert_int_equal(r->definite, 0);
    ridd_reply_free(r);
    assert_int_equal(fake_count(s, "write"), 1);
    ridd_close(c);
    fake_stop(s);
}

/* A loop as ridd_async.h has it: it is told when to come back, or it sleeps. */
static void loop_until(struct ridd *c, const struct seen *seen)
{
    while (seen->n == 0) {
        struct pollfd p = {.fd = ridd_async_fd(c), .events = POLLIN};

        (void)poll(&p, 1, ridd_async_timeout_ms(c));
        assert_int_equal(ridd_process(c), RIDD_OK);
    }
}

/* TLS-35: the last bytes of a reply are in the stream when a turn has read enough, and nothing will be
 * readable any more. */
static void client_tls__what_a_turn_leaves_in_the_stream_is_read(void **state)
{
    static const struct fake_step hold[] = {{NULL, FAKE_HOLD, NULL, 0}};
    const size_t most = 300u << 10;
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    struct fake_server *s;
    struct ridd *c;
    char *reply = malloc(most + 256);

    (void)state;
    fake_tls_set_piece(1000);
    s = start_tls(STEPS(hold), &t);
    c = open_at("tls://", s, &tls);
    assert_int_equal(ridd_set_timeout(c, 20000), RIDD_OK); /* what sleeps too long is seen */
    assert_non_null(reply);
    for (size_t len = 240u << 10; len < most; len += 1000) {
        struct seen seen;
        int n = snprintf(reply, 256,
                         "{\"type\":\"read_index_ok\",\"in_reply_to\":%%ID,\"linearizable\":true,"
                         "\"value\":\"");

        memset(reply + n, 'x', len);
        (void)snprintf(reply + n + len, 8, "\"}");
        start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
        run_until_sent(c, s, "read_index", (unsigned)((len - (240u << 10)) / 1000 + 1));
        assert_int_equal(fake_answer(s, NULL, reply), 1);
        loop_until(c, &seen);
        assert_int_equal(seen.status, RIDD_OK);
    }
    free(reply);
    ridd_close(c);
    fake_stop(s);
    fake_tls_set_piece(0);
}

/* ---- writes that are given up ---- */

#define N_WRITES    3000
#define VALUE_BYTES 3000

static struct ridd_op put_of(unsigned i, char *key, size_t key_size, const char *value)
{
    struct ridd_op op = ridd_op(RIDD_OP_PUT);

    (void)snprintf(key, key_size, "key-%u.", i);
    op.key = ridd_key(key);
    op.value = ridd_value_string(value);
    return op;
}

/* TLS-32: the server reads nothing, until the kernel takes no more; what stood in the record that TLS
 * could not get rid of leaves when it reads on. */
static void client_tls__what_was_not_sent_for_certain_never_arrives(void **state)
{
    static const struct fake_step steps[] = {{"first", FAKE_STALL, NULL, 1},
                                             {"last", FAKE_REPLY, READ_OK, 0},
                                             {NULL, FAKE_SILENT, NULL, 0}};
    static struct seen seen[N_WRITES];
    static uint64_t ids[N_WRITES];
    const struct ridd_limits limits = {.in_flight = N_WRITES + 10};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    struct fake_server *s = start_tls(STEPS(steps), &t);
    struct ridd *c = open_at("tls://", s, &tls);
    char value[VALUE_BYTES + 1];
    char key[32];
    struct seen first;
    struct seen last;
    unsigned n_definite = 0;
    unsigned n_unknown = 0;

    (void)state;
    memset(value, 'v', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    assert_int_equal(ridd_set_limits(c, &limits), RIDD_OK);
    start_get(c, "first", RIDD_VIA_READ_INDEX, &first);
    run_until_sent(c, s, "first", 1);
    for (unsigned i = 0; i < N_WRITES; i++) {
        const struct ridd_op op = put_of(i, key, sizeof(key), value);

        ids[i] = start_op(c, &op, &seen[i]);
        assert_true(ids[i] != 0);
        assert_int_equal(ridd_process(c), RIDD_OK);
    }
    for (unsigned i = 0; i < N_WRITES; i++)
        assert_int_equal(ridd_async_cancel(c, ids[i]), RIDD_OK);
    assert_int_equal(ridd_process(c), RIDD_OK);
    fake_go_on(s);
    start_get(c, "last", RIDD_VIA_READ_INDEX, &last);
    run_until(c, &last);
    assert_int_equal(last.status, RIDD_OK); /* so all in front of it has arrived */
    for (unsigned i = 0; i < N_WRITES; i++) {
        assert_int_equal(seen[i].n, 1);
        (void)snprintf(key, sizeof(key), "\"key-%u.\"", i);
        if (seen[i].status == RIDD_CANCELLED) {
            n_definite++;
            assert_int_equal(seen[i].definite, 1);
            if (fake_count(s, key) != 0)
                fail_msg("%s did not happen for certain, and came", key);
        } else {
            n_unknown++;
            assert_int_equal(seen[i].status, RIDD_OUTCOME_UNKNOWN);
        }
    }
    assert_true(n_definite > 0); /* otherwise the kernel took all of it, and nothing was shown */
    assert_true(n_unknown > 0);
    ridd_close(c);
    fake_stop(s);
}

/* ---- tokens ---- */

/* TLS-33 */
static void client_tls__a_token_comes_before_anything_else(void **state)
{
    static const struct fake_step steps[] = {{"\"auth\"", FAKE_HOLD, NULL, 0},
                                             {"\"write\"", FAKE_REPLY, WRITE_OK, 0}};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = {.ca_file = path("ca.pem"), .token = TOKEN};
    struct fake_server *s = start_tls(STEPS(steps), &t);
    struct ridd *c = open_at("tls://", s, &tls);
    struct seen seen[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        start_put(c, "x", &seen[i]);
    run_until_sent(c, s, "\"auth\"", 1);
    assert_int_equal(ridd_wait(c, 20), RIDD_OK);
    assert_int_equal(fake_count(s, NULL), 1);
    assert_non_null(strstr(fake_line(s, NULL, 0), "{\"type\":\"auth\",\"token\":\"" TOKEN "\","));
    assert_int_equal(fake_answer(s, NULL, AUTH_OK), 1);
    run_all(c);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(seen[i].status, RIDD_OK);
    assert_int_equal(fake_count(s, "\"auth\""), 1);
    assert_int_equal(fake_count(s, "\"write\""), 3);
    ridd_close(c);
    fake_stop(s);
}

/* TLS-33 */
static void client_tls__a_token_that_is_denied_is_what_requests_report(void **state)
{
    static const struct fake_step steps[] = {{"\"auth\"", FAKE_REPLY,
                                              "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":"
                                              "1016,\"error\":\"denied\",\"definite\":true,"
                                              "\"text\":\"no line of [access] has this token\"}",
                                              0},
                                             {"\"write\"", FAKE_REPLY, WRITE_OK, 0}};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = {.ca_file = path("ca.pem"), .token = TOKEN};
    struct fake_server *s = start_tls(STEPS(steps), &t);
    struct ridd *c = open_at("tls://", s, &tls);

    (void)state;
    expect_refused(c, RIDD_DENIED, "no line of [access] has this token");
    expect_refused(c, RIDD_DENIED, "no line of [access] has this token");
    assert_int_equal(fake_count(s, "\"write\""), 0);
    ridd_close(c);
    fake_stop(s);
}

static void client_tls__a_token_that_is_not_answered_ends_in_time(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_SILENT, NULL, 0}};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_options options = {.timeout_ms = PATIENCE_MS, .connect_timeout_ms = 500};
    const struct ridd_tls tls = {.ca_file = path("ca.pem"), .token = TOKEN};
    struct fake_server *s = start_tls(STEPS(steps), &t);
    struct ridd *c = NULL;
    char list[64];

    (void)state;
    (void)snprintf(list, sizeof(list), "tls://%s", fake_address(s));
    assert_int_equal(ridd_open(list, &options, &c), RIDD_OK);
    assert_int_equal(ridd_set_tls(c, &tls, NULL, 0), RIDD_OK);
    expect_refused(c, RIDD_UNREACHABLE, "whether it takes the token");
    assert_int_equal(fake_count(s, "\"write\""), 0);
    ridd_close(c);
    fake_stop(s);
}

/* A server says what it thinks of a client's certificate behind the handshake. Nothing of a request is
 * sent before, and what a server that takes it says of a ping is no matter (TLS-33). */
static void client_tls__a_certificate_is_taken_before_anything_is_sent(void **state)
{
    static const struct fake_step denies_pings[] = {
        {"\"ping\"", FAKE_REPLY, ERROR("denied", 1016, true), 0},
        {"\"read_index\"", FAKE_REPLY, READ_OK, 0}};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls refused = {
        .ca_file = path("ca.pem"), .cert_file = path("other.pem"), .key_file = path("other.key")};
    const struct ridd_tls taken = {
        .ca_file = path("ca.pem"), .cert_file = path("client.pem"), .key_file = path("client.key")};
    struct fake_server *s = start_tls(STEPS(denies_pings), &t);
    struct ridd *c = open_at("tls://", s, &refused);

    (void)state;
    expect_refused(c, RIDD_UNREACHABLE, "no TLS with"); /* its last word may be lost */
    assert_int_equal(fake_count(s, NULL), 0);
    ridd_close(c);
    c = open_at("tls://", s, &taken);
    expect_read(c);
    assert_int_equal(fake_count(s, "\"ping\""), 1);
    ridd_close(c);
    fake_stop(s);
}

/* TLS-31 */
static void client_tls__a_token_is_not_said_without_tls(void **state)
{
    const struct ridd_tls alone = {.token = TOKEN};
    const struct ridd_tls tls = {.ca_file = path("ca.pem"), .token = TOKEN};
    const struct {
        const char *scheme;
        const struct ridd_tls *tls;
    } rows[] = {{"tcp://", &tls}, {"tcp://", &alone}, {"", &alone}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_server *s = fake_start(STEPS(good));
        struct ridd *c = open_at(rows[i].scheme, s, rows[i].tls);

        expect_refused(c, RIDD_INVALID, "a token is sent within TLS only");
        assert_int_equal(fake_connections(s), 0);
        assert_int_equal(fake_count(s, NULL), 0);
        ridd_close(c);
        fake_stop(s);
    }
}

static void client_tls__a_token_is_read_of_a_file(void **state)
{
    const struct fake_transport t = fake_tls(by_certificate);
    struct ridd_tls tls = with_ca();
    struct fake_server *s = start_tls(STEPS(good), &t);
    FILE *f = fopen(path("token"), "we");
    struct ridd *c;

    (void)state;
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    assert_true(fputs(TOKEN "\r\n# of ci\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    tls.token_file = path("token");
    c = open_at("tls://", s, &tls);
    expect_read(c);
    assert_non_null(strstr(fake_line(s, "auth", 0), "\"token\":\"" TOKEN "\""));
    ridd_close(c);
    fake_stop(s);
}

/* ---- hints ---- */

/* TLS-34 */
static void client_tls__a_hint_is_dialled_as_who_gave_it(void **state)
{
    char hint[256];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    const struct {
        const char *scheme;
        const struct fake_transport *servers;
    } rows[] = {{"tls://", &t}, {"", &t}, {"tcp://", NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_server *leader = start_tls(STEPS(good), rows[i].servers);
        struct fake_server *s = start_tls(STEPS(steps), rows[i].servers);
        struct ridd *c;

        not_leader(hint, sizeof(hint), fake_address(leader));
        fake_publish(s);
        c = open_at(rows[i].scheme, s, &tls);
        expect_read(c);
        assert_int_equal(fake_count(leader, "read_index"), 1);
        ridd_close(c);
        fake_stop(s);
        fake_stop(leader);
    }
}

/* TLS-34: nor does a server choose that it is spoken to in the open. */
static void client_tls__a_hint_leads_nobody_out_of_it(void **state)
{
    char hint[256];
    char plain_address[64];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    struct fake_server *plain = fake_start(STEPS(good));
    struct fake_server *s = start_tls(STEPS(steps), &t);
    struct ridd *c = open_at("tls://", s, &tls);
    struct ridd_reply *r;

    (void)state;
    (void)snprintf(plain_address, sizeof(plain_address), "tcp://%s", fake_address(plain));
    not_leader(hint, sizeof(hint), plain_address);
    fake_publish(s);
    assert_int_equal(ridd_set_timeout(c, 300), RIDD_OK);
    r = ridd_put(c, ridd_key("x"), "1");
    assert_int_equal(r->status, RIDD_NOT_LEADER);
    ridd_reply_free(r);
    assert_int_equal(fake_connections(plain), 0);
    ridd_close(c);
    fake_stop(s);
    fake_stop(plain);
}

/* What the list says of an address holds, whoever names it. */
static void client_tls__the_list_says_how_to_speak(void **state)
{
    char hint[256];
    char list[128];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    const struct fake_transport t = fake_tls(by_certificate);
    const struct ridd_tls tls = with_ca();
    struct fake_server *leader = start_tls(STEPS(good), &t);
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c;

    (void)state;
    not_leader(hint, sizeof(hint), fake_address(leader));
    fake_publish(s);
    (void)snprintf(list, sizeof(list), "tcp://%s,tls://%s", fake_address(s), fake_address(leader));
    c = open_list(list, &tls);
    expect_read(c);
    assert_int_equal(fake_count(s, NULL), 1);
    assert_int_equal(fake_count(leader, "read_index"), 1);
    ridd_close(c);
    fake_stop(s);
    fake_stop(leader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_tls__a_server_is_known_by_certificate_or_secret),
        cmocka_unit_test(client_tls__who_is_not_known_is_told_nothing),
        cmocka_unit_test(client_tls__a_server_without_it_is_not_spoken_to),
        cmocka_unit_test(client_tls__without_it_nobody_speaks_to_a_server_that_has_it),
        cmocka_unit_test(client_tls__what_cannot_be_known_is_invalid),
        cmocka_unit_test(client_tls__denied_to_who_it_was),
        cmocka_unit_test(client_tls__files_may_be_taken_anew),
        cmocka_unit_test(client_tls__what_it_is_told_is_checked),
        cmocka_unit_test(client_tls__a_socket_alone_is_not_given_away),
        cmocka_unit_test(client_tls__a_silent_handshake_ends_in_time),
        cmocka_unit_test(client_tls__a_handshake_that_is_cut_off_sent_nothing),
        cmocka_unit_test(client_tls__a_reply_that_is_cut_off_is_none),
        cmocka_unit_test(client_tls__what_a_turn_leaves_in_the_stream_is_read),
        cmocka_unit_test(client_tls__what_was_not_sent_for_certain_never_arrives),
        cmocka_unit_test(client_tls__a_token_comes_before_anything_else),
        cmocka_unit_test(client_tls__a_token_that_is_denied_is_what_requests_report),
        cmocka_unit_test(client_tls__a_token_that_is_not_answered_ends_in_time),
        cmocka_unit_test(client_tls__a_certificate_is_taken_before_anything_is_sent),
        cmocka_unit_test(client_tls__a_token_is_not_said_without_tls),
        cmocka_unit_test(client_tls__a_token_is_read_of_a_file),
        cmocka_unit_test(client_tls__a_hint_is_dialled_as_who_gave_it),
        cmocka_unit_test(client_tls__a_hint_leads_nobody_out_of_it),
        cmocka_unit_test(client_tls__the_list_says_how_to_speak),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
