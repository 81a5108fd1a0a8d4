/* Clients of lines, and the byte oracle that looks at what they cost. Not part of sim.h: these know
 * the service. */
#ifndef RIDD_TESTS_SIM_LINES_H
#define RIDD_TESTS_SIM_LINES_H

#include "service/service.h"
#include "sim/sim.h"

struct talker {
    unsigned node;
    struct service_conn *conn; /* owned; NULL: not connected */
    struct memory_conn memory;
    struct buf out;
    unsigned n_held; /* replies that are owed */
    bool is_slow;    /* reads now and then */
    uint64_t n_lines;
    uint64_t n_replies;
    uint64_t n_values;
    size_t out_before; /* of this call of the service */
    size_t charged_before;
};

/* ---- lines.c ---- */
bool lines_are_on(const struct sim *s);
void lines_init(struct sim *s);
void lines_done(struct sim *s);
void lines_event(struct sim *s, unsigned talker);
void lines_turn(struct sim_node *n);
/* Its engine stands still; it is freed only now. */
void lines_node_down(struct sim_node *n);
unsigned lines_n_held(const struct sim_node *n);
/* What the elements of a text of JSON cost to look at. */
uint64_t lines_elements_ns(const struct sim *s, const void *data, size_t len);
void lines_engine(struct sim_node *n, struct engine_ops *ops);

/* ---- bytes.c ---- */
void bytes_turn(struct sim_node *n);
/* Around a call of the service; what a connection that is gone leaves. */
void bytes_before(struct talker *t);
void bytes_after(struct sim_node *n, struct talker *t);
/* After a turn, before its host charges what the buffer has become. */
void bytes_answered(struct sim_node *n, const struct talker *t);
void bytes_gone(struct sim_node *n, const struct talker *t);

#endif
