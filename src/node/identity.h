/* Who this data directory is: its identity, the lock on it, and the incarnations of the peers it
 * has met.
 *
 *     data/          0700; the path may lead over links, nothing inside is a link
 *       LOCK         held with flock while the directory is in use; says the pid
 *       INIT         an initialisation is under way or was interrupted: this was never a node
 *       IDENT        founding id, node id and name, incarnation, time of creation; written once
 *       CLUSTER      the cluster's name and its random id; missing where only founders ever were
 *       PEERS        the incarnation of each founder at the first handshake with it
 *       wal/ db/     0700; db/ is made by kv, wal/ filled by store
 *       snap/        0700; filled by snap
 *
 * The incarnation is random and made with the directory. A node that lost its disk gets another
 * one, and its peers, who remember the old, refuse it: it cannot come back under its name and vote
 * again in a term in which it has voted (IDENTITY-2). So what is missing is never taken for new:
 * IDENT without PEERS is damage, and wal/ or db/ with something in it but without IDENT is refused
 * (DISK-1).
 *
 * Leftovers of a crash in identity_create() .. identity_commit(), in the order of the steps: LOCK;
 * INIT; wal/, db/ (of --restore snap/, too); PEERS; the first segment of the log (of --restore the
 * state, a snapshot, the log); CLUSTER; IDENT; INIT removed. Without IDENT, INIT says that all of
 * it may be thrown away: nobody counts on that incarnation. With IDENT, INIT is what the next start
 * removes. INIT says, too, in which way the directory was to be made: one that was left by another
 * is not touched.
 *
 * The id of a node that was added holds its incarnation (raft_member_id()), so that IDENT is of
 * version 2, which an earlier program refuses, and PEERS need not know it.
 *
 * For: the daemon, `ridd --init`, `--join`, `--rejoin` and `--restore`.
 * Not for: log and state, which it does not read, and addresses, which it does not know.
 * Units: created_s in seconds of the wall clock.
 * Ownership: identity_dir is the caller's until identity_close(); what it hands out is borrowed
 * from it.
 * Errors: 0, IDENTITY_E_* with a sentence in err_text() that names the path, what is wrong and the
 * next command; -errno. Files are checked, written and made durable as in base/mark.h: after an
 * error there is the old one or the new one.
 * Thread: one.
 * Source: IDENTITY-1, IDENTITY-2, IDENTITY-4, DISK-1, MEMBER-21. */
#ifndef RIDD_NODE_IDENTITY_H
#define RIDD_NODE_IDENTITY_H

#include "base/exit_codes.h"
#include "raft/types.h"

/* Number, words, and what ridd exits with. NOT_INITIALISED: missing, empty, or its initialisation
 * was interrupted. FOREIGN: another cluster or node; at --init, something that is not ridd's. LOST:
 * no IDENT, but wal/, db/ or snap/ hold something, or PEERS or CLUSTER is there. ACCESS: owner,
 * mode or kind of the directory or of something in it. EXISTS: at --init, it is this very node
 * already; nothing was changed. NEWER: IDENT, CLUSTER, PEERS or INIT is of a later version, which
 * can go on with it; nothing was changed (DISK-24). */
/* clang-format off */
#define IDENTITY_ERRORS(X)                                                                   \
    X(IDENTITY_E_NOT_INITIALISED, 1, "it was not initialised",          EXIT_CONF_ERROR)     \
    X(IDENTITY_E_FOREIGN,         2, "it is another node's",            EXIT_CONF_ERROR)     \
    X(IDENTITY_E_DAMAGED,         3, "its identity cannot be believed", EXIT_DAMAGED)        \
    X(IDENTITY_E_LOST,            4, "it has lost its identity",        EXIT_DAMAGED)        \
    X(IDENTITY_E_LOCKED,          5, "another process uses it",         EXIT_IO_ERROR)       \
    X(IDENTITY_E_ACCESS,          6, "it is open to others, or closed", EXIT_CONF_ERROR)     \
    X(IDENTITY_E_EXISTS,          7, "it is initialised already",       0)                   \
    X(IDENTITY_E_NEWER,           8, "a later version made it",         EXIT_CONF_ERROR)
/* clang-format on */
#define IDENTITY_ERROR_ENUM(name, number, text, code) name = number,
enum identity_error { IDENTITY_ERRORS(IDENTITY_ERROR_ENUM) };
const char *identity_error_text(int error);
/* 0 for 0; EXIT_IO_ERROR for -errno. */
int identity_exit_code(int error);

/* In which way a directory is made: by --init, --join, --rejoin, --restore. */
enum identity_way {
    IDENTITY_FOUND = 0,
    IDENTITY_JOIN = 1,
    IDENTITY_REJOIN = 2,
    IDENTITY_RESTORE = 3
};

