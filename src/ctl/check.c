/* What the answers of all nodes say in numbers, and what of it is too much. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/check_int.h"
#include "ctl/text_int.h"

#include "base/banned.h"

#define CHECK_ROW(id, name, unit, warning, critical, text) {name, unit, warning, critical, text},
static const struct {
    const char *name;
    const char *unit;
    double warning;
    double critical;
    const char *text;
} checks[] = {CHECK_LIMITS(CHECK_ROW)};

const char *check_name(unsigned check)
{
    return checks[check].name;
}

const char *check_unit(unsigned check)
{
    return checks[check].unit;
}

const char *check_text(unsigned check)
{
    return checks[check].text;
}

const char *check_state_name(enum check_state state)
{
    static const char *const names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

    return names[state];
}

void check_defaults(struct check_limits *ret)
{
    for (unsigned i = 0; i < CHECKS_N; i++) {
        ret->warning[i] = checks[i].warning;
        ret->critical[i] = checks[i].critical;
    }
}

void check_number(double v, char *ret, size_t size)
{
    if (v < 0.001)
        v = 0; /* no exponents */
    (void)snprintf(ret, size, v >= 100 ? "%.0f" : "%.3g", v);
}

/* ---- limits ---- */

static int report_unknown(const struct ctl *ctl, const char *option, const char *given)
{
    struct text_near near;

    text_near_init(&near, given);
    for (unsigned i = 0; i < CHECKS_N; i++)
        text_near_try(&near, checks[i].name);
    if (near.nearest != NULL)
        return report(ctl, CTL_EXIT_USAGE, "%s: no such limit '%.40s'; did you mean '%s'?", option,
                      given, near.nearest);
    return report(ctl, CTL_EXIT_USAGE,
                  "%s: no such limit '%.40s'; 'ridctl check --help' lists them", option, given);
}

static int read_limit(const struct ctl *ctl, const char *option, const char *one, double *ret)
{
    const char *equals = strchr(one, '=');
    char name[48];
    char *end = NULL;
    double v;

    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(one, "="), one);
    for (unsigned i = 0; i < CHECKS_N; i++) {
        if (strcmp(name, checks[i].name) != 0)
            continue;
        errno = 0;
        v = equals != NULL && equals[1] >= '0' && equals[1] <= '9' ? strtod(equals + 1, &end) : -1;
        if (end == NULL || v < 0 || errno != 0 || *end != '\0' || !isfinite(v))
            return report(ctl, CTL_EXIT_USAGE,
                          "%s takes %s=NUMBER, not '%.40s'; see 'ridctl check --help'", option,
                          name, one);
        ret[i] = v;
        return CTL_EXIT_OK;
    }
    return report_unknown(ctl, option, name);
}

int check_read_limits(const struct ctl *ctl, const char *option, const char *given, double *ret)
{
    int exit_code = CTL_EXIT_OK;

    for (const char *s = given; exit_code == CTL_EXIT_OK && s != NULL && *s != '\0';) {
        const size_t len = strcspn(s, ",");
        char one[96];

        (void)snprintf(one, sizeof(one), "%.*s", (int)len, s);
        exit_code = read_limit(ctl, option, one, ret);
        s += len;
        s += *s == ',';
    }
    return exit_code;
}

/* ---- values ---- */

static double num(const json_t *o, const char *object, const char *field)
{
    return json_number_value(
        json_object_get(object != NULL ? json_object_get(o, object) : o, field));
}

/* The highest of all nodes counts. */
static void take(struct checked *c, enum check check, double value, const struct row *row)
{
    struct check_value *v = &c->values[check];

    if (v->known && v->value >= value)
        return;
    v->known = true;
    v->value = value;
    (void)snprintf(v->where, sizeof(v->where), "%s", row->node.name);
}

static void take_row(struct checked *c, const struct row *row, double commit)
{
    const json_t *s = row->status;
    const json_t *clocks = json_object_get(json_object_get(s, "leases"), "clocks");
    const double election_us = num(s, "disk", "election_ms") * 1000;
    const double limit = num(s, "space", "limit_bytes");
    const double room = num(s, "room", "all_bytes");

    if (num(s, NULL, "applied_index") > 0)
        take(c, CHECK_LAG, fmax(commit - num(s, NULL, "applied_index"), 0), row);
    if (election_us > 0)
        take(c, CHECK_FSYNC, num(s, "disk", "fsync_p99_us") * 100 / election_us, row);
    if (limit > 0)
        take(c, CHECK_QUOTA, num(s, "space", "used_bytes") * 100 / limit, row);
    if (room > 0)
        take(c, CHECK_DISK, 100 - num(s, "room", "free_bytes") * 100 / room, row);
    for (size_t i = 0; i < json_array_size(clocks); i++)
        take(c, CHECK_DRIFT, fabs(num(json_array_get(clocks, i), NULL, "ppm")), row);
}

/* The place of a node is told, where it is of all. */
static void take_all(struct checked *c, enum check check, double value)
{
    c->values[check].known = true;
    c->values[check].value = value;
}

