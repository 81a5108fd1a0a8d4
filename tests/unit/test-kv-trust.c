/* kv: when a data file is believed, and what takes the trust away (STATE-4). */
#include "unit/kv-fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lmdb.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/mark.h"
#include "base/prng.h"
#include "base/progress.h"

/* A state with five entries, closed. */
static void make_state(struct fixture *f, bool clean)
{
    wipe(f->dir);
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

static void spoil_data_pages(struct fixture *f)
{
    static const char zeros[4096];
    const off_t size = size_of(f, "data.mdb");
    char path[5000];
    int fd;

    path_of(f, "data.mdb", path, sizeof(path));
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (off_t at = 2 * (off_t)sizeof(zeros); at < size; at += (off_t)sizeof(zeros))
        assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), (ssize_t)sizeof(zeros));
    (void)close(fd);
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

struct told {
    unsigned n;
    uint64_t done;
    uint64_t total;
};

static void on_told(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct told *t = ctx;

    assert_string_equal(what, "checking the state");
    assert_true(done >= t->done);
    t->n++;
    t->done = done;
    t->total = total;
}

/* A file that is read through before it is believed says how far that is, step by step (UNIT-1). */
static void kv__reading_it_through_says_how_far(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};

    make_state(f, true);
    progress_listen(on_told, &told);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_true(told.n > 1);
    assert_true(told.done > 0 && told.total > 0 && told.done <= told.total);
    progress_listen(NULL, NULL);
    told.n = 0;
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_int_equal(told.n, 0); /* nobody listens */
    kv_down(f, true);
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
        {"data cut a page", false, spoil_data_cut_a_page, "the file ends", false, false},
        {"data link", false, spoil_data_link, "no regular file", false, false},
        {"data head", false, spoil_data_head, "page 0 of", false, false},
        {"data meta", false, spoil_data_meta, "checksum", false, false},
        {"data pages", false, spoil_data_pages, "bears the number", false, false},
        {"clean: pages", true, spoil_data_pages, "bears the number", false, false},
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
        {"clean: head", true, spoil_data_head, "page 0 of", false, false},
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

/* DISK-41: of a state that is set aside the applied index is kept, for this start and all later ones;
 * but only when this incarnation wrote the file, and its record is whole. */
static void kv__an_untrusted_state_shows_its_index(void **state)
{
    static const struct {
        bool clean;
        void (*spoil)(struct fixture *f);
        raft_index shown;
    } cases[] = {
        {false, spoil_boot, 5},         {false, spoil_boot_unknown, 5},
        {false, spoil_data_cut, 0},     {false, spoil_incarnation, 0},
        {false, spoil_trust_byte, 0},   {false, copy_data, 0},
        {false, spoil_data_head, 0},    {false, spoil_data_meta, 0},
        {false, spoil_data_missing, 0}, {true, spoil_data_cut, 5},
        {true, spoil_data_missing, 5},  {true, spoil_trust_byte, 5},
        {true, spoil_clean_byte, 5},    {true, spoil_both, 0},
        {true, spoil_incarnation, 0},   {false, spoil_data_link, 0},
        {true, spoil_clean_garbage, 5},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_state(f, cases[i].clean);
        cases[i].spoil(f);
        for (unsigned start = 0; start < 3; start++) {
            kv_up(f);
            if (start == 0)
                assert_int_equal(f->trust, KV_REBUILD);
            if (kv_shown_index(f->kv) != cases[i].shown)
                fail_msg("case %zu: shows %llu", i, (unsigned long long)kv_shown_index(f->kv));
            kv_down(f, false);
        }
    }
    make_state(f, false);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    assert_int_equal(kv_shown_index(f->kv), 0); /* it speaks for itself */
    kv_down(f, false);
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
    wipe(f->dir);
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
    /* . .. data.mdb data.mdb.old lock.mdb TRUST SHOWN APPLIED reserve */
    assert_int_equal(n, 2 + 7);
}

/* STATE-9: one file belongs to one group. Refused, and nothing of it is moved: the next start with the
 * right group finds it as it was. */
