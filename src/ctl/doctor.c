/* `ridctl doctor`, in the order in which trouble is looked for: the file, the cluster, the network,
 * this host, its ridd, their data directories. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "ctl/command_int.h"
#include "ctl/doctor_int.h"
#include "verdict/verdict.h"

#include "base/banned.h"

struct doctor {
    struct ctl *ctl;
    struct findings *f;
    struct doctor_roots roots;
    const char *path; /* borrowed, of the configuration; NULL: none */
    struct conf conf; /* as it would be for no node in particular */
    bool has_conf;
    struct answer answers[RIDD_ENDPOINTS_MAX];
    struct doctor_answer nodes[RIDD_ENDPOINTS_MAX];
    json_t *statuses[RIDD_ENDPOINTS_MAX]; /* owned */
    unsigned n_nodes;
    struct doctor_process processes[DOCTOR_PROCESSES_MAX];
    unsigned n_processes;
    dev_t measured[RAFT_SERVERS_MAX]; /* file systems: each is measured once */
    unsigned n_measured;
};

/* ---- the file ---- */

static void tell_problems(struct doctor *d, const struct conf_problems *problems)
{
    char next[FINDING_NEXT_BUF];

    (void)snprintf(next, sizeof(next), "ridd --config %s --check-config", d->path);
    for (size_t i = 0; i < problems->n; i++) {
        char where[FINDING_WHERE_BUF];

        (void)snprintf(where, sizeof(where), "%s:%u", d->path, problems->list[i].line);
        finding_add(d->f, FINDING_FAIL, "config", problems->list[i].line > 0 ? where : d->path,
                    next, "%s", problems->list[i].text);
    }
}

static void look_at_conf(struct doctor *d)
{
    struct conf_problems problems = {0, NULL};
    char text[FINDING_TEXT_BUF];
    int rc;

    d->path = cluster_conf_path(d->ctl);
    if (d->path == NULL) {
        finding_add(d->f, FINDING_NOTE, "config", NULL, "ridctl doctor --config FILE",
                    "no configuration was looked at");
        return;
    }
    rc = conf_load(d->path, NULL, false, &d->conf, &problems);
    if (rc < 0)
        finding_add(d->f, FINDING_FAIL, "config", d->path, "ls -l, and --config FILE", "%s",
                    err_text()[0] != '\0' ? err_text() : strerror(-rc));
    else if (rc != 0)
        tell_problems(d, &problems);
    else
        d->has_conf = true;
    conf_problems_done(&problems);
    if (!d->has_conf)
        return;
    finding_add(d->f, FINDING_OK, "config", d->path, NULL, "cluster '%s', %u nodes",
                d->conf.cluster_name, d->conf.n_peers);
    if (conf_lease_warning(&d->conf, text, sizeof(text)))
        finding_add(d->f, FINDING_WARN, "config", d->path, "man 5 ridd.conf", "%s", text);
    if (conf_open_warning(&d->conf, text, sizeof(text)))
        finding_add(d->f, FINDING_WARN, "config", d->path, "man 5 ridd.conf, ACCESS", "%s", text);
    if (d->conf.n_peers % 2 == 0)
        finding_add(d->f, FINDING_NOTE, "config", d->path, NULL,
                    "%u nodes survive no more failures than %u", d->conf.n_peers,
                    d->conf.n_peers - 1);
}

/* ---- the cluster ---- */

static int ask_nodes(struct doctor *d)
{
    struct ctl *ctl = d->ctl;
    int exit_code = ask_all(ctl, ctl->nodes, ctl->n_nodes, "{\"type\":\"status\",\"verbose\":true}",
                            ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_ASK_MS, d->answers);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    d->n_nodes = ctl->n_nodes;
    for (unsigned i = 0; i < d->n_nodes; i++) {
        const struct ridd_reply *r = d->answers[i].reply;
        const char *name;

        if (r != NULL && r->status == RIDD_OK)
            d->statuses[i] = json_loadb(r->json, r->json_len, 0, NULL);
        name = json_string_value(json_object_get(d->statuses[i], "node"));
        if (name != NULL)
            (void)snprintf(ctl->nodes[i].name, sizeof(ctl->nodes[i].name), "%s", name);
        d->nodes[i] = (struct doctor_answer){.name = ctl->nodes[i].name,
                                             .endpoint = ctl->nodes[i].endpoint,
                                             .status = d->statuses[i]};
    }
    return CTL_EXIT_OK;
}

