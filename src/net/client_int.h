/* The parts of the client port: client_port.c accepts, times and frees; client_conn.c reads and
 * writes; client_bytes.c is its socket, plain or by TLS; client_greet.c has handshakes done;
 * client_lines.c cuts lines from what was read; client_turns.c says whose turn it is. */
#ifndef RIDD_NET_CLIENT_INT_H
#define RIDD_NET_CLIENT_INT_H

#include "base/list.h"
#include "net/client_port.h"
#include "net/net_int.h"
#include "tls/greeter.h"

/* One address that it listens on. */
struct client_listener {
    struct client_port *port; /* borrowed */
    struct net_listener *of;  /* owned */
    bool tls;
};

struct client_port {
    struct event_base *base; /* borrowed */
    struct client_port_ops ops;
    struct client_port_conf conf; /* no zeros */
    struct client_port_stats stats;
    struct net_sources sources;
    int priority;
    struct client_listener listeners[CLIENT_LISTENERS_MAX];
    unsigned n_listeners;
    struct tls_ctx *tls;        /* counted; NULL: nobody is taken by TLS */
    struct greeter *greeter;    /* owned; NULL: no listener speaks TLS */
    struct list greetings;      /* whose handshakes are under way */
    struct net_listener *local; /* owned; NULL: no socket of this host */
    struct net_local local_path;
    struct event *ev_tick; /* owned; the one timer of all connections */
    struct event *ev_work; /* owned; runs due lists, frees; by itself or timeout */
    struct list conns;     /* open; the tick rotates it */
    struct list dirty;     /* conn.dirty: flush looks at these */
    /* conn.turn: readable, or lines were read but not handed up; by how much time they took */
    struct client_level {
        struct list list;
        uint64_t served_us; /* when one of it was, the last time; 0: never */
    } levels[CLIENT_LEVELS];
    bool gave_way;      /* those who take much did not get on in the last turn */
    bool had_turn;      /* since the last flush: the next is for the next turn of the loop */
    struct list barred; /* conn.turn: of heavy requests enough are under way */
    /* Of heavy requests under way, what they will take: of conn.held_us what is not forgotten. */
    uint64_t held_us;
    uint64_t moved_us;       /* when the last of them was done, or the first came */
    struct event *ev_barred; /* owned: while somebody is barred, to see that nothing moves */
    struct list closing;     /* conn.dirty: dead, and the descriptor is closed by the next flush */
    struct list dead;        /* freed by ev_work */
    struct list orphans;     /* dead, but a hold is out */
    struct list starved;     /* conn.starved: something waits for room */
    struct list fed;         /* the same, and there is room: on_room is due */
    uint64_t relieved_us;    /* when it was last looked who owes most */
    unsigned char *chunk;    /* owned, CLIENT_CHUNK_BYTES */
    size_t cost;             /* of what was handed up since the last flush */
    size_t share;            /* what is left of it for the connection that is served */
    size_t unlooked;         /* its cost since the clock was read */
    size_t sent;             /* bytes, since the last flush began */
    uint64_t now_us;         /* while connections are served: since when this one is */
    uint64_t read_us;        /* likewise: when its socket was read last, or a moment before */
    uint64_t began_us;       /* when these turns did */
    unsigned depth;          /* of callbacks; the port is not freed above 0 */
    bool quiesced;
    bool freed; /* client_port_free() was called: no callback any more */
};

struct client_conn {
    struct client_port *port; /* borrowed; NULL once the port is gone, then this is an orphan */
    struct list node;         /* in port->conns, dead or orphans */
    struct list dirty;
    struct list turn;    /* in port->levels, or barred */
    uint64_t used_us;    /* time that it took lately, as it was then */
    uint64_t used_lines; /* and for how many lines; in parts */
    uint64_t used_at_us;
    uint64_t held_us; /* of its requests that are held */
    struct list starved;
    struct memory_conn memory;
    size_t in_charged;         /* to memory.requests: the buffers below; the rest is the host's */
    struct event *ev_read;     /* owned */
    struct event *ev_write;    /* owned; made when the socket is full for the first time */
    struct net_source *source; /* counted there */
    void *user;
    uint64_t mark; /* the host's */
    struct client_peer peer;
    bool is_local; /* peer says who it is */
    /* The beginning of a line whose end has not come, no newline inside; or, while `again`, one
     * that the host has not done with. */
    struct buf line;
    /* read, and not yet cut because reading had to stop; the socket is not read meanwhile */
    struct buf stash;
    size_t stash_pos;
    size_t n_blank;         /* white space at the beginning of the line that is being read */
    const char *ending_why; /* while ending */
    struct buf out;
    size_t out_pos; /* what is before it was sent */
    size_t request_bytes;
    uint64_t line_no;
    uint64_t active_us; /* last byte either way */
    uint64_t line_us;   /* first byte of the unfinished line, 0 for none */
    uint64_t stuck_us;  /* since when the socket takes nothing, while blocked */
    uint64_t linger_us; /* when our side was shut down, 0 for not yet */
    unsigned in_flight;
    unsigned n_held;
    unsigned n_too_long;
    int fd;                    /* owned; once it is dead of no use to anybody */
    struct tls_stream *stream; /* owned; NULL: plain text */
    bool dead;
    bool reading;  /* what its socket holds is wanted */
    bool readable; /* its socket may hold something: told, and not yet read to the end */
    bool end_told; /* likewise its end */
    bool unsure;   /* not readable, but the last read did not find nothing */
    bool blocked;  /* ev_write is added */
    bool full;     /* its socket takes nothing, and has not told that it does again; if blocked */
    bool paused;   /* in_flight or CLIENT_OUT_BYTES_HIGH was reached, and the low mark not yet */
    bool skipping; /* the rest of a line that was too long */
    bool again;    /* the host wants the line once more */
    bool greeted;  /* it began as ours do (CLIENT-11) */
    bool judged;   /* the line that is being read is known to be ours; from here on its bytes are
                      not looked at */
    bool barred;   /* in port->barred: neither read nor served */
    bool let_in;   /* was in it, and has not been served since */
    bool ending;   /* no more lines are taken; closed once what is owed was sent */
    bool eof;
    char address[NET_ADDRESS_TEXT];
};

