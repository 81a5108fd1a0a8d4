/* The port around its connections: accepting up to a limit, one coarse timer for all, one list of
 * those with output, and one zero-timeout event that hands up lines left over and frees what died.
 *
 * Anything may be closed from inside a callback, the port too. A dead connection is only detached;
 * ev_work frees it when the stack has unwound. A freed port closes everything at once, and its own
 * memory goes back outside of its callbacks. */
#include "net/client_int.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/seed.h"

#include "base/banned.h"

static const struct timeval at_once = {0, 0};

/* ---- life of the port ---- */

static void destroy(struct client_port *p)
{
    rid_assert(p->depth == 0);
    while (!list_empty(&p->dead))
        client_conn_free(list_entry(p->dead.next, struct client_conn, node));
    while (!list_empty(&p->orphans)) {
        struct client_conn *c = list_entry(p->orphans.next, struct client_conn, node);

        /* From here on it belongs to its holders alone; its events belong to a base that may go. */
        list_remove(&c->node);
        client_conn_close_fd(c);
        event_free(c->ev_read);
        if (c->ev_write != NULL)
            event_free(c->ev_write);
        c->ev_read = NULL;
        c->ev_write = NULL;
        c->port = NULL;
    }
    if (p->ev_tick != NULL)
        event_free(p->ev_tick);
    if (p->ev_work != NULL)
        event_free(p->ev_work);
    if (p->ev_barred != NULL)
        event_free(p->ev_barred);
    client_greet_end(p);
    for (unsigned i = 0; i < p->n_listeners; i++)
        net_listener_free(p->listeners[i].of);
    net_listener_free(p->local);
    net_local_remove(&p->local_path);
    tls_ctx_unref(p->tls);
    free(p->chunk);
    free(p);
}

static void destroy_later(evutil_socket_t unused, short what, void *ctx)
{
    (void)unused;
    (void)what;
    destroy(ctx);
}

void client_port_enter(struct client_port *p)
{
    p->depth++;
}

void client_port_leave(struct client_port *p)
{
    rid_assert(p->depth > 0);
    p->depth--;
    /* We may still be inside an event of this port, so not here. */
    if (p->depth == 0 && p->freed)
        (void)event_base_once(p->base, -1, EV_TIMEOUT, destroy_later, p, &at_once);
}

void client_port_wake(struct client_port *p)
{
    if (!p->freed && !evtimer_pending(p->ev_work, NULL))
        (void)evtimer_add(p->ev_work, &at_once);
}

void client_port_resume(struct client_port *p)
{
    for (unsigned i = 0; i < p->n_listeners; i++)
        net_listener_resume(p->listeners[i].of);
    if (p->local != NULL)
        net_listener_resume(p->local);
}

void client_port_free(struct client_port *p)
{
    if (p == NULL || p->freed)
        return;
    p->freed = true;
    p->depth++; /* not client_port_enter(): nothing below may free it a second time */
    client_port_quiesce(p);
    (void)event_del(p->ev_tick);
    (void)event_del(p->ev_work);
    (void)event_del(p->ev_barred);
    while (!list_empty(&p->conns))
        client_conn_die(list_entry(p->conns.next, struct client_conn, node), "port closed");
    p->depth--;
    if (p->depth == 0)
        destroy(p);
}

/* ---- memory ---- */

/* Whoever waits and has room now is told in the next turn (CLIENT-13); of very many the others
 * later. */
static void look_for_room(struct client_port *p)
{
    struct list seen = LIST_INIT(seen);

    for (unsigned i = 0; i < CLIENT_STARVED_PER_TURN && !list_empty(&p->starved); i++) {
        struct client_conn *c = list_entry(p->starved.next, struct client_conn, starved);

        list_remove(&c->starved);
        list_append(memory_conn_has_room(&c->memory, &c->out) ? &p->fed : &seen, &c->starved);
    }
    list_splice(&p->starved, &seen);
    if (!list_empty(&p->fed))
        client_port_wake(p);
}

