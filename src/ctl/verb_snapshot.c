/* snapshot: a node makes one, in the background; this asks for it, looks how far it is, and says
 * what came of it. Several nodes make theirs one after the other, so that their disks are not all
 * busy with it at once. */
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/snapshot_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

/* ---- outcomes ---- */

int snapshot_fail(struct snapshot_outcome *o, int exit_code, const char *error, const char *format,
                  ...)
{
    va_list ap;

    o->exit_code = exit_code;
    o->error = error;
    va_start(ap, format);
    (void)vsnprintf(o->text, sizeof(o->text), format, ap);
    va_end(ap);
    report_clean(o->text);
    return exit_code;
}

int snapshot_fail_reply(struct snapshot_outcome *o, const struct ridd_reply *r)
{
    return snapshot_fail(o, report_exit_code(r), ridd_status_name(r->status), "%s", r->text);
}

/* ---- which nodes ---- */

static const char *str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "";
}

struct ctl_node *snapshot_find(struct snapshot_targets *t, const char *name, const char *endpoint)
{
    for (unsigned i = 0; i < t->n; i++)
        if ((name[0] != '\0' && strcmp(t->list[i].name, name) == 0) ||
            (endpoint[0] != '\0' &&
             strcmp(cluster_address(t->list[i].endpoint), cluster_address(endpoint)) == 0))
            return &t->list[i];
    return NULL;
}

static void add(struct snapshot_targets *t, const char *name, const char *endpoint)
{
    struct ctl_node *node = snapshot_find(t, name, endpoint);

    if (node == NULL) {
        if (t->n == RIDD_ENDPOINTS_MAX || ridd_check_endpoints(endpoint, NULL, 0) != RIDD_OK)
            return;
        node = &t->list[t->n++];
        (void)snprintf(node->endpoint, sizeof(node->endpoint), "%s", endpoint);
    }
    (void)snprintf(node->name, sizeof(node->name), "%s", name);
}

int snapshot_find_all(const struct ctl *ctl, struct ridd *client, struct snapshot_targets *ret)
{
    struct ridd_reply *r = ridd_request(client, "{\"type\":\"members\"}", RIDD_KIND_READ, 0);
    cleanup_json json_t *reply = NULL;
    const json_t *members;
    int exit_code = CTL_EXIT_OK;

    memcpy(ret->list, ctl->nodes, sizeof(ret->list));
    ret->n = ctl->n_nodes;
    if (r->status == RIDD_OK)
        reply = json_loadb(r->json, r->json_len, 0, NULL);
    else
        exit_code = report_failure(ctl, r, NULL);
    members = json_object_get(reply, "members");
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *m = json_array_get(members, i);

        if (str(m, "id")[0] != '\0')
            add(ret, str(m, "id"), str(m, "client_addr"));
    }
    ridd_reply_free(r);
    return exit_code;
}

static int find_named(const struct ctl *ctl, struct ridd *client, struct snapshot_targets *ret)
{
    cleanup_free struct snapshot_targets *all = calloc(1, sizeof(*all));
    int exit_code;

    if (all == NULL)
        return report_no_memory(ctl);
    exit_code = snapshot_find_all(ctl, client, all);
    for (int i = 0; exit_code == CTL_EXIT_OK && i < ctl->n_args; i++) {
        const struct ctl_node *node = snapshot_find(all, ctl->args[i], ctl->args[i]);

        if (node == NULL)
            return report(ctl, CTL_EXIT_USAGE,
                          "no node '%.60s' in this cluster; 'ridctl members' lists them",
                          ctl->args[i]);
        add(ret, node->name, node->endpoint);
    }
    return exit_code;
}

static int find_one(const struct ctl *ctl, struct ridd *client, struct snapshot_targets *ret)
{
    struct ridd_reply *r = ridd_request(client, "{\"type\":\"ping\"}", RIDD_KIND_READ, 0);
    cleanup_json json_t *pong = NULL;
    int exit_code = CTL_EXIT_OK;

    if (r->status == RIDD_OK) {
        pong = json_loadb(r->json, r->json_len, 0, NULL);
        add(ret, str(pong, "node"), r->endpoint);
    } else {
        exit_code = report_failure(ctl, r, NULL);
    }
    ridd_reply_free(r);
    return exit_code;
}

/* ---- one node ---- */

