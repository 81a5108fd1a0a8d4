/* Contexts: which TLS is spoken, the same for all of its uses (TLS-1). */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "tls/tls_int.h"

#include "base/banned.h"

/* All of one hash, which is that of the secrets: with another one OpenSSL would pass a secret
 * over. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256"

/* A key that is locked by a pass phrase: there is nobody to ask. */
static int no_phrase(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)ctx;
    return 0;
}

/* Nothing is resumed (TLS-2): a session that goes on would be judged by a certificate, a secret and
 * authorities that are not in force any more, and early data can be sent twice by anybody. */
static void nothing_is_resumed(SSL_CTX *x)
{
    (void)SSL_CTX_set_options(x, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(x, 0);
    (void)SSL_CTX_set_max_early_data(x, 0);
    (void)SSL_CTX_set_recv_max_early_data(x, 0);
}

static SSL_CTX *new_side(const struct tls_ctx *c, enum tls_side side)
{
    SSL_CTX *x = SSL_CTX_new(side == TLS_ACCEPT ? TLS_server_method() : TLS_client_method());

    if (x == NULL)
        return NULL;
    if (SSL_CTX_set_min_proto_version(x, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(x, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(x, SUITES) != 1 || SSL_CTX_set1_groups_list(x, GROUPS) != 1) {
        SSL_CTX_free(x);
        return NULL;
    }
    nothing_is_resumed(x);
    /* A secret is a session to OpenSSL, and one without this is not taken where certificates are
     * asked for, too. */
    if (side == TLS_ACCEPT)
        (void)SSL_CTX_set_session_id_context(x, (const unsigned char *)"ridd", 4);
    (void)SSL_CTX_set_options(x, SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* Frames have their own length and checksum: cut off they are none. Lines of clients do not,
     * and there the end is looked at. */
    if (c->use == TLS_PEERS)
        (void)SSL_CTX_set_options(x, SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_clear_mode(x, SSL_MODE_AUTO_RETRY);
    (void)SSL_CTX_set_mode(x, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(x, no_phrase);
    return x;
}

static int no_context(void)
{
    ERR_clear_error();
    return err_origin(err_say(-ENOMEM, "cannot make a context of TLS: out of memory, or a library "
                                       "of ciphers that was told not to"));
}

static void cleanup_ctx_fn(struct tls_ctx **c)
{
    tls_ctx_unref(*c);
}

/* A client's secret serves nobody: what it was derived from is not here. */
static int take_secrets(struct tls_ctx *c, const struct tls_conf *conf)
{
    const bool derived = conf->secrets->n > 0 && conf->secrets->of[0].name[0] != '\0';
    int rc = 0;

    if (derived && conf->use == TLS_PEERS)
        return err_origin(err_say(-EINVAL,
                                  "the secret is one of a client ('%s'), and no node can "
                                  "be made with it",
                                  conf->secrets->of[0].name));
    if (!derived && c->cluster[0] == '\0')
        return err_origin(err_say(-EINVAL, "the secret is a cluster's own, and which cluster is "
                                           "not known: its name is needed"));
    c->secrets = *conf->secrets;
    for (unsigned i = 0; i < c->secrets.n && rc == 0 && !derived; i++)
        rc = tls_secret_id(&c->secrets.of[i],
                           c->use == TLS_PEERS ? TLS_SECRET_PEER : TLS_SECRET_CLIENT, c->cluster,
                           c->ids[i]);
    return err_trace(rc);
}

static bool is_named(const char *file)
{
    return file != NULL && file[0] != '\0';
}

int tls_ctx_new(const struct tls_conf *conf, struct tls_ctx **ret)
{
    CLEANUP(ctx) struct tls_ctx *c = calloc(1, sizeof(*c));
    int rc = 0;

    if (c == NULL)
        return no_context();
    atomic_init(&c->n_refs, 1);
    c->use = conf->use;
    (void)snprintf(c->cluster, sizeof(c->cluster), "%s",
                   conf->cluster != NULL ? conf->cluster : "");
    if (conf->secrets == NULL && !is_named(conf->cert_file) && !is_named(conf->ca_file))
        return err_origin(err_say(-EINVAL, "TLS needs a secret or certificates"));
    c->accept = new_side(c, TLS_ACCEPT);
    c->dial = new_side(c, TLS_DIAL);
    if (c->accept == NULL || c->dial == NULL)
        return no_context();
    if (conf->secrets != NULL)
        rc = take_secrets(c, conf);
    if (rc == 0)
        rc = tls_certificate_load(c, conf);
    if (rc != 0)
        return err_trace(rc);
    tls_certificate_demand(c);
    tls_psk_set(c);
    *ret = take_ptr(c);
    return 0;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
    atomic_fetch_add(&c->n_refs, 1);
    return c;
}

void tls_ctx_unref(struct tls_ctx *c)
{
    if (c == NULL || atomic_fetch_sub(&c->n_refs, 1) > 1)
        return;
    SSL_CTX_free(c->accept);
    SSL_CTX_free(c->dial);
    OPENSSL_cleanse(&c->secrets, sizeof(c->secrets));
    free(c);
}

bool tls_ctx_may_accept(const struct tls_ctx *c)
{
    return c->has_certificate || (c->secrets.n > 0 && c->secrets.of[0].name[0] == '\0');
}

unsigned tls_ctx_expiries(const struct tls_ctx *c, struct tls_expiry ret[TLS_EXPIRIES_MAX])
{
    memcpy(ret, c->expiries, sizeof(c->expiries[0]) * c->n_expiries);
    return c->n_expiries;
}

bool tls_ctx_accepts(const struct tls_ctx *c, const unsigned char secret_id[TLS_SECRET_ID_BYTES])
{
    for (unsigned i = 0; i < c->secrets.n && c->secrets.of[0].name[0] == '\0'; i++)
        if (memcmp(c->ids[i], secret_id, TLS_SECRET_ID_BYTES) == 0)
            return true;
    return false;
}

bool tls_ctx_seal_key(const struct tls_ctx *c, unsigned char ret_key[TLS_SEAL_KEY_BYTES])
{
    return c->secrets.n > 0 && c->secrets.of[0].name[0] == '\0' &&
           tls_secret_seal_key(&c->secrets.of[0], c->cluster, ret_key) == 0;
}
