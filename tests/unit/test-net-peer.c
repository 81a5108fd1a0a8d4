/* net: peer links on real sockets: handshakes, pairing, frames in any cut, replacement, dropping,
 * probes. */
#include "test-net-util.h"

#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/lookup.h"
#include "net/peer_net.h"
#include "unit/fake-names.h"

/* The lower number dials. */
#define LOW  ((raft_node_id)10)
#define HIGH ((raft_node_id)20)

enum inside { INSIDE_NOTHING, INSIDE_HELLO, INSIDE_FILL, INSIDE_FRAME, INSIDE_EVENT };

struct side {
    struct peer_net *net;
    raft_node_id self;
    raft_node_id other;
    unsigned n[PEER_EVENTS];
    char text[PEER_EVENTS][256];
    raft_node_id refused_peer;
    char history[256]; /* a letter per event */
    unsigned n_hellos;
    unsigned n_strange; /* of them */
    unsigned n_unproved;
    unsigned n_without_id;
    unsigned n_unmet;
    uint64_t knows;       /* what it says that it knows of others; 0: 77 */
    uint64_t incarnation; /* of the last one, and what it knows of us */
    uint64_t known;
    raft_index removed_index;
    bool others; /* there are more than two nodes */
    enum wire_refusal verdict;
    struct buf frames; /* payloads, in order */
    unsigned n_frames;
    size_t frame_bytes_max;
    int frame_result;
    enum inside inside;
    enum peer_event inside_event;
    bool inside_closes; /* peer_net_close(), not _free() */
    bool inside_removes;
    bool is_spent; /* the time of each turn for peers is over at once */
};

struct pair {
    struct pump pump;
    struct side low;
    struct side high;
};

/* A probe blocks, thus a thread; static, since the thread may outlive a case that failed. */
struct probe {
    pthread_t thread;
    bool running;
    char addr[64];
    struct wire_hello hello;
    unsigned timeout_ms;
    struct tls_ctx *tls;
    int result;
    char text[256];
    struct wire_hello reply;
    _Atomic bool done;
};

static struct probe the_probe;

static const unsigned char cluster[16] = "cluster-of-tests";

static void *probe_thread(void *ctx)
{
    struct probe *p = ctx;

    const struct peer_whom whom = {.addr = p->addr, .tls = p->tls};

    p->result = peer_probe(&whom, &p->hello, p->timeout_ms, &p->reply);
    (void)snprintf(p->text, sizeof(p->text), "%s", err_text());
    p->done = true;
    return NULL;
}

static void probe_begin(struct probe *p)
{
    p->done = false;
    p->timeout_ms = WAIT_US / 1000;
    test_time.runs = true;
    assert_int_equal(pthread_create(&p->thread, NULL, probe_thread, p), 0);
    p->running = true;
}

static void probe_end(void)
{
    if (the_probe.running)
        (void)pthread_join(the_probe.thread, NULL);
    the_probe.running = false;
}

static void maybe_act(struct side *s, enum inside where)
{
    struct peer_net *net = s->net;

    if (s->inside != where)
        return;
    s->inside = INSIDE_NOTHING;
    if (s->inside_removes) {
        peer_net_remove(net, s->other);
        peer_net_remove(net, s->other);
    } else if (s->inside_closes) {
        peer_net_close(net, s->other, "closed inside");
        peer_net_close(net, s->other, "twice");
    } else {
        s->net = NULL;
        peer_net_free(net);
        peer_net_free(net);
    }
}

static enum wire_refusal on_hello(void *ctx, const struct wire_hello *h, struct peer_asked *asked)
{
    struct side *s = ctx;

    assert_true(h->from == s->other || asked->stranger || s->others);
    s->n_hellos++;
    s->n_strange += asked->stranger;
    s->n_unproved += asked->proof_follows;
    s->n_without_id += asked->without_id;
    s->n_unmet += asked->unmet;
    s->incarnation = h->incarnation;
    s->known = h->known_incarnation;
    asked->removed_index = s->removed_index;
    maybe_act(s, INSIDE_HELLO);
    return s->verdict;
}

static void fill_hello(void *ctx, raft_node_id to, struct wire_hello *h)
{
    struct side *s = ctx;

    assert_true(to == s->other || s->others);
    h->last_index = 1000 + s->self;
    h->known_incarnation = s->knows != 0 ? s->knows : 77;
    maybe_act(s, INSIDE_FILL);
}

static int on_frame(void *ctx, raft_node_id from, const struct wire_frame *frame)
{
    struct side *s = ctx;

    assert_true(from == s->other || s->others);
    s->n_frames++;
    if (frame->total_len > s->frame_bytes_max)
        s->frame_bytes_max = frame->total_len;
    assert_int_equal(buf_add(&s->frames, frame->payload, frame->payload_len), 0);
    maybe_act(s, INSIDE_FRAME);
    return s->frame_result != 0 ? err_say(s->frame_result, "made up") : 0;
}

static void on_event(void *ctx, enum peer_event event, raft_node_id peer, const char *address,
                     const char *text)
{
    static const char letters[] = "UDRFXMG";
    struct side *s = ctx;
    size_t len = strlen(s->history);

    assert_non_null(address);
    s->n[event]++;
    if (event == PEER_EVENT_REFUSED)
        s->refused_peer = peer;
    (void)snprintf(s->text[event], sizeof(s->text[event]), "%s", text);
    if (len + 1 < sizeof(s->history))
        s->history[len] = letters[event];
    if (event == PEER_EVENT_UP)
        assert_true(peer_net_is_up(s->net, peer));
    if (event == PEER_EVENT_DOWN)
        assert_false(peer_net_is_up(s->net, peer));
    if (event == s->inside_event)
        maybe_act(s, INSIDE_EVENT);
}

static bool spent(void *ctx)
{
    return ((const struct side *)ctx)->is_spent;
}

static void turn(void *ctx)
{
    struct pair *t = ctx;

    if (t->low.net != NULL)
        peer_net_flush(t->low.net);
    if (t->high.net != NULL)
        peer_net_flush(t->high.net);
}

static struct peer_net_conf conf_of(raft_node_id self)
{
    struct peer_net_conf conf = {
        .self = self,
        .incarnation = self * 100,
        .seed = self,
        .handshake_us = FAR_US,
        /* The kernel's clock is not the test's: a busy machine must not end a link. */
        .user_timeout_ms = 10 * (WAIT_US / 1000),
        /* That both dial is a matter of its own. */
        .second_us = FAR_US,
        .tls = raw_tls,
    };

    memcpy(conf.cluster_id, cluster, sizeof(cluster));
    return conf;
}

static void side_open(struct pair *t, struct side *s, const struct peer_net_conf *conf,
                      const char *addr)
{
    const struct peer_net_ops ops = {.ctx = s,
                                     .on_hello = on_hello,
                                     .fill_hello = fill_hello,
                                     .on_frame = on_frame,
                                     .on_event = on_event,
                                     .spent = spent};

    s->self = conf->self;
    if (s->other == 0)
        s->other = s == &t->low ? HIGH : LOW;
    assert_int_equal(peer_net_new(t->pump.base, addr, conf, &ops, &s->net), 0);
}

static void side_add(struct side *s, const char *host, unsigned port)
{
    char addr[64];

    (void)snprintf(addr, sizeof(addr), "%s:%u", host, port);
    assert_int_equal(peer_net_add(s->net, s->other, addr), 0);
}

/* Nobody is connected yet. */
static void pair_init(struct pair *t)
{
    memset(t, 0, sizeof(*t));
    pump_init(&t->pump, turn, t);
}

/* Does nothing to a pair that is done already. */
static void pair_done(struct pair *t)
{
    if (t->pump.base == NULL)
        return;
    peer_net_free(t->low.net);
    peer_net_free(t->high.net);
    t->low.net = NULL;
    t->high.net = NULL;
    pump_turn(&t->pump); /* bufferevents close their sockets in a later turn */
    buf_done(&t->low.frames);
    buf_done(&t->high.frames);
    pump_done(&t->pump);
}

/* One for all cases and not on their stacks, so that it can be taken down after a case that
 * failed in the middle. */
static int case_setup(void **state)
{
    static struct pair pair;

    memset(&pair, 0, sizeof(pair));
    before_case_note();
    *state = &pair;
    return 0;
}

static int case_teardown(void **state)
{
    struct pair *t = *state;
    const bool ended = t->pump.base == NULL;
    unsigned n_left;

    probe_end();
    pair_done(t);
    /* A thread that has just answered has its copy of the descriptor for a moment longer. */
    fake_names_hang(false);
    while (lookup_n_running() > 0)
        (void)sched_yield();
    n_left = after_case_sweep();
    if (ended && n_left > 0)
        print_error("%u descriptors were left\n", n_left);
    return ended && n_left > 0 ? -1 : 0;
}

static bool both_up(const struct pair *t)
{
    return t->low.net != NULL && peer_net_is_up(t->low.net, HIGH) && t->high.net != NULL &&
           peer_net_is_up(t->high.net, LOW);
}

static void pair_open_with(struct pair *t, const struct peer_net_conf *low,
                           const struct peer_net_conf *high)
{
    side_open(t, &t->high, high, "127.0.0.1:0");
    side_open(t, &t->low, low, "127.0.0.1:0");
    side_add(&t->high, "127.0.0.1", peer_net_number(t->low.net));
    side_add(&t->low, "127.0.0.1", peer_net_number(t->high.net));
}

static void pair_open(struct pair *t)
{
    const struct peer_net_conf low = conf_of(LOW);
    const struct peer_net_conf high = conf_of(HIGH);

    pair_init(t);
    pair_open_with(t, &low, &high);
    PUMP_UNTIL(&t->pump, both_up(t));
}

/* Only the accepting node, to be called by raw sockets. */
static void high_open(struct pair *t)
{
    const struct peer_net_conf conf = conf_of(HIGH);

    pair_init(t);
    side_open(t, &t->high, &conf, "127.0.0.1:0");
    side_add(&t->high, "127.0.0.1", 1);
}

/* A frame of a type that links carry, whose payload is the given bytes. */
static void frame_add(struct buf *b, const void *payload, size_t len)
{
    const size_t at = b->len;
    unsigned char *p = buf_reserve(b, FRAME_HEADER_BYTES + len);

    assert_non_null(p);
    put_u32(p, (uint32_t)(FRAME_HEADER_BYTES - 4 + len));
    p[8] = RAFT_MSG_HEARTBEAT;
    p[9] = 0;
    put_u16(p + 10, 0);
    memcpy(p + FRAME_HEADER_BYTES, payload, len);
    put_u32(p + 4, crc32c(0, p + 8, FRAME_HEADER_BYTES - 8 + len));
    b->len = at + FRAME_HEADER_BYTES + len;
}

static struct wire_hello hello_of(raft_node_id from, raft_node_id to, enum wire_channel channel,
                                  uint64_t nonce)
{
    struct wire_hello h = {.version_highest = WIRE_VERSION_HIGHEST,
                           .version_lowest = WIRE_VERSION_LOWEST,
                           .channel = channel,
                           .from = from,
                           .to = to,
                           .incarnation = from * 100,
                           .link_nonce = nonce};

    memcpy(h.cluster_id, cluster, sizeof(cluster));
    return h;
}

static void raw_hello(struct pump *pump, struct raw *c, const struct wire_hello *h, bool is_reply)
{
    cleanup_buf struct buf out = BUF_INIT;

    assert_int_equal(wire_hello_encode(h, is_reply, &out), 0);
    raw_send(pump, c, out.data, out.len);
}

/* Takes the hello or reply at the front of what came in. */
static bool raw_take_hello(struct raw *c, uint8_t type, struct wire_hello *ret)
{
    struct wire_frame frame;

    (void)raw_read(c);
    if (wire_frame_cut(c->in.data, c->in.len, &frame, NULL) != 0)
        return false;
    assert_int_equal(frame.type, type);
    assert_int_equal(wire_hello_decode(&frame, ret), 0);
    buf_consume(&c->in, frame.total_len);
    return true;
}

static void raw_shake(struct pair *t, struct raw *c, enum wire_channel channel, uint64_t nonce)
{
    const struct wire_hello h = hello_of(LOW, HIGH, channel, nonce);
    struct wire_hello reply;

    raw_connect(c, peer_net_number(t->high.net));
    raw_hello(&t->pump, c, &h, false);
    PUMP_UNTIL(&t->pump, raw_take_hello(c, WIRE_FRAME_HELLO_REPLY, &reply));
    assert_int_equal(reply.refused, WIRE_REFUSED_NOT);
    assert_true(reply.from == HIGH && reply.to == LOW && reply.link_nonce == nonce);
    assert_int_equal(reply.channel, channel);
    assert_true(reply.last_index == 1000 + HIGH && reply.known_incarnation == 77);
    assert_true(reply.incarnation == HIGH * 100);
}

/* Both connections of a link to the accepting node. */
static void raw_link(struct pair *t, struct raw c[2], uint64_t nonce)
{
    raw_shake(t, &c[0], WIRE_CHANNEL_CONTROL, nonce);
    raw_shake(t, &c[1], WIRE_CHANNEL_LOG, nonce);
    PUMP_UNTIL(&t->pump, peer_net_is_up(t->high.net, LOW));
}

static void raw_link_close(struct raw c[2])
{
    raw_close(&c[0]);
    raw_close(&c[1]);
}

static void send_text(struct side *s, enum wire_channel channel, const char *text)
{
    struct buf *out = peer_net_out(s->net, s->other, channel);

    assert_non_null(out);
    frame_add(out, text, strlen(text));
}

static void assert_frames(const struct side *s, const char *expected)
{
    assert_int_equal(s->frames.len, strlen(expected));
    assert_memory_equal(s->frames.data, expected, s->frames.len);
}

/* A port on which nobody listens: bound and kept, so that no other process can get it meanwhile,
 * and yet free to listen on for a socket of this process that reuses addresses. */
static int port_keep(unsigned *ret_port)
{
    struct sockaddr_in sa = raw_loopback(0);
    socklen_t len = sizeof(sa);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}

/* ---- links ---- */

static void net_peer__link_comes_up_and_carries_frames(void **state)
{
    struct pair *t = *state;

    pair_open(t);
    assert_string_equal(t->low.history, "U");
    assert_string_equal(t->high.history, "U");
    assert_int_equal(t->low.n_hellos, 2);
    assert_int_equal(t->high.n_hellos, 2);
    send_text(&t->low, WIRE_CHANNEL_CONTROL, "a");
    send_text(&t->low, WIRE_CHANNEL_CONTROL, "b");
    send_text(&t->high, WIRE_CHANNEL_LOG, "c");
    send_text(&t->high, WIRE_CHANNEL_LOG, "d");
    PUMP_UNTIL(&t->pump, t->high.n_frames == 2 && t->low.n_frames == 2);
    assert_frames(&t->high, "ab");
    assert_frames(&t->low, "cd");
    send_text(&t->low, WIRE_CHANNEL_LOG, "e");
    send_text(&t->high, WIRE_CHANNEL_CONTROL, "f");
    PUMP_UNTIL(&t->pump, t->high.n_frames == 3 && t->low.n_frames == 3);
    assert_null(peer_net_out(t->low.net, 999, WIRE_CHANNEL_LOG));
    assert_false(peer_net_is_up(t->low.net, 999));
    pair_done(t);
}

struct classes {
    unsigned n_conns;
    int last; /* the least urgent of connections */
    unsigned n_listeners;
    int listeners; /* the most urgent of them */
};

static int look_at_class(const struct event_base *base, const struct event *ev, void *ctx)
{
    struct classes *c = ctx;
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    const int fd = event_get_fd(ev);
    socklen_t int_len = sizeof(int);
    int listens = 0;

    (void)base;
    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_len) == 0 && listens) {
        c->n_listeners++;
        if (event_get_priority(ev) < c->listeners)
            c->listeners = event_get_priority(ev);
        return 0;
    }
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&sa, &len) != 0)
        return 0;
    c->n_conns++;
    if (event_get_priority(ev) > c->last)
        c->last = event_get_priority(ev);
    return 0;
}

