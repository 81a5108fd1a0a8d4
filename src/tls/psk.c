/* Secrets as pre-shared keys of TLS 1.3, always with a fresh exchange of keys beside them
 * (psk_dhe): who learns a secret later reads nothing of what was said before.
 *
 * Which secret it is about is said in the open: "ridd1 p ID" between nodes, "ridd1 c ID NAME" by a
 * client. ID is derived from secret and cluster, so that two clusters with one secret do not take
 * each other's. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "tls/tls_int.h"

#include "base/banned.h"

#define PREFIX     "ridd1 "
#define PREFIX_LEN (sizeof(PREFIX) - 1)

static const char use_letters[] = {[TLS_PEERS] = 'p', [TLS_CLIENTS] = 'c'};

static enum tls_secret_use use_of(const struct tls_ctx *c)
{
    return c->use == TLS_PEERS ? TLS_SECRET_PEER : TLS_SECRET_CLIENT;
}

/* A session that was never had, as OpenSSL wants it. NULL: no memory. */
static SSL_SESSION *make_session(SSL *ssl, const unsigned char psk[TLS_PSK_BYTES])
{
    static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
    SSL_SESSION *session = SSL_SESSION_new();

    if (session == NULL || cipher == NULL ||
        SSL_SESSION_set1_master_key(session, psk, TLS_PSK_BYTES) != 1 ||
        SSL_SESSION_set_cipher(session, cipher) != 1 ||
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1) {
        SSL_SESSION_free(session);
        return NULL;
    }
    return session;
}

static SSL_SESSION *session_of(SSL *ssl, const struct tls_ctx *c, const struct tls_secret *secret,
                               const char *name)
{
    unsigned char psk[TLS_PSK_BYTES];
    SSL_SESSION *session = NULL;

    if (tls_secret_psk(secret, use_of(c), c->cluster, name, psk) == 0)
        session = make_session(ssl, psk);
    OPENSSL_cleanse(psk, sizeof(psk));
    return session;
}

/* ---- who is called ---- */

static bool is_client_name(const unsigned char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((s[i] < 'a' || s[i] > 'z') && (s[i] < 'A' || s[i] > 'Z') &&
            (s[i] < '0' || s[i] > '9') && s[i] != '_' && s[i] != '-')
            return false;
    return len <= NODE_NAME_BYTES_MAX;
}

/* ID and name of an identity of our use; false: it is none. */
static bool take_apart(const struct tls_stream *s, const unsigned char *identity, size_t len,
                       unsigned char ret_id[TLS_SECRET_ID_BYTES], char *ret_name)
{
    const size_t id_at = PREFIX_LEN + 2;
    const size_t name_at = id_at + 2 * (size_t)TLS_SECRET_ID_BYTES + 1;
    char hex[2 * TLS_SECRET_ID_BYTES + 1] = "";
    const bool peer = s->ctx->use == TLS_PEERS;
    size_t n = 0;

    if (len < name_at - 1 || (peer && len != name_at - 1) || (!peer && len < name_at) ||
        memcmp(identity, PREFIX, PREFIX_LEN) != 0 ||
        identity[PREFIX_LEN] != (unsigned char)use_letters[s->ctx->use] ||
        identity[PREFIX_LEN + 1] != ' ' || (!peer && identity[name_at - 1] != ' '))
        return false;
    memcpy(hex, identity + id_at, sizeof(hex) - 1);
    if (OPENSSL_hexstr2buf_ex(ret_id, TLS_SECRET_ID_BYTES, &n, hex, '\0') != 1 ||
        n != TLS_SECRET_ID_BYTES)
        return false;
    ret_name[0] = '\0';
    if (peer)
        return true;
    if (!is_client_name(identity + name_at, len - name_at))
        return false;
    memcpy(ret_name, identity + name_at, len - name_at);
    ret_name[len - name_at] = '\0';
    return true;
}

/* 1 without a session: the handshake goes on without it, and ends where there is no certificate. */
static int find_session(SSL *ssl, const unsigned char *identity, size_t len, SSL_SESSION **ret)
{
    struct tls_stream *s = tls_stream_of(ssl);
    struct tls_ctx *c = s != NULL ? s->ctx : NULL;
    unsigned char id[TLS_SECRET_ID_BYTES];
    char name[NODE_NAME_BYTES_MAX + 1];

    *ret = NULL;
    if (c == NULL || !take_apart(s, identity, len, id, name))
        return 1;
    for (unsigned i = 0; i < c->secrets.n; i++) {
        if (CRYPTO_memcmp(id, c->ids[i], sizeof(id)) != 0)
            continue;
        *ret = session_of(ssl, c, &c->secrets.of[i], name);
        memcpy(s->psk_id, id, sizeof(id));
        memcpy(s->psk_name, name, sizeof(name));
        return *ret != NULL;
    }
    return 1;
}

/* ---- who calls ---- */

static void say_identity(struct tls_stream *s, const unsigned char id[TLS_SECRET_ID_BYTES],
                         const char *name)
{
    size_t len = (size_t)snprintf(s->psk_identity, sizeof(s->psk_identity), PREFIX "%c ",
                                  use_letters[s->ctx->use]);

    for (unsigned i = 0; i < TLS_SECRET_ID_BYTES; i++)
        len +=
            (size_t)snprintf(s->psk_identity + len, sizeof(s->psk_identity) - len, "%02x", id[i]);
    if (s->ctx->use == TLS_CLIENTS)
        (void)snprintf(s->psk_identity + len, sizeof(s->psk_identity) - len, " %s", name);
}

/* The first secret of the file (TLS-6). */
static int use_session(SSL *ssl, const EVP_MD *md, const unsigned char **ret_identity,
                       size_t *ret_len, SSL_SESSION **ret)
{
    struct tls_stream *s = tls_stream_of(ssl);
    struct tls_ctx *c = s->ctx;
    const struct tls_secret *secret = &c->secrets.of[0];
    const unsigned char *id = secret->name[0] != '\0' ? secret->id : c->ids[0];

    *ret = NULL;
    if (md != NULL && !EVP_MD_is_a(md, "SHA256"))
        return 1;
    *ret = session_of(ssl, c, secret, secret->name);
    if (*ret == NULL)
        return 0;
    say_identity(s, id, secret->name);
    memcpy(s->psk_id, id, sizeof(s->psk_id));
    *ret_identity = (const unsigned char *)s->psk_identity;
    *ret_len = strlen(s->psk_identity);
    return 1;
}

void tls_psk_set(struct tls_ctx *c)
{
    if (c->secrets.n == 0)
        return;
    SSL_CTX_set_psk_use_session_callback(c->dial, use_session);
    if (c->secrets.of[0].name[0] == '\0')
        SSL_CTX_set_psk_find_session_callback(c->accept, find_session);
}
