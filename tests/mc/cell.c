/* One node: its core, its disk, and what waits for it. At rest it is a list of bytes with a number; alive it can be asked. */
#include "mc/mc.h"
#include "raft/raft_int.h"

#include "base/banned.h"

#define CELL_BYTES 16384u

struct mc_pool mc_cell_pool = {.name = "nodes"};
struct mc_pool mc_log_pool = {.name = "logs"};

static struct mc_face *faces; /* by number of the cell */
static uint32_t *renamed;     /* by number and permutation; a number + 1 */
static size_t size;
static size_t n_faces;

/* ---- from the disk ---- */

static int read_durable(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                        struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                        unsigned *ret_n)
{
    const struct mc_cell *c = ctx;
    size_t bytes = 0;
    unsigned n = 0;

    (void)arena; /* the bytes of an entry stay where they are */
    rid_assert(from >= 1);
    rid_assert(to <= c->n_log);
    for (raft_index i = from; i <= to && n < n_max; i++) {
        const struct raft_entry *e = mc_entry(c->log[i - 1]);

        if (n > 0 && bytes + e->len > bytes_max)
            break;
        bytes += e->len;
        ret_entries[n++] = *e;
    }
    *ret_n = n;
    return 0;
}

/* What is left to chance in the time of an election: a tenth of it, about, and always the same. */
static uint64_t seed_of_a_short_spread(void)
{
    for (uint64_t seed = 1;; seed++) {
        struct prng prng;
        uint64_t spread_us;

        prng_init(&prng, seed);
        spread_us = prng_below(&prng, MC_ELECTION_US);
        if (spread_us > MC_ELECTION_US / 16 && spread_us < MC_ELECTION_US / 8)
            return seed;
    }
}

/* Another one in each life; none where nothing is asked of it. */
static void set_nonce(struct mc_cell *c)
{
    c->conf.nonce = mc_scope.pairs || mc_scope.budgets[MC_ASKS] > 0 ? 1 + c->boots : 0;
}

static void set_conf(struct mc_cell *c, unsigned slot)
{
    static uint64_t seed;

    if (seed == 0)
        seed = seed_of_a_short_spread();
    c->slot = slot;
    raft_conf_init(&c->conf);
    c->conf.id = mc_id(slot);
    c->conf.election_timeout_us = MC_ELECTION_US;
    c->conf.heartbeat_us = MC_HEARTBEAT_US;
    c->conf.seed = seed;
    c->conf.log_reader = (struct raft_log_reader){.read = read_durable, .ctx = c};
    c->conf.trace = c->loud ? mc_say_trace : NULL;
    c->conf.trace_ctx = c;
    c->conf.lease_us = mc_scope.leases ? MC_LEASE_US : 0;
    set_nonce(c);
    c->now_us = MC_EPOCH_US;
    c->hold_us = MC_EPOCH_US;
}

void mc_cell_begin(struct mc_cell *c, unsigned slot)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration founders;
    struct raft_entry e = {.id = {1, 1}, .type = RAFT_ENTRY_CONFIG};

    memset(c, 0, sizeof(*c));
    raft_configuration_init(&founders);
    founders.version = mc_scope.leases ? GATES_VERSION : 0;
    for (unsigned i = 0; i < mc_scope.voters + mc_scope.learners; i++)
        rid_assert(raft_configuration_add(&founders, mc_id(i), mc_servers[i].name,
                                          i < mc_scope.voters ? RAFT_VOTER : RAFT_LEARNER, "",
                                          "") == 0);
    rid_assert(raft_configuration_encode(&founders, &bytes) == 0);
    e.data = bytes.data;
    e.len = (uint32_t)bytes.len;
    c->log[c->n_log++] = mc_entry_put(&e);
    c->hard_state.current_term = 1;
    c->commit_index = 1;
    set_conf(c, slot);
    mc_cell_start(c);
}

