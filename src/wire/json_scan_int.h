/* Looking at JSON text without parsing it into a tree. No allocation, bounded recursion. Pure, any
 * thread. */
#ifndef RIDD_WIRE_JSON_SCAN_INT_H
#define RIDD_WIRE_JSON_SCAN_INT_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the valid UTF-8 sequence at p (1 to 4), 0 when there is none. p < end. */
size_t json_utf8_len(const char *p, const char *end);
/* Where a look at the depth of nesting has come to; begins as zero. */
struct json_depth {
    size_t at; /* all before it was looked at; of brackets nested too deep, the first */
    unsigned depth;
    bool in_string;
};
/* Looks at s from d->at to len, or a byte further; the line may have more bytes behind. False when
 * brackets outside strings nest deeper than depth_max. Any bytes are accepted: as far as a parser
 * gets before it refuses them, it sees the same brackets. */
bool json_scan_depth(struct json_depth *d, const char *s, size_t len, unsigned depth_max);
/* Skips the compact JSON value (no white space) at p, checking its syntax. NULL: there is none, or
 * it is deeper than depth_max. */
const char *json_scan_value(const char *p, const char *end, unsigned depth_max);
/* Skips a quoted string, the same way. */
const char *json_scan_string(const char *p, const char *end);

#endif
