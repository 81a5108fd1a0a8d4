/* ctl: the verbs that look (status --watch, top, events, slow, check), and those that ask nobody
 * (explain, completion): the real ridctl against scripted servers. What is asked again and again is
 * run until it has shown what is waited for, then it is ended. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/ctl-run.h"
#include "unit/fake-server.h"
#include "wire/errors.h"

#define STATUS(more)                                                                               \
    "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"cluster\":\"here\","            \
    "\"version\":\"1.0\",\"role\":\"leader\",\"term\":3,\"leader_id\":\"n1\",\"serving\":true,"    \
    "\"commit_index\":900,\"applied_index\":900,\"last_log_index\":900,\"peers\":[]" more "}"
#define MEMBERS                                                                                    \
    {                                                                                              \
        "\"members\"", FAKE_CLOSE, NULL, 0                                                         \
    }

/* ---- one that goes on ---- */

struct live {
    pid_t pid;
    int fd;
    size_t len;
    char text[BYTES_MAX];
};

/* On a terminal of 80 columns and so many rows; 0: on a pipe. */
static void live_start(struct live *l, unsigned rows, const char *address, const char *const *words)
{
    char copies[16][64];
    char *argv[18] = {program};
    const struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = 80};
    char name[128] = "";
    int ends[2] = {-1, -1};

    memset(l, 0, sizeof(*l));
    (void)snprintf(copies[0], sizeof(copies[0]), "-e");
    (void)snprintf(copies[1], sizeof(copies[1]), "%s", address);
    for (size_t i = 0; i < 14 && words[i] != NULL; i++)
        (void)snprintf(copies[2 + i], sizeof(copies[0]), "%s", words[i]);
    for (size_t i = 0; i < 2 || (i < 16 && words[i - 2] != NULL); i++)
        argv[1 + i] = copies[i];
    if (rows > 0) {
        ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(ends[0] >= 0);
        assert_int_equal(grantpt(ends[0]), 0);
        assert_int_equal(unlockpt(ends[0]), 0);
        assert_int_equal(ptsname_r(ends[0], name, sizeof(name)), 0);
        assert_int_equal(ioctl(ends[0], TIOCSWINSZ, &size), 0);
    } else {
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    }
    l->fd = ends[0];
    l->pid = fork();
    assert_true(l->pid >= 0);
    if (l->pid == 0) {
        redirect(rows > 0 ? name : "/dev/null", rows > 0 ? O_RDWR | O_NOCTTY : O_RDONLY,
                 STDIN_FILENO);
        if (rows > 0)
            redirect(name, O_RDWR | O_NOCTTY, STDOUT_FILENO);
        else if (dup2(ends[1], STDOUT_FILENO) < 0)
            _exit(126);
        redirect("err", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
        (void)setenv("TERM", "xterm", 1);
        (void)unsetenv("RIDD_CONF");
        (void)unsetenv("RIDCTL_ENDPOINTS");
        (void)alarm(60);
        (void)execv(program, argv);
        _exit(127);
    }
    if (ends[1] >= 0)
        (void)close(ends[1]);
}

static bool live_reads(struct live *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    ssize_t n;

    if (l->len + 1 >= sizeof(l->text) || poll(&p, 1, 20000) <= 0)
        return false;
    n = read(l->fd, l->text + l->len, sizeof(l->text) - l->len - 1);
    if (n <= 0)
        return false;
    l->len += (size_t)n;
    l->text[l->len] = '\0';
    return true;
}

static void live_until(struct live *l, const char *text)
{
    while (strstr(l->text, text) == NULL) {
        const bool more = live_reads(l);

        if (!more)
            print_error("no '%s' in:\n%s\n", text, l->text);
        assert_true(more);
    }
}

