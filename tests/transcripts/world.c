/* The commands of a transcript, but for those of members.c and leases.c. Each handler stands below an example of its use; `a/b` is an entry
 * of term a at index b, `n1->n2 ...` a message. Options are written key=value; lists of nodes are
 * n1,n2 or all.
 *
 * Messages lie in one array in the order in which they were sent. Messages that must wait for a
 * disk lie with their node until `store` completes the batch they wait for: what an observer sees
 * is exactly what a real node could have sent at that moment. */
#include "transcripts/world_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "base/assert.h"
#include "sim/print.h"

#include "base/banned.h"

/* ---- printing ---- */

void world_say(struct world *w, const char *format, ...)
{
    char text[2048];
    va_list ap;

    if (w->quiet)
        return;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    rid_assert(buf_add_format(w->out, "%*s%s\n", (int)w->indent, "", text) == 0);
}

struct node *world_node_of_id(struct world *w, raft_node_id id)
{
    for (unsigned i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].id == id)
            return &w->nodes[i];
    return NULL;
}

const char *world_name_of(void *world, raft_node_id id)
{
    struct world *w = world;
    struct node *n = world_node_of_id(w, id);

    if (id == 0)
        return "-";
    for (unsigned i = 0; i < w->n_former; i++)
        if (w->former[i].id == id)
            return w->former[i].name;
    return n != NULL ? n->name : "?";
}

static void say_msg(struct world *w, const char *before, const struct raft_msg *m)
{
    cleanup_buf struct buf b = BUF_INIT;

    sim_print_msg(&b, m, world_name_of, w);
    world_say(w, "%s%.*s", before, (int)b.len, (const char *)b.data);
}

void world_say_state(struct world *w, struct node *n)
{
    struct raft_status s;

    if (n->raft == NULL) {
        world_say(w, "%s down, disk: term=%" PRIu64 " vote=%s last=%zu commit=%" PRIu64, n->name,
                  n->disk.hard_state.current_term, world_name_of(w, n->disk.hard_state.voted_for),
                  n->disk.log.n, n->disk.commit_index);
        return;
    }
    raft_get_status(n->raft, &s);
    world_say(w,
              "%s %s term=%" PRIu64 " vote=%s leader=%s commit=%" PRIu64 " applied=%" PRIu64
              " last=%" PRIu64 " stored=%" PRIu64 "%s%s",
              n->name, raft_role_name(s.role), s.current_term, world_name_of(w, s.voted_for),
              world_name_of(w, s.leader_id), s.commit_index, s.last_applied, s.last_index,
              s.last_stored, s.fitness != RAFT_FIT ? " " : "",
              s.fitness != RAFT_FIT ? raft_fitness_name(s.fitness) : "");
}

/* Lines that tell what a core decided, indented below the command that made it decide. */
static void on_trace(void *ctx, const struct raft_trace *t)
{
    struct node *n = ctx;
    struct world *w = n->world;
    const char *peer = world_name_of(w, t->peer);

    w->indent += 2;
    switch (t->event) {
    case RAFT_TRACE_ROLE:
        world_say(w, "%s is %s", n->name, raft_role_name(t->role));
        break;
    case RAFT_TRACE_LEADER:
        world_say(w, "%s knows leader %s of term %" PRIu64, n->name, peer, t->term);
        break;
    case RAFT_TRACE_GONE:
        world_say(w, "%s finds nobody where %s was: %s", n->name, peer, t->text);
        break;
    case RAFT_TRACE_VOTE_GRANTED:
        world_say(w, "%s grants %s", n->name, peer);
        break;
    case RAFT_TRACE_VOTE_REFUSED:
        world_say(w, "%s refuses %s", n->name, peer);
        break;
    case RAFT_TRACE_TRUNCATED:
        world_say(w, "%s truncates from %" PRIu64, n->name, t->index);
        break;
    case RAFT_TRACE_COMMIT:
        world_say(w, "%s commits up to %" PRIu64, n->name, t->index);
        break;
    case RAFT_TRACE_ROUND:
        world_say(w, "%s opens round %" PRIu64 " at read_index %" PRIu64, n->name, t->round,
                  t->index);
        break;
    case RAFT_TRACE_CONFIGURATION:
        if (t->index == 1)
            break; /* the one that everybody starts with */
        world_say(w, "%s uses the configuration at %" PRIu64, n->name, t->index);
        break;
    case RAFT_TRACE_TRANSFER:
        world_say(w, "%s transfer to %s", n->name, peer);
        break;
    case RAFT_TRACE_PROBE:
        world_say(w, "%s probes %s at %" PRIu64, n->name, peer, t->index);
        break;
    case RAFT_TRACE_INSTALL:
        world_say(w, "%s snapshot of %" PRIu64 ": %s", n->name, t->index, t->text);
        break;
    case RAFT_TRACE_COMPACTED:
        world_say(w, "%s has no entry %" PRIu64 " for %s any more", n->name, t->index, peer);
        break;
    case RAFT_TRACE_TERM_REFUSED:
    case RAFT_TRACE_TERM_CLIMB:
        world_say(w, "%s %s term %" PRIu64 " of %s", n->name,
                  t->event == RAFT_TRACE_TERM_CLIMB ? "climbs towards" : "refuses", t->heard_term,
                  peer);
        break;
    case RAFT_TRACE_INVALID:
        world_say(w, "%s finds a message of %s invalid", n->name, peer);
        break;
    }
    w->indent -= 2;
}

/* ---- the parts ---- */

