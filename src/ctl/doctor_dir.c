/* Where the data lies: on what kind of file system, with how much room, and whose it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/exit_codes.h"
#include "ctl/doctor_int.h"

#include "base/banned.h"

#define GIB ((double)(UINT64_C(1) << 30))

ssize_t doctor_read(const char *root, const char *name, char *ret, size_t size)
{
    char path[PATH_MAX];
    cleanup_file FILE *file = NULL;
    size_t n;

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", root, name) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    file = fopen(path, "re");
    if (file == NULL)
        return -1;
    n = fread(ret, 1, size - 1, file);
    if (ferror(file))
        return -1;
    while (n > 0 && ret[n - 1] == '\n')
        n--;
    ret[n] = '\0';
    return (ssize_t)n;
}

/* ---- the file system ---- */

/* "\040" is a blank in mountinfo. */
static void unescape(char *s)
{
    char *to = s;

    for (; *s != '\0'; to++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *to = *s++;
        }
    }
    *to = '\0';
}

static bool is_below(const char *path, const char *point)
{
    const size_t len = strlen(point);

    return strcmp(point, "/") == 0 ||
           (strncmp(path, point, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

/* ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER_OPTIONS */
static bool take_mount(char *line, const char *path, struct doctor_mount *ret)
{
    char *rest = NULL;
    char *fields[6];
    const char *type;
    const char *super;
    char *behind = strstr(line, " - ");

    if (behind == NULL)
        return false;
    *behind = '\0';
    for (size_t i = 0; i < 6; i++) {
        fields[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
        if (fields[i] == NULL)
            return false;
    }
    unescape(fields[4]);
    /* Of two at one point the later one covers the other (DOCTOR-6). */
    if (!is_below(path, fields[4]) || strlen(fields[4]) < strlen(ret->point))
        return false;
    type = strtok_r(behind + 3, " ", &rest);
    (void)strtok_r(NULL, " ", &rest);
    super = strtok_r(NULL, " \n", &rest);
    (void)snprintf(ret->point, sizeof(ret->point), "%s", fields[4]);
    (void)snprintf(ret->type, sizeof(ret->type), "%s", type != NULL ? type : "?");
    (void)snprintf(ret->options, sizeof(ret->options), "%s,%s", fields[5],
                   super != NULL ? super : "");
    return true;
}

bool doctor_find_mount(const struct doctor_roots *roots, const char *path, struct doctor_mount *ret)
{
    char name[PATH_MAX];
    cleanup_file FILE *file = NULL;
    cleanup_free char *line = NULL;
    size_t size = 0;
    bool found = false;

    memset(ret, 0, sizeof(*ret));
    (void)snprintf(name, sizeof(name), "%s/self/mountinfo", roots->proc);
    file = fopen(name, "re");
    if (file == NULL)
        return false;
    while (getline(&line, &size, file) > 0)
        found |= take_mount(line, path, ret);
    return found;
}

static bool has_option(const char *options, const char *wanted)
{
    const size_t len = strlen(wanted);

    for (const char *s = options; *s != '\0'; s += strcspn(s, ","), s += *s == ',')
        if (strncmp(s, wanted, len) == 0 && (s[len] == ',' || s[len] == '\0'))
            return true;
    return false;
}

/* What is known to be wrong with one, for a log whose every acknowledgement is a promise. */
static const struct {
    const char *type;
    const char *why;
} bad_types[] = {
    {"tmpfs", "is gone after a reboot: the node would have to be rejoined"},
    {"ramfs", "is gone after a reboot: the node would have to be rejoined"},
    {"overlay", "is the writable layer of a container: it goes with the container"},
    {"nfs", "is a disk of another machine: a sync waits for the network"},
    {"nfs4", "is a disk of another machine: a sync waits for the network"},
    {"cifs", "is a disk of another machine: a sync waits for the network"},
    {"smb3", "is a disk of another machine: a sync waits for the network"},
    {"9p", "is a folder of the host: what a sync does there is up to the host"},
    {"virtiofs", "is a folder of the host: what a sync does there is up to the host"},
};

static const char *why_bad(const char *type)
{
    for (size_t i = 0; i < sizeof(bad_types) / sizeof(bad_types[0]); i++)
        if (strcmp(type, bad_types[i].type) == 0)
            return bad_types[i].why;
    if (strncmp(type, "fuse", 4) == 0)
        return "is made by a program: what a sync does there is up to it";
    return NULL;
}

static const char *bad_option(const char *options)
{
    static const char *const bad[] = {"nobarrier", "barrier=0", "data=writeback", "nolog"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (has_option(options, bad[i]))
            return bad[i];
    return NULL;
}

void doctor_judge_mount(struct findings *f, const char *where, const struct doctor_mount *m)
{
    const char *why = why_bad(m->type);
    const char *option = bad_option(m->options);
    char next[FINDING_NEXT_BUF];

    (void)snprintf(next, sizeof(next), "findmnt --target %s", where);
    if (has_option(m->options, "ro"))
        finding_add(f, FINDING_FAIL, "file_system", where, next,
                    "%s at %s is mounted read-only: nothing can be stored", m->type, m->point);
    else if (why != NULL)
        finding_add(f, FINDING_WARN, "file_system", where, "give data_dir a local disk",
                    "%s at %s %s", m->type, m->point, why);
    else if (option != NULL)
        finding_add(f, FINDING_WARN, "file_system", where, next,
                    "%s at %s is mounted with %s: a power failure may take what was synced",
                    m->type, m->point, option);
    else
        finding_add(f, FINDING_OK, "file_system", where, NULL, "%s at %s", m->type, m->point);
    finding_add(f, FINDING_OK, "file_system", where, NULL, "mounted with %s", m->options);
    finding_is_detail(f);
}

/* ---- room ---- */

/* What a node may need beside what it has: the log to the next snapshot and what is kept of it, a
 * segment that is being filled and the one prepared behind it, and one more copy of the state. */
static uint64_t needed(const struct doctor_room *r)
{
    return r->snapshot_bytes + r->keep_bytes + 2 * r->segment_bytes + r->state_bytes;
}

static void judge_inodes(struct findings *f, const char *where, const struct doctor_room *r,
                         const char *next)
{
    if (r->total_inodes == 0)
        return;
    if (r->free_inodes < DOCTOR_INODES_MIN)
        finding_add(f, FINDING_FAIL, "inodes", where, next, "%llu of %llu are free",
                    (unsigned long long)r->free_inodes, (unsigned long long)r->total_inodes);
    else
        finding_add(f, FINDING_OK, "inodes", where, NULL, "%llu of %llu are free",
                    (unsigned long long)r->free_inodes, (unsigned long long)r->total_inodes);
    finding_figure(f, (double)r->free_inodes, "inodes");
    if (r->free_inodes >= DOCTOR_INODES_MIN)
        finding_is_detail(f);
}

void doctor_judge_room(struct findings *f, const char *where, const struct doctor_room *r)
{
    const uint64_t need = needed(r);
    const double free_gib = (double)r->free_bytes / GIB;
    char next[FINDING_NEXT_BUF];

    (void)snprintf(next, sizeof(next), "du -xh --max-depth=2 %s", where);
    if (r->free_bytes < 2 * r->segment_bytes)
        finding_add(f, FINDING_FAIL, "space", where, next,
                    "%.2f GiB of %.1f are free, which is less than two segments of the log "
                    "(%.2f GiB): writes will be refused",
                    free_gib, (double)r->total_bytes / GIB, (double)(2 * r->segment_bytes) / GIB);
    else if (r->free_bytes < need)
        finding_add(f, FINDING_WARN, "space", where, next,
                    "%.2f GiB of %.1f are free; log, segments and another copy of the state may "
                    "take %.2f GiB",
                    free_gib, (double)r->total_bytes / GIB, (double)need / GIB);
    else
        finding_add(f, FINDING_OK, "space", where, NULL,
                    "%.1f GiB of %.1f are free; log, segments and another copy of the state may "
                    "take %.2f GiB",
                    free_gib, (double)r->total_bytes / GIB, (double)need / GIB);
    finding_figure(f, (double)r->free_bytes, "bytes");
    judge_inodes(f, where, r, next);
}

/* ---- whose it is ---- */

void doctor_judge_owner(struct findings *f, const char *where, const struct stat *st, uid_t run_by)
{
    char next[FINDING_NEXT_BUF];

    (void)snprintf(next, sizeof(next), "chmod 0700 %s", where);
    if ((st->st_mode & 077) != 0)
        finding_add(f, FINDING_WARN, "owner", where, next,
                    "mode %04o lets others in: all keys and values lie there",
                    (unsigned)(st->st_mode & 07777));
    else
        finding_add(f, FINDING_OK, "owner", where, NULL, "user %u, mode %04o", (unsigned)st->st_uid,
                    (unsigned)(st->st_mode & 07777));
    if (run_by != (uid_t)-1 && run_by != 0 && run_by != st->st_uid) {
        (void)snprintf(next, sizeof(next), "chown -R %u %s", (unsigned)run_by, where);
        finding_add(f, FINDING_FAIL, "owner", where, next,
                    "it belongs to user %u and the node runs as user %u", (unsigned)st->st_uid,
                    (unsigned)run_by);
    }
    if (run_by == 0) {
        finding_add(f, FINDING_NOTE, "owner", where, "systemctl cat ridd@",
                    "the node runs as root; a user of its own (ridd) is enough for it");
    }
}

void doctor_judge_log(struct findings *f, const char *where, const char *name, int status,
                      const char *line)
{
    const char *verdict = strstr(line, "verdict=");
    const char *said = verdict != NULL ? verdict + strlen("verdict=") : line;
    const char *why = strstr(said, ": ");
    char next[FINDING_NEXT_BUF];

    if (status == 0) {
        finding_add(f, FINDING_OK, "log", where, NULL, "%.*s", (int)strcspn(said, "\n"), said);
        return;
    }
    said = why != NULL ? why + 2 : said; /* which begins with what is wrong */
    (void)snprintf(next, sizeof(next),
                   "empty it, 'ridd --id %s --rejoin' here, 'ridctl member rejoin %s' elsewhere",
                   name[0] != '\0' ? name : "NAME", name[0] != '\0' ? name : "NAME");
    finding_add(f, FINDING_FAIL, "log", where,
                status == EXIT_DAMAGED ? next : "systemctl status 'ridd@*'; man 8 ridd", "%.*s",
                (int)strcspn(said, "\n"), said);
}
