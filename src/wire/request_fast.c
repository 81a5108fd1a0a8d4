/* Most lines of a busy node are one of the single-key reads and writes with the members that they
 * need and a few that they may have:
 *
 *     {"type":"read_index","msg_id":N,"key":"x"}
 *     {"type":"write","msg_id":N,"key":"x","value":"y","client":"C","seq":S}
 *
 * and questions without any field, like ping and status. They are taken apart here in one pass and
 * without a tree. Whatever is unusual, wrong or merely doubtful is left to the full decoder, so
 * that there is one place that refuses. A value that is a string without escapes, an integer or a
 * word is its own compact text; all others go through json_compact(), which writes what the full
 * decoder would. */
#include "wire/request_int.h"

#include "base/bytes.h"

#include "base/banned.h"

/* A member that was seen; those of one request stand in a set. */
#define SEEN_TYPE    1u
#define SEEN_MSG_ID  2u
#define SEEN_KEY     4u
#define SEEN_VALUE   8u
#define SEEN_FROM    16u
#define SEEN_TO      32u
#define SEEN_CREATE  64u
#define SEEN_TIMEOUT 128u
#define SEEN_VERBOSE 256u
#define SEEN_CLIENT  512u
#define SEEN_SEQ     1024u
#define SEEN_FIRST   2048u

/* A value, in d->text: that moves while it grows. */
struct place {
    size_t at;
    size_t len;
};

/* Compact text is longer than what was sent where "1e15" stands for "1000000000000000.0". */
static_assert(8 * WIRE_TREE_BYTES <= VALUE_BYTES_MAX, "a value of a short line is none too large");

struct scan {
    struct wire_decoder *d;
    const char *line;
    const char *end;
    struct wire_request *ret;
    unsigned seen;
    struct place value; /* write: value; cas: to */
    struct place from;
};

/* All of these take the place where they begin and return that behind what they found; NULL: it is
 * not there, or not so simple. */

