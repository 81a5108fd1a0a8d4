/* What a node tells of what happened lately: events, and which operations were slow. At once, on
 * any node, from memory. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/events.h"
#include "service/service_int.h"

#include "base/banned.h"

const char *service_step_name(enum service_step step)
{
    static const char *const names[] = {
#define SERVICE_STEP_TEXT(name, text) text,
        SERVICE_STEPS(SERVICE_STEP_TEXT)
#undef SERVICE_STEP_TEXT
    };

    return names[step];
}

static void wall(struct wire_reply *w, uint64_t unix_us)
{
    char text[LOG_TIME_BUF];

    wire_reply_str(w, "ts", log_time_text(text, unix_us));
}

/* ---- events ---- */

static void one_event(struct wire_reply *w, const struct event *e)
{
    wire_reply_open_object(w, NULL);
    wire_reply_u64(w, "seq", e->seq);
    wall(w, e->unix_us);
    wire_reply_str(w, "level", log_level_name(e->level));
    wire_reply_str(w, "event", e->name);
    wire_reply_u64(w, "term", e->term);
    wire_reply_str(w, "role", e->role);
    wire_reply_str(w, "text", e->text);
    wire_reply_close_object(w);
}

/* All behind the type. */
static void write_events(struct wire_reply *w, const char *node, uint64_t after, unsigned limit,
                         struct event *events)
{
    struct events_range range;
    const unsigned n = events_get(after, limit, events, &range);
    char began[24];

    (void)snprintf(began, sizeof(began), "%llu", (unsigned long long)events_began_us());
    wire_reply_str(w, "node", node);
    wire_reply_str(w, "began", began);
    wire_reply_u64(w, "oldest", range.oldest);
    wire_reply_u64(w, "missed", range.missed);
    wire_reply_u64(w, "next", range.next);
    wire_reply_open_array(w, "events");
    for (unsigned i = 0; i < n; i++)
        one_event(w, &events[i]);
    wire_reply_close_array(w);
}

int service_write_events(struct service *s, struct buf *out, const struct wire_origin *origin,
                         uint64_t after, unsigned limit)
{
    cleanup_free struct event *events = malloc(limit * sizeof(*events));
    struct wire_reply w;

    if (events == NULL)
        return err_origin(-ENOMEM);
    service_begin(s, &w, out, origin, "events_ok");
    write_events(&w, s->conf.node_name, after, limit, events);
    service_end(s, &w, origin);
    return 0;
}

int service_write_events_of(const char *node, struct buf *out, uint64_t after, unsigned limit)
{
    static const struct wire_origin bare;
    cleanup_free struct event *events = malloc(limit * sizeof(*events));
    struct wire_reply w;

    if (events == NULL)
        return err_origin(-ENOMEM);
    wire_reply_begin(&w, out, &bare, false, 0, "events_ok");
    write_events(&w, node, after, limit, events);
    return err_trace(wire_reply_end(&w));
}

void service_handle_events(struct service_conn *c, const struct wire_request *q)
{
    struct buf *out = service_out(c);

    if (out != NULL && service_write_events(c->service, out, &q->origin, q->after, q->limit) != 0)
        service_refuse_busy(c, &q->origin, "this node is out of memory; try again", REQUESTS_MAX);
}

/* ---- slow ---- */

static void one_slow(struct wire_reply *w, const struct service_slow_op *op)
{
    wire_reply_open_object(w, NULL);
    wire_reply_u64(w, "seq", op->seq);
    wall(w, op->unix_us);
    wire_reply_str(w, "op", service_op_name(op->op));
    wire_reply_u64(w, "total_us", op->total_us);
    wire_reply_u64(w, "queue_us", op->us[SERVICE_STAGE_QUEUE]);
    wire_reply_u64(w, "quorum_us", op->us[SERVICE_STAGE_QUORUM]);
    wire_reply_u64(w, "apply_us", op->us[SERVICE_STAGE_APPLY]);
    wire_reply_u64(w, "execute_us", op->us[SERVICE_STAGE_EXECUTE]);
    wire_reply_str(w, "stage", service_stage_name(op->stage));
    wire_reply_str(w, "peer", op->peer[0] != '\0' ? op->peer : NULL);
    wire_reply_str(w, "why", op->why);
    wire_reply_u64(w, "index", op->index);
    wire_reply_str(w, "result", op->result == WIRE_ERROR_NONE ? "ok" : wire_error_name(op->result));
    wire_reply_close_object(w);
}

