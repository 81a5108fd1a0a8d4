/* Changes of the members in every order: all sequences of elections, changes and replication among a few
 * cores, to a depth. raft__counterexample_* are three of them; here nobody had to think of them.
 *
 * A step is one of
 *   ELECT i S    a long silence for i and those of S, then i campaigns, and S alone hears it
 *   CHANGE i k   i, which leads, tries change k, forced (MEMBER-8 is about what is wise, not what is safe)
 *   SEND i j     i, which leads, and j talk until both have nothing to say; others hear nothing
 * and what is not delivered in its step is lost. A state that was reached before with as many steps
 * left is not gone on from. There is no copy of a core: each sequence is played from the beginning.
 *
 * After each step: one leader a term (VOTE-1); what is committed anywhere is the same everywhere
 * (COMMIT-1); a leader has at most one configuration that nobody has committed (MEMBER-1); any two
 * quorums of configurations that follow each other in a log have a server in common (MEMBER-2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/hash.h"
#include "raft/raft.h"

#include "base/banned.h"

#define NODES       5u
#define LOG_MAX     24u
#define NET_MAX     64u
#define DEPTH_MAX   10u
#define TERMS_MAX   64u
#define SEEN        (1u << 18)
#define ELECTION_US 100000u

struct entry {
    raft_term term;
    uint64_t hash; /* of it and all before it */
    bool is_config;
    unsigned voters; /* bits by node */
};

struct node {
    struct raft *raft;
    uint64_t now_us;
    struct entry log[LOG_MAX];
    unsigned n;
};

struct letter {
    struct raft_msg m;
    struct raft_entry *entries; /* with their bytes; owned */
};

enum what { ELECT, CHANGE, SEND };
struct step {
    enum what what;
    unsigned i;
    unsigned arg; /* ELECT: S, bits; CHANGE: which; SEND: j */
};

#define CHANGES_MAX 4u
#define STEPS_MAX   160u

struct search {
    unsigned founders; /* bits */
    unsigned leaders;  /* who may campaign */
    struct {
        unsigned come, go;
    } changes[CHANGES_MAX]; /* of voters, bits; what is so already is no change, and none either */
    unsigned n_changes;
    unsigned depth;
    struct step steps[STEPS_MAX]; /* all that there are */
    unsigned n_steps;
};

static struct node nodes[NODES];
static unsigned n_nodes;
static struct letter net[NET_MAX];
static unsigned n_net;
static unsigned leaders[TERMS_MAX];
static struct step path[DEPTH_MAX];
static unsigned n_path;
static struct {
    uint64_t hash;
    unsigned depth; /* steps left */
} seen[SEEN];
static struct {
    uint64_t states, transitions, elected, changed, refused, committed;
} counts;

static raft_node_id id_of(unsigned i)
{
    return i + 1;
}

static unsigned bit(unsigned i)
{
    return 1u << i;
}

static const char *context(void)
{
    static char text[DEPTH_MAX * 32];
    size_t at = 0;

    text[0] = '\0';
    for (unsigned k = 0; k < n_path; k++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, " %s(%u,%u)",
                               path[k].what == ELECT    ? "elect"
                               : path[k].what == CHANGE ? "change"
                                                        : "send",
                               path[k].i + 1, path[k].what == SEND ? path[k].arg + 1 : path[k].arg);
    return text;
}

static void assert_context(void *ctx, char *buf, size_t size)
{
    (void)ctx;
    (void)snprintf(buf, size, "%s", context());
}

/* ---- configurations ---- */

static void configuration(unsigned voters, struct raft_configuration *c)
{
    static const char *const names[NODES] = {"n1", "n2", "n3", "n4", "n5"};

    raft_configuration_init(c);
    for (unsigned i = 0; i < NODES; i++)
        if ((voters & bit(i)) != 0)
            rid_assert(raft_configuration_add(c, id_of(i), names[i], RAFT_VOTER, "", "") == 0);
}

static unsigned voters_of(const struct raft_configuration *c)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].role == RAFT_VOTER)
            bits |= bit((unsigned)c->servers[i].id - 1);
    return bits;
}

