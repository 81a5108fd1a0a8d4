/* Peers and their links: which two connections belong together. Who dials and when is peer_dial.c.
 *
 * A link is made aside (peer.next) and takes the place of the old one (peer.up) only when both of
 * its connections shook hands with the same nonce. So a peer that comes back before we noticed its
 * end replaces its own dead link, while a connection that never gets further than one hello
 * disturbs nothing.
 *
 * Every change is complete before the host is told: its callback may close links or free
 * everything. After a callback only the state of the objects counts. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/peer_int.h"

#include "base/banned.h"

static const struct timeval at_once = {0, 0};

/* ---- life ---- */

static void peer_free(struct peer *p)
{
    if (p->ev_dial != NULL)
        event_free(p->ev_dial);
    lookup_drop(p->lookup);
    peer_look_end(p);
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        buf_done(&p->out[i]);
    list_remove(&p->node);
    free(p);
}

static void free_dead(struct peer_net *n)
{
    while (!list_empty(&n->dead))
        peer_conn_free(list_entry(n->dead.next, struct peer_conn, node));
    list_for_each_safe(it, &n->peers)
    {
        struct peer *p = list_entry(it, struct peer, node);

        if (p->gone)
            peer_free(p);
    }
}

static void destroy(struct peer_net *n)
{
    rid_assert(n->depth == 0);
    free_dead(n);
    while (!list_empty(&n->peers))
        peer_free(list_entry(n->peers.next, struct peer, node));
    if (n->ev_tick != NULL)
        event_free(n->ev_tick);
    if (n->ev_work != NULL)
        event_free(n->ev_work);
    if (n->ev_names != NULL)
        event_free(n->ev_names);
    if (n->names_fd >= 0)
        (void)close(n->names_fd);
    net_listener_free(n->listener);
    greeter_free(n->greeter);
    tls_ctx_unref(n->conf.tls);
    free(n);
}

static void destroy_later(evutil_socket_t unused, short what, void *ctx)
{
    (void)unused;
    (void)what;
    destroy(ctx);
}

void peer_net_enter(struct peer_net *n)
{
    n->depth++;
}

void peer_net_leave(struct peer_net *n)
{
    rid_assert(n->depth > 0);
    n->depth--;
    /* We may still be inside an event of this object, so not here. */
    if (n->depth == 0 && n->freed)
        (void)event_base_once(n->base, -1, EV_TIMEOUT, destroy_later, n, &at_once);
}

void peer_net_free(struct peer_net *n)
{
    if (n == NULL || n->freed)
        return;
    n->freed = true;
    net_listener_stop(n->listener);
    (void)event_del(n->ev_tick);
    (void)event_del(n->ev_work);
    (void)event_del(n->ev_names);
    while (!list_empty(&n->conns))
        peer_conn_detach(list_entry(n->conns.next, struct peer_conn, node));
    list_for_each(it, &n->peers)
    {
        struct peer *p = list_entry(it, struct peer, node);

        (void)event_del(p->ev_dial);
        peer_look_end(p);
        p->up = (struct peer_link){0};
        p->next = (struct peer_link){0};
    }
    if (n->depth == 0)
        destroy(n);
}

/* ---- links ---- */

struct peer *peer_net_find(const struct peer_net *n, raft_node_id id)
{
    list_for_each(it, &n->peers)
    {
        struct peer *p = list_entry(it, struct peer, node);

        if (p->id == id && !p->gone)
            return p;
    }
    return NULL;
}

static bool link_holds(const struct peer_link *link, const struct peer_conn *c)
{
    return link->conns[0] == c || link->conns[1] == c;
}

void peer_link_close(struct peer_link *link)
{
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        if (link->conns[i] != NULL)
            peer_conn_detach(link->conns[i]);
    *link = (struct peer_link){0};
}

void peer_net_note_refusal(struct peer_net *n, raft_node_id peer, const struct wire_hello *h,
                           int reason, bool by_us)
{
    struct peer *p = peer_net_find(n, peer);

    if (p == NULL || h->channel == WIRE_CHANNEL_PROBE)
        return;
    p->refused_us = clock_mono_us();
    p->refusal.reason = (enum wire_refusal)reason;
    p->refusal.by_us = by_us;
    (void)snprintf(p->refusal.cluster_name, sizeof(p->refusal.cluster_name), "%s",
                   h->about.cluster_name);
}