static void kv__another_groups_state_is_refused_and_kept(void **state)
{
    struct fixture *f = *state;
    enum kv_trust trust;

    for (int clean = 0; clean < 2; clean++) {
        make_state(f, clean != 0);
        f->conf.group = 1;
        assert_int_equal(kv_open(&f->conf, &trust, &f->kv), KV_E_FOREIGN);
        assert_non_null(strstr(err_text(), "group 0, not of group 1"));
        assert_null(f->kv);
        f->conf.group = 0;
        assert_int_equal(kv_open(&f->conf, &trust, &f->kv), 0);
        assert_int_equal(trust, clean ? KV_TRUSTED_CLEAN : KV_TRUSTED_SAME_BOOT);
        assert_true(kv_last_applied(f->kv).index > 0);
        kv_down(f, false);
        wipe(f->dir);
    }
}

/* The group is in the record that says how far the state has come. */
static void kv__a_group_finds_its_own_state_again(void **state)
{
    struct fixture *f = *state;

    f->conf.group = 7;
    make_state(f, true);
    kv_up(f);
    assert_true(kv_last_applied(f->kv).index > 0);
    kv_down(f, true);
}

/* What a later version would leave: the record that says how far the state has come is of a format
 * that nobody knows yet, and its checksum is good. */
static void write_a_later_format(struct fixture *f)
{
    char key_text[] = "\0meta";
    MDB_val key = {sizeof(key_text) - 1, key_text};
    unsigned char record[64];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val v;

    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, f->dir, MDB_NOSYNC, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_get(txn, dbi, &key, &v), 0);
    assert_int_equal(v.mv_size, sizeof(record));
    memcpy(record, v.mv_data, sizeof(record));
    record[4] = 5;
    put_u32(record, crc32c(crc32c(0, key.mv_data, key.mv_size), record + 4, sizeof(record) - 4));
    v = (MDB_val){sizeof(record), record};
    assert_int_equal(mdb_put(txn, dbi, &key, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* DISK-24: who goes back to an earlier version is told so, and loses nothing. */
static void kv__a_later_version_is_refused_and_kept(void **state)
{
    struct fixture *f = *state;
    enum kv_trust trust;
    ino_t before;

    make_state(f, false);
    write_a_later_format(f);
    before = ino_of(f, "data.mdb");
    for (unsigned tries = 0; tries < 2; tries++) {
        assert_int_equal(kv_open(&f->conf, &trust, &f->kv), KV_E_NEWER);
        assert_non_null(strstr(err_text(), "written by a later version"));
        assert_null(f->kv);
    }
    assert_true(ino_of(f, "data.mdb") == before);
    assert_true(there(f, "TRUST"));
    assert_false(there(f, "data.mdb.old"));
}

/* The same said by a mark, which may have become longer. Whatever the other mark is, nothing is moved
 * (DISK-24); and a higher digit without a good checksum is damage as ever. */
static void kv__marks_of_a_later_version_are_refused(void **state)
{
    static const struct {
        const char *name;
        const char *magic;
        bool clean;
    } rows[] = {{"TRUST", "RIDDTRU2", false},
                {"TRUST", "RIDDTRU9", true},
                {"CLEAN", "RIDDCLN2", false},
                {"CLEAN", "RIDDCLN3", true}};
    struct fixture *f = *state;
    unsigned char payload[300] = {7};
    enum kv_trust trust;
    ino_t before;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd;

        make_state(f, rows[i].clean);
        if (rows[i].clean) /* the other one is damaged */
            flip(f, strcmp(rows[i].name, "TRUST") == 0 ? "CLEAN" : "TRUST", 20);
        before = ino_of(f, "data.mdb");
        fd = open(f->dir, O_RDONLY | O_DIRECTORY);
        assert_true(fd >= 0);
        assert_int_equal(mark_write(fd, rows[i].name, rows[i].magic, payload, 100 * i), 0);
        for (unsigned tries = 0; tries < 2; tries++) {
            assert_int_equal(kv_open(&f->conf, &trust, &f->kv), KV_E_NEWER);
            assert_non_null(strstr(err_text(), rows[i].name));
            assert_non_null(strstr(err_text(), f->dir));
            assert_non_null(strstr(err_text(), "start that version"));
            assert_null(f->kv);
        }
        assert_true(ino_of(f, "data.mdb") == before);
        assert_true(there(f, rows[i].name));
        assert_false(there(f, "data.mdb.old"));
        flip(f, rows[i].name, 9);
        assert_int_equal(kv_open(&f->conf, &trust, &f->kv), 0);
        assert_int_equal(trust, KV_REBUILD);
        kv_down(f, false);
        wipe(f->dir);
        (void)close(fd);
    }
}

/* STATE-5: the mark is gone, durably, before the first write transaction; the sync precedes the
 * first use. */
static void kv__marks_move_in_the_right_order(void **state)
{
    struct fixture *f = *state;

    make_state(f, true);
    watch();
    kv_up(f);
    (void)write_one(f, "x", "1");
    watching = false;
    assert_string_equal(events, "open;read;fsync;rename TRUST;syncdir;unlink CLEAN;syncdir;write;");

    watch();
    kv_down(f, true);
    watching = false;
    assert_string_equal(events, "sync;fsync;rename CLEAN;syncdir;");

    make_state(f, false);
    watch();
    kv_up(f);
    (void)write_one(f, "x", "1");
    watching = false;
    assert_string_equal(events, "open;fsync;rename TRUST;syncdir;sync;read;fsync;"
                                "rename TRUST;syncdir;syncdir;write;");
    kv_down(f, false);

    make_state(f, true);
    spoil_clean_byte(f);
    watch();
    kv_up(f);
    watching = false;
    /* What it shows is written down before the marks that speak for it are gone (DISK-41). */
    assert_string_equal(events, "fsync;rename SHOWN;syncdir;"
                                "unlink CLEAN;syncdir;unlink TRUST;syncdir;rename data.mdb.old;"
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
                if (f->trust == KV_REBUILD) /* DISK-41 */
                    assert_int_equal(kv_shown_index(f->kv), 5);
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
    assert_non_null(strstr(err_text(), "may not have been synced"));
    assert_int_equal(kv_shown_index(f->kv), 5);
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

/* STATE-2: last_applied and the data are of one transaction, whenever the process
 * ends. */
static void kv__a_killed_node_finds_its_state_again(void **state)
{
    struct fixture *f = *state;

    for (unsigned round = 0; round < 6; round++) {
        struct raft_entry_id id;
        struct command_value v;
        raft_index reported;

        wipe(f->dir);
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

/* ---- damage ---- */

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

/* LMDB has no page checksums; the record has one of its own (STATE-6). */
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
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
    damage_value(f);
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
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    damage_value(f);
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
    assert_int_equal(kv_shown_index(f->kv), 5); /* though no mark says any more whose it was */
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
}

/* DISK-41: nor is it forgotten when the state is made again while the process goes on, and that
 * comes to no end. */
static void kv__a_rebuilt_state_shows_what_the_old_one_had_applied(void **state)
{
    struct fixture *f = *state;

    make_state(f, false);
    kv_up(f);
    assert_int_equal(kv_rebuild(f->kv), 0);
    assert_int_equal(kv_last_applied(f->kv).index, 0);
    kv_down(f, false);
    for (unsigned start = 0; start < 2; start++) {
        kv_up(f);
        assert_int_equal(f->trust, KV_TRUSTED_SAME_BOOT);
        assert_int_equal(kv_shown_index(f->kv), 5);
        kv_down(f, false);
    }
}

/* A full disk is no end of it, wherever it shows: the next attempt, with room, is a whole one. */
static void kv__a_state_is_made_again_when_there_is_room(void **state)
{
    struct fixture *f = *state;
    unsigned n_full = 0;

    for (unsigned at = 1; at <= 12; at++) {
        int rc;

        make_state(f, false);
        kv_up(f);
        fail_with = ENOSPC;
        fail_at = at;
        rc = kv_rebuild(f->kv);
        fail_at = 0;
        fail_with = 0;
        assert_true(rc == 0 || rc == KV_E_FULL);
        n_full += rc != 0;
        if (rc != 0)
            assert_int_equal(kv_rebuild(f->kv), 0);
        assert_int_equal(kv_last_applied(f->kv).index, 0);
        write_one(f, "x", "1");
        kv_down(f, false);
    }
    assert_true(n_full >= 3);
}

/* Files that others can read or write, and links, are refused (IDENTITY-4). */
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
    /* An earlier version of ours reads it: of any length, but not without its checksum. */
    assert_int_equal(mark_write(fd, "M", "TESTMAG2", bytes, sizeof(bytes)), 0);
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, 0, &len), MARK_E_NEWER);
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), MARK_E_NEWER);
    assert_int_equal(mark_read(fd, "M", "TESTMAG3", got, sizeof(got), &len), MARK_E_DAMAGED);
    assert_int_equal(mark_read(fd, "M", "TEXTMAG1", got, sizeof(got), &len), MARK_E_DAMAGED);
    flip(f, "M", 8);
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), MARK_E_DAMAGED);
    assert_int_equal(mark_write(fd, "M", "TESTMAGX", bytes, 10), 0);
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), MARK_E_DAMAGED);
    assert_int_equal(mark_write(fd, "M", "TESTMAG1", bytes, sizeof(bytes)), 0);
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