struct identity {
    unsigned char cluster_id[16]; /* the founding id */
    /* raft_founder_id(node_name); of one that was added raft_member_id(node_name, incarnation) */
    raft_node_id node_id;
    char node_name[NODE_NAME_BYTES_MAX + 1];
    uint64_t incarnation; /* never 0 */
    uint64_t created_s;   /* wall clock, for people */
    /* JOIN also where one that was added does not say it, and of one that was restored: what it is
     * made of is the same, and earlier programs go on with it */
    enum identity_way way;
};

/* What a directory says of the cluster beside the founding id. */
struct identity_cluster {
    bool known;                         /* it says something */
    unsigned char id[16];               /* the random one; zeros: not known yet */
    char name[NODE_NAME_BYTES_MAX + 1]; /* as the configuration calls it; "": not said */
};

struct identity_conf {
    const char *data_dir;
    /* 16 bytes. NULL at identity_open(): any, the caller compares. NULL at identity_create() unless
     * it founds: identity_join() tells it */
    const unsigned char *cluster_id;
    const char *node_name; /* NULL at identity_open(): any */
    /* how ridd was called, for the sentences: "ridd --config x.conf --id n1"; NULL: "ridd" */
    const char *command;
    enum identity_way way; /* of identity_create() */
};

struct identity_dir;

/* The directory of an initialised node, checked and locked until identity_close(). */
int identity_open(const struct identity_conf *conf, struct identity_dir **ret_dir);

/* First half of --init: makes the directory (its parent must be there), locks it, draws an
 * incarnation, and leaves INIT, an empty wal/, an empty db/ and PEERS. The caller then creates the
 * log with that incarnation and calls identity_commit(); until then nothing counts, and another
 * identity_create() begins anew. One that fails leaves what it began, but for IDENTITY_RESTORE,
 * where it is as after identity_abandon(). */
int identity_create(const struct identity_conf *conf, struct identity_dir **ret_dir);
/* In between, of a node that is added: what identity_get() says from now on. */
void identity_join(struct identity_dir *dir, const unsigned char founding_id[16]);
/* What identity_cluster() says, durable at return; of any node, at any time. 0 or -errno: then
 * identity_cluster() says what it did. */
int identity_set_cluster(struct identity_dir *dir, const unsigned char id[16], const char *name);
/* Second half: IDENT is durable, the node exists. 0 or -errno; also that of INIT, which may be gone
 * then or not, and beside IDENT says nothing. */
int identity_commit(struct identity_dir *dir);
/* It exists, whatever that returned. */
bool identity_is_committed(const struct identity_dir *dir);

/* Instead of that, when it came to nothing: what identity_create() began goes, and with it the
 * directory if it was not there before. INIT goes last, so that what a crash leaves of it is known
 * for what it is (BACKUP-4). What cannot be removed stays, as after a crash. Unlocks. */
void identity_abandon(struct identity_dir *dir);

/* Unlocks. NULL is accepted. */
void identity_close(struct identity_dir *dir);

/* Borrowed, as long as dir is open. */
const struct identity *identity_get(const struct identity_dir *dir);
const struct identity_cluster *identity_cluster(const struct identity_dir *dir);
/* It was added to a cluster that was there. */
bool identity_was_added(const struct identity_dir *dir);
int identity_fd(const struct identity_dir *dir);
const char *identity_path(const struct identity_dir *dir); /* absolute, without links */
/* Opens the folder, which is made when it is missing: a data directory of an earlier version has no
 * "snap". For the caller to close: a descriptor or -errno. */
int identity_make_folder(const struct identity_dir *dir, const char *name);
/* Opens the folder "wal" or "db" for the caller to close: a descriptor or -errno. */
int identity_open_folder(const struct identity_dir *dir, const char *name);

/* ---- peers ---- */

enum identity_peer {
    IDENTITY_PEER_KNOWN = 0,    /* the same as before: go on */
    IDENTITY_PEER_RECORDED = 1, /* met for the first time, durable at return: go on */
    /* another incarnation than the one recorded, or none: close; err_text() says which */
    IDENTITY_PEER_REFUSED = 2,
    IDENTITY_PEER_FULL = 3, /* IDENTITY_PEERS_MAX are known: close */
};
/* At each handshake, before anything else the peer says is believed. The id of a node that was
 * added is that of one incarnation, so that nothing needs to be recorded of it. enum identity_peer
 * or -errno: then it is not known whether the record is durable, and the process must end; but
 * where the disk is full (err_is_full()) the peer is refused and may come again. */
int identity_peer_check_and_record(struct identity_dir *dir, raft_node_id id, const char *name,
                                   uint64_t incarnation);
/* What is recorded of a peer; 0: nothing. */
uint64_t identity_peer_incarnation(const struct identity_dir *dir, raft_node_id id);

#endif
