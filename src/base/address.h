/* Addresses as people write them: "host:port" or "[ipv6]:port".
 *
 * For: one word on what a node can listen at or be reached at, for files, requests and the log
 * alike: what one takes and the other does not would stop a node at its next start.
 * Not for: finding out where a name leads (lookup.h), or whether anybody is there.
 * Ownership: nothing is kept; results are written to the caller's room, on success only.
 * Thread: any; pure.
 * Source: RFC 1123 section 2.1 for names of hosts, with the '_' of container networks.
 * Obvious: units, errors. */
#ifndef RIDD_BASE_ADDRESS_H
#define RIDD_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Splits it; an IPv6 address may hold %scope, and ret_host is without brackets. False: not an
 * address, port 0 included, or longer than the room given. */
bool address_split(const char *addr, char *ret_host, size_t host_size, char *ret_port,
                   size_t port_size);
/* The one spelling of an address that others can dial, into a buffer of ADDRESS_BYTES_MAX + 1.
 * NULL, or what is wrong with it, to stand behind its name: not an address, or that of no host
 * (0.0.0.0, [::]), which is only for listening. */
const char *address_normal(const char *addr, char *ret);
/* The same of one to listen at: that of no host is one, too. */
const char *address_normal_listen(const char *addr, char *ret);
/* Reached from this host alone: 127.0.0.0/8, ::1, or localhost, which is never asked about. A host
 * without brackets; a name that merely leads there is none of them. */
bool address_host_is_loopback(const char *host);

#endif