static int live_exit_code(struct live *l)
{
    int status;

    while (live_reads(l))
        ;
    assert_int_equal(waitpid(l->pid, &status, 0), l->pid);
    (void)close(l->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned n = 0;

    for (const char *s = text; (s = strstr(s, part)) != NULL; s++)
        n++;
    return n;
}

/* But for one with the path of the configuration, which may be as long as who builds it wants. */
static size_t widest_line(const char *text)
{
    size_t widest = 0;

    for (const char *line = text; *line != '\0';) {
        const size_t len = strcspn(line, "\n");
        const bool names_the_file = memmem(line, len, "/ridd/ridd.conf", 15) != NULL;

        widest = len > widest && !names_the_file ? len : widest;
        line += len;
        line += *line == '\n';
    }
    return widest;
}

/* ---- failures ---- */

/* Whatever a node refuses, and whatever exit code follows, the line says what to type (TELL-1). */
static void looks__each_error_of_a_node_names_a_command(void **state)
{
#define NAME(symbol, name, ...) name,
    static const char *const names[] = {WIRE_ERRORS(NAME)};
#undef NAME
    static const char *const verbs[][3] = {{"get", "k", NULL}, {"put", "k", "v"}};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (unsigned definite = 0; definite < 2; definite++) {
            char reply[256];
            const struct fake_step steps[] = {{NULL, FAKE_REPLY, reply, 0}};
            struct fake_server *s;

            (void)snprintf(reply, sizeof(reply),
                           "{\"type\":\"error\",\"in_reply_to\":%%ID,\"code\":11,\"text\":"
                           "\"words\",\"error\":\"%s\",\"definite\":%s}",
                           names[i], definite ? "true" : "false");
            s = fake_start(STEPS(steps));
            for (size_t v = 0; v < 2; v++) {
                run("-e", fake_address(s), "-t", "150", verbs[v][0], verbs[v][1], verbs[v][2],
                    NULL);
                if (result.exit_code == 0 || result.err[0] == '\0' || !names_command(result.err))
                    print_error("%s of %s: %d: %s\n", names[i], verbs[v][0], result.exit_code,
                                result.err);
                assert_int_not_equal(result.exit_code, 0);
                assert_true(names_command(result.err));
                assert_int_equal(count_of(result.err, "\n"), 1);
            }
            fake_stop(s);
        }
}

static void looks__each_exit_code_names_a_command(void **state)
{
    char dead[32];
    const int fd = fake_refusing_port(dead, sizeof(dead));

    (void)state;
    run("-e", dead, "get", "k", NULL);
    EXPECT(69, "", "ridctl: get: 'k': *; is ridd running there? try 'ridctl status'\n");
    run("put", "k", NULL);
    EXPECT(64, "", "ridctl: put: something is missing; usage: ridctl put KEY VALUE*\n");
    run("-e", dead, "get", "a", "--int-key", NULL);
    EXPECT(64, "",
           "ridctl: get: 'a' is no integer key (64 bit, decimal); see 'ridctl get --help'\n");
    run("get", "k", NULL);
    EXPECT(78, "", "ridctl: get: no cluster named: *; give --endpoints HOST:PORT,... or *\n");
    run("-e", dead, "status", "--intervl", "2", NULL);
    EXPECT(64, "", "ridctl: unknown option '--intervl'; did you mean '--interval'?\n");
    run("-e", dead, "status", "--interval", "0", NULL);
    EXPECT(64, "", "ridctl: --interval takes seconds from 0.1 to 3600, not '0'; see 'ridctl *'\n");
    run("-e", dead, "member", "promot", "n1", NULL);
    EXPECT(64, "", "ridctl: member: member takes list, *, not 'promot'; did you mean 'promote'?\n");
    (void)close(fd);
}

/* ---- explain ---- */

static void looks__explain_needs_nobody(void **state)
{
    (void)state;
    run("explain", "no_space", NULL);
    EXPECT(
        0,
        "no_space: an error of a request, code 14\n  There is no room*\n  Usually: *\n  Next:    "
        "'ridctl status' *\n\n"
        "no_space: an event, level error\n  *\n  Next:    *\n",
        "");
    run("explain", "event=Peer-Down", NULL);
    EXPECT(0, "peer_down: an event, level warning or info\n*\n  Next:    *'ridctl status'*\n", "");
    run("explain", "13", NULL);
    EXPECT(0, "term_changed: an error of a request, code 11, 13 of a write that is in the log\n*",
           "");
    run("explain", "65", NULL);
    EXPECT(0, "damaged: exit code 65 of ridctl\n*\ndamaged: exit code 65 of ridd\n*", "");
    run("explain", "no quorum", NULL);
    EXPECT(0, "no_quorum: exit code 2 of ridctl\n*'ridctl status'*\n", "");
    run("explain", "peer_dwn", NULL);
    EXPECT(64, "",
           "ridctl: explain: nothing is called 'peer_dwn'; did you mean 'ridctl explain "
           "peer_down'?\n");
    run("explain", "zzzzzzzzzzzz", NULL);
    EXPECT(64, "",
           "ridctl: explain: nothing is called 'zzzzzzzzzzzz'; 'ridctl explain' lists all\n");
    run("explain", NULL);
    assert_int_equal(result.exit_code, 0);
    assert_non_null(strstr(result.out, "\n  not_leader "));
    assert_non_null(strstr(result.out, " 78 configuration"));
    assert_non_null(strstr(result.out, " leader_changed "));
    assert_true(widest_line(result.out) < 80);
    run("explain", "disk_slow", "--json", NULL);
    EXPECT(0,
           "{\"explained\":[{\"name\":\"disk_slow\",\"kind\":\"event\",\"levels\":\"warning\","
           "\"meaning\":\"*\",\"next\":\"*\"}]}\n",
           "");
}

/* Each error and exit code ends with a command, but for what is well. */
static void looks__what_is_explained_says_what_to_type(void **state)
{
    const char *one;
    unsigned n = 0;

    (void)state;
    run("explain", "--json", NULL);
    assert_int_equal(result.exit_code, 0);
    for (one = strstr(result.out, "{\"name\""); one != NULL; n++) {
        const char *next = strstr(one, "\"next\":\"");
        char text[512];

        assert_non_null(next);
        (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(next + 8, "\""), next + 8);
        if (strncmp(text, "Nothing", 7) != 0 && strchr(text, '\'') == NULL &&
            strstr(one, "\"kind\":\"event\"") > next)
            fail_msg("no command: %.200s", one);
        one = strstr(next, "{\"name\"");
    }
    assert_true(n > 100);
}

/* ---- status --watch ---- */

static void looks__watch_draws_over_and_ends(void **state)
{
    static const struct fake_step steps[] = {{"\"status\"", FAKE_REPLY, STATUS(""), 0}, MEMBERS};
    struct fake_server *s = fake_start(STEPS(steps));
    static const char *const words[] = {"status", "--watch", "--interval", "0.1", NULL};
    struct live *l = calloc(1, sizeof(*l));

    (void)state;
    assert_non_null(l);
    live_start(l, 0, fake_address(s), words);
    while (count_of(l->text, "\nOK: ") < 3)
        assert_true(live_reads(l));
    assert_int_equal(kill(l->pid, SIGINT), 0);
    assert_int_equal(live_exit_code(l), 0);
    assert_true(matches(l->text, "20*-*-*T*:*:*Z\nOK: *\nNODE *\nn1 *\n\n20*-*-*T*:*:*Z\nOK: *"));
    assert_null(strchr(l->text, '\033'));
    /* On a terminal it stands in one place, no more of it than there are rows; q ends it. */
    live_start(l, 2, fake_address(s), words);
    while (count_of(l->text, "\033[HOK: ") < 3)
        assert_true(live_reads(l));
    assert_int_equal(write(l->fd, "q", 1), 1);
    assert_int_equal(live_exit_code(l), 0);
    assert_null(strstr(l->text, "n1    leader"));
    free(l);
    fake_stop(s);
}

/* A name or an address of any length leaves the table within a terminal (TELL-4). */
static void looks__status_fits_a_terminal(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":"
         "\"a-rather-long-name-of-a-node.rack-17.example-41\",\"role\":\"pre-candidate\",\"term\":"
         "123456,\"commit_index\":1234567890,\"applied_index\":1234567000,\"uptime_ms\":8640000000,"
         "\"peers\":[{\"connected\":true}],\"disk\":{\"fsync_p99_us\":123456},\"log\":{\"bytes\":"
         "99999999},\"state\":{\"keys\":1234567,\"live_bytes\":12345678901,\"file_bytes\":"
         "12345678901},\"snapshots\":{\"index\":1234567890,\"age_s\":864000,\"bytes\":12345678901,"
         "\"log_begins_behind\":1234567890,\"receiving\":{\"from\":\"n2\",\"percent\":43}},"
         "\"reads\":{\"read_index\":123456789},\"rss_bytes\":123456789}",
         0},
        MEMBERS};
    struct fake_server *s = fake_start(STEPS(steps));
    const char *table;

    (void)state;
    run("-e", fake_address(s), "status", "-v", NULL);
    table = strstr(result.out, "NODE ");
    assert_non_null(table);
    assert_true(widest_line(table) <= 80);
    assert_non_null(strstr(table, "a-rath..ple-41"));
    assert_non_null(strstr(table, "\n    127.0.0.1:"));
    assert_non_null(strstr(table, "\n    from n2: 43 %\n"));
    run("-e", fake_address(s), "status", "--wide", NULL);
    assert_non_null(strstr(result.out, "a-rather-long-name-of-a-node.rack-17.example-41"));
    run("-e", fake_address(s), "top", "--interval", "0.1", NULL);
    table = strstr(result.out, "NODE ");
    assert_non_null(table);
    assert_true(widest_line(table) <= 80);
    fake_stop(s);
}

