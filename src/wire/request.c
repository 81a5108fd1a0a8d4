/* From the line inwards: blank or not, fast or full, depth, jansson, form (bare or envelope),
 * msg_id, counts, type, fields. What identifies the request is read before anything is refused, so
 * that the refusal finds its way back. */
#include "wire/request.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"
#include "wire/json_scan_int.h"
#include "wire/request_int.h"

#include "base/banned.h"

/* ---- the table of types ---- */

struct request_kind {
    struct wire_slice name;
    unsigned fields;
};

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct request_kind kinds[] = {
    [0] = {NAME("none"), 0},
    [WIRE_REQ_READ_INDEX] = {NAME("read_index"), FIELD_KEY},
    [WIRE_REQ_READ_VIA_LOG] = {NAME("read_via_log"), FIELD_KEY},
    [WIRE_REQ_COMPARE] = {NAME("compare_read_methods"), FIELD_COMPARE},
    [WIRE_REQ_BATCH_READ_INDEX] = {NAME("batch_read_index"), FIELD_KEYS},
    [WIRE_REQ_FOLLOWER_READ] = {NAME("follower_read"), FIELD_KEY},
    [WIRE_REQ_LEASE_READ] = {NAME("lease_read"), FIELD_KEY},
    [WIRE_REQ_LOCAL_READ] = {NAME("local_read"), FIELD_KEY | FIELD_STALE | FIELD_TOKEN},
    [WIRE_REQ_READ] = {NAME("read"), FIELD_KEY | FIELD_VIA},
    [WIRE_REQ_SCAN] = {NAME("scan"), FIELD_SCAN | FIELD_VIA | FIELD_TOKEN},
    [WIRE_REQ_WRITE] = {NAME("write"), FIELD_KEY | FIELD_VALUE | FIELD_SESSION},
    [WIRE_REQ_CAS] = {NAME("cas"), FIELD_KEY | FIELD_CAS | FIELD_SESSION},
    [WIRE_REQ_DELETE] = {NAME("delete"), FIELD_KEY | FIELD_SESSION},
    [WIRE_REQ_OPEN_SESSION] = {NAME("open_session"), 0},
    [WIRE_REQ_INIT] = {NAME("init"), FIELD_INIT},
    [WIRE_REQ_PING] = {NAME("ping"), 0},
    [WIRE_REQ_STATUS] = {NAME("status"), 0},
    [WIRE_REQ_EVENTS] = {NAME("events"), FIELD_EVENTS},
    [WIRE_REQ_SLOW] = {NAME("slow"), 0},
    [WIRE_REQ_MEMBERS] = {NAME("members"), 0},
    [WIRE_REQ_TRANSFER_LEADER] = {NAME("transfer_leader"), FIELD_TO},
    [WIRE_REQ_SNAPSHOT] = {NAME("snapshot"), 0},
    [WIRE_REQ_SNAPSHOT_PART] = {NAME("snapshot_part"), FIELD_PART},
    [WIRE_REQ_MEMBER_ADD] = {NAME("member_add"), FIELD_MEMBER | FIELD_ADDRS},
    [WIRE_REQ_MEMBER_REMOVE] = {NAME("member_remove"), FIELD_MEMBER},
    [WIRE_REQ_MEMBER_PROMOTE] = {NAME("member_promote"), FIELD_MEMBER},
    [WIRE_REQ_MEMBER_DEMOTE] = {NAME("member_demote"), FIELD_MEMBER},
    [WIRE_REQ_MEMBER_SET_ADDR] = {NAME("member_set_addr"), FIELD_MEMBER | FIELD_ADDRS},
    [WIRE_REQ_MEMBER_REPLACE] = {NAME("member_replace"), FIELD_MEMBER | FIELD_ADDRS | FIELD_OLD},
    [WIRE_REQ_MEMBER_REJOIN] = {NAME("member_rejoin"), FIELD_MEMBER},
    [WIRE_REQ_AUTH] = {NAME("auth"), FIELD_AUTH},
    [WIRE_REQ_UNKNOWN] = {NAME("unknown"), 0},
    [WIRE_REQ_PEER] = {NAME("peer"), 0},
};
#undef NAME
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *wire_request_type_name(enum wire_request_type type)
{
    return kinds[(size_t)type < N_KINDS ? type : WIRE_REQ_UNKNOWN].name.data;
}

