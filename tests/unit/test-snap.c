/* snap: the files of snapshots on a disk in memory that loses power, fills up and rots. What holds
 * after each: one that was told to be finished is there and good, one that was not counts for
 * nothing (SNAP-6), and there is never less than one good one once there was one (SNAP-5). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/prng.h"
#include "snap/snap_int.h"
#include "unit/fake-disk.h"
#include "unit/temp-folder.h"

#define BODY_MAX 9000u

/* ---- what is written ---- */

static struct raft_entry_id id_of(raft_index index, raft_term term)
{
    return (struct raft_entry_id){.index = index, .term = term};
}

/* The copy of an entry: bytes that follow from it alone, of one sector and of several. */
static size_t body_of(struct raft_entry_id id, unsigned char body[BODY_MAX])
{
    size_t n = id.index % 7 == 0 ? 8200 : 100 + (size_t)(id.index * 531 % 1500);

    for (size_t i = 0; i < n; i++)
        body[i] = (unsigned char)(id.index * 31 + id.term * 7 + i * 13 + (i >> 8));
    return n;
}

static void add_server(struct raft_configuration *c, unsigned i, unsigned name, unsigned address)
{
    char names[NODE_NAME_BYTES_MAX + 1];
    char addresses[ADDRESS_BYTES_MAX + 1];

    memset(names, 'n', sizeof(names));
    memset(addresses, 'a', sizeof(addresses));
    names[0] = (char)('a' + i);
    names[name] = '\0';
    addresses[address] = '\0';
    assert_int_equal(raft_configuration_add(c, i + 1, names, i % 2 ? RAFT_LEARNER : RAFT_VOTER,
                                            addresses, addresses),
                     0);
}

static struct snap_meta meta_of(struct raft_entry_id id)
{
    unsigned char body[BODY_MAX];
    struct snap_meta m = {.cluster_id = "sixteen bytes..",
                          .id = id,
                          .config = {.index = 1},
                          .state_format = 77,
                          .digest_version = 1,
                          .digest = {.index = id.index, .high = id.index * 3, .low = id.term},
                          .n_keys = 4,
                          .live_bytes = 500,
                          .limit_bytes = 1000};

    m.body_bytes = body_of(id, body);
    m.body_crc = crc32c(0, body, m.body_bytes);
    add_server(&m.config.configuration, 0, 2, 9);
    add_server(&m.config.configuration, 1, 2, 9);
    return m;
}

static void assert_meta_equal(const struct snap_meta *a, const struct snap_meta *b)
{
    cleanup_buf struct buf x = BUF_INIT;
    cleanup_buf struct buf y = BUF_INIT;

    assert_int_equal(snap_meta_encode(a, &x), 0);
    assert_int_equal(snap_meta_encode(b, &y), 0);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
}

/* The whole file of an entry, as it must stand on the disk. */
static void file_of(const struct snap_meta *m, struct buf *b)
{
    unsigned char body[BODY_MAX];

    assert_int_equal(buf_add(b, body, body_of(m->id, body)), 0);
    assert_int_equal(snap_meta_encode(m, b), 0);
}

/* The checksum of a trailer that was changed. */
static void mend(unsigned char *trailer, size_t len)
{
    put_u32(trailer + len - 12, crc32c(0, trailer, len - 12));
}

static const char *name_of(struct raft_entry_id id)
{
    static char name[SNAP_NAME_BYTES];

    snap_name(name, id);
    return name;
}

/* ---- a folder on a disk in memory ---- */

struct rig {
    struct fake_disk *disk;
    struct snap_conf conf;
    struct snap_folder *s;
};

static struct rig *rig_new(uint64_t seed)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->disk = fake_disk_new(seed);
    rig->conf =
        (struct snap_conf){.vfs = fake_disk_vfs(rig->disk), .cluster_id = "sixteen bytes.."};
    assert_int_equal(snap_open(&rig->conf, &rig->s), 0);
    return rig;
}

static void rig_free(struct rig *rig)
{
    snap_close(rig->s);
    assert_int_equal(fake_disk_n_open(rig->disk), 0);
    fake_disk_free(rig->disk);
    free(rig);
}

static void reopen(struct rig *rig)
{
    snap_close(rig->s);
    rig->s = NULL;
    assert_int_equal(snap_open(&rig->conf, &rig->s), 0);
}

/* The first error of the way, or what finish says. */
static int write_meta(struct rig *rig, enum snap_purpose purpose, const struct snap_meta *m)
{
    unsigned char body[BODY_MAX];
    size_t n = body_of(m->id, body);
    struct snap_writer *w = NULL;
    int rc = snap_writer_new(rig->s, purpose, &w);

    for (size_t at = 0; rc == 0 && at < n; at += 700)
        rc = snap_writer_add(w, body + at, n - at < 700 ? n - at : 700);
    if (rc != 0) {
        snap_writer_drop(w);
        return rc;
    }
    return snap_writer_finish(w, m);
}

static int write_one(struct rig *rig, raft_index index, raft_term term)
{
    struct snap_meta m = meta_of(id_of(index, term));

    return write_meta(rig, SNAP_MADE, &m);
}

static bool is_listed(struct rig *rig, struct raft_entry_id id)
{
    static struct snap_meta metas[SNAP_FILES_MAX];
    unsigned n = snap_list(rig->s, metas, SNAP_FILES_MAX);

    for (unsigned i = 0; i < n; i++)
        if (snap_id_compare(metas[i].id, id) == 0)
            return true;
    return false;
}

static unsigned n_listed(struct rig *rig)
{
    static struct snap_meta metas[SNAP_FILES_MAX];

    return snap_list(rig->s, metas, SNAP_FILES_MAX);
}

/* It can be read, is what was written, and the disk has it. */
static void assert_good(struct rig *rig, raft_index index, raft_term term)
{
    unsigned char body[BODY_MAX];
    unsigned char got[BODY_MAX];
    struct snap_meta m = meta_of(id_of(index, term));
    struct snap_reader *r = NULL;

    assert_true(is_listed(rig, m.id));
    assert_int_equal(snap_reader_new(rig->s, m.id, &r), 0);
    assert_meta_equal(snap_reader_meta(r), &m);
    assert_int_equal(snap_reader_read(r, got, m.body_bytes, 0), 0);
    (void)body_of(m.id, body);
    assert_memory_equal(got, body, m.body_bytes);
    snap_reader_drop(r);
    assert_int_equal(snap_check(rig->s, m.id), 0);
}

static bool has_name(const struct rig *rig, const char *name)
{
    for (unsigned i = 0; i < fake_disk_n_files(rig->disk); i++)
        if (strcmp(fake_disk_name(rig->disk, i), name) == 0)
            return true;
    return false;
}

/* ---- the trailer ---- */

static void snap_meta__round_trip(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= RAFT_SERVERS_MAX; n++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct snap_meta m = meta_of(id_of(RAFT_INDEX_MAX, RAFT_INDEX_MAX));
        struct snap_meta back = {0};

        m.config.index = RAFT_INDEX_MAX;
        m.group = UINT16_MAX;
        m.n_keys = UINT64_MAX;
        m.live_bytes = UINT64_MAX - 1;
        m.limit_bytes = UINT64_MAX - 2;
        m.digest = (struct raft_digest_at){RAFT_INDEX_MAX, UINT64_MAX - 3, UINT64_MAX - 4};
        m.body_bytes = SNAP_BYTES_MAX;
        raft_configuration_init(&m.config.configuration);
        for (unsigned i = 0; i < n; i++)
            add_server(&m.config.configuration, i, NODE_NAME_BYTES_MAX, ADDRESS_BYTES_MAX);
        assert_int_equal(buf_add_str(&b, "abc"), 0);
        assert_int_equal(snap_meta_encode(&m, &b), 0);
        assert_true(b.len - 3 <= SNAP_TRAILER_BYTES);
        assert_int_equal(snap_meta_decode(b.data + 3, b.len - 3, &back), 0);
        assert_memory_equal(back.cluster_id, m.cluster_id, sizeof(m.cluster_id));
        assert_int_equal(back.group, m.group);
        assert_int_equal(back.id.index, m.id.index);
        assert_int_equal(back.id.term, m.id.term);
        assert_int_equal(back.config.index, m.config.index);
        assert_int_equal(back.config.configuration.n, n);
        assert_memory_equal(&back.config.configuration, &m.config.configuration,
                            sizeof(m.config.configuration));
        assert_int_equal(back.state_format, m.state_format);
        assert_int_equal(back.digest_version, m.digest_version);
        assert_memory_equal(&back.digest, &m.digest, sizeof(m.digest));
        assert_true(back.n_keys == m.n_keys);
        assert_true(back.live_bytes == m.live_bytes);
        assert_true(back.limit_bytes == m.limit_bytes);
        assert_int_equal(back.body_bytes, m.body_bytes);
        assert_int_equal(back.body_crc, m.body_crc);
    }
}

