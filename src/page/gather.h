/* What all nodes of a cluster say of themselves, asked for by one of them.
 *
 * For: the document /cluster.json, and the page that is made of it. All nodes are asked at once,
 * each for its status, its slow operations and its events, on their client ports like by anybody
 * else; the members are those of the configuration file and those that the cluster names, as
 * `ridctl status` finds them, so that both say the same.
 * Not for: judging (verdict/verdict.h), showing (page.h), a history: nothing is kept but the last
 * document, and nobody is asked while nobody looks.
 * Units: microseconds since 1970 for at_us.
 * Ownership: names and addresses are copied. A result is the gathering's: valid during the call.
 * Errors: -EAGAIN: as many wait already as may (GATHER_WAITERS_MAX). -EKEYREJECTED: what TLS needs
 * cannot be read. -ENOMEM, also as the result of a gathering that was begun. A node that does not
 * answer is no error: the document says so.
 * Thread: the one of the base. Names are looked up beside it (base/lookup.h), and it never waits.
 * Source: PAGE-3. */
#ifndef RIDD_PAGE_GATHER_H
#define RIDD_PAGE_GATHER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct gather;
struct ridd_tls;

struct gather_node {
    const char *name;
    const char *endpoint; /* of its client port */
};

struct gather_conf {
    struct event_base *base;         /* borrowed until gather_free() */
    const char *cluster;             /* the name that it should have */
    struct gather_node self;         /* who asks */
    const struct gather_node *nodes; /* of the configuration, self among them or not */
    unsigned n_nodes;
    /* How TLS is spoken with them; NULL: not at all. Borrowed, and its files are read anew for each
     * gathering: they may have changed. */
    const struct ridd_tls *tls;
};

struct gather_result {
    int error; /* 0, or why there is no document */
    const char *json;
    size_t len;
    const json_t *doc; /* the same, read */
    const char *self;  /* the name of who asked */
    int64_t at_us;     /* when it was made */
};
typedef void gather_fn(void *arg, const struct gather_result *result);

int gather_new(const struct gather_conf *conf, struct gather **ret);
/* Whoever waits is told -ECANCELED. NULL is accepted. */
void gather_free(struct gather *g);
/* fn is called once: within this call when the last document is younger than GATHER_EVERY_US, else
 * when the gathering that is under way, or is begun now, has ended (GATHER_ASK_MS a round, three
 * rounds at most). */
int gather_ask(struct gather *g, gather_fn *fn, void *arg);
/* fn is not called any more for this arg. */
void gather_forget(struct gather *g, void *arg);

#endif
