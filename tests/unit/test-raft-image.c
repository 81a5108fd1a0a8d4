/* CORE-6: images and copies of cores leave out nothing that matters. What matters is told by what a core does: the same schedule is
 * played with cores that are replaced by what was made of their image, or by a copy, after every step, and nobody may
 * notice. That they keep nothing that does not matter is for test-raft-fields.c. */
#include <inttypes.h>

#include "raft-schedule.h"

#include "base/hash.h"
#include "raft/image.h"
#include "raft/raft_int.h"

#include "base/banned.h"

#define STEPS 400u

/* ---- the same schedule, in several worlds ---- */

/* The last two have no stamps and clocks of one rate: LATER is PLAIN at another time. */
enum world { AS_IT_IS, BY_IMAGE, BY_CLONE, PLAIN, LATER };

static struct raft_image_how how_now(const struct fx *fx, const struct fx_node *node)
{
    return (struct raft_image_how){.now_us = fx_now(fx, node->i), .hold_us = fx_hold(fx, node->i)};
}

static uint64_t image_hash(const struct fx *fx, const struct fx_node *node, enum world world)
{
    struct raft_image_how how = how_now(fx, node);
    struct buf bytes = BUF_INIT;
    uint64_t h;

    /* What is measured of the clocks of others is of their absolute times. */
    how.grain = world >= PLAIN ? RAFT_IMAGE_COARSE : RAFT_IMAGE_EXACT;
    assert_int_equal(raft_image_write(node->r, &how, &bytes), 0);
    h = hash_fnv64(bytes.data, bytes.len);
    buf_done(&bytes);
    return h;
}

static void replace(struct fx *fx, struct fx_node *node, enum world world)
{
    const struct raft_image_how how = how_now(fx, node);
    struct buf bytes = BUF_INIT;
    struct raft *r;

    if (world == BY_CLONE) {
        assert_int_equal(raft_clone(node->r, &node->conf, &r), 0);
    } else {
        assert_int_equal(raft_image_write(node->r, &how, &bytes), 0);
        assert_int_equal(raft_image_read(&node->conf, bytes.data, bytes.len, &how, &r), 0);
    }
    raft_free(node->r);
    node->r = r;
    raft_check(r);
    buf_done(&bytes);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    return hash_mix64(h ^ v) + 0x9e3779b97f4a7c15u;
}

static uint64_t msg_hash(const struct raft_msg *m)
{
    uint64_t h = mix((uint64_t)m->type, m->from);

    h = mix(mix(mix(h, m->to), m->term), m->prev.index);
    h = mix(mix(mix(h, m->prev.term), m->leader_commit), m->index);
    h = mix(mix(mix(h, m->hint.term), m->hint.index), m->round);
    h = mix(mix(mix(h, m->reject), m->transfer), m->note.flags);
    for (unsigned i = 0; i < m->n_entries; i++)
        h = mix(mix(h, m->entries[i].id.term), m->entries[i].id.index);
    h = mix(mix(mix(h, m->beat.lease_us), m->beat.leased), m->beat.proved_index);
    h = mix(mix(mix(h, m->left_us), m->ask.number), m->leader);
    return h;
}

/* All that can be told apart after a step. */
static uint64_t look(const struct fx *fx, enum world world)
{
    uint64_t h = fx->n_commits;

    for (unsigned i = 1; i <= fx->n; i++) {
        const struct fx_node *node = &fx->nodes[i];

        h = mix(mix(h, node->n_reads_done), node->n_reads_failed);
        h = mix(mix(h, node->n_losses), node->committed_handed);
        h = mix(mix(h, node->n_answered), node->answered.read_index);
        if (node->state == FX_UP)
            h = mix(h, image_hash(fx, node, world));
    }
    for (unsigned k = 0; k < fx->n_net; k++)
        h = mix(h, msg_hash(&fx->net[k].m));
    return mix(h, fx->n_lease_reads);
}

static void play(enum world world, uint64_t seed, uint64_t looks[STEPS], unsigned *elections)
{
    struct fx fx;
    struct prng prng;

    fx_init(&fx, 3, 1, seed);
    prng_init(&prng, seed);
    if (world == LATER)
        fx.now += 987654321;
    if (seed % 3 > 0)
        fx_leases(&fx, (1 + prng_below(&prng, 3)) * FX_ELECTION_US);
    for (unsigned i = 1; i <= fx.n; i++) {
        fx.nodes[i].conf.rounds_max = 2;
        fx.nodes[i].conf.append_bytes_max = 1 + prng_below(&prng, 20);
        fx.nodes[i].conf.cache_bytes_max = prng_below(&prng, 200);
        fx.nodes[i].manual_store = seed % 2 == 0;
        fx.nodes[i].rate_ppm = world < PLAIN ? (int)prng_below(&prng, 8000) - 4000 : 0;
        if (world >= PLAIN)
            fx.nodes[i].conf.nonce = 0;
    }
    fx_start_all(&fx);
    for (unsigned k = 0; k < STEPS; k++) {
        schedule_step(&fx, &prng);
        for (unsigned i = 1; i <= fx.n; i++)
            if (fx.nodes[i].state == FX_UP) {
                if (prng_below(&prng, 100) == 0)
                    raft_forget_held(fx.nodes[i].r, fx_now(&fx, i));
                raft_hold(fx.nodes[i].r, fx_now(&fx, i), fx_hold(&fx, i));
                raft_link(fx.nodes[i].r, 1, true, fx_now(&fx, i)); /* nobody: nothing happens */
            }
        for (unsigned i = 1; i <= fx.n && (world == BY_IMAGE || world == BY_CLONE); i++)
            if (fx.nodes[i].state == FX_UP)
                replace(&fx, &fx.nodes[i], world);
        looks[k] = look(&fx, world);
    }
    *elections += fx.n_leaders;
    fx_done(&fx);
}

