/* Which attempt of a request comes next, and when to stop.
 *
 * An attempt ends in an answer or in a failure, and every failure is either certain not to have
 * happened, or not.
 *
 *   reads    any failure that another try may help is tried again: a retry is a new read
 *            (READ-53)
 *   writes   tried again only while nothing happened: not all of the request left this host, or a
 *            server says so with code 11 (or was shutting down); otherwise RIDD_OUTCOME_UNKNOWN, at
 *            once (CLIENT-9)
 *   writes of a session
 *            tried again like reads, under the number that they have: however often they arrive,
 *            they happen once (ASYNC-9)
 *   once     tried again only when it was not sent, or the node did not lead
 *
 * A leader's address in `not_leader` is followed at once (READ-54: no back-off on a hint), also out
 * of the list; three times in a row, because two nodes may each believe in the other. One at a
 * server that could not be reached a moment ago is from before: who gave it is asked again soon,
 * and keeps the request as soon as it knows that it has no leader (FAILOVER-5). A time-out and an
 * overload are waited for, so that retries do not make them worse (ASYNC-6). Otherwise the
 * endpoints of the list are tried in turn without a pause until each had its chance, then there is
 * one, with jitter, and a new turn begins. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "client/client_int.h"

#include "base/banned.h"

/* ---- where to ---- */

void turn_make_ready(struct request *r)
{
    list_remove(&r->link);
    list_append(&r->client->ready, &r->link);
    r->state = REQ_READY;
    timers_clear(&r->client->timers, &r->timer);
}

static bool is_tried(const struct request *r, const struct node *n)
{
    return (r->tried & UINT64_C(1) << n->place) != 0;
}

static bool is_usable(const struct request *r, const struct node *n, uint64_t now_us)
{
    return node_usable_us(n, r->start_us) <= now_us;
}

static bool is_spread(const struct request *r)
{
    return r->any_node && ((r->client->flags & RIDD_FLAG_SPREAD) != 0 || r->client->prefer != NULL);
}

/* The next node of the list that had no chance since the last pause; NULL: all had. */
static struct node *next_untried(const struct request *r, uint64_t now_us)
{
    const struct ridd *c = r->client;

    for (unsigned i = 1; i <= c->n_endpoints; i++) {
        struct node *n = c->nodes[(r->place + i) % c->n_endpoints];

        if (!is_tried(r, n) && is_usable(r, n, now_us))
            return n;
    }
    return NULL;
}

static struct node *next_of_list(const struct request *r)
{
    const struct ridd *c = r->client;

    return c->nodes[(r->place + 1) % c->n_endpoints];
}

/* Where the leader is thought to be moves on with whoever did not find it there. */
static void leave_aim(const struct request *r, struct node *to)
{
    if (r->client->aim == r->at && !is_spread(r))
        r->client->aim = to;
}

static struct node *wanted(struct request *r, uint64_t now_us)
{
    struct ridd *c = r->client;
    struct node *n = NULL;

    if (r->next != NULL)
        return r->next;
    if (r->any_node && c->prefer != NULL && !is_tried(r, c->prefer) &&
        is_usable(r, c->prefer, now_us))
        return c->prefer;
    if (r->any_node && (c->flags & RIDD_FLAG_SPREAD) != 0) {
        node_reads_go_on(c, now_us);
        n = node_choose(r, now_us);
    }
    return n != NULL ? n : c->aim;
}

static uint64_t usable_at_us(const struct request *r, const struct node *n)
{
    const struct ridd *c = r->client;
    uint64_t us = node_usable_us(n, r->start_us);

    for (unsigned i = 0; i < c->n_endpoints; i++)
        us = min_u64(us, node_usable_us(c->nodes[i], r->start_us));
    return us;
}

/* ---- an attempt begins ---- */

/* A read gives no node more than a part of what is left, so that a node that hangs does not eat the
 * whole call. */
static uint64_t attempt_deadline_us(const struct request *r, uint64_t now_us)
{
    const struct ridd *c = r->client;
    bool may_repeat = r->kind == RIDD_KIND_READ || r->session[0] != '\0';
    bool is_alone =
        r->only != NULL || r->pin != NULL || (c->n_endpoints < 2 && r->at == c->nodes[0]);
    uint64_t deadline_us = r->deadline_us;

    if (may_repeat && !is_alone)
        deadline_us -= (deadline_us - now_us) / CALL_READ_SHARE;
    if (r->retry.total_ms != 0)
        deadline_us = min_u64(deadline_us, now_us + r->timeout_ms * UINT64_C(1000));
    return deadline_us;
}

