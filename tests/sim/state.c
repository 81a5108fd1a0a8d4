/* The state machine of a node: a small ordered map with the transactions of kv.h, or the real thing
 * on LMDB in one seed of some fifty.
 *
 * After the death of the process the map is what it was at the last commit, an earlier commit, or
 * empty; after the death of the machine it is empty: what STATE-4 trusts. In the file of LMDB a bit
 * may be wrong then: it is found, or makes no difference (STATE-12). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "kv/kv.h"
#include "sim/lines.h"
#include "sim/sim.h"

#include "base/banned.h"

static_assert(SIM_MAP_KEYS_MAX <= 64, "a bit for each key");

/* ---- the map ---- */

struct map_key *map_find(struct sim_map *m, struct wire_slice key)
{
    for (unsigned i = 0; i < m->n; i++)
        if (m->keys[i].len == key.len && memcmp(m->keys[i].key, key.data, key.len) == 0)
            return &m->keys[i];
    return NULL;
}

static void value_copy(struct map_value *to, const struct map_value *from)
{
    if (from->len > to->size) {
        to->size = from->len;
        to->text = sim_realloc_n(to->text, to->size, 1);
    }
    if (from->len > 0)
        memcpy(to->text, from->text, from->len);
    to->exists = from->exists;
    to->len = from->len;
    to->create_index = from->create_index;
    to->modify_index = from->modify_index;
    to->version = from->version;
}

void map_done(struct sim_map *m)
{
    for (unsigned i = 0; i < SIM_MAP_KEYS_MAX; i++)
        free(m->keys[i].value.text);
    *m = (struct sim_map){0};
}

void map_copy(struct sim_map *to, const struct sim_map *from)
{
    for (unsigned i = 0; i < from->n; i++) {
        to->keys[i].len = from->keys[i].len;
        memcpy(to->keys[i].key, from->keys[i].key, from->keys[i].len);
        value_copy(&to->keys[i].value, &from->keys[i].value);
    }
    for (unsigned i = from->n; i < to->n; i++)
        to->keys[i].value.exists = false;
    to->n = from->n;
    to->last_applied = from->last_applied;
    to->digest = from->digest;
    to->live_bytes = from->live_bytes;
    to->limit_bytes = from->limit_bytes;
    to->has_limit = from->has_limit;
    to->n_gone = from->n_gone;
}

uint64_t state_key_digest(const void *key, size_t len, uint64_t text_hash, raft_index create_index,
                          raft_index modify_index, uint64_t version)
{
    uint64_t h = sim_hash_bytes(text_hash, key, len);

    return sim_mix(sim_mix(h, create_index), modify_index * 31 + version);
}

uint64_t map_key_digest(const struct map_key *k)
{
    const struct map_value *v = &k->value;
    uint64_t of_session;

    if (!v->exists)
        return 0;
    of_session = sessions_key_digest(k);
    if (of_session != 0)
        return of_session;
    return state_key_digest(k->key, k->len, sim_hash_bytes(1, v->text, v->len), v->create_index,
                            v->modify_index, v->version);
}

/* ---- its transactions ---- */

static void touch(struct sim_state *st, const struct map_key *k)
{
    unsigned i = (unsigned)(k - st->map.keys);

    if ((st->touched >> i & 1) != 0)
        return;
    st->touched |= UINT64_C(1) << i;
    st->backup.keys[i].len = k->len;
    memcpy(st->backup.keys[i].key, k->key, sizeof(k->key));
    value_copy(&st->backup.keys[i].value, &k->value);
}

/* Appended: a key keeps its place, so that a bit can speak of it. Only what a session has left is
 * taken by the next one. */
static struct map_key *map_add(struct sim_state *st, struct wire_slice key)
{
    struct sim_map *m = &st->map;
    struct map_key *k = map_find(m, key);

