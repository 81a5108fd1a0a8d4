/* What a protocol of a load has answered, for its test: it stands where the loop stands otherwise. */
#ifndef RIDD_TESTS_UNIT_LOAD_NOTES_H
#define RIDD_TESTS_UNIT_LOAD_NOTES_H

#include "load/load.h"

#define NOTES_MAX      64u
#define NOTE_ITEMS_MAX 16u
#define NOTE_TEXT_SIZE 128u

struct note {
    unsigned slot;
    enum load_outcome outcome;
    bool has_value;
    char value[NOTE_TEXT_SIZE];
    char error[NOTE_TEXT_SIZE];
};

struct note_item {
    unsigned slot;
    unsigned place;
    bool has_value;
    char value[NOTE_TEXT_SIZE];
};

extern struct notes {
    unsigned n;
    struct note at[NOTES_MAX];
    unsigned n_items;
    struct note_item items[NOTES_MAX * NOTE_ITEMS_MAX];
} notes;

void notes_clear(void);
/* What it is answered: some of its bytes at a time, as the loop does; -errno, or what was left. */
long notes_feed(const struct load_protocol *p, void *state, const void *bytes, size_t len,
                size_t at_a_time, struct buf *out);

#endif
