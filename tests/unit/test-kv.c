/* kv: what entries do to the state, and when a data file is believed (DESIGN.md 6,
 * RELIABILITY 4.6). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <lmdb.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/prng.h"
#include "kv/kv.h"
#include "kv/mark.h"

#define BOOT_A      "aaaaaaaa-1111-4222-8333-444444444444"
#define BOOT_B      "bbbbbbbb-1111-4222-8333-444444444444"
#define INCARNATION 0x1122334455667788u

/* ---- the calls that are watched ---- */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __real_mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode);
int __wrap_mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode);
int __real_mdb_env_sync(MDB_env *env, int force);
int __wrap_mdb_env_sync(MDB_env *env, int force);
int __real_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);

static char events[4096];
static atomic_bool watching;
static unsigned fail_at; /* the n-th file call fails, and all after it; 0: none */
static bool did_fail;
static bool fail_env_sync;
static ino_t opened_ino; /* of data.mdb when LMDB was last given it; 0: it made it */
static unsigned n_env_opens;

static void event(const char *what, const char *name)
{
    size_t len = strlen(events);

    if (watching)
        (void)snprintf(events + len, sizeof(events) - len, "%s%s%s;", what,
                       name[0] != '\0' ? " " : "", name);
}

static void watch(void)
{
    events[0] = '\0';
    watching = true;
}

static bool must_fail(void)
{
    if (fail_at == 0)
        return false;
    if (fail_at > 1) {
        fail_at--;
        return false;
    }
    errno = EIO;
    did_fail = true;
    return true;
}

int __wrap_fsync(int fd)
{
    struct stat st;

    if (must_fail())
        return -1;
    event(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? "syncdir" : "fsync", "");
    return __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (must_fail())
        return -1;
    event("rename", to);
    return __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_unlinkat(int fd, const char *name, int flags)
{
    int r;

    if (must_fail())
        return -1;
    r = __real_unlinkat(fd, name, flags);
    if (r == 0)
        event("unlink", name);
    return r;
}

int __wrap_mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode)
{
    char data[4096];
    struct stat st;

    (void)snprintf(data, sizeof(data), "%s/data.mdb", path);
    opened_ino = stat(data, &st) == 0 ? st.st_ino : 0;
    n_env_opens++;
    event("open", "");
    return __real_mdb_env_open(env, path, flags, mode);
}

int __wrap_mdb_env_sync(MDB_env *env, int force)
{
    if (fail_env_sync)
        return EIO;
    event("sync", "");
    return __real_mdb_env_sync(env, force);
}

int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    event((flags & MDB_RDONLY) != 0 ? "read" : "write", "");
    return __real_mdb_txn_begin(env, parent, flags, txn);
}

/* ---- one data folder per test ---- */

struct fixture {
    char root[4096];
    char dir[4200]; /* the kv's */
    struct kv_conf conf;
    struct kv *kv;
    enum kv_trust trust;
    raft_term term;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char cwd[3000];

