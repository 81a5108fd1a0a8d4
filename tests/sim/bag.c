/* The bag test: some real cores, and a bag of messages from which any may be taken in any order,
 * twice, late, or never.
 *
 * A seed decides everything: how many nodes, how kind the network, how slow the disks, and then one
 * action per step: deliver, lose, repeat or keep back a message; let time pass, more of it on some
 * nodes than on others; take a ready; complete a batch; propose; read; hand leadership over; crash;
 * restart; break links; cut nodes off. There is more disorder than TCP and a working host would
 * allow, and never more than Raft promises to survive. After each step every rule of
 * docs/RULES.md that can be seen from outside is checked; each has a function in bag-rules.c.
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
#include <stdlib.h>

#include "base/assert.h"
#include "sim/bag.h"

#include "base/banned.h"

static const char *const count_names[N_COUNTS] = {
    "steps",       "delivered",      "elections",  "committed",   "reads",     "confirmed",
    "failed",      "by_old_leaders", "losses",     "truncations", "transfers", "crashes",
    "cuts",        "read_from_disk", "read_later", "bases",       "unfit",     "unfit_leaders",
    "handed_over", "rewinds",        "forged",     "climbed",     "changes",   "overwritten",
};

/* ---- a run ---- */

/* A log that other leaders wrote, the same on every disk up to `committed`; behind it each disk has
 * more or less of what the last of them sent. In one seed of three, and then the logs begin behind
 * a base: one for all, or each its own. Nobody lacks what another has compacted, so liveness is owed
 * as ever. Drawn apart from the other dice, which fall as they did before there were bases. */
static void write_history(struct prng *prng)
{
    raft_index committed = 2 + prng_below(prng, 20);
    raft_index same_base = 1 + prng_below(prng, committed);
    bool same = prng_below(prng, 2) == 0;
    raft_term terms[32] = {0, 1};

    for (raft_index i = 2; i < 32; i++)
        terms[i] = i <= committed ? terms[i - 1] + prng_below(prng, 3) / 2 : terms[committed];
    for (raft_index i = 2; i <= committed; i++)
        bag.agreed[i] = (struct agreed){
            .term = terms[i], .seen_in = terms[committed], .voters = (1u << bag.n_voters) - 1};
    bag.n_agreed = committed;
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct sim_disk *d = &bag.nodes[i].disk;
        raft_index last = committed + prng_below(prng, 4);

        for (raft_index k = 2; k <= last; k++)
            sim_disk_put(d, terms[k], RAFT_ENTRY_COMMAND, &k, sizeof(k));
        d->commit_index = committed;
        sim_disk_compact(d, same ? same_base : 1 + prng_below(prng, committed));
        bag.counts[N_BASES]++;
    }
}

/* In one seed of eight somebody invents terms, and the step is small, so that it matters. Drawn
 * apart, too. */
static void draw_forgery(uint64_t seed)
{
    struct prng prng;

    prng_init(&prng, seed * 0x9e3779b97f4a7c15u + 3);
    bag.odds.forge = prng_below(&prng, 8) == 0 ? 1 + (unsigned)prng_below(&prng, 15) : 0;
    bag.term_step = bag.odds.forge > 0 ? 4 + prng_below(&prng, 8) : RAFT_TERM_STEP_MAX;
}

/* In one seed of four the voters change; then all stay fit, for whoever is a voter at the end must be
 * able to lead. Drawn apart, too. */
static void draw_changes(uint64_t seed)
{
    struct prng prng;

    prng_init(&prng, seed * 0x9e3779b97f4a7c15u + 4);
    bag.odds.change = prng_below(&prng, 4) == 0 ? 2 + (unsigned)prng_below(&prng, 20) : 0;
    if (bag.odds.change > 0)
        bag.odds.fitness = 0;
}

