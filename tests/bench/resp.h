/* The protocol of Redis (RESP) for a load: GET, SET, MGET, DEL.
 *
 * For: tools/versus, which puts Redis beside ridd.
 * Not for: scans: Redis has keys in no order, and submit() is -EOPNOTSUPP.
 * Units: bytes.
 * Ownership: load.h. The table lives for ever.
 * Errors: -EPROTO: what came is no answer to what was asked. What the server refuses ("-ERR ...") is
 * an answer, and it has not done it.
 * Thread: the loop's.
 * Source: Redis serialization protocol, version 2. Answers come in the order of the requests. */
#ifndef RIDD_TESTS_BENCH_RESP_H
#define RIDD_TESTS_BENCH_RESP_H

#include "load/load.h"

extern const struct load_protocol resp_protocol;

#endif
