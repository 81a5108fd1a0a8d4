/* A connection to a server: requests wait in its queue, are written to `out` one behind the other
 * as long as the server and the kernel take them, and wait in `sent` for replies, which come in any
 * order and name their request. What nobody waits for any more is passed over when it comes.
 *
 * A line that was begun is finished, whoever has given up meanwhile: half a line would spoil those
 * behind it. One of which nothing was sent yet is made blank instead, which servers pass over: it
 * certainly did not happen (ASYNC-5). */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_int.h"

#include "base/banned.h"

static void on_timer(struct timer *t, uint64_t now_us)
{
    dial_on_timer(list_entry(t, struct conn, timer), now_us);
}

int conn_new(struct ridd *c, const struct endpoint *to, struct node *node, struct conn **ret_conn)
{
    struct conn *conn;

    if (timers_own(&c->timers) != 0)
        return -ENOMEM;
    conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        c->timers.n_owned--;
        return -ENOMEM;
    }
    conn->client = c;
    conn->node = node;
    conn->to = *to;
    conn->fd = -1;
    conn->timer.fn = on_timer;
    list_init(&conn->queue);
    list_init(&conn->sent);
    list_init(&conn->unread);
    list_append(&c->conns, &conn->link);
    *ret_conn = conn;
    return 0;
}

void conn_free(struct conn *conn)
{
    conn_close(conn);
    timers_disown(&conn->client->timers, &conn->timer);
    list_remove(&conn->link);
    free(conn);
}

/* What is said at the end of TLS is no part of what we were asked for; a reset says nothing. */
static void end_tls(struct conn *conn)
{
    list_remove(&conn->unread);
    if (conn->tls != NULL && conn->state == CONN_OPEN && !conn->resets && !conn->out_broken)
        tls_say_end(conn->tls);
    tls_stream_free(take_ptr(conn->tls));
}

/* Its requests have been taken from it. */
void conn_close(struct conn *conn)
{
    dial_done(conn);
    timers_clear(&conn->client->timers, &conn->timer);
    end_tls(conn);
    if (conn->fd >= 0)
        (void)close(take_fd(conn->fd)); /* leaves epoll, too */
    conn->events = 0;
    conn->state = CONN_CLOSED;
    buf_done(&conn->in);
    buf_done(&conn->out);
    conn->n_scanned = 0;
    conn->out_at = 0;
    conn->out_bytes = 0;
    conn->line_bytes = 0;
    conn->n_lines = 0;
    conn->n_unanswered = 0;
    conn->heard_us = 0;
    conn->spoke = false;
    conn->out_broken = false;
    conn->resets = false;
}

int conn_watch(struct conn *conn, uint32_t events)
{
    struct epoll_event e = {.events = events, .data = {.ptr = conn}};

    if (conn->events == events)
        return 0;
    if (epoll_ctl(conn->client->epoll_fd, conn->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
                  conn->fd, &e) != 0)
        return -errno;
    conn->events = events;
    return 0;
}

/* Whoever gives up a run that was asked for once, or is ended while it waits, ends it at the
 * server, too: it sees a reset, and not the end of what we have to say, after which it would
 * answer. */
