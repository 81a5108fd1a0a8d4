/* export and import on real nodes: what one cluster gives another one takes, whole, each key as it
 * was, whoever is killed meanwhile (CLIENT-32 to CLIENT-35). */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define N_KEYS 12000u

/* Paths in the folder of a cluster. */
struct path {
    char text[300];
};

static struct path in_folder(const struct cluster *c, const char *name)
{
    struct path path;

    (void)snprintf(path.text, sizeof(path.text), "%s/%s", c->dir, name);
    return path;
}

#define WORDS_MAX 12

struct command {
    const char *argv[WORDS_MAX];
};

/* ridctl on that cluster, with these words; NULL: no more. */
static struct command ctl(const struct cluster *c, const char *verb, const char *a, const char *b,
                          const char *d)
{
    return (struct command){{ridctl_path(), "-c", c->conf, verb, a, a != NULL ? b : NULL,
                             a != NULL && b != NULL ? d : NULL, NULL}};
}

static void run_to(const struct command *command, int code, const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(run_program(command->argv, &out), code, &out);
    expect_text(&out, text);
}

/* ---- a file of keys ---- */

/* The value of key number i, as JSON: of every kind, with what is hard to carry. */
static int add_value(struct buf *buf, unsigned i)
{
    unsigned char bytes[24];
    int rc;

    switch (i % 6) {
    case 0: /* bytes, as libridd stores them */
        for (unsigned at = 0; at < sizeof(bytes); at++)
            bytes[at] = (unsigned char)(i * 31 + at * 7);
        rc = buf_add_str(buf, "\"");
        if (rc == 0)
            rc = base64_encode(bytes, sizeof(bytes), buf);
        return rc == 0 ? buf_add_str(buf, "\"") : rc;
    case 1:
        return buf_add_format(buf, "{\"z\":%u,\"a\":[0.1,1e300,-5e-324,1.0,null,true]}", i);
    case 2:
        return buf_add_format(buf, "\"\\u0001\\u001b \\u20ac \xf0\x9f\x90\xa6 %u\"", i);
    case 3:
        return buf_add_format(buf, "%lld", (long long)INT64_MIN + i);
    case 4:
        return buf_add_str(buf, i % 8 == 0 ? "null" : "\"\"");
    default:
        return buf_add_format(buf, "\"%0*u\"", (int)(i % 1000), i);
    }
}

static int add_line(struct buf *buf, unsigned i)
{
    int rc = i % 4 == 3 ? buf_add_format(buf, "{\"key\":%lld,\"value\":",
                                         (long long)i * (i % 8 == 3 ? -1000000007LL : 1))
                        : buf_add_format(buf, "{\"key\":\"%s/\\n\xc3\xa9 %u\",\"value\":",
                                         i % 2 == 0 ? "a" : "b\\u007f", i);

    if (rc == 0)
        rc = add_value(buf, i);
    return rc == 0 ? buf_add_str(buf, "}\n") : rc;
}

static void write_keys_file(const char *path, unsigned n)
{
    cleanup_buf struct buf buf = BUF_INIT;
    int rc = buf_add_str(&buf, "{\"ridd_export\":1}\n");

    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = add_line(&buf, i);
    if (rc == 0)
        rc = buf_add_format(&buf, "{\"ridd_export_end\":%u}\n", n);
    assert_int_equal(rc, 0);
    file_write(path, buf.data, buf.len);
}

/* The lines between header and trailer. */
static size_t body_of(const struct buf *file, const char **ret)
{
    const char *text = (const char *)file->data;
    const char *from = strchr(text, '\n');
    const char *to = strstr(text, "{\"ridd_export_end\":");

    assert_non_null(from);
    assert_non_null(to);
    *ret = from + 1;
    return (size_t)(to - from - 1);
}

static void expect_same_keys(const char *a, const char *b)
{
    cleanup_buf struct buf x = BUF_INIT;
    cleanup_buf struct buf y = BUF_INIT;
    const char *x_body;
    const char *y_body;
    size_t x_len;
    size_t y_len;

    file_read(a, &x);
    file_read(b, &y);
    x_len = body_of(&x, &x_body);
    y_len = body_of(&y, &y_body);
    assert_true(x_len > 0);
    if (x_len != y_len || memcmp(x_body, y_body, x_len) != 0)
        harness_fail("%s and %s hold different keys", a, b);
}

