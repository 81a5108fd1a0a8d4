/* What `ridctl doctor` found, one line each: how bad it is, what was looked at, what was found, and
 * the next command to type.
 *
 * For: the examinations (doctor_*.c), which add findings; verb_doctor.c and the bundle, which show
 * them.
 * Not for: deciding what is worse than what across findings: a list has the worst level, no more.
 * Units: a figure is a plain number with the word of its unit beside it.
 * Ownership: the list owns its findings until findings_done(); texts are copied and cut to size.
 * Errors: none are returned. Beyond DOCTOR_FINDINGS_MAX findings are counted, not kept, and their
 * level still counts; without memory `failed` is set.
 * Thread: one at a time.
 * Source: ridctl(1), doctor. */
#ifndef RIDD_CTL_FINDING_H
#define RIDD_CTL_FINDING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"

/* Number, as a person reads it, as a program does. NOTE: nothing to do, good to know, or not seen.
 * WARN: it works, and costs something or will not work one day. FAIL: it does not work, or what was
 * acknowledged is not safe. */
/* clang-format off */
#define FINDING_LEVELS(X)             \
    X(FINDING_OK,   0, "ok",   "ok")   \
    X(FINDING_NOTE, 1, "note", "note") \
    X(FINDING_WARN, 2, "warn", "warn") \
    X(FINDING_FAIL, 3, "FAIL", "fail")
/* clang-format on */
#define FINDING_ENUM(name, number, text, word) name = number,
enum finding_level { FINDING_LEVELS(FINDING_ENUM) };
const char *finding_level_text(enum finding_level level);
const char *finding_level_word(enum finding_level level); /* in JSON */

struct finding {
    enum finding_level level;
    const char *check;             /* static: one word for what was looked at */
    char where[FINDING_WHERE_BUF]; /* a node, a path, an address; "": this host */
    char text[FINDING_TEXT_BUF];
    char next[FINDING_NEXT_BUF]; /* a command; "": none */
    bool detail;                 /* shown only to who asks for more */
    bool has_figure;
    double figure;
    const char *unit; /* static */
};

struct findings {
    struct finding *list; /* owned */
    unsigned n;
    unsigned size;
    unsigned n_levels[FINDING_FAIL + 1]; /* also of those that were not kept */
    bool failed;
};
#define FINDINGS_INIT                                                                              \
    {                                                                                              \
        NULL, 0, 0, {0}, false                                                                     \
    }
void findings_done(struct findings *f);
/* The worst of all; FINDING_OK when there is none. */
enum finding_level findings_worst(const struct findings *f);
/* where and next may be NULL: none. */
void finding_add(struct findings *f, enum finding_level level, const char *check, const char *where,
                 const char *next, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Of the one that was added last. */
void finding_figure(struct findings *f, double figure, const char *unit);
void finding_is_detail(struct findings *f);

#endif
