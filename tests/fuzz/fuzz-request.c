/* Client lines: any bytes give a request, a refusal or nothing. What was decoded stays within the
 * bounds, values read back equal, both decoders agree, and whatever is answered is one line of
 * JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fuzz/fuzz.h"
#include "wire/reply.h"
#include "wire/request_int.h"
#include "wire/value.h"

const char fuzz_name[] = "request";
const unsigned fuzz_runs = 8000;

static void check_line(const struct buf *b)
{
    json_t *tree = json_loadb((const char *)b->data, b->len, JSON_REJECT_DUPLICATES, NULL);

    rid_assert(b->len > 1);
    rid_assert(b->data[b->len - 1] == '\n');
    rid_assert(memchr(b->data, '\n', b->len) == b->data + b->len - 1);
    rid_assert(json_is_object(tree));
    json_decref(tree);
}

/* The compact text is a fixed point: parsed and printed again it is the same. */
static void check_value(struct wire_slice text)
{
    cleanup_buf struct buf again = BUF_INIT;
    json_t *v;

    if (text.data == NULL)
        return;
    rid_assert(text.len > 0);
    rid_assert(text.len <= VALUE_BYTES_MAX);
    v = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    rid_assert(v != NULL);
    rid_assert(wire_value_encode(v, &again) == 0);
    rid_assert(again.len == text.len);
    rid_assert(memcmp(again.data, text.data, text.len) == 0);
    rid_assert(wire_value_equal(text, (struct wire_slice){(const char *)again.data, again.len}));
    json_decref(v);
}

/* A range of one kind: between its bounds there is no key of another (SCAN-4). */
static void check_scan(const struct wire_scan *scan)
{
    const unsigned char type = scan->from.bytes[0];

    rid_assert(type == KEY_TYPE_STRING || type == KEY_TYPE_INT);
    rid_assert(scan->from.len >= 1);
    rid_assert(scan->from.len <= KEY_BYTES_MAX);
    rid_assert(scan->to.len >= 1);
    rid_assert(scan->to.len <= KEY_BYTES_MAX);
    rid_assert(scan->to.bytes[0] == type || (scan->to.len == 1 && scan->to.bytes[0] == type + 1));
    rid_assert(type != KEY_TYPE_INT || scan->from.len == 1 || scan->from.len == 9);
    rid_assert(scan->limit >= 1);
    rid_assert(scan->limit <= SCAN_ITEMS_MAX);
}

static void check_request(const struct wire_request *q)
{
    rid_assert(q->type >= WIRE_REQ_READ_INDEX);
    rid_assert(q->type <= WIRE_REQ_PEER);
    rid_assert(q->type_name.data != NULL);
    rid_assert(q->origin.msg_id <= MSG_ID_MAX);
    rid_assert(q->timeout_ms >= 1);
    rid_assert(q->timeout_ms <= TIMEOUT_MS_MAX);
    rid_assert(q->key.len <= KEY_BYTES_MAX);
    rid_assert(q->n_keys <= BATCH_KEYS_MAX);
    rid_assert(q->n_node_ids <= RAFT_SERVERS_MAX);
    rid_assert(q->num_reads <= COMPARE_READS_MAX);
    rid_assert(q->concurrency >= 1);
    rid_assert(q->concurrency <= COMPARE_CONCURRENCY_MAX);
    rid_assert((q->scan != NULL) == (q->type == WIRE_REQ_SCAN));
    if (q->scan != NULL)
        check_scan(q->scan);
    rid_assert(q->min_index <= RAFT_INDEX_MAX);
    rid_assert(q->cluster.len <= CLUSTER_HASH_BYTES_MAX);
    rid_assert(!q->has_session || (q->client > 0 && q->first > 0 && q->first <= q->seq));
    check_value(q->value);
    check_value(q->from);
}

static void check_reply(const struct wire_request *q, bool spaced)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_reply w;

    wire_reply_begin(&w, &b, &q->origin, spaced, 1, "x_ok");
    wire_reply_string(&w, "type_name", q->type_name.data, q->type_name.len);
    wire_reply_value(&w, "value", q->value);
    wire_reply_value(&w, "from", q->from);
    if (q->key.len > 0)
        wire_reply_key(&w, "key", &q->key);
    wire_reply_open_array(&w, "keys");
    for (unsigned i = 0; i < q->n_keys; i++)
        wire_reply_key(&w, NULL, &q->keys[i]);
    wire_reply_close_array(&w);
    rid_assert(wire_reply_end(&w) == 0);
    check_line(&b);
}