/* To a node, or to an address that is none of ours; on a connection of its own where giving up
 * shall be seen there, or nobody else goes there. */
static void begin_attempt(struct request *r, struct node *n, uint64_t now_us)
{
    struct ridd *c = r->client;
    struct conn *conn = n != NULL ? n->conn : NULL;

    node_hold(&r->next, NULL);
    node_hold(&r->at, n);
    if (n != NULL)
        r->tried |= UINT64_C(1) << n->place;
    if (n != NULL && n->place < c->n_endpoints)
        r->place = n->place;
    r->n_attempts++;
    r->began_us = now_us;
    r->sent_us = 0;
    r->attempt_us = attempt_deadline_us(r, now_us);
    if (n == NULL || r->kind == RIDD_KIND_ONCE || r->connect_only) {
        if (conn_new(c, n != NULL ? &n->at : r->only, n, &conn) != 0) {
            turn_no_memory(r, now_us);
            return;
        }
        conn->is_own = true;
    }
    timers_set(&c->timers, &r->timer, r->attempt_us);
    conn_add(conn, r, now_us);
}

static void wait_until(struct request *r, uint64_t until_us)
{
    list_remove(&r->link);
    list_append(&r->client->waiting, &r->link);
    r->state = REQ_PAUSED;
    timers_set(&r->client->timers, &r->timer, until_us);
}

static void finish_best(struct request *r, uint64_t now_us)
{
    turn_finish(r, take_ptr(r->best), now_us);
}

/* Every node that it may go to failed a moment ago. */
static void wait_for_node(struct request *r, const struct node *n, uint64_t now_us)
{
    uint64_t until_us = usable_at_us(r, n);

    if (until_us < r->retry_until_us) {
        wait_until(r, until_us);
        return;
    }
    if (r->best == NULL) {
        r->best = reply_failed(RIDD_UNREACHABLE, true, "%s", n->why);
        if (!reply_is_const(r->best))
            (void)snprintf(r->best->endpoint, sizeof(r->best->endpoint), "%s", n->at.text);
    }
    finish_best(r, now_us);
}

void turn_dispatch(struct request *r, uint64_t now_us)
{
    struct node *n = r->pin;
    struct node *other;

    if (session_hold(r, now_us))
        return;
    if (r->only == NULL && n == NULL) {
        n = wanted(r, now_us);
        if (!is_usable(r, n, now_us)) {
            other = next_untried(r, now_us);
            if (other == NULL) {
                wait_for_node(r, n, now_us);
                return;
            }
            n = other;
        }
    }
    begin_attempt(r, n, now_us);
}

static void on_timer(struct timer *t, uint64_t now_us);

void turn_begin(struct request *r, uint64_t now_us)
{
    const struct ridd *c = r->client;
    uint64_t total_ms = r->retry.total_ms != 0 ? r->retry.total_ms : r->timeout_ms;

    r->timer.fn = on_timer;
    r->start_us = now_us;
    r->deadline_us = now_us + total_ms * 1000;
    r->retry_until_us = r->deadline_us - min_u64(total_ms * 100, CALL_LAST_ATTEMPT_US);
    if (r->retry.total_ms == 0 && r->timeout_ms > TIMEOUT_MS_MAX)
        r->retry_until_us = now_us + c->timeout_ms * UINT64_C(1000);
    r->only_unreachable = true;
    r->place = c->aim->place < c->n_endpoints ? c->aim->place : c->n_endpoints - 1;
    turn_make_ready(r);
}

/* ---- an attempt ended ---- */

/* What says most: that the client was told the wrong things; of a cluster in trouble that a quorum
 * is missing, any other word of a server, a silent or broken one, one that is not there. A hint
 * that was followed says less than all that happened where it led. */
static unsigned rank_of(const struct attempt *a, bool hint_was_followed)
{
    if (hint_was_followed)
        return 0;
    if (a->reply->status == RIDD_INVALID)
        return 5;
    if (a->reply->status == RIDD_NETWORK)
        return 4;
    if (a->from_server)
        return 3;
    return a->unreachable ? 1 : 2;
}

