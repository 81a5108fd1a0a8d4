/* A node's log: the real store on a virtual disk, and beside it what the oracle knows to be
 * durable.
 *
 * The log thread becomes two events: work is taken up, and some time later it is reported. What the
 * disk does happens at one end or the other by draw, so that a crash between finds it not begun,
 * half done, or done and not reported. `tail` is what was submitted, `durable` what an fdatasync
 * has promised; what a start finds must lie between. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/engine_int.h"
#include "sim/sim.h"

#include "base/banned.h"

/* ---- shadows ---- */

uint64_t shadow_content(const struct raft_entry *e)
{
    return sim_hash_bytes((uint64_t)e->type, e->data, e->len);
}

static void shadow_push(struct shadow_log *l, raft_term term, uint64_t content, uint64_t len)
{
    uint64_t before = l->n > 0 ? l->entries[l->n - 1].chain : 0;
    uint64_t bytes = l->n > 0 ? l->entries[l->n - 1].bytes : 0;

    if (l->n == l->size) {
        l->size = l->size > 0 ? l->size * 2 : 256;
        l->entries = sim_realloc_n(l->entries, l->size, sizeof(*l->entries));
    }
    l->entries[l->n++] = (struct shadow_entry){.term = term,
                                               .content = content,
                                               .chain = sim_mix(sim_mix(before, term), content),
                                               .bytes = bytes + len};
}

/* What a snapshot covers is committed, and counts as held: somebody's durable copy speaks for it. */
static void shadow_reset(struct sim *s, struct shadow_log *l, raft_index index)
{
    l->n = 0;
    for (raft_index i = 1; i <= index; i++) {
        const struct oracle_entry *e = oracle_entry(s, i);

        shadow_push(l, e->term, e->content, e->len);
    }
    l->reset = index;
}

static void shadow_batch_apply(struct sim *s, struct shadow_log *l, struct raft_hard_state *hs,
                               const struct shadow_batch *b)
{
    if (b->reset.index != 0)
        shadow_reset(s, l, b->reset.index);
    if (b->truncate_from != 0 && l->n >= b->truncate_from)
        l->n = b->truncate_from - 1;
    for (uint64_t i = 0; i < b->n_added; i++)
        shadow_push(l, b->added[i].term, b->added[i].content, b->added[i].bytes);
    *hs = b->hard_state;
}

static void drop_first(struct sim_wal *w)
{
    struct shadow_batch *b = w->first;

    w->first = b->next;
    if (w->first == NULL)
        w->last = NULL;
    free(b->added);
    free(b);
}

/* The reset of a submission is a batch of the disk by itself, with the hard state. */
static void advance_reset(struct sim_node *n, struct shadow_batch *b)
{
    struct sim_wal *w = &n->wal;
    const raft_index index = b->reset.index;

    if (index == 0)
        return;
    MARK(n->sim, log_reset);
    snap_reset_durable(n, b->reset);
    if (w->last_work_from > index)
        w->last_work_from = index;
    shadow_reset(n->sim, &w->durable, index);
    w->durable_hard_state = b->hard_state;
    b->reset = (struct raft_entry_id){0};
}

/* Everything up to batch `number` is durable. */
static void advance(struct sim_node *n, uint64_t number)
{
    struct sim_wal *w = &n->wal;

    w->last_work_from = w->durable.n;
    w->last_work_hard_state = w->durable_hard_state;
    while (w->first != NULL && w->first->number <= number) {
        advance_reset(n, w->first);
        if (w->first->truncate_from != 0 && w->durable.n >= w->first->truncate_from) {
            MARK(n->sim, truncated_durable);
            if (w->last_work_from >= w->first->truncate_from)
                w->last_work_from = w->first->truncate_from - 1;
        }
        shadow_batch_apply(n->sim, &w->durable, &w->durable_hard_state, w->first);
        w->durable_commit = w->first->commit_index;
        drop_first(w);
    }
}

