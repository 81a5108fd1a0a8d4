#include "unit/fake-certs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define DAY_S  86400L
#define HOUR_S 3600L

struct fake_ca {
    EVP_PKEY *key;
    X509 *cert;
    struct fake_ca *above; /* borrowed; NULL: it is the root */
};

const char *fake_path(const char *folder, const char *name)
{
    static char paths[64][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 64];

    (void)snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static FILE *create(const char *folder, const char *name, const char *ending, mode_t mode)
{
    char path[PATH_MAX];
    int fd;
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s%s", folder, name, ending);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    f = fdopen(fd, "w");
    assert_non_null(f);
    return f;
}

/* A certificate, and those that lead to the root but for that one itself. */
static void write_cert(X509 *cert, const struct fake_ca *ca, const char *folder, const char *name)
{
    FILE *f = create(folder, name, ".pem", 0644);

    assert_int_equal(PEM_write_X509(f, cert), 1);
    for (; ca != NULL && ca->above != NULL; ca = ca->above)
        assert_int_equal(PEM_write_X509(f, ca->cert), 1);
    assert_int_equal(fclose(f), 0);
}

static void write_key(EVP_PKEY *key, const char *folder, const char *name)
{
    FILE *f = create(folder, name, ".key", 0600);

    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

static X509 *new_cert(EVP_PKEY *key, const struct fake_cert *what, X509 *issuer)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    const char *cn = what->common_name != NULL ? what->common_name : "nobody";
    uint64_t serial = 0;

    assert_non_null(cert);
    assert_non_null(name);
    assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1), 1);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0),
        1);
    assert_int_equal(X509_set_subject_name(cert, name), 1);
    assert_int_equal(
        X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : name), 1);
    assert_non_null(
        X509_gmtime_adj(X509_getm_notBefore(cert), what->from_s != 0 ? what->from_s : -HOUR_S));
    assert_non_null(
        X509_gmtime_adj(X509_getm_notAfter(cert), what->until_s != 0 ? what->until_s : DAY_S));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    X509_NAME_free(name);
    return cert;
}

/* ---- authorities ---- */

static struct fake_ca *new_ca(struct fake_ca *above, const char *folder, const char *name,
                              long until_s)
{
    const struct fake_cert what = {.common_name = name, .until_s = until_s};
    struct fake_ca *ca = calloc(1, sizeof(*ca));
    X509 *issuer;

    assert_non_null(ca);
    ca->above = above;
    ca->key = EVP_EC_gen("P-256");
    assert_non_null(ca->key);
    ca->cert = new_cert(ca->key, &what, above != NULL ? above->cert : NULL);
    issuer = above != NULL ? above->cert : ca->cert;
    add_extension(ca->cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(ca->cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(ca->cert, issuer, NID_subject_key_identifier, "hash");
    assert_true(X509_sign(ca->cert, above != NULL ? above->key : ca->key, EVP_sha256()) > 0);
    write_cert(ca->cert, NULL, folder, name);
    return ca;
}

struct fake_ca *fake_ca_new(const char *folder, const char *name)
{
    return new_ca(NULL, folder, name, 0);
}

struct fake_ca *fake_ca_new_until(const char *folder, const char *name, long until_s)
{
    return new_ca(NULL, folder, name, until_s);
}

struct fake_ca *fake_ca_below(struct fake_ca *ca, const char *folder, const char *name)
{
    return new_ca(ca, folder, name, 0);
}

void fake_ca_free(struct fake_ca *ca)
{
    if (ca == NULL)
        return;
    EVP_PKEY_free(ca->key);
    X509_free(ca->cert);
    free(ca);
}

void fake_ca_issue(struct fake_ca *ca, const struct fake_cert *what, const char *folder,
                   const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert;

    assert_non_null(key);
    cert = new_cert(key, what, ca->cert);
    add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature");
    add_extension(cert, ca->cert, NID_ext_key_usage,
                  what->usage != NULL ? what->usage : "serverAuth,clientAuth");
    add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid");
    if (what->san != NULL)
        add_extension(cert, ca->cert, NID_subject_alt_name, what->san);
    assert_true(X509_sign(cert, ca->key, EVP_sha256()) > 0);
    write_cert(cert, ca, folder, name);
    write_key(key, folder, name);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- what most tests need ---- */

static void issue_peer(struct fake_ca *ca, const char *folder, const char *name,
                       const char *cluster, const char *node)
{
    char san[256];
    const struct fake_cert what = {.common_name = node, .san = san};

    (void)snprintf(san, sizeof(san), "URI:ridd://%s/%s", cluster, node);
    fake_ca_issue(ca, &what, folder, name);
}

void fake_certs_make(const char *folder, const char *cluster)
{
    static const char local[] = "DNS:localhost,IP:127.0.0.1,IP:::1";
    const struct fake_cert server = {.common_name = "server", .san = local};
    const struct fake_cert elsewhere = {.common_name = "elsewhere",
                                        .san = "DNS:elsewhere.example.org"};
    const struct fake_cert expired = {
        .common_name = "expired", .san = local, .from_s = -10 * DAY_S, .until_s = -DAY_S};
    const struct fake_cert early = {
        .common_name = "early", .san = local, .from_s = DAY_S, .until_s = 10 * DAY_S};
    const struct fake_cert client = {.common_name = "app1", .san = "DNS:app1.example.org"};
    struct fake_ca *ca = fake_ca_new(folder, "ca");
    struct fake_ca *other = fake_ca_new(folder, "other-ca");

    fake_ca_issue(ca, &server, folder, "server");
    fake_ca_issue(ca, &elsewhere, folder, "elsewhere");
    fake_ca_issue(ca, &expired, folder, "expired");
    fake_ca_issue(ca, &early, folder, "early");
    fake_ca_issue(ca, &client, folder, "client");
    issue_peer(ca, folder, "n1", cluster, "n1");
    issue_peer(ca, folder, "n2", cluster, "n2");
    issue_peer(ca, folder, "n3", cluster, "n3");
    issue_peer(ca, folder, "foreign", "foreign", "n1");
    fake_ca_issue(other, &server, folder, "other");
    fake_ca_free(ca);
    fake_ca_free(other);
}
