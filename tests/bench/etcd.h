/* The protocol of etcd v3 for a load: gRPC over HTTP/2 on one connection, each request a stream of
 * it.
 *
 * It is written so that the server is measured and not the client: libnghttp2 has the frames and the
 * compressed heads, the messages are made by hand (etcd-wire.h), and both sides' windows are so
 * large that the client is never the one who stops.
 *
 * For: tools/versus, which puts etcd beside ridd.
 * Not for: TLS, users, or any service of etcd but KV.
 * Units: bytes.
 * Ownership: load.h. The table lives for ever.
 * Errors: -EPROTO: what came is no answer to what was asked. A status of gRPC other than 0 is an
 * answer: of a write it may be unknown what became of it.
 * Thread: the loop's.
 * Source: RFC 9113; gRPC over HTTP/2; nghttp2 1.52. */
#ifndef RIDD_TESTS_BENCH_ETCD_H
#define RIDD_TESTS_BENCH_ETCD_H

#include "load/load.h"

extern const struct load_protocol etcd_protocol;

#endif
