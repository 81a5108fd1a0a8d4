/* backups: the label, what is seen of a file that is cut, changed or something else (BACKUP-3), and
 * a state that becomes another cluster's (BACKUP-2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"
#include "kv/kv_int.h"
#include "raft/configuration.h"
#include "snap/backup.h"
#include "unit/kv-copies.h"

/* ---- a file in memory ---- */

struct file {
    int fd;
    struct bytes bytes; /* of all of it */
    size_t body_len;
    size_t trailer_len;
    size_t label_len;
};

static void fill_meta(struct fixture *f, const struct bytes *copy, const struct kv_copy_info *info,
                      struct snap_meta *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->id = info->last_applied;
    ret->config.index = 1;
    raft_configuration_init(&ret->config.configuration);
    assert_int_equal(raft_configuration_add(&ret->config.configuration, raft_founder_id("n1"), "n1",
                                            RAFT_VOTER, "h:1", "h:2"),
                     0);
    ret->state_format = kv_copy_format(f->kv);
    ret->digest_version = KV_DIGEST_VERSION;
    ret->digest = (struct raft_digest_at){ret->id.index, info->digest.high, info->digest.low};
    ret->n_keys = info->n_keys;
    ret->live_bytes = info->live_bytes;
    ret->limit_bytes = info->limit_bytes;
    ret->body_bytes = copy->len;
    ret->body_crc = crc32c(0, copy->data, copy->len);
    ret->given = true;
}

static const struct backup_label example = {.begun_s = 1796056125,
                                            .cluster_name = "main",
                                            .cluster_hash = "5ada9d6d4a637107",
                                            .node_name = "n2",
                                            .program = "ridctl 0.1.0"};

/* body and what is to be said of it, with checksums that are right. */
static void make_file(struct file *file, const struct bytes *body, const struct snap_meta *m)
{
    struct buf end = BUF_INIT;

    memset(file, 0, sizeof(*file));
    file->body_len = body->len;
    assert_int_equal(snap_meta_encode(m, &end), 0);
    file->trailer_len = end.len;
    assert_int_equal(backup_label_encode(&example, body->len + end.len, end.data, end.len, &end),
                     0);
    file->label_len = end.len - file->trailer_len;
    assert_int_equal(bytes_write(&file->bytes, body->data, body->len), 0);
    assert_int_equal(bytes_write(&file->bytes, end.data, end.len), 0);
    buf_done(&end);
    file->fd = memfd_create("backup", MFD_CLOEXEC);
    assert_true(file->fd >= 0);
    assert_true(pwrite(file->fd, file->bytes.data, file->bytes.len, 0) == (ssize_t)file->bytes.len);
}

static void drop_file(struct file *file)
{
    (void)close(file->fd);
    free(file->bytes.data);
}

static uint64_t open_session(struct fixture *f)
{
    const struct command c = {.op = COMMAND_OPEN_SESSION};

    return apply_one(f, &c).index;
}

static struct command session_write_of(const struct wire_key *key, const char *value,
                                       uint64_t client, uint64_t seq)
{
    struct command c = command_write(key_slice(key), value);

    c.client = client;
    c.seq = seq;
    c.first = 1;
    return c;
}

static struct command_result apply_again(struct fixture *f, const struct command *c)
{
    raft_index index = kv_last_applied(f->kv).index;
    struct command_result result;

    assert_int_equal(kv_begin(f->kv), 0);
    assert_int_equal(apply_command(f, &index, c, &result), 0);
    assert_int_equal(kv_commit(f->kv), 0);
    return result;
}

/* A state with a value of its own pages, and two sessions. */
static void fill_state(struct fixture *f)
{
    const struct wire_key key = string_key("counter");
    struct command c;

    kv_up(f);
    (void)write_one(f, "a", "1");
    (void)write_one(f, "b", "\"two\"");
    write_long(f, "long", 5000);
    for (unsigned i = 1; i <= 2; i++) {
        c = session_write_of(&key, "41", open_session(f), i);
        assert_int_equal(apply_one(f, &c).status, COMMAND_OK);
    }
}

static void make_good(struct fixture *f, struct file *file)
{
    struct kv_copy_info info;
    struct bytes copy = {0};
    struct snap_meta m;

    fill_state(f);
    take_copy(f->kv, &copy);
    assert_int_equal(check_bytes(f->kv, &copy, &info), 0);
    assert_int_equal(info.n_sessions, 2);
    fill_meta(f, &copy, &info, &m);
    make_file(file, &copy, &m);
    free(copy.data);
}