/* CLIENT-6: on both sides, whoever of them dialled; not those who only call. */
static void net_peer__links_come_before_all_else(void **state)
{
    const struct peer_net_conf low = conf_of(LOW);
    const struct peer_net_conf high = conf_of(HIGH);
    struct classes c = {.last = -1, .listeners = NODE_PRIORITIES};
    struct pair *t = *state;

    pair_init(t);
    assert_int_equal(event_base_priority_init(t->pump.base, NODE_PRIORITIES), 0);
    pair_open_with(t, &low, &high);
    PUMP_UNTIL(&t->pump, both_up(t));
    assert_int_equal(event_base_foreach_event(t->pump.base, look_at_class, &c), 0);
    assert_true(c.n_conns >= 4); /* two channels, and both ends of each */
    assert_int_equal(c.last, 0);
    assert_int_equal(c.n_listeners, 2);
    assert_int_equal(c.listeners, NODE_PRIORITIES - 1);
    pair_done(t);
}

static void net_peer__dials_until_somebody_is_there(void **state)
{
    const struct peer_net_conf low = conf_of(LOW);
    const struct peer_net_conf high = conf_of(HIGH);
    char addr[64];
    struct pair *t = *state;
    unsigned port;
    int placeholder;

    pair_init(t);
    placeholder = port_keep(&port);
    side_open(t, &t->low, &low, "127.0.0.1:0");
    side_add(&t->low, "localhost", port);
    PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_FAILED] == 1);
    assert_non_null(strstr(t->low.text[PEER_EVENT_FAILED], "cannot connect: Connection refused"));
    pump_for(&t->pump, 400000);
    assert_string_equal(t->low.history, "F"); /* once per outage */
    (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", port);
    side_open(t, &t->high, &high, addr);
    side_add(&t->high, "127.0.0.1", 1);
    PUMP_UNTIL(&t->pump, both_up(t));
    peer_net_free(t->high.net);
    t->high.net = NULL;
    PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_FAILED] == 2);
    (void)close(placeholder);
    assert_string_equal(t->low.history, "FUDGF");
    assert_string_equal(t->low.text[PEER_EVENT_DOWN], "closed by the other side");
    pair_done(t);
}

static void net_peer__new_address_is_used(void **state)
{
    const struct peer_net_conf low = conf_of(LOW);
    const struct peer_net_conf high = conf_of(HIGH);
    struct pair *t = *state;

    pair_init(t);
    side_open(t, &t->low, &low, "127.0.0.1:0");
    side_add(&t->low, "no-such-host.invalid", 7401);
    PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_FAILED] == 1);
    assert_non_null(strstr(t->low.text[PEER_EVENT_FAILED], "cannot resolve"));
    side_open(t, &t->high, &high, "127.0.0.1:0");
    side_add(&t->high, "127.0.0.1", 1);
    side_add(&t->low, "127.0.0.1", peer_net_number(t->high.net));
    PUMP_UNTIL(&t->pump, both_up(t));
    pair_done(t);
}

/* ---- a name server that is silent ---- */

/* LOOP-2: a name that is not answered delays the peer that bears it, and nobody else; it is said
 * once; the answer is taken when it comes; and whoever ends does not wait for it. */
static void net_peer__a_silent_name_server_delays_one_peer(void **state)
{
    const struct peer_net_conf low = conf_of(LOW);
    const struct peer_net_conf high = conf_of(HIGH);
    struct pair *t = *state;
    char addr[64];

    fake_names_hang(true);
    pair_init(t);
    side_open(t, &t->low, &low, "127.0.0.1:0");
    assert_int_equal(peer_net_add(t->low.net, HIGH + 1, "hangs.test:1"), 0);
    PUMP_UNTIL(&t->pump, fake_names_hanging() == 1);
    side_open(t, &t->high, &high, "127.0.0.1:0");
    side_add(&t->high, "127.0.0.1", 1);
    side_add(&t->low, "127.0.0.1", peer_net_number(t->high.net));
    PUMP_UNTIL(&t->pump, both_up(t));
    /* The other one is the silent one now, and its link is gone. */
    side_add(&t->low, "hangs.test", peer_net_number(t->high.net));
    peer_net_close(t->low.net, HIGH, "for a test");
    PUMP_UNTIL(&t->pump, fake_names_hanging() == 2);
    t->low.n[PEER_EVENT_FAILED] = 0;
    pump_for(&t->pump, PEER_LOOKUP_US * 3);
    assert_int_equal(t->low.n[PEER_EVENT_FAILED], 2); /* once for each */
    assert_non_null(strstr(t->low.text[PEER_EVENT_FAILED], "no answer from the name server"));
    assert_int_equal(fake_names_hanging(), 2); /* and one question for each */
    assert_false(both_up(t));
    fake_names_hang(false);
    PUMP_UNTIL(&t->pump, both_up(t));
    /* An end while it hangs. */
    fake_names_hang(true);
    (void)snprintf(addr, sizeof(addr), "hangs.test:%u", 2u);
    assert_int_equal(peer_net_add(t->low.net, HIGH + 1, addr), 0);
    PUMP_UNTIL(&t->pump, fake_names_hanging() == 1);
    pair_done(t);
    fake_names_end();
}

/* `ridd --init` asks its peers and ends in time. */
static void net_peer__probe_of_a_name_that_hangs(void **state)
{
    struct probe *p = &the_probe;

    (void)state;
    test_time.runs = true;
    fake_names_hang(true);
    *p = (struct probe){.hello = hello_of(LOW, HIGH, WIRE_CHANNEL_PROBE, 5), .tls = raw_tls};
    assert_int_equal(
        peer_probe(&(struct peer_whom){.addr = "hangs.test:1"}, &p->hello, 50, &p->reply),
        -ETIMEDOUT);
    assert_non_null(strstr(err_text(), "no answer from the name server"));
    fake_names_end();
}

static void net_peer__add_refuses_nonsense(void **state)
{
    const struct peer_net_conf conf = conf_of(HIGH);
    struct pair *t = *state;

    pair_init(t);
    side_open(t, &t->high, &conf, "127.0.0.1:0");
    assert_int_equal(peer_net_add(t->high.net, LOW, "no port"), -EINVAL);
    assert_int_equal(peer_net_add(t->high.net, HIGH, "127.0.0.1:1"), -EINVAL);
    assert_int_equal(peer_net_add(t->high.net, 0, "127.0.0.1:1"), -EINVAL);
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++)
        assert_int_equal(peer_net_add(t->high.net, 1 + i, "127.0.0.1:1"), 0);
    assert_int_equal(peer_net_add(t->high.net, 1000, "127.0.0.1:1"), -ENOSPC);
    pair_done(t);
}

static void net_peer__close_and_reconnect(void **state)
{
    struct pair *t = *state;

    pair_open(t);
    for (unsigned i = 1; i <= 4; i++) {
        struct side *s = i % 2 == 0 ? &t->low : &t->high;

        send_text(s, WIRE_CHANNEL_LOG, "lost or not");
        peer_net_close(s->net, s->other, "made up");
        assert_int_equal(s->n[PEER_EVENT_DOWN], i);
        assert_string_equal(s->text[PEER_EVENT_DOWN], "made up");
        assert_null(peer_net_out(s->net, s->other, WIRE_CHANNEL_CONTROL));
        PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_UP] == i + 1 && t->high.n[PEER_EVENT_UP] == i + 1);
    }
    assert_string_equal(t->low.history, "UDUDUDUDU");
    assert_string_equal(t->high.history, "UDUDUDUDU");
    pair_done(t);
}

static void net_peer__both_channels_die_together(void **state)
{
    struct pair *t = *state;
    struct raw c[2];

    for (int i = 0; i < 2; i++) {
        high_open(t);
        raw_link(t, c, 5);
        raw_close(&c[i]);
        PUMP_UNTIL(&t->pump, raw_read(&c[1 - i]));
        assert_string_equal(t->high.history, "UD");
        assert_false(peer_net_is_up(t->high.net, LOW));
        raw_link_close(c);
        pair_done(t);
    }
}

/* ---- is anybody there? (FAILOVER-1) ---- */

/* One that listens where LOW is said to be; *ret_port. */
static int listen_anywhere(unsigned *ret_port)
{
    struct sockaddr_in sa = raw_loopback(0);
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}

/* Longer than any look. */
static void let_look(struct pair *t)
{
    pump_for(&t->pump, 3 * PEER_LOOK_US);
}

static void reset_on_close(struct raw *c)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
}

/* Its process has died: FIN, or RST. */
static void net_peer__gone_is_told(void **state)
{
    struct pair *t = *state;
    struct raw c[2];

    for (int resets = 0; resets < 2; resets++) {
        high_open(t);
        raw_link(t, c, 5);
        for (int i = 0; i < 2 && resets; i++)
            reset_on_close(&c[i]);
        raw_link_close(c);
        PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_GONE] == 1);
        assert_string_equal(t->high.history, "UDG");
        let_look(t);
        assert_int_equal(t->high.n[PEER_EVENT_GONE], 1);
        pair_done(t);
    }
}

/* Its connections end, and it is there. */
static void net_peer__who_listens_is_not_gone(void **state)
{
    struct pair *t = *state;
    struct raw c[2];
    unsigned port;
    int fd;

    high_open(t);
    fd = listen_anywhere(&port);
    side_add(&t->high, "127.0.0.1", port);
    raw_link(t, c, 5);
    raw_link_close(c);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_DOWN] == 1);
    let_look(t);
    assert_int_equal(t->high.n[PEER_EVENT_GONE], 0);
    (void)close(fd);
    pair_done(t);
}

/* A process that is being taken apart still takes calls, and ends them. */
static void net_peer__gone_after_its_last_breath(void **state)
{
    struct pair *t = *state;
    struct raw c[2];
    unsigned port;
    int taken = -1;
    int fd;

    high_open(t);
    fd = listen_anywhere(&port);
    side_add(&t->high, "127.0.0.1", port);
    raw_link(t, c, 5);
    raw_link_close(c);
    PUMP_UNTIL(&t->pump, (taken = accept(fd, NULL, NULL)) >= 0);
    assert_int_equal(t->high.n[PEER_EVENT_GONE], 0);
    (void)close(fd);
    (void)close(taken);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_GONE] == 1);
    pair_done(t);
}

/* One connection ends, the other lives: something between them did it. */
static void net_peer__gone_needs_both_ends(void **state)
{
    struct pair *t = *state;
    struct raw c[2];

    for (int i = 0; i < 2; i++) {
        high_open(t);
        raw_link(t, c, 5);
        raw_close(&c[i]);
        PUMP_UNTIL(&t->pump,
                   raw_read(&c[1 - i])); /* it is closed when nobody watches it any more */
        let_look(t);
        assert_string_equal(t->high.history, "UD");
        raw_link_close(c);
        pair_done(t);
    }
}

/* The other one ends a little later. */
static void net_peer__gone_waits_for_the_other_end(void **state)
{
    struct pair *t = *state;
    struct raw c[2];

    high_open(t);
    raw_link(t, c, 5);
    raw_close(&c[0]);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_DOWN] == 1);
    assert_int_equal(t->high.n[PEER_EVENT_GONE], 0);
    raw_close(&c[1]);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_GONE] == 1);
    pair_done(t);
}

/* What is refused is where it was. */
static void net_peer__who_has_moved_is_not_gone(void **state)
{
    struct pair *t = *state;
    struct raw c[2];
    unsigned port;
    int fd;

    high_open(t);
    fd = listen_anywhere(&port);
    raw_link(t, c, 5);
    raw_close(&c[0]);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_DOWN] == 1);
    side_add(&t->high, "127.0.0.1", port);
    raw_close(&c[1]);
    let_look(t);
    assert_int_equal(t->high.n[PEER_EVENT_GONE], 0);
    (void)close(fd);
    pair_done(t);
}

static void net_peer__whose_name_moved_is_not_gone(void **state)
{
    struct pair *t = *state;
    struct raw c[2];
    unsigned port;
    int fd;

    high_open(t);
    fd = listen_anywhere(&port);
    fake_moved = false;
    side_add(&t->high, "moves.test", port); /* 127.0.0.2: nobody */
    raw_link(t, c, 5);
    pump_for(&t->pump, 50000);
    fake_moved = true; /* its machine has another address now, and it calls from there */
    raw_link_close(c);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_DOWN] == 1);
    raw_link(t, c, 6);
    let_look(t);
    t->high.n[PEER_EVENT_GONE] = 0;
    for (int i = 0; i < 2; i++)
        reset_on_close(
            &c[i]); /* something between them; it lives, and listens where its name says */
    raw_link_close(c);
    let_look(t);
    assert_int_equal(t->high.n[PEER_EVENT_GONE], 0);
    (void)close(fd);
    pair_done(t);
}

/* No route is no refusal, and neither is what we ended ourselves. */
static void net_peer__gone_is_nothing_else(void **state)
{
    struct pair *t = *state;
    struct raw c[2];

    high_open(t);
    side_add(&t->high, "255.255.255.255", 7401);
    raw_link(t, c, 5);
    raw_link_close(c);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_DOWN] == 1);
    let_look(t);
    assert_int_equal(t->high.n[PEER_EVENT_GONE], 0);
    pair_done(t);
    high_open(t);
    raw_link(t, c, 5);
    peer_net_close(t->high.net, LOW, "made up");
    let_look(t);
    assert_string_equal(t->high.history, "UD");
    raw_link_close(c);
    pair_done(t);
}

/* Whoever is told may end everything. */
static void net_peer__gone_inside_callbacks(void **state)
{
    struct pair *t = *state;
    struct raw c[2];

    for (unsigned how = 0; how < 3; how++) {
        high_open(t);
        raw_link(t, c, 5);
        t->high.inside = INSIDE_EVENT;
        t->high.inside_event = PEER_EVENT_GONE;
        t->high.inside_closes = how == 1;
        t->high.inside_removes = how == 2;
        raw_link_close(c);
        PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_GONE] == 1);
        let_look(t);
        pair_done(t);
    }
}

static void net_peer__new_link_replaces_a_stale_one(void **state)
{
    struct pair *t = *state;
    struct raw old[2];
    struct raw new[2];
    struct raw lone;

    high_open(t);
    raw_link(t, old, 1);
    /* One hello alone disturbs nothing. */
    raw_shake(t, &lone, WIRE_CHANNEL_LOG, 3);
    assert_true(peer_net_is_up(t->high.net, LOW));
    raw_shake(t, &new[0], WIRE_CHANNEL_CONTROL, 2);
    assert_string_equal(t->high.history, "U");
    raw_shake(t, &new[1], WIRE_CHANNEL_LOG, 2);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_UP] == 2);
    assert_string_equal(t->high.history, "UDU");
    assert_non_null(strstr(t->high.text[PEER_EVENT_DOWN], "replaced"));
    PUMP_UNTIL(&t->pump, raw_read(&old[0]) && raw_read(&old[1]));
    PUMP_UNTIL(&t->pump, raw_read(&lone)); /* an older attempt is given up for a newer one */
    send_text(&t->high, WIRE_CHANNEL_LOG, "to the new one");
    PUMP_UNTIL(&t->pump, raw_in(&new[1]) > 0);
    assert_int_equal(new[0].in.len, 0);
    raw_close(&lone);
    raw_link_close(old);
    raw_link_close(new);
    pair_done(t);
}

/* Connections of two links never make one. */
static void net_peer__nonces_pair(void **state)
{
    struct pair *t = *state;
    struct raw c[3];

    high_open(t);
    raw_shake(t, &c[0], WIRE_CHANNEL_CONTROL, 1);
    raw_shake(t, &c[1], WIRE_CHANNEL_LOG, 2);
    PUMP_UNTIL(&t->pump, raw_read(&c[0]));
    assert_false(peer_net_is_up(t->high.net, LOW));
    /* Nor do two of one channel. */
    raw_shake(t, &c[2], WIRE_CHANNEL_LOG, 2);
    PUMP_UNTIL(&t->pump, raw_read(&c[1]));
    assert_false(peer_net_is_up(t->high.net, LOW));
    raw_close(&c[0]);
    raw_shake(t, &c[0], WIRE_CHANNEL_CONTROL, 2);
    PUMP_UNTIL(&t->pump, peer_net_is_up(t->high.net, LOW));
    for (int i = 0; i < 3; i++)
        raw_close(&c[i]);
    pair_done(t);
}

