/* Formats into one buffer on the stack and hands it on at once, so that lines of several threads do
 * not mix. */
#include "base/log_sink_int.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "base/banned.h"
#include "base/clock.h"
#include "base/events.h"

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int journal_priorities[] = {3, 4, 6, 7};
static _Atomic int level_max = LOG_INFO;
static _Atomic(const char *) node_name;
static _Atomic(const char *) role_name;
static _Atomic uint64_t role_term;

void log_set_level(enum log_level level)
{
    level_max = (int)level;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_from_name(const char *name, enum log_level *ret_level)
{
    for (int i = 0; i <= LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_wanted(enum log_level level)
{
    return (int)level <= level_max;
}

void log_set_node(const char *node)
{
    node_name = node;
}

void log_set_role(const char *role, uint64_t term)
{
    role_name = role;
    role_term = term;
}

/* JOURNAL_STREAM holds device:inode of the stream systemd made; it counts only if standard error is
 * that stream. */
static bool to_journal(void)
{
    static _Atomic int known; /* 0 not looked yet, 1 yes, 2 no */
    const char *env;
    char *end = NULL;
    unsigned long long dev;
    struct stat st;
    bool yes;

    if (known != 0)
        return known == 1;
    env = getenv("JOURNAL_STREAM");
    dev = env != NULL ? strtoull(env, &end, 10) : 0;
    yes = env != NULL && *end == ':' && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
          st.st_ino == strtoull(end + 1, NULL, 10);
    known = yes ? 1 : 2;
    return yes;
}

static size_t add(char *line, size_t len, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static size_t add(char *line, size_t len, size_t size, const char *format, ...)
{
    va_list ap;
    int n;

    if (len >= size)
        return len;
    va_start(ap, format);
    n = vsnprintf(line + len, size - len, format, ap);
    va_end(ap);
    if (n < 0)
        return len;
    return len + ((size_t)n < size - len ? (size_t)n : size - len - 1);
}

const char *log_time_text(char buf[LOG_TIME_BUF], uint64_t unix_us)
{
    const time_t seconds = (time_t)(unix_us / 1000000u);
    struct tm tm;
    size_t len;

    (void)gmtime_r(&seconds, &tm);
    len = strftime(buf, LOG_TIME_BUF, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(buf + len, LOG_TIME_BUF - len, ".%06uZ", (unsigned)(unix_us % 1000000u));
    return buf;
}

/* *ret_text: where what `format` made begins. */
static size_t format_line(char *line, size_t room, enum log_level level, const char *event,
                          const char *format, va_list ap, size_t *ret_text)
{
    const size_t size = room - 1;
    size_t len = 0;
    size_t from;
    const char *node = node_name;
    const char *role = role_name;

    if (to_journal()) {
        len = add(line, len, size, "<%d>", journal_priorities[level]);
    } else {
        char ts[LOG_TIME_BUF];

        len = add(line, len, size, "ts=%s ", log_time_text(ts, clock_wall_us()));
    }
    from = len;
    len = add(line, len, size, "level=%s", level_names[level]);
    if (node != NULL)
        len = add(line, len, size, " node=%s term=%llu role=%s", node,
                  (unsigned long long)role_term, role != NULL ? role : "none");
    len = add(line, len, size, " event=%s", event);
    *ret_text = len;
    if (format != NULL) {
        int n;

        len = add(line, len, size, " ");
        *ret_text = len;
        n = vsnprintf(line + len, size - len, format, ap);
        if (n > 0)
            len += (size_t)n < size - len ? (size_t)n : size - len - 1;
    }
    for (size_t i = from; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[len++] = '\n';
    return len;
}

size_t log_format(char *line, size_t size, enum log_level level, const char *event,
                  const char *format, ...)
{
    va_list ap;
    size_t text;
    size_t len;

    va_start(ap, format);
    len = format_line(line, size, level, event, format, ap, &text);
    va_end(ap);
    return len;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    char line[LOG_LINE_BYTES_MAX];
    const char *role = role_name;
    va_list ap;
    size_t text;
    size_t len;

    if (!log_wanted(level) && level == LOG_DEBUG)
        return;
    va_start(ap, format);
    len = format_line(line, sizeof(line), level, event, format, ap, &text);
    va_end(ap);
    if (level != LOG_DEBUG)
        events_add(level, event, role_term, role != NULL ? role : "none", line + text,
                   len - text - 1);
    if (log_wanted(level))
        log_sink_put(line, len);
}

/* One event is one line, whoever chose the bytes (CLIENT-7). */
const char *log_esc(char *buf, size_t size, const void *s, size_t len)
{
    const unsigned char *p = s;
    size_t n = len < LOG_ESC_BYTES_MAX ? len : LOG_ESC_BYTES_MAX;
    size_t at = 0;

    at = add(buf, at, size, "'");
    for (size_t i = 0; i < n; i++) {
        if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\'' && p[i] != '\\')
            at = add(buf, at, size, "%c", p[i]);
        else
            at = add(buf, at, size, "\\x%02x", p[i]);
    }
    (void)add(buf, at, size, n < len ? "...'" : "'");
    return buf;
}

bool log_limit_ok(struct log_limit *limit, uint64_t now_us, uint64_t *ret_suppressed)
{
    if (now_us - limit->window_start_us >= limit->window_us || limit->window_start_us == 0) {
        limit->window_start_us = now_us;
        limit->n_in_window = 0;
    }
    if (limit->n_in_window >= limit->burst) {
        limit->n_suppressed++;
        return false;
    }
    limit->n_in_window++;
    *ret_suppressed = limit->n_suppressed;
    limit->n_suppressed = 0;
    return true;
}
