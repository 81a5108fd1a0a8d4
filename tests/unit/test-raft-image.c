/* Images and copies of cores: they leave out nothing that matters, and keep nothing that does not.
 *
 * What matters is told by what a core does: the same schedule is played with cores that are replaced by what was made of
 * their image, or by a copy, after every step, and nobody may notice. What is in the image is told by turning bits: of every
 * field of every struct of a core it is said here whether they show. The names of the fields are read from the headers,
 * so that a new one fails this test until it is thought of. */
#include <inttypes.h>

#include "raft-fixture.h"

#include "base/hash.h"
#include "raft/image.h"
#include "raft/raft_int.h"

#include "base/banned.h"

#define STEPS 400u

/* ---- the same schedule, in several worlds ---- */

enum world { AS_IT_IS, BY_IMAGE, BY_CLONE, LATER };

static uint64_t image_hash(const struct fx *fx, const struct raft *r)
{
    const struct raft_image_how how = {.now_us = fx->now};
    struct buf bytes = BUF_INIT;
    uint64_t h;

    assert_int_equal(raft_image_write(r, &how, &bytes), 0);
    h = hash_fnv64(bytes.data, bytes.len);
    buf_done(&bytes);
    return h;
}

static void replace(struct fx *fx, struct fx_node *node, enum world world)
{
    const struct raft_image_how how = {.now_us = fx->now};
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
    return h;
}

/* All that can be told apart after a step. */
static uint64_t look(const struct fx *fx)
{
    uint64_t h = fx->n_commits;

    for (unsigned i = 1; i <= fx->n; i++) {
        const struct fx_node *node = &fx->nodes[i];

        h = mix(mix(h, node->n_reads_done), node->n_reads_failed);
        h = mix(mix(h, node->n_losses), node->committed_handed);
        if (node->state == FX_UP)
            h = mix(h, image_hash(fx, node->r));
    }
    for (unsigned k = 0; k < fx->n_net; k++)
        h = mix(h, msg_hash(&fx->net[k].m));
    return h;
}

static void change_members(struct fx *fx, struct prng *prng, unsigned i)
{
    struct raft_configuration c = *raft_get_configuration(fx_raft(fx, i));
    struct raft_server *s = &c.servers[prng_below(prng, c.n)];

    s->role = s->role == RAFT_VOTER ? RAFT_LEARNER : RAFT_VOTER;
    (void)fx_try_configure(fx, i, &c, true);
}

static void step_leader(struct fx *fx, struct prng *prng, unsigned i)
{
    switch (prng_below(prng, 6)) {
    case 0:
    case 1:
        (void)fx_try_read(fx, i, ++fx->ctx_last, 0);
        return;
    case 2:
        (void)raft_transfer(fx_raft(fx, i), fx_id(fx, 1 + (unsigned)prng_below(prng, fx->n)),
                            fx->now);
        fx_turn(fx, i);
        return;
    case 3:
        change_members(fx, prng, i);
        return;
    default: {
        struct raft_entry_id id;

        (void)fx_try_propose(fx, i, "value", prng_below(prng, 6), &id);
        return;
    }
    }
}

static void step_rare(struct fx *fx, struct prng *prng, unsigned i)
{
    const raft_index applied = fx_status(fx, i).last_applied;
    const unsigned j = 1 + (unsigned)prng_below(prng, fx->n);

    switch (prng_below(prng, 5)) {
    case 0:
        if (j != i && fx->nodes[j].state == FX_UP)
            fx_link(fx, i, j, prng_below(prng, 3) > 0);
        return;
    case 1:
        fx_crash(fx, i, (unsigned)prng_below(prng, 3));
        return;
    case 2:
        raft_set_fitness(fx_raft(fx, i), prng_below(prng, 2) == 0 ? RAFT_FIT : RAFT_PARKED,
                         fx->now);
        fx_turn(fx, i);
        return;
    case 3:
        if (applied > fx_status(fx, i).base.index + 2 && fx_status(fx, i).last_stored >= applied)
            fx_compact_now(fx, i, applied - 1);
        return;
    default:
        fx->nodes[i].manual_store = prng_below(prng, 2) == 0;
        return;
    }
}

