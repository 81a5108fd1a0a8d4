/* export, import: the cluster that answers, and a client that waits out what may pass. */
#include "base/cleanup.h"
#include "ctl/keys_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

static void take_text(const json_t *status, const char *name, char *ret, size_t size)
{
    const char *s = json_string_value(json_object_get(status, name));

    (void)snprintf(ret, size, "%s", s != NULL ? s : "");
}

int keys_ask_cluster(const struct ctl *ctl, struct ridd *client, struct keys_cluster *ret)
{
    struct ridd_reply *r = ridd_request(client, "{\"type\":\"status\"}", RIDD_KIND_READ, 0);
    cleanup_json json_t *status = NULL;
    int exit_code = CTL_EXIT_OK;

    if (r->status != RIDD_OK) {
        exit_code = report_failure(ctl, r, NULL);
    } else {
        status = json_loadb(r->json, r->json_len, 0, NULL);
        take_text(status, "cluster", ret->name, sizeof(ret->name));
        take_text(status, "cluster_hash", ret->hash, sizeof(ret->hash));
        (void)snprintf(ret->endpoint, sizeof(ret->endpoint), "%s", r->endpoint);
    }
    ridd_reply_free(r);
    return exit_code;
}

/* Whether anybody is there at all is known at once; what was begun rides out a restart. */
int keys_open(struct ctl *ctl, unsigned flags, struct keys_cluster *ret_cluster,
              struct ridd **ret_client)
{
    const unsigned timeout_ms = ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_KEYS_TIMEOUT_MS;
    const struct ridd_options options = {.timeout_ms = timeout_ms, .flags = flags};
    struct ridd *client = NULL;
    int exit_code = cluster_open(ctl, &client);

    if (exit_code == CTL_EXIT_OK)
        exit_code = keys_ask_cluster(ctl, client, ret_cluster);
    ridd_close(client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    return cluster_dial(ctl, ctl->endpoints, &options, ret_client);
}
