/* Which attempt comes next, and when to stop.
 *
 * An attempt ends in an answer or in a failure, and every failure is either certain not to have
 * happened, or not.
 *
 *   reads    any failure that another try may help is tried again: a retry is a new read
 *            (READ-53)
 *   writes   tried again only while nothing happened: not all of the request left this host, or a
 *            server says so with code 11 (or was shutting down); otherwise RIDD_OUTCOME_UNKNOWN, at
 *            once (CLIENT-9)
 *   once     tried again only when it was not sent, or the node did not lead
 *
 * A leader's address in `not_leader` is followed at once (READ-54: no back-off on a hint), also
 * out of the list; three times in a row, because two nodes may each believe in the other. Otherwise
 * the endpoints of the list are tried in turn without a pause until each had its chance, then there
 * is one, with jitter, and a new turn begins. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_int.h"

#include "base/banned.h"

/* ---- a client ---- */

enum ridd_status ridd_check_endpoints(const char *endpoints, char *text, size_t size)
{
    struct endpoint list[RIDD_ENDPOINTS_MAX];
    char why[RIDD_TEXT_SIZE] = "no endpoint given: write host:port,host:port";
    unsigned n;

    if (endpoints != NULL && endpoint_parse_list(endpoints, list, &n, why, sizeof(why)))
        return RIDD_OK;
    if (size > 0)
        (void)snprintf(text, size, "%s", why);
    return RIDD_INVALID;
}

static uint64_t fresh_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
        seed = clock_mono_us();
    return seed;
}

enum ridd_status ridd_open(const char *endpoints, const struct ridd_options *options,
                           struct ridd **ret_client)
{
    static const struct ridd_options defaults = {0, 0, 0, 0};
    cleanup_free struct ridd *c = calloc(1, sizeof(*c));
    char why[RIDD_TEXT_SIZE];

    if (c == NULL)
        return RIDD_NO_MEMORY;
    if (options == NULL)
        options = &defaults;
    if (endpoints == NULL || options->timeout_ms > TIMEOUT_MS_MAX ||
        !endpoint_parse_list(endpoints, c->endpoints, &c->n_endpoints, why, sizeof(why)))
        return RIDD_INVALID;
    c->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS_DEFAULT;
    c->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CALL_CONNECT_MS;
    c->flags = options->flags;
    c->next_msg_id = 1;
    conn_init(&c->conn);
    prng_init(&c->prng, options->seed != 0 ? options->seed : fresh_seed());
    *ret_client = take_ptr(c);
    return RIDD_OK;
}

void ridd_close(struct ridd *client)
{
    if (client == NULL)
        return;
    conn_close(&client->conn);
    free(client);
}

enum ridd_status ridd_set_timeout(struct ridd *client, unsigned timeout_ms)
{
    if (timeout_ms == 0 || timeout_ms > TIMEOUT_MS_MAX)
        return RIDD_INVALID;
    client->timeout_ms = timeout_ms;
    return RIDD_OK;
}

unsigned ridd_endpoint_count(const struct ridd *client)
{
    return client->n_endpoints;
}

const char *ridd_endpoint(const struct ridd *client, unsigned place)
{
    return place < client->n_endpoints ? client->endpoints[place].text : NULL;
}

/* ---- one attempt ---- */

