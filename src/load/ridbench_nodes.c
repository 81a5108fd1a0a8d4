/* Who the nodes are, and which of them leads. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "conf/conf.h"
#include "load/ridbench_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

static int add_address(struct bench *b, const char *text)
{
    if (b->n_addresses == RIDD_ENDPOINTS_MAX)
        return BENCH_EXIT_OK;
    b->addresses[b->n_addresses] = strdup(text);
    if (b->addresses[b->n_addresses] == NULL)
        return bench_report(b, BENCH_EXIT_SYSTEM, "no memory");
    b->n_addresses++;
    return BENCH_EXIT_OK;
}

static int take_list(struct bench *b, const char *list, const char *origin)
{
    char why[RIDD_TEXT_SIZE];
    struct ridd *client = NULL;
    int exit_code = BENCH_EXIT_OK;

    if (ridd_check_endpoints(list, why, sizeof(why)) != RIDD_OK)
        return bench_report(b, BENCH_EXIT_USAGE, "%s: %s", origin, why);
    if (ridd_open(list, NULL, &client) != RIDD_OK)
        return bench_report(b, BENCH_EXIT_SYSTEM, "no memory");
    for (unsigned i = 0; i < ridd_endpoint_count(client) && exit_code == BENCH_EXIT_OK; i++)
        exit_code = add_address(b, ridd_endpoint(client, i));
    ridd_close(client);
    return exit_code;
}

static struct conf found; /* large, and needed once */

static int add_peer(struct bench *b, const struct conf_peer *peer)
{
    char endpoint[RIDD_ENDPOINT_SIZE];

    (void)keyring_endpoint(&found, peer, endpoint, sizeof(endpoint));
    return add_address(b, endpoint);
}

static int take_file(struct bench *b, const char *path)
{
    struct conf_problems problems = {0, NULL};
    const int rc = conf_load(path, NULL, false, &found, &problems);
    int exit_code = BENCH_EXIT_OK;

    if (rc < 0)
        exit_code = bench_report(b, BENCH_EXIT_CONF, "%s",
                                 err_text()[0] != '\0' ? err_text() : strerror(-rc));
    else if (rc != 0 && problems.n > 0)
        exit_code = bench_report(b, BENCH_EXIT_CONF, "%s:%u: %s", path, problems.list[0].line,
                                 problems.list[0].text);
    else if (rc != 0 || found.n_peers == 0)
        exit_code = bench_report(b, BENCH_EXIT_CONF, "'%s' names no peers", path);
    for (unsigned i = 0; exit_code == BENCH_EXIT_OK && i < found.n_peers; i++)
        exit_code = add_peer(b, &found.peers[i]);
    (void)snprintf(b->cluster, sizeof(b->cluster), "%s", found.cluster_name);
    conf_problems_done(&problems);
    return exit_code;
}

static int find(struct bench *b)
{
    const char *list = getenv("RIDCTL_ENDPOINTS");
    const char *path = conf_client_path(RIDD_CONF_FILE);

    if (b->endpoints != NULL)
        return take_list(b, b->endpoints, "--endpoints");
    if (b->config != NULL)
        return take_file(b, b->config);
    if (list != NULL && list[0] != '\0')
        return take_list(b, list, "RIDCTL_ENDPOINTS");
    if (path != NULL)
        return take_file(b, path);
    return bench_report(b, BENCH_EXIT_CONF,
                        "no cluster named: no ./ridd.conf, no " RIDD_CONF_FILE
                        "; give --endpoints HOST:PORT,... or --config FILE");
}

int bench_find(struct bench *b)
{
    char why[RIDD_TEXT_SIZE] = "";
    const int exit_code = find(b);

    if (exit_code != BENCH_EXIT_OK)
        return exit_code;
    /* Of a file that was read. */
    if (!keyring_fill(&b->keyring, found.n_peers > 0 ? &found : NULL, &b->tls, why, sizeof(why)))
        return bench_report(b, BENCH_EXIT_CONF, "%s: %s", found.path, why);
    return BENCH_EXIT_OK;
}

/* NULL: no answer. */
static json_t *ask_status(const struct bench *b, unsigned i)
{
    const struct ridd_options options = {.flags = RIDD_FLAG_IMPATIENT};
    struct ridd *client = NULL;
    struct ridd_reply *r;
    json_t *status = NULL;

    if (bench_dial(b, b->addresses[i], &options, &client) != BENCH_EXIT_OK)
        return NULL;
    r = ridd_request(client, "{\"type\":\"status\"}", RIDD_KIND_READ, CTL_ASK_MS);
    if (r->status == RIDD_OK)
        status = json_loadb(r->json, r->json_len, 0, NULL);
    ridd_reply_free(r);
    ridd_close(client);
    return status;
}

static uint64_t number(const json_t *status, const char *object, const char *name)
{
    const json_t *o = object != NULL ? json_object_get(status, object) : status;

    return (uint64_t)json_integer_value(json_object_get(o, name));
}

