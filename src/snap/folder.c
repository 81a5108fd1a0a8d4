/* The folder: what is in it, what may go. A name is a hint: of which entry a file is, and that it
 * is whole, its trailer says. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "snap/snap_int.h"

#include "base/banned.h"

/* ---- the list ---- */

int snap_reserve(struct snap_folder *s)
{
    struct snap_file **files = array_reserve(mem_libc, s->files, &s->files_size, s->n_files, 1,
                                             sizeof(struct snap_file *));

    if (files == NULL)
        return -ENOMEM;
    s->files = files;
    return 0;
}

void snap_insert(struct snap_folder *s, struct snap_file *f)
{
    size_t at = 0;

    rid_assert(s->n_files < s->files_size);
    while (at < s->n_files && snap_id_compare(s->files[at]->id, f->id) > 0)
        at++;
    memmove(&s->files[at + 1], &s->files[at], (s->n_files - at) * sizeof(struct snap_file *));
    s->files[at] = f;
    s->n_files++;
}

static void take_out(struct snap_folder *s, size_t at)
{
    rid_assert(at < s->n_files);
    free(s->files[at]);
    s->n_files--;
    memmove(&s->files[at], &s->files[at + 1], (s->n_files - at) * sizeof(struct snap_file *));
}

struct snap_file *snap_find(struct snap_folder *s, struct raft_entry_id id)
{
    for (size_t i = 0; i < s->n_files; i++)
        if (!s->files[i]->going && snap_id_compare(s->files[i]->id, id) == 0)
            return s->files[i];
    return NULL;
}

unsigned snap_list(struct snap_folder *s, struct snap_meta *ret, unsigned n_max)
{
    unsigned n = 0;

    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_files && n < n_max; i++)
        if (s->files[i]->state == SNAP_GOOD && !s->files[i]->going)
            ret[n++] = s->files[i]->meta;
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

bool snap_is_checked(struct snap_folder *s, struct raft_entry_id id)
{
    const struct snap_file *f;
    bool is;

    (void)pthread_mutex_lock(&s->lock);
    f = snap_find(s, id);
    is = f != NULL && f->state == SNAP_GOOD && f->checked;
    (void)pthread_mutex_unlock(&s->lock);
    return is;
}

bool snap_damaged_name(struct snap_folder *s, char *ret_name, size_t size)
{
    bool found = false;

    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_files && !found; i++) {
        found = s->files[i]->state == SNAP_BAD;
        if (found)
            (void)snprintf(ret_name, size, "%s", s->files[i]->name);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return found;
}

uint64_t snap_bytes(struct snap_folder *s)
{
    uint64_t n = 0;

    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_files; i++)
        n += s->files[i]->bytes;
    for (unsigned i = 0; i <= SNAP_RECEIVED; i++)
        n += s->writing_bytes[i];
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- opening ---- */

struct opening {
    struct snap_folder *s;
    bool begun[SNAP_RECEIVED + 1]; /* what a process that ended was writing */
    char strange[SNAP_NAME_BYTES]; /* a name that should be one of ours and is not */
    int rc;
};

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);

    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* Keeps the newest SNAP_FILES_MAX by name. */
static int note_file(struct snap_folder *s, struct raft_entry_id id)
{
    struct snap_file *f;

    if (s->n_files == SNAP_FILES_MAX) {
        if (snap_id_compare(s->files[s->n_files - 1]->id, id) > 0)
            return 0;
        take_out(s, s->n_files - 1);
    }
    if (snap_reserve(s) != 0)
        return -ENOMEM;
    f = calloc(1, sizeof(*f));
    if (f == NULL)
        return -ENOMEM;
    f->id = id;
    f->older = id;
    snap_name(f->name, id);
    snap_insert(s, f);
    return 0;
}

static int on_name(void *arg, const char *name)
{
    struct opening *o = arg;
    struct raft_entry_id id = {0};

    for (unsigned i = 0; i <= SNAP_RECEIVED; i++)
        if (strcmp(name, snap_writer_names[i]) == 0) {
            o->begun[i] = true;
            return 0;
        }
    if (snap_name_parse(name, &id))
        return note_file(o->s, id);
    if (ends_with(name, ".snap"))
        (void)snprintf(o->strange, sizeof(o->strange), "%s", name);
    return 0;
}

static int say_misnamed(struct snap_file *f, struct raft_entry_id id)
{
    if (snap_id_compare(id, f->older) > 0)
        f->older = id;
    return err_say(SNAP_E_DAMAGED,
                   "the snapshot '%s' has the name of another: its trailer says index %llu, term "
                   "%llu",
                   f->name, (unsigned long long)id.index, (unsigned long long)id.term);
}

