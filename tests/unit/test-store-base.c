/* store: a log whose front was removed, and bytes that a later version wrote. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "unit/store-forge.h"
#include "unit/store-model.h"

struct log {
    struct fake_disk *disk;
    struct store_conf conf;
    struct store *store;
    struct store_recovered rec;
    raft_index last;
    uint64_t number;
};

static void settle(struct log *l)
{
    store_close(l->store);
    l->store = NULL;
    store_recovered_done(&l->rec);
    fake_disk_power_on(l->disk, &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 100});
}

static int reopen(struct log *l)
{
    int rc;

    settle(l);
    l->conf.salt_seed++;
    err_reset();
    rc = store_open(&l->conf, &l->rec, &l->store);
    if (rc == 0) {
        l->last = l->rec.last_index;
        l->number = 0;
    }
    return rc;
}

static void log_begin(struct log *l, uint16_t group)
{
    size_t len;
    const void *config = model_config(&len);

    *l = (struct log){.disk = fake_disk_new(1)};
    model_conf(&l->conf, fake_disk_vfs(l->disk), 8192, 8192);
    l->conf.group = group;
    assert_int_equal(store_create(&l->conf, config, len), 0);
    assert_int_equal(reopen(l), 0);
}

static void log_end(struct log *l)
{
    store_close(l->store);
    store_recovered_done(&l->rec);
    assert_int_equal(fake_disk_n_open(l->disk), 0);
    fake_disk_free(l->disk);
}

/* One entry of 2000 bytes, of which all but the first say its index. */
static void append(struct log *l, raft_term term, raft_index truncate_from)
{
    unsigned char data[2000];
    struct raft_entry e = {.type = RAFT_ENTRY_COMMAND, .len = sizeof(data), .data = data};
    uint64_t number = 0;

    if (truncate_from != 0)
        l->last = truncate_from - 1;
    e.id = (struct raft_entry_id){.term = term, .index = ++l->last};
    memset(data, (int)e.id.index, sizeof(data));
    data[0] = (unsigned char)term;
    assert_int_equal(store_submit(l->store, &(struct store_batch){.number = ++l->number,
                                                                  .has_hard_state = true,
                                                                  .hard_state = {term, 1},
                                                                  .truncate_from = truncate_from,
                                                                  .entries = &e,
                                                                  .n_entries = 1}),
                     0);
    assert_int_equal(store_work(l->store, &number), 0);
    assert_true(number == l->number);
}

/* Entries from..to are there, in calls of any size, and of these terms. */
static void check_entries(struct log *l, raft_index from, raft_index to, raft_term term_of_last)
{
    struct arena arena;

    arena_init(&arena, mem_libc);
    for (raft_index next = from; next <= to;) {
        struct raft_entry e[3];
        unsigned n = 0;

        assert_int_equal(store_read(l->store, next, to, 4500, &arena, e, 3, &n), 0);
        for (unsigned i = 0; i < n; i++, next++) {
            const unsigned char *data = e[i].data;

            assert_true(e[i].id.index == next && e[i].len == 2000);
            assert_true(data[0] == e[i].id.term && data[1999] == (unsigned char)next);
            if (next == to)
                assert_true(e[i].id.term == term_of_last);
        }
    }
    arena_done(&arena);
}

static int read_one(struct log *l, raft_index index)
{
    struct raft_entry e;
    struct arena arena;
    unsigned n = 0;
    int rc;

    arena_init(&arena, mem_libc);
    rc = store_read(l->store, index, index + 1, 1, &arena, &e, 1, &n);
    arena_done(&arena);
    return rc;
}

/* What is before segment `seq`. */
static struct raft_entry_id before_segment(const struct log *l, uint64_t seq)
{
    char name[STORE_NAME_BYTES];
    struct segment_header h;
    size_t size;

    store_name_segment(name, seq);
    assert_int_equal(segment_header_decode(fake_disk_bytes(l->disk, name, &size), &h), 0);
    return (struct raft_entry_id){.term = h.prev_last_term, .index = h.prev_last_index};
}

/* Removes the oldest segments, by hand. */
static void remove_front(struct log *l, uint64_t n_segments)
{
    char name[STORE_NAME_BYTES];

    settle(l);
    for (uint64_t seq = 1; seq <= n_segments; seq++) {
        store_name_segment(name, seq);
        fake_disk_remove(l->disk, name);
    }
}

