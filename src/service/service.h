/* Requests to replies: one line of JSON in, requests of the replica in between, one line of JSON
 * out, as ridd-protocol(7) has them.
 *
 * For: the client port and stdin/stdout alike. One service per node; one struct service_conn per
 * client connection, which keeps the order and the floor of that connection.
 * Not for: sockets: the host gives output buffers, and says when one is gone. No right to answer is
 * decided here; that is replica.h's.
 * Units: microseconds, monotonic; bytes.
 * Ownership: the replica is borrowed, and must be set before and outlive every request but `init`
 * and `ping`. A request belongs to its connection: closing it forgets its requests without a reply;
 * writes that are in the log still happen. Lines are borrowed during the call.
 * Errors: 0 or -ENOMEM of the _new functions; everything else is a reply. REQUESTS_MAX unanswered
 * requests in all, then `busy`; beyond the accounts of memory `overloaded` (CLIENT-13).
 * Thread: one, that of the replica.
 * Source: ridd-protocol(7). */
#ifndef RIDD_SERVICE_SERVICE_H
#define RIDD_SERVICE_SERVICE_H

#include "base/budget.h"
#include "base/log.h"
#include "replica/replica.h"
#include "service/access.h"
#include "service/slow.h"
#include "wire/line_head.h"
#include "wire/reply.h"
#include "wire/request.h"

struct service;
struct service_conn;

/* A part of a snapshot. Which one, and from where on, is the client's word, index and term 0: the
 * newest, and stands there when it was found; the rest is the answer. */
struct service_part {
    struct wire_part of;
    uint64_t bytes;         /* of the whole file */
    size_t len;             /* of the part: what is left, or as much as fits */
    uint32_t crc;           /* CRC32C of it */
    struct wire_slice text; /* it, as Base64 */
    struct wire_slice why;  /* FAILED: a sentence */
};
/* LATER: it is being read, ask again in the next turn. NONE: this host keeps no snapshots.
 * MISSING: no such one. BEYOND: it is shorter. FAILED: it cannot be read. */
enum service_part_outcome {
    SERVICE_PART_LATER = 1,
    SERVICE_PART_NONE,
    SERVICE_PART_MISSING,
    SERVICE_PART_BEYOND,
    SERVICE_PART_FAILED,
};

/* What this process has cost its disk and its network since it started. */
struct service_costs {
    uint64_t fsyncs;
    uint64_t disk_writes; /* of the log */
    uint64_t log_bytes;   /* likewise */
    uint64_t wire_bytes;  /* frames of peers, both ways */
};

struct service_member_answer {
    enum wire_error error;          /* NONE: it is begun, or done, or would be (dry_run) */
    char text[256];                 /* of the error */
    bool done;                      /* nothing is left to do */
    raft_index configuration_index; /* in force now */
    unsigned voters_before;
    unsigned voters_after; /* when all of it is done */
    unsigned heard_after;  /* of them, now */
    uint64_t task;         /* what last_task calls it; 0: it is no task of this node */
};

