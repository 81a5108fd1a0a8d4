/* net: what TLS adds to the links of peers: who is let in by it, by which words others are not, a
 * certificate and the node that it names, another secret while links are up, records and the buffers
 * behind them. That links are links over TLS, too, test-net-peer-tls says. */
#include "test-net-util.h"

#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "net/join_port.h"
#include "net/peer_net.h"
#include "unit/fake-certs.h"
#include "unit/temp-folder.h"

#define N_SIDES 2u

struct side {
    struct peer_net *net;
    raft_node_id self;
    raft_node_id other;
    unsigned n[PEER_EVENTS];
    char text[PEER_EVENTS][320];
    unsigned n_hellos;
    char tls_name[TLS_NAME_BYTES_MAX + 1];
    uint64_t sum; /* of what frames carry */
    uint64_t n_bytes;
    unsigned n_frames;
    unsigned n_asked; /* whether the time is spent */
    bool is_spent;
};

struct pair {
    struct pump pump;
    struct side low; /* which dials */
    struct side high;
};

static const unsigned char cluster[16] = "cluster-of-tests";
static char folder[TEMP_FOLDER_PATH_MAX]; /* of certificates */

static enum wire_refusal on_hello(void *ctx, const struct wire_hello *h, struct peer_asked *asked)
{
    struct side *s = ctx;

    (void)h;
    s->n_hellos++;
    (void)snprintf(s->tls_name, sizeof(s->tls_name), "%s", asked->tls_name);
    return WIRE_REFUSED_NOT;
}

static void fill_hello(void *ctx, raft_node_id to, struct wire_hello *h)
{
    (void)ctx;
    (void)to;
    h->last_index = 7;
}

static int on_frame(void *ctx, raft_node_id from, const struct wire_frame *frame)
{
    struct side *s = ctx;

    (void)from;
    s->n_frames++;
    s->n_bytes += frame->payload_len;
    s->sum = s->sum * 31 + crc32c(0, frame->payload, frame->payload_len);
    return PEER_FRAME_TAKEN;
}

static void on_event(void *ctx, enum peer_event event, raft_node_id peer, const char *address,
                     const char *text)
{
    struct side *s = ctx;

    (void)peer;
    (void)address;
    s->n[event]++;
    (void)snprintf(s->text[event], sizeof(s->text[event]), "%s", text);
}

static bool spent(void *ctx)
{
    struct side *s = ctx;

    s->n_asked++;
    return s->is_spent;
}

static void turn(void *ctx)
{
    struct pair *t = ctx;

    if (t->low.net != NULL)
        peer_net_flush(t->low.net);
    if (t->high.net != NULL)
        peer_net_flush(t->high.net);
}

static void side_open(struct pair *t, struct side *s, struct tls_ctx *tls, uint64_t handshake_us)
{
    const struct peer_net_ops ops = {.ctx = s,
                                     .on_hello = on_hello,
                                     .fill_hello = fill_hello,
                                     .on_frame = on_frame,
                                     .on_event = on_event,
                                     .spent = spent};
    struct peer_net_conf conf = {.self = s->self,
                                 .incarnation = 1,
                                 .seed = s->self,
                                 .handshake_us = handshake_us,
                                 .user_timeout_ms = 10 * (WAIT_US / 1000),
                                 .second_us = FAR_US,
                                 .tls = tls};

    memcpy(conf.cluster_id, cluster, sizeof(cluster));
    assert_int_equal(peer_net_new(t->pump.base, "127.0.0.1:0", &conf, &ops, &s->net), 0);
}

/* Who dials first is the one whose id is the lower one, which names do not decide. */
static void pair_begin(struct pair *t, const char *low, const char *high)
{
    memset(t, 0, sizeof(*t));
    t->low.self = t->high.other = low != NULL ? raft_founder_id(low) : 10;
    t->high.self = t->low.other = high != NULL ? raft_founder_id(high) : 20;
    pump_init(&t->pump, turn, t);
}

