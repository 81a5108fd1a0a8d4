/* The real ridbench against a server of the test's: what it prints, and what it says by its exit
 * status. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/fake-certs.h"
#include "unit/fake-tls.h"
#include "unit/load-server.h"
#include "unit/temp-folder.h"

#define N_ARGS 24u

static struct load_server server;
static const char *folder;
static char program[4096];
static char out[65536];
static char err[65536];

static void read_file(const char *name, char *ret, size_t size)
{
    char path[512];
    FILE *f;
    size_t n;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "re");
    assert_non_null(f);
    n = fread(ret, 1, size - 1, f);
    ret[n] = '\0';
    (void)fclose(f);
}

static void redirect(const char *name, int to)
{
    char path[512];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(126);
}

/* The words are separated by a blank; %A is the server. interrupt_at: SIGINT after so many reads. */
static int run(const char *words, unsigned interrupt_at)
{
    char text[1024];
    char *argv[N_ARGS + 1] = {program};
    unsigned n = 1;
    int status = 0;
    pid_t pid;

    (void)snprintf(text, sizeof(text), "%s", words);
    for (char *word = strtok(text, " "); word != NULL && n < N_ARGS; word = strtok(NULL, " "))
        argv[n++] = strcmp(word, "%A") == 0 ? server.address : word;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        redirect("out", STDOUT_FILENO);
        redirect("err", STDERR_FILENO);
        (void)unsetenv("RIDCTL_ENDPOINTS");
        (void)unsetenv("RIDD_CONF");
        (void)execv(program, argv);
        _exit(127);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        load_server_wait(&server, 5);
        if (interrupt_at > 0 && server.n_reads > interrupt_at) {
            interrupt_at = 0;
            assert_int_equal(kill(pid, SIGINT), 0);
        }
    }
    read_file("out", out, sizeof(out));
    read_file("err", err, sizeof(err));
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in: %s", part, text);
}

