/* A verdict in words: its first line, and the names that people and programs read. */
#include <stdio.h>

#include "verdict/verdict.h"

#include "base/banned.h"

#define VERDICT_TEXT_CASE(name, number, text, json)                                                \
    case name:                                                                                     \
        return text;
#define VERDICT_NAME_CASE(name, number, text, json)                                                \
    case name:                                                                                     \
        return json;
#define VERDICT_WHY_CASE(name, number, json)                                                       \
    case name:                                                                                     \
        return json;

const char *verdict_text(enum verdict_kind kind)
{
    switch (kind) {
        VERDICTS(VERDICT_TEXT_CASE)
    }
    return "?";
}

const char *verdict_name(enum verdict_kind kind)
{
    switch (kind) {
        VERDICTS(VERDICT_NAME_CASE)
    }
    return "?";
}

const char *verdict_why_name(enum verdict_why why)
{
    switch (why) {
        VERDICT_REASONS(VERDICT_WHY_CASE)
    }
    return "?";
}

const char *verdict_place_name(enum verdict_place place)
{
    switch (place) {
        VERDICT_PLACES(VERDICT_WHY_CASE)
    }
    return NULL;
}

static int survives_text(const struct verdict *v, char *ret_text, size_t size)
{
    if (v->n_to_start > 0)
        return snprintf(ret_text, size, "%s: start %u more node%s; ", verdict_text(v->kind),
                        v->n_to_start, v->n_to_start == 1 ? "" : "s");
    if (v->kind == VERDICT_NO_QUORUM || v->survives < 0)
        return snprintf(ret_text, size, "%s: ", verdict_text(v->kind));
    if (v->survives == 0)
        return snprintf(ret_text, size, "%s: survives no more failure; ", verdict_text(v->kind));
    return snprintf(ret_text, size, "%s: survives %d more failure%s; ", verdict_text(v->kind),
                    v->survives, v->survives == 1 ? "" : "s");
}

/* Who they are, where it is not those that were asked for. */
static void wanted_line(const struct verdict *v, const char *busy, char *ret_text, size_t size)
{
    if (v->found[0] != '\0')
        (void)snprintf(ret_text, size,
                       "%u of %u nodes answered%s, of cluster '%s'; the configuration describes "
                       "'%s'",
                       v->n_answered, v->n_nodes, busy, v->found, v->wanted);
    else
        (void)snprintf(ret_text, size, "%u of %u nodes answered%s, none of cluster '%s'",
                       v->n_answered, v->n_nodes, busy, v->wanted);
}

void verdict_line(const struct verdict *v, char *ret_text, size_t size)
{
    char busy[32] = "";
    char leader[NODE_NAME_BYTES_MAX + 48] = "no leader";
    size_t len = (size_t)survives_text(v, ret_text, size);

    if (v->n_busy > 0)
        (void)snprintf(busy, sizeof(busy), " (%u busy)", v->n_busy);
    if (v->leader[0] != '\0')
        (void)snprintf(leader, sizeof(leader), "leader %s%s", v->leader,
                       v->leader_denies               ? ", which says that it does not lead"
                       : !v->leader_answered          ? ", which did not answer"
                       : v->kind == VERDICT_NO_QUORUM ? ", which hears no quorum"
                                                      : "");
    if (v->wanted != NULL)
        wanted_line(v, busy, ret_text + len, size - len);
    else if (v->n_answered == v->n_busy)
        (void)snprintf(ret_text + len, size - len, "%u of %u nodes answered%s", v->n_answered,
                       v->n_nodes, busy);
    else
        (void)snprintf(ret_text + len, size - len, "%u of %u nodes answered%s, %s, term %lld",
                       v->n_answered, v->n_nodes, busy, leader, (long long)v->term);
}
