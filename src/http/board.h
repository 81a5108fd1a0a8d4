/* Questions of one thread to the loop, and what the loop puts up as answers.
 *
 * For: threads that show what the loop knows. The asker names a kind of thing; the loop, when it
 * comes by, fills a buffer with it; that is exchanged for the asker's, by pointer, so that neither
 * side copies, and each of them renders from memory that is its own.
 * Not for: more than one asking thread, or questions with words of their own: a kind is all that is
 * said.
 * Units: microseconds of clock_mono_us().
 * Ownership: the board owns three buffers of each kind: the loop's, the one that hangs, the
 * asker's.
 * Errors: -errno of board_new() with err_text(). What the loop has no memory for is not put up, and
 * asked again.
 * Thread: board_serve(), board_loop_fd() the loop's; the others the asker's; _new and _free while
 * there is one thread. The loop never waits for the lock: where the asker has it, which is while it
 * exchanges two pointers, the loop comes again in its next turn (HTTP-2).
 * Source: HTTP-2. */
#ifndef RIDD_HTTP_BOARD_H
#define RIDD_HTTP_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"

struct board;

/* What the loop has paid, in wall time of its thread. */
struct board_costs {
    uint64_t n;      /* questions answered */
    uint64_t us_sum; /* filling buffers took so long */
    uint64_t us_max; /* and one of them at most */
};

int board_new(unsigned n_kinds, struct board **ret);
void board_free(struct board *b);

/* ---- the loop ---- */

/* Becomes readable when something is asked. */
int board_loop_fd(const struct board *b);
/* Answers what is asked. fill() writes the thing into an empty buffer; false: it could not. False:
 * the asker was just at the board; loop_fd stays readable, call again. */
bool board_serve(struct board *b, bool (*fill)(void *ctx, unsigned kind, struct buf *out),
                 void *ctx);

/* ---- the asker ---- */

/* Becomes readable when something was put up: call board_look(). */
int board_asker_fd(const struct board *b);
/* Takes what was put up since. */
void board_look(struct board *b);
/* Something of this kind that the loop put up HTTP_FRESH_US before since_us at the earliest: when
 * whoever wants it came. Valid until the next board_look(). NULL: there is none, and it is asked
 * for. */
const struct buf *board_get(struct board *b, unsigned kind, uint64_t since_us);
void board_get_costs(struct board *b, struct board_costs *ret);

#endif
