/* Nanoseconds per decoded line of a read and of writes, by both decoders, and per formatted reply.
 * A compass, not a test: run it twice on a quiet machine and compare ratios. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wire/reply.h"
#include "wire/request_int.h"
#include "wire/value.h"

#include "base/banned.h"

#define ROUNDS 300000u

static const char line[] = "{\"type\":\"read_index\",\"msg_id\":123456,\"key\":\"user/4711/name\"}";
static const char write_line[] =
    "{\"type\":\"write\",\"msg_id\":123456,\"key\":\"user/4711/name\",\"value\":\"a value of some "
    "thirty-two bytes\"}";
static const char object_line[] =
    "{\"type\":\"write\",\"msg_id\":123456,\"key\":\"user/4711/name\",\"value\":{\"name\":\"Ada\", "
    "\"born\":1815,\"tags\":[\"a\",1.50,null]}}";
static const char value_text[] = "\"a value of some thirty-two bytes\"";

static struct wire_decoder *decoder;
static struct wire_request request;
static struct wire_refused refused;
static struct buf out;

static int decode_fast(void)
{
    return wire_request_decode_fast(decoder, line, sizeof(line) - 1, &request) ? 0 : 1;
}

static int decode_json(void)
{
    return wire_request_decode_json(decoder, line, sizeof(line) - 1, &request, &refused);
}

static int decode_write_fast(void)
{
    return wire_request_decode_fast(decoder, write_line, sizeof(write_line) - 1, &request) ? 0 : 1;
}

static int decode_write_json(void)
{
    return wire_request_decode_json(decoder, write_line, sizeof(write_line) - 1, &request,
                                    &refused);
}

static int decode_object_fast(void)
{
    return wire_request_decode_fast(decoder, object_line, sizeof(object_line) - 1, &request) ? 0
                                                                                             : 1;
}

static int decode_object_json(void)
{
    return wire_request_decode_json(decoder, object_line, sizeof(object_line) - 1, &request,
                                    &refused);
}

static int format_reply(const struct wire_origin *origin, bool spaced)
{
    struct wire_reply w;

    out.len = 0;
    wire_reply_begin(&w, &out, origin, spaced, 17, "read_index_ok");
    wire_reply_value(&w, "value", (struct wire_slice){value_text, sizeof(value_text) - 1});
    wire_reply_u64(&w, "read_at_index", 987654321);
    wire_reply_bool(&w, "heartbeat_confirmed", true);
    wire_reply_bool(&w, "linearizable", true);
    return wire_reply_end(&w);
}

static int reply_bare(void)
{
    static const struct wire_origin origin = {.has_msg_id = true, .msg_id = 123456};

    return format_reply(&origin, false);
}

static int reply_envelope_spaced(void)
{
    static const struct wire_origin origin = {.envelope = true,
                                              .has_msg_id = true,
                                              .msg_id = 123456,
                                              .src = {"c12", 3},
                                              .dest = {"n1", 2}};

    return format_reply(&origin, true);
}

static int value_equal(void)
{
    static const char a[] = "{\"a\":1,\"b\":[1,2,3],\"c\":{\"d\":\"x\",\"e\":null}}";
    static const char b[] = "{\"c\":{\"e\":null,\"d\":\"x\"},\"b\":[1,2,3],\"a\":1}";

    return wire_value_equal((struct wire_slice){a, sizeof(a) - 1},
                            (struct wire_slice){b, sizeof(b) - 1})
               ? 0
               : 1;
}

/* The best of five, since other work on the machine only ever adds. */
static int measure(const char *name, int (*what)(void))
{
    uint64_t best_us = UINT64_MAX;

    for (int round = 0; round < 5; round++) {
        uint64_t from_us = clock_mono_us();
        uint64_t took_us;

        for (unsigned i = 0; i < ROUNDS / 5; i++) {
            if (what() != 0) {
                fprintf(stderr, "bench-wire: %s failed\n", name);
                return 1;
            }
        }
        took_us = clock_mono_us() - from_us;
        if (took_us < best_us)
            best_us = took_us;
    }
    printf("%-36s %8.1f ns\n", name, (double)best_us * 1000.0 / (ROUNDS / 5));
    return 0;
}

int main(void)
{
    int r;

    json_object_seed(0);
    if (wire_decoder_new(&decoder) != 0)
        return 1;
    r = measure("decode read_index, fast", decode_fast);
    r |= measure("decode read_index, jansson", decode_json);
    r |= measure("decode write, fast", decode_write_fast);
    r |= measure("decode write, jansson", decode_write_json);
    r |= measure("decode write of an object, fast", decode_object_fast);
    r |= measure("decode write of an object, jansson", decode_object_json);
    r |= measure("reply read_index_ok, bare", reply_bare);
    r |= measure("reply read_index_ok, envelope", reply_envelope_spaced);
    r |= measure("equality, other order", value_equal);
    wire_decoder_free(decoder);
    buf_done(&out);
    return r;
}
