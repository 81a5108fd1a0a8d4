/* Sessions in the state (SESSION-1 to SESSION-6): what a session remembers, which sessions there
 * are, and what entries make of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/prng.h"
#include "kv/digest_int.h"
#include "kv/kv_int.h"
#include "kv/record_int.h"
#include "kv/session_int.h"
#include "unit/kv-copies.h"

/* ---- one session, without a state ---- */

static const struct command_result ok = {.status = COMMAND_OK, .index = 7};

static enum session_verdict look(const struct session *s, uint64_t seq)
{
    struct session_answer answer;

    return session_look(s, seq, &answer);
}

static void session__answers_are_found_again(void **state)
{
    const struct command_result no_space = {
        .status = COMMAND_NO_SPACE, .index = 12, .used_bytes = 90, .limit_bytes = 100};
    const struct command_result deleted = {.existed = true, .index = 11};
    struct session_answer answer;
    struct session s;

    (void)state;
    session_init(&s);
    assert_int_equal(look(&s, 1), SESSION_NEW);
    assert_int_equal(look(&s, UINT64_MAX), SESSION_NEW);
    session_answered(&s, 3, &no_space);
    session_answered(&s, 1, &deleted); /* later, though its number is lower */
    assert_int_equal(look(&s, 2), SESSION_NEW);
    assert_int_equal(look(&s, 4), SESSION_NEW);
    assert_int_equal(session_look(&s, 3, &answer), SESSION_REPEATED);
    assert_int_equal(answer.status, COMMAND_NO_SPACE);
    assert_true(answer.index == 12 && answer.used_bytes == 90 && answer.limit_bytes == 100);
    assert_int_equal(session_look(&s, 1, &answer), SESSION_REPEATED);
    assert_true(answer.status == COMMAND_OK && answer.existed && answer.index == 11);
}

/* SESSION-2: of 129 answers the one of the lowest seq goes, and from then on nothing below those
 * that are left is new. */
static void session__the_window_is_of_the_last_answers(void **state)
{
    struct session s;

    (void)state;
    session_init(&s);
    for (uint64_t seq = 2; seq <= SESSION_ANSWERS_MAX; seq++)
        session_answered(&s, seq, &ok);
    assert_int_equal(s.n, SESSION_ANSWERS_MAX - 1);
    assert_int_equal(look(&s, 1), SESSION_NEW); /* there is room for one more */
    session_answered(&s, SESSION_ANSWERS_MAX + 1, &ok);
    assert_int_equal(look(&s, 1), SESSION_EXPIRED);
    assert_int_equal(look(&s, 2), SESSION_REPEATED);
    /* A gap stays new as long as it lies in the window. */
    session_answered(&s, SESSION_ANSWERS_MAX + 3, &ok);
    assert_int_equal(s.n, SESSION_ANSWERS_MAX);
    assert_int_equal(look(&s, 2), SESSION_EXPIRED);
    assert_int_equal(look(&s, 3), SESSION_REPEATED);
    assert_int_equal(look(&s, SESSION_ANSWERS_MAX + 2), SESSION_NEW);
    session_answered(&s, SESSION_ANSWERS_MAX + 2, &ok);
    assert_int_equal(look(&s, 3), SESSION_EXPIRED);
    assert_int_equal(look(&s, 4), SESSION_REPEATED);
    assert_int_equal(look(&s, SESSION_ANSWERS_MAX + 2), SESSION_REPEATED);
    /* What went stays gone, also when there is room again. */
    session_forget(&s, 60);
    assert_int_equal(look(&s, 59), SESSION_EXPIRED);
    assert_int_equal(look(&s, 60), SESSION_REPEATED);
}

/* A seq far above all others takes nothing away but one answer, and what it jumped over is new. */
static void session__a_jump_leaves_what_it_jumped_over(void **state)
{
    struct session s;

    (void)state;
    session_init(&s);
    session_answered(&s, UINT64_MAX, &ok);
    for (uint64_t seq = 1; seq < SESSION_ANSWERS_MAX; seq++)
        session_answered(&s, seq, &ok);
    assert_int_equal(look(&s, 1), SESSION_REPEATED);
    assert_int_equal(look(&s, SESSION_ANSWERS_MAX), SESSION_NEW);
    session_answered(&s, UINT64_MAX - 1, &ok);
    assert_int_equal(look(&s, 1), SESSION_EXPIRED);
    assert_int_equal(look(&s, SESSION_ANSWERS_MAX), SESSION_NEW);
    session_forget(&s, UINT64_MAX);
    assert_int_equal(s.n, 1);
    assert_int_equal(look(&s, UINT64_MAX - 1), SESSION_EXPIRED);
    assert_int_equal(look(&s, UINT64_MAX), SESSION_REPEATED);
}

