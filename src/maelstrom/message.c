/* One table says which fields a message has; both directions walk it, so that they cannot differ.
 */
#include "maelstrom/message.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"

#include "base/banned.h"

/* A number of JSON has 63 bits here; what uses all 64 of its own, a nonce or the id of a node, is a
 * WORD: 16 hexadecimal digits in a string. */
enum kind { NUMBER, WORD, FLAG, NOT_FLAG };

struct field {
    const char *name; /* NULL: no more */
    enum kind kind;
    size_t offset; /* in struct raft_msg */
    uint64_t max;  /* of a NUMBER; 0: as large as one can be */
};

#define FIELDS_MAX 6u
#define WORD_CHARS 16u

struct layout {
    const char *type;
    bool has_entries;
    struct field fields[FIELDS_MAX];
    /* There whole, or not at all. */
    struct field more[FIELDS_MAX];
};

#define AT(member) offsetof(struct raft_msg, member)
#define TERM                                                                                       \
    {                                                                                              \
        "term", NUMBER, AT(term)                                                                   \
    }
#define STAMP                                                                                      \
    {"stamp_nonce", WORD, AT(beat.stamp.nonce)},                                                   \
    {                                                                                              \
        "stamp_us", NUMBER, AT(beat.stamp.hold_us), RAFT_INDEX_MAX                                 \
    }
#define LAST_LOG                                                                                   \
    {"last_log_index", NUMBER, AT(prev.index)},                                                    \
    {                                                                                              \
        "last_log_term", NUMBER, AT(prev.term)                                                     \
    }

static const struct layout layouts[] = {
    [RAFT_MSG_PRE_VOTE] = {"pre_vote", false, {TERM, LAST_LOG}},
    [RAFT_MSG_PRE_VOTE_RESP] = {"pre_vote_reply", false, {TERM, {"granted", NOT_FLAG, AT(reject)}}},
    [RAFT_MSG_VOTE] = {"request_vote", false, {TERM, LAST_LOG, {"transfer", FLAG, AT(transfer)}}},
    [RAFT_MSG_VOTE_RESP] = {"request_vote_reply",
                            false,
                            {TERM, {"granted", NOT_FLAG, AT(reject)}},
                            {{"left_us", NUMBER, AT(left_us), RAFT_LEFT_US_MAX}}},
    [RAFT_MSG_APPEND] = {"append_entries",
                         true,
                         {TERM,
                          {"prev_log_index", NUMBER, AT(prev.index)},
                          {"prev_log_term", NUMBER, AT(prev.term)},
                          {"leader_commit", NUMBER, AT(leader_commit)}}},
    [RAFT_MSG_APPEND_RESP] = {"append_entries_reply",
                              false,
                              {TERM,
                               {"success", NOT_FLAG, AT(reject)},
                               {"index", NUMBER, AT(index)},
                               {"hint_index", NUMBER, AT(hint.index)},
                               {"hint_term", NUMBER, AT(hint.term)}}},
    [RAFT_MSG_HEARTBEAT] = {"read_heartbeat",
                            false,
                            {TERM,
                             {"round", NUMBER, AT(round)},
                             {"leader_commit", NUMBER, AT(leader_commit)}},
                            {{"lease_us", NUMBER, AT(beat.lease_us), RAFT_LEASE_US_MAX},
                             STAMP,
                             {"proved_index", NUMBER, AT(beat.proved_index), RAFT_INDEX_MAX}}},
    [RAFT_MSG_HEARTBEAT_RESP] = {"read_heartbeat_reply",
                                 false,
                                 {TERM,
                                  {"round", NUMBER, AT(round)},
                                  {"success", NOT_FLAG, AT(reject)}},
                                 {{"leased", FLAG, AT(beat.leased)},
                                  {"clock_us", NUMBER, AT(beat.mono_us), RAFT_INDEX_MAX},
                                  STAMP}},
    [RAFT_MSG_TIMEOUT_NOW] = {"timeout_now", false, {TERM}},
    /* Here no log is ever compacted: without its part such a message is invalid. A client's request
     * is called `snapshot`. */
    [RAFT_MSG_SNAPSHOT] = {"install_snapshot", false, {TERM}},
    [RAFT_MSG_SNAPSHOT_RESP] = {"install_snapshot_reply", false, {TERM}},
    [RAFT_MSG_READ_ASK] =
        {"read_ask",
         false,
         {TERM, {"nonce", WORD, AT(ask.nonce)}, {"number", NUMBER, AT(ask.number)}}},
    [RAFT_MSG_READ_ANSWER] =
        {"read_answer",
         false,
         {TERM,
          {"nonce", WORD, AT(ask.nonce)},
          {"number", NUMBER, AT(ask.number)},
          {"index", NUMBER, AT(index)},
          {"leader", WORD, AT(leader)},
          {"success", NOT_FLAG, AT(reject)}}},
};
static_assert(sizeof(layouts) / sizeof(layouts[0]) == RAFT_MSG_TYPE_MAX + 1,
              "a message is missing");

