/* `ridctl compare`: what its parts share. verb_compare.c has the runs made, compare_tables.c shows
 * them to people, compare_csv.c to programs. */
#ifndef RIDD_CTL_COMPARE_INT_H
#define RIDD_CTL_COMPARE_INT_H

#include <jansson.h>

#include "ctl/ctl_int.h"

/* What one node said of one run. */
struct compare_run {
    const char *role; /* "leader", "follower" */
    unsigned readers; /* at a time */
    char node[RIDD_NAME_SIZE];
    json_t *reply; /* owned; verbose */
};
/* Those of one number of readers: one of a leader, and one of a follower or none. NULL: no more. */
const struct compare_run *compare_next(const struct compare_run *runs, unsigned n,
                                       const struct compare_run *last, unsigned readers);
/* The figures of one method; NULL: it was not run. */
const json_t *compare_method(const json_t *reply, const char *name);
/* A number of these figures; 0 when it is not there. */
double compare_number(const json_t *o, const char *name);

/* ---- compare_tables.c ---- */

/* An exit code; on failure it has been reported. */
int compare_print(const struct ctl *ctl, const struct compare_run *runs, unsigned n);

/* ---- compare_csv.c ---- */

void compare_print_csv(const struct compare_run *runs, unsigned n);

#endif
