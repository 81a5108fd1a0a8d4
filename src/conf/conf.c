/* Reading: a guard before inih, meaning behind it.
 *
 * inih asks its reader for a line, takes it apart and calls the handler before it asks for the
 * next. The reader here looks at each raw line first and passes on only what inih reads the way a
 * person does; a refused line reaches inih as an empty one, so that both count the same lines. What
 * the guard stops: an indented key (inih: a second value of the key above), a line longer than
 * inih's buffer (split in two), text behind a header (dropped), a header or key that is not one
 * (only the first such line is ever reported), NUL and other control bytes. The handler knows from
 * the guard which section and line it is in. What can only be judged at the end (missing sections,
 * relations between values, which node this is) is in finish(). Every problem is noted and reading
 * goes on. */
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "conf/conf_int.h"

#include "base/banned.h"

struct reading {
    struct conf *c;                 /* borrowed */
    struct conf_problems *problems; /* borrowed */
    bool out_of_memory;
    bool problems_cut;

    const unsigned char *data; /* borrowed: what is not yet read */
    size_t len;
    unsigned line;
    enum conf_section section;

    unsigned section_lines[CONF_N_SECTIONS]; /* of the header; 0: not seen */
    unsigned key_lines[CONF_N_KEYS];
    bool key_bad[CONF_N_KEYS];
    bool peers_cut;                      /* RAFT_SERVERS_MAX was passed */
    bool section_meant[CONF_N_SECTIONS]; /* an unknown header is near it */
    bool peers_any;                      /* [peers] has a line, right or wrong */
    char id[NODE_NAME_BYTES_MAX + 1];
};

__attribute__((format(printf, 3, 4))) static void problem(struct reading *rd, unsigned line,
                                                          const char *format, ...)
{
    struct conf_problems *ps = rd->problems;
    struct conf_problem *p;
    va_list ap;

    if (rd->problems_cut)
        return;
    if (ps->list == NULL) {
        ps->list = calloc(CONF_PROBLEMS_MAX + 1, sizeof(*ps->list));
        if (ps->list == NULL) {
            rd->out_of_memory = true;
            return;
        }
    }
    p = &ps->list[ps->n++];
    p->line = line;
    if (ps->n > CONF_PROBLEMS_MAX) {
        p->line = 0;
        rd->problems_cut = true;
        (void)snprintf(p->text, sizeof(p->text), "more problems than the %u shown",
                       CONF_PROBLEMS_MAX);
        return;
    }
    va_start(ap, format);
    (void)vsnprintf(p->text, sizeof(p->text), format, ap);
    va_end(ap);
}

#define ADVICE_BUF 128

/* "; known: a, b, c" */
static const char *list_known(char buf[ADVICE_BUF], const char *const *names, size_t n)
{
    size_t at = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *lead = i == 0 ? "; known: " : ", ";

        if (at + strlen(lead) + strlen(names[i]) + sizeof(", ...") > ADVICE_BUF) {
            (void)snprintf(buf + at, ADVICE_BUF - at, ", ...");
            break;
        }
        at += (size_t)snprintf(buf + at, ADVICE_BUF - at, "%s%s", lead, names[i]);
    }
    return buf;
}

/* "; did you mean 'x'?", or the list. */
static const char *advice(char buf[ADVICE_BUF], const char *word, const char *const *names,
                          size_t n)
{
    const char *near = conf_near(word, names, n);

    if (near == NULL)
        return list_known(buf, names, n);
    (void)snprintf(buf, ADVICE_BUF, "; did you mean '%s'?", near);
    return buf;
}

/* Names of nodes are short and alike: one edit away says nothing, so they are listed. */
static const char *list_peers(char buf[ADVICE_BUF], const struct conf *c)
{
    const char *names[RAFT_SERVERS_MAX];

    for (unsigned i = 0; i < c->n_peers; i++)
        names[i] = c->peers[i].name;
    return list_known(buf, names, c->n_peers);
}

