/* The bag test: some real cores, and a bag of messages from which any may be taken in any order,
 * twice, late, or never.
 *
 * A seed decides everything: how many nodes, how kind the network, how slow the disks, and then one
 * action per step: deliver, lose, repeat or keep back a message; let time pass, more of it on some
 * nodes than on others; take a ready; complete a batch; propose; read; hand leadership over; crash;
 * restart; break links; cut nodes off. There is more disorder than TCP and a working host would
 * allow, and never more than Raft promises to survive. After each step every rule of
 * RELIABILITY 2.6 that can be seen from outside is checked; each has a function of its own below.
 * At the end everything is healed and delivered in order: then a leader, a write and a read on
 * every node are owed.
 *
 *     bag                         the seeds of `make check`
 *     bag --seeds 100000 --from 1 --steps 2000
 *     bag --seed 17 --trace       one seed, each action in a line; the same run, always
 *
 * A failure prints the seed, the step, what was wrong and with what rule, and the command that
 * repeats it. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "base/assert.h"
#include "base/prng.h"
#include "raft/raft.h"
#include "sim/disk.h"
#include "sim/print.h"

#include "base/banned.h"

#define NODES_MAX    6u
#define BAG_MAX      160u
#define LATE_MAX     120u
#define TERMS_MAX    4096u
#define INDEXES_MAX  4096u
#define READS_MAX    512u
#define HASHES       8192u /* a power of two */
#define HEARTBEAT_US 10000u
#define ELECTION_US  50000u

struct read {
    uint64_t ctx;
    raft_index floor;     /* highest commit index of anybody when it was asked */
    raft_index min_index; /* its own connection's writes */
    raft_term term;
};

struct held {
    uint64_t after_batch;
    struct raft_msg *msg; /* owned */
};

struct node {
    char name[16];
    raft_node_id id;
    unsigned slot;
    bool voter;
    struct raft *raft; /* owned; NULL while down */
    struct sim_disk disk;
    uint64_t now_us;
    unsigned rate; /* of its clock: 0 is paused */
    unsigned incarnation;
    raft_index emitted; /* handed out for applying */
    raft_index applied;
    raft_index verified; /* committed here and compared with everybody's */
    struct held *held;   /* owned; in order */
    size_t n_held;
    struct read reads[READS_MAX];
    unsigned n_reads;
    raft_term led_term;            /* led at the last look; 0: did not lead */
    raft_index led_commit;         /* then */
    struct raft_entry_id last_own; /* last proposal */
    raft_term match_term;          /* what match_index[] belongs to */
    raft_index match_index[NODES_MAX];
    uint64_t heard_us[NODES_MAX]; /* by its own clock, as leader */
};

struct agreed {
    raft_term term;
    raft_term seen_in; /* term of the node where it was first seen committed */
};

struct hash_slot {
    struct raft_entry_id id;
    uint64_t hash;
    uint64_t seed;
};

/* How the dice fall; drawn once per seed. Weights of actions, and probabilities in 1/1000. */
struct odds {
    unsigned deliver, tick, ready, store, propose, read, drop, again, apply;
    unsigned crash, restart, link, transfer, nemesis, jump, piece;
    unsigned in_order, late, late_comes, leak, ready_at_once, store_at_once, apply_at_once;
    unsigned append_lost;  /* of appends alone: logs that differ are what elections must settle */
    unsigned answers_late; /* of answers to heartbeats: what a stale read is made of */
    unsigned tick_us;      /* at most, per step */
    unsigned calm;         /* a cut lasts at least this many steps */
};

enum count {
    N_STEPS,
    N_DELIVERED,
    N_ELECTIONS,
    N_COMMITTED,
    N_READS,
    N_READS_CONFIRMED,
    N_READS_FAILED,
    N_READS_STALE_LEADER,
    N_LOSSES,
    N_TRUNCATIONS,
    N_TRANSFERS,
    N_CRASHES,
    N_CUTS,
    N_FROM_DISK,
    N_EXPECTED,                 /* of those above, some in every few hundred seeds */
    N_OVERWRITTEN = N_EXPECTED, /* one in millions; a transcript has it for certain */
    N_COUNTS
};
static const char *const count_names[N_COUNTS] = {
    "steps",     "delivered", "elections",      "committed",      "reads",
    "confirmed", "failed",    "by_old_leaders", "losses",         "truncations",
    "transfers", "crashes",   "cuts",           "read_from_disk", "overwritten",
};

struct bag {
    uint64_t seed;
    uint64_t step;
    const char *phase;
    bool trace;
    struct prng prng;
    struct odds odds;
    struct node nodes[NODES_MAX];
    unsigned n_nodes;
    unsigned n_voters;
    unsigned rounds_max;
    size_t cache_bytes_max;
    size_t append_bytes_max;
    size_t inflight_bytes_max;
    bool links_told; /* cuts are told to the cores */
    bool cut[NODES_MAX][NODES_MAX];
    bool broken[NODES_MAX][NODES_MAX]; /* the last thing a core was told of this link is `down` */
    struct raft_msg *msgs[BAG_MAX];    /* owned; oldest first */
    size_t n_msgs;
    struct raft_msg *late[LATE_MAX]; /* owned */
    size_t n_late;
    uint64_t calm_until; /* step */
    uint64_t next_ctx;
    uint64_t next_value;

    /* What is known by now, whoever said it. */
    struct agreed agreed[INDEXES_MAX]; /* [index] */
    raft_index n_agreed;               /* highest commit index ever seen on any node */
    struct {
        raft_node_id id;
        unsigned incarnation;
    } leaders[TERMS_MAX]; /* [term] */
    struct hash_slot hashes[HASHES];
    uint64_t counts[N_COUNTS];
};

static struct bag bag;
static uint64_t steps_wanted = 5000;

/* ---- telling ---- */

static const char *name_of(void *ctx, raft_node_id id)
{
    (void)ctx;
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].id == id)
            return bag.nodes[i].name;
    return id == 0 ? "-" : "?";
}

static void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void trace(const char *format, ...)
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

static void trace_msg(const char *what, const struct raft_msg *m)
{
    cleanup_buf struct buf b = BUF_INIT;

    if (!bag.trace)
        return;
    sim_print_msg(&b, m, name_of, NULL);
    trace("%s %.*s", what, (int)b.len, (const char *)b.data);
}

static void trace_node(const struct node *n)
{
    struct raft_status s;

    if (!bag.trace || n->raft == NULL)
        return;
    raft_get_status(n->raft, &s);
    trace("    %s %s term=%" PRIu64 " commit=%" PRIu64 " applied=%" PRIu64 " last=%" PRIu64
          " stored=%" PRIu64 " reads=%u clock=%" PRIu64,
          n->name, raft_role_name(s.role), s.current_term, s.commit_index, s.last_applied,
          s.last_index, s.last_stored, s.n_reads_pending, n->now_us);
}

static _Noreturn void fail(const char *rule, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static _Noreturn void fail(const char *rule, const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "bag FAIL seed=%" PRIu64 " step=%" PRIu64 " phase=%s rule=\"%s\": ", bag.seed,
            bag.step, bag.phase, rule);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\nrepeat with: bag --seed %" PRIu64 " --steps %" PRIu64 " --trace\n", bag.seed,
            steps_wanted);
    exit(1);
}

