/* Lines of [access] that name somebody, and who they are by an address: certificates, secrets and
 * tokens. Nothing of it has to be looked up. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "node/access_int.h"

#include "base/banned.h"

static_assert(CONF_GRANTS_MAX <= 64, "each grant has a bit");
static_assert(CONF_TOKEN_DIGITS == 2 * ACCESS_HASH_BYTES, "a byte has two digits");
static_assert(SERVICE_READ == (int)CONF_ROLE_READ && SERVICE_WRITE == (int)CONF_ROLE_WRITE &&
                  SERVICE_ADMIN == (int)CONF_ROLE_ADMIN,
              "a role of the file is a role");

/* ---- lines ---- */

static unsigned digit(char c)
{
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* The file was read without a problem: it is as long as it must be. */
static void hash_of(const char *hex, unsigned char ret[ACCESS_HASH_BYTES])
{
    rid_assert(strlen(hex) == CONF_TOKEN_DIGITS);
    for (size_t i = 0; i < ACCESS_HASH_BYTES; i++)
        ret[i] = (unsigned char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
}

void access_add(struct access_grants *grants, const struct conf_grant *g, uint32_t id)
{
    struct access_grant *e;

    rid_assert(grants->n < CONF_GRANTS_MAX);
    e = &grants->of[grants->n++];
    *e = (struct access_grant){
        .kind = g->kind, .role = (enum service_role)g->role, .id = id, .has_prefix = g->has_prefix};
    if (g->kind == CONF_GRANT_TOKEN)
        hash_of(g->who, e->token_hash);
    else
        (void)snprintf(e->who, sizeof(e->who), "%s", g->who);
    (void)snprintf(e->name, sizeof(e->name), "%s", g->name);
    (void)snprintf(e->prefix, sizeof(e->prefix), "%s", g->prefix);
}

void access_of_addresses(const struct conf *conf, struct access_remote *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->asks = conf_asks_who(conf);
    for (unsigned i = 0; i < conf->n_grants; i++)
        if (conf->grants[i].kind != CONF_GRANT_USER && conf->grants[i].kind != CONF_GRANT_GROUP)
            access_add(&ret->grants, &conf->grants[i], 0);
}

/* ---- rights ---- */

void access_join(struct access_right *right, const struct access_grant *g, unsigned i)
{
    if (g->has_prefix)
        right->prefixed |= UINT64_C(1) << i;
    else if (g->role > right->role)
        right->role = g->role;
}

unsigned access_prefixed(const struct access_grants *grants, uint64_t prefixed,
                         struct service_grant ret[CONF_GRANTS_MAX])
{
    unsigned n = 0;

    for (unsigned i = 0; i < grants->n; i++) {
        const struct access_grant *g = &grants->of[i];

        if ((prefixed >> i & 1) != 0)
            ret[n++] = (struct service_grant){g->role, {g->prefix, strlen(g->prefix)}};
    }
    return n;
}

enum service_role access_highest(const struct access_grants *grants,
                                 const struct access_right *right)
{
    enum service_role role = right->role;

    for (unsigned i = 0; i < grants->n; i++)
        if ((right->prefixed >> i & 1) != 0 && grants->of[i].role > role)
            role = grants->of[i].role;
    return role;
}

/* Whatever the bytes are it takes the same time: how long it took says nothing of a hash
 * (ACCESS-12). */
static bool same_hash(const unsigned char *a, const unsigned char *b)
{
    volatile unsigned char differs = 0;

    for (unsigned i = 0; i < ACCESS_HASH_BYTES; i++)
        differs = (unsigned char)(differs | (a[i] ^ b[i]));
    return differs == 0;
}

const struct access_grant *access_find_token(const struct access_remote *a,
                                             const unsigned char hash[ACCESS_HASH_BYTES])
{
    const struct access_grant *found = NULL;

    for (unsigned i = 0; i < a->grants.n; i++) /* to the end, whichever it is */
        if (a->grants.of[i].kind == CONF_GRANT_TOKEN && same_hash(a->grants.of[i].token_hash, hash))
            found = &a->grants.of[i];
    return found;
}

/* Of a client's secret; the cluster's own has no name. */
static bool is_secret(const struct tls_identity *id, const char *name)
{
    return id->kind == TLS_SECRET && strcmp(id->names, name) == 0;
}

static bool names(const struct access_grant *g, const struct access_caller *caller)
{
    switch (g->kind) {
    case CONF_GRANT_ANY:
        return true;
    case CONF_GRANT_CERT:
        return caller->identity != NULL && caller->identity->kind == TLS_CERTIFICATE &&
               tls_identity_has(caller->identity, g->who);
    case CONF_GRANT_SECRET:
        return caller->identity != NULL && is_secret(caller->identity, g->who);
    case CONF_GRANT_TOKEN:
        return caller->token_hash != NULL && same_hash(g->token_hash, caller->token_hash);
    case CONF_GRANT_USER: /* of another host, who is nobody here */
    case CONF_GRANT_GROUP:
    case CONF_GRANT_KINDS:
        break;
    }
    return false;
}

/* The sum of all lines, each by its own kind. Whoever has the cluster's own secret can speak as any
 * of its nodes, and be admin by that (ACCESS-13). */
void access_judge_remote(const struct access_remote *a, const struct access_caller *caller,
                         struct access_right *ret)
{
    *ret = (struct access_right){.role = a->asks ? SERVICE_NONE : SERVICE_ADMIN};
    if (caller->identity != NULL && is_secret(caller->identity, ""))
        ret->role = SERVICE_ADMIN;
    for (unsigned i = 0; i < a->grants.n; i++)
        if (names(&a->grants.of[i], caller))
            access_join(ret, &a->grants.of[i], i);
}

/* ---- words ---- */

void access_add_words(char *text, size_t size, const char *more, size_t len)
{
    size_t at = strlen(text);

    for (size_t i = 0; i < len && at + 1 < size; i++) {
        const bool plain = more[i] >= 0x20 && more[i] < 0x7f && more[i] != '\'' && more[i] != '"';

        text[at++] = (char)(plain ? more[i] : '?');
    }
    text[at] = '\0';
}

static void say(char *text, size_t size, const char *words)
{
    access_add_words(text, size, words, strlen(words));
}

static const struct access_grant *line_of(const struct access_remote *a,
                                          const struct access_caller *caller,
                                          enum conf_grant_kind kind)
{
    for (unsigned i = 0; i < a->grants.n; i++)
        if (a->grants.of[i].kind == kind && names(&a->grants.of[i], caller))
            return &a->grants.of[i];
    return NULL;
}

static void say_line(const struct access_grant *g, char *ret, size_t size)
{
    if (g == NULL)
        return;
    say(ret, size, " (");
    say(ret, size, g->name);
    say(ret, size, ")");
}

static enum service_identity say_identity(const struct access_remote *a,
                                          const struct access_caller *caller, char *ret,
                                          size_t size)
{
    const struct tls_identity *id = caller->identity;

    if (id != NULL && id->kind == TLS_CERTIFICATE) {
        const struct access_grant *g = line_of(a, caller, CONF_GRANT_CERT);
        const char *name = g != NULL ? g->who : id->names;

        say(ret, size, "certificate ");
        access_add_words(ret, size, name, strcspn(name, "\n"));
        say_line(g, ret, size);
        return SERVICE_BY_CERT;
    }
    if (id != NULL && id->kind == TLS_SECRET && id->names[0] == '\0') {
        say(ret, size, "the secret of the cluster");
        return SERVICE_BY_SECRET;
    }
    if (id != NULL && id->kind == TLS_SECRET) {
        say(ret, size, "secret ");
        say(ret, size, id->names);
        say_line(line_of(a, caller, CONF_GRANT_SECRET), ret, size);
        return SERVICE_BY_SECRET;
    }
    say(ret, size, id != NULL ? "nobody (TLS, without a certificate or secret)" : "nobody (TCP)");
    return SERVICE_BY_NOBODY;
}

const char *access_who_remote(const struct access_remote *a, const struct access_caller *caller,
                              enum service_identity *ret_kind, char *ret, size_t size)
{
    const struct access_grant *token =
        caller->token_hash != NULL ? access_find_token(a, caller->token_hash) : NULL;

    ret[0] = '\0';
    *ret_kind = say_identity(a, caller, ret, size);
    if (caller->token_hash == NULL)
        return ret;
    if (*ret_kind == SERVICE_BY_NOBODY)
        ret[0] = '\0';
    else
        say(ret, size, ", ");
    *ret_kind = SERVICE_BY_TOKEN;
    say(ret, size, "token ");
    say(ret, size, token != NULL ? token->name : "that [access] knows no more");
    return ret;
}