struct service_ops {
    void *ctx;
    /* What this connection may do now with all keys, asked for each request. NULL: everything. */
    enum service_role (*role)(void *ctx, void *conn);
    /* And with those of some prefixes, asked where that is too little. How many. NULL: none. */
    unsigned (*grants)(void *ctx, void *conn, struct service_grant ret[CONF_GRANTS_MAX]);
    /* It was denied: whose it is, in words for the reply ("uid 1000"). May be NULL. */
    void (*denied)(void *ctx, void *conn, const struct service_denial *denial, char *ret_who,
                   size_t size);
    /* An admin's request was allowed, and is done next. May be NULL. */
    void (*admin)(void *ctx, void *conn, const struct wire_request *q);
    /* It shows a token, which counts from now on beside what it was known by. 0, an outcome of
     * service_auth_outcome, or -errno: nothing is changed then. *ret is who it is now, in any case.
     * NULL: there are none. */
    int (*auth)(void *ctx, void *conn, struct wire_slice token, struct service_who *ret);
    /* Of a connection that may write below prefixes alone: what the id of a session that it opens
     * carries besides the number, so that nobody else uses that one. False: it cannot be had.
     * NULL: such connections have no sessions. */
    bool (*seal)(void *ctx, void *conn, uint64_t client, uint64_t *ret);
    /* The output of a connection, NULL when it is dead. One owed reply more, one less (may be
     * NULL). */
    struct buf *(*out)(void *ctx, void *conn);
    void (*hold)(void *ctx, void *conn);
    void (*release)(void *ctx, void *conn);
    /* What a connection is called, for other clients to read; may be NULL. */
    const char *(*conn_address)(void *ctx, void *conn);
    /* The accounts of a connection, which outlive its service_conn; NULL: nobody counts its bytes.
     */
    struct memory_conn *(*memory)(void *ctx, void *conn);
    uint64_t (*now_us)(void *ctx);
    /* When the line that is being handled was read, or a moment before: lines that were read
     * together came together. NULL: now. */
    uint64_t (*arrived_us)(void *ctx);
    /* So many bytes, if it is many, were read or compared for a connection beside its lines; may be
     * NULL. */
    void (*touched)(void *ctx, void *conn, size_t bytes);
    /* Where clients reach a node; NULL: unknown, or stdin/stdout. */
    const char *(*client_addr)(void *ctx, raft_node_id id);
    /* Where its peers reach it; NULL: what the log says, or stdin/stdout. May be NULL. */
    const char *(*peer_addr)(void *ctx, raft_node_id id);
    /* Fields of status that only the host knows, appended at the end; may be NULL. */
    void (*status)(void *ctx, struct wire_reply *w);
    bool (*peer_connected)(void *ctx, raft_node_id id);
    /* Bytes that an entry with this payload takes in the log. */
    uint64_t (*record_bytes)(void *ctx, size_t payload_len);
    /* Only what the host counts; NULL: it counts nothing. */
    void (*costs)(void *ctx, struct service_costs *ret);
    void (*event)(void *ctx, enum log_level level, const char *event, const char *text);
    /* An operation that took long. May be NULL. */
    void (*slow)(void *ctx, const struct service_slow_op *op);
    /* A change of the members: it is begun, or refused in words; may be NULL. */
    void (*member)(void *ctx, enum wire_request_type verb, const struct wire_member *q,
                   struct service_member_answer *ret);
    /* Members of `members_ok` besides the list: what is under way. May be NULL. */
    void (*member_changes)(void *ctx, struct wire_reply *w);
    /* A snapshot of the state is wanted: *ret_index is that of the newest there is, *ret_making
     * says whether one with more is on its way. False: this host makes none. May be NULL. */
    bool (*snapshot)(void *ctx, raft_index *ret_index, bool *ret_making);
    /* 0 or enum service_part_outcome; never waits for a disk. What *part points at is valid until
     * the next call. May be NULL. */
    int (*snapshot_part)(void *ctx, struct service_part *part);
    /* `init`, stdin/stdout only: NULL elsewhere. Returns 0 when the node is now this one, else a
     * text for the error. */
    const char *(*init)(void *ctx, const struct wire_request *q);
};

struct service_conf {
    uint16_t group;           /* whose requests these are; that of the replica */
    const char *node_name;    /* borrowed; may be set later by service_set_replica() */
    const char *cluster_name; /* borrowed */
    /* What status shows of the cluster's id, and tokens name (TOKEN-1); borrowed, may be filled in
     * before the first request comes. NULL: every token is another cluster's. */
    const char *cluster_hash;
    bool spaced;            /* jansson's default form, for stdin/stdout */
    uint64_t seed;          /* order of the methods in compare */
    enum wire_via read_via; /* of a `read` that names none; DEFAULT: by the role of this node */
    const struct memory *memory; /* what status shows of it; borrowed, NULL: nobody counts */
};

int service_new(const struct service_conf *conf, const struct service_ops *ops,
                struct service **ret);
