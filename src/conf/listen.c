/* [node] listen: more addresses for clients. The file is that of all nodes, so these are mostly
 * addresses that every host has: one of loopback, or that of no host, which stands for all. */
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "conf/reading_int.h"

#include "base/banned.h"

/* One address of the list, which is text without blanks around it. */
static const char *take_one(const char *text, struct conf_listen *ret)
{
    const char *wrong = conf_parse_scheme(&text, &conf_client_schemes, &ret->scheme);

    return wrong != NULL ? wrong : address_normal_listen(text, ret->addr);
}

bool conf_take_listen(struct reading *rd, const char *value)
{
    struct conf *c = rd->c;
    char text[CONF_LINE_BYTES_MAX + 1];
    char esc[LOG_ESC_BUF];
    bool good = true;

    c->n_listen = 0;
    if (strcmp(value, "none") == 0)
        return true;
    for (const char *s = value;; s++) {
        const char *wrong;
        size_t len;

        s += strspn(s, " \t");
        len = strcspn(s, ",");
        if (c->n_listen == CONF_LISTEN_MAX) {
            conf_problem_add(rd, rd->line, "listen has more than %u addresses", CONF_LISTEN_MAX);
            return false;
        }
        (void)snprintf(text, sizeof(text), "%.*s", (int)len, s);
        for (size_t n = strlen(text); n > 0 && conf_is_blank(text[n - 1]); n--)
            text[n - 1] = '\0';
        wrong = take_one(text, &c->listen[c->n_listen]);
        if (wrong != NULL)
            conf_problem_add(rd, rd->line, "listen: %s %s",
                             log_esc(esc, sizeof(esc), text, strlen(text)), wrong);
        else
            c->n_listen++;
        good &= wrong == NULL;
        s += len;
        if (*s == '\0')
            return good;
    }
}

const char *conf_format_listen(const struct conf *c, char *ret, size_t size)
{
    size_t len = 0;

    (void)snprintf(ret, size, "none");
    for (unsigned i = 0; i < c->n_listen && len < size; i++) {
        const int n = snprintf(ret + len, size - len, "%s%s%s", i > 0 ? ", " : "",
                               conf_scheme_text(&conf_client_schemes, c->listen[i].scheme),
                               c->listen[i].addr);

        len += n > 0 ? (size_t)n : 0;
    }
    return ret;
}

bool conf_listen_equal(const struct conf *a, const struct conf *b)
{
    if (a->n_listen != b->n_listen)
        return false;
    for (unsigned i = 0; i < a->n_listen; i++)
        if (a->listen[i].scheme != b->listen[i].scheme ||
            strcmp(a->listen[i].addr, b->listen[i].addr) != 0)
            return false;
    return true;
}

/* ---- one listener per address ---- */

static const char *port_of(const char *addr)
{
    const char *colon = strrchr(addr, ':');

    return colon != NULL ? colon + 1 : addr;
}

/* The address of no host takes its port of all: [::] of both families, 0.0.0.0 of those that are
 * written as IPv4. Where a name leads is not known here. */
static bool covers(const char *all, const char *addr)
{
    if (strcmp(port_of(all), port_of(addr)) != 0)
        return false;
    if (strncmp(all, "[::]:", 5) == 0)
        return true;
    return strncmp(all, "0.0.0.0:", 8) == 0 && strspn(addr, "0123456789.") == strcspn(addr, ":");
}

static bool are_one(const char *a, const char *b)
{
    return a[0] != '\0' && b[0] != '\0' && (strcmp(a, b) == 0 || covers(a, b) || covers(b, a));
}

/* Every node listens at these beside its own addresses, whichever line of [peers] is its own. NULL:
 * nobody does. */
static const char *find_other(const struct conf *c, const char *addr, unsigned *ret_line)
{
    for (unsigned i = 0; i < c->n_peers; i++) {
        const struct conf_peer *p = &c->peers[i];
        const char *const of[] = {p->peer_addr, p->client_addr, p->http_addr};

        for (size_t k = 0; k < sizeof(of) / sizeof(of[0]); k++)
            if (are_one(of[k], addr)) {
                *ret_line = p->line;
                return of[k];
            }
    }
    return NULL;
}

void conf_finish_listen(struct reading *rd)
{
    const struct conf *c = rd->c;
    const unsigned line = rd->key_lines[conf_key_at(CONF_NODE, "listen")];

    for (unsigned i = 0; i < c->n_listen; i++) {
        const char *addr = c->listen[i].addr;
        unsigned other_line = rd->key_lines[conf_key_at(CONF_HTTP, "address")];
        const char *other = find_other(c, addr, &other_line);

        if (other == NULL && are_one(c->http_addr, addr))
            other = c->http_addr;
        for (unsigned k = 0; k < i && other == NULL; k++)
            if (are_one(c->listen[k].addr, addr)) {
                other = c->listen[k].addr;
                other_line = line;
            }
        if (other != NULL)
            conf_problem_add(rd, line, "listen: '%s' is listened at already, as '%s' of line %u",
                             addr, other, other_line);
    }
}