static void one_stage(const struct service *s, struct wire_reply *w, enum service_op op,
                      unsigned stage)
{
    struct histogram h;

    service_window_get(&s->window, &s->counts, op, stage, &h);
    if (stage == SERVICE_N_STAGES)
        wire_reply_open_object(w, "total");
    else
        wire_reply_open_object(w, service_stage_name((enum service_stage)stage));
    wire_reply_u64(w, "p50_us", histogram_at(&h, 500));
    wire_reply_u64(w, "p99_us", histogram_at(&h, 990));
    wire_reply_u64(w, "max_us", h.max);
    wire_reply_close_object(w);
}

static void stages(const struct service *s, struct wire_reply *w)
{
    wire_reply_open_array(w, "stages");
    for (unsigned op = 0; op < SERVICE_N_OPS; op++) {
        struct histogram h;

        service_window_get(&s->window, &s->counts, (enum service_op)op, SERVICE_N_STAGES, &h);
        if (h.n == 0)
            continue;
        wire_reply_open_object(w, NULL);
        wire_reply_str(w, "op", service_op_name((enum service_op)op));
        wire_reply_u64(w, "n", h.n);
        for (unsigned stage = 0; stage <= SERVICE_N_STAGES; stage++)
            one_stage(s, w, (enum service_op)op, stage);
        wire_reply_close_object(w);
    }
    wire_reply_close_array(w);
}

static void last(const struct service *s, struct wire_reply *w)
{
    wire_reply_open_array(w, "last");
    for (unsigned op = 0; op < SERVICE_N_OPS; op++) {
        const struct service_last *l = &s->last[op];

        if (l->due_us == 0)
            continue;
        wire_reply_open_object(w, NULL);
        wire_reply_str(w, "op", service_op_name((enum service_op)op));
        wall(w, l->unix_us);
        wire_reply_u64(w, "total_us", l->total_us);
        wire_reply_open_array(w, "steps");
        for (unsigned i = 0; i < l->n_steps; i++) {
            wire_reply_open_object(w, NULL);
            wire_reply_str(w, "what", service_step_name(l->steps[i].what));
            if (l->steps[i].peer != 0)
                wire_reply_str(w, "peer", service_name_of(s, l->steps[i].peer));
            wire_reply_u64(w, "at_us", l->steps[i].at_us);
            wire_reply_close_object(w);
        }
        wire_reply_close_array(w);
        wire_reply_close_object(w);
    }
    wire_reply_close_array(w);
}

void service_write_slow(struct service *s, struct buf *out, const struct wire_origin *origin)
{
    const struct service_slow *slow = &s->slow;
    const uint64_t kept = slow->n < SLOW_KEPT_MAX ? slow->n : SLOW_KEPT_MAX;
    struct wire_reply w;

    service_count_alike(s);
    service_begin(s, &w, out, origin, "slow_ok");
    wire_reply_str(&w, "node", s->conf.node_name);
    wire_reply_u64(&w, "threshold_us", slow->threshold_us);
    wire_reply_open_array(&w, "slow");
    for (uint64_t i = slow->n - kept; i < slow->n; i++)
        one_slow(&w, &slow->ops[i % SLOW_KEPT_MAX]);
    wire_reply_close_array(&w);
    stages(s, &w);
    last(s, &w);
    service_end(s, &w, origin);
}

void service_handle_slow(struct service_conn *c, const struct wire_request *q)
{
    struct buf *out = service_out(c);

    if (out != NULL)
        service_write_slow(c->service, out, &q->origin);
}
