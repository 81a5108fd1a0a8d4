/* compare: a node reads by every method, interleaved, and this prints what it measured. A run may
 * take minutes; a second connection asks `status` how far it is, and a bar shows it on a terminal.
 *
 * With --all a follower runs as well what any node answers. It writes nothing itself, so that the
 * leader is kept writing meanwhile by a run that is thrown away; what its reads cost is taken from
 * another one, without that. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/ridd_async.h"
#include "ctl/compare_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

/* ---- the bar ---- */

struct progress {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t finish; /* on CLOCK_MONOTONIC */
    bool running;          /* there is a thread */
    bool finished;
    const struct ctl *ctl;
};

/* True when that node runs a comparison; then the bar is drawn. */
static bool poll_node(struct ridd *client, const char *endpoint)
{
    struct ridd_reply *r = ridd_status(client, endpoint);
    cleanup_json json_t *status = NULL;
    const json_t *compare;
    json_int_t done;
    json_int_t total;

    if (r->status == RIDD_OK)
        status = json_loadb(r->json, r->json_len, 0, NULL);
    ridd_reply_free(r);
    compare = json_object_get(status, "compare");
    done = json_integer_value(json_object_get(compare, "done"));
    total = json_integer_value(json_object_get(compare, "total"));
    if (total <= 0 || done < 0 || done > total)
        return false;
    bar_draw((uint64_t)done, (uint64_t)total, "%lld of %lld reads", (long long)done,
             (long long)total);
    return true;
}

/* False: finished. */
static bool progress_wait(struct progress *p)
{
    uint64_t until_us = clock_mono_us() + CTL_PROGRESS_EVERY_MS * UINT64_C(1000);
    const struct timespec until = clock_timer_at(until_us);
    bool finished;

    (void)pthread_mutex_lock(&p->mutex);
    while (!p->finished)
        if (pthread_cond_timedwait(&p->finish, &p->mutex, &until) != 0)
            break;
    finished = p->finished;
    (void)pthread_mutex_unlock(&p->mutex);
    return !finished;
}

static void *progress_thread(void *arg)
{
    struct progress *p = arg;
    struct ridd_options options = {.timeout_ms = CTL_ASK_MS};
    struct ridd *client;
    unsigned place = 0;

    if (cluster_dial(p->ctl, p->ctl->endpoints, &options, &client) != CTL_EXIT_OK)
        return NULL;
    /* One node per step: whoever runs it is found soon, and asked again from then on. */
    while (progress_wait(p))
        if (!poll_node(client, ridd_endpoint(client, place)))
            place = (place + 1) % ridd_endpoint_count(client);
    ridd_close(client);
    return NULL;
}

static void progress_start(struct progress *p, const struct ctl *ctl)
{
    pthread_condattr_t attr;

    memset(p, 0, sizeof(*p));
    if (!bar_is_shown())
        return;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->finish, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&p->mutex, NULL);
    p->ctl = ctl;
    p->running = pthread_create(&p->thread, NULL, progress_thread, p) == 0;
}

static void progress_stop(struct progress *p)
{
    if (!p->running)
        return;
    (void)pthread_mutex_lock(&p->mutex);
    p->finished = true;
    (void)pthread_cond_signal(&p->finish);
    (void)pthread_mutex_unlock(&p->mutex);
    (void)pthread_join(p->thread, NULL);
    bar_clear();
}

/* ---- the requests ---- */

static const char *const methods_of_all[] = {"lease_read", "follower_read", "bounded_read",
                                             "local_read"};
static const char *const methods_of_any_node[] = {"follower_read", "bounded_read", "local_read"};

static int add_list(const struct ctl *ctl, struct buf *request, const char *const *names, size_t n)
{
    int rc = buf_add_str(request, ",\"methods\":[");

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = buf_add_format(request, "%s\"%s\"", i > 0 ? "," : "", names[i]);
    if (rc == 0)
        rc = buf_add_str(request, "]");
    return rc == 0 ? CTL_EXIT_OK : report_no_memory(ctl);
}

