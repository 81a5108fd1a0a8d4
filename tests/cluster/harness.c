/* Processes, files and waiting. Clients are in client.c and swarm.c.
 *
 * All clusters are in one list, so that a case that fails can leave them as they are: the teardown
 * finds them there. */
#include "cluster/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/shim.h"

#include "base/banned.h"

#define LOG_TAIL_LINES 60u
#define ALARM_S        900u
#define END_MS         3000u /* before who does not end is killed */

static struct cluster *clusters;
static const char *case_name; /* NULL: none is running */
static bool any_failed;
static unsigned slowness = 1;
static struct {
    void (*fn)(void *ctx);
    void *ctx;
} meanwhile;
static char ridd[PATH_MAX];

/* ---- cases ---- */

void harness_begin(const char *name)
{
    case_name = name;
}

void harness_end(void)
{
    case_name = NULL;
}

void harness_fail(const char *format, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    fail_msg("%s", text);
    abort(); /* fail_msg does not come back */
}

void harness_init(int argc, char **argv)
{
    const char *build = getenv("top_builddir");
    const char *factor = getenv("RIDD_TEST_SLOW");
    char path[PATH_MAX];

    if (factor != NULL)
        slowness = (unsigned)strtoul(factor, NULL, 10);
#ifdef RIDD_SLOW_BUILD
    else
        slowness = 5;
#endif
    if (slowness < 1 || slowness > 100)
        slowness = 1;
    (void)snprintf(path, sizeof(path), "%s/ridd", build != NULL ? build : ".");
    if (realpath(path, ridd) == NULL) {
        (void)fprintf(
            stderr, "there is no '%s': run it from the build folder, or set top_builddir\n", path);
        exit(1);
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)alarm(ALARM_S * slowness);
}

static void print_log_tail(const struct node *node)
{
    cleanup_file FILE *f = fopen(node->log, "re");
    cleanup_free char *line = NULL;
    size_t size = 0;
    unsigned n = 0;
    unsigned at = 0;

    if (f == NULL)
        return;
    (void)fprintf(stderr, "---- the end of %s\n", node->log);
    while (getline(&line, &size, f) >= 0)
        n++;
    rewind(f);
    while (getline(&line, &size, f) >= 0)
        if (at++ + LOG_TAIL_LINES >= n)
            (void)fprintf(stderr, "%s", line);
}

static void end_processes(struct cluster *c);
static void free_cluster(struct cluster *c);

int harness_teardown(void **state)
{
    struct cluster *next;

    (void)state;
    if (case_name == NULL)
        return 0;
    (void)fprintf(stderr, "---- %s failed\n", case_name);
    any_failed = true;
    for (struct cluster *c = clusters; c != NULL; c = c->next)
        for (unsigned i = 0; i < c->n; i++)
            print_log_tail(&c->nodes[i]);
    case_name = NULL;
    harness_meanwhile(NULL, NULL);
    for (struct cluster *c = clusters; c != NULL; c = next) {
        next = c->next;
        if (!c->shared) {
            (void)fprintf(stderr, "---- kept: %s\n", c->dir);
            end_processes(c);
            free_cluster(c);
        }
    }
    return 0;
}

/* ---- time ---- */

uint64_t now_ms(void)
{
    return clock_mono_us() / 1000u;
}

uint64_t slow(uint64_t ms)
{
    return ms * slowness;
}

/* False: nobody wants to do anything. */
static bool do_meanwhile(void)
{
    void (*const fn)(void *) = meanwhile.fn;

    if (fn == NULL)
        return false;
    meanwhile.fn = NULL; /* what it waits for itself is its own */
    fn(meanwhile.ctx);
    meanwhile.fn = fn;
    return true;
}

void harness_meanwhile(void (*fn)(void *ctx), void *ctx)
{
    meanwhile.fn = fn;
    meanwhile.ctx = ctx;
}

void pause_briefly(void)
{
    if (!do_meanwhile())
        (void)poll(NULL, 0, 4);
}

/* ---- files ---- */

static void die_unless(bool ok, const char *what, const char *path)
{
    if (!ok)
        harness_fail("%s '%s': %s", what, path, strerror(errno));
}