static void export_to(struct cluster *c, const char *path)
{
    const struct command export = ctl(c, "export", "--save", path, NULL);

    run_to(&export, 0, " saved in ");
}

/* ---- cases ---- */

/* Out of one cluster into another, and out again: byte for byte what it was. */
CASE(keys__what_one_cluster_gives_another_takes)
{
    struct cluster *from = cluster_up_without_syncs(3, NULL);
    struct cluster *to = cluster_up_without_syncs(3, NULL);
    const struct path made = in_folder(from, "made");
    const struct path first = in_folder(from, "first");
    const struct path second = in_folder(to, "second");
    const struct command import = ctl(from, "import", made.text, NULL, NULL);
    const struct command import_again = ctl(to, "import", first.text, "--create", NULL);
    const struct command create = ctl(to, "import", made.text, "--create", NULL);
    cleanup_buf struct buf out = BUF_INIT;

    write_keys_file(made.text, 3000);
    run_to(&import, 0, "3000 keys written");
    export_to(from, first.text);
    run_to(&import_again, 0, "3000 keys written");
    export_to(to, second.text);
    expect_same_keys(first.text, second.text);
    /* Equal as JSON to what was made: nothing is another value. */
    run_to(&create, 0, "3000 keys written");
    file_read(second.text, &out);
    expect_text(&out, "\"ridd_export_end\":3000,");
    cluster_free(to);
    cluster_free(from);
}

static pid_t begin(const struct command *command, const struct path *out)
{
    return program_begin(command->argv, out->text);
}

static int wait_for_end(pid_t pid)
{
    int code = -1;

    wait_until(program_ended(pid, &code), "the end of ridctl");
    return code;
}

static bool holds_something(const struct path *path)
{
    return access(path->text, F_OK) == 0 && file_size(path->text) > 0;
}

/* Begins it and kills it when the file that it leaves on its way is there. Who was done before the
 * kill is begun again. */
static void kill_in_the_middle(const struct command *command, const struct path *left,
                               const struct path *out)
{
    for (unsigned i = 0; i < 50; i++) {
        const pid_t pid = begin(command, out);
        int code = -1;

        wait_until(holds_something(left) || program_ended(pid, &code), "the first keys");
        if (code < 0) {
            (void)kill(pid, SIGKILL);
            code = wait_for_end(pid);
        }
        if (code == 128 + SIGKILL && holds_something(left))
            return;
        assert_true(code == 0 || code == 128 + SIGKILL);
    }
    harness_fail("'%s' is always done before it can be killed", command->argv[3]);
}

/* What stands on the terminal by now. */
static void read_terminal(int fd, struct buf *text)
{
    char bytes[512];
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        assert_int_equal(buf_add(text, bytes, (size_t)n), 0);
    assert_int_equal(buf_add_u8(text, '\0'), 0);
    text->len--;
}

static bool terminal_shows(int fd, struct buf *text, const char *wanted)
{
    read_terminal(fd, text);
    return strstr((const char *)text->data, wanted) != NULL;
}

/* Out of a pipe that is slow, on a terminal: a line that is drawn over again, and goes at the end. */
CASE(keys__long_work_says_how_far_it_is)
{
    static const char lines[] = "{\"ridd_export\":1}\n{\"key\":\"a\",\"value\":1}\n"
                                "{\"key\":\"b\",\"value\":2}\n";
    static const char end[] = "{\"ridd_export_end\":2}\n";
    struct cluster *c = cluster_up_without_syncs(1, NULL);
    const struct path pipe = in_folder(c, "pipe");
    const struct command import = ctl(c, "import", pipe.text, NULL, NULL);
    cleanup_buf struct buf text = BUF_INIT;
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    int fd;
    pid_t pid;

    assert_int_equal(mkfifo(pipe.text, 0600), 0);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    assert_int_equal(setenv("TERM", "xterm", 1), 0);
    fd = open(pipe.text, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, lines, strlen(lines)), strlen(lines));
    pid = program_begin(import.argv, ptsname(terminal));
    wait_until(terminal_shows(terminal, &text, "\r\033[Kimport: 2 keys, "), "how far it is");
    assert_int_equal(write(fd, end, strlen(end)), strlen(end));
    (void)close(fd);
    wait_until(terminal_shows(terminal, &text, "2 keys written"), "the end of ridctl");
    assert_int_equal(wait_for_end(pid), 0);
    assert_non_null(strstr((const char *)text.data, " a second\r\033[K"));
    (void)close(terminal);
    cluster_free(c);
}

