/* kv: what was applied and is not in the file yet (STATE-17). Two states are given the same
 * entries, of which one stores each transaction and the other one does when it is time; nobody who
 * asks them sees a difference, whatever happens between. */
#include "unit/kv-copies.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lmdb.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "kv/kv_int.h"

/* ---- the table ---- */

#define N_KEYS 300u

struct expected {
    bool is_there;
    unsigned char byte;
    size_t len; /* 0: deleted */
};

static struct wire_slice numbered(unsigned i, char text[16])
{
    (void)snprintf(text, 16, "%u", i * 7919);
    return slice(text);
}

static bool is_as_expected(const struct memtable *m, const struct expected *all)
{
    unsigned n = 0;

    for (unsigned i = 0; i < N_KEYS; i++) {
        char text[16];
        const struct memtable_entry *e = memtable_find(m, numbered(i, text));

        n += all[i].is_there;
        if ((e != NULL) != all[i].is_there)
            return false;
        if (e == NULL)
            continue;
        if (e->record_len != all[i].len || (e->record == NULL) != (all[i].len == 0))
            return false;
        if (e->record != NULL &&
            (e->record[0] != all[i].byte || e->record[e->record_len - 1] != all[i].byte))
            return false;
    }
    return m->n == n;
}

static void put_some(struct memtable *m, struct prng *p, struct expected *all)
{
    const unsigned i = (unsigned)prng_below(p, N_KEYS);
    const struct kv_digest old = {i, 1};
    const size_t len = prng_below(p, 4) == 0 ? 0 : 1 + (size_t)prng_below(p, 40000);
    const unsigned char byte = (unsigned char)prng_below(p, 256);
    char text[16];
    struct memtable_entry *e =
        memtable_put(m, numbered(i, text), len, i % 2 == 0 ? &old : NULL, 100);

    assert_non_null(e);
    if (len > 0)
        memset(e->record, byte, len);
    /* What the file holds is that which was there when the key came. */
    assert_true(e->is_stored == (i % 2 == 0));
    assert_true(!e->is_stored || e->stored_digest.high == i);
    all[i] = (struct expected){true, byte, len};
}

static void memtable__a_batch_stays_or_never_was(void **state)
{
    struct expected now[N_KEYS];
    struct expected before[N_KEYS];
    struct memtable m;
    struct prng p;

    (void)state;
    memtable_init(&m);
    prng_init(&p, 1);
    memset(now, 0, sizeof(now));
    memcpy(before, now, sizeof(now));
    for (unsigned round = 0; round < 3000; round++) {
        const size_t bytes = m.bytes;
        const unsigned n = (unsigned)prng_below(&p, 20);

        for (unsigned i = 0; i < n; i++)
            put_some(&m, &p, now);
        assert_true(is_as_expected(&m, now));
        if (prng_below(&p, 2) == 0) {
            memtable_undo(&m);
            memcpy(now, before, sizeof(now));
            assert_true(m.bytes == bytes); /* who tries again and again needs no more */
        } else {
            memtable_keep(&m);
            memcpy(before, now, sizeof(now));
        }
        assert_true(is_as_expected(&m, now));
        if (prng_below(&p, 100) == 0) {
            memtable_clear(&m);
            memset(now, 0, sizeof(now));
            memset(before, 0, sizeof(before));
            assert_true(m.bytes == 0 && is_as_expected(&m, now));
        }
    }
    memtable_done(&m);
}

static void check_sorted(struct memtable *m)
{
    assert_true(memtable_sort(m));
    assert_int_equal(m->n_sorted, m->n);
    for (unsigned i = 0; i < m->n; i++) {
        assert_true(memtable_find(m, memtable_key(m->sorted[i])) == m->sorted[i]);
        assert_int_equal(memtable_before(m, memtable_key(m->sorted[i])), i);
        if (i > 0)
            assert_true(
                memtable_compare(memtable_key(m->sorted[i - 1]), memtable_key(m->sorted[i])) < 0);
    }
}

/* Whatever came since, went again, or was there. */
static void memtable__is_sorted_as_the_file_is(void **state)
{
    struct expected all[N_KEYS];
    struct memtable m;
    struct prng p;

    (void)state;
    memtable_init(&m);
    prng_init(&p, 2);
    memset(all, 0, sizeof(all));
    check_sorted(&m);
    for (unsigned round = 0; round < 3000; round++) {
        for (uint64_t n = prng_below(&p, 8); n > 0; n--)
            put_some(&m, &p, all);
        if (prng_below(&p, 3) == 0)
            check_sorted(&m);
        if (prng_below(&p, 3) == 0)
            memtable_undo(&m);
        else
            memtable_keep(&m);
        if (prng_below(&p, 2) == 0)
            check_sorted(&m);
        if (prng_below(&p, 200) == 0)
            memtable_clear(&m);
    }
    assert_int_equal(memtable_before(&m, slice("")), 0);
    check_sorted(&m);
    assert_int_equal(memtable_before(&m, slice("~")), m.n);
    memtable_done(&m);
}

