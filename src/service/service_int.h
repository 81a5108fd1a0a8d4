/* The inside of the service, shared with compare.c. */
#ifndef RIDD_SERVICE_SERVICE_INT_H
#define RIDD_SERVICE_SERVICE_INT_H

#include "base/prng.h"
#include "service/service.h"

struct compare;

struct service {
    struct service_ops ops;
    struct service_conf conf;
    struct replica *replica;      /* borrowed; NULL before init */
    struct wire_decoder *decoder; /* owned */
    uint64_t next_msg_id;
    unsigned n_pending;
    struct buf scratch; /* commands are encoded here */
    struct prng prng;
    struct list transfers;   /* struct request, waiting for the end of a transfer */
    struct compare *compare; /* owned; the run under way, or NULL */
    struct log_limit internal_limit;
};

struct service_conn {
    struct service *service; /* borrowed */
    void *host;              /* borrowed */
    struct replica_session session;
    struct list requests; /* struct request */
};

/* One owed reply. Freed when it is answered or its connection closes. */
struct request {
    struct replica_request rr;
    struct service_conn *conn;
    struct list link;          /* in conn->requests */
    struct list transfer_link; /* in service->transfers */
    enum wire_request_type type;
    enum wire_via via;
    bool verbose;
    uint32_t timeout_ms;
    uint64_t arrived_us;
    struct wire_origin origin; /* owned copy */
    unsigned n_keys;
    struct wire_key *keys; /* batch: owned; otherwise NULL */
    void *command;         /* owned */
    size_t key_len;
    unsigned char key[]; /* stored form */
};

/* Takes one owed request; NULL when memory is out or REQUESTS_MAX is reached (it has been answered
 * then). */
struct request *service_request_new(struct service_conn *c, const struct wire_request *q);
void service_request_free(struct request *req);
/* Writes the error that a failure of the replica means. */
void service_write_failure(struct service *s, struct buf *out, const struct wire_origin *origin,
                           const struct replica_failure *f, uint32_t timeout_ms);
void service_begin(struct service *s, struct wire_reply *w, struct buf *out,
                   const struct wire_origin *origin, const char *type);
void service_begin_error(struct service *s, struct wire_reply *w, struct buf *out,
                         const struct wire_origin *origin, enum wire_error error, bool after_append,
                         const char *text);
/* Ends the reply; what is too large, or lacks memory, becomes an error instead. */
void service_end(struct service *s, struct wire_reply *w, const struct wire_origin *origin);
const char *service_name_of(const struct service *s, raft_node_id id); /* NULL: unknown */

/* compare.c */
void compare_start(struct request *req, const struct wire_request *q);
/* The client went away. */
void compare_cancel(struct service *s, struct request *req);
void compare_progress(const struct service *s, struct wire_reply *w);
void compare_free(struct compare *c);

#endif