static void step(struct fx *fx, struct prng *prng)
{
    const unsigned i = 1 + (unsigned)prng_below(prng, fx->n);

    if (fx->nodes[i].state != FX_UP) {
        if (prng_below(prng, 4) == 0)
            fx_restart(fx, i);
        return;
    }
    switch (prng_below(prng, 16)) {
    case 0:
    case 1:
        fx_tick(fx, i);
        return;
    case 2:
        fx->now += prng_below(prng, FX_ELECTION_US / 4);
        fx_tick(fx, i);
        return;
    case 3:
        fx_store(fx, i, 1);
        return;
    case 4:
    case 5:
    case 6:
        if (fx_role(fx, i) == RAFT_LEADER)
            step_leader(fx, prng, i);
        return;
    case 7:
        if (prng_below(prng, 3) == 0)
            step_rare(fx, prng, i);
        return;
    case 8:
        if (fx->n_net > 0)
            fx_duplicate(fx, &fx->net[prng_below(prng, fx->n_net)]);
        return;
    default:
        if (fx->n_net > 0)
            fx_deliver_msg(fx, &fx->net[prng_below(prng, 3) > 0 ? 0 : prng_below(prng, fx->n_net)]);
        return;
    }
}

static void play(enum world world, uint64_t seed, uint64_t looks[STEPS], unsigned *elections)
{
    struct fx fx;
    struct prng prng;

    fx_init(&fx, 3, 1, seed);
    prng_init(&prng, seed);
    if (world == LATER)
        fx.now += 987654321;
    for (unsigned i = 1; i <= fx.n; i++) {
        fx.nodes[i].conf.rounds_max = 2;
        fx.nodes[i].conf.append_bytes_max = 1 + prng_below(&prng, 20);
        fx.nodes[i].conf.cache_bytes_max = prng_below(&prng, 200);
        fx.nodes[i].manual_store = seed % 2 == 0;
    }
    fx_start_all(&fx);
    for (unsigned k = 0; k < STEPS; k++) {
        step(&fx, &prng);
        for (unsigned i = 1; i <= fx.n; i++)
            if (fx.nodes[i].state == FX_UP)
                raft_link(fx.nodes[i].r, 1, true, fx.now); /* of a stranger: it tells the time */
        for (unsigned i = 1; i <= fx.n && (world == BY_IMAGE || world == BY_CLONE); i++)
            if (fx.nodes[i].state == FX_UP)
                replace(&fx, &fx.nodes[i], world);
        looks[k] = look(&fx);
    }
    *elections += fx.n_leaders;
    fx_done(&fx);
}

static void image__nobody_notices(void **state)
{
    static uint64_t as_it_is[STEPS];
    static uint64_t other[STEPS];
    const char *seeds = getenv("RAFT_IMAGE_SEEDS");
    const unsigned n = seeds != NULL ? (unsigned)strtoul(seeds, NULL, 10) : 60;
    unsigned elections = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= n; seed++) {
        play(AS_IT_IS, seed, as_it_is, &elections);
        for (enum world w = BY_IMAGE; w <= LATER; w++) {
            play(w, seed, other, &elections);
            for (unsigned k = 0; k < STEPS; k++)
                if (as_it_is[k] != other[k])
                    fail_msg("seed %" PRIu64 ", step %u: world %d goes another way", seed, k,
                             (int)w);
        }
    }
    assert_in_range(elections, 4 * n, UINT32_MAX); /* else little has happened */
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
        fx_start_all(&fx);
        for (unsigned k = 0; k < 4; k++)
            servers[k] = *raft_configuration_get(&fx.configuration, fx_id(&fx, k + 1));
        names.servers = servers;
        for (unsigned k = 0; k < 30 + seed % 100; k++)
            step(&fx, &prng);
        for (unsigned i = 1; i <= fx.n; i++) {
            struct raft_image_how how = {.now_us = fx.now};
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

/* ---- every field ---- */

enum kind {
    SHOWS,    /* another value, another image, in one core at least */
    TIME,     /* a microsecond earlier, likewise */
    AHEAD,    /* a time in the future, likewise */
    NAME,     /* another node, likewise */
    NOT_SEEN, /* whatever stands there, no image changes */
    PART,     /* made of others: shown by what stands in them, or by their number */
};

struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t size;
    const char *why; /* NOT_SEEN: why nothing is lost */
};
#define F(type, member, kind)                                                                      \
    {                                                                                              \
#member, kind, offsetof(struct type, member), sizeof(((struct type *)NULL)->member), NULL  \
    }
