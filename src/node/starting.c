/* A start that takes long, as systemd and the log are told of it: how far it is, and that it may go
 * on.
 *
 * Only a step that was done says so, and only where it brought the work further than it was when
 * systemd heard of it last (UNIT-1): a disk that hangs, or work that goes round in circles, is
 * silent, and ended when the time that was asked for is over. */
#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include "node/node_int.h"
#include "node/notify.h"

#include "base/banned.h"

unsigned node_percent(uint64_t done, uint64_t total)
{
    if (total == 0 || done >= total)
        return 100;
    return (unsigned)((double)done * 100.0 / (double)total);
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct node *n = ctx;
    const uint64_t now_us = clock_mono_us();
    const unsigned percent = node_percent(done, total);
    char text[160];

    if (now_us < n->starting.say_us || (what == n->starting.what && done <= n->starting.done))
        return;
    n->starting.say_us = now_us + NODE_START_SAY_US;
    n->starting.what = what;
    n->starting.done = done;
    (void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%u\nSTATUS=starting: %s, %u %%",
                   NODE_START_EXTEND_US, what, percent);
    notify_send(text);
    if (now_us < n->starting.log_us)
        return;
    n->starting.log_us = now_us + NODE_START_LOG_US;
    log_event(LOG_INFO, "starting", "what='%s' percent=%u done=%llu total=%llu", what, percent,
              (unsigned long long)done, (unsigned long long)total);
}

void node_starting_begin(struct node *n)
{
    const uint64_t now_us = clock_mono_us();

    n->starting.say_us = now_us + NODE_START_SAY_US;
    n->starting.log_us = now_us + NODE_START_LOG_US;
    notify_send("STATUS=starting: opening the data directory");
    progress_listen(on_progress, n);
}

void node_starting_end(void)
{
    progress_listen(NULL, NULL);
}
