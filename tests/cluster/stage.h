/* A cluster of 7 places whose life is that of docs/OPERATIONS.md, and clients beside it whose
 * histories are judged when they end. */
#ifndef RIDD_TESTS_CLUSTER_STAGE_H
#define RIDD_TESTS_CLUSTER_STAGE_H

#include "cluster/book.h"
#include "cluster/chaos.h"

struct stage {
    struct cluster *c;
    struct book book;
    struct load *load;
    struct history history;
    /* Called while anything is waited for, after the clients; NULL: nobody. */
    void (*turn)(void *ctx);
    void *ctx;
};

void stage_begin(struct stage *s, unsigned founders);
void stage_end(struct stage *s);
void stage_clients_begin(struct stage *s);
/* They stand still, and go on. */
void stage_clients_pause(bool pause, struct stage *s);
/* All that was acknowledged is there, and what was seen has an order. */
void stage_clients_end(struct stage *s);

#endif
