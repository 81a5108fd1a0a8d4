/* The network between nodes: real frames, as bytes.
 *
 * Half of the seeds have datagrams: each frame may be lost, come twice, late, much later, in any
 * order. The others have connections: two per pair and direction, in order; a break loses an
 * unknown suffix, the ends notice at their own times, and what was on the way may still come when
 * the next connection is up already. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"
#include "sim/sim.h"
#include "wire/frame.h"

#include "base/banned.h"

struct packet {
    unsigned refs;
    unsigned from;
    unsigned to;
    raft_node_id from_id; /* of then */
    raft_node_id to_id;
    uint64_t sent_at;
    size_t len;
    unsigned char data[];
};

struct sim_pipe {
    struct sim_pipe *next;
    unsigned from;
    unsigned to;
    unsigned end; /* of the link: which one sends */
    uint32_t generation;
    uint32_t to_boot;
    raft_node_id from_id;
    bool dead;      /* broken: nothing is added any more */
    bool scheduled; /* an EV_PIPE is on its way */
    bool flipped;   /* a bit of it, some time */
    struct buf bytes;
    size_t head;
    size_t late; /* those from here on leave at late_at: their sender works until then */
    uint64_t late_at;
    struct buf received;
};

static unsigned link_entity(const struct sim *s, unsigned from, unsigned to)
{
    return from * s->p.n_nodes + to;
}

static uint64_t delay(struct sim *s, unsigned from, unsigned to)
{
    unsigned e = link_entity(s, from, to);
    uint64_t d = s->p.delay_min_ns + sim_below(s, STREAM_DELAY, e, s->p.delay_spread_ns);

    if (sim_below(s, STREAM_DELAY, e, 1000000) < s->p.delay_tail_ppm)
        d *= 1 + sim_below(s, STREAM_DELAY, e, 50);
    d += s->nodes[from].cpu_ns; /* it leaves when the sender has got so far */
    if (s->net.clogged_until[from][to] > s->now + d)
        d = s->net.clogged_until[from][to] - s->now + sim_below(s, STREAM_DELAY, e, SIM_MS);
    return d;
}

/* ---- arrival ---- */

/* 0 when the frame was good; otherwise the link is to be closed. */
static int deliver(struct sim *s, unsigned from, unsigned to, const struct wire_frame *frame)
{
    struct sim_node *n = &s->nodes[to];
    struct raft_msg m;
    int r;

    arena_reset(&s->net.arena);
    r = wire_msg_decode(frame, s->nodes[from].id, n->id, &s->net.arena, &m);
    if (r != 0)
        sim_fail(s, "wire", "n%u cannot decode a frame of n%u: %s", to + 1, from + 1,
                 wire_frame_error_text(r));
    trace_note(s, (uint64_t)m.type << 32 | from << 16 | to, m.term,
               m.index + m.prev.index + m.round);
    TRACE(s,
          "n%u > n%u %s term %" PRIu64 " prev %" PRIu64 ".%" PRIu64 " n %u index %" PRIu64
          " commit %" PRIu64 " round %" PRIu64 "%s%s",
          from + 1, to + 1, raft_msg_type_name(m.type), m.term, m.prev.index, m.prev.term,
          m.n_entries, m.index, m.leader_commit, m.round, m.reject ? " reject" : "",
          m.transfer ? " transfer" : "");
    clock_work(n, clock_step_ns(s, s->p.cpu_msg_ns, frame->total_len));
    manners_before(n, &m);
    leases_hears(n, &m, n->manners.role);
    r = replica_step(n->replica, &m, clock_local_us(n));
    if (r != 0 && n->manners.orphan) { /* as a node does with whom it does not understand */
        MARK(s, answered_forged);
        net_break(s, from, to);
        return 0;
    }
    manners_after(n, &m);
    if (r != 0)
        sim_fail(s, "CORE-3", "n%u refuses a %s of n%u, which is a correct peer", to + 1,
                 raft_msg_type_name(m.type), from + 1);
    node_input(n);
    return 0;
}

/* As it would come through the peer gate from who knows the incarnation of a member: decoded, and in
 * that member's name. */