struct wire_slice wire_request_type_text(enum wire_request_type type)
{
    return kinds[(size_t)type < N_KINDS ? type : WIRE_REQ_UNKNOWN].name;
}

enum wire_request_type wire_request_type_find(const char *name, size_t len)
{
    for (size_t i = WIRE_REQ_READ_INDEX; i < WIRE_REQ_UNKNOWN; i++)
        if (kinds[i].name.len == len && memcmp(kinds[i].name.data, name, len) == 0)
            return (enum wire_request_type)i;
    return WIRE_REQ_UNKNOWN;
}

unsigned wire_request_type_fields(enum wire_request_type type)
{
    return (size_t)type < N_KINDS ? kinds[type].fields : 0;
}

/* ---- memory ---- */

/* jansson does not report every failed allocation: its lexer goes on with a byte missing. So we
 * look ourselves. */
static _Thread_local bool out_of_memory;

static void *noting_malloc(size_t size)
{
    void *p = malloc(size);

    if (p == NULL)
        out_of_memory = true;
    return p;
}

static void install_allocator(void)
{
    json_set_alloc_funcs(noting_malloc, free);
}

int wire_decoder_new(struct wire_decoder **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct wire_decoder *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return err_origin(-ENOMEM);
    (void)pthread_once(&once, install_allocator);
    d->tree_bytes = WIRE_TREE_BYTES;
    d->look_bytes = DECODE_LOOK_BYTES;
    buf_init(&d->text);
    buf_init(&d->short_line);
    buf_init(&d->large_text);
    *ret = d;
    return 0;
}

void wire_decoder_free(struct wire_decoder *d)
{
    if (d == NULL)
        return;
    json_decref(d->root);
    buf_done(&d->text);
    buf_done(&d->short_line);
    buf_done(&d->large_text);
    free(d);
}

void wire_decoder_set_peer_types(struct wire_decoder *d, const char *const *names, size_t n)
{
    d->peer_types = names;
    d->n_peer_types = n;
}

/* The result of the last call goes. */
static void decoder_reset(struct wire_decoder *d)
{
    json_decref(d->root);
    d->root = NULL;
    buf_reset(&d->text, WIRE_TEXT_KEEP_BYTES);
    buf_reset(&d->short_line, WIRE_TEXT_KEEP_BYTES);
    buf_reset(&d->large_text, WIRE_TEXT_KEEP_BYTES);
    memset(d->large, 0, sizeof(d->large));
    d->large_keys = false;
    d->depth = (struct json_depth){0};
    d->shrink.line = NULL; /* the rest of it is set when it begins */
}

int wire_origin_copy(const struct wire_origin *o, struct wire_origin *ret)
{
    char *both;

    *ret = *o;
    if (!o->envelope) {
        ret->src = (struct wire_slice){NULL, 0};
        ret->dest = (struct wire_slice){NULL, 0};
        return 0;
    }
    both = malloc(o->src.len + o->dest.len + 1);
    if (both == NULL) {
        *ret = (struct wire_origin){0};
        return err_origin(-ENOMEM);
    }
    memcpy(both, o->src.data, o->src.len);
    memcpy(both + o->src.len, o->dest.data, o->dest.len);
    ret->src.data = both;
    ret->dest.data = both + o->src.len;
    return 0;
}

void wire_origin_done(struct wire_origin *o)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the owner of what it shows as const */
    free((void *)(uintptr_t)o->src.data); /* the owner of both strings */
    *o = (struct wire_origin){0};
}

/* ---- refusing ---- */