/* ---- top ---- */

#define LOAD(uptime, reads, writes, rounds)                                                        \
    STATUS(",\"uptime_ms\":" uptime ",\"reads\":{\"read_index\":" reads ",\"rounds\":" rounds      \
           "},\"writes\":{\"applied\":" writes "},\"log\":{\"fsyncs\":" writes                     \
           "},\"disk\":{\"fsync_p99_us\":2500},\"turn\":{\"cpu_p99_us\":120},\"rss_bytes\":"       \
           "6291456,\"clients\":{\"open\":7}")

/* Rates are differences over the node's own time (TELL-5). */
static void looks__top_shows_differences(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, LOAD("10000", "5000", "100", "500"), 1},
        {"\"status\"", FAKE_REPLY, LOAD("12000", "9000", "300", "900"), 1},
        {"\"status\"", FAKE_REPLY, LOAD("1000", "10", "3", "5"), 1},
        {"\"status\"", FAKE_REPLY, LOAD("2000", "20", "4", "6"), 0},
        MEMBERS};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "top", "--interval", "0.1", "-n", "3", NULL);
    EXPECT(0,
           "20*Z\nOK: *\n\nrequests per second:\n"
           "NODE  ROLE    INDEX  LEASE  FOLLOW  BOUND  LOCAL  LOG  FAILED  WRITES\n"
           "n1    leader     2k      0       0      0      0    0       0     100\n"
           "\n"
           "NODE  ROUNDS/S  READS/ROUND  SYNCS/S  SYNC P99  TURN P99  MEMORY  CLIENTS  LAG\n"
           "n1         200         10.0      100     2.5ms     120us      6M        7    0\n"
           "\n"
           "20*Z\n*\nn1    leader      -      -       -      -      -    -       -       -\n*"
           "\n20*Z\n*\nn1    leader     10      0 *",
           "");
    fake_stop(s);
}