static void begin(uint64_t seed, bool with_trace)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_configuration c;
    struct prng history;

    bag.seed = seed;
    bag.step = 0;
    bag.calm_until = 0;
    bag.phase = "start";
    bag.trace = with_trace;
    prng_init(&bag.prng, seed * 0x9e3779b97f4a7c15u + 1);
    bag_draw_odds();
    memset(bag.cut, 0, sizeof(bag.cut));
    memset(bag.broken, 0, sizeof(bag.broken));
    memset(bag.leaders, 0, sizeof(bag.leaders));
    bag.next_ctx = 1;
    bag.next_value = 0;
    bag.n_agreed = 1;
    bag.agreed[1] = (struct agreed){.term = 1, .seen_in = 1, .voters = (1u << bag.n_voters) - 1};
    raft_configuration_init(&c);
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[i];

        memset(n, 0, sizeof(*n));
        (void)snprintf(n->name, sizeof(n->name), "n%u", i + 1);
        n->id = raft_founder_id(n->name);
        n->slot = i;
        n->rate = 1;
        n->now_us = bag_chance(500) ? prng_next(&bag.prng) >> 2 : 0;
        rid_assert(raft_configuration_add(&c, raft_founder_id(n->name), n->name,
                                          i < bag.n_voters ? RAFT_VOTER : RAFT_LEARNER, n->name,
                                          "") == 0);
    }
    rid_assert(raft_configuration_encode(&c, &bytes) == 0);
    bag_trace("seed %" PRIu64 ": %u voters, %u nodes, %u rounds", seed, bag.n_voters, bag.n_nodes,
              bag.rounds_max);
    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[i];

        sim_disk_init(&n->disk);
        sim_disk_put(&n->disk, 1, RAFT_ENTRY_CONFIG, bytes.data, bytes.len);
        n->disk.commit_index = 1;
    }
    draw_forgery(seed);
    prng_init(&history, seed * 0x9e3779b97f4a7c15u + 2);
    if (prng_below(&history, 3) == 0)
        write_history(&history);
    /* In every other seed states are lost while their nodes run; drawn apart, too. */
    bag.odds.fitness = bag.odds.rewind = 0;
    if (prng_below(&history, 2) == 0) {
        bag.odds.fitness = 1 + (unsigned)prng_below(&history, 12);
        bag.odds.rewind = 1 + (unsigned)prng_below(&history, 6);
    }
    draw_changes(seed);
    /* In every other seed old entries are read by somebody else, who takes his time. */
    bag.odds.later = prng_below(&history, 2) == 0 ? 200 + (unsigned)prng_below(&history, 700) : 0;
    bag.odds.slow_sync_us = prng_below(&history, 6) == 0
                                ? ELECTION_US / 10 * (6 + (unsigned)prng_below(&history, 10))
                                : 0;
    bag.odds.loaded = bag.odds.later > 0 ? 3 + (unsigned)prng_below(&history, 40) : 0;
    for (unsigned i = 0; i < bag.n_nodes; i++)
        bag_check_log_matching(&bag.nodes[i], 1);
    for (unsigned i = 0; i < bag.n_nodes; i++)
        bag_start(&bag.nodes[i]);
    /* Half of the runs need not wait for their first election. */
    if (bag_chance(500))
        bag_advance(&bag.nodes[0], 2 * ELECTION_US);
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

/* A disk writes what is queued, and takes its time for it, whatever it is. */
static void work_disk(struct node *n)
{
    if (bag.odds.slow_sync_us == 0) {
        while (n->disk.first != NULL)
            bag_store_one(n);
        return;
    }
    if (n->n_syncing > 0 && n->now_us >= n->sync_due_us)
        for (; n->n_syncing > 0; n->n_syncing--)
            bag_store_one(n);
    if (n->n_syncing == 0 && n->disk.n_batches > 0) {
        n->n_syncing = n->disk.n_batches;
        n->sync_due_us = n->now_us + bag.odds.slow_sync_us;
    }
}

/* Everything that is due, delivered in order, until it is quiet or the bound is reached. */
static void settle(void)
{
    for (unsigned pass = 0; pass < 20; pass++) {
        size_t n = bag.n_msgs;

        for (unsigned i = 0; i < bag.n_nodes; i++) {
            bag_log_loaded(&bag.nodes[i]);
            bag_take_ready(&bag.nodes[i]);
            work_disk(&bag.nodes[i]);
            bag_take_ready(&bag.nodes[i]);
            bag_apply_all(&bag.nodes[i]);
        }
        for (; n > 0 && bag.n_msgs > 0; n--) {
            struct raft_msg *m = bag_take_msg(0);

            bag_give(m);
            free(m);
        }
        if (bag.n_msgs == 0 && pass > 2)
            break;
    }
}

/* But for those that forged messages brought too far above the leader, who are shut out (TERM-4).
 */
static bool all_applied(raft_index index, raft_term leader_term)
{
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].applied < index &&
            raft_get_term(bag.nodes[i].raft) <= leader_term + bag.term_step)
            return false;
    return true;
}

