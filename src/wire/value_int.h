/* How compact text is written, for its two writers: the walk over jansson's tree (value.c) and the
 * walk over text (json_compact.c). Both write the same, to the byte. */
#ifndef RIDD_WIRE_VALUE_INT_H
#define RIDD_WIRE_VALUE_INT_H

#include "base/buf.h"

#define REAL_DIGITS_MAX 17

/* v = 0.digits[0] digits[1].. * 10^point; zero is "0" with point 1. */
struct decimal {
    char digits[REAL_DIGITS_MAX + 1];
    int n;
    int point;
};

/* The text of a byte that cannot stand in a string as it is; returns its length. */
size_t value_escape(unsigned char c, char ret[8]);
/* d has no zero at its end, unless it is zero. 0 or -ENOMEM. */
int value_decimal_encode(bool negative, const struct decimal *d, struct buf *buf);
/* In the fewest digits. 0, -ENOMEM, -EINVAL for what is not finite. */
int value_real_encode(double v, struct buf *buf);

#endif