void net_forge(struct sim *s, const struct raft_msg *m)
{
    const struct sim_node *from = node_of_id(s, m->from);
    const struct sim_node *to = node_of_id(s, m->to);
    struct wire_frame frame;

    s->net.out.len = 0;
    if (wire_msg_encode(m, &s->net.out) != 0 ||
        wire_frame_cut(s->net.out.data, s->net.out.len, &frame, NULL) != 0)
        sim_fail(s, "wire", "a forged message cannot be encoded");
    (void)deliver(s, from->i, to->i, &frame);
}

static void packet_unref(struct packet *p)
{
    if (--p->refs == 0)
        free(p);
}

static bool flip(struct sim *s, unsigned entity, unsigned char *data, size_t len)
{
    if (!sim_chance(s, STREAM_FLIP, entity, s->p.flip_ppm))
        return false;
    data[sim_below(s, STREAM_FLIP, entity, len)] ^=
        (unsigned char)(1u << sim_below(s, STREAM_FLIP, entity, 8));
    MARK(s, msg_flipped);
    return true;
}

void net_datagram(struct sim *s, const struct sim_event *e)
{
    struct packet *p = e->p;
    struct sim_node *n = &s->nodes[p->to];
    struct wire_frame frame;
    bool flipped;
    int r;

    if (n->life != NODE_UP || n->id != p->to_id || s->nodes[p->from].id != p->from_id ||
        (s->net.cut[p->from][p->to] && e->arg == 0)) {
        MARK(s, msg_cut);
        packet_unref(p);
        return;
    }
    if (p->sent_at < s->net.newest[p->from][p->to])
        MARK(s, msg_reordered);
    else
        s->net.newest[p->from][p->to] = p->sent_at;
    /* A bit flips in this copy only: the others get their own. */
    flipped = p->refs == 1 && flip(s, link_entity(s, p->from, p->to), p->data, p->len);
    r = wire_frame_cut(p->data, p->len, &frame, NULL);
    if (r == 0 && flipped)
        sim_fail(s, "wire", "a flipped bit went unseen");
    if (r == 0)
        (void)deliver(s, p->from, p->to, &frame);
    else if (!flipped)
        sim_fail(s, "wire", "a good frame is refused: %s", wire_frame_error_text(r));
    packet_unref(p);
}

static void pipe_schedule(struct sim *s, struct sim_pipe *p, uint64_t wait)
{
    if (p->scheduled || p->head == p->bytes.len)
        return;
    p->scheduled = true;
    sim_push_any(s, s->now + wait, EV_PIPE, p->to, 0, p);
}

static void pipe_free(struct sim *s, struct sim_pipe *p)
{
    struct sim_pipe **at = &s->net.pipes;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    buf_done(&p->bytes);
    buf_done(&p->received);
    free(p);
}

static void pipe_feed(struct sim *s, struct sim_pipe *p, size_t n)
{
    struct sim_node *to = &s->nodes[p->to];
    unsigned entity = link_entity(s, p->from, p->to);
    size_t done = 0;

    if (flip(s, entity, p->bytes.data + p->head, n))
        p->flipped = true;
    (void)buf_add(&p->received, p->bytes.data + p->head, n);
    p->head += n;
    if (p->head == p->bytes.len) {
        p->bytes.len = 0;
        p->late = 0;
        p->head = 0;
    }
    while (done < p->received.len) {
        struct wire_frame frame;
        int r = wire_frame_cut(p->received.data + done, p->received.len - done, &frame, NULL);

        if (r == WIRE_FRAME_E_SHORT)
            break;
        if (r != 0) {
            if (!p->flipped)
                sim_fail(s, "wire", "a good stream is refused: %s", wire_frame_error_text(r));
            done = p->received.len;
            p->bytes.len = 0;
            p->late = 0;
            p->head = 0;
            net_break(s, p->from, p->to);
            break;
        }
        (void)deliver(s, p->from, p->to, &frame);
        done += frame.total_len;
        if (to->life != NODE_UP)
            break;
    }
    buf_consume(&p->received, done);
}

/* Of what is under way, as much as its sender has got to. */
static size_t n_left(const struct sim_pipe *p, uint64_t now)
{
    size_t end = now < p->late_at && p->late < p->bytes.len ? p->late : p->bytes.len;

    return end > p->head ? end - p->head : 0;
}

