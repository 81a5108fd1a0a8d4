/* store: power losses, rot and a model log. A log is driven by random batches on the fake disk;
 * after every loss it must open, hold at least what was reported durable, and nothing that was not
 * submitted (DISK-20). The number of seeds can be raised: RIDD_STORE_SEEDS=100000. */
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

#include "base/err.h"
#include "store/store_int.h"
#include "unit/fake-disk.h"
#include "unit/store-model.h"

#define BATCHES_MAX 256

/* One log and what is known of it. */
struct rig {
    uint64_t seed;
    struct fake_disk *disk;
    struct store_conf conf;
    struct store *store;
    struct prng prng;
    struct model base;   /* what the last successful open found */
    struct model newest; /* base and all submitted batches */
    struct model_batch batches[BATCHES_MAX];
    unsigned n_batches;
    unsigned n_durable; /* of those, reported */
    uint64_t number;
    uint32_t len_max;
    bool faulty; /* a sync of this life fails */
    unsigned n_torn;
    unsigned n_lost; /* batches submitted, not reported, and gone */
    unsigned n_images;
};

static unsigned n_seeds(unsigned standard)
{
    const char *text = getenv("RIDD_STORE_SEEDS");

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : standard;
}

static void rig_fail(const struct rig *rig, const char *what)
{
    fail_msg("seed=%" PRIu64 " batches=%u durable=%u: %s; err_text: %s; err_path: %s", rig->seed,
             rig->n_batches, rig->n_durable, what, err_text(), err_path());
}

static void rig_init(struct rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof(*rig));
    rig->seed = seed;
    prng_init(&rig->prng, seed ^ 0x5eed);
    rig->disk = fake_disk_new(seed);
    model_conf(&rig->conf, fake_disk_vfs(rig->disk), 4096 + (size_t)prng_below(&rig->prng, 6000),
               5000 + (size_t)prng_below(&rig->prng, 20000));
    rig->conf.salt_seed = seed;
    rig->len_max = prng_below(&rig->prng, 8) == 0 ? 6000 : 300;
    if (prng_below(&rig->prng, 4) == 0)
        fake_disk_set_write_max(rig->disk, 1 + (size_t)prng_below(&rig->prng, 700));
    model_init(&rig->base);
    model_copy(&rig->newest, &rig->base);
}

static void rig_done(struct rig *rig)
{
    store_close(rig->store);
    assert_int_equal(fake_disk_n_open(rig->disk), 0);
    fake_disk_free(rig->disk);
    model_done(&rig->base);
    model_done(&rig->newest);
}

/* After a recovery: the log is base with some of the batches, all durable ones among them. Returns
 * how many. */
static unsigned match(struct rig *rig, struct store *s, const struct store_recovered *rec,
                      struct model *m)
{
    const char *why =
        "recovered state is no prefix of what was submitted, or lacks a durable batch";
    unsigned n;

    model_copy(m, &rig->base);
    for (n = 0; n < rig->n_durable; n++)
        model_apply(m, &rig->batches[n]);
    for (;; n++) {
        if (model_equal_recovered(m, rec) && model_equal_read(m, s, 1, m->n, &rig->prng, &why))
            return n;
        if (n == rig->n_batches)
            rig_fail(rig, why);
        model_apply(m, &rig->batches[n]);
    }
}

/* Opens what a power loss left. False: the power went off again. */
static bool rig_open(struct rig *rig)
{
    struct store_recovered rec = {0};
    struct model m = {0};
    unsigned n;
    int r;

    rig->conf.salt_seed = prng_next(&rig->prng);
    r = store_open(&rig->conf, &rec, &rig->store);
    if (r != 0) {
        if (r > 0 || (!fake_disk_is_off(rig->disk) && !rig->faulty))
            rig_fail(rig, "refused a legal crash image");
        return false;
    }
    n = match(rig, rig->store, &rec, &m);
    rig->n_torn += rec.torn_tail;
    rig->n_lost += rig->n_batches - n;
    model_copy(&rig->base, &m);
    model_copy(&rig->newest, &m);
    rig->n_batches = 0;
    rig->n_durable = 0;
    rig->number = 0;
    model_done(&m);
    store_recovered_done(&rec);
    return true;
}