    assert_non_null(f);
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    (void)snprintf(f->root, sizeof(f->root), "%s/test-kv.XXXXXX", cwd);
    assert_non_null(mkdtemp(f->root));
    (void)snprintf(f->dir, sizeof(f->dir), "%s/db", f->root);
    f->conf = (struct kv_conf){
        .dir = f->dir,
        .map_size_bytes = 64u << 20,
        .incarnation = INCARNATION,
        .boot_id = BOOT_A,
    };
    f->term = 1;
    watching = false;
    fail_at = 0;
    fail_env_sync = false;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fail_at = 0;
    fail_env_sync = false;
    (void)kv_close(f->kv, false);
    (void)nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void kv_up(struct fixture *f)
{
    assert_null(f->kv);
    if (kv_open(&f->conf, &f->trust, &f->kv) != 0)
        fail_msg("kv_open: %s (%s)", err_text(), err_path());
}

static void kv_down(struct fixture *f, bool clean)
{
    struct kv *kv = f->kv;

    f->kv = NULL;
    assert_int_equal(kv_close(kv, clean), 0);
}

static void path_of(const struct fixture *f, const char *name, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s/%s", f->dir, name);
}

static bool there(const struct fixture *f, const char *name)
{
    char path[5000];
    struct stat st;

    path_of(f, name, path, sizeof(path));
    return lstat(path, &st) == 0;
}

static off_t size_of(const struct fixture *f, const char *name)
{
    char path[5000];
    struct stat st;

    path_of(f, name, path, sizeof(path));
    assert_int_equal(lstat(path, &st), 0);
    return st.st_size;
}

static ino_t ino_of(const struct fixture *f, const char *name)
{
    char path[5000];
    struct stat st;

    path_of(f, name, path, sizeof(path));
    assert_int_equal(lstat(path, &st), 0);
    return st.st_ino;
}

static size_t slurp(const struct fixture *f, const char *name, void *buf, size_t size)
{
    char path[5000];
    FILE *file;
    size_t n;

    path_of(f, name, path, sizeof(path));
    file = fopen(path, "rb");
    assert_non_null(file);
    n = fread(buf, 1, size, file);
    (void)fclose(file);
    return n;
}

static void spill(const struct fixture *f, const char *name, const void *data, size_t len)
{
    char path[5000];
    int fd;

    path_of(f, name, path, sizeof(path));
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

static void flip(const struct fixture *f, const char *name, off_t at)
{
    char path[5000];
    unsigned char b;
    int fd;

    path_of(f, name, path, sizeof(path));
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x10;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    (void)close(fd);
}

/* ---- commands ---- */

static struct wire_slice slice(const char *s)
{
    return (struct wire_slice){s, strlen(s)};
}

static struct wire_slice key_slice(const struct wire_key *key)
{
    return (struct wire_slice){(const char *)key->bytes, key->len};
}

static struct wire_key string_key(const char *s)
{
    struct wire_key key;

    assert_int_equal(wire_key_set_string(&key, s, strlen(s)), 0);
    return key;
}

/* Applies one entry at the next index inside the open transaction. */
static int apply_next(struct fixture *f, raft_index *index, enum raft_entry_type type,
                      const void *data, size_t len, struct command_result *ret)
{
    struct raft_entry e = {
        .id = {f->term, ++*index}, .type = type, .len = (uint32_t)len, .data = data};
    int r = kv_apply(f->kv, &e, ret);

    if (r != 0)
        --*index;
    return r;
}

static int apply_command(struct fixture *f, raft_index *index, const struct command *c,
                         struct command_result *ret)
{
    cleanup_buf struct buf b = BUF_INIT;

    assert_int_equal(command_encode(c, &b), 0);
    return apply_next(f, index, RAFT_ENTRY_COMMAND, b.data, b.len, ret);
}

static struct command command_write(struct wire_slice key, const char *value)
{
    return (struct command){.op = COMMAND_WRITE, .key = key, .value = slice(value)};
}

static struct command command_cas(struct wire_slice key, const char *from, const char *to,
                                  bool create)
{
    return (struct command){.op = COMMAND_CAS,
                            .flags = create ? COMMAND_FLAG_CREATE_IF_NOT_EXISTS : 0,
                            .key = key,
                            .value = slice(to),
                            .from = slice(from)};
}

/* One command in a transaction of its own. */
static struct command_result apply_one(struct fixture *f, const struct command *c)
{
    raft_index index = kv_last_applied(f->kv).index;
    struct command_result result;

    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_command(f, &index, c, &result), 0);
    assert_int_equal(kv_commit(f->kv), 0);
    assert_true(result.index == index);
    assert_true(kv_last_applied(f->kv).index == index);
    return result;
}

static struct command_result write_one(struct fixture *f, const char *name, const char *value)
{
    const struct wire_key key = string_key(name);
    const struct command c = command_write(key_slice(&key), value);

    return apply_one(f, &c);
}

static enum command_status cas_one(struct fixture *f, const char *name, const char *from,
                                   const char *to, bool create)
{
    const struct wire_key key = string_key(name);
    const struct command c = command_cas(key_slice(&key), from, to, create);

    return apply_one(f, &c).status;
}

static bool delete_one(struct fixture *f, const char *name)
{
    const struct wire_key key = string_key(name);
    const struct command c = {.op = COMMAND_DELETE, .key = key_slice(&key)};

    return apply_one(f, &c).existed;
}

static void check_value(struct fixture *f, const char *name, const char *expected,
                        raft_index create, raft_index modify, uint64_t version)
{
    const struct wire_key key = string_key(name);
    struct raft_entry_id id;
    struct command_value v;

    assert_int_equal(kv_read_begin(f->kv, &id), 0);
    assert_true(id.index == kv_last_applied(f->kv).index);
    assert_int_equal(kv_get(f->kv, key_slice(&key), &v), 0);
    assert_int_equal(v.exists, expected != NULL);
    if (expected != NULL) {
        assert_int_equal(v.text.len, strlen(expected));
        assert_memory_equal(v.text.data, expected, v.text.len);
        assert_int_equal(v.create_index, create);
        assert_int_equal(v.modify_index, modify);
        assert_int_equal(v.version, version);
    } else {
        assert_null(v.text.data);
    }
    kv_read_end(f->kv);
}

static uint64_t n_keys(struct fixture *f)
{
    struct kv_stats stats;

    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    assert_true(stats.used_bytes <= stats.map_bytes);
    return stats.n_keys;
}

/* ---- what entries do ---- */

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
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    assert_int_equal(kv_last_applied(f->kv).index, 3);
    assert_int_equal(kv_last_applied(f->kv).term, 2);
}

/* RELIABILITY 1.6 row 73: what one node refuses, all refuse, and all go on. */
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
    check_value(f, "x", NULL, 0, 0, 0); /* readers do not */
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
    (void)snprintf(s, 8, "%u", i);
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

/* ---- whether the file is believed ---- */

