/* The inside of the service. Its files call each other in one direction only, the way the parts of
 * this header are ordered, from the bottom up:
 *
 *   replies ◄─ why_words ◄─ record ◄─ admission ◄─ room ◄─ read ◄─ scan ◄── lines ◄─ service
 *                                                   └◄─ write ◄─────────────┤
 *           ◄─ seen ◄───────────────────────────────────────────────────────┤
 *      compare_judge, compare_measure, compare_report ◄─ compare ◄─ transfer, cluster ◄─┤
 *      replies ◄─ access ◄───────────────────────────────────────────────────┤
 *                     ◄─ part ◄─ transfer ◄──────────────────────────────────┘ */
#ifndef RIDD_SERVICE_SERVICE_INT_H
#define RIDD_SERVICE_SERVICE_INT_H

#include "base/prng.h"
#include "replica/timers.h"
#include "service/service.h"

struct compare;

/* Reads that went the same way at the same time, and are not counted yet. */
struct service_alike {
    uint64_t n;
    enum service_op op;
    enum wire_error result;
    uint64_t arrived_us; /* of the first */
    uint64_t room_us;
    uint64_t end_us;
    struct replica_times times;
};

struct service {
    struct service_ops ops;
    struct service_conf conf;
    struct replica *replica;      /* borrowed; NULL before init */
    struct wire_decoder *decoder; /* owned */
    /* The line that is being handled, here and not on the stack, where it would be cleared before
     * the decoder does. One at a time: nothing that handles a line takes another. */
    struct wire_request request;
    struct wire_refused refused;
    /* The decoder of long lines: one after the other, so that they take the memory of one. */
    struct {
        struct wire_decoder *decoder;    /* owned */
        const struct service_conn *conn; /* whose line is in it; NULL: nobody's */
    } long_line;
    uint64_t next_msg_id;
    unsigned n_pending;
    struct request *kept[REQUESTS_KEPT_MAX]; /* owned; memory of requests that are over */
    unsigned n_kept;
    struct buf scratch; /* commands are encoded here */
    struct prng prng;
    struct list transfers;   /* struct request, waiting for the end of a transfer */
    struct list parts;       /* struct request, waiting for a part of a snapshot */
    struct compare *compare; /* owned; the run under way, or NULL */
    struct timers waiting;   /* deadlines of what waits for room */
    struct service_counts counts;
    struct service_alike alike; /* not in counts yet */
    struct service_window window;
    struct service_slow slow;
    struct service_last last[SERVICE_N_OPS];
};

struct service_conn {
    struct service *service; /* borrowed */
    void *host;              /* borrowed */
    struct replica_session session;
    struct list requests;       /* struct request */
    struct list waiting;        /* those of them that wait for room, in the order of coming */
    struct memory_conn *memory; /* borrowed; NULL: not counted */
    struct {
        bool any;
        uint64_t index; /* 0: of the newest one, by no other name yet */
        uint64_t term;
    } told; /* of which snapshot its last part is, for who looks after admins */
};

/* One owed reply. Freed when it is answered or its connection closes. What most reads need stands
 * together, in front: only that is cleared for each of them. */
struct request {
    struct service_conn *conn;
    struct list link; /* in conn->requests */
    enum wire_request_type type;
    uint32_t timeout_ms;
    uint64_t arrived_us;
    uint64_t room_us;          /* in all, while its client did not read */
    size_t charged;            /* to conn->memory->requests */
    size_t charged_command;    /* to conn->memory->commands */
    struct wire_origin origin; /* owned copy */
    struct wire_key *keys;     /* batch: owned; otherwise NULL */
    struct wire_scan *scan;    /* scan: owned; otherwise NULL */
    void *command;             /* owned */
    unsigned n_keys;
    bool verbose;
    bool listed; /* turn_link or waiting_link was used */
    size_t key_len;
    struct replica_request rr;
    /* From rr.age on: set where it is used. */
    struct list turn_link;    /* in service->transfers or parts: looked at in each turn */
    struct list waiting_link; /* in conn->waiting */
    raft_node_id transfer_to; /* who shall lead */
    struct wire_part part;    /* which is wanted */
    size_t want;              /* the reply that waits */
    uint64_t room_since_us;   /* since when it waits for that now */
    uint64_t client;          /* write: of the session that it names; 0: none */
    unsigned char key[];      /* stored form; behind it a command that finds room there */
};

