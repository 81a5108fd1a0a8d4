/* The inside of the node on standard input and output, shared by its files. */
#ifndef RIDD_MAELSTROM_MAELSTROM_INT_H
#define RIDD_MAELSTROM_MAELSTROM_INT_H

#include <jansson.h>

#include "base/arena.h"
#include "base/hold_clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "engine/engine.h"
#include "maelstrom/maelstrom.h"
#include "maelstrom/workdir.h"
#include "replica/timers.h"

static_assert((RAFT_APPEND_BYTES_MAX + ENTRY_BYTES_MAX) / 3 * 4 + RAFT_APPEND_ENTRIES_MAX * 128u <
                  MAELSTROM_LINE_BYTES_MAX,
              "an append must fit a line");
static_assert(2u * REQUEST_BYTES_DEFAULT + 4096u < MAELSTROM_LINE_BYTES_MAX,
              "so must a forwarded request");
#define CLIENT_BUCKETS  1024u
#define FORWARD_BUCKETS 1024u

/* One sender of requests: a client, or another node that forwards. Order and floor are kept for
 * each. */
struct client {
    struct list link;          /* bucket */
    struct list idle;          /* in maelstrom.idle while nothing is owed; oldest first */
    struct service_conn *conn; /* owned */
    unsigned n_owed;           /* by the service */
    unsigned n_forwards;       /* waiting or sent */
    unsigned n_writes_out;     /* writes sent to a leader and not answered: what follows waits */
    uint64_t held_pass;        /* the pass of the queue in which a request of it had to wait */
    size_t name_len;
    char name[];
};

struct member {
    raft_node_id id;
    const char *name; /* borrowed from the membership */
    char json[2 * NODE_NAME_BYTES_MAX + 3];
    uint64_t seen_highest; /* of its forwarded requests */
    /* owned; bit i % MAELSTROM_SEEN_MAX: number i was seen, of the last MAELSTROM_SEEN_MAX up to
     * seen_highest */
    uint64_t *seen;
};

struct maelstrom {
    const struct maelstrom_conf *conf;
    uint64_t now_us; /* of this turn */
    struct hold_clock hold;
    bool eof;
    bool ending; /* nothing goes to other nodes any more */

    /* Lines in. */
    struct buf in;
    size_t in_scanned; /* no newline before it */
    size_t in_taken;   /* in this turn */
    bool in_skipping;  /* the rest of a line that is too long */
    uint64_t line_no;
    /* Lines out: one buffer for replies and messages; written at the end of the turn. */
    struct buf out;
    size_t out_written; /* already taken by the reader */
    uint64_t n_dropped; /* messages for which there was no room */

    /* Who this is; from `init`. */
    struct raft_configuration membership;
    struct member members[RAFT_SERVERS_MAX];
    unsigned n_members;
    const struct member *self; /* NULL before init */

    struct workdir dir;
    int wal_fd;
    struct engine *engine; /* its replica is there after init */
    struct arena arena;    /* entries of the message being decoded */

    struct list clients[CLIENT_BUCKETS];
    struct list idle;
    unsigned n_clients;

    /* forward.c */
    struct list waiting; /* for a leader, in order of arrival */
    struct list sent;    /* to a leader */
    struct list by_id[FORWARD_BUCKETS];
    struct timers timers;
    unsigned n_forwards;
    size_t forward_bytes;
    uint64_t pass;
    uint64_t wake_us; /* when a request that was refused may be sent again */
    raft_node_id leader_id;

    struct log_limit input_limit;
    struct log_limit drop_limit;
    char text[256]; /* of the refusal of an init */
};

/* Ends the process: the folder goes first. */
_Noreturn void maelstrom_exit(struct maelstrom *m, int exit_code);
/* The same, with a line for the log. */
_Noreturn void maelstrom_die(struct maelstrom *m, const char *what, int error);
struct member *maelstrom_member(struct maelstrom *m, struct wire_slice name); /* NULL: none */
struct member *maelstrom_member_of(struct maelstrom *m, raft_node_id id);
size_t maelstrom_out_pending(const struct maelstrom *m);

/* glue.c */
void glue_fill_engine_ops(struct maelstrom *m, struct engine_ops *ops);

/* init.c: service_ops.init, and its undoing. */
const char *init_handle(void *ctx, const struct wire_request *q);
void init_undo(struct maelstrom *m);

/* lines.c */
void lines_handle(struct maelstrom *m, const char *line, size_t len);
void lines_too_long(struct maelstrom *m);

/* clients.c */
/* Made when new. NULL: MAELSTROM_CLIENTS_MAX are owed something, or no memory. */
struct client *clients_get(struct maelstrom *m, struct wire_slice name);
/* After a change of n_owed or n_forwards. */
void clients_update(struct maelstrom *m, struct client *c);
void clients_done(struct maelstrom *m);

/* forward.c */
void forward_init(struct maelstrom *m);
void forward_done(struct maelstrom *m);
/* True if only the leader can answer it. */
bool forward_wanted(const struct maelstrom *m, const struct wire_request *q);
/* Only a leader answers it. */
bool forward_wants_leader(const struct maelstrom *m, const struct wire_request *q);
/* Handled here at once, or queued. */
void forward_request(struct maelstrom *m, struct client *c, const struct wire_request *q,
                     const char *line, size_t len);
/* An answer of a node to what was forwarded. */
void forward_reply(struct maelstrom *m, const struct member *from, const json_t *body);
/* Before service_turn() and replica_turn(). */
void forward_turn(struct maelstrom *m);
uint64_t forward_deadline_us(struct maelstrom *m);
/* A request that another node forwarded: false if it was seen before. */
bool forward_first_time(struct member *from, uint64_t msg_id);

#endif
