/* What the parts of the loop share: conn.c has a connection, ops.c begins operations and takes
 * their answers, loop.c turns, engine.c has the phases and threads. */
#ifndef RIDD_LOAD_ENGINE_INT_H
#define RIDD_LOAD_ENGINE_INT_H

#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "load/draw.h"
#include "load/engine.h"
#include "load/truth.h"

#define SECOND_NS UINT64_C(1000000000)
#define MILLI_NS  UINT64_C(1000000)

enum slot_state {
    SLOT_FREE = 0,
    SLOT_SENT,
    SLOT_AGAIN /* waits for a connection to be asked again */
};

struct slot {
    uint64_t due_ns; /* its latency begins here */
    uint64_t sent_ns;
    struct load_op op;
    struct truth_write write;
    uint32_t least;  /* reads of one key */
    size_t recorded; /* its number in the loop's history; SIZE_MAX: it has none */
    uint32_t
        *leasts; /* owned: of a batch or a scan, for each of its keys; NULL: they promise nothing */
    unsigned n_items;
    enum slot_state state;
    bool wrong; /* one of its keys was */
};

enum conn_state {
    CONN_CLOSED = 0,
    CONN_DIALS,
    CONN_SHAKES, /* the handshake of TLS */
    CONN_GREETS, /* the line that comes first is not answered */
    CONN_OPEN
};

struct load_conn {
    struct loop *loop;
    unsigned id;
    enum conn_state state;
    int fd;
    unsigned address; /* of the load's */
    uint64_t dial_at_ns;
    uint64_t pause_ns;
    uint64_t heard_ns; /* when something came last */
    void *protocol;    /* owned: its state */
    void *stream;      /* owned: of TLS; NULL: none */
    uint64_t begun_ns; /* when it was dialled last */
    bool answered;     /* since then */
    struct buf in;
    size_t in_at;
    struct buf out;
    size_t out_at;
    bool wants_out; /* epoll is asked for it */
    bool dirty;     /* something is in out, or slots are free: looked at before the loop waits */
    bool moves;     /* another node leads: closed when nothing is in flight */
    bool broken;    /* the protocol, or an answer to nothing */
    struct slot *slots; /* owned */
    unsigned *free;     /* owned: a stack */
    unsigned n_free;
    unsigned n_sent;
    unsigned n_again;
    char last_error[LOAD_ERROR_BYTES_MAX + 1]; /* why something is asked again */
};

enum loop_role { LOOP_MEASURE = 0, LOOP_FILL, LOOP_CLEAR };

struct loop {
    struct load *load;
    enum loop_role role;
    int epoll_fd;
    struct load_conn *conns; /* owned */
    unsigned n_conns;
    unsigned in_flight;
    unsigned next_conn;       /* open: whose turn it is */
    bool starved;             /* open: something is due, and no slot is free */
    uint64_t dial_ns;         /* the first connection is to be made then */
    struct load_conn **dirty; /* owned */
    unsigned n_dirty;
    struct prng prng;
    struct draw draw;
    uint64_t now_ns;
    uint64_t next_key; /* filling, clearing: those up to end_key are to come */
    uint64_t end_key;
    uint64_t n_left;
    double rate; /* its share */
    double due_ns;
    uint64_t begin_ns; /* what is due between these is counted; 0: nothing yet */
    uint64_t end_ns;
    bool ending;                  /* nothing more is begun */
    uint64_t look_ns;             /* next look at what waits too long */
    struct load_figures *figures; /* owned */
    uint64_t cpu_ns;              /* at the beginning of what is measured */
    struct history history;
    bool measured;
    pthread_t thread;
    int rc;
    /* For whoever looks on from another thread. */
    uint64_t seen_done;
    uint64_t seen_errors;
    uint64_t seen_wrong;
};

struct target {
    char text[LOAD_ADDRESS_BYTES_MAX + 1];
    char host[LOAD_ADDRESS_BYTES_MAX + 1];
    bool is_secure;
    struct sockaddr_storage to;
    socklen_t len;
};

struct load {
    const struct load_plan *plan;
    struct truth *truth;
    size_t prefix_len;
    /* Those of the plan, and leaders that were named; only added to, under the lock. */
    pthread_mutex_t lock;
    struct target targets[LOAD_TARGETS_MAX];
    unsigned n_targets;           /* atomic */
    unsigned leader;              /* atomic: where it is thought to be */
    struct load_figures *figures; /* owned: of what was measured */
    struct history history;
    struct load_figures *bulk; /* owned: of the last filling or clearing */
    uint64_t mark_ns;          /* atomic, as the next: 0: none */
    uint64_t marked_ns[LOAD_N_KINDS];
    char why[LOAD_TEXT_BYTES_MAX + 1];
    struct load_world world;
};

/* ---- engine.c ---- */

/* Where an address is kept; LOAD_TARGETS_MAX: it is none, or there are too many. */
unsigned load_target(struct load *load, const char *text, size_t len);
int load_fail(struct load *load, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- loop.c ---- */

int loop_init(struct loop *l, struct load *load, enum loop_role role, unsigned n_conns,
              unsigned in_flight);
void loop_done(struct loop *l);
/* Until end_ns, or until all keys are done, or until is_over(). */
int loop_run(struct loop *l);
void loop_mark(struct loop *l, struct load_conn *c);
bool loop_is_over(const struct loop *l);
/* Its connections stay where they are: what is measured may be anybody's to answer, what fills and
 * clears is the leader's. */
bool loop_is_spread(const struct loop *l);
/* Each connection is for one request. */
bool loop_makes_anew(const struct loop *l);

/* ---- conn.c ---- */

int conn_init(struct load_conn *c, struct loop *l, unsigned id);
void conn_done(struct load_conn *c);
/* What epoll says of it. */
void conn_event(struct load_conn *c, uint32_t events);
/* Dials where it is time to; sends what there is. */
void conn_go_on(struct load_conn *c);
/* Its end, whoever has caused it; what was in flight is asked again or an error. */
void conn_lose(struct load_conn *c, const char *why);

/* ---- ops.c ---- */

/* Begins as many as there is room for, closed, or as are due, open. */
void ops_fill(struct load_conn *c);
void ops_arrive(struct loop *l);
/* One slot of a connection that was lost. */
void ops_lost(struct load_conn *c, unsigned slot, const char *why);
/* Sends those again that wait for it. */
void ops_again(struct load_conn *c);
/* Ends what has waited too long. */
void ops_give_up(struct load_conn *c);
/* At the end: what is still in flight after all patience. */
void ops_abandon(struct load_conn *c);
/* open, at the end: what was due and never sent. */
void ops_unsent(struct loop *l);
void ops_end_history(struct loop *l);
void ops_note_error(struct load_figures *f, const char *text, size_t len);
void figures_merge(struct load_figures *f, const struct load_figures *other);

#endif
