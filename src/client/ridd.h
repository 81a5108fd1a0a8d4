/* libridd: a client for ridd, the read index daemon. C99 and later, C++; -lridd (a static program:
 * -lridd -ljansson -lssl -lcrypto -lpthread; pkg-config libridd says it).
 *
 * For: linearizable reads and writes against a ridd cluster, with the retries done right. It finds
 * the leader, follows hints, waits out elections, and never sends a write twice unless the first
 * one certainly did not happen, or the write belongs to a session, where a repeat counts once.
 * This header has what both ways of calling share, and the calls that wait for their answer;
 * ridd_async.h has the calls that do not, ridd_event.h joins a client to a loop of libevent.
 *
 * Not for: a cache, a store for large objects, transactions over several keys.
 *
 *     struct ridd *c;
 *     if (ridd_open("10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400", NULL, &c) != RIDD_OK)
 *         ...
 *     struct ridd_reply *r = ridd_linearizable_read(c, ridd_key("leader"));
 *     if (r->status == RIDD_OK && r->exists)
 *         puts(r->value);                            // JSON text; r->string without the quotes
 *     else if (r->status != RIDD_OK)
 *         fprintf(stderr, "%s\n", r->text);
 *     ridd_reply_free(r);
 *     ridd_close(c);
 *
 * Units: milliseconds where a name ends in _ms, microseconds in _us, sizes in bytes.
 *
 * Ownership: a struct ridd_reply belongs to the caller until ridd_reply_free(), and everything that
 * its fields point at lives as long. No function returns NULL for a reply: without memory it is a
 * constant one with RIDD_NO_MEMORY, which may be freed like any other. What is passed in is read
 * during the call and not kept. Texts are UTF-8, NUL-terminated.
 *
 * Errors: every failure is a status. A call never ends the process, raises no signal (SIGPIPE
 * included), prints nothing, and leaves the struct ridd fit for the next call.
 *
 * Thread: one thread at a time per struct ridd; different ones are independent. Nothing is global.
 * A call that waits must not be made from a callback of ridd_async.h: it is RIDD_INVALID there.
 * While it waits, callbacks of other requests of the same client are run.
 *
 * Time: a call ends within its timeout. Names are looked up beside it. Interrupted system calls are
 * resumed with the time that is left.
 *
 * Structures that a program fills are set to zero first: all zero means the defaults, and fields
 * that a later version adds mean nothing then. Sizes of structures that only the library makes
 * (struct ridd_reply, struct ridd_item) are no promise: use them through pointers that it gave.
 *
 * Source: ridd-protocol(7), which also says what may be repeated after which failure; rules
 * CLIENT-9 and ASYNC-1 to ASYNC-16. */
#ifndef RIDD_H
#define RIDD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RIDD_API __attribute__((visibility("default")))
#else
#define RIDD_API
#endif

/* ---- version ---- */

/* Of this header; the functions tell that of the library, which may be newer. */
#define RIDD_VERSION_MAJOR 0
#define RIDD_VERSION_MINOR 1
#define RIDD_VERSION_PATCH 0
#define RIDD_VERSION       "0.1.0"
/* One byte each: 1.2.3 is 0x010203. */
#define RIDD_VERSION_NUMBER                                                                        \
    ((unsigned)RIDD_VERSION_MAJOR << 16 | RIDD_VERSION_MINOR << 8 | RIDD_VERSION_PATCH)
RIDD_API const char *ridd_version(void);
RIDD_API unsigned ridd_version_number(void);

/* More endpoints than this in one list are RIDD_INVALID. */
#define RIDD_ENDPOINTS_MAX 32
/* "[ipv6]:port" or a host name with a port, tls:// before it, and the NUL. */
#define RIDD_ENDPOINT_SIZE 269
#define RIDD_TEXT_SIZE     384
#define RIDD_NAME_SIZE     64
/* 16 hexadecimal digits and the NUL. */
#define RIDD_CLUSTER_SIZE 17
/* For fields whose 0 is a default: none at all. */
#define RIDD_NONE 0xffffffffu

/* ---- outcomes ---- */

/* RIDD_NOT_LEADER to RIDD_PRECONDITION_FAILED, and RIDD_DENIED, are the server's words, explained
 * in ridd-protocol(7); the rest is found out here. ridd_status_name() gives the word. */
