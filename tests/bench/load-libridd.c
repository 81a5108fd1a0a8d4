/* The same load from clients of libridd, one for each connection: what a program gets that does not
 * speak the protocol itself, and what it pays for it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/load.h"
#include "client/ridd_async.h"

struct caller {
    struct ridd *client;
    bool ends;
};

static const struct {
    const char *op;
    enum ridd_op_type type;
    enum ridd_via via;
} ops[] = {
    {"read", RIDD_OP_GET, RIDD_VIA_DEFAULT},
    {"read_index", RIDD_OP_GET, RIDD_VIA_READ_INDEX},
    {"read_via_log", RIDD_OP_GET, RIDD_VIA_LOG},
    {"lease_read", RIDD_OP_GET, RIDD_VIA_LEASE},
    {"follower_read", RIDD_OP_GET, RIDD_VIA_FOLLOWER},
    {"local_read", RIDD_OP_GET, RIDD_VIA_LOCAL},
    {"write", RIDD_OP_PUT, RIDD_VIA_DEFAULT},
    {"ping", RIDD_OP_PING, RIDD_VIA_DEFAULT},
};

static void ask(struct caller *caller);

static void on_reply(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct caller *caller = arg;
    const char *error = reply->status != RIDD_OK ? reply->text : NULL;

    (void)client;
    if (!caller->ends) {
        load_note(reply->elapsed_us, error, error != NULL ? strlen(error) : 0);
        ask(caller);
    }
    ridd_reply_free(reply);
}

static void ask(struct caller *caller)
{
    const char *name = load_next_op();
    struct ridd_op op = ridd_op(RIDD_OP_PING);
    char key[32];

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (strcmp(ops[i].op, name) != 0)
            continue;
        op.type = ops[i].type;
        op.via = ops[i].via;
    }
    (void)snprintf(key, sizeof(key), "key-%u", load_next_key());
    op.key = ridd_key(key);
    op.value = ridd_value_string(load.value);
    if (ridd_async_start(caller->client, &op, on_reply, caller) == 0) {
        errno = ENOMEM;
        die("cannot begin a request");
    }
}

static void check_op(void)
{
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (strcmp(ops[i].op, load.op) == 0)
            return;
    errno = EINVAL;
    die(load.op);
}

static void open_caller(struct caller *caller, int epoll, uint64_t seed)
{
    struct ridd_options options = {
        .seed = seed,
        .flags = (load.spread ? RIDD_FLAG_SPREAD : 0) | (load.session ? RIDD_FLAG_SESSION : 0)};
    struct ridd_limits limits = {.requests = load.in_flight, .in_flight = load.in_flight};
    struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = caller}};

    errno = EINVAL;
    if (ridd_open(load.addr, &options, &caller->client) != RIDD_OK ||
        ridd_set_limits(caller->client, &limits) != RIDD_OK ||
        ridd_set_prefer(caller->client, load.prefer) != RIDD_OK)
        die(load.addr);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, ridd_async_fd(caller->client), &e) != 0)
        die("epoll_ctl");
}

/* Deadlines are looked at every 100 ms: none is near. */
static void turn(int epoll, struct caller *callers)
{
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, 100);

    for (int i = 0; i < n; i++)
        (void)ridd_process(((struct caller *)events[i].data.ptr)->client);
    for (unsigned i = 0; i < load.n_connections; i++)
        if (ridd_async_timeout_us(callers[i].client) == 0)
            (void)ridd_process(callers[i].client);
}

uint64_t load_libridd(void)
{
    struct caller *callers = calloc(load.n_connections, sizeof(*callers));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t begun_us;
    uint64_t end_us;

    if (callers == NULL || epoll < 0)
        die("epoll");
    check_op();
    for (unsigned i = 0; i < load.n_connections; i++)
        open_caller(&callers[i], epoll, i + 1);
    begun_us = clock_mono_us();
    end_us = begun_us + (uint64_t)(load.seconds * 1e6);
    for (unsigned i = 0; i < load.n_connections; i++)
        for (unsigned k = 0; k < load.in_flight; k++)
            ask(&callers[i]);
    while (clock_mono_us() < end_us)
        turn(epoll, callers);
    end_us = clock_mono_us();
    for (unsigned i = 0; i < load.n_connections; i++) {
        callers[i].ends = true;
        ridd_close(callers[i].client);
    }
    free(callers);
    (void)close(epoll);
    return end_us - begun_us;
}
