/* The loop: wait for something, take in every line that is there, then one turn, then one write,
 * then the disk.
 *
 *   read         lines go into the replica or the queue of forwarded requests; nothing is answered
 *                yet
 *   turn         everything that is due; replies and messages go into one buffer
 *   write        what standard output takes without waiting
 *   engine_work  the log, in this thread: what the turn queued becomes durable while its messages
 *                travel, and what had to wait for that leaves with the next turn
 *
 * Time passes for the replica only when standard input is empty, or was read for as long as a turn
 * may (engine_drain()): no timer fires ahead of a line that was there (TIME-3). */
#include "maelstrom/maelstrom.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/seed.h"
#include "maelstrom/maelstrom_int.h"
#include "maelstrom/message.h"

#include "base/banned.h"

#define READ_BYTES (64u << 10)

static volatile sig_atomic_t stop_signal;

static void on_stop(int signal_number)
{
    stop_signal = signal_number;
}

/* ---- the end ---- */

void maelstrom_exit(struct maelstrom *m, int exit_code)
{
    workdir_remove(&m->dir);
    log_flush();
    _exit(exit_code);
}

void maelstrom_die(struct maelstrom *m, const char *what, int error)
{
    maelstrom_exit(m, engine_log_end(error, what));
}

static void assert_context(void *ctx, char *buf, size_t size)
{
    const struct maelstrom *m = ctx;

    engine_describe(m->engine, buf, size);
}

/* ---- members ---- */

struct member *maelstrom_member(struct maelstrom *m, struct wire_slice name)
{
    for (unsigned i = 0; i < m->n_members; i++)
        if (strlen(m->members[i].name) == name.len &&
            memcmp(m->members[i].name, name.data, name.len) == 0)
            return &m->members[i];
    return NULL;
}

struct member *maelstrom_member_of(struct maelstrom *m, raft_node_id id)
{
    for (unsigned i = 0; i < m->n_members; i++)
        if (m->members[i].id == id)
            return &m->members[i];
    return NULL;
}

/* ---- standard input ---- */

static void take_line(struct maelstrom *m, const char *line, size_t len)
{
    m->line_no++;
    if (m->in_skipping || len > MAELSTROM_LINE_BYTES_MAX)
        lines_too_long(m);
    else
        lines_handle(m, line, len);
    m->in_skipping = false;
}

static void take_lines(struct maelstrom *m)
{
    const char *data = (const char *)m->in.data;
    size_t done = 0;

    while (m->in_scanned < m->in.len) {
        const char *end = memchr(data + m->in_scanned, '\n', m->in.len - m->in_scanned);

        if (end == NULL) {
            m->in_scanned = m->in.len;
            break;
        }
        take_line(m, data + done, (size_t)(end - data) - done);
        done = (size_t)(end - data) + 1;
        m->in_scanned = done;
    }
    buf_consume(&m->in, done);
    m->in_scanned -= done;
    if (m->in.len > MAELSTROM_LINE_BYTES_MAX) { /* the line that begins here is too long already */
        m->in_skipping = true;
        m->in.len = 0;
        m->in_scanned = 0;
    }
    if (m->in.len == 0)
        buf_reset(&m->in, (size_t)4 * READ_BYTES);
}

static bool is_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, 0) == 1;
}

static bool reads_input(const struct maelstrom *m)
{
    return !m->eof && maelstrom_out_pending(m) <= CLIENT_OUT_BYTES_HIGH;
}

/* One read, if there is something: as the take() of engine_drain(). */
static bool take_input(void *ctx)
{
    struct maelstrom *m = ctx;
    void *to;
    ssize_t n;

    m->now_us = clock_mono_us();
    if (!reads_input(m) || !is_ready(STDIN_FILENO, POLLIN)) /* also at its end, after an error */
        return false;
    to = buf_reserve(&m->in, READ_BYTES);
    if (to == NULL)
        maelstrom_die(m, "no memory for a line", -ENOMEM);
    n = read(STDIN_FILENO, to, READ_BYTES);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (n < 0) {
        int error = errno;

        maelstrom_die(m, "cannot read standard input", -error);
    }
    m->in.len += (size_t)n;
    m->in_taken += (size_t)n;
    m->eof = n == 0;
    take_lines(m);
    if (m->eof && m->in.len > 0) /* the last line, without a newline */
        take_line(m, (const char *)m->in.data, m->in.len);
    return true;
}

