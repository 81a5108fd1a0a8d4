/* Shared secrets: the file that makes a cluster safe, and what is derived from it.
 *
 * For: making such a file, reading it, and the keys that follow from it. A cluster's own secret is
 * a line of hexadecimal digits; whoever has it can speak as any node, and derive the secret of any
 * client. One that was derived for a client stands in a file of its own, as `NAME ID DIGITS`, and
 * says nothing of the cluster's.
 * Not for: ciphers, which are OpenSSL's; who may do what (node/access.h).
 * Units: bytes.
 * Ownership: plain data; to be wiped by tls_secrets_wipe() when it is not needed any more.
 * Errors: 0 or -errno with err_text(), which names file and line and never what stands there.
 * Thread: any.
 * Source: RFC 5869 (HKDF), RFC 8446 section 4.2.11 (pre-shared keys). */
#ifndef RIDD_TLS_SECRET_H
#define RIDD_TLS_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"

struct tls_secret {
    /* of the client that it was derived for; "": the cluster's */
    char name[NODE_NAME_BYTES_MAX + 1];
    /* of a derived one: that of the cluster's secret */
    unsigned char id[TLS_SECRET_ID_BYTES];
    size_t len;
    unsigned char bytes[TLS_SECRET_BYTES_MAX];
};
/* The first one is used, all are accepted. */
struct tls_secrets {
    unsigned n;
    struct tls_secret of[TLS_SECRETS_MAX];
};

/* A new file with a fresh secret, for its owner alone (0600). -EEXIST: there is one, and it
 * stays. */
int tls_secret_make(const char *path);
/* Refused: a file that others than its owner may read, but that a group may if it is root's; that
 * anybody but its owner may write; that is neither root's nor ours; no secret in it, or too short a
 * one, or more than TLS_SECRETS_MAX; a client's beside a cluster's. path may be
 * "credential:NAME", see tls_file_path(). */
int tls_secrets_read(const char *path, struct tls_secrets *ret);
void tls_secrets_wipe(struct tls_secrets *s);
/* A client's, of a cluster's secret: the line of its file, without a newline. */
int tls_secret_derive(const struct tls_secret *of, const char *cluster, const char *name,
                      struct tls_secret *ret);
int tls_secret_format(const struct tls_secret *s, char *ret_text, size_t size);
/* A new file with this text, for its owner alone (0600). -EEXIST: there is one, which stays. */
int tls_secret_write(const char *path, const char *text);

/* ---- what TLS is done with ---- */

enum tls_secret_use { TLS_SECRET_PEER, TLS_SECRET_CLIENT };
/* Of a cluster's secret. */
int tls_secret_id(const struct tls_secret *s, enum tls_secret_use use, const char *cluster,
                  unsigned char ret_id[TLS_SECRET_ID_BYTES]);
/* The pre-shared key, of a cluster's secret or a client's: those of one name are the same. name is
 * "" for the cluster's own, and for peers. */
int tls_secret_psk(const struct tls_secret *s, enum tls_secret_use use, const char *cluster,
                   const char *name, unsigned char ret_psk[TLS_PSK_BYTES]);

/* A key of a cluster's secret: with it nodes know what one of them has sealed. */
int tls_secret_seal_key(const struct tls_secret *s, const char *cluster,
                        unsigned char ret_key[TLS_SEAL_KEY_BYTES]);

/* ---- tokens ---- */

/* 256 random bits as text, and what is kept of it: the SHA-256 of that text in hexadecimal. */
int tls_token_make(char ret_token[TLS_TOKEN_TEXT_BYTES + 1], char ret_hash[65]);
int tls_token_hash(const char *token, size_t len, unsigned char ret_hash[32]);

/* ---- files ---- */

/* "/a/path" as it is; "credential:NAME": NAME in the directory that systemd names in
 * $CREDENTIALS_DIRECTORY. 0, or -errno with err_text(). */
int tls_file_path(const char *text, char *ret, size_t size);

#endif
