/* store: power losses while the front of a log goes and while it is reset (DISK-42, DISK-43), with
 * writes going on. After each the log must open, with term, vote, mark and every entry above its
 * base that was reported durable, and nothing that was not submitted; and the base is covered by a
 * mark that stands in it. The number of seeds can be raised: RIDD_STORE_SEEDS=100000. */
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

#define EVENTS_MAX 200

/* What was handed over, in order. A batch that resets the log is two of them: a crash may leave the
 * first alone. */
enum event_kind { EVENT_BATCH, EVENT_MARK, EVENT_RESET };
struct event {
    enum event_kind kind;
    struct model_batch batch; /* of a reset: its hard state alone */
    struct raft_entry_id id;
    raft_index config_index;
};
/* A log as the events make it. */
struct state {
    struct model m;
    struct raft_entry_id reset;
    struct raft_entry_id mark;
};
struct rig {
    uint64_t seed;
    struct fake_disk *disk;
    struct store_conf conf;
    struct store *store;
    struct prng prng;
    struct state found; /* by the last successful open */
    struct state newest;
    struct event events[EVENTS_MAX];
    unsigned n_events;
    unsigned n_durable;
    uint64_t number;
    raft_index target; /* the base goes no further */
    bool faulty;       /* a sync of this life fails */
    unsigned n_images;
    unsigned n_drops;
    unsigned n_resets;
    unsigned n_fronts; /* opened with a base that no reset has made */
    unsigned n_voids;  /* with segments that are to go */
};

static unsigned n_seeds(unsigned standard)
{
    const char *text = getenv("RIDD_STORE_SEEDS");

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : standard;
}

static void rig_fail(const struct rig *rig, const char *what)
{
    fail_msg("seed=%" PRIu64 " events=%u durable=%u: %s; err_text: %s; err_path: %s", rig->seed,
             rig->n_events, rig->n_durable, what, err_text(), err_path());
}

/* ---- what should be ---- */

static void state_copy(struct state *to, const struct state *from)
{
    model_copy(&to->m, &from->m);
    to->reset = from->reset;
    to->mark = from->mark;
}

static void state_apply(struct state *st, const struct event *e)
{
    switch (e->kind) {
    case EVENT_BATCH:
        model_apply(&st->m, &e->batch);
        return;
    case EVENT_MARK:
        if (e->id.index > st->mark.index)
            st->mark = e->id;
        st->m.floor = st->mark.index;
        return;
    case EVENT_RESET:
        model_reset(&st->m, e->id, e->config_index);
        if (e->batch.has_hard_state)
            st->m.hard_state = e->batch.hard_state;
        st->reset = e->id;
        st->mark = e->id;
        return;
    }
}

static bool same_id(struct raft_entry_id a, struct raft_entry_id b)
{
    return a.index == b.index && a.term == b.term;
}

static bool configs_fit(const struct state *st, const struct store_recovered *rec)
{
    raft_index in_force = 0;
    size_t n = 0;

    for (raft_index i = 1; i <= rec->base.index; i++)
        if (st->m.entries[i - 1].type == RAFT_ENTRY_CONFIG)
            in_force = i;
    if (rec->base.index > 0 && (rec->n_configs == 0 || rec->configs[n++].index != in_force))
        return false;
    for (raft_index i = rec->base.index + 1; i <= rec->last_index; i++)
        if (st->m.entries[i - 1].type == RAFT_ENTRY_CONFIG &&
            (n == rec->n_configs || rec->configs[n++].index != i))
            return false;
    return n == rec->n_configs;
}

static bool terms_fit(const struct state *st, const struct store_recovered *rec)
{
    size_t n = 0;

    for (raft_index i = rec->base.index + 1; i <= rec->last_index; i++) {
        const struct model_entry *e = &st->m.entries[i - 1];

        if (i > rec->base.index + 1 && e->term == e[-1].term)
            continue;
        if (n == rec->n_terms || rec->terms[n].first != i || rec->terms[n].term != e->term)
            return false;
        n++;
    }
    return n == rec->n_terms;
}