static void snap_meta__every_change_is_seen(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct snap_meta m = meta_of(id_of(9, 2));
    struct snap_meta back;

    (void)state;
    assert_int_equal(snap_meta_encode(&m, &b), 0);
    for (size_t i = 0; i < b.len; i++) {
        for (unsigned x = 1; x < 256; x++) {
            b.data[i] ^= (unsigned char)x;
            assert_int_equal(snap_meta_decode(b.data, b.len, &back), SNAP_E_DAMAGED);
            b.data[i] ^= (unsigned char)x;
        }
        assert_int_equal(snap_meta_decode(b.data, i, &back), SNAP_E_DAMAGED);
        assert_int_equal(snap_meta_decode(b.data + i + 1, b.len - i - 1, &back), SNAP_E_DAMAGED);
    }
    assert_int_equal(snap_meta_decode(b.data, b.len, &back), 0);
    assert_int_equal(buf_add_u8(&b, 0), 0);
    assert_int_equal(snap_meta_decode(b.data, b.len, &back), SNAP_E_DAMAGED);
}

/* With a good checksum, so that it is the field that is looked at. */
static void snap_meta__fields_have_bounds(void **state)
{
    /* Where, how many bytes, the value, what comes of it. */
    static const struct {
        size_t at;
        uint64_t value;
        int rc;
    } cases[] = {
        {16, 0, SNAP_E_DAMAGED},
        {16, 1, 0},
        {16, RAFT_INDEX_MAX, 0},
        {16, RAFT_INDEX_MAX + 1, SNAP_E_DAMAGED},
        {16, UINT64_MAX, SNAP_E_DAMAGED},
        {24, 0, SNAP_E_DAMAGED},
        {24, 1, 0},
        {24, RAFT_INDEX_MAX, 0},
        {24, RAFT_INDEX_MAX + 1, SNAP_E_DAMAGED},
        {32, 0, 0},
        {32, 9, 0},
        {32, 10, SNAP_E_DAMAGED},
        {32, UINT64_MAX, SNAP_E_DAMAGED},
        {64, UINT64_MAX, 0},
        {88, 0, 0},
        {88, SNAP_BYTES_MAX, 0},
        {88, SNAP_BYTES_MAX + 1, SNAP_E_DAMAGED},
        {88, UINT64_MAX, SNAP_E_DAMAGED},
        {96, (uint64_t)1 << 48, SNAP_E_DAMAGED}, /* the two bytes that are 0 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct snap_meta m = meta_of(id_of(9, 2));
        struct snap_meta back;

        assert_int_equal(snap_meta_encode(&m, &b), 0);
        put_u64(b.data + cases[i].at, cases[i].value);
        mend(b.data, b.len);
        assert_int_equal(snap_meta_decode(b.data, b.len, &back), cases[i].rc);
    }
}

static void snap_meta__later_versions_are_told_from_damage(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    cleanup_buf struct buf config = BUF_INIT;
    struct snap_meta m = meta_of(id_of(9, 2));
    struct snap_meta back;

    (void)state;
    assert_int_equal(snap_meta_encode(&m, &b), 0);
    put_u32(b.data + b.len - 20, 2);
    assert_int_equal(snap_meta_decode(b.data, b.len, &back), SNAP_E_DAMAGED); /* DISK-24 */
    mend(b.data, b.len);
    assert_int_equal(snap_meta_decode(b.data, b.len, &back), SNAP_E_NEWER);
    put_u32(b.data + b.len - 20, 0);
    mend(b.data, b.len);
    assert_int_equal(snap_meta_decode(b.data, b.len, &back), SNAP_E_DAMAGED);
    put_u32(b.data + b.len - 20, SNAP_VERSION);
    b.data[SNAP_FIXED_BYTES] = 4; /* a configuration of a later one */
    mend(b.data, b.len);
    assert_int_equal(snap_meta_decode(b.data, b.len, &back), SNAP_E_NEWER);
    b.data[SNAP_FIXED_BYTES] = 0;
    mend(b.data, b.len);
    assert_int_equal(snap_meta_decode(b.data, b.len, &back), SNAP_E_DAMAGED);
}

/* ---- what a client is given ---- */

#define SECRET_INCARNATION UINT64_C(0x1122334455667788)

/* n1 leaves for n4, which was added; n3 was removed. */
static struct snap_meta meta_with_secrets(void)
{
    struct snap_meta m = meta_of(id_of(9, 2));
    struct raft_configuration *c = &m.config.configuration;
    const raft_node_id n4 = raft_member_id("n4", SECRET_INCARNATION);
    const raft_node_id n3 = raft_member_id("n3", SECRET_INCARNATION);

    raft_configuration_init(c);
    memcpy(c->cluster_id, "it is the secret", 16);
    c->version = 1;
    assert_int_equal(
        raft_configuration_add(c, raft_founder_id("n1"), "n1", RAFT_VOTER, "a:1", "a:2"), 0);
    assert_int_equal(raft_configuration_add(c, n3, "n3", RAFT_VOTER, "b:1", "b:2"), 0);
    assert_true(raft_configuration_remove(c, n3, 5));
    assert_int_equal(raft_configuration_add(c, n4, "n4", RAFT_LEARNER, "c:1", "c:2"), 0);
    c->servers[0].incarnation = SECRET_INCARNATION;
    c->servers[1].incarnation = SECRET_INCARNATION;
    c->servers[1].promote = true;
    c->servers[1].replaces = c->servers[0].id;
    c->servers[1].patience_ms = 77;
    return m;
}

static bool holds(const struct buf *b, const void *what, size_t n)
{
    return memmem(b->data, b->len, what, n) != NULL;
}

static bool holds_number(const struct buf *b, uint64_t v)
{
    unsigned char bytes[8];

    put_u64(bytes, v);
    return holds(b, bytes, sizeof(bytes));
}

/* Nor the ids that are made of incarnations, from which anybody can reckon back (MEMBER-16,
 * PEER-7). All else is as it was. */
static void snap_meta__what_is_given_tells_no_secret(void **state)
{
    cleanup_buf struct buf before = BUF_INIT;
    cleanup_buf struct buf b = BUF_INIT;
    struct snap_meta m = meta_with_secrets();
    const struct snap_meta was = m;
    struct snap_meta back = {0};
    const struct raft_configuration *c = &back.config.configuration;

    (void)state;
    assert_int_equal(snap_meta_encode(&m, &before), 0);
    assert_true(holds(&before, "it is the secret", 16));
    assert_true(holds_number(&before, SECRET_INCARNATION));
    snap_meta_give(&m);
    assert_int_equal(snap_meta_encode(&m, &b), 0);
    assert_int_equal(b.len, before.len);
    assert_false(holds(&b, "it is the secret", 16));
    assert_false(holds_number(&b, SECRET_INCARNATION));
    assert_false(holds_number(&b, raft_member_id("n3", SECRET_INCARNATION)));
    assert_false(holds_number(&b, raft_member_id("n4", SECRET_INCARNATION)));

    assert_int_equal(snap_meta_decode(b.data, b.len, &back), 0);
    assert_true(back.given);
    assert_memory_equal(back.cluster_id, was.cluster_id, 16); /* the founding id */
    assert_memory_equal(&back.id, &was.id, sizeof(was.id));
    assert_memory_equal(&back.digest, &was.digest, sizeof(was.digest));
    assert_int_equal(back.body_bytes, was.body_bytes);
    assert_int_equal(back.body_crc, was.body_crc);
    assert_int_equal(back.n_keys, was.n_keys);
    assert_int_equal(c->n, 2);
    assert_string_equal(c->servers[0].name, "n1");
    assert_string_equal(c->servers[0].peer_addr, "a:1");
    assert_string_equal(c->servers[1].name, "n4");
    assert_string_equal(c->servers[1].client_addr, "c:2");
    assert_int_equal(c->servers[1].role, RAFT_LEARNER);
    assert_true(c->servers[1].promote);
    assert_true(c->servers[1].replaces == c->servers[0].id);
    assert_int_equal(c->servers[1].patience_ms, 77);
    assert_int_equal(c->n_removed, 1);
    assert_string_equal(c->removed[0].name, "n3");
    assert_int_equal(c->removed[0].index, 5);
}

/* One that says of itself that it tells none tells none. */
static void snap_meta__one_that_is_given_and_tells_is_none(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 5; kind++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct snap_meta m = meta_with_secrets();
        struct raft_configuration *c = &m.config.configuration;
        struct snap_meta back;

        snap_meta_give(&m);
        if (kind == 1)
            c->cluster_id[15] = 1;
        if (kind == 2)
            c->servers[1].incarnation = 1;
        if (kind == 3)
            c->servers[1].id++;
        if (kind == 4)
            c->removed[0].id++;
        assert_int_equal(snap_meta_encode(&m, &b), 0);
        assert_int_equal(snap_meta_decode(b.data, b.len, &back), kind == 0 ? 0 : SNAP_E_DAMAGED);
    }
}

