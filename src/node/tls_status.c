/* What a node shows of TLS: what it is done with, and the ends of its certificates. Subjects and
 * days, and no file: whoever may ask for the status need not know where keys lie. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

/* "secret", "certificates", "secret and certificates", "none". */
static const char *means(const struct conf_security *s, const char *cert)
{
    if (s->secret_file[0] == '\0')
        return cert[0] != '\0' ? "certificates" : "none";
    return cert[0] != '\0' ? "secret and certificates" : "secret";
}

static int64_t left_s(const struct tls_expiry *e)
{
    return e->not_after_s - (int64_t)(clock_wall_us() / 1000000u);
}

void node_tls_status(const struct node *n, struct wire_reply *w)
{
    const struct conf_security *s = &node_conf(n)->security;
    struct client_port_stats clients;

    client_port_get_stats(n->client_port, &clients);
    wire_reply_open_object(w, "security");
    wire_reply_str(w, "peers", means(s, s->peer_cert));
    wire_reply_str(w, "clients", means(s, s->client_cert));
    wire_reply_u64(w, "handshakes", clients.n_handshakes);
    wire_reply_u64(w, "handshakes_failed", clients.n_handshakes_failed);
    wire_reply_open_array(w, "certificates");
    for (unsigned i = 0; i < n->tls.n_expiries; i++) {
        const struct tls_expiry *e = &n->tls.expiries[i];

        wire_reply_open_object(w, NULL);
        wire_reply_str(w, "what", e->what);
        wire_reply_str(w, "subject", e->subject);
        wire_reply_u64(w, "not_after_s", e->not_after_s > 0 ? (uint64_t)e->not_after_s : 0);
        wire_reply_close_object(w);
    }
    wire_reply_close_array(w);
    wire_reply_close_object(w);
}

/* The day, as people write it. */
static void day_of(int64_t at_s, char *ret, size_t size)
{
    const time_t at = (time_t)at_s;
    struct tm tm;

    if (gmtime_r(&at, &tm) == NULL || strftime(ret, size, "%Y-%m-%d", &tm) == 0)
        (void)snprintf(ret, size, "a day that is unknown");
}

/* False: it is good for long. */
static bool say_end(const struct tls_expiry *e, char *ret, size_t size)
{
    const int64_t left = left_s(e);
    const int64_t days = left / TLS_DAY_S;
    char day[32];

    if (left > TLS_EXPIRY_WARNING_S)
        return false;
    day_of(e->not_after_s, day, sizeof(day));
    if (left > 0)
        (void)snprintf(ret, size,
                       "the certificate of %s ends on %s, in %lld day%s: renew it and reload",
                       e->what, day, (long long)days, days == 1 ? "" : "s");
    else
        (void)snprintf(ret, size,
                       "the certificate of %s ended on %s: nobody is let in by it any more; renew "
                       "it and reload",
                       e->what, day);
    return true;
}

void node_tls_warnings(const struct node *n, struct wire_reply *w)
{
    char text[CONF_OPEN_WARNING_BYTES];

    if (conf_open_warning(node_conf(n), text, sizeof(text)))
        wire_reply_str(w, NULL, text);
    for (unsigned i = 0; i < n->tls.n_expiries; i++)
        if (say_end(&n->tls.expiries[i], text, sizeof(text)))
            wire_reply_str(w, NULL, text);
}
