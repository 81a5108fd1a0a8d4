/* What a server sends: any bytes end each request once, no write is called done or undone without
 * the server's word, and what is handed to callers is what its fields promise. The first byte says
 * what the client was opened for and how the bytes are cut; the others come down a socket that the
 * client takes for its connection. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "client/client_int.h"
#include "fuzz/fuzz.h"

const char fuzz_name[] = "reply";
const unsigned fuzz_runs = 3000;

enum { N_REQUESTS = 8 };

struct fate {
    unsigned n;
    enum ridd_op_type type;
};

static void check_json(const char *text, size_t len)
{
    json_t *v = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);

    rid_assert(strlen(text) == len);
    rid_assert(v != NULL);
    json_decref(v);
}

static void check_text(const char *text, size_t size)
{
    rid_assert(memchr(text, '\0', size) != NULL);
    for (; *text != '\0'; text++) {
        rid_assert((unsigned char)*text >= 0x20);
        rid_assert(*text != 0x7f);
    }
}

static void check_item(const struct ridd_item *i)
{
    check_json(i->key, strlen(i->key));
    if (i->value != NULL)
        check_json(i->value, i->value_len);
    rid_assert(i->value != NULL || i->string == NULL);
    rid_assert(i->key_string == NULL || i->key[0] == '"');
    rid_assert((i->string != NULL) == (i->value != NULL && i->value[0] == '"'));
}

static void check_reply(const struct ridd_reply *r)
{
    check_text(r->text, sizeof(r->text));
    check_text(r->server_name, sizeof(r->server_name));
    check_text(r->leader_id, sizeof(r->leader_id));
    check_text(r->served_by, sizeof(r->served_by));
    check_text(r->proof, sizeof(r->proof));
    check_text(r->endpoint, sizeof(r->endpoint));
    rid_assert((r->status == RIDD_OK) == (r->text[0] == '\0'));
    rid_assert(r->status != RIDD_OK || r->definite == 1);
    rid_assert((r->guarantee == RIDD_GUARANTEE_LINEARIZABLE) == (r->linearizable == 1));
    rid_assert(r->guarantee != RIDD_GUARANTEE_BOUNDED || r->staleness_us >= 0);
    if (r->json != NULL)
        check_json(r->json, r->json_len);
    if (r->value != NULL)
        check_json(r->value, r->value_len);
    rid_assert((r->string != NULL) == (r->value != NULL && r->value[0] == '"'));
    for (size_t i = 0; i < r->n_items; i++)
        check_item(&r->items[i]);
}

/* All requests have left whole, but those of a session that was never opened: what is certain of a
 * write is the server's word. */
static void check_write(const struct ridd *c, const struct ridd_reply *r)
{
    if (r->status == RIDD_OUTCOME_UNKNOWN) {
        rid_assert(r->definite == 0);
        rid_assert(r->cause != RIDD_OUTCOME_UNKNOWN);
        return;
    }
    rid_assert(r->definite == 1);
    if ((c->flags & (RIDD_FLAG_SESSION | RIDD_FLAG_MONOTONIC)) == 0)
        rid_assert(r->json != NULL);
}

static void on_reply(struct ridd *c, struct ridd_reply *r, void *arg)
{
    struct fate *f = arg;

    f->n++;
    rid_assert(f->n == 1);
    if (!reply_is_const(r)) {
        check_reply(r);
        if (f->type == RIDD_OP_PUT || f->type == RIDD_OP_CAS || f->type == RIDD_OP_DELETE)
            check_write(c, r);
    }
    ridd_reply_free(r);
}

static void start(struct ridd *c, unsigned i, struct fate *f)
{
    static const enum ridd_op_type types[N_REQUESTS] = {
        RIDD_OP_GET,   RIDD_OP_PUT,    RIDD_OP_SCAN, RIDD_OP_CAS,
        RIDD_OP_BATCH, RIDD_OP_DELETE, RIDD_OP_GET,  RIDD_OP_GET,
    };
    static const enum ridd_via vias[N_REQUESTS] = {
        RIDD_VIA_READ_INDEX, 0, RIDD_VIA_DEFAULT, 0, 0, 0, RIDD_VIA_LOCAL, RIDD_VIA_DEFAULT};
    struct ridd_key keys[2] = {ridd_key("a"), ridd_key_int(7)};
    struct ridd_op op = ridd_op(types[i]);

    op.via = vias[i];
    op.key = ridd_key("a");
    op.keys = keys;
    op.n_keys = 2;
    op.value = ridd_value_integer(1);
    op.from = ridd_value_null();
    f->n = 0;
    f->type = types[i];
    rid_assert(ridd_async_start(c, &op, on_reply, f) != 0);
}

