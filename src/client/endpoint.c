/* "host:port", "[v6]:port", with tls:// or tcp:// before it or not, "unix:/path", and lists of
 * them. Nothing is looked up here, so that a list can be checked without a network. */
#include <stdio.h>
#include <string.h>

#include "client/client_int.h"

#include "base/banned.h"

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool port_ok(const char *s, size_t len)
{
    unsigned v = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s[i] - '0');
    }
    return v >= 1 && v <= 65535;
}

/* Names and addresses only: what getaddrinfo() would never find is refused here, with a better
 * text. */
static bool host_ok(const char *s, size_t len, bool in_brackets)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char v6[] =
        "abcdefABCDEF0123456789:.%"
        "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ_-"; /* a zone: fe80::1%eth0 */

    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (s[i] == '\0' || strchr(in_brackets ? v6 : plain, s[i]) == NULL)
            return false;
    return true;
}

#define LOCAL_PREFIX     "unix:"
#define LOCAL_PREFIX_LEN (sizeof(LOCAL_PREFIX) - 1)

static bool parse_local(const char *s, size_t len, struct endpoint *ret, char *why, size_t why_size)
{
    const char *path = s + LOCAL_PREFIX_LEN;
    const size_t path_len = len - LOCAL_PREFIX_LEN;
    const int shown = len < 64 ? (int)len : 64;

    if (path_len == 0 || *path != '/') {
        (void)snprintf(why, why_size, "endpoint '%.*s' is no absolute path: write unix:/path",
                       shown, s);
        return false;
    }
    if (path_len > CONF_SOCKET_BYTES_MAX) {
        (void)snprintf(why, why_size, "endpoint '%.*s...' is longer than a socket's path: %u bytes",
                       shown, s, CONF_SOCKET_BYTES_MAX);
        return false;
    }
    for (size_t i = 0; i < path_len; i++)
        if (path[i] <= ' ' || path[i] >= 0x7f) {
            (void)snprintf(why, why_size, "endpoint '%.*s' has a byte that cannot be printed",
                           (int)i, s);
            return false;
        }
    memset(ret, 0, sizeof(*ret));
    ret->is_local = true;
    memcpy(ret->text, s, len);
    memcpy(ret->host, path, path_len);
    return true;
}

/* ---- how it is spoken at ---- */

/* Of one length. */
#define TLS_SCHEME   "tls://"
#define PLAIN_SCHEME "tcp://"
#define SCHEME_LEN   (sizeof(TLS_SCHEME) - 1)

static const struct {
    const char *text;
    enum endpoint_scheme scheme;
} schemes[] = {{TLS_SCHEME, ENDPOINT_TLS}, {PLAIN_SCHEME, ENDPOINT_PLAIN}};

static enum endpoint_scheme scheme_of(const char *s, size_t len)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (len >= SCHEME_LEN && memcmp(s, schemes[i].text, SCHEME_LEN) == 0)
            return schemes[i].scheme;
    return ENDPOINT_BARE;
}

const char *endpoint_address(const char *text)
{
    return scheme_of(text, strlen(text)) == ENDPOINT_BARE ? text : text + SCHEME_LEN;
}

/* ---- one ---- */

/* What stands behind the scheme, at most host_len bytes of host. */
static bool parse_address(const char *s, size_t len, const char *shown, int shown_len,
                          struct endpoint *ret, char *why, size_t why_size)
{
    const char *colon = memrchr(s, ':', len);
    const char *host = s;
    size_t host_len;
    size_t port_len;
    bool in_brackets = len > 0 && s[0] == '[';

