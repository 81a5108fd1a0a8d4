/* Values: any JSON, kept as compact text that reads back equal (WIRE-4).
 *
 * For: what a client stores. Compact text has no white space, members in the order sent, integers
 * exact, reals in the shortest form that reads back to the same double and still reads as a real
 * ("1.0", "1e100"), strings with the shortest escapes, UTF-8 as it is.
 *
 * Not for: whole requests (request.h) and replies (reply.h).
 *
 * Units: bytes, and keys of all objects of a value together.
 *
 * Errors: WIRE_VALUE_E_* or -ENOMEM; the buffer is unchanged then.
 *
 * Thread: pure, any thread.
 *
 * Source: RFC 8259; ridd-protocol(7).
 *
 * Obvious: ownership. */
#ifndef RIDD_WIRE_VALUE_H
#define RIDD_WIRE_VALUE_H

#include <jansson.h>

#include "base/buf.h"
#include "base/outcome.h"
#include "wire/command.h"

#define WIRE_VALUE_ERRORS(X)                                                                       \
    X(WIRE_VALUE_E_TOO_LARGE, 1, "more than VALUE_BYTES_MAX bytes as compact text")                \
    X(WIRE_VALUE_E_KEYS, 2, "more than JSON_VALUE_KEYS_MAX keys in all its objects together")      \
    X(WIRE_VALUE_E_DEPTH, 3, "nested deeper than JSON_DEPTH_MAX")
enum wire_value_error { WIRE_VALUE_ERRORS(OUTCOME_NUMBER) };
const char *wire_value_error_text(int error);
/* Appends the compact text of v. 0, -ENOMEM or WIRE_VALUE_E_*; buf is unchanged on error. */
int wire_value_encode(const json_t *v, struct buf *buf);
/* JSON equality of two compact texts: member order does not matter, 1 and 1.0 differ, 0.0 and -0.0
 * do not. Texts that do not parse (also: deeper or with more keys than a value may have) are equal
 * only byte for byte. Asks for no memory, so that it decides the same on every node, and looks at
 * each byte a few times, however deep it is nested; uses 56 KiB of stack. */
bool wire_value_equal(struct wire_slice a, struct wire_slice b);
/* Appends a quoted, escaped JSON string. Bytes that are not UTF-8 become U+FFFD: the result is
 * always JSON. 0 or -ENOMEM, then buf is unchanged. */
int wire_string_encode(const char *s, size_t len, struct buf *buf);

#endif
