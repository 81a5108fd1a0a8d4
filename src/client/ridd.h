/* libridd: a client for ridd, the read index daemon. Blocking; C99 and later; -lridd -ljansson.
 *
 * For: linearizable reads and writes against a ridd cluster, with the retries done right. It finds
 * the leader, follows hints, waits out elections, and never sends a write twice unless the first
 * one certainly did not happen.
 *
 * Not for: a pool (one connection, one request at a time per struct ridd), an event loop, a cache.
 *
 *     struct ridd *c;
 *     if (ridd_open("10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400", NULL, &c) != RIDD_OK)
 *         ...
 *     struct ridd_reply *r = ridd_get(c, ridd_key("leader"), RIDD_VIA_READ_INDEX);
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
 * constant one with RIDD_NO_MEMORY, which may be freed like any other. Strings passed in are read
 * during the call and not kept. Texts are UTF-8, NUL-terminated.
 *
 * Errors: every failure is a status. A call never ends the process, raises no signal (SIGPIPE
 * included), prints nothing, and leaves the struct ridd fit for the next call.
 *
 * Thread: one thread at a time per struct ridd; different ones are independent. Nothing is global.
 *
 * Time: a call ends within its timeout, but for looking up host names, which libc cannot bound
 * (addresses are not looked up). Interrupted system calls are resumed with the time that is left.
 *
 * Source: ridd-protocol(7), which also says what may be repeated after which failure. */
#ifndef RIDD_H
#define RIDD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RIDD_API __attribute__((visibility("default")))
#else
#define RIDD_API
#endif

/* More endpoints than this in one list are RIDD_INVALID. */
#define RIDD_ENDPOINTS_MAX 32
/* "[ipv6]:port" or a host name with a port, and the NUL. */
#define RIDD_ENDPOINT_SIZE 263
#define RIDD_TEXT_SIZE     384
#define RIDD_NAME_SIZE     64

/* ---- outcomes ---- */

/* RIDD_NOT_LEADER to RIDD_PRECONDITION_FAILED are the server's words, explained in
 * ridd-protocol(7); the rest is found out here. ridd_status_name() gives the word. */
enum ridd_status {
    RIDD_OK = 0,
    RIDD_NOT_LEADER = 1,
    RIDD_TERM_CHANGED = 2,
    RIDD_ROLE_CHANGED = 3,
    RIDD_TIMEOUT = 4, /* the server's word: this node could not finish in time */
    RIDD_NETWORK = 5, /* the server's word: no quorum was heard */
    RIDD_INTERNAL = 6,
    RIDD_CANCELLED = 7,
    RIDD_OVERLOADED = 8,
    RIDD_BUSY = 9,
    RIDD_NO_SPACE = 10,
    RIDD_SESSION_EXPIRED = 11,
    RIDD_NOT_SUPPORTED = 12,
    RIDD_MALFORMED = 13,
    RIDD_TOO_LARGE = 14,
    RIDD_KEY_NOT_FOUND = 15,       /* cas on an absent key */
    RIDD_PRECONDITION_FAILED = 16, /* cas: the value differs */
    /* an error whose name this library does not know; see server_name and code */
    RIDD_OTHER_ERROR = 17,

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

/* All zero means the defaults. */
struct ridd_options {
    unsigned timeout_ms; /* for a whole call, all attempts included; 0: 5000; at most 60000 */
    /* for one connection; 0: 1000; never more than what the call has left */
    unsigned connect_timeout_ms;
    unsigned flags; /* RIDD_FLAG_* */
    uint64_t seed;  /* of the jitter between attempts; 0: a fresh one */
};

/* endpoints: "host:port" or "[v6]:port", separated by commas or white space, at least one. Connects
 * to nothing yet. options may be NULL. On RIDD_INVALID or RIDD_NO_MEMORY *ret_client is unchanged;
 * ridd_check_endpoints() says why. */
RIDD_API enum ridd_status ridd_open(const char *endpoints, const struct ridd_options *options,
                                    struct ridd **ret_client);
/* RIDD_OK, or RIDD_INVALID with a sentence in text (cut to size; text may be NULL when size is 0).
 */
RIDD_API enum ridd_status ridd_check_endpoints(const char *endpoints, char *text, size_t size);
/* NULL is accepted. */
RIDD_API void ridd_close(struct ridd *client);
/* For the calls that follow. Out of range (0, more than 60000): RIDD_INVALID, unchanged. */
RIDD_API enum ridd_status ridd_set_timeout(struct ridd *client, unsigned timeout_ms);
RIDD_API unsigned ridd_endpoint_count(const struct ridd *client);
/* The endpoint at this place of the list, NULL beyond its end. Lives as long as the client. */
RIDD_API const char *ridd_endpoint(const struct ridd *client, unsigned place);

/* ---- replies ---- */

struct ridd_item {
    const char *key;   /* JSON text, as sent */
    const char *value; /* JSON text; "null" when absent */
    size_t value_len;
    int exists;
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
    size_t n_items; /* batch */
    const struct ridd_item *items;

    const char *json; /* the whole reply line, also of a server's error; NULL when there was none */
    size_t json_len;
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
    RIDD_VIA_LOCAL = 5 /* may be old; any node, also without a leader */
};

/* "default", "read_index", "log", "lease", "follower", "local"; NULL for any other number. */
RIDD_API const char *ridd_via_name(enum ridd_via via);
RIDD_API struct ridd_reply *ridd_get(struct ridd *client, struct ridd_key key, enum ridd_via via);
/* Up to 128 keys, all at one index, in the order asked: reply->items. */
RIDD_API struct ridd_reply *ridd_batch_get(struct ridd *client, const struct ridd_key *keys,
                                           size_t n_keys);

/* ---- writes ---- */

/* A write is tried again only while it certainly did not happen: it was not sent, or a server said
 * so and that another try may help. Otherwise the status is RIDD_OUTCOME_UNKNOWN: read the key to
 * find out, and think about what else may have been written meanwhile. json is one JSON value;
 * white space around its parts is taken out. */
RIDD_API struct ridd_reply *ridd_put(struct ridd *client, struct ridd_key key, const char *json);
/* RIDD_OK also when there was nothing to delete: exists tells. */
RIDD_API struct ridd_reply *ridd_del(struct ridd *client, struct ridd_key key);
/* from becomes to, or RIDD_PRECONDITION_FAILED, or RIDD_KEY_NOT_FOUND; with create an absent key
 * becomes to. Beware of a precondition that your own lost write has changed: after
 * RIDD_OUTCOME_UNKNOWN the value may already be `to`. */
RIDD_API struct ridd_reply *ridd_cas(struct ridd *client, struct ridd_key key, const char *from,
                                     const char *to, int create);

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
 * says where it leads. *ret_fd is -1 on failure. */
RIDD_API struct ridd_reply *ridd_connect(struct ridd *client, int *ret_fd);

#ifdef __cplusplus
}
#endif

#endif