/* ---- the guard ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void guard_header(struct reading *rd, const char *line)
{
    char esc[LOG_ESC_BUF];
    char adv[ADVICE_BUF];
    char name[LOG_ESC_BYTES_MAX + 1];
    const char *close = strchr(line, ']');
    const char *rest;
    size_t len;

    rd->section = CONF_SECTION_UNKNOWN;
    if (close == NULL) {
        problem(rd, rd->line, "section header %s has no ']'",
                log_esc(esc, sizeof(esc), line, strlen(line)));
        return;
    }
    len = (size_t)(close - line - 1);
    (void)snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name)),
                   line + 1);
    for (unsigned s = 0; s < CONF_N_SECTIONS; s++)
        if (strlen(conf_section_names[s]) == len &&
            memcmp(conf_section_names[s], line + 1, len) == 0)
            rd->section = (enum conf_section)s;
    if (rd->section == CONF_SECTION_UNKNOWN) {
        const char *near = conf_near(name, conf_section_names, CONF_N_SECTIONS);

        problem(rd, rd->line, "unknown section [%s]%s", log_esc(esc, sizeof(esc), line + 1, len),
                advice(adv, name, conf_section_names, CONF_N_SECTIONS));
        for (unsigned s = 0; s < CONF_N_SECTIONS; s++)
            rd->section_meant[s] |= near == conf_section_names[s];
    }
    rest = close + 1;
    while (is_blank(*rest))
        rest++;
    if (*rest != '\0' && *rest != ';' && *rest != '#')
        problem(rd, rd->line, "text after a section header: %s",
                log_esc(esc, sizeof(esc), rest, strlen(rest)));
    if (rd->section == CONF_SECTION_UNKNOWN)
        return;
    /* Its keys are still read: a key given twice is then reported as well. */
    if (rd->section_lines[rd->section] != 0)
        problem(rd, rd->line, "section [%s] stands twice, first on line %u",
                conf_section_names[rd->section], rd->section_lines[rd->section]);
    else
        rd->section_lines[rd->section] = rd->line;
}

/* Whether inih may see this line. It holds no NUL and no newline. */
static bool guard(struct reading *rd, const char *line, size_t len, size_t room)
{
    char esc[LOG_ESC_BUF];
    const char *first = line + strspn(line, " \t");

    if (rd->section == CONF_PEERS &&
        strchr("#;[", *first) == NULL) /* finds the end of the string too */
        rd->peers_any = true;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            problem(rd, rd->line, "control character \\x%02x in column %zu", c, i + 1);
            return false;
        }
    }
    if (*first == '\0' || *first == '#' || *first == ';')
        return false;
    if (len > room) {
        problem(rd, rd->line, "line of %zu bytes; at most %zu are read", len, room);
        return false;
    }
    if (first != line) {
        problem(rd, rd->line, "indented line %s; keys and headers start in the first column",
                log_esc(esc, sizeof(esc), first, strlen(first)));
        return false;
    }
    if (*line == '[') {
        guard_header(rd, line);
        return false; /* inih has no use for it: the handler goes by rd->section */
    }
    if (rd->section == CONF_SECTION_UNKNOWN)
        return false;
    if (*line == '=' || *line == ':') {
        problem(rd, rd->line, "no key before '%c'", *line);
        return false;
    }
    /* As inih looks: a ';' behind a blank ends the line. */
    for (const char *p = line; *p != '\0'; p++) {
        if (*p == '=' || *p == ':')
            return true;
        if (*p == ';' && is_blank(p[-1]))
            break;
    }
    problem(rd, rd->line, "%s is neither 'key = value' nor a section header",
            log_esc(esc, sizeof(esc), line, len));
    return false;
}

/* inih's fgets: one line, always ended by a newline, empty when the guard refused it. */
static char *read_line(char *str, int num, void *stream)
{
    static const unsigned char bom[] = {0xef, 0xbb, 0xbf};
    struct reading *rd = stream;
    const unsigned char *newline;
    size_t len;
    size_t room;
    cleanup_free char *line = NULL;

    if (rd->len == 0 || num < 3 || rd->out_of_memory)
        return NULL;
    rd->line++;
    newline = memchr(rd->data, '\n', rd->len);
    len = newline != NULL ? (size_t)(newline - rd->data) : rd->len;
    line = malloc(len + 1);
    if (line == NULL) {
        rd->out_of_memory = true;
        return NULL;
    }
    memcpy(line, rd->data, len);
    rd->data += len + (newline != NULL);
    rd->len -= len + (newline != NULL);
    if (len > 0 && line[len - 1] == '\r')
        len--;
    line[len] = '\0';

    room = (size_t)num - 3; /* as ini.h counts: "\r\n" and the NUL */
    if (rd->line == 1 && len >= sizeof(bom) && memcmp(line, bom, sizeof(bom)) == 0) {
        problem(rd, 1, "a byte order mark before the text; save the file as plain UTF-8");
        len -= sizeof(bom);
        memmove(line, line + sizeof(bom), len + 1);
    }
    if (memchr(line, '\0', len) != NULL) {
        problem(rd, rd->line, "NUL byte in column %zu", strlen(line) + 1);
        len = 0;
    } else if (!guard(rd, line, len, room)) {
        len = 0;
    }
    memcpy(str, line, len);
    str[len] = '\n';
    str[len + 1] = '\0';
    return str;
}