bool peer_net_refusal(const struct peer_net *n, raft_node_id peer, struct peer_refusal *ret)
{
    const struct peer *p = peer_net_find(n, peer);

    if (p == NULL || p->refused_us == 0 || !peer_link_empty(&p->up) ||
        clock_mono_us() - p->refused_us > PEER_REFUSAL_SHOWN_US)
        return false;
    *ret = p->refusal;
    return true;
}

void peer_net_tell(struct peer_net *n, enum peer_event event, const struct peer *p,
                   const char *address, const char *text)
{
    n->ops.on_event(n->ops.ctx, event, p != NULL ? p->id : 0, address, text);
}

/* Out of everything but the list: whoever stands in a callback may hold it (PEER-4). */
static void retire(struct peer *p)
{
    struct peer_net *n = p->net;

    p->gone = true;
    if (p->stranger)
        n->n_strangers--;
    else
        n->n_members--;
    (void)event_del(p->ev_dial);
    peer_look_end(p);
    if (!n->freed)
        (void)event_add(n->ev_work, &at_once);
}

/* A stranger is there as long as it has something. */
static void maybe_forget(struct peer *p)
{
    if (p->stranger && !p->gone && peer_link_empty(&p->up) && peer_link_empty(&p->next))
        retire(p);
}

/* The other side ended one of them; whether both is to be known when nobody answers there. */
static void look_for(struct peer *p)
{
    for (unsigned i = 0; i < PEER_CHANNELS; i++) {
        struct peer_conn *other = p->up.conns[1 - i];

        if (!p->up.conns[i]->ended || other->ended)
            continue;
        peer_look_take(p, other);
        other->spared = p->look.sibling_fd >= 0;
    }
}

static void link_down(struct peer *p, const char *why)
{
    char address[ADDRESS_BYTES_MAX + 1];

    rid_assert(p->up.conns[0] != NULL);
    rid_assert(p->up.conns[1] != NULL);
    (void)snprintf(address, sizeof(address), "%s", p->up.conns[0]->address);
    look_for(p);
    peer_link_close(&p->up);
    for (unsigned i = 0; i < PEER_CHANNELS; i++) {
        buf_reset(&p->out[i], PEER_OUT_KEEP_BYTES);
        p->dropping[i] = false;
    }
    p->drop_untold = false;
    if (clock_mono_us() - p->up_since_us >= PEER_STABLE_US)
        peer_dial_begin_anew(p);
    peer_dial_later(p);
    maybe_forget(p);
    peer_net_tell(p->net, PEER_EVENT_DOWN, p, address, why);
    if (!p->net->freed)
        peer_look_begin(p);
}

static void link_up(struct peer *p)
{
    struct peer_net *n = p->net;
    const uint64_t nonce = p->next.nonce;
    char version[8];

    if (!peer_link_empty(&p->up))
        link_down(p, "replaced by a new connection of the same peer");
    if (n->freed || p->next.nonce != nonce || peer_link_empty(&p->next))
        return; /* the host closed it while it was told of the old one */
    rid_assert(peer_link_empty(&p->up));
    p->up = p->next;
    p->next = (struct peer_link){0};
    p->up_since_us = clock_mono_us();
    peer_look_end(p);
    peer_dial_learn(p);
    p->failure_told = false;
    p->refusal_told[0] = '\0';
    p->refused_us = 0;
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        peer_conn_set_up(p->up.conns[i]);
    (void)snprintf(version, sizeof(version), "%u", p->up.conns[0]->version);
    peer_net_tell(n, PEER_EVENT_UP, p, p->up.conns[0]->address, version);
}

void peer_net_shaken(struct peer_net *n, struct peer *p, struct peer_conn *c)
{
    const unsigned i = (unsigned)c->channel - 1;

    rid_assert(p != NULL);
    rid_assert(p->net == n);
    rid_assert(c->channel == WIRE_CHANNEL_CONTROL || c->channel == WIRE_CHANNEL_LOG);
    c->state = PEER_CONN_PAIRING;
    if (c->peer == NULL) {
        /* Accepted. The newest attempt wins, also over our own, which then is not the one that
         * counts (PEER-10); what is left of an older one is of no use to its dialler either. */
        c->peer = p;
        if (p->next.nonce != c->nonce || p->next.conns[i] != NULL)
            peer_link_close(&p->next);
        p->next.nonce = c->nonce;
        p->next.dialled = false;
        p->next.conns[i] = c;
    }
    if (p->next.conns[0] != NULL && p->next.conns[0]->state == PEER_CONN_PAIRING &&
        p->next.conns[1] != NULL && p->next.conns[1]->state == PEER_CONN_PAIRING)
        link_up(p);
}

