/* kv: what entries do to the state, what readers see of it, and what happens at its bounds. */
#include "unit/kv-fixture.h"

#include "kv/digest_int.h"
#include "kv/kv_int.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"

static void kv__a_new_folder_is_private_and_empty(void **state)
{
    struct fixture *f = *state;
    const char *names[] = {"data.mdb", "lock.mdb", "TRUST"};
    char path[5000];
    struct stat st;

    kv_up(f);
    assert_int_equal(f->trust, KV_NEW);
    assert_int_equal(kv_last_applied(f->kv).index, 0);
    assert_int_equal(n_keys(f), 0);
    check_value(f, "x", NULL, 0, 0, 0);
    assert_int_equal(stat(f->dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    for (size_t i = 0; i < 3; i++) {
        path_of(f, names[i], path, sizeof(path));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    /* A clean close of nothing is a clean close. */
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_int_equal(kv_last_applied(f->kv).index, 0);
}

/* SPACE-2: how full its file system is, of which others use some, too. */
static void kv__its_disk_has_figures(void **state)
{
    struct fixture *f = *state;
    struct statvfs fs;
    uint64_t used = 0;
    uint64_t limit = 0;

    kv_up(f);
    assert_true(kv_disk_room(f->kv, &used, &limit));
    assert_int_equal(statvfs(f->dir, &fs), 0);
    assert_true(used > 0 && used <= limit);
    assert_true(limit <= (uint64_t)fs.f_blocks * fs.f_frsize);
}

static void kv__write_counts_versions(void **state)
{
    struct fixture *f = *state;

    kv_up(f);
    assert_int_equal(write_one(f, "x", "1").status, COMMAND_OK);
    check_value(f, "x", "1", 1, 1, 1);
    write_one(f, "y", "{\"a\":[true,null]}");
    write_one(f, "x", "\"a longer text than before\"");
    check_value(f, "x", "\"a longer text than before\"", 1, 3, 2);
    check_value(f, "y", "{\"a\":[true,null]}", 2, 2, 1);
    assert_int_equal(n_keys(f), 2);
    assert_true(delete_one(f, "x"));
    check_value(f, "x", NULL, 0, 0, 0);
    assert_false(delete_one(f, "x"));
    assert_int_equal(n_keys(f), 1);
    /* A key that is made again begins anew. */
    write_one(f, "x", "2");
    check_value(f, "x", "2", 6, 6, 1);
    kv_down(f, true);
    kv_up(f);
    check_value(f, "x", "2", 6, 6, 1);
    assert_int_equal(n_keys(f), 2);
}

/* What was read of the state for a command is told, whatever became of it (CLIENT-15). */
static void kv__what_a_command_touched(void **state)
{
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    const struct command no = command_cas(key_slice(&key), "1", "2", false);

    kv_up(f);
    assert_int_equal(apply_one(f, &no).touched_bytes, 0);
    write_one(f, "x", "[1,2,3,4]");
    assert_int_equal(apply_one(f, &no).touched_bytes, 9);
}

/* Values are compared, not their bytes (STATE-8). */
static void kv__cas_compares_as_json(void **state)
{
    struct fixture *f = *state;

    kv_up(f);
    assert_int_equal(cas_one(f, "x", "1", "2", false), COMMAND_KEY_NOT_FOUND);
    assert_int_equal(cas_one(f, "x", "1", "2", true), COMMAND_OK); /* from does not matter then */
    check_value(f, "x", "2", 2, 2, 1);
    assert_int_equal(cas_one(f, "x", "1", "3", true), COMMAND_PRECONDITION_FAILED);
    assert_int_equal(cas_one(f, "x", "2.0", "3", false), COMMAND_PRECONDITION_FAILED);
    assert_int_equal(cas_one(f, "x", "\"2\"", "3", false), COMMAND_PRECONDITION_FAILED);
    check_value(f, "x", "2", 2, 2, 1);
    assert_int_equal(cas_one(f, "x", "2", "{\"a\":1,\"b\":{\"c\":2,\"d\":[1,2]}}", false),
                     COMMAND_OK);
    assert_int_equal(cas_one(f, "x", "{\"b\":{\"d\":[2,1],\"c\":2},\"a\":1}", "4", false),
                     COMMAND_PRECONDITION_FAILED);
    assert_int_equal(cas_one(f, "x", "{\"a\":1}", "4", false), COMMAND_PRECONDITION_FAILED);
    assert_int_equal(cas_one(f, "x", "{\"b\":{\"d\":[1,2],\"c\":2},\"a\":1}", "1.0", false),
                     COMMAND_OK);
    check_value(f, "x", "1.0", 2, 9, 3);
    assert_int_equal(cas_one(f, "x", "1", "5", false), COMMAND_PRECONDITION_FAILED);
    assert_int_equal(cas_one(f, "x", "1.0", "null", false), COMMAND_OK);
    /* A stored null is a value, an absent key is not. */
    assert_int_equal(cas_one(f, "x", "null", "6", false), COMMAND_OK);
    assert_int_equal(cas_one(f, "none", "null", "6", false), COMMAND_KEY_NOT_FOUND);
}

/* What a reader is told. */
static void check_index(struct fixture *f, raft_index index)
{
    struct kv_stats stats;
    struct raft_entry_id id;

    assert_int_equal(kv_read_begin(f->kv, &id), 0);
    assert_true(id.index == index);
    kv_read_end(f->kv);
    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    assert_true(stats.digest_index == index);
    assert_true(kv_last_applied(f->kv).index == index);
}

static void kv__other_entries_only_move_last_applied(void **state)
{
    struct fixture *f = *state;
    struct command_result result;
    raft_index index = 0;

    kv_up(f);
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_CONFIG, "whatever", 8, &result), 0);
    assert_int_equal(result.status, COMMAND_OK);
    f->term = 2;
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_NOOP, NULL, 0, &result), 0);
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_READ, NULL, 0, &result), 0);
    assert_int_equal(result.index, 3);
    assert_int_equal(kv_last_applied(f->kv).index, 0); /* not before the commit */
    assert_int_equal(kv_commit(f->kv), 0);
    assert_int_equal(kv_last_applied(f->kv).index, 3);
    assert_int_equal(kv_last_applied(f->kv).term, 2);
    check_index(f, 3);
    /* The disk was not asked for that (SPACE-7): whoever comes back applies them again. */
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    assert_int_equal(kv_last_applied(f->kv).index, 0);
    index = 0;
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_CONFIG, "whatever", 8, &result), 0);
    assert_int_equal(kv_commit(f->kv), 0);
    /* The next one that changes something takes them with it. */
    write_one(f, "x", "1");
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(kv_last_applied(f->kv).index, 2);
    assert_int_equal(delete_one(f, "none"), false);
    check_index(f, 3);
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(kv_last_applied(f->kv).index, 2);
    /* A clean close stores them, and so does a long row of them. */
    assert_int_equal(delete_one(f, "none"), false);
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_int_equal(kv_last_applied(f->kv).index, 3);
    for (unsigned i = 0; i < 2 * KV_UNSTORED_MAX; i++)
        assert_int_equal(delete_one(f, "none"), false);
    kv_down(f, false);
    kv_up(f);
    assert_true(kv_last_applied(f->kv).index > KV_UNSTORED_MAX);
}

