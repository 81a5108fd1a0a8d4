/* net: the client port on real sockets: framing, limits, back-pressure, time, descriptors, closing
 * from inside. */
#include "test-net-util.h"

#include <malloc.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/limits.h"
#include "net/client_port.h"
#include "net/net_int.h"

#define BUSY_LINE "busy\n"

enum inside { INSIDE_NOTHING, INSIDE_LINE, INSIDE_TOO_LONG, INSIDE_OPENED, INSIDE_CLOSED };

#define N_READ_US 8u

struct host {
    struct pump pump;
    struct client_port *port;
    struct buf lines; /* "number:line\n" of each line handed up */
    unsigned n_lines;
    unsigned n_lines_turn;
    unsigned n_lines_turn_max;
    unsigned n_too_long;
    unsigned n_foreign;
    unsigned n_overloaded;
    unsigned n_room;
    bool still_waits; /* what on_room says */
    unsigned refused_limit;
    bool refused_of_host;
    unsigned n_opened;
    unsigned n_closed;
    char why[128];
    struct client_conn *last;
    struct client_conn *held[8192];
    unsigned n_held;
    bool hold;        /* keep each line owed */
    char hold_only;   /* those that begin with this; 0: all */
    unsigned agains;  /* so many times a line that begins with l is wanted once more */
    unsigned n_again; /* and was */
    const char *again_line;
    uint64_t read_us[N_READ_US]; /* when the last lines were read */
    uint64_t line_cost_us; /* so long it takes to do what a line that begins with x says */
    unsigned spent_after;  /* lines of a turn; 0: never */
    bool urgent;           /* something else is to be done first */
    size_t answer_bytes;   /* answer each line at once with so much */
    enum inside inside;    /* where to call act() */
    void (*act)(struct host *h, struct client_conn *c);
};

static void maybe_act(struct host *h, enum inside where, struct client_conn *c)
{
    if (h->inside != where)
        return;
    h->inside = INSIDE_NOTHING;
    h->act(h, c);
}

static void answer(struct client_conn *c, size_t bytes)
{
    struct buf *out = client_conn_out(c);
    char *p;

    if (out == NULL)
        return;
    p = buf_reserve(out, bytes);
    assert_non_null(p);
    memset(p, 'r', bytes - 1);
    p[bytes - 1] = '\n';
    out->len += bytes;
}

static bool on_line(void *ctx, struct client_conn *c, const char *line, size_t len,
                    uint64_t line_no)
{
    struct host *h = ctx;

    if (len > 0 && line[0] == 'l' && h->n_again < h->agains) {
        if (h->n_again++ > 1)
            assert_ptr_equal(line, h->again_line);
        h->again_line = line;
        maybe_act(h, INSIDE_LINE, c);
        return true;
    }
    assert_int_equal(buf_add_format(&h->lines, "%llu:", (unsigned long long)line_no), 0);
    assert_int_equal(buf_add(&h->lines, line, len), 0);
    assert_int_equal(buf_add_u8(&h->lines, '\n'), 0);
    h->read_us[h->n_lines % N_READ_US] = client_port_read_us(h->port);
    h->n_lines++;
    h->n_lines_turn++;
    if (len > 0 && line[0] == 'x')
        time_passes(h->line_cost_us);
    h->last = c;
    if (h->hold && (h->hold_only == 0 || line[0] == h->hold_only)) {
        assert_true(h->n_held < sizeof(h->held) / sizeof(h->held[0]));
        h->held[h->n_held++] = c;
        client_conn_hold(c);
    }
    if (h->answer_bytes > 0)
        answer(c, h->answer_bytes);
    maybe_act(h, INSIDE_LINE, c);
    return false;
}

static void on_too_long(void *ctx, struct client_conn *c, uint64_t line_no)
{
    struct host *h = ctx;

    h->n_too_long++;
    assert_int_equal(buf_add_format(client_conn_out(c), "long %llu\n", (unsigned long long)line_no),
                     0);
    maybe_act(h, INSIDE_TOO_LONG, c);
}

static void on_foreign(void *ctx, struct client_conn *c, uint64_t line_no, enum wire_foreign what)
{
    static const char *const kinds[] = {"foreign", "http", "tls"};
    struct host *h = ctx;

    h->n_foreign++;
    assert_int_equal(
        buf_add_format(client_conn_out(c), "%s %llu\n", kinds[what], (unsigned long long)line_no),
        0);
}

static void on_overloaded(void *ctx, struct client_conn *c, uint64_t line_no)
{
    struct host *h = ctx;

    h->n_overloaded++;
    assert_int_equal(
        buf_add_format(client_conn_out(c), "overloaded %llu\n", (unsigned long long)line_no), 0);
}

static bool spent(void *ctx)
{
    const struct host *h = ctx;

    return h->spent_after != 0 && h->n_lines_turn >= h->spent_after;
}

static bool urgent(void *ctx)
{
    return ((const struct host *)ctx)->urgent;
}

static bool on_room(void *ctx, struct client_conn *c)
{
    struct host *h = ctx;

    h->n_room++;
    h->last = c;
    return h->still_waits;
}

static void on_refused(void *ctx, struct buf *out, unsigned limit, bool of_host)
{
    struct host *h = ctx;

    h->refused_limit = limit;
    h->refused_of_host = of_host;
    assert_int_equal(buf_add_str(out, BUSY_LINE), 0);
}

static void on_opened(void *ctx, struct client_conn *c)
{
    struct host *h = ctx;

    h->n_opened++;
    h->last = c;
    client_conn_set_user(c, h);
    maybe_act(h, INSIDE_OPENED, c);
}

static void on_closed(void *ctx, struct client_conn *c, const char *why)
{
    struct host *h = ctx;

    assert_ptr_equal(client_conn_user(c), h);
    assert_null(client_conn_out(c));
    h->n_closed++;
    (void)snprintf(h->why, sizeof(h->why), "%s", why);
    maybe_act(h, INSIDE_CLOSED, c);
}

static void turn(void *ctx)
{
    struct host *h = ctx;

    if (h->port != NULL)
        client_port_flush(h->port);
    if (h->n_lines_turn > h->n_lines_turn_max)
        h->n_lines_turn_max = h->n_lines_turn;
    h->n_lines_turn = 0;
}

static const struct client_port_conf small = {.request_bytes = 100, .in_flight = 4};

/* Lines of any kind are taken; host_open_strict() is for those who mind. */
static void host_open_as(struct host *h, const struct client_port_conf *conf, bool strict)
{
    const struct client_port_ops ops = {.ctx = h,
                                        .on_line = on_line,
                                        .on_too_long = on_too_long,
                                        .on_foreign = strict ? on_foreign : NULL,
                                        .on_overloaded = on_overloaded,
                                        .on_room = on_room,
                                        .spent = spent,
                                        .urgent = urgent,
                                        .on_refused = on_refused,
                                        .on_opened = on_opened,
                                        .on_closed = on_closed};

    memset(h, 0, sizeof(*h));
    pump_init(&h->pump, turn, h);
    assert_int_equal(client_port_new(h->pump.base, "127.0.0.1:0", false, conf, &ops, &h->port), 0);
    assert_true(client_port_number(h->port) > 0);
}

static void host_open(struct host *h, const struct client_port_conf *conf)
{
    host_open_as(h, conf, false);
}

static void host_open_strict(struct host *h, const struct client_port_conf *conf)
{
    host_open_as(h, conf, true);
}

/* Does nothing to a host that is down already. */
static void host_take_down(struct host *h)
{
    if (h->pump.base == NULL)
        return;
    client_port_free(h->port);
    h->port = NULL;
    for (unsigned i = 0; i < h->n_held; i++)
        client_conn_release(h->held[i]);
    h->n_held = 0;
    buf_done(&h->lines);
    pump_done(&h->pump);
}

static void host_close(struct host *h)
{
    client_port_free(h->port);
    h->port = NULL;
    assert_int_equal(h->n_closed, h->n_opened);
    host_take_down(h);
}

/* One for all cases and not on their stacks, so that it can be taken down after a case that
 * failed in the middle. */
static int case_setup(void **state)
{
    static struct host host;

    memset(&host, 0, sizeof(host));
    before_case_note();
    *state = &host;
    return 0;
}

static int case_teardown(void **state)
{
    struct host *h = *state;
    const bool ended = h->pump.base == NULL;
    unsigned n_left;

    host_take_down(h);
    n_left = after_case_sweep();
    if (ended && n_left > 0)
        print_error("%u descriptors were left\n", n_left);
    return ended && n_left > 0 ? -1 : 0;
}

/* Answers and releases the oldest held line. */
static void settle_one(struct host *h)
{
    struct client_conn *c = h->held[0];

    assert_true(h->n_held > 0);
    h->n_held--;
    memmove(h->held, h->held + 1, h->n_held * sizeof(h->held[0]));
    answer(c, 3);
    client_conn_release(c);
}

static void host_connect(struct host *h, struct raw *c)
{
    const unsigned n = h->n_opened;

    raw_connect(c, client_port_number(h->port));
    PUMP_UNTIL(&h->pump, h->n_opened == n + 1);
}

static void assert_lines(const struct host *h, const char *expected)
{
    assert_int_equal(h->lines.len, strlen(expected));
    assert_memory_equal(h->lines.data, expected, h->lines.len);
}

static void assert_in(struct raw *c, const char *expected)
{
    assert_int_equal(c->in.len, strlen(expected));
    assert_memory_equal(c->in.data, expected, c->in.len);
}

static struct client_port_stats stats(const struct host *h)
{
    struct client_port_stats s;

    client_port_get_stats(h->port, &s);
    return s;
}

/* ---- framing ---- */

static void net_client__single_bytes(void **state)
{
    const char text[] = "one\r\ntwo\n";
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    host_connect(h, &c);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        const uint64_t before = stats(h).bytes_in;

        raw_send(&h->pump, &c, text + i, 1);
        PUMP_UNTIL(&h->pump, stats(h).bytes_in == before + 1);
        assert_int_equal(h->n_lines, i < 4 ? 0 : i < 8 ? 1 : 2);
    }
    assert_lines(h, "1:one\n2:two\n");
    raw_close(&c);
    host_close(h);
}

static void net_client__many_lines_in_one_write(void **state)
{
    const char text[] = "a\nb\r\n\n\r\n c \nd\re\n\0z\npart";
    const char expected[] = "1:a\n2:b\n5: c \n6:d\re\n7:\0z\n";
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    host_connect(h, &c);
    raw_send(&h->pump, &c, text, sizeof(text) - 1);
    PUMP_UNTIL(&h->pump, h->n_lines == 5);
    assert_int_equal(h->lines.len, sizeof(expected) - 1);
    assert_memory_equal(h->lines.data, expected, sizeof(expected) - 1);
    raw_send(&h->pump, &c, "ial\n", 4);
    PUMP_UNTIL(&h->pump, h->n_lines == 6);
    assert_memory_equal(h->lines.data + h->lines.len - 10, "8:partial\n", 10);
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_string_equal(h->why, "end of file");
    host_close(h);
}

static void net_client__last_line_without_newline(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    h->answer_bytes = 3;
    host_connect(h, &c);
    raw_send(&h->pump, &c, "first\nlast", 10);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    PUMP_UNTIL(&h->pump, raw_read(&c));
    assert_lines(h, "1:first\n2:last\n");
    assert_true(c.eof);
    assert_in(&c, "rr\nrr\n");
    assert_int_equal(h->n_closed, 1);
    raw_close(&c);
    host_close(h);
}

/* ---- lines that take more than one step (TIME-4) ---- */