/* Whoever chooses keys chooses their hashes, too: the table is full then, and as good as any. */
static void memtable__keys_that_fall_together_fill_it(void **state)
{
    const unsigned n = KV_MEMTABLE_STEPS_MAX + 2;
    unsigned found = 0;
    struct memtable m;
    char text[16];

    (void)state;
    memtable_init(&m);
    for (unsigned i = 0; i < 600; i++)
        assert_non_null(memtable_put(&m, numbered(i, text), 1, NULL, 0));
    assert_false(m.is_crowded);
    memtable_done(&m); /* it has 1,024 places again */
    for (unsigned i = 0; found < n; i++) {
        (void)numbered(i, text);
        if (memtable_place(crc32c(0, text, strlen(text)), KV_MEMTABLE_SLOTS_MIN) != 5)
            continue;
        assert_false(m.is_crowded);
        assert_non_null(memtable_put(&m, slice(text), 1, NULL, 0));
        found++;
    }
    assert_true(m.is_crowded);
    memtable_keep(&m);
    memtable_clear(&m);
    assert_false(m.is_crowded);
    memtable_done(&m);
}

/* ---- two states ---- */

#define N_NAMES_HERE 60u
#define LOG_MAX      8000u

static bool fail_heads;
static unsigned n_heads_failed;

/* LMDB's, which finds it here before the one of libc: it writes a head by itself, behind the pages
 * of a transaction, less than a page and more than the few bytes of APPLIED. */
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    if (fail_heads && len > 64 && len < 4096 && offset < 2 * 4096) {
        n_heads_failed++;
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, len, offset);
}

struct logged {
    char name[8];
    char value[80];
    char from[80];
    struct command c; /* its texts are those above */
};

struct twins {
    struct fixture *each; /* stores each transaction */
    struct fixture *late;
    struct prng p;
    struct logged *log;
    raft_index last;
    uint64_t clients[4];
    uint64_t seqs[4];
    unsigned n_refused;
    unsigned n_in_order; /* keys that were read so */
    unsigned n_in_steps; /* batches after which a transaction stayed open */
};

static void some_command(struct twins *t, struct logged *l)
{
    const unsigned i = (unsigned)prng_below(&t->p, 4);
    const uint64_t what = prng_below(&t->p, 20);

    *l = (struct logged){.name = ""};
    (void)snprintf(l->name, sizeof(l->name), "k%u", (unsigned)prng_below(&t->p, N_NAMES_HERE));
    (void)snprintf(l->value, sizeof(l->value), "\"%0*u\"", 1 + (int)prng_below(&t->p, 60),
                   (unsigned)prng_below(&t->p, 3));
    (void)snprintf(l->from, sizeof(l->from), "\"%0*u\"", 1 + (int)prng_below(&t->p, 60),
                   (unsigned)prng_below(&t->p, 3));
    l->c.op = what < 10 ? COMMAND_WRITE : what < 14 ? COMMAND_DELETE : COMMAND_CAS;
    if (l->c.op == COMMAND_CAS && prng_below(&t->p, 2) == 0)
        l->c.flags = COMMAND_FLAG_CREATE_IF_NOT_EXISTS;
    if (prng_below(&t->p, 40) == 0)
        l->c = (struct command){.op = COMMAND_OPEN_SESSION};
    else if (t->clients[i] != 0 && prng_below(&t->p, 3) == 0) {
        l->c.client = t->clients[i];
        l->c.seq = prng_below(&t->p, 4) == 0 ? t->seqs[i] : ++t->seqs[i];
        l->c.seq += l->c.seq == 0;
        l->c.first = 1;
    }
}

static struct command command_of(const struct logged *l, struct wire_key *key)
{
    struct command c = l->c;

    if (c.op == COMMAND_OPEN_SESSION)
        return c;
    *key = string_key(l->name);
    c.key = key_slice(key);
    if (c.op != COMMAND_DELETE)
        c.value = slice(l->value);
    if (c.op == COMMAND_CAS)
        c.from = slice(l->from);
    return c;
}

static struct command_result apply_logged(struct fixture *f, const struct logged *l,
                                          raft_index *index)
{
    struct command_result result;
    struct wire_key key;
    const struct command c = command_of(l, &key);

    assert_int_equal(apply_command(f, index, &c, &result), 0);
    return result;
}

static void read_alike(struct twins *t)
{
    struct raft_entry_id id[2];

    assert_int_equal(kv_read_begin(t->each->kv, &id[0]), 0);
    assert_int_equal(kv_read_begin(t->late->kv, &id[1]), 0);
    assert_true(id[0].index == t->last && id[1].index == t->last && id[0].term == id[1].term);
    for (unsigned i = 0; i < N_NAMES_HERE; i++) {
        struct command_value v[2];
        char name[8];
        struct wire_key key;

        (void)snprintf(name, sizeof(name), "k%u", i);
        key = string_key(name);
        assert_int_equal(kv_get(t->each->kv, key_slice(&key), &v[0]), 0);
        assert_int_equal(kv_get(t->late->kv, key_slice(&key), &v[1]), 0);
        assert_true(v[0].exists == v[1].exists && v[0].text.len == v[1].text.len);
        if (v[0].exists)
            assert_memory_equal(v[0].text.data, v[1].text.data, v[0].text.len);
        assert_true(v[0].create_index == v[1].create_index &&
                    v[0].modify_index == v[1].modify_index && v[0].version == v[1].version);
    }
    kv_read_end(t->each->kv);
    kv_read_end(t->late->kv);
}

