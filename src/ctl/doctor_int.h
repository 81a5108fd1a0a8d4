/* The examinations of `ridctl doctor`: what each looks at, apart from how it is shown.
 *
 * For: verb_doctor.c, which calls all of them, the bundle, and unit tests, which give them folders
 * that only look like /proc and /sys.
 * Not for: changing anything. The only thing that is written is the file that the disk is measured
 * with, which is gone when doctor_measure() returns or the process is ended by a signal that can be
 * caught (DOCTOR-1).
 * Units: as names say; figures of findings carry their unit.
 * Ownership: everything is borrowed for the call; findings are copies.
 * Errors: what cannot be seen is a finding, a note, that says who could (DOCTOR-2). -errno where a
 * measurement could not be made.
 * Thread: the one of the program; name look-ups have threads of their own (base/lookup.h).
 * Source: ridctl(1), doctor; rules DOCTOR-1, DOCTOR-2, DOCTOR-6, DOCTOR-7. */
#ifndef RIDD_CTL_DOCTOR_INT_H
#define RIDD_CTL_DOCTOR_INT_H

#include <jansson.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "ctl/ctl_int.h"
#include "ctl/finding.h"

/* Where a host is looked at. */
struct doctor_roots {
    const char *proc; /* "/proc" */
    const char *sys;  /* "/sys" */
};

/* The first bytes of root/name, NUL behind them, without a last newline; -1: not to be read, errno
 * says why. */
ssize_t doctor_read(const char *root, const char *name, char *ret, size_t size);

/* ---- doctor_disk.c: how fast the disk is ---- */

#define DOCTOR_SYNC_SIZES 3u

struct sync_figures {
    size_t bytes; /* of each write; 0: of any size */
    unsigned n;
    uint64_t p50_us;
    uint64_t p99_us;
    uint64_t max_us;
};

struct disk_figures {
    struct sync_figures all;
    struct sync_figures sizes[DOCTOR_SYNC_SIZES];
    uint64_t bytes_written;
};

/* Sorts the times. All zero of none. */
void doctor_figures(uint64_t *us, unsigned n, struct sync_figures *ret);
/* Writes as the log does: blocks that are there already, a pwritev() and an fdatasync() each, into
 * a file of its own in dir, at most half of the time and for DOCTOR_SYNC_US in all. 0, -errno, or
 * -EINTR when a signal came; then it has been given its way after the file was removed. */
int doctor_measure(const char *dir, struct disk_figures *ret);
/* What these figures mean for elections: findings "fsync". rtt_us: of the slowest link; 0: not
 * known. */
void doctor_judge_disk(struct findings *f, const char *where, const struct disk_figures *d,
                       uint64_t rtt_us, uint64_t heartbeat_us, uint64_t election_us);
/* election_ms that bears such a disk and network, in steps of 50 ms. */
uint64_t doctor_election_ms(uint64_t fsync_p99_us, uint64_t rtt_us);

/* ---- doctor_dir.c: where the data lies ---- */

struct doctor_mount {
    char point[256];
    char type[32];
    char options[256]; /* of the mount, a comma, of the file system */
};
/* Of a path without links, by the mountinfo of a process. False: not found. */
bool doctor_find_mount(const struct doctor_roots *roots, const char *path,
                       struct doctor_mount *ret);
void doctor_judge_mount(struct findings *f, const char *where, const struct doctor_mount *m);
struct doctor_room {
    uint64_t free_bytes;
    uint64_t total_bytes;
    uint64_t free_inodes;
    uint64_t total_inodes;   /* 0: the file system does not count them */
    uint64_t segment_bytes;  /* [log] */
    uint64_t snapshot_bytes; /* [log] */
    uint64_t keep_bytes;     /* [log] */
    uint64_t state_bytes;    /* of the state's file, as the node says; 0: not known */
};
void doctor_judge_room(struct findings *f, const char *where, const struct doctor_room *r);
/* What `ridd --check-log` says of the log in a data directory, its exit status and first line, of a
 * node that does not run. name: whose it is, "": not known. */
void doctor_judge_log(struct findings *f, const char *where, const char *name, int status,
                      const char *line);
/* run_by: who runs the node; (uid_t)-1: nobody is seen to. */
void doctor_judge_owner(struct findings *f, const char *where, const struct stat *st, uid_t run_by);

/* ---- doctor_host.c: the machine, and the ridd that run on it ---- */

void doctor_clocks(struct findings *f, const struct doctor_roots *roots);
void doctor_memory(struct findings *f, const struct doctor_roots *roots);

struct doctor_process {
    pid_t pid;
    char id[NODE_NAME_BYTES_MAX + 1]; /* --id; "": not given */
    char config[256]; /* --config, from the root where that is known; "": not given */
    uid_t uid;
};
/* The processes whose name is ridd, at most n; how many there are. */
unsigned doctor_find_processes(const struct doctor_roots *roots, struct doctor_process *ret,
                               unsigned n);
/* It runs by this file, or by one that is not known. */
bool doctor_process_is_of(const struct doctor_process *p, const char *path);
/* Its limits and memory against the configuration; conf NULL: against the defaults. */
void doctor_judge_process(struct findings *f, const struct doctor_roots *roots,
                          const struct doctor_process *p, const struct conf *conf);

/* ---- doctor_net.c: names and ports ---- */

/* The hosts of [peers] are looked up, and their ports tried: all at once. */
void doctor_network(struct findings *f, const struct conf *conf);

/* ---- doctor_cluster.c: what the nodes say ---- */

struct doctor_answer {
    const char *name; /* "": not known */
    const char *endpoint;
    const json_t *status; /* NULL: it did not answer */
};
/* conf NULL: there is none to hold them against. */
void doctor_judge_answers(struct findings *f, const struct doctor_answer *answers, unsigned n,
                          const struct conf *conf);
/* The largest that a leader says of its peers; 0: not known. */
uint64_t doctor_rtt_us(const struct doctor_answer *answers, unsigned n);

/* ---- doctor_unit.c: systemd ---- */

/* What `systemctl show` says of the instances of ridd@.service. */
void doctor_judge_units(struct findings *f, const char *text);
void doctor_units(struct findings *f);

/* ---- doctor.c: all of it ---- */

/* Looks at the cluster that the command line names, and at this host. An exit code; on failure it
 * has been reported: there was nothing to look at. */
int doctor_examine(struct ctl *ctl, struct findings *f);
/* The findings as an array of this name. */
void doctor_add_json(struct doc *d, const char *name, const struct findings *f);

#endif