/* ---- events ---- */

#define EVENTS(node, began, missed, next, list)                                                    \
    "{\"type\":\"events_ok\",\"in_reply_to\":%ID,\"node\":\"" node "\",\"began\":\"" began         \
    "\",\"oldest\":1,\"missed\":" missed ",\"next\":" next ",\"events\":[" list "]}"
#define EVENT(seq, time, level, name)                                                              \
    "{\"seq\":" seq ",\"ts\":\"2026-11-30T16:00:" time "Z\",\"level\":\"" level                    \
    "\",\"event\":\"" name "\",\"term\":2,\"role\":\"leader\",\"text\":\"n=" seq "\"}"
#define OLD_NODE                                                                                   \
    "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":10,\"text\":\"unknown type\",\"error\":"     \
    "\"not_supported\",\"definite\":true}"

static void looks__events_are_one_story(void **state)
{
    static const struct fake_step one[] = {
        {"\"status\"", FAKE_REPLY, STATUS(""), 0},
        MEMBERS,
        {"\"events\"", FAKE_REPLY,
         EVENTS("n1", "5", "0", "3",
                EVENT("1", "01.000001", "info", "ready") "," EVENT("2", "03.5", "warning",
                                                                   "peer\\u001b[31m")),
         0}};
    static const struct fake_step two[] = {
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n2\",\"role\":\"follower\","
         "\"term\":3,\"leader_id\":\"n1\",\"cluster\":\"here\"}",
         0},
        MEMBERS,
        {"\"events\"", FAKE_REPLY,
         EVENTS("n2", "6", "0", "2", EVENT("1", "02.25", "error", "no_space")), 0}};
    static const struct fake_step old[] = {
        {"\"events\"", FAKE_REPLY, OLD_NODE, 0},
        {"\"slow\"", FAKE_REPLY, OLD_NODE, 0},
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n3\",\"cluster\":\"here\"}", 0},
        MEMBERS};
    struct fake_server *a = fake_start(STEPS(one));
    struct fake_server *b = fake_start(STEPS(two));
    struct fake_server *c = fake_start(STEPS(old));
    char dead[32];
    const int fd = fake_refusing_port(dead, sizeof(dead));
    char list[160];

    (void)state;
    (void)snprintf(list, sizeof(list), "%s,%s,%s", fake_address(b), fake_address(a),
                   fake_address(c));
    run("-e", list, "events", NULL);
    EXPECT(0,
           "-- 2026-11-30 (UTC)\n"
           "16:00:01.000  n1    info     ready  n=1\n"
           "16:00:02.25Z  n2    error    no_space  n=1\n"
           "16:00:03.5Z  n1    warning  peer?[31m  n=2\n",
           "-- n3 is of a version that keeps no events: 'journalctl -u ridd@n3' there\n");
    run("-e", list, "events", "--level", "error", "n2", NULL);
    EXPECT(0, "-- *\n16:00:02.25Z  n2    error    no_space  n=1\n", "");
    run("-e", list, "events", "-n", "1", "-v", NULL);
    EXPECT(0, "-- *\n16:00:03.5Z  n1    warning  peer?[31m  term=2 role=leader  n=2\n",
           "-- n3 *\n");
    run("-e", list, "events", "--json", "n2", NULL);
    EXPECT(0,
           "{\"events\":[{\"node\":\"n2\",\"seq\":1,\"ts\":\"2026-11-30T16:00:02.25Z\",\"level\":"
           "\"error\",\"event\":\"no_space\",\"term\":2,\"role\":\"leader\",\"text\":\"n=1\"}],"
           "\"nodes\":[{\"node\":\"n2\",\"endpoint\":\"127.0.0.1:*\",\"answered\":true}]}\n",
           "");
    run("-e", list, "events", "n9", NULL);
    EXPECT(64, "", "ridctl: events: no node is called 'n9'; 'ridctl members' shows their names\n");
    run("-e", list, "events", "--level", "warn", NULL);
    EXPECT(64, "",
           "ridctl: events: --level takes error, warning, info, not 'warn'; did you mean "
           "'warning'?\n");
    run("-e", dead, "events", NULL);
    EXPECT(69, "", "-- 127.0.0.1:* does not answer: *\nridctl: events: none of 1 nodes *\n");
    run("-e", fake_address(c), "slow", NULL);
    EXPECT(0, "", "-- n3 is of a version that measures no stages; 'ridctl status --json' *\n");
    (void)close(fd);
    fake_stop(a);
    fake_stop(b);
    fake_stop(c);
}

