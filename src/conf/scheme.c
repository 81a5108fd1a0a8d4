/* How an address is spoken at: the word before it, and what it comes to where there is none. */
#include <string.h>

#include "base/address.h"
#include "conf/conf_int.h"

#include "base/banned.h"

const struct conf_schemes conf_client_schemes = {
    "tls://", "tcp://", "has a word before '://' that is neither tls nor tcp"};
const struct conf_schemes conf_http_schemes = {
    "https://", "http://", "has a word before '://' that is neither https nor http"};

const char *conf_parse_scheme(const char **text, const struct conf_schemes *s,
                              enum conf_scheme *ret)
{
    *ret = CONF_SCHEME_DEFAULT;
    if (strncmp(*text, s->tls, strlen(s->tls)) == 0) {
        *text += strlen(s->tls);
        *ret = CONF_SCHEME_TLS;
    } else if (strncmp(*text, s->plain, strlen(s->plain)) == 0) {
        *text += strlen(s->plain);
        *ret = CONF_SCHEME_PLAIN;
    } else if (strstr(*text, "://") != NULL) {
        return s->wrong;
    }
    return NULL;
}

const char *conf_parse_address(const char *text, const struct conf_schemes *s, char *ret,
                               enum conf_scheme *ret_scheme)
{
    enum conf_scheme scheme;
    const char *wrong = conf_parse_scheme(&text, s, &scheme);

    if (wrong == NULL)
        wrong = address_normal(text, ret);
    if (wrong == NULL)
        *ret_scheme = scheme;
    return wrong;
}

const char *conf_scheme_text(const struct conf_schemes *s, enum conf_scheme scheme)
{
    switch (scheme) {
    case CONF_SCHEME_TLS:
        return s->tls;
    case CONF_SCHEME_PLAIN:
        return s->plain;
    case CONF_SCHEME_DEFAULT:
        break;
    }
    return "";
}

bool conf_has_peer_tls(const struct conf *c)
{
    return c->security.secret_file[0] != '\0' || c->security.peer_cert[0] != '\0';
}

bool conf_has_client_tls(const struct conf *c)
{
    return c->security.secret_file[0] != '\0' || c->security.client_cert[0] != '\0';
}

bool conf_is_tls(const struct conf *c, enum conf_scheme scheme)
{
    return scheme == CONF_SCHEME_DEFAULT ? conf_has_client_tls(c) : scheme == CONF_SCHEME_TLS;
}
