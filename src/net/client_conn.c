/* One client connection. Bytes are read into the buffer that all connections share and lines are
 * handed up straight from there; only the unfinished last line, or what could not be handed up
 * because the connection is over a limit, is copied. So an idle connection costs this struct and
 * one event.
 *
 * client_conn_settle() derives from the state whether the socket is read. Nothing recurses: a
 * release or a write that lets a paused connection go on only gives it a turn. */
#include "net/client_int.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include "base/banned.h"

/* What the host keeps of it: requests and commands under way. */
static size_t held_bytes(const struct client_conn *c)
{
    return c->memory.requests.used - c->in_charged + c->memory.commands.used;
}

/* While memory is tight it takes no more from those who do not read (CLIENT-14). */
static bool owes_too_much(const struct client_conn *c, size_t out)
{
    return out > CLIENT_OUT_BYTES_FREE && client_port_is_tight(c->port);
}

/* Beyond these bounds a connection is not read any more (CLIENT-3, CLIENT-4, CLIENT-13). */
bool client_conn_over_limits(const struct client_conn *c)
{
    const size_t out = client_conn_out_bytes(c);

    return c->n_held >= c->in_flight || out > CLIENT_OUT_BYTES_HIGH ||
           held_bytes(c) > CLIENT_HELD_BYTES_HIGH || owes_too_much(c, out);
}

/* A quarter of in_flight must be free again, so that a pipelining client is not stopped and started
 * for each reply. */
static bool well_below_limits(const struct client_conn *c)
{
    const size_t out = client_conn_out_bytes(c);
    unsigned gap = c->in_flight / 4 > 0 ? c->in_flight / 4 : 1;

    return c->n_held + gap <= c->in_flight && out <= CLIENT_OUT_BYTES_LOW &&
           held_bytes(c) <= CLIENT_HELD_BYTES_LOW && !owes_too_much(c, out);
}

static bool has_stash(const struct client_conn *c)
{
    return c->stash.len > c->stash_pos;
}

/* Of what was read something is left to be handed up. */
static bool has_lines(const struct client_conn *c)
{
    return c->again || has_stash(c);
}

/* What came while it was not read has not told of itself again (CLIENT-16). */
static void set_reading(struct client_conn *c, bool on)
{
    c->reading = on;
    if (on && c->readable && list_empty(&c->turn)) {
        client_turns_add(c);
        client_port_wake(c->port);
    }
}

void client_conn_mark_dirty(struct client_conn *c)
{
    if (list_empty(&c->dirty))
        list_append(&c->port->dirty, &c->dirty);
}

/* A stash stays, unused: client_lines_take() may be walking over it. */
void client_conn_end(struct client_conn *c, const char *why)
{
    if (c->dead || c->ending)
        return;
    c->ending = true;
    c->ending_why = why;
    client_conn_mark_dirty(c);
}

void client_conn_account(struct client_conn *c)
{
    const size_t in = c->line.size + c->stash.size;

    budget_set(&c->memory.replies, c->out.size);
    if (in > c->in_charged)
        budget_take(&c->memory.requests, in - c->in_charged);
    else if (in < c->in_charged)
        budget_give(&c->memory.requests, c->in_charged - in);
    c->in_charged = in;
}

void client_conn_settle(struct client_conn *c)
{
    bool go_on;

    if (c->dead)
        return;
    if (c->memory.replies.used != c->out.size || c->in_charged != c->line.size + c->stash.size)
        client_conn_account(c);
    if (c->memory.waits && list_empty(&c->starved))
        list_append(&c->port->starved, &c->starved);
    if (!c->paused && client_conn_over_limits(c))
        c->paused = true;
    else if (c->paused && well_below_limits(c))
        c->paused = false;
    /* A line that was begun is done with, whatever its replies are held up by: others may wait for
     * what the host holds for it. */
    go_on = (!c->paused || c->again) && client_conn_may_take_lines(c);
    if (go_on && has_lines(c) && list_empty(&c->turn)) {
        client_turns_add(c);
        client_port_wake(c->port);
    }
    /* A connection that lingers is read only to see its end. */
    set_reading(c, !c->eof && ((go_on && !has_lines(c) && !c->barred) || c->linger_us != 0));
    /* The time of a line counts only while we would take the rest of it. */
    if (!c->reading || (c->line.len == 0 && !c->skipping))
        c->line_us = 0;
    else if (c->line_us == 0)
        c->line_us = clock_mono_us();
}