static void feed(struct ridd *c, int fd, const uint8_t *data, size_t size, size_t piece)
{
    while (size > 0) {
        size_t n = size < piece ? size : piece;
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent <= 0) /* the client has closed it, or will read no more */
            return;
        data += sent;
        size -= (size_t)sent;
        rid_assert(ridd_process(c) == RIDD_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned flags[4] = {0, RIDD_FLAG_SESSION, RIDD_FLAG_MONOTONIC,
                                      RIDD_FLAG_SESSION | RIDD_FLAG_MONOTONIC};
    static const size_t pieces[4] = {1u << 20, 1, 7, 100};
    struct ridd_options options = {.seed = 1, .flags = RIDD_FLAG_LISTED_ONLY};
    struct ridd_retry retry = {.max_retries = RIDD_NONE};
    struct fate fates[N_REQUESTS];
    struct ridd *c = NULL;
    int fds[2];

    if (size == 0)
        return 0;
    options.flags |= flags[data[0] & 3];
    rid_assert(ridd_open("127.0.0.1:1", &options, &c) == RIDD_OK);
    rid_assert(ridd_set_retry(c, &retry) == RIDD_OK);
    rid_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    c->nodes[0]->conn->fd = fds[0];
    conn_is_open(c->nodes[0]->conn, clock_mono_us());
    for (unsigned i = 0; i < N_REQUESTS; i++)
        start(c, i, &fates[i]);
    rid_assert(ridd_process(c) == RIDD_OK);
    feed(c, fds[1], data + 1, size - 1, pieces[data[0] >> 2 & 3]);
    (void)close(fds[1]);
    while (ridd_async_pending(c) > 0)
        rid_assert(ridd_wait(c, -1) == RIDD_OK);
    for (unsigned i = 0; i < N_REQUESTS; i++)
        rid_assert(fates[i].n == 1);
    ridd_close(c);
    return 0;
}

/* The first character is the first byte. */
static const char *const seeds[] = {
    "0{\"type\":\"read_index_ok\",\"in_reply_to\":1,\"value\":\"4\\u00e42\",\"read_at_index\":5,"
    "\"heartbeat_confirmed\":true,\"linearizable\":true,\"exists\":true}\n"
    "{\"type\":\"write_ok\",\"in_reply_to\":2,\"index\":9}\n",
    "4{\"type\":\"scan_ok\",\"in_reply_to\":3,\"items\":[{\"key\":\"a\",\"value\":[1, 2.50]},{\"key\":"
    "7,\"value\":\"x\"}],\"more\":true,\"read_at_index\":8,\"linearizable\":true}\n"
    "{\"type\":\"error\",\"in_reply_to\":4,\"code\":22,\"text\":\"no\",\"error\":"
    "\"precondition_failed\",\"definite\":true,\"index\":6}\n",
    "8{\"type\":\"batch_read_index_ok\",\"in_reply_to\":5,\"values\":[{\"key\":\"a\",\"value\":null,"
    "\"exists\":true},{\"key\":7,\"value\":0.1}],\"read_at_index\":8}\r\n\r\n"
    "{\"type\":\"delete_ok\",\"in_reply_to\":6,\"existed\":true}\n",
    "0{\"type\":\"local_read_ok\",\"in_reply_to\":7,\"value\":1,\"applied_index\":3,\"staleness_ms\":"
    "12.5,\"linearizable\":false}\n"
    "{\"type\":\"error\",\"in_reply_to\":8,\"code\":20,\"text\":\"\\u0007\",\"error\":"
    "\"key_not_found\",\"definite\":true}\n",
    "0{\"type\":\"error\",\"code\":11,\"text\":\"too many\",\"error\":\"busy\",\"definite\":true}\n",
    "0{\"type\":\"error\",\"line\":2,\"code\":12,\"error\":\"too_large\",\"definite\":true}\n",
    "0{\"type\":\"error\",\"in_reply_to\":1,\"code\":11,\"error\":\"not_leader\",\"definite\":true,"
    "\"leader_addr\":\"127.0.0.1:1\"}\n",
    "0{\"type\":\"error\",\"in_reply_to\":1,\"code\":11,\"error\":\"overloaded\",\"definite\":true,"
    "\"anchor\":5,\"try\":\"127.0.0.1:1\",\"retry_after_ms\":5}\n",
    "1{\"type\":\"open_session_ok\",\"in_reply_to\":2,\"client\":\"71\"}\n"
    "{\"type\":\"write_ok\",\"in_reply_to\":9}\n{\"type\":\"error\",\"in_reply_to\":10,\"code\":13,"
    "\"error\":\"session_expired\",\"definite\":false}\n",
    "2{\"type\":\"status_ok\",\"in_reply_to\":1,\"cluster_hash\":\"0123456789abcdef\"}\n"
    "{\"type\":\"read_index_ok\",\"in_reply_to\":2,\"value\":{\"a\":[]},\"latency_ms\":1.5,"
    "\"stages\":{\"leader_ms\":0.1}}\n",
    "0\n\r\n[]\n",
};

int fuzz_seed(unsigned i, struct buf *buf)
{
    if (i >= sizeof(seeds) / sizeof(seeds[0]))
        return 1;
    if (buf_add_str(buf, seeds[i]) != 0)
        abort();
    return 0;
}
