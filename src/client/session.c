/* What a client has with the cluster over many requests: a session in which its writes have
 * numbers, so that one that is repeated counts once, and the index that its reads may not fall
 * behind. Both are asked for by the library when the first request needs them; what comes meanwhile
 * is held.
 *
 * A number is given once, when a write first leaves, and stays with it whatever becomes of it
 * (ASYNC-9). `first` is the lowest number whose answer is still waited for: an answer below it may
 * be forgotten there, and a write below it that comes late is refused, never applied. No more
 * numbers are under way than the cluster keeps answers of (ASYNC-10). */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "client/client_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

static void ask_for_session(struct ridd *c, uint64_t now_us);

/* ---- numbers ---- */

static uint64_t first_seq(const struct session *s)
{
    return list_empty(&s->writes) ? s->next_seq
                                  : list_entry(s->writes.next, struct request, by_seq)->seq;
}

static bool may_number(const struct session *s)
{
    return s->state == SESSION_OPEN && s->next_seq - first_seq(s) < CALL_SESSION_WINDOW;
}

static void number(struct session *s, struct request *r)
{
    (void)snprintf(r->session, sizeof(r->session), "%s", s->id);
    r->seq = s->next_seq++;
    list_append(&s->writes, &r->by_seq);
}

static void release(struct ridd *c, uint64_t now_us)
{
    struct session *s = &c->session;

    while (!list_empty(&s->held) && may_number(s)) {
        struct request *r = list_entry(s->held.next, struct request, link);

        number(s, r);
        turn_make_ready(r);
    }
    if (!list_empty(&s->held) && s->state == SESSION_NONE)
        ask_for_session(c, now_us);
}

int session_add_fields(const struct request *r, struct buf *line)
{
    int rc = buf_add_format(line, ",\"client\":\"%s\",\"seq\":%llu", r->session,
                            (unsigned long long)r->seq);

    /* Of a session that the cluster has forgotten nothing is known any more. */
    if (rc != 0 || list_empty(&r->by_seq))
        return rc;
    return buf_add_format(line, ",\"first\":%llu",
                          (unsigned long long)first_seq(&r->client->session));
}

void session_leave(struct request *r, uint64_t now_us)
{
    if (list_empty(&r->by_seq))
        return;
    list_remove(&r->by_seq);
    if (!r->client->is_closing)
        release(r->client, now_us);
}

/* The writes that it had keep their numbers in it, and hear the same; later ones begin anew
 * (ASYNC-11). */
void session_expired(struct request *r, uint64_t now_us)
{
    struct session *s = &r->client->session;

    if (list_empty(&r->by_seq))
        return;
    s->state = SESSION_NONE;
    while (!list_empty(&s->writes))
        list_remove(s->writes.next);
    release(r->client, now_us);
}

/* ---- asking ---- */

static void hold(struct list *list, struct request *r)
{
    list_remove(&r->link);
    list_append(list, &r->link);
    r->state = REQ_HELD;
    timers_set(&r->client->timers, &r->timer, r->deadline_us);
}

static void fail_held(struct list *held, const struct ridd_reply *why, uint64_t now_us)
{
    while (!list_empty(held)) {
        struct request *r = list_entry(held->next, struct request, link);
        struct ridd_reply *reply = reply_failed(why->status, true, "%s", why->text);

        if (!reply_is_const(reply)) {
            reply->code = why->code;
            (void)snprintf(reply->endpoint, sizeof(reply->endpoint), "%s", why->endpoint);
            (void)snprintf(reply->server_name, sizeof(reply->server_name), "%s", why->server_name);
        }
        turn_finish(r, reply, now_us);
    }
}

static void no_memory_held(struct list *held, uint64_t now_us)
{
    while (!list_empty(held))
        turn_no_memory(list_entry(held->next, struct request, link), now_us);
}

