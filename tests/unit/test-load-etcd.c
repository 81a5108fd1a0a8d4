/* etcd as a load speaks it, against a server in the same process: nghttp2's other side, which answers
 * what the test tells it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "base/prng.h"
#include "bench/etcd.h"
#include "unit/load-notes.h"

#define N_SLOTS 8u

static const char one[] = "\0\0\0\0\x06\x12\x04\x2a\x02vv";
static const char none[] = "\0\0\0\0\0";
static const char batch[] = "\0\0\0\0\x0f\x10\x01\x1a\x07\x0a\x05\x12\x03\x2a\x01v\x1a\x02\x0a\x00";

struct answer {
    const char *http; /* its status */
    const char *grpc; /* the same of gRPC; NULL: the stream is reset */
    const char *text;
    const char *body;
    size_t body_len;
};

static struct server {
    nghttp2_session *session;
    struct answer answer;
    size_t request_len; /* of all that has come */
    unsigned n_requests;
    char path[64];
} server;

/* ---- the other side ---- */

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), 0};
}

static ssize_t give_body(nghttp2_session *session, int32_t stream, uint8_t *room, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    const struct answer *a = &server.answer;
    nghttp2_nv trailers[] = {header("grpc-status", a->grpc), header("grpc-message", a->text)};

    (void)source;
    (void)arg;
    assert_true(a->body_len <= size);
    memcpy(room, a->body, a->body_len);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    assert_int_equal(nghttp2_submit_trailer(session, stream, trailers, 2), 0);
    return (ssize_t)a->body_len;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    const nghttp2_data_provider body = {.read_callback = give_body};
    const struct answer *a = &server.answer;
    nghttp2_nv headers[] = {header(":status", a->http), header("content-type", "application/grpc"),
                            header("grpc-status", a->grpc != NULL ? a->grpc : ""),
                            header("grpc-message", a->text)};

    (void)arg;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    server.n_requests++;
    if (a->grpc == NULL)
        return nghttp2_submit_rst_stream(session, 0, frame->hd.stream_id, NGHTTP2_CANCEL);
    if (strcmp(a->http, "200") != 0)
        return nghttp2_submit_response(session, frame->hd.stream_id, headers, 2, NULL);
    if (a->body == NULL)
        return nghttp2_submit_response(session, frame->hd.stream_id, headers, 4, NULL);
    return nghttp2_submit_response(session, frame->hd.stream_id, headers, 2, &body);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *arg)
{
    (void)session;
    (void)flags;
    (void)stream;
    (void)data;
    (void)arg;
    server.request_len += len;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    (void)session;
    (void)frame;
    (void)flags;
    (void)arg;
    if (name_len == 5 && memcmp(name, ":path", 5) == 0)
        (void)snprintf(server.path, sizeof(server.path), "%.*s", (int)value_len,
                       (const char *)value);
    return 0;
}

static void start(struct answer answer)
{
    nghttp2_session_callbacks *callbacks;

    server = (struct server){.answer = answer};
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    assert_int_equal(nghttp2_session_server_new(&server.session, callbacks, NULL), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(server.session, 0, NULL, 0), 0);
    notes_clear();
}

static void end(void *state)
{
    etcd_protocol.close(state);
    nghttp2_session_del(server.session);
}

/* Whatever the server has to say. */
static void collect(struct buf *ret)
{
    const uint8_t *bytes;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(server.session, &bytes)) > 0)
        assert_int_equal(buf_add(ret, bytes, (size_t)n), 0);
    assert_int_equal(n, 0);
}

/* Until neither has anything to say; -errno of the client. */
static long talk(void *state, struct buf *out, size_t at_a_time)
{
    for (;;) {
        cleanup_buf struct buf back = BUF_INIT;
        long rc;

        if (out->len > 0) {
            assert_int_equal(nghttp2_session_mem_recv(server.session, out->data, out->len),
                             (ssize_t)out->len);
            out->len = 0;
        }
        collect(&back);
        if (back.len == 0)
            return 0;
        rc = notes_feed(&etcd_protocol, state, back.data, back.len, at_a_time, out);
        if (rc != 0)
            return rc;
    }
}

