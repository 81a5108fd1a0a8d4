/* What etcd is asked and answers, as bytes: messages of gRPC with protobuf in them, by hand.
 *
 * A read is KV.Range of one key and linearizable, which is what etcd does unless it is told
 * otherwise; a write is KV.Put; a batch is KV.Txn of as many ranges, at one revision; a scan is a
 * range with a limit.
 *
 * For: tests/bench/etcd.c, which brings them over HTTP/2.
 * Not for: anything else of etcd's interface: what is not known is passed over.
 * Units: bytes.
 * Ownership: values point into the message.
 * Errors: -ENOMEM; -EPROTO: this is no such message.
 * Thread: any; pure.
 * Source: etcd 3.4, etcdserver/etcdserverpb/rpc.proto and mvcc/mvccpb/kv.proto; protobuf's encoding;
 * gRPC over HTTP/2: a byte that says whether it is compressed, and four of length. */
#ifndef RIDD_TESTS_BENCH_ETCD_WIRE_H
#define RIDD_TESTS_BENCH_ETCD_WIRE_H

#include "load/load.h"

#define ETCD_GRPC_HEAD 5u

/* "/etcdserverpb.KV/Range" */
const char *etcd_path(enum load_kind kind);
/* The message of one operation with its head, behind what is in out. */
int etcd_add_request(struct buf *out, const char *prefix, const struct load_op *op);

typedef void (*etcd_item_fn)(void *arg, unsigned place, const char *value, size_t len);
/* One message with its head, and nothing behind it. item is called for each key that it holds, of a
 * batch also for each that is not there (NULL); it may have been called before an error is seen.
 * n_max: more are an error. */
int etcd_take_answer(enum load_kind kind, const unsigned char *bytes, size_t len, unsigned n_max,
                     etcd_item_fn item, void *arg);

#endif