enum ridd_status {
    RIDD_OK = 0,
    RIDD_NOT_LEADER = 1,
    RIDD_TERM_CHANGED = 2,
    RIDD_ROLE_CHANGED = 3,
    RIDD_TIMEOUT = 4, /* the server's word: this node could not finish in time */
    RIDD_NETWORK = 5, /* the server's word: no quorum was heard */
    RIDD_INTERNAL = 6,
    RIDD_CANCELLED = 7, /* also: by ridd_async_cancel() or ridd_close() */
    RIDD_OVERLOADED = 8,
    RIDD_BUSY = 9, /* also: more requests than ridd_set_limits() allows */
    RIDD_NO_SPACE = 10,
    RIDD_SESSION_EXPIRED = 11,
    RIDD_NOT_SUPPORTED = 12,
    RIDD_MALFORMED = 13,
    RIDD_TOO_LARGE = 14,
    RIDD_KEY_NOT_FOUND = 15,       /* cas on an absent key */
    RIDD_PRECONDITION_FAILED = 16, /* cas: the value differs */
    /* an error whose name this library does not know; see server_name and code */
    RIDD_OTHER_ERROR = 17,
    /* the server's word: who connected to its socket may not do that there; text says who may */
    RIDD_DENIED = 18,

    RIDD_UNREACHABLE = 32, /* no connection to any endpoint: the request was never sent */
    RIDD_NO_ANSWER = 33,   /* the time ran out while waiting (never for a write that was sent) */
    /* the connection broke while waiting (never for a write that was sent) */
    RIDD_DISCONNECTED = 34,
    RIDD_BAD_REPLY = 35, /* what came back is not the protocol (never for a write that was sent) */
    /* a write that may or may not have happened, or may yet happen; see cause */
    RIDD_OUTCOME_UNKNOWN = 36,
    RIDD_INVALID = 37, /* an argument is wrong: nothing was sent; text says which */
    RIDD_NO_MEMORY = 38
};

/* "ok", "not_leader", ..., "outcome_unknown", ...; "unknown" for any other number. Never NULL,
 * static. */
RIDD_API const char *ridd_status_name(enum ridd_status status);

/* ---- a client ---- */

struct ridd;

/* Give up as soon as every endpoint was tried and no connection could be made, instead of trying
 * until the time is over. For people who wait; a service that must ride out a restart leaves it
 * out. */
#define RIDD_FLAG_IMPATIENT 1u
/* Stay within the list: a hint at an address that is not in it counts as no hint. */
#define RIDD_FLAG_LISTED_ONLY 2u
/* Writes belong to a session, which the library opens and renews by itself: one whose answer was
 * lost is sent again, and the cluster applies it once. See ridd_retry(3). */
#define RIDD_FLAG_SESSION 4u
/* Session reads: RIDD_VIA_LOCAL (also in a scan) is never older than what this client has seen. See
 * struct ridd_token. */
#define RIDD_FLAG_MONOTONIC 8u
/* Reads that any node can answer (RIDD_VIA_DEFAULT, _FOLLOWER and _LOCAL, scans of these) go to the
 * better of two nodes of the list taken by chance, by their latency and what they have under way;
 * all else goes to the leader. */
#define RIDD_FLAG_SPREAD 16u

/* All zero means the defaults. */
struct ridd_options {
    unsigned timeout_ms; /* for a whole call, all attempts included; 0: 5000; at most 60000 */
    /* for one connection; 0: 1000; never more than what the call has left */
    unsigned connect_timeout_ms;
    unsigned flags; /* RIDD_FLAG_* */
    uint64_t seed;  /* of the jitter between attempts; 0: a fresh one */
};

/* endpoints: "host:port" or "[v6]:port", separated by commas or white space, at least one. With
 * tls:// before it TLS is spoken there, with tcp:// never, with neither where ridd_set_tls() was
 * told what TLS needs. "unix:/path": a socket of this host. Connects to nothing yet. options may be
 * NULL. On RIDD_INVALID or RIDD_NO_MEMORY *ret_client is unchanged; ridd_check_endpoints() says
 * why. */
RIDD_API enum ridd_status ridd_open(const char *endpoints, const struct ridd_options *options,
                                    struct ridd **ret_client);
/* RIDD_OK, or RIDD_INVALID with a sentence in text (cut to size; text may be NULL when size is 0).
 */
