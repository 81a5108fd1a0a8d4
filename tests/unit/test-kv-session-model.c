/* Random histories of writes in sessions against a small model (SESSION-1 to SESSION-6).
 *
 * The model remembers everything: each seq of each session with what came of it, for ever. What the
 * state may have forgotten is calculated from that each time, by the sentences of docs/RULES.md and
 * not the way the state does it. A second state is given the same log in other transactions, now
 * and then a copy of the first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "unit/kv-copies.h"

#define N_KEYS    3u
#define N_CLIENTS 200u
#define N_SEQS    400u
#define RECORD    64u /* what a record counts beside key and text */

struct applied {
    uint64_t seq;
    struct command_result result;
};
struct model_session {
    uint64_t client;
    raft_index used;
    bool is_gone;
    uint64_t first;
    uint64_t bytes; /* of its record, by what follows */
    unsigned n;
    struct applied applied[N_SEQS]; /* in the order of the log */
};
struct model_key {
    bool exists;
    char text[40];
    raft_index create_index;
    raft_index modify_index;
    uint64_t version;
};
struct model {
    struct model_key keys[N_KEYS];
    uint64_t limit;
    bool has_limit;
    char limit_text[24];
    uint64_t gone;
    unsigned n;
    struct model_session sessions[N_CLIENTS];
};

static const char *const names[N_KEYS] = {"a", "bb", "ccc"};

/* ---- bytes ---- */

static uint64_t key_bytes(unsigned i, const char *text)
{
    return strlen(names[i]) + 1 + strlen(text) + RECORD;
}

/* Kept are the answers of the 128 highest seqs that were applied and are not below `first`. */
static bool is_kept(const struct model_session *s, const struct applied *a)
{
    unsigned n_above = 0;

    for (unsigned i = 0; i < s->n; i++)
        n_above += s->applied[i].seq > a->seq;
    return a->seq >= s->first && n_above < 128;
}

static uint64_t session_bytes(const struct model_session *s)
{
    uint64_t bytes = 10 + 8 + RECORD;

    for (unsigned i = 0; i < s->n; i++)
        if (is_kept(s, &s->applied[i]))
            bytes += s->applied[i].result.status == COMMAND_NO_SPACE ? 33 : 17;
    return bytes;
}

static void count_sessions(const struct model *m, struct kv_sessions *ret)
{
    *ret = (struct kv_sessions){.gone = m->gone};
    for (unsigned i = 0; i < m->n; i++) {
        if (m->sessions[i].is_gone)
            continue;
        ret->n++;
        ret->bytes += m->sessions[i].bytes;
    }
}

static uint64_t live_bytes(const struct model *m)
{
    struct kv_sessions sessions;
    uint64_t bytes = m->has_limit ? 6 + strlen(m->limit_text) + RECORD : 0;

    for (unsigned i = 0; i < N_KEYS; i++)
        bytes += m->keys[i].exists ? key_bytes(i, m->keys[i].text) : 0;
    count_sessions(m, &sessions);
    return bytes + sessions.bytes;
}

/* ---- what entries do ---- */

static void refuse(const struct model *m, struct command_result *result)
{
    result->status = COMMAND_NO_SPACE;
    result->used_bytes = live_bytes(m);
    result->limit_bytes = m->limit;
}

static void model_set(struct model *m, unsigned i, const char *text, struct command_result *result)
{
    struct model_key *k = &m->keys[i];
    const uint64_t before = k->exists ? key_bytes(i, k->text) : 0;
    const uint64_t after = key_bytes(i, text);

    if (m->limit != 0 && after > before && live_bytes(m) - before + after > m->limit) {
        refuse(m, result);
        return;
    }
    k->create_index = k->exists ? k->create_index : result->index;
    k->version = k->exists ? k->version + 1 : 1;
    k->modify_index = result->index;
    k->exists = true;
    (void)snprintf(k->text, sizeof(k->text), "%s", text);
}

