/* node: `ridd --restore`, whole or not there, whatever fails and wherever it is killed (BACKUP-4),
 * and what is in a directory that it made (BACKUP-1 to BACKUP-3). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <lmdb.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "conf/conf.h"
#include "engine/refound.h"
#include "node/identity.h"
#include "node/node.h"
#include "snap/backup.h"
#include "unit/temp-folder.h"
#include "wire/command.h"

/* ---- calls that fail, or are the last ---- */

#define KILLED 99

static unsigned n_calls;
static unsigned fail_at; /* the n-th call fails; 0: none */
static int fail_with;
static bool fail_all;   /* and all behind it */
static bool fail_room;  /* and all behind it that need room, and those alone */
static bool fail_syncs; /* and all syncs behind it, and nothing else */
static unsigned kill_at;

static bool fails_as(bool wants_room, bool is_sync)
{
    n_calls++;
    if (n_calls == kill_at)
        _exit(KILLED);
    if (fail_at == 0 || n_calls < fail_at)
        return false;
    if (fail_syncs && !is_sync)
        return false;
    if (!fail_syncs && (fail_room ? !wants_room : !fail_all && n_calls != fail_at))
        return false;
    errno = fail_with;
    return true;
}

static bool fails(bool wants_room)
{
    return fails_as(wants_room, false);
}

static bool must_fail(void)
{
    return fails_as(false, true);
}

#define WRAP(type, name, params, args, wants_room)                                                 \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return fails(wants_room) ? (type)-1 : __real_##name args;                                  \
    }
WRAP(int, renameat, (int from_fd, const char *from, int to_fd, const char *to),
     (from_fd, from, to_fd, to), false)
WRAP(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags), false)
WRAP(int, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode), true)
WRAP(int, fallocate, (int fd, int mode, off_t offset, off_t len), (fd, mode, offset, len), true)
WRAP(ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t at), (fd, buf, n, at), true)
WRAP(ssize_t, pwritev, (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at), true)

/* No power fails here, and a thousand restores would be a hundred thousand syncs. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    (void)fd;
    return must_fail() ? -1 : 0;
}

int __wrap_mdb_env_sync(MDB_env *env, int force);
int __wrap_mdb_env_sync(MDB_env *env, int force)
{
    (void)env;
    (void)force;
    return must_fail() ? EIO : 0;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    (void)fd;
    return must_fail() ? -1 : 0;
}

/* It returns its error. */
int __real_posix_fallocate(int fd, off_t offset, off_t len);
int __wrap_posix_fallocate(int fd, off_t offset, off_t len);
int __wrap_posix_fallocate(int fd, off_t offset, off_t len)
{
    return fails(true) ? errno : __real_posix_fallocate(fd, offset, len);
}

/* What another restore does between the opening of LOCK and the locking: it gives its directory up,
 * or makes one of this one, and has it still, or has ended well. */
static enum { LOCK_IS_FREE, LOCK_IS_LOST, LOCK_IS_TAKEN, LOCK_WAS_TAKEN } at_lock;
static const struct identity_conf *lock_taker;
static struct identity_dir *taken;

static const unsigned char other_id[16] = "another cluster";

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation)
{
    const int now = at_lock;
    char link[64];
    char path[300];
    ssize_t n;

    at_lock = LOCK_IS_FREE;
    if (now == LOCK_IS_LOST) {
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        assert_true(n > 0);
        path[n] = '\0';
        assert_int_equal(unlink(path), 0);
    }
    if (now == LOCK_IS_TAKEN || now == LOCK_WAS_TAKEN)
        assert_int_equal(identity_create(lock_taker, &taken), 0);
    if (now == LOCK_WAS_TAKEN) {
        assert_int_equal(identity_set_cluster(taken, other_id, "main"), 0);
        assert_int_equal(identity_commit(taken), 0);
        identity_close(taken);
    }
    return __real_flock(fd, operation);
}

/* ---- a backup ---- */

static const char *folder;
static char backup_path[300];
static struct snap_meta backup_meta;
static struct conf conf;
static char data_dir[300];
static uint64_t old_client;

static void in_folder(char *ret, size_t size, const char *name)
{
    assert_true((size_t)snprintf(ret, size, "%s/%s", folder, name) < size);
}

