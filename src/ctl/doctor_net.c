/* Names and ports of the cluster, as this host sees them. Everything is begun at once: a dead name
 * server or host costs its own time-out, and nobody else's. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lookup.h"
#include "ctl/doctor_int.h"

#include "base/banned.h"

struct place {
    const char *what; /* "peer", "client" */
    const char *node;
    const char *addr; /* as it stands in the file */
    char host[HOST_BYTES_MAX + 1];
    char port[16];
    unsigned first; /* the first place with this host, whose name is looked up */
    bool numeric;

    struct lookup *lookup; /* owned */
    uint64_t begun_us;
    uint64_t took_us;
    bool named;            /* the look-up has ended */
    int gai;               /* of it; 0: list is there */
    struct addrinfo *list; /* owned */

    int fd;
    bool done; /* the connection stands, or failed */
    int error; /* of it */
};

struct network {
    struct place places[2 * RAFT_SERVERS_MAX];
    unsigned n;
    bool any_elsewhere; /* not all of them are this host */
};

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, a, sizeof(in));
        return (ntohl(in.sin_addr.s_addr) >> 24) == 127;
    }
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, a, sizeof(in6));
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    return false;
}

static bool is_numeric(const char *host)
{
    unsigned char room[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, room) == 1 || strchr(host, ':') != NULL;
}

/* ---- names ---- */

static void add_place(struct network *net, const char *what, const struct conf_peer *p,
                      const char *addr)
{
    struct place *x = &net->places[net->n];

    *x = (struct place){.what = what, .node = p->name, .addr = addr, .fd = -1};
    if (!address_split(addr, x->host, sizeof(x->host), x->port, sizeof(x->port)))
        return;
    while (strcmp(net->places[x->first].host, x->host) != 0)
        x->first++;
    x->numeric = is_numeric(x->host);
    net->n++;
}

static void begin_names(struct network *net, int notify_fd)
{
    for (unsigned i = 0; i < net->n; i++) {
        struct place *x = &net->places[i];

        x->begun_us = clock_mono_us();
        if (x->first == i && lookup_start(x->host, x->port, x->numeric ? AI_NUMERICHOST : 0,
                                          notify_fd, &x->lookup) != 0)
            x->lookup = NULL;
    }
}

/* How many are still asked for. */
static unsigned take_names(struct network *net)
{
    unsigned n_asked = 0;

    for (unsigned i = 0; i < net->n; i++) {
        struct place *x = &net->places[i];
        int error = 0;

        if (x->lookup == NULL || x->named)
            continue;
        if (!lookup_is_done(x->lookup)) {
            n_asked++;
            continue;
        }
        x->took_us = clock_mono_us() - x->begun_us;
        x->gai = lookup_take(x->lookup, &x->list, &error);
        x->named = true;
        net->any_elsewhere |= x->gai == 0 && !is_loopback(x->list->ai_addr);
    }
    return n_asked;
}

static void look_up_names(struct network *net)
{
    cleanup_fd int notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const uint64_t end_us = clock_mono_us() + DOCTOR_NAME_MS * UINT64_C(1000);
    uint64_t now_us;
    uint64_t count;

    begin_names(net, notify_fd);
    while (take_names(net) > 0 && (now_us = clock_mono_us()) < end_us) {
        struct pollfd p = {.fd = notify_fd, .events = POLLIN};

        (void)poll(&p, 1, (int)((end_us - now_us) / 1000) + 1);
        (void)!read(notify_fd, &count, sizeof(count));
    }
}

/* Whose name leads to loopback listens where nobody else hears it, and is looked for where it is
 * not. Debian gives a host's own name 127.0.1.1 in /etc/hosts. */
static void judge_name(struct findings *f, const struct network *net, const struct place *x)
{
    const bool slow = x->took_us >= DOCTOR_NAME_SLOW_US;
    char next[FINDING_NEXT_BUF];

    (void)snprintf(next, sizeof(next), "getent ahosts %s", x->host);
    if (!x->named)
        finding_add(f, FINDING_FAIL, "name", x->host, next, "no answer within %.1f s",
                    DOCTOR_NAME_MS / 1e3);
    else if (x->gai != 0)
        finding_add(f, FINDING_FAIL, "name", x->host, next, "cannot be looked up: %s",
                    gai_strerror(x->gai));
    else if (is_loopback(x->list->ai_addr) && net->any_elsewhere)
        finding_add(f, FINDING_WARN, "name", x->host, next,
                    "leads to this host itself (loopback) while other nodes are elsewhere: they "
                    "cannot reach %s by it",
                    x->node);
    else if (!x->numeric) {
        finding_add(f, slow ? FINDING_WARN : FINDING_OK, "name", x->host, slow ? next : NULL,
                    "was looked up in %.1f ms%s", (double)x->took_us / 1e3,
                    slow ? ": who dials waits for that; a number in its place would not" : "");
        finding_figure(f, (double)x->took_us / 1e3, "ms");
    }
}

