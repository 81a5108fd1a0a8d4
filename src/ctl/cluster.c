/* Where the cluster is: the command line, then the environment, then a configuration file. What was
 * named on the command line is taken or refused, never passed over; a file at a usual place may be
 * missing. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "conf/conf.h"
#include "ctl/ctl_int.h"
#include "ctl/local_int.h"

#include "base/banned.h"

static const char *env(const char *name)
{
    const char *s = getenv(name);

    return s != NULL && s[0] != '\0' ? s : NULL;
}

/* The list once more, from the library's own reading of it. */
static int take_nodes_of(struct ctl *ctl, const struct ridd *client)
{
    ctl->n_nodes = ridd_endpoint_count(client);
    for (unsigned i = 0; i < ctl->n_nodes; i++)
        (void)snprintf(ctl->nodes[i].endpoint, sizeof(ctl->nodes[i].endpoint), "%s",
                       ridd_endpoint(client, i));
    return CTL_EXIT_OK;
}

static int take_list(struct ctl *ctl, const char *list, const char *origin, int exit_code)
{
    char why[RIDD_TEXT_SIZE];
    struct ridd *client = NULL;

    if (ridd_check_endpoints(list, why, sizeof(why)) != RIDD_OK)
        return report(ctl, exit_code, "%s: %s", origin, why);
    ctl->endpoints = strdup(list);
    if (ctl->endpoints == NULL || ridd_open(list, NULL, &client) != RIDD_OK)
        return report_no_memory(ctl);
    (void)take_nodes_of(ctl, client);
    ridd_close(client);
    return CTL_EXIT_OK;
}

const char *cluster_address(const char *endpoint)
{
    const bool has_scheme =
        strncmp(endpoint, "tls://", 6) == 0 || strncmp(endpoint, "tcp://", 6) == 0;

    return endpoint + (has_scheme ? 6 : 0);
}

static struct conf found; /* large, and needed once; of ctl->conf_path */

static int take_keyring(struct ctl *ctl)
{
    char why[RIDD_TEXT_SIZE] = "";

    if (!keyring_fill(&ctl->keyring, ctl->conf_path != NULL ? &found : NULL, &ctl->tls, why,
                      sizeof(why)))
        return report(ctl, CTL_EXIT_DENIED, "%s: %s", ctl->conf_path, why);
    return CTL_EXIT_OK;
}

int cluster_dial(const struct ctl *ctl, const char *endpoints, const struct ridd_options *options,
                 struct ridd **ret_client)
{
    char why[RIDD_TEXT_SIZE] = "";
    struct ridd *client = NULL;

    if (!keyring_check(endpoints, &ctl->tls, why, sizeof(why)))
        return report(ctl, CTL_EXIT_USAGE, "%s", why);
    if (ridd_open(endpoints, options, &client) != RIDD_OK)
        return report_no_memory(ctl);
    if (!keyring_is_empty(&ctl->tls) &&
        ridd_set_tls(client, &ctl->tls, why, sizeof(why)) != RIDD_OK) {
        ridd_close(client);
        return report(ctl, CTL_EXIT_CONF, "%s", why);
    }
    *ret_client = client;
    return CTL_EXIT_OK;
}

static int take_conf(struct ctl *ctl, const struct conf *conf)
{
    cleanup_buf struct buf list = BUF_INIT;

    (void)snprintf(ctl->cluster_name, sizeof(ctl->cluster_name), "%s", conf->cluster_name);
    for (unsigned i = 0; i < conf->n_peers && ctl->n_nodes < RIDD_ENDPOINTS_MAX; i++) {
        const struct conf_peer *p = &conf->peers[i];
        struct ctl_node *node = &ctl->nodes[ctl->n_nodes++];

        (void)snprintf(node->name, sizeof(node->name), "%s", p->name);
        (void)keyring_endpoint(conf, p, node->endpoint, sizeof(node->endpoint));
        if (buf_add_format(&list, "%s%s", i > 0 ? "," : "", node->endpoint) != 0)
            return report_no_memory(ctl);
    }
    if (buf_add_u8(&list, 0) != 0)
        return report_no_memory(ctl);
    ctl->endpoints = (char *)take_ptr(list.data);
    return CTL_EXIT_OK;
}