static void judge_cluster(struct doctor *d)
{
    static const enum finding_level levels[] = {[VERDICT_OK] = FINDING_OK,
                                                [VERDICT_DEGRADED] = FINDING_WARN,
                                                [VERDICT_NO_QUORUM] = FINDING_FAIL,
                                                [VERDICT_SPLIT] = FINDING_FAIL};
    cleanup_free struct verdict *v = calloc(1, sizeof(*v));
    struct verdict_node nodes[RIDD_ENDPOINTS_MAX];
    char line[VERDICT_TEXT_BYTES + 1];

    if (v == NULL) {
        d->f->failed = true;
        return;
    }
    for (unsigned i = 0; i < d->n_nodes; i++) {
        const struct ridd_reply *r = d->answers[i].reply;

        nodes[i] = (struct verdict_node){
            .name = d->nodes[i].name,
            .endpoint = d->nodes[i].endpoint,
            .status = d->statuses[i],
            .failure = r != NULL ? r->status : RIDD_NO_ANSWER,
            .text = r != NULL ? r->text : "no answer: its address could not be looked up in time"};
    }
    verdict_judge(nodes, d->n_nodes, d->ctl->cluster_name[0] != '\0' ? d->ctl->cluster_name : NULL,
                  v);
    verdict_line(v, line, sizeof(line));
    finding_add(d->f, levels[v->kind], "cluster", NULL,
                v->kind != VERDICT_OK ? "ridctl status" : NULL, "%s", line);
    for (unsigned i = 0; i < v->n_reasons; i++) {
        const struct verdict_reason *r = &v->reasons[i];

        finding_add(d->f, FINDING_WARN, "cluster", r->node[0] != '\0' ? r->node : r->endpoint,
                    "ridctl status", "%s", r->text);
    }
    doctor_judge_answers(d->f, d->nodes, d->n_nodes, d->has_conf ? &d->conf : NULL);
}

static int look_at_cluster(struct doctor *d)
{
    int exit_code;

    if (!d->has_conf && d->path != NULL)
        return CTL_EXIT_OK; /* the file was to say where it is; the rest is looked at (DOCTOR-2) */
    if (d->path == NULL && d->ctl->endpoints_option == NULL && getenv("RIDCTL_ENDPOINTS") == NULL) {
        finding_add(d->f, FINDING_NOTE, "cluster", NULL, "ridctl doctor --endpoints HOST:PORT,...",
                    "no cluster was named, and none was asked");
        return CTL_EXIT_OK;
    }
    exit_code = cluster_find(d->ctl);
    if (exit_code == CTL_EXIT_OK)
        exit_code = ask_nodes(d);
    if (exit_code == CTL_EXIT_OK)
        judge_cluster(d);
    return exit_code;
}

/* ---- one data directory ---- */

static const struct doctor_process *process_of(const struct doctor *d, const char *name)
{
    for (unsigned i = 0; i < d->n_processes; i++)
        if (strcmp(d->processes[i].id, name) == 0)
            return &d->processes[i];
    return NULL;
}

static uint64_t state_bytes_of(const struct doctor *d, const char *name)
{
    for (unsigned i = 0; i < d->n_nodes; i++)
        if (strcmp(d->nodes[i].name, name) == 0)
            return (uint64_t)json_integer_value(
                json_object_get(json_object_get(d->nodes[i].status, "state"), "file_bytes"));
    return 0;
}

static bool was_measured(struct doctor *d, dev_t dev)
{
    for (unsigned i = 0; i < d->n_measured; i++)
        if (d->measured[i] == dev)
            return true;
    if (d->n_measured < RAFT_SERVERS_MAX)
        d->measured[d->n_measured++] = dev;
    return false;
}

/* In the directory, or where that is not allowed, next to it. */
static void measure(struct doctor *d, const char *dir, uint64_t free_bytes)
{
    const struct conf *conf = d->has_conf ? &d->conf : NULL;
    const uint64_t heartbeat_us = conf != NULL ? conf->heartbeat_us : RAFT_HEARTBEAT_US_DEFAULT;
    const uint64_t election_us = conf != NULL ? conf->election_us : RAFT_ELECTION_US_DEFAULT;
    struct disk_figures figures = {.bytes_written = 0};
    char beside[PATH_MAX];
    char *slash;
    int rc;

    if (free_bytes < DOCTOR_MEASURE_FREE_BYTES) {
        finding_add(d->f, FINDING_NOTE, "fsync", dir, NULL, "was not measured: too little is free");
        return;
    }
    rc = doctor_measure(dir, &figures);
    (void)snprintf(beside, sizeof(beside), "%s", dir);
    slash = strrchr(beside, '/');
    if (rc != 0 && rc != -ENOSPC && slash != NULL && slash != beside) {
        *slash = '\0';
        rc = doctor_measure(beside, &figures);
    }
    if (rc == 0)
        doctor_judge_disk(d->f, dir, &figures, doctor_rtt_us(d->nodes, d->n_nodes), heartbeat_us,
                          election_us);
    else
        finding_add(d->f, FINDING_NOTE, "fsync", dir, "sudo ridctl doctor",
                    "was not measured: %s (this is user %u)", strerror(-rc), (unsigned)geteuid());
}

