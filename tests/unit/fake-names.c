/* Who hangs waits for a condition, and is counted before and behind it. A test whose own thread waits
 * for the answer can never give it: after a minute the thread that asks ends the program. */
#include "unit/fake-names.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HANGS_AT_MOST_S 60

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static bool hangs;
bool fake_moved;
static unsigned n_hanging;

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    static const char nowhere[] = ".invalid"; /* RFC 6761: nobody has such a name */
    const size_t len = strlen(host);
    struct timespec until;

    /* No server is asked, whose socket would be open for as long as it takes. */
    if (len >= strlen(nowhere) && strcmp(host + len - strlen(nowhere), nowhere) == 0)
        return EAI_NONAME;
    if (strcmp(host, "moves.test") == 0 && (hints->ai_flags & AI_NUMERICHOST) == 0)
        return __real_getaddrinfo(fake_moved ? "127.0.0.1" : "127.0.0.2", port, hints, ret);
    if (strcmp(host, "hangs.test") != 0 || (hints->ai_flags & AI_NUMERICHOST) != 0)
        return __real_getaddrinfo(host, port, hints, ret);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HANGS_AT_MOST_S;
    (void)pthread_mutex_lock(&lock);
    n_hanging++;
    while (hangs)
        if (pthread_cond_timedwait(&answered, &lock, &until) == ETIMEDOUT)
            abort();
    n_hanging--;
    (void)pthread_mutex_unlock(&lock);
    return __real_getaddrinfo("127.0.0.1", port, hints, ret);
}

void fake_names_hang(bool hang)
{
    (void)pthread_mutex_lock(&lock);
    hangs = hang;
    (void)pthread_cond_broadcast(&answered);
    (void)pthread_mutex_unlock(&lock);
}

unsigned fake_names_hanging(void)
{
    unsigned n;

    (void)pthread_mutex_lock(&lock);
    n = n_hanging;
    (void)pthread_mutex_unlock(&lock);
    return n;
}

void fake_names_end(void)
{
    fake_names_hang(false);
    while (fake_names_hanging() > 0)
        (void)sched_yield();
}