/* As verify and restore do. */
static int read_through(int fd, struct backup *b)
{
    struct kv_copy_info info;
    struct kv_source source;
    int rc = backup_open(fd, "FILE", b);

    if (rc == 0)
        rc = backup_check(b, NULL, NULL);
    if (rc != 0)
        return rc;
    source = (struct kv_source){backup_read, b, b->meta.body_bytes, NULL};
    return kv_verify_copy(&source, b->meta.state_format, &info);
}

/* ---- the label ---- */

static void backup__a_label_says_what_it_was_given(void **state)
{
    struct backup_label odd = example;
    struct buf buf = BUF_INIT;
    struct backup_label l;

    (void)state;
    odd.cluster_name[1] = '\n';
    odd.node_name[0] = (char)0x9b;
    memset(odd.program, 'x', BACKUP_PROGRAM_BYTES_MAX);
    assert_int_equal(backup_label_encode(&odd, 77, "trailer", 7, &buf), 0);
    assert_int_equal(backup_tail_find(buf.data, buf.len), buf.len);
    assert_int_equal(backup_label_decode(buf.data, buf.len, 77, "trailer", 7, &l), 0);
    assert_string_equal(l.cluster_name, "m?in");
    assert_string_equal(l.node_name, "?2");
    assert_string_equal(l.program, odd.program);
    assert_string_equal(l.cluster_hash, example.cluster_hash);
    assert_true(l.begun_s == example.begun_s);
    /* It is of that snapshot and of no other. */
    assert_int_equal(backup_label_decode(buf.data, buf.len, 78, "trailer", 7, &l),
                     BACKUP_E_DAMAGED);
    assert_int_equal(backup_label_decode(buf.data, buf.len, 77, "trainer", 7, &l),
                     BACKUP_E_DAMAGED);
    for (size_t n = 0; n < buf.len; n++)
        assert_int_equal(backup_label_decode(buf.data, n, 77, "trailer", 7, &l), BACKUP_E_DAMAGED);
    buf_done(&buf);
}

/* With a good checksum, whatever it holds: it gives a label that makes sense, or none. */
static void backup__any_bytes_are_a_label_or_none(void **state)
{
    struct buf buf = BUF_INIT;
    struct backup_label l;
    unsigned n_good = 0;
    struct prng p;

    (void)state;
    prng_init(&p, 11);
    for (unsigned i = 0; i < 20000; i++) {
        buf_reset(&buf, SIZE_MAX);
        assert_int_equal(backup_label_encode(&example, 77, "t", 1, &buf), 0);
        for (uint64_t n = 1 + prng_below(&p, 2); n > 0; n--)
            buf.data[prng_below(&p, buf.len - 20)] = (unsigned char)prng_next(&p);
        put_u32(buf.data + buf.len - 12, crc32c(crc32c(0, "t", 1), buf.data, buf.len - 12));
        if (backup_label_decode(buf.data, buf.len, 77, "t", 1, &l) != 0)
            continue;
        n_good++;
        for (const char *s = l.cluster_name; *s != '\0'; s++)
            assert_true(*s >= ' ' && *s <= '~');
    }
    assert_true(n_good > 100);
    /* What a later version wrote is told so (DISK-24). */
    put_u32(buf.data + buf.len - 20, 2);
    put_u32(buf.data + buf.len - 12, crc32c(crc32c(0, "t", 1), buf.data, buf.len - 12));
    assert_int_equal(backup_label_decode(buf.data, buf.len, 77, "t", 1, &l), BACKUP_E_NEWER);
    buf_done(&buf);
}

/* ---- a file ---- */

static void backup__a_good_one_is_read_through(void **state)
{
    struct kv_copy_info info;
    struct kv_source source;
    struct backup b;
    struct file file;

    make_good(*state, &file);
    assert_int_equal(read_through(file.fd, &b), 0);
    assert_true(b.has_label && b.meta.given);
    assert_string_equal(b.label.node_name, "n2");
    source = (struct kv_source){backup_read, &b, b.meta.body_bytes, NULL};
    assert_int_equal(kv_look_copy(&source, b.meta.state_format, &info), 0);
    assert_int_equal(info.n_sessions, 2);
    assert_true(info.last_applied.index == b.meta.id.index);
    assert_true(info.digest.low == b.meta.digest.low && info.n_keys == b.meta.n_keys);
    /* That of a machine with other pages, or another order of bytes. */
    assert_int_equal(kv_verify_copy(&source, b.meta.state_format + 1, &info), KV_E_DAMAGED);
    assert_int_equal(kv_verify_copy(&source, b.meta.state_format ^ (1u << 15), &info),
                     KV_E_FOREIGN);
    assert_int_equal(kv_verify_copy(&source, 0, &info), KV_E_FOREIGN);
    assert_int_equal(kv_verify_copy(&source, UINT32_MAX, &info), KV_E_FOREIGN);
    drop_file(&file);
}