static void mark(struct log *l, struct raft_entry_id id)
{
    uint64_t number;

    assert_int_equal(store_mark(l->store, id), 0);
    assert_int_equal(store_work(l->store, &number), 0);
    assert_true(store_marked(l->store) >= id.index);
}

/* Index 2 to 7 of term 1, 8 to 13 of term 3, two in a segment. */
static void begin_whole(struct log *l)
{
    log_begin(l, 0);
    while (l->last < 13)
        append(l, l->last < 7 ? 1 : 3, 0);
}

/* The same, of which the first four segments go. */
static void begin_compacted(struct log *l, struct raft_entry_id *ret_base)
{
    begin_whole(l);
    *ret_base = before_segment(l, 5);
    mark(l, *ret_base);
    remove_front(l, 4);
    assert_true(ret_base->index > 3 && ret_base->index < 7);
    assert_true(ret_base->term == 1);
}

/* ---- a log that begins above 1 ---- */

/* DISK-23: what was before the first segment must be somewhere. */
static void store__a_front_without_a_snapshot_is_missing(void **state)
{
    struct raft_entry_id base;
    struct log l;

    (void)state;
    begin_whole(&l);
    remove_front(&l, 4);
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "segment 1 is missing"));
    log_end(&l);
    begin_whole(&l);
    base = before_segment(&l, 5);
    mark(&l, (struct raft_entry_id){1, base.index - 1});
    remove_front(&l, 4);
    assert_int_equal(reopen(&l), STORE_E_DAMAGED);
    assert_non_null(strstr(err_text(), "a segment is missing: the log begins at index"));
    assert_non_null(strstr(err_text(), "no mark says that a snapshot covers what was before it"));
    log_end(&l);
}

static void store__a_snapshot_lets_the_log_begin_behind_its_base(void **state)
{
    struct raft_entry_id base;
    struct log l;

    (void)state;
    begin_compacted(&l, &base);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.base.index == base.index && l.rec.base.term == base.term);
    assert_true(l.rec.last_index == 13 && l.rec.commit_index >= base.index);
    assert_true(l.rec.marked.index == base.index && l.rec.marked.term == base.term);
    assert_int_equal(l.rec.n_configs, 1); /* the one in force */
    assert_true(l.rec.configs[0].index == 1 && l.rec.configs[0].configuration.n == 3);
    assert_int_equal(l.rec.n_terms, 2);
    assert_true(l.rec.terms[0].first == base.index + 1 && l.rec.terms[0].term == 1);
    assert_true(l.rec.terms[1].first == 8 && l.rec.terms[1].term == 3);
    assert_true(l.rec.hard_state.current_term == 3 && l.rec.hard_state.voted_for == 1);
    check_entries(&l, base.index + 1, 13, 3);
    log_end(&l);
}

/* Below the beginning is another answer than behind the end: the one is the snapshot's to give, the
 * other nobody's. */
static void store__reading_below_the_base_is_an_outcome(void **state)
{
    struct raft_entry_id base;
    struct log l;

    (void)state;
    begin_compacted(&l, &base);
    assert_int_equal(reopen(&l), 0);
    for (raft_index index = 1; index <= base.index; index++)
        assert_int_equal(read_one(&l, index), STORE_E_COMPACTED);
    assert_int_equal(read_one(&l, base.index + 1), 0);
    assert_int_equal(read_one(&l, 13), 0);
    assert_int_equal(read_one(&l, 14), -ERANGE);
    log_end(&l);
}

static void store__a_log_with_a_base_goes_on(void **state)
{
    struct raft_entry_id base;
    struct log l;

    (void)state;
    begin_compacted(&l, &base);
    assert_int_equal(reopen(&l), 0);
    append(&l, 4,
           base.index + 1); /* all that is left may be replaced: nothing of it is committed */
    while (l.last < 12)
        append(&l, 4, 0);
    check_entries(&l, base.index + 1, 12, 4);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.base.index == base.index && l.rec.last_index == 12 + i);
        assert_int_equal(l.rec.n_terms, 1);
        assert_true(l.rec.terms[0].first == base.index + 1 && l.rec.terms[0].term == 4);
        check_entries(&l, base.index + 1, 12 + i, 4);
        append(&l, 4, 0);
    }
    log_end(&l);
}

