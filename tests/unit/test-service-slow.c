/* SEE-3: what was slow, and why. The stage that took the most is named, and what held that up, if it
 * is known; what did not hold it up is never named, whatever else was slow at that time. */
#include "test-service-util.h"

#include "replica/replica_int.h"

#define HASH    "00c0ffee00c0ffee"
#define SLOW_US 100000u

/* Above SLOW_US is slow. */
static void begin(struct host *h, int n)
{
    host_init(h, n, HASH);
    for (int i = 0; i < n; i++)
        service_set_slow(h->services[i], SLOW_US);
}

static int open_leader(struct host *h, struct conn *c, int n)
{
    int leader;

    begin(h, n);
    leader = fx_elect(&h->fx);
    conn_open(c, h, leader);
    fx_settle(&h->fx);
    return leader;
}

static json_int_t int_of(const json_t *root, const char *name)
{
    const json_t *v = json_object_get(root, name);

    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

/* The reply to `slow` of the node that c is connected with. The caller decrefs. */
static json_t *ask_slow(struct host *h, struct conn *c)
{
    json_t *root = ask(h, c, "{\"type\":\"slow\",\"msg_id\":9}");

    assert_string_equal(str_of(root, "type"), "slow_ok");
    assert_int_equal(int_of(root, "in_reply_to"), 9);
    assert_int_equal(int_of(root, "threshold_us"), SLOW_US);
    return root;
}

/* Its last slow operation; its stages add up, and the one that is named is the longest. */
static const json_t *last_slow(const json_t *root)
{
    static const char *const stages[] = {"queue", "quorum", "apply", "execute"};
    const json_t *list = json_object_get(root, "slow");
    const json_t *op;
    json_int_t sum = 0;
    json_int_t most = 0;

    assert_true(json_array_size(list) > 0);
    op = json_array_get(list, json_array_size(list) - 1);
    for (unsigned i = 0; i < 4; i++) {
        char name[32];
        json_int_t us;

        (void)snprintf(name, sizeof(name), "%s_us", stages[i]);
        us = int_of(op, name);
        sum += us;
        if (us > most)
            most = us;
        if (strcmp(stages[i], str_of(op, "stage")) == 0)
            assert_true(us > 0);
    }
    assert_int_equal(sum, int_of(op, "total_us"));
    for (unsigned i = 0; i < 4; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "%s_us", stages[i]);
        if (strcmp(stages[i], str_of(op, "stage")) == 0)
            assert_int_equal(int_of(op, name), most);
    }
    return op;
}

static void expect_slow(struct host *h, struct conn *c, const char *op, const char *stage,
                        const char *peer, const char *why, const char *result)
{
    json_t *root = ask_slow(h, c);
    const json_t *last = last_slow(root);

    assert_string_equal(str_of(last, "op"), op);
    assert_string_equal(str_of(last, "stage"), stage);
    assert_string_equal(str_of(last, "why"), why);
    assert_string_equal(str_of(last, "peer"), peer);
    assert_string_equal(str_of(last, "result"), result);
    json_decref(root);
}

/* The reply to what was said before is there, of this type. */
static void expect_reply(struct conn *c, const char *type)
{
    cleanup_free char *got = take(c);

    assert_non_null(got);
    if (strstr(got, type) == NULL)
        fail_msg("%s is no %s", got, type);
}

#define WRITE "{\"type\":\"write\",\"msg_id\":1,\"key\":\"secret-key\",\"value\":\"secret-value\"}"
#define READ  "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"secret-key\"}"

static const char *name_of(int node)
{
    static const char *const names[] = {"n1", "n2", "n3"};

    return names[node];
}

/* ---- what is not slow ---- */

static const json_t *steps_of(const json_t *root, const char *op)
{
    const json_t *list = json_object_get(root, "last");
    const json_t *last;
    size_t i;

    json_array_foreach(list, i, last)
    {
        if (strcmp(str_of(last, "op"), op) == 0)
            return json_object_get(last, "steps");
    }
    fail_msg("no %s", op);
    return NULL;
}

