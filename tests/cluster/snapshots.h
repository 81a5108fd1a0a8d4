/* What tests of snapshots share: a cluster with little log, looking at the object `snapshots` of
 * `status`, clients that read and write all the time, and a proxy between the nodes. */
#ifndef RIDD_TESTS_CLUSTER_SNAPSHOTS_H
#define RIDD_TESTS_CLUSTER_SNAPSHOTS_H

#include "cluster/harness.h"
#include "cluster/proxy.h"

#define SEGMENT_BYTES (1u << 20)
#define VALUE_BYTES   10000u /* of preload() */
#define DISK_BYTES    ((uint64_t)400 << 20)

/* ---- looking ---- */

/* Of the object `snapshots`, as the node says now; -1: it did not answer. */
int64_t snap_of(struct cluster *c, unsigned i, const char *name);
int64_t status_of(struct cluster *c, unsigned i, const char *object, const char *name);
/* The object `sending` to that node, as its percent; -1: there is none. */
int64_t percent_sent(struct cluster *c, unsigned from, unsigned to);
bool is_receiving(struct cluster *c, unsigned i);
/* Bytes of the segments of the log, as the files are. */
uint64_t wal_bytes(const struct cluster *c, unsigned i);
/* Lines of all that the node has ever logged. */
unsigned lines_ever(const struct cluster *c, unsigned i, const char *text);
void expect_nobody_ended(struct cluster *c);

/* ---- doing ---- */

/* Nodes with segments of a mebibyte, a snapshot for each mebibyte of log, and nothing kept. */
void small_conf(char *conf, size_t size, unsigned mib_per_s);
struct cluster *cluster_small(unsigned mib_per_s);
/* Another configuration for all nodes that run, and from then on. */
void take_conf(struct cluster *c, const char *extra);
void set_speed(struct cluster *c, unsigned mib_per_s);
/* `snapshot`, and waits until there is one of all that was applied then. */
void make_snapshot(struct cluster *c, unsigned i);
/* Writes until no running node has the entries any more that this one, which is down, needs. */
void leave_behind(struct cluster *c, unsigned node, struct writers *w);

/* ---- clients that read and write beside it ---- */

/* Each has a key of its own, which it writes one higher each time, and reads in between: a
 * read_index is never below what was acknowledged, nor above what was tried. */
struct beside;
struct beside *beside_new(struct cluster *c);
void beside_turn(struct beside *b, unsigned ms);
uint64_t beside_writes(const struct beside *b);
uint64_t beside_reads(const struct beside *b);
/* Takes in what is owed, and reads each key once more. */
void beside_end(struct beside *b);

/* Waits while the clients go on. */
#define wait_beside(b, condition, what)                                                            \
    do {                                                                                           \
        uint64_t beside_deadline_ = now_ms() + slow(3 * WAIT_MS);                                  \
        while (!(condition)) {                                                                     \
            if (now_ms() > beside_deadline_)                                                       \
                harness_fail("%s:%d: waited in vain for %s", __FILE__, __LINE__, (what));          \
            beside_turn((b), 4);                                                                   \
        }                                                                                          \
    } while (0)

/* Asked of one node itself, again and again: the first keys of the writers, which it had
 * shown, are never away, whatever is done to its state. */
void expect_never_half(struct cluster *c, unsigned node, const struct writers *w);

/* So much, in keys of its own; all nodes have applied it. */
void preload(struct writers *w, struct cluster *c, unsigned mib);
/* The end of the writers: all that was acknowledged is there, the states are equal, nobody ended. */
void verify(struct writers *w, struct cluster *c);

/* ---- files ---- */

/* Below the data of that node; valid until the call after the next. */
char *path_of(const struct cluster *c, unsigned i, const char *name);
/* A bit of every snapshot: of its trailer, or of its copy. */
void spoil_snaps(const struct cluster *c, unsigned node, bool trailer);

/* ---- disks: tmpfs in a mount namespace of the test's own, which asks for root ---- */

void own_mounts(void);
bool skip_without_disks(void);
/* flags: MS_REMOUNT. */
bool set_disk(const struct cluster *c, unsigned i, uint64_t bytes, unsigned long flags);
/* So much is left. */
void fill_disk(const struct cluster *c, unsigned i, uint64_t room);
struct cluster *cluster_on_disks(void);
void end_on_disks(struct cluster *c);

/* ---- links ---- */

struct links {
    struct cluster *cluster;
    struct proxy *proxy;
    struct {
        char ports[800];
        struct shim_env shim;
    } nodes[CLUSTER_NODES_MAX];
};
/* Before any node is started; nodes are started by links_start(). */
void links_begin(struct links *l, struct cluster *c);
void links_start(struct links *l, unsigned i);
void links_start_all(struct links *l);
/* Both directions. */
void links_cut(struct links *l, unsigned a, unsigned b, enum proxy_cut how);
void links_end(struct links *l);

#endif