/* Log and mark must be of one history (DISK-9, DISK-23). */
static void store__a_mark_must_fit_the_log(void **state)
{
    static const unsigned char hash[SNAPMARK_BYTES];
    const struct {
        struct raft_entry_id mark;
        bool fits;
    } rows[] = {
        {{1, 7}, true},  {{3, 8}, true},   {{3, 13}, true},  {{2, 7}, false},
        {{1, 8}, false}, {{3, 14}, false}, {{0, 10}, false},
    };

    (void)state;
    for (unsigned whole = 0; whole < 2; whole++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct raft_entry_id base;
            struct log l;
            int rc;

            if (whole) { /* a snapshot beside a log that still has everything */
                begin_whole(&l);
                settle(&l);
            } else {
                begin_compacted(&l, &base);
            }
            forge_batch(l.disk, &l.conf,
                        &(struct record){.type = RECORD_SNAPMARK,
                                         .index = rows[i].mark.index,
                                         .term = rows[i].mark.term,
                                         .len = sizeof(hash),
                                         .data = hash},
                        1, &(struct raft_entry_id){3, 13});
            rc = reopen(&l);
            if (rc != (rows[i].fits ? 0 : STORE_E_DAMAGED) ||
                (!rows[i].fits && strstr(err_text(), "a snapshot mark does not") == NULL))
                fail_msg("row %zu: %d %s", i, rc, err_text());
            if (rc == 0)
                assert_true(l.rec.marked.index == rows[i].mark.index);
            log_end(&l);
        }
}

/* A truncation of everything that is left ends where the snapshot does, with the snapshot's term. */
static void store__a_log_may_be_truncated_to_its_base(void **state)
{
    struct raft_entry_id base;
    uint64_t number = 0;
    struct log l;

    (void)state;
    begin_compacted(&l, &base);
    assert_int_equal(reopen(&l), 0);
    assert_int_equal(store_submit(l.store, &(struct store_batch){.number = ++l.number,
                                                                 .truncate_from = base.index + 1}),
                     0);
    assert_int_equal(store_work(l.store, &number), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(reopen(&l), 0);
        assert_true(l.rec.last_index == base.index && l.rec.base.index == base.index);
        assert_int_equal(l.rec.n_terms, 0);
    }
    assert_int_equal(read_one(&l, base.index), STORE_E_COMPACTED);
    assert_int_equal(read_one(&l, base.index + 1), -ERANGE);
    append(&l, 5, 0);
    assert_int_equal(reopen(&l), 0);
    check_entries(&l, base.index + 1, base.index + 1, 5);
    log_end(&l);
}

/* What a snapshot covers is committed: nothing correct removes it. */
static void store__a_truncation_below_the_base_is_damage(void **state)
{
    struct raft_entry_id base;

    (void)state;
    for (unsigned below = 0; below < 3; below++) {
        const struct raft_entry_id last = {1, 0};
        struct log l;

        begin_compacted(&l, &base);
        forge_batch(l.disk, &l.conf,
                    &(struct record){.type = RECORD_TRUNCATE, .index = base.index + 1 - below}, 1,
                    &(struct raft_entry_id){last.term, base.index - below});
        assert_int_equal(reopen(&l), below == 0 ? 0 : STORE_E_DAMAGED);
        if (below == 0)
            assert_true(l.rec.last_index == base.index && l.rec.n_terms == 0);
        else
            assert_non_null(strstr(err_text(), "truncation"));
        log_end(&l);
    }
}

static void dump_says(struct log *l, int want, const char *text)
{
    cleanup_free char *out = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&out, &len);

    assert_non_null(f);
    settle(l);
    assert_int_equal(store_dump(&l->conf, f), want);
    assert_int_equal(fclose(f), 0);
    if (strstr(out, text) == NULL)
        fail_msg("no '%s' in: %s", text, out);
}

static void store__dump_shows_where_the_log_begins(void **state)
{
    struct raft_entry_id base;
    struct log l;
    char text[64];

    (void)state;
    begin_compacted(&l, &base);
    (void)snprintf(text, sizeof(text), "begins_behind_index=%" PRIu64 " term=1\n", base.index);
    dump_says(&l, 0, text);
    (void)snprintf(text, sizeof(text), "\nmarked_index=%" PRIu64 " term=1\n", base.index);
    dump_says(&l, 0, text);
    log_end(&l);
}

/* ---- a later version ---- */

static void expect_newer(struct log *l, const char *why)
{
    for (unsigned i = 0; i < 2; i++) { /* the refusal changed nothing */
        assert_int_equal(reopen(l), STORE_E_NEWER);
        assert_non_null(strstr(err_text(), why));
        assert_non_null(strstr(err_text(), "start that version"));
        assert_null(strstr(err_text(), "LOST DISK"));
    }
    dump_says(l, STORE_E_NEWER, "verdict=newer: ");
}