/* What comes behind it on its connection waits, what others say does not. */
static void net_client__a_long_line_comes_again(void **state)
{
    struct host *h = *state;
    struct raw a;
    struct raw b;

    host_open(h, &small);
    h->agains = 100;
    host_connect(h, &a);
    host_connect(h, &b);
    raw_send(&h->pump, &a, "long\r\nnext\nl2\n", 15);
    PUMP_UNTIL(&h->pump, h->n_again > 1);
    raw_send(&h->pump, &b, "other\n", 6);
    PUMP_UNTIL(&h->pump, h->n_lines == 4);
    assert_lines(h, "1:other\n1:long\n2:next\n3:l2\n");
    assert_int_equal(h->n_again, 100);
    raw_close(&a);
    raw_close(&b);
    host_close(h);
}

static void hold_four(struct host *h, struct client_conn *c)
{
    for (; h->n_held < small.in_flight; h->n_held++) {
        h->held[h->n_held] = c;
        client_conn_hold(c);
    }
}

/* The host may keep something for it that others wait for. */
static void net_client__a_line_that_was_begun_is_done_with(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    h->agains = 10;
    h->inside = INSIDE_LINE;
    h->act = hold_four;
    host_connect(h, &c);
    raw_send(&h->pump, &c, "long\nnext\n", 10);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    pump_for(&h->pump, 20000);
    assert_lines(h, "1:long\n");
    while (h->n_held > 0)
        settle_one(h);
    PUMP_UNTIL(&h->pump, h->n_lines == 2);
    raw_close(&c);
    host_close(h);
}

static void net_client__a_long_line_at_the_end(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    h->agains = 10;
    h->answer_bytes = 3;
    host_connect(h, &c);
    raw_send(&h->pump, &c, "last", 4);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    PUMP_UNTIL(&h->pump, raw_read(&c));
    assert_lines(h, "1:last\n");
    assert_in(&c, "rr\n");
    raw_close(&c);
    host_close(h);
}

/* Where what was read ends with it, the end of file is seen when it is done with: it is handed up
 * under its own number. */
static void net_client__a_long_line_that_fills_the_chunk(void **state)
{
    struct memory memory;
    struct client_port_conf conf = {.memory = &memory};
    char text[CLIENT_CHUNK_TIGHT_BYTES];
    struct host *h = *state;
    struct raw c;

    memset(text, 'l', sizeof(text));
    text[sizeof(text) - 1] = '\n';
    memory_init(&memory, 1u << 20);
    budget_take(&memory.replies, memory.replies.limit); /* tight: the chunk is a short one */
    host_open(h, &conf);
    h->agains = 10;
    host_connect(h, &c);
    assert_int_equal(raw_send_some(&c, text, sizeof(text)), sizeof(text));
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_string_equal(h->why, "end of file");
    assert_int_equal(h->n_again, 10);
    assert_int_equal(h->n_lines, 1);
    assert_memory_equal(h->lines.data, "1:lll", 5);
    raw_close(&c);
    host_close(h);
    budget_give(&memory.replies, memory.replies.limit);
    assert_int_equal(memory.all.used, 0);
}

static void close_it(struct host *h, struct client_conn *c)
{
    (void)h;
    client_conn_close(c, "in the middle");
}

static void net_client__closed_within_a_long_line(void **state)
{
    struct host *h = *state;

    host_open(h, &small);
    h->agains = 1000;
    for (unsigned i = 0; i < 2; i++) {
        struct raw c;

        host_connect(h, &c);
        h->act = close_it;
        h->inside = i == 0 ? INSIDE_LINE : INSIDE_NOTHING;
        raw_send(&h->pump, &c, "long\nnext\n", 10);
        PUMP_UNTIL(&h->pump, h->n_again > i);
        h->inside = INSIDE_LINE;
        PUMP_UNTIL(&h->pump, h->n_closed == i + 1);
        assert_string_equal(h->why, "in the middle");
        h->n_again = 0;
        raw_close(&c);
    }
    pump_for(&h->pump, 20000);
    assert_int_equal(h->n_again, 0);
    assert_lines(h, "");
    host_close(h);
}

/* ---- who speaks something else (CLIENT-11) ---- */

/* One connection that sends text, in pieces of so many bytes; what it got until its end. */
static void assert_foreign(struct host *h, const char *text, size_t len, size_t piece,
                           const char *lines, const char *replies)
{
    const unsigned n_closed = h->n_closed;
    struct raw c;

    buf_reset(&h->lines, 0);
    host_connect(h, &c);
    for (size_t at = 0; at < len; at += piece) {
        const uint64_t before = stats(h).bytes_in;
        const size_t n = len - at < piece ? len - at : piece;

        raw_send(&h->pump, &c, text + at, n);
        PUMP_UNTIL(&h->pump, stats(h).bytes_in == before + n);
        turn(h);
    }
    PUMP_UNTIL(&h->pump, raw_read(&c));
    assert_true(c.eof);
    assert_in(&c, replies);
    assert_lines(h, lines);
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == n_closed + 1);
    assert_string_equal(h->why, "not our protocol");
}

static void net_client__foreign_first_line(void **state)
{
    static const char *const texts[] = {
        "POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\n{\"type\":\"write\"}\n",
        "\r\n \t\r\nhello\n{\"type\":\"ping\"}\n",
        "[{\"type\":\"write\"}]\n{\"type\":\"write\"}\n",
        "\x16\x03\x01\n{\"type\":\"write\"}\n",
        "\"x\"\n",
        "x", /* seen from the first byte, without an end of line */
    };
    struct host *h = *state;

    host_open_strict(h, &small);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *expected = i == 1   ? "foreign 3\n"
                               : i == 3 ? "tls 1\n" /* a port that speaks plain text says so */
                                        : "foreign 1\n";

        assert_foreign(h, texts[i], strlen(texts[i]), 1000, i == 1 ? "2: \t\n" : "", expected);
        assert_foreign(h, texts[i], strlen(texts[i]), 1, i == 1 ? "2: \t\n" : "", expected);
    }
    assert_int_equal(stats(h).n_foreign, 2 * sizeof(texts) / sizeof(texts[0]));
    host_close(h);
}

/* At any time, and before the line ends: one that never ends is a method all the same. */
static void net_client__foreign_line_later(void **state)
{
    static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                          "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"};
    struct host *h = *state;
    char text[256];

    host_open_strict(h, &small);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        (void)snprintf(text, sizeof(text), "{1\nGETX\n[\n  %s /\n{2}\n", methods[i]);
        assert_foreign(h, text, strlen(text), 1000, "1:{1\n2:GETX\n3:[\n", "http 4\n");
        assert_foreign(h, text, strlen(text), 1, "1:{1\n2:GETX\n3:[\n", "http 4\n");
        (void)snprintf(text, sizeof(text), "{\n%s ", methods[i]);
        assert_foreign(h, text, strlen(text), 1000, "1:{\n", "http 2\n");
        assert_foreign(h, text, strlen(text), 1, "1:{\n", "http 2\n");
    }
    host_close(h);
}

/* Too long for its limit while nobody knows yet what it is: nothing behind it runs. */
static void net_client__foreign_behind_too_much_space(void **state)
{
    char text[512];
    struct host *h = *state;

    host_open_strict(h, &small);
    memset(text, ' ', sizeof(text));
    memcpy(text + 300, "x\n{}\n", 6);
    assert_foreign(h, text, 306, 50, "", "foreign 1\n");
    host_close(h);
}

/* What is owed when a foreign line comes is still answered, and malformed lines close nothing. */
static void net_client__foreign_line_behind_owed_ones(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open_strict(h, &small);
    h->hold = true;
    host_connect(h, &c);
    raw_send(&h->pump, &c, " {a\n}\n7\nGE\n", 11);
    PUMP_UNTIL(&h->pump, h->n_held == 4);
    settle_one(h);
    raw_send(&h->pump, &c, "PUT /x\n{b}\n", 11);
    PUMP_UNTIL(&h->pump, h->n_foreign == 1);
    pump_for(&h->pump, 30000);
    assert_int_equal(h->n_closed, 0);
    for (unsigned i = 0; i < 3; i++)
        settle_one(h);
    PUMP_UNTIL(&h->pump, raw_read(&c));
    assert_in(&c, "rr\nhttp 5\nrr\nrr\nrr\n");
    assert_lines(h, "1: {a\n2:}\n3:7\n4:GE\n");
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_close(h);
}

/* Who has closed the sending side gets all that is owed (CLIENT-10). */
static void net_client__half_close_is_answered(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    h->hold = true;
    host_connect(h, &c);
    raw_send(&h->pump, &c, "a\nb\nc\n", 6);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    PUMP_UNTIL(&h->pump, h->n_held == 3);
    pump_for(&h->pump, 30000);
    assert_int_equal(h->n_closed, 0);
    assert_false(client_port_idle(h->port));
    settle_one(h);
    settle_one(h);
    PUMP_UNTIL(&h->pump, raw_in(&c) == 6);
    pump_for(&h->pump, 30000);
    assert_int_equal(h->n_closed, 0);
    /* The last one is released without an answer: the connection ends all the same. */
    client_conn_release(h->held[0]);
    h->n_held = 0;
    PUMP_UNTIL(&h->pump, raw_read(&c));
    assert_true(c.eof);
    assert_in(&c, "rr\nrr\n");
    assert_int_equal(h->n_closed, 1);
    assert_true(client_port_idle(h->port));
    raw_close(&c);
    host_close(h);
}

/* More lines than in_flight before the end of file: all are answered, though the socket told of them
 * and of the end once (CLIENT-16). */
static void net_client__half_close_beyond_in_flight(void **state)
{
    struct host *h = *state;
    struct raw c;
    struct buf text = BUF_INIT;

    host_open(h, &small);
    h->hold = true;
    host_connect(h, &c);
    for (int i = 0; i < 50; i++)
        assert_int_equal(buf_add_format(&text, "%d%s", i, i < 49 ? "\n" : ""), 0);
    raw_send(&h->pump, &c, text.data, text.len);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    for (int i = 0; i < 50; i++) {
        PUMP_UNTIL(&h->pump, h->n_held > 0);
        assert_true(h->n_held <= 4);
        settle_one(h);
    }
    PUMP_UNTIL(&h->pump, raw_read(&c));
    assert_true(c.eof);
    assert_int_equal(c.in.len, 150);
    assert_int_equal(h->n_lines, 50);
    buf_done(&text);
    raw_close(&c);
    host_close(h);
}

/* ---- the limit of a line ---- */

static void send_line_of(struct host *h, struct raw *c, size_t len, const char *end, size_t piece)
{
    char text[400];
    size_t all = len + strlen(end);

    memset(text, 'x', len);
    (void)snprintf(text + len, sizeof(text) - len, "%s", end);
    for (size_t at = 0; at < all; at += piece) {
        const uint64_t before = stats(h).bytes_in;
        size_t n = all - at < piece ? all - at : piece;

        raw_send(&h->pump, c, text + at, n);
        PUMP_UNTIL(&h->pump, stats(h).bytes_in == before + n || h->n_closed > 0);
    }
}

static void net_client__line_of_exactly_the_limit(void **state)
{
    const size_t pieces[] = {400, 7, 1};

    for (size_t i = 0; i < 3; i++) {
        struct host *h = *state;
        struct raw c;

        host_open(h, &small);
        host_connect(h, &c);
        send_line_of(h, &c, 100, "\n", pieces[i]);
        send_line_of(h, &c, 100, "\r\n", pieces[i]);
        send_line_of(h, &c, 100, "", pieces[i]);
        assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
        PUMP_UNTIL(&h->pump, h->n_closed == 1);
        assert_int_equal(h->n_lines, 3);
        assert_int_equal(h->n_too_long, 0);
        assert_int_equal(h->lines.len, 3 * (2 + 100 + 1));
        raw_close(&c);
        host_close(h);
    }
}