/* Closes it when everything owed was sent (CLIENT-10), or at least our half of it. */
static void maybe_finish(struct client_conn *c)
{
    if (c->dead || c->n_held > 0 || client_conn_out_bytes(c) > 0)
        return;
    if (c->again && client_conn_may_take_lines(c))
        return;
    if (c->eof) {
        client_conn_die(c, c->ending ? c->ending_why : "end of file");
    } else if (c->ending && c->linger_us == 0) {
        /* Closing with unread input would make the kernel reset the connection, and the error line
         * with it. */
        client_bytes_say_end(c);
        (void)shutdown(c->fd, SHUT_WR);
        c->linger_us = clock_mono_us();
        client_conn_settle(c);
    }
}

/* ---- what was read ---- */

static void take_chunk(struct client_conn *c, size_t len)
{
    const unsigned char *chunk = c->port->chunk;
    size_t taken = client_lines_take(c, (const char *)chunk, len);

    if (taken == len || c->dead || c->ending)
        return;
    rid_assert(!has_stash(c));
    buf_reset(&c->stash, 0);
    c->stash_pos = 0;
    if (buf_add(&c->stash, chunk + taken, len - taken) != 0)
        client_conn_die(c, "out of memory");
}

static void resume(struct client_conn *c)
{
    size_t taken;

    if (c->again) {
        client_lines_again(c);
        if (c->dead)
            return;
        client_turns_step(c, CLIENT_LOOK_COST);
    }
    taken = client_lines_take(c, (const char *)c->stash.data + c->stash_pos,
                              c->stash.len - c->stash_pos);
    if (c->dead)
        return;
    c->stash_pos += taken;
    if (!has_stash(c)) {
        buf_reset(&c->stash, 0);
        c->stash_pos = 0;
    }
    client_conn_settle(c);
    maybe_finish(c);
}

/* ---- reading ----
 *
 * The kernel tells once of what came, not in each turn of the loop until it was read (CLIENT-16):
 * of ten thousand that wait for their turn it would look at each in each of them. So that a socket
 * may hold something is kept here until a read found less than it had asked for. The end of a
 * stream may have come with the last bytes before it, and is told of with them.
 *
 * Less than was asked for is not always all: a reset may stand behind it, which libevent does not
 * tell from bytes, and what is urgent, or comes with a descriptor, cuts a read short. Reading until
 * there is nothing would cost a system call for each request; so who is quiet for a tick is read
 * once more. */

static void read_error(struct client_conn *c, int error)
{
    char why[256];

    (void)snprintf(why, sizeof(why), "cannot read: %s", client_bytes_why(c, error));
    client_conn_die(c, why);
}

/* False: that is all for now. */
static bool read_nothing(struct client_conn *c, int error)
{
    if (error == EINTR) {
        /* A record of TLS without data, or a signal: there may be more, and it was a step like any
         * other (TLS-23). */
        client_turns_step(c, CLIENT_LOOK_COST);
        return true;
    }
    if (error == EAGAIN)
        c->readable = c->unsure = false;
    else
        read_error(c, error);
    return false;
}

/* TLS gives a record at a time, of which none is so long, and what is left of it makes nothing
 * readable: only when there is nothing is that all (TLS-21). */
static bool may_hold_more(const struct client_conn *c, size_t n, size_t asked)
{
    return c->stream != NULL || n == asked || c->end_told;
}

/* Of a local socket the kernel tells an end of what the client sends from an end of the client, for
 * which a reset stands by TCP. */
static bool is_gone(const struct client_conn *c)
{
    struct pollfd p = {.fd = c->fd};

    return c->is_local && poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
}

static void read_end(struct client_conn *c)
{
    c->eof = true;
    /* ridd-protocol(7): a last line without its newline counts; but where TLS was cut off before
     * its end, somebody on the way may have chosen where it ends (TLS-22). */
    if (c->stream == NULL || tls_ended_well(c->stream))
        client_lines_end(c);
    if (!c->dead && !has_lines(c) && is_gone(c))
        client_conn_die(c, c->ending ? c->ending_why : "closed by the client");
}

