/* Who may do what: the lines of [access] as numbers and hashes, and the right of a client.
 *
 * For: names to numbers, once at the start and once more at each reload, on a thread: whoever knows
 * the names may be a server that is silent (ACCESS-4). After that numbers are compared, and nothing
 * is asked of anybody. What the local socket asks for and what addresses do are apart: the latter
 * needs no names, and is in force at once.
 * Not for: which request needs which role: that is one table (service/access.c, ACCESS-1).
 * Units: ids of users and groups as this process sees them. In a user namespace that does not know
 * all of them the kernel gives one number for each that it does not know, which is nobody's
 * (ACCESS-2).
 * Ownership: plain data, copied by assignment.
 * Errors: a name that there is not stands for nobody, and is named in `unknown`.
 * Thread: access_find() any; the others are pure.
 * Source: unix(7), SO_PEERCRED; ridd.conf(5), [access]; ACCESS-13. */
#ifndef RIDD_NODE_ACCESS_H
#define RIDD_NODE_ACCESS_H

#include <sys/types.h>

#include "conf/conf.h"
#include "engine/engine.h"
#include "tls/tls.h"

#define ACCESS_ROLES 3u /* from READ on */

struct access_entry {
    enum conf_who_kind kind;
    uint32_t id;
    char name[CONF_WHO_NAME_BYTES_MAX + 1]; /* as the file has it */
};
struct access_list {
    unsigned n;
    struct access_entry entries[CONF_WHO_MAX];
};
/* A line that names somebody. */
struct access_grant {
    enum conf_grant_kind kind;
    enum service_role role;
    uint32_t id;                                 /* USER, GROUP */
    unsigned char token_hash[ACCESS_HASH_BYTES]; /* TOKEN */
    char name[NODE_NAME_BYTES_MAX + 1];          /* of the line */
    char who[CONF_GRANT_WHO_BYTES_MAX + 1];      /* CERT, SECRET, USER, GROUP */
    bool has_prefix;
    char prefix[CONF_PREFIX_BYTES_MAX + 1];
};
struct access_grants {
    unsigned n;
    struct access_grant of[CONF_GRANTS_MAX];
};

/* What the file says: for a thread, which outlives the file in force. */
struct access_wanted {
    struct conf_who_list lists[ACCESS_ROLES]; /* unix_read, unix_write, unix_admin */
    unsigned n_grants;
    struct conf_grant grants[CONF_GRANTS_MAX];
};
void access_want(const struct conf *conf, struct access_wanted *ret);

/* On the local socket. */
struct access {
    struct access_list lists[ACCESS_ROLES]; /* who is named for READ, WRITE, ADMIN */
    struct access_grants grants;            /* ANY, USER, GROUP */
    uid_t own;                              /* the process' user: admin, as root is */
    bool sees_all;                          /* every user and group has a number of its own here */
    uint32_t overflow_uid;                  /* that of those who have none */
    uint32_t overflow_gid;
    char unknown[256]; /* "unix_write: group staf"; "": all names were found */
};
/* By addresses. */
struct access_remote {
    bool asks;                   /* false: whoever comes is admin */
    struct access_grants grants; /* ANY, CERT, SECRET, TOKEN */
};

/* The union of all that was granted. */
struct access_right {
    enum service_role role; /* the highest, for all keys */
    uint64_t prefixed;      /* which of the grants are for some keys; bit i: that of number i */
};

/* Who asks: the credentials of a local client. */
struct access_peer {
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* borrowed; supplementary ones */
    unsigned n_groups;
};
/* Who asks by an address. */
struct access_caller {
    const struct tls_identity *identity; /* borrowed; NULL: there is no TLS */
    const unsigned char *token_hash;     /* of the token that it has shown; NULL: none */
};

/* Asks whoever knows the names, and may wait for that. wanted NULL: nobody is named, and nobody is
 * asked. */
void access_find(const struct access_wanted *wanted, struct access *ret);
/* Waits for nothing. */
void access_of_addresses(const struct conf *conf, struct access_remote *ret);

void access_judge(const struct access *a, const struct access_peer *peer, struct access_right *ret);
void access_judge_remote(const struct access_remote *a, const struct access_caller *caller,
                         struct access_right *ret);
/* The grants that `prefixed` says, for the service. How many. */
unsigned access_prefixed(const struct access_grants *grants, uint64_t prefixed,
                         struct service_grant ret[CONF_GRANTS_MAX]);
/* The highest role, for whatever keys. */
enum service_role access_highest(const struct access_grants *grants,
                                 const struct access_right *right);

/* The grant of the token with this hash; NULL: there is none. Takes the same time for each. */
const struct access_grant *access_find_token(const struct access_remote *a,
                                             const unsigned char hash[ACCESS_HASH_BYTES]);

/* "uid 1000 (alice)"; the name where [access] has it. */
const char *access_who(const struct access *a, uid_t uid, char *ret, size_t size);
/* "certificate app1.example.org (app1), token ci"; the names of the lines that grant it something.
 * *ret_kind: what it is counted as. */
const char *access_who_remote(const struct access_remote *a, const struct access_caller *caller,
                              enum service_identity *ret_kind, char *ret, size_t size);

#endif
