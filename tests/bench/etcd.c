/* A slot is a stream at most: begun by etcd_submit(), and answered when nghttp2 says that it is
 * closed. What nghttp2 has to send is taken from it behind every request and behind all that came. */
#include "bench/etcd.h"

#ifndef RIDD_NGHTTP2
#error libnghttp2 was not found by configure: apt-get install libnghttp2-dev, and configure again
#endif

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/etcd-wire.h"

/* What the server may send unasked, of all streams and of one. */
#define CONNECTION_WINDOW (1 << 30)
#define STREAM_WINDOW     (16u << 20)
/* Of an answer: more is none to what is asked here. */
#define REPLY_BYTES_MAX (64u << 20)
#define TEXT_BYTES_MAX  160u

/* The codes of gRPC that say for certain that nothing was done: invalid argument, not found, already
 * exists, permission denied, resource exhausted, failed precondition, out of range, unimplemented,
 * unauthenticated. */
static const bool is_definite[17] = {[3] = true, [5] = true,  [6] = true,  [7] = true, [8] = true,
                                     [9] = true, [11] = true, [12] = true, [16] = true};

struct slot {
    unsigned number;
    enum load_kind kind;
    unsigned n;
    bool open; /* an answer is to come */
    struct buf request;
    size_t sent;
    struct buf reply;
    int status; /* of gRPC; -1: not said */
    char text[TEXT_BYTES_MAX];
    size_t text_len;
};

struct etcd {
    const char *prefix; /* borrowed */
    nghttp2_session *session;
    struct load_conn *conn; /* within receive() */
    bool receiving;
    unsigned n_slots;
    struct slot slots[];
};

/* ---- what nghttp2 calls ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct slot *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)arg;
    if (s == NULL)
        return 0;
    if (name_len == 11 && memcmp(name, "grpc-status", 11) == 0) {
        s->status = 0;
        for (size_t i = 0; i < value_len && i < 4; i++)
            s->status = s->status * 10 + (value[i] - '0');
        if (value_len == 0 || s->status < 0)
            s->status = 2; /* "unknown" */
    } else if (name_len == 12 && memcmp(name, "grpc-message", 12) == 0) {
        s->text_len = value_len < sizeof(s->text) ? value_len : sizeof(s->text);
        memcpy(s->text, value, s->text_len);
    } else if (name_len == 7 && memcmp(name, ":status", 7) == 0 &&
               (value_len != 3 || memcmp(value, "200", 3) != 0)) {
        s->text_len = (size_t)snprintf(s->text, sizeof(s->text), "http_status: %.*s",
                                       value_len < 16 ? (int)value_len : 16, (const char *)value);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *arg)
{
    struct slot *s = nghttp2_session_get_stream_user_data(session, stream);

    (void)flags;
    (void)arg;
    if (s == NULL)
        return 0;
    if (len > REPLY_BYTES_MAX - s->reply.len)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return buf_add(&s->reply, data, len) == 0 ? 0 : NGHTTP2_ERR_NOMEM;
}

/* ---- answers ---- */

struct found {
    struct load_conn *conn;
    unsigned slot;
    enum load_kind kind;
    struct load_answer *answer;
};

static void take_item(void *arg, unsigned place, const char *value, size_t len)
{
    const struct found *f = arg;

    if (f->kind != LOAD_READ) {
        load_item(f->conn, f->slot, place, value, len);
        return;
    }
    f->answer->outcome = LOAD_DONE;
    f->answer->value = value;
    f->answer->value_len = len;
}

static unsigned n_items_max(const struct slot *s)
{
    switch (s->kind) {
    case LOAD_READ:
        return 1;
    case LOAD_BATCH:
    case LOAD_SCAN:
        return s->n;
    case LOAD_WRITE:
    case LOAD_REMOVE:
    case LOAD_N_KINDS:
        break;
    }
    return 0;
}

/* Reads change nothing, whatever their end. */
static void take_failure(const struct slot *s, uint32_t reset, char *room, size_t size,
                         struct load_answer *a)
{
    const bool definite = s->kind != LOAD_WRITE && s->kind != LOAD_REMOVE;
    const bool said = s->status >= 0 && s->status < 17;

    a->outcome = definite || (said && is_definite[s->status]) ? LOAD_REFUSED : LOAD_UNKNOWN;
    if (said)
        (void)snprintf(room, size, "grpc_%d: %.*s", s->status, (int)s->text_len, s->text);
    else if (s->text_len > 0)
        (void)snprintf(room, size, "%.*s", (int)s->text_len, s->text);
    else
        (void)snprintf(room, size, "stream_reset: %u", (unsigned)reset);
    a->error = room;
    a->error_len = strlen(room);
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t reset, void *arg)
{
    struct slot *s = nghttp2_session_get_stream_user_data(session, stream);
    struct etcd *e = arg;
    struct load_answer a = {.outcome = LOAD_DONE};
    char room[TEXT_BYTES_MAX + 32];

    /* One that is closed because the session ends is lost with its connection. */
    if (s == NULL || !s->open || e->conn == NULL)
        return 0;
    if (s->status == 0) {
        struct found found = {e->conn, s->number, s->kind, &a};

        if (s->kind == LOAD_READ)
            a.outcome = LOAD_ABSENT;
        if (etcd_take_answer(s->kind, s->reply.data, s->reply.len, n_items_max(s), take_item,
                             &found) != 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    } else {
        take_failure(s, reset, room, sizeof(room), &a);
    }
    s->open = false;
    load_answered(e->conn, s->number, &a);
    buf_reset(&s->reply, 1u << 16);
    return 0;
}

/* ---- a connection ---- */

static void etcd_close(void *state)
{
    struct etcd *e = state;

    if (e == NULL)
        return;
    e->conn = NULL;
    nghttp2_session_del(e->session);
    for (unsigned i = 0; i < e->n_slots; i++) {
        buf_done(&e->slots[i].request);
        buf_done(&e->slots[i].reply);
    }
    free(e);
}

static int errno_of(ssize_t rc)
{
    return rc == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
}

/* Whatever is to be sent. */
static int pump(struct etcd *e, struct buf *out)
{
    const uint8_t *bytes;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(e->session, &bytes)) > 0)
        if (buf_add(out, bytes, (size_t)n) != 0)
            return -ENOMEM;
    return n < 0 ? errno_of(n) : 0;
}