static void image__nobody_notices(void **state)
{
    static uint64_t looks[LATER + 1][STEPS];
    const char *seeds = getenv("RAFT_IMAGE_SEEDS");
    const unsigned n = seeds != NULL ? (unsigned)strtoul(seeds, NULL, 10) : 60;
    unsigned elections = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= n; seed++) {
        for (enum world w = AS_IT_IS; w <= LATER; w++) {
            const uint64_t *as = looks[w < PLAIN ? AS_IT_IS : PLAIN];

            play(w, seed, looks[w], &elections);
            for (unsigned k = 0; k < STEPS; k++)
                if (as[k] != looks[w][k])
                    fail_msg("seed %" PRIu64 ", step %u: world %d goes another way", seed, k,
                             (int)w);
        }
    }
    assert_in_range(elections, 4 * n, UINT32_MAX); /* else little has happened */
}

/* ---- time ---- */

static bool same_later(const struct fx *fx, const struct fx_node *node, enum raft_image_grain grain)
{
    struct raft_image_how how = how_now(fx, node);
    struct buf first = BUF_INIT, second = BUF_INIT;
    bool same;

    how.grain = grain;
    how.now_us += 100 * FX_ELECTION_US;
    how.hold_us += 100 * FX_ELECTION_US;
    assert_int_equal(raft_image_write(node->r, &how, &first), 0);
    how.now_us += 100 * FX_ELECTION_US;
    how.hold_us += 100 * FX_ELECTION_US;
    assert_int_equal(raft_image_write(node->r, &how, &second), 0);
    same = first.len == second.len && memcmp(first.data, second.data, first.len) == 0;
    buf_done(&first);
    buf_done(&second);
    return same;
}

/* After a long time it does not matter how long: a search would go on for ever. What is on its way to the disk is measured,
 * and so are the rounds of a leader that looks at clocks. */
static void image__time_comes_to_an_end(void **state)
{
    unsigned n = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng prng;
        struct fx fx;

        fx_init(&fx, 3, 0, seed);
        prng_init(&prng, seed);
        fx_leases(&fx, FX_ELECTION_US);
        for (unsigned i = 1; i <= fx.n; i++)
            fx.nodes[i].conf.nonce = 0;
        fx_start_all(&fx);
        for (unsigned k = 0; k < 60 + seed; k++)
            schedule_step(&fx, &prng);
        for (unsigned i = 1; i <= fx.n; i++) {
            const struct fx_node *node = &fx.nodes[i];

            if (node->state != FX_UP || node->n_batches > 0)
                continue;
            n++;
            assert_true(same_later(&fx, node, RAFT_IMAGE_TIMELESS));
            if (fx_role(&fx, i) != RAFT_LEADER)
                assert_true(same_later(&fx, node, RAFT_IMAGE_COARSE));
        }
        fx_done(&fx);
    }
    assert_in_range(n, 60, 1000);
}

/* ---- names ---- */

/* n1 is called n2, n2 n3, n3 n1, in all that is in the image, and back. */
static void image__names_may_change(void **state)
{
    static const unsigned char forth[] = {1, 2, 0, 3};
    static const unsigned char back[] = {2, 0, 1, 3};
    struct prng prng;
    struct fx fx;

    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct raft_renaming names = {.n = 4};
        struct raft_server servers[4];

        fx_init(&fx, 3, 1, seed);
        prng_init(&prng, seed);
        fx_leases(&fx, FX_ELECTION_US);
        fx_start_all(&fx);
        for (unsigned k = 0; k < 4; k++)
            servers[k] = *raft_configuration_get(&fx.configuration, fx_id(&fx, k + 1));
        names.servers = servers;
        for (unsigned k = 0; k < 30 + seed % 100; k++)
            schedule_step(&fx, &prng);
        for (unsigned i = 1; i <= fx.n; i++) {
            struct raft_image_how how = how_now(&fx, &fx.nodes[i]);
            struct raft_conf conf = fx.nodes[i].conf;
            struct buf first = BUF_INIT, second = BUF_INIT, third = BUF_INIT;
            struct raft *other;

            if (fx.nodes[i].state != FX_UP)
                continue;
            assert_int_equal(raft_image_write(fx.nodes[i].r, &how, &first), 0);
            names.to = forth;
            how.renaming = &names;
            assert_int_equal(raft_image_write(fx.nodes[i].r, &how, &second), 0);
            how.renaming = NULL;
            conf.id = servers[forth[i - 1]].id;
            assert_int_equal(raft_image_read(&conf, second.data, second.len, &how, &other), 0);
            raft_check(other);
            assert_int_equal(raft_get_role(other), raft_get_role(fx.nodes[i].r));
            names.to = back;
            how.renaming = &names;
            assert_int_equal(raft_image_write(other, &how, &third), 0);
            assert_int_equal(first.len, third.len);
            assert_memory_equal(first.data, third.data, first.len);
            assert_true(i == 4 || first.len != second.len ||
                        memcmp(first.data, second.data, first.len) != 0);
            raft_free(other);
            buf_done(&first);
            buf_done(&second);
            buf_done(&third);
        }
        fx_done(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image__nobody_notices),
        cmocka_unit_test(image__time_comes_to_an_end),
        cmocka_unit_test(image__names_may_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
