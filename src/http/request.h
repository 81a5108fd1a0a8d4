/* What is asked for in a request of HTTP, and whether it may be: from its strings alone.
 *
 * For: the server, which hands in what evhttp made of the bytes, and a fuzzer, which hands in
 * anything. The order of the questions is: by what name was this server called, by which method,
 * for which page, with which parameters; so that whoever called it by a foreign name learns nothing
 * of what there is.
 * Not for: splitting bytes into request line and headers: that is evhttp's. No percent escapes are
 * undone: no page and no parameter of this server needs one.
 * Units: bytes.
 * Ownership: all is borrowed; *ret points into the pages and the target.
 * Errors: an HTTP status above 299, with a sentence in ret->why that ends with what to do.
 * Thread: pure, any thread.
 * Source: RFC 9110 sections 7.2 (Host), 15.5 (status codes); HTTP-3 (the name), HTTP-4 (limits). */
#ifndef RIDD_HTTP_REQUEST_H
#define RIDD_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

/* What a value of a parameter must be. */
enum http_param_kind {
    HTTP_PARAM_FLAG, /* no value, or 0 or 1: 1 without one */
    HTTP_PARAM_U64,  /* decimal digits */
};
struct http_param {
    const char *name;
    enum http_param_kind kind;
    uint64_t max; /* U64 */
};

/* What a page is, without how it is made. */
struct http_page {
    const char *path; /* "/livez" */
    const char *what; /* a sentence for the list of pages */
    unsigned n_params;
    struct http_param params[HTTP_PARAMS_MAX];
};

/* By which names a server may be called (HTTP-3). */
struct http_names {
    unsigned port;     /* that it listens on */
    bool any;          /* TLS: that the name is ours the certificate has shown */
    const char *hosts; /* further names, lower case, "a,b"; with them any port goes */
};

struct http_asked {
    const char *method; /* NULL: none that this program knows */
    const char *target; /* as it stands in the request line: path and query */
    const char *host;   /* the header; NULL: there is none */
    unsigned n_hosts;   /* how many such headers there are */
    bool old;           /* HTTP/1.0 or before: a Host is not asked for */
};

struct http_found {
    const struct http_page *page;
    bool head; /* only the headers are wanted */
    bool given[HTTP_PARAMS_MAX];
    uint64_t values[HTTP_PARAMS_MAX]; /* of page->params; 0 where not given */
    char why[192];                    /* of a refusal */
};

/* 200, with page, head, given and values; or 400, 404, 405, 421 with why. */
int http_find(const struct http_names *names, const struct http_page *const *pages,
              unsigned n_pages, const struct http_asked *q, struct http_found *ret);
/* Whether a Host says one of the names: exposed for the tests. */
bool http_host_ok(const struct http_names *names, const char *host);
/* "Not Found": the words behind a status. */
const char *http_reason(int status);

#endif
