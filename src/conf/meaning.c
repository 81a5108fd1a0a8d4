/* What a line means: the key that it sets, and whether the value is one that the key may have.
 * Every problem is noted and reading goes on. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "conf/reading_int.h"

#include "base/banned.h"

/* What a handler of inih returns; at 0 inih would stop. */
#define INIH_GO_ON 1

bool conf_has_hash_comment(const char *value)
{
    for (const char *p = value; *p != '\0'; p++)
        if (*p == '#' && (p == value || conf_is_blank(p[-1])))
            return true;
    return false;
}

const struct conf_key *conf_find_key(enum conf_section section, const char *name)
{
    for (size_t i = 0; i < CONF_N_KEYS; i++)
        if (conf_keys[i].section == section && strcmp(conf_keys[i].name, name) == 0)
            return &conf_keys[i];
    return NULL;
}

/* It is one of another section, or near one of this. */
static bool may_mean_key(enum conf_section section, const char *name)
{
    const char *names[CONF_N_KEYS];
    size_t n = 0;

    for (size_t i = 0; i < CONF_N_KEYS; i++) {
        if (conf_keys[i].section == section)
            names[n++] = conf_keys[i].name;
        else if (strcmp(conf_keys[i].name, name) == 0)
            return true;
    }
    return conf_near(name, names, n) != NULL;
}

static void unknown_key(struct reading *rd, const char *name)
{
    char esc[LOG_ESC_BUF];
    char adv[CONF_ADVICE_BUF];
    const char *names[CONF_N_KEYS];
    size_t n = 0;
    const char *section = conf_section_names[rd->section];

    (void)log_esc(esc, sizeof(esc), name, strlen(name));
    for (size_t i = 0; i < CONF_N_KEYS; i++) {
        if (conf_keys[i].section == rd->section)
            names[n++] = conf_keys[i].name;
        else if (strcmp(conf_keys[i].name, name) == 0) {
            conf_problem_add(rd, rd->line, "unknown key %s in [%s]; it belongs to [%s]", esc,
                             section, conf_section_names[conf_keys[i].section]);
            return;
        }
    }
    conf_problem_add(rd, rd->line, "unknown key %s in [%s]%s", esc, section,
                     conf_advice(adv, name, names, n));
}

/* false: a problem was noted. */
static bool take_number(struct reading *rd, const struct conf_key *k, const char *value)
{
    bool size = k->kind == CONF_KIND_SIZE;
    uint64_t number = 0;
    const int rc = conf_parse_number(value, size, &number);
    char esc[LOG_ESC_BUF];
    char min[CONF_SIZE_BUF];
    char max[CONF_SIZE_BUF];

    (void)log_esc(esc, sizeof(esc), value, strlen(value));
    if (size) {
        (void)conf_format_size(min, k->min);
        (void)conf_format_size(max, k->max);
    } else {
        (void)snprintf(min, sizeof(min), "%llu", (unsigned long long)k->min);
        (void)snprintf(max, sizeof(max), "%llu", (unsigned long long)k->max);
    }
    if (rc == CONF_NUMBER_NONE)
        conf_problem_add(rd, rd->line, "%s = %s is not a %s, %s to %s", k->name, esc,
                         size ? "size: a number and perhaps K, M or G" : "number", min, max);
    else if (rc == CONF_NUMBER_TOO_LARGE || number < k->min || number > k->max)
        conf_problem_add(rd, rd->line, "%s = %s is out of range, %s to %s", k->name, esc, min, max);
    else if (k->multiple != 0 && number % k->multiple != 0)
        conf_problem_add(rd, rd->line, "%s = %s is not a multiple of %llu", k->name, esc,
                         (unsigned long long)k->multiple);
    else {
        conf_number_set(rd->c, k, number);
        return true;
    }
    return false;
}

/* A value that is text. NULL, or what is wrong with it. */
static const char *take_text(struct conf *c, const struct conf_key *k, const char *value)
{
    char *to = (char *)c + k->offset;

    switch (k->kind) {
    case CONF_KIND_DIR:
        return conf_expand_dir(value, NULL, to, sizeof(c->data_dir));
    case CONF_KIND_SOCKET:
        return conf_expand_socket(value, NULL, to, sizeof(c->client_socket));
    case CONF_KIND_FILE:
        return conf_expand_file(value, NULL, to, TLS_FILE_BYTES_MAX + 1);
    case CONF_KIND_ADDRESS:
        return conf_parse_address(value, &conf_http_schemes, to, &c->http_scheme);
    case CONF_KIND_HOSTS:
        return conf_normal_hosts(value, to, sizeof(c->http_hosts));
    case CONF_KIND_WHO:
        return conf_parse_who(value, (struct conf_who_list *)(void *)to);
    case CONF_KIND_YES:
        return conf_parse_yes(value, &c->security.insecure);
    case CONF_KIND_NAME:
    case CONF_KIND_SELF:
    case CONF_KIND_LEVEL:
    case CONF_KIND_UNSIGNED:
    case CONF_KIND_MS:
    case CONF_KIND_SIZE:
    case CONF_KIND_LISTEN:
        break;
    }
    rid_assert(false);
    return NULL;
}

