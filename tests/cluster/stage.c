#include "cluster/stage.h"

#include <string.h>

#include "base/banned.h"

#define CLIENTS 4u

static void turn(void *ctx)
{
    struct stage *s = ctx;

    load_turn(s->load, 4);
    if (s->turn != NULL)
        s->turn(s->ctx);
}

void stage_clients_pause(bool pause, struct stage *s)
{
    harness_meanwhile(pause ? NULL : turn, s);
}

void stage_clients_begin(struct stage *s)
{
    history_init(&s->history);
    s->load = load_new(s->c, CLIENTS, 1, now_ms(), &s->history);
    stage_clients_pause(false, s);
}

static void judge(const struct stage *s)
{
    struct check_verdict v;

    history_check_index(&s->history, &v);
    if (v.result == CHECK_GOOD)
        history_check_keys(&s->history, &v);
    if (v.result != CHECK_GOOD)
        harness_fail("%s: %s", v.result == CHECK_BAD ? "not linearizable" : "the search gave up",
                     v.why);
}

void stage_clients_end(struct stage *s)
{
    const struct load_stats *stats = load_get_stats(s->load);

    wait_until(stats->n_acknowledged > 50 && stats->n_ok[METHOD_READ_INDEX] > 50, "clients");
    stage_clients_pause(true, s);
    load_stop(s->load);
    load_read_all(s->load);
    judge(s);
    load_free(s->load);
    s->load = NULL;
    history_done(&s->history);
}

void stage_begin(struct stage *s, unsigned founders)
{
    memset(s, 0, sizeof(*s));
    s->c = cluster_new(CLUSTER_NODES_MAX, NULL);
    s->c->n_members = founders;
    book_open(&s->book, s->c, founders);
}

void stage_end(struct stage *s)
{
    cluster_free(s->c);
    book_close(&s->book);
}