static void read_socket(struct client_conn *c)
{
    struct client_port *p = c->port;
    const size_t chunk =
        client_port_is_tight(p) ? CLIENT_CHUNK_TIGHT_BYTES : (size_t)CLIENT_CHUNK_BYTES;
    ssize_t n;

    while (p->share > 0) {
        n = client_bytes_receive(c, p->chunk, chunk);
        if (n < 0 && read_nothing(c, errno))
            continue;
        if (n < 0)
            break;
        c->active_us = p->now_us;
        if (n == 0) {
            read_end(c);
            break;
        }
        p->stats.bytes_in += (uint64_t)n;
        c->readable = may_hold_more(c, (size_t)n, chunk);
        c->unsure = !c->readable;
        if (!c->ending)
            take_chunk(c, (size_t)n);
        else
            client_turns_step(c, (size_t)n);
        if (c->dead || !c->readable || has_lines(c) || client_conn_over_limits(c))
            break;
        p->read_us = clock_mono_us();
    }
    client_conn_settle(c);
    maybe_finish(c);
}

static void on_readable(evutil_socket_t unused, short what, void *ctx)
{
    struct client_conn *c = ctx;
    struct client_port *p = c->port;

    (void)unused;
    c->readable = true;
    if ((what & EV_CLOSED) != 0)
        c->end_told = true;
    if (c->dead || !c->reading || !list_empty(&c->turn))
        return;
    client_turns_add(c);
    /* Behind the others that are readable in this turn. */
    event_active(p->ev_work, EV_TIMEOUT, 0);
}

void client_conn_serve(struct client_conn *c)
{
    if (c->dead)
        return;
    if (has_lines(c) && client_conn_may_take_lines(c))
        resume(c);
    else if (c->reading && c->readable)
        read_socket(c);
}

/* ---- writing ----
 *
 * Likewise: that there is room is told of once after a send that found none. */

static void set_blocked(struct client_conn *c, bool on)
{
    c->full = on;
    if (on == c->blocked)
        return;
    c->blocked = on;
    if (!on)
        (void)event_del(c->ev_write);
    else if (event_add(c->ev_write, NULL) != 0)
        client_conn_die(c, "cannot watch the socket");
}

static void on_writable(evutil_socket_t unused, short what, void *ctx)
{
    struct client_conn *c = ctx;

    (void)unused;
    (void)what;
    if (c->dead || !c->blocked)
        return;
    c->full = false;
    client_conn_mark_dirty(c);
    client_port_wake(c->port);
}

static void wait_writable(struct client_conn *c)
{
    struct client_port *p = c->port;

    if (c->ev_write == NULL) {
        c->ev_write = event_new(p->base, c->fd, EV_WRITE | EV_ET | EV_PERSIST, on_writable, c);
        if (c->ev_write == NULL || event_priority_set(c->ev_write, p->priority) != 0) {
            client_conn_die(c, "out of memory");
            return;
        }
    }
    set_blocked(c, true);
}

static void out_consume(struct client_conn *c, size_t n)
{
    c->out_pos += n;
    if (c->out_pos == c->out.len) {
        buf_reset(&c->out, CLIENT_OUT_KEEP_BYTES);
        c->out_pos = 0;
    } else if (c->out_pos >= c->out.len / 2) {
        /* Moves at most as much as was sent since the last time. */
        buf_consume(&c->out, c->out_pos);
        c->out_pos = 0;
    }
}

static void write_socket(struct client_conn *c, uint64_t now_us)
{
    const size_t out = client_conn_out_bytes(c);
    const size_t piece = out < CLIENT_SEND_BYTES ? out : CLIENT_SEND_BYTES;
    const uint64_t per_us =
        c->stream != NULL ? CLIENT_SEND_TLS_BYTES_PER_US : CLIENT_SEND_BYTES_PER_US;
    char why[256];
    ssize_t n;

    n = client_bytes_send(c, c->out.data + c->out_pos, piece);
    if (n < 0 && errno == EAGAIN) {
        if (c->stuck_us == 0)
            c->stuck_us = now_us;
        wait_writable(c);
        return;
    }
    if (n < 0 && errno != EINTR) {
        (void)snprintf(why, sizeof(why), "cannot write: %s", client_bytes_why(c, errno));
        client_conn_die(c, why);
        return;
    }
    if (n > 0) {
        c->port->stats.bytes_out += (uint64_t)n;
        c->port->sent += (size_t)n;
        client_turns_charge(c, (uint64_t)n / per_us);
        c->active_us = now_us;
        c->stuck_us = 0;
        out_consume(c, (size_t)n);
    }
    if (client_conn_out_bytes(c) == 0)
        set_blocked(c, false);
    else
        client_conn_mark_dirty(c); /* behind the others */
}

