/* What a value may look like: numbers, sizes, names, addresses, the data directory. Nothing here
 * knows of files. */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf_int.h"

#include "base/banned.h"

bool conf_name_ok(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > NODE_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if (!(c < 0x80 && isalnum(c)) && c != '_' && c != '-')
            return false;
    }
    return true;
}

const char *conf_format_size(char buf[CONF_SIZE_BUF], uint64_t bytes)
{
    static const char suffixes[] = "KMG";
    uint64_t n = bytes;
    size_t at = 0;

    while (at < 3 && n != 0 && n % 1024 == 0) {
        n /= 1024;
        at++;
    }
    if (at == 0)
        (void)snprintf(buf, CONF_SIZE_BUF, "%llu", (unsigned long long)n);
    else
        (void)snprintf(buf, CONF_SIZE_BUF, "%llu%c", (unsigned long long)n, suffixes[at - 1]);
    return buf;
}

int conf_parse_number(const char *s, bool with_suffix, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool over = false;

    if (*s < '0' || *s > '9')
        return CONF_NUMBER_NONE;
    for (; *s >= '0' && *s <= '9'; s++)
        over |= __builtin_mul_overflow(value, (uint64_t)10, &value) ||
                __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value);
    if (with_suffix && *s != '\0') {
        static const char suffixes[] = "KMG";
        const char *suffix = strchr(suffixes, *s);

        if (suffix == NULL)
            return CONF_NUMBER_NONE;
        for (const char *p = suffixes; p <= suffix; p++)
            over |= __builtin_mul_overflow(value, (uint64_t)1024, &value);
        s++;
    }
    if (*s != '\0')
        return CONF_NUMBER_NONE;
    if (over)
        return CONF_NUMBER_TOO_LARGE;
    *ret_value = value;
    return 0;
}

/* "fe80::1%eth0" too: the part after % is an interface. */
static bool is_ipv6(const char *host, struct in6_addr *ret_addr)
{
    char digits[INET6_ADDRSTRLEN];
    size_t n = strcspn(host, "%");

    if (n >= sizeof(digits))
        return false;
    memcpy(digits, host, n);
    digits[n] = '\0';
    if (host[n] == '%') {
        if (host[n + 1] == '\0')
            return false;
        for (const char *p = host + n + 1; *p != '\0'; p++)
            if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL)
                return false;
    }
    return inet_pton(AF_INET6, digits, ret_addr) == 1;
}

static bool is_host(const char *host)
{
    size_t len = strlen(host);
    struct in_addr v4;
    char before = '.';

    if (len == 0 || len > HOST_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)host[i];

        if (c >= 0x80 || (!isalnum(c) && c != '-' && c != '_' && c != '.'))
            return false;
        if (before == '.' && (c == '.' || c == '-'))
            return false;
        before = (char)c;
    }
    /* All digits and dots: a mistyped number, not the name of a host. */
    if (strspn(host, "0123456789.") == len)
        return inet_pton(AF_INET, host, &v4) == 1;
    return true;
}

bool conf_split_address(const char *addr, char *ret_host, size_t host_size, char *ret_port,
                        size_t port_size)
{
    const char *host = addr;
    const char *colon;
    size_t host_len;
    size_t port_len;
    uint64_t port;
    char copy[HOST_BYTES_MAX + 1];
    struct in6_addr v6;

    if (*addr == '[') {
        const char *close = strchr(addr, ']');

        if (close == NULL || close[1] != ':')
            return false;
        host = addr + 1;
        host_len = (size_t)(close - host);
        colon = close + 1;
    } else {
        colon = strchr(addr, ':');
        if (colon == NULL)
            return false;
        host_len = (size_t)(colon - addr);
    }
    if (host_len >= sizeof(copy) || host_len >= host_size)
        return false;
    memcpy(copy, host, host_len);
    copy[host_len] = '\0';
    if (*addr == '[' ? !is_ipv6(copy, &v6) : !is_host(copy))
        return false;

    port_len = strlen(colon + 1);
    if (colon[1] == '0' || port_len > 5 || port_len >= port_size)
        return false;
    if (conf_parse_number(colon + 1, false, &port) != 0 || port > 65535)
        return false;
    memcpy(ret_host, copy, host_len + 1);
    memcpy(ret_port, colon + 1, port_len + 1);
    return true;
}

const char *conf_normal_address(const char *addr, char *ret)
{
    char host[HOST_BYTES_MAX + 1];
    char port[6];
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6 = {0};
    struct in_addr v4;

    if (!conf_split_address(addr, host, sizeof(host), port, sizeof(port)))
        return "is not an address: host:port or [ipv6]:port, port 1 to 65535";
    if (*addr == '[') {
        (void)is_ipv6(host, &v6);
        if (IN6_IS_ADDR_UNSPECIFIED(&v6))
            return "cannot be dialled by others: write the address they reach";
        (void)inet_ntop(AF_INET6, &v6, text, sizeof(text));
        (void)snprintf(ret, ADDRESS_BYTES_MAX + 1, "[%s%s]:%s", text, host + strcspn(host, "%"),
                       port);
        return NULL;
    }
    if (inet_pton(AF_INET, host, &v4) == 1 && v4.s_addr == INADDR_ANY)
        return "cannot be dialled by others: write the address they reach";
    for (char *p = host; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    (void)snprintf(ret, ADDRESS_BYTES_MAX + 1, "%s:%s", host, port);
    return NULL;
}

const char *conf_expand_dir(const char *dir, const char *name, char *ret, size_t size)
{
    size_t at = 0;

    if (*dir != '/')
        return "is not an absolute path";
    for (const char *p = dir; *p != '\0'; p++) {
        const char *piece = p;
        size_t n = 1;

        if (*p == '%') {
            if (p[1] != 'i')
                return "holds a '%' that is not %i, the only one replaced";
            piece = name != NULL ? name : "%i";
            n = strlen(piece);
            p++;
        }
        if (n >= size - at || at + n > CONF_DATA_DIR_BYTES_MAX)
            return "is too long: 180 bytes, the node's name included";
        memcpy(ret + at, piece, n);
        at += n;
    }
    ret[at] = '\0';
    return NULL;
}