    if (k != NULL)
        return k;
    for (unsigned i = 0; k == NULL && i < m->n; i++)
        if (!m->keys[i].value.exists && m->keys[i].key[0] == '\0' && key.data[0] == '\0')
            k = &m->keys[i];
    if (k == NULL) {
        rid_assert(m->n < SIM_MAP_KEYS_MAX && key.len <= sizeof(k->key));
        k = &m->keys[m->n++];
        k->value.exists = false; /* its text may be left from an earlier life: it is used again */
    }
    touch(st, k);
    k->len = (uint32_t)key.len;
    memcpy(k->key, key.data, key.len);
    return k;
}

uint64_t map_key_bytes(const struct map_key *k)
{
    return k != NULL && k->value.exists ? kv_record_bytes(k->len, k->value.len) : 0;
}

void map_set(struct sim_state *st, struct wire_slice key, const struct wire_slice *text,
             raft_index index)
{
    struct map_key *k = map_add(st, key);
    struct map_value *v = &k->value;

    touch(st, k);
    st->map.digest -= map_key_digest(k);
    st->map.live_bytes -= map_key_bytes(k);
    if (text == NULL) {
        v->exists = false;
        return;
    }
    value_copy(v, &(struct map_value){.exists = true,
                                      .text = (char *)(uintptr_t)text->data,
                                      .len = (uint32_t)text->len,
                                      .create_index = v->exists ? v->create_index : index,
                                      .modify_index = index,
                                      .version = v->exists ? v->version + 1 : 1});
    st->map.digest += map_key_digest(k);
    st->map.live_bytes += map_key_bytes(k);
}

/* The limit that the log has set, on all nodes alike (SPACE-5). */
static bool is_too_much(const struct sim_map *m, const struct map_key *k, const struct command *c)
{
    const uint64_t before = map_key_bytes(k);
    const uint64_t after = kv_record_bytes(c->key.len, c->value.len);

    return m->limit_bytes != 0 && after > before && m->live_bytes - before + after > m->limit_bytes;
}

static int map_limit(struct sim_map *m, const struct command *c)
{
    char text[COMMAND_LIMIT_CHARS];

    if (m->has_limit) {
        command_limit_text(m->limit_bytes, text);
        m->live_bytes -= kv_record_bytes(c->key.len, strlen(text));
        m->digest -= state_limit_digest(m->limit_bytes);
    }
    (void)command_limit_parse(c->value, &m->limit_bytes);
    m->has_limit = true;
    m->live_bytes += kv_record_bytes(c->key.len, c->value.len);
    m->digest += state_limit_digest(m->limit_bytes);
    return 0;
}

/* 0 or KV_E_FULL. */
static int map_put(struct sim_node *n, const struct command *c, raft_index index,
                   struct command_result *result)
{
    struct sim_state *st = &n->state;
    struct map_key *k = map_add(st, c->key);

    if (is_too_much(&st->map, k, c)) {
        result->status = COMMAND_NO_SPACE;
        return 0;
    }
    if (room_take(n, (unsigned)(k - st->map.keys), c->value.len) != 0)
        return KV_E_FULL;
    map_set(st, c->key, &c->value, index);
    return 0;
}

int map_write(struct sim_node *n, const struct command *c, raft_index index,
              struct command_result *result)
{
    struct sim_state *st = &n->state;
    struct map_key *k = map_find(&st->map, c->key);

    if (k != NULL && !k->value.exists)
        k = NULL;
    switch (c->op) {
    case COMMAND_LIMIT:
        return map_limit(&st->map, c);
    case COMMAND_WRITE:
        return map_put(n, c, index, result);
    case COMMAND_CAS:
        if (k == NULL && (c->flags & COMMAND_FLAG_CREATE_IF_NOT_EXISTS) == 0)
            result->status = COMMAND_KEY_NOT_FOUND;
        else if (k != NULL && (k->value.len != c->from.len ||
                               memcmp(k->value.text, c->from.data, c->from.len) != 0))
            result->status = COMMAND_PRECONDITION_FAILED;
        else
            return map_put(n, c, index, result);
        return 0;
    case COMMAND_DELETE:
        result->existed = k != NULL;
        if (k != NULL) {
            map_set(st, c->key, NULL, index);
            room_free(n, (unsigned)(k - st->map.keys));
        }
        return 0;
    case COMMAND_OPEN_SESSION:
        break;
    }
    return 0;
}