static struct command_result apply(struct kv *kv, const struct command *c)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct command_result result;
    struct raft_entry e;

    assert_int_equal(command_encode(c, &b), 0);
    e = (struct raft_entry){.id = {3, kv_last_applied(kv).index + 1},
                            .type = RAFT_ENTRY_COMMAND,
                            .len = (uint32_t)b.len,
                            .data = b.data};
    assert_int_equal(kv_begin(kv), 0);
    assert_int_equal(kv_apply(kv, &e, &result), 0);
    assert_int_equal(kv_commit(kv), 0);
    return result;
}

static struct command write_of(struct wire_key *key, const char *name)
{
    assert_int_equal(wire_key_set_string(key, name, strlen(name)), 0);
    return (struct command){.op = COMMAND_WRITE,
                            .key = {(const char *)key->bytes, key->len},
                            .value = {"\"value\"", 7}};
}

static void fill_state(struct kv *kv)
{
    const struct command open = {.op = COMMAND_OPEN_SESSION};
    struct wire_key key;
    struct command c;
    char name[16];

    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "key%u", i);
        c = write_of(&key, name);
        assert_int_equal(apply(kv, &c).status, COMMAND_OK);
    }
    old_client = apply(kv, &open).index;
    c = write_of(&key, "once");
    c.client = old_client;
    c.seq = c.first = 1;
    assert_int_equal(apply(kv, &c).status, COMMAND_OK);
}

static int write_piece(void *ctx, const void *data, size_t n)
{
    const int fd = *(const int *)ctx;

    backup_meta.body_crc = crc32c(backup_meta.body_crc, data, n);
    backup_meta.body_bytes += n;
    return write(fd, data, n) == (ssize_t)n ? 0 : -EIO;
}

static void fill_meta(struct kv *kv)
{
    struct snap_meta *m = &backup_meta;
    struct raft_configuration *c = &m->config.configuration;
    struct kv_stats stats;

    assert_int_equal(kv_get_stats(kv, &stats), 0);
    memset(m->cluster_id, 0xaa, sizeof(m->cluster_id));
    m->id = kv_last_applied(kv);
    m->config.index = 1;
    raft_configuration_init(c);
    for (unsigned i = 1; i <= 3; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(
            raft_configuration_add(c, raft_founder_id(name), name, RAFT_VOTER, "old:1", "old:2"),
            0);
    }
    (void)raft_configuration_remove(c, raft_founder_id("n3"), 17);
    m->state_format = kv_copy_format(kv);
    m->digest_version = KV_DIGEST_VERSION;
    m->digest = (struct raft_digest_at){m->id.index, stats.digest.high, stats.digest.low};
    m->n_keys = stats.n_keys;
    m->live_bytes = stats.live_bytes;
    m->limit_bytes = stats.limit_bytes;
    m->given = true;
}

static void add_ends(int fd)
{
    const struct backup_label label = {.begun_s = 1796056125, .cluster_name = "old"};
    struct buf end = BUF_INIT;

    assert_int_equal(snap_meta_encode(&backup_meta, &end), 0);
    assert_int_equal(
        backup_label_encode(&label, backup_meta.body_bytes + end.len, end.data, end.len, &end), 0);
    assert_true(write(fd, end.data, end.len) == (ssize_t)end.len);
    buf_done(&end);
}