/* STATE-3: what one node refuses, all refuse, and all go on. */
static void kv__an_odd_command_is_applied_as_nothing(void **state)
{
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    const struct command good = command_write(key_slice(&key), "1");
    cleanup_buf struct buf b = BUF_INIT;
    struct command_result result;
    raft_index index = 0;

    kv_up(f);
    assert_int_equal(command_encode(&good, &b), 0);
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_COMMAND, NULL, 0, &result), 0);
    assert_int_equal(result.status, COMMAND_INVALID);
    for (size_t len = 0; len < b.len; len++) {
        assert_int_equal(apply_next(f, &index, RAFT_ENTRY_COMMAND, b.data, len, &result), 0);
        assert_int_equal(result.status, COMMAND_INVALID);
    }
    b.data[22] = '\0'; /* the type of the key: ours would begin like that */
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_COMMAND, b.data, b.len, &result), 0);
    assert_int_equal(result.status, COMMAND_INVALID);
    b.data[22] = KEY_TYPE_STRING;
    b.data[1] = 77;
    assert_int_equal(apply_next(f, &index, RAFT_ENTRY_COMMAND, b.data, b.len, &result), 0);
    assert_int_equal(result.status, COMMAND_INVALID);
    assert_int_equal(kv_commit(f->kv), 0);
    assert_int_equal(n_keys(f), 0);
    assert_true(kv_last_applied(f->kv).index == index);
    write_one(f, "x", "1");
    assert_int_equal(n_keys(f), 1);
}

/* STATE-10: a command of a later version is not applied, and neither is what follows; which version
 * is wanted is said. Unlike the odd one above, which every version takes for nothing. */
static void kv__a_command_of_a_later_version_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    const struct command good = command_write(key_slice(&key), "1");
    cleanup_buf struct buf b = BUF_INIT;
    struct command_result result;
    raft_index index = 1;

    kv_up(f);
    write_one(f, "x", "1");
    assert_int_equal(command_encode(&good, &b), 0);
    b.data[0] = COMMAND_VERSION + 6;
    for (int round = 0; round < 2; round++) {
        const size_t len = round == 0 ? b.len : 1; /* how it goes on is not known either */

        assert_int_equal(kv_begin(f->kv), 0);
        index = kv_last_applied(f->kv).index;
        assert_int_equal(apply_next(f, &index, RAFT_ENTRY_NOOP, NULL, 0, &result), 0);
        err_reset();
        assert_int_equal(apply_next(f, &index, RAFT_ENTRY_COMMAND, b.data, len, &result),
                         KV_E_COMMAND_NEWER);
        assert_non_null(strstr(err_text(), "log entry 3 holds a command of version 9"));
        assert_non_null(strstr(err_text(), "this ridd knows version 3"));
        assert_non_null(strstr(err_text(), "install that version"));
        kv_abort(f->kv);
        assert_int_equal(kv_last_applied(f->kv).index, 1);
    }
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT); /* nothing is wrong with the state */
    assert_int_equal(kv_last_applied(f->kv).index, 1);
    assert_int_equal(n_keys(f), 1);
}