static void net_add(struct world *w, const struct raft_msg *m)
{
    struct node *from = world_node_of_id(w, m->from), *to = world_node_of_id(w, m->to);
    char before[64];

    rid_assert(from != NULL);
    if (to == NULL) {
        say_msg(w, "  lost, for nobody is that any more: ", m);
        return;
    }
    if (w->cut[from->number - 1][to->number - 1]) {
        say_msg(w, "  lost: ", m);
        return;
    }
    if (world_no_link(from, to) != NULL) {
        (void)snprintf(before, sizeof(before), "  lost, for %s: ", world_no_link(from, to));
        say_msg(w, before, m);
        return;
    }
    if (w->n_net == NET_MAX) {
        say_msg(w, "  lost (the net is full): ", m);
        return;
    }
    w->net[w->n_net++] = (struct net_msg){.msg = sim_msg_copy(m)};
}

static void net_remove(struct world *w, size_t i)
{
    free(w->net[i].msg);
    memmove(&w->net[i], &w->net[i + 1], (w->n_net - i - 1) * sizeof(w->net[0]));
    w->n_net--;
}

static void node_forget_held(struct node *n)
{
    for (size_t i = 0; i < n->n_held; i++)
        free(n->held[i].msg);
    free(n->held);
    n->held = NULL;
    n->n_held = 0;
}

void world_start_node(struct world *w, struct node *n, raft_index applied)
{
    struct raft_conf conf;
    struct sim_start start;

    raft_conf_init(&conf);
    conf.id = n->id;
    conf.election_timeout_us = ELECTION_US;
    conf.heartbeat_us = HEARTBEAT_US;
    conf.seed = n->number;
    conf.rounds_max = w->rounds_max;
    conf.lease_us = w->lease_us;
    if (w->stamps)
        conf.nonce = 100 * n->number + ++n->lives;
    if (w->append_bytes_max != 0)
        conf.append_bytes_max = w->append_bytes_max;
    if (w->inflight_bytes_max != 0)
        conf.inflight_bytes_max = w->inflight_bytes_max;
    if (w->cache_bytes_max != 0)
        conf.cache_bytes_max = w->cache_bytes_max;
    if (w->term_step_max != 0)
        conf.term_step_max = w->term_step_max;
    conf.log_reader = (struct raft_log_reader){.read = sim_disk_read, .ctx = &n->disk};
    conf.trace = on_trace;
    conf.trace_ctx = n;
    sim_disk_start(&n->disk, applied, &start);
    n->committed = n->applied = applied;
    rid_assert(raft_new(&conf, &start.start, n->now_us, &n->raft) == 0);
    sim_start_done(&start);
}

void world_tell_link(struct world *w, struct node *a, struct node *b, bool up)
{
    if (up && (a->raft == NULL || b->raft == NULL || w->cut[a->number - 1][b->number - 1]))
        return;
    for (unsigned i = 0; i < 2; i++) {
        struct node *n = i == 0 ? a : b, *o = i == 0 ? b : a;

        if (n->raft == NULL)
            continue;
        world_tell_clocks(n);
        raft_link(n->raft, o->id, up, n->now_us);
        raft_understands_asks(n->raft, o->id, up);
    }
}

/* What a link that breaks loses: everything on its way, both ways, except what `hold` put aside. */
static void lose_between(struct world *w, const struct node *a, const struct node *b)
{
    for (size_t i = 0; i < w->n_net;) {
        const struct raft_msg *m = w->net[i].msg;

        if (!w->net[i].held &&
            ((m->from == a->id && m->to == b->id) || (m->from == b->id && m->to == a->id))) {
            say_msg(w, "  lost: ", m);
            net_remove(w, i);
        } else {
            i++;
        }
    }
}

/* ---- arguments ---- */

static void split(struct args *a, const char *line)
{
    char *save = NULL;

    *a = (struct args){0};
    (void)snprintf(a->text, sizeof(a->text), "%s", line);
    for (char *p = strtok_r(a->text, " \t", &save); p != NULL && a->n < ARGS_MAX;
         p = strtok_r(NULL, " \t", &save))
        a->v[a->n++] = p;
}

const char *world_option(const struct args *a, const char *key)
{
    size_t len = strlen(key);

    for (unsigned i = 1; i < a->n; i++)
        if (strncmp(a->v[i], key, len) == 0 && a->v[i][len] == '=')
            return a->v[i] + len + 1;
    return NULL;
}

bool world_flag(const struct args *a, const char *name)
{
    for (unsigned i = 1; i < a->n; i++)
        if (strcmp(a->v[i], name) == 0)
            return true;
    return false;
}

