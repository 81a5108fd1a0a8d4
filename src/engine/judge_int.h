/* Who is wrong when states differ: the decision alone, of what everybody says.
 *
 * Obvious: units, ownership, errors, thread. */
#ifndef RIDD_ENGINE_JUDGE_INT_H
#define RIDD_ENGINE_JUDGE_INT_H

#include "raft/types.h"

/* What one node says of its state at the index that is asked about. */
struct voice {
    raft_node_id id;
    bool is_voter;
    bool is_heard;    /* within one election timeout; of itself: always */
    bool is_unfit;    /* it knows already that its state is not to be believed, or rebuilds it */
    bool is_checked;  /* its state was read through since the question came up, and is as its own
                        digest says */
    uint32_t version; /* of its digest */
    struct raft_digest_at digest; /* index 0: it did not say */
};

/* EQUAL: nothing differs (any more). WAIT: somebody who is heard has not answered. RIGHT: a
 * majority of the voters has this one; who has another is wrong. SPLIT: all have answered, and no
 * digest is shared by a majority: nobody is excluded. */
enum judgement { JUDGE_EQUAL, JUDGE_WAIT, JUDGE_RIGHT, JUDGE_SPLIT };

/* Of all servers of the configuration, each once; version is that of whoever judges. *ret_right is
 * set with RIGHT. */
enum judgement judge_states(const struct voice *voices, unsigned n, uint32_t version,
                            struct raft_digest_at *ret_right);
/* It has read its state through, and says what it is; version is that of whoever judges. */
bool has_answered(const struct voice *v, uint32_t version);
bool digests_equal(const struct raft_digest_at *a, const struct raft_digest_at *b);

#endif
