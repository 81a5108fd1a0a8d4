/* What the files of the request decoder share. */
#ifndef RIDD_WIRE_REQUEST_INT_H
#define RIDD_WIRE_REQUEST_INT_H

#include <jansson.h>

#include "wire/json_compact_int.h"
#include "wire/json_scan_int.h"
#include "wire/request.h"

/* Of a long line: values that were taken out of it before it became a tree, as compact text. */
enum large_field { LARGE_VALUE, LARGE_FROM, LARGE_TO };
#define WIRE_LARGE_FIELDS 3u
struct wire_large {
    size_t at; /* in large_text */
    size_t len;
};

/* A long line on its way to a short one; what comes next, of the object that is open. */
enum shrink_place { SHRINK_AT_NAME, SHRINK_AT_VALUE, SHRINK_AT_NEXT, SHRINK_AT_END };
struct wire_shrink_object {
    unsigned n;         /* members so far */
    size_t line_before; /* in short_line, of the member that is being read */
    bool drop;          /* it does not stay there */
    unsigned n_long;    /* names that something stands for, each of them once, in large_text */
    struct wire_large long_names[JSON_REQUEST_KEYS_MAX + 1];
};
struct wire_shrink {
    const char *line; /* borrowed; NULL: not begun */
    const char *end;
    const char *p;
    enum shrink_place place;
    unsigned level; /* of the object that is open: the line's or its body's */
    struct wire_shrink_object objects[2];
    unsigned field; /* of the member that is being read */
    bool is_body;
    const char *from;         /* its name or value, in the line */
    size_t before;            /* and in large_text */
    struct json_compact text; /* the walk over it */
};

struct wire_decoder {
    json_t *root;    /* owned: the line decoded last, which the slices of its request point into */
    struct buf text; /* compact values of that request */
    struct buf short_line;
    struct buf large_text;
    struct wire_large large[2][WIRE_LARGE_FIELDS]; /* of the line, of its body: value, from, to */
    bool large_keys;                               /* one of its members has too many */
    struct wire_key keys[BATCH_KEYS_MAX];
    struct wire_slice node_ids[RAFT_SERVERS_MAX];
    struct wire_scan scan;
    const char *const *peer_types; /* borrowed */
    size_t n_peer_types;
    struct wire_refused *refused; /* borrowed, of the call that runs */
    const char *line;             /* borrowed, between begin and the last step */
    size_t len;
    /* WIRE_TREE_BYTES and DECODE_LOOK_BYTES; less in tests, so that short lines are taken as long
     * ones are, and pieces end anywhere. */
    size_t tree_bytes;
    size_t look_bytes;
    struct json_depth depth;
    struct wire_shrink shrink;
};

/* What a request type may carry besides msg_id, timeout_ms and verbose. */
#define FIELD_KEY     1u
#define FIELD_KEYS    2u
#define FIELD_VALUE   4u
#define FIELD_CAS     8u
#define FIELD_VIA     16u
#define FIELD_COMPARE 32u
#define FIELD_SESSION 64u
#define FIELD_TO      128u
#define FIELD_INIT    256u
#define FIELD_MEMBER  512u
#define FIELD_ADDRS   1024u
#define FIELD_OLD     2048u
#define FIELD_PART    4096u
#define FIELD_STALE   8192u
#define FIELD_TOKEN   16384u
#define FIELD_SCAN    32768u
#define FIELD_EVENTS  65536u
#define FIELD_AUTH    131072u

/* WIRE_REQ_UNKNOWN: none of ours. */
enum wire_request_type wire_request_type_find(const char *name, size_t len);
unsigned wire_request_type_fields(enum wire_request_type type);
/* Its name, static. */
struct wire_slice wire_request_type_text(enum wire_request_type type);

/* Fills d->refused but for origin; field NULL: the whole line. Returns WIRE_REQUEST_REFUSED. */
int wire_refuse(struct wire_decoder *d, enum wire_error error, const char *field, uint64_t limit,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* d->short_line is what stands for a long line. 0, WIRE_REQUEST_REFUSED, -ENOMEM;
 * WIRE_REQUEST_MORE: the share is spent, to be called again. */
int wire_request_shrink(struct wire_decoder *d, const char *line, size_t len, struct slice *share);

/* The fields of body that ret->type may carry, and the common ones. 0, WIRE_REQUEST_REFUSED,
 * -ENOMEM. */
int wire_request_take_fields(struct wire_decoder *d, const json_t *body, struct wire_request *ret);

/* request_scan.c: the fields of FIELD_TOKEN and of FIELD_SCAN, like those above. */
int wire_request_take_token(struct wire_decoder *d, const json_t *body, struct wire_request *ret);
int wire_request_take_scan(struct wire_decoder *d, const json_t *body, struct wire_request *ret);
/* request_fields.c: what those need of it. *ret keeps its value when the field is absent. */
int wire_request_take_bool(struct wire_decoder *d, const json_t *body, const char *field,
                           bool *ret);
/* An integer from 1 to max; likewise. */
int wire_request_take_count32(struct wire_decoder *d, const json_t *body, const char *field,
                              uint32_t max, uint32_t *ret);

/* A strict scanner for the commonest lines. False: it has no opinion, use the other. */
bool wire_request_decode_fast(struct wire_decoder *d, const char *line, size_t len,
                              struct wire_request *ret);
/* The decoder for all lines, whose word counts; a test holds both against each other. As
 * wire_request_decode(). */
int wire_request_decode_json(struct wire_decoder *d, const char *line, size_t len,
                             struct wire_request *ret, struct wire_refused *ret_refused);

#endif