/* Neither torn nor damaged: its bytes are as they were meant, in a whole batch and in one that a
 * crash cut short (DISK-24). */
static void store__records_of_a_later_version_are_refused(void **state)
{
    static const struct {
        struct record rec;
        const char *why;
    } rows[] = {
        {{.type = RECORD_TYPE_MAX + 1, .index = 3, .term = 1}, "a type that this version"},
        {{.type = RECORD_TYPE_LIMIT}, "a type that this version"},
        {{.type = RECORD_ENTRY, .flags = 1, .group = 1, .index = 3, .term = 1}, "a group"},
        {{.type = RECORD_SYNCMARK, .group = UINT16_MAX}, "a group"},
        {{.type = RECORD_ENTRY, .flags = RAFT_ENTRY_READ + 1, .index = 3, .term = 1},
         "an entry is of a type"},
        {{.type = RECORD_ENTRY,
          .flags = RAFT_ENTRY_CONFIG,
          .index = 3,
          .term = 1,
          .len = 4,
          .data = (const unsigned char *)"\4\0\1\0"},
         "a configuration is of a format"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (unsigned whole = 0; whole < 2; whole++) {
            const struct raft_entry_id last = {1, rows[i].rec.type == RECORD_ENTRY ? 3 : 2};
            struct log l;

            log_begin(&l, 0);
            append(&l, 1, 0);
            settle(&l);
            forge_batch(l.disk, &l.conf, &rows[i].rec, 1, whole ? &last : NULL);
            if (whole || i < 4)
                expect_newer(&l, rows[i].why);
            else /* what an entry says is looked at only in a whole batch */
                assert_int_equal(reopen(&l), 0);
            log_end(&l);
        }
}

static void store__segments_of_a_later_version_are_refused(void **state)
{
    const unsigned char *bytes;
    struct log l;
    size_t size;

    (void)state;
    log_begin(&l, 0);
    append(&l, 1, 0);
    settle(&l);
    forge_version(l.disk, "0000000000000002.wal", SEGMENT_VERSION + 1);
    expect_newer(&l, "format version");
    forge_version(l.disk, "0000000000000002.wal", SEGMENT_VERSION);
    assert_int_equal(reopen(&l), 0);
    log_end(&l);
    /* Prepared by the later version, which then went away. */
    log_begin(&l, 0);
    append(&l, 1, 0);
    settle(&l);
    bytes = fake_disk_bytes(l.disk, "0000000000000002.wal", &size);
    fake_disk_put(l.disk, "0000000000000003.prep", bytes, size);
    forge_version(l.disk, "0000000000000003.prep", SEGMENT_VERSION + 1);
    expect_newer(&l, "format version");
    log_end(&l);
}

/* One group exists; the number is in every record all the same. */
static void store__records_carry_their_group(void **state)
{
    struct log l;

    (void)state;
    log_begin(&l, 3);
    append(&l, 1, 0);
    assert_int_equal(reopen(&l), 0);
    assert_true(l.rec.last_index == 2);
    assert_int_equal(read_one(&l, 2), 0);
    settle(&l);
    l.conf.group = 0;
    expect_newer(&l, "a group that this version does not have");
    log_end(&l);
}

static void store__outcomes_have_texts(void **state)
{
    (void)state;
    for (int i = 0; i <= STORE_E_COMPACTED + 1; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(store_error_text(i), store_error_text(k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__a_front_without_a_snapshot_is_missing),
        cmocka_unit_test(store__a_snapshot_lets_the_log_begin_behind_its_base),
        cmocka_unit_test(store__reading_below_the_base_is_an_outcome),
        cmocka_unit_test(store__a_log_with_a_base_goes_on),
        cmocka_unit_test(store__a_log_may_be_truncated_to_its_base),
        cmocka_unit_test(store__a_mark_must_fit_the_log),
        cmocka_unit_test(store__a_truncation_below_the_base_is_damage),
        cmocka_unit_test(store__dump_shows_where_the_log_begins),
        cmocka_unit_test(store__records_of_a_later_version_are_refused),
        cmocka_unit_test(store__segments_of_a_later_version_are_refused),
        cmocka_unit_test(store__records_carry_their_group),
        cmocka_unit_test(store__outcomes_have_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
