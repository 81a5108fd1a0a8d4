/* Certificates: the files of our side, what is asked of the other side's, and whose they are.
 *
 * A node's certificate names node and cluster in one entry of its SAN, URI:ridd://CLUSTER/NODE, so
 * that no node of another cluster, and no client, of the same authority is taken for one (TLS-9).
 * It is used on both sides: an extended key usage, if it has one, must allow both. */
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "tls/tls_int.h"

#include "base/banned.h"

/* ---- our files ---- */

static int openssl_says(const char *what, const char *path)
{
    const unsigned long e = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(e);
    char words[128];

    (void)snprintf(words, sizeof(words), "%s", reason != NULL ? reason : "it says nothing of why");
    if (ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE)
        (void)snprintf(words, sizeof(words), "nothing of the kind stands in it (PEM)");
    else if (ERR_GET_REASON(e) == PEM_R_BAD_PASSWORD_READ)
        (void)snprintf(words, sizeof(words),
                       "it is locked by a pass phrase, and there is nobody to ask; `openssl pkey` "
                       "unlocks it");
    ERR_clear_error();
    return err_origin(err_say(-EINVAL, "%s '%s': %s", what, path, words));
}

/* It is no pipe that would be waited for. */
static int check_file(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return err_origin_errno("open", path);
    if (!S_ISREG(st.st_mode))
        return err_origin(err_say(-EINVAL, "'%s' is no regular file", path));
    return 0;
}

static int64_t seconds(const ASN1_TIME *t)
{
    ASN1_TIME *const epoch = ASN1_TIME_set(NULL, 0);
    int days = 0;
    int rest = 0;
    const bool ok = epoch != NULL && ASN1_TIME_diff(&days, &rest, epoch, t) == 1;

    ASN1_TIME_free(epoch);
    return ok ? (int64_t)days * 86400 + rest : 0;
}

static void take_expiry(const char *what, const char *path, const X509 *x, struct tls_expiry *ret)
{
    ret->what = what;
    (void)snprintf(ret->file, sizeof(ret->file), "%.*s", (int)TLS_FILE_BYTES_MAX, path);
    (void)X509_NAME_oneline(X509_get_subject_name(x), ret->subject, sizeof(ret->subject));
    ret->not_before_s = seconds(X509_get0_notBefore(x));
    ret->not_after_s = seconds(X509_get0_notAfter(x));
}

/* Of all certificates of the file that which ends first. */
static int note_expiry(struct tls_ctx *c, const char *what, const char *path)
{
    struct tls_expiry first = {.what = NULL};
    struct tls_expiry e = {.what = NULL};
    BIO *bio = BIO_new_file(path, "r");
    X509 *x;

    if (bio == NULL)
        return openssl_says("cannot read", path);
    while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        take_expiry(what, path, x, &e);
        if (first.what == NULL || e.not_after_s < first.not_after_s)
            first = e;
        X509_free(x);
    }
    ERR_clear_error(); /* the end of the file is one */
    BIO_free(bio);
    if (first.what != NULL && c->n_expiries < TLS_EXPIRIES_MAX)
        c->expiries[c->n_expiries++] = first;
    return 0;
}

static const char *const what_cert[] = {[TLS_PEERS] = "peer_cert", [TLS_CLIENTS] = "client_cert"};
static const char *const what_ca[] = {[TLS_PEERS] = "peer_ca", [TLS_CLIENTS] = "client_ca"};

static int use_key(struct tls_ctx *c, const char *cert, const char *key)
{
    cleanup_fd int fd = -1;
    int rc = tls_open_secret(key, "a private key", &fd); /* whether others may read it */

    if (rc != 0)
        return err_trace(rc);
    if (SSL_CTX_use_PrivateKey_file(c->accept, key, SSL_FILETYPE_PEM) != 1)
        return ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH
                   ? err_origin(err_say(-EINVAL, "the key '%s' is not that of the certificate '%s'",
                                        key, cert))
                   : openssl_says("cannot use the private key", key);
    if (SSL_CTX_use_PrivateKey_file(c->dial, key, SSL_FILETYPE_PEM) != 1)
        return openssl_says("cannot use the private key", key);
    return 0;
}