static int take_file(struct ctl *ctl, const char *path)
{
    struct conf_problems problems = {0, NULL};
    int rc = conf_load(path, NULL, false, &found, &problems);

    if (rc < 0)
        return report(ctl, CTL_EXIT_CONF, "%s; give --endpoints HOST:PORT,... or --config FILE",
                      err_text()[0] != '\0' ? err_text() : strerror(-rc));
    if (rc != 0) {
        size_t n = problems.n;

        if (n > 0)
            rc = report(ctl, CTL_EXIT_CONF,
                        "%s:%u: %s%s; 'ridd --config %s --check-config' shows all", path,
                        problems.list[0].line, problems.list[0].text, n > 1 ? " (and more)" : "",
                        path);
        else
            rc = report(
                ctl, CTL_EXIT_CONF,
                "'%s' is not a usable configuration; 'ridd --config %s --check-config' shows why",
                path, path);
        conf_problems_done(&problems);
        return rc;
    }
    conf_problems_done(&problems);
    ctl->conf_path = path;
    if (found.n_peers == 0)
        return report(ctl, CTL_EXIT_CONF,
                      "'%s' names no peers; give --endpoints HOST:PORT,... or --config FILE", path);
    return take_conf(ctl, &found);
}

const char *cluster_conf_path(const struct ctl *ctl)
{
    if (ctl->endpoints_option != NULL)
        return NULL;
    if (ctl->config_option != NULL)
        return ctl->config_option;
    if (env("RIDCTL_ENDPOINTS") != NULL)
        return NULL;
    return conf_client_path(RIDD_CONF_FILE);
}

static int find(struct ctl *ctl)
{
    const char *path = cluster_conf_path(ctl);

    if (ctl->endpoints_option != NULL)
        return take_list(ctl, ctl->endpoints_option, "--endpoints", CTL_EXIT_USAGE);
    if (path != NULL)
        return take_file(ctl, path);
    if (env("RIDCTL_ENDPOINTS") != NULL)
        return take_list(ctl, env("RIDCTL_ENDPOINTS"), "RIDCTL_ENDPOINTS", CTL_EXIT_CONF);
    return report(ctl, CTL_EXIT_CONF,
                  "no cluster named: no ./ridd.conf, no " RIDD_CONF_FILE
                  "; give --endpoints HOST:PORT,... or --config FILE");
}

int cluster_find(struct ctl *ctl)
{
    const int rc = find(ctl);

    return rc == CTL_EXIT_OK ? take_keyring(ctl) : rc;
}

int cluster_secret(struct ctl *ctl, const char **ret_file, const char **ret_cluster)
{
    const char *path = cluster_conf_path(ctl);
    struct ridd_tls tls;
    char why[RIDD_TEXT_SIZE] = "";
    int rc = CTL_EXIT_OK;

    if (path != NULL)
        rc = take_file(ctl, path);
    if (rc != CTL_EXIT_OK)
        return rc;
    if (!keyring_fill(&ctl->keyring, path != NULL ? &found : NULL, &tls, why, sizeof(why)))
        return report(ctl, CTL_EXIT_DENIED, "%s: %s", path, why);
    if (tls.secret_file == NULL)
        return report(ctl, CTL_EXIT_USAGE,
                      "no secret to derive one of: give --secret FILE, the cluster's own");
    if (tls.cluster == NULL)
        return report(ctl, CTL_EXIT_USAGE, "of which cluster? give --cluster NAME");
    *ret_file = tls.secret_file;
    *ret_cluster = tls.cluster;
    return CTL_EXIT_OK;
}

/* Whether whoever answers is of the cluster that the configuration names: addresses of another one
 * are soon in a file. A node that does not answer in time is left to the verb. */
