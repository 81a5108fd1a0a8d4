/* How far long work is, in one line on a terminal that is drawn over again. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
