/* Clients that speak lines of JSON: the real service and decoder, with the accounts of memory, values
 * up to the limit, and readers that are slow.
 *
 * They stand beside the clients of clients.c, on the same keys: what they write the oracle's model
 * knows by its text. What they are answered is not compared with it; here it counts that each line
 * has one answer, and what all of it takes (bytes.c). The part of the client port is played: a
 * connection is not read while it owes too much, a share of a turn is kept, what a buffer has become
 * is charged. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/slice.h"
#include "sim/lines.h"

#include "base/banned.h"

#define IN_FLIGHT   24u
#define LARGE_BYTES 400000u

static char text[2 * VALUE_BYTES_MAX];

bool lines_are_on(const struct sim *s)
{
    return (s->p.features >> FEATURE_LINES & 1) != 0;
}

static uint64_t below(struct sim *s, unsigned talker, uint64_t bound)
{
    return sim_below(s, STREAM_FEATURE, 48 + talker, bound);
}

/* ---- what the service asks of its host ---- */

static struct buf *out_of(void *ctx, void *conn)
{
    struct talker *t = conn;

    (void)ctx;
    return &t->out;
}

static void hold(void *ctx, void *conn)
{
    (void)ctx;
    ((struct talker *)conn)->n_held++;
}

static void release(void *ctx, void *conn)
{
    struct talker *t = conn;
    const struct sim_node *n = ctx;

    if (t->n_held == 0)
        sim_fail(n->sim, "CLIENT-4", "n%u releases more than it holds", n->i + 1);
    t->n_held--;
    ((struct sim_node *)ctx)->reading_ns = 0;
}

static struct memory_conn *memory_of(void *ctx, void *conn)
{
    (void)ctx;
    return &((struct talker *)conn)->memory;
}

void lines_engine(struct sim_node *n, struct engine_ops *ops)
{
    memory_init(&n->memory, n->sim->p.memory_bytes);
    ops->out = out_of;
    ops->hold = hold;
    ops->release = release;
    ops->memory = memory_of;
}

/* ---- connections ---- */

static unsigned count_lines(const struct buf *b)
{
    unsigned n = 0;

    for (const unsigned char *p = b->data; p != NULL && p < b->data + b->len; p++) {
        p = memchr(p, '\n', b->len - (size_t)(p - b->data));
        if (p == NULL)
            break;
        n++;
    }
    return n;
}

static void account(struct talker *t)
{
    budget_set(&t->memory.replies, t->out.size);
}

static void take_replies(struct sim *s, struct talker *t)
{
    t->n_replies += count_lines(&t->out);
    if (t->out.len < LARGE_BYTES && t->out.len > 0 &&
        memmem(t->out.data, t->out.len, "\"overloaded\"", 12) != NULL)
        MARK(s, overloaded);
    buf_reset(&t->out, 4096);
    account(t);
    if (t->n_lines != t->n_replies + t->n_held)
        sim_fail(s, "CLIENT-2",
                 "n%u was sent %" PRIu64 " lines, has answered %" PRIu64 " and holds %u",
                 t->node + 1, t->n_lines, t->n_replies, t->n_held);
}

static void hang_up(struct talker *t)
{
    service_conn_free(t->conn);
    t->conn = NULL;
    budget_set(&t->memory.replies, 0);
    buf_done(&t->out);
    t->n_held = 0;
}

void lines_node_down(struct sim_node *n)
{
    for (unsigned i = 0; i < n->sim->n_talkers; i++) {
        struct talker *t = &n->sim->talkers[i];

        if (t->conn != NULL && t->node == n->i) {
            hang_up(t);
            bytes_gone(n, t);
        }
    }
}

