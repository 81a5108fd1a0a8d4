/* Which role a request needs and how far it reaches, and the refusal of one whose connection has
 * not got that.
 *
 * The table knows nothing of sockets, users and certificates: who has which role says the host
 * (service_ops.role, .grants). */
#include "service/access.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "service/service_int.h"

#include "base/banned.h"

/* ---- the table ---- */

/* What of an admin's requests is told: each; or of a thousand that belong together the first. */
enum telling { TELL_EACH, TELL_FIRST };
struct need {
    enum service_role role;
    enum service_reach reach;
    enum telling telling;
};

/* A row for each type that a client can name (ACCESS-1). What has none is refused to all but
 * admins, and tests/unit/test-service-access.c fails. */
static const struct need needs[] = {
    [WIRE_REQ_READ_INDEX] = {SERVICE_READ, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_READ_VIA_LOG] = {SERVICE_READ, SERVICE_KEYS, TELL_EACH},
    /* It names no key, and keeps the whole cluster busy; more of it below. */
    [WIRE_REQ_COMPARE] = {SERVICE_READ, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_BATCH_READ_INDEX] = {SERVICE_READ, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_FOLLOWER_READ] = {SERVICE_READ, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_LEASE_READ] = {SERVICE_READ, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_LOCAL_READ] = {SERVICE_READ, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_READ] = {SERVICE_READ, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_SCAN] = {SERVICE_READ, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_WRITE] = {SERVICE_WRITE, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_CAS] = {SERVICE_WRITE, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_DELETE] = {SERVICE_WRITE, SERVICE_KEYS, TELL_EACH},
    [WIRE_REQ_OPEN_SESSION] = {SERVICE_WRITE, SERVICE_NO_KEY, TELL_EACH},
    [WIRE_REQ_INIT] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_PING] = {SERVICE_READ, SERVICE_NO_KEY, TELL_EACH},
    [WIRE_REQ_STATUS] = {SERVICE_READ, SERVICE_NO_KEY, TELL_EACH},
    [WIRE_REQ_MEMBERS] = {SERVICE_READ, SERVICE_NO_KEY, TELL_EACH},
    /* These two tell what others did. */
    [WIRE_REQ_EVENTS] = {SERVICE_READ, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_SLOW] = {SERVICE_READ, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_TRANSFER_LEADER] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_SNAPSHOT] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    /* A backup is thousands of parts. */
    [WIRE_REQ_SNAPSHOT_PART] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_FIRST},
    [WIRE_REQ_MEMBER_ADD] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_MEMBER_REMOVE] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_MEMBER_PROMOTE] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_MEMBER_DEMOTE] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_MEMBER_SET_ADDR] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_MEMBER_REPLACE] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    [WIRE_REQ_MEMBER_REJOIN] = {SERVICE_ADMIN, SERVICE_WHOLE, TELL_EACH},
    /* Whoever has no role yet may say who they are. */
    [WIRE_REQ_AUTH] = {SERVICE_NONE, SERVICE_NO_KEY, TELL_EACH},
    [WIRE_REQ_UNKNOWN] = {SERVICE_READ, SERVICE_NO_KEY, TELL_EACH}, /* it is refused by name */
    [WIRE_REQ_PEER] = {SERVICE_READ, SERVICE_NO_KEY, TELL_EACH},    /* likewise */
};
#define N_NEEDS (sizeof(needs) / sizeof(needs[0]))
static_assert(N_NEEDS == WIRE_REQ_PEER + 1, "each type of request needs a row here");

const char *service_role_name(enum service_role role)
{
    static const char *const names[] = {[SERVICE_NONE] = "none",
                                        [SERVICE_READ] = "read",
                                        [SERVICE_WRITE] = "write",
                                        [SERVICE_ADMIN] = "admin"};

    return (size_t)role < sizeof(names) / sizeof(names[0]) ? names[role] : "none";
}

const char *service_identity_name(enum service_identity identity)
{
    static const char *const names[] = {
#define SERVICE_IDENTITY(name, text) [SERVICE_BY_##name] = (text),
        SERVICE_IDENTITIES(SERVICE_IDENTITY)
#undef SERVICE_IDENTITY
    };

    return (size_t)identity < SERVICE_N_IDENTITIES ? names[identity] : "nobody";
}

enum service_reach service_reach_of(enum wire_request_type type)
{
    return (size_t)type < N_NEEDS ? needs[type].reach : SERVICE_NO_ROW;
}

enum service_role service_role_needed(const struct wire_request *q)
{
    /* A long comparison keeps the cluster busy. */
    if (q->type == WIRE_REQ_COMPARE && q->num_reads > ACCESS_COMPARE_READS)
        return SERVICE_ADMIN;
    return service_reach_of(q->type) != SERVICE_NO_ROW ? needs[q->type].role : SERVICE_ADMIN;
}

/* ---- prefixes ---- */

/* Of keys as stored, which is after everything that JSON can write in two ways was decoded. */
static bool begins_with(const struct wire_key *key, const struct wire_slice *prefix)
{
    return key->len > prefix->len && key->bytes[0] == KEY_TYPE_STRING &&
           memcmp(key->bytes + 1, prefix->data, prefix->len) == 0;
}