void file_write(const char *path, const void *data, size_t len)
{
    cleanup_file FILE *f = fopen(path, "we");

    die_unless(f != NULL && fwrite(data, 1, len, f) == len && fflush(f) == 0, "cannot write", path);
}

void file_read(const char *path, struct buf *out)
{
    cleanup_file FILE *f = fopen(path, "re");
    unsigned char part[65536];
    size_t got;

    die_unless(f != NULL, "cannot open", path);
    buf_reset(out, SIZE_MAX);
    while ((got = fread(part, 1, sizeof(part), f)) > 0)
        assert_int_equal(buf_add(out, part, got), 0);
    assert_int_equal(buf_add_u8(out, 0), 0);
    out->len--;
}

uint64_t file_size(const char *path)
{
    struct stat st;

    die_unless(stat(path, &st) == 0, "cannot stat", path);
    return (uint64_t)st.st_size;
}

void file_patch(const char *path, uint64_t offset, const void *data, size_t len)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

    die_unless(fd >= 0 && pwrite(fd, data, len, (off_t)offset) == (ssize_t)len, "cannot patch",
               path);
}

void file_xor(const char *path, uint64_t offset, unsigned char mask)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char byte = 0;

    die_unless(fd >= 0 && pread(fd, &byte, 1, (off_t)offset) == 1, "cannot read", path);
    byte ^= mask;
    file_patch(path, offset, &byte, 1);
}

void tree_remove(const char *path, bool keep)
{
    DIR *d = opendir(path);
    struct dirent *entry;

    if (d == NULL)
        return;
    while ((entry = readdir(d)) != NULL) {
        char sub[PATH_MAX];
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(sub, sizeof(sub), "%s/%s", path, entry->d_name);
        if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
            tree_remove(sub, false);
        else
            (void)unlink(sub);
    }
    (void)closedir(d);
    if (!keep)
        (void)rmdir(path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

unsigned folder_list(const char *path, char ***ret_names)
{
    DIR *d = opendir(path);
    struct dirent *entry;
    char **names = NULL;
    unsigned n = 0;

    die_unless(d != NULL, "cannot open", path);
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        names = realloc(names, (n + 1) * sizeof(*names));
        assert_non_null(names);
        names[n] = strdup(entry->d_name);
        assert_non_null(names[n]);
        n++;
    }
    (void)closedir(d);
    if (n > 0)
        qsort(names, n, sizeof(*names), by_name);
    *ret_names = names;
    return n;
}

void names_free(char **names, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* ---- processes ---- */

const char *ridd_path(void)
{
    return ridd;
}

/* In the child: dies with the test, in a group of its own, with the signals of a fresh process. */
static void become(const char *const *argv, const char *const *env, int out_fd, pid_t parent)
{
    sigset_t none;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    (void)setpgid(0, 0);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
        _exit(126);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("JOURNAL_STREAM");
    (void)unsetenv("WATCHDOG_USEC");
    for (; env != NULL && *env != NULL; env++)
        (void)putenv((char *)(uintptr_t)*env);
    (void)execv(argv[0], (char *const *)(uintptr_t)argv);
    (void)fprintf(stderr, "cannot run '%s': %s\n", argv[0], strerror(errno));
    _exit(127);
}

static pid_t start_program(const char *const *argv, const char *const *env, int out_fd)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        harness_fail("cannot fork: %s", strerror(errno));
    if (pid == 0)
        become(argv, env, out_fd, parent);
    return pid;
}

static int exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t program_begin(const char *const *argv, const char *out_path)
{
    cleanup_fd int fd = open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    die_unless(fd >= 0, "cannot open", out_path);
    return start_program(argv, NULL, fd);
}

bool program_ended(pid_t pid, int *ret_code)
{
    int status;

    if (waitpid(pid, &status, WNOHANG) != pid)
        return false;
    *ret_code = exit_code(status);
    return true;
}

int run_program(const char *const *argv, struct buf *out)
{
    return run_program_within(argv, out, WAIT_MS);
}

int run_program_within(const char *const *argv, struct buf *out, unsigned ms)
{
    uint64_t deadline = now_ms() + slow(ms);
    int pipes[2];
    int status;
    pid_t pid;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid = start_program(argv, NULL, pipes[1]);
    (void)close(pipes[1]);
    if (out != NULL)
        buf_reset(out, SIZE_MAX);
    for (;;) {
        struct pollfd p = {.fd = pipes[0], .events = POLLIN};
        unsigned char part[4096];
        ssize_t got;

        if (now_ms() > deadline) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            (void)close(pipes[0]);
            while (argv[1] != NULL && argv[2] != NULL)
                argv++;
            harness_fail("'%s %s' does not end", argv[0], argv[1] != NULL ? argv[1] : "");
        }
        if (poll(&p, 1, do_meanwhile() ? 1 : 20) <= 0)
            continue;
        got = read(pipes[0], part, sizeof(part));
        if (got <= 0)
            break;
        if (out != NULL)
            assert_int_equal(buf_add(out, part, (size_t)got), 0);
    }
    (void)close(pipes[0]);
    if (out != NULL) {
        assert_int_equal(buf_add_u8(out, 0), 0);
        out->len--;
    }
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return exit_code(status);
}

