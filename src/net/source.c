/* Connections by the host that they come from, so that one host cannot take all of them. */
#include "net/net_int.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

#include "base/banned.h"

/* No address of a host begins so: it is one of multicast. */
#define V4_PREFIX    ((uint64_t)0xff04 << 48)
#define LOCAL_PREFIX ((uint64_t)0xff01 << 48)

uint64_t net_host_of(const struct sockaddr_storage *sa)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
    uint64_t prefix;

    if (sa->ss_family == AF_INET)
        return V4_PREFIX | get_u32(&v4->sin_addr);
    if (sa->ss_family != AF_INET6)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return V4_PREFIX | get_u32(&v6->sin6_addr.s6_addr[12]);
    memcpy(&prefix, &v6->sin6_addr, sizeof(prefix));
    return be64toh(prefix);
}

uint64_t net_host_of_user(uid_t uid)
{
    return LOCAL_PREFIX | uid;
}

static struct list *bucket(struct net_sources *s, uint64_t host)
{
    return &s->buckets[hash_mix64(host ^ s->seed) % NET_SOURCE_BUCKETS];
}

void net_sources_init(struct net_sources *s, uint64_t seed)
{
    s->seed = seed;
    for (unsigned i = 0; i < NET_SOURCE_BUCKETS; i++)
        list_init(&s->buckets[i]);
}

static struct net_source *find(struct list *list, uint64_t host)
{
    list_for_each(it, list)
    {
        struct net_source *source = list_entry(it, struct net_source, link);

        if (source->host == host)
            return source;
    }
    return NULL;
}

unsigned net_sources_count(struct net_sources *s, uint64_t host)
{
    const struct net_source *source = find(bucket(s, host), host);

    return source != NULL ? source->n : 0;
}

struct net_source *net_sources_take(struct net_sources *s, uint64_t host)
{
    struct list *list = bucket(s, host);
    struct net_source *source = find(list, host);

    if (source == NULL) {
        source = calloc(1, sizeof(*source));
        if (source == NULL)
            return NULL;
        source->host = host;
        list_append(list, &source->link);
    }
    source->n++;
    return source;
}

void net_sources_give(struct net_source *source)
{
    if (source == NULL)
        return;
    rid_assert(source->n > 0);
    if (--source->n > 0)
        return;
    list_remove(&source->link);
    free(source);
}