/* All keys in their order, and a part of them. */
static void ranges_alike(struct twins *t)
{
    const bool is_part = prng_below(&t->p, 2) == 0;
    const struct wire_key from = string_key(is_part ? "k2" : "a");
    const struct wire_key to = string_key(is_part ? "k5" : "z");
    const struct command_range range = {
        .from = key_slice(&from), .to = key_slice(&to), .behind = is_part};
    struct raft_entry_id id;
    assert_int_equal(kv_read_begin(t->each->kv, &id), 0);
    assert_int_equal(kv_read_begin(t->late->kv, &id), 0);
    assert_int_equal(kv_seek(t->each->kv, &range), 0);
    assert_int_equal(kv_seek(t->late->kv, &range), 0);
    while (true) {
        struct command_item item[2];

        assert_int_equal(kv_next(t->each->kv, &item[0]), 0);
        assert_int_equal(kv_next(t->late->kv, &item[1]), 0);
        assert_true((item[0].key.data == NULL) == (item[1].key.data == NULL));
        if (item[0].key.data == NULL)
            break;
        assert_true(item[0].key.len == item[1].key.len &&
                    memcmp(item[0].key.data, item[1].key.data, item[0].key.len) == 0);
        assert_true(item[0].value.text.len == item[1].value.text.len &&
                    item[0].value.modify_index == item[1].value.modify_index);
        assert_memory_equal(item[0].value.text.data, item[1].value.text.data,
                            item[0].value.text.len);
        t->n_in_order++;
    }
    kv_read_end(t->each->kv);
    kv_read_end(t->late->kv);
}

static void stand_alike(struct twins *t)
{
    const struct kv_stats a = stats_of(t->each);
    const struct kv_stats b = stats_of(t->late);
    struct kv_digest d[2];

    assert_true(digests_equal(a.digest, b.digest) && a.digest_index == b.digest_index);
    assert_true(a.n_keys == b.n_keys && a.live_bytes == b.live_bytes);
    assert_true(a.sessions.n == b.sessions.n && a.sessions.bytes == b.sessions.bytes);
    assert_true(kv_last_applied(t->each->kv).index == t->last);
    assert_true(kv_last_applied(t->late->kv).index == t->last);
    assert_true(kv_digest_at(t->late->kv, t->last, &d[1]) &&
                kv_digest_at(t->each->kv, t->last, &d[0]) && digests_equal(d[0], d[1]));
}

/* There is no room for a moment, at any step of a store: what was refused is applied again. */
static void commit_late(struct twins *t, raft_index before)
{
    raft_index index = before;

    switch (prng_below(&t->p, 12)) {
    case 0:
        fail_commit = ENOSPC;
        break;
    case 1:
        fail_put_at = 1 + (unsigned)prng_below(&t->p, 12);
        break;
    case 2:
        fail_heads = true;
        break;
    default:
        break;
    }
    while (true) {
        const int rc = kv_commit(t->late->kv);

        fail_commit = 0;
        fail_put_at = 0;
        fail_heads = false;
        if (rc == 0)
            return;
        assert_int_equal(rc, KV_E_FULL);
        assert_int_equal(kv_last_applied(t->late->kv).index, before);
        t->n_refused++;
        assert_int_equal(kv_begin(t->late->kv), 0);
        for (index = before; index < kv_last_applied(t->each->kv).index;)
            (void)apply_logged(t->late, &t->log[index + 1], &index);
    }
}

static void one_batch(struct twins *t)
{
    const unsigned n = 1 + (unsigned)prng_below(&t->p, 25);
    raft_index index = t->last;
    raft_index other = t->last;
    const bool is_dropped = prng_below(&t->p, 5) == 0;

    assert_int_equal(kv_begin(t->each->kv), 0);
    assert_int_equal(kv_begin(t->late->kv), 0);
    for (unsigned i = 0; i < n; i++) {
        struct logged *l = &t->log[index + 1];
        struct command_result r[2];

        some_command(t, l);
        r[0] = apply_logged(t->each, l, &index);
        r[1] = apply_logged(t->late, l, &other);
        assert_true(r[0].status == r[1].status && r[0].existed == r[1].existed &&
                    r[0].repeated == r[1].repeated && r[0].index == r[1].index);
        if (l->c.op == COMMAND_OPEN_SESSION && !is_dropped) {
            const unsigned k = (unsigned)prng_below(&t->p, 4);

            t->clients[k] = index;
            t->seqs[k] = 0;
        }
    }
    if (is_dropped) {
        kv_abort(t->each->kv);
        kv_abort(t->late->kv);
        return;
    }
    assert_int_equal(kv_commit(t->each->kv), 0);
    commit_late(t, t->last);
    t->last = index;
    t->n_in_steps += t->late->kv->immutable.txn != NULL;
}