static void look_at_room(struct doctor *d, const char *name, const char *dir, uint64_t *ret_free)
{
    const struct conf *conf = d->has_conf ? &d->conf : NULL;
    struct doctor_room room = {
        .segment_bytes = conf != NULL ? conf->segment_bytes : STORE_SEGMENT_BYTES,
        .snapshot_bytes = conf != NULL ? conf->snapshot_bytes : SNAP_LOG_BYTES_DEFAULT,
        .keep_bytes = conf != NULL ? conf->keep_bytes : SNAP_KEEP_BYTES_DEFAULT,
        .state_bytes = state_bytes_of(d, name)};
    struct statvfs st;

    *ret_free = 0;
    if (statvfs(dir, &st) != 0) {
        finding_add(d->f, FINDING_NOTE, "space", dir, NULL, "%s", strerror(errno));
        return;
    }
    room.free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    room.total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
    room.free_inodes = st.f_favail;
    room.total_inodes = st.f_files;
    *ret_free = room.free_bytes;
    doctor_judge_room(d->f, dir, &room);
}

/* Of a node that does not run: why it may not. One that runs has read its log. */
static void look_at_log(struct doctor *d, const char *name, const char *dir)
{
    cleanup_buf struct buf out = BUF_INIT;
    char path[PATH_MAX];
    const char *const argv[] = {path, "--check-log", dir, NULL};
    bool cut = false;
    int status;
    int rc;

    if (!command_find_ridd(path, sizeof(path)))
        return;
    rc = command_run(argv, DOCTOR_LOG_MS, CTL_CHUNK_BYTES, &out, &cut, &status);
    if (rc == 0)
        doctor_judge_log(d->f, dir, name, status, out.len > 0 ? (const char *)out.data : "no log");
    else
        finding_add(d->f, FINDING_NOTE, "log", dir, "ridd --check-log DIR", "was not read: %s",
                    strerror(-rc));
}

static bool does_answer(const struct doctor *d, const char *name)
{
    for (unsigned i = 0; i < d->n_nodes; i++)
        if (d->nodes[i].status != NULL && strcmp(d->nodes[i].name, name) == 0)
            return true;
    return false;
}

static void look_at_dir(struct doctor *d, const char *name, const char *dir, const struct stat *st)
{
    cleanup_free char *real = realpath(dir, NULL);
    const struct doctor_process *p = process_of(d, name);
    struct doctor_mount mount;
    uint64_t free_bytes;

    doctor_judge_owner(d->f, dir, st, p != NULL ? p->uid : (uid_t)-1);
    if (doctor_find_mount(&d->roots, real != NULL ? real : dir, &mount))
        doctor_judge_mount(d->f, dir, &mount);
    look_at_room(d, name, dir, &free_bytes);
    if (p == NULL && !does_answer(d, name))
        look_at_log(d, name, dir);
    if (!was_measured(d, st->st_dev))
        measure(d, dir, free_bytes);
}

/* False: it is not there. */
static bool maybe_look_at_dir(struct doctor *d, const char *name, const char *dir, bool must)
{
    struct stat st;

    if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)) {
        look_at_dir(d, name, dir, &st);
        return true;
    }
    if (errno == EACCES) {
        finding_add(d->f, FINDING_NOTE, "data_dir", dir, "sudo ridctl doctor",
                    "is not to be seen by user %u", (unsigned)geteuid());
        return true;
    }
    if (must)
        finding_add(d->f, FINDING_FAIL, "data_dir", dir, "ls -ld, and --data-dir DIR",
                    "is no directory");
    return false;
}