/* Text for an assertion of the core. */
static void assert_context(void *ctx, char *buf, size_t size)
{
    (void)ctx;
    (void)snprintf(buf, size, "bag seed=%" PRIu64 " step=%" PRIu64 " phase=%s --steps %" PRIu64,
                   bag.seed, bag.step, bag.phase, steps_wanted);
}

/* ---- dice ---- */

static uint64_t below(uint64_t bound)
{
    return prng_below(&bag.prng, bound);
}

static bool chance(unsigned per_mille)
{
    return below(1000) < per_mille;
}

static unsigned between(unsigned low, unsigned high)
{
    return low + (unsigned)below(high - low + 1);
}

static struct node *node_of_id(raft_node_id id)
{
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].id == id)
            return &bag.nodes[i];
    fail("harness", "a message names an unknown node");
}

/* A running one, or NULL. */
static struct node *any_node(void)
{
    unsigned at = (unsigned)below(bag.n_nodes);

    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[(at + i) % bag.n_nodes];

        if (n->raft != NULL)
            return n;
    }
    return NULL;
}

static struct node *any_leader(void)
{
    unsigned at = (unsigned)below(bag.n_nodes);

    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[(at + i) % bag.n_nodes];

        if (n->raft != NULL && raft_get_role(n->raft) == RAFT_LEADER)
            return n;
    }
    return NULL;
}

/* ---- rules ---- */

/* I1: at most one leader per term, and not the same one twice (READS R10). */
static void check_election_safety(struct node *n)
{
    raft_term term = raft_get_term(n->raft);

    if (raft_get_role(n->raft) != RAFT_LEADER)
        return;
    if (term >= TERMS_MAX)
        fail("harness", "more than %u terms", TERMS_MAX);
    if (bag.leaders[term].id == 0) {
        bag.leaders[term].id = n->id;
        bag.leaders[term].incarnation = n->incarnation;
        bag.counts[N_ELECTIONS]++;
        return;
    }
    if (bag.leaders[term].id != n->id || bag.leaders[term].incarnation != n->incarnation)
        fail("I1 election safety", "%s and %s both led term %" PRIu64, n->name,
             name_of(NULL, bag.leaders[term].id), term);
}

/* I3: an entry, named by index and term, has one content and one history. */
static void check_log_matching(const struct node *n, raft_index from)
{
    for (raft_index i = from; i <= n->disk.tail.n; i++) {
        const struct sim_entry *e = sim_log_get(&n->disk.tail, i);
        uint64_t at = hash_mix64(e->id.term << 32 ^ e->id.index);
        struct hash_slot *s;

        for (unsigned probe = 0;; probe++) {
            s = &bag.hashes[(at + probe) & (HASHES - 1)];
            if (s->seed != bag.seed || (s->id.term == e->id.term && s->id.index == e->id.index))
                break;
            if (probe == HASHES)
                fail("harness", "too many entries");
        }
        if (s->seed != bag.seed)
            *s = (struct hash_slot){.id = e->id, .hash = e->hash, .seed = bag.seed};
        else if (s->hash != e->hash)
            fail("I3 log matching", "%s holds another %" PRIu64 "/%" PRIu64 " or another history",
                 n->name, e->id.term, e->id.index);
    }
}

/* I4: a leader of a later term holds all that was committed before. */
static void check_leader_completeness(const struct node *n, raft_index from)
{
    raft_term term = raft_get_term(n->raft);

    for (raft_index i = from; i <= bag.n_agreed; i++)
        if (bag.agreed[i].seen_in < term && raft_term_at(n->raft, i) != bag.agreed[i].term)
            fail("I4 leader completeness",
                 "%s leads term %" PRIu64 " without %" PRIu64 "/%" PRIu64 ", committed in %" PRIu64,
                 n->name, term, bag.agreed[i].term, i, bag.agreed[i].seen_in);
}

/* I6: what is committed is on the disks of a majority of the voters. */
static void check_on_majority(raft_index index)
{
    unsigned n = 0;

    for (unsigned i = 0; i < bag.n_nodes; i++)
        n += bag.nodes[i].voter &&
             sim_log_term(&bag.nodes[i].disk.log, index) == bag.agreed[index].term;
    if (2 * n <= bag.n_voters)
        fail("I6 committed is durable on a majority",
             "%" PRIu64 "/%" PRIu64 " is on %u disks of %u", bag.agreed[index].term, index, n,
             bag.n_voters);
}

/* I6 for one node: in the term in which an entry was committed, or a later one, nobody removes it.
 *
 * A node that has not reached that term may. It was not counted, for who is counted has answered in
 * that term; it may hold the entry from the leader that wrote it, and take over it what a leader
 * between the two sends late. So this is asked when the core truncates, in the term of then: a
 * moment later the node may be in another one. What stays true of all together is
 * check_on_majority(). */
static void check_removal(struct node *n, const struct raft_trace *t)
{
    for (raft_index i = t->index; i <= bag.n_agreed && i <= n->disk.tail.n; i++) {
        if (sim_log_term(&n->disk.tail, i) != bag.agreed[i].term)
            return; /* nor does it hold any of those behind */
        if (t->term >= bag.agreed[i].seen_in)
            fail("I6 committed entries are never removed",
                 "%s in term %" PRIu64 ": %" PRIu64 "/%" PRIu64 ", committed in %" PRIu64, n->name,
                 t->term, bag.agreed[i].term, i, bag.agreed[i].seen_in);
        bag.counts[N_OVERWRITTEN]++;
    }
}

static void hear_core(void *ctx, const struct raft_trace *t)
{
    if (t->event == RAFT_TRACE_TRUNCATED)
        check_removal(ctx, t);
}

/* I5 and I6, and the oracle for reads: what this node calls committed is what everybody does. */
static void check_commit(struct node *n)
{
    raft_index commit = raft_get_commit_index(n->raft);
    raft_term term = raft_get_term(n->raft);
    raft_index old = bag.n_agreed;

    if (commit < n->verified)
        fail("commit_index never falls", "%s: %" PRIu64 " after %" PRIu64, n->name, commit,
             n->verified);
    if (commit >= INDEXES_MAX)
        fail("harness", "more than %u entries", INDEXES_MAX);
    for (; n->verified < commit; n->verified++) {
        raft_index i = n->verified + 1;
        raft_term t = raft_term_at(n->raft, i);

        if (t == 0)
            fail("commit_index <= last_index", "%s commits %" PRIu64, n->name, i);
        if (i <= bag.n_agreed) {
            if (bag.agreed[i].term != t)
                fail("I5 state machine safety",
                     "%s commits %" PRIu64 "/%" PRIu64 ", others %" PRIu64 "/%" PRIu64, n->name, t,
                     i, bag.agreed[i].term, i);
            continue;
        }
        bag.agreed[i] = (struct agreed){.term = t, .seen_in = term};
        bag.n_agreed = i;
        bag.counts[N_COMMITTED]++;
        check_on_majority(i);
    }
    if (bag.n_agreed > old)
        for (unsigned i = 0; i < bag.n_nodes; i++)
            if (bag.nodes[i].raft != NULL && raft_get_role(bag.nodes[i].raft) == RAFT_LEADER)
                check_leader_completeness(&bag.nodes[i], old + 1);
}

/* I7: durable before visible. Answers to heartbeats, pre-votes and refusals are exempt (READS R61).
 */