static bool base_fits(const struct rig *rig, const struct state *st,
                      const struct store_recovered *rec)
{
    const raft_index index = rec->base.index;

    return index <= rec->marked.index && index >= st->reset.index &&
           index <= store_max_u64(rig->target, st->reset.index) && rec->commit_index >= index &&
           rec->commit_index <= rec->last_index &&
           (index == 0 ? rec->base.term == 0 : rec->base.term == st->m.entries[index - 1].term);
}

static bool is_compacted(struct store *s, raft_index index)
{
    struct raft_entry e;
    struct arena arena;
    unsigned n = 0;
    int rc;

    arena_init(&arena, mem_libc);
    rc = store_read(s, index, index, 1, &arena, &e, 1, &n);
    arena_done(&arena);
    return rc == STORE_E_COMPACTED;
}

/* What can be read: nothing up to the base, all behind it. */
static bool reads_fit(struct rig *rig, const struct state *st, struct store *s, raft_index base,
                      raft_index last, const char **why)
{
    for (raft_index i = 1; i <= base; i += 1 + prng_below(&rig->prng, 3))
        if (!is_compacted(s, i))
            return false;
    return (base == 0 || is_compacted(s, base)) &&
           model_equal_read(&st->m, s, base + 1, last, &rig->prng, why);
}

static bool state_fits(struct rig *rig, const struct state *st, struct store *s,
                       const struct store_recovered *rec, const char **why)
{
    *why = "last index, term, vote or mark";
    if (rec->last_index != st->m.n || !same_id(rec->marked, st->mark) ||
        rec->hard_state.current_term != st->m.hard_state.current_term ||
        rec->hard_state.voted_for != st->m.hard_state.voted_for ||
        rec->hard_state.lease_max_us != st->m.hard_state.lease_max_us)
        return false;
    *why = "the base";
    if (!base_fits(rig, st, rec))
        return false;
    *why = "configurations or terms";
    if (!configs_fit(st, rec) || !terms_fit(st, rec))
        return false;
    *why = "what can be read";
    return reads_fit(rig, st, s, rec->base.index, rec->last_index, why);
}

/* The log is what was found with some of the events, all durable ones among them. */
static void match(struct rig *rig, const struct store_recovered *rec, struct state *st)
{
    char whys[256] = "";
    unsigned n;

    state_copy(st, &rig->found);
    for (n = 0; n < rig->n_durable; n++)
        state_apply(st, &rig->events[n]);
    for (;; n++) {
        const char *why = "";

        if (state_fits(rig, st, rig->store, rec, &why))
            return;
        (void)snprintf(whys, sizeof(whys),
                       "no state fits; last_index=%" PRIu64 " base=%" PRIu64 " marked=%" PRIu64
                       "; of the last one: %s",
                       rec->last_index, rec->base.index, rec->marked.index, why);
        if (n == rig->n_events)
            rig_fail(rig, whys);
        state_apply(st, &rig->events[n]);
    }
}

/* ---- the log that is driven ---- */

static void rig_begin(struct rig *rig, uint64_t seed)
{
    const void *config;
    size_t len;

    memset(rig, 0, sizeof(*rig));
    rig->seed = seed;
    prng_init(&rig->prng, seed ^ 0xf407);
    rig->disk = fake_disk_new(seed);
    model_conf(&rig->conf, fake_disk_vfs(rig->disk), 4096 + (size_t)prng_below(&rig->prng, 3000),
               5000 + (size_t)prng_below(&rig->prng, 4000));
    rig->conf.salt_seed = seed;
    if (prng_below(&rig->prng, 4) == 0)
        fake_disk_set_write_max(rig->disk, 100 + (size_t)prng_below(&rig->prng, 700));
    model_init(&rig->found.m);
    state_copy(&rig->newest, &rig->found);
    config = model_config(&len);
    assert_int_equal(store_create(&rig->conf, config, len), 0);
}