const char *message_type_name(enum raft_msg_type type)
{
    return (unsigned)type <= RAFT_MSG_TYPE_MAX ? layouts[type].type : NULL;
}

/* ---- out ---- */

static int add_field(struct buf *buf, const struct field *f, const struct raft_msg *m)
{
    const char *at = (const char *)m + f->offset;
    uint64_t number;
    bool flag;

    if (f->kind == NUMBER || f->kind == WORD) {
        memcpy(&number, at, sizeof(number));
        return buf_add_format(
            buf, f->kind == WORD ? ", \"%s\": \"%016" PRIx64 "\"" : ", \"%s\": %" PRIu64, f->name,
            number);
    }
    memcpy(&flag, at, sizeof(flag));
    return buf_add_format(buf, ", \"%s\": %s", f->name,
                          flag == (f->kind == FLAG) ? "true" : "false");
}

static int add_fields(struct buf *buf, const struct field fields[FIELDS_MAX],
                      const struct raft_msg *m)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < FIELDS_MAX && fields[i].name != NULL; i++)
        rc = add_field(buf, &fields[i], m);
    return rc;
}

/* What this message says beyond what each of its type does. */
static bool has_more(const struct raft_msg *m)
{
    return m->beat.said || m->left_us != 0;
}

static int add_entry(struct buf *buf, const struct raft_entry *e)
{
    int rc = buf_add_format(buf, "{\"index\": %" PRIu64 ", \"term\": %" PRIu64 ", \"type\": \"%s\"",
                            e->id.index, e->id.term, raft_entry_type_name(e->type));

    if (rc == 0 && e->len > 0) {
        rc = buf_add_str(buf, ", \"data\": \"");
        if (rc == 0)
            rc = base64_encode(e->data, e->len, buf);
        if (rc == 0)
            rc = buf_add_u8(buf, '"');
    }
    return rc == 0 ? buf_add_u8(buf, '}') : rc;
}

int message_encode(const struct raft_msg *m, struct buf *buf)
{
    const struct layout *layout = &layouts[m->type];
    size_t before = buf->len;
    int rc = buf_add_format(buf, "{\"type\": \"%s\"", layout->type);

    if (rc == 0)
        rc = add_fields(buf, layout->fields, m);
    if (rc == 0 && has_more(m))
        rc = add_fields(buf, layout->more, m);
    if (rc == 0 && layout->has_entries) {
        rc = buf_add_str(buf, ", \"entries\": [");
        for (unsigned i = 0; rc == 0 && i < m->n_entries; i++) {
            if (i > 0)
                rc = buf_add_str(buf, ", ");
            if (rc == 0)
                rc = add_entry(buf, &m->entries[i]);
        }
        if (rc == 0)
            rc = buf_add_u8(buf, ']');
    }
    if (rc == 0)
        rc = buf_add_u8(buf, '}');
    if (rc != 0)
        buf->len = before;
    return rc;
}

/* ---- in ---- */

/* Negative numbers and reals are none. */
static bool take_number(const json_t *v, uint64_t *ret)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

/* One spelling: all digits, and small letters. */
static bool take_word(const json_t *v, uint64_t *ret)
{
    const char *s = json_string_value(v); /* NULL if it is no string */

    if (s == NULL || strlen(s) != WORD_CHARS || strspn(s, "0123456789abcdef") != WORD_CHARS)
        return false;
    *ret = strtoull(s, NULL, 16);
    return true;
}

static bool take_field(const json_t *body, const struct field *f, struct raft_msg *m)
{
    const json_t *v = json_object_get(body, f->name);
    char *at = (char *)m + f->offset;
    uint64_t number;
    bool flag;

    if (f->kind == NUMBER || f->kind == WORD) {
        if (f->kind == WORD ? !take_word(v, &number) : !take_number(v, &number))
            return false;
        if (f->max != 0 && number > f->max)
            return false;
        memcpy(at, &number, sizeof(number));
        return true;
    }
    if (!json_is_boolean(v))
        return false;
    flag = json_is_true(v) == (f->kind == FLAG);
    memcpy(at, &flag, sizeof(flag));
    return true;
}