static void keep_best(struct request *r, struct attempt *a, bool hint_was_followed)
{
    unsigned rank = rank_of(a, hint_was_followed);

    if (r->best == NULL || rank >= r->best_rank) {
        ridd_reply_free(r->best);
        r->best = take_ptr(a->reply);
        r->best_rank = rank;
    } else {
        ridd_reply_free(take_ptr(a->reply));
    }
}

enum next {
    NEXT_STOP,
    NEXT_TRY_HINT,
    NEXT_TRY_HERE,
    NEXT_TRY_OTHER,
    NEXT_PAUSE_OTHER,
    NEXT_PAUSE_HERE
};

/* Only a read, or a write under its number, is sent again where the server is not certain that
 * nothing happened (CLIENT-9, ASYNC-9). */
static enum next next_for_server_error(const struct request *r, const struct ridd_reply *reply)
{
    bool may_repeat = r->kind == RIDD_KIND_READ || r->session[0] != '\0';
    bool is_once = r->kind == RIDD_KIND_ONCE;

    if (!reply->definite && !may_repeat)
        return NEXT_STOP;
    switch ((int)reply->status) {
    case RIDD_NOT_LEADER:
        return NEXT_TRY_HINT;
    case RIDD_TERM_CHANGED:
    case RIDD_ROLE_CHANGED:
    case RIDD_NETWORK:
    case RIDD_CANCELLED:
        return is_once ? NEXT_STOP : NEXT_TRY_OTHER;
    case RIDD_OVERLOADED:
    case RIDD_BUSY:
        return is_once ? NEXT_STOP : NEXT_PAUSE_HERE;
    case RIDD_TIMEOUT:
        return may_repeat ? NEXT_PAUSE_OTHER : NEXT_STOP;
    case RIDD_INTERNAL:
        return may_repeat ? NEXT_TRY_OTHER : NEXT_STOP;
    case RIDD_OTHER_ERROR:
        return reply->code == 11 && !is_once ? NEXT_TRY_OTHER : NEXT_STOP;
    default:
        return NEXT_STOP;
    }
}

/* A write that left this host whole and was not answered may have happened (CLIENT-9). */
static enum next next_for(const struct request *r, const struct attempt *a)
{
    if (a->outdated && r->kind != RIDD_KIND_ONCE)
        return NEXT_TRY_HERE;
    if (r->only != NULL || r->pin != NULL || a->reply->status == RIDD_INVALID)
        return NEXT_STOP;
    if (a->from_server)
        return next_for_server_error(r, a->reply);
    if (a->reply->status == RIDD_NO_ANSWER && !a->unreachable)
        return r->kind == RIDD_KIND_READ || r->session[0] != '\0' ? NEXT_PAUSE_OTHER : NEXT_STOP;
    if (a->unreachable || r->kind == RIDD_KIND_READ || r->session[0] != '\0')
        return NEXT_TRY_OTHER;
    return NEXT_STOP;
}

/* A node that a server named, if it is an address, not the one that named it, and allowed. It is no
 * path of this host, and spoken at as the list says, or else as who named it is (ACCESS-6,
 * TLS-34). */
static struct node *named_node(const struct request *r, const struct attempt *a, const char *text)
{
    struct ridd *c = r->client;
    struct endpoint at;
    struct node *n;

    if (text[0] == '\0' || strcmp(text, endpoint_address(a->reply->endpoint)) == 0 ||
        !endpoint_of_hint(a->reply->endpoint, text, &at))
        return NULL;
    n = node_find_hinted(c, &at);
    if ((c->flags & RIDD_FLAG_LISTED_ONLY) != 0 && (n == NULL || n->place >= c->n_endpoints))
        return NULL;
    return n != NULL ? n : node_get(c, &at);
}

static bool take_hint(struct request *r, const struct attempt *a)
{
    struct node *leader = named_node(r, a, a->hint.leader_addr);

    if (leader == NULL)
        return false;
    leave_aim(r, leader);
    node_hold(&r->next, leader);
    return true;
}

/* A leader that has confirmed the read, and spares itself the serving (ASYNC-15). */
static bool take_anchor(struct request *r, const struct attempt *a)
{
    struct node *n;

    if (a->reply->status != RIDD_OVERLOADED || a->hint.anchor == 0 || r->type != RIDD_OP_GET ||
        r->via == RIDD_VIA_LOCAL || r->n_hints >= CALL_HINTS_MAX)
        return false;
    n = named_node(r, a, a->hint.try_addr);
    if (n == NULL)
        return false;
    r->n_hints++;
    r->anchor = a->hint.anchor;
    memcpy(r->anchor_cluster, a->hint.anchor_cluster, sizeof(r->anchor_cluster));
    node_hold(&r->next, n);
    return true;
}