static void reset_on_close(struct conn *conn, bool on)
{
    const struct linger linger = {.l_onoff = on, .l_linger = 0};

    conn->resets = on;
    if (conn->fd >= 0)
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* ---- requests come and go ---- */

static void count_read(struct request *r, bool on)
{
    struct node *node = r->conn->node;

    if (r->counted == on || node == NULL || (on && !r->any_node))
        return;
    r->counted = on;
    if (on)
        node->n_reads++;
    else
        node->n_reads--;
}

void conn_add(struct conn *conn, struct request *r, uint64_t now_us)
{
    list_remove(&r->link);
    list_append(&conn->queue, &r->link);
    r->state = REQ_QUEUED;
    r->conn = conn;
    count_read(r, true);
    if (conn->state == CONN_CLOSED)
        dial_start(conn, now_us);
    else if (conn->state == CONN_OPEN)
        conn->wants_flush = true;
}

/* It is in no list afterwards. */
static void detach(struct request *r)
{
    table_remove(&r->client->by_msg, &r->by_msg);
    count_read(r, false);
    list_remove(&r->link);
    r->conn = NULL;
}

/* How far what is written has left this host, or will whatever becomes of it here: TLS has made a
 * record of what it did not get rid of, and sends that one, with what stood in it then (TLS-32). */
static uint64_t gone_bytes(const struct conn *conn)
{
    return conn->out_bytes + (conn->tls != NULL ? tls_in_doubt(conn->tls) : 0);
}

/* Whether the server may take what was sent of the line for a request. The last line of a stream
 * counts without its newline; one that lacks more than that is none. */
static bool may_have_left(const struct conn *conn, const struct request *r)
{
    return r->state == REQ_SENT && gone_bytes(conn) + 1 >= r->line_end;
}

static bool has_begun(const struct conn *conn, const struct request *r)
{
    return r->state == REQ_SENT && gone_bytes(conn) > r->line_end - r->line_len;
}

static void make_blank(struct conn *conn, const struct request *r)
{
    size_t end = conn->out.len - (size_t)(conn->line_bytes - r->line_end);

    memset(conn->out.data + end - r->line_len, ' ', r->line_len - 1);
    conn->n_unanswered--;
}

bool conn_drop(struct conn *conn, struct request *r)
{
    bool is_sent = r->state == REQ_SENT;
    bool begun = has_begun(conn, r);
    bool left = may_have_left(conn, r);

    detach(r);
    if (is_sent && !begun)
        make_blank(conn, r);
    if (begun && !left && list_empty(&conn->sent) && list_empty(&conn->queue)) {
        /* Nobody else's line is behind it: it need not be finished. */
        conn_close(conn);
        begun = false;
    }
    conn_maybe_end(conn);
    return begun;
}

/* Nothing was heard since then, and nobody waits for it any more: who comes next gets a fresh
 * one. */
void conn_doubt(struct conn *conn, uint64_t since_us)
{
    if (conn->state == CONN_OPEN && conn->heard_us < since_us && list_empty(&conn->sent) &&
        list_empty(&conn->queue))
        conn_close(conn);
}

int conn_give_fd(struct conn *conn)
{
    if (conn->events != 0)
        (void)epoll_ctl(conn->client->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    conn->events = 0;
    return take_fd(conn->fd);
}

void conn_maybe_end(struct conn *conn)
{
    bool is_idle = list_empty(&conn->queue) && list_empty(&conn->sent);

    if (!is_idle)
        return;
    if (conn->is_own) {
        conn_close(conn);
        list_remove(&conn->link);
        list_append(&conn->client->dead, &conn->link);
    } else if (conn->state != CONN_OPEN && conn->state != CONN_CLOSED) {
        conn_close(conn);
    }
}

/* ---- failures ---- */

static void say_failure(const struct conn *conn, const struct request *r, enum conn_failure failure,
                        const char *why, struct attempt *a)
{
    bool is_read = r->kind == RIDD_KIND_READ;
    const char *to = conn->to.text;

    switch (failure) {
    case CONN_UNREACHABLE:
        reply_fail(a->reply, RIDD_UNREACHABLE, true, "%s", why);
        a->unreachable = true;
        return;
    case CONN_UNUSABLE:
        reply_fail(a->reply, RIDD_INVALID, true, "%s", why);
        a->unreachable = true;
        return;
    case CONN_TOO_LONG:
        reply_fail(a->reply, RIDD_BAD_REPLY, is_read, "%s sent a line longer than %u bytes", to,
                   CALL_LINE_BYTES_MAX);
        break;
    case CONN_GARBAGE:
        reply_fail(a->reply, RIDD_BAD_REPLY, is_read, "%s does not speak the protocol: %s", to,
                   why);
        break;
    case CONN_ENDED:
    case CONN_MEMORY:
        /* A port that is for TLS cannot say so in plain text. */
        reply_fail(a->reply, RIDD_DISCONNECTED, is_read,
                   "%s closed the connection before it answered%s", to,
                   is_read && conn->tls == NULL && !conn->spoke && !conn->to.is_local
                       ? "; if it speaks TLS, that needs tls:// before it"
                       : "");
        break;
    case CONN_BROKEN:
        reply_fail(a->reply, RIDD_DISCONNECTED, is_read,
                   "the connection to %s broke before it answered: %s", to, why);
        break;
    }
    if (!may_have_left(conn, r)) {
        a->reply->definite = 1;
        a->unreachable = true;
    }
}

static void end_attempt(struct conn *conn, struct request *r, enum conn_failure failure,
                        const char *why, uint64_t now_us)
{
    struct attempt a = {.reply = reply_new()};

    if (reply_is_const(a.reply) || failure == CONN_MEMORY) {
        ridd_reply_free(a.reply);
        detach(r);
        turn_no_memory(r, now_us);
        return;
    }
    say_failure(conn, r, failure, why, &a);
    (void)snprintf(a.reply->endpoint, sizeof(a.reply->endpoint), "%s", conn->to.text);
    detach(r);
    turn_end(r, &a, now_us);
}

static void end_all(struct conn *conn, struct list *requests, enum conn_failure failure,
                    const char *why, uint64_t now_us)
{
    struct list all;

    list_init(&all);
    list_splice(&all, requests);
    while (!list_empty(&all))
        end_attempt(conn, list_entry(all.next, struct request, link), failure, why, now_us);
}

void conn_fail(struct conn *conn, enum conn_failure failure, const char *why, uint64_t now_us)
{
    char text[RIDD_TEXT_SIZE];

    (void)snprintf(text, sizeof(text), "%s", why);
    /* One that came to nothing is not tried again at once, be it for a thousand requests. */
    if (conn->node != NULL && !conn->spoke && failure != CONN_MEMORY && failure != CONN_UNUSABLE)
        node_failed(conn->node, text, now_us);
    end_all(conn, &conn->sent, failure, text, now_us);
    end_all(conn, &conn->queue, failure, text, now_us);
    conn_close(conn);
    conn_maybe_end(conn);
}

/* ---- lines in ---- */

/* Who we are now may be allowed what we were denied: a secret that was changed, a token that was
 * replaced (TLS-36). Whoever comes next goes there as that. */
static bool is_outdated(struct conn *conn, const struct ridd_reply *reply)
{
    if (reply->status != RIDD_DENIED || !conn->wants_tls ||
        conn->n_secured == conn->client->n_secured)
        return false;
    return conn->is_own || node_renew(conn->node);
}

/* What the server said of the request. */
static void take_reply(struct conn *conn, struct request *r, const struct reply_line *l,
                       uint64_t now_us)
{
    struct attempt a = {.reply = reply_new()};
    char why[160] = "";
    enum reply_result result = REPLY_MEMORY;

    if (!reply_is_const(a.reply)) {
        (void)snprintf(a.reply->endpoint, sizeof(a.reply->endpoint), "%s", conn->to.text);
        result = reply_fill(a.reply, l, r->anchor != 0 ? "local_read_ok" : r->expect, &a.hint, why,
                            sizeof(why));
    }
    if (result != REPLY_OK)
        ridd_reply_free(a.reply);
    if (result == REPLY_GARBAGE) {
        conn_fail(conn, CONN_GARBAGE, why, now_us);
        return;
    }
    if (r->kind == RIDD_KIND_ONCE)
        reset_on_close(conn, false);
    a.outdated = result == REPLY_OK && is_outdated(conn, a.reply);
    if (result == REPLY_OK && r->counted)
        node_judge(conn->node, a.reply->status, now_us - r->sent_us, now_us);
    detach(r);
    if (result == REPLY_MEMORY) {
        turn_no_memory(r, now_us);
        return;
    }
    a.from_server = a.reply->status != RIDD_OK;
    turn_end(r, &a, now_us);
}

/* An error about the connection as a whole, its first line (too many are open): it is refused, for
 * all alike. */
static void take_refusal(struct conn *conn, const struct reply_line *l, uint64_t now_us)
{
    struct list all;

    list_init(&all);
    list_splice(&all, &conn->sent);
    list_splice(&all, &conn->queue);
    if (conn->node != NULL)
        node_failed(conn->node, "it refused the connection", now_us);
    while (!list_empty(&all))
        take_reply(conn, list_entry(all.next, struct request, link), l, now_us);
    conn_close(conn);
}

/* The request that a line answers; NULL: none, or none any more. It is one that went out here
 * (ASYNC-4). */
static struct request *request_of(const struct conn *conn, const struct reply_line *l)
{
    struct entry *e = l->has_id ? table_find(&conn->client->by_msg, l->id) : NULL;
    struct request *r = e != NULL ? list_entry(e, struct request, by_msg) : NULL;

    if (l->has_id)
        return r != NULL && r->conn == conn ? r : NULL;
    if (l->line_no != 0) {
        list_for_each(it, &conn->sent)
        {
            r = list_entry(it, struct request, link);
            if (r->line_no == l->line_no)
                return r;
        }
        return NULL;
    }
    return conn->n_unanswered == 1 && !list_empty(&conn->sent)
               ? list_entry(conn->sent.next, struct request, link)
               : NULL;
}

/* The answer to the token, before which nothing else was sent: whatever a server says of it, no
 * request has happened (TLS-33). */
static void on_proof(struct conn *conn, const struct reply_line *l, uint64_t now_us)
{
    const bool is_answer = l->has_id && l->id == conn->proof_id;

    /* To a ping any answer will do: it came from behind the handshake. */
    if (l->is_error && !(is_answer && conn->proof_is_ping)) {
        take_refusal(conn, l, now_us);
    } else if (is_answer) {
        conn_is_open(conn, now_us);
    } else {
        conn_fail(conn, CONN_GARBAGE, "an answer to nothing that it was asked", now_us);
    }
}

static void on_reply(struct conn *conn, const struct reply_line *l, uint64_t now_us)
{
    struct request *r = request_of(conn, l);

    if (conn->state == CONN_PROVING) {
        on_proof(conn, l, now_us);
        return;
    }
    if (!l->has_id && l->line_no == 0 && !conn->spoke) {
        take_refusal(conn, l, now_us);
        return;
    }
    if (!l->has_id && r == NULL) {
        conn_fail(conn, CONN_GARBAGE, "an error that answers no request", now_us);
        return;
    }
    conn->spoke = true;
    if (conn->n_unanswered > 0)
        conn->n_unanswered--;
    if (conn->node != NULL)
        node_spoke(conn->node);
    conn->wants_flush = true;
    if (r != NULL)
        take_reply(conn, r, l, now_us);
}

static void on_line(struct conn *conn, const char *line, size_t len, uint64_t now_us)
{
    struct reply_line l;
    char why[160] = "";

    switch (reply_open(line, len, &l, why, sizeof(why))) {
    case REPLY_OK:
        on_reply(conn, &l, now_us);
        break;
    case REPLY_GARBAGE:
        conn_fail(conn, CONN_GARBAGE, why, now_us);
        break;
    case REPLY_MEMORY:
        conn_fail(conn, CONN_MEMORY, "out of memory", now_us);
        break;
    }
    reply_line_done(&l);
}

/* All whole lines of what was received. It may be closed behind any of them. */
static void take_lines(struct conn *conn, uint64_t now_us)
{
    size_t at = 0;

    while (conn->state >= CONN_PROVING) {
        const char *start = (const char *)conn->in.data + at;
        size_t len = conn->in.len - at;
        const char *newline = len > conn->n_scanned
                                  ? memchr(start + conn->n_scanned, '\n', len - conn->n_scanned)
                                  : NULL;

        if (newline == NULL) {
            conn->n_scanned = len;
            break;
        }
        len = (size_t)(newline - start);
        at += len + 1;
        conn->n_scanned = 0;
        if (len > 0 && start[len - 1] == '\r')
            len--;
        if (len > 0)
            on_line(conn, start, len, now_us);
    }
    if (conn->state < CONN_PROVING)
        return;
    buf_consume(&conn->in, at);
    if (conn->in.len == 0)
        buf_reset(&conn->in, CALL_OUT_BYTES_LOW);
    if (conn->in.len > CALL_LINE_BYTES_MAX)
        conn_fail(conn, CONN_TOO_LONG, "a line that does not end", now_us);
}

static ssize_t receive_some(struct conn *conn, void *p, size_t room)
{
    ssize_t n;

    do /* of TLS perhaps without a signal: what came was no data, and more may be in the stream */
        n = conn->tls != NULL ? tls_recv(conn->tls, p, room) : recv(conn->fd, p, room, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

static void receive_failed(struct conn *conn, ssize_t n, int error, uint64_t now_us)
{
    const bool of_tls = n < 0 && error == EPROTO && conn->tls != NULL;
    char why[RIDD_TEXT_SIZE];

    if (n < 0 && (error == EAGAIN || error == EWOULDBLOCK))
        return;
    if (conn->state == CONN_PROVING) { /* nobody's request was sent */
        (void)snprintf(why, sizeof(why), "no TLS with %s: %s", conn->to.text,
                       of_tls ? tls_stream_why(conn->tls) : "it closed the connection");
        conn_fail(conn, CONN_UNREACHABLE, why, now_us);
    } else if (of_tls) {
        conn_fail(conn, CONN_BROKEN, tls_stream_why(conn->tls), now_us);
    } else {
        conn_fail(conn, CONN_ENDED, "it closed the connection", now_us);
    }
}

static bool has_unread(const struct conn *conn)
{
    return conn->tls != NULL && tls_stream_pending(conn->tls) > 0;
}

/* What came filled the room; or, in TLS, where no call brings more than a record, it was much. */
static bool may_be_more(const struct conn *conn, size_t n, size_t room, size_t left)
{
    return n == room || has_unread(conn) ||
           (conn->tls != NULL && CALL_TURN_BYTES - left >= CALL_READ_BYTES);
}

static void receive(struct conn *conn, uint64_t now_us)
{
    size_t left = CALL_TURN_BYTES;
    size_t room;
    ssize_t n;

    list_remove(&conn->unread);
    do {
        void *p;

        room = conn->in.len < CALL_READ_BYTES ? CALL_READ_BYTES : conn->in.len;
        p = buf_reserve(&conn->in, room);
        if (p == NULL) {
            conn_fail(conn, CONN_MEMORY, "out of memory", now_us);
            return;
        }
        n = receive_some(conn, p, room);
        if (n <= 0) {
            receive_failed(conn, n, errno, now_us);
            return;
        }
        conn->in.len += (size_t)n;
        conn->heard_us = now_us;
        take_lines(conn, now_us);
        left -= min_u64(left, (size_t)n);
    } while (conn->state >= CONN_PROVING && left > 0 && may_be_more(conn, (size_t)n, room, left));
    if (conn->state >= CONN_PROVING && has_unread(conn))
        list_append(&conn->client->unread, &conn->unread);
}

void conn_read_on(struct conn *conn, uint64_t now_us)
{
    receive(conn, now_us);
    conn_maybe_end(conn);
}

void conn_on_event(struct conn *conn, uint32_t events, uint64_t now_us)
{
    if (conn->state == CONN_DIALING)
        dial_on_event(conn, now_us);
    else if (conn->state == CONN_SHAKING)
        shake_on_event(conn, now_us);
    else if (conn->state >= CONN_PROVING) {
        conn->wants_flush = conn->wants_flush || (events & EPOLLOUT) != 0;
        if ((events & ~(uint32_t)EPOLLOUT) != 0)
            receive(conn, now_us);
        conn_maybe_end(conn);
    }
}

/* ---- lines out ---- */

static bool write_request(struct conn *conn, struct request *r, uint64_t now_us)
{
    struct ridd *c = conn->client;
    size_t before = conn->out.len;
    uint64_t msg_id = c->next_msg_id;

    if (table_reserve(&c->by_msg) != 0 || op_line(r, msg_id, now_us, &conn->out) != 0) {
        conn->out.len = before;
        detach(r);
        turn_no_memory(r, now_us);
        return false;
    }
    c->next_msg_id++;
    table_add(&c->by_msg, &r->by_msg, msg_id);
    r->line_len = conn->out.len - before;
    conn->line_bytes += r->line_len;
    r->line_end = conn->line_bytes;
    r->line_no = ++conn->n_lines;
    r->sent_us = now_us;
    r->state = REQ_SENT;
    list_remove(&r->link);
    list_append(&conn->sent, &r->link);
    conn->n_unanswered++;
    return true;
}

/* As many as the server reads, and not more than waits for the kernel for a moment (ASYNC-8). */
static void write_requests(struct conn *conn, uint64_t now_us)
{
    while (conn->state == CONN_OPEN && !list_empty(&conn->queue) &&
           conn->n_unanswered < conn->client->limits.in_flight &&
           conn->out.len - conn->out_at < CALL_OUT_BYTES_LOW && !conn->out_broken)
        (void)write_request(conn, list_entry(conn->queue.next, struct request, link), now_us);
}

/* After a part, or nothing, TLS wants the same bytes again, and more behind them: what was begun is
 * never changed (make_blank()), and `out` is only added to. */
static ssize_t send_some(struct conn *conn, const void *p, size_t len)
{
    return conn->tls != NULL ? tls_send(conn->tls, p, len) : send(conn->fd, p, len, MSG_NOSIGNAL);
}

/* True: the kernel has taken all of it. */
static bool send_out(struct conn *conn)
{
    while (conn->out_at < conn->out.len && !conn->out_broken) {
        ssize_t n = send_some(conn, conn->out.data + conn->out_at, conn->out.len - conn->out_at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            conn->out_broken = true; /* the end is found where it is read: it may say why */
            break;
        }
        conn->out_at += (size_t)n;
        conn->out_bytes += (uint64_t)n;
    }
    if (conn->out_at == conn->out.len) {
        buf_reset(&conn->out, CALL_OUT_BYTES_LOW);
        conn->out_at = 0;
        return true;
    }
    if (conn->out_at > CALL_OUT_BYTES_LOW) {
        buf_consume(&conn->out, conn->out_at);
        conn->out_at = 0;
    }
    return false;
}

void conn_flush(struct conn *conn, uint64_t now_us)
{
    bool all_sent = true;
    int rc;

    conn->wants_flush = false;
    if (conn->state < CONN_PROVING)
        return;
    do {
        write_requests(conn, now_us);
        if (conn->out.len == 0)
            break;
        all_sent = send_out(conn);
    } while (all_sent);
    rc = conn_watch(conn, all_sent || conn->out_broken ? EPOLLIN : EPOLLIN | EPOLLOUT);
    if (rc != 0)
        conn_fail(conn, CONN_MEMORY, "out of memory", now_us);
    else
        conn_maybe_end(conn); /* there may have been no memory for its only line */
}

void conn_is_open(struct conn *conn, uint64_t now_us)
{
    timers_clear(&conn->client->timers, &conn->timer);
    conn->state = CONN_OPEN;
    conn->wants_flush = true;
    if (!list_empty(&conn->queue)) {
        struct request *r = list_entry(conn->queue.next, struct request, link);

        if (r->connect_only) {
            turn_connected(r, now_us);
            return;
        }
        if (r->kind == RIDD_KIND_ONCE)
            reset_on_close(conn, true);
    }
    if (conn_watch(conn, EPOLLIN) != 0)
        conn_fail(conn, CONN_MEMORY, "out of memory", now_us);
}