static void feed(struct client_port *p)
{
    struct list todo = LIST_INIT(todo);

    list_splice(&todo, &p->fed);
    while (!list_empty(&todo)) {
        struct client_conn *c = list_entry(todo.next, struct client_conn, starved);

        list_remove(&c->starved);
        c->memory.waits = p->ops.on_room != NULL && p->ops.on_room(p->ops.ctx, c);
        client_conn_settle(c);
    }
}

static struct client_conn *who_owes_most(const struct client_port *p, uint64_t now_us)
{
    struct client_conn *most = NULL;

    list_for_each(it, &p->conns)
    {
        struct client_conn *c = list_entry(it, struct client_conn, node);

        if (c->stuck_us == 0 || now_us < c->stuck_us + MEMORY_QUIET_US ||
            c->out.size <= CLIENT_OUT_BYTES_FREE)
            continue;
        if (most == NULL || c->out.size > most->out.size)
            most = c;
    }
    return most;
}

/* While memory is tight, who owes most and has taken nothing for a second goes, until it is not, so
 * that slow readers do not shut out the others (CLIENT-14). */
static void relieve(struct client_port *p)
{
    const uint64_t now_us = clock_mono_us();
    struct client_conn *c;

    if (now_us < p->relieved_us + MEMORY_LOOK_US)
        return;
    p->relieved_us = now_us;
    for (unsigned i = 0; i < CLIENT_CLOSED_PER_LOOK && client_port_is_tight(p); i++) {
        c = who_owes_most(p, now_us);
        if (c == NULL)
            return;
        p->stats.n_closed_owing++;
        client_conn_die(c, "memory is tight, and it does not read");
        /* Nobody further up the stack is writing into it: this is the flush. */
        buf_done(&c->out);
        client_conn_account(c);
    }
}

/* ---- events ---- */

/* Those whose descriptors are closed; the others in the next turn. */
static void bury(struct client_port *p)
{
    if (!list_empty(&p->closing))
        client_port_wake(p);
    else
        while (!list_empty(&p->dead))
            client_conn_free(list_entry(p->dead.next, struct client_conn, node));
}

/* Once in a turn of the loop. A loop that was interrupted, or that sees to peers first, finds who
 * is readable only after this was due, and what they send makes it due again in the same turn.
 *
 * Connections that die in a callback leave their list, so that the first of it is always alive. */
static void on_work(evutil_socket_t unused, short what, void *ctx)
{
    struct client_port *p = ctx;

    (void)unused;
    (void)what;
    client_port_enter(p);
    bury(p);
    feed(p);
    if (p->had_turn) {
        client_port_wake(p);
    } else {
        client_port_end_turn(p);
        client_turns_run(p);
    }
    client_port_leave(p);
}

static void on_barred(evutil_socket_t unused, short what, void *ctx)
{
    (void)unused;
    (void)what;
    client_port_wake(ctx);
}

/* Each connection is moved to the end before it is looked at: whatever dies meanwhile, the walk
 * goes on. */
static void on_tick(evutil_socket_t unused, short what, void *ctx)
{
    struct client_port *p = ctx;
    const uint64_t now_us = clock_mono_us();

    (void)unused;
    (void)what;
    client_port_enter(p);
    for (unsigned n = p->stats.n_open; n > 0 && !list_empty(&p->conns); n--) {
        struct client_conn *c = list_entry(p->conns.next, struct client_conn, node);

        list_remove(&c->node);
        list_append(&p->conns, &c->node);
        client_conn_tick(c, now_us);
    }
    client_port_leave(p);
}

static void refuse(struct client_port *p, int fd, unsigned limit, bool of_host)
{
    cleanup_buf struct buf out = BUF_INIT;

    p->stats.n_refused++;
    p->ops.on_refused(p->ops.ctx, &out, limit, of_host);
    if (out.len > 0 && send(fd, out.data, out.len, MSG_NOSIGNAL) > 0)
        (void)shutdown(fd, SHUT_WR);
    /* Unread input would turn the close into a reset, which may overtake the line. */
    (void)recv(fd, p->chunk, CLIENT_CHUNK_BYTES, 0);
    (void)close(fd);
}