/* Input and its end that are there together are seen together, as long as they are not too much:
 * however long this process was kept from running, or took to begin. */
static void read_input(struct maelstrom *m)
{
    m->in_taken = 0;
    do
        m->now_us = engine_drain(m->engine, take_input);
    while (m->in_taken < MAELSTROM_IN_BYTES_LEAST && reads_input(m) &&
           is_ready(STDIN_FILENO, POLLIN));
}

/* ---- standard output ---- */

size_t maelstrom_out_pending(const struct maelstrom *m)
{
    return m->out.len - m->out_written;
}

/* A pipe that can be written takes PIPE_BUF bytes without waiting, whatever else shares it. */
static void write_output(struct maelstrom *m)
{
    while (maelstrom_out_pending(m) > 0 && is_ready(STDOUT_FILENO, POLLOUT)) {
        size_t n = maelstrom_out_pending(m);
        ssize_t written =
            write(STDOUT_FILENO, m->out.data + m->out_written, n < PIPE_BUF ? n : (size_t)PIPE_BUF);

        if (written < 0 && (errno == EINTR || errno == EAGAIN))
            break;
        if (written < 0) {
            int error = errno;

            maelstrom_die(m, "cannot write to standard output", -error);
        }
        m->out_written += (size_t)written;
    }
    if (maelstrom_out_pending(m) == 0) {
        buf_reset(&m->out, (size_t)4 * READ_BYTES);
        m->out_written = 0;
    } else if (m->out_written > PEER_OUT_BYTES_MAX) {
        buf_consume(&m->out, m->out_written);
        m->out_written = 0;
    }
}

/* ---- the turn ---- */

static void take_turn(struct maelstrom *m)
{
    if (engine_replica(m->engine) == NULL)
        return;
    if (!m->ending)
        forward_turn(m);
    engine_turn(m->engine, m->now_us);
}

static void work_log(struct maelstrom *m)
{
    if (engine_replica(m->engine) != NULL)
        engine_work(m->engine, m->now_us);
}

static uint64_t deadline_us(struct maelstrom *m)
{
    uint64_t due;
    uint64_t other;

    if (engine_replica(m->engine) == NULL)
        return UINT64_MAX;
    due = engine_deadline_us(m->engine);
    other = forward_deadline_us(m);
    return other < due ? other : due;
}

/* Until a line comes, output can go on, something is due, or a signal arrives. */
static void wait_for_something(struct maelstrom *m, uint64_t due_us, const sigset_t *mask)
{
    struct pollfd fds[2] = {
        {.fd = reads_input(m) ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = maelstrom_out_pending(m) > 0 ? STDOUT_FILENO : -1, .events = POLLOUT}};
    uint64_t now_us = clock_mono_us();
    uint64_t wait_us = due_us > now_us ? due_us - now_us : 0;
    struct timespec ts = {.tv_sec = (time_t)(wait_us / 1000000u),
                          .tv_nsec = (long)(wait_us % 1000000u) * 1000};

    if (ppoll(fds, 2, due_us == UINT64_MAX ? NULL : &ts, mask) < 0 && errno != EINTR) {
        int error = errno;

        maelstrom_die(m, "cannot wait for input", -error);
    }
}

/* A group of one answers what is owed; in any other nothing can be confirmed without input. */
static bool is_over(const struct maelstrom *m)
{
    if (!m->eof)
        return false;
    return m->n_members != 1 ||
           (m->n_forwards == 0 && service_n_pending(engine_service(m->engine)) == 0);
}

