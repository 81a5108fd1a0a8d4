/* What [security] says, held against itself and against the addresses of the file: what stands
 * beyond loopback is encrypted, or somebody has said that it is not. */
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "conf/reading_int.h"

#include "base/banned.h"

/* A group of files that go together. */
struct group {
    const char *names[3];
    unsigned n;
};
static const struct group groups[] = {
    {{"peer_cert", "peer_key", "peer_ca"}, 3},
    {{"client_cert", "client_key"}, 2},
};

static const struct conf_key *key_of(const char *name)
{
    return &conf_keys[conf_key_at(CONF_SECURITY, name)];
}

static bool is_given(const struct conf *c, const char *name)
{
    return *((const char *)c + key_of(name)->offset) != '\0';
}

static unsigned line_of(const struct reading *rd, const char *name)
{
    return rd->key_lines[key_of(name) - conf_keys];
}

/* A file that is given without another of its group. */
static void check_group(struct reading *rd, const struct group *g)
{
    const char *given = NULL;
    const char *missing = NULL;

    for (unsigned i = g->n; i-- > 0;)
        *(is_given(rd->c, g->names[i]) ? &given : &missing) = g->names[i];
    if (given == NULL || missing == NULL)
        return;
    if (g->n == 3)
        conf_problem_add(rd, line_of(rd, given), "%s without %s: %s, %s and %s go together", given,
                         missing, g->names[0], g->names[1], g->names[2]);
    else
        conf_problem_add(rd, line_of(rd, given), "%s without %s: they go together", given, missing);
}

static void check_keys(struct reading *rd)
{
    const struct conf *c = rd->c;

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        check_group(rd, &groups[i]);
    if (is_given(c, "client_ca") && !conf_has_client_tls(c))
        conf_problem_add(rd, line_of(rd, "client_ca"),
                         "client_ca without client_cert or secret_file: clients are not spoken "
                         "with by TLS, so none shows a certificate");
    /* One of the two lines is a mistake, and which is not known. */
    if (c->security.insecure && conf_has_peer_tls(c))
        conf_problem_add(rd, line_of(rd, "insecure"),
                         "insecure = yes says that nothing is encrypted, and %s says otherwise",
                         is_given(c, "secret_file") ? "secret_file" : "peer_cert");
}

bool conf_address_is_loopback(const char *addr)
{
    char host[ADDRESS_BYTES_MAX + 1];
    char port[8];

    return address_split(addr, host, sizeof(host), port, sizeof(port)) &&
           address_host_is_loopback(host);
}

/* Whoever reaches a peer address speaks as a node, where nobody proves who they are: beyond this
 * host that is allowed only to who has written it (CONF-1). */
static void check_peers(struct reading *rd)
{
    const struct conf *c = rd->c;
    const struct conf_peer *first = NULL;
    char esc[LOG_ESC_BUF];

    if (conf_has_peer_tls(c) || c->security.insecure)
        return;
    for (unsigned i = 0; i < c->n_peers; i++) {
        const struct conf_peer *p = &c->peers[i];

        if (p->peer_addr[0] != '\0' && !conf_address_is_loopback(p->peer_addr) &&
            (first == NULL || p->line < first->line))
            first = p;
    }
    if (first != NULL)
        conf_problem_add(rd, first->line,
                         "%s is not of loopback, and [security] does not say how nodes know each "
                         "other: give secret_file (make one with `ridd --make-secret FILE`), or "
                         "peer_cert, peer_key and peer_ca, or insecure = yes",
                         log_esc(esc, sizeof(esc), first->peer_addr, strlen(first->peer_addr)));
}

bool conf_http_is_tls(const char *addr, enum conf_scheme scheme)
{
    return scheme == CONF_SCHEME_TLS ||
           (scheme == CONF_SCHEME_DEFAULT && !conf_address_is_loopback(addr));
}