static int load_own(struct tls_ctx *c, const struct tls_conf *conf)
{
    char cert[PATH_MAX];
    char key[PATH_MAX];
    int rc;

    if (conf->cert_file == NULL || conf->cert_file[0] == '\0')
        return 0;
    rc = tls_file_path(conf->cert_file, cert, sizeof(cert));
    if (rc == 0)
        rc = check_file(cert);
    if (rc == 0 && (conf->key_file == NULL || conf->key_file[0] == '\0'))
        rc = err_origin(err_say(-EINVAL, "the certificate '%s' is given without its key", cert));
    if (rc == 0)
        rc = tls_file_path(conf->key_file, key, sizeof(key));
    if (rc != 0)
        return err_trace(rc);
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(c->accept, cert) != 1 ||
        SSL_CTX_use_certificate_chain_file(c->dial, cert) != 1)
        return openssl_says("cannot use the certificate", cert);
    rc = use_key(c, cert, key);
    if (rc == 0)
        rc = note_expiry(c, what_cert[c->use], cert);
    c->has_certificate = rc == 0;
    return err_trace(rc);
}

static int load_authorities(struct tls_ctx *c, const struct tls_conf *conf)
{
    char ca[PATH_MAX];
    STACK_OF(X509_NAME) * names;
    int rc;

    if (conf->ca_file == NULL || conf->ca_file[0] == '\0')
        return 0;
    rc = tls_file_path(conf->ca_file, ca, sizeof(ca));
    if (rc == 0)
        rc = check_file(ca);
    if (rc != 0)
        return err_trace(rc);
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(c->accept, ca) != 1 || SSL_CTX_load_verify_file(c->dial, ca) != 1)
        return openssl_says("cannot use the authorities", ca);
    names = SSL_load_client_CA_file(ca);
    if (names == NULL)
        return openssl_says("cannot use the authorities", ca);
    SSL_CTX_set_client_CA_list(c->accept, names); /* owns them */
    rc = note_expiry(c, what_ca[c->use], ca);
    c->has_authorities = rc == 0;
    return err_trace(rc);
}

int tls_certificate_load(struct tls_ctx *c, const struct tls_conf *conf)
{
    const int rc = load_own(c, conf);

    return err_trace(rc != 0 ? rc : load_authorities(c, conf));
}

/* ---- whose it is ---- */

static bool is_printable(const unsigned char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] <= ' ' || s[i] >= 0x7f)
            return false;
    return len > 0 && len <= TLS_NAME_BYTES_MAX;
}

static void add_name(struct tls_identity *id, const ASN1_STRING *name)
{
    const unsigned char *const s = ASN1_STRING_get0_data(name);
    const size_t len = (size_t)ASN1_STRING_length(name);
    const size_t at = strlen(id->names);

    if (!is_printable(s, len) || at + 1 + len > TLS_NAMES_BYTES_MAX)
        return;
    (void)snprintf(id->names + at, sizeof(id->names) - at, "%s%.*s", at > 0 ? "\n" : "", (int)len,
                   (const char *)s);
}

static void add_common_name(struct tls_identity *id, const X509 *x)
{
    const X509_NAME *subject = X509_get_subject_name(x);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (at >= 0)
        add_name(id, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

static void names_of_client(const X509 *x, struct tls_identity *id)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(all, i);

        if (n->type == GEN_DNS || n->type == GEN_EMAIL || n->type == GEN_URI)
            add_name(id, n->d.ia5);
    }
    GENERAL_NAMES_free(all);
    if (id->names[0] == '\0')
        add_common_name(id, x);
}

