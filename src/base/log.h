/* Structured logging: one line per event, `key=value`, the fixed keys first:
 *
 *     ts=... level=info node=n1 term=3 role=leader event=role_changed from=candidate
 *
 * For: events that an operator looks for by their name. Under systemd (JOURNAL_STREAM names
 * standard error) lines carry a `<N>` priority and no ts.
 * Not for: reporting an error to the caller: a function logs or returns, not both, and folders
 * other than engine/, node/, maelstrom/ and ctl/ do not log above debug.
 * Units: bytes of text; windows in microseconds.
 * Ownership: strings are read during the call and not kept. Values from outside go through
 * log_esc(), into room that the caller owns; control bytes that still reach a line are written as
 * '?', so that one event is one line.
 * Errors: a line that cannot be written is lost. Without log_start_thread() each is one write(2),
 * which waits for whoever reads standard error; with it nobody waits, and lines that do not fit
 * LOG_RING_BYTES are dropped and counted in a line of their own (log_lines_dropped, LOOP-1).
 * Thread: any; the context is set by the loop thread.
 * Source: the habits of systemd and logfmt. */
#ifndef RIDD_BASE_LOG_H
#define RIDD_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* error: someone must act; warning: degraded; info: role and membership; debug: the rest. Default:
 * info. */
void log_set_level(enum log_level level);
const char *log_level_name(enum log_level level);
bool log_level_from_name(const char *name, enum log_level *ret_level);
bool log_wanted(enum log_level level);
/* Shown as node= term= role=; strings are borrowed and must outlive the logging. Empty node: the
 * three are left out. */
void log_set_node(const char *node);
void log_set_role(const char *role, uint64_t term);
/* `event` is one of base/event_names.h; format holds `key=value` pairs, or NULL. At level info and
 * above it is kept in memory, too, whichever levels are written (events.h). */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* From now on a thread writes the lines, and log_event() waits for nobody. 0 or -errno: lines go
 * out as before. It is never stopped; a process that ends, or dies by its own decision, calls
 * log_flush() first. */
int log_start_thread(void);
/* Waits until the lines so far are written, but at most LOG_FLUSH_MS. */
void log_flush(void);
/* For who dies by an assertion: past the ring and the thread, whose lock may be held; waits at most
 * LOG_FLUSH_MS for room. */
void log_last_words(const char *text, size_t len);

/* Quotes up to 64 bytes of s into buf: printable ASCII as it is, the rest as \xNN, cut with "...".
 * Returns buf. */
const char *log_esc(char *buf, size_t size, const void *s, size_t len);
/* Room for any log_esc() result. */
#define LOG_ESC_BUF (LOG_ESC_BYTES_MAX * 4 + 8)

/* A time since 1970 as log lines have it, "2026-11-30T16:16:54.414231Z". Returns buf. */
#define LOG_TIME_BUF 32
const char *log_time_text(char buf[LOG_TIME_BUF], uint64_t unix_us);

/* At most `burst` per window for what a peer or client can trigger; *ret_suppressed counts what was
 * left out. */
struct log_limit {
    uint64_t window_us;
    unsigned burst;
    uint64_t window_start_us;
    unsigned n_in_window;
    uint64_t n_suppressed;
};
bool log_limit_ok(struct log_limit *limit, uint64_t now_us, uint64_t *ret_suppressed);

#endif
