/* The socket of the node on this host: it is asked first, where the configuration names one, the
 * node answers there, and lets whoever asks do anything at all. Otherwise all is as without it. */
#include <string.h>
#include <sys/stat.h>

#include "ctl/local_int.h"

#include "base/banned.h"

static bool is_socket(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void say(const struct ctl *ctl, const char *endpoint, const char *what)
{
    if (ctl->verbose)
        (void)fprintf(stderr, "ridctl: %s %s\n", endpoint, what);
}

/* A node that is there answers within a moment. */
static bool answers(const struct ctl *ctl, const char *endpoint)
{
    const struct ridd_options options = {.timeout_ms = CTL_LOCAL_MS, .flags = RIDD_FLAG_IMPATIENT};
    struct ridd *client = NULL;
    struct ridd_reply *r;
    enum ridd_status status;

    if (ridd_open(endpoint, &options, &client) != RIDD_OK)
        return false;
    r = ridd_request(client, "{\"type\":\"ping\"}", RIDD_KIND_READ, CTL_LOCAL_MS);
    status = r->status;
    if (status == RIDD_OK)
        say(ctl, endpoint, "is asked first");
    else if (status == RIDD_DENIED)
        say(ctl, endpoint, "is not used: you may not do anything there");
    else
        say(ctl, endpoint, "is not used: nobody answers there");
    ridd_reply_free(r);
    ridd_close(client);
    return status == RIDD_OK;
}

static bool take(const struct ctl *ctl, const struct conf *conf, const char *name, char *ret,
                 size_t size)
{
    static const char prefix[] = "unix:";
    char path[CONF_SOCKET_BYTES_MAX + 1];

    if (!conf_socket_of(conf, name, path, sizeof(path)) || !is_socket(path))
        return false;
    (void)snprintf(ret, size, "%s%s", prefix, path);
    if (answers(ctl, ret))
        return true;
    ret[0] = '\0';
    return false;
}

/* [node] id says which node is this host's; without it the sockets that are there do. */
bool local_find(const struct ctl *ctl, const struct conf *conf, char *ret, size_t size)
{
    ret[0] = '\0';
    if (conf->self != NULL)
        return take(ctl, conf, conf->self->name, ret, size);
    for (unsigned i = 0; i < conf->n_peers; i++)
        if (take(ctl, conf, conf->peers[i].name, ret, size))
            return true;
    return false;
}