static void side_dial(struct side *s, unsigned port)
{
    char addr[64];

    (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", port);
    assert_int_equal(peer_net_add(s->net, s->other, addr), 0);
}

/* Both know each other, and the lower one dials. */
static void pair_open(struct pair *t, struct tls_ctx *low, struct tls_ctx *high)
{
    struct side *first = t->low.self < t->high.self ? &t->low : &t->high;
    struct side *second = first == &t->low ? &t->high : &t->low;

    side_open(t, &t->low, low, FAR_US);
    side_open(t, &t->high, high, FAR_US);
    side_dial(second, peer_net_number(first->net));
    side_dial(first, peer_net_number(second->net));
}

static bool both_up(const struct pair *t)
{
    return peer_net_is_up(t->low.net, t->low.other) && peer_net_is_up(t->high.net, t->high.other);
}

static void pair_end(struct pair *t)
{
    peer_net_free(t->low.net);
    peer_net_free(t->high.net);
    t->low.net = NULL;
    t->high.net = NULL;
    pump_turn(&t->pump);
    pump_done(&t->pump);
}

static struct tls_ctx *tls_of_files(const char *cert, const char *ca, const char *name)
{
    struct tls_conf conf = {.use = TLS_PEERS, .cluster = name};
    char files[3][TEMP_FOLDER_PATH_MAX + 64];
    struct tls_ctx *tls = NULL;

    (void)snprintf(files[0], sizeof(files[0]), "%s/%s.pem", folder, cert);
    (void)snprintf(files[1], sizeof(files[1]), "%s/%s.key", folder, cert);
    (void)snprintf(files[2], sizeof(files[2]), "%s/%s.pem", folder, ca);
    conf.cert_file = files[0];
    conf.key_file = files[1];
    conf.ca_file = files[2];
    if (tls_ctx_new(&conf, &tls) != 0)
        fail_msg("%s", err_text());
    return tls;
}

static struct tls_ctx *tls_of_secrets(const char *letters)
{
    struct tls_secrets secrets = {0};
    struct tls_conf conf = {.use = TLS_PEERS, .cluster = "tests", .secrets = &secrets};
    struct tls_ctx *tls = NULL;

    for (; letters[secrets.n] != '\0'; secrets.n++) {
        secrets.of[secrets.n].len = TLS_SECRET_BYTES_MIN;
        memset(secrets.of[secrets.n].bytes, letters[secrets.n], TLS_SECRET_BYTES_MIN);
    }
    assert_int_equal(tls_ctx_new(&conf, &tls), 0);
    return tls;
}

/* ---- who is not let in ---- */

static void expect_strangers(struct pair *t, const char *low_says, const char *high_says)
{
    PUMP_UNTIL(&t->pump, (t->low.n[PEER_EVENT_REFUSED] > 0 || t->low.n[PEER_EVENT_FAILED] > 0) &&
                             t->high.n[PEER_EVENT_REFUSED] + t->high.n[PEER_EVENT_FAILED] > 0);
    pump_for(&t->pump, 20000);
    assert_int_equal(t->low.n_hellos + t->high.n_hellos, 0);
    assert_int_equal(t->low.n[PEER_EVENT_UP] + t->high.n[PEER_EVENT_UP], 0);
    if (strstr(t->low.text[PEER_EVENT_REFUSED], low_says) == NULL &&
        strstr(t->low.text[PEER_EVENT_FAILED], low_says) == NULL)
        fail_msg("who dials says '%s', '%s', not '%s'", t->low.text[PEER_EVENT_REFUSED],
                 t->low.text[PEER_EVENT_FAILED], low_says);
    if (strstr(t->high.text[PEER_EVENT_REFUSED], high_says) == NULL)
        fail_msg("who is dialled says '%s', not '%s'", t->high.text[PEER_EVENT_REFUSED], high_says);
    /* However often it is dialled, once for each reason. */
    assert_true(t->low.n[PEER_EVENT_REFUSED] <= 2);
}

struct wrong {
    const char *what;
    struct tls_ctx *low;
    struct tls_ctx *high;
    const char *low_says;
    const char *high_says;
};

static void expect_all_wrong(struct pair *t, struct wrong *rows, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        print_message("%s\n", rows[i].what);
        pair_begin(t, NULL, NULL);
        pair_open(t, rows[i].low, rows[i].high);
        expect_strangers(t, rows[i].low_says, rows[i].high_says);
        pair_end(t);
        tls_ctx_unref(rows[i].low);
        tls_ctx_unref(rows[i].high);
    }
}

/* TLS-10: not one byte of a hello is read of who has not the secret, and none is said to it. */
static void peer_tls__who_has_not_the_secret_is_nobody(void **state)
{
    static struct pair t;
    struct wrong rows[] = {
        {"plain to TLS", NULL, tls_of_secrets("a"), "", "no TLS"},
        {"TLS to plain", tls_of_secrets("a"), NULL, "", "frame"},
        {"another secret", tls_of_secrets("b"), tls_of_secrets("a"), "it ", "none of our secrets"},
        {"the same of another cluster", tls_of_secret("other", 'a'), tls_of_secrets("a"), "it ",
         "none of our secrets"},
    };

    (void)state;
    expect_all_wrong(&t, rows, sizeof(rows) / sizeof(rows[0]));
}