static unsigned count(unsigned bits)
{
    return (unsigned)__builtin_popcount(bits);
}

static bool quorums_meet(unsigned a, unsigned b)
{
    for (unsigned x = 1; x < bit(NODES); x++)
        for (unsigned y = 1; y < bit(NODES); y++)
            if ((x & ~a) == 0 && 2 * count(x) > count(a) && (y & ~b) == 0 &&
                2 * count(y) > count(b) && (x & y) == 0)
                return false;
    return true;
}

/* ---- cores, disks that are never late, and a net ---- */

static int read_nothing(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                        struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                        unsigned *ret_n)
{
    (void)ctx;
    (void)from;
    (void)to;
    (void)bytes_max;
    (void)arena;
    (void)ret_entries;
    (void)n_max;
    (void)ret_n;
    return RAFT_LOG_E_LATER;
}

static void put(struct node *n, const struct raft_entry *e)
{
    static struct raft_configuration c;
    struct entry *to = &n->log[e->id.index - 1];

    rid_assert(e->id.index <= LOG_MAX);
    to->term = e->id.term;
    to->is_config = e->type == RAFT_ENTRY_CONFIG;
    to->voters = 0;
    if (to->is_config) {
        rid_assert(raft_configuration_decode(e->data, e->len, &c) == 0);
        to->voters = voters_of(&c);
    }
    to->hash = hash_mix64((e->id.index > 1 ? to[-1].hash : 1) ^ (e->id.term << 32) ^
                          ((uint64_t)e->type << 16) ^ to->voters);
    n->n = (unsigned)e->id.index;
}

static void forget(struct letter *l)
{
    free(l->entries);
    *l = net[--n_net];
}

static void post(const struct raft_msg *m)
{
    struct letter *l = &net[n_net];
    size_t bytes = 0;
    unsigned char *p;

    if (m->to > n_nodes)
        return;
    rid_assert(n_net < NET_MAX);
    for (unsigned k = 0; k < m->n_entries; k++)
        bytes += sizeof(struct raft_entry) + m->entries[k].len;
    *l = (struct letter){.m = *m, .entries = bytes > 0 ? malloc(bytes) : NULL};
    rid_assert(bytes == 0 || l->entries != NULL);
    l->m.entries = l->entries;
    p = (unsigned char *)(l->entries + m->n_entries);
    for (unsigned k = 0; k < m->n_entries; k++) {
        l->entries[k] = m->entries[k];
        if (m->entries[k].len == 0)
            continue;
        memcpy(p, m->entries[k].data, m->entries[k].len);
        l->entries[k].data = p;
        p += m->entries[k].len;
    }
    n_net++;
}

static void turn(unsigned i)
{
    struct node *n = &nodes[i];
    struct raft_ready rd;
    bool more;

    do {
        raft_ready(n->raft, n->now_us, &rd);
        more = rd.batch != 0 || rd.n_committed > 0;
        if (rd.truncate_from != 0)
            n->n = (unsigned)rd.truncate_from - 1;
        for (unsigned k = 0; k < rd.n_entries; k++)
            put(n, &rd.entries[k]);
        for (unsigned k = 0; k < rd.n_msgs; k++)
            post(&rd.msgs[k]);
        for (unsigned k = 0; k < rd.n_msgs_after_store; k++)
            post(&rd.msgs_after_store[k]);
        if (rd.n_committed > 0)
            raft_applied(n->raft, rd.committed[rd.n_committed - 1].id.index);
        if (rd.batch != 0)
            raft_stored(n->raft, rd.batch, n->now_us);
    } while (more);
}

static bool is_vote(enum raft_msg_type type)
{
    return type == RAFT_MSG_PRE_VOTE || type == RAFT_MSG_PRE_VOTE_RESP || type == RAFT_MSG_VOTE ||
           type == RAFT_MSG_VOTE_RESP;
}