/* ---- handshakes ---- */

/* Who is another than the handshake must name is refused before anything else is read (PEER-1). */
static void net_peer__refused_handshakes(void **state)
{
    const struct {
        const char *name;
        enum wire_refusal refusal;
        raft_node_id from;
        raft_node_id to;
        uint16_t versions[2]; /* lowest, highest */
        enum wire_channel channel;
        bool other_cluster;
        enum wire_refusal verdict;
    } rows[] = {
        {"a later version",
         WIRE_REFUSED_VERSION,
         LOW,
         HIGH,
         {WIRE_VERSION_HIGHEST + 1, WIRE_VERSION_HIGHEST + 2},
         1,
         false,
         0},
        {"version 0", WIRE_REFUSED_VERSION, LOW, HIGH, {0, 0}, 2, false, 0},
        {"cluster", WIRE_REFUSED_CLUSTER, LOW, HIGH, {1, 1}, 1, true, 0},
        {"to", WIRE_REFUSED_TO, LOW, 21, {1, 1}, 1, false, 0},
        {"to itself", WIRE_REFUSED_TO, LOW, LOW, {1, 1}, 2, false, 0},
        {"from nobody", WIRE_REFUSED_FROM, 11, HIGH, {1, 1}, 1, false, 0},
        {"from me", WIRE_REFUSED_FROM, HIGH, HIGH, {1, 1}, 1, false, 0},
        {"the host: incarnation",
         WIRE_REFUSED_INCARNATION,
         LOW,
         HIGH,
         {1, 1},
         1,
         false,
         WIRE_REFUSED_INCARNATION},
        {"the host: busy", WIRE_REFUSED_BUSY, LOW, HIGH, {1, 1}, 2, false, WIRE_REFUSED_BUSY},
        {"probe: cluster", WIRE_REFUSED_CLUSTER, LOW, HIGH, {1, 1}, 3, true, 0},
        {"probe: from nobody", WIRE_REFUSED_FROM, 11, HIGH, {1, 1}, 3, false, 0},
    };
    struct pair *t = *state;

    high_open(t);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire_hello h = hello_of(rows[i].from, rows[i].to, rows[i].channel, 100 + i);
        const unsigned n = t->high.n[PEER_EVENT_REFUSED];
        struct wire_hello reply;
        struct raw c;

        h.version_lowest = rows[i].versions[0];
        h.version_highest = rows[i].versions[1];
        if (rows[i].other_cluster)
            h.cluster_id[15] ^= 1;
        t->high.verdict = rows[i].verdict;
        raw_connect(&c, peer_net_number(t->high.net));
        raw_hello(&t->pump, &c, &h, false);
        PUMP_UNTIL(&t->pump, raw_take_hello(&c, WIRE_FRAME_HELLO_REPLY, &reply));
        PUMP_UNTIL(&t->pump, raw_read(&c));
        if (reply.refused != rows[i].refusal || t->high.n[PEER_EVENT_REFUSED] != n + 1)
            fail_msg("%s: refused as %d", rows[i].name, reply.refused);
        assert_true(c.eof);
        assert_true(t->high.refused_peer == rows[i].from);
        assert_non_null(
            strstr(t->high.text[PEER_EVENT_REFUSED], wire_refusal_text(rows[i].refusal, true)));
        assert_true(reply.link_nonce == 100 + i && reply.from == HIGH);
        assert_true(reply.last_index == 0); /* strangers learn nothing */
        raw_close(&c);
    }
    assert_int_equal(t->high.n[PEER_EVENT_UP], 0);
    pair_done(t);
}

/* Both directions of an upgrade: the other node speaks more than this one, and says more. */
static void net_peer__a_newer_peer_is_spoken_to_in_the_common_version(void **state)
{
    struct pair *t = *state;
    struct raw c[2];

    high_open(t);
    for (unsigned i = 0; i < 2; i++) {
        struct wire_hello h = hello_of(LOW, HIGH, (enum wire_channel)(i + 1), 9);
        cleanup_buf struct buf out = BUF_INIT;
        struct wire_hello reply;

        h.version_highest = WIRE_VERSION_HIGHEST + 7;
        assert_int_equal(wire_hello_encode(&h, false, &out), 0);
        assert_int_equal(buf_add(&out, "what comes later", 16), 0);
        put_u32(out.data, (uint32_t)out.len - 4);
        put_u32(out.data + 4, crc32c(0, out.data + 8, out.len - 8));
        raw_connect(&c[i], peer_net_number(t->high.net));
        raw_send(&t->pump, &c[i], out.data, out.len);
        PUMP_UNTIL(&t->pump, raw_take_hello(&c[i], WIRE_FRAME_HELLO_REPLY, &reply));
        assert_int_equal(reply.refused, WIRE_REFUSED_NOT);
        assert_int_equal(reply.version_lowest, WIRE_VERSION_LOWEST);
        assert_int_equal(reply.version_highest, WIRE_VERSION_HIGHEST);
    }
    PUMP_UNTIL(&t->pump, peer_net_is_up(t->high.net, LOW));
    assert_string_equal(t->high.text[PEER_EVENT_UP], "3");
    raw_link_close(c);
    pair_done(t);
}

/* Nothing in common (PEER-5): the operator of either node reads what to do about it. */
static void net_peer__versions_without_overlap_are_refused_in_words(void **state)
{
    struct wire_hello h = hello_of(LOW, HIGH, WIRE_CHANNEL_CONTROL, 9);
    struct wire_hello reply;
    struct pair *t = *state;
    struct raw c;

    high_open(t);
    h.version_lowest = 5;
    h.version_highest = 6;
    raw_connect(&c, peer_net_number(t->high.net));
    raw_hello(&t->pump, &c, &h, false);
    PUMP_UNTIL(&t->pump, raw_take_hello(&c, WIRE_FRAME_HELLO_REPLY, &reply));
    assert_int_equal(reply.refused, WIRE_REFUSED_VERSION);
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_REFUSED] == 1);
    assert_string_equal(t->high.text[PEER_EVENT_REFUSED],
                        "we refuse: no common protocol version: it speaks 5 to 6, we speak 1 to 3");
    raw_close(&c);
    pair_done(t);
}

/* LEASE-15: what every member must speak is raised while the node runs. Who speaks less is refused in
 * words from then on, and who speaks more is not. */
static void net_peer__the_lowest_version_is_raised(void **state)
{
    struct wire_hello reply;
    struct pair *t = *state;
    struct raw c;

    high_open(t);
    peer_net_set_lowest(t->high.net, WIRE_VERSION_ASKS);
    for (unsigned i = 0; i < 2; i++) {
        struct wire_hello h = hello_of(LOW, HIGH, WIRE_CHANNEL_CONTROL, 9 + i);

        h.version_lowest = 1;
        h.version_highest = (uint16_t)(WIRE_VERSION_ASKS - 1 + i);
        raw_connect(&c, peer_net_number(t->high.net));
        raw_hello(&t->pump, &c, &h, false);
        PUMP_UNTIL(&t->pump, raw_take_hello(&c, WIRE_FRAME_HELLO_REPLY, &reply));
        assert_int_equal(reply.refused, i == 0 ? WIRE_REFUSED_VERSION : WIRE_REFUSED_NOT);
        assert_int_equal(reply.version_lowest, WIRE_VERSION_ASKS);
        raw_close(&c);
    }
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_REFUSED] == 1);
    assert_string_equal(t->high.text[PEER_EVENT_REFUSED],
                        "we refuse: no common protocol version: it speaks 1 to 2, we speak 3 to 3");
    pair_done(t);
}

/* Two real nodes whose configurations differ: both say why, the dialling one once. */
static void net_peer__both_sides_are_told(void **state)
{

    for (int i = 0; i < 4; i++) {
        struct peer_net_conf low = conf_of(LOW);
        struct peer_net_conf high = conf_of(HIGH);
        const enum wire_refusal refusals[] = {WIRE_REFUSED_CLUSTER, WIRE_REFUSED_TO,
                                              WIRE_REFUSED_FROM, WIRE_REFUSED_INCARNATION};
        struct pair *t = *state;

        pair_init(t);
        if (i == 0)
            low.cluster_id[0] ^= 1;
        if (i == 1)
            t->low.other = HIGH + 1;
        if (i == 2)
            t->high.other = LOW - 1;
        if (i == 3)
            t->high.verdict = WIRE_REFUSED_INCARNATION;
        pair_open_with(t, &low, &high);
        PUMP_UNTIL(&t->pump,
                   t->low.n[PEER_EVENT_REFUSED] == 1 && t->high.n[PEER_EVENT_REFUSED] >= 2);
        assert_non_null(strstr(t->low.text[PEER_EVENT_REFUSED], "they refuse: "));
        assert_non_null(
            strstr(t->low.text[PEER_EVENT_REFUSED], wire_refusal_text(refusals[i], false)));
        assert_non_null(strstr(t->high.text[PEER_EVENT_REFUSED], "we refuse: "));
        assert_non_null(
            strstr(t->high.text[PEER_EVENT_REFUSED], wire_refusal_text(refusals[i], true)));
        assert_int_equal(t->low.n[PEER_EVENT_REFUSED], 1);
        assert_int_equal(t->low.n[PEER_EVENT_UP] + t->high.n[PEER_EVENT_UP], 0);
        pair_done(t);
    }
}

/* STATUS-3: the operator of either node reads which cluster the other one belongs to, and `status`
 * can tell who refuses whom. */
static void net_peer__a_refusal_names_both_clusters(void **state)
{
    static const char *const names[][2] = {{"east", "west"}, {"east", "east"}, {"", "west"}};
    static const char *const texts[][2] = {
        {"they refuse: it belongs to cluster 'west', we to 'east'",
         "we refuse: it belongs to cluster 'east', we to 'west'"},
        {"they refuse: it belongs to another cluster of the same name, east: identity ",
         "we refuse: it belongs to another cluster of the same name, east: identity "},
        {"they refuse: it belongs to another cluster: identity ",
         "we refuse: it belongs to another cluster: identity "}};

    for (int i = 0; i < 3; i++) {
        struct peer_net_conf low = conf_of(LOW);
        struct peer_net_conf high = conf_of(HIGH);
        struct peer_refusal refusal;
        struct pair *t = *state;

        pair_init(t);
        low.cluster_id[0] ^= 1;
        (void)snprintf(low.about.cluster_name, sizeof(low.about.cluster_name), "%s", names[i][0]);
        (void)snprintf(high.about.cluster_name, sizeof(high.about.cluster_name), "%s", names[i][1]);
        pair_open_with(t, &low, &high);
        assert_false(peer_net_refusal(t->low.net, HIGH, &refusal));
        PUMP_UNTIL(&t->pump,
                   t->low.n[PEER_EVENT_REFUSED] == 1 && t->high.n[PEER_EVENT_REFUSED] >= 1);
        assert_non_null(strstr(t->low.text[PEER_EVENT_REFUSED], texts[i][0]));
        assert_non_null(strstr(t->high.text[PEER_EVENT_REFUSED], texts[i][1]));
        assert_true(peer_net_refusal(t->low.net, HIGH, &refusal));
        assert_int_equal(refusal.reason, WIRE_REFUSED_CLUSTER);
        assert_false(refusal.by_us);
        assert_string_equal(refusal.cluster_name, names[i][1]);
        assert_true(peer_net_refusal(t->high.net, LOW, &refusal));
        assert_int_equal(refusal.reason, WIRE_REFUSED_CLUSTER);
        assert_true(refusal.by_us);
        assert_string_equal(refusal.cluster_name, names[i][0]);
        pair_done(t);
    }
}

/* A refusal is over when there is a link. */
static void net_peer__a_refusal_ends_with_a_link(void **state)
{
    const struct peer_net_conf low = conf_of(LOW);
    const struct peer_net_conf high = conf_of(HIGH);
    struct pair *t = *state;
    struct peer_refusal refusal;

    pair_init(t);
    t->high.verdict = WIRE_REFUSED_INCARNATION;
    pair_open_with(t, &low, &high);
    PUMP_UNTIL(&t->pump, peer_net_refusal(t->low.net, HIGH, &refusal));
    assert_int_equal(refusal.reason, WIRE_REFUSED_INCARNATION);
    assert_true(peer_net_refusal(t->high.net, LOW, &refusal));
    t->high.verdict = WIRE_REFUSED_NOT;
    PUMP_UNTIL(&t->pump, both_up(t));
    assert_false(peer_net_refusal(t->low.net, HIGH, &refusal));
    assert_false(peer_net_refusal(t->high.net, LOW, &refusal));
    peer_net_close(t->low.net, HIGH, "for the test");
    assert_false(peer_net_refusal(t->low.net, HIGH, &refusal));
    pair_done(t);
}

/* A raw acceptor for the dialling node: its two connections, in the order control, log. */
static void raw_accept_link(struct pair *t, int listen_fd, struct raw c[2], struct wire_hello h[2])
{
    for (int i = 0; i < 2; i++) {
        struct wire_hello hello;
        struct raw one;
        int fd = -1;

        PUMP_UNTIL(&t->pump, (fd = accept(listen_fd, NULL, NULL)) >= 0);
        raw_take_in(&one, fd);
        PUMP_UNTIL(&t->pump, raw_take_hello(&one, WIRE_FRAME_HELLO, &hello));
        assert_true(hello.channel == WIRE_CHANNEL_CONTROL || hello.channel == WIRE_CHANNEL_LOG);
        assert_true(hello.from == LOW && hello.to == HIGH && hello.incarnation == LOW * 100);
        assert_true(hello.last_index == 1000 + LOW && hello.known_incarnation == 77);
        c[hello.channel - 1] = one;
        h[hello.channel - 1] = hello;
    }
    assert_true(h[0].channel != h[1].channel);
    assert_true(h[0].link_nonce == h[1].link_nonce);
}

static int low_open_on_raw_listener_with(struct pair *t, const unsigned char *key)
{
    const struct peer_net_conf conf = conf_of(LOW);
    struct sockaddr_in sa = raw_loopback(0);
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    pair_init(t);
    side_open(t, &t->low, &conf, "127.0.0.1:0");
    peer_net_set_key(t->low.net, key);
    side_add(&t->low, "127.0.0.1", ntohs(sa.sin_port));
    return fd;
}

static int low_open_on_raw_listener(struct pair *t)
{
    return low_open_on_raw_listener_with(t, NULL);
}

static struct wire_hello reply_to(const struct wire_hello *h)
{
    return hello_of(h->to, h->from, h->channel, h->link_nonce);
}

static void net_peer__dialler_checks_replies(void **state)
{
    const char *const texts[] = {
        "not a valid reply", "not a valid reply", "version", "cluster", "", "",
        "not a valid reply"};

    for (int i = 0; i < 7; i++) {
        struct pair *t = *state;
        struct wire_hello h[2];
        struct wire_hello reply;
        struct raw c[2];
        const int fd = low_open_on_raw_listener(t);

        raw_accept_link(t, fd, c, h);
        reply = reply_to(&h[1]);
        reply.link_nonce += i == 0;
        if (i == 1)
            reply.channel = WIRE_CHANNEL_CONTROL;
        if (i == 2)
            reply.version_lowest = reply.version_highest = WIRE_VERSION_HIGHEST + 1;
        reply.cluster_id[3] ^= (unsigned char)(i == 3);
        reply.from += i == 4;
        reply.to += i == 5;
        raw_hello(&t->pump, &c[1], &reply, i != 6);
        PUMP_UNTIL(&t->pump, raw_read(&c[0]) && raw_read(&c[1]));
        assert_string_equal(t->low.history, "R");
        assert_non_null(strstr(t->low.text[PEER_EVENT_REFUSED], texts[i]));
        raw_link_close(c);
        (void)close(fd);
        pair_done(t);
    }
}

