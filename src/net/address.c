/* Addresses as text and as the kernel wants them. A literal address never reaches a resolver, so
 * that a cluster configured with numbers cannot be held up by a name server. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "net/net_int.h"

#include "base/err.h"

#include "base/banned.h"

struct address_parts {
    char host[ADDRESS_BYTES_MAX + 1];
    char port[6];
};

static bool is_port(const char *s)
{
    unsigned long value = 0;
    size_t len = strlen(s);

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        value = value * 10 + (unsigned long)(s[i] - '0');
    }
    return value <= 65535;
}

/* Finds the host in text; false when text is not of the form. */
static bool find_host(const char *text, const char **ret_host, size_t *ret_len)
{
    const char *colon = strrchr(text, ':');
    size_t len;

    if (colon == NULL || strlen(text) > ADDRESS_BYTES_MAX || !is_port(colon + 1))
        return false;
    len = (size_t)(colon - text);
    if (text[0] == '[') {
        if (len <= 2 || colon[-1] != ']')
            return false;
        *ret_host = text + 1;
        *ret_len = len - 2;
        return true;
    }
    *ret_host = text;
    *ret_len = len;
    /* IPv6 without brackets: where its port begins is anybody's guess. */
    return len > 0 && memchr(text, ':', len) == NULL;
}

static int address_split(const char *text, struct address_parts *ret_parts)
{
    const char *host;
    size_t len;

    if (!find_host(text, &host, &len))
        return err_origin(err_say(-EINVAL, "'%.*s' is not host:port or [ipv6]:port",
                                  (int)ADDRESS_BYTES_MAX, text));
    (void)snprintf(ret_parts->host, sizeof(ret_parts->host), "%.*s", (int)len, host);
    (void)snprintf(ret_parts->port, sizeof(ret_parts->port), "%s", strrchr(text, ':') + 1);
    return 0;
}

static int resolver_errno(int error)
{
    switch (error) {
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : -EIO;
    default:
        return -EADDRNOTAVAIL;
    }
}

static int ask(const struct address_parts *parts, int flags, struct addrinfo **ret_list)
{
    struct addrinfo hints = {0};

    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    return getaddrinfo(parts->host, parts->port, &hints, ret_list);
}

int net_addr_check(const char *text, bool *ret_numeric)
{
    struct address_parts parts;
    struct addrinfo *list = NULL;
    int rc;

    rc = address_split(text, &parts);
    if (rc != 0)
        return err_trace(rc);
    *ret_numeric = ask(&parts, AI_NUMERICHOST, &list) == 0;
    if (list != NULL)
        freeaddrinfo(list);
    return 0;
}

static int say_unresolved(const char *text, int error, int system_errno)
{
    errno = system_errno;
    return err_origin(
        err_say(resolver_errno(error), "cannot resolve '%s': %s", text, gai_strerror(error)));
}

/* Takes the list. */
static int copy_addrs(const char *text, struct addrinfo *list, struct net_addr addrs[NET_ADDRS_MAX],
                      unsigned *ret_n_addrs)
{
    unsigned n = 0;

    for (struct addrinfo *a = list; a != NULL && n < NET_ADDRS_MAX; a = a->ai_next) {
        if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) ||
            a->ai_addrlen > sizeof(addrs[n].sa))
            continue;
        memset(&addrs[n].sa, 0, sizeof(addrs[n].sa));
        memcpy(&addrs[n].sa, a->ai_addr, a->ai_addrlen);
        addrs[n].len = a->ai_addrlen;
        n++;
    }
    freeaddrinfo(list);
    if (n == 0)
        return err_origin(
            err_say(-EADDRNOTAVAIL, "cannot resolve '%s': no internet address", text));
    *ret_n_addrs = n;
    return 0;
}

int net_addr_resolve(const char *text, bool listening, struct net_addr addrs[NET_ADDRS_MAX],
                     unsigned *ret_n_addrs)
{
    const int passive = listening ? AI_PASSIVE : 0;
    struct address_parts parts;
    struct addrinfo *list = NULL;
    int rc;

    rc = address_split(text, &parts);
    if (rc != 0)
        return err_trace(rc);
    rc = ask(&parts, passive | AI_NUMERICHOST, &list);
    if (rc == EAI_NONAME)
        rc = ask(&parts, passive, &list);
    if (rc != 0)
        return say_unresolved(text, rc, errno);
    return err_trace(copy_addrs(text, list, addrs, ret_n_addrs));
}

int net_addr_ask(const char *text, int notify_fd, struct lookup **ret_lookup)
{
    struct address_parts parts;
    int rc;

    rc = address_split(text, &parts);
    if (rc != 0)
        return err_trace(rc);
    rc = lookup_start(parts.host, parts.port, 0, notify_fd, ret_lookup);
    if (rc != 0)
        return err_origin(err_say(rc, "cannot resolve '%s': %s", text, strerror(-rc)));
    return 0;
}

int net_addr_take(const char *text, struct lookup *lookup, struct net_addr addrs[NET_ADDRS_MAX],
                  unsigned *ret_n_addrs)
{
    struct addrinfo *list = NULL;
    int system_errno = 0;
    int rc;

    rc = lookup_take(lookup, &list, &system_errno);
    lookup_drop(lookup);
    if (rc != 0)
        return say_unresolved(text, rc, system_errno);
    return err_trace(copy_addrs(text, list, addrs, ret_n_addrs));
}

void net_addr_format(const struct sockaddr_storage *sa, char *buf, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;

    if (sa->ss_family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host)) != NULL)
        (void)snprintf(buf, size, "%s:%u", host, ntohs(v4->sin_port));
    else if (sa->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) &&
             inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof(host)) != NULL)
        (void)snprintf(buf, size, "%s:%u", host, ntohs(v6->sin6_port));
    else if (sa->ss_family == AF_INET6 &&
             inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host)) != NULL)
        (void)snprintf(buf, size, "[%s]:%u", host, ntohs(v6->sin6_port));
    else
        (void)snprintf(buf, size, "unknown");
}

void net_socket_nodelay(int fd)
{
    int on = 1;

    /* Without it replies are only slower. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}