/* Written tls://: there must be something to speak it with (CONF-2). */
static void check_scheme(struct reading *rd, unsigned line, enum conf_scheme scheme,
                         const char *addr)
{
    char text[ADDRESS_BYTES_MAX + 16];
    char esc[LOG_ESC_BUF];

    if (scheme != CONF_SCHEME_TLS || conf_has_client_tls(rd->c))
        return;
    (void)snprintf(text, sizeof(text), "%s%s", conf_client_schemes.tls, addr);
    conf_problem_add(rd, line, "%s needs secret_file or client_cert in [security]",
                     log_esc(esc, sizeof(esc), text, strlen(text)));
}

/* What HTTP tells goes over the network in plain text, and nobody is asked who they are: on this
 * host alone (HTTP-1). Who looks knows servers by certificates, and by nothing else. */
static void check_http(struct reading *rd, unsigned line, const char *key, const char *addr,
                       enum conf_scheme scheme)
{
    const bool is_loopback = conf_address_is_loopback(addr);
    char text[ADDRESS_BYTES_MAX + 16];
    char esc[LOG_ESC_BUF];

    if (addr[0] == '\0')
        return;
    (void)snprintf(text, sizeof(text), "%s%s",
                   scheme == CONF_SCHEME_TLS ? conf_http_schemes.tls : "", addr);
    (void)log_esc(esc, sizeof(esc), text, strlen(text));
    if (conf_http_is_tls(addr, scheme) && rd->c->security.client_cert[0] != '\0')
        return;
    if (scheme == CONF_SCHEME_TLS)
        conf_problem_add(rd, line, "%s%s needs client_cert in [security]", key, esc);
    else if (!is_loopback)
        conf_problem_add(rd, line,
                         "%s%s is not of loopback (127.0.0.1, [::1], localhost), and HTTP is "
                         "answered there by TLS alone, with client_cert in [security]: see [http] "
                         "in ridd.conf(5)",
                         key, esc);
}

static void check_addresses(struct reading *rd)
{
    const struct conf *c = rd->c;

    for (unsigned i = 0; i < c->n_peers; i++) {
        const struct conf_peer *p = &c->peers[i];

        check_scheme(rd, p->line, p->client_scheme, p->client_addr);
        check_http(rd, p->line, "", p->http_addr, p->http_scheme);
    }
    check_http(rd, rd->key_lines[conf_key_at(CONF_HTTP, "address")], "address = ", c->http_addr,
               c->http_scheme);
    for (unsigned i = 0; i < c->n_listen; i++)
        check_scheme(rd, rd->key_lines[conf_key_at(CONF_NODE, "listen")], c->listen[i].scheme,
                     c->listen[i].addr);
}

static const char *open_address(const struct conf *c)
{
    for (unsigned i = 0; i < c->n_peers; i++) {
        const struct conf_peer *p = &c->peers[i];

        if ((c->self == NULL || c->self == p) && !conf_address_is_loopback(p->client_addr))
            return p->client_addr;
    }
    for (unsigned i = 0; i < c->n_listen; i++)
        if (!conf_address_is_loopback(c->listen[i].addr))
            return c->listen[i].addr;
    return NULL;
}

/* No mistake: the network may be one that is trusted. But links that are safe do not say so, nor
 * peers of one host, nor lines of [access] that are of the local socket (CONF-5). */
bool conf_open_warning(const struct conf *c, char *ret_text, size_t size)
{
    const char *addr = !conf_asks_who(c) && !c->security.insecure ? open_address(c) : NULL;

    if (addr == NULL)
        return false;
    (void)snprintf(
        ret_text, size,
        "whoever reaches %s may do everything, and is asked nothing: give secret_file or "
        "client_cert in [security], or in [access] who may come by TCP",
        addr);
    return true;
}

void conf_finish_security(struct reading *rd)
{
    /* Of what was not understood nobody knows what it says. */
    if (rd->section_meant[CONF_SECURITY] || rd->security_unclear)
        return;
    check_keys(rd);
    check_peers(rd);
    check_addresses(rd);
}