static void peer_tls__who_has_no_good_certificate_is_nobody(void **state)
{
    static struct pair t;
    struct wrong rows[] = {
        {"a client's", tls_of_files("client", "ca", "tests"), tls_of_files("n2", "ca", "tests"), "",
         ""},
        {"expired", tls_of_files("old-n1", "ca", "tests"), tls_of_files("n2", "ca", "tests"),
         "expired", "expired"},
        {"of another authority", tls_of_files("other-n1", "ca", "tests"),
         tls_of_files("n2", "ca", "tests"), "", ""},
        {"of another cluster", tls_of_files("foreign", "ca", "foreign"),
         tls_of_files("n2", "ca", "tests"), "", ""},
        {"none", tls_of_secrets("a"), tls_of_files("n2", "ca", "tests"), "", ""},
        {"to who has none", tls_of_files("n1", "ca", "tests"), tls_of_secrets("a"), "", ""},
    };

    (void)state;
    expect_all_wrong(&t, rows, sizeof(rows) / sizeof(rows[0]));
}

/* TLS-11: two nodes whose certificates name them; then one that shows another's. */
static void peer_tls__a_certificate_is_one_nodes(void **state)
{
    static struct pair t;
    struct tls_ctx *n1 = tls_of_files("n1", "ca", "tests");
    struct tls_ctx *n2 = tls_of_files("n2", "ca", "tests");
    struct tls_ctx *n3 = tls_of_files("n3", "ca", "tests");

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        pair_begin(&t, "n1", "n2");
        pair_open(&t, i == 1 ? n3 : n1, i == 2 ? n3 : n2);
        if (i == 0) {
            PUMP_UNTIL(&t.pump, both_up(&t));
            assert_string_equal(t.low.tls_name, "n2");
            assert_string_equal(t.high.tls_name, "n1");
        } else {
            struct side *refuses = i == 1 ? &t.high : &t.low;

            PUMP_UNTIL(&t.pump, refuses->n[PEER_EVENT_REFUSED] > 0);
            if (strstr(refuses->text[PEER_EVENT_REFUSED],
                       wire_refusal_text(WIRE_REFUSED_NAME, true)) == NULL)
                fail_msg("%u: '%s'", i, refuses->text[PEER_EVENT_REFUSED]);
            pump_for(&t.pump, 20000);
            assert_int_equal(refuses->n[PEER_EVENT_UP], 0);
            assert_int_equal(refuses->n_hellos, 0);
        }
        pair_end(&t);
    }
    tls_ctx_unref(n1);
    tls_ctx_unref(n2);
    tls_ctx_unref(n3);
}

/* ---- raw callers ---- */

static SSL *raw_ssl(const struct raw *c, int version)
{
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    SSL *ssl;

    assert_non_null(x);
    assert_int_equal(SSL_CTX_set_max_proto_version(x, version), 1);
    ssl = SSL_new(x);
    assert_non_null(ssl);
    SSL_CTX_free(x);
    assert_int_equal(SSL_set_fd(ssl, c->fd), 1);
    SSL_set_connect_state(ssl);
    return ssl;
}

/* Only the accepting node. */
static void high_open(struct pair *t, struct tls_ctx *tls, uint64_t handshake_us)
{
    pair_begin(t, NULL, NULL);
    side_open(t, &t->high, tls, handshake_us);
    side_dial(&t->high, 1);
}

static void peer_tls__an_older_tls_is_none(void **state)
{
    static struct pair t;
    struct tls_ctx *tls = tls_of_secrets("a");
    struct raw c;
    SSL *ssl;

    (void)state;
    high_open(&t, tls, FAR_US);
    raw_connect(&c, peer_net_number(t.high.net));
    ssl = raw_ssl(&c, TLS1_2_VERSION);
    (void)SSL_do_handshake(ssl);
    PUMP_UNTIL(&t.pump, t.high.n[PEER_EVENT_REFUSED] == 1);
    assert_non_null(strstr(t.high.text[PEER_EVENT_REFUSED], "TLS 1.3"));
    PUMP_UNTIL(&t.pump, raw_read(&c));
    SSL_free(ssl);
    raw_close(&c);
    pair_end(&t);
    tls_ctx_unref(tls);
}

