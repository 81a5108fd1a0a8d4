/* What TLS is done with on both ports: read at the start and at SIGHUP, and when its certificates
 * end.
 *
 * A reload takes all files or none (TLS-25): half of them, an own certificate of one authority and
 * those of the other side of another, would shut everybody out. What the start found without TLS
 * stays so: listeners and links speak one thing from the first byte on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "node/node_int.h"
#include "tls/secret.h"

#include "base/banned.h"

/* ---- reading ---- */

struct made {
    struct tls_ctx *peers;
    struct tls_ctx *clients;
};

static void made_done(struct made *m)
{
    tls_ctx_unref(take_ptr(m->peers));
    tls_ctx_unref(take_ptr(m->clients));
}

static int make_peers(const struct conf *c, const struct tls_secrets *secrets, struct made *m)
{
    const struct tls_conf conf = {.use = TLS_PEERS,
                                  .cluster = c->cluster_name,
                                  .secrets = secrets,
                                  .cert_file = c->security.peer_cert,
                                  .key_file = c->security.peer_key,
                                  .ca_file = c->security.peer_ca};

    return conf_has_peer_tls(c) ? tls_ctx_new(&conf, &m->peers) : 0;
}

static int make_clients(const struct conf *c, const struct tls_secrets *secrets, struct made *m)
{
    const struct tls_conf conf = {.use = TLS_CLIENTS,
                                  .cluster = c->cluster_name,
                                  .secrets = secrets,
                                  .cert_file = c->security.client_cert,
                                  .key_file = c->security.client_key,
                                  .ca_file = c->security.client_ca};

    return conf_has_client_tls(c) ? tls_ctx_new(&conf, &m->clients) : 0;
}

int node_peer_tls(const struct conf *conf, struct tls_ctx **ret)
{
    const bool has_secrets = conf->security.secret_file[0] != '\0';
    struct tls_secrets secrets = {0};
    struct made m = {0};
    int rc = 0;

    if (has_secrets)
        rc = tls_secrets_read(conf->security.secret_file, &secrets);
    if (rc == 0)
        rc = make_peers(conf, has_secrets ? &secrets : NULL, &m);
    tls_secrets_wipe(&secrets);
    if (rc != 0)
        return err_trace(rc);
    *ret = m.peers;
    return 0;
}

/* All files, or nothing. 0 or -errno with err_text(), which names the file. */
static int make(const struct conf *conf, struct made *ret)
{
    const bool has_secrets = conf->security.secret_file[0] != '\0';
    struct tls_secrets secrets = {0};
    struct made m = {0};
    int rc = 0;

    if (has_secrets)
        rc = tls_secrets_read(conf->security.secret_file, &secrets);
    if (rc == 0)
        rc = make_peers(conf, has_secrets ? &secrets : NULL, &m);
    if (rc == 0)
        rc = make_clients(conf, has_secrets ? &secrets : NULL, &m);
    tls_secrets_wipe(&secrets);
    if (rc != 0)
        made_done(&m);
    else
        *ret = m;
    return err_trace(rc);
}

/* ---- when certificates end ---- */

static void gather_expiries(struct node_tls *t)
{
    t->n_expiries = 0;
    if (t->peers != NULL)
        t->n_expiries = tls_ctx_expiries(t->peers, t->expiries);
    if (t->clients != NULL)
        t->n_expiries += tls_ctx_expiries(t->clients, t->expiries + t->n_expiries);
}

static void warn_of(const struct tls_expiry *e, int64_t left_s)
{
    char subject[LOG_ESC_BUF];

    (void)log_esc(subject, sizeof(subject), e->subject, strlen(e->subject));
    log_event(left_s <= 0 ? LOG_ERROR : LOG_WARNING, "certificate_ends",
              "what=%s file='%s' subject=%s days=%lld", e->what, e->file, subject,
              (long long)(left_s / TLS_DAY_S));
}