#define N(type, member, why)                                                                       \
    {                                                                                              \
#member, NOT_SEEN, offsetof(struct type, member), sizeof(((struct type *)NULL)->member),   \
            why                                                                                    \
    }

/* clang-format off */
static const struct field of_raft[] = {
    {"conf", PART, 0, 0, NULL}, /* the same in all cores of a search, but for the id */
    {"now_us", PART, 0, 0, NULL}, /* what all times are told from */
    F(raft, prng, SHOWS),
    {"arena", PART, 0, 0, NULL}, /* what the last ready points at */
    F(raft, role, PART), /* decides what else there is */
    F(raft, hard_state, PART),
    F(raft, leader_id, NAME),
    F(raft, leader_heard_us, TIME),
    F(raft, term_leader, NAME),
    F(raft, silent_since_us, TIME),
    F(raft, election_spread_us, SHOWS),
    F(raft, election_due_us, TIME),
    {"configs", PART, 0, 0, NULL},
    {"n_configs", PART, 0, 0, NULL},
    N(raft, configs_size, "room"),
    {"n_progress", PART, 0, 0, NULL}, /* by the configuration in force, as the next three */
    {"progress", PART, 0, 0, NULL},
    N(raft, self_slot, "by the configuration in force"),
    N(raft, is_voter, "by the configuration in force"),
    {"log", PART, 0, 0, NULL},
    F(raft, commit_index, SHOWS),
    F(raft, last_applied, SHOWS),
    F(raft, ahead, SHOWS),
    F(raft, last_emitted, SHOWS),
    F(raft, last_stored, SHOWS),
    F(raft, held, SHOWS),
    F(raft, installing, SHOWS),
    {"reset", PART, 0, 0, NULL}, /* none at rest */
    {"reset_batch", PART, 0, 0, NULL}, /* among the outstanding ones, as self_vote_batch */
    {"last_handed", PART, 0, 0, NULL}, /* all of the log, at rest */
    {"truncate_from", PART, 0, 0, NULL}, /* 0 at rest */
    {"hard_state_dirty", PART, 0, 0, NULL}, /* false at rest */
    F(raft, apply_waits_for_log, SHOWS),
    N(raft, far_peer, "for people"),
    N(raft, far_term, "for people"),
    N(raft, last_batch, "the last durable one and those that are outstanding"),
    {"last_stored_batch", PART, 0, 0, NULL},
    {"marks", PART, 0, 0, NULL},
    F(raft, disk, PART),
    F(raft, n_late_elections, SHOWS),
    F(raft, self_vote_pending, SHOWS),
    {"self_vote_batch", PART, 0, 0, NULL},
    F(raft, self_vote, SHOWS),
    F(raft, campaign_transfer, SHOWS),
    F(raft, fitness, SHOWS),
    F(raft, waits_for_room, SHOWS),
    F(raft, note, SHOWS),
    F(raft, noop_index, SHOWS),
    F(raft, heartbeat_due_us, TIME),
    F(raft, hand_over_us, AHEAD),
    F(raft, step_down_us, TIME),
    F(raft, uncommitted_bytes, SHOWS),
    F(raft, transfer_to, NAME),
    F(raft, transfer_deadline_us, TIME),
    F(raft, transfer_sent, SHOWS),
    {"reads", PART, 0, 0, NULL},
    {"rounds", PART, 0, 0, NULL},
    {"msgs", PART, 0, 0, NULL}, /* none at rest, as the next */
    {"msgs_after", PART, 0, 0, NULL},
    {"out", PART, 0, 0, NULL}, /* what the last ready handed out, as the next */
    {"out_after", PART, 0, 0, NULL},
    {"loss", PART, 0, 0, NULL}, /* none at rest */
    N(raft, loss_term, "says something only with a loss"),
    N(raft, loss_commit_index, "says something only with a loss"),
    {"transfer_over", PART, 0, 0, NULL}, /* false at rest */
    N(raft, seen, "what the core is at rest"),
};
static const struct field of_progress[] = {
    {"id", PART, 0, 0, NULL}, /* by the configuration in force, as the next */
    {"role", PART, 0, 0, NULL},
    F(progress, link_up, SHOWS),
    F(progress, vote, SHOWS),
    F(progress, state, PART),
    F(progress, match_index, SHOWS),
    F(progress, next_index, SHOWS),
    F(progress, inflight, PART),
    F(progress, inflight_head, PART), /* where the list begins in its array */
    F(progress, n_inflight, PART),
    F(progress, inflight_bytes, SHOWS),
    F(progress, probe_sent, SHOWS),
    F(progress, waits_for_log, SHOWS),
    F(progress, needs_compacted, SHOWS),
    F(progress, append_sent_us, TIME),
    F(progress, append_heard_us, TIME),
    F(progress, resend_us, SHOWS),
    F(progress, resent, SHOWS),
    F(progress, heartbeat_due, SHOWS),
    F(progress, acked_round, SHOWS),
    F(progress, last_heard_us, TIME),
    F(progress, rtt_round, SHOWS),
    F(progress, rtt_sent_us, TIME),
    F(progress, srtt_us, SHOWS),
    F(progress, note_flags, SHOWS),
};
static const struct field of_inflight[] = {F(inflight, last, SHOWS), F(inflight, bytes, SHOWS)};
static const struct field of_batch_mark[] = {
    N(batch_mark, batch, "the numbers behind the last durable one"),
    F(batch_mark, last_index, SHOWS),
    F(batch_mark, issued_us, TIME),
    F(batch_mark, bytes, SHOWS),
    F(batch_mark, queued_bytes, SHOWS),
};
static const struct field of_disk[] = {
    F(disk, moved_us, TIME),
    N(disk, outstanding_bytes, "a sum"),
    F(disk, proposed_bytes, SHOWS),
    F(disk, window_bytes, SHOWS),
    F(disk, syncs, PART), /* n_syncs of them */
    F(disk, n_syncs, PART), /* and those */
    F(disk, next_sync, SHOWS),
    F(disk, handed_over, SHOWS),
};
static const struct field of_rounds[] = {
    F(rounds, next, PART), /* with the times of the rounds */
    F(rounds, confirmed, SHOWS),
    F(rounds, times, PART),
    F(rounds, due, SHOWS),
    F(rounds, srtt_us, SHOWS),
    F(rounds, max, SHOWS),
    F(rounds, n_open, SHOWS),
    F(rounds, last_us, TIME),
    N(rounds, n_opened, "for people"),
    N(rounds, n_confirmed, "for people"),
};
static const struct field of_round_time[] = {
    F(round_time, round, PART), /* by its place */
    F(round_time, opened_us, TIME),
};
static const struct field of_read[] = {
    F(read, ctx, SHOWS),        F(read, min_index, SHOWS),     F(read, read_index, SHOWS),
    F(read, round, SHOWS),      F(read, arrival_round, SHOWS),
};
static const struct field of_hard_state[] = {
    F(raft_hard_state, current_term, SHOWS),
    F(raft_hard_state, voted_for, NAME),
    F(raft_hard_state, lease_max_us, SHOWS),
};
static const struct field of_read_queue[] = {
    {"list", PART, 0, 0, NULL},
    F(read_queue, n_inflight, SHOWS),
    {"floors", PART, 0, 0, NULL},
    {"done", PART, 0, 0, NULL}, /* none at rest, as the next */
    {"failed", PART, 0, 0, NULL},
};
static const struct field of_raft_log[] = {
    {"mem", PART, 0, 0, NULL},
    {"base", PART, 0, 0, NULL},
    {"cache", PART, 0, 0, NULL},
    {"first_cached", PART, 0, 0, NULL},
    {"last_index", PART, 0, 0, NULL},
    N(raft_log, cached_bytes, "a sum"),
    {"terms", PART, 0, 0, NULL},
    {"n_terms", PART, 0, 0, NULL},
    N(raft_log, terms_size, "room"),
};
/* clang-format on */