/* 0, or -errno: what is wrong with the file is no error of this one, and stands in f. */
static int look_at(struct snap_folder *s, struct snap_file *f)
{
    const struct vfs *vfs = s->conf.vfs;
    struct vfs_file *file = NULL;
    int rc = vfs->open(vfs->ctx, f->name, O_RDONLY, &file);

    if (rc != 0)
        return snap_say_errno(rc, "open", f->name);
    rc = snap_read_trailer(s, file, f->name, &f->meta, &f->bytes);
    (void)vfs->close(vfs->ctx, file);
    if (rc < 0)
        return rc;
    if (rc == 0 && snap_id_compare(f->meta.id, f->id) != 0)
        rc = say_misnamed(f, f->meta.id);
    f->why = rc;
    if (rc == 0)
        f->state = SNAP_GOOD;
    else if (rc == SNAP_E_DAMAGED || rc == SNAP_E_GIVEN)
        f->state = SNAP_BAD;
    else
        f->state = SNAP_KEPT;
    return 0;
}

/* The newest whose trailer is not good is told, behind it a name that means nothing. */
static int look_at_all(struct opening *o)
{
    struct snap_folder *s = o->s;
    char told[512] = "";
    int rc = 0;

    if (o->strange[0] != '\0')
        (void)snprintf(told, sizeof(told),
                       "'%s' is not the name of a snapshot: it counts for nothing", o->strange);
    for (size_t i = s->n_files; rc == 0 && i-- > 0;) {
        rc = look_at(s, s->files[i]);
        if (rc == 0 && s->files[i]->state != SNAP_GOOD)
            (void)snprintf(told, sizeof(told), "%s", err_text());
    }
    if (rc != 0)
        return rc;
    err_reset();
    return told[0] != '\0' ? err_say(0, "%s", told) : 0;
}

/* A process may have ended between a name and the sync of the folder, and whoever opens it relies
 * on what the list holds (SNAP-6, DISK-16). */
static int settle_names(const struct opening *o)
{
    const struct vfs *vfs = o->s->conf.vfs;
    bool changed = o->s->n_files > 0;
    int rc;

    for (unsigned i = 0; i <= SNAP_RECEIVED; i++) {
        if (!o->begun[i])
            continue;
        /* Whole or not, without its name it counts for nothing (SNAP-6). */
        rc = vfs->unlink(vfs->ctx, snap_writer_names[i]);
        if (rc != 0)
            return snap_say_errno(rc, "remove what was begun of", snap_writer_names[i]);
        changed = true;
    }
    rc = changed ? vfs->sync_dir(vfs->ctx) : 0;
    return rc != 0 ? snap_say_errno(rc, "sync the folder of", "data/snap") : 0;
}

DEFINE_CLEANUP(folder, struct snap_folder *, snap_close);
#define cleanup_folder CLEANUP(folder)

int snap_open(const struct snap_conf *conf, struct snap_folder **ret)
{
    cleanup_folder struct snap_folder *s = calloc(1, sizeof(*s));
    struct opening o = {.s = s};
    int rc;

    if (s == NULL)
        return err_origin(-ENOMEM);
    s->conf = *conf;
    (void)pthread_mutex_init(&s->names, NULL);
    (void)pthread_mutex_init(&s->lock, NULL);
    rc = conf->vfs->list(conf->vfs->ctx, on_name, &o);
    if (rc == 0)
        rc = settle_names(&o);
    if (rc == 0)
        rc = look_at_all(&o);
    if (rc != 0)
        return err_trace(rc);
    *ret = take_ptr(s);
    return 0;
}

void snap_close(struct snap_folder *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_files; i++) {
        rid_assert(s->files[i]->n_users == 0);
        free(s->files[i]);
    }
    for (unsigned i = 0; i <= SNAP_RECEIVED; i++)
        rid_assert(!s->writes[i]);
    snap_clear_leavings(s);
    free(s->files);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_mutex_destroy(&s->names);
    free(s);
}

/* ---- pruning ---- */

/* What pruning knows when it comes to a file, from the newest to the oldest. */
struct pruning {
    raft_index up_to;
    const struct snap_file *checked; /* the newest good one that was read again; NULL: none */
    unsigned n_good;                 /* seen so far */
    unsigned n_bad;
};

static const struct snap_file *newest_checked(const struct snap_folder *s, raft_index up_to)
{
    for (size_t i = 0; i < s->n_files; i++) {
        const struct snap_file *f = s->files[i];

        if (f->state == SNAP_GOOD && f->checked && !f->going && f->id.index <= up_to)
            return f;
    }
    return NULL;
}

/* The older one goes only when the newer was read again: until then nobody knows whether the disk
 * has what was written (SNAP-5). Of those that came since two stay. */
static bool may_go(struct pruning *p, const struct snap_file *f)
{
    const bool is_older =
        p->checked != NULL && snap_id_compare(f->older, p->checked->id) < 0 && f != p->checked;

    switch (f->state) {
    case SNAP_GOOD:
        if (f->id.index > p->up_to)
            return false;
        p->n_good++;
        return is_older || (p->checked != NULL && p->n_good > 2 && f != p->checked);
    case SNAP_BAD: /* the newest stays for a person to look at */
        p->n_bad++;
        return is_older || p->n_bad > 1;
    case SNAP_KEPT:
        return false;
    }
    return false;
}