static void *opened(struct buf *out)
{
    void *state = NULL;

    assert_int_equal(etcd_protocol.open("p-", N_SLOTS, out, &state), 0);
    return state;
}

static void ask(void *state, struct buf *out, unsigned slot, enum load_kind kind)
{
    const struct load_op op = {.kind = kind, .key = 7, .n = 2, .number = 12, .value_bytes = 20};

    assert_int_equal(etcd_protocol.submit(state, out, slot, &op), 0);
}

static const struct answer is_one = {"200", "0", "", one, sizeof(one) - 1};
static const struct answer is_none = {"200", "0", "", none, sizeof(none) - 1};

/* ---- cases ---- */

static void etcd__many_streams_are_answered_however_they_are_cut(void **unused)
{
    (void)unused;
    for (size_t piece = 1; piece < 300; piece += piece < 40 ? 1 : 37) {
        cleanup_buf struct buf out = BUF_INIT;
        void *state;

        start(is_one);
        state = opened(&out);
        for (unsigned round = 1; round <= 3; round++) {
            for (unsigned i = 0; i < N_SLOTS; i++)
                ask(state, &out, i, LOAD_READ);
            assert_int_equal(talk(state, &out, piece), 0);
            assert_int_equal(notes.n, round * N_SLOTS);
        }
        for (unsigned i = 0; i < notes.n; i++) {
            assert_int_equal(notes.at[i].slot, i % N_SLOTS);
            assert_int_equal(notes.at[i].outcome, LOAD_DONE);
            assert_string_equal(notes.at[i].value, "vv");
        }
        assert_string_equal(server.path, "/etcdserverpb.KV/Range");
        end(state);
    }
}

static void answered(struct answer answer, enum load_kind kind, enum load_outcome want,
                     const char *error)
{
    cleanup_buf struct buf out = BUF_INIT;
    void *state;

    start(answer);
    state = opened(&out);
    ask(state, &out, 3, kind);
    assert_int_equal(talk(state, &out, SIZE_MAX), 0);
    assert_int_equal(notes.n, 1);
    assert_int_equal(notes.at[0].slot, 3);
    assert_int_equal(notes.at[0].outcome, want);
    assert_string_equal(notes.at[0].error, error);
    end(state);
}

static void etcd__each_end_of_a_request_is_an_outcome(void **unused)
{
    const struct answer full = {"200", "8", "too%20many", NULL, 0};
    const struct answer gone = {"200", "14", "gone", NULL, 0};
    const struct answer late = {"200", "4", "late", one, sizeof(one) - 1};
    const struct answer odd = {"200", "99999", "", NULL, 0};
    const struct answer page = {"404", "0", "", NULL, 0};
    const struct answer reset = {"200", NULL, "", NULL, 0};

    (void)unused;
    answered(is_one, LOAD_READ, LOAD_DONE, "");
    answered(is_none, LOAD_READ, LOAD_ABSENT, "");
    answered(is_none, LOAD_WRITE, LOAD_DONE, "");
    answered(is_none, LOAD_REMOVE, LOAD_DONE, "");
    answered(full, LOAD_WRITE, LOAD_REFUSED, "grpc_8: too%20many");
    answered(gone, LOAD_WRITE, LOAD_UNKNOWN, "grpc_14: gone");
    answered(gone, LOAD_READ, LOAD_REFUSED, "grpc_14: gone");
    answered(late, LOAD_WRITE, LOAD_UNKNOWN, "grpc_4: late");
    answered(odd, LOAD_WRITE, LOAD_UNKNOWN, "stream_reset: 0");
    answered(page, LOAD_WRITE, LOAD_UNKNOWN, "http_status: 404");
    answered(reset, LOAD_WRITE, LOAD_UNKNOWN, "stream_reset: 8");
    answered(reset, LOAD_READ, LOAD_REFUSED, "stream_reset: 8");
}