int wal_submit(struct sim_node *n, const struct raft_ready *ready)
{
    struct sim_wal *w = &n->wal;
    struct shadow_batch *b = sim_alloc(sizeof(*b));

    *b = (struct shadow_batch){.number = ready->batch,
                               .hard_state = ready->hard_state,
                               .reset = ready->reset,
                               .truncate_from = ready->truncate_from,
                               .commit_index = ready->commit_index,
                               .n_added = ready->n_entries};
    b->added = sim_alloc(ready->n_entries * sizeof(*b->added));
    for (unsigned i = 0; i < ready->n_entries; i++) {
        b->added[i].term = ready->entries[i].id.term;
        b->added[i].content = shadow_content(&ready->entries[i]);
        b->added[i].bytes = ready->entries[i].len;
    }
    if (w->last != NULL)
        w->last->next = b;
    else
        w->first = b;
    w->last = b;
    shadow_batch_apply(n->sim, &w->tail, &w->tail_hard_state, b);
    return engine_log_submit(n->engine, ready);
}

/* ---- the log thread ---- */

static void count_calls(void *ctx, const char *what, const char *name)
{
    struct sim_node *n = ctx;
    struct sim_wal *w = &n->wal;

    (void)name;
    if (strcmp(what, "rename") == 0)
        MARK(n->sim, rotations);
    if (strcmp(what, "fdatasync") != 0 && strcmp(what, "sync_dir") != 0)
        return;
    w->n_syncs++;
    /* From here on this disk has promised what it did not keep: the node is lost when it stops. */
    if (w->lie_at != 0 && w->n_syncs == w->lie_at && what[0] == 'f') {
        w->lied = true;
        MARK(n->sim, sync_lied);
    }
}

static void judge_failure(struct sim_node *n, int error)
{
    const struct sim_wal *w = &n->wal;

    if (w->failing == 0 && !w->rotten && !w->lied && !fake_disk_is_off(w->disk))
        sim_fail(n->sim, "DISK-21",
                 "the log of n%u failed (%d: %s) and nothing was wrong with its disk", n->i + 1,
                 error, err_text());
}

/* Without room the next segment, and what is queued and has no place, is tried again by and by, as
 * the log thread does (SPACE-1, SPACE-9). */
static bool waits_for_room(const struct sim_wal *w)
{
    struct store_stats stats;

    store_get_counts(w->store, &stats);
    return stats.no_space && !store_has_work(w->store);
}

/* What the disk does. *ret_number: as of store_write(). */
static int do_work(struct sim_node *n, uint64_t *ret_number)
{
    struct sim_wal *w = &n->wal;
    uint64_t queued = 0;
    int r;

    for (const struct shadow_batch *b = w->first; b != NULL; b = b->next)
        queued++;
    r = store_write(w->store, ret_number);
    if (r != 0) {
        judge_failure(n, r);
        return r;
    }
    MARK(n->sim, disk_batch);
    if (queued > 1)
        MARK(n->sim, disk_batch_merged);
    if (*ret_number != 0)
        advance(n, *ret_number);
    if (w->first != NULL && w->first->reset.index != 0 &&
        store_base(w->store).index >= w->first->reset.index)
        advance_reset(n, w->first);
    if (*ret_number != 0)
        return 0;
    if (waits_for_room(&n->wal))
        MARK(n->sim, disk_waits);
    else
        MARK(n->sim, disk_batch_part);
    return 0;
}

void wal_kick(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;
    uint64_t took;

    if (w->busy)
        return;
    if (waits_for_room(w)) {
        w->busy = true;
        sim_push(s, s->now + 100 * SIM_MS, EV_DISK, n, 0, NULL);
        return;
    }
    if (!store_has_work(w->store))
        return;
    took = s->p.disk_min_ns + sim_below(s, STREAM_DISK, n->i, s->p.disk_spread_ns);
    if (w->slow > 1)
        took *= w->slow;
    if (took < w->slow_ns)
        took = w->slow_ns;
    if (s->now + took < w->stalled_until)
        took = w->stalled_until - s->now;
    w->busy = true;
    w->early = sim_below(s, STREAM_DISK, n->i, 100) < s->p.disk_early_percent;
    if (w->early) {
        MARK(s, disk_early);
        w->early_number = 0;
        w->early_error = do_work(n, &w->early_number);
    }
    sim_push(s, s->now + took, EV_DISK, n, 0, NULL);
}

static void disk_failed(struct sim_node *n, int error)
{
    n->fatal_error = error;
    n->fatal_what = "the log failed";
    n->fatal_judged = true;
}