static void check_send(const struct node *n, const struct raft_msg *m)
{
    const struct sim_disk *d = &n->disk;
    const struct node *to = node_of_id(m->to);
    bool own_term = d->hard_state.current_term == m->term;

    if (m->from != n->id || to == n)
        fail("I7 durable before visible", "%s sends in the name of another", n->name);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
        return;
    case RAFT_MSG_VOTE:
        if (own_term && d->hard_state.voted_for != n->id)
            fail("I7 durable before visible", "%s asks for votes before its own is durable",
                 n->name);
        break;
    case RAFT_MSG_VOTE_RESP:
        if (m->reject)
            return;
        if (own_term && d->hard_state.voted_for != m->to)
            fail("I7 durable before visible", "%s grants %s a vote that is not durable", n->name,
                 to->name);
        break;
    case RAFT_MSG_APPEND_RESP:
        if (m->reject)
            return;
        if (own_term && d->log.n < m->index)
            fail("I7 durable before visible", "%s acknowledges %" PRIu64 " of %zu durable", n->name,
                 m->index, d->log.n);
        /* And it is what the leader has there, not whatever lies behind the proven part. */
        if (own_term && to->raft != NULL && raft_get_role(to->raft) == RAFT_LEADER &&
            raft_get_term(to->raft) == m->term &&
            raft_term_at(to->raft, m->index) != sim_log_term(&d->log, m->index))
            fail("acknowledged is what the leader sent",
                 "%s acknowledges %" PRIu64 " with %" PRIu64 ", %s has %" PRIu64 " there", n->name,
                 m->index, sim_log_term(&d->log, m->index), to->name,
                 raft_term_at(to->raft, m->index));
        break;
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_TIMEOUT_NOW:
        if (own_term && d->hard_state.voted_for != n->id)
            fail("I7 durable before visible", "%s leads before its vote is durable", n->name);
        break;
    }
    if (d->hard_state.current_term < m->term)
        fail("I7 durable before visible",
             "%s sends %s in term %" PRIu64 " while term %" PRIu64 " is durable", n->name,
             raft_msg_type_name(m->type), m->term, d->hard_state.current_term);
}

/* I8: what a leader believes a follower to hold is on that follower's disk. */
static void check_match(struct node *n)
{
    struct raft_status s;

    if (raft_get_role(n->raft) != RAFT_LEADER)
        return;
    raft_get_status(n->raft, &s);
    if (n->match_term != s.current_term)
        memset(n->match_index, 0, sizeof(n->match_index));
    n->match_term = s.current_term;
    for (unsigned i = 0; i < s.n_peers; i++) {
        const struct node *p = node_of_id(s.peers[i].id);
        raft_index match = s.peers[i].match_index;

        if (match < n->match_index[p->slot])
            fail("I8 match_index never falls within a term", "%s: %s %" PRIu64 " after %" PRIu64,
                 n->name, p->name, match, n->match_index[p->slot]);
        n->match_index[p->slot] = match;
        if (match == 0 || p->disk.hard_state.current_term > s.current_term)
            continue;
        if (sim_log_term(&p->disk.log, match) != raft_term_at(n->raft, match))
            fail("I8 match_index is durable", "%s believes %s to hold %" PRIu64, n->name, p->name,
                 match);
    }
    /* A leader commits only what is durable on itself too (DESIGN 3.4). */
    if (s.commit_index > n->disk.log.n)
        fail("I18 committed by a leader is durable on it", "%s: %" PRIu64 " of %zu", n->name,
             s.commit_index, n->disk.log.n);
}

/* I18, I5: applied in order, once, and only what is committed and durable here. */
static void check_apply(struct node *n, const struct raft_entry *e)
{
    const struct sim_entry *d = sim_log_get(&n->disk.log, e->id.index);

    if (e->id.index != n->emitted + 1)
        fail("applied in order, once", "%s: %" PRIu64 " after %" PRIu64, n->name, e->id.index,
             n->emitted);
    n->emitted = e->id.index;
    if (d == NULL || d->id.term != e->id.term)
        fail("I18 nothing applied before it is durable", "%s: %" PRIu64 "/%" PRIu64, n->name,
             e->id.term, e->id.index);
    if (e->id.index > bag.n_agreed || bag.agreed[e->id.index].term != e->id.term)
        fail("I5 state machine safety", "%s applies %" PRIu64 "/%" PRIu64, n->name, e->id.term,
             e->id.index);
    if (e->type != d->type || e->len != sim_entry_len(d) ||
        (e->len > 0 && memcmp(e->data, sim_entry_data(d), e->len) != 0))
        fail("applied is what was stored", "%s: %" PRIu64 "/%" PRIu64, n->name, e->id.term,
             e->id.index);
}

static bool take_read(struct node *n, uint64_t ctx, struct read *ret_read)
{
    for (unsigned i = 0; i < n->n_reads; i++)
        if (n->reads[i].ctx == ctx) {
            *ret_read = n->reads[i];
            n->reads[i] = n->reads[--n->n_reads];
            return true;
        }
    return false;
}

/* I10: a read returns at least what anybody had committed when it was asked (READS R1, R6, R10,
 * R14). */
static void check_read(struct node *n, const struct raft_read_done *done)
{
    struct read read;

    if (!take_read(n, done->ctx, &read))
        fail("a read is answered once", "%s answers read %" PRIu64, n->name, done->ctx);
    bag.counts[N_READS_CONFIRMED]++;
    if (done->read_index < read.floor)
        fail("I10 linearizable reads",
             "%s answers read %" PRIu64 " at %" PRIu64 "; %" PRIu64
             " was committed when it was asked",
             n->name, done->ctx, done->read_index, read.floor);
    if (done->read_index > bag.n_agreed || done->read_index > raft_get_commit_index(n->raft))
        fail("a read index is committed", "%s: %" PRIu64, n->name, done->read_index);
    if (done->round <= done->arrival_round)
        fail("R6 no round in flight", "%s: round %" PRIu64 " arrived in %" PRIu64, n->name,
             done->round, done->arrival_round);
    if (done->term != read.term)
        fail("R16 a read ends with its term", "%s: %" PRIu64 " asked in %" PRIu64, n->name,
             done->term, read.term);
    /* The connection's own writes (READS R58). */
    if (read.min_index > done->read_index ||
        (read.min_index != 0 && bag.agreed[read.min_index].term != read.term))
        fail("R58 own writes", "%s: floor %" PRIu64 ", answered at %" PRIu64, n->name,
             read.min_index, done->read_index);
}

