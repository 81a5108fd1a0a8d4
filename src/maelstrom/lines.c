/* One line: who sent it says what it is.
 *
 *   a member of the group   a message of the core; an answer to what was forwarded; a forwarded
 *                           request
 *   anybody else            a request
 *   nobody that can be told rubbish: nothing can be answered, so it is reported and dropped */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "maelstrom/maelstrom_int.h"
#include "maelstrom/message.h"

#include "base/banned.h"

static void drop(struct maelstrom *m, const char *why, const char *detail, const char *line,
                 size_t len)
{
    char line_esc[LOG_ESC_BUF];
    char detail_esc[LOG_ESC_BUF];
    uint64_t suppressed;

    if (!log_limit_ok(&m->input_limit, m->now_us, &suppressed))
        return;
    log_event(LOG_WARNING, "line_dropped", "line=%llu why='%s' detail=%s text=%s suppressed=%llu",
              (unsigned long long)m->line_no, why,
              log_esc(detail_esc, sizeof(detail_esc), detail, strlen(detail)),
              log_esc(line_esc, sizeof(line_esc), line, len), (unsigned long long)suppressed);
}

void lines_too_long(struct maelstrom *m)
{
    char detail[64];

    (void)snprintf(detail, sizeof(detail), "more than %u bytes", MAELSTROM_LINE_BYTES_MAX);
    drop(m, "too long", detail, "", 0);
}

/* ---- from other nodes ---- */

static bool is_to_self(const struct maelstrom *m, const struct wire_origin *origin)
{
    size_t len = strlen(m->self->name);

    return origin->dest.len == len && memcmp(origin->dest.data, m->self->name, len) == 0;
}

static void raft_message(struct maelstrom *m, struct member *from, const struct wire_request *q,
                         const char *line, size_t len)
{
    struct raft_msg msg;
    const char *wrong = "";
    int rc;

    arena_reset(&m->arena);
    rc = message_decode(q->json, from->id, m->self->id, &m->arena, &msg, &wrong);
    if (rc == MESSAGE_E_INVALID)
        drop(m, "no valid message of a node", wrong, line, len);
    else if (rc != 0)
        drop(m, "out of memory", "", line, len);
    else if (replica_step(engine_replica(m->engine), &msg, m->now_us) != 0)
        drop(m, "no correct node sends this message", from->name, line, len);
}

/* Forwarded by `from`, which took this node for the leader. It is not forwarded again: if this node
 * does not lead, it says so, and `from` looks anew. */
static void forwarded_request(struct maelstrom *m, struct member *from,
                              const struct wire_request *q)
{
    const struct raft *raft = engine_raft(m->engine);
    const struct member *leader = maelstrom_member_of(m, raft_get_leader(raft));
    struct client *c;
    struct wire_reply w;

    /* A write that the network delivers twice must not be done twice. */
    if (!q->origin.has_msg_id || !forward_first_time(from, q->origin.msg_id))
        return;
    replica_hear(engine_replica(m->engine), from->id, m->now_us);
    c = clients_get(m, q->origin.src);
    if (c != NULL && (raft_get_role(raft) == RAFT_LEADER || !forward_wants_leader(m, q))) {
        service_handle(c->conn, q);
        return;
    }
    wire_reply_begin_error(&w, &m->out, &q->origin, true,
                           service_next_msg_id(engine_service(m->engine)),
                           c != NULL ? WIRE_ERROR_NOT_LEADER : WIRE_ERROR_BUSY, false,
                           c != NULL ? "not the leader" : "this node is out of memory; try again");
    if (c != NULL) {
        wire_reply_str(&w, "leader_id", leader != NULL ? leader->name : NULL);
        wire_reply_null(&w, "leader_addr");
    }
    (void)wire_reply_end(&w);
}

static void from_member(struct maelstrom *m, struct member *from, const struct wire_request *q,
                        const char *line, size_t len)
{
    if (from == m->self)
        drop(m, "it claims to come from this node", "", line, len);
    else if (json_object_get(q->json, "in_reply_to") != NULL)
        forward_reply(m, from, q->json);
    else if (q->type == WIRE_REQ_PEER)
        raft_message(m, from, q, line, len);
    else
        forwarded_request(m, from, q);
}

/* ---- from clients ---- */

static void refuse(struct maelstrom *m, const struct wire_refused *refused)
{
    (void)wire_reply_refused(&m->out, refused, true, service_next_msg_id(engine_service(m->engine)),
                             m->line_no);
}