/* Behind all that begins with the prefix, and behind nothing else: the end that a scan has which
 * asks for just these. */
static bool is_end_of(const struct wire_key *key, const struct wire_slice *prefix)
{
    const unsigned char *last = &key->bytes[key->len - 1u];

    if (key->len != prefix->len + 1u)
        return false;
    if (prefix->len == 0)
        return *last == KEY_TYPE_STRING + 1;
    return key->bytes[0] == KEY_TYPE_STRING &&
           memcmp(key->bytes + 1, prefix->data, prefix->len - 1u) == 0 &&
           *last == (unsigned char)prefix->data[prefix->len - 1u] + 1;
}

static bool covers_key(const struct service_grant *g, unsigned n, enum service_role role,
                       const struct wire_key *key)
{
    for (unsigned i = 0; i < n; i++)
        if (g[i].role >= role && begins_with(key, &g[i].prefix))
            return true;
    return false;
}

/* All of it by one of them. What is outside is refused and not left out: a page that is empty says
 * that there is nothing. */
static bool covers_range(const struct service_grant *g, unsigned n, enum service_role role,
                         const struct wire_scan *scan)
{
    for (unsigned i = 0; i < n; i++)
        if (g[i].role >= role && begins_with(&scan->from, &g[i].prefix) &&
            (begins_with(&scan->to, &g[i].prefix) || is_end_of(&scan->to, &g[i].prefix)))
            return true;
    return false;
}

/* Whatever the type is, each key that came with it is looked at, also those inside of a list: what
 * is forgotten here is read by everybody (ACCESS-10; etcd CVE-2026-33343). */
bool service_grants_cover(const struct service_grant *grants, unsigned n, enum service_role role,
                          const struct wire_request *q)
{
    if (q->key.len == 0 && q->n_keys == 0 && q->scan == NULL)
        return false;
    if (q->key.len > 0 && !covers_key(grants, n, role, &q->key))
        return false;
    for (unsigned i = 0; i < q->n_keys; i++)
        if (!covers_key(grants, n, role, &q->keys[i]))
            return false;
    return q->scan == NULL || covers_range(grants, n, role, q->scan);
}

/* ---- words ---- */

/* "'app1/', 'b/' and 3 more": of what the asker has, never of what others have. */
static void say_prefixes(const struct service_grant *g, unsigned n, enum service_role role,
                         char *ret, size_t size)
{
    unsigned n_said = 0;
    unsigned n_more = 0;
    size_t at = 0;

    ret[0] = '\0';
    for (unsigned i = 0; i < n; i++) {
        if (g[i].role < role)
            continue;
        if (n_said == ACCESS_PREFIXES_SAID || at + g[i].prefix.len + 8 > size) {
            n_more++;
            continue;
        }
        at += (size_t)snprintf(ret + at, size - at, "%s'%.*s'", n_said++ > 0 ? ", " : "",
                               (int)g[i].prefix.len, g[i].prefix.data);
    }
    if (n_more > 0 && at < size)
        (void)snprintf(ret + at, size - at, " and %u more", n_more);
}

struct refusal {
    enum service_role needed;
    enum service_role has; /* for whatever keys */
    bool by_prefix;
    const struct service_grant *grants;
    unsigned n;
};

static void say_refusal(const struct refusal *r, enum service_reach reach, const char *who,
                        char *ret, size_t size)
{
    const char *role = service_role_name(r->needed);
    char prefixes[ACCESS_PREFIXES_SAID * (CONF_PREFIX_BYTES_MAX + 4) + 20];

    if (!r->by_prefix) {
        (void)snprintf(ret, size,
                       "this needs the role '%s', and %s has '%s' on this node; see [access] in "
                       "ridd.conf(5)",
                       role, who, service_role_name(r->has));
        return;
    }
    say_prefixes(r->grants, r->n, r->needed, prefixes, sizeof(prefixes));
    (void)snprintf(ret, size,
                   "this needs the role '%s' for %s, and %s has it for keys that begin with %s "
                   "alone; see [access] in ridd.conf(5)",
                   role, reach == SERVICE_KEYS ? "each key that it names" : "all keys", who,
                   prefixes);
}

static void reply_denied(struct service_conn *c, const struct wire_request *q,
                         enum service_role role, const char *who, const char *text)
{
    struct service *s = c->service;
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(s, &w, out, &q->origin, WIRE_ERROR_DENIED, false, text);
    wire_reply_str(&w, "role", service_role_name(role));
    wire_reply_str(&w, "identity", who);
    service_end(s, &w, &q->origin);
}

static void refuse(struct service_conn *c, const struct wire_request *q, const struct refusal *r)
{
    const struct service *s = c->service;
    const struct service_denial denial = {
        .request = q, .needed = r->needed, .by_prefix = r->by_prefix};
    char who[SERVICE_WHO_BYTES] = "unknown";
    char text[SERVICE_WHO_BYTES + ACCESS_PREFIXES_SAID * (CONF_PREFIX_BYTES_MAX + 4) + 200];

    if (s->ops.denied != NULL)
        s->ops.denied(s->ops.ctx, c->host, &denial, who, sizeof(who));
    say_refusal(r, service_reach_of(q->type), who, text, sizeof(text));
    reply_denied(c, q, r->needed, who, text);
}

