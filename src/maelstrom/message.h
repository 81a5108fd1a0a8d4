/* Messages between nodes as JSON: struct raft_msg to the body of an envelope and back.
 *
 * For: people who read a run: one type per message and every field by its name, so that a Lamport
 * diagram can be read; the payload of an entry is Base64.
 * Not for: judging a message. Decoding is total: every field is looked at for type and range; what
 * the numbers mean together is judged by raft_step().
 * Units: as in raft_msg.
 * Ownership: what is decoded lives in the caller's arena.
 * Errors: 0, MESSAGE_E_INVALID (then *ret_wrong names the field), -ENOMEM; the buffer is unchanged
 * after one.
 * Thread: any; pure.
 * Source: ridd-maelstrom(1) has the list. */
#ifndef RIDD_MAELSTROM_MESSAGE_H
#define RIDD_MAELSTROM_MESSAGE_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "raft/types.h"

/* "append_entries"; NULL: no such message. */
const char *message_type_name(enum raft_msg_type type);

/* Appends the body, an object. 0 or -ENOMEM, then buf is unchanged. */
int message_encode(const struct raft_msg *m, struct buf *buf);

enum message_error { MESSAGE_E_INVALID = 1 };
/* Entries and payloads come from the arena. 0; MESSAGE_E_INVALID, *ret_wrong names the field then;
 * -ENOMEM. */
int message_decode(const json_t *body, raft_node_id from, raft_node_id to, struct arena *arena,
                   struct raft_msg *ret, const char **ret_wrong);

#endif
