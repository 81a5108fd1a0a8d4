/* The log's segments: a script builds a real log on a disk in memory, breaks it, and opens it again.
 *
 * How it was broken says what recovery owes:
 *   HONEST   power cuts, crashes, failed syncs, a full disk: it opens, holds at least what was
 *            reported durable and nothing that was not submitted
 *   ROTTEN   bits, sectors, sizes and files changed or lost, no checksum mended: refused, or the log
 *            as it was behind some batch; after one flipped bit at most the last batch is missing
 *   FORGED   checksums mended, records and headers edited, made up, repeated, removed: refused, or a
 *            log without contradictions that the core accepts, that can be read from end to end,
 *            written to and opened again
 * In every case: no other outcome than those of store.h, no handle left open, and a dump that changes
 * nothing, judges as the open does and prints printable lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"
#include "fuzz/fuzz.h"
#include "fuzz/log-rig.h"

#include "base/banned.h"

const char fuzz_name[] = "log";
const unsigned fuzz_runs = 4000;

/* ---- the model ---- */

static void model_of(const struct log_rig *rig, unsigned n, struct model *ret_model)
{
    model_init(ret_model);
    for (unsigned i = 0; i < n; i++)
        model_apply(ret_model, &rig->batches[i]);
}

/* What the batches noted, as far as it is still in the log. */
static raft_index commit_of(const struct log_rig *rig, unsigned n)
{
    raft_index commit = 1;

    for (unsigned i = 0; i < n; i++) {
        const struct model_batch *b = &rig->batches[i];

        if (b->truncate_from != 0 && commit >= b->truncate_from)
            commit = b->truncate_from - 1;
        if (b->commit_index > commit)
            commit = b->commit_index;
    }
    return commit;
}

/* Ends below `least` with -1: no state between the two is what was found. */
static int find_batches(struct log_rig *rig, const struct store_recovered *rec, unsigned least)
{
    for (unsigned n = rig->n_batches + 1; n-- > least;) {
        struct model m = {0};
        const char *why = "";
        bool same;

        model_of(rig, n, &m);
        same = model_equal_recovered(&m, rec) && rec->commit_index == commit_of(rig, n) &&
               model_equal_read(&m, rig->store, 1, rec->last_index, &rig->prng, &why);
        if (same) {
            model_done(&rig->newest);
            rig->newest = m;
            return (int)n;
        }
        model_done(&m);
    }
    return -1;
}

/* Is there a segment with a good header of another cluster, node or incarnation? */
static bool has_foreign(const struct log_rig *rig)
{
    for (unsigned i = 0; i < fake_disk_n_files(rig->disk); i++) {
        const char *name = fake_disk_name(rig->disk, i);
        struct segment_header h;
        size_t size = 0;
        const unsigned char *bytes = fake_disk_bytes(rig->disk, name, &size);

        if (strstr(name, ".wal") != NULL && size >= SEGMENT_HEADER_BYTES &&
            segment_header_decode(bytes, &h) == 0 &&
            (h.node_id != rig->conf.node_id || h.incarnation != rig->conf.incarnation ||
             memcmp(h.cluster_id, rig->conf.cluster_id, sizeof(h.cluster_id)) != 0))
            return true;
    }
    return false;
}

static void read_forged(struct log_rig *rig, const struct store_recovered *rec)
{
    struct raft_entry entries[8];
    struct arena arena;
    raft_index next = 1;
    size_t range = 0;

    model_done(&rig->newest);
    rig->newest.hard_state = rec->hard_state;
    arena_init(&arena, mem_libc);
    while (next <= rec->last_index) {
        unsigned n = 0;

        rid_assert(store_read(rig->store, next, rec->last_index, 900, &arena, entries, 8, &n) == 0);
        rid_assert(n >= 1);
        rid_assert(n <= 8);
        for (unsigned i = 0; i < n; i++, next++) {
            struct model_batch one = {.n_entries = 1};

            while (range + 1 < rec->n_terms && rec->terms[range + 1].first <= next)
                range++;
            rid_assert(entries[i].id.index == next);
            rid_assert(entries[i].id.term == rec->terms[range].term);
            rid_assert(entries[i].type >= RAFT_ENTRY_NOOP);
            rid_assert(entries[i].type <= RAFT_ENTRY_READ);
            one.entries[0] = (struct model_entry){
                .term = entries[i].id.term, .type = entries[i].type, .len = entries[i].len};
            model_apply(&rig->newest, &one);
        }
        arena_reset(&arena);
    }
    arena_done(&arena);
}