/* Each stands in a log line alone: no two may read alike. */
static void kv__outcomes_have_texts(void **state)
{
    (void)state;
    for (int a = 1; a <= KV_E_COMMAND_NEWER; a++) {
        assert_string_not_equal(kv_error_text(a), kv_error_text(99));
        for (int b = 1; b < a; b++)
            assert_string_not_equal(kv_error_text(a), kv_error_text(b));
    }
}

static void kv__kinds_of_keys_are_apart(void **state)
{
    struct fixture *f = *state;
    struct wire_key keys[3];
    const char *values[] = {"1", "2", "3"};
    struct raft_entry_id id;
    struct command_value v;

    wire_key_set_int(&keys[0], 3);
    keys[1] = string_key("3");
    wire_key_set_internal(&keys[2], "3");
    kv_up(f);
    for (size_t i = 0; i < 3; i++) {
        const struct command c = command_write(key_slice(&keys[i]), values[i]);

        apply_one(f, &c);
    }
    assert_int_equal(n_keys(f), 2); /* internal ones are not the client's */
    assert_int_equal(kv_read_begin(f->kv, &id), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(kv_get(f->kv, key_slice(&keys[i]), &v), 0);
        assert_true(v.exists);
        assert_memory_equal(v.text.data, values[i], 1);
    }
    kv_read_end(f->kv);
}

static void kv__apply_get_sees_the_transaction(void **state)
{
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    const struct command first = command_write(key_slice(&key), "1");
    const struct command second = command_write(key_slice(&key), "2");
    struct command_result result;
    struct command_value v;
    raft_index index = 0;

    kv_up(f);
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(kv_apply_get(f->kv, key_slice(&key), &v), 0);
    assert_false(v.exists);
    assert_int_equal(apply_command(f, &index, &first, &result), 0);
    assert_int_equal(kv_apply_get(f->kv, key_slice(&key), &v), 0);
    assert_memory_equal(v.text.data, "1", 1);
    assert_int_equal(apply_command(f, &index, &second, &result), 0);
    assert_int_equal(kv_apply_get(f->kv, key_slice(&key), &v), 0);
    assert_memory_equal(v.text.data, "2", 1);
    assert_int_equal(v.version, 2);
    kv_abort(f->kv);
    kv_abort(f->kv); /* once more is harmless */
    check_value(f, "x", NULL, 0, 0, 0);
    assert_int_equal(kv_last_applied(f->kv).index, 0);
    write_one(f, "x", "3");
    check_value(f, "x", "3", 1, 1, 1);
}

/* ---- against a model ---- */

#define MODEL_KEYS    150u
#define MODEL_CLASSES 30u

struct model_value {
    bool exists;
    unsigned kind; /* equal kinds are equal values */
    unsigned form; /* how it is written */
    raft_index create_index;
    raft_index modify_index;
    uint64_t version;
};

static struct wire_key model_key(unsigned i)
{
    struct wire_key key;
    char s[KEY_STRING_BYTES_MAX];

    if (i % 3 == 0) {
        wire_key_set_int(&key, (int64_t)i - 60);
        return key;
    }
    memset(s, 'k', sizeof(s));
    (void)snprintf(s, 11, "%u", i);
    assert_int_equal(wire_key_set_string(&key, s, i % 3 == 1 ? strlen(s) : sizeof(s)), 0);
    return key;
}

static void model_text(unsigned kind, unsigned form, struct buf *b)
{
    buf_reset(b, SIZE_MAX);
    switch (kind % 5) {
    case 0:
        assert_int_equal(buf_add_format(b, "%u", kind), 0);
        break;
    case 1:
        assert_int_equal(buf_add_format(b, "%u.0", kind - 1), 0);
        break;
    case 2:
        assert_int_equal(
            buf_add_format(b, form ? "{\"a\":%u,\"b\":[1,{}]}" : "{\"b\":[1,{}],\"a\":%u}", kind),
            0);
        break;
    case 3:
        assert_int_equal(buf_add_format(b, "\"%u\"", kind), 0);
        break;
    default: /* several pages */
        assert_int_equal(buf_add_format(b, "\"%*u\"", (int)(kind * kind * 20), kind), 0);
        break;
    }
}

static void model_check(struct fixture *f, const struct model_value *model)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct raft_entry_id id;
    struct command_value v;
    uint64_t n = 0;

    assert_int_equal(kv_read_begin(f->kv, &id), 0);
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        const struct wire_key key = model_key(i);

        assert_int_equal(kv_get(f->kv, key_slice(&key), &v), 0);
        assert_int_equal(v.exists, model[i].exists);
        if (!v.exists)
            continue;
        n++;
        model_text(model[i].kind, model[i].form, &b);
        assert_int_equal(v.text.len, b.len);
        assert_memory_equal(v.text.data, b.data, b.len);
        assert_true(v.create_index == model[i].create_index);
        assert_true(v.modify_index == model[i].modify_index);
        assert_true(v.version == model[i].version);
    }
    kv_read_end(f->kv);
    assert_true(n_keys(f) == n);
}

