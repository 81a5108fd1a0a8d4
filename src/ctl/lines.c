/* A file of keys: JSON lines between a header and a trailer.
 *
 * {"ridd_export":1,"cluster":"main","cluster_hash":"...","via":"read_index","index":1477}
 * {"key":"leader","value":"n2"} {"key":7,"value":{"cpu":2}}
 * {"ridd_export_end":2,"crc32c":2915104262,"index_from":1477,"index_to":1477,"linearizable":true}
 *
 * The trailer counts the keys, and its CRC32C is of all bytes in front of it: a file that ends
 * early, or lacks a line, is no file (CLIENT-32). Of a header only "ridd_export" must be there, of
 * a trailer only "ridd_export_end": the rest may be left out by whoever makes one by hand. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "ctl/keys_int.h"

#include "base/banned.h"

#define LINES_FORMAT 1

/* ---- writing ---- */

static int add_string(struct buf *buf, const char *name, const char *text)
{
    cleanup_free char *json = NULL;

    if (ridd_json_string(text, strlen(text), &json) == RIDD_NO_MEMORY)
        return -ENOMEM;
    return buf_add_format(buf, ",\"%s\":%s", name, json != NULL ? json : "\"?\"");
}

int lines_add_header(struct buf *buf, const struct header *h)
{
    int rc = buf_add_format(buf, "{\"ridd_export\":%d", LINES_FORMAT);

    if (rc == 0)
        rc = add_string(buf, "cluster", h->cluster);
    if (rc == 0)
        rc = add_string(buf, "cluster_hash", h->cluster_hash);
    if (rc == 0 && h->prefix != NULL)
        rc = add_string(buf, "prefix", h->prefix);
    if (rc == 0)
        rc = add_string(buf, "via", h->via);
    return rc == 0 ? buf_add_format(buf, ",\"index\":%llu}", (unsigned long long)h->index) : rc;
}

/* As the server sent them: printing them again would turn 0.1 into 0.10000000000000001. */
int lines_add_key(struct buf *buf, const struct ridd_item *item)
{
    int rc = buf_add_format(buf, "{\"key\":%s,\"value\":", item->key);

    if (rc == 0)
        rc = buf_add(buf, item->value, item->value_len);
    return rc == 0 ? buf_add_str(buf, "}") : rc;
}

int lines_add_trailer(struct buf *buf, uint64_t n_keys, uint32_t crc, const struct pages *p)
{
    return buf_add_format(buf,
                          "{\"ridd_export_end\":%llu,\"crc32c\":%lu,\"index_from\":%llu,"
                          "\"index_to\":%llu,\"linearizable\":%s}",
                          (unsigned long long)n_keys, (unsigned long)crc,
                          (unsigned long long)p->first_index, (unsigned long long)p->last_index,
                          p->linearizable ? "true" : "false");
}

static bool has_text(const json_t *o, const char *name, const char *text)
{
    const char *s = json_string_value(json_object_get(o, name));

    return (s == NULL && text == NULL) || (s != NULL && text != NULL && strcmp(s, text) == 0);
}

bool lines_header_is(const json_t *header, const struct header *h)
{
    return has_text(header, "cluster_hash", h->cluster_hash) &&
           has_text(header, "prefix", h->prefix) && has_text(header, "via", h->via);
}

/* ---- reading ---- */

void line_done(struct line *line)
{
    json_decref(line->json);
    line->json = NULL;
}

void lines_begin(struct lines *l, int fd, const char *name)
{
    memset(l, 0, sizeof(*l));
    l->fd = fd;
    l->name = name;
}

void lines_done(struct lines *l)
{
    buf_done(&l->buf);
    json_decref(l->header);
    l->header = NULL;
}

int lines_fill(struct lines *l)
{
    void *room;
    ssize_t n;

    buf_consume(&l->buf, l->at);
    l->at = 0;
    room = buf_reserve(&l->buf, CTL_CHUNK_BYTES);
    if (room == NULL)
        return -ENOMEM;
    n = read(l->fd, room, CTL_CHUNK_BYTES);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    l->end = n == 0;
    l->buf.len += (size_t)n;
    return 0;
}

