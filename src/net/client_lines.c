/* Lines from bytes: cut, measured and handed up, each of them once. What is left of a chunk when
 * reading has to stop is the caller's to keep. */
#include "net/client_int.h"

#include "base/banned.h"

/* Told once and skipped; the second one ends the connection (CLIENT-1). */
static void line_too_long(struct client_conn *c)
{
    struct client_port *p = c->port;

    buf_reset(&c->line, 0);
    c->n_too_long++;
    p->stats.n_too_long++;
    p->ops.on_too_long(p->ops.ctx, c, c->line_no);
    if (c->n_too_long >= 2 && !c->dead) {
        c->ending = true; /* a stash stays, unused: take_lines() may be walking over it */
        client_conn_mark_dirty(c);
    }
}

static bool is_too_long(const struct client_conn *c, size_t len, char last)
{
    return len > c->request_bytes && (len > c->request_bytes + 1 || last != '\r');
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
    if (len > 0)
        p->ops.on_line(p->ops.ctx, c, line, len, c->line_no);
}

/* The newline of a line whose beginning is in c->line; tail is the rest of it. */
static void line_complete(struct client_conn *c, const char *tail, size_t len)
{
    /* Compared before anything is copied: c->line is within the limit, the tail within one chunk.
     */
    if (len > 0 && is_too_long(c, c->line.len + len, tail[len - 1])) {
        c->line_no++;
        c->line_us = 0;
        line_too_long(c);
        return;
    }
    if (buf_add(&c->line, tail, len) != 0) {
        client_conn_die(c, "out of memory");
        return;
    }
    line_hand_up(c, (const char *)c->line.data, c->line.len);
    if (!c->dead)
        buf_reset(&c->line, 0);
}

/* Bytes without a newline at the end of what was read. */
static void line_begin(struct client_conn *c, const char *data, size_t len)
{
    if (c->skipping || len == 0)
        return;
    if (is_too_long(c, c->line.len + len, data[len - 1])) {
        c->line_no++;
        c->skipping = true;
        line_too_long(c);
        return;
    }
    if (buf_add(&c->line, data, len) != 0)
        client_conn_die(c, "out of memory");
}

size_t client_lines_take(struct client_conn *c, const char *data, size_t len, unsigned *lines_left)
{
    const char *newline;
    size_t at = 0;
    size_t n;

    while (at < len) {
        if (!client_conn_may_take_lines(c) || client_conn_over_limits(c) || *lines_left == 0)
            return at;
        newline = memchr(data + at, '\n', len - at);
        if (newline == NULL) {
            line_begin(c, data + at, len - at);
            return len;
        }
        n = (size_t)(newline - (data + at));
        if (c->skipping) {
            c->skipping = false;
            c->line_us = 0;
        } else if (c->line.len > 0) {
            line_complete(c, data + at, n);
        } else {
            line_hand_up(c, data + at, n);
        }
        at += n + 1;
        (*lines_left)--;
        if (c->port != NULL)
            c->port->lines_taken++;
    }
    return at;
}

void client_lines_end(struct client_conn *c)
{
    if (c->line.len > 0 && client_conn_may_take_lines(c))
        line_complete(c, NULL, 0);
}
