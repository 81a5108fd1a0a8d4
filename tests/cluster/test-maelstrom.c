/* ridd-maelstrom: the real program over pipes, alone and as a group whose network is this test.
 *
 * The router carries every line that a node prints to whom it names: to another node, perhaps late,
 * twice or never; or into the list of what clients were told. Nothing is waited for but with a
 * deadline. */
#include <dirent.h>
#include <errno.h>
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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/prng.h"

#define NODES_MAX   3
#define DEADLINE_US 60000000u /* of anything: the machine may be slow */
/* On a busy machine a process may wait half a second for its turn: a leader must outlive that. */
#define ELECTION_MS  "1500"
#define HEARTBEAT_MS "100"

struct node {
    pid_t pid; /* 0: none */
    int in;    /* our end of its standard input, -1 when closed */
    int out;
    struct buf to;   /* not yet taken by it */
    struct buf from; /* an incomplete line */
    char name[8];
    char log[128]; /* its standard error */
};

struct late {
    struct list link;
    uint64_t due_us;
    int to;
    char *line;
};

struct reply {
    struct list link;
    json_t *body;
    char *line;
    char client[32];
};

static char test_dir[64]; /* of the logs, and TMPDIR of the nodes unless said otherwise */

struct net {
    const char *tmpdir; /* TMPDIR of the nodes */
    const char *input;  /* a file that is their standard input; NULL: a pipe */
    struct node nodes[NODES_MAX];
    int n;
    struct list late;
    struct list replies;
    struct prng prng;
    unsigned delay_us_max; /* between nodes */
    unsigned dup_percent;
    bool cut[NODES_MAX]; /* nothing from or to this node */
    unsigned n_between;  /* messages between nodes */
    uint64_t next_msg_id;
};

/* ---- processes ---- */

static const char *program(void)
{
    static char path[256];
    const char *top = getenv("top_builddir");

    (void)snprintf(path, sizeof(path), "%s/ridd-maelstrom", top != NULL ? top : ".");
    return path;
}