/* False: the pause would end behind the time. */
static bool pause_with_jitter(struct request *r, unsigned at_least_ms, uint64_t now_us)
{
    unsigned shift = r->n_pauses < 20 ? r->n_pauses : 20;
    uint64_t base_us = min_u64(((uint64_t)r->retry.backoff_ms * 1000) << shift,
                               (uint64_t)r->retry.backoff_ms_max * 1000);
    uint64_t spread_us = base_us * r->retry.jitter_percent / 100;
    uint64_t us = base_us - spread_us + prng_below(&r->client->prng, 2 * spread_us + 1);

    if (us < at_least_ms * UINT64_C(1000))
        us = at_least_ms * UINT64_C(1000) + us / 2;
    if (now_us + us >= r->retry_until_us)
        return false;
    r->n_pauses++;
    r->n_hints = 0;
    r->tried = 0;
    wait_until(r, now_us + us);
    return true;
}

/* False: it is not of that kind, or was too often. */
static bool ask_again_soon(struct request *r, const struct attempt *a, uint64_t now_us)
{
    const struct node *leader = named_node(r, a, a->hint.leader_addr);
    uint64_t us = (uint64_t)CALL_STALE_US << r->n_stale;

    if (leader == NULL || is_usable(r, leader, now_us) || r->n_stale >= CALL_STALE_MAX)
        return false;
    us = us / 2 + prng_below(&r->client->prng, us + 1);
    if (now_us + us >= r->retry_until_us)
        return false;
    r->n_stale++;
    node_hold(&r->next, r->at);
    wait_until(r, now_us + us);
    return true;
}

static bool go_to(struct request *r, struct node *n)
{
    leave_aim(r, n);
    node_hold(&r->next, n);
    turn_make_ready(r);
    return true;
}

static bool pause_here(struct request *r, unsigned at_least_ms, uint64_t now_us)
{
    if (!is_spread(r))
        node_hold(&r->next, r->at);
    return pause_with_jitter(r, at_least_ms, now_us);
}

/* After a pause the leader may be known by others; otherwise it is the next one's turn. */
static bool pause_and_move(struct request *r, uint64_t now_us)
{
    if (r->only_unreachable && (r->connect_only || (r->client->flags & RIDD_FLAG_IMPATIENT) != 0))
        return false;
    leave_aim(r, next_of_list(r));
    return pause_with_jitter(r, 0, now_us);
}

/* Prepares the attempt after a failed one; false: there is none. */
static bool go_on(struct request *r, const struct attempt *a, uint64_t now_us)
{
    bool was_anchored = r->anchor != 0;
    enum next next = was_anchored ? NEXT_PAUSE_OTHER : next_for(r, a);
    bool aimed = false;
    struct node *other;

    r->anchor = 0; /* what was confirmed was so then: it is asked for anew */
    if (next == NEXT_STOP || now_us >= r->retry_until_us)
        return false;
    if (!was_anchored && take_anchor(r, a)) {
        turn_make_ready(r);
        return true;
    }
    if (next == NEXT_TRY_HERE) {
        node_hold(&r->next, r->at);
        turn_make_ready(r);
        return true;
    }
    if (next == NEXT_TRY_HINT && ask_again_soon(r, a, now_us))
        return true;
    if (next == NEXT_TRY_HINT) {
        aimed = take_hint(r, a);
        if (aimed && r->n_hints++ < CALL_HINTS_MAX) {
            turn_make_ready(r);
            return true;
        }
    }
    if (r->n_retries++ >= r->retry.max_retries)
        return false;
    if (next == NEXT_PAUSE_HERE)
        return pause_here(r, a->hint.retry_after_ms, now_us);
    other = next_untried(r, now_us);
    if (!aimed && other != NULL && next != NEXT_PAUSE_OTHER)
        return go_to(r, other);
    if (aimed)
        return pause_with_jitter(r, 0, now_us);
    return pause_and_move(r, now_us);
}

/* ---- the end ---- */