static inline const char *skip_space(const char *p, const char *end)
{
    while (p != end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    return p;
}

static inline const char *skip_char(const char *p, const char *end, char c)
{
    p = skip_space(p, end);
    return p != end && *p == c ? p + 1 : NULL;
}

/* text is a literal. */
#define BEGINS_WITH(p, end, text)                                                                  \
    ((size_t)((end) - (p)) >= sizeof(text) - 1 && memcmp(p, text, sizeof(text) - 1) == 0)

/* ---- strings ---- */

/* Of eight bytes: the lowest byte with its high bit set is the first that is not plain: '"', '\\',
 * below 0x20, or not ASCII. (A borrow reaches only bytes above one that was found.) */
static inline uint64_t not_plain(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t quote = v ^ (ones * '"');
    const uint64_t slash = v ^ (ones * '\\');

    return (((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | v) &
           (ones * 0x80);
}

static inline const char *skip_plain(const char *p, const char *end)
{
    while (end - p >= 8) {
        const uint64_t found = not_plain(get_u64(p));

        if (found != 0)
            return p + __builtin_ctzll(found) / 8;
        p += 8;
    }
    while (p != end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return p;
}

/* UTF-8 without escapes; p is behind the opening quote. */
static const char *scan_string(const char *p, const char *end, struct wire_slice *ret)
{
    ret->data = p;
    for (;;) {
        size_t n;

        p = skip_plain(p, end);
        if (p == end)
            return NULL;
        if (*p == '"')
            break;
        n = (unsigned char)*p >= 0x80 ? json_utf8_len(p, end) : 0;
        if (n == 0)
            return NULL;
        p += n;
    }
    ret->len = (size_t)(p - ret->data);
    return p + 1;
}

/* ---- numbers and words ---- */

/* At most n_max digits, of which any 19 fit in 64 bits; no sign, no leading zero. What follows them
 * is the caller's to judge. */
static inline const char *scan_digits(const char *p, const char *end, unsigned n_max, uint64_t *ret)
{
    const char *from = p;
    uint64_t v = 0;

    while (p != end && *p >= '0' && *p <= '9') {
        if ((size_t)(p - from) == n_max)
            return NULL;
        v = v * 10 + (uint64_t)(*p++ - '0');
    }
    if (p == from || (*from == '0' && p - from > 1))
        return NULL;
    *ret = v;
    return p;
}

static const char *scan_bool(const char *p, const char *end, bool *ret)
{
    *ret = p != end && *p == 't';
    if (BEGINS_WITH(p, end, "true"))
        return p + 4;
    return BEGINS_WITH(p, end, "false") ? p + 5 : NULL;
}

/* From 1 to max. */
static const char *scan_count(const char *p, const char *end, uint64_t max, uint64_t *ret)
{
    p = scan_digits(p, end, 18, ret);
    return p != NULL && *ret >= 1 && *ret <= max ? p : NULL;
}

/* ---- members ---- */

static const char *scan_key(struct scan *s, const char *p)
{
    struct wire_key *key = &s->ret->key;
    struct wire_slice text;
    uint64_t number;

    if (p == s->end)
        return NULL;
    if (*p == '"') {
        p = scan_string(p + 1, s->end, &text);
        return p != NULL && wire_key_set_string(key, text.data, text.len) == 0 ? p : NULL;
    }
    p = scan_digits(p, s->end, 18, &number);
    if (p != NULL)
        wire_key_set_int(key, (int64_t)number);
    return p;
}

static const char *scan_type(struct scan *s, const char *p)
{
    struct wire_slice name;

    if (p == s->end || *p != '"')
        return NULL;
    p = scan_string(p + 1, s->end, &name);
    if (p != NULL)
        s->ret->type = wire_request_type_find(name.data, name.len);
    return p;
}

static const char *scan_msg_id(struct scan *s, const char *p)
{
    p = scan_digits(p, s->end, 16, &s->ret->origin.msg_id);
    return p != NULL && s->ret->origin.msg_id <= MSG_ID_MAX ? p : NULL;
}

static const char *scan_timeout(struct scan *s, const char *p)
{
    uint64_t ms;

    p = scan_count(p, s->end, TIMEOUT_MS_MAX, &ms);
    if (p != NULL)
        s->ret->timeout_ms = (uint32_t)ms;
    return p;
}

static const char *scan_client(struct scan *s, const char *p)
{
    if (p == s->end || *p != '"')
        return NULL;
    p = scan_digits(p + 1, s->end, 19, &s->ret->client);
    return p != NULL && p != s->end && *p == '"' && s->ret->client > 0 ? p + 1 : NULL;
}

/* ---- values ---- */

/* Its own compact text. */
static const char *scan_simple_value(const char *p, const char *end)
{
    struct wire_slice text;
    uint64_t number;
    bool word;

    switch (*p) {
    case '"':
        return scan_string(p + 1, end, &text);
    case 't':
    case 'f':
        return scan_bool(p, end, &word);
    case 'n':
        return BEGINS_WITH(p, end, "null") ? p + 4 : NULL;
    case '-': /* but "-0" is 0 */
        p++;
        if (p == end || *p == '0')
            return NULL;
        break;
    default:
        break;
    }
    p = scan_digits(p, end, 18, &number);
    return p != NULL && p != end && *p != '.' && *p != 'e' && *p != 'E' ? p : NULL;
}

/* The depth of the whole line is bounded first, as for a tree. */
static const char *compact_value(struct scan *s, const char *p)
{
    struct json_depth depth = {0};
    struct json_compact *walk = &s->d->shrink.text; /* of no line that is under way */

    if (!json_scan_depth(&depth, s->line, (size_t)(s->end - s->line), JSON_DEPTH_MAX))
        return NULL;
    json_compact_begin(walk, p, s->end, true, &s->d->text);
    return json_compact_step(walk, NULL) == 0 ? walk->p : NULL;
}

static const char *scan_value(struct scan *s, const char *p, struct place *ret)
{
    struct buf *text = &s->d->text;
    const char *behind;

    if (p == s->end)
        return NULL;
    if ((s->seen & (SEEN_VALUE | SEEN_FROM | SEEN_TO)) == 0)
        buf_reset(text, WIRE_TEXT_KEEP_BYTES);
    ret->at = text->len;
    behind = scan_simple_value(p, s->end);
    if (behind == NULL)
        behind = compact_value(s, p);
    else if (buf_add(text, p, (size_t)(behind - p)) != 0)
        return NULL;
    ret->len = text->len - ret->at;
    return behind;
}

/* ---- the line ---- */

/* Which member is it, from its opening quote on? 0: none that is known here. */
static inline unsigned find_member(const char *p, const char *end, size_t *ret_len)
{
#define MEMBER(name, bit)                                                                          \
    if (BEGINS_WITH(p, end, "\"" name "\"")) {                                                     \
        *ret_len = sizeof(name) + 1;                                                               \
        return bit;                                                                                \
    }
    if (end - p < 2)
        return 0;
    switch (p[1]) {
    case 'k':
        MEMBER("key", SEEN_KEY)
        break;
    case 't':
        MEMBER("type", SEEN_TYPE)
        MEMBER("timeout_ms", SEEN_TIMEOUT)
        MEMBER("to", SEEN_TO)
        break;
    case 'm':
        MEMBER("msg_id", SEEN_MSG_ID)
        break;
    case 'v':
        MEMBER("value", SEEN_VALUE)
        MEMBER("verbose", SEEN_VERBOSE)
        break;
    case 'c':
        MEMBER("client", SEEN_CLIENT)
        MEMBER("create_if_not_exists", SEEN_CREATE)
        break;
    case 's':
        MEMBER("seq", SEEN_SEQ)
        break;
    case 'f':
        MEMBER("from", SEEN_FROM)
        MEMBER("first", SEEN_FIRST)
        break;
    default:
        break;
    }
#undef MEMBER
    return 0;
}

static const char *scan_member(struct scan *s, const char *p)
{
    struct wire_request *ret = s->ret;
    size_t len;
    unsigned bit;

    p = skip_space(p, s->end);
    bit = find_member(p, s->end, &len);
    if (bit == 0 || (s->seen & bit) != 0) /* twice is refused, and not here */
        return NULL;
    p = skip_char(p + len, s->end, ':');
    if (p == NULL)
        return NULL;
    p = skip_space(p, s->end);
    switch (bit) {
    case SEEN_TYPE:
        p = scan_type(s, p);
        break;
    case SEEN_MSG_ID:
        p = scan_msg_id(s, p);
        break;
    case SEEN_KEY:
        p = scan_key(s, p);
        break;
    case SEEN_VALUE:
    case SEEN_TO:
        p = scan_value(s, p, &s->value);
        break;
    case SEEN_FROM:
        p = scan_value(s, p, &s->from);
        break;
    case SEEN_CREATE:
        p = scan_bool(p, s->end, &ret->create_if_not_exists);
        break;
    case SEEN_TIMEOUT:
        p = scan_timeout(s, p);
        break;
    case SEEN_VERBOSE:
        p = scan_bool(p, s->end, &ret->verbose);
        break;
    case SEEN_CLIENT:
        p = scan_client(s, p);
        break;
    case SEEN_SEQ:
        p = scan_count(p, s->end, INT64_MAX, &ret->seq);
        break;
    default:
        p = scan_count(p, s->end, INT64_MAX, &ret->first);
        break;
    }
    s->seen |= bit;
    return p;
}

/* All that a type must have is there, and nothing that it has no place for: what the full decoder
 * would pass over is its own business. */
static bool has_its_members(const struct scan *s)
{
    const unsigned fields = wire_request_type_fields(s->ret->type);
    unsigned must = SEEN_TYPE;
    unsigned may = SEEN_MSG_ID | SEEN_TIMEOUT | SEEN_VERBOSE;

    if (s->ret->type == WIRE_REQ_UNKNOWN ||
        (fields & ~(FIELD_KEY | FIELD_VALUE | FIELD_CAS | FIELD_SESSION | FIELD_VIA | FIELD_STALE |
                    FIELD_TOKEN)) != 0)
        return false;
    if (fields & FIELD_KEY)
        must |= SEEN_KEY;
    if (fields & FIELD_VALUE)
        must |= SEEN_VALUE;
    if (fields & FIELD_CAS) {
        must |= SEEN_FROM | SEEN_TO;
        may |= SEEN_CREATE;
    }
    if (fields & FIELD_SESSION)
        may |= SEEN_CLIENT | SEEN_SEQ | SEEN_FIRST;
    return (s->seen & must) == must && (s->seen & ~(must | may)) == 0;
}

/* Neither of client and seq without the other. */
static bool take_session(const struct scan *s)
{
    struct wire_request *ret = s->ret;

    if ((s->seen & (SEEN_CLIENT | SEEN_SEQ | SEEN_FIRST)) == 0)
        return true;
    if ((s->seen & SEEN_CLIENT) == 0 || (s->seen & SEEN_SEQ) == 0)
        return false;
    ret->has_session = true;
    if ((s->seen & SEEN_FIRST) == 0)
        ret->first = 1;
    return ret->first <= ret->seq;
}

static void take_values(const struct scan *s)
{
    const char *text = (const char *)s->d->text.data;

    if (s->seen & (SEEN_VALUE | SEEN_TO))
        s->ret->value = (struct wire_slice){text + s->value.at, s->value.len};
    if (s->seen & SEEN_FROM)
        s->ret->from = (struct wire_slice){text + s->from.at, s->from.len};
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

bool wire_request_decode_fast(struct wire_decoder *d, const char *line, size_t len,
                              struct wire_request *ret)
{
    struct scan s = {.d = d, .line = line, .end = line + len, .ret = ret};
    const char *p = line;
    const char *comma;

    if (len > d->tree_bytes) /* long lines have a way of their own */
        return false;
    request_clear(ret);
    comma = skip_char(p, s.end, '{');
    do {
        if (comma == NULL)
            return false;
        p = scan_member(&s, comma);
        if (p == NULL)
            return false;
        comma = skip_char(p, s.end, ',');
    } while (comma != NULL);
    p = skip_char(p, s.end, '}');
    if (p == NULL || skip_space(p, s.end) != s.end)
        return false;
    if (!has_its_members(&s) || !take_session(&s))
        return false;
    take_values(&s);
    /* The line may go before the request does. */
    ret->type_name = wire_request_type_text(ret->type);
    ret->origin.has_msg_id = (s.seen & SEEN_MSG_ID) != 0;
    return true;
}
