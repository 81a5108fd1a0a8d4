/* The file of secrets: who may have access to it, what stands in it. Whatever is wrong with it is
 * said with its line, and never with what stands there. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "tls/tls_int.h"

#include "base/banned.h"

/* ---- where it is ---- */

#define CREDENTIAL_PREFIX "credential:"

int tls_file_path(const char *text, char *ret, size_t size)
{
    const char *const name = text + strlen(CREDENTIAL_PREFIX);
    const char *dir;
    int n;

    if (strncmp(text, CREDENTIAL_PREFIX, strlen(CREDENTIAL_PREFIX)) != 0) {
        n = snprintf(ret, size, "%s", text);
    } else {
        dir = getenv("CREDENTIALS_DIRECTORY"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
        if (dir == NULL || dir[0] != '/')
            return err_origin(err_say(-ENOENT,
                                      "'%s': systemd has given this process no credentials "
                                      "(LoadCredential= in its unit)",
                                      text));
        n = snprintf(ret, size, "%s/%s", dir, name);
    }
    if (n < 0 || (size_t)n >= size)
        return err_origin(err_say(-ENAMETOOLONG, "'%s' is too long a path", text));
    return 0;
}

/* ---- who may have access to it (TLS-8) ---- */

static int check_mode(const char *path, const struct stat *st, const char *what)
{
    const bool of_root = st->st_uid == 0;

    if (!S_ISREG(st->st_mode))
        return err_origin(err_say(-EINVAL, "'%s' is no regular file", path));
    if (!of_root && st->st_uid != geteuid())
        return err_origin(err_say(-EPERM,
                                  "'%s' belongs to uid %lu, which is neither root's nor ours; who "
                                  "owns it can change it",
                                  path, (unsigned long)st->st_uid));
    if ((st->st_mode & (S_IRWXO | S_IWGRP)) != 0 || (!of_root && (st->st_mode & S_IRGRP) != 0))
        return err_origin(
            err_say(-EPERM, "'%s' holds %s and others may %s it (mode %04o); chmod %s %s", path,
                    what, (st->st_mode & (S_IWGRP | S_IWOTH)) != 0 ? "change" : "read",
                    (unsigned)(st->st_mode & 07777), of_root ? "0640" : "0600", path));
    return 0;
}

int tls_open_secret(const char *path, const char *what, int *ret_fd)
{
    /* Without waiting for whoever writes a pipe. */
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    int rc;

    if (fd < 0 || fstat(fd, &st) != 0)
        return err_origin_errno("open", path);
    rc = check_mode(path, &st, what);
    if (rc != 0)
        return err_trace(rc);
    *ret_fd = take_fd(fd);
    return 0;
}

static int read_all(int fd, const char *path, char *text, size_t size)
{
    size_t len = 0;

    while (len + 1 < size) {
        const ssize_t n = read(fd, text + len, size - len - 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_origin_errno("read", path);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    if (len + 1 == size || strlen(text) != len)
        return err_origin(err_say(-EINVAL, "'%s' is no file of secrets", path));
    return 0;
}

/* ---- what stands in it ---- */

/* NULL, or what is wrong. */
static const char *take_digits(const char *word, struct tls_secret *s)
{
    const size_t n = strlen(word);
    size_t len = 0;

    if (strspn(word, "0123456789abcdefABCDEF") != n || n % 2 != 0)
        return "is not an even number of hexadecimal digits";
    if (n < 2 * TLS_SECRET_BYTES_MIN)
        return "is too short: a secret has 64 digits or more, 256 bits";
    if (n > 2 * TLS_SECRET_BYTES_MAX)
        return "is too long: a secret has at most 256 digits";
    if (OPENSSL_hexstr2buf_ex(s->bytes, sizeof(s->bytes), &len, word, '\0') != 1)
        return "is not an even number of hexadecimal digits";
    s->len = len;
    return NULL;
}

static const char *take_id(const char *word, struct tls_secret *s)
{
    size_t len = 0;

    if (strlen(word) != 2 * TLS_SECRET_ID_BYTES ||
        OPENSSL_hexstr2buf_ex(s->id, sizeof(s->id), &len, word, '\0') != 1)
        return "has no 16 hexadecimal digits behind the name";
    return NULL;
}

static const char *take_name(const char *word, struct tls_secret *s)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    const size_t n = strlen(word);

    if (n > NODE_NAME_BYTES_MAX || strspn(word, allowed) != n)
        return "has a name that is none: 1 to 63 of A-Z a-z 0-9 _ -";
    memcpy(s->name, word, n + 1);
    return NULL;
}

/* DIGITS, or NAME ID DIGITS; nothing, or a comment. */
static const char *take_line(char *line, struct tls_secrets *ret)
{
    struct tls_secret s = {.len = 0};
    char *words[4] = {NULL};
    unsigned n = 0;
    char *state = NULL;
    const char *wrong = NULL;

    line[strcspn(line, "#")] = '\0';
    for (char *w = strtok_r(line, " \t\r", &state); w != NULL && n < 4;
         w = strtok_r(NULL, " \t\r", &state))
        words[n++] = w;
    if (n == 0)
        return NULL;
    if (n != 1 && n != 3)
        return "is neither a secret nor NAME ID SECRET";
    if (ret->n == TLS_SECRETS_MAX)
        return "is one secret too many: at most 4 are accepted at once";
    if (n == 3)
        wrong = take_name(words[0], &s);
    if (n == 3 && wrong == NULL)
        wrong = take_id(words[1], &s);
    if (wrong == NULL)
        wrong = take_digits(words[n - 1], &s);
    if (wrong == NULL && ret->n > 0 && (s.name[0] == '\0') != (ret->of[0].name[0] == '\0'))
        wrong = "stands beside one of another kind: a client's secret and a cluster's do not "
                "stand in one file";
    if (wrong == NULL)
        ret->of[ret->n++] = s;
    OPENSSL_cleanse(&s, sizeof(s));
    return wrong;
}

static int take_lines(char *text, const char *path, struct tls_secrets *ret)
{
    unsigned number = 0;

    for (char *line = text; line != NULL;) {
        char *const end = strchr(line, '\n');
        const char *wrong;

        if (end != NULL)
            *end = '\0';
        number++;
        wrong = take_line(line, ret);
        if (wrong != NULL)
            return err_origin(err_say(-EINVAL, "%s:%u: this line %s", path, number, wrong));
        line = end != NULL ? end + 1 : NULL;
    }
    if (ret->n == 0)
        return err_origin(
            err_say(-EINVAL, "'%s' holds no secret; `ridd --make-secret FILE` makes one", path));
    return 0;
}

int tls_secrets_read(const char *text_path, struct tls_secrets *ret)
{
    char path[PATH_MAX];
    char text[TLS_SECRET_FILE_BYTES_MAX];
    cleanup_fd int fd = -1;
    int rc;

    memset(ret, 0, sizeof(*ret));
    rc = tls_file_path(text_path, path, sizeof(path));
    if (rc == 0)
        rc = tls_open_secret(path, "a secret", &fd);
    if (rc == 0)
        rc = read_all(fd, path, text, sizeof(text));
    if (rc == 0)
        rc = take_lines(text, path, ret);
    OPENSSL_cleanse(text, sizeof(text));
    if (rc != 0)
        tls_secrets_wipe(ret);
    return err_trace(rc);
}

/* ---- making one ---- */

int tls_secret_format(const struct tls_secret *s, char *ret_text, size_t size)
{
    size_t len = 0;

    if (s->name[0] != '\0') {
        len = (size_t)snprintf(ret_text, size, "%s ", s->name);
        for (unsigned i = 0; i < TLS_SECRET_ID_BYTES && len < size; i++)
            len += (size_t)snprintf(ret_text + len, size - len, "%02x", s->id[i]);
        if (len < size)
            len += (size_t)snprintf(ret_text + len, size - len, " ");
    }
    for (size_t i = 0; i < s->len && len < size; i++)
        len += (size_t)snprintf(ret_text + len, size - len, "%02x", s->bytes[i]);
    return len < size ? 0 : err_origin(-ENOBUFS);
}

int tls_secret_write(const char *path, const char *text)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    const size_t len = strlen(text);

    if (fd < 0)
        return err_origin_errno("make", path);
    if (write(fd, text, len) != (ssize_t)len || fsync(fd) != 0) {
        const int error = errno;

        (void)unlink(path);
        errno = error;
        return err_origin_errno("write", path);
    }
    return 0;
}

int tls_secret_make(const char *path)
{
    struct tls_secret s = {.len = TLS_SECRET_BYTES_MIN};
    char digits[2 * TLS_SECRET_BYTES_MAX + 1];
    char text[512];
    int rc = 0;

    if (RAND_bytes(s.bytes, (int)s.len) != 1)
        return err_origin(err_say(-EIO, "there are no random bytes"));
    rc = tls_secret_format(&s, digits, sizeof(digits));
    (void)snprintf(
        text, sizeof(text),
        "# The secret of a ridd cluster: whoever has it may speak as any of its nodes.\n"
        "# The same on all of them. Several lines while it is changed: the first is used, "
        "all are accepted.\n%s\n",
        digits);
    if (rc == 0)
        rc = tls_secret_write(path, text);
    OPENSSL_cleanse(&s, sizeof(s));
    OPENSSL_cleanse(digits, sizeof(digits));
    OPENSSL_cleanse(text, sizeof(text));
    return err_trace(rc);
}