RIDD_API enum ridd_status ridd_check_endpoints(const char *endpoints, char *text, size_t size);
/* NULL is accepted. Requests of ridd_async.h that are under way end with RIDD_CANCELLED: their
 * callbacks run in here. From a callback: the client is closed, and the other callbacks are run,
 * when it has returned. */
RIDD_API void ridd_close(struct ridd *client);
/* The ridd_set_ functions are for the calls that follow, and keep a copy. RIDD_INVALID: nothing is
 * changed. timeout_ms: 1 to 60000. */
RIDD_API enum ridd_status ridd_set_timeout(struct ridd *client, unsigned timeout_ms);

/* What is tried again, and when. All zero means the defaults.
 *
 * A hint at the leader is followed at once, up to three in a row, and is no retry. After a time-out
 * and where a server is overloaded the next attempt waits; after any other failure that another try
 * may help, the other nodes are asked at once, then there is a pause, too. The first pause is
 * backoff_ms, each further one twice as long, none above backoff_ms_max, and each is up to
 * jitter_percent longer or shorter by chance. What may be repeated at all: see "writes". */
struct ridd_retry {
    unsigned max_retries;    /* 0: as many as the time allows; RIDD_NONE: none */
    unsigned backoff_ms;     /* 0: 10 */
    unsigned backoff_ms_max; /* 0: 400; not below backoff_ms */
    unsigned jitter_percent; /* 0: 50; at most 100; RIDD_NONE: no jitter */
    /* 0: timeout_ms bounds the whole call. Otherwise this does, up to a day, and timeout_ms each
     * attempt. */
    unsigned total_ms;
};
/* NULL: the defaults. */
RIDD_API enum ridd_status ridd_set_retry(struct ridd *client, const struct ridd_retry *retry);

/* Reads that any node can answer go to this node ("host:port", which need not be in the list), as
 * long as it answers. NULL or "": no node in particular. */
RIDD_API enum ridd_status ridd_set_prefer(struct ridd *client, const char *endpoint);

/* All zero means the defaults. */
struct ridd_limits {
    unsigned requests;  /* under way or not called back yet; 0: 10000; above: RIDD_BUSY */
    unsigned in_flight; /* of these at one node, unanswered; the others wait here; 0: 128 */
    size_t bytes;       /* of requests that are under way; 0: 64 MiB; above: RIDD_BUSY */
};
RIDD_API enum ridd_status ridd_set_limits(struct ridd *client, const struct ridd_limits *limits);

/* How far a client of RIDD_FLAG_MONOTONIC has seen: the highest index of any reply, and of which
 * cluster. Handed to another client (of any process) it makes that one see as much. The cluster is
 * part of it, because a cluster that was restored has other entries under its indexes. */
struct ridd_token {
    char cluster[RIDD_CLUSTER_SIZE]; /* "" : not known */
    uint64_t index;
};
RIDD_API void ridd_token(const struct ridd *client, struct ridd_token *ret_token);
/* The later of what the client has and this one. NULL: it begins anew. RIDD_INVALID: no token, or
 * one of another cluster than the client has seen. */
RIDD_API enum ridd_status ridd_set_token(struct ridd *client, const struct ridd_token *token);

/* What TLS is done with. All zero means nothing: no endpoint is spoken to in TLS. Files are PEM,
 * or as ridd.conf(5) says of secrets; "credential:NAME" is one of $CREDENTIALS_DIRECTORY.
 *
 * A server is known by a certificate (ca_file) or because it has the secret (secret_file); with
 * both either will do. One that is neither is not spoken to (RIDD_UNREACHABLE, with words). */
struct ridd_tls {
    const char *ca_file;   /* authorities that servers' certificates come from */
    const char *cert_file; /* who this client is; with what leads to its authority */
    const char *key_file;
    /* A client's secret, `NAME ID DIGITS`, or the cluster's own; that one needs `cluster`. */
    const char *secret_file;
    const char *cluster;     /* its name */
    const char *server_name; /* in its certificate; NULL: the host of the endpoint */
    /* Said on each new connection before anything else; within TLS only, never without
     * (RIDD_INVALID); not on a socket of this host. One of both. */
    const char *token;
    const char *token_file; /* its first line */
    unsigned flags;         /* 0 */
};
/* Reads all files at once; what it was given before is forgotten. Connections that are there go on
 * as they are, new ones use it: to be called again when files have changed. What is denied on an
 * older one is asked again on a new one. NULL: nothing. On RIDD_INVALID, and RIDD_NO_MEMORY,
 * nothing is changed, and text says why (cut to size; it may be NULL when size is 0). */
