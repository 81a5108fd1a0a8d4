/* Copies of a state, with the contracts of kv.h: all that the map holds as bytes, with a checksum
 * behind them.
 *
 * A copy is of the moment at which it was asked for, or of that at which the chore comes to it, by
 * draw: a large state is copied for long. It may be stopped, fail, or come out damaged. What was
 * prepared is durable and counts for nothing after the death of the process. A switch that fails is
 * final, and leaves the state as it was, that of the copy, or none. */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "kv/kv.h"
#include "sim/sim.h"

#include "base/banned.h"

#define COPY_FORMAT     0x53000001u
#define COPY_HEAD_BYTES 76u
#define COPY_KEY_BYTES  60u

static bool by_chance(struct sim_node *n, unsigned one_in)
{
    return !n->sim->healing && sim_below(n->sim, STREAM_SNAP, 16 + n->i, one_in) == 0;
}

/* ---- bytes ---- */

static void add(struct buf *b, const void *data, size_t n)
{
    if (buf_add(b, data, n) != 0)
        abort();
}

static void add_u64(struct buf *b, uint64_t v)
{
    unsigned char p[8];

    put_u64(p, v);
    add(b, p, sizeof(p));
}

static void encode(const struct sim_map *m, uint64_t ghost, struct buf *b)
{
    add_u64(b, m->last_applied.term);
    add_u64(b, m->last_applied.index);
    add_u64(b, m->digest);
    add_u64(b, ghost);
    add_u64(b, m->live_bytes);
    add_u64(b, m->limit_bytes);
    add_u64(b, m->has_limit | m->n_gone << 1);
    add_u64(b, m->n);
    for (unsigned i = 0; i < m->n; i++) {
        const struct map_key *k = &m->keys[i];

        add_u64(b, k->len);
        add(b, k->key, sizeof(k->key));
        add_u64(b, k->value.exists);
        add_u64(b, k->value.create_index);
        add_u64(b, k->value.modify_index);
        add_u64(b, k->value.version);
        add_u64(b, k->value.exists ? k->value.len : 0);
        if (k->value.exists)
            add(b, k->value.text, k->value.len);
    }
    add_u64(b, sim_hash_bytes(99, b->data, b->len));
}

struct reading {
    const unsigned char *p;
    size_t left;
    bool failed;
};

static const void *take(struct reading *r, size_t n)
{
    const void *p = r->p;

    if (n > r->left) {
        r->failed = true;
        return NULL;
    }
    r->p += n;
    r->left -= n;
    return p;
}

static uint64_t take_u64(struct reading *r)
{
    const void *p = take(r, 8);

    return p != NULL ? get_u64(p) : 0;
}

static void decode_key(struct reading *r, struct sim_map *m, uint64_t *digest)
{
    struct map_key *k = &m->keys[m->n++];
    const void *key;
    const void *text;

    k->len = (uint32_t)take_u64(r);
    key = take(r, sizeof(k->key));
    if (key != NULL)
        memcpy(k->key, key, sizeof(k->key));
    k->value.exists = take_u64(r) != 0;
    k->value.create_index = take_u64(r);
    k->value.modify_index = take_u64(r);
    k->value.version = take_u64(r);
    k->value.len = (uint32_t)take_u64(r);
    text = take(r, k->value.len);
    if (r->failed || k->len > sizeof(k->key)) {
        k->value.exists = false;
        r->failed = true;
        return;
    }
    if (k->value.len > k->value.size) {
        k->value.size = k->value.len;
        k->value.text = sim_realloc_n(k->value.text, k->value.size, 1);
    }
    if (k->value.len > 0)
        memcpy(k->value.text, text, k->value.len);
    if (k->value.exists)
        *digest += map_key_digest(k);
}

/* What it says and what it holds are compared. False: it is damaged. */
static bool decode(const struct buf *b, struct sim_map *m, uint64_t *ghost)
{
    struct reading r = {b->data, b->len, false};
    uint64_t n_keys;
    uint64_t digest = 0;

    if (b->len < 9 * 8 || get_u64(b->data + b->len - 8) != sim_hash_bytes(99, b->data, b->len - 8))
        return false;
    m->last_applied.term = take_u64(&r);
    m->last_applied.index = take_u64(&r);
    m->digest = take_u64(&r);
    *ghost = take_u64(&r);
    m->live_bytes = take_u64(&r);
    m->limit_bytes = take_u64(&r);
    m->n_gone = take_u64(&r);
    m->has_limit = (m->n_gone & 1) != 0;
    m->n_gone >>= 1;
    n_keys = take_u64(&r);
    m->n = 0;
    while (m->n < n_keys && n_keys <= SIM_MAP_KEYS_MAX && !r.failed)
        decode_key(&r, m, &digest);
    if (m->has_limit)
        digest += state_limit_digest(m->limit_bytes);
    return !r.failed && r.left == 8 && n_keys <= SIM_MAP_KEYS_MAX && digest == m->digest;
}

