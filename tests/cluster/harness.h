/* Real ridd processes on loopback, and clients on raw sockets that talk to them.
 *
 * Every case is written CASE(area__name) { ... } and listed with HARNESS_TEST(area__name). A helper
 * that is not satisfied fails the case, cmocka leaves it, and the teardown prints the end of every
 * node's log and keeps the folder. Clusters that a case made are ended by the case (cluster_free)
 * or, when it fails, by the teardown; those made in a group's setup are shared by its cases and end
 * with the group.
 *
 * No helper sleeps: all wait for a condition, looking every few milliseconds, with a generous
 * deadline that fails the case. RIDD_TEST_SLOW multiplies the deadlines (default 1, and 5 in a
 * build with sanitizers).
 *
 * Nothing outlives the test: the processes die with it (PR_SET_PDEATHSIG), also when it crashes,
 * and an alarm ends a test that hangs. One thread: processes must be started by the thread that
 * lives as long as they. */
#ifndef RIDD_TESTS_CLUSTER_HARNESS_H
#define RIDD_TESTS_CLUSTER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"

#define CLUSTER_NODES_MAX 7u
#define WAIT_MS           20000u /* the deadline of most helpers, before RIDD_TEST_SLOW */

/* ---- cases ---- */

#define CASE(name)                                                                                 \
    static void name##_body(void);                                                                 \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        harness_begin(#name);                                                                      \
        name##_body();                                                                             \
        harness_end();                                                                             \
    }                                                                                              \
    static void name##_body(void)
#define HARNESS_TEST(name) cmocka_unit_test_teardown(name, harness_teardown)

void harness_begin(const char *name);
void harness_end(void);
int harness_teardown(void **state);
/* The end of every program: runs the cases whose name holds argv[1], or all. */
#define harness_main(argc, argv, tests, setup, teardown)                                           \
    (harness_init((argc), (argv)), cmocka_run_group_tests_name(argv[0], tests, setup, teardown))
void harness_init(int argc, char **argv);
/* Fails the case with this text. */
void harness_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

uint64_t now_ms(void);
uint64_t slow(uint64_t ms); /* ms times RIDD_TEST_SLOW */
void pause_briefly(void);   /* the few milliseconds between two looks at a condition */
/* Called again and again while a helper waits, programs that are run to their end included: for
 * clients that go on meanwhile. It waits for a few milliseconds at most; NULL: nobody. */
void harness_meanwhile(void (*fn)(void *ctx), void *ctx);

/* Waits until the expression is true; `what` is said when it never is. */
#define wait_until(condition, what)                                                                \
    do {                                                                                           \
        uint64_t wait_deadline_ = now_ms() + slow(WAIT_MS);                                        \
        while (!(condition)) {                                                                     \
            if (now_ms() > wait_deadline_)                                                         \
                harness_fail("%s:%d: waited in vain for %s", __FILE__, __LINE__, (what));          \
            pause_briefly();                                                                       \
        }                                                                                          \
    } while (0)

/* ---- a cluster ---- */

struct node {
    char name[16]; /* "": an empty place: nobody knows it, and nothing runs there */
    char addr[32];      /* client address */
    char peer_addr[32]; /* peer address */
    uint16_t port;      /* client port */
    uint16_t peer_port;
    uint16_t http_port; /* 0: none; where the configuration of cluster_new() has [http] */
    const char *http_scheme; /* borrowed; "https://"; NULL: none is written */
    char dir[256]; /* data directory */
    char log[256];
    pid_t pid; /* 0: not running */
    bool stopped;
    size_t log_from; /* where the log of the present process begins */
    const char *program; /* borrowed; NULL: ridd_path() */
    const char *conf;    /* borrowed; NULL: the cluster's */
    int locks[3];    /* keep the ports ours among test programs */
    int admin_fd;    /* connection for status, -1: none */
};

struct cluster {
    struct cluster *next;
    char dir[200];
    char conf[256];
    unsigned n;
    struct node nodes[CLUSTER_NODES_MAX];
    unsigned n_members;     /* 0: all n; otherwise how many the cluster has, for its majority */
    bool shared;            /* made outside of a case */
    const char *const *env; /* borrowed; NULL, or NAME=VALUE strings for the nodes */
};

/* Folder, ports, configuration; nothing is made or started. With a section [http] in extra the nodes
 * have addresses for that, too. extra: more lines of configuration,
 * which may begin with keys of [node], or NULL. With a section [raft] of its own it replaces the
 * short times that the harness gives. */
struct cluster *cluster_new(unsigned n, const char *extra);
void cluster_write_conf(struct cluster *c, const char *cluster_name, const char *extra);
/* The same into another file, for a node's conf. */
void cluster_write_conf_to(const struct cluster *c, const char *path, const char *cluster_name,
                           const char *extra);
