/* Bounds with names. */
#include "mc/mc.h"

#include "base/banned.h"

struct mc_scope mc_scope;

const char *const mc_budget_names[MC_BUDGETS] = {
    [MC_CAMPAIGNS] = "campaigns", [MC_BEATS] = "beats",         [MC_QUIETS] = "quiets",
    [MC_WRITES] = "writes",       [MC_READS] = "reads",         [MC_CRASHES] = "crashes",
    [MC_DUPS] = "dups",           [MC_TRANSFERS] = "transfers", [MC_CHANGES] = "changes",
    [MC_LINKS] = "links",
};

#define BOTH (MC_FOR_CHECK | MC_FOR_PLANTS)

static const struct mc_scope scopes[] = {
    {
        .name = "read",
        .text = "a read and a write around an election",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_WRITES] = 1, [MC_READS] = 1},
        .marks = BOTH,
        .states = 455510,
        .depth = 27,
    },
    {
        .name = "crash",
        .text = "a write, an election and a crash",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_WRITES] = 1, [MC_CRASHES] = 1},
        .marks = BOTH,
        .states = 516395,
        .depth = 32,
    },
    {
        .name = "transfer",
        .text = "a read and a write around a transfer",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .budgets = {[MC_TRANSFERS] = 1, [MC_WRITES] = 1, [MC_READS] = 1},
        .marks = BOTH,
        .states = 526151,
        .depth = 26,
    },
};
#define N_SCOPES (sizeof(scopes) / sizeof(scopes[0]))

const struct mc_scope *mc_scope_at(size_t i)
{
    return i < N_SCOPES ? &scopes[i] : NULL;
}

const struct mc_scope *mc_scope_find(const char *name)
{
    for (size_t i = 0; i < N_SCOPES; i++)
        if (strcmp(scopes[i].name, name) == 0)
            return &scopes[i];
    return NULL;
}

void mc_scope_say(const struct mc_scope *scope, char *text, size_t size)
{
    int n = snprintf(
        text, size, "nodes=%u voters=%u terms=%u disk=%s once=%s pre-votes=%s changes-of=%u",
        scope->nodes, scope->voters, scope->terms, scope->disk == MC_DISK_SLOW ? "slow" : "at-once",
        scope->once ? "yes" : "no", scope->pre_votes ? "yes" : "no", scope->changes);

    for (unsigned i = 0; i < MC_BUDGETS; i++)
        if (scope->budgets[i] > 0)
            n += snprintf(text + n, size - (size_t)n, " %s=%u", mc_budget_names[i],
                          scope->budgets[i]);
}

void mc_scopes_print(FILE *to)
{
    char text[512];

    for (size_t i = 0; i < N_SCOPES; i++) {
        mc_scope_say(&scopes[i], text, sizeof(text));
        fprintf(to, "%c %-12s %s\n               %s\n",
                (scopes[i].marks & MC_FOR_CHECK) != 0 ? '*' : ' ', scopes[i].name, scopes[i].text,
                text);
    }
}