static void info_of(const struct sim_map *m, uint64_t ghost, struct kv_copy_info *ret)
{
    *ret = (struct kv_copy_info){.last_applied = m->last_applied,
                                 .live_bytes = m->live_bytes,
                                 .limit_bytes = m->limit_bytes,
                                 .digest = {.high = ghost, .low = m->digest}};
    for (unsigned i = 0; i < m->n; i++)
        ret->n_keys += m->keys[i].value.exists;
}

/* ---- a copy ---- */

/* It is of this moment, if it takes so long that the chore comes to it much later. */
static void copy_go(void *ctx)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;

    st->copy_stopped = false;
    if (st->kv != NULL) {
        kv_copy_go(st->kv);
        return;
    }
    rid_assert(!st->in_transaction);
    st->has_moment = false; /* of one that failed before it came to the state */
    if (sim_below(n->sim, STREAM_SNAP, 8 + n->i, 2) == 0)
        return;
    MARK(n->sim, copy_of_before);
    map_copy(&st->moment, &st->map);
    st->moment_ghost = st->ghost;
    st->has_moment = true;
}

static void copy_stop(void *ctx)
{
    struct sim_node *n = ctx;

    n->state.copy_stopped = true;
    if (n->state.kv != NULL)
        kv_copy_stop(n->state.kv);
}

static int hand_on(struct sim_node *n, const struct buf *b, const struct kv_sink *sink)
{
    const size_t piece = 1 + (size_t)sim_below(n->sim, STREAM_SNAP, 8 + n->i, 2 * b->len);
    const bool fails = by_chance(n, 24);

    for (size_t at = 0; at < b->len; at += piece) {
        const size_t len = b->len - at < piece ? b->len - at : piece;
        int rc;

        if (fails && at + len == b->len) {
            MARK(n->sim, copy_failed);
            return err_say(-EIO, "the copy fails");
        }
        rc = sink->write(sink->ctx, b->data + at, len);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int copy(void *ctx, const struct kv_sink *sink)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;
    cleanup_buf struct buf b = BUF_INIT;
    const bool has_moment = st->has_moment;

    if (st->kv != NULL)
        return kv_copy(st->kv, sink);
    rid_assert(!st->in_transaction);
    st->has_moment = false;
    if (st->copy_stopped) {
        MARK(n->sim, copy_stopped);
        return KV_E_STOPPED;
    }
    if (st->damaged && sim_below(n->sim, STREAM_SNAP, 8 + n->i, 2) == 0) {
        MARK(n->sim, copy_damaged);
        return err_say(KV_E_DAMAGED, "the state is damaged");
    }
    if (st->ghost != 0)
        MARK(n->sim, copy_wrong);
    encode(has_moment ? &st->moment : &st->map, has_moment ? st->moment_ghost : st->ghost, &b);
    if (st->damaged || by_chance(n, 40)) {
        MARK(n->sim, copy_damaged);
        b.data[sim_below(n->sim, STREAM_SNAP, 8 + n->i, b.len)] ^= 16;
    }
    return hand_on(n, &b, sink);
}

/* ---- one that is there ---- */

static int read_all(struct sim_node *n, const struct kv_source *source, struct buf *b)
{
    const size_t piece = 1 + (size_t)sim_below(n->sim, STREAM_SNAP, 8 + n->i, 2 * source->bytes);
    unsigned char *p = sim_alloc(piece);
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < source->bytes; at += piece) {
        const size_t len = source->bytes - at < piece ? (size_t)(source->bytes - at) : piece;

        rc = source->read(source->ctx, p, len, at);
        if (rc == 0)
            add(b, p, len);
    }
    free(p);
    return rc;
}

static int check(struct sim_node *n, const struct kv_source *source, struct sim_map *m,
                 uint64_t *ghost, struct kv_copy_info *ret)
{
    cleanup_buf struct buf b = BUF_INIT;
    int rc = read_all(n, source, &b);

    if (rc != 0)
        return rc;
    if (!decode(&b, m, ghost))
        return err_say(KV_E_DAMAGED, "the copy is damaged");
    info_of(m, *ghost, ret);
    return 0;
}