/* Of a write: whether this failure may have happened all the same, now or in an attempt before. */
static bool may_have_happened(const struct request *r, const struct ridd_reply *reply)
{
    if (r->kind != RIDD_KIND_WRITE || reply->status == RIDD_OK)
        return false;
    if (!reply->definite || reply->status == RIDD_SESSION_EXPIRED)
        return true;
    /* What was decided when it was applied is what it came to, however often it was sent. */
    return r->maybe_happened && reply->status != RIDD_KEY_NOT_FOUND &&
           reply->status != RIDD_PRECONDITION_FAILED;
}

/* `read` says by an error what the other methods say by "exists". */
static void absent_is_an_answer(struct ridd_reply *reply)
{
    reply->status = RIDD_OK;
    reply->cause = RIDD_OK;
    reply->text[0] = '\0';
    reply->definite = 1;
    reply->value = "null";
    reply->value_len = 4;
}

static void finish_reply(const struct request *r, struct ridd_reply *reply)
{
    if (r->anchor != 0 && reply->status == RIDD_OK) {
        reply->linearizable = 1;
        reply->guarantee = RIDD_GUARANTEE_LINEARIZABLE;
    }
    if (reply->guarantee == RIDD_GUARANTEE_NONE && r->asked_index != 0)
        reply->guarantee = RIDD_GUARANTEE_SESSION;
    if (r->type == RIDD_OP_BATCH && reply->status == RIDD_OK && reply->n_items != r->n_keys)
        reply_fail(reply, RIDD_BAD_REPLY, true, "%zu values came back for %zu keys", reply->n_items,
                   r->n_keys);
}

/* The answer, though perhaps not a nice one. */
static bool is_answer(const struct request *r, const struct attempt *a)
{
    if (a->reply->status == RIDD_OK)
        return true;
    return a->from_server && r->anchor == 0 && next_for(r, a) == NEXT_STOP;
}

void turn_end(struct request *r, struct attempt *a, uint64_t now_us)
{
    struct ridd *c = r->client;
    unsigned n_hints = r->n_hints;

    if (r->type == RIDD_OP_GET && r->via == RIDD_VIA_DEFAULT && r->anchor == 0 &&
        a->reply->status == RIDD_KEY_NOT_FOUND)
        absent_is_an_answer(a->reply);
    if (a->reply->status == RIDD_OK && !is_spread(r) && r->anchor == 0 && r->at != NULL &&
        r->pin == NULL)
        c->aim = r->at;
    if (!a->unreachable)
        r->only_unreachable = false;
    if (a->reply->status == RIDD_SESSION_EXPIRED)
        session_expired(r, now_us);
    if (is_answer(r, a)) {
        turn_finish(r, a->reply, now_us);
        return;
    }
    if (r->kind == RIDD_KIND_WRITE && !a->reply->definite) {
        r->maybe_happened = true;
        if (r->session[0] == '\0') {
            turn_finish(r, a->reply, now_us);
            return;
        }
    }
    if (go_on(r, a, now_us)) {
        keep_best(r, a, r->n_hints > n_hints);
        return;
    }
    if (a->unreachable || a->reply->status == RIDD_NO_ANSWER)
        leave_aim(r, next_of_list(r));
    keep_best(r, a, false);
    finish_best(r, now_us);
}

static void say_all_unreachable(const struct request *r, struct ridd_reply *reply)
{
    char last[RIDD_TEXT_SIZE];

    (void)snprintf(last, sizeof(last), "%s", reply->text);
    reply_fail(reply, RIDD_UNREACHABLE, true, "none of %u endpoints can be reached, the last: %s",
               r->client->n_endpoints, last);
}

static void say_times(const struct request *r, struct ridd_reply *reply, uint64_t now_us)
{
    reply->attempts = r->n_attempts;
    reply->elapsed_us = now_us - r->start_us;
    if (r->began_us == 0)
        return;
    reply->stages.before_us = r->began_us - r->start_us;
    if (r->sent_us != 0) {
        reply->stages.queue_us = r->sent_us - r->began_us;
        reply->stages.answer_us = now_us - r->sent_us;
    }
}

