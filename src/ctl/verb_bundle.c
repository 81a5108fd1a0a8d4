/* bundle: asks every node what it knows, looks at this host, and makes one file of it. What cannot
 * be had is listed with the reason; nothing but memory and the file itself ends it. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/bundle_int.h"
#include "ctl/command_int.h"
#include "ctl/doctor_int.h"
#include "ctl/part_int.h"

#include "base/banned.h"

struct bundling {
    struct ctl *ctl;
    struct bundle b;
    struct findings findings;
    time_t now;
    char when[32];   /* 20261130T164512Z */
    char folder[64]; /* in the archive */
    char file[PATH_MAX];
    struct buf tar;
    struct buf gz;
};

/* ---- this host ---- */

static void add_host(struct bundling *g)
{
    static const char *const files[] = {
        "/proc/meminfo",
        "/proc/loadavg",
        "/proc/uptime",
        "/proc/self/mountinfo",
        "/proc/diskstats",
        "/proc/net/snmp",
        "/proc/net/netstat",
        "/proc/pressure/cpu",
        "/proc/pressure/io",
        "/proc/pressure/memory",
        "/proc/cpuinfo",
        "/proc/sys/vm/overcommit_memory",
        "/sys/devices/system/clocksource/clocksource0/current_clocksource"};
    struct utsname u;
    char text[sizeof(u) + 64];

    if (uname(&u) == 0) {
        const int n = snprintf(text, sizeof(text), "%s %s %s %s\nridctl %s\n", u.sysname, u.release,
                               u.version, u.machine, PACKAGE_VERSION);

        bundle_add(&g->b, "host/versions", text, (size_t)n, BUNDLE_HEAD);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char name[BUNDLE_NAME_SIZE];

        (void)snprintf(name, sizeof(name), "host%s", files[i]);
        bundle_add_file(&g->b, name, files[i], BUNDLE_HEAD);
    }
}

static void add_processes(struct bundling *g)
{
    static const char *const names[] = {"status", "limits", "cgroup", "io", "schedstat"};
    static const struct doctor_roots roots = {.proc = "/proc", .sys = "/sys"};
    struct doctor_process list[DOCTOR_PROCESSES_MAX];
    const char *conf_path = cluster_conf_path(g->ctl);
    const unsigned n = doctor_find_processes(&roots, list, DOCTOR_PROCESSES_MAX);

    if (n == 0)
        bundle_leave_out(&g->b, "process", "no ridd is seen to run on this host");
    for (unsigned i = 0; i < n && i < DOCTOR_PROCESSES_MAX; i++) {
        if (!doctor_process_is_of(&list[i], conf_path)) {
            bundle_leave_out(&g->b, "process", "pid %ld runs by another file, '%s'",
                             (long)list[i].pid, list[i].config);
            continue;
        }
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
            char name[BUNDLE_NAME_SIZE];
            char path[64];

            (void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)list[i].pid, names[k]);
            (void)snprintf(name, sizeof(name), "process/%ld-%s/%s", (long)list[i].pid, list[i].id,
                           names[k]);
            bundle_add_file(&g->b, name, path, BUNDLE_HEAD);
        }
    }
}

/* ---- logs ---- */

static void add_journal(struct bundling *g)
{
    static const char *const argv[] = {"journalctl",    "--no-pager",
                                       "--quiet",       "--output=short-iso-precise",
                                       "--utc",         "--lines=" BUNDLE_JOURNAL_LINES,
                                       "--unit=ridd@*", NULL};
    cleanup_buf struct buf out = BUF_INIT;
    bool cut = false;
    int status = 0;
    const int rc =
        command_run(argv, BUNDLE_JOURNAL_MS, BUNDLE_JOURNAL_BYTES_MAX, &out, &cut, &status);

    if (rc == -ENOENT)
        bundle_leave_out(&g->b, "log/journal", "there is no journalctl here; --log FILE takes one");
    else if (rc != 0 || status != 0)
        bundle_leave_out(&g->b, "log/journal", "journalctl failed (%s); as root it may not",
                         rc != 0 ? strerror(-rc) : "it said no more");
    else if (out.len == 0)
        bundle_leave_out(&g->b, "log/journal",
                         "the journal holds nothing of ridd@NAME.service that this user may read");
    else
        bundle_add(&g->b, "log/journal", out.data, out.len, BUNDLE_TAIL);
}

static void add_logs(struct bundling *g)
{
    for (unsigned i = 0; i < g->ctl->n_logs; i++) {
        cleanup_free char *copy = strdup(g->ctl->logs[i]);
        char name[BUNDLE_NAME_SIZE];

        if (copy == NULL) {
            g->b.failed = true;
            return;
        }
        (void)snprintf(name, sizeof(name), "log/%u-%.60s", i + 1, basename(copy));
        bundle_add_file(&g->b, name, g->ctl->logs[i], BUNDLE_TAIL);
    }
    add_journal(g);
}

