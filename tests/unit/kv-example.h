/* A state with all kinds of pages, to be damaged. */
#ifndef RIDD_TESTS_KV_EXAMPLE_H
#define RIDD_TESTS_KV_EXAMPLE_H

#include "base/prng.h"
#include "unit/kv-fixture.h"

#define N_NAMES    900u
#define NAME_BYTES 300u /* few to a page, so that there are several levels */
#define PAGE       4096u

struct example {
    unsigned char *data;
    size_t len;
    unsigned char clean[256];
    size_t clean_len;
    struct kv_stats stats;
    char *values[N_NAMES]; /* NULL: no such key */
    uint64_t modified[N_NAMES];
};
void name_of(unsigned i, char name[NAME_BYTES + 1]);
/* One command inside the open transaction, noted in x. */
void change(struct fixture *f, struct example *x, struct prng *p, raft_index *index, unsigned i,
            bool removes);
/* Several levels, long values, many free pages; closed clean. */
void make_example(struct fixture *f, struct example *x, uint64_t seed);
/* In a folder that is wiped first, and open again. */
void open_example(struct fixture *f, struct example *x, struct prng *p, uint64_t seed);
void free_example(struct example *x);
void restore(struct fixture *f, const struct example *x);
/* All keys, those that are there and those that are not, read as before. */
bool reads_the_same(struct fixture *f, const struct example *x);

/* A transaction of up to thirty of these. */
void some_changes(struct fixture *f, struct example *x, struct prng *p);
/* What was found: all as it was; nothing (some key is not answered for); or a wrong answer. A child
 * that did not end with one of these crashed in LMDB, which is a restart, and the walk. */
enum { READS_RIGHT, READS_REFUSED, READS_WRONG, ENDED, N_READS };
int read_all(struct fixture *f, const struct example *x);
/* In the file, whether somebody has it open or not. */
void flip_bit(struct fixture *f, size_t bit);

/* ---- pages by what they are for ---- */

enum kind { HEAD, BRANCH, LEAF, LONG, FREE_LIST, FREE, N_KINDS };
extern const char *const kind_names[];

struct map {
    unsigned n_pages;
    unsigned char kind[1u << 16];
};
void make_map(struct fixture *f, struct map *map);
size_t some_bit(struct prng *p, const struct map *map, enum kind kind);

/* Bits of the list of free pages that make of a free page's number one of a page in use, in its
 * place, so that order alone does not tell. */
void each_free_page_to_be_used(const struct example *x, const struct map *map,
                               void (*fn)(void *ctx, size_t bit), void *ctx);

#endif
