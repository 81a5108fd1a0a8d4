/* Who a client is and what it may do, and what is said of that: of those who are denied, of tokens
 * that are none, of what admins do.
 *
 * A right is kept with the connection, and with the number of the file that it follows from, in its
 * mark: it is judged anew when that is another one, or when the connection shows a token
 * (ACCESS-3). */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/access_int.h"
#include "node/node_int.h"

#include "base/banned.h"

/* ---- rights ---- */

/* In the mark of a connection: the number of the file, and its role by that. */
#define MARK_ROLES 8u

/* A secret that is not in its file any more proves nothing, nor does what was derived of it: the
 * connection that it opened is nobody's from then on (ACCESS-15). */
static const struct tls_identity *identity_of(const struct node *n, const struct client_conn *c)
{
    static const struct tls_identity nobody = {.kind = TLS_NOBODY};
    const struct tls_identity *id = client_conn_identity(c);

    if (id != NULL && id->kind == TLS_SECRET && n->tls.clients != NULL &&
        !tls_ctx_accepts(n->tls.clients, id->secret_id))
        return &nobody;
    return id;
}

static struct access_caller caller_of(const struct node *n, struct client_conn *c)
{
    const struct node_client *own = client_conn_user(c);

    return (struct access_caller){.identity = identity_of(n, c),
                                  .token_hash = own->has_token ? own->token_hash : NULL};
}

static void judge_local(const struct node *n, const struct client_conn *c,
                        const struct client_peer *who, struct access_right *ret)
{
    unsigned n_groups;
    cleanup_free gid_t *groups = client_conn_groups(c, &n_groups);
    const struct access_peer peer = {
        .uid = who->uid, .gid = who->gid, .groups = groups, .n_groups = n_groups};

    access_judge(&n->access.local, &peer, ret);
}

static __attribute__((noinline)) enum service_role judge(const struct node *n,
                                                         struct client_conn *c)
{
    struct node_client *own = client_conn_user(c);
    const struct access_caller caller = caller_of(n, c);
    struct access_right right;
    struct client_peer who;

    if (client_conn_peer(c, &who))
        judge_local(n, c, &who, &right);
    else
        access_judge_remote(&n->access.remote, &caller, &right);
    own->prefixed = right.prefixed;
    client_conn_set_mark(c, n->access.generation * MARK_ROLES + (uint64_t)right.role);
    return right.role;
}

enum service_role node_client_role(void *ctx, void *conn)
{
    const struct node *n = ctx;
    const uint64_t mark = client_conn_mark(conn);

    if (mark / MARK_ROLES == n->access.generation)
        return (enum service_role)(mark % MARK_ROLES);
    return judge(n, conn);
}

static const struct access_grants *grants_of(const struct node *n, const struct client_conn *c)
{
    struct client_peer who;

    return client_conn_peer(c, &who) ? &n->access.local.grants : &n->access.remote.grants;
}

unsigned node_client_grants(void *ctx, void *conn, struct service_grant ret[CONF_GRANTS_MAX])
{
    const struct node *n = ctx;
    const struct node_client *own = client_conn_user(conn);

    (void)node_client_role(ctx, conn);
    return access_prefixed(grants_of(n, conn), own->prefixed, ret);
}

/* ---- sessions ----
 *
 * The number of a session is its place in the log, which is easily guessed, and what was done in it
 * is everybody's state. So to who may not write all keys it is given with a seal: what was made of
 * number and client with a key that no client knows. Whoever leads knows the client's own by it
 * (ACCESS-16). */

/* Zeros behind it: no text begins as another one goes on. */
static const char seal_text[32] = "ridd session 1";

/* What tells a client from others, and is the same when it comes again: its token, else what the
 * kernel or TLS says. */