static void snap__errors_have_words(void **state)
{
    (void)state;
    for (int rc = SNAP_E_MISSING; rc <= SNAP_E_GIVEN; rc++)
        assert_string_not_equal(snap_error_text(rc), "unknown");
    assert_string_equal(snap_error_text(0), "unknown");
}

/* ---- writing and reading ---- */

static void snap__made_and_read(void **state)
{
    struct rig *rig = rig_new(1);
    unsigned char body[BODY_MAX];
    unsigned char got[BODY_MAX];
    struct snap_meta m = meta_of(id_of(7, 3));
    cleanup_buf struct buf file = BUF_INIT;
    struct snap_writer *w = NULL;
    struct snap_reader *r = NULL;
    size_t size = 0;

    (void)state;
    (void)body_of(m.id, body);
    fake_disk_set_write_max(rig->disk, 333);
    assert_int_equal(snap_reader_new(rig->s, m.id, &r), SNAP_E_MISSING);
    assert_int_equal(snap_check(rig->s, m.id), SNAP_E_MISSING);
    assert_int_equal(snap_writer_new(rig->s, SNAP_MADE, &w), 0);
    assert_int_equal(snap_writer_add(w, body, 5000), 0);
    assert_int_equal(snap_writer_bytes(w), 5000);
    assert_int_equal(snap_bytes(rig->s), 5000);
    assert_int_equal(snap_writer_read(w, got, 5001, 0), SNAP_E_DAMAGED);
    assert_int_equal(snap_writer_add(w, body + 5000, m.body_bytes - 5000), 0);
    assert_int_equal(snap_writer_bytes(w), m.body_bytes);
    assert_int_equal(snap_writer_crc(w), m.body_crc);
    assert_int_equal(snap_writer_read(w, got, 4000, 3000), 0);
    assert_memory_equal(got, body + 3000, 4000);
    assert_int_equal(snap_writer_read(w, got, 1, UINT64_MAX), SNAP_E_DAMAGED);
    assert_int_equal(n_listed(rig), 0);
    assert_int_equal(snap_writer_finish(w, &m), 0);

    assert_int_equal(n_listed(rig), 1);
    file_of(&m, &file);
    assert_non_null(fake_disk_bytes(rig->disk, name_of(m.id), &size));
    assert_int_equal(size, file.len);
    assert_memory_equal(fake_disk_bytes(rig->disk, name_of(m.id), &size), file.data, size);
    assert_int_equal(snap_bytes(rig->s), file.len);
    assert_int_equal(fake_disk_n_files(rig->disk), 1);
    assert_good(rig, 7, 3);
    assert_int_equal(snap_reader_new(rig->s, id_of(7, 4), &r), SNAP_E_MISSING);
    assert_int_equal(snap_reader_new(rig->s, m.id, &r), 0);
    assert_int_equal(snap_reader_read(r, got, 10, m.body_bytes - 10), 0);
    assert_memory_equal(got, body + m.body_bytes - 10, 10);
    /* The trailer is none of the copy. */
    assert_int_equal(snap_reader_read(r, got, 11, m.body_bytes - 10), SNAP_E_DAMAGED);
    assert_int_equal(snap_reader_read(r, got, 1, m.body_bytes), SNAP_E_DAMAGED);
    assert_int_equal(snap_reader_read(r, got, 2, UINT64_MAX), SNAP_E_DAMAGED);
    assert_int_equal(snap_reader_read(r, got, 0, m.body_bytes), 0);
    snap_reader_drop(r);
    reopen(rig);
    assert_string_equal(err_text(), "");
    assert_good(rig, 7, 3);
    rig_free(rig);
}

static void snap__list_is_newest_first(void **state)
{
    static const struct raft_entry_id ids[] = {{2, 30}, {9, 8}, {3, 30}, {1, 100}, {5, 29}};
    static const raft_index order[] = {100, 30, 30, 29, 8};
    struct rig *rig = rig_new(1);
    struct snap_meta metas[SNAP_FILES_MAX];

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(write_one(rig, ids[i].index, ids[i].term), 0);
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(snap_list(rig->s, metas, SNAP_FILES_MAX), 5);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(metas[i].id.index, order[i]);
        assert_int_equal(metas[1].id.term, 3);
        assert_int_equal(metas[2].id.term, 2);
        assert_int_equal(snap_list(rig->s, metas, 2), 2);
        assert_int_equal(metas[0].id.index, 100);
        assert_int_equal(snap_list(rig->s, metas, 0), 0);
        reopen(rig);
    }
    rig_free(rig);
}

/* What the trailer says must be what was written, and of this folder. */
static void snap__finish_compares(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_meta m = meta_of(id_of(7, 3));

    (void)state;
    m.body_crc ^= 1;
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), SNAP_E_DAMAGED);
    m = meta_of(id_of(7, 3));
    m.body_bytes++;
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), SNAP_E_DAMAGED);
    m = meta_of(id_of(7, 3));
    m.config.index = 8;
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), SNAP_E_DAMAGED);
    m = meta_of(id_of(7, 3));
    m.cluster_id[15] ^= 1;
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), SNAP_E_FOREIGN);
    m = meta_of(id_of(7, 3));
    m.group = 1;
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), SNAP_E_FOREIGN);
    m = meta_of(id_of(7, 3));
    snap_meta_give(&m);
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), SNAP_E_GIVEN);
    assert_int_equal(fake_disk_n_files(rig->disk), 0);
    assert_int_equal(snap_bytes(rig->s), 0);
    assert_int_equal(n_listed(rig), 0);
    m = meta_of(id_of(7, 3));
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), 0);
    assert_good(rig, 7, 3);
    rig_free(rig);
}

static void snap__what_is_begun_counts_for_nothing(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_writer *made = NULL;
    struct snap_writer *received = NULL;
    unsigned char body[BODY_MAX] = {0};
    struct snap_meta m = meta_of(id_of(8, 3));

    (void)state;
    assert_int_equal(snap_writer_new(rig->s, SNAP_MADE, &made), 0);
    assert_int_equal(snap_writer_new(rig->s, SNAP_RECEIVED, &received), 0);
    assert_int_equal(snap_writer_add(made, body, 100), 0);
    assert_int_equal(snap_writer_add(received, body, 1000), 0);
    assert_int_equal(snap_bytes(rig->s), 1100);
    assert_true(has_name(rig, "made.tmp"));
    assert_true(has_name(rig, "received.tmp"));
    assert_false(snap_has_leavings(rig->s));
    snap_writer_drop(made);
    snap_writer_drop(NULL);
    assert_true(has_name(rig, "made.tmp")); /* whoever drops it has not to wait (SNAP-24) */
    assert_true(snap_has_leavings(rig->s));
    snap_clear_leavings(rig->s);
    assert_int_equal(snap_bytes(rig->s), 1000);
    assert_false(has_name(rig, "made.tmp"));
    assert_false(snap_has_leavings(rig->s));
    snap_writer_drop(received);
    received = NULL;
    assert_int_equal(snap_writer_new(rig->s, SNAP_RECEIVED, &received), 0);
    assert_false(snap_has_leavings(rig->s)); /* it is another's name now */
    snap_clear_leavings(rig->s);
    assert_true(has_name(rig, "received.tmp"));
    assert_int_equal(snap_bytes(rig->s), 0);
    snap_writer_drop(received);
    reopen(rig);
    assert_int_equal(fake_disk_n_files(rig->disk), 0);

    /* What a process left, and what could not be removed: gone at the open, or at the next one. */
    fake_disk_put(rig->disk, "made.tmp", body, 9);
    assert_int_equal(write_one(rig, 8, 3), 0);
    assert_false(has_name(rig, "made.tmp"));
    fake_disk_put(rig->disk, "made.tmp", body, 9);
    fake_disk_put(rig->disk, "received.tmp", body, 9);
    reopen(rig);
    assert_int_equal(fake_disk_n_files(rig->disk), 1);
    assert_good(rig, 8, 3);
    assert_int_equal(snap_bytes(rig->s), m.body_bytes + 104 + 20 + 4 + 2 * (14 + 2 + 9 + 9));
    rig_free(rig);
}

