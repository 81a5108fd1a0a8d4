/* Each file has two images, the disk's and the cache's, and the list of what is pending between
 * them. What a power cut leaves is decided sector by sector from that list. Files are never freed
 * while a handle or a name may refer to them. */
#include "unit/fake-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

#include "base/banned.h"

#define NAME_BYTES 64u

struct pending {
    bool is_size; /* a change of size; otherwise a write */
    uint64_t offset;
    size_t len;          /* of a write; the new size otherwise */
    unsigned char *data; /* owned */
};

struct inode {
    unsigned char *disk; /* owned; room for `room` bytes, zero behind disk_size */
    unsigned char *cache;
    size_t disk_size;
    size_t size; /* cached */
    size_t room;
    struct pending *ops; /* owned */
    size_t n_ops;
    size_t ops_room;
    unsigned n_handles;
    bool sync_fails_next;
};

struct name {
    char name[NAME_BYTES];
    struct inode *inode; /* borrowed */
};

enum dir_op_kind { DIR_CREATE, DIR_RENAME, DIR_UNLINK };
struct dir_op {
    enum dir_op_kind kind;
    char from[NAME_BYTES]; /* the only name but for rename */
    char to[NAME_BYTES];
    struct inode *inode;
};

struct dir {
    struct name *names; /* owned */
    size_t n;
};

struct fake_disk {
    struct vfs vfs;
    struct prng prng;
    struct inode **inodes; /* owned */
    size_t n_inodes;
    struct dir disk_dir;
    struct dir dir;
    struct dir_op *dir_ops; /* owned */
    size_t n_dir_ops;
    uint64_t epoch; /* handles of an earlier one are dead */
    unsigned n_open;

    bool off;
    uint64_t n_calls;
    uint64_t cut_in;
    uint64_t sync_fails_in;
    enum fake_disk_sync_failure sync_failure;
    int sync_error; /* 0: -EIO */
    uint64_t call_fails_in;
    int call_error;
    uint64_t capacity;
    size_t write_max;
    char bad_name[NAME_BYTES];
    uint64_t bad_from;
    uint64_t bad_to;
    void (*hook)(void *ctx, const char *what, const char *name);
    void *hook_ctx;
};

struct vfs_file {
    struct fake_disk *disk; /* borrowed */
    struct inode *inode;    /* borrowed; n_handles counts */
    uint64_t epoch;
};

/* ---- memory ---- */

static void *must(void *p)
{
    if (p == NULL) {
        (void)fprintf(stderr, "fake disk: out of memory, or no such file\n");
        abort();
    }
    return p;
}

static void *must_realloc(void *p, size_t n)
{
    return must(realloc(p, n > 0 ? n : 1));
}

static void inode_room(struct inode *in, size_t size)
{
    size_t room = in->room > 0 ? in->room : 4096;

    if (size <= in->room)
        return;
    while (room < size)
        room *= 2;
    in->disk = must_realloc(in->disk, room);
    in->cache = must_realloc(in->cache, room);
    memset(in->disk + in->room, 0, room - in->room);
    memset(in->cache + in->room, 0, room - in->room);
    in->room = room;
}

static struct inode *inode_new(struct fake_disk *d)
{
    struct inode *in = must(calloc(1, sizeof(*in)));

    d->inodes = must_realloc(d->inodes, (d->n_inodes + 1) * sizeof(struct inode *));
    d->inodes[d->n_inodes++] = in;
    return in;
}

static void ops_clear(struct inode *in)
{
    for (size_t i = 0; i < in->n_ops; i++)
        free(in->ops[i].data);
    in->n_ops = 0;
}

static void inode_free(struct inode *in)
{
    ops_clear(in);
    free(in->ops);
    free(in->disk);
    free(in->cache);
    free(in);
}

/* ---- directories ---- */

static struct name *dir_find(const struct dir *dir, const char *name)
{
    for (size_t i = 0; i < dir->n; i++)
        if (strcmp(dir->names[i].name, name) == 0)
            return &dir->names[i];
    return NULL;
}

/* The file must exist: that it does not is a mistake of the test. */
static struct inode *dir_get(const struct dir *dir, const char *name)
{
    struct name *n = must(dir_find(dir, name));

    return n->inode;
}

