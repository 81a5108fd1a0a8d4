/* Text is appended field by field; the only state is whether a comma is due. Numbers are printed by
 * hand: this is the hot path of reads. */
#include "wire/reply.h"

#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "wire/value.h"

#include "base/banned.h"

#define DIGITS_MAX 20u

static void add(struct wire_reply *w, const void *data, size_t len)
{
    if (!w->failed && buf_add(w->buf, data, len) != 0)
        w->failed = true;
}

static void add_text(struct wire_reply *w, const char *text)
{
    add(w, text, strlen(text));
}

/* Where the value of a member goes, behind its name, with room for so many bytes; to be closed by
 * end_member(). NULL: no memory. Names are ours: they need no escapes. */
static char *begin_member(struct wire_reply *w, const char *name, size_t room)
{
    size_t len = name != NULL ? strlen(name) : 0;
    char *p;

    if (w->failed)
        return NULL;
    p = buf_reserve(w->buf, len + 6 + room);
    if (p == NULL) {
        w->failed = true;
        return NULL;
    }
    if (w->comma) {
        *p++ = ',';
        if (w->spaced)
            *p++ = ' ';
    }
    w->comma = true;
    if (name != NULL) {
        *p++ = '"';
        memcpy(p, name, len);
        p += len;
        *p++ = '"';
        *p++ = ':';
        if (w->spaced)
            *p++ = ' ';
    }
    return p;
}

/* end: behind the value. */
static void end_member(struct wire_reply *w, const char *end)
{
    w->buf->len = (size_t)(end - (const char *)w->buf->data);
}

static void add_name(struct wire_reply *w, const char *name)
{
    const char *p = begin_member(w, name, 0);

    if (p != NULL)
        end_member(w, p);
}

/* Writes v in front of end and returns where it begins. Two digits at a time: to divide takes
 * longer than all the rest. */
static char *format_u64(uint64_t v, char *end)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";

    while (v >= 100) {
        end -= 2;
        memcpy(end, pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10) {
        end -= 2;
        memcpy(end, pairs + v * 2, 2);
    } else {
        *--end = (char)('0' + v);
    }
    return end;
}

/* At p, which has room for 20; returns what is behind it. */
static char *put_u64(char *p, uint64_t v)
{
    char text[DIGITS_MAX];
    const char *from = format_u64(v, text + sizeof(text));
    const size_t len = (size_t)(text + sizeof(text) - from);

    memcpy(p, from, len);
    return p + len;
}

static void add_string(struct wire_reply *w, const char *s, size_t len)
{
    if (!w->failed && wire_string_encode(s, len, w->buf) != 0)
        w->failed = true;
}

void wire_reply_u64(struct wire_reply *w, const char *name, uint64_t v)
{
    char *p = begin_member(w, name, DIGITS_MAX);

    if (p != NULL)
        end_member(w, put_u64(p, v));
}

void wire_reply_i64(struct wire_reply *w, const char *name, int64_t v)
{
    char text[DIGITS_MAX + 1];
    char *end = text + sizeof(text);
    char *p = format_u64(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, end);

    if (v < 0)
        *--p = '-';
    add_name(w, name);
    add(w, p, (size_t)(end - p));
}

void wire_reply_bool(struct wire_reply *w, const char *name, bool v)
{
    char *p = begin_member(w, name, 5);

    if (p == NULL)
        return;
    memcpy(p, v ? "true" : "false", 5); /* of the first one its end, too: it is written over */
    end_member(w, p + (v ? 4 : 5));
}

void wire_reply_null(struct wire_reply *w, const char *name)
{
    add_name(w, name);
    add_text(w, "null");
}

void wire_reply_string(struct wire_reply *w, const char *name, const char *s, size_t len)
{
    add_name(w, name);
    add_string(w, s, len);
}

void wire_reply_str(struct wire_reply *w, const char *name, const char *s)
{
    if (s != NULL)
        wire_reply_string(w, name, s, strlen(s));
    else
        wire_reply_null(w, name);
}

/* Compact text with a space behind each ':' and ',' that stands outside strings. */
static void add_spaced(struct wire_reply *w, struct wire_slice text)
{
    bool in_string = false;
    size_t from = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == ':' || c == ',')) {
            add(w, text.data + from, i + 1 - from);
            add(w, " ", 1);
            from = i + 1;
        }
    }
    add(w, text.data + from, text.len - from);
}

void wire_reply_value(struct wire_reply *w, const char *name, struct wire_slice text)
{
    add_name(w, name);
    if (text.data == NULL)
        add_text(w, "null");
    else if (w->spaced)
        add_spaced(w, text);
    else
        add(w, text.data, text.len);
}

void wire_reply_key(struct wire_reply *w, const char *name, const struct wire_key *key)
{
    switch (key->bytes[0]) {
    case KEY_TYPE_STRING:
        wire_reply_string(w, name, (const char *)key->bytes + 1, key->len - 1u);
        break;
    case KEY_TYPE_INT:
        wire_reply_i64(w, name, wire_key_get_int(key));
        break;
    default: /* internal: it has no name outside */
        wire_reply_null(w, name);
        break;
    }
}

void wire_reply_ms(struct wire_reply *w, const char *name, uint64_t us)
{
    char text[DIGITS_MAX + 4];
    char *end = text + sizeof(text);
    uint64_t fraction = us % 1000;
    char *p = end;

    if (fraction > 0) {
        p -= 3;
        p[0] = (char)('0' + fraction / 100);
        p[1] = (char)('0' + fraction / 10 % 10);
        p[2] = (char)('0' + fraction % 10);
        while (end - 1 > p && end[-1] == '0')
            end--;
        *--p = '.';
    }
    p = format_u64(us / 1000, p);
    add_name(w, name);
    add(w, p, (size_t)(end - p));
}