static void net_client__line_beyond_the_limit(void **state)
{
    const size_t pieces[] = {400, 7, 1};

    for (size_t i = 0; i < 3; i++) {
        struct host *h = *state;
        struct raw c;

        host_open(h, &small);
        host_connect(h, &c);
        /* Told while the line is still coming in. */
        send_line_of(h, &c, 102, "", pieces[i]);
        PUMP_UNTIL(&h->pump, h->n_too_long == 1);
        send_line_of(h, &c, 300, "\n", pieces[i]);
        send_line_of(h, &c, 0, "good\n", pieces[i]);
        PUMP_UNTIL(&h->pump, h->n_lines == 1);
        assert_lines(h, "2:good\n");
        PUMP_UNTIL(&h->pump, raw_in(&c) == 7);
        assert_int_equal(h->n_closed, 0);
        /* The second offence closes, and the error still arrives although we went on sending. */
        send_line_of(h, &c, 101, "\nnever\n", pieces[i]);
        PUMP_UNTIL(&h->pump, raw_read(&c));
        assert_true(c.eof);
        assert_in(&c, "long 1\nlong 3\n");
        assert_int_equal(h->n_lines, 1);
        raw_close(&c);
        PUMP_UNTIL(&h->pump, h->n_closed == 1);
        assert_int_equal(stats(h).n_too_long, 2);
        host_close(h);
    }
}

/* CLIENT-1: a line without end costs no memory and is told once. */
static void net_client__endless_line(void **state)
{
    struct client_port_conf conf = {.request_bytes = 10000};
    static char block[1 << 20];
    struct host *h = *state;
    struct raw c;

    memset(block, 'y', sizeof(block));
    host_open(h, &conf);
    host_connect(h, &c);
    for (int i = 0; i < 20; i++)
        raw_send(&h->pump, &c, block, sizeof(block));
    PUMP_UNTIL(&h->pump, stats(h).bytes_in == 20u << 20);
    assert_int_equal(h->n_too_long, 1);
    raw_send(&h->pump, &c, "\nok\n", 4);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    assert_lines(h, "2:ok\n");
    raw_close(&c);
    host_close(h);
}

/* ---- back-pressure ---- */

/* Requests under way are bounded by not reading any more (CLIENT-4). */
static void net_client__in_flight_stops_reading(void **state)
{
    static char block[64 << 10];
    struct host *h = *state;
    struct raw c;
    size_t sent = 0;
    size_t n;

    for (size_t i = 0; i < sizeof(block); i += 4)
        memcpy(block + i, "abc\n", 4);
    host_open(h, &small);
    h->hold = true;
    host_connect(h, &c);
    /* Until the kernel takes no more although the loop turns. */
    for (int idle = 0; idle < 30;) {
        n = raw_send_some(&c, block, sizeof(block));
        sent += n - n % 4;
        if (n % 4 != 0) {
            raw_send(&h->pump, &c, &"abc\n"[n % 4], 4 - n % 4);
            sent += 4;
        }
        idle = n > 0 ? 0 : idle + 1;
        pump_turn(&h->pump);
    }
    assert_int_equal(h->n_lines, 4);
    assert_true(sent > 1 << 20);
    assert_true(stats(h).bytes_in <= CLIENT_COST_PER_TURN);
    /* One reply opens one place of four, the gap. */
    settle_one(h);
    PUMP_UNTIL(&h->pump, h->n_lines == 5);
    assert_int_equal(h->n_held, 4);
    /* And now everything. */
    while (h->n_lines < sent / 4) {
        const unsigned before = h->n_lines;

        while (h->n_held > 0)
            settle_one(h);
        PUMP_UNTIL(&h->pump, h->n_lines > before);
        (void)raw_in(&c);
        buf_reset(&h->lines, 1 << 20);
        if (before > 20000)
            h->hold = false; /* fast from here on */
    }
    assert_int_equal(h->n_lines, sent / 4);
    assert_int_equal(stats(h).bytes_in, sent);
    raw_close(&c);
    host_close(h);
}

static void net_client__hysteresis(void **state)
{
    struct client_port_conf conf = {.in_flight = 8};
    struct host *h = *state;
    struct raw c;

    host_open(h, &conf);
    h->hold = true;
    host_connect(h, &c);
    for (int i = 0; i < 20; i++)
        raw_send(&h->pump, &c, "x\n", 2);
    PUMP_UNTIL(&h->pump, h->n_lines == 8);
    pump_for(&h->pump, 20000);
    settle_one(h);
    pump_for(&h->pump, 20000);
    assert_int_equal(h->n_lines, 8);
    settle_one(h);
    PUMP_UNTIL(&h->pump, h->n_lines == 10);
    raw_close(&c);
    host_close(h);
}

/* Lines of random length in random pieces, held and released at random: all arrive, once and in
 * order. */
static void net_client__random_cuts(void **state)
{
    struct client_port_conf conf = {.request_bytes = 100000, .in_flight = 5};
    struct buf text = BUF_INIT;
    struct buf expected = BUF_INIT;
    struct prng r;
    struct host *h = *state;
    struct raw c;
    unsigned n_lines = 0;
    size_t at = 0;

    prng_init(&r, 42);
    while (text.len < 3u << 20) {
        size_t len = prng_below(&r, 10) == 0 ? prng_below(&r, 90000) + 1 : prng_below(&r, 100) + 1;
        char *p = buf_reserve(&text, len + 1);

        assert_non_null(p);
        for (size_t i = 0; i < len; i++)
            p[i] = (char)('a' + prng_below(&r, 26));
        p[len] = '\n';
        text.len += len + 1;
        n_lines++;
        assert_int_equal(buf_add_format(&expected, "%u:%.*s\n", n_lines, (int)len, p), 0);
    }
    host_open(h, &conf);
    host_connect(h, &c);
    while (h->n_lines < n_lines) {
        size_t piece = prng_below(&r, 3) == 0 ? prng_below(&r, 200000) : prng_below(&r, 300);

        if (piece > text.len - at)
            piece = text.len - at;
        at += raw_send_some(&c, text.data + at, piece);
        h->hold = prng_below(&r, 2) == 0;
        pump_turn(&h->pump);
        while (h->n_held > 0 && prng_below(&r, 3) != 0)
            settle_one(h);
    }
    assert_int_equal(h->lines.len, expected.len);
    assert_memory_equal(h->lines.data, expected.data, expected.len);
    buf_done(&text);
    buf_done(&expected);
    raw_close(&c);
    host_close(h);
}

/* Short lines that cost no hold: a turn still ends, and the others get their share. Peers and
 * timers have their turn before clients do (CLIENT-6). */
static void net_client__one_client_cannot_hold_the_loop(void **state)
{
    static char block[1 << 20];
    struct client_port_conf conf = {.in_flight = 4};
    struct host *h = *state;
    struct raw flood;
    struct raw other;
    unsigned before;

    memset(block, '\n', sizeof(block));
    for (size_t i = 0; i < sizeof(block); i += 2)
        block[i] = 'f';
    host_open(h, &conf);
    host_connect(h, &flood);
    host_connect(h, &other);
    for (size_t at = 0; at < sizeof(block);) {
        at += raw_send_some(&flood, block + at, sizeof(block) - at);
        pump_turn(&h->pump);
    }
    before = h->n_lines;
    raw_send(&h->pump, &other, "other\n", 6);
    for (int i = 0; i < 5; i++)
        pump_turn(&h->pump);
    assert_non_null(memmem(h->lines.data, h->lines.len, ":other\n", 7));
    assert_true(h->n_lines - before < 8 * 1024 + 1);
    PUMP_UNTIL(&h->pump, h->n_lines == sizeof(block) / 2 + 1);
    assert_true(h->n_lines_turn_max <= 1024 + 1);
    raw_close(&flood);
    raw_close(&other);
    host_close(h);
}

/* A pass of the loop that ends early leaves the turn of the clients due, and in the next one somebody
 * becomes readable behind it: that is no second turn. */
struct cut_pass {
    struct host *h;
    struct raw *other;
};

static void cut_the_pass(evutil_socket_t fd, short what, void *ctx)
{
    const struct cut_pass *cut = ctx;

    (void)fd;
    (void)what;
    assert_int_equal(raw_send_some(cut->other, "other\n", 6), 6);
    (void)event_base_loopbreak(cut->h->pump.base);
}

static void net_client__one_turn_in_a_pass(void **state)
{
    static char block[64 << 10];
    struct client_port_conf conf = {.in_flight = 4};
    struct host *h = *state;
    struct raw flood;
    struct raw other;
    struct cut_pass cut = {.h = h, .other = &other};
    struct event *ev;

    memset(block, '\n', sizeof(block));
    for (size_t i = 0; i < sizeof(block); i += 2)
        block[i] = 'f';
    host_open(h, &conf);
    host_connect(h, &flood);
    host_connect(h, &other);
    assert_int_equal(raw_send_some(&flood, block, sizeof(block)), sizeof(block));
    PUMP_UNTIL(&h->pump, h->n_lines > 0); /* the rest is due in the next turn */
    assert_true(h->n_lines < sizeof(block) / 2);
    ev = event_new(h->pump.base, -1, 0, cut_the_pass, &cut);
    assert_non_null(ev);
    event_active(ev, EV_TIMEOUT, 0);
    PUMP_UNTIL(&h->pump, h->n_lines == sizeof(block) / 2 + 1);
    assert_non_null(memmem(h->lines.data, h->lines.len, ":other\n", 7));
    assert_true(h->n_lines_turn_max <= 1024 + 1);
    event_free(ev);
    raw_close(&flood);
    raw_close(&other);
    host_close(h);
}

/* While the host looks at its peers once more nobody's line is taken: it would bring a later time
 * than that by which is judged (TIME-3). */
static void net_client__a_turn_that_was_ended(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    host_connect(h, &c);
    client_port_end_turn(h->port);
    assert_int_equal(raw_send_some(&c, "line\n", 5), 5);
    for (int i = 0; i < 5; i++)
        (void)event_base_loop(h->pump.base, EVLOOP_ONCE);
    assert_int_equal(h->n_lines, 0);
    pump_turn(&h->pump);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    raw_close(&c);
    host_close(h);
}

/* Nor can all clients together: what they may hand up in one turn is bounded, so that peers and
 * timers wait for less than a heartbeat (CLIENT-6). */
static void net_client__all_clients_cannot_hold_the_loop(void **state)
{
    static char block[8192];
    static struct raw flood[80];
    const unsigned n_flood = sizeof(flood) / sizeof(flood[0]);
    struct client_port_conf conf = {.in_flight = 4};
    struct host *h = *state;

    memset(block, '\n', sizeof(block));
    for (size_t i = 0; i < sizeof(block); i += 2)
        block[i] = 'f';
    host_open(h, &conf);
    for (unsigned i = 0; i < n_flood; i++)
        host_connect(h, &flood[i]);
    for (unsigned i = 0; i < n_flood; i++)
        assert_int_equal(raw_send_some(&flood[i], block, sizeof(block)), sizeof(block));
    PUMP_UNTIL(&h->pump, h->n_lines == n_flood * sizeof(block) / 2);
    assert_true(h->n_lines_turn_max < 32768 + 1024); /* the last connection ends its own share */
    for (unsigned i = 0; i < n_flood; i++)
        raw_close(&flood[i]);
    host_close(h);
}

/* ---- fair turns (CLIENT-15) ---- */

/* Lines that begin with c among those handed up from offset on. */
static unsigned n_lines_of(const struct host *h, size_t from, char c)
{
    const char *p = (const char *)h->lines.data;
    unsigned n = 0;

    for (size_t i = from; i + 1 < h->lines.len; i++)
        n += p[i] == ':' && p[i + 1] == c;
    return n;
}

enum { N_FLOOD = 12, FLOOD_LINES = 300 };

static void open_flood(struct host *h, struct raw flood[N_FLOOD])
{
    static char block[2 * FLOOD_LINES];

    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = i % 2 == 0 ? 'x' : '\n';
    for (unsigned i = 0; i < N_FLOOD; i++)
        host_connect(h, &flood[i]);
    for (unsigned i = 0; i < N_FLOOD; i++)
        assert_int_equal(raw_send_some(&flood[i], block, sizeof(block)), sizeof(block));
}

