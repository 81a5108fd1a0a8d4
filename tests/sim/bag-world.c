/* The world of the bag test: some cores with their disks, clocks and links, and the bag of messages
 * between them. Every change of it is looked at by bag-rules.c. */
#include <stdarg.h>
#include <stdlib.h>

#include "sim/bag.h"
#include "sim/print.h"

#include "base/banned.h"

struct bag bag = {.steps_wanted = 5000};

/* ---- telling ---- */

const char *bag_name_of(void *ctx, raft_node_id id)
{
    (void)ctx;
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].id == id)
            return bag.nodes[i].name;
    return id == 0 ? "-" : "?";
}

void bag_trace(const char *format, ...)
{
    va_list ap;

    if (!bag.trace)
        return;
    printf("%6" PRIu64 " ", bag.step);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

void bag_trace_msg(const char *what, const struct raft_msg *m)
{
    cleanup_buf struct buf b = BUF_INIT;

    if (!bag.trace)
        return;
    sim_print_msg(&b, m, bag_name_of, NULL);
    bag_trace("%s %.*s", what, (int)b.len, (const char *)b.data);
}

static void trace_node(const struct node *n)
{
    struct raft_status s;

    if (!bag.trace || n->raft == NULL)
        return;
    raft_get_status(n->raft, &s);
    bag_trace("    %s %s term=%" PRIu64 " commit=%" PRIu64 " applied=%" PRIu64 " last=%" PRIu64
              " stored=%" PRIu64 " reads=%u clock=%" PRIu64,
              n->name, raft_role_name(s.role), s.current_term, s.commit_index, s.last_applied,
              s.last_index, s.last_stored, s.n_reads_pending, n->now_us);
}

_Noreturn void bag_fail(const char *rule, const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "bag FAIL seed=%" PRIu64 " step=%" PRIu64 " phase=%s rule=\"%s\": ", bag.seed,
            bag.step, bag.phase, rule);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\nrepeat with: bag --seed %" PRIu64 " --steps %" PRIu64 " --trace\n", bag.seed,
            bag.steps_wanted);
    exit(1);
}

/* Text for an assertion of the core. */
void bag_assert_context(void *ctx, char *buf, size_t size)
{
    (void)ctx;
    (void)snprintf(buf, size, "bag seed=%" PRIu64 " step=%" PRIu64 " phase=%s --steps %" PRIu64,
                   bag.seed, bag.step, bag.phase, bag.steps_wanted);
}

/* ---- dice ---- */

uint64_t bag_below(uint64_t bound)
{
    return prng_below(&bag.prng, bound);
}

bool bag_chance(unsigned per_mille)
{
    return bag_below(1000) < per_mille;
}

unsigned bag_between(unsigned low, unsigned high)
{
    return low + (unsigned)bag_below(high - low + 1);
}

struct node *bag_node_of_id(raft_node_id id)
{
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].id == id)
            return &bag.nodes[i];
    bag_fail("harness", "a message names an unknown node");
}

/* A running one, or NULL. */
struct node *bag_any_node(void)
{
    unsigned at = (unsigned)bag_below(bag.n_nodes);

    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[(at + i) % bag.n_nodes];

        if (n->raft != NULL)
            return n;
    }
    return NULL;
}

struct node *bag_any_leader(void)
{
    unsigned at = (unsigned)bag_below(bag.n_nodes);

    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[(at + i) % bag.n_nodes];

        if (n->raft != NULL && raft_get_role(n->raft) == RAFT_LEADER)
            return n;
    }
    return NULL;
}

/* ---- the parts ---- */

void bag_put_late(struct raft_msg *m)
{
    if (bag.n_late == LATE_MAX) {
        size_t i = bag_below(LATE_MAX);

        free(bag.late[i]);
        bag.late[i] = m;
        return;
    }
    bag.late[bag.n_late++] = m;
}

unsigned bag_voters_of(const struct node *n)
{
    const struct raft_configuration *c = raft_get_configuration(n->raft);
    unsigned bits = 0;

    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].role == RAFT_VOTER)
            bits |= 1u << bag_node_of_id(c->servers[i].id)->slot;
    return bits;
}

struct raft_msg *bag_take_msg(size_t i)
{
    struct raft_msg *m = bag.msgs[i];

    memmove(&bag.msgs[i], &bag.msgs[i + 1], (bag.n_msgs - i - 1) * sizeof(bag.msgs[0]));
    bag.n_msgs--;
    return m;
}

void bag_net_add(struct node *n, const struct raft_msg *m)
{
    bag_check_send(n, m);
    bag_trace_msg("send", m);
    if (bag.n_msgs == BAG_MAX)
        free(bag_take_msg(bag_below(BAG_MAX)));
    if (m->type == RAFT_MSG_APPEND && bag_chance(bag.odds.append_lost))
        return;
    if (bag_chance(m->type == RAFT_MSG_HEARTBEAT_RESP ? bag.odds.answers_late : bag.odds.late))
        bag_put_late(sim_msg_copy(m));
    else
        bag.msgs[bag.n_msgs++] = sim_msg_copy(m);
}

