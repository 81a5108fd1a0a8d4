/* FILE.part: what grows beside FILE until all of it is there.
 *
 * One process at a time writes to it, and FILE is replaced only by what is whole and on the disk.
 */
#ifndef RIDD_CTL_PART_INT_H
#define RIDD_CTL_PART_INT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "ctl/ctl_int.h"

struct part {
    char path[PATH_MAX]; /* FILE.part */
    int fd;              /* owned; -1: none */
    bool locked;         /* this process has it */
};

/* Only the name. False: it is too long. */
bool part_name(struct part *p, const char *file);
/* What is there stays, for who can go on with it. CTL_EXIT_OK, or an exit code and why. */
int part_open(struct part *p, const char *file, char why[RIDD_TEXT_SIZE]);
/* The path still names the file that is open. */
bool part_is_named(const struct part *p);
/* On the disk first, then under its name. As part_open(). */
int part_place(struct part *p, const char *file, char why[RIDD_TEXT_SIZE]);
/* keep: false: nothing has come, and nothing is left. */
void part_close(struct part *p, bool keep);

#endif
