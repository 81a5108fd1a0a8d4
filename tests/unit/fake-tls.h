/* The accepting side of TLS for scripted servers (unit/fake-server.h).
 *
 * For: tests of clients: a server that serves by a certificate or a secret, and some that break off.
 * Not for: the product's own accepting side, which is greeter.h's.
 * Ownership: a context is the test's; fake_tls() gives a transport that borrows it.
 * Errors: where nothing is made the test ends; a handshake that fails closes its connection.
 * Thread: those of the server.
 * Obvious: units, source. */
#ifndef RIDD_TESTS_FAKE_TLS_H
#define RIDD_TESTS_FAKE_TLS_H

#include "unit/fake-server.h"

struct tls_ctx;

/* Of FOLDER/NAME.pem and .key, with FOLDER/ca.pem for clients (NULL: no certificate), and of the
 * secrets in a file of a cluster (NULL: none). */
struct tls_ctx *fake_tls_ctx(const char *folder, const char *name, const char *secret_file,
                             const char *cluster);
void fake_tls_ctx_free(struct tls_ctx *ctx);
struct fake_transport fake_tls(struct tls_ctx *ctx);
/* Records of at most so many bytes, of all such servers; 0: as they come. Before they are started. */
void fake_tls_set_piece(size_t bytes);
/* It hangs up in the middle of the handshake, when it was sent something. */
struct fake_transport fake_tls_cut(void);
/* A cluster's secret in FOLDER/NAME; and one that is derived of it for a client. */
void fake_secret(const char *folder, const char *name);
void fake_secret_of(const char *folder, const char *name, const char *cluster, const char *client,
                    const char *client_file);

/* A front of TLS before a server that has none, on a thread of its own: what it is sent goes to
 * `to` ("127.0.0.1:PORT") in the open. A line that begins with a request `auth` it answers by
 * itself. */
struct fake_front;
struct fake_front *fake_front_start(struct tls_ctx *ctx, const char *to);
const char *fake_front_address(const struct fake_front *f);
/* Handshakes that were done, and tokens that were said. */
unsigned fake_front_n_shaken(struct fake_front *f);
unsigned fake_front_n_tokens(struct fake_front *f);
void fake_front_stop(struct fake_front *f);

#endif