static void model_put(struct model_value *m, unsigned kind, unsigned form, raft_index index)
{
    m->create_index = m->exists ? m->create_index : index;
    m->version = m->exists ? m->version + 1 : 1;
    m->exists = true;
    m->kind = kind;
    m->form = form;
    m->modify_index = index;
}

/* One random command on kv and model, and their answers compared. */
static void model_step(struct fixture *f, struct prng *p, struct model_value *model,
                       raft_index *index)
{
    cleanup_buf struct buf from = BUF_INIT;
    cleanup_buf struct buf to = BUF_INIT;
    const unsigned i = (unsigned)prng_below(p, MODEL_KEYS);
    const unsigned kind = (unsigned)prng_below(p, MODEL_CLASSES);
    const unsigned form = (unsigned)prng_below(p, 2);
    const unsigned from_form = (unsigned)prng_below(p, 2);
    const unsigned from_kind =
        prng_below(p, 3) != 0 ? model[i].kind : (unsigned)prng_below(p, MODEL_CLASSES);
    const struct wire_key key = model_key(i);
    struct model_value *m = &model[i];
    struct command c = {.op = (enum command_op)(1 + prng_below(p, 3)), .key = key_slice(&key)};
    struct command_result result;
    enum command_status status = COMMAND_OK;
    bool existed = m->exists;

    model_text(kind, form, &to);
    model_text(from_kind, from_form, &from);
    if (c.op != COMMAND_DELETE)
        c.value = (struct wire_slice){(const char *)to.data, to.len};
    if (c.op == COMMAND_CAS) {
        c.flags = prng_below(p, 2) != 0 ? COMMAND_FLAG_CREATE_IF_NOT_EXISTS : 0;
        c.from = (struct wire_slice){(const char *)from.data, from.len};
    }
    assert_int_equal(apply_command(f, index, &c, &result), 0);
    if (c.op == COMMAND_DELETE)
        m->exists = false;
    else if (c.op == COMMAND_WRITE)
        model_put(m, kind, form, *index);
    else if (!m->exists && c.flags == 0)
        status = COMMAND_KEY_NOT_FOUND;
    else if (m->exists && m->kind != from_kind)
        status = COMMAND_PRECONDITION_FAILED;
    else
        model_put(m, kind, form, *index);
    assert_int_equal(result.status, status);
    assert_int_equal(result.existed, c.op == COMMAND_DELETE && existed);
    assert_true(result.index == *index);
}

static void kv__random_commands_match_a_model(void **state)
{
    struct fixture *f = *state;
    struct model_value model[MODEL_KEYS];
    struct model_value saved[MODEL_KEYS];
    raft_index index = 0;
    unsigned n_commands = 0;
    struct prng p;

    prng_init(&p, 20240607);
    memset(model, 0, sizeof(model));
    kv_up(f);
    while (n_commands < 40000) {
        const unsigned n = 1 + (unsigned)prng_below(&p, 100);
        const raft_index before = index;
        const bool abort = prng_below(&p, 10) == 0;

        memcpy(saved, model, sizeof(model));
        f->term += prng_below(&p, 2);
        assert_int_equal(kv_begin(f->kv), 0);
        for (unsigned i = 0; i < n; i++)
            model_step(f, &p, model, &index);
        n_commands += n;
        if (abort) {
            kv_abort(f->kv);
            memcpy(model, saved, sizeof(model));
            index = before;
        } else {
            assert_int_equal(kv_commit(f->kv), 0);
        }
        assert_true(kv_last_applied(f->kv).index == index);
        if (prng_below(&p, 16) == 0) {
            const bool clean = prng_below(&p, 2) != 0;

            kv_down(f, clean);
            if (clean && prng_below(&p, 2) != 0)
                f->conf.boot_id = f->conf.boot_id[0] == 'a' ? BOOT_B : BOOT_A;
            kv_up(f);
            assert_int_equal(f->trust, clean ? KV_TRUSTED_CLEAN : KV_TRUSTED_SAME_BOOT);
            assert_true(kv_last_applied(f->kv).index == index);
            model_check(f, model);
        }
    }
    model_check(f, model);
}

/* ---- digest ---- */

static struct kv_digest digest_now(struct fixture *f)
{
    struct kv_stats stats;

    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    assert_true(stats.digest_index == kv_last_applied(f->kv).index);
    return stats.digest;
}

static bool same(struct kv_digest a, struct kv_digest b)
{
    return a.low == b.low && a.high == b.high;
}

/* The hash of one record as a reader finds it, made from kv.h's words alone. */
static struct kv_digest digest_of(struct fixture *f, const char *name)
{
    struct kv_digest d = {0, 0};
    struct wire_key key = string_key(name);
    struct command_value v;
    struct raft_entry_id id;
    struct buf b = BUF_INIT;

