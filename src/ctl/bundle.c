/* The parts of a bundle, each and all of them bounded. */
#include "ctl/bundle_int.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#include "base/banned.h"

void bundle_done(struct bundle *b)
{
    for (unsigned i = 0; i < b->n; i++)
        buf_done(&b->parts[i].data);
    b->n = 0;
}

static void take_name(char ret[BUNDLE_NAME_SIZE], const char *name)
{
    (void)snprintf(ret, BUNDLE_NAME_SIZE, "%s", name);
    for (char *s = ret; *s != '\0'; s++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./", *s) ==
            NULL)
            *s = '_';
}

void bundle_leave_out(struct bundle *b, const char *name, const char *format, ...)
{
    struct bundle_gap *gap = &b->gaps[b->n_gaps];
    va_list ap;

    if (b->n_gaps == BUNDLE_PARTS_MAX) {
        b->n_gaps_untold++;
        return;
    }
    b->n_gaps++;
    take_name(gap->name, name);
    va_start(ap, format);
    (void)vsnprintf(gap->why, sizeof(gap->why), format, ap);
    va_end(ap);
}

/* So many bytes of the end or the beginning that no line is cut, if there is one. */
static size_t whole_lines(const char *data, size_t len, size_t room, enum bundle_end end)
{
    const char *line;

    if (len <= room)
        return len;
    if (end == BUNDLE_TAIL) {
        line = memchr(data + len - room - 1, '\n', room + 1);
        return line != NULL ? (size_t)(data + len - line - 1) : room;
    }
    line = memrchr(data, '\n', room);
    return line != NULL ? (size_t)(line + 1 - data) : room;
}

void bundle_add(struct bundle *b, const char *name, const void *data, size_t len,
                enum bundle_end end)
{
    const size_t left = BUNDLE_BYTES_MAX - b->bytes;
    const size_t room = left < BUNDLE_PART_BYTES_MAX ? left : BUNDLE_PART_BYTES_MAX;
    struct bundle_part *part = &b->parts[b->n];
    size_t n;

    if (b->n == BUNDLE_PARTS_MAX || (room == 0 && len > 0)) {
        bundle_leave_out(b, name, "there was no room left in the bundle");
        return;
    }
    n = whole_lines(data, len, room, end);
    take_name(part->name, name);
    buf_init(&part->data);
    part->n_cut = len - n;
    if (buf_add(&part->data, (const char *)data + (end == BUNDLE_TAIL ? len - n : 0), n) != 0) {
        b->failed = true;
        return;
    }
    b->bytes += n;
    b->n++;
}

/* No more of it than a part may have, and a little, so that it is seen to be longer. */
static int read_file(const char *path, enum bundle_end end, struct buf *out, size_t *ret_before)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    ssize_t n = 1;

    *ret_before = 0;
    if (fd < 0 || fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (end == BUNDLE_TAIL && st.st_size > (off_t)BUNDLE_PART_BYTES_MAX) {
        *ret_before = (size_t)st.st_size - BUNDLE_PART_BYTES_MAX;
        if (lseek(fd, (off_t)*ret_before, SEEK_SET) < 0)
            return -errno;
    }
    while (n > 0 && out->len <= BUNDLE_PART_BYTES_MAX) {
        char *room = buf_reserve(out, CTL_CHUNK_BYTES);

        if (room == NULL)
            return -ENOMEM;
        n = read(fd, room, CTL_CHUNK_BYTES);
        if (n > 0)
            out->len += (size_t)n;
    }
    return n < 0 ? -errno : 0;
}

void bundle_add_file(struct bundle *b, const char *name, const char *path, enum bundle_end end)
{
    cleanup_buf struct buf data = BUF_INIT;
    const unsigned before = b->n;
    const char *text;
    size_t skipped;
    size_t n_first = 0;
    const int rc = read_file(path, end, &data, &skipped);

    if (rc == -ENOMEM)
        b->failed = true;
    if (rc != 0) {
        bundle_leave_out(b, name, "cannot read '%.100s': %s", path, strerror(-rc));
        return;
    }
    text = (const char *)data.data;
    if (skipped > 0 && data.len > 0) { /* the line that was cut */
        const char *line = memchr(text, '\n', data.len);

        n_first = line != NULL ? (size_t)(line + 1 - text) : 0;
    }
    bundle_add(b, name, data.len > 0 ? text + n_first : "", data.len - n_first, end);
    if (b->n > before)
        b->parts[b->n - 1].n_cut += skipped + n_first;
}

/* ---- the manifest ---- */

static int add_lines(const struct bundle *b, struct buf *out)
{
    int rc = buf_add_format(out, "\nWhat is in it:\n");

    for (unsigned i = 0; i < b->n && rc == 0; i++) {
        const struct bundle_part *part = &b->parts[i];

        rc = buf_add_format(out, "  %s: %zu bytes", part->name, part->data.len);
        if (rc == 0 && part->n_cut > 0)
            rc = buf_add_format(out, ", %zu bytes are left out (a part has %u at most)",
                                part->n_cut, BUNDLE_PART_BYTES_MAX);
        if (rc == 0)
            rc = buf_add_str(out, "\n");
    }
    if (rc == 0)
        rc = buf_add_str(out, "\nWhat could not be had:\n");
    for (unsigned i = 0; i < b->n_gaps && rc == 0; i++)
        rc = buf_add_format(out, "  %s: %s\n", b->gaps[i].name, b->gaps[i].why);
    if (rc == 0 && b->n_gaps == 0)
        rc = buf_add_str(out, "  nothing\n");
    if (rc == 0 && b->n_gaps_untold > 0)
        rc = buf_add_format(out, "  and %u more\n", b->n_gaps_untold);
    if (rc == 0)
        rc = buf_add_str(
            out, "\nWhat is left out on purpose:\n"
                 "  keys and values: nothing that holds any was opened\n"
                 "  'ridd --dump-log', snapshots, cores: they hold keys and values\n"
                 "  values of settings whose names speak of secrets, and comments of the file\n"
                 "  environments and command lines of processes\n");
    return rc;
}

void bundle_add_manifest(struct bundle *b, const char *head)
{
    struct bundle_part part = {.name = "MANIFEST"};

    if (buf_add_str(&part.data, head) != 0 || add_lines(b, &part.data) != 0 ||
        b->n == BUNDLE_PARTS_MAX) {
        buf_done(&part.data);
        b->failed = true;
        return;
    }
    memmove(&b->parts[1], &b->parts[0], b->n * sizeof(b->parts[0]));
    b->parts[0] = part;
    b->n++;
}
