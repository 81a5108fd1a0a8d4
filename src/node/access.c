/* The local socket: names to numbers, and numbers to roles. */
#include "node/access.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/access_int.h"

#include "base/banned.h"

#define OVERFLOW_ID 65534u /* the kernel's default */

static const char *const list_names[ACCESS_ROLES] = {"unix_read", "unix_write", "unix_admin"};

/* ---- names ---- */

static bool is_number(const char *s, uint32_t *ret)
{
    unsigned long v;
    char *end;

    if (s[0] < '0' || s[0] > '9')
        return false;
    errno = 0;
    v = strtoul(s, &end, 10);
    /* The last one means "none" to the kernel. */
    if (errno != 0 || *end != '\0' || v >= UINT32_MAX)
        return false;
    *ret = (uint32_t)v;
    return true;
}

static bool find_name(enum conf_who_kind kind, const char *name, uint32_t *ret)
{
    for (size_t size = ACCESS_RECORD_BYTES; size <= ACCESS_RECORD_BYTES_MAX; size *= 4) {
        cleanup_free char *buf = malloc(size);
        struct passwd pw;
        struct passwd *user = NULL;
        struct group gr;
        struct group *group = NULL;
        int rc;

        if (buf == NULL)
            return false;
        rc = kind == CONF_WHO_USER ? getpwnam_r(name, &pw, buf, size, &user)
                                   : getgrnam_r(name, &gr, buf, size, &group);
        if (rc == ERANGE)
            continue;
        if (user != NULL)
            *ret = pw.pw_uid;
        if (group != NULL)
            *ret = gr.gr_gid;
        return user != NULL || group != NULL;
    }
    return false;
}

static void note_unknown(struct access *a, const char *line, enum conf_who_kind kind,
                         const char *name)
{
    const size_t len = strlen(a->unknown);

    (void)snprintf(a->unknown + len, sizeof(a->unknown) - len, "%s%s: %s %s", len > 0 ? ", " : "",
                   line, kind == CONF_WHO_USER ? "user" : "group", name);
}

static void find_list(const struct conf_who_list *list, const char *name, struct access *a,
                      struct access_list *ret)
{
    for (unsigned i = 0; i < list->n; i++) {
        const struct conf_who *who = &list->who[i];
        struct access_entry *e = &ret->entries[ret->n];

        *e = (struct access_entry){.kind = who->kind};
        (void)snprintf(e->name, sizeof(e->name), "%s", who->name);
        if (who->kind == CONF_WHO_ANY || find_name(who->kind, who->name, &e->id) ||
            is_number(who->name, &e->id))
            ret->n++;
        else if (!list->is_default)
            note_unknown(a, name, who->kind, who->name);
    }
}

static void find_grants(const struct access_wanted *wanted, struct access *ret)
{
    for (unsigned i = 0; i < wanted->n_grants; i++) {
        const struct conf_grant *g = &wanted->grants[i];
        const enum conf_who_kind kind = g->kind == CONF_GRANT_USER ? CONF_WHO_USER : CONF_WHO_GROUP;
        uint32_t id = 0;

        if (g->kind != CONF_GRANT_ANY && g->kind != CONF_GRANT_USER && g->kind != CONF_GRANT_GROUP)
            continue;
        if (g->kind == CONF_GRANT_ANY || find_name(kind, g->who, &id) || is_number(g->who, &id))
            access_add(&ret->grants, g, id);
        else
            note_unknown(ret, g->name, kind, g->who);
    }
}

/* ---- a user namespace ---- */

/* "0 0 4294967295": all ids are what they are. Where that cannot be read they are not believed to
 * be. */
static bool maps_all(const char *path)
{
    unsigned long long inside;
    unsigned long long outside;
    unsigned long long n;
    char line[128] = "";
    char *at;
    FILE *f = fopen(path, "re");

    if (f == NULL)
        return false;
    if (fgets(line, sizeof(line), f) == NULL)
        line[0] = '\0';
    (void)fclose(f);
    inside = strtoull(line, &at, 10);
    outside = strtoull(at, &at, 10);
    n = strtoull(at, &at, 10);
    return inside == 0 && outside == 0 && n >= UINT32_MAX;
}

static uint32_t read_id(const char *path)
{
    char line[32] = "";
    FILE *f = fopen(path, "re");
    unsigned long v;

    if (f == NULL)
        return OVERFLOW_ID;
    if (fgets(line, sizeof(line), f) == NULL)
        line[0] = '\0';
    (void)fclose(f);
    v = strtoul(line, NULL, 10);
    return v != 0 && v < UINT32_MAX ? (uint32_t)v : OVERFLOW_ID;
}

void access_want(const struct conf *conf, struct access_wanted *ret)
{
    ret->lists[0] = conf->unix_read;
    ret->lists[1] = conf->unix_write;
    ret->lists[2] = conf->unix_admin;
    ret->n_grants = conf->n_grants;
    memcpy(ret->grants, conf->grants, sizeof(ret->grants));
}

