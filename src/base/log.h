/* Structured logging: one line per event, `key=value`, the fixed keys first:
 *
 * ts=... level=info node=n1 term=3 role=leader event=role_changed from=candidate
 *
 * Under systemd (JOURNAL_STREAM names standard error) lines carry a `<N>` priority and no ts.
 *
 * Only engine/, node/, maelstrom/ and ctl/ log above debug; the others return errors. Values from
 * outside go through log_esc(). Control bytes that still reach a line are written as '?', so that
 * one event is one line. Any thread; the context is set by the loop thread. Lines go to standard
 * error with one write(2). */
#ifndef RIDD_BASE_LOG_H
#define RIDD_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* error: someone must act; warning: degraded; info: role and membership; debug: the rest. Default:
 * info. */
void log_set_level(enum log_level level);
bool log_level_from_name(const char *name, enum log_level *ret_level);
bool log_wanted(enum log_level level);
/* Shown as node= term= role=; strings are borrowed and must outlive the logging. Empty node: the
 * three are left out. */
void log_set_node(const char *node);
void log_set_role(const char *role, uint64_t term);
/* `event` is a stable word, listed in ridd(8); format holds `key=value` pairs, or NULL. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define LOG_ESC_BYTES_MAX 64
/* Quotes up to 64 bytes of s into buf: printable ASCII as it is, the rest as \xNN, cut with "...".
 * Returns buf. */
const char *log_esc(char *buf, size_t size, const void *s, size_t len);
/* Room for any log_esc() result. */
#define LOG_ESC_BUF (LOG_ESC_BYTES_MAX * 4 + 8)

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
