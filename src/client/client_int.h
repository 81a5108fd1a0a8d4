/* What the files of libridd share; none of it is visible to the programs that link it (see
 * subdir.am).
 *
 *   endpoint     "host:port", "tls://host:port", "unix:/path" to its parts
 *   slice        pieces of JSON text, byte for byte
 *   value        values and keys to JSON and back
 *   op           a struct ridd_op to a request
 *   reply        the object that a caller gets
 *   reply_parse  a line to such an object
 *   timers       what is due when
 *   table        requests by number
 *   secure       what TLS is done with: ridd_set_tls()
 *   dial         a connection until it is there
 *   shake        the same one until both sides know each other
 *   conn         a connection: lines out, lines in
 *   node         a server: when it may be dialled again, how good it is for reads (spread)
 *   turn         which attempt of a request comes next, and when to stop
 *   session      writes that may be repeated, and reads that never go back
 *   loop         the descriptor, the deadline, ridd_process()
 *   client       opening, closing, settings
 *   sync         the calls that wait
 *
 * A request is in one list at a time, which its state names. Nothing in here calls a callback but
 * loop.c, at one place, when nothing else is under way. */
#ifndef RIDD_CLIENT_CLIENT_INT_H
#define RIDD_CLIENT_CLIENT_INT_H

#include <jansson.h>
#include <netdb.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/prng.h"
#include "client/ridd_async.h"
#include "tls/tls.h"

static_assert(RIDD_ENDPOINT_SIZE == ADDRESS_BYTES_MAX + sizeof("tls://"),
              "ridd.h spells the number out");
static_assert(RIDD_NAME_SIZE == NODE_NAME_BYTES_MAX + 1, "ridd.h spells the number out");

/* Room for the type of a reply, and for the number of a session. */
#define CALL_TYPE_SIZE       128
#define CALL_SESSION_ID_SIZE 48 /* a number and a seal, and room for more */

struct request;
struct node;
struct conn;

/* ---- endpoint.c ---- */

enum endpoint_scheme {
    ENDPOINT_BARE = 0, /* TLS where the client was told what that needs */
    ENDPOINT_PLAIN = 1,
    ENDPOINT_TLS = 2,
};
struct endpoint {
    char text[RIDD_ENDPOINT_SIZE];
    char host[RIDD_ENDPOINT_SIZE]; /* without brackets; of a local one: the path */
    char port[8];
    bool is_local; /* unix:/path; never TLS */
    enum endpoint_scheme scheme;
};
/* False: with a sentence in why. */
bool endpoint_parse(const char *s, size_t len, struct endpoint *ret, char *why, size_t why_size);
bool endpoint_parse_list(const char *s, struct endpoint ret[RIDD_ENDPOINTS_MAX], unsigned *ret_n,
                         char *why, size_t why_size);
/* What of it is an address: "host:port". In text. */
const char *endpoint_address(const char *text);
/* The address that a server names is spoken at as the server that named it is. False: it is no
 * address, or says more than one. */
bool endpoint_of_hint(const char *from, const char *address, struct endpoint *ret);

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

/* What stands behind a struct ridd_reply. */
struct reply_box {
    struct ridd_reply pub;   /* first */
    char *line;              /* owned */
    char *value;             /* owned */
    char *string;            /* owned */
    char *texts;             /* owned: keys and values of the items */
    struct ridd_item *items; /* owned */
    int fd;                  /* owned: of ridd_connect(); -1 */
};
/* A fresh, empty reply; without memory the constant one, on which nothing may be written:
 * reply_is_const(). */
struct ridd_reply *reply_new(void);
bool reply_is_const(const struct ridd_reply *r);
struct ridd_reply *reply_no_memory(void);
struct reply_box *reply_box(struct ridd_reply *r);
/* Cuts s to size, at the border of a character, and takes control characters out. */
void reply_set_text(char *ret, size_t size, const char *s);
/* Sets status, cause, code -1, definite and the sentence. r may be NULL: nobody asked. */
void reply_fail(struct ridd_reply *r, enum ridd_status status, bool definite, const char *format,
                ...) __attribute__((format(printf, 4, 5)));
