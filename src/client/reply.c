/* The object that a caller gets: made, freed, and filled with failures that were found out here. */
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/client_int.h"
#include "wire/errors.h"

#include "base/banned.h"

/* Those of before OTHER_ERROR have the server's numbers; a later one comes behind it, so that no
 * number that programs were built with changes. */
#define NUMBER_OF(error) ((int)(error) < (int)RIDD_OTHER_ERROR ? (int)(error) : (int)(error) + 1)
#define X(symbol, name, code, definite, code_after)                                                \
    static_assert((int)RIDD_##symbol == NUMBER_OF(WIRE_ERROR_##symbol), "ridd.h spells them out");
WIRE_ERRORS(X)
#undef X

/* Never written: reply_is_const() is asked before. */
static struct ridd_reply const_no_memory = {
    .status = RIDD_NO_MEMORY,
    .cause = RIDD_NO_MEMORY,
    .code = -1,
    .definite = 0,
    .text = "out of memory",
    .lease_valid = -1,
    .staleness_us = -1,
    .stages = {0, 0, 0, -1, -1, -1, -1, -1},
};

const char *ridd_status_name(enum ridd_status status)
{
    switch ((int)status) {
    case RIDD_OK:
        return "ok";
#define X(symbol, name, code, definite, code_after)                                                \
    case RIDD_##symbol:                                                                            \
        return name;
        WIRE_ERRORS(X)
#undef X
    case RIDD_OTHER_ERROR:
        return "other_error";
    case RIDD_UNREACHABLE:
        return "unreachable";
    case RIDD_NO_ANSWER:
        return "no_answer";
    case RIDD_DISCONNECTED:
        return "disconnected";
    case RIDD_BAD_REPLY:
        return "bad_reply";
    case RIDD_OUTCOME_UNKNOWN:
        return "outcome_unknown";
    case RIDD_INVALID:
        return "invalid";
    case RIDD_NO_MEMORY:
        return "no_memory";
    default:
        return "unknown";
    }
}

const char *ridd_guarantee_name(enum ridd_guarantee guarantee)
{
    static const char *const names[] = {"unsaid", "none", "session", "bounded", "linearizable"};

    return (unsigned)guarantee < sizeof(names) / sizeof(names[0]) ? names[guarantee] : "unknown";
}

enum ridd_status reply_status_from_name(const char *name)
{
    static const struct {
        const char *name;
        enum ridd_status status;
    } table[] = {
#define X(symbol, name, code, definite, code_after) {name, RIDD_##symbol},
        WIRE_ERRORS(X)
#undef X
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].status;
    return RIDD_OTHER_ERROR;
}

struct ridd_reply *reply_no_memory(void)
{
    return &const_no_memory;
}

bool reply_is_const(const struct ridd_reply *r)
{
    return r == &const_no_memory;
}

struct ridd_reply *reply_new(void)
{
    struct reply_box *box = calloc(1, sizeof(*box));

    if (box == NULL)
        return &const_no_memory;
    box->fd = -1;
    box->pub.code = -1;
    box->pub.definite = 1;
    box->pub.lease_valid = -1;
    box->pub.staleness_us = -1;
    box->pub.stages = (struct ridd_stages){0, 0, 0, -1, -1, -1, -1, -1};
    return &box->pub;
}

struct reply_box *reply_box(struct ridd_reply *r)
{
    return (struct reply_box *)(void *)r; /* pub is its first member */
}

void ridd_reply_free(struct ridd_reply *reply)
{
    struct reply_box *box = reply_box(reply);

    if (reply == NULL || reply_is_const(reply))
        return;
    if (box->fd >= 0)
        (void)close(box->fd);
    free(box->line);
    free(box->value);
    free(box->string);
    free(box->texts);
    free(box->items);
    free(box);
}

/* Cuts what does not fit at the border of a UTF-8 character. Control characters (C0, DEL, C1)
 * become '?': these texts end on terminals and in logs, and may come from a server that is not one
 * of ours. */
void reply_set_text(char *ret, size_t size, const char *s)
{
    size_t len = strlen(s);

    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)s[len] & 0xc0u) == 0x80u)
            len--;
    }
    memmove(ret, s, len);
    ret[len] = '\0';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)ret[i];

        if (c < 0x20 || c == 0x7f) {
            ret[i] = '?';
        } else if (c == 0xc2 && ((unsigned char)ret[i + 1] & 0xe0u) == 0x80u) {
            ret[i] = '?';
            ret[i + 1] = '?';
        }
    }
}

static void fail(struct ridd_reply *r, enum ridd_status status, bool definite, const char *format,
                 va_list ap)
{
    char text[2 * RIDD_TEXT_SIZE];

    if (r == NULL || reply_is_const(r))
        return;
    (void)vsnprintf(text, sizeof(text), format, ap);
    r->status = status;
    r->cause = status;
    r->code = -1;
    r->definite = definite;
    reply_set_text(r->text, sizeof(r->text), text);
}

void reply_fail(struct ridd_reply *r, enum ridd_status status, bool definite, const char *format,
                ...)
{
    va_list ap;

    va_start(ap, format);
    fail(r, status, definite, format, ap);
    va_end(ap);
}

struct ridd_reply *reply_failed(enum ridd_status status, bool definite, const char *format, ...)
{
    struct ridd_reply *r = reply_new();
    va_list ap;

    va_start(ap, format);
    fail(r, status, definite, format, ap);
    va_end(ap);
    return r;
}

void reply_make_unknown(struct ridd_reply *r)
{
    char text[2 * RIDD_TEXT_SIZE];

    if (reply_is_const(r))
        return;
    /* A server says so itself where it knows that it is not known. */
    if (strstr(r->text, "whether the write happened") != NULL)
        reply_set_text(text, sizeof(text), r->text);
    else
        (void)snprintf(text, sizeof(text), "it is not known whether the write happened: %s",
                       r->text);
    reply_set_text(r->text, sizeof(r->text), text);
    r->status = RIDD_OUTCOME_UNKNOWN;
    r->definite = 0;
}