/* "syscr: 123" and "syscw: 45" of /proc/PID/io. */
static bool read_calls(uint64_t pid, uint64_t *ret)
{
    char path[64];
    char line[128];
    unsigned n = 0;
    cleanup_file FILE *f = NULL;

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu64 "/io", pid);
    f = fopen(path, "re");
    *ret = 0;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "syscr:", 6) == 0 || strncmp(line, "syscw:", 6) == 0) {
            *ret += strtoull(line + 6, NULL, 10);
            n++;
        }
    return n == 2;
}

/* The process with that number is that node: it is called so, and its address is of this host. */
static bool is_here(const char *address, uint64_t pid)
{
    char host[LOAD_ADDRESS_BYTES_MAX + 1];
    char port[8];
    char text[64];
    cleanup_file FILE *f = NULL;

    if (strncmp(address, "tls://", 6) == 0 || strncmp(address, "tcp://", 6) == 0)
        address += 6;
    if (strncmp(address, "unix:", 5) != 0 &&
        (!address_split(address, host, sizeof(host), port, sizeof(port)) ||
         !address_host_is_loopback(host)))
        return false;
    (void)snprintf(text, sizeof(text), "/proc/%" PRIu64 "/comm", pid);
    f = fopen(text, "re");
    return f != NULL && fgets(text, sizeof(text), f) != NULL && strncmp(text, "ridd", 4) == 0;
}

static void take_status(const struct bench *b, unsigned i, const json_t *status,
                        struct bench_node *ret)
{
    const char *role = json_string_value(json_object_get(status, "role"));
    const char *name = json_string_value(json_object_get(status, "node"));
    const char *cluster = json_string_value(json_object_get(status, "cluster"));

    *ret = (struct bench_node){
        .known = status != NULL,
        .process = json_is_object(json_object_get(status, "process")),
        .leads = role != NULL && strcmp(role, "leader") == 0,
        .pid = number(status, "process", "pid"),
        .uptime_ms = number(status, NULL, "uptime_ms"),
        .rss_bytes = number(status, NULL, "rss_bytes"),
        .applied_index = number(status, NULL, "applied_index"),
        .commit_index = number(status, NULL, "commit_index"),
        .fsyncs = number(status, "log", "fsyncs"),
        .log_bytes = number(status, "log", "bytes_written"),
        .rounds = number(status, "reads", "rounds"),
        .cpu_us = number(status, "process", "cpu_us"),
        .voluntary = number(status, "process", "voluntary_switches"),
        .involuntary = number(status, "process", "involuntary_switches"),
        .frames = number(status, "process", "peer_frames"),
        .peer_bytes = number(status, "process", "peer_bytes"),
    };
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name != NULL ? name : b->addresses[i]);
    (void)snprintf(ret->cluster, sizeof(ret->cluster), "%s", cluster != NULL ? cluster : "");
    ret->calls_known =
        ret->process && is_here(b->addresses[i], ret->pid) && read_calls(ret->pid, &ret->calls);
}

void bench_ask_nodes(const struct bench *b, struct bench_node *ret)
{
    for (unsigned i = 0; i < b->n_addresses; i++) {
        cleanup_json json_t *status = ask_status(b, i);

        take_status(b, i, status, &ret[i]);
    }
}

bool bench_node_cost(const struct bench *b, unsigned i, struct bench_node *ret)
{
    const struct bench_node *from = &b->before[i];
    const struct bench_node *to = &b->after[i];

    if (!from->known || !to->known || to->uptime_ms < from->uptime_ms || to->pid != from->pid)
        return false;
    *ret = *to;
    ret->fsyncs -= from->fsyncs;
    ret->log_bytes -= from->log_bytes;
    ret->rounds -= from->rounds;
    ret->cpu_us -= from->cpu_us;
    ret->voluntary -= from->voluntary;
    ret->involuntary -= from->involuntary;
    ret->frames -= from->frames;
    ret->peer_bytes -= from->peer_bytes;
    ret->calls -= from->calls;
    ret->calls_known &= from->calls_known;
    return true;
}

int bench_find_leader(struct bench *b)
{
    struct bench_node nodes[RIDD_ENDPOINTS_MAX];
    unsigned n_silent = 0;

    bench_ask_nodes(b, nodes);
    for (unsigned i = 0; i < b->n_addresses; i++) {
        char *address = b->addresses[i];

        n_silent += !nodes[i].known;
        if (b->cluster[0] != '\0' && nodes[i].cluster[0] != '\0' &&
            strcmp(b->cluster, nodes[i].cluster) != 0)
            return bench_report(b, BENCH_EXIT_CONF,
                                "%s belongs to cluster '%s', and not to '%s'; nothing was written",
                                address, nodes[i].cluster, b->cluster);
        if (!nodes[i].leads)
            continue;
        b->addresses[i] = b->addresses[0];
        b->addresses[0] = address;
    }
    if (n_silent == b->n_addresses)
        return bench_report(b, BENCH_EXIT_NOBODY,
                            "no node answers: is ridd running there? try 'ridctl status'");
    return BENCH_EXIT_OK;
}
