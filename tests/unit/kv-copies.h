/* Copies of a state, in memory. */
#ifndef RIDD_TESTS_KV_COPIES_H
#define RIDD_TESTS_KV_COPIES_H

#include "unit/kv-example.h"

struct bytes {
    unsigned char *data; /* owned */
    size_t len;
    size_t room;
    size_t piece_max;
    unsigned n_pieces;
    /* As a source. */
    uint64_t n_read;
    int error; /* of the next read */
};
/* Of kv_sink. */
int bytes_write(void *ctx, const void *data, size_t n);
struct kv_source source_of_bytes(struct bytes *b);
/* What was in b goes. */
void take_copy(struct kv *kv, struct bytes *b);
int check_bytes(struct kv *kv, struct bytes *b, struct kv_copy_info *ret);
int prepare_bytes(struct kv *kv, struct bytes *b, struct kv_copy_info *ret);
void flip_in(struct bytes *b, size_t bit);

bool digests_equal(struct kv_digest a, struct kv_digest b);
struct kv_stats stats_of(struct fixture *f);
/* What a copy says is what the state says. */
void check_info(struct fixture *f, const struct kv_copy_info *info);
/* The pages of a running file, read through. */
void check_scrub(struct fixture *f);
/* A second folder beside that of the case. */
struct fixture *make_another(void);
void drop_another(struct fixture *g);
/* f's copy takes the place of g's state. */
void copy_over(struct fixture *f, struct fixture *g);

/* In one transaction. */
void many_keys(struct fixture *f, unsigned n);
void write_long(struct fixture *f, const char *name, size_t len);

#endif
