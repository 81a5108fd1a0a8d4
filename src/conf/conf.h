/* The configuration file: parse, check, print. One file serves the whole cluster; which node this
 * is comes from the caller.
 *
 * For: reading it with *all* its problems at once, each with its line and the nearest known name,
 * and printing what is in force. inih silently turns an indented key into a second value, splits
 * long lines and reports only the first error; the guard here counts lines itself, feeds
 * ini_parse_stream() and refuses those, duplicates and unknown keys.
 * Not for: the data directory, the resolver, listening: what a value means in the world is for who
 * uses it. Nothing is logged.
 * Units: milliseconds and sizes with K, M, G in the file; microseconds and bytes here, as names
 * say. Addresses are kept in one spelling: host names in lower case, IPv6 as inet_ntop() writes
 * it.
 * Ownership: struct conf owns nothing outside of itself, and self points into it: it is not copied
 * by assignment. Problems are the caller's until conf_problems_done().
 * Errors: -errno when the file cannot be read, err_text() says which; CONF_E_PROBLEMS when it can
 * be and must be mended. Nothing is written to *ret unless 0 is returned.
 * Thread: any; nothing is global.
 * Source: ridd.conf(5). */
#ifndef RIDD_CONF_CONF_H
#define RIDD_CONF_CONF_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/log.h"
#include "raft/configuration.h"

/* How an address is spoken at: as it is written before it. DEFAULT: nothing was; TLS where
 * [security] has what that needs, else plain. */
enum conf_scheme { CONF_SCHEME_DEFAULT, CONF_SCHEME_PLAIN, CONF_SCHEME_TLS };

struct conf_peer {
    char name[NODE_NAME_BYTES_MAX + 1];
    raft_node_id id;
    char peer_addr[ADDRESS_BYTES_MAX + 1];
    char client_addr[ADDRESS_BYTES_MAX + 1];
    char http_addr[ADDRESS_BYTES_MAX + 1]; /* "": none on its line */
    enum conf_scheme client_scheme;        /* tls://, tcp:// */
    enum conf_scheme http_scheme;          /* https://, http:// */
    unsigned line;
};

/* [node] listen: one more address for clients. */
struct conf_listen {
    char addr[ADDRESS_BYTES_MAX + 1];
    enum conf_scheme scheme;
};

/* [security]; "": none. Files as tls_file_path() takes them; %i as in data_dir. */
struct conf_security {
    char secret_file[TLS_FILE_BYTES_MAX + 1];
    char peer_cert[TLS_FILE_BYTES_MAX + 1];
    char peer_key[TLS_FILE_BYTES_MAX + 1];
    char peer_ca[TLS_FILE_BYTES_MAX + 1];
    char client_cert[TLS_FILE_BYTES_MAX + 1];
    char client_key[TLS_FILE_BYTES_MAX + 1];
    char client_ca[TLS_FILE_BYTES_MAX + 1];
    bool insecure;
};

/* A line of [access] that names somebody: NAME = ROLE KIND [WHO] [prefix PREFIX]. */
enum conf_role { CONF_ROLE_READ = 1, CONF_ROLE_WRITE, CONF_ROLE_ADMIN };
enum conf_grant_kind {
    CONF_GRANT_ANY,    /* whoever connects, by whatever way */
    CONF_GRANT_USER,   /* of this host, on the local socket */
    CONF_GRANT_GROUP,  /* likewise */
    CONF_GRANT_CERT,   /* a name of the client's certificate */
    CONF_GRANT_SECRET, /* the name that a client's secret was derived for; "": the cluster's own */
    CONF_GRANT_TOKEN,  /* the SHA-256 of a token */
    CONF_GRANT_KINDS,
};
struct conf_grant {
    char name[NODE_NAME_BYTES_MAX + 1]; /* as the log calls who it names */
    enum conf_role role;
    enum conf_grant_kind kind;
    char who[CONF_GRANT_WHO_BYTES_MAX + 1]; /* as written; of a token its hash in lower case */
    bool has_prefix;
    char prefix[CONF_PREFIX_BYTES_MAX + 1]; /* of keys that are strings: nothing else is granted */
    unsigned line;
};

/* Of [access]: a user or a group by name or number, or anybody who reaches the socket. */
enum conf_who_kind { CONF_WHO_ANY, CONF_WHO_USER, CONF_WHO_GROUP };
struct conf_who {
    enum conf_who_kind kind;
    char name[CONF_WHO_NAME_BYTES_MAX + 1]; /* "" of ANY */
};
struct conf_who_list {
    unsigned n;
    bool is_default; /* nobody wrote it: a name that there is not surprises nobody */
    struct conf_who who[CONF_WHO_MAX];
};