    assert_int_equal(kv_read_begin(f->kv, &id), 0);
    assert_int_equal(kv_get(f->kv, key_slice(&key), &v), 0);
    if (v.exists) {
        assert_int_equal(buf_add_u64(&b, v.create_index), 0);
        assert_int_equal(buf_add_u64(&b, v.modify_index), 0);
        assert_int_equal(buf_add_u64(&b, v.version), 0);
        assert_int_equal(buf_add(&b, v.text.data, v.text.len), 0);
        d = digest_record(key.bytes, key.len, b.data, b.len);
    }
    kv_read_end(f->kv);
    buf_done(&b);
    return d;
}

static void kv__digest_is_the_sum_over_the_records(void **state)
{
    struct fixture *f = *state;
    struct prng prng = {7};

    kv_up(f);
    assert_true(same(digest_now(f), (struct kv_digest){0, 0}));
    for (unsigned i = 0; i < 400; i++) {
        struct kv_digest sum = {0, 0};
        char name[8];
        char value[600];

        (void)snprintf(name, sizeof(name), "k%u", (unsigned)prng_below(&prng, 6));
        (void)snprintf(value, sizeof(value), "\"%0*u\"", (int)prng_below(&prng, 500) + 1, i);
        switch (prng_below(&prng, 4)) {
        case 0:
            (void)delete_one(f, name);
            break;
        case 1:
            (void)cas_one(f, name, "1", value, prng_below(&prng, 2) != 0);
            break;
        default:
            (void)write_one(f, name, value);
            break;
        }
        for (unsigned k = 0; k < 6; k++) {
            (void)snprintf(name, sizeof(name), "k%u", k);
            digest_add(&sum, digest_of(f, name));
        }
        assert_true(same(digest_now(f), sum));
        if (i % 50 == 49) {
            kv_down(f, i % 100 == 99);
            kv_up(f);
            assert_true(same(digest_now(f), sum));
        }
    }
    for (unsigned k = 0; k < 6; k++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "k%u", k);
        (void)delete_one(f, name);
    }
    assert_true(same(digest_now(f), (struct kv_digest){0, 0}));
}

/* Equal digests mean equal states (STATE-7). */
static void kv__digest_sees_every_part_of_a_record(void **state)
{
    const struct {
        const char *key;
        const char *value;
    } records[] = {{"", ""},
                   {"", "a"},
                   {"a", ""},
                   {"a", "b"},
                   {"ab", ""},
                   {"", "ab"},
                   {"b", "a"},
                   {"a", "c"},
                   {"0123456789abcdef", "x"},
                   {"0123456789abcdef", "y"}};
    const size_t n = sizeof(records) / sizeof(records[0]);

    (void)state;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            struct kv_digest a = digest_record(records[i].key, strlen(records[i].key),
                                               records[i].value, strlen(records[i].value));
            struct kv_digest b = digest_record(records[j].key, strlen(records[j].key),
                                               records[j].value, strlen(records[j].value));

            assert_true(same(a, b) == (strcmp(records[i].key, records[j].key) == 0 &&
                                       strcmp(records[i].value, records[j].value) == 0));
        }
}

static void kv__digest_arithmetic_carries(void **state)
{
    struct kv_digest sum = {1, UINT64_MAX};
    const struct kv_digest d = {0x8000000000000000u, 2};

    (void)state;
    digest_add(&sum, d);
    assert_true(sum.high == 0x8000000000000002u && sum.low == 1);
    digest_sub(&sum, d);
    assert_true(sum.high == 1 && sum.low == UINT64_MAX);
    digest_sub(&sum, (struct kv_digest){2, 0});
    assert_true(sum.high == UINT64_MAX && sum.low == UINT64_MAX);
}

static void kv__digest_is_undone_with_its_transaction(void **state)
{
    struct fixture *f = *state;
    struct kv_digest before;
    struct wire_key key = string_key("x");
    struct command c = command_write(key_slice(&key), "2");
    struct command_result result;
    raft_index index = 1;

    kv_up(f);
    write_one(f, "x", "1");
    before = digest_now(f);
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_command(f, &index, &c, &result), 0);
    kv_abort(f->kv);
    assert_true(same(digest_now(f), before));
    /* The same text again is a new record: its indexes differ. */
    write_one(f, "x", "1");
    assert_false(same(digest_now(f), before));
}

/* ---- bounds ---- */

