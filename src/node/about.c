/* What the nodes tell each other about themselves, and what of it an operator must see: settings
 * that differ, and who refuses whom (STATUS-3). Nothing stands on it: each hello carries it at its
 * end. */
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

/* The settings that all nodes should agree on, in the order of struct wire_about: nothing is ever
 * put in between or taken away. */
static const char *const setting_names[] = {"heartbeat_ms", "election_ms", "map_size",
                                            "request_bytes"};
#define N_SETTINGS (sizeof(setting_names) / sizeof(setting_names[0]))
static_assert(N_SETTINGS <= WIRE_SETTINGS_MAX, "all settings must fit a hello");

void node_about(const struct conf *conf, struct wire_about *ret)
{
    *ret = (struct wire_about){.n_settings = N_SETTINGS,
                               .settings = {conf->heartbeat_us / 1000, conf->election_us / 1000,
                                            conf->map_size_bytes, conf->request_bytes}};
    (void)snprintf(ret->cluster_name, sizeof(ret->cluster_name), "%s", conf->cluster_name);
}

static struct peer_about *find(struct node *n, raft_node_id id)
{
    for (unsigned i = 0; i < n->n_abouts; i++)
        if (n->abouts[i].id == id)
            return &n->abouts[i];
    return NULL;
}

void node_heard_about(struct node *n, const struct wire_hello *h)
{
    struct peer_about *a = find(n, h->from);

    if (a == NULL && n->n_abouts < RAFT_SERVERS_MAX)
        a = &n->abouts[n->n_abouts++];
    if (a != NULL)
        *a = (struct peer_about){.id = h->from, .about = h->about};
}

void node_forget_about(struct node *n, raft_node_id id)
{
    struct peer_about *a = find(n, id);

    if (a != NULL)
        *a = n->abouts[--n->n_abouts];
}

/* ---- settings that differ ---- */

/* What is in force here: times as the process began, map_size and limits as they were read last. */
void node_about_in_force(const struct node *n, struct wire_about *ret)
{
    node_about(n->conf, ret);
    ret->settings[2] = node_conf(n)->map_size_bytes;
    ret->settings[3] = node_conf(n)->request_bytes;
}

static bool differs(const struct wire_about *ours, const struct peer_about *a, unsigned i)
{
    return i < a->about.n_settings && a->about.settings[i] != ours->settings[i];
}

void node_warn_differences(struct node *n, raft_node_id peer)
{
    const struct peer_about *a = find(n, peer);
    struct wire_about ours;

    node_about_in_force(n, &ours);
    for (unsigned i = 0; a != NULL && i < N_SETTINGS; i++)
        if (differs(&ours, a, i))
            log_event(LOG_WARNING, "settings_differ", "peer=%s key=%s here=%llu there=%llu",
                      engine_name_of(n->engine, peer), setting_names[i],
                      (unsigned long long)ours.settings[i],
                      (unsigned long long)a->about.settings[i]);
}

/* One text per setting: "election_ms is 500 here, 900 on n2, 700 on n3". */
static void status_setting(struct node *n, struct wire_reply *w, const struct wire_about *ours,
                           unsigned i)
{
    char text[512];
    size_t len = (size_t)snprintf(text, sizeof(text), "%s is %llu here", setting_names[i],
                                  (unsigned long long)ours->settings[i]);
    bool any = false;

    for (unsigned k = 0; k < n->n_abouts && len < sizeof(text); k++) {
        const struct peer_about *a = &n->abouts[k];

        if (!peer_net_is_up(n->peer_net, a->id) || !differs(ours, a, i))
            continue;
        any = true;
        len += (size_t)snprintf(text + len, sizeof(text) - len, ", %llu on %s",
                                (unsigned long long)a->about.settings[i],
                                engine_name_of(n->engine, a->id));
    }
    if (any)
        wire_reply_str(w, NULL, text);
}

/* ---- who refuses whom ---- */

