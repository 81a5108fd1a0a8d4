/* Names, so that requests, metrics and documents have the same ones; and what is lately. */
#include "service/stages.h"

#include <string.h>

#include "base/limits.h"

#include "base/banned.h"

const char *service_op_name(enum service_op op)
{
    static const char *const names[] = {
#define SERVICE_OP_TEXT(name, text) text,
        SERVICE_OPS(SERVICE_OP_TEXT)
#undef SERVICE_OP_TEXT
    };

    return names[op];
}

const char *service_stage_name(enum service_stage stage)
{
    static const char *const names[] = {
#define SERVICE_STAGE_TEXT(name, text) text,
        SERVICE_STAGES(SERVICE_STAGE_TEXT)
#undef SERVICE_STAGE_TEXT
    };

    return names[stage];
}

void service_complete(struct histogram *h, uint64_t n)
{
    h->counts[0] += n - h->n;
    h->n = n;
}

void service_window_turn(struct service_window *w, const struct service_counts *counts,
                         uint64_t now_us)
{
    if (w->begun_us != 0 && now_us - w->begun_us < SERVICE_WINDOW_US)
        return;
    w->newer ^= 1u;
    memcpy(w->stages[w->newer], counts->stages, sizeof(w->stages[0]));
    memcpy(w->total[w->newer], counts->total, sizeof(w->total[0]));
    w->begun_us = now_us;
}

void service_window_get(const struct service_window *w, const struct service_counts *counts,
                        enum service_op op, unsigned stage, struct histogram *ret)
{
    const unsigned older = w->newer ^ 1u;

    if (stage < SERVICE_N_STAGES) {
        histogram_since(&counts->stages[op][stage], &w->stages[older][op][stage], ret);
        service_complete(ret, counts->total[op].n - w->total[older][op].n);
    } else {
        histogram_since(&counts->total[op], &w->total[older][op], ret);
    }
}
