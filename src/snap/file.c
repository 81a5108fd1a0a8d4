/* One file of the folder: its name, its bytes, its trailer. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "snap/snap_int.h"

#include "base/banned.h"

#define NAME_DIGITS 20u

const char *const snap_writer_names[SNAP_RECEIVED + 1] = {
    [SNAP_MADE] = "made.tmp",
    [SNAP_RECEIVED] = "received.tmp",
};

int snap_id_compare(struct raft_entry_id a, struct raft_entry_id b)
{
    if (a.index != b.index)
        return a.index < b.index ? -1 : 1;
    if (a.term != b.term)
        return a.term < b.term ? -1 : 1;
    return 0;
}

/* ---- names ---- */

void snap_name(char name[SNAP_NAME_BYTES], struct raft_entry_id id)
{
    (void)snprintf(name, SNAP_NAME_BYTES, "%020" PRIu64 "-%020" PRIu64 ".snap", id.index, id.term);
}

/* Exactly so many digits of a number from 1 to RAFT_INDEX_MAX. */
static bool take_number(const char *digits, uint64_t *ret)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < NAME_DIGITS; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(digits[i] - '0');
        if (n > RAFT_INDEX_MAX)
            return false;
    }
    *ret = n;
    return n > 0;
}

bool snap_name_parse(const char *name, struct raft_entry_id *ret_id)
{
    const char *term = name + NAME_DIGITS + 1;

    /* Each look is at what the one before it has found to be there. */
    return take_number(name, &ret_id->index) && name[NAME_DIGITS] == '-' &&
           take_number(term, &ret_id->term) && strcmp(term + NAME_DIGITS, ".snap") == 0;
}

/* ---- bytes ---- */

int snap_say_errno(int rc, const char *what, const char *name)
{
    return err_trace(err_say(rc, "cannot %s the snapshot '%s': %s", what, name, strerror(-rc)));
}

int snap_read_all(const struct snap_folder *s, struct vfs_file *f, const char *name, void *buf,
                  size_t n, uint64_t offset)
{
    const struct vfs *vfs = s->conf.vfs;
    int64_t got = vfs->pread(vfs->ctx, f, buf, n, offset);

    if (got < 0)
        return snap_say_errno((int)got, "read", name);
    if ((uint64_t)got != n)
        return err_say(SNAP_E_DAMAGED,
                       "the snapshot '%s' is damaged: it ends before offset %" PRIu64, name,
                       offset + n);
    return 0;
}

/* ---- trailers ---- */

static int say_damaged(const char *name, const char *what)
{
    return err_say(SNAP_E_DAMAGED, "the snapshot '%s' is damaged: %s", name, what);
}

static int judge(const struct snap_folder *s, const char *name, const unsigned char *trailer,
                 size_t total, uint64_t size, struct snap_meta *ret)
{
    int rc = snap_meta_decode(trailer, total, ret);

    if (rc == SNAP_E_NEWER)
        return err_say(rc,
                       "the snapshot '%s' was written by a later version of ridd; it is left as it "
                       "is",
                       name);
    if (rc != 0)
        return say_damaged(name, "its trailer is not good");
    if (ret->body_bytes != size - total)
        return say_damaged(name, "it has not as many bytes as its trailer says");
    /* Without the id of the cluster a node would not know its members any more (PEER-8). */
    if (ret->given)
        return err_say(SNAP_E_GIVEN,
                       "the snapshot '%s' is a copy that a client was given ('ridctl snapshot "
                       "--save'), without the id of its cluster: no node goes on from it",
                       name);
    if (memcmp(ret->cluster_id, s->conf.cluster_id, sizeof(ret->cluster_id)) != 0 ||
        ret->group != s->conf.group)
        return err_say(SNAP_E_FOREIGN,
                       "the snapshot '%s' is of another cluster or group; it is left as it is",
                       name);
    return 0;
}

/* The tail, which says where the trailer begins: *ret_total. */
static int find_trailer(const struct snap_folder *s, struct vfs_file *f, const char *name,
                        uint64_t size, size_t *ret_total)
{
    unsigned char tail[SNAP_TAIL_BYTES];
    int rc;

    if (size < sizeof(tail))
        return say_damaged(name, "it does not end with a trailer");
    rc = snap_read_all(s, f, name, tail, sizeof(tail), size - sizeof(tail));
    if (rc != 0)
        return rc;
    *ret_total = snap_tail_find(tail, sizeof(tail));
    return *ret_total == 0 || *ret_total > size
               ? say_damaged(name, "it does not end with a trailer")
               : 0;
}

static int read_trailer(const struct snap_folder *s, struct vfs_file *f, const char *name,
                        uint64_t size, struct snap_meta *ret)
{
    cleanup_free unsigned char *trailer = NULL;
    size_t total = 0;
    int rc = find_trailer(s, f, name, size, &total);

    if (rc != 0)
        return rc;
    trailer = malloc(total);
    if (trailer == NULL)
        return err_origin(err_say(-ENOMEM, "cannot read the snapshot '%s': out of memory", name));
    rc = snap_read_all(s, f, name, trailer, total, size - total);
    return rc != 0 ? rc : judge(s, name, trailer, total, size, ret);
}

int snap_read_trailer(const struct snap_folder *s, struct vfs_file *f, const char *name,
                      struct snap_meta *ret, uint64_t *ret_bytes)
{
    const struct vfs *vfs = s->conf.vfs;
    int64_t size = vfs->size(vfs->ctx, f);
    int rc;

    if (size < 0)
        return snap_say_errno((int)size, "ask for the size of", name);
    *ret_bytes = (uint64_t)size;
    rc = read_trailer(s, f, name, (uint64_t)size, ret);
    /* What the disk cannot read any more is damaged, and no end of anything. */
    return rc == -EIO ? say_damaged(name, "the disk cannot read its trailer") : rc;
}