/* The acceptor may send as soon as it answered both: the dialler keeps frames until it, too, has
 * both answers. */
static void net_peer__frames_before_the_second_reply(void **state)
{
    cleanup_buf struct buf early = BUF_INIT;
    static char big[3 << 20];
    struct pair *t = *state;
    struct wire_hello h[2];
    struct wire_hello reply;
    struct raw c[2];
    const int fd = low_open_on_raw_listener(t);

    memset(big, 'b', sizeof(big));
    raw_accept_link(t, fd, c, h);
    reply = reply_to(&h[0]);
    assert_int_equal(wire_hello_encode(&reply, true, &early), 0);
    frame_add(&early, "one", 3);
    frame_add(&early, "two", 3);
    raw_send(&t->pump, &c[0], early.data, early.len);
    pump_for(&t->pump, 30000);
    assert_int_equal(t->low.n_frames, 0);
    reply = reply_to(&h[1]);
    buf_reset(&early, 0);
    assert_int_equal(wire_hello_encode(&reply, true, &early), 0);
    frame_add(&early, big, sizeof(big));
    raw_send(&t->pump, &c[1], early.data, early.len);
    PUMP_UNTIL(&t->pump, t->low.n_frames == 3);
    assert_memory_equal(t->low.frames.data, "onetwobbb", 9);
    assert_int_equal(t->low.frames.len, 6 + sizeof(big));
    assert_string_equal(t->low.history, "U");
    raw_link_close(c);
    (void)close(fd);
    pair_done(t);
}

/* The same at the acceptor, from a caller that does not wait; and waiting with a full buffer costs
 * no processor time. */
static void net_peer__frames_before_the_second_hello(void **state)
{
    cleanup_buf struct buf early = BUF_INIT;
    struct pair *t = *state;
    struct raw c[2];

    for (int i = 0; i < 300; i++)
        frame_add(&early, "early", 5);
    high_open(t);
    raw_shake(t, &c[0], WIRE_CHANNEL_CONTROL, 1);
    raw_send(&t->pump, &c[0], early.data, early.len);
    assert_true(pump_cpu_us(&t->pump, 100000) < 50000);
    assert_int_equal(t->high.n_frames, 0);
    raw_shake(t, &c[1], WIRE_CHANNEL_LOG, 1);
    PUMP_UNTIL(&t->pump, t->high.n_frames == 300);
    raw_send(&t->pump, &c[0], early.data, early.len);
    PUMP_UNTIL(&t->pump, t->high.n_frames == 600);
    raw_link_close(c);
    pair_done(t);
}

static void net_peer__silent_acceptor_times_out(void **state)
{
    struct pair *t = *state;
    struct wire_hello h[2];
    struct raw c[2];
    const int fd = low_open_on_raw_listener(t);

    raw_accept_link(t, fd, c, h);
    time_passes(FAR_US);
    PUMP_UNTIL(&t->pump, raw_read(&c[0]) && raw_read(&c[1]));
    assert_string_equal(t->low.history, "F");
    assert_non_null(strstr(t->low.text[PEER_EVENT_FAILED], "not finished in time"));
    raw_link_close(c);
    raw_accept_link(t, fd, c, h); /* and it tries again */
    raw_link_close(c);
    (void)close(fd);
    pair_done(t);
}

static void net_peer__garbage_before_the_handshake(void **state)
{
    struct prng r;
    struct pair *t = *state;

    prng_init(&r, 7);
    high_open(t);
    for (unsigned i = 0; i < 60; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct raw c;

        if (i == 0) { /* a good frame, but no hello */
            frame_add(&b, "heartbeat", 9);
        } else if (i == 1) { /* longer than any hello: refused at its length */
            assert_int_equal(buf_add_u32(&b, 5000), 0);
        } else if (i == 2) {
            assert_int_equal(buf_add_str(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
        } else if (i == 3) { /* a reply instead of a hello */
            struct wire_hello h = hello_of(LOW, HIGH, WIRE_CHANNEL_LOG, 1);

            assert_int_equal(wire_hello_encode(&h, true, &b), 0);
        } else if (i < 30) { /* a hello with a flipped bit */
            struct wire_hello h = hello_of(LOW, HIGH, WIRE_CHANNEL_LOG, 1);

            assert_int_equal(wire_hello_encode(&h, false, &b), 0);
            b.data[prng_below(&r, b.len)] ^= (unsigned char)(1u << prng_below(&r, 8));
            /* Random bytes behind it, should the length have grown. */
            for (int k = 0; k < 600; k++)
                assert_int_equal(buf_add_u8(&b, (uint8_t)prng_next(&r)), 0);
        } else {
            for (size_t k = prng_below(&r, 900) + 4; k > 0; k--)
                assert_int_equal(buf_add_u8(&b, (uint8_t)prng_next(&r)), 0);
        }
        raw_connect(&c, peer_net_number(t->high.net));
        raw_send(&t->pump, &c, b.data, b.len);
        PUMP_UNTIL(&t->pump, raw_read(&c));
        assert_int_equal(t->high.n[PEER_EVENT_REFUSED], i + 1);
        assert_true(t->high.refused_peer == 0);
        if (i == 1)
            assert_non_null(strstr(t->high.text[PEER_EVENT_REFUSED], "length"));
        raw_close(&c);
    }
    assert_int_equal(t->high.n_hellos, 0);
    pair_done(t);
}

/* Connections that say nothing cost a place for a while, and places are few (PEER-2). */
static void net_peer__silent_connections(void **state)
{
    enum { N = PEER_HALF_OPEN_HOST_MAX + 10 };
    struct raw *c = calloc(N, sizeof(*c));
    struct raw link[2];
    struct pair *t = *state;
    unsigned n_closed = 0;

    assert_non_null(c);
    high_open(t);
    raw_link(t, link, 9); /* one that is up does not count */
    for (unsigned i = 0; i < N - 10; i++)
        raw_connect(&c[i], peer_net_number(t->high.net));
    pump_for(&t->pump, 20000);
    (void)raw_send_some(&c[1], "\x52", 1);
    for (unsigned i = N - 10; i < N; i++)
        raw_connect(&c[i], peer_net_number(t->high.net));
    PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_REFUSED] == 10);
    for (unsigned i = 0; i < N; i++)
        n_closed += raw_read(&c[i]);
    assert_int_equal(n_closed, 10);
    assert_false(raw_read(&c[1])); /* had begun its hello, and stays */
    /* It drips a byte at a time, which does not help it. */
    time_passes(FAR_US - 1);
    (void)raw_send_some(&c[1], "\x49", 1);
    pump_for(&t->pump, 20000);
    assert_int_equal(t->high.n[PEER_EVENT_REFUSED], 10);
    time_passes(1);
    for (unsigned i = 0; i < N; i++)
        PUMP_UNTIL(&t->pump, raw_read(&c[i]));
    assert_int_equal(t->high.n[PEER_EVENT_REFUSED], N);
    assert_non_null(strstr(t->high.text[PEER_EVENT_REFUSED], "not finished in time"));
    assert_true(peer_net_is_up(t->high.net, LOW));
    raw_link_close(link);
    PUMP_UNTIL(&t->pump, !peer_net_is_up(t->high.net, LOW));
    raw_link(t, link, 10);
    /* Half a link times out, too. */
    raw_close(&c[0]);
    raw_shake(t, &c[0], WIRE_CHANNEL_CONTROL, 11);
    time_passes(FAR_US);
    PUMP_UNTIL(&t->pump, raw_read(&c[0]));
    assert_true(peer_net_is_up(t->high.net, LOW));
    raw_link_close(link);
    for (unsigned i = 0; i < N; i++)
        raw_close(&c[i]);
    free(c);
    pair_done(t);
}

/* All have begun a hello and none ends it: the oldest goes, unless it has only just come. */
static void net_peer__talkers_give_way_in_time(void **state)
{
    enum { N = PEER_HALF_OPEN_HOST_MAX };
    struct raw c[N + 1] = {0};
    struct pair *t = *state;

    high_open(t);
    for (unsigned i = 0; i < N; i++) {
        raw_connect(&c[i], peer_net_number(t->high.net));
        (void)raw_send_some(&c[i], "\x52", 1);
    }
    pump_for(&t->pump, 20000);
    raw_connect(&c[N], peer_net_number(t->high.net));
    PUMP_UNTIL(&t->pump, raw_read(&c[N]));
    assert_int_equal(t->high.n[PEER_EVENT_REFUSED], 0);
    raw_close(&c[N]);
    time_passes(PEER_HALF_OPEN_YOUNG_US);
    raw_connect(&c[N], peer_net_number(t->high.net));
    PUMP_UNTIL(&t->pump, raw_read(&c[0]));
    assert_int_equal(t->high.n[PEER_EVENT_REFUSED], 1);
    for (unsigned i = 0; i <= N; i++) {
        assert_int_equal(raw_read(&c[i]), i == 0);
        raw_close(&c[i]);
    }
    pair_done(t);
}

/* As many strangers as there are places come while a peer's hello is under way: it shakes hands one
 * time in three, where the oldest of them, or the newest, would be sure to go. */
static void net_peer__the_odds_are_for_peers(void **state)
{
    enum { FULL = PEER_HALF_OPEN_HOST_MAX, MORE = FULL, ROUNDS = 40 };
    struct raw c[FULL + MORE] = {0};
    struct raw peer = {0};
    struct pair *t = *state;
    unsigned n_shaken = 0;

    high_open(t);
    for (unsigned i = 0; i < FULL; i++)
        raw_connect(&c[i], peer_net_number(t->high.net));
    pump_turn(&t->pump);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        const struct wire_hello h = hello_of(LOW, HIGH, WIRE_CHANNEL_CONTROL, round);
        struct wire_hello reply;

        raw_connect(&peer, peer_net_number(t->high.net));
        for (unsigned i = FULL; i < FULL + MORE; i++) {
            raw_connect(&c[i], peer_net_number(t->high.net));
            pump_turn(&t->pump);
        }
        if (!raw_read(&peer))
            raw_hello(&t->pump, &peer, &h, false);
        for (unsigned i = FULL; i < FULL + MORE; i++)
            raw_close(&c[i]);
        PUMP_UNTIL(&t->pump,
                   raw_read(&peer) || raw_take_hello(&peer, WIRE_FRAME_HELLO_REPLY, &reply));
        n_shaken += !raw_read(&peer);
        raw_close(&peer);
        pump_turn(&t->pump);
    }
    assert_true(n_shaken > ROUNDS / 10);
    for (unsigned i = 0; i < FULL; i++)
        raw_close(&c[i]);
    pair_done(t);
}

/* A hundred that say nothing, of one host or of many: a peer shakes hands all the same (PEER-6), and
 * keeps its link when more of them come. */
static void net_peer__strangers_do_not_lock_peers_out(void **state)
{
    enum { N = 100 };
    struct raw *c = calloc(N, sizeof(*c));
    struct raw link[2];
    struct pair *t = *state;

    assert_non_null(c);
    high_open(t);
    for (unsigned hosts = 1; hosts <= 50; hosts += 49) {
        const unsigned refused = t->high.n[PEER_EVENT_REFUSED];

        for (unsigned i = 0; i < N; i++) {
            raw_connect_from(&c[i], peer_net_number(t->high.net), 1 + i % hosts);
            pump_turn(&t->pump);
            time_passes(PEER_HALF_OPEN_YOUNG_US);
            if (i == N / 2)
                raw_link(t, link, hosts);
        }
        PUMP_UNTIL(&t->pump, t->high.n[PEER_EVENT_REFUSED] - refused ==
                                 N - (hosts == 1 ? PEER_HALF_OPEN_HOST_MAX : PEER_HALF_OPEN_MAX));
        assert_true(peer_net_is_up(t->high.net, LOW));
        raw_link_close(link);
        PUMP_UNTIL(&t->pump, !peer_net_is_up(t->high.net, LOW));
        raw_link(t, link, 1000 + hosts);
        raw_link_close(link);
        for (unsigned i = 0; i < N; i++)
            raw_close(&c[i]);
        PUMP_UNTIL(&t->pump, !peer_net_is_up(t->high.net, LOW));
        pump_for(&t->pump, 20000);
    }
    free(c);
    pair_done(t);
}

/* ---- frames ---- */

static void net_peer__frames_in_random_cuts(void **state)
{
    cleanup_buf struct buf stream = BUF_INIT;
    cleanup_buf struct buf expected = BUF_INIT;
    struct prng r;
    struct pair *t = *state;
    struct raw c[2];
    const unsigned n = 600;

    prng_init(&r, 3);
    for (unsigned i = 0; i < n; i++) {
        static unsigned char payload[200000];
        size_t len = i % 50 == 0 ? prng_below(&r, sizeof(payload)) : prng_below(&r, 60);

        for (size_t k = 0; k < len; k++)
            payload[k] = (unsigned char)prng_next(&r);
        frame_add(&stream, payload, len);
        assert_int_equal(buf_add(&expected, payload, len), 0);
    }
    high_open(t);
    raw_link(t, c, 1);
    for (size_t at = 0; at < stream.len;) {
        size_t piece = prng_below(&r, 4) == 0 ? prng_below(&r, 100000) : prng_below(&r, 40);

        if (at < 300)
            piece = 1;
        if (piece > stream.len - at)
            piece = stream.len - at;
        at += raw_send_some(&c[1], stream.data + at, piece);
        pump_turn(&t->pump);
    }
    PUMP_UNTIL(&t->pump, t->high.n_frames == n);
    assert_int_equal(t->high.frames.len, expected.len);
    assert_memory_equal(t->high.frames.data, expected.data, expected.len);
    assert_string_equal(t->high.history, "U");
    raw_link_close(c);
    pair_done(t);
}

static void net_peer__largest_frame(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    unsigned char *payload = calloc(1, FRAME_BYTES_MAX);
    struct pair *t = *state;
    struct raw c[2];

    assert_non_null(payload);
    high_open(t);
    raw_link(t, c, 1);
    frame_add(&b, payload, FRAME_BYTES_MAX + 4 - FRAME_HEADER_BYTES);
    frame_add(&b, "next", 4);
    raw_send(&t->pump, &c[1], b.data, b.len);
    PUMP_UNTIL(&t->pump, t->high.n_frames == 2);
    assert_int_equal(t->high.frame_bytes_max, FRAME_BYTES_MAX + 4);
    free(payload);
    raw_link_close(c);
    pair_done(t);
}

/* Each closes both connections and says why. */
static void net_peer__bad_frames_close_the_link(void **state)
{
    const uint32_t lengths[] = {FRAME_BYTES_MAX + 1, 0x80000000u, 0xffffffffu, 0, 7};

    for (unsigned i = 0; i < 10; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_hello h = hello_of(LOW, HIGH, WIRE_CHANNEL_LOG, 1);
        struct pair *t = *state;
        struct raw c[2];
        const char *text = "length";

        frame_add(&b, "good", 4);
        if (i < 5) {
            assert_int_equal(buf_add_u32(&b, lengths[i]), 0);
        } else if (i == 5) {
            frame_add(&b, "bad", 3);
            b.data[b.len - 1] ^= 1;
            text = "checksum";
        } else if (i == 6) {
            assert_int_equal(wire_hello_encode(&h, false, &b), 0);
            text = "second handshake";
        } else if (i == 7) {
            frame_add(&b, "bad", 3);
            text = "frame refused: made up";
        } else if (i == 8) { /* unknown type, right checksum */
            const size_t at = b.len;

            frame_add(&b, "bad", 3);
            b.data[at + 8] = 31;
            put_u32(b.data + at + 4, crc32c(0, b.data + at + 8, b.len - at - 8));
            text = "type";
        } else {
            assert_int_equal(wire_hello_encode(&h, true, &b), 0);
            text = "second handshake";
        }
        high_open(t);
        raw_link(t, c, 1);
        raw_send(&t->pump, &c[i % 2], b.data, FRAME_HEADER_BYTES + 4);
        PUMP_UNTIL(&t->pump, t->high.n_frames == 1);
        t->high.frame_result = i == 7 ? -EPROTO : 0;
        raw_send(&t->pump, &c[i % 2], b.data + FRAME_HEADER_BYTES + 4,
                 b.len - FRAME_HEADER_BYTES - 4);
        PUMP_UNTIL(&t->pump, raw_read(&c[0]) && raw_read(&c[1]));
        assert_string_equal(t->high.history, "UD");
        if (strstr(t->high.text[PEER_EVENT_DOWN], text) == NULL)
            fail_msg("row %u: '%s'", i, t->high.text[PEER_EVENT_DOWN]);
        assert_int_equal(t->high.n_frames, i == 7 ? 2 : 1);
        raw_link_close(c);
        pair_done(t);
    }
}