void mc_cell_start(struct mc_cell *c)
{
    struct raft_term_range terms[MC_LOG_MAX];
    static struct raft_config_at configs[MC_LOG_MAX];
    struct raft_start start = {.hard_state = c->hard_state,
                               .last_index = c->n_log,
                               .commit_index =
                                   c->commit_index < c->n_log ? c->commit_index : c->n_log,
                               .terms = terms,
                               .configs = configs};

    for (unsigned i = 0; i < c->n_log; i++) {
        const struct raft_entry *e = mc_entry(c->log[i]);

        if (start.n_terms == 0 || terms[start.n_terms - 1].term != e->id.term)
            terms[start.n_terms++] = (struct raft_term_range){e->id.term, e->id.index};
        if (e->type != RAFT_ENTRY_CONFIG)
            continue;
        configs[start.n_configs].index = e->id.index;
        rid_assert(raft_configuration_decode(e->data, e->len,
                                             &configs[start.n_configs++].configuration) == 0);
    }
    c->last_durable = 0;
    c->n_batches = 0;
    c->n_held = 0;
    set_nonce(c);
    rid_assert(raft_new(&c->conf, &start, c->now_us, &c->raft) == 0);
}

void mc_cell_done(struct mc_cell *c)
{
    raft_free(c->raft);
    c->raft = NULL;
}

/* ---- as bytes ---- */

static void write_hard_state(struct mc_writer *w, const struct raft_hard_state *hs, unsigned perm)
{
    mc_write(w, hs->current_term);
    mc_write(w, hs->voted_for != 0 ? mc_perms[perm][mc_slot(hs->voted_for)] + 1u : 0);
    mc_write(w, hs->lease_max_us);
}

static void write_entries(struct mc_writer *w, const uint32_t list[], unsigned n, unsigned perm)
{
    mc_write(w, n);
    for (unsigned i = 0; i < n; i++)
        mc_write(w, mc_entry_renamed(list[i], perm));
}

/* What they show only matters where others are told. How far they are apart always does. */
static void write_clocks(struct mc_writer *w, const struct mc_cell *c)
{
    mc_write(w, c->hold_us - c->now_us);
    if (mc_scope.pairs)
        mc_write(w, c->hold_us - MC_EPOCH_US);
}

static void read_clocks(struct mc_reader *r, struct mc_cell *c)
{
    const uint64_t apart_us = mc_read(r);

    if (mc_scope.pairs)
        c->hold_us = MC_EPOCH_US + mc_read(r);
    c->now_us = c->hold_us - apart_us;
}

static enum raft_image_grain grain(void)
{
    return mc_clocks_are_bound() ? RAFT_IMAGE_COARSE : RAFT_IMAGE_TIMELESS;
}

static uint32_t write_renamed(struct mc_cell *c, unsigned perm)
{
    static struct buf image;
    static unsigned char bytes[CELL_BYTES];
    const struct raft_renaming names = {
        .n = mc_scope.nodes, .servers = mc_servers, .to = mc_perms[perm]};
    const struct raft_image_how how = {.now_us = c->now_us,
                                       .hold_us = c->hold_us,
                                       .grain = grain(),
                                       .renaming = perm != 0 ? &names : NULL};
    struct mc_writer w = {bytes, bytes + sizeof(bytes)};

    mc_write(&w, mc_perms[perm][c->slot] | (c->spared ? 8u : 0) | c->rate << 4);
    if (c->conf.nonce != 0)
        mc_write(&w, c->boots);
    if (mc_clocks_are_bound())
        write_clocks(&w, c);
    write_hard_state(&w, &c->hard_state, perm);
    mc_write(&w, c->commit_index);
    write_entries(&w, c->log, c->n_log, perm);
    mc_write(&w, c->n_batches);
    for (unsigned i = 0; i < c->n_batches; i++) {
        const struct mc_batch *b = &c->batches[i];

        write_hard_state(&w, &b->hard_state, perm);
        mc_write(&w, b->truncate_from);
        mc_write(&w, b->commit_index);
        write_entries(&w, b->entries, b->n, perm);
    }
    mc_write(&w, c->n_held);
    for (unsigned i = 0; i < c->n_held; i++) {
        mc_write(&w, c->held[i].after_batch - c->last_durable);
        mc_write(&w, mc_msg_renamed(c->held[i].msg, perm));
    }
    image.len = 0;
    rid_assert(raft_image_write(c->raft, &how, &image) == 0);
    rid_assert(image.len <= (size_t)(w.end - w.at));
    memcpy(w.at, image.data, image.len);
    w.at += image.len;
    return mc_pool_put(&mc_cell_pool, bytes, (size_t)(w.at - bytes));
}

static void read_hard_state(struct mc_reader *r, struct raft_hard_state *hs)
{
    hs->current_term = mc_read(r);
    hs->voted_for = mc_read(r); /* slot + 1 is the id */
    hs->lease_max_us = mc_read(r);
}