void net_pipe(struct sim *s, const struct sim_event *e)
{
    struct sim_pipe *p = e->p;
    struct sim_node *to = &s->nodes[p->to];
    unsigned entity = link_entity(s, p->from, p->to);
    size_t n = n_left(p, s->now);

    p->scheduled = false;
    if (to->life != NODE_UP || to->boot != p->to_boot || s->nodes[p->from].id != p->from_id) {
        p->head = p->bytes.len; /* nobody there any more */
    } else if (s->net.cut[p->from][p->to]) {
        MARK(s, msg_cut);
        pipe_schedule(s, p, 5 * SIM_MS + sim_below(s, STREAM_CONN, entity, 20 * SIM_MS));
    } else if (n > 0) {
        if (s->p.chunked && sim_below(s, STREAM_CONN, entity, 3) == 0) {
            n = 1 + (size_t)sim_below(s, STREAM_CONN, entity, n);
            MARK(s, link_chunked);
        }
        if (p->dead &&
            s->net.links[p->from < p->to ? p->from : p->to][p->from < p->to ? p->to : p->from]
                    .generation != p->generation)
            MARK(s, link_old_after_new);
        pipe_feed(s, p, n);
        pipe_schedule(s, p, delay(s, p->from, p->to));
    } else if (p->bytes.len > p->head) {
        pipe_schedule(s, p, p->late_at - s->now);
    }
    if (p->dead && !p->scheduled)
        pipe_free(s, p);
}

/* ---- departure ---- */

static void send_datagram(struct sim *s, unsigned from, unsigned to, const struct buf *frame)
{
    unsigned e = link_entity(s, from, to);
    struct packet *p;
    unsigned copies = 1;

    if (s->net.cut[from][to]) {
        MARK(s, msg_cut);
        return;
    }
    if (sim_chance(s, STREAM_LOSS, e, s->p.loss_ppm + s->net.loss_ppm[from][to])) {
        MARK(s, msg_lost);
        copies = 0;
    }
    if (sim_chance(s, STREAM_DUP, e, s->healing ? 0 : s->p.dup_ppm)) {
        MARK(s, msg_duplicated);
        copies++;
    }
    p = sim_alloc(sizeof(*p) + frame->len);
    *p = (struct packet){.refs = copies + 1,
                         .from = from,
                         .to = to,
                         .from_id = s->nodes[from].id,
                         .to_id = s->nodes[to].id,
                         .sent_at = s->now,
                         .len = frame->len};
    memcpy(p->data, frame->data, frame->len);
    for (unsigned i = 0; i < copies; i++)
        sim_push_any(s, s->now + delay(s, from, to), EV_DATAGRAM, to, 0, p);
    if (sim_chance(s, STREAM_REPLAY, e, s->healing ? 0 : s->p.replay_ppm)) {
        uint64_t late =
            sim_below(s, STREAM_REPLAY, e, 30) == 0 ? 60000 * SIM_MS : s->p.length_ns / 3;

        MARK(s, msg_replayed);
        p->refs++;
        /* arg 1: comes even through a cut. */
        sim_push_any(s, s->now + sim_below(s, STREAM_REPLAY, e, late), EV_DATAGRAM, to, 1, p);
    }
    packet_unref(p);
}

static struct sim_link *link_of(struct sim *s, unsigned a, unsigned b)
{
    return a < b ? &s->net.links[a][b] : &s->net.links[b][a];
}

static void leaves_at(struct sim_pipe *p, uint64_t now, uint64_t cpu_ns)
{
    if (now >= p->late_at)
        p->late = p->bytes.len;
    if (now + cpu_ns > p->late_at)
        p->late_at = now + cpu_ns;
}

static void send_connection(struct sim *s, unsigned from, unsigned to, enum wire_channel channel,
                            const struct buf *frame)
{
    struct sim_link *l = link_of(s, from, to);
    unsigned end = from < to ? 0 : 1;
    struct sim_pipe *p = l->pipes[end][channel == WIRE_CHANNEL_LOG];
    unsigned e = link_entity(s, from, to);

    if (!l->end_up[end])
        return;
    if (p == NULL || p->dead) {
        MARK(s, link_half_open);
        return;
    }
    if (p->bytes.len - p->head > s->p.pipe_bytes_max) {
        MARK(s, pipe_full);
        return;
    }
    if (clocks_are_kept(s)) /* whose times are looked at closely */
        leaves_at(p, s->now, s->nodes[from].cpu_ns);
    (void)buf_add(&p->bytes, frame->data, frame->len);
    pipe_schedule(s, p, delay(s, from, to));
    if (sim_chance(s, STREAM_LOSS, e, s->p.break_ppm + s->net.loss_ppm[from][to] / 16) &&
        !s->healing)
        net_break(s, from, to);
}

