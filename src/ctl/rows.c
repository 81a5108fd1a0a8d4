/* The nodes of a cluster and what each says of itself: every node is asked at the same time. Nodes
 * that the command line does not name are found through the membership that the first answering
 * node tells, so that one address is enough to see the whole cluster. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/rows_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

void rows_done(struct rows *rows)
{
    for (unsigned i = 0; i < rows->n; i++) {
        ridd_reply_free(rows->list[i].reply);
        json_decref(rows->list[i].status);
    }
    rows->n = 0;
}

const char *rows_str(const json_t *o, const char *name, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && s[0] != '\0' ? s : otherwise;
}

static unsigned ask_ms(const struct ctl *ctl)
{
    return ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_ASK_MS;
}

/* Takes the reply. */
static void add_row(struct rows *rows, const struct ctl_node *node, struct ridd_reply *reply)
{
    struct row *row = &rows->list[rows->n++];

    row->node = *node;
    row->reply = reply;
    row->status = NULL;
    if (reply != NULL && reply->status == RIDD_OK)
        row->status = json_loadb(reply->json, reply->json_len, 0, NULL);
    if (row->status != NULL)
        (void)snprintf(row->node.name, sizeof(row->node.name), "%s",
                       rows_str(row->status, "node", node->name));
}

/* Asks nodes and appends their rows. */
static int ask_rows(const struct ctl *ctl, const struct ctl_node *nodes, unsigned n,
                    struct rows *rows)
{
    struct answer answers[RIDD_ENDPOINTS_MAX];
    int exit_code =
        ask_all(ctl, nodes, n, "{\"type\":\"status\",\"verbose\":true}", ask_ms(ctl), answers);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    for (unsigned i = 0; i < n; i++)
        add_row(rows, &nodes[i], answers[i].reply);
    return CTL_EXIT_OK;
}

static struct row *find_row(struct rows *rows, const char *name, const char *endpoint)
{
    for (unsigned i = 0; i < rows->n; i++)
        if ((name[0] != '\0' && strcmp(rows->list[i].node.name, name) == 0) ||
            strcmp(cluster_address(rows->list[i].node.endpoint), endpoint) == 0)
            return &rows->list[i];
    return NULL;
}

bool rows_leads(const struct row *row)
{
    return strcmp(rows_str(row->status, "role", ""), "leader") == 0;
}

/* Who knows best who belongs to the cluster: the leader, and of several the one of the highest
 * term; else the first that answered. */
const struct row *rows_best(const struct rows *rows)
{
    const struct row *best = NULL;

    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];

        if (row->status == NULL)
            continue;
        if (best == NULL || verdict_knows_better(row->status, best->status))
            best = row;
    }
    return best;
}

static json_t *ask_members_of(const struct ctl *ctl, const struct row *up, int *ret_exit_code)
{
    struct answer answer = {NULL};
    json_t *reply = NULL;

    *ret_exit_code = ask_all(ctl, &up->node, 1, "{\"type\":\"members\"}", ask_ms(ctl), &answer);
    if (*ret_exit_code != CTL_EXIT_OK)
        return NULL;
    if (answer.reply != NULL && answer.reply->status == RIDD_OK)
        reply = json_loadb(answer.reply->json, answer.reply->json_len, 0, NULL);
    ask_done(&answer, 1);
    return reply;
}

/* It does not answer where a file says that it is, and the leader knows it elsewhere. */
static bool has_moved(const struct row *row, const char *endpoint, bool leader_says)
{
    return leader_says && row->status == NULL && row->reply != NULL &&
           row->reply->status != RIDD_BUSY &&
           strcmp(cluster_address(row->node.endpoint), endpoint) != 0;
}

static void take_row_out(struct rows *rows, const struct row *row)
{
    const unsigned i = (unsigned)(row - rows->list);

    ridd_reply_free(rows->list[i].reply);
    json_decref(rows->list[i].status);
    rows->n--;
    memmove(&rows->list[i], &rows->list[i + 1], (rows->n - i) * sizeof(rows->list[0]));
}