RIDD_API enum ridd_status ridd_set_tls(struct ridd *client, const struct ridd_tls *tls, char *text,
                                       size_t size);

RIDD_API unsigned ridd_endpoint_count(const struct ridd *client);
/* The endpoint at this place of the list, NULL beyond its end. Lives as long as the client. */
RIDD_API const char *ridd_endpoint(const struct ridd *client, unsigned place);

/* ---- replies ---- */

struct ridd_item {
    const char *key;   /* JSON text, as sent */
    const char *value; /* JSON text; "null" when absent, NULL in a scan of keys */
    size_t value_len;
    int exists;
    const char *key_string; /* the text inside when the key is a string; NULL: an integer key */
    int64_t key_integer;
    const char *string; /* the text inside when value is a JSON string, else NULL */
};

/* What the reply proves of a read. */
enum ridd_guarantee {
    RIDD_GUARANTEE_UNSAID = 0,      /* no read, or the reply does not say */
    RIDD_GUARANTEE_NONE = 1,        /* it may be old */
    RIDD_GUARANTEE_SESSION = 2,     /* not older than the min_index that was asked for */
    RIDD_GUARANTEE_BOUNDED = 3,     /* not older than staleness_us */
    RIDD_GUARANTEE_LINEARIZABLE = 4 /* not older than the call */
};
/* "unsaid", "none", "session", "bounded", "linearizable"; "unknown" for any other number. */
RIDD_API const char *ridd_guarantee_name(enum ridd_guarantee guarantee);

/* Where the time of a call went. The first three are of its last attempt, measured here. */
struct ridd_stages {
    uint64_t before_us; /* until it began: attempts and pauses before it */
    uint64_t queue_us;  /* until it was handed to the kernel: connecting, others in front */
    uint64_t answer_us; /* until the reply was here */
    /* What the server says of it, where it does: waiting for a leader, for a round or a lease to
     * prove that it leads, for its log to be stored by a quorum, for its state to get there;
     * and in all. -1: not said. */
    int64_t leader_us;
    int64_t round_us;
    int64_t commit_us;
    int64_t apply_us;
    int64_t server_us;
};

struct ridd_reply {
    enum ridd_status status;
    enum ridd_status cause; /* what is behind RIDD_OUTCOME_UNKNOWN; otherwise equal to status */
    int code; /* the server's number (ridd-protocol(7)); -1 when the failure is not its word */
    /* on failure, 1: the operation certainly did not happen and never will. On RIDD_OK 1 */
    int definite;
    /* on failure one sentence for a person, lower case, no full stop; else "" */
    char text[RIDD_TEXT_SIZE];
    /* the server's "error", also when this library does not know it; else "" */
    char server_name[RIDD_NAME_SIZE];
    char leader_id[RIDD_NAME_SIZE];    /* from whoever named it, "" when nobody did */
    char endpoint[RIDD_ENDPOINT_SIZE]; /* who answered, or failed last; "" when nobody was asked */
    unsigned attempts;                 /* requests sent or connections tried */
    uint64_t elapsed_us;               /* of the whole call */

    /* Reads. value is JSON text exactly as the server sent it ("null" for an absent key); NULL when
     * the reply has none. string is the text inside when value is a JSON string, else NULL. */
    const char *value;
    size_t value_len;
    const char *string;
    int exists; /* reads: 1 when the key exists; delete: 1 when it did */
    /* 1 only when the reply says so, or the read went through the log; a node of an older version
     * does not say it for RIDD_VIA_DEFAULT, and index is 0 then */
    int linearizable;
    int heartbeat_confirmed; /* 1 only when the reply says so */
    /* of the state that was read, of the log marker, or of the write; 0: not said */
    uint64_t index;
    size_t n_items; /* batch, scan */
    const struct ridd_item *items;

    const char *json; /* the whole reply line, also of a server's error; NULL when there was none */
    size_t json_len;