static void dir_remove(struct dir *dir, const char *name)
{
    struct name *n = dir_find(dir, name);

    if (n == NULL)
        return;
    memmove(n, n + 1, (size_t)(&dir->names[dir->n] - (n + 1)) * sizeof(*n));
    dir->n--;
}

static void dir_set(struct dir *dir, const char *name, struct inode *in)
{
    struct name *n = dir_find(dir, name);

    if (n == NULL) {
        dir->names = must_realloc(dir->names, (dir->n + 1) * sizeof(*dir->names));
        n = &dir->names[dir->n++];
        (void)snprintf(n->name, sizeof(n->name), "%s", name);
    }
    n->inode = in;
}

static void dir_copy(struct dir *to, const struct dir *from)
{
    to->names = must_realloc(to->names, from->n * sizeof(*from->names));
    if (from->n > 0)
        memcpy(to->names, from->names, from->n * sizeof(*from->names));
    to->n = from->n;
}

static void dir_apply(struct dir *dir, const struct dir_op *op)
{
    if (op->kind != DIR_CREATE)
        dir_remove(dir, op->from);
    if (op->kind != DIR_UNLINK)
        dir_set(dir, op->kind == DIR_RENAME ? op->to : op->from, op->inode);
}

static void dir_do(struct fake_disk *d, enum dir_op_kind kind, const char *from, const char *to,
                   struct inode *in)
{
    struct dir_op *op;

    d->dir_ops = must_realloc(d->dir_ops, (d->n_dir_ops + 1) * sizeof(*d->dir_ops));
    op = &d->dir_ops[d->n_dir_ops++];
    *op = (struct dir_op){.kind = kind, .inode = in};
    (void)snprintf(op->from, sizeof(op->from), "%s", from);
    (void)snprintf(op->to, sizeof(op->to), "%s", to);
    dir_apply(&d->dir, op);
}

/* ---- calls and faults ---- */

