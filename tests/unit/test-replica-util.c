/* The replicas, disks, states and network that the header promises. */
#include "test-replica-util.h"

#include "base/banned.h"

/* ---- network ---- */

static int fx_index_of(const struct fx *fx, raft_node_id id)
{
    for (int i = 0; i < fx->n; i++)
        if (fx->nodes[i].id == id)
            return i;
    fail_msg("no such node");
    return -1;
}

static void fx_msg_free(struct fx_msg *msg)
{
    for (unsigned i = 0; i < msg->m.n_entries; i++)
        free((void *)(uintptr_t)msg->m.entries[i].data);
    free((void *)(uintptr_t)msg->m.entries);
    free(msg);
}

static void fx_copy_entry(const struct raft_entry *from, struct raft_entry *to)
{
    *to = *from;
    to->data = NULL;
    if (from->len > 0) {
        void *data = malloc(from->len);

        assert_non_null(data);
        memcpy(data, from->data, from->len);
        to->data = data;
    }
}

static void fx_send(void *ctx, const struct raft_msg *m)
{
    struct fx_node *n = ctx;
    struct fx *fx = n->fx;
    struct fx_msg *msg = calloc(1, sizeof(*msg));
    int to = fx_index_of(fx, m->to);

    assert_non_null(msg);
    n->n_sent++;
    assert_true(m->from == n->id);
    msg->m = *m;
    if (m->n_entries > 0) {
        struct raft_entry *entries = calloc(m->n_entries, sizeof(*entries));

        assert_non_null(entries);
        for (unsigned i = 0; i < m->n_entries; i++)
            fx_copy_entry(&m->entries[i], &entries[i]);
        msg->m.entries = entries;
    }
    if (fx->cut[n->i] || fx->cut[to] || (fx->pass != NULL && !fx->pass(fx, m))) {
        fx_msg_free(msg);
        return;
    }
    *fx->last = msg;
    fx->last = &msg->next;
}

void fx_lose(struct fx *fx)
{
    while (fx->first != NULL) {
        struct fx_msg *msg = fx->first;

        fx->first = msg->next;
        fx_msg_free(msg);
    }
    fx->last = &fx->first;
}

unsigned fx_deliver(struct fx *fx)
{
    struct fx_msg *msg = fx->first;
    unsigned n = 0;

    fx->first = NULL;
    fx->last = &fx->first;
    while (msg != NULL) {
        struct fx_msg *next = msg->next;

        assert_int_equal(
            replica_step(fx->nodes[fx_index_of(fx, msg->m.to)].replica, &msg->m, fx->now_us), 0);
        fx_msg_free(msg);
        msg = next;
        n++;
    }
    return n;
}

unsigned fx_n_under_way(const struct fx *fx, enum raft_msg_type type)
{
    unsigned n = 0;

    for (const struct fx_msg *msg = fx->first; msg != NULL; msg = msg->next)
        n += msg->m.type == type;
    return n;
}

/* ---- log ---- */

static int fx_log_submit(void *ctx, const struct raft_ready *ready)
{
    struct fx_node *n = ctx;

    if (n->fail_submit != 0)
        return n->fail_submit;
    assert_true(ready->batch == n->submitted + 1);
    n->submitted = ready->batch;
    if (ready->reset.index != 0) { /* nobody reads what is not there */
        while (n->log_last > 0)
            free((void *)(uintptr_t)n->log[--n->log_last].data);
        n->log_size = ready->reset.index + 256;
        free(n->log);
        n->log = calloc(n->log_size, sizeof(*n->log));
        assert_non_null(n->log);
        n->log_last = ready->reset.index;
    }
    if (ready->truncate_from != 0) {
        assert_true(ready->truncate_from <= n->log_last);
        while (n->log_last >= ready->truncate_from)
            free((void *)(uintptr_t)n->log[--n->log_last].data);
    }
    for (unsigned i = 0; i < ready->n_entries; i++) {
        assert_true(ready->entries[i].id.index == n->log_last + 1);
        if (n->log_last == n->log_size) {
            n->log_size = n->log_size > 0 ? n->log_size * 2 : 256;
            n->log = realloc(n->log, n->log_size * sizeof(*n->log));
            assert_non_null(n->log);
        }
        fx_copy_entry(&ready->entries[i], &n->log[n->log_last++]);
    }
    return 0;
}