void peer_net_lost(struct peer_conn *c, enum peer_event event, const char *why)
{
    struct peer_net *n = c->net;
    struct peer *p = c->peer;
    bool dialled;

    if (c->state == PEER_CONN_DEAD)
        return;
    if (p != NULL && link_holds(&p->up, c)) {
        link_down(p, why);
    } else if (p != NULL && link_holds(&p->next, c)) {
        dialled = p->next.dialled;
        peer_link_close(&p->next);
        maybe_forget(p);
        if (dialled) {
            peer_dial_failed(p, event, why);
            return;
        }
        peer_dial_later(p);
        if (event == PEER_EVENT_REFUSED)
            peer_net_tell(n, event, p, c->address, why);
    } else {
        peer_conn_detach(c);
        if (event == PEER_EVENT_REFUSED)
            peer_net_tell(n, event, p, c->address, why);
    }
}

/* ---- events ---- */

static void on_work(evutil_socket_t unused, short what, void *ctx)
{
    struct peer_net *n = ctx;

    (void)unused;
    (void)what;
    free_dead(n);
    net_listener_resume(n->listener);
}

void peer_net_too_late(struct peer_conn *c)
{
    if (c->state == PEER_CONN_LAST_WORDS)
        peer_conn_detach(c);
    else if (c->state == PEER_CONN_CONNECTING)
        peer_net_lost(c, PEER_EVENT_FAILED, "cannot connect: no answer in time");
    else
        peer_net_lost(c, peer_conn_is_half_open(c) ? PEER_EVENT_REFUSED : PEER_EVENT_FAILED,
                      "handshake not finished in time");
}

/* Each connection is moved to the end before it is looked at: whatever dies meanwhile, the walk
 * goes on. */
static void look_at_each(struct peer_net *n, void (*look)(struct peer_conn *c))
{
    unsigned n_conns = 0;

    peer_net_enter(n);
    list_for_each(it, &n->conns) n_conns++;
    for (; n_conns > 0 && !list_empty(&n->conns); n_conns--) {
        struct peer_conn *c = list_entry(n->conns.next, struct peer_conn, node);

        list_remove(&c->node);
        list_append(&n->conns, &c->node);
        look(c);
    }
    peer_net_leave(n);
}

static void look_at_deadline(struct peer_conn *c)
{
    if (c->deadline_us != 0 && clock_mono_us() >= c->deadline_us)
        peer_net_too_late(c);
}

static void on_tick(evutil_socket_t unused, short what, void *ctx)
{
    (void)unused;
    (void)what;
    look_at_each(ctx, look_at_deadline);
}

/* ---- the interface ---- */

/* A bufferevent writes without MSG_NOSIGNAL. */
static void ignore_sigpipe(void)
{
    struct sigaction sa;

    if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL) {
        sa.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &sa, NULL);
    }
}

static void cleanup_net_fn(struct peer_net **n)
{
    if (*n != NULL)
        destroy(*n);
}

int peer_net_new(struct event_base *base, const char *listen_addr, const struct peer_net_conf *conf,
                 const struct peer_net_ops *ops, struct peer_net **ret)
{
    CLEANUP(net) struct peer_net *n = calloc(1, sizeof(*n));
    struct timeval period;
    uint64_t us;
    int rc;

    if (n == NULL)
        return err_origin(err_say(-ENOMEM, "cannot open the peer port: out of memory"));
    rid_assert(conf->self != 0);
    rid_assert(ops->on_hello != NULL);
    rid_assert(ops->on_frame != NULL);
    n->names_fd = -1;
    n->base = base;
    n->ops = *ops;
    n->conf = *conf;
    n->conf.tls = NULL;
    n->version_lowest = WIRE_VERSION_LOWEST;
    if (n->conf.handshake_us == 0)
        n->conf.handshake_us = PEER_HANDSHAKE_US;
    if (n->conf.user_timeout_ms == 0)
        n->conf.user_timeout_ms = PEER_USER_TIMEOUT_MS;
    if (n->conf.second_us == 0)
        n->conf.second_us = PEER_SECOND_US_MIN;
    prng_init(&n->prng, conf->seed);
    list_init(&n->peers);
    list_init(&n->conns);
    list_init(&n->dead);
    list_init(&n->half_open);
    us = n->conf.handshake_us / 8;
    period = net_timeval(us < PEER_TICK_US_MIN   ? PEER_TICK_US_MIN
                         : us > PEER_TICK_US_MAX ? PEER_TICK_US_MAX
                                                 : us);
    n->ev_tick = event_new(base, -1, EV_PERSIST, on_tick, n);
    n->ev_work = event_new(base, -1, 0, on_work, n);
    n->names_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (n->names_fd >= 0)
        n->ev_names = event_new(base, n->names_fd, EV_READ | EV_PERSIST, peer_on_names, n);
    if (n->ev_tick == NULL || n->ev_work == NULL || n->ev_names == NULL ||
        event_add(n->ev_tick, &period) != 0 || event_add(n->ev_names, NULL) != 0)
        return err_origin(err_say(-ENOMEM, "cannot open the peer port: out of memory"));
    rc = peer_tls_change(n, conf->tls);
    if (rc != 0)
        return err_trace(rc);
    rc = net_listener_new(base, listen_addr, event_base_get_npriorities(base) - 1,
                          peer_net_on_accept, n, &n->listener);
    if (rc != 0)
        return err_trace(rc);
    ignore_sigpipe();
    *ret = take_ptr(n);
    return 0;
}

