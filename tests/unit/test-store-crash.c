/* store: power losses, rot and a model log. A log is driven by random batches on the fake disk;
 * after every loss it must open, hold at least what was reported durable, and nothing that was not
 * submitted (RELIABILITY 2.9, 4.5). The number of seeds can be raised: RIDD_STORE_SEEDS=100000. */
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
        if (!fake_disk_is_off(rig->disk) || r > 0)
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
    if (r != 0 && !fake_disk_is_off(rig->disk))
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

/* Power losses at random moments, start-up included, for several lives of one log. */
static void one_life_after_another(uint64_t seed, unsigned *n_torn, unsigned *n_lost)
{
    struct rig rig;

    rig_init(&rig, seed);
    rig_create(&rig);
    for (unsigned life = 0; life < 6; life++) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__power_losses),
    };

    return cmocka_run_group_tests_name("store-crash", tests, NULL, NULL);
}