int run_ridd(const char *conf, const char *id, struct buf *out, ...)
{
    const char *argv[16] = {ridd};
    unsigned n = 1;
    va_list ap;
    const char *arg;

    if (conf != NULL) {
        argv[n++] = "--config";
        argv[n++] = conf;
    }
    if (id != NULL) {
        argv[n++] = "--id";
        argv[n++] = id;
    }
    va_start(ap, out);
    while ((arg = va_arg(ap, const char *)) != NULL && n < 15)
        argv[n++] = arg;
    va_end(ap);
    argv[n] = NULL;
    return run_program(argv, out);
}

const char *ridctl_path(void)
{
    static char path[512];
    const size_t len = strlen(ridd);

    assert_true(len > 4 && len < sizeof(path) - 4);
    (void)snprintf(path, sizeof(path), "%.*sridctl", (int)(len - 4), ridd);
    return path;
}

int run_ridctl(const struct cluster *c, struct buf *out, const char *verb)
{
    const char *argv[] = {ridctl_path(), "--config", c->conf, verb, NULL};

    return run_program(argv, out);
}

void expect_text(const struct buf *out, const char *text)
{
    if (strstr((const char *)out->data, text) == NULL)
        harness_fail("'%s' is missing in: %.1200s", text, (const char *)out->data);
}

void expect_code(int code, int want, const struct buf *out)
{
    if (code != want)
        harness_fail("exit code %d, not %d: %.1200s", code, want, (const char *)out->data);
}

/* Reaps the node if it has ended. */
static bool has_exited(struct node *node, int *ret_code)
{
    int status;

    if (node->pid == 0 || waitpid(node->pid, &status, WNOHANG) != node->pid)
        return false;
    node->pid = 0;
    node->stopped = false;
    if (node->admin_fd >= 0)
        (void)close(node->admin_fd);
    node->admin_fd = -1;
    *ret_code = exit_code(status);
    return true;
}

void shim_env_init(struct shim_env *s, const char *more)
{
    const char *build = getenv("top_builddir");
    const char *asan = getenv("ASAN_OPTIONS");
    char path[PATH_MAX];
    cleanup_free char *real = NULL;

    (void)snprintf(path, sizeof(path), "%s/tests/cluster/shim.so", build != NULL ? build : ".");
    real = realpath(path, NULL);
    if (real == NULL)
        harness_fail("there is no '%s'", path);
    (void)snprintf(s->preload, sizeof(s->preload), "LD_PRELOAD=%s", real);
    /* The sanitizer wants to be loaded first, which a preloaded library makes impossible. */
    (void)snprintf(s->options, sizeof(s->options), "ASAN_OPTIONS=%s%sverify_asan_link_order=0",
                   asan != NULL ? asan : "", asan != NULL ? ":" : "");
    s->env[0] = s->preload;
    s->env[1] = s->options;
    s->env[2] = more;
    s->env[3] = NULL;
}