/* ---- ports ---- */

/* The address of its host, with its own port. False: the name led nowhere, which was told. */
static bool address_of(const struct network *net, const struct place *x,
                       struct sockaddr_storage *ret, socklen_t *ret_size)
{
    const struct addrinfo *a = net->places[x->first].list;
    const in_port_t port = htons((uint16_t)strtoul(x->port, NULL, 10));

    if (a == NULL || a->ai_addrlen > sizeof(*ret))
        return false;
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, a->ai_addr, a->ai_addrlen);
    *ret_size = a->ai_addrlen;
    if (a->ai_family == AF_INET)
        memcpy((char *)ret + offsetof(struct sockaddr_in, sin_port), &port, sizeof(port));
    else
        memcpy((char *)ret + offsetof(struct sockaddr_in6, sin6_port), &port, sizeof(port));
    return true;
}

static void begin_connection(const struct network *net, struct place *x)
{
    struct sockaddr_storage address;
    socklen_t size = 0;

    if (!address_of(net, x, &address, &size))
        return;
    x->begun_us = clock_mono_us();
    x->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (x->fd < 0 ||
        (connect(x->fd, (const struct sockaddr *)&address, size) != 0 && errno != EINPROGRESS)) {
        x->error = errno;
        x->done = true;
    }
}

static void take_connection(struct place *x)
{
    socklen_t size = sizeof(x->error);

    x->took_us = clock_mono_us() - x->begun_us;
    if (getsockopt(x->fd, SOL_SOCKET, SO_ERROR, &x->error, &size) != 0)
        x->error = errno;
    x->done = true;
}

static void take_connections(struct network *net)
{
    const uint64_t end_us = clock_mono_us() + CTL_ASK_MS * UINT64_C(1000);
    struct pollfd polls[2 * RAFT_SERVERS_MAX];
    uint64_t now_us;

    while ((now_us = clock_mono_us()) < end_us) {
        unsigned waiting = 0;

        for (unsigned i = 0; i < net->n; i++) {
            const struct place *x = &net->places[i];
            const bool waits = x->fd >= 0 && !x->done;

            polls[i] = (struct pollfd){.fd = waits ? x->fd : -1, .events = POLLOUT};
            waiting += waits;
        }
        if (waiting == 0)
            return;
        if (poll(polls, net->n, (int)((end_us - now_us) / 1000) + 1) < 0 && errno != EINTR)
            return;
        for (unsigned i = 0; i < net->n; i++)
            if (polls[i].fd >= 0 && polls[i].revents != 0)
                take_connection(&net->places[i]);
    }
}

static void judge_port(struct findings *f, const struct network *net, const struct place *x)
{
    char where[FINDING_WHERE_BUF];
    char next[FINDING_NEXT_BUF];

    if (net->places[x->first].list == NULL)
        return; /* its name was told */
    (void)snprintf(where, sizeof(where), "%s %s %.80s", x->node, x->what, x->addr);
    if (!x->done) {
        (void)snprintf(next, sizeof(next),
                       "on the way to %s: does a firewall drop it? is the host up?", x->host);
        finding_add(f, FINDING_FAIL, "reach", where, next, "no answer within %.1f s",
                    CTL_ASK_MS / 1e3);
    } else if (x->error != 0) {
        (void)snprintf(next, sizeof(next), "on %s: systemctl status ridd@%s", x->host, x->node);
        finding_add(f, FINDING_FAIL, "reach", where, next, "%s", strerror(x->error));
    } else {
        finding_add(f, FINDING_OK, "reach", where, NULL, "connected in %.2f ms",
                    (double)x->took_us / 1e3);
        finding_figure(f, (double)x->took_us / 1e3, "ms");
    }
}

void doctor_network(struct findings *f, const struct conf *conf)
{
    cleanup_free struct network *net = calloc(1, sizeof(*net));

    if (net == NULL) {
        f->failed = true;
        return;
    }
    for (unsigned i = 0; i < conf->n_peers; i++) {
        add_place(net, "peer", &conf->peers[i], conf->peers[i].peer_addr);
        add_place(net, "client", &conf->peers[i], conf->peers[i].client_addr);
    }
    look_up_names(net);
    for (unsigned i = 0; i < net->n; i++)
        if (net->places[i].first == i)
            judge_name(f, net, &net->places[i]);
    for (unsigned i = 0; i < net->n; i++)
        begin_connection(net, &net->places[i]);
    take_connections(net);
    for (unsigned i = 0; i < net->n; i++)
        judge_port(f, net, &net->places[i]);
    for (unsigned i = 0; i < net->n; i++) {
        struct place *x = &net->places[i];

        lookup_drop(x->lookup);
        if (x->list != NULL)
            freeaddrinfo(x->list);
        if (x->fd >= 0)
            (void)close(x->fd);
    }
}
