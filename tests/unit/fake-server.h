/* A scripted server for tests of clients: it answers lines by a list of steps, in threads of its
 * own.
 *
 * For each line received, the first step that matches and is not used up is taken. "%ID" in a reply
 * becomes the msg_id of the request. Everything received is kept, so that a test can say what was
 * sent and how often. Waiting is on conditions with a deadline; the server owns its threads and
 * fake_stop() joins them all. */
#ifndef RIDD_TESTS_FAKE_SERVER_H
#define RIDD_TESTS_FAKE_SERVER_H

#include <stddef.h>
#include <sys/types.h>

enum fake_action {
    FAKE_REPLY = 0,       /* the reply and a newline */
    FAKE_REPLY_BYTEWISE,  /* the same, one byte per segment */
    FAKE_REPLY_AND_CLOSE, /* the same, then end of file */
    FAKE_CLOSE,           /* no answer: end of file */
    FAKE_SILENT,          /* no answer, the connection stays */
    FAKE_STALL, /* no answer, and nothing is read until fake_stop() or fake_go_on(), not even the end */
    FAKE_FLOOD,         /* 2 MiB without a newline */
    FAKE_HOLD,          /* none until fake_answer() */
    FAKE_REPLY_IN_TURN, /* as FAKE_REPLY, each of a connection two milliseconds after the other */
    FAKE_REPLY_AFTER,   /* as FAKE_REPLY, from when the step behind it in the list was taken */
};

struct fake_step {
    const char *match; /* part of the line; NULL: any */
    enum fake_action action;
    const char *reply;
    unsigned times; /* 0: for ever */
};

struct fake_server;

/* Listens on a free port of 127.0.0.1. Steps are borrowed until fake_stop(). */
struct fake_server *fake_start(const struct fake_step *steps, size_t n_steps);
/* Sent on each new connection before anything is read (NULL: nothing). Before the first connection.
 */
void fake_set_greeting(struct fake_server *s, const char *line, int and_close, unsigned times);
/* How bytes go on its connections, instead of plainly: unit/fake-tls.h. Each of them by one thread
 * that receives, and any that send. */
struct fake_transport {
    void *(*open)(void *arg, int fd); /* NULL: it came to nothing, and fd is closed */
    ssize_t (*receive)(void *conn, void *data, size_t size); /* as recv(2), and waits */
    ssize_t (*send)(void *conn, const void *data, size_t len);
    void (*close)(void *conn);
    void *arg;
};
/* Before the first connection. Borrowed until fake_stop(). */
void fake_set_transport(struct fake_server *s, const struct fake_transport *transport);
/* After a change of what the steps point at, for the server's threads to see it. */
void fake_publish(struct fake_server *s);
void fake_stop(struct fake_server *s);
/* "127.0.0.1:12345", lives as long as the server. */
const char *fake_address(const struct fake_server *s);
/* Lines received that hold match (NULL: all). */
unsigned fake_count(struct fake_server *s, const char *match);
/* The nth line received that holds match; "" when there is none. Lives as long as the server. */
const char *fake_line(struct fake_server *s, const char *match, unsigned nth);
/* Waits for a line that is held and has match in it (NULL: any), and sends a reply to it, the newline
 * included; false: none came within ten seconds, or its connection is closed. */
int fake_answer(struct fake_server *s, const char *match, const char *reply);
/* Those that stall read on. */
void fake_go_on(struct fake_server *s);
/* Connections that were accepted so far. */
unsigned fake_connections(struct fake_server *s);
/* Ends every connection that is open now, with a reset. */
void fake_hang_up(struct fake_server *s);
/* Waits until n connections were closed by the server; fails the test after five seconds. */
void fake_wait_closed(struct fake_server *s, unsigned n);

/* An address that refuses connections for as long as the returned descriptor is open. */
int fake_refusing_port(char *ret_address, size_t size);

#endif