struct attempt {
    struct ridd_reply *reply; /* owned; status is never RIDD_OK by accident: it is what came */
    struct reply_hint hint;
    bool from_server; /* the failure is the server's word */
    bool unreachable;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Milliseconds for the server: it must answer before we stop listening, so that we hear why it
 * failed. */
static unsigned server_timeout_ms(uint64_t deadline_us)
{
    uint64_t now_us = clock_mono_us();
    uint64_t left_us = deadline_us > now_us ? deadline_us - now_us : 0;
    uint64_t ms = (left_us - min_u64(left_us / 10, CALL_SERVER_RESERVE_US)) / 1000;

    return ms == 0 ? 1 : (unsigned)min_u64(ms, TIMEOUT_MS_MAX);
}

static int build_line(const struct call *call, uint64_t msg_id, uint64_t deadline_us,
                      struct buf *line)
{
    if (buf_add(line, call->body.data, call->body.len) != 0)
        return -ENOMEM;
    if (!call->own_timeout &&
        buf_add_format(line, ",\"timeout_ms\":%u", server_timeout_ms(deadline_us)) != 0)
        return -ENOMEM;
    return buf_add_format(line, ",\"msg_id\":%llu}\n", (unsigned long long)msg_id);
}

/* A transport failure after the request left, in the words of its kind. */
static void fail_after_send(struct ridd_reply *r, const struct call *call,
                            const struct endpoint *to, enum conn_result result, uint64_t waited_us)
{
    if (result == CONN_E_TIMEOUT)
        reply_fail(r, RIDD_NO_ANSWER, call->kind == RIDD_KIND_READ,
                   "no answer from %s within %llu ms", to->text,
                   (unsigned long long)(waited_us + 500) / 1000);
    else if (result == CONN_E_TOO_LONG)
        reply_fail(r, RIDD_BAD_REPLY, call->kind == RIDD_KIND_READ,
                   "%s sent a line longer than %u bytes", to->text, CALL_LINE_BYTES_MAX);
    else
        reply_fail(r, RIDD_DISCONNECTED, call->kind == RIDD_KIND_READ,
                   "%s closed the connection before it answered", to->text);
}

/* Reads lines until ours comes. False: memory ran out. */
static bool await_reply(struct conn *conn, const struct call *call, uint64_t msg_id,
                        uint64_t deadline_us, struct attempt *a)
{
    uint64_t start_us = clock_mono_us();
    char why[160] = "";

    for (;;) {
        const char *line;
        size_t len;
        enum conn_result result = conn_line(conn, deadline_us, &line, &len);

        if (result == CONN_E_MEMORY)
            return false;
        if (result == CONN_OK) {
            switch (reply_parse(a->reply, line, len, msg_id, call->expect, &a->hint, why,
                                sizeof(why))) {
            case REPLY_MINE:
                a->from_server = a->reply->status != RIDD_OK;
                return true;
            case REPLY_MEMORY:
                return false;
            case REPLY_GARBAGE:
                reply_fail(a->reply, RIDD_BAD_REPLY, call->kind == RIDD_KIND_READ,
                           "%s does not speak the protocol: %s", conn->to.text, why);
                conn_close(conn);
                return true;
            case REPLY_OTHERS:
                if (clock_mono_us() < deadline_us)
                    continue;
                result = CONN_E_TIMEOUT;
                break;
            }
        }
        fail_after_send(a->reply, call, &conn->to, result, clock_mono_us() - start_us);
        conn_close(conn);
        return true;
    }
}

static bool exchange(struct ridd *c, struct conn *conn, const struct call *call,
                     uint64_t deadline_us, struct attempt *a)
{
    cleanup_buf struct buf line = BUF_INIT;
    uint64_t msg_id = c->next_msg_id++;
    size_t sent;
    enum conn_result result;

    if (build_line(call, msg_id, deadline_us, &line) != 0)
        return false;
    if (clock_mono_us() >= deadline_us) { /* connecting took it all */
        reply_fail(a->reply, RIDD_NO_ANSWER, true, "no time was left to ask %s", conn->to.text);
        a->unreachable = true;
        return true;
    }
    result = conn_send(conn, line.data, line.len, deadline_us, &sent);
    if (result == CONN_OK && call->kind == RIDD_KIND_ONCE) {
        bool ok;

        /* Whoever gives up, or is ended while it waits, ends the run at the server, too: it sees a
         * reset, and not the end of what we have to say, after which it would answer. */
        conn_reset_on_close(conn, true);
        ok = await_reply(conn, call, msg_id, deadline_us, a);
        conn_reset_on_close(conn, false);
        return ok;
    }
    if (result == CONN_OK)
        return await_reply(conn, call, msg_id, deadline_us, a);
    /* The server may have said why before it hung up. */
    if (result == CONN_E_CLOSED && !await_reply(conn, call, msg_id, clock_mono_us(), a))
        return false;
    if (result == CONN_E_CLOSED && (a->from_server || a->reply->status == RIDD_OK)) {
        conn_close(conn);
        return true;
    }
    fail_after_send(a->reply, call, &conn->to, result, 0);
    /* The last line of a stream counts without its newline; a line that lacks more than that is no
     * request. */
    if (sent + 1 < line.len) {
        a->reply->definite = 1;
        a->unreachable = true;
    }
    conn_close(conn);
    return true;
}

/* False: memory ran out. */
static bool attempt_at(struct ridd *c, struct conn *conn, const struct endpoint *to,
                       const struct call *call, uint64_t deadline_us, struct attempt *a)
{
    char why[RIDD_TEXT_SIZE];

    memset(a, 0, sizeof(*a));
    a->reply = reply_new();
    if (reply_is_const(a->reply))
        return false;
    if (conn->fd >= 0 && (strcmp(conn->to.text, to->text) != 0 || conn_stale(conn)))
        conn_close(conn);
    (void)snprintf(a->reply->endpoint, sizeof(a->reply->endpoint), "%s", to->text);
    if (conn->fd < 0) {
        uint64_t until_us =
            min_u64(deadline_us, clock_mono_us() + c->connect_timeout_ms * UINT64_C(1000));
        enum conn_result result = conn_open(conn, to, until_us, why, sizeof(why));

        if (result == CONN_E_MEMORY)
            return false;
        if (result != CONN_OK) {
            reply_fail(a->reply, RIDD_UNREACHABLE, true, "%s", why);
            a->unreachable = true;
            return true;
        }
    }
    return exchange(c, conn, call, deadline_us, a);
}

/* ---- the turns ---- */

struct turns {
    struct ridd *c;
    const struct call *call;
    uint64_t deadline_us;
    /* no attempt begins later: a long wait for an answer is no long search */
    uint64_t retry_until_us;
    uint32_t tried; /* endpoints of the list since the last pause: one bit each */
    unsigned n_pauses;
    unsigned n_hints;        /* followed in a row */
    bool only_unreachable;   /* so far no endpoint could be connected to */
    struct ridd_reply *best; /* owned: the failure that says most, for when the time is over */
    unsigned best_rank;
};

static_assert(RIDD_ENDPOINTS_MAX <= 32, "one bit per endpoint");

/* What says most about a cluster in trouble: that a quorum is missing, any other word of a server,
 * a silent or broken one, one that is not there. A hint that was followed says less than all that
 * happened where it led. */
static unsigned rank_of(const struct attempt *a, bool hint_was_followed)
{
    if (hint_was_followed)
        return 0;
    if (a->reply->status == RIDD_NETWORK)
        return 4;
    if (a->from_server)
        return 3;
    return a->unreachable ? 1 : 2;
}

enum next { NEXT_STOP, NEXT_TRY_HINT, NEXT_TRY_OTHER, NEXT_PAUSE_HERE };

/* Only a read is sent again where the server is not certain that nothing happened (CLIENT-9). */
static enum next next_for_server_error(const struct call *call, const struct ridd_reply *r)
{
    bool is_read = call->kind == RIDD_KIND_READ;