/* Everything between i and those of `others`, until there is nothing left; the rest is lost. */
static void talk(unsigned i, unsigned others, bool votes)
{
    turn(i);
    for (unsigned rounds = 0; n_net > 0; rounds++) {
        struct letter l = net[0];
        const unsigned from = (unsigned)l.m.from - 1;
        const unsigned to = (unsigned)l.m.to - 1;

        rid_assert(rounds < 1000);
        memmove(&net[0], &net[1], --n_net * sizeof(net[0]));
        if (((from == i && (others & bit(to)) != 0) || (to == i && (others & bit(from)) != 0)) &&
            (!votes || is_vote(l.m.type))) {
            (void)raft_step(nodes[to].raft, &l.m, nodes[to].now_us);
            turn(to);
        }
        free(l.entries);
    }
}

static void start(unsigned founders)
{
    static struct raft_config_at config;
    const struct raft_term_range terms = {.term = 1, .first = 1};
    const struct raft_start st = {.hard_state = {.current_term = 1},
                                  .last_index = 1,
                                  .commit_index = 1,
                                  .last_applied = 1,
                                  .terms = &terms,
                                  .n_terms = 1,
                                  .configs = &config,
                                  .n_configs = 1};

    config.index = 1;
    configuration(founders, &config.configuration);
    memset(leaders, 0, sizeof(leaders));
    for (unsigned i = 0; i < n_nodes; i++) {
        struct node *n = &nodes[i];
        struct raft_conf conf;

        raft_conf_init(&conf);
        conf.id = id_of(i);
        conf.seed = i + 1;
        conf.election_timeout_us = ELECTION_US;
        conf.heartbeat_us = ELECTION_US / 10;
        conf.log_reader.read = read_nothing;
        n->now_us = 0;
        n->n = 1;
        n->log[0] = (struct entry){.term = 1, .hash = 1, .is_config = true, .voters = founders};
        rid_assert(raft_new(&conf, &st, 0, &n->raft) == 0);
    }
}

static void end(void)
{
    while (n_net > 0)
        forget(&net[0]);
    for (unsigned i = 0; i < n_nodes; i++)
        raft_free(nodes[i].raft);
}

/* ---- steps ---- */

static bool leads(unsigned i)
{
    return raft_get_role(nodes[i].raft) == RAFT_LEADER;
}

/* It was heard of a term that is as high as its own, perhaps: then it needs another try. */
static void elect(unsigned i, unsigned others)
{
    for (unsigned k = 0; k < n_nodes; k++)
        if (k == i || (others & bit(k)) != 0) {
            nodes[k].now_us += 3 * ELECTION_US;
            if (k != i && leads(k))
                raft_tick(nodes[k].raft, nodes[k].now_us); /* it hears nobody either */
        }
    for (unsigned k = 0; k < 4 && !leads(i); k++) {
        nodes[i].now_us += 2 * ELECTION_US;
        raft_tick(nodes[i].raft, nodes[i].now_us);
        talk(i, others, true);
    }
}

/* Of an earlier time it believes what it sent to be under way. */
static void send(unsigned i, unsigned j)
{
    raft_link(nodes[i].raft, id_of(j), false, nodes[i].now_us);
    raft_link(nodes[i].raft, id_of(j), true, nodes[i].now_us);
    talk(i, bit(j), false);
}

static void change(unsigned i, unsigned voters)
{
    static struct raft_configuration c;
    struct raft_entry_id id;
    int rc;

    configuration(voters, &c);
    rc = raft_configure(nodes[i].raft, &c, raft_get_configuration_index(nodes[i].raft), true, &id);
    if (rc == 0)
        counts.changed++;
    else
        counts.refused++;
    talk(i, 0, false);
}

/* ---- what must hold ---- */

static void wrong(const char *rule, unsigned i, unsigned j)
{
    fail_msg("%s: n%u, n%u after%s", rule, i + 1, j + 1, context());
}

static raft_index commit_of(unsigned i)
{
    return raft_get_commit_index(nodes[i].raft);
}

