/* `ridctl snapshot` and `backup save`: what they share. verb_snapshot.c finds nodes, asks them to
 * make one and waits; save.c fetches one into a file, or to standard output. */
#ifndef RIDD_CTL_SNAPSHOT_INT_H
#define RIDD_CTL_SNAPSHOT_INT_H

#include "ctl/ctl_int.h"
#include "snap/backup.h"

/* What came of one node. */
struct snapshot_outcome {
    int exit_code;                   /* CTL_EXIT_OK, or that of the failure: */
    const char *error;               /* a word, for JSON */
    char text[RIDD_TEXT_SIZE + 128]; /* a sentence */
    bool made;                       /* a new one, or there was nothing new */
    uint64_t index;                  /* of the newest there is; 0: none */
    uint64_t bytes;
    uint64_t elapsed_us;
    const char *file; /* borrowed; NULL: not saved */
};

/* Fills the failure; returns exit_code. */
int snapshot_fail(struct snapshot_outcome *o, int exit_code, const char *error, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));
int snapshot_fail_reply(struct snapshot_outcome *o, const struct ridd_reply *r);

/* ---- verb_snapshot.c ---- */

struct snapshot_targets {
    struct ctl_node list[RIDD_ENDPOINTS_MAX];
    unsigned n;
};
/* Those that were named, and those that belong to the cluster. An exit code; reported. */
int snapshot_find_all(const struct ctl *ctl, struct ridd *client, struct snapshot_targets *ret);
/* By name or endpoint; NULL: none of them. */
struct ctl_node *snapshot_find(struct snapshot_targets *t, const char *name, const char *endpoint);
/* A node makes one where there is something new, and this waits for it. deadline_us: UINT64_MAX:
 * none. The exit code of o. */
int snapshot_make(struct ridd *client, struct ctl_node *node, uint64_t deadline_us,
                  struct snapshot_outcome *o);
/* Waits until the node has applied as much as that. As snapshot_make(). */
int snapshot_reach(struct ridd *client, struct ctl_node *node, uint64_t index, uint64_t deadline_us,
                   struct snapshot_outcome *o);

/* ---- save.c ---- */

/* What an earlier run has begun to fetch. */
#define SAVE_NODE_BYTES (NODE_NAME_BYTES_MAX + RIDD_ENDPOINT_SIZE + 1)
struct save_begun {
    char node[SAVE_NODE_BYTES]; /* its name, or endpoint */
    uint64_t index;             /* 0: nothing */
    uint64_t term;
    uint64_t bytes; /* of the whole */
    uint64_t at;    /* of them, there */
    uint64_t begun_s;
};
bool save_begun(const char *file, struct save_begun *ret);
/* The error of a backup of which the node has no more what it had: nothing is left of what was
 * begun, and whoever asked for it asks for a new one. */
#define SAVE_GONE "gone"
/* Fetches the newest, or with goes_on goes on with what was begun, if that is of this node. file:
 * NULL: to standard output. label: NULL: a snapshot, as the node keeps it; otherwise a backup, of
 * which the label says begun_s of when this began, or what it goes on with. deadline_us: none where
 * it is UINT64_MAX. An exit code; o has it, too. */
int save_snapshot(const struct ctl *ctl, const struct ctl_node *node, const char *file,
                  bool goes_on, struct backup_label *label, uint64_t deadline_us,
                  struct snapshot_outcome *o);

#endif
