/* What ridd tells systemd: a datagram socket in its place hears all of it. */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"
#include "cluster/shim.h"

#include "base/banned.h"

/* Where systemd would listen. */
struct notify {
    char variable[300];
    char watchdog[64];
    const char *env[6];
    int fd;
    char message[4096]; /* the last one */
};

static void notify_begin(struct notify *t, const struct cluster *c, const struct shim *shim)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    unsigned n = 0;

    t->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true((size_t)snprintf(un.sun_path, sizeof(un.sun_path), "%s/notify", c->dir) <
                sizeof(un.sun_path));
    (void)snprintf(t->variable, sizeof(t->variable), "NOTIFY_SOCKET=%s", un.sun_path);
    (void)snprintf(t->watchdog, sizeof(t->watchdog), "WATCHDOG_USEC=400000");
    assert_int_equal(bind(t->fd, (struct sockaddr *)&un, sizeof(un)), 0);
    t->env[n++] = t->variable;
    t->env[n++] = t->watchdog;
    for (unsigned i = 0; shim != NULL && shim->env.env[i] != NULL; i++)
        t->env[n++] = shim->env.env[i];
    t->env[n] = NULL;
}

/* The next message; false: none within ms. */
static bool next_message(struct notify *t, unsigned ms)
{
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    ssize_t got;

    if (poll(&p, 1, (int)ms) <= 0)
        return false;
    got = recv(t->fd, t->message, sizeof(t->message) - 1, MSG_DONTWAIT);
    t->message[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* Takes in messages until one holds `text`; none of them may hold `never` (NULL: any may). */
static void wait_notified_before(struct notify *t, const char *text, const char *never)
{
    uint64_t deadline = now_ms() + slow(WAIT_MS);

    while (now_ms() < deadline) {
        if (!next_message(t, 50))
            continue;
        if (strstr(t->message, text) != NULL)
            return;
        if (never != NULL && strstr(t->message, never) != NULL)
            harness_fail("systemd is told '%s' before '%s'", t->message, text);
    }
    harness_fail("systemd is not told '%s'", text);
}

/* The kernel keeps some ten messages, and drops what comes when nobody took them in. */
static void take_all(struct notify *t)
{
    while (next_message(t, 0))
        ;
}

static void wait_notified(struct notify *t, const char *text)
{
    wait_notified_before(t, text, NULL);
}

CASE(systemd__ready_alive_stopping)
{
    struct cluster *c = cluster_new(3, NULL);
    struct notify t;

    notify_begin(&t, c, NULL);
    cluster_init(c);
    c->env = t.env;
    node_spawn(c, 0);
    wait_notified_before(&t, "READY=1", "WATCHDOG=1"); /* one of three: not at quorum */
    client_close(client_open(c, 0));                   /* whoever is told so may connect */
    wait_notified(&t, "; no leader is known");
    wait_notified(&t, "WATCHDOG=1");
    c->env = NULL;
    cluster_start(c);
    do
        wait_notified(&t, "leader n");
    while (strstr(t.message, "leader none") != NULL);
    assert_null(strstr(t.message, "no leader"));
    assert_non_null(strstr(t.message, " entries applied, "));
    take_all(&t);
    node_signal(c, 0, SIGTERM);
    wait_notified(&t, "STOPPING=1");
    assert_int_equal(node_wait_exit(c, 0), 0);
    (void)close(t.fd);
    cluster_free(c);
}

static void set_slow_read(const struct shim *s, unsigned ms)
{
    file_patch(s->control, offsetof(struct shim_control, slow_read_ms), &ms, sizeof(ms));
}

/* A log that takes long to be read asks for more time as long as it is read, and for none while the
 * disk hangs (UNIT-1); READY comes when all of it was read and the ports listen (UNIT-2). */
CASE(systemd__a_long_start_says_that_it_moves)
{
    struct cluster *c = cluster_new(1, "[log]\nsegment_size = 1M\n");
    struct writers w;
    struct shim shim;
    struct notify t;
    uint64_t until;
    unsigned n_said = 0;

    cluster_init(c);
    cluster_start(c);
    writers_init(&w, c, 1, 8, "long", 60000);
    writers_run(&w, 160);
    writers_stop(&w);
    writers_done(&w);
    node_kill(c, 0);
    shim_begin(&shim, c);
    set_slow_read(&shim, 700);
    notify_begin(&t, c, &shim);
    c->env = t.env;
    node_spawn(c, 0);
    wait_notified_before(&t, "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=starting: reading the log, ",
                         "READY=1");
    wait_notified_before(&t, "EXTEND_TIMEOUT_USEC=", "READY=1");
    /* From here on the disk hangs. What was read before may still be told. */
    set_slow_read(&shim, UINT_MAX);
    while (next_message(&t, 800))
        ;
    until = now_ms() + 2500; /* twice as long as it takes to say something */
    while (now_ms() < until)
        n_said += next_message(&t, 50);
    assert_int_equal(n_said, 0);
    assert_false(node_logged(c, 0, "event=ready"));
    set_slow_read(&shim, 0);
    wait_notified(&t, "READY=1");
    client_close(client_open(c, 0));
    node_wait_logged(c, 0, "event=log_opened");
    (void)close(t.fd);
    c->env = NULL;
    cluster_free(c);
}

/* A state that is not believed is made again from the log while the node runs: how far that is stands
 * in the status until it is done. */
CASE(systemd__a_state_made_again_is_shown)
{
    struct cluster *c = cluster_new(1, NULL);
    struct writers w;
    struct notify t;
    char path[300];

    cluster_init(c);
    cluster_start(c);
    writers_init(&w, c, 1, 8, "again", 100);
    writers_run(&w, 200);
    writers_stop(&w);
    writers_done(&w);
    node_kill(c, 0);
    (void)snprintf(path, sizeof(path), "%s/db/TRUST", c->nodes[0].dir);
    assert_int_equal(unlink(path), 0);
    notify_begin(&t, c, NULL);
    c->env = t.env;
    node_spawn(c, 0);
    wait_notified_before(&t, "; the state is made again from the log: 0 %, 0 of ", "READY=1");
    wait_notified(&t, "READY=1");
    do
        wait_notified(&t, "STATUS=");
    while (strstr(t.message, "leader n1") == NULL || strstr(t.message, "made again") != NULL);
    (void)close(t.fd);
    c->env = NULL;
    cluster_free(c);
}

/* One line says what was taken and what was not, and why; systemd sees when it begins and ends
 * (UNIT-3). */
CASE(systemd__a_reload_begins_and_ends)
{
    struct cluster *c = cluster_new(1, NULL);
    struct notify t;
    char *line;

    notify_begin(&t, c, NULL);
    cluster_init(c);
    c->env = t.env;
    cluster_start(c);
    cluster_write_conf(c, "test",
                       "log_level = debug\n[limits]\nin_flight = 7\n[state]\nscrub = 5\n");
    take_all(&t);
    node_signal(c, 0, SIGHUP);
    wait_notified(&t, "RELOADING=1\nMONOTONIC_USEC=");
    wait_notified(&t, "READY=1");
    wait_notified(&t, "STATUS=");
    assert_non_null(strstr(t.message, "; needs a restart: [state] scrub;"));
    assert_non_null(strstr(t.message, "; reloaded: [node] log_level, [limits] in_flight"));
    node_wait_logged(c, 0, "event=reloaded");
    line = node_log_line(c, 0, "event=reloaded");
    assert_non_null(strstr(line, "taken=\"[node] log_level, [limits] in_flight\" "
                                 "not_taken=\"[state] scrub\" why='needs a restart'"));
    free(line);
    /* A file that is refused is no reload that never ends. */
    cluster_write_conf(c, "test", "log_level = loud\n");
    take_all(&t);
    node_signal(c, 0, SIGHUP);
    wait_notified(&t, "RELOADING=1\nMONOTONIC_USEC=");
    wait_notified(&t, "READY=1");
    wait_notified(&t, "STATUS=");
    assert_non_null(strstr(t.message, "; the file was read again and refused, line "));
    assert_non_null(strstr(t.message, "loud"));
    /* And one that is good again is forgotten of. */
    cluster_write_conf(c, "test", NULL);
    take_all(&t);
    node_signal(c, 0, SIGHUP);
    wait_notified(&t, "READY=1");
    wait_notified(&t, "STATUS=");
    assert_null(strstr(t.message, "refused"));
    assert_null(strstr(t.message, "restart"));
    (void)close(t.fd);
    c->env = NULL;
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(systemd__ready_alive_stopping),
        HARNESS_TEST(systemd__a_long_start_says_that_it_moves),
        HARNESS_TEST(systemd__a_state_made_again_is_shown),
        HARNESS_TEST(systemd__a_reload_begins_and_ends),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
