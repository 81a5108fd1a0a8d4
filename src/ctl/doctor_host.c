/* The machine as the kernel shows it: clocks, memory, and the ridd that run on it. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/doctor_int.h"

#include "base/banned.h"

#define MIB ((double)(1u << 20))

/* ---- clocks ---- */

/* Those that the processor reads by itself; any other one is a question to a device or a lock. */
static bool is_fast_source(const char *name)
{
    static const char *const fast[] = {"tsc", "kvm-clock",        "hyperv_clocksource_tsc_page",
                                       "xen", "arch_sys_counter", "timebase",
                                       "tod", "riscv_clocksource"};

    for (size_t i = 0; i < sizeof(fast) / sizeof(fast[0]); i++)
        if (strcmp(name, fast[i]) == 0)
            return true;
    return false;
}

static void look_at_source(struct findings *f, const struct doctor_roots *roots)
{
    char name[64];

    if (doctor_read(roots->sys, "devices/system/clocksource/clocksource0/current_clocksource", name,
                    sizeof(name)) < 0)
        finding_add(f, FINDING_NOTE, "clock", NULL, NULL, "the clock source is not to be seen: %s",
                    strerror(errno));
    else if (is_fast_source(name))
        finding_add(f, FINDING_OK, "clock", NULL, NULL, "clock source %s", name);
    else
        finding_add(f, FINDING_WARN, "clock", NULL,
                    "cat /sys/devices/system/clocksource/clocksource0/available_clocksource; "
                    "dmesg | grep -i clocksource",
                    "clock source %s: slow to read, and a sign that the kernel found the "
                    "processor's own unreliable",
                    name);
}

/* CLOCK_MONOTONIC_RAW is what all times of ridd come from (leases included). */
static void look_at_raw(struct findings *f)
{
    struct timespec ts;
    uint64_t begun_us;
    double ns;

    if (clock_gettime(CLOCK_MONOTONIC_RAW, &ts) != 0) {
        finding_add(f, FINDING_FAIL, "clock", NULL, "uname -r",
                    "CLOCK_MONOTONIC_RAW cannot be read: %s", strerror(errno));
        return;
    }
    begun_us = clock_mono_us();
    for (unsigned i = 0; i < DOCTOR_CLOCK_READS; i++)
        (void)clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
    ns = (double)(clock_mono_us() - begun_us) * 1e3 / DOCTOR_CLOCK_READS;
    if (ns >= DOCTOR_CLOCK_NS_MAX)
        finding_add(f, FINDING_WARN, "clock", NULL,
                    "cat /sys/devices/system/clocksource/clocksource0/current_clocksource",
                    "reading CLOCK_MONOTONIC_RAW takes %.0f ns: it is a system call here", ns);
    else
        finding_add(f, FINDING_OK, "clock", NULL, NULL, "reading CLOCK_MONOTONIC_RAW takes %.0f ns",
                    ns);
    finding_figure(f, ns, "ns");
}

/* Only a note: no promise of ridd rests on the time of day, but log lines are compared by it. */
static void look_at_wall(struct findings *f)
{
    struct timex t = {.modes = 0};
    const int state = adjtimex(&t);

    if (state < 0)
        finding_add(f, FINDING_NOTE, "clock", NULL, NULL,
                    "whether the time of day is kept right is not to be seen: %s", strerror(errno));
    else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0)
        finding_add(
            f, FINDING_NOTE, "clock", NULL, "timedatectl timesync-status",
            "nobody sets the time of day: lines of logs of different hosts will not compare "
            "(nothing else depends on it)");
    else
        finding_add(f, FINDING_OK, "clock", NULL, NULL,
                    "the time of day is kept, estimated error %.1f ms", (double)t.esterror / 1e3);
}

void doctor_clocks(struct findings *f, const struct doctor_roots *roots)
{
    look_at_source(f, roots);
    look_at_raw(f);
    look_at_wall(f);
}

/* ---- memory of the machine ---- */

/* "Name:   123 kB" or "Max open files  1024  4096  files": what stands behind the name. */
static const char *behind(const char *text, const char *name)
{
    const size_t len = strlen(name);

    for (const char *s = text; s != NULL; s = strchr(s, '\n'), s = s != NULL ? s + 1 : NULL)
        if (strncmp(s, name, len) == 0)
            return s + len + strspn(s + len, " \t");
    return NULL;
}

/* False: it is not there, or "unlimited". */
static bool number_behind(const char *text, const char *name, uint64_t *ret)
{
    const char *s = behind(text, name);

    if (s == NULL || !isdigit((unsigned char)s[0]))
        return false;
    *ret = strtoull(s, NULL, 10);
    return true;
}

