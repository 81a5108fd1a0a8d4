/* A difference between two states says that one of them is wrong, not which. Never is it "who
 * differs from the leader": a damaged leader would send its two good followers to be made again,
 * and what they are made from would be right while it goes on answering (FIT-9).
 *
 * First everybody reads its own state through. Whose pages do not give its own digest is damaged,
 * and out of the question. Only when all that are left are as they say, they are counted, and
 * voters alone count: those that are away too, for they may share either side's opinion. Without a
 * majority nobody knows, and a guess would destroy one of the copies by which somebody could find
 * out. */
#include "engine/judge_int.h"

#include "base/banned.h"

bool digests_equal(const struct raft_digest_at *a, const struct raft_digest_at *b)
{
    return a->index == b->index && a->high == b->high && a->low == b->low;
}

/* Its digest can be held against others: only those of one version say anything (FIT-8). Who made
 * it in another way neither agrees nor disagrees. */
static bool speaks(const struct voice *v, uint32_t version)
{
    return v->is_heard && !v->is_unfit && v->version == version;
}

bool has_answered(const struct voice *v, uint32_t version)
{
    return speaks(v, version) && v->is_checked && v->digest.index != 0;
}

static unsigned count_like(const struct voice *voices, unsigned n, uint32_t version,
                           const struct raft_digest_at *digest)
{
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++)
        count += voices[i].is_voter && has_answered(&voices[i], version) &&
                 digests_equal(&voices[i].digest, digest);
    return count;
}

static bool all_equal(const struct voice *voices, unsigned n, uint32_t version)
{
    const struct raft_digest_at *first = NULL;

    for (unsigned i = 0; i < n; i++) {
        if (!has_answered(&voices[i], version))
            continue;
        if (first != NULL && !digests_equal(first, &voices[i].digest))
            return false;
        first = &voices[i].digest;
    }
    return true;
}

enum judgement judge_states(const struct voice *voices, unsigned n, uint32_t version,
                            struct raft_digest_at *ret_right)
{
    unsigned n_voters = 0;
    bool equal = all_equal(voices, n, version);
    bool waits = false;

    for (unsigned i = 0; i < n; i++) {
        /* Learners are not waited for: they decide nothing. */
        waits |=
            voices[i].is_voter && speaks(&voices[i], version) && !has_answered(&voices[i], version);
        n_voters += voices[i].is_voter;
    }
    /* A majority of the voters is one whatever the others will say: one that is far behind, and
     * does not come to the index, keeps nobody from being mended. */
    for (unsigned i = 0; i < n && !equal; i++) {
        if (!has_answered(&voices[i], version) ||
            2 * count_like(voices, n, version, &voices[i].digest) <= n_voters)
            continue;
        *ret_right = voices[i].digest;
        return JUDGE_RIGHT;
    }
    if (waits)
        return JUDGE_WAIT;
    return equal ? JUDGE_EQUAL : JUDGE_SPLIT;
}