void client_conn_write(struct client_conn *c, uint64_t now_us)
{
    if (!c->full && client_conn_out_bytes(c) > 0)
        write_socket(c, now_us);
    client_conn_settle(c);
    maybe_finish(c);
}

/* ---- life ---- */

static void cleanup_conn_fn(struct client_conn **c)
{
    client_conn_free(*c);
}

static void name_origin(struct client_conn *c, const struct client_origin *from)
{
    c->is_local = from->is_local;
    c->peer = from->peer;
    if (from->is_local)
        (void)snprintf(c->address, sizeof(c->address), "unix:uid=%lu,pid=%ld",
                       (unsigned long)from->peer.uid, (long)from->peer.pid);
    else
        net_addr_format(from->sa, c->address, sizeof(c->address));
}

int client_conn_new(struct client_port *p, int fd, struct tls_stream *stream,
                    const struct client_origin *from, struct client_conn **ret_conn)
{
    CLEANUP(conn) struct client_conn *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        tls_stream_free(stream);
        (void)close(fd);
        return err_origin(-ENOMEM);
    }
    c->port = p;
    c->fd = fd;
    c->stream = stream;
    list_init(&c->node);
    list_init(&c->dirty);
    list_init(&c->turn);
    list_init(&c->starved);
    memory_conn_init(&c->memory, p->conf.memory);
    if (stream != NULL)
        budget_take(&c->memory.stream, CLIENT_STREAM_BYTES);
    c->request_bytes = p->conf.request_bytes;
    c->in_flight = p->conf.in_flight;
    c->active_us = clock_mono_us();
    name_origin(c, from);
    c->source = net_sources_take(&p->sources, from->host);
    if (c->source == NULL)
        return err_origin(-ENOMEM);
    c->ev_read = event_new(p->base, fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, on_readable, c);
    if (c->ev_read == NULL || event_priority_set(c->ev_read, p->priority) != 0 ||
        event_add(c->ev_read, NULL) != 0)
        return err_origin(-ENOMEM);
    *ret_conn = take_ptr(c);
    return 0;
}

void client_conn_free(struct client_conn *c)
{
    if (c == NULL)
        return;
    list_remove(&c->node);
    list_remove(&c->dirty);
    list_remove(&c->turn);
    list_remove(&c->starved);
    if (c->ev_read != NULL)
        event_free(c->ev_read);
    if (c->ev_write != NULL)
        event_free(c->ev_write);
    if (c->stream != NULL && c->port != NULL)
        client_greet_drop_stream(c->port, c->stream);
    else
        tls_stream_free(c->stream);
    budget_set(&c->memory.stream, 0);
    if (c->fd >= 0)
        (void)close(c->fd);
    net_sources_give(c->source);
    buf_done(&c->line);
    buf_done(&c->stash);
    buf_done(&c->out);
    client_conn_account(c);
    rid_assert(c->memory.requests.used == 0);
    rid_assert(c->memory.commands.used == 0);
    free(c);
}

/* Buffers and events stay as they are: a line from them may be in the hands of the host, further up
 * the stack. */
void client_conn_die(struct client_conn *c, const char *why)
{
    struct client_port *p = c->port;

    if (c->dead)
        return;
    c->dead = true;
    client_bytes_say_end(c);
    (void)event_del(c->ev_read);
    if (c->ev_write != NULL)
        (void)event_del(c->ev_write);
    /* Its number may go to the next connection only when epoll has been told: libevent gathers what
     * is to be told by number, and a link of a peer would be watched as this socket was. */
    list_remove(&c->dirty);
    list_append(&p->closing, &c->dirty);
    list_remove(&c->turn);
    list_remove(&c->starved);
    list_remove(&c->node);
    list_append(c->n_held > 0 ? &p->orphans : &p->dead, &c->node);
    p->stats.n_open--;
    net_sources_give(take_ptr(c->source));
    client_port_wake(p);
    client_port_resume(p);
    p->ops.on_closed(p->ops.ctx, c, why);
}

static void die_slow(struct client_conn *c, const char *why)
{
    c->port->stats.n_closed_slow++;
    client_conn_die(c, why);
}

/* since_us may lie after now_us: a callback of the same tick, with which another connection was
 * closed, may have used this one a moment after the tick looked at the clock. */
static bool longer_ago(uint64_t now_us, uint64_t since_us, uint64_t limit_us)
{
    return now_us > since_us && now_us - since_us > limit_us;
}