static int fx_log_read(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                       struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                       unsigned *ret_n)
{
    const struct fx_node *n = ctx;
    size_t bytes = 0;
    unsigned k = 0;

    (void)arena;
    assert_true(from >= 1 && from <= to && to <= n->log_last);
    while (k < n_max && from + k <= to && (k == 0 || bytes < bytes_max)) {
        ret_entries[k] = n->log[from + k - 1]; /* what is in there stays */
        bytes += ret_entries[k++].len;
    }
    *ret_n = k;
    return 0;
}

void fx_store_to(struct fx *fx, int i, uint64_t batch)
{
    struct fx_node *n = &fx->nodes[i];

    assert_true(batch <= n->submitted);
    if (batch == n->stored)
        return;
    n->stored = batch;
    replica_stored(n->replica, batch, fx->now_us);
}

void fx_store(struct fx *fx, int i)
{
    fx_store_to(fx, i, fx->nodes[i].submitted);
}

/* ---- state ---- */

struct fx_value *fx_find(struct fx_node *n, struct wire_slice key)
{
    for (unsigned i = 0; i < n->n_values; i++)
        if (n->values[i].key_len == key.len && memcmp(n->values[i].key, key.data, key.len) == 0)
            return &n->values[i];
    return NULL;
}

static void fx_set(struct fx_node *n, struct wire_slice key, struct wire_slice text,
                   raft_index index)
{
    struct fx_value *v = fx_find(n, key);

    if (v == NULL) {
        assert_true(n->n_values < FX_KEYS_MAX);
        v = &n->values[n->n_values++];
        memset(v, 0, sizeof(*v));
        memcpy(v->key, key.data, key.len);
        v->key_len = key.len;
        v->create_index = index;
    }
    free(v->text);
    v->text = malloc(text.len + 1);
    assert_non_null(v->text);
    memcpy(v->text, text.data, text.len);
    v->text[text.len] = '\0';
    v->len = text.len;
    v->modify_index = index;
    v->version++;
}

static int fx_begin(void *ctx)
{
    struct fx_node *n = ctx;

    assert_false(n->is_writing);
    n->is_writing = n->fail_begin == 0;
    n->applied_before = n->applied;
    return n->fail_begin;
}

static const struct command_result *fx_answer(const struct fx_node *n, uint64_t client,
                                              uint64_t seq)
{
    for (unsigned i = 0; i < n->n_answers; i++)
        if (n->answers[i].client == client && n->answers[i].seq == seq)
            return &n->answers[i].result;
    return NULL;
}

static void fx_keep(struct fx_node *n, uint64_t client, uint64_t seq,
                    const struct command_result *result)
{
    assert_true(n->n_answers < FX_ANSWERS_MAX);
    n->answers[n->n_answers].client = client;
    n->answers[n->n_answers].seq = seq;
    n->answers[n->n_answers].result = *result;
    n->answers[n->n_answers++].result.repeated = true;
}

static void fx_command(struct fx_node *n, const struct command *c, raft_index index,
                       struct command_result *ret)
{
    struct fx_value *v = fx_find(n, c->key);

