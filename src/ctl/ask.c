/* The same question to many nodes at once, so that a dead one costs nobody else's time: one client,
 * a connection and a deadline for each node. */
#include "client/ridd_async.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

static void keep(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct answer *answer = arg;

    (void)client;
    answer->reply = reply;
}

static bool ask_one(struct ridd *client, const char *endpoint, const char *json,
                    struct answer *answer)
{
    struct ridd_op op = ridd_op(RIDD_OP_REQUEST);

    op.node = endpoint;
    op.json = json;
    op.kind = RIDD_KIND_READ;
    return ridd_async_start(client, &op, keep, answer) != 0;
}

int ask_each(const struct ctl *ctl, const struct ctl_node *nodes, unsigned n,
             const char *const *jsons, unsigned timeout_ms, struct answer *ret_answers)
{
    const struct ridd_options options = {.timeout_ms = timeout_ms,
                                         .connect_timeout_ms = timeout_ms};
    struct ridd *client = NULL;
    bool started = true;
    int exit_code;

    for (unsigned i = 0; i < n; i++)
        ret_answers[i].reply = NULL;
    exit_code = cluster_dial(ctl, nodes[0].endpoint, &options, &client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    for (unsigned i = 0; i < n && started; i++)
        started = ask_one(client, nodes[i].endpoint, jsons[i], &ret_answers[i]);
    while (started && ridd_async_pending(client) > 0)
        (void)ridd_wait(client, -1);
    ridd_close(client);
    if (started)
        return CTL_EXIT_OK;
    ask_done(ret_answers, n);
    return report_no_memory(ctl);
}

int ask_all(const struct ctl *ctl, const struct ctl_node *nodes, unsigned n, const char *json,
            unsigned timeout_ms, struct answer *ret_answers)
{
    const char *jsons[RIDD_ENDPOINTS_MAX];

    for (unsigned i = 0; i < n; i++)
        jsons[i] = json;
    return ask_each(ctl, nodes, n, jsons, timeout_ms, ret_answers);
}

void ask_done(struct answer *answers, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ridd_reply_free(answers[i].reply);
        answers[i].reply = NULL;
    }
}