static void check_configs(unsigned i, raft_index committed)
{
    const struct node *n = &nodes[i];
    unsigned before = 0;
    unsigned open = 0;

    for (unsigned k = 0; k < n->n; k++) {
        if (!n->log[k].is_config)
            continue;
        if (before != 0 &&
            (count(before ^ n->log[k].voters) > 1 || !quorums_meet(before, n->log[k].voters)))
            wrong("MEMBER-2", i, i);
        before = n->log[k].voters;
        open += k + 1 > committed;
    }
    if (leads(i) && open > 1)
        wrong("MEMBER-1", i, i);
    if (voters_of(raft_get_configuration(n->raft)) != before)
        wrong("MEMBER-4", i, i);
}

static void check_all(void)
{
    raft_index committed = 0;

    for (unsigned i = 0; i < n_nodes; i++) {
        raft_check(nodes[i].raft);
        committed = commit_of(i) > committed ? commit_of(i) : committed;
        if (leads(i)) {
            const raft_term term = raft_get_term(nodes[i].raft);

            rid_assert(term < TERMS_MAX);
            if (leaders[term] != 0 && leaders[term] != i + 1)
                wrong("VOTE-1", i, leaders[term] - 1);
            leaders[term] = i + 1;
        }
    }
    counts.committed = committed > counts.committed ? committed : counts.committed;
    for (unsigned i = 0; i < n_nodes; i++) {
        check_configs(i, committed);
        for (unsigned j = 0; j < i; j++) {
            const raft_index both = commit_of(i) < commit_of(j) ? commit_of(i) : commit_of(j);

            if (both > nodes[i].n || both > nodes[j].n ||
                nodes[i].log[both - 1].hash != nodes[j].log[both - 1].hash)
                wrong("COMMIT-1", i, j);
        }
    }
}

/* ---- the search ---- */

static uint64_t hash_of_state(void)
{
    uint64_t h = 7;

    for (unsigned i = 0; i < n_nodes; i++) {
        struct raft_status s;

        raft_get_status(nodes[i].raft, &s);
        h = hash_mix64(h ^ s.current_term << 8 ^ s.voted_for << 4 ^
                       (uint64_t)(s.role == RAFT_LEADER));
        h = hash_mix64(h ^ s.commit_index << 16 ^ s.leader_id << 8 ^ nodes[i].n);
        h = hash_mix64(h ^ nodes[i].log[nodes[i].n - 1].hash);
    }
    return h | 1; /* 0: a free place */
}

static bool is_new(uint64_t hash, unsigned left)
{
    for (uint64_t at = hash;; at++) {
        if (seen[at % SEEN].hash == 0) {
            rid_assert(counts.states < SEEN / 2);
            counts.states++;
            seen[at % SEEN].hash = hash;
            seen[at % SEEN].depth = left;
            return true;
        }
        if (seen[at % SEEN].hash != hash)
            continue;
        if (seen[at % SEEN].depth >= left)
            return false;
        seen[at % SEEN].depth = left;
        return true;
    }
}

static void perform(const struct search *s, const struct step *step)
{
    const unsigned in_force = voters_of(raft_get_configuration(nodes[step->i].raft));
    const bool led = leads(step->i);
    unsigned to;

    switch (step->what) {
    case ELECT:
        elect(step->i, step->arg);
        counts.elected += leads(step->i) && !led;
        break;
    case CHANGE:
        to = (in_force | s->changes[step->arg].come) & ~s->changes[step->arg].go;
        if (led && to != in_force && to != 0)
            change(step->i, to);
        break;
    case SEND:
        if (led)
            send(step->i, step->arg);
        break;
    }
    check_all();
}

/* n1 leads, and all founders have its no-op. */
static void play(const struct search *s)
{
    const unsigned n = n_path;

    start(s->founders);
    n_path = 0;
    elect(0, s->founders & ~1u);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned j = 1; j < n_nodes; j++)
            send(0, j);
    check_all();
    for (; n_path < n; n_path++)
        perform(s, &path[n_path]);
}

/* A leader does not campaign; nobody else changes or sends. */
static bool is_idle(const struct step *step, unsigned leading)
{
    return (step->what == ELECT) == ((leading & bit(step->i)) != 0);
}