/* The file is an earlier state, and what the log has behind it makes the same of it. */
static void end_and_start(struct twins *t)
{
    const bool clean = prng_below(&t->p, 3) == 0;
    raft_index index;

    kv_down(t->late, clean);
    kv_up(t->late);
    assert_int_equal(t->late->trust, clean ? KV_TRUSTED_CLEAN : KV_TRUSTED_SAME_BOOT);
    index = kv_last_applied(t->late->kv).index;
    assert_true(clean ? index == t->last : index <= t->last);
    assert_true(kv_witness_index(t->late->kv) == t->last);
    while (index < t->last) {
        assert_int_equal(kv_begin(t->late->kv), 0);
        for (unsigned i = 0; i < 30 && index < t->last; i++)
            (void)apply_logged(t->late, &t->log[index + 1], &index);
        assert_int_equal(kv_commit(t->late->kv), 0);
    }
}

static void copies_are_alike(struct twins *t)
{
    struct bytes copies[2] = {0};
    struct kv_copy_info info[2];

    assert_int_equal(kv_flush(t->late->kv), 0);
    assert_int_equal(kv_flush(t->each->kv), 0); /* it may have changed nothing */
    take_copy(t->each->kv, &copies[0]);
    take_copy(t->late->kv, &copies[1]);
    assert_int_equal(check_bytes(t->each->kv, &copies[0], &info[0]), 0);
    assert_int_equal(check_bytes(t->late->kv, &copies[1], &info[1]), 0);
    assert_true(info[0].last_applied.index == t->last && info[1].last_applied.index == t->last);
    assert_true(digests_equal(info[0].digest, info[1].digest));
    assert_true(info[0].n_keys == info[1].n_keys && info[0].n_sessions == info[1].n_sessions);
    free(copies[0].data);
    free(copies[1].data);
}

/* So many pages that what is stored is sorted first. */
static void write_pages(struct twins *t, unsigned n)
{
    static char value[1900];
    raft_index index = t->last;
    raft_index other = t->last;

    memset(value, '1', sizeof(value) - 1);
    assert_int_equal(kv_begin(t->each->kv), 0);
    assert_int_equal(kv_begin(t->late->kv), 0);
    for (unsigned i = 0; i < n; i++) {
        struct command_result result;
        struct command c;
        struct wire_key key;
        char name[16];

        (void)snprintf(name, sizeof(name), "p%u", i);
        key = string_key(name);
        c = command_write(key_slice(&key), value);
        assert_int_equal(apply_command(t->each, &index, &c, &result), 0);
        assert_int_equal(apply_command(t->late, &other, &c, &result), 0);
    }
    assert_int_equal(kv_commit(t->each->kv), 0);
    assert_int_equal(kv_commit(t->late->kv), 0);
    assert_int_equal(kv_flush(t->late->kv), 0);
    assert_true(n == 0 || t->late->kv->leaf_pages > KV_MEMTABLE_PAGES);
    t->last = index;
}

/* A record, a page, or some of them, so that what is stored lies on both sides of the cursor, and
 * passes end. */
static void scrub_some(struct twins *t, unsigned seed)
{
    static const size_t sizes[] = {1, 4000, 8000, 30000};
    struct kv_scrub_progress progress = {0};
    const size_t bytes = sizes[prng_below(&t->p, 4)];

    if (prng_below(&t->p, 2) == 0 && kv_scrub_step(t->late->kv, bytes, &progress) != 0)
        fail_msg("seed %u: %s", seed, err_text());
}

static void are_twins(struct fixture *each, unsigned seed, const struct kv_conf *conf,
                      unsigned n_pages)
{
    struct twins t = {.each = each, .late = make_another(), .last = 0};
    bool more = false;

    t.late->conf.memtable_keys = conf->memtable_keys;
    t.late->conf.step_keys = conf->step_keys;
    t.each->conf.map_size_bytes = t.late->conf.map_size_bytes = (size_t)64 << 20;
    t.log = calloc(LOG_MAX + n_pages, sizeof(*t.log));
    assert_non_null(t.log);
    prng_init(&t.p, seed);
    skip_fsync = true;
    wipe(t.each->dir);
    kv_up(t.each);
    kv_up(t.late);
    write_pages(&t, n_pages);
    while (t.last + 30 < LOG_MAX + n_pages) {
        one_batch(&t);
        stand_alike(&t);
        if (prng_below(&t.p, 4) == 0)
            read_alike(&t);
        if (prng_below(&t.p, 8) == 0)
            ranges_alike(&t);
        scrub_some(&t, seed);
        if (prng_below(&t.p, 40) == 0)
            assert_int_equal(kv_flush(t.late->kv), 0);
        if (prng_below(&t.p, 10) == 0)
            assert_int_equal(kv_flush_step(t.late->kv, t.last, &more), 0);
        if (prng_below(&t.p, 40) == 0) {
            end_and_start(&t);
            stand_alike(&t);
        }
        if (prng_below(&t.p, 100) == 0)
            copies_are_alike(&t);
    }
    read_alike(&t);
    ranges_alike(&t);
    assert_true(stats_of(t.late).sessions.n > 3);
    assert_true(t.n_in_order > 1000);
    assert_true(conf->memtable_keys == 0 || (t.n_refused > 0 && t.n_in_steps > 100));
    check_scrub(t.late);
    assert_false(kv_is_distrusted(t.late->kv));
    kv_down(t.each, true);
    free(t.log);
    drop_another(t.late);
}

/* Of one that stores each transaction, and one that stores them together: in steps of a few keys or
 * of some time, in the order of the keys or as they came. */