/* A dozen that ask for what takes long, and one that asks now and then: it waits for a millisecond of
 * them, not for all that they sent. */
static void net_client__who_costs_little_comes_first(void **state)
{
    struct client_port_conf conf = {.in_flight = 4};
    struct host *h = *state;
    struct raw flood[N_FLOOD];
    struct raw good;

    host_open(h, &conf);
    h->line_cost_us = 100;
    host_connect(h, &good);
    open_flood(h, flood);
    for (unsigned i = 0; i < 10; i++)
        pump_turn(&h->pump); /* now all are known for what they cost */
    for (unsigned i = 0; i < 20; i++) {
        const size_t from = h->lines.len;
        const uint64_t began_us = test_time.now_us;

        raw_send(&h->pump, &good, "good\n", 5);
        PUMP_UNTIL(&h->pump, n_lines_of(h, from, 'g') == 1);
        /* What they have in a turn, the step that overran it, and one more of each level. */
        assert_true(test_time.now_us - began_us <= CLIENT_GREEDY_US + 3 * 2 * CLIENT_STEP_US);
    }
    PUMP_UNTIL(&h->pump, h->n_lines == N_FLOOD * FLOOD_LINES + 20);
    for (unsigned i = 0; i < N_FLOOD; i++)
        raw_close(&flood[i]);
    raw_close(&good);
    host_close(h);
}

/* Lines that were read together came together; who was read later came later, by what those before
 * him took. */
static void net_client__lines_have_a_time(void **state)
{
    struct client_port_conf conf = {.in_flight = 8};
    struct host *h = *state;
    struct raw first;
    struct raw second;
    uint64_t began_us;

    host_open(h, &conf);
    h->line_cost_us = 100;
    host_connect(h, &first);
    host_connect(h, &second);
    time_passes(5000);
    began_us = test_time.now_us;
    raw_send(&h->pump, &first, "x1\nx2\n", 6);
    raw_send(&h->pump, &second, "x3\nx4\n", 6);
    PUMP_UNTIL(&h->pump, h->n_lines == 4);
    assert_true(h->read_us[0] == began_us);
    assert_true(h->read_us[1] == began_us);
    assert_true(h->read_us[2] == began_us + 200);
    assert_true(h->read_us[3] == began_us + 200);
    raw_close(&first);
    raw_close(&second);
    host_close(h);
}

/* One line of the good client, which is done with at once. */
static void ask_good(struct host *h, struct raw *good)
{
    const size_t from = h->lines.len;

    raw_send(&h->pump, good, "good\n", 5);
    PUMP_UNTIL(&h->pump, n_lines_of(h, from, 'g') == 1);
}

/* CLIENT-15: what came in from who takes little, or from elsewhere, is dealt with by the host before
 * those who take much get on; but they do in every second turn. */
static void net_client__those_who_take_much_give_way(void **state)
{
    struct client_port_conf conf = {.in_flight = 4};
    struct host *h = *state;
    struct raw flood[N_FLOOD];
    struct raw good;
    unsigned before;

    host_open(h, &conf);
    h->line_cost_us = 100;
    host_connect(h, &good);
    open_flood(h, flood);
    for (unsigned i = 0; i < 10; i++)
        pump_turn(&h->pump);
    for (unsigned i = 0; i < 20; i++) {
        const size_t from = h->lines.len;

        ask_good(h, &good);
        if (i > 0) /* of the first time they were not yet known for it beside somebody else */
            assert_int_equal(n_lines_of(h, from, 'x'), 0);
        before = h->n_lines;
        PUMP_UNTIL(&h->pump, h->n_lines > before);
    }
    h->urgent = true;
    for (unsigned i = 0; i < 10; i++) {
        before = h->n_lines;
        pump_turn(&h->pump);
        assert_int_equal(h->n_lines, before);
        pump_turn(&h->pump);
        assert_true(h->n_lines > before);
        ask_good(h, &good); /* he is still there */
        before = h->n_lines;
        PUMP_UNTIL(&h->pump, h->n_lines > before);
    }
    h->urgent = false;
    PUMP_UNTIL(&h->pump, h->n_lines == N_FLOOD * FLOOD_LINES + 30);
    for (unsigned i = 0; i < N_FLOOD; i++)
        raw_close(&flood[i]);
    raw_close(&good);
    host_close(h);
}

/* CLIENT-15: what heavy requests are under way together is done in a few milliseconds, as long as
 * somebody is there who takes little; all get on alike, and without him there is no such bound. */
static void net_client__heavy_requests_are_few_at_once(void **state)
{
    enum { COST_US = 500, MOST = CLIENT_HEAVY_HELD_US / COST_US + 1 };
    struct client_port_conf conf = {.in_flight = 64};
    struct host *h = *state;
    struct raw flood[N_FLOOD];
    struct raw good;
    size_t fewest = SIZE_MAX;
    size_t most = 0;

    host_open(h, &conf);
    h->line_cost_us = COST_US;
    h->hold_only = 'x';
    host_connect(h, &good);
    open_flood(h, flood);
    for (unsigned i = 0; i < 20; i++)
        ask_good(h, &good); /* now all are known for what they cost */
    h->hold = true;
    for (unsigned i = 0; i < 100; i++) {
        ask_good(h, &good);
        PUMP_UNTIL(&h->pump, h->n_held > 0);
        assert_true(h->n_held <= MOST);
        for (unsigned j = 0; j <= i % 4 && h->n_held > 0; j++)
            settle_one(h);
    }
    for (unsigned i = 0; i < N_FLOOD; i++) {
        PUMP_UNTIL(&h->pump, (raw_read(&flood[i]), flood[i].in.len > 0));
        fewest = flood[i].in.len < fewest ? flood[i].in.len : fewest;
        most = flood[i].in.len > most ? flood[i].in.len : most;
    }
    assert_true(most <= 3 * fewest);
    time_passes(2 * CLIENT_MODEST_US); /* he is gone */
    PUMP_UNTIL(&h->pump, h->n_held > 0);
    settle_one(h);
    PUMP_UNTIL(&h->pump, h->n_held > 4 * MOST);
    while (h->n_held > 0)
        settle_one(h);
    for (unsigned i = 0; i < N_FLOOD; i++)
        raw_close(&flood[i]);
    raw_close(&good);
    host_close(h);
}

/* Until it is known that each line of the first takes long, and those of the other do not. */
static void show_what_they_take(struct host *h, struct raw *heavy, struct raw *good)
{
    for (unsigned i = 0; i < 20; i++) {
        const unsigned before = h->n_lines;

        raw_send(&h->pump, heavy, "x\n", 2);
        PUMP_UNTIL(&h->pump, h->n_lines == before + 1);
        ask_good(h, good);
    }
}

/* From here on lines of the first are kept owed. */
static void open_heavy_and_good(struct host *h, struct raw *heavy, struct raw *good)
{
    struct client_port_conf conf = {.in_flight = 64};

    host_open(h, &conf);
    h->line_cost_us = 500;
    h->hold_only = 'x';
    host_connect(h, good);
    host_connect(h, heavy);
    show_what_they_take(h, heavy, good);
    h->hold = true;
}

/* Nothing else happens: what was done is why the next is let in. */
static void net_client__heavy_requests_go_on_when_others_are_done(void **state)
{
    struct host *h = *state;
    char lines[2 * 100];
    struct raw heavy;
    struct raw good;

    open_heavy_and_good(h, &heavy, &good);
    for (unsigned i = 0; i < sizeof(lines); i += 2)
        memcpy(&lines[i], "x\n", 2);
    raw_send(&h->pump, &heavy, lines, sizeof(lines));
    PUMP_UNTIL(&h->pump, h->n_held + 1 >= CLIENT_HEAVY_HELD_US / 500);
    for (unsigned i = 0; i < 10; i++) {
        ask_good(h, &good);
        pump_for(&h->pump, 20000);
        assert_true(h->n_held <= CLIENT_HEAVY_HELD_US / 500 + 1); /* of a hundred */
        while (h->n_held > 0)
            settle_one(h);
        /* At once, but for turns that it gives way in: not only when time has passed. */
        for (unsigned j = 0; j < 10; j++) {
            (void)event_base_loop(h->pump.base, EVLOOP_NONBLOCK);
            h->pump.turn(h->pump.ctx);
        }
        assert_true(h->n_held > 0);
    }
    while (h->n_held > 0)
        settle_one(h);
    raw_close(&heavy);
    raw_close(&good);
    host_close(h);
}

/* Heavy requests that are never done, because they wait for what others bring about, hold nobody
 * back for good: neither their own kind nor anybody else's. */
static void net_client__heavy_requests_that_wait_bar_nobody(void **state)
{
    struct host *h = *state;
    struct raw heavy;
    struct raw good;

    open_heavy_and_good(h, &heavy, &good);
    for (unsigned i = 0; i < 20; i++)
        raw_send(&h->pump, &heavy, "x\n", 2);
    for (unsigned i = 0; h->n_held < 20; i++) {
        ask_good(h, &good);
        time_passes(CLIENT_HEAVY_STUCK_US / 4);
        assert_true(i < 200);
    }
    /* And where nobody else says anything, the next comes by itself. */
    raw_send(&h->pump, &heavy, "x\nx\nx\nx\nx\nx\nx\nx\nx\nx\n", 20);
    ask_good(h, &good);
    assert_true(h->n_held < 30);
    while (h->n_held < 30) {
        const unsigned before = h->n_held;

        time_passes(CLIENT_HEAVY_STUCK_US);
        PUMP_UNTIL(&h->pump, h->n_held > before);
    }
    while (h->n_held > 0)
        settle_one(h);
    raw_close(&heavy);
    raw_close(&good);
    host_close(h);
}

/* Who takes no more lines has nothing to wait for: its end is seen while others wait. */
static void net_client__who_is_ending_is_not_barred(void **state)
{
    static char long_lines[2 * (REQUEST_BYTES_DEFAULT + 2)];
    struct host *h = *state;
    struct raw heavy;
    struct raw ending;
    struct raw good;

    memset(long_lines, 'y', sizeof(long_lines));
    long_lines[sizeof(long_lines) / 2 - 1] = '\n';
    long_lines[sizeof(long_lines) - 1] = '\n';
    open_heavy_and_good(h, &heavy, &good);
    h->hold = false;
    host_connect(h, &ending);
    show_what_they_take(h, &ending, &good);
    raw_send(&h->pump, &ending, long_lines, sizeof(long_lines));
    PUMP_UNTIL(&h->pump, raw_read(&ending)); /* our half is closed */
    assert_int_equal(h->n_closed, 0);
    h->hold = true;
    raw_send(&h->pump, &heavy, "x\nx\nx\nx\nx\nx\n", 12);
    PUMP_UNTIL(&h->pump, h->n_held + 1 >= CLIENT_HEAVY_HELD_US / 500);
    for (unsigned i = 0; i < 5; i++)
        ask_good(h, &good);
    assert_true(h->n_held < 6);
    raw_close(&ending);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_string_equal(h->why, "lines too long");
    while (h->n_held > 0)
        settle_one(h);
    raw_close(&heavy);
    raw_close(&good);
    host_close(h);
}

/* One connection alone is cut by the clock, too, and gets everything done. */
static void net_client__a_step_ends_in_time(void **state)
{
    struct client_port_conf conf = {.in_flight = 4};
    struct host *h = *state;
    struct raw flood[N_FLOOD];

    host_open(h, &conf);
    h->line_cost_us = 1000;
    open_flood(h, flood);
    PUMP_UNTIL(&h->pump, h->n_lines == N_FLOOD * FLOOD_LINES);
    /* The clock is looked at every few lines; ten milliseconds of all are enough. */
    assert_true(h->n_lines_turn_max <=
                2 * (CLIENT_LOOK_COST / CLIENT_LINE_COST + 1) + CLIENT_LEVELS);
    for (unsigned i = 0; i < N_FLOOD; i++)
        raw_close(&flood[i]);
    host_close(h);
}

