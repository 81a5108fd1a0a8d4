/* Lines from bytes: cut, measured and handed up, each of them once. What is left of a chunk when
 * reading has to stop is the caller's to keep. */
#include "net/client_int.h"
#include "wire/line_head.h"

#include "base/banned.h"

/* Told once and skipped; the second one ends the connection (CLIENT-1). */
static void line_too_long(struct client_conn *c)
{
    struct client_port *p = c->port;

    buf_reset(&c->line, 0);
    c->n_too_long++;
    p->stats.n_too_long++;
    p->ops.on_too_long(p->ops.ctx, c, c->line_no);
    if (c->n_too_long >= 2)
        client_conn_end(c, "lines too long");
}

/* Who does not speak our protocol was made to send this, by a web page for example: answered once,
 * and nothing of it is run, neither this line nor any behind it (CLIENT-11). */
static void line_foreign(struct client_conn *c, enum wire_foreign what)
{
    struct client_port *p = c->port;

    buf_reset(&c->line, 0);
    c->line_no++;
    c->line_us = 0;
    p->stats.n_foreign++;
    p->ops.on_foreign(p->ops.ctx, c, c->line_no, what);
    client_conn_end(c, "not our protocol");
}

static enum wire_foreign what_it_is(const struct client_conn *c, char first)
{
    if (c->greeted)
        return WIRE_FOREIGN_HTTP;
    return wire_line_is_tls(first) ? WIRE_FOREIGN_TLS : WIRE_FOREIGN_OTHER;
}

/* White space is counted, not walked over again with each piece of it that comes. */
static bool look_at_head(struct client_conn *c, const char *text, size_t len)
{
    enum wire_line_head head;

    if (c->judged || c->port->ops.on_foreign == NULL)
        return false;
    while (c->n_blank < len && wire_line_is_blank(text[c->n_blank]))
        c->n_blank++;
    head = wire_line_head(text + c->n_blank, len - c->n_blank, !c->greeted);
    if (head == WIRE_LINE_FOREIGN) {
        line_foreign(c, what_it_is(c, text[0]));
        return true;
    }
    c->judged = head == WIRE_LINE_OURS;
    c->greeted = c->greeted || c->judged;
    return false;
}

/* text is the line as far as it has come, from its first byte. True: it was foreign. */
static inline bool refuse_foreign(struct client_conn *c, const char *text, size_t len)
{
    if (len == 0 || !wire_line_is_object(text[0]))
        return look_at_head(c, text, len);
    c->judged = true;
    c->greeted = true;
    return false;
}

static void line_end(struct client_conn *c)
{
    c->skipping = false;
    c->judged = false;
    c->n_blank = 0;
}

static bool is_too_long(const struct client_conn *c, size_t len, char last)
{
    return len > c->request_bytes && (len > c->request_bytes + 1 || last != '\r');
}

/* What was stripped of it stays stripped. */
static void line_keep(struct client_conn *c, const char *line, size_t len)
{
    if (c->line.len == 0 && buf_add(&c->line, line, len) != 0)
        client_conn_die(c, "out of memory");
    c->line.len = len;
}

static void line_hand_up(struct client_conn *c, const char *line, size_t len)
{
    struct client_port *p = c->port;

    c->line_no++;
    c->line_us = 0;
    if (len > 0 && is_too_long(c, len, line[len - 1])) {
        line_too_long(c);
        return;
    }
    if (len > 0 && line[len - 1] == '\r')
        len--;
    if (len == 0)
        return;
    client_turns_line(c);
    c->again = p->ops.on_line(p->ops.ctx, c, line, len, c->line_no);
    if (c->again && !c->dead)
        line_keep(c, line, len);
}

void client_lines_again(struct client_conn *c)
{
    struct client_port *p = c->port;

    c->again = p->ops.on_line(p->ops.ctx, c, (const char *)c->line.data, c->line.len, c->line_no);
    if (!c->again && !c->dead)
        buf_reset(&c->line, 0);
}

/* Of a line that came in pieces, its beginning in c->line. If that was nothing but white space, or
 * half a method, nobody will know any more how it goes on: the worse is assumed. */
static void pieces_too_long(struct client_conn *c)
{
    if (!c->judged && c->port->ops.on_foreign != NULL) {
        line_foreign(c, WIRE_FOREIGN_OTHER);
        return;
    }
    c->line_no++;
    c->line_us = 0;
    line_too_long(c);
}

/* The newline of a line whose beginning is in c->line; tail is the rest of it. */
static void line_complete(struct client_conn *c, const char *tail, size_t len)
{
    /* Compared before anything is copied: c->line is within the limit, the tail within one chunk.
     */
    if (len > 0 && is_too_long(c, c->line.len + len, tail[len - 1])) {
        pieces_too_long(c);
        return;
    }
    if (buf_add(&c->line, tail, len) != 0) {
        client_conn_die(c, "out of memory");
        return;
    }
    if (refuse_foreign(c, (const char *)c->line.data, c->line.len))
        return;
    line_hand_up(c, (const char *)c->line.data, c->line.len);
    if (!c->dead && !c->again)
        buf_reset(&c->line, 0);
}

/* Lines that are long and not whole are charged, and refused like requests when too many bytes are
 * under way; waiting would hold the very bytes that the rest of a line sets free (CLIENT-13). */
static bool no_memory_for_line(const struct client_conn *c, size_t len)
{
    const size_t after = buf_size_with(&c->line, len);

    return after > CLIENT_LINE_FREE_BYTES && after > c->line.size &&
           !memory_conn_may_hold(&c->memory, after - c->line.size, 0);
}

static void line_overloaded(struct client_conn *c)
{
    struct client_port *p = c->port;

    buf_reset(&c->line, 0);
    c->line_no++;
    c->skipping = true;
    p->stats.n_overloaded++;
    p->ops.on_overloaded(p->ops.ctx, c, c->line_no);
}

/* Bytes without a newline at the end of what was read. */
static void line_begin(struct client_conn *c, const char *data, size_t len)
{
    if (c->skipping || len == 0 || (c->line.len == 0 && refuse_foreign(c, data, len)))
        return;
    if (is_too_long(c, c->line.len + len, data[len - 1])) {
        c->skipping = true;
        pieces_too_long(c);
        return;
    }
    if (no_memory_for_line(c, len)) {
        line_overloaded(c);
        return;
    }
    if (buf_add(&c->line, data, len) != 0)
        client_conn_die(c, "out of memory");
    else
        (void)refuse_foreign(c, (const char *)c->line.data, c->line.len);
}

size_t client_lines_take(struct client_conn *c, const char *data, size_t len)
{
    const char *newline;
    size_t at = 0;
    size_t n;

    while (at < len) {
        if (!client_conn_may_take_lines(c) || client_conn_over_limits(c) || c->again ||
            c->port->share == 0 || client_turns_bars(c))
            return at;
        newline = memchr(data + at, '\n', len - at);
        if (newline == NULL) {
            line_begin(c, data + at, len - at);
            if (c->port != NULL)
                client_turns_step(c, len - at);
            return len;
        }
        n = (size_t)(newline - (data + at));
        if (c->skipping) {
            c->line_us = 0;
        } else if (c->line.len > 0) {
            line_complete(c, data + at, n);
        } else if (!refuse_foreign(c, data + at, n)) {
            line_hand_up(c, data + at, n);
        }
        line_end(c);
        at += n + 1;
        if (c->port != NULL)
            client_turns_step(c, n);
    }
    return at;
}

void client_lines_end(struct client_conn *c)
{
    if (c->line.len > 0 && client_conn_may_take_lines(c))
        line_complete(c, NULL, 0);
}
