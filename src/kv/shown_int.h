/* The applied index that an untrusted state still shows (DISK-41). */
#ifndef RIDD_KV_SHOWN_INT_H
#define RIDD_KV_SHOWN_INT_H

#include "kv/kv_int.h"

/* Sets kv->shown_index from what earlier starts wrote down and, when the state is about to be set
 * aside, from what it shows, which is written down first: the start that sets it aside may end with
 * a refusal of the log, and the next one must see the same proof. 0 or -errno. */
int shown_look(struct kv *kv, bool will_be_set_aside);

/* The same of a running state, before its mark is gone or the file set aside: what it has applied
 * is known. 0 or -errno. */
int shown_note(struct kv *kv);

/* What the last process had applied, whatever its file holds, into kv->witness_index; and what this
 * one applies from now on is told there. */
void shown_open(struct kv *kv);
void shown_tell(struct kv *kv, raft_index index);

#endif