static void hold(struct node *n, const struct raft_msg *m, uint64_t after_batch)
{
    n->held = sim_realloc(n->held, (n->n_held + 1) * sizeof(*n->held));
    n->held[n->n_held++] = (struct held){.after_batch = after_batch, .msg = sim_msg_copy(m)};
}

void bag_apply_all(struct node *n)
{
    if (n->applied == n->emitted)
        return;
    n->applied = n->emitted;
    raft_applied(n->raft, n->applied);
    bag_look(n);
}

void bag_store_one(struct node *n)
{
    raft_index old = n->disk.log.n;
    uint64_t batch = sim_disk_complete(&n->disk);
    size_t kept = 0;

    if (batch == 0)
        return;
    bag_trace("store %s batch %" PRIu64, n->name, batch);
    /* What a majority held, and some node committed, stays (COMMIT-1). */
    for (raft_index i = n->disk.log.n + 1; i <= old && i <= bag.n_agreed; i++)
        bag_check_on_majority(i);
    for (size_t i = 0; i < n->n_held; i++) {
        if (n->held[i].after_batch > batch) {
            n->held[kept++] = n->held[i];
            continue;
        }
        bag_net_add(n, n->held[i].msg);
        free(n->held[i].msg);
    }
    n->n_held = kept;
    raft_stored(n->raft, batch, n->now_us);
    bag_look(n);
    trace_node(n);
}

void bag_take_ready(struct node *n)
{
    struct raft_ready rd;
    struct read read;

    raft_ready(n->raft, n->now_us, &rd);
    bag_trace("ready %s", n->name);
    if (rd.log_error != 0)
        bag_fail("harness", "the log reader failed");
    bag.counts[N_TRUNCATIONS] += rd.truncate_from != 0;
    sim_disk_submit(&n->disk, &rd);
    if (rd.n_entries > 0)
        bag_check_log_matching(n, rd.entries[0].id.index);
    for (unsigned i = 0; i < rd.n_msgs; i++)
        bag_net_add(n, &rd.msgs[i]);
    for (unsigned i = 0; i < rd.n_msgs_after_store; i++) {
        if (rd.after_batch > n->disk.submitted)
            bag_fail("after_batch is a batch", "%s: %" PRIu64, n->name, rd.after_batch);
        if (rd.after_batch <= n->disk.done)
            bag_net_add(n, &rd.msgs_after_store[i]);
        else
            hold(n, &rd.msgs_after_store[i], rd.after_batch);
    }
    for (unsigned i = 0; i < rd.n_committed; i++)
        bag_check_apply(n, &rd.committed[i]);
    for (unsigned i = 0; i < rd.n_reads; i++) {
        bag_trace("read %" PRIu64 " of %s: index %" PRIu64 " round %" PRIu64, rd.reads[i].ctx,
                  n->name, rd.reads[i].read_index, rd.reads[i].round);
        bag_check_read(n, &rd.reads[i]);
    }
    for (unsigned i = 0; i < rd.n_reads_failed; i++) {
        if (!bag_take_read(n, rd.reads_failed[i], &read))
            bag_fail("a read is answered once", "%s fails read %" PRIu64, n->name,
                     rd.reads_failed[i]);
        bag.counts[N_READS_FAILED]++;
    }
    bag_check_loss(n, &rd);
    n->was_unfit = raft_get_fitness(n->raft) == RAFT_UNFIT;
    bag_check_match(n);
    bag_look(n);
    trace_node(n);
    if (bag_chance(bag.odds.apply_at_once))
        bag_apply_all(n);
}

/* After an input: sometimes the turn ends at once, sometimes later; sometimes the disk is fast. */
void bag_after_input(struct node *n)
{
    bag_look(n);
    trace_node(n);
    if (bag_chance(bag.odds.ready_at_once))
        bag_take_ready(n);
    if (bag_chance(bag.odds.store_at_once))
        bag_store_one(n);
}

void bag_log_loaded(struct node *n)
{
    if (n->raft == NULL || !n->read_asked)
        return;
    bag_trace("log of %s loaded", n->name);
    n->read_asked = false;
    raft_log_loaded(n->raft, n->now_us);
    bag_look(n);
}

