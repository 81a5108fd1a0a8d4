/* A core at rest as bytes, a core from such bytes, and a copy of a core: for those who search.
 *
 * For: programs that go through many states of a few cores and must know when they are back where
 * they were (tests/mc), and tests.
 * Not for: the daemon, which has none of it linked; a disk or another process: the bytes are those
 * of this build.
 * Two cores with equal images do the same from now on (CORE-6), given the same inputs at the same
 * distance from now: no address, no absolute time and nothing that nobody reads is in it, times
 * that only have to be passed are "passed", and what is dead in a role is left out (image.c says
 * of each why).
 * At rest means: what the last call brought about was taken by raft_ready(), and applied.
 * Units: as raft.h.
 * Ownership: the caller owns what it gets. A core that was made here has the allocator, log reader
 * and trace of the given configuration.
 * Errors: -ENOMEM, and nothing has changed. Bytes that are no image are an error of the programmer.
 * Thread: one owner at a time.
 * Source: the usual state vector of explicit-state model checking (Holzmann, 1991). */
#ifndef RIDD_RAFT_IMAGE_H
#define RIDD_RAFT_IMAGE_H

#include "base/buf.h"
#include "raft/raft.h"

/* Whoever was servers[i] is servers[to[i]] in the image: its id, its name, its addresses. All
 * servers of all configurations are among them. */
struct raft_renaming {
    unsigned n;
    const struct raft_server *servers;
    const unsigned char *to;
};

/* How much of a core is in its image. What a search leaves out moves when something happens, never
 * whether it may; a core that is made from such an image has there what it says.
 *
 *   EXACT     all that anything depends on
 *   COARSE    not: which numbers chance gives next (it begins with the seed of the configuration),
 *             smoothed times of round trips and the drift of clocks (none), since when it has been
 *             silent, which is asked when the fitness changes (now), when an append is sent again
 *             (with the next heartbeat), how many batches are durable (0: the next one has number
 *             1 plus those outstanding), and outside of a leadership how many rounds there have
 *             been (none: an answer to one of an earlier term is dropped for its term)
 *   TIMELESS  nor: when the next election, heartbeat or round of reads is due (now), how long ago
 *             somebody was heard, but whether (now, or longer ago than an election timeout), when
 *             a question is asked again, but whether it is due, what leases rest on, and how old
 *             its state is known to be (unknown) */
enum raft_image_grain { RAFT_IMAGE_EXACT, RAFT_IMAGE_COARSE, RAFT_IMAGE_TIMELESS };

struct raft_image_how {
    uint64_t now_us;  /* what its clock shows; not less than it was told last */
    uint64_t hold_us; /* what its hold clock shows; likewise */
    enum raft_image_grain grain;
    const struct raft_renaming *renaming; /* NULL: all stay who they are */
};

/* Nothing that the last call brought about waits for raft_ready(). */
bool raft_is_at_rest(const struct raft *r);
/* Adds the image of r to bytes. */
int raft_image_write(const struct raft *r, const struct raft_image_how *how, struct buf *bytes);
/* A core with that image. conf->id is the one in it (asserted); now_us and hold_us are what its
 * clocks show, and far enough from 0 that all that has passed has been. */
int raft_image_read(const struct raft_conf *conf, const void *bytes, size_t len,
                    const struct raft_image_how *how, struct raft **ret_raft);
/* Another core that is the same to the last bit, but for where its parts are. */
int raft_clone(const struct raft *r, const struct raft_conf *conf, struct raft **ret_raft);

#endif