    enum ridd_guarantee guarantee;
    int lease_valid;      /* RIDD_VIA_LEASE: 1 when a lease proved it, 0 when a round did; -1 */
    int64_t staleness_us; /* max_stale_ms: how old at most; -1: not said */
    int more;             /* scan: 1 when keys follow behind the last item */
    char served_by[RIDD_NAME_SIZE]; /* the node that read, where the reply says it; else "" */
    char proof[RIDD_NAME_SIZE];     /* what proved a read, in the server's word; else "" */
    struct ridd_stages stages;
};

/* NULL is accepted. */
RIDD_API void ridd_reply_free(struct ridd_reply *reply);

/* ---- keys and values ---- */

/* A key is a string of 1 to 480 bytes of UTF-8, or an integer; 3 and "3" are different keys. */
struct ridd_key {
    const char *string; /* NULL: an integer key */
    int64_t integer;
};

static inline struct ridd_key ridd_key(const char *string)
{
    struct ridd_key key;

    key.string = string != NULL ? string : "";
    key.integer = 0;
    return key;
}

static inline struct ridd_key ridd_key_int(int64_t integer)
{
    struct ridd_key key;

    key.string = NULL;
    key.integer = integer;
    return key;
}

/* The JSON string for len bytes of UTF-8 without NUL: quoted, escaped. RIDD_OK, RIDD_INVALID or
 * RIDD_NO_MEMORY; *ret_json is the caller's, to be freed with free(). */
RIDD_API enum ridd_status ridd_json_string(const char *text, size_t len, char **ret_json);

/* A value is any JSON. These make one without writing JSON by hand; what they point at must live
 * until the call has returned. */
enum ridd_value_type {
    RIDD_VALUE_NONE = 0,
    RIDD_VALUE_JSON = 1,    /* text, NUL-terminated */
    RIDD_VALUE_STRING = 2,  /* len bytes of UTF-8 without NUL */
    RIDD_VALUE_BYTES = 3,   /* any len bytes, stored as a JSON string of their Base64 */
    RIDD_VALUE_INTEGER = 4, /* integer */
    RIDD_VALUE_NULL = 5
};

struct ridd_value {
    enum ridd_value_type type;
    const void *data;
    size_t len;
    int64_t integer;
};

static inline struct ridd_value ridd_value_of(enum ridd_value_type type, const void *data,
                                              size_t len)
{
    struct ridd_value value;

    value.type = type;
    value.data = data;
    value.len = len;
    value.integer = 0;
    return value;
}

static inline struct ridd_value ridd_value_json(const char *json)
{
    return ridd_value_of(RIDD_VALUE_JSON, json, json != NULL ? strlen(json) : 0);
}

static inline struct ridd_value ridd_value_string(const char *text)
{
    return ridd_value_of(RIDD_VALUE_STRING, text, text != NULL ? strlen(text) : 0);
}

static inline struct ridd_value ridd_value_bytes(const void *data, size_t len)
{
    return ridd_value_of(RIDD_VALUE_BYTES, data, len);
}

static inline struct ridd_value ridd_value_integer(int64_t integer)
{
    struct ridd_value value = ridd_value_of(RIDD_VALUE_INTEGER, NULL, 0);

    value.integer = integer;
    return value;
}

static inline struct ridd_value ridd_value_null(void)
{
    return ridd_value_of(RIDD_VALUE_NULL, NULL, 0);
}

/* The bytes that RIDD_VALUE_BYTES stored, from reply->string or item->string (RFC 4648, padded, no
 * white space). The same bytes are always the same text, so that cas works on them. RIDD_OK,
 * RIDD_INVALID (no Base64, or text is NULL) or RIDD_NO_MEMORY; *ret_bytes is the caller's, to be
 * freed with free(), never NULL on RIDD_OK. */
RIDD_API enum ridd_status ridd_bytes(const char *text, unsigned char **ret_bytes, size_t *ret_len);

/* ---- reads ---- */

/* A failed read is tried again, on this node or another, as a *new* read, until the time is over;
 * so that its answer is never older than the call. An absent key is RIDD_OK with exists 0: absence,
 * too, is an answer. */
enum ridd_via {
    RIDD_VIA_DEFAULT = 0, /* what the node asked finds best */
    RIDD_VIA_READ_INDEX = 1,
    RIDD_VIA_LOG = 2,
    RIDD_VIA_LEASE = 3,
    RIDD_VIA_FOLLOWER = 4,
    /* any node, also without a leader; how old it may be say min_index and max_stale_ms of a
     * struct ridd_op, and RIDD_FLAG_MONOTONIC; without these any age */
    RIDD_VIA_LOCAL = 5
};

