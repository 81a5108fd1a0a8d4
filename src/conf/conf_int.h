/* Shared by the files of conf: the table of keys, the values they take, the nearest known name. */
#ifndef RIDD_CONF_CONF_INT_H
#define RIDD_CONF_CONF_INT_H

#include "base/limits.h"
#include "conf/conf.h"

enum conf_section {
    CONF_CLUSTER,
    CONF_PEERS,
    CONF_SECURITY,
    CONF_NODE,
    CONF_RAFT,
    CONF_READS,
    CONF_LIMITS,
    CONF_LOG,
    CONF_STATE,
    CONF_ACCESS,
    CONF_HTTP,
    CONF_N_SECTIONS,
    CONF_SECTION_NONE,    /* before the first header */
    CONF_SECTION_UNKNOWN, /* reported at its header; its keys are not */
};
extern const char *const conf_section_names[CONF_N_SECTIONS];

enum conf_kind {
    CONF_KIND_NAME,     /* char[NODE_NAME_BYTES_MAX + 1] */
    CONF_KIND_SELF,     /* [node] id */
    CONF_KIND_DIR,      /* char[PATH_MAX] */
    CONF_KIND_SOCKET,   /* char[CONF_SOCKET_BYTES_MAX + 1] */
    CONF_KIND_WHO,      /* struct conf_who_list */
    CONF_KIND_LEVEL,    /* enum log_level */
    CONF_KIND_UNSIGNED, /* unsigned */
    CONF_KIND_MS,       /* uint64_t microseconds, milliseconds in the file */
    CONF_KIND_SIZE,     /* size_t, with K, M, G in the file */
    CONF_KIND_ADDRESS,  /* char[ADDRESS_BYTES_MAX + 1], its scheme in http_scheme; empty: none */
    CONF_KIND_HOSTS,    /* char[CONF_HOSTS_BYTES_MAX + 1]; empty: none */
    CONF_KIND_FILE,     /* char[TLS_FILE_BYTES_MAX + 1]; empty: none */
    CONF_KIND_YES,      /* bool */
    CONF_KIND_LISTEN,   /* struct conf_listen[CONF_LISTEN_MAX], how many in n_listen */
};

/* Every key but the names under [peers]: reading, defaults and printing all go by this table. */
struct conf_key {
    enum conf_section section;
    const char *name;
    enum conf_kind kind;
    size_t offset;  /* of the field in struct conf */
    uint64_t value; /* default, as in the file */
    uint64_t min;
    uint64_t max;
    uint64_t multiple; /* of this; 0: any */
};
#define CONF_N_KEYS 35u
extern const struct conf_key conf_keys[CONF_N_KEYS];
#define CONF_DATA_DIR_DEFAULT "/var/lib/ridd/%i"
#define CONF_GROUP_DEFAULT    "ridd"

void conf_set_defaults(struct conf *c);
void conf_number_set(struct conf *c, const struct conf_key *k, uint64_t value);
uint64_t conf_number_get(const struct conf *c, const struct conf_key *k);

#define CONF_SIZE_BUF 24
/* "64M": the largest suffix that divides it. */
const char *conf_format_size(char buf[CONF_SIZE_BUF], uint64_t bytes);
enum conf_number {
    CONF_NUMBER_NONE = 1,  /* not a number */
    CONF_NUMBER_TOO_LARGE, /* a number, but over UINT64_MAX */
};
/* 0 or enum conf_number; *ret_value is written only on 0. */
int conf_parse_number(const char *s, bool with_suffix, uint64_t *ret_value);
/* Puts the name in the place of each %i of path. NULL, or what is wrong, which may be too_long.
 * name NULL: checks only, %i stays. */
const char *conf_expand(const char *path, const char *name, size_t bytes_max, const char *too_long,
                        char *ret, size_t size);
/* The same of data_dir. */
const char *conf_expand_dir(const char *dir, const char *name, char *ret, size_t size);

/* "a, B.example" as "a,b.example". NULL, or what is wrong with it. */
const char *conf_normal_hosts(const char *hosts, char *ret, size_t size);
/* The same of "/PATH", "credential:NAME" or "none", as conf_expand_dir(). */
const char *conf_expand_file(const char *text, const char *name, char *ret, size_t size);
/* "yes" or "no". */
const char *conf_parse_yes(const char *s, bool *ret);

/* ---- addresses with a scheme (scheme.c, listen.c) ---- */

/* What stands before an address that is spoken at by TLS, and before one that is not. */
struct conf_schemes {
    const char *tls;
    const char *plain;
    const char *wrong; /* what is wrong with any other */
};
extern const struct conf_schemes conf_client_schemes; /* tls://, tcp:// */
extern const struct conf_schemes conf_http_schemes;   /* https://, http:// */
/* Moves *text behind its scheme. NULL, or what is wrong. */
const char *conf_parse_scheme(const char **text, const struct conf_schemes *s,
                              enum conf_scheme *ret);
/* Into ADDRESS_BYTES_MAX + 1, without its scheme. NULL, or what is wrong. */
const char *conf_parse_address(const char *text, const struct conf_schemes *s, char *ret,
                               enum conf_scheme *ret_scheme);
/* The scheme as it is to be written; "" of CONF_SCHEME_DEFAULT. */
const char *conf_scheme_text(const struct conf_schemes *s, enum conf_scheme scheme);
#define CONF_LISTEN_TEXT (CONF_LISTEN_MAX * (ADDRESS_BYTES_MAX + 8) + 1)
const char *conf_format_listen(const struct conf *c, char *ret, size_t size);
bool conf_listen_equal(const struct conf *a, const struct conf *b);
#define CONF_PEER_TEXT (NODE_NAME_BYTES_MAX + 3 * (ADDRESS_BYTES_MAX + 9) + 3)
/* The line of [peers]. */
const char *conf_format_peer(const struct conf_peer *p, char *ret, size_t size);

/* ---- who is meant (who.c, grant.c) ---- */

/* What a user or a group may be called here. */
bool conf_who_name_ok(const char *s, size_t len);
/* "write cert app1.example.org prefix app1/". NULL, or what is wrong. Name and line of ret are left
 * alone. */
const char *conf_parse_grant(const char *s, struct conf_grant *ret);
#define CONF_GRANT_TEXT                                                                            \
    (NODE_NAME_BYTES_MAX + CONF_GRANT_WHO_BYTES_MAX + CONF_PREFIX_BYTES_MAX + 32)
/* The line of [access]. */
const char *conf_format_grant(const struct conf_grant *g, char *ret, size_t size);
bool conf_grant_equal(const struct conf_grant *a, const struct conf_grant *b);
/* "user alice, group ops, any", or "none". NULL, or what is wrong. */
const char *conf_parse_who(const char *s, struct conf_who_list *ret);
#define CONF_WHO_TEXT (CONF_WHO_MAX * (CONF_WHO_NAME_BYTES_MAX + 9) + 1)
const char *conf_format_who(const struct conf_who_list *list, char *ret, size_t size);
bool conf_who_equal(const struct conf_who_list *a, const struct conf_who_list *b);
/* "unix:/PATH" to the path, or "none" to "". As conf_expand_dir(). */
const char *conf_expand_socket(const char *text, const char *name, char *ret, size_t size);

/* The name that a mistyped word most likely meant, or NULL when none is near. */
const char *conf_near(const char *word, const char *const *names, size_t n);

#endif
