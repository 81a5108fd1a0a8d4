/* Identity of the data file is device and inode, of the machine's page cache the boot id; the marks
 * carry both. */
#include "kv/trust_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/mark.h"

#include "base/banned.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

/* TRUST: boot id, u32 0, u64 incarnation, device, inode, size. CLEAN: u64 incarnation, size, term,
 * index. */
#define TRUST_MAGIC "RIDDTRU1"
#define TRUST_BYTES (TRUST_BOOT_ID_BYTES + 4u + 4u * 8u)
#define CLEAN_MAGIC "RIDDCLN1"
#define CLEAN_BYTES (4u * 8u)

static_assert(sizeof(TRUST_MAGIC) == MARK_MAGIC_BYTES + 1, "a magic is eight bytes");
static_assert(sizeof(CLEAN_MAGIC) == MARK_MAGIC_BYTES + 1, "a magic is eight bytes");

void trust_boot_get(const char *given, struct trust_boot *ret_boot)
{
    char text[TRUST_BOOT_ID_BYTES + 2] = {0};
    size_t len;

    ret_boot->id[0] = '\0';
    if (given != NULL) {
        (void)snprintf(text, sizeof(text), "%s", given);
    } else {
        cleanup_fd int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
            return;
    }
    len = strcspn(text, "\n");
    /* Part of an id would equal the same part of another. */
    if (len != TRUST_BOOT_ID_BYTES)
        return;
    memcpy(ret_boot->id, text, TRUST_BOOT_ID_BYTES);
    ret_boot->id[TRUST_BOOT_ID_BYTES] = '\0';
}

__attribute__((format(printf, 2, 3))) static int rebuild(struct trust_verdict *v,
                                                         const char *format, ...)
{
    va_list ap;

    v->trust = KV_REBUILD;
    va_start(ap, format);
    (void)vsnprintf(v->why, sizeof(v->why), format, ap);
    va_end(ap);
    return 0;
}

/* Reads a mark of exactly len bytes. *ret_there is false when there is none; MARK_E_* when it
 * cannot be believed. */
static int read_mark(int dir_fd, const char *name, const char *magic, void *buf, size_t len,
                     bool *ret_there)
{
    size_t n = 0;
    int rc = mark_read(dir_fd, name, magic, buf, len, &n);

    *ret_there = rc == 0;
    if (rc == MARK_E_MISSING)
        return 0;
    if (rc == 0 && n != len)
        return err_say(MARK_E_DAMAGED, "'%s' is damaged: it is too short", name);
    return rc;
}

/* A mark of a later version is no damage: that version left the state, and can go on with it
 * (DISK-24). Asked of both marks before anything else, because one that is damaged would have the
 * file set aside. 0, KV_E_NEWER, -errno. */
static int refuse_newer(int dir_fd)
{
    unsigned char bytes[TRUST_BYTES > CLEAN_BYTES ? TRUST_BYTES : CLEAN_BYTES];
    size_t n = 0;
    int rc = mark_read(dir_fd, TRUST_NAME, TRUST_MAGIC, bytes, sizeof(bytes), &n);

    if (rc >= 0 && rc != MARK_E_NEWER)
        rc = mark_read(dir_fd, TRUST_CLEAN_NAME, CLEAN_MAGIC, bytes, sizeof(bytes), &n);
    if (rc < 0)
        return err_trace(rc);
    return rc == MARK_E_NEWER ? KV_E_NEWER : 0;
}

static bool same_boot(const unsigned char *trust, const struct trust_boot *boot)
{
    return boot->id[0] != '\0' && memcmp(trust, boot->id, TRUST_BOOT_ID_BYTES) == 0;
}

static int examine_clean(const unsigned char *clean, const struct stat *st, struct trust_verdict *v)
{
    if (get_u64(clean + 8) != (uint64_t)st->st_size)
        return rebuild(v, "'%s' has %lld bytes, not the %" PRIu64 " it had when it was closed",
                       TRUST_DATA_NAME, (long long)st->st_size, get_u64(clean + 8));
    v->trust = KV_TRUSTED_CLEAN;
    v->clean_id = (struct raft_entry_id){get_u64(clean + 16), get_u64(clean + 24)};
    return 0;
}

static int examine_trust(const unsigned char *trust, const struct stat *st,
                         const struct trust_boot *boot, struct trust_verdict *v)
{
    const unsigned char *p = trust + TRUST_BOOT_ID_BYTES + 4 + 8;

    if (trust[0] == '\0')
        return rebuild(v, "'%s' says that '%s' may not have been synced", TRUST_NAME,
                       TRUST_DATA_NAME);
    if (!same_boot(trust, boot))
        return rebuild(v, "the machine was started anew and the node had not been stopped cleanly");
    if (get_u64(p) != (uint64_t)st->st_dev || get_u64(p + 8) != (uint64_t)st->st_ino)
        return rebuild(v, "'%s' is not the file that was open: it was copied or replaced",
                       TRUST_DATA_NAME);
    if ((uint64_t)st->st_size < get_u64(p + 16))
        return rebuild(v, "'%s' is shorter than when it was opened", TRUST_DATA_NAME);
    v->trust = KV_TRUSTED_SAME_BOOT;
    return 0;
}

int trust_examine(int dir_fd, uint64_t incarnation, const struct trust_boot *boot,
                  struct trust_verdict *ret_verdict)
{
    unsigned char trust[TRUST_BYTES];
    unsigned char clean[CLEAN_BYTES];
    bool has_trust = false;
    bool has_clean = false;
    struct stat st;
    int rc;