/* ridd --init for all. */
void cluster_init(struct cluster *c);
/* All nodes that do not run; returns when they are ready and one leads. */
void cluster_start(struct cluster *c);
/* new, init, start. */
struct cluster *cluster_up(unsigned n, const char *extra);
/* The same, of nodes whose syncs do nothing. A leader whose disk is silent for an election timeout
 * hands over, and is right to (READ-51): where a test asks that the leader stays, whether the
 * machine's disk is silent, with what else it does, must not decide. */
struct cluster *cluster_up_without_syncs(unsigned n, const char *extra);
/* Ends all processes, and removes the folder unless a case failed. */
void cluster_free(struct cluster *c);
/* Waits until a majority agrees on a leader among the nodes that run and are not stopped; its
 * number. */
unsigned cluster_leader(struct cluster *c);
/* Does that node lead by now? Otherwise it was asked of the one that does: one that was just rebuilt
 * is no target before its leader has heard that it is fit again. */
bool cluster_leads(struct cluster *c, unsigned node);
/* Waits until all running nodes have applied what the leader has committed; that index. */
uint64_t cluster_settle(struct cluster *c);
/* All nodes run, and at one index hold the same state. */
void expect_equal_states(struct cluster *c);
int cluster_find(const struct cluster *c, const char *name); /* -1: none */

/* The environment of nodes with shim.so preloaded. What is set is for cluster.env, and lives as long
 * as this. */
struct shim_env {
    char preload[4200];
    char options[600];
    const char *env[4];
};
/* more: a further NAME=VALUE, borrowed; shim.c says which there are. */
void shim_env_init(struct shim_env *s, const char *more);

/* The environment of nodes under the shim, which all read one control file. */
struct shim {
    char control[300];
    char variable[400];
    struct shim_env env;
};

/* Of the nodes that are started from here on; s lives as long as they are. */
void shim_begin(struct shim *s, struct cluster *c);

void node_spawn(struct cluster *c, unsigned i);                          /* does not wait */
void node_spawn_with(struct cluster *c, unsigned i, const char *option); /* NULL: none */
void node_start(struct cluster *c, unsigned i);                          /* waits for event=ready */
/* Waits for event=ready or the end; false: it ended, with this exit code. */
bool node_try_start(struct cluster *c, unsigned i, int *ret_code);
void node_kill(struct cluster *c, unsigned i);     /* SIGKILL */
int node_terminate(struct cluster *c, unsigned i); /* SIGTERM; exit code */
int node_wait_exit(struct cluster *c, unsigned i); /* exit code, or 128 + signal */
void node_signal(struct cluster *c, unsigned i, int signal);
void node_stop(struct cluster *c, unsigned i); /* SIGSTOP, and waits until it stands */
void node_continue(struct cluster *c, unsigned i);
/* What the present process has logged holds `text`. */
bool node_logged(struct cluster *c, unsigned i, const char *text);
/* How many lines of it hold both texts (second may be NULL). */
unsigned node_log_lines(struct cluster *c, unsigned i, const char *text, const char *second);
/* The first such line, without line feed; the caller frees; NULL: none. */
char *node_log_line(struct cluster *c, unsigned i, const char *text);
void node_wait_logged(struct cluster *c, unsigned i, const char *text);
/* status_ok of a node; the caller decrefs; NULL: no answer. */
json_t *node_status(struct cluster *c, unsigned i);
/* Of its object 'memory', as it says now; -1: it did not answer. */
int64_t memory_of(struct cluster *c, unsigned i, const char *name);

/* ---- programs ---- */

const char *ridd_path(void);
/* Runs it to its end; both outputs, with a NUL behind, in out (may be NULL). Exit code, or 128 +
 * signal. */
int run_program(const char *const *argv, struct buf *out);
int run_program_within(const char *const *argv, struct buf *out, unsigned ms);
/* ridd --config <conf> --id <name> args...; args end with NULL. */
int run_ridd(const char *conf, const char *id, struct buf *out, ...);
/* It stands beside ridd. */
const char *ridctl_path(void);
/* The same beside us, its output into a file; program_ended() is asked until it has. It dies with us.
 */
pid_t program_begin(const char *const *argv, const char *out_path);
bool program_ended(pid_t pid, int *ret_code);
/* ridctl --config <conf> verb. */
int run_ridctl(const struct cluster *c, struct buf *out, const char *verb);
/* The output holds the text; the exit code is the one wanted. */
void expect_text(const struct buf *out, const char *text);
void expect_code(int code, int want, const struct buf *out);

/* ---- files ---- */

void file_write(const char *path, const void *data, size_t len);
void file_read(const char *path, struct buf *out); /* with a NUL behind the end */
uint64_t file_size(const char *path);
/* Changes bytes in place. */
void file_patch(const char *path, uint64_t offset, const void *data, size_t len);
void file_xor(const char *path, uint64_t offset, unsigned char mask);
/* Removes what is in a folder, and the folder unless keep. */
void tree_remove(const char *path, bool keep);
/* Names in a folder, sorted; the caller frees each and the list. Returns how many. */
unsigned folder_list(const char *path, char ***ret_names);
void names_free(char **names, unsigned n);