static int setup(void **state)
{
    const char *build = getenv("top_builddir");
    char relative[2048];

    (void)state;
    (void)snprintf(relative, sizeof(relative), "%s/ridbench", build != NULL ? build : ".");
    assert_non_null(realpath(relative, program));
    folder = temp_folder_new("ridbench");
    load_server_begin(&server, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    load_server_end(&server);
    temp_folder_remove(folder);
    return 0;
}

#define SHORT "-e %A --seconds 0.2 --warm-up 0 --connections 2 --in-flight 4 --keys 20 -q "

/* ---- documents ---- */

static void ridbench__json_has_these_fields(void **state)
{
    static const char names[] =
        "method connections in_flight threads loop rate_per_s arrivals keys zipf value_bytes "
        "write_percent seed elapsed_ms interrupted ops ops_per_s reads writes batches scans errors "
        "first_error asked_again connections_lost connections_made handshakes unsent wrong "
        "first_wrong absent check failover "
        "cost nodes cpu_percent client_is_limit keys_left keys_of_others ";
    static const char side_names[] = "ops ops_per_s p50_ms p90_ms p99_ms p999_ms max_ms mean_ms "
                                     "longest_gap_ms longest_gap_at_ms ";
    char got[1024] = "";
    const char *name;
    json_t *value;
    json_t *doc;

    (void)state;
    assert_int_equal(run(SHORT "--json --method mixed --check --seed 7", 0), 0);
    doc = json_loads(out, 0, NULL);
    assert_non_null(doc);
    json_object_foreach(doc, name, value)(void)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", name);
    assert_string_equal(got, names);
    got[0] = '\0';
    json_object_foreach(json_object_get(doc, "reads"), name, value)(void)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", name);
    assert_string_equal(got, side_names);
    assert_int_equal(json_integer_value(json_object_get(doc, "seed")), 7);
    assert_int_equal(json_integer_value(json_object_get(doc, "wrong")), 0);
    assert_true(json_is_true(json_object_get(json_object_get(doc, "check"), "linearizable")));
    assert_int_equal(json_integer_value(json_object_get(doc, "keys_left")), 0);
    assert_true(json_is_null(json_object_get(doc, "failover")));
    assert_true(json_is_object(json_object_get(doc, "cost")));
    json_decref(doc);
    assert_string_equal(err, "");
    assert_int_equal(load_server_n_keys(&server), 0);
}

static void ridbench__csv_has_a_line_for_each_second(void **state)
{
    static const char head[] = "second,ops,errors,max_ms\n";
    unsigned long long sum = 0;
    unsigned n = 0;

    (void)state;
    assert_int_equal(run("-e %A --seconds 2 --warm-up 0 --rate 500 --keys 20 -q --csv", 0), 0);
    assert_int_equal(strncmp(out, head, strlen(head)), 0);
    for (const char *line = out + strlen(head); *line != '\0';) {
        unsigned long long ops;
        unsigned long long errors;
        unsigned second;
        double max_ms;
        int len = 0;

        assert_int_equal(
            sscanf(line, "%u,%llu,%llu,%lf\n%n", &second, &ops, &errors, &max_ms, &len), 4);
        assert_int_equal(second, ++n);
        assert_int_equal(errors, 0);
        assert_true(max_ms >= 0);
        sum += ops;
        line += len;
    }
    assert_int_equal(n, 2);
    assert_in_range(sum, 999, 1001);
}

static void ridbench__text_fits_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(run(SHORT "--method mixed --rate 2000 --arrivals poisson --zipf 0.99", 0), 0);
    expect(out, "mixed: 2 connections, 4 in flight each, 0.2 s, 20 keys of 64 bytes, zipf\n");
    expect(out, "open loop: 2000/s due (poisson), timed from when they were due\n");
    expect(out, "every answer was right: of its key, no older than what was acknowledged before\n");
    expect(out, "its 20 keys below bench/");
    for (const char *line = out; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    assert_int_equal(run("--help", 0), 0);
    for (const char *line = out; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
}

/* ---- exit status ---- */

/* DOCTOR-4 */
static void ridbench__a_liar_is_told(void **state)
{
    (void)state;
    server.lies = true;
    assert_int_equal(run(SHORT "--method mixed --write-percent 50 --check", 0), 1);
    expect(out, "answers were WRONG; the first: read (read_index) of bench/");
    expect(out, "is older than");
    expect(out, "NOT LINEARIZABLE");
    assert_int_equal(run(SHORT "--method mixed --write-percent 50 --check --json", 0), 1);
    expect(out, "\"linearizable\":false");
}

/* DOCTOR-5 */
static void ridbench__foreign_keys_are_left_alone(void **state)
{
    static const char *const keys[] = {
        "bench/leader", "bench/00000001-abcd/0000001", "bench/00000001-abcd/0000000x",
        "bench/00000001-aBcd/00000001", "bench/00000001-abcd/00000001"};

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        server.foreign = keys[i];
        server.foreign_value = "bench/00000001-abcd/00000002/0/"; /* of another key */
        assert_int_equal(run(SHORT, 0), 4);
        expect(err, "is no key of ridbench");
        expect(err, keys[i]);
    }
    assert_int_equal(server.n_writes, 0);
    assert_int_equal(server.n_foreign_removed, 0);
}

/* DOCTOR-5: a run that was killed long ago has left it; one that may go on has not. */
static void ridbench__old_keys_of_its_own_go(void **state)
{
    char key[64];
    char value[96];

    (void)state;
    server.foreign = key;
    server.foreign_value = value;
    (void)snprintf(key, sizeof(key), "bench/%08x-abcd/00000001", (unsigned)time(NULL) - 3600);
    (void)snprintf(value, sizeof(value), "%s/0/xx", key);
    assert_int_equal(run(SHORT, 0), 0);
    expect(out, "1 keys of another run are there");
    assert_int_equal(server.n_foreign_removed, 0);
    (void)snprintf(key, sizeof(key), "bench/00000001-abcd/00000001");
    (void)snprintf(value, sizeof(value), "%s/0/xx", key);
    assert_int_equal(run(SHORT, 0), 0);
    assert_int_equal(server.n_foreign_removed, 1);
}

/* DOCTOR-5: ^C gives the figures so far, and the keys go. */
static void ridbench__it_can_be_interrupted(void **state)
{
    (void)state;
    assert_int_equal(run("-e %A --seconds 60 --warm-up 0 --keys 20 -q --json", 100), 0);
    expect(out, "\"interrupted\":true");
    expect(out, "\"keys_left\":0");
    assert_int_equal(load_server_n_keys(&server), 0);
}

static void ridbench__what_makes_no_sense_is_refused(void **state)
{
    static const struct {
        const char *words;
        const char *why;
    } table[] = {
        {"-e %A --method fast", "--method takes read_index, log,"},
        {"-e %A --connections 0", "--connections takes a number from 1 to"},
        {"-e %A --rate -5", "--rate takes a number from"},
        {"-e %A --rate nan", "--rate takes a number from"},
        {"-e %A --arrivals never", "--arrivals takes uniform or poisson"},
        {"-e %A --spread", "only the leader answers read_index"},
        {"-e %A --method follower --spread --write-percent 5", "only the leader takes writes"},
        {"-e %A --method scan --of 50 --keys 20", "--of 50 wants as many --keys"},
        {"-e %A --method local --check", "--check judges linearizable reads"},
        {"-e %A --failover", "--failover wants --kill"},
        {"-e %A --value-bytes 524287", "--value-bytes takes a number from 1 to 524286"},
        {"-e %A --value-bytes 500000 --connections 500", "more than 2048 MiB: fewer"},
        {"-e %A --value-bytes 500000 --method batch --of 100", "--in-flight, --of or"},
        {"-e %A --threads 9 --connections 4", "--threads 9 wants as many --connections"},
        {"-e %A --keys", "'--keys' wants a value"},
        {"-e %A --nonsense", "unknown option '--nonsense'"},
        {"-e %A more", "'more' is one word too many"},
        {"-e %%", "--endpoints"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_int_equal(run(table[i].words, 0), 64);
        expect(err, table[i].why);
        assert_string_equal(out, "");
    }
    assert_int_equal(server.n_lines, 0);
    assert_int_equal(run("-e 127.0.0.1:1 -q", 0), 69);
    expect(err, "no node answers");
}

/* A front of TLS before the same server: every phase goes by it; and with a connection for each
 * request each of them has a handshake. */
static void ridbench__tls_is_spoken_and_counted(void **state)
{
    char words[512];
    struct tls_ctx *ctx;
    struct fake_front *f;
    json_t *o;
    json_int_t ops;

    (void)state;
    load_server_end(&server);
    load_server_begin(&server, NULL);
    fake_certs_make(folder, "test");
    ctx = fake_tls_ctx(folder, "server", NULL, NULL);
    f = fake_front_start(ctx, server.address);
    (void)setenv("RIDCTL_TOKEN", "ridd_token", 1);
    (void)snprintf(words, sizeof(words),
                   "-e tls://%s --ca %s/ca.pem --seconds 1 --warm-up 0 --keys 20 -q --json "
                   "-C 2 --handshakes",
                   fake_front_address(f), folder);
    assert_int_equal(run(words, 0), 0);
    (void)unsetenv("RIDCTL_TOKEN");
    o = json_loads(out, 0, NULL);
    assert_non_null(o);
    ops = json_integer_value(json_object_get(o, "ops"));
    assert_true(ops > 0);
    assert_int_equal(json_integer_value(json_object_get(o, "wrong")), 0);
    assert_int_equal(json_object_size(json_object_get(o, "errors")), 0);
    assert_int_equal(json_integer_value(json_object_get(o, "connections_lost")), 0);
    assert_true(json_integer_value(json_object_get(o, "handshakes")) >= ops);
    assert_true(fake_front_n_shaken(f) >= (unsigned)ops);
    assert_true(fake_front_n_tokens(f) >= (unsigned)ops);
    assert_int_equal(load_server_n_keys(&server), 0);
    json_decref(o);
    fake_front_stop(f);
    fake_tls_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(ridbench__json_has_these_fields),       TEST(ridbench__csv_has_a_line_for_each_second),
        TEST(ridbench__text_fits_a_terminal),        TEST(ridbench__a_liar_is_told),
        TEST(ridbench__foreign_keys_are_left_alone), TEST(ridbench__old_keys_of_its_own_go),
        TEST(ridbench__it_can_be_interrupted),       TEST(ridbench__what_makes_no_sense_is_refused),
        TEST(ridbench__tls_is_spoken_and_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