void client_port_open(struct client_port *p, int fd, struct tls_stream *stream,
                      const struct client_origin *from)
{
    struct client_conn *c;

    if (client_conn_new(p, fd, stream, from, &c) != 0) {
        p->stats.n_refused++;
        return;
    }
    list_append(&p->conns, &c->node);
    p->stats.n_open++;
    p->stats.n_accepted++;
    p->ops.on_opened(p->ops.ctx, c);
    client_conn_settle(c);
}

/* Those that shake hands have descriptors, too, and will be open in a moment (TLS-20). */
static unsigned n_taken(const struct client_port *p)
{
    return p->stats.n_open + p->stats.n_shaking;
}

/* False: there is room. */
static bool is_over(struct client_port *p, const struct client_origin *from, bool last_fd,
                    unsigned *ret_limit, bool *ret_of_host)
{
    *ret_of_host = false;
    *ret_limit = p->stats.limit;
    if (last_fd)
        *ret_limit = n_taken(p); /* so many it was that there were descriptors for */
    if (last_fd || n_taken(p) >= p->stats.limit)
        return true;
    *ret_of_host = true;
    *ret_limit = p->stats.limit_host;
    return net_sources_count(&p->sources, from->host) >= p->stats.limit_host;
}

static void take_in(struct client_port *p, int fd, const struct client_origin *from, bool last_fd)
{
    unsigned limit;
    bool of_host;

    client_port_enter(p);
    if (is_over(p, from, last_fd, &limit, &of_host)) {
        refuse(p, fd, limit, of_host);
    } else {
        if (!from->is_local)
            net_socket_nodelay(fd);
        client_port_open(p, fd, NULL, from);
    }
    client_port_leave(p);
}

/* Nothing can be said before the handshake, and whoever is beyond a limit is not worth one: the
 * host may tell somebody else. */
static void refuse_tls(struct client_port *p, int fd, const struct client_origin *from)
{
    p->stats.n_refused++;
    (void)recv(fd, p->chunk, CLIENT_CHUNK_BYTES, 0);
    (void)close(fd);
    client_greet_tell(p, from->sa, "there are too many connections");
}

static void take_in_tls(struct client_port *p, int fd, const struct client_origin *from,
                        bool last_fd)
{
    unsigned limit;
    bool of_host;

    client_port_enter(p);
    if (p->tls == NULL || is_over(p, from, last_fd, &limit, &of_host))
        refuse_tls(p, fd, from);
    else
        client_greet(p, fd, from);
    client_port_leave(p);
}

static void on_accept(void *ctx, int fd, const struct sockaddr_storage *sa, bool last_fd)
{
    const struct client_listener *l = ctx;
    const struct client_origin from = {.sa = sa, .host = net_host_of(sa)};

    if (l->tls)
        take_in_tls(l->port, fd, &from, last_fd);
    else
        take_in(l->port, fd, &from, last_fd);
}

/* The kernel knows who connected, or there is no connection: nobody is taken for somebody. */
static void on_accept_local(void *ctx, int fd, const struct sockaddr_storage *sa, bool last_fd)
{
    struct client_port *p = ctx;
    struct client_origin from = {.sa = sa, .is_local = true};

    if (!net_local_peer(fd, &from.peer)) {
        p->stats.n_refused++;
        (void)close(fd);
        return;
    }
    from.host = net_host_of_user(from.peer.uid);
    take_in(p, fd, &from, last_fd);
}

/* ---- limits ---- */

/* Peers, even half-open ones, HTTP and the log must find a descriptor however many clients there
 * are: a log that cannot open its next segment stops the node. */
#define FDS_BESIDE_CLIENTS (FDS_RESERVED + PEER_HALF_OPEN_MAX + HTTP_FDS_MAX)

uint64_t client_port_fds(unsigned connections)
{
    return (uint64_t)connections + FDS_BESIDE_CLIENTS;
}