/* ---- the cluster ---- */

/* What each node answers to one question; one that does not know it says so. */
static int ask(struct bundling *g, const char *what, const char *json)
{
    struct ctl *ctl = g->ctl;
    struct answer answers[RIDD_ENDPOINTS_MAX];
    int exit_code;

    if (ctl->n_nodes == 0) {
        bundle_leave_out(&g->b, what, "it is not known where the cluster is");
        return CTL_EXIT_OK;
    }
    exit_code = ask_all(ctl, ctl->nodes, ctl->n_nodes, json,
                        ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_ASK_MS, answers);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    for (unsigned i = 0; i < ctl->n_nodes; i++) {
        const struct ridd_reply *r = answers[i].reply;
        char name[BUNDLE_NAME_SIZE];

        (void)snprintf(name, sizeof(name), "%s/%.64s.json", what,
                       ctl->nodes[i].name[0] != '\0' ? ctl->nodes[i].name : ctl->nodes[i].endpoint);
        if (r != NULL && r->status == RIDD_OK)
            bundle_add(&g->b, name, r->json, r->json_len, BUNDLE_HEAD);
        else
            bundle_leave_out(&g->b, name, "%.150s", r != NULL ? r->text : "no answer in time");
    }
    ask_done(answers, ctl->n_nodes);
    return CTL_EXIT_OK;
}

static int add_cluster(struct bundling *g)
{
    static const struct {
        const char *what;
        const char *json;
    } questions[] = {
        {"status", "{\"type\":\"status\",\"verbose\":true}"},
        {"members", "{\"type\":\"members\"}"},
        {"events", "{\"type\":\"events\",\"after\":0,\"limit\":256}"},
        {"slow", "{\"type\":\"slow\"}"},
    };
    int exit_code = CTL_EXIT_OK;

    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]) && exit_code == CTL_EXIT_OK;
         i++)
        exit_code = ask(g, questions[i].what, questions[i].json);
    return exit_code;
}

/* ---- the configuration, and what doctor says ---- */

static void add_conf(struct bundling *g)
{
    const char *path = cluster_conf_path(g->ctl);
    cleanup_file FILE *file = path != NULL ? fopen(path, "re") : NULL;
    cleanup_buf struct buf text = BUF_INIT;
    cleanup_buf struct buf masked = BUF_INIT;
    char *room = buf_reserve(&text, CONF_FILE_BYTES_MAX);

    if (file == NULL) {
        bundle_leave_out(&g->b, "ridd.conf", "%s",
                         path != NULL ? strerror(errno) : "no configuration was named");
        return;
    }
    if (room == NULL) {
        g->b.failed = true;
        return;
    }
    text.len = fread(room, 1, CONF_FILE_BYTES_MAX, file);
    if (bundle_mask_conf((const char *)text.data, text.len, &masked) != 0)
        g->b.failed = true;
    bundle_add(&g->b, "ridd.conf", masked.data, masked.len, BUNDLE_HEAD);
}

static void add_doctor(struct bundling *g)
{
    cleanup_buf struct buf text = BUF_INIT;
    struct doc d = DOC_INIT;
    int rc = 0;

    for (unsigned i = 0; i < g->findings.n && rc == 0; i++) {
        const struct finding *x = &g->findings.list[i];

        rc = buf_add_format(&text, "%-4s  %-12s  %s%s%s%s%s\n", finding_level_text(x->level),
                            x->check, x->where, x->where[0] != '\0' ? ": " : "", x->text,
                            x->next[0] != '\0' ? "  next: " : "", x->next);
    }
    doc_open(&d, NULL, '{');
    doctor_add_json(&d, "findings", &g->findings);
    doc_close(&d, '}');
    g->b.failed |= rc != 0 || d.failed;
    bundle_add(&g->b, "doctor.txt", text.data, text.len, BUNDLE_HEAD);
    bundle_add(&g->b, "doctor.json", d.buf.data, d.buf.len, BUNDLE_HEAD);
    buf_done(&d.buf);
}

static void add_manifest(struct bundling *g)
{
    char head[256];

    (void)snprintf(head, sizeof(head),
                   "Made by 'ridctl bundle' (%s) at %s. Times are UTC.\n"
                   "Cluster: %s. Look through it before you hand it on.\n",
                   PACKAGE_VERSION, g->when,
                   g->ctl->cluster_name[0] != '\0' ? g->ctl->cluster_name : "not named");
    bundle_add_manifest(&g->b, head);
}

/* ---- the file ---- */