/* "arrived round_sent acknowledged:n2 quorum applied replied", in the order of their times. */
static void expect_steps(const json_t *root, const char *op, const char *want)
{
    const json_t *steps = steps_of(root, op);
    json_int_t at_us = 0;
    char got[256] = "";
    const json_t *step;
    size_t len = 0;
    size_t i;

    json_array_foreach(steps, i, step)
    {
        const char *peer = json_string_value(json_object_get(step, "peer"));

        assert_true(int_of(step, "at_us") >= at_us);
        at_us = int_of(step, "at_us");
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%s%s%s", i > 0 ? " " : "",
                                str_of(step, "what"), peer != NULL ? ":" : "",
                                peer != NULL ? peer : "");
    }
    assert_string_equal(got, want);
}

static void slow__the_last_of_each_kind_is_told_step_by_step(void **state)
{
    static struct host h;
    struct conn c;
    struct conn f;
    json_t *root;
    int leader = open_leader(&h, &c, 3);
    int other = fx_other(&h.fx, leader);
    char want[128];

    (void)state;
    conn_open(&f, &h, other);
    h.fx.cut[3 - leader - other] = true; /* so that one acknowledges */
    say(&c, WRITE);
    settle(&h);
    say(&c, READ);
    say(&c, "{\"type\":\"local_read\",\"msg_id\":2,\"key\":\"x\"}");
    say(&c, "{\"type\":\"lease_read\",\"msg_id\":3,\"key\":\"x\"}");
    say(&c, "{\"type\":\"follower_read\",\"msg_id\":4,\"key\":\"x\"}");
    say(&f, "{\"type\":\"follower_read\",\"msg_id\":5,\"key\":\"x\"}");
    settle(&h);
    free(take(&c));
    free(take(&f));
    root = ask_slow(&h, &c);
    assert_int_equal(json_array_size(json_object_get(root, "slow")), 0);
    (void)snprintf(want, sizeof(want), "arrived round_sent acknowledged:%s quorum applied replied",
                   name_of(other));
    expect_steps(root, "read_index", want);
    expect_steps(root, "lease_read", want); /* there is no lease: by a round */
    expect_steps(root, "follower_read", want);
    expect_steps(root, "local_read", "arrived applied replied");
    (void)snprintf(want, sizeof(want),
                   "arrived appended stored acknowledged:%s quorum applied "
                   "replied",
                   name_of(other));
    expect_steps(root, "write", want);
    json_decref(root);
    root = ask_slow(&h, &f);
    (void)snprintf(want, sizeof(want), "arrived ask_sent answered:%s applied replied",
                   name_of(leader));
    expect_steps(root, "follower_read", want);
    json_decref(root);
    assert_int_equal(h.n_slow, 0);
    conn_close(&c);
    conn_close(&f);
    host_done(&h);
}

static const json_t *stage_of(const json_t *root, const char *op)
{
    const json_t *list = json_object_get(root, "stages");
    const json_t *stage;
    size_t i;

    json_array_foreach(list, i, stage)
    {
        if (strcmp(str_of(stage, "op"), op) == 0)
            return stage;
    }
    return NULL;
}

/* Of the last half minute to minute; the counters go on. */
static void slow__stages_are_those_of_lately(void **state)
{
    static struct service_counts counts;
    static struct host h;
    struct conn c;
    json_t *root;
    const json_t *stage;

    (void)state;
    (void)open_leader(&h, &c, 3);
    for (unsigned i = 0; i < 10; i++) {
        say(&c, READ);
        settle(&h);
        free(take(&c));
    }
    root = ask_slow(&h, &c);
    stage = stage_of(root, "read_index");
    assert_non_null(stage);
    assert_int_equal(int_of(stage, "n"), 10);
    assert_int_equal(int_of(json_object_get(stage, "total"), "p99_us"), 0);
    assert_null(stage_of(root, "write"));
    json_decref(root);
    for (unsigned i = 0; i < 3; i++) {
        fx_advance(&h.fx, SERVICE_WINDOW_US);
        settle(&h);
    }
    root = ask_slow(&h, &c);
    assert_null(stage_of(root, "read_index"));
    json_decref(root);
    service_get_counts(c.sc->service, &counts);
    assert_int_equal(counts.results[SERVICE_OP_READ_INDEX][0], 10);
    for (unsigned i = 0; i < SERVICE_N_STAGES; i++)
        assert_int_equal(counts.stages[SERVICE_OP_READ_INDEX][i].n, 10);
    assert_int_equal(counts.total[SERVICE_OP_READ_INDEX].n, 10);
    conn_close(&c);
    host_done(&h);
}