static void model_write(struct model *m, const struct command *c, unsigned i,
                        struct command_result *result)
{
    struct model_key *k = &m->keys[i];
    char text[40] = "";

    memcpy(text, c->value.data != NULL ? c->value.data : "", c->value.len);
    if (c->op == COMMAND_DELETE) {
        result->existed = k->exists;
        k->exists = false;
        return;
    }
    if (c->op == COMMAND_CAS && !k->exists && (c->flags & COMMAND_FLAG_CREATE_IF_NOT_EXISTS) == 0) {
        result->status = COMMAND_KEY_NOT_FOUND;
        return;
    }
    if (c->op == COMMAND_CAS && k->exists &&
        (strlen(k->text) != c->from.len || memcmp(k->text, c->from.data, c->from.len) != 0)) {
        result->status = COMMAND_PRECONDITION_FAILED;
        return;
    }
    model_set(m, i, text, result);
}

/* Who has not been used for the longest time goes, at most eight with an entry, never the one that
 * is being used. */
static void model_fit(struct model *m)
{
    for (unsigned round = 0; round < 8; round++) {
        const uint64_t most =
            m->limit != 0 && m->limit / 8 < (8u << 20) ? m->limit / 8 : (8u << 20);
        struct model_session *oldest = NULL;
        struct kv_sessions sessions;

        count_sessions(m, &sessions);
        if (sessions.n <= 1 || (sessions.n <= 4096 && sessions.bytes <= most))
            return;
        for (unsigned i = 0; i < m->n; i++)
            if (!m->sessions[i].is_gone && (oldest == NULL || m->sessions[i].used < oldest->used))
                oldest = &m->sessions[i];
        if (oldest == NULL)
            return;
        oldest->is_gone = true;
        m->gone++;
    }
}

static void model_open(struct model *m, struct command_result *result)
{
    if (m->limit != 0 && live_bytes(m) + 10 + 8 + RECORD > m->limit) {
        refuse(m, result);
        return;
    }
    assert_true(m->n < N_CLIENTS);
    m->sessions[m->n++] =
        (struct model_session){.client = result->index, .used = result->index, .first = 1};
    m->sessions[m->n - 1].bytes = session_bytes(&m->sessions[m->n - 1]);
    model_fit(m);
}

static void model_in_session(struct model *m, const struct command *c, unsigned key,
                             struct command_result *result)
{
    const raft_index index = result->index;
    struct model_session *s = NULL;
    struct applied *known = NULL;
    unsigned n_above = 0;

    for (unsigned i = 0; i < m->n; i++)
        if (m->sessions[i].client == c->client && !m->sessions[i].is_gone)
            s = &m->sessions[i];
    result->status = COMMAND_SESSION_EXPIRED;
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n; i++) {
        n_above += s->applied[i].seq > c->seq;
        if (s->applied[i].seq == c->seq)
            known = &s->applied[i];
    }
    if (c->seq < s->first || n_above >= 128)
        return;
    if (known != NULL) {
        *result = known->result;
        result->repeated = true;
    } else {
        result->status = COMMAND_OK;
        model_write(m, c, key, result);
        assert_true(s->n < N_SEQS);
        s->applied[s->n++] = (struct applied){c->seq, *result};
    }
    s->used = index;
    s->first = c->first > s->first ? c->first : s->first;
    s->bytes = session_bytes(s);
    model_fit(m);
}

static void model_apply(struct model *m, const struct command *c, unsigned key,
                        struct command_result *result)
{
    if (c->op == COMMAND_OPEN_SESSION) {
        model_open(m, result);
    } else if (c->op == COMMAND_LIMIT) {
        memset(m->limit_text, 0, sizeof(m->limit_text));
        memcpy(m->limit_text, c->value.data, c->value.len);
        m->limit = strtoull(m->limit_text, NULL, 10);
        m->has_limit = true;
    } else if (c->first != 0) {
        model_in_session(m, c, key, result);
    } else {
        model_write(m, c, key, result);
    }
}

