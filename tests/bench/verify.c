/* How long a start reads the state through: makes one of so many keys in a folder and opens it
 * again, the file in memory, then not. By hand: make tests/bench/verify && tests/bench/verify DIR
 * [KEYS [VALUE_BYTES]] */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/prng.h"
#include "kv/kv.h"

#define BATCH 1000u

static void die(const char *what)
{
    (void)fprintf(stderr, "verify: %s: %s\n", what, err_text());
    exit(1);
}

static struct kv *open_state(const char *dir, bool tell, const char *how)
{
    const struct kv_conf conf = {.dir = dir, .map_size_bytes = (size_t)64 << 30, .incarnation = 1};
    struct kv_opening o;
    enum kv_trust trust;
    struct kv *kv;

    if (kv_open(&conf, &trust, &kv) != 0)
        die("kv_open");
    o = kv_get_opening(kv);
    if (!tell)
        return kv;
    if (trust != KV_TRUSTED_CLEAN)
        die("the state is not trusted");
    (void)printf("%-5s %8.1f ms open, of it %8.1f ms walk (%.1f %%), %llu keys, %llu MiB: %.1f ms "
                 "per million keys\n",
                 how, (double)o.open_us / 1e3, (double)o.walk_us / 1e3,
                 100.0 * (double)o.walk_us / (double)o.open_us, (unsigned long long)o.n_keys,
                 (unsigned long long)(o.bytes >> 20), (double)o.walk_us * 1e3 / (double)o.n_keys);
    return kv;
}

static void fill(struct kv *kv, unsigned n_keys, size_t value_bytes)
{
    char *value = malloc(value_bytes + 3);
    raft_index index = kv_last_applied(kv).index;
    struct prng p;

    if (value == NULL)
        die("memory");
    prng_init(&p, 1 + index);
    memset(value, 'x', value_bytes + 2);
    value[0] = value[value_bytes + 1] = '"';
    value[value_bytes + 2] = '\0';
    while (index < n_keys) {
        if (kv_begin(kv) != 0)
            die("kv_begin");
        for (unsigned i = 0; i < BATCH && index < n_keys; i++) {
            cleanup_buf struct buf b = BUF_INIT;
            struct command_result result;
            struct raft_entry e;
            struct wire_key key;
            struct command c;
            char name[32];

            /* In no order, as real keys come: leaves are split, and lie scattered. */
            (void)snprintf(name, sizeof(name), "key/%016llx", (unsigned long long)prng_next(&p));
            if (wire_key_set_string(&key, name, strlen(name)) != 0)
                die("key");
            c = (struct command){.op = COMMAND_WRITE,
                                 .key = {(const char *)key.bytes, key.len},
                                 .value = {value, value_bytes + 2}};
            if (command_encode(&c, &b) != 0)
                die("command");
            e = (struct raft_entry){.id = {1, ++index},
                                    .type = RAFT_ENTRY_COMMAND,
                                    .len = (uint32_t)b.len,
                                    .data = b.data};
            if (kv_apply(kv, &e, &result) != 0)
                die("kv_apply");
        }
        if (kv_commit(kv) != 0)
            die("kv_commit");
    }
    free(value);
}