/* ---- disks ---- */

/* SEE-4: the leader names the node whose disk is slow, because that says so. */
static void slow__a_slow_disk_of_a_peer_is_named(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    int other = fx_other(&h.fx, leader);
    int third = 3 - leader - other;
    char why[64];

    (void)state;
    h.fx.nodes[other].holds_store = true;
    h.fx.nodes[third].holds_store = true;
    say(&c, WRITE);
    fx_advance(&h.fx, 310000);
    h.fx.nodes[other].busy_us += 310000;
    h.fx.nodes[other].holds_store = false;
    settle(&h);
    expect_reply(&c, "write_ok");
    (void)snprintf(why, sizeof(why), "%s's disk: fsync 300 ms", name_of(other));
    expect_slow(&h, &c, "write", "quorum", name_of(other), why, "ok");
    assert_int_equal(h.n_slow, 1);
    /* The other one was as slow, and is not waited for: nothing is said of it. */
    h.fx.nodes[third].busy_us += 310000;
    h.fx.nodes[third].holds_store = false;
    settle(&h);
    conn_close(&c);
    host_done(&h);
}

/* It waited for its loop, and not for its disk: nobody's disk is blamed. */
static void slow__a_peer_that_came_late_has_no_slow_disk(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    int other = fx_other(&h.fx, leader);
    char why[128];

    (void)state;
    h.fx.cut[3 - leader - other] = true;
    h.fx.nodes[other].holds_store = true;
    say(&c, WRITE);
    fx_advance(&h.fx, 150000);
    h.fx.nodes[other].busy_us += 3000;
    h.fx.nodes[other].holds_store = false;
    settle(&h);
    expect_reply(&c, "write_ok");
    (void)snprintf(why, sizeof(why),
                   "waited 150 ms for 2 of 3 nodes; %s answered last; %s not "
                   "heard for 150 ms",
                   name_of(other), name_of(3 - leader - other));
    expect_slow(&h, &c, "write", "quorum", name_of(other), why, "ok");
    conn_close(&c);
    host_done(&h);
}

/* SEE-3: it is committed behind others, which are applied for some milliseconds; but what it waited
 * for is the peer. */
static void slow__what_is_applied_in_the_end_is_not_blamed_for_the_peer(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    int other = fx_other(&h.fx, leader);
    const json_t *last;
    json_t *root;
    char why[64];

    (void)state;
    h.fx.nodes[leader].apply_us = 4000;
    say(&c, WRITE);
    settle(&h);
    expect_reply(&c, "write_ok");
    h.fx.cut[3 - leader - other] = true;
    h.fx.nodes[other].holds_store = true;
    for (unsigned i = 0; i < 3; i++)
        say(&c, WRITE);
    fx_advance(&h.fx, 150000);
    h.fx.nodes[other].holds_store = false;
    settle(&h);
    expect_reply(&c, "write_ok");
    root = ask_slow(&h, &c);
    last = last_slow(root);
    assert_string_equal(str_of(last, "stage"), "quorum");
    assert_string_equal(str_of(last, "peer"), name_of(other));
    (void)snprintf(why, sizeof(why), "waited 150 ms for 2 of 3 nodes; %s answered last",
                   name_of(other));
    assert_memory_equal(str_of(last, "why"), why, strlen(why));
    assert_true(int_of(last, "quorum_us") > 150000); /* it was held back */
    json_decref(root);
    conn_close(&c);
    host_done(&h);
}

