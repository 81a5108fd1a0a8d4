/* What a client knows of each server: whether it can be reached, and how good it is for reads.
 *
 * A connection that comes to nothing is one failure, however many requests waited for it, and
 * nobody dials again before a pause that doubles, with jitter: clients that lost their server
 * together do not come back together, and a thousand requests make one attempt (ASYNC-7).
 *
 * Reads that any node can answer go to the better of two taken by chance (ASYNC-14): all clients
 * that take the best one of all fall on it at once. The score is latency times what is under way
 * there; it doubles with each read that took too long, and whoever was not heard of for a second is
 * asked once a second, beside the reads, whether it is better. */
#include <stdlib.h>
#include <string.h>

#include "client/client_int.h"

#include "base/banned.h"

struct node *node_find(const struct ridd *c, const char *text)
{
    for (unsigned i = 0; i < c->n_nodes; i++)
        if (strcmp(c->nodes[i]->at.text, text) == 0)
            return c->nodes[i];
    return NULL;
}

struct node *node_find_hinted(const struct ridd *c, const struct endpoint *at)
{
    const char *address = endpoint_address(at->text);
    struct node *n = node_find(c, at->text);

    for (unsigned i = 0; i < c->n_endpoints && n == NULL; i++)
        if (strcmp(endpoint_address(c->nodes[i]->at.text), address) == 0)
            n = c->nodes[i];
    return n;
}

void node_hold(struct node **slot, struct node *n)
{
    if (*slot != NULL)
        (*slot)->n_users--;
    if (n != NULL)
        n->n_users++;
    *slot = n;
}

void node_free(struct node *n)
{
    if (n == NULL)
        return;
    if (n->conn != NULL)
        conn_free(n->conn);
    free(n);
}

static struct node *node_new(struct ridd *c, const struct endpoint *at, unsigned place)
{
    struct node *n = calloc(1, sizeof(*n));

    if (n == NULL || conn_new(c, at, n, &n->conn) != 0) {
        free(n);
        return NULL;
    }
    n->at = *at;
    n->place = place;
    c->nodes[place] = n;
    return n;
}

static bool is_in_use(const struct ridd *c, const struct node *n)
{
    return n == c->aim || n == c->prefer || n->n_users > 0 || n->conn->state != CONN_CLOSED;
}

/* A new address takes the place of one that nobody uses, where there is no other. */
struct node *node_get(struct ridd *c, const struct endpoint *at)
{
    struct node *n = node_find(c, at->text);

    if (n != NULL)
        return n;
    if (c->n_nodes < CALL_NODES_MAX) {
        n = node_new(c, at, c->n_nodes);
        if (n != NULL)
            c->n_nodes++;
        return n;
    }
    for (unsigned i = c->n_endpoints; i < c->n_nodes; i++) {
        if (is_in_use(c, c->nodes[i]))
            continue;
        n = c->nodes[i];
        if (node_new(c, at, i) == NULL)
            return NULL;
        node_free(n);
        return c->nodes[i];
    }
    return NULL;
}

/* ---- whether it can be reached ---- */

static uint64_t with_jitter(struct ridd *c, uint64_t us)
{
    return us / 2 + prng_below(&c->prng, us + 1);
}

void node_failed(struct node *n, const char *why, uint64_t now_us)
{
    struct ridd *c = n->conn->client;
    unsigned shift = n->n_failures < 6 ? n->n_failures : 6;
    uint64_t pause_us = min_u64((uint64_t)CALL_BACKOFF_US_MIN << shift, CALL_BACKOFF_US_MAX);

    n->n_failures++;
    n->failed_us = now_us;
    n->quiet_until_us = now_us + with_jitter(c, CALL_BACKOFF_US_MIN);
    n->retry_us = max_u64(n->quiet_until_us, now_us + with_jitter(c, pause_us));
    n->n_slow = n->n_slow < CALL_SLOW_DOUBLINGS_MAX ? n->n_slow + 1 : n->n_slow;
    (void)snprintf(n->why, sizeof(n->why), "%s", why);
}

bool node_renew(struct node *n)
{
    struct conn *fresh;

    if (conn_new(n->conn->client, &n->at, n, &fresh) != 0)
        return false;
    n->conn->is_own = true;
    n->conn = fresh;
    return true;
}

void node_spoke(struct node *n)
{
    n->n_failures = 0;
    n->failed_us = 0;
    n->quiet_until_us = 0;
    n->retry_us = 0;
}