#define STRUCT(name, header, fields)                                                               \
    {                                                                                              \
        name, header, fields, sizeof(fields) / sizeof((fields)[0])                                 \
    }
static const struct {
    const char *name;
    const char *header;
    const struct field *fields;
    size_t n;
} structs[] = {
    STRUCT("raft", "raft_int.h", of_raft),
    STRUCT("progress", "raft_int.h", of_progress),
    STRUCT("inflight", "raft_int.h", of_inflight),
    STRUCT("batch_mark", "raft_int.h", of_batch_mark),
    STRUCT("disk", "raft_int.h", of_disk),
    STRUCT("rounds", "rounds_int.h", of_rounds),
    STRUCT("round_time", "rounds_int.h", of_round_time),
    STRUCT("read", "read_queue_int.h", of_read),
    STRUCT("read_queue", "read_queue_int.h", of_read_queue),
    STRUCT("raft_log", "log_int.h", of_raft_log),
    STRUCT("raft_hard_state", "types.h", of_hard_state),
};
#define N_STRUCTS (sizeof(structs) / sizeof(structs[0]))

static char *header_text(const char *header)
{
    const char *srcdir = getenv("srcdir");
    char path[512];
    char *text = calloc(1, 1 << 18);
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/src/raft/%s", srcdir != NULL ? srcdir : ".", header);
    f = fopen(path, "r");
    if (f == NULL)
        fail_msg("cannot open '%s': run by make check, or set srcdir", path);
    assert_non_null(text);
    assert_in_range(fread(text, 1, (1 << 18) - 1, f), 1, (1 << 18) - 2);
    (void)fclose(f);
    return text;
}