    if (!r->definite && !is_read)
        return NEXT_STOP;
    switch ((int)r->status) {
    case RIDD_NOT_LEADER:
        return NEXT_TRY_HINT;
    case RIDD_TERM_CHANGED:
    case RIDD_ROLE_CHANGED:
    case RIDD_NETWORK:
    case RIDD_CANCELLED:
        return call->kind == RIDD_KIND_ONCE ? NEXT_STOP : NEXT_TRY_OTHER;
    case RIDD_OVERLOADED:
    case RIDD_BUSY:
        return call->kind == RIDD_KIND_ONCE ? NEXT_STOP : NEXT_PAUSE_HERE;
    case RIDD_TIMEOUT:
    case RIDD_INTERNAL:
        return is_read ? NEXT_TRY_OTHER : NEXT_STOP;
    case RIDD_OTHER_ERROR:
        return r->code == 11 && call->kind != RIDD_KIND_ONCE ? NEXT_TRY_OTHER : NEXT_STOP;
    default:
        return NEXT_STOP;
    }
}

/* A write that left this host whole and was not answered may have happened (CLIENT-9). */
static enum next next_for(const struct call *call, const struct attempt *a)
{
    if (a->from_server)
        return next_for_server_error(call, a->reply);
    if (a->unreachable || call->kind == RIDD_KIND_READ)
        return NEXT_TRY_OTHER;
    return NEXT_STOP;
}

/* The place of an address in the list, or -1. */
static int place_of(const struct ridd *c, const char *text)
{
    for (unsigned i = 0; i < c->n_endpoints; i++)
        if (strcmp(c->endpoints[i].text, text) == 0)
            return (int)i;
    return -1;
}

/* Where the next attempt goes: to the open connection, to the leader found last, or to the list. */
static struct endpoint target_of(const struct ridd *c)
{
    if (c->conn.fd >= 0)
        return c->conn.to;
    return c->has_hint ? c->hint : c->endpoints[c->place];
}

static void aim_at_place(struct ridd *c, unsigned place)
{
    c->has_hint = false;
    c->place = place;
    if (c->conn.fd >= 0 && strcmp(c->conn.to.text, c->endpoints[place].text) != 0)
        conn_close(&c->conn);
}

/* Takes the hint, if it is one: an address, not the one that gave it, and allowed. */
static bool aim_at_hint(struct ridd *c, const struct attempt *a)
{
    struct endpoint leader;
    char why[RIDD_TEXT_SIZE];
    int place;

    if (a->hint.leader_addr[0] == '\0' || strcmp(a->hint.leader_addr, a->reply->endpoint) == 0)
        return false;
    if (!endpoint_parse(a->hint.leader_addr, strlen(a->hint.leader_addr), &leader, why,
                        sizeof(why)))
        return false;
    place = place_of(c, leader.text);
    if (place >= 0) {
        aim_at_place(c, (unsigned)place);
        return true;
    }
    if (c->flags & RIDD_FLAG_LISTED_ONLY)
        return false;
    conn_close(&c->conn);
    c->hint = leader;
    c->has_hint = true;
    return true;
}

/* The next endpoint of the list that had no chance since the last pause; false: all had. */
static bool aim_at_untried(struct turns *t)
{
    struct ridd *c = t->c;

    for (unsigned i = 1; i <= c->n_endpoints; i++) {
        unsigned place = (c->place + i) % c->n_endpoints;

        if ((t->tried & (UINT32_C(1) << place)) == 0) {
            aim_at_place(c, place);
            return true;
        }
    }
    return false;
}

static void sleep_until(uint64_t until_us)
{
    const struct timespec ts = clock_timer_at(until_us);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        continue;
}

/* False: the pause would end behind the deadline. */
static bool pause_with_jitter(struct turns *t, unsigned at_least_ms)
{
    unsigned shift = t->n_pauses < 6 ? t->n_pauses : 6;
    uint64_t base_us = min_u64((uint64_t)CALL_BACKOFF_US_MIN << shift, CALL_BACKOFF_US_MAX);
    uint64_t us = base_us / 2 + prng_below(&t->c->prng, base_us + 1);
    uint64_t until_us;

    if (us < at_least_ms * UINT64_C(1000))
        us = at_least_ms * UINT64_C(1000) + us / 2;
    until_us = clock_mono_us() + us;
    if (until_us >= t->retry_until_us)
        return false;
    sleep_until(until_us);
    t->n_pauses++;
    t->n_hints = 0;
    t->tried = 0;
    return true;
}

/* Prepares the attempt after a failed one; false: there is none. */
static bool go_on(struct turns *t, const struct attempt *a)
{
    struct ridd *c = t->c;
    enum next next = next_for(t->call, a);
    bool aimed = false;

    if (next == NEXT_STOP || clock_mono_us() >= t->retry_until_us)
        return false;
    if (next == NEXT_PAUSE_HERE)
        return pause_with_jitter(t, a->hint.retry_after_ms);
    if (next == NEXT_TRY_HINT) {
        aimed = aim_at_hint(c, a);
        if (aimed && t->n_hints++ < CALL_HINTS_MAX)
            return true;
    }
    if (!aimed && aim_at_untried(t))
        return true;
    if (t->only_unreachable && (c->flags & RIDD_FLAG_IMPATIENT))
        return false;
    if (!pause_with_jitter(t, 0))
        return false;
    if (!aimed)
        aim_at_place(c, (c->place + 1) % c->n_endpoints);
    return true;
}

/* How long this attempt may take. */
static uint64_t attempt_deadline_us(const struct turns *t, uint64_t now_us)
{
    if (t->call->kind != RIDD_KIND_READ || (t->c->n_endpoints < 2 && !t->c->has_hint))
        return t->deadline_us;
    return t->deadline_us - (t->deadline_us - now_us) / CALL_READ_SHARE;
}

static void keep_best(struct turns *t, struct attempt *a, bool hint_was_followed)
{
    unsigned rank = rank_of(a, hint_was_followed);

    if (t->best == NULL || rank >= t->best_rank) {
        ridd_reply_free(t->best);
        t->best = take_ptr(a->reply);
        t->best_rank = rank;
    } else {
        ridd_reply_free(take_ptr(a->reply));
    }
}

/* Whether this failure of a write may have happened all the same. */
static bool is_unknown(const struct call *call, const struct attempt *a)
{
    return call->kind == RIDD_KIND_WRITE && !a->reply->definite;
}

static struct ridd_reply *run_turns(struct turns *t, unsigned *ret_attempts)
{
    struct ridd *c = t->c;