/* ---- meaning ---- */

#define HASH_COMMENT "'#' behind a value; there a comment starts with ';'"

static bool has_hash_comment(const char *value)
{
    for (const char *p = value; *p != '\0'; p++)
        if (*p == '#' && (p == value || is_blank(p[-1])))
            return true;
    return false;
}

static void take_peer(struct reading *rd, const char *name, const char *value)
{
    struct conf *c = rd->c;
    struct conf_peer *p;
    char words[3][ADDRESS_BYTES_MAX + 1];
    unsigned n = 0;
    char esc[LOG_ESC_BUF];
    char *to[3];

    if (!conf_name_ok(name)) {
        problem(rd, rd->line, "peer name %s: 1 to %u of A-Z a-z 0-9 _ - are allowed",
                log_esc(esc, sizeof(esc), name, strlen(name)), NODE_NAME_BYTES_MAX);
        return;
    }
    for (unsigned i = 0; i < c->n_peers; i++) {
        if (strcmp(c->peers[i].name, name) == 0) {
            problem(rd, rd->line, "peer '%s' stands twice, first on line %u", name,
                    c->peers[i].line);
            return;
        }
        if (c->peers[i].id == raft_founder_id(name)) {
            problem(
                rd, rd->line,
                "peers '%s' and '%s' (line %u) get the same number from their names: rename one",
                name, c->peers[i].name, c->peers[i].line);
            return;
        }
    }
    if (c->n_peers == RAFT_SERVERS_MAX) {
        if (!rd->peers_cut)
            problem(rd, rd->line, "more than %u peers", RAFT_SERVERS_MAX);
        rd->peers_cut = true;
        return;
    }
    /* Known from here on, so that a mistyped address does not make the name unknown too. */
    p = &c->peers[c->n_peers++];
    memset(p, 0, sizeof(*p));
    (void)snprintf(p->name, sizeof(p->name), "%s", name);
    p->id = raft_founder_id(name);
    p->line = rd->line;

    if (has_hash_comment(value)) {
        problem(rd, rd->line, HASH_COMMENT);
        return;
    }
    for (const char *s = value; *s != '\0';) {
        size_t len = strcspn(s, " \t");

        if (n < 3)
            (void)snprintf(words[n], sizeof(words[n]), "%.*s", (int)len, s);
        n++;
        s += len;
        s += strspn(s, " \t");
    }
    if (n < 2 || n > 3) {
        problem(
            rd, rd->line,
            "peer '%s' has %u address%s; give peer and client address, and perhaps one for HTTP",
            name, n, n == 1 ? "" : "es");
        return;
    }
    to[0] = p->peer_addr;
    to[1] = p->client_addr;
    to[2] = p->http_addr;
    for (unsigned i = 0; i < n; i++) {
        const char *wrong = conf_normal_address(words[i], to[i]);

        if (wrong != NULL) {
            problem(rd, rd->line, "%s %s", log_esc(esc, sizeof(esc), words[i], strlen(words[i])),
                    wrong);
            continue;
        }
        /* One listener per address, whatever it is for. */
        for (unsigned k = 0; k < c->n_peers; k++) {
            const struct conf_peer *q = &c->peers[k];
            bool self = q == p;

            if ((strcmp(q->peer_addr, to[i]) == 0 && !(self && i == 0)) ||
                (strcmp(q->client_addr, to[i]) == 0 && !(self && i <= 1)) ||
                (strcmp(q->http_addr, to[i]) == 0 && !self)) {
                if (self)
                    problem(rd, rd->line, "address '%s' stands twice on this line", to[i]);
                else
                    problem(rd, rd->line, "address '%s' stands twice, first on line %u", to[i],
                            q->line);
                break;
            }
        }
    }
}