static void snap__one_of_the_same_entry_is_replaced(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_reader *r = NULL;
    unsigned char got[BODY_MAX];
    struct snap_meta m = meta_of(id_of(7, 3));
    struct snap_meta list[2];

    (void)state;
    m.limit_bytes = 1;
    assert_int_equal(write_one(rig, 5, 3), 0);
    assert_int_equal(write_meta(rig, SNAP_MADE, &m), 0);
    assert_int_equal(snap_check(rig->s, m.id), 0);
    assert_int_equal(snap_reader_new(rig->s, m.id, &r), 0);
    assert_int_equal(write_one(rig, 7, 3), 0);
    assert_int_equal(snap_list(rig->s, list, 2), 2);
    assert_int_equal(list[0].limit_bytes, 1000);
    assert_int_equal(snap_reader_meta(r)->limit_bytes, 1);
    assert_int_equal(snap_reader_read(r, got, m.body_bytes, 0), 0);
    snap_reader_drop(r);
    /* That it was read again was said of the other one (SNAP-5). */
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(n_listed(rig), 2);
    assert_good(rig, 7, 3);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(n_listed(rig), 1);
    rig_free(rig);
}

static void snap__there_is_a_bound_of_files(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_meta metas[SNAP_FILES_MAX];

    (void)state;
    for (unsigned i = 1; i <= SNAP_FILES_MAX; i++)
        assert_int_equal(write_one(rig, 10 + i, 3), 0);
    assert_int_equal(write_one(rig, 500, 3), SNAP_E_FULL);
    assert_int_equal(write_one(rig, 11, 3), 0); /* a replacement is none more */
    for (unsigned i = 0; i < 3; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct snap_meta m = meta_of(id_of(i == 0 ? 3 : 300 + i, 3));

        file_of(&m, &b);
        fake_disk_put(rig->disk, name_of(m.id), b.data, b.len);
    }
    reopen(rig);
    assert_int_equal(snap_list(rig->s, metas, SNAP_FILES_MAX), SNAP_FILES_MAX);
    assert_int_equal(metas[0].id.index, 302);
    assert_int_equal(metas[SNAP_FILES_MAX - 1].id.index, 13);
    assert_good(rig, 302, 3);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(n_listed(rig), 1);
    reopen(rig);
    assert_int_equal(n_listed(rig), 4);
    rig_free(rig);
}

/* ---- rot ---- */

/* The file as it is now: not in the list, or found out when it is read again. */
static void assert_found_out(struct rig *rig, struct raft_entry_id id, size_t at)
{
    reopen(rig);
    if (is_listed(rig, id)) {
        assert_int_equal(snap_check(rig->s, id), SNAP_E_DAMAGED);
        assert_false(is_listed(rig, id));
    } else if (err_text()[0] == '\0') {
        fail_msg("offset %zu: nothing was said", at);
    }
    assert_true(has_name(rig, name_of(id)));
}

/* A trailer that is whole behind a copy that is not as long as it says: seen without reading it. */
static void snap__the_length_is_compared(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_meta m = meta_of(id_of(6, 3));

    (void)state;
    for (int more = -3; more <= 3; more++) {
        cleanup_buf struct buf b = BUF_INIT;
        unsigned char body[BODY_MAX] = {0};

        (void)body_of(m.id, body);
        assert_int_equal(buf_add(&b, body, (size_t)((int)m.body_bytes + more)), 0);
        assert_int_equal(snap_meta_encode(&m, &b), 0);
        fake_disk_put(rig->disk, name_of(m.id), b.data, b.len);
        reopen(rig);
        assert_int_equal(is_listed(rig, m.id), more == 0);
        assert_int_equal(strstr(err_text(), "as many bytes") != NULL, more != 0);
    }
    rig_free(rig);
}

static void snap__every_changed_byte_is_found_out(void **state)
{
    struct rig *rig = rig_new(1);
    cleanup_buf struct buf b = BUF_INIT;
    struct snap_meta m = meta_of(id_of(6, 3));

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    file_of(&m, &b);
    for (size_t at = 0; at < b.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            fake_disk_flip(rig->disk, name_of(m.id), at, bit);
            assert_found_out(rig, m.id, at);
            fake_disk_flip(rig->disk, name_of(m.id), at, bit);
        }
    }
    for (size_t len = 0; len < b.len; len++) {
        fake_disk_put(rig->disk, name_of(m.id), b.data, len);
        assert_found_out(rig, m.id, len);
        /* And from the front, and from the middle, with the trailer whole. */
        fake_disk_put(rig->disk, name_of(m.id), b.data + len + 1, b.len - len - 1);
        assert_found_out(rig, m.id, len);
    }
    for (size_t more = 1; more < 5000; more += 499) {
        fake_disk_put(rig->disk, name_of(m.id), b.data, b.len);
        fake_disk_resize(rig->disk, name_of(m.id), b.len + more);
        assert_found_out(rig, m.id, b.len + more);
    }
    fake_disk_put(rig->disk, name_of(m.id), b.data, b.len);
    reopen(rig);
    assert_good(rig, 6, 3);
    rig_free(rig);
}

/* Behind the folder's back, while it is open. */
static void snap__damage_is_found_by_reading_again(void **state)
{
    struct rig *rig = rig_new(1);
    struct raft_entry_id id = id_of(7, 3);
    struct snap_reader *r = NULL;

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    assert_int_equal(write_one(rig, 7, 3), 0);
    fake_disk_flip(rig->disk, name_of(id), 8000, 1);
    assert_int_equal(snap_check(rig->s, id), SNAP_E_DAMAGED);
    assert_true(strstr(err_text(), "checksum") != NULL);
    assert_false(is_listed(rig, id));
    assert_int_equal(snap_check(rig->s, id), SNAP_E_DAMAGED);
    assert_int_equal(snap_reader_new(rig->s, id, &r), SNAP_E_DAMAGED);
    assert_int_equal(write_one(rig, 7, 3), 0); /* a better one takes its place */
    assert_good(rig, 7, 3);

    fake_disk_flip(rig->disk, name_of(id), 8210, 1); /* the trailer */
    assert_int_equal(snap_reader_new(rig->s, id, &r), SNAP_E_DAMAGED);
    assert_false(is_listed(rig, id));
    assert_int_equal(write_one(rig, 7, 3), 0);
    fake_disk_remove(rig->disk, name_of(id));
    assert_int_equal(snap_check(rig->s, id), SNAP_E_MISSING);
    assert_good(rig, 6, 3);
    rig_free(rig);
}

/* What the disk cannot read is damaged, and nothing worse; a full path of errors is none. */
static void snap__unreadable_is_damaged(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_reader *r = NULL;
    unsigned char got[10];
    struct raft_entry_id id = id_of(7, 3);

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    assert_int_equal(write_one(rig, 7, 3), 0);
    fake_disk_fail_read(rig->disk, name_of(id), 4000, 1);
    assert_int_equal(snap_reader_new(rig->s, id, &r), 0);
    assert_int_equal(snap_reader_read(r, got, 10, 0), 0);
    assert_int_equal(snap_reader_read(r, got, 10, 3995), -EIO);
    snap_reader_drop(r);
    reopen(rig);
    assert_int_equal(snap_check(rig->s, id), SNAP_E_DAMAGED);
    assert_false(is_listed(rig, id));
    fake_disk_fail_read(rig->disk, name_of(id), 8250, 1);
    reopen(rig);
    assert_true(strstr(err_text(), name_of(id)) != NULL);
    assert_false(is_listed(rig, id));
    assert_good(rig, 6, 3);
    rig_free(rig);
}

/* On its way, so that what the log syncs never waits for all of it (SNAP-14). */
static void snap__a_long_one_is_synced_on_its_way(void **state)
{
    static const unsigned char piece[256u << 10];
    struct rig *rig = rig_new(1);
    struct snap_writer *w = NULL;
    uint64_t bytes = 0;
    int rc;

    (void)state;
    assert_int_equal(snap_writer_new(rig->s, SNAP_MADE, &w), 0);
    fake_disk_fail_sync(rig->disk, 2, FAKE_DISK_SYNC_REVERT);
    for (rc = 0; rc == 0 && bytes <= 4 * (uint64_t)SNAP_SYNC_BYTES; bytes += sizeof(piece))
        rc = snap_writer_add(w, piece, sizeof(piece));
    assert_int_equal(rc, -EIO);
    assert_in_range(bytes, SNAP_SYNC_BYTES + 1, 2 * (uint64_t)SNAP_SYNC_BYTES);
    snap_writer_drop(w);
    assert_int_equal(fake_disk_n_files(rig->disk), 0); /* and nothing of it stays */
    rig_free(rig);
}