/* "lease,follower_read" to JSON; the names of the protocol, with or without "_read". */
static int add_methods(const struct ctl *ctl, struct buf *request)
{
    static const char *const known[] = {"lease", "follower", "bounded", "local"};
    cleanup_free char *list = strdup(ctl->methods);
    const char *comma = "";
    char *rest = NULL;

    if (list == NULL || buf_add_str(request, ",\"methods\":[") != 0)
        return report_no_memory(ctl);
    for (char *s = strtok_r(list, ", ", &rest); s != NULL; s = strtok_r(NULL, ", ", &rest)) {
        size_t len = strcspn(s, "-_");
        const char *found = NULL;

        /* The two that are always measured may be named too. */
        if (strcmp(s, "read_index") == 0 || strcmp(s, "read_via_log") == 0)
            continue;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (strlen(known[i]) == len && strncmp(known[i], s, len) == 0 &&
                (s[len] == '\0' || strcmp(s + len + 1, "read") == 0))
                found = known[i];
        if (found == NULL)
            return report(ctl, CTL_EXIT_USAGE,
                          "no such method '%.60s'; --methods takes lease_read, follower_read, "
                          "bounded_read, local_read",
                          s);
        if (buf_add_format(request, "%s\"%s_read\"", comma, found) != 0)
            return report_no_memory(ctl);
        comma = ",";
    }
    return buf_add_str(request, "]") == 0 ? CTL_EXIT_OK : report_no_memory(ctl);
}

/* only: of a node that need not lead, what any node answers. */
static int build_request(const struct ctl *ctl, unsigned num_reads, unsigned readers, bool only,
                         struct buf *request)
{
    int exit_code = CTL_EXIT_OK;
    int rc = buf_add_format(request,
                            "{\"type\":\"compare_read_methods\",\"num_reads\":%u,\"verbose\":true,"
                            "\"cost\":true",
                            num_reads);

    if (rc == 0 && readers != 1)
        rc = buf_add_format(request, ",\"concurrency\":%u", readers);
    if (rc == 0 && ctl->max_stale_ms != 0)
        rc = buf_add_format(request, ",\"max_stale_ms\":%u", ctl->max_stale_ms);
    if (rc == 0 && only)
        rc = buf_add_str(request, ",\"only\":true");
    if (rc != 0)
        return report_no_memory(ctl);
    if (only)
        exit_code = add_list(ctl, request, methods_of_any_node,
                             sizeof(methods_of_any_node) / sizeof(methods_of_any_node[0]));
    else if (ctl->methods != NULL)
        exit_code = add_methods(ctl, request);
    else if (ctl->all)
        exit_code = add_list(ctl, request, methods_of_all,
                             sizeof(methods_of_all) / sizeof(methods_of_all[0]));
    if (exit_code == CTL_EXIT_OK && (buf_add_str(request, "}") != 0 || buf_add_u8(request, 0) != 0))
        return report_no_memory(ctl);
    return exit_code;
}

/* ---- one run ---- */

struct compare_all {
    struct ctl *ctl;
    struct ridd *client;
    struct compare_run runs[2 * CTL_READERS_MAX];
    unsigned n;
    char leader[RIDD_ENDPOINT_SIZE];
    char follower[RIDD_ENDPOINT_SIZE]; /* "": none is asked */
};

static unsigned patience_ms(const struct ctl *ctl)
{
    return ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_COMPARE_TIMEOUT_MS;
}

/* Takes r. endpoint NULL: whoever leads. *ret_reply is the caller's. */
static int take_reply(const struct ctl *ctl, struct ridd_reply *r, json_t **ret_reply)
{
    int exit_code = CTL_EXIT_OK;

    if (r->status != RIDD_OK)
        exit_code = report_failure(ctl, r, NULL);
    else
        *ret_reply = json_loadb(r->json, r->json_len, 0, NULL);
    if (exit_code == CTL_EXIT_OK && *ret_reply == NULL)
        exit_code = report_no_memory(ctl); /* the library has read it before */
    ridd_reply_free(r);
    return exit_code;
}

