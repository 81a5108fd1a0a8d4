/* Client requests: one line of JSON to a struct.
 *
 * For: both forms of a request, bare and in an envelope. Total: any bytes give a request or a
 * refusal that says what and where (WIRE-3). Depth is looked at before jansson parses, because it
 * recurses; duplicate keys, NUL, overflow and the counts of limits.h are refused.
 *
 * Not for: serving them; does no I/O.
 *
 * Units: lengths in bytes, timeouts in milliseconds.
 *
 * Ownership: what a decoder returns points into the decoder, and is valid until its next decode;
 * what must live longer is copied (wire_origin_copy()).
 *
 * Errors: WIRE_REQUEST_* or -ENOMEM.
 *
 * Thread: one decoder per thread. Before threads start, call json_object_seed(0) (the hash of keys
 * must not be known from outside; the simulator seeds a constant), and make the first decoder: it
 * sets jansson's allocator to malloc and free, noting failures, since jansson itself overlooks
 * some.
 *
 * Source: ridd-protocol(7). */
#ifndef RIDD_WIRE_REQUEST_H
#define RIDD_WIRE_REQUEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/outcome.h"
#include "base/slice.h"
#include "wire/command.h"
#include "wire/errors.h"

enum wire_request_type {
    WIRE_REQ_READ_INDEX = 1,
    WIRE_REQ_READ_VIA_LOG,
    WIRE_REQ_COMPARE, /* "compare_read_methods" */
    WIRE_REQ_BATCH_READ_INDEX,
    WIRE_REQ_FOLLOWER_READ,
    WIRE_REQ_LEASE_READ,
    WIRE_REQ_LOCAL_READ,
    WIRE_REQ_READ,
    WIRE_REQ_SCAN,
    WIRE_REQ_WRITE,
    WIRE_REQ_CAS,
    WIRE_REQ_DELETE,
    WIRE_REQ_OPEN_SESSION,
    WIRE_REQ_INIT,
    WIRE_REQ_PING,
    WIRE_REQ_STATUS,
    WIRE_REQ_EVENTS,
    WIRE_REQ_SLOW,
    WIRE_REQ_MEMBERS,
    WIRE_REQ_TRANSFER_LEADER,
    WIRE_REQ_SNAPSHOT,
    WIRE_REQ_SNAPSHOT_PART,
    WIRE_REQ_MEMBER_ADD,
    WIRE_REQ_MEMBER_REMOVE,
    WIRE_REQ_MEMBER_PROMOTE,
    WIRE_REQ_MEMBER_DEMOTE,
    WIRE_REQ_MEMBER_SET_ADDR,
    WIRE_REQ_MEMBER_REPLACE,
    WIRE_REQ_MEMBER_REJOIN,
    WIRE_REQ_AUTH,
    WIRE_REQ_UNKNOWN, /* type is a string that is none of these: error 10 */
    WIRE_REQ_PEER,    /* an envelope whose type was registered with wire_decoder_set_peer_types */
};
const char *wire_request_type_name(enum wire_request_type type);

/* How a read is asked for; the values are also the bits of `methods`. */
enum wire_via {
    WIRE_VIA_DEFAULT = 0,
    WIRE_VIA_READ_INDEX = 1,
    WIRE_VIA_LOG = 2,
    WIRE_VIA_LEASE = 4,
    WIRE_VIA_FOLLOWER = 8,
    WIRE_VIA_LOCAL = 16,
    WIRE_VIA_BOUNDED = 32, /* `methods` alone: a local_read with max_stale_ms */
};

/* As `via` names it; NULL for DEFAULT. And back: DEFAULT for what is none of these. */
const char *wire_via_name(enum wire_via via);
enum wire_via wire_via_from_name(const char *name, size_t len);

/* What a reply must repeat. src and dest are the request's; slices into the decoder until
 * wire_origin_copy(). */
struct wire_origin {
    bool envelope;
    bool has_msg_id;
    uint64_t msg_id;
    struct wire_slice src;
    struct wire_slice dest;
};
/* A copy that owns its strings (one malloc, ret->src.data; NULL for the bare form); free with
 * wire_origin_done(). */
int wire_origin_copy(const struct wire_origin *o, struct wire_origin *ret);
void wire_origin_done(struct wire_origin *o);

/* snapshot_part: which one, and from where on. Index and term 0: the newest. */
struct wire_part {
    uint64_t index;
    uint64_t term;
    uint64_t offset;
};

/* scan: a page of keys. from and to are bounds in the form of keys as stored, and need not be keys:
 * all of them are of one kind, and so are the keys between (SCAN-4). */
struct wire_scan {
    struct wire_key from;
    bool behind; /* not `from` itself */
    struct wire_key to;
    uint32_t limit; /* SCAN_ITEMS_MAX when absent */
    bool keys_only;
};

