/* The addresses of a name, asked for where nobody has to wait.
 *
 * getaddrinfo() waits for a name server as long as it likes, and cannot be told to stop. So each
 * question has a thread of its own, which is left behind when its asker gives up: it ends when the
 * resolver does, and then frees what is left. evdns was rejected: it knows neither nsswitch.conf
 * nor all of what else an administrator may say; getaddrinfo_a() cannot be given up either, and
 * queues everybody behind what hangs.
 *
 * For: names of peers in the loop, which is told by a descriptor (LOOP-2); names of servers in
 * libridd, whose calls end in time.
 * Not for: numeric addresses, for which getaddrinfo() asks nobody (AI_NUMERICHOST).
 * Units: microseconds of clock_mono_us().
 * Ownership: texts are copied. lookup_drop() gives up an answer or a question, whichever it is.
 * Errors: -errno, and nothing was started: -EAGAIN when LOOKUPS_MAX questions hang already, or
 * there is no thread. What the resolver says is an EAI_ code.
 * Thread: any; a lookup belongs to one asker.
 * Source: rule LOOP-2. */
#ifndef RIDD_BASE_LOOKUP_H
#define RIDD_BASE_LOOKUP_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

struct lookup;

/* SOCK_STREAM, any family, numeric port; flags as for getaddrinfo(). notify_fd: an eventfd that is
 * written to when the answer is there (a copy of it is used), or -1. */
int lookup_start(const char *host, const char *port, int flags, int notify_fd,
                 struct lookup **ret_lookup);
bool lookup_is_done(struct lookup *l);
/* 0, or -ETIMEDOUT: not done at the deadline. */
int lookup_wait(struct lookup *l, uint64_t deadline_us);
/* Of one that is done, once: 0 and a list for freeaddrinfo(), or an EAI_ code. With EAI_SYSTEM
 * *ret_errno is set. */
int lookup_take(struct lookup *l, struct addrinfo **ret_list, int *ret_errno);
void lookup_drop(struct lookup *l); /* NULL is accepted */
/* Questions of this process that hang or were just answered; 0: nothing is left of any, neither a
 * thread that runs nor a descriptor. */
unsigned lookup_n_running(void);

#endif