static unsigned read_entries(struct mc_reader *r, uint32_t list[])
{
    const unsigned n = (unsigned)mc_read(r);

    rid_assert(n <= MC_LOG_MAX);
    for (unsigned i = 0; i < n; i++)
        list[i] = (uint32_t)mc_read(r);
    return n;
}

/* All but the core; r stands at its image then. */
static void read_host(struct mc_reader *r, struct mc_cell *c)
{
    const unsigned slot = (unsigned)mc_read(r);

    c->loud = false;
    c->spared = (slot & 8) != 0;
    c->rate = slot >> 4;
    c->boots = 0;
    set_conf(c, slot & 7);
    if (c->conf.nonce != 0) {
        c->boots = (unsigned)mc_read(r);
        set_nonce(c);
    }
    if (mc_clocks_are_bound())
        read_clocks(r, c);
    read_hard_state(r, &c->hard_state);
    c->commit_index = mc_read(r);
    c->n_log = read_entries(r, c->log);
    c->last_durable = 0;
    c->n_batches = (unsigned)mc_read(r);
    for (unsigned i = 0; i < c->n_batches; i++) {
        struct mc_batch *b = &c->batches[i];

        read_hard_state(r, &b->hard_state);
        b->truncate_from = mc_read(r);
        b->commit_index = mc_read(r);
        b->n = read_entries(r, b->entries);
    }
    c->n_held = (unsigned)mc_read(r);
    for (unsigned i = 0; i < c->n_held; i++) {
        c->held[i].after_batch = mc_read(r);
        c->held[i].msg = (uint32_t)mc_read(r);
    }
}

void mc_cell_read(uint32_t number, struct mc_cell *c)
{
    size_t len;
    struct mc_reader r = {.at = mc_pool_get(&mc_cell_pool, number, &len)};
    struct raft_image_how how = {.grain = grain()};

    r.end = r.at + len;
    read_host(&r, c);
    how.now_us = c->now_us;
    how.hold_us = c->hold_us;
    rid_assert(raft_image_read(&c->conf, r.at, (size_t)(r.end - r.at), &how, &c->raft) == 0);
}

/* ---- what is asked about it ---- */

static uint32_t put_log(const uint32_t list[], unsigned n)
{
    return mc_pool_put(&mc_log_pool, list, n * sizeof(list[0]));
}

const uint32_t *mc_log(uint32_t number, unsigned *ret_n)
{
    size_t len;
    const void *list = mc_pool_get(&mc_log_pool, number, &len);

    *ret_n = (unsigned)(len / sizeof(uint32_t));
    return list;
}

/* What the core takes for its log: what is durable, and what the batches make of it. */
static unsigned tail_of(const struct mc_cell *c, uint32_t list[MC_LOG_MAX])
{
    unsigned n = c->n_log;

    memcpy(list, c->log, n * sizeof(list[0]));
    for (unsigned i = 0; i < c->n_batches; i++) {
        const struct mc_batch *b = &c->batches[i];

        if (b->truncate_from != 0)
            n = (unsigned)b->truncate_from - 1;
        memcpy(list + n, b->entries, b->n * sizeof(list[0]));
        n += b->n;
    }
    return n;
}

static void set_members(const struct mc_cell *c, struct mc_face *f)
{
    const struct raft_configuration *members = raft_get_configuration(c->raft);

    f->config_index = (uint8_t)raft_get_configuration_index(c->raft);
    for (unsigned i = 0; i < members->n; i++) {
        const uint8_t bit = (uint8_t)(1u << mc_slot(members->servers[i].id));

        if (members->servers[i].role == RAFT_VOTER)
            f->voters |= bit;
        else
            f->learners |= bit;
    }
}

static void set_matches(const struct mc_cell *c, struct mc_face *f)
{
    if (c->raft->role != RAFT_LEADER)
        return;
    for (unsigned i = 0; i < c->raft->n_progress; i++)
        f->match[mc_slot(c->raft->progress[i].id)] = (uint8_t)c->raft->progress[i].match_index;
}

/* Asked of a copy: it may learn from the question that it slept. */
bool mc_cell_has_lease(const struct mc_cell *c)
{
    struct raft *copy;
    raft_index index;
    bool has;

    if (!mc_scope.leases || c->raft->role != RAFT_LEADER)
        return false;
    rid_assert(raft_clone(c->raft, &c->conf, &copy) == 0);
    has = raft_lease(copy, 0, c->now_us, c->hold_us, &index) == 0;
    rid_assert(!has || index == c->raft->commit_index);
    raft_free(copy);
    return has;
}