static struct compare_run *add_run(struct compare_all *all, const char *role, unsigned readers,
                                   json_t *reply, const char *endpoint)
{
    struct compare_run *run = &all->runs[all->n++];
    const char *name = json_string_value(json_object_get(reply, "node"));

    run->role = role;
    run->readers = readers;
    run->reply = reply;
    (void)snprintf(run->node, sizeof(run->node), "%s", name != NULL ? name : endpoint);
    report_clean(run->node);
    return run;
}

static int run_leader(struct compare_all *all, unsigned readers)
{
    cleanup_buf struct buf request = BUF_INIT;
    struct ctl *ctl = all->ctl;
    struct ridd_reply *r;
    json_t *reply = NULL;
    int exit_code = build_request(ctl, ctl->num_reads, readers, false, &request);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    r = ridd_request(all->client, (const char *)request.data, RIDD_KIND_ONCE, patience_ms(ctl));
    (void)snprintf(all->leader, sizeof(all->leader), "%s", r->endpoint);
    exit_code = take_reply(ctl, r, &reply);
    if (exit_code == CTL_EXIT_OK)
        (void)add_run(all, "leader", readers, reply, all->leader);
    return exit_code;
}

/* ---- a follower beside it ---- */

static json_t *status_at(struct ridd *client, const char *endpoint)
{
    struct ridd_reply *r = ridd_status(client, endpoint);
    json_t *status = r->status == RIDD_OK ? json_loadb(r->json, r->json_len, 0, NULL) : NULL;

    ridd_reply_free(r);
    return status;
}

/* The first of the nodes given that follows somebody. None: then the leader is all there is. */
static void find_follower(struct compare_all *all)
{
    for (unsigned i = 0; i < ridd_endpoint_count(all->client) && all->follower[0] == '\0'; i++) {
        const char *endpoint = ridd_endpoint(all->client, i);
        cleanup_json json_t *status = status_at(all->client, endpoint);
        const char *role = json_string_value(json_object_get(status, "role"));

        if (role != NULL && strcmp(role, "follower") == 0 &&
            json_is_string(json_object_get(status, "leader_id")))
            (void)snprintf(all->follower, sizeof(all->follower), "%s", endpoint);
    }
}

/* Has the leader write until the client is closed, which it sees as a reset; NULL: it does not. */
static struct ridd *begin_writing(const struct compare_all *all)
{
    const struct ridd_options defaults = {.timeout_ms = 0};
    struct ridd_op op = ridd_op(RIDD_OP_REQUEST);
    struct ridd *client = NULL;

    if (cluster_dial(all->ctl, all->leader, &defaults, &client) != CTL_EXIT_OK)
        return NULL;
    op.json = "{\"type\":\"compare_read_methods\",\"num_reads\":100000,"
              "\"only\":true,\"methods\":[\"read_index\"]}";
    op.kind = RIDD_KIND_ONCE;
    op.node = all->leader;
    op.timeout_ms = patience_ms(all->ctl);
    (void)ridd_async_start(client, &op, NULL, NULL);
    for (unsigned i = 0; i < CTL_COMPARE_LOOKS; i++) {
        cleanup_json json_t *status = status_at(client, all->leader);

        if (json_object_get(status, "compare") != NULL)
            break;
    }
    return client;
}

static int ask_follower(struct compare_all *all, unsigned num_reads, unsigned readers,
                        json_t **ret_reply)
{
    cleanup_buf struct buf request = BUF_INIT;
    int exit_code = build_request(all->ctl, num_reads, readers, true, &request);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    return take_reply(all->ctl,
                      ridd_request_at(all->client, all->follower, (const char *)request.data,
                                      RIDD_KIND_ONCE, patience_ms(all->ctl)),
                      ret_reply);
}

/* The figures of a run beside which nothing was written take the place of those beside which
 * something was. */
static void take_costs(json_t *reply, const json_t *quiet)
{
    json_t *methods = json_object_get(reply, "methods");

    for (size_t i = 0; i < json_array_size(methods); i++) {
        json_t *m = json_array_get(methods, i);
        const char *name = json_string_value(json_object_get(m, "method"));
        json_t *cost = name != NULL ? json_object_get(compare_method(quiet, name), "cost") : NULL;

        if (cost != NULL)
            (void)json_object_set(m, "cost", cost);
    }
}

