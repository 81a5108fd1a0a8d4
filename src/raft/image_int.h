/* How an image is written and read: one description serves both ways. image_codec.c has the codec,
 * image_parts.c the description of what changes, image.c that of log and members, and the rest. */
#ifndef RIDD_RAFT_IMAGE_INT_H
#define RIDD_RAFT_IMAGE_INT_H

#include "raft/image.h"
#include "raft/raft_int.h"

struct codec {
    bool reading;
    int rc; /* of writing */
    const struct raft_image_how *how;
    struct buf *out;
    const unsigned char *at;
    const unsigned char *end;
};

/* Writes v, or reads it. */
uint64_t raft_image_code(struct codec *c, uint64_t v);
/* A number, whatever its type: written, or read back. */
#define NUMBER(c, field)                                                                           \
    do {                                                                                           \
        const uint64_t coded_ = raft_image_code((c), (uint64_t)(field));                           \
        if ((c)->reading)                                                                          \
            (field) = (__typeof__(field))coded_;                                                   \
    } while (0)

static inline bool raft_image_is_exact(const struct codec *c)
{
    return c->how->grain == RAFT_IMAGE_EXACT;
}
static inline bool raft_image_is_timeless(const struct codec *c)
{
    return c->how->grain == RAFT_IMAGE_TIMELESS;
}

/* Times are told from what the clock shows, now or hold.
 *
 *   age    how long ago; `most` and longer are the same
 *   left   how long yet; all that has passed is the same; never is UINT64_MAX
 *   until  left, but 0 means none, which is not the same as passed
 *   heard  age; timeless: whether it was within `most`
 *   due    left; timeless: now */
void raft_image_age(struct codec *c, uint64_t *time_us, uint64_t clock_us, uint64_t most_us);
void raft_image_left(struct codec *c, uint64_t *time_us, uint64_t clock_us);
void raft_image_until(struct codec *c, uint64_t *time_us, uint64_t clock_us);
void raft_image_heard(struct codec *c, uint64_t *time_us, uint64_t most_us);
void raft_image_due(struct codec *c, uint64_t *time_us);
/* A number of a batch. What is durable needs none. */
void raft_image_batch(struct codec *c, const struct raft *r, uint64_t *number);

/* Who it is called now. */
raft_node_id raft_image_new_id(const struct codec *c, raft_node_id id);
void raft_image_name(struct codec *c, raft_node_id *id);
void raft_image_rename(const struct raft_renaming *names, const struct raft_configuration *from,
                       struct raft_configuration *to);
void raft_image_write_bytes(struct codec *c, const void *data, size_t len);
const void *raft_image_read_bytes(struct codec *c, size_t *ret_len);
void raft_image_write_configuration(struct codec *c, const struct raft_configuration *from);

/* image_parts.c: all that is behind log, members and outstanding batches. 0 or -ENOMEM. */
int raft_image_visit(struct codec *c, struct raft *r);
/* Leader: the first round whose time may still be asked for. */
uint64_t raft_image_first_round(const struct raft *r, bool exact);

#endif