static void look_at_pressure(struct findings *f, const struct doctor_roots *roots, const char *what,
                             double warn_percent)
{
    char path[64];
    char text[256];
    const char *avg;
    double percent;

    (void)snprintf(path, sizeof(path), "pressure/%s", what);
    if (doctor_read(roots->proc, path, text, sizeof(text)) < 0)
        return; /* an old kernel, or a container */
    avg = strstr(text, "avg60=");
    if (avg == NULL)
        return;
    percent = strtod(avg + 6, NULL);
    if (percent >= warn_percent)
        finding_add(f, FINDING_WARN, "pressure", NULL, "top; cat /proc/pressure/*",
                    "in the last minute somebody waited for %s %.0f %% of the time", what, percent);
    else
        finding_add(f, FINDING_OK, "pressure", NULL, NULL,
                    "in the last minute somebody waited for %s %.0f %% of the time", what, percent);
    finding_figure(f, percent, "percent");
    if (percent < warn_percent)
        finding_is_detail(f);
}

void doctor_memory(struct findings *f, const struct doctor_roots *roots)
{
    char text[4096];
    uint64_t available_kib = 0;
    uint64_t total_kib = 0;

    if (doctor_read(roots->proc, "meminfo", text, sizeof(text)) >= 0 &&
        number_behind(text, "MemTotal:", &total_kib) &&
        number_behind(text, "MemAvailable:", &available_kib)) {
        const bool low = available_kib < total_kib / 20;

        finding_add(f, low ? FINDING_WARN : FINDING_OK, "memory", NULL,
                    low ? "ps -eo rss,comm --sort=-rss | head" : NULL,
                    "%.0f MiB of %.0f are available", (double)available_kib / 1024,
                    (double)total_kib / 1024);
        finding_figure(f, (double)available_kib * 1024, "bytes");
    }
    /* A map of a file that is written to counts for nothing there; what is refused is the rest. */
    if (doctor_read(roots->proc, "sys/vm/overcommit_memory", text, sizeof(text)) >= 0 &&
        strcmp(text, "2") == 0)
        finding_add(f, FINDING_NOTE, "memory", NULL, "sysctl vm.overcommit_ratio",
                    "vm.overcommit_memory = 2: memory is refused before it is used up; the state's "
                    "file does not count, [limits] memory does");
    if (doctor_read(roots->sys, "kernel/mm/transparent_hugepage/enabled", text, sizeof(text)) >=
            0 &&
        strstr(text, "[always]") != NULL) {
        finding_add(f, FINDING_NOTE, "memory", NULL, NULL,
                    "transparent huge pages are [always]: a node's resident memory may be some "
                    "MiB more than it uses");
        finding_is_detail(f);
    }
    look_at_pressure(f, roots, "cpu", DOCTOR_PRESSURE_CPU_PERCENT);
    look_at_pressure(f, roots, "io", DOCTOR_PRESSURE_PERCENT);
    look_at_pressure(f, roots, "memory", DOCTOR_PRESSURE_PERCENT);
}

/* ---- the processes ---- */

/* `--id n1` or `--id=n1` of a command line whose words end with NUL. */
static void take_word(const char *words, size_t len, const char *option, char letter, char *ret,
                      size_t size)
{
    const size_t option_len = strlen(option);

    for (size_t at = 0; at < len; at += strlen(words + at) + 1) {
        const char *w = words + at;
        const size_t next = at + strlen(w) + 1;

        if (strncmp(w, option, option_len) == 0 && w[option_len] == '=')
            (void)snprintf(ret, size, "%s", w + option_len + 1);
        else if (letter != '\0' && w[0] == '-' && w[1] == letter && w[2] != '\0')
            (void)snprintf(ret, size, "%s", w + 2);
        else if (next < len && (strcmp(w, option) == 0 ||
                                (letter != '\0' && w[0] == '-' && w[1] == letter && w[2] == '\0')))
            (void)snprintf(ret, size, "%s", words + next);
    }
}

/* A name below the folder in which it was started. Whose folder that is may be nobody's business:
 * the name stays as it was. */
static void make_absolute(const struct doctor_roots *roots, const char *pid, char *config,
                          size_t size)
{
    char link[300];
    char cwd[256];
    char whole[sizeof(cwd) + 256];
    ssize_t n;

    if (config[0] == '\0' || config[0] == '/')
        return;
    (void)snprintf(link, sizeof(link), "%s/%s/cwd", roots->proc, pid);
    n = readlink(link, cwd, sizeof(cwd) - 1);
    if (n <= 0 || (size_t)n == sizeof(cwd) - 1)
        return;
    cwd[n] = '\0';
    (void)snprintf(whole, sizeof(whole), "%s/%s", cwd, config);
    if (strlen(whole) < size)
        memcpy(config, whole, strlen(whole) + 1);
}

