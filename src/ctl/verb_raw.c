/* raw: lines from standard input to one node, its lines to standard output as they come. At the end
 * of the input the connection is half-closed; the server then answers what it owes and closes its
 * side, which ends us. Nothing is looked at, so that a wrong request can be tried too. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

struct raw {
    const struct ctl *ctl;
    const char *endpoint;
    int fd;
    struct buf out;
    bool input_ended;
    bool half_closed;
    bool broken; /* the server took no more, before the end of the input */
};

static int write_all(const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Each step: CTL_EXIT_OK to go on, otherwise the end, reported. */
static int take_input(struct raw *raw)
{
    void *p = buf_reserve(&raw->out, CTL_CHUNK_BYTES);
    ssize_t n;

    if (p == NULL)
        return report_no_memory(raw->ctl);
    n = read(STDIN_FILENO, p, CTL_CHUNK_BYTES);
    if (n > 0)
        raw->out.len += (size_t)n;
    else if (n == 0)
        raw->input_ended = true;
    else if (errno != EINTR && errno != EAGAIN)
        return report(raw->ctl, CTL_EXIT_USAGE, "cannot read standard input: %s", strerror(errno));
    return CTL_EXIT_OK;
}

static int send_output(struct raw *raw)
{
    ssize_t n = send(raw->fd, raw->out.data, raw->out.len, MSG_NOSIGNAL);

    if (n > 0)
        buf_consume(&raw->out, (size_t)n);
    else if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
        /* Whatever it said before it hung up is still to be read. */
        raw->out.len = 0;
        raw->input_ended = true;
        raw->half_closed = true;
        raw->broken = true;
    }
    return CTL_EXIT_OK;
}

/* *ret_end: the server closed its side. */
static int take_replies(struct raw *raw, bool *ret_end)
{
    char data[CTL_CHUNK_BYTES];
    ssize_t n = recv(raw->fd, data, sizeof(data), 0);

    if (n > 0)
        return write_all(data, (size_t)n) == 0
                   ? CTL_EXIT_OK
                   : report(raw->ctl, CTL_EXIT_OUTPUT, "cannot write to standard output: %s",
                            strerror(errno));
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return CTL_EXIT_OK;
    *ret_end = true;
    if (n < 0 || raw->broken || !raw->input_ended || raw->out.len > 0)
        return report(raw->ctl, CTL_EXIT_NOBODY,
                      "%s closed the connection before the end of the input", raw->endpoint);
    return CTL_EXIT_OK;
}

static int half_close(struct raw *raw)
{
    if (raw->input_ended && raw->out.len == 0 && !raw->half_closed) {
        (void)shutdown(raw->fd, SHUT_WR);
        raw->half_closed = true;
    }
    return CTL_EXIT_OK;
}

/* Silence is bounded only once the input has ended: until then a person may be thinking. */
static int pump(struct raw *raw, unsigned timeout_ms)
{
    int exit_code = CTL_EXIT_OK;
    bool end = false;

    while (exit_code == CTL_EXIT_OK && !end) {
        struct pollfd p[2] = {
            {.fd = raw->fd, .events = (short)(POLLIN | (raw->out.len > 0 ? POLLOUT : 0))},
            {.fd = raw->input_ended || raw->out.len >= CTL_RAW_OUT_BYTES_MAX ? -1 : STDIN_FILENO,
             .events = POLLIN},
        };
        int n = poll(p, 2, raw->half_closed ? (int)timeout_ms : -1);

        if (n < 0 && errno != EINTR)
            return report(raw->ctl, CTL_EXIT_SYSTEM, "cannot wait for input: %s", strerror(errno));
        if (n == 0)
            return report(raw->ctl, CTL_EXIT_AGAIN,
                          "%s still owes an answer after %u ms of silence; give --timeout more",
                          raw->endpoint, timeout_ms);
        if (n > 0 && p[1].revents != 0)
            exit_code = take_input(raw);
        if (exit_code == CTL_EXIT_OK && raw->out.len > 0)
            exit_code = send_output(raw);
        if (exit_code == CTL_EXIT_OK && n > 0 && (p[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
            exit_code = take_replies(raw, &end);
        if (exit_code == CTL_EXIT_OK && !end)
            exit_code = half_close(raw);
    }
    return exit_code;
}

int verb_raw(struct ctl *ctl)
{
    struct ridd *client = NULL;
    struct ridd_reply *r;
    int fd = -1;
    int exit_code = cluster_open(ctl, &client);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    r = ridd_connect(client, &fd);
    if (fd < 0) {
        exit_code = report_failure(ctl, r, NULL);
    } else {
        struct raw raw = {.ctl = ctl, .endpoint = r->endpoint, .fd = fd, .out = BUF_INIT};

        exit_code = pump(&raw, ctl->timeout_ms != 0 ? ctl->timeout_ms : TIMEOUT_MS_DEFAULT);
        buf_done(&raw.out);
        (void)close(fd);
    }
    ridd_reply_free(r);
    ridd_close(client);
    return exit_code;
}