static void rig_submit(struct rig *rig)
{
    struct model_batch *b = &rig->batches[rig->n_batches];

    if (rig->n_batches == BATCHES_MAX)
        return;
    model_draw(&rig->newest, &rig->prng, ++rig->number, rig->len_max, b);
    rig->n_batches++;
    model_apply(&rig->newest, b);
    if (model_submit(rig->store, b) != 0)
        rig_fail(rig, "submit");
}

/* False: the power is off. */
static bool rig_step(struct rig *rig)
{
    uint64_t number = 0;
    bool more;
    int r = 0;

    switch (prng_below(&rig->prng, 8)) {
    case 0:
    case 1:
    case 2:
        rig_submit(rig);
        break;
    case 3:
    case 4:
    case 5:
        r = store_work(rig->store, &number);
        if (r == 0 && number != 0)
            rig->n_durable = (unsigned)number;
        break;
    case 6:
        r = store_idle(rig->store);
        break;
    default:
        r = store_prepare(rig->store, &more);
        break;
    }
    if (r != 0 && !fake_disk_is_off(rig->disk) && !rig->faulty)
        rig_fail(rig, "the store failed with the power on");
    return r == 0;
}

static void rig_create(struct rig *rig)
{
    const void *config;
    size_t len;

    config = model_config(&len);
    for (;;) {
        int r;

        if (prng_below(&rig->prng, 2) == 0)
            fake_disk_cut_after(rig->disk, 1 + prng_below(&rig->prng, 12));
        r = store_create(&rig->conf, config, len);
        if (r == 0)
            return;
        if (r == -EEXIST)
            return; /* an earlier one had got its name, although it did not report so */
        if (!fake_disk_is_off(rig->disk))
            rig_fail(rig, "create failed with the power on");
        fake_disk_power_on(rig->disk, NULL);
    }
}

/* Power losses at random moments, start-up included, for several lives of one log; in some a sync
 * fails, and the machine goes on or not. */
static void one_life_after_another(uint64_t seed, unsigned *n_torn, unsigned *n_lost)
{
    struct rig rig;

    rig_init(&rig, seed);
    rig_create(&rig);
    for (unsigned life = 0; life < 6; life++) {
        rig.faulty = prng_below(&rig.prng, 6) == 0;
        if (rig.faulty)
            fake_disk_fail_sync(rig.disk, 1 + prng_below(&rig.prng, 12),
                                prng_below(&rig.prng, 2) == 0 ? FAKE_DISK_SYNC_PAGES_CLEAN
                                                              : FAKE_DISK_SYNC_REVERT);
        if (prng_below(&rig.prng, 8) != 0)
            fake_disk_cut_after(rig.disk, 1 + prng_below(&rig.prng, 70));
        if (rig_open(&rig))
            for (unsigned i = 0; i < 80 && rig_step(&rig); i++)
                continue;
        store_close(rig.store);
        rig.store = NULL;
        if (!fake_disk_is_off(rig.disk) && prng_below(&rig.prng, 3) == 0) {
            fake_disk_restart(rig.disk);
        } else {
            fake_disk_cut_now(rig.disk);
            fake_disk_power_on(rig.disk, NULL);
        }
    }
    rig.faulty = false;
    if (!rig_open(&rig))
        rig_fail(&rig, "refused at the end");
    *n_torn += rig.n_torn;
    *n_lost += rig.n_lost;
    rig_done(&rig);
}