/* A write that the disk of the leader holds up. */
static int open_held(struct host *h, struct conn *c)
{
    const int leader = open_leader(h, c, 3);

    h->fx.nodes[leader].holds_store = true;
    say(c, WRITE);
    return leader;
}

static void release_disk(struct host *h, struct conn *c, int leader)
{
    h->fx.nodes[leader].holds_store = false;
    settle(h);
    expect_reply(c, "write_ok");
}

static void slow__the_own_disk_is_named(void **state)
{
    static struct host h;
    struct conn c;
    const int leader = open_held(&h, &c);
    const uint64_t from_us = h.fx.now_us;

    (void)state;
    fx_advance(&h.fx, 310000);
    replica_note_snag(h.fx.nodes[leader].replica, &(struct trail_snag){.kind = TRAIL_SYNC,
                                                                       .from_us = from_us,
                                                                       .to_us = from_us + 310000,
                                                                       .bytes = 4096});
    release_disk(&h, &c, leader);
    expect_slow(&h, &c, "write", "quorum", "(none)", "own disk: fsync 310 ms", "ok");
    conn_close(&c);
    host_done(&h);
}

/* Two syncs, neither of which is long enough to be told apart. */
static void slow__an_own_disk_that_is_busy_is_named(void **state)
{
    static struct host h;
    struct conn c;
    const int leader = open_held(&h, &c);

    (void)state;
    fx_advance(&h.fx, 150000);
    h.fx.nodes[leader].busy_us += 90000;
    release_disk(&h, &c, leader);
    expect_slow(&h, &c, "write", "quorum", "(none)", "own disk: fsync 90 ms", "ok");
    conn_close(&c);
    host_done(&h);
}

static unsigned n_explained(struct host *h, struct conn *c, unsigned *ret_others)
{
    json_t *root = ask_slow(h, c);
    const json_t *ops = json_object_get(root, "slow");
    unsigned n = 0;

    *ret_others = 0;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *why = str_of(json_array_get(ops, i), "why");

        n += strncmp(why, "own disk: ", 10) == 0;
        *ret_others += strcmp(why, "many were slow at once, and this one was not looked into") == 0;
    }
    json_decref(root);
    return n;
}

/* SEE-3: it takes a twentieth of the loop at most, however many there are. */
static void slow__when_all_are_only_some_are_looked_into(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    const uint64_t from_us = h.fx.now_us;
    unsigned n_others;

    (void)state;
    h.fx.nodes[leader].holds_store = true;
    for (unsigned i = 0; i < SLOW_KEPT_MAX; i++)
        say(&c, WRITE);
    fx_advance(&h.fx, 310000);
    replica_note_snag(h.fx.nodes[leader].replica, &(struct trail_snag){.kind = TRAIL_SYNC,
                                                                       .from_us = from_us,
                                                                       .to_us = from_us + 310000,
                                                                       .bytes = 4096});
    h.clock_us = SLOW_EXPLAIN_US / 4;
    h.fx.nodes[leader].holds_store = false;
    settle(&h);
    h.clock_us = 0;
    expect_reply(&c, "write_ok");
    assert_in_range(n_explained(&h, &c, &n_others), 4, SLOW_KEPT_MAX / 4);
    assert_true(n_others >= SLOW_KEPT_MAX / 2);
    conn_close(&c);
    host_done(&h);
}

/* It was done long ago, and its loop took the word of that late. */
static void slow__an_own_disk_that_was_done_is_not_blamed(void **state)
{
    static struct host h;
    struct conn c;
    const int leader = open_held(&h, &c);

    (void)state;
    fx_advance(&h.fx, 150000);
    h.fx.nodes[leader].busy_us += 2000;
    release_disk(&h, &c, leader);
    expect_slow(&h, &c, "write", "quorum", "(none)",
                "quorum took 150 ms; nothing that is known held it up", "ok");
    conn_close(&c);
    host_done(&h);
}