struct seen {
    uint64_t applied;
    uint64_t uptime_ms;
    uint64_t index;
    uint64_t bytes;
    uint64_t failed;
    uint64_t last_ms;
    unsigned percent;
    bool making;
    bool wanted;
    bool parked;
    char verdict[32];
    char why[256];
};

static uint64_t num(const json_t *o, const char *name)
{
    const json_int_t v = json_integer_value(json_object_get(o, name));

    return v > 0 ? (uint64_t)v : 0;
}

static void read_status(const json_t *status, struct ctl_node *node, struct seen *ret)
{
    const json_t *s = json_object_get(status, "snapshots");

    if (str(status, "node")[0] != '\0')
        (void)snprintf(node->name, sizeof(node->name), "%s", str(status, "node"));
    *ret = (struct seen){
        .applied = num(status, "applied_index"),
        .uptime_ms = num(status, "uptime_ms"),
        .index = num(s, "index"),
        .bytes = num(s, "bytes"),
        .failed = num(s, "failed"),
        .last_ms = num(s, "last_ms"),
        .percent = (unsigned)num(s, "making_percent"),
        .making = json_is_true(json_object_get(s, "making")),
        .wanted = json_is_true(json_object_get(s, "wanted")),
        .parked = json_is_true(json_object_get(json_object_get(status, "space"), "parked"))};
    (void)snprintf(ret->verdict, sizeof(ret->verdict), "%s",
                   str(json_object_get(status, "state"), "verdict"));
    (void)snprintf(ret->why, sizeof(ret->why), "%s", str(s, "failed_why"));
}

static int look(struct ridd *client, struct ctl_node *node, struct seen *ret,
                struct snapshot_outcome *o)
{
    struct ridd_reply *r = ridd_status(client, node->endpoint);
    cleanup_json json_t *status = NULL;
    int exit_code = CTL_EXIT_OK;

    if (r->status != RIDD_OK) {
        exit_code = snapshot_fail_reply(o, r);
    } else {
        status = json_loadb(r->json, r->json_len, 0, NULL);
        read_status(status, node, ret);
    }
    ridd_reply_free(r);
    return exit_code;
}

static const char *name_of(const struct ctl_node *node)
{
    return node->name[0] != '\0' ? node->name : node->endpoint;
}

static void wait_a_little(void)
{
    const struct timespec pause = {.tv_nsec = CTL_PROGRESS_EVERY_MS * 1000000L};

    (void)nanosleep(&pause, NULL);
}

struct waiting {
    struct seen before;
    struct seen now;
    uint64_t before_us; /* when it was looked at before; no later */
    uint64_t deadline_us;
    uint64_t idle_us; /* since when it has not begun; 0: it has */
};

static void say_made(const struct seen *n, struct snapshot_outcome *o)
{
    *o = (struct snapshot_outcome){
        .made = true, .index = n->index, .bytes = n->bytes, .elapsed_us = n->last_ms * 1000};
}

/* One that is started again does not know any more what it was asked for, and the newest that it
 * has may be of long before. It may have been up for less time than it is again. */
static bool was_restarted(const struct waiting *w, uint64_t now_us)
{
    const uint64_t elapsed_ms = (now_us - w->before_us) / 1000;
    const uint64_t slack_ms = CTL_UPTIME_SLACK_MS + elapsed_ms / 100;

    return w->now.uptime_ms < w->before.uptime_ms ||
           w->now.uptime_ms + slack_ms < w->before.uptime_ms + elapsed_ms;
}

/* What was asked for is there, or will not be. False: neither. One below the index that was applied
 * then may be all there is: entries that change nothing are not always stored. But only where the
 * node says so that was asked (BACKUP-5). */
