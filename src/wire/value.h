/* Values: any JSON, kept as compact text that reads back equal (PROTOCOL.md 1). Pure but for jansson's memory.
 *
 * Compact text: no white space, members in the order sent, integers exact, reals in the shortest form that reads back
 * to the same double and still reads as a real ("1.0", "1e100"), strings with the shortest escapes, UTF-8 as it is. */
#ifndef RIDD_WIRE_VALUE_H
#define RIDD_WIRE_VALUE_H

#include <jansson.h>

#include "base/buf.h"
#include "wire/command.h"

/* Appends the compact text of v. 0, -ENOMEM, or WIRE_VALUE_E_* from request.h's decoder for bounds. */
int wire_value_encode(const json_t *v, struct buf *buf);
/* JSON equality of two compact texts: member order does not matter, 1 and 1.0 differ. Texts that do not parse are
 * equal only byte for byte. */
bool wire_value_equal(struct wire_slice a, struct wire_slice b);
/* Appends a quoted, escaped JSON string. */
int wire_string_encode(const char *s, size_t len, struct buf *buf);

#endif