static int check_cluster(const struct ctl *ctl, struct ridd *client)
{
    unsigned timeout_ms = (ctl->timeout_ms != 0 ? ctl->timeout_ms : TIMEOUT_MS_DEFAULT) / 4;
    struct ridd_reply *r;
    json_t *status = NULL;
    const char *name;
    int exit_code = CTL_EXIT_OK;

    if (ctl->cluster_name[0] == '\0' || timeout_ms == 0)
        return CTL_EXIT_OK;
    r = ridd_request(client, "{\"type\":\"status\"}", RIDD_KIND_READ,
                     timeout_ms < CTL_ASK_MS ? timeout_ms : CTL_ASK_MS);
    if (r->status == RIDD_OK)
        status = json_loadb(r->json, r->json_len, 0, NULL);
    name = json_string_value(json_object_get(status, "cluster"));
    if (name != NULL && strcmp(name, ctl->cluster_name) != 0)
        exit_code = report(ctl, CTL_EXIT_CONF,
                           "%s belongs to cluster '%s', but %s describes '%s'; nothing was sent; "
                           "'ridctl -c %s status' shows which "
                           "node is which",
                           r->endpoint, name, ctl->conf_path, ctl->cluster_name, ctl->conf_path);
    json_decref(status);
    ridd_reply_free(r);
    return exit_code;
}

/* The node of this host comes first where it has a socket that may be used; verbs that ask each
 * node by itself do without. It is the only one where nothing is there for the TLS of the
 * others. */
static int put_local_first(struct ctl *ctl, unsigned *flags)
{
    char local[RIDD_ENDPOINT_SIZE];
    char why[RIDD_TEXT_SIZE];
    char *list;
    bool others;

    if (ctl->conf_path == NULL || !local_find(ctl, &found, local, sizeof(local)))
        return take_keyring(ctl);
    others = keyring_fill(&ctl->keyring, &found, &ctl->tls, why, sizeof(why));
    ctl->only_local = !others;
    if (!others)
        *flags |= RIDD_FLAG_LISTED_ONLY;
    if (asprintf(&list, "%s%s%s", local, others ? "," : "", others ? ctl->endpoints : "") < 0)
        return report_no_memory(ctl);
    free(ctl->endpoints);
    ctl->endpoints = list;
    return CTL_EXIT_OK;
}

int cluster_open(struct ctl *ctl, struct ridd **ret_client)
{
    return cluster_open_with(ctl, RIDD_FLAG_IMPATIENT, ret_client);
}

int cluster_open_with(struct ctl *ctl, unsigned flags, struct ridd **ret_client)
{
    struct ridd_options options = {.timeout_ms = ctl->timeout_ms, .flags = flags};
    int rc = find(ctl);
    char why[RIDD_TEXT_SIZE];

    if (rc != CTL_EXIT_OK)
        return rc;
    if (ridd_check_endpoints(ctl->endpoints, why, sizeof(why)) != RIDD_OK) /* out of the file */
        return report(ctl, CTL_EXIT_CONF, "%s", why);
    rc = put_local_first(ctl, &options.flags);
    if (rc == CTL_EXIT_OK)
        rc = cluster_dial(ctl, ctl->endpoints, &options, ret_client);
    if (rc != CTL_EXIT_OK)
        return rc;
    rc = check_cluster(ctl, *ret_client);
    if (rc != CTL_EXIT_OK) {
        ridd_close(*ret_client);
        *ret_client = NULL;
    }
    return rc;
}

int cluster_key(const struct ctl *ctl, const char *arg, struct ridd_key *ret_key)
{
    char *end;
    long long v;

    if (!ctl->int_key) {
        *ret_key = ridd_key(arg);
        return CTL_EXIT_OK;
    }
    errno = 0;
    v = strtoll(arg, &end, 10);
    if (errno != 0 || end == arg || *end != '\0' || arg[0] == ' ' || arg[0] == '+')
        return report(ctl, CTL_EXIT_USAGE, "'%.100s' is no integer key (64 bit, decimal)", arg);
    *ret_key = ridd_key_int(v);
    return CTL_EXIT_OK;
}
