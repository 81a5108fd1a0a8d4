/* What a log should hold: batches as the core would submit them, applied to a plain array. For the
 * tests of store/.
 *
 * Payloads are a function of an id, so that only ids are kept. Everything ends the test on a
 * mismatch unless it returns a bool. */
#ifndef RIDD_TESTS_STORE_MODEL_H
#define RIDD_TESTS_STORE_MODEL_H

#include "base/prng.h"
#include "store/store.h"

struct model_entry {
    raft_term term;
    enum raft_entry_type type;
    uint32_t len;
    uint64_t id;
};
struct model {
    struct model_entry *entries; /* owned; entries[i] has index i + 1 */
    size_t n;
    size_t room;
    struct raft_hard_state hard_state;
    raft_index floor; /* no truncation reaches it; 0 is as 1 */
};
struct model_batch {
    uint64_t number;
    bool has_hard_state;
    struct raft_hard_state hard_state;
    struct raft_entry_id reset; /* index 0: none */
    const struct raft_config_at *reset_config;
    raft_index truncate_from;
    raft_index commit_index;
    raft_index first_index;
    unsigned n_entries;
    struct model_entry entries[12];
};

#define MODEL_CLUSTER "sixteen bytes..."

void model_conf(struct store_conf *conf, struct vfs *vfs, size_t first_bytes, size_t bytes);
/* The CONFIG entry that every log begins with. Static memory. */
const void *model_config(size_t *ret_len);
/* As store_create() leaves a log. */
void model_init(struct model *m);
void model_done(struct model *m);
void model_copy(struct model *to, const struct model *from);
/* A batch that follows m; `number` counts on. */
void model_draw(const struct model *m, struct prng *p, uint64_t number, uint32_t len_max,
                struct model_batch *ret_batch);
void model_apply(struct model *m, const struct model_batch *b);
/* What a reset leaves: entries that nobody reads, up to `base`, all of its term; one of them, at
 * `config_index`, is a configuration. */
void model_reset(struct model *m, struct raft_entry_id base, raft_index config_index);
/* Hands b to the store; 0 or what store_submit() says. */
int model_submit(struct store *s, const struct model_batch *b);

bool model_equal_recovered(const struct model *m, const struct store_recovered *r);
/* Reads [from, to] in calls of random sizes. False with *ret_why on a difference or an error. */
bool model_equal_read(const struct model *m, struct store *s, raft_index from, raft_index to,
                      struct prng *p, const char **ret_why);

#endif
