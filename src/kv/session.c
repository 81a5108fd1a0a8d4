/* One session: the answers of its last writes, and what that says of the next one.
 *
 * The text of its record, little endian: u64 first, then for each answer, by seq, u64 seq, u64
 * index, u8 status (and 128: the key existed); behind those of NO_SPACE u64 used, u64 limit. */
#include "kv/session_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#include "base/banned.h"

static const char session_prefix[] = "\0s";
#define PREFIX_BYTES (sizeof(session_prefix) - 1)
static_assert(PREFIX_BYTES + sizeof(uint64_t) == SESSION_KEY_BYTES, "the client's number follows");

/* Of the byte that holds the status, too. */
#define FLAG_EXISTED 128u

/* ---- keys ---- */

/* The higher bytes of the number come first, so that the records stand in the order of the list. */
void session_key_set(struct session_key *key, uint64_t client)
{
    const uint64_t be = htobe64(client);

    memcpy(key->bytes, session_prefix, PREFIX_BYTES);
    memcpy(key->bytes + PREFIX_BYTES, &be, sizeof(be));
}

bool session_key_get(struct wire_slice key, uint64_t *ret_client)
{
    uint64_t be;

    if (key.len != SESSION_KEY_BYTES || memcmp(key.data, session_prefix, PREFIX_BYTES) != 0)
        return false;
    memcpy(&be, key.data + PREFIX_BYTES, sizeof(be));
    *ret_client = be64toh(be);
    return true;
}

/* ---- the text ---- */

void session_init(struct session *s)
{
    s->first = 1;
    s->n = 0;
}

static size_t answer_bytes(const struct session_answer *a)
{
    return SESSION_ANSWER_BYTES + (a->status == COMMAND_NO_SPACE ? SESSION_NO_SPACE_BYTES : 0);
}

size_t session_write(const struct session *s, unsigned char text[SESSION_TEXT_BYTES_MAX])
{
    unsigned char *p = text + SESSION_FIRST_BYTES;

    put_u64(text, s->first);
    for (unsigned i = 0; i < s->n; i++) {
        const struct session_answer *a = &s->answers[i];

        put_u64(p, a->seq);
        put_u64(p + 8, a->index);
        p[16] = (unsigned char)(a->status | (a->existed ? FLAG_EXISTED : 0));
        if (a->status == COMMAND_NO_SPACE) {
            put_u64(p + 17, a->used_bytes);
            put_u64(p + 25, a->limit_bytes);
        }
        p += answer_bytes(a);
    }
    return (size_t)(p - text);
}

/* What applying may have given; it also says how many bytes follow. */
static bool is_answer(unsigned status)
{
    return status == COMMAND_OK || status == COMMAND_KEY_NOT_FOUND ||
           status == COMMAND_PRECONDITION_FAILED || status == COMMAND_NO_SPACE;
}

/* Cuts one answer off the front; after is the seq of the one before it. */
static bool parse_answer(struct wire_slice *rest, uint64_t after, struct session_answer *ret)
{
    const unsigned char *p = (const unsigned char *)rest->data;
    size_t n;

    if (rest->len < SESSION_ANSWER_BYTES || !is_answer(p[16] & ~FLAG_EXISTED))
        return false;
    *ret = (struct session_answer){.seq = get_u64(p),
                                   .index = get_u64(p + 8),
                                   .status = (enum command_status)(p[16] & ~FLAG_EXISTED),
                                   .existed = (p[16] & FLAG_EXISTED) != 0};
    n = answer_bytes(ret);
    if (rest->len < n || ret->seq <= after)
        return false;
    if (ret->status == COMMAND_NO_SPACE) {
        ret->used_bytes = get_u64(p + 17);
        ret->limit_bytes = get_u64(p + 25);
    }
    rest->data += n;
    rest->len -= n;
    return true;
}

bool session_parse(struct wire_slice text, struct session *ret)
{
    uint64_t seq = 0;

    if (text.len < SESSION_FIRST_BYTES)
        return false;
    ret->first = get_u64(text.data);
    ret->n = 0;
    if (ret->first == 0)
        return false;
    text.data += SESSION_FIRST_BYTES;
    text.len -= SESSION_FIRST_BYTES;
    while (text.len > 0) {
        if (ret->n == SESSION_ANSWERS_MAX || !parse_answer(&text, seq, &ret->answers[ret->n]))
            return false;
        seq = ret->answers[ret->n++].seq;
    }
    return true;
}

/* ---- answers ---- */

/* Where the answer of seq stands, or would stand. */
static unsigned place_of(const struct session *s, uint64_t seq)
{
    unsigned i = s->n;

    while (i > 0 && s->answers[i - 1].seq >= seq)
        i--;
    return i;
}

/* Below it nothing is new (SESSION-2). Where all answers that may be kept are there it is the
 * lowest of them: one below may have been there and have gone. There are fewer again only when the
 * client says that it has the answers of more. */
static uint64_t floor_of(const struct session *s)
{
    if (s->n == SESSION_ANSWERS_MAX && s->answers[0].seq > s->first)
        return s->answers[0].seq;
    return s->first;
}

enum session_verdict session_look(const struct session *s, uint64_t seq,
                                  struct session_answer *ret_answer)
{
    const unsigned i = place_of(s, seq);

    if (i < s->n && s->answers[i].seq == seq) {
        *ret_answer = s->answers[i];
        return SESSION_REPEATED;
    }
    return seq < floor_of(s) ? SESSION_EXPIRED : SESSION_NEW;
}

static void drop_lowest(struct session *s, unsigned n)
{
    s->n -= n;
    memmove(s->answers, s->answers + n, s->n * sizeof(s->answers[0]));
}

void session_answered(struct session *s, uint64_t seq, const struct command_result *result)
{
    unsigned i;

    rid_assert(is_answer(result->status));
    rid_assert(seq >= floor_of(s));
    if (s->n == SESSION_ANSWERS_MAX) {
        /* New, and so above the lowest: what goes is never the one that comes. */
        rid_assert(seq > s->answers[0].seq);
        drop_lowest(s, 1);
    }
    i = place_of(s, seq);
    rid_assert(i == s->n || s->answers[i].seq != seq);
    memmove(&s->answers[i + 1], &s->answers[i], (s->n - i) * sizeof(s->answers[0]));
    s->answers[i] = (struct session_answer){
        .seq = seq, .index = result->index, .status = result->status, .existed = result->existed};
    if (result->status == COMMAND_NO_SPACE) {
        s->answers[i].used_bytes = result->used_bytes;
        s->answers[i].limit_bytes = result->limit_bytes;
    }
    s->n++;
}

void session_forget(struct session *s, uint64_t first)
{
    if (first <= s->first)
        return;
    s->first = first;
    drop_lowest(s, place_of(s, first));
}