/* The first bytes of what begins a handshake. */
static size_t client_hello(unsigned char *ret, size_t size)
{
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(x);
    BIO *out = BIO_new(BIO_s_mem());
    int n;

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    n = BIO_read(out, ret, (int)size);
    assert_true(n > 100);
    SSL_free(ssl);
    SSL_CTX_free(x);
    return (size_t)n;
}

/* TLS-10, PEER-2: half a handshake, silence behind it, and nothing at all. */
static void peer_tls__half_a_handshake(void **state)
{
    static struct pair t;
    struct tls_ctx *tls = tls_of_secrets("a");
    unsigned char bytes[1024];
    const size_t len = client_hello(bytes, sizeof(bytes));
    struct greeter_stats stats;
    struct raw c;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        high_open(&t, tls, 200000);
        raw_connect(&c, peer_net_number(t.high.net));
        if (i < 3)
            raw_send(&t.pump, &c, bytes, i == 0 ? 1 : len / 2);
        if (i < 2) { /* gone: nobody is told of it */
            do {
                pump_turn(&t.pump);
                peer_net_greetings(t.high.net, &stats);
            } while (stats.n_under_way == 0);
            raw_close(&c);
            PUMP_UNTIL(&t.pump, (peer_net_greetings(t.high.net, &stats), stats.n_failed == 1));
            assert_int_equal(t.high.n[PEER_EVENT_REFUSED], 0);
        } else { /* there, and too slow; a silent one has no part of a handshake (TLS-13) */
            pump_for(&t.pump, 20000);
            peer_net_greetings(t.high.net, &stats);
            assert_int_equal(stats.n_under_way, i == 2);
            assert_int_equal(t.high.n[PEER_EVENT_REFUSED], 0);
            time_passes(200000);
            PUMP_UNTIL(&t.pump, t.high.n[PEER_EVENT_REFUSED] == 1);
            assert_string_equal(t.high.text[PEER_EVENT_REFUSED], "handshake not finished in time");
            PUMP_UNTIL(&t.pump, raw_read(&c));
            raw_close(&c);
        }
        assert_int_equal(t.high.n_hellos, 0);
        pair_end(&t);
    }
    tls_ctx_unref(tls);
}

/* TLS-10: who is dialled and says nothing gets the beginning of TLS, and no byte more. */
static void peer_tls__nothing_is_said_before(void **state)
{
    static struct pair t;
    struct tls_ctx *tls = tls_of_secrets("a");
    struct sockaddr_in sa = raw_loopback(0);
    socklen_t size = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct raw c[2];
    size_t len;

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
    pair_begin(&t, NULL, NULL);
    side_open(&t, &t.low, tls, FAR_US);
    side_dial(&t.low, ntohs(sa.sin_port));
    for (unsigned i = 0; i < 2; i++) {
        int one = -1;

        PUMP_UNTIL(&t.pump, (one = accept(fd, NULL, NULL)) >= 0);
        raw_adopt(&c[i], one);
    }
    for (unsigned i = 0; i < 2; i++) {
        PUMP_UNTIL(&t.pump, raw_in(&c[i]) > 5);
        pump_for(&t.pump, 20000);
        len = raw_in(&c[i]);
        assert_int_equal(c[i].in.data[0], 22); /* a handshake, of one record */
        assert_int_equal(len, 5 + c[i].in.data[3] * 256u + c[i].in.data[4]);
        raw_close(&c[i]);
    }
    (void)close(fd);
    pair_end(&t);
    tls_ctx_unref(tls);
}

/* ---- another context ---- */