static void look_at_dirs(struct doctor *d)
{
    cleanup_free struct conf *conf = calloc(1, sizeof(*conf));
    char seen[PATH_MAX] = "";
    bool any = false;

    if (d->ctl->data_dir != NULL) {
        (void)maybe_look_at_dir(d, "", d->ctl->data_dir, true);
        return;
    }
    for (unsigned i = 0; conf != NULL && d->has_conf && i < d->conf.n_peers; i++) {
        struct conf_problems problems = {0, NULL};
        const char *name = d->conf.peers[i].name;

        if (d->conf.self != NULL && d->conf.self != &d->conf.peers[i])
            continue; /* the file says which node this host is */
        if (conf_load(d->path, name, true, conf, &problems) == 0 &&
            strcmp(conf->data_dir, seen) != 0) /* without %i it is the same for all */
            any |= maybe_look_at_dir(d, name, conf->data_dir, false);
        (void)snprintf(seen, sizeof(seen), "%s", conf->data_dir);
        conf_problems_done(&problems);
    }
    if (!any)
        finding_add(d->f, FINDING_NOTE, "data_dir", NULL, "ridctl doctor --data-dir DIR",
                    "no data directory of a node is on this host: no disk was looked at");
}

/* ---- this host ---- */

static unsigned leave_out_others(struct doctor *d)
{
    unsigned n = 0;
    unsigned n_others;

    for (unsigned i = 0; i < d->n_processes; i++)
        if (doctor_process_is_of(&d->processes[i], d->path))
            d->processes[n++] = d->processes[i];
    n_others = d->n_processes - n;
    d->n_processes = n;
    return n_others;
}

static void look_at_processes(struct doctor *d)
{
    unsigned n = doctor_find_processes(&d->roots, d->processes, DOCTOR_PROCESSES_MAX);
    unsigned n_others;

    d->n_processes = n < DOCTOR_PROCESSES_MAX ? n : DOCTOR_PROCESSES_MAX;
    n_others = leave_out_others(d);
    n -= n_others;
    if (n_others > 0) {
        finding_add(d->f, FINDING_NOTE, "process", NULL, NULL,
                    "%u ridd of other configurations run here and were not looked at", n_others);
        finding_is_detail(d->f);
    }
    if (n == 0)
        finding_add(d->f, FINDING_NOTE, "process", NULL, "systemctl start ridd@NAME",
                    "no ridd is seen to run on this host");
    if (n > d->n_processes)
        finding_add(d->f, FINDING_NOTE, "process", NULL, NULL, "%u of %u ridd were looked at",
                    d->n_processes, n);
    for (unsigned i = 0; i < d->n_processes; i++)
        doctor_judge_process(d->f, &d->roots, &d->processes[i], d->has_conf ? &d->conf : NULL);
}

int doctor_examine(struct ctl *ctl, struct findings *f)
{
    cleanup_free struct doctor *d = calloc(1, sizeof(*d));
    int exit_code;

    if (d == NULL)
        return report_no_memory(ctl);
    d->ctl = ctl;
    d->f = f;
    d->roots = (struct doctor_roots){.proc = "/proc", .sys = "/sys"};
    look_at_conf(d);
    exit_code = look_at_cluster(d);
    if (exit_code == CTL_EXIT_OK) {
        if (d->has_conf)
            doctor_network(f, &d->conf);
        doctor_clocks(f, &d->roots);
        doctor_memory(f, &d->roots);
        doctor_units(f);
        look_at_processes(d);
        look_at_dirs(d);
    }
    for (unsigned i = 0; i < d->n_nodes; i++)
        json_decref(d->statuses[i]);
    ask_done(d->answers, d->n_nodes);
    if (exit_code == CTL_EXIT_OK && f->failed)
        return report_no_memory(ctl);
    return exit_code;
}

void doctor_add_json(struct doc *d, const char *name, const struct findings *f)
{
    doc_open(d, name, '[');
    for (unsigned i = 0; i < f->n; i++) {
        const struct finding *x = &f->list[i];

        doc_open(d, NULL, '{');
        doc_str(d, "level", finding_level_word(x->level));
        doc_str(d, "check", x->check);
        doc_str(d, "where", x->where);
        doc_str(d, "text", x->text);
        if (x->has_figure) {
            char number[40];

            (void)snprintf(number, sizeof(number), "%.17g", x->figure);
            doc_raw(d, "figure", number, strlen(number));
            doc_str(d, "unit", x->unit);
        }
        if (x->next[0] != '\0')
            doc_str(d, "next", x->next);
        doc_close(d, '}');
    }
    doc_close(d, ']');
}