void net_send(struct sim_node *from, const struct raft_msg *m)
{
    struct sim *s = from->sim;
    const struct sim_node *to = node_of_id(s, m->to);

    if (to == NULL && members_are_on(s))
        return; /* its disk was lost */
    if (to == NULL)
        sim_fail(s, "COMMIT-8", "n%u sends to nobody", from->i + 1);
    s->net.out.len = 0;
    if (wire_msg_encode(m, &s->net.out) != 0)
        sim_fail(s, "wire", "n%u cannot encode", from->i + 1);
    if (s->net.connections)
        send_connection(s, from->i, to->i, wire_msg_channel(m->type), &s->net.out);
    else
        send_datagram(s, from->i, to->i, &s->net.out);
}

/* ---- connections ---- */

static bool reachable(const struct sim *s, unsigned a, unsigned b)
{
    return s->nodes[a].life == NODE_UP && s->nodes[b].life == NODE_UP && !s->net.cut[a][b] &&
           !s->net.cut[b][a];
}

static void tell_end(struct sim *s, unsigned self, unsigned peer, bool up)
{
    struct sim_node *n = &s->nodes[self];
    struct sim_link *l = link_of(s, self, peer);
    unsigned end = self < peer ? 0 : 1;
    const raft_node_id follows = gone_follows(n);

    l->end_up[end] = up;
    TRACE(s, "n%u sees the link to n%u %s", self + 1, peer + 1, up ? "up" : "down");
    engine_link(n->engine, s->nodes[peer].id, up, clock_local_us(n));
    if (!up)
        gone_link_down(n, follows);
    manners_link(n, peer, up);
    node_input(n);
}

static void dial_later(struct sim *s, unsigned a, unsigned b)
{
    struct sim_link *l = link_of(s, a, b);
    unsigned e = link_entity(s, a < b ? a : b, a < b ? b : a);

    if (l->dialing)
        return;
    l->dialing = true;
    sim_push(s, s->now + SIM_MS + sim_below(s, STREAM_CONN, e, s->p.election_us * 400),
             EV_LINK_DIAL, NULL, (uint16_t)((a < b ? a : b) << 8 | (a < b ? b : a)), NULL);
}

static void pipe_new(struct sim *s, struct sim_link *l, unsigned from, unsigned to,
                     unsigned channel)
{
    struct sim_pipe *p = sim_alloc(sizeof(*p));

    *p = (struct sim_pipe){.next = s->net.pipes,
                           .from = from,
                           .to = to,
                           .end = from < to ? 0 : 1,
                           .generation = l->generation,
                           .to_boot = s->nodes[to].boot,
                           .from_id = s->nodes[from].id};
    s->net.pipes = p;
    l->pipes[p->end][channel] = p;
}

/* A break: what was on the way is lost from some byte on, in each direction; the ends notice when
 * they do. */
void net_break(struct sim *s, unsigned a, unsigned b)
{
    unsigned low = a < b ? a : b;
    unsigned high = a < b ? b : a;
    struct sim_link *l = &s->net.links[low][high];
    unsigned e = link_entity(s, low, high);

    if (!s->net.connections || !l->up)
        return;
    MARK(s, link_broken);
    TRACE(s, "the link n%u - n%u breaks", low + 1, high + 1);
    l->up = false;
    for (unsigned end = 0; end < 2; end++) {
        for (unsigned channel = 0; channel < 2; channel++) {
            struct sim_pipe *p = l->pipes[end][channel];
            size_t left = p->bytes.len - p->head;
            size_t keep = (size_t)sim_below(s, STREAM_CONN, e, left + 1);

            if (!s->p.old_after_new || sim_below(s, STREAM_CONN, e, 2) == 0)
                keep = 0;
            if (keep < left)
                MARK(s, link_bytes_lost);
            p->bytes.len = p->head + keep;
            p->dead = true;
            l->pipes[end][channel] = NULL;
            if (!p->scheduled && keep > 0)
                pipe_schedule(s, p, sim_below(s, STREAM_CONN, e, s->p.election_us * 1000));
            if (!p->scheduled) { /* empty: only to be freed */
                p->scheduled = true;
                sim_push_any(s, s->now + 1, EV_PIPE, p->to, 0, p);
            }
        }
    }
    for (unsigned end = 0; end < 2; end++)
        if (l->end_up[end])
            sim_push(s, s->now + sim_below(s, STREAM_CONN, e, s->p.election_us * 500), EV_LINK_DOWN,
                     &s->nodes[end == 0 ? low : high], (uint16_t)(end == 0 ? high : low), NULL);
    dial_later(s, low, high);
}