void wal_event(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;
    uint64_t number = 0;
    bool more = true;
    int r;

    if (s->now < w->stalled_until) {
        sim_push(s, w->stalled_until, EV_DISK, n, 0, NULL);
        return;
    }
    r = w->early ? w->early_error : do_work(n, &number);
    if (w->early)
        number = w->early_number;
    w->busy = false;
    w->early = false;
    if (r != 0) {
        disk_failed(n, r);
        node_input(n);
        return;
    }
    if (number != 0 && snap_crash_stored(n))
        return;
    if (number != 0 && w->crash_stored) {
        MARK(s, crash_stored);
        w->crash_stored = false;
        node_crash(n, w->crash_machine, s->p.election_us * 100);
        return;
    }
    if (number != 0)
        w->reported = number;
    /* The same one again: the disk did a part of the next. */
    if (number != 0 || !waits_for_room(w))
        replica_stored(n->replica, w->reported, clock_local_us(n));
    for (unsigned i = 0; r == 0 && more && i < 4; i++) {
        r = store_prepare(w->store, &more);
        if (more)
            MARK(s, prepared_ahead);
    }
    if (r != 0) {
        judge_failure(n, r);
        disk_failed(n, r);
        node_input(n);
        return;
    }
    wal_kick(n);
    if (!w->busy)
        wal_look_idle(n);
    node_input(n);
}

void wal_look_idle(struct sim_node *n)
{
    if (n->wal.idle_due)
        return;
    n->wal.idle_due = true;
    sim_push(n->sim, n->sim->now + 5 * SIM_MS, EV_DISK_IDLE, n, 0, NULL);
}

/* A disk without room is tried again while nothing is queued, as by the log thread: nobody hands it
 * anything until then. */
static int look_for_room(struct sim_node *n)
{
    struct sim_wal *w = &n->wal;
    struct store_stats stats;
    bool more = false;
    int r;

    store_get_counts(w->store, &stats);
    if (!stats.no_space && !n->engine->front_goes)
        return 0;
    if (stats.no_space) {
        w->idle_due = true;
        sim_push(n->sim, n->sim->now + 20 * SIM_MS, EV_DISK_IDLE, n, 0, NULL);
    }
    r = store_prepare(w->store, &more);
    n->engine->front_goes = more;
    if (r == 0 && more)
        wal_look_idle(n);
    return r;
}

void wal_idle_event(struct sim_node *n)
{
    struct sim_wal *w = &n->wal;
    int r;

    w->idle_due = false;
    if (w->busy || n->fatal_error != 0)
        return;
    r = store_idle(w->store);
    if (r == 0)
        r = look_for_room(n);
    if (r != 0) {
        judge_failure(n, r);
        disk_failed(n, r);
        node_input(n);
    }
}

/* Old entries come when the disk has time for them, not in the turn that asks. */
static void read_kick(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;
    uint64_t took;

    if (n->replica == NULL || w->reading || !engine_has_reads(n->engine))
        return;
    took = s->p.disk_min_ns + sim_below(s, STREAM_READ, n->i, s->p.disk_spread_ns);
    if (took < w->slow_ns / 8)
        took = w->slow_ns / 8;
    if (s->now + took < w->stalled_until)
        took = w->stalled_until - s->now;
    w->reading = true;
    sim_push(s, s->now + took, EV_READ, n, 0, NULL);
}

void wal_read_event(struct sim_node *n)
{
    n->wal.reading = false;
    if (n->fatal_error != 0)
        return;
    engine_read(n->engine);
    read_kick(n);
    node_input(n);
}

/* The first entry of who joined is not the founders', and stands for it. */
bool wal_is(const struct sim_node *n, const struct shadow_entry *known, const struct raft_entry *e)
{
    const uint64_t first = n->changes.first_content;

    return known->term == e->id.term &&
           shadow_content(e) == (e->id.index == 1 && first != 0 ? first : known->content);
}

int wal_read(struct sim_node *n, raft_index from, raft_index to, size_t bytes_max,
             struct arena *arena, struct raft_entry *ret_entries, unsigned n_max, unsigned *ret_n)
{
    struct sim_wal *w = &n->wal;
    int r = engine_log_read(n->engine, from, to, bytes_max, arena, ret_entries, n_max, ret_n);