/* ---- judging ---- */

static void check_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        rid_assert((text[i] >= 0x20 && text[i] < 0x7f) || text[i] == '\n');
}

static int dump(struct log_rig *rig)
{
    uint64_t n_calls = fake_disk_n_calls(rig->disk);
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    int r;

    rid_assert(f != NULL);
    r = store_dump(&rig->conf, f);
    rid_assert(fclose(f) == 0);
    if (r >= 0) {
        rid_assert(len > 0);
        rid_assert(text[len - 1] == '\n');
        rid_assert(strstr(text, "verdict=") != NULL);
    }
    check_text(text, len);
    free(text);
    rid_assert(fake_disk_n_calls(rig->disk) == n_calls);
    rid_assert(fake_disk_n_open(rig->disk) == 0);
    return r;
}

static int no_read(void *ctx, raft_index from, raft_index to, size_t bytes_max, struct arena *arena,
                   struct raft_entry *ret_entries, unsigned n_max, unsigned *ret_n)
{
    (void)ctx;
    (void)from;
    (void)to;
    (void)bytes_max;
    (void)arena;
    (void)ret_entries;
    (void)n_max;
    (void)ret_n;
    return -EIO;
}

/* What every log that opens must be, wherever its bytes come from. */
static void check_recovered(const struct log_rig *rig, const struct store_recovered *rec)
{
    struct raft_start start = {.hard_state = rec->hard_state,
                               .last_index = rec->last_index,
                               .commit_index = rec->commit_index,
                               .terms = rec->terms,
                               .n_terms = rec->n_terms,
                               .configs = rec->configs,
                               .n_configs = rec->n_configs};
    struct raft_conf conf;
    struct raft *raft = NULL;

    raft_conf_init(&conf);
    conf.id = rig->conf.node_id;
    conf.log_reader.read = no_read;
    rid_assert(raft_new(&conf, &start, 0, &raft) == 0);
    raft_check(raft);
    raft_free(raft);
    check_text(rec->torn_text, strlen(rec->torn_text));
    rid_assert(rec->torn_tail == (rec->torn_text[0] != '\0'));
}

static void judge_opened(struct log_rig *rig, const struct store_recovered *rec)
{
    unsigned least = 0;
    int n;

    check_recovered(rig, rec);
    if (rig->trust == FORGED) {
        read_forged(rig, rec);
        return;
    }
    if (rig->trust == HONEST)
        least = rig->n_durable;
    else if (rig->n_damages == 1 && rig->flipped_once)
        least = rig->n_durable_before;
    n = find_batches(rig, rec, least);
    rid_assert(n >= 0);
    rig->n_batches = (unsigned)n;
    rig->n_durable = (unsigned)n;
    rig->n_durable_before = (unsigned)n;
}

static void close_log(struct log_rig *rig)
{
    store_close(rig->store);
    rig->store = NULL;
    rid_assert(fake_disk_n_open(rig->disk) == 0);
}

void log_rig_restart(struct log_rig *rig, const struct fake_disk_cut *cut)
{
    close_log(rig);
    if (cut != NULL || fake_disk_is_off(rig->disk)) {
        fake_disk_power_on(rig->disk, cut);
        rig->cache_lies = false;
    } else {
        fake_disk_restart(rig->disk);
    }
    fake_disk_fail_call(rig->disk, 0, 0);
    fake_disk_set_capacity(rig->disk, 0);
    rig->faults = false;
}

