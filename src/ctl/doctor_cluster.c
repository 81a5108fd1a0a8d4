/* What the nodes say of themselves and of each other, held side by side and against the file. */
#include <string.h>

#include "ctl/doctor_int.h"

#include "base/banned.h"

static const char *str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "";
}

static json_int_t num(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static const char *name_of(const struct doctor_answer *a)
{
    return a->name[0] != '\0' ? a->name : a->endpoint;
}

/* ---- versions ---- */

static void judge_versions(struct findings *f, const struct doctor_answer *answers, unsigned n)
{
    const struct doctor_answer *first = NULL;
    bool differ = false;

    for (unsigned i = 0; i < n; i++) {
        const char *version = str(answers[i].status, "version");

        if (version[0] == '\0')
            continue;
        if (first == NULL)
            first = &answers[i];
        if (strcmp(version, str(first->status, "version")) == 0)
            continue;
        differ = true;
        finding_add(f, FINDING_WARN, "version", name_of(&answers[i]),
                    "finish the upgrade: docs/OPERATIONS.md, Upgrade",
                    "runs %.40s, and %s runs %.40s", version, name_of(first),
                    str(first->status, "version"));
    }
    if (first == NULL || differ)
        return;
    if (strcmp(str(first->status, "version"), PACKAGE_VERSION) != 0)
        finding_add(f, FINDING_NOTE, "version", NULL, NULL,
                    "all nodes run %.40s, this ridctl is %s", str(first->status, "version"),
                    PACKAGE_VERSION);
    else
        finding_add(f, FINDING_OK, "version", NULL, NULL, "all nodes, and ridctl, are %s",
                    PACKAGE_VERSION);
}

/* ---- what runs, and what the file says ---- */

static bool differs(struct findings *f, const struct doctor_answer *a, const char *key,
                    uint64_t file_ms)
{
    const json_t *v = json_object_get(a->status, key);
    char next[FINDING_NEXT_BUF];

    if (!json_is_integer(v) || (uint64_t)json_integer_value(v) == file_ms)
        return false;
    (void)snprintf(next, sizeof(next), "systemctl restart ridd@%s, if this file is the right one",
                   a->name);
    finding_add(f, FINDING_WARN, "settings", name_of(a), next,
                "runs with %s = %lld, and the file says %llu", key,
                (long long)json_integer_value(v), (unsigned long long)file_ms);
    return true;
}

static void judge_settings(struct findings *f, const struct doctor_answer *answers, unsigned n,
                           const struct conf *conf)
{
    bool any = false;
    unsigned n_answered = 0;

    for (unsigned i = 0; i < n; i++) {
        if (answers[i].status == NULL)
            continue;
        n_answered++;
        any |= differs(f, &answers[i], "heartbeat_ms", conf->heartbeat_us / 1000);
        any |= differs(f, &answers[i], "election_ms", conf->election_us / 1000);
        if (strcmp(str(answers[i].status, "cluster"), conf->cluster_name) != 0) {
            any = true;
            finding_add(f, FINDING_FAIL, "settings", name_of(&answers[i]),
                        "see which of address and file is the wrong one",
                        "belongs to cluster '%.63s', and the file describes '%s'",
                        str(answers[i].status, "cluster"), conf->cluster_name);
        }
    }
    if (!any && n_answered > 0)
        finding_add(f, FINDING_OK, "settings", NULL, NULL,
                    "heartbeat_ms, election_ms and the cluster's name are those of the file on %u "
                    "%s",
                    n_answered, n_answered == 1 ? "node" : "nodes");
}

/* ---- one node ---- */

static void judge_warnings(struct findings *f, const struct doctor_answer *a)
{
    const json_t *warnings = json_object_get(a->status, "warnings");

    for (size_t i = 0; i < json_array_size(warnings); i++) {
        const char *text = json_string_value(json_array_get(warnings, i));

        if (text != NULL)
            finding_add(f, FINDING_WARN, "settings", name_of(a), "ridctl status", "%s", text);
    }
}

/* The node's own figures of the last minute: under its own load, on its own disk. */
static void judge_syncs(struct findings *f, const struct doctor_answer *a)
{
    const json_t *disk = json_object_get(a->status, "disk");
    const json_int_t p99_us = num(disk, "fsync_p99_us");
    const json_int_t election_us = num(a->status, "election_ms") * 1000;
    char next[FINDING_NEXT_BUF];
    const json_int_t waits_ms = num(disk, "oldest_append_ms");

    if (p99_us <= 0 || election_us <= 0)
        return;
    (void)snprintf(next, sizeof(next), "on %s: ridctl doctor; iostat -x 1", name_of(a));
    if (json_is_true(json_object_get(disk, "slow")) && waits_ms * 1000 > p99_us) /* STATUS-5 */
        finding_add(f, FINDING_FAIL, "fsync", name_of(a), next,
                    "a sync of its log has taken %lld ms so far, election_ms is %lld",
                    (long long)waits_ms, (long long)(election_us / 1000));
    else if (p99_us * (json_int_t)DOCTOR_ELECTION_SYNCS > election_us)
        finding_add(f, json_is_true(json_object_get(disk, "slow")) ? FINDING_FAIL : FINDING_WARN,
                    "fsync", name_of(a), next,
                    "its log's syncs took p99 %.1f ms (longest %.1f ms) in the last minute, "
                    "election_ms is %lld",
                    (double)p99_us / 1e3, (double)num(disk, "fsync_max_us") / 1e3,
                    (long long)(election_us / 1000));
    else
        finding_add(f, FINDING_OK, "fsync", name_of(a), NULL,
                    "its log's syncs took p50 %.2f ms, p99 %.2f ms, longest %.2f ms in the last "
                    "minute",
                    (double)num(disk, "fsync_p50_us") / 1e3, (double)p99_us / 1e3,
                    (double)num(disk, "fsync_max_us") / 1e3);
    finding_figure(f, (double)p99_us / 1e3, "ms");
}

static void judge_clients(struct findings *f, const struct doctor_answer *a)
{
    const json_t *clients = json_object_get(a->status, "clients");
    const json_int_t open = num(clients, "open");
    const json_int_t limit = num(clients, "limit");
    const json_int_t refused = num(clients, "refused");

    if (limit <= 0)
        return;
    if (refused > 0 || open * 10 > limit * 9)
        finding_add(f, FINDING_WARN, "connections", name_of(a),
                    "more [limits] connections, or fewer clients",
                    "%lld of %lld are open, %lld were refused since it started", (long long)open,
                    (long long)limit, (long long)refused);
    else
        finding_add(f, FINDING_OK, "connections", name_of(a), NULL, "%lld of %lld are open",
                    (long long)open, (long long)limit);
    finding_figure(f, (double)open, "connections");
    if (refused == 0 && open * 10 <= limit * 9)
        finding_is_detail(f);
}

static bool does_answer(const struct doctor_answer *list, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i].status != NULL && strcmp(list[i].name, name) == 0)
            return true;
    return false;
}