static void kv__a_full_map_applies_nothing(void **state)
{
    struct fixture *f = *state;
    char value[3000];
    raft_index index = 0;
    raft_index good;
    uint64_t good_keys;
    struct kv_stats stats;
    int r = 0;

    f->conf.map_size_bytes = 512u << 10;
    f->conf.map_bytes_max = 512u << 10; /* as if there were no more addresses */
    memset(value, 'v', sizeof(value));
    value[0] = '"';
    value[sizeof(value) - 2] = '"';
    value[sizeof(value) - 1] = '\0';
    kv_up(f);
    for (unsigned batch = 0; r == 0; batch++) {
        assert_true(batch < 1000);
        assert_int_equal(kv_begin(f->kv), 0);
        for (unsigned i = 0; i < 10 && r == 0; i++) {
            struct command_result result;
            struct wire_key key;
            struct command c;

            wire_key_set_int(&key, (int64_t)index + 1);
            c = command_write(key_slice(&key), value);
            r = apply_command(f, &index, &c, &result);
        }
        if (r != 0)
            kv_abort(f->kv);
        else
            r = kv_commit(f->kv);
    }
    assert_int_equal(r, KV_E_FULL);
    assert_non_null(strstr(err_text(), "of the map"));
    good = kv_last_applied(f->kv).index;
    assert_true(good > 50);
    assert_int_equal(good % 10, 0);
    good_keys = n_keys(f);
    assert_true(good_keys == good);
    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    assert_int_equal(stats.map_bytes, 512u << 10);
    assert_true(stats.used_bytes > stats.map_bytes / 2);
    for (unsigned again = 0; again < 2; again++) {
        for (raft_index i = 1; i <= good + 10; i++) {
            struct raft_entry_id id;
            struct command_value v;
            struct wire_key key;

            wire_key_set_int(&key, (int64_t)i);
            assert_int_equal(kv_read_begin(f->kv, &id), 0);
            assert_true(id.index == good);
            assert_int_equal(kv_get(f->kv, key_slice(&key), &v), 0);
            assert_int_equal(v.exists, i <= good);
            kv_read_end(f->kv);
        }
        kv_down(f, false);
        f->conf.map_size_bytes = 4u << 20;
        f->conf.map_bytes_max = 0;
        kv_up(f);
        assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    }
    /* With more room it goes on where it stood. */
    write_one(f, "x", value);
    assert_true(n_keys(f) == good_keys + 1);
    kv_down(f, true);
    /* A map smaller than the file is made large enough by LMDB. */
    f->conf.map_size_bytes = 4096;
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_true(n_keys(f) == good_keys + 1);
}

/* SPACE-3: the map grows by itself, between transactions, and waits for a reader. Filled, every
 * second key deleted, then values that need many pages in a row: there is room in all, but not in a
 * row. */
static void kv__the_map_grows_by_itself(void **state)
{
    struct fixture *f = *state;
    static char value[500000];
    struct kv_stats stats;
    char name[16];

    f->conf.map_size_bytes = 1u << 20;
    memset(value, 'v', sizeof(value));
    value[0] = '"';
    value[3899] = '"';
    value[3900] = '\0';
    kv_up(f);
    kv_map_hold(f->kv); /* as who takes a copy */
    for (unsigned i = 0; i < 170; i++) {
        if (i == 20) {
            assert_int_equal(kv_get_stats(f->kv, &stats), 0);
            assert_true(stats.map_bytes == 1u << 20); /* the reader's pages stay where they are */
            kv_map_release(f->kv);
        }
        (void)snprintf(name, sizeof(name), "k%u", i);
        write_one(f, name, value);
    }
    for (unsigned i = 0; i < 170; i += 2) {
        (void)snprintf(name, sizeof(name), "k%u", i);
        assert_true(delete_one(f, name));
    }
    value[3899] = 'v';
    value[3900] = 'v';
    value[sizeof(value) - 2] = '"';
    value[sizeof(value) - 1] = '\0';
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(name, sizeof(name), "big%u", i);
        write_one(f, name, value);
    }
    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    assert_true(stats.map_bytes > 1u << 20);
    assert_true(n_keys(f) == 85 + 8);
    /* The smaller wish of the next start is no reason to lose anything. */
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    assert_true(n_keys(f) == 85 + 8);
}

/* Where the kernel gives few addresses the map is smaller, and grows as far as it may; what others
 * need, half as much as the map, is left to them. */