/* What the host says of the time holds, and the next turn goes on with the next connection: all get
 * on alike, those that took much beside the others. */
static void net_client__the_rest_is_first_in_the_next_turn(void **state)
{
    enum { PER_TURN = 5 };
    struct client_port_conf conf = {.in_flight = 4};
    struct host *h = *state;
    struct raw flood[N_FLOOD];
    struct raw greedy;
    size_t from;

    host_open(h, &conf);
    host_connect(h, &greedy);
    h->line_cost_us = 500000;
    raw_send(&h->pump, &greedy, "x\n", 2);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    h->line_cost_us = 0;
    h->spent_after = PER_TURN;
    h->n_lines_turn_max = 0;
    open_flood(h, flood);
    raw_send(&h->pump, &greedy, "d\nd\n", 4);
    from = h->lines.len;
    PUMP_UNTIL(&h->pump, n_lines_of(h, from, 'd') == 2);
    assert_true(h->n_lines < N_FLOOD * FLOOD_LINES / 4);
    PUMP_UNTIL(&h->pump, h->n_lines == N_FLOOD * FLOOD_LINES + 3);
    /* One step more for who took much. */
    assert_true(h->n_lines_turn_max <= PER_TURN + 1);
    for (unsigned i = 0; i < N_FLOOD; i++)
        raw_close(&flood[i]);
    raw_close(&greedy);
    host_close(h);
}

/* A client that does not read its replies is not read from, then closed (CLIENT-3). */
static void net_client__client_that_never_reads(void **state)
{
    const size_t reply = 256u << 10;
    struct client_port_conf conf = {.stuck_us = FAR_US, .in_flight = 128};
    struct host *h = *state;
    struct raw c;
    size_t out_max = 0;
    size_t sent = 0;

    host_open(h, &conf);
    h->answer_bytes = reply;
    host_connect(h, &c);
    /* Until no more of it is read although the loop turns. */
    for (unsigned idle = 0; idle < 100;) {
        const unsigned before = h->n_lines;
        struct buf *out;

        sent += raw_send_some(&c, "get\n", 4);
        pump_turn(&h->pump);
        assert_int_equal(h->n_closed, 0);
        out = client_conn_out(h->last);
        out_max = out->len > out_max ? out->len : out_max;
        /* buf->len counts what was sent and not yet moved out, at most as much again. */
        assert_true(out_max <= 2 * (CLIENT_OUT_BYTES_HIGH + reply));
        idle = h->n_lines > before ? 0 : idle + 1;
    }
    time_passes(FAR_US);
    pump_for(&h->pump, 20000);
    assert_int_equal(h->n_closed, 0);
    time_passes(1);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_string_equal(h->why, "output not taken");
    assert_true(out_max > CLIENT_OUT_BYTES_HIGH);
    assert_true(h->n_lines < sent / 4 || h->n_lines < 100);
    assert_int_equal(stats(h).n_closed_slow, 1);
    raw_close(&c);
    host_close(h);
}

/* ---- memory (CLIENT-13, CLIENT-14) ---- */

/* A connection that owes more than the kernel takes; how many bytes are charged for it. */
static size_t make_owing(struct host *h, struct raw *c, size_t bytes)
{
    host_connect(h, c);
    h->answer_bytes = bytes;
    raw_send(&h->pump, c, "g\n", 2);
    PUMP_UNTIL(&h->pump, h->n_lines_turn == 0 && client_conn_memory(h->last)->replies.used > 0);
    h->answer_bytes = 0;
    turn(h);
    return client_conn_memory(h->last)->replies.used;
}

/* Tight memory: after a second of silence who owes most goes, and no more than is needed. */
static void net_client__who_owes_most_is_closed(void **state)
{
    struct memory memory;
    struct client_port_conf conf = {.stuck_us = FAR_US, .memory = &memory};
    struct host *h = *state;
    struct raw slow[3];
    struct raw good;
    size_t owed[3];

    memory_init(&memory, (size_t)1 << 30);
    host_open(h, &conf);
    host_connect(h, &good);
    for (unsigned i = 0; i < 3; i++)
        owed[i] = make_owing(h, &slow[i], (8u + 4u * (i == 1)) << 20);
    assert_true(owed[1] > owed[0]);
    assert_int_equal(memory.all.used, owed[0] + owed[1] + owed[2]);
    time_passes(MEMORY_QUIET_US + 1);
    turn(h);
    assert_int_equal(h->n_closed, 0); /* there is memory enough */
    memory_set_limit(&memory, owed[0] * 4);
    assert_true(memory_is_tight(&memory));
    turn(h);
    assert_int_equal(h->n_closed, 1);
    assert_string_equal(h->why, "memory is tight, and it does not read");
    assert_int_equal(memory.all.used, owed[0] + owed[2]);
    PUMP_UNTIL(&h->pump, raw_read(&slow[1]));
    assert_int_equal(stats(h).n_closed_owing, 1);
    /* One that has just read is not closed, however tight it is. */
    memory_set_limit(&memory, 1u << 20);
    (void)raw_in(&slow[0]);
    (void)raw_in(&slow[2]);
    pump_turn(&h->pump);
    PUMP_UNTIL(&h->pump,
               raw_in(&slow[0]) > (8u << 20) - 1000 && raw_in(&slow[2]) > (8u << 20) - 1000);
    pump_for(&h->pump, 20000);
    assert_int_equal(h->n_closed, 1);
    assert_int_equal(memory.all.used, 0);
    for (unsigned i = 0; i < 3; i++)
        raw_close(&slow[i]);
    raw_close(&good);
    host_close(h);
    assert_int_equal(memory.all.used, 0);
}

/* A reply that found no room is asked for again when the client has read, and not before. */
static void net_client__room_is_told(void **state)
{
    struct memory memory;
    struct client_port_conf conf = {.stuck_us = FAR_US, .memory = &memory};
    struct host *h = *state;
    struct raw c;

    memory_init(&memory, (size_t)1 << 30);
    host_open(h, &conf);
    (void)make_owing(h, &c, 12u << 20);
    h->hold = true;
    assert_false(
        memory_conn_may_reply(client_conn_memory(h->last), client_conn_out(h->last), 1000));
    pump_for(&h->pump, 20000);
    assert_int_equal(h->n_room, 0);
    h->still_waits = true;
    PUMP_UNTIL(&h->pump, raw_in(&c) == 12u << 20);
    PUMP_UNTIL(&h->pump, h->n_room > 2); /* as long as something waits */
    h->still_waits = false;
    pump_for(&h->pump, 20000);
    h->n_room = 0;
    pump_for(&h->pump, 20000);
    assert_int_equal(h->n_room, 0);
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_close(h);
}

/* A long line is begun and there are no bytes for the rest: refused, skipped, and the next one is
 * well again. Short ones need nothing. */
static void net_client__no_memory_for_a_line(void **state)
{
    enum { LEN = 100000 };
    struct memory memory;
    struct client_port_conf conf = {.memory = &memory};
    struct host *h = *state;
    char *text = malloc(LEN);
    struct raw c;

    assert_non_null(text);
    memset(text, 'x', LEN);
    text[LEN - 1] = '\n';
    memory_init(&memory, 100000); /* of which 40,000 are for requests */
    host_open(h, &conf);
    host_connect(h, &c);
    raw_send(&h->pump, &c, text, LEN);
    PUMP_UNTIL(&h->pump, h->n_overloaded == 1);
    raw_send(&h->pump, &c, "short", 5);
    PUMP_UNTIL(&h->pump, stats(h).bytes_in == LEN + 5);
    assert_true(memory.requests.used <= memory.requests.limit);
    raw_send(&h->pump, &c, "\n", 1);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    assert_lines(h, "2:short\n");
    PUMP_UNTIL(&h->pump, raw_in(&c) == strlen("overloaded 1\n"));
    assert_in(&c, "overloaded 1\n");
    memory_set_limit(&memory, 1u << 20);
    raw_send(&h->pump, &c, text, LEN);
    PUMP_UNTIL(&h->pump, h->n_lines == 2);
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_close(h);
    assert_int_equal(memory.all.used, 0);
    free(text);
}

/* Requests and commands that the host keeps count, too: beyond the mark the socket is not read. */
static void net_client__held_bytes_stop_reading(void **state)
{
    struct memory memory;
    struct client_port_conf conf = {.memory = &memory};
    struct host *h = *state;
    struct memory_conn *m;
    struct raw c;

    memory_init(&memory, (size_t)1 << 30);
    host_open(h, &conf);
    host_connect(h, &c);
    h->hold = true;
    raw_send(&h->pump, &c, "a\n", 2);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    m = client_conn_memory(h->last);
    budget_take(&m->commands, (size_t)CLIENT_HELD_BYTES_HIGH + 1);
    raw_send(&h->pump, &c, "b\n", 2);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    pump_for(&h->pump, 20000);
    raw_send(&h->pump, &c, "c\n", 2);
    pump_for(&h->pump, 20000);
    assert_true(h->n_lines == 1);
    budget_give(&m->commands, (size_t)CLIENT_HELD_BYTES_HIGH + 1);
    settle_one(h);
    PUMP_UNTIL(&h->pump, h->n_lines == 3);
    while (h->n_held > 0)
        settle_one(h);
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_close(h);
}

/* Above the high mark it is not read, below the low mark it is, and every byte arrives,
 * whatever the socket told of (CLIENT-16). */
static void net_client__slow_reader_gets_everything(void **state)
{
    const size_t reply = 100000;
    const unsigned n = 300;
    struct client_port_conf conf = {.in_flight = 128};
    struct host *h = *state;
    struct raw c;
    unsigned n_sent = 0;

    host_open(h, &conf);
    h->answer_bytes = reply;
    host_connect(h, &c);
    while (n_sent < n) {
        n_sent += raw_send_some(&c, "g\n", 2) == 2;
        pump_turn(&h->pump);
    }
    pump_for(&h->pump, 20000);
    assert_true(h->n_lines < n);
    PUMP_UNTIL(&h->pump, raw_in(&c) == n * reply);
    assert_int_equal(h->n_lines, n);
    assert_int_equal(stats(h).bytes_out, n * reply);
    assert_true(client_port_idle(h->port));
    raw_close(&c);
    host_close(h);
}

/* ---- time ---- */

/* CLIENT-2: bytes keep coming, the line does not end. */
static void net_client__slow_loris(void **state)
{
    struct client_port_conf conf = {.line_us = FAR_US};
    struct host *h = *state;
    struct raw c;

    host_open(h, &conf);
    host_connect(h, &c);
    raw_send(&h->pump, &c, "whole\n", 6);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    raw_send(&h->pump, &c, "x", 1);
    PUMP_UNTIL(&h->pump, stats(h).bytes_in == 7);
    time_passes(FAR_US);
    raw_send(&h->pump, &c, "x", 1);
    PUMP_UNTIL(&h->pump, stats(h).bytes_in == 8);
    assert_int_equal(h->n_closed, 0);
    time_passes(1);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_string_equal(h->why, "line not completed in time");
    assert_int_equal(stats(h).n_closed_slow, 1);
    raw_close(&c);
    host_close(h);
}

/* A line that is late, as the proof that the port looked at the clock: who is still open after
 * late_end() was looked at by the same tick and found in time. */
static void late_begin(struct host *h, struct raw *late)
{
    host_connect(h, late);
    raw_send(&h->pump, late, "l", 1);
    PUMP_UNTIL(&h->pump, stats(h).bytes_in == 1);
}

static void late_end(struct host *h, struct raw *late)
{
    time_passes((uint64_t)FAR_US + 1);
    PUMP_UNTIL(&h->pump, h->n_closed > 0);
    assert_int_equal(h->n_closed, 1);
    PUMP_UNTIL(&h->pump, raw_read(late));
    raw_close(late);
}