static void make_backup(void)
{
    char dir[300];
    const struct kv_conf kv_conf = {
        .dir = dir, .map_size_bytes = 64u << 20, .incarnation = 7, .memtable_keys = 1};
    struct kv_sink sink = {.write = write_piece};
    enum kv_trust trust;
    struct kv *kv;
    int fd;

    in_folder(dir, sizeof(dir), "old");
    in_folder(backup_path, sizeof(backup_path), "backup");
    assert_int_equal(kv_open(&kv_conf, &trust, &kv), 0);
    fill_state(kv);
    memset(&backup_meta, 0, sizeof(backup_meta));
    fill_meta(kv);
    fd = open(backup_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    sink.ctx = &fd;
    assert_int_equal(kv_copy(kv, &sink), 0);
    add_ends(fd);
    (void)close(fd);
    assert_int_equal(kv_close(kv, false), 0);
}

static int setup(void **state)
{
    struct conf_problems problems = {0};
    char text[600];
    int len;

    (void)state;
    folder = temp_folder_new("restore");
    n_calls = fail_at = kill_at = 0;
    in_folder(data_dir, sizeof(data_dir), "n1");
    len = snprintf(text, sizeof(text),
                   "[cluster]\nname = demo\n[node]\ndata_dir = %s\n[peers]\n"
                   "n1 = 127.0.0.1:1 127.0.0.1:2\nn2 = 127.0.0.1:3 127.0.0.1:4\n",
                   data_dir);
    assert_int_equal(conf_parse("test.conf", text, (size_t)len, "n1", true, &conf, &problems), 0);
    make_backup();
    n_calls = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fail_at = 0;
    temp_folder_remove(folder);
    return 0;
}

/* ---- running it ---- */

/* In a process of its own, whose words go to the file "said"; its exit code. */
static int restore_here(const char *file)
{
    char said[300];
    pid_t pid;
    int status;

    in_folder(said, sizeof(said), "said");
    (void)fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const int fd = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        n_calls = 0;
        _exit(node_restore(&conf, file));
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_said(const char *words)
{
    char said[300];
    char text[4000];
    ssize_t n;
    int fd;

    in_folder(said, sizeof(said), "said");
    fd = open(said, O_RDONLY | O_CLOEXEC);
    n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    if (strstr(text, words) == NULL)
        fail_msg("it says '%s', not '%s'", text, words);
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* ---- what there is afterwards ---- */

struct found {
    unsigned char founding_id[16];
    unsigned char cluster_id[16];
    uint64_t incarnation;
    raft_node_id node_id;
    struct raft_entry_id base;
};

static void check_log(const struct identity_dir *dir, struct found *f)
{
    const struct identity *id = identity_get(dir);
    struct store_conf store_conf = {.node_id = id->node_id,
                                    .incarnation = id->incarnation,
                                    .salt_seed = 1,
                                    .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                                    .segment_bytes = STORE_SEGMENT_FIRST_BYTES};
    const int fd = identity_open_folder(dir, "wal");
    struct store_recovered r;
    const struct raft_configuration *c;
    struct store *store;

    assert_true(fd >= 0);
    memcpy(store_conf.cluster_id, id->cluster_id, 16);
    assert_int_equal(vfs_posix_new(fd, &store_conf.vfs), 0);
    assert_int_equal(store_open(&store_conf, &r, &store), 0);
    f->base = r.base;
    assert_true(r.last_index == r.base.index && r.commit_index == r.base.index);
    assert_true(r.base.term == backup_meta.id.term);
    assert_true(r.base.index > backup_meta.id.index + BACKUP_INDEX_STEP);
    assert_true(r.hard_state.current_term == r.base.term && r.hard_state.voted_for == 0);
    assert_int_equal(r.n_configs, 1);
    c = &r.configs[0].configuration;
    assert_true(c->n == 1 && c->n_removed == 0 && c->servers[0].role == RAFT_VOTER);
    assert_string_equal(c->servers[0].name, "n1");
    assert_string_equal(c->servers[0].peer_addr, "127.0.0.1:1");
    assert_string_equal(c->servers[0].client_addr, "127.0.0.1:2");
    assert_true(c->servers[0].id == id->node_id && c->servers[0].incarnation == id->incarnation);
    memcpy(f->cluster_id, c->cluster_id, 16);
    assert_memory_equal(c->cluster_id, identity_cluster(dir)->id, 16);
    store_close(store);
    store_recovered_done(&r);
    vfs_posix_free(store_conf.vfs);
    (void)close(fd);
}

static void check_snapshot(const struct identity_dir *dir, const struct found *f)
{
    struct snap_conf snap_conf = {0};
    const int fd = identity_open_folder(dir, "snap");
    struct snap_folder *snaps;
    struct snap_meta m;

    assert_true(fd >= 0);
    memcpy(snap_conf.cluster_id, identity_get(dir)->cluster_id, 16);
    assert_int_equal(vfs_posix_new(fd, &snap_conf.vfs), 0);
    assert_int_equal(snap_open(&snap_conf, &snaps), 0);
    assert_int_equal(snap_list(snaps, &m, 1), 1);
    assert_true(m.id.index == f->base.index && m.id.term == f->base.term && !m.given);
    assert_memory_equal(m.config.configuration.cluster_id, f->cluster_id, 16);
    assert_int_equal(snap_check(snaps, m.id), 0);
    snap_close(snaps);
    vfs_posix_free(snap_conf.vfs);
    (void)close(fd);
}

static void check_state(const struct found *f)
{
    char dir[330];
    const struct kv_conf kv_conf = {
        .dir = dir, .map_size_bytes = 64u << 20, .incarnation = f->incarnation};
    struct raft_entry_id at;
    struct wire_key key;
    struct command_value v;
    enum kv_trust trust;
    struct kv_stats stats;
    struct command c;
    struct kv *kv;

    (void)snprintf(dir, sizeof(dir), "%s/db", data_dir);
    assert_int_equal(kv_open(&kv_conf, &trust, &kv), 0);
    assert_int_equal(trust, KV_TRUSTED_CLEAN);
    assert_true(kv_last_applied(kv).index == f->base.index);
    assert_int_equal(kv_get_stats(kv, &stats), 0);
    assert_true(stats.n_keys == backup_meta.n_keys && stats.sessions.n == 0);
    assert_int_equal(kv_read_begin(kv, &at), 0);
    c = write_of(&key, "key42");
    assert_int_equal(kv_get(kv, c.key, &v), 0);
    assert_true(v.exists && v.create_index == 43 && v.version == 1);
    kv_read_end(kv);
    /* Closed as it was found. */
    assert_int_equal(kv_close(kv, true), 0);
}

/* The code that the directory is opened with: 0 and then all of it is right. */
static int look(struct found *ret)
{
    const struct identity_conf identity = {.data_dir = data_dir, .node_name = "n1"};
    struct identity_dir *dir = NULL;
    int rc = identity_open(&identity, &dir);

    if (rc != 0)
        return rc;
    assert_true(identity_was_added(dir));
    assert_string_equal(identity_cluster(dir)->name, "demo");
    memcpy(ret->founding_id, identity_get(dir)->cluster_id, 16);
    ret->incarnation = identity_get(dir)->incarnation;
    ret->node_id = identity_get(dir)->node_id;
    check_log(dir, ret);
    check_snapshot(dir, ret);
    identity_close(dir);
    check_state(ret);
    return 0;
}

/* ---- cases ---- */

/* BACKUP-1, BACKUP-2: of two restores nothing is alike but what was stored. */
static void restore__makes_another_cluster_each_time(void **state)
{
    unsigned char founders[16];
    struct found a;
    struct found b;

    (void)state;
    assert_int_equal(restore_here(backup_path), 0);
    check_said("its only voter");
    check_said("of cluster old");
    assert_int_equal(look(&a), 0);
    temp_folder_empty(data_dir);
    assert_int_equal(restore_here(backup_path), 0);
    assert_int_equal(look(&b), 0);
    conf_founding_id(&conf, founders);
    assert_memory_not_equal(a.founding_id, b.founding_id, 16);
    assert_memory_not_equal(a.founding_id, founders, 16);
    assert_memory_not_equal(a.founding_id, backup_meta.cluster_id, 16);
    assert_memory_not_equal(a.cluster_id, b.cluster_id, 16);
    assert_memory_not_equal(a.cluster_id, a.founding_id, 16);
    assert_false(raft_cluster_id_is_alone(a.cluster_id));
    assert_true(a.incarnation != b.incarnation && a.node_id != b.node_id);
    assert_true(a.node_id != raft_founder_id("n1"));
    assert_true(a.base.index != b.base.index);
}

/* A directory that holds anything is not touched. */
static void restore__only_into_an_empty_directory(void **state)
{
    struct found before;
    struct found after;
    char path[400];

    (void)state;
    assert_int_equal(mkdir(data_dir, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/other", data_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(restore_here(backup_path), EXIT_CONF_ERROR);
    check_said("which is not ridd's");
    assert_true(exists(path));
    assert_int_equal(rmdir(path), 0);
    (void)snprintf(path, sizeof(path), "%s/wal", data_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/wal/0000000000000001.wal", data_dir);
    (void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(restore_here(backup_path), EXIT_DAMAGED);
    check_said("has lost its identity");
    assert_true(exists(path));
    temp_folder_empty(data_dir);
    assert_int_equal(restore_here(backup_path), 0);
    assert_int_equal(look(&before), 0);
    assert_int_equal(restore_here(backup_path), EXIT_CONF_ERROR);
    check_said("is initialised as node 'n1' already");
    assert_int_equal(look(&after), 0);
    assert_true(after.incarnation == before.incarnation);
}

static void spoil(uint64_t at)
{
    const int fd = open(backup_path, O_RDWR | O_CLOEXEC);
    unsigned char byte;

    assert_true(pread(fd, &byte, 1, (off_t)at) == 1);
    byte ^= 4;
    assert_true(__real_pwrite(fd, &byte, 1, (off_t)at) == 1);
    (void)close(fd);
}

/* BACKUP-3: nothing is left of what is wrong, wherever that was noticed. */
static void restore__of_what_is_wrong_leaves_nothing(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(stat(backup_path, &st), 0);
    for (off_t at = 1; at < st.st_size; at += st.st_size / 13) {
        spoil((uint64_t)at);
        assert_int_equal(restore_here(backup_path), EXIT_DAMAGED);
        assert_false(exists(data_dir));
        spoil((uint64_t)at);
    }
    assert_int_equal(restore_here("/etc/hosts"), EXIT_DAMAGED);
    check_said("is no backup");
    assert_int_equal(restore_here(folder), EXIT_DAMAGED);
    check_said("is a folder");
    assert_int_equal(restore_here("/nowhere"), EXIT_IO_ERROR);
    assert_false(exists(data_dir));
}

static int rewrite_ends(void)
{
    const int fd = open(backup_path, O_RDWR | O_CLOEXEC);

    assert_int_equal(ftruncate(fd, (off_t)backup_meta.body_bytes), 0);
    assert_true(lseek(fd, 0, SEEK_END) >= 0);
    add_ends(fd);
    (void)close(fd);
    return restore_here(backup_path);
}

/* Checksums that are right, and an end that says what is not so. */
static void restore__compares_what_is_said(void **state)
{
    const struct snap_meta good = backup_meta;

    (void)state;
    backup_meta.digest.low++;
    assert_int_equal(rewrite_ends(), EXIT_DAMAGED);
    check_said("does not hold what its end says");
    assert_false(exists(data_dir));
    backup_meta = good;
    backup_meta.n_keys++;
    assert_int_equal(rewrite_ends(), EXIT_DAMAGED);
    backup_meta = good;
    backup_meta.id.index++;
    backup_meta.digest.index++;
    assert_int_equal(rewrite_ends(), EXIT_DAMAGED);
    backup_meta = good;
    backup_meta.state_format++;
    assert_int_equal(rewrite_ends(), EXIT_CONF_ERROR);
    check_said("another kind of machine");
    backup_meta = good;
    backup_meta.digest_version++;
    assert_int_equal(rewrite_ends(), EXIT_CONF_ERROR);
    assert_false(exists(data_dir));
    backup_meta = good;
    assert_int_equal(rewrite_ends(), 0);
}

#define SECOND_US UINT64_C(1000000)
#define DAY_US    (86400 * SECOND_US)
#define EPOCH_US  BACKUP_INDEX_EPOCH_US
#define BUSY      UINT64_C(50000) /* entries a second */

/* Of the backup of a cluster that had come to `last` at begun_us. */
static raft_index index_at(raft_index last, uint64_t begun_us, uint64_t now_us, bool *ret_by_time)
{
    struct snap_meta m = backup_meta;
    struct refound_base base;

    m.id.index = last;
    assert_int_equal(refound_index(&m, &(struct refound_time){now_us, begun_us}, &base), 0);
    assert_true(base.index > last);
    *ret_by_time = base.by_time;
    return base.index;
}

/* By a clock that is right. */
static raft_index restored_at(raft_index last, uint64_t begun_us, uint64_t now_us)
{
    bool by_time;
    const raft_index ret = index_at(last, begun_us, now_us, &by_time);

    assert_true(by_time);
    return ret;
}

/* BACKUP-2: where the time of day is of no use, and as long as there are numbers. */
static void restore__goes_on_far_above(void **state)
{
    static const struct {
        raft_index last;
        uint64_t begun_us;
        uint64_t now_us;
    } rows[] = {
        {700, 0, 0},
        {700, 0, EPOCH_US - 1},
        {700, 0, UINT64_MAX},
        {700, EPOCH_US + 300 * DAY_US, 0},
        {700, EPOCH_US + 300 * DAY_US, UINT64_MAX},
        /* before the backup was begun; as long after it as nobody keeps one */
        {700, EPOCH_US + 300 * DAY_US, EPOCH_US + 299 * DAY_US},
        {700, EPOCH_US + 300 * DAY_US, EPOCH_US + 300 * DAY_US - BACKUP_CLOCK_SKEW_US - SECOND_US},
        {700, EPOCH_US + DAY_US, EPOCH_US + 2 * DAY_US + BACKUP_AGE_US_MAX},
        {700, 0, EPOCH_US + BACKUP_CLOCK_FAR_US + SECOND_US},
        /* far beyond what JSON readers and the log can hold */
        {RAFT_INDEX_MAX - 4 * BACKUP_INDEX_STEP, EPOCH_US + DAY_US, EPOCH_US + 7000 * DAY_US},
        /* further than the time, and how long ago is not known */
        {UINT64_C(1) << 50, EPOCH_US - DAY_US, EPOCH_US + 300 * DAY_US},
        {UINT64_C(1) << 50, 0, EPOCH_US + 300 * DAY_US},
        {UINT64_C(1) << 50, EPOCH_US + 300 * DAY_US, EPOCH_US + 300 * DAY_US - SECOND_US},
    };
    struct snap_meta m = backup_meta;
    struct refound_base base;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const raft_index least = rows[i].last + BACKUP_INDEX_STEP;
        bool by_time[2];
        const raft_index a = index_at(rows[i].last, rows[i].begun_us, rows[i].now_us, &by_time[0]);
        const raft_index b = index_at(rows[i].last, rows[i].begun_us, rows[i].now_us, &by_time[1]);

        if (by_time[0] || by_time[1] || a == b)
            fail_msg("row %zu: %llu, %llu", i, (unsigned long long)a, (unsigned long long)b);
        assert_in_range(a, least, least + BACKUP_INDEX_STEP);
        assert_in_range(b, least, least + BACKUP_INDEX_STEP);
    }
    m.id.index = RAFT_INDEX_MAX - BACKUP_INDEX_STEP;
    assert_int_equal(refound_index(&m, &(struct refound_time){0, 0}, &base), REFOUND_E_OTHER);
    assert_non_null(strstr(err_text(), "export"));
    m = backup_meta;
    m.id.term = RAFT_INDEX_MAX - RAFT_TERMS_LEFT_FEW + 1; /* TERM-3: nobody could be elected */
    assert_int_equal(refound_index(&m, &(struct refound_time){0, 0}, &base), REFOUND_E_OTHER);
    assert_non_null(strstr(err_text(), "hardly any terms"));
}

/* BACKUP-2: above all that was written before into any of them, by clocks that are right: the same
 * backup again, one of what was restored and wrote, and the first one once more. */
static void restore__a_later_one_begins_higher(void **state)
{
    const uint64_t begun_us = EPOCH_US + 300 * DAY_US;
    static const uint64_t waits_us[] = {SECOND_US,        60 * SECOND_US, 600 * SECOND_US,
                                        3600 * SECOND_US, DAY_US,         40 * DAY_US};
    const size_t n = sizeof(waits_us) / sizeof(waits_us[0]);

    (void)state;
    assert_true(restored_at(700, 0, begun_us) > restored_at(700, 0, begun_us - 2000));
    /* A label of a clock that was years behind. */
    assert_in_range(restored_at(700, EPOCH_US - 2000 * DAY_US, begun_us),
                    restored_at(700, 0, begun_us - 2000), restored_at(700, 0, begun_us + 2000));
    assert_in_range(restored_at(700, 1, begun_us), restored_at(700, 0, begun_us - 2000),
                    restored_at(700, 0, begun_us + 2000));
    for (size_t i = 0; i < n * n * n; i++) {
        const uint64_t t1_us = begun_us + waits_us[i % n];
        const uint64_t backup_us = t1_us + waits_us[i / n % n];
        const uint64_t t2_us = backup_us + waits_us[i / n / n];
        const raft_index first = restored_at(700, begun_us, t1_us);
        const raft_index then = first + BUSY * ((backup_us - t1_us) / SECOND_US);
        const raft_index first_now = first + BUSY * ((t2_us - t1_us) / SECOND_US);
        const raft_index second = restored_at(then, backup_us, t2_us);
        const raft_index third = restored_at(700, begun_us, t2_us + SECOND_US);

        assert_true(second > first_now);
        assert_true(third > second + BUSY);
        assert_true(restored_at(then, backup_us, t2_us + 2 * SECOND_US) > third + BUSY);
    }
}

/* A cluster that began when a clock was years ahead: above what it has written since, and each of
 * a backup above the one before. */
static void restore__keeps_the_order_of_one_that_is_ahead(void **state)
{
    const uint64_t t_us = EPOCH_US + 300 * DAY_US;
    const raft_index ahead = restored_at(700, t_us, t_us + 3650 * DAY_US);

    (void)state;
    for (uint64_t day = 1; day < 30; day++) {
        const uint64_t begun_us = t_us + day * DAY_US;
        const raft_index then = ahead + BUSY * 86400 * day;
        raft_index last = then;

        for (uint64_t s = 1; s < 1000000; s *= 10) {
            const raft_index next = restored_at(then, begun_us, begun_us + s * SECOND_US);

            assert_true(next > then + BUSY * s && next > last);
            last = next + BUSY * s;
        }
    }
}

/* Two at once, of which the first fails: the second has the directory to itself. */
static void restore__waits_for_no_lock_that_is_gone(void **state)
{
    struct identity_dir *other = NULL;
    const struct identity_conf identity = {
        .data_dir = data_dir, .node_name = conf.self->name, .way = IDENTITY_RESTORE};
    struct identity_dir *dir = NULL;

    (void)state;
    at_lock = LOCK_IS_LOST;
    assert_int_equal(identity_create(&identity, &dir), 0);
    assert_int_equal(at_lock, LOCK_IS_FREE);
    assert_int_equal(identity_create(&identity, &other), IDENTITY_E_LOCKED);
    identity_abandon(dir);
}

/* Who made the directory, and finds that another has locked it, leaves it alone: all of it. */
static void restore__takes_no_lock_from_its_holder(void **state)
{
    const struct identity_conf identity = {
        .data_dir = data_dir, .node_name = conf.self->name, .way = IDENTITY_RESTORE};
    struct identity_dir *dir = NULL;
    char path[320];

    (void)state;
    at_lock = LOCK_IS_TAKEN;
    lock_taker = &identity;
    assert_int_equal(identity_create(&identity, &dir), IDENTITY_E_LOCKED);
    assert_non_null(taken);
    assert_int_equal(identity_create(&identity, &dir), IDENTITY_E_LOCKED);
    identity_abandon(taken);
    assert_int_equal(rmdir(data_dir), 0);

    at_lock = LOCK_WAS_TAKEN;
    assert_int_equal(identity_create(&identity, &dir), IDENTITY_E_EXISTS);
    (void)snprintf(path, sizeof(path), "%s/LOCK", data_dir);
    assert_true(exists(path));
    temp_folder_empty(data_dir);
    assert_int_equal(rmdir(data_dir), 0);
}

static unsigned count_calls(void)
{
    unsigned *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned n;
    pid_t pid;

    assert_true(shared != MAP_FAILED);
    pid = fork();
    if (pid == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(1);
        n_calls = 0;
        if (node_restore(&conf, backup_path) != 0)
            _exit(1);
        *shared = n_calls;
        _exit(0);
    }
    assert_true(waitpid(pid, NULL, 0) == pid);
    n = *shared;
    (void)munmap(shared, sizeof(*shared));
    temp_folder_empty(data_dir);
    assert_true(n > 30);
    return n;
}

/* BACKUP-4: at each call, in whatever state that leaves the directory. */
static void restore__killed_anywhere_is_whole_or_begins_anew(void **state)
{
    const unsigned n = count_calls();
    unsigned n_whole = 0;
    struct found f;

    (void)state;
    for (unsigned i = 1; i <= n; i++) {
        int rc;

        kill_at = i;
        assert_int_equal(restore_here(backup_path), KILLED);
        kill_at = 0;
        rc = exists(data_dir) ? look(&f) : IDENTITY_E_NOT_INITIALISED;
        if (rc == 0)
            n_whole++;
        else if (rc != IDENTITY_E_NOT_INITIALISED)
            fail_msg("killed at call %u of %u: %d: %s", i, n, rc, err_text());
        if (rc != 0) {
            assert_int_equal(restore_here(backup_path), 0);
            assert_int_equal(look(&f), 0);
        }
        temp_folder_empty(data_dir);
    }
    assert_true(n_whole >= 1 && n_whole < 6);
}

/* Each `step`-th call of n. */
static void fail_each(unsigned n, unsigned step, int error)
{
    unsigned n_failed = 0;
    struct found f;

    for (unsigned i = 1; i <= n; i += step) {
        int code;

        fail_at = i;
        fail_with = error;
        code = restore_here(backup_path);
        fail_at = 0;
        if (code == 0) { /* room that is taken ahead need not be there */
            assert_int_equal(look(&f), 0);
            temp_folder_empty(data_dir);
            assert_int_equal(rmdir(data_dir), 0);
            continue;
        }
        n_failed++;
        assert_int_equal(code, EXIT_IO_ERROR);
        if (exists(data_dir))
            fail_msg("call %u of %u failed with %d, and left something", i, n, error);
    }
    assert_true(n_failed > n / step / 4);
}

/* BACKUP-4: a full disk, or one that fails, and what was there before is there. */
static void restore__that_fails_leaves_nothing(void **state)
{
    const unsigned n = count_calls();

    (void)state;
    assert_int_equal(rmdir(data_dir), 0);
    fail_each(n, 3, ENOSPC); /* for a moment */
    fail_each(n, 1, EIO);
    fail_room = true;
    fail_each(n, 3, ENOSPC); /* for good */
    fail_room = false;
}

/* Where nothing can be removed either, it is as after a crash. */
static void restore__on_a_disk_that_is_gone_begins_anew(void **state)
{
    const unsigned n = count_calls();
    struct found f;

    (void)state;
    fail_all = true;
    for (unsigned i = 1; i <= n; i += 5) {
        fail_at = i;
        fail_with = EIO;
        (void)restore_here(backup_path);
        fail_at = 0;
        if (!exists(data_dir) || look(&f) != 0)
            assert_int_equal(restore_here(backup_path), 0);
        assert_int_equal(look(&f), 0);
        temp_folder_empty(data_dir);
    }
    fail_all = false;
}

/* Names change in memory, and nothing is known to be durable any more. */
static void restore__that_cannot_sync_begins_anew(void **state)
{
    const unsigned n = count_calls();
    unsigned n_whole = 0;
    struct found f;

    (void)state;
    fail_syncs = true;
    for (unsigned i = 1; i <= n; i++) {
        fail_at = i;
        fail_with = EIO;
        (void)restore_here(backup_path);
        fail_at = 0;
        if (!exists(data_dir) || look(&f) != 0)
            assert_int_equal(restore_here(backup_path), 0);
        else
            n_whole++;
        assert_int_equal(look(&f), 0);
        temp_folder_empty(data_dir);
    }
    fail_syncs = false;
    assert_true(n_whole < 6);
}

/* What one way began another one does not go on with. */
static void restore__and_init_leave_each_other_alone(void **state)
{
    const struct identity_conf join = {
        .data_dir = data_dir, .node_name = "n1", .way = IDENTITY_JOIN};
    struct identity_dir *dir = NULL;

    (void)state;
    kill_at = 20;
    assert_int_equal(restore_here(backup_path), KILLED);
    kill_at = 0;
    assert_int_equal(identity_create(&join, &dir), IDENTITY_E_FOREIGN);
    assert_non_null(strstr(err_text(), "--restore FILE"));
    assert_int_equal(identity_open(&join, &dir), IDENTITY_E_NOT_INITIALISED);
    assert_non_null(strstr(err_text(), "--restore FILE"));
    temp_folder_empty(data_dir);
    assert_int_equal(identity_create(&join, &dir), 0);
    identity_close(dir);
    assert_int_equal(restore_here(backup_path), EXIT_CONF_ERROR);
    check_said("--join");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(restore__makes_another_cluster_each_time),
        TEST(restore__only_into_an_empty_directory),
        TEST(restore__of_what_is_wrong_leaves_nothing),
        TEST(restore__compares_what_is_said),
        TEST(restore__goes_on_far_above),
        TEST(restore__a_later_one_begins_higher),
        TEST(restore__waits_for_no_lock_that_is_gone),
        TEST(restore__takes_no_lock_from_its_holder),
        TEST(restore__keeps_the_order_of_one_that_is_ahead),
        TEST(restore__killed_anywhere_is_whole_or_begins_anew),
        TEST(restore__that_fails_leaves_nothing),
        TEST(restore__on_a_disk_that_is_gone_begins_anew),
        TEST(restore__that_cannot_sync_begins_anew),
        TEST(restore__and_init_leave_each_other_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
