/* The guard before inih.
 *
 * inih asks its reader for a line, takes it apart and calls the handler before it asks for the
 * next. The reader here looks at each raw line first and passes on only what inih reads the way a
 * person does; a refused line reaches inih as an empty one, so that both count the same lines. What
 * the guard stops: an indented key (inih: a second value of the key above), a line longer than
 * inih's buffer (split in two), text behind a header (dropped), a header or key that is not one
 * (only the first such line is ever reported), NUL and other control bytes. The handler knows from
 * the guard which section and line it is in. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "conf/reading_int.h"

#include "base/banned.h"

static void guard_header(struct reading *rd, const char *line)
{
    char esc[LOG_ESC_BUF];
    char adv[CONF_ADVICE_BUF];
    char name[LOG_ESC_BYTES_MAX + 1];
    const char *close = strchr(line, ']');
    const char *rest;
    size_t len;

    rd->section = CONF_SECTION_UNKNOWN;
    if (close == NULL) {
        conf_problem_add(rd, rd->line, "section header %s has no ']'",
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

        conf_problem_add(rd, rd->line, "unknown section [%s]%s",
                         log_esc(esc, sizeof(esc), line + 1, len),
                         conf_advice(adv, name, conf_section_names, CONF_N_SECTIONS));
        for (unsigned s = 0; s < CONF_N_SECTIONS; s++)
            rd->section_meant[s] |= near == conf_section_names[s];
    }
    rest = close + 1;
    while (conf_is_blank(*rest))
        rest++;
    if (*rest != '\0' && *rest != ';' && *rest != '#')
        conf_problem_add(rd, rd->line, "text after a section header: %s",
                         log_esc(esc, sizeof(esc), rest, strlen(rest)));
    if (rd->section == CONF_SECTION_UNKNOWN)
        return;
    /* Its keys are still read: a key given twice is then reported as well. */
    if (rd->section_lines[rd->section] != 0)
        conf_problem_add(rd, rd->line, "section [%s] stands twice, first on line %u",
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
            conf_problem_add(rd, rd->line, "control character \\x%02x in column %zu", c, i + 1);
            return false;
        }
    }
    if (*first == '\0' || *first == '#' || *first == ';')
        return false;
    if (len > room) {
        conf_problem_add(rd, rd->line, "line of %zu bytes; at most %zu are read", len, room);
        return false;
    }
    if (first != line) {
        conf_problem_add(rd, rd->line,
                         "indented line %s; keys and headers start in the first column",
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
        conf_problem_add(rd, rd->line, "no key before '%c'", *line);
        return false;
    }
    /* As inih looks: a ';' behind a blank ends the line. */
    for (const char *p = line; *p != '\0'; p++) {
        if (*p == '=' || *p == ':')
            return true;
        if (*p == ';' && conf_is_blank(p[-1]))
            break;
    }
    conf_problem_add(rd, rd->line, "%s is neither 'key = value' nor a section header",
                     log_esc(esc, sizeof(esc), line, len));
    return false;
}

char *conf_read_line(char *str, int num, void *stream)
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
        conf_problem_add(rd, 1, "a byte order mark before the text; save the file as plain UTF-8");
        len -= sizeof(bom);
        memmove(line, line + sizeof(bom), len + 1);
    }
    if (memchr(line, '\0', len) != NULL) {
        conf_problem_add(rd, rd->line, "NUL byte in column %zu", strlen(line) + 1);
        len = 0;
    } else if (!guard(rd, line, len, room)) {
        len = 0;
    }
    memcpy(str, line, len);
    str[len] = '\n';
    str[len + 1] = '\0';
    return str;
}