static bool due(uint64_t *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

/* Before a changing call. 0, or the error to return; *ret_cut: the power goes off inside this call.
 */
static int begin(struct fake_disk *d, const char *what, const char *name, bool *ret_cut)
{
    if (d->off)
        return -EIO;
    if (d->hook != NULL)
        d->hook(d->hook_ctx, what, name);
    d->n_calls++;
    *ret_cut = due(&d->cut_in);
    if (due(&d->call_fails_in) && !*ret_cut)
        return d->call_error;
    return 0;
}

static int finish(struct fake_disk *d, bool cut)
{
    if (!cut)
        return 0;
    d->off = true;
    return -EIO;
}

static bool alive(const struct fake_disk *d, const struct vfs_file *f)
{
    return !d->off && f->epoch == d->epoch;
}

static const char *name_of(const struct fake_disk *d, const struct inode *in)
{
    for (size_t i = 0; i < d->dir.n; i++)
        if (d->dir.names[i].inode == in)
            return d->dir.names[i].name;
    return "";
}

static void push_op(struct inode *in, struct pending op)
{
    if (in->n_ops == in->ops_room) {
        in->ops_room = in->ops_room > 0 ? in->ops_room * 2 : 16;
        in->ops = must_realloc(in->ops, in->ops_room * sizeof(*in->ops));
    }
    in->ops[in->n_ops++] = op;
}

static void set_size(unsigned char *bytes, size_t *size, size_t to)
{
    if (to < *size)
        memset(bytes + to, 0, *size - to);
    *size = to;
}

/* Everything pending, onto one image. */
static void replay(const struct inode *in, unsigned char *bytes, size_t *size)
{
    for (size_t i = 0; i < in->n_ops; i++) {
        const struct pending *op = &in->ops[i];

        if (op->is_size) {
            set_size(bytes, size, op->len);
            continue;
        }
        memcpy(bytes + op->offset, op->data, op->len);
        if (op->offset + op->len > *size)
            *size = (size_t)op->offset + op->len;
    }
}

/* The cache becomes what the disk holds. */
static void reload(struct inode *in)
{
    if (in->room > 0)
        memcpy(in->cache, in->disk, in->room);
    in->size = in->disk_size;
}

uint64_t fake_disk_used(const struct fake_disk *d)
{
    uint64_t used = 0;

    for (size_t i = 0; i < d->dir.n; i++)
        used += d->dir.names[i].inode->size;
    return used;
}

static bool grows_too_far(const struct fake_disk *d, const struct inode *in, uint64_t to)
{
    return d->capacity > 0 && to > in->size && fake_disk_used(d) + (to - in->size) > d->capacity;
}

/* ---- the table ---- */

static int fd_open(void *ctx, const char *name, int flags, struct vfs_file **ret)
{
    struct fake_disk *d = ctx;
    struct name *n = dir_find(&d->dir, name);
    struct inode *in = n != NULL ? n->inode : NULL;
    struct vfs_file *f;
    bool cut = false;
    int r;

    if (d->off)
        return -EIO;
    if (strlen(name) >= NAME_BYTES || strchr(name, '/') != NULL)
        return -EINVAL;
    if ((flags & O_CREAT) != 0) {
        r = begin(d, "create", name, &cut);
        if (r != 0)
            return r;
        if (in != NULL && (flags & O_EXCL) != 0)
            return -EEXIST;
        if (in == NULL) {
            in = inode_new(d);
            dir_do(d, DIR_CREATE, name, "", in);
        }
        r = finish(d, cut);
        if (r != 0)
            return r;
    }
    if (in == NULL)
        return -ENOENT;
    f = must(calloc(1, sizeof(*f)));
    *f = (struct vfs_file){.disk = d, .inode = in, .epoch = d->epoch};
    in->n_handles++;
    d->n_open++;
    *ret = f;
    return 0;
}

static int fd_close(void *ctx, struct vfs_file *f)
{
    struct fake_disk *d = ctx;

    f->inode->n_handles--;
    d->n_open--;
    free(f);
    return 0;
}

static int64_t fd_pread(void *ctx, struct vfs_file *f, void *buf, size_t n, uint64_t offset)
{
    struct fake_disk *d = ctx;
    struct inode *in = f->inode;

    if (!alive(d, f))
        return -EIO;
    if (d->bad_name[0] != '\0' && strcmp(d->bad_name, name_of(d, in)) == 0 && offset < d->bad_to &&
        offset + n > d->bad_from)
        return -EIO;
    if (offset >= in->size)
        return 0;
    if (n > in->size - offset)
        n = in->size - (size_t)offset;
    memcpy(buf, in->cache + offset, n);
    return (int64_t)n;
}

static int64_t fd_pwritev(void *ctx, struct vfs_file *f, const struct iovec *iov, int n_iov,
                          uint64_t offset)
{
    struct fake_disk *d = ctx;
    struct inode *in = f->inode;
    struct pending op = {.offset = offset};
    bool cut = false;
    int r;

    if (!alive(d, f))
        return -EIO;
    r = begin(d, "pwritev", name_of(d, in), &cut);
    if (r != 0)
        return r;
    for (int i = 0; i < n_iov; i++)
        op.len += iov[i].iov_len;
    if (d->write_max > 0 && op.len > d->write_max)
        op.len = d->write_max;
    if (grows_too_far(d, in, offset + op.len))
        return -ENOSPC;
    op.data = must(malloc(op.len > 0 ? op.len : 1));
    for (size_t done = 0, i = 0; done < op.len; i++) {
        size_t part = iov[i].iov_len < op.len - done ? iov[i].iov_len : op.len - done;

        memcpy(op.data + done, iov[i].iov_base, part);
        done += part;
    }
    inode_room(in, (size_t)offset + op.len);
    memcpy(in->cache + offset, op.data, op.len);
    if (offset + op.len > in->size)
        in->size = (size_t)offset + op.len;
    push_op(in, op);
    r = finish(d, cut);
    return r != 0 ? r : (int64_t)op.len;
}

static int sync_error(const struct fake_disk *d)
{
    return d->sync_error != 0 ? d->sync_error : -EIO;
}

static int fail_sync(struct fake_disk *d, struct inode *in)
{
    const int error = sync_error(d);

    switch (d->sync_failure) {
    case FAKE_DISK_SYNC_PAGES_CLEAN:
        ops_clear(in);
        return error;
    case FAKE_DISK_SYNC_NEXT:
        ops_clear(in);
        in->sync_fails_next = true;
        return 0;
    case FAKE_DISK_SYNC_REVERT:
        ops_clear(in);
        reload(in);
        return error;
    }
    return error;
}

static int fd_fdatasync(void *ctx, struct vfs_file *f)
{
    struct fake_disk *d = ctx;
    struct inode *in = f->inode;
    bool cut = false;
    int r;

    if (!alive(d, f))
        return -EIO;
    r = begin(d, "fdatasync", name_of(d, in), &cut);
    if (r != 0)
        return r;
    if (cut)
        return finish(d, cut);
    if (due(&d->sync_fails_in))
        return fail_sync(d, in);
    if (in->sync_fails_next) {
        in->sync_fails_next = false;
        ops_clear(in);
        return sync_error(d);
    }
    replay(in, in->disk, &in->disk_size);
    ops_clear(in);
    return 0;
}

static int fd_sync_dir(void *ctx)
{
    struct fake_disk *d = ctx;
    bool cut = false;
    int r = begin(d, "sync_dir", "", &cut);

    if (r != 0)
        return r;
    if (cut)
        return finish(d, cut);
    if (due(&d->sync_fails_in))
        return sync_error(d);
    dir_copy(&d->disk_dir, &d->dir);
    d->n_dir_ops = 0;
    return 0;
}

static int resize(struct vfs_file *f, const char *what, uint64_t size, bool only_grow)
{
    struct fake_disk *d = f->disk;
    struct inode *in = f->inode;
    bool cut = false;
    int r;

    if (!alive(d, f))
        return -EIO;
    r = begin(d, what, name_of(d, in), &cut);
    if (r != 0)
        return r;
    if (grows_too_far(d, in, size))
        return -ENOSPC;
    if (!only_grow || size > in->size) {
        inode_room(in, (size_t)size);
        set_size(in->cache, &in->size, (size_t)size);
        push_op(in, (struct pending){.is_size = true, .len = (size_t)size});
    }
    return finish(d, cut);
}

static int fd_allocate(void *ctx, struct vfs_file *f, uint64_t size)
{
    (void)ctx;
    return resize(f, "allocate", size, true);
}

static int fd_truncate(void *ctx, struct vfs_file *f, uint64_t size)
{
    (void)ctx;
    return resize(f, "truncate", size, false);
}

static int64_t fd_size(void *ctx, struct vfs_file *f)
{
    return alive(ctx, f) ? (int64_t)f->inode->size : -EIO;
}

static int fd_rename(void *ctx, const char *from, const char *to)
{
    struct fake_disk *d = ctx;
    struct name *n = dir_find(&d->dir, from);
    bool cut = false;
    int r = begin(d, "rename", from, &cut);

    if (r != 0)
        return r;
    if (n == NULL)
        return -ENOENT;
    dir_do(d, DIR_RENAME, from, to, n->inode);
    return finish(d, cut);
}

static int fd_unlink(void *ctx, const char *name)
{
    struct fake_disk *d = ctx;
    struct name *n = dir_find(&d->dir, name);
    bool cut = false;
    int r = begin(d, "unlink", name, &cut);

    if (r != 0)
        return r;
    if (n == NULL)
        return -ENOENT;
    dir_do(d, DIR_UNLINK, name, "", n->inode);
    return finish(d, cut);
}

static int fd_list(void *ctx, int (*each)(void *arg, const char *name), void *arg)
{
    struct fake_disk *d = ctx;
    struct dir copy = {0};
    int r = d->off ? -EIO : 0;

    dir_copy(&copy, &d->dir);
    for (size_t i = 0; r == 0 && i < copy.n; i++)
        r = each(arg, copy.names[i].name);
    free(copy.names);
    return r;
}

static int fd_drop_cache(void *ctx, struct vfs_file *f)
{
    struct inode *in = f->inode;

    if (!alive(ctx, f))
        return -EIO;
    reload(in);
    replay(in, in->cache, &in->size); /* dirty pages stay */
    return 0;
}

/* ---- life ---- */

struct fake_disk *fake_disk_new(uint64_t seed)
{
    struct fake_disk *d = must(calloc(1, sizeof(*d)));

    prng_init(&d->prng, seed);
    d->vfs = (struct vfs){
        .ctx = d,
        .open = fd_open,
        .close = fd_close,
        .pread = fd_pread,
        .pwritev = fd_pwritev,
        .fdatasync = fd_fdatasync,
        .sync_dir = fd_sync_dir,
        .allocate = fd_allocate,
        .truncate = fd_truncate,
        .size = fd_size,
        .rename = fd_rename,
        .unlink = fd_unlink,
        .list = fd_list,
        .drop_cache = fd_drop_cache,
    };
    return d;
}

void fake_disk_free(struct fake_disk *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n_inodes; i++)
        inode_free(d->inodes[i]);
    free(d->inodes);
    free(d->dir.names);
    free(d->disk_dir.names);
    free(d->dir_ops);
    free(d);
}