static bool take_process(const struct doctor_roots *roots, const char *pid,
                         struct doctor_process *ret)
{
    char name[300];
    char text[4096];
    uint64_t uid = 0;
    ssize_t n;

    if (pid[strspn(pid, "0123456789")] != '\0')
        return false;
    (void)snprintf(name, sizeof(name), "%s/comm", pid);
    if (doctor_read(roots->proc, name, text, sizeof(text)) < 0 || strcmp(text, "ridd") != 0)
        return false;
    memset(ret, 0, sizeof(*ret));
    ret->pid = (pid_t)strtol(pid, NULL, 10);
    ret->uid = (uid_t)-1;
    (void)snprintf(name, sizeof(name), "%s/cmdline", pid);
    n = doctor_read(roots->proc, name, text, sizeof(text));
    if (n == 0)
        return false; /* it has ended, and nobody has asked how */
    if (n > 0) {
        take_word(text, (size_t)n, "--id", 'i', ret->id, sizeof(ret->id));
        take_word(text, (size_t)n, "--config", 'c', ret->config, sizeof(ret->config));
        make_absolute(roots, pid, ret->config, sizeof(ret->config));
    }
    (void)snprintf(name, sizeof(name), "%s/status", pid);
    if (doctor_read(roots->proc, name, text, sizeof(text)) > 0 && number_behind(text, "Uid:", &uid))
        ret->uid = (uid_t)uid;
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const pid_t x = ((const struct doctor_process *)a)->pid;
    const pid_t y = ((const struct doctor_process *)b)->pid;

    return (x > y) - (x < y);
}

unsigned doctor_find_processes(const struct doctor_roots *roots, struct doctor_process *ret,
                               unsigned n)
{
    cleanup_dir DIR *dir = opendir(roots->proc);
    struct dirent *e;
    unsigned found = 0;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        struct doctor_process p;

        if (!take_process(roots, e->d_name, &p))
            continue;
        if (found < n)
            ret[found] = p;
        found++;
    }
    qsort(ret, found < n ? found : n, sizeof(ret[0]), by_pid);
    return found;
}

bool doctor_process_is_of(const struct doctor_process *p, const char *path)
{
    cleanup_free char *ours = path != NULL ? realpath(path, NULL) : NULL;
    cleanup_free char *theirs = NULL;

    if (ours == NULL || p->config[0] != '/')
        return true;
    theirs = realpath(p->config, NULL);
    return theirs == NULL || strcmp(ours, theirs) == 0; /* it may be gone, or another's to see */
}

static ssize_t read_of(const struct doctor_roots *roots, const struct doctor_process *p,
                       const char *what, char *ret, size_t size)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%ld/%s", (long)p->pid, what);
    return doctor_read(roots->proc, name, ret, size);
}

static void judge_descriptors(struct findings *f, const char *where, const char *limits,
                              const struct conf *conf)
{
    const uint64_t connections = conf != NULL ? conf->connections : CLIENT_CONNECTIONS_DEFAULT;
    const uint64_t needed = connections + FDS_RESERVED + PEER_HALF_OPEN_MAX + HTTP_FDS_MAX;
    uint64_t limit = UINT64_MAX;

    (void)number_behind(limits, "Max open files", &limit);
    if (limit < needed)
        finding_add(f, FINDING_WARN, "descriptors", where,
                    "systemctl edit ridd@ (LimitNOFILE=65536), or less [limits] connections",
                    "%" PRIu64 " may be open, [limits] connections = %" PRIu64 " needs %" PRIu64
                    ": the rest will be turned away",
                    limit, connections, needed);
    else if (limit == UINT64_MAX)
        finding_add(f, FINDING_OK, "descriptors", where, NULL, "no limit");
    else
        finding_add(f, FINDING_OK, "descriptors", where, NULL,
                    "%" PRIu64 " may be open, %" PRIu64 " are needed", limit, needed);
    finding_figure(f, limit == UINT64_MAX ? -1 : (double)limit, "descriptors");
}

