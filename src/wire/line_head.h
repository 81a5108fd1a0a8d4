/* Does a line begin as one of ours can? Told from its first bytes, before its end has come.
 *
 * For: the client port. A browser can be made to send any text to any port, as the body of an HTTP
 * request: whoever goes on after a line that is none runs what a web page wrote (CLIENT-11).
 * Not for: whether a line is well-formed: that is wire/request.h's, and what is malformed there
 * closes nothing.
 * Units: bytes.
 * Ownership: nothing is kept.
 * Thread: pure, any thread.
 * Source: ridd-protocol(7), Lines; the methods are those of RFC 9110, RFC 5789 and the preface of
 * HTTP/2.
 *
 * Obvious: errors. */
#ifndef RIDD_WIRE_LINE_HEAD_H
#define RIDD_WIRE_LINE_HEAD_H

#include <stdbool.h>
#include <stddef.h>

enum wire_line_head {
    WIRE_LINE_UNDECIDED, /* more bytes are needed */
    WIRE_LINE_OURS,
    WIRE_LINE_FOREIGN,
};

/* What a foreign line looks like, for who is told so. */
enum wire_foreign {
    WIRE_FOREIGN_OTHER, /* no request */
    WIRE_FOREIGN_HTTP,  /* HTTP, behind lines that were ours */
    WIRE_FOREIGN_TLS,   /* a connection that begins as TLS does, where plain text is spoken */
};

/* The first byte of a connection by TLS: a record with a part of a handshake (RFC 8446, 5.1). */
static inline bool wire_line_is_tls(char c)
{
    return c == 0x16;
}

/* What may stand before the first byte of a line. */
static inline bool wire_line_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A line that begins so, behind white space, is ours whatever came before it. */
static inline bool wire_line_is_object(char c)
{
    return c == '{';
}

/* head is what is there of the line, behind white space; first: no line of the connection before it
 * was anything but white space. */
enum wire_line_head wire_line_head(const char *head, size_t len, bool first);

#endif
