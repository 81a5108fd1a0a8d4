/* What there is to say of an error, an exit status or an event, without asking anybody.
 *
 * For: `ridctl explain`, and what else offers these names (completion).
 * Not for: what failed just now: report.c says that in a line.
 * Ownership: everything is static.
 *
 * Obvious: units, errors, thread. */
#ifndef RIDD_CTL_EXPLAIN_INT_H
#define RIDD_CTL_EXPLAIN_INT_H

#include <stdbool.h>
#include <stddef.h>

enum explained_kind {
    EXPLAINED_ERROR,     /* of a request; its code is that of ridd-protocol(7) */
    EXPLAINED_CTL_ERROR, /* found out by ridctl and libridd themselves */
    EXPLAINED_CTL_EXIT,
    EXPLAINED_RIDD_EXIT,
    EXPLAINED_EVENT,
};
#define EXPLAINED_KINDS (EXPLAINED_EVENT + 1u)

struct explained {
    enum explained_kind kind;
    const char *name;
    /* Of errors: before and after the entry was in the log; else only the first. -1: none. */
    int code;
    int code_after;
    const char *levels; /* of events */
    const char *meaning;
    const char *cause; /* NULL: the meaning says it */
    const char *next;
};

/* All of a kind, in the order of their list. */
size_t explained_list(enum explained_kind kind, const struct explained **ret_list);

#endif