/* A fresh one that says so. */
struct ridd_reply *reply_failed(enum ridd_status status, bool definite, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Turns an indefinite failure of a write into RIDD_OUTCOME_UNKNOWN, keeping its cause and its
 * words. */
void reply_make_unknown(struct ridd_reply *r);
enum ridd_status reply_status_from_name(const char *name);

/* ---- reply_parse.c ---- */

enum reply_result {
    REPLY_OK = 0,
    REPLY_GARBAGE = 2, /* not the protocol: why says more */
    REPLY_MEMORY = 3,
};
/* A line that was taken apart as far as its request needs not be known. */
struct reply_line {
    json_t *tree; /* owned */
    struct slice text;
    const char *type; /* in tree; "" */
    bool is_error;
    bool has_id;
    uint64_t id;      /* of the request; UINT64_MAX: one that is none of ours */
    uint64_t line_no; /* of the request on its connection, from 1; 0: not said */
};
/* What of a server's error only the next attempt wants. */
struct reply_hint {
    char leader_addr[RIDD_ENDPOINT_SIZE];   /* "": not known */
    char try_addr[RIDD_ENDPOINT_SIZE];      /* with anchor */
    uint64_t anchor;                        /* 0: none */
    char anchor_cluster[RIDD_CLUSTER_SIZE]; /* which that is an index of; "": not said */
    unsigned retry_after_ms;
};
enum reply_result reply_open(const char *line, size_t len, struct reply_line *ret, char *why,
                             size_t why_size);
void reply_line_done(struct reply_line *l);
/* Reads it into r. expect is the type that means success. */
enum reply_result reply_fill(struct ridd_reply *r, const struct reply_line *l, const char *expect,
                             struct reply_hint *ret_hint, char *why, size_t why_size);

/* ---- value.c ---- */

/* What a builder says besides 0: why there is no request to send. */
enum build {
    BUILD_NO_MEMORY = -ENOMEM,
    BUILD_INVALID = 1, /* what was given cannot be asked; the reply says why */
};
int build_key(struct buf *body, struct ridd_key key, struct ridd_reply *why);
/* A JSON string; what names it in the failure. */
int build_string(struct buf *body, const char *text, size_t len, const char *what,
                 struct ridd_reply *why);
/* ,"name":value */
int build_value(struct buf *body, const char *name, const struct ridd_value *value,
                struct ridd_reply *why);

/* ---- timers.c ---- */

struct timer {
    uint64_t due_us;
    size_t place; /* in the heap, from 1; 0: not set */
    void (*fn)(struct timer *t, uint64_t now_us);
};
/* Setting a timer never fails: its owner has asked for room before. */
struct timers {
    struct timer **heap; /* owned; heap[0] is not used */
    size_t n;
    size_t size;
    size_t n_owned;
};
int timers_own(struct timers *q); /* 0 or -ENOMEM */
void timers_disown(struct timers *q, struct timer *t);
void timers_set(struct timers *q, struct timer *t, uint64_t due_us);
void timers_clear(struct timers *q, struct timer *t);
/* The one that is due first, or NULL. */
struct timer *timers_first(const struct timers *q);
void timers_done(struct timers *q);

/* ---- table.c: an intrusive hash of unique numbers ---- */

struct entry {
    struct entry *next;
    uint64_t key; /* 0: not in the table */
};
struct table {
    struct entry **buckets; /* owned */
    size_t n_buckets;       /* a power of two, or 0 */
    size_t n;
};
int table_reserve(struct table *t); /* room for one more; 0 or -ENOMEM */
void table_add(struct table *t, struct entry *e, uint64_t key);
void table_remove(struct table *t, struct entry *e);
struct entry *table_find(const struct table *t, uint64_t key);
void table_done(struct table *t);

/* ---- requests ---- */

enum req_state {
    REQ_READY = 0,  /* client->ready: wants a node */
    REQ_QUEUED = 1, /* conn->queue: wants to be written */
    REQ_SENT = 2,   /* conn->sent: written at least to conn->out */
    REQ_PAUSED = 3, /* client->waiting: until its timer is due */
    REQ_HELD = 4,   /* session->held: until the session, or the token's cluster, is known */
    REQ_DONE = 5,   /* client->done: its callback is due */
};

/* What libridd asks for itself. */
enum req_purpose {
    REQ_FOR_CALLER = 0,
    REQ_FOR_SESSION = 1,
    REQ_FOR_CLUSTER = 2, /* whose indexes these are */
    REQ_FOR_PROBE = 3,
};

struct request {
    struct ridd *client;
    struct entry by_id;
    struct entry by_msg; /* while it is written and not answered */
    struct list link;
    enum req_state state;
    enum req_purpose purpose;
    ridd_async_fn *fn;
    void *arg;
    struct ridd_reply *reply; /* owned; REQ_DONE */

    /* What is asked: op.c. */
    struct buf body;             /* owned: without its closing brace */
    size_t n_bytes;              /* that it counts for */
    struct buf key;              /* owned: of RIDD_OP_GET, to ask for it in another way */
    char expect[CALL_TYPE_SIZE]; /* type of the reply that means success */
    enum ridd_op_type type;
    enum ridd_via via;
    enum ridd_kind kind;
    bool any_node;     /* a read that every node can answer */
    bool own_timeout;  /* body says timeout_ms itself, or the server shall not hear of it */
    bool connect_only; /* ridd_connect() */
    size_t n_keys;     /* batch */
    uint64_t min_index;
    char cluster[RIDD_CLUSTER_SIZE];
    unsigned max_stale_ms;
    struct endpoint *only; /* owned: one attempt, there, on a connection of its own; NULL */
    struct node *pin;      /* held: one attempt, there; NULL */

    /* The turns: turn.c. */
    struct ridd_retry retry; /* without defaults */
    struct timer timer;
    unsigned timeout_ms;
    uint64_t start_us;
    uint64_t deadline_us;
    /* no attempt begins later: a long wait for an answer is no long search */
    uint64_t retry_until_us;
    unsigned place; /* in client->nodes: of the last node of the list that was tried */
    uint64_t tried; /* nodes since the last pause: one bit each */
    unsigned n_pauses;
    unsigned n_retries;
    unsigned n_hints; /* followed in a row */
    unsigned n_stale; /* not followed: where they lead nobody was reached */
    unsigned n_attempts;
    bool only_unreachable;   /* so far no node could be connected to */
    struct node *at;         /* held: of the last attempt */
    struct node *next;       /* held: of the next one, where something says so; NULL: choose */
    struct ridd_reply *best; /* owned: the failure that says most, for when the time is over */
    unsigned best_rank;
    uint64_t asked_index; /* min_index of the last attempt */
    uint64_t anchor;      /* asked as a local read of this index, which proves it; 0: it is not */
    char anchor_cluster[RIDD_CLUSTER_SIZE]; /* "": an earlier leader, which does not say it */

    /* The attempt. */
    struct conn *conn; /* REQ_QUEUED, REQ_SENT */
    bool counted;      /* in conn->node->n_reads */
    uint64_t began_us;
    uint64_t sent_us;    /* written to conn->out */
    uint64_t attempt_us; /* its deadline */
    uint64_t line_end;   /* where its line ends in what the connection sends */
    size_t line_len;
    uint64_t line_no;

    /* Writes of a session. */
    char session[CALL_SESSION_ID_SIZE]; /* "": of none */
    uint64_t seq;
    struct list by_seq;  /* session->writes; alone: not, or not any more */
    bool maybe_happened; /* an attempt left that may have been applied */
};

/* Frees it and whatever it owns; it is in no list any more. */
void request_free(struct request *r);

/* ---- op.c ---- */

/* Fills what is asked; 0, BUILD_INVALID (the reply says why) or BUILD_NO_MEMORY. */
int op_build(struct ridd *c, const struct ridd_op *op, struct request *r, struct ridd_reply *why);
bool cluster_ok(const char *text);
/* The line of the next attempt. 0 or -ENOMEM. */
int op_line(struct request *r, uint64_t msg_id, uint64_t now_us, struct buf *line);

/* ---- secure.c ---- */

/* What ridd_set_tls() was told last; connections that are there keep what they began with. */
struct secure {
    struct tls_ctx *ctx; /* owned; NULL: no TLS */
    char *server_name;   /* owned; NULL: the host of the endpoint */
    char *token;         /* owned: as JSON, with its quotes; NULL: none */
    bool has_cert;
};
void secure_done(struct secure *s);

/* ---- conn.c, dial.c, shake.c ---- */

/* From PROVING on lines go both ways; requests are among them when it is OPEN. */
enum conn_state {
    CONN_CLOSED = 0,
    CONN_LOOKUP = 1,
    CONN_DIALING = 2,
    CONN_SHAKING = 3, /* the handshake of TLS */
    CONN_PROVING = 4, /* what proves who asks was sent, and is not answered */
    CONN_OPEN = 5,
};

struct conn {
    struct ridd *client;
    struct list link;  /* client->conns; a dead one: client->dead */
    struct node *node; /* NULL: of an address that is no node of the client's */
    bool is_own;       /* of one request, and goes with it */
    struct endpoint to;
    enum conn_state state;
    int fd;          /* owned; -1 */
    uint32_t events; /* what epoll is asked for; 0: nothing yet */
    struct timer timer;

    /* Until it is open. */
    struct lookup *lookup;    /* owned */
    struct addrinfo *list;    /* owned */
    struct addrinfo *address; /* in list: the one that is tried */
    uint64_t dial_until_us;
    int error; /* errno of the last address that failed */

    bool wants_tls;         /* said when it was dialled */
    unsigned n_secured;     /* the client's, then */
    struct tls_stream *tls; /* owned; NULL: none */
    uint64_t proof_id;      /* msg_id of the token, or of the ping in its place */
    bool proof_is_ping;
    struct list unread; /* client->unread: the stream holds bytes that epoll knows nothing of */

    struct list queue;     /* requests to be written */
    struct list sent;      /* unanswered, oldest first */
    unsigned n_unanswered; /* with those that nobody waits for any more */
    struct buf in;
    size_t n_scanned; /* bytes of in that hold no newline */
    struct buf out;
    size_t out_at;       /* bytes of out that were handed to the kernel */
    uint64_t out_bytes;  /* handed to the kernel, in all */
    uint64_t line_bytes; /* written to out, in all */
    uint64_t n_lines;    /* the same, in lines */
    uint64_t heard_us;
    bool spoke;      /* a reply came */
    bool out_broken; /* what is still to be read may say why */
    bool resets;     /* its end is to be seen as a reset */
    bool wants_flush;
};
int conn_new(struct ridd *c, const struct endpoint *to, struct node *node, struct conn **ret_conn);
void conn_free(struct conn *conn);
/* Takes a request, and dials if need be. */
void conn_add(struct conn *conn, struct request *r, uint64_t now_us);
/* Takes it out of here. What of it was not sent will not be; false: it was, at least in part. */
bool conn_drop(struct conn *conn, struct request *r);
void conn_on_event(struct conn *conn, uint32_t events, uint64_t now_us);
/* Of client->unread. */
void conn_read_on(struct conn *conn, uint64_t now_us);
/* Writes requests and hands them to the kernel. */
void conn_flush(struct conn *conn, uint64_t now_us);
/* Ends it without a word to anybody. */
void conn_close(struct conn *conn);
/* Ends it; all its requests end their attempt. */
enum conn_failure {
    CONN_UNREACHABLE = 0, /* before it was there */
    CONN_ENDED = 1,       /* end of file or a broken connection */
    CONN_TOO_LONG = 2,    /* a line above CALL_LINE_BYTES_MAX */
    CONN_GARBAGE = 3,
    CONN_MEMORY = 4,
    CONN_BROKEN = 5,   /* what came is no TLS of this connection, or its other side's last word */
    CONN_UNUSABLE = 6, /* it is not to be dialled as the client was told: nobody was asked */
};
void conn_fail(struct conn *conn, enum conn_failure failure, const char *why, uint64_t now_us);
/* The socket, which is the caller's from now on. */
int conn_give_fd(struct conn *conn);
void conn_doubt(struct conn *conn, uint64_t since_us);
/* Nobody wants it: a dial is given up, one of its own goes. */
void conn_maybe_end(struct conn *conn);
/* Asks epoll for what it waits for. 0 or -errno. */
int conn_watch(struct conn *conn, uint32_t events);
void conn_is_open(struct conn *conn, uint64_t now_us);

void dial_start(struct conn *conn, uint64_t now_us);
void dial_on_event(struct conn *conn, uint64_t now_us);
void dial_on_timer(struct conn *conn, uint64_t now_us);
void dial_on_lookup(struct conn *conn, uint64_t now_us);
void dial_done(struct conn *conn);
/* How it is spoken to, before anything is dialled. False: with a sentence in why. */
bool shake_choose(struct conn *conn, char *why, size_t why_size);
void shake_start(struct conn *conn, uint64_t now_us);
void shake_on_event(struct conn *conn, uint64_t now_us);
/* What it waits for, as the sentence of a failure. */
void dial_describe(const struct conn *conn, int error, char *ret, size_t size);

/* ---- node.c ---- */

struct node {
    struct conn *conn; /* owned */
    struct endpoint at;
    unsigned place;   /* in client->nodes */
    unsigned n_users; /* requests that remember it */

    unsigned n_failures;     /* connections that came to nothing, in a row */
    uint64_t failed_us;      /* the last of them; 0: none */
    uint64_t quiet_until_us; /* nobody dials before */
    uint64_t retry_us;       /* who has seen it fail does not before */
    char why[RIDD_TEXT_SIZE];

    unsigned n_reads;    /* under way */
    uint64_t latency_us; /* moving average; 0: not known */
    unsigned n_slow;     /* doublings of the score */
    uint64_t sampled_us;
    bool probed;
};
/* The node of an address; NULL without memory or room. */
struct node *node_get(struct ridd *c, const struct endpoint *at);
struct node *node_find(const struct ridd *c, const char *text);
/* The one of a hint: where the list has the address it says how to speak at it. NULL: there is
 * none. */
struct node *node_find_hinted(const struct ridd *c, const struct endpoint *at);
void node_free(struct node *n);
/* When a request that began at start_us may go there. */
uint64_t node_usable_us(const struct node *n, uint64_t start_us);
void node_failed(struct node *n, const char *why, uint64_t now_us);
void node_spoke(struct node *n);
/* Its connection takes no more requests, and goes when those that it has are answered. False: there
 * is no memory for another one. */
bool node_renew(struct node *n);
/* Of a read that was answered after so long; or that was not, in its time. */
void node_judge(struct node *n, enum ridd_status status, uint64_t latency_us, uint64_t now_us);
void node_was_slow(struct node *n);
/* The better of two that the request may go to; NULL: there is none. */
struct node *node_choose(struct request *r, uint64_t now_us);
/* Who remembers a node holds it: a node that is held keeps its place. */
void node_hold(struct node **slot, struct node *n);
/* A read that any node can answer begins. */
void node_reads_go_on(struct ridd *c, uint64_t now_us);
void node_probed(struct request *r, uint64_t now_us); /* REQ_FOR_PROBE */

/* ---- turn.c ---- */

struct attempt {
    struct ridd_reply *reply; /* owned */
    struct reply_hint hint;
    bool from_server; /* the failure is the server's word */
    bool unreachable; /* it was not asked */
    bool outdated;    /* it was denied to who the client was before it was told anew */
};
/* Begins: the request is filled and in no list. */
void turn_begin(struct request *r, uint64_t now_us);
/* Finds a node for a request that is ready. */
void turn_dispatch(struct request *r, uint64_t now_us);
/* Takes the reply; the request is on no connection any more. */
void turn_end(struct request *r, struct attempt *a, uint64_t now_us);
void turn_no_memory(struct request *r, uint64_t now_us);
/* Of ridd_connect(): takes the socket. */
void turn_connected(struct request *r, uint64_t now_us);
/* Ends it, wherever it is. Takes the reply. */
void turn_finish(struct request *r, struct ridd_reply *reply, uint64_t now_us);
void turn_cancel(struct request *r, const char *why, uint64_t now_us);
void turn_make_ready(struct request *r);

/* ---- session.c ---- */

enum session_state {
    SESSION_NONE = 0,
    SESSION_OPENING = 1,
    SESSION_OPEN = 2,
};
struct session {
    enum session_state state;
    char id[CALL_SESSION_ID_SIZE];
    uint64_t next_seq;
    struct list writes; /* by_seq: unanswered */
    struct list held;
    enum session_state cluster_state; /* of the token: OPEN: asked, whatever came of it */
    struct list held_for_cluster;
};
/* True: it is held, and will be made ready again. */
bool session_hold(struct request *r, uint64_t now_us);
/* Its number is not needed any more. */
void session_leave(struct request *r, uint64_t now_us);
void session_expired(struct request *r, uint64_t now_us);
int session_add_fields(const struct request *r, struct buf *line); /* 0 or -ENOMEM */
void session_saw(const struct request *r, const struct ridd_reply *reply);
/* Of libridd's own requests, in place of a callback. */
void request_answered(struct request *r, uint64_t now_us);

/* ---- the client ---- */

struct ridd {
    struct node *nodes[CALL_NODES_MAX]; /* owned; those of the list first */
    unsigned n_nodes;
    unsigned n_endpoints;
    struct node *aim;    /* where the leader is thought to be */
    struct node *prefer; /* NULL: none */
    struct prng prng;
    uint64_t next_id;
    uint64_t next_msg_id;
    unsigned timeout_ms;
    unsigned connect_timeout_ms;
    unsigned flags;
    struct ridd_retry retry; /* without defaults */
    struct ridd_limits limits;
    struct ridd_token token;
    struct session session;
    struct secure secure;
    unsigned n_secured; /* how often it was told */

    int epoll_fd; /* owned */
    int wake_fd;  /* owned: an eventfd, for names that were found and requests from outside */
    bool woken;
    bool is_processing;
    bool in_callback;
    bool is_closing;
    bool close_wanted;
    enum ridd_status refused;
    struct timers timers;
    struct table by_id;
    struct table by_msg;
    struct list ready;
    struct list waiting;
    struct list done;
    struct list done_inside; /* of libridd's own */
    struct list conns;
    struct list unread; /* connections that are read on in the next turn, whatever epoll says */
    struct list dead;   /* connections that go when nobody can hold them any more */
    size_t n_pending;
    size_t n_bytes;
    struct timer probe;
    uint64_t read_us; /* when the last read of RIDD_FLAG_SPREAD began */
    void (*on_close)(void *arg);
    void *on_close_arg;
};

/* ---- loop.c ---- */

/* A request that is not begun yet; NULL without memory. */
struct request *request_new(struct ridd *c, enum req_purpose purpose);
/* As ridd_async_start(). */
uint64_t request_start(struct ridd *c, const struct ridd_op *op, ridd_async_fn *fn, void *arg,
                       bool connect_only);
/* Begins what op_build() has filled. */
void request_begin(struct request *r, uint64_t now_us);
void loop_wake(struct ridd *c);
/* Waits up to wait_us (negative: for ever), and does one turn. False: the client is gone. */
bool loop_turn(struct ridd *c, int64_t wait_us);
/* Ends everything, with callbacks. */
void loop_close(struct ridd *c);

/* ---- client.c ---- */

bool retry_resolve(const struct ridd_retry *given, struct ridd_retry *ret);
void client_free(struct ridd *c);

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