/* A state with five entries, closed. */
static void make_state(struct fixture *f, bool clean)
{
    (void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    f->conf.boot_id = BOOT_A;
    f->conf.incarnation = INCARNATION;
    kv_up(f);
    assert_int_equal(f->trust, KV_NEW);
    for (unsigned i = 0; i < 5; i++)
        write_one(f, "x", "\"a text that is easily found\"");
    kv_down(f, clean);
    assert_int_equal(there(f, "CLEAN"), clean);
    assert_true(there(f, "TRUST"));
}

static void check_rebuilt(struct fixture *f, const char *why, ino_t old)
{
    assert_int_equal(f->trust, KV_REBUILD);
    if (strstr(err_text(), why) == NULL)
        fail_msg("'%s' does not say '%s'", err_text(), why);
    assert_int_equal(kv_last_applied(f->kv).index, 0);
    assert_int_equal(n_keys(f), 0);
    assert_false(there(f, "CLEAN"));
    assert_int_equal(opened_ino, 0);
    if (old != 0) {
        assert_true(ino_of(f, "data.mdb.old") == old);
        assert_true(ino_of(f, "data.mdb") != old);
    }
    /* What was built anew is good. */
    write_one(f, "x", "1");
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_int_equal(kv_last_applied(f->kv).index, 1);
    kv_down(f, false);
}

static void spoil_boot(struct fixture *f)
{
    f->conf.boot_id = BOOT_B;
}

static void spoil_boot_unknown(struct fixture *f)
{
    f->conf.boot_id = "short";
}

static void spoil_incarnation(struct fixture *f)
{
    f->conf.incarnation++;
}

static void spoil_trust_missing(struct fixture *f)
{
    char path[5000];

    path_of(f, "TRUST", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
}

static void spoil_trust_empty(struct fixture *f)
{
    spill(f, "TRUST", "", 0);
}

static void spoil_trust_cut(struct fixture *f)
{
    char bytes[4096];
    size_t n = slurp(f, "TRUST", bytes, sizeof(bytes));

    spill(f, "TRUST", bytes, n - 1);
}

static void spoil_trust_longer(struct fixture *f)
{
    char bytes[4096] = {0};
    size_t n = slurp(f, "TRUST", bytes, sizeof(bytes));

    spill(f, "TRUST", bytes, n + 1);
}

static void spoil_trust_magic(struct fixture *f)
{
    flip(f, "TRUST", 3);
}

static void spoil_trust_byte(struct fixture *f)
{
    flip(f, "TRUST", 60);
}

static void spoil_trust_crc(struct fixture *f)
{
    flip(f, "TRUST", size_of(f, "TRUST") - 1);
}

static void spoil_trust_mode(struct fixture *f)
{
    char path[5000];

    path_of(f, "TRUST", path, sizeof(path));
    assert_int_equal(chmod(path, 0644), 0);
}

static void spoil_trust_link(struct fixture *f)
{
    char from[5000];
    char to[5000];

    path_of(f, "TRUST", from, sizeof(from));
    path_of(f, "TRUST.moved", to, sizeof(to));
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(symlink("TRUST.moved", from), 0);
}

static void spoil_trust_fifo(struct fixture *f)
{
    char path[5000];

    spoil_trust_missing(f);
    path_of(f, "TRUST", path, sizeof(path));
    assert_int_equal(mkfifo(path, 0600), 0);
}

/* Changes one byte of TRUST and makes its checksum right again. */
static void patch_mark(struct fixture *f, const char *name, const char *magic, size_t at)
{
    unsigned char payload[256];
    size_t len = 0;
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY);

    assert_true(fd >= 0);
    assert_int_equal(mark_read(fd, name, magic, payload, sizeof(payload), &len), 0);
    assert_true(at < len);
    payload[at] ^= 1;
    assert_int_equal(mark_write(fd, name, magic, payload, len), 0);
    (void)close(fd);
}

static void spoil_device(struct fixture *f)
{
    patch_mark(f, "TRUST", "RIDDTRU1", 36 + 4 + 8);
}

static void spoil_inode(struct fixture *f)
{
    patch_mark(f, "TRUST", "RIDDTRU1", 36 + 4 + 16);
}

static void copy_data(struct fixture *f)
{
    static char bytes[4u << 20];
    size_t n = slurp(f, "data.mdb", bytes, sizeof(bytes));
    char from[5000];
    char to[5000];

    assert_true(n < sizeof(bytes));
    spill(f, "copy", bytes, n);
    path_of(f, "copy", from, sizeof(from));
    path_of(f, "data.mdb", to, sizeof(to));
    assert_int_equal(rename(from, to), 0);
}

static void spoil_data_missing(struct fixture *f)
{
    char path[5000];

    path_of(f, "data.mdb", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
}

static void spoil_data_cut(struct fixture *f)
{
    char path[5000];

    path_of(f, "data.mdb", path, sizeof(path));
    assert_int_equal(truncate(path, 4096), 0);
}

static void spoil_data_cut_a_page(struct fixture *f)
{
    char path[5000];

    path_of(f, "data.mdb", path, sizeof(path));
    assert_int_equal(truncate(path, size_of(f, "data.mdb") - 4096), 0);
}

static void spoil_data_grown(struct fixture *f)
{
    char path[5000];

    path_of(f, "data.mdb", path, sizeof(path));
    assert_int_equal(truncate(path, size_of(f, "data.mdb") + 4096), 0);
}

static void spoil_data_link(struct fixture *f)
{
    char from[5000];
    char to[5000];

    path_of(f, "data.mdb", from, sizeof(from));
    path_of(f, "elsewhere", to, sizeof(to));
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(symlink("elsewhere", from), 0);
}

static void spoil_data_head(struct fixture *f)
{
    flip(f, "data.mdb", 16); /* LMDB's magic in both of its heads */
    flip(f, "data.mdb", 4096 + 16);
}

static void spoil_data_meta(struct fixture *f)
{
    static char bytes[4u << 20];
    size_t n = slurp(f, "data.mdb", bytes, sizeof(bytes));
    unsigned found = 0;

    for (size_t i = 0; i + 40 < n; i++)
        if (memcmp(bytes + i, "\0meta", 5) == 0) {
            flip(f, "data.mdb", (off_t)i + 5 + 17);
            found++;
        }
    assert_true(found > 0);
}

static void spoil_clean_garbage(struct fixture *f)
{
    spill(f, "CLEAN", "yes", 3);
}

static void spoil_clean_byte(struct fixture *f)
{
    flip(f, "CLEAN", 12);
}

static void spoil_clean_index(struct fixture *f)
{
    patch_mark(f, "CLEAN", "RIDDCLN1", 24);
}

static void spoil_clean_term(struct fixture *f)
{
    patch_mark(f, "CLEAN", "RIDDCLN1", 16);
}

static void spoil_clean_missing_and_boot(struct fixture *f)
{
    char path[5000];

    path_of(f, "CLEAN", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    spoil_boot(f);
}

static void spoil_both(struct fixture *f)
{
    spoil_clean_byte(f);
    spoil_trust_byte(f);
}

static void kv__one_broken_condition_is_enough_to_rebuild(void **state)
{
    static const struct {
        const char *name;
        bool clean;
        void (*spoil)(struct fixture *f);
        const char *why;
        bool shown_to_lmdb;
        bool no_old;
    } cases[] = {
        {"boot", false, spoil_boot, "started anew", false, false},
        {"boot unknown", false, spoil_boot_unknown, "started anew", false, false},
        {"incarnation", false, spoil_incarnation, "another incarnation", false, false},
        {"trust missing", false, spoil_trust_missing, "no 'TRUST'", false, false},
        {"trust empty", false, spoil_trust_empty, "'TRUST' is damaged", false, false},
        {"trust cut", false, spoil_trust_cut, "'TRUST' is damaged", false, false},
        {"trust longer", false, spoil_trust_longer, "'TRUST' is damaged", false, false},
        {"trust magic", false, spoil_trust_magic, "'TRUST' is damaged", false, false},
        {"trust byte", false, spoil_trust_byte, "'TRUST' is damaged", false, false},
        {"trust crc", false, spoil_trust_crc, "'TRUST' is damaged", false, false},
        {"trust mode", false, spoil_trust_mode, "mode 0644", false, false},
        {"trust link", false, spoil_trust_link, "no regular file", false, false},
        {"trust fifo", false, spoil_trust_fifo, "no regular file", false, false},
        {"device", false, spoil_device, "copied or replaced", false, false},
        {"inode", false, spoil_inode, "copied or replaced", false, false},
        {"copied", false, copy_data, "copied or replaced", false, false},
        {"data missing", false, spoil_data_missing, "'data.mdb' is missing", false, true},
        {"data cut", false, spoil_data_cut, "shorter than when", false, false},
        {"data cut a page", false, spoil_data_cut_a_page, "shorter than what", true, false},
        {"data link", false, spoil_data_link, "no regular file", false, false},
        {"data head", false, spoil_data_head, "MDB_INVALID", true, false},
        {"data meta", false, spoil_data_meta, "checksum", true, false},
        {"clean garbage", false, spoil_clean_garbage, "'CLEAN' is damaged", false, false},
        {"clean: byte", true, spoil_clean_byte, "'CLEAN' is damaged", false, false},
        {"clean: trust byte", true, spoil_trust_byte, "'TRUST' is damaged", false, false},
        {"clean: both", true, spoil_both, "is damaged", false, false},
        {"clean: incarnation", true, spoil_incarnation, "another incarnation", false, false},
        {"clean: cut", true, spoil_data_cut, "bytes, not the", false, false},
        {"clean: grown", true, spoil_data_grown, "bytes, not the", false, false},
        {"clean: missing", true, spoil_data_missing, "'data.mdb' is missing", false, true},
        {"clean: link", true, spoil_data_link, "no regular file", false, false},
        {"clean: index", true, spoil_clean_index, "not the one that was closed", true, false},
        {"clean: term", true, spoil_clean_term, "not the one that was closed", true, false},
        {"clean: head", true, spoil_data_head, "MDB_INVALID", true, false},
        {"clean: no mark, boot", true, spoil_clean_missing_and_boot, "started anew", false, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ino_t old;

        make_state(f, cases[i].clean);
        cases[i].spoil(f);
        old = cases[i].no_old ? 0 : ino_of(f, "data.mdb");
        n_env_opens = 0;
        kv_up(f);
        if (f->trust != KV_REBUILD)
            fail_msg("%s: trusted (%d)", cases[i].name, (int)f->trust);
        /* LMDB asserts on damage: what is not trusted is not even shown to it. */
        assert_int_equal(n_env_opens, cases[i].shown_to_lmdb ? 2 : 1);
        check_rebuilt(f, cases[i].why, old);
    }
}

static void kv__what_still_is_trusted(void **state)
{
    struct fixture *f = *state;

    make_state(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    check_value(f, "x", "\"a text that is easily found\"", 1, 5, 5);
    kv_down(f, false);

    make_state(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_false(there(f, "CLEAN"));
    kv_down(f, false);

    /* After a clean close neither the boot nor a copy matters, nor a TRUST that somebody removed.
     */
    make_state(f, true);
    copy_data(f);
    spoil_boot(f);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    check_value(f, "x", "\"a text that is easily found\"", 1, 5, 5);
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    kv_down(f, false);

    make_state(f, true);
    spoil_trust_missing(f);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    kv_down(f, false);

    /* A lock file is LMDB's own business, even when it is garbage. */
    make_state(f, false);
    spill(f, "lock.mdb", "garbage", 7);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    assert_int_equal(kv_last_applied(f->kv).index, 5);
    kv_down(f, false);

    /* An unknown boot is equal to no boot, not even to itself. */
    make_state(f, true);
    f->conf.boot_id = "";
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_REBUILD);
    kv_down(f, false);

    /* The kernel's own boot id. */
    f->conf.boot_id = NULL;
    (void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    kv_up(f);
    write_one(f, "x", "1");
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
}

static void kv__garbage_is_never_shown_to_lmdb(void **state)
{
    struct fixture *f = *state;
    unsigned char bytes[16384];
    struct prng p;

    prng_init(&p, 3);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)prng_next(&p);
    assert_int_equal(mkdir(f->dir, 0700), 0);
    for (unsigned round = 0; round < 3; round++) {
        ino_t old;

        spill(f, "data.mdb", bytes, round == 0 ? 0 : sizeof(bytes));
        old = ino_of(f, "data.mdb");
        if (there(f, "TRUST"))
            spoil_trust_missing(f);
        n_env_opens = 0;
        kv_up(f);
        assert_int_equal(n_env_opens, 1);
        check_rebuilt(f, "no 'TRUST'", old); /* and so one old copy is kept, the newest */
    }
}

static void kv__old_copies_do_not_pile_up(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;
    DIR *dir;

    make_state(f, false);
    for (unsigned i = 0; i < 5; i++) {
        f->conf.boot_id = i % 2 == 0 ? BOOT_B : BOOT_A;
        kv_up(f);
        assert_int_equal(f->trust, KV_REBUILD);
        write_one(f, "x", "1");
        kv_down(f, false);
    }
    dir = opendir(f->dir);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    assert_int_equal(n, 2 + 4); /* . .. data.mdb data.mdb.old lock.mdb TRUST */
}

/* DESIGN.md 6: the mark is gone, durably, before the first write transaction; the sync precedes the
 * first use. */
static void kv__marks_move_in_the_right_order(void **state)
{
    struct fixture *f = *state;

    make_state(f, true);
    watch();
    kv_up(f);
    assert_int_equal(kv_begin(f->kv), 0);
    watching = false;
    assert_string_equal(events, "open;read;fsync;rename TRUST;syncdir;unlink CLEAN;syncdir;write;");
    kv_abort(f->kv);

    watch();
    kv_down(f, true);
    watching = false;
    assert_string_equal(events, "sync;fsync;rename CLEAN;syncdir;");

    make_state(f, false);
    watch();
    kv_up(f);
    assert_int_equal(kv_begin(f->kv), 0);
    watching = false;
    assert_string_equal(events, "open;unlink TRUST;syncdir;sync;read;fsync;rename TRUST;syncdir;"
                                "syncdir;write;");
    kv_abort(f->kv);
    kv_down(f, false);

    make_state(f, true);
    spoil_clean_byte(f);
    watch();
    kv_up(f);
    watching = false;
    assert_string_equal(events, "unlink CLEAN;syncdir;unlink TRUST;syncdir;rename data.mdb.old;"
                                "unlink lock.mdb;syncdir;open;read;fsync;rename TRUST;syncdir;"
                                "syncdir;");
}

/* Every file call fails once, and all behind it, as at the end of a process; then the machine or
 * the node starts anew. */
static void kv__a_crash_while_opening_or_closing_loses_no_truth(void **state)
{
    struct fixture *f = *state;

    for (unsigned clean = 0; clean < 2; clean++)
        for (unsigned other_boot = 0; other_boot < 2; other_boot++)
            for (unsigned at = 1;; at++) {
                int r;

                make_state(f, clean != 0);
                did_fail = false;
                fail_at = at;
                r = kv_open(&f->conf, &f->trust, &f->kv);
                fail_at = 0;
                if (!did_fail) {
                    assert_int_equal(r, 0);
                    kv_down(f, false);
                    break; /* it went by without so many calls */
                }
                assert_int_equal(r, -EIO);
                assert_null(f->kv);
                if (other_boot != 0)
                    f->conf.boot_id = BOOT_B;
                kv_up(f);
                assert_int_not_equal(f->trust, KV_NEW);
                assert_int_equal(kv_last_applied(f->kv).index, f->trust == KV_REBUILD ? 0 : 5);
                if (other_boot != 0 && clean == 0)
                    assert_int_equal(f->trust, KV_REBUILD);
                kv_down(f, false);
            }
    for (unsigned at = 1;; at++) {
        int r;

        make_state(f, false);
        kv_up(f);
        write_one(f, "x", "6");
        did_fail = false;
        fail_at = at;
        r = kv_close(f->kv, true);
        f->kv = NULL;
        fail_at = 0;
        if (!did_fail) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -EIO);
        f->conf.boot_id = BOOT_B;
        kv_up(f);
        assert_true(f->trust == KV_REBUILD || f->trust == KV_TRUSTED_CLEAN);
        assert_int_equal(kv_last_applied(f->kv).index, f->trust == KV_REBUILD ? 0 : 6);
        kv_down(f, false);
    }
}

/* The kernel reports a failed write-back once; the next start must not take silence for success. */
static void kv__a_failed_sync_ends_the_trust(void **state)
{
    struct fixture *f = *state;
    struct kv *kv;

    make_state(f, false);
    fail_env_sync = true;
    assert_int_equal(kv_open(&f->conf, &f->trust, &f->kv), -EIO);
    fail_env_sync = false;
    kv_up(f);
    assert_int_equal(f->trust, KV_REBUILD);
    kv_down(f, false);

    make_state(f, false);
    kv_up(f);
    kv = f->kv;
    f->kv = NULL;
    fail_env_sync = true;
    assert_int_equal(kv_close(kv, true), -EIO);
    fail_env_sync = false;
    assert_false(there(f, "CLEAN"));
    kv_up(f);
    assert_int_equal(f->trust, KV_REBUILD);
}

/* ---- killed ---- */

static void killed_child(struct fixture *f, int fd)
{
    raft_index index = 0;

    if (kv_open(&f->conf, &f->trust, &f->kv) != 0)
        _exit(1);
    for (;;) {
        if (kv_begin(f->kv) != 0)
            _exit(2);
        for (unsigned i = 0; i < 7; i++) {
            struct command_result result;
            struct wire_key key;
            struct command c;
            char text[32];

            wire_key_set_int(&key, (int64_t)((index + 1) % 50));
            (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)index + 1);
            c = command_write(key_slice(&key), text);
            if (apply_command(f, &index, &c, &result) != 0)
                _exit(3);
        }
        if (kv_commit(f->kv) != 0)
            _exit(4);
        if (write(fd, &index, sizeof(index)) != (ssize_t)sizeof(index))
            _exit(5);
    }
}

static void run_and_kill(struct fixture *f, raft_index at_least, raft_index *ret_index)
{
    raft_index index = 0;
    int fds[2];
    int status;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(fds[0]);
        killed_child(f, fds[1]);
    }
    (void)close(fds[1]);
    while (index < at_least && read(fds[0], &index, sizeof(index)) == (ssize_t)sizeof(index))
        ;
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (read(fds[0], &index, sizeof(index)) == (ssize_t)sizeof(index))
        ;
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    *ret_index = index;
}

/* RELIABILITY 1.6 row 72: last_applied and the data are of one transaction, whenever the process
 * ends. */
static void kv__a_killed_node_finds_its_state_again(void **state)
{
    struct fixture *f = *state;

    for (unsigned round = 0; round < 6; round++) {
        struct raft_entry_id id;
        struct command_value v;
        raft_index reported;

        (void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        f->conf.boot_id = BOOT_A;
        run_and_kill(f, 70 + 333 * round, &reported);
        if (round % 2 == 1) {
            f->conf.boot_id = BOOT_B;
            kv_up(f);
            assert_int_equal(f->trust, KV_REBUILD);
            assert_int_equal(kv_last_applied(f->kv).index, 0);
            kv_down(f, false);
            continue;
        }
        kv_up(f);
        assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
        assert_int_equal(kv_read_begin(f->kv, &id), 0);
        assert_true(id.index >= reported);
        assert_int_equal(id.index % 7, 0);
        for (raft_index i = id.index; i > id.index - 50; i--) {
            struct wire_key key;
            char text[32];

            wire_key_set_int(&key, (int64_t)(i % 50));
            (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)i);
            assert_int_equal(kv_get(f->kv, key_slice(&key), &v), 0);
            assert_true(v.exists);
            assert_int_equal(v.text.len, strlen(text));
            assert_memory_equal(v.text.data, text, v.text.len);
            assert_true(v.modify_index == i);
        }
        kv_read_end(f->kv);
        kv_down(f, false);
    }
}

/* ---- bounds and damage ---- */

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
    assert_non_null(strstr(err_text(), "map_size"));
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

static void damage_value(struct fixture *f)
{
    static char bytes[4u << 20];
    size_t n = slurp(f, "data.mdb", bytes, sizeof(bytes));
    unsigned found = 0;

    for (size_t i = 0; i + 10 < n; i++)
        if (memcmp(bytes + i, "a text that", 11) == 0) {
            flip(f, "data.mdb", (off_t)i + 4);
            found++;
        }
    assert_true(found > 0);
}

/* LMDB has no page checksums (RELIABILITY 4.6). */
static void kv__a_damaged_value_is_found_and_healed(void **state)
{
    struct fixture *f = *state;
    const struct wire_key key = string_key("x");
    const struct command c = command_write(key_slice(&key), "1");
    struct command_result result;
    struct raft_entry_id id;
    struct command_value v;
    raft_index index;
    struct kv *kv;

    make_state(f, false);
    damage_value(f);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    write_one(f, "y", "1");
    assert_int_equal(kv_read_begin(f->kv, &id), 0);
    assert_int_equal(kv_get(f->kv, key_slice(&key), &v), KV_E_DAMAGED);
    assert_non_null(strstr(err_text(), "sx"));
    assert_non_null(strstr(err_text(), "checksum"));
    kv_read_end(f->kv);
    check_value(f, "y", "1", 6, 6, 1);
    /* No clean mark from here on, and the next start rebuilds even after a crash. */
    assert_false(there(f, "TRUST"));
    kv = f->kv;
    f->kv = NULL;
    assert_true(kv_close(kv, true) < 0);
    assert_false(there(f, "CLEAN"));
    kv_up(f);
    check_rebuilt(f, "no 'TRUST'", 0);

    /* Writing over it would hide that this node was about to answer otherwise than the others. */
    make_state(f, true);
    damage_value(f);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    index = kv_last_applied(f->kv).index;
    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(kv_apply_get(f->kv, key_slice(&key), &v), KV_E_DAMAGED);
    assert_true(apply_command(f, &index, &c, &result) < 0);
    kv_abort(f->kv);
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_REBUILD);
}

static void kv__distrust_makes_the_next_start_rebuild(void **state)
{
    struct fixture *f = *state;

    make_state(f, false);
    kv_up(f);
    assert_int_equal(kv_distrust(f->kv), 0);
    assert_int_equal(kv_distrust(f->kv), 0);
    assert_int_equal(kv_last_applied(f->kv).index, 5);
    kv_down(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_REBUILD);
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
}

/* RELIABILITY 6.3 F1, F2. */
static void kv__files_open_to_others_are_refused(void **state)
{
    struct fixture *f = *state;
    const mode_t modes[] = {0750, 0705, 0770, 0701, 0777, 0720};
    char path[5000];
    char away[5000];

    make_state(f, false);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(f->dir, modes[i]), 0);
        assert_int_equal(kv_open(&f->conf, &f->trust, &f->kv), -EPERM);
        assert_non_null(strstr(err_text(), f->dir));
    }
    assert_int_equal(chmod(f->dir, 0700), 0);
    path_of(f, "data.mdb", path, sizeof(path));
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(kv_open(&f->conf, &f->trust, &f->kv), -EPERM);
    assert_non_null(strstr(err_text(), "0640"));
    assert_int_equal(chmod(path, 0600), 0);
    /* The folder may not be a link. */
    (void)snprintf(away, sizeof(away), "%s/away", f->root);
    assert_int_equal(rename(f->dir, away), 0);
    assert_int_equal(symlink("away", f->dir), 0);
    assert_true(kv_open(&f->conf, &f->trust, &f->kv) < 0);
    assert_int_equal(unlink(f->dir), 0);
    assert_int_equal(rename(away, f->dir), 0);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    kv_down(f, false);
    f->dir[strlen(f->root)] = '\0';
    (void)snprintf(f->dir, sizeof(f->dir), "%s/none/db", f->root);
    assert_int_equal(kv_open(&f->conf, &f->trust, &f->kv), -ENOENT);
}