/* The worst counts, here and of the facts (TELL-6). */
static void judge_values(struct checked *c, const struct check_limits *limits)
{
    for (unsigned i = 0; i < CHECKS_N; i++) {
        struct check_value *v = &c->values[i];

        if (!v->known)
            continue;
        if (limits->critical[i] > 0 && v->value >= limits->critical[i])
            v->state = CHECK_STATE_CRITICAL;
        else if (limits->warning[i] > 0 && v->value >= limits->warning[i])
            v->state = CHECK_STATE_WARNING;
        if (v->state > c->state)
            c->state = v->state;
    }
}

/* ---- facts ---- */

static void fact(struct checked *c, const char *name, enum check_state state, const char *text)
{
    struct check_fact *f = &c->facts[c->n_facts];

    if (c->n_facts == CHECK_FACTS_MAX)
        return;
    c->n_facts++;
    f->name = name;
    f->state = state;
    (void)snprintf(f->text, sizeof(f->text), "%.*s", (int)sizeof(f->text) - 1, text);
    if (state > c->state)
        c->state = state;
}

/* The cluster as a whole, in the words of the verdict and of its first reason. */
static void judge_verdict(struct checked *c, const struct verdict *v)
{
    static const enum check_state states[] = {[VERDICT_OK] = CHECK_STATE_OK,
                                              [VERDICT_DEGRADED] = CHECK_STATE_WARNING,
                                              [VERDICT_NO_QUORUM] = CHECK_STATE_CRITICAL,
                                              [VERDICT_SPLIT] = CHECK_STATE_CRITICAL};
    char text[2 * VERDICT_TEXT_BYTES + NODE_NAME_BYTES_MAX + RIDD_ENDPOINT_SIZE + 8];
    size_t len;

    verdict_line(v, text, sizeof(text));
    len = strlen(text);
    if (v->n_reasons > 0)
        (void)snprintf(text + len, sizeof(text) - len, "; %s: %s",
                       v->reasons[0].node[0] != '\0' ? v->reasons[0].node : v->reasons[0].endpoint,
                       v->reasons[0].text);
    fact(c, "verdict", states[v->kind], text);
}

/* Reasons of the verdict that are worse than their verdict. */
static void judge_reasons(struct checked *c, const struct verdict *v)
{
    const struct verdict_reason *state = NULL;
    const struct verdict_reason *room = NULL;
    char text[NODE_NAME_BYTES_MAX + VERDICT_TEXT_BYTES + 4];

    for (unsigned i = 0; i < v->n_reasons; i++) {
        const enum verdict_why why = v->reasons[i].why;

        if (state == NULL && (why == VERDICT_DIFFERS || why == VERDICT_DAMAGED))
            state = &v->reasons[i];
        if (room == NULL && (why == VERDICT_NO_SPACE || why == VERDICT_PARKED))
            room = &v->reasons[i];
    }
    (void)snprintf(text, sizeof(text), "%s: %s", state != NULL ? state->node : "",
                   state != NULL ? state->text : "");
    fact(c, "digests", state != NULL ? CHECK_STATE_CRITICAL : CHECK_STATE_OK,
         state != NULL ? text : "all states agree");
    (void)snprintf(text, sizeof(text), "%s: %s", room != NULL ? room->node : "",
                   room != NULL ? room->text : "");
    fact(c, "room", room != NULL ? CHECK_STATE_CRITICAL : CHECK_STATE_OK,
         room != NULL ? text : "no disk is full");
}

static void judge_versions(struct checked *c, const struct rows *rows)
{
    const char *first = NULL;
    const char *other = NULL;
    char text[128];

    for (unsigned i = 0; i < rows->n; i++) {
        const char *version = rows_str(rows->list[i].status, "version", NULL);

        if (version == NULL)
            continue;
        if (first == NULL)
            first = version;
        else if (strcmp(first, version) != 0)
            other = version;
    }
    if (first == NULL)
        return;
    (void)snprintf(text, sizeof(text), other != NULL ? "%.40s and %.40s" : "%.40s", first, other);
    fact(c, "versions", other != NULL ? CHECK_STATE_WARNING : CHECK_STATE_OK, text);
}

void check_judge(const struct rows *rows, const struct verdict *v, int changes,
                 const struct check_limits *limits, struct checked *ret)
{
    const struct row *best = rows_best(rows);
    unsigned n_young = 0;

    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];

        if (row->status == NULL)
            continue;
        take_row(ret, row, num(best->status, NULL, "commit_index"));
        n_young += json_is_integer(json_object_get(row->status, "uptime_ms")) &&
                   num(row->status, NULL, "uptime_ms") < CTL_CHECK_YOUNG_MS;
    }
    if (best != NULL)
        take_all(ret, CHECK_STARTS, n_young);
    if (changes >= 0)
        take_all(ret, CHECK_CHANGES, changes);
    judge_values(ret, limits);
    judge_verdict(ret, v);
    if (best != NULL)
        judge_reasons(ret, v);
    judge_versions(ret, rows);
}