static struct inode *inode_copy(struct fake_disk *d, const struct inode *from)
{
    struct inode *in = inode_new(d);

    inode_room(in, from->room);
    if (from->room > 0) {
        memcpy(in->disk, from->disk, from->room);
        memcpy(in->cache, from->cache, from->room);
    }
    in->disk_size = from->disk_size;
    in->size = from->size;
    for (size_t i = 0; i < from->n_ops; i++) {
        struct pending op = from->ops[i];

        if (!op.is_size) {
            op.data = must(malloc(op.len > 0 ? op.len : 1));
            memcpy(op.data, from->ops[i].data, op.len);
        }
        push_op(in, op);
    }
    in->sync_fails_next = from->sync_fails_next;
    return in;
}

static struct inode *same_inode(const struct fake_disk *from, const struct fake_disk *to,
                                const struct inode *in)
{
    for (size_t i = 0; i < from->n_inodes; i++)
        if (from->inodes[i] == in)
            return to->inodes[i];
    abort();
}

struct fake_disk *fake_disk_clone(const struct fake_disk *from, uint64_t seed)
{
    struct fake_disk *d = fake_disk_new(seed);

    for (size_t i = 0; i < from->n_inodes; i++)
        (void)inode_copy(d, from->inodes[i]);
    dir_copy(&d->dir, &from->dir);
    dir_copy(&d->disk_dir, &from->disk_dir);
    for (size_t i = 0; i < d->dir.n; i++)
        d->dir.names[i].inode = same_inode(from, d, d->dir.names[i].inode);
    for (size_t i = 0; i < d->disk_dir.n; i++)
        d->disk_dir.names[i].inode = same_inode(from, d, d->disk_dir.names[i].inode);
    d->dir_ops = must_realloc(d->dir_ops, from->n_dir_ops * sizeof(*d->dir_ops));
    for (size_t i = 0; i < from->n_dir_ops; i++) {
        d->dir_ops[i] = from->dir_ops[i];
        d->dir_ops[i].inode = same_inode(from, d, d->dir_ops[i].inode);
    }
    d->n_dir_ops = from->n_dir_ops;
    d->off = from->off;
    d->capacity = from->capacity;
    d->write_max = from->write_max;
    return d;
}

