/* One file of all parts: a tar archive in the ustar format, compressed by zlib.
 *
 * The archive is written by hand: regular files with short names need one header of 512 bytes each.
 * libarchive does it too, and would bring nine more libraries into a program that is there for
 * operators' smallest machines. */
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "ctl/bundle_int.h"

#include "base/banned.h"

#define TAR_BLOCK_BYTES 512u

struct tar_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6];
    char version[2];
    char user[32];
    char group[32];
    char major[8];
    char minor[8];
    char prefix[155];
    char rest[12];
};
static_assert(sizeof(struct tar_header) == TAR_BLOCK_BYTES, "a header is one block");

static void make_header(struct tar_header *h, const char *folder, const char *name, size_t size,
                        uint64_t time_s)
{
    unsigned sum = 0;

    memset(h, 0, sizeof(*h));
    (void)snprintf(h->name, sizeof(h->name), "%s", name);
    (void)snprintf(h->prefix, sizeof(h->prefix), "%s", folder);
    (void)snprintf(h->mode, sizeof(h->mode), "%07o", 0600u);
    (void)snprintf(h->uid, sizeof(h->uid), "%07o", 0u);
    (void)snprintf(h->gid, sizeof(h->gid), "%07o", 0u);
    (void)snprintf(h->size, sizeof(h->size), "%011llo", (unsigned long long)size);
    (void)snprintf(h->mtime, sizeof(h->mtime), "%011llo", (unsigned long long)time_s);
    h->type = '0';
    memcpy(h->magic, "ustar", sizeof(h->magic));
    memcpy(h->version, "00", sizeof(h->version));
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += ((const unsigned char *)h)[i];
    (void)snprintf(h->checksum, sizeof(h->checksum), "%06o", sum); /* then a NUL, then the blank */
}

static int add_zeros(struct buf *out, size_t n)
{
    void *room = buf_reserve(out, n);

    if (room == NULL)
        return -ENOMEM;
    memset(room, 0, n);
    out->len += n;
    return 0;
}

int bundle_tar(const struct bundle *b, const char *folder, uint64_t time_s, struct buf *out)
{
    int rc = 0;

    for (unsigned i = 0; i < b->n && rc == 0; i++) {
        const struct bundle_part *part = &b->parts[i];
        struct tar_header h;

        make_header(&h, folder, part->name, part->data.len, time_s);
        rc = buf_add(out, &h, sizeof(h));
        if (rc == 0)
            rc = buf_add(out, part->data.data, part->data.len);
        if (rc == 0)
            rc = add_zeros(out,
                           (TAR_BLOCK_BYTES - part->data.len % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES);
    }
    return rc == 0 ? add_zeros(out, (size_t)2 * TAR_BLOCK_BYTES) : rc;
}

int bundle_gzip(const struct buf *in, struct buf *out)
{
    z_stream z = {.next_in = in->data, .avail_in = (uInt)in->len};
    uLong most;
    void *room;
    int rc;

    /* 15: the largest window; 16 more: the head and tail of gzip, without a name and a time. */
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    most = deflateBound(&z, (uLong)in->len);
    room = buf_reserve(out, most);
    if (room == NULL) {
        (void)deflateEnd(&z);
        return -ENOMEM;
    }
    z.next_out = room;
    z.avail_out = (uInt)most;
    rc = deflate(&z, Z_FINISH);
    out->len += most - z.avail_out;
    (void)deflateEnd(&z);
    return rc == Z_STREAM_END ? 0 : -ENOMEM;
}
