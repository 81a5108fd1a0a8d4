/* A server of keys for tests of a load, as slow and as dishonest as a test wants: it speaks what
 * ridbench asks of ridd, holds one value for each key number, and does one thing for each call.
 *
 * One thread; no clock: who calls it says when. */
#ifndef RIDD_UNIT_LOAD_SERVER_H
#define RIDD_UNIT_LOAD_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#define LOAD_SERVER_CONNS 16u
#define LOAD_SERVER_KEYS  1000u

struct load_server {
    int listener;
    int fds[LOAD_SERVER_CONNS];
    char *in[LOAD_SERVER_CONNS];
    size_t in_len[LOAD_SERVER_CONNS];
    char *values[LOAD_SERVER_KEYS];
    char *older[LOAD_SERVER_KEYS]; /* what was written over last */
    char address[128];

    const char *leader;  /* not NULL: it leads, and everything is refused */
    const char *foreign; /* a key that a scan finds; NULL: none */
    const char *foreign_value;
    bool lies;            /* reads find what was written over */
    bool lies_of_absence; /* reads find nothing */
    bool garbles;         /* answers are no JSON */
    unsigned
        drop_after;   /* the next write behind so many lines is done, and the connection closed */
    unsigned mute_at; /* that line is never answered; 0: none */
    unsigned n_lines;
    unsigned n_reads;
    unsigned n_writes;
    unsigned n_twice; /* writes of what was there already */
    unsigned n_foreign_removed;
};

/* Listens on a socket in that folder, or, NULL, on a port of 127.0.0.1. */
void load_server_begin(struct load_server *s, const char *folder);
void load_server_end(struct load_server *s);
/* Takes and answers what there is, without waiting; false: there was nothing. */
bool load_server_serve(struct load_server *s);
/* Waits for something at most so long, and serves it. */
void load_server_wait(struct load_server *s, int timeout_ms);
/* How many keys have a value. */
unsigned load_server_n_keys(const struct load_server *s);

#endif