static void set_nonblocking(int fd)
{
    assert_true(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

static void node_start(struct net *net, int i, const char *const *args)
{
    struct node *n = &net->nodes[i];
    const char *argv[8] = {program()};
    int in[2];
    int out[2];

    for (int j = 0; args != NULL && args[j] != NULL && j < 6; j++)
        argv[j + 1] = args[j];
    (void)snprintf(n->name, sizeof(n->name), "n%d", i + 1);
    (void)snprintf(n->log, sizeof(n->log), "%s/n%d.log", test_dir, i + 1);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    n->pid = fork();
    assert_true(n->pid >= 0);
    if (n->pid == 0) {
        int log = open(n->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int input = net->input != NULL ? open(net->input, O_RDONLY) : in[0];

        (void)dup2(input, STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(log, STDERR_FILENO);
        (void)setenv("TMPDIR", net->tmpdir, 1);
        (void)execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    n->in = in[1];
    n->out = out[0];
    set_nonblocking(n->in);
    set_nonblocking(n->out);
}

/* Its exit code, or minus the signal. Whatever it still prints is read. */
static int node_wait(struct net *net, int i);

static void node_close_input(struct node *n)
{
    if (n->in >= 0)
        (void)close(n->in);
    n->in = -1;
}

static void node_forget(struct node *n)
{
    node_close_input(n);
    if (n->out >= 0)
        (void)close(n->out);
    n->out = -1;
    buf_done(&n->to);
    buf_done(&n->from);
    n->pid = 0;
}

static void node_kill(struct net *net, int i)
{
    struct node *n = &net->nodes[i];

    assert_int_equal(kill(n->pid, SIGKILL), 0);
    assert_int_equal(waitpid(n->pid, NULL, 0), n->pid);
    node_forget(n);
}

static void show_logs(const struct net *net)
{
    for (int i = 0; i < net->n; i++) {
        FILE *f = fopen(net->nodes[i].log, "r");
        char line[512];

        while (f != NULL && fgets(line, sizeof(line), f) != NULL)
            print_message("%s: %s", net->nodes[i].name, line);
        if (f != NULL)
            (void)fclose(f);
    }
}

static bool log_held(const struct node *n, const char *text)
{
    FILE *f = fopen(n->log, "r");
    char line[2048];
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
        found = strstr(line, text) != NULL;
    if (f != NULL)
        (void)fclose(f);
    return found;
}

/* Lines are written by a thread of their own, soon. */
static bool log_holds(const struct node *n, const char *text)
{
    const uint64_t until_us = clock_mono_us() + 20000000u;

    while (!log_held(n, text)) {
        if (clock_mono_us() > until_us)
            return false;
        (void)poll(NULL, 0, 2);
    }
    return true;
}

/* Folders of nodes in TMPDIR. */
static int n_folders(void)
{
    DIR *dir = opendir(test_dir);
    const struct dirent *d;
    int n = 0;

    assert_non_null(dir);
    while ((d = readdir(dir)) != NULL)
        n += strncmp(d->d_name, "ridd-maelstrom-", 15) == 0;
    (void)closedir(dir);
    return n;
}

/* ---- the network ---- */

static int index_of(const struct net *net, const char *name)
{
    for (int i = 0; i < net->n; i++)
        if (strcmp(net->nodes[i].name, name) == 0)
            return i;
    return -1;
}

static void give(struct net *net, int i, const char *line)
{
    struct node *n = &net->nodes[i];

    if (n->in < 0)
        return;
    assert_int_equal(buf_add_str(&n->to, line), 0);
    assert_int_equal(buf_add_u8(&n->to, '\n'), 0);
}

static void carry(struct net *net, int from, int to, const char *line)
{
    int copies = 1 + (prng_below(&net->prng, 100) < net->dup_percent);

    net->n_between++;
    if (net->cut[from] || net->cut[to])
        return;
    for (int c = 0; c < copies; c++) {
        struct late *late;

        if (net->delay_us_max == 0) {
            give(net, to, line);
            continue;
        }
        late = calloc(1, sizeof(*late));
        assert_non_null(late);
        late->due_us = clock_mono_us() + prng_below(&net->prng, net->delay_us_max);
        late->to = to;
        late->line = strdup(line);
        list_append(&net->late, &late->link);
    }
}

static void take_line(struct net *net, int from, const char *line)
{
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *src = json_string_value(json_object_get(root, "src"));
    const char *dest = json_string_value(json_object_get(root, "dest"));
    json_t *body = json_object_get(root, "body");
    int to;

    /* Maelstrom ends a test over a line that is no envelope. */
    if (src == NULL || dest == NULL || !json_is_object(body)) {
        print_message("not an envelope: %s\n", line);
        fail();
        return;
    }
    assert_string_equal(src, net->nodes[from].name);
    to = index_of(net, dest);
    if (to >= 0) {
        carry(net, from, to, line);
    } else {
        struct reply *r = calloc(1, sizeof(*r));

        assert_non_null(r);
        r->body = json_incref(body);
        r->line = strdup(line);
        (void)snprintf(r->client, sizeof(r->client), "%s", dest);
        list_append(&net->replies, &r->link);
    }
    json_decref(root);
}

static void read_node(struct net *net, int i)
{
    struct node *n = &net->nodes[i];

    for (;;) {
        char *to = buf_reserve(&n->from, 65536);
        ssize_t got = read(n->out, to, 65536);
        char *end;

        if (got < 0)
            break;
        if (got == 0) {
            assert_int_equal(n->from.len, 0); /* never half a line */
            (void)close(n->out);
            n->out = -1;
            break;
        }
        n->from.len += (size_t)got;
        while ((end = memchr(n->from.data, '\n', n->from.len)) != NULL) {
            size_t len = (size_t)(end - (char *)n->from.data);

            *end = '\0';
            take_line(net, i, (char *)n->from.data);
            buf_consume(&n->from, len + 1);
        }
    }
}

static void write_node(struct node *n)
{
    ssize_t put = write(n->in, n->to.data, n->to.len);

    if (put > 0)
        buf_consume(&n->to, (size_t)put);
    else if (put < 0 && errno == EPIPE)
        node_close_input(n);
}

static void deliver_late(struct net *net, uint64_t now_us)
{
    list_for_each_safe(it, &net->late)
    {
        struct late *late = list_entry(it, struct late, link);

        if (late->due_us > now_us)
            continue;
        list_remove(&late->link);
        give(net, late->to, late->line);
        free(late->line);
        free(late);
    }
}

/* One step of the network: at most 10 ms. */
static void net_step(struct net *net)
{
    struct pollfd fds[2 * NODES_MAX];

    deliver_late(net, clock_mono_us());
    for (int i = 0; i < net->n; i++) {
        struct node *n = &net->nodes[i];

        fds[2 * i] = (struct pollfd){.fd = n->out, .events = POLLIN};
        fds[2 * i + 1] = (struct pollfd){.fd = n->to.len > 0 ? n->in : -1, .events = POLLOUT};
    }
    (void)poll(fds, 2 * (nfds_t)net->n, 10);
    for (int i = 0; i < net->n; i++) {
        if (fds[2 * i].revents != 0)
            read_node(net, i);
        if (fds[2 * i + 1].revents != 0)
            write_node(&net->nodes[i]);
    }
}

static int node_wait(struct net *net, int i)
{
    struct node *n = &net->nodes[i];
    uint64_t until_us = clock_mono_us() + DEADLINE_US;
    int status;

    while (n->out >= 0 && clock_mono_us() < until_us)
        net_step(net);
    while (waitpid(n->pid, &status, WNOHANG) == 0) {
        if (clock_mono_us() > until_us) {
            show_logs(net);
            fail_msg("%s does not end", n->name);
        }
        net_step(net);
    }
    node_forget(n);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- clients ---- */

static void send_raw(struct net *net, int node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void send_raw(struct net *net, int node, const char *format, ...)
{
    char *line = NULL;
    va_list ap;

    va_start(ap, format);
    assert_true(vasprintf(&line, format, ap) >= 0);
    va_end(ap);
    give(net, node, line);
    free(line);
}

/* fields: what follows type and msg_id, with a comma in front; or "". */
static uint64_t ask(struct net *net, const char *client, int node, const char *type,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
static uint64_t ask(struct net *net, const char *client, int node, const char *type,
                    const char *format, ...)
{
    uint64_t msg_id = net->next_msg_id++;
    char *fields = NULL;
    va_list ap;

    va_start(ap, format);
    assert_true(vasprintf(&fields, format, ap) >= 0);
    va_end(ap);
    send_raw(net, node,
             "{\"src\":\"%s\",\"dest\":\"%s\",\"body\":{\"type\":\"%s\",\"msg_id\":%llu%s}}",
             client, net->nodes[node].name, type, (unsigned long long)msg_id, fields);
    free(fields);
    return msg_id;
}

static struct reply *find_reply(struct net *net, uint64_t msg_id)
{
    list_for_each(it, &net->replies)
    {
        struct reply *r = list_entry(it, struct reply, link);
        const json_t *v = json_object_get(r->body, "in_reply_to");

        if (json_is_integer(v) && (uint64_t)json_integer_value(v) == msg_id)
            return r;
    }
    return NULL;
}

static void reply_free(struct reply *r)
{
    list_remove(&r->link);
    json_decref(r->body);
    free(r->line);
    free(r);
}

/* The body, borrowed until the test ends. */
static const json_t *await(struct net *net, uint64_t msg_id)
{
    uint64_t until_us = clock_mono_us() + DEADLINE_US;
    struct reply *r;

    while ((r = find_reply(net, msg_id)) == NULL) {
        if (clock_mono_us() > until_us) {
            show_logs(net);
            fail_msg("no answer to %llu", (unsigned long long)msg_id);
        }
        net_step(net);
    }
    return r->body;
}

static const char *type_of(const json_t *body)
{
    return json_string_value(json_object_get(body, "type"));
}

static json_int_t code_of(const json_t *body)
{
    return json_integer_value(json_object_get(body, "code"));
}

static bool is_definite(const json_t *body)
{
    return json_is_true(json_object_get(body, "definite"));
}

static void expect_type(struct net *net, const json_t *body, const char *type)
{
    if (strcmp(type_of(body), type) == 0)
        return;
    {
        char *text = json_dumps(body, 0);

        show_logs(net);
        print_message("%s\n", text);
        free(text);
    }
    fail_msg("expected %s", type);
}

static const json_t *expect(struct net *net, uint64_t msg_id, const char *type)
{
    const json_t *body = await(net, msg_id);

    expect_type(net, body, type);
    return body;
}

/* ---- set up ---- */

static const char *const fast_args[] = {"--election-ms", ELECTION_MS, "--heartbeat-ms",
                                        HEARTBEAT_MS, NULL};

static int setup(void **state)
{
    static struct net net;

    memset(&net, 0, sizeof(net));
    (void)snprintf(test_dir, sizeof(test_dir), "/tmp/ridd-test-maelstrom-XXXXXX");
    if (mkdtemp(test_dir) == NULL)
        return -1;
    net.tmpdir = test_dir;
    list_init(&net.late);
    list_init(&net.replies);
    prng_init(&net.prng, 1);
    net.next_msg_id = 1;
    for (int i = 0; i < NODES_MAX; i++) {
        net.nodes[i].in = -1;
        net.nodes[i].out = -1;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    *state = &net;
    return 0;
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *d;
    char name[512];

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        (void)snprintf(name, sizeof(name), "%s/%s", path, d->d_name);
        if (unlink(name) != 0)
            remove_dir(name);
    }
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(path);
}

/* Whatever a case has made of a node, it still ends when it is asked to, and well. */
static bool ends_on_request(struct node *n)
{
    uint64_t until_us = clock_mono_us() + DEADLINE_US;
    int status = 0;

    (void)kill(n->pid, SIGTERM);
    while (waitpid(n->pid, &status, WNOHANG) == 0) {
        if (clock_mono_us() > until_us) {
            (void)kill(n->pid, SIGKILL);
            (void)waitpid(n->pid, &status, 0);
            break;
        }
        (void)poll(NULL, 0, 1);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        print_message("%s ends with status %#x\n", n->name, (unsigned)status);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int teardown(void **state)
{
    struct net *net = *state;
    int rc = 0;

    for (int i = 0; i < NODES_MAX; i++) {
        struct node *n = &net->nodes[i];

        if (n->pid > 0 && !ends_on_request(n))
            rc = -1;
        node_forget(n);
    }
    while (!list_empty(&net->late)) {
        struct late *late = list_entry(net->late.next, struct late, link);

        list_remove(&late->link);
        free(late->line);
        free(late);
    }
    while (!list_empty(&net->replies))
        reply_free(list_entry(net->replies.next, struct reply, link));
    remove_dir(test_dir);
    return rc;
}

static void start_one(struct net *net, const char *const *args)
{
    net->n = 1;
    node_start(net, 0, args);
}

static void init_one(struct net *net)
{
    uint64_t id = ask(net, "c0", 0, "init", ",\"node_id\":\"n1\",\"node_ids\":[\"n1\"]");

    (void)expect(net, id, "init_ok");
}

static void start_three(struct net *net)
{
    uint64_t ids[NODES_MAX];

    net->n = NODES_MAX;
    for (int i = 0; i < NODES_MAX; i++) {
        node_start(net, i, fast_args);
        ids[i] = ask(net, "c0", i, "init",
                     ",\"node_id\":\"n%d\",\"node_ids\":[\"n3\",\"n1\",\"n2\"]", i + 1);
    }
    for (int i = 0; i < NODES_MAX; i++)
        (void)expect(net, ids[i], "init_ok");
}

/* The index of a node that says that it leads and that has committed in its term. */
static int await_leader(struct net *net)
{
    uint64_t until_us = clock_mono_us() + DEADLINE_US;

    for (;;) {
        for (int i = 0; i < net->n; i++) {
            const json_t *status;

            if (net->nodes[i].pid == 0 || net->cut[i])
                continue;
            status = expect(net, ask(net, "c9", i, "status", "%s", ""), "status_ok");
            if (strcmp(json_string_value(json_object_get(status, "role")), "leader") == 0 &&
                json_integer_value(json_object_get(status, "applied_index")) > 1)
                return i;
        }
        if (clock_mono_us() > until_us) {
            show_logs(net);
            fail_msg("no leader");
        }
        net_step(net);
    }
}

static int other_than(const struct net *net, int leader)
{
    for (int i = 0; i < net->n; i++)
        if (i != leader && net->nodes[i].pid != 0)
            return i;
    return -1;
}

/* ---- one process, exact input and output ---- */

/* Everything that a process prints for this input and end of file; the exit code is 0. */
static char *run(struct net *net, const char *const *args, const char *input, size_t chunk)
{
    struct node *n = &net->nodes[0];
    size_t len = strlen(input);
    struct buf out = BUF_INIT;
    int status = 0;

    start_one(net, args);
    (void)fcntl(n->in, F_SETFL, 0);
    (void)fcntl(n->out, F_SETFL, 0);
    for (size_t at = 0; at < len; at += chunk) {
        size_t k = len - at < chunk ? len - at : chunk;

        assert_int_equal(write(n->in, input + at, k), (ssize_t)k);
    }
    node_close_input(n);
    for (;;) {
        char *to = buf_reserve(&out, 4096);
        ssize_t got = read(n->out, to, 4095);

        assert_true(got >= 0);
        out.len += (size_t)got;
        if (got == 0)
            break;
    }
    assert_int_equal(waitpid(n->pid, &status, 0), n->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    node_forget(n);
    assert_int_equal(buf_add_u8(&out, '\0'), 0);
    return (char *)out.data;
}

static void expect_run(struct net *net, const char *input, const char *output)
{
    char *out = run(net, NULL, input, SIZE_MAX);

    assert_string_equal(out, output);
    free(out);
    out = run(net, NULL, input, 7); /* however the bytes arrive */
    assert_string_equal(out, output);
    free(out);
    assert_int_equal(n_folders(), 0);
}

#define INIT_3                                                                                     \
    "{\"src\":\"c0\",\"dest\":\"n1\",\"body\":{\"type\":\"init\",\"msg_id\":1,\"node_id\":\"n1\"," \
    "\"node_ids\":[\"n1\",\"n2\",\"n3\"]}}\n"
#define INIT_OK                                                                                    \
    "{\"src\": \"n1\", \"dest\": \"c0\", \"body\": {\"type\": \"init_ok\", \"in_reply_to\": 1, "   \
    "\"msg_id\": 0}}\n"

static void maelstrom__a_read_without_a_leader_gets_no_line(void **state)
{
    uint64_t began_us = clock_mono_us();

    expect_run(*state,
               INIT_3 "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read_index\","
                      "\"msg_id\":2,\"key\":\"x\"}}\n",
               INIT_OK);
    /* At once: not after a timeout of the request, however slow the machine is. */
    assert_true(clock_mono_us() - began_us < 4500000u);
}

static void maelstrom__compare_without_a_leader_gets_no_line(void **state)
{
    expect_run(*state,
               INIT_3 "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"compare_read_methods\","
                      "\"msg_id\":2,\"num_reads\":50}}\n",
               INIT_OK);
}

static void maelstrom__end_of_file_ends_it(void **state)
{
    expect_run(*state, "", "");
    expect_run(*state, "\n\r\n  \n", "");
    expect_run(*state, INIT_3, INIT_OK);
    /* A last line without a newline counts; a carriage return does not. */
    expect_run(
        *state,
        "\r\n\n" INIT_3 "\n{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":"
        "\"local_read\",\"msg_id\":7,\"key\":\"x\"}}\r\n"
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"ping\"}}",
        INIT_OK
        "{\"src\": \"n1\", \"dest\": \"c1\", \"body\": {\"type\": \"pong\", \"node\": \"n1\", "
        "\"role\": \"follower\", \"term\": 1, \"applied_index\": 0, \"msg_id\": 1}}\n"
        "{\"src\": \"n1\", \"dest\": \"c1\", \"body\": {\"type\": \"local_read_ok\", "
        "\"in_reply_to\": 7, \"value\": null, \"applied_index\": 1, \"linearizable\": false, "
        "\"msg_id\": 2}}\n");
}

/* Input and end of file are there together: nothing leaves for other nodes any more. */
static void maelstrom__after_end_of_file_no_other_node_is_asked(void **state)
{
    static const char input[] = INIT_3
        "{\"src\":\"n2\",\"dest\":\"n1\",\"body\":{\"type\":\"read_heartbeat\",\"term\":5,"
        "\"round\":1,\"leader_commit\":1}}\n"
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"write\",\"msg_id\":2,\"key\":1,"
        "\"value\":2}}\n";
    struct net *net = *state;
    char path[128];
    FILE *f;
    char *out;

    (void)snprintf(path, sizeof(path), "%s/input", test_dir);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(input, f) >= 0);
    assert_int_equal(fclose(f), 0);
    net->input = path;
    out = run(net, NULL, "", 1);
    assert_string_equal(out, INIT_OK);
    free(out);
}

#define C1(body) "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{" body "}}\n"

static void maelstrom__a_group_of_one_answers_what_is_owed(void **state)
{
    static const char input[] =
        "{\"src\":\"c0\",\"dest\":\"n1\",\"body\":{\"type\":\"init\",\"msg_id\":1,\"node_id\":"
        "\"n1\","
        "\"node_ids\":[\"n1\"]}}\n" C1(
            "\"type\":\"write\",\"msg_id\":2,\"key\":\"x\",\"value\":1.0")
            C1("\"type\":\"read\",\"msg_id\":3,\"key\":\"x\"") C1(
                "\"type\":\"read\",\"msg_id\":4,\"key\":3")
                C1("\"type\":\"cas\",\"msg_id\":5,\"key\":3,\"from\":1,\"to\":2") C1(
                    "\"type\":\"cas\",\"msg_id\":6,\"key\":3,\"from\":1,\"to\":[2,0.1],"
                    "\"create_if_not_exists\":true")
                    C1("\"type\":\"cas\",\"msg_id\":7,\"key\":3,\"from\":1,\"to\":2")
                        C1("\"type\":\"read\",\"msg_id\":8,\"key\":\"3\"") C1(
                            "\"type\":\"batch_read_index\",\"msg_id\":9,\"keys\":[3,\"x\"]")
                            C1("\"type\":\"delete\",\"msg_id\":10,\"key\":3") C1(
                                "\"type\":\"compare_read_methods\",\"msg_id\":11,\"num_reads\":20");
    static const char *const lines[] = {
        "{\"type\": \"write_ok\", \"in_reply_to\": 2, \"msg_id\": ",
        "{\"type\": \"read_ok\", \"in_reply_to\": 3, \"value\": 1.0, \"msg_id\": ",
        "\"in_reply_to\": 5, \"code\": 20, ",
        "{\"type\": \"cas_ok\", \"in_reply_to\": 6, \"msg_id\": ",
        "\"in_reply_to\": 7, \"code\": 22, ",
        "\"in_reply_to\": 8, \"code\": 20, ",
        "{\"type\": \"delete_ok\", \"in_reply_to\": 10, \"existed\": true, \"msg_id\": ",
        "{\"type\": \"compare_read_methods_ok\", \"in_reply_to\": 11, \"read_index_avg_ms\": ",
        "\"both_linearizable\": true, \"msg_id\": "};
    char *out = run(*state, fast_args, input, SIZE_MAX);
    int n = 0;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (strstr(out, lines[i]) == NULL)
            print_message("missing: %s\nin: %s\n", lines[i], out);
        assert_non_null(strstr(out, lines[i]));
    }
    for (const char *p = out; *p != '\0'; p++)
        n += *p == '\n';
    assert_int_equal(n, 11); /* one each */
    assert_int_equal(n_folders(), 0);
    free(out);
}

/* ---- init ---- */

static void maelstrom__requests_before_init_are_refused(void **state)
{
    struct net *net = *state;
    const json_t *body;

    start_one(net, NULL);
    body = expect(net, ask(net, "c1", 0, "read", ",\"key\":1"), "error");
    assert_int_equal(code_of(body), 10);
    assert_non_null(strstr(json_string_value(json_object_get(body, "text")), "init"));
    body = expect(net, ask(net, "c1", 0, "write", ",\"key\":1,\"value\":2"), "error");
    assert_true(is_definite(body));
    /* A message of a node nobody knows yet, too. */
    send_raw(net, 0,
             "{\"src\":\"n2\",\"dest\":\"n1\",\"body\":{\"type\":\"timeout_now\",\"term\":4}}");
    init_one(net);
    (void)expect(net, ask(net, "c1", 0, "ping", "%s", ""), "pong");
    node_close_input(&net->nodes[0]);
    assert_int_equal(node_wait(net, 0), 0);
}

static void maelstrom__a_wrong_init_is_refused_and_may_be_repeated(void **state)
{
    static const char *const wrong[] = {",\"node_id\":\"n1\",\"node_ids\":[\"n2\",\"n3\"]",
                                        ",\"node_id\":\"n1\",\"node_ids\":[\"n1\",\"n1\"]",
                                        ",\"node_id\":\"n1\",\"node_ids\":[\"n1\",\"a b\"]",
                                        ",\"node_id\":\"n1\",\"node_ids\":[\"n1\",\"\\u00e9\"]",
                                        ",\"node_id\":\"n1\",\"node_ids\":[]",
                                        ",\"node_id\":\"n1\"",
                                        ",\"node_id\":1,\"node_ids\":[\"n1\"]"};
    struct net *net = *state;

    start_one(net, NULL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const json_t *body = expect(net, ask(net, "c0", 0, "init", "%s", wrong[i]), "error");

        assert_int_equal(code_of(body), 12);
        assert_int_equal(n_folders(), 0);
    }
    init_one(net);
    assert_int_equal(n_folders(), 1);
}

static void maelstrom__a_second_init_is_refused(void **state)
{
    struct net *net = *state;
    const json_t *body;

    start_one(net, fast_args);
    init_one(net);
    body = expect(net, ask(net, "c0", 0, "init", ",\"node_id\":\"n2\",\"node_ids\":[\"n2\"]"),
                  "error");
    assert_int_equal(code_of(body), 12);
    assert_non_null(strstr(json_string_value(json_object_get(body, "text")), "'n1'"));
    body = expect(net, ask(net, "c1", 0, "ping", "%s", ""), "pong");
    assert_string_equal(json_string_value(json_object_get(body, "node")), "n1");
    (void)expect(net, ask(net, "c1", 0, "write", ",\"key\":1,\"value\":2"), "write_ok");
}

/* ---- rubbish ---- */

static void maelstrom__rubbish_lines_are_dropped(void **state)
{
    static const char *const lines[] = {
        "rubbish", "{", "[]", "42", "null", "{}", "\x01\x02\xff\xfe",
        "{\"type\":\"ping\",\"msg_id\":1}", /* bare: nobody to answer */
        "{\"src\":\"c1\",\"dest\":\"n1\"}", "{\"src\":\"c1\",\"body\":{\"type\":\"ping\"}}",
        "{\"src\":1,\"dest\":\"n1\",\"body\":{\"type\":\"ping\"}}",
        "{\"src\":\"\",\"dest\":\"n1\",\"body\":{\"type\":\"ping\"}}",
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read_ok\",\"in_reply_to\":3}}",
        /* for another node: answered by nobody here, least of all in its name */
        "{\"src\":\"c1\",\"dest\":\"n7\",\"body\":{\"type\":\"ping\",\"msg_id\":1}}",
        "{\"src\":\"c1\",\"dest\":\"n7\",\"body\":{\"type\":\"ping\",\"msg_id\":1,\"msg_id\":1}}",
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"error\",\"in_reply_to\":3}}"};
    struct net *net = *state;
    char *deep = malloc(200001);
    const json_t *body;

    start_one(net, fast_args);
    init_one(net);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        send_raw(net, 0, "%s", lines[i]);
        (void)expect(net, ask(net, "c1", 0, "ping", "%s", ""), "pong");
    }
    assert_true(log_holds(&net->nodes[0], "event=line_dropped"));
    assert_non_null(deep);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    send_raw(net, 0, "%s", deep);
    free(deep);
    (void)expect(net, ask(net, "c1", 0, "ping", "%s", ""), "pong");
    /* Whoever can be told is told. */
    body = expect(
        net, ask(net, "c1", 0, "write", ",\"key\":1,\"value\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"),
        "error");
    assert_int_equal(code_of(body), 12);
    body = expect(net, ask(net, "c1", 0, "read", ",\"key\":1,\"key\":2"), "error");
    assert_int_equal(code_of(body), 12);
    body = expect(net, ask(net, "c1", 0, "jump", "%s", ""), "error");
    assert_int_equal(code_of(body), 10);
    body = expect(net, ask(net, "c1", 0, "append_entries", ",\"term\":1"), "error");
    assert_int_equal(code_of(body), 10);
    /* What is known, and not done here, is said to be so. */
    body = expect(net, ask(net, "c1", 0, "snapshot", "%s", ""), "error");
    assert_int_equal(code_of(body), 10);
    assert_string_equal(json_string_value(json_object_get(body, "text")),
                        "this node keeps no snapshots");
    body = expect(net, ask(net, "c1", 0, "snapshot_part", "%s", ""), "error");
    assert_int_equal(code_of(body), 10);
    assert_string_equal(json_string_value(json_object_get(body, "text")),
                        "this node keeps no snapshots");
}

static void maelstrom__lines_have_a_longest_length(void **state)
{
    struct net *net = *state;
    size_t size = 5u << 20;
    char *text = malloc(size + 1);
    uint64_t ids[30];
    const json_t *body;

    assert_non_null(text);
    start_one(net, fast_args);
    init_one(net);
    memset(text, 'a', size);
    text[3u << 19] = '\0'; /* 1.5 MiB: who sent it can be told */
    body = expect(net, ask(net, "c1", 0, "write", ",\"key\":1,\"value\":\"%s\"", text), "error");
    assert_int_equal(code_of(body), 12);
    assert_string_equal(json_string_value(json_object_get(body, "error")), "too_large");
    text[3u << 19] = 'a';
    text[size] = '\0';
    (void)ask(net, "c1", 0, "write", ",\"key\":1,\"value\":\"%s\"", text);
    (void)expect(net, ask(net, "c1", 0, "ping", "%s", ""), "pong");
    assert_true(log_holds(&net->nodes[0], "too long"));
    /* The largest value that there is comes back whole. */
    text[(512u << 10) - 2] = '\0';
    (void)expect(net, ask(net, "c1", 0, "write", ",\"key\":1,\"value\":\"%s\"", text), "write_ok");
    body = expect(net, ask(net, "c1", 0, "read", ",\"key\":1"), "read_ok");
    assert_string_equal(json_string_value(json_object_get(body, "value")), text);
    /* Far more than a pipe holds, asked for at once: the answers wait for their reader, nothing else does. */
    for (int i = 0; i < 30; i++)
        ids[i] = ask(net, "c1", 0, "read", ",\"key\":1");
    for (int i = 0; i < 30; i++) {
        body = expect(net, ids[i], "read_ok");
        assert_int_equal(json_string_length(json_object_get(body, "value")), (512u << 10) - 2);
    }
    free(text);
}

static void maelstrom__invalid_messages_of_nodes_are_dropped(void **state)
{
    static const char *const bodies[] = {
        "{\"type\":\"append_entries\"}",
        "{\"type\":\"append_entries\",\"term\":-1,\"prev_log_index\":0,\"prev_log_term\":0,"
        "\"leader_commit\":0,\"entries\":[]}",
        "{\"type\":\"append_entries\",\"term\":2,\"prev_log_index\":1,\"prev_log_term\":1,"
        "\"leader_commit\":1,\"entries\":{}}",
        "{\"type\":\"append_entries\",\"term\":2,\"prev_log_index\":1,\"prev_log_term\":1,"
        "\"leader_commit\":1,\"entries\":[{\"index\":2,\"term\":2,\"type\":\"jump\"}]}",
        "{\"type\":\"append_entries\",\"term\":2,\"prev_log_index\":1,\"prev_log_term\":1,"
        "\"leader_commit\":1,\"entries\":[{\"index\":7,\"term\":2,\"type\":\"noop\"}]}",
        "{\"type\":\"append_entries\",\"term\":2,\"prev_log_index\":1,\"prev_log_term\":1,"
        "\"leader_commit\":1,\"entries\":[{\"index\":2,\"term\":2,\"type\":\"command\",\"data\":\"?"
        "\"}]}",
        "{\"type\":\"append_entries\",\"term\":2,\"prev_log_index\":1,\"prev_log_term\":1,"
        "\"leader_commit\":1,\"entries\":[{\"index\":2,\"term\":2,\"type\":\"config\",\"data\":"
        "\"AAAA\"}]}",
        "{\"type\":\"append_entries_reply\",\"term\":99,\"success\":true,\"index\":1,\"hint_"
        "index\":0,"
        "\"hint_term\":0}",
        "{\"type\":\"request_vote\",\"term\":\"2\",\"last_log_index\":1,\"last_log_term\":1,"
        "\"transfer\":false}",
        "{\"type\":\"request_vote\",\"term\":2,\"last_log_index\":1,\"last_log_term\":1}",
        "{\"type\":\"read_heartbeat\",\"term\":2,\"round\":1,\"leader_commit\":1000}",
        "{\"type\":\"read_heartbeat_reply\",\"term\":1.5,\"round\":1,\"success\":true}",
        "{\"type\":\"timeout_now\",\"term\":72057594037927937}",
        "{\"type\":\"write_ok\",\"in_reply_to\":99}",
        "{\"type\":\"read_ok\",\"in_reply_to\":\"x\"}",
        "{\"type\":\"error\",\"in_reply_to\":-1,\"definite\":true,\"error\":\"not_leader\"}",
        "{\"type\":\"write\",\"key\":1,\"value\":2}", /* forwarded without a number */
        "{}"};
    struct net *net = *state;
    uint64_t id;

    start_one(net, NULL);
    id = ask(net, "c0", 0, "init", ",\"node_id\":\"n1\",\"node_ids\":[\"n1\",\"n2\",\"n3\"]");
    (void)expect(net, id, "init_ok");
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        const json_t *pong;

        send_raw(net, 0, "{\"src\":\"n2\",\"dest\":\"n1\",\"body\":%s}", bodies[i]);
        pong = expect(net, ask(net, "c1", 0, "ping", "%s", ""), "pong");
        assert_int_equal(json_integer_value(json_object_get(pong, "applied_index")), 1);
    }
    send_raw(net, 0,
             "{\"src\":\"n1\",\"dest\":\"n1\",\"body\":{\"type\":\"timeout_now\",\"term\":50}}");
    send_raw(net, 0,
             "{\"src\":\"n2\",\"dest\":\"n3\",\"body\":{\"type\":\"timeout_now\",\"term\":50}}");
    send_raw(net, 0,
             "{\"src\":\"n4\",\"dest\":\"n1\",\"body\":{\"type\":\"timeout_now\",\"term\":50}}");
    {
        const json_t *pong = expect(net, ask(net, "c1", 0, "ping", "%s", ""), "pong");

        assert_true(json_integer_value(json_object_get(pong, "term")) < 50);
    }
    assert_true(log_holds(&net->nodes[0], "event=line_dropped"));
}

/* ---- three ---- */

static void maelstrom__three_serve_lin_kv_through_any_node(void **state)
{
    struct net *net = *state;

    start_three(net);
    /* Asked before there is a leader: it waits. */
    (void)expect(net, ask(net, "c1", 0, "write", ",\"key\":\"first\",\"value\":0"), "write_ok");
    for (int i = 0; i < NODES_MAX; i++) {
        char client[8];
        const json_t *body;

        (void)snprintf(client, sizeof(client), "c%d", i + 1);
        body = expect(net, ask(net, client, i, "read", ",\"key\":\"first\""), "read_ok");
        assert_int_equal(json_object_size(body), 4); /* type, in_reply_to, value, msg_id */
        body = expect(net, ask(net, client, i, "read", ",\"key\":%d", 100 + i), "error");
        assert_int_equal(code_of(body), 20);
        (void)expect(net, ask(net, client, i, "write", ",\"key\":%d,\"value\":1", 100 + i),
                     "write_ok");
        (void)expect(net, ask(net, client, i, "cas", ",\"key\":%d,\"from\":1,\"to\":2", 100 + i),
                     "cas_ok");
        body = expect(net, ask(net, client, i, "cas", ",\"key\":%d,\"from\":1,\"to\":2", 100 + i),
                      "error");
        assert_int_equal(code_of(body), 22);
        body = expect(net, ask(net, client, i, "cas", ",\"key\":%d,\"from\":1,\"to\":2", 200 + i),
                      "error");
        assert_int_equal(code_of(body), 20);
        (void)expect(net,
                     ask(net, client, i, "cas",
                         ",\"key\":%d,\"from\":1,\"to\":{\"a\":[0.1,1e300],\"b\":null},"
                         "\"create_if_not_exists\":true",
                         200 + i),
                     "cas_ok");
        for (int j = 0; j < NODES_MAX; j++) {
            body = expect(net, ask(net, client, j, "read", ",\"key\":%d", 100 + i), "read_ok");
            assert_int_equal(json_integer_value(json_object_get(body, "value")), 2);
            body = expect(net, ask(net, client, j, "read_index", ",\"key\":%d", 100 + i),
                          "read_index_ok");
            assert_true(json_is_true(json_object_get(body, "heartbeat_confirmed")));
            assert_true(json_is_true(json_object_get(body, "linearizable")));
            (void)expect(net, ask(net, client, j, "read_via_log", ",\"key\":%d", 100 + i),
                         "read_via_log_ok");
            body = expect(net, ask(net, client, j, "read", ",\"key\":%d", 200 + i), "read_ok");
            {
                char *text = json_dumps(json_object_get(body, "value"), JSON_REAL_PRECISION(5));

                assert_string_equal(text, "{\"a\": [0.1, 1e300], \"b\": null}");
                free(text);
            }
        }
        body = expect(net, ask(net, client, i, "compare_read_methods", ",\"num_reads\":20"),
                      "compare_read_methods_ok");
        assert_true(json_is_true(json_object_get(body, "both_linearizable")));
        body = expect(net, ask(net, client, i, "delete", ",\"key\":%d", 100 + i), "delete_ok");
        assert_true(json_is_true(json_object_get(body, "existed")));
    }
    for (int i = 0; i < NODES_MAX; i++)
        assert_int_equal(kill(net->nodes[i].pid, SIGTERM), 0);
    for (int i = 0; i < NODES_MAX; i++)
        assert_int_equal(node_wait(net, i), 0);
    assert_int_equal(n_folders(), 0);
}

/* Byte for byte the same, whichever node was asked. */
static void maelstrom__a_forwarded_answer_reads_as_a_direct_one(void **state)
{
    static const char *const asks[][2] = {
        {"read", ",\"key\":\"k\""},
        {"read", ",\"key\":\"none\""},
        {"batch_read_index", ",\"keys\":[\"k\",1,\"deep\"]"},
        {"cas", ",\"key\":\"k\",\"from\":0,\"to\":1"},
        {"read", ",\"key\":\"k\",\"verbose\":true,\"via\":\"log\""},
        {"lease_read", ",\"key\":\"k\""}};
    struct net *net = *state;
    int leader;

    start_three(net);
    leader = await_leader(net);
    (void)expect(
        net,
        ask(net, "c1", leader, "write",
            ",\"key\":\"k\",\"value\":[0.1,1.0,-0.0,\"\\u00e9\\\"\\n\",{\"b\":1,\"a\":{}}]"),
        "write_ok");
    /* The deepest value that a request can carry: an answer in a list nests deeper than a request
     * may. */
    (void)expect(net,
                 ask(net, "c1", leader, "write",
                     ",\"key\":\"deep\",\"value\":[[[[[[[[[[[[[[1]]]]]]]]]]]]]]"),
                 "write_ok");
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        char *lines[2];

        for (int way = 0; way < 2; way++) {
            int node = way == 0 ? leader : other_than(net, leader);
            uint64_t id = ask(net, "c1", node, asks[i][0], "%s", asks[i][1]);
            json_t *copy;

            (void)await(net, id);
            copy = json_deep_copy(find_reply(net, id)->body);
            (void)json_object_del(copy, "in_reply_to");
            (void)json_object_del(copy, "msg_id");
            (void)json_object_del(copy, "log_index_used");
            (void)json_object_del(copy, "latency_ms");
            (void)json_object_del(copy, "read_at_index");
            (void)json_object_del(copy, "index");
            lines[way] = json_dumps(copy, JSON_REAL_PRECISION(17));
            json_decref(copy);
            /* The text of the value too, as it came over the pipe. */
            if (strcmp(asks[i][1], ",\"key\":\"k\"") == 0 && strcmp(asks[i][0], "read") == 0)
                assert_non_null(strstr(find_reply(net, id)->line,
                                       "\"value\": [0.1, 1.0, -0.0, \"\xc3\xa9\\\"\\n\", "
                                       "{\"b\": 1, \"a\": {}}], \"msg_id\": "));
        }
        assert_string_equal(lines[0], lines[1]);
        free(lines[0]);
        free(lines[1]);
    }
}

static void maelstrom__nothing_acknowledged_is_lost_with_the_leader(void **state)
{
    struct net *net = *state;
    int leader;

    start_three(net);
    leader = await_leader(net);
    for (int k = 0; k < 30; k++)
        (void)expect(
            net, ask(net, "c1", k % NODES_MAX, "write", ",\"key\":%d,\"value\":%d", k, 1000 + k),
            "write_ok");
    node_kill(net, leader);
    for (int k = 0; k < 30; k++) {
        int node = (leader + 1 + k % 2) % NODES_MAX;
        const json_t *body;

        do { /* the old leader is still believed in for a while: that is told as an error */
            body = await(net, ask(net, "c1", node, "read", ",\"key\":%d", k));
        } while (strcmp(type_of(body), "error") == 0 && code_of(body) != 20);
        expect_type(net, body, "read_ok");
        assert_int_equal(json_integer_value(json_object_get(body, "value")), 1000 + k);
    }
    for (int k = 0; k < 10; k++)
        (void)expect(net,
                     ask(net, "c2", (leader + 1 + k % 2) % NODES_MAX, "write",
                         ",\"key\":%d,\"value\":%d", k, 2000 + k),
                     "write_ok");
    /* What the dead one left behind goes when a node starts that finds it. */
    assert_int_equal(n_folders(), 3);
    node_start(net, leader, fast_args);
    (void)expect(net,
                 ask(net, "c0", leader, "init", ",\"node_id\":\"n%d\",\"node_ids\":[\"n%d\"]",
                     leader + 1, leader + 1),
                 "init_ok");
    assert_int_equal(n_folders(), 3);
}

/* The network delays, reorders and doubles everything between nodes. One client, one register: each
 * write names a new number, so what a read may return is known. */
static void maelstrom__doubled_and_late_messages_do_no_harm(void **state)
{
    struct net *net = *state;
    int last = 0;      /* acknowledged */
    int maybe_min = 0; /* writes since then whose fate is unknown */
    int n_ok = 0;

    start_three(net);
    (void)await_leader(net);
    net->delay_us_max = 25000;
    net->dup_percent = 50;
    for (int k = 1; k <= 50; k++) {
        int node = (int)prng_below(&net->prng, NODES_MAX);
        const json_t *body = await(
            net, ask(net, "c1", node, "write", ",\"key\":1,\"value\":%d,\"timeout_ms\":3000", k));

        if (strcmp(type_of(body), "write_ok") == 0) {
            last = k;
            n_ok++;
        } else {
            assert_string_equal(type_of(body), "error");
            if (is_definite(body))
                continue;
            maybe_min = k;
        }
        node = (int)prng_below(&net->prng, NODES_MAX);
        body = await(net, ask(net, "c1", node, "read", ",\"key\":1,\"timeout_ms\":3000"));
        if (strcmp(type_of(body), "read_ok") == 0) {
            int v = (int)json_integer_value(json_object_get(body, "value"));

            if (maybe_min <= last) {
                assert_int_equal(v, last); /* a write done twice would bring an old one back */
            } else {
                assert_true(v >= last);
                last = v;
            }
        }
    }
    assert_true(n_ok > 25);
    assert_true(net->n_between > 300);
}

/* A node that is not the leader says so to another node, and asks nobody itself. */
static void maelstrom__a_request_is_forwarded_once(void **state)
{
    struct net *net = *state;
    int leader;
    int follower;
    int third;
    const json_t *body;

    start_three(net);
    leader = await_leader(net);
    follower = other_than(net, leader);
    third = 3 - leader - follower;
    /* From now on this test plays the third node. */
    node_kill(net, third);
    net->nodes[third].name[0] = 'x';
    send_raw(net, follower,
             "{\"src\":\"n%d\",\"dest\":\"n%d\",\"body\":{\"type\":\"write\",\"msg_id\":900001,"
             "\"key\":5,\"value\":1,\"forwarded_for\":\"c1\"}}",
             third + 1, follower + 1);
    body = expect(net, 900001, "error");
    assert_int_equal(code_of(body), 11);
    assert_true(is_definite(body));
    assert_string_equal(json_string_value(json_object_get(body, "error")), "not_leader");
    assert_string_equal(json_string_value(json_object_get(body, "leader_id")),
                        net->nodes[leader].name);
    /* The leader does it, and once only. */
    for (int twice = 0; twice < 2; twice++)
        send_raw(net, leader,
                 "{\"src\":\"n%d\",\"dest\":\"n%d\",\"body\":{\"type\":\"cas\",\"msg_id\":900002,"
                 "\"key\":6,\"from\":1,\"to\":1,\"create_if_not_exists\":true,\"verbose\":true,"
                 "\"forwarded_for\":\"c1\"}}",
                 third + 1, leader + 1);
    body = expect(net, 900002, "cas_ok");
    /* A number far below those seen is too old to be told from one that was done. */
    send_raw(
        net, leader,
        "{\"src\":\"n%d\",\"dest\":\"n%d\",\"body\":{\"type\":\"write\",\"msg_id\":5,\"key\":6,"
        "\"value\":2,\"forwarded_for\":\"c1\"}}",
        third + 1, leader + 1);
    /* One a little below is new. */
    send_raw(net, leader,
             "{\"src\":\"n%d\",\"dest\":\"n%d\",\"body\":{\"type\":\"write\",\"msg_id\":899999,"
             "\"key\":7,"
             "\"value\":3,\"forwarded_for\":\"c1\"}}",
             third + 1, leader + 1);
    (void)expect(net, 899999, "write_ok");
    body = expect(net, ask(net, "c1", leader, "read", ",\"key\":6"), "read_ok");
    assert_int_equal(json_integer_value(json_object_get(body, "value")), 1);
    {
        int n = 0;

        list_for_each(it, &net->replies)
        {
            const json_t *b = list_entry(it, struct reply, link)->body;

            n += json_integer_value(json_object_get(b, "in_reply_to")) == 900002;
        }
        assert_int_equal(n, 1);
    }
}

/* ---- the test plays the leader ---- */

static void lead(struct net *net, const char *name, int term)
{
    send_raw(net, 0,
             "{\"src\":\"%s\",\"dest\":\"n1\",\"body\":{\"type\":\"read_heartbeat\",\"term\":%d,"
             "\"round\":1,\"leader_commit\":1}}",
             name, term);
}

/* The number under which n1 forwarded a request of this type to `name`; it must be the one for key 1, if any. */
static json_int_t await_forward(struct net *net, const char *name, const char *type)
{
    uint64_t until_us = clock_mono_us() + DEADLINE_US;

    for (;;) {
        list_for_each(it, &net->replies)
        {
            struct reply *r = list_entry(it, struct reply, link);
            json_int_t id;

            if (strcmp(r->client, name) != 0 || strcmp(type_of(r->body), type) != 0)
                continue;
            assert_true(json_is_string(json_object_get(r->body, "forwarded_for")));
            assert_true(json_integer_value(json_object_get(r->body, "timeout_ms")) > 0);
            if (json_object_get(r->body, "key") != NULL)
                assert_int_equal(json_integer_value(json_object_get(r->body, "key")), 1);
            id = json_integer_value(json_object_get(r->body, "msg_id"));
            reply_free(r);
            return id;
        }
        if (clock_mono_us() > until_us) {
            show_logs(net);
            fail_msg("no %s for %s", type, name);
        }
        net_step(net);
    }
}

static int n_forwards(const struct net *net, const char *name, const char *type)
{
    int n = 0;

    list_for_each(it, &net->replies)
    {
        const struct reply *r = list_entry(it, const struct reply, link);

        n += strcmp(r->client, name) == 0 && strcmp(type_of(r->body), type) == 0;
    }
    return n;
}

static void answer(struct net *net, const char *name, json_int_t id, const char *rest)
{
    send_raw(net, 0,
             "{\"src\":\"%s\",\"dest\":\"n1\",\"body\":{\"in_reply_to\":%lld,\"msg_id\":1,%s}}",
             name, (long long)id, rest);
}

#define NOT_LEADER                                                                                 \
    "\"type\":\"error\",\"code\":11,\"text\":\"t\",\"error\":\"not_leader\",\"definite\":true"
#define DEFINITE                                                                                   \
    "\"type\":\"error\",\"code\":11,\"text\":\"t\",\"error\":\"term_changed\",\"definite\":true"
#define INDEFINITE                                                                                 \
    "\"type\":\"error\",\"code\":13,\"text\":\"t\",\"error\":\"term_changed\",\"definite\":false"

static void start_follower(struct net *net)
{
    static const char *const args[] = {"--election-ms", "30000", NULL};

    start_one(net, args);
    (void)expect(
        net, ask(net, "c0", 0, "init", ",\"node_id\":\"n1\",\"node_ids\":[\"n1\",\"n2\",\"n3\"]"),
        "init_ok");
}

static void maelstrom__only_what_did_not_happen_is_sent_again(void **state)
{
    struct net *net = *state;
    const json_t *body;
    json_int_t first;
    json_int_t id;
    uint64_t write_id;

    start_follower(net);
    /* A node forwards to this one, which knows no leader either: it is told at once. */
    send_raw(
        net, 0,
        "{\"src\":\"n3\",\"dest\":\"n1\",\"body\":{\"type\":\"read\",\"msg_id\":77001,\"key\":1}}");
    body = expect(net, 77001, "error");
    assert_string_equal(json_string_value(json_object_get(body, "error")), "not_leader");
    assert_true(json_is_null(json_object_get(body, "leader_id")));

    lead(net, "n2", 5);
    write_id = ask(net, "c1", 0, "write", ",\"key\":1,\"value\":[1.5,\"x\"]");
    /* Behind it, of the same client: it waits however often the first is tried. */
    (void)ask(net, "c1", 0, "write", ",\"key\":2,\"value\":2,\"timeout_ms\":60000");
    first = await_forward(net, "n2", "write");
    answer(net, "n2", first, NOT_LEADER);
    id = await_forward(net, "n2", "write"); /* once more, under a number of its own */
    assert_true(id != first);
    answer(net, "n2", first, NOT_LEADER);           /* late, or twice: it means nothing */
    answer(net, "n3", id, "\"type\":\"write_ok\""); /* not asked */
    answer(net, "n2", id, DEFINITE);
    id = await_forward(net, "n2", "write");
    answer(net, "n2", id, INDEFINITE);
    body = expect(net, write_id, "error");
    assert_int_equal(code_of(body), 13);
    assert_false(is_definite(body));
    answer(net, "n2", id, "\"type\":\"write_ok\"");
    (void)expect(net, ask(net, "c2", 0, "read", ",\"key\":1,\"timeout_ms\":400"), "error");
    assert_int_equal(n_forwards(net, "n2", "write"), 1); /* the second one; never the first again */

    /* What apply decided is an answer, not a reason to ask again. */
    write_id = ask(net, "c3", 0, "cas", ",\"key\":1,\"from\":1,\"to\":2");
    answer(net, "n2", await_forward(net, "n2", "cas"),
           "\"type\":\"error\",\"code\":22,\"text\":\"t\",\"error\":\"precondition_failed\","
           "\"definite\":true,"
           "\"index\":9");
    body = expect(net, write_id, "error");
    assert_int_equal(code_of(body), 22);
    assert_int_equal(json_integer_value(json_object_get(body, "index")), 9);
}

static void maelstrom__another_leader_gets_reads_but_no_writes(void **state)
{
    struct net *net = *state;
    const json_t *body;
    uint64_t write_id;
    uint64_t read_id;
    uint64_t compare_id;

    start_follower(net);
    lead(net, "n2", 5);
    write_id = ask(net, "c1", 0, "write", ",\"key\":1,\"value\":1,\"timeout_ms\":1500");
    read_id = ask(net, "c2", 0, "read_index", ",\"key\":1");
    compare_id = ask(net, "c3", 0, "compare_read_methods", ",\"num_reads\":10,\"timeout_ms\":100");
    (void)await_forward(net, "n2", "write");
    (void)await_forward(net, "n2", "read_index");
    (void)await_forward(net, "n2", "compare_read_methods");
    lead(net, "n3", 6);
    answer(
        net, "n3", await_forward(net, "n3", "read_index"),
        "\"type\":\"read_index_ok\",\"value\":7,\"read_at_index\":9,\"heartbeat_confirmed\":true,"
        "\"linearizable\":true");
    body = expect(net, read_id, "read_index_ok");
    assert_int_equal(json_integer_value(json_object_get(body, "value")), 7);
    body = expect(net, compare_id, "error"); /* what ran there is over */
    assert_string_equal(json_string_value(json_object_get(body, "error")), "term_changed");
    assert_int_equal(json_integer_value(json_object_get(body, "old_term")), 5);
    assert_int_equal(json_integer_value(json_object_get(body, "term")), 6);
    assert_string_equal(json_string_value(json_object_get(body, "leader_id")), "n3");
    body = expect(net, write_id, "error");
    assert_string_equal(json_string_value(json_object_get(body, "error")), "timeout");
    assert_string_equal(json_string_value(json_object_get(body, "stage")), "forward");
    assert_int_equal(code_of(body), 0);
    assert_false(is_definite(body));
    assert_int_equal(n_forwards(net, "n3", "write"), 0);
}

/* Cut off from the leader: what certainly did not happen is definite, what was sent is not. */
static void maelstrom__what_cannot_be_known_is_not_definite(void **state)
{
    struct net *net = *state;
    int leader;
    int follower;
    uint64_t write_id;
    uint64_t read_id;
    uint64_t late_id;
    const json_t *body;

    start_three(net);
    leader = await_leader(net);
    follower = other_than(net, leader);
    (void)expect(net, ask(net, "c1", follower, "write", ",\"key\":1,\"value\":1"), "write_ok");
    net->cut[follower] = true;
    write_id = ask(net, "c1", follower, "write", ",\"key\":1,\"value\":2,\"timeout_ms\":5000");
    read_id = ask(net, "c2", follower, "read", ",\"key\":1,\"timeout_ms\":5000");
    /* Of the same client, behind the write: it is never sent. */
    late_id = ask(net, "c1", follower, "write", ",\"key\":1,\"value\":3,\"timeout_ms\":5000");
    body = expect(net, write_id, "error");
    assert_int_equal(code_of(body), 0);
    assert_false(is_definite(body));
    body = expect(net, read_id, "error");
    assert_true(is_definite(body));
    assert_string_equal(json_string_value(json_object_get(body, "error")), "network");
    assert_int_equal(json_integer_value(json_object_get(body, "reached")), 1);
    assert_int_equal(json_integer_value(json_object_get(body, "needed")), 2);
    body = expect(net, late_id, "error");
    assert_true(is_definite(body));
    /* The others go on, and after the cut so does this one. */
    body = expect(net, ask(net, "c3", leader, "read", ",\"key\":1"), "read_ok");
    assert_int_equal(json_integer_value(json_object_get(body, "value")), 1);
    net->cut[follower] = false;
    (void)expect(net, ask(net, "c1", follower, "write", ",\"key\":1,\"value\":4"), "write_ok");
    body = expect(net, ask(net, "c3", leader, "read", ",\"key\":1"), "read_ok");
    assert_int_equal(json_integer_value(json_object_get(body, "value")), 4);
}

/* Requests of one client through a node that forwards keep their order. */
static void maelstrom__a_read_sees_the_write_sent_before_it(void **state)
{
    struct net *net = *state;
    int follower;

    start_three(net);
    follower = other_than(net, await_leader(net));
    net->delay_us_max = 15000;
    for (int k = 1; k <= 20; k++) {
        uint64_t w = ask(net, "c1", follower, "write", ",\"key\":1,\"value\":%d", k);
        uint64_t r = ask(net, "c1", follower, "read", ",\"key\":1");
        const json_t *body;

        (void)expect(net, w, "write_ok");
        body = expect(net, r, "read_ok");
        assert_int_equal(json_integer_value(json_object_get(body, "value")), k);
    }
}

/* A session is opened and named through any node, with all that is said of it (SESSION-2). */
static void maelstrom__sessions_through_any_node(void **state)
{
    struct net *net = *state;
    const char *client;
    const json_t *body;
    char name[32];
    int node;

    start_three(net);
    node = other_than(net, await_leader(net));
    client = json_string_value(json_object_get(
        expect(net, ask(net, "c1", node, "open_session", "%s", ""), "open_session_ok"), "client"));
    assert_non_null(client);
    (void)snprintf(name, sizeof(name), "%s", client);
    for (int round = 0; round < 3; round++) {
        body = expect(net,
                      ask(net, "c1", (node + round) % 3, "write",
                          ",\"key\":1,\"value\":%d,\"client\":\"%s\",\"seq\":5,\"first\":4", round,
                          name),
                      "write_ok");
        assert_non_null(body);
    }
    body = expect(net, ask(net, "c1", node, "read", ",\"key\":1"), "read_ok");
    assert_int_equal(json_integer_value(json_object_get(body, "value")), 0);
    body = expect(
        net,
        ask(net, "c1", node, "write", ",\"key\":1,\"value\":9,\"client\":\"%s\",\"seq\":3", name),
        "error");
    assert_string_equal(json_string_value(json_object_get(body, "error")), "session_expired");
    (void)expect(net,
                 ask(net, "c1", node, "delete", ",\"key\":1,\"client\":\"%s\",\"seq\":4", name),
                 "delete_ok");
}

static void maelstrom__leadership_moves_when_it_is_asked_to(void **state)
{
    struct net *net = *state;
    int leader;
    int to;
    const json_t *body;

    start_three(net);
    leader = await_leader(net);
    to = other_than(net, leader);
    /* Asked at a node that does not lead. */
    body = expect(net, ask(net, "c1", to, "transfer_leader", ",\"to\":\"n%d\"", to + 1),
                  "transfer_leader_ok");
    assert_string_equal(json_string_value(json_object_get(body, "leader_id")), net->nodes[to].name);
    (void)expect(net, ask(net, "c1", leader, "write", ",\"key\":1,\"value\":1"), "write_ok");
}

/* ---- the end ---- */

static void maelstrom__the_folder_goes_with_the_process(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct net *net = *state;

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        start_one(net, NULL);
        init_one(net);
        assert_int_equal(n_folders(), 1);
        assert_int_equal(kill(net->nodes[0].pid, signals[i]), 0);
        assert_int_equal(node_wait(net, 0), 0);
        assert_int_equal(n_folders(), 0);
    }
    /* Nobody reads any more: that is an error, and it too leaves nothing behind. */
    start_one(net, NULL);
    init_one(net);
    (void)close(net->nodes[0].out);
    net->nodes[0].out = -1;
    (void)ask(net, "c1", 0, "ping", "%s", "");
    assert_int_equal(node_wait(net, 0), 74);
    assert_int_equal(n_folders(), 0);
    /* Killed: the next one finds it and tidies up; what lives is left alone. */
    start_one(net, NULL);
    init_one(net);
    node_kill(net, 0);
    assert_int_equal(n_folders(), 1);
    start_one(net, NULL);
    init_one(net);
    assert_int_equal(n_folders(), 1);
    net->n = 2;
    node_start(net, 1, NULL);
    (void)expect(net, ask(net, "c0", 1, "init", ",\"node_id\":\"n2\",\"node_ids\":[\"n2\"]"),
                 "init_ok");
    assert_int_equal(n_folders(), 2);
    node_close_input(&net->nodes[0]);
    assert_int_equal(node_wait(net, 0), 0);
    assert_int_equal(n_folders(), 1);
}

static void maelstrom__without_a_folder_it_does_not_start(void **state)
{
    struct net *net = *state;

    net->tmpdir = "/nowhere/at/all";
    start_one(net, NULL);
    (void)ask(net, "c0", 0, "init", ",\"node_id\":\"n1\",\"node_ids\":[\"n1\"]");
    assert_int_equal(node_wait(net, 0), 74);
    assert_true(log_holds(&net->nodes[0], "cannot use"));
}

static void maelstrom__wrong_options_are_refused(void **state)
{
    static const char *const wrong[][3] = {
        {"--election-ms", "0", NULL},  {"--election-ms", "200", NULL},
        {"--heartbeat-ms", "x", NULL}, {"--log-level", "loud", NULL},
        {"--jump", NULL, NULL},        {"--election-ms", NULL, NULL},
        {"more", NULL, NULL}};
    struct net *net = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        start_one(net, wrong[i]);
        assert_int_equal(node_wait(net, 0), 64);
        assert_true(log_holds(&net->nodes[0], "ridd-maelstrom: "));
    }
}

/* What the program prints for an option, and its exit code. */
static int printed(const char *option, char *text, size_t size)
{
    char command[320];
    FILE *f;
    size_t len;
    int status;

    (void)snprintf(command, sizeof(command), "'%s' %s </dev/null", program(), option);
    f = popen(command, "re");
    assert_non_null(f);
    len = fread(text, 1, size - 1, f);
    text[len] = '\0';
    status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void maelstrom__help_and_version_are_printed(void **state)
{
    char text[8192];

    (void)state;
    assert_int_equal(printed("--help", text, sizeof(text)), 0);
    assert_int_equal(strncmp(text, "usage: ridd-maelstrom ", 22), 0);
    assert_non_null(strstr(text, "--heartbeat-ms"));
    assert_int_equal(printed("--version", text, sizeof(text)), 0);
    assert_int_equal(strncmp(text, "ridd-maelstrom ", 15), 0);
    assert_int_equal(printed("--log-level error", text, sizeof(text)), 0);
    assert_string_equal(text, ""); /* the input ended before it began */
}

static void maelstrom__clients_beyond_the_bound_are_busy(void **state)
{
    struct net *net = *state;
    const json_t *body;
    char name[16];
    uint64_t id;

    start_follower(net);
    /* Nobody leads, so that every client is owed an answer. */
    for (int i = 0; i < 4096; i++) {
        (void)snprintf(name, sizeof(name), "c%d", i);
        id = ask(net, name, 0, "read_index", ",\"key\":1,\"timeout_ms\":%d", i == 0 ? 300 : 60000);
        if (i == 0)
            (void)expect(net, id, "error"); /* it is owed nothing now: its place is free again */
    }
    (void)ask(net, "c4096", 0, "read_index", ",\"key\":1,\"timeout_ms\":60000");
    body = expect(net, ask(net, "c4097", 0, "read_index", ",\"key\":1"), "error");
    assert_string_equal(json_string_value(json_object_get(body, "error")), "busy");
    assert_int_equal(json_integer_value(json_object_get(body, "limit")), 4096);
    assert_true(is_definite(body));
    /* A node that passes a request on is told the same. */
    send_raw(net, 0,
             "{\"src\":\"n3\",\"dest\":\"n1\",\"body\":{\"type\":\"read_index\",\"msg_id\":88001,"
             "\"key\":1}}");
    body = expect(net, 88001, "error");
    assert_string_equal(json_string_value(json_object_get(body, "error")), "busy");
    /* Those who wait are served when somebody leads. */
    lead(net, "n2", 5);
    (void)await_forward(net, "n2", "read_index");
}

/* An answer may be larger than a value may be: lists and pairs are passed on piece by piece. */
static void maelstrom__a_large_answer_is_passed_on_whole(void **state)
{
    const size_t size = 300u << 10;
    struct net *net = *state;
    char *text = malloc(size + 1);
    char *large = NULL;
    const json_t *body;
    json_t *sent;
    json_int_t fid;
    uint64_t id;

    assert_non_null(text);
    memset(text, 'a', size);
    text[size] = '\0';
    start_follower(net);
    lead(net, "n2", 5);
    id = ask(net, "c1", 0, "batch_read_index", ",\"keys\":[1,2]");
    fid = await_forward(net, "n2", "batch_read_index");
    assert_true(asprintf(&large,
                         "\"values\":[[1,\"%s\"],[2,\"%s\"]],\"by_name\":{\"one\":\"%s\","
                         "\"two\":{\"a\":[\"%s\",null,true]}}",
                         text, text, text, text) > 0);
    free(text);
    text = NULL;
    assert_true(asprintf(&text, "\"type\":\"batch_read_index_ok\",%s", large) > 0);
    answer(net, "n2", fid, text);
    body = expect(net, id, "batch_read_index_ok");
    free(text);
    assert_true(asprintf(&text, "{%s}", large) > 0);
    sent = json_loads(text, 0, NULL);
    assert_non_null(sent);
    assert_true(json_equal(json_object_get(body, "values"), json_object_get(sent, "values")));
    assert_true(json_equal(json_object_get(body, "by_name"), json_object_get(sent, "by_name")));
    json_decref(sent);
    free(text);
    free(large);
}

/* What cannot be passed on is no answer: the client is told by its deadline, and as an unknown. */
static void maelstrom__an_answer_that_cannot_be_told_is_none(void **state)
{
    const size_t size = 600u << 10;
    struct net *net = *state;
    char *text = malloc(size + 1);
    char *large = NULL;
    const json_t *body;
    uint64_t id;

    assert_non_null(text);
    memset(text, 'a', size);
    text[size] = '\0';
    start_follower(net);
    lead(net, "n2", 5);
    id = ask(net, "c1", 0, "write", ",\"key\":1,\"value\":1,\"timeout_ms\":1500");
    /* One value that is too large, a name that needs escapes, no type at all. */
    assert_true(asprintf(&large, "\"type\":\"write_ok\",\"extra\":\"%s\"", text) > 0);
    answer(net, "n2", await_forward(net, "n2", "write"), large);
    free(large);
    body = expect(net, id, "error");
    assert_false(is_definite(body));
    id = ask(net, "c2", 0, "read_index", ",\"key\":1,\"timeout_ms\":1500");
    assert_true(asprintf(&large, "\"type\":\"read_index_ok\",\"value\":{\"A B\":\"%s\"}", text) >
                0);
    answer(net, "n2", await_forward(net, "n2", "read_index"), large);
    free(large);
    (void)expect(net, id, "error");
    id = ask(net, "c3", 0, "read_index", ",\"key\":1,\"timeout_ms\":1500");
    answer(net, "n2", await_forward(net, "n2", "read_index"), "\"value\":1");
    (void)expect(net, id, "error");
    free(text);
}

static void maelstrom__a_name_has_a_longest_length(void **state)
{
    struct net *net = *state;
    char name[4001];
    const json_t *body;
    uint64_t id;

    start_one(net, fast_args);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    id = ask(net, "c0", 0, "init", ",\"node_id\":\"%s\",\"node_ids\":[\"%s\"]", name, name);
    body = expect(net, id, "error");
    assert_true(is_definite(body));
    init_one(net); /* it may be repeated */
    /* Too long to be answered, and so to be asked. */
    send_raw(net, 0, "{\"src\":\"%s\",\"dest\":\"n1\",\"body\":{\"type\":\"ping\",\"msg_id\":9}}",
             name);
    (void)expect(net, ask(net, "c1", 0, "ping", "%s", ""), "pong");
    assert_true(log_holds(&net->nodes[0], "event=line_dropped"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(maelstrom__a_read_without_a_leader_gets_no_line),
        TEST(maelstrom__compare_without_a_leader_gets_no_line),
        TEST(maelstrom__end_of_file_ends_it),
        TEST(maelstrom__after_end_of_file_no_other_node_is_asked),
        TEST(maelstrom__a_group_of_one_answers_what_is_owed),
        TEST(maelstrom__requests_before_init_are_refused),
        TEST(maelstrom__a_wrong_init_is_refused_and_may_be_repeated),
        TEST(maelstrom__a_second_init_is_refused),
        TEST(maelstrom__rubbish_lines_are_dropped),
        TEST(maelstrom__lines_have_a_longest_length),
        TEST(maelstrom__invalid_messages_of_nodes_are_dropped),
        TEST(maelstrom__three_serve_lin_kv_through_any_node),
        TEST(maelstrom__a_forwarded_answer_reads_as_a_direct_one),
        TEST(maelstrom__nothing_acknowledged_is_lost_with_the_leader),
        TEST(maelstrom__doubled_and_late_messages_do_no_harm),
        TEST(maelstrom__a_request_is_forwarded_once),
        TEST(maelstrom__only_what_did_not_happen_is_sent_again),
        TEST(maelstrom__another_leader_gets_reads_but_no_writes),
        TEST(maelstrom__what_cannot_be_known_is_not_definite),
        TEST(maelstrom__a_read_sees_the_write_sent_before_it),
        TEST(maelstrom__sessions_through_any_node),
        TEST(maelstrom__leadership_moves_when_it_is_asked_to),
        TEST(maelstrom__the_folder_goes_with_the_process),
        TEST(maelstrom__without_a_folder_it_does_not_start),
        TEST(maelstrom__wrong_options_are_refused),
        TEST(maelstrom__help_and_version_are_printed),
        TEST(maelstrom__clients_beyond_the_bound_are_busy),
        TEST(maelstrom__a_large_answer_is_passed_on_whole),
        TEST(maelstrom__an_answer_that_cannot_be_told_is_none),
        TEST(maelstrom__a_name_has_a_longest_length),
    };

    return cmocka_run_group_tests_name("maelstrom", tests, NULL, NULL);
}
