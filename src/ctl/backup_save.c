/* backup save: which node, how new at least, and the label. The bytes are fetched by save.c.
 *
 *   1  a linearizable read says an index: all that was acknowledged until now lies below it
 *   2  a follower that is well, and has applied most, has applied that much, too
 *   3  it is asked for a snapshot after that, and what it has then is fetched
 *
 * So what was acknowledged before the command was called is in the backup (BACKUP-5). A follower,
 * since a leader has enough to do. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/backup_int.h"
#include "ctl/snapshot_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

struct backing {
    struct ctl *ctl;
    const char *file; /* borrowed; NULL: standard output */
    struct ridd *client;
    struct snapshot_targets targets;
    struct ctl_node *node;               /* one of these */
    uint64_t index;                      /* all up to there must be in it */
    char cluster_hash[BACKUP_HASH_SIZE]; /* of the cluster that this is an index of */
    uint64_t deadline_us;
    bool goes_on; /* with what an earlier run has begun */
    struct backup_label label;
    struct snapshot_outcome o;
};

static const char *str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "";
}

static uint64_t num(const json_t *o, const char *name)
{
    const json_int_t v = json_integer_value(json_object_get(o, name));

    return v > 0 ? (uint64_t)v : 0;
}

static const char *name_of(const struct ctl_node *node)
{
    return node->name[0] != '\0' ? node->name : node->endpoint;
}

/* ---- which node ---- */

/* Its state is good, and so is the disk that it lies on. */
static bool is_well(const json_t *status)
{
    const char *verdict = str(json_object_get(status, "state"), "verdict");

    return strcmp(str(status, "type"), "status_ok") == 0 &&
           (verdict[0] == '\0' || strcmp(verdict, "good") == 0) &&
           !json_is_true(json_object_get(json_object_get(status, "space"), "parked"));
}

struct choice {
    int node; /* -1: none yet */
    bool leads;
    uint64_t applied;
};

/* Of another cluster an index says nothing, however high: a restored one and the one that was may
 * stand in one list (BACKUP-1). */
static void consider(struct choice *best, const struct backing *b, int node, const json_t *status)
{
    const struct choice c = {node, strcmp(str(status, "role"), "leader") == 0,
                             num(status, "applied_index")};

    if (!is_well(status) || strcmp(str(status, "cluster_hash"), b->cluster_hash) != 0)
        return;
    if (best->node < 0 || (best->leads && !c.leads) ||
        (best->leads == c.leads && c.applied > best->applied))
        *best = c;
}

static int choose(struct backing *b)
{
    struct answer answers[RIDD_ENDPOINTS_MAX];
    struct choice best = {.node = -1};
    int exit_code;

    if (b->targets.n == 0)
        return report(b->ctl, CTL_EXIT_NOBODY, "no node is known; try 'ridctl status'");
    exit_code = ask_all(b->ctl, b->targets.list, b->targets.n, "{\"type\":\"status\"}", CTL_ASK_MS,
                        answers);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    for (unsigned i = 0; i < b->targets.n; i++) {
        const struct ridd_reply *r = answers[i].reply;
        cleanup_json json_t *status = NULL;

        if (r != NULL && r->status == RIDD_OK)
            status = json_loadb(r->json, r->json_len, 0, NULL);
        consider(&best, b, (int)i, status);
    }
    ask_done(answers, b->targets.n);
    if (best.node < 0)
        return report(b->ctl, CTL_EXIT_AGAIN,
                      "no node is well enough to be asked for its state; 'ridctl status' says "
                      "more, and NODE names one all the same");
    b->node = &b->targets.list[best.node];
    return CTL_EXIT_OK;
}

static int take_named(struct backing *b, const char *name)
{
    b->node = snapshot_find(&b->targets, name, name);
    if (b->node == NULL)
        return report(b->ctl, CTL_EXIT_USAGE,
                      "no node '%.60s' in this cluster; 'ridctl members' lists them", name);
    return CTL_EXIT_OK;
}

static bool answers(const struct backing *b, const struct ctl_node *node)
{
    struct ridd_reply *r = ridd_status(b->client, node->endpoint);
    const bool ok = r->status == RIDD_OK;

    ridd_reply_free(r);
    return ok;
}

/* What is half there is of one node, and it is worth more than a little of what is newer, unless
 * somebody asks for that, or the node is away: then nothing is waited for. */