static bool ask(struct ridd *c, enum req_purpose purpose, const struct ridd_op *op, uint64_t now_us)
{
    struct request *r = request_new(c, purpose);

    if (r == NULL)
        return false;
    if (op_build(c, op, r, NULL) != 0) {
        request_free(r);
        return false;
    }
    request_begin(r, now_us);
    return true;
}

/* An answer that is lost leaves a session that nobody knows, which the cluster forgets by itself:
 * it is asked for like something to be read. */
static void ask_for_session(struct ridd *c, uint64_t now_us)
{
    struct ridd_op op = ridd_op(RIDD_OP_REQUEST);

    op.json = "{\"type\":\"open_session\"}";
    op.kind = RIDD_KIND_READ;
    c->session.state = SESSION_OPENING;
    if (!ask(c, REQ_FOR_SESSION, &op, now_us)) {
        c->session.state = SESSION_NONE;
        no_memory_held(&c->session.held, now_us);
    }
}

static void ask_for_cluster(struct ridd *c, uint64_t now_us)
{
    struct ridd_op op = ridd_op(RIDD_OP_STATUS);

    c->session.cluster_state = SESSION_OPENING;
    if (!ask(c, REQ_FOR_CLUSTER, &op, now_us)) {
        c->session.cluster_state = SESSION_NONE;
        no_memory_held(&c->session.held_for_cluster, now_us);
    }
}

static bool is_write(const struct request *r)
{
    return r->type == RIDD_OP_PUT || r->type == RIDD_OP_CAS || r->type == RIDD_OP_DELETE;
}

static bool wants_number(const struct request *r)
{
    return is_write(r) && (r->client->flags & RIDD_FLAG_SESSION) != 0 && r->session[0] == '\0' &&
           r->only == NULL;
}

/* May its answer say how far the cluster was? */
static bool may_tell_index(const struct request *r)
{
    switch (r->type) {
    case RIDD_OP_GET:
    case RIDD_OP_BATCH:
    case RIDD_OP_SCAN:
    case RIDD_OP_PUT:
    case RIDD_OP_CAS:
    case RIDD_OP_DELETE:
        return true;
    case RIDD_OP_TRANSFER:
    case RIDD_OP_STATUS:
    case RIDD_OP_MEMBERS:
    case RIDD_OP_SNAPSHOT:
    case RIDD_OP_SNAPSHOT_PART:
    case RIDD_OP_REQUEST:
    case RIDD_OP_PING:
        break;
    }
    return false;
}

/* Indexes are of a cluster: which one it is must be known before the first of them is seen, or an
 * index of before a restore could be taken for one of after it, whichever node said it (ASYNC-12).
 * What is asked of one node and says none, its status say, waits for nobody else. */
static bool wants_cluster(const struct request *r)
{
    const struct ridd *c = r->client;

    return (c->flags & RIDD_FLAG_MONOTONIC) != 0 && c->session.cluster_state != SESSION_OPEN &&
           c->token.cluster[0] == '\0' && r->purpose == REQ_FOR_CALLER &&
           (r->only == NULL || may_tell_index(r));
}

bool session_hold(struct request *r, uint64_t now_us)
{
    struct session *s = &r->client->session;

    if (wants_cluster(r)) {
        hold(&s->held_for_cluster, r);
        if (s->cluster_state == SESSION_NONE)
            ask_for_cluster(r->client, now_us);
        return true;
    }
    if (!wants_number(r))
        return false;
    if (list_empty(&s->held) && may_number(s)) {
        number(s, r);
        return false;
    }
    hold(&s->held, r);
    if (s->state == SESSION_NONE)
        ask_for_session(r->client, now_us);
    return true;
}

/* ---- answers ---- */

static bool take_string(const struct ridd_reply *reply, const char *name, char *ret, size_t size)
{
    cleanup_json json_t *o = json_loadb(reply->json, reply->json_len, 0, NULL);
    const char *s = json_string_value(json_object_get(o, name));

    if (s == NULL || strlen(s) >= size)
        return false;
    (void)snprintf(ret, size, "%s", s);
    return true;
}