static void check_refused(const struct wire_refused *refused, bool spaced)
{
    cleanup_buf struct buf b = BUF_INIT;

    rid_assert(refused->error == WIRE_ERROR_MALFORMED || refused->error == WIRE_ERROR_TOO_LARGE);
    rid_assert(refused->text[0] != '\0');
    rid_assert(memchr(refused->field, '\0', sizeof(refused->field)) != NULL);
    rid_assert(wire_reply_refused(&b, refused, spaced, 1, 2) == 0);
    check_line(&b);
}

/* ---- in pieces ---- */

static bool same_slice(struct wire_slice a, struct wire_slice b)
{
    return (a.data == NULL) == (b.data == NULL) && a.len == b.len &&
           (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void check_same_origin(const struct wire_origin *a, const struct wire_origin *b)
{
    rid_assert(a->envelope == b->envelope);
    rid_assert(a->has_msg_id == b->has_msg_id);
    rid_assert(a->msg_id == b->msg_id);
    rid_assert(same_slice(a->src, b->src));
    rid_assert(same_slice(a->dest, b->dest));
}

static void check_same_scan(const struct wire_scan *a, const struct wire_scan *b)
{
    rid_assert(a->from.len == b->from.len);
    rid_assert(memcmp(a->from.bytes, b->from.bytes, a->from.len) == 0);
    rid_assert(a->behind == b->behind);
    rid_assert(a->to.len == b->to.len);
    rid_assert(memcmp(a->to.bytes, b->to.bytes, a->to.len) == 0);
    rid_assert(a->limit == b->limit);
    rid_assert(a->keys_only == b->keys_only);
}

static void check_same_request(const struct wire_request *a, const struct wire_request *b)
{
    rid_assert(a->type == b->type);
    rid_assert(same_slice(a->type_name, b->type_name));
    check_same_origin(&a->origin, &b->origin);
    rid_assert(a->timeout_ms == b->timeout_ms);
    rid_assert(a->verbose == b->verbose);
    rid_assert(a->create_if_not_exists == b->create_if_not_exists);
    rid_assert(a->has_session == b->has_session);
    rid_assert(a->client == b->client);
    rid_assert(a->seq == b->seq);
    rid_assert(a->first == b->first);
    rid_assert(a->key.len == b->key.len);
    rid_assert(memcmp(a->key.bytes, b->key.bytes, a->key.len) == 0);
    rid_assert(a->n_keys == b->n_keys);
    for (unsigned i = 0; i < a->n_keys; i++)
        rid_assert(memcmp(a->keys[i].bytes, b->keys[i].bytes, a->keys[i].len) == 0);
    rid_assert(a->via == b->via);
    rid_assert(a->min_index == b->min_index);
    rid_assert(same_slice(a->cluster, b->cluster));
    rid_assert((a->scan != NULL) == (b->scan != NULL));
    if (a->scan != NULL)
        check_same_scan(a->scan, b->scan);
    rid_assert(same_slice(a->value, b->value));
    rid_assert(same_slice(a->from, b->from));
    rid_assert(same_slice(a->to, b->to));
    rid_assert(same_slice(a->node_id, b->node_id));
    rid_assert(a->n_node_ids == b->n_node_ids);
}

static void check_same_refusal(const struct wire_refused *a, const struct wire_refused *b)
{
    rid_assert(a->error == b->error);
    check_same_origin(&a->origin, &b->origin);
    rid_assert(strcmp(a->field, b->field) == 0);
    rid_assert(a->limit == b->limit);
    rid_assert(strcmp(a->text, b->text) == 0);
}

/* What the fast decoder takes, the full one takes and understands alike. */
static void check_fast(struct wire_decoder *d, const char *line, size_t size)
{
    static struct wire_request fast;
    static struct wire_request full;
    struct wire_decoder *other = NULL;
    struct wire_refused refused;

    rid_assert(wire_decoder_new(&other) == 0);
    if (wire_request_decode_fast(other, line, size, &fast)) {
        rid_assert(wire_request_decode_json(d, line, size, &full, &refused) == 0);
        check_same_request(&fast, &full);
    }
    wire_decoder_free(other);
}

/* As long lines are taken, however short this one is. */
static struct wire_decoder *decoder_of_long_lines(size_t look_bytes)
{
    struct wire_decoder *d = NULL;

    rid_assert(wire_decoder_new(&d) == 0);
    d->tree_bytes = 0;
    d->look_bytes = look_bytes;
    return d;
}

/* At once, and in pieces that end anywhere: nobody can tell the difference (TIME-4). */
static void check_pieces(const char *line, size_t size, size_t look_bytes)
{
    struct wire_decoder *whole = decoder_of_long_lines(DECODE_LOOK_BYTES);
    struct wire_decoder *cut = decoder_of_long_lines(look_bytes);
    static struct wire_request want;
    static struct wire_request got;
    struct wire_refused want_refused = {0};
    struct wire_refused got_refused = {0};
    int want_rc;
    int rc;

    wire_request_begin(whole, line, size);
    want_rc = wire_request_step(whole, NULL, &want, &want_refused);
    wire_request_begin(cut, line, size);
    for (size_t i = 0;; i++) {
        struct slice spent = {.spent = true};

        rc = wire_request_step(cut, &spent, &got, &got_refused);
        if (rc != WIRE_REQUEST_MORE)
            break;
        rid_assert(i <= 3 * size); /* each gets on: the brackets, the text, the members */
    }
    rid_assert(rc == want_rc);
    if (rc == 0)
        check_same_request(&want, &got);
    if (rc == WIRE_REQUEST_REFUSED)
        check_same_refusal(&want_refused, &got_refused);
    wire_decoder_free(whole);
    wire_decoder_free(cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const peer_types[] = {"raft"};
    static struct wire_request request;
    struct wire_decoder *d = NULL;
    struct wire_refused refused = {0};
    const char *line = (const char *)data;
    int r;

    rid_assert(wire_decoder_new(&d) == 0);
    wire_decoder_set_peer_types(d, peer_types, 1);
    r = wire_request_decode(d, line, size, &request, &refused);
    rid_assert(r == 0 || r == WIRE_REQUEST_REFUSED || r == WIRE_REQUEST_BLANK);
    if (r == 0) {
        check_request(&request);
        check_reply(&request, false);
        check_reply(&request, true);
    } else if (r == WIRE_REQUEST_REFUSED) {
        check_refused(&refused, false);
        check_refused(&refused, true);
    }
    check_fast(d, line, size);
    check_pieces(line, size, 1 + size % 7);
    wire_decoder_free(d);
    return 0;
}

static const char *const seeds[] = {
    "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"}",
    "{\"key\":17,\"type\":\"local_read\",\"msg_id\":9007199254740991}",
    "{\"type\":\"read\",\"msg_id\":1,\"key\":\"x\",\"via\":\"follower\",\"verbose\":true,\"timeout_"
    "ms\":60000}",
    "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read_via_log\",\"msg_id\":2,\"key\":"
    "\"\\u00e4\\ud83d\\ude00\"}}",
    "{\"type\":\"compare_read_methods\",\"num_reads\":100000,\"concurrency\":128,\"methods\":["
    "\"lease_read\",\"local_read\"]}",
    "{\"type\":\"batch_read_index\",\"msg_id\":3,\"keys\":[\"a\",1,-9223372036854775808,\"3\"]}",
    "{\"type\":\"write\",\"key\":\"x\",\"value\":{\"b\":[1.50,1e22,-0.0,5e-324,0.1],\"a\":{\"c\":"
    "\"\\\"\\\\\\n\\u0001\"},\"d\":[]}}",
    "{\"type\":\"write\",\"key\":3,\"value\":9223372036854775807,\"client\":\"12\",\"seq\":1}",
    "{\"type\":\"cas\",\"msg_id\":4,\"key\":\"x\",\"from\":null,\"to\":[true,false],\"create_if_"
    "not_exists\":true}",
    "{\"type\":\"delete\",\"msg_id\":4,\"key\":\"x\"}",
    "{\"src\":\"c0\",\"dest\":\"n1\",\"body\":{\"type\":\"init\",\"msg_id\":1,\"node_id\":\"n1\","
    "\"node_ids\":[\"n1\",\"n2\"]}}",
    "{\"type\":\"transfer_leader\",\"to\":\"n2\"}",
    "{\"type\":\"snapshot_part\",\"index\":9,\"term\":2,\"offset\":65536}",
    "{\"type\":\"events\",\"after\":17,\"limit\":256}",
    "{\"src\":\"n2\",\"dest\":\"n1\",\"body\":{\"type\":\"raft\",\"frame\":\"AAAA\"}}",
    "{\"type\":\"open_session\"}",
    "{\"type\":\"delete\",\"key\":\"x\",\"client\":\"18446744073709551615\",\"seq\":130,\"first\":"
    "3}",
    "{\"type\":\"fly\",\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}",
    " \t\r\n",
};

int fuzz_seed(unsigned i, struct buf *buf)
{
    if (i >= sizeof(seeds) / sizeof(seeds[0]))
        return 1;
    if (buf_add_str(buf, seeds[i]) != 0)
        abort();
    return 0;
}