/* SESSION-2: answers below `first` go, and seqs below it are never new, whether they were applied or
 * not. It never goes back. */
static void session__first_lets_answers_go(void **state)
{
    struct session s;

    (void)state;
    session_init(&s);
    session_answered(&s, 1, &ok);
    session_answered(&s, 2, &ok);
    session_answered(&s, 5, &ok);
    session_forget(&s, 1);
    assert_int_equal(s.n, 3);
    session_forget(&s, 4);
    assert_int_equal(s.n, 1);
    for (uint64_t seq = 1; seq < 4; seq++)
        assert_int_equal(look(&s, seq), SESSION_EXPIRED);
    assert_int_equal(look(&s, 4), SESSION_NEW);
    assert_int_equal(look(&s, 5), SESSION_REPEATED);
    session_forget(&s, 2);
    assert_int_equal(look(&s, 3), SESSION_EXPIRED);
    session_forget(&s, 1000);
    assert_int_equal(s.n, 0);
    assert_int_equal(look(&s, 999), SESSION_EXPIRED);
    assert_int_equal(look(&s, 1000), SESSION_NEW);
}

static bool same_session(const struct session *a, const struct session *b)
{
    if (a->first != b->first || a->n != b->n)
        return false;
    for (unsigned i = 0; i < a->n; i++) {
        const struct session_answer *x = &a->answers[i];
        const struct session_answer *y = &b->answers[i];

        if (x->seq != y->seq || x->index != y->index || x->status != y->status ||
            x->existed != y->existed || x->used_bytes != y->used_bytes ||
            x->limit_bytes != y->limit_bytes)
            return false;
    }
    return true;
}

/* The longest text, and each shorter one. */
static void session__text_there_and_back(void **state)
{
    static const enum command_status statuses[] = {
        COMMAND_NO_SPACE, COMMAND_OK, COMMAND_KEY_NOT_FOUND, COMMAND_PRECONDITION_FAILED};
    unsigned char text[SESSION_TEXT_BYTES_MAX];
    struct session back;
    struct session s;

    (void)state;
    for (unsigned kinds = 1; kinds <= 4; kinds++) {
        session_init(&s);
        for (unsigned i = 0; i <= SESSION_ANSWERS_MAX; i++) {
            const struct command_result result = {.status = statuses[i % kinds],
                                                  .existed = i % 3 == 1,
                                                  .index = 1000 + i,
                                                  .used_bytes = UINT64_MAX,
                                                  .limit_bytes = i};
            const size_t len = session_write(&s, text);
            const struct wire_slice all = {(const char *)text, len};

            assert_true(len <= sizeof(text));
            assert_true(session_parse(all, &back));
            assert_true(same_session(&s, &back));
            session_answered(&s, i + 1, &result);
        }
        assert_int_equal(s.n, SESSION_ANSWERS_MAX);
        assert_int_equal(session_write(&s, text) == sizeof(text), kinds == 1);
    }
}

static bool parses(const unsigned char *text, size_t len)
{
    struct session s;

    return session_parse((struct wire_slice){(const char *)text, len}, &s);
}

/* What a record holds is not believed because its checksum is good. */
static void session__odd_texts_are_none(void **state)
{
    const struct command_result no_space = {.status = COMMAND_NO_SPACE, .index = 9};
    unsigned char text[SESSION_TEXT_BYTES_MAX + SESSION_ANSWER_BYTES];
    struct session s;
    size_t len;

    (void)state;
    session_init(&s);
    session_answered(&s, 4, &ok);
    session_answered(&s, 5, &no_space);
    len = session_write(&s, text);
    assert_true(parses(text, len));
    for (size_t n = 0; n < len; n++)
        assert_int_equal(parses(text, n), n == 8 || n == 8 + SESSION_ANSWER_BYTES);
    put_u64(text, 0); /* none is 0 */
    assert_false(parses(text, len));
    put_u64(text, 1);
    put_u64(text + 8, 5); /* twice the same seq */
    assert_false(parses(text, len));
    put_u64(text + 8, 0);
    assert_false(parses(text, len));
    put_u64(text + 8, 4);
    for (unsigned status = 0; status < 256; status++) {
        const unsigned kind = status & 127;

        text[8 + 16] = (unsigned char)status;
        assert_int_equal(parses(text, len), kind == COMMAND_OK || kind == COMMAND_KEY_NOT_FOUND ||
                                                kind == COMMAND_PRECONDITION_FAILED);
    }
    /* One answer too many. */
    session_init(&s);
    for (uint64_t seq = 1; seq <= SESSION_ANSWERS_MAX; seq++)
        session_answered(&s, seq, &ok);
    len = session_write(&s, text);
    assert_true(parses(text, len));
    memset(text + len, 0, SESSION_ANSWER_BYTES);
    put_u64(text + len, SESSION_ANSWERS_MAX + 1);
    assert_false(parses(text, len + SESSION_ANSWER_BYTES));
}