static void drop(const char *dir)
{
    char path[4200];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
    fd = open(path, O_RDONLY);
    if (fd < 0 || fsync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        die("drop");
    (void)close(fd);
}

static void scrub(struct kv *kv)
{
    struct kv_scrub_progress p = {0};
    const uint64_t begin_us = clock_mono_us();
    uint64_t longest_us = 0;
    unsigned n = 0;

    while (p.passes == 0) {
        const uint64_t now_us = clock_mono_us();

        if (kv_scrub_step(kv, 128u << 10, &p) != 0)
            die("scrub");
        if (clock_mono_us() - now_us > longest_us)
            longest_us = clock_mono_us() - now_us;
        n++;
    }
    (void)printf("scrub %8.1f ms in %u slices of 128 KiB, the longest %.2f ms\n",
                 (double)(clock_mono_us() - begin_us) / 1e3, n, (double)longest_us / 1e3);
}

static uint64_t cpu_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* What it costs to say that a key is not there, and that one is: CPU time. */
static double read_keys(struct kv *kv, bool there, unsigned n)
{
    uint64_t begin_us;
    struct prng p;

    prng_init(&p, there ? 1 : 2);
    begin_us = cpu_us();
    for (unsigned i = 0; i < n; i++) {
        struct raft_entry_id id;
        struct command_value v;
        struct wire_key key;
        char name[32];

        (void)snprintf(name, sizeof(name), "key/%016llx", (unsigned long long)prng_next(&p));
        if (wire_key_set_string(&key, name, strlen(name)) != 0)
            die("key");
        if (kv_read_begin(kv, &id) != 0 ||
            kv_get(kv, (struct wire_slice){(const char *)key.bytes, key.len}, &v) != 0 ||
            v.exists != there)
            die("kv_get");
        kv_read_end(kv);
    }
    return (double)(cpu_us() - begin_us) / n;
}

/* The first time that a page is met on the way to a key that is not there it is checked whole. Then
 * both kinds in turns, the machine being what it is. */
static void compare_reads(struct kv *kv, unsigned n_keys)
{
    const unsigned n = n_keys < 100000 ? n_keys : 100000;
    const double cold_us = read_keys(kv, false, n);
    double there_us = 0;
    double not_us = 0;

    (void)read_keys(kv, false, 4 * n_keys < 4000000 ? 4 * n_keys : 4000000);
    for (unsigned i = 0; i < 5; i++) {
        there_us += read_keys(kv, true, n) / 5;
        not_us += read_keys(kv, false, n) / 5;
    }
    (void)printf(
        "read  %8.2f us of a key that is there, %.2f us of one that is not: %.2f times; the "
        "first %u of these %.2f us\n",
        there_us, not_us, not_us / there_us, n, cold_us);
}

static void read_first(struct kv *kv)
{
    struct command_value v;
    struct raft_entry_id id;
    struct wire_key key;
    struct prng p;
    char name[32];

    prng_init(&p, 1);
    (void)snprintf(name, sizeof(name), "key/%016llx", (unsigned long long)prng_next(&p));
    if (wire_key_set_string(&key, name, strlen(name)) != 0 || kv_read_begin(kv, &id) != 0 ||
        kv_get(kv, (struct wire_slice){(const char *)key.bytes, key.len}, &v) != 0)
        die("kv_get");
    kv_read_end(kv);
}

/* The first read after a transaction looks at the list of free pages. */
static void read_after_writes(struct kv *kv)
{
    uint64_t first_ns = 0;
    uint64_t next_ns = 0;
    const unsigned n = 20000;

    for (unsigned i = 0; i < n; i++) {
        uint64_t t[3];

        fill(kv, (unsigned)kv_last_applied(kv).index + 1, 60);
        t[0] = cpu_us();
        for (unsigned k = 0; k < 10; k++) {
            read_first(kv);
            if (k == 0)
                t[1] = cpu_us();
        }
        t[2] = cpu_us();
        first_ns += (t[1] - t[0]) * 1000;
        next_ns += (t[2] - t[1]) * 1000;
    }
    (void)printf("read  %8.2f us when it is the first after a transaction, then %.2f us\n",
                 (double)first_ns / n / 1e3, (double)next_ns / n / 9 / 1e3);
}

int main(int argc, char **argv)
{
    const unsigned n_keys = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000000u;
    const size_t value_bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 60u;
    struct kv *kv;

    if (argc < 2 || argv[1][0] != '/') {
        (void)fprintf(stderr, "usage: verify DIR [KEYS [VALUE_BYTES]]   (DIR absolute, new)\n");
        return 64;
    }
    kv = open_state(argv[1], false, "");
    fill(kv, n_keys, value_bytes);
    if (kv_close(kv, true) != 0)
        die("kv_close");
    for (unsigned i = 0; i < 3; i++)
        (void)kv_close(open_state(argv[1], true, "warm"), true);
    for (unsigned i = 0; i < 3; i++) {
        drop(argv[1]);
        (void)kv_close(open_state(argv[1], true, "cold"), true);
    }
    kv = open_state(argv[1], true, "warm");
    scrub(kv);
    compare_reads(kv, n_keys);
    read_after_writes(kv);
    return kv_close(kv, true) != 0;
}
