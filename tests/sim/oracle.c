/* What the oracle keeps: the committed log, a sequential model of the state by index, operations by
 * their id, and the payload of every entry that anybody handed to its log. */
#include <stdlib.h>

#include "sim/sim.h"

#include "base/banned.h"

/* ---- the committed log and the model ---- */

struct oracle_entry *oracle_entry(struct sim *s, raft_index index)
{
    struct oracle *o = &s->oracle;

    if (index > o->size) {
        uint64_t size = o->size > 0 ? o->size * 2 : 1024;

        while (size < index)
            size *= 2;
        o->entries = sim_realloc_n(o->entries, size, sizeof(*o->entries));
        memset(&o->entries[o->size], 0, (size - o->size) * sizeof(*o->entries));
        o->size = size;
    }
    return &o->entries[index - 1];
}

struct oracle_op *oracle_op(struct sim *s, uint64_t id)
{
    struct oracle *o = &s->oracle;
    size_t i;

    if (o->n_ops * 2 >= o->ops_size) {
        struct oracle_op *old = o->ops;
        size_t old_size = o->ops_size;

        o->ops_size = old_size > 0 ? old_size * 2 : 1024;
        o->ops = sim_alloc(o->ops_size * sizeof(*o->ops));
        for (size_t j = 0; j < old_size; j++) {
            if (old[j].id == 0)
                continue;
            i = sim_mix(7, old[j].id) & (o->ops_size - 1);
            while (o->ops[i].id != 0)
                i = (i + 1) & (o->ops_size - 1);
            o->ops[i] = old[j];
        }
        free(old);
    }
    i = sim_mix(7, id) & (o->ops_size - 1);
    while (o->ops[i].id != 0 && o->ops[i].id != id)
        i = (i + 1) & (o->ops_size - 1);
    if (o->ops[i].id == 0) {
        o->ops[i].id = id;
        o->n_ops++;
    }
    return &o->ops[i];
}

const struct oracle_version *oracle_value(struct sim *s, unsigned key, raft_index index)
{
    const struct oracle_key *k = &s->oracle.keys[key];

    for (unsigned i = k->n; i > 0; i--)
        if (k->versions[i - 1].index <= index)
            return &k->versions[i - 1];
    return NULL;
}

raft_index oracle_committed_at(struct sim *s, uint64_t at)
{
    raft_index index = s->oracle.committed;

    while (index > 1 && oracle_entry(s, index)->committed_at > at)
        index--;
    return index;
}

raft_index oracle_shown(struct sim *s)
{
    struct oracle *o = &s->oracle;

    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        if (o->soon[i].at <= s->now && o->soon[i].index > o->shown)
            o->shown = o->soon[i].index;
    return o->shown;
}

void oracle_shows(struct sim_node *n, raft_index index)
{
    struct sim *s = n->sim;
    struct oracle *o = &s->oracle;

    (void)oracle_shown(s);
    if (o->soon[n->i].at <= s->now || index > o->soon[n->i].index)
        o->soon[n->i].index = index;
    o->soon[n->i].at = s->now + n->cpu_ns;
}

static uint64_t version_digest(unsigned key, const struct oracle_version *v)
{
    if (v == NULL || !v->exists)
        return 0;
    return state_key_digest(op_key(key), OP_KEY_BYTES, v->hash, v->create_index, v->index,
                            v->version);
}

static void model_set(struct sim *s, unsigned key, struct oracle_version v)
{
    struct oracle_key *k = &s->oracle.keys[key];
    const struct oracle_version *old = k->n > 0 ? &k->versions[k->n - 1] : NULL;

    s->oracle.digest -= version_digest(key, old);
    s->oracle.live_bytes += v.bytes - (old != NULL && old->exists ? old->bytes : 0);
    if (v.exists) {
        v.create_index = old != NULL && old->exists ? old->create_index : v.index;
        v.version = old != NULL && old->exists ? old->version + 1 : 1;
    }
    s->oracle.digest += version_digest(key, &v);
    if (k->n == k->size) {
        k->size = k->size > 0 ? k->size * 2 : 64;
        k->versions = sim_realloc_n(k->versions, k->size, sizeof(*k->versions));
    }
    k->versions[k->n++] = v;
}

/* SPACE-4, counted once more. */
#define RECORD_BYTES(key, text) ((uint64_t)(key) + (text) + 64)

uint64_t state_limit_digest(uint64_t limit_bytes)
{
    return sim_mix(17, limit_bytes);
}