/* 0, KV_E_FULL or KV_E_COMMAND_NEWER, as kv_apply(). */
static int map_apply(struct sim_node *n, const struct raft_entry *e, struct command_result *result)
{
    struct command c;
    int rc = command_decode(e->data, e->len, &c);

    if (rc == COMMAND_E_NEWER)
        return KV_E_COMMAND_NEWER;
    if (rc != 0) {
        result->status = COMMAND_INVALID;
        return 0;
    }
    if (c.op == COMMAND_OPEN_SESSION || c.first != 0)
        return sessions_map_apply(n, &c, e->id.index, result);
    return map_write(n, &c, e->id.index, result);
}

/* In one seed of four the records of a node are damaged, once in a run, at some commit; in another, one
 * node comes to a state that differs from all others, and no reading of its own file tells. Drawn
 * from the index and not from the dice, which fall as they did. */
static void rot(struct sim_node *n)
{
    struct sim_state *st = &n->state;
    uint64_t seed = sim_mix(n->sim->options.seed, 260);
    bool is_ghost = seed % 4 == 1 && n->sim->p.n_voters >= 3 && !members_are_on(n->sim) && n->i == seed / 4 % 3;

    if (st->kv != NULL || st->was_damaged || (seed % 4 != 0 && !is_ghost) ||
        sim_mix(seed + n->i, st->map.last_applied.index) % 400 != 0)
        return;
    if (is_ghost) {
        MARK(n->sim, states_wrong);
        TRACE(n->sim, "n%u: its state is another", n->i + 1);
        n->sim->has_ghost = st->was_damaged = true;
        st->ghost = 1;
        return;
    }
    MARK(n->sim, states_damaged);
    TRACE(n->sim, "n%u: its state is damaged", n->i + 1);
    st->damaged = st->was_damaged = true;
}

/* As kv_rebuild(). */
static int rebuild(void *ctx)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;

    MARK(n->sim, states_rebuilt);
    TRACE(n->sim, "n%u: its state is set aside", n->i + 1);
    rid_assert(!snap_is_copying(n));
    if (st->kv != NULL)
        return kv_rebuild(st->kv);
    rid_assert(!st->in_transaction && !st->reading);
    map_copy(&st->map, &(struct sim_map){0});
    map_copy(&st->older, &st->map);
    room_fill(n);
    st->damaged = false;
    if (st->ghost != 0)
        MARK(n->sim, states_mended);
    st->ghost = 0;
    return 0;
}

static bool digest_at(void *ctx, raft_index index, struct raft_digest_at *ret)
{
    const struct sim_node *n = ctx;
    const struct sim_state *st = &n->state;
    struct kv_digest digest;

    if (st->kv != NULL && kv_digest_at(st->kv, index, &digest)) {
        *ret = (struct raft_digest_at){index, digest.high, digest.low};
        return true;
    }
    if (st->kv != NULL || st->in_transaction || index != st->map.last_applied.index)
        return false;
    *ret = (struct raft_digest_at){index, st->ghost, st->map.digest};
    return true;
}

static int begin(void *ctx)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;

    if (st->full && ++st->n_full % 2 == 0) {
        MARK(n->sim, state_full);
        return KV_E_FULL;
    }
    if (st->kv != NULL)
        return kv_begin(st->kv);
    rid_assert(!st->in_transaction);
    st->in_transaction = true;
    st->touched = 0;
    st->backup.last_applied = st->map.last_applied;
    st->backup.digest = st->map.digest;
    st->backup.live_bytes = st->map.live_bytes;
    st->backup.limit_bytes = st->map.limit_bytes;
    st->backup.has_limit = st->map.has_limit;
    st->backup.n_gone = st->map.n_gone;
    st->backup.n = st->map.n;
    room_begin(n);
    return 0;
}