void access_find(const struct access_wanted *wanted, struct access *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->own = geteuid();
    ret->sees_all = maps_all("/proc/self/uid_map") && maps_all("/proc/self/gid_map");
    ret->overflow_uid = read_id("/proc/sys/kernel/overflowuid");
    ret->overflow_gid = read_id("/proc/sys/kernel/overflowgid");
    if (wanted == NULL)
        return;
    for (unsigned i = 0; i < ACCESS_ROLES; i++)
        find_list(&wanted->lists[i], list_names[i], ret, &ret->lists[i]);
    find_grants(wanted, ret);
}

/* ---- roles ---- */

/* Where not all ids are known here, this number is that of each who is not, and so of nobody
 * (ACCESS-2). */
static bool is_somebody(const struct access *a, uid_t uid)
{
    return a->sees_all || uid != a->overflow_uid;
}

static bool is_in(const struct access *a, const struct access_peer *peer, gid_t gid)
{
    if (!a->sees_all && gid == a->overflow_gid)
        return false;
    for (unsigned i = 0; i < peer->n_groups; i++)
        if (peer->groups[i] == gid)
            return true;
    return peer->gid == gid;
}

static bool holds(const struct access *a, const struct access_list *list,
                  const struct access_peer *peer)
{
    for (unsigned i = 0; i < list->n; i++) {
        const struct access_entry *e = &list->entries[i];

        switch (e->kind) {
        case CONF_WHO_ANY:
            return true;
        case CONF_WHO_USER:
            if (is_somebody(a, peer->uid) && peer->uid == e->id)
                return true;
            break;
        case CONF_WHO_GROUP:
            if (is_in(a, peer, e->id))
                return true;
            break;
        }
    }
    return false;
}

static bool names(const struct access *a, const struct access_grant *g,
                  const struct access_peer *peer)
{
    switch (g->kind) {
    case CONF_GRANT_ANY:
        return true;
    case CONF_GRANT_USER:
        return is_somebody(a, peer->uid) && peer->uid == g->id;
    case CONF_GRANT_GROUP:
        return is_in(a, peer, g->id);
    case CONF_GRANT_CERT:
    case CONF_GRANT_SECRET:
    case CONF_GRANT_TOKEN:
    case CONF_GRANT_KINDS:
        break;
    }
    return false;
}

/* The highest that names the peer: admin implies write, write implies read. Who runs the process,
 * and root, can read and write its files anyway. */
static enum service_role role_of_lists(const struct access *a, const struct access_peer *peer)
{
    if (is_somebody(a, peer->uid) && (peer->uid == 0 || peer->uid == a->own))
        return SERVICE_ADMIN;
    for (unsigned i = ACCESS_ROLES; i > 0; i--)
        if (holds(a, &a->lists[i - 1], peer))
            return (enum service_role)i;
    return SERVICE_NONE;
}
static_assert(SERVICE_NONE == 0 && SERVICE_READ == 1 && SERVICE_ADMIN == ACCESS_ROLES,
              "lists[] begins with READ");

void access_judge(const struct access *a, const struct access_peer *peer, struct access_right *ret)
{
    *ret = (struct access_right){.role = role_of_lists(a, peer)};
    for (unsigned i = 0; i < a->grants.n; i++)
        if (names(a, &a->grants.of[i], peer))
            access_join(ret, &a->grants.of[i], i);
}

static const char *name_of(const struct access *a, uid_t uid)
{
    uint32_t number;

    for (unsigned i = 0; i < ACCESS_ROLES; i++)
        for (unsigned k = 0; k < a->lists[i].n; k++) {
            const struct access_entry *e = &a->lists[i].entries[k];

            if (e->kind == CONF_WHO_USER && e->id == uid && !is_number(e->name, &number))
                return e->name;
        }
    for (unsigned i = 0; i < a->grants.n; i++) {
        const struct access_grant *g = &a->grants.of[i];

        if (g->kind == CONF_GRANT_USER && g->id == uid)
            return !is_number(g->who, &number) ? g->who : g->name;
    }
    return uid == 0 ? "root" : NULL;
}

const char *access_who(const struct access *a, uid_t uid, char *ret, size_t size)
{
    const char *name = is_somebody(a, uid) ? name_of(a, uid) : NULL;

    if (!is_somebody(a, uid))
        (void)snprintf(ret, size, "uid %lu (a user that this process cannot see: PrivateUsers=?)",
                       (unsigned long)uid);
    else if (name != NULL)
        (void)snprintf(ret, size, "uid %lu (%s)", (unsigned long)uid, name);
    else
        (void)snprintf(ret, size, "uid %lu", (unsigned long)uid);
    return ret;
}
