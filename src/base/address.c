/* What an address may look like. */
#include "base/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#include "base/banned.h"

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

/* 1 to 65535, without zeros in front. */
static bool is_port(const char *s)
{
    const size_t len = strlen(s);
    unsigned long value = 0;

    if (len == 0 || len > 5 || s[0] == '0' || strspn(s, "0123456789") != len)
        return false;
    for (; *s != '\0'; s++)
        value = value * 10 + (unsigned long)(*s - '0');
    return value <= UINT16_MAX;
}

bool address_split(const char *addr, char *ret_host, size_t host_size, char *ret_port,
                   size_t port_size)
{
    const char *host = addr;
    const char *colon;
    size_t host_len;
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
    if (!is_port(colon + 1) || strlen(colon + 1) >= port_size)
        return false;
    memcpy(ret_host, copy, host_len + 1);
    memcpy(ret_port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static const char *normal(const char *addr, bool to_listen, char *ret)
{
    char host[HOST_BYTES_MAX + 1];
    char port[6];
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6 = {0};
    struct in_addr v4;

    if (!address_split(addr, host, sizeof(host), port, sizeof(port)))
        return "is not an address: host:port or [ipv6]:port, port 1 to 65535";
    if (*addr == '[') {
        (void)is_ipv6(host, &v6);
        if (IN6_IS_ADDR_UNSPECIFIED(&v6) && !to_listen)
            return "cannot be dialled by others: write the address they reach";
        (void)inet_ntop(AF_INET6, &v6, text, sizeof(text));
        (void)snprintf(ret, ADDRESS_BYTES_MAX + 1, "[%s%s]:%s", text, host + strcspn(host, "%"),
                       port);
        return NULL;
    }
    if (inet_pton(AF_INET, host, &v4) == 1 && v4.s_addr == INADDR_ANY && !to_listen)
        return "cannot be dialled by others: write the address they reach";
    for (char *p = host; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    (void)snprintf(ret, ADDRESS_BYTES_MAX + 1, "%s:%s", host, port);
    return NULL;
}

const char *address_normal(const char *addr, char *ret)
{
    return normal(addr, false, ret);
}

const char *address_normal_listen(const char *addr, char *ret)
{
    return normal(addr, true, ret);
}

bool address_host_is_loopback(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    return strcmp(host, "localhost") == 0 ||
           (inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6));
}
