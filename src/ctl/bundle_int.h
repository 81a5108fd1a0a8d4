/* `ridctl bundle`: what is gathered for somebody who must find out from afar what is wrong.
 *
 * For: verb_bundle.c, which gathers and writes; bundle.c, which keeps parts within their bounds;
 * bundle_mask.c, which leaves out what is nobody's; bundle_tar.c, which makes one file of them.
 * Not for: keys, values, snapshots, logs of entries, cores: nothing that holds a key is opened
 * (DOCTOR-3).
 * Units: bytes; seconds since 1970 where a name ends in _s.
 * Ownership: struct bundle owns its parts until bundle_done().
 * Errors: 0 or -ENOMEM. What does not fit is left out, or cut, and listed.
 * Thread: one.
 * Source: ridctl(1), bundle; POSIX.1-2008 pax, ustar Interchange Format. */
#ifndef RIDD_CTL_BUNDLE_INT_H
#define RIDD_CTL_BUNDLE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"

#define BUNDLE_NAME_SIZE 96u /* below what the header of a tar archive has room for */

struct bundle_part {
    char name[BUNDLE_NAME_SIZE];
    struct buf data; /* owned */
    size_t n_cut;    /* bytes that were left out */
};
struct bundle_gap {
    char name[BUNDLE_NAME_SIZE];
    char why[200];
};

struct bundle {
    struct bundle_part parts[BUNDLE_PARTS_MAX];
    unsigned n;
    size_t bytes; /* of all parts */
    struct bundle_gap gaps[BUNDLE_PARTS_MAX];
    unsigned n_gaps;
    unsigned n_gaps_untold;
    bool failed; /* no memory */
};

/* ---- bundle.c ---- */

enum bundle_end { BUNDLE_HEAD = 0, BUNDLE_TAIL = 1 };

void bundle_done(struct bundle *b);
/* A part, or as much of its head or tail as there is room for, in whole lines where there are any.
 * Characters of its name that a file name had better not have become '_'. */
void bundle_add(struct bundle *b, const char *name, const void *data, size_t len,
                enum bundle_end end);
/* The same of a file. */
void bundle_add_file(struct bundle *b, const char *name, const char *path, enum bundle_end end);
void bundle_leave_out(struct bundle *b, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What is in it, and what is not; becomes the first part. */
void bundle_add_manifest(struct bundle *b, const char *head);

/* ---- bundle_mask.c ---- */

/* A configuration file without comments, and with the values of keys whose names speak of secrets
 * replaced. Lines that are neither sections nor keys are only counted. 0 or -ENOMEM. */
int bundle_mask_conf(const char *text, size_t len, struct buf *out);

/* ---- bundle_tar.c ---- */

/* All parts as an archive: the manifest first, then as they were added. 0 or -ENOMEM. */
int bundle_tar(const struct bundle *b, const char *folder, uint64_t time_s, struct buf *out);
/* In the format of gzip; the same bytes for the same input. */
int bundle_gzip(const struct buf *in, struct buf *out);

#endif