static void net_peer__many_frames_share_the_loop(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct pair *t = *state;
    struct raw c[2];
    unsigned before;

    for (int i = 0; i < 20000; i++)
        frame_add(&b, "x", 1);
    high_open(t);
    raw_link(t, c, 1);
    for (size_t at = 0; at < b.len;) {
        at += raw_send_some(&c[0], b.data + at, b.len - at);
        before = t->high.n_frames;
        pump_turn(&t->pump);
        /* What a bufferevent reads at once. */
        assert_true(t->high.n_frames - before <= 16384 / (FRAME_HEADER_BYTES + 1) + 1);
    }
    PUMP_UNTIL(&t->pump, t->high.n_frames == 20000);
    raw_link_close(c);
    pair_done(t);
}

struct last_class {
    struct side *side;
    unsigned n_frames;
    bool ran;
};

static void on_last_class(evutil_socket_t fd, short what, void *ctx)
{
    struct last_class *last = ctx;

    (void)fd;
    (void)what;
    last->ran = true;
    last->n_frames = last->side->n_frames;
}

/* TIME-1: a peer that goes on talking is read once more when the time of a turn is over, and
 * neither the turn nor whoever comes behind peers waits for its end. */
static void net_peer__who_goes_on_talking_rests(void **state)
{
    const struct peer_net_conf conf = conf_of(HIGH);
    const unsigned n_read = 16384 / (FRAME_HEADER_BYTES + 1) + 1; /* by a bufferevent, at once */
    cleanup_buf struct buf b = BUF_INIT;
    struct pair *t = *state;
    struct last_class last = {.side = &t->high};
    struct event *ev;
    struct raw c[2];
    unsigned before;

    for (int i = 0; i < 20000; i++)
        frame_add(&b, "x", 1);
    pair_init(t);
    assert_int_equal(event_base_priority_init(t->pump.base, NODE_PRIORITIES), 0);
    side_open(t, &t->high, &conf, "127.0.0.1:0");
    side_add(&t->high, "127.0.0.1", 1);
    raw_link(t, c, 1);
    ev = event_new(t->pump.base, -1, 0, on_last_class, &last);
    assert_non_null(ev);
    assert_int_equal(event_priority_set(ev, NODE_PRIORITIES - 1), 0);
    t->high.is_spent = true;
    for (size_t at = 0; at < b.len;) {
        at += raw_send_some(&c[0], b.data + at, b.len - at);
        before = t->high.n_frames;
        last.ran = false;
        event_active(ev, EV_TIMEOUT, 0);
        pump_turn(&t->pump);
        assert_true(t->high.n_frames - before <= n_read);
        if (last.ran) /* the pump's own timer may have ended it */
            assert_true(last.n_frames - before <= n_read);
    }
    PUMP_UNTIL(&t->pump, t->high.n_frames == 20000);
    /* Within a turn it is read again when the host says so. */
    raw_send(&t->pump, &c[0], (const char *)b.data, b.len / 20000);
    PUMP_UNTIL(&t->pump, t->high.n_frames == 20001);
    assert_int_equal(raw_send_some(&c[0], b.data, b.len / 20000), b.len / 20000);
    while (t->high.n_frames == 20001)
        (void)event_base_loop(t->pump.base, EVLOOP_ONCE);
    assert_int_equal(raw_send_some(&c[0], b.data, b.len / 20000), b.len / 20000);
    (void)event_base_loop(t->pump.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(t->high.n_frames, 20002);
    peer_net_go_on(t->high.net);
    while (t->high.n_frames == 20002)
        (void)event_base_loop(t->pump.base, EVLOOP_ONCE);
    event_free(ev);
    raw_link_close(c);
    pair_done(t);
}

static void net_peer__drops_at_the_limit(void **state)
{
    static unsigned char payload[64 << 10];
    struct pair *t = *state;
    struct raw c[2];
    struct buf *out;

    high_open(t);
    raw_link(t, c, 1);
    for (unsigned episode = 1; episode <= 2; episode++) {
        size_t added = 0;
        size_t taken = 0;

        while ((out = peer_net_out(t->high.net, LOW, WIRE_CHANNEL_LOG)) != NULL) {
            frame_add(out, payload, sizeof(payload));
            added += FRAME_HEADER_BYTES + sizeof(payload);
            pump_turn(&t->pump);
            assert_true(added < PEER_OUT_BYTES_MAX + (64u << 20));
        }
        assert_true(added >= PEER_OUT_BYTES_MAX);
        for (int i = 0; i < 5; i++) {
            assert_null(peer_net_out(t->high.net, LOW, WIRE_CHANNEL_LOG));
            pump_turn(&t->pump);
        }
        assert_int_equal(t->high.n[PEER_EVENT_DROPPED], episode);
        /* The other channel does not suffer. */
        assert_non_null(peer_net_out(t->high.net, LOW, WIRE_CHANNEL_CONTROL));
        /* Read until it may go on: half of it has gone. */
        PUMP_UNTIL(&t->pump, (taken += raw_in(&c[1]), buf_reset(&c[1].in, 1 << 20),
                              peer_net_out(t->high.net, LOW, WIRE_CHANNEL_LOG) != NULL));
        assert_true(taken >= PEER_OUT_BYTES_MAX / 2);
        PUMP_UNTIL(&t->pump,
                   (taken += raw_in(&c[1]), buf_reset(&c[1].in, 1 << 20), taken == added));
    }
    assert_string_equal(t->high.history, "UXX");
    raw_link_close(c);
    pair_done(t);
}

/* ---- closing inside ---- */

/* What a callback was given is not freed under it (PEER-4). */
static void net_peer__closing_inside_callbacks(void **state)
{

    for (int closes = 0; closes < 2; closes++) {
        for (int on_low = 0; on_low < 2; on_low++) {
            for (int where = INSIDE_HELLO; where <= INSIDE_EVENT + 3; where++) {
                const struct peer_net_conf low = conf_of(LOW);
                const struct peer_net_conf high = conf_of(HIGH);
                const enum peer_event events[] = {PEER_EVENT_UP, PEER_EVENT_DOWN,
                                                  PEER_EVENT_REFUSED, PEER_EVENT_DROPPED};
                struct pair *t = *state;
                struct side *s = on_low ? &t->low : &t->high;
                struct side *o = on_low ? &t->high : &t->low;

                pair_init(t);
                s->inside = where < INSIDE_EVENT ? (enum inside)where : INSIDE_EVENT;
                s->inside_event = events[where < INSIDE_EVENT ? 0 : where - INSIDE_EVENT];
                s->inside_closes = closes == 1;
                if (s->inside_event == PEER_EVENT_REFUSED)
                    t->high.verdict = WIRE_REFUSED_BUSY;
                pair_open_with(t, &low, &high);
                if (where == INSIDE_FRAME ||
                    (where > INSIDE_EVENT && s->inside_event != PEER_EVENT_REFUSED))
                    PUMP_UNTIL(&t->pump, both_up(t));
                if (where == INSIDE_FRAME)
                    for (int i = 0; i < 20; i++)
                        send_text(o, WIRE_CHANNEL_LOG, "frame");
                if (where == INSIDE_EVENT + 1)
                    peer_net_close(o->net, o->other, "made up");
                if (where == INSIDE_EVENT + 3) {
                    static unsigned char payload[1 << 20];
                    struct buf *out;

                    while ((out = peer_net_out(s->net, s->other, WIRE_CHANNEL_LOG)) != NULL)
                        frame_add(out, payload, sizeof(payload));
                }
                PUMP_UNTIL(&t->pump, s->inside == INSIDE_NOTHING);
                t->high.verdict = WIRE_REFUSED_NOT;
                if (closes)
                    PUMP_UNTIL(&t->pump, both_up(t));
                else
                    pump_for(&t->pump, 10000);
                pair_done(t);
            }
        }
    }
}

/* The host uses the news that the old link is gone to close the new one, or everything. */
static void net_peer__closing_while_replaced(void **state)
{

    for (int closes = 0; closes < 2; closes++) {
        struct pair *t = *state;
        struct raw old[2];
        struct raw new[2];

        high_open(t);
        raw_link(t, old, 1);
        t->high.inside = INSIDE_EVENT;
        t->high.inside_event = PEER_EVENT_DOWN;
        t->high.inside_closes = closes == 1;
        raw_shake(t, &new[0], WIRE_CHANNEL_CONTROL, 2);
        raw_shake(t, &new[1], WIRE_CHANNEL_LOG, 2);
        PUMP_UNTIL(&t->pump, raw_read(&new[0]) && raw_read(&new[1]) && raw_read(&old[0]));
        assert_string_equal(t->high.history, "UD");
        raw_link_close(old);
        raw_link_close(new);
        pair_done(t);
    }
}

/* So that a peer whose machine is gone is noticed within seconds. */
static void net_peer__dead_links_are_probed(void **state)
{
    struct peer_net_conf low = conf_of(LOW);
    struct peer_net_conf high = conf_of(HIGH);
    struct pair *t = *state;
    int n_found = 0;

    low.user_timeout_ms = 0; /* the default is what is looked at */
    high.user_timeout_ms = 0;
    pair_init(t);
    pair_open_with(t, &low, &high);
    PUMP_UNTIL(&t->pump, both_up(t));
    for (int fd = 3; fd < 64; fd++) {
        struct sockaddr_in sa;
        socklen_t sa_len = sizeof(sa);
        int value[5] = {0};
        const int names[5] = {TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT,
                              TCP_USER_TIMEOUT};
        int keepalive = 0;
        socklen_t len = sizeof(int);

        if (getpeername(fd, (struct sockaddr *)&sa, &sa_len) != 0)
            continue;
        n_found++;
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, &len), 0);
        for (int i = 0; i < 5; i++)
            assert_int_equal(getsockopt(fd, IPPROTO_TCP, names[i], &value[i], &len), 0);
        assert_true(keepalive != 0 && value[0] != 0);
        assert_true(value[1] + value[2] * value[3] <= 5);
        assert_true(value[4] > 0 && value[4] <= 5000);
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    }
    assert_int_equal(n_found, 4);
    pair_done(t);
}

/* ---- proofs of the cluster's id ---- */

static const unsigned char the_key[16] = "0123456789ABCDE";
static const unsigned char other_key[16] = "0123456789ABCDF";

static void keyed_open(struct pair *t, const unsigned char *low_key, const unsigned char *high_key)
{
    const struct peer_net_conf low = conf_of(LOW);
    const struct peer_net_conf high = conf_of(HIGH);

    pair_init(t);
    side_open(t, &t->high, &high, "127.0.0.1:0");
    side_open(t, &t->low, &low, "127.0.0.1:0");
    peer_net_set_key(t->low.net, low_key);
    peer_net_set_key(t->high.net, high_key);
}

static void keyed_add(struct pair *t)
{
    side_add(&t->high, "127.0.0.1", peer_net_number(t->low.net));
    side_add(&t->low, "127.0.0.1", peer_net_number(t->high.net));
}

/* By hand, as docs/PEERS.md says it: what another implementation would do. */
static void proof_by_hand(const unsigned char key[16], const char *text,
                          const struct wire_hello *hello, const struct wire_hello *reply,
                          unsigned char ret[32])
{
    unsigned char data[98] = {0};
    unsigned len = 0;

    memcpy(data, text, strlen(text));
    put_u64(data + 32, hello->from);
    put_u64(data + 40, hello->to);
    memcpy(data + 48, hello->challenge, 16);
    memcpy(data + 64, reply->challenge, 16);
    put_u64(data + 80, hello->link_nonce);
    data[88] = (unsigned char)hello->channel;
    data[89] = reply->refused;
    put_u64(data + 90, reply->removed_index);
    assert_non_null(HMAC(EVP_sha256(), key, 16, data, sizeof(data), ret, &len));
    assert_int_equal(len, 32);
}

/* Says hello and takes the answer. */
static struct wire_hello raw_ask(struct pair *t, struct raw *c, unsigned port, struct wire_hello *h)
{
    struct wire_hello reply;

    h->challenged = true;
    memset(h->challenge, (int)(h->from + h->channel), sizeof(h->challenge));
    raw_connect(c, port);
    raw_hello(&t->pump, c, h, false);
    PUMP_UNTIL(&t->pump, raw_take_hello(c, WIRE_FRAME_HELLO_REPLY, &reply));
    return reply;
}

static void raw_prove(struct pair *t, struct raw *c, const struct wire_hello *h,
                      const struct wire_hello *reply, int flipped_bit)
{
    cleanup_buf struct buf out = BUF_INIT;
    unsigned char proof[32];

    proof_by_hand(the_key, "ridd link 1: dialler", h, reply, proof);
    if (flipped_bit >= 0)
        proof[flipped_bit / 8] ^= (unsigned char)(1u << flipped_bit % 8);
    assert_int_equal(wire_proof_encode(proof, &out), 0);
    raw_send(&t->pump, c, out.data, out.len);
}

/* Both connections of one who knows the id; false: it was refused, as *ret_refused says. */
static bool raw_proven_link(struct pair *t, struct raw c[2], raft_node_id from, uint64_t nonce,
                            uint8_t *ret_refused)
{
    for (unsigned i = 0; i < 2; i++) {
        struct wire_hello h = hello_of(from, HIGH, (enum wire_channel)(i + 1), nonce);
        const struct wire_hello reply = raw_ask(t, &c[i], peer_net_number(t->high.net), &h);

        *ret_refused = reply.refused;
        if (reply.refused != WIRE_REFUSED_NOT) {
            for (unsigned k = 0; k <= i; k++)
                raw_close(&c[k]);
            return false;
        }
        raw_prove(t, &c[i], &h, &reply, -1);
    }
    PUMP_UNTIL(&t->pump, peer_net_is_up(t->high.net, from));
    return true;
}

static bool contains(const void *bytes, size_t len, const void *part, size_t part_len)
{
    return memmem(bytes, len, part, part_len) != NULL;
}

/* PEER-8: both know the id, and both are asked; the host records nobody before that. */
static void net_peer__both_prove_the_cluster_id(void **state)
{
    struct pair *t = *state;

    keyed_open(t, the_key, the_key);
    keyed_add(t);
    PUMP_UNTIL(&t->pump, both_up(t));
    assert_string_equal(t->low.history, "U");
    assert_string_equal(t->high.history, "U");
    assert_int_equal(t->high.n_hellos, 4); /* each twice */
    assert_int_equal(t->high.n_unproved, 2);
    assert_int_equal(t->low.n_hellos, 2);
    assert_int_equal(t->low.n_unproved, 0);
    assert_int_equal(t->low.n_strange + t->high.n_strange, 0);
    assert_int_equal(t->low.n_without_id + t->high.n_without_id, 0);
    /* What was hidden on the way is what was said. */
    assert_true(t->low.incarnation == HIGH * 100 && t->low.known == 77);
    assert_true(t->high.incarnation == LOW * 100 && t->high.known == 77);
    send_text(&t->low, WIRE_CHANNEL_LOG, "a");
    send_text(&t->high, WIRE_CHANNEL_CONTROL, "b");
    PUMP_UNTIL(&t->pump, t->high.n_frames == 1 && t->low.n_frames == 1);
    pair_done(t);
}