static bool session_id_ok(const char *id)
{
    return id[0] != '\0' && id[strspn(id, "0123456789")] == '\0';
}

static void session_answered(struct request *r, uint64_t now_us)
{
    struct ridd *c = r->client;
    struct session *s = &c->session;
    char id[CALL_SESSION_ID_SIZE];

    s->state = SESSION_NONE;
    if (r->reply->status != RIDD_OK) {
        fail_held(&s->held, r->reply, now_us);
        return;
    }
    if (!take_string(r->reply, "client", id, sizeof(id)) || !session_id_ok(id)) {
        reply_fail(r->reply, RIDD_BAD_REPLY, true, "%s gave a session without a number",
                   r->reply->endpoint);
        fail_held(&s->held, r->reply, now_us);
        return;
    }
    (void)snprintf(s->id, sizeof(s->id), "%s", id);
    s->next_seq = 1;
    s->state = SESSION_OPEN;
    release(c, now_us);
}

static void cluster_answered(struct request *r, uint64_t now_us)
{
    struct ridd *c = r->client;
    struct session *s = &c->session;
    char cluster[RIDD_CLUSTER_SIZE];

    s->cluster_state = SESSION_NONE;
    if (r->reply->status != RIDD_OK) {
        fail_held(&s->held_for_cluster, r->reply, now_us);
        return;
    }
    /* A server that has no name for it is one of a single cluster. */
    s->cluster_state = SESSION_OPEN;
    if (take_string(r->reply, "cluster_hash", cluster, sizeof(cluster)) && cluster_ok(cluster) &&
        c->token.cluster[0] == '\0')
        (void)snprintf(c->token.cluster, sizeof(c->token.cluster), "%s", cluster);
    while (!list_empty(&s->held_for_cluster))
        turn_make_ready(list_entry(s->held_for_cluster.next, struct request, link));
}

void request_answered(struct request *r, uint64_t now_us)
{
    switch (r->purpose) {
    case REQ_FOR_SESSION:
        session_answered(r, now_us);
        break;
    case REQ_FOR_CLUSTER:
        cluster_answered(r, now_us);
        break;
    case REQ_FOR_PROBE:
        node_probed(r, now_us);
        break;
    case REQ_FOR_CALLER:
        break;
    }
}

/* ---- what was seen ---- */

static bool tells_index(const struct request *r, const struct ridd_reply *reply)
{
    /* A write that was refused for what it found says where it found that. */
    if (is_write(r) &&
        (reply->status == RIDD_KEY_NOT_FOUND || reply->status == RIDD_PRECONDITION_FAILED))
        return true;
    return may_tell_index(r) && reply->status == RIDD_OK;
}

/* ASYNC-13: all that tells how far the cluster was moves it on, and nothing takes it back. */
void session_saw(const struct request *r, const struct ridd_reply *reply)
{
    struct ridd_token *token = &r->client->token;

    if ((r->client->flags & RIDD_FLAG_MONOTONIC) != 0 && tells_index(r, reply))
        token->index = max_u64(token->index, reply->index);
}

void ridd_token(const struct ridd *client, struct ridd_token *ret_token)
{
    *ret_token = client->token;
}

enum ridd_status ridd_set_token(struct ridd *client, const struct ridd_token *token)
{
    struct ridd_token *own = &client->token;

    if (token == NULL) {
        memset(own, 0, sizeof(*own));
        client->session.cluster_state = SESSION_NONE;
        return RIDD_OK;
    }
    if (token->index > INT64_MAX || (token->cluster[0] != '\0' && !cluster_ok(token->cluster)) ||
        (own->cluster[0] != '\0' && token->cluster[0] != '\0' &&
         strcmp(own->cluster, token->cluster) != 0))
        return RIDD_INVALID;
    if (token->cluster[0] != '\0')
        (void)snprintf(own->cluster, sizeof(own->cluster), "%s", token->cluster);
    own->index = max_u64(own->index, token->index);
    return RIDD_OK;
}
