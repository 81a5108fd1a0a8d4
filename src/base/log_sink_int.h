/* Between log.c, which makes lines, and log_sink.c, which gets them out. */
#ifndef RIDD_BASE_LOG_SINK_INT_H
#define RIDD_BASE_LOG_SINK_INT_H

#include <stddef.h>

#include "base/log.h"

/* A line with its line feed; its length. size is at least LOG_LINE_BYTES_MAX. */
size_t log_format(char *line, size_t size, enum log_level level, const char *event,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Written at once while there is no thread; afterwards into the ring, or dropped and counted. */
void log_sink_put(const char *line, size_t len);

#endif