/* A name from outside may be of any length: cut between characters. */
static void copy_field(char ret[64], const char *field)
{
    const char *end = field + strlen(field);
    size_t n = 0;

    while (field + n != end) {
        size_t next = json_utf8_len(field + n, end);

        if (next == 0 || n + next > 63)
            break;
        n += next;
    }
    memcpy(ret, field, n);
    ret[n] = '\0';
}

int wire_refuse(struct wire_decoder *d, enum wire_error error, const char *field, uint64_t limit,
                const char *format, ...)
{
    struct wire_refused *refused = d->refused;
    va_list ap;

    refused->error = error;
    refused->limit = limit;
    copy_field(refused->field, field != NULL ? field : "");
    va_start(ap, format);
    (void)vsnprintf(refused->text, sizeof(refused->text), format, ap);
    va_end(ap);
    return WIRE_REQUEST_REFUSED;
}

/* ---- parsing ---- */

static const char *parse_problem(const json_error_t *error, const char *line, size_t len)
{
    if (bytes_look_utf16(line, len))
        return "UTF-16, not UTF-8";
    switch ((int)json_error_code(error)) {
    case json_error_duplicate_key:
        return "a key stands twice in an object";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "\\u0000 is not allowed";
    case json_error_numeric_overflow:
        return "a number is out of range";
    case json_error_invalid_utf8:
        return "not UTF-8";
    case json_error_premature_end_of_input:
        return "not JSON: the line ends too early";
    case json_error_end_of_input_expected:
        return "not one JSON object: something follows it";
    case json_error_invalid_syntax:
        /* Jansson has no code of its own for it. */
        if (strncmp(error->text, "invalid Unicode '", 17) == 0)
            return "half of a surrogate pair stands alone";
        return "not JSON";
    default:
        return "not JSON";
    }
}

/* The depth is bounded before a tree is built (WIRE-3). */
static int check_depth(struct wire_decoder *d, struct slice *share)
{
    struct json_depth *depth = &d->depth;

    while (depth->at < d->len) {
        const size_t left = d->len - depth->at;
        const size_t most = d->look_bytes * DECODE_QUICK;
        const size_t piece = left < most ? left : most;

        if (!json_scan_depth(depth, d->line, depth->at + piece, JSON_DEPTH_MAX))
            return wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, JSON_DEPTH_MAX,
                               "nested deeper than %u levels at byte %zu", JSON_DEPTH_MAX,
                               depth->at + 1);
        if (left > piece && share != NULL && slice_look(share))
            return WIRE_REQUEST_MORE;
    }
    return 0;
}

static int build_tree(struct wire_decoder *d, const char *line, size_t len)
{
    json_error_t error = {0};

    d->root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    if (out_of_memory) {
        json_decref(d->root);
        d->root = NULL;
        return err_origin(-ENOMEM);
    }
    if (d->root == NULL)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, 0, "%s, at byte %d",
                           parse_problem(&error, line, len), error.position);
    if (!json_is_object(d->root))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, 0, "the line is not a JSON object");
    return 0;
}

static int parse(struct wire_decoder *d, struct slice *share)
{
    int rc = check_depth(d, share);

    if (rc != 0)
        return rc;
    out_of_memory = false;
    /* Peers' bodies go to the host as a tree, however long they are. */
    if (d->len <= d->tree_bytes || d->n_peer_types > 0)
        return build_tree(d, d->line, d->len);
    rc = wire_request_shrink(d, d->line, d->len, share);
    if (rc != 0)
        return rc < 0 ? err_trace(rc) : rc;
    return build_tree(d, (const char *)d->short_line.data, d->short_line.len);
}

/* ---- form and msg_id ---- */

static struct wire_slice string_slice(const json_t *s)
{
    return (struct wire_slice){.data = json_string_value(s), .len = json_string_length(s)};
}

static bool name_ok(const json_t *name)
{
    size_t len = json_string_length(name); /* 0 if it is no string */

    return len > 0 && len <= WIRE_ENVELOPE_NAME_BYTES_MAX;
}