/* ---- what comes ---- */

struct history {
    struct prng p;
    struct model *model;  /* owned */
    struct model *before; /* owned: as of the last commit */
    struct {
        struct buf command;
        struct command_result result;
    } * log; /* owned; [0] is index 1 */
    unsigned n;
    unsigned n_of[8]; /* of entries, by what came of them */
    unsigned n_repeated;
};

struct texts {
    struct wire_key key;
    char value[40];
    char from[40];
    char limit[COMMAND_LIMIT_CHARS];
};

static void draw_limit(struct history *h, struct command *c, struct texts *t)
{
    uint64_t bytes = 200 + prng_below(&h->p, prng_below(&h->p, 2) == 0 ? 400 : 30000);

    if (prng_below(&h->p, 2) == 0)
        bytes = 0;
    command_limit_key(&t->key);
    command_limit_text(bytes, t->limit);
    *c = (struct command){.op = COMMAND_LIMIT, .key = key_slice(&t->key), .value = slice(t->limit)};
}

/* Mostly the next one or one of the last; now and then a jump, or one of long ago. */
static void draw_session(struct history *h, struct command *c)
{
    const struct model *m = h->model;
    const struct model_session *s = &m->sessions[0];
    uint64_t top = 0;
    uint64_t back;

    if (m->n == 0 || prng_below(&h->p, 12) == 0)
        return;
    if (prng_below(&h->p, 30) == 0) {
        c->client = 1 + prng_below(&h->p, h->n + 10); /* mostly none that was ever opened */
        c->seq = 1 + prng_below(&h->p, 4);
        c->first = 1;
        return;
    }
    /* The last ones are used most, and seldom one that is gone; a long life fills a window. */
    for (unsigned i = 0; i < 4; i++) {
        s = &m->sessions[m->n - 1 - prng_below(&h->p, prng_below(&h->p, m->n < 6 ? m->n : 6) + 1)];
        if (!s->is_gone)
            break;
    }
    if (s->n >= N_SEQS)
        return;
    for (unsigned i = 0; i < s->n; i++)
        top = s->applied[i].seq > top ? s->applied[i].seq : top;
    back = prng_below(&h->p, prng_below(&h->p, 8) == 0 ? 200 : 4);
    c->seq = top + 1 + (prng_below(&h->p, 40) == 0 ? prng_below(&h->p, 60) : 0);
    if (prng_below(&h->p, 10) < 3)
        c->seq = c->seq > back + 1 ? c->seq - back - 1 : 1;
    c->client = s->client;
    c->first =
        prng_below(&h->p, 3) == 0 ? 1 : c->seq - prng_below(&h->p, c->seq < 20 ? c->seq : 20);
    if (prng_below(&h->p, 4) != 0)
        c->first = 1;
}

static unsigned draw_command(struct history *h, struct command *c, struct texts *t)
{
    const unsigned key = (unsigned)prng_below(&h->p, N_KEYS);
    const uint64_t what = prng_below(&h->p, 100);
    const uint64_t rare = prng_below(&h->p, 200);
    const struct model_key *k = &h->model->keys[key];

    if (rare < 1) {
        draw_limit(h, c, t);
        return key;
    }
    if (rare < 3 && h->model->n < N_CLIENTS) {
        *c = (struct command){.op = COMMAND_OPEN_SESSION};
        return key;
    }
    t->key = string_key(names[key]);
    (void)snprintf(t->value, sizeof(t->value), "%.*s%u", (int)prng_below(&h->p, 25),
                   "1111111111111111111111111", h->n);
    (void)snprintf(t->from, sizeof(t->from), "%s",
                   k->exists && prng_below(&h->p, 3) != 0 ? k->text : "0");
    if (what < 50)
        *c = command_write(key_slice(&t->key), t->value);
    else if (what < 80)
        *c = command_cas(key_slice(&t->key), t->from, t->value, prng_below(&h->p, 2) == 0);
    else
        *c = (struct command){.op = COMMAND_DELETE, .key = key_slice(&t->key)};
    draw_session(h, c);
    return key;
}

