/* Three bytes are four characters; the last group may be shorter and is filled up with '='. */
#include "base/base64.h"

#include <errno.h>

#include "base/banned.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(const void *data, size_t len, struct buf *buf)
{
    const unsigned char *p = data;
    char *out;

    if (len > SIZE_MAX / 2)
        return -ENOMEM;
    out = buf_reserve(buf, (len + 2) / 3 * 4);
    if (out == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t group = (uint32_t)p[i] << 16;

        group |= n > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        group |= n > 2 ? (uint32_t)p[i + 2] : 0;
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = (char)(n > 1 ? alphabet[group >> 6 & 63] : '=');
        *out++ = (char)(n > 2 ? alphabet[group & 63] : '=');
    }
    buf->len += (len + 2) / 3 * 4;
    return 0;
}

/* 64: not of the alphabet. */
static uint32_t value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : (c == '/' ? 63 : 64);
}

bool base64_decode(const char *text, size_t len, unsigned char *ret, size_t *ret_len)
{
    unsigned char *out = ret;

    if (len % 4 != 0)
        return false;
    for (size_t i = 0; i < len; i += 4) {
        bool last = i + 4 == len;
        size_t n = 3; /* bytes in this group */
        uint32_t group = 0;

        if (last && text[i + 3] == '=')
            n = text[i + 2] == '=' ? 1 : 2;
        for (size_t j = 0; j < 4; j++) {
            uint32_t v = j <= n ? value_of(text[i + j]) : 0;

            if (v > 63)
                return false;
            group = group << 6 | v;
        }
        if ((n == 1 && (group & 0xffff) != 0) || (n == 2 && (group & 0xff) != 0))
            return false;
        *out++ = (unsigned char)(group >> 16);
        if (n > 1)
            *out++ = (unsigned char)(group >> 8);
        if (n > 2)
            *out++ = (unsigned char)group;
    }
    *ret_len = (size_t)(out - ret);
    return true;
}