/* R16, R17: with the leadership go the reads, and no answer comes in the same breath. */
static void check_loss(struct node *n, const struct raft_ready *rd)
{
    raft_term term = raft_get_term(n->raft);
    bool leads = raft_get_role(n->raft) == RAFT_LEADER;
    struct raft_status s;

    if (n->led_term != 0 && (!leads || term != n->led_term) &&
        (rd->loss == RAFT_LOSS_NONE || rd->loss_term != n->led_term))
        fail("leadership is not lost in silence", "%s led term %" PRIu64, n->name, n->led_term);
    if (rd->loss != RAFT_LOSS_NONE) {
        bag.counts[N_LOSSES]++;
        if (rd->n_reads > 0)
            fail("R17 loss wins over completion", "%s: %u reads", n->name, rd->n_reads);
        if (n->led_term != 0 && rd->loss_commit_index < n->led_commit)
            fail("loss_commit_index", "%s: %" PRIu64 " after %" PRIu64, n->name,
                 rd->loss_commit_index, n->led_commit);
        if (rd->loss_commit_index > bag.n_agreed)
            fail("loss_commit_index", "%s: %" PRIu64 " is not committed", n->name,
                 rd->loss_commit_index);
        /* What was proposed in the lost term up to there is committed. The proposals of a term are
         * a run of consecutive indexes that ends with last_own. */
        for (raft_index i = rd->loss_commit_index;
             n->last_own.term == rd->loss_term && i > 0 && i <= n->last_own.index; i--) {
            if (bag.agreed[i].term == rd->loss_term)
                break; /* and so is all before it */
            if (bag.agreed[i].term > rd->loss_term)
                fail("loss_commit_index",
                     "%s: proposal %" PRIu64 "/%" PRIu64 " is not what was committed there",
                     n->name, rd->loss_term, i);
            break; /* before the first entry of that term */
        }
    }
    raft_get_status(n->raft, &s);
    if (s.n_reads_pending != n->n_reads)
        fail("R56 no read is forgotten", "%s: %u pending, %u unanswered", n->name,
             s.n_reads_pending, n->n_reads);
    if (!leads && n->n_reads > 0)
        fail("R16 reads fail with the leadership", "%s: %u unanswered", n->name, n->n_reads);
    n->led_term = leads ? term : 0;
    n->led_commit = raft_get_commit_index(n->raft);
}

/* R18: a leader that has not heard a quorum for an election timeout of its own clock has stepped
 * down when it looks at that clock. */
static void check_quorum_heard(const struct node *n)
{
    unsigned heard = n->voter ? 1 : 0;

    if (raft_get_role(n->raft) != RAFT_LEADER)
        return;
    for (unsigned i = 0; i < bag.n_nodes; i++)
        heard += i != n->slot && bag.nodes[i].voter && n->now_us - n->heard_us[i] <= ELECTION_US;
    if (2 * heard <= bag.n_voters)
        fail("R18 check-quorum", "%s leads term %" PRIu64 " and hears %u voters of %u", n->name,
             raft_get_term(n->raft), heard, bag.n_voters);
}

static void note_heard(struct node *n, const struct raft_msg *m)
{
    if ((m->type == RAFT_MSG_APPEND_RESP || m->type == RAFT_MSG_HEARTBEAT_RESP) &&
        m->term == raft_get_term(n->raft))
        n->heard_us[node_of_id(m->from)->slot] = n->now_us;
}

/* After every call of a core. */
static void look(struct node *n)
{
    raft_check(n->raft);
    check_commit(n);
    if (raft_get_role(n->raft) == RAFT_LEADER) {
        raft_term term = raft_get_term(n->raft);
        bool new = term < TERMS_MAX &&bag.leaders[term].id == 0;

        check_election_safety(n);
        if (new) {
            check_leader_completeness(n, 1);
            for (unsigned i = 0; i < bag.n_nodes; i++)
                n->heard_us[i] = n->now_us;
        }
    }
}

/* ---- the parts ---- */

static void put_late(struct raft_msg *m)
{
    if (bag.n_late == LATE_MAX) {
        size_t i = below(LATE_MAX);

        free(bag.late[i]);
        bag.late[i] = m;
        return;
    }
    bag.late[bag.n_late++] = m;
}

static struct raft_msg *take_msg(size_t i)
{
    struct raft_msg *m = bag.msgs[i];

    memmove(&bag.msgs[i], &bag.msgs[i + 1], (bag.n_msgs - i - 1) * sizeof(bag.msgs[0]));
    bag.n_msgs--;
    return m;
}

static void net_add(struct node *n, const struct raft_msg *m)
{
    check_send(n, m);
    trace_msg("send", m);
    if (bag.n_msgs == BAG_MAX)
        free(take_msg(below(BAG_MAX)));
    if (m->type == RAFT_MSG_APPEND && chance(bag.odds.append_lost))
        return;
    if (chance(m->type == RAFT_MSG_HEARTBEAT_RESP ? bag.odds.answers_late : bag.odds.late))
        put_late(sim_msg_copy(m));
    else
        bag.msgs[bag.n_msgs++] = sim_msg_copy(m);
}

static void hold(struct node *n, const struct raft_msg *m, uint64_t after_batch)
{
    n->held = sim_realloc(n->held, (n->n_held + 1) * sizeof(*n->held));
    n->held[n->n_held++] = (struct held){.after_batch = after_batch, .msg = sim_msg_copy(m)};
}

static void apply_all(struct node *n)
{
    if (n->applied == n->emitted)
        return;
    n->applied = n->emitted;
    raft_applied(n->raft, n->applied);
    look(n);
}

static void store_one(struct node *n)
{
    raft_index old = n->disk.log.n;
    uint64_t batch = sim_disk_complete(&n->disk);
    size_t kept = 0;

    if (batch == 0)
        return;
    trace("store %s batch %" PRIu64, n->name, batch);
    /* What a majority held, and some node committed, stays (RELIABILITY I6). */
    for (raft_index i = n->disk.log.n + 1; i <= old && i <= bag.n_agreed; i++)
        check_on_majority(i);
    for (size_t i = 0; i < n->n_held; i++) {
        if (n->held[i].after_batch > batch) {
            n->held[kept++] = n->held[i];
            continue;
        }
        net_add(n, n->held[i].msg);
        free(n->held[i].msg);
    }
    n->n_held = kept;
    raft_stored(n->raft, batch, n->now_us);
    look(n);
    trace_node(n);
}

static void take_ready(struct node *n)
{
    struct raft_ready rd;
    struct read read;

    raft_ready(n->raft, n->now_us, &rd);
    trace("ready %s", n->name);
    if (rd.log_error != 0)
        fail("harness", "the log reader failed");
    bag.counts[N_TRUNCATIONS] += rd.truncate_from != 0;
    sim_disk_submit(&n->disk, &rd);
    if (rd.n_entries > 0)
        check_log_matching(n, rd.entries[0].id.index);
    for (unsigned i = 0; i < rd.n_msgs; i++)
        net_add(n, &rd.msgs[i]);
    for (unsigned i = 0; i < rd.n_msgs_after_store; i++) {
        if (rd.after_batch > n->disk.submitted)
            fail("after_batch is a batch", "%s: %" PRIu64, n->name, rd.after_batch);
        if (rd.after_batch <= n->disk.done)
            net_add(n, &rd.msgs_after_store[i]);
        else
            hold(n, &rd.msgs_after_store[i], rd.after_batch);
    }
    for (unsigned i = 0; i < rd.n_committed; i++)
        check_apply(n, &rd.committed[i]);
    for (unsigned i = 0; i < rd.n_reads; i++) {
        trace("read %" PRIu64 " of %s: index %" PRIu64 " round %" PRIu64, rd.reads[i].ctx, n->name,
              rd.reads[i].read_index, rd.reads[i].round);
        check_read(n, &rd.reads[i]);
    }
    for (unsigned i = 0; i < rd.n_reads_failed; i++) {
        if (!take_read(n, rd.reads_failed[i], &read))
            fail("a read is answered once", "%s fails read %" PRIu64, n->name, rd.reads_failed[i]);
        bag.counts[N_READS_FAILED]++;
    }
    check_loss(n, &rd);
    check_match(n);
    look(n);
    trace_node(n);
    if (chance(bag.odds.apply_at_once))
        apply_all(n);
}