/* Killed in the middle, each goes on with the same command, and the end is as if nothing had been. */
CASE(keys__who_is_killed_goes_on)
{
    struct cluster *c = cluster_up_without_syncs(3, NULL);
    const struct path made = in_folder(c, "made");
    const struct path progress = in_folder(c, "made.progress");
    const struct path saved = in_folder(c, "saved");
    const struct path part = in_folder(c, "saved.part");
    const struct path whole = in_folder(c, "whole");
    const struct path out = in_folder(c, "out");
    const struct command import = ctl(c, "import", made.text, NULL, NULL);
    const struct command export = ctl(c, "export", "--save", saved.text, NULL);
    const struct command check = ctl(c, "import", saved.text, "--dry-run", NULL);

    write_keys_file(made.text, N_KEYS);
    kill_in_the_middle(&import, &progress, &out);
    run_to(&import, 0, "going on behind the first ");
    assert_true(access(progress.text, F_OK) != 0);
    export_to(c, whole.text);
    kill_in_the_middle(&export, &part, &out);
    run_to(&export, 0, "going on behind the ");
    expect_same_keys(whole.text, saved.text);
    run_to(&check, 0, "12000 keys");
    cluster_free(c);
}

/* The leader is killed while keys are written, and while they are read: both end well. */
CASE(keys__a_leader_that_is_killed_costs_time_alone)
{
    struct cluster *c = cluster_up_without_syncs(3, NULL);
    struct cluster *other = cluster_up_without_syncs(3, NULL);
    const struct path made = in_folder(c, "made");
    const struct path progress = in_folder(c, "made.progress");
    const struct path saved = in_folder(c, "saved");
    const struct path part = in_folder(c, "saved.part");
    const struct path again = in_folder(c, "again");
    const struct path out = in_folder(c, "out");
    const struct command import = ctl(c, "import", made.text, NULL, NULL);
    const struct command import_other = ctl(other, "import", made.text, NULL, NULL);
    const struct command export = ctl(c, "export", "--save", saved.text, NULL);
    unsigned leader = cluster_leader(c);
    int code = -1;
    pid_t pid;

    write_keys_file(made.text, N_KEYS);
    pid = begin(&import, &out);
    wait_until(holds_something(&progress) || program_ended(pid, &code), "the first keys");
    node_kill(c, leader);
    assert_int_equal(code < 0 ? wait_for_end(pid) : code, 0);
    code = -1;
    node_start(c, leader);
    leader = cluster_leader(c);
    pid = begin(&export, &out);
    wait_until(holds_something(&part) || program_ended(pid, &code), "the first page");
    node_kill(c, leader);
    assert_int_equal(code < 0 ? wait_for_end(pid) : code, 0);
    node_start(c, leader);
    run_to(&import_other, 0, "12000 keys written");
    export_to(other, again.text);
    expect_same_keys(again.text, saved.text);
    cluster_free(other);
    cluster_free(c);
}

/* One writer counts up three keys in turn, which stand in different pages: in every state there is
 * one place where they step down by one, and none where they step up. */
static const char *const counters[] = {"0", "a/\\n\xc3\xa9 5", "z"};

struct counting {
    unsigned next;
    unsigned written;
};

static bool next_write(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    struct counting *k = ctx;

    (void)client;
    (void)msg_id;
    (void)snprintf(fields, size, "\"type\":\"write\",\"key\":\"%s\",\"value\":%u",
                   counters[k->next % 3], k->next / 3);
    k->next++;
    return true;
}

static void write_done(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    struct counting *k = ctx;

    (void)client;
    (void)msg_id;
    if (reply != NULL && reply_is(reply, "write_ok"))
        k->written++;
    else if (reply != NULL && json_is_true(json_object_get(reply, "definite")))
        k->next--;
    else
        harness_fail("the fate of a write is not known");
}

static unsigned long number_behind(const char *text, const char *mark)
{
    const char *at = strstr(text, mark);

    if (at == NULL)
        harness_fail("there is no %s", mark);
    return strtoul(at + strlen(mark), NULL, 10);
}

