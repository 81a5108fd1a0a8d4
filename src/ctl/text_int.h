/* Text for people: lines that fit a terminal, columns of words, and what a word was perhaps meant
 * to be.
 *
 * For: help, explanations, mistakes on the command line.
 * Not for: tables (table.c), failures (report.c). What comes from a server is cleaned by who calls.
 * Units: columns; a byte is one, all of it is ASCII.
 *
 * Obvious: ownership, errors, thread. */
#ifndef RIDD_CTL_TEXT_INT_H
#define RIDD_CTL_TEXT_INT_H

#include "ctl/ctl_int.h"

/* Prints the text in lines of at most CTL_LINE_COLUMNS, broken at blanks, with these in front. */
void text_wrapped(const char *first, const char *others, const char *text);
/* Prints words in columns, down and then across. */
void text_columns(const char *const *words, size_t n);

/* Which of some names is nearest to one that was given; NULL: none is near. */
struct text_near {
    const char *given;
    const char *nearest;
    size_t least;
};
void text_near_init(struct text_near *n, const char *given);
void text_near_try(struct text_near *n, const char *name);

#endif