/* Of what is written the bytes are copied; what is compared is read element by element. */
static uint64_t compare_ns(const struct sim_node *n, const struct raft_entry *e)
{
    struct command c;

    if (n->sim->p.cpu_element_ns == 0 || e->type != RAFT_ENTRY_COMMAND ||
        command_decode(e->data, e->len, &c) != 0 || c.op != COMMAND_CAS)
        return 0;
    return 2 * lines_elements_ns(n->sim, c.from.data, c.from.len);
}

static int apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;
    int r = 0;

    clock_work(n, clock_step_ns(n->sim, n->sim->p.cpu_entry_ns, e->len) + compare_ns(n, e));
    if (st->kv != NULL) {
        r = kv_apply(st->kv, e, ret_result);
    } else {
        rid_assert(st->in_transaction);
        if (e->id.index != st->map.last_applied.index + 1)
            sim_fail(n->sim, "STATE-1", "n%u applies %llu behind %llu", n->i + 1,
                     (unsigned long long)e->id.index,
                     (unsigned long long)st->map.last_applied.index);
        *ret_result = (struct command_result){.status = COMMAND_OK, .index = e->id.index};
        if (st->damaged && e->type == RAFT_ENTRY_COMMAND)
            return KV_E_DAMAGED;
        if (e->type == RAFT_ENTRY_COMMAND)
            r = map_apply(n, e, ret_result);
        if (r == 0)
            st->map.last_applied = e->id;
    }
    if (r == 0)
        oracle_apply(n, e, ret_result);
    return r;
}

static int map_get(struct sim_map *m, struct wire_slice key, struct command_value *ret)
{
    const struct map_key *k = map_find(m, key);

    *ret = (struct command_value){0};
    if (k != NULL && k->value.exists)
        *ret = (struct command_value){.exists = true,
                                      .text = {k->value.text, k->value.len},
                                      .create_index = k->value.create_index,
                                      .modify_index = k->value.modify_index,
                                      .version = k->value.version};
    return 0;
}

static int apply_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    struct sim_node *n = ctx;

    if (n->state.kv != NULL)
        return kv_apply_get(n->state.kv, key, ret_value);
    return map_get(&n->state.map, key, ret_value);
}

static void undo(void *ctx)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;

    if (st->kv != NULL) {
        kv_abort(st->kv);
        return;
    }
    if (!st->in_transaction)
        return;
    for (unsigned i = 0; i < SIM_MAP_KEYS_MAX; i++) {
        if ((st->touched >> i & 1) == 0)
            continue;
        st->map.keys[i].len = st->backup.keys[i].len;
        memcpy(st->map.keys[i].key, st->backup.keys[i].key, sizeof(st->map.keys[i].key));
        value_copy(&st->map.keys[i].value, &st->backup.keys[i].value);
    }
    st->map.last_applied = st->backup.last_applied;
    st->map.digest = st->backup.digest;
    st->map.live_bytes = st->backup.live_bytes;
    st->map.limit_bytes = st->backup.limit_bytes;
    st->map.has_limit = st->backup.has_limit;
    st->map.n_gone = st->backup.n_gone;
    st->map.n = st->backup.n;
    st->in_transaction = false;
    room_undo(n);
}

static int commit(void *ctx)
{
    struct sim_node *n = ctx;
    struct sim_state *st = &n->state;
    int r = 0;

    if (st->fail_commit) {
        MARK(n->sim, state_failed);
        st->fail_commit = false;
        st->failed = true;
        undo(n);
        return -EIO;
    }
    if (st->full || room_commit(n) != 0) { /* applied, and undone: it is handed out again */
        MARK(n->sim, state_parked);
        undo(n);
        n->applied = state_last_applied(n).index;
        return KV_E_FULL;
    }
    if (st->kv != NULL) {
        r = kv_commit(st->kv);
    } else {
        st->in_transaction = false;
        if (++st->n_commits % n->sim->p.checkpoint == 0)
            map_copy(&st->older, &st->map);
    }
    if (r == 0)
        oracle_state(n);
    if (r == 0)
        rot(n);
    return r;
}