    *ret_verdict = (struct trust_verdict){.trust = KV_REBUILD};
    rc = refuse_newer(dir_fd);
    if (rc != 0)
        return err_trace(rc);
    rc = read_mark(dir_fd, TRUST_NAME, TRUST_MAGIC, trust, sizeof(trust), &has_trust);
    if (rc == 0)
        rc = read_mark(dir_fd, TRUST_CLEAN_NAME, CLEAN_MAGIC, clean, sizeof(clean), &has_clean);
    if (rc < 0)
        return err_trace(rc);
    if (rc > 0)
        return rebuild(ret_verdict, "%s", err_text());

    if (fstatat(dir_fd, TRUST_DATA_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return err_origin_errno("stat", TRUST_DATA_NAME);
        if (has_trust || has_clean)
            return rebuild(ret_verdict, "'%s' is missing", TRUST_DATA_NAME);
        ret_verdict->trust = KV_NEW;
        return 0;
    }
    if (!S_ISREG(st.st_mode))
        return rebuild(ret_verdict, "'%s' is no regular file", TRUST_DATA_NAME);
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return err_origin(
            err_say(-EPERM,
                    "'%s' has owner %u and mode %04o: it must be this user's (%u) and "
                    "closed to others (chmod 600)",
                    TRUST_DATA_NAME, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777u,
                    (unsigned)geteuid()));

    if ((has_trust && get_u64(trust + TRUST_BOOT_ID_BYTES + 4) != incarnation) ||
        (has_clean && get_u64(clean) != incarnation))
        return rebuild(ret_verdict, "it belongs to another incarnation of the node");
    if (has_clean)
        return examine_clean(clean, &st, ret_verdict);
    if (has_trust)
        return examine_trust(trust, &st, boot, ret_verdict);
    return rebuild(ret_verdict, "no '%s' tells when '%s' was opened", TRUST_NAME, TRUST_DATA_NAME);
}

raft_index trust_clean_index(int dir_fd, uint64_t incarnation)
{
    unsigned char clean[CLEAN_BYTES];
    bool there = false;

    if (read_mark(dir_fd, TRUST_CLEAN_NAME, CLEAN_MAGIC, clean, sizeof(clean), &there) != 0 ||
        !there || get_u64(clean) != incarnation)
        return 0;
    return get_u64(clean + 24);
}

bool trust_is_own_file(int dir_fd, uint64_t incarnation, const struct stat *st)
{
    unsigned char trust[TRUST_BYTES];
    const unsigned char *p = trust + TRUST_BOOT_ID_BYTES + 4;
    bool there = false;

    return read_mark(dir_fd, TRUST_NAME, TRUST_MAGIC, trust, sizeof(trust), &there) == 0 && there &&
           get_u64(p) == incarnation && get_u64(p + 8) == (uint64_t)st->st_dev &&
           get_u64(p + 16) == (uint64_t)st->st_ino;
}

int trust_remove_marks(int dir_fd)
{
    int rc = mark_remove(dir_fd, TRUST_CLEAN_NAME);

    if (rc == 0)
        rc = mark_remove(dir_fd, TRUST_NAME);
    return err_trace(rc);
}

/* What is not believed is moved away, never opened (STATE-4). */
int trust_set_aside(int dir_fd)
{
    int rc = trust_remove_marks(dir_fd);

    if (rc != 0)
        return err_trace(rc);
    if (renameat(dir_fd, TRUST_DATA_NAME, dir_fd, TRUST_OLD_NAME) != 0 && errno != ENOENT)
        return err_origin_errno("set aside", TRUST_DATA_NAME);
    if (unlinkat(dir_fd, TRUST_LOCK_NAME, 0) != 0 && errno != ENOENT)
        return err_origin_errno("remove", TRUST_LOCK_NAME);
    if (fsync(dir_fd) != 0)
        return err_origin_errno("sync the directory of", TRUST_DATA_NAME);
    return 0;
}

int trust_record(int dir_fd, uint64_t incarnation, const struct trust_boot *boot)
{
    unsigned char trust[TRUST_BYTES] = {0};
    unsigned char *p = trust + TRUST_BOOT_ID_BYTES + 4;
    struct stat st;

    if (fstatat(dir_fd, TRUST_DATA_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_origin_errno("stat", TRUST_DATA_NAME);
    memcpy(trust, boot->id, strlen(boot->id));
    put_u64(p, incarnation);
    put_u64(p + 8, (uint64_t)st.st_dev);
    put_u64(p + 16, (uint64_t)st.st_ino);
    put_u64(p + 24, (uint64_t)st.st_size);
    return err_trace(mark_write(dir_fd, TRUST_NAME, TRUST_MAGIC, trust, sizeof(trust)));
}

int trust_record_doubt(int dir_fd, uint64_t incarnation)
{
    return err_trace(trust_record(dir_fd, incarnation, &(struct trust_boot){.id = ""}));
}

int trust_record_clean(int dir_fd, uint64_t incarnation, struct raft_entry_id id)
{
    unsigned char clean[CLEAN_BYTES];
    struct stat st;

    if (fstatat(dir_fd, TRUST_DATA_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_origin_errno("stat", TRUST_DATA_NAME);
    put_u64(clean, incarnation);
    put_u64(clean + 8, (uint64_t)st.st_size);
    put_u64(clean + 16, id.term);
    put_u64(clean + 24, id.index);
    return err_trace(mark_write(dir_fd, TRUST_CLEAN_NAME, CLEAN_MAGIC, clean, sizeof(clean)));
}