static void explore(const struct search *s)
{
    const unsigned at = n_path;
    unsigned leading = 0;

    for (unsigned i = 0; i < n_nodes; i++)
        leading |= leads(i) ? bit(i) : 0;
    end();
    for (unsigned k = 0; at < s->depth && k < s->n_steps; k++) {
        if (is_idle(&s->steps[k], leading))
            continue;
        path[at] = s->steps[k];
        n_path = at + 1;
        play(s);
        counts.transitions++;
        if (is_new(hash_of_state(), s->depth - n_path))
            explore(s);
        else
            end();
        n_path = at;
    }
}

static void add_step(struct search *s, enum what what, unsigned i, unsigned arg)
{
    assert_true(s->n_steps < STEPS_MAX);
    s->steps[s->n_steps++] = (struct step){.what = what, .i = i, .arg = arg};
}

static void fill_steps(struct search *s)
{
    s->n_steps = 0;
    for (unsigned i = 0; i < n_nodes; i++) {
        if ((s->leaders & bit(i)) == 0)
            continue;
        for (unsigned k = 0; k < s->n_changes; k++)
            add_step(s, CHANGE, i, k);
        for (unsigned j = 0; j < n_nodes; j++)
            if (j != i)
                add_step(s, SEND, i, j);
        for (unsigned others = 1; others < bit(n_nodes); others++)
            if ((others & bit(i)) == 0)
                add_step(s, ELECT, i, others);
    }
}

/* RAFT_DEPTH: so many steps more, or with a minus less. */
static void search(struct search *s, unsigned n)
{
    const char *more = getenv("RAFT_DEPTH");

    n_nodes = n;
    n_path = 0;
#ifdef RIDD_SLOW_BUILD
    s->depth--; /* a tenth of the time */
#endif
    s->depth += more != NULL ? (unsigned)strtol(more, NULL, 10) : 0;
    assert_true(s->depth <= DEPTH_MAX);
    fill_steps(s);
    memset(seen, 0, sizeof(seen));
    memset(&counts, 0, sizeof(counts));
    rid_assert_set_context(assert_context, NULL);
    play(s);
    assert_true(leads(0));
    assert_int_equal(commit_of(0), 2);
    (void)is_new(hash_of_state(), s->depth);
    explore(s);
    rid_assert_set_context(NULL, NULL);
    print_message(
        "%u nodes, %u steps deep: %llu states by %llu transitions; elected %llu, changed %llu, "
        "refused %llu, committed %llu\n",
        n, s->depth, (unsigned long long)counts.states, (unsigned long long)counts.transitions,
        (unsigned long long)counts.elected, (unsigned long long)counts.changed,
        (unsigned long long)counts.refused, (unsigned long long)counts.committed);
    assert_true(counts.elected > 0);
    assert_true(counts.changed > 0);
    assert_true(counts.refused > 0);
    assert_true(counts.committed > 3); /* beyond the no-op of the first */
}

/* Of four each of two leaders would have the other out, or two at once. */
static void raft__interleavings_of_two_removals(void **state)
{
    static struct search s = {.founders = 15,
                              .leaders = 3,
                              .changes = {{0, 1}, {0, 2}, {0, 12}},
                              .n_changes = 3,
                              .depth = 6};

    (void)state;
    search(&s, 4);
}

/* Of four one goes, and a fifth comes, or would for another. */
static void raft__interleavings_of_one_that_comes_and_one_that_goes(void **state)
{
    static struct search s = {.founders = 15,
                              .leaders = 3,
                              .changes = {{16, 0}, {0, 1}, {16, 8}},
                              .n_changes = 3,
                              .depth = 6};

    (void)state;
    search(&s, 5);
}

/* Three, each of which may lead; one goes and comes back. */
static void raft__interleavings_of_one_that_goes_and_comes_back(void **state)
{
    static struct search s = {
        .founders = 7, .leaders = 7, .changes = {{0, 4}, {4, 0}}, .n_changes = 2, .depth = 6};

    (void)state;
    search(&s, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raft__interleavings_of_two_removals),
        cmocka_unit_test(raft__interleavings_of_one_that_comes_and_one_that_goes),
        cmocka_unit_test(raft__interleavings_of_one_that_goes_and_comes_back),
    };

    return cmocka_run_group_tests_name("raft interleavings", tests, NULL, NULL);
}