/* Each is told once; what is missed, and who is another, is said (TELL-2). */
static void looks__events_are_followed_without_gaps(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, STATUS(""), 0},
        MEMBERS,
        {"\"after\":0,", FAKE_REPLY, EVENTS("n1", "5", "0", "2", EVENT("1", "01.0", "info", "a")),
         1},
        /* Told again by a node that counts otherwise: not here. */
        {"\"after\":1,", FAKE_REPLY,
         EVENTS("n1", "5", "0", "3",
                EVENT("1", "01.0", "info", "a") "," EVENT("2", "02.0", "info", "b")),
         1},
        {"\"after\":2,", FAKE_REPLY, EVENTS("n1", "5", "4", "8", EVENT("7", "03.0", "info", "c")),
         1},
        {"\"after\":7,", FAKE_CLOSE, NULL, 2},
        {"\"after\":7,", FAKE_REPLY, EVENTS("n1", "5", "0", "8", EVENT("8", "04.0", "info", "d")),
         1},
        /* Another process, which has told more than that already. */
        {"\"after\":8,", FAKE_REPLY, EVENTS("n1", "9", "3", "9", EVENT("9", "09.0", "info", "g")),
         1},
        {"\"after\":0,", FAKE_REPLY,
         EVENTS("n1", "9", "3", "9",
                EVENT("4", "05.0", "info", "e") "," EVENT("9", "09.0", "info", "g")),
         1},
        {"\"events\"", FAKE_REPLY, EVENTS("n1", "9", "0", "9", ""), 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    static const char *const words[] = {"-t", "300", "events", "-f", "--interval", "0.1", NULL};
    struct live *l = calloc(1, sizeof(*l));

    (void)state;
    assert_non_null(l);
    live_start(l, 0, fake_address(s), words);
    live_until(l, "  g  n=9\n");
    assert_int_equal(kill(l->pid, SIGINT), 0);
    assert_int_equal(live_exit_code(l), 0);
    if (!matches(l->text, "-- 2026-11-30 (UTC)\n"
                          "16:00:01.0Z  n1    info     a  n=1\n"
                          "16:00:02.0Z  n1    info     b  n=2\n"
                          "-- n1 has told 4 events more, which it keeps no longer: see its log\n"
                          "16:00:03.0Z  n1    info     c  n=7\n"
                          "-- n1 does not answer: *\n"
                          "-- n1 answers again\n"
                          "16:00:04.0Z  n1    info     d  n=8\n"
                          "-- n1 has been started anew\n"
                          "-- n1 has told 3 events more, which it keeps no longer: see its log\n"
                          "16:00:05.0Z  n1    info     e  n=4\n"
                          "16:00:09.0Z  n1    info     g  n=9\n"))
        fail_msg("told:\n%s", l->text);
    free(l);
    fake_stop(s);
}

/* ---- slow ---- */

