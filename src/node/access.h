/* Who may do what on the local socket: the lists of [access] as numbers, and the role of a client.
 *
 * For: names to numbers, once at the start and once more at each reload, on a thread: whoever knows
 * the names may be a server that is silent (ACCESS-4). After that numbers are compared, and nothing
 * is asked of anybody.
 * Not for: which request needs which role: that is one table (service/access.c, ACCESS-1).
 * Units: ids of users and groups as this process sees them. In a user namespace that does not know
 * all of them the kernel gives one number for each that it does not know, which is nobody's
 * (ACCESS-2).
 * Ownership: plain data, copied by assignment.
 * Errors: a name that there is not stands for nobody, and is named in `unknown`.
 * Thread: access_find() any; access_role() is pure.
 * Source: unix(7), SO_PEERCRED; ridd.conf(5), [access]. */
#ifndef RIDD_NODE_ACCESS_H
#define RIDD_NODE_ACCESS_H

#include <sys/types.h>

#include "conf/conf.h"
#include "engine/engine.h"

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
struct access {
    struct access_list lists[ACCESS_ROLES]; /* who is named for READ, WRITE, ADMIN */
    uid_t own;                              /* the process' user: admin, as root is */
    bool sees_all;                          /* every user and group has a number of its own here */
    uint32_t overflow_uid;                  /* that of those who have none */
    uint32_t overflow_gid;
    char unknown[256]; /* "unix_write: group staf"; "": all names were found */
};

/* Who asks: the credentials of a local client. */
struct access_peer {
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* borrowed; supplementary ones */
    unsigned n_groups;
};

/* read, write, admin: in this order. Asks whoever knows the names, and may wait for that. */
void access_find(const struct conf_who_list *const lists[ACCESS_ROLES], struct access *ret);
enum service_role access_role(const struct access *a, const struct access_peer *peer);
/* "uid 1000 (alice)"; the name where [access] has it. */
const char *access_who(const struct access *a, uid_t uid, char *ret, size_t size);

#endif
