/* Replies: formatted directly into a buffer, one line each with its newline (WIRE-5).
 *
 * For: what a client reads. A reply is begun, gets its fields in order, and is ended; the writer
 * adds type, in_reply_to, envelope and msg_id where they belong. `spaced` is the form with a blank
 * behind colons and commas, for standard output; replies over TCP are compact.
 *
 * Not for: deciding anything. What a reply claims is the caller's to know.
 *
 * Ownership: `origin` is borrowed until the end; NULL: bare, without in_reply_to. Texts are copied
 * at once.
 *
 * Errors: writers return nothing: a failed allocation is remembered, and wire_reply_end() gives
 * -ENOMEM with the buffer as it was at the beginning.
 *
 * Thread: pure, any thread; one reply at a time per buffer.
 *
 * Source: ridd-protocol(7).
 *
 * Obvious: units. */
#ifndef RIDD_WIRE_REPLY_H
#define RIDD_WIRE_REPLY_H

#include "base/buf.h"
#include "wire/request.h"

struct wire_reply {
    struct buf *buf;
    const struct wire_origin *origin;
    uint64_t own_msg_id; /* written last in the body of an envelope */
    size_t start;        /* length of buf at begin */
    bool spaced;
    bool failed;
    bool comma; /* a comma is due before the next member or element */
};

void wire_reply_begin(struct wire_reply *w, struct buf *buf, const struct wire_origin *origin,
                      bool spaced, uint64_t own_msg_id, const char *type);
void wire_reply_u64(struct wire_reply *w, const char *name, uint64_t v);
void wire_reply_i64(struct wire_reply *w, const char *name, int64_t v);
void wire_reply_bool(struct wire_reply *w, const char *name, bool v);
void wire_reply_null(struct wire_reply *w, const char *name);
void wire_reply_string(struct wire_reply *w, const char *name, const char *s, size_t len);
void wire_reply_str(struct wire_reply *w, const char *name, const char *s); /* NULL: null */
/* Compact JSON text, spliced in; absent (data NULL): null. */
void wire_reply_value(struct wire_reply *w, const char *name, struct wire_slice text);
void wire_reply_key(struct wire_reply *w, const char *name, const struct wire_key *key);
/* Milliseconds from whole microseconds without needless digits: 0.213, 2, 15.5. */
void wire_reply_ms(struct wire_reply *w, const char *name, uint64_t us);
/* Members that a writer of this kind has written before, behind at least one other: with the
 * comma in front of them. */
void wire_reply_again(struct wire_reply *w, struct wire_slice members);
/* name NULL inside an array. */
void wire_reply_open_object(struct wire_reply *w, const char *name);
void wire_reply_close_object(struct wire_reply *w);
void wire_reply_open_array(struct wire_reply *w, const char *name);
void wire_reply_close_array(struct wire_reply *w);
/* What was written since is taken back; nothing was closed since that was open then. */
struct wire_reply_mark {
    size_t len;
    bool comma;
};
struct wire_reply_mark wire_reply_mark(const struct wire_reply *w);
void wire_reply_back(struct wire_reply *w, struct wire_reply_mark mark);
/* Writes msg_id, the closing braces and '\n'. 0 or -ENOMEM. */
int wire_reply_end(struct wire_reply *w);
/* Bytes written since begin, to hold against REPLY_BYTES_MAX; wire_reply_undo() takes them back. */
size_t wire_reply_len(const struct wire_reply *w);
void wire_reply_undo(struct wire_reply *w);

/* A whole reply, bare and without spaces, in one piece: what a field by field writer gives where
 * all but two numbers and a value is known before. */
struct wire_reply_frame {
    struct wire_slice head;         /* {"type":"x_ok","in_reply_to": */
    struct wire_slice before_value; /* ,"value": */
    struct wire_slice before_index; /* ,"read_at_index": or nothing, then there is no index */
    struct wire_slice tail;         /* all behind it, '\n' included */
};
/* False: no memory, nothing was written. value absent (data NULL): null. */
bool wire_reply_in_one(struct buf *buf, const struct wire_reply_frame *f, uint64_t in_reply_to,
                       struct wire_slice value, uint64_t index);

/* Begins an error: type, in_reply_to, code, text, error, definite are written; add what the row
 * carries, then end. A pair that errors.h does not know (code -1) is written as 13, not
 * definite. */
void wire_reply_begin_error(struct wire_reply *w, struct buf *buf, const struct wire_origin *origin,
                            bool spaced, uint64_t own_msg_id, enum wire_error error,
                            bool after_append, const char *text);
/* The whole line for a request that could not be decoded; line_no is written (last) when no msg_id
 * could be read. 0, -ENOMEM. */
int wire_reply_refused(struct buf *buf, const struct wire_refused *refused, bool spaced,
                       uint64_t own_msg_id, uint64_t line_no);

#endif