static bool take_level(struct reading *rd, const struct conf_key *k, const char *value)
{
    char esc[LOG_ESC_BUF];
    char adv[CONF_ADVICE_BUF];
    const char *names[LOG_DEBUG + 1];
    enum log_level level;

    if (log_level_from_name(value, &level)) {
        conf_number_set(rd->c, k, (uint64_t)level);
        return true;
    }
    for (unsigned i = 0; i <= LOG_DEBUG; i++)
        names[i] = log_level_name((enum log_level)i);
    conf_problem_add(rd, rd->line, "%s = %s is unknown%s", k->name,
                     log_esc(esc, sizeof(esc), value, strlen(value)),
                     conf_advice(adv, value, names, LOG_DEBUG + 1));
    return false;
}

/* false: a problem was noted. */
static bool take_key(struct reading *rd, const struct conf_key *k, const char *value)
{
    char esc[LOG_ESC_BUF];
    const char *wrong;

    (void)log_esc(esc, sizeof(esc), value, strlen(value));
    switch (k->kind) {
    case CONF_KIND_NAME:
    case CONF_KIND_SELF: {
        char *to = k->kind == CONF_KIND_SELF ? rd->id : rd->c->cluster_name;

        if (!conf_name_ok(value)) {
            conf_problem_add(rd, rd->line, "%s = %s: 1 to %u of A-Z a-z 0-9 _ - are allowed",
                             k->name, esc, NODE_NAME_BYTES_MAX);
            return false;
        }
        (void)snprintf(to, NODE_NAME_BYTES_MAX + 1, "%s", value);
        return true;
    }
    case CONF_KIND_LEVEL:
        return take_level(rd, k, value);
    case CONF_KIND_UNSIGNED:
    case CONF_KIND_MS:
    case CONF_KIND_SIZE:
        return take_number(rd, k, value);
    case CONF_KIND_LISTEN:
        return conf_take_listen(rd, value);
    case CONF_KIND_DIR:
    case CONF_KIND_SOCKET:
    case CONF_KIND_FILE:
    case CONF_KIND_ADDRESS:
    case CONF_KIND_HOSTS:
    case CONF_KIND_WHO:
    case CONF_KIND_YES:
        break;
    }
    wrong = take_text(rd->c, k, value);
    if (wrong != NULL)
        conf_problem_add(
            rd, rd->line, "%s = %s %s", k->name,
            k->kind == CONF_KIND_FILE && *value != '/' ? conf_without_digits(esc) : esc, wrong);
    return wrong == NULL;
}

/* A line of [access] that is none of its keys: a grant, or a key that was mistyped. */
static void take_grant(struct reading *rd, const char *name, const char *value)
{
    struct conf_grant g = {.line = rd->line};
    char esc[LOG_ESC_BUF];
    const char *wrong =
        conf_has_hash_comment(value) ? CONF_HASH_COMMENT : conf_parse_grant(value, &g);

    if (wrong != NULL && may_mean_key(CONF_ACCESS, name))
        unknown_key(rd, name);
    else if (!conf_name_ok(name))
        conf_problem_add(rd, rd->line,
                         "name %s in [access]: 1 to %u of A-Z a-z 0-9 _ - are allowed",
                         log_esc(esc, sizeof(esc), name, strlen(name)), NODE_NAME_BYTES_MAX);
    else if (conf_has_hash_comment(value))
        conf_problem_add(rd, rd->line, CONF_HASH_COMMENT);
    else if (wrong != NULL) {
        (void)log_esc(esc, sizeof(esc), value, strlen(value));
        conf_problem_add(rd, rd->line, "%s = %s %s", name,
                         strstr(value, "token") != NULL ? conf_without_digits(esc) : esc, wrong);
    } else {
        (void)snprintf(g.name, sizeof(g.name), "%s", name);
        conf_add_grant(rd, &g);
    }
}

static void take_pair(struct reading *rd, const char *name, const char *value)
{
    char esc[LOG_ESC_BUF];
    const struct conf_key *k = NULL;
    size_t at = 0;

    if (rd->section == CONF_SECTION_NONE) {
        conf_problem_add(rd, rd->line, "key %s stands before the first section header",
                         log_esc(esc, sizeof(esc), name, strlen(name)));
        return;
    }
    if (rd->section != CONF_PEERS) {
        k = conf_find_key(rd->section, name);
        if (k == NULL && rd->section == CONF_ACCESS) {
            take_grant(rd, name, value);
            return;
        }
        if (k == NULL) {
            unknown_key(rd, name);
            return;
        }
        at = (size_t)(k - conf_keys);
        if (rd->key_lines[at] != 0) {
            conf_problem_add(rd, rd->line, "key '%s' stands twice, first on line %u", name,
                             rd->key_lines[at]);
            return;
        }
        rd->key_lines[at] = rd->line;
    }
    if (k == NULL)
        conf_take_peer(rd, name, value);
    else if (conf_has_hash_comment(value))
        conf_problem_add(rd, rd->line, CONF_HASH_COMMENT);
    else if (*value == '\0')
        conf_problem_add(rd, rd->line, "key '%s' has no value", name);
    else if (take_key(rd, k, value))
        return;
    if (k != NULL)
        rd->key_bad[at] = true;
}

int conf_take_pair(void *user, const char *inih_section, const char *name, const char *value)
{
    (void)inih_section; /* known from its header, which the guard saw */
    take_pair(user, name, value);
    return INIH_GO_ON;
}