static bool number(const char *text, uint64_t *ret_value)
{
    char *end;

    errno = 0;
    *ret_value = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

uint64_t world_option_number(const struct args *a, const char *key, uint64_t otherwise)
{
    const char *text = world_option(a, key);
    uint64_t value;

    return text != NULL && number(text, &value) ? value : otherwise;
}

bool world_in_list(const char *list, const char *name)
{
    size_t len = strlen(name);

    if (strcmp(list, "all") == 0)
        return true;
    for (const char *p = list; p != NULL; p = strchr(p, ',')) {
        if (*p == ',')
            p++;
        if (strncmp(p, name, len) == 0 && (p[len] == ',' || p[len] == '\0'))
            return true;
    }
    return false;
}

struct node *world_node_named(struct world *w, const char *name)
{
    for (unsigned i = 0; name != NULL && i < w->n_nodes; i++)
        if (strcmp(w->nodes[i].name, name) == 0)
            return &w->nodes[i];
    return NULL;
}

struct node *world_arg_node(struct world *w, const struct args *a, bool running)
{
    struct node *n = a->n > 1 ? world_node_named(w, a->v[1]) : NULL;

    if (n == NULL)
        world_say(w, "error: %s needs a node", a->v[0]);
    else if (running && n->raft == NULL)
        world_say(w, "error: %s is down", n->name);
    else
        return n;
    return NULL;
}

const char *world_error_name(int r)
{
    switch (r) {
    case RAFT_E_NOT_LEADER:
        return "not leader";
    case RAFT_E_BUSY:
        return "busy";
    case RAFT_E_INVALID:
        return "invalid";
    case RAFT_E_NOT_MEMBER:
        return "not a member";
    case RAFT_E_TOO_LARGE:
        return "too large";
    case RAFT_E_GATED:
        return "gated";
    case RAFT_E_UNFIT:
        return "unfit";
    case RAFT_E_CHANGING:
        return "the change before is not committed";
    case RAFT_E_BASED:
        return "made from another configuration";
    case RAFT_E_STEP:
        return "more than one step";
    case RAFT_E_SELF:
        return "it would be no voter any more";
    case RAFT_E_QUORUM:
        return "no quorum of it is heard";
    case RAFT_E_NO_LEASE:
        return "no lease";
    default:
        return "failed";
    }
}

/* from=n1,n2 to=n3 type=heartbeat: each is a list, each may be absent. */
static bool matches(struct world *w, const struct args *a, const struct raft_msg *m)
{
    const char *from = world_option(a, "from"), *to = world_option(a, "to"),
               *type = world_option(a, "type");

    return (from == NULL || world_in_list(from, world_name_of(w, m->from))) &&
           (to == NULL || world_in_list(to, world_name_of(w, m->to))) &&
           (type == NULL || world_in_list(type, raft_msg_type_name(m->type)));
}

/* ---- commands ---- */

/* add-nodes 3                      n1, n2, n3: voters with empty logs, running, all links up
 * add-nodes 4 learners=n4 stopped  not started: `disk` may build a log first, `restart` starts them
 * add-nodes 5 members=n1,n2,n3     n4 and n5 are no members: they run, know the first configuration as
 *                                  one that was told it by a leader does, and nobody knows them
 * add-nodes 3 rounds=1 append-bytes=200 inflight-bytes=400 cache-bytes=0
 *                                  bounds of every node
 * add-nodes 3 lease=300            whoever leads takes leases of so many milliseconds; nodes stamp their
 *                                  answers and ask the leader, also with 0
 *
 * Only voters= or learners= is needed; the rest is the other kind. */
static void cmd_add_nodes(struct world *w, const struct args *a)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    cleanup_buf struct buf names = BUF_INIT;
    const char *members = world_option(a, "members");
    const char *voters = world_option(a, "voters"), *learners = world_option(a, "learners");
    struct raft_configuration *c = &w->founders;
    uint64_t n;

    if (a->n < 2 || !number(a->v[1], &n) || n == 0 || n > RAFT_SERVERS_MAX || w->n_nodes > 0) {
        world_say(w, "error: add-nodes needs a number, once");
        return;
    }
    w->rounds_max = (unsigned)world_option_number(a, "rounds", RAFT_ROUNDS_MAX);
    w->append_bytes_max = world_option_number(a, "append-bytes", 0);
    w->inflight_bytes_max = world_option_number(a, "inflight-bytes", 0);
    w->cache_bytes_max = world_option_number(a, "cache-bytes", 0);
    w->term_step_max = world_option_number(a, "term-step", 0);
    w->stamps = world_option(a, "lease") != NULL;
    w->lease_us = world_option_number(a, "lease", 0) * 1000;
    raft_configuration_init(c);
    if (w->stamps)
        c->version = GATES_VERSION;
    for (unsigned i = 0; i < n; i++) {
        struct node *node = &w->nodes[i];
        enum raft_server_role role;

        *node = (struct node){.world = w, .number = i + 1};
        (void)snprintf(node->name, sizeof(node->name), "n%u", i + 1);
        node->id = raft_founder_id(node->name);
        role = (learners != NULL && world_in_list(learners, node->name)) ||
                       (voters != NULL && !world_in_list(voters, node->name))
                   ? RAFT_LEARNER
                   : RAFT_VOTER;
        if (members == NULL || world_in_list(members, node->name))
            rid_assert(raft_configuration_add(c, node->id, node->name, role, node->name, "") == 0);
    }
    rid_assert(raft_configuration_encode(c, &bytes) == 0);
    w->n_nodes = (unsigned)n;
    for (unsigned i = 0; i < n; i++) {
        struct node *node = &w->nodes[i];

        sim_disk_init(&node->disk);
        sim_disk_put(&node->disk, 1, RAFT_ENTRY_CONFIG, bytes.data, bytes.len);
        node->disk.commit_index = 1;
        if (!world_flag(a, "stopped"))
            world_start_node(w, node, 1);
    }
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = i + 1; j < n; j++)
            world_tell_link(w, &w->nodes[i], &w->nodes[j], true);
    for (unsigned i = 0; i < n; i++) {
        const struct raft_server *server = raft_configuration_get(c, w->nodes[i].id);

        (void)buf_add_format(&names, " %s%s", w->nodes[i].name,
                             server == NULL                 ? " (no member)"
                             : server->role == RAFT_LEARNER ? " (learner)"
                                                            : "");
    }
    world_say(w, "nodes:%.*s", (int)names.len, (const char *)names.data);
}

/* disk n1 log=1,2,2,5 term=6 vote=n2 commit=3
 * The durable image of a stopped node: the terms of the entries from index 1 (which is the
 * configuration), the term and vote it remembers and the commit index it had recorded. Entries are
 * commands named after their id. */