static bool dial(struct sim *s, unsigned i)
{
    struct talker *t = &s->talkers[i];
    const struct sim_node *leader = node_leader(s);
    struct sim_node *n;

    t->node = (unsigned)below(s, i, s->p.n_nodes);
    if (leader != NULL && below(s, i, 3) > 0)
        t->node = leader->i;
    n = &s->nodes[t->node];
    if (n->life != NODE_UP)
        return false;
    memory_conn_init(&t->memory, &n->memory);
    t->n_lines = t->n_replies = 0;
    t->is_slow = below(s, i, 3) < (s->p.flood ? 2 : 1);
    return service_conn_new(engine_service(n->engine), t, &t->conn) == 0;
}

/* ---- lines ---- */

/* JSON that is compact already: a long text, or many short elements, which cost more. */
static size_t put_value(struct sim *s, unsigned i, char *at)
{
    static const size_t most[] = {8, 64, 2000, 20000, LARGE_BYTES};
    static const size_t flood[] = {8, 64, LARGE_BYTES, LARGE_BYTES, LARGE_BYTES};
    const size_t draw = (size_t)below(s, i, s->healing ? 2 : 5);
    const size_t len = 2 + (size_t)below(s, i, s->p.flood ? flood[draw] : most[draw]);
    char head[32];
    size_t n = (size_t)snprintf(head, sizeof(head), "[%u,%" PRIu64, i, ++s->talkers[i].n_values);

    memcpy(at, head, n);
    if (below(s, i, 2) == 0) {
        n += (size_t)snprintf(at + n, 4, ",\"");
        memset(at + n, 'x', len);
        n += len;
        at[n++] = '"';
    } else {
        for (size_t k = 0; k + 1 < len; k += 2, n += 2)
            memcpy(at + n, ",1", 2);
    }
    at[n++] = ']';
    return n;
}

static size_t put_key(struct sim *s, unsigned i, char *at)
{
    return (size_t)snprintf(at, 24, "\"%s\"", op_key((unsigned)below(s, i, s->p.n_keys)) + 1);
}

static size_t put_batch(struct sim *s, unsigned i)
{
    size_t n = (size_t)snprintf(text, sizeof(text), "{\"type\":\"batch_read_index\",\"keys\":[");

    for (unsigned k = 1 + (unsigned)below(s, i, 12); k > 0; k--) {
        n += put_key(s, i, text + n);
        text[n++] = k > 1 ? ',' : ']';
    }
    return n;
}

static size_t put_request(struct sim *s, unsigned i)
{
    static const char *const reads[] = {"read_index", "read_index", "read_via_log", "local_read",
                                        "read"};
    const unsigned kind = (unsigned)below(s, i, 16);
    const char *type = kind < 6    ? "write"
                       : kind == 6 ? "delete"
                       : kind < 9  ? "cas"
                       : kind < 13 ? reads[below(s, i, 5)]
                                   : NULL;
    size_t n;

    if (kind == 15)
        return (size_t)snprintf(text, sizeof(text), "{\"type\":\"status\"");
    if (type == NULL)
        return put_batch(s, i);
    n = (size_t)snprintf(text, sizeof(text), "{\"type\":\"%s\",\"key\":", type);
    n += put_key(s, i, text + n);
    if (kind < 6 || (kind > 6 && kind < 9)) {
        n += (size_t)snprintf(text + n, 16, kind < 6 ? ",\"value\":" : ",\"to\":");
        n += put_value(s, i, text + n);
    }
    if (kind > 6 && kind < 9) {
        n += (size_t)snprintf(text + n, 48, ",\"create_if_not_exists\":true,\"from\":");
        n += put_value(s, i, text + n);
    }
    return n;
}

uint64_t lines_elements_ns(const struct sim *s, const void *data, size_t len)
{
    const char *p = data;
    const char *end = p + len;
    uint64_t n = 0;

    if (s->p.cpu_element_ns == 0)
        return 0;
    while (p < end && (p = memchr(p, ',', (size_t)(end - p))) != NULL) {
        p++;
        n++;
    }
    return n * s->p.cpu_element_ns;
}

