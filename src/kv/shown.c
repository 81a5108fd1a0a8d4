/* What a state that is not believed still proves about the log.
 *
 * Nothing is applied before it is durable in the node's own log (COMMIT-7). So an applied index,
 * read off a file whose keys may be anything, says how far the log must reach: a log that ends
 * before it has lost entries, and starting on it would take back what was acknowledged (DISK-41).
 * Only the number is used, only when its record's checksum is good, and only from files that this
 * incarnation wrote; a copy of a peer's state says what the peer's log holds.
 *
 * The file of the state may be behind what was applied (STATE-17), and so is no such proof by
 * itself. A few bytes beside it are not: they are written with each batch that was applied, to the
 * kernel and not to the disk, so that they outlive the process and not the machine. */
#include "kv/shown_int.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/mark.h"
#include "kv/page_int.h"
#include "kv/record_int.h"
#include "kv/trust_int.h"

#include "base/banned.h"

/* SHOWN: u64 incarnation, u64 index. */
#define SHOWN_NAME  "SHOWN"
#define SHOWN_MAGIC "RIDDSHO1"
#define SHOWN_BYTES (2u * 8u)

static_assert(sizeof(SHOWN_MAGIC) == MARK_MAGIC_BYTES + 1, "a magic is eight bytes");

/* APPLIED: two of u64 incarnation, u64 index, u32 crc32c of both, u32 0. Written in turns: one that
 * was cut short leaves the other. */
#define APPLIED_NAME  "APPLIED"
#define APPLIED_BYTES 24u

static raft_index recorded(const struct kv *kv)
{
    unsigned char bytes[SHOWN_BYTES];
    size_t n = 0;

    if (mark_read(kv->dir_fd, SHOWN_NAME, SHOWN_MAGIC, bytes, sizeof(bytes), &n) != 0 ||
        n != sizeof(bytes) || get_u64(bytes) != kv->incarnation)
        return 0;
    return get_u64(bytes + 8);
}

/* The record under the lowest key there is: down the left edge of the tree, a few pages. */
static raft_index index_in_file(const struct kv *kv, int fd)
{
    struct page_file file = {.fd = fd, .name = TRUST_DATA_NAME};
    struct page_cursor cursor = {0};
    struct page_head head;
    struct page_item item = {0};
    struct kv_meta meta = {0};
    raft_index index = 0;

    if (page_read_head(&file, &head) != 0)
        return 0;
    if (page_cursor_first(&cursor, &file, &head.keys) == 0 &&
        page_cursor_next(&cursor, &item) == 0 && item.key.data != NULL &&
        item.key.len == record_meta_key.len &&
        memcmp(item.key.data, record_meta_key.data, item.key.len) == 0 &&
        record_meta_is_ours(kv, item.data, item.len) == 0 &&
        record_meta_defect(item.data, item.len) == NULL && record_meta(item.data, item.len, &meta))
        index = meta.last_applied.index;
    page_cursor_free(&cursor);
    return index;
}

static raft_index shown(const struct kv *kv)
{
    cleanup_fd int fd =
        openat(kv->dir_fd, TRUST_DATA_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    raft_index index = trust_clean_index(kv->dir_fd, kv->incarnation);
    raft_index in_file = 0;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        trust_is_own_file(kv->dir_fd, kv->incarnation, &st))
        in_file = index_in_file(kv, fd);
    return in_file > index ? in_file : index;
}

static int note(struct kv *kv, raft_index index)
{
    unsigned char bytes[SHOWN_BYTES];
    int rc;

    if (index > RAFT_INDEX_MAX || index <= atomic_load(&kv->shown_index))
        return 0;
    put_u64(bytes, kv->incarnation);
    put_u64(bytes + 8, index);
    rc = mark_write(kv->dir_fd, SHOWN_NAME, SHOWN_MAGIC, bytes, sizeof(bytes));
    if (rc == 0)
        atomic_store(&kv->shown_index, index);
    return err_trace(rc);
}

int shown_look(struct kv *kv, bool will_be_set_aside)
{
    int rc;

    atomic_store(&kv->shown_index, recorded(kv));
    if (!will_be_set_aside)
        return 0;
    rc = note(kv, shown(kv));
    if (err_is_full(rc)) {
        kv_give_room(kv);
        rc = note(kv, shown(kv));
    }
    return err_trace(rc);
}

int shown_note(struct kv *kv)
{
    raft_index index;

    (void)pthread_mutex_lock(&kv->stats_lock);
    index = kv->applied.index;
    (void)pthread_mutex_unlock(&kv->stats_lock);
    return err_trace(note(kv, index));
}

raft_index kv_shown_index(const struct kv *kv)
{
    return atomic_load(&kv->shown_index);
}

/* ---- what was applied, whatever the file holds ---- */

static raft_index applied_in(const struct kv *kv, const unsigned char *bytes)
{
    const bool is_ours = get_u32(bytes + 16) == crc32c(0, bytes, 16) &&
                         get_u64(bytes) == kv->incarnation && get_u64(bytes + 8) <= RAFT_INDEX_MAX;

    return is_ours ? get_u64(bytes + 8) : 0;
}

/* Without it, on a disk that has no room for so little, the file of the state is all there is. */
void shown_open(struct kv *kv)
{
    unsigned char bytes[2 * APPLIED_BYTES] = {0};
    cleanup_fd int fd = openat(kv->dir_fd, APPLIED_NAME,
                               O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;
    raft_index first;
    raft_index second;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        pread(fd, bytes, sizeof(bytes), 0) < 0)
        return;
    first = applied_in(kv, bytes);
    second = applied_in(kv, bytes + APPLIED_BYTES);
    kv->witness_index = first > second ? first : second;
    kv->witness_slot = first > second;
    /* It has its blocks from now on. */
    if ((size_t)st.st_size < sizeof(bytes) && pwrite(fd, bytes, sizeof(bytes), 0) < 0)
        return;
    kv->witness_fd = take_fd(fd);
}

/* What cannot be written leaves what is there, which says less and nothing wrong. */
void shown_tell(struct kv *kv, raft_index index)
{
    unsigned char bytes[APPLIED_BYTES] = {0};

    if (kv->witness_fd < 0 || index <= kv->witness_index)
        return;
    put_u64(bytes, kv->incarnation);
    put_u64(bytes + 8, index);
    put_u32(bytes + 16, crc32c(0, bytes, 16));
    if (pwrite(kv->witness_fd, bytes, sizeof(bytes), (off_t)kv->witness_slot * APPLIED_BYTES) !=
        (ssize_t)sizeof(bytes))
        return;
    kv->witness_slot ^= 1u;
    kv->witness_index = index;
}

raft_index kv_witness_index(const struct kv *kv)
{
    return kv->witness_index;
}