static void cmd_disk(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, false);
    const char *log = world_option(a, "log"), *vote = world_option(a, "vote");
    struct node *voted = vote != NULL ? world_node_named(w, vote) : NULL;

    if (n == NULL)
        return;
    if (n->raft != NULL || n->disk.log.n != 1) {
        world_say(w, "error: %s must be stopped and new", n->name);
        return;
    }
    for (const char *p = log; p != NULL; p = strchr(p, ',')) {
        char text[64];
        raft_term term;

        if (*p == ',')
            p++;
        term = strtoull(p, NULL, 10);
        if (p == log)
            continue;
        (void)snprintf(text, sizeof(text), "%" PRIu64 "/%zu", term, n->disk.log.n + 1);
        sim_disk_put(&n->disk, term, RAFT_ENTRY_COMMAND, text, strlen(text));
    }
    n->disk.hard_state.current_term =
        world_option_number(a, "term", n->disk.hard_state.current_term);
    n->disk.hard_state.voted_for = voted != NULL ? voted->id : 0;
    n->disk.commit_index = world_option_number(a, "commit", 1);
    n->disk.tail_hard_state = n->disk.hard_state;
    world_say_state(w, n);
}

/* campaign n1
 * The clock of n1 moves by the longest possible election timeout: it asks for (pre-)votes with its
 * next `ready`. */
static void cmd_campaign(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL)
        return;
    n->now_us += 2 * ELECTION_US;
    raft_tick(n->raft, n->now_us);
}

/* tick n1,n2 50      the clocks of n1 and n2 move by 50 ms, and they notice
 * tick all 10 times=5 */
static void cmd_tick(struct world *w, const struct args *a)
{
    uint64_t ms;

    if (a->n < 3 || !number(a->v[2], &ms)) {
        world_say(w, "error: tick needs nodes and milliseconds");
        return;
    }
    for (uint64_t k = 0; k < world_option_number(a, "times", 1); k++)
        for (unsigned i = 0; i < w->n_nodes; i++) {
            struct node *n = &w->nodes[i];

            if (!world_in_list(a->v[1], n->name) || n->raft == NULL)
                continue;
            n->now_us += ms * 1000;
            raft_tick(n->raft, n->now_us);
        }
}

/* propose n1 a b             two commands
 * propose n1 a count=5 size=100
 * propose n1 type=read       the marker of a log read */
static void cmd_propose(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    const char *type = world_option(a, "type");
    bool marker = type != NULL && strcmp(type, "read") == 0;
    uint64_t count = world_option_number(a, "count", 1), size = world_option_number(a, "size", 0);

    if (n == NULL)
        return;
    for (unsigned i = 2; i < a->n || (marker && i == 2); i++) {
        const char *text = i < a->n ? a->v[i] : "";
        cleanup_buf struct buf bytes = BUF_INIT;

        if (strchr(text, '=') != NULL && !marker)
            continue;
        if (!marker)
            (void)buf_add_str(&bytes, text);
        while (bytes.len < size)
            (void)buf_add_u8(&bytes, '.');
        for (uint64_t k = 0; k < count; k++) {
            struct raft_entry_id id;
            int r = raft_propose(n->raft, marker ? RAFT_ENTRY_READ : RAFT_ENTRY_COMMAND, bytes.data,
                                 bytes.len, &id);

            if (r != 0) {
                world_say(w, "%s refuses the proposal: %s", n->name, world_error_name(r));
                break;
            }
            world_say(w, "%s proposes %" PRIu64 "/%" PRIu64, n->name, id.term, id.index);
        }
        if (marker)
            break;
    }
}

/* read n1 7                  a read with ctx 7
 * read n1 7 min=5            not below index 5, which its connection wrote
 * read n1 1 count=1000       ctx 1 .. 1000 */
static void cmd_read(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    uint64_t ctx, count = world_option_number(a, "count", 1), taken = 0;
    int r = 0;

    if (n == NULL)
        return;
    if (a->n < 3 || !number(a->v[2], &ctx)) {
        world_say(w, "error: read needs a node and a number");
        return;
    }
    for (; taken < count; taken++) {
        r = raft_read(n->raft, ctx + taken, world_option_number(a, "min", 0), n->now_us);
        if (r != 0)
            break;
    }
    if (taken > 1)
        world_say(w, "%s takes reads %" PRIu64 "..%" PRIu64, n->name, ctx, ctx + taken - 1);
    else if (taken == 1)
        world_say(w, "%s takes read %" PRIu64, n->name, ctx);
    if (r != 0)
        world_say(w, "%s refuses read %" PRIu64 ": %s", n->name, ctx + taken, world_error_name(r));
}

static void say_reads(struct world *w, const struct raft_ready *rd)
{
    for (unsigned i = 0, j; i < rd->n_reads; i = j) {
        const struct raft_read_done *d = &rd->reads[i];
        char many[32] = "";

        for (j = i + 1; j < rd->n_reads; j++) {
            const struct raft_read_done *e = &rd->reads[j];

            if (e->ctx != d->ctx + (j - i) || e->read_index != d->read_index ||
                e->round != d->round || e->arrival_round != d->arrival_round || e->term != d->term)
                break;
        }
        if (j - i > 1)
            (void)snprintf(many, sizeof(many), "..%" PRIu64, rd->reads[j - 1].ctx);
        world_say(w,
                  "read %" PRIu64 "%s confirmed: read_index=%" PRIu64 " round=%" PRIu64
                  " arrived in round %" PRIu64 " term=%" PRIu64,
                  d->ctx, many, d->read_index, d->round, d->arrival_round, d->term);
    }
    for (unsigned i = 0, j; i < rd->n_reads_failed; i = j) {
        for (j = i + 1; j < rd->n_reads_failed; j++)
            if (rd->reads_failed[j] != rd->reads_failed[i] + (j - i))
                break;
        if (j - i > 1)
            world_say(w, "read %" PRIu64 "..%" PRIu64 " failed", rd->reads_failed[i],
                      rd->reads_failed[j - 1]);
        else
            world_say(w, "read %" PRIu64 " failed", rd->reads_failed[i]);
    }
}