static int peer_new(struct peer_net *n, raft_node_id id, struct peer **ret_peer)
{
    struct peer *p;

    if (id == 0 || id == n->conf.self)
        return err_origin(err_say(-EINVAL, "a node is no peer of itself"));
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return err_origin(err_say(-ENOMEM, "cannot add a peer: out of memory"));
    p->net = n;
    p->id = id;
    list_init(&p->node);
    peer_look_init(&p->look);
    p->ev_dial = event_new(n->base, -1, 0, peer_on_dial, p);
    if (p->ev_dial == NULL) {
        peer_free(p);
        return err_origin(err_say(-ENOMEM, "cannot add a peer: out of memory"));
    }
    list_append(&n->peers, &p->node);
    *ret_peer = p;
    return 0;
}

/* ---- strangers ---- */

/* The one that was silent longest, and long enough; NULL: there is none. */
static struct peer *idle_stranger(const struct peer_net *n)
{
    const uint64_t now_us = clock_mono_us();
    struct peer *idle = NULL;

    list_for_each(it, &n->peers)
    {
        struct peer *p = list_entry(it, struct peer, node);

        if (p->stranger && !p->gone && now_us - p->heard_us >= PEER_STRANGER_IDLE_US &&
            (idle == NULL || p->heard_us < idle->heard_us))
            idle = p;
    }
    return idle;
}

bool peer_net_has_room(const struct peer_net *n)
{
    return n->n_strangers < PEER_STRANGERS_MAX || idle_stranger(n) != NULL;
}

struct peer *peer_net_add_stranger(struct peer_net *n, raft_node_id id)
{
    struct peer *idle = n->n_strangers < PEER_STRANGERS_MAX ? NULL : idle_stranger(n);
    struct peer *p;

    if (idle != NULL)
        peer_net_remove(n, idle->id);
    p = peer_net_find(n, id); /* the host may have added it meanwhile */
    if (n->freed)
        return NULL;
    if (p != NULL || n->n_strangers >= PEER_STRANGERS_MAX)
        return p;
    if (peer_new(n, id, &p) != 0)
        return NULL;
    p->stranger = true;
    p->heard_us = clock_mono_us();
    n->n_strangers++;
    return p;
}

bool peer_net_is_stranger(const struct peer_net *n, raft_node_id id)
{
    const struct peer *p = peer_net_find(n, id);

    return p != NULL && p->stranger;
}

/* ---- members ---- */

/* The peer of that id, which becomes one of those that were added. */
static int member_new(struct peer_net *n, raft_node_id id, struct peer **ret_peer)
{
    struct peer *p = peer_net_find(n, id);
    int rc;

    if (n->n_members == RAFT_SERVERS_MAX)
        return err_origin(err_say(-ENOSPC, "more than %u peers", RAFT_SERVERS_MAX));
    if (p == NULL) {
        rc = peer_new(n, id, &p);
        if (rc != 0)
            return err_trace(rc);
    } else {
        p->stranger = false;
        n->n_strangers--;
    }
    n->n_members++;
    *ret_peer = p;
    return 0;
}

int peer_net_add(struct peer_net *n, raft_node_id id, const char *addr)
{
    struct peer *p = peer_net_find(n, id);
    bool numeric;
    int rc;

    rc = net_addr_check(addr, &numeric);
    if (rc != 0)
        return err_trace(rc);
    if (p != NULL && !p->stranger && strcmp(p->address, addr) == 0)
        return 0;
    if (p == NULL || p->stranger) {
        rc = member_new(n, id, &p);
        if (rc != 0)
            return err_trace(rc);
        rid_assert(p != NULL);
    }
    (void)snprintf(p->address, sizeof(p->address), "%s", addr);
    lookup_drop(take_ptr(p->lookup)); /* of another name */
    peer_look_end(p);                 /* as is what is refused there (FAILOVER-1) */
    p->waits_for_name = false;
    p->numeric = numeric;
    p->n_addrs = 0;
    p->resolve_after_us = 0;
    peer_dial_begin_anew(p);
    peer_dial_now(p);
    return 0;
}