/* A bare request may have fields of these names that mean nothing to us, an envelope a "type". */
static bool is_envelope(const json_t *root)
{
    static const char *const names[] = {"src", "dest", "body"};
    unsigned n = 0;

    for (size_t i = 0; i < 3; i++)
        if (json_object_get(root, names[i]) != NULL)
            n++;
    return n == 3 || (n > 0 && json_object_get(root, "type") == NULL);
}

static bool msg_id_ok(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= 0 &&
           (uint64_t)json_integer_value(v) <= MSG_ID_MAX;
}

/* All that can be told of who asks and under which number; refuses nothing. */
static void read_origin(const json_t *root, const json_t *body, struct wire_origin *ret)
{
    const json_t *msg_id = json_object_get(body, "msg_id");

    if (body != root) {
        const json_t *src = json_object_get(root, "src");
        const json_t *dest = json_object_get(root, "dest");

        if (name_ok(src) && name_ok(dest)) {
            ret->envelope = true;
            ret->src = string_slice(src);
            ret->dest = string_slice(dest);
        }
    }
    if (msg_id_ok(msg_id)) {
        ret->has_msg_id = true;
        ret->msg_id = (uint64_t)json_integer_value(msg_id);
    }
}

static int check_name(struct wire_decoder *d, const char *field)
{
    const json_t *name = json_object_get(d->root, field);

    if (name == NULL)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, 0, "'%s' is missing in the envelope",
                           field);
    if (!name_ok(name))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, WIRE_ENVELOPE_NAME_BYTES_MAX,
                           "'%s' must be a string of 1 to %u bytes", field,
                           WIRE_ENVELOPE_NAME_BYTES_MAX);
    return 0;
}

static int check_envelope(struct wire_decoder *d)
{
    const json_t *body = json_object_get(d->root, "body");
    int rc;

    if (json_object_size(d->root) > JSON_REQUEST_KEYS_MAX)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, JSON_REQUEST_KEYS_MAX,
                           "the envelope has more than %u keys", JSON_REQUEST_KEYS_MAX);
    rc = check_name(d, "src");
    if (rc == 0)
        rc = check_name(d, "dest");
    if (rc != 0)
        return rc;
    if (body == NULL)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "body", 0, "'body' is missing in the envelope");
    if (!json_is_object(body))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "body", 0, "'body' must be an object");
    return 0;
}

static int check_msg_id(struct wire_decoder *d, const json_t *body)
{
    const json_t *msg_id = json_object_get(body, "msg_id");

    if (msg_id != NULL && !msg_id_ok(msg_id))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "msg_id", MSG_ID_MAX,
                           "'msg_id' must be an integer from 0 to %" PRIu64, MSG_ID_MAX);
    if (json_object_size(body) > JSON_REQUEST_KEYS_MAX)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, JSON_REQUEST_KEYS_MAX,
                           "the request has more than %u keys", JSON_REQUEST_KEYS_MAX);
    return 0;
}

/* ---- type and counts ---- */

static bool is_peer_type(const struct wire_decoder *d, const char *name)
{
    for (size_t i = 0; i < d->n_peer_types; i++)
        if (strcmp(d->peer_types[i], name) == 0)
            return true;
    return false;
}

static int take_type(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *type = json_object_get(body, "type");

    if (type == NULL)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "type", 0, "'type' is missing");
    if (!json_is_string(type))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "type", 0, "'type' must be a string");
    ret->type_name = string_slice(type);
    if (ret->origin.envelope && is_peer_type(d, json_string_value(type)))
        ret->type = WIRE_REQ_PEER;
    else
        ret->type = wire_request_type_find(ret->type_name.data, ret->type_name.len);
    return 0;
}

/* The depth was bounded before the tree was made. */
static size_t count_keys(json_t *v)
{
    size_t n = json_object_size(v);
    const char *name;
    json_t *member;
    size_t i;

    json_object_foreach(v, name, member)
    {
        n += count_keys(member);
    }
    json_array_foreach(v, i, member)
    {
        n += count_keys(member);
    }
    return n;
}