static void store__power_losses(void **state)
{
    unsigned seeds = n_seeds(2500);
    unsigned n_torn = 0;
    unsigned n_lost = 0;

    (void)state;
    for (unsigned seed = 1; seed <= seeds; seed++)
        one_life_after_another(seed, &n_torn, &n_lost);
    print_message("power losses: seeds=%u torn_tails=%u batches_lost_unreported=%u\n", seeds,
                  n_torn, n_lost);
    /* A test in which nothing is ever torn proves nothing. */
    assert_true(n_torn > seeds / 2);
    assert_true(n_lost > seeds / 2);
}

/* ---- a crash at every call of the disk, many images (DISK-20) ---- */

#define IMAGES_PER_CALL 6

/* One image of what the disk may hold now: opened, compared, written to, cut and opened again. */
static void check_image(const struct rig *rig, uint64_t seed, bool power_cut)
{
    struct rig *image = calloc(1, sizeof(*image));

    assert_non_null(image);
    *image = *rig;
    image->store = NULL;
    image->base = (struct model){0};
    image->newest = (struct model){0};
    model_copy(&image->base, &rig->base);
    model_copy(&image->newest, &rig->newest);
    prng_init(&image->prng, seed);
    image->disk = fake_disk_clone(rig->disk, seed);
    image->conf.vfs = fake_disk_vfs(image->disk);
    if (power_cut)
        fake_disk_power_on(image->disk, NULL);
    else
        fake_disk_restart(image->disk);
    if (!rig_open(image))
        rig_fail(image, "the image of a power loss was refused");
    for (unsigned i = 0; i < 4; i++)
        (void)rig_step(image);
    store_close(image->store);
    image->store = NULL;
    fake_disk_cut_now(image->disk);
    fake_disk_power_on(image->disk, NULL);
    if (!rig_open(image))
        rig_fail(image, "the second power loss was refused");
    rig_done(image);
    free(image);
}

static void at_each_call(void *ctx, const char *what, const char *name)
{
    struct rig *rig = ctx;

    (void)what;
    (void)name;
    for (unsigned i = 0; i < IMAGES_PER_CALL; i++)
        check_image(rig, rig->seed * 1000003 + fake_disk_n_calls(rig->disk) * 31 + i, i != 0);
    rig->n_images += IMAGES_PER_CALL;
}

/* A log that was created and opened without any trouble. */
static void rig_begin(struct rig *rig, uint64_t seed)
{
    const void *config;
    size_t len;

    rig_init(rig, seed);
    config = model_config(&len);
    assert_int_equal(store_create(&rig->conf, config, len), 0);
    assert_true(rig_open(rig));
}

/* No name is relied on before its folder is synced (DISK-16). */
static void store__every_call_may_be_the_last(void **state)
{
    unsigned scripts = n_seeds(25);
    unsigned n_images = 0;

    (void)state;
    for (unsigned seed = 1; seed <= scripts; seed++) {
        struct rig rig;

        rig_begin(&rig, 7000000 + seed);
        fake_disk_set_write_max(rig.disk, seed % 4 == 0 ? 1000 : 0);
        fake_disk_set_hook(rig.disk, at_each_call, &rig);
        for (unsigned life = 0; life < 2; life++) {
            if (life > 0)
                assert_true(rig_open(&rig));
            for (unsigned i = 0; i < 30; i++)
                assert_true(rig_step(&rig));
            at_each_call(&rig, "", "");
            store_close(rig.store);
            rig.store = NULL;
        }
        n_images += rig.n_images;
        rig_done(&rig);
    }
    print_message("crash enumeration: scripts=%u images=%u\n", scripts, n_images);
    assert_true(n_images > scripts * 100);
}

/* ---- rot ---- */

struct rotten {
    struct rig rig;
    struct model before; /* without the last disk batch */
    char last_name[STORE_NAME_BYTES];
    uint64_t last_to; /* where that one ends */
};

/* A log of several segments, everything in it durable; with `mark` the last batch has its sync
 * mark. */