/* Any bytes are no text, or mean one session and are its only text. */
static void session__mutations_are_refused_or_mean_the_same_bytes(void **state)
{
    const struct command_result no_space = {
        .status = COMMAND_NO_SPACE, .index = 9, .limit_bytes = 3};
    unsigned char good[SESSION_TEXT_BYTES_MAX];
    unsigned n_ok = 0;
    struct session s;
    struct prng p;
    size_t good_len;

    (void)state;
    session_init(&s);
    for (uint64_t seq = 2; seq < 9; seq++)
        session_answered(&s, seq * seq, seq % 3 == 0 ? &no_space : &ok);
    good_len = session_write(&s, good);
    prng_init(&p, 5);
    for (unsigned i = 0; i < 50000; i++) {
        unsigned char text[SESSION_TEXT_BYTES_MAX];
        unsigned char again[SESSION_TEXT_BYTES_MAX];
        const size_t len = good_len - prng_below(&p, prng_below(&p, 4) == 0 ? good_len : 1);

        memcpy(text, good, good_len);
        for (uint64_t n = 1 + prng_below(&p, 3); n > 0; n--)
            text[prng_below(&p, good_len)] =
                (unsigned char)(prng_below(&p, 2) ? prng_next(&p) : prng_below(&p, 8));
        if (!session_parse((struct wire_slice){(const char *)text, len}, &s))
            continue;
        n_ok++;
        assert_int_equal(session_write(&s, again), len);
        assert_memory_equal(again, text, len);
    }
    assert_true(n_ok > 1000);
}

static void session__keys_are_in_order(void **state)
{
    static const uint64_t clients[] = {0, 1, 255, 256, 1u << 31, UINT64_MAX};
    struct session_key before = {{0}};
    struct session_key key;
    uint64_t client;

    (void)state;
    for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
        session_key_set(&key, clients[i]);
        assert_true(session_key_get((struct wire_slice){key.bytes, sizeof(key.bytes)}, &client));
        assert_true(client == clients[i]);
        assert_true(memcmp(before.bytes, key.bytes, sizeof(key.bytes)) < 0);
        before = key;
        assert_false(session_key_get((struct wire_slice){key.bytes, 9}, &client));
    }
    assert_false(session_key_get(record_meta_key, &client));
    assert_false(session_key_get((struct wire_slice){"\1squota789", 10}, &client));
}

/* ---- which there are ---- */

static struct session_list *list; /* too large for a stack */

static int list_setup(void **state)
{
    (void)state;
    list = calloc(1, sizeof(*list));
    return list == NULL;
}

static int list_teardown(void **state)
{
    (void)state;
    free(list);
    return 0;
}

static void add(uint64_t client, raft_index used, uint64_t bytes)
{
    const struct session_head head = {client, used, bytes};

    assert_true(session_list_add(list, &head));
}

static void list__knows_who_was_used_last(void **state)
{
    const struct session_head used = {20, 60, 150};
    uint64_t client;

    (void)state;
    assert_false(session_list_is_over(list, 1, &client));
    add(10, 50, 100);
    assert_false(session_list_is_over(list, 1, &client)); /* never the last one */
    add(20, 20, 100);
    add(30, 30, 100);
    assert_false(session_list_add(list, &(struct session_head){30, 70, 1}));
    assert_false(session_list_add(list, &(struct session_head){29, 70, 1}));
    assert_true(list->n == 3 && list->bytes == 300);
    assert_null(session_list_find(list, 11));
    assert_null(session_list_find(list, 31));
    assert_true(session_list_find(list, 30)->used == 30);
    /* A part of what the state may hold, and all of the table's own bound without a limit. */
    assert_false(session_list_is_over(list, 0, &client));
    assert_false(session_list_is_over(list, 300u * SESSIONS_QUOTA_PART, &client));
    assert_true(session_list_is_over(list, 300u * SESSIONS_QUOTA_PART - 1, &client));
    assert_true(client == 20);
    session_list_use(list, &used);
    assert_true(list->bytes == 350);
    assert_true(session_list_is_over(list, 1, &client));
    assert_true(client == 30);
    session_list_drop(list, 30);
    assert_true(list->n == 2 && list->bytes == 250);
    assert_null(session_list_find(list, 30));
    assert_true(session_list_find(list, 20)->bytes == 150);
    assert_true(session_list_is_over(list, 1, &client));
    assert_true(client == 10);
}