/* SNAP-24: the last one that holds a file without a name lets it go without waiting for the disk. */
static void snap__one_that_was_replaced_is_closed_later(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_reader *r = NULL;

    (void)state;
    assert_int_equal(write_one(rig, 5, 2), 0);
    assert_int_equal(snap_reader_new(rig->s, id_of(5, 2), &r), 0);
    snap_reader_drop(r);
    assert_false(snap_has_leavings(rig->s));
    assert_int_equal(snap_reader_new(rig->s, id_of(5, 2), &r), 0);
    assert_int_equal(write_one(rig, 5, 2), 0);
    snap_reader_drop(r);
    assert_true(snap_has_leavings(rig->s));
    assert_int_equal(fake_disk_n_open(rig->disk), 1);
    snap_clear_leavings(rig->s);
    assert_int_equal(fake_disk_n_open(rig->disk), 0);
    assert_false(snap_has_leavings(rig->s));
    assert_good(rig, 5, 2);
    rig_free(rig);
}

/* SNAP-5: what a name and a trailer say is not what was read again; nor is what another process
 * read, or what stood there before. */
static void snap__is_checked_as_it_stands_there(void **state)
{
    struct rig *rig = rig_new(1);
    char name[SNAP_NAME_BYTES] = "";

    (void)state;
    assert_false(snap_is_checked(rig->s, id_of(5, 2)));
    assert_int_equal(write_one(rig, 5, 2), 0);
    assert_false(snap_is_checked(rig->s, id_of(5, 2)));
    assert_int_equal(snap_check(rig->s, id_of(5, 2)), 0);
    assert_true(snap_is_checked(rig->s, id_of(5, 2)));
    assert_false(snap_is_checked(rig->s, id_of(5, 3)));
    assert_int_equal(write_one(rig, 5, 2), 0);
    assert_false(snap_is_checked(rig->s, id_of(5, 2)));
    assert_int_equal(snap_check(rig->s, id_of(5, 2)), 0);
    reopen(rig);
    assert_false(snap_is_checked(rig->s, id_of(5, 2)));
    assert_false(snap_damaged_name(rig->s, name, sizeof(name)));
    fake_disk_flip(rig->disk, name_of(id_of(5, 2)), 7, 1);
    assert_int_equal(snap_check(rig->s, id_of(5, 2)), SNAP_E_DAMAGED);
    assert_false(snap_is_checked(rig->s, id_of(5, 2)));
    assert_true(snap_damaged_name(rig->s, name, sizeof(name)));
    assert_string_equal(name, name_of(id_of(5, 2)));
    rig_free(rig);
}

/* A sync that said there is what is not: the page cache has it, the disk has not (SNAP-5). */
static void snap__a_lying_sync_is_found_out(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    fake_disk_fail_sync(rig->disk, 1, FAKE_DISK_SYNC_NEXT);
    assert_int_equal(write_one(rig, 7, 3), 0);
    assert_int_equal(snap_check(rig->s, id_of(7, 3)), SNAP_E_DAMAGED);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_good(rig, 6, 3);
    rig_free(rig);
}

/* One that the own log does not reach yet makes no other one go, and does not go (SNAP-23). */
static void snap__pruning_ends_where_the_log_does(void **state)
{
    struct rig *rig = rig_new(1);
    bool left;

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    assert_int_equal(write_one(rig, 9, 3), 0);
    assert_good(rig, 6, 3);
    assert_good(rig, 9, 3);
    assert_int_equal(snap_check(rig->s, id_of(6, 3)), 0);
    assert_int_equal(snap_check(rig->s, id_of(9, 3)), 0);
    assert_int_equal(snap_prune(rig->s, 8), 0);
    assert_int_equal(n_listed(rig), 2);
    assert_int_equal(write_one(rig, 8, 3), 0);
    assert_int_equal(snap_check(rig->s, id_of(8, 3)), 0);
    assert_int_equal(snap_prune(rig->s, 8), 0);
    assert_int_equal(n_listed(rig), 2);
    assert_false(is_listed(rig, id_of(6, 3)));
    assert_int_equal(snap_prune(rig->s, 9), 0);
    assert_int_equal(n_listed(rig), 1);
    assert_true(is_listed(rig, id_of(9, 3)));
    /* And where none is to be believed, one that is spared stays (SNAP-12). */
    assert_int_equal(write_one(rig, 10, 3), 0);
    assert_int_equal(write_one(rig, 11, 3), 0);
    assert_int_equal(snap_discard(rig->s, id_of(10, 3), &left), 0);
    assert_false(left);
    assert_int_equal(n_listed(rig), 1);
    assert_good(rig, 10, 3);
    reopen(rig);
    assert_int_equal(n_listed(rig), 1);
    rig_free(rig);
}

/* What is being read when none is to be believed goes later. */
static void snap__what_is_read_is_discarded_later(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_reader *r;
    bool left;

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    assert_int_equal(snap_reader_new(rig->s, id_of(6, 3), &r), 0);
    assert_int_equal(snap_discard(rig->s, id_of(0, 0), &left), 0);
    assert_true(left);
    snap_reader_drop(r);
    assert_int_equal(snap_discard(rig->s, id_of(0, 0), &left), 0);
    assert_false(left);
    assert_int_equal(n_listed(rig), 0);
    rig_free(rig);
}

/* Nobody waits for it any more (SNAP-18). */
static void snap__reading_again_can_be_ended(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    snap_stop(rig->s);
    assert_int_equal(snap_check(rig->s, id_of(6, 3)), -ECANCELED);
    assert_true(is_listed(rig, id_of(6, 3)));
    rig_free(rig);
}

/* ---- names ---- */

static void snap__names_are_hints(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    assert_int_equal(write_one(rig, 9, 3), 0);
    fake_disk_rename(rig->disk, name_of(id_of(9, 3)),
                     "00000000000000000010-00000000000000000003.snap");
    reopen(rig);
    assert_true(strstr(err_text(), "has the name of another") != NULL);
    assert_false(is_listed(rig, id_of(9, 3)));
    assert_false(is_listed(rig, id_of(10, 3)));
    assert_good(rig, 6, 3);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(fake_disk_n_files(rig->disk), 2);
    fake_disk_rename(rig->disk, "00000000000000000010-00000000000000000003.snap",
                     "00000000000000000005-00000000000000000003.snap");
    reopen(rig);
    assert_int_equal(n_listed(rig), 1);
    /* What it holds is newer than what was read again, whatever it is called. */
    assert_good(rig, 6, 3);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(fake_disk_n_files(rig->disk), 2);
    fake_disk_rename(rig->disk, "00000000000000000005-00000000000000000003.snap",
                     name_of(id_of(9, 3)));
    reopen(rig);
    assert_string_equal(err_text(), "");
    assert_good(rig, 9, 3);
    rig_free(rig);
}

static void snap__strange_names_are_left_alone(void **state)
{
    static const char *const names[] = {
        "9-3.snap",
        ".snap",
        "00000000000000000009-00000000000000000003.SNAP",
        "00000000000000000009-00000000000000000003.snap.old",
        "00000000000000000009-00000000000000000000.snap",
        "00000000000000000000-00000000000000000003.snap",
        "00072057594037927937-00000000000000000003.snap",
        "99999999999999999999-00000000000000000003.snap",
        "0000000000000000000a-00000000000000000003.snap",
        "00000000000000000009_00000000000000000003.snap",
        " 0000000000000000009-00000000000000000003.snap",
        "lost+found",
        "made",
        "made.tmp.old",
        "a.name.that.is.as.long.as.a.name.on.this.disk.may.be.at.most.snap",
    };
    struct raft_entry_id id;

    (void)state;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct rig *rig = rig_new(1);
        cleanup_buf struct buf b = BUF_INIT;
        struct snap_meta m = meta_of(id_of(9, 3));
        char name[64];
        size_t n = strlen(names[i]);

        (void)snprintf(name, sizeof(name), "%.63s", names[i]);
        assert_false(snap_name_parse(name, &id));
        file_of(&m, &b);
        fake_disk_put(rig->disk, name, b.data, b.len);
        reopen(rig);
        n = strlen(name);
        if (n >= 5 && strcmp(name + n - 5, ".snap") == 0)
            assert_true(strstr(err_text(), "is not the name of a snapshot") != NULL);
        else
            assert_string_equal(err_text(), "");
        assert_int_equal(n_listed(rig), 0);
        assert_int_equal(write_one(rig, 11, 3), 0);
        assert_good(rig, 11, 3);
        assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
        assert_true(has_name(rig, name));
        rig_free(rig);
    }
    assert_true(snap_name_parse("00072057594037927936-00000000000000000001.snap", &id));
    assert_true(id.index == RAFT_INDEX_MAX);
    assert_int_equal(id.term, 1);
}