/* TLS-14: links stay as long as their secret is accepted, and go when it is not. */
static void peer_tls__a_secret_is_changed(void **state)
{
    static struct pair t;
    static const char *const steps[] = {"ab", "ba", "b"}; /* of both, one after the other */
    struct tls_ctx *tls = tls_of_secrets("a");
    struct tls_ctx *next;
    unsigned n_up;

    (void)state;
    pair_begin(&t, NULL, NULL);
    pair_open(&t, tls, tls);
    tls_ctx_unref(tls);
    PUMP_UNTIL(&t.pump, both_up(&t));
    for (unsigned i = 0; i < 3; i++) {
        n_up = t.low.n[PEER_EVENT_UP];
        next = tls_of_secrets(steps[i]);
        assert_int_equal(peer_net_set_tls(t.low.net, next), 0);
        assert_int_equal(peer_net_set_tls(t.high.net, next), 0);
        tls_ctx_unref(next);
        if (i < 2) {
            pump_for(&t.pump, 20000);
            assert_int_equal(t.low.n[PEER_EVENT_DOWN] + t.high.n[PEER_EVENT_DOWN], 0);
            continue;
        }
        PUMP_UNTIL(&t.pump, t.low.n[PEER_EVENT_UP] == n_up + 1 && both_up(&t));
        assert_string_equal(t.low.text[PEER_EVENT_DOWN],
                            "the secret that it was made with is not accepted any more");
        assert_int_equal(t.low.n[PEER_EVENT_DOWN], 1);
    }
    /* Without TLS, and with it again. */
    for (unsigned i = 0; i < 2; i++) {
        n_up = t.low.n[PEER_EVENT_UP];
        next = i == 0 ? NULL : tls_of_secrets("c");
        assert_int_equal(peer_net_set_tls(t.low.net, next), 0);
        assert_int_equal(peer_net_set_tls(t.high.net, next), 0);
        tls_ctx_unref(next);
        PUMP_UNTIL(&t.pump, t.low.n[PEER_EVENT_UP] == n_up + 1 && both_up(&t));
    }
    pair_end(&t);
}

/* TLS-14: one whose handshake had begun before the secret was changed. */
static void peer_tls__a_secret_is_changed_meanwhile(void **state)
{
    static struct pair t;
    struct tls_ctx *tls = tls_of_secrets("a");
    struct tls_ctx *next = tls_of_secrets("b");
    struct greeter_stats stats = {0};
    struct raw c;

    (void)state;
    high_open(&t, tls, FAR_US);
    raw_tls = tls;
    raw_connect(&c, peer_net_number(t.high.net));
    assert_false(raw_shake_hands(&c));
    PUMP_UNTIL(&t.pump, (peer_net_greetings(t.high.net, &stats), stats.n_under_way == 1));
    assert_int_equal(peer_net_set_tls(t.high.net, next), 0);
    PUMP_UNTIL(&t.pump, raw_read(&c));
    peer_net_greetings(t.high.net, &stats);
    assert_int_equal(stats.n_done, 1);
    assert_int_equal(t.high.n_hellos, 0);
    raw_close(&c);
    pair_end(&t);
    tls_ctx_unref(tls);
    tls_ctx_unref(next);
}

static void peer_tls__certificates_are_changed(void **state)
{
    static struct pair t;
    struct tls_ctx *n1 = tls_of_files("n1", "ca", "tests");
    struct tls_ctx *n2 = tls_of_files("n2", "ca", "tests");
    struct tls_ctx *again = tls_of_files("n1", "ca", "tests");
    struct tls_ctx *secret = tls_of_secrets("a");

    (void)state;
    pair_begin(&t, "n1", "n2");
    pair_open(&t, n1, n2);
    PUMP_UNTIL(&t.pump, both_up(&t));
    assert_int_equal(peer_net_set_tls(t.low.net, again), 0);
    pump_for(&t.pump, 20000);
    assert_int_equal(t.low.n[PEER_EVENT_DOWN], 0);
    assert_int_equal(peer_net_set_tls(t.low.net, secret), 0);
    assert_int_equal(t.low.n[PEER_EVENT_DOWN], 1);
    assert_string_equal(t.low.text[PEER_EVENT_DOWN], "certificates are not accepted any more");
    assert_int_equal(peer_net_set_tls(t.high.net, secret), 0);
    PUMP_UNTIL(&t.pump, both_up(&t));
    pair_end(&t);
    tls_ctx_unref(n1);
    tls_ctx_unref(n2);
    tls_ctx_unref(again);
    tls_ctx_unref(secret);
}

/* ---- bytes ---- */

static void frame_add(struct buf *b, size_t len, uint64_t *seed, struct side *expected)
{
    const size_t at = b->len;
    unsigned char *p = buf_reserve(b, FRAME_HEADER_BYTES + len);

    assert_non_null(p);
    put_u32(p, (uint32_t)(FRAME_HEADER_BYTES - 4 + len));
    p[8] = RAFT_MSG_APPEND;
    p[9] = 0;
    put_u16(p + 10, 0);
    for (size_t i = 0; i < len; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        p[FRAME_HEADER_BYTES + i] = (unsigned char)(*seed >> 56);
    }
    put_u32(p + 4, crc32c(0, p + 8, FRAME_HEADER_BYTES - 8 + len));
    b->len = at + FRAME_HEADER_BYTES + len;
    expected->n_frames++;
    expected->n_bytes += len;
    expected->sum = expected->sum * 31 + crc32c(0, p + FRAME_HEADER_BYTES, len);
}