static void open_bracket(struct wire_reply *w, const char *name, const char *bracket)
{
    add_name(w, name);
    add(w, bracket, 1);
    w->comma = false;
}

static void close_bracket(struct wire_reply *w, const char *bracket)
{
    add(w, bracket, 1);
    w->comma = true;
}

void wire_reply_again(struct wire_reply *w, struct wire_slice members)
{
    rid_assert(w->comma);
    add(w, members.data, members.len);
}

void wire_reply_open_object(struct wire_reply *w, const char *name)
{
    open_bracket(w, name, "{");
}

void wire_reply_close_object(struct wire_reply *w)
{
    close_bracket(w, "}");
}

void wire_reply_open_array(struct wire_reply *w, const char *name)
{
    open_bracket(w, name, "[");
}

void wire_reply_close_array(struct wire_reply *w)
{
    close_bracket(w, "]");
}

/* Our own words need no escapes either. */
static void add_own_word(struct wire_reply *w, const char *name, const char *word)
{
    const size_t len = strlen(word);
    char *p = begin_member(w, name, len + 2);

    if (p == NULL)
        return;
    *p++ = '"';
    memcpy(p, word, len);
    p += len;
    *p++ = '"';
    end_member(w, p);
}

/* What every reply begins with, in the order of the protocol (WIRE-5). */
void wire_reply_begin(struct wire_reply *w, struct buf *buf, const struct wire_origin *origin,
                      bool spaced, uint64_t own_msg_id, const char *type)
{
    *w = (struct wire_reply){.buf = buf,
                             .origin = origin,
                             .own_msg_id = own_msg_id,
                             .start = buf->len,
                             .spaced = spaced};
    wire_reply_open_object(w, NULL);
    if (origin != NULL && origin->envelope) {
        wire_reply_string(w, "src", origin->dest.data, origin->dest.len);
        wire_reply_string(w, "dest", origin->src.data, origin->src.len);
        wire_reply_open_object(w, "body");
    }
    add_own_word(w, "type", type);
    if (origin != NULL && origin->has_msg_id)
        wire_reply_u64(w, "in_reply_to", origin->msg_id);
}

int wire_reply_end(struct wire_reply *w)
{
    if (w->origin != NULL && w->origin->envelope) {
        wire_reply_u64(w, "msg_id", w->own_msg_id);
        wire_reply_close_object(w);
    }
    add(w, "}\n", 2);
    if (w->failed) {
        wire_reply_undo(w);
        return err_origin(-ENOMEM);
    }
    return 0;
}

size_t wire_reply_len(const struct wire_reply *w)
{
    return w->buf->len - w->start;
}

struct wire_reply_mark wire_reply_mark(const struct wire_reply *w)
{
    return (struct wire_reply_mark){w->buf->len, w->comma};
}

void wire_reply_back(struct wire_reply *w, struct wire_reply_mark mark)
{
    rid_assert(mark.len >= w->start);
    rid_assert(mark.len <= w->buf->len);
    w->buf->len = mark.len;
    w->comma = mark.comma;
}

void wire_reply_undo(struct wire_reply *w)
{
    rid_assert(w->buf->len >= w->start);
    w->buf->len = w->start;
}

static char *put(char *p, struct wire_slice text)
{
    memcpy(p, text.data, text.len);
    return p + text.len;
}

bool wire_reply_in_one(struct buf *buf, const struct wire_reply_frame *f, uint64_t in_reply_to,
                       struct wire_slice value, uint64_t index)
{
    static const struct wire_slice null = {"null", 4};
    const struct wire_slice text = value.data != NULL ? value : null;
    const size_t room = f->head.len + f->before_value.len + text.len + f->before_index.len +
                        f->tail.len + (size_t)2 * DIGITS_MAX;
    char *p = buf_reserve(buf, room);

    if (p == NULL)
        return false;
    p = put_u64(put(p, f->head), in_reply_to);
    p = put(put(p, f->before_value), text);
    if (f->before_index.len > 0)
        p = put_u64(put(p, f->before_index), index);
    p = put(p, f->tail);
    buf->len = (size_t)(p - (char *)buf->data);
    return true;
}

void wire_reply_begin_error(struct wire_reply *w, struct buf *buf, const struct wire_origin *origin,
                            bool spaced, uint64_t own_msg_id, enum wire_error error,
                            bool after_append, const char *text)
{
    int code = wire_error_code(error, after_append);

    wire_reply_begin(w, buf, origin, spaced, own_msg_id, "error");
    /* An error that the table does not know after append: 13, not definite, is never a lie. */
    wire_reply_u64(w, "code", code >= 0 ? (uint64_t)code : 13u);
    wire_reply_str(w, "text", text);
    wire_reply_str(w, "error", wire_error_name(error));
    wire_reply_bool(w, "definite", wire_error_definite(error, after_append));
}

int wire_reply_refused(struct buf *buf, const struct wire_refused *refused, bool spaced,
                       uint64_t own_msg_id, uint64_t line_no)
{
    struct wire_reply w;

    wire_reply_begin_error(&w, buf, &refused->origin, spaced, own_msg_id, refused->error, false,
                           refused->text);
    if (refused->field[0] != '\0')
        wire_reply_str(&w, refused->error == WIRE_ERROR_NOT_SUPPORTED ? "request_type" : "field",
                       refused->field);
    if (refused->limit > 0)
        wire_reply_u64(&w, "limit", refused->limit);
    if (!refused->origin.has_msg_id)
        wire_reply_u64(&w, "line", line_no);
    return wire_reply_end(&w);
}