static bool ready_is_empty(const struct raft_ready *rd)
{
    return rd->batch == 0 && rd->n_msgs == 0 && rd->n_msgs_after_store == 0 &&
           rd->n_committed == 0 && !rd->more_committed && rd->n_reads == 0 &&
           rd->n_reads_failed == 0 && rd->loss == RAFT_LOSS_NONE && !rd->transfer_over &&
           rd->answered.ticket == 0 && rd->log_error == 0;
}

static void say_store(struct world *w, const struct raft_ready *rd)
{
    cleanup_buf struct buf b = BUF_INIT;

    if (rd->batch == 0)
        return;
    (void)buf_add_format(&b, "store batch %" PRIu64 ":", rd->batch);
    if (rd->hard_state_changed)
        (void)buf_add_format(&b, " term=%" PRIu64 " vote=%s", rd->hard_state.current_term,
                             world_name_of(w, rd->hard_state.voted_for));
    if (rd->hard_state_changed && rd->hard_state.lease_max_us > 0)
        (void)buf_add_format(&b, " promised=%" PRIu64 "ms", rd->hard_state.lease_max_us / 1000);
    if (rd->reset.index != 0)
        (void)buf_add_format(&b, " reset to %" PRIu64 "/%" PRIu64 " (configuration %" PRIu64 ")",
                             rd->reset.term, rd->reset.index, rd->reset_config->index);
    if (rd->truncate_from != 0)
        (void)buf_add_format(&b, " truncate from %" PRIu64, rd->truncate_from);
    if (rd->n_entries > 0) {
        (void)buf_add_str(&b, " ");
        sim_print_entries(&b, rd->entries, rd->n_entries);
    }
    (void)buf_add_format(&b, " commit=%" PRIu64, rd->commit_index);
    world_say(w, "%.*s", (int)b.len, (const char *)b.data);
}

/* Is the entry durable on this node, and the same one? Nothing is applied before that (COMMIT-7).
 */
static void check_durable(const struct node *n, const struct raft_entry *e)
{
    const struct sim_entry *d = sim_log_get(&n->disk.log, e->id.index);

    rid_assert(d != NULL);
    rid_assert(d->id.term == e->id.term);
}

static bool take_ready(struct world *w, struct node *n, bool apply)
{
    struct raft_ready rd;
    raft_index last = 0;
    bool empty;

    world_tell_clocks(n);
    raft_ready(n->raft, n->now_us, &rd);
    empty = ready_is_empty(&rd);
    if (empty)
        return false;
    world_say(w, "%s ready:", n->name);
    w->indent += 2;
    say_store(w, &rd);
    sim_disk_submit(&n->disk, &rd);
    for (unsigned i = 0; i < rd.n_msgs; i++) {
        say_msg(w, "send ", &rd.msgs[i]);
        net_add(w, &rd.msgs[i]);
    }
    for (unsigned i = 0; i < rd.n_msgs_after_store; i++) {
        char before[64];

        if (rd.after_batch <= n->disk.done) {
            say_msg(w, "send ", &rd.msgs_after_store[i]);
            net_add(w, &rd.msgs_after_store[i]);
            continue;
        }
        (void)snprintf(before, sizeof(before), "after batch %" PRIu64 ": send ", rd.after_batch);
        say_msg(w, before, &rd.msgs_after_store[i]);
        n->held = sim_realloc(n->held, (n->n_held + 1) * sizeof(*n->held));
        n->held[n->n_held++] = (struct held){.after_batch = rd.after_batch,
                                             .msg = sim_msg_copy(&rd.msgs_after_store[i])};
    }
    if (rd.loss != RAFT_LOSS_NONE)
        world_say(w, "lost the leadership of term %" PRIu64 " (%s), commit was %" PRIu64,
                  rd.loss_term, rd.loss == RAFT_LOSS_TERM ? "higher term" : "role",
                  rd.loss_commit_index);
    say_reads(w, &rd);
    world_say_answered(w, &rd);
    for (unsigned i = 0; i < rd.n_committed; i++) {
        cleanup_buf struct buf b = BUF_INIT;

        sim_print_entry(&b, &rd.committed[i]);
        world_say(w, "%s %.*s", apply ? "apply" : "committed", (int)b.len, (const char *)b.data);
        check_durable(n, &rd.committed[i]);
        rid_assert(rd.committed[i].id.index == n->committed + 1);
        n->committed = last = rd.committed[i].id.index;
    }
    if (rd.more_committed)
        world_say(w, "more to apply");
    if (rd.transfer_over)
        world_say(w, "the transfer is over");
    if (rd.log_error != 0)
        world_say(w, "log error");
    w->indent -= 2;
    if (last != 0 && apply) {
        n->applied = last;
        raft_applied(n->raft, last);
    }
    return true;
}

/* ready n1            what is due: to store, to send, to send later, to apply (done at once), reads
 * ready n1 noapply    leaves the committed entries for `apply` */
static void cmd_ready(struct world *w, const struct args *a)
{
    for (unsigned i = 0; i < w->n_nodes; i++) {
        struct node *n = &w->nodes[i];

        if (a->n < 2 || !world_in_list(a->v[1], n->name) || n->raft == NULL)
            continue;
        if (!take_ready(w, n, !world_flag(a, "noapply")))
            world_say(w, "%s ready: nothing", n->name);
    }
}

