/* Certificates for tests, made when they are needed: PEM files in a folder of the test.
 *
 * For: tests of TLS. Keys are of P-256; a key's file is its owner's alone.
 * Not for: anything that is to be safe.
 * Units: seconds from now.
 * Ownership: files stay until the test removes its folder; a struct fake_ca is the caller's until
 * fake_ca_free().
 * Errors: a failure ends the test.
 * Thread: any, one at a time for each authority.
 * Source: none. */
#ifndef RIDD_TESTS_FAKE_CERTS_H
#define RIDD_TESTS_FAKE_CERTS_H

#include <limits.h>

struct fake_ca;

/* What a certificate says; all zero: a common name "nobody", for both sides, good for a day. */
struct fake_cert {
    const char *common_name;
    const char *san;   /* as OpenSSL writes it: "DNS:localhost,IP:127.0.0.1,URI:ridd://c/n1" */
    const char *usage; /* NULL: "serverAuth,clientAuth" */
    long from_s;       /* 0: an hour ago */
    long until_s;      /* 0: in a day */
};

/* A new authority, and FOLDER/NAME.pem. */
struct fake_ca *fake_ca_new(const char *folder, const char *name);
/* The same, good until then. */
struct fake_ca *fake_ca_new_until(const char *folder, const char *name, long until_s);
/* One below it: FOLDER/NAME.pem is its own certificate alone, and certificates that it issues come
 * with it. */
struct fake_ca *fake_ca_below(struct fake_ca *ca, const char *folder, const char *name);
void fake_ca_free(struct fake_ca *ca); /* NULL is accepted */
/* FOLDER/NAME.pem and FOLDER/NAME.key. */
void fake_ca_issue(struct fake_ca *ca, const struct fake_cert *what, const char *folder,
                   const char *name);

/* What most tests need, as NAME.pem and NAME.key in the folder:
 *
 *   ca           the authority of all but the last two
 *   server       DNS:localhost, IP:127.0.0.1, IP:::1
 *   elsewhere    a server of another name: DNS:elsewhere.example.org
 *   expired      as server, until yesterday
 *   early        as server, from tomorrow on
 *   client       DNS:app1.example.org
 *   n1, n2, n3   peers: URI:ridd://CLUSTER/n1, ...
 *   foreign      a peer of another cluster: URI:ridd://foreign/n1
 *   other-ca     an authority that nobody trusts
 *   other        as server, of that one */
void fake_certs_make(const char *folder, const char *cluster);
/* FOLDER/NAME, for an initializer: lives until 64 more calls. */
const char *fake_path(const char *folder, const char *name);

#endif