static void kv_memtable__nobody_sees_a_difference(void **state)
{
    static const struct {
        struct kv_conf conf;
        unsigned n_pages;
    } kinds[] = {
        {.conf = {.memtable_keys = 0}},
        {.conf = {.memtable_keys = 8, .step_keys = 3}},
        {.conf = {.memtable_keys = 12, .step_keys = 1}},
        {.conf = {.memtable_keys = 16}},
        {.conf = {.memtable_keys = 40, .step_keys = 2}, .n_pages = 2200},
    };

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        are_twins(*state, i + 1, &kinds[i].conf, kinds[i].n_pages);
}

/* ---- when it is time ---- */

/* What a start finds when the process has just ended. */
static raft_index stored_index(struct fixture *f)
{
    kv_down(f, false);
    kv_up(f);
    return kv_last_applied(f->kv).index;
}

static raft_index write_many(struct fixture *f, unsigned n, unsigned n_keys, size_t len)
{
    char *value = malloc(len + 1);
    raft_index index = kv_last_applied(f->kv).index;

    assert_non_null(value);
    memset(value, '1', len);
    value[len] = '\0';
    for (unsigned i = 0; i < n;) {
        assert_int_equal(kv_begin(f->kv), 0);
        for (unsigned k = 0; k < 64 && i < n; k++, i++) {
            struct command_result result;
            struct wire_key key;
            struct command c;
            char name[16];

            (void)snprintf(name, sizeof(name), "k%u", i % n_keys);
            key = string_key(name);
            c = command_write(key_slice(&key), value);
            assert_int_equal(apply_command(f, &index, &c, &result), 0);
        }
        assert_int_equal(kv_commit(f->kv), 0);
    }
    free(value);
    return index;
}

/* One key of what is full goes into the file with each batch, and more of them as the next ones
 * come: all before these fill a memtable, too. */
static void kv_memtable__is_stored_when_there_is_enough(void **state)
{
    struct fixture *f = *state;
    raft_index stored;

    f->conf.memtable_keys = 0;
    f->conf.step_keys = 1;
    f->conf.map_size_bytes = (size_t)1 << 30; /* with as many blocks ahead */
    kv_up(f);
    (void)write_many(f, 2000, 1000, 10);
    assert_int_equal(stored_index(f), 0); /* it is not, and a start begins before it */
    /* Keys. */
    assert_true(write_many(f, KV_MEMTABLE_KEYS + 64, UINT32_MAX, 10) > KV_MEMTABLE_KEYS);
    assert_non_null(f->kv->immutable.txn);
    assert_int_equal(f->kv->stored.last_applied.index, 0);
    (void)write_many(f, KV_MEMTABLE_KEYS / 4 * 3, UINT32_MAX, 10);
    assert_false(f->kv->immutable.is_there);
    stored = stored_index(f);
    assert_true(stored >= KV_MEMTABLE_KEYS && stored < KV_MEMTABLE_KEYS + 64);
    /* Entries, whatever they change. */
    (void)write_many(f, KV_UNSTORED_MAX - 64, 10, 1);
    assert_false(f->kv->immutable.is_there);
    assert_int_equal(stored_index(f), stored);
    (void)write_many(f, KV_UNSTORED_MAX, 10, 1);
    assert_true(f->kv->immutable.is_there);
    (void)write_many(f, 64 * 12, 10, 1);
    assert_int_equal(stored_index(f), stored + KV_UNSTORED_MAX);
    /* Bytes. */
    stored = kv_last_applied(f->kv).index;
    (void)write_many(f, 64, 10, KV_MEMTABLE_BYTES / 60);
    assert_true(f->kv->immutable.is_there);
    (void)write_many(f, 64 * 12, 10, 1);
    assert_int_equal(stored_index(f), stored + 64);
    /* Whoever asks for it. */
    (void)write_many(f, 1, 1, 1);
    assert_int_equal(kv_flush(f->kv), 0);
    assert_int_equal(stored_index(f), stored + 65);
    (void)write_many(f, 1, 1, 1);
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(kv_last_applied(f->kv).index, stored + 66);
}

/* Of a state with many pages fewer keys are stored at once, for each costs a page. */
static void kv_memtable__of_a_large_state_fewer_keys_are_stored_at_once(void **state)
{
    struct fixture *f = *state;
    raft_index index;
    unsigned n_steps = 0;
    bool more;

    f->conf.memtable_keys = 0;
    f->conf.map_size_bytes = (size_t)1 << 30; /* with as many blocks ahead */
    skip_fsync = true;
    kv_up(f);
    (void)write_many(f, 8000, 8000, 1000);
    assert_int_equal(kv_flush(f->kv), 0);
    index = kv_last_applied(f->kv).index;
    (void)write_many(f, KV_MEMTABLE_KEYS_SPREAD - 64, 8000, 10);
    assert_int_equal(stored_index(f), index);
    (void)write_many(f, KV_MEMTABLE_KEYS_SPREAD, 8000, 10);
    /* In steps, of some time; and none looks for what is not there. */
    assert_true(f->kv->immutable.is_there);
    for (more = true; more; n_steps++)
        assert_int_equal(kv_flush_step(f->kv, index + 1, &more), 0);
    assert_true(n_steps > 2);
    for (more = true; more;)
        assert_int_equal(kv_flush_step(f->kv, RAFT_INDEX_MAX, &more), 0);
    assert_false(kv_is_ahead(f->kv));
    assert_int_equal(stored_index(f), index + KV_MEMTABLE_KEYS_SPREAD);
}

