/* What is shown again and again: drawn over on a terminal, one block behind the other elsewhere.
 *
 * For: status --watch, top, events -f.
 * Not for: progress of long work: bar.c.
 * Units: milliseconds; rows and columns of a terminal.
 * Ownership: there is one screen; it has the signals, and the terminal's mode, from begin to end.
 * Errors: none. What standard output does not take is found at the end of main().
 * Thread: the one of main().
 *
 * Obvious: source. */
#ifndef RIDD_CTL_SCREEN_INT_H
#define RIDD_CTL_SCREEN_INT_H

#include "ctl/ctl_int.h"

/* SIGINT and SIGTERM end it from now on instead of the process; with `keys` and a terminal q does,
 * too. */
void screen_begin(bool keys);
void screen_end(void);
/* Standard output is a terminal that can be drawn over. */
bool screen_is_shown(void);
/* Its size; 80 and 24 where nobody says. */
unsigned screen_columns(void);
unsigned screen_rows(void);
/* What is printed between the two is one picture: on a terminal it replaces the one before, cut to
 * its rows, and elsewhere it stands below a line with the time. */
void screen_frame_begin(void);
void screen_frame_end(void);
/* Waits. False: it is to end. */
bool screen_wait(unsigned ms);
bool screen_is_ended(void);

#endif