/* ---- one client ---- */

struct client {
    int fd;
    struct buf in;
    size_t taken; /* of in: lines already given out */
    struct buf line;
    bool ended;
};
struct client *client_open(const struct cluster *c, unsigned node);
struct client *client_open_port(uint16_t port);
struct client *client_of_fd(int fd); /* connected; the client's from here on */
void client_close(struct client *cl);
void client_reset(struct client *cl); /* the same with RST instead of FIN */
/* A line; the line feed is added. Takes in replies meanwhile, so that nobody blocks. */
void client_send(struct client *cl, const char *line);
void client_sendf(struct client *cl, const char *format, ...) __attribute__((format(printf, 2, 3)));
void client_send_raw(struct client *cl, const void *data, size_t len);
/* As client_send_raw(), but tells when the server does not take all within ms: how much it took.
 * Does not read. */
size_t client_push(struct client *cl, const void *data, size_t len, unsigned ms);
void client_send_bytewise(struct client *cl, const void *data, size_t len);
void client_half_close(struct client *cl);
/* The next line, valid until the next call; NULL: none within ms, or the connection ended
 * (cl->ended). */
const char *client_recv_within(struct client *cl, unsigned ms);
const char *client_recv(struct client *cl); /* fails the case when none comes */
/* Waits for the end of the connection; fails the case when a line comes instead. */
void client_expect_end(struct client *cl);
const char *client_ask(struct client *cl, const char *line);
const char *client_askf(struct client *cl, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Sends a line and compares the reply with a pattern: <n> a number, <s> a string, <*> anything, as
 * short as it can be. */
#define client_expect(cl, line, pattern) client_expect_at(cl, line, pattern, __FILE__, __LINE__)
void client_expect_at(struct client *cl, const char *line, const char *pattern, const char *file,
                      int at);
#define client_expect_reply(cl, pattern) client_expect_at(cl, NULL, pattern, __FILE__, __LINE__)
bool pattern_matches(const char *pattern, const char *text);
/* The reply as JSON; the caller decrefs. */
json_t *client_recv_json(struct client *cl);
json_t *client_ask_json(struct client *cl, const char *line);
/* Fields of a reply; "" and -1 when they are not there or of another type. */
const char *reply_str(const json_t *reply, const char *name);
int64_t reply_int(const json_t *reply, const char *name);
bool reply_is(const json_t *reply, const char *type);

/* ---- many clients at once ---- */

/* Each has one connection to whichever node it believes to lead, and up to `depth` requests in
 * flight; it follows not_leader, and turns to another node when its own is gone or silent. No
 * request is ever sent twice. */
struct swarm_ops {
    /* Writes the next request, fields only: `"type":"write","key":..` (braces and msg_id are
     * added). false: nothing to ask now. */
    bool (*next)(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size);
    /* Its reply; NULL: the connection is gone and the outcome unknown. */
    void (*done)(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply);
};
struct swarm;
struct swarm *swarm_new(struct cluster *c, unsigned n_clients, unsigned depth,
                        const struct swarm_ops *ops, void *ctx);
void swarm_free(struct swarm *s);
/* Sends and takes in what there is, waiting at most ms for something. */
void swarm_turn(struct swarm *s, unsigned ms);
/* No more requests; waits for the answers owed. */
void swarm_drain(struct swarm *s);
/* Requests under way. */
unsigned swarm_in_flight(const struct swarm *s);
/* A client whose oldest request has waited this long drops its connection (default 3000 ms). */
void swarm_set_patience(struct swarm *s, unsigned ms);

/* ---- writers: unique keys, written once each ---- */

enum fate { FATE_UNSENT, FATE_SENT, FATE_ACKNOWLEDGED, FATE_UNKNOWN, FATE_FAILED };

struct writers {
    struct cluster *cluster;
    struct swarm *swarm;
    struct numbering *numbering;
    const char *prefix;
    size_t value_bytes;   /* padding in every value */
    unsigned char *fates; /* enum fate by number of the write */
    size_t n;
    size_t size;
    uint64_t n_acknowledged;
    uint64_t n_unknown;
    uint64_t n_failed;
};
void writers_init(struct writers *w, struct cluster *c, unsigned n_clients, unsigned depth,
                  const char *prefix, size_t value_bytes);
/* Goes on until so many more are acknowledged. */
void writers_run(struct writers *w, unsigned n_more);
/* Takes in what is owed and ends the connections. */
void writers_stop(struct writers *w);
/* Every acknowledged write is there with its value, and none that failed definitely is. */
void writers_verify(struct writers *w, struct cluster *c);
void writers_done(struct writers *w);

#endif
