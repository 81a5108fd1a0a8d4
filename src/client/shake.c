/* A connection that is there until requests may be sent on it: the handshake of TLS, and the token
 * of who asks. Both are bounded by the time of the dial, and none of the caller's bytes has left
 * before they are done; so whatever fails here, nothing has happened.
 *
 * The token is waited for: a request that was sent behind one that is denied would be judged as
 * nobody's, and some may be allowed to everybody (TLS-33). */
#include <errno.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "client/client_int.h"

#include "base/banned.h"

/* It is a connection for a socket of its own: ridd_connect(). */
static bool is_for_socket(const struct conn *conn)
{
    return !list_empty(&conn->queue) &&
           list_entry(conn->queue.next, struct request, link)->connect_only;
}

/* Who is to be known is known, or is not spoken to (TLS-30); and a token is never said where others
 * may listen (TLS-31). On the local socket the kernel says who asks. */
bool shake_choose(struct conn *conn, char *why, size_t why_size)
{
    const struct secure *s = &conn->client->secure;
    const struct endpoint *to = &conn->to;

    conn->n_secured = conn->client->n_secured;
    conn->wants_tls = !to->is_local && (to->scheme == ENDPOINT_TLS ||
                                        (to->scheme == ENDPOINT_BARE && s->ctx != NULL));
    if (conn->wants_tls && s->ctx == NULL)
        (void)snprintf(why, why_size,
                       "nothing says how to know the server at %s: give ca_file or secret_file",
                       to->text);
    else if (!conn->wants_tls && !to->is_local && s->token != NULL)
        (void)snprintf(why, why_size,
                       "a token is sent within TLS only, and %s is spoken to without: write "
                       "tls://%s, and give ca_file or secret_file",
                       to->text, endpoint_address(to->text));
    else if (conn->wants_tls && is_for_socket(conn))
        (void)snprintf(why, why_size,
                       "%s speaks TLS, and a socket alone is of no use there: see ridd_connect(3)",
                       to->text);
    else
        return true;
    return false;
}

static void fail(struct conn *conn, int rc, uint64_t now_us)
{
    const char *text = err_text_for(rc);
    char why[RIDD_TEXT_SIZE];

    (void)snprintf(why, sizeof(why), "no TLS with %s: %s", conn->to.text,
                   text[0] != '\0' ? text : "the handshake failed");
    conn_fail(conn, rc == -ENOMEM ? CONN_MEMORY : CONN_UNREACHABLE, why, now_us);
}

/* ---- who we are ---- */

/* The token; or, behind a certificate, anything that is answered. */
static int write_proof(struct conn *conn)
{
    struct ridd *c = conn->client;
    const size_t before = conn->out.len;
    int rc;

    conn->proof_id = c->next_msg_id++;
    conn->proof_is_ping = c->secure.token == NULL;
    if (conn->proof_is_ping) {
        rc = buf_add_str(&conn->out, "{\"type\":\"ping\"");
    } else {
        rc = buf_add_str(&conn->out, "{\"type\":\"auth\",\"token\":");
        if (rc == 0)
            rc = buf_add_str(&conn->out, c->secure.token);
    }
    if (rc == 0)
        rc = buf_add_format(&conn->out, ",\"msg_id\":%llu}\n", (unsigned long long)conn->proof_id);
    conn->line_bytes += conn->out.len - before;
    conn->n_lines++;
    return rc;
}

/* A server judges our certificate behind our last word of the handshake: that it has accepted it is
 * seen by the first thing that it says. */
static void shaken(struct conn *conn, uint64_t now_us)
{
    if (conn->client->secure.token == NULL && !conn->client->secure.has_cert) {
        conn_is_open(conn, now_us);
        return;
    }
    conn->state = CONN_PROVING;
    conn->wants_flush = true;
    if (write_proof(conn) != 0)
        conn_fail(conn, CONN_MEMORY, "out of memory", now_us);
}

/* ---- the handshake ---- */

void shake_on_event(struct conn *conn, uint64_t now_us)
{
    const int rc = tls_shake(conn->tls);

    if (rc < 0)
        fail(conn, rc, now_us);
    else if (rc == TLS_DONE)
        shaken(conn, now_us);
    else if (conn_watch(conn, rc == TLS_WANT_WRITE ? EPOLLIN | EPOLLOUT : EPOLLIN) != 0)
        conn_fail(conn, CONN_MEMORY, "out of memory", now_us);
}

void shake_start(struct conn *conn, uint64_t now_us)
{
    const struct secure *s = &conn->client->secure;
    const char *host = s->server_name != NULL ? s->server_name : conn->to.host;
    const int rc = s->ctx != NULL
                       ? tls_stream_new(s->ctx, TLS_DIAL, conn->fd, host, &conn->tls)
                       : err_origin(err_say(-ECANCELED, "the client has no use for it any more"));

    if (rc != 0) {
        fail(conn, rc, now_us);
        return;
    }
    timers_set(&conn->client->timers, &conn->timer, conn->dial_until_us);
    conn->state = CONN_SHAKING;
    shake_on_event(conn, now_us);
}