static void expect_all_came(const struct side *s, const struct side *expected)
{
    assert_int_equal(s->n_bytes, expected->n_bytes);
    assert_true(s->sum == expected->sum);
}

/* TLS-12: frames of all sizes both ways, more at once than the kernel takes, while each side's time
 * is spent at each look: what is left of a record, of a frame and of the output arrives, in order. */
static void peer_tls__large_frames_and_rests(void **state)
{
    static const size_t sizes[] = {1,     16384 - 12, 16384, 16385, 100000, 4000000,
                                   16368, 3,          40000, 50000, 1200000};
    static struct pair t;
    struct tls_ctx *tls = tls_of_secrets("a");
    struct side expected[2] = {{0}};
    uint64_t seed = 5;

    (void)state;
    pair_begin(&t, NULL, NULL);
    pair_open(&t, tls, tls);
    PUMP_UNTIL(&t.pump, both_up(&t));
    t.low.is_spent = t.high.is_spent = true;
    for (unsigned i = 0; i < 4 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned k = 0; k < 2; k++) {
            struct side *from = k == 0 ? &t.low : &t.high;
            struct buf *out = NULL;

            PUMP_UNTIL(&t.pump,
                       (out = peer_net_out(from->net, from->other, WIRE_CHANNEL_LOG)) != NULL);
            frame_add(out, sizes[i % (sizeof(sizes) / sizeof(sizes[0]))], &seed, &expected[k]);
        }
        if (i % 3 == 0) /* what is written meanwhile comes behind it */
            turn(&t);
    }
    PUMP_UNTIL(&t.pump,
               t.high.n_frames == expected[0].n_frames && t.low.n_frames == expected[1].n_frames);
    expect_all_came(&t.high, &expected[0]);
    expect_all_came(&t.low, &expected[1]);
    assert_int_equal(t.low.n[PEER_EVENT_DOWN] + t.high.n[PEER_EVENT_DOWN], 0);
    pair_end(&t);
    tls_ctx_unref(tls);
}

/* TLS-12: frames behind the hello, in the very record perhaps, before the other channel is there:
 * they wait, and nothing of them stays in TLS, of which no event tells. */
static void peer_tls__frames_behind_the_hello(void **state)
{
    static struct pair t;
    struct tls_ctx *tls = tls_of_secrets("a");
    struct side expected = {0};
    uint64_t seed = 9;
    struct raw c[2];

    (void)state;
    high_open(&t, tls, FAR_US);
    raw_tls = tls;
    for (unsigned i = 0; i < 2; i++) {
        struct wire_hello h = {.version_highest = WIRE_VERSION_HIGHEST,
                               .version_lowest = WIRE_VERSION_LOWEST,
                               .channel = i == 0 ? WIRE_CHANNEL_LOG : WIRE_CHANNEL_CONTROL,
                               .from = t.low.self,
                               .to = t.high.self,
                               .incarnation = 1,
                               .link_nonce = 77};
        cleanup_buf struct buf out = BUF_INIT;

        memcpy(h.cluster_id, cluster, sizeof(cluster));
        assert_int_equal(wire_hello_encode(&h, false, &out), 0);
        if (i == 0)
            for (unsigned k = 0; k < 3; k++)
                frame_add(&out, 5000, &seed, &expected);
        raw_connect(&c[i], peer_net_number(t.high.net));
        raw_send(&t.pump, &c[i], out.data, out.len); /* one record */
        PUMP_UNTIL(&t.pump, raw_in(&c[i]) > 0);
        pump_for(&t.pump, 20000);
    }
    PUMP_UNTIL(&t.pump, t.high.n_frames == 3);
    expect_all_came(&t.high, &expected);
    raw_tls = NULL;
    raw_close(&c[0]);
    raw_close(&c[1]);
    pair_end(&t);
    tls_ctx_unref(tls);
}

