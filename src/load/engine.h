/* The loop of a load: connections that are made and made again, requests that are sent when they
 * are due, answers that are timed and looked at.
 *
 * Closed: each connection has so many requests in flight, and sends the next when one is answered.
 * Open: requests are due at a rate, whatever was answered; each has its latency from when it was
 * due, also where there was no room for it then, so that whoever stands still is seen to do so for
 * each request that would have come meanwhile.
 *
 * What a node refuses because another one leads, and what was lost with a connection and may be
 * asked again without harm, is asked again until its time is over; its latency goes on from the
 * first time. A write that was lost with its connection is an error: it may yet be done.
 *
 * For: ridbench, and tools that put servers side by side.
 * Not for: clients; see load.h.
 * Units: nanoseconds of the monotonic clock, but where a name ends otherwise.
 * Ownership: a plan and what it points at are borrowed until load_free(). Figures are the load's.
 * Errors: -errno; load_why() says more. An answer that fails is no error, but counted.
 * Thread: the caller's, and n_threads - 1 more while a call lasts.
 * Source: G. Tene, "How not to measure latency": coordinated omission. */
#ifndef RIDD_LOAD_ENGINE_H
#define RIDD_LOAD_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "base/histogram.h"
#include "base/limits.h"
#include "history/checker.h"
#include "load/load.h"

struct load;

/* What the loop knows of time. Zero: the kernel's. A test brings its own. */
struct load_world {
    uint64_t (*now_ns)(void *ctx);
    /* As epoll_wait(2), until_ns at the latest. */
    int (*wait)(void *ctx, int epoll_fd, struct epoll_event *events, int n, uint64_t until_ns);
    void *ctx;
};

/* TLS, where addresses want it: functions, so that who measures without need not link it. As
 * tls/tls.h has them. */
enum { LOAD_WANT_WRITE = 2 }; /* of shake(); 1: to read, 0: it is done */
struct load_secure {
    int (*open)(void *ctx, int fd, const char *host, void **ret_stream);
    int (*shake)(void *stream);
    ssize_t (*receive)(void *stream, void *buf, size_t size);
    ssize_t (*send)(void *stream, const void *data, size_t len);
    size_t (*pending)(const void *stream);
    void (*close)(void *stream); /* and says so, if that can be said at once */
    void *ctx;
    /* A line that is said on each such connection before anything else, and answered by a line that
     * has `hello_ok` in it; NULL: none. */
    const char *hello;
    const char *hello_ok;
};

struct load_progress {
    const char *what; /* "filling", "warming up", "measuring", "clearing" */
    uint64_t n_done;  /* measuring: since that began; otherwise keys */
    uint64_t n_errors;
    uint64_t n_wrong;
    uint64_t gone_ns;
    uint64_t gone; /* of so much: keys, or milliseconds */
    uint64_t total;
};

struct load_plan {
    const struct load_protocol *protocol;
    /* HOST:PORT, with tls:// or tcp:// before it or not, unix:PATH; the first is asked first. With
     * neither it is TLS where there is secure. */
    const char *const *addresses;
    unsigned n_addresses;
    bool spread; /* connection i stays with address i; otherwise all follow the leader */
    const char *prefix;
    unsigned n_connections; /* of all threads */
    unsigned in_flight;     /* on each */
    unsigned n_threads;
    double rate;  /* requests in a second, of all threads; 0: closed */
    bool poisson; /* open: arrivals of a Poisson process */
    uint64_t warm_ns;
    uint64_t run_ns;
    uint64_t timeout_ns;
    enum load_kind kind; /* of what is not written: READ, BATCH, SCAN */
    unsigned write_percent;
    unsigned n_of; /* keys of a batch or a scan */
    uint64_t n_keys;
    double zipf; /* the exponent; 0: uniform */
    unsigned value_bytes;
    uint64_t seed;
    bool linearizable;    /* its reads promise it */
    bool absent_is_right; /* a key may be unknown where a read is served */
    bool record;          /* what is asked of single keys becomes a history; see load_history() */
    /* About once in a second, in the caller's thread; NULL: nobody looks. */
    void (*progress)(void *arg, const struct load_progress *p);
    bool (*is_over)(void *arg); /* asked often, by any thread: end now; NULL: never */
    void *arg;
    const struct load_secure *secure; /* NULL: none */
    bool handshakes;                  /* measured: a connection for each request */
    const struct load_world *world;   /* NULL: the kernel's; otherwise one thread, the caller's */
};

/* Of one kind of request. */
struct load_side {
    struct histogram_fine ns;
    uint64_t last_ns;    /* the last success; 0: none yet */
    uint64_t longest_ns; /* without one */
    uint64_t longest_at_ns;
};

struct load_error {
    char name[LOAD_ERROR_BYTES_MAX + 1];
    uint64_t n;
};

struct load_second {
    uint64_t n;
    uint64_t n_errors;
    uint64_t max_ns;
};

struct load_figures {
    struct load_side sides[LOAD_N_KINDS];
    struct load_error errors[LOAD_ERRORS_MAX]; /* the last has what found no room */
    unsigned n_error_names;
    uint64_t n_errors;
    char first_error[LOAD_TEXT_BYTES_MAX + 1];
    uint64_t n_wrong;
    char first_wrong[LOAD_TEXT_BYTES_MAX + 1];
    uint64_t n_absent; /* which is no error here */
    uint64_t n_again;  /* asked again, elsewhere or later */
    uint64_t n_dials;  /* connections made */
    uint64_t n_shakes; /* handshakes of TLS, of all phases of a loop's own */
    uint64_t n_lost;   /* of them, but for the end */
    uint64_t
        n_unsent; /* open: due and never sent; they are in the histogram with what they waited */
    uint64_t begin_ns; /* of what is measured */
    uint64_t end_ns;   /* the same; what began before is counted also when it ends later */
    uint64_t cpu_ns;   /* of the loops' threads, between them */
    struct load_second *seconds; /* owned by the load: what ended in each */
    unsigned n_seconds;
};

int load_new(const struct load_plan *plan, struct load **ret);
void load_free(struct load *load);
/* Each key, with number 0. -ECANCELED: is_over() before that. */
int load_fill(struct load *load);
/* Takes the time for warming up, and then measures. before and after may be NULL. */
int load_measure(struct load *load, void (*before)(void *arg), void (*after)(void *arg), void *arg);
/* Removes each key; how many are left. */
int load_clear(struct load *load, uint64_t *ret_left);
/* From another thread while load_measure() lasts: the first success of something that begins at
 * `since_ns` or later. 0: none yet. */
void load_mark(struct load *load, uint64_t since_ns);
uint64_t load_marked(const struct load *load, enum load_kind kind);
/* The clock of all that. */
uint64_t load_now(const struct load *load);
/* Of what was measured. */
const struct load_figures *load_figures(const struct load *load);
/* What load_measure() has recorded: a value is its number and 1, so that 1 is there from the
 * beginning; the client is the connection, the session 0. It is the load's. */
const struct history *load_history(const struct load *load);
/* At most LOAD_HISTORY_MAX operations; what came later is not in it. */
bool load_history_is_full(const struct load *load);
/* Why the last call failed; "": it did not. */
const char *load_why(const struct load *load);
/* So many operations of all kinds, so far. */
uint64_t load_n_done(const struct load_figures *f);

#endif
