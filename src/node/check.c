/* `ridd --check-config`: what a file says that reads well, and is wrong in the world. One address
 * by two names is such a thing: only the resolver knows. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/exit_codes.h"
#include "base/limits.h"
#include "base/lookup.h"
#include "node/access.h"
#include "node/node_int.h"

#include "base/banned.h"

struct place {
    const char *addr;
    unsigned line;
    struct in6_addr ip;
    in_port_t port;
};

/* IPv4 as it is mapped into IPv6, so that both ways to write it are one. */
static bool take_ip(const struct addrinfo *a, struct place *ret)
{
    if (a->ai_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a->ai_addr;

        ret->ip = in6->sin6_addr;
        ret->port = in6->sin6_port;
    } else if (a->ai_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a->ai_addr;

        ret->ip = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(&ret->ip.s6_addr[12], &in->sin_addr, 4);
        ret->port = in->sin_port;
    }
    return a->ai_family == AF_INET6 || a->ai_family == AF_INET;
}

/* The first one, which is where this name leads. False: nobody knows it here and now, which the
 * host that the file is for may see otherwise. */
static bool find_place(const char *addr, unsigned line, uint64_t deadline_us, struct place *ret)
{
    char host[ADDRESS_BYTES_MAX + 1];
    char port[8];
    struct lookup *l;
    struct addrinfo *list = NULL;
    int system_errno;
    bool found = false;

    *ret = (struct place){.addr = addr, .line = line};
    if (addr[0] == '\0' || !address_split(addr, host, sizeof(host), port, sizeof(port)) ||
        lookup_start(host, port, 0, -1, &l) != 0)
        return false;
    if (lookup_wait(l, deadline_us) != 0) {
        lookup_drop(l);
        return false;
    }
    if (lookup_take(l, &list, &system_errno) == 0) {
        found = take_ip(list, ret);
        freeaddrinfo(list);
    }
    lookup_drop(l);
    return found;
}

static unsigned find_doubles(const struct conf *conf)
{
    const uint64_t deadline_us = clock_mono_us() + PEER_LOOKUP_US;
    struct place places[RAFT_SERVERS_MAX * 2];
    unsigned n = 0;
    unsigned n_wrong = 0;

    for (unsigned i = 0; i < conf->n_peers; i++) {
        const struct conf_peer *p = &conf->peers[i];
        /* Not that of HTTP: each host has its own loopback. */
        const char *const addrs[] = {p->peer_addr, p->client_addr};

        for (unsigned k = 0; k < 2; k++) {
            if (!find_place(addrs[k], p->line, deadline_us, &places[n]))
                continue;
            for (unsigned q = 0; q < n; q++) {
                if (places[q].port != places[n].port ||
                    memcmp(&places[q].ip, &places[n].ip, sizeof(places[n].ip)) != 0)
                    continue;
                fprintf(stderr, "%s:%u: address '%s' is that of '%s' on line %u by another name\n",
                        conf->path, places[n].line, places[n].addr, places[q].addr, places[q].line);
                n_wrong++;
                break;
            }
            n++;
        }
    }
    return n_wrong;
}

/* Another host may know them. */
static void warn_unknown(const struct conf *conf)
{
    cleanup_free struct access_wanted *wanted = malloc(sizeof(*wanted));
    cleanup_free struct access *found = malloc(sizeof(*found));

    if (wanted == NULL || found == NULL)
        return;
    access_want(conf, wanted);
    access_find(wanted, found);
    if (found->unknown[0] != '\0')
        printf("ridd: [access] names whom this host does not know: %s\n", found->unknown);
}

int node_check(const struct conf *conf)
{
    char warning[CONF_OPEN_WARNING_BYTES];

    const bool has_doubles = find_doubles(conf) > 0;

    if (!node_tls_check(conf) || has_doubles)
        return EXIT_CONF_ERROR;
    printf("ridd: '%s' is right: cluster %s, %u node%s\n", conf->path, conf->cluster_name,
           conf->n_peers, conf->n_peers == 1 ? "" : "s");
    if (conf->n_peers % 2 == 0)
        printf("ridd: %u nodes survive the loss of no more than %u do: take an odd number\n",
               conf->n_peers, conf->n_peers - 1);
    if (conf_lease_warning(conf, warning, sizeof(warning)))
        printf("ridd: %s\n", warning);
    if (conf_open_warning(conf, warning, sizeof(warning)))
        printf("ridd: %s\n", warning);
    warn_unknown(conf);
    return 0;
}