static void snap__the_newest_that_is_not_good_is_told(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    for (unsigned i = 1; i <= 4; i++)
        assert_int_equal(write_one(rig, i, 1), 0);
    fake_disk_put(rig->disk, "old.snap", "x", 1);
    fake_disk_flip(rig->disk, name_of(id_of(1, 1)), 0, 1);
    fake_disk_resize(rig->disk, name_of(id_of(2, 1)), 3);
    fake_disk_resize(rig->disk, name_of(id_of(3, 1)), 0);
    reopen(rig);
    assert_true(strstr(err_text(), name_of(id_of(3, 1))) != NULL);
    assert_int_equal(n_listed(rig), 2);
    rig_free(rig);
}

/* What a later version or another cluster wrote is not removed, not replaced and not read. */
static void snap__what_is_not_ours_stays(void **state)
{
    for (unsigned kind = 0; kind < 3; kind++) {
        struct rig *rig = rig_new(1);
        cleanup_buf struct buf b = BUF_INIT;
        struct snap_meta m = meta_of(id_of(9, 3));
        struct snap_reader *r = NULL;
        const int why = kind == 0 ? SNAP_E_NEWER : SNAP_E_FOREIGN;
        size_t size = 0;

        (void)state;
        m.group = kind == 2;
        m.cluster_id[0] ^= kind == 1;
        file_of(&m, &b);
        if (kind == 0) { /* DISK-24 */
            put_u32(b.data + b.len - 20, SNAP_VERSION + 1);
            mend(b.data + m.body_bytes, b.len - m.body_bytes);
        }
        fake_disk_put(rig->disk, name_of(m.id), b.data, b.len);
        reopen(rig);
        assert_true(strstr(err_text(), "it is left as it is") != NULL);
        assert_int_equal(n_listed(rig), 0);
        assert_int_equal(snap_reader_new(rig->s, m.id, &r), SNAP_E_MISSING);
        assert_int_equal(snap_check(rig->s, m.id), SNAP_E_MISSING);
        assert_int_equal(write_one(rig, 9, 3), why);
        for (unsigned i = 10; i < 14; i++) {
            assert_int_equal(write_one(rig, i, 3), 0);
            assert_good(rig, i, 3);
            assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
            assert_int_equal(fake_disk_n_files(rig->disk), 2);
        }
        assert_memory_equal(fake_disk_bytes(rig->disk, name_of(m.id), &size), b.data, b.len);
        assert_int_equal(size, b.len);
        rig_free(rig);
    }
}

/* MEMBER-16. It is told, not read, and in nobody's way: the one that it was made of comes back from
 * the leader under that name. */
static void snap__one_that_was_given_is_none_of_ours(void **state)
{
    struct rig *rig = rig_new(1);
    cleanup_buf struct buf b = BUF_INIT;
    struct snap_meta m = meta_of(id_of(9, 3));
    struct snap_reader *r = NULL;

    (void)state;
    snap_meta_give(&m);
    file_of(&m, &b);
    fake_disk_put(rig->disk, name_of(m.id), b.data, b.len);
    reopen(rig);
    assert_non_null(strstr(err_text(),
                           "is a copy that a client was given ('ridctl snapshot --save'), "
                           "without the id of its cluster: no node goes on from it"));
    assert_int_equal(n_listed(rig), 0);
    assert_int_equal(snap_reader_new(rig->s, m.id, &r), SNAP_E_DAMAGED);
    assert_int_equal(snap_check(rig->s, m.id), SNAP_E_DAMAGED);
    assert_int_equal(fake_disk_n_files(rig->disk), 1);
    assert_int_equal(write_one(rig, 9, 3), 0);
    assert_good(rig, 9, 3);
    rig_free(rig);
}

/* ---- pruning ---- */

/* c checked, u not read again, d damaged, C and U and D: while it is being read (D: since before);
 * oldest first. What stays. */
static void snap__pruning_keeps_what_may_be_needed(void **state)
{
    static const struct {
        const char *files;
        const char *stay;
    } cases[] = {
        {"", ""},         {"u", "u"},         {"c", "c"},       {"uu", "uu"},
        {"cu", "cu"},     {"uc", ".c"},       {"cc", ".c"},     {"ccu", ".cu"},
        {"cuu", "cuu"},   {"uuu", "uuu"}, /* nobody knows whether one of them is good */
        {"cuuu", "c.uu"}, {"cuuuu", "c..uu"}, {"uuuc", "...c"}, {"ucuc", "...c"},
        {"Uc", "Uc"},     {"UuUc", "U.Uc"},   {"cUuu", "cUuu"}, {"cuUuu", "c.Uuu"},
        {"Cuc", "C.c"},   {"d", "d"},         {"dd", ".d"},     {"du", "du"},
        {"ddu", ".du"},   {"dc", ".c"},       {"cd", "cd"},     {"cdd", "c.d"},
        {"dcd", ".cd"},   {"ud", "ud"},       {"ucd", ".cd"},   {"ddcdduu", "..c.duu"},
        {"Dc", "Dc"},     {"cdud", "c.ud"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig *rig = rig_new(1);
        struct snap_reader *readers[10] = {NULL};
        const char *files = cases[i].files;

        for (unsigned k = 0; files[k] != '\0'; k++) {
            struct raft_entry_id id = id_of(20 + k, 3);

            assert_int_equal(write_one(rig, id.index, id.term), 0);
            if (strchr("UCD", files[k]) != NULL)
                assert_int_equal(snap_reader_new(rig->s, id, &readers[k]), 0);
            if (strchr("dD", files[k]) != NULL) {
                fake_disk_flip(rig->disk, name_of(id), 9, 3);
                assert_int_equal(snap_check(rig->s, id), SNAP_E_DAMAGED);
            }
            if (strchr("cC", files[k]) != NULL)
                assert_int_equal(snap_check(rig->s, id), 0);
        }
        for (unsigned again = 0; again < 2; again++) {
            assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
            for (unsigned k = 0; files[k] != '\0'; k++)
                if (has_name(rig, name_of(id_of(20 + k, 3))) != (cases[i].stay[k] != '.'))
                    fail_msg("%s: %s should be left, file %u", files, cases[i].stay, k);
            assert_int_equal(snap_bytes(rig->s), fake_disk_used(rig->disk));
        }
        for (unsigned k = 0; k < 10; k++)
            snap_reader_drop(readers[k]);
        rig_free(rig);
    }
}

static void snap__what_was_read_goes_when_it_is_closed(void **state)
{
    struct rig *rig = rig_new(1);
    struct snap_reader *r = NULL;
    unsigned char got[100];

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    assert_int_equal(write_one(rig, 7, 3), 0);
    assert_int_equal(snap_reader_new(rig->s, id_of(6, 3), &r), 0);
    assert_good(rig, 7, 3);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(snap_reader_read(r, got, 100, 0), 0);
    assert_good(rig, 6, 3);
    snap_reader_drop(r);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(n_listed(rig), 1);
    rig_free(rig);
}

/* That it was read again is known of this life of the folder alone. */
static void snap__a_new_process_knows_of_no_check(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    assert_int_equal(write_one(rig, 6, 3), 0);
    assert_int_equal(write_one(rig, 7, 3), 0);
    assert_good(rig, 7, 3);
    reopen(rig);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(n_listed(rig), 2);
    rig_free(rig);
}

static void snap__a_failed_removal_loses_nothing(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(write_one(rig, i, 1), 0);
    assert_good(rig, 3, 1);
    fake_disk_fail_call(rig->disk, 2, -EROFS);
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), -EROFS);
    assert_int_equal(n_listed(rig), 2);
    assert_good(rig, 2, 1);
    assert_good(rig, 3, 1);
    fake_disk_fail_call(rig->disk, 2, -EIO); /* the sync of the folder */
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), -EIO);
    assert_int_equal(n_listed(rig), 1);
    assert_int_equal(write_one(rig, 4, 1), 0);
    assert_good(rig, 4, 1);
    fake_disk_remove(rig->disk, name_of(id_of(3, 1)));
    assert_int_equal(snap_prune(rig->s, RAFT_INDEX_MAX), 0);
    assert_int_equal(n_listed(rig), 1);
    rig_free(rig);
}

/* ---- a disk without room, or that fails ---- */