    MARK(n->sim, log_read_from_disk);
    read_kick(n);
    if (r == RAFT_LOG_E_LATER) {
        MARK(n->sim, log_read_later);
        return r;
    }
    if (r == RAFT_LOG_E_COMPACTED) {
        if (from > store_base(w->store).index)
            sim_fail(n->sim, "DISK-42", "n%u says that %" PRIu64 " is compacted, and has it",
                     n->i + 1, from);
        return r;
    }
    if (r != 0) {
        if (!w->rotten && w->failing == 0 && !w->lied)
            sim_fail(n->sim, "DISK-21", "n%u cannot read %" PRIu64 " (%d: %s) from a good disk",
                     n->i + 1, from, r, err_text());
        MARK(n->sim, rot_hit_running);
        n->fatal_judged = true;
        return r;
    }
    for (unsigned i = 0; i < *ret_n; i++) {
        const struct raft_entry *e = &ret_entries[i];
        const struct shadow_entry *known =
            e->id.index <= w->durable.n ? &w->durable.entries[e->id.index - 1] : NULL;

        if (known == NULL || !wal_is(n, known, e))
            sim_fail(n->sim, "DISK-20",
                     "n%u read an entry %" PRIu64 " of term %" PRIu64
                     " that is not what was stored",
                     n->i + 1, e->id.index, e->id.term);
    }
    return 0;
}

/* ---- crash ---- */

void wal_crash(struct sim_node *n, bool machine)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;
    bool pending = w->busy && !w->early;

    if (w->busy && w->early && w->early_error == 0)
        MARK(s, crash_between_sync_and_report);
    if (n->fatal_error == 0 && (pending || store_has_work(w->store)) &&
        sim_below(s, STREAM_CRASH, n->i, 3) > 0) {
        uint64_t number = 0;

        MARK(s, crash_in_write);
        fake_disk_cut_after(w->disk, 1 + sim_below(s, STREAM_CRASH, n->i, 4));
        (void)do_work(n, &number);
    }
    fake_disk_cut_now(w->disk);
    node_close(n);
    if (fake_disk_n_open(w->disk) != 0)
        sim_fail(s, "CORE-4", "n%u leaves %u files open", n->i + 1, fake_disk_n_open(w->disk));
    if (machine)
        fake_disk_power_on(w->disk, NULL);
    else
        fake_disk_restart(w->disk);
    w->busy = false;
    w->early = false;
    w->reported = 0;
    w->reading = false;
    w->idle_due = false;
}

/* ---- boot ---- */

static uint64_t now_us(const void *ctx)
{
    const struct sim *s = ctx;

    return s->now / 1000;
}

static void fill_conf(struct sim_node *n, struct store_conf *conf)
{
    struct sim *s = n->sim;

    *conf = (struct store_conf){.vfs = fake_disk_vfs(n->wal.disk),
                                .cluster_id = "simulated",
                                .node_id = n->id,
                                .incarnation = n->id ^ 77,
                                .salt_seed = sim_draw(s, STREAM_DISK, 32 + n->i),
                                .segment_first_bytes = s->p.segment_first_bytes,
                                .segment_bytes = s->p.segment_bytes,
                                .batch_bytes_max = s->p.disk_batch_bytes_max,
                                .now_us = now_us,
                                .now_ctx = s};
}

void wal_create(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;
    cleanup_buf struct buf config = BUF_INIT;
    struct store_conf conf;
    struct raft_entry e = {.type = RAFT_ENTRY_CONFIG};
    int r;

    w->disk = fake_disk_new(sim_draw(s, STREAM_DISK, 40 + n->i));
    fake_disk_set_hook(w->disk, count_calls, n);
    fake_disk_set_write_max(w->disk, s->p.disk_write_max);
    if (n->waits)
        return;
    fill_conf(n, &conf);
    r = raft_configuration_encode(&s->configuration, &config);
    if (r == 0)
        r = store_create(&conf, config.data, config.len);
    if (r != 0)
        sim_fail(s, "setup", "store_create gave %d: %s", r, err_text());
    e.data = config.data;
    e.len = (uint32_t)config.len;
    shadow_push(&w->tail, 1, shadow_content(&e), e.len);
    shadow_push(&w->durable, 1, shadow_content(&e), e.len);
    w->durable_hard_state = (struct raft_hard_state){.current_term = 1};
    w->tail_hard_state = w->durable_hard_state;
}