/* SPACE-10: the folder's reserve is given up for a mark on a full disk, wherever that shows, and made
 * again; without one the error stands. */
static void mark__a_full_disk_takes_the_reserve(void **state)
{
    struct fixture *f = *state;
    char bytes[16];
    size_t n = 0;
    int fd;

    kv_up(f);
    assert_true(size_of(f, "reserve") == MARK_RESERVE_BYTES);
    kv_down(f, false);
    fd = open(f->dir, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(mark_write(fd, "M", "TESTMAG1", "old", 3), 0);
    for (unsigned at = 1; at <= 4; at++) { /* unlink, fsync, rename, fsync */
        mark_keep_reserve(fd);
        assert_true(there(f, "reserve"));
        fail_with = at % 2 == 0 ? ENOSPC : EDQUOT;
        fail_at = at;
        assert_int_equal(mark_write(fd, "M", "TESTMAG1", "new", 3), 0);
        assert_int_equal(fail_at, 0);
        assert_false(there(f, "reserve"));
        assert_int_equal(mark_read(fd, "M", "TESTMAG1", bytes, sizeof(bytes), &n), 0);
        assert_memory_equal(bytes, "new", 3);
    }
    fail_with = ENOSPC;
    fail_at = 2;
    assert_int_equal(mark_write(fd, "M", "TESTMAG1", "bad", 3), -ENOSPC);
    (void)close(fd);
    /* The next start makes one; and one that a loss of power cut short is none. */
    fail_with = 0;
    fail_at = 0;
    for (size_t left = 0; left < 2; left++) {
        kv_up(f);
        assert_true(size_of(f, "reserve") == MARK_RESERVE_BYTES);
        kv_down(f, false);
        spill(f, "reserve", "\0", left);
    }
    kv_up(f);
    assert_true(size_of(f, "reserve") == MARK_RESERVE_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kv__reading_it_through_says_how_far),
        TEST(kv__one_broken_condition_is_enough_to_rebuild),
        TEST(kv__an_untrusted_state_shows_its_index),
        TEST(kv__what_still_is_trusted),
        TEST(kv__garbage_is_never_shown_to_lmdb),
        TEST(kv__old_copies_do_not_pile_up),
        TEST(mark__a_full_disk_takes_the_reserve),
        TEST(kv__another_groups_state_is_refused_and_kept),
        TEST(kv__a_group_finds_its_own_state_again),
        TEST(kv__a_later_version_is_refused_and_kept),
        TEST(kv__marks_of_a_later_version_are_refused),
        TEST(kv__marks_move_in_the_right_order),
        TEST(kv__a_crash_while_opening_or_closing_loses_no_truth),
        TEST(kv__a_failed_sync_ends_the_trust),
        TEST(kv__a_killed_node_finds_its_state_again),
        TEST(kv__a_damaged_value_is_found_and_healed),
        TEST(kv__distrust_makes_the_next_start_rebuild),
        TEST(kv__a_rebuilt_state_shows_what_the_old_one_had_applied),
        TEST(kv__a_state_is_made_again_when_there_is_room),
        TEST(kv__files_open_to_others_are_refused),
        TEST(kv__marks_are_whole_or_refused),
    };

    return cmocka_run_group_tests_name("kv-trust", tests, NULL, NULL);
}
