/* From JSON text to compact text without a tree, for values so long that a tree of them would cost
 * a turn (TIME-4): what json_loadb() and wire_value_encode() give together, in some nanoseconds per
 * byte, and in as many pieces as its caller has time for. Pure, any thread. */
#ifndef RIDD_WIRE_JSON_COMPACT_INT_H
#define RIDD_WIRE_JSON_COMPACT_INT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/outcome.h"
#include "base/slice.h"
#include "wire/json_names_int.h"

#define JSON_COMPACT_ERRORS(X)                                                                     \
    X(JSON_COMPACT_E_SYNTAX, 1, "not JSON")                                                        \
    X(JSON_COMPACT_E_UTF8, 2, "not UTF-8")                                                         \
    X(JSON_COMPACT_E_NUL, 3, "\\u0000 is not allowed")                                             \
    X(JSON_COMPACT_E_RANGE, 4, "a number is out of range")                                         \
    X(JSON_COMPACT_E_TWICE, 5, "a key stands twice in an object")                                  \
    X(JSON_COMPACT_E_KEYS, 6, "more than JSON_VALUE_KEYS_MAX keys in all its objects together")    \
    X(JSON_COMPACT_E_SURROGATE, 7, "a \\u escape is one half of a pair")                           \
    X(JSON_COMPACT_MORE, 8, "not at the end yet")
enum json_compact_error { JSON_COMPACT_ERRORS(OUTCOME_NUMBER) };
const char *json_compact_error_text(int error);

/* What comes next. */
enum json_place {
    JSON_AT_VALUE,  /* a value, behind white space */
    JSON_AT_STRING, /* the rest of a string that is a value */
    JSON_AT_NAME,   /* the rest of a string that is a name */
    JSON_AT_NEXT,   /* a comma, or the end of what is open */
    JSON_AT_END,
};

/* A walk that can stop. Everything is the walk's, but for p, which its caller may read: how far it
 * came. The text and out stay what they are until it has ended; no memory of its own. */
struct json_compact {
    const char *p;
    const char *end;
    const char *look;  /* from here on the clock is looked at before the next step */
    size_t look_bytes; /* DECODE_LOOK_BYTES; less in tests, which stop anywhere */
    struct buf *out;
    bool keep;
    bool keeping; /* names are kept in any case */
    enum json_place place;
    unsigned depth;
    struct json_level {
        char close;
        unsigned names_before;
        size_t name_at; /* of the name that is being read, in out */
    } levels[JSON_DEPTH_MAX];
    unsigned n_keys;  /* of all objects so far */
    unsigned n_names; /* of those objects that are open */
    /* places in out, which takes the text of one line: far from 4 GiB */
    struct json_name names[JSON_VALUE_KEYS_MAX];
};

/* For the value at p, which may have white space in it and is nested no deeper than JSON_DEPTH_MAX.
 * Its compact text is appended to out; without `keep` only what is needed to compare names is, and
 * the rest is checked. */
void json_compact_begin(struct json_compact *c, const char *p, const char *end, bool keep,
                        struct buf *out);
/* Goes on until the share is spent, and by one step at least; NULL: to the end. 0,
 * JSON_COMPACT_MORE, JSON_COMPACT_E_* or -ENOMEM, whatever the pieces were. c->p is then behind the
 * value, after E_KEYS too; where it is wrong after another error. out is garbage behind its former
 * length on error. */
int json_compact_step(struct json_compact *c, struct slice *share);
/* Both at once. *ret_end: c->p. */
int json_compact(const char *p, const char *end, bool keep, struct buf *out, const char **ret_end);

#endif