static void say(struct sim *s, struct sim_node *n, unsigned i)
{
    struct talker *t = &s->talkers[i];
    size_t len = put_request(s, i);

    len += (size_t)snprintf(text + len, 48, ",\"timeout_ms\":%" PRIu64 "}",
                            s->p.timeout_us / 1000 + 1);
    clock_work(n, clock_step_ns(s, s->p.cpu_msg_ns, len) + lines_elements_ns(s, text, len));
    MARK(s, lines_said);
    if (len > LARGE_BYTES / 2)
        MARK(s, lines_large);
    t->n_lines++;
    bytes_before(t);
    service_line(t->conn, text, len, t->n_lines);
    bytes_after(n, t);
    account(t);
}

/* ---- events ---- */

static uint64_t local_us(void *ctx)
{
    return clock_local_us(ctx);
}

static void serve(struct sim *s, struct sim_node *n, unsigned i)
{
    struct talker *t = &s->talkers[i];
    unsigned most = s->healing ? 1 : 1 + (unsigned)below(s, i, 10);
    struct slice share;

    slice_begin(&share, local_us, n, clock_local_us(n) + s->p.heartbeat_us / 2 / TURN_SHARES);
    while (most-- > 0 && t->n_held < IN_FLIGHT && t->out.len <= CLIENT_OUT_BYTES_HIGH) {
        say(s, n, i);
        if (slice_spent(&share))
            break;
    }
}

void lines_event(struct sim *s, unsigned i)
{
    struct talker *t = &s->talkers[i];
    struct sim_node *n = &s->nodes[t->node];

    if (s->drained) {
        if (t->conn != NULL && n->life == NODE_UP)
            take_replies(s, t);
    } else if (t->conn != NULL && below(s, i, 40) == 0) {
        hang_up(t);
        bytes_gone(n, t);
    }
    if (!s->drained && (t->conn != NULL || dial(s, i))) {
        n = &s->nodes[t->node];
        if (!t->is_slow || s->healing || below(s, i, s->p.flood ? 60 : 12) == 0)
            take_replies(s, t);
        if (t->memory.waits && memory_conn_has_room(&t->memory, &t->out)) {
            MARK(s, lines_had_room);
            t->memory.waits = service_conn_room(t->conn);
        } else if (t->memory.waits) {
            MARK(s, lines_waited);
        }
        serve(s, n, i);
        node_input(n);
    }
    if (!s->drained || t->conn != NULL)
        sim_push_any(s, s->now + s->p.length_ns / 160 + below(s, i, s->p.length_ns / 80), EV_TALK,
                     t->node, (uint16_t)i, NULL);
}

/* After a turn: what became of the buffers. */
void lines_turn(struct sim_node *n)
{
    const struct sim *s = n->sim;

    if (!lines_are_on(s))
        return;
    for (unsigned i = 0; i < s->n_talkers; i++)
        if (s->talkers[i].conn != NULL && s->talkers[i].node == n->i) {
            bytes_answered(n, &s->talkers[i]);
            account(&n->sim->talkers[i]);
        }
    node_arm(n, engine_deadline_us(n->engine));
}

void lines_init(struct sim *s)
{
    if (!lines_are_on(s))
        return;
    s->n_talkers = 2 + (unsigned)below(s, 0, 5);
    s->talkers = sim_alloc(s->n_talkers * sizeof(*s->talkers));
    for (unsigned i = 0; i < s->n_talkers; i++)
        sim_push_any(s, below(s, i, 100 * SIM_MS), EV_TALK, 0, (uint16_t)i, NULL);
}

void lines_done(struct sim *s)
{
    free(s->talkers);
}

unsigned lines_n_held(const struct sim_node *n)
{
    unsigned count = 0;

    for (unsigned i = 0; i < n->sim->n_talkers; i++)
        if (n->sim->talkers[i].conn != NULL && n->sim->talkers[i].node == n->i)
            count += n->sim->talkers[i].n_held;
    return count;
}