static void kv__a_limit_on_addresses_is_no_end(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;
    struct rlimit few;
    struct kv_stats stats;
    void *others;

    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* it needs more addresses than are left here */
#endif
    f->conf.map_size_bytes = (size_t)1 << 40;
    few = before;
    few.rlim_cur = ((rlim_t)2 << 30) + ((rlim_t)300 << 20); /* 2 GiB would just fit */
    if (few.rlim_cur > before.rlim_max || setrlimit(RLIMIT_AS, &few) != 0)
        skip();
    kv_up(f);
    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    others = mmap(NULL, (size_t)stats.map_bytes / 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_true(others != MAP_FAILED);
    assert_int_equal(munmap(others, (size_t)stats.map_bytes / 2), 0);
    assert_true(stats.map_bytes >= KV_MAP_BYTES_MIN / 2);
    assert_true(stats.map_bytes < (uint64_t)2 << 30);
    write_one(f, "x", "1");
}

/* SPACE-6: a commit that finds no room has done nothing and may be tried again, also when LMDB has
 * no other word for it than EIO; what only a person looks at makes way. */
static void kv__a_full_disk_is_tried_again(void **state)
{
    static const int codes[] = {ENOSPC, EDQUOT, EIO};
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    const struct command c = command_write(key_slice(&key), "2");
    struct command_result result;
    struct kv_digest before;

    kv_up(f);
    write_one(f, "x", "1");
    before = digest_now(f);
    for (unsigned i = 0; i < 3; i++) {
        raft_index index = kv_last_applied(f->kv).index;

        spill(f, "data.mdb.old", "what was not believed", 21);
        fail_commit = codes[i];
        for (unsigned k = 0; k < 5; k++) {
            raft_index at = index;

            assert_int_equal(kv_begin(f->kv), 0);
            assert_int_equal(apply_command(f, &at, &c, &result), 0);
            assert_int_equal(kv_commit(f->kv), KV_E_FULL);
            assert_true(kv_last_applied(f->kv).index == index);
            assert_true(same(digest_now(f), before));
        }
        assert_false(there(f, "data.mdb.old"));
        fail_commit = 0;
        assert_int_equal(kv_begin(f->kv), 0);
        assert_int_equal(apply_command(f, &index, &c, &result), 0);
        assert_int_equal(kv_commit(f->kv), 0);
        before = digest_now(f);
    }
    /* A disk that has room and fails all the same is broken. */
    fail_commit = EIO;
    for (unsigned k = 0; k <= KV_EIO_MAX; k++) {
        raft_index at = kv_last_applied(f->kv).index;

        assert_int_equal(kv_begin(f->kv), 0);
        assert_int_equal(apply_command(f, &at, &c, &result), 0);
        assert_int_equal(kv_commit(f->kv), k < KV_EIO_MAX ? KV_E_FULL : -EIO);
    }
    fail_commit = 0;
}

/* The blocks behind the end of the file are taken before they are needed, and its length is what was
 * written. */
static void kv__there_are_blocks_ahead(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char path[5000];

    kv_up(f);
    write_one(f, "x", "1");
    path_of(f, "data.mdb", path, sizeof(path));
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 1 << 20);
    if ((uint64_t)st.st_blocks * 512u < 1u << 20) {
        print_message("this file system takes no blocks ahead\n");
        skip();
    }
}

/* ---- the limit ---- */

static struct command_result limit_one(struct fixture *f, uint64_t bytes)
{
    char text[COMMAND_LIMIT_CHARS];
    struct wire_key key;
    struct command c = {.op = COMMAND_LIMIT};

    command_limit_key(&key);
    command_limit_text(bytes, text);
    c.key = key_slice(&key);
    c.value = slice(text);
    return apply_one(f, &c);
}

static uint64_t live_now(struct fixture *f, uint64_t *ret_limit)
{
    struct kv_stats stats;

    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    *ret_limit = stats.limit_bytes;
    return stats.live_bytes;
}

/* SPACE-4: keys and texts of all records and a fixed part each, whatever came before. */
static void kv__live_bytes_are_counted(void **state)
{
    struct fixture *f = *state;
    uint64_t limit;

    kv_up(f);
    assert_true(live_now(f, &limit) == 0);
    write_one(f, "x", "12345"); /* the key has a byte of type before it */
    assert_true(live_now(f, &limit) == 2 + 5 + KV_RECORD_OVERHEAD);
    write_one(f, "x", "1");
    assert_true(live_now(f, &limit) == 2 + 1 + KV_RECORD_OVERHEAD);
    (void)cas_one(f, "x", "1", "22", false);
    (void)cas_one(f, "x", "1", "333", false);
    assert_true(live_now(f, &limit) == 2 + 2 + KV_RECORD_OVERHEAD);
    write_one(f, "long name", "1");
    assert_true(live_now(f, &limit) == 2 + 2 + 10 + 1 + 2 * KV_RECORD_OVERHEAD);
    assert_true(delete_one(f, "x"));
    assert_false(delete_one(f, "x"));
    assert_true(live_now(f, &limit) == 10 + 1 + KV_RECORD_OVERHEAD);
    kv_down(f, false);
    kv_up(f);
    assert_true(live_now(f, &limit) == 10 + 1 + KV_RECORD_OVERHEAD);
    assert_true(limit == 0);
    assert_int_equal(kv_begin(f->kv), 0);
    kv_abort(f->kv);
    assert_true(delete_one(f, "long name"));
    assert_true(live_now(f, &limit) == 0);
}