static void looks__slow_names_stage_and_peer(void **state)
{
    static const struct fake_step steps[] = {
        {"\"slow\"", FAKE_REPLY,
         "{\"type\":\"slow_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"threshold_us\":100000,"
         "\"slow\":[{\"seq\":7,\"ts\":\"2026-11-30T16:00:00.123456Z\",\"op\":\"write\",\"total_"
         "us\":"
         "43210,\"queue_us\":12,\"quorum_us\":900,\"apply_us\":41000,\"execute_us\":20,\"stage\":"
         "\"apply\",\"peer\":\"n3\",\"why\":\"apply waited 41 ms behind a 2 MB batch\",\"index\":"
         "123,\"result\":\"ok\"},{\"seq\":8,\"ts\":\"2026-11-30T16:00:01.5Z\",\"op\":"
         "\"read_index\",\"total_us\":2000000,\"stage\":\"quorum\",\"peer\":null,\"why\":\"\","
         "\"result\":\"timeout\"}],"
         "\"stages\":[{\"op\":\"write\",\"n\":1234,\"queue\":{\"p50_us\":1,\"p99_us\":12,\"max_"
         "us\":"
         "20},\"quorum\":{\"p99_us\":900},\"apply\":{\"p99_us\":41000},\"execute\":{\"p99_us\":20},"
         "\"total\":{\"p50_us\":500,\"p99_us\":42000,\"max_us\":43210}}],"
         "\"last\":[{\"op\":\"write\",\"ts\":\"2026-11-30T16:00:00Z\",\"total_us\":210,\"steps\":"
         "[{\"what\":\"arrived\",\"at_us\":0},{\"what\":\"acknowledged\",\"peer\":\"n2\",\"at_us\":"
         "101}]}]}",
         0},
        {"\"status\"", FAKE_REPLY, STATUS(""), 0},
        MEMBERS};
    struct fake_server *s = fake_start(STEPS(steps));

    (void)state;
    run("-e", fake_address(s), "slow", "-v", "--wide", NULL);
    EXPECT(0,
           "TIME          NODE  OPERATION    TOTAL  MOST    PEER  WHY\n"
           "16:00:00.123  n1    write       43.2ms  apply   n3    apply waited 41 ms behind a 2 MB "
           "batch\n"
           "16:00:01.5Z   n1    read_index      2s  quorum  -     timeout\n"
           "\n"
           "where the time goes, 99 of 100 within:\n"
           "NODE  OPERATION  COUNT  QUEUE  QUORUM  APPLY  REPLY    P50   P99  LONGEST\n"
           "n1    write       1.2k   12us   900us   41ms   20us  500us  42ms   43.2ms\n"
           "\n"
           "the last of each, step by step:\n"
           "  n1 write 210us: 0us arrived, 101us acknowledged n2\n",
           "");
    run("-e", fake_address(s), "slow", "-n", "1", NULL);
    EXPECT(0, "TIME *\n16:00:01.5Z  n1    read_index     2s  quorum  -     timeout\n\nwhere *", "");
    assert_true(widest_line(result.out) <= 80);
    run("-e", fake_address(s), "slow", "--json", NULL);
    EXPECT(0,
           "{\"nodes\":[{\"node\":\"n1\",\"endpoint\":\"127.0.0.1:*\",\"slow\":{\"type\":"
           "\"slow_ok\",*}}]}\n",
           "");
    fake_stop(s);
}

/* ---- check ---- */

static void check_one(const char *status, int exit_code, const char *out)
{
    const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, status, 0}, MEMBERS, {"\"events\"", FAKE_REPLY, OLD_NODE, 0}};
    struct fake_server *s = fake_start(STEPS(steps));

    run("-e", fake_address(s), "check", "--format", "nagios", NULL);
    EXPECT(exit_code, out, "");
    fake_stop(s);
}

/* The worst of all counts, and what cannot be asked is not well (TELL-6). */
static void looks__check_counts_the_worst(void **state)
{
    char dead[32];
    const int fd = fake_refusing_port(dead, sizeof(dead));

    (void)state;
    check_one(STATUS(",\"uptime_ms\":700000,\"disk\":{\"fsync_p99_us\":20000,\"election_ms\":500},"
                     "\"space\":{\"full\":null,\"used_bytes\":50,\"limit_bytes\":200},"
                     "\"room\":{\"free_bytes\":300,\"all_bytes\":1000}"),
              0,
              "RIDD OK - OK: survives *| lag=0;10000;100000;0 fsync=4%;20;60;0 quota=25%;80;95;0 "
              "disk=70%;85;95;0 starts=0;2;;0\n");
    check_one(STATUS(",\"disk\":{\"fsync_p99_us\":125000,\"election_ms\":500},\"space\":{"
                     "\"used_bytes\":199,\"limit_bytes\":200}"),
              2,
              "RIDD CRITICAL - quota 99.5% on n1; OK: * fsync=25%;20;60;0 quota=99.5%;80;95;0*\n");
    check_one(STATUS(",\"disk\":{\"fsync_p99_us\":125000,\"election_ms\":500}"), 1,
              "RIDD WARNING - fsync 25% on n1; OK: *\n");
    check_one(STATUS(",\"room\":{\"free_bytes\":49,\"all_bytes\":1000}"), 2,
              "RIDD CRITICAL - disk 95.1% on n1; OK: *| lag=* disk=95.1%;85;95;0 *\n");
    check_one(STATUS(",\"space\":{\"used_bytes\":149,\"limit_bytes\":1073741824}"), 0,
              "RIDD OK - OK: survives *| lag=0;10000;100000;0 quota=0%;80;95;0 starts=0;2;;0\n");
    check_one(STATUS(",\"room\":{\"free_bytes\":null,\"all_bytes\":null}"), 0,
              "RIDD OK - OK: survives *| lag=0;10000;100000;0 starts=0;2;;0\n");
    check_one(STATUS(",\"state\":{\"verdict\":\"differs\"}"), 2,
              "RIDD CRITICAL - n1: its state differs *\n");
    check_one(STATUS(",\"space\":{\"full\":\"log\"}"), 2, "RIDD CRITICAL - n1: no space (log)*\n");
    check_one("{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"role\":\"follower\","
              "\"term\":3}",
              2, "RIDD CRITICAL - NO QUORUM: *\n");
    run("-e", dead, "check", "--format", "nagios", NULL);
    EXPECT(2, "RIDD CRITICAL - NO QUORUM: 0 of 1 nodes answered; *unreachable*\n", "");
    run("-c", "/nowhere/ridd.conf", "check", "--format", "nagios", NULL);
    EXPECT(3, "RIDD UNKNOWN - cannot open *\n", "ridctl: check: cannot open *\n");
    run("-e", dead, "check", "--warning", "lagg=1", NULL);
    EXPECT(3, "", "ridctl: check: --warning: no such limit 'lagg'; did you mean 'lag'?\n");
    run("-e", dead, "check", "--warning", "lag=many", NULL);
    EXPECT(3, "", "ridctl: check: --warning takes lag=NUMBER, not 'lag=many'; see 'ridctl *'\n");
    (void)close(fd);
}