/* Nor is one whose beginning came before we stopped reading for the sake of the output. */
static void net_client__line_behind_output_is_not_late(void **state)
{
    const size_t reply = 12u << 20; /* more than the kernel takes */
    struct client_port_conf conf = {.line_us = FAR_US, .stuck_us = 10 * (uint64_t)FAR_US};
    struct host *h = *state;
    struct raw c;
    struct raw late;

    host_open(h, &conf);
    late_begin(h, &late);
    host_connect(h, &c);
    raw_send(&h->pump, &c, "b", 1);
    PUMP_UNTIL(&h->pump, stats(h).bytes_in == 2);
    answer(h->last, reply);
    pump_turn(&h->pump);
    late_end(h, &late);
    raw_send(&h->pump, &c, "c\n", 2);
    PUMP_UNTIL(&h->pump, raw_in(&c) == reply && h->n_lines == 1);
    assert_lines(h, "1:bc\n");
    raw_close(&c);
    host_close(h);
}

/* A line that waits behind our own limit is not late. */
static void net_client__paused_line_is_not_late(void **state)
{
    struct client_port_conf conf = {.line_us = FAR_US, .in_flight = 1};
    struct host *h = *state;
    struct raw c;
    struct raw late;

    host_open(h, &conf);
    late_begin(h, &late);
    h->hold = true;
    host_connect(h, &c);
    raw_send(&h->pump, &c, "a\nb", 3);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    late_end(h, &late);
    settle_one(h);
    raw_send(&h->pump, &c, "c\n", 2);
    PUMP_UNTIL(&h->pump, h->n_lines == 2);
    assert_lines(h, "1:a\n2:bc\n");
    raw_close(&c);
    host_close(h);
}

static void net_client__idle(void **state)
{
    struct client_port_conf conf = {.idle_us = FAR_US};
    struct host *h = *state;
    struct raw quiet;
    struct raw owed;

    host_open(h, &conf);
    host_connect(h, &quiet);
    host_connect(h, &owed);
    h->hold = true;
    raw_send(&h->pump, &owed, "x\n", 2);
    PUMP_UNTIL(&h->pump, h->n_held == 1);
    time_passes((uint64_t)FAR_US + 1);
    /* One and the same tick looks at both. */
    PUMP_UNTIL(&h->pump, h->n_closed > 0);
    assert_int_equal(h->n_closed, 1);
    assert_string_equal(h->why, "idle");
    PUMP_UNTIL(&h->pump, raw_read(&quiet));
    settle_one(h);
    PUMP_UNTIL(&h->pump, raw_in(&owed) == 3);
    time_passes((uint64_t)FAR_US + 1);
    PUMP_UNTIL(&h->pump, h->n_closed == 2);
    raw_close(&quiet);
    raw_close(&owed);
    host_close(h);
}

static struct client_conn *used_inside[2];

static void act_use_others(struct host *h, struct client_conn *c)
{
    (void)c;
    time_passes(1);
    answer(used_inside[0], 3);
    answer(used_inside[1], 3);
    client_port_flush(h->port);
}

/* A tick closes one connection, and the host uses that moment to write to the others, before and
 * behind it in the order of the tick: what was used after the tick looked at the clock is not old. */
static void net_client__used_during_the_tick_is_not_idle(void **state)
{
    struct client_port_conf conf = {.idle_us = FAR_US};
    struct host *h = *state;
    struct raw c[3];

    host_open(h, &conf);
    for (int i = 0; i < 3; i++) {
        host_connect(h, &c[i]);
        if (i != 1)
            used_inside[i / 2] = h->last;
    }
    h->act = act_use_others;
    h->inside = INSIDE_CLOSED;
    time_passes((uint64_t)FAR_US + 1);
    raw_send(&h->pump, &c[0], "a\n", 2);
    raw_send(&h->pump, &c[2], "c\n", 2);
    PUMP_UNTIL(&h->pump, h->n_closed > 0);
    assert_int_equal(h->n_lines, 2);
    assert_int_equal(h->n_closed, 1);
    PUMP_UNTIL(&h->pump, raw_in(&c[0]) == 3 && raw_in(&c[2]) == 3);
    for (int i = 0; i < 3; i++)
        raw_close(&c[i]);
    host_close(h);
}

/* ---- many connections ---- */

static void net_client__connection_limit(void **state)
{
    struct client_port_conf conf = {.connections = 2};
    struct host *h = *state;
    struct raw c[4];

    host_open(h, &conf);
    host_connect(h, &c[0]);
    host_connect(h, &c[1]);
    for (int i = 2; i < 4; i++) {
        raw_connect(&c[i], client_port_number(h->port));
        (void)raw_send_some(&c[i], "early\n", 6); /* unread when it is closed */
        PUMP_UNTIL(&h->pump, raw_read(&c[i]));
        assert_in(&c[i], BUSY_LINE);
        raw_close(&c[i]);
    }
    assert_int_equal(stats(h).n_refused, 2);
    assert_int_equal(stats(h).n_open, 2);
    assert_int_equal(h->refused_limit, 2);
    assert_false(h->refused_of_host);
    raw_close(&c[0]);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_connect(h, &c[2]);
    raw_send(&h->pump, &c[2], "in\n", 3);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    raw_close(&c[1]);
    raw_close(&c[2]);
    host_close(h);
}

/* One host takes what it can: the others still get in (CLIENT-12), and it does, too, when it gives
 * one back. */
static void net_client__one_host_cannot_take_all(void **state)
{
    struct client_port_conf conf = {.connections = 8};
    struct host *h = *state;
    struct raw c[8];
    struct raw more;

    host_open(h, &conf);
    assert_int_equal(stats(h).limit_host, 6);
    for (unsigned i = 0; i < 6; i++) {
        raw_connect_from(&c[i], client_port_number(h->port), 1);
        PUMP_UNTIL(&h->pump, h->n_opened == i + 1);
    }
    raw_connect_from(&more, client_port_number(h->port), 1);
    PUMP_UNTIL(&h->pump, raw_read(&more));
    assert_in(&more, BUSY_LINE);
    assert_int_equal(h->refused_limit, 6);
    assert_true(h->refused_of_host);
    raw_close(&more);
    for (unsigned i = 6; i < 8; i++) {
        raw_connect_from(&c[i], client_port_number(h->port), i);
        PUMP_UNTIL(&h->pump, h->n_opened == i + 1);
    }
    raw_connect_from(&more, client_port_number(h->port), 9);
    PUMP_UNTIL(&h->pump, raw_read(&more));
    assert_int_equal(h->refused_limit, 8);
    assert_false(h->refused_of_host);
    raw_close(&more);
    raw_close(&c[0]);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    raw_connect_from(&c[0], client_port_number(h->port), 1);
    PUMP_UNTIL(&h->pump, h->n_opened == 9);
    for (unsigned i = 0; i < 8; i++)
        raw_close(&c[i]);
    PUMP_UNTIL(&h->pump, h->n_closed == 9);
    host_close(h);
}

/* ---- the socket of this host ---- */

static void local_path(char path[100], const char *name)
{
    (void)snprintf(path, 100, "/tmp/ridd-test-net-%d-%s", (int)getpid(), name);
    (void)unlink(path);
}

