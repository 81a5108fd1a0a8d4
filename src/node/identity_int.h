/* What the files of identity share: the directory while it is open, and what was found in it. */
#ifndef RIDD_NODE_IDENTITY_INT_H
#define RIDD_NODE_IDENTITY_INT_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "node/identity.h"

#define LOCK_NAME    "LOCK"
#define INIT_NAME    "INIT"
#define IDENT_NAME   "IDENT"
#define PEERS_NAME   "PEERS"
#define CLUSTER_NAME "CLUSTER"

#define INIT_MAGIC "RIDDINI1"
/* With a byte that says in which way: an earlier version founds only. */
#define INIT_MAGIC_WAY "RIDDINI2"

/* In a sentence of 512 bytes the command must still be seen. */
#define PATH_SHOWN 160

struct peer {
    raft_node_id id;
    uint64_t incarnation;
    char name[NODE_NAME_BYTES_MAX + 1];
};

struct identity_dir {
    char *path;     /* owned */
    char *command;  /* owned */
    int fd;         /* owned */
    int lock_fd;    /* owned */
    bool made;      /* the directory itself: it was not there */
    bool committed; /* IDENT is durable */
    struct identity identity;
    struct identity_cluster cluster;
    unsigned n_peers;
    struct peer peers[IDENTITY_PEERS_MAX];
};

/* What stands in a directory, as it was found. */
struct identity_survey {
    bool has_ident;
    bool has_init;         /* a valid one */
    enum identity_way way; /* of it */
    bool has_peers;
    bool has_cluster;
    char used[16]; /* the first of wal, db, snap that is not empty; "" */
    bool wal_used;
    char stranger[64]; /* something that is not ours; "" */
};

/* identity_look.c: nothing is changed. */

/* -errno, with a sentence; errno is read first. */
int identity_say_errno(const char *what, const char *path);
/* Owner, mode and kind of one object: `path`, or `name` in it. 0 or IDENTITY_E_ACCESS. */
int identity_check_access(const char *path, const char *name, const struct stat *st);
/* The same for everything below fd, down to `depth` more folders. */
int identity_check_tree(const char *path, int fd, unsigned depth);
/* A handle of its own, so that the position of fd does not move. NULL: errno says why. */
DIR *identity_list_open(int fd);
/* NULL at the end; errno is 0 then. */
const char *identity_list_next(DIR *list);
int identity_survey(const struct identity_dir *dir, struct identity_survey *ret);
/* "--init", "--join", "--rejoin", "--restore". */
const char *identity_way_option(enum identity_way way);
/* Of a directory without IDENT. 0: it may be initialised. */
int identity_judge_nameless(const struct identity_dir *dir, const struct identity_survey *s);

/* identity_files.c: IDENT, CLUSTER and PEERS. 0, IDENTITY_E_*, -errno. */

/* rc of mark_read(), above 0, as an outcome of ours: the words name the folder, too. */
int identity_say_mark(const struct identity_dir *dir, int rc);
bool identity_name_ok(const char *name, size_t len);
struct peer *identity_peer_find(struct peer *peers, unsigned n, raft_node_id id);
int identity_read_ident(struct identity_dir *dir);
int identity_write_ident(const struct identity_dir *dir);
/* A missing file is no error, unless the node was added. */
int identity_read_cluster(struct identity_dir *dir);
int identity_read_peers(struct identity_dir *dir);
int identity_write_peers(const struct identity_dir *dir);

#endif