/* Whoever knows another id is refused by whom it calls, in words, and there is no link for a
 * moment. */
static void net_peer__another_cluster_id_is_refused(void **state)
{
    struct pair *t = *state;
    struct peer_refusal refusal;

    keyed_open(t, the_key, other_key);
    keyed_add(t);
    PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_REFUSED] == 1);
    assert_string_equal(t->low.text[PEER_EVENT_REFUSED],
                        "we refuse: it does not know this cluster's secret id");
    assert_true(peer_net_refusal(t->low.net, HIGH, &refusal));
    assert_int_equal(refusal.reason, WIRE_REFUSED_PROOF);
    pump_for(&t->pump, 200000);
    assert_string_equal(t->low.history, "R");
    assert_int_equal(t->high.n[PEER_EVENT_UP], 0);
    peer_net_set_key(t->high.net, the_key);
    PUMP_UNTIL(&t->pump, both_up(t));
    pair_done(t);
}

/* A member that has not met the id yet is let in, whoever of the two it is. */
static void net_peer__a_member_may_lag(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct pair *t = *state;

        keyed_open(t, i == 0 ? the_key : NULL, i == 0 ? NULL : the_key);
        keyed_add(t);
        PUMP_UNTIL(&t->pump, both_up(t));
        assert_int_equal(t->high.n_unproved, 0);
        assert_int_equal(t->high.n_hellos, 2);
        assert_int_equal((i == 0 ? t->low : t->high).n_without_id, 2);
        assert_int_equal((i == 0 ? t->high : t->low).n_without_id, 0);
        assert_true(t->low.incarnation == HIGH * 100 && t->low.known == 77);
        pair_done(t);
    }
}

/* One of version 1 has no proofs, whatever else stands in its hello. */
static void net_peer__version_1_is_one_without_an_id(void **state)
{
    struct pair *t = *state;
    struct raw c[2];

    keyed_open(t, NULL, the_key);
    side_add(&t->high, "127.0.0.1", 1);
    for (unsigned i = 0; i < 2; i++) {
        struct wire_hello h = hello_of(LOW, HIGH, (enum wire_channel)(i + 1), 9);
        struct wire_hello reply;

        h.version_highest = 1;
        reply = raw_ask(t, &c[i], peer_net_number(t->high.net), &h);
        assert_int_equal(reply.refused, WIRE_REFUSED_NOT);
        assert_false(reply.proved);
        assert_true(reply.incarnation == HIGH * 100);
    }
    PUMP_UNTIL(&t->pump, peer_net_is_up(t->high.net, LOW));
    assert_string_equal(t->high.text[PEER_EVENT_UP], "1");
    raw_link_close(c);
    pair_done(t);
}

/* Each bit counts; and before its proof a caller is told nothing but ours: no incarnation (PEER-7),
 * not the id, and where it is nobody's, no index. */
static void net_peer__a_proof_is_compared_whole(void **state)
{
    struct pair *t = *state;
    unsigned char expected[32];
    unsigned char mask[32];
    struct wire_hello before;

    keyed_open(t, NULL, the_key);
    t->high.others = true;
    side_add(&t->high, "127.0.0.1", 1);
    for (int bit = 0; bit < 256; bit += 15) {
        struct wire_hello h =
            hello_of(bit % 2 == 0 ? LOW : 15, HIGH, WIRE_CHANNEL_LOG, 1000 + (uint64_t)bit);
        const unsigned n = t->high.n[PEER_EVENT_REFUSED];
        struct wire_hello reply;
        struct raw c;

        reply = raw_ask(t, &c, peer_net_number(t->high.net), &h);
        assert_int_equal(reply.refused, WIRE_REFUSED_NOT);
        assert_true(reply.challenged && reply.proved);
        proof_by_hand(the_key, "ridd link 1: acceptor", &h, &reply, expected);
        assert_memory_equal(reply.proof, expected, 32);
        proof_by_hand(the_key, "ridd link 1: incarnations", &h, &reply, mask);
        assert_true(reply.incarnation != HIGH * 100 && reply.known_incarnation != 77);
        assert_true((reply.incarnation ^ get_u64(mask)) == HIGH * 100);
        assert_true((reply.known_incarnation ^ get_u64(mask + 8)) == 77);
        assert_true(reply.last_index == (h.from == LOW ? 1000 + HIGH : 0));
        assert_false(contains(&reply, sizeof(reply), the_key, 16));
        if (bit > 0) /* no challenge comes twice */
            assert_memory_not_equal(reply.challenge, before.challenge, 16);
        before = reply;
        raw_prove(t, &c, &h, &reply, bit);
        PUMP_UNTIL(&t->pump, raw_read(&c));
        assert_int_equal(t->high.n[PEER_EVENT_REFUSED], n + 1);
        assert_string_equal(t->high.text[PEER_EVENT_REFUSED],
                            "we refuse: it does not know this cluster's secret id");
        assert_true(t->high.refused_peer == h.from);
        raw_close(&c);
    }
    assert_int_equal(t->high.n_unproved, t->high.n_hellos); /* never asked for good */
    assert_int_equal(t->high.n[PEER_EVENT_UP], 0);
    pair_done(t);
}

/* A proof is of one handshake: not the other direction's, nor that of another nonce, channel,
 * sender or receiver. And who does not send it has a deadline. */
static void net_peer__a_proof_is_of_one_handshake(void **state)
{
    struct wire_hello last = hello_of(15, HIGH, WIRE_CHANNEL_LOG, 600);
    struct pair *t = *state;
    struct raw silent;

    keyed_open(t, NULL, the_key);
    t->high.others = true;
    for (int i = 0; i < 8; i++) {
        struct wire_hello h = hello_of(15, HIGH, WIRE_CHANNEL_LOG, 500 + (uint64_t)i);
        cleanup_buf struct buf out = BUF_INIT;
        unsigned char proof[32];
        struct wire_hello reply;
        struct raw c;

        reply = raw_ask(t, &c, peer_net_number(t->high.net), &h);
        h.link_nonce += i == 0;
        h.channel = i == 1 ? WIRE_CHANNEL_CONTROL : h.channel;
        h.from += i == 2;
        h.to += i == 3;
        h.challenge[0] ^= i == 4;
        reply.challenge[15] ^= i == 5;
        proof_by_hand(the_key, i == 6 ? "ridd link 1: acceptor" : "ridd link 1: dialler", &h,
                      &reply, proof);
        assert_int_equal(wire_proof_encode(proof, &out), 0);
        if (i == 7) { /* another frame instead */
            buf_reset(&out, 0);
            frame_add(&out, "vote", 4);
        }
        raw_send(&t->pump, &c, out.data, out.len);
        PUMP_UNTIL(&t->pump, raw_read(&c));
        raw_close(&c);
    }
    assert_int_equal(t->high.n[PEER_EVENT_REFUSED], 8);
    (void)raw_ask(t, &silent, peer_net_number(t->high.net), &last);
    time_passes(FAR_US);
    PUMP_UNTIL(&t->pump, raw_read(&silent));
    assert_non_null(strstr(t->high.text[PEER_EVENT_REFUSED], "not finished in time"));
    raw_close(&silent);
    assert_int_equal(t->high.n[PEER_EVENT_UP], 0);
    pair_done(t);
}

/* ---- strangers ---- */

/* PEER-9: one that was not added is let in when it knows the id, is not dialled, and becomes a peer
 * without losing its link. */
static void net_peer__a_stranger_is_let_in(void **state)
{
    struct pair *t = *state;

    keyed_open(t, the_key, the_key);
    side_add(&t->low, "127.0.0.1", peer_net_number(t->high.net));
    PUMP_UNTIL(&t->pump, both_up(t));
    assert_int_equal(t->high.n_strange, t->high.n_hellos);
    assert_true(peer_net_is_stranger(t->high.net, LOW));
    assert_false(peer_net_is_stranger(t->low.net, HIGH));
    assert_false(peer_net_is_stranger(t->low.net, 999));
    send_text(&t->low, WIRE_CHANNEL_CONTROL, "vote");
    PUMP_UNTIL(&t->pump, t->high.n_frames == 1);
    send_text(&t->high, WIRE_CHANNEL_CONTROL, "granted"); /* on the same link */
    PUMP_UNTIL(&t->pump, t->low.n_frames == 1);
    side_add(&t->high, "127.0.0.1", peer_net_number(t->low.net));
    assert_false(peer_net_is_stranger(t->high.net, LOW));
    assert_true(both_up(t));
    pump_for(&t->pump, 20000);
    assert_string_equal(t->high.history, "U");
    assert_string_equal(t->low.history, "U");
    peer_net_close(t->high.net, LOW, "for the test");
    PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_UP] == 2 && both_up(t));
    assert_false(peer_net_is_stranger(t->high.net, LOW));
    pair_done(t);
}

static void net_peer__a_stranger_is_refused(void **state)
{
    for (int i = 0; i < 4; i++) {
        struct pair *t = *state;
        static const char *const texts[] = {"not in the configuration", "not in the configuration",
                                            "secret id", "too many connections"};

        keyed_open(t, i == 0 ? NULL : i == 2 ? other_key : the_key, i == 1 ? NULL : the_key);
        if (i == 3)
            t->high.verdict = WIRE_REFUSED_BUSY;
        side_add(&t->low, "127.0.0.1", peer_net_number(t->high.net));
        PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_REFUSED] == 1);
        assert_non_null(strstr(t->low.text[PEER_EVENT_REFUSED], texts[i]));
        assert_int_equal(t->high.n[PEER_EVENT_UP], 0);
        assert_false(peer_net_is_stranger(t->high.net, LOW));
        pair_done(t);
    }
}

/* PEER-9: who has no id of its cluster yet lets in who has one and knows its incarnation; where
 * nothing is known of it the host decides. Nobody else. */
static void net_peer__a_founder_without_an_id_lets_in_who_knows_it(void **state)
{
    static const struct {
        uint64_t known;
        enum wire_channel channel;
        bool has_id;
        enum wire_refusal refused;
    } rows[] = {
        {HIGH * 100, WIRE_CHANNEL_LOG, true, WIRE_REFUSED_NOT},
        {HIGH * 100 + 1, WIRE_CHANNEL_LOG, true, WIRE_REFUSED_FROM},
        {0, WIRE_CHANNEL_LOG, true, WIRE_REFUSED_NOT},    /* so says the host */
        {0, WIRE_CHANNEL_LOG, false, WIRE_REFUSED_FROM},  /* it is not asked */
        {0, WIRE_CHANNEL_PROBE, true, WIRE_REFUSED_FROM}, /* nor here */
        {HIGH * 100, WIRE_CHANNEL_LOG, false, WIRE_REFUSED_FROM},
        {HIGH * 100, WIRE_CHANNEL_PROBE, true, WIRE_REFUSED_FROM},
    };
    struct pair *t = *state;

    keyed_open(t, NULL, NULL);
    t->high.others = true;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire_hello h = hello_of(100 + i, HIGH, rows[i].channel, i);
        struct wire_hello reply;
        struct raw c;

        h.known_incarnation = rows[i].known;
        h.challenged = rows[i].has_id;
        raw_connect(&c, peer_net_number(t->high.net));
        raw_hello(&t->pump, &c, &h, false);
        PUMP_UNTIL(&t->pump, raw_take_hello(&c, WIRE_FRAME_HELLO_REPLY, &reply));
        assert_int_equal(reply.refused, rows[i].refused);
        assert_int_equal(t->high.n_unmet, i >= 2); /* of what the host was asked about */
        assert_int_equal(peer_net_is_stranger(t->high.net, 100 + i),
                         rows[i].refused == WIRE_REFUSED_NOT);
        if (rows[i].refused != WIRE_REFUSED_NOT)
            assert_true(reply.incarnation == 0); /* PEER-7 */
        raw_close(&c);
        PUMP_UNTIL(&t->pump, !peer_net_is_stranger(t->high.net, 100 + i));
    }
    pair_done(t);
}

/* What a stranger leaves is nothing: with its last connection it is forgotten. */
static void net_peer__a_stranger_leaves_nothing(void **state)
{
    struct pair *t = *state;
    uint8_t refused;
    struct raw c[2];
    struct raw half;

    keyed_open(t, NULL, the_key);
    t->high.others = true;
    for (uint64_t i = 0; i < 3 * PEER_STRANGERS_MAX; i++) {
        struct wire_hello h = hello_of(200 + i, HIGH, WIRE_CHANNEL_LOG, 7);
        struct wire_hello reply;

        assert_true(raw_proven_link(t, c, 100 + i, i, &refused));
        raw_close(&c[i % 2]);
        PUMP_UNTIL(&t->pump, !peer_net_is_up(t->high.net, 100 + i));
        assert_false(peer_net_is_stranger(t->high.net, 100 + i));
        raw_link_close(c);
        /* Half a link, too. */
        reply = raw_ask(t, &half, peer_net_number(t->high.net), &h);
        assert_int_equal(reply.refused, WIRE_REFUSED_NOT);
        raw_prove(t, &half, &h, &reply, -1);
        PUMP_UNTIL(&t->pump, peer_net_is_stranger(t->high.net, 200 + i));
        raw_close(&half);
        PUMP_UNTIL(&t->pump, !peer_net_is_stranger(t->high.net, 200 + i));
    }
    pair_done(t);
}

/* They are few: the one that was silent longest goes first, and where all talk the newest is
 * refused. Members do not suffer. */
static void net_peer__strangers_are_few(void **state)
{
    enum { N = PEER_STRANGERS_MAX };
    struct pair *t = *state;
    struct raw c[N + 1][2];
    struct raw member[2];
    cleanup_buf struct buf b = BUF_INIT;
    uint8_t refused;

    keyed_open(t, NULL, the_key);
    t->high.others = true;
    side_add(&t->high, "127.0.0.1", 1);
    assert_true(raw_proven_link(t, member, LOW, 1, &refused));
    for (unsigned i = 0; i < N; i++) {
        assert_true(raw_proven_link(t, c[i], 100 + i, 2 + i, &refused));
        time_passes(1000);
    }
    assert_false(raw_proven_link(t, c[N], 100 + N, 99, &refused));
    assert_int_equal(refused, WIRE_REFUSED_BUSY);
    frame_add(&b, "I am here", 9);
    raw_send(&t->pump, &c[0][0], b.data, b.len);
    PUMP_UNTIL(&t->pump, t->high.n_frames == 1);
    time_passes(PEER_STRANGER_IDLE_US - 1000);
    /* 100 has just said something; 101 is the next. */
    assert_true(raw_proven_link(t, c[N], 100 + N, 100, &refused));
    assert_false(peer_net_is_up(t->high.net, 101));
    assert_true(peer_net_is_up(t->high.net, 100));
    PUMP_UNTIL(&t->pump, raw_read(&c[1][0]) && raw_read(&c[1][1]));
    assert_true(peer_net_is_up(t->high.net, LOW));
    assert_int_equal(t->high.n[PEER_EVENT_DOWN], 1);
    for (unsigned i = 0; i <= N; i++)
        raw_link_close(c[i]);
    raw_link_close(member);
    pair_done(t);
}

/* ---- who leaves ---- */

static void net_peer__remove_closes_and_forgets(void **state)
{
    struct pair *t = *state;

    pair_open(t);
    peer_net_remove(t->low.net, HIGH);
    assert_string_equal(t->low.history, "UD");
    assert_false(peer_net_is_up(t->low.net, HIGH));
    assert_null(peer_net_out(t->low.net, HIGH, WIRE_CHANNEL_LOG));
    PUMP_UNTIL(&t->pump, !peer_net_is_up(t->high.net, LOW));
    pump_for(&t->pump, 150000);
    assert_string_equal(t->low.history, "UD"); /* nobody dials */
    assert_string_equal(t->high.history, "UD");
    side_add(&t->low, "127.0.0.1", peer_net_number(t->high.net));
    PUMP_UNTIL(&t->pump, both_up(t));
    peer_net_remove(t->low.net, 999);
    assert_true(both_up(t));
    /* Room for others, as often as one likes. */
    for (raft_node_id id = 1000; id < 1000 + 5 * RAFT_SERVERS_MAX; id++) {
        assert_int_equal(peer_net_add(t->low.net, id, "127.0.0.1:1"), 0);
        peer_net_remove(t->low.net, id);
    }
    pair_done(t);
}