static bool take_begun(struct backing *b)
{
    const struct ctl *ctl = b->ctl;
    struct save_begun begun;
    struct ctl_node *node;

    if (b->file == NULL || !save_begun(b->file, &begun) || begun.index < ctl->seen.index)
        return false;
    node = snapshot_find(&b->targets, begun.node, begun.node);
    if (node == NULL ||
        (ctl->n_args > 1 && snapshot_find(&b->targets, ctl->args[1], ctl->args[1]) != node))
        return false;
    b->node = node;
    return answers(b, node);
}

/* ---- how new ---- */

static void copy_text(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from);
}

static int find_cluster(struct backing *b, const char *endpoint)
{
    struct ridd_reply *r = ridd_status(b->client, endpoint);
    cleanup_json json_t *status = NULL;
    int exit_code = CTL_EXIT_OK;

    if (r->status == RIDD_OK)
        status = json_loadb(r->json, r->json_len, 0, NULL);
    else
        exit_code = report_failure(b->ctl, r, NULL);
    copy_text(b->cluster_hash, sizeof(b->cluster_hash), str(status, "cluster_hash"));
    ridd_reply_free(r);
    return exit_code;
}

/* One key at most, of which only the index is wanted; by a round of the leader. */
static int find_index(struct backing *b)
{
    static const char question[] =
        "{\"type\":\"scan\",\"limit\":1,\"keys_only\":true,\"via\":\"read_index\"}";
    struct ridd_reply *r = ridd_request(b->client, question, RIDD_KIND_READ, 0);
    cleanup_json json_t *page = NULL;
    int exit_code = CTL_EXIT_OK;

    if (r->status == RIDD_OK)
        page = json_loadb(r->json, r->json_len, 0, NULL);
    b->index = num(page, "read_at_index");
    if (r->status != RIDD_OK)
        exit_code = report_failure(b->ctl, r, NULL);
    else if (b->index == 0)
        exit_code = report(b->ctl, CTL_EXIT_AGAIN,
                           "%s does not say of which index its answer is; is it older than ridctl?",
                           r->endpoint);
    else
        exit_code = find_cluster(b, r->endpoint);
    ridd_reply_free(r);
    if (b->ctl->seen.index > b->index)
        b->index = b->ctl->seen.index;
    return exit_code;
}

/* ---- both ---- */

static int find_new(struct backing *b)
{
    int exit_code;

    b->goes_on = false;
    exit_code = find_index(b);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    return b->ctl->n_args > 1 ? take_named(b, b->ctl->args[1]) : choose(b);
}

static int find_node(struct backing *b)
{
    int exit_code = snapshot_find_all(b->ctl, b->client, &b->targets);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    b->goes_on = take_begun(b);
    return b->goes_on ? CTL_EXIT_OK : find_new(b);
}

/* ---- the label ---- */

/* Of which cluster, the node says itself. */
static int fill_label(struct backing *b)
{
    struct ridd_reply *r = ridd_status(b->client, b->node->endpoint);
    cleanup_json json_t *status = NULL;
    struct backup_label *l = &b->label;
    int exit_code = CTL_EXIT_OK;

    if (r->status == RIDD_OK)
        status = json_loadb(r->json, r->json_len, 0, NULL);
    else
        exit_code = report_failure(b->ctl, r, NULL);
    copy_text(l->cluster_name, sizeof(l->cluster_name), str(status, "cluster"));
    copy_text(l->cluster_hash, sizeof(l->cluster_hash), str(status, "cluster_hash"));
    copy_text(l->node_name, sizeof(l->node_name), str(status, "node"));
    (void)snprintf(l->program, sizeof(l->program), "ridctl %s", PACKAGE_VERSION);
    if (exit_code == CTL_EXIT_OK && b->ctl->seen.cluster[0] != '\0' &&
        strcmp(b->ctl->seen.cluster, l->cluster_hash) != 0)
        exit_code = report(b->ctl, CTL_EXIT_PRECONDITION,
                           "the index of --min-index is of another cluster: this one is %.40s",
                           l->cluster_hash);
    if (exit_code == CTL_EXIT_OK && !b->goes_on && strcmp(b->cluster_hash, l->cluster_hash) != 0)
        exit_code = report(b->ctl, CTL_EXIT_PRECONDITION,
                           "%s belongs to another cluster than the leader that answers: 'ridctl "
                           "status' shows both; name the nodes of one with --endpoints",
                           name_of(b->node));
    ridd_reply_free(r);
    return exit_code;
}

/* ---- */

