/* members, ping, transfer. */
#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

static const char *str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && s[0] != '\0' ? s : "-";
}

static void print_changes(const json_t *reply)
{
    const json_t *changes = json_object_get(reply, "changes");

    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *one = json_array_get(changes, i);
        const json_t *behind = json_object_get(one, "behind_entries");

        (void)printf("%s: %s", str(one, "id"), str(one, "what"));
        if (behind != NULL)
            (void)printf(", %lld entries behind", (long long)json_integer_value(behind));
        if (json_is_string(json_object_get(one, "replaces")))
            (void)printf(", then %s leaves", str(one, "replaces"));
        (void)printf("\n");
    }
}

static int print_members(const struct ctl *ctl, const struct ridd_reply *r)
{
    static const char *const headers[] = {"NODE", "ROLE", "PEER ADDRESS", "CLIENT ADDRESS"};
    cleanup_json json_t *reply = json_loadb(r->json, r->json_len, 0, NULL);
    const json_t *members = json_object_get(reply, "members");
    struct table t;
    int exit_code;

    if (ctl->json) {
        (void)printf("%s\n", r->json);
        return CTL_EXIT_OK;
    }
    table_init(&t, 4, 0, headers);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *m = json_array_get(members, i);

        table_cell(&t, "%s", str(m, "id"));
        table_cell(&t, "%s", str(m, "role"));
        table_cell(&t, "%s", str(m, "peer_addr"));
        table_cell(&t, "%s", str(m, "client_addr"));
    }
    exit_code = table_print(&t, ctl);
    if (exit_code == CTL_EXIT_OK)
        print_changes(reply);
    return exit_code;
}

/* Which configuration it knows; a node that was removed, or is away, knows an older one. */
static long long configuration_of(const struct ridd_reply *r)
{
    cleanup_json json_t *reply = NULL;

    if (r == NULL || r->status != RIDD_OK)
        return -1;
    reply = json_loadb(r->json, r->json_len, 0, NULL);
    /* Of the same the leader's answer says more. */
    return 2 * (long long)json_integer_value(json_object_get(reply, "configuration_index")) +
           (json_array_size(json_object_get(reply, "changes")) > 0 ? 1 : 0);
}

/* Of all nodes the one that knows the latest. */
int verb_members(struct ctl *ctl)
{
    struct answer answers[RIDD_ENDPOINTS_MAX];
    const struct ridd_reply *best = NULL;
    int exit_code = cluster_find(ctl);

    if (exit_code == CTL_EXIT_OK)
        exit_code = ask_all(ctl, ctl->nodes, ctl->n_nodes, "{\"type\":\"members\"}",
                            ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_ASK_MS, answers);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    for (unsigned i = 0; i < ctl->n_nodes; i++) {
        const struct ridd_reply *r = answers[i].reply;

        if (r != NULL && (best == NULL || configuration_of(r) > configuration_of(best)))
            best = r;
    }
    if (best == NULL)
        exit_code = report(ctl, CTL_EXIT_NOBODY,
                           "none of %u nodes answered; is ridd running there? try 'ridctl status'",
                           ctl->n_nodes);
    else if (best->status != RIDD_OK)
        exit_code = report_failure(ctl, best, NULL);
    else
        exit_code = print_members(ctl, best);
    ask_done(answers, ctl->n_nodes);
    return exit_code;
}

int verb_transfer(struct ctl *ctl)
{
    const char *to = ctl->n_args > 0 ? ctl->args[0] : NULL;
    struct ridd *client = NULL;
    struct ridd_reply *r;
    int exit_code = cluster_open(ctl, &client);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    r = ridd_transfer(client, to);
    if (r->status != RIDD_OK)
        exit_code = report_failure(ctl, r, to);
    else if (ctl->json)
        (void)printf("%s\n", r->json);
    else
        (void)printf("%s leads\n", r->leader_id[0] != '\0' ? r->leader_id : "another node");
    ridd_reply_free(r);
    ridd_close(client);
    return exit_code;
}

static void ping_row(struct table *t, const struct ctl_node *node, const struct ridd_reply *r)
{
    cleanup_json json_t *pong = NULL;

    if (r == NULL || r->status != RIDD_OK) {
        table_cell(t, "%s", node->name[0] != '\0' ? node->name : "?");
        table_rest(t, "down: %s",
                   r != NULL ? r->text : "no answer: its address could not be looked up in time");
        return;
    }
    pong = json_loadb(r->json, r->json_len, 0, NULL);
    table_cell(t, "%s", str(pong, "node"));
    table_cell(t, "%s", str(pong, "role"));
    table_cell(t, "%lld", (long long)json_integer_value(json_object_get(pong, "term")));
    table_cell(t, "%lld", (long long)json_integer_value(json_object_get(pong, "applied_index")));
    table_cell(t, "%llu.%03u", (unsigned long long)(r->elapsed_us / 1000),
               (unsigned)(r->elapsed_us % 1000));
    table_cell(t, "%s", node->endpoint);
}

static void ping_json(struct doc *d, const struct ctl_node *node, const struct ridd_reply *r)
{
    doc_open(d, NULL, '{');
    doc_str(d, "endpoint", node->endpoint);
    doc_bool(d, "up", r != NULL && r->status == RIDD_OK);
    if (r != NULL && r->status == RIDD_OK) {
        doc_ms(d, "elapsed_ms", r->elapsed_us);
        doc_raw(d, "pong", r->json, r->json_len);
    } else {
        doc_str(d, "error", r != NULL ? ridd_status_name(r->status) : "no_answer");
        doc_str(d, "text", r != NULL ? r->text : "");
    }
    doc_close(d, '}');
}

int verb_ping(struct ctl *ctl)
{
    static const char *const headers[] = {"NODE", "ROLE", "TERM", "APPLIED", "MS", "ADDRESS"};
    struct answer answers[RIDD_ENDPOINTS_MAX];
    unsigned n_up = 0;
    int exit_code = cluster_find(ctl);

    if (exit_code == CTL_EXIT_OK)
        exit_code = ask_all(ctl, ctl->nodes, ctl->n_nodes, "{\"type\":\"ping\"}",
                            ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_ASK_MS, answers);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    for (unsigned i = 0; i < ctl->n_nodes; i++)
        n_up += answers[i].reply != NULL && answers[i].reply->status == RIDD_OK;
    if (ctl->json) {
        struct doc d = DOC_INIT;

        doc_open(&d, NULL, '{');
        doc_open(&d, "nodes", '[');
        for (unsigned i = 0; i < ctl->n_nodes; i++)
            ping_json(&d, &ctl->nodes[i], answers[i].reply);
        doc_close(&d, ']');
        doc_close(&d, '}');
        exit_code = doc_print(&d, ctl);
    } else {
        struct table t;

        table_init(&t, 6, 1u << 2 | 1u << 3 | 1u << 4, headers);
        for (unsigned i = 0; i < ctl->n_nodes; i++)
            ping_row(&t, &ctl->nodes[i], answers[i].reply);
        exit_code = table_print(&t, ctl);
    }
    ask_done(answers, ctl->n_nodes);
    if (exit_code == CTL_EXIT_OK && n_up == 0)
        return report(ctl, CTL_EXIT_NOBODY,
                      "none of %u nodes answered; is ridd running there? try 'ridctl status'",
                      ctl->n_nodes);
    return exit_code;
}
