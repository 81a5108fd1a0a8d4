/* Who may see the pages by TLS: what is in force for addresses, as the thread of HTTP has it.
 *
 * That is a copy of the loop's, which puts a new one there at each reload: neither waits for the
 * other for longer than a copy takes. */
#include <stdio.h>
#include <string.h>

#include "node/http_int.h"

#include "base/banned.h"

int node_http_access_init(struct node_http_access *a)
{
    memset(a, 0, sizeof(*a));
    return -pthread_mutex_init(&a->lock, NULL);
}

void node_http_access_done(struct node_http_access *a)
{
    tls_ctx_unref(a->tls);
    a->tls = NULL;
    (void)pthread_mutex_destroy(&a->lock);
}

void node_http_access_take(struct node_http_access *a, const struct access_remote *remote,
                           struct tls_ctx *tls)
{
    struct tls_ctx *old;

    (void)pthread_mutex_lock(&a->lock);
    old = a->tls;
    a->remote = *remote;
    a->tls = tls != NULL ? tls_ctx_ref(tls) : NULL;
    (void)pthread_mutex_unlock(&a->lock);
    tls_ctx_unref(old);
}

/* As at the port of clients: a secret that was taken away proves nothing (ACCESS-15). */
static bool is_accepted(const struct node_http_access *a, const struct tls_identity *id)
{
    return id->kind != TLS_SECRET || (a->tls != NULL && tls_ctx_accepts(a->tls, id->secret_id));
}

/* The role READ for all keys: what the pages say is of the whole node. */
static enum service_role judge(const struct node_http_access *a, struct access_caller *caller,
                               char *ret_who, size_t size)
{
    static const struct tls_identity nobody = {.kind = TLS_NOBODY};
    enum service_identity kind;
    struct access_right right;

    if (!is_accepted(a, caller->identity))
        caller->identity = &nobody;
    if (caller->token_hash != NULL && access_find_token(&a->remote, caller->token_hash) == NULL)
        caller->token_hash = NULL;
    access_judge_remote(&a->remote, caller, &right);
    (void)access_who_remote(&a->remote, caller, &kind, ret_who, size);
    return right.role;
}

int node_http_access_may(struct node_http_access *a, const struct tls_identity *id,
                         const char *token, char *ret_why, size_t size)
{
    unsigned char hash[ACCESS_HASH_BYTES];
    struct access_caller caller = {.identity = id};
    char who[SERVICE_WHO_BYTES];
    enum service_role role;
    bool is_anybody;

    if (token != NULL && tls_token_hash(token, strlen(token), hash) == 0)
        caller.token_hash = hash;
    (void)pthread_mutex_lock(&a->lock);
    role = judge(a, &caller, who, sizeof(who));
    (void)pthread_mutex_unlock(&a->lock);
    if (role >= SERVICE_READ)
        return 200;
    is_anybody = id->kind == TLS_NOBODY && token == NULL;
    if (is_anybody)
        (void)snprintf(ret_why, size,
                       "this needs the role 'read': a certificate, a secret, or a token in "
                       "Authorization: Bearer; see [access] in ridd.conf(5)");
    else
        (void)snprintf(ret_why, size,
                       "this needs the role 'read', and %.80s has not got it for all keys; see "
                       "[access] in ridd.conf(5)",
                       who);
    return is_anybody ? 401 : 403;
}