struct vfs *fake_disk_vfs(struct fake_disk *d)
{
    return &d->vfs;
}

/* ---- power ---- */

void fake_disk_cut_after(struct fake_disk *d, uint64_t n)
{
    d->cut_in = n;
}

void fake_disk_cut_now(struct fake_disk *d)
{
    d->off = true;
}

bool fake_disk_is_off(const struct fake_disk *d)
{
    return d->off;
}

uint64_t fake_disk_n_calls(const struct fake_disk *d)
{
    return d->n_calls;
}

static bool chance(struct fake_disk *d, unsigned percent)
{
    return prng_below(&d->prng, 100) < percent;
}

/* Bytes [from, to) of a file after the cut: the first `n` writes that touch them, on the old
 * content. */
static void settle_writes(const struct inode *in, unsigned char *bytes, uint64_t from, uint64_t to,
                          size_t n, struct prng *garbage)
{
    for (size_t i = 0; i < in->n_ops && n > 0; i++) {
        const struct pending *op = &in->ops[i];
        uint64_t a = op->offset > from ? op->offset : from;
        uint64_t b = op->offset + op->len < to ? op->offset + op->len : to;

        if (op->is_size || a >= b)
            continue;
        n--;
        for (uint64_t at = a; at < b; at++)
            bytes[at] =
                garbage != NULL ? (unsigned char)prng_next(garbage) : op->data[at - op->offset];
    }
}

static size_t count_writes(const struct inode *in, uint64_t from, uint64_t to)
{
    size_t n = 0;

    for (size_t i = 0; i < in->n_ops; i++)
        n += !in->ops[i].is_size && in->ops[i].offset < to &&
             in->ops[i].offset + in->ops[i].len > from;
    return n;
}