static int check_copy(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    struct sim_node *n = ctx;
    struct sim_map m = {0};
    uint64_t ghost;
    int rc;

    if (n->state.kv != NULL)
        return kv_check_copy(n->state.kv, source, ret);
    rc = check(n, source, &m, &ghost, ret);
    map_done(&m);
    return rc;
}

static int prepare(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;
    int rc;

    st->is_prepared = false;
    if (st->full && sim_below(n->sim, STREAM_SNAP, 8 + n->i, 2) == 0) {
        MARK(n->sim, prepare_full);
        return err_say(KV_E_FULL, "there is no room for the copy");
    }
    if (by_chance(n, 24)) {
        MARK(n->sim, prepare_failed);
        n->snap.armed |= n->life != NODE_UP; /* the start fails, and is tried again */
        return err_say(-EIO, "the copy cannot be written");
    }
    if (st->kv != NULL) {
        rc = kv_prepare(st->kv, source, ret);
        st->is_prepared = rc == 0;
        if (rc == 0)
            st->prepared.last_applied = ret->last_applied;
        return rc;
    }
    rc = check(n, source, &st->prepared, &st->prepared_ghost, ret);
    st->is_prepared = rc == 0;
    return rc;
}

/* Which of the three: that is what a crash inside it leaves. */
static int fail_to_switch(struct sim_node *n)
{
    struct sim_state *st = &n->state;
    const uint64_t what = sim_below(n->sim, STREAM_SNAP, 8 + n->i, 3);

    MARK(n->sim, switch_failed);
    TRACE(n->sim, "n%u: the switch fails, way %u", n->i + 1, (unsigned)what);
    st->failed = true;
    if (st->kv == NULL && what == 1) {
        map_copy(&st->map, &st->prepared);
        st->ghost = st->prepared_ghost;
    } else if (st->kv == NULL && what == 2) {
        map_copy(&st->map, &(struct sim_map){0});
        st->ghost = 0;
    }
    if (what > 0)
        st->damaged = false;
    if (what > 0 && st->kv == NULL)
        map_copy(&st->older, &st->map);
    return err_say(-EIO, "the copy cannot be put in place");
}

static int switch_to(void *ctx)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;
    int rc = 0;

    rid_assert(st->is_prepared);
    rid_assert(!st->in_transaction);
    rid_assert(!st->reading);
    rid_assert(!snap_is_copying(n));
    if (st->full && sim_below(n->sim, STREAM_SNAP, 8 + n->i, 2) == 0) {
        MARK(n->sim, switch_full);
        return KV_E_FULL;
    }
    snap_switches(n, st->prepared.last_applied);
    if (by_chance(n, 8)) {
        n->snap.armed |= n->life != NODE_UP;
        return fail_to_switch(n);
    }
    if (st->kv != NULL)
        rc = kv_switch(st->kv);
    if (rc != 0)
        return rc;
    MARK(n->sim, switched);
    st->is_prepared = false;
    n->applied = st->prepared.last_applied.index;
    if (st->kv != NULL)
        return 0;
    TRACE(n->sim, "n%u: its state is that of a copy, of %llu", n->i + 1,
          (unsigned long long)n->applied);
    map_copy(&st->map, &st->prepared);
    map_copy(&st->older, &st->map);
    if (st->ghost != 0 && st->prepared_ghost == 0)
        MARK(n->sim, states_mended);
    st->ghost = st->prepared_ghost;
    st->damaged = false;
    room_fill(n);
    oracle_state(n);
    return 0;
}

static uint64_t copy_bytes(void *ctx)
{
    const struct sim_node *n = ctx;
    uint64_t bytes = COPY_HEAD_BYTES;
    struct kv_stats stats = {0};

    if (n->state.kv != NULL) {
        (void)kv_get_stats(n->state.kv, &stats);
        return stats.used_bytes;
    }
    for (unsigned i = 0; i < n->state.map.n; i++)
        bytes += COPY_KEY_BYTES + n->state.map.keys[i].value.len;
    return bytes;
}

void copies_fill(struct engine_state *ret)
{
    const struct sim_node *n = ret->ctx;

    ret->copy = copy;
    ret->copy_stop = copy_stop;
    ret->copy_go = copy_go;
    ret->check_copy = check_copy;
    ret->prepare = prepare;
    ret->switch_to = switch_to;
    ret->copy_bytes = copy_bytes;
    ret->copy_format = n->state.kv != NULL ? kv_copy_format(n->state.kv) : COPY_FORMAT;
}

void copies_crash(struct sim_node *n)
{
    n->state.has_moment = false;
    n->state.is_prepared = false;
}

void copies_done(struct sim_node *n)
{
    map_done(&n->state.moment);
    map_done(&n->state.prepared);
}
