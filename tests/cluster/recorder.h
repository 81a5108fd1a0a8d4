/* TCP relays that keep all that goes through them: what somebody on the way sees.
 *
 * For: tests that ask whether something is to be read on the wire.
 * Not for: bad links; proxy.h is that.
 * Units: bytes.
 * Ownership: a recorder owns its threads, its sockets and what it has kept, until recorder_free().
 * Errors: a failure fails the case.
 * Thread: the calls are those of one thread; each relay has threads of its own.
 * Source: none. */
#ifndef RIDD_TESTS_CLUSTER_RECORDER_H
#define RIDD_TESTS_CLUSTER_RECORDER_H

#include <stddef.h>
#include <stdint.h>

struct recorder;

struct recorder *recorder_new(void);
void recorder_free(struct recorder *r); /* ends all connections; NULL is accepted */
/* A port of 127.0.0.1 that leads to this one. */
uint16_t recorder_add(struct recorder *r, uint16_t to);
/* Each connection has two flows, numbered as they began. */
unsigned recorder_flows(struct recorder *r);
uint64_t recorder_bytes(struct recorder *r);
/* In how many flows, of those from `first` on, the text is to be found. */
unsigned recorder_find(struct recorder *r, unsigned first, const char *text);

#endif