/* member_*: a change of the members. */
struct wire_member {
    struct wire_slice id;          /* whose place it is: a node name */
    struct wire_slice peer_addr;   /* add, set_addr, replace; rejoin: absent: as it was */
    struct wire_slice client_addr; /* likewise */
    struct wire_slice old;         /* replace: who leaves */
    bool learner;                  /* add, rejoin: it is to stay one */
    bool dry_run;                  /* only say what would be */
    bool force;                    /* also where the voters that are heard are no quorum then */
    uint64_t based_on;             /* index of the configuration it was made from; 0: any */
};

struct wire_request {
    enum wire_request_type type;
    struct wire_slice type_name; /* as sent */
    struct wire_origin origin;
    bool verbose;
    uint32_t timeout_ms; /* TIMEOUT_MS_DEFAULT when absent */
    struct wire_key key;
    unsigned n_keys; /* batch_read_index */
    const struct wire_key *keys;
    struct wire_slice value; /* write: value; cas: to. Compact text */
    struct wire_slice from;  /* cas */
    bool create_if_not_exists;
    enum wire_via via; /* read, scan */
    /* local_read, scan: what the client has seen (TOKEN-1) */
    uint64_t min_index;        /* 0: nothing */
    struct wire_slice cluster; /* absent: not said */
    const struct wire_scan *scan;
    uint32_t max_stale_ms; /* local_read, compare; 0: any age */
    uint32_t num_reads;    /* compare */
    uint32_t concurrency;  /* compare; 1 when absent */
    unsigned methods;      /* compare: WIRE_VIA_* bits, with `only` all of them, else besides two */
    bool only;             /* compare */
    bool cost;             /* compare */
    bool has_session;      /* write, cas, delete */
    uint64_t client;
    bool has_seal; /* behind the number of the session (ACCESS-16) */
    uint64_t seal;
    uint64_t seq;
    uint64_t first;            /* 1 when absent; not above seq */
    struct wire_slice to;      /* transfer_leader: node name; absent: any */
    struct wire_member member; /* member_* */
    struct wire_part part;     /* snapshot_part */
    uint64_t after;            /* events: those behind this one; 0: the last ones */
    uint32_t limit;            /* events: EVENTS_TOLD_DEFAULT when absent */
    struct wire_slice token;   /* auth; never to be shown to anybody (ACCESS-12) */
    struct wire_slice node_id; /* init */
    unsigned n_node_ids;
    const struct wire_slice *node_ids;
    const void *json; /* the body, a json_t *, borrowed: for WIRE_REQ_PEER */
};

/* Why a line was refused; enough for the reply. */
struct wire_refused {
    /* MALFORMED or TOO_LARGE; of NOT_SUPPORTED, which a caller may fill in, field is the type */
    enum wire_error error;
    struct wire_origin origin; /* has_msg_id only when it could be read */
    char field[64];            /* "" when the line as a whole is at fault */
    /* the bound that was broken: bytes, keys, levels, or the largest number; 0: none */
    uint64_t limit;
    char text[192]; /* lower case sentence for the person */
};

struct wire_decoder;
int wire_decoder_new(struct wire_decoder **ret);
void wire_decoder_free(struct wire_decoder *d);
/* Names of peer message types, for the Maelstrom node; borrowed as long as the decoder lives. The
 * limit of keys in a value does not hold for their bodies. */
void wire_decoder_set_peer_types(struct wire_decoder *d, const char *const *names, size_t n);
/* REFUSED: *ret_refused says why. BLANK: only white space, which is nothing and gets no answer. */
#define WIRE_REQUEST_OUTCOMES(X)                                                                   \
    X(WIRE_REQUEST_REFUSED, 1, "the line is refused")                                              \
    X(WIRE_REQUEST_BLANK, 2, "the line is blank")                                                  \
    X(WIRE_REQUEST_MORE, 3, "the line is not decoded yet")
enum wire_request_outcome { WIRE_REQUEST_OUTCOMES(OUTCOME_NUMBER) };
const char *wire_request_outcome_text(int outcome);
/* 0, WIRE_REQUEST_REFUSED, WIRE_REQUEST_BLANK, -ENOMEM. An unknown type is decoded
 * (WIRE_REQ_UNKNOWN, its other fields not looked at); *ret is garbage unless 0 was returned. */
int wire_request_decode(struct wire_decoder *d, const char *line, size_t len,
                        struct wire_request *ret, struct wire_refused *ret_refused);

/* The same in pieces, for lines that take longer than a step of the loop may (TIME-4): what the
 * pieces were makes no difference to the outcome. The line stays where and what it is until the
 * last step; another one that is begun ends it. */
void wire_request_begin(struct wire_decoder *d, const char *line, size_t len);
/* As wire_request_decode(); or WIRE_REQUEST_MORE when the share is spent before the end: to be
 * called again, and then it gets on by some bytes at least. share NULL: to the end. */
int wire_request_step(struct wire_decoder *d, struct slice *share, struct wire_request *ret,
                      struct wire_refused *ret_refused);
/* What was decoded is not looked at any more, what is under way is given up: its memory goes. */
void wire_request_end(struct wire_decoder *d);

#endif