    if (n->says_no_space) {
        ret->status = COMMAND_NO_SPACE;
        ret->used_bytes = 6;
        ret->limit_bytes = 7;
        return;
    }
    switch (c->op) {
    case COMMAND_WRITE:
    case COMMAND_LIMIT:
        fx_set(n, c->key, c->value, index);
        break;
    case COMMAND_CAS:
        if (v == NULL && (c->flags & COMMAND_FLAG_CREATE_IF_NOT_EXISTS) == 0)
            ret->status = COMMAND_KEY_NOT_FOUND;
        else if (v != NULL && !wire_value_equal(c->from, (struct wire_slice){v->text, v->len}))
            ret->status = COMMAND_PRECONDITION_FAILED;
        else
            fx_set(n, c->key, c->value, index);
        break;
    case COMMAND_DELETE:
        ret->existed = v != NULL;
        if (v != NULL) {
            free(v->text);
            *v = n->values[--n->n_values];
        }
        break;
    case COMMAND_OPEN_SESSION:
        fx_keep(n, index, 0, ret);
        break;
    }
}

static int fx_apply(void *ctx, const struct raft_entry *e, struct command_result *ret)
{
    struct fx_node *n = ctx;
    const struct command_result *known;
    struct command c;

    assert_true(n->is_writing);
    assert_true(e->id.index == n->applied.index + 1);
    if (n->fail_apply != 0)
        return n->fail_apply;
    n->applied = e->id;
    n->last_is_marker = e->type == RAFT_ENTRY_READ;
    n->fx->now_us += n->apply_us;
    *ret = (struct command_result){.index = e->id.index};
    if (e->type != RAFT_ENTRY_COMMAND)
        return 0;
    if (command_decode(e->data, e->len, &c) != 0) {
        ret->status = COMMAND_INVALID;
        return 0;
    }
    known = c.first != 0 ? fx_answer(n, c.client, c.seq) : NULL;
    if (known != NULL)
        *ret = *known;
    else if (c.first != 0 && fx_answer(n, c.client, 0) == NULL)
        ret->status = COMMAND_SESSION_EXPIRED;
    else
        fx_command(n, &c, e->id.index, ret);
    if (c.first != 0 && known == NULL && ret->status != COMMAND_SESSION_EXPIRED)
        fx_keep(n, c.client, c.seq, ret);
    return 0;
}

static int fx_look(struct fx_node *n, struct wire_slice key, const char *planted,
                   struct command_value *ret)
{
    const struct fx_value *v = fx_find(n, key);

    n->fx->now_us += n->get_us;
    if (n->fail_get != 0)
        return n->fail_get;
    memset(ret, 0, sizeof(*ret));
    if (n->planted != NULL)
        planted = n->planted;
    if (planted != NULL) {
        ret->exists = true;
        ret->text = (struct wire_slice){planted, strlen(planted)};
    } else if (v != NULL) {
        ret->exists = true;
        ret->text = (struct wire_slice){v->text, v->len};
        ret->create_index = v->create_index;
        ret->modify_index = v->modify_index;
        ret->version = v->version;
    }
    return 0;
}

static int fx_apply_get(void *ctx, struct wire_slice key, struct command_value *ret)
{
    struct fx_node *n = ctx;

    assert_true(n->is_writing);
    return fx_look(n, key, n->planted_apply, ret);
}

static int fx_commit(void *ctx)
{
    struct fx_node *n = ctx;

    assert_true(n->is_writing);
    n->is_writing = false;
    if (n->fail_commit != 0)
        n->applied = n->applied_before;
    return n->fail_commit;
}

static void fx_abort(void *ctx)
{
    struct fx_node *n = ctx;

    n->is_writing = false;
    n->applied = n->applied_before;
}

static int fx_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    struct fx_node *n = ctx;

    assert_false(n->is_reading);
    if (n->fail_read != 0)
        return n->fail_read;
    n->slept_us += n->sleeps_read;
    n->sleeps_read = 0;
    n->is_reading = true;
    n->reads_marker = n->last_is_marker;
    n->last_is_marker = false;
    *ret_last_applied = n->applied;
    return 0;
}