/* ---- replies.c ---- */

/* One more error reply. */
void service_count_error(struct service *s, enum wire_error error);
/* So many bytes of the state were read for it. */
void service_touched(const struct service_conn *c, size_t bytes);
/* Where replies of this connection go; NULL when nobody reads them any more. */
struct buf *service_out(const struct service_conn *c);
const char *service_name_of(const struct service *s, raft_node_id id); /* NULL: unknown */
/* The number that a reply in an envelope carries, 0 for a bare one. */
uint64_t service_msg_id_for(struct service *s, const struct wire_origin *origin);
void service_begin(struct service *s, struct wire_reply *w, struct buf *out,
                   const struct wire_origin *origin, const char *type);
void service_begin_error(struct service *s, struct wire_reply *w, struct buf *out,
                         const struct wire_origin *origin, enum wire_error error, bool after_append,
                         const char *text);
/* Ends the reply; what is too large, or lacks memory, becomes an error instead. */
void service_end(struct service *s, struct wire_reply *w, const struct wire_origin *origin);
void service_reply_too_large(struct service *s, struct buf *out, const struct wire_origin *origin,
                             uint64_t own_msg_id);
/* Where a read that this node spares itself is answered instead: by a local read of another node,
 * with the anchor as its min_index. */
struct service_spare {
    raft_index anchor; /* confirmed for this very request */
    const char *addr;  /* borrowed: where clients reach that node */
};
/* spare: NULL, nowhere. */
void service_refuse_overloaded(struct service_conn *c, const struct wire_origin *origin,
                               const char *text, const struct service_spare *spare);
void service_refuse_busy(struct service_conn *c, const struct wire_origin *origin, const char *text,
                         uint64_t limit);
/* `malformed`: the field is well-formed JSON with a value that means nothing here. */
void service_refuse_field(struct service_conn *c, const struct wire_request *q, const char *field,
                          const char *text);
/* Of a connection that may not write all keys. False: of another one, or there is none. */
bool service_session_seal(struct service_conn *c, uint64_t client, uint64_t *ret);
/* `session_expired`: the session that q names is not this connection's. */
void service_refuse_session(struct service_conn *c, const struct wire_request *q);
void service_refuse_type(struct service_conn *c, const struct wire_request *q, const char *text);
/* `precondition_failed` with the index of what was looked at. */
void service_refuse_condition(struct service_conn *c, const struct wire_origin *origin,
                              const char *text, raft_index index);
void service_reply_key_not_found(struct request *req, struct buf *out, raft_index index);
/* A member that is not known to understand what was asked for. */
void service_reply_not_supported(struct request *req, struct buf *out, raft_node_id behind);

/* ---- access.c ---- */

/* False: it was denied, and answered. */
bool service_may(struct service_conn *c, const struct wire_request *q);
void service_handle_auth(struct service_conn *c, const struct wire_request *q);

/* ---- lines.c ---- */

/* Its long line, if it is under way, is not decoded any further. */
void service_line_forget(struct service *s, const struct service_conn *c);

/* ---- record.c ---- */

/* Before it is freed, right after its reply was written: in the callback of the replica. The
 * result: NONE, or that of an answer that is an error: no such key. */
void service_note_read(struct request *req, const struct replica_view *view,
                       enum wire_error result);
void service_note_written(struct request *req, enum wire_error result);
void service_note_failed(struct request *req, const struct replica_failure *f);
/* Before counts are looked at. */
void service_count_alike(struct service *s);
/* ---- why_words.c ---- */
/* Fills op->why and op->peer. why NULL: nobody has looked. room_us: what the client itself held it
 * up. */
void service_why_words(const struct service *s, struct service_slow_op *op,
                       const struct replica_why *why, uint64_t room_us);

/* ---- admission.c ---- */

/* Takes one owed request that will have a command of so many bytes; NULL when memory is out, an
 * account is full or REQUESTS_MAX is reached (it has been answered then). */
struct request *service_request_new(struct service_conn *c, const struct wire_request *q,
                                    size_t command_bytes);