/* Under names. */
static int remove_file(struct snap_folder *s, struct snap_file *f)
{
    const struct vfs *vfs = s->conf.vfs;
    int rc = vfs->unlink(vfs->ctx, f->name);

    if (rc != 0 && rc != -ENOENT) /* somebody else was quicker */
        return snap_say_errno(rc, "remove", f->name);
    return 0;
}

/* Those that may go are marked, so that nobody takes them any more. */
static void mark_those_that_go(struct snap_folder *s, raft_index up_to)
{
    struct pruning p = {.up_to = up_to, .checked = newest_checked(s, up_to)};

    for (size_t i = 0; i < s->n_files; i++)
        if (may_go(&p, s->files[i]) && s->files[i]->n_users == 0)
            s->files[i]->going = true;
}

/* The oldest of those that go; NULL: no more. Their array changes only under names. */
static struct snap_file *next_to_go(const struct snap_folder *s, size_t *ret_at)
{
    for (size_t i = s->n_files; i-- > 0;)
        if (s->files[i]->going) {
            *ret_at = i;
            return s->files[i];
        }
    return NULL;
}

static int remove_marked(struct snap_folder *s, unsigned *ret_n)
{
    struct snap_file *f;
    size_t at = 0;
    int rc;

    while ((f = next_to_go(s, &at)) != NULL) {
        rc = remove_file(s, f);
        if (rc != 0)
            return rc;
        (void)pthread_mutex_lock(&s->lock);
        take_out(s, at);
        (void)pthread_mutex_unlock(&s->lock);
        ++*ret_n;
    }
    return 0;
}

/* Under names. */
static int let_go(struct snap_folder *s)
{
    const struct vfs *vfs = s->conf.vfs;
    unsigned n = 0;
    int rc = remove_marked(s, &n);

    if (rc != 0) { /* they are still there, and good for what they were */
        (void)pthread_mutex_lock(&s->lock);
        for (size_t i = 0; i < s->n_files; i++)
            s->files[i]->going = false;
        (void)pthread_mutex_unlock(&s->lock);
    }
    if (n > 0 && rc == 0) {
        rc = vfs->sync_dir(vfs->ctx);
        if (rc != 0)
            rc = snap_say_errno(rc, "sync the folder of", "data/snap");
    }
    return rc;
}

int snap_prune(struct snap_folder *s, raft_index up_to)
{
    int rc;

    (void)pthread_mutex_lock(&s->names);
    (void)pthread_mutex_lock(&s->lock);
    mark_those_that_go(s, up_to);
    (void)pthread_mutex_unlock(&s->lock);
    rc = let_go(s);
    (void)pthread_mutex_unlock(&s->names);
    return rc;
}

int snap_discard(struct snap_folder *s, struct raft_entry_id spared, bool *ret_left)
{
    int rc;

    *ret_left = false;
    (void)pthread_mutex_lock(&s->names);
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_files; i++) {
        struct snap_file *f = s->files[i];

        if (f->state != SNAP_GOOD || snap_id_compare(f->id, spared) == 0)
            continue;
        f->going = f->n_users == 0;
        *ret_left |= f->n_users > 0;
    }
    (void)pthread_mutex_unlock(&s->lock);
    rc = let_go(s);
    (void)pthread_mutex_unlock(&s->names);
    return rc;
}

/* ---- what was given up ---- */

bool snap_has_leavings(struct snap_folder *s)
{
    bool has;

    (void)pthread_mutex_lock(&s->lock);
    has = s->readers_left != NULL;
    for (unsigned i = 0; i <= SNAP_RECEIVED; i++)
        has |= s->left[i] && !s->writes[i];
    (void)pthread_mutex_unlock(&s->lock);
    return has;
}

/* Under names: so no other writer of that purpose makes its file meanwhile. */
static void clear_left(struct snap_folder *s, unsigned purpose)
{
    const struct vfs *vfs = s->conf.vfs;
    bool goes;

    (void)pthread_mutex_lock(&s->lock);
    goes = s->left[purpose] && !s->writes[purpose];
    s->left[purpose] &= !goes;
    (void)pthread_mutex_unlock(&s->lock);
    if (!goes)
        return;
    (void)vfs->unlink(vfs->ctx, snap_writer_names[purpose]);
    (void)pthread_mutex_lock(&s->lock);
    if (!s->writes[purpose])
        s->writing_bytes[purpose] = 0;
    (void)pthread_mutex_unlock(&s->lock);
}

void snap_clear_leavings(struct snap_folder *s)
{
    struct snap_reader *readers;

    (void)pthread_mutex_lock(&s->lock);
    readers = take_ptr(s->readers_left);
    (void)pthread_mutex_unlock(&s->lock);
    snap_readers_close(readers);
    (void)pthread_mutex_lock(&s->names);
    for (unsigned i = 0; i <= SNAP_RECEIVED; i++)
        clear_left(s, i);
    (void)pthread_mutex_unlock(&s->names);
}

/* ---- the end ---- */

void snap_stop(struct snap_folder *s)
{
    atomic_store(&s->stops, true);
}