    for (;;) {
        struct endpoint to = target_of(c);
        int place = place_of(c, to.text);
        uint64_t now_us = clock_mono_us();
        unsigned n_hints;
        struct attempt a;

        ++*ret_attempts;
        if (!attempt_at(c, &c->conn, &to, t->call, attempt_deadline_us(t, now_us), &a)) {
            ridd_reply_free(a.reply);
            ridd_reply_free(take_ptr(t->best));
            conn_close(&c->conn);
            return reply_no_memory();
        }
        if (place >= 0) {
            c->place = (unsigned)place;
            t->tried |= UINT32_C(1) << place;
        }
        if (a.reply->status == RIDD_OK) {
            ridd_reply_free(take_ptr(t->best));
            return a.reply;
        }
        if (!a.unreachable)
            t->only_unreachable = false;
        if (is_unknown(t->call, &a)) {
            ridd_reply_free(take_ptr(t->best));
            reply_make_unknown(a.reply);
            return a.reply;
        }
        if (a.unreachable)
            c->has_hint = false;
        if (a.from_server &&
            next_for(t->call, &a) == NEXT_STOP) { /* the answer, though not a nice one */
            ridd_reply_free(take_ptr(t->best));
            return a.reply;
        }
        n_hints = t->n_hints;
        if (!go_on(t, &a)) {
            keep_best(t, &a, false);
            return take_ptr(t->best);
        }
        keep_best(t, &a, t->n_hints > n_hints);
    }
}

static struct ridd_reply *run_once(struct ridd *c, const struct call *call, uint64_t deadline_us)
{
    struct conn conn;
    struct attempt a;
    bool ok;