static int local_connect(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

/* Who connects is known, lines go as by TCP, and the path is gone with the port. */
static void net_client__local_socket(void **state)
{
    struct host *h = *state;
    struct client_peer peer;
    struct stat st;
    char path[100];
    char in[16] = "";
    char address[80];
    int fd;

    local_path(path, "a");
    host_open(h, &small);
    assert_int_equal(client_port_listen_local(h->port, path), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    fd = local_connect(path);
    PUMP_UNTIL(&h->pump, h->n_opened == 1);
    assert_true(client_conn_peer(h->last, &peer));
    assert_int_equal(peer.uid, geteuid());
    assert_int_equal(peer.gid, getegid());
    assert_int_equal(peer.pid, getpid());
    (void)snprintf(address, sizeof(address), "unix:uid=%u,pid=%d", (unsigned)geteuid(),
                   (int)getpid());
    assert_string_equal(client_conn_address(h->last), address);
    {
        gid_t own[256];
        const int n_own = getgroups(256, own);
        unsigned n;
        gid_t *groups = client_conn_groups(h->last, &n);

        assert_int_equal(n, n_own);
        assert_true(n == 0 || memcmp(groups, own, n * sizeof(own[0])) == 0);
        free(groups);
    }
    assert_true(client_conn_mark(h->last) == 0);
    client_conn_set_mark(h->last, UINT64_MAX);
    assert_true(client_conn_mark(h->last) == UINT64_MAX);
    h->answer_bytes = 4;
    assert_int_equal(write(fd, "one\n", 4), 4);
    PUMP_UNTIL(&h->pump, read(fd, in, sizeof(in)) == 4);
    assert_lines(h, "1:one\n");
    (void)close(fd);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_close(h);
    assert_int_equal(access(path, F_OK), -1);
}

/* CLIENT-10: one that has only closed its sending side is waited for, and answered. */
static void net_client__local_client_that_is_gone_is_owed_nothing(void **state)
{
    struct host *h = *state;
    char path[100];
    char in[16];
    int fd;

    local_path(path, "g");
    host_open(h, &small);
    assert_int_equal(client_port_listen_local(h->port, path), 0);
    h->hold = true;
    fd = local_connect(path);
    assert_int_equal(write(fd, "one\n", 4), 4);
    PUMP_UNTIL(&h->pump, h->n_held == 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (unsigned i = 0; i < 20; i++)
        pump_turn(&h->pump);
    assert_int_equal(h->n_closed, 0);
    settle_one(h);
    PUMP_UNTIL(&h->pump, read(fd, in, sizeof(in)) == 3);
    (void)close(fd);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);

    fd = local_connect(path);
    assert_int_equal(write(fd, "two\n", 4), 4);
    PUMP_UNTIL(&h->pump, h->n_held == 1);
    (void)close(fd);
    PUMP_UNTIL(&h->pump, h->n_closed == 2);
    h->n_held = 0;
    client_conn_release(h->held[0]);
    host_close(h);
}

/* By TCP nobody is anybody. */
static void net_client__a_connection_by_tcp_has_no_peer(void **state)
{
    struct host *h = *state;
    struct client_peer peer;
    unsigned n = 1;
    struct raw c;

    host_open(h, &small);
    host_connect(h, &c);
    assert_false(client_conn_peer(h->last, &peer));
    assert_null(client_conn_groups(h->last, &n));
    assert_int_equal(n, 0);
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_close(h);
}

/* ACCESS-5: what stands at the path. */
static void net_client__what_stands_at_the_path(void **state)
{
    struct host *h = *state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char path[100];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    local_path(path, "b");
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 1), 0);
    host_open(h, &small);
    /* Somebody lives there. */
    assert_int_equal(client_port_listen_local(h->port, path), -EADDRINUSE);
    assert_non_null(strstr(err_text(), "another process listens there"));
    assert_int_equal(access(path, F_OK), 0);
    /* He died. */
    (void)close(fd);
    assert_int_equal(client_port_listen_local(h->port, path), 0);
    (void)close(local_connect(path));
    /* Somebody else took the path: that one stays. */
    assert_int_equal(unlink(path), 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    PUMP_UNTIL(&h->pump, h->n_closed == h->n_opened && h->n_opened > 0);
    host_close(h);
    assert_int_equal(access(path, F_OK), 0);
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    /* What is no socket is never removed. */
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    (void)close(fd);
    host_open(h, &small);
    assert_int_equal(client_port_listen_local(h->port, path), -EEXIST);
    assert_non_null(strstr(err_text(), "no socket"));
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(client_port_listen_local(h->port, path), -EEXIST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(client_port_listen_local(h->port, "/nowhere/x.sock"), -ENOENT);
    assert_non_null(strstr(err_text(), "make its directory"));
    host_close(h);
}

/* The limits of the port are those of its socket, too: of one user where it says of one host. */
static void net_client__local_limits(void **state)
{
    struct client_port_conf conf = {.connections = 8, .connections_per_host = 3};
    struct host *h = *state;
    char path[100];
    char in[16] = "";
    struct raw c;
    int fd[4];

    local_path(path, "c");
    host_open(h, &conf);
    assert_int_equal(client_port_listen_local(h->port, path), 0);
    host_connect(h, &c); /* of another kind: it counts elsewhere */
    for (unsigned i = 0; i < 3; i++) {
        fd[i] = local_connect(path);
        PUMP_UNTIL(&h->pump, h->n_opened == i + 2);
    }
    fd[3] = local_connect(path);
    PUMP_UNTIL(&h->pump, read(fd[3], in, sizeof(in)) > 0);
    assert_string_equal(in, BUSY_LINE);
    assert_int_equal(h->refused_limit, 3);
    assert_true(h->refused_of_host);
    assert_int_equal(stats(h).n_open, 4);
    assert_true(net_host_of_user(7) != net_host_of_user(8));
    client_port_quiesce(h->port);
    for (unsigned i = 0; i < 4; i++)
        (void)close(fd[i]);
    raw_close(&c);
    host_close(h);
}

static void net_client__hosts_are_told_apart(void **state)
{
    static const char *const texts[] = {"10.1.2.3:1",        "[::ffff:10.1.2.3]:2",
                                        "10.1.2.4:1",        "[2001:db8::1]:1",
                                        "[2001:db8::f:2]:9", "[2001:db8:0:1::1]:1"};
    static const unsigned same_as[] = {0, 0, 2, 3, 3, 5};
    struct net_addr addrs[NET_ADDRS_MAX];
    uint64_t hosts[6];
    unsigned n;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(net_addr_resolve(texts[i], false, addrs, &n), 0);
        hosts[i] = net_host_of(&addrs[0].sa);
        for (unsigned j = 0; j < i; j++)
            assert_int_equal(hosts[i] == hosts[j], same_as[i] == same_as[j]);
    }
}

static rlim_t set_nofile(rlim_t n)
{
    struct rlimit rl;
    rlim_t before;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
    before = rl.rlim_cur;
    rl.rlim_cur = n < rl.rlim_max ? n : rl.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
    return before;
}

static void net_client__limit_leaves_descriptors_for_others(void **state)
{
    const rlim_t before = set_nofile(client_port_fds(3));
    struct client_port_conf conf = {.connections = 1000};
    struct host *h = *state;
    struct raw c[4];

    host_open(h, &conf);
    for (int i = 0; i < 3; i++)
        host_connect(h, &c[i]);
    raw_connect(&c[3], client_port_number(h->port));
    PUMP_UNTIL(&h->pump, raw_read(&c[3]));
    assert_in(&c[3], BUSY_LINE);
    assert_int_equal(h->refused_limit, 3); /* the limit that held, not the one that was asked for */
    for (int i = 0; i < 4; i++)
        raw_close(&c[i]);
    host_close(h);
    (void)set_nofile(before);
}

/* CLIENT-5: more callers than descriptors. Those beyond get the line, and the loop does not
 * spin. */
static void net_client__descriptors_run_out(void **state)
{
    enum { N = 40 };
    struct client_port_conf conf = {.connections = 1000};
    const rlim_t before = set_nofile(4096);
    struct host *h = *state;
    struct raw c[N];
    struct sockaddr_in sa;
    unsigned n_refused = 0;
    int fd_max = 0;

    host_open(h, &conf);
    for (int i = 0; i < N; i++) {
        raw_adopt(&c[i], socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        fd_max = c[i].fd > fd_max ? c[i].fd : fd_max;
    }
    (void)set_nofile((rlim_t)fd_max + 1 + 10);
    sa = raw_loopback(client_port_number(h->port));
    for (int i = 0; i < N; i++) {
        int r = connect(c[i].fd, (const struct sockaddr *)&sa, sizeof(sa));

        assert_true(r == 0 || errno == EINPROGRESS);
    }
    PUMP_UNTIL(&h->pump, stats(h).n_accepted + stats(h).n_refused == N);
    assert_int_equal(stats(h).n_accepted, 10);
    for (int i = 0; i < N; i++) {
        if (!raw_read(&c[i]))
            continue;
        n_refused++;
        assert_in(&c[i], BUSY_LINE);
    }
    assert_int_equal(n_refused, N - 10);
    assert_true(pump_cpu_us(&h->pump, 100000) < 50000);

    /* Not even the emergency descriptor helps: asleep until the timer, then well again. */
    (void)set_nofile(3);
    for (int i = 0; i < N; i++)
        if (c[i].eof)
            raw_close(&c[i]);
    (void)set_nofile((rlim_t)fd_max + 1 + 10);
    raw_connect(&c[N - 1], client_port_number(h->port));
    (void)set_nofile(3);
    assert_true(pump_cpu_us(&h->pump, 100000) < 50000);
    assert_int_equal(h->n_opened, 10);
    (void)set_nofile(before);
    PUMP_UNTIL(&h->pump, h->n_opened == 11);
    raw_send(&h->pump, &c[N - 1], "in\n", 3);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    for (int i = 0; i < N; i++)
        raw_close(&c[i]);
    host_close(h);
}

static void net_client__idle_connections_cost_little(void **state)
{
    enum { N = 2000 };
    const rlim_t before = set_nofile(2 * N + 500);
    struct client_port_conf conf = {.connections = N, .connections_per_host = N};
    struct raw *c = calloc(N, sizeof(*c));
    struct rlimit rl;
    struct host *h = *state;
    size_t used;

    assert_non_null(c);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
    if (rl.rlim_cur < 2 * N + 500) {
        print_message("skipped: RLIMIT_NOFILE is too low\n");
        free(c);
        (void)set_nofile(before);
        return;
    }
    host_open(h, &conf);
    h->answer_bytes = 2000;
    used = mallinfo2().uordblks;
    for (int i = 0; i < N; i++)
        host_connect(h, &c[i]);
    /* Each was used once. */
    for (int i = 0; i < N; i++) {
        raw_send(&h->pump, &c[i], "hello", 5);
        raw_send(&h->pump, &c[i], " there\n", 7);
    }
    PUMP_UNTIL(&h->pump, h->n_lines == N);
    for (int i = 0; i < N; i++) {
        PUMP_UNTIL(&h->pump, raw_in(&c[i]) == 2000);
        buf_done(&c[i].in);
    }
    buf_done(&h->lines);
    if (!TEST_SANITIZED) {
        PUMP_UNTIL(&h->pump, (mallinfo2().uordblks - used) / N < 1024);
        print_message("bytes per idle connection: %zu\n", (mallinfo2().uordblks - used) / N);
    }
    assert_int_equal(stats(h).n_open, N);
    for (int i = 0; i < N; i++)
        raw_close(&c[i]);
    PUMP_UNTIL(&h->pump, h->n_closed == N);
    host_close(h);
    free(c);
    (void)set_nofile(before);
}

/* ---- closing ---- */

static void act_close_self(struct host *h, struct client_conn *c)
{
    client_conn_close(c, "enough");
    client_conn_close(c, "twice");
    assert_null(client_conn_out(c));
    /* Too late, and yet counted. */
    client_conn_hold(c);
    h->held[h->n_held++] = c;
}

static void act_free_port(struct host *h, struct client_conn *c)
{
    struct client_port *port = h->port;

    (void)c;
    h->port = NULL;
    client_port_free(port);
    client_port_free(port);
    assert_int_equal(h->n_closed, h->n_opened);
}

static void act_quiesce(struct host *h, struct client_conn *c)
{
    (void)c;
    client_port_quiesce(h->port);
    client_port_quiesce(h->port);
}

static void act_flush(struct host *h, struct client_conn *c)
{
    answer(c, 10);
    client_port_flush(h->port);
    client_port_flush(h->port);
}

static void (*const acts[])(struct host *h, struct client_conn *c) = {act_close_self, act_free_port,
                                                                      act_quiesce, act_flush};

/* Every act at every place, with input left over, with and without a hold. */
static void net_client__closing_inside_callbacks(void **state)
{
    static char text[1000];

    memset(text, 'z', sizeof(text));
    memcpy(text, "a\nb\nc\n", 6);
    memcpy(text + 500, "\nd\ne\nf\n", 7);
    for (size_t a = 0; a < 4; a++) {
        for (int where = INSIDE_LINE; where <= INSIDE_CLOSED; where++) {
            for (int hold = 0; hold < 2; hold++) {
                struct host *h = *state;
                struct raw c;
                struct raw other;

                host_open(h, &small);
                host_connect(h, &other);
                h->hold = hold == 1;
                h->act = acts[a];
                h->inside = (enum inside)where;
                raw_connect(&c, client_port_number(h->port));
                (void)raw_send_some(&c, text, sizeof(text));
                if (where == INSIDE_CLOSED)
                    raw_close(&c);
                /* Where the act cannot come because a hold is in the way, give way. */
                PUMP_UNTIL(&h->pump,
                           (h->n_held > 0 ? settle_one(h) : (void)0, h->inside == INSIDE_NOTHING));
                pump_for(&h->pump, 3000);
                raw_close(&c);
                raw_close(&other);
                host_close(h); /* a port freed inside is gone by now; holds outlive it */
            }
        }
    }
}

static struct client_conn *victim;

static void act_close_victim(struct host *h, struct client_conn *c)
{
    (void)h;
    (void)c;
    client_conn_close(victim, "victim");
}

static void net_client__closes_another_inside(void **state)
{
    struct host *h = *state;
    struct raw a;
    struct raw b;

    host_open(h, &small);
    host_connect(h, &a);
    victim = h->last;
    host_connect(h, &b);
    /* Both have lines and output waiting when one closes the other. */
    h->answer_bytes = 5;
    (void)raw_send_some(&a, "a\n", 2);
    (void)raw_send_some(&b, "b\n", 2);
    PUMP_UNTIL(&h->pump, h->n_lines == 2);
    h->act = act_close_victim;
    h->inside = INSIDE_LINE;
    (void)raw_send_some(&b, "b\n", 2);
    (void)raw_send_some(&a, "a\n", 2);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_string_equal(h->why, "victim");
    PUMP_UNTIL(&h->pump, raw_read(&a));
    raw_send(&h->pump, &b, "b\n", 2);
    PUMP_UNTIL(&h->pump, h->n_lines >= 4);
    raw_close(&a);
    raw_close(&b);
    host_close(h);
}

static void net_client__holds_outlive_the_connection(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    h->hold = true;
    host_connect(h, &c);
    raw_send(&h->pump, &c, "a\nb\nc\n", 6);
    PUMP_UNTIL(&h->pump, h->n_held == 3);
    client_conn_close(h->last, "gone");
    assert_int_equal(h->n_closed, 1);
    assert_true(client_port_idle(h->port));
    pump_for(&h->pump, 5000);
    assert_null(client_conn_out(h->held[0]));
    assert_ptr_equal(client_conn_user(h->held[0]), h);
    assert_true(strncmp(client_conn_address(h->held[0]), "127.0.0.1:", 10) == 0);
    settle_one(h);
    pump_for(&h->pump, 5000);
    client_port_free(h->port);
    h->port = NULL;
    assert_null(client_conn_out(h->held[0]));
    settle_one(h);
    raw_close(&c);
    host_close(h); /* releases the last one */
}

static void net_client__reset_while_owed(void **state)
{
    const struct linger hard = {1, 0};
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    h->hold = true;
    host_connect(h, &c);
    raw_send(&h->pump, &c, "a\n", 2);
    PUMP_UNTIL(&h->pump, h->n_held == 1);
    assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_non_null(strstr(h->why, "cannot read"));
    settle_one(h);
    host_close(h);
}

/* What a read does not tell of is seen when the connection has been quiet (CLIENT-16): a reset that
 * came with the bytes before it, */
static void net_client__a_reset_behind_bytes_is_seen(void **state)
{
    const struct linger hard = {1, 0};
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    host_connect(h, &c);
    assert_int_equal(raw_send_some(&c, "a\n", 2), 2);
    assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    raw_close(&c);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    time_passes(CLIENT_QUIET_US + 1);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_non_null(strstr(h->why, "cannot read"));
    host_close(h);
}

/* and what stands behind a byte that is urgent. */
static void net_client__what_is_behind_an_urgent_byte_is_read(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    host_connect(h, &c);
    assert_int_equal(raw_send_some(&c, "a\n", 2), 2);
    assert_int_equal(send(c.fd, "!", 1, MSG_OOB), 1);
    assert_int_equal(raw_send_some(&c, "b\n", 2), 2);
    PUMP_UNTIL(&h->pump, h->n_lines > 0);
    time_passes(CLIENT_QUIET_US + 1);
    PUMP_UNTIL(&h->pump, h->n_lines == 2);
    assert_lines(h, "1:a\n2:b\n");
    raw_close(&c);
    host_close(h);
}

/* What is left of lines that were read before the one that ended it is of no use any more, and its
 * end is waited for all the same. */
static void net_client__one_that_lingers_is_read(void **state)
{
    static char text[200000];
    struct host *h = *state;
    struct raw c;

    memset(text, 'x', sizeof(text));
    memcpy(text, "{a}\n{b}\n{c}\n{d}\nGET / HTTP/1.1\n\n", 32);
    host_open_strict(h, &small);
    h->hold = true;
    host_connect(h, &c);
    (void)raw_send_some(&c, text, 5000);
    PUMP_UNTIL(&h->pump, h->n_held == 4);
    while (h->n_held > 0)
        settle_one(h);
    PUMP_UNTIL(&h->pump, h->n_foreign == 1);
    raw_send(&h->pump, &c, text + 5000, sizeof(text) - 5000);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    PUMP_UNTIL(&h->pump, h->n_closed == 1); /* and no time has passed */
    PUMP_UNTIL(&h->pump, raw_read(&c));
    assert_true(c.eof);
    raw_close(&c);
    host_close(h);
}

static void act_close_and_look(struct host *h, struct client_conn *c)
{
    const int before = dup(STDERR_FILENO);
    int after;

    (void)h;
    assert_true(before >= 0);
    (void)close(before);
    client_conn_close(c, "enough");
    after = dup(STDERR_FILENO);
    assert_int_equal(after, before); /* the lowest that is free, and that of c is lower */
    (void)close(after);
}

/* What is to be told to epoll is gathered by number (CLIENT-16). */
static void net_client__a_number_is_free_when_epoll_was_told(void **state)
{
    struct host *h = *state;
    struct raw c;
    int before;
    int after;

    host_open(h, &small);
    host_connect(h, &c);
    before = dup(STDERR_FILENO);
    (void)close(before);
    h->inside = INSIDE_LINE;
    h->act = act_close_and_look;
    raw_send(&h->pump, &c, "a\n", 2);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    pump_for(&h->pump, 3000);
    after = dup(STDERR_FILENO);
    (void)close(after);
    assert_true(after < before);
    raw_close(&c);
    host_close(h);
}

static void net_client__quiesce(void **state)
{
    struct host *h = *state;
    struct raw c;
    struct sockaddr_in sa;
    int fd;

    host_open(h, &small);
    h->hold = true;
    host_connect(h, &c);
    raw_send(&h->pump, &c, "a\n", 2);
    PUMP_UNTIL(&h->pump, h->n_held == 1);
    client_port_quiesce(h->port);
    raw_send(&h->pump, &c, "b\n", 2);
    pump_for(&h->pump, 20000);
    assert_int_equal(h->n_lines, 1);
    assert_false(client_port_idle(h->port));
    sa = raw_loopback(client_port_number(h->port));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof(sa)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    (void)close(fd);
    settle_one(h);
    assert_false(client_port_idle(h->port));
    PUMP_UNTIL(&h->pump, raw_in(&c) == 3);
    assert_true(client_port_idle(h->port));
    raw_close(&c);
    host_close(h);
}

static void net_client__new_conf_is_for_new_connections(void **state)
{
    struct client_port_conf conf = small;
    struct host *h = *state;
    struct raw a;
    struct raw b;

    host_open(h, &conf);
    host_connect(h, &a);
    conf.request_bytes = 10;
    client_port_set_conf(h->port, &conf);
    host_connect(h, &b);
    send_line_of(h, &a, 50, "\n", 400);
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    send_line_of(h, &b, 50, "\n", 400);
    PUMP_UNTIL(&h->pump, h->n_too_long == 1);
    raw_close(&a);
    raw_close(&b);
    host_close(h);
}

static void net_client__nodelay_and_cloexec(void **state)
{
    struct host *h = *state;
    struct raw c;
    int n_found = 0;

    host_open(h, &small);
    host_connect(h, &c);
    for (int fd = 3; fd < 64; fd++) {
        struct sockaddr_in sa;
        socklen_t len = sizeof(sa);
        int on = 0;
        socklen_t on_len = sizeof(on);

        if (fd == c.fd || getpeername(fd, (struct sockaddr *)&sa, &len) != 0)
            continue;
        n_found++;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &on_len), 0);
        assert_true(on != 0);
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    }
    assert_true(n_found >= 1);
    raw_close(&c);
    host_close(h);
}