int wal_join(struct sim_node *n, const void *config, size_t len)
{
    const struct raft_entry e = {.type = RAFT_ENTRY_CONFIG, .len = (uint32_t)len, .data = config};
    const struct oracle_entry *founders = oracle_entry(n->sim, 1);
    struct sim_wal *w = &n->wal;
    struct engine_conf conf = {.log_path = "wal"};
    int r;

    fill_conf(n, &conf.log);
    r = engine_create_log(&conf, config, len);
    if (r != 0)
        return r;
    n->changes.first_content = shadow_content(&e);
    shadow_push(&w->tail, 1, founders->content, founders->len);
    shadow_push(&w->durable, 1, founders->content, founders->len);
    w->durable_hard_state = (struct raft_hard_state){.current_term = 1};
    w->tail_hard_state = w->durable_hard_state;
    return 0;
}

void wal_done(struct sim_node *n)
{
    struct sim_wal *w = &n->wal;

    fake_disk_free(w->disk);
    while (w->first != NULL)
        drop_first(w);
    free(w->tail.entries);
    free(w->durable.entries);
}

static bool same_hard_state(const struct raft_hard_state *a, const struct raft_hard_state *b)
{
    return a->lease_max_us == b->lease_max_us && a->current_term == b->current_term &&
           a->voted_for == b->voted_for;
}

static raft_term last_term(const struct store_recovered *r)
{
    return r->n_terms > 0 ? r->terms[r->n_terms - 1].term : r->base.term;
}

static bool matches(const struct shadow_log *l, const struct raft_hard_state *hs,
                    const struct store_recovered *r)
{
    return same_hard_state(hs, &r->hard_state) && l->n == r->last_index &&
           l->reset <= r->base.index && l->entries[l->n - 1].term == last_term(r);
}

/* A submission is written as reset, truncation, hard state, entries, and a batch of the disk may end
 * between any two of them: what is durable of it is a beginning. */
static bool settle_part(struct sim_node *n, const struct store_recovered *r)
{
    struct sim_wal *w = &n->wal;
    struct shadow_batch part = *w->first;
    uint64_t kept = w->durable.n;
    raft_term term;

    if (part.reset.index != 0 && r->base.index < part.reset.index)
        return false;
    if (part.reset.index != 0)
        kept = part.reset.index;
    if (part.truncate_from != 0 && part.truncate_from <= kept)
        kept = part.truncate_from - 1;
    if (r->last_index < kept || r->last_index - kept >= part.n_added + (part.n_added == 0))
        return false;
    part.n_added = r->last_index - kept;
    if (part.n_added > 0)
        term = part.added[part.n_added - 1].term;
    else if (part.reset.index != 0)
        term = part.reset.term;
    else
        term = w->durable.entries[kept - 1].term;
    if (part.n_added == 0 && same_hard_state(&w->durable_hard_state, &r->hard_state))
        part.hard_state = w->durable_hard_state;
    if (term != last_term(r) || !same_hard_state(&part.hard_state, &r->hard_state))
        return false;
    if (part.reset.index != 0)
        snap_reset_durable(n, part.reset);
    shadow_batch_apply(n->sim, &w->durable, &w->durable_hard_state, &part);
    MARK(n->sim, recovered_part);
    return true;
}

/* DISK-20: what was found is what was durable, and perhaps some more of what was submitted. The shadow
 * becomes it. False: neither. */
static bool settle_shadow(struct sim_node *n, const struct store_recovered *r)
{
    struct sim_wal *w = &n->wal;
    unsigned more = 0;

    while (!matches(&w->durable, &w->durable_hard_state, r)) {
        if (w->first == NULL)
            return false;
        if (settle_part(n, r))
            break;
        if (w->first->reset.index != 0)
            snap_reset_durable(n, w->first->reset);
        shadow_batch_apply(n->sim, &w->durable, &w->durable_hard_state, w->first);
        drop_first(w);
        more++;
    }
    if (more > 0)
        MARK(n->sim, recovered_unacknowledged);
    while (w->first != NULL)
        drop_first(w);
    w->last_work_from = w->durable.n;
    w->last_work_hard_state = w->durable_hard_state;
    w->tail.n = 0;
    for (uint64_t i = 0; i < w->durable.n; i++)
        shadow_push(&w->tail, w->durable.entries[i].term, w->durable.entries[i].content,
                    w->durable.entries[i].bytes - (i > 0 ? w->durable.entries[i - 1].bytes : 0));
    w->tail.reset = w->durable.reset;
    w->tail_hard_state = w->durable_hard_state;
    return true;
}