static void rotten_begin(struct rotten *t, uint64_t seed, bool mark)
{
    struct rig *rig = &t->rig;
    uint64_t number;

    rig_begin(rig, seed);
    for (unsigned life = 0; life < 3; life++) {
        for (unsigned i = 0; i < 40; i++)
            assert_true(rig_step(rig));
        if (life == 2)
            break;
        store_close(rig->store);
        assert_true(rig_open(rig));
    }
    assert_int_equal(store_work(rig->store, &number), 0);
    t->before = (struct model){0};
    model_copy(&t->before, &rig->newest);
    rig_submit(rig);
    assert_int_equal(store_work(rig->store, &number), 0);
    store_name_segment(t->last_name, rig->store->w.seq);
    t->last_to = rig->store->w.used;
    if (mark)
        assert_int_equal(store_idle(rig->store), 0);
    store_close(rig->store);
    rig->store = NULL;
    fake_disk_power_on(rig->disk,
                       &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 100});
}

static void rotten_done(struct rotten *t)
{
    model_done(&t->before);
    rig_done(&t->rig);
}

struct rot_counts {
    unsigned refused;
    unsigned whole;
    unsigned cut;
};

static const char *any_segment(struct fake_disk *d, struct prng *p)
{
    for (;;) {
        const char *name = fake_disk_name(d, (unsigned)prng_below(p, fake_disk_n_files(d)));

        if (strstr(name, ".wal") != NULL)
            return name;
    }
}

/* Opens what rotted. May be refused, may be whole, may lack exactly the last batch; nothing else.
 */
static void judge_rot(const struct rotten *t, struct fake_disk *disk, struct prng *p, bool evidence,
                      struct rot_counts *counts)
{
    struct store_conf conf = t->rig.conf;
    struct store_recovered rec = {0};
    struct store *s = NULL;
    const char *why = "";
    int r;

    conf.vfs = fake_disk_vfs(disk);
    r = store_open(&conf, &rec, &s);
    if (r == STORE_E_DAMAGED) {
        assert_non_null(strstr(err_text(), "ridd --dump-log"));
        counts->refused++;
        return;
    }
    if (r != 0)
        rig_fail(&t->rig, "rot gave another outcome than damage");
    if (model_equal_recovered(&t->rig.newest, &rec) &&
        model_equal_read(&t->rig.newest, s, 1, rec.last_index, p, &why)) {
        counts->whole++;
    } else if (!evidence && rec.torn_tail && model_equal_recovered(&t->before, &rec) &&
               model_equal_read(&t->before, s, 1, rec.last_index, p, &why)) {
        counts->cut++; /* the doubt that remains, and is counted (DISK-12) */
    } else {
        rig_fail(&t->rig, "rot gave wrong content");
    }
    store_close(s);
    store_recovered_done(&rec);
}

/* One to four bits anywhere in the used part of a segment. */
static void flip_bits(struct fake_disk *disk, struct prng *p)
{
    const char *name = any_segment(disk, p);
    size_t size;
    const unsigned char *bytes = fake_disk_bytes(disk, name, &size);
    unsigned n = 1 + (unsigned)prng_below(p, 4);

    while (size > 1 && bytes[size - 1] == 0)
        size--;
    for (unsigned i = 0; i < n; i++)
        fake_disk_flip(disk, name, prng_below(p, size), (unsigned)prng_below(p, 8));
}

/* Every record is read and compared at each start (DISK-3). */
static void store__flipped_bits_are_refused(void **state)
{
    unsigned logs = n_seeds(150);
    struct rot_counts counts = {0};

    (void)state;
    for (unsigned seed = 1; seed <= logs; seed++) {
        struct rotten t;
        struct prng p;

        rotten_begin(&t, 3000000 + seed, false);
        prng_init(&p, seed);
        for (unsigned i = 0; i < 40; i++) {
            struct fake_disk *disk = fake_disk_clone(t.rig.disk, i);

            flip_bits(disk, &p);
            judge_rot(&t, disk, &p, false, &counts);
            fake_disk_free(disk);
        }
        rotten_done(&t);
    }
    print_message("bit flips: refused=%u whole=%u cut=%u\n", counts.refused, counts.whole,
                  counts.cut);
    assert_true(counts.refused > logs * 30);
    assert_true(counts.whole <= logs / 100); /* the same bit flipped back */
}