static int write_sixty(struct fixture *f, unsigned i, unsigned from)
{
    raft_index index = kv_last_applied(f->kv).index;
    struct command_result result;

    assert_int_equal(kv_begin(f->kv), 0);
    for (unsigned k = 0; k < 60; k++) {
        char name[16];
        struct wire_key key;
        struct command c;

        (void)snprintf(name, sizeof(name), "n%u-%u", i, from + k);
        key = string_key(name);
        c = command_write(key_slice(&key), "\"a value\"");
        assert_int_equal(apply_command(f, &index, &c, &result), 0);
    }
    return kv_commit(f->kv);
}

/* No room: what was applied stays, and is read; the batch that fills a second memtable never was,
 * and is tried again without end, in the same memory (SPACE-6). */
static void kv_memtable__without_room_nothing_is_lost(void **state)
{
    static const int codes[] = {ENOSPC, EDQUOT, MDB_MAP_FULL};
    struct fixture *f = *state;
    raft_index index;

    f->conf.memtable_keys = 100;
    kv_up(f);
    for (unsigned i = 0; i < 3; i++) {
        struct kv_stats before;

        index = write_many(f, 64, 90, 20);
        fail_commit = codes[i];
        /* 64 and 60 are full, and 60 are not; then those that were full have to be stored. */
        assert_int_equal(write_sixty(f, i, 0), 0);
        assert_true(f->kv->immutable.is_there);
        assert_int_equal(write_sixty(f, i, 60), 0);
        before = stats_of(f);
        for (unsigned tries = 0; tries < 300; tries++) {
            assert_int_equal(write_sixty(f, i, 120), KV_E_FULL);
            assert_true(digests_equal(stats_of(f).digest, before.digest));
            assert_int_equal(kv_last_applied(f->kv).index, index + 120);
        }
        check_value(f, "n0-120", NULL, 0, 0, 0);
        assert_int_equal(kv_flush(f->kv), KV_E_FULL);
        check_value(f, "k63", "11111111111111111111", 64, index, i + 1);
        check_value(f, "n0-119", "\"a value\"", 64 + 120, 64 + 120, 1);
        fail_commit = 0;
        assert_int_equal(kv_flush(f->kv), 0);
        assert_int_equal(stored_index(f), index + 120);
        check_scrub(f);
    }
}

