#include "load/keyring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

static bool is_given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

static const char *given(const char *option, const char *variable)
{
    const char *s = option != NULL || variable == NULL ? option : getenv(variable);

    return is_given(s) ? s : NULL;
}

bool keyring_is_empty(const struct ridd_tls *tls)
{
    return tls->ca_file == NULL && tls->secret_file == NULL && tls->token == NULL &&
           tls->token_file == NULL && tls->cert_file == NULL;
}

/* A credential of systemd's is the node's alone. */
static bool may_read(const char *file)
{
    return file[0] == '/' && access(file, R_OK) == 0;
}

/* The secret, which is the cluster's own and gives all rights; or the authority that its clients'
 * certificates come from, which is often that of its own. */
static bool take_of_conf(const struct conf *conf, struct ridd_tls *ret, char *why, size_t size)
{
    const struct conf_security *s = &conf->security;

    if (may_read(s->secret_file)) {
        ret->secret_file = s->secret_file;
        return true;
    }
    if (may_read(s->client_ca)) {
        ret->ca_file = s->client_ca;
        return true;
    }
    if (s->secret_file[0] == '\0' && s->client_ca[0] == '\0')
        (void)snprintf(why, size,
                       "clients are asked for TLS there, and it does not say which authority the "
                       "nodes' certificates come from: give --ca FILE");
    else
        (void)snprintf(why, size,
                       "clients are asked for TLS there, and '%s' may not be read by this user: "
                       "try sudo, or give --secret FILE or --ca FILE",
                       s->secret_file[0] != '\0' ? s->secret_file : s->client_ca);
    return false;
}

/* Where all addresses are tcp:// nobody needs to be known. */
static bool is_tls_spoken(const struct conf *conf)
{
    for (unsigned i = 0; i < conf->n_peers; i++)
        if (conf_is_tls(conf, conf->peers[i].client_scheme))
            return true;
    return conf->n_peers == 0;
}

bool keyring_fill(const struct keyring *k, const struct conf *conf, struct ridd_tls *ret, char *why,
                  size_t size)
{
    struct ridd_tls tls;

    memset(&tls, 0, sizeof(tls));
    tls.ca_file = given(k->ca, "RIDCTL_CA");
    tls.cert_file = given(k->cert, "RIDCTL_CERT");
    tls.key_file = given(k->key, "RIDCTL_KEY");
    tls.secret_file = given(k->secret, "RIDCTL_SECRET");
    tls.cluster = given(k->cluster, "RIDCTL_CLUSTER");
    tls.server_name = given(k->server_name, NULL);
    tls.token_file = given(k->token_file, "RIDCTL_TOKEN_FILE");
    if (tls.token_file == NULL)
        tls.token = given(NULL, "RIDCTL_TOKEN");
    if (conf != NULL && tls.cluster == NULL)
        tls.cluster = conf->cluster_name;
    *ret = tls;
    if (conf == NULL || !conf_has_client_tls(conf) || tls.ca_file != NULL ||
        tls.secret_file != NULL)
        return true;
    return take_of_conf(conf, ret, why, size) || !is_tls_spoken(conf);
}

bool keyring_endpoint(const struct conf *conf, const struct conf_peer *peer, char *ret, size_t size)
{
    const bool is_bare = peer->client_scheme == CONF_SCHEME_DEFAULT && !conf_has_client_tls(conf);
    const char *scheme = "tcp://";

    if (is_bare)
        scheme = "";
    else if (conf_is_tls(conf, peer->client_scheme))
        scheme = "tls://";
    return (size_t)snprintf(ret, size, "%s%s", scheme, peer->client_addr) < size;
}

bool keyring_check(const char *endpoints, const struct ridd_tls *tls, char *why, size_t size)
{
    const bool knows = tls->ca_file != NULL || tls->secret_file != NULL;

    if (!knows && strstr(endpoints, "tls://") != NULL)
        (void)snprintf(why, size,
                       "nothing says how to know a server at tls://: give --ca FILE or --secret "
                       "FILE (or $RIDCTL_CA, $RIDCTL_SECRET)");
    else if (!knows && tls->cert_file != NULL)
        (void)snprintf(why, size,
                       "a certificate alone does not tell who the server is: give --ca FILE or "
                       "--secret FILE, too");
    else
        return true;
    return false;
}