/* Not to be copied by assignment: self points into peers. */
struct conf {
    char path[PATH_MAX];
    char cluster_name[NODE_NAME_BYTES_MAX + 1];
    unsigned n_peers;
    struct conf_peer peers[RAFT_SERVERS_MAX]; /* sorted by name */
    const struct conf_peer *self;             /* in peers; NULL when no id was given (ridctl) */
    char data_dir[PATH_MAX]; /* absolute; %i replaced by the node's name, kept when self is NULL */
    /* [node] client: a path; "": none. %i as in data_dir. */
    char client_socket[CONF_SOCKET_BYTES_MAX + 1];
    size_t map_size_bytes; /* [node] map_size, with K, M, G */
    enum log_level log_level;
    uint64_t heartbeat_us;
    uint64_t election_us;
    unsigned rounds_max;    /* [reads] rounds */
    unsigned fast_failover; /* [raft]: 1, 0 */
    uint64_t lease_us;      /* [reads] lease_ms; 0: this node takes none when it leads */
    size_t request_bytes;
    unsigned in_flight;
    unsigned connections;
    size_t memory_bytes;                   /* [limits] memory */
    unsigned connections_per_address;      /* 0: CLIENT_HOST_PERCENT of connections */
    size_t segment_bytes;                  /* [log] segment_size */
    unsigned scrub_mib;                    /* [state] scrub, MiB a second */
    size_t snapshot_bytes;                 /* [log]: of log behind the newest, for another one */
    size_t keep_bytes;                     /* [log]: that stay for followers that are behind */
    unsigned snapshot_mib;                 /* [log] snapshot_mib_per_s; 0: as fast as it goes */
    char http_addr[ADDRESS_BYTES_MAX + 1]; /* [http] address; "": none */
    enum conf_scheme http_scheme;          /* of http_addr */
    char http_hosts[CONF_HOSTS_BYTES_MAX + 1]; /* [http] hosts: lower case, "a,b"; "": none */
    struct conf_who_list unix_read;            /* [access]: who may do what on the local socket */
    struct conf_who_list unix_write;
    struct conf_who_list unix_admin;
    unsigned n_grants; /* the other lines of [access], in the order of the file */
    struct conf_grant grants[CONF_GRANTS_MAX];
    unsigned n_listen; /* [node] listen */
    struct conf_listen listen[CONF_LISTEN_MAX];
    struct conf_security security;
};

struct conf_problem {
    unsigned line; /* 0: the file as a whole */
    char text[320];
};
struct conf_problems {
    size_t n;
    struct conf_problem *list; /* owned */
};
void conf_problems_done(struct conf_problems *p);

enum conf_error { CONF_E_PROBLEMS = 1 };

/* id: the node's name (`--id`), or NULL: [node] id, or none. 0; CONF_E_PROBLEMS with the list;
 * -errno when the file cannot be read (err_text() says which). need_self: a missing or unknown id
 * is a problem; otherwise self is NULL then. *ret is written only on 0, *ret_problems always (empty
 * unless CONF_E_PROBLEMS), sorted by line, line 0 last. */
int conf_load(const char *path, const char *id, bool need_self, struct conf *ret,
              struct conf_problems *ret_problems);
/* The same from memory; path is only remembered. */
int conf_parse(const char *path, const void *data, size_t len, const char *id, bool need_self,
               struct conf *ret, struct conf_problems *ret_problems);
/* "<path>:<line>: <text>" per problem; "<path>: <text>" for the file as a whole. */
void conf_problems_print(const struct conf_problems *p, const char *path, FILE *out);
/* Where a client looks for it when nobody says where: $RIDD_CONF, ./ridd.conf, installed; NULL:
 * none of them is there. A file that is named is not looked for. */
const char *conf_client_path(const char *installed);
/* The configuration in force, defaults included, as a file that conf_load() reads back equal. */
void conf_print(const struct conf *c, FILE *out);
/* The initial membership, all voters; with_addresses: as earlier versions wrote it. */
int conf_to_configuration(const struct conf *c, bool with_addresses,
                          struct raft_configuration *ret);
/* The cluster's identity: a hash of its name and the sorted names of its founders (IDENTITY-7).
 * Addresses are no part of it. */
void conf_founding_id(const struct conf *c, unsigned char ret_id[16]);
/* As earlier versions made it: of the cluster's name and the sorted `name peer-address` lines.
 * Their data directories keep it; the addresses that they were made with stand in their logs. */
void conf_first_id(const char *cluster_name, const struct raft_configuration *members,
                   unsigned char ret_id[16]);
/* The keys and peers whose values differ, as "[raft] election_ms, [peers] n2": of those that a
 * running process takes when it reads its file again, or of the others. How many; what does not fit
 * into the text is cut off. */
unsigned conf_differences(const struct conf *a, const struct conf *b, bool reloaded, char *ret_text,
                          size_t size);
/* What is allowed of lease_ms and serves badly. False: nothing. */
bool conf_lease_warning(const struct conf *c, char *ret_text, size_t size);
/* Whoever reaches an address beyond this host may do everything, and nobody has written that it is
 * meant. Of this node, or of all where there is no self. False: not so. */
bool conf_open_warning(const struct conf *c, char *ret_text, size_t size);
/* Whether both describe one cluster, whatever its addresses. */
bool conf_same_founders(const struct conf *a, const struct conf *b);
/* Where this node answers HTTP: on its line of [peers], or else [http] address; "": nowhere. Needs
 * self. */
const char *conf_http_addr(const struct conf *c);
/* How it is spoken there. */
enum conf_scheme conf_http_scheme(const struct conf *c);
/* What [security] has: TLS between nodes, and with clients. */
bool conf_has_peer_tls(const struct conf *c);
bool conf_has_client_tls(const struct conf *c);
/* What the scheme of a client address comes to. */
bool conf_is_tls(const struct conf *c, enum conf_scheme scheme);
/* The same of HTTP: where nothing is written it is plain on loopback, and TLS elsewhere. */
bool conf_http_is_tls(const char *addr, enum conf_scheme scheme);
/* Somebody is asked who he is: TLS for clients, or a line of [access] that names somebody. Where
 * nobody is, whoever reaches a TCP port of clients may do all. */
bool conf_asks_who(const struct conf *c);
/* Where the local socket of this node is, though c may be that of nobody (ridctl). False: it has
 * none. */
bool conf_socket_of(const struct conf *c, const char *name, char *ret, size_t size);
/* 1 to 63 of A-Z a-z 0-9 _ -: what a node or cluster may be called. */
bool conf_name_ok(const char *name);

#endif