static void write_nothing(struct fixture *f, unsigned n)
{
    raft_index index = kv_last_applied(f->kv).index;
    struct command_result result;

    assert_int_equal(kv_begin(f->kv), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(apply_next(f, &index, RAFT_ENTRY_NOOP, NULL, 0, &result), 0);
    assert_int_equal(kv_commit(f->kv), 0);
}

/* It is put into the file while the second one fills, also after it found no room once. */
static void kv_memtable__what_found_no_room_is_put_when_there_is_some(void **state)
{
    struct fixture *f = *state;
    raft_index index;

    f->conf.memtable_keys = 100;
    f->conf.step_keys = 1;
    kv_up(f);
    index = write_many(f, 128, UINT32_MAX, 20);
    fail_put_at = 1;
    (void)write_many(f, 1, 1, 1);
    assert_int_equal(fail_put_at, 0);
    assert_null(f->kv->immutable.txn);
    assert_true(f->kv->immutable.is_there && f->kv->immutable.has_failed);
    for (unsigned i = 0; i < 10; i++) /* not with each batch: there is time */
        (void)write_many(f, 1, 1, 1);
    assert_null(f->kv->immutable.txn);
    check_value(f, "k127", "11111111111111111111", 128, 128, 1);
    fail_put_at = 5;
    write_nothing(f, 2 * KV_UNSTORED_MAX); /* nor with what needs no room, however much it is */
    write_nothing(f, 1);
    assert_int_equal(fail_put_at, 5);
    fail_put_at = 0;
    (void)write_many(f, 128, UINT32_MAX, 20);
    assert_int_equal(f->kv->stored.last_applied.index, index);
    assert_true(f->kv->immutable.is_there && !f->kv->immutable.has_failed);
}

/* Whoever asks for it is told, also where a disk is full at the commit only, and others are served
 * between the steps. */
static void kv_memtable__a_store_in_steps_says_that_there_is_no_room(void **state)
{
    struct fixture *f = *state;
    unsigned n_full = 0;
    raft_index index;
    bool more;
    int rc;

    f->conf.memtable_keys = 1000;
    kv_up(f);
    index = write_many(f, 128, UINT32_MAX, 200);
    fail_commit = ENOSPC;
    for (unsigned i = 0; i < 20; i++) {
        rc = kv_flush_step(f->kv, index, &more);
        assert_true(rc == KV_E_FULL || (rc == 0 && more));
        n_full += rc == KV_E_FULL;
        (void)write_many(f, 1, 1, 1);
    }
    assert_true(n_full >= 5);
    fail_commit = 0;
    for (more = true; more;)
        assert_int_equal(kv_flush_step(f->kv, index, &more), 0);
    assert_true(f->kv->stored.last_applied.index == index);
    assert_true(stats_of(f).used_bytes == f->kv->used_bytes && f->kv->used_bytes > 128 * 200);
    /* Another file knows nothing of it; and none lacks nothing. */
    fail_commit = ENOSPC;
    (void)write_many(f, 1100, UINT32_MAX, 20);
    for (unsigned i = 0; i < 5; i++)
        (void)write_many(f, 1, 1, 1);
    assert_true(f->kv->immutable.has_failed);
    fail_commit = 0;
    assert_int_equal(kv_rebuild(f->kv), 0);
    assert_false(kv_is_ahead(f->kv));
    (void)write_many(f, 1030, UINT32_MAX, 20);
    assert_true(f->kv->immutable.is_there && !f->kv->immutable.has_failed);
    for (unsigned at = 1; at < 20 && n_full < 1000; at++) {
        assert_true(kv_is_ahead(f->kv));
        fail_with = ENOSPC;
        fail_at = at;
        rc = kv_rebuild(f->kv);
        fail_at = 0;
        if (rc == KV_E_FULL && f->kv->env == NULL) {
            assert_false(kv_is_ahead(f->kv));
            n_full = 1000;
        }
        assert_int_equal(kv_rebuild(f->kv), 0);
        (void)write_many(f, 10, UINT32_MAX, 20);
    }
    assert_int_equal(n_full, 1000);
}

static struct kv *mended;
static unsigned n_refused;

static int no_sink(void *ctx, const void *data, size_t len)
{
    (void)ctx;
    (void)data;
    (void)len;
    fail_msg("%s", "a copy of a file that nobody has open");
    return -1;
}

/* As the thread of the copies may, at this very moment. */
static void begin_a_copy(void)
{
    const struct kv_sink sink = {.write = no_sink};

    assert_int_equal(kv_copy(mended, &sink), KV_E_STOPPED);
    n_refused++;
}

/* LMDB takes its file for unusable from then on. What was applied is there, nothing is damaged, and
 * it goes into the file when there is room (SPACE-13). */
static void kv_memtable__a_head_that_could_not_be_written_is_no_damage(void **state)
{
    struct fixture *f = *state;

    f->conf.memtable_keys = 0;
    kv_up(f);
    (void)write_many(f, 200, 100, 10);
    assert_int_equal(kv_flush(f->kv), 0);
    for (unsigned i = 0; i < 3; i++) {
        const raft_index index = write_many(f, 200, 100, 10);
        const unsigned before = n_heads_failed;
        struct bytes copy = {0};

        fail_heads = true;
        mended = f->kv;
        on_env_open = begin_a_copy;
        assert_int_equal(kv_flush(f->kv), KV_E_FULL);
        on_env_open = NULL;
        assert_int_equal(n_refused, i + 1);
        take_copy(f->kv, &copy); /* it is open again */
        free(copy.data);
        check_value(f, "k99", "1111111111", 100, index, 2 * (i + 2));
        assert_int_equal(kv_flush(f->kv), KV_E_FULL);
        fail_heads = false;
        assert_true(n_heads_failed >= before + 2);
        check_value(f, "k99", "1111111111", 100, index, 2 * (i + 2));
        assert_int_equal(kv_flush(f->kv), 0);
        check_scrub(f);
        assert_int_equal(stored_index(f), index);
        check_value(f, "k99", "1111111111", 100, index, 2 * (i + 2));
    }
}

/* An end that is clean but for the room is one of an earlier moment, and that is what the mark
 * says. */
static void kv_memtable__a_clean_end_without_room_is_an_earlier_one(void **state)
{
    struct fixture *f = *state;

    f->conf.memtable_keys = 0;
    kv_up(f);
    (void)write_many(f, 10, 10, 1);
    assert_int_equal(kv_flush(f->kv), 0);
    (void)write_many(f, 10, 10, 1);
    fail_commit = ENOSPC;
    kv_down(f, true);
    fail_commit = 0;
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_int_equal(kv_last_applied(f->kv).index, 10);
}

/* Killed with all that was applied in memory, and started on a disk that is full by then, a node
 * must find blocks for it: there is no more in memory than blocks were taken ahead. */
static void kv_memtable__waits_only_for_what_has_blocks(void **state)
{
    struct fixture *f = *state;
    raft_index stored;

    f->conf.memtable_keys = 0;
    f->conf.ahead_bytes_max = 96u << 10;
    kv_up(f);
    for (unsigned i = 0; i < 40; i++) {
        struct stat st;
        char path[5000];

        (void)write_many(f, 64, UINT32_MAX, 200);
        path_of(f, "data.mdb", path, sizeof(path));
        assert_int_equal(stat(path, &st), 0);
        /* The blocks that it has are those that it needs, and those ahead. */
        if (kv_last_applied(f->kv).index == f->kv->stored.last_applied.index)
            continue;
        assert_true((uint64_t)st.st_blocks * 512 >=
                    (f->kv->used_bytes + f->kv->memtable.bytes + f->kv->immutable.table.bytes));
    }
    stored = stored_index(f);
    assert_true(stored > 64 * 30);
    /* Also what is being stored needs them until it is. */
    f->conf.memtable_keys = 64;
    f->conf.step_keys = 1;
    f->conf.ahead_bytes_max = 4u << 20;
    kv_down(f, true);
    kv_up(f);
    stored = write_many(f, 128, UINT32_MAX, 2000);
    assert_true(f->kv->immutable.is_there);
    f->kv->ahead_to = f->kv->ahead_from + KV_MEMTABLE_AHEAD_PART * f->kv->immutable.table.bytes;
    stored = write_many(f, 1, 1, 1);
    assert_int_equal(stored_index(f), stored);
    f->conf.memtable_keys = 0;
    f->conf.ahead_bytes_max = 1; /* none */
    kv_down(f, true);
    kv_up(f);
    stored = write_many(f, 64, UINT32_MAX, 200);
    assert_int_equal(stored_index(f), stored);
}

/* Where blocks say when it is full two are of a size, and none is stored at once because the other
 * one needs some, too. */
static void kv_memtable__blocks_are_for_two_of_a_size(void **state)
{
    struct fixture *f = *state;
    unsigned n_frozen = 0;
    raft_index last = 0;

    f->conf.memtable_keys = 0;
    f->conf.map_size_bytes = (size_t)1 << 30;
    f->conf.ahead_bytes_max = 4u << 20;
    skip_fsync = true;
    kv_up(f);
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(write_sixty(f, i, 0), 0);
        if (!f->kv->immutable.is_there || f->kv->immutable.meta.last_applied.index == last)
            continue;
        last = f->kv->immutable.meta.last_applied.index;
        assert_true(f->kv->immutable.table.n > 60);
        n_frozen++;
    }
    assert_true(n_frozen > 10);
}

