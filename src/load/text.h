/* What keys and values of a load look like: a key is the prefix of the run and eight digits, a
 * value "KEY/NUMBER/" and as many 'x' as fill it up.
 *
 * For: protocols, which put them into requests, and the loop, which looks at what comes back.
 * Units: bytes.
 * Ownership: nothing is kept.
 * Thread: any; pure.
 * Source: DOCTOR-4: a value says whose it is, and which one.
 * Obvious: errors. */
#ifndef RIDD_LOAD_TEXT_H
#define RIDD_LOAD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "load/load.h"

#define LOAD_KEY_DIGITS 8u

/* The digits of a key, into room for LOAD_KEY_DIGITS. */
void load_key_digits(uint64_t key, char *ret);
/* "00000017" behind it, a key; -ENOMEM. */
int load_add_key(struct buf *out, const char *prefix, size_t prefix_len, uint64_t key);
/* The value of a write, without quotes: nothing of it has to be escaped in JSON. -ENOMEM. */
int load_add_value(struct buf *out, const char *prefix, size_t prefix_len,
                   const struct load_op *op);
/* Its length, which is more than was asked for where its key alone is. */
size_t load_value_len(size_t prefix_len, uint32_t number, unsigned value_bytes);
/* False: it is not a value of that key, whole and of that length. */
bool load_value_number(const char *value, size_t len, const char *prefix, size_t prefix_len,
                       uint64_t key, unsigned value_bytes, uint32_t *ret_number);

#endif