static size_t settle_size(struct fake_disk *d, const struct inode *in,
                          const struct fake_disk_cut *cut)
{
    size_t n =
        chance(d, cut->keep_percent) ? in->n_ops : (size_t)prng_below(&d->prng, in->n_ops + 1);
    size_t size = in->disk_size;

    for (size_t i = 0; i < n; i++) {
        const struct pending *op = &in->ops[i];

        if (op->is_size)
            size = op->len;
        else if (op->offset + op->len > size)
            size = (size_t)op->offset + op->len;
    }
    return size;
}

static void settle_file(struct fake_disk *d, struct inode *in, const struct fake_disk_cut *cut)
{
    if (in->n_ops > 0) {
        size_t size = settle_size(d, in, cut);

        for (uint64_t from = 0; from < in->room; from += cut->sector_bytes) {
            uint64_t to = from + cut->sector_bytes < in->room ? from + cut->sector_bytes : in->room;
            size_t n = count_writes(in, from, to);

            if (n == 0)
                continue;
            if (chance(d, cut->keep_percent))
                settle_writes(in, in->disk, from, to, n, NULL);
            else if (chance(d, cut->garble_percent))
                settle_writes(in, in->disk, from, to, n, &d->prng);
            else
                settle_writes(in, in->disk, from, to, (size_t)prng_below(&d->prng, n + 1), NULL);
        }
        in->disk_size = size;
        if (in->room > size)
            memset(in->disk + size, 0, in->room - size);
        ops_clear(in);
    }
    reload(in);
    in->sync_fails_next = false;
}

static bool touches(const struct dir_op *a, const struct dir_op *b)
{
    const char *names_a[2] = {a->from, a->to};
    const char *names_b[2] = {b->from, b->to};

    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < 2; j++)
            if (names_a[i][0] != '\0' && strcmp(names_a[i], names_b[j]) == 0)
                return true;
    return a->inode == b->inode;
}

/* An operation is lost when the draw says so, or when an earlier one on the same name or file is.
 */
static void settle_names(struct fake_disk *d, const struct fake_disk_cut *cut)
{
    bool *lost = must(calloc(d->n_dir_ops + 1, sizeof(*lost)));

    for (size_t i = 0; i < d->n_dir_ops; i++) {
        lost[i] = !chance(d, cut->keep_percent) && chance(d, 50);
        for (size_t j = 0; !lost[i] && j < i; j++)
            lost[i] = lost[j] && touches(&d->dir_ops[i], &d->dir_ops[j]);
        if (!lost[i])
            dir_apply(&d->disk_dir, &d->dir_ops[i]);
    }
    d->n_dir_ops = 0;
    dir_copy(&d->dir, &d->disk_dir);
    free(lost);
}

/* Files without a name and without handles. */
static void collect(struct fake_disk *d)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->n_inodes; i++) {
        struct inode *in = d->inodes[i];
        bool named = in->n_handles > 0;

        for (size_t j = 0; !named && j < d->dir.n; j++)
            named = d->dir.names[j].inode == in;
        if (named)
            d->inodes[kept++] = in;
        else
            inode_free(in);
    }
    d->n_inodes = kept;
}

static void disarm(struct fake_disk *d)
{
    d->off = false;
    d->cut_in = 0;
    d->call_fails_in = 0;
    d->sync_fails_in = 0;
    d->epoch++;
}

void fake_disk_power_on(struct fake_disk *d, const struct fake_disk_cut *cut)
{
    static const unsigned keep[] = {0, 20, 50, 80, 100};
    static const unsigned garble[] = {0, 30, 100};
    struct fake_disk_cut drawn = {.sector_bytes = chance(d, 50) ? 512 : 4096,
                                  .keep_percent = keep[prng_below(&d->prng, 5)],
                                  .garble_percent = garble[prng_below(&d->prng, 3)]};

    if (cut == NULL)
        cut = &drawn;
    for (size_t i = 0; i < d->n_inodes; i++)
        settle_file(d, d->inodes[i], cut);
    settle_names(d, cut);
    disarm(d);
    collect(d);
}

void fake_disk_restart(struct fake_disk *d)
{
    disarm(d);
}