/* apply n1            the state machine catches up with what `ready n1 noapply` left */
static void cmd_apply(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL)
        return;
    n->applied = n->committed;
    raft_applied(n->raft, n->applied);
    world_say(w, "%s applied %" PRIu64, n->name, n->applied);
}

static bool store_one(struct world *w, struct node *n)
{
    uint64_t batch = sim_disk_complete(&n->disk);
    size_t kept = 0;

    if (batch == 0)
        return false;
    world_say(w, "%s stored batch %" PRIu64, n->name, batch);
    for (size_t i = 0; i < n->n_held; i++) {
        if (n->held[i].after_batch > batch) {
            n->held[kept++] = n->held[i];
            continue;
        }
        say_msg(w, "  send ", n->held[i].msg);
        net_add(w, n->held[i].msg);
        free(n->held[i].msg);
    }
    n->n_held = kept;
    raft_stored(n->raft, batch, n->now_us);
    return true;
}

/* store n1            every batch of n1 reaches the disk; what waited for it is sent
 * store n1 count=1    only the oldest */
static void cmd_store(struct world *w, const struct args *a)
{
    uint64_t count = world_option_number(a, "count", UINT64_MAX);

    for (unsigned i = 0; i < w->n_nodes; i++) {
        struct node *n = &w->nodes[i];
        bool any = false;

        if (a->n < 2 || !world_in_list(a->v[1], n->name) || n->raft == NULL)
            continue;
        for (uint64_t k = 0; k < count && store_one(w, n); k++)
            any = true;
        if (!any)
            world_say(w, "%s has nothing to store", n->name);
    }
}

static void deliver_one(struct world *w, struct raft_msg *m)
{
    struct node *to = world_node_of_id(w, m->to);
    int r;

    say_msg(w, "", m);
    if (to == NULL) {
        world_say(w, "  lost: nobody is that any more");
        return;
    }
    if (to->raft == NULL) {
        world_say(w, "  lost: %s is down", to->name);
        return;
    }
    world_tell_clocks(to);
    r = raft_step(to->raft, m, to->now_us);
    if (r != 0)
        world_say(w, "  %s: %s", to->name, world_error_name(r));
}

/* Delivers the matching messages that are there now, not those they cause. */
static unsigned deliver(struct world *w, const struct args *a)
{
    uint64_t count = world_option_number(a, "count", UINT64_MAX);
    struct raft_msg *batch[NET_MAX];
    unsigned n = 0;

    if (world_flag(a, "reorder")) {
        for (size_t i = w->n_net; i-- > 0 && n < count;)
            if (!w->net[i].held && matches(w, a, w->net[i].msg)) {
                batch[n++] = sim_msg_copy(w->net[i].msg);
                net_remove(w, i);
            }
    } else {
        for (size_t i = 0; i < w->n_net && n < count;)
            if (!w->net[i].held && matches(w, a, w->net[i].msg)) {
                batch[n++] = sim_msg_copy(w->net[i].msg);
                net_remove(w, i);
            } else {
                i++;
            }
    }
    for (unsigned i = 0; i < n; i++) {
        deliver_one(w, batch[i]);
        free(batch[i]);
    }
    return n;
}

/* deliver                  all messages now under way, in the order of sending
 * deliver from=n1 to=n2,n3 type=append count=1
 * deliver to=n1 reorder    newest first */
static void cmd_deliver(struct world *w, const struct args *a)
{
    if (deliver(w, a) == 0)
        world_say(w, "nothing to deliver");
}

/* drop, duplicate, hold and release take the same choice as deliver, and count=. */
static void each_message(struct world *w, const struct args *a, const char *verb)
{
    uint64_t count = world_option_number(a, "count", UINT64_MAX);
    size_t n = w->n_net;
    bool any = false;
    bool release = strcmp(verb, "release") == 0;

    for (size_t i = 0; i < n && count > 0;) {
        struct net_msg m = w->net[i];

        if (m.held != release || !matches(w, a, m.msg)) {
            i++;
            continue;
        }
        any = true;
        count--;
        w->indent += 2;
        say_msg(w, "", m.msg);
        w->indent -= 2;
        if (strcmp(verb, "duplicate") == 0) {
            if (w->n_net < NET_MAX)
                w->net[w->n_net++] = (struct net_msg){.msg = sim_msg_copy(m.msg)};
            i++;
            continue;
        }
        m.msg = sim_msg_copy(m.msg);
        net_remove(w, i);
        n--;
        if (strcmp(verb, "drop") == 0)
            free(m.msg);
        else
            w->net[w->n_net++] = (struct net_msg){.msg = m.msg, .held = !release};
    }
    if (!any)
        world_say(w, "nothing to %s", verb);
}

/* drop from=n1 type=heartbeat     they are lost without a word */
static void cmd_drop(struct world *w, const struct args *a)
{
    each_message(w, a, "drop");
}

/* duplicate to=n2                 a second copy of each, at the end */
static void cmd_duplicate(struct world *w, const struct args *a)
{
    each_message(w, a, "duplicate");
}

/* hold from=n2 type=append_resp   put aside: no deliver takes them, no broken link loses them */
static void cmd_hold(struct world *w, const struct args *a)
{
    each_message(w, a, "hold");
}

/* release from=n2                 held ones go back to the end of the others */
static void cmd_release(struct world *w, const struct args *a)
{
    each_message(w, a, "release");
}