static void etcd__a_batch_has_its_keys_in_order(void **unused)
{
    const struct answer a = {"200", "0", "", batch, sizeof(batch) - 1};

    (void)unused;
    answered(a, LOAD_BATCH, LOAD_DONE, "");
    assert_string_equal(server.path, "/etcdserverpb.KV/Txn");
    assert_int_equal(notes.n_items, 2);
    assert_string_equal(notes.items[0].value, "v");
    assert_false(notes.items[1].has_value);
}

/* More than both windows of the other side: what does not fit waits until it says that it may come. */
static void etcd__a_large_value_is_sent_whole(void **unused)
{
    const struct load_op op = {.kind = LOAD_WRITE, .key = 7, .value_bytes = 512u << 10};
    cleanup_buf struct buf out = BUF_INIT;
    void *state;

    (void)unused;
    start(is_none);
    state = opened(&out);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(etcd_protocol.submit(state, &out, i, &op), 0);
    assert_int_equal(talk(state, &out, SIZE_MAX), 0);
    assert_int_equal(server.n_requests, 3);
    assert_int_equal(server.request_len, 3 * (5 + 12 + 1 + 3 + (512u << 10)));
    assert_int_equal(notes.n, 3);
    end(state);
}

static void etcd__what_is_no_answer_ends_the_connection(void **unused)
{
    const struct answer cut = {"200", "0", "", one, sizeof(one) - 2};
    const struct answer empty = {"200", "0", "", NULL, 0};
    const struct answer *const bad[] = {&cut, &empty};

    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        cleanup_buf struct buf out = BUF_INIT;
        void *state;

        start(*bad[i]);
        state = opened(&out);
        ask(state, &out, 0, LOAD_READ);
        assert_int_equal(talk(state, &out, SIZE_MAX), -EPROTO);
        assert_int_equal(notes.n, 0);
        end(state);
    }
}

static void etcd__a_server_that_ends_is_left(void **unused)
{
    cleanup_buf struct buf out = BUF_INIT;
    void *state;

    (void)unused;
    start(is_one);
    state = opened(&out);
    assert_int_equal(talk(state, &out, SIZE_MAX), 0);
    assert_int_equal(nghttp2_session_terminate_session(server.session, NGHTTP2_NO_ERROR), 0);
    assert_int_equal(talk(state, &out, SIZE_MAX), -EPROTO);
    end(state);
}

static void etcd__each_slot_is_answered_once_whatever_comes(void **unused)
{
    struct prng p;

    (void)unused;
    prng_init(&p, 1);
    for (unsigned round = 0; round < 3000; round++) {
        cleanup_buf struct buf out = BUF_INIT;
        cleanup_buf struct buf back = BUF_INIT;
        unsigned seen = 0;
        void *state;

        start(is_one);
        state = opened(&out);
        for (unsigned i = 0; i < N_SLOTS; i++)
            ask(state, &out, i, LOAD_READ);
        assert_int_equal(nghttp2_session_mem_recv(server.session, out.data, out.len),
                         (ssize_t)out.len);
        collect(&back);
        for (unsigned i = 0; i < 3; i++)
            back.data[prng_below(&p, (uint32_t)back.len)] = (unsigned char)prng_below(&p, 256);
        (void)notes_feed(&etcd_protocol, state, back.data, back.len,
                         1 + (size_t)prng_below(&p, 200), &out);
        for (unsigned i = 0; i < notes.n; i++) {
            assert_int_equal(seen & 1u << notes.at[i].slot, 0);
            seen |= 1u << notes.at[i].slot;
        }
        end(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etcd__many_streams_are_answered_however_they_are_cut),
        cmocka_unit_test(etcd__each_end_of_a_request_is_an_outcome),
        cmocka_unit_test(etcd__a_batch_has_its_keys_in_order),
        cmocka_unit_test(etcd__a_large_value_is_sent_whole),
        cmocka_unit_test(etcd__what_is_no_answer_ends_the_connection),
        cmocka_unit_test(etcd__a_server_that_ends_is_left),
        cmocka_unit_test(etcd__each_slot_is_answered_once_whatever_comes),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