/* PEER-4. */
static void net_peer__remove_inside_callbacks(void **state)
{
    for (int keyed = 0; keyed < 2; keyed++) {
        for (int on_low = 0; on_low < 2; on_low++) {
            for (int where = INSIDE_HELLO; where <= INSIDE_EVENT + 1; where++) {
                struct pair *t = *state;
                struct side *s = on_low ? &t->low : &t->high;
                struct side *o = on_low ? &t->high : &t->low;

                keyed_open(t, keyed ? the_key : NULL, keyed ? the_key : NULL);
                s->others = true;
                s->inside_removes = true;
                s->inside = where < INSIDE_EVENT ? (enum inside)where : INSIDE_EVENT;
                s->inside_event = where == INSIDE_EVENT + 1 ? PEER_EVENT_DOWN : PEER_EVENT_UP;
                keyed_add(t);
                if (where == INSIDE_FRAME || where == INSIDE_EVENT + 1)
                    PUMP_UNTIL(&t->pump, both_up(t));
                if (where == INSIDE_FRAME)
                    for (int i = 0; i < 20; i++)
                        send_text(o, WIRE_CHANNEL_LOG, "frame");
                if (where == INSIDE_EVENT + 1)
                    peer_net_close(o->net, o->other, "made up");
                PUMP_UNTIL(&t->pump, s->inside == INSIDE_NOTHING);
                pump_for(&t->pump, 2000);
                side_add(s, "127.0.0.1", peer_net_number(o->net));
                PUMP_UNTIL(&t->pump, both_up(t));
                pair_done(t);
            }
        }
    }
}

/* PEER-11: that it was removed a node believes of nobody who does not know the cluster's id. */
static void net_peer__removed_is_believed_with_a_proof(void **state)
{
    for (int i = 0; i < 4; i++) {
        struct pair *t = *state;
        const bool proved = i == 0;

        keyed_open(t, i == 1 ? NULL : the_key, i == 2 ? NULL : i == 3 ? other_key : the_key);
        t->high.verdict = WIRE_REFUSED_REMOVED;
        t->high.removed_index = 4711;
        keyed_add(t);
        PUMP_UNTIL(&t->pump, t->low.n[proved ? PEER_EVENT_REMOVED : PEER_EVENT_REFUSED] == 1);
        pump_for(&t->pump, 20000);
        assert_int_equal(t->low.n[PEER_EVENT_REMOVED] == 0, !proved);
        assert_int_equal(t->low.n[PEER_EVENT_REFUSED] == 0, proved);
        if (proved)
            assert_string_equal(t->low.text[PEER_EVENT_REMOVED], "4711");
        if (i >= 2) /* without a proof the number is nobody's word */
            assert_non_null(
                strstr(t->low.text[PEER_EVENT_REFUSED], "they refuse: this node was removed"));
        assert_string_equal(t->high.text[PEER_EVENT_REFUSED],
                            "we refuse: it was removed at index 4711");
        pair_done(t);
    }
}

/* PEER-11: a founder without an id, removed before it heard of one, is told by whoever is known to
 * it by his incarnation, and knows it by its own: by no member any more, and nobody else. */
static void net_peer__a_founder_without_an_id_is_told_that_it_was_removed(void **state)
{
    static const struct {
        uint64_t low_knows;
        uint64_t high_knows;
        bool high_has_id;
        bool told;
    } rows[] = {
        {HIGH * 100, LOW * 100, true, true},
        {HIGH * 100 + 1, LOW * 100, true, false},
        {HIGH * 100, LOW * 100 + 1, true, false},
        {HIGH * 100, LOW * 100, false, false},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pair *t = *state;

        keyed_open(t, NULL, rows[i].high_has_id ? the_key : NULL);
        t->high.verdict = WIRE_REFUSED_REMOVED;
        t->high.removed_index = 4711;
        t->low.knows = rows[i].low_knows;
        t->high.knows = rows[i].high_knows;
        side_add(&t->low, "127.0.0.1", peer_net_number(t->high.net));
        PUMP_UNTIL(&t->pump, t->low.n[rows[i].told ? PEER_EVENT_REMOVED : PEER_EVENT_REFUSED] == 1);
        pump_for(&t->pump, 20000);
        assert_int_equal(t->low.n[PEER_EVENT_REMOVED] == 0, !rows[i].told);
        if (rows[i].told)
            assert_string_equal(t->low.text[PEER_EVENT_REMOVED], "4711");
        pair_done(t);
    }
}

/* The proof is of the refusal, too, and of the index. */
static void net_peer__removed_by_somebody_who_listened(void **state)
{
    for (int i = 0; i < 5; i++) {
        struct pair *t = *state;
        struct wire_hello h[2];
        struct wire_hello reply;
        struct raw c[2];
        const int fd = low_open_on_raw_listener_with(t, the_key);

        raw_accept_link(t, fd, c, h);
        assert_true(h[0].challenged && h[1].challenged);
        assert_memory_not_equal(h[0].challenge, h[1].challenge, 16);
        reply = reply_to(&h[1]);
        reply.challenged = true;
        reply.proved = i != 4;
        reply.refused = i == 1 ? WIRE_REFUSED_NOT : WIRE_REFUSED_REMOVED;
        reply.removed_index = 5;
        proof_by_hand(i == 3 ? other_key : the_key, "ridd link 1: acceptor", &h[1], &reply,
                      reply.proof);
        reply.refused = WIRE_REFUSED_REMOVED;
        reply.removed_index += i == 2;
        raw_hello(&t->pump, &c[1], &reply, true);
        PUMP_UNTIL(&t->pump, raw_read(&c[0]) && raw_read(&c[1]));
        assert_string_equal(t->low.history, i == 0 ? "M" : "R");
        raw_link_close(c);
        (void)close(fd);
        pair_done(t);
    }
}

/* ---- both dial ---- */

/* PEER-10: the lower one does not know the other; it would never dial. */
static void net_peer__the_higher_one_dials_in_the_end(void **state)
{
    for (int keyed = 0; keyed < 2; keyed++) {
        struct pair *t = *state;
        const struct peer_net_conf low = conf_of(LOW);
        struct peer_net_conf high = conf_of(HIGH);

        high.second_us = 20000;
        pair_init(t);
        side_open(t, &t->high, &high, "127.0.0.1:0");
        side_open(t, &t->low, &low, "127.0.0.1:0");
        peer_net_set_key(t->low.net, keyed ? the_key : NULL);
        peer_net_set_key(t->high.net, keyed ? the_key : NULL);
        if (!keyed) /* it knows it, but not where it is */
            side_add(&t->low, "127.0.0.1", 1);
        side_add(&t->high, "127.0.0.1", peer_net_number(t->low.net));
        PUMP_UNTIL(&t->pump, both_up(t));
        assert_int_equal(peer_net_is_stranger(t->low.net, HIGH), keyed);
        pair_done(t);
    }
}

/* While the lower one dials itself, and when its link has just come up, it refuses; nobody is told,
 * for there is nothing to be done. Later it takes the newer link. */
static void net_peer__the_lower_one_refuses_while_it_dials(void **state)
{
    struct pair *t = *state;
    struct wire_hello h[2];
    struct wire_hello hello = hello_of(HIGH, LOW, WIRE_CHANNEL_CONTROL, 5);
    struct wire_hello reply;
    struct raw c[2];
    struct raw theirs[2];
    const int fd = low_open_on_raw_listener(t);

    raw_accept_link(t, fd, c, h);
    for (int i = 0; i < 3; i++) {
        raw_connect(&theirs[0], peer_net_number(t->low.net));
        raw_hello(&t->pump, &theirs[0], &hello, false);
        PUMP_UNTIL(&t->pump, raw_take_hello(&theirs[0], WIRE_FRAME_HELLO_REPLY, &reply));
        assert_int_equal(reply.refused, i == 2 ? WIRE_REFUSED_NOT : WIRE_REFUSED_CROSSED);
        assert_true(i == 2 || (reply.incarnation == 0 && reply.known_incarnation <= 1));
        if (i == 2)
            break;
        raw_close(&theirs[0]);
        if (i == 0) {
            for (int k = 0; k < 2; k++) {
                reply = reply_to(&h[k]);
                raw_hello(&t->pump, &c[k], &reply, true);
            }
            PUMP_UNTIL(&t->pump, peer_net_is_up(t->low.net, HIGH));
        } else {
            time_passes(PEER_CROSSED_US);
        }
    }
    assert_string_equal(t->low.history, "U");
    hello.channel = WIRE_CHANNEL_LOG;
    raw_connect(&theirs[1], peer_net_number(t->low.net));
    raw_hello(&t->pump, &theirs[1], &hello, false);
    PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_UP] == 2);
    assert_string_equal(t->low.history, "UDU");
    raw_link_close(c);
    raw_link_close(theirs);
    (void)close(fd);
    pair_done(t);
}

/* A refusal of that kind is no news for the dialler either, nor is that of a lower node of version 1,
 * which takes no calls. */
static void net_peer__who_is_refused_so_says_nothing(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct pair *t = *state;
        struct peer_net_conf conf = conf_of(HIGH);
        struct wire_hello hello;
        struct wire_hello reply;
        unsigned port;
        struct raw c;
        int fd = port_keep(&port);

        assert_int_equal(listen(fd, 10), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        pair_init(t);
        conf.second_us = 1000;
        side_open(t, &t->high, &conf, "127.0.0.1:0");
        side_add(&t->high, "127.0.0.1", port);
        for (int n = 0; n < 4; n++) {
            int one = -1;

            PUMP_UNTIL(&t->pump, (one = accept(fd, NULL, NULL)) >= 0);
            raw_take_in(&c, one);
            PUMP_UNTIL(&t->pump, raw_take_hello(&c, WIRE_FRAME_HELLO, &hello) || raw_read(&c));
            if (!raw_read(&c)) {
                reply = reply_to(&hello);
                reply.refused = i == 0 ? WIRE_REFUSED_CROSSED : WIRE_REFUSED_FROM;
                reply.version_highest = i == 0 ? WIRE_VERSION_HIGHEST : 1;
                raw_hello(&t->pump, &c, &reply, true);
                PUMP_UNTIL(&t->pump, raw_read(&c));
            }
            raw_close(&c);
        }
        assert_string_equal(t->high.history, "");
        (void)close(fd);
        pair_done(t);
    }
}

/* One that only says it is the peer does not keep us from dialling it. */
static void net_peer__an_unproved_caller_is_waited_for_a_few_times(void **state)
{
    struct pair *t = *state;
    struct wire_hello hello = hello_of(HIGH, LOW, WIRE_CHANNEL_CONTROL, 5);
    struct wire_hello h[2];
    struct wire_hello reply;
    struct raw c[2];
    struct raw liar;
    unsigned n_silent = 0;
    unsigned port;
    int fd = port_keep(&port);

    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    keyed_open(t, the_key, NULL);
    peer_net_free(t->high.net);
    t->high.net = NULL;
    side_add(&t->low, "127.0.0.1", 1);
    PUMP_UNTIL(&t->pump, t->low.n[PEER_EVENT_FAILED] == 1);
    reply = raw_ask(t, &liar, peer_net_number(t->low.net), &hello);
    assert_int_equal(reply.refused, WIRE_REFUSED_NOT);
    side_add(&t->low, "127.0.0.1", port);
    for (unsigned i = 0; i < 2;) {
        int one = -1;

        PUMP_UNTIL(&t->pump, (one = accept(fd, NULL, NULL)) >= 0);
        raw_take_in(&c[i], one);
        PUMP_UNTIL(&t->pump, raw_take_hello(&c[i], WIRE_FRAME_HELLO, &h[i]) || raw_read(&c[i]));
        if (!c[i].eof && c[i].error == 0) {
            i++;
            continue;
        }
        raw_close(&c[i]);
        n_silent++;
        assert_true(n_silent <= 2 * PEER_YIELDS_MAX);
    }
    assert_true(n_silent >= PEER_YIELDS_MAX && n_silent <= 2 * PEER_YIELDS_MAX);
    raw_close(&liar);
    raw_link_close(c);
    (void)close(fd);
    pair_done(t);
}

/* Bytes between two nodes, each piece later by a random time. */
struct relay {
    struct prng *r;
    int listen_fd;
    unsigned to_port;
    unsigned delay_us_max;
    bool holds; /* takes in, and passes nothing on */
    struct relay_way {
        int from;
        int to;
        struct buf bytes;
        bool ended;
        uint64_t due_us;
    } ways[256];
    unsigned n_ways;
};

static unsigned relay_open(struct relay *y)
{
    struct sockaddr_in sa = raw_loopback(0);
    socklen_t len = sizeof(sa);

    y->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(y->listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(y->listen_fd, 50), 0);
    assert_int_equal(getsockname(y->listen_fd, (struct sockaddr *)&sa, &len), 0);
    y->n_ways = 0;
    return ntohs(sa.sin_port);
}

static void relay_way_step(struct relay *y, struct relay_way *w)
{
    char bytes[4096];
    ssize_t n;

    if (w->from < 0)
        return;
    if (w->bytes.len == 0 && !w->ended) {
        n = recv(w->from, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0)
            assert_int_equal(buf_add(&w->bytes, bytes, (size_t)n), 0);
        w->ended = n <= 0;
        w->due_us = real_us() + prng_below(y->r, y->delay_us_max + 1);
    }
    if (y->holds || real_us() < w->due_us)
        return;
    if (w->bytes.len > 0)
        (void)!send(w->to, w->bytes.data, w->bytes.len, MSG_NOSIGNAL);
    buf_reset(&w->bytes, 0);
    if (w->ended) {
        (void)shutdown(w->to, SHUT_RDWR);
        w->from = -1;
    }
}

static void relay_step(struct relay *y)
{
    const struct sockaddr_in sa = raw_loopback(y->to_port);
    int fd = accept4(y->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    int to;

    if (fd >= 0) {
        assert_true(y->n_ways + 2 <= sizeof(y->ways) / sizeof(y->ways[0]));
        to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(to, (const struct sockaddr *)&sa, sizeof(sa)), 0);
        y->ways[y->n_ways++] = (struct relay_way){.from = fd, .to = to};
        y->ways[y->n_ways++] = (struct relay_way){.from = to, .to = fd};
    }
    for (unsigned i = 0; i < y->n_ways; i++)
        relay_way_step(y, &y->ways[i]);
}

/* On both connections of a link its dialler has said something, and it waits here. */
static bool relay_has_some(const struct relay *y)
{
    unsigned n = 0;

    for (unsigned i = 0; i < y->n_ways; i += 2)
        n += y->ways[i].bytes.len > 0;
    return n == 2;
}

/* Whatever waits here, due or not. */
static void relay_send_all(struct relay *y)
{
    y->holds = false;
    for (unsigned i = 0; i < y->n_ways; i++)
        y->ways[i].due_us = 0;
    relay_step(y);
}

/* How many connections are open in both directions. */
static unsigned relay_n_open(const struct relay *y)
{
    unsigned n = 0;

    for (unsigned i = 0; i < y->n_ways; i += 2)
        n += y->ways[i].from >= 0 && y->ways[i + 1].from >= 0;
    return n;
}

static void relay_close(struct relay *y)
{
    for (unsigned i = 0; i < y->n_ways; i++) {
        (void)close(y->ways[i].to); /* of the pair each is the other's `to` */
        buf_done(&y->ways[i].bytes);
    }
    (void)close(y->listen_fd);
}

