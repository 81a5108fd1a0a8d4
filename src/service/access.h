/* Who may do what: roles, how far a request reaches, and the table that says so of each type.
 *
 * For: the one place that says what a request needs, of its type and of the keys that it names. A
 * connection has the highest role that holds for all keys, and perhaps grants that hold for keys
 * with a prefix.
 * Not for: who somebody is, and what they were granted: that is the host's (struct service_ops).
 * Units: bytes of keys.
 * Ownership: grants borrow their prefixes from the host, until its next call.
 * Errors: none: a request may, or may not. What is not known here needs the most.
 * Thread: any; pure.
 * Source: ACCESS-1, ACCESS-10, ACCESS-11. */
#ifndef RIDD_SERVICE_ACCESS_H
#define RIDD_SERVICE_ACCESS_H

#include "wire/request.h"

/* What a client may do; each may do what those before it may. */
enum service_role { SERVICE_NONE, SERVICE_READ, SERVICE_WRITE, SERVICE_ADMIN };
const char *service_role_name(enum service_role role);

/* What a request of this type touches, and so what a grant with a prefix is worth for it. */
enum service_reach {
    SERVICE_NO_ROW = 0, /* nobody has said: as WHOLE */
    SERVICE_NO_KEY,     /* no key: a grant with any prefix will do */
    SERVICE_KEYS,       /* those that it names: each must have a grant */
    SERVICE_WHOLE,      /* whatever there is: a grant without a prefix */
};

/* What this request needs; NONE is for `auth` alone. */
enum service_role service_role_needed(const struct wire_request *q);
enum service_reach service_reach_of(enum wire_request_type type);

/* A role for the string keys that begin with this; integers are none of them. */
struct service_grant {
    enum service_role role;
    struct wire_slice prefix;
};
/* Every key that q names is covered by one of the grants with this role at least; of a range, all
 * that is in it. False where it names none. */
bool service_grants_cover(const struct service_grant *grants, unsigned n, enum service_role role,
                          const struct wire_request *q);

/* By what somebody is known: what denials are counted by. */
#define SERVICE_IDENTITIES(X)                                                                      \
    X(UNIX, "unix")     /* a user of this host */                                                  \
    X(CERT, "cert")     /* a certificate */                                                        \
    X(SECRET, "secret") /* a pre-shared key */                                                     \
    X(TOKEN, "token")   /* a token, whatever else there is */                                      \
    X(NOBODY, "nobody") /* nothing at all */
enum service_identity {
#define SERVICE_IDENTITY(name, text) SERVICE_BY_##name,
    SERVICE_IDENTITIES(SERVICE_IDENTITY)
#undef SERVICE_IDENTITY
};
#define SERVICE_N_IDENTITIES (SERVICE_BY_NOBODY + 1u)
const char *service_identity_name(enum service_identity identity);

/* A request that was not allowed, for the host to count and to tell of. */
struct service_denial {
    const struct wire_request *request;
    enum service_role needed;
    bool by_prefix; /* the role is there, and not for all that it touches */
};

/* Of `auth`. */
#define SERVICE_AUTHS(X)                                                                           \
    X(SERVICE_AUTH_WRONG, 1, "this token is not one that [access] knows; see ridd.conf(5)")        \
    X(SERVICE_AUTH_PLAIN, 2,                                                                       \
      "a token goes over TLS only, and this connection has none: whoever listens would have it")   \
    X(SERVICE_AUTH_LOCAL, 3,                                                                       \
      "a token goes over TLS only: on the local socket the kernel says who asks, and none is "     \
      "needed")
enum service_auth_outcome { SERVICE_AUTHS(OUTCOME_NUMBER) };
/* Who asks now, in words, and the highest role that they have, for whatever keys. */
struct service_who {
    char name[SERVICE_WHO_BYTES];
    enum service_role role;
};

#endif