/* The replica is borrowed; requests need it, `init` and `ping` do not. */
void service_set_replica(struct service *s, struct replica *replica, const char *node_name);
void service_free(struct service *s);

int service_conn_new(struct service *s, void *host_conn, struct service_conn **ret);
/* Its requests are forgotten without a reply. */
void service_conn_free(struct service_conn *c);

/* Its replies were read, and there is room again: what waited for it goes on with the next turn.
 * True: some of it waits still, call again when there is room. */
bool service_conn_room(struct service_conn *c);
/* Every account is the sum of what is charged to it: for tests. */
void service_conn_check(const struct service_conn *c);

/* One line. True: it is long, and was not done with in one step (TIME-1): the same line is to be
 * handed in again, from the same place; other connections may hand in theirs meanwhile. For the
 * Maelstrom node the two halves are apart: it looks at a request before it is handled. */
bool service_line(struct service_conn *c, const char *line, size_t len, uint64_t line_no);
/* 0: *ret_request is filled and valid until the next decode; otherwise it was answered, or ignored.
 */
int service_decode(struct service_conn *c, const char *line, size_t len, uint64_t line_no,
                   struct wire_request *ret_request);
void service_handle(struct service_conn *c, const struct wire_request *q);
/* The line passed request_bytes. */
void service_line_too_long(struct service_conn *c, uint64_t line_no, uint64_t limit);
/* There was no memory for the rest of a line, which is skipped. */
void service_line_overloaded(struct service_conn *c, uint64_t line_no);
/* The other side does not speak this protocol; the connection is closed. */
void service_line_foreign(struct service_conn *c, uint64_t line_no, enum wire_foreign what);
/* For a connection that is refused: one busy line.
 * of_host: the limit that holds is that of one host, not that of all. */
void service_refuse_connection(struct service *s, struct buf *out, uint64_t limit, bool of_host);
/* An error reply by name: for forwarding hosts. */
void service_fail(struct service_conn *c, const struct wire_origin *origin, enum wire_error error,
                  const char *text);
/* Writes the error that a failure of the replica means; `what` may have happened or not: "the
 * write", as the text calls it. Also for hosts that keep requests of their own. */
void service_write_failure(struct service *s, struct buf *out, const struct wire_origin *origin,
                           const struct replica_failure *f, const char *what, uint32_t timeout_ms);
/* How a `read` with this `via` is answered here now; never DEFAULT. Needs the replica. */
enum wire_via service_via_of(const struct service *s, enum wire_via via);
struct wire_decoder *service_decoder(struct service *s);
uint64_t service_next_msg_id(struct service *s);

/* Before replica_turn(): transfers that are over and parts of snapshots that were read are
 * answered, deadlines of what the replica does not know. */
void service_turn(struct service *s, uint64_t now_us);
/* When service_turn() wants to run even if nothing happens; UINT64_MAX: never. */
uint64_t service_deadline_us(const struct service *s);
/* ---- what it has seen ---- */

/* Slower than this is exceptional; UINT64_MAX, as it begins: nothing is. */
void service_set_slow(struct service *s, uint64_t threshold_us);
void service_get_counts(struct service *s, struct service_counts *ret);
uint64_t service_slow_threshold_us(const struct service *s);
/* The replies `status_ok`, `slow_ok` and `events_ok`, for who asks beside the client port. A bare
 * origin, all zeros: without in_reply_to. events: 0 or -ENOMEM. status needs the replica. */
void service_write_status(struct service *s, struct buf *out, const struct wire_origin *origin);
void service_write_slow(struct service *s, struct buf *out, const struct wire_origin *origin);
int service_write_events(struct service *s, struct buf *out, const struct wire_origin *origin,
                         uint64_t after, unsigned limit);
/* The same of any thread, and without a service: events have a lock of their own. */
int service_write_events_of(const char *node, struct buf *out, uint64_t after, unsigned limit);

/* Unanswered requests. */
unsigned service_n_pending(const struct service *s);

#endif
