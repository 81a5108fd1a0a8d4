/* What a value may look like: numbers, sizes, names, the data directory; addresses are in
 * base/address.c and scheme.c. Nothing here knows of files. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "conf/reading_int.h"

#include "base/banned.h"

bool conf_name_ok(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > NODE_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if (!(c < 0x80 && isalnum(c)) && c != '_' && c != '-')
            return false;
    }
    return true;
}

const char *conf_normal_hosts(const char *hosts, char *ret, size_t size)
{
    size_t len = 0;
    size_t name = 0;
    unsigned n = 1;

    for (const char *p = hosts; *p != '\0'; p++) {
        const unsigned char c = (unsigned char)*p;

        if (conf_is_blank((char)c) && (name == 0 || p[strspn(p, " \t")] == ','))
            continue;
        if (c == ',' && name == 0)
            break;
        name = c == ',' ? 0 : name + 1;
        n += c == ',';
        if (c != ',' && !(c < 0x80 && isalnum(c)) && strchr(".-_", (char)c) == NULL)
            return "is not a list of names: they have A-Z a-z 0-9 . _ -, no port, and ',' between "
                   "them";
        if (name > HTTP_HOST_BYTES_MAX || n > HTTP_HOSTS_MAX || len + 1 >= size)
            return "has too many names, or too long ones";
        ret[len++] = (char)tolower(c);
    }
    ret[len] = '\0';
    if (name > 0)
        return NULL;
    ret[0] = '\0';
    return "has a name that is empty";
}

const char *conf_format_size(char buf[CONF_SIZE_BUF], uint64_t bytes)
{
    static const char suffixes[] = "KMG";
    uint64_t n = bytes;
    size_t at = 0;

    while (at < 3 && n != 0 && n % 1024 == 0) {
        n /= 1024;
        at++;
    }
    if (at == 0)
        (void)snprintf(buf, CONF_SIZE_BUF, "%llu", (unsigned long long)n);
    else
        (void)snprintf(buf, CONF_SIZE_BUF, "%llu%c", (unsigned long long)n, suffixes[at - 1]);
    return buf;
}

int conf_parse_number(const char *s, bool with_suffix, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool over = false;

    if (*s < '0' || *s > '9')
        return CONF_NUMBER_NONE;
    for (; *s >= '0' && *s <= '9'; s++)
        over |= __builtin_mul_overflow(value, (uint64_t)10, &value) ||
                __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value);
    if (with_suffix && *s != '\0') {
        static const char suffixes[] = "KMG";
        const char *suffix = strchr(suffixes, *s);

        if (suffix == NULL)
            return CONF_NUMBER_NONE;
        for (const char *p = suffixes; p <= suffix; p++)
            over |= __builtin_mul_overflow(value, (uint64_t)1024, &value);
        s++;
    }
    if (*s != '\0')
        return CONF_NUMBER_NONE;
    if (over)
        return CONF_NUMBER_TOO_LARGE;
    *ret_value = value;
    return 0;
}

const char *conf_expand(const char *path, const char *name, size_t bytes_max, const char *too_long,
                        char *ret, size_t size)
{
    size_t at = 0;

    for (const char *p = path; *p != '\0'; p++) {
        const char *piece = p;
        size_t n = 1;

        if (*p == '%') {
            if (p[1] != 'i')
                return "holds a '%' that is not %i, the only one replaced";
            piece = name != NULL ? name : "%i";
            n = strlen(piece);
            p++;
        }
        if (n >= size - at || at + n > bytes_max)
            return too_long;
        memcpy(ret + at, piece, n);
        at += n;
    }
    ret[at] = '\0';
    return NULL;
}

const char *conf_expand_dir(const char *dir, const char *name, char *ret, size_t size)
{
    if (*dir != '/')
        return "is not an absolute path";
    return conf_expand(dir, name, CONF_DATA_DIR_BYTES_MAX,
                       "is too long: 180 bytes, the node's name included", ret, size);
}

const char *conf_expand_file(const char *text, const char *name, char *ret, size_t size)
{
    static const char credential[] = "credential:";
    const char *wrong;

    ret[0] = '\0';
    if (strcmp(text, "none") == 0)
        return NULL;
    if (strncmp(text, credential, strlen(credential)) == 0) {
        const char *file = text + strlen(credential);

        if (*file == '\0' || strchr(file, '/') != NULL || strcmp(file, ".") == 0 ||
            strcmp(file, "..") == 0)
            return "names no file behind credential:, which is one name without '/'";
    } else if (*text != '/') {
        return "is neither an absolute path, nor credential:NAME, nor none";
    }
    wrong = conf_expand(text, name, TLS_FILE_BYTES_MAX,
                        "is too long: 180 bytes, the node's name included", ret, size);
    if (wrong != NULL)
        ret[0] = '\0';
    return wrong;
}

const char *conf_parse_yes(const char *s, bool *ret)
{
    const bool yes = strcmp(s, "yes") == 0;

    if (!yes && strcmp(s, "no") != 0)
        return "is neither yes nor no";
    *ret = yes;
    return NULL;
}