void shim_begin(struct shim *s, struct cluster *c)
{
    static const struct shim_control nothing;

    (void)snprintf(s->control, sizeof(s->control), "%s/shim", c->dir);
    file_write(s->control, &nothing, sizeof(nothing));
    (void)snprintf(s->variable, sizeof(s->variable), "RIDD_SHIM_CONTROL=%s", s->control);
    shim_env_init(&s->env, s->variable);
    c->env = s->env.env;
}

void node_spawn_with(struct cluster *c, unsigned i, const char *option)
{
    struct node *node = &c->nodes[i];
    const char *argv[] = {node->program != NULL ? node->program : ridd,
                          "--config",
                          node->conf != NULL ? node->conf : c->conf,
                          "--id",
                          node->name,
                          option,
                          NULL};
    cleanup_fd int fd = open(node->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_int_equal(node->pid, 0);
    die_unless(fd >= 0, "cannot open", node->log);
    node->log_from = (size_t)lseek(fd, 0, SEEK_END);
    node->pid = start_program(argv, c->env, fd);
    node->stopped = false;
}

void node_spawn(struct cluster *c, unsigned i)
{
    node_spawn_with(c, i, NULL);
}

/* False: it has ended. */
static bool wait_ready_or_exit(struct cluster *c, unsigned i, int *ret_code)
{
    struct node *node = &c->nodes[i];
    uint64_t deadline = now_ms() + slow(WAIT_MS);

    while (!node_logged(c, i, " event=ready ")) {
        if (has_exited(node, ret_code))
            return false;
        if (now_ms() > deadline)
            harness_fail("%s does not become ready", node->name);
        pause_briefly();
    }
    return true;
}

static void wait_ready(struct cluster *c, unsigned i)
{
    int code;

    if (!wait_ready_or_exit(c, i, &code))
        harness_fail("%s ended with exit code %d instead of becoming ready", c->nodes[i].name,
                     code);
}

bool node_try_start(struct cluster *c, unsigned i, int *ret_code)
{
    node_spawn(c, i);
    return wait_ready_or_exit(c, i, ret_code);
}

void node_start(struct cluster *c, unsigned i)
{
    node_spawn(c, i);
    wait_ready(c, i);
}

int node_wait_exit(struct cluster *c, unsigned i)
{
    uint64_t deadline = now_ms() + slow(WAIT_MS);
    int code = 0;

    while (!has_exited(&c->nodes[i], &code)) {
        if (now_ms() > deadline)
            harness_fail("%s does not end", c->nodes[i].name);
        pause_briefly();
    }
    return code;
}

void node_signal(struct cluster *c, unsigned i, int sig)
{
    assert_true(c->nodes[i].pid > 0);
    assert_int_equal(kill(c->nodes[i].pid, sig), 0);
}

void node_kill(struct cluster *c, unsigned i)
{
    node_signal(c, i, SIGKILL);
    assert_int_equal(node_wait_exit(c, i), 128 + SIGKILL);
}

int node_terminate(struct cluster *c, unsigned i)
{
    node_signal(c, i, SIGTERM);
    return node_wait_exit(c, i);
}

void node_stop(struct cluster *c, unsigned i)
{
    struct node *node = &c->nodes[i];
    siginfo_t info = {0};

    node_signal(c, i, SIGSTOP);
    wait_until(waitid(P_PID, (id_t)node->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
                   info.si_pid == node->pid,
               "the process to stand still");
    node->stopped = true;
}

void node_continue(struct cluster *c, unsigned i)
{
    node_signal(c, i, SIGCONT);
    c->nodes[i].stopped = false;
}

/* ---- logs ---- */

static void read_log(const struct node *node, struct buf *out)
{
    cleanup_fd int fd = open(node->log, O_RDONLY | O_CLOEXEC);
    off_t at = (off_t)node->log_from;
    unsigned char part[16384];
    ssize_t got;

    while (fd >= 0 && (got = pread(fd, part, sizeof(part), at)) > 0) {
        assert_int_equal(buf_add(out, part, (size_t)got), 0);
        at += got;
    }
    assert_int_equal(buf_add_u8(out, 0), 0);
}

bool node_logged(struct cluster *c, unsigned i, const char *text)
{
    cleanup_buf struct buf log = BUF_INIT;

    read_log(&c->nodes[i], &log);
    return strstr((const char *)log.data, text) != NULL;
}

unsigned node_log_lines(struct cluster *c, unsigned i, const char *text, const char *second)
{
    cleanup_buf struct buf log = BUF_INIT;
    char *save = NULL;
    unsigned n = 0;

    read_log(&c->nodes[i], &log);
    for (char *line = strtok_r((char *)log.data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        if (strstr(line, text) != NULL && (second == NULL || strstr(line, second) != NULL))
            n++;
    return n;
}

char *node_log_line(struct cluster *c, unsigned i, const char *text)
{
    cleanup_buf struct buf log = BUF_INIT;
    char *save = NULL;

    read_log(&c->nodes[i], &log);
    for (char *line = strtok_r((char *)log.data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        if (strstr(line, text) != NULL)
            return strdup(line);
    return NULL;
}

void node_wait_logged(struct cluster *c, unsigned i, const char *text)
{
    uint64_t deadline = now_ms() + slow(WAIT_MS);

    while (!node_logged(c, i, text)) {
        if (now_ms() > deadline)
            harness_fail("%s does not log '%s'", c->nodes[i].name, text);
        pause_briefly();
    }
}

/* ---- clusters ---- */

/* Below the ports that the kernel gives to outgoing connections. An abstract socket keeps the port
 * among test programs that run at the same time, from now until the cluster ends. */
static uint16_t take_port(int *ret_lock)
{
    static uint32_t seed;

    if (seed == 0)
        seed = (uint32_t)getpid() * 2654435761u ^ (uint32_t)clock_mono_us();
    for (unsigned tries = 0; tries < 10000; tries++) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cleanup_fd int lock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint16_t port;
        int one = 1;

        seed = seed * 1664525u + 1013904223u;
        port = (uint16_t)(10000u + (seed >> 8) % 20000u);
        in.sin_port = htons(port);
        (void)snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "ridd-test-port-%u", port);
        assert_true(fd >= 0 && lock >= 0);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(lock, (struct sockaddr *)&un, sizeof(un)) != 0 ||
            bind(fd, (struct sockaddr *)&in, sizeof(in)) != 0)
            continue;
        *ret_lock = take_fd(lock);
        return port;
    }
    harness_fail("no free port between 10000 and 29999");
}

void cluster_write_conf(struct cluster *c, const char *cluster_name, const char *extra)
{
    cluster_write_conf_to(c, c->conf, cluster_name, extra);
}

/* A node that was given a name, or another host's address: what is encrypted there is for those
 * tests to say that are about it. */
static bool is_beyond_loopback(const struct cluster *c)
{
    bool beyond = false;

    for (unsigned i = 0; i < c->n; i++)
        beyond |= strncmp(c->nodes[i].peer_addr, "127.", 4) != 0;
    return beyond;
}

void cluster_write_conf_to(const struct cluster *c, const char *path, const char *cluster_name,
                           const char *extra)
{
    cleanup_buf struct buf text = BUF_INIT;

    (void)buf_add_format(&text, "[cluster]\nname = %s\n\n[peers]\n", cluster_name);
    for (unsigned i = 0; i < c->n; i++)
        if (c->nodes[i].name[0] != '\0') {
            (void)buf_add_format(&text, "%s = %s %s", c->nodes[i].name, c->nodes[i].peer_addr,
                                 c->nodes[i].addr);
            if (c->nodes[i].http_port != 0)
                (void)buf_add_format(&text, " %s127.0.0.1:%u",
                                     c->nodes[i].http_scheme != NULL ? c->nodes[i].http_scheme : "",
                                     c->nodes[i].http_port);
            (void)buf_add_str(&text, "\n");
        }
    if (is_beyond_loopback(c) && (extra == NULL || strstr(extra, "[security]") == NULL))
        (void)buf_add_str(&text, "\n[security]\ninsecure = yes\n");
    if (extra == NULL || strstr(extra, "[raft]") == NULL)
        (void)buf_add_format(&text, "\n[raft]\nheartbeat_ms = %u\nelection_ms = %u\n",
                             (unsigned)(slowness > 1 ? 100 : 40),
                             (unsigned)(slowness > 1 ? 1000 : 300));
    (void)buf_add_format(&text, "\n[node]\ndata_dir = %s/%%i\n%s", c->dir,
                         extra != NULL ? extra : "");
    file_write(path, text.data, text.len);
}

struct cluster *cluster_new(unsigned n, const char *extra)
{
    const char *tmp = getenv("TMPDIR");
    struct cluster *c = calloc(1, sizeof(*c));

    assert_non_null(c);
    assert_true(n >= 1 && n <= CLUSTER_NODES_MAX);
    (void)snprintf(c->dir, sizeof(c->dir), "%s/ridd-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    die_unless(mkdtemp(c->dir) != NULL, "cannot make", c->dir);
    (void)snprintf(c->conf, sizeof(c->conf), "%s/ridd.conf", c->dir);
    c->n = n;
    c->shared = case_name == NULL;
    for (unsigned i = 0; i < n; i++) {
        struct node *node = &c->nodes[i];

        (void)snprintf(node->name, sizeof(node->name), "n%u", i + 1);
        node->peer_port = take_port(&node->locks[0]);
        node->port = take_port(&node->locks[1]);
        node->locks[2] = -1;
        if (extra != NULL && strstr(extra, "[http]") != NULL)
            node->http_port = take_port(&node->locks[2]);
        (void)snprintf(node->peer_addr, sizeof(node->peer_addr), "127.0.0.1:%u", node->peer_port);
        (void)snprintf(node->addr, sizeof(node->addr), "127.0.0.1:%u", node->port);
        (void)snprintf(node->dir, sizeof(node->dir), "%s/%s", c->dir, node->name);
        (void)snprintf(node->log, sizeof(node->log), "%s/%s.log", c->dir, node->name);
        node->admin_fd = -1;
    }
    c->next = clusters;
    clusters = c;
    cluster_write_conf(c, "test", extra);
    return c;
}

void cluster_init(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        cleanup_buf struct buf out = BUF_INIT;
        int code;

        if (c->nodes[i].name[0] == '\0')
            continue;
        code = run_ridd(c->conf, c->nodes[i].name, &out, "--init", NULL);
        if (code != 0)
            harness_fail("ridd --init of %s: exit code %d: %s", c->nodes[i].name, code, out.data);
    }
}

void cluster_start(struct cluster *c)
{
    bool started[CLUSTER_NODES_MAX] = {false};

    for (unsigned i = 0; i < c->n; i++) {
        if (c->nodes[i].pid == 0) {
            node_spawn(c, i);
            started[i] = true;
        }
    }
    for (unsigned i = 0; i < c->n; i++)
        if (started[i])
            wait_ready(c, i);
    (void)cluster_leader(c);
}

struct cluster *cluster_up(unsigned n, const char *extra)
{
    struct cluster *c = cluster_new(n, extra);

    cluster_init(c);
    cluster_start(c);
    return c;
}

struct cluster *cluster_up_without_syncs(unsigned n, const char *extra)
{
    static struct shim_env shim;
    struct cluster *c = cluster_new(n, extra);

    shim_env_init(&shim, "RIDD_SHIM_NO_SYNC=1");
    c->env = shim.env;
    cluster_init(c);
    cluster_start(c);
    return c;
}

/* RIDD_TEST_GENTLE: nobody is killed who ends when he is asked to. Who is killed takes with him what
 * a coverage build has counted. */
static void ask_to_end(struct node *node)
{
    const uint64_t deadline = now_ms() + slow(END_MS);
    int code;

    if (getenv("RIDD_TEST_GENTLE") == NULL)
        return;
    (void)kill(node->pid, SIGCONT);
    (void)kill(node->pid, SIGTERM);
    while (!has_exited(node, &code) && now_ms() < deadline)
        pause_briefly();
}

static void end_processes(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct node *node = &c->nodes[i];

        if (node->pid > 0)
            ask_to_end(node);
        if (node->pid > 0) {
            (void)kill(node->pid, SIGKILL);
            (void)waitpid(node->pid, NULL, 0);
            node->pid = 0;
        }
        if (node->admin_fd >= 0)
            (void)close(node->admin_fd);
        node->admin_fd = -1;
    }
}

static void free_cluster(struct cluster *c)
{
    for (struct cluster **p = &clusters; *p != NULL; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    for (unsigned i = 0; i < c->n; i++) {
        (void)close(c->nodes[i].locks[0]);
        (void)close(c->nodes[i].locks[1]);
        if (c->nodes[i].locks[2] >= 0)
            (void)close(c->nodes[i].locks[2]);
    }
    free(c);
}

void cluster_free(struct cluster *c)
{
    if (c == NULL)
        return;
    end_processes(c);
    if (!any_failed)
        tree_remove(c->dir, false);
    else
        (void)fprintf(stderr, "---- kept: %s\n", c->dir);
    free_cluster(c);
}

int cluster_find(const struct cluster *c, const char *name)
{
    for (unsigned i = 0; i < c->n; i++)
        if (name[0] != '\0' && strcmp(c->nodes[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* One look: the node that a majority of all calls leader, and that agrees. -1: none. */
static int look_for_leader(struct cluster *c)
{
    unsigned votes[CLUSTER_NODES_MAX] = {0};
    bool leads[CLUSTER_NODES_MAX] = {false};

    for (unsigned i = 0; i < c->n; i++) {
        json_t *status;
        int leader;

        if (c->nodes[i].pid == 0 || c->nodes[i].stopped)
            continue;
        status = node_status(c, i);
        if (status == NULL)
            continue;
        leader = cluster_find(c, reply_str(status, "leader_id"));
        leads[i] = strcmp(reply_str(status, "role"), "leader") == 0;
        if (leader >= 0)
            votes[leader]++;
        json_decref(status);
    }
    for (unsigned i = 0; i < c->n; i++)
        if (leads[i] && votes[i] * 2 > (c->n_members != 0 ? c->n_members : c->n))
            return (int)i;
    return -1;
}

unsigned cluster_leader(struct cluster *c)
{
    int leader = -1;

    wait_until((leader = look_for_leader(c)) >= 0, "a leader");
    return (unsigned)leader;
}

bool cluster_leads(struct cluster *c, unsigned node)
{
    struct client *cl;

    if (cluster_leader(c) == node)
        return true;
    cl = client_open(c, cluster_leader(c));
    (void)client_askf(cl, "{\"type\":\"transfer_leader\",\"to\":\"%s\"}", c->nodes[node].name);
    client_close(cl);
    return cluster_leader(c) == node;
}

uint64_t cluster_settle(struct cluster *c)
{
    unsigned leader = cluster_leader(c);
    json_t *status = node_status(c, leader);
    uint64_t index = (uint64_t)reply_int(status, "commit_index");

    json_decref(status);
    for (unsigned i = 0; i < c->n; i++) {
        uint64_t deadline = now_ms() + slow(WAIT_MS);

        if (c->nodes[i].pid == 0 || c->nodes[i].stopped)
            continue;
        for (;;) {
            int64_t applied;

            status = node_status(c, i);
            applied = reply_int(status, "applied_index");
            json_decref(status);
            if (applied >= (int64_t)index)
                break;
            if (now_ms() > deadline)
                harness_fail("%s has applied %lld of %llu", c->nodes[i].name, (long long)applied,
                             (unsigned long long)index);
            pause_briefly();
        }
    }
    return index;
}

/* False: not all have come as far; the leader may still append something of its own. Those that
 * have must be equal. */
static bool are_equal(struct cluster *c)
{
    char first[64] = "";
    int64_t index = -1;
    bool even = true;

    for (unsigned i = 0; i < c->n && even; i++) {
        json_t *status = node_status(c, i);
        const json_t *state = json_object_get(status, "state");
        const char *digest = reply_str(state, "digest");
        const int64_t at = reply_int(state, "digest_index");

        if (i == 0) {
            (void)snprintf(first, sizeof(first), "%s", digest);
            index = at;
        }
        even = at == index;
        assert_true(digest[0] != '\0');
        if (even)
            assert_string_equal(digest, first);
        json_decref(status);
    }
    return even;
}

void expect_equal_states(struct cluster *c)
{
    (void)cluster_settle(c);
    wait_until(are_equal(c), "all nodes to have come as far");
}