void turn_finish(struct request *r, struct ridd_reply *reply, uint64_t now_us)
{
    struct ridd *c = r->client;

    timers_clear(&c->timers, &r->timer);
    list_remove(&r->link);
    table_remove(&c->by_id, &r->by_id);
    ridd_reply_free(take_ptr(r->best));
    if (!reply_is_const(reply)) {
        finish_reply(r, reply);
        if (may_have_happened(r, reply) && reply->status != RIDD_OUTCOME_UNKNOWN)
            reply_make_unknown(reply);
        if (reply->status == RIDD_UNREACHABLE && r->only_unreachable && c->n_endpoints > 1 &&
            r->only == NULL)
            say_all_unreachable(r, reply);
        say_times(r, reply, now_us);
        session_saw(r, reply);
    }
    r->reply = reply;
    r->state = REQ_DONE;
    list_append(r->purpose == REQ_FOR_CALLER ? &c->done : &c->done_inside, &r->link);
    session_leave(r, now_us);
}

/* That, too, is an outcome, and needs no memory (ASYNC-16). */
void turn_no_memory(struct request *r, uint64_t now_us)
{
    turn_finish(r, reply_no_memory(), now_us);
}

void turn_cancel(struct request *r, const char *why, uint64_t now_us)
{
    bool begun = r->conn != NULL && conn_drop(r->conn, r);
    struct ridd_reply *reply =
        reply_failed(RIDD_CANCELLED, r->kind == RIDD_KIND_READ || !begun, "%s", why);

    if (!reply_is_const(reply) && r->at != NULL)
        (void)snprintf(reply->endpoint, sizeof(reply->endpoint), "%s", r->at->at.text);
    turn_finish(r, reply, now_us);
}

void turn_connected(struct request *r, uint64_t now_us)
{
    struct attempt a = {.reply = reply_new()};
    struct conn *conn = r->conn;

    if (!reply_is_const(a.reply)) {
        (void)snprintf(a.reply->endpoint, sizeof(a.reply->endpoint), "%s", conn->to.text);
        reply_box(a.reply)->fd = conn_give_fd(conn);
    }
    (void)conn_drop(conn, r);
    if (reply_is_const(a.reply))
        turn_no_memory(r, now_us);
    else
        turn_end(r, &a, now_us);
}

/* ---- time ---- */

/* What the attempt was about when its time was over. */
static void say_late(const struct request *r, const char *to, const char *dialling, bool begun,
                     uint64_t now_us, struct attempt *a)
{
    if (dialling[0] != '\0') {
        reply_fail(a->reply, RIDD_UNREACHABLE, true, "%s", dialling);
        a->unreachable = true;
    } else if (!begun) {
        reply_fail(a->reply, RIDD_NO_ANSWER, true, "no time was left to ask %s", to);
        a->unreachable = true;
    } else {
        reply_fail(a->reply, RIDD_NO_ANSWER, r->kind == RIDD_KIND_READ,
                   "no answer from %s within %llu ms", to,
                   (unsigned long long)(now_us - r->sent_us + 500) / 1000);
    }
    (void)snprintf(a->reply->endpoint, sizeof(a->reply->endpoint), "%s", to);
}

static void attempt_is_late(struct request *r, uint64_t now_us)
{
    struct conn *conn = r->conn;
    struct attempt a = {.reply = reply_new()};
    char dialling[RIDD_TEXT_SIZE] = "";
    char to[RIDD_ENDPOINT_SIZE];
    bool begun;

    if (conn->state != CONN_OPEN)
        dial_describe(conn, ETIMEDOUT, dialling, sizeof(dialling));
    (void)snprintf(to, sizeof(to), "%s", conn->to.text);
    if (r->counted)
        node_was_slow(conn->node);
    begun = conn_drop(conn, r);
    if (begun)
        conn_doubt(conn, r->sent_us);
    if (reply_is_const(a.reply)) {
        turn_no_memory(r, now_us);
        return;
    }
    say_late(r, to, dialling, begun, now_us, &a);
    turn_end(r, &a, now_us);
}

static void on_timer(struct timer *t, uint64_t now_us)
{
    struct request *r = list_entry(t, struct request, timer);

    switch (r->state) {
    case REQ_PAUSED:
        turn_make_ready(r);
        break;
    case REQ_QUEUED:
    case REQ_SENT:
        attempt_is_late(r, now_us);
        break;
    case REQ_HELD:
        turn_finish(r,
                    reply_failed(RIDD_NO_ANSWER, true,
                                 "not sent: what it needs to know of the cluster was not told in "
                                 "time"),
                    now_us);
        break;
    case REQ_READY:
    case REQ_DONE:
        break;
    }
}