static void loop(struct maelstrom *m, const sigset_t *mask)
{
    while (stop_signal == 0) {
        wait_for_something(m, deadline_us(m), mask);
        read_input(m);
        m->ending = m->eof && m->n_members != 1;
        take_turn(m);
        write_output(m);
        if (is_over(m))
            break;
        work_log(m);
    }
    if (stop_signal != 0) {
        log_event(LOG_INFO, "stopping", "signal=%d", (int)stop_signal);
        return;
    }
    for (uint64_t until_us = clock_mono_us() + MAELSTROM_LAST_WRITE_US;
         stop_signal == 0 && maelstrom_out_pending(m) > 0 && clock_mono_us() < until_us;) {
        wait_for_something(m, until_us, mask);
        write_output(m);
    }
}

/* ---- birth and death ---- */

static void catch_signals(sigset_t *ret_mask)
{
    struct sigaction action = {.sa_handler = on_stop};
    sigset_t blocked;

    /* They are let in while this process waits, and nowhere else. */
    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigaddset(&blocked, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &blocked, ret_mask);
    (void)sigdelset(ret_mask, SIGTERM);
    (void)sigdelset(ret_mask, SIGINT);
    (void)sigdelset(ret_mask, SIGHUP);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static int make(struct maelstrom *m)
{
    /* Answers are peers' messages too: their bodies may hold more keys than a request. */
    static const char *const answers[] = {
        "error",        "read_ok", "read_index_ok", "read_via_log_ok",    "batch_read_index_ok",
        "write_ok",     "cas_ok",  "delete_ok",     "transfer_leader_ok", "compare_read_methods_ok",
        "lease_read_ok"};
    static const char *types[RAFT_MSG_TYPE_MAX + sizeof(answers) / sizeof(answers[0])];
    struct service_conf conf = {.cluster_name = "maelstrom",
                                .spaced = true,
                                .seed = seed_fresh(),
                                .read_via = m->conf->read_via};
    struct engine_ops ops;
    size_t n = 0;
    int rc;

    glue_fill_engine_ops(m, &ops);
    rc = engine_new(&ops, &conf, &m->engine);
    if (rc != 0)
        return rc;
    for (int type = RAFT_MSG_PRE_VOTE; type <= (int)RAFT_MSG_TYPE_MAX; type++)
        types[n++] = message_type_name((enum raft_msg_type)type);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        types[n++] = answers[i];
    wire_decoder_set_peer_types(service_decoder(engine_service(m->engine)), types, n);
    return 0;
}

static void undo(struct maelstrom *m)
{
    forward_done(m);
    clients_done(m);
    engine_free(m->engine, false); /* nobody will come back to its log */
    m->engine = NULL;
    init_undo(m);
    arena_done(&m->arena);
    buf_done(&m->in);
    buf_done(&m->out);
}

int maelstrom_run(const struct maelstrom_conf *conf)
{
    static struct maelstrom maelstrom;
    struct maelstrom *m = &maelstrom;
    sigset_t mask;
    int rc;

    *m = (struct maelstrom){
        .conf = conf,
        .now_us = clock_mono_us(),
        .dir = WORKDIR_INIT,
        .wal_fd = -1,
        .input_limit = {.window_us = MAELSTROM_LOG_WINDOW_US, .burst = MAELSTROM_INPUT_LOG_BURST},
        .drop_limit = {.window_us = MAELSTROM_LOG_WINDOW_US, .burst = MAELSTROM_DROP_LOG_BURST}};
    hold_clock_init(&m->hold, NULL);
    buf_init(&m->in);
    buf_init(&m->out);
    arena_init(&m->arena, mem_libc);
    list_init(&m->idle);
    for (unsigned i = 0; i < CLIENT_BUCKETS; i++)
        list_init(&m->clients[i]);
    forward_init(m);
    json_object_seed(0);
    (void)log_start_thread(); /* without it lines are written all the same, and may wait */
    rid_assert_set_context(assert_context, m);
    catch_signals(&mask);
    err_reset();
    rc = make(m);
    if (rc != 0)
        maelstrom_die(m, "cannot start", rc);
    loop(m, &mask);
    rid_assert_set_context(NULL, NULL);
    undo(m);
    log_flush();
    return 0;
}