static void refuse_length(struct maelstrom *m, const struct wire_request *q)
{
    struct wire_refused refused = {
        .error = WIRE_ERROR_TOO_LARGE, .origin = q->origin, .limit = REQUEST_BYTES_DEFAULT};

    (void)snprintf(refused.text, sizeof(refused.text), "the line is longer than %u bytes",
                   REQUEST_BYTES_DEFAULT);
    refuse(m, &refused);
}

static void from_client(struct maelstrom *m, const struct wire_request *q, const char *line,
                        size_t len)
{
    struct client *c;

    if (json_object_get(q->json, "in_reply_to") != NULL) {
        drop(m, "an answer to nothing", "", line, len);
        return;
    }
    if (len > REQUEST_BYTES_DEFAULT) {
        refuse_length(m, q);
        return;
    }
    c = clients_get(m, q->origin.src);
    if (c == NULL) {
        struct wire_refused refused = {
            .error = WIRE_ERROR_BUSY, .origin = q->origin, .limit = MAELSTROM_CLIENTS_MAX};

        (void)snprintf(refused.text, sizeof(refused.text),
                       "too many clients are owed answers by this node; try again");
        refuse(m, &refused);
        return;
    }
    if (m->self != NULL && forward_wanted(m, q))
        forward_request(m, c, q, line, len);
    else
        service_handle(c->conn, q);
}

/* ---- lines ---- */

static struct member *sender(struct maelstrom *m, const struct wire_origin *origin)
{
    return m->self != NULL && origin->envelope ? maelstrom_member(m, origin->src) : NULL;
}

static struct wire_slice slice_of(const json_t *s)
{
    return (struct wire_slice){json_string_value(s), json_string_length(s)};
}

static bool name_ok(struct wire_slice name)
{
    return name.len > 0 && name.len <= WIRE_ENVELOPE_NAME_BYTES_MAX;
}

/* Depth and double keys are judged before the envelope is read, so who sent the line is looked for
 * once more. An answer of a node may nest deeper than a request: a value of full depth, in a list
 * of pairs. */
static void refused_line(struct maelstrom *m, struct wire_refused *refused, const char *line,
                         size_t len)
{
    json_t *root = json_loadb(line, len, 0, NULL);
    const json_t *body = json_object_get(root, "body");
    const json_t *msg_id = json_object_get(body, "msg_id");
    struct wire_origin origin = {.envelope = true,
                                 .has_msg_id = refused->origin.has_msg_id,
                                 .msg_id = refused->origin.msg_id,
                                 .src = slice_of(json_object_get(root, "src")),
                                 .dest = slice_of(json_object_get(root, "dest"))};
    struct member *from;

    if (!name_ok(origin.src) || !name_ok(origin.dest)) {
        drop(m, "nobody to answer", refused->text, line, len);
        json_decref(root);
        return;
    }
    if (m->self != NULL && !is_to_self(m, &origin)) {
        drop(m, "it is for another node", refused->text, line, len);
        json_decref(root);
        return;
    }
    from = sender(m, &origin);
    if (from == NULL) {
        if (!origin.has_msg_id && json_is_integer(msg_id) && json_integer_value(msg_id) >= 0) {
            origin.has_msg_id = true;
            origin.msg_id = (uint64_t)json_integer_value(msg_id);
        }
        refused->origin = origin;
        refuse(m, refused);
    } else if (from != m->self && json_object_get(body, "in_reply_to") != NULL) {
        forward_reply(m, from, body);
    } else {
        drop(m, "refused", refused->text, line, len);
    }
    json_decref(root);
}

void lines_handle(struct maelstrom *m, const char *line, size_t len)
{
    struct wire_request q;
    struct wire_refused refused = {0};
    struct member *from;
    int rc =
        wire_request_decode(service_decoder(engine_service(m->engine)), line, len, &q, &refused);

    if (rc == WIRE_REQUEST_BLANK)
        return;
    if (rc == WIRE_REQUEST_REFUSED) {
        refused_line(m, &refused, line, len);
        return;
    }
    if (rc != 0) {
        drop(m, "out of memory", "", line, len);
        return;
    }
    if (!q.origin.envelope) {
        drop(m, "nobody to answer", "no envelope: src, dest and body are needed", line, len);
        return;
    }
    /* Whoever is meant, it is not this node, which must not answer in another's name. */
    if (m->self != NULL && !is_to_self(m, &q.origin)) {
        drop(m, "it is for another node", "", line, len);
        return;
    }
    from = sender(m, &q.origin);
    if (from != NULL)
        from_member(m, from, &q, line, len);
    else
        from_client(m, &q, line, len);
}
