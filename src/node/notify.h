/* The notification protocol of systemd: one datagram to $NOTIFY_SOCKET, nothing when it is not set.
 *
 * For: telling a supervisor that this node is ready, stopping, alive.
 * Not for: anything that must arrive. It never blocks and never fails loudly: a daemon without
 * systemd is as good.
 * Source: sd_notify(3).
 * Obvious: units, ownership, errors, thread. */
#ifndef RIDD_NODE_NOTIFY_H
#define RIDD_NODE_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=...", lines separated by \n. */
void notify_send(const char *state);
/* A reload begins; READY=1 says that it is over. Both are due whether or not anything is taken. */
void notify_reloading(void);
/* $WATCHDOG_USEC when it is meant for this process, else 0. */
uint64_t notify_watchdog_us(void);

#endif