/* crash n1      batches not stored are lost, its links go down with what is on them */
static void cmd_crash(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL)
        return;
    raft_free(n->raft);
    n->raft = NULL;
    node_forget_held(n);
    sim_disk_crash(&n->disk);
    for (unsigned i = 0; i < w->n_nodes; i++) {
        if (&w->nodes[i] == n)
            continue;
        lose_between(w, n, &w->nodes[i]);
        if (!w->cut[n->number - 1][i])
            world_tell_link(w, n, &w->nodes[i], false);
    }
    world_say_state(w, n);
}

/* restart n1              starts from what is durable; its state machine had applied what was
 *                         committed there
 * restart n1 applied=1    or less, when the state was lost and is built again from the log */
static void cmd_restart(struct world *w, const struct args *a)
{
    for (unsigned k = 0; k < w->n_nodes; k++) {
        struct node *n = &w->nodes[k];

        if (a->n < 2 || !world_in_list(a->v[1], n->name))
            continue;
        if (n->raft != NULL) {
            world_say(w, "error: %s is running", n->name);
            continue;
        }
        world_start_node(w, n, world_option_number(a, "applied", n->disk.commit_index));
        for (unsigned i = 0; i < w->n_nodes; i++)
            if (&w->nodes[i] != n)
                world_tell_link(w, n, &w->nodes[i], true);
        world_say_state(w, n);
    }
}

/* link n1 n2 down      both ends are told; messages under way between them are lost, later ones too
 * link n1 n2,n3 up */
static void cmd_link(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, false);
    bool up = world_flag(a, "up");

    if (n == NULL)
        return;
    if (a->n < 4 || up == world_flag(a, "down")) {
        world_say(w, "error: link needs two ends and up or down");
        return;
    }
    for (unsigned i = 0; i < w->n_nodes; i++) {
        struct node *o = &w->nodes[i];

        if (o == n || !world_in_list(a->v[2], o->name))
            continue;
        if (!up)
            lose_between(w, n, o);
        w->cut[n->number - 1][i] = w->cut[i][n->number - 1] = !up;
        world_tell_link(w, n, o, up);
        world_say(w, "%s %s %s", n->name, up ? "-" : "/", o->name);
    }
}

/* transfer n1 to=n2    leadership is handed over; without to= the furthest voter gets it */
static void cmd_transfer(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    struct node *to = world_node_named(w, world_option(a, "to"));
    int r;

    if (n == NULL)
        return;
    r = raft_transfer(n->raft, to != NULL ? to->id : 0, n->now_us);
    if (r != 0)
        world_say(w, "%s refuses the transfer: %s", n->name, world_error_name(r));
}

/* fitness n1 unfit     or parked, or fit: what its state machine is worth */
static void cmd_fitness(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL)
        return;
    for (unsigned f = RAFT_FIT; f <= RAFT_UNFIT; f++)
        if (a->n > 2 && strcmp(a->v[2], raft_fitness_name((enum raft_fitness)f)) == 0)
            raft_set_fitness(n->raft, (enum raft_fitness)f, n->now_us);
    world_say_state(w, n);
}

/* rewind n1 1          its state machine is empty up to there, and is given the rest again */
static void cmd_rewind(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL || a->n < 3)
        return;
    n->committed = n->applied = strtoull(a->v[2], NULL, 10);
    raft_rewind(n->raft, n->applied);
    world_say_state(w, n);
}

/* stabilize            ready, store, deliver, over and over, until nothing is left; no time passes
 * stabilize n1,n2      only these nodes, and the messages between them
 * stabilize quiet      without telling */
static void cmd_stabilize(struct world *w, const struct args *a)
{
    const char *nodes = a->n > 1 && strcmp(a->v[1], "quiet") != 0 ? a->v[1] : "all";
    struct args between = {.n = 3};
    char from[256], to[256];
    bool more = true;
    unsigned passes = 0;

    (void)snprintf(from, sizeof(from), "from=%s", nodes);
    (void)snprintf(to, sizeof(to), "to=%s", nodes);
    between.v[0] = "deliver";
    between.v[1] = from;
    between.v[2] = to;
    w->quiet = world_flag(a, "quiet");
    for (; more && passes < 200; passes++) {
        more = false;
        for (unsigned i = 0; i < w->n_nodes; i++) {
            struct node *n = &w->nodes[i];

            if (!world_in_list(nodes, n->name) || n->raft == NULL)
                continue;
            if (take_ready(w, n, true))
                more = true;
            while (store_one(w, n))
                more = true;
        }
        if (deliver(w, &between) > 0)
            more = true;
    }
    w->quiet = false;
    if (more)
        world_say(w, "error: not stable after %u passes", passes);
    else if (passes == 1)
        world_say(w, "nothing to do");
}

static void say_log(struct world *w, const char *name, const char *what, const struct sim_log *l)
{
    cleanup_buf struct buf b = BUF_INIT;

    for (raft_index i = 1; i <= l->n; i++)
        (void)buf_add_format(&b, " %" PRIu64 "/%" PRIu64, sim_log_term(l, i), i);
    world_say(w, "%s %s:%.*s", name, what, (int)b.len, (const char *)b.data);
}

