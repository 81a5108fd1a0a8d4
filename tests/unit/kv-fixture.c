/* The linker sends the watched calls of kv here (tests/unit/kv.am); each is noted and, if wished,
 * fails. */
#include "unit/kv-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "base/buf.h"
#include "base/err.h"

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
int __real_mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags);
int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags);
int __wrap_mdb_txn_commit(MDB_txn *txn);

char events[4096];
atomic_bool watching;
unsigned fail_at;
int fail_with;
unsigned crash_at;
int fail_commit;
unsigned fail_put_at;
bool did_fail;
bool fail_env_sync;
bool skip_fsync;
ino_t opened_ino;
unsigned n_env_opens;
void (*on_env_open)(void);

static void event(const char *what, const char *name)
{
    size_t len = strlen(events);

    if (watching)
        (void)snprintf(events + len, sizeof(events) - len, "%s%s%s;", what,
                       name[0] != '\0' ? " " : "", name);
}

void watch(void)
{
    events[0] = '\0';
    watching = true;
}

static bool must_fail(void)
{
    if (crash_at > 0 && --crash_at == 0)
        _exit(CRASHED);
    if (fail_at == 0)
        return false;
    if (fail_at > 1) {
        fail_at--;
        return false;
    }
    errno = fail_with != 0 ? fail_with : EIO;
    if (fail_with != 0)
        fail_at = 0; /* this one alone */
    did_fail = true;
    return true;
}

int __wrap_fsync(int fd)
{
    struct stat st;

    if (must_fail())
        return -1;
    event(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? "syncdir" : "fsync", "");
    if (skip_fsync)
        return 0;
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
    if (crash_at > 0 && --crash_at == 0)
        _exit(CRASHED);
    opened_ino = stat(data, &st) == 0 ? st.st_ino : 0;
    n_env_opens++;
    if (on_env_open != NULL)
        on_env_open();
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

int __wrap_mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags)
{
    if (fail_put_at > 0 && --fail_put_at == 0)
        return ENOSPC;
    return __real_mdb_put(txn, dbi, key, data, flags);
}

int __wrap_mdb_txn_commit(MDB_txn *txn)
{
    if (fail_commit == 0)
        return __real_mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return fail_commit;
}

/* ---- one data folder per test ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void wipe(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char cwd[3000];

    assert_non_null(f);
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    (void)snprintf(f->root, sizeof(f->root), "%s/test-kv.XXXXXX", cwd);
    assert_non_null(mkdtemp(f->root));
    (void)snprintf(f->dir, sizeof(f->dir), "%s/db", f->root);
    f->conf = (struct kv_conf){
        .memtable_keys = 1, /* what is committed is in the file, which most tests look into */
        .dir = f->dir,
        .map_size_bytes = 64u << 20,
        .incarnation = INCARNATION,
        .boot_id = BOOT_A,
    };
    f->term = 1;
    watching = false;
    fail_at = 0;
    fail_with = 0;
    crash_at = 0;
    fail_commit = 0;
    fail_put_at = 0;
    on_env_open = NULL;
    fail_env_sync = false;
    skip_fsync = false;
    *state = f;
    return 0;
}

int teardown(void **state)
{
    struct fixture *f = *state;

    fail_at = 0;
    fail_with = 0;
    fail_commit = 0;
    fail_put_at = 0;
    fail_env_sync = false;
    (void)kv_close(f->kv, false);
    wipe(f->root);
    free(f);
    return 0;
}

void kv_up(struct fixture *f)
{
    assert_null(f->kv);
    if (kv_open(&f->conf, &f->trust, &f->kv) != 0)
        fail_msg("kv_open: %s (%s)", err_text(), err_path());
}

void kv_down(struct fixture *f, bool clean)
{
    struct kv *kv = f->kv;

    f->kv = NULL;
    assert_int_equal(kv_close(kv, clean), 0);
}

void path_of(const struct fixture *f, const char *name, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s/%s", f->dir, name);
}

bool there(const struct fixture *f, const char *name)
{
    char path[5000];
    struct stat st;

    path_of(f, name, path, sizeof(path));
    return lstat(path, &st) == 0;
}

off_t size_of(const struct fixture *f, const char *name)
{
    char path[5000];
    struct stat st;

    path_of(f, name, path, sizeof(path));
    assert_int_equal(lstat(path, &st), 0);
    return st.st_size;
}

ino_t ino_of(const struct fixture *f, const char *name)
{
    char path[5000];
    struct stat st;

    path_of(f, name, path, sizeof(path));
    assert_int_equal(lstat(path, &st), 0);
    return st.st_ino;
}

size_t slurp(const struct fixture *f, const char *name, void *buf, size_t size)
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

void spill(const struct fixture *f, const char *name, const void *data, size_t len)
{
    char path[5000];
    int fd;

    path_of(f, name, path, sizeof(path));
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

void flip(const struct fixture *f, const char *name, off_t at)
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

struct wire_slice slice(const char *s)
{
    return (struct wire_slice){s, strlen(s)};
}

struct wire_slice key_slice(const struct wire_key *key)
{
    return (struct wire_slice){(const char *)key->bytes, key->len};
}

struct wire_key string_key(const char *s)
{
    struct wire_key key;

    assert_int_equal(wire_key_set_string(&key, s, strlen(s)), 0);
    return key;
}

/* Applies one entry at the next index inside the open transaction. */
int apply_next(struct fixture *f, raft_index *index, enum raft_entry_type type, const void *data,
               size_t len, struct command_result *ret)
{
    struct raft_entry e = {
        .id = {f->term, ++*index}, .type = type, .len = (uint32_t)len, .data = data};
    int r = kv_apply(f->kv, &e, ret);

    if (r != 0)
        --*index;
    return r;
}

int apply_command(struct fixture *f, raft_index *index, const struct command *c,
                  struct command_result *ret)
{
    cleanup_buf struct buf b = BUF_INIT;

    assert_int_equal(command_encode(c, &b), 0);
    return apply_next(f, index, RAFT_ENTRY_COMMAND, b.data, b.len, ret);
}

struct command command_write(struct wire_slice key, const char *value)
{
    return (struct command){.op = COMMAND_WRITE, .key = key, .value = slice(value)};
}

struct command command_cas(struct wire_slice key, const char *from, const char *to, bool create)
{
    return (struct command){.op = COMMAND_CAS,
                            .flags = create ? COMMAND_FLAG_CREATE_IF_NOT_EXISTS : 0,
                            .key = key,
                            .value = slice(to),
                            .from = slice(from)};
}

/* One command in a transaction of its own. */
struct command_result apply_one(struct fixture *f, const struct command *c)
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

struct command_result write_one(struct fixture *f, const char *name, const char *value)
{
    const struct wire_key key = string_key(name);
    const struct command c = command_write(key_slice(&key), value);

    return apply_one(f, &c);
}

enum command_status cas_one(struct fixture *f, const char *name, const char *from, const char *to,
                            bool create)
{
    const struct wire_key key = string_key(name);
    const struct command c = command_cas(key_slice(&key), from, to, create);

    return apply_one(f, &c).status;
}

bool delete_one(struct fixture *f, const char *name)
{
    const struct wire_key key = string_key(name);
    const struct command c = {.op = COMMAND_DELETE, .key = key_slice(&key)};

    return apply_one(f, &c).existed;
}

void check_value(struct fixture *f, const char *name, const char *expected, raft_index create,
                 raft_index modify, uint64_t version)
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

uint64_t n_keys(struct fixture *f)
{
    struct kv_stats stats;

    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    assert_true(stats.used_bytes <= stats.map_bytes);
    return stats.n_keys;
}