/* False when it was refused, rightly: the script is over. */
static bool open_log(struct log_rig *rig)
{
    struct store_recovered rec = {0};
    int verdict = 0;
    bool comparable;
    bool foreign;
    int r;

    if (rig->store != NULL)
        return true;
    if (fake_disk_is_off(rig->disk))
        log_rig_restart(rig, NULL);
    /* Of honest logs only where it is asked for: it takes longer than opening. */
    comparable = !rig->faults && !rig->cache_lies && (rig->dumps || rig->trust != HONEST);
    if (comparable)
        verdict = dump(rig);
    foreign = rig->trust == FORGED && has_foreign(rig);
    r = store_open(&rig->conf, &rec, &rig->store);
    if (r < 0) {
        rid_assert(rig->faults);
        log_rig_restart(rig, NULL);
        r = store_open(&rig->conf, &rec, &rig->store);
        comparable = false;
    }
    rid_assert(!comparable || r == verdict);
    if (r != 0) {
        rid_assert(r == STORE_E_DAMAGED || r == STORE_E_FOREIGN || r == STORE_E_NO_LOG ||
                   r == STORE_E_NEWER);
        rid_assert(rig->trust != HONEST);
        rid_assert(rig->trust == FORGED || r != STORE_E_FOREIGN);
        rid_assert(rig->trust == FORGED || r != STORE_E_NEWER);
        rid_assert(r != STORE_E_DAMAGED || strstr(err_text(), "ridd --dump-log") != NULL);
        check_text(err_text(), strlen(err_text()));
        rid_assert(fake_disk_n_open(rig->disk) == 0);
        return false;
    }
    rid_assert(!foreign);
    judge_opened(rig, &rec);
    store_recovered_done(&rec);
    if (rig->trust == ROTTEN)
        rig->trust = HONEST; /* what it says now is the truth */
    rig->n_damages = 0;
    rig->flipped_once = false;
    rig->number = 0;
    return true;
}

/* ---- building ---- */

static void submit(struct log_rig *rig, const uint8_t *s)
{
    const struct model *m = &rig->newest;
    struct model_batch *b = &rig->batches[rig->n_batches];
    raft_index last = m->n;
    raft_term last_term;
    size_t config_len;

    if (rig->n_batches == STEPS_MAX || m->hard_state.current_term >= RAFT_INDEX_MAX - 8)
        return;
    (void)model_config(&config_len);
    *b = (struct model_batch){.number = rig->number + 1, .hard_state = m->hard_state};
    if ((s[2] & 1) != 0) {
        b->has_hard_state = true;
        b->hard_state.current_term += s[2] >> 1 & 3;
        if ((s[2] >> 1 & 3) != 0)
            b->hard_state.voted_for = 0;
        if (b->hard_state.voted_for == 0)
            b->hard_state.voted_for = s[2] >> 3;
        if (s[11] == 0x5a && b->hard_state.lease_max_us < RAFT_LEASE_US_MAX / 2)
            b->hard_state.lease_max_us += 1000u * s[1];
    }
    if (s[3] != 0 && last > 1) {
        b->truncate_from = last + 1 - (s[3] - 1u) % (last < 16 ? last : 16);
        if (b->truncate_from < 2)
            b->truncate_from = 2; /* the first entry is never removed */
        last = b->truncate_from - 1;
    }
    b->first_index = last + 1;
    b->n_entries = s[1] % 8;
    last_term = last > 0 ? m->entries[last - 1].term : 1;
    for (unsigned i = 0; i < b->n_entries; i++) {
        struct model_entry *e = &b->entries[i];
        unsigned kind = (s[5] >> i) & 1;

        e->term = (s[6] >> i & 1) != 0 || last_term > b->hard_state.current_term
                      ? last_term
                      : b->hard_state.current_term;
        last_term = e->term;
        e->id = get_u16(s + 8) + i;
        e->type = RAFT_ENTRY_COMMAND;
        e->len = (uint32_t)(s[4] * (1u + i * (s[7] & 7)));
        if (kind != 0 && s[10] % 4 == 3) {
            e->type = RAFT_ENTRY_CONFIG;
            e->len = (uint32_t)config_len;
        } else if (kind != 0) {
            e->type = s[10] % 4 == 0 ? RAFT_ENTRY_READ : RAFT_ENTRY_NOOP;
            e->len = 0;
        }
    }
    if (!b->has_hard_state && b->truncate_from == 0 && b->n_entries == 0)
        return;
    last += b->n_entries;
    b->commit_index = last > s[11] ? last - s[11] : 1;
    rid_assert(model_submit(rig->store, b) == 0);
    model_apply(&rig->newest, b);
    rig->number = b->number;
    rig->n_batches++;
}