/* Of both sides one text: it names the nodes. */
static void refusal_words(const struct node *n, const char *peer, const struct peer_refusal *r,
                          char *ret_text, size_t size)
{
    const char *us = n->self->name;
    const char *refuser = r->by_us ? us : peer;
    const char *refused = r->by_us ? peer : us;

    switch (r->reason) {
    case WIRE_REFUSED_CLUSTER:
        (void)snprintf(ret_text, size, "%s belongs to %s%s%s, %s to '%s'", peer,
                       r->cluster_name[0] != '\0' ? "cluster '" : "another cluster",
                       r->cluster_name, r->cluster_name[0] != '\0' ? "'" : "", us,
                       node_conf(n)->cluster_name);
        return;
    case WIRE_REFUSED_OURSELVES: /* turned round before (whose_fault()) */
    case WIRE_REFUSED_INCARNATION:
        (void)snprintf(ret_text, size,
                       "the data directory of %s is not the one that %s met first: its disk was "
                       "lost, or replaced",
                       refused, refuser);
        return;
    case WIRE_REFUSED_FROM:
        (void)snprintf(ret_text, size, "%s is no member, as %s knows them", refused, refuser);
        return;
    case WIRE_REFUSED_TO:
        (void)snprintf(ret_text, size, "the address that %s has for %s is another node's", refused,
                       refuser);
        return;
    case WIRE_REFUSED_ROOM:
        (void)snprintf(ret_text, size, "the disk of %s is full: it cannot record that it met %s",
                       refuser, refused);
        return;
    case WIRE_REFUSED_PROOF:
        (void)snprintf(ret_text, size, "%s does not know the secret id of the cluster of %s",
                       refused, refuser);
        return;
    case WIRE_REFUSED_REMOVED:
        (void)snprintf(ret_text, size, "%s was removed from the cluster", refused);
        return;
    case WIRE_REFUSED_NAME:
        (void)snprintf(ret_text, size, "the certificate of %s names another node", refused);
        return;
    case WIRE_REFUSED_NOT:
    case WIRE_REFUSED_VERSION:
    case WIRE_REFUSED_BUSY:
    case WIRE_REFUSED_CROSSED:
    case WIRE_REFUSALS_END:
        break;
    }
    (void)snprintf(ret_text, size, "%s", wire_refusal_text(r->reason, r->by_us));
}

/* Whoever of a link looks first refuses: a node whose disk was lost sees by the other's hello that
 * it is not the one that was met. It is the stranger all the same, and the other the one that would
 * not have it: which of the two came first must not decide whom the operator is sent to
 * (STATUS-3). */
static void whose_fault(struct peer_refusal *r)
{
    if (r->reason != WIRE_REFUSED_OURSELVES)
        return;
    r->reason = WIRE_REFUSED_INCARNATION;
    r->by_us = !r->by_us;
}

static void status_refusals(struct node *n, struct wire_reply *w, const char *field, bool by_us)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(n->engine));
    struct peer_refusal refusal;
    char text[256];

    wire_reply_open_array(w, field);
    for (unsigned i = 0; i < c->n; i++) {
        if (!peer_net_refusal(n->peer_net, c->servers[i].id, &refusal))
            continue;
        whose_fault(&refusal);
        if (refusal.by_us != by_us)
            continue;
        refusal_words(n, c->servers[i].name, &refusal, text, sizeof(text));
        wire_reply_open_object(w, NULL);
        wire_reply_str(w, "id", c->servers[i].name);
        wire_reply_str(w, "why", text);
        wire_reply_close_object(w);
    }
    wire_reply_close_array(w);
}

void node_about_status(struct node *n, struct wire_reply *w)
{
    struct wire_about ours;
    char text[256];

    node_about_in_force(n, &ours);
    wire_reply_str(w, "cluster_hash", n->cluster_hash);
    wire_reply_u64(w, "heartbeat_ms", ours.settings[0]);
    wire_reply_u64(w, "election_ms", ours.settings[1]);
    status_refusals(n, w, "refused_by", false);
    status_refusals(n, w, "refuses", true);
    wire_reply_open_array(w, "warnings");
    for (unsigned i = 0; i < N_SETTINGS; i++)
        status_setting(n, w, &ours, i);
    if (engine_warning(n->engine, text, sizeof(text)))
        wire_reply_str(w, NULL, text);
    node_tls_warnings(n, w);
    wire_reply_close_array(w);
    node_tls_status(n, w);
}
