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

/* ---- bytes.c ---- */
/* Around a call of the service; what a connection that is gone leaves. */
void bytes_before(struct talker *t);
void bytes_after(struct sim_node *n, struct talker *t);
void bytes_gone(struct sim_node *n, const struct talker *t);

#endif
