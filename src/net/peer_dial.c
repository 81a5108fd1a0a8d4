/* Whom we call, where, and when again.
 *
 * Both of a pair may dial, since one of them may not know the other (PEER-10). The lower id dials
 * at once; the other one waits, which nearly always is all. Where both dial all the same, the link
 * that the lower one dialled counts:
 *
 *   - the lower one refuses the other's hello once its own has left, and when its own link has just
 *     come up; before that it gives up its own;
 *   - the other one gives up its own when the lower one has shaken hands.
 *
 * So of two links that are being made one ends before either side has believed it, and one that is
 * up goes only for a link that its other side has dialled after it lost the old one. */
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/peer_int.h"

#include "base/banned.h"

bool peer_dials_first(const struct peer *p)
{
    return p->net->conf.self < p->id;
}

static bool may_dial(const struct peer *p)
{
    return !p->stranger && !p->gone;
}

void peer_dial_begin_anew(struct peer *p)
{
    p->backoff_us = peer_dials_first(p) ? PEER_BACKOFF_US_MIN : p->net->conf.second_us;
}

static uint64_t backoff_us_max(const struct peer *p)
{
    if (peer_dials_first(p))
        return PEER_BACKOFF_US_MAX;
    return p->net->conf.second_us > PEER_SECOND_US_MAX ? p->net->conf.second_us
                                                       : PEER_SECOND_US_MAX;
}

void peer_dial_later(struct peer *p)
{
    struct timeval delay;
    uint64_t us = p->backoff_us / 2;

    if (!may_dial(p))
        return;
    us += prng_below(&p->net->prng, us + 1);
    delay = net_timeval(us);
    p->backoff_us = p->backoff_us * 2 < backoff_us_max(p) ? p->backoff_us * 2 : backoff_us_max(p);
    (void)evtimer_add(p->ev_dial, &delay);
}

void peer_dial_now(struct peer *p)
{
    static const struct timeval at_once = {0, 0};

    if (!may_dial(p) || !peer_link_empty(&p->up) || !peer_link_empty(&p->next))
        return;
    if (peer_dials_first(p))
        (void)evtimer_add(p->ev_dial, &at_once);
    else
        peer_dial_later(p);
}

/* ---- when both dial ---- */

/* Our hello has left on one of them: the other side may have it. */
static bool said_hello(const struct peer_link *link)
{
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        if (link->dialled && link->conns[i] != NULL &&
            link->conns[i]->state != PEER_CONN_CONNECTING &&
            link->conns[i]->state != PEER_CONN_SHAKING)
            return true;
    return false;
}

bool peer_dial_has_come_first(const struct peer *p)
{
    return peer_dials_first(p) && !peer_link_empty(&p->up) && p->up.dialled &&
           clock_mono_us() - p->up_since_us < PEER_CROSSED_US;
}

bool peer_dial_is_under_way(const struct peer *p)
{
    return peer_dials_first(p) && (said_hello(&p->next) || peer_dial_has_come_first(p));
}

void peer_dial_put_off(struct peer *p)
{
    peer_link_close(&p->next);
    peer_dial_begin_anew(p);
    peer_dial_later(p);
}

/* Somebody says that he is p, was answered, and is about to prove it. */
static bool is_calling(const struct peer *p)
{
    list_for_each(it, &p->net->conns)
    {
        const struct peer_conn *c = list_entry_const(it, struct peer_conn, node);

        if (c->state == PEER_CONN_PROOF_AWAITED && c->caller.from == p->id)
            return true;
    }
    return false;
}

bool peer_dial_yields(struct peer *p)
{
    if (said_hello(&p->next))
        return false;
    if (!is_calling(p) || p->n_yields == PEER_YIELDS_MAX) {
        p->n_yields = 0;
        return false;
    }
    p->n_yields++;
    peer_dial_put_off(p);
    return true;
}

/* ---- calling ---- */

/* A dialled link came to nothing. Told once per outage, a refusal once per reason. */
void peer_dial_failed(struct peer *p, enum peer_event event, const char *why)
{
    bool told;

    peer_dial_later(p);
    if (event == PEER_EVENT_REFUSED) {
        told = strcmp(p->refusal_told, why) == 0;
        (void)snprintf(p->refusal_told, sizeof(p->refusal_told), "%s", why);
    } else {
        told = p->failure_told;
        p->failure_told = true;
    }
    if (!told)
        peer_net_tell(p->net, event, p, p->address, why);
}