/* Once a day, so that it is seen before it is too late (TLS-26). */
static void look_at_expiries(struct node_tls *t, uint64_t now_us)
{
    const int64_t now_s = (int64_t)(clock_wall_us() / 1000000u);

    t->look_us = now_us + TLS_EXPIRY_LOOK_US;
    for (unsigned i = 0; i < t->n_expiries; i++) {
        const int64_t left_s = t->expiries[i].not_after_s - now_s;

        if (left_s <= TLS_EXPIRY_WARNING_S)
            warn_of(&t->expiries[i], left_s);
    }
}

void node_tls_turn(struct node *n, uint64_t now_us)
{
    if (n->tls.n_expiries > 0 && now_us >= n->tls.look_us)
        look_at_expiries(&n->tls, now_us);
}

/* ---- life ---- */

/* Where there is no secret each process has a key of its own: what was sealed is good as long as it
 * leads, unless the cluster has an id (ACCESS-16). */
static void take_seal_key(struct node_tls *t)
{
    if (t->clients != NULL && tls_ctx_seal_key(t->clients, t->seal_key))
        t->has_seal_key = true;
    else if (!t->has_seal_key)
        t->has_seal_key =
            getrandom(t->seal_key, sizeof(t->seal_key), 0) == (ssize_t)sizeof(t->seal_key);
}

static void take(struct node_tls *t, struct made *m)
{
    tls_ctx_unref(t->peers);
    tls_ctx_unref(t->clients);
    t->peers = take_ptr(m->peers);
    t->clients = take_ptr(m->clients);
    take_seal_key(t);
    gather_expiries(t);
    look_at_expiries(t, clock_mono_us());
}

int node_tls_begin(struct node *n)
{
    struct made m = {0};
    int rc;

    rc = make(n->conf, &m);
    if (rc != 0)
        return err_trace(rc);
    take(&n->tls, &m);
    return 0;
}

/* 0 or -EINVAL with err_text(). */
static int is_same_kind(const struct node_tls *t, const struct conf *fresh)
{
    if (conf_has_peer_tls(fresh) != (t->peers != NULL))
        return err_say(-EINVAL, "whether nodes speak TLS is decided at the start: restart it");
    if (conf_has_client_tls(fresh) != (t->clients != NULL))
        return err_say(-EINVAL, "whether TLS is spoken with clients is decided at the start: "
                                "restart it");
    return 0;
}

int node_tls_again(struct node *n, const struct conf *fresh)
{
    struct made m = {0};
    int rc;

    rc = is_same_kind(&n->tls, fresh);
    if (rc == 0)
        rc = make(fresh, &m);
    if (rc != 0) {
        log_event(LOG_ERROR, "tls_not_taken", "why=\"%s\" action=keep_old", err_text());
        return err_trace(rc);
    }
    if (m.peers == NULL && m.clients == NULL)
        return 0;
    take(&n->tls, &m);
    log_event(LOG_INFO, "tls_taken", "peers=%d clients=%d", n->tls.peers != NULL,
              n->tls.clients != NULL);
    return 0;
}

void node_tls_end(struct node *n)
{
    tls_ctx_unref(take_ptr(n->tls.peers));
    tls_ctx_unref(take_ptr(n->tls.clients));
    n->tls.n_expiries = 0;
}

/* ---- --check-config ---- */

/* systemd gives them to the unit alone. */
static const char *first_credential(const struct conf_security *s)
{
    const char *const files[] = {s->secret_file, s->peer_cert,  s->peer_key, s->peer_ca,
                                 s->client_cert, s->client_key, s->client_ca};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (strncmp(files[i], "credential:", strlen("credential:")) == 0)
            return files[i];
    return NULL;
}

bool node_tls_check(const struct conf *conf)
{
    const char *credential = first_credential(&conf->security);
    struct made m = {0};

    if (credential != NULL && getenv("CREDENTIALS_DIRECTORY") == NULL) {
        printf("ridd: '%s' is there only for the unit that systemd starts: the files of "
               "[security] were not looked at\n",
               credential);
        return true;
    }
    if (make(conf, &m) != 0) {
        fprintf(stderr, "%s: [security]: %s\n", conf->path, err_text());
        return false;
    }
    made_done(&m);
    return true;
}