static void fail_at_each_call(int error, int expected)
{
    for (unsigned replaces = 0; replaces < 2; replaces++) {
        for (unsigned n = 1;; n++) {
            struct rig *rig = rig_new(n);
            const raft_index index = replaces ? 14 : 21;
            uint64_t bytes;
            uint64_t calls;
            int rc;

            assert_int_equal(write_one(rig, 14, 3), 0);
            bytes = snap_bytes(rig->s);
            calls = fake_disk_n_calls(rig->disk);
            fake_disk_fail_call(rig->disk, n, error);
            rc = write_one(rig, index, 3);
            if (rc == 0) {
                assert_true(fake_disk_n_calls(rig->disk) - calls < n);
                assert_true(n > 10);
                rig_free(rig);
                break;
            }
            assert_int_equal(rc, expected);
            assert_true(err_text_for(rc)[0] != '\0');
            /* Nothing of it is left, and what was there is. */
            assert_int_equal(fake_disk_n_files(rig->disk), 1);
            assert_int_equal(snap_bytes(rig->s), bytes);
            assert_int_equal(fake_disk_used(rig->disk), bytes);
            assert_int_equal(n_listed(rig), 1);
            assert_good(rig, 14, 3);
            assert_int_equal(write_one(rig, index, 3), 0);
            assert_good(rig, index, 3);
            reopen(rig);
            assert_good(rig, 14, 3);
            assert_good(rig, index, 3);
            rig_free(rig);
        }
    }
}

static void snap__a_full_disk_at_each_call(void **state)
{
    (void)state;
    fail_at_each_call(-ENOSPC, SNAP_E_FULL);
    fail_at_each_call(-EDQUOT, SNAP_E_FULL);
    fail_at_each_call(-EIO, -EIO);
}

/* It fills up within a piece; and the writer, which goes on for a while, gets the same answer. */
static void snap__a_full_disk_gives_back_what_was_begun(void **state)
{
    struct rig *rig = rig_new(1);
    unsigned char body[BODY_MAX];
    struct snap_meta m = meta_of(id_of(7, 3));
    struct snap_writer *w = NULL;

    (void)state;
    (void)body_of(m.id, body);
    fake_disk_set_write_max(rig->disk, 512);
    fake_disk_set_capacity(rig->disk, 6000);
    assert_int_equal(snap_writer_new(rig->s, SNAP_RECEIVED, &w), 0);
    assert_int_equal(snap_writer_add(w, body, 5000), 0);
    assert_int_equal(snap_writer_add(w, body + 5000, 3200), SNAP_E_FULL);
    assert_int_equal(fake_disk_used(rig->disk), 0);
    assert_int_equal(fake_disk_n_files(rig->disk), 0);
    assert_int_equal(snap_bytes(rig->s), 0);
    assert_int_equal(snap_writer_add(w, body, 1), SNAP_E_FULL);
    assert_int_equal(snap_writer_read(w, body, 1, 0), SNAP_E_FULL);
    assert_int_equal(snap_writer_finish(w, &m), SNAP_E_FULL);
    /* The trailer finds no room. */
    fake_disk_set_capacity(rig->disk, m.body_bytes + 100);
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), SNAP_E_FULL);
    assert_int_equal(fake_disk_used(rig->disk), 0);
    fake_disk_set_capacity(rig->disk, 0);
    assert_int_equal(write_meta(rig, SNAP_RECEIVED, &m), 0);
    assert_good(rig, 7, 3);
    rig_free(rig);
}

static void snap__an_open_that_fails_can_be_repeated(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 4; n++) {
        struct rig *rig = rig_new(n);
        struct snap_folder *s = NULL;
        int rc;

        assert_int_equal(write_one(rig, 7, 3), 0);
        fake_disk_put(rig->disk, "made.tmp", "x", 1);
        fake_disk_put(rig->disk, "received.tmp", "x", 1);
        fake_disk_fail_call(rig->disk, n, -EROFS);
        rc = snap_open(&rig->conf, &s);
        assert_int_equal(rc, n <= 3 ? -EROFS : 0);
        fake_disk_fail_call(rig->disk, 0, 0);
        snap_close(s);
        reopen(rig);
        assert_good(rig, 7, 3);
        rig_free(rig);
    }
}

/* ---- loss of power ---- */

#define IDS_MAX 16u

/* A node that makes and receives snapshots, reads them again and removes the older ones, and what it
 * was told. */
struct life {
    struct rig *rig;
    struct prng prng;
    uint64_t seed;
    raft_index next;
    raft_index told; /* the newest that was told to be there; what is older may be gone; 0: none */
};

static void life_fail(const struct life *l, const char *what)
{
    fail_msg("seed=%" PRIu64 " next=%" PRIu64 " told=%" PRIu64 ": %s; %s", l->seed, l->next,
             l->told, what, err_text());
}

/* What must be there after any loss. */
static void life_judge(struct life *l)
{
    struct snap_meta metas[SNAP_FILES_MAX];
    unsigned n = snap_list(l->rig->s, metas, SNAP_FILES_MAX);
    bool found = l->told == 0;

    if (l->rig->s == NULL)
        life_fail(l, "no folder");
    for (unsigned i = 0; i < fake_disk_n_files(l->rig->disk); i++)
        if (strstr(fake_disk_name(l->rig->disk, i), ".snap") == NULL)
            life_fail(l, "what was begun is still there");
    for (unsigned i = 0; i < n; i++) {
        found = found || metas[i].id.index == l->told;
        if (metas[i].id.index >= l->next)
            life_fail(l, "one that nobody wrote");
        if (snap_check(l->rig->s, metas[i].id) != 0)
            life_fail(l, "one that is in the list is not good");
    }
    if (!found)
        life_fail(l, "one that was told to be finished is gone");
    if (n != fake_disk_n_files(l->rig->disk))
        life_fail(l, "one has its name and is not good");
}

/* One step; false when something of it failed. */
static bool life_step(struct life *l)
{
    struct snap_meta m;
    int rc;

    switch (prng_below(&l->prng, 4)) {
    case 0:
    case 1:
        m = meta_of(id_of(l->next++, 2));
        rc = write_meta(l->rig, prng_below(&l->prng, 2) ? SNAP_MADE : SNAP_RECEIVED, &m);
        if (rc == 0)
            l->told = m.id.index;
        return rc == 0;
    case 2: /* the newest again, by another way */
        if (snap_list(l->rig->s, &m, 1) == 0)
            return true;
        m = meta_of(m.id);
        return write_meta(l->rig, SNAP_MADE, &m) == 0;
    default:
        if (snap_list(l->rig->s, &m, 1) == 0)
            return true;
        rc = snap_check(l->rig->s, m.id);
        if (rc > 0)
            life_fail(l, "a good one is said to be damaged");
        if (rc == 0)
            l->told = m.id.index;
        return rc == 0 && snap_prune(l->rig->s, RAFT_INDEX_MAX) == 0;
    }
}

/* Opens after a loss; the power may go off in it again. */
static void life_open(struct life *l)
{
    for (;;) {
        snap_close(l->rig->s);
        l->rig->s = NULL;
        if (prng_below(&l->prng, 4) == 0)
            fake_disk_cut_after(l->rig->disk, 1 + prng_below(&l->prng, 3));
        if (snap_open(&l->rig->conf, &l->rig->s) == 0) {
            fake_disk_cut_after(l->rig->disk, 0);
            return;
        }
        if (!fake_disk_is_off(l->rig->disk))
            life_fail(l, "refused a legal image");
        fake_disk_power_on(l->rig->disk, NULL);
    }
}

static void life_run(uint64_t seed, unsigned rounds)
{
    struct life l = {.rig = rig_new(seed), .seed = seed, .next = 1};

    prng_init(&l.prng, seed);
    for (unsigned round = 0; round < rounds; round++) {
        fake_disk_cut_after(l.rig->disk, 1 + prng_below(&l.prng, 40));
        while (life_step(&l))
            continue;
        if (!fake_disk_is_off(l.rig->disk))
            life_fail(&l, "a step failed with the power on");
        /* A process that dies leaves the names that it did not sync, and the next one relies on
         * them until the power goes off in its turn (DISK-16). */
        if (prng_below(&l.prng, 3) == 0) {
            struct snap_meta m;

            fake_disk_restart(l.rig->disk);
            snap_close(l.rig->s);
            l.rig->s = NULL;
            assert_int_equal(snap_open(&l.rig->conf, &l.rig->s), 0);
            if (snap_list(l.rig->s, &m, 1) == 1) {
                l.told = m.id.index; /* whoever sees it may rely on it */
                assert_int_equal(snap_check(l.rig->s, m.id), 0);
                assert_int_equal(snap_prune(l.rig->s, RAFT_INDEX_MAX), 0);
            }
            fake_disk_cut_now(l.rig->disk);
        }
        fake_disk_power_on(l.rig->disk, NULL);
        life_open(&l);
        life_judge(&l);
    }
    rig_free(l.rig);
}