/* After an input: sometimes the turn ends at once, sometimes later; sometimes the disk is fast. */
static void after_input(struct node *n)
{
    look(n);
    trace_node(n);
    if (chance(bag.odds.ready_at_once))
        take_ready(n);
    if (chance(bag.odds.store_at_once))
        store_one(n);
}

static int count_reads_from_disk(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                                 struct arena *arena, struct raft_entry *ret_entries,
                                 unsigned n_max, unsigned *ret_n)
{
    bag.counts[N_FROM_DISK]++;
    return sim_disk_read(ctx, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
}

static void tell_link(struct node *a, struct node *b, bool up)
{
    if (a->raft == NULL || b->raft == NULL)
        return;
    raft_link(a->raft, b->id, up, a->now_us);
    raft_link(b->raft, a->id, up, b->now_us);
    bag.broken[a->slot][b->slot] = bag.broken[b->slot][a->slot] = !up;
    look(a);
    look(b);
}

static void start(struct node *n)
{
    struct raft_conf conf;
    struct sim_start s;
    raft_index applied = n->disk.commit_index;

    /* The state machine kept everything, or lost some of it, or all. */
    if (chance(300))
        applied = below(applied + 1);
    if (chance(100))
        applied = 0;
    /* Or, when only the process died, it is ahead of the commit index that was recorded. */
    if (n->applied > n->disk.commit_index && chance(500))
        applied = n->applied;
    raft_conf_init(&conf);
    conf.id = n->id;
    conf.election_timeout_us = ELECTION_US;
    conf.heartbeat_us = HEARTBEAT_US;
    conf.seed = prng_next(&bag.prng);
    conf.rounds_max = bag.rounds_max;
    conf.cache_bytes_max = bag.cache_bytes_max;
    conf.append_bytes_max = bag.append_bytes_max;
    conf.inflight_bytes_max = bag.inflight_bytes_max;
    conf.log_reader = (struct raft_log_reader){.read = count_reads_from_disk, .ctx = &n->disk};
    conf.trace = hear_core;
    conf.trace_ctx = n;
    sim_disk_start(&n->disk, applied, &s);
    if (raft_new(&conf, &s.start, n->now_us, &n->raft) != 0)
        fail("raft_new", "%s does not start", n->name);
    sim_start_done(&s);
    n->emitted = n->applied = applied;
    n->verified = 0;
    n->incarnation++;
    n->led_term = 0;
    n->led_commit = 0;
    n->last_own = (struct raft_entry_id){0};
    trace("start %s applied=%" PRIu64, n->name, applied);
    look(n);
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (i != n->slot && (!bag.links_told || !bag.cut[n->slot][i]))
            tell_link(n, &bag.nodes[i], true);
}

static void crash(struct node *n)
{
    trace("crash %s", n->name);
    bag.counts[N_CRASHES]++;
    raft_free(n->raft);
    n->raft = NULL;
    for (size_t i = 0; i < n->n_held; i++)
        free(n->held[i].msg);
    n->n_held = 0;
    n->n_reads = 0;
    sim_disk_crash(&n->disk);
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].raft != NULL && chance(700)) {
            raft_link(bag.nodes[i].raft, n->id, false, bag.nodes[i].now_us);
            bag.broken[i][n->slot] = bag.broken[n->slot][i] = true;
            look(&bag.nodes[i]);
        }
}

static void give(struct raft_msg *m)
{
    struct node *n = node_of_id(m->to);
    int r;

    if (n->raft == NULL)
        return;
    trace_msg("deliver", m);
    r = raft_step(n->raft, m, n->now_us);
    if (r != 0)
        fail("a correct peer is never refused", "%s returns %d to %s of %s", n->name, r,
             raft_msg_type_name(m->type), name_of(NULL, m->from));
    bag.counts[N_DELIVERED]++;
    note_heard(n, m);
    after_input(n);
}

/* ---- actions ---- */

static void act_deliver(void)
{
    size_t i;
    struct raft_msg *m;

    if (bag.n_late > 0 && chance(bag.odds.late_comes)) {
        i = below(bag.n_late);
        m = bag.late[i];
        bag.late[i] = bag.late[--bag.n_late];
        give(m);
        free(m);
        return;
    }
    if (bag.n_msgs == 0)
        return;
    i = chance(bag.odds.in_order) ? 0 : below(bag.n_msgs);
    /* Across a cut only now and then something comes through. */
    for (; i < bag.n_msgs; i++) {
        m = bag.msgs[i];
        if (!bag.cut[node_of_id(m->from)->slot][node_of_id(m->to)->slot] || chance(bag.odds.leak))
            break;
    }
    if (i == bag.n_msgs)
        return;
    m = take_msg(i);
    give(m);
    free(m);
}

static void act_drop(void)
{
    struct raft_msg *m;

    if (bag.n_msgs == 0)
        return;
    m = take_msg(below(bag.n_msgs));
    trace_msg("drop", m);
    free(m);
}

/* A second copy, soon or late. */
static void act_again(void)
{
    struct raft_msg *m;

    if (bag.n_msgs == 0)
        return;
    m = sim_msg_copy(bag.msgs[below(bag.n_msgs)]);
    trace_msg("again", m);
    if (bag.n_msgs < BAG_MAX && chance(500))
        bag.msgs[bag.n_msgs++] = m;
    else
        put_late(m);
}

static void advance(struct node *n, uint64_t us)
{
    if (n->raft == NULL) {
        n->now_us += us;
        return;
    }
    n->now_us += us;
    trace("tick %s +%" PRIu64, n->name, us);
    raft_tick(n->raft, n->now_us);
    check_quorum_heard(n);
    after_input(n);
}

static void act_tick(void)
{
    uint64_t us = 1 + below(bag.odds.tick_us);

    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[i];

        if (n->rate == 0)
            continue;
        if (chance(900))
            advance(n, us * n->rate);
        else
            n->now_us += us * n->rate; /* time passes, nobody looks */
    }
}

/* Another append that a leader may send: any piece of its log, behind any entry of it. The core of
 * a leader finds the place where logs agree in few steps and hardly ever sends such a one, but the
 * follower's rules hold for all (RELIABILITY 1.2 row 18: it may acknowledge and commit only what
 * this message proves). */
static void act_piece(void)
{
    struct raft_entry entries[4];
    struct node *n = any_leader();
    struct node *to = &bag.nodes[below(bag.n_nodes)];
    const struct sim_log *log;
    struct raft_msg m;

    if (n == NULL || to == n)
        return;
    log = &n->disk.tail;
    m = (struct raft_msg){.type = RAFT_MSG_APPEND,
                          .from = n->id,
                          .to = to->id,
                          .term = raft_get_term(n->raft),
                          .leader_commit = raft_get_commit_index(n->raft),
                          .entries = entries};
    m.prev = log->entries[log->n - 1 - below(log->n < 8 ? log->n : 8)].id;
    for (unsigned many = (unsigned)below(5);
         m.n_entries < many && m.prev.index + m.n_entries < log->n; m.n_entries++) {
        const struct sim_entry *e = &log->entries[m.prev.index + m.n_entries];

        entries[m.n_entries] = (struct raft_entry){.id = e->id,
                                                   .type = e->type,
                                                   .len = (uint32_t)sim_entry_len(e),
                                                   .data = sim_entry_data(e)};
    }
    net_add(n, &m);
}