/* The contents too: every entry of the log is read. */
static void read_all(struct sim_node *n)
{
    struct raft_entry entries[64];
    struct arena arena;
    raft_index from = store_base(n->wal.store).index + 1;

    arena_init(&arena, mem_libc);
    while (from <= n->wal.durable.n) {
        unsigned got = 0;

        if (wal_read(n, from, n->wal.durable.n, 1u << 16, &arena, entries, 64, &got) != 0)
            break; /* rot; wal_read() has judged */
        if (got == 0)
            sim_fail(n->sim, "DISK-20", "n%u reads nothing at %" PRIu64, n->i + 1, from);
        from += got;
        arena_reset(&arena);
    }
    arena_done(&arena);
}

static enum wal_boot refused(struct sim_node *n, int error)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;

    TRACE(s, "n%u refuses to start: %s", n->i + 1, err_text());
    if (error == ENGINE_E_LOG_LOST && w->wiped) {
        MARK(s, wiped_refused);
        return WAL_REFUSED;
    }
    if (error == ENGINE_E_LOG_DAMAGED && (w->rotten || w->lied)) {
        MARK(s, rot_refused);
        return WAL_REFUSED;
    }
    sim_fail(s, "DISK-21", "n%u refuses an undamaged disk (%d): %s", n->i + 1, error, err_text());
}

/* The known hole (docs/ARCHITECTURE.md): damage of only the last batch looks like a torn write.
 * Such a node is one whose disk was lost. */
static bool hidden_rot(const struct sim_node *n, const struct store_recovered *r)
{
    const struct sim_wal *w = &n->wal;

    return w->rotten && r->last_index >= w->last_work_from && r->last_index <= w->durable.n &&
           (r->last_index < w->durable.n ||
            same_hard_state(&r->hard_state, &w->last_work_hard_state));
}

bool wal_may_open(struct sim_node *n, struct store_conf *ret_conf)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;
    bool cut = sim_below(s, STREAM_CRASH, 16 + n->i, 6) == 0;

    if (w->lied) {
        /* Success was said of what never reached the disk, then a sync failed: its owner throws it
         * away. */
        return false;
    }
    fill_conf(n, ret_conf);
    if (cut)
        fake_disk_cut_after(w->disk, 1 + sim_below(s, STREAM_CRASH, 16 + n->i, 12));
    return true;
}

enum wal_boot wal_not_open(struct sim_node *n, int refusal)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;
    bool machine;

    if (refusal == ENGINE_E_HOST)
        return WAL_REFUSED; /* wal_recovered() has judged */
    if (refusal != ENGINE_E_LOG && !snap_not_opened(n))
        return refused(n, refusal);
    machine = sim_below(s, STREAM_CRASH, 16 + n->i, 2) == 0;
    if (!fake_disk_is_off(w->disk) && w->failing == 0 && refusal == ENGINE_E_LOG)
        sim_fail(s, "DISK-20", "n%u cannot open its log: %s", n->i + 1, err_text());
    MARK(s, crash_in_boot);
    if (!fake_disk_is_off(w->disk) && refusal == ENGINE_E_LOG)
        MARK(s, disk_full_at_boot);
    fake_disk_cut_now(w->disk);
    if (fake_disk_n_open(w->disk) != 0)
        sim_fail(s, "CORE-4", "n%u leaves %u files open after a failed start", n->i + 1,
                 fake_disk_n_open(w->disk));
    snap_dead(n, machine);
    if (refusal != ENGINE_E_LOG)
        MARK(s, crash_in_snap_boot);
    if (machine) {
        fake_disk_power_on(w->disk, NULL);
        state_crash(n, true);
    } else {
        fake_disk_restart(w->disk);
    }
    return WAL_AGAIN;
}

