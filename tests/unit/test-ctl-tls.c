/* ridctl and TLS: how nodes are known, who asks, and what clients prove themselves by. The real
 * ridctl against scripted servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/ctl-run.h"
#include "unit/fake-certs.h"
#include "unit/fake-server.h"
#include "unit/fake-tls.h"

static const struct fake_step steps[] = {
    {"\"read\"", FAKE_REPLY,
     "{\"type\":\"read_ok\",\"in_reply_to\":%ID,\"value\":1,\"exists\":true,\"linearizable\":true}",
     0},
    {"\"status\"", FAKE_REPLY,
     "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"cluster\":\"here\"}", 0},
    {"\"ping\"", FAKE_REPLY, "{\"type\":\"pong\",\"in_reply_to\":%ID}", 0},
    {"\"auth\"", FAKE_REPLY, "{\"type\":\"auth_ok\",\"in_reply_to\":%ID}", 0}};

static int set_up(void **state)
{
    const int rc = ctl_run_set_up(state);

    fake_certs_make(".", "here");
    fake_secret(".", "secret");
    return rc;
}

static struct fake_server *start(const struct fake_transport *t, char *ret_endpoint, size_t size)
{
    struct fake_server *s = fake_start(STEPS(steps));

    fake_set_transport(s, t);
    (void)snprintf(ret_endpoint, size, "tls://%s", fake_address(s));
    return s;
}

static void tls__options_and_variables_say_how_nodes_are_known(void **state)
{
    struct tls_ctx *ctx = fake_tls_ctx(".", "server", NULL, NULL);
    const struct fake_transport t = fake_tls(ctx);
    char at[64];
    struct fake_server *s = start(&t, at, sizeof(at));

    (void)state;
    run("-e", at, "--ca", "ca.pem", "get", "x", NULL);
    EXPECT(0, "1\n", "");
    set_env("RIDCTL_CA", "ca.pem");
    run("-e", fake_address(s), "get", "x", NULL); /* bare: TLS, since it was told how */
    EXPECT(0, "1\n", "");
    set_env("RIDCTL_CA", NULL);
    run("-e", at, "get", "x", NULL);
    EXPECT(64, "", "ridctl: get: nothing says how to know a server at tls://: give --ca FILE *\n");
    run("-e", at, "--ca", "other-ca.pem", "get", "x", NULL);
    EXPECT(69, "", "ridctl: get: *no TLS with tls://*: its certificate is not accepted*\n");
    run("-e", at, "--ca", "nowhere.pem", "get", "x", NULL);
    EXPECT(78, "", "ridctl: get: *nowhere.pem*\n");
    run("-e", at, "--cert", "client.pem", "--key", "client.key", "get", "x", NULL);
    EXPECT(64, "", "*--ca FILE*\n");
    fake_stop(s);
    fake_tls_ctx_free(ctx);
}

