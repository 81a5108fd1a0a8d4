/* File systems on which what is kept is not kept for what is written.
 *
 * Where a write never goes to the blocks that were there before it, blocks that were taken ahead
 * and a file of zeros say nothing of the room that the next write finds. Nothing depends on them
 * (SPACE-13); but the node says at its start that a full disk will be noticed late there. */
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

static const struct {
    uint32_t magic;
    const char *name;
} file_systems[] = {
    {BTRFS_SUPER_MAGIC, "btrfs"},
    {0x2fc12fc1u, "zfs"},
    {0xca451a4eu, "bcachefs"},
};

static const char *name_of(int fd)
{
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++)
        if ((uint32_t)fs.f_type == file_systems[i].magic)
            return file_systems[i].name;
    return NULL;
}

void node_warn_disks(const struct node *n)
{
    cleanup_fd int db_fd = identity_open_folder(n->dir, "db");
    const char *log = name_of(n->wal_fd);
    const char *state = name_of(db_fd);

    if (log != NULL || state != NULL)
        log_event(LOG_WARNING, "no_reserve",
                  "log=%s state=%s why='it writes nothing in place: room that is kept is not kept "
                  "for what is written' action=watch_free_space",
                  log != NULL ? log : "-", state != NULL ? state : "-");
}
