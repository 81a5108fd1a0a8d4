/* Two words per thread. */
#include "base/progress.h"

#include <stddef.h>

#include "base/banned.h"

static _Thread_local progress_fn listener;
static _Thread_local void *listener_ctx;

void progress_listen(progress_fn fn, void *ctx)
{
    listener = fn;
    listener_ctx = ctx;
}

void progress_tell(const char *what, uint64_t done, uint64_t total)
{
    if (listener != NULL)
        listener(listener_ctx, what, done, total);
}