void service_request_free(struct request *req);
/* The memory that is kept for requests to come goes back. */
void service_requests_done(struct service *s);
struct request *service_request_of(struct replica_request *rr);
/* Answers with the error and frees the request: the `failed` of all that enter the replica. */
void service_request_failed(struct replica_request *rr, const struct replica_failure *f);
/* Answers `busy`, and frees: memory ran out after the request had been admitted. */
void service_request_no_memory(struct request *req);
void service_submit(struct request *req);

/* ---- room.c ---- */

/* True: the client has not read enough for a reply with so large a value; req waits, or was
 * refused. */
bool service_wait_for_room(struct request *req, const struct buf *out, size_t value_bytes);
void service_stop_waiting(struct request *req);
void service_expire_waiting(struct service *s, uint64_t now_us);

/* ---- read.c: what all reads have in common ---- */

/* Who gives the read of q its right, by its `via`. False: nobody here does, and it has been
 * answered. */
bool service_read_kind(struct service_conn *c, const struct wire_request *q,
                       enum replica_kind *ret_kind);
/* The token of q is another cluster's: it has been answered. */
bool service_read_is_foreign(struct service_conn *c, const struct wire_request *q);
/* What the view says of this very read; CLIENT-8. */
bool service_read_is_confirmed(const struct replica_view *view);
/* A read of this kind may be answered with it. */
bool service_read_is_right(enum replica_kind kind, const struct replica_view *view);
/* Verbose: where the right of this read comes from. is_said: the reply says already whether it is
 * linearizable. */
void service_read_proof(struct service *s, struct wire_reply *w, const struct replica_view *view,
                        bool is_said);
/* rc: what reading gave; with 0 the reply is written, with this result. req ends, here or in the
 * replica. */
void service_read_finish(struct request *req, const struct buf *out, int rc,
                         const struct replica_view *view, enum wire_error result);
/* It came back without what it asked for, which is a bug: answered so. */
void service_read_internal(struct request *req, const char *what);

/* ---- the verbs: one function each answers, now or later ---- */

/* read.c */
void service_handle_read_index(struct service_conn *c, const struct wire_request *q);
void service_handle_read_via_log(struct service_conn *c, const struct wire_request *q);
void service_handle_follower_read(struct service_conn *c, const struct wire_request *q);
void service_handle_lease_read(struct service_conn *c, const struct wire_request *q);
void service_handle_local_read(struct service_conn *c, const struct wire_request *q);
void service_handle_read(struct service_conn *c, const struct wire_request *q);
void service_handle_batch(struct service_conn *c, const struct wire_request *q);
/* scan.c */
void service_handle_scan(struct service_conn *c, const struct wire_request *q);
/* write.c */
void service_handle_write(struct service_conn *c, const struct wire_request *q);
/* transfer.c */
void service_handle_transfer(struct service_conn *c, const struct wire_request *q);
/* part.c */
void service_handle_part(struct service_conn *c, const struct wire_request *q);
void service_parts_turn(struct service *s, uint64_t now_us);
uint64_t service_parts_deadline_us(const struct service *s);
/* compare.c */
void service_handle_compare(struct service_conn *c, const struct wire_request *q);
/* The client of this request went away: a run for it ends. */
void compare_cancel(struct service *s, struct request *req);
/* In every turn: a run that paused for a transfer goes on, or ends with the leadership. */
void compare_turn(struct service *s);
void compare_progress(const struct service *s, struct wire_reply *w);
void compare_free(struct compare *c);
/* cluster.c */
void service_handle_ping(struct service_conn *c, const struct wire_request *q);
void service_handle_status(struct service_conn *c, const struct wire_request *q);
/* seen.c */
void service_handle_events(struct service_conn *c, const struct wire_request *q);
void service_handle_slow(struct service_conn *c, const struct wire_request *q);
/* cluster.c */
void service_handle_members(struct service_conn *c, const struct wire_request *q);
void service_handle_init(struct service_conn *c, const struct wire_request *q);
void service_handle_member(struct service_conn *c, const struct wire_request *q);
void service_handle_snapshot(struct service_conn *c, const struct wire_request *q);

#endif