/* "default", "read_index", "log", "lease", "follower", "local"; NULL for any other number. */
RIDD_API const char *ridd_via_name(enum ridd_via via);
RIDD_API struct ridd_reply *ridd_get(struct ridd *client, struct ridd_key key, enum ridd_via via);
/* The same by read_index, or with RIDD_FLAG_SPREAD or ridd_set_prefer() by follower; and RIDD_OK
 * only when the server says that it is linearizable, otherwise RIDD_BAD_REPLY. */
RIDD_API struct ridd_reply *ridd_linearizable_read(struct ridd *client, struct ridd_key key);
/* Up to 128 keys, all at one index, in the order asked: reply->items. */
RIDD_API struct ridd_reply *ridd_batch_get(struct ridd *client, const struct ridd_key *keys,
                                           size_t n_keys);

/* ---- writes ---- */

/* A write is tried again only while it certainly did not happen: it was not sent, or a server said
 * so and that another try may help. Otherwise the status is RIDD_OUTCOME_UNKNOWN: read the key to
 * find out, and think about what else may have been written meanwhile. With RIDD_FLAG_SESSION it is
 * tried again until its time is over, and is RIDD_OUTCOME_UNKNOWN only then, or when the cluster
 * has forgotten the session (cause RIDD_SESSION_EXPIRED); the next write begins a new one. json is
 * one JSON value; white space around its parts is taken out. */
RIDD_API struct ridd_reply *ridd_put(struct ridd *client, struct ridd_key key, const char *json);
/* RIDD_OK also when there was nothing to delete: exists tells. */
RIDD_API struct ridd_reply *ridd_del(struct ridd *client, struct ridd_key key);
/* from becomes to, or RIDD_PRECONDITION_FAILED, or RIDD_KEY_NOT_FOUND; with create an absent key
 * becomes to. Beware of a precondition that your own lost write has changed: after
 * RIDD_OUTCOME_UNKNOWN the value may already be `to`. */
RIDD_API struct ridd_reply *ridd_cas(struct ridd *client, struct ridd_key key, const char *from,
                                     const char *to, int create);
RIDD_API struct ridd_reply *ridd_put_value(struct ridd *client, struct ridd_key key,
                                           struct ridd_value value);
RIDD_API struct ridd_reply *ridd_cas_value(struct ridd *client, struct ridd_key key,
                                           struct ridd_value from, struct ridd_value to,
                                           int create);

/* ---- the cluster ---- */

/* Of one node, which need not be in the list, on a connection of its own, one attempt: reply->json
 * is the status_ok. Works without a leader. */
RIDD_API struct ridd_reply *ridd_status(struct ridd *client, const char *endpoint);
/* Makes node `to` the leader (NULL: whichever is furthest): reply->leader_id. */
RIDD_API struct ridd_reply *ridd_transfer(struct ridd *client, const char *to);

/* Asks one node, which need not be in the list, to make a snapshot of its state, on a connection of
 * its own: reply->json is the snapshot_ok, which comes at once. How far it is ridd_status()
 * tells. */
RIDD_API struct ridd_reply *ridd_snapshot(struct ridd *client, const char *endpoint);
/* A part of a snapshot of the node that is asked, from the byte `offset` of its file on; index and
 * term 0: of its newest. reply->json is the snapshot_part_ok, ridd-protocol(7). For a client whose
 * list is that one node, with RIDD_FLAG_LISTED_ONLY: snapshots of the same entry are other bytes on
 * another node. The end of the file holds what the nodes prove themselves by: keep it to yourself.
 */
RIDD_API struct ridd_reply *ridd_snapshot_part(struct ridd *client, uint64_t index, uint64_t term,
                                               uint64_t offset);

/* ---- anything else ---- */

enum ridd_kind {
    RIDD_KIND_READ = 0,  /* try again on any failure that another try may help */
    RIDD_KIND_WRITE = 1, /* as ridd_put() */
    /* Try again only when it was not sent or the node did not lead: for what is long, or pointless
     * a second time. A connection that breaks later is RIDD_DISCONNECTED, not RIDD_OUTCOME_UNKNOWN.
     */
    RIDD_KIND_ONCE = 2
};

