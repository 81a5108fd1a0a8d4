/* What of a configuration file is for others to see: sections, and keys with their values unless
 * the name of the key speaks of a secret. Comments may hold anything, and go. (DOCTOR-3) */
#include <ctype.h>
#include <string.h>

#include "ctl/bundle_int.h"

#include "base/banned.h"

static bool speaks_of_secret(const char *name, size_t len)
{
    static const char *const words[] = {"secret",     "password", "passphrase", "passwd", "token",
                                        "credential", "private",  "key",        "auth"};
    char lower[CONF_WORD_BYTES_MAX + 1];

    if (len > CONF_WORD_BYTES_MAX)
        return true; /* who knows */
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    lower[len] = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strstr(lower, words[i]) != NULL)
            return true;
    return false;
}

/* Behind a blank, as inih has it; '#' as people have it. */
static size_t without_comment(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((s[i] == ';' || s[i] == '#') && (i == 0 || isblank((unsigned char)s[i - 1])))
            return i;
    return len;
}

static int add_line(const char *line, size_t len, struct buf *out, unsigned *n_left_out)
{
    const char *equals;
    size_t name_len;

    while (len > 0 && isblank((unsigned char)line[0])) {
        line++;
        len--;
    }
    len = without_comment(line, len);
    while (len > 0 && isspace((unsigned char)line[len - 1]))
        len--;
    if (len == 0)
        return 0;
    if (line[0] == '[' && memchr(line, ']', len) == line + len - 1)
        return buf_add_format(out, "%.*s\n", (int)len, line);
    equals = memchr(line, '=', len);
    if (equals == NULL) {
        (*n_left_out)++;
        return 0;
    }
    name_len = (size_t)(equals - line);
    while (name_len > 0 && isblank((unsigned char)line[name_len - 1]))
        name_len--;
    if (speaks_of_secret(line, name_len))
        return buf_add_format(
            out, "%.*s = (left out)\n",
            (int)(name_len < CONF_WORD_BYTES_MAX ? name_len : CONF_WORD_BYTES_MAX), line);
    return buf_add_format(out, "%.*s\n", (int)len, line);
}

int bundle_mask_conf(const char *text, size_t len, struct buf *out)
{
    unsigned n_left_out = 0;
    int rc = 0;

    while (len > 0 && rc == 0) {
        const char *end = memchr(text, '\n', len);
        const size_t n = end != NULL ? (size_t)(end - text) : len;

        rc = add_line(text, n, out, &n_left_out);
        text += end != NULL ? n + 1 : n;
        len -= end != NULL ? n + 1 : n;
    }
    if (rc == 0 && n_left_out > 0)
        rc = buf_add_format(out, "# %u lines that are neither sections nor keys are left out\n",
                            n_left_out);
    return rc;
}