static void set_pairs(const struct mc_cell *c, struct mc_face *f)
{
    const struct pairs *p = &c->raft->pairs;
    const unsigned tick_us = c->rate == 2 ? MC_FAST_US : MC_SLOW_US;

    if (!mc_scope.pairs)
        return;
    f->n_pairs = (uint8_t)p->n;
    for (unsigned i = 0; i < p->n; i++) {
        f->pairs[i].ticks = (uint8_t)((c->hold_us - p->list[i].hold_us + tick_us - 1) / tick_us);
        f->pairs[i].index = (uint8_t)p->list[i].index;
    }
}

static void set_asks(const struct mc_cell *c, struct mc_face *f)
{
    f->nonce = (uint8_t)c->conf.nonce;
    for (unsigned i = 0; i < 2; i++)
        f->asks[i] = (uint8_t)c->raft->asks.out[i].number;
}

static void look(struct mc_cell *c, struct mc_face *f)
{
    const struct raft *r = c->raft;
    uint32_t list[MC_LOG_MAX];
    unsigned n;

    rid_assert(r->log.last_index <= MC_LOG_MAX);
    rid_assert(r->hard_state.current_term < MC_TERMS_MAX);
    n = tail_of(c, list);
    rid_assert(n == r->log.last_index);
    *f = (struct mc_face){
        .role = (uint8_t)r->role,
        .term = (uint8_t)r->hard_state.current_term,
        .durable_term = (uint8_t)c->hard_state.current_term,
        .durable_vote = (uint8_t)c->hard_state.voted_for,
        .commit = (uint8_t)r->commit_index,
        .n_log = (uint8_t)n,
        .n_durable = (uint8_t)c->n_log,
        .n_batches = (uint8_t)c->n_batches,
        .hears_leader = r->role != RAFT_LEADER && raft_hears_leader(r),
        .may_campaign = r->role != RAFT_LEADER && raft_may_campaign(r),
        .can_serve = raft_can_serve(r),
        .transferring = raft_is_transferring(r),
        .spared = c->spared,
        .is_due = raft_deadline_us(r) <= c->now_us,
        .election_due = r->role != RAFT_LEADER && r->election_due_us <= c->now_us,
        .lease = mc_cell_has_lease(c),
        .rate = (uint8_t)c->rate,
        .log = put_log(list, n),
        .durable_log = put_log(c->log, c->n_log),
    };
    set_members(c, f);
    set_matches(c, f);
    set_asks(c, f);
    set_pairs(c, f);
}

static void make_room(void)
{
    size_t before = size;

    if (mc_cell_pool.n <= size)
        return;
    size = 1024;
    while (size < mc_cell_pool.n)
        size *= 2;
    faces = mc_grow(faces, size * sizeof(*faces));
    renamed = mc_grow(renamed, size * mc_n_perms * sizeof(*renamed));
    memset(renamed + before * mc_n_perms, 0, (size - before) * mc_n_perms * sizeof(*renamed));
}

/* The newest one: its face is made while it is alive. */
static void make_face(struct mc_cell *c, uint32_t number)
{
    make_room();
    if (number < n_faces)
        return;
    rid_assert(number == n_faces);
    look(c, &faces[n_faces++]);
}

uint32_t mc_cell_write(struct mc_cell *c)
{
    const uint32_t number = write_renamed(c, 0);

    make_face(c, number);
    return number;
}

const struct mc_face *mc_face(uint32_t cell)
{
    static struct mc_cell c;

    make_room();
    /* Those that came from a folder. */
    while (cell >= n_faces) {
        mc_cell_read((uint32_t)n_faces, &c);
        make_face(&c, (uint32_t)n_faces);
        mc_cell_done(&c);
    }
    return &faces[cell];
}

uint32_t mc_cell_renamed(uint32_t cell, unsigned perm)
{
    static struct mc_cell c;
    uint32_t number;

    if (perm == 0)
        return cell;
    make_room();
    number = renamed[(size_t)cell * mc_n_perms + perm];
    if (number != 0)
        return number - 1;
    mc_cell_read(cell, &c);
    number = write_renamed(&c, perm);
    mc_cell_done(&c);
    (void)mc_face(number);
    renamed[(size_t)cell * mc_n_perms + perm] = number + 1;
    return number;
}

uint32_t mc_n_cells(void)
{
    return mc_cell_pool.n;
}