static int fx_get(void *ctx, struct wire_slice key, struct command_value *ret)
{
    struct fx_node *n = ctx;

    assert_true(n->is_reading); /* within the transaction, never outside */
    return fx_look(n, key, n->reads_marker ? n->planted_apply : n->planted_read, ret);
}

static int fx_compare(struct wire_slice a, struct wire_slice b)
{
    const int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* The least key that is not below what was last, or that is behind it. */
static struct wire_slice fx_next_written(const struct fx_node *n, struct command_value *ret)
{
    const struct wire_slice last = {(const char *)n->last_key, n->last_len};
    const struct fx_value *best = NULL;

    for (unsigned i = 0; i < n->n_values; i++) {
        const struct fx_value *v = &n->values[i];
        const struct wire_slice key = {(const char *)v->key, v->key_len};
        const int order = fx_compare(key, last);

        if (order < 0 || (order == 0 && n->last_counts))
            continue;
        if (best == NULL ||
            fx_compare(key, (struct wire_slice){(const char *)best->key, best->key_len}) < 0)
            best = v;
    }
    if (best == NULL)
        return (struct wire_slice){NULL, 0};
    *ret = (struct command_value){.exists = true,
                                  .text = {best->text, best->len},
                                  .create_index = best->create_index,
                                  .modify_index = best->modify_index,
                                  .version = best->version};
    return (struct wire_slice){(const char *)best->key, best->key_len};
}

/* Of planted keys, from the first one that is not below the digits of what was last. */
static struct wire_slice fx_next_planted(struct fx_node *n, struct command_value *ret)
{
    static char key[16];
    unsigned i = 0;

    if (n->planted_text == NULL) {
        n->planted_text = malloc(n->planted_bytes + 1);
        assert_non_null(n->planted_text);
        assert_true(n->planted_bytes >= 2);
        memset(n->planted_text, 'x', n->planted_bytes);
        n->planted_text[0] = n->planted_text[n->planted_bytes - 1] = '"';
    }
    assert_true(n->last_len >= 1 && n->last_len <= 7 && n->last_key[0] == 's');
    for (size_t k = 1; k < 7; k++)
        i = i * 10 + (k < n->last_len ? (unsigned)(n->last_key[k] - '0') : 0);
    i += n->last_len == 7 && n->last_counts;
    if (i >= n->n_planted)
        return (struct wire_slice){NULL, 0};
    (void)snprintf(key, sizeof(key), "s%06u", i);
    *ret = (struct command_value){.exists = true,
                                  .text = {n->planted_text, n->planted_bytes},
                                  .create_index = 2,
                                  .modify_index = 3,
                                  .version = 2};
    return (struct wire_slice){key, 7};
}

static int fx_seek(void *ctx, const struct command_range *range)
{
    struct fx_node *n = ctx;

    assert_true(n->is_reading);
    n->range = range;
    n->last_len = range->from.len;
    memcpy(n->last_key, range->from.data, range->from.len);
    n->last_counts = range->behind;
    n->n_nexts = 0;
    return n->fail_get;
}

static int fx_next(void *ctx, struct command_item *ret)
{
    struct fx_node *n = ctx;

    assert_true(n->is_reading);
    assert_non_null(n->range); /* not after the end */
    n->fx->now_us += n->next_us;
    n->n_nexts++;
    if (n->fail_next != 0 && n->n_nexts > n->n_until_fail)
        return n->fail_next;
    *ret = (struct command_item){.key = {NULL, 0}};
    ret->key = n->n_planted > 0 ? fx_next_planted(n, &ret->value) : fx_next_written(n, &ret->value);
    if (ret->key.data == NULL || fx_compare(ret->key, n->range->to) >= 0) {
        ret->key = (struct wire_slice){NULL, 0};
        n->range = NULL;
        return 0;
    }
    n->last_len = ret->key.len;
    memcpy(n->last_key, ret->key.data, ret->key.len);
    n->last_counts = true;
    return 0;
}

static void fx_read_end(void *ctx)
{
    struct fx_node *n = ctx;

    assert_true(n->is_reading);
    n->is_reading = false;
    n->range = NULL;
}

static bool fx_is_damaged(void *ctx, int rc, const char *what)
{
    struct fx_node *n = ctx;

    assert_non_null(what);
    n->n_damaged += rc == FX_DAMAGED;
    return rc == FX_DAMAGED;
}

static int fx_rebuild(void *ctx, raft_index *ret_applied)
{
    struct fx_node *n = ctx;
    int *const fails[] = {&n->fail_begin, &n->fail_apply, &n->fail_commit, &n->fail_read,
                          &n->fail_get};

    assert_false(n->is_reading || n->is_writing);
    assert_int_not_equal(raft_get_role(replica_raft(n->replica)), RAFT_LEADER);
    if (n->n_full_rebuilds > 0) {
        n->n_full_rebuilds--;
        return REPLICA_STATE_E_FULL;
    }
    while (n->n_values > 0)
        free(n->values[--n->n_values].text);
    n->applied = (struct raft_entry_id){0};
    *ret_applied = 0;
    n->n_rebuilds++;
    for (unsigned i = 0; i < sizeof(fails) / sizeof(fails[0]); i++)
        if (*fails[i] == FX_DAMAGED) /* what is new is not damaged */
            *fails[i] = 0;
    return n->fail_rebuild;
}

static bool fx_may_propose(void *ctx, const struct replica_request *q, struct replica_refusal *ret)
{
    const struct fx_node *n = ctx;
    struct command c;

    if (q->kind != REPLICA_WRITE)
        return true;
    if (n->behind != 0 && command_decode(q->command, q->command_len, &c) == 0 &&
        (c.first != 0 || c.op == COMMAND_OPEN_SESSION)) {
        *ret = (struct replica_refusal){.error = WIRE_ERROR_NOT_SUPPORTED, .behind = n->behind};
        return false;
    }
    if (n->no_space == NULL)
        return true;
    *ret = (struct replica_refusal){WIRE_ERROR_NO_SPACE, {n->no_space, 95, 100}, 0};
    return false;
}

static void fx_fatal(void *ctx, int error, const char *what)
{
    struct fx_node *n = ctx;

    assert_non_null(what);
    n->n_fatal++;
    n->fatal_error = error;
}

static void fx_flush(void *ctx)
{
    struct fx_node *n = ctx;

    n->n_flushed = n->n_sent;
    n->flushed_before = n->applied.index;
}

static uint64_t fx_disk_busy(void *ctx)
{
    return ((const struct fx_node *)ctx)->busy_us;
}

static uint64_t fx_now(void *ctx)
{
    return ((struct fx_node *)ctx)->fx->now_us;
}

static uint64_t fx_suspended(void *ctx)
{
    struct fx_node *n = ctx;

    n->n_looks++;
    return n->slept_us;
}

static bool fx_disrupted(void *ctx)
{
    struct fx_node *n = ctx;
    const bool was = n->is_disrupted;

    n->is_disrupted = false;
    return was;
}

/* ---- birth and death ---- */

static void fx_start_node(struct fx *fx, int i, const struct raft_configuration *c)
{
    static const struct raft_term_range terms[] = {{1, 1}};
    struct raft_config_at config = {.index = 1, .configuration = *c};
    struct fx_node *n = &fx->nodes[i];
    struct replica_conf conf = {.start = {.hard_state = {1, 0},
                                          .last_index = 1,
                                          .commit_index = 1,
                                          .terms = terms,
                                          .n_terms = 1,
                                          .configs = &config,
                                          .n_configs = 1}};
    struct replica_ops ops = {.ctx = n,
                              .log_submit = fx_log_submit,
                              .log_reader = {fx_log_read, n},
                              .state_begin = fx_begin,
                              .state_apply = fx_apply,
                              .state_apply_get = fx_apply_get,
                              .state_commit = fx_commit,
                              .state_abort = fx_abort,
                              .state_read_begin = fx_read_begin,
                              .state_get = fx_get,
                              .state_seek = fx_seek,
                              .state_next = fx_next,
                              .state_read_end = fx_read_end,
                              .state_is_damaged = fx_is_damaged,
                              .state_rebuild = fx_rebuild,
                              .may_propose = fx_may_propose,
                              .send = fx_send,
                              .fatal = fx_fatal,
                              .flush = fx_flush,
                              .suspended_us = fx_suspended,
                              .disrupted = fx_disrupted,
                              .disk_busy_us = fx_disk_busy,
                              .now_us = fx_now};
    cleanup_buf struct buf payload = BUF_INIT;
    struct raft_entry first = {.id = {1, 1}, .type = RAFT_ENTRY_CONFIG};

    assert_int_equal(raft_configuration_encode(c, &payload), 0);
    first.data = payload.data;
    first.len = (uint32_t)payload.len;
    n->log_size = 256;
    n->log = calloc(n->log_size, sizeof(*n->log));
    assert_non_null(n->log);
    fx_copy_entry(&first, &n->log[n->log_last++]);
    raft_conf_init(&conf.raft);
    conf.raft.id = n->id;
    conf.raft.seed = 7u + (unsigned)i;
    conf.raft.election_timeout_us = FX_ELECTION_US;
    conf.raft.heartbeat_us = FX_HEARTBEAT_US;
    conf.raft.lease_us = fx->options.lease_us;
    conf.raft.nonce = 1000u + (unsigned)i;
    assert_int_equal(replica_new(&conf, &ops, fx->now_us, &n->replica), 0);
}

void fx_init(struct fx *fx, int n)
{
    fx_init_with(fx, n, &(struct fx_options){0});
}

void fx_init_with(struct fx *fx, int n, const struct fx_options *options)
{
    static const char *const names[] = {"n1", "n2", "n3", "n4", "n5"};
    struct raft_configuration c;

    memset(fx, 0, sizeof(*fx));
    fx->n = n;
    fx->options = *options;
    fx->now_us = 1000000;
    fx->last = &fx->first;
    raft_configuration_init(&c);
    if (options->lease_us != 0)
        c.version = GATES_VERSION;
    for (int i = 0; i < n; i++)
        assert_int_equal(raft_configuration_add(
                             &c, raft_founder_id(names[i]), names[i],
                             i < n - options->n_learners ? RAFT_VOTER : RAFT_LEARNER, "", names[i]),
                         0);
    for (int i = 0; i < n; i++) {
        fx->nodes[i].fx = fx;
        fx->nodes[i].i = i;
        fx->nodes[i].id = raft_founder_id(names[i]);
    }
    for (int i = 0; i < n; i++)
        fx_start_node(fx, i, &c);
}

void fx_done(struct fx *fx)
{
    for (int i = 0; i < fx->n; i++) {
        struct fx_node *n = &fx->nodes[i];

        replica_free(n->replica);
        while (n->log_last > 0)
            free((void *)(uintptr_t)n->log[--n->log_last].data);
        free(n->log);
        free(n->planted_text);
        for (unsigned k = 0; k < n->n_values; k++)
            free(n->values[k].text);
    }
    fx_lose(fx);
}

/* ---- driving ---- */

const struct raft *fx_raft(const struct fx *fx, int i)
{
    return replica_raft(fx->nodes[i].replica);
}

void fx_turn(struct fx *fx, int i)
{
    struct fx_node *n = &fx->nodes[i];

    replica_turn(n->replica, fx->now_us);
    if (n->n_fatal == 0 && !n->stays_unfit && !replica_rebuilding(n->replica) &&
        raft_get_fitness(replica_raft(n->replica)) == RAFT_UNFIT)
        replica_set_fit(n->replica, RAFT_FIT, fx->now_us);
    raft_check(replica_raft_mutable(n->replica));
    replica_check(n->replica);
    assert_false(n->is_reading);
    assert_false(n->is_writing);
}

void fx_settle(struct fx *fx)
{
    for (int rounds = 0; rounds < 10000; rounds++) {
        bool moved = fx_deliver(fx) > 0;

        for (int i = 0; i < fx->n; i++) {
            struct fx_node *n = &fx->nodes[i];

            fx_turn(fx, i);
            if (!n->holds_store && n->stored != n->submitted && n->n_fatal == 0) {
                fx_store(fx, i);
                moved = true;
            }
            moved = moved || fx->first != NULL ||
                    (replica_deadline_us(n->replica) == 0 && n->n_fatal == 0);
        }
        if (!moved)
            return;
    }
    fail_msg("it never settles");
}

void fx_advance(struct fx *fx, uint64_t us)
{
    uint64_t until_us = fx->now_us + us;

    while (fx->now_us < until_us) {
        fx->now_us += until_us - fx->now_us < 10000u ? until_us - fx->now_us : 10000u;
        fx_settle(fx);
    }
}

void fx_pass_time(struct fx *fx, uint64_t us)
{
    fx->now_us += us;
}

int fx_leader(const struct fx *fx)
{
    for (int i = 0; i < fx->n; i++)
        if (!fx->cut[i] && raft_can_serve(fx_raft(fx, i)))
            return i;
    return -1;
}

int fx_elect(struct fx *fx)
{
    for (int i = 0; i < 1000; i++) {
        if (fx_leader(fx) >= 0)
            return fx_leader(fx);
        fx_advance(fx, 10000);
    }
    fail_msg("nobody is elected");
    return -1;
}

int fx_other(const struct fx *fx, int i)
{
    return (i + 1) % fx->n;
}

/* ---- messages by hand ---- */

void fx_depose(struct fx *fx, int i, int by)
{
    struct raft_msg m = {.type = RAFT_MSG_HEARTBEAT,
                         .from = fx->nodes[by].id,
                         .to = fx->nodes[i].id,
                         .term = raft_get_term(fx_raft(fx, i)) + 1};

    assert_int_equal(replica_step(fx->nodes[i].replica, &m, fx->now_us), 0);
}

void fx_outdate(struct fx *fx, int i, int by)
{
    struct raft_msg m = {.type = RAFT_MSG_HEARTBEAT_RESP,
                         .from = fx->nodes[by].id,
                         .to = fx->nodes[i].id,
                         .term = raft_get_term(fx_raft(fx, i)) + 1,
                         .reject = true};

    assert_int_equal(replica_step(fx->nodes[i].replica, &m, fx->now_us), 0);
}

void fx_ack_round(struct fx *fx, int i, int from, uint64_t round)
{
    struct raft_msg m = {.type = RAFT_MSG_HEARTBEAT_RESP,
                         .from = fx->nodes[from].id,
                         .to = fx->nodes[i].id,
                         .term = raft_get_term(fx_raft(fx, i)),
                         .round = round};

    assert_int_equal(replica_step(fx->nodes[i].replica, &m, fx->now_us), 0);
}

void fx_ack_append(struct fx *fx, int i, int from, raft_index index)
{
    struct raft_msg m = {.type = RAFT_MSG_APPEND_RESP,
                         .from = fx->nodes[from].id,
                         .to = fx->nodes[i].id,
                         .term = raft_get_term(fx_raft(fx, i)),
                         .index = index};

    assert_int_equal(replica_step(fx->nodes[i].replica, &m, fx->now_us), 0);
}

uint64_t fx_last_round(const struct fx *fx, int i)
{
    struct raft_status st;

    raft_get_status(fx_raft(fx, i), &st);
    return st.round;
}

raft_index fx_last_index(const struct fx *fx, int i)
{
    struct raft_status st;

    raft_get_status(fx_raft(fx, i), &st);
    return st.last_index;
}
