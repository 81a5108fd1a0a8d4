/* Requests of HTTP as evhttp hands them on: whatever their strings are, they are answered or refused
 * in words of our own, and nobody who calls by a foreign name gets a page.
 *
 * The bytes: one that says which strings there are, then method, target and Host, each on a line. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "fuzz/fuzz.h"
#include "http/request.h"

#include "base/banned.h"

const char fuzz_name[] = "http";
const unsigned fuzz_runs = 40000;

static const struct http_page plain = {.path = "/plain", .what = "Nothing."};
static const struct http_page wordy = {
    .path = "/wordy",
    .what = "Two.",
    .n_params = 2,
    .params = {{"after", HTTP_PARAM_U64, 1000000}, {"verbose", HTTP_PARAM_FLAG, 0}}};
static const struct http_page *const pages[] = {&plain, &wordy};
static const struct http_names names = {.port = 7402, .hosts = "proxy.example,b"};

static char *next_line(char **at)
{
    char *line = *at;
    char *end = strchr(line, '\n');

    if (end == NULL) {
        *at = line + strlen(line);
        return line;
    }
    *end = '\0';
    *at = end + 1;
    return line;
}

/* A second opinion on the name, written the other way round: from what is allowed. It may be
 * kinder about what stands behind a name. */
static bool is_ours(const char *host)
{
    static const char *const allowed[] = {"localhost:7402", "[::1]:7402"};
    unsigned a;
    unsigned b;
    unsigned c;
    char rest[8];
    const size_t n = strcspn(host, ":");

    for (unsigned i = 0; i < 2; i++)
        if (strcasecmp(host, allowed[i]) == 0)
            return true;
    if ((n == 13 && strncasecmp(host, "proxy.example", n) == 0) ||
        (n == 1 && strncasecmp(host, "b", n) == 0))
        return true;
    return strncmp(host, "127.", 4) == 0 &&
           sscanf(host, "127.%3u.%3u.%3u:%7[0-9]", &a, &b, &c, rest) == 4 && a < 256 && b < 256 &&
           c < 256 && strtoul(rest, NULL, 10) == 7402;
}

/* A spelling of loopback's port or address that the plain opinion does not know is none of its
 * business: leading zeros, and the long forms of ::1. */
static bool is_odd(const char *host)
{
    return strchr(host, '[') != NULL || strstr(host, ":0") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct http_asked q = {0};
    struct http_found found;
    char *at;
    int status;

    rid_assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    at = text + (size > 0);
    q.method = next_line(&at);
    q.target = next_line(&at);
    q.host = next_line(&at);
    q.n_hosts = 1;
    if (size > 0 && (data[0] & 1) != 0)
        q.method = NULL;
    if (size > 0 && (data[0] & 2) != 0) {
        q.host = NULL;
        q.n_hosts = 0;
    }
    q.old = size > 0 && (data[0] & 4) != 0;
    status = http_find(&names, pages, 2, &q, &found);
    rid_assert(status == 200 || status == 400 || status == 404 || status == 405 || status == 421);
    if (status == 200) {
        rid_assert(found.page != NULL && found.why[0] == '\0');
        rid_assert(q.method != NULL && (strcmp(q.method, "GET") == 0 || found.head));
        rid_assert(strncmp(q.target, found.page->path, strlen(found.page->path)) == 0);
        rid_assert(found.values[0] <= 1000000 && found.values[1] <= 1);
        rid_assert(found.page->n_params > 0 || (!found.given[0] && !found.given[1]));
    } else {
        /* Nothing of the request is in it: it is one of some sentences. */
        rid_assert(found.why[0] != '\0' && strlen(found.why) < sizeof(found.why));
        for (const char *p = found.why; *p != '\0'; p++)
            rid_assert((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
    }
    if (q.host != NULL && !is_odd(q.host) && status != 421)
        rid_assert(is_ours(q.host));
    free(text);
    return 0;
}

static const char *const seeds[] = {
    "\x10GET\n/plain\nlocalhost:7402\n",
    "\x10HEAD\n/wordy?after=17&verbose\n127.0.0.1:7402\n",
    "\x10GET\n/wordy?after=18446744073709551616&verbose=1\n[::1]:7402\n",
    "\x10POST\n/plain?x=%00\nproxy.example:80\n",
    "\x14GET\nhttp://evil/plain\n",
    "\x16GET\n/../../plain\nevil.example:7402\n",
};

int fuzz_seed(unsigned i, struct buf *buf)
{
    if (i >= sizeof(seeds) / sizeof(seeds[0]))
        return 1;
    rid_assert(buf_add_str(buf, seeds[i]) == 0);
    return 0;
}
