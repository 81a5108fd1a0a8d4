/* TLS 1.3 on a socket: what both sides need to know, the handshake, bytes.
 *
 * For: one place that says which TLS is spoken. Version 1.3 alone, so that there is no
 * renegotiation; no session tickets, and so no early data and nothing that is resumed; either
 * certificates or a secret on each side.
 * Not for: events and buffers, which are the caller's: a stream reads and writes its socket as
 * recv(2) and send(2) would; who may do what.
 * Units: bytes; seconds since 1970 where a name ends in _s.
 * Ownership: a tls_ctx is counted, and whoever has a stream of it has one count. A stream borrows
 * its socket.
 * Errors: 0 or -errno with err_text(): one sentence that says which side was not content and with
 * what, for the person on this side. No key and no secret is ever in it.
 * Thread: a tls_ctx is any thread's once it is made; a stream is one thread's at a time.
 * Source: RFC 8446; rules TLS-1 and following of docs/RULES.md. */
#ifndef RIDD_TLS_TLS_H
#define RIDD_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tls/secret.h"

struct ssl_st;

/* ---- what is needed on both sides ---- */

enum tls_use {
    TLS_PEERS,   /* both sides prove who they are; a certificate names node and cluster */
    TLS_CLIENTS, /* the server does; a client may */
};
struct tls_conf {
    enum tls_use use;
    const char *cluster; /* its name; "": unknown, and no cluster's secret can be used */
    const struct tls_secrets *secrets; /* copied; NULL: none */
    /* PEM files, as tls_file_path() takes them; NULL or "": none. The own certificate with what
     * leads to its authority, the key of it, the authorities of the other side. */
    const char *cert_file;
    const char *key_file;
    const char *ca_file;
};
struct tls_ctx;
/* Reads all files. Whichever of certificates and secrets is there is offered and accepted; where
 * nothing is there at all: -EINVAL. On the side that dials and has no ca_file certificates are
 * not believed. */
int tls_ctx_new(const struct tls_conf *conf, struct tls_ctx **ret);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_unref(struct tls_ctx *c); /* NULL is accepted */
/* It can serve: it has a certificate or a secret. */
bool tls_ctx_may_accept(const struct tls_ctx *c);
/* The certificates that were read, each file's that ends first. How many. */
struct tls_expiry {
    const char *what; /* "peer_cert", ... : for use and file; static */
    char file[TLS_FILE_BYTES_MAX + 1];
    char subject[TLS_NAME_BYTES_MAX + 1];
    int64_t not_before_s;
    int64_t not_after_s;
};
unsigned tls_ctx_expiries(const struct tls_ctx *c, struct tls_expiry ret[TLS_EXPIRIES_MAX]);
/* The secret that this id tells of is still accepted. */
bool tls_ctx_accepts(const struct tls_ctx *c, const unsigned char secret_id[TLS_SECRET_ID_BYTES]);

/* The key of seals, of the first secret. False: it has none. */
bool tls_ctx_seal_key(const struct tls_ctx *c, unsigned char ret_key[TLS_SEAL_KEY_BYTES]);

/* ---- who is on the other side ---- */

enum tls_identity_kind { TLS_NOBODY, TLS_SECRET, TLS_CERTIFICATE };
struct tls_identity {
    enum tls_identity_kind kind;
    /* Of SECRET: which, by the cluster's; and "" or the client's name in `names`. */
    unsigned char secret_id[TLS_SECRET_ID_BYTES];
    /* Of CERTIFICATE: all its names, a newline between two: DNS, e-mail and URI of its SAN, or,
     * where it has none of these, its common name. Of a peer's: the node's alone. Printable. */
    char names[TLS_NAMES_BYTES_MAX + 1];
};
/* One of the names is this one, to the letter. */
bool tls_identity_has(const struct tls_identity *id, const char *name);

/* ---- a connection ---- */

enum tls_side { TLS_ACCEPT, TLS_DIAL };
/* Of tls_shake(). */
enum tls_want { TLS_DONE = 0, TLS_WANT_READ = 1, TLS_WANT_WRITE = 2 };

struct tls_stream;
/* fd is connected, does not block, and stays the caller's. host: on the side that dials, the name
 * or the address that the server's certificate must hold; NULL where the caller judges that (peers:
 * tls_identity). */
int tls_stream_new(struct tls_ctx *c, enum tls_side side, int fd, const char *host,
                   struct tls_stream **ret);
void tls_stream_free(struct tls_stream *s); /* NULL is accepted; tells nobody */
/* enum tls_want, or -EPROTO, -ECONNRESET, ...: it failed for ever. Each call takes the steps for
 * which there are bytes, some of which take up to milliseconds (a signature). */
int tls_shake(struct tls_stream *s);
/* Nothing has come of the other side, not even in part. */
bool tls_is_silent(const struct tls_stream *s);
/* After tls_shake() has returned TLS_DONE. Valid as long as s. */
const struct tls_identity *tls_stream_identity(const struct tls_stream *s);
/* As recv(2), of one record at most: -1 with errno, EAGAIN when there is nothing, EINTR when
 * something was taken that is no data, and there may be more; 0 is the end. EPROTO: what came is
 * no TLS of this stream, and tls_stream_why() says what. Several records may be taken from the
 * socket at once: after a read that gave something, tls_stream_pending() says whether there may be
 * more for the next call though the socket is not readable. After EAGAIN there is not. */
ssize_t tls_recv(struct tls_stream *s, void *buf, size_t size);
size_t tls_stream_pending(const struct tls_stream *s);
/* The other side said that it was the end: nobody has cut it off. */
bool tls_ended_well(const struct tls_stream *s);
/* As send(2), of part of it perhaps. After EAGAIN the next call begins with the same bytes, at
 * least as many; tls_in_doubt() of them will have left then whatever becomes of them here. */
ssize_t tls_send(struct tls_stream *s, const void *data, size_t len);
size_t tls_in_doubt(const struct tls_stream *s);
/* The end of what we say, if it can be said at once. */
void tls_say_end(struct tls_stream *s);
const char *tls_stream_why(const struct tls_stream *s);
/* Takes out what a bufferevent of libevent needs, which owns it from then on; s is freed. */
struct ssl_st *tls_stream_take(struct tls_stream *s);
/* For a bufferevent that does the handshake itself, and owns what is returned: s was made with
 * fd -1, is kept beside it, and says who is there once tls_stream_settle() is true. */
struct ssl_st *tls_stream_lend(struct tls_stream *s);
bool tls_stream_settle(struct tls_stream *s);
/* What the other side's alert or a failure of an SSL that was taken out means. */
extern const char tls_cut_off[]; /* what that says where it ended, and nobody said why */
const char *tls_words(unsigned long openssl_error, int errno_value, char *ret, size_t size);

#endif