/* Other leaders within the hour, as the node saw that saw most; the first one is no change. */
static void looks__check_limits_are_obeyed(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, STATUS(""), 0},
        MEMBERS,
        {"\"events\"", FAKE_REPLY,
         EVENTS("n1", "5", "0", "5",
                "{\"seq\":1,\"ts\":\"2999-01-01T00:00:00Z\",\"level\":\"info\",\"event\":"
                "\"leader_changed\",\"text\":\"leader=n1\"},"
                "{\"seq\":2,\"ts\":\"2999-01-01T00:00:01Z\",\"level\":\"info\",\"event\":"
                "\"leader_changed\",\"text\":\"leader=none\"},"
                "{\"seq\":3,\"ts\":\"2999-01-01T00:00:02Z\",\"level\":\"info\",\"event\":"
                "\"leader_changed\",\"text\":\"leader=n2\"}"),
         0}};
    struct fake_server *s = fake_start(STEPS(steps));
    const char *at = fake_address(s);

    (void)state;
    run("-e", at, "check", "--format", "nagios", NULL);
    EXPECT(0, "RIDD OK - *| lag=0;10000;100000;0 changes=1;6;30;0 starts=0;2;;0\n", "");
    run("-e", at, "check", "--format", "nagios", "--warning", "changes=1", NULL);
    EXPECT(1, "RIDD WARNING - changes 1; OK: *| * changes=1;1;30;0 *\n", "");
    run("-e", at, "check", "--warning", "changes=1", "--critical", "changes=1,lag=0", NULL);
    EXPECT(2, "RIDD CRITICAL - *\n  verdict   OK  *\nlag      OK  *  -  *\nchanges  CRITICAL *",
           "");
    run("-e", at, "check", "--json", NULL);
    EXPECT(0, "{\"state\":\"OK\",\"facts\":[{\"check\":\"verdict\",*\"critical\":null}]}\n", "");
    /* What help says of the limits is what is in force. */
    run("check", "--help", NULL);
    EXPECT(
        0,
        "*  lag      10000  100000  *  fsync       20      60  *  quota       80      95  *  "
        "disk        85      95  *  drift     1000    5000  *  changes      6      30  *  starts "
        "      2       0  *",
        "");
    fake_stop(s);
}

/* ---- completion ---- */

static void looks__completion_follows_from_the_tables(void **state)
{
    static const struct {
        const char *words[5];
        const char *out;
    } rows[] = {
        {{"st"}, "status\t*\n"},
        {{"read-in"}, "read_index\t*\n"},
        {{"get", "k", "--max"}, "--max-stale\t*\n"},
        {{"get", "k", "--wat"}, ""}, /* of another verb (TELL-3) */
        {{"get", "--via", "l"}, "log\nlease\nlocal\n"},
        {{"get", "--via", "=", "le"}, "lease\n"},
        {{"get", "--via=le"}, "--via=lease\n"},
        {{"compare", "--methods", "lease,f"}, "lease,follower\n"},
        {{"member", "re"}, "remove\nreplace\nrejoin\n"},
        {{"member", "remove", "n"}, "n1\t*\nn2\t*\n"},
        {{"transfer", "n2"}, "n2\t*\n"},
        {{"transfer", "n1", ""}, ""},
        {{"-c", "/nowhere", "transfer", ""}, ""},
        {{"--config=/nowhere", "transfer", ""}, ""},
        {{"snapshot", "n1", "n"}, "n1\t*\nn2\t*\n"},
        {{"snapshot", "--save", ""}, ":file\n"},
        {{"import", ""}, ":file\n"},
        {{"get", "--", "--v"}, ""},
        {{"get", ""}, ""},
        {{"explain", "clocks_"}, "clocks_drift\nclocks_agree\n"},
        {{"events", "--level", ""}, "error\nwarning\ninfo\n"},
        {{"completion", ""}, "bash\nzsh\nfish\n"},
        {{"help", "sna"}, "snapshot\t*\n"},
        {{"bench", "--method", "l"}, "log\nlease\nlocal\n"},
        {{"doctor", "--data-dir", ""}, ":file\n"},
    };

    (void)state;
    write_file("two.conf", "[cluster]\nname = here\n[peers]\nn1 = 127.0.0.1:1 127.0.0.1:2\n"
                           "n2 = 127.0.0.1:3 127.0.0.1:4\n");
    env_conf = "two.conf";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const *w = rows[i].words;

        run("__complete", w[0], w[1], w[2], w[3], w[4], NULL);
        EXPECT(0, rows[i].out, "");
    }
    env_conf = NULL;
    /* Every verb is offered, and each stands in a group of the help. */
    run("__complete", "", NULL);
    assert_true(count_of(result.out, "\n") > 25);
    run("--help", NULL);
    assert_null(strstr(result.out, "Other:"));
    assert_true(widest_line(result.out) <= 80);
}