static int flush(void *ctx)
{
    const struct sim_node *n = ctx;

    return n->state.kv != NULL ? kv_flush(n->state.kv) : 0;
}

static int flush_step(void *ctx, raft_index up_to, bool *ret_more)
{
    const struct sim_node *n = ctx;

    *ret_more = false;
    return n->state.kv != NULL ? kv_flush_step(n->state.kv, up_to, ret_more) : 0;
}

static bool is_ahead(void *ctx)
{
    const struct sim_node *n = ctx;

    return n->state.kv != NULL && kv_is_ahead(n->state.kv);
}

static int read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    struct sim_node *n = ctx;

    if (n->state.kv != NULL)
        return kv_read_begin(n->state.kv, ret_last_applied);
    rid_assert(!n->state.reading && !n->state.in_transaction);
    n->state.reading = true;
    *ret_last_applied = n->state.map.last_applied;
    return 0;
}

static int get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    struct sim_node *n = ctx;
    int r;

    if (n->state.damaged)
        return KV_E_DAMAGED;
    r = n->state.kv != NULL ? kv_get(n->state.kv, key, ret_value)
                            : map_get(&n->state.map, key, ret_value);
    clock_work(n, clock_step_ns(n->sim, n->sim->p.cpu_read_ns, ret_value->text.len));
    if (lines_are_on(n->sim)) {
        n->reading_ns += clock_step_ns(n->sim, n->sim->p.cpu_read_ns, ret_value->text.len);
        if (n->reading_ns > n->longest_ns)
            n->longest_ns = n->reading_ns;
    }
    return r;
}

static void read_end(void *ctx)
{
    struct sim_node *n = ctx;

    if (n->state.kv != NULL)
        kv_read_end(n->state.kv);
    n->state.reading = false;
}

struct raft_entry_id state_last_applied(const struct sim_node *n)
{
    return n->state.kv != NULL ? kv_last_applied(n->state.kv) : n->state.map.last_applied;
}

static struct raft_entry_id last_applied(void *ctx)
{
    return state_last_applied(ctx);
}

static void space(void *ctx, uint64_t *ret_live_bytes, uint64_t *ret_limit_bytes)
{
    const struct sim_node *n = ctx;
    struct kv_stats stats = {.live_bytes = n->state.map.live_bytes,
                             .limit_bytes = n->state.map.limit_bytes};

    if (n->state.kv != NULL)
        (void)kv_get_stats(n->state.kv, &stats);
    *ret_live_bytes = stats.live_bytes;
    *ret_limit_bytes = stats.limit_bytes;
}

static void sessions(void *ctx, struct kv_sessions *ret)
{
    const struct sim_node *n = ctx;
    struct kv_stats stats;

    if (n->state.kv == NULL) {
        sessions_count(&n->state.map, ret);
        return;
    }
    (void)kv_get_stats(n->state.kv, &stats);
    *ret = stats.sessions;
}

void state_fill(struct sim_node *n, struct engine_state *ret)
{
    *ret = (struct engine_state){.ctx = n,
                                 .last_applied = last_applied,
                                 .begin = begin,
                                 .apply = apply,
                                 .apply_get = apply_get,
                                 .commit = commit,
                                 .abort = undo,
                                 .flush = flush,
                                 .flush_step = flush_step,
                                 .is_ahead = is_ahead,
                                 .read_begin = read_begin,
                                 .get = get,
                                 .read_end = read_end,
                                 .rebuild = rebuild,
                                 .digest_at = digest_at,
                                 .digest_version = 7,
                                 .space = space,
                                 .sessions = sessions,
                                 .disk_room = room_of_disk};
    if (snap_is_on(n->sim))
        copies_fill(ret);
}

/* 0: not known (LMDB keeps none). */
uint64_t state_digest(const struct sim_node *n)
{
    return n->state.kv != NULL ? 0 : n->state.map.digest;
}

/* ---- life ---- */

