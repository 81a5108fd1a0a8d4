/* A line of [access] that grants a role to somebody: words only. Whether there is such a user is
 * for who uses it. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "conf/reading_int.h"

#include "base/banned.h"

static const char *const roles[] = {
    [CONF_ROLE_READ] = "read", [CONF_ROLE_WRITE] = "write", [CONF_ROLE_ADMIN] = "admin"};
static const char *const kinds[CONF_GRANT_KINDS] = {
    [CONF_GRANT_ANY] = "any",   [CONF_GRANT_USER] = "user",     [CONF_GRANT_GROUP] = "group",
    [CONF_GRANT_CERT] = "cert", [CONF_GRANT_SECRET] = "secret", [CONF_GRANT_TOKEN] = "token"};

/* A word of what is left, which is moved behind it; empty at the end. */
struct word {
    const char *text;
    size_t len;
};

static struct word next_word(const char **rest)
{
    struct word w;

    *rest += strspn(*rest, " \t");
    w = (struct word){.text = *rest, .len = strcspn(*rest, " \t")};
    *rest += w.len;
    return w;
}

static bool is_word(struct word w, const char *text)
{
    return w.len == strlen(text) && memcmp(w.text, text, w.len) == 0;
}

/* Where it stands among n names, of which the first may be missing; n: nowhere. */
static unsigned find_word(struct word w, const char *const *names, unsigned n)
{
    unsigned i = 0;

    while (i < n && (names[i] == NULL || !is_word(w, names[i])))
        i++;
    return i;
}

static bool is_printable(const char *s)
{
    for (; *s != '\0'; s++)
        if (*s <= ' ' || *s >= 0x7f)
            return false;
    return true;
}

/* The hash of a token is one number, whatever the case of its digits (ACCESS-7). */
static bool take_hash(char *who)
{
    if (strlen(who) != CONF_TOKEN_DIGITS ||
        strspn(who, "0123456789abcdefABCDEF") != CONF_TOKEN_DIGITS)
        return false;
    for (char *p = who; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'F')
            *p = (char)(*p - 'A' + 'a');
    return true;
}

static const char *take_who(struct word w, struct conf_grant *g)
{
    rid_assert(g->kind != CONF_GRANT_ANY);
    if (w.len == 0)
        return "names nobody: any alone is followed by no name";
    if (w.len >= sizeof(g->who))
        return "has too long a name: 127 bytes";
    memcpy(g->who, w.text, w.len);
    g->who[w.len] = '\0';
    switch (g->kind) {
    case CONF_GRANT_USER:
    case CONF_GRANT_GROUP:
        return conf_who_name_ok(w.text, w.len) ? NULL
                                               : "has no name or number of a user or a group";
    case CONF_GRANT_CERT:
        return is_printable(g->who) ? NULL : "has a name that cannot be printed";
    case CONF_GRANT_SECRET:
        return conf_name_ok(g->who) ? NULL : "has no name of a secret: 1 to 63 of A-Z a-z 0-9 _ -";
    case CONF_GRANT_TOKEN:
        return take_hash(g->who) ? NULL : "has no hash of a token: 64 hexadecimal digits";
    case CONF_GRANT_ANY:
    case CONF_GRANT_KINDS:
        break;
    }
    return NULL;
}

static const char *take_prefix(struct word w, struct conf_grant *g)
{
    if (w.len == 0)
        return "has no prefix behind 'prefix'";
    if (w.len >= sizeof(g->prefix))
        return "has too long a prefix: 63 bytes";
    memcpy(g->prefix, w.text, w.len);
    g->prefix[w.len] = '\0';
    g->has_prefix = true;
    if (!is_printable(g->prefix))
        return "has a prefix that cannot be printed";
    /* Status, members and snapshots tell of every key (ACCESS-7). */
    if (g->role == CONF_ROLE_ADMIN)
        return "has a prefix, and an administrator sees everything";
    return NULL;
}

const char *conf_parse_grant(const char *s, struct conf_grant *ret)
{
    static const char form[] =
        "is not ROLE KIND [WHO] [prefix PREFIX]: read, write or admin, then any, user, group, "
        "cert, secret or token";
    struct conf_grant g = {.line = ret->line};
    const struct word role = next_word(&s);
    const struct word kind = next_word(&s);
    const unsigned role_at = find_word(role, roles, CONF_ROLE_ADMIN + 1);
    const unsigned kind_at = find_word(kind, kinds, CONF_GRANT_KINDS);
    const char *wrong = NULL;
    struct word more;

    if (role_at > CONF_ROLE_ADMIN || kind_at == CONF_GRANT_KINDS)
        return form;
    memcpy(g.name, ret->name, sizeof(g.name));
    g.role = (enum conf_role)role_at;
    g.kind = (enum conf_grant_kind)kind_at;
    if (g.kind != CONF_GRANT_ANY)
        wrong = take_who(next_word(&s), &g);
    more = next_word(&s);
    if (wrong == NULL && is_word(more, "prefix")) {
        wrong = take_prefix(next_word(&s), &g);
        more = next_word(&s);
    }
    if (wrong == NULL && more.len > 0)
        wrong = form;
    if (wrong == NULL)
        *ret = g;
    return wrong;
}

void conf_add_grant(struct reading *rd, const struct conf_grant *g)
{
    struct conf *c = rd->c;

    for (unsigned i = 0; i < c->n_grants; i++) {
        const struct conf_grant *h = &c->grants[i];

        if (strcmp(h->name, g->name) == 0) {
            conf_problem_add(rd, g->line, "'%s' stands twice, first on line %u", g->name, h->line);
            return;
        }
        /* Whoever takes one of them out believes that the token is worth nothing any more
         * (ACCESS-7). */
        if (g->kind == CONF_GRANT_TOKEN && h->kind == CONF_GRANT_TOKEN &&
            strcmp(h->who, g->who) == 0) {
            conf_problem_add(rd, g->line, "'%s' has the token of '%s' on line %u", g->name, h->name,
                             h->line);
            return;
        }
    }
    if (c->n_grants < CONF_GRANTS_MAX) {
        c->grants[c->n_grants++] = *g;
        return;
    }
    if (!rd->grants_cut)
        conf_problem_add(rd, g->line, "more than %u lines that name somebody in [access]",
                         CONF_GRANTS_MAX);
    rd->grants_cut = true;
}

const char *conf_format_grant(const struct conf_grant *g, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s = %s %s%s%s%s%s", g->name, roles[g->role], kinds[g->kind],
                   g->who[0] != '\0' ? " " : "", g->who, g->has_prefix ? " prefix " : "",
                   g->prefix);
    return ret;
}

bool conf_grant_equal(const struct conf_grant *a, const struct conf_grant *b)
{
    return strcmp(a->name, b->name) == 0 && a->role == b->role && a->kind == b->kind &&
           strcmp(a->who, b->who) == 0 && a->has_prefix == b->has_prefix &&
           strcmp(a->prefix, b->prefix) == 0;
}

/* A line that could name who comes by TCP makes it that all who do are asked (CONF-4). Users and
 * groups are of the local socket: one that names these says nothing of TCP. */
bool conf_asks_who(const struct conf *c)
{
    bool asks = conf_has_client_tls(c);

    for (unsigned i = 0; i < c->n_grants; i++)
        asks |= c->grants[i].kind != CONF_GRANT_USER && c->grants[i].kind != CONF_GRANT_GROUP;
    return asks;
}