static size_t add_client(const struct node *n, struct client_conn *c, unsigned char *ret)
{
    const struct access_caller caller = caller_of(n, c);
    const struct tls_identity *id = caller.identity;
    const char *kind = "nobody";
    const void *bytes = "";
    size_t len = 0;
    char user[24];
    struct client_peer who;

    if (client_conn_peer(c, &who)) {
        kind = "user";
        len = (size_t)snprintf(user, sizeof(user), "%lu", (unsigned long)who.uid);
        bytes = user;
    } else if (caller.token_hash != NULL &&
               access_find_token(&n->access.remote, caller.token_hash) != NULL) {
        kind = "token";
        len = ACCESS_HASH_BYTES;
        bytes = caller.token_hash;
    } else if (id != NULL && id->kind != TLS_NOBODY) {
        kind = id->kind == TLS_CERTIFICATE ? "certificate" : "secret";
        len = strlen(id->names);
        bytes = id->names;
    }
    memset(ret, 0, SESSION_SEAL_KIND_BYTES);
    memcpy(ret, kind, strlen(kind));
    memcpy(ret + SESSION_SEAL_KIND_BYTES, bytes, len);
    return SESSION_SEAL_KIND_BYTES + len;
}

bool node_seal(const struct node *n, struct client_conn *c,
               const unsigned char key[TLS_SEAL_KEY_BYTES], uint64_t client, uint64_t *ret)
{
    unsigned char data[sizeof(seal_text) + 8 + SESSION_SEAL_KIND_BYTES + TLS_NAMES_BYTES_MAX];
    unsigned char hash[EVP_MAX_MD_SIZE];
    const size_t at = sizeof(seal_text) + 8;
    unsigned hash_len = 0;
    size_t len;

    memcpy(data, seal_text, sizeof(seal_text));
    put_u64(data + sizeof(seal_text), client);
    len = at + add_client(n, c, data + at);
    if (HMAC(EVP_sha256(), key, TLS_SEAL_KEY_BYTES, data, len, hash, &hash_len) == NULL ||
        hash_len < 8)
        return false;
    *ret = get_u64(hash);
    return true;
}

/* ---- words ---- */

static enum service_identity who_is(const struct node *n, struct client_conn *c, char *ret,
                                    size_t size)
{
    const struct access_caller caller = caller_of(n, c);
    enum service_identity kind;
    struct client_peer who;

    if (client_conn_peer(c, &who)) {
        (void)access_who(&n->access.local, who.uid, ret, size);
        return SERVICE_BY_UNIX;
    }
    (void)access_who_remote(&n->access.remote, &caller, &kind, ret, size);
    return kind;
}

void node_client_denied(void *ctx, void *conn, const struct service_denial *denial, char *ret_who,
                        size_t size)
{
    struct node *n = ctx;
    const enum service_identity kind = who_is(n, conn, ret_who, size);
    uint64_t suppressed;

    n->access.n_denied[kind]++;
    if (log_limit_ok(&n->access.denied_limit, clock_mono_us(), &suppressed))
        log_event(LOG_WARNING, "access_denied",
                  "who='%s' identity=%s address=%s request=%s needed=%s why=%s suppressed=%llu",
                  ret_who, service_identity_name(kind), client_conn_address(conn),
                  wire_request_type_name(denial->request->type), service_role_name(denial->needed),
                  denial->by_prefix ? "prefix" : "role", (unsigned long long)suppressed);
}

static void add_name(char *text, size_t size, const char *name, struct wire_slice value)
{
    if (value.data == NULL)
        return;
    access_add_words(text, size, " ", text[0] != '\0');
    access_add_words(text, size, name, strlen(name));
    access_add_words(text, size, "=", 1);
    access_add_words(text, size, value.data, value.len);
}

static void add_number(char *text, size_t size, const char *name, uint64_t value)
{
    char number[24];
    const int len = snprintf(number, sizeof(number), "%llu", (unsigned long long)value);

    if (value != 0)
        add_name(text, size, name, (struct wire_slice){number, (size_t)len});
}

