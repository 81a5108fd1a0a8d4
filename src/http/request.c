/* A page of a web site that a person of this host looks at can send requests to any port of
 * loopback, under a name of its own that leads there (DNS rebinding): then the browser lets it read
 * the answers, since name and port are the page's own. So the name that was dialled decides first
 * (HTTP-3). */
#include "http/request.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"

#include "base/banned.h"

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {{200, "OK"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {421, "Misdirected Request"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"}};

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

/* ---- the name ---- */

/* name:port, [v6]:port, or without the port, which is 80 then. False: it is none. */
static bool split_host(const char *host, char *ret_name, size_t size, unsigned *ret_port)
{
    const char *end;
    const char *colon;
    unsigned port = 80;

    if (*host == '[') {
        host++;
        end = strchr(host, ']');
        colon = end != NULL ? end + 1 : NULL;
    } else {
        end = host + strcspn(host, ":");
        colon = end;
    }
    if (end == NULL || end == host || (size_t)(end - host) >= size)
        return false;
    if (*colon != '\0') {
        if (*colon != ':' || colon[1] == '\0' || strlen(colon + 1) > 5)
            return false;
        port = 0;
        for (const char *p = colon + 1; *p != '\0'; p++) {
            if (*p < '0' || *p > '9')
                return false;
            port = port * 10 + (unsigned)(*p - '0');
        }
    }
    memcpy(ret_name, host, (size_t)(end - host));
    ret_name[end - host] = '\0';
    *ret_port = port;
    return true;
}

static bool is_listed(const char *hosts, const char *name)
{
    const size_t len = strlen(name);

    for (const char *p = hosts; p != NULL && *p != '\0';) {
        const size_t n = strcspn(p, ",");

        if (n == len && strncasecmp(p, name, n) == 0)
            return true;
        p += n;
        p += *p == ',';
    }
    return false;
}

bool http_host_ok(const struct http_names *names, const char *host)
{
    char name[HTTP_HOST_BYTES_MAX + 1];
    unsigned port;

    if (!split_host(host, name, sizeof(name), &port))
        return false;
    if (names->any || is_listed(names->hosts, name))
        return true;
    return port == names->port &&
           (strcasecmp(name, "localhost") == 0 || address_host_is_loopback(name));
}

/* ---- parameters ---- */

static bool take_u64(const char *text, size_t len, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;

    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    *ret = value;
    return value <= max;
}

/* What was sent is never repeated in an answer: nothing of a request can come out as anything. */
static int take_param(const struct http_page *page, const char *text, size_t len,
                      struct http_found *ret)
{
    const char *equals = memchr(text, '=', len);
    const size_t name_len = equals != NULL ? (size_t)(equals - text) : len;
    const size_t value_len = equals != NULL ? len - name_len - 1 : 0;

    for (unsigned i = 0; i < page->n_params; i++) {
        const struct http_param *p = &page->params[i];

        if (strlen(p->name) != name_len || memcmp(p->name, text, name_len) != 0)
            continue;
        if (ret->given[i]) {
            (void)snprintf(ret->why, sizeof(ret->why), "'%s' stands twice; give it once", p->name);
            return 400;
        }
        ret->given[i] = true;
        if (p->kind == HTTP_PARAM_FLAG && value_len == 0) {
            ret->values[i] = 1;
            return 200;
        }
        if (equals != NULL && take_u64(equals + 1, value_len,
                                       p->kind == HTTP_PARAM_FLAG ? 1 : p->max, &ret->values[i]))
            return 200;
        if (p->kind == HTTP_PARAM_FLAG)
            (void)snprintf(ret->why, sizeof(ret->why), "'%s' has no value, or 0 or 1", p->name);
        else
            (void)snprintf(ret->why, sizeof(ret->why), "'%s' is a number from 0 to %llu", p->name,
                           (unsigned long long)p->max);
        return 400;
    }
    if (page->n_params == 0)
        (void)snprintf(ret->why, sizeof(ret->why),
                       "%s takes no parameters; leave away all from "
                       "the '?' on",
                       page->path);
    else
        (void)snprintf(ret->why, sizeof(ret->why), "%s has no such parameter; it knows '%s'%s%s%s",
                       page->path, page->params[0].name, page->n_params > 1 ? " and '" : "",
                       page->n_params > 1 ? page->params[1].name : "",
                       page->n_params > 1 ? "'" : "");
    return 400;
}

static int take_query(const struct http_page *page, const char *query, struct http_found *ret)
{
    unsigned n = 0;

    while (*query != '\0') {
        const size_t len = strcspn(query, "&");
        int status = 200;

        if (len > 0 && ++n > HTTP_PARAMS_MAX) {
            (void)snprintf(ret->why, sizeof(ret->why), "more than %u parameters", HTTP_PARAMS_MAX);
            return 400;
        }
        if (len > 0)
            status = take_param(page, query, len, ret);
        if (status != 200)
            return status;
        query += len;
        query += *query == '&';
    }
    return 200;
}

/* ---- all of it ---- */

static int refuse(struct http_found *ret, int status, const char *why)
{
    (void)snprintf(ret->why, sizeof(ret->why), "%s", why);
    return status;
}

static int refuse_host(const struct http_names *names, struct http_found *ret)
{
    (void)snprintf(ret->why, sizeof(ret->why),
                   "this server is not called by the name in 'Host'; use localhost:%u, or add the "
                   "name to [http] hosts in ridd.conf",
                   names->port);
    return 421;
}

int http_find(const struct http_names *names, const struct http_page *const *pages,
              unsigned n_pages, const struct http_asked *q, struct http_found *ret)
{
    size_t len;

    *ret = (struct http_found){0};
    if (q->n_hosts > 1 || (q->n_hosts == 0 && !q->old))
        return refuse(ret, 400, "a request has one Host");
    if (q->n_hosts == 1 && (q->host == NULL || !http_host_ok(names, q->host)))
        return refuse_host(names, ret);
    if (q->method == NULL || (strcmp(q->method, "GET") != 0 && strcmp(q->method, "HEAD") != 0))
        return refuse(ret, 405,
                      "only GET and HEAD are answered: nothing can be changed here; "
                      "ridctl(1) does that");
    ret->head = *q->method == 'H';
    /* With a scheme and a name in it the name would count, and not the one in Host. */
    if (q->target == NULL || *q->target != '/')
        return refuse(ret, 400, "the target of a request begins with '/'");
    if (strlen(q->target) > HTTP_PATH_BYTES_MAX)
        return refuse(ret, 404, "there is no such page");
    len = strcspn(q->target, "?");
    for (unsigned i = 0; i < n_pages; i++) {
        if (strlen(pages[i]->path) != len || memcmp(pages[i]->path, q->target, len) != 0)
            continue;
        ret->page = pages[i];
        return q->target[len] == '?' ? take_query(pages[i], q->target + len + 1, ret) : 200;
    }
    return refuse(ret, 404, "there is no such page");
}
