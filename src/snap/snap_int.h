/* What the parts of snap/ share: the bytes of a trailer, and the files of a folder.
 *
 * A snapshot file is the copy from offset 0 on and the trailer behind it, which is found from the
 * end of the file:
 *      0 cluster_id[16]
 *     16 u64 index            24 u64 term             32 u64 index of the configuration
 *     40 u32 state_format     44 u32 digest_version   48 u64 digest, low     56 u64 digest, high
 *     64 u64 keys             72 u64 live bytes       80 u64 their limit
 *     88 u64 body_bytes       96 u32 body_crc        100 u16 group         102 u16 flags: 1 given
 *    104 the configuration (raft/configuration.h)
 *   then, at the very end, the tail, which has this form in every version:
 *      0 u32 version           4 u32 bytes of the trailer, this tail included
 *      8 u32 CRC32C of all of the trailer before it
 *     12 "RIDDSNAP" */
#ifndef RIDD_SNAP_SNAP_INT_H
#define RIDD_SNAP_SNAP_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/limits.h"
#include "snap/snap.h"

#define SNAP_VERSION     1u
#define SNAP_FIXED_BYTES 104u
#define SNAP_TAIL_BYTES  20u
#define SNAP_FLAG_GIVEN  1u
/* Two numbers of 20 digits, a line between them, and ".snap". */
#define SNAP_NAME_BYTES 48u

/* GOOD: name and trailer agree, and it is ours. BAD: the trailer is not good, the body was found
 * not to be, the name is that of another, or a client was given it and somebody put it there: the
 * one that it was made of may have to come back under that name. KEPT: a later version's, or
 * another cluster's: nothing that may be removed or replaced here. */
enum snap_state { SNAP_GOOD, SNAP_BAD, SNAP_KEPT };

/* One name in the folder. Those of the array are freed only when nobody holds them. */
struct snap_file {
    char name[SNAP_NAME_BYTES];
    struct raft_entry_id id; /* by its name */
    struct raft_entry_id
        older; /* what is newer than this may outlive it: as id, or the trailer's */
    enum snap_state state;
    int why; /* SNAP_E_*, where it is not GOOD */
    uint64_t bytes;
    bool checked;          /* read again as it is */
    bool going;            /* it is being removed: nobody takes it any more */
    unsigned n_users;      /* readers, and checks under way */
    uint64_t generation;   /* counts what was put in its place */
    struct snap_meta meta; /* GOOD */
};

struct snap_folder {
    struct snap_conf conf; /* vfs is borrowed */
    /* Whoever changes names holds it, over the calls to the disk; before lock. */
    pthread_mutex_t names;
    /* Behind it is all that follows; never held over a call to the disk, for the loop asks, too. */
    pthread_mutex_t lock;
    struct snap_file **files; /* owned, and each of them; in order of id, newest first */
    size_t n_files;
    size_t files_size;
    uint64_t writing_bytes[SNAP_RECEIVED + 1];
    bool writes[SNAP_RECEIVED + 1];
    bool left[SNAP_RECEIVED + 1];     /* the file of a writer that was dropped is still there */
    struct snap_reader *readers_left; /* owned; each keeps a file that was replaced */
    atomic_bool stops;
};

/* ---- meta.c ---- */

/* Are all fields within their bounds? */
bool snap_meta_is_sound(const struct snap_meta *m);
/* ---- file.c ---- */

/* *ret is below 0, 0 or above it. */
int snap_id_compare(struct raft_entry_id a, struct raft_entry_id b);
void snap_name(char name[SNAP_NAME_BYTES], struct raft_entry_id id);
bool snap_name_parse(const char *name, struct raft_entry_id *ret_id);
extern const char *const snap_writer_names[SNAP_RECEIVED + 1];
/* The sentence for a call on a file that failed; hands rc up. */
int snap_say_errno(int rc, const char *what, const char *name);
/* All n bytes: 0, SNAP_E_DAMAGED (it ends before), -errno. */
int snap_read_all(const struct snap_folder *s, struct vfs_file *f, const char *name, void *buf,
                  size_t n, uint64_t offset);
/* The trailer of an open file, and what is wrong with it in err_text(): 0, SNAP_E_DAMAGED,
 * SNAP_E_NEWER, SNAP_E_FOREIGN, SNAP_E_GIVEN, -errno. With 0 the size is that of copy and trailer;
 * *ret_bytes is the file's size in any case that is not -errno. */
int snap_read_trailer(const struct snap_folder *s, struct vfs_file *f, const char *name,
                      struct snap_meta *ret, uint64_t *ret_bytes);

/* ---- reader.c ---- */

/* Those in a list, and the files that they keep. */
void snap_readers_close(struct snap_reader *r);

/* ---- folder.c ---- */

/* Under lock. The file of that entry that may be taken, NULL: none. */
struct snap_file *snap_find(struct snap_folder *s, struct raft_entry_id id);
/* Under lock. A new one, at its place; there is room (snap_reserve()). */
void snap_insert(struct snap_folder *s, struct snap_file *f);
/* Under lock. 0, -ENOMEM. */
int snap_reserve(struct snap_folder *s);

#endif