void peer_net_remove(struct peer_net *n, raft_node_id id)
{
    struct peer *p = peer_net_find(n, id);

    if (p == NULL)
        return;
    peer_net_enter(n);
    retire(p);
    peer_link_close(&p->next);
    if (!peer_link_empty(&p->up))
        link_down(p, "it is no peer any more");
    peer_net_leave(n);
}

void peer_net_set_key(struct peer_net *n, const unsigned char key[16])
{
    n->has_key = key != NULL;
    if (key != NULL)
        memcpy(n->key, key, sizeof(n->key));
}

struct buf *peer_net_out(struct peer_net *n, raft_node_id peer, enum wire_channel channel)
{
    struct peer *p = peer_net_find(n, peer);
    unsigned i;
    size_t waiting;

    rid_assert(channel == WIRE_CHANNEL_CONTROL || channel == WIRE_CHANNEL_LOG);
    if (p == NULL || peer_link_empty(&p->up))
        return NULL;
    i = (unsigned)channel - 1;
    waiting = p->out[i].len + peer_conn_out_bytes(p->up.conns[i]);
    if (p->dropping[i] && waiting <= PEER_OUT_BYTES_MAX / 2)
        p->dropping[i] = false;
    if (!p->dropping[i] && waiting >= PEER_OUT_BYTES_MAX) {
        p->dropping[i] = true;
        p->drop_untold = true;
    }
    return p->dropping[i] ? NULL : &p->out[i];
}

static void flush_peer(struct peer *p)
{
    for (unsigned i = 0; i < PEER_CHANNELS && !peer_link_empty(&p->up); i++)
        if (p->out[i].len > 0 && peer_conn_send(p->up.conns[i], &p->out[i]) != 0)
            link_down(p, "out of memory");
    if (p->drop_untold && !peer_link_empty(&p->up)) {
        p->drop_untold = false;
        peer_net_tell(p->net, PEER_EVENT_DROPPED, p, p->up.conns[0]->address,
                      "output is full, frames are dropped until it drains");
    }
}

void peer_net_flush(struct peer_net *n)
{
    peer_net_enter(n);
    list_for_each(it, &n->peers) flush_peer(list_entry(it, struct peer, node));
    peer_net_go_on(n);
    peer_net_leave(n);
}

void peer_net_go_on(struct peer_net *n)
{
    if (!n->some_rest || n->freed)
        return;
    n->some_rest = false;
    look_at_each(n, peer_conn_go_on);
}

int peer_net_set_tls(struct peer_net *n, struct tls_ctx *tls)
{
    int rc = peer_tls_change(n, tls);

    if (rc == 0)
        look_at_each(n, peer_tls_judge);
    return err_trace(rc);
}

void peer_net_set_lowest(struct peer_net *n, unsigned version)
{
    rid_assert(version >= WIRE_VERSION_LOWEST && version <= WIRE_VERSION_HIGHEST);
    n->version_lowest = version;
}

bool peer_net_set_about(struct peer_net *n, const struct wire_about *about)
{
    const struct wire_about *old = &n->conf.about;
    const bool same =
        strcmp(old->cluster_name, about->cluster_name) == 0 &&
        old->n_settings == about->n_settings &&
        memcmp(old->settings, about->settings, about->n_settings * sizeof(about->settings[0])) == 0;

    n->conf.about = *about;
    return !same;
}

bool peer_net_is_up(const struct peer_net *n, raft_node_id peer)
{
    const struct peer *p = peer_net_find(n, peer);

    return p != NULL && !peer_link_empty(&p->up);
}

void peer_net_close(struct peer_net *n, raft_node_id peer, const char *why)
{
    struct peer *p = peer_net_find(n, peer);

    if (p == NULL)
        return;
    peer_net_enter(n);
    if (!peer_link_empty(&p->next)) {
        peer_link_close(&p->next);
        peer_dial_later(p);
    }
    if (!peer_link_empty(&p->up))
        link_down(p, why);
    else
        maybe_forget(p);
    peer_net_leave(n);
}

unsigned peer_net_number(const struct peer_net *n)
{
    return net_listener_port(n->listener);
}