static bool is_over(struct waiting *w, struct snapshot_outcome *o)
{
    const struct seen *b = &w->before;
    const struct seen *n = &w->now;
    const uint64_t now_us = clock_mono_us();
    const bool idle = n->wanted && !n->making;

    if (w->idle_us == 0 || !idle)
        w->idle_us = idle ? now_us : 0;
    if (n->index > b->index && n->index >= b->applied) {
        say_made(n, o);
    } else if (was_restarted(w, now_us)) {
        (void)snapshot_fail(o, CTL_EXIT_AGAIN, "restarted",
                            "the node was started again meanwhile; try again");
    } else if (n->index > b->index && !n->making && !n->wanted) {
        say_made(n, o);
    } else if (n->failed > b->failed) {
        (void)snapshot_fail(o, CTL_EXIT_AGAIN, "failed",
                            "no snapshot could be made: %s; the node goes on trying",
                            n->why[0] != '\0' ? n->why : "see its log");
    } else if (!n->making && !n->wanted) {
        *o = (struct snapshot_outcome){.index = n->index, .bytes = n->bytes};
    } else if (idle && now_us - w->idle_us > CTL_SNAPSHOT_IDLE_MS * UINT64_C(1000)) {
        (void)snapshot_fail(o, CTL_EXIT_AGAIN, "waits",
                            "it does not begin: %s; 'ridctl status' says more",
                            n->parked ? "the disk of its state is full"
                            : n->verdict[0] != '\0' && strcmp(n->verdict, "good") != 0
                                ? "its state is not to be trusted now"
                                : "the node is busy with its state");
    } else if (now_us >= w->deadline_us) {
        (void)snapshot_fail(o, CTL_EXIT_AGAIN, "timeout",
                            "not made yet, the node goes on with it: %u %%", n->percent);
    } else {
        return false;
    }
    return true;
}

static int wait_for_it(struct ridd *client, struct ctl_node *node, struct waiting *w,
                       struct snapshot_outcome *o)
{
    const bool bar = bar_is_shown();
    int exit_code;

    do {
        wait_a_little();
        exit_code = look(client, node, &w->now, o);
        if (exit_code == CTL_EXIT_OK && bar && w->now.making)
            bar_draw(w->now.percent, 100, "%s: %u %%", name_of(node), w->now.percent);
    } while (exit_code == CTL_EXIT_OK && !is_over(w, o));
    if (bar)
        bar_clear();
    return o->exit_code;
}

int snapshot_reach(struct ridd *client, struct ctl_node *node, uint64_t index, uint64_t deadline_us,
                   struct snapshot_outcome *o)
{
    const uint64_t until_us = clock_mono_us() + CTL_BACKUP_REACH_MS * UINT64_C(1000);
    const uint64_t end_us = deadline_us < until_us ? deadline_us : until_us;
    struct seen seen;

    while (look(client, node, &seen, o) == CTL_EXIT_OK && seen.applied < index) {
        if (clock_mono_us() >= end_us)
            return snapshot_fail(o, CTL_EXIT_AGAIN, "timeout",
                                 "it has applied index %llu, and the backup must hold %llu: name "
                                 "another node; 'ridctl status' shows why it is behind",
                                 (unsigned long long)seen.applied, (unsigned long long)index);
        wait_a_little();
    }
    return o->exit_code;
}

int snapshot_make(struct ridd *client, struct ctl_node *node, uint64_t deadline_us,
                  struct snapshot_outcome *o)
{
    struct waiting w = {.before_us = clock_mono_us(), .deadline_us = deadline_us};
    cleanup_json json_t *reply = NULL;
    struct ridd_reply *r;

    if (look(client, node, &w.before, o) != CTL_EXIT_OK)
        return o->exit_code;
    r = ridd_snapshot(client, node->endpoint);
    if (r->status != RIDD_OK)
        (void)snapshot_fail_reply(o, r);
    else
        reply = json_loadb(r->json, r->json_len, 0, NULL);
    ridd_reply_free(r);
    if (o->exit_code != CTL_EXIT_OK)
        return o->exit_code;
    if (json_is_true(json_object_get(reply, "making")))
        return wait_for_it(client, node, &w, o);
    *o = (struct snapshot_outcome){.index = num(reply, "index"), .bytes = w.before.bytes};
    return CTL_EXIT_OK;
}

static void print_outcome(const struct ctl *ctl, const struct ctl_node *node,
                          const struct snapshot_outcome *o)
{
    char size[32];

    table_size_text(o->bytes, size, sizeof(size));
    if (o->exit_code != CTL_EXIT_OK) {
        (void)fflush(stdout);
        (void)report_one(ctl, o->exit_code, "%s: %s", name_of(node), o->text);
    } else if (o->file != NULL) {
        (void)printf("%s: snapshot of index %llu saved in %s, %s in %.1f s\n", name_of(node),
                     (unsigned long long)o->index, o->file, size, (double)o->elapsed_us / 1e6);
    } else if (o->made) {
        (void)printf("%s: snapshot of index %llu, %s in %.1f s\n", name_of(node),
                     (unsigned long long)o->index, size, (double)o->elapsed_us / 1e6);
    } else if (o->index == 0) {
        (void)printf("%s: there is nothing to make a snapshot of\n", name_of(node));
    } else {
        (void)printf("%s: nothing new since the snapshot of index %llu\n", name_of(node),
                     (unsigned long long)o->index);
    }
    (void)fflush(stdout);
}

