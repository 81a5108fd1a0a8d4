/* What the files of libridd share; none of it is visible to the programs that link it (see
 * subdir.am).
 *
 *   endpoint   "host:port" to its parts
 *   conn       one socket with deadlines
 *   slice      pieces of JSON text, byte for byte
 *   reply      a line to a struct ridd_reply
 *   request    calls to JSON
 *   call       which attempt comes next, and when to stop */
#ifndef RIDD_CLIENT_CLIENT_INT_H
#define RIDD_CLIENT_CLIENT_INT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/prng.h"
#include "client/ridd.h"

static_assert(RIDD_ENDPOINT_SIZE == ADDRESS_BYTES_MAX + 1, "ridd.h spells the number out");
static_assert(RIDD_NAME_SIZE == NODE_NAME_BYTES_MAX + 1, "ridd.h spells the number out");

/* ---- endpoint.c ---- */

struct endpoint {
    char text[RIDD_ENDPOINT_SIZE];
    char host[RIDD_ENDPOINT_SIZE]; /* without brackets */
    char port[8];
};
/* False: with a sentence in why. */
bool endpoint_parse(const char *s, size_t len, struct endpoint *ret, char *why, size_t why_size);
bool endpoint_parse_list(const char *s, struct endpoint ret[RIDD_ENDPOINTS_MAX], unsigned *ret_n,
                         char *why, size_t why_size);

/* ---- conn.c ---- */

struct conn {
    int fd;             /* owned; -1: closed */
    struct endpoint to; /* meaningful while fd is open */
    struct buf in;
    size_t n_taken;   /* bytes of in that the line returned last takes, dropped by the next call */
    size_t n_scanned; /* bytes of in from n_taken on that hold no newline */
};
enum conn_result {
    CONN_OK = 0,
    CONN_E_UNREACHABLE = 1, /* conn_open: why says more */
    CONN_E_TIMEOUT = 2,
    CONN_E_CLOSED = 3,   /* end of file or a broken connection */
    CONN_E_TOO_LONG = 4, /* a line above CALL_LINE_BYTES_MAX */
    CONN_E_MEMORY = 5,
};
void conn_init(struct conn *c);
void conn_close(struct conn *c);
/* Closing it, also by the end of the process, throws away what was not read yet and tells the other
 * side at once. */
void conn_reset_on_close(struct conn *c, bool on);
enum conn_result conn_open(struct conn *c, const struct endpoint *to, uint64_t deadline_us,
                           char *why, size_t why_size);
/* *ret_sent: bytes handed to the kernel, whatever the result. */
enum conn_result conn_send(struct conn *c, const void *data, size_t len, uint64_t deadline_us,
                           size_t *ret_sent);
/* One line without its newline, valid until the next call; empty lines are passed over. */
enum conn_result conn_line(struct conn *c, uint64_t deadline_us, const char **ret_line,
                           size_t *ret_len);
/* Whether an idle connection is of no more use: closed by the other side, or with bytes that nobody
 * asked for. */
bool conn_stale(const struct conn *c);

/* ---- jansson ---- */

/* Why jansson gave nothing. It sets its code for lack of memory only here and there, but then has
 * no text either. */
#define json_lacks_memory(error)                                                                   \
    (json_error_code(&(error)) == json_error_out_of_memory || (error).text[0] == '\0')

/* ---- slice.c: on text that jansson has accepted ---- */

struct slice {
    const char *data; /* NULL: absent */
    size_t len;
};
/* The value of the top-level member `name` of an object. */
struct slice slice_member(struct slice object, const char *name);
/* Steps through an array: *cursor starts as 0; data is NULL at the end. */
struct slice slice_next_element(struct slice array, size_t *cursor);
/* Appends text without the white space outside of strings. 0 or -ENOMEM. */
int slice_compact(struct slice text, struct buf *buf);

/* ---- reply.c ---- */

/* A fresh, empty reply; without memory the constant one, on which nothing may be written:
 * reply_is_const(). */
struct ridd_reply *reply_new(void);
bool reply_is_const(const struct ridd_reply *r);
struct ridd_reply *reply_no_memory(void);
/* Sets status, cause, code -1, definite and the sentence. */
void reply_fail(struct ridd_reply *r, enum ridd_status status, bool definite, const char *format,
                ...) __attribute__((format(printf, 4, 5)));
/* Turns an indefinite failure of a write into RIDD_OUTCOME_UNKNOWN, keeping its cause and its
 * words. */
void reply_make_unknown(struct ridd_reply *r);

enum reply_result {
    REPLY_MINE = 0,
    REPLY_OTHERS = 1,  /* answers another request: read on */
    REPLY_GARBAGE = 2, /* not the protocol: why says more */
    REPLY_MEMORY = 3,
};
/* What of a server's error only the retry loop wants. */
struct reply_hint {
    char leader_addr[RIDD_ENDPOINT_SIZE]; /* "": not known */
    unsigned retry_after_ms;
};
/* Reads one line into r. expect is the type that means success. */
enum reply_result reply_parse(struct ridd_reply *r, const char *line, size_t len, uint64_t msg_id,
                              const char *expect, struct reply_hint *ret_hint, char *why,
                              size_t why_size);

/* ---- call.c ---- */

struct ridd {
    struct endpoint endpoints[RIDD_ENDPOINTS_MAX];
    unsigned n_endpoints;
    unsigned place;       /* the endpoint that answered last, or the next to try */
    struct endpoint hint; /* where the leader was last found outside the list */
    bool has_hint;
    struct conn conn;
    struct prng prng;
    uint64_t next_msg_id;
    unsigned timeout_ms;
    unsigned connect_timeout_ms;
    unsigned flags;
};

struct call {
    struct buf body;    /* owned: the request without its closing brace */
    const char *expect; /* type of the reply that means success */
    enum ridd_kind kind;
    unsigned timeout_ms;
    bool own_timeout; /* body says timeout_ms itself, or the server shall not hear of it */
    /* one attempt, there, on a connection of its own; NULL: the list */
    const struct endpoint *only;
};
struct ridd_reply *call_run(struct ridd *c, const struct call *call);

#endif