void state_init(struct sim_node *n)
{
    static const char *root;

    room_init(n);
    if (!n->sim->p.lmdb)
        return;
    if (root == NULL)
        root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(n->state.dir, sizeof(n->state.dir), "%s/ridd-sim-XXXXXX", root);
    if (mkdtemp(n->state.dir) == NULL)
        sim_fail(n->sim, "setup", "cannot make a folder in '%s'", root);
}

static void state_remove_files(struct sim_node *n)
{
    DIR *dir = n->state.dir[0] != '\0' ? opendir(n->state.dir) : NULL;
    struct dirent *e;

    if (dir == NULL)
        return;
    while ((e = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), e->d_name, 0);
    (void)closedir(dir);
}

void state_remove_dir(struct sim_node *n)
{
    state_remove_files(n);
    if (n->state.dir[0] != '\0')
        (void)rmdir(n->state.dir);
}

void state_done(struct sim_node *n)
{
    if (n->state.kv != NULL)
        (void)kv_close(n->state.kv, false);
    state_remove_dir(n);
    room_done(n);
    map_done(&n->state.map);
    map_done(&n->state.backup);
    map_done(&n->state.older);
    copies_done(n);
}

static void kv_open_again(struct sim_node *n)
{
    char boot_id[40];
    enum kv_trust trust;
    struct kv_conf conf = {.dir = n->state.dir,
                           .map_size_bytes = 8u << 20,
                           .incarnation = n->id ^ 77,
                           .boot_id = boot_id,
                           /* Stored hardly ever, or now and then. */
                           .memtable_keys = (unsigned)(n->sim->options.seed / 2 % 3 * 2),
                           .step_keys = 1};
    int r;

    (void)snprintf(boot_id, sizeof(boot_id), "00000000-0000-4000-8000-%012u",
                   n->state.machine_boots);
    r = kv_open(&conf, &trust, &n->state.kv);
    if (r != 0)
        sim_fail(n->sim, "setup", "kv_open gave %d: %s", r, err_text());
}

void state_open(struct sim_node *n)
{
    struct sim *s = n->sim;

    if (s->p.lmdb)
        kv_open_again(n);
    if (state_last_applied(n).index == 0)
        MARK(s, boot_with_empty_state);
}

/* A bit of the file turns while nobody looks (STATE-12). */
static void flip_in_file(struct sim_node *n)
{
    const uint64_t draw = sim_draw(n->sim, STREAM_STATE, n->i);
    unsigned char byte;
    char path[128];
    struct stat st;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", n->state.dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        const off_t at = (off_t)(draw / 8 % (uint64_t)st.st_size);

        if (pread(fd, &byte, 1, at) == 1) {
            byte ^= (unsigned char)(1u << (draw % 8));
            if (pwrite(fd, &byte, 1, at) == 1)
                MARK(n->sim, state_flipped);
        }
    }
    if (fd >= 0)
        (void)close(fd);
}

void state_crash(struct sim_node *n, bool machine)
{
    struct sim *s = n->sim;
    struct sim_state *st = &n->state;
    uint64_t coin = sim_below(s, STREAM_STATE, n->i, 4);

    copies_crash(n);
    if (st->kv != NULL) {
        (void)kv_close(st->kv, false);
        st->kv = NULL;
        st->machine_boots += machine;
        if (coin < 2)
            flip_in_file(n);
        return;
    }
    undo(n);
    st->reading = false;
    if (machine || coin == 0) {
        map_copy(&st->map, &(struct sim_map){0});
        map_copy(&st->older, &st->map);
        st->damaged = false;
        st->ghost = 0;
    } else if (coin == 1) {
        map_copy(&st->map, &st->older);
        MARK(s, boot_with_older_state);
    } else {
        MARK(s, boot_with_trusted_state);
    }
    room_fill(n);
}

void state_lose(struct sim_node *n)
{
    struct sim_state *st = &n->state;

    rid_assert(st->kv == NULL);
    MARK(n->sim, state_lost);
    state_remove_files(n);
    map_copy(&st->map, &(struct sim_map){0});
    map_copy(&st->older, &st->map);
    st->damaged = false;
    st->ghost = 0;
    room_fill(n);
}
