/* Who the nodes are, and which of them leads. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

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
        exit_code = add_address(b, found.peers[i].client_addr);
    conf_problems_done(&problems);
    return exit_code;
}

int bench_find(struct bench *b)
{
    if (b->endpoints != NULL)
        return take_list(b, b->endpoints, "--endpoints");
    if (b->config != NULL)
        return take_file(b, b->config);
    return bench_report(b, BENCH_EXIT_USAGE,
                        "no cluster named; give --endpoints HOST:PORT,... or --config FILE");
}

/* NULL: no answer. */
static json_t *ask_status(const struct bench *b, unsigned i)
{
    const struct ridd_options options = {.flags = RIDD_FLAG_IMPATIENT};
    struct ridd *client = NULL;
    struct ridd_reply *r;
    json_t *status = NULL;

    if (ridd_open(b->addresses[i], &options, &client) != RIDD_OK)
        return NULL;
    r = ridd_request(client, "{\"type\":\"status\"}", RIDD_KIND_READ, CTL_ASK_MS);
    if (r->status == RIDD_OK)
        status = json_loadb(r->json, r->json_len, 0, NULL);
    ridd_reply_free(r);
    ridd_close(client);
    return status;
}

int bench_find_leader(struct bench *b)
{
    unsigned n_silent = 0;

    for (unsigned i = 0; i < b->n_addresses; i++) {
        cleanup_json json_t *status = ask_status(b, i);
        const char *role = json_string_value(json_object_get(status, "role"));

        n_silent += status == NULL;
        if (role != NULL && strcmp(role, "leader") == 0) {
            char *leader = b->addresses[i];

            b->addresses[i] = b->addresses[0];
            b->addresses[0] = leader;
        }
    }
    if (n_silent == b->n_addresses)
        return bench_report(b, BENCH_EXIT_NOBODY,
                            "no node answers: is ridd running there? try 'ridctl status'");
    return BENCH_EXIT_OK;
}
