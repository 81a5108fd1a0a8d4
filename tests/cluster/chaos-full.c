/* Disks without room, and who fills what is left of them.
 *
 * The clients of a run write little: what a node has taken ahead would last them for longer than
 * the disk is full, and nothing would have been tried. So while disks are full somebody writes
 * large values to all nodes, under a key that nobody judges, and reads no answer. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cluster/chaos.h"

#include "base/banned.h"

#define FLOOD_VALUE_BYTES 60000u

bool disk_set(const struct node *node, uint64_t bytes)
{
    char options[64];

    (void)snprintf(options, sizeof(options), "size=%llu", (unsigned long long)bytes);
    return mount(NULL, node->dir, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, options) == 0;
}

bool disk_fill(const struct node *node, uint64_t room)
{
    struct statvfs st;

    /* It fails when more was written meanwhile. */
    for (unsigned try = 0; try < 20; try++) {
        uint64_t bytes;

        if (statvfs(node->dir, &st) != 0)
            return false;
        bytes = (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize + room;
        /* Of a node that has just come nothing is in use: and 0 would be no limit, for ever. */
        if (disk_set(node, bytes > 0 ? bytes : st.f_frsize))
            return true;
    }
    return false;
}

/* ---- the flood ---- */

static void dial(struct flood *f, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    f->is_open = f->fd >= 0;
    f->at = 0;
    if (f->is_open && connect(f->fd, (struct sockaddr *)&in, sizeof(in)) != 0 &&
        errno != EINPROGRESS)
        flood_end(f);
}

static const char *line(size_t *ret_len)
{
    static char text[FLOOD_VALUE_BYTES + 100];
    static size_t len;

    if (len == 0) {
        len = (size_t)snprintf(text, sizeof(text),
                               "{\"type\":\"write\",\"key\":\"of nobody\",\"value\":\"");
        memset(text + len, 'f', FLOOD_VALUE_BYTES);
        memcpy(text + len + FLOOD_VALUE_BYTES, "\"}\n", 3);
        len += FLOOD_VALUE_BYTES + 3;
    }
    *ret_len = len;
    return text;
}

void flood_turn(struct flood *f, uint16_t port)
{
    char answers[4096];
    size_t len;
    const char *text = line(&len);
    ssize_t n;

    if (!f->is_open) {
        dial(f, port);
        return;
    }
    while (recv(f->fd, answers, sizeof(answers), MSG_DONTWAIT) > 0)
        continue;
    n = send(f->fd, text + f->at, len - f->at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        f->at = (f->at + (size_t)n) % len;
    else if (n < 0 && errno != EAGAIN && errno != EINPROGRESS && errno != ENOTCONN)
        flood_end(f);
}

void flood_end(struct flood *f)
{
    if (f->is_open)
        (void)close(f->fd);
    f->is_open = false;
}
