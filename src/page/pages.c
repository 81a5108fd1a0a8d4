/* Calls wait for a gathering, and are answered when it ends: by what it found, or by a sentence. */
#include "page/pages.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "client/ridd.h"
#include "page/page.h"

#include "base/banned.h"

struct pages {
    struct gather_conf conf; /* its texts are the pages' own */
    char texts[2 + 2 * RIDD_ENDPOINTS_MAX + 1][RIDD_ENDPOINT_SIZE];
    struct gather_node nodes[RIDD_ENDPOINTS_MAX];
    struct gather *gather; /* owned; NULL: nobody has looked yet */
    struct buf policy;     /* NUL-terminated */
    bool ended;
};

/* ---- answers ---- */

static void answer_failed(struct http_call *call, int error)
{
    if (error == -ECANCELED)
        http_reply_text(call, 503, "this node is stopping");
    else if (error == -EAGAIN)
        http_reply_text(call, 503, "too many look at once; ask again in a second");
    else if (error == -EKEYREJECTED)
        http_reply_text(call, 503,
                        "this node cannot ask the others: what [security] names cannot be read any "
                        "more; `ridd --check-config` says what is wrong");
    else
        http_reply_text(call, 503, "no memory to ask the other nodes; ask again");
}

static void answer_page(void *arg, const struct gather_result *result)
{
    struct http_call *call = arg;
    const struct http_found *found = http_call_found(call);
    const struct page_view view = {.self = result->self,
                                   .now_us = result->at_us,
                                   .still = found->given[0] && found->values[0] != 0};
    struct buf body = BUF_INIT;

    if (result->error != 0)
        answer_failed(call, result->error);
    else if (page_render(result->doc, &view, &body) != 0)
        answer_failed(call, -ENOMEM);
    else
        http_reply(call, 200, "text/html; charset=utf-8", &body);
    buf_done(&body);
}

static void answer_document(void *arg, const struct gather_result *result)
{
    struct http_call *call = arg;
    struct buf body = BUF_INIT;

    if (result->error != 0)
        answer_failed(call, result->error);
    else if (buf_add(&body, result->json, result->len) != 0 || buf_add_str(&body, "\n") != 0)
        answer_failed(call, -ENOMEM);
    else
        http_reply(call, 200, "application/json", &body);
    buf_done(&body);
}

static void look(struct pages *p, struct http_call *call, gather_fn *fn)
{
    int r = p->ended ? -ECANCELED : 0;

    if (r == 0 && p->gather == NULL) {
        p->conf.base = http_base(http_call_server(call));
        r = gather_new(&p->conf, &p->gather);
    }
    if (r == 0)
        r = gather_ask(p->gather, fn, call);
    if (r != 0)
        answer_failed(call, r);
}

void pages_show_page(struct pages *p, struct http_call *call)
{
    look(p, call, answer_page);
}

void pages_show_document(struct pages *p, struct http_call *call)
{
    look(p, call, answer_document);
}

void pages_gone(struct pages *p, struct http_call *call)
{
    if (p->gather != NULL)
        gather_forget(p->gather, call);
}

void pages_ended(struct pages *p)
{
    p->ended = true;
    gather_free(p->gather);
    p->gather = NULL;
}

/* ---- beginning and end ---- */

static const char *keep(struct pages *p, unsigned *n, const char *text)
{
    char *copy = p->texts[(*n)++];

    (void)snprintf(copy, sizeof(p->texts[0]), "%s", text);
    return copy;
}

int pages_new(const struct gather_conf *conf, struct pages **ret)
{
    struct pages *p = calloc(1, sizeof(*p));
    unsigned n = 0;
    int r;

    if (p == NULL)
        return err_origin(-ENOMEM);
    buf_init(&p->policy);
    p->conf.cluster = keep(p, &n, conf->cluster);
    p->conf.self.name = keep(p, &n, conf->self.name);
    p->conf.self.endpoint = keep(p, &n, conf->self.endpoint);
    p->conf.tls = conf->tls;
    p->conf.nodes = p->nodes;
    for (unsigned i = 0; i < conf->n_nodes && i < RIDD_ENDPOINTS_MAX; i++) {
        p->nodes[i].name = keep(p, &n, conf->nodes[i].name);
        p->nodes[i].endpoint = keep(p, &n, conf->nodes[i].endpoint);
        p->conf.n_nodes++;
    }
    r = page_policy(&p->policy);
    if (r == 0)
        r = buf_add(&p->policy, "", 1);
    if (r != 0) {
        pages_free(p);
        return err_trace(r);
    }
    *ret = p;
    return 0;
}

void pages_free(struct pages *p)
{
    if (p == NULL)
        return;
    buf_done(&p->policy);
    free(p);
}

const char *pages_policy(const struct pages *p)
{
    return (const char *)p->policy.data;
}