static void json_outcome(struct doc *d, const struct ctl_node *node,
                         const struct snapshot_outcome *o)
{
    doc_open(d, NULL, '{');
    if (node->name[0] != '\0')
        doc_str(d, "node", node->name);
    else
        doc_null(d, "node");
    doc_str(d, "endpoint", node->endpoint);
    if (o->exit_code != CTL_EXIT_OK) {
        doc_str(d, "error", o->error);
        doc_str(d, "text", o->text);
    } else {
        doc_bool(d, "made", o->made);
        doc_u64(d, "index", o->index);
        doc_u64(d, "bytes", o->bytes);
        doc_ms(d, "elapsed_ms", o->elapsed_us);
        if (o->file != NULL)
            doc_str(d, "file", o->file);
    }
    doc_close(d, '}');
}

static void run_one(const struct ctl *ctl, struct ridd *client, struct ctl_node *node,
                    uint64_t deadline_us, struct snapshot_outcome *o)
{
    struct save_begun begun;
    bool goes_on;

    memset(o, 0, sizeof(*o));
    /* One that is half there is worth more than one that is a little newer. */
    goes_on = ctl->save != NULL && save_begun(ctl->save, &begun) &&
              strcmp(begun.node, name_of(node)) == 0;
    if (!goes_on)
        (void)snapshot_make(client, node, deadline_us, o);
    if (ctl->save != NULL && o->exit_code == CTL_EXIT_OK)
        (void)save_snapshot(ctl, node, ctl->save, goes_on, NULL, deadline_us, o);
}

/* The exit code of the first that failed. */
static int run_all(const struct ctl *ctl, struct ridd *client, struct snapshot_targets *t)
{
    const uint64_t deadline_us =
        ctl->timeout_ms != 0 ? clock_mono_us() + (uint64_t)ctl->timeout_ms * 1000 : UINT64_MAX;
    int exit_code = CTL_EXIT_OK;
    struct doc d = DOC_INIT;
    int rc;

    doc_open(&d, NULL, '{');
    doc_open(&d, "nodes", '[');
    for (unsigned i = 0; i < t->n; i++) {
        struct snapshot_outcome o;

        run_one(ctl, client, &t->list[i], deadline_us, &o);
        if (!ctl->json || o.exit_code != CTL_EXIT_OK)
            print_outcome(ctl, &t->list[i], &o);
        json_outcome(&d, &t->list[i], &o);
        if (exit_code == CTL_EXIT_OK)
            exit_code = o.exit_code;
    }
    doc_close(&d, ']');
    doc_close(&d, '}');
    if (!ctl->json) {
        buf_done(&d.buf);
        return exit_code;
    }
    rc = doc_print(&d, ctl);
    return exit_code != CTL_EXIT_OK ? exit_code : rc;
}

int verb_snapshot(struct ctl *ctl)
{
    cleanup_free struct snapshot_targets *t = calloc(1, sizeof(*t));
    struct ridd *client = NULL;
    int exit_code;

    if (t == NULL)
        return report_no_memory(ctl);
    if (ctl->all && ctl->n_args > 0)
        return report(ctl, CTL_EXIT_USAGE, "--all names every node already");
    if (ctl->save != NULL && (ctl->all || ctl->n_args > 1))
        return report(ctl, CTL_EXIT_USAGE, "--save takes the snapshot of one node");
    exit_code = cluster_open(ctl, &client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    exit_code = ctl->all          ? snapshot_find_all(ctl, client, t)
                : ctl->n_args > 0 ? find_named(ctl, client, t)
                                  : find_one(ctl, client, t);
    if (exit_code == CTL_EXIT_OK)
        exit_code = run_all(ctl, client, t);
    ridd_close(client);
    return exit_code;
}