/* Not at once, now and then, and not before the core was told so. */
static int count_reads_from_disk(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                                 struct arena *arena, struct raft_entry *ret_entries,
                                 unsigned n_max, unsigned *ret_n)
{
    struct node *n = ctx;

    if (bag.odds.later > 0 && from > n->disk.base.index && bag_chance(bag.odds.later)) {
        n->read_asked = true;
        bag.counts[N_LATER]++;
        return RAFT_LOG_E_LATER;
    }
    bag.counts[N_FROM_DISK]++;
    return sim_disk_read(&n->disk, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
}

void bag_tell_link(struct node *a, struct node *b, bool up)
{
    if (a->raft == NULL || b->raft == NULL)
        return;
    raft_link(a->raft, b->id, up, a->now_us);
    raft_link(b->raft, a->id, up, b->now_us);
    bag.broken[a->slot][b->slot] = bag.broken[b->slot][a->slot] = !up;
    bag_look(a);
    bag_look(b);
}

void bag_start(struct node *n)
{
    struct raft_conf conf;
    struct sim_start s;
    raft_index applied = n->disk.commit_index;

    /* The state machine kept everything, or lost some of it, or all. */
    if (bag_chance(300))
        applied = bag_below(applied + 1);
    if (bag_chance(100))
        applied = 0;
    /* Or, when only the process died, it is ahead of the commit index that was recorded. */
    if (n->applied > n->disk.commit_index && bag_chance(500))
        applied = n->applied;
    /* What is compacted it has, or nobody could ever tell it. */
    if (applied < n->disk.base.index)
        applied = n->disk.base.index;
    raft_conf_init(&conf);
    conf.id = n->id;
    conf.election_timeout_us = ELECTION_US;
    conf.heartbeat_us = HEARTBEAT_US;
    conf.seed = prng_next(&bag.prng);
    conf.rounds_max = bag.rounds_max;
    conf.cache_bytes_max = bag.cache_bytes_max;
    conf.append_bytes_max = bag.append_bytes_max;
    conf.inflight_bytes_max = bag.inflight_bytes_max;
    conf.term_step_max = bag.term_step;
    conf.log_reader = (struct raft_log_reader){.read = count_reads_from_disk, .ctx = n};
    conf.trace = bag_hear_core;
    conf.trace_ctx = n;
    sim_disk_start(&n->disk, applied, &s);
    if (raft_new(&conf, &s.start, n->now_us, &n->raft) != 0)
        bag_fail("raft_new", "%s does not start", n->name);
    sim_start_done(&s);
    n->emitted = n->applied = applied;
    n->verified = 0;
    n->incarnation++;
    n->read_asked = false;
    n->was_unfit = false;
    n->led_term = 0;
    n->led_commit = 0;
    n->last_own = (struct raft_entry_id){0};
    bag_trace("start %s applied=%" PRIu64, n->name, applied);
    bag_look(n);
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (i != n->slot && (!bag.links_told || !bag.cut[n->slot][i]))
            bag_tell_link(n, &bag.nodes[i], true);
}

void bag_crash(struct node *n)
{
    bag_trace("crash %s", n->name);
    bag.counts[N_CRASHES]++;
    raft_free(n->raft);
    n->raft = NULL;
    for (size_t i = 0; i < n->n_held; i++)
        free(n->held[i].msg);
    n->n_held = 0;
    n->n_reads = 0;
    sim_disk_crash(&n->disk);
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].raft != NULL && bag_chance(700)) {
            raft_link(bag.nodes[i].raft, n->id, false, bag.nodes[i].now_us);
            bag.broken[i][n->slot] = bag.broken[n->slot][i] = true;
            bag_look(&bag.nodes[i]);
        }
}

void bag_give(struct raft_msg *m)
{
    struct node *n = bag_node_of_id(m->to);
    raft_term term;
    int r;

    if (n->raft == NULL)
        return;
    bag_trace_msg("deliver", m);
    term = raft_get_term(n->raft);
    r = raft_step(n->raft, m, n->now_us);
    bag_check_climb(n, m, term);
    if (r != 0)
        bag_fail("a correct peer is never refused", "%s returns %d to %s of %s", n->name, r,
                 raft_msg_type_name(m->type), bag_name_of(NULL, m->from));
    bag.counts[N_DELIVERED]++;
    bag_note_heard(n, m);
    bag_after_input(n);
}

void bag_advance(struct node *n, uint64_t us)
{
    if (n->raft == NULL) {
        n->now_us += us;
        return;
    }
    n->now_us += us;
    bag_trace("tick %s +%" PRIu64, n->name, us);
    raft_tick(n->raft, n->now_us);
    bag_check_quorum_heard(n);
    bag_after_input(n);
}

void bag_set_cut(struct node *a, struct node *b, bool cut)
{
    bool was = bag.cut[a->slot][b->slot];

    bag.cut[a->slot][b->slot] = bag.cut[b->slot][a->slot] = cut;
    if (bag.links_told && was != cut)
        bag_tell_link(a, b, !cut);
}

void bag_heal(void)
{
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        bag.nodes[i].rate = 1;
        for (unsigned j = i + 1; j < bag.n_nodes; j++)
            bag_set_cut(&bag.nodes[i], &bag.nodes[j], false);
        for (unsigned j = i + 1; j < bag.n_nodes; j++)
            if (bag.broken[i][j])
                bag_tell_link(&bag.nodes[i], &bag.nodes[j], true);
    }
    memset(bag.cut, 0, sizeof(bag.cut));
}
