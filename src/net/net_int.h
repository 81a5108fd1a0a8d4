/* What both ports of src/net share: addresses, listening sockets. Inside this folder only. Loop
 * thread.
 *
 * Addresses are "host:port" or "[v6]:port"; the port is a number. */
#ifndef RIDD_NET_NET_INT_H
#define RIDD_NET_NET_INT_H

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/lookup.h"
#include "net/client_port.h"
#include "net/peer_net.h"
#include "wire/frame.h"

/* "[ffff:...:ffff%scope]:65535" */
#define NET_ADDRESS_TEXT 80

struct net_addr {
    struct sockaddr_storage sa;
    socklen_t len;
};

/* -EINVAL with err_text() unless text is of the form above. *ret_numeric: no resolver is needed for
 * it. */
int net_addr_check(const char *text, bool *ret_numeric);
/* A question for the addresses of a name that takes no time here: notify_fd tells when there is an
 * answer, which net_addr_take() then gives. 0 or -errno with err_text(). */
int net_addr_ask(const char *text, int notify_fd, struct lookup **ret_lookup);
/* As net_addr_resolve(), of a lookup that is done, which is dropped. */
int net_addr_take(const char *text, struct lookup *lookup, struct net_addr addrs[NET_ADDRS_MAX],
                  unsigned *ret_n_addrs);
/* Numeric addresses are never asked of a resolver; for names this blocks. At least one address on
 * success. */
int net_addr_resolve(const char *text, bool listening, struct net_addr addrs[NET_ADDRS_MAX],
                     unsigned *ret_n_addrs);
/* "127.0.0.1:7400"; an IPv4 address mapped into IPv6 is shown as IPv4. */
void net_addr_format(const struct sockaddr_storage *sa, char *buf, size_t size);

void net_socket_nodelay(int fd);

/* ---- peer_probe.c ---- */

/* One frame out, one of at most PEER_HELLO_BYTES_MAX bytes back, on a connection of its own. */
struct net_question {
    const struct buf *out;
    /* 0, or -errno: then the next address of the name is tried. */
    int (*on_reply)(void *ctx, const struct wire_frame *frame);
    void *ctx;
    const atomic_bool *stops; /* becomes true: nobody waits for it any more; NULL: never */
};
/* Blocking. 0; -ECANCELED: stopped; or -errno with err_text(). */
int net_ask(const struct peer_whom *whom, const struct net_question *q, uint64_t deadline_us);

/* ---- listener.c ---- */

/* The first address that binds is listened on. A descriptor, or -errno with err_text(). */
int net_listen(const char *addr);

/* ---- local.c ---- */

/* A socket that this process has made, by which it knows it again. */
struct net_local {
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "": none */
    dev_t dev;
    ino_t ino;
};
/* A descriptor that listens on this path, with all that is due to whatever stands there; or -errno
 * with err_text(). */
int net_listen_local(const char *path, struct net_local *ret_local);
/* If it is still the one that was made. */
void net_local_remove(struct net_local *local);
/* Who connected. False: it is no such socket. */
bool net_local_peer(int fd, struct client_peer *ret);
/* Its supplementary groups, to be freed; NULL: none, or not to be had. */
gid_t *net_local_groups(int fd, unsigned *ret_n);

/* ---- source.c ---- */

/* As net_host_of(), of a user of this host. */
uint64_t net_host_of_user(uid_t uid);
/* What tells one host from another: an IPv4 address, or the first half of an IPv6 one, all of whose
 * second half a host has to itself. */
uint64_t net_host_of(const struct sockaddr_storage *sa);

/* One host with connections. */
struct net_source {
    struct list link;
    uint64_t host;
    unsigned n;
};
struct net_sources {
    uint64_t seed; /* else a stranger with many addresses could choose the longest chain */
    struct list buckets[NET_SOURCE_BUCKETS];
};
void net_sources_init(struct net_sources *s, uint64_t seed);
/* Connections that this host has now. */
unsigned net_sources_count(struct net_sources *s, uint64_t host);
/* One more; given back with net_sources_give(). NULL without memory. */
struct net_source *net_sources_take(struct net_sources *s, uint64_t host);
void net_sources_give(struct net_source *source); /* NULL is accepted */

/* fd is non-blocking, close-on-exec and owned by the callee. last_fd: it stands where the emergency
 * descriptor stood and must be closed before returning. The callback may call net_listener_stop(),
 * but not _free(). */
typedef void (*net_accept_fn)(void *ctx, int fd, const struct sockaddr_storage *sa, bool last_fd);

struct net_listener;

/* The first address that binds is used. 0 or -errno with err_text(). */
int net_listener_new(struct event_base *base, const char *addr, int priority,
                     net_accept_fn on_accept, void *ctx, struct net_listener **ret_listener);
/* The same of a descriptor that listens, which it owns at once. */
int net_listener_on(struct event_base *base, int fd, int priority, net_accept_fn on_accept,
                    void *ctx, struct net_listener **ret_listener);
unsigned net_listener_port(const struct net_listener *l);
/* A descriptor was given back: accept again if that had stopped for want of one. */
void net_listener_resume(struct net_listener *l);
/* Closes the listening socket; nothing is accepted any more. */
void net_listener_stop(struct net_listener *l);
void net_listener_free(struct net_listener *l);

#endif
