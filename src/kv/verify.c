/* A copy that is of no state here: read through, or only looked at, by whoever has its bytes. LMDB
 * has no part in it, so that a program that has none can look at a backup. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "kv/kv_int.h"
#include "kv/walk_int.h"

#include "base/banned.h"

/* u8 'L' of LMDB, u8 its version of the data, u8 bytes of a word (and 128: the higher ones come
 * first), u8 power of two of a page's bytes. */
#define FORMAT_LMDB       ((uint32_t)'L' << 24)
#define FORMAT_VERSION    ((uint32_t)1 << 16)
#define FORMAT_BIG_ENDIAN ((uint32_t)1 << 15)
#define FORMAT_PAGE       0xffu
#define FORMAT_PAGE_MAX   31u

uint32_t kv_format_of(size_t page_bytes)
{
    uint32_t format = FORMAT_LMDB | FORMAT_VERSION | (uint32_t)PAGE_WORD_BYTES << 8;

    if (__BYTE_ORDER == __BIG_ENDIAN)
        format |= FORMAT_BIG_ENDIAN;
    for (size_t bytes = page_bytes; bytes > 1; bytes /= 2)
        format++;
    return format;
}

/* The sentences of a record of another version or group are about a folder's own file. */
int kv_say_copy(int rc)
{
    if (rc == KV_E_NEWER)
        return err_say(rc, "the copy of the state was written by a later version of ridd");
    if (rc == KV_E_FOREIGN)
        return err_say(rc, "the copy is that of another group's state");
    return rc < 0 ? err_trace(rc) : rc;
}

/* Pages of any size are read, words and bytes only in the order of this machine. */
static int begin(uint32_t format, struct kv **ret)
{
    const uint32_t power = format & FORMAT_PAGE;
    struct kv *kv;

    if (power > FORMAT_PAGE_MAX || kv_format_of((size_t)1 << power) != format)
        return err_say(KV_E_FOREIGN,
                       "the copy was made on another kind of machine (format %08x, this one reads "
                       "%08x): go to one of that kind, or take a file of 'ridctl export'",
                       format, kv_format_of((size_t)sysconf(_SC_PAGESIZE)));
    kv = calloc(1, sizeof(*kv));
    if (kv == NULL)
        return err_origin(err_say(-ENOMEM, "out of memory"));
    kv->page_bytes = (size_t)1 << power;
    *ret = kv;
    return 0;
}

int kv_verify_copy(const struct kv_source *source, uint32_t format, struct kv_copy_info *ret)
{
    cleanup_free struct kv *kv = NULL;
    int rc = begin(format, &kv);

    return rc == 0 ? kv_say_copy(walk_copy(kv, source, ret)) : rc;
}

int kv_look_copy(const struct kv_source *source, uint32_t format, struct kv_copy_info *ret)
{
    cleanup_free struct kv *kv = NULL;
    int rc = begin(format, &kv);

    return rc == 0 ? kv_say_copy(walk_copy_head(kv, source, ret)) : rc;
}
