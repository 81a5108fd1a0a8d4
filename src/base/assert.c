/* The way out when the program itself is wrong: say where and in what state, then abort. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static rid_assert_context_fn context_fn;
static void *context_arg;

void rid_assert_set_context(rid_assert_context_fn fn, void *ctx)
{
    context_fn = fn;
    context_arg = ctx;
}

void rid_assert_fail(const char *expr, const char *file, int line, const char *func)
{
    char context[256] = "";
    char text[768];
    int n;

    if (context_fn != NULL)
        context_fn(context_arg, context, sizeof(context));
    n = snprintf(text, sizeof(text), "ridd: assertion '%s' failed at %s:%d in %s%s%s\n", expr, file,
                 line, func, context[0] != '\0' ? ": " : "", context);
    if (n > (int)sizeof(text) - 1)
        n = (int)sizeof(text) - 1;
    if (n > 0)
        log_last_words(text, (size_t)n);
    abort();
}