/* BACKUP-3. */
static void backup__every_byte_counts(void **state)
{
    struct backup b;
    struct file file;
    struct prng p;

    make_good(*state, &file);
    prng_init(&p, 3);
    for (size_t i = 0; i < file.bytes.len; i++) {
        const unsigned char was = file.bytes.data[i];
        const unsigned char is = (unsigned char)(was ^ (1u << prng_below(&p, 8)));
        int rc;

        assert_true(pwrite(file.fd, &is, 1, (off_t)i) == 1);
        rc = read_through(file.fd, &b);
        if (rc != BACKUP_E_DAMAGED && rc != BACKUP_E_NONE && rc != BACKUP_E_NEWER)
            fail_msg("byte %zu of %zu: %d", i, file.bytes.len, rc);
        if (strstr(err_text(), "'FILE' ") == NULL)
            fail_msg("byte %zu: no sentence about the file: %s", i, err_text());
        assert_true(pwrite(file.fd, &was, 1, (off_t)i) == 1);
    }
    assert_int_equal(read_through(file.fd, &b), 0);
    drop_file(&file);
}

/* BACKUP-3. Without the label and nothing else missing it is a snapshot, which is whole. */
static void backup__every_cut_is_seen(void **state)
{
    struct backup b;
    struct file file;

    make_good(*state, &file);
    for (size_t n = file.bytes.len; n-- > 0;) {
        int rc;

        assert_int_equal(ftruncate(file.fd, (off_t)n), 0);
        rc = read_through(file.fd, &b);
        if (n == file.body_len + file.trailer_len) {
            assert_int_equal(rc, 0);
            assert_false(b.has_label);
        } else if (rc != BACKUP_E_DAMAGED && rc != BACKUP_E_NONE) {
            fail_msg("%zu bytes of %zu: %d", n, file.bytes.len, rc);
        }
    }
    drop_file(&file);
}

/* Checksums that are right say nothing of what they are made of. */
static void backup__pages_are_looked_at(void **state)
{
    struct fixture *f = *state;
    struct kv_copy_info info;
    struct bytes copy = {0};
    struct snap_meta m;
    struct backup b;
    struct file file;

    fill_state(f);
    take_copy(f->kv, &copy);
    assert_int_equal(check_bytes(f->kv, &copy, &info), 0);
    for (size_t at = 0; at < copy.len; at += PAGE) {
        copy.data[at] ^=
            1; /* each page begins with its own number, but for those of a long value */
        fill_meta(f, &copy, &info, &m);
        make_file(&file, &copy, &m);
        assert_int_equal(backup_open(file.fd, "FILE", &b), 0);
        assert_int_equal(backup_check(&b, NULL, NULL), 0);
        assert_int_equal(read_through(file.fd, &b), KV_E_DAMAGED);
        drop_file(&file);
        copy.data[at] ^= 1;
    }
    free(copy.data);
}

static int say(const void *data, size_t len, const char *words)
{
    const int fd = memfd_create("other", MFD_CLOEXEC);
    struct backup b;
    int rc;

    assert_true(fd >= 0);
    assert_true(write(fd, data, len) == (ssize_t)len);
    rc = backup_open(fd, "FILE", &b);
    if (strstr(err_text(), words) == NULL)
        fail_msg("'%s' does not say '%s'", err_text(), words);
    (void)close(fd);
    return rc;
}