/* A sync of the own disk was slow, too, and nothing waited for it: the quorum came later. */
static void slow__an_own_disk_that_nobody_waited_for_is_not_blamed(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    int other = fx_other(&h.fx, leader);
    const uint64_t from_us = h.fx.now_us;
    char why[64];

    (void)state;
    h.fx.cut[3 - leader - other] = true;
    h.fx.nodes[leader].holds_store = true;
    h.fx.nodes[other].holds_store = true;
    say(&c, WRITE);
    fx_advance(&h.fx, 250000);
    replica_note_snag(
        h.fx.nodes[leader].replica,
        &(struct trail_snag){.kind = TRAIL_SYNC, .from_us = from_us, .to_us = from_us + 250000});
    h.fx.nodes[leader].holds_store = false;
    fx_advance(&h.fx, 60000);
    h.fx.nodes[other].busy_us += 305000;
    h.fx.nodes[other].holds_store = false;
    settle(&h);
    expect_reply(&c, "write_ok");
    (void)snprintf(why, sizeof(why), "%s's disk: fsync 300 ms", name_of(other));
    expect_slow(&h, &c, "write", "quorum", name_of(other), why, "ok");
    conn_close(&c);
    host_done(&h);
}

/* ---- the network ---- */

static void slow__peers_that_were_silent_are_named(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    int other = fx_other(&h.fx, leader);
    int third = 3 - leader - other;
    const json_t *last;
    json_t *root;
    char why[128];

    (void)state;
    h.fx.cut[third] = true;
    fx_advance(&h.fx, 300000);
    h.fx.cut[other] = true;
    say(&c, READ);
    fx_advance(&h.fx, 250000);
    h.fx.cut[other] = false;
    fx_advance(&h.fx, 50000);
    expect_reply(&c, "read_index_ok");
    root = ask_slow(&h, &c);
    last = last_slow(root);
    assert_string_equal(str_of(last, "op"), "read_index");
    assert_string_equal(str_of(last, "stage"), "quorum");
    assert_string_equal(str_of(last, "peer"), name_of(other));
    (void)snprintf(why, sizeof(why), "waited for 2 of 3 nodes; %s not heard for ", name_of(other));
    assert_memory_equal(str_of(last, "why"), why, strlen(why));
    json_decref(root);
    conn_close(&c);
    host_done(&h);
}

static void forget_commits(struct replica *r)
{
    r->trail.commits.n = 0;
}

static void slow__a_read_that_times_out_without_a_quorum_says_who_is_silent(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    json_t *root;
    const json_t *last;

    (void)state;
    /* The first entry that is known was committed by a slow disk of this node, long ago. */
    forget_commits(h.fx.nodes[leader].replica);
    h.fx.nodes[leader].holds_store = true;
    say(&c, WRITE);
    fx_advance(&h.fx, 300000);
    h.fx.nodes[leader].busy_us += 300000;
    h.fx.nodes[leader].holds_store = false;
    settle(&h);
    expect_reply(&c, "write_ok");
    for (int i = 0; i < 3; i++)
        h.fx.cut[i] = i != leader;
    say(&c, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\",\"timeout_ms\":300}");
    fx_advance(&h.fx, 400000);
    expect_reply(&c, "error");
    root = ask_slow(&h, &c);
    last = last_slow(root);
    assert_string_equal(str_of(last, "stage"), "quorum");
    assert_true(strcmp(str_of(last, "result"), "timeout") == 0 ||
                strcmp(str_of(last, "result"), "network") == 0);
    for (int i = 0; i < 3; i++)
        if (i != leader)
            assert_non_null(strstr(str_of(last, "why"), name_of(i)));
    assert_non_null(strstr(str_of(last, "why"), "not heard for"));
    assert_null(strstr(str_of(last, "why"), "disk"));
    json_decref(root);
    conn_close(&c);
    host_done(&h);
}

