/* The client port: newline-delimited lines over TCP or TLS (ridd-protocol(7)), limits and
 * back-pressure.
 *
 * For: handing lines up and replies down. Connections are plain libevent events, not bufferevents:
 * one read per readiness, one writev per loop turn (with one request in flight they cost a third
 * less). Lines are handed up inside the read callback; replies are added to a buffer and leave
 * with client_port_flush(), which the loop calls once per turn. By TLS it is the same, with
 * tls_recv() and tls_send() in the place of recv(2) and send(2); handshakes are done on a thread.
 * Not for: what a line means: of its content only the first bytes are looked at, and only for
 * whether the other side speaks this protocol at all.
 * Units: bytes and microseconds, as names say.
 * Ownership: the host calls client_conn_hold() for each line it will answer later and
 * client_conn_release() when the reply was added. A struct client_conn lives until on_closed
 * returned *and* its last hold was released; replies to a dead connection are dropped. Callbacks
 * may call any function here, client_port_free() too: the memory then goes back in a later turn of
 * the loop.
 * Errors: 0 or -errno with err_text(). What a client does wrong, or too slowly, closes its
 * connection only. Above in_flight held requests the socket is not read. At end of file
 * (half-close) what is owed is still answered, then the connection is closed. A connection whose
 * output passes CLIENT_OUT_BYTES_HIGH is not read; one that makes no progress for CLIENT_STUCK_US
 * is closed, and when memory is tight the one that owes most goes after a second of it.
 * Thread: the loop's only, but for handshakes. If the base has several priorities, everything here
 * runs at the lowest (CLIENT-6).
 * Source: ridd-protocol(7); the CLIENT rules of docs/RULES.md, and TLS-20 to TLS-24. */
#ifndef RIDD_NET_CLIENT_PORT_H
#define RIDD_NET_CLIENT_PORT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "base/buf.h"
#include "base/limits.h"
#include "tls/tls.h"
#include "wire/line_head.h"

struct client_port;
struct client_conn;

/* Who connected to the local socket, as the kernel knows it. */
struct client_peer {
    uid_t uid;
    gid_t gid;
    pid_t pid;
};

struct client_port_ops {
    void *ctx;
    /* One line without its newline (and '\r'), not NUL-terminated, valid during the call. line_no
     * counts from 1. True: it takes longer than one step may (TIME-1), so the port keeps it and
     * hands the same line up again in the next turn of this connection, from then on always from
     * the same place, which is that of the first time if it has CLIENT_CHUNK_BYTES or more; what
     * comes behind it waits. */
    bool (*on_line)(void *ctx, struct client_conn *c, const char *line, size_t len,
                    uint64_t line_no);
    /* A line passed request_bytes: add an error; the port skips the rest, and closes after the
     * second such line. */
    void (*on_too_long)(void *ctx, struct client_conn *c, uint64_t line_no);
    /* The connection does not begin as one of ours does, or a line begins with a method of HTTP:
     * add an error. Nothing behind it is looked at, and the connection is closed. NULL: nobody
     * minds. */
    void (*on_foreign)(void *ctx, struct client_conn *c, uint64_t line_no, enum wire_foreign what);
    /* There is no memory for the rest of this line: add an error; the port skips the rest. Needed
     * with conf.memory. */
    void (*on_overloaded)(void *ctx, struct client_conn *c, uint64_t line_no);
    /* What found no room in client_conn_memory() may be tried again. True: some of it waits still.
     * NULL: nothing ever waits. */
    bool (*on_room)(void *ctx, struct client_conn *c);
    /* A step was done: is there no more time for clients in this turn? NULL: there is. */
    bool (*spent)(void *ctx);
    /* Something came from elsewhere that is done before more of who takes much (CLIENT-15); NULL:
     * never. */
    bool (*urgent)(void *ctx);
    /* A limit of connections is reached, that of one host or that of all, whose number is given:
     * add one line to out, which is sent before closing. */
    void (*on_refused)(void *ctx, struct buf *out, unsigned limit, bool of_host);
    /* Somebody who came by TLS was not taken: he had said something and does not speak it, or is
     * not believed; or there was no room. NULL: nobody minds. */
    void (*on_handshake_failed)(void *ctx, const char *address, const char *why);
    void (*on_opened)(void *ctx, struct client_conn *c); /* may set user data */
    void (*on_closed)(void *ctx, struct client_conn *c, const char *why);
};

/* 0 stands for the default of base/limits.h everywhere. */
struct client_port_conf {
    size_t request_bytes; /* line limit */
    unsigned in_flight;   /* per connection */
    unsigned connections; /* at once; what RLIMIT_NOFILE leaves beside peers and log may be less */
    unsigned connections_per_host; /* 0: CLIENT_HOST_PERCENT of what holds */
    uint64_t line_us;              /* a line must be complete within this of its first byte */
    uint64_t idle_us;              /* nothing sent, nothing owed: closed */
    uint64_t stuck_us;             /* output waits and the client takes none of it: closed */
    struct memory *memory; /* what connections are charged to; borrowed, NULL: nobody counts */
};