/* ---- failures ---- */

void fake_disk_fail_sync(struct fake_disk *d, uint64_t n, enum fake_disk_sync_failure how)
{
    d->sync_fails_in = n;
    d->sync_failure = how;
}

void fake_disk_set_sync_error(struct fake_disk *d, int error)
{
    d->sync_error = error;
}

void fake_disk_fail_call(struct fake_disk *d, uint64_t n, int error)
{
    d->call_fails_in = n;
    d->call_error = error;
}

void fake_disk_set_capacity(struct fake_disk *d, uint64_t bytes)
{
    d->capacity = bytes;
}

void fake_disk_fail_read(struct fake_disk *d, const char *name, uint64_t offset, uint64_t len)
{
    (void)snprintf(d->bad_name, sizeof(d->bad_name), "%s", name != NULL ? name : "");
    d->bad_from = offset;
    d->bad_to = offset + len;
}

void fake_disk_set_write_max(struct fake_disk *d, size_t bytes)
{
    d->write_max = bytes;
}

void fake_disk_set_hook(struct fake_disk *d,
                        void (*hook)(void *ctx, const char *what, const char *name), void *ctx)
{
    d->hook = hook;
    d->hook_ctx = ctx;
}

/* ---- looking and rotting ---- */

static void settle_all(struct fake_disk *d, struct inode *in)
{
    replay(in, in->disk, &in->disk_size);
    ops_clear(in);
    reload(in);
    dir_copy(&d->disk_dir, &d->dir);
    d->n_dir_ops = 0;
}

const unsigned char *fake_disk_bytes(const struct fake_disk *d, const char *name, size_t *ret_size)
{
    const struct name *n = dir_find(&d->dir, name);

    if (n == NULL)
        return NULL;
    *ret_size = n->inode->size;
    return n->inode->cache;
}

const unsigned char *fake_disk_durable(const struct fake_disk *d, const char *name,
                                       size_t *ret_size)
{
    const struct name *n = dir_find(&d->dir, name);
    const struct name *on_disk = dir_find(&d->disk_dir, name);

    if (n == NULL || on_disk == NULL || n->inode != on_disk->inode || n->inode->n_ops > 0)
        return NULL;
    *ret_size = n->inode->disk_size;
    return n->inode->disk;
}

void fake_disk_flip(struct fake_disk *d, const char *name, uint64_t offset, unsigned bit)
{
    struct inode *in = dir_get(&d->dir, name);

    in->cache[offset] ^= (unsigned char)(1u << bit);
    in->disk[offset] ^= (unsigned char)(1u << bit);
}

void fake_disk_resize(struct fake_disk *d, const char *name, size_t size)
{
    struct inode *in = dir_get(&d->dir, name);

    inode_room(in, size);
    set_size(in->cache, &in->size, size);
    push_op(in, (struct pending){.is_size = true, .len = size});
    settle_all(d, in);
}

void fake_disk_put(struct fake_disk *d, const char *name, const void *data, size_t size)
{
    struct inode *in = inode_new(d);

    inode_room(in, size);
    if (size > 0)
        memcpy(in->cache, data, size);
    in->size = size;
    if (in->room > 0)
        memcpy(in->disk, in->cache, in->room);
    in->disk_size = size;
    dir_set(&d->dir, name, in);
    dir_copy(&d->disk_dir, &d->dir);
    d->n_dir_ops = 0;
}

void fake_disk_remove(struct fake_disk *d, const char *name)
{
    dir_remove(&d->dir, name);
    dir_copy(&d->disk_dir, &d->dir);
    d->n_dir_ops = 0;
}

void fake_disk_rename(struct fake_disk *d, const char *from, const char *to)
{
    struct inode *in = dir_get(&d->dir, from);

    dir_remove(&d->dir, from);
    dir_set(&d->dir, to, in);
    dir_copy(&d->disk_dir, &d->dir);
    d->n_dir_ops = 0;
}

unsigned fake_disk_n_files(const struct fake_disk *d)
{
    return (unsigned)d->dir.n;
}

const char *fake_disk_name(const struct fake_disk *d, unsigned i)
{
    return i < d->dir.n ? d->dir.names[i].name : "";
}

unsigned fake_disk_n_open(const struct fake_disk *d)
{
    return d->n_open;
}
