/* Digits by hand: a key is made for each request. */
#include <string.h>

#include "load/text.h"

#include "base/banned.h"

void load_key_digits(uint64_t key, char *ret)
{
    for (unsigned i = LOAD_KEY_DIGITS; i-- > 0; key /= 10)
        ret[i] = (char)('0' + key % 10);
}

static unsigned put_number(uint32_t number, char ret[10])
{
    char digits[10];
    unsigned n = 0;

    do
        digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    for (unsigned i = 0; i < n; i++)
        ret[i] = digits[n - 1 - i];
    return n;
}

int load_add_key(struct buf *out, const char *prefix, size_t prefix_len, uint64_t key)
{
    char *p = buf_reserve(out, prefix_len + LOAD_KEY_DIGITS);

    if (p == NULL)
        return -ENOMEM;
    memcpy(p, prefix, prefix_len);
    load_key_digits(key, p + prefix_len);
    out->len += prefix_len + LOAD_KEY_DIGITS;
    return 0;
}

size_t load_value_len(size_t prefix_len, uint32_t number, unsigned value_bytes)
{
    char digits[10];
    const size_t least = prefix_len + LOAD_KEY_DIGITS + 2 + put_number(number, digits);

    return least > value_bytes ? least : value_bytes;
}

int load_add_value(struct buf *out, const char *prefix, size_t prefix_len, const struct load_op *op)
{
    const size_t len = load_value_len(prefix_len, op->number, op->value_bytes);
    char *p = buf_reserve(out, len);
    char *q = p;

    if (p == NULL)
        return -ENOMEM;
    memcpy(q, prefix, prefix_len);
    q += prefix_len;
    load_key_digits(op->key, q);
    q += LOAD_KEY_DIGITS;
    *q++ = '/';
    q += put_number(op->number, q);
    *q++ = '/';
    memset(q, 'x', len - (size_t)(q - p));
    out->len += len;
    return 0;
}

bool load_value_number(const char *value, size_t len, const char *prefix, size_t prefix_len,
                       uint64_t key, unsigned value_bytes, uint32_t *ret_number)
{
    char digits[LOAD_KEY_DIGITS];
    const char *p = value + prefix_len;
    const char *const end = value + len;
    const char *first;
    uint64_t number = 0;

    load_key_digits(key, digits);
    if (value == NULL || len < prefix_len + LOAD_KEY_DIGITS + 3 ||
        memcmp(value, prefix, prefix_len) != 0 || memcmp(p, digits, LOAD_KEY_DIGITS) != 0 ||
        p[LOAD_KEY_DIGITS] != '/')
        return false;
    p += LOAD_KEY_DIGITS + 1;
    first = p;
    while (p < end && *p >= '0' && *p <= '9' && number <= UINT32_MAX)
        number = number * 10 + (uint64_t)(*p++ - '0');
    if (p == first || (*first == '0' && p - first > 1) || number > UINT32_MAX || p == end ||
        *p++ != '/' || len != load_value_len(prefix_len, (uint32_t)number, value_bytes))
        return false;
    while (p < end)
        if (*p++ != 'x')
            return false;
    *ret_number = (uint32_t)number;
    return true;
}