/* Whether the file says that it is of one index; it is one state then. */
static bool judge_file(const struct path *path)
{
    cleanup_buf struct buf file = BUF_INIT;
    unsigned long v[3];
    const char *text;
    bool one;

    file_read(path->text, &file);
    text = (const char *)file.data;
    one = number_behind(text, "\"index_from\":") == number_behind(text, "\"index_to\":");
    assert_true(number_behind(text, "\"index_from\":") <= number_behind(text, "\"index_to\":"));
    for (unsigned i = 0; i < 3; i++) {
        char mark[64];

        (void)snprintf(mark, sizeof(mark), "{\"key\":\"%s\",\"value\":", counters[i]);
        v[i] = number_behind(text, mark);
    }
    if (one && (v[1] > v[0] || v[2] > v[1] || v[0] - v[2] > 1))
        harness_fail("two states: %lu, %lu, %lu", v[0], v[1], v[2]);
    return one;
}

static int run_while_writing(const struct command *command, struct swarm *s, const struct path *out)
{
    const pid_t pid = begin(command, out);
    int code = -1;

    while (!program_ended(pid, &code))
        swarm_turn(s, 1);
    return code;
}

/* While others write, pages are of different indexes, and that is said; what is of one index is one
 * state (CLIENT-33). */
CASE(keys__what_is_written_to_is_not_of_one_index)
{
    static const struct swarm_ops ops = {next_write, write_done};
    struct cluster *c = cluster_up_without_syncs(3, NULL);
    const struct path made = in_folder(c, "made");
    const struct path saved = in_folder(c, "saved");
    const struct path out_path = in_folder(c, "out");
    const struct command import = ctl(c, "import", made.text, NULL, NULL);
    const struct command one = ctl(c, "export", "--one-index", "--save", saved.text);
    const struct command export = ctl(c, "export", "--save", saved.text, NULL);
    struct counting k = {0, 0};
    unsigned n_mixed = 0;
    struct swarm *s;

    write_keys_file(made.text, 3000);
    run_to(&import, 0, "3000 keys written");
    s = swarm_new(c, 1, 1, &ops, &k);
    while (k.written < 6)
        swarm_turn(s, 10);
    for (unsigned i = 0; i < 200 && n_mixed < 3; i++) {
        cleanup_buf struct buf out = BUF_INIT;
        const int code = run_while_writing(i % 2 == 0 ? &one : &export, s, &out_path);

        file_read(out_path.text, &out);
        if (i % 2 == 0 && code == 75) {
            expect_text(&out, "the cluster is written to meanwhile");
            assert_true(access(saved.text, F_OK) != 0);
            continue;
        }
        expect_code(code, 0, &out);
        if (!judge_file(&saved)) {
            assert_true(i % 2 == 1);
            expect_text(&out, "each key is as it was at some moment between");
            n_mixed++;
        }
        (void)unlink(saved.text);
    }
    assert_true(n_mixed >= 3);
    swarm_drain(s);
    swarm_free(s);
    run_to(&one, 0, "3003 keys as of index ");
    assert_true(judge_file(&saved));
    cluster_free(c);
}

/* Cut short anywhere, or rubbish: the cluster stays as it was. */
CASE(keys__half_a_file_is_no_file)
{
    struct cluster *c = cluster_up_without_syncs(3, NULL);
    const struct path made = in_folder(c, "made");
    const struct path cut = in_folder(c, "cut");
    const struct command import = ctl(c, "import", cut.text, NULL, NULL);
    const struct command list = ctl(c, "ls", NULL, NULL, NULL);
    cleanup_buf struct buf file = BUF_INIT;
    cleanup_buf struct buf listed = BUF_INIT;

    write_keys_file(made.text, 500);
    file_read(made.text, &file);
    for (unsigned i = 1; i < 20; i++) {
        file_write(cut.text, file.data, (file.len - 2) * i / 20);
        run_to(&import, 64, "nothing was written");
    }
    for (unsigned i = 0; i < 20; i++) {
        file_write(cut.text, file.data, file.len - 1);
        file_xor(cut.text, file.len * i / 20, 0x80);
        run_to(&import, 64, "nothing was written");
    }
    expect_code(run_program(list.argv, &listed), 0, &listed);
    assert_int_equal(listed.len > 0 ? (int)strlen((const char *)listed.data) : 0, 0);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(keys__what_one_cluster_gives_another_takes),
        HARNESS_TEST(keys__long_work_says_how_far_it_is),
        HARNESS_TEST(keys__who_is_killed_goes_on),
        HARNESS_TEST(keys__a_leader_that_is_killed_costs_time_alone),
        HARNESS_TEST(keys__what_is_written_to_is_not_of_one_index),
        HARNESS_TEST(keys__half_a_file_is_no_file),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