/* raft-log n1,n2      the log as the core has it, and as the disk has it when that differs */
static void cmd_raft_log(struct world *w, const struct args *a)
{
    for (unsigned i = 0; i < w->n_nodes; i++) {
        struct node *n = &w->nodes[i];
        cleanup_buf struct buf b = BUF_INIT;
        struct raft_status s;
        bool same;

        if (a->n > 1 && !world_in_list(a->v[1], n->name))
            continue;
        if (n->raft == NULL) {
            say_log(w, n->name, "disk", &n->disk.log);
            continue;
        }
        raft_get_status(n->raft, &s);
        same = s.last_index == n->disk.log.n;
        if (s.base.index > 0)
            (void)buf_add_format(&b, " (%" PRIu64 "/%" PRIu64 ")", s.base.term, s.base.index);
        for (raft_index k = s.base.index + 1; k <= s.last_index; k++) {
            raft_term t = raft_term_at(n->raft, k);

            same = same && t == sim_log_term(&n->disk.log, k);
            (void)buf_add_format(&b, " %" PRIu64 "/%" PRIu64, t, k);
        }
        world_say(w, "%s log:%.*s", n->name, (int)b.len, (const char *)b.data);
        if (!same)
            say_log(w, n->name, "disk", &n->disk.log);
    }
}

/* raft-state          a line for each node
 * raft-state n1,n2 */
static void cmd_raft_state(struct world *w, const struct args *a)
{
    for (unsigned i = 0; i < w->n_nodes; i++)
        if (a->n < 2 || world_in_list(a->v[1], w->nodes[i].name))
            world_say_state(w, &w->nodes[i]);
}

/* status n1           what the node says of itself and its peers */
static void cmd_status(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    struct raft_status s;

    if (n == NULL)
        return;
    raft_get_status(n->raft, &s);
    world_say_state(w, n);
    world_say(w,
              "  noop=%" PRIu64 " can_serve=%s rounds=%" PRIu64 "/%" PRIu64
              " reads=%u voters=%u heard=%u transfer=%s",
              s.noop_index, s.can_serve ? "yes" : "no", s.rounds_confirmed, s.rounds_opened,
              s.n_reads_pending, s.n_voters, s.n_voters_heard, world_name_of(w, s.transfer_to));
    for (unsigned i = 0; i < s.n_peers; i++) {
        const struct raft_peer_status *p = &s.peers[i];

        world_say(w, "  %s %s %s match=%" PRIu64 " next=%" PRIu64 " acked_round=%" PRIu64 "%s%s",
                  world_name_of(w, p->id), p->role == RAFT_VOTER ? "voter" : "learner",
                  p->connected ? "connected" : "away", p->match_index, p->next_index,
                  p->acked_round, p->fitness != RAFT_FIT ? " " : "",
                  p->fitness != RAFT_FIT ? raft_fitness_name(p->fitness) : "");
    }
}

/* net                 the messages under way; held ones are marked */
static void cmd_net(struct world *w, const struct args *a)
{
    (void)a;
    for (size_t i = 0; i < w->n_net; i++)
        say_msg(w, w->net[i].held ? "held " : "", w->net[i].msg);
    if (w->n_net == 0)
        world_say(w, "empty");
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*run)(struct world *w, const struct args *a);
} commands[] = {
    {"add-nodes", cmd_add_nodes},
    {"apply", cmd_apply},
    {"ask", cmd_ask},
    {"campaign", cmd_campaign},
    {"check", cmd_check},
    {"compact", cmd_compact},
    {"configuration", cmd_configuration},
    {"configure", cmd_configure},
    {"crash", cmd_crash},
    {"deliver", cmd_deliver},
    {"disk", cmd_disk},
    {"drop", cmd_drop},
    {"duplicate", cmd_duplicate},
    {"fitness", cmd_fitness},
    {"hold", cmd_hold},
    {"install", cmd_install},
    {"lease", cmd_lease},
    {"link", cmd_link},
    {"links", cmd_links},
    {"net", cmd_net},
    {"pair", cmd_pair},
    {"promises", cmd_promises},
    {"propose", cmd_propose},
    {"raft-log", cmd_raft_log},
    {"raft-state", cmd_raft_state},
    {"read", cmd_read},
    {"ready", cmd_ready},
    {"release", cmd_release},
    {"restart", cmd_restart},
    {"restored", cmd_restored},
    {"rewind", cmd_rewind},
    {"set-lease", cmd_set_lease},
    {"sleep", cmd_sleep},
    {"snapshot", cmd_snapshot},
    {"stabilize", cmd_stabilize},
    {"status", cmd_status},
    {"store", cmd_store},
    {"tick", cmd_tick},
    {"transfer", cmd_transfer},
    {"wipe", cmd_wipe},
};

static void assert_context(void *ctx, char *buf, size_t size)
{
    const struct world *w = ctx;

    (void)snprintf(buf, size, "transcript command: %s", w->line);
}

struct world *world_new(void)
{
    struct world *w = sim_realloc(NULL, sizeof(*w));

    memset(w, 0, sizeof(*w));
    rid_assert_set_context(assert_context, w);
    return w;
}

void world_free(struct world *w)
{
    if (w == NULL)
        return;
    rid_assert_set_context(NULL, NULL);
    for (unsigned i = 0; i < w->n_nodes; i++) {
        raft_free(w->nodes[i].raft);
        node_forget_held(&w->nodes[i]);
        sim_disk_done(&w->nodes[i].disk);
    }
    for (size_t i = 0; i < w->n_net; i++)
        free(w->net[i].msg);
    world_free_snapshots(w);
    free(w);
}

void world_run(struct world *w, const char *line, struct buf *out)
{
    struct args a;

    (void)snprintf(w->line, sizeof(w->line), "%s", line);
    w->out = out;
    split(&a, line);
    if (a.n == 0)
        return;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, a.v[0]) == 0) {
            commands[i].run(w, &a);
            for (unsigned k = 0; k < w->n_nodes; k++)
                if (w->nodes[k].raft != NULL)
                    raft_check(w->nodes[k].raft);
            w->out = NULL;
            return;
        }
    world_say(w, "error: no command '%s'", a.v[0]);
    w->out = NULL;
}