/* Limits of a process that break it in ways that are hard to see. */
static void judge_limits(struct findings *f, const char *where, const char *limits,
                         const struct conf *conf)
{
    const uint64_t segment = conf != NULL ? conf->segment_bytes : STORE_SEGMENT_BYTES;
    uint64_t limit;

    judge_descriptors(f, where, limits, conf);
    if (number_behind(limits, "Max file size", &limit) && limit < segment)
        finding_add(f, FINDING_FAIL, "limits", where, "systemctl edit ridd@ (LimitFSIZE=infinity)",
                    "no file may be larger than %" PRIu64
                    " bytes, a segment of the log is %" PRIu64,
                    limit, segment);
    if (number_behind(limits, "Max address space", &limit))
        finding_add(f, FINDING_WARN, "limits", where, "systemctl edit ridd@ (LimitAS=infinity)",
                    "its address space is limited to %.0f MiB: the state is mapped into it, and "
                    "cannot grow beyond",
                    (double)limit / MIB);
    /* One byte is what it sets itself (GUARD-1). */
    if (behind(limits, "Max core file size") != NULL &&
        (!number_behind(limits, "Max core file size", &limit) || limit > 1))
        finding_add(f, FINDING_NOTE, "limits", where,
                    "systemctl edit ridd@ (without Environment=RIDD_CORE=yes)",
                    "when it crashes a core is written, which holds keys and values");
}

/* The tightest limit on the way up of a cgroup of version 2 (DOCTOR-6). */
static uint64_t cgroup_limit(const struct doctor_roots *roots, const char *group)
{
    char path[PATH_MAX];
    char name[PATH_MAX + 32];
    uint64_t least = UINT64_MAX;

    (void)snprintf(path, sizeof(path), "%s", group);
    for (;;) {
        char text[64];
        char *slash;

        (void)snprintf(name, sizeof(name), "fs/cgroup%s/memory.max", path);
        if (doctor_read(roots->sys, name, text, sizeof(text)) > 0 &&
            isdigit((unsigned char)text[0])) {
            const uint64_t limit = strtoull(text, NULL, 10);

            least = limit < least ? limit : least;
        }
        slash = strrchr(path, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

static void judge_cgroup(struct findings *f, const struct doctor_roots *roots, const char *where,
                         const struct doctor_process *p, const struct conf *conf)
{
    const uint64_t memory = conf != NULL ? conf->memory_bytes : MEMORY_BYTES_DEFAULT;
    const uint64_t needed = memory + DOCTOR_OWN_BYTES;
    char text[PATH_MAX];
    const char *group;
    uint64_t limit;

    if (read_of(roots, p, "cgroup", text, sizeof(text)) <= 0)
        return;
    group = behind(text, "0::");
    if (group == NULL)
        return; /* version 1: every controller has a tree of its own */
    text[(size_t)(group - text) + strcspn(group, "\n")] = '\0';
    limit = cgroup_limit(roots, group);
    if (limit == UINT64_MAX)
        finding_add(f, FINDING_OK, "memory", where, NULL, "its cgroup has no limit");
    else
        finding_add(f, limit < needed ? FINDING_WARN : FINDING_OK, "memory", where,
                    limit < needed ? "less [limits] memory, or systemctl edit ridd@ (MemoryMax=)"
                                   : NULL,
                    "its cgroup may take %.0f MiB, [limits] memory and the node itself %.0f MiB%s",
                    (double)limit / MIB, (double)needed / MIB,
                    limit < needed ? ": the kernel may kill it" : "");
    if (limit != UINT64_MAX)
        finding_figure(f, (double)limit, "bytes");
    else
        finding_is_detail(f);
}

static void judge_swap(struct findings *f, const char *where, const char *status)
{
    uint64_t swap_kib = 0;
    uint64_t rss_kib = 0;

    (void)number_behind(status, "VmRSS:", &rss_kib);
    if (number_behind(status, "VmSwap:", &swap_kib) && swap_kib > 0)
        finding_add(f, FINDING_WARN, "memory", where, "systemctl edit ridd@ (MemorySwapMax=0)",
                    "%.1f MiB of it are swapped out: it stands still while they are read again",
                    (double)swap_kib / 1024);
    else
        finding_add(f, FINDING_OK, "memory", where, NULL, "%.1f MiB resident, nothing swapped out",
                    (double)rss_kib / 1024);
    finding_figure(f, (double)rss_kib * 1024, "bytes");
}

void doctor_judge_process(struct findings *f, const struct doctor_roots *roots,
                          const struct doctor_process *p, const struct conf *conf)
{
    char where[FINDING_WHERE_BUF];
    char text[4096];

    (void)snprintf(where, sizeof(where), "%s%sprocess %ld", p->id, p->id[0] != '\0' ? ", " : "",
                   (long)p->pid);
    if (read_of(roots, p, "status", text, sizeof(text)) > 0)
        judge_swap(f, where, text);
    judge_cgroup(f, roots, where, p, conf);
    if (read_of(roots, p, "limits", text, sizeof(text)) > 0)
        judge_limits(f, where, text, conf);
    else
        finding_add(f, FINDING_NOTE, "limits", where, "run it as root or as the user of the node",
                    "its limits are not to be seen: %s", strerror(errno));
}