static unsigned fd_limit(void)
{
    const rlim_t reserved = FDS_BESIDE_CLIENTS;
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur == RLIM_INFINITY ||
        rl.rlim_cur > UINT32_MAX)
        return UINT32_MAX;
    return rl.rlim_cur > reserved ? (unsigned)(rl.rlim_cur - reserved) : 1;
}

/* At least one: whoever is alone may connect. */
static unsigned host_share(unsigned limit)
{
    return limit - limit * (100 - CLIENT_HOST_PERCENT) / 100;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void client_port_set_conf(struct client_port *p, const struct client_port_conf *conf)
{
    struct client_port_conf *own = &p->conf;
    struct timeval period;
    uint64_t us;

    *own = *conf;
    if (own->request_bytes == 0)
        own->request_bytes = REQUEST_BYTES_DEFAULT;
    if (own->in_flight == 0)
        own->in_flight = CLIENT_IN_FLIGHT_DEFAULT;
    if (own->connections == 0)
        own->connections = CLIENT_CONNECTIONS_DEFAULT;
    if (own->line_us == 0)
        own->line_us = CLIENT_LINE_US;
    if (own->idle_us == 0)
        own->idle_us = CLIENT_IDLE_US;
    if (own->stuck_us == 0)
        own->stuck_us = CLIENT_STUCK_US;
    p->stats.limit = (unsigned)min_u64(own->connections, fd_limit());
    p->stats.limit_host =
        own->connections_per_host != 0 ? own->connections_per_host : host_share(p->stats.limit);
    us = min_u64(own->line_us, min_u64(own->idle_us, own->stuck_us)) / 8;
    us = us < CLIENT_TICK_US_MIN ? CLIENT_TICK_US_MIN : min_u64(us, CLIENT_TICK_US_MAX);
    period.tv_sec = (time_t)(us / 1000000u);
    period.tv_usec = (suseconds_t)(us % 1000000u);
    (void)event_add(p->ev_tick, &period);
}

/* ---- the rest of the interface ---- */

/* Of a port that client_port_new() did not finish: nothing was accepted, nobody was called. */
static void cleanup_port_fn(struct client_port **p)
{
    if (*p != NULL)
        destroy(*p);
}

int client_port_new(struct event_base *base, const char *addr, bool tls,
                    const struct client_port_conf *conf, const struct client_port_ops *ops,
                    struct client_port **ret)
{
    CLEANUP(port) struct client_port *p = calloc(1, sizeof(*p));
    int rc;

    if (p == NULL)
        return err_origin(err_say(-ENOMEM, "cannot open the client port: out of memory"));
    p->base = base;
    p->ops = *ops;
    net_sources_init(&p->sources, seed_fresh());
    p->priority = event_base_get_npriorities(base) - 1;
    list_init(&p->greetings);
    list_init(&p->conns);
    list_init(&p->dirty);
    for (unsigned i = 0; i < CLIENT_LEVELS; i++)
        list_init(&p->levels[i].list);
    list_init(&p->barred);
    list_init(&p->closing);
    list_init(&p->dead);
    list_init(&p->orphans);
    list_init(&p->starved);
    list_init(&p->fed);
    p->chunk = malloc(CLIENT_CHUNK_BYTES);
    p->ev_tick = event_new(base, -1, EV_PERSIST, on_tick, p);
    p->ev_work = event_new(base, -1, 0, on_work, p);
    p->ev_barred = event_new(base, -1, 0, on_barred, p);
    if (p->chunk == NULL || p->ev_tick == NULL || p->ev_work == NULL || p->ev_barred == NULL ||
        event_priority_set(p->ev_tick, p->priority) != 0 ||
        event_priority_set(p->ev_work, p->priority) != 0 ||
        event_priority_set(p->ev_barred, p->priority) != 0)
        return err_origin(err_say(-ENOMEM, "cannot open the client port: out of memory"));
    rc = client_port_listen(p, addr, tls);
    if (rc != 0)
        return err_trace(rc);
    client_port_set_conf(p, conf);
    *ret = take_ptr(p);
    return 0;
}

int client_port_listen(struct client_port *p, const char *addr, bool tls)
{
    struct client_listener *l = &p->listeners[p->n_listeners];
    int rc = 0;

    rid_assert(p->n_listeners < CLIENT_LISTENERS_MAX);
    if (tls && p->greeter == NULL)
        rc = client_greet_begin(p);
    if (rc != 0)
        return err_trace(rc);
    *l = (struct client_listener){.port = p, .tls = tls};
    rc = net_listener_new(p->base, addr, p->priority, on_accept, l, &l->of);
    if (rc != 0)
        return err_trace(rc);
    p->n_listeners++;
    return 0;
}

void client_port_set_tls(struct client_port *p, struct tls_ctx *tls)
{
    tls_ctx_unref(p->tls);
    p->tls = tls != NULL ? tls_ctx_ref(tls) : NULL;
}

int client_port_listen_local(struct client_port *p, const char *path)
{
    int fd;
    int rc;

    rid_assert(p->local == NULL);
    fd = net_listen_local(path, &p->local_path);
    if (fd < 0)
        return err_trace(fd);
    rc = net_listener_on(p->base, fd, p->priority, on_accept_local, p, &p->local);
    if (rc == 0)
        return 0;
    net_local_remove(&p->local_path);
    return err_say(rc, "cannot listen on 'unix:%s': out of memory", path);
}

void client_port_quiesce(struct client_port *p)
{
    if (p->quiesced)
        return;
    p->quiesced = true;
    for (unsigned i = 0; i < p->n_listeners; i++)
        net_listener_stop(p->listeners[i].of);
    if (p->local != NULL)
        net_listener_stop(p->local);
    client_port_enter(p);
    client_greet_drop(p);
    list_for_each(it, &p->conns) client_conn_settle(list_entry(it, struct client_conn, node));
    client_port_leave(p);
}

bool client_port_idle(const struct client_port *p)
{
    list_for_each(it, &p->conns)
    {
        const struct client_conn *c = list_entry(it, struct client_conn, node);

        if (c->n_held > 0 || client_conn_out_bytes(c) > 0)
            return false;
    }
    return true;
}

/* As far as one turn may go. Who has more than one piece is there again with the next flush. */
static void write_dirty(struct client_port *p)
{
    const uint64_t now_us = clock_mono_us(); /* of all that is written at once */
    struct list todo = LIST_INIT(todo);

    list_splice(&todo, &p->dirty);
    while (!list_empty(&todo) && p->sent < CLIENT_SEND_BYTES_PER_TURN) {
        struct client_conn *c = list_entry(todo.next, struct client_conn, dirty);

        list_remove(&c->dirty);
        client_conn_write(c, now_us);
    }
    list_splice(&todo, &p->dirty);
    list_splice(&p->dirty, &todo);
}

void client_port_answer(struct client_port *p)
{
    if (list_empty(&p->dirty))
        return;
    client_port_enter(p);
    write_dirty(p);
    client_port_leave(p);
}

void client_port_flush(struct client_port *p)
{
    p->cost = 0;
    p->had_turn = false;
    while (!list_empty(&p->closing))
        client_conn_close_fd(list_entry(p->closing.next, struct client_conn, dirty));
    if (list_empty(&p->dirty) && list_empty(&p->starved) && !client_port_is_tight(p)) {
        p->sent = 0;
        return;
    }
    client_port_enter(p);
    write_dirty(p);
    p->sent = 0;
    if (!list_empty(&p->dirty))
        client_port_wake(p); /* the rest is for the next turn */
    if (client_port_is_tight(p))
        relieve(p);
    look_for_room(p);
    client_port_leave(p);
}

void client_port_end_turn(struct client_port *p)
{
    p->had_turn = true;
}

void client_port_get_stats(const struct client_port *p, struct client_port_stats *ret)
{
    struct greeter_stats greeter = {0};

    if (p->greeter != NULL)
        greeter_get_stats(p->greeter, &greeter);
    *ret = p->stats;
    ret->handshakes_us = greeter.busy_us;
}

unsigned client_port_number(const struct client_port *p)
{
    return net_listener_port(p->listeners[0].of);
}