/* Around everything that may call the host back. */
void client_port_enter(struct client_port *p);
void client_port_leave(struct client_port *p);
/* ev_work is due in the next turn. */
void client_port_wake(struct client_port *p);

/* A descriptor was given back, or will be soon. */
void client_port_resume(struct client_port *p);

/* Where a connection comes from: an address, or a user of this host. */
struct client_origin {
    const struct sockaddr_storage *sa;
    uint64_t host; /* what is counted */
    bool is_local;
    struct client_peer peer;
};
/* Becomes a connection, and is no more counted by the caller. Owns fd and stream, which is NULL
 * where plain text is spoken, at once. */
void client_port_open(struct client_port *p, int fd, struct tls_stream *stream,
                      const struct client_origin *from);
/* The same. */
int client_conn_new(struct client_port *p, int fd, struct tls_stream *stream,
                    const struct client_origin *from, struct client_conn **ret_conn);
void client_conn_die(struct client_conn *c, const char *why);
void client_conn_free(struct client_conn *c);
/* Of one that is dead. */
void client_conn_close_fd(struct client_conn *c);
/* It is its turn: hands up lines that were read before reading had to stop, or reads more. */
void client_conn_serve(struct client_conn *c);
void client_conn_write(struct client_conn *c, uint64_t now_us);
/* Brings the events in line with the state. After each change of what it depends on. */
void client_conn_settle(struct client_conn *c);
/* The accounts are what the buffers are. */
void client_conn_account(struct client_conn *c);
/* What the clock says about it: gives memory back, or closes it. */
void client_conn_tick(struct client_conn *c, uint64_t now_us);

/* Beyond these bounds a connection is not read any more (CLIENT-3, CLIENT-4). */
bool client_conn_over_limits(const struct client_conn *c);
/* No more lines are taken; closed once what is owed was sent. */
void client_conn_end(struct client_conn *c, const char *why);
/* The next flush looks at it. */
void client_conn_mark_dirty(struct client_conn *c);

/* ---- client_bytes.c ---- */

/* One after the other, as many as are due. */
ssize_t client_bytes_send_records(struct client_conn *c, const unsigned char *data, size_t len);
/* As recv(2) and send(2): plain text pays a branch, and no call, for TLS. */
static inline ssize_t client_bytes_receive(struct client_conn *c, void *buf, size_t size)
{
    return c->stream != NULL ? tls_recv(c->stream, buf, size) : recv(c->fd, buf, size, 0);
}
static inline ssize_t client_bytes_send(struct client_conn *c, const unsigned char *data,
                                        size_t len)
{
    return c->stream != NULL ? client_bytes_send_records(c, data, len)
                             : send(c->fd, data, len, MSG_NOSIGNAL);
}
/* What the errno of either of them means. */
const char *client_bytes_why(const struct client_conn *c, int error);
/* So that the client knows that nobody else ended it. */
void client_bytes_say_end(struct client_conn *c);

/* ---- client_greet.c ---- */

/* There is a thread for handshakes from now on. 0 or -errno with err_text(). */
int client_greet_begin(struct client_port *p);
/* Has the handshake done; then it is opened, or refused where there is no room. Owns fd at once. */
void client_greet(struct client_port *p, int fd, const struct client_origin *from);
/* The host is told why somebody who came by TLS was not taken. */
void client_greet_tell(struct client_port *p, const struct sockaddr_storage *sa, const char *why);
/* Frees it, not here and not now. */
void client_greet_drop_stream(struct client_port *p, struct tls_stream *stream);
/* Those that are under way are closed. */
void client_greet_drop(struct client_port *p);
/* And the thread ends. Not from within anything that the port calls. */
void client_greet_end(struct client_port *p);

/* ---- client_lines.c, client_turns.c ---- */

/* Cuts lines from data, while its share lasts, and returns the bytes that were dealt with: fewer
 * than len when a limit was reached. */
size_t client_lines_take(struct client_conn *c, const char *data, size_t len);
/* Hands up once more the line that the host had not done with. */
void client_lines_again(struct client_conn *c);
/* The stream ended: a last line without its newline counts. */
void client_lines_end(struct client_conn *c);

/* It has something to hand up, in its turn. */
void client_turns_add(struct client_conn *c);
void client_turns_run(struct client_port *p);
/* A line, or a piece of one, was dealt with: its share of this turn may be over (port->share). */
void client_turns_step(struct client_conn *c, size_t bytes);
void client_turns_charge(struct client_conn *c, uint64_t us);
/* A line was handed up; one more is owed, one less. */
void client_turns_line(struct client_conn *c);
void client_turns_hold(struct client_conn *c);
void client_turns_release(struct client_conn *c);
/* Its next line waits: enough heavy requests are under way. */
bool client_turns_bars(const struct client_conn *c);

static inline bool client_conn_may_take_lines(const struct client_conn *c)
{
    return !c->dead && !c->ending && c->port != NULL && !c->port->quiesced;
}

static inline bool client_port_is_tight(const struct client_port *p)
{
    return p->conf.memory != NULL && memory_is_tight(p->conf.memory);
}

static inline size_t client_conn_out_bytes(const struct client_conn *c)
{
    return c->out.len - c->out_pos;
}

#endif