/* Comments become blanks. */
static void strip(char *text)
{
    char *from;

    while ((from = strstr(text, "/*")) != NULL) {
        char *to = strstr(from, "*/");

        assert_non_null(to);
        memset(from, ' ', (size_t)(to + 2 - from));
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The name before `end`, which is a semicolon or what stands before it, and where it begins. */
static const char *name_before(const char *begin, const char *end, size_t *ret_len)
{
    const char *bracket = memchr(begin, '[', (size_t)(end - begin));
    const char *at = bracket != NULL ? bracket : end;
    const char *last = at;

    while (at > begin && is_word(at[-1]))
        at--;
    *ret_len = (size_t)(last - at);
    return at;
}

static void check_names(size_t k)
{
    char *text = header_text(structs[k].header);
    char head[64];
    const char *at;
    size_t n = 0;

    strip(text);
    (void)snprintf(head, sizeof(head), "struct %s {", structs[k].name);
    at = strstr(text, head);
    if (at == NULL)
        fail_msg("there is no struct %s in %s", structs[k].name, structs[k].header);
    for (at += strlen(head); n < 200; n++) {
        const char *end = at + strcspn(at, ";}");
        size_t len;
        const char *name;

        if (*end == '}')
            break;
        name = name_before(at, end, &len);
        if (n >= structs[k].n || strlen(structs[k].fields[n].name) != len ||
            strncmp(structs[k].fields[n].name, name, len) != 0)
            fail_msg("struct %s has a field '%.*s' that this test does not know there: is it in "
                     "the image "
                     "(src/raft/image.c), and if not, why?",
                     structs[k].name, (int)len, name);
        at = end + 1;
    }
    assert_int_equal(n, structs[k].n);
    free(text);
}

static void image__every_field_is_thought_of(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_STRUCTS; k++)
        check_names(k);
}

static bool shown[N_STRUCTS][80];

static void turn_bits(const struct fx *fx, struct raft *r, size_t k, void *object)
{
    const uint64_t before = image_hash(fx, r);

    for (size_t i = 0; i < structs[k].n; i++) {
        const struct field *f = &structs[k].fields[i];
        unsigned char *p = (unsigned char *)object + f->offset;
        uint64_t old;
        uint64_t other;

        switch (f->kind) {
        case PART:
            break;
        case NAME:
        case TIME:
        case AHEAD:
            memcpy(&old, p, sizeof(old));
            if (old == 0)
                break; /* nobody, or never */
            other = f->kind == TIME    ? old - 1
                    : f->kind == AHEAD ? fx->now + 7
                                       : fx_id(fx, 1 + fx_of(fx, old) % fx->n);
            memcpy(p, &other, sizeof(other));
            shown[k][i] |= image_hash(fx, r) != before;
            memcpy(p, &old, sizeof(old));
            break;
        case SHOWS:
        case NOT_SEEN:
            for (size_t b = 0; b < f->size; b++) {
                p[b] ^= 1;
                if (image_hash(fx, r) != before) {
                    if (f->kind == NOT_SEEN)
                        fail_msg("byte %zu of '%s' shows, and should not: %s", b, f->name, f->why);
                    shown[k][i] = true;
                }
                p[b] ^= 1;
            }
            break;
        }
        assert_int_equal(image_hash(fx, r), before);
    }
}

static void turn_bits_of(const struct fx *fx, struct raft *r)
{
    size_t k = 0;

    turn_bits(fx, r, k++, r);
    for (unsigned i = 0; i < r->n_progress; i++)
        turn_bits(fx, r, 1, &r->progress[i]);
    k++;
    if (r->role == RAFT_LEADER && r->progress[0].n_inflight > 0)
        turn_bits(fx, r, k, &r->progress[0].inflight[r->progress[0].inflight_head]);
    k++;
    if (mark_ring_n(&r->marks) > 0)
        turn_bits(fx, r, k, mark_ring_at(&r->marks, 0));
    k++;
    turn_bits(fx, r, k++, &r->disk);
    turn_bits(fx, r, k++, &r->rounds);
    if (r->rounds.next > 1)
        turn_bits(fx, r, k, &r->rounds.times[raft_rounds_last(&r->rounds) % ROUND_TIMES]);
    k++;
    if (read_ring_n(&r->reads.list) > 0)
        turn_bits(fx, r, k, read_ring_at(&r->reads.list, 0));
    k++;
    turn_bits(fx, r, k++, &r->reads);
    turn_bits(fx, r, k++, &r->log);
    turn_bits(fx, r, k++, &r->hard_state);
    assert_int_equal(k, N_STRUCTS);
}

/* The cores of random schedules, at the end: some have this, some that. */
static void image__shows_what_it_should(void **state)
{
    struct prng prng;
    struct fx fx;

    (void)state;
    memset(shown, 0, sizeof(shown));
    for (uint64_t seed = 1; seed <= 300; seed++) {
        fx_init(&fx, 3, 0, seed);
        prng_init(&prng, seed);
        for (unsigned i = 1; i <= fx.n; i++)
            fx.nodes[i].manual_store = seed % 2 == 0;
        fx_start_all(&fx);
        for (unsigned k = 0; k < 60 + seed % 200; k++)
            step(&fx, &prng);
        for (unsigned i = 1; i <= fx.n; i++)
            if (fx.nodes[i].state == FX_UP)
                turn_bits_of(&fx, fx.nodes[i].r);
        fx_done(&fx);
    }
    for (size_t k = 0; k < N_STRUCTS; k++)
        for (size_t i = 0; i < structs[k].n; i++)
            if (structs[k].fields[i].kind != PART && structs[k].fields[i].kind != NOT_SEEN &&
                !shown[k][i])
                fail_msg("%s.%s never shows", structs[k].name, structs[k].fields[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image__nobody_notices),
        cmocka_unit_test(image__names_may_change),
        cmocka_unit_test(image__every_field_is_thought_of),
        cmocka_unit_test(image__shows_what_it_should),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
