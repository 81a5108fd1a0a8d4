/* Messages and entries in one fixed form, for transcripts and traces: `n1->n2 append term=2
 * prev=1/1 commit=1 [2/2 noop]`, where a/b is term a, index b. Appends to a buffer; memory that
 * runs out ends the test. */
#ifndef RIDD_TESTS_SIM_PRINT_H
#define RIDD_TESTS_SIM_PRINT_H

#include "base/buf.h"
#include "raft/types.h"

/* The name of a node; ctx is what the caller passes along. */
typedef const char *(*sim_name_fn)(void *ctx, raft_node_id id);

void sim_print_entry(struct buf *b, const struct raft_entry *e);
void sim_print_entries(struct buf *b, const struct raft_entry *entries, unsigned n);
void sim_print_msg(struct buf *b, const struct raft_msg *m, sim_name_fn name, void *ctx);

#endif