/* The process ends, and the machine with it or not. */
static void crash(struct log_rig *rig, const uint8_t *s)
{
    static const unsigned percent[] = {100, 0, 20, 50, 80, 30, 60, 95};
    struct fake_disk_cut cut = {.sector_bytes = (s[1] & 2) != 0 ? 4096 : 512,
                                .keep_percent = percent[s[2] % 8],
                                .garble_percent = percent[s[3] % 8]};

    log_rig_restart(rig, (s[1] & 1) != 0 || fake_disk_is_off(rig->disk) ? &cut : NULL);
}

static void work(struct log_rig *rig, const uint8_t *s)
{
    uint64_t number = 0;
    unsigned before = rig->n_durable;
    bool had_work = store_has_work(rig->store);
    struct store_stats stats;

    if (store_work(rig->store, &number) != 0) {
        rid_assert(rig->faults);
        crash(rig, s);
        return;
    }
    rid_assert(!store_has_work(rig->store));
    store_get_stats(rig->store, &stats);
    if (stats.queued_bytes > 0) { /* the rest waits for room (SPACE-9) */
        rid_assert(rig->faults);
        rid_assert(stats.no_space);
        rid_assert(number < rig->number);
        if (number == 0)
            return;
        rig->n_durable_before = before;
        rig->n_durable = rig->n_batches - (unsigned)(rig->number - number);
        return;
    }
    rid_assert(!had_work || number == rig->number);
    if (had_work)
        rig->n_durable_before = before;
    rig->n_durable = rig->n_batches;
}

static void idle_or_prepare(struct log_rig *rig, const uint8_t *s)
{
    struct store_stats before;
    struct store_stats after;
    bool more = false;
    int r;

    store_get_stats(rig->store, &before);
    r = s[0] % N_OPS == OP_IDLE ? store_idle(rig->store) : store_prepare(rig->store, &more);
    store_get_stats(rig->store, &after);

    if (r != 0) {
        rid_assert(rig->faults);
        /* A disk that is only full is no error yet (SPACE-1). */
        rid_assert(!rig->only_full);
        crash(rig, s);
    } else if (s[0] % N_OPS == OP_IDLE && after.bytes_written > before.bytes_written) {
        rig->n_durable_before = rig->n_durable; /* the mark is evidence for the last batch */
    }
}

static void read_some(struct log_rig *rig, const uint8_t *s)
{
    raft_index to = rig->newest.n;
    raft_index from = to > s[1] ? to - s[1] : 1;
    const char *why = "";

    if (to > from + s[2])
        to = from + s[2];
    if (rig->trust == FORGED || rig->n_durable < rig->n_batches || fake_disk_is_off(rig->disk))
        return;
    rid_assert(model_equal_read(&rig->newest, rig->store, from, to, &rig->prng, &why));
}

static void arm_fault(struct log_rig *rig, const uint8_t *s)
{
    rig->only_full = s[1] % 5 == 3 && (rig->only_full || !rig->faults);
    rig->faults = true;
    switch (s[1] % 5) {
    case 0:
        fake_disk_cut_after(rig->disk, 1u + s[2] % 32);
        break;
    case 1:
        fake_disk_fail_sync(rig->disk, 1u + s[2] % 16,
                            (s[3] & 1) != 0 ? FAKE_DISK_SYNC_REVERT : FAKE_DISK_SYNC_PAGES_CLEAN);
        rig->cache_lies = true;
        break;
    case 2:
        fake_disk_fail_call(rig->disk, 1u + s[2] % 32, (s[3] & 1) != 0 ? -ENOSPC : -EIO);
        break;
    case 3:
        fake_disk_set_capacity(rig->disk, fake_disk_used(rig->disk) + 256u * s[2]);
        break;
    default:
        fake_disk_set_write_max(rig->disk, 16u * s[2]);
        break;
    }
}

/* ---- the script ---- */