/* SPACE-5: the limit of the log, at apply, alike on every node; what makes room is always taken. */
static void kv__the_limit_is_obeyed_at_apply(void **state)
{
    struct fixture *f = *state;
    struct command_result result;
    struct kv_digest before;
    uint64_t live;
    uint64_t limit;

    kv_up(f);
    write_one(f, "a", "\"0123456789\"");
    assert_int_equal(limit_one(f, 250).status, COMMAND_OK);
    live = live_now(f, &limit);
    assert_true(limit == 250);
    assert_true(live < 250);
    before = digest_now(f);
    result = write_one(f, "b", "\"0123456789012345678901234567890123456789012345678901234567890\"");
    assert_int_equal(result.status, COMMAND_NO_SPACE);
    assert_true(result.used_bytes == live && result.limit_bytes == 250);
    assert_int_equal(cas_one(f, "b", "1",
                             "\"01234567890123456789012345678901234567890123456789012345678901\"",
                             true),
                     COMMAND_NO_SPACE);
    assert_true(live_now(f, &limit) == live);
    assert_true(same(digest_now(f), before));
    check_value(f, "b", NULL, 0, 0, 0);
    /* Exactly to the limit, and not one byte further. */
    result = write_one(f, "a", "\"0123456789\"");
    assert_int_equal(result.status, COMMAND_OK);
    assert_int_equal(limit_one(f, live).status, COMMAND_OK);
    assert_int_equal(write_one(f, "a", "\"01234567890\"").status, COMMAND_NO_SPACE);
    assert_int_equal(write_one(f, "a", "\"0123456788\"").status, COMMAND_OK);
    /* Over it: what makes it no larger is taken, and deletes are. */
    assert_int_equal(limit_one(f, 1).status, COMMAND_OK);
    assert_int_equal(write_one(f, "a", "\"012345678\"").status, COMMAND_OK);
    assert_int_equal(write_one(f, "c", "1").status, COMMAND_NO_SPACE);
    assert_true(delete_one(f, "a"));
    /* It is part of the state: the digest knows it, and the next start. */
    before = digest_now(f);
    assert_int_equal(limit_one(f, 2).status, COMMAND_OK);
    assert_false(same(digest_now(f), before));
    kv_down(f, false);
    kv_up(f);
    (void)live_now(f, &limit);
    assert_true(limit == 2);
    assert_int_equal(limit_one(f, 0).status, COMMAND_OK);
    assert_int_equal(write_one(f, "c", "1").status, COMMAND_OK);
}

/* Pages used and freed within one transaction are never written: the file may be shorter than
 * LMDB's own count. */
static void kv__a_short_but_whole_file_is_no_alarm(void **state)
{
    struct fixture *f = *state;
    static char value[300000];
    const struct wire_key key = string_key("x");
    struct command c;

    memset(value, 'v', sizeof(value));
    value[0] = '"';
    kv_up(f);
    for (size_t len = 100; len < sizeof(value); len = len * 3 / 2) {
        raft_index index = kv_last_applied(f->kv).index;
        struct command_result result;

        assert_int_equal(kv_begin(f->kv), 0);
        for (size_t n = len; n > 0; n /= 7) {
            c = (struct command){.op = COMMAND_WRITE, .key = key_slice(&key), .value = {value, n}};
            assert_int_equal(apply_command(f, &index, &c, &result), 0);
        }
        c = (struct command){.op = COMMAND_DELETE, .key = key_slice(&key)};
        assert_int_equal(apply_command(f, &index, &c, &result), 0);
        assert_int_equal(kv_commit(f->kv), 0);
        kv_down(f, false);
        kv_up(f);
        if (f->trust != KV_TRUSTED_SAME_BOOT)
            fail_msg("%s", err_text());
        assert_true(kv_last_applied(f->kv).index == index);
    }
}

/* ---- two threads ---- */

static void *distrust(void *arg)
{
    struct fixture *f = arg;

    return (void *)(intptr_t)kv_distrust(f->kv);
}

/* Whichever thread finds the damage: what was applied is known to the others (DISK-41). */
static void kv__another_thread_distrusts(void **state)
{
    struct fixture *f = *state;
    raft_index shown = 0;
    pthread_t thread;
    void *rc;

    kv_up(f);
    write_one(f, "a", "1");
    write_one(f, "b", "2");
    assert_int_equal(kv_shown_index(f->kv), 0);
    assert_int_equal(pthread_create(&thread, NULL, distrust, f), 0);
    for (unsigned i = 0; i < 1000000 && shown == 0; i++) {
        shown = kv_shown_index(f->kv);
        (void)sched_yield();
    }
    if (pthread_join(thread, &rc) != 0)
        abort();
    assert_null(rc);
    assert_true(shown == 0 || shown == 2);
    assert_int_equal(kv_shown_index(f->kv), 2);
    assert_true(kv_is_distrusted(f->kv));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kv__a_new_folder_is_private_and_empty),
        TEST(kv__its_disk_has_figures),
        TEST(kv__write_counts_versions),
        TEST(kv__cas_compares_as_json),
        TEST(kv__what_a_command_touched),
        TEST(kv__other_entries_only_move_last_applied),
        TEST(kv__an_odd_command_is_applied_as_nothing),
        TEST(kv__a_command_of_a_later_version_is_refused),
        TEST(kv__outcomes_have_texts),
        TEST(kv__kinds_of_keys_are_apart),
        TEST(kv__apply_get_sees_the_transaction),
        TEST(kv__random_commands_match_a_model),
        TEST(kv__digest_is_the_sum_over_the_records),
        TEST(kv__digest_sees_every_part_of_a_record),
        TEST(kv__digest_arithmetic_carries),
        TEST(kv__digest_is_undone_with_its_transaction),
        TEST(kv__the_map_grows_by_itself),
        TEST(kv__a_limit_on_addresses_is_no_end),
        TEST(kv__a_full_disk_is_tried_again),
        TEST(kv__there_are_blocks_ahead),
        TEST(kv__live_bytes_are_counted),
        TEST(kv__the_limit_is_obeyed_at_apply),
        TEST(kv__a_full_map_applies_nothing),
        TEST(kv__a_short_but_whole_file_is_no_alarm),
        TEST(kv__another_thread_distrusts),
    };

    return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