/* The link from a to a peer that answers us. One through which nothing comes is not one that is
 * missing: something between them swallows what they say (DOCTOR-7). */
static void judge_link(struct findings *f, const struct doctor_answer *a, const json_t *p)
{
    char where[FINDING_WHERE_BUF];
    char next[FINDING_NEXT_BUF];

    (void)snprintf(where, sizeof(where), "%s to %.63s", name_of(a), str(p, "id"));
    (void)snprintf(next, sizeof(next), "what is between them (firewall, switch) and %.80s",
                   str(p, "address"));
    if (json_is_false(json_object_get(p, "connected")))
        finding_add(f, FINDING_WARN, "link", where, next, "not connected, and both run");
    else if (json_is_false(json_object_get(p, "heard")))
        finding_add(f, FINDING_WARN, "link", where, next,
                    "connected, both run, and nothing was heard for %lld ms",
                    (long long)num(p, "last_heard_ms"));
}

/* Its links; of a leader also how long they take. */
static void judge_links(struct findings *f, const struct doctor_answer *a,
                        const struct doctor_answer *list, unsigned n)
{
    const json_t *peers = json_object_get(a->status, "peers");
    const json_int_t heartbeat_us = num(a->status, "heartbeat_ms") * 1000;

    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *p = json_array_get(peers, i);
        const json_int_t rtt_us = num(p, "rtt_us");
        char where[FINDING_WHERE_BUF];

        if (does_answer(list, n, str(p, "id")))
            judge_link(f, a, p);
        if (rtt_us <= 0)
            continue;
        (void)snprintf(where, sizeof(where), "%s to %.63s", name_of(a), str(p, "id"));
        if (rtt_us > heartbeat_us)
            finding_add(f, FINDING_WARN, "round_trip", where,
                        "larger heartbeat_ms and election_ms on every node",
                        "%.2f ms, and heartbeat_ms is %lld: answers come after the next heartbeat",
                        (double)rtt_us / 1e3, (long long)(heartbeat_us / 1000));
        else
            finding_add(f, FINDING_OK, "round_trip", where, NULL, "%.2f ms", (double)rtt_us / 1e3);
        finding_figure(f, (double)rtt_us / 1e3, "ms");
    }
}

static void judge_drift(struct findings *f, const struct doctor_answer *a)
{
    const json_t *clocks = json_object_get(json_object_get(a->status, "leases"), "clocks");

    for (size_t i = 0; i < json_array_size(clocks); i++) {
        const json_t *c = json_array_get(clocks, i);
        char where[FINDING_WHERE_BUF];

        if (!json_is_number(json_object_get(c, "ppm")))
            continue;
        (void)snprintf(where, sizeof(where), "%s to %.63s", name_of(a), str(c, "id"));
        finding_add(f, FINDING_OK, "drift", where, NULL, "%.1f ppm",
                    json_number_value(json_object_get(c, "ppm")));
        finding_figure(f, json_number_value(json_object_get(c, "ppm")), "ppm");
        finding_is_detail(f);
    }
}

uint64_t doctor_rtt_us(const struct doctor_answer *answers, unsigned n)
{
    json_int_t most = 0;

    for (unsigned i = 0; i < n; i++) {
        const json_t *peers = json_object_get(answers[i].status, "peers");

        for (size_t k = 0; k < json_array_size(peers); k++) {
            const json_int_t rtt_us = num(json_array_get(peers, k), "rtt_us");

            most = rtt_us > most ? rtt_us : most;
        }
    }
    return (uint64_t)most;
}

void doctor_judge_answers(struct findings *f, const struct doctor_answer *answers, unsigned n,
                          const struct conf *conf)
{
    judge_versions(f, answers, n);
    if (conf != NULL)
        judge_settings(f, answers, n, conf);
    for (unsigned i = 0; i < n; i++) {
        if (answers[i].status == NULL)
            continue;
        judge_warnings(f, &answers[i]);
        judge_syncs(f, &answers[i]);
        judge_clients(f, &answers[i]);
        judge_links(f, &answers[i], answers, n);
        judge_drift(f, &answers[i]);
    }
}
