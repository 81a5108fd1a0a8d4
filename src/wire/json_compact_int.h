/* From JSON text to compact text without a tree, for values so long that a tree of them would cost
 * a turn (TIME-4): what json_loadb() and wire_value_encode() give together, in some nanoseconds per
 * byte. Pure, any thread. */
#ifndef RIDD_WIRE_JSON_COMPACT_INT_H
#define RIDD_WIRE_JSON_COMPACT_INT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/outcome.h"

#define JSON_COMPACT_ERRORS(X)                                                                     \
    X(JSON_COMPACT_E_SYNTAX, 1, "not JSON")                                                        \
    X(JSON_COMPACT_E_UTF8, 2, "not UTF-8")                                                         \
    X(JSON_COMPACT_E_NUL, 3, "\\u0000 is not allowed")                                             \
    X(JSON_COMPACT_E_RANGE, 4, "a number is out of range")                                         \
    X(JSON_COMPACT_E_TWICE, 5, "a key stands twice in an object")                                  \
    X(JSON_COMPACT_E_KEYS, 6, "more than JSON_VALUE_KEYS_MAX keys in all its objects together")    \
    X(JSON_COMPACT_E_SURROGATE, 7, "a \\u escape is one half of a pair")
enum json_compact_error { JSON_COMPACT_ERRORS(OUTCOME_NUMBER) };
const char *json_compact_error_text(int error);
/* Takes the value at p, which may have white space in it and is nested no deeper than
 * JSON_DEPTH_MAX. Its compact text is appended to out; without `keep` only what is needed to
 * compare names is, and the rest is checked. *ret_end: behind the value, after E_KEYS too; where it
 * is wrong after another error. 0, JSON_COMPACT_E_* or -ENOMEM; out is garbage behind its former
 * length on error. A double of more than fifteen digits is jansson's, which does not say when
 * memory was out: whoever stores what this makes asks jansson's allocator afterwards, as request.c
 * does. */
int json_compact(const char *p, const char *end, bool keep, struct buf *out, const char **ret_end);

#endif
