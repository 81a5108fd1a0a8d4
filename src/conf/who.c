/* Who is meant by a list of [access], and where the local socket is: words only. Whether there is
 * such a user is for who uses it. */
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "conf/conf_int.h"

#include "base/banned.h"

static_assert(CONF_SOCKET_BYTES_MAX + 1 <= sizeof(((struct sockaddr_un *)NULL)->sun_path),
              "the path of a socket with its NUL");

#define SOCKET_PREFIX "unix:"

static const char *const kinds[] = {[CONF_WHO_USER] = "user", [CONF_WHO_GROUP] = "group"};

/* What useradd(8) lets a name be, and numbers; in any case nothing that a terminal or a line of the
 * log would understand. */
bool conf_who_name_ok(const char *s, size_t len)
{
    static const char more[] = "_-.$@\\";

    if (len == 0 || len > CONF_WHO_NAME_BYTES_MAX || *s == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        const char c = s[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') &&
            (c == '\0' || strchr(more, c) == NULL))
            return false;
    }
    return true;
}

/* "user NAME", "group NAME", "any"; NULL, or what is wrong. */
static const char *take_one(const char *s, size_t len, struct conf_who *ret)
{
    size_t word = 0;
    size_t name;

    if (len == 3 && memcmp(s, "any", 3) == 0) {
        *ret = (struct conf_who){.kind = CONF_WHO_ANY};
        return NULL;
    }
    while (word < len && s[word] != ' ' && s[word] != '\t')
        word++;
    name = word;
    while (name < len && (s[name] == ' ' || s[name] == '\t'))
        name++;
    for (unsigned kind = CONF_WHO_USER; kind <= CONF_WHO_GROUP; kind++) {
        if (word != strlen(kinds[kind]) || memcmp(s, kinds[kind], word) != 0)
            continue;
        if (!conf_who_name_ok(s + name, len - name))
            return "names nobody: 'user' and 'group' are followed by one name or number";
        *ret = (struct conf_who){.kind = (enum conf_who_kind)kind};
        memcpy(ret->name, s + name, len - name);
        return NULL;
    }
    return "is not a list of 'user NAME', 'group NAME' and 'any', with commas between, nor 'none'";
}

const char *conf_parse_who(const char *s, struct conf_who_list *ret)
{
    char text[CONF_WHO_TEXT];
    const char *wrong = NULL;

    *ret = (struct conf_who_list){.n = 0};
    if (strcmp(s, "none") == 0)
        return NULL;
    while (wrong == NULL) {
        size_t len;

        s += strspn(s, " \t");
        len = strcspn(s, ",");
        if (ret->n == CONF_WHO_MAX)
            return "names more than 16";
        while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
            len--;
        wrong = take_one(s, len, &ret->who[ret->n++]);
        s += strcspn(s, ",");
        if (*s == '\0')
            break;
        s++;
    }
    if (wrong == NULL && strlen(conf_format_who(ret, text, sizeof(text))) > CONF_WHO_BYTES_MAX)
        return "is too long: 180 bytes; make a group of them";
    return wrong;
}

const char *conf_format_who(const struct conf_who_list *list, char *ret, size_t size)
{
    size_t len = 0;

    (void)snprintf(ret, size, "none");
    for (unsigned i = 0; i < list->n && len < size; i++) {
        const struct conf_who *w = &list->who[i];
        const int n = w->kind == CONF_WHO_ANY
                          ? snprintf(ret + len, size - len, "%sany", i > 0 ? ", " : "")
                          : snprintf(ret + len, size - len, "%s%s %s", i > 0 ? ", " : "",
                                     kinds[w->kind], w->name);

        len += n > 0 ? (size_t)n : 0;
    }
    return ret;
}

bool conf_who_equal(const struct conf_who_list *a, const struct conf_who_list *b)
{
    if (a->n != b->n)
        return false;
    for (unsigned i = 0; i < a->n; i++)
        if (a->who[i].kind != b->who[i].kind || strcmp(a->who[i].name, b->who[i].name) != 0)
            return false;
    return true;
}

/* ---- the socket ---- */

/* It stands in lists of endpoints, so nothing that ends one there may be in it. */
static bool is_path_byte(char c)
{
    return c > ' ' && c < 0x7f && c != ',';
}

const char *conf_expand_socket(const char *text, const char *name, char *ret, size_t size)
{
    const char *wrong;

    ret[0] = '\0';
    if (strcmp(text, "none") == 0)
        return NULL;
    if (strncmp(text, SOCKET_PREFIX, strlen(SOCKET_PREFIX)) != 0)
        return "is neither unix:/PATH nor none";
    text += strlen(SOCKET_PREFIX);
    if (*text != '/')
        return "is not an absolute path behind unix:";
    for (const char *p = text; *p != '\0'; p++)
        if (!is_path_byte(*p))
            return "holds a blank, a comma or what cannot be printed";
    wrong = conf_expand(text, name, CONF_SOCKET_BYTES_MAX,
                        "is too long: 107 bytes, the node's name included", ret, size);
    if (wrong != NULL)
        ret[0] = '\0';
    return wrong;
}

bool conf_socket_of(const struct conf *c, const char *name, char *ret, size_t size)
{
    char text[sizeof(c->client_socket) + sizeof(SOCKET_PREFIX)];

    if (c->client_socket[0] == '\0')
        return false;
    (void)snprintf(text, sizeof(text), SOCKET_PREFIX "%s", c->client_socket);
    return conf_expand_socket(text, name, ret, size) == NULL;
}
