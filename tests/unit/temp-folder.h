/* Folders of a case's own, for what needs real files: below TMPDIR, or else in /tmp. Whatever
 * becomes of the case, they go when the process that made them exits; one that it forked leaves
 * them alone. Within cases, or what prepares them. */
#ifndef RIDD_UNIT_TEMP_FOLDER_H
#define RIDD_UNIT_TEMP_FOLDER_H

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TEMP_FOLDERS_MAX     64 /* at once; a case that failed keeps its own */
#define TEMP_FOLDER_PATH_MAX 256

static struct temp_folder {
    char path[TEMP_FOLDER_PATH_MAX];
    pid_t owner; /* 0: free */
} temp_folders[TEMP_FOLDERS_MAX];

static inline int temp_folder_remove_one(const char *path, const struct stat *st, int type,
                                         struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* What is in it, but not itself. */
static inline int temp_folder_remove_below(const char *path, const struct stat *st, int type,
                                           struct FTW *at)
{
    return at->level == 0 ? 0 : temp_folder_remove_one(path, st, type, at);
}

static inline void temp_folders_at_exit(void)
{
    for (unsigned i = 0; i < TEMP_FOLDERS_MAX; i++)
        if (temp_folders[i].owner == getpid())
            (void)nftw(temp_folders[i].path, temp_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Empty. The path is absolute where TMPDIR is, and valid until it is removed. what: part of its
 * name. */
static inline const char *temp_folder_new(const char *what)
{
    static bool is_registered;
    const char *parent = getenv("TMPDIR");
    unsigned i = 0;
    int len;

    while (i < TEMP_FOLDERS_MAX && temp_folders[i].owner != 0)
        i++;
    assert_true(i < TEMP_FOLDERS_MAX);
    if (parent == NULL || parent[0] == '\0')
        parent = "/tmp";
    len = snprintf(temp_folders[i].path, TEMP_FOLDER_PATH_MAX, "%s/ridd-%s-XXXXXX", parent, what);
    assert_true(len < TEMP_FOLDER_PATH_MAX);
    assert_non_null(mkdtemp(temp_folders[i].path));
    temp_folders[i].owner = getpid();
    if (!is_registered)
        assert_int_equal(atexit(temp_folders_at_exit), 0);
    is_registered = true;
    return temp_folders[i].path;
}

/* All that is in it goes. */
static inline void temp_folder_empty(const char *path)
{
    assert_int_equal(nftw(path, temp_folder_remove_below, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* With all that is in it; it may be gone. */
static inline void temp_folder_remove(const char *path)
{
    if (nftw(path, temp_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        assert_int_equal(errno, ENOENT);
    for (unsigned i = 0; i < TEMP_FOLDERS_MAX; i++)
        if (temp_folders[i].path == path)
            temp_folders[i].owner = 0;
}

#endif