static void list__has_two_bounds(void **state)
{
    uint64_t client;

    (void)state;
    for (uint64_t i = 1; i <= SESSIONS_MAX; i++)
        add(i, i, 1);
    assert_false(session_list_is_over(list, 0, &client));
    add(SESSIONS_MAX + 1, SESSIONS_MAX + 1, 1);
    assert_true(session_list_is_over(list, 0, &client));
    assert_true(client == 1);
    assert_false(
        session_list_add(list, &(struct session_head){SESSIONS_MAX + 2, SESSIONS_MAX + 2, 1}));
    session_list_drop(list, 1);
    assert_false(session_list_is_over(list, 0, &client));
    session_list_use(list, &(struct session_head){2, 9999999, SESSIONS_BYTES_MAX});
    assert_true(session_list_is_over(list, UINT64_MAX, &client));
    assert_true(client == 3);
}

/* ---- in a state ---- */

static struct command named(struct command c, uint64_t client, uint64_t seq, uint64_t first)
{
    c.client = client;
    c.seq = seq;
    c.first = first;
    return c;
}

/* In a transaction of its own. */
static struct command_result apply(struct fixture *f, const struct command *c)
{
    raft_index index = kv_last_applied(f->kv).index;
    struct command_result result;

    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_command(f, &index, c, &result), 0);
    assert_int_equal(kv_commit(f->kv), 0);
    assert_true(result.repeated ? result.index < index : result.index == index);
    return result;
}

static uint64_t open_session(struct fixture *f)
{
    const struct command c = {.op = COMMAND_OPEN_SESSION};
    const struct command_result result = apply(f, &c);

    assert_int_equal(result.status, COMMAND_OK);
    return result.index;
}

static struct command_result write_in(struct fixture *f, uint64_t client, uint64_t seq,
                                      const char *name, const char *value)
{
    const struct wire_key key = string_key(name);
    const struct command c = named(command_write(key_slice(&key), value), client, seq, 1);

    return apply(f, &c);
}

static struct command_result cas_in(struct fixture *f, uint64_t client, uint64_t seq,
                                    const char *name, const char *from, const char *to)
{
    const struct wire_key key = string_key(name);
    const struct command c = named(command_cas(key_slice(&key), from, to, false), client, seq, 1);

    return apply(f, &c);
}

static struct command_result delete_in(struct fixture *f, uint64_t client, uint64_t seq,
                                       const char *name)
{
    const struct wire_key key = string_key(name);
    const struct command c =
        named((struct command){.op = COMMAND_DELETE, .key = key_slice(&key)}, client, seq, 1);

    return apply(f, &c);
}

static void check_same(struct command_result again, struct command_result first)
{
    assert_true(again.repeated && !first.repeated);
    assert_int_equal(again.status, first.status);
    assert_int_equal(again.existed, first.existed);
    assert_true(again.index == first.index);
    assert_true(again.used_bytes == first.used_bytes && again.limit_bytes == first.limit_bytes);
}

static struct kv_sessions sessions_of(struct fixture *f)
{
    return stats_of(f).sessions;
}

/* SESSION-1: of each kind of answer, whatever became of the key since. */
static void kv__a_repeated_write_is_answered_again(void **state)
{
    struct fixture *f = *state;
    struct command_result first[5];
    uint64_t a;
    uint64_t b;

    kv_up(f);
    a = open_session(f);
    b = open_session(f);
    assert_true(a == 1 && b == 2);
    first[0] = write_in(f, a, 1, "x", "1");
    first[1] = cas_in(f, a, 2, "none", "1", "2");
    first[2] = cas_in(f, a, 3, "x", "5", "6");
    first[3] = delete_in(f, a, 4, "x");
    first[4] = delete_in(f, a, 5, "x");
    assert_int_equal(first[1].status, COMMAND_KEY_NOT_FOUND);
    assert_int_equal(first[2].status, COMMAND_PRECONDITION_FAILED);
    assert_true(first[3].existed && !first[4].existed);
    /* Another session's seqs are its own. */
    assert_int_equal(write_in(f, b, 1, "x", "5").status, COMMAND_OK);
    assert_int_equal(write_in(f, b, 2, "none", "1").status, COMMAND_OK);
    for (unsigned round = 0; round < 3; round++) {
        check_same(write_in(f, a, 1, "x", "1"), first[0]);
        check_same(cas_in(f, a, 2, "none", "1", "2"), first[1]);
        check_same(cas_in(f, a, 3, "x", "5", "6"), first[2]);
        check_same(delete_in(f, a, 4, "x"), first[3]);
        check_same(delete_in(f, a, 5, "x"), first[4]);
        /* What the seq was used for counts, and not what is asked now. */
        check_same(write_in(f, a, 4, "y", "1"), first[3]);
        check_value(f, "x", "5", 8, 8, 1);
        check_value(f, "none", "1", 9, 9, 1);
        check_value(f, "y", NULL, 0, 0, 0);
        kv_down(f, round == 0);
        kv_up(f);
    }
}