static const struct conf_key *find_key(enum conf_section section, const char *name)
{
    for (size_t i = 0; i < CONF_N_KEYS; i++)
        if (conf_keys[i].section == section && strcmp(conf_keys[i].name, name) == 0)
            return &conf_keys[i];
    return NULL;
}

static void unknown_key(struct reading *rd, const char *name)
{
    char esc[LOG_ESC_BUF];
    char adv[ADVICE_BUF];
    const char *names[CONF_N_KEYS];
    size_t n = 0;
    const char *section = conf_section_names[rd->section];

    (void)log_esc(esc, sizeof(esc), name, strlen(name));
    for (size_t i = 0; i < CONF_N_KEYS; i++) {
        if (conf_keys[i].section == rd->section)
            names[n++] = conf_keys[i].name;
        else if (strcmp(conf_keys[i].name, name) == 0) {
            problem(rd, rd->line, "unknown key %s in [%s]; it belongs to [%s]", esc, section,
                    conf_section_names[conf_keys[i].section]);
            return;
        }
    }
    problem(rd, rd->line, "unknown key %s in [%s]%s", esc, section,
            n == 0 ? "; it has no keys yet" : advice(adv, name, names, n));
}

/* false: a problem was noted. */
static bool take_number(struct reading *rd, const struct conf_key *k, const char *value)
{
    bool size = k->kind == CONF_KIND_SIZE;
    uint64_t number = 0;
    int r = conf_parse_number(value, size, &number);
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
    if (r == 1)
        problem(rd, rd->line, "%s = %s is not a %s, %s to %s", k->name, esc,
                size ? "size: a number and perhaps K, M or G" : "number", min, max);
    else if (r == 2 || number < k->min || number > k->max)
        problem(rd, rd->line, "%s = %s is out of range, %s to %s", k->name, esc, min, max);
    else if (k->multiple != 0 && number % k->multiple != 0)
        problem(rd, rd->line, "%s = %s is not a multiple of %llu", k->name, esc,
                (unsigned long long)k->multiple);
    else {
        conf_number_set(rd->c, k, number);
        return true;
    }
    return false;
}

static bool take_key(struct reading *rd, const struct conf_key *k, const char *value)
{
    char esc[LOG_ESC_BUF];
    enum log_level level;

    (void)log_esc(esc, sizeof(esc), value, strlen(value));
    switch (k->kind) {
    case CONF_KIND_NAME:
    case CONF_KIND_SELF: {
        char *to = k->kind == CONF_KIND_SELF ? rd->id : rd->c->cluster_name;

        if (!conf_name_ok(value)) {
            problem(rd, rd->line, "%s = %s: 1 to %u of A-Z a-z 0-9 _ - are allowed", k->name, esc,
                    NODE_NAME_BYTES_MAX);
            return false;
        }
        (void)snprintf(to, NODE_NAME_BYTES_MAX + 1, "%s", value);
        return true;
    }
    case CONF_KIND_DIR: {
        const char *wrong = conf_expand_dir(value, NULL, rd->c->data_dir, sizeof(rd->c->data_dir));

        if (wrong != NULL)
            problem(rd, rd->line, "%s = %s %s", k->name, esc, wrong);
        return wrong == NULL;
    }
    case CONF_KIND_LEVEL:
        if (!log_level_from_name(value, &level)) {
            const char *names[LOG_DEBUG + 1];
            char adv[ADVICE_BUF];

            for (unsigned i = 0; i <= LOG_DEBUG; i++)
                names[i] = conf_log_level_name((enum log_level)i);
            problem(rd, rd->line, "%s = %s is unknown%s", k->name, esc,
                    advice(adv, value, names, LOG_DEBUG + 1));
            return false;
        }
        conf_number_set(rd->c, k, (uint64_t)level);
        return true;
    case CONF_KIND_UNSIGNED:
    case CONF_KIND_MS:
    case CONF_KIND_SIZE:
        break;
    }
    return take_number(rd, k, value);
}

/* What inih understood of the line that read_line() gave it last. Problems are kept here, so it
 * always goes on: 1. */
