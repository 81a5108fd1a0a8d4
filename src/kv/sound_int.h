/* Pages that were checked and found sound, by number and a sum over all their bytes, so that what
 * did not change need not be checked again (STATE-15).
 *
 * The sum is made anew from the page each time: a bit that flips after the check, or another page
 * under the same number, has another one, and is checked like a page that was never seen. Of inner
 * pages copies are held, too, and looked at in place of the file: what flips there does not matter
 * then. A copy is compared with the file again unless it was looked at in this transaction or the
 * one before: LMDB does not write over a page that was in use in the transaction before.
 *
 * What a page is worth beside others is not remembered: that its keys are within what led to it,
 * and that it is not free, is asked each time. */
#ifndef RIDD_KV_SOUND_INT_H
#define RIDD_KV_SOUND_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

/* Zeroed: nothing is known, and nothing is remembered. */
struct sound {
    struct sound_page {
        uint64_t pgno; /* 0: none */
        uint64_t sum;
    } * pages;  /* owned; each page has one place, and shares it with others */
    uint64_t n; /* a power of two, or 0 */
    struct held_page {
        uint64_t pgno;        /* 0: none */
        uint64_t txnid;       /* the last one in which it was looked at */
        unsigned char *bytes; /* owned; NULL: none yet */
    } held[KV_HELD_PAGES];
    uint64_t txnid; /* of the snapshot that is looked at; set by the user */
};

/* Copies a page and returns the sum of the copy. page_bytes: a multiple of 64. */
uint64_t sound_copy(unsigned char *to, const unsigned char *page, size_t page_bytes);
bool sound_knows(const struct sound *s, uint64_t pgno, uint64_t sum);
void sound_note(struct sound *s, uint64_t pgno, uint64_t sum);
/* The copy of an inner page, which the file has at in_file; NULL: there is none. */
const unsigned char *sound_held(struct sound *s, uint64_t pgno, const unsigned char *in_file,
                                size_t page_bytes);
/* May take the place of another one: then what sound_held() gave of that is gone. */
struct held_page *sound_place(struct sound *s, uint64_t pgno);
void sound_hold(struct sound *s, uint64_t pgno, const unsigned char *page, size_t page_bytes);
void sound_make_room(struct sound *s, uint64_t n_pages);
void sound_free(struct sound *s);

#endif
