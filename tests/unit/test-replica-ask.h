/* A request of a test, and what became of it: for the tests of reads that any node answers. */
#ifndef RIDD_TESTS_REPLICA_ASK_H
#define RIDD_TESTS_REPLICA_ASK_H

#include "test-replica-util.h"

struct ask {
    struct replica_request rr;
    struct fx *fx;
    int node;
    unsigned n_served;
    unsigned n_written;
    unsigned n_failed;
    struct replica_view view;
    char value[64]; /* of the key "k"; "" when there is none */
    struct replica_failure failure;
    struct buf command;
    void (*then)(struct ask *a); /* at the end of its callback; NULL: nothing */
};

/* Not submitted. What it held is freed: all zero at first. */
void ask_init(struct ask *a, struct fx *fx, int node, enum replica_kind kind);
void ask_submit(struct ask *a);
void ask_read(struct ask *a, struct fx *fx, int node, enum replica_kind kind);
void ask_read_in(struct ask *a, struct fx *fx, int node, struct replica_session *session,
                 enum replica_kind kind);
/* No older than so many milliseconds. */
void ask_bounded(struct ask *a, struct fx *fx, int node, unsigned ms);
void ask_write(struct ask *a, struct fx *fx, int node, struct replica_session *session,
               const char *text);
bool ask_pending(const struct ask *a);
void ask_expect(const struct ask *a, const char *value); /* served, with this one */
void ask_expect_failed(const struct ask *a, enum wire_error error);
void ask_done(struct ask *a, unsigned n);

/* Written, applied everywhere, and known to be. */
void ask_write_through(struct fx *fx, const char *text);
/* A follower that is a voter. */
int ask_follower(const struct fx *fx);

#endif
