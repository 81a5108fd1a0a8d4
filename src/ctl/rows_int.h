/* The nodes of a cluster and what each says of itself.
 *
 * For: verbs that look at all nodes: status, top, events, slow, check.
 * Not for: printing; what follows from the answers is the verdict's.
 * Units: as in the status reply that ridd-protocol(7) describes.
 * Ownership: rows own replies and statuses until rows_done(); names live as long as they.
 * Errors: exit codes; on failure it has been reported.
 * Source: STATUS-1, STATUS-4.
 *
 * Obvious: thread. */
#ifndef RIDD_CTL_ROWS_INT_H
#define RIDD_CTL_ROWS_INT_H

#include <jansson.h>

#include "ctl/ctl_int.h"
#include "verdict/verdict.h"

struct row {
    struct ctl_node node;
    struct ridd_reply *reply; /* owned; NULL: no answer in time */
    json_t *status;           /* owned; NULL: down */
};

struct rows {
    struct row list[RIDD_ENDPOINTS_MAX];
    unsigned n;
};

/* Asks the nodes of cluster_find(), and the members that they know. rows is all zero or was done
 * with. */
int rows_ask(const struct ctl *ctl, struct rows *rows);
/* Another question to all of them: `status` is that answer then. */
int rows_ask_again(const struct ctl *ctl, struct rows *rows, const char *json);
void rows_done(struct rows *rows);

/* A text of an object; `otherwise` where it is absent, empty or none. */
const char *rows_str(const json_t *o, const char *name, const char *otherwise);
bool rows_leads(const struct row *row);
/* Who knows best who belongs to the cluster: the leader, and of several the one of the highest
 * term; else the first that answered; NULL: nobody did. */
const struct row *rows_best(const struct rows *rows);
/* Why it has no status. */
const char *rows_down_reason(const struct row *row);
bool rows_is_busy(const struct row *row);

/* As the verdict takes them; ret has room for rows->n. */
void rows_judged(const struct rows *rows, struct verdict_node *ret);
void rows_judge(const struct ctl *ctl, const struct rows *rows, struct verdict *ret);
int rows_exit_code(const struct verdict *v);

#endif