static void tls__a_secret_is_made_and_used(void **state)
{
    struct tls_ctx *ctx = fake_tls_ctx(".", NULL, "secret", "here");
    const struct fake_transport t = fake_tls(ctx);
    char at[64];
    char line[BYTES_MAX];
    struct fake_server *s = start(&t, at, sizeof(at));
    struct stat st;

    (void)state;
    run("secret", "make", "app1", "--secret", "secret", NULL);
    EXPECT(64, "", "ridctl: secret: of which cluster? give --cluster NAME*\n");
    run("secret", "make", "app1", "--secret", "secret", "--cluster", "here", NULL);
    assert_int_equal(result.exit_code, 0);
    assert_non_null(strstr(result.err, "app1 = read secret app1\n"));
    assert_int_equal(stat("app1.secret", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    read_file("app1.secret", line);
    assert_memory_equal(line, "app1 ", 5);
    run("secret", "make", "app1", "--secret", "secret", "--cluster", "here", "--out", "-", NULL);
    assert_int_equal(result.exit_code, 0);
    assert_string_equal(result.out, line);
    run("secret", "make", "app1", "--secret", "secret", "--cluster", "here", NULL);
    EXPECT(74, "", "ridctl: secret: cannot make 'app1.secret': File exists*\n");
    run("secret", "make", "app2", "--secret", "app1.secret", "--cluster", "here", NULL);
    EXPECT(64, "", "ridctl: secret: 'app1.secret' is the secret of a client*\n");
    run("secret", "make", "no name", "--secret", "secret", "--cluster", "here", NULL);
    EXPECT(64, "", "ridctl: secret: 'no name' is no name*\n");

    run("-e", at, "--secret", "app1.secret", "get", "x", NULL);
    EXPECT(0, "1\n", "");
    run("-e", at, "--secret", "secret", "--cluster", "here", "get", "x", NULL);
    EXPECT(0, "1\n", "");
    run("-e", at, "--secret", "secret", "--cluster", "there", "get", "x", NULL);
    EXPECT(69, "", "ridctl: get: *no TLS with *\n");
    fake_stop(s);
    fake_tls_ctx_free(ctx);
}

static void tls__a_configuration_says_it_too(void **state)
{
    struct tls_ctx *ctx = fake_tls_ctx(".", NULL, "secret", "here");
    const struct fake_transport t = fake_tls(ctx);
    char at[64];
    char folder[512];
    char text[2048];
    struct fake_server *s = start(&t, at, sizeof(at));

    (void)state;
    assert_non_null(getcwd(folder, sizeof(folder)));
    (void)snprintf(text, sizeof(text),
                   "[cluster]\nname = here\n[security]\nsecret_file = %s/secret\n[peers]\nn1 = "
                   "127.0.0.1:1 %s\n",
                   folder, fake_address(s));
    write_file("tls.conf", text);
    run("-c", "tls.conf", "get", "x", NULL);
    EXPECT(0, "1\n", "");
    run("-c", "tls.conf", "secret", "make", "app3", "--out", "-", NULL);
    assert_int_equal(result.exit_code, 0);
    assert_memory_equal(result.out, "app3 ", 5);
    (void)snprintf(text, sizeof(text),
                   "[cluster]\nname = here\n[security]\nsecret_file = %s/hidden\n[peers]\nn1 = "
                   "127.0.0.1:1 %s\n",
                   folder, fake_address(s));
    write_file("tls.conf", text);
    run("-c", "tls.conf", "get", "x", NULL);
    EXPECT(77, "",
           "ridctl: get: tls.conf: clients are asked for TLS there, and '*/hidden' may not be read "
           "by this user: try sudo, or give --secret FILE or --ca FILE*\n");
    run("-c", "tls.conf", "--secret", "secret", "get", "x", NULL); /* its cluster is known */
    EXPECT(0, "1\n", "");
    fake_stop(s);
    fake_tls_ctx_free(ctx);
}

/* A node of certificates shows its own, and need not say where that comes from. */
static void tls__a_configuration_that_does_not_say_it(void **state)
{
    struct tls_ctx *ctx = fake_tls_ctx(".", "server", NULL, NULL);
    const struct fake_transport t = fake_tls(ctx);
    char at[64];
    char text[2048];
    struct fake_server *s = start(&t, at, sizeof(at));
    struct fake_server *plain = fake_start(STEPS(steps));
    static const char conf[] = "[cluster]\nname = here\n[security]\nclient_cert = /server.pem\n"
                               "client_key = /server.key\n[peers]\nn1 = 127.0.0.1:1 %s%s\n";

    (void)state;
    (void)snprintf(text, sizeof(text), conf, "", fake_address(s));
    write_file("cert.conf", text);
    run("-c", "cert.conf", "get", "x", NULL);
    EXPECT(77, "",
           "ridctl: get: cert.conf: clients are asked for TLS there, and it does not say which "
           "authority the nodes' certificates come from: give --ca FILE*\n");
    run("-c", "cert.conf", "--ca", "ca.pem", "get", "x", NULL);
    EXPECT(0, "1\n", "");
    (void)snprintf(text, sizeof(text), conf, "tcp://", fake_address(plain));
    write_file("cert.conf", text);
    run("-c", "cert.conf", "get", "x", NULL);
    EXPECT(0, "1\n", "");
    fake_stop(plain);
    fake_stop(s);
    fake_tls_ctx_free(ctx);
}

static void tls__a_token_is_said_and_never_on_the_command_line(void **state)
{
    struct tls_ctx *ctx = fake_tls_ctx(".", "server", NULL, NULL);
    const struct fake_transport t = fake_tls(ctx);
    char at[64];
    char token[BYTES_MAX];
    struct fake_server *s = start(&t, at, sizeof(at));
    struct fake_server *plain = fake_start(STEPS(steps));

    (void)state;
    run("token", "make", NULL);
    assert_int_equal(result.exit_code, 0);
    assert_memory_equal(result.out, "ridd_", 5);
    assert_int_equal(strlen(result.out), 5 + 64 + 1);
    assert_true(matches(result.err, "*NAME = read token *\n"));
    (void)snprintf(token, sizeof(token), "%s", result.out);
    write_file("token", token);
    token[strcspn(token, "\n")] = '\0';
    run("token", "make", "--json", NULL);
    assert_true(matches(result.out, "{\"token\":\"ridd_*\",\"sha256\":\"*\"}\n"));

    run("-e", at, "--ca", "ca.pem", "--token", token, "get", "x", NULL);
    EXPECT(64, "", "ridctl: a token on a command line stands in the list of processes*\n");
    run("-e", at, "--ca", "ca.pem", "--token-file", "token", "get", "x", NULL);
    EXPECT(0, "1\n", "");
    assert_non_null(strstr(fake_line(s, NULL, 0), token));
    set_env("RIDCTL_TOKEN", token);
    run("-e", at, "--ca", "ca.pem", "get", "x", NULL);
    EXPECT(0, "1\n", "");
    assert_int_equal(fake_count(s, "\"auth\""), 2);
    /* TLS-31 */
    run("-e", fake_address(plain), "get", "x", NULL);
    EXPECT(64, "", "ridctl: get: *a token is sent within TLS only*\n");
    assert_int_equal(fake_count(plain, NULL), 0);
    set_env("RIDCTL_TOKEN", NULL);
    fake_stop(plain);
    fake_stop(s);
    fake_tls_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls__options_and_variables_say_how_nodes_are_known),
        cmocka_unit_test(tls__a_secret_is_made_and_used),
        cmocka_unit_test(tls__a_configuration_says_it_too),
        cmocka_unit_test(tls__a_configuration_that_does_not_say_it),
        cmocka_unit_test(tls__a_token_is_said_and_never_on_the_command_line),
    };

    return cmocka_run_group_tests(tests, set_up, ctl_run_tear_down);
}