/* ---- the leader ---- */

static void slow__without_a_leader_it_says_for_how_long(void **state)
{
    static struct host h;
    struct conn c;

    (void)state;
    begin(&h, 3);
    conn_open(&c, &h, 0);
    for (int i = 1; i < 3; i++)
        h.fx.cut[i] = true;
    fx_advance(&h.fx, 200000);
    say(&c, WRITE);
    fx_advance(&h.fx, 1200000);
    h.fx.cut[1] = false;
    h.fx.cut[2] = false;
    while (fx_leader(&h.fx) < 0)
        fx_advance(&h.fx, 10000);
    settle(&h);
    if (fx_leader(&h.fx) == 0) {
        json_t *root;

        expect_reply(&c, "write_ok");
        root = ask_slow(&h, &c);
        assert_string_equal(str_of(last_slow(root), "stage"), "queue");
        assert_non_null(strstr(str_of(last_slow(root), "why"), "queue: no leader for "));
        json_decref(root);
    } else {
        json_t *root;

        expect_reply(&c, "not_leader");
        root = ask_slow(&h, &c);
        assert_string_equal(str_of(last_slow(root), "stage"), "queue");
        assert_non_null(strstr(str_of(last_slow(root), "why"), "queue: no leader for "));
        assert_string_equal(str_of(last_slow(root), "result"), "not_leader");
        json_decref(root);
    }
    conn_close(&c);
    host_done(&h);
}

static void slow__a_leadership_that_is_lost_is_why(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    int other = fx_other(&h.fx, leader);

    (void)state;
    for (int i = 0; i < 3; i++)
        h.fx.cut[i] = i != leader;
    say(&c, WRITE);
    fx_advance(&h.fx, 200000);
    fx_depose(&h.fx, leader, other);
    settle(&h);
    expect_reply(&c, "term_changed");
    expect_slow(&h, &c, "write", "quorum", "(none)",
                "quorum: this node lost the leadership after 200 ms", "term_changed");
    conn_close(&c);
    host_done(&h);
}

/* ---- this node ---- */

static void slow__a_long_apply_is_named_with_its_batch(void **state)
{
    static struct host h;
    struct conn c;
    struct conn d;
    int leader = open_leader(&h, &c, 1);

    (void)state;
    conn_open(&d, &h, leader);
    h.fx.nodes[leader].apply_us = 120000;
    say(&c, WRITE);
    settle(&h);
    expect_reply(&c, "write_ok");
    expect_slow(&h, &c, "write", "apply", "(none)", "apply waited 120 ms behind 1 entry", "ok");
    conn_close(&c);
    conn_close(&d);
    host_done(&h);
}

static void snag(struct host *h, int node, enum trail_kind kind, uint64_t from_us, uint64_t to_us)
{
    replica_note_snag(h->fx.nodes[node].replica,
                      &(struct trail_snag){.kind = kind, .from_us = from_us, .to_us = to_us});
}

/* Nobody was heard meanwhile, for its own sake: no peer is blamed for that. */
static void slow__a_loop_that_was_held_is_why(void **state)
{
    static const struct {
        enum trail_kind kind;
        const char *why;
    } cases[] = {{TRAIL_LOOP, "the loop was held for 128 ms by other work"},
                 {TRAIL_STOOD, "this process did not run for 128 ms"}};
    static struct host h;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct conn c;
        int leader = open_leader(&h, &c, 3);
        const uint64_t from_us = h.fx.now_us;

        fx_turn(&h.fx, leader);
        say(&c, READ);
        fx_turn(&h.fx, leader); /* its round leaves, and the answers lie there meanwhile */
        fx_pass_time(&h.fx, 130000);
        snag(&h, leader, cases[i].kind, from_us + 2000, h.fx.now_us);
        settle(&h);
        expect_reply(&c, "read_index_ok");
        expect_slow(&h, &c, "read_index", "quorum", "(none)", cases[i].why, "ok");
        conn_close(&c);
        host_done(&h);
    }
}

