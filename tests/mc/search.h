/* The inside of a search: search.c and files.c. */
#ifndef RIDD_TESTS_MC_SEARCH_H
#define RIDD_TESTS_MC_SEARCH_H

#include "mc/mc.h"

struct mc_print {
    uint64_t a;
    uint64_t b; /* both 0: none */
};

struct mc_search {
    struct mc_options options;
    struct mc_print *table; /* owned; open addressing */
    size_t table_size;      /* a power of two */
    uint64_t n_states;
    uint64_t n_transitions;
    unsigned depth;
    uint64_t first; /* number of the first state of this level */
    uint64_t n_level;
    uint64_t n_done; /* of this level */
    uint64_t n_next;
    uint64_t widest;
    bool violated;
    double begun;
    double told;
    double kept; /* when the last checkpoint was made */

    FILE *links;    /* per state: fingerprint, state before, action */
    FILE *level;    /* whole states of this level, the next to be read first */
    FILE *next;     /* and of the next */
    unsigned which; /* of the two names of files the level has */
};

bool mc_search_add(struct mc_search *s, struct mc_print print);
void mc_search_make_room(uint64_t n_states);

/* ---- files.c ---- */

void mc_files_open(struct mc_search *s); /* goes on where a checkpoint was, if that is wanted */
void mc_files_close(struct mc_search *s);
void mc_files_add(struct mc_search *s, struct mc_print print, uint64_t parent, uint32_t action,
                  const unsigned char *record, size_t len);
size_t mc_files_next(struct mc_search *s, unsigned char record[MC_RECORD_MAX]);
/* The next level becomes this one. */
void mc_files_turn(struct mc_search *s);
/* The state before, and by which action it was left. */
uint64_t mc_files_parent(struct mc_search *s, uint64_t state, uint32_t *ret_action);
/* Now and then, or at once. */
void mc_files_maybe_checkpoint(struct mc_search *s, bool now);

#endif