/* ---- two threads ---- */

static atomic_bool writer_stop;
static atomic_uint_least64_t writer_index;

static void *writer(void *arg)
{
    struct fixture *f = arg;
    raft_index index = 0;

    while (!atomic_load(&writer_stop)) {
        char text[32];

        assert_int_equal(kv_begin(f->kv), 0);
        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)index + 2);
        for (unsigned i = 0; i < 2; i++) {
            const struct wire_key key = string_key(i == 0 ? "a" : "b");
            const struct command c = command_write(key_slice(&key), text);
            struct command_result result;

            assert_int_equal(apply_command(f, &index, &c, &result), 0);
        }
        assert_int_equal(kv_commit(f->kv), 0);
        atomic_store(&writer_index, index);
    }
    return NULL;
}

static uint64_t read_number(struct fixture *f, const char *name)
{
    const struct wire_key key = string_key(name);
    struct command_value v;
    char text[32] = {0};

    assert_int_equal(kv_get(f->kv, key_slice(&key), &v), 0);
    if (!v.exists)
        return 0;
    assert_true(v.text.len < sizeof(text));
    memcpy(text, v.text.data, v.text.len);
    return strtoull(text, NULL, 10);
}

static void kv__a_reader_sees_one_instant_while_a_writer_writes(void **state)
{
    struct fixture *f = *state;
    uint64_t last = 0;
    pthread_t thread;

    kv_up(f);
    atomic_store(&writer_stop, false);
    atomic_store(&writer_index, 0);
    assert_int_equal(pthread_create(&thread, NULL, writer, f), 0);
    for (unsigned i = 0; i < 3000; i++) {
        const uint64_t before = atomic_load(&writer_index);
        struct raft_entry_id id;
        struct kv_stats stats;
        uint64_t a;

        assert_int_equal(kv_read_begin(f->kv, &id), 0);
        assert_true(id.index >= before);
        assert_true(id.index >= last);
        a = read_number(f, "a");
        assert_true(a == id.index);
        if (i % 300 == 0) {
            /* However long it takes, it stays that instant. */
            const uint64_t until = atomic_load(&writer_index) + 20;

            while (atomic_load(&writer_index) < until)
                (void)sched_yield();
        }
        assert_true(read_number(f, "b") == a);
        assert_true(read_number(f, "a") == a);
        last = id.index;
        kv_read_end(f->kv);
        assert_int_equal(kv_get_stats(f->kv, &stats), 0);
        assert_true(stats.n_keys <= 2);
    }
    atomic_store(&writer_stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(kv_last_applied(f->kv).index == atomic_load(&writer_index));
}

/* ---- marks ---- */

static void kv__marks_are_whole_or_refused(void **state)
{
    struct fixture *f = *state;
    unsigned char bytes[300];
    unsigned char got[300];
    size_t len = 0;
    int fd;

    assert_int_equal(mkdir(f->dir, 0700), 0);
    fd = open(f->dir, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), MARK_E_MISSING);
    for (size_t n = 0; n <= sizeof(bytes); n += 100) {
        spill(f, "M.tmp", "left over", 9); /* of a crash */
        assert_int_equal(mark_write(fd, "M", "TESTMAG1", bytes, n), 0);
        assert_false(there(f, "M.tmp"));
        assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), 0);
        assert_int_equal(len, n);
        assert_memory_equal(got, bytes, n);
        assert_int_equal(mark_read(fd, "M", "TESTMAG2", got, sizeof(got), &len), MARK_E_DAMAGED);
        for (size_t at = 0; at < n + MARK_OVERHEAD_BYTES; at++) {
            flip(f, "M", (off_t)at);
            assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len),
                             MARK_E_DAMAGED);
            flip(f, "M", (off_t)at);
        }
    }
    /* More than the reader expects. */
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got) - 1, &len), MARK_E_DAMAGED);
    assert_int_equal(mark_remove(fd, "M"), 0);
    assert_int_equal(mark_remove(fd, "M"), 0);
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), MARK_E_MISSING);
    /* A step that fails leaves the old one. */
    assert_int_equal(mark_write(fd, "M", "TESTMAG1", "old", 3), 0);
    for (unsigned at = 1; at <= 3; at++) {
        fail_at = at;
        assert_int_equal(mark_write(fd, "M", "TESTMAG1", "new", 3), -EIO);
        fail_at = 0;
        assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), 0);
        assert_memory_equal(got, "old", 3);
    }
    (void)close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(kv__a_new_folder_is_private_and_empty),
        TEST(kv__write_counts_versions),
        TEST(kv__cas_compares_as_json),
        TEST(kv__other_entries_only_move_last_applied),
        TEST(kv__an_odd_command_is_applied_as_nothing),
        TEST(kv__kinds_of_keys_are_apart),
        TEST(kv__apply_get_sees_the_transaction),
        TEST(kv__random_commands_match_a_model),
        TEST(kv__one_broken_condition_is_enough_to_rebuild),
        TEST(kv__what_still_is_trusted),
        TEST(kv__garbage_is_never_shown_to_lmdb),
        TEST(kv__old_copies_do_not_pile_up),
        TEST(kv__marks_move_in_the_right_order),
        TEST(kv__a_crash_while_opening_or_closing_loses_no_truth),
        TEST(kv__a_failed_sync_ends_the_trust),
        TEST(kv__a_killed_node_finds_its_state_again),
        TEST(kv__a_full_map_applies_nothing),
        TEST(kv__a_short_but_whole_file_is_no_alarm),
        TEST(kv__a_damaged_value_is_found_and_healed),
        TEST(kv__distrust_makes_the_next_start_rebuild),
        TEST(kv__files_open_to_others_are_refused),
        TEST(kv__a_reader_sees_one_instant_while_a_writer_writes),
        TEST(kv__marks_are_whole_or_refused),
    };

    return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