static bool is_compressed(const char *file)
{
    const size_t len = strlen(file);

    return len < 4 || strcmp(file + len - 4, ".tar") != 0;
}

static int write_all(const struct bundling *g, int fd, const struct buf *data)
{
    for (size_t at = 0; at < data->len;) {
        const ssize_t n = write(fd, data->data + at, data->len - at);

        if (n < 0 && errno != EINTR)
            return report(g->ctl, CTL_EXIT_OUTPUT, "cannot write to '%s': %s", g->file,
                          strerror(errno));
        at += n > 0 ? (size_t)n : 0;
    }
    return CTL_EXIT_OK;
}

static int save_file(const struct bundling *g, const struct buf *data)
{
    char why[RIDD_TEXT_SIZE];
    struct part part;
    int exit_code;

    if (!part_name(&part, g->file))
        return report(g->ctl, CTL_EXIT_USAGE, "the name of the file is too long");
    exit_code = part_open(&part, g->file, why);
    if (exit_code == CTL_EXIT_OK && ftruncate(part.fd, 0) != 0) {
        (void)snprintf(why, sizeof(why), "cannot write '%.200s': %s", g->file, strerror(errno));
        exit_code = CTL_EXIT_OUTPUT;
    }
    if (exit_code != CTL_EXIT_OK) {
        part_close(&part, false);
        return report(g->ctl, exit_code, "%s", why);
    }
    exit_code = write_all(g, part.fd, data);
    if (exit_code == CTL_EXIT_OK) {
        exit_code = part_place(&part, g->file, why);
        if (exit_code != CTL_EXIT_OK)
            (void)report(g->ctl, exit_code, "%s", why);
    }
    part_close(&part, false);
    return exit_code;
}

static int save(struct bundling *g)
{
    const bool to_stdout = strcmp(g->file, "-") == 0;
    const struct buf *data = &g->tar;
    int rc = g->b.failed ? -ENOMEM : bundle_tar(&g->b, g->folder, (uint64_t)g->now, &g->tar);

    if (rc == 0 && is_compressed(g->file)) {
        rc = bundle_gzip(&g->tar, &g->gz);
        data = &g->gz;
    }
    if (rc != 0)
        return report_no_memory(g->ctl);
    if (to_stdout)
        return write_all(g, STDOUT_FILENO, data);
    rc = save_file(g, data);
    if (rc != CTL_EXIT_OK)
        return rc;
    (void)printf("%s: %u parts, %zu bytes; %u could not be had, which MANIFEST lists\n"
                 "it holds no key, no value and no secret; look all the same: tar -xf %s\n",
                 g->file, g->b.n, data->len, g->b.n_gaps, g->file);
    return CTL_EXIT_OK;
}

static int name_it(struct bundling *g)
{
    struct tm tm;

    g->now = time(NULL);
    if (gmtime_r(&g->now, &tm) == NULL ||
        strftime(g->when, sizeof(g->when), "%Y%m%dT%H%M%SZ", &tm) == 0)
        (void)snprintf(g->when, sizeof(g->when), "%lld", (long long)g->now);
    (void)snprintf(g->folder, sizeof(g->folder), "ridd-bundle-%s", g->when);
    if (g->ctl->save == NULL)
        (void)snprintf(g->file, sizeof(g->file), "%s.tar.gz", g->folder);
    else if ((size_t)snprintf(g->file, sizeof(g->file), "%s", g->ctl->save) >= sizeof(g->file))
        return report(g->ctl, CTL_EXIT_USAGE, "the name of the file is too long");
    if (strcmp(g->file, "-") == 0 && isatty(STDOUT_FILENO))
        return report(g->ctl, CTL_EXIT_USAGE, "no archive is written to a terminal; --save FILE");
    return CTL_EXIT_OK;
}

static int gather(struct bundling *g)
{
    int exit_code = doctor_examine(g->ctl, &g->findings);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    add_conf(g);
    add_doctor(g);
    exit_code = add_cluster(g);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    add_host(g);
    add_processes(g);
    add_logs(g);
    add_manifest(g);
    return CTL_EXIT_OK;
}

int verb_bundle(struct ctl *ctl)
{
    cleanup_free struct bundling *g = calloc(1, sizeof(*g));
    int exit_code;

    if (g == NULL)
        return report_no_memory(ctl);
    g->ctl = ctl;
    exit_code = name_it(g);
    if (exit_code == CTL_EXIT_OK)
        exit_code = gather(g);
    if (exit_code == CTL_EXIT_OK)
        exit_code = save(g);
    findings_done(&g->findings);
    bundle_done(&g->b);
    buf_done(&g->tar);
    buf_done(&g->gz);
    return exit_code;
}