/* FAILOVER-1: a process that dies ends both connections, whatever its last record was. */
static void peer_tls__gone_is_told(void **state)
{
    static struct pair t;
    struct tls_ctx *tls = tls_of_secrets("a");

    (void)state;
    pair_begin(&t, NULL, NULL);
    pair_open(&t, tls, tls);
    PUMP_UNTIL(&t.pump, both_up(&t));
    peer_net_free(t.high.net);
    t.high.net = NULL;
    PUMP_UNTIL(&t.pump, t.low.n[PEER_EVENT_GONE] == 1);
    assert_int_equal(t.low.n[PEER_EVENT_DOWN], 1);
    pair_end(&t);
    tls_ctx_unref(tls);
}

/* ---- questions ---- */

struct waiting {
    pthread_t thread;
    struct join_port *port;
    int stop_fds[2];
    int result;
    _Atomic unsigned n_joins;
};

static enum join_port_end on_join(void *ctx, const struct wire_join *j, struct wire_join_reply *ret)
{
    struct waiting *w = ctx;

    w->n_joins++;
    ret->refused = WIRE_JOIN_ACCEPTED;
    ret->incarnation = 4711;
    return strcmp(j->node_name, "n2") == 0 ? JOIN_PORT_JOINED : JOIN_PORT_STOPPED;
}

static void *wait_thread(void *ctx)
{
    struct waiting *w = ctx;
    const struct join_port_ops ops = {.ctx = w, .on_join = on_join};

    w->result = join_port_wait(w->port, w->stop_fds[0], &ops);
    return NULL;
}

static unsigned free_port(void)
{
    struct sockaddr_in sa = raw_loopback(0);
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    (void)close(fd);
    return ntohs(sa.sin_port);
}

static int ask_to_join(const char *addr, struct tls_ctx *tls, const char *name, void *config,
                       struct wire_join_reply *reply)
{
    struct wire_join join = {.version_highest = WIRE_VERSION_HIGHEST,
                             .version_lowest = WIRE_VERSION_LOWEST,
                             .from = 5,
                             .config = config,
                             .config_len = JOIN_CONFIG_BYTES_MAX};
    const struct peer_whom whom = {.addr = addr, .tls = tls, .name = name};

    (void)snprintf(join.cluster_name, sizeof(join.cluster_name), "%s", "tests");
    (void)snprintf(join.node_name, sizeof(join.node_name), "%s", name);
    return peer_join(&whom, &join, WAIT_US / 1000, NULL, reply);
}

#define N_STRANGERS 10u

/* All places are taken by callers that say nothing, and some of those have gone for others. */
static void come_as_strangers(unsigned port, struct raw strangers[N_STRANGERS])
{
    for (unsigned i = 0; i < N_STRANGERS; i++)
        raw_connect(&strangers[i], port);
    for (;;) {
        struct pollfd pfd = {.fd = strangers[2].fd, .events = POLLIN};

        if (raw_read(&strangers[2]))
            return;
        assert_int_equal(poll(&pfd, 1, WAIT_US / 1000), 1);
    }
}

/* A question in many records, which the kernel hands over all at once; strangers that came between
 * do not drive out who has shown that he is none. */
static void ask_in_pieces(unsigned port, struct tls_ctx *tls)
{
    const struct wire_join join = {.version_highest = WIRE_VERSION_HIGHEST,
                                   .version_lowest = WIRE_VERSION_LOWEST,
                                   .from = 5,
                                   .node_name = "n9",
                                   .cluster_name = "tests"};
    cleanup_buf struct buf out = BUF_INIT;
    struct raw strangers[N_STRANGERS];
    struct raw c;
    int cork = 1;

    assert_int_equal(wire_join_encode(&join, &out), 0);
    raw_connect(&c, port);
    raw_secure(&c, tls, TLS_DIAL);
    while (!raw_shake_hands(&c))
        assert_int_equal(c.error, 0);
    assert_int_equal(raw_send_some(&c, out.data, 1), 1);
    come_as_strangers(port, strangers);
    assert_int_equal(setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork)), 0);
    for (size_t i = 1; i < out.len; i++)
        assert_int_equal(raw_send_some(&c, out.data + i, 1), 1);
    cork = 0;
    assert_int_equal(setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork)), 0);
    while (raw_in(&c) == 0) {
        struct pollfd pfd = {.fd = c.fd, .events = POLLIN};

        assert_false(c.eof);
        assert_int_equal(c.error, 0);
        assert_int_equal(poll(&pfd, 1, WAIT_US / 1000), 1);
    }
    raw_close(&c);
    for (unsigned i = 0; i < N_STRANGERS; i++)
        raw_close(&strangers[i]);
}