/* False: the log was refused. */
static bool step(struct log_rig *rig, const uint8_t *s)
{
    enum op op = (enum op)(s[0] % N_OPS);

    if (op <= OP_OPEN && !open_log(rig))
        return false;
    switch (op) {
    case OP_SUBMIT:
        submit(rig, s);
        break;
    case OP_WORK:
        work(rig, s);
        break;
    case OP_IDLE:
    case OP_PREPARE:
        idle_or_prepare(rig, s);
        break;
    case OP_READ:
        read_some(rig, s);
        break;
    case OP_OPEN:
        close_log(rig);
        break;
    case OP_CRASH:
        crash(rig, s);
        break;
    case OP_FAULT:
        arm_fault(rig, s);
        break;
    case OP_FLIP:
    case OP_ZERO:
    case OP_RESIZE:
    case OP_FILE:
    case OP_GARBLE:
    case OP_EDIT_RECORD:
    case OP_EDIT_HEADER:
    case OP_MAKE_RECORD:
    case OP_REMOVE_RECORDS:
    case OP_REPEAT_RECORDS:
    case OP_SEAL:
        log_damage(rig, s);
        break;
    case N_OPS:
        break;
    }
    return true;
}

/* Open, write, close, and again. */
static void finish(struct log_rig *rig)
{
    static const uint8_t one_entry[STEP_BYTES] = {OP_SUBMIT, 1, 3, 0, 20};
    static const uint8_t stay[STEP_BYTES] = {OP_WORK};

    for (unsigned i = 0; i < 3; i++) {
        log_rig_restart(rig, NULL);
        if (!open_log(rig)) {
            rid_assert(i == 0); /* what was accepted once stays acceptable */
            return;
        }
        if (rig->n_batches < STEPS_MAX)
            submit(rig, one_entry);
        work(rig, stay);
        rid_assert(rig->store != NULL);
    }
    close_log(rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct log_rig rig;
    uint8_t head[STEP_BYTES];
    uint8_t s[STEP_BYTES];
    const void *config;
    size_t len;

    memset(&rig, 0, sizeof(rig));
    rig.steps = (struct steps){data, size};
    if (!steps_next(&rig.steps, head))
        return 0;
    prng_init(&rig.prng, get_u16(head));
    rig.disk = fake_disk_new(get_u16(head));
    model_conf(&rig.conf, fake_disk_vfs(rig.disk), 4096 + 64u * head[2], 5000 + 128u * head[3]);
    rig.dumps = (head[4] & 1) != 0;
    config = model_config(&len);
    rid_assert(store_create(&rig.conf, config, len) == 0);
    model_init(&rig.newest);
    for (unsigned i = 0; i < STEPS_MAX && steps_next(&rig.steps, s); i++)
        if (!step(&rig, s))
            goto refused;
    finish(&rig);
refused:
    store_close(rig.store);
    rid_assert(fake_disk_n_open(rig.disk) == 0);
    model_done(&rig.newest);
    fake_disk_free(rig.disk);
    return 0;
}

/* ---- seeds ---- */

#define BUILD                                                                                      \
    {OP_SUBMIT, 3, 1, 0, 30}, {OP_WORK}, {OP_SUBMIT, 2, 3, 0, 9, 1},                               \
    {                                                                                              \
        OP_WORK                                                                                    \
    }

static const uint8_t scripts[][16][STEP_BYTES] = {
    {{0, 0, 4, 4}, BUILD},
    {{1, 0, 0, 0}, BUILD, {OP_IDLE}, {OP_PREPARE}, {OP_READ, 3, 4}, {OP_OPEN}, BUILD},
    {{2}, {OP_SUBMIT, 7, 9, 0, 200}, {OP_WORK}, {OP_SUBMIT, 2, 2, 3, 9}, {OP_WORK}, {OP_CRASH}},
    {{3}, BUILD, {OP_FAULT, 0, 2}, {OP_SUBMIT, 5, 0, 0, 99}, {OP_WORK}, {OP_CRASH, 1, 3, 1}},
    {{4}, BUILD, {OP_FAULT, 1, 0}, {OP_SUBMIT, 5, 0, 0, 99}, {OP_WORK}, {OP_OPEN}},
    {{5}, BUILD, {OP_FAULT, 3, 4}, {OP_SUBMIT, 7, 0, 0, 250}, {OP_WORK}, {OP_PREPARE}, {OP_OPEN}},
    {{6}, BUILD, {OP_FLIP, 0, 9}, {OP_OPEN}},
    {{7}, BUILD, {OP_FLIP, 1, 200, 0, 3}, {OP_OPEN}},
    {{8}, BUILD, {OP_ZERO, 0, 0, 3, 1}},
    {{9}, BUILD, {OP_RESIZE, 0, 40}, {OP_OPEN}},
    {{10}, BUILD, {OP_OPEN}, {OP_READ}, {OP_FILE, 1, 0}},
    {{11}, BUILD, {OP_FILE, 0, 2, 3}},
    {{12}, BUILD, {OP_FILE, 0, 1, 4}},
    {{13}, BUILD, {OP_GARBLE, 0, 90, 0, 1}, {1, 2, 3, 4, 5, 6, 7, 8}},
    {{14}, BUILD, {OP_EDIT_RECORD, 0, 1, 5, 1}},
    {{15}, BUILD, {OP_EDIT_RECORD, 0, 1, 6, 130, 0, 0}},
    {{16}, BUILD, {OP_EDIT_RECORD, 0, 0, 10, 200, 0, 1}},
    {{17}, BUILD, {OP_EDIT_HEADER, 0, 0, 2, 1}},
    {{18}, BUILD, {OP_EDIT_HEADER, 0, 0, 3, 1, 0}},
    {{19}, BUILD, {OP_MAKE_RECORD, 0, 1, 1, RECORD_TRUNCATE, 0, 0, 64}},
    {{20}, BUILD, {OP_MAKE_RECORD, 0, 1, 1, RECORD_SNAPMARK, 0, 0, 0, 0, 0, 32}},
    {{21}, BUILD, {OP_MAKE_RECORD, 0, 0, 0, RECORD_ENTRY, 3, 1, 1}},
    {{22}, BUILD, {OP_MAKE_RECORD, 0, 1, 1, RECORD_CONFIG, 0, 0, 0}},
    {{23}, BUILD, {OP_REMOVE_RECORDS, 0, 2, 1}},
    {{24}, BUILD, {OP_REPEAT_RECORDS, 0, 3, 3}},
    {{25}, BUILD, {OP_OPEN}, {OP_READ}, {OP_REMOVE_RECORDS, 1, 1, 0, 0, 4}, {OP_SEAL, 1}},
    {{26}, {OP_EDIT_RECORD, 0, 1, 4, 1}},
    {{27},
     {OP_SUBMIT, 7, 0, 0, 255, 0, 0, 7},
     {OP_SUBMIT, 7, 1},
     {OP_WORK},
     {OP_PREPARE},
     {OP_WORK}},
    {{28}, BUILD, {OP_FAULT, 1}, {OP_SUBMIT, 2}, {OP_WORK}, {OP_READ}, {OP_CRASH, 1, 1}},
    {{29}, BUILD, {OP_EDIT_HEADER, 0, 0, 10, 1}},
    {{30}, BUILD, {OP_SUBMIT, 1}, {OP_WORK}, {OP_FLIP, 0, 44, 1}},
    {{31}, BUILD, {OP_SUBMIT, 1}, {OP_WORK}, {OP_IDLE}, {OP_FLIP, 0, 90}},
    {{32}, {OP_SUBMIT, 7, 0, 0, 250, 0, 0, 3}, {OP_WORK}, {OP_FAULT, 3}, {OP_PREPARE}, {OP_OPEN}},
};

int fuzz_seed(unsigned i, struct buf *buf)
{
    size_t n = sizeof(scripts[0]) / STEP_BYTES;

    if (i >= sizeof(scripts) / sizeof(scripts[0]))
        return 1;
    while (n > 1 && memcmp(scripts[i][n - 1], (uint8_t[STEP_BYTES]){0}, STEP_BYTES) == 0)
        n--;
    for (size_t k = 0; k < n; k++)
        steps_add(buf, scripts[i][k]);
    return 0;
}