/* One node was asleep. */
static void act_jump(void)
{
    struct node *n = any_node();

    if (n == NULL)
        return;
    n->now_us += below(3 * ELECTION_US);
    if (chance(500))
        advance(n, 0);
}

static void act_ready(void)
{
    struct node *n = any_node();

    if (n != NULL)
        take_ready(n);
}

static void act_store(void)
{
    struct node *n = any_node();

    if (n != NULL)
        store_one(n);
}

static void act_apply(void)
{
    struct node *n = any_node();

    if (n != NULL)
        apply_all(n);
}

static void act_propose(void)
{
    struct node *n = chance(900) ? any_leader() : any_node();
    unsigned many = chance(200) ? between(2, 6) : 1;

    for (; n != NULL && many > 0; many--) {
        char value[64];
        bool marker = chance(50);
        struct raft_entry_id id;
        int len = snprintf(value, sizeof(value), "%" PRIu64, ++bag.next_value);
        int r = raft_propose(n->raft, marker ? RAFT_ENTRY_READ : RAFT_ENTRY_COMMAND, value,
                             marker ? 0 : (size_t)len, &id);

        if (r == RAFT_E_NOT_LEADER && raft_get_role(n->raft) == RAFT_LEADER)
            fail("raft_propose", "%s leads and says it does not", n->name);
        if (r != 0 && r != RAFT_E_NOT_LEADER && r != RAFT_E_BUSY && r != RAFT_E_GATED)
            fail("raft_propose", "%s: %d", n->name, r);
        if (r == RAFT_E_GATED && raft_can_serve(n->raft))
            fail("raft_propose", "%s is gated and is not", n->name);
        if (r != 0)
            break;
        trace("propose %s %" PRIu64 "/%" PRIu64, n->name, id.term, id.index);
        if (id.term != raft_get_term(n->raft) || raft_term_at(n->raft, id.index) != id.term)
            fail("raft_propose", "%s: %" PRIu64 "/%" PRIu64, n->name, id.term, id.index);
        n->last_own = id;
        after_input(n);
    }
}

static bool is_newest_leader(const struct node *n)
{
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].raft != NULL && raft_get_role(bag.nodes[i].raft) == RAFT_LEADER &&
            raft_get_term(bag.nodes[i].raft) > raft_get_term(n->raft))
            return false;
    return true;
}

static void read_at(struct node *n)
{
    struct read read = {.floor = bag.n_agreed, .term = raft_get_term(n->raft)};
    int r;

    if (n->n_reads == READS_MAX)
        return;
    if (n->last_own.term == read.term && chance(300))
        read.min_index = n->last_own.index;
    read.ctx = bag.next_ctx++;
    r = raft_read(n->raft, read.ctx, read.min_index, n->now_us);
    if ((r == 0) != (raft_get_role(n->raft) == RAFT_LEADER))
        fail("raft_read", "%s: %d", n->name, r);
    if (r != 0)
        return;
    trace("read %" PRIu64 " asked of %s, floor %" PRIu64 " min %" PRIu64, read.ctx, n->name,
          read.floor, read.min_index);
    n->reads[n->n_reads++] = read;
    bag.counts[N_READS]++;
    bag.counts[N_READS_STALE_LEADER] += !is_newest_leader(n);
    after_input(n);
}

/* All that think they lead are asked: the old one is the one to catch. */
static void act_read(void)
{
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].raft != NULL && raft_get_role(bag.nodes[i].raft) == RAFT_LEADER)
            read_at(&bag.nodes[i]);
    if (chance(20)) {
        struct node *n = any_node();

        if (n != NULL)
            read_at(n);
    }
}

static void act_transfer(void)
{
    struct node *n = any_leader();
    raft_node_id to = chance(300) ? 0 : bag.nodes[below(bag.n_nodes)].id;
    int r;

    if (n == NULL)
        return;
    r = raft_transfer(n->raft, to, n->now_us);
    trace("transfer %s to %s: %d", n->name, name_of(NULL, to), r);
    bag.counts[N_TRANSFERS] += r == 0;
    if (r != 0 && r != RAFT_E_BUSY && r != RAFT_E_NOT_MEMBER)
        fail("raft_transfer", "%s: %d", n->name, r);
    after_input(n);
}

/* Never more than a minority of the voters at once: then nothing may be lost, and nothing must wait
 * for ever. */
static void act_crash(void)
{
    struct node *n = chance(400) ? any_leader() : any_node();
    unsigned down = 0;

    for (unsigned i = 0; i < bag.n_nodes; i++)
        down += bag.nodes[i].raft == NULL;
    if (n != NULL && (down == 0 || chance(200)))
        crash(n);
}

static void act_restart(void)
{
    unsigned at = (unsigned)below(bag.n_nodes);

    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[(at + i) % bag.n_nodes];

        if (n->raft != NULL)
            continue;
        start(n);
        return;
    }
}

/* A link breaks, loses what is on it, and comes back. */
static void act_link(void)
{
    struct node *a = &bag.nodes[below(bag.n_nodes)], *b = &bag.nodes[below(bag.n_nodes)];

    if (a == b)
        return;
    trace("link %s %s", a->name, b->name);
    for (size_t i = 0; i < bag.n_msgs;) {
        const struct raft_msg *m = bag.msgs[i];

        if (((m->from == a->id && m->to == b->id) || (m->from == b->id && m->to == a->id)) &&
            chance(700))
            free(take_msg(i));
        else
            i++;
    }
    tell_link(a, b, false);
    if (!bag.links_told || !bag.cut[a->slot][b->slot])
        tell_link(a, b, true);
}

static void set_cut(struct node *a, struct node *b, bool cut)
{
    bool was = bag.cut[a->slot][b->slot];

    bag.cut[a->slot][b->slot] = bag.cut[b->slot][a->slot] = cut;
    if (bag.links_told && was != cut)
        tell_link(a, b, !cut);
}

static void heal(void)
{
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        bag.nodes[i].rate = 1;
        for (unsigned j = i + 1; j < bag.n_nodes; j++)
            set_cut(&bag.nodes[i], &bag.nodes[j], false);
        for (unsigned j = i + 1; j < bag.n_nodes; j++)
            if (bag.broken[i][j])
                tell_link(&bag.nodes[i], &bag.nodes[j], true);
    }
    memset(bag.cut, 0, sizeof(bag.cut));
}