/* Two attempts in one transaction, as when both were in flight (SESSION-4); and one that is undone
 * was never made. */
static void kv__both_attempts_in_one_transaction(void **state)
{
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    struct command_result results[3];
    struct command c;
    raft_index index;
    uint64_t client;

    kv_up(f);
    client = open_session(f);
    c = named(command_write(key_slice(&key), "1"), client, 1, 1);
    for (unsigned round = 0; round < 2; round++) {
        index = kv_last_applied(f->kv).index;
        assert_int_equal(kv_begin(f->kv), 0);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(apply_command(f, &index, &c, &results[i]), 0);
        assert_false(results[0].repeated);
        check_same(results[1], results[0]);
        check_same(results[2], results[0]);
        if (round == 0)
            kv_abort(f->kv);
        else
            assert_int_equal(kv_commit(f->kv), 0);
    }
    check_value(f, "x", "1", 2, 2, 1);
    assert_true(sessions_of(f).n == 1);
}

/* SESSION-3: nothing is applied for a session that is not there, and nothing is changed. */
static void kv__an_unknown_session_is_expired(void **state)
{
    struct fixture *f = *state;
    struct kv_digest before;
    uint64_t client;

    kv_up(f);
    assert_int_equal(write_in(f, 1, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    client = open_session(f);
    before = stats_of(f).digest;
    assert_int_equal(write_in(f, client + 1, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    assert_int_equal(write_in(f, client - 1, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    assert_int_equal(write_in(f, UINT64_MAX, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    assert_true(digest_equal(stats_of(f).digest, before));
    check_value(f, "x", NULL, 0, 0, 0);
    /* What names none is what it was, also where somebody wrote numbers into it. */
    assert_int_equal(write_one(f, "x", "1").status, COMMAND_OK);
    for (unsigned i = 0; i < 2; i++) {
        const struct wire_key key = string_key("x");
        struct command c = command_write(key_slice(&key), "2");

        c.client = client;
        c.seq = 1;
        assert_int_equal(apply(f, &c).status, COMMAND_OK);
    }
    check_value(f, "x", "2", 6, 8, 3);
}

/* SESSION-2, at its place in the log. */
static void kv__the_window_moves(void **state)
{
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    struct command_result result;
    uint64_t client;
    struct command c;

    kv_up(f);
    client = open_session(f);
    for (uint64_t seq = 2; seq <= SESSION_ANSWERS_MAX + 2; seq++)
        assert_int_equal(write_in(f, client, seq, "x", "1").status, COMMAND_OK);
    assert_int_equal(write_in(f, client, 1, "x", "2").status, COMMAND_SESSION_EXPIRED);
    assert_int_equal(write_in(f, client, 2, "x", "2").status, COMMAND_SESSION_EXPIRED);
    assert_true(write_in(f, client, 3, "x", "2").repeated);
    /* What the client has the answers of goes, with a repetition, too. */
    c = named(command_write(key_slice(&key), "2"), client, 100, 90);
    result = apply(f, &c);
    assert_true(result.repeated);
    assert_true(
        sessions_of(f).bytes ==
        kv_record_bytes(SESSION_KEY_BYTES, SESSION_FIRST_BYTES + (SESSION_ANSWERS_MAX + 2 - 89) *
                                                                     SESSION_ANSWER_BYTES));
    assert_int_equal(write_in(f, client, 89, "x", "2").status, COMMAND_SESSION_EXPIRED);
    check_value(f, "x", "1", 2, SESSION_ANSWERS_MAX + 2, SESSION_ANSWERS_MAX + 1);
    c = named(command_write(key_slice(&key), "3"), client, 200, 200);
    assert_int_equal(apply(f, &c).status, COMMAND_OK);
    assert_int_equal(write_in(f, client, 150, "x", "2").status, COMMAND_SESSION_EXPIRED);
    check_value(f, "x", "3", 2, kv_last_applied(f->kv).index - 1, SESSION_ANSWERS_MAX + 2);
}

/* ---- too many ---- */

static void open_many(struct fixture *f, unsigned n)
{
    const struct command c = {.op = COMMAND_OPEN_SESSION};
    raft_index index = kv_last_applied(f->kv).index;
    struct command_result result;

    assert_int_equal(kv_begin(f->kv), 0);
    while (n-- > 0)
        assert_int_equal(apply_command(f, &index, &c, &result), 0);
    assert_int_equal(kv_commit(f->kv), 0);
}

/* SESSION-5: who was not used for the longest time goes, by entries; a repetition is a use, what
 * was refused is none. */
static void kv__the_oldest_session_goes(void **state)
{
    struct fixture *f = *state;

    kv_up(f);
    open_many(f, SESSIONS_MAX);
    assert_true(sessions_of(f).n == SESSIONS_MAX && sessions_of(f).gone == 0);
    assert_int_equal(write_in(f, 1, 1, "x", "1").status, COMMAND_OK);
    assert_int_equal(write_in(f, 3, 1, "x", "1").status, COMMAND_OK);
    (void)open_session(f);
    assert_true(sessions_of(f).n == SESSIONS_MAX && sessions_of(f).gone == 1);
    assert_int_equal(write_in(f, 2, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    (void)open_session(f);
    assert_int_equal(write_in(f, 4, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    open_many(f, SESSIONS_MAX - 5); /* 1 and 3 are the oldest but one */
    assert_true(write_in(f, 1, 1, "x", "1").repeated);
    (void)open_session(f);
    assert_true(write_in(f, 1, 1, "x", "1").repeated);
    (void)open_session(f);
    assert_int_equal(write_in(f, 3, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    /* Counted and listed alike after a start. */
    kv_down(f, false);
    kv_up(f);
    assert_true(sessions_of(f).n == SESSIONS_MAX);
    assert_true(sessions_of(f).gone == SESSIONS_MAX - 1);
    assert_true(write_in(f, 1, 1, "x", "1").repeated);
    check_scrub(f);
}

static void set_limit(struct fixture *f, uint64_t bytes)
{
    char text[COMMAND_LIMIT_CHARS];
    struct command c = {.op = COMMAND_LIMIT};
    struct wire_key key;

    command_limit_key(&key);
    command_limit_text(bytes, text);
    c.key = key_slice(&key);
    c.value = slice(text);
    assert_int_equal(apply(f, &c).status, COMMAND_OK);
}

/* SESSION-5: never more than a part of what the state may hold; and after the limit was lowered so
 * many with each entry that comes. */
static void kv__sessions_take_a_part_of_the_quota(void **state)
{
    struct fixture *f = *state;
    const uint64_t one = kv_record_bytes(SESSION_KEY_BYTES, SESSION_FIRST_BYTES);

    kv_up(f);
    set_limit(f, 100 * one * SESSIONS_QUOTA_PART);
    open_many(f, 100);
    assert_true(sessions_of(f).n == 100 && sessions_of(f).bytes == 100 * one);
    (void)open_session(f);
    assert_true(sessions_of(f).n == 100 && sessions_of(f).gone == 1);
    assert_int_equal(write_in(f, 2, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    assert_int_equal(write_in(f, 3, 1, "x", "1").status, COMMAND_OK); /* its answer takes room */
    assert_true(sessions_of(f).n == 99 && sessions_of(f).gone == 2);
    assert_true(sessions_of(f).bytes == 99 * one + SESSION_ANSWER_BYTES);
    set_limit(f, 80 * one * SESSIONS_QUOTA_PART);
    assert_true(sessions_of(f).n == 99);
    assert_true(write_in(f, 3, 1, "x", "1").repeated);
    assert_true(sessions_of(f).n == 99 - SESSIONS_GONE_AT_ONCE);
    (void)open_session(f);
    assert_true(write_in(f, 3, 1, "x", "1").repeated);
    assert_true(sessions_of(f).n == 79);
    assert_true(sessions_of(f).bytes == 79 * one + SESSION_ANSWER_BYTES);
    check_scrub(f);
}

/* SESSION-6: a new session is refused as a new key is; the answer of a write never is, or a
 * repetition of a write that was refused could be applied. */
static void kv__answers_are_kept_without_room(void **state)
{
    struct fixture *f = *state;
    struct command_result refused;
    struct command_result opened;
    uint64_t client;
    struct command c = {.op = COMMAND_OPEN_SESSION};

    kv_up(f);
    client = open_session(f);
    write_one(f, "x", "1");
    set_limit(f, stats_of(f).live_bytes + 20);
    opened = apply(f, &c);
    assert_int_equal(opened.status, COMMAND_NO_SPACE);
    assert_true(opened.used_bytes == stats_of(f).live_bytes);
    assert_true(opened.limit_bytes == stats_of(f).limit_bytes);
    assert_true(sessions_of(f).n == 1);
    refused = write_in(f, client, 1, "y", "1");
    assert_int_equal(refused.status, COMMAND_NO_SPACE);
    assert_true(refused.used_bytes == opened.used_bytes);
    assert_true(stats_of(f).live_bytes > stats_of(f).limit_bytes);
    set_limit(f, 0);
    check_same(write_in(f, client, 1, "y", "1"), refused);
    check_value(f, "y", NULL, 0, 0, 0);
    assert_int_equal(write_in(f, client, 2, "y", "1").status,
                     COMMAND_OK); /* the retry: a new seq */
    /* A delete fits in any case, and is answered again. */
    set_limit(f, 1);
    assert_true(delete_in(f, client, 3, "y").existed);
    assert_true(delete_in(f, client, 3, "y").existed);
}

/* ---- as any other record ---- */

static void make_sessions(struct fixture *f)
{
    for (unsigned i = 0; i < 5; i++)
        (void)open_session(f);
    for (uint64_t seq = 1; seq <= 40; seq++) {
        (void)write_in(f, 1 + seq % 3, seq, "x", "1");
        (void)delete_in(f, 4, seq, "y");
    }
}

/* SESSION-6: they go with a copy, and the state that it becomes goes on with them. */
static void kv__a_copy_has_them(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = make_another();
    struct kv_sessions there;
    struct kv_sessions here;

    kv_up(f);
    kv_up(g);
    (void)open_session(g); /* what it knew is forgotten */
    make_sessions(f);
    copy_over(f, g);
    assert_true(digests_equal(stats_of(f).digest, stats_of(g).digest));
    here = sessions_of(f);
    there = sessions_of(g);
    assert_true(here.n == 5 && there.n == 5 && here.bytes == there.bytes);
    assert_true(write_in(g, 2, 40, "x", "1").repeated);
    assert_int_equal(write_in(g, 6, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    assert_true(write_in(f, 2, 40, "x", "1").repeated);
    assert_int_equal(write_in(f, 6, 1, "x", "1").status, COMMAND_SESSION_EXPIRED);
    assert_true(digests_equal(stats_of(f).digest, stats_of(g).digest));
    check_scrub(g);
    drop_another(g);
}

/* The digest tells nodes apart of which one forgot an answer (STATE-7). */
static void kv__the_digest_knows_them(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = make_another();

    kv_up(f);
    kv_up(g);
    for (unsigned i = 0; i < 2; i++) {
        struct fixture *each = i == 0 ? f : g;

        (void)open_session(each);
        (void)write_in(each, 1, 1, "x", "1");
        assert_true(write_in(each, 1, 1 + i, "x", "1").repeated == (i == 0));
        assert_int_equal(write_one(each, "x", "1").status, COMMAND_OK);
        assert_true(delete_one(each, "x"));
    }
    assert_false(digests_equal(stats_of(f).digest, stats_of(g).digest));
    drop_another(g);
}

/* Says something else, with a good checksum; in older copies of its page, too. */
static void forge(struct fixture *f, struct wire_slice key, size_t len, size_t at, uint64_t value)
{
    static unsigned char data[1u << 20];
    const size_t n = slurp(f, "data.mdb", data, sizeof(data));
    unsigned n_found = 0;

    for (size_t i = 0; i + key.len + len <= n; i++) {
        unsigned char *record = data + i + key.len;

        if (memcmp(data + i, key.data, key.len) != 0 ||
            get_u32(record) != record_crc(key, record, len))
            continue;
        put_u64(record + at, value);
        put_u32(record, record_crc(key, record, len));
        n_found++;
    }
    assert_true(n_found > 0);
    spill(f, "data.mdb", data, n);
}

/* STATE-12: what the file says of its sessions is what it holds, and each makes sense. */
static void kv__a_wrong_session_is_damage(void **state)
{
    struct fixture *f = *state;
    struct session_key key;
    const struct {
        bool of_meta;
        size_t at;
        uint64_t value;
        const char *why;
    } forged[] = {{true, 64, 3, "has 2 sessions, and says that it has 3"},
                  {true, 72, 1, "sessions"},
                  {false, RECORD_HEADER_BYTES, 0, "it makes no sense"}};

    session_key_set(&key, 2);
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        const struct wire_slice which =
            forged[i].of_meta ? record_meta_key : (struct wire_slice){key.bytes, sizeof(key.bytes)};

        kv_up(f);
        open_many(f, 2);
        kv_down(f, true);
        forge(f, which, forged[i].of_meta ? META_BYTES : RECORD_HEADER_BYTES + 8, forged[i].at,
              forged[i].value);
        err_reset();
        kv_up(f);
        assert_int_equal(f->trust, KV_REBUILD);
        assert_non_null(strstr(err_text(), forged[i].why));
        assert_true(sessions_of(f).n == 0);
        kv_down(f, true);
        wipe(f->dir);
    }
}

/* What the list says and the file does not hold is damage, and never a session that is unknown. */
static void kv__a_missing_session_is_damage(void **state)
{
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    const struct command c = named(command_write(key_slice(&key), "1"), 1, 1, 1);
    struct command_result result;
    raft_index index;

    for (unsigned known = 0; known < 2; known++) {
        kv_up(f);
        open_many(f, 3);
        if (known == 1) { /* the list counts one that is not there */
            f->kv->sessions.heads[1].client = 77;
            f->kv->sessions.heads[2].client = 78;
        } else { /* it has to be made anew, and the meta record counts another number */
            f->kv->sessions_known = false;
            f->kv->committed.sessions.n = 4;
        }
        index = kv_last_applied(f->kv).index;
        if (known == 1) {
            struct command other = c;

            other.client = 77;
            assert_int_equal(kv_begin(f->kv), 0);
            assert_int_equal(apply_command(f, &index, &other, &result), -EBADMSG);
            kv_abort(f->kv);
        } else {
            assert_int_equal(kv_begin(f->kv), -EBADMSG);
        }
        assert_true(kv_is_distrusted(f->kv));
        kv_down(f, false);
        wipe(f->dir);
    }
}

/* ---- formats ---- */

static unsigned char meta_format(struct fixture *f)
{
    struct page_file file;
    struct page_cursor cursor = {0};
    struct page_head head;
    struct page_item item;
    unsigned char format;

    memset(&file, 0, sizeof(file));
    assert_int_equal(kv_page_file(f->kv, &file), 0);
    assert_int_equal(page_read_head(&file, &head), 0);
    assert_int_equal(page_cursor_first(&cursor, &file, &head.keys), 0);
    assert_int_equal(page_cursor_next(&cursor, &item), 0);
    assert_int_equal(item.key.len, record_meta_key.len);
    assert_int_equal(item.len, item.data[4] == META_FORMAT ? META_BYTES : META_BYTES_PLAIN);
    format = item.data[4];
    page_cursor_free(&cursor);
    return format;
}

/* SESSION-7: until the first session a state is one that an earlier program reads; from then on it
 * is one that it refuses, for ever. */
static void kv__the_format_changes_with_the_first_session(void **state)
{
    struct fixture *f = *state;

    kv_up(f);
    write_one(f, "x", "1");
    (void)write_in(f, 1, 1, "x", "1"); /* there is none */
    assert_int_equal(meta_format(f), META_FORMAT_PLAIN);
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_int_equal(meta_format(f), META_FORMAT_PLAIN);
    (void)open_session(f);
    assert_int_equal(meta_format(f), META_FORMAT);
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    write_one(f, "x", "2");
    assert_int_equal(meta_format(f), META_FORMAT);
    assert_true(sessions_of(f).n == 1);
}

#define LIST_TEST(name) cmocka_unit_test_setup_teardown(name, list_setup, list_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session__answers_are_found_again),
        cmocka_unit_test(session__the_window_is_of_the_last_answers),
        cmocka_unit_test(session__a_jump_leaves_what_it_jumped_over),
        cmocka_unit_test(session__first_lets_answers_go),
        cmocka_unit_test(session__text_there_and_back),
        cmocka_unit_test(session__odd_texts_are_none),
        cmocka_unit_test(session__mutations_are_refused_or_mean_the_same_bytes),
        cmocka_unit_test(session__keys_are_in_order),
        LIST_TEST(list__knows_who_was_used_last),
        LIST_TEST(list__has_two_bounds),
        TEST(kv__a_repeated_write_is_answered_again),
        TEST(kv__both_attempts_in_one_transaction),
        TEST(kv__an_unknown_session_is_expired),
        TEST(kv__the_window_moves),
        TEST(kv__the_oldest_session_goes),
        TEST(kv__sessions_take_a_part_of_the_quota),
        TEST(kv__answers_are_kept_without_room),
        TEST(kv__a_copy_has_them),
        TEST(kv__the_digest_knows_them),
        TEST(kv__a_wrong_session_is_damage),
        TEST(kv__a_missing_session_is_damage),
        TEST(kv__the_format_changes_with_the_first_session),
    };

    return cmocka_run_group_tests_name("kv-session", tests, NULL, NULL);
}