/* The node of "ridd://CLUSTER/NODE" of this cluster; NULL: it is none. */
static const char *node_of_uri(const ASN1_STRING *uri, const char *cluster, size_t *ret_len)
{
    const char *s = (const char *)ASN1_STRING_get0_data(uri);
    size_t len = (size_t)ASN1_STRING_length(uri);
    char front[sizeof("ridd:///") + NODE_NAME_BYTES_MAX];
    const size_t n = (size_t)snprintf(front, sizeof(front), "ridd://%s/", cluster);

    if (len <= n || memcmp(s, front, n) != 0 || len - n > NODE_NAME_BYTES_MAX ||
        memchr(s + n, '/', len - n) != NULL || !is_printable((const unsigned char *)s, len))
        return NULL;
    *ret_len = len - n;
    return s + n;
}

/* Exactly one node of this cluster. */
static bool name_of_peer(const X509 *x, const char *cluster, struct tls_identity *id)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    unsigned n_found = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(all, i);
        size_t len = 0;
        const char *node =
            n->type == GEN_URI ? node_of_uri(n->d.uniformResourceIdentifier, cluster, &len) : NULL;

        if (node == NULL)
            continue;
        n_found++;
        (void)snprintf(id->names, sizeof(id->names), "%.*s", (int)len, node);
    }
    GENERAL_NAMES_free(all);
    if (n_found != 1)
        id->names[0] = '\0';
    return n_found == 1;
}

bool tls_certificate_identify(struct tls_stream *s)
{
    const X509 *x = SSL_get0_peer_certificate(s->ssl);

    if (x == NULL)
        return false;
    s->identity.kind = TLS_CERTIFICATE;
    if (s->ctx->use == TLS_PEERS)
        return name_of_peer(x, s->ctx->cluster, &s->identity);
    names_of_client(x, &s->identity);
    return true;
}

/* ---- what is asked of it ---- */

static int refuse_nameless(X509_STORE_CTX *store, struct tls_stream *s)
{
    (void)snprintf(s->why, sizeof(s->why),
                   "its certificate is that of no node of cluster '%s': it needs one entry "
                   "URI:ridd://%s/NODE in its SAN",
                   s->ctx->cluster, s->ctx->cluster);
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH); /* told as a bad certificate */
    return 0;
}

/* Within the handshake, so that the other side is told. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_stream *s = tls_stream_of(ssl);
    struct tls_identity id = {.kind = TLS_NOBODY};

    if (s == NULL)
        return 0;
    if (!ok || X509_STORE_CTX_get_error_depth(store) != 0 || s->ctx->use != TLS_PEERS)
        return ok;
    if (!name_of_peer(X509_STORE_CTX_get_current_cert(store), s->ctx->cluster, &id))
        return refuse_nameless(store, s);
    return 1;
}

/* A client may come without one: it may have a secret, or a token. Without authorities a server's
 * is never believed, and none is asked of a client. */
void tls_certificate_demand(struct tls_ctx *c)
{
    const int mutual = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;

    SSL_CTX_set_verify(c->dial, SSL_VERIFY_PEER, on_verify);
    if (c->use == TLS_PEERS)
        SSL_CTX_set_verify(c->accept, mutual, on_verify);
    else
        SSL_CTX_set_verify(c->accept, c->has_authorities ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                           on_verify);
}

/* A name or an address, which is none of those that a name may match. */
int tls_certificate_host(struct tls_stream *s, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
    char plain[256];

    (void)snprintf(plain, sizeof(plain), "%s", host);
    plain[strcspn(plain, "%")] = '\0'; /* a scope is of this host */
    if (X509_VERIFY_PARAM_set1_ip_asc(param, plain) == 1)
        return 0;
    /* A common name is no host: authorities that clients have theirs from sign any. */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_host(param, plain, 0) != 1 ||
        SSL_set_tlsext_host_name(s->ssl, plain) != 1)
        return err_origin(err_say(-EINVAL, "'%s' is no name that a certificate could hold", host));
    return 0;
}