static void act_nemesis(void)
{
    struct node *n = any_leader();
    struct node *m = &bag.nodes[below(bag.n_nodes)];

    if (bag.step < bag.calm_until)
        return;
    if (n == NULL || chance(300))
        n = &bag.nodes[below(bag.n_nodes)];
    bag.counts[N_CUTS]++;
    bag.calm_until = bag.step + below(bag.odds.calm);
    switch (below(8)) {
    case 0:
    case 1:
        trace("heal");
        heal();
        break;
    case 2: /* one, mostly the leader, is alone and asleep while the others go on */
    case 3:
        trace("alone and asleep: %s", n->name);
        for (unsigned i = 0; i < bag.n_nodes; i++) {
            bag.nodes[i].rate = chance(500) ? 1 : 3;
            if (i != n->slot)
                set_cut(n, &bag.nodes[i], true);
        }
        /* Or with a learner, if there is one. */
        if (bag.n_nodes > bag.n_voters && chance(600))
            for (unsigned i = 0; i < bag.n_nodes; i++)
                if (i != bag.n_nodes - 1)
                    set_cut(&bag.nodes[bag.n_nodes - 1], &bag.nodes[i], i != n->slot);
        n->rate = chance(800) ? 0 : 1;
        /* What was on its way to it comes, but late. */
        for (size_t i = 0; i < bag.n_msgs;)
            if (bag.msgs[i]->to == n->id && chance(800))
                put_late(take_msg(i));
            else
                i++;
        bag.calm_until = bag.step + bag.odds.calm / 2 + below(bag.odds.calm);
        break;
    case 4: /* asleep, but not cut off */
        trace("asleep: %s", n->name);
        n->rate = 0;
        break;
    case 5: /* one way only */
        if (n != m)
            bag.cut[n->slot][m->slot] = true;
        break;
    case 6: /* one pair */
        if (n != m)
            set_cut(n, m, true);
        break;
    default:
        n->rate = between(0, 3);
        break;
    }
}

/* ---- a run ---- */

static void draw_odds(void)
{
    static const unsigned sizes[20] = {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 4, 4, 2, 2, 1, 1, 3};
    struct odds *o = &bag.odds;

    bag.n_voters = sizes[below(20)];
    bag.n_nodes = bag.n_voters + (chance(250) && bag.n_voters < NODES_MAX ? 1 : 0);
    bag.rounds_max = between(1, 4);
    bag.cache_bytes_max = chance(500) ? 0 : 1u << 20;
    bag.append_bytes_max = chance(500) ? between(1, 40) : 1u << 16;
    bag.inflight_bytes_max = chance(300) ? between(1, 200) : 1u << 20;
    bag.links_told = chance(500);
    o->deliver = between(200, 500);
    o->tick = between(20, 60);
    o->ready = between(20, 150);
    o->store = between(10, 150);
    o->propose = between(5, 40);
    o->read = between(10, 50);
    o->drop = chance(500) ? 0 : between(1, 40);
    o->again = chance(300) ? 0 : between(1, 40);
    o->apply = between(5, 40);
    o->crash = chance(400) ? 0 : between(1, 6);
    o->restart = between(5, 30);
    o->link = chance(500) ? 0 : between(1, 10);
    o->transfer = chance(500) ? 0 : between(1, 8);
    o->nemesis = chance(200) ? 0 : between(3, 15);
    o->jump = chance(400) ? 0 : between(1, 8);
    o->piece = chance(300) ? 0 : between(1, 15);
    o->in_order = between(0, 4) * 240;
    o->late = chance(300) ? 0 : between(1, 100);
    o->late_comes = between(1, 60);
    o->leak = chance(300) ? 0 : between(1, 80);
    o->ready_at_once = between(1, 10) * 100;
    o->store_at_once = between(0, 10) * 100;
    o->apply_at_once = between(2, 10) * 100;
    o->append_lost = chance(700) ? 0 : between(1, 300);
    o->answers_late = chance(500) ? o->late : between(50, 400);
    o->tick_us = chance(700) ? HEARTBEAT_US : between(HEARTBEAT_US / 4, ELECTION_US);
    o->calm = between(1, 400);
    /* A third of the runs is about leaders that do not know that they are deposed, a third about
     * leaders that follow each other quickly and leave their logs behind. */
    switch (below(3)) {
    case 0:
        o->read = between(40, 80);
        o->nemesis = between(8, 15);
        o->crash = chance(700) ? 0 : 1;
        o->jump = 0;
        o->in_order = between(2, 4) * 240;
        o->late_comes = between(20, 60);
        o->answers_late = between(100, 500);
        o->tick_us = HEARTBEAT_US;
        o->calm = between(200, 600);
        o->ready_at_once = between(7, 10) * 100;
        o->store_at_once = between(5, 10) * 100;
        break;
    case 1:
        o->propose = between(20, 60);
        o->crash = between(2, 10);
        o->restart = between(20, 60);
        o->transfer = between(0, 8);
        o->in_order = between(2, 4) * 240;
        o->append_lost = between(200, 800);
        o->tick_us = between(HEARTBEAT_US, ELECTION_US);
        o->ready_at_once = between(5, 10) * 100;
        o->store = between(3, 50);
        o->store_at_once = chance(500) ? between(5, 10) * 100 : 0;
        bag.append_bytes_max = chance(700) ? 1 : bag.append_bytes_max;
        break;
    default:
        break;
    }
}

static void act(void)
{
    const struct {
        unsigned weight;
        void (*run)(void);
    } actions[] = {
        {bag.odds.deliver, act_deliver},   {bag.odds.tick, act_tick},
        {bag.odds.ready, act_ready},       {bag.odds.store, act_store},
        {bag.odds.propose, act_propose},   {bag.odds.read, act_read},
        {bag.odds.drop, act_drop},         {bag.odds.again, act_again},
        {bag.odds.apply, act_apply},       {bag.odds.crash, act_crash},
        {bag.odds.restart, act_restart},   {bag.odds.link, act_link},
        {bag.odds.transfer, act_transfer}, {bag.odds.nemesis, act_nemesis},
        {bag.odds.jump, act_jump},         {bag.odds.piece, act_piece},
    };
    size_t n = sizeof(actions) / sizeof(actions[0]);
    unsigned sum = 0;
    uint64_t at;

    for (size_t i = 0; i < n; i++)
        sum += actions[i].weight;
    at = below(sum);
    for (size_t i = 0; i < n; i++) {
        if (at < actions[i].weight) {
            actions[i].run();
            return;
        }
        at -= actions[i].weight;
    }
}

static void begin(uint64_t seed, bool with_trace)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;

    bag.seed = seed;
    bag.step = 0;
    bag.calm_until = 0;
    bag.phase = "start";
    bag.trace = with_trace;
    prng_init(&bag.prng, seed * 0x9e3779b97f4a7c15u + 1);
    draw_odds();
    memset(bag.cut, 0, sizeof(bag.cut));
    memset(bag.broken, 0, sizeof(bag.broken));
    memset(bag.leaders, 0, sizeof(bag.leaders));
    bag.next_ctx = 1;
    bag.next_value = 0;
    bag.n_agreed = 1;
    bag.agreed[1] = (struct agreed){.term = 1, .seen_in = 1};
    raft_configuration_init(&c);
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[i];

        memset(n, 0, sizeof(*n));
        (void)snprintf(n->name, sizeof(n->name), "n%u", i + 1);
        n->id = raft_node_id_of_name(n->name);
        n->slot = i;
        n->voter = i < bag.n_voters;
        n->rate = 1;
        n->now_us = chance(500) ? prng_next(&bag.prng) >> 2 : 0;
        rid_assert(raft_configuration_add(&c, n->name, n->voter ? RAFT_VOTER : RAFT_LEARNER,
                                          n->name, "") == 0);
    }
    rid_assert(raft_configuration_encode(&c, &bytes) == 0);
    trace("seed %" PRIu64 ": %u voters, %u nodes, %u rounds", seed, bag.n_voters, bag.n_nodes,
          bag.rounds_max);
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[i];

        sim_disk_init(&n->disk);
        sim_disk_put(&n->disk, 1, RAFT_ENTRY_CONFIG, bytes.data, bytes.len);
        n->disk.commit_index = 1;
        check_log_matching(n, 1);
    }
    for (unsigned i = 0; i < bag.n_nodes; i++)
        start(&bag.nodes[i]);
    /* Half of the runs need not wait for their first election. */
    if (chance(500))
        advance(&bag.nodes[0], 2 * ELECTION_US);
}