/* Names for the rows that have none, and the nodes that have no row. */
static int add_members_of(const struct ctl *ctl, struct rows *rows, const struct row *up)
{
    const bool leader_says = rows_leads(up); /* up may move, and is looked at here alone */
    struct ctl_node missing[RIDD_ENDPOINTS_MAX];
    unsigned n_missing = 0;
    int exit_code;
    cleanup_json json_t *reply = ask_members_of(ctl, up, &exit_code);
    const json_t *members = json_object_get(reply, "members");

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *m = json_array_get(members, i);
        const char *name = rows_str(m, "id", "");
        const char *endpoint = rows_str(m, "client_addr", "");
        const bool usable = ridd_check_endpoints(endpoint, NULL, 0) == RIDD_OK;
        struct row *row = find_row(rows, name, endpoint);

        if (row != NULL && row->node.name[0] == '\0')
            (void)snprintf(row->node.name, sizeof(row->node.name), "%s", name);
        if (row != NULL && usable && has_moved(row, endpoint, leader_says)) {
            take_row_out(rows, row);
            row = NULL;
        }
        if (row == NULL && usable && rows->n + n_missing < RIDD_ENDPOINTS_MAX) {
            struct ctl_node *node = &missing[n_missing++];

            (void)snprintf(node->name, sizeof(node->name), "%s", name);
            (void)snprintf(node->endpoint, sizeof(node->endpoint), "%s", endpoint);
        }
    }
    return n_missing > 0 ? ask_rows(ctl, missing, n_missing, rows) : exit_code;
}

/* Who is asked first may lag behind, and is asked only who else there is; when the leader is found
 * by that, it is asked, too. */
static int add_members(const struct ctl *ctl, struct rows *rows)
{
    const struct row *up = rows_best(rows);
    char asked[RIDD_ENDPOINT_SIZE] = "";
    int exit_code;

    if (up == NULL)
        return CTL_EXIT_OK;
    (void)snprintf(asked, sizeof(asked), "%s", up->node.endpoint);
    exit_code = add_members_of(ctl, rows, up);
    up = rows_best(rows);
    if (exit_code != CTL_EXIT_OK || up == NULL || !rows_leads(up) ||
        strcmp(up->node.endpoint, asked) == 0)
        return exit_code;
    return add_members_of(ctl, rows, up);
}

const char *rows_down_reason(const struct row *row)
{
    return row->reply != NULL ? row->reply->text
                              : "no answer: its address could not be looked up in time";
}

bool rows_is_busy(const struct row *row)
{
    return row->status == NULL && row->reply != NULL && row->reply->status == RIDD_BUSY;
}

void rows_judged(const struct rows *rows, struct verdict_node *ret)
{
    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];

        ret[i] = (struct verdict_node){.name = row->node.name,
                                       .endpoint = row->node.endpoint,
                                       .status = row->status,
                                       .failure =
                                           row->reply != NULL ? row->reply->status : RIDD_NO_ANSWER,
                                       .text = rows_down_reason(row)};
    }
}

void rows_judge(const struct ctl *ctl, const struct rows *rows, struct verdict *ret)
{
    struct verdict_node nodes[RIDD_ENDPOINTS_MAX];

    rows_judged(rows, nodes);
    verdict_judge(nodes, rows->n, ctl->cluster_name[0] != '\0' ? ctl->cluster_name : NULL, ret);
}

/* 0 for OK alone (STATUS-1). Who has nobody to ask knows nothing about the cluster: that is
 * another answer than a cluster without a quorum. */
int rows_exit_code(const struct verdict *v)
{
    static const int codes[] = {[VERDICT_OK] = CTL_EXIT_OK,
                                [VERDICT_DEGRADED] = CTL_EXIT_DEGRADED,
                                [VERDICT_NO_QUORUM] = CTL_EXIT_NO_QUORUM,
                                [VERDICT_SPLIT] = CTL_EXIT_SPLIT};

    return v->n_answered > 0 ? codes[v->kind] : CTL_EXIT_NOBODY;
}

int rows_ask(const struct ctl *ctl, struct rows *rows)
{
    int exit_code = ask_rows(ctl, ctl->nodes, ctl->n_nodes, rows);

    return exit_code == CTL_EXIT_OK ? add_members(ctl, rows) : exit_code;
}

int rows_ask_again(const struct ctl *ctl, struct rows *rows, const char *json)
{
    struct answer answers[RIDD_ENDPOINTS_MAX];
    struct ctl_node nodes[RIDD_ENDPOINTS_MAX];
    const unsigned n = rows->n;
    int exit_code;

    for (unsigned i = 0; i < n; i++)
        nodes[i] = rows->list[i].node;
    exit_code = ask_all(ctl, nodes, n, json, ask_ms(ctl), answers);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    rows_done(rows);
    for (unsigned i = 0; i < n; i++)
        add_row(rows, &nodes[i], answers[i].reply);
    return CTL_EXIT_OK;
}