static enum lines_outcome wrong(struct lines *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum lines_outcome wrong(struct lines *l, const char *format, ...)
{
    const int len =
        snprintf(l->why, sizeof(l->why), "%.200s:%llu: ", l->name, (unsigned long long)l->number);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(l->why + len, sizeof(l->why) - (size_t)len, format, ap);
    va_end(ap);
    return LINES_WRONG;
}

static enum lines_outcome take_key(struct lines *l, struct line *line)
{
    const json_t *key = json_object_get(line->json, "key");
    const size_t len = json_string_length(key);

    line->kind = LINE_KEY;
    line->value = json_object_get(line->json, "value");
    if (key == NULL || line->value == NULL)
        return wrong(l, "no \"key\" and \"value\"");
    if (json_is_integer(key))
        line->key = ridd_key_int(json_integer_value(key));
    else if (json_is_string(key) && len > 0 && len <= KEY_STRING_BYTES_MAX)
        line->key = ridd_key(json_string_value(key));
    else
        return wrong(l, "the key is no integer and no string of 1 to %u bytes",
                     KEY_STRING_BYTES_MAX);
    l->n_keys++;
    return LINES_KEY;
}

static enum lines_outcome take_header(struct lines *l, struct line *line)
{
    const json_t *format = json_object_get(line->json, "ridd_export");

    line->kind = LINE_HEADER;
    if (!json_is_integer(format))
        return wrong(l, "no file of 'ridctl export': its first line has no \"ridd_export\"");
    if (json_integer_value(format) != LINES_FORMAT)
        return wrong(l, "of a format that this ridctl does not know (%lld): take a later one",
                     (long long)json_integer_value(format));
    l->header = json_incref(line->json);
    return LINES_NEED;
}

static enum lines_outcome take_trailer(struct lines *l, struct line *line)
{
    const json_t *n = json_object_get(line->json, "ridd_export_end");
    const json_t *crc = json_object_get(line->json, "crc32c");

    line->kind = LINE_TRAILER;
    if (!json_is_integer(n) || json_integer_value(n) < 0 ||
        (uint64_t)json_integer_value(n) != l->n_keys)
        return wrong(l,
                     "the last line counts %lld keys, and there are %llu: lines are missing or "
                     "were added",
                     (long long)json_integer_value(n), (unsigned long long)l->n_keys);
    if (crc != NULL && json_integer_value(crc) != (json_int_t)l->crc_before)
        return wrong(l, "the checksum is wrong: a line in front was changed (who changes a file "
                        "takes \"crc32c\" out of its last line)");
    l->has_trailer = true;
    return LINES_NEED;
}

/* What jansson finds wrong, without what it has printed of the line. */
static enum lines_outcome wrong_json(struct lines *l, const json_error_t *error, bool torn)
{
    if (json_error_code(error) == json_error_out_of_memory)
        return wrong(l, "out of memory");
    if (torn)
        return wrong(l, "cut off in the middle of this line");
    return wrong(l, "no JSON, at byte %d: %.100s", error->position, error->text);
}

static enum lines_outcome judge(struct lines *l, const char *text, size_t len, bool torn,
                                struct line *ret)
{
    json_error_t error;

    if (l->has_trailer)
        return wrong(l, "something stands behind the last line");
    ret->json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (ret->json == NULL)
        return wrong_json(l, &error, torn);
    if (l->header == NULL)
        return take_header(l, ret);
    if (json_object_get(ret->json, "ridd_export_end") != NULL)
        return take_trailer(l, ret);
    return take_key(l, ret);
}

/* The line that begins at l->at; NULL: it is not all there. */
static char *next_text(struct lines *l, size_t *ret_len, bool *ret_torn)
{
    char *text = (char *)l->buf.data + l->at;
    const size_t left = l->buf.len - l->at;
    const char *newline = left > 0 ? memchr(text, '\n', left) : NULL;
    size_t taken;

    if (newline == NULL && (!l->end || left == 0))
        return NULL;
    *ret_torn = newline == NULL;
    *ret_len = newline != NULL ? (size_t)(newline - text) : left;
    taken = *ret_len + (newline != NULL);
    l->crc_before = l->crc;
    l->crc = crc32c(l->crc, text, taken);
    l->at += taken;
    l->bytes += taken;
    l->number++;
    return text;
}

enum lines_outcome lines_next(struct lines *l, struct line *ret)
{
    enum lines_outcome outcome = LINES_NEED;

    while (outcome == LINES_NEED) {
        size_t len;
        bool torn;
        const char *text = next_text(l, &len, &torn);

        if (text == NULL && l->end)
            return l->has_trailer ? LINES_END
                                  : wrong(l, "it ends without its last line "
                                             "(\"ridd_export_end\"): it was cut short");
        if (text == NULL && l->buf.len - l->at > CTL_STDIN_BYTES_MAX) {
            l->number++;
            return wrong(l, "a line of more than %zu bytes", CTL_STDIN_BYTES_MAX);
        }
        if (text == NULL)
            return LINES_NEED;
        memset(ret, 0, sizeof(*ret));
        outcome = judge(l, text, len, torn, ret);
        if (outcome != LINES_KEY)
            line_done(ret);
    }
    return outcome;
}

enum lines_outcome lines_read(struct lines *l, struct line *ret)
{
    for (;;) {
        const enum lines_outcome outcome = lines_next(l, ret);
        int rc;

        if (outcome != LINES_NEED)
            return outcome;
        rc = lines_fill(l);
        if (rc != 0)
            return wrong(l, "cannot read on: %s", strerror(-rc));
    }
}
