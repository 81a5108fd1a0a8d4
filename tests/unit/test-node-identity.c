/* node: which directory may be this node's, and which peers are those it knew (IDENTITY-1,
 * IDENTITY-2, IDENTITY-4). */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/mark.h"
#include "node/identity.h"
#include "node/peer_lines.h"

#define COMMAND "ridd --config x.conf --id n1"

/* ---- calls that fail ---- */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __real_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkdirat(int fd, const char *name, mode_t mode);

static unsigned fail_at; /* the n-th call fails, and all after it; 0: none */
static int fail_with = EIO;
static bool did_fail;

static bool must_fail(void)
{
    if (fail_at == 0)
        return false;
    if (fail_at > 1) {
        fail_at--;
        return false;
    }
    did_fail = true;
    errno = fail_with;
    return true;
}

int __wrap_fsync(int fd)
{
    return must_fail() ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return must_fail() ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_unlinkat(int fd, const char *name, int flags)
{
    return must_fail() ? -1 : __real_unlinkat(fd, name, flags);
}

int __wrap_mkdirat(int fd, const char *name, mode_t mode)
{
    return must_fail() ? -1 : __real_mkdirat(fd, name, mode);
}

/* ---- one data directory per test ---- */

struct fixture {
    char root[4096];
    char data[4200];
    unsigned char cluster_id[16];
    struct identity_conf conf;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void wipe(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char cwd[3000];

    assert_non_null(f);
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    (void)snprintf(f->root, sizeof(f->root), "%s/test-identity.XXXXXX", cwd);
    assert_non_null(mkdtemp(f->root));
    (void)snprintf(f->data, sizeof(f->data), "%s/data", f->root);
    memset(f->cluster_id, 0xc1, sizeof(f->cluster_id));
    f->conf = (struct identity_conf){
        .data_dir = f->data,
        .cluster_id = f->cluster_id,
        .node_name = "n1",
        .command = COMMAND,
    };
    fail_at = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fail_at = 0;
    wipe(f->root);
    free(f);
    return 0;
}

static const char *path_of(const struct fixture *f, const char *name)
{
    static char path[5000];

    (void)snprintf(path, sizeof(path), "%s/%s", f->data, name);
    return path;
}

static bool there(const struct fixture *f, const char *name)
{
    struct stat st;

    return lstat(path_of(f, name), &st) == 0;
}

static void spill(const struct fixture *f, const char *name, const char *data, size_t len)
{
    int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

static off_t size_of(const struct fixture *f, const char *name)
{
    struct stat st;

    assert_int_equal(lstat(path_of(f, name), &st), 0);
    return st.st_size;
}

static void flip(const struct fixture *f, const char *name, off_t at)
{
    int fd = open(path_of(f, name), O_RDWR);
    unsigned char b;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x40;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    (void)close(fd);
}

/* An initialised node. */
static uint64_t make_node(struct fixture *f)
{
    struct identity_dir *dir = NULL;
    uint64_t incarnation;

    wipe(f->data);
    if (identity_create(&f->conf, &dir) != 0)
        fail_msg("%s (%s)", err_text(), err_path());
    incarnation = identity_get(dir)->incarnation;
    spill(f, "wal/0000000000000001.wal", "log", 3);
    assert_int_equal(identity_commit(dir), 0);
    identity_close(dir);
    return incarnation;
}

static struct identity_dir *open_node(struct fixture *f)
{
    struct identity_dir *dir = NULL;

    if (identity_open(&f->conf, &dir) != 0)
        fail_msg("%s (%s)", err_text(), err_path());
    return dir;
}

/* Opening gives `error`, and a sentence that names the path and holds `words`. */
static void refused(struct fixture *f, int error, const char *words)
{
    struct identity_dir *dir = NULL;
    int r = identity_open(&f->conf, &dir);

    if (r != error)
        fail_msg("%d, not %d: %s", r, error, err_text());
    assert_null(dir);
    if (strstr(err_text(), words) == NULL || strstr(err_text(), f->root) == NULL)
        fail_msg("'%s' does not say '%s' or where", err_text(), words);
}

static void create_refused(struct fixture *f, int error, const char *words)
{
    struct identity_dir *dir = NULL;
    int r = identity_create(&f->conf, &dir);

    if (r != error)
        fail_msg("%d, not %d: %s", r, error, err_text());
    assert_null(dir);
    if (strstr(err_text(), words) == NULL || strstr(err_text(), f->root) == NULL)
        fail_msg("'%s' does not say '%s' or where", err_text(), words);
}

/* ---- making and finding ---- */

static void identity__is_made_once_and_found_again(void **state)
{
    struct fixture *f = *state;
    const char *files[] = {"IDENT", "PEERS", "LOCK"};
    const char *folders[] = {"", "wal", "db"};
    const struct identity *id;
    struct identity_dir *dir;
    uint64_t incarnation;
    struct stat st;
    mode_t mask;
    int fd;

    mask = umask(0); /* ours are private whatever the umask */
    incarnation = make_node(f);
    (void)umask(mask);
    assert_true(incarnation != 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stat(path_of(f, files[i]), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(stat(path_of(f, folders[i]), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
    }
    assert_false(there(f, "INIT"));
    dir = open_node(f);
    id = identity_get(dir);
    assert_true(id->incarnation == incarnation);
    assert_memory_equal(id->cluster_id, f->cluster_id, 16);
    assert_string_equal(id->node_name, "n1");
    assert_true(id->node_id == raft_founder_id("n1"));
    assert_true(id->created_s > 1600000000u);
    assert_string_equal(identity_path(dir), f->data);
    assert_true(identity_fd(dir) >= 0);
    assert_int_equal(fcntl(identity_fd(dir), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    fd = identity_open_folder(dir, "wal");
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(identity_open_folder(dir, "none"), -ENOENT);
    identity_close(dir);
    identity_close(NULL);

    /* --init once more changes nothing. */
    create_refused(f, IDENTITY_E_EXISTS, "already");
    assert_int_equal(identity_exit_code(IDENTITY_E_EXISTS), 0);
    assert_true(there(f, "wal/0000000000000001.wal"));
    dir = open_node(f);
    assert_true(identity_get(dir)->incarnation == incarnation);
    identity_close(dir);
    /* A directory made anew is another one. */
    assert_true(make_node(f) != incarnation);
}

static void identity__another_node_or_cluster_is_foreign(void **state)
{
    struct fixture *f = *state;
    unsigned char other[16] = {1, 2, 3};
    struct identity_dir *dir;

    make_node(f);
    f->conf.node_name = "n2";
    refused(f, IDENTITY_E_FOREIGN, "belongs to node 'n1', not to 'n2'");
    create_refused(f, IDENTITY_E_FOREIGN, "belongs to node 'n1'");
    assert_int_equal(identity_exit_code(IDENTITY_E_FOREIGN), 78);
    f->conf.node_name = "n1";
    f->conf.cluster_id = other;
    refused(f, IDENTITY_E_FOREIGN, "cluster c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1");
    refused(f, IDENTITY_E_FOREIGN, COMMAND " --check-config");
    create_refused(f, IDENTITY_E_FOREIGN, "01020300000000000000000000000000");
    f->conf.cluster_id = NULL; /* the caller compares */
    dir = open_node(f);
    assert_memory_equal(identity_get(dir)->cluster_id, f->cluster_id, 16);
    identity_close(dir);
}

static void identity__an_empty_directory_needs_init(void **state)
{
    struct fixture *f = *state;

    refused(f, IDENTITY_E_NOT_INITIALISED, "run '" COMMAND " --init' once");
    assert_int_equal(access(f->data, F_OK), -1);
    assert_int_equal(mkdir(f->data, 0700), 0);
    refused(f, IDENTITY_E_NOT_INITIALISED, "run '" COMMAND " --init' once");
    assert_false(there(f, "LOCK")); /* nothing was touched */
    assert_int_equal(mkdir(path_of(f, "lost+found"), 0755), 0);
    assert_int_equal(mkdir(path_of(f, "wal"), 0700), 0);
    assert_int_equal(mkdir(path_of(f, "db"), 0700), 0);
    refused(f, IDENTITY_E_NOT_INITIALISED, "--init");
    assert_int_equal(identity_exit_code(IDENTITY_E_NOT_INITIALISED), 78);
    f->conf.command = NULL;
    refused(f, IDENTITY_E_NOT_INITIALISED, "run 'ridd --init'");
    f->conf.command = COMMAND;
    /* With the file system's own folder in it. */
    wipe(f->data);
    assert_int_equal(mkdir(f->data, 0700), 0);
    assert_int_equal(mkdir(path_of(f, "lost+found"), 0755), 0);
    {
        struct identity_dir *dir = NULL;

        assert_int_equal(identity_create(&f->conf, &dir), 0);
        assert_int_equal(identity_commit(dir), 0);
        identity_close(dir);
        identity_close(open_node(f));
    }
}

static void identity__init_takes_no_directory_with_other_things(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir(f->data, 0700), 0);
    spill(f, "thesis.tex", "x", 1);
    create_refused(f, IDENTITY_E_FOREIGN, "thesis.tex");
    assert_false(there(f, "LOCK"));
    assert_false(there(f, "INIT"));
    refused(f, IDENTITY_E_NOT_INITIALISED, "was not initialised");
}

/* Whoever is killed during --init has no node, and may try again. */
static void identity__an_unfinished_init_begins_anew(void **state)
{
    struct fixture *f = *state;
    struct identity_dir *dir = NULL;
    uint64_t first;

    assert_int_equal(identity_create(&f->conf, &dir), 0);
    first = identity_get(dir)->incarnation;
    spill(f, "wal/0000000000000001.wal", "of the first", 12);
    identity_close(dir);
    refused(f, IDENTITY_E_NOT_INITIALISED, "did not finish");
    dir = NULL;
    assert_int_equal(identity_create(&f->conf, &dir), 0);
    assert_true(identity_get(dir)->incarnation != first);
    assert_false(there(f, "wal/0000000000000001.wal"));
    assert_int_equal(identity_commit(dir), 0);
    identity_close(dir);
    identity_close(open_node(f));

    /* INIT beside IDENT: only the last step is missing. */
    dir = open_node(f);
    assert_int_equal(mark_write(identity_fd(dir), "INIT", "RIDDINI1", NULL, 0), 0);
    identity_close(dir);
    identity_close(open_node(f));
    assert_false(there(f, "INIT"));
}

static void identity__a_failure_at_any_step_leaves_a_clear_case(void **state)
{
    struct fixture *f = *state;

    for (unsigned at = 1;; at++) {
        struct identity_dir *dir = NULL;
        int r;

        wipe(f->data);
        did_fail = false;
        fail_at = at;
        r = identity_create(&f->conf, &dir);
        if (r == 0)
            r = identity_commit(dir);
        identity_close(dir);
        fail_at = 0;
        if (!did_fail) {
            assert_int_equal(r, 0);
            assert_true(at > 15); /* all those calls were seen */
            break;
        }
        assert_int_equal(r, -EIO);
        dir = NULL;
        r = identity_open(&f->conf, &dir);
        identity_close(dir);
        assert_true(r == 0 || r == IDENTITY_E_NOT_INITIALISED);
        dir = NULL;
        if (r == 0) {
            create_refused(f, IDENTITY_E_EXISTS, "already");
        } else {
            if (identity_create(&f->conf, &dir) != 0)
                fail_msg("step %u: %s", at, err_text());
            assert_int_equal(identity_commit(dir), 0);
            identity_close(dir);
        }
        identity_close(open_node(f));
        assert_false(there(f, "INIT"));
    }
}

/* ---- nodes that are added ---- */

static const unsigned char random_id[16] = {7, 7, 7, 9};
static const unsigned char founding_id[16] = {0xf0, 0x0d};

static int add(struct fixture *f, enum identity_way way)
{
    const struct identity_conf conf = {
        .data_dir = f->data, .node_name = "n1", .command = COMMAND, .way = way};
    struct identity_dir *dir = NULL;
    int r = identity_create(&conf, &dir);

    if (r == 0) {
        identity_join(dir, founding_id);
        spill(f, "wal/0000000000000001.wal", "log", 3);
        r = identity_set_cluster(dir, random_id, "demo");
    }
    if (r == 0)
        r = identity_commit(dir);
    identity_close(dir);
    return r;
}

static void put_ident(const struct fixture *f, const unsigned char *bytes, size_t len)
{
    const int fd = open(f->data, O_RDONLY | O_DIRECTORY);

    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN2", bytes, len), 0);
    (void)close(fd);
}

/* MEMBER-5, MEMBER-21: it is known by its name and its incarnation, and an earlier program says
 * that it cannot go on with it. */
static void identity__one_that_was_added_has_an_id_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct identity_dir *dir;
    const struct identity *id;
    char magic[8];
    size_t len;
    unsigned char bytes[256];
    uint64_t first;
    int fd;

    assert_int_equal(add(f, IDENTITY_JOIN), 0);
    f->conf.cluster_id = founding_id;
    dir = open_node(f);
    id = identity_get(dir);
    first = id->incarnation;
    assert_true(identity_was_added(dir));
    assert_true(id->node_id == raft_member_id("n1", first));
    assert_true(id->node_id != raft_founder_id("n1"));
    assert_memory_equal(id->cluster_id, founding_id, 16);
    assert_true(identity_cluster(dir)->known);
    assert_memory_equal(identity_cluster(dir)->id, random_id, 16);
    assert_string_equal(identity_cluster(dir)->name, "demo");
    identity_close(dir);
    assert_false(there(f, "INIT"));
    fd = open(path_of(f, "IDENT"), O_RDONLY);
    assert_int_equal(read(fd, magic, 8), 8);
    (void)close(fd);
    assert_memory_equal(magic, "RIDDIDN2", 8);

    /* The id follows from the rest: the other half of another node's file is seen. */
    dir = open_node(f);
    assert_int_equal(mark_read(identity_fd(dir), "IDENT", "RIDDIDN2", bytes, sizeof(bytes), &len),
                     0);
    put_u64(bytes + 24, first + 1);
    assert_int_equal(mark_write(identity_fd(dir), "IDENT", "RIDDIDN2", bytes, len), 0);
    identity_close(dir);
    refused(f, IDENTITY_E_DAMAGED, "'IDENT' makes no sense");

    /* In which way it was made stands behind it; some do not say it (MEMBER-22). */
    put_u64(bytes + 24, first);
    for (unsigned way = 0; way < 4; way++) {
        const bool is_one = way == IDENTITY_JOIN || way == IDENTITY_REJOIN;

        bytes[len - 1] = (unsigned char)way;
        put_ident(f, bytes, len);
        if (!is_one) {
            refused(f, IDENTITY_E_DAMAGED, "'IDENT' makes no sense");
            continue;
        }
        dir = open_node(f);
        assert_int_equal(identity_get(dir)->way, way);
        identity_close(dir);
    }
    put_ident(f, bytes, len - 1);
    dir = open_node(f);
    assert_int_equal(identity_get(dir)->way, IDENTITY_JOIN);
    identity_close(dir);

    /* Made again it is another. */
    wipe(f->data);
    assert_int_equal(add(f, IDENTITY_REJOIN), 0);
    dir = open_node(f);
    assert_true(identity_get(dir)->node_id != raft_member_id("n1", first));
    assert_int_equal(identity_get(dir)->way, IDENTITY_REJOIN);
    identity_close(dir);

    /* What it is called is no part of IDENT, and must be there. */
    assert_int_equal(unlink(path_of(f, "CLUSTER")), 0);
    refused(f, IDENTITY_E_DAMAGED, "'CLUSTER' is missing");
}

/* A founder says nothing of its cluster until it is told, and IDENT stays what it was. */
static void identity__a_founder_may_be_told_of_its_cluster(void **state)
{
    struct fixture *f = *state;
    struct identity_dir *dir;

    make_node(f);
    dir = open_node(f);
    assert_false(identity_was_added(dir));
    assert_false(identity_cluster(dir)->known);
    fail_at = 1;
    assert_int_equal(identity_set_cluster(dir, random_id, "demo"), -EIO);
    fail_at = 0;
    assert_false(identity_cluster(dir)->known);
    assert_int_equal(identity_set_cluster(dir, random_id, "demo"), 0);
    identity_close(dir);
    dir = open_node(f);
    assert_true(identity_cluster(dir)->known);
    assert_memory_equal(identity_cluster(dir)->id, random_id, 16);
    assert_false(identity_was_added(dir));
    identity_close(dir);
    flip(f, "CLUSTER", 9);
    refused(f, IDENTITY_E_DAMAGED, "'CLUSTER' is damaged");
    assert_int_equal(unlink(path_of(f, "IDENT")), 0);
    assert_int_equal(unlink(path_of(f, "PEERS")), 0);
    assert_int_equal(unlink(path_of(f, "wal/0000000000000001.wal")), 0);
    refused(f, IDENTITY_E_LOST, "'CLUSTER' is there");
}

/* MEMBER-21: a crash at any step leaves nothing, what the same command begins anew, or a node. */
static void identity__an_addition_may_fail_at_any_step(void **state)
{
    struct fixture *f = *state;
    unsigned n_nodes = 0;

    f->conf.cluster_id = founding_id;
    for (unsigned at = 1;; at++) {
        struct identity_dir *dir = NULL;
        int r;

        wipe(f->data);
        did_fail = false;
        fail_at = at;
        r = add(f, IDENTITY_JOIN);
        fail_at = 0;
        if (!did_fail) {
            assert_int_equal(r, 0);
            assert_true(at > 18);
            break;
        }
        assert_int_equal(r, -EIO);
        r = identity_open(&f->conf, &dir);
        identity_close(dir);
        if (r == 0) {
            n_nodes++;
            assert_int_equal(add(f, IDENTITY_JOIN), IDENTITY_E_EXISTS);
        } else {
            assert_int_equal(r, IDENTITY_E_NOT_INITIALISED);
            assert_int_equal(add(f, IDENTITY_JOIN), 0);
        }
        identity_close(open_node(f));
        assert_false(there(f, "INIT"));
    }
    assert_true(n_nodes >= 1);
}

/* Who began in one way did not mean another. */
static void identity__what_one_way_left_is_not_anothers(void **state)
{
    static const char *const options[] = {"--init", "--join", "--rejoin"};
    struct fixture *f = *state;

    for (unsigned i = IDENTITY_FOUND; i <= IDENTITY_REJOIN; i++) {
        struct identity_conf conf = f->conf;
        struct identity_dir *dir = NULL;
        char words[100];

        wipe(f->data);
        conf.way = (enum identity_way)i;
        if (i != IDENTITY_FOUND)
            conf.cluster_id = NULL;
        assert_int_equal(identity_create(&conf, &dir), 0);
        identity_close(dir);
        (void)snprintf(words, sizeof(words), "run '" COMMAND " %s'", options[i]);
        refused(f, IDENTITY_E_NOT_INITIALISED, words);
        for (unsigned k = IDENTITY_FOUND; k <= IDENTITY_REJOIN; k++) {
            struct identity_dir *again = NULL;

            conf.way = (enum identity_way)k;
            conf.cluster_id = k == IDENTITY_FOUND ? f->cluster_id : NULL;
            assert_int_equal(identity_create(&conf, &again), i == k ? 0 : IDENTITY_E_FOREIGN);
            identity_close(again);
            if (i != k)
                assert_non_null(strstr(err_text(), words));
        }
    }
    assert_int_equal(mkdir(path_of(f, "x"), 0700), 0);
    assert_int_equal(add(f, IDENTITY_REJOIN), IDENTITY_E_FOREIGN);
}

/* MEMBER-5: the id of one that was added is that of one incarnation, whatever is recorded of its
 * name; and it takes no room in PEERS. */
static void identity__an_added_peer_proves_itself(void **state)
{
    struct fixture *f = *state;
    struct identity_dir *dir;
    const raft_node_id id = raft_member_id("n4", 44);

    make_node(f);
    dir = open_node(f);
    assert_int_equal(identity_peer_check_and_record(dir, raft_founder_id("n4"), "n4", 4),
                     IDENTITY_PEER_RECORDED);
    assert_int_equal(identity_peer_check_and_record(dir, id, "n4", 44), IDENTITY_PEER_KNOWN);
    assert_int_equal(identity_peer_check_and_record(dir, id, "n4", 45), IDENTITY_PEER_REFUSED);
    assert_int_equal(identity_peer_check_and_record(dir, id, "n5", 44), IDENTITY_PEER_REFUSED);
    assert_int_equal(identity_peer_check_and_record(dir, raft_member_id("n4", 0), "n4", 0),
                     IDENTITY_PEER_REFUSED);
    assert_int_equal(identity_peer_incarnation(dir, id), 0);
    assert_int_equal(identity_peer_check_and_record(dir, raft_founder_id("n4"), "n4", 44),
                     IDENTITY_PEER_REFUSED);
    identity_close(dir);
    identity_close(open_node(f));
}

/* A directory with log or state and without IDENT is not a new one (DISK-1). */
static void identity__a_lost_ident_is_not_a_new_node(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(identity_exit_code(IDENTITY_E_LOST), 65);
    make_node(f);
    assert_int_equal(unlink(path_of(f, "IDENT")), 0);
    refused(f, IDENTITY_E_LOST, "'wal' is not empty");
    create_refused(f, IDENTITY_E_LOST, "LOST DISK");
    assert_true(there(f, "wal/0000000000000001.wal"));
    assert_int_equal(unlink(path_of(f, "wal/0000000000000001.wal")), 0);
    refused(f, IDENTITY_E_LOST, "'PEERS' is there");
    create_refused(f, IDENTITY_E_LOST, "'PEERS' is there");
    assert_int_equal(unlink(path_of(f, "PEERS")), 0);
    spill(f, "db/data.mdb", "x", 1);
    refused(f, IDENTITY_E_LOST, "'db' is not empty");
    create_refused(f, IDENTITY_E_LOST, "'db' is not empty");
    /* An INIT that is not whole says nothing, and no INIT speaks for a state. */
    spill(f, "INIT", "RIDDINI1", 8);
    create_refused(f, IDENTITY_E_LOST, "'db' is not empty");
    {
        int fd = open(f->data, O_RDONLY | O_DIRECTORY);

        assert_int_equal(mark_write(fd, "INIT", "RIDDINI1", NULL, 0), 0);
        (void)close(fd);
    }
    create_refused(f, IDENTITY_E_LOST, "'db' is not empty");
    assert_int_equal(unlink(path_of(f, "INIT")), 0);
    assert_int_equal(unlink(path_of(f, "db/data.mdb")), 0);
    assert_int_equal(mkdir(path_of(f, "snap"), 0700), 0);
    spill(f, "snap/1.snap", "x", 1);
    refused(f, IDENTITY_E_LOST, "'snap' is not empty");
}

static void identity__damage_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *names[] = {"IDENT", "PEERS"};
    struct identity_dir *dir;

    assert_int_equal(identity_exit_code(IDENTITY_E_DAMAGED), 65);
    make_node(f);
    dir = open_node(f);
    assert_int_equal(identity_peer_check_and_record(dir, raft_founder_id("n2"), "n2", 22),
                     IDENTITY_PEER_RECORDED);
    identity_close(dir);
    for (size_t i = 0; i < 2; i++) {
        const off_t size = size_of(f, names[i]);

        for (off_t at = 0; at < size; at++) {
            flip(f, names[i], at);
            refused(f, IDENTITY_E_DAMAGED, names[i]);
            flip(f, names[i], at);
        }
        identity_close(open_node(f));
    }
    assert_int_equal(truncate(path_of(f, "IDENT"), size_of(f, "IDENT") - 1), 0);
    refused(f, IDENTITY_E_DAMAGED, "LOST DISK");
    create_refused(f, IDENTITY_E_DAMAGED, "IDENT");
    make_node(f);
    /* Without it any incarnation would be welcome. */
    assert_int_equal(unlink(path_of(f, "PEERS")), 0);
    refused(f, IDENTITY_E_DAMAGED, "'PEERS' is missing");
}

/* Bytes with a good checksum that no ridd wrote. */
static void identity__nonsense_with_a_checksum_is_refused(void **state)
{
    struct fixture *f = *state;
    unsigned char ident[104] = {0};
    unsigned char peers[4 + 2 * 19];
    uint64_t id = raft_founder_id("n1");
    int fd;

    make_node(f);
    fd = open(f->data, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    memset(ident, 0xc1, 16);
    put_u64(ident + 16, id);
    put_u64(ident + 24, 7);
    ident[40] = 2;
    memcpy(ident + 41, "n1", 2);
    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN1", ident, sizeof(ident)), 0);
    identity_close(open_node(f)); /* that is how it looks */
    ident[40] = 64;
    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN1", ident, sizeof(ident)), 0);
    refused(f, IDENTITY_E_DAMAGED, "'IDENT' makes no sense");
    ident[40] = 0;
    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN1", ident, sizeof(ident)), 0);
    refused(f, IDENTITY_E_DAMAGED, "'IDENT' makes no sense");
    ident[40] = 2;
    ident[42] = '\n';
    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN1", ident, sizeof(ident)), 0);
    refused(f, IDENTITY_E_DAMAGED, "'IDENT' makes no sense");
    ident[42] = '2'; /* the number is n1's */
    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN1", ident, sizeof(ident)), 0);
    refused(f, IDENTITY_E_DAMAGED, "'IDENT' makes no sense");
    ident[42] = '1';
    put_u64(ident + 24, 0);
    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN1", ident, sizeof(ident)), 0);
    refused(f, IDENTITY_E_DAMAGED, "'IDENT' makes no sense");
    put_u64(ident + 24, 7);
    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN1", ident, sizeof(ident) - 1), 0);
    refused(f, IDENTITY_E_DAMAGED, "'IDENT' makes no sense");
    assert_int_equal(mark_write(fd, "IDENT", "RIDDIDN1", ident, sizeof(ident)), 0);

    put_u32(peers, 2);
    for (size_t i = 0; i < 2; i++) {
        put_u64(peers + 4 + i * 19, raft_founder_id("n2"));
        put_u64(peers + 12 + i * 19, 5);
        peers[20 + i * 19] = 2;
        memcpy(peers + 21 + i * 19, "n2", 2);
    }
    assert_int_equal(mark_write(fd, "PEERS", "RIDDPEE1", peers, sizeof(peers)), 0);
    refused(f, IDENTITY_E_DAMAGED, "'PEERS' makes no sense"); /* twice the same */
    for (size_t len = 0; len < 4 + 19 + 4; len++) {
        put_u32(peers, 1);
        assert_int_equal(mark_write(fd, "PEERS", "RIDDPEE1", peers, len), 0);
        if (len == 4 + 19)
            identity_close(open_node(f));
        else
            refused(f, IDENTITY_E_DAMAGED, "'PEERS' makes no sense");
    }
    put_u32(peers, UINT32_MAX);
    assert_int_equal(mark_write(fd, "PEERS", "RIDDPEE1", peers, sizeof(peers)), 0);
    refused(f, IDENTITY_E_DAMAGED, "'PEERS' makes no sense");
    (void)close(fd);
}

/* A later version is no damage: it can go on with what it left. Nothing is changed, whatever the
 * length, and --init throws nothing away (DISK-24). */
static void identity__files_of_a_later_version_are_refused(void **state)
{
    static const char *const files[][3] = {{"IDENT", "RIDDIDN1", "RIDDIDN3"},
                                           {"PEERS", "RIDDPEE1", "RIDDPEE2"},
                                           {"INIT", "RIDDINI1", "RIDDINI3"}};
    struct fixture *f = *state;
    unsigned char payload[200] = {1};
    size_t len = 0;
    int fd;

    assert_int_equal(identity_exit_code(IDENTITY_E_NEWER), EXIT_CONF_ERROR);
    make_node(f);
    fd = open(f->data, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        unsigned char kept[4096];
        size_t kept_len = 0;
        const bool had = strcmp(files[i][0], "INIT") != 0;

        if (had)
            assert_int_equal(mark_read(fd, files[i][0], files[i][1], kept, sizeof(kept), &kept_len),
                             0);
        assert_int_equal(mark_write(fd, files[i][0], files[i][2], payload, 60 * i), 0);
        refused(f, IDENTITY_E_NEWER, files[i][0]);
        refused(f, IDENTITY_E_NEWER, "start that version");
        if (i != 1) /* --init does not read PEERS of a node that is there */
            create_refused(f, IDENTITY_E_NEWER, "start that version");
        assert_int_equal(mark_read(fd, files[i][0], files[i][2], payload, sizeof(payload), &len),
                         0);
        assert_int_equal(len, 60 * i);
        if (had)
            assert_int_equal(mark_write(fd, files[i][0], files[i][1], kept, kept_len), 0);
    }
    /* An initialisation that a later version did not finish. */
    assert_int_equal(mark_remove(fd, "IDENT"), 0);
    create_refused(f, IDENTITY_E_NEWER, "'INIT'");
    refused(f, IDENTITY_E_NEWER, "'INIT'");
    (void)close(fd);
}

/* ---- one process at a time ---- */

static void identity__a_second_process_is_told_the_pid(void **state)
{
    struct fixture *f = *state;
    struct identity_dir *dir;
    char words[64];
    int fds[2];
    int status;
    pid_t pid;
    char c;

    make_node(f);
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct identity_dir *mine = NULL;

        if (identity_open(&f->conf, &mine) != 0 || write(fds[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(fds[0], &c, 1), 1);
    (void)snprintf(words, sizeof(words), "in use by process %ld:", (long)pid);
    refused(f, IDENTITY_E_LOCKED, words);
    create_refused(f, IDENTITY_E_LOCKED, words);
    assert_int_equal(identity_exit_code(IDENTITY_E_LOCKED), 74);
    /* What LOCK says is only told on when it is a number. */
    spill(f, "LOCK", "\x1b[31m\n", 6);
    refused(f, IDENTITY_E_LOCKED, "in use by another process");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(fds[0]);
    (void)close(fds[1]);
    /* However it ended, the lock went with it. */
    dir = open_node(f);
    (void)snprintf(words, sizeof(words), "in use by process %ld:", (long)getpid());
    refused(f, IDENTITY_E_LOCKED, words);
    identity_close(dir);
    identity_close(open_node(f));
    assert_int_equal(unlink(path_of(f, "LOCK")), 0);
    identity_close(open_node(f));
}

/* ---- owner and mode are nobody else's (IDENTITY-4) ---- */

static void identity__files_open_to_others_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *names[] = {"",    "IDENT", "PEERS", "LOCK", "wal", "db", "wal/0000000000000001.wal",
                           "db/x"};
    const mode_t bits[] = {0040, 0020, 0010, 0004, 0002, 0001};

    make_node(f);
    spill(f, "db/x", "x", 1);
    assert_int_equal(identity_exit_code(IDENTITY_E_ACCESS), 78);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct stat st;

        assert_int_equal(stat(path_of(f, names[i]), &st), 0);
        for (size_t k = 0; k < sizeof(bits) / sizeof(bits[0]); k++) {
            assert_int_equal(chmod(path_of(f, names[i]), (st.st_mode & 0700) | bits[k]), 0);
            refused(f, IDENTITY_E_ACCESS, S_ISDIR(st.st_mode) ? "chmod 700" : "chmod 600");
            refused(f, IDENTITY_E_ACCESS, names[i]);
            create_refused(f, IDENTITY_E_ACCESS, "chmod");
        }
        assert_int_equal(chmod(path_of(f, names[i]), st.st_mode & 0700), 0);
        identity_close(open_node(f));
        if (geteuid() != 0)
            continue;
        assert_int_equal(chown(path_of(f, names[i]), 12345, (gid_t)-1), 0);
        refused(f, IDENTITY_E_ACCESS, "belongs to user 12345");
        refused(f, IDENTITY_E_ACCESS, "start it as that user"); /* root takes nothing away */
        assert_null(strstr(err_text(), "chown"));
        assert_int_equal(chown(path_of(f, names[i]), 0, (gid_t)-1), 0);
        identity_close(open_node(f));
    }
}

static void identity__nothing_inside_is_a_link(void **state)
{
    struct fixture *f = *state;
    const char *names[] = {"IDENT", "PEERS", "LOCK", "wal", "db"};
    char away[5000];
    char link[5000];
    char wanted[5200];

    make_node(f);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(away, sizeof(away), "%s/away", f->root);
        assert_int_equal(rename(path_of(f, names[i]), away), 0);
        assert_int_equal(symlink("../away", path_of(f, names[i])), 0);
        {
            struct identity_dir *dir = NULL;

            assert_true(identity_open(&f->conf, &dir) != 0);
            assert_null(dir);
        }
        assert_int_equal(unlink(path_of(f, names[i])), 0);
        assert_int_equal(rename(away, path_of(f, names[i])), 0);
        identity_close(open_node(f));
    }
    assert_int_equal(symlink("/etc/passwd", path_of(f, "db/data.mdb")), 0);
    refused(f, IDENTITY_E_ACCESS, "db/data.mdb");
    assert_int_equal(unlink(path_of(f, "db/data.mdb")), 0);
    /* The operator's own path may be one. */
    (void)snprintf(link, sizeof(link), "%s/link", f->root);
    assert_int_equal(symlink("data", link), 0);
    f->conf.data_dir = link;
    {
        struct identity_dir *dir = open_node(f);

        assert_string_equal(identity_path(dir), f->data);
        identity_close(dir);
    }
    assert_int_equal(unlink(link), 0);
    /* What is no folder. */
    spill(f, "../link", "x", 1);
    refused(f, IDENTITY_E_ACCESS, "must be a folder");
    create_refused(f, IDENTITY_E_ACCESS, "must be a folder");
    (void)snprintf(link, sizeof(link), "%s/none/data", f->root);
    refused(f, IDENTITY_E_NOT_INITIALISED, "does not exist");
    /* For whom it is made: never for root, as which nobody should run it. */
    if (geteuid() == 0)
        (void)snprintf(wanted, sizeof(wanted),
                       "No such file or directory: run 'install -d -m 700 -o ridd %s' (ridd: the "
                       "user that the node will run as)",
                       link);
    else
        (void)snprintf(wanted, sizeof(wanted),
                       "No such file or directory: run 'install -d -m 700 -o %u %s'",
                       (unsigned)geteuid(), link);
    create_refused(f, IDENTITY_E_ACCESS, wanted);
    spill(f, "../file", "x", 1);
    (void)snprintf(link, sizeof(link), "%s/file/data", f->root);
    create_refused(f, IDENTITY_E_ACCESS, "a part of its path is no folder: set another data_dir");
}

/* ---- the first incarnation of a peer is remembered (IDENTITY-2) ---- */

static int meet(struct identity_dir *dir, const char *name, uint64_t incarnation)
{
    return identity_peer_check_and_record(dir, raft_founder_id(name), name, incarnation);
}

static void identity__a_peer_keeps_its_first_incarnation(void **state)
{
    struct fixture *f = *state;
    struct identity_dir *dir;

    make_node(f);
    dir = open_node(f);
    assert_true(identity_peer_incarnation(dir, raft_founder_id("n2")) == 0);
    assert_int_equal(meet(dir, "n2", 22), IDENTITY_PEER_RECORDED);
    assert_int_equal(meet(dir, "n2", 22), IDENTITY_PEER_KNOWN);
    assert_int_equal(meet(dir, "n3", 33), IDENTITY_PEER_RECORDED);
    assert_int_equal(meet(dir, "n2", 23), IDENTITY_PEER_REFUSED);
    assert_non_null(strstr(err_text(), "peer 'n2' is another incarnation than the one"));
    identity_close(dir);

    dir = open_node(f);
    assert_int_equal(meet(dir, "n2", 23), IDENTITY_PEER_REFUSED);
    assert_int_equal(meet(dir, "n2", 0), IDENTITY_PEER_REFUSED);
    assert_int_equal(meet(dir, "n2", 22), IDENTITY_PEER_KNOWN);
    assert_int_equal(meet(dir, "n3", 33), IDENTITY_PEER_KNOWN);
    assert_true(identity_peer_incarnation(dir, raft_founder_id("n3")) == 33);
    /* No name, a number that is not the name's, a name that would break a log line. */
    assert_int_equal(meet(dir, "", 1), IDENTITY_PEER_REFUSED);
    assert_int_equal(meet(dir, "n\n4", 1), IDENTITY_PEER_REFUSED);
    assert_null(strchr(err_text(), '\n'));
    assert_int_equal(identity_peer_check_and_record(dir, raft_founder_id("n4"), "n5", 1),
                     IDENTITY_PEER_REFUSED);
    identity_close(dir);
}

/* Met is only who is on the disk: a peer forgotten by a crash could come back as somebody else. */
static void identity__a_peer_is_not_met_before_it_is_recorded(void **state)
{
    static const int codes[] = {EIO, ENOSPC, EDQUOT};
    struct fixture *f = *state;
    struct identity_dir *dir;

    make_node(f);
    dir = open_node(f);
    for (unsigned i = 0; i < 9; i++) {
        const int error = codes[i / 3];

        fail_with = error;
        fail_at = 1 + i % 3;
        assert_int_equal(meet(dir, "n2", 22), -error);
        fail_at = 0;
        assert_true(err_is_full(-error) == (error != EIO));
        assert_true(identity_peer_incarnation(dir, raft_founder_id("n2")) == 0);
    }
    fail_with = EIO;
    assert_int_equal(meet(dir, "n2", 22), IDENTITY_PEER_RECORDED);
    identity_close(dir);
}

/* SPACE-10: who holds the lock is for people, and needs no room. */
static void identity__a_full_disk_locks(void **state)
{
    struct fixture *f = *state;
    struct rlimit none = {0, RLIM_INFINITY};
    struct rlimit before;
    struct identity_dir *dir;

    make_node(f);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    dir = open_node(f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    refused(f, IDENTITY_E_LOCKED, "in use by another process");
    identity_close(dir);
}

static void identity__peers_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct identity_dir *dir;
    char name[NODE_NAME_BYTES_MAX + 2];

    make_node(f);
    dir = open_node(f);
    for (unsigned i = 0; i < IDENTITY_PEERS_MAX; i++) {
        memset(name, 'p', sizeof(name));
        (void)snprintf(name + NODE_NAME_BYTES_MAX - 4, 5, "%04u", i);
        assert_int_equal(meet(dir, name, i + 1), IDENTITY_PEER_RECORDED);
    }
    assert_int_equal(meet(dir, "one-more", 1), IDENTITY_PEER_FULL);
    identity_close(dir);
    dir = open_node(f);
    assert_int_equal(meet(dir, name, IDENTITY_PEERS_MAX), IDENTITY_PEER_KNOWN);
    assert_int_equal(meet(dir, "one-more", 1), IDENTITY_PEER_FULL);
    memset(name, 'p', sizeof(name));
    name[NODE_NAME_BYTES_MAX + 1] = '\0';
    assert_int_equal(meet(dir, name, 1), IDENTITY_PEER_REFUSED); /* longer than a name may be */
    identity_close(dir);
}

/* One peer that flaps neither fills the log nor drowns the others; what is left out is counted. */
static void node__lines_of_one_peer_are_few(void **state)
{
    struct peer_lines l = {0};
    uint64_t suppressed = 0;
    uint64_t n_suppressed = 0;
    unsigned n = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        if (!peer_lines_ok(&l, 7, 1000 + i, &suppressed))
            continue;
        n++;
        assert_true(suppressed == 0);
    }
    assert_int_equal(n, PEER_LOG_BURST);
    for (unsigned id = 8; id < 8 + 2 * RAFT_SERVERS_MAX; id++)
        n_suppressed += peer_lines_ok(&l, id, 3000, &suppressed) ? 0 : 1;
    assert_true(n_suppressed < RAFT_SERVERS_MAX + 1); /* each member of a group has its own */
    assert_true(peer_lines_ok(&l, 7, 1000 + PEER_LOG_WINDOW_US, &suppressed));
    assert_true(suppressed == 1000 - PEER_LOG_BURST);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(identity__is_made_once_and_found_again),
        TEST(identity__another_node_or_cluster_is_foreign),
        TEST(identity__an_empty_directory_needs_init),
        TEST(identity__init_takes_no_directory_with_other_things),
        TEST(identity__an_unfinished_init_begins_anew),
        TEST(identity__a_failure_at_any_step_leaves_a_clear_case),
        TEST(identity__one_that_was_added_has_an_id_of_its_own),
        TEST(identity__a_founder_may_be_told_of_its_cluster),
        TEST(identity__an_addition_may_fail_at_any_step),
        TEST(identity__what_one_way_left_is_not_anothers),
        TEST(identity__an_added_peer_proves_itself),
        TEST(identity__a_lost_ident_is_not_a_new_node),
        TEST(identity__damage_is_refused),
        TEST(identity__nonsense_with_a_checksum_is_refused),
        TEST(identity__files_of_a_later_version_are_refused),
        TEST(identity__a_second_process_is_told_the_pid),
        TEST(identity__files_open_to_others_are_refused),
        TEST(identity__nothing_inside_is_a_link),
        TEST(identity__a_peer_keeps_its_first_incarnation),
        TEST(identity__a_peer_is_not_met_before_it_is_recorded),
        TEST(identity__a_full_disk_locks),
        TEST(identity__peers_are_bounded),
        cmocka_unit_test(node__lines_of_one_peer_are_few),
    };

    return cmocka_run_group_tests_name("node-identity", tests, NULL, NULL);
}
