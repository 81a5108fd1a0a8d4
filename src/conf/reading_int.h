/* One reading of a configuration file: what the guard, the meaning and the notes of problems know
 * together. */
#ifndef RIDD_CONF_READING_INT_H
#define RIDD_CONF_READING_INT_H

#include "conf/conf_int.h"

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
    bool grants_cut;                     /* CONF_GRANTS_MAX was passed */
    bool security_unclear;               /* a problem was noted while [security] was read */
    char id[NODE_NAME_BYTES_MAX + 1];
};

/* ---- problems (problem.c) ---- */

/* Notes a problem; line 0: of the file as a whole. Beyond CONF_PROBLEMS_MAX one line says that
 * there are more. */
/* In place: who wrote a secret where its path should be, or a token in the place of its hash, sends
 * what is said of it to others (GUARD-5). */
const char *conf_without_digits(char *text);
__attribute__((format(printf, 3, 4))) void conf_problem_add(struct reading *rd, unsigned line,
                                                            const char *format, ...);
/* By line, line 0 last; those of one line stay in their order. */
void conf_problems_sort(struct conf_problems *ps);

/* Room for what a problem suggests. */
#define CONF_ADVICE_BUF 128
/* "; did you mean 'x'?", or "; known: a, b, c". */
const char *conf_advice(char buf[CONF_ADVICE_BUF], const char *word, const char *const *names,
                        size_t n);
/* "; known: a, b, c". Names of nodes are short and alike: one edit away says nothing, so they are
 * listed. */
const char *conf_list_peers(char buf[CONF_ADVICE_BUF], const struct conf *c);

/* ---- the guard (guard.c) ---- */

static inline bool conf_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* inih's fgets, with a struct reading for its stream: one line, always ended by a newline, empty
 * when the guard refused it. */
char *conf_read_line(char *str, int num, void *stream);

/* ---- the meaning (meaning.c, peers.c, grant.c, listen.c, security.c, finish.c) ---- */

/* '#' behind a value is no comment to inih, and its writer meant one. */
bool conf_has_hash_comment(const char *value);
#define CONF_HASH_COMMENT "'#' behind a value; there a comment starts with ';'"
/* NULL: there is none of that name. */
const struct conf_key *conf_find_key(enum conf_section section, const char *name);
size_t conf_key_at(enum conf_section section, const char *name);
/* What inih understood of the line that conf_read_line() gave it last. Problems are kept in the
 * reading, so inih is always told to go on. */
int conf_take_pair(void *user, const char *inih_section, const char *name, const char *value);
/* A line of [peers]. */
void conf_take_peer(struct reading *rd, const char *name, const char *value);
/* One more, unless there is one of its name or of its token, or enough. */
void conf_add_grant(struct reading *rd, const struct conf_grant *g);
/* false: a problem was noted. */
bool conf_take_listen(struct reading *rd, const char *value);
bool conf_address_is_loopback(const char *addr);
void conf_finish_listen(struct reading *rd);
void conf_finish_security(struct reading *rd);
/* What can only be judged at the end: missing sections, relations between values, which node this
 * is. */
void conf_finish(struct reading *rd, const char *id, bool need_self);

#endif
