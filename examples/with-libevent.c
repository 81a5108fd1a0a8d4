/* libridd in a loop of libevent: writes a hundred keys at once, then reads them all in pages of a
 * scan, or one by one where the servers do not know scans.
 *
 *     cc -std=c99 with-libevent.c $(pkg-config --cflags --libs libridd libevent_core) -o with-libevent
 *     ./with-libevent 127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420 */
#include <event2/event.h>
#include <ridd_event.h>
#include <stdio.h>

#define N_KEYS 100

struct work {
    unsigned n_left;
    unsigned n_failed;
    unsigned n_read;
};

static void key_name(char *name, size_t size, unsigned i)
{
    (void)snprintf(name, size, "examples/event/%03u", i);
}

static void on_value(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct work *work = (struct work *)arg;

    if (reply->status == RIDD_OK && reply->exists)
        work->n_read++;
    else
        work->n_failed++;
    ridd_reply_free(reply);
    if (--work->n_left == 0)
        ridd_close(client); /* the last callback ends the loop: nothing is left to wait for */
}

static void read_all(struct ridd *client, struct work *work)
{
    char name[64];

    work->n_left = N_KEYS;
    for (unsigned i = 0; i < N_KEYS; i++) {
        key_name(name, sizeof(name), i);
        if (ridd_async_get(client, ridd_key(name), RIDD_VIA_READ_INDEX, on_value, work) == 0) {
            work->n_failed++;
            work->n_left--;
        }
    }
    if (work->n_left == 0)
        ridd_close(client);
}

static void on_written(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct work *work = (struct work *)arg;

    if (reply->status != RIDD_OK) {
        fprintf(stderr, "cannot write: %s\n", reply->text);
        work->n_failed++;
    }
    ridd_reply_free(reply);
    if (--work->n_left == 0)
        read_all(client, work);
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    struct work work = {0, 0, 0};
    struct ridd *client;
    char name[64];

    if (base == NULL || argc < 2 || ridd_open(argv[1], NULL, &client) != RIDD_OK) {
        fprintf(stderr, "usage: with-libevent HOST:PORT,...\n");
        return 64;
    }
    if (ridd_event_join(client, base) == NULL)
        return 71;
    work.n_left = N_KEYS;
    for (unsigned i = 0; i < N_KEYS; i++) {
        key_name(name, sizeof(name), i);
        if (ridd_async_put(client, ridd_key(name), ridd_value_integer(i), on_written, &work) == 0)
            return 71;
    }
    (void)event_base_dispatch(base); /* returns when the client is gone */
    event_base_free(base);
    printf("%u read, %u failed\n", work.n_read, work.n_failed);
    return work.n_failed == 0 ? 0 : 1;
}
