/* The last events of this process, in memory: what log_event() told at level info and above.
 *
 * For: who asks a running node what happened lately, and has no log at hand.
 * Not for: the log: nothing here survives the process, and old events make room for new ones. No
 * key and no value is in an event, here as little as in a log line (SEE-1).
 * Units: microseconds since 1970; numbers of events from 1, of this process.
 * Ownership: all is copied, in and out.
 * Errors: none. A text that is longer than EVENT_TEXT_BYTES_MAX is cut.
 * Thread: any. One mutex, held for the copy of some kilobytes; never while anybody waits for a
 * disk or a pipe.
 * Source: the `events` request of ridd-protocol(7). */
#ifndef RIDD_BASE_EVENTS_H
#define RIDD_BASE_EVENTS_H

#include "base/log.h"

struct event {
    uint64_t seq;     /* from 1; those that made room are gaps */
    uint64_t unix_us; /* by the wall clock */
    enum log_level level;
    char name[EVENT_NAME_BYTES_MAX + 1];
    uint64_t term;
    char role[EVENT_ROLE_BYTES_MAX + 1]; /* "none" before there is one */
    /* `key=value` pairs: printable ASCII, anything else is a '?'. */
    char text[EVENT_TEXT_BYTES_MAX + 1];
};

/* By log_event(). */
void events_add(enum log_level level, const char *name, uint64_t term, const char *role,
                const char *text, size_t len);

struct events_range {
    uint64_t oldest; /* from this one on all are kept; some of those before it may be, too */
    uint64_t missed; /* behind `after`, that are not kept any more */
    uint64_t next;   /* to be given as `after` next time, so that none is told twice */
};
/* Up to `max` of those with a number above `after`, ascending: the first of them, or, with after 0,
 * the last ones. How many. One that is above all numbers is of an earlier process: as 0. */
unsigned events_get(uint64_t after, unsigned max, struct event *ret,
                    struct events_range *ret_range);
/* By the wall clock, when the first event of this process came, or this was asked first: tells its
 * numbers from those of the process before it. */
uint64_t events_began_us(void);

#endif