static int take_pair(void *user, const char *inih_section, const char *name, const char *value)
{
    struct reading *rd = user;
    char esc[LOG_ESC_BUF];
    const struct conf_key *k = NULL;
    size_t at = 0;

    (void)inih_section;
    if (rd->section == CONF_SECTION_NONE) {
        problem(rd, rd->line, "key %s stands before the first section header",
                log_esc(esc, sizeof(esc), name, strlen(name)));
        return 1;
    }
    if (rd->section != CONF_PEERS) {
        k = find_key(rd->section, name);
        if (k == NULL) {
            unknown_key(rd, name);
            return 1;
        }
        at = (size_t)(k - conf_keys);
        if (rd->key_lines[at] != 0) {
            problem(rd, rd->line, "key '%s' stands twice, first on line %u", name,
                    rd->key_lines[at]);
            return 1;
        }
        rd->key_lines[at] = rd->line;
    }
    if (k == NULL)
        take_peer(rd, name, value);
    else if (has_hash_comment(value))
        problem(rd, rd->line, HASH_COMMENT);
    else if (*value == '\0')
        problem(rd, rd->line, "key '%s' has no value", name);
    else if (take_key(rd, k, value))
        return 1;
    if (k != NULL)
        rd->key_bad[at] = true;
    return 1;
}

static size_t key_at(enum conf_section section, const char *name)
{
    const struct conf_key *k = find_key(section, name);

    rid_assert(k != NULL);
    return (size_t)(k - conf_keys);
}

static int peer_order(const void *a, const void *b)
{
    const struct conf_peer *p = a;
    const struct conf_peer *q = b;

    return strcmp(p->name, q->name);
}

static void finish_timing(struct reading *rd)
{
    size_t heartbeat = key_at(CONF_RAFT, "heartbeat_ms");
    size_t election = key_at(CONF_RAFT, "election_ms");
    unsigned line =
        rd->key_lines[heartbeat] != 0 ? rd->key_lines[heartbeat] : rd->key_lines[election];

    if (rd->key_bad[heartbeat] || rd->key_bad[election])
        return;
    /* With less than three heartbeats to a timeout one lost message starts elections (VOTE-8). */
    if (rd->c->heartbeat_us > rd->c->election_us / 3)
        problem(rd, line, "heartbeat_ms = %llu is more than a third of election_ms = %llu",
                (unsigned long long)(rd->c->heartbeat_us / 1000),
                (unsigned long long)(rd->c->election_us / 1000));
}

static void finish_self(struct reading *rd, const char *id, bool need_self)
{
    struct conf *c = rd->c;
    size_t id_key = key_at(CONF_NODE, "id");
    char dir[PATH_MAX];
    char esc[LOG_ESC_BUF];
    char adv[ADVICE_BUF];
    const char *wrong;
    unsigned line = 0;
    const char *source = "--id";

    if (id == NULL) {
        if (rd->key_bad[id_key])
            return;
        if (rd->id[0] != '\0') {
            id = rd->id;
            line = rd->key_lines[id_key];
            source = "id";
        }
    }
    if (id == NULL) {
        if (need_self)
            problem(rd, 0, "which node this is was not said: give --id NAME or 'id' in [node]%s",
                    rd->peers_cut || c->n_peers == 0 ? "" : list_peers(adv, c));
        return;
    }
    for (unsigned i = 0; i < c->n_peers; i++)
        if (strcmp(c->peers[i].name, id) == 0)
            c->self = &c->peers[i];
    if (c->self == NULL) {
        if (need_self && !rd->peers_cut && c->n_peers > 0)
            problem(rd, line, "%s %s is not in [peers]%s", source,
                    log_esc(esc, sizeof(esc), id, strlen(id)), list_peers(adv, c));
        return;
    }
    wrong = conf_expand_dir(c->data_dir, c->self->name, dir, sizeof(dir));
    if (wrong != NULL)
        problem(rd, rd->key_lines[key_at(CONF_NODE, "data_dir")], "data_dir for node '%s' %s",
                c->self->name, wrong);
    else
        (void)snprintf(c->data_dir, sizeof(c->data_dir), "%s", dir);
}