/* It covers less than half of the time: it is not why. */
static void slow__a_short_snag_is_not_blamed(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 3);
    const uint64_t from_us = h.fx.now_us;
    json_t *root;

    (void)state;
    say(&c, READ);
    fx_turn(&h.fx, leader);
    fx_pass_time(&h.fx, 130000);
    snag(&h, leader, TRAIL_STOOD, from_us, from_us + 60000);
    settle(&h);
    expect_reply(&c, "read_index_ok");
    root = ask_slow(&h, &c);
    assert_null(strstr(str_of(last_slow(root), "why"), "did not run"));
    assert_non_null(strstr(str_of(last_slow(root), "why"), "waited for 2 of 3 nodes"));
    json_decref(root);
    conn_close(&c);
    host_done(&h);
}

static void slow__what_is_not_known_is_not_said(void **state)
{
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 1);
    const uint64_t from_us = h.fx.now_us;

    (void)state;
    say(&c, READ);
    fx_pass_time(&h.fx, 130000);
    snag(&h, leader, TRAIL_STOOD, from_us, from_us + 60000);
    settle(&h);
    expect_reply(&c, "read_index_ok");
    expect_slow(&h, &c, "read_index", "queue", "(none)",
                "queue took 130 ms; nothing that is known held it up", "ok");
    conn_close(&c);
    host_done(&h);
}

static void slow__a_client_that_does_not_read_is_why(void **state)
{
    static struct host h;
    struct conn c;
    char *line = malloc(1u << 20);
    int leader = open_leader(&h, &c, 1);
    unsigned n = 0;

    (void)state;
    (void)leader;
    assert_non_null(line);
    (void)snprintf(line, 1u << 20,
                   "{\"type\":\"write\",\"msg_id\":1,\"key\":\"x\",\"value\":\"%0*d\"}", 200000, 7);
    say(&c, line);
    settle(&h);
    free(take(&c));
    /* Until one waits: what is there is charged, and nobody reads. */
    for (; n < 60 && !c.memory.waits; n++) {
        say(&c, "{\"type\":\"local_read\",\"msg_id\":1,\"key\":\"x\"}");
        settle(&h);
        budget_set(&c.memory.replies, c.out.len);
    }
    assert_true(c.memory.waits);
    fx_advance(&h.fx, 150000);
    free(take(&c));
    c.memory.waits = false;
    while (service_conn_room(c.sc))
        ;
    settle(&h);
    free(take(&c));
    expect_slow(&h, &c, "local_read", "execute", "(none)",
                "the client did not read its replies for 150 ms", "ok");
    free(line);
    conn_close(&c);
    host_done(&h);
}

/* ---- what is kept ---- */

/* SEE-1: no key and no value. And the oldest make room. */
static void slow__the_last_ones_are_kept_without_keys(void **state)
{
    static struct service_counts counts;
    static struct host h;
    struct conn c;
    int leader = open_leader(&h, &c, 1);
    cleanup_free char *text = NULL;
    json_t *root;
    const json_t *list;

    (void)state;
    h.fx.nodes[leader].apply_us = 120000;
    for (unsigned i = 0; i < SLOW_KEPT_MAX + 5; i++) {
        say(&c, WRITE);
        settle(&h);
        free(take(&c));
    }
    root = ask_slow(&h, &c);
    list = json_object_get(root, "slow");
    assert_int_equal(json_array_size(list), SLOW_KEPT_MAX);
    for (size_t i = 0; i < SLOW_KEPT_MAX; i++)
        assert_int_equal(int_of(json_array_get(list, i), "seq"), i + 6);
    text = json_dumps(root, 0);
    assert_non_null(text);
    assert_null(strstr(text, "secret"));
    json_decref(root);
    assert_int_equal(h.n_slow, SLOW_KEPT_MAX + 5);
    service_get_counts(c.sc->service, &counts);
    assert_int_equal(counts.n_slow, SLOW_KEPT_MAX + 5);
    conn_close(&c);
    host_done(&h);
}

