/* What the files of src/tls share: context.c makes contexts, psk.c answers for secrets,
 * certificate.c for certificates, stream.c is a connection, words.c says why. */
#ifndef RIDD_TLS_TLS_INT_H
#define RIDD_TLS_TLS_INT_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "base/list.h"
#include "tls/tls.h"

/* A regular file that holds `what`, opened without waiting, which others may neither read nor
 * change. 0 or -errno with err_text(). */
int tls_open_secret(const char *path, const char *what, int *ret_fd);

struct tls_ctx {
    atomic_uint n_refs;
    enum tls_use use;
    char cluster[NODE_NAME_BYTES_MAX + 1];
    struct tls_secrets secrets;
    /* of secrets that are the cluster's */
    unsigned char ids[TLS_SECRETS_MAX][TLS_SECRET_ID_BYTES];
    bool has_certificate;
    bool has_authorities;
    SSL_CTX *accept; /* owned */
    SSL_CTX *dial;   /* owned */
    unsigned n_expiries;
    struct tls_expiry expiries[TLS_EXPIRIES_MAX];
};

/* "ridd1 c ", an id, a blank, a name. */
#define TLS_PSK_IDENTITY_BUF (8 + 2 * TLS_SECRET_ID_BYTES + 1 + NODE_NAME_BYTES_MAX + 1)

struct tls_stream {
    struct tls_ctx *ctx; /* counted */
    SSL *ssl;            /* owned */
    int fd;              /* borrowed */
    enum tls_side side;
    struct list dropped; /* a greeter's */
    bool is_shaken;
    bool reads;      /* tls_recv() was called */
    bool ended_well; /* close_notify came */
    size_t in_doubt;
    uint64_t bytes_in;
    uint64_t n_key_updates; /* of the other side's, since it is read */
    struct tls_identity identity;
    /* Of the secret that the handshake is about, ours or what the other side named. */
    unsigned char psk_id[TLS_SECRET_ID_BYTES];
    char psk_name[NODE_NAME_BYTES_MAX + 1];
    char psk_identity[TLS_PSK_IDENTITY_BUF]; /* as we say it */
    char why[TLS_WHY_BYTES];
};
struct tls_stream *tls_stream_of(const SSL *ssl);

/* psk.c */
void tls_psk_set(struct tls_ctx *c);

/* certificate.c. 0 or -errno with err_text(). */
int tls_certificate_load(struct tls_ctx *c, const struct tls_conf *conf);
/* What is asked of the other side's. */
void tls_certificate_demand(struct tls_ctx *c);
int tls_certificate_host(struct tls_stream *s, const char *host);
/* Its names; it was verified. False: none. */
bool tls_certificate_identify(struct tls_stream *s);

/* words.c: why an operation on s came to nothing; into s->why, which stays what it is if it says
 * something. error is that of SSL_get_error(). */
void tls_say_why(struct tls_stream *s, int error, int errno_value);

#endif