/* What stands still is closed: a line that does not end (CLIENT-2), output that nobody takes
 * (CLIENT-3). Of what is quiet the socket is looked at (CLIENT-16). */
void client_conn_tick(struct client_conn *c, uint64_t now_us)
{
    const struct client_port_conf *conf = &c->port->conf;
    const bool waits = client_conn_out_bytes(c) > 0;

    if (c->linger_us != 0 && longer_ago(now_us, c->linger_us, CLIENT_LINGER_US))
        client_conn_die(c, c->ending_why);
    else if (waits && c->stuck_us != 0 && longer_ago(now_us, c->stuck_us, conf->stuck_us))
        die_slow(c, "output not taken");
    else if (c->line_us != 0 && longer_ago(now_us, c->line_us, conf->line_us))
        die_slow(c, "line not completed in time");
    else if (!waits && c->n_held == 0 && longer_ago(now_us, c->active_us, conf->idle_us))
        die_slow(c, "idle");
    else if (!waits)
        buf_reset(&c->out, 0);
    client_conn_account(c);
    if (!c->dead && c->unsure && longer_ago(now_us, c->active_us, CLIENT_QUIET_US)) {
        c->unsure = false;
        c->readable = true;
        client_conn_settle(c);
    }
}

/* ---- the host's side ---- */

struct buf *client_conn_out(struct client_conn *c)
{
    if (c->dead)
        return NULL;
    client_conn_mark_dirty(c);
    return &c->out;
}

struct memory_conn *client_conn_memory(struct client_conn *c)
{
    return &c->memory;
}

void client_conn_touched(struct client_conn *c, size_t bytes)
{
    if (!c->dead)
        client_turns_charge(c, bytes / CLIENT_TOUCH_BYTES_PER_US);
}

void client_conn_hold(struct client_conn *c)
{
    client_turns_hold(c);
    c->n_held++;
    if (c->dead && c->n_held == 1 && c->port != NULL) {
        /* Closed by this very callback, and not freed yet. */
        list_remove(&c->node);
        list_append(&c->port->orphans, &c->node);
    }
}

void client_conn_release(struct client_conn *c)
{
    rid_assert(c->n_held > 0);
    client_turns_release(c);
    c->n_held--;
    if (!c->dead) {
        struct client_port *p = c->port;

        /* The flush of this turn sends the reply and, if it was the last one owed, closes. */
        if (c->n_held == 0 && (c->eof || c->ending))
            client_conn_mark_dirty(c);
        /* Else nothing follows from it; this is done for every request. */
        if (c->paused) {
            client_port_enter(p);
            client_conn_settle(c);
            client_port_leave(p);
        }
    } else if (c->n_held == 0 && c->port != NULL) {
        list_remove(&c->node);
        list_append(&c->port->dead, &c->node);
        client_port_wake(c->port);
    } else if (c->n_held == 0) {
        client_conn_free(c);
    }
}

void client_conn_close(struct client_conn *c, const char *why)
{
    struct client_port *p = c->port;

    if (c->dead)
        return;
    client_port_enter(p);
    client_conn_die(c, why);
    client_port_leave(p);
}

bool client_conn_is_tls(const struct client_conn *c)
{
    return c->stream != NULL;
}

const struct tls_identity *client_conn_identity(const struct client_conn *c)
{
    return c->stream != NULL ? tls_stream_identity(c->stream) : NULL;
}

bool client_conn_peer(const struct client_conn *c, struct client_peer *ret)
{
    *ret = c->peer;
    return c->is_local;
}

void client_conn_close_fd(struct client_conn *c)
{
    list_remove(&c->dirty);
    if (c->fd >= 0)
        (void)close(take_fd(c->fd));
}

gid_t *client_conn_groups(const struct client_conn *c, unsigned *ret_n)
{
    *ret_n = 0;
    return c->is_local && !c->dead ? net_local_groups(c->fd, ret_n) : NULL;
}

void client_conn_set_mark(struct client_conn *c, uint64_t mark)
{
    c->mark = mark;
}

uint64_t client_conn_mark(const struct client_conn *c)
{
    return c->mark;
}

void client_conn_set_user(struct client_conn *c, void *user)
{
    c->user = user;
}

void *client_conn_user(const struct client_conn *c)
{
    return c->user;
}

const char *client_conn_address(const struct client_conn *c)
{
    return c->address;
}
