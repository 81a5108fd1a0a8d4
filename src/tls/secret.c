/* What is derived from a secret: HKDF over a text that says for what, for which cluster and for
 * whom, so that a key is of use to nobody else and in no other place (TLS-5). */
#include "tls/secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"

#include "base/banned.h"

static const char *const id_labels[] = {
    [TLS_SECRET_PEER] = "ridd 1 peer id", [TLS_SECRET_CLIENT] = "ridd 1 client id"};

static int no_cipher(void)
{
    return err_origin(err_say(-EIO, "the library of ciphers says no to HKDF-SHA256"));
}

/* OpenSSL's parameters point at what is not const, and is only read. */
static bool hkdf(unsigned char *key, size_t key_len, char *info, size_t info_len, void *ret,
                 size_t size)
{
    char digest[] = "SHA256";
    char salt[] = "ridd";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[5];
    bool ok;

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, key_len);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt) - 1);
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, info_len);
    params[4] = OSSL_PARAM_construct_end();
    ok = ctx != NULL && EVP_KDF_derive(ctx, ret, size, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* label NUL cluster NUL name NUL: names hold no NUL, so that no text is two. */
static int derive(const unsigned char *key, size_t key_len, const char *label, const char *cluster,
                  const char *name, void *ret, size_t size)
{
    char info[32 + 2 * (NODE_NAME_BYTES_MAX + 2)];
    unsigned char own_key[TLS_SECRET_BYTES_MAX];
    size_t len = 0;
    bool ok;
    const char *const parts[] = {label, cluster, name};

    for (unsigned i = 0; i < 3; i++) {
        const size_t n = strlen(parts[i]) + 1;

        if (n > sizeof(info) - len)
            return err_origin(err_say(-EINVAL, "a name of a secret is too long"));
        memcpy(info + len, parts[i], n);
        len += n;
    }
    rid_assert(key_len <= sizeof(own_key));
    memcpy(own_key, key, key_len);
    ok = hkdf(own_key, key_len, info, len, ret, size);
    OPENSSL_cleanse(own_key, sizeof(own_key));
    return ok ? 0 : no_cipher();
}

int tls_secret_id(const struct tls_secret *s, enum tls_secret_use use, const char *cluster,
                  unsigned char ret_id[TLS_SECRET_ID_BYTES])
{
    rid_assert(s->name[0] == '\0');
    return err_trace(
        derive(s->bytes, s->len, id_labels[use], cluster, "", ret_id, TLS_SECRET_ID_BYTES));
}

int tls_secret_derive(const struct tls_secret *of, const char *cluster, const char *name,
                      struct tls_secret *ret)
{
    int rc;

    rid_assert(of->name[0] == '\0');
    memset(ret, 0, sizeof(*ret));
    ret->len = TLS_PSK_BYTES;
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    rc = tls_secret_id(of, TLS_SECRET_CLIENT, cluster, ret->id);
    if (rc == 0)
        rc =
            derive(of->bytes, of->len, "ridd 1 client secret", cluster, name, ret->bytes, ret->len);
    return err_trace(rc);
}

int tls_secret_psk(const struct tls_secret *s, enum tls_secret_use use, const char *cluster,
                   const char *name, unsigned char ret_psk[TLS_PSK_BYTES])
{
    struct tls_secret derived;
    int rc;

    if (use == TLS_SECRET_PEER)
        return err_trace(
            derive(s->bytes, s->len, "ridd 1 peer key", cluster, "", ret_psk, TLS_PSK_BYTES));
    if (s->name[0] != '\0')
        return err_trace(
            derive(s->bytes, s->len, "ridd 1 client key", "", "", ret_psk, TLS_PSK_BYTES));
    rc = tls_secret_derive(s, cluster, name, &derived);
    if (rc == 0)
        rc =
            derive(derived.bytes, derived.len, "ridd 1 client key", "", "", ret_psk, TLS_PSK_BYTES);
    OPENSSL_cleanse(&derived, sizeof(derived));
    return err_trace(rc);
}

int tls_secret_seal_key(const struct tls_secret *s, const char *cluster,
                        unsigned char ret_key[TLS_SEAL_KEY_BYTES])
{
    rid_assert(s->name[0] == '\0');
    return err_trace(
        derive(s->bytes, s->len, "ridd 1 seal", cluster, "", ret_key, TLS_SEAL_KEY_BYTES));
}

void tls_secrets_wipe(struct tls_secrets *s)
{
    OPENSSL_cleanse(s, sizeof(*s));
}

/* ---- tokens ---- */

#define TOKEN_PREFIX "ridd_"
#define TOKEN_BYTES  32u
static_assert(sizeof(TOKEN_PREFIX) - 1 + (size_t)2 * TOKEN_BYTES == TLS_TOKEN_TEXT_BYTES,
              "a token's text");

int tls_token_hash(const char *token, size_t len, unsigned char ret_hash[32])
{
    return SHA256((const unsigned char *)token, len, ret_hash) != NULL ? 0 : no_cipher();
}

int tls_token_make(char ret_token[TLS_TOKEN_TEXT_BYTES + 1], char ret_hash[65])
{
    unsigned char raw[TOKEN_BYTES];
    unsigned char hash[32];
    int rc;

    if (RAND_bytes(raw, sizeof(raw)) != 1)
        return err_origin(err_say(-EIO, "there are no random bytes"));
    (void)snprintf(ret_token, TLS_TOKEN_TEXT_BYTES + 1, TOKEN_PREFIX);
    for (unsigned i = 0; i < TOKEN_BYTES; i++)
        (void)snprintf(ret_token + strlen(TOKEN_PREFIX) + (size_t)2 * i, 3, "%02x", raw[i]);
    OPENSSL_cleanse(raw, sizeof(raw));
    rc = tls_token_hash(ret_token, TLS_TOKEN_TEXT_BYTES, hash);
    for (unsigned i = 0; rc == 0 && i < sizeof(hash); i++)
        (void)snprintf(ret_hash + (size_t)2 * i, 3, "%02x", hash[i]);
    return err_trace(rc);
}