/* ---- who asks for what ---- */

/* Of the parts of one snapshot those behind the first that is asked for here belong to it. The
 * newest one has no number in the question, and is asked for by it from then on. */
static bool goes_on(struct service_conn *c, const struct wire_request *q)
{
    const bool is_newest = q->part.index == 0;
    const bool same =
        c->told.any && (is_newest || c->told.index == 0 ||
                        (c->told.index == q->part.index && c->told.term == q->part.term));

    c->told.any = true;
    if (!is_newest || q->part.offset == 0) {
        c->told.index = q->part.index;
        c->told.term = q->part.term;
    }
    return same && q->part.offset != 0;
}

/* Before it is done (ACCESS-11). */
static void tell_admin(struct service_conn *c, const struct wire_request *q)
{
    const struct service *s = c->service;

    if (s->ops.admin == NULL || (needs[q->type].telling == TELL_FIRST && goes_on(c, q)))
        return;
    s->ops.admin(s->ops.ctx, c->host, q);
}

bool service_session_seal(struct service_conn *c, uint64_t client, uint64_t *ret)
{
    const struct service_ops *ops = &c->service->ops;

    return ops->role != NULL && ops->role(ops->ctx, c->host) < SERVICE_WRITE && ops->seal != NULL &&
           ops->seal(ops->ctx, c->host, client, ret);
}

/* A number in the session of somebody else would be taken for his: his next write would be answered
 * by what came of ours, and never applied (ACCESS-16). */
static bool is_own_session(struct service_conn *c, const struct wire_request *q)
{
    uint64_t seal;

    return !q->has_session ||
           (q->has_seal && service_session_seal(c, q->client, &seal) && seal == q->seal);
}

static __attribute__((noinline)) bool may_in_part(struct service_conn *c,
                                                  const struct wire_request *q,
                                                  enum service_role has, enum service_role needed)
{
    const struct service_ops *ops = &c->service->ops;
    const enum service_reach reach = service_reach_of(q->type);
    struct service_grant grants[CONF_GRANTS_MAX];
    struct refusal r = {.needed = needed, .has = has, .grants = grants};

    r.n = ops->grants != NULL ? ops->grants(ops->ctx, c->host, grants) : 0;
    rid_assert(r.n <= CONF_GRANTS_MAX);
    for (unsigned i = 0; i < r.n; i++) {
        r.has = grants[i].role > r.has ? grants[i].role : r.has;
        r.by_prefix = r.by_prefix || grants[i].role >= needed;
    }
    if (r.by_prefix && reach == SERVICE_NO_KEY)
        return true;
    if (!r.by_prefix || reach != SERVICE_KEYS || !service_grants_cover(grants, r.n, needed, q)) {
        refuse(c, q, &r);
        return false;
    }
    if (is_own_session(c, q))
        return true;
    service_refuse_session(c, q);
    return false;
}

/* Before anything is asked or kept for the request, and for each anew: what was allowed when the
 * connection was opened may not be any more (ACCESS-3). Who has the role for all keys costs one
 * comparison. */
bool service_may(struct service_conn *c, const struct wire_request *q)
{
    const struct service_ops *ops = &c->service->ops;
    const enum service_role needed = service_role_needed(q);
    enum service_role has;

    if (ops->role == NULL)
        return true;
    has = ops->role(ops->ctx, c->host);
    if (has < needed && !may_in_part(c, q, has, needed))
        return false;
    if (needed == SERVICE_ADMIN)
        tell_admin(c, q);
    return true;
}

/* ---- tokens ---- */

static const char *auth_text(int outcome)
{
    switch (outcome) {
        SERVICE_AUTHS(OUTCOME_CASE)
    default:
        return "the token could not be looked at: this node is out of memory";
    }
}

/* Neither the token nor a hash of it comes back, whatever becomes of it (ACCESS-12). */
void service_handle_auth(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct service_who who = {.name = "unknown"};
    struct buf *out;
    struct wire_reply w;
    int rc;

    if (s->ops.auth == NULL) {
        service_refuse_type(c, q, "this node knows no tokens");
        return;
    }
    rc = s->ops.auth(s->ops.ctx, c->host, q->token, &who);
    if (rc < 0) {
        service_refuse_busy(c, &q->origin, auth_text(rc), 0);
        return;
    }
    if (rc > 0) {
        reply_denied(c, q, SERVICE_NONE, who.name, auth_text(rc));
        return;
    }
    out = service_out(c);
    if (out == NULL)
        return;
    service_begin(s, &w, out, &q->origin, "auth_ok");
    wire_reply_str(&w, "identity", who.name);
    wire_reply_str(&w, "role", service_role_name(who.role));
    service_end(s, &w, &q->origin);
}