static void net_client__addresses(void **state)
{
    const char *const bad[] = {"",          "nothing",  ":7400",  "1.2.3.4:", "1.2.3.4:x",
                               "::1:7400",  "[::1]",    "[]:1",   "h:65536",  "h:-1",
                               "h:0000001", "a:b:7400", "h:7400 "};
    const struct client_port_ops ops = {.on_line = on_line};
    struct client_port *port = NULL;
    struct client_port *second = NULL;
    struct event_base *base = event_base_new();
    char addr[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(client_port_new(base, bad[i], false, &small, &ops, &port), -EINVAL);
        assert_non_null(strstr(err_text(), "is not host:port"));
    }
    assert_true(client_port_new(base, "no-such-host.invalid:0", false, &small, &ops, &port) < 0);
    assert_non_null(strstr(err_text(), "cannot resolve 'no-such-host.invalid:0'"));
    assert_int_equal(client_port_new(base, "localhost:0", false, &small, &ops, &port), 0);
    client_port_free(port);
    assert_int_equal(client_port_new(base, "127.0.0.1:0", false, &small, &ops, &port), 0);
    (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", client_port_number(port));
    assert_int_equal(client_port_new(base, addr, false, &small, &ops, &second), -EADDRINUSE);
    assert_non_null(strstr(err_text(), "cannot listen on '127.0.0.1:"));
    client_port_free(port);
    client_port_free(NULL);
    if (client_port_new(base, "[::1]:0", false, &small, &ops, &port) == 0) {
        assert_true(client_port_number(port) > 0);
        client_port_free(port);
    }
    event_base_free(base);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)

/* A log line names an address as a configuration would. */
static void net_client__addresses_read_as_they_are_written(void **state)
{
    static const char *const same[] = {"127.0.0.1:7400", "[::1]:65535", "[2001:db8::7]:1"};
    struct net_addr addrs[NET_ADDRS_MAX];
    struct sockaddr_storage other = {.ss_family = AF_UNIX};
    char text[128];
    unsigned n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        assert_int_equal(net_addr_resolve(same[i], false, addrs, &n), 0);
        assert_int_equal(n, 1);
        net_addr_format(&addrs[0].sa, text, sizeof(text));
        assert_string_equal(text, same[i]);
    }
    assert_int_equal(net_addr_resolve("[::ffff:10.1.2.3]:80", false, addrs, &n), 0);
    net_addr_format(&addrs[0].sa, text, sizeof(text));
    assert_string_equal(text, "10.1.2.3:80");
    net_addr_format(&other, text, sizeof(text));
    assert_string_equal(text, "unknown");
    assert_int_equal(net_addr_resolve("no port", false, addrs, &n), -EINVAL);
    assert_non_null(strstr(err_text(), "is not host:port"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(net_client__single_bytes),
        CASE(net_client__many_lines_in_one_write),
        CASE(net_client__last_line_without_newline),
        CASE(net_client__a_long_line_comes_again),
        CASE(net_client__a_line_that_was_begun_is_done_with),
        CASE(net_client__a_long_line_at_the_end),
        CASE(net_client__a_long_line_that_fills_the_chunk),
        CASE(net_client__closed_within_a_long_line),
        CASE(net_client__half_close_is_answered),
        CASE(net_client__half_close_beyond_in_flight),
        CASE(net_client__foreign_first_line),
        CASE(net_client__foreign_line_later),
        CASE(net_client__foreign_behind_too_much_space),
        CASE(net_client__foreign_line_behind_owed_ones),
        CASE(net_client__line_of_exactly_the_limit),
        CASE(net_client__line_beyond_the_limit),
        CASE(net_client__endless_line),
        CASE(net_client__in_flight_stops_reading),
        CASE(net_client__hysteresis),
        CASE(net_client__random_cuts),
        CASE(net_client__one_client_cannot_hold_the_loop),
        CASE(net_client__one_turn_in_a_pass),
        CASE(net_client__a_turn_that_was_ended),
        CASE(net_client__all_clients_cannot_hold_the_loop),
        CASE(net_client__lines_have_a_time),
        CASE(net_client__who_costs_little_comes_first),
        CASE(net_client__those_who_take_much_give_way),
        CASE(net_client__heavy_requests_are_few_at_once),
        CASE(net_client__heavy_requests_go_on_when_others_are_done),
        CASE(net_client__heavy_requests_that_wait_bar_nobody),
        CASE(net_client__who_is_ending_is_not_barred),
        CASE(net_client__a_step_ends_in_time),
        CASE(net_client__the_rest_is_first_in_the_next_turn),
        CASE(net_client__client_that_never_reads),
        CASE(net_client__who_owes_most_is_closed),
        CASE(net_client__room_is_told),
        CASE(net_client__no_memory_for_a_line),
        CASE(net_client__held_bytes_stop_reading),
        CASE(net_client__slow_reader_gets_everything),
        CASE(net_client__slow_loris),
        CASE(net_client__paused_line_is_not_late),
        CASE(net_client__line_behind_output_is_not_late),
        CASE(net_client__idle),
        CASE(net_client__used_during_the_tick_is_not_idle),
        CASE(net_client__connection_limit),
        CASE(net_client__one_host_cannot_take_all),
        CASE(net_client__local_socket),
        CASE(net_client__local_client_that_is_gone_is_owed_nothing),
        CASE(net_client__a_connection_by_tcp_has_no_peer),
        CASE(net_client__what_stands_at_the_path),
        CASE(net_client__local_limits),
        CASE(net_client__hosts_are_told_apart),
        CASE(net_client__limit_leaves_descriptors_for_others),
        CASE(net_client__descriptors_run_out),
        CASE(net_client__idle_connections_cost_little),
        CASE(net_client__closing_inside_callbacks),
        CASE(net_client__closes_another_inside),
        CASE(net_client__holds_outlive_the_connection),
        CASE(net_client__reset_while_owed),
        CASE(net_client__a_reset_behind_bytes_is_seen),
        CASE(net_client__what_is_behind_an_urgent_byte_is_read),
        CASE(net_client__one_that_lingers_is_read),
        CASE(net_client__a_number_is_free_when_epoll_was_told),
        CASE(net_client__quiesce),
        CASE(net_client__new_conf_is_for_new_connections),
        CASE(net_client__nodelay_and_cloexec),
        CASE(net_client__addresses),
        CASE(net_client__addresses_read_as_they_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