static void check_result(const struct command_result *got, const struct command_result *want)
{
    assert_int_equal(got->status, want->status);
    assert_int_equal(got->existed, want->existed);
    assert_int_equal(got->repeated, want->repeated);
    assert_true(got->index == want->index);
    assert_true(got->used_bytes == want->used_bytes && got->limit_bytes == want->limit_bytes);
}

static void check_state(struct fixture *f, const struct model *m)
{
    const struct kv_stats stats = stats_of(f);
    struct kv_sessions want;

    count_sessions(m, &want);
    assert_true(stats.sessions.n == want.n && stats.sessions.bytes == want.bytes);
    assert_true(stats.sessions.gone == want.gone);
    assert_true(stats.live_bytes == live_bytes(m));
    for (unsigned i = 0; i < N_KEYS; i++)
        check_value(f, names[i], m->keys[i].exists ? m->keys[i].text : NULL,
                    m->keys[i].create_index, m->keys[i].modify_index, m->keys[i].version);
}

/* One entry more, in the open transaction and in the model. */
static void one_more(struct fixture *f, struct history *h)
{
    struct command_result want = {.index = h->n + 1};
    struct texts t;
    struct command c;
    const unsigned key = draw_command(h, &c, &t);
    raft_index index = h->n;

    h->log[h->n].command = (struct buf)BUF_INIT;
    assert_int_equal(command_encode(&c, &h->log[h->n].command), 0);
    assert_int_equal(apply_command(f, &index, &c, &h->log[h->n].result), 0);
    model_apply(h->model, &c, key, &want);
    check_result(&h->log[h->n].result, &want);
    h->n++;
}

static void model_copy(struct model *to, const struct model *from)
{
    memcpy(to, from, offsetof(struct model, sessions) + from->n * sizeof(from->sessions[0]));
}

static void commit(struct fixture *f, struct history *h)
{
    const unsigned from = (unsigned)kv_last_applied(f->kv).index;

    assert_int_equal(kv_commit(f->kv), 0);
    for (unsigned i = from; i < h->n; i++) {
        h->n_of[h->log[i].result.status]++;
        h->n_repeated += h->log[i].result.repeated;
    }
    model_copy(h->before, h->model);
    check_state(f, h->model);
}

/* As a full disk does it: nothing of it happened, and other entries may come instead. */
static void undo(struct fixture *f, struct history *h)
{
    kv_abort(f->kv);
    while (h->n > kv_last_applied(f->kv).index)
        buf_done(&h->log[--h->n].command);
    model_copy(h->model, h->before);
    check_state(f, h->model);
}

/* A state is given what it has not yet, in transactions of its own. */
static void follow(struct fixture *g, struct history *h)
{
    raft_index index = kv_last_applied(g->kv).index;

    while (index < h->n) {
        uint64_t n = 1 + prng_below(&h->p, 200);

        assert_int_equal(kv_begin(g->kv), 0);
        for (; n > 0 && index < h->n; n--) {
            const struct command_result *want = &h->log[index].result;
            const struct buf *b = &h->log[index].command;
            struct command_result got;

            assert_int_equal(apply_next(g, &index, RAFT_ENTRY_COMMAND, b->data, b->len, &got), 0);
            check_result(&got, want);
        }
        assert_int_equal(kv_commit(g->kv), 0);
    }
}

/* f's state takes the place of g's; the last entries are not in it when they changed nothing. */
static void take_over(struct fixture *f, struct fixture *g)
{
    struct bytes b = {0};
    struct kv_copy_info info;

    take_copy(f->kv, &b);
    assert_int_equal(prepare_bytes(g->kv, &b, &info), 0);
    assert_int_equal(kv_switch(g->kv), 0);
    assert_true(digests_equal(stats_of(f).digest, stats_of(g).digest));
    free(b.data);
}