/* Takes the answer that is there. What was known before is better than nothing. */
static int take_answer(struct peer *p)
{
    struct net_addr addrs[NET_ADDRS_MAX];
    unsigned n_addrs = 0;
    int rc = net_addr_take(p->address, take_ptr(p->lookup), addrs, &n_addrs);

    p->resolve_after_us = clock_mono_us() + PEER_RESOLVE_US;
    if (rc == 0) {
        memcpy(p->addrs, addrs, sizeof(addrs[0]) * n_addrs);
        p->n_addrs = n_addrs;
    }
    return p->n_addrs > 0 ? 0 : err_trace(rc);
}

/* Addresses to dial, as far as they are known without waiting. -EINPROGRESS: the name is being
 * asked for; on_names() goes on, or the timer gives up. One question at a time for each peer: a
 * name server that is silent delays the peer that is named there, and nobody else (LOOP-2). */
static int resolve(struct peer *p)
{
    const bool stale = p->n_addrs == 0 || !p->numeric;
    int rc;

    if (!stale || (p->lookup == NULL && clock_mono_us() < p->resolve_after_us))
        return p->n_addrs > 0 ? 0 : err_origin(err_say(-EAGAIN, "cannot resolve '%s'", p->address));
    if (p->numeric)
        return err_trace(net_addr_resolve(p->address, false, p->addrs, &p->n_addrs));
    if (p->lookup != NULL && lookup_is_done(p->lookup))
        return err_trace(take_answer(p));
    if (p->lookup == NULL) {
        rc = net_addr_ask(p->address, p->net->names_fd, &p->lookup);
        if (rc != 0)
            return p->n_addrs > 0 ? 0 : err_trace(rc);
    }
    return p->n_addrs > 0 ? 0 : -EINPROGRESS;
}

void peer_dial_learn(struct peer *p)
{
    if (may_dial(p) && p->n_addrs == 0)
        (void)resolve(p);
}

static int dial(struct peer *p)
{
    const struct net_addr *addr;
    int rc;

    rc = resolve(p);
    if (rc != 0)
        return err_trace(rc);
    rid_assert(may_dial(p));
    rid_assert(peer_link_empty(&p->next));
    rid_assert(p->n_addrs > 0);
    addr = &p->addrs[p->n_dials++ % p->n_addrs];
    p->next.nonce = prng_next(&p->net->prng);
    p->next.dialled = true;
    for (unsigned i = 0; i < PEER_CHANNELS; i++) {
        rc = peer_conn_dial(p, (enum wire_channel)(i + 1), p->next.nonce, addr, &p->next.conns[i]);
        if (rc != 0)
            return err_trace(rc);
    }
    return 0;
}

static void try_dial(struct peer *p)
{
    const bool was_waiting = p->waits_for_name;
    struct timeval patience = net_timeval(PEER_LOOKUP_US);
    int rc = dial(p);

    p->waits_for_name = rc == -EINPROGRESS;
    if (rc == -EINPROGRESS && !was_waiting) {
        (void)evtimer_add(p->ev_dial, &patience);
        return;
    }
    if (rc == -EINPROGRESS) {
        (void)err_say(rc, "cannot resolve '%s': no answer from the name server", p->address);
        p->waits_for_name = true; /* for as long as it takes, and told once */
    }
    if (rc != 0) {
        peer_link_close(&p->next);
        peer_dial_failed(p, PEER_EVENT_FAILED, err_text());
    } else if (was_waiting) {
        (void)event_del(p->ev_dial);
    }
}

void peer_on_dial(evutil_socket_t unused, short what, void *ctx)
{
    struct peer *p = ctx;
    struct peer_net *n = p->net;

    (void)unused;
    (void)what;
    if (!may_dial(p) || !peer_link_empty(&p->up) || !peer_link_empty(&p->next))
        return;
    peer_net_enter(n);
    try_dial(p);
    peer_net_leave(n);
}

void peer_on_names(evutil_socket_t fd, short what, void *ctx)
{
    struct peer_net *n = ctx;
    uint64_t count;

    (void)what;
    (void)!read(fd, &count, sizeof(count));
    peer_net_enter(n);
    list_for_each(it, &n->peers)
    {
        struct peer *p = list_entry(it, struct peer, node);

        if (n->freed || p->gone || p->lookup == NULL || !lookup_is_done(p->lookup))
            continue;
        if (p->waits_for_name && peer_link_empty(&p->up) && peer_link_empty(&p->next))
            try_dial(p); /* takes the answer */
        else
            (void)take_answer(p);
    }
    peer_net_leave(n);
}