/* Who reads in order passes what the file has and nobody else: there is no more of it than may be
 * passed at once, and its checksums are nobody's matter. */
static void kv_memtable__hides_no_more_than_may_be_passed(void **state)
{
    struct fixture *f = *state;
    raft_index index;

    f->conf.memtable_keys = 0;
    f->conf.map_size_bytes = (size_t)1 << 30;
    skip_fsync = true;
    kv_up(f);
    (void)write_many(f, 200, 200, 60000);
    assert_int_equal(kv_flush(f->kv), 0);
    index = kv_last_applied(f->kv).index;
    for (unsigned i = 0; i < 140; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "k%u", i);
        assert_true(delete_one(f, name));
        assert_true(f->kv->memtable.hidden_bytes < KV_MEMTABLE_BYTES);
    }
    assert_true(stored_index(f) > index + 60); /* after seventy deletes of 60 KB */
}

/* ---- what the last process had applied ---- */

static void spoil_applied(struct fixture *f, off_t at)
{
    flip(f, "APPLIED", at);
}

/* Of a file that lacks it only a few bytes beside it say so (DISK-41): to the next process, of the
 * same incarnation, and if one of them was cut short the one before. */
static void kv_memtable__what_was_applied_is_known_after_a_kill(void **state)
{
    struct fixture *f = *state;

    f->conf.memtable_keys = 0;
    kv_up(f);
    assert_int_equal(kv_witness_index(f->kv), 0);
    (void)write_many(f, 640, 10, 1); /* ten batches */
    assert_true(kv_is_ahead(f->kv));
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(kv_last_applied(f->kv).index, 0);
    assert_int_equal(kv_witness_index(f->kv), 640);
    /* Applied again, and nothing else, it says no less. */
    (void)write_many(f, 64, 10, 1);
    kv_down(f, false);
    spoil_applied(f, 24 + 8);
    kv_up(f);
    assert_int_equal(kv_witness_index(f->kv), 576);
    kv_down(f, false);
    spoil_applied(f, 8);
    kv_up(f);
    assert_int_equal(kv_witness_index(f->kv), 0);
    (void)write_many(f, 64, 10, 1);
    kv_down(f, false);
    f->conf.incarnation++;
    kv_up(f);
    assert_int_equal(kv_witness_index(f->kv), 0);
    /* It is no more than the file when that has all. */
    (void)write_many(f, 64, 10, 1);
    assert_int_equal(kv_flush(f->kv), 0);
    assert_false(kv_is_ahead(f->kv));
    assert_int_equal(stored_index(f), kv_witness_index(f->kv));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memtable__a_batch_stays_or_never_was),
        cmocka_unit_test(memtable__is_sorted_as_the_file_is),
        cmocka_unit_test(memtable__keys_that_fall_together_fill_it),
        TEST(kv_memtable__nobody_sees_a_difference),
        TEST(kv_memtable__is_stored_when_there_is_enough),
        TEST(kv_memtable__of_a_large_state_fewer_keys_are_stored_at_once),
        TEST(kv_memtable__without_room_nothing_is_lost),
        TEST(kv_memtable__what_found_no_room_is_put_when_there_is_some),
        TEST(kv_memtable__a_store_in_steps_says_that_there_is_no_room),
        TEST(kv_memtable__blocks_are_for_two_of_a_size),
        TEST(kv_memtable__a_head_that_could_not_be_written_is_no_damage),
        TEST(kv_memtable__a_clean_end_without_room_is_an_earlier_one),
        TEST(kv_memtable__waits_only_for_what_has_blocks),
        TEST(kv_memtable__hides_no_more_than_may_be_passed),
        TEST(kv_memtable__what_was_applied_is_known_after_a_kill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