static int check_value_keys(struct wire_decoder *d, json_t *object, const json_t *except)
{
    const char *name;
    json_t *member;
    char field[64];

    json_object_foreach(object, name, member)
    {
        if (member == except || count_keys(member) <= JSON_VALUE_KEYS_MAX)
            continue;
        copy_field(field, name);
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, JSON_VALUE_KEYS_MAX,
                           "'%s' has more than %u keys", field, JSON_VALUE_KEYS_MAX);
    }
    return 0;
}

/* ---- the line ---- */

static int decode_tree(struct wire_decoder *d, struct wire_request *ret)
{
    bool envelope = is_envelope(d->root);
    json_t *body = envelope ? json_object_get(d->root, "body") : d->root;
    int rc;

    read_origin(d->root, body, &ret->origin);
    rc = envelope ? check_envelope(d) : 0;
    if (rc == 0)
        rc = check_msg_id(d, body);
    if (rc == 0)
        rc = take_type(d, body, ret);
    if (rc == 0 && d->large_keys)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, JSON_VALUE_KEYS_MAX,
                           "a field has more than %u keys", JSON_VALUE_KEYS_MAX);
    if (rc == 0 && envelope)
        rc = check_value_keys(d, d->root, body);
    if (rc != 0)
        return rc;
    ret->json = body;
    if (ret->type == WIRE_REQ_PEER) /* the host's own format and bounds */
        return 0;
    rc = check_value_keys(d, body, NULL);
    if (rc != 0 || ret->type == WIRE_REQ_UNKNOWN)
        return rc;
    return wire_request_take_fields(d, body, ret);
}

static int step(struct wire_decoder *d, struct slice *share, struct wire_request *ret,
                struct wire_refused *ret_refused)
{
    int rc;

    d->refused = ret_refused;
    memset(ret, 0, sizeof(*ret));
    ret->timeout_ms = TIMEOUT_MS_DEFAULT;
    ret->concurrency = 1;
    rc = parse(d, share);
    if (rc == 0)
        rc = decode_tree(d, ret);
    if (rc == WIRE_REQUEST_REFUSED)
        ret_refused->origin = ret->origin;
    return rc < 0 ? err_trace(rc) : rc;
}

int wire_request_decode_json(struct wire_decoder *d, const char *line, size_t len,
                             struct wire_request *ret, struct wire_refused *ret_refused)
{
    wire_request_begin(d, line, len);
    return step(d, NULL, ret, ret_refused);
}

static bool is_blank(const char *line, size_t len)
{
    size_t i = 0;

    while (i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r' || line[i] == '\n'))
        i++;
    return i == len;
}

int wire_request_decode(struct wire_decoder *d, const char *line, size_t len,
                        struct wire_request *ret, struct wire_refused *ret_refused)
{
    if (wire_request_decode_fast(d, line, len, ret))
        return 0;
    if (is_blank(line, len))
        return WIRE_REQUEST_BLANK;
    return wire_request_decode_json(d, line, len, ret, ret_refused);
}

void wire_request_begin(struct wire_decoder *d, const char *line, size_t len)
{
    decoder_reset(d);
    d->line = line;
    d->len = len;
}

void wire_request_end(struct wire_decoder *d)
{
    decoder_reset(d);
    d->line = NULL;
}

int wire_request_step(struct wire_decoder *d, struct slice *share, struct wire_request *ret,
                      struct wire_refused *ret_refused)
{
    if (d->depth.at == 0 && is_blank(d->line, d->len))
        return WIRE_REQUEST_BLANK;
    return step(d, share, ret, ret_refused);
}

const char *wire_request_outcome_text(int outcome)
{
    switch (outcome) {
    case 0:
        return "decoded";
        WIRE_REQUEST_OUTCOMES(OUTCOME_CASE)
    default:
        return "unknown outcome";
    }
}