struct client_port_stats {
    unsigned n_open;
    unsigned n_shaking; /* whose handshake is under way: they count as open for every limit */
    unsigned limit;     /* connections; that of the configuration or what RLIMIT_NOFILE allows */
    unsigned limit_host;
    uint64_t n_accepted;
    uint64_t n_refused;
    uint64_t n_closed_slow; /* line, idle or stuck */
    uint64_t n_too_long;
    uint64_t n_foreign;
    uint64_t n_overloaded;        /* lines */
    uint64_t n_closed_owing;      /* so that others find memory */
    uint64_t n_handshakes;        /* that went well */
    uint64_t n_handshakes_failed; /* and those of which nothing came, also for silence */
    uint64_t handshakes_us;       /* of the processor, on their thread */
    uint64_t bytes_in;            /* of lines: as they are without TLS */
    uint64_t bytes_out;
};

/* addr is "host:port" or "[v6]:port"; a name may resolve to several addresses: the first that binds
 * is used. tls: that is what is spoken there, from client_port_set_tls() on; before that nobody is
 * taken. 0 or -errno with err_text(). */
int client_port_new(struct event_base *base, const char *addr, bool tls,
                    const struct client_port_conf *conf, const struct client_port_ops *ops,
                    struct client_port **ret);
/* Listens there, too, up to CONF_LISTEN_MAX times: connections are those of the port, with the same
 * limits. One that is refused for a limit cannot be told so where TLS is spoken: it is closed. */
int client_port_listen(struct client_port *p, const char *addr, bool tls);
/* For handshakes that begin from now on; counted. */
void client_port_set_tls(struct client_port *p, struct tls_ctx *tls);
/* Listens on a socket of this host, too: a path that may be what a process left that is gone
 * (ACCESS-5). Its connections are those of the port, with the same limits; where one of an address
 * counts, one of a user does. Once. 0 or -errno with err_text(). */
int client_port_listen_local(struct client_port *p, const char *path);
/* New limits for connections opened from now on (SIGHUP). */
void client_port_set_conf(struct client_port *p, const struct client_port_conf *conf);
/* Stops accepting and reading; what is owed may still be answered. */
void client_port_quiesce(struct client_port *p);
/* In the middle of a turn: what was answered so far leaves. */
void client_port_answer(struct client_port *p);
/* True when nothing is owed and no output waits. */
bool client_port_idle(const struct client_port *p);
void client_port_flush(struct client_port *p);
/* Within a turn: nobody's lines are taken before the next flush, whatever the loop does. */
void client_port_end_turn(struct client_port *p);
void client_port_get_stats(const struct client_port *p, struct client_port_stats *ret);
/* In on_line(): when the line was read from its socket, a moment before that, and so before the
 * lines that came with it were handed up. */
uint64_t client_port_read_us(const struct client_port *p);
/* Descriptors that a process needs for so many connections, beside peers and log. */
uint64_t client_port_fds(unsigned connections);
/* The port that the first address came to (for one with port 0). */
unsigned client_port_number(const struct client_port *p);
/* Closes everything at once; on_closed is called for each connection. NULL is accepted. */
void client_port_free(struct client_port *p);

/* The output of a connection: append whole lines and nothing else. NULL once it is dead. To be
 * asked for anew in each turn: asking is what makes client_port_flush() look at the connection. */
struct buf *client_conn_out(struct client_conn *c);
/* Its accounts: the port charges output and unfinished lines, the host what it keeps of the
 * connection, and must have given that back before it is freed. Valid as long as c. */
struct memory_conn *client_conn_memory(struct client_conn *c);
void client_conn_hold(struct client_conn *c);
void client_conn_release(struct client_conn *c);
/* So many bytes were read, compared or copied for it beside its lines and its output: they count as
 * time that it took (CLIENT-15). */
void client_conn_touched(struct client_conn *c, size_t bytes);
/* Closes it now, unsent output is lost; on_closed is called before this returns. */
void client_conn_close(struct client_conn *c, const char *why);
/* It came by TLS. */
bool client_conn_is_tls(const struct client_conn *c);
/* What its handshake proved, valid as long as c. NULL: it did not come by TLS. */
const struct tls_identity *client_conn_identity(const struct client_conn *c);
/* False: it came by TCP, and the kernel does not know whose it is. */
bool client_conn_peer(const struct client_conn *c, struct client_peer *ret);
/* The supplementary groups of that peer, to be freed; NULL: none. */
gid_t *client_conn_groups(const struct client_conn *c, unsigned *ret_n);
/* A number of the host's; 0 at first. */
void client_conn_set_mark(struct client_conn *c, uint64_t mark);
uint64_t client_conn_mark(const struct client_conn *c);
void client_conn_set_user(struct client_conn *c, void *user);
void *client_conn_user(const struct client_conn *c);
/* "127.0.0.1:50344", or "unix:uid=1000,pid=4242"; for log lines. */
const char *client_conn_address(const struct client_conn *c);

#endif