static void now_and_then(struct fixture *f, struct fixture *g, struct history *h)
{
    switch (prng_below(&h->p, 60)) {
    case 0:
        kv_down(f, prng_below(&h->p, 2) == 0);
        kv_up(f);
        follow(f, h); /* what changed nothing was not stored */
        check_state(f, h->model);
        break;
    case 1:
        follow(g, h);
        assert_true(digests_equal(stats_of(f).digest, stats_of(g).digest));
        break;
    case 2:
        take_over(f, g);
        break;
    case 3:
        check_scrub(f);
        break;
    default:
        break;
    }
}

static void run(struct fixture *f, struct fixture *g, struct history *h, unsigned n_entries)
{
    while (h->n < n_entries) {
        const uint64_t n = 1 + prng_below(&h->p, 30);

        assert_int_equal(kv_begin(f->kv), 0);
        for (uint64_t i = 0; i < n && h->n < n_entries; i++)
            one_more(f, h);
        if (prng_below(&h->p, 8) == 0)
            undo(f, h);
        else
            commit(f, h);
        now_and_then(f, g, h);
    }
    follow(g, h);
    assert_true(digests_equal(stats_of(f).digest, stats_of(g).digest));
    check_state(g, h->model);
    check_scrub(g);
}

static void session_model__random_histories(void **state)
{
    const char *seeds = getenv("RIDD_KV_SEEDS");
    const unsigned n_seeds = seeds != NULL ? (unsigned)atoi(seeds) : 8;
    const unsigned n_entries = 2500;
    unsigned n_of[8] = {0};
    unsigned n_repeated = 0;
    unsigned n_full = 0;
    uint64_t n_gone = 0;
    struct fixture *f = *state;
    struct history h = {0};

    h.model = calloc(1, sizeof(*h.model));
    h.before = calloc(1, sizeof(*h.before));
    h.log = calloc(n_entries, sizeof(*h.log));
    assert_true(h.model != NULL && h.before != NULL && h.log != NULL);
    for (unsigned seed = 1; seed <= n_seeds; seed++) {
        struct fixture *g = make_another();

        print_message("seed %u\n", seed);
        memset(h.model, 0, sizeof(*h.model));
        memset(h.before, 0, sizeof(*h.before));
        h = (struct history){.model = h.model, .before = h.before, .log = h.log};
        prng_init(&h.p, seed);
        kv_up(f);
        kv_up(g);
        run(f, g, &h, n_entries);
        n_gone += h.model->gone;
        n_repeated += h.n_repeated;
        for (unsigned i = 0; i < h.model->n; i++)
            n_full += h.model->sessions[i].n > SESSION_ANSWERS_MAX;
        for (unsigned i = 0; i < 8; i++)
            n_of[i] += h.n_of[i];
        while (h.n > 0)
            buf_done(&h.log[--h.n].command);
        drop_another(g);
        kv_down(f, false);
        wipe(f->dir);
    }
    print_message("%u repeated, %u not found, %u differ, %u without room, %u expired, %u gone, "
                  "%u full\n",
                  n_repeated, n_of[COMMAND_KEY_NOT_FOUND], n_of[COMMAND_PRECONDITION_FAILED],
                  n_of[COMMAND_NO_SPACE], n_of[COMMAND_SESSION_EXPIRED], (unsigned)n_gone, n_full);
    /* All of it was met. */
    assert_true(n_repeated > 100 && n_gone > 20 && n_full > 5);
    for (unsigned i = COMMAND_OK; i <= COMMAND_SESSION_EXPIRED; i++)
        if (i != COMMAND_INVALID)
            assert_true(n_of[i] > 50);
    free(h.model);
    free(h.before);
    free(h.log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(session_model__random_histories),
    };

    return cmocka_run_group_tests_name("kv-session-model", tests, NULL, NULL);
}