static int make(struct backing *b)
{
    if (b->goes_on)
        return CTL_EXIT_OK;
    if (snapshot_reach(b->client, b->node, b->index, b->deadline_us, &b->o) != CTL_EXIT_OK ||
        snapshot_make(b->client, b->node, b->deadline_us, &b->o) != CTL_EXIT_OK)
        return b->o.exit_code;
    if (b->o.index == 0)
        return snapshot_fail(&b->o, CTL_EXIT_AGAIN, "empty",
                             "nothing was ever written to this cluster: there is nothing to save");
    return CTL_EXIT_OK;
}

static void print_outcome(const struct backing *b, FILE *to)
{
    const struct snapshot_outcome *o = &b->o;
    char when[BACKUP_TIME_SIZE];
    char size[32];

    table_size_text(o->bytes, size, sizeof(size));
    backup_time_text(b->label.begun_s, when);
    (void)fprintf(to, "%s: index %llu saved in %s, %s in %.1f s", name_of(b->node),
                  (unsigned long long)o->index, o->file, size, (double)o->elapsed_us / 1e6);
    if (b->goes_on)
        (void)fprintf(to, "; it was begun at %s, and holds what was acknowledged then", when);
    (void)fputs("\n", to);
}

static int print_json(const struct backing *b, FILE *to)
{
    const struct snapshot_outcome *o = &b->o;
    char when[BACKUP_TIME_SIZE];
    struct doc d = DOC_INIT;
    bool failed;

    backup_time_text(b->label.begun_s, when);
    doc_open(&d, NULL, '{');
    doc_str(&d, "file", o->file);
    doc_str(&d, "node", b->label.node_name);
    doc_str(&d, "endpoint", b->node->endpoint);
    doc_str(&d, "cluster", b->label.cluster_name);
    doc_str(&d, "cluster_hash", b->label.cluster_hash);
    doc_str(&d, "begun", when);
    doc_bool(&d, "went_on", b->goes_on);
    doc_u64(&d, "index", o->index);
    if (!b->goes_on)
        doc_u64(&d, "holds_index", b->index);
    doc_u64(&d, "bytes", o->bytes);
    doc_ms(&d, "elapsed_ms", o->elapsed_us);
    doc_close(&d, '}');
    failed = d.failed;
    if (!failed)
        (void)fprintf(to, "%.*s\n", (int)d.buf.len, (const char *)d.buf.data);
    buf_done(&d.buf);
    return failed ? report_no_memory(b->ctl) : CTL_EXIT_OK;
}

/* What goes to standard output is the backup, and nothing beside it. */
static int print_end(const struct backing *b)
{
    FILE *to = b->file != NULL ? stdout : stderr;

    if (b->o.exit_code != CTL_EXIT_OK)
        return report(b->ctl, b->o.exit_code, "%s: %s", name_of(b->node), b->o.text);
    if (b->ctl->json)
        return print_json(b, to);
    print_outcome(b, to);
    return CTL_EXIT_OK;
}

static bool is_gone(const struct backing *b)
{
    return b->o.exit_code != CTL_EXIT_OK && strcmp(b->o.error, SAVE_GONE) == 0;
}

/* What an earlier run has begun the node may not have any more, and then this is a new one. */
static int save(struct backing *b)
{
    int exit_code = find_node(b);

    for (unsigned tries = 1; exit_code == CTL_EXIT_OK; tries++) {
        exit_code = fill_label(b);
        if (exit_code != CTL_EXIT_OK)
            break;
        b->label.begun_s = (uint64_t)time(NULL);
        memset(&b->o, 0, sizeof(b->o));
        if (make(b) == CTL_EXIT_OK)
            (void)save_snapshot(b->ctl, b->node, b->file, b->goes_on, &b->label, b->deadline_us,
                                &b->o);
        if (!is_gone(b) || tries == CTL_BACKUP_TRIES)
            return print_end(b);
        exit_code = find_new(b);
    }
    return exit_code;
}

int backup_save(struct ctl *ctl)
{
    cleanup_free struct backing *b = calloc(1, sizeof(*b));
    int exit_code;

    if (b == NULL)
        return report_no_memory(ctl);
    b->ctl = ctl;
    b->file = strcmp(ctl->args[0], "-") != 0 ? ctl->args[0] : NULL;
    b->deadline_us =
        ctl->timeout_ms != 0 ? clock_mono_us() + (uint64_t)ctl->timeout_ms * 1000 : UINT64_MAX;
    if (b->file == NULL && isatty(STDOUT_FILENO))
        return report(ctl, CTL_EXIT_USAGE,
                      "a backup is nothing for a terminal: name a file, or lead it into a pipe");
    exit_code = cluster_open(ctl, &b->client);
    if (exit_code == CTL_EXIT_OK)
        exit_code = save(b);
    ridd_close(b->client);
    return exit_code;
}