static void end(void)
{
    for (size_t i = 0; i < bag.n_msgs; i++)
        free(bag.msgs[i]);
    for (size_t i = 0; i < bag.n_late; i++)
        free(bag.late[i]);
    bag.n_msgs = bag.n_late = 0;
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[i];

        raft_free(n->raft);
        n->raft = NULL;
        for (size_t k = 0; k < n->n_held; k++)
            free(n->held[k].msg);
        free(n->held);
        sim_disk_done(&n->disk);
    }
}

/* ---- liveness ---- */

/* Everything that is due, delivered in order, until it is quiet or the bound is reached. */
static void settle(void)
{
    for (unsigned pass = 0; pass < 20; pass++) {
        size_t n = bag.n_msgs;

        for (unsigned i = 0; i < bag.n_nodes; i++) {
            take_ready(&bag.nodes[i]);
            while (bag.nodes[i].disk.first != NULL)
                store_one(&bag.nodes[i]);
            take_ready(&bag.nodes[i]);
            apply_all(&bag.nodes[i]);
        }
        for (; n > 0 && bag.n_msgs > 0; n--) {
            struct raft_msg *m = take_msg(0);

            give(m);
            free(m);
        }
        if (bag.n_msgs == 0 && pass > 2)
            break;
    }
}

static bool all_applied(raft_index index)
{
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].applied < index)
            return false;
    return true;
}

/* L1, L2: a leader, a write on every node, and a read, within 40 election timeouts of everybody's
 * time. Half of the runs tell the cores that their links are new; the others must repair silently
 * lost messages by themselves. */
static void check_liveness(void)
{
    raft_index written = 0;
    uint64_t confirmed = 0;
    bool asked = false;

    bag.phase = "healed";
    trace("heal for good");
    bag.odds.late = bag.odds.answers_late = bag.odds.append_lost = 0;
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].raft == NULL)
            start(&bag.nodes[i]);
    heal();
    if (chance(500))
        for (unsigned i = 0; i < bag.n_nodes; i++)
            for (unsigned j = i + 1; j < bag.n_nodes; j++) {
                tell_link(&bag.nodes[i], &bag.nodes[j], false);
                tell_link(&bag.nodes[i], &bag.nodes[j], true);
            }
    while (bag.n_late > 0) {
        struct raft_msg *m = bag.late[--bag.n_late];

        give(m);
        free(m);
    }
    for (unsigned t = 0; t < 40 * 2 * ELECTION_US / (HEARTBEAT_US / 2); t++) {
        struct node *n;

        bag.step++;
        for (unsigned i = 0; i < bag.n_nodes; i++)
            advance(&bag.nodes[i], HEARTBEAT_US / 2);
        settle();
        n = any_leader();
        if (n == NULL || !raft_can_serve(n->raft)) {
            written = 0;
            asked = false;
            continue;
        }
        if (written == 0 || bag.agreed[written].term != n->last_own.term) {
            struct raft_entry_id id;

            if (written != 0 && written > bag.n_agreed)
                continue;
            if (raft_propose(n->raft, RAFT_ENTRY_COMMAND, "end", 3, &id) == 0) {
                n->last_own = id;
                written = id.index;
            }
            continue;
        }
        if (!asked) {
            confirmed = bag.counts[N_READS_CONFIRMED];
            read_at(n);
            asked = true;
            continue;
        }
        if (all_applied(written) && bag.counts[N_READS_CONFIRMED] > confirmed)
            return;
    }
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct raft_status s;

        raft_get_status(bag.nodes[i].raft, &s);
        fprintf(stderr,
                "%s %s term=%" PRIu64 " commit=%" PRIu64 " applied=%" PRIu64 " last=%" PRIu64
                " stored=%" PRIu64 " reads=%u\n",
                bag.nodes[i].name, raft_role_name(s.role), s.current_term, s.commit_index,
                s.last_applied, s.last_index, s.last_stored, s.n_reads_pending);
    }
    fail("L1, L2 liveness", "written %" PRIu64 ", read %s", written, asked ? "asked" : "not asked");
}

static void run_seed(uint64_t seed, bool with_trace)
{
    begin(seed, with_trace);
    bag.phase = "disorder";
    for (bag.step = 1; bag.step <= steps_wanted; bag.step++)
        act();
    check_liveness();
    bag.counts[N_STEPS] += bag.step;
    end();
}

/* Runs that once ended with a false alarm or an error. They keep their meaning only until the next
 * change of the draws: what they show is written down as a transcript besides. */
static void run_regressions(void)
{
    static const struct {
        uint64_t seed;
        uint64_t steps;
    } known[] = {
        {7057644, 3000}, /* commit-overwritten-elsewhere.txt */
    };
    uint64_t steps = steps_wanted;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        steps_wanted = known[i].steps;
        run_seed(known[i].seed, false);
    }
    steps_wanted = steps;
}

static uint64_t number_or_die(const char *option, const char *text)
{
    char *end_of;
    uint64_t value;

    errno = 0;
    value = text != NULL ? strtoull(text, &end_of, 0) : 0;
    if (text == NULL || errno != 0 || end_of == text || *end_of != '\0') {
        fprintf(stderr, "bag: %s needs a number\n", option);
        exit(64);
    }
    return value;
}

int main(int argc, char **argv)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    uint64_t n_seeds = 250;
#else
    uint64_t n_seeds = 2000;
#endif
    uint64_t from = 1;
    bool with_trace = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            with_trace = true;
        } else if (strcmp(argv[i], "--seed") == 0) {
            from = number_or_die(argv[i], argv[i + 1]);
            n_seeds = 1;
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            n_seeds = number_or_die(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--from") == 0) {
            from = number_or_die(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--steps") == 0) {
            steps_wanted = number_or_die(argv[i], argv[i + 1]);
            i++;
        } else {
            fprintf(stderr, "usage: bag [--seed N] [--seeds N] [--from N] [--steps N] [--trace]\n");
            return 64;
        }
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* what was traced is there when a core aborts */
    printf("bag: seeds %" PRIu64 " to %" PRIu64 ", %" PRIu64 " steps each\n", from,
           from + n_seeds - 1, steps_wanted);
    rid_assert_set_context(assert_context, NULL);
    if (argc == 1)
        run_regressions();
    for (uint64_t i = 0; i < n_seeds; i++)
        run_seed(from + i, with_trace);
    printf("bag:");
    for (unsigned i = 0; i < N_COUNTS; i++)
        printf(" %s=%" PRIu64, count_names[i], bag.counts[i]);
    printf("\n");
    /* A test that never meets the rare cases proves nothing about them. */
    for (unsigned i = 0; n_seeds >= 200 && i < N_EXPECTED; i++)
        if (bag.counts[i] == 0) {
            fprintf(stderr, "bag: no %s in %" PRIu64 " seeds\n", count_names[i], n_seeds);
            return 1;
        }
    printf("[  PASSED  ] 1 test(s).\n");
    return 0;
}