/* MEMBER-20, TLS-10: one that waits hears nobody without TLS, one that is silent holds nobody up,
 * and the leader tells the node that was meant alone, with the longest of configurations. */
static void peer_tls__a_node_waits_to_be_added(void **state)
{
    static unsigned char config[JOIN_CONFIG_BYTES_MAX];
    struct tls_ctx *n1 = tls_of_files("n1", "ca", "tests");
    struct tls_ctx *n2 = tls_of_files("n2", "ca", "tests");
    struct tls_ctx *secret = tls_of_secrets("a");
    struct wire_join_reply reply = {0};
    struct waiting w = {.result = -1};
    struct raw silent;
    char addr[64];
    const unsigned port = free_port();

    (void)state;
    test_time.runs = true;
    (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", port);
    assert_int_equal(join_port_new(addr, n2, &w.port), 0);
    assert_int_equal(pipe(w.stop_fds), 0);
    assert_int_equal(pthread_create(&w.thread, NULL, wait_thread, &w), 0);
    raw_connect(&silent, port);
    assert_true(ask_to_join(addr, NULL, "n2", config, &reply) < 0);
    assert_true(ask_to_join(addr, secret, "n2", config, &reply) < 0);
    assert_true(ask_to_join(addr, n1, "n3", config, &reply) < 0);
    assert_non_null(strstr(err_text(), "its certificate names node 'n2', not 'n3'"));
    assert_int_equal(w.n_joins, 0);
    ask_in_pieces(port, n1);
    assert_int_equal(w.n_joins, 1);
    assert_int_equal(ask_to_join(addr, n1, "n2", config, &reply), 0);
    assert_int_equal(reply.incarnation, 4711);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    assert_int_equal(w.result, JOIN_PORT_JOINED);
    assert_int_equal(w.n_joins, 2);
    raw_close(&silent);
    join_port_free(w.port);
    (void)close(w.stop_fds[0]);
    (void)close(w.stop_fds[1]);
    tls_ctx_unref(n1);
    tls_ctx_unref(n2);
    tls_ctx_unref(secret);
}

/* ---- */

static int before_all(void **state)
{
    static const struct {
        const char *name;
        struct fake_cert cert;
    } certs[] = {
        {"n1", {.san = "URI:ridd://tests/n1"}},
        {"n2", {.san = "URI:ridd://tests/n2"}},
        {"n3", {.san = "URI:ridd://tests/n3"}},
        {"foreign", {.san = "URI:ridd://foreign/n1"}},
        {"client", {.san = "DNS:app1.example.org"}},
        {"old-n1", {.san = "URI:ridd://tests/n1", .from_s = -7200, .until_s = -3600}},
    };
    struct fake_ca *ca;
    struct fake_ca *other;

    (void)state;
    (void)snprintf(folder, sizeof(folder), "%s", temp_folder_new("peer-tls"));
    ca = fake_ca_new(folder, "ca");
    other = fake_ca_new(folder, "other-ca");
    for (size_t i = 0; i < sizeof(certs) / sizeof(certs[0]); i++)
        fake_ca_issue(ca, &certs[i].cert, folder, certs[i].name);
    fake_ca_issue(other, &certs[0].cert, folder, "other-n1");
    fake_ca_free(ca);
    fake_ca_free(other);
    return 0;
}

static int case_setup(void **state)
{
    (void)state;
    before_case_note();
    return 0;
}

static int case_teardown(void **state)
{
    (void)state;
    raw_tls = NULL;
    if (after_case_sweep() == 0)
        return 0;
    print_error("descriptors were left\n");
    return -1;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(peer_tls__who_has_not_the_secret_is_nobody),
        CASE(peer_tls__who_has_no_good_certificate_is_nobody),
        CASE(peer_tls__a_certificate_is_one_nodes),
        CASE(peer_tls__an_older_tls_is_none),
        CASE(peer_tls__half_a_handshake),
        CASE(peer_tls__nothing_is_said_before),
        CASE(peer_tls__a_secret_is_changed),
        CASE(peer_tls__a_secret_is_changed_meanwhile),
        CASE(peer_tls__certificates_are_changed),
        CASE(peer_tls__large_frames_and_rests),
        CASE(peer_tls__frames_behind_the_hello),
        CASE(peer_tls__gone_is_told),
        CASE(peer_tls__a_node_waits_to_be_added),
    };

    return cmocka_run_group_tests(tests, before_all, NULL);
}