    conn_init(&conn);
    ok = attempt_at(c, &conn, call->only, call, deadline_us, &a);
    conn_close(&conn);
    if (!ok) {
        ridd_reply_free(a.reply);
        return reply_no_memory();
    }
    if (a.reply->status != RIDD_OK && is_unknown(call, &a))
        reply_make_unknown(a.reply);
    return a.reply;
}

static void say_all_unreachable(const struct ridd *c, struct ridd_reply *r)
{
    char last[RIDD_TEXT_SIZE];

    (void)snprintf(last, sizeof(last), "%s", r->text);
    reply_fail(r, RIDD_UNREACHABLE, true, "none of %u endpoints can be reached, the last: %s",
               c->n_endpoints, last);
}

struct ridd_reply *call_run(struct ridd *c, const struct call *call)
{
    uint64_t start_us = clock_mono_us();
    uint64_t deadline_us = start_us + call->timeout_ms * UINT64_C(1000);
    bool only_unreachable = false;
    unsigned n_attempts = 0;
    struct ridd_reply *r;

    if (call->only != NULL) {
        n_attempts = 1;
        r = run_once(c, call, deadline_us);
    } else {
        uint64_t reserve_us = min_u64(call->timeout_ms * UINT64_C(100), CALL_LAST_ATTEMPT_US);
        struct turns t = {.c = c,
                          .call = call,
                          .deadline_us = deadline_us,
                          .retry_until_us = deadline_us - reserve_us,
                          .only_unreachable = true};

        if (call->timeout_ms > TIMEOUT_MS_MAX)
            t.retry_until_us = start_us + c->timeout_ms * UINT64_C(1000);
        r = run_turns(&t, &n_attempts);
        only_unreachable = t.only_unreachable;
    }
    if (r->status == RIDD_UNREACHABLE && only_unreachable && c->n_endpoints > 1)
        say_all_unreachable(c, r);
    if (!reply_is_const(r)) {
        r->attempts = n_attempts;
        r->elapsed_us = clock_mono_us() - start_us;
    }
    return r;
}

struct ridd_reply *ridd_connect(struct ridd *client, int *ret_fd)
{
    struct ridd_reply *r = reply_new();
    uint64_t start_us = clock_mono_us();
    uint64_t deadline_us = start_us + client->timeout_ms * UINT64_C(1000);
    char why[RIDD_TEXT_SIZE] = "";
    struct conn conn;

    *ret_fd = -1;
    if (reply_is_const(r))
        return r;
    conn_init(&conn);
    for (unsigned i = 0; i < client->n_endpoints && clock_mono_us() < deadline_us; i++) {
        const struct endpoint *to = &client->endpoints[i];
        uint64_t until_us =
            min_u64(deadline_us, clock_mono_us() + client->connect_timeout_ms * UINT64_C(1000));
        enum conn_result result = conn_open(&conn, to, until_us, why, sizeof(why));

        r->attempts++;
        (void)snprintf(r->endpoint, sizeof(r->endpoint), "%s", to->text);
        if (result == CONN_E_MEMORY) {
            ridd_reply_free(r);
            return reply_no_memory();
        }
        if (result == CONN_OK) {
            *ret_fd = take_fd(conn.fd);
            break;
        }
    }
    conn_close(&conn);
    if (*ret_fd < 0)
        reply_fail(r, RIDD_UNREACHABLE, true, "%s", why);
    r->elapsed_us = clock_mono_us() - start_us;
    return r;
}