static int run_follower(struct compare_all *all, unsigned readers)
{
    cleanup_json json_t *quiet = NULL;
    json_t *reply = NULL;
    struct ridd *writing = begin_writing(all);
    int exit_code = ask_follower(all, all->ctl->num_reads, readers, &reply);

    ridd_close(writing);
    if (exit_code == CTL_EXIT_OK)
        exit_code = ask_follower(all, 1, readers, &quiet);
    if (exit_code != CTL_EXIT_OK) {
        json_decref(reply);
        return exit_code;
    }
    take_costs(reply, quiet);
    (void)add_run(all, "follower", readers, reply, all->follower);
    return CTL_EXIT_OK;
}

/* ---- all of it ---- */

static bool was_right(const struct compare_all *all)
{
    for (unsigned i = 0; i < all->n; i++)
        if (json_is_false(json_object_get(all->runs[i].reply, "both_linearizable")))
            return false;
    return true;
}

/* One run as the node said it; several in a list, each with who it is of. */
static int print_json(const struct compare_all *all)
{
    cleanup_json json_t *runs = json_array();
    cleanup_json json_t *doc = NULL;
    const json_t *printed = all->runs[0].reply;

    for (unsigned i = 0; all->n > 1 && i < all->n; i++) {
        const struct compare_run *run = &all->runs[i];
        json_t *o = json_pack("{s:s,s:s,s:i,s:O}", "node", run->node, "role", run->role, "readers",
                              (int)run->readers, "reply", run->reply);

        if (json_array_append_new(runs, o) != 0)
            return report_no_memory(all->ctl);
    }
    if (all->n > 1) {
        doc = json_pack("{s:O}", "runs", runs);
        printed = doc;
    }
    if (printed == NULL || json_dumpf(printed, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15)) != 0)
        return report_no_memory(all->ctl);
    (void)putchar('\n');
    return CTL_EXIT_OK;
}

static int print_all(const struct compare_all *all)
{
    const struct ctl *ctl = all->ctl;
    int exit_code = CTL_EXIT_OK;

    if (ctl->json)
        exit_code = print_json(all);
    else if (ctl->csv)
        compare_print_csv(all->runs, all->n);
    else
        exit_code = compare_print(ctl, all->runs, all->n);
    if (exit_code != CTL_EXIT_OK || was_right(all))
        return exit_code;
    if (ctl->json || ctl->csv)
        return CTL_EXIT_NOT_LINEARIZABLE;
    return report(
        ctl, CTL_EXIT_NOT_LINEARIZABLE,
        "a read broke linearizability: keep the logs and data of all nodes, and report it");
}

static int run_all(struct compare_all *all)
{
    struct ctl *ctl = all->ctl;
    int exit_code = CTL_EXIT_OK;

    for (unsigned i = 0; i < ctl->n_readers && exit_code == CTL_EXIT_OK; i++) {
        exit_code = run_leader(all, ctl->readers[i]);
        if (exit_code == CTL_EXIT_OK && ctl->all && i == 0)
            find_follower(all);
        if (exit_code == CTL_EXIT_OK && all->follower[0] != '\0')
            exit_code = run_follower(all, ctl->readers[i]);
    }
    return exit_code;
}

int verb_compare(struct ctl *ctl)
{
    struct compare_all all = {.ctl = ctl};
    struct progress progress;
    int exit_code = cluster_open(ctl, &all.client);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (ctl->n_readers == 0) {
        ctl->n_readers = ctl->all ? 2 : 1;
        ctl->readers[0] = 1;
        ctl->readers[1] = 16;
    }
    progress_start(&progress, ctl);
    exit_code = run_all(&all);
    progress_stop(&progress);
    if (exit_code == CTL_EXIT_OK)
        exit_code = print_all(&all);
    for (unsigned i = 0; i < all.n; i++)
        json_decref(all.runs[i].reply);
    ridd_close(all.client);
    return exit_code;
}
