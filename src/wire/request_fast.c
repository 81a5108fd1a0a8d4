/* Most lines of a busy node are one of the single-key reads with type, msg_id and key and nothing
 * else, in plain ASCII:
 *
 *     {"type":"read_index","msg_id":N,"key":"x"}
 *
 * and questions without any field, like ping and status. They are taken apart here in one pass
 * and without memory. Whatever is unusual, wrong or merely doubtful is left to the full decoder,
 * so that there is one place that refuses. */
#include "wire/request_int.h"

#include "base/banned.h"

struct scan {
    const char *p;
    const char *end;
};

static void skip_space(struct scan *s)
{
    while (s->p != s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
        s->p++;
}

static bool skip_char(struct scan *s, char c)
{
    skip_space(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* A string of printable ASCII without escapes. */
static bool scan_string(struct scan *s, struct wire_slice *ret)
{
    const char *p;

    if (!skip_char(s, '"'))
        return false;
    for (p = s->p; p != s->end && *p != '"'; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f || *p == '\\')
            return false;
    if (p == s->end)
        return false;
    ret->data = s->p;
    ret->len = (size_t)(p - s->p);
    s->p = p + 1;
    return true;
}

/* At most n_max digits, no sign, no leading zero, no fraction. */
static bool scan_number(struct scan *s, unsigned n_max, uint64_t *ret)
{
    const char *from;
    uint64_t v = 0;

    skip_space(s);
    from = s->p;
    while (s->p != s->end && *s->p >= '0' && *s->p <= '9') {
        if ((size_t)(s->p - from) == n_max)
            return false;
        v = v * 10 + (uint64_t)(*s->p++ - '0');
    }
    if (s->p == from || (*from == '0' && s->p - from > 1))
        return false;
    *ret = v;
    return true;
}

static bool scan_key(struct scan *s, struct wire_key *ret)
{
    struct wire_slice text;
    uint64_t number;

    skip_space(s);
    if (s->p != s->end && *s->p == '"')
        return scan_string(s, &text) && wire_key_set_string(ret, text.data, text.len) == 0;
    if (!scan_number(s, 18, &number))
        return false;
    wire_key_set_int(ret, (int64_t)number);
    return true;
}

static bool slice_is(struct wire_slice s, const char *word)
{
    size_t n = strlen(word);

    return s.len == n && memcmp(s.data, word, n) == 0;
}

#define SEEN_TYPE   1u
#define SEEN_MSG_ID 2u
#define SEEN_KEY    4u

static bool scan_member(struct scan *s, struct wire_request *ret, unsigned *seen)
{
    struct wire_slice name;
    unsigned bit;
    bool ok;

    if (!scan_string(s, &name) || !skip_char(s, ':'))
        return false;
    if (slice_is(name, "key")) {
        bit = SEEN_KEY;
        ok = scan_key(s, &ret->key);
    } else if (slice_is(name, "type")) {
        bit = SEEN_TYPE;
        ok = scan_string(s, &ret->type_name);
    } else if (slice_is(name, "msg_id")) {
        bit = SEEN_MSG_ID;
        ok = scan_number(s, 16, &ret->origin.msg_id) && ret->origin.msg_id <= MSG_ID_MAX;
    } else {
        return false;
    }
    if (*seen & bit)
        return false;
    *seen |= bit;
    return ok;
}

/* All but the key, which is written where it is read. */
static void request_clear(struct wire_request *r)
{
    struct wire_request *const none = NULL;
    const size_t from = offsetof(struct wire_request, key) + sizeof(none->key);

    memset(r, 0, offsetof(struct wire_request, key));
    memset((char *)r + from, 0, sizeof(*r) - from);
    r->key.len = 0;
    r->timeout_ms = TIMEOUT_MS_DEFAULT;
    r->concurrency = 1;
}

bool wire_request_decode_fast(const char *line, size_t len, struct wire_request *ret)
{
    struct scan s = {.p = line, .end = line + len};
    unsigned seen = 0;
    unsigned fields;

    request_clear(ret);
    if (!skip_char(&s, '{'))
        return false;
    do {
        if (!scan_member(&s, ret, &seen))
            return false;
    } while (skip_char(&s, ','));
    if (!skip_char(&s, '}'))
        return false;
    skip_space(&s);
    if (s.p != s.end || (seen & SEEN_TYPE) == 0)
        return false;
    ret->type = wire_request_type_find(ret->type_name.data, ret->type_name.len);
    fields = wire_request_type_fields(ret->type);
    if ((seen & SEEN_KEY) != 0 && (fields & ~(FIELD_VIA | FIELD_STALE | FIELD_TOKEN)) != FIELD_KEY)
        return false; /* beside those, which may be absent, it has fields that may not */
    if ((seen & SEEN_KEY) == 0 && (fields != 0 || ret->type == WIRE_REQ_UNKNOWN))
        return false;
    ret->type_name.data =
        wire_request_type_name(ret->type); /* the line may go before the request does */
    ret->origin.has_msg_id = (seen & SEEN_MSG_ID) != 0;
    return true;
}
