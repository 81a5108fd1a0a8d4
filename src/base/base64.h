/* Base64 with padding.
 *
 * For: bytes inside JSON: entries between nodes of ridd-maelstrom, parts of snapshots. Decoding is
 * strict: one payload has one spelling (no white space, no missing padding, no stray bits).
 * Not for: text from people, who may wrap lines.
 * Thread: any; pure.
 * Source: RFC 4648 section 4.
 * Obvious: units, ownership, errors. */
#ifndef RIDD_BASE_BASE64_H
#define RIDD_BASE_BASE64_H

#include <stdbool.h>

#include "base/buf.h"

/* 0 or -ENOMEM, then buf is unchanged. */
int base64_encode(const void *data, size_t len, struct buf *buf);
/* Bytes that a text of this length gives at most. */
static inline size_t base64_bytes_max(size_t text_len)
{
    return text_len / 4 * 3;
}
/* ret has room for base64_bytes_max(len); false: no Base64, what was written is meaningless. */
bool base64_decode(const char *text, size_t len, unsigned char *ret, size_t *ret_len);

#endif
