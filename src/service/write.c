/* Writes: a command is encoded, goes through the log, and is answered by what applying it gave.
 *
 * So are sessions. Nothing is known of them here: that a write is the repetition of another one its
 * place in the log says, and the answer is what was answered then (SESSION-1, SESSION-4). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/service_int.h"

#include "base/banned.h"

static const char *reply_type(enum wire_request_type type)
{
    if (type == WIRE_REQ_WRITE)
        return "write_ok";
    if (type == WIRE_REQ_OPEN_SESSION)
        return "open_session_ok";
    return type == WIRE_REQ_CAS ? "cas_ok" : "delete_ok";
}

/* Decided at apply, on every node alike: certainly not done, although it was appended. */
static void reply_no_space(struct request *req, struct buf *out,
                           const struct command_result *result)
{
    const struct replica_failure f = {
        .error = WIRE_ERROR_NO_SPACE,
        .space = {.what = "quota", .used = result->used_bytes, .limit = result->limit_bytes}};

    service_write_failure(req->conn->service, out, &req->origin, &f, "the write", req->timeout_ms);
}

/* As text: a number of 64 bits is not safe in every JSON. */
static void reply_client(struct wire_reply *w, uint64_t client)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)client);
    wire_reply_str(w, "client", text);
}

/* That of a client which may not write all keys is its own (ACCESS-16). */
static void reply_new_client(struct service_conn *c, struct wire_reply *w, uint64_t client)
{
    char text[24 + SESSION_SEAL_DIGITS];
    uint64_t seal;

    if (!service_session_seal(c, client, &seal)) {
        reply_client(w, client);
        return;
    }
    (void)snprintf(text, sizeof(text), "%llu%0*llu", (unsigned long long)client,
                   SESSION_SEAL_DIGITS, (unsigned long long)seal);
    wire_reply_str(w, "client", text);
}

/* Not definite: it was not applied now, and may have been before (SESSION-3). */
static void reply_session_expired(struct service *s, const struct wire_origin *origin,
                                  uint64_t client, struct buf *out)
{
    struct wire_reply w;

    service_begin_error(s, &w, out, origin, WIRE_ERROR_SESSION_EXPIRED, false,
                        "no session has this client id, or it has let go of this seq: whether the "
                        "write was applied before is not known; open a new session");
    reply_client(&w, client);
    service_end(s, &w, origin);
}

/* As if there were none: whose it is nobody is told, and nothing is said of what was applied. */
void service_refuse_session(struct service_conn *c, const struct wire_request *q)
{
    struct buf *out = service_out(c);

    if (out != NULL)
        reply_session_expired(c->service, &q->origin, q->client, out);
}

static void reply_written(struct request *req, struct buf *out, const struct command_result *result)
{
    struct service *s = req->conn->service;
    struct wire_reply w;

    switch (result->status) {
    case COMMAND_KEY_NOT_FOUND:
        service_reply_key_not_found(req, out, result->index);
        return;
    case COMMAND_PRECONDITION_FAILED:
        service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_PRECONDITION_FAILED, false,
                            "the value differs from 'from'");
        wire_reply_u64(&w, "index", result->index);
        service_end(s, &w, &req->origin);
        return;
    case COMMAND_NO_SPACE:
        reply_no_space(req, out, result);
        return;
    case COMMAND_SESSION_EXPIRED:
        reply_session_expired(s, &req->origin, req->client, out);
        return;
    case COMMAND_INVALID:
        service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_INTERNAL, true,
                            "the command could not be applied");
        wire_reply_str(&w, "ref", "command_invalid");
        service_end(s, &w, &req->origin);
        return;
    case COMMAND_OK:
        break;
    }
    service_begin(s, &w, out, &req->origin, reply_type(req->type));
    if (req->type == WIRE_REQ_DELETE)
        wire_reply_bool(&w, "existed", result->existed);
    if (req->type == WIRE_REQ_OPEN_SESSION)
        reply_new_client(req->conn, &w, result->index);
    else if (req->verbose)
        wire_reply_u64(&w, "index", result->index);
    service_end(s, &w, &req->origin);
}

static enum wire_error result_of(const struct command_result *result)
{
    switch (result->status) {
    case COMMAND_OK:
        break;
    case COMMAND_KEY_NOT_FOUND:
        return WIRE_ERROR_KEY_NOT_FOUND;
    case COMMAND_PRECONDITION_FAILED:
        return WIRE_ERROR_PRECONDITION_FAILED;
    case COMMAND_NO_SPACE:
        return WIRE_ERROR_NO_SPACE;
    case COMMAND_SESSION_EXPIRED:
        return WIRE_ERROR_SESSION_EXPIRED;
    case COMMAND_INVALID:
        return WIRE_ERROR_INTERNAL;
    }
    return WIRE_ERROR_NONE;
}

static void request_written(struct replica_request *rr, const struct command_result *result)
{
    struct request *req = service_request_of(rr);
    struct buf *out = service_out(req->conn);

    service_touched(req->conn, req->rr.command_len + result->touched_bytes);
    if (out != NULL)
        reply_written(req, out, result);
    service_note_written(req, result_of(result));
    service_request_free(req);
}

/* The command of the request, as it goes into the log: encoded into the shared scratch first, since
 * its length is not known before, and it is to be charged before it is kept. 0 or -ENOMEM. */
static int encode_command(struct service *s, const struct wire_request *q)
{
    struct command command = {
        .key = {(const char *)q->key.bytes, q->key.len}, .value = q->value, .from = q->from};

    if (q->type == WIRE_REQ_WRITE)
        command.op = COMMAND_WRITE;
    else if (q->type == WIRE_REQ_OPEN_SESSION)
        command.op = COMMAND_OPEN_SESSION;
    else
        command.op = q->type == WIRE_REQ_CAS ? COMMAND_CAS : COMMAND_DELETE;
    if (q->has_session) {
        command.client = q->client;
        command.seq = q->seq;
        command.first = q->first;
    }
    if (q->create_if_not_exists)
        command.flags = COMMAND_FLAG_CREATE_IF_NOT_EXISTS;
    buf_reset(&s->scratch, SERVICE_SCRATCH_KEEP_BYTES);
    return command_encode(&command, &s->scratch);
}

/* Into the memory of the request, where both find room in it. */
static int copy_command(struct request *req)
{
    const struct buf *scratch = &req->conn->service->scratch;
    void *to = req->key + req->key_len;

    if (req->key_len + scratch->len > REQUEST_ROOM_BYTES) {
        req->command = malloc(scratch->len);
        to = req->command;
    }
    if (to == NULL)
        return -ENOMEM;
    memcpy(to, scratch->data, scratch->len);
    req->rr.command = to;
    req->rr.command_len = scratch->len;
    return 0;
}

void service_handle_write(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct request *req;

    if (encode_command(s, q) != 0) {
        service_refuse_busy(c, &q->origin, "this node is out of memory; try again", REQUESTS_MAX);
        return;
    }
    req = service_request_new(c, q, s->scratch.len);
    if (req == NULL)
        return;
    if (copy_command(req) != 0) {
        service_request_no_memory(req);
        return;
    }
    req->client = q->client;
    req->rr.kind = REPLICA_WRITE;
    req->rr.written = request_written;
    req->rr.failed = service_request_failed;
    service_submit(req);
}