static void snap__loss_of_power(void **state)
{
    const char *text = getenv("RIDD_SNAP_SEEDS");
    unsigned n = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 400;

    (void)state;
    for (unsigned seed = 1; seed <= n; seed++)
        life_run(seed, 12);
}

/* Between any two calls, each with everything lost, everything kept, and by chance. */
static void snap__loss_of_power_at_each_call(void **state)
{
    static const struct fake_disk_cut cuts[] = {
        {.sector_bytes = 512, .keep_percent = 0, .garble_percent = 0},
        {.sector_bytes = 512, .keep_percent = 0, .garble_percent = 100},
        {.sector_bytes = 4096, .keep_percent = 100, .garble_percent = 0},
        {.sector_bytes = 512, .keep_percent = 50, .garble_percent = 30},
    };
    bool through = false;

    (void)state;
    for (unsigned n = 1; !through; n++) {
        for (unsigned c = 0; c < 12; c++) {
            struct rig *rig = rig_new(1000 * n + c);
            bool told[4] = {false};

            assert_int_equal(write_one(rig, 7, 3), 0);
            fake_disk_cut_after(rig->disk, n);
            told[0] = true;
            told[1] = write_one(rig, 14, 3) == 0;
            if (told[1] && snap_check(rig->s, id_of(14, 3)) == 0) {
                told[0] = false; /* may go now */
                (void)snap_prune(rig->s, RAFT_INDEX_MAX);
            }
            told[2] = write_one(rig, 21, 3) == 0;
            told[3] = told[2] && write_one(rig, 21, 3) == 0;
            through = told[3];
            fake_disk_cut_now(rig->disk);
            fake_disk_power_on(rig->disk, &cuts[c % 4]);
            reopen(rig);
            for (unsigned k = 0; k < 3; k++)
                if (told[k] || is_listed(rig, id_of(7 * (k + 1), 3)))
                    assert_good(rig, 7 * (k + 1), 3);
            assert_int_equal(n_listed(rig), fake_disk_n_files(rig->disk));
            rig_free(rig);
        }
    }
}

/* ---- threads ---- */

/* The real files: two writers, one who reads again and removes, and the loop, which asks. */
struct crowd {
    struct rig rig;
    uint64_t n_turns;
    _Atomic bool done;
};

static void crowd_must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, err_text());
    abort();
}

static void *crowd_writes(void *arg)
{
    struct crowd *c = arg;

    for (uint64_t i = 1; i <= c->n_turns; i++) {
        struct snap_meta m = meta_of(id_of(1 + i / 2, 3));

        crowd_must(write_meta(&c->rig, SNAP_MADE, &m) == 0, "made");
    }
    return NULL;
}

static void *crowd_receives(void *arg)
{
    struct crowd *c = arg;

    for (uint64_t i = 1; i <= c->n_turns; i++) {
        struct snap_meta m = meta_of(id_of(1 + i / 2, 3));

        crowd_must(write_meta(&c->rig, SNAP_RECEIVED, &m) == 0, "received");
    }
    return NULL;
}

static void *crowd_checks(void *arg)
{
    struct crowd *c = arg;
    struct snap_meta m;

    while (!c->done) {
        if (snap_list(c->rig.s, &m, 1) == 0)
            continue;
        crowd_must(snap_check(c->rig.s, m.id) == 0, "checked");
        crowd_must(snap_prune(c->rig.s, RAFT_INDEX_MAX) == 0, "pruned");
    }
    return NULL;
}

static void *crowd_reads(void *arg)
{
    struct crowd *c = arg;
    unsigned char got[BODY_MAX];
    unsigned char body[BODY_MAX];
    struct snap_meta m;

    while (!c->done) {
        struct snap_reader *r = NULL;
        int rc;

        (void)snap_bytes(c->rig.s);
        if (snap_list(c->rig.s, &m, 1) == 0)
            continue;
        rc = snap_reader_new(c->rig.s, m.id, &r);
        if (rc == SNAP_E_MISSING) /* an older one, and gone */
            continue;
        crowd_must(rc == 0, "opened");
        crowd_must(snap_reader_read(r, got, m.body_bytes, 0) == 0, "read");
        (void)body_of(m.id, body);
        crowd_must(memcmp(got, body, m.body_bytes) == 0, "compared");
        snap_reader_drop(r);
    }
    return NULL;
}

static void snap__threads_share_a_folder(void **state)
{
    const char *path = temp_folder_new("snap");
    struct crowd c = {.n_turns = 60};
    pthread_t threads[4];
    struct snap_meta m = {0};
    int dir_fd;

    (void)state;
    dir_fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(dir_fd >= 0);
    c.rig.conf = (struct snap_conf){.cluster_id = "sixteen bytes.."};
    assert_int_equal(vfs_posix_new(dir_fd, &c.rig.conf.vfs), 0);
    assert_int_equal(snap_open(&c.rig.conf, &c.rig.s), 0);
    assert_int_equal(pthread_create(&threads[0], NULL, crowd_writes, &c), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, crowd_receives, &c), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, crowd_checks, &c), 0);
    assert_int_equal(pthread_create(&threads[3], NULL, crowd_reads, &c), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    c.done = true;
    for (unsigned i = 2; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(snap_list(c.rig.s, &m, 1), 1);
    assert_int_equal(m.id.index, 31);
    assert_int_equal(snap_check(c.rig.s, m.id), 0);
    assert_int_equal(snap_prune(c.rig.s, RAFT_INDEX_MAX), 0);
    assert_int_equal(n_listed(&c.rig), 1);
    snap_close(c.rig.s);
    assert_int_equal(c.rig.conf.vfs->unlink(c.rig.conf.vfs->ctx, name_of(m.id)), 0);
    vfs_posix_free(c.rig.conf.vfs);
    assert_int_equal(close(dir_fd), 0);
    assert_int_equal(rmdir(path), 0); /* nothing else is left */
    temp_folder_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snap_meta__round_trip),
        cmocka_unit_test(snap_meta__every_change_is_seen),
        cmocka_unit_test(snap_meta__fields_have_bounds),
        cmocka_unit_test(snap_meta__later_versions_are_told_from_damage),
        cmocka_unit_test(snap_meta__what_is_given_tells_no_secret),
        cmocka_unit_test(snap_meta__one_that_is_given_and_tells_is_none),
        cmocka_unit_test(snap__errors_have_words),
        cmocka_unit_test(snap__made_and_read),
        cmocka_unit_test(snap__list_is_newest_first),
        cmocka_unit_test(snap__finish_compares),
        cmocka_unit_test(snap__what_is_begun_counts_for_nothing),
        cmocka_unit_test(snap__one_that_was_replaced_is_closed_later),
        cmocka_unit_test(snap__is_checked_as_it_stands_there),
        cmocka_unit_test(snap__one_of_the_same_entry_is_replaced),
        cmocka_unit_test(snap__there_is_a_bound_of_files),
        cmocka_unit_test(snap__the_length_is_compared),
        cmocka_unit_test(snap__every_changed_byte_is_found_out),
        cmocka_unit_test(snap__damage_is_found_by_reading_again),
        cmocka_unit_test(snap__unreadable_is_damaged),
        cmocka_unit_test(snap__a_long_one_is_synced_on_its_way),
        cmocka_unit_test(snap__a_lying_sync_is_found_out),
        cmocka_unit_test(snap__names_are_hints),
        cmocka_unit_test(snap__strange_names_are_left_alone),
        cmocka_unit_test(snap__the_newest_that_is_not_good_is_told),
        cmocka_unit_test(snap__what_is_not_ours_stays),
        cmocka_unit_test(snap__one_that_was_given_is_none_of_ours),
        cmocka_unit_test(snap__pruning_keeps_what_may_be_needed),
        cmocka_unit_test(snap__what_was_read_goes_when_it_is_closed),
        cmocka_unit_test(snap__pruning_ends_where_the_log_does),
        cmocka_unit_test(snap__what_is_read_is_discarded_later),
        cmocka_unit_test(snap__reading_again_can_be_ended),
        cmocka_unit_test(snap__a_new_process_knows_of_no_check),
        cmocka_unit_test(snap__a_failed_removal_loses_nothing),
        cmocka_unit_test(snap__a_full_disk_at_each_call),
        cmocka_unit_test(snap__a_full_disk_gives_back_what_was_begun),
        cmocka_unit_test(snap__an_open_that_fails_can_be_repeated),
        cmocka_unit_test(snap__loss_of_power),
        cmocka_unit_test(snap__loss_of_power_at_each_call),
        cmocka_unit_test(snap__threads_share_a_folder),
    };

    return cmocka_run_group_tests_name("snap", tests, NULL, NULL);
}