static void link_dial(struct sim *s, unsigned low, unsigned high)
{
    struct sim_link *l = &s->net.links[low][high];
    unsigned e = link_entity(s, low, high);

    l->dialing = false;
    if (l->up)
        return;
    if (!reachable(s, low, high)) {
        dial_later(s, low, high);
        return;
    }
    l->up = true;
    l->generation++;
    for (unsigned channel = 0; channel < 2; channel++) {
        pipe_new(s, l, low, high, channel);
        pipe_new(s, l, high, low, channel);
    }
    for (unsigned end = 0; end < 2; end++)
        sim_push(s, s->now + sim_below(s, STREAM_CONN, e, s->p.delay_spread_ns + 1), EV_LINK_UP,
                 &s->nodes[end == 0 ? low : high], (uint16_t)(end == 0 ? high : low), NULL);
}

void net_link_event(struct sim *s, const struct sim_event *e)
{
    if (e->kind == EV_LINK_DIAL) {
        link_dial(s, e->arg >> 8, e->arg & 255);
    } else {
        unsigned end = e->node < e->arg ? 0 : 1;
        const struct sim_link *l = link_of(s, e->node, e->arg);

        if (e->kind == EV_LINK_DOWN) {
            /* Late news of the connection before the present one. */
            if (!l->end_up[end] || (l->up && s->now % 2 == 0))
                return;
            tell_end(s, e->node, e->arg, false);
            if (l->up)
                tell_end(s, e->node, e->arg, true);
        } else if (l->up) {
            if (l->end_up[end])
                tell_end(s, e->node, e->arg, false);
            tell_end(s, e->node, e->arg, true);
        }
    }
}

/* A flipped length word keeps a reader waiting for a frame that never ends: such a connection is made anew. */
void net_heal(struct sim *s)
{
    bool found = true;

    while (found) {
        found = false;
        for (struct sim_pipe *p = s->net.pipes; p != NULL && !found; p = p->next) {
            found = p->flipped && !p->dead;
            if (found)
                net_break(s, p->from, p->to);
        }
    }
}

void net_node_up(struct sim_node *n)
{
    struct sim *s = n->sim;

    for (unsigned i = 0; i < s->p.n_nodes && s->net.connections; i++) {
        if (i == n->i)
            continue;
        tell_end(s, n->i, i, false);
        dial_later(s, n->i, i);
    }
}

void net_node_down(struct sim_node *n)
{
    struct sim *s = n->sim;

    for (unsigned i = 0; i < s->p.n_nodes && s->net.connections; i++) {
        if (i == n->i)
            continue;
        net_break(s, n->i, i);
        link_of(s, n->i, i)->end_up[n->i < i ? 0 : 1] = false;
    }
}

bool net_is_up(const struct sim_node *n, raft_node_id peer)
{
    struct sim *s = n->sim;
    const struct sim_node *to = node_of_id(s, peer);

    if (!s->net.connections || to == NULL || to == n)
        return true;
    return link_of(s, n->i, to->i)->end_up[n->i < to->i ? 0 : 1];
}

/* ---- life ---- */

void net_init(struct sim *s)
{
    arena_init(&s->net.arena, mem_libc);
}

void net_event_free(const struct sim_event *e)
{
    if (e->kind == EV_DATAGRAM)
        packet_unref(e->p);
}

void net_done(struct sim *s)
{
    while (s->net.pipes != NULL)
        pipe_free(s, s->net.pipes);
    buf_done(&s->net.out);
    arena_done(&s->net.arena);
}

/* CORE-4: no more on the way than a sender may keep. */
void net_check(struct sim *s)
{
    for (const struct sim_pipe *p = s->net.pipes; p != NULL; p = p->next)
        if (p->bytes.len - p->head > s->p.pipe_bytes_max + FRAME_BYTES_MAX)
            sim_fail(s, "CORE-4", "%zu bytes wait for n%u", p->bytes.len - p->head, p->to + 1);
}