/* One voter at least is fit or parked at the end: that is all that progress needs (FIT-3). The others stay
 * what they are. */
static void end_unfitness(void)
{
    bool found = bag.odds.fitness == 0;

    for (unsigned i = 0; i < bag.n_voters; i++)
        found |= raft_get_fitness(bag.nodes[i].raft) != RAFT_UNFIT;
    if (!found) {
        struct node *n = &bag.nodes[bag_below(bag.n_voters)];

        raft_set_fitness(n->raft, bag_chance(500) ? RAFT_FIT : RAFT_PARKED, n->now_us);
        bag_look(n);
    }
}

/* LIVE-1, LIVE-2: a leader, a write on every node, and a read, within 40 election timeouts of everybody's
 * time; three times that where a sync takes up to 1.5 of them (VOTE-9). Half of the runs tell the cores that their links are new; the others must repair silently
 * lost messages by themselves. */
static void check_liveness(void)
{
    raft_index written = 0;
    uint64_t confirmed = 0;
    bool asked = false;

    bag.phase = "healed";
    bag_trace("heal for good");
    bag.odds.late = bag.odds.answers_late = bag.odds.append_lost = 0;
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].raft == NULL)
            bag_start(&bag.nodes[i]);
    bag_heal();
    end_unfitness();
    if (bag_chance(500))
        for (unsigned i = 0; i < bag.n_nodes; i++)
            for (unsigned j = i + 1; j < bag.n_nodes; j++) {
                bag_tell_link(&bag.nodes[i], &bag.nodes[j], false);
                bag_tell_link(&bag.nodes[i], &bag.nodes[j], true);
            }
    while (bag.n_late > 0) {
        struct raft_msg *m = bag.late[--bag.n_late];

        bag_give(m);
        free(m);
    }
    for (unsigned t = 0;
         t < (bag.odds.slow_sync_us > 0 ? 120u : 40u) * 2 * ELECTION_US / (HEARTBEAT_US / 2); t++) {
        struct node *n;

        bag.step++;
        for (unsigned i = 0; i < bag.n_nodes; i++)
            bag_advance(&bag.nodes[i], HEARTBEAT_US / 2);
        settle();
        n = bag_any_leader();
        if (n == NULL || !raft_can_serve(n->raft)) {
            written = 0;
            asked = false;
            continue;
        }
        if (written == 0 || bag.agreed[written].term != n->last_own.term) {
            struct raft_entry_id id;

            /* What a leader took that was deposed all the while need never be committed. */
            if (written > bag.n_agreed && n->last_own.index == written &&
                raft_term_at(n->raft, written) == n->last_own.term)
                continue;
            if (raft_propose(n->raft, RAFT_ENTRY_COMMAND, "end", 3, &id) == 0) {
                n->last_own = id;
                written = id.index;
                asked = false; /* of an earlier leader, perhaps */
            }
            continue;
        }
        if (!asked) {
            confirmed = bag.counts[N_READS_CONFIRMED];
            bag_read_at(n);
            asked = true;
            continue;
        }
        if (all_applied(written, raft_get_term(n->raft)) &&
            bag.counts[N_READS_CONFIRMED] > confirmed)
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
    bag_fail("LIVE-1, LIVE-2 liveness", "written %" PRIu64 ", read %s", written,
             asked ? "asked" : "not asked");
}

static void run_seed(uint64_t seed, bool with_trace)
{
    begin(seed, with_trace);
    bag.phase = "disorder";
    for (bag.step = 1; bag.step <= bag.steps_wanted; bag.step++)
        bag_act();
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
    uint64_t steps = bag.steps_wanted;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        bag.steps_wanted = known[i].steps;
        run_seed(known[i].seed, false);
    }
    bag.steps_wanted = steps;
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
#ifdef RIDD_SLOW_BUILD
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
            bag.steps_wanted = number_or_die(argv[i], argv[i + 1]);
            i++;
        } else {
            fprintf(stderr, "usage: bag [--seed N] [--seeds N] [--from N] [--steps N] [--trace]\n");
            return 64;
        }
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* what was traced is there when a core aborts */
    printf("bag: seeds %" PRIu64 " to %" PRIu64 ", %" PRIu64 " steps each\n", from,
           from + n_seeds - 1, bag.steps_wanted);
    rid_assert_set_context(bag_assert_context, NULL);
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