/* Who has begun since it failed knows nothing of that, and may look for himself a moment later. */
uint64_t node_usable_us(const struct node *n, uint64_t start_us)
{
    if (n->conn->state != CONN_CLOSED)
        return 0; /* it is there, or somebody dials */
    return n->failed_us != 0 && n->failed_us >= start_us ? n->retry_us : n->quiet_until_us;
}

/* ---- how good it is ---- */

static void sample(struct node *n, uint64_t latency_us, uint64_t now_us)
{
    n->latency_us = n->latency_us == 0 ? latency_us
                                       : (n->latency_us * (CALL_LATENCY_SHARE - 1) + latency_us) /
                                             CALL_LATENCY_SHARE;
    n->n_slow = 0;
    n->sampled_us = now_us;
}

void node_was_slow(struct node *n)
{
    if (n->n_slow < CALL_SLOW_DOUBLINGS_MAX)
        n->n_slow++;
}

/* Only reads are judged: a node that is busy with writes is not avoided for reads. */
void node_judge(struct node *n, enum ridd_status status, uint64_t latency_us, uint64_t now_us)
{
    if (status == RIDD_TIMEOUT || status == RIDD_OVERLOADED || status == RIDD_BUSY)
        node_was_slow(n);
    else
        sample(n, latency_us, now_us);
}

static uint64_t score(const struct node *n)
{
    uint64_t latency_us = n->latency_us > 0 ? n->latency_us : CALL_LATENCY_US_FIRST;

    return (latency_us * (n->n_reads + 1)) << n->n_slow;
}

struct node *node_choose(struct request *r, uint64_t now_us)
{
    struct ridd *c = r->client;
    struct node *usable[RIDD_ENDPOINTS_MAX];
    unsigned n = 0;
    unsigned i;
    unsigned j;

    for (unsigned k = 0; k < c->n_endpoints; k++)
        if ((r->tried & UINT64_C(1) << k) == 0 &&
            node_usable_us(c->nodes[k], r->start_us) <= now_us)
            usable[n++] = c->nodes[k];
    if (n < 2)
        return n == 1 ? usable[0] : NULL;
    i = (unsigned)prng_below(&c->prng, n);
    j = (unsigned)prng_below(&c->prng, n - 1);
    j += j >= i;
    return score(usable[i]) <= score(usable[j]) ? usable[i] : usable[j];
}

/* ---- probes ---- */

/* A ping is the least that a node can do: one that answers is worth a try again, as half as bad as
 * it was, but no better than this. */
void node_probed(struct request *r, uint64_t now_us)
{
    struct node *n = r->pin;

    n->probed = false;
    if (r->reply->status == RIDD_OK) {
        n->n_slow = 0;
        n->sampled_us = now_us;
        n->latency_us = max_u64(n->latency_us / 2, r->reply->stages.answer_us);
    } else {
        node_was_slow(n);
    }
}

static void probe(struct node *n, uint64_t now_us)
{
    struct ridd *c = n->conn->client;
    struct ridd_op op = ridd_op(RIDD_OP_PING);
    struct request *r = request_new(c, REQ_FOR_PROBE);

    if (r == NULL)
        return; /* in a second, perhaps */
    op.timeout_ms = CALL_PROBE_US / 1000;
    if (op_build(c, &op, r, NULL) != 0) {
        request_free(r);
        return;
    }
    node_hold(&r->pin, n);
    n->probed = true;
    request_begin(r, now_us);
}

static void probe_all(struct timer *t, uint64_t now_us)
{
    struct ridd *c = list_entry(t, struct ridd, probe);

    for (unsigned i = 0; i < c->n_endpoints; i++) {
        struct node *n = c->nodes[i];

        if (!n->probed && (n->n_slow > 0 || now_us - n->sampled_us >= CALL_PROBE_US))
            probe(n, now_us);
    }
    /* Without reads nobody needs to know. */
    if (now_us - c->read_us < 2 * (uint64_t)CALL_PROBE_US)
        timers_set(&c->timers, t, now_us + CALL_PROBE_US);
}

void node_reads_go_on(struct ridd *c, uint64_t now_us)
{
    c->read_us = now_us;
    c->probe.fn = probe_all;
    if (c->probe.place == 0)
        timers_set(&c->timers, &c->probe, now_us + CALL_PROBE_US);
}