int wal_recovered(struct sim_node *n, const struct store_recovered *r)
{
    struct sim *s = n->sim;
    struct sim_wal *w = &n->wal;

    w->store = engine_store(n->engine);
    fake_disk_cut_after(w->disk, 0);
    if (r->torn_tail)
        MARK(s, torn_tail);
    /* What the state machine holds was in the log. */
    if (r->last_index < state_last_applied(n).index)
        sim_fail(s, "DISK-20", "n%u has applied %" PRIu64 ", and starts with a log up to %" PRIu64,
                 n->i + 1, state_last_applied(n).index, r->last_index);
    if (!settle_shadow(n, r)) {
        if (hidden_rot(n, r)) {
            MARK(s, rot_hidden_in_last_batch);
            return 1;
        }
        sim_fail(s, "DISK-20",
                 "n%u starts with term %" PRIu64 ", vote %" PRIx64 ", log up to %" PRIu64
                 ", but term %" PRIu64 ", vote %" PRIx64 ", %" PRIu64 " were durable%s",
                 n->i + 1, r->hard_state.current_term, r->hard_state.voted_for, r->last_index,
                 w->durable_hard_state.current_term, w->durable_hard_state.voted_for, w->durable.n,
                 r->torn_tail ? r->torn_text : "");
    }
    /* What is gone of the front is covered by a mark, and not more than once was. */
    if (r->base.index > r->marked.index ||
        (r->base.index > w->base && r->base.index != w->durable.reset))
        sim_fail(s, "DISK-42",
                 "the log of n%u begins behind %" PRIu64 ", %" PRIu64
                 " is marked and it began behind %" PRIu64 " at most",
                 n->i + 1, r->base.index, r->marked.index, w->base);
    if (r->base.index > 0) {
        MARK(s, boot_above_base);
        if (r->base.index > s->oracle.committed ||
            oracle_entry(s, r->base.index)->term != r->base.term || r->n_configs == 0 ||
            !changes_config_is_right(s, &r->configs[0], r->base.index))
            sim_fail(s, "DISK-23",
                     "the log of n%u begins behind %" PRIu64 " of term %" PRIu64
                     ", which is not what was committed there",
                     n->i + 1, r->base.index, r->base.term);
    }
    /* LEASE-3: what it answered for was durable. */
    if (!w->rotten && !n->damaged && r->hard_state.lease_max_us < n->lease.longest_us &&
        r->hard_state.lease_max_us < w->durable_hard_state.lease_max_us)
        sim_fail(s, "LEASE-3",
                 "n%u starts with %" PRIu64 " us as the longest promise, and gave one of %" PRIu64,
                 n->i + 1, r->hard_state.lease_max_us, n->lease.longest_us);
    if (w->base < r->base.index)
        w->base = r->base.index;
    if (w->rotten)
        MARK(s, rot_harmless);
    read_all(n);
    return 0;
}

/* ---- damage ---- */

/* Anywhere in a file; or, by the draw, where the last thing was written. */
static const char *rot_place(const struct sim_wal *w, uint64_t draw, uint64_t *ret_offset,
                             size_t *ret_size)
{
    unsigned n_files = fake_disk_n_files(w->disk);
    bool last = (draw >> 60 & 1) != 0;
    const char *name = NULL;
    const unsigned char *bytes;

    if (n_files == 0)
        return NULL;
    name = fake_disk_name(w->disk, (unsigned)(draw >> 16) % n_files);
    for (unsigned i = 0; last && i < n_files; i++) {
        const char *other = fake_disk_name(w->disk, i);

        if (strstr(other, ".wal") != NULL &&
            (strstr(name, ".wal") == NULL || strcmp(other, name) > 0))
            name = other;
    }
    bytes = fake_disk_bytes(w->disk, name, ret_size);
    if (bytes == NULL || *ret_size == 0)
        return NULL;
    *ret_offset = (draw >> 24) % *ret_size;
    if (last) {
        uint64_t used = *ret_size;

        while (used > 0 && bytes[used - 1] == 0)
            used--;
        *ret_offset = used > 256 ? used - 256 + (draw >> 24) % 192 : 0;
    }
    return name;
}

void wal_rot(struct sim_node *n, uint64_t draw)
{
    struct sim_wal *w = &n->wal;
    unsigned n_bits = 1 + (unsigned)(draw >> 8 & 7);
    size_t size = 0;
    uint64_t offset = 0;
    const char *name = rot_place(w, draw, &offset, &size);

    if (name == NULL)
        return;
    w->rotten = true;
    for (unsigned i = 0; i < n_bits; i++) {
        uint64_t at = offset + (sim_mix(draw, i) & 63);

        if (at < size)
            fake_disk_flip(w->disk, name, at, (unsigned)(sim_mix(draw, i) >> 8 & 7));
    }
    TRACE(n->sim, "n%u rots in %s at %" PRIu64, n->i + 1, name, offset);
}

void wal_wipe(struct sim_node *n)
{
    struct sim_wal *w = &n->wal;

    w->rotten = true;
    w->wiped = true;
    while (fake_disk_n_files(w->disk) > 0) {
        char name[64];

        (void)snprintf(name, sizeof(name), "%s", fake_disk_name(w->disk, 0));
        fake_disk_remove(w->disk, name);
    }
}
