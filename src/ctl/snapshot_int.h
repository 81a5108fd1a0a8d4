/* `ridctl snapshot`: what its two halves share. verb_snapshot.c asks nodes to make one and waits;
 * save.c fetches one into a file. */
#ifndef RIDD_CTL_SNAPSHOT_INT_H
#define RIDD_CTL_SNAPSHOT_INT_H

#include "ctl/ctl_int.h"

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

/* ---- save.c ---- */

/* What an earlier run has begun to fetch of this node into ctl->save; 0: nothing. */
uint64_t save_begun(const struct ctl *ctl, const struct ctl_node *node);
/* Goes on with that, or fetches the newest. deadline_us: UINT64_MAX: none. An exit code; o has it,
 * too. */
int save_snapshot(const struct ctl *ctl, const struct ctl_node *node, uint64_t deadline_us,
                  struct snapshot_outcome *o);

#endif