/* Damage in the last batch alone: with a sync mark, or with the state machine's word, it is
 * refused. */
static void store__evidence_saves_the_last_batch(void **state)
{
    unsigned logs = n_seeds(100);
    struct rot_counts counts = {0};
    struct rot_counts without = {0};

    (void)state;
    for (unsigned seed = 1; seed <= logs; seed++) {
        bool mark = seed % 2 == 0;
        struct rotten t;
        struct prng p;

        rotten_begin(&t, 4000000 + seed, mark);
        prng_init(&p, seed);
        for (unsigned i = 0; i < 20; i++) {
            struct fake_disk *disk = fake_disk_clone(t.rig.disk, i);
            /* The BATCH_END of the last batch, before the mark. */
            uint64_t offset = t.last_to - record_bytes(BATCH_END_BYTES) + prng_below(&p, 80);

            fake_disk_flip(disk, t.last_name, offset, (unsigned)prng_below(&p, 8));
            t.rig.conf.applied_index = mark ? 0 : t.rig.newest.n;
            if (!mark && t.before.n >= t.rig.newest.n)
                t.rig.conf.applied_index = 0; /* it says nothing */
            judge_rot(&t, disk, &p, mark || t.rig.conf.applied_index != 0,
                      mark || t.rig.conf.applied_index != 0 ? &counts : &without);
            fake_disk_free(disk);
        }
        rotten_done(&t);
    }
    print_message("with evidence: refused=%u cut=%u; without: refused=%u cut=%u\n", counts.refused,
                  counts.cut, without.refused, without.cut);
    assert_int_equal(counts.cut + counts.whole, 0);
    assert_true(counts.refused > logs * 10);
}

/* A file cut short, zeroed from somewhere on, or gone; one copied over another. What is zeroed at
 * the end of the last file is not among them: it leaves exactly what the disk held before. The
 * headers say which segments there must be (DISK-2). */
static void store__cut_and_lost_files_are_refused(void **state)
{
    unsigned logs = n_seeds(100);
    struct rot_counts counts = {0};

    (void)state;
    for (unsigned seed = 1; seed <= logs; seed++) {
        struct rotten t;
        struct prng p;

        rotten_begin(&t, 5000000 + seed, false);
        prng_init(&p, seed);
        for (unsigned i = 0; i < 20; i++) {
            struct fake_disk *disk = fake_disk_clone(t.rig.disk, i);
            unsigned kind = (unsigned)prng_below(&p, 3);
            const char *name = any_segment(disk, &p);
            const char *other = any_segment(disk, &p);
            size_t size;
            size_t to;

            (void)fake_disk_bytes(disk, name, &size);
            to = (size_t)prng_below(&p, size);
            switch (kind) {
            case 0:
                fake_disk_resize(disk, name, to);
                break;
            case 1:
                fake_disk_resize(disk, name, to);
                if (strcmp(name, t.last_name) != 0)
                    fake_disk_resize(disk, name, size);
                break;
            default:
                if (strcmp(name, other) == 0)
                    other = "elsewhere";
                if (strcmp(name, t.last_name) != 0)
                    fake_disk_rename(disk, name, other);
                else
                    fake_disk_resize(disk, name, to);
                break;
            }
            judge_rot(&t, disk, &p, false, &counts);
            fake_disk_free(disk);
        }
        rotten_done(&t);
    }
    print_message("cut, zeroed, lost: refused=%u whole=%u cut=%u\n", counts.refused, counts.whole,
                  counts.cut);
    assert_true(counts.refused > logs * 10);
}

