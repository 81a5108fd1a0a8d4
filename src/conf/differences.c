/* What a configuration file says otherwise than before: for whoever reads it again while it
 * runs. */
#include <stdio.h>
#include <string.h>

#include "conf/conf_int.h"

#include "base/banned.h"

/* Keys that take effect while the process runs. */
static bool is_reloaded(const struct conf_key *k)
{
    return k->section == CONF_LIMITS || k->section == CONF_ACCESS || k->section == CONF_READS ||
           k->section == CONF_SECURITY || k->offset == offsetof(struct conf, fast_failover) ||
           k->kind == CONF_KIND_LEVEL || k->offset == offsetof(struct conf, map_size_bytes) ||
           k->offset == offsetof(struct conf, snapshot_bytes) ||
           k->offset == offsetof(struct conf, keep_bytes) ||
           k->offset == offsetof(struct conf, snapshot_mib);
}

static bool value_differs(const struct conf *a, const struct conf *b, const struct conf_key *k)
{
    switch (k->kind) {
    case CONF_KIND_NAME:
    case CONF_KIND_DIR:
    case CONF_KIND_FILE:
    case CONF_KIND_HOSTS:
    case CONF_KIND_SOCKET:
        return strcmp((const char *)a + k->offset, (const char *)b + k->offset) != 0;
    case CONF_KIND_ADDRESS:
        return strcmp(a->http_addr, b->http_addr) != 0 || a->http_scheme != b->http_scheme;
    case CONF_KIND_YES:
        return a->security.insecure != b->security.insecure;
    case CONF_KIND_LISTEN:
        return !conf_listen_equal(a, b);
    case CONF_KIND_WHO:
        return !conf_who_equal(
            (const struct conf_who_list *)(const void *)((const char *)a + k->offset),
            (const struct conf_who_list *)(const void *)((const char *)b + k->offset));
    case CONF_KIND_SELF: /* who reads again says itself which node it is */
        return false;
    case CONF_KIND_LEVEL:
    case CONF_KIND_UNSIGNED:
    case CONF_KIND_MS:
    case CONF_KIND_SIZE:
        break;
    }
    return conf_number_get(a, k) != conf_number_get(b, k);
}

struct list {
    char *text;
    size_t size;
    size_t len;
    unsigned n;
};

static void add(struct list *l, const char *section, const char *name, const char *more)
{
    int n;

    l->n++;
    if (l->len >= l->size)
        return;
    n = snprintf(l->text + l->len, l->size - l->len, "%s[%s] %s%s", l->n > 1 ? ", " : "", section,
                 name, more);
    if (n > 0)
        l->len += (size_t)n;
}

static const struct conf_peer *peer_of(const struct conf *c, const char *name)
{
    for (unsigned i = 0; i < c->n_peers; i++)
        if (strcmp(c->peers[i].name, name) == 0)
            return &c->peers[i];
    return NULL;
}

/* Where others are reached is taken at once; where this node listens is not, nor how an address is
 * spoken at, and who belongs to the cluster never is. */
static void add_peers(struct list *l, const struct conf *a, const struct conf *b, bool reloaded)
{
    for (unsigned i = 0; i < b->n_peers; i++) {
        const struct conf_peer *q = &b->peers[i];
        const struct conf_peer *p = peer_of(a, q->name);
        const bool self = b->self != NULL && strcmp(q->name, b->self->name) == 0;
        const bool moved = p != NULL && (strcmp(p->peer_addr, q->peer_addr) != 0 ||
                                         strcmp(p->client_addr, q->client_addr) != 0 ||
                                         (self && strcmp(p->http_addr, q->http_addr) != 0));
        const bool spoken = p != NULL && (p->client_scheme != q->client_scheme ||
                                          (self && p->http_scheme != q->http_scheme));

        if (p == NULL && !reloaded)
            add(l, "peers", q->name, " (new)");
        else if ((moved && reloaded != self) || (spoken && !reloaded))
            add(l, "peers", q->name, "");
    }
    for (unsigned i = 0; i < a->n_peers && !reloaded; i++)
        if (peer_of(b, a->peers[i].name) == NULL)
            add(l, "peers", a->peers[i].name, " (gone)");
}

static const struct conf_grant *grant_of(const struct conf *c, const char *name)
{
    for (unsigned i = 0; i < c->n_grants; i++)
        if (strcmp(c->grants[i].name, name) == 0)
            return &c->grants[i];
    return NULL;
}

static void add_grants(struct list *l, const struct conf *a, const struct conf *b)
{
    for (unsigned i = 0; i < b->n_grants; i++) {
        const struct conf_grant *h = &b->grants[i];
        const struct conf_grant *g = grant_of(a, h->name);

        if (g == NULL)
            add(l, "access", h->name, " (new)");
        else if (!conf_grant_equal(g, h))
            add(l, "access", h->name, "");
    }
    for (unsigned i = 0; i < a->n_grants; i++)
        if (grant_of(b, a->grants[i].name) == NULL)
            add(l, "access", a->grants[i].name, " (gone)");
}

unsigned conf_differences(const struct conf *a, const struct conf *b, bool reloaded, char *ret_text,
                          size_t size)
{
    struct list l = {.text = ret_text, .size = size};

    ret_text[0] = '\0';
    for (size_t i = 0; i < CONF_N_KEYS; i++)
        if (is_reloaded(&conf_keys[i]) == reloaded && value_differs(a, b, &conf_keys[i]))
            add(&l, conf_section_names[conf_keys[i].section], conf_keys[i].name, "");
    if (reloaded)
        add_grants(&l, a, b);
    add_peers(&l, a, b, reloaded);
    return l.n;
}

bool conf_same_founders(const struct conf *a, const struct conf *b)
{
    unsigned char id_a[16];
    unsigned char id_b[16];

    conf_founding_id(a, id_a);
    conf_founding_id(b, id_b);
    return memcmp(id_a, id_b, sizeof(id_a)) == 0;
}