static void rig_done(struct rig *rig)
{
    store_close(rig->store);
    assert_int_equal(fake_disk_n_open(rig->disk), 0);
    fake_disk_free(rig->disk);
    model_done(&rig->found.m);
    model_done(&rig->newest.m);
}

/* False: the power went off again. */
static bool rig_open(struct rig *rig)
{
    struct store_recovered rec = {0};
    struct state st = {0};
    int rc;

    rig->conf.salt_seed = prng_next(&rig->prng);
    rc = store_open(&rig->conf, &rec, &rig->store);
    if (rc != 0) {
        if (rc > 0 || (!fake_disk_is_off(rig->disk) && !rig->faulty))
            rig_fail(rig, "refused a legal crash image");
        return false;
    }
    match(rig, &rec, &st);
    rig->n_fronts += rec.base.index > st.reset.index;
    rig->n_voids += rig->store->n_gone > 0;
    state_copy(&rig->found, &st);
    state_copy(&rig->newest, &st);
    rig->n_events = 0;
    rig->n_durable = 0;
    rig->number = 0;
    model_done(&st.m);
    store_recovered_done(&rec);
    return true;
}

static struct event *next_event(struct rig *rig)
{
    struct event *e = &rig->events[rig->n_events++];

    *e = (struct event){0};
    return e;
}

static void submit(struct rig *rig)
{
    struct event *e = next_event(rig);

    model_draw(&rig->newest.m, &rig->prng, ++rig->number, 300, &e->batch);
    state_apply(&rig->newest, e);
    assert_int_equal(model_submit(rig->store, &e->batch), 0);
}

/* Of entries that are perhaps not durable yet: the queue keeps the order. */
static void mark(struct rig *rig)
{
    const struct state *st = &rig->newest;
    struct event *e = next_event(rig);
    raft_index index = st->m.n - prng_below(&rig->prng, st->m.n < 8 ? st->m.n : 8);

    if (index < st->reset.index)
        index = st->reset.index;
    e->kind = EVENT_MARK;
    e->id = (struct raft_entry_id){.term = st->m.entries[index - 1].term, .index = index};
    state_apply(&rig->newest, e);
    assert_int_equal(store_mark(rig->store, e->id), 0);
}

static void reset(struct rig *rig)
{
    struct raft_config_at config = {0};
    struct event *e = next_event(rig);
    struct event *rest = next_event(rig);
    struct model *m = &rig->newest.m;
    const raft_index floor = store_max_u64(store_max_u64(m->floor, rig->target), 1);
    const void *bytes;
    size_t len;

    bytes = model_config(&len);
    assert_int_equal(raft_configuration_decode(bytes, len, &config.configuration), 0);
    e->kind = EVENT_RESET;
    e->id.index = prng_below(&rig->prng, 2) == 0 ? m->n + 1 + prng_below(&rig->prng, 9)
                                                 : floor + 1 + prng_below(&rig->prng, 9);
    e->id.term = m->hard_state.current_term;
    config.index = 1 + prng_below(&rig->prng, e->id.index);
    e->config_index = config.index;
    if (prng_below(&rig->prng, 2) == 0) {
        e->batch.has_hard_state = true;
        e->batch.hard_state = (struct raft_hard_state){.current_term = ++e->id.term,
                                                       .voted_for = prng_below(&rig->prng, 3),
                                                       .lease_max_us = m->hard_state.lease_max_us};
    }
    state_apply(&rig->newest, e);
    rest->batch = (struct model_batch){.number = ++rig->number,
                                       .has_hard_state = e->batch.has_hard_state,
                                       .hard_state = e->batch.hard_state,
                                       .commit_index = e->id.index,
                                       .first_index = e->id.index + 1,
                                       .reset = e->id,
                                       .reset_config = &config};
    if (prng_below(&rig->prng, 2) == 0) {
        rest->batch.n_entries = 1;
        rest->batch.entries[0] = (struct model_entry){.term = m->hard_state.current_term,
                                                      .type = RAFT_ENTRY_COMMAND,
                                                      .len = (uint32_t)prng_below(&rig->prng, 900),
                                                      .id = prng_next(&rig->prng)};
    }
    assert_int_equal(model_submit(rig->store, &rest->batch), 0);
    rest->batch.reset = (struct raft_entry_id){0};
    state_apply(&rig->newest, rest);
    rig->n_resets++;
}

