/* The bytes of a client's connection, in plain text or by TLS: the same to who reads and writes. */
#include <string.h>

#include "net/client_int.h"

#include "base/banned.h"

ssize_t client_bytes_send_records(struct client_conn *c, const unsigned char *data, size_t len)
{
    size_t at = 0;
    ssize_t n;

    do {
        n = tls_send(c->stream, data + at, len - at);
        if (n > 0)
            at += (size_t)n;
    } while (n > 0 && at < len);
    return at > 0 ? (ssize_t)at : n;
}

const char *client_bytes_why(const struct client_conn *c, int error)
{
    return c->stream != NULL ? tls_stream_why(c->stream) : strerror(error);
}

void client_bytes_say_end(struct client_conn *c)
{
    if (c->stream != NULL && client_conn_out_bytes(c) == 0)
        tls_say_end(c->stream);
}