/* Results are counted by what they were, and every error reply. */
static void slow__results_and_rejections_are_counted(void **state)
{
    static struct host h;
    struct conn c;
    struct conn f;
    static struct service_counts counts;
    int leader = open_leader(&h, &c, 3);
    int other = fx_other(&h.fx, leader);

    (void)state;
    conn_open(&f, &h, other);
    say(&c, "{\"type\":\"read\",\"msg_id\":1,\"key\":\"none\"}");
    say(&c, "{\"type\":\"cas\",\"msg_id\":2,\"key\":\"none\",\"from\":1,\"to\":2}");
    say(&c, "{\"type\":\"batch_read_index\",\"msg_id\":3,\"keys\":[\"a\"]}");
    say(&c, "{\"type\":\"scan\",\"msg_id\":4}");
    say(&c, "{\"type\":");
    say(&f, WRITE);
    settle(&h);
    free(take(&c));
    free(take(&f));
    service_get_counts(c.sc->service, &counts);
    assert_int_equal(counts.results[SERVICE_OP_READ_INDEX][WIRE_ERROR_KEY_NOT_FOUND], 1);
    assert_int_equal(counts.results[SERVICE_OP_WRITE][WIRE_ERROR_KEY_NOT_FOUND], 1);
    assert_int_equal(counts.results[SERVICE_OP_BATCH][WIRE_ERROR_NONE], 1);
    assert_int_equal(counts.results[SERVICE_OP_SCAN][WIRE_ERROR_NONE], 1);
    assert_int_equal(counts.rejections[WIRE_ERROR_KEY_NOT_FOUND], 2);
    assert_int_equal(counts.rejections[WIRE_ERROR_MALFORMED], 1);
    service_get_counts(f.sc->service, &counts);
    assert_int_equal(counts.results[SERVICE_OP_WRITE][WIRE_ERROR_NOT_LEADER], 1);
    assert_int_equal(counts.rejections[WIRE_ERROR_NOT_LEADER], 1);
    conn_close(&c);
    conn_close(&f);
    host_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow__the_last_of_each_kind_is_told_step_by_step),
        cmocka_unit_test(slow__stages_are_those_of_lately),
        cmocka_unit_test(slow__a_slow_disk_of_a_peer_is_named),
        cmocka_unit_test(slow__a_peer_that_came_late_has_no_slow_disk),
        cmocka_unit_test(slow__what_is_applied_in_the_end_is_not_blamed_for_the_peer),
        cmocka_unit_test(slow__the_own_disk_is_named),
        cmocka_unit_test(slow__when_all_are_only_some_are_looked_into),
        cmocka_unit_test(slow__an_own_disk_that_is_busy_is_named),
        cmocka_unit_test(slow__an_own_disk_that_was_done_is_not_blamed),
        cmocka_unit_test(slow__an_own_disk_that_nobody_waited_for_is_not_blamed),
        cmocka_unit_test(slow__peers_that_were_silent_are_named),
        cmocka_unit_test(slow__a_read_that_times_out_without_a_quorum_says_who_is_silent),
        cmocka_unit_test(slow__without_a_leader_it_says_for_how_long),
        cmocka_unit_test(slow__a_leadership_that_is_lost_is_why),
        cmocka_unit_test(slow__a_long_apply_is_named_with_its_batch),
        cmocka_unit_test(slow__a_loop_that_was_held_is_why),
        cmocka_unit_test(slow__a_short_snag_is_not_blamed),
        cmocka_unit_test(slow__what_is_not_known_is_not_said),
        cmocka_unit_test(slow__a_client_that_does_not_read_is_why),
        cmocka_unit_test(slow__the_last_ones_are_kept_without_keys),
        cmocka_unit_test(slow__results_and_rejections_are_counted),
    };

    return cmocka_run_group_tests_name("test-service-slow", tests, NULL, NULL);
}