/* A sector of zeros in what was durable: no sign of a torn write when more follows (the weak spot
 * of DISK-5). Blank bytes look like the end, so what stands behind them is searched (DISK-6). */
static void store__zero_sectors_are_refused(void **state)
{
    unsigned logs = n_seeds(60);
    struct rot_counts counts = {0};

    (void)state;
    for (unsigned seed = 1; seed <= logs; seed++) {
        struct rotten t;
        struct prng p;

        rotten_begin(&t, 6000000 + seed, true);
        prng_init(&p, seed);
        for (unsigned i = 0; i < 20; i++) {
            struct fake_disk *disk = fake_disk_clone(t.rig.disk, i);
            uint64_t from = 4096 + 512 * prng_below(&p, (t.last_to - 4096) / 512 + 1);
            uint64_t to = store_min_u64(from + 512, t.last_to);
            size_t size;
            const unsigned char *bytes = fake_disk_bytes(disk, t.last_name, &size);
            bool changed = false;

            for (uint64_t at = from; at < to; at++)
                for (unsigned bit = 0; bit < 8; bit++)
                    if ((bytes[at] >> bit & 1) != 0) {
                        fake_disk_flip(disk, t.last_name, at, bit);
                        changed = true;
                    }
            if (changed)
                judge_rot(&t, disk, &p, true, &counts);
            fake_disk_free(disk);
        }
        rotten_done(&t);
    }
    print_message("zero sectors: refused=%u whole=%u cut=%u\n", counts.refused, counts.whole,
                  counts.cut);
    assert_int_equal(counts.whole + counts.cut, 0);
    assert_true(counts.refused > logs * 10);
}

/* ---- a model log ---- */

static void store__a_hundred_thousand_operations(void **state)
{
    struct rig rig;
    unsigned n_reads = 0;
    struct store_stats stats;

    (void)state;
    rig_begin(&rig, 99);
    rig.conf.segment_bytes = 64u << 10;
    for (unsigned i = 0; i < 130000; i++) {
        const char *why = "";

        if (rig.n_batches == BATCHES_MAX) {
            uint64_t number;

            assert_int_equal(store_work(rig.store, &number), 0);
            model_copy(&rig.base, &rig.newest); /* all durable */
            rig.n_batches = 0;
            rig.n_durable = 0;
        }
        if (i % 10000 == 9999) {
            uint64_t number;

            assert_int_equal(store_work(rig.store, &number), 0);
            rig.n_durable = rig.n_batches;
            store_close(rig.store);
            assert_true(rig_open(&rig));
            continue;
        }
        assert_true(rig_step(&rig));
        /* What is durable and not about to be overwritten can be read, from anywhere. */
        if (!store_has_work(rig.store) && i % 3 == 0) {
            raft_index from = 1 + prng_below(&rig.prng, rig.newest.n);
            raft_index to = store_min_u64(rig.newest.n, from + prng_below(&rig.prng, 50));

            if (!model_equal_read(&rig.newest, rig.store, from, to, &rig.prng, &why))
                rig_fail(&rig, why);
            n_reads++;
        }
    }
    store_get_stats(rig.store, &stats);
    print_message("model: entries=%zu segments=%u reads=%u points=%zu\n", rig.newest.n,
                  stats.n_segments, n_reads, rig.store->index.n);
    assert_true(rig.newest.n > 10000);
    assert_true(n_reads > 1000);
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__power_losses),
        cmocka_unit_test(store__every_call_may_be_the_last),
        cmocka_unit_test(store__flipped_bits_are_refused),
        cmocka_unit_test(store__evidence_saves_the_last_batch),
        cmocka_unit_test(store__cut_and_lost_files_are_refused),
        cmocka_unit_test(store__zero_sectors_are_refused),
        cmocka_unit_test(store__a_hundred_thousand_operations),
    };

    return cmocka_run_group_tests_name("store-crash", tests, NULL, NULL);
}
