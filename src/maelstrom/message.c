/* One table says which fields a message has; both directions walk it, so that they cannot differ.
 */
#include "maelstrom/message.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

#include "base/base64.h"

#include "base/banned.h"

enum kind { NUMBER, FLAG, NOT_FLAG };

struct field {
    const char *name; /* NULL: no more */
    enum kind kind;
    size_t offset; /* in struct raft_msg */
};

#define FIELDS_MAX 6u

struct layout {
    const char *type;
    bool has_entries;
    struct field fields[FIELDS_MAX];
};

#define AT(member) offsetof(struct raft_msg, member)
#define TERM                                                                                       \
    {                                                                                              \
        "term", NUMBER, AT(term)                                                                   \
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
    [RAFT_MSG_VOTE_RESP] = {"request_vote_reply", false, {TERM, {"granted", NOT_FLAG, AT(reject)}}},
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
                             {"leader_commit", NUMBER, AT(leader_commit)}}},
    [RAFT_MSG_HEARTBEAT_RESP] = {"read_heartbeat_reply",
                                 false,
                                 {TERM,
                                  {"round", NUMBER, AT(round)},
                                  {"success", NOT_FLAG, AT(reject)}}},
    [RAFT_MSG_TIMEOUT_NOW] = {"timeout_now", false, {TERM}},
    /* Here no log is ever compacted: without its part such a message is invalid. A client's request
     * is called `snapshot`. */
    [RAFT_MSG_SNAPSHOT] = {"install_snapshot", false, {TERM}},
    [RAFT_MSG_SNAPSHOT_RESP] = {"install_snapshot_reply", false, {TERM}},
    [RAFT_MSG_READ_ASK] = {"read_ask",
                           false,
                           {TERM,
                            {"nonce", NUMBER, AT(ask.nonce)},
                            {"number", NUMBER, AT(ask.number)}}},
    [RAFT_MSG_READ_ANSWER] = {"read_answer",
                              false,
                              {TERM,
                               {"nonce", NUMBER, AT(ask.nonce)},
                               {"number", NUMBER, AT(ask.number)},
                               {"index", NUMBER, AT(index)},
                               {"leader", NUMBER, AT(leader)},
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

    if (f->kind == NUMBER) {
        memcpy(&number, at, sizeof(number));
        return buf_add_format(buf, ", \"%s\": %" PRIu64, f->name, number);
    }
    memcpy(&flag, at, sizeof(flag));
    return buf_add_format(buf, ", \"%s\": %s", f->name,
                          flag == (f->kind == FLAG) ? "true" : "false");
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

    for (size_t i = 0; rc == 0 && i < FIELDS_MAX && layout->fields[i].name != NULL; i++)
        rc = add_field(buf, &layout->fields[i], m);
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

static bool take_field(const json_t *body, const struct field *f, struct raft_msg *m)
{
    const json_t *v = json_object_get(body, f->name);
    char *at = (char *)m + f->offset;
    uint64_t number;
    bool flag;

    if (f->kind == NUMBER) {
        if (!take_number(v, &number))
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

    *ret_wrong = "type";
    for (int i = RAFT_MSG_PRE_VOTE; type != NULL && i <= (int)RAFT_MSG_TYPE_MAX; i++) {
        if (strcmp(type, layouts[i].type) == 0) {
            layout = &layouts[i];
            m.type = (enum raft_msg_type)i;
        }
    }
    if (layout == NULL)
        return MESSAGE_E_INVALID;
    for (size_t i = 0; i < FIELDS_MAX && layout->fields[i].name != NULL; i++) {
        *ret_wrong = layout->fields[i].name;
        if (!take_field(body, &layout->fields[i], &m))
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
