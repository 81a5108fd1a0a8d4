/* A page that the hypervisor writes: its counter is odd while it does, and even, and another one,
 * when it has. */
#include "base/vmclock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/limits.h"

#include "base/banned.h"

#define ABI_MAGIC       UINT32_C(0x4b4c4356) /* "VCLK" */
#define ABI_VERSION     1u
#define ABI_FLAG_COPIES UINT64_C(0x80)
#define ABI_BYTES       0x70u

/* Little endian, as all of it; the first three never change. */
enum {
    AT_MAGIC = 0,
    AT_SIZE = 4,
    AT_VERSION = 8,
    AT_COUNT = 12,
    AT_MARKER = 16,
    AT_FLAGS = 24,
    AT_COPIES = 0x68
};

struct marker {
    uint64_t disruption; /* another one after each move to another machine */
    uint64_t copy;       /* another one in each copy, and after each load; 0: it is not said */
};

struct vmclock {
    const volatile unsigned char *page; /* owned */
    struct marker seen;
};

static uint32_t read_u32(const struct vmclock *v, unsigned at)
{
    unsigned char bytes[4];

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = v->page[at + i];
    return get_u32(bytes);
}

static uint64_t read_u64(const struct vmclock *v, unsigned at)
{
    return read_u32(v, at) | (uint64_t)read_u32(v, at + 4) << 32;
}

/* False: it is being written, for longer than we wait. */
static bool look(const struct vmclock *v, struct marker *ret)
{
    for (unsigned i = 0; i < VMCLOCK_LOOKS; i++) {
        const uint32_t count = read_u32(v, AT_COUNT);

        atomic_thread_fence(memory_order_acquire);
        ret->disruption = read_u64(v, AT_MARKER);
        ret->copy = (read_u64(v, AT_FLAGS) & ABI_FLAG_COPIES) != 0 ? read_u64(v, AT_COPIES) : 0;
        atomic_thread_fence(memory_order_acquire);
        if (count % 2 == 0 && read_u32(v, AT_COUNT) == count)
            return true;
    }
    return false;
}

struct vmclock *vmclock_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct vmclock *v = calloc(1, sizeof(*v));
    void *page = MAP_FAILED;
    unsigned char probe[1];

    /* Of a file that is too short a page could be mapped, and not be looked at. */
    if (fd >= 0 && v != NULL && pread(fd, probe, 1, ABI_BYTES - 1) == 1)
        page = mmap(NULL, ABI_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (page == MAP_FAILED) {
        free(v);
        return NULL;
    }
    v->page = page;
    if (read_u32(v, AT_MAGIC) == ABI_MAGIC && (read_u32(v, AT_VERSION) & 0xffffu) == ABI_VERSION &&
        read_u32(v, AT_SIZE) >= ABI_BYTES) {
        (void)look(v, &v->seen);
        return v;
    }
    vmclock_free(v);
    return NULL;
}

void vmclock_free(struct vmclock *v)
{
    if (v == NULL)
        return;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the owner of what it only reads */
    (void)munmap((void *)(uintptr_t)v->page, ABI_BYTES);
    free(v);
}

/* One that cannot be read now may be the one that matters. */
bool vmclock_disrupted(struct vmclock *v)
{
    struct marker now;

    if (v == NULL)
        return false;
    if (!look(v, &now))
        return true;
    if (now.disruption == v->seen.disruption && now.copy == v->seen.copy)
        return false;
    v->seen = now;
    return true;
}