void node_request_words(const struct wire_request *q, char *ret, size_t size)
{
    const struct wire_slice yes = {"yes", 3};

    ret[0] = '\0';
    add_name(ret, size, "id", q->member.id);
    add_name(ret, size, "old", q->member.old);
    add_name(ret, size, "peer_addr", q->member.peer_addr);
    add_name(ret, size, "client_addr", q->member.client_addr);
    if (q->member.force)
        add_name(ret, size, "force", yes);
    if (q->member.dry_run)
        add_name(ret, size, "dry_run", yes);
    add_name(ret, size, "to", q->to);
    add_number(ret, size, "index", q->part.index);
    add_number(ret, size, "reads", q->num_reads);
}

/* Not limited: who may do this does it seldom, and each time is what is looked for afterwards
 * (ACCESS-11). */
void node_client_admin(void *ctx, void *conn, const struct wire_request *q)
{
    const struct node *n = ctx;
    char who[SERVICE_WHO_BYTES];
    char words[ACCESS_WORDS_BYTES];
    const enum service_identity kind = who_is(n, conn, who, sizeof(who));

    node_request_words(q, words, sizeof(words));
    log_event(LOG_INFO, "access_admin", "who='%s' identity=%s address=%s request=%s names='%s'",
              who, service_identity_name(kind), client_conn_address(conn),
              wire_request_type_name(q->type), words);
}

void node_access_status(const struct node *n, struct wire_reply *w)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < SERVICE_N_IDENTITIES; i++)
        all += n->access.n_denied[i];
    wire_reply_u64(w, "denied", all);
    wire_reply_open_object(w, "denied_by");
    for (unsigned i = 0; i < SERVICE_N_IDENTITIES; i++)
        wire_reply_u64(w, service_identity_name((enum service_identity)i), n->access.n_denied[i]);
    wire_reply_close_object(w);
    wire_reply_u64(w, "auth_failed", n->access.n_auth_failed);
}

/* ---- tokens ---- */

/* What is kept is a hash, and the file is asked for it again after each reload. One that is none
 * takes nothing away: that before still counts (ACCESS-12). */
static int take_token(const struct node *n, struct client_conn *c, struct wire_slice token)
{
    struct node_client *own = client_conn_user(c);
    unsigned char hash[ACCESS_HASH_BYTES];
    struct client_peer who;
    int rc;

    if (client_conn_peer(c, &who))
        return SERVICE_AUTH_LOCAL;
    if (!client_conn_is_tls(c))
        return SERVICE_AUTH_PLAIN;
    rc = tls_token_hash(token.data, token.len, hash);
    if (rc != 0)
        return rc;
    if (access_find_token(&n->access.remote, hash) == NULL)
        return SERVICE_AUTH_WRONG;
    memcpy(own->token_hash, hash, sizeof(hash));
    own->has_token = true;
    client_conn_set_mark(c, 0);
    return 0;
}

static void note_failed(struct node *n, struct client_conn *c, enum service_auth_outcome why,
                        const char *who)
{
    static const char *const words[] = {[SERVICE_AUTH_WRONG] = "no such token",
                                        [SERVICE_AUTH_PLAIN] = "it came in the clear",
                                        [SERVICE_AUTH_LOCAL] = "on the local socket"};
    uint64_t suppressed;

    n->access.n_auth_failed++;
    if (log_limit_ok(&n->access.failed_limit, clock_mono_us(), &suppressed))
        log_event(LOG_WARNING, "access_auth_failed", "who='%s' address=%s why='%s' suppressed=%llu",
                  who, client_conn_address(c), words[why], (unsigned long long)suppressed);
}

int node_client_auth(void *ctx, void *conn, struct wire_slice token, struct service_who *ret)
{
    struct node *n = ctx;
    const struct node_client *own = client_conn_user(conn);
    const int rc = take_token(n, conn, token);
    struct access_right right = {.role = node_client_role(ctx, conn)};

    right.prefixed = own->prefixed;
    (void)who_is(n, conn, ret->name, sizeof(ret->name));
    ret->role = access_highest(grants_of(n, conn), &right);
    if (rc > 0)
        note_failed(n, conn, (enum service_auth_outcome)rc, ret->name);
    return rc;
}