/* Of a terminal as it is opened. */
static void looks__help_fits_a_terminal(void **state)
{
    char list[sizeof(result.out)];
    unsigned n = 0;

    (void)state;
    run("--help", NULL);
    memcpy(list, result.out, sizeof(list));
    for (const char *s = strstr(list, "\n  "); s != NULL; s = strstr(s + 1, "\n  ")) {
        char verb[32];

        if (s[3] < 'a' || s[3] > 'z')
            continue;
        (void)snprintf(verb, sizeof(verb), "%.*s", (int)strcspn(s + 3, " "), s + 3);
        if (strcmp(verb, "ridctl") == 0)
            break;
        run(verb, "--help", NULL);
        EXPECT(0, "Usage: ridctl *", "");
        if (widest_line(result.out) > 80)
            fail_msg("%s --help: %zu columns", verb, (size_t)widest_line(result.out));
        n++;
    }
    assert_true(n > 25);
}

static int shell(const char *command)
{
    const int status = system(command); /* NOLINT(cert-env33-c): of this test alone */

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What the shells make of it; one that is not installed is left out. */
static void looks__shells_take_the_scripts(void **state)
{
    char command[2 * sizeof(program) + 512];

    (void)state;
    write_file(
        "bash.sh",
        "eval \"$(\"$1\" completion bash)\"\n"
        "complete -p ridctl >/dev/null || exit 1\n"
        "try() { want=$1; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _ridctl \"$1\"\n"
        "    [ \"${COMPREPLY[*]}\" = \"$want\" ] || { echo \"$*: ${COMPREPLY[*]}\"; exit 1; }; }\n"
        "try status \"$1\" st\n"
        "try 'log lease local' \"$1\" get --via l\n"
        "try lease \"$1\" get --via = le\n"
        "try 'n1 n2' \"$1\" -c two.conf transfer ''\n"
        "try two.conf \"$1\" import tw\n"
        "try '' \"$1\" get ''\n");
    (void)snprintf(command, sizeof(command), "bash bash.sh '%s'", program);
    assert_int_equal(shell(command), 0);
    (void)snprintf(command, sizeof(command),
                   "for s in bash zsh fish; do '%s' completion $s >script || exit 1; command -v $s "
                   ">/dev/null || continue; $s -n script || exit 1; done",
                   program);
    assert_int_equal(shell(command), 0);
    run("completion", "csh", NULL);
    EXPECT(64, "", "ridctl: completion: completion takes bash, zsh, fish, not 'csh'; *\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks__each_error_of_a_node_names_a_command),
        cmocka_unit_test(looks__each_exit_code_names_a_command),
        cmocka_unit_test(looks__explain_needs_nobody),
        cmocka_unit_test(looks__what_is_explained_says_what_to_type),
        cmocka_unit_test(looks__watch_draws_over_and_ends),
        cmocka_unit_test(looks__status_fits_a_terminal),
        cmocka_unit_test(looks__top_shows_differences),
        cmocka_unit_test(looks__events_are_one_story),
        cmocka_unit_test(looks__events_are_followed_without_gaps),
        cmocka_unit_test(looks__slow_names_stage_and_peer),
        cmocka_unit_test(looks__check_counts_the_worst),
        cmocka_unit_test(looks__check_limits_are_obeyed),
        cmocka_unit_test(looks__completion_follows_from_the_tables),
        cmocka_unit_test(looks__help_fits_a_terminal),
        cmocka_unit_test(looks__shells_take_the_scripts),
    };

    return cmocka_run_group_tests_name("looks", tests, ctl_run_set_up, ctl_run_tear_down);
}