static void drop(struct rig *rig)
{
    const raft_index marked = store_marked(rig->store);
    const struct raft_entry_id before = store_base(rig->store);
    struct raft_entry_id front =
        store_front(rig->store, marked - prng_below(&rig->prng, store_min_u64(marked, 3) + 1),
                    prng_below(&rig->prng, 3) == 0 ? prng_below(&rig->prng, 20000) : 0);

    assert_true(front.index <= marked && front.index >= before.index);
    if (front.index == before.index)
        return;
    rig->target = store_max_u64(rig->target, front.index);
    rig->n_drops++;
    store_drop_front(rig->store, front);
    assert_true(same_id(store_base(rig->store), front));
    assert_true(is_compacted(rig->store, front.index));
}

/* False: the power is off. */
static bool rig_step(struct rig *rig)
{
    uint64_t number = 0;
    bool more;
    int rc = 0;

    switch (prng_below(&rig->prng, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        if (rig->n_events < EVENTS_MAX)
            submit(rig);
        break;
    case 5:
    case 6:
        if (rig->n_events < EVENTS_MAX)
            mark(rig);
        break;
    case 7:
        if (rig->n_events + 1 < EVENTS_MAX && prng_below(&rig->prng, 3) == 0)
            reset(rig);
        break;
    case 8:
    case 9:
        drop(rig);
        break;
    case 10:
    case 11:
    case 12:
        rc = store_work(rig->store, &number);
        if (rc == 0)
            rig->n_durable = rig->n_events;
        break;
    case 13:
        rc = store_idle(rig->store);
        break;
    default:
        rc = store_prepare(rig->store, &more);
        break;
    }
    if (rc != 0 && !fake_disk_is_off(rig->disk) && !rig->faulty)
        rig_fail(rig, "the store failed with the power on");
    return rc == 0;
}

/* ---- a crash at every call of the disk ---- */

#define IMAGES_PER_CALL 5

/* One image of what the disk may hold now; then, several times in a row, some more of everything
 * and another loss, which a few calls of the disk bring or the end. */
static void check_image(struct rig *rig, uint64_t seed, bool power_cut)
{
    struct rig *image = calloc(1, sizeof(*image));

    assert_non_null(image);
    *image = *rig;
    image->store = NULL;
    image->found.m = (struct model){0};
    image->newest.m = (struct model){0};
    state_copy(&image->found, &rig->found);
    state_copy(&image->newest, &rig->newest);
    prng_init(&image->prng, seed);
    image->disk = fake_disk_clone(rig->disk, seed);
    image->conf.vfs = fake_disk_vfs(image->disk);
    if (power_cut)
        fake_disk_power_on(image->disk, NULL);
    else
        fake_disk_restart(image->disk);
    for (unsigned life = 0; life < 3; life++) {
        if (life > 0)
            fake_disk_cut_after(image->disk, 1 + prng_below(&image->prng, 12));
        if (rig_open(image))
            for (unsigned i = 0; i < 6 && rig_step(image); i++)
                continue;
        store_close(image->store);
        image->store = NULL;
        fake_disk_cut_now(image->disk);
        fake_disk_power_on(image->disk, NULL);
    }
    if (!rig_open(image))
        rig_fail(image, "refused at the end");
    rig->n_fronts += image->n_fronts;
    rig->n_voids += image->n_voids;
    rig_done(image);
    free(image);
}

static void at_each_call(void *ctx, const char *what, const char *name)
{
    struct rig *rig = ctx;
    const unsigned fronts = rig->n_fronts;
    const unsigned voids = rig->n_voids;

    (void)what;
    (void)name;
    rig->n_fronts = 0;
    rig->n_voids = 0;
    for (unsigned i = 0; i < IMAGES_PER_CALL; i++) {
        const unsigned f = rig->n_fronts;
        const unsigned v = rig->n_voids;

        rig->n_fronts = 0;
        rig->n_voids = 0;
        check_image(rig, rig->seed * 1000003 + fake_disk_n_calls(rig->disk) * 31 + i, i != 0);
        rig->n_fronts += f;
        rig->n_voids += v;
    }
    rig->n_fronts += fronts;
    rig->n_voids += voids;
    rig->n_images += IMAGES_PER_CALL;
}

static void store__every_call_may_be_the_last_of_a_log_that_shrinks(void **state)
{
    const unsigned scripts = n_seeds(40);
    unsigned n_images = 0;
    unsigned n_drops = 0;
    unsigned n_resets = 0;
    unsigned n_fronts = 0;
    unsigned n_voids = 0;

    (void)state;
    for (unsigned seed = 1; seed <= scripts; seed++) {
        struct rig rig;

        rig_begin(&rig, 8000000 + seed);
        assert_true(rig_open(&rig));
        fake_disk_set_hook(rig.disk, at_each_call, &rig);
        for (unsigned life = 0; life < 2; life++) {
            if (life > 0)
                assert_true(rig_open(&rig));
            for (unsigned i = 0; i < 60; i++)
                assert_true(rig_step(&rig));
            at_each_call(&rig, "", "");
            store_close(rig.store);
            rig.store = NULL;
        }
        n_images += rig.n_images;
        n_drops += rig.n_drops;
        n_resets += rig.n_resets;
        n_fronts += rig.n_fronts;
        n_voids += rig.n_voids;
        rig_done(&rig);
    }
    print_message("crash enumeration: scripts=%u images=%u drops=%u resets=%u begin_above_1=%u "
                  "interrupted=%u\n",
                  scripts, n_images, n_drops, n_resets, n_fronts, n_voids);
    assert_true(n_images > scripts * 100);
    assert_true(n_drops > scripts);
    assert_true(n_resets > scripts);
    assert_true(n_fronts > scripts);
    assert_true(n_voids > scripts);
}

/* ---- losses at random moments, for several lives of one log; in some a sync fails ---- */

static void store__a_log_that_shrinks_outlives_power_losses(void **state)
{
    const unsigned seeds = n_seeds(2500);
    unsigned n_drops = 0;
    unsigned n_resets = 0;
    unsigned n_voids = 0;

    (void)state;
    for (unsigned seed = 1; seed <= seeds; seed++) {
        struct rig rig;

        rig_begin(&rig, 9000000 + seed);
        for (unsigned life = 0; life < 8; life++) {
            rig.faulty = prng_below(&rig.prng, 4) == 0;
            if (rig.faulty)
                fake_disk_fail_sync(rig.disk, 1 + prng_below(&rig.prng, 25),
                                    prng_below(&rig.prng, 2) == 0 ? FAKE_DISK_SYNC_PAGES_CLEAN
                                                                  : FAKE_DISK_SYNC_REVERT);
            if (prng_below(&rig.prng, 8) != 0)
                fake_disk_cut_after(rig.disk, 1 + prng_below(&rig.prng, 70));
            if (rig_open(&rig))
                for (unsigned i = 0; i < 100 && rig_step(&rig); i++)
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
        fake_disk_fail_sync(rig.disk, 0, FAKE_DISK_SYNC_REVERT);
        if (!rig_open(&rig))
            rig_fail(&rig, "refused at the end");
        n_drops += rig.n_drops;
        n_resets += rig.n_resets;
        n_voids += rig.n_voids;
        rig_done(&rig);
    }
    print_message("power losses: seeds=%u drops=%u resets=%u interrupted=%u\n", seeds, n_drops,
                  n_resets, n_voids);
    assert_true(n_drops > seeds);
    assert_true(n_resets > seeds);
    assert_true(n_voids > seeds / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__every_call_may_be_the_last_of_a_log_that_shrinks),
        cmocka_unit_test(store__a_log_that_shrinks_outlives_power_losses),
    };

    return cmocka_run_group_tests_name("store-front-crash", tests, NULL, NULL);
}
