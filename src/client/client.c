/* A client is opened, told how to behave, and taken apart. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/client_int.h"

#include "base/banned.h"

/* The header is told what it is by hand, since programs have no config.h. */
static_assert(__builtin_strcmp(RIDD_VERSION, PACKAGE_VERSION) == 0,
              "configure.ac and ridd.h name one version");

const char *ridd_version(void)
{
    return RIDD_VERSION;
}

unsigned ridd_version_number(void)
{
    return RIDD_VERSION_NUMBER;
}

enum ridd_status ridd_check_endpoints(const char *endpoints, char *text, size_t size)
{
    struct endpoint list[RIDD_ENDPOINTS_MAX];
    char why[RIDD_TEXT_SIZE] = "no endpoint given: write host:port,host:port";
    unsigned n;

    if (endpoints != NULL && endpoint_parse_list(endpoints, list, &n, why, sizeof(why)))
        return RIDD_OK;
    if (size > 0)
        (void)snprintf(text, size, "%s", why);
    return RIDD_INVALID;
}

static uint64_t fresh_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
        seed = clock_mono_us();
    return seed;
}

/* ---- settings ---- */

bool retry_resolve(const struct ridd_retry *given, struct ridd_retry *ret)
{
    struct ridd_retry r = *given;

    r.max_retries = r.max_retries == 0 ? UINT_MAX : r.max_retries;
    if (given->max_retries == RIDD_NONE)
        r.max_retries = 0;
    if (r.backoff_ms == 0)
        r.backoff_ms = CALL_BACKOFF_US_MIN / 1000;
    if (r.backoff_ms_max == 0)
        r.backoff_ms_max = (unsigned)max_u64(CALL_BACKOFF_US_MAX / 1000, r.backoff_ms);
    if (r.jitter_percent == 0)
        r.jitter_percent = CALL_JITTER_PERCENT;
    if (given->jitter_percent == RIDD_NONE)
        r.jitter_percent = 0;
    if (r.backoff_ms > r.backoff_ms_max || r.backoff_ms_max > TIMEOUT_MS_MAX ||
        r.jitter_percent > 100 || r.total_ms > CALL_LONG_TIMEOUT_MS_MAX)
        return false;
    *ret = r;
    return true;
}

enum ridd_status ridd_set_retry(struct ridd *client, const struct ridd_retry *retry)
{
    static const struct ridd_retry defaults = {0, 0, 0, 0, 0};

    return retry_resolve(retry != NULL ? retry : &defaults, &client->retry) ? RIDD_OK
                                                                            : RIDD_INVALID;
}

enum ridd_status ridd_set_limits(struct ridd *client, const struct ridd_limits *limits)
{
    struct ridd_limits l = {0, 0, 0};

    if (limits != NULL)
        l = *limits;
    if (l.requests == 0)
        l.requests = CALL_REQUESTS_DEFAULT;
    if (l.in_flight == 0)
        l.in_flight = CALL_IN_FLIGHT_DEFAULT;
    if (l.bytes == 0)
        l.bytes = CALL_BYTES_DEFAULT;
    if (l.requests > CALL_REQUESTS_MAX || l.in_flight > CALL_IN_FLIGHT_MAX)
        return RIDD_INVALID;
    client->limits = l;
    return RIDD_OK;
}

enum ridd_status ridd_set_timeout(struct ridd *client, unsigned timeout_ms)
{
    if (timeout_ms == 0 || timeout_ms > TIMEOUT_MS_MAX)
        return RIDD_INVALID;
    client->timeout_ms = timeout_ms;
    return RIDD_OK;
}

enum ridd_status ridd_set_prefer(struct ridd *client, const char *endpoint)
{
    struct endpoint at;
    char why[RIDD_TEXT_SIZE];
    struct node *n;

    if (endpoint == NULL || endpoint[0] == '\0') {
        client->prefer = NULL;
        return RIDD_OK;
    }
    if (!endpoint_parse(endpoint, strlen(endpoint), &at, why, sizeof(why)))
        return RIDD_INVALID;
    n = node_get(client, &at);
    if (n == NULL)
        return RIDD_NO_MEMORY;
    client->prefer = n;
    return RIDD_OK;
}

unsigned ridd_endpoint_count(const struct ridd *client)
{
    return client->n_endpoints;
}

const char *ridd_endpoint(const struct ridd *client, unsigned place)
{
    return place < client->n_endpoints ? client->nodes[place]->at.text : NULL;
}

/* ---- opening ---- */

void client_free(struct ridd *c)
{
    list_for_each_safe(it, &c->dead) conn_free(list_entry(it, struct conn, link));
    for (unsigned i = 0; i < c->n_nodes; i++)
        node_free(c->nodes[i]);
    list_for_each_safe(it, &c->conns) conn_free(list_entry(it, struct conn, link));
    table_done(&c->by_id);
    table_done(&c->by_msg);
    timers_done(&c->timers);
    secure_done(&c->secure);
    if (c->epoll_fd >= 0)
        (void)close(c->epoll_fd);
    if (c->wake_fd >= 0)
        (void)close(c->wake_fd);
    free(c);
}

DEFINE_CLEANUP(client, struct ridd *, client_free);
#define cleanup_client CLEANUP(client)

static struct ridd *client_new(void)
{
    struct ridd *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->epoll_fd = -1;
    c->wake_fd = -1;
    c->next_id = 1;
    c->next_msg_id = 1;
    list_init(&c->ready);
    list_init(&c->waiting);
    list_init(&c->done);
    list_init(&c->done_inside);
    list_init(&c->conns);
    list_init(&c->unread);
    list_init(&c->dead);
    list_init(&c->session.writes);
    list_init(&c->session.held);
    list_init(&c->session.held_for_cluster);
    (void)ridd_set_retry(c, NULL);
    (void)ridd_set_limits(c, NULL);
    return c;
}

/* What it waits with; the eventfd is what wakes it. */
static bool open_loop(struct ridd *c)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = NULL}};

    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return c->epoll_fd >= 0 && c->wake_fd >= 0 &&
           epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->wake_fd, &e) == 0 &&
           timers_own(&c->timers) == 0;
}

enum ridd_status ridd_open(const char *endpoints, const struct ridd_options *options,
                           struct ridd **ret_client)
{
    static const struct ridd_options defaults = {0, 0, 0, 0};
    struct endpoint list[RIDD_ENDPOINTS_MAX];
    cleanup_client struct ridd *c = client_new();
    char why[RIDD_TEXT_SIZE];
    unsigned n;

    if (c == NULL)
        return RIDD_NO_MEMORY;
    if (options == NULL)
        options = &defaults;
    if (endpoints == NULL || options->timeout_ms > TIMEOUT_MS_MAX ||
        !endpoint_parse_list(endpoints, list, &n, why, sizeof(why)))
        return RIDD_INVALID;
    if (!open_loop(c))
        return RIDD_NO_MEMORY;
    c->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS_DEFAULT;
    c->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CALL_CONNECT_MS;
    c->flags = options->flags;
    prng_init(&c->prng, options->seed != 0 ? options->seed : fresh_seed());
    for (unsigned i = 0; i < n; i++)
        if (node_get(c, &list[i]) == NULL)
            return RIDD_NO_MEMORY;
    c->n_endpoints = n;
    c->aim = c->nodes[0];
    *ret_client = take_ptr(c);
    return RIDD_OK;
}
