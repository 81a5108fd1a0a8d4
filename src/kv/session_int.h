/* What the state remembers of writes that name a session, so that one which is repeated is answered
 * again and not applied again (SESSION-1).
 *
 * Two things, both without LMDB: a session with its answers, as its record holds them; and the list
 * of all sessions, which says who was used last and when, and is made of the records at an open.
 * Entries decide both, and nothing else does: no clock, no order of memory (SESSION-4).
 *
 * For: apply_session.c, and a simulator that has another state than LMDB's.
 * Not for: what a write does.
 * Units: indexes of the log; bytes as kv_record_bytes() counts them.
 * Ownership: plain structs, copied freely.
 * Errors: none; a text that no session has is false.
 * Thread: pure, any thread. */
#ifndef RIDD_KV_SESSION_INT_H
#define RIDD_KV_SESSION_INT_H

#include "base/limits.h"
#include "wire/command.h"

/* ---- the key of its record: a byte that no key of a command begins with ---- */

#define SESSION_KEY_BYTES 10u
struct session_key {
    char bytes[SESSION_KEY_BYTES];
};
void session_key_set(struct session_key *key, uint64_t client);
/* False: it is the key of something else. */
bool session_key_get(struct wire_slice key, uint64_t *ret_client);

/* ---- one session ---- */

struct session_answer {
    uint64_t seq;
    raft_index index;
    enum command_status status;
    bool existed;
    uint64_t used_bytes; /* these two of NO_SPACE, else 0 */
    uint64_t limit_bytes;
};
struct session {
    uint64_t first; /* the highest that was ever said: the client has all answers below */
    unsigned n;
    struct session_answer answers[SESSION_ANSWERS_MAX]; /* by seq */
};
#define SESSION_FIRST_BYTES    8u
#define SESSION_ANSWER_BYTES   17u
#define SESSION_NO_SPACE_BYTES 16u
#define SESSION_TEXT_BYTES_MAX                                                                     \
    (SESSION_FIRST_BYTES + SESSION_ANSWERS_MAX * (SESSION_ANSWER_BYTES + SESSION_NO_SPACE_BYTES))

/* A new one: nothing was applied for it, from seq 1 on all is new. */
void session_init(struct session *s);
/* False: no session has this text; *ret is garbage then. */
bool session_parse(struct wire_slice text, struct session *ret);
size_t session_write(const struct session *s, unsigned char text[SESSION_TEXT_BYTES_MAX]);

enum session_verdict {
    SESSION_NEW,      /* never applied: to be applied now */
    SESSION_REPEATED, /* applied: *ret_answer is what was answered */
    SESSION_EXPIRED,  /* applied or not, nobody knows any more */
};
enum session_verdict session_look(const struct session *s, uint64_t seq,
                                  struct session_answer *ret_answer);
/* A seq that is new was applied, and this came of it. Of more answers than may be kept the one of
 * the lowest seq goes. */
void session_answered(struct session *s, uint64_t seq, const struct command_result *result);
/* The client has the answers of all seqs below this one: they go, and those seqs are never new. */
void session_forget(struct session *s, uint64_t first);

/* ---- all of them ---- */

struct session_head {
    uint64_t client;
    raft_index used; /* of the last entry that changed its record */
    uint64_t bytes;  /* of that */
};
struct session_list {
    unsigned n;
    uint64_t bytes;
    struct session_head heads[SESSIONS_MAX + 1]; /* by client; one more while it is full */
};

/* NULL: there is none. Good until the next call that changes the list. */
const struct session_head *session_list_find(const struct session_list *l, uint64_t client);
/* False: its client is not above all others, or there is no room for it. */
bool session_list_add(struct session_list *l, const struct session_head *head);
/* That of head->client, which is there, is like this now. */
void session_list_use(struct session_list *l, const struct session_head *head);
void session_list_drop(struct session_list *l, uint64_t client);
/* Too many, or more bytes than there may be: the one that *ret_client names has to go, whose record
 * was not changed for the longest time. Never the last one. limit_bytes: of the state, 0: none. */
bool session_list_is_over(const struct session_list *l, uint64_t limit_bytes, uint64_t *ret_client);

#endif
