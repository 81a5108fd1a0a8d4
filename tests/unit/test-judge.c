/* Who is wrong when states differ: the decision as a table (FIT-8, FIT-9). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/judge_int.h"

#define OWN_VERSION 3u

/* One letter for each node, the judge first:
 *   a b c   read through, with this digest      A B C  the same, a learner
 *   ?       heard, has not read its state yet    -     heard, read, says nothing of this index
 *   .       away                                 !     unfit
 *   v       reads digests of another version, and has another one */
static unsigned listen(const char *text, struct voice *voices)
{
    unsigned n = 0;

    for (; *text != '\0'; text++, n++) {
        struct voice *v = &voices[n];
        bool lower = *text >= 'a' && *text <= 'c';
        bool upper = *text >= 'A' && *text <= 'C';

        *v = (struct voice){.id = n + 1,
                            .is_voter = !upper,
                            .is_heard = *text != '.',
                            .is_unfit = *text == '!',
                            .is_checked = *text != '?',
                            .version = *text == 'v' ? OWN_VERSION + 1 : OWN_VERSION,
                            .digest = {1024, 7, (uint64_t)*text}};
        if (lower || upper)
            v->digest.low = (uint64_t)(*text - (lower ? 'a' : 'A'));
        if (*text == '-')
            v->digest = (struct raft_digest_at){0};
        if (*text == '?')
            v->digest.low = 0;
    }
    return n;
}

static const struct {
    const char *voices;
    enum judgement want;
    char right; /* with RIGHT */
} cases[] = {
    /* clang-format off */
    /* all well, or nobody to compare with */
    {"a",     JUDGE_EQUAL, 0}, {"aaa",   JUDGE_EQUAL, 0}, {"a..",   JUDGE_EQUAL, 0}, {"aa.",  JUDGE_EQUAL, 0},
    {"aaA",   JUDGE_EQUAL, 0}, {"a!!",   JUDGE_EQUAL, 0}, {"aa!",   JUDGE_EQUAL, 0},
    /* a follower is wrong; the leader is wrong */
    {"aab",   JUDGE_RIGHT, 'a'}, {"abb",   JUDGE_RIGHT, 'b'}, {"aaabc", JUDGE_RIGHT, 'a'}, {"abbbc", JUDGE_RIGHT, 'b'},
    {"aaabb", JUDGE_RIGHT, 'a'}, {"aab..", JUDGE_SPLIT, 0},
    /* a damaged leader would be unfit: who is left decides */
    {"!ab",   JUDGE_SPLIT, 0}, {"!aa",   JUDGE_EQUAL, 0},
    /* two that differ; who is away may share either opinion */
    {"ab",    JUDGE_SPLIT, 0}, {"ab.",   JUDGE_SPLIT, 0}, {"aabb",  JUDGE_SPLIT, 0}, {"aab.",  JUDGE_SPLIT, 0},
    {"aaab",  JUDGE_RIGHT, 'a'}, {"aaa.b", JUDGE_RIGHT, 'a'},
    /* all differ */
    {"abc",   JUDGE_SPLIT, 0}, {"aabbc", JUDGE_SPLIT, 0},
    /* without a majority all that are heard must have answered; with one they need not */
    {"ab?",   JUDGE_WAIT, 0}, {"?bb",   JUDGE_WAIT, 0}, {"abb-",  JUDGE_WAIT, 0}, {"aab?.", JUDGE_WAIT, 0},
    {"abb-b", JUDGE_RIGHT, 'b'}, {"aaab?", JUDGE_RIGHT, 'a'},
    {"-ab",   JUDGE_WAIT, 0}, {"aa?",   JUDGE_WAIT, 0},
    /* another version neither agrees nor disagrees, and is not waited for; it counts as a voter */
    {"av",    JUDGE_EQUAL, 0}, {"avv",   JUDGE_EQUAL, 0}, {"abv",   JUDGE_SPLIT, 0}, {"abb.v", JUDGE_SPLIT, 0},
    {"abbbv", JUDGE_RIGHT, 'b'}, {"vaa",   JUDGE_EQUAL, 0}, {"vab",   JUDGE_SPLIT, 0},
    /* learners can be wrong, and decide nothing */
    {"aaB",   JUDGE_RIGHT, 'a'}, {"aB",    JUDGE_RIGHT, 'a'}, {"abB",   JUDGE_SPLIT, 0}, {"abBBB", JUDGE_SPLIT, 0},
    /* clang-format on */
};

static void judge__the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct raft_digest_at right = {0};
        struct voice voices[8];
        unsigned n = listen(cases[i].voices, voices);
        enum judgement got = judge_states(voices, n, OWN_VERSION, &right);

        if (got != cases[i].want || (got == JUDGE_RIGHT && right.low != (uint64_t)(cases[i].right - 'a')))
            fail_msg("'%s': %d, not %d", cases[i].voices, (int)got, (int)cases[i].want);
    }
}

/* Whatever is said: what is right is what a majority of all voters has. */
static void judge__a_majority_is_never_wrong(void **state)
{
    static const char letters[] = "abc?-.!v";
    char text[6] = "";

    (void)state;
    for (unsigned k = 0; k < 8u * 8 * 8 * 8 * 8; k++) {
        struct raft_digest_at right = {0};
        struct voice voices[8];
        unsigned counts[3] = {0};
        unsigned n;

        for (unsigned i = 0, rest = k; i < 5; i++, rest /= 8) {
            text[i] = letters[rest % 8];
            if (text[i] >= 'a' && text[i] <= 'c')
                counts[text[i] - 'a']++;
        }
        n = listen(text, voices);
        if (judge_states(voices, n, OWN_VERSION, &right) != JUDGE_RIGHT)
            continue;
        assert_true(counts[right.low] >= 3);
    }
}

/* Another index is another question, whatever the numbers are. */
static void judge__digests_of_two_indexes_are_not_equal(void **state)
{
    const struct raft_digest_at a = {5, 1, 2};
    const struct raft_digest_at others[] = {{6, 1, 2}, {5, 0, 2}, {5, 1, 0}};

    (void)state;
    assert_true(digests_equal(&a, &a));
    for (unsigned i = 0; i < 3; i++)
        assert_false(digests_equal(&a, &others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judge__the_table),
        cmocka_unit_test(judge__a_majority_is_never_wrong),
        cmocka_unit_test(judge__digests_of_two_indexes_are_not_equal),
    };

    return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