static void finish(struct reading *rd, const char *id, bool need_self)
{
    struct conf *c = rd->c;

    if (rd->section_lines[CONF_CLUSTER] == 0 && !rd->section_meant[CONF_CLUSTER])
        problem(rd, 0, "section [cluster] is missing: it names the cluster ('name = example')");
    else if (rd->section_lines[CONF_CLUSTER] != 0 &&
             rd->key_lines[key_at(CONF_CLUSTER, "name")] == 0)
        problem(rd, rd->section_lines[CONF_CLUSTER], "[cluster] has no 'name'");
    if (rd->section_lines[CONF_PEERS] == 0 && !rd->section_meant[CONF_PEERS])
        problem(rd, 0,
                "section [peers] is missing: one line per node ('n1 = host:port host:port')");
    else if (rd->section_lines[CONF_PEERS] != 0 && !rd->peers_any)
        problem(rd, rd->section_lines[CONF_PEERS], "[peers] names no node");
    if (c->n_peers > 1)
        qsort(c->peers, c->n_peers, sizeof(c->peers[0]), peer_order);
    finish_timing(rd);
    finish_self(rd, id, need_self);
}

/* Stable, by insertion: there are at most CONF_PROBLEMS_MAX + 1, nearly in order. */
static void sort_problems(struct conf_problems *ps)
{
    for (size_t i = 1; i < ps->n; i++) {
        struct conf_problem p = ps->list[i];
        size_t at = i;

        while (at > 0 && ps->list[at - 1].line - 1u > p.line - 1u) { /* 0 - 1u: behind all others */
            ps->list[at] = ps->list[at - 1];
            at--;
        }
        ps->list[at] = p;
    }
}

int conf_parse(const char *path, const void *data, size_t len, const char *id, bool need_self,
               struct conf *ret, struct conf_problems *ret_problems)
{
    cleanup_free struct conf *c = calloc(1, sizeof(*c));
    struct reading rd = {
        .c = c, .problems = ret_problems, .data = data, .len = len, .section = CONF_SECTION_NONE};
    int r;

    *ret_problems = (struct conf_problems){0};
    if (c == NULL)
        return err_origin(err_say(-ENOMEM, "cannot read '%s': no memory", path));
    conf_set_defaults(c);
    (void)snprintf(c->path, sizeof(c->path), "%s", path);

    if (len > CONF_FILE_BYTES_MAX) {
        problem(&rd, 0, "larger than %u KiB: this is no configuration file",
                CONF_FILE_BYTES_MAX >> 10);
    } else {
        r = ini_parse_stream(read_line, &rd, take_pair, &rd);
        /* The guard lets through nothing that inih refuses; if it does, nothing is taken on
         * trust. */
        if (r == -2)
            rd.out_of_memory = true;
        else if (r != 0)
            problem(&rd, r > 0 ? (unsigned)r : 0, "not understood");
        finish(&rd, id, need_self);
    }
    if (rd.out_of_memory) {
        conf_problems_done(ret_problems);
        return err_origin(err_say(-ENOMEM, "cannot read '%s': no memory", path));
    }
    if (ret_problems->n > 0) {
        sort_problems(ret_problems);
        return CONF_E_PROBLEMS;
    }
    *ret = *c;
    ret->self = c->self != NULL ? &ret->peers[c->self - c->peers] : NULL;
    return 0;
}

int conf_load(const char *path, const char *id, bool need_self, struct conf *ret,
              struct conf_problems *ret_problems)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    cleanup_buf struct buf b = BUF_INIT;

    *ret_problems = (struct conf_problems){0};
    if (fd < 0)
        return err_origin(err_say(-errno, "cannot open '%s': %s", path, strerror(errno)));
    /* One byte more than allowed tells conf_parse() that it is too much. */
    while (b.len <= CONF_FILE_BYTES_MAX) {
        size_t room =
            CONF_FILE_BYTES_MAX + 1 - b.len < 4096 ? CONF_FILE_BYTES_MAX + 1 - b.len : 4096;
        void *to = buf_reserve(&b, room);
        ssize_t n;

        if (to == NULL)
            return err_origin(err_say(-ENOMEM, "cannot read '%s': no memory", path));
        n = read(fd, to, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_origin(err_say(-errno, "cannot read '%s': %s", path, strerror(errno)));
        if (n == 0)
            break;
        b.len += (size_t)n;
    }
    return conf_parse(path, b.data, b.len, id, need_self, ret, ret_problems);
}

void conf_problems_done(struct conf_problems *p)
{
    free(p->list);
    *p = (struct conf_problems){0};
}

void conf_problems_print(const struct conf_problems *p, const char *path, FILE *out)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->list[i].line != 0)
            (void)fprintf(out, "%s:%u: %s\n", path, p->list[i].line, p->list[i].text);
        else
            (void)fprintf(out, "%s: %s\n", path, p->list[i].text);
    }
}