static void backup__something_else_is_told_what_it_is(void **state)
{
    static const char zeros[40000];
    struct backup b;
    int ends[2];

    (void)state;
    assert_int_equal(say("", 0, "is empty"), BACKUP_E_NONE);
    assert_int_equal(say("x", 1, "is no backup"), BACKUP_E_NONE);
    assert_int_equal(say(zeros, sizeof(zeros), "is no backup"), BACKUP_E_NONE);
    assert_int_equal(say("{\"ridd_export\":1,", 17, "ridctl import"), BACKUP_E_NONE);
    assert_int_equal(say("RIDDWAL1........", 16, "segment"), BACKUP_E_NONE);
    assert_int_equal(say("RIDDIDN1........", 16, "data directory"), BACKUP_E_NONE);
    assert_int_equal(say("\x1f\x8b.......", 9, "unpack"), BACKUP_E_NONE);
    assert_int_equal(say("\x28\xb5\x2f\xfd....", 8, "unpack"), BACKUP_E_NONE);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(backup_open(ends[0], "FILE", &b), BACKUP_E_NONE);
    assert_non_null(strstr(err_text(), "no regular file"));
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* ---- the state ---- */

/* BACKUP-2. */
static void refound__sessions_stay_behind(void **state)
{
    const struct wire_key key = string_key("counter");
    const raft_index far = (raft_index)1 << 40;
    struct fixture *f = *state;
    const struct raft_entry_id last = {.term = 9, .index = far};
    struct kv_copy_info info;
    struct bytes copy = {0};
    struct kv_stats before;
    struct kv_stats after;
    struct command c;
    uint64_t client;

    fill_state(f);
    f->term = 9;
    before = stats_of(f);
    assert_int_equal(before.sessions.n, 2);
    client = kv_last_applied(f->kv).index - 1; /* of the second */
    c = session_write_of(&key, "42", client, 2);
    assert_true(apply_again(f, &c).repeated); /* it is known, and was applied */
    before = stats_of(f);
    assert_int_equal(kv_refound(f->kv, last), 0);
    after = stats_of(f);
    assert_int_equal(after.sessions.n, 0);
    assert_int_equal(after.sessions.bytes, 0);
    assert_int_equal(after.sessions.gone, 0);
    assert_true(after.n_keys == before.n_keys && after.limit_bytes == before.limit_bytes);
    assert_true(after.live_bytes == before.live_bytes - before.sessions.bytes);
    assert_false(digests_equal(after.digest, before.digest));
    assert_true(after.digest_index == far && kv_last_applied(f->kv).term == 9);
    /* All that counts them agrees, and so it does for whoever reads it at the next start. */
    take_copy(f->kv, &copy);
    assert_int_equal(check_bytes(f->kv, &copy, &info), 0);
    check_info(f, &info);
    assert_true(info.last_applied.index == far && info.n_sessions == 0);
    kv_down(f, true);
    kv_up(f);
    assert_int_equal(f->trust, KV_TRUSTED_CLEAN);
    assert_true(kv_last_applied(f->kv).index == far);
    check_value(f, "a", "1", 1, 1, 1);
    /* The retry of what had been done: refused, and not done again (SESSION-3). */
    assert_int_equal(apply_one(f, &c).status, COMMAND_SESSION_EXPIRED);
    assert_true(open_session(f) > far);
    free(copy.data);
}

/* The state of a cluster without sessions; nothing but the place changes. */
static void refound__a_state_without_sessions(void **state)
{
    struct fixture *f = *state;
    const struct raft_entry_id last = {.term = 3, .index = 1000};
    struct kv_stats before;

    kv_up(f);
    (void)write_one(f, "a", "1");
    before = stats_of(f);
    f->term = 3;
    assert_int_equal(kv_refound(f->kv, last), 0);
    assert_true(digests_equal(stats_of(f).digest, before.digest));
    assert_true(stats_of(f).live_bytes == before.live_bytes);
    assert_int_equal(kv_last_applied(f->kv).index, 1000);
    (void)write_one(f, "b", "2");
    check_value(f, "b", "2", 1001, 1001, 1);
}

/* All of it or nothing. */
static void refound__a_commit_that_fails_leaves_all(void **state)
{
    struct fixture *f = *state;
    const struct raft_entry_id last = {.term = 3, .index = 1000};
    struct kv_stats before;

    fill_state(f);
    before = stats_of(f);
    fail_commit = 28; /* ENOSPC */
    assert_int_equal(kv_refound(f->kv, last), KV_E_FULL);
    fail_commit = 0;
    assert_true(digests_equal(stats_of(f).digest, before.digest));
    assert_int_equal(stats_of(f).sessions.n, 2);
    assert_int_equal(kv_refound(f->kv, last), 0);
    assert_int_equal(stats_of(f).sessions.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backup__a_label_says_what_it_was_given),
        cmocka_unit_test(backup__any_bytes_are_a_label_or_none),
        TEST(backup__a_good_one_is_read_through),
        TEST(backup__every_byte_counts),
        TEST(backup__every_cut_is_seen),
        TEST(backup__pages_are_looked_at),
        cmocka_unit_test(backup__something_else_is_told_what_it_is),
        TEST(refound__sessions_stay_behind),
        TEST(refound__a_state_without_sessions),
        TEST(refound__a_commit_that_fails_leaves_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
