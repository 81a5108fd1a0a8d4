/* Handshakes of TLS before there is a connection: accepted and counted like any other, given to the
 * thread that does them, and opened when they are done.
 *
 * What strangers can ask for costs the loop an accept(2) and a callback. How many are under way is
 * the greeter's to bound: whoever comes then makes one of the host with most go, a silent one
 * first. */
#include "net/client_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"

#include "base/banned.h"

struct client_greeting {
    struct client_port *port; /* borrowed */
    struct list node;         /* in port->greetings */
    struct greeting *under_way;
    struct net_source *source; /* counted there */
    struct budget stream;      /* charged */
    struct sockaddr_storage sa;
    uint64_t host;
};

/* Not counted any more; of the greeting itself only where it came from is left. */
static void leave(struct client_greeting *g)
{
    list_remove(&g->node);
    g->port->stats.n_shaking--;
    net_sources_give(take_ptr(g->source));
    budget_set(&g->stream, 0);
}

void client_greet_tell(struct client_port *p, const struct sockaddr_storage *sa, const char *why)
{
    char address[NET_ADDRESS_TEXT];

    if (p->ops.on_handshake_failed == NULL)
        return;
    net_addr_format(sa, address, sizeof(address));
    p->ops.on_handshake_failed(p->ops.ctx, address, why);
}

static void on_greeted(void *ctx, struct tls_stream *stream, int fd, bool silent, const char *why)
{
    struct client_greeting *g = ctx;
    struct client_port *p = g->port;
    const struct client_origin from = {.sa = &g->sa, .host = g->host};

    client_port_enter(p);
    leave(g);
    if (stream != NULL) {
        p->stats.n_handshakes++;
        client_port_open(p, fd, stream, &from);
    } else {
        p->stats.n_handshakes_failed++;
        client_port_resume(p);
        /* Who looked whether the port is there, and went, made no mistake. */
        if (!silent)
            client_greet_tell(p, &g->sa, why);
    }
    free(g);
    client_port_leave(p);
}

int client_greet_begin(struct client_port *p)
{
    const struct greeter_conf conf = {
        .name = "ridd-greet", .priority = p->priority, .nice = CLIENT_GREETER_NICE};

    return greeter_new(p->base, &conf, &p->greeter);
}

/* As much as its connection will be charged for: what the library keeps for each is bounded, too
 * (TLS-24). */
static int take_room(struct client_greeting *g)
{
    struct memory *m = g->port->conf.memory;

    budget_init(&g->stream, m != NULL ? &m->streams : NULL, SIZE_MAX);
    if (!budget_may(&g->stream, CLIENT_STREAM_BYTES))
        return err_say(-ENOMEM, "there is no memory for one more connection by TLS");
    budget_take(&g->stream, CLIENT_STREAM_BYTES);
    g->source = net_sources_take(&g->port->sources, g->host);
    return g->source != NULL ? 0 : err_say(-ENOMEM, "out of memory");
}

/* It counts from here on, whatever becomes of it. */
static int begin(struct client_port *p, int fd, struct client_greeting *g)
{
    cleanup_fd int owned = fd;
    int rc;

    list_init(&g->node);
    list_append(&p->greetings, &g->node);
    p->stats.n_shaking++;
    rc = take_room(g);
    if (rc == 0)
        rc = greeter_take_in(p->greeter, p->tls, TLS_ACCEPT, take_fd(owned), g->host,
                             clock_mono_us() + TLS_HANDSHAKE_US, on_greeted, g, &g->under_way);
    if (rc != 0)
        leave(g);
    return rc;
}

void client_greet(struct client_port *p, int fd, const struct client_origin *from)
{
    cleanup_free struct client_greeting *g = calloc(1, sizeof(*g));
    int rc = -ENOMEM;

    if (g == NULL) {
        (void)close(fd);
    } else {
        *g = (struct client_greeting){.port = p, .sa = *from->sa, .host = from->host};
        rc = begin(p, fd, g);
    }
    if (rc == 0) {
        (void)take_ptr(g);
        return;
    }
    p->stats.n_refused++;
    client_greet_tell(p, from->sa, g != NULL ? err_text() : "out of memory");
}

void client_greet_drop_stream(struct client_port *p, struct tls_stream *stream)
{
    greeter_drop(p->greeter, stream);
}

void client_greet_drop(struct client_port *p)
{
    while (!list_empty(&p->greetings)) {
        struct client_greeting *g = list_entry(p->greetings.next, struct client_greeting, node);

        greeter_give_up(p->greeter, g->under_way);
        leave(g);
        free(g);
    }
}

void client_greet_end(struct client_port *p)
{
    greeter_free(p->greeter);
}