static int make_session(struct etcd *e)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);

    if (rc == 0)
        rc = nghttp2_option_new(&option);
    if (rc == 0) {
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        /* Before its settings come it takes as many as there are slots. */
        nghttp2_option_set_peer_max_concurrent_streams(option, e->n_slots);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_no_http_messaging(option, 1);
        rc = nghttp2_session_client_new2(&e->session, callbacks, e, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return rc;
}

static int say_hello(struct etcd *e)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW}};
    const int rc = nghttp2_submit_settings(e->session, NGHTTP2_FLAG_NONE, settings,
                                           sizeof(settings) / sizeof(settings[0]));

    return rc != 0 ? rc
                   : nghttp2_session_set_local_window_size(e->session, NGHTTP2_FLAG_NONE, 0,
                                                           CONNECTION_WINDOW);
}

static int etcd_open(const char *prefix, unsigned n_slots, struct buf *out, void **ret)
{
    struct etcd *e = calloc(1, sizeof(*e) + n_slots * sizeof(e->slots[0]));
    int rc;

    if (e == NULL)
        return -ENOMEM;
    e->prefix = prefix;
    e->n_slots = n_slots;
    for (unsigned i = 0; i < n_slots; i++)
        e->slots[i].number = i;
    rc = make_session(e);
    if (rc == 0)
        rc = say_hello(e);
    rc = rc != 0 ? errno_of(rc) : pump(e, out);
    if (rc != 0) {
        etcd_close(e);
        return rc;
    }
    *ret = e;
    return 0;
}

/* ---- requests ---- */

static ssize_t give_data(nghttp2_session *session, int32_t stream, uint8_t *room, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct slot *s = source->ptr;
    const size_t left = s->request.len - s->sent;
    const size_t n = left < size ? left : size;

    (void)session;
    (void)stream;
    (void)arg;
    memcpy(room, s->request.data + s->sent, n);
    s->sent += n;
    if (s->sent == s->request.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* nghttp2 takes pointers to what it does not change. */
static nghttp2_nv header(const char *name, const char *value)
{
    union {
        const char *text;
        uint8_t *bytes;
    } n = {name}, v = {value};

    return (nghttp2_nv){n.bytes, v.bytes, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static int etcd_submit(void *state, struct buf *out, unsigned slot, const struct load_op *op)
{
    struct etcd *e = state;
    struct slot *s = &e->slots[slot];
    const nghttp2_data_provider provider = {.source = {.ptr = s}, .read_callback = give_data};
    const nghttp2_nv headers[] = {header(":method", "POST"),
                                  header(":scheme", "http"),
                                  header(":path", etcd_path(op->kind)),
                                  header(":authority", "localhost"),
                                  header("te", "trailers"),
                                  header("content-type", "application/grpc")};
    int32_t stream;
    int rc;

    s->kind = op->kind;
    s->n = op->n;
    s->sent = 0;
    s->status = -1;
    s->text_len = 0;
    buf_reset(&s->request, 1u << 16);
    buf_reset(&s->reply, 1u << 16);
    rc = etcd_add_request(&s->request, e->prefix, op);
    if (rc != 0)
        return rc;
    stream = nghttp2_submit_request(e->session, NULL, headers, sizeof(headers) / sizeof(headers[0]),
                                    &provider, s);
    if (stream < 0)
        return errno_of(stream);
    s->open = true;
    return e->receiving ? 0 : pump(e, out);
}

static long etcd_receive(void *state, struct load_conn *conn, const unsigned char *bytes,
                         size_t len, struct buf *out)
{
    struct etcd *e = state;
    ssize_t taken;
    int rc;

    e->conn = conn;
    e->receiving = true;
    taken = nghttp2_session_mem_recv(e->session, bytes, len);
    rc = taken < 0 ? errno_of(taken) : pump(e, out);
    e->receiving = false;
    e->conn = NULL;
    if (rc == 0 && nghttp2_session_want_read(e->session) == 0)
        rc = -EPROTO; /* the other side has said that it ends */
    return rc != 0 ? rc : (long)taken;
}

const struct load_protocol etcd_protocol = {"etcd", etcd_open, etcd_close, etcd_submit,
                                            etcd_receive};
