/* Commands: the payload of COMMAND entries, keys as stored, results of applying.
 *
 * For: what the log carries for the state machine. A command is, little endian: u8 version (1 to
 * 3), u8 op, u8 flags, u8 0, u64 client, u64 seq, of version 3 u64 first, u16 key length, key, u32
 * value length, value, u32 from length, from. Values are compact JSON text (value.h). Decoding is
 * total: any bytes give a command or an outcome, and one command has one encoding.
 *
 * Not for: doing them (src/kv).
 *
 * Units: lengths in bytes.
 *
 * Ownership: slices borrow from the bytes that were decoded; results borrow from the view that they
 * came from.
 *
 * Errors: COMMAND_E_* or -ENOMEM; the buffer is unchanged then.
 *
 * Thread: pure, any thread.
 *
 * Source: STATE-3: what a command does depends on it and the state alone. */
#ifndef RIDD_WIRE_COMMAND_H
#define RIDD_WIRE_COMMAND_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/outcome.h"
#include "raft/types.h"

/* A key as stored and compared: one byte of type, then the bytes of the string, or the int64 big
 * endian with its sign bit flipped (so that memcmp orders both). "3" and 3 are different keys. */
#define KEY_TYPE_INT      'i'
#define KEY_TYPE_STRING   's'
#define KEY_TYPE_INTERNAL '\1' /* no client can name one (compare_read_methods) */
struct wire_key {
    uint16_t len;
    unsigned char bytes[KEY_BYTES_MAX];
};
enum wire_key_error { WIRE_KEY_E_LENGTH = 1 }; /* empty, or above KEY_STRING_BYTES_MAX */
/* 0, WIRE_KEY_E_LENGTH. UTF-8 was checked by the JSON decoder. */
int wire_key_set_string(struct wire_key *key, const char *s, size_t len);
void wire_key_set_int(struct wire_key *key, int64_t v);
void wire_key_set_internal(struct wire_key *key, const char *name);
int64_t wire_key_get_int(const struct wire_key *key); /* of a KEY_TYPE_INT key */

struct wire_slice {
    const char *data; /* borrowed; NULL: absent */
    size_t len;
};

/* LIMIT sets how many bytes the state may hold: its key is that of command_limit_key(), its value
 * the number as command_limit_text() writes it, 0 for no limit. Of version 2. OPEN_SESSION has
 * neither key nor value; it and the writes that name a session are of version 3. All other writes
 * are of version 1 and stay so, for nodes that know no other. */
enum command_op {
    COMMAND_WRITE = 1,
    COMMAND_CAS = 2,
    COMMAND_DELETE = 3,
    COMMAND_LIMIT = 4,
    COMMAND_OPEN_SESSION = 5,
};
#define COMMAND_FLAG_CREATE_IF_NOT_EXISTS 1u /* cas only */

/* The first byte of a command: the latest that this program can do. */
#define COMMAND_VERSION         3u
#define COMMAND_VERSION_LIMIT   2u
#define COMMAND_VERSION_SESSION 3u
/* The largest limit; its text never has more digits. */
#define COMMAND_LIMIT_MAX   (((uint64_t)1 << 53) - 1)
#define COMMAND_LIMIT_CHARS 20u

struct command {
    enum command_op op;
    uint8_t flags;
    /* A session, when `first` is not 0: 1 <= first <= seq. Otherwise client and seq mean nothing to
     * the state, as they did before there were sessions: both are 0, or neither is. */
    uint64_t client;
    uint64_t seq;
    uint64_t first;
    struct wire_slice key;   /* stored form, 2 .. KEY_BYTES_MAX bytes */
    struct wire_slice value; /* write: value; cas: to; else absent */
    struct wire_slice from;  /* cas only */
};
#define COMMAND_ERRORS(X)                                                                          \
    X(COMMAND_E_INVALID, 1, "these bytes are no command")                                          \
    X(COMMAND_E_NEWER, 2, "the command is of a version that this program does not know")
enum command_error { COMMAND_ERRORS(OUTCOME_NUMBER) };
const char *command_error_text(int error);
void command_limit_key(struct wire_key *key);
/* "1073741824": a JSON integer without needless digits, and a 0 behind it. */
void command_limit_text(uint64_t limit_bytes, char text[COMMAND_LIMIT_CHARS]);
/* False: it is not such a text. */
bool command_limit_parse(struct wire_slice text, uint64_t *ret_limit_bytes);
/* 0, -ENOMEM. */
int command_encode(const struct command *c, struct buf *buf);
/* 0, COMMAND_E_INVALID, COMMAND_E_NEWER: what it is to do is not known here, so that to apply it as
 * nothing would be another state than the one on nodes that do know. */
int command_decode(const void *data, size_t len, struct command *ret);

/* What applying gave; decided by the log and the state alone. */
enum command_status {
    COMMAND_OK = 0,
    COMMAND_KEY_NOT_FOUND = 1,       /* cas: error 20 */
    COMMAND_PRECONDITION_FAILED = 2, /* cas: error 22 */
    /* bytes that are no command of a known version: applied as nothing, on every node */
    COMMAND_INVALID = 3,
    /* it would make the state larger than its limit: nothing was changed */
    COMMAND_NO_SPACE = 4,
    /* there is no such session, or it has let go of this seq: nothing was changed now, and whether
     * something was at another time nobody knows */
    COMMAND_SESSION_EXPIRED = 5,
};
struct command_result {
    enum command_status status;
    bool existed;  /* delete */
    bool repeated; /* applied before: this is what was answered then, with the index of then */
    raft_index index;
    /* NO_SPACE: what the state holds, and may hold */
    uint64_t used_bytes;
    uint64_t limit_bytes;
    size_t touched_bytes; /* of the state, to find out: what it cost, not what it means */
};

/* A value as read from the state; text is borrowed as long as the view it came from. */
struct command_value {
    bool exists;
    struct wire_slice text;
    raft_index create_index;
    raft_index modify_index;
    uint64_t version; /* 1 for a key just created */
};

/* Keys as stored, in their order: from `from` on, or behind it, and in front of `to`. Both are
 * there, and begin with the type of a key; from at or behind to: there are none. */
struct command_range {
    struct wire_slice from;
    bool behind; /* not `from` itself */
    struct wire_slice to;
};
/* One of them; key.data NULL: there are no more. Borrowed as the value. */
struct command_item {
    struct wire_slice key;
    struct command_value value;
};

#endif