static void model_limit(struct sim *s, const struct command *c)
{
    struct oracle *o = &s->oracle;
    char text[24] = "";

    MARK(s, limit_set);
    memcpy(text, c->value.data, c->value.len < 23 ? c->value.len : 23);
    o->digest -= o->limit_record != 0 ? state_limit_digest(o->limit_bytes) : 0;
    o->live_bytes -= o->limit_record;
    o->limit_bytes = strtoull(text, NULL, 10);
    o->limit_record = RECORD_BYTES(c->key.len, c->value.len);
    o->live_bytes += o->limit_record;
    o->digest += state_limit_digest(o->limit_bytes);
}

/* SPACE-5: what makes the state no larger is always taken. */
static bool is_too_much(const struct sim *s, uint64_t before, uint64_t after)
{
    const struct oracle *o = &s->oracle;

    return o->limit_bytes != 0 && after > before && o->live_bytes - before + after > o->limit_bytes;
}

void oracle_model_write(struct sim *s, const struct command *c, raft_index index,
                        struct oracle_entry *o)
{
    const unsigned key = (unsigned)((c->key.data[5] - '0') * 10 + (c->key.data[6] - '0'));
    const struct oracle_version *old = oracle_value(s, key, index);
    const bool exists = old != NULL && old->exists;
    const uint64_t bytes = RECORD_BYTES(c->key.len, c->value.len);

    o->status = COMMAND_OK;
    if (c->op == COMMAND_DELETE) {
        o->existed = exists;
        if (exists)
            model_set(s, key, (struct oracle_version){.index = index});
        return;
    }
    if (c->op == COMMAND_CAS) {
        if (!exists && (c->flags & COMMAND_FLAG_CREATE_IF_NOT_EXISTS) == 0)
            o->status = COMMAND_KEY_NOT_FOUND;
        else if (exists && sim_hash_bytes(1, c->from.data, c->from.len) != old->hash)
            o->status = COMMAND_PRECONDITION_FAILED;
        if (o->status != COMMAND_OK)
            return;
    }
    if (is_too_much(s, exists ? old->bytes : 0, bytes)) {
        MARK(s, quota_at_apply);
        o->status = COMMAND_NO_SPACE;
        return;
    }
    model_set(s, key,
              (struct oracle_version){.index = index,
                                      .exists = true,
                                      .bytes = bytes,
                                      .hash = sim_hash_bytes(1, c->value.data, c->value.len)});
}

/* The sequential model: what the command at index must give. */
void oracle_model_apply(struct sim *s, const struct raft_entry *e, struct oracle_entry *o)
{
    struct command c;

    o->status = COMMAND_INVALID;
    if (command_decode(e->data, e->len, &c) != 0)
        return;
    if (c.op == COMMAND_LIMIT) {
        o->status = COMMAND_OK;
        model_limit(s, &c);
    } else if (c.op == COMMAND_OPEN_SESSION) {
        oracle_session_open(s, e->id.index, o);
    } else if (c.key.len == OP_KEY_BYTES && c.first != 0) {
        oracle_session_write(s, &c, e->id.index, o);
    } else if (c.key.len == OP_KEY_BYTES) {
        o->op = c.client << 32 | c.seq;
        oracle_model_write(s, &c, e->id.index, o);
    }
}

/* ---- payloads ---- */

struct oracle_payload *oracle_payload_new(const struct raft_entry *e)
{
    struct oracle_payload *p = sim_alloc(sizeof(*p) + e->len);

    p->type = e->type;
    p->len = e->len;
    if (e->len > 0)
        memcpy(p->data, e->data, e->len);
    return p;
}

uint64_t oracle_entry_key(raft_index index, raft_term term)
{
    const uint64_t key = sim_mix(sim_mix(11, index), term); /* terms may be forged, and large */

    return key != 0 ? key : 1;
}

bool oracle_entry_get(struct sim *s, raft_index index, raft_term term, struct raft_entry *ret)
{
    struct oracle *o = &s->oracle;
    uint64_t key = oracle_entry_key(index, term);
    size_t i;

    if (o->matching_size == 0)
        return false;
    i = sim_mix(3, key) & (o->matching_size - 1);
    while (o->matching[i].key != 0 && o->matching[i].key != key)
        i = (i + 1) & (o->matching_size - 1);
    if (o->matching[i].payload == NULL)
        return false;
    *ret = (struct raft_entry){.id = {.term = term, .index = index},
                               .type = o->matching[i].payload->type,
                               .len = o->matching[i].payload->len,
                               .data = o->matching[i].payload->data};
    return true;
}
