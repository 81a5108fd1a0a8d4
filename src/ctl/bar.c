/* How far long work is, in one line on a terminal that is drawn over again. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

#define BAR_WIDTH 40

bool bar_is_shown(void)
{
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

void bar_draw(uint64_t done, uint64_t total, const char *format, ...)
{
    char bar[BAR_WIDTH + 1];
    char text[256];
    int filled = total > 0 ? (int)((double)done / (double)total * BAR_WIDTH) : 0;
    va_list ap;

    if (filled > BAR_WIDTH)
        filled = BAR_WIDTH;
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[BAR_WIDTH] = '\0';
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    report_clean(text);
    (void)fprintf(stderr, "\r\033[K[%s] %s", bar, text);
    (void)fflush(stderr);
}

void bar_clear(void)
{
    (void)fputs("\r\033[K", stderr);
}

/* ---- without a terminal, too ---- */

static void meter_wait(struct meter *m)
{
    const uint64_t ms = m->bar ? CTL_PROGRESS_EVERY_MS : CTL_KEYS_SAY_MS;

    m->next_us = clock_mono_us() + ms * UINT64_C(1000);
}

void meter_begin(struct meter *m)
{
    m->bar = bar_is_shown();
    m->drawn = false;
    meter_wait(m);
}

bool meter_is_due(struct meter *m)
{
    return clock_mono_us() >= m->next_us;
}

void meter_say(struct meter *m, const struct ctl *ctl, uint64_t done, uint64_t total,
               const char *format, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    report_clean(text);
    if (m->bar && total > 0)
        bar_draw(done, total, "%s", text);
    else
        (void)fprintf(stderr, m->bar ? "\r\033[K%s: %s" : "%s: %s\n", ctl->verb->name, text);
    (void)fflush(stderr);
    m->drawn = m->bar;
    meter_wait(m);
}

void meter_end(struct meter *m)
{
    if (m->drawn)
        bar_clear();
    m->drawn = false;
}