/* json: one object with at least "type". "msg_id" is added, and "timeout_ms" unless it is there; a
 * "msg_id" of your own is RIDD_INVALID. timeout_ms: 0 is the client's; a longer one than 60000 (up
 * to a day) is not told to the server, which suits compare_read_methods. */
RIDD_API struct ridd_reply *ridd_request(struct ridd *client, const char *json, enum ridd_kind kind,
                                         unsigned timeout_ms);
/* The same to one endpoint, on a connection of its own, one attempt. */
RIDD_API struct ridd_reply *ridd_request_at(struct ridd *client, const char *endpoint,
                                            const char *json, enum ridd_kind kind,
                                            unsigned timeout_ms);
/* A connected, non-blocking socket to the first endpoint that answers, for those who speak the
 * protocol themselves. The caller's to close(); the client keeps nothing of it. reply->endpoint
 * says where it leads. *ret_fd is -1 on failure. RIDD_INVALID for one that speaks TLS. */
RIDD_API struct ridd_reply *ridd_connect(struct ridd *client, int *ret_fd);

/* ---- any request, described ---- */

enum ridd_op_type {
    RIDD_OP_GET = 1,       /* key, via */
    RIDD_OP_BATCH = 2,     /* keys, n_keys */
    RIDD_OP_SCAN = 3,      /* prefix, or start and end; after, limit, keys_only, int_keys, via */
    RIDD_OP_PUT = 4,       /* key, value */
    RIDD_OP_CAS = 5,       /* key, from, value, create */
    RIDD_OP_DELETE = 6,    /* key */
    RIDD_OP_TRANSFER = 7,  /* to */
    RIDD_OP_STATUS = 8,    /* of `node`, or of any */
    RIDD_OP_MEMBERS = 9,   /* the same */
    RIDD_OP_SNAPSHOT = 10, /* of `node` */
    RIDD_OP_SNAPSHOT_PART = 11, /* index, term, offset */
    RIDD_OP_REQUEST = 12,       /* json, kind: changes of the members, and whatever is to come */
    RIDD_OP_PING = 13           /* of `node`, or of any */
};

/* All zero but the type, then the fields that the type names; ridd_op() begins one. */
struct ridd_op {
    enum ridd_op_type type;
    enum ridd_via via;
    struct ridd_key key;
    const struct ridd_key *keys;
    size_t n_keys;
    struct ridd_value value;
    struct ridd_value from;
    int create;

    /* scan: string keys in byte order, or with int_keys integer keys by number. start is included,
     * end is not; after is the last key of the page before. prefix stands alone. via: as
     * ridd_get(). */
    const char *prefix;
    const struct ridd_key *start;
    const struct ridd_key *end;
    const struct ridd_key *after;
    unsigned limit; /* 0: as many as the server gives */
    int keys_only;
    int int_keys;

    /* RIDD_VIA_LOCAL, and pages of a scan that go on where another node ended. */
    uint64_t min_index;    /* waits until the node has come that far */
    const char *cluster;   /* the cluster that min_index is of, as in struct ridd_token; or NULL */
    unsigned max_stale_ms; /* waits until the node can prove that it is not older; 0: no matter */

    const char *json;
    enum ridd_kind kind;
    const char *to;
    uint64_t index;
    uint64_t term;
    uint64_t offset;

    const char *node; /* "host:port": one attempt, there, on a connection of its own */
    /* 0: the client's; up to a day, of which the server is told no more than 60000 */
    unsigned timeout_ms;
    const struct ridd_retry *retry; /* NULL: the client's */
};

static inline struct ridd_op ridd_op(enum ridd_op_type type)
{
    struct ridd_op op;

    memset(&op, 0, sizeof(op));
    op.type = type;
    return op;
}

/* Runs it, and waits for its answer. */
RIDD_API struct ridd_reply *ridd_call(struct ridd *client, const struct ridd_op *op);
/* The key of an item, to go on behind it (`after`). Lives as long as the item. */
static inline struct ridd_key ridd_item_key(const struct ridd_item *item)
{
    struct ridd_key key;

    key.string = item->key_string;
    key.integer = item->key_integer;
    return key;
}

#ifdef __cplusplus
}
#endif

#endif
