/* What of a configuration file is for others to see: sections, and keys with their values unless
 * the name of the key speaks of a secret, or the value looks like one. Where a file of secrets lies
 * is none; what tells of a token is. Comments may hold anything, and go. (DOCTOR-3) */
#include <ctype.h>
#include <string.h>
#include <strings.h>

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

/* [security] names files by these, and nobody is kept out by not knowing where they lie
 * (GUARD-5). */
static bool is_path_of_secret(const char *name, size_t name_len, const char *value, size_t len)
{
    static const char *const names[] = {"secret_file", "peer_key", "client_key"};
    static const char credential[] = "credential:";
    bool known = false;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        known |= strlen(names[i]) == name_len && strncmp(names[i], name, name_len) == 0;
    return known &&
           ((len > 0 && value[0] == '/') ||
            (len >= strlen(credential) && strncmp(value, credential, strlen(credential)) == 0));
}

/* Of a line that names somebody by a token only the kind is left; and so many hexadecimal digits
 * are nothing that anybody must read, whatever stands before them. */
static bool is_secret_word(const char *word, size_t len)
{
    size_t n = 0;

    while (n < len && isxdigit((unsigned char)word[n]))
        n++;
    return n == len && len >= CONF_HEX_DIGITS_MAX;
}

static int add_value(const char *value, size_t len, struct buf *out)
{
    bool is_behind_token = false;
    int rc = 0;

    while (len > 0 && rc == 0) {
        size_t n = 0;

        while (n < len && !isblank((unsigned char)value[n]))
            n++;
        if (n > 0 && (is_behind_token || is_secret_word(value, n)))
            rc = buf_add_str(out, "(left out)");
        else
            rc = buf_add_format(out, "%.*s", (int)n, value);
        if (n > 0)
            is_behind_token = n == 5 && strncasecmp(value, "token", n) == 0;
        for (; rc == 0 && n < len && isblank((unsigned char)value[n]); n++)
            rc = buf_add(out, value + n, 1);
        value += n;
        len -= n;
    }
    return rc == 0 ? buf_add_str(out, "\n") : rc;
}

static int add_line(const char *line, size_t len, struct buf *out, unsigned *n_left_out)
{
    const char *equals;
    const char *value;
    size_t name_len;
    int rc;

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
    value = equals + 1;
    while (value < line + len && isblank((unsigned char)*value))
        value++;
    if (speaks_of_secret(line, name_len) &&
        !is_path_of_secret(line, name_len, value, (size_t)(line + len - value)))
        return buf_add_format(
            out, "%.*s = (left out)\n",
            (int)(name_len < CONF_WORD_BYTES_MAX ? name_len : CONF_WORD_BYTES_MAX), line);
    rc = buf_add(out, line, (size_t)(value - line));
    return rc == 0 ? add_value(value, (size_t)(line + len - value), out) : rc;
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