    if (colon == NULL) {
        (void)snprintf(why, why_size, "endpoint '%.*s' has no port: write host:port", shown_len,
                       shown);
        return false;
    }
    host_len = (size_t)(colon - s);
    port_len = len - host_len - 1;
    if (in_brackets) {
        if (host_len < 2 || s[host_len - 1] != ']') {
            (void)snprintf(why, why_size, "endpoint '%.*s' is not [address]:port", shown_len,
                           shown);
            return false;
        }
        host++;
        host_len -= 2;
    } else if (memchr(s, ':', host_len) != NULL) {
        (void)snprintf(why, why_size,
                       "endpoint '%.*s' has more than one colon: write [address]:port for IPv6",
                       shown_len, shown);
        return false;
    }
    if (!host_ok(host, host_len, in_brackets)) {
        (void)snprintf(why, why_size, "endpoint '%.*s' has no usable host", shown_len, shown);
        return false;
    }
    if (!port_ok(colon + 1, port_len)) {
        (void)snprintf(why, why_size, "endpoint '%.*s' has no port from 1 to 65535", shown_len,
                       shown);
        return false;
    }
    memcpy(ret->host, host, host_len);
    memcpy(ret->port, colon + 1, port_len);
    return true;
}

bool endpoint_parse(const char *s, size_t len, struct endpoint *ret, char *why, size_t why_size)
{
    struct endpoint e = {.scheme = scheme_of(s, len)};
    const size_t before = e.scheme == ENDPOINT_BARE ? 0 : SCHEME_LEN;
    const int shown = len < 64 ? (int)len : 64;
    const char *slashes = memmem(s, len, "://", 3);

    if (len - before > ADDRESS_BYTES_MAX) {
        (void)snprintf(why, why_size, "endpoint '%.*s...' is longer than %u bytes", shown, s,
                       ADDRESS_BYTES_MAX);
        return false;
    }
    if (len >= LOCAL_PREFIX_LEN && memcmp(s, LOCAL_PREFIX, LOCAL_PREFIX_LEN) == 0 &&
        (len == LOCAL_PREFIX_LEN || s[LOCAL_PREFIX_LEN] < '0' || s[LOCAL_PREFIX_LEN] > '9'))
        return parse_local(s, len, ret, why, why_size);
    if (before == 0 && slashes != NULL) {
        (void)snprintf(why, why_size,
                       "endpoint '%.*s' begins with none of tls://, tcp:// and unix:/", shown, s);
        return false;
    }
    if (!parse_address(s + before, len - before, s, shown, &e, why, why_size))
        return false;
    memcpy(e.text, s, len);
    *ret = e;
    return true;
}

/* A server names addresses and not how to speak at them: otherwise it could lead whoever asked for
 * TLS to where there is none (TLS-34). Paths of this host it does not know (ACCESS-6). */
bool endpoint_of_hint(const char *from, const char *address, struct endpoint *ret)
{
    const size_t before = (size_t)(endpoint_address(from) - from);
    const size_t len = strlen(address);
    char text[RIDD_ENDPOINT_SIZE];
    char why[RIDD_TEXT_SIZE];

    if (len > ADDRESS_BYTES_MAX || endpoint_address(address) != address)
        return false;
    memcpy(text, from, before);
    memcpy(text + before, address, len);
    return endpoint_parse(text, before + len, ret, why, sizeof(why)) && !ret->is_local;
}

bool endpoint_parse_list(const char *s, struct endpoint ret[RIDD_ENDPOINTS_MAX], unsigned *ret_n,
                         char *why, size_t why_size)
{
    unsigned n = 0;

    for (;;) {
        struct endpoint e;
        size_t len = 0;
        bool seen = false;

        while (is_separator(*s))
            s++;
        if (*s == '\0')
            break;
        while (s[len] != '\0' && !is_separator(s[len]))
            len++;
        if (!endpoint_parse(s, len, &e, why, why_size))
            return false;
        s += len;
        for (unsigned i = 0; i < n; i++)
            seen = seen || strcmp(ret[i].text, e.text) == 0;
        if (seen) /* twice the same is once */
            continue;
        if (n == RIDD_ENDPOINTS_MAX) {
            (void)snprintf(why, why_size, "more than %d endpoints", RIDD_ENDPOINTS_MAX);
            return false;
        }
        ret[n++] = e;
    }
    if (n == 0) {
        (void)snprintf(why, why_size, "no endpoint given: write host:port,host:port");
        return false;
    }
    *ret_n = n;
    return true;
}