/* NULL, or the name of the field that is wrong. */
static const char *take_fields(const json_t *body, const struct field fields[FIELDS_MAX],
                               struct raft_msg *m)
{
    for (size_t i = 0; i < FIELDS_MAX && fields[i].name != NULL; i++)
        if (!take_field(body, &fields[i], m))
            return fields[i].name;
    return NULL;
}

/* The first field says whether they are there. */
static const char *take_more(const json_t *body, const struct field fields[FIELDS_MAX],
                             struct raft_msg *m)
{
    if (fields[0].name == NULL || json_object_get(body, fields[0].name) == NULL)
        return NULL;
    m->beat.said = m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_HEARTBEAT_RESP;
    return take_fields(body, fields, m);
}

static bool take_entry_type(const json_t *v, enum raft_entry_type *ret)
{
    const char *s = json_string_value(v); /* NULL if it is no string */

    for (int type = RAFT_ENTRY_NOOP; s != NULL && type <= RAFT_ENTRY_READ; type++) {
        if (strcmp(s, raft_entry_type_name((enum raft_entry_type)type)) == 0) {
            *ret = (enum raft_entry_type)type;
            return true;
        }
    }
    return false;
}

static int take_entry(const json_t *v, struct arena *arena, struct raft_entry *e)
{
    const json_t *data = json_object_get(v, "data");
    size_t text_len = json_string_length(data); /* 0 if it is no string */
    unsigned char *bytes;
    size_t len = 0;

    if (!take_number(json_object_get(v, "index"), &e->id.index) ||
        !take_number(json_object_get(v, "term"), &e->id.term) ||
        !take_entry_type(json_object_get(v, "type"), &e->type))
        return MESSAGE_E_INVALID;
    e->len = 0;
    e->data = NULL;
    if (data == NULL)
        return 0;
    if (text_len == 0 || text_len > (size_t)(ENTRY_BYTES_MAX + 2) / 3 * 4)
        return MESSAGE_E_INVALID;
    bytes = arena_alloc(arena, base64_bytes_max(text_len));
    if (bytes == NULL)
        return -ENOMEM;
    if (!base64_decode(json_string_value(data), text_len, bytes, &len) || len > ENTRY_BYTES_MAX)
        return MESSAGE_E_INVALID;
    e->len = (uint32_t)len;
    e->data = bytes;
    return 0;
}

static int take_entries(const json_t *v, struct arena *arena, struct raft_msg *m)
{
    size_t n = json_array_size(v);
    struct raft_entry *entries;

    if (!json_is_array(v) || n > RAFT_APPEND_ENTRIES_MAX)
        return MESSAGE_E_INVALID;
    if (n == 0)
        return 0;
    entries = arena_alloc(arena, n * sizeof(*entries));
    if (entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int rc = take_entry(json_array_get(v, i), arena, &entries[i]);

        if (rc != 0)
            return rc;
    }
    m->entries = entries;
    m->n_entries = (unsigned)n;
    return 0;
}

int message_decode(const json_t *body, raft_node_id from, raft_node_id to, struct arena *arena,
                   struct raft_msg *ret, const char **ret_wrong)
{
    const char *type = json_string_value(json_object_get(body, "type"));
    struct raft_msg m = {.from = from, .to = to};
    const struct layout *layout = NULL;
    const char *wrong;

    *ret_wrong = "type";
    for (int i = RAFT_MSG_PRE_VOTE; type != NULL && i <= (int)RAFT_MSG_TYPE_MAX; i++) {
        if (strcmp(type, layouts[i].type) == 0) {
            layout = &layouts[i];
            m.type = (enum raft_msg_type)i;
        }
    }
    if (layout == NULL)
        return MESSAGE_E_INVALID;
    wrong = take_fields(body, layout->fields, &m);
    if (wrong == NULL)
        wrong = take_more(body, layout->more, &m);
    if (wrong != NULL) {
        *ret_wrong = wrong;
        return MESSAGE_E_INVALID;
    }
    if (layout->has_entries) {
        int rc = take_entries(json_object_get(body, "entries"), arena, &m);

        *ret_wrong = "entries";
        if (rc != 0)
            return rc;
    }
    *ret = m;
    return 0;
}