/* Where which of two dials comes first is not left to the machine. */
enum first { FIRST_ANY, FIRST_HIGH, FIRST_LOW };

/* One of the higher one's hellos has been heard: over TLS nothing else says that it has come. */
static void let_high_be_heard(struct pair *t, struct relay *y)
{
    y->holds = false;
    for (uint64_t begun_us = real_us(); t->low.n_hellos == 0;) {
        (void)event_base_loop(t->pump.base, EVLOOP_NONBLOCK);
        relay_step(y);
        assert_true(real_us() - begun_us < WAIT_US);
    }
}

/* The higher one dials, if it does, and nothing of that arrives for a while. FIRST_HIGH: then its
 * hellos are in the sockets of the lower one, which has accepted them, before that one begins to
 * dial. FIRST_ANY: now and then, as far as they have come. */
static void let_high_dial(struct pair *t, struct relay *y, enum first first)
{
    const uint64_t until_us = real_us() + prng_below(y->r, 1500);

    if (raw_tls != NULL && first == FIRST_HIGH) {
        let_high_be_heard(t, y);
        return;
    }
    y->holds = true;
    do {
        (void)event_base_loop(t->pump.base, EVLOOP_NONBLOCK);
        relay_step(y);
    } while (real_us() < until_us || (first == FIRST_HIGH && !relay_has_some(y)));
    (void)event_base_loop(t->pump.base, EVLOOP_NONBLOCK);
    y->holds = false;
    if (first == FIRST_HIGH || (first == FIRST_ANY && prng_below(y->r, 2) == 0))
        relay_send_all(y);
}

/* PEER-10: both dial in the same moment, with the network as slow as it likes. There is exactly one
 * link in the end, and none that was up had to go for it. It may be of either. */
static void net_peer__both_dial_at_once(void **state)
{
    const unsigned n = TEST_SANITIZED || raw_tls != NULL ? 300 : 1000;
    struct relay relays[2] = {{0}};
    unsigned n_by_high = 0;
    struct prng r;

    prng_init(&r, 20260101);
    for (unsigned i = 0; i < n; i++) {
        struct pair *t = *state;
        const struct peer_net_conf low = conf_of(LOW);
        struct peer_net_conf high = conf_of(HIGH);
        const bool keyed = i / 2 % 2 == 0;
        /* Of TLS there is no telling when a hello has come that nobody has read. */
        const bool tellable = raw_tls == NULL || keyed;
        const enum first first = i % 10 == 0 && tellable ? FIRST_HIGH
                                 : i % 10 == 1           ? FIRST_LOW
                                                         : FIRST_ANY;
        unsigned ports[2];
        uint64_t until_us;

        high.second_us = first == FIRST_LOW ? FAR_US : 1 + prng_below(&r, 1200);
        pair_init(t);
        side_open(t, &t->high, &high, "127.0.0.1:0");
        side_open(t, &t->low, &low, "127.0.0.1:0");
        peer_net_set_key(t->low.net, keyed ? the_key : NULL);
        peer_net_set_key(t->high.net, keyed ? the_key : NULL);
        for (int k = 0; k < 2; k++) {
            relays[k].r = &r;
            relays[k].delay_us_max = 1 + (unsigned)prng_below(&r, 800);
            if (first == FIRST_HIGH) /* it is waited for a few times, and no longer */
                relays[k].delay_us_max = 0;
            relays[k].to_port = peer_net_number(k == 0 ? t->low.net : t->high.net);
            ports[k] = relay_open(&relays[k]);
        }
        side_add(&t->high, "127.0.0.1", ports[0]);
        let_high_dial(t, &relays[0], first);
        side_add(&t->low, "127.0.0.1", ports[1]);
        until_us = 0;
        for (uint64_t begun_us = real_us(); until_us == 0 || real_us() < until_us;) {
            (void)event_base_loop(t->pump.base, EVLOOP_NONBLOCK);
            relay_step(&relays[0]);
            relay_step(&relays[1]);
            /* All that is under way comes to its end meanwhile. */
            if (until_us == 0 && both_up(t) &&
                relay_n_open(&relays[0]) + relay_n_open(&relays[1]) == 2)
                until_us = real_us() + 3000;
            if (real_us() - begun_us > WAIT_US)
                fail_msg("%u: low %s, high %s; %u and %u connections", i, t->low.history,
                         t->high.history, relay_n_open(&relays[0]), relay_n_open(&relays[1]));
        }
        if (strcmp(t->low.history, "U") != 0 || strcmp(t->high.history, "U") != 0 || !both_up(t))
            fail_msg("%u: low %s, high %s: %s%s", i, t->low.history, t->high.history,
                     t->low.text[PEER_EVENT_DOWN], t->high.text[PEER_EVENT_DOWN]);
        if (relay_n_open(&relays[0]) + relay_n_open(&relays[1]) != 2)
            fail_msg("%u: %u and %u connections", i, relay_n_open(&relays[0]),
                     relay_n_open(&relays[1]));
        if (first != FIRST_ANY && relay_n_open(&relays[0]) != (first == FIRST_HIGH ? 2 : 0))
            fail_msg("%u: the link is that of the %s one", i,
                     first == FIRST_HIGH ? "lower" : "higher");
        n_by_high += relay_n_open(&relays[0]) == 2;
        pair_done(t);
        relay_close(&relays[0]);
        relay_close(&relays[1]);
    }
    print_message("%u links, %u of them dialled by the higher one\n", n, n_by_high);
    assert_true(n_by_high > 0 && n_by_high < n);
}

/* ---- probe ---- */

static void probe(struct pair *t, struct probe *p, unsigned port)
{
    (void)snprintf(p->addr, sizeof(p->addr), "127.0.0.1:%u", port);
    probe_begin(p);
    PUMP_UNTIL(&t->pump, p->done);
    probe_end();
}

static void net_peer__probe(void **state)
{
    struct probe *p = &the_probe;
    struct pair *t = *state;

    *p = (struct probe){.hello = hello_of(LOW, HIGH, WIRE_CHANNEL_CONTROL, 5), .tls = raw_tls};
    high_open(t);
    probe(t, p, peer_net_number(t->high.net));
    assert_int_equal(p->result, 0);
    assert_int_equal(p->reply.refused, WIRE_REFUSED_NOT);
    assert_true(p->reply.last_index == 1000 + HIGH);
    /* PEER-7: that the name is known, not by which incarnation; and nothing of our own. */
    assert_true(p->reply.known_incarnation == WIRE_INCARNATION_WITHHELD);
    assert_true(p->reply.incarnation == 0);
    assert_int_equal(p->reply.channel, WIRE_CHANNEL_PROBE);
    assert_int_equal(t->high.n_hellos, 0);
    assert_string_equal(t->high.history, "");
    p->hello.cluster_id[0] ^= 1;
    probe(t, p, peer_net_number(t->high.net));
    assert_int_equal(p->result, 0);
    assert_int_equal(p->reply.refused, WIRE_REFUSED_CLUSTER);
    assert_true(p->reply.incarnation == 0 && p->reply.known_incarnation == 0);
    pair_done(t);
}

struct stopper {
    int listen_fd;
    atomic_bool stops;
};

static void *stop_when_asked(void *ctx)
{
    struct stopper *s = ctx;
    int fd = accept(s->listen_fd, NULL, NULL);

    atomic_store(&s->stops, true);
    return (void *)(intptr_t)fd;
}

/* MEMBER-25: who is told to end does not wait for a node that does not answer. */
static void net_peer__a_join_is_given_up(void **state)
{
    struct stopper s = {.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct wire_join join = {.version_highest = WIRE_VERSION_HIGHEST,
                             .version_lowest = WIRE_VERSION_LOWEST,
                             .from = LOW,
                             .cluster_name = "test",
                             .node_name = "n4"};
    struct sockaddr_in sa = raw_loopback(0);
    struct wire_join_reply reply;
    socklen_t len = sizeof(sa);
    uint64_t start_us;
    pthread_t thread;
    char addr[32];
    void *fd;

    (void)state;
    test_time.runs = true;
    assert_int_equal(bind(s.listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(s.listen_fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(listen(s.listen_fd, 5), 0);
    (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", ntohs(sa.sin_port));
    assert_int_equal(pthread_create(&thread, NULL, stop_when_asked, &s), 0);
    start_us = clock_mono_us();
    assert_int_equal(peer_join(&(struct peer_whom){.addr = addr}, &join, 60000, &s.stops, &reply),
                     -ECANCELED);
    assert_true(clock_mono_us() - start_us < WAIT_US / 2);
    assert_int_equal(pthread_join(thread, &fd), 0);
    (void)close((int)(intptr_t)fd);
    (void)close(s.listen_fd);
}

static void net_peer__probe_without_an_answer(void **state)
{
    struct probe *p = &the_probe;
    struct sockaddr_in sa = raw_loopback(0);

    socklen_t len = sizeof(sa);
    const char junk[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    uint64_t start_us;
    struct raw c;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    *p = (struct probe){.hello = hello_of(LOW, HIGH, WIRE_CHANNEL_PROBE, 5)};
    test_time.runs = true;
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    (void)snprintf(p->addr, sizeof(p->addr), "127.0.0.1:%u", ntohs(sa.sin_port));
    assert_int_equal(peer_probe(&(struct peer_whom){.addr = p->addr}, &p->hello, 60000, &p->reply),
                     -ECONNREFUSED);
    assert_non_null(strstr(err_text(), "no answer from '127.0.0.1:"));
    assert_int_equal(
        peer_probe(&(struct peer_whom){.addr = "nonsense"}, &p->hello, 60000, &p->reply), -EINVAL);

    assert_int_equal(listen(fd, 5), 0);
    start_us = clock_mono_us();
    assert_int_equal(peer_probe(&(struct peer_whom){.addr = p->addr}, &p->hello, 150, &p->reply),
                     -ETIMEDOUT);
    assert_true(clock_mono_us() - start_us >= 150000);
    assert_true(clock_mono_us() - start_us < WAIT_US / 2);
    (void)close(accept(fd, NULL, NULL));

    probe_begin(p);
    raw_adopt(&c, accept(fd, NULL, NULL));
    assert_int_equal(raw_send_some(&c, junk, sizeof(junk) - 1), sizeof(junk) - 1);
    probe_end();
    assert_int_equal(p->result, -EPROTO);
    raw_close(&c);

    probe_begin(p);
    raw_adopt(&c, accept(fd, NULL, NULL));
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    probe_end();
    assert_int_equal(p->result, -ECONNRESET);
    raw_close(&c);
    (void)close(fd);
}

/* What anybody may see of an id tells it from others, and is no hash that could be made of a guess
 * without the id being a key (MEMBER-16). */
static void net_peer__a_key_is_shown_by_a_keyed_sum(void **state)
{
    /* HMAC-SHA256 of "ridd link 1: shown" and 14 zeros, with the key 0, 1, .. 15; its first eight
     * bytes as a number in little endian. */
    static const char *const known = "085256efe929a659";
    unsigned char key[16];
    char shown[WIRE_CLUSTER_HASH_BUF];
    char other[WIRE_CLUSTER_HASH_BUF];

    (void)state;
    for (unsigned i = 0; i < 16; i++)
        key[i] = (unsigned char)i;
    assert_true(peer_net_shown_key(key, shown));
    assert_string_equal(shown, known);
    wire_cluster_hash(key, other);
    assert_true(strcmp(shown, other) != 0);
    for (unsigned bit = 0; bit < 128; bit++) {
        key[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_true(peer_net_shown_key(key, other));
        assert_true(strcmp(shown, other) != 0);
        key[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

/* The same cases with and without TLS: what a link does must not depend on it. */
static int before_all(void **state)
{
    (void)state;
#ifdef TEST_OVER_TLS
    raw_tls = tls_of_secret("tests", 's');
#endif
    return 0;
}

static int after_all(void **state)
{
    (void)state;
    tls_ctx_unref(raw_tls);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(net_peer__link_comes_up_and_carries_frames),
        CASE(net_peer__links_come_before_all_else),
        CASE(net_peer__dials_until_somebody_is_there),
        CASE(net_peer__new_address_is_used),
        CASE(net_peer__a_silent_name_server_delays_one_peer),
        CASE(net_peer__probe_of_a_name_that_hangs),
        CASE(net_peer__add_refuses_nonsense),
        CASE(net_peer__close_and_reconnect),
        CASE(net_peer__both_channels_die_together),
        CASE(net_peer__gone_is_told),
        CASE(net_peer__who_listens_is_not_gone),
        CASE(net_peer__gone_after_its_last_breath),
        CASE(net_peer__gone_needs_both_ends),
        CASE(net_peer__gone_waits_for_the_other_end),
        CASE(net_peer__who_has_moved_is_not_gone),
        CASE(net_peer__gone_is_nothing_else),
        CASE(net_peer__whose_name_moved_is_not_gone),
        CASE(net_peer__gone_inside_callbacks),
        CASE(net_peer__new_link_replaces_a_stale_one),
        CASE(net_peer__nonces_pair),
        CASE(net_peer__refused_handshakes),
        CASE(net_peer__a_newer_peer_is_spoken_to_in_the_common_version),
        CASE(net_peer__versions_without_overlap_are_refused_in_words),
        CASE(net_peer__the_lowest_version_is_raised),
        CASE(net_peer__both_sides_are_told),
        CASE(net_peer__a_refusal_names_both_clusters),
        CASE(net_peer__a_refusal_ends_with_a_link),
        CASE(net_peer__dialler_checks_replies),
        CASE(net_peer__frames_before_the_second_reply),
        CASE(net_peer__frames_before_the_second_hello),
        CASE(net_peer__silent_acceptor_times_out),
        CASE(net_peer__garbage_before_the_handshake),
        CASE(net_peer__silent_connections),
        CASE(net_peer__talkers_give_way_in_time),
        CASE(net_peer__the_odds_are_for_peers),
        CASE(net_peer__strangers_do_not_lock_peers_out),
        CASE(net_peer__frames_in_random_cuts),
        CASE(net_peer__largest_frame),
        CASE(net_peer__bad_frames_close_the_link),
        CASE(net_peer__many_frames_share_the_loop),
        CASE(net_peer__who_goes_on_talking_rests),
        CASE(net_peer__drops_at_the_limit),
        CASE(net_peer__closing_inside_callbacks),
        CASE(net_peer__closing_while_replaced),
        CASE(net_peer__dead_links_are_probed),
        CASE(net_peer__both_prove_the_cluster_id),
        CASE(net_peer__another_cluster_id_is_refused),
        CASE(net_peer__a_member_may_lag),
        CASE(net_peer__version_1_is_one_without_an_id),
        CASE(net_peer__a_proof_is_compared_whole),
        CASE(net_peer__a_proof_is_of_one_handshake),
        CASE(net_peer__a_stranger_is_let_in),
        CASE(net_peer__a_stranger_is_refused),
        CASE(net_peer__a_founder_without_an_id_lets_in_who_knows_it),
        CASE(net_peer__a_stranger_leaves_nothing),
        CASE(net_peer__strangers_are_few),
        CASE(net_peer__remove_closes_and_forgets),
        CASE(net_peer__remove_inside_callbacks),
        CASE(net_peer__removed_is_believed_with_a_proof),
        CASE(net_peer__a_founder_without_an_id_is_told_that_it_was_removed),
        CASE(net_peer__removed_by_somebody_who_listened),
        CASE(net_peer__the_higher_one_dials_in_the_end),
        CASE(net_peer__the_lower_one_refuses_while_it_dials),
        CASE(net_peer__who_is_refused_so_says_nothing),
        CASE(net_peer__an_unproved_caller_is_waited_for_a_few_times),
        CASE(net_peer__probe),
        CASE(net_peer__probe_without_an_answer),
        CASE(net_peer__a_join_is_given_up),
        CASE(net_peer__both_dial_at_once),
        cmocka_unit_test(net_peer__a_key_is_shown_by_a_keyed_sum),
    };

    return cmocka_run_group_tests(tests, before_all, after_all);
}
