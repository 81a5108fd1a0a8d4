/* Bounds with names. */
#include "mc/mc.h"

#include "base/banned.h"

struct mc_scope mc_scope;

const char *const mc_budget_names[MC_BUDGETS] = {
    [MC_CAMPAIGNS] = "campaigns", [MC_BEATS] = "beats",         [MC_QUIETS] = "quiets",
    [MC_WRITES] = "writes",       [MC_READS] = "reads",         [MC_CRASHES] = "crashes",
    [MC_DUPS] = "dups",           [MC_TRANSFERS] = "transfers", [MC_CHANGES] = "changes",
    [MC_LINKS] = "links",         [MC_TICKS] = "ticks",         [MC_SUSPENDS] = "suspends",
    [MC_ASKS] = "asks",           [MC_REASKS] = "reasks",
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
        .name = "reads",
        .text = "two reads around an election",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_READS] = 2},
        .marks = BOTH,
        .states = 266909,
        .depth = 24,
    },
    {
        .name = "rounds",
        .text = "a read, and a heartbeat without one, around an election",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_BEATS] = 1, [MC_READS] = 1},
        .marks = BOTH,
        .states = 1604604,
        .depth = 28,
    },
    {
        .name = "silence",
        .text = "a leader that looks whom it heard, and a read",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_QUIETS] = 1, [MC_READS] = 1},
        .marks = BOTH,
        .states = 90961,
        .depth = 22,
    },
    {
        .name = "elections",
        .text = "two elections, one after the other or beside each other",
        .nodes = 3,
        .voters = 3,
        .terms = 2,
        .once = true,
        .budgets = {[MC_CAMPAIGNS] = 2},
        .marks = BOTH,
        .states = 386499,
        .depth = 27,
    },
    {
        .name = "pre-votes",
        .text = "two nodes whose patience ends, with all that they say",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .pre_votes = true,
        .budgets = {[MC_CAMPAIGNS] = 2},
        .marks = BOTH,
        .states = 87090,
        .depth = 23,
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
        .name = "disk",
        .text = "an election and a crash where disks take their time",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .disk = MC_DISK_SLOW,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_CRASHES] = 1},
        .marks = BOTH,
        .states = 32982,
        .depth = 23,
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
    {
        .name = "twice",
        .text = "a write, an election, and one message that comes twice",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_WRITES] = 1, [MC_DUPS] = 1},
        .marks = BOTH,
        .states = 284440,
        .depth = 23,
    },
    {
        .name = "link",
        .text = "a link that breaks and comes back, a read and an election",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_READS] = 1, [MC_LINKS] = 1},
        .marks = BOTH,
        .states = 512198,
        .depth = 24,
    },
    {
        .name = "add",
        .text = "a voter that is added, a read and an election",
        .nodes = 3,
        .voters = 2,
        .terms = 1,
        .once = true,
        .changes = MC_ADD_VOTER,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_CHANGES] = 1},
        .marks = BOTH,
        .states = 98272,
        .depth = 25,
    },
    {
        .name = "remove",
        .text = "a voter that goes or becomes a learner, a read and an election",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .changes = MC_REMOVE_VOTER | MC_DEMOTE,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_CHANGES] = 1, [MC_READS] = 1},
        .marks = BOTH,
        .states = 328446,
        .depth = 24,
    },
    {
        .name = "learner",
        .text = "a learner that is added and becomes a voter, and a read",
        .nodes = 3,
        .voters = 2,
        .terms = 1,
        .once = true,
        .changes = MC_ADD_LEARNER | MC_PROMOTE,
        .budgets = {[MC_CHANGES] = 2, [MC_READS] = 1},
        .marks = BOTH,
        .states = 11140,
        .depth = 20,
    },
    {
        .name = "disk-write",
        .text = "a write, an election and a crash where disks take their time",
        .nodes = 3,
        .voters = 3,
        .terms = 1,
        .once = true,
        .disk = MC_DISK_SLOW,
        .budgets = {[MC_CAMPAIGNS] = 1, [MC_WRITES] = 1, [MC_CRASHES] = 1},
        .marks = MC_FOR_PLANTS,
        .states = 2238244,
        .depth = 41,
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

static const char *yes_no(bool v)
{
    return v ? "yes" : "no";
}

void mc_scope_say(const struct mc_scope *scope, char *text, size_t size)
{
    int n = snprintf(text, size,
                     "nodes=%u voters=%u terms=%u disk=%s once=%s leases=%s rates=%s pairs=%s pre-votes=%s "
                     "changes-of=%u",
                     scope->nodes, scope->voters, scope->terms,
                     scope->disk == MC_DISK_SLOW ? "slow" : "at-once", yes_no(scope->once),
                     yes_no(scope->leases), yes_no(scope->rates), yes_no(scope->pairs), yes_no(scope->pre_votes),
                     scope->changes);

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
