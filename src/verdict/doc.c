/* Texts of nodes are spliced in as they came, so that no number is written anew; strings that are
 * ours go through the library's own escaping. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "verdict/doc.h"

#include "base/banned.h"

struct writing {
    struct buf *out;
    bool failed; /* no memory */
};

static void raw(struct writing *w, const char *s, size_t len)
{
    if (buf_add(w->out, s, len) != 0)
        w->failed = true;
}

static void words(struct writing *w, const char *s)
{
    raw(w, s, strlen(s));
}

/* NULL and "": null. */
static void string(struct writing *w, const char *s)
{
    cleanup_free char *json = NULL;

    if (s == NULL || s[0] == '\0')
        words(w, "null");
    else if (ridd_json_string(s, strlen(s), &json) == RIDD_OK)
        words(w, json);
    else
        words(w, "\"?\""); /* not UTF-8, or no memory, which the next word finds */
}

static void string_of(struct writing *w, const char *name, const char *s)
{
    words(w, name);
    string(w, s);
}

static void number_of(struct writing *w, const char *name, json_int_t v)
{
    words(w, name);
    if (buf_add_format(w->out, "%lld", (long long)v) != 0)
        w->failed = true;
}

static void bool_of(struct writing *w, const char *name, bool v)
{
    words(w, name);
    words(w, v ? "true" : "false");
}

static void text_of(struct writing *w, const char *name, const struct doc_text *t)
{
    words(w, name);
    if (t->json != NULL)
        raw(w, t->json, t->len);
    else
        words(w, "null");
}

static void reasons(struct writing *w, const struct verdict *v)
{
    words(w, ",\"reasons\":[");
    for (unsigned i = 0; i < v->n_reasons; i++) {
        const struct verdict_reason *r = &v->reasons[i];

        string_of(w, i > 0 ? ",{\"node\":" : "{\"node\":", r->node);
        string_of(w, ",\"endpoint\":", r->endpoint);
        string_of(w, ",\"reason\":", verdict_why_name(r->why));
        string_of(w, ",\"text\":", r->text);
        words(w, "}");
    }
    words(w, "]");
}

static void judged(struct writing *w, const struct verdict *v)
{
    char line[VERDICT_TEXT_BYTES + 1];

    verdict_line(v, line, sizeof(line));
    string_of(w, "{\"verdict\":", verdict_name(v->kind));
    if (v->survives >= 0)
        number_of(w, ",\"survives\":", v->survives);
    else
        words(w, ",\"survives\":null");
    reasons(w, v);
    number_of(w, ",\"answered\":", v->n_answered);
    number_of(w, ",\"nodes_total\":", v->n_nodes);
    string_of(w, ",\"leader_id\":", v->leader);
    bool_of(w, ",\"leader_answered\":", v->leader_answered);
    number_of(w, ",\"term\":", v->term);
    string_of(w, ",\"line\":", line);
}

static void node_of(struct writing *w, const struct verdict *v, unsigned i,
                    const struct verdict_node *node, const struct doc_node *said)
{
    const bool busy = said->answered && node->failure == RIDD_BUSY;

    string_of(w, i > 0 ? ",{\"node\":" : "{\"node\":", node->name);
    words(w, ",\"endpoint\":");
    if (node->endpoint[0] != '\0')
        string(w, node->endpoint);
    else
        words(w, "\"\"");
    bool_of(w, ",\"up\":", said->status.json != NULL || busy);
    string_of(w, ",\"member\":", verdict_place_name(v->places[i]));
    if (said->status.json != NULL) {
        text_of(w, ",\"status\":", &said->status);
    } else {
        string_of(w, ",\"error\":", said->answered ? ridd_status_name(node->failure) : "no_answer");
        string_of(w, ",\"text\":", node->text);
    }
    if (said->has_more) {
        text_of(w, ",\"slow\":", &said->slow);
        text_of(w, ",\"events\":", &said->events);
    }
    words(w, "}");
}

int verdict_doc(const struct verdict *v, const struct verdict_node *nodes,
                const struct doc_node *said, unsigned n, struct buf *out)
{
    struct writing w = {.out = out};

    judged(&w, v);
    words(&w, ",\"nodes\":[");
    for (unsigned i = 0; i < n; i++)
        node_of(&w, v, i, &nodes[i], &said[i]);
    words(&w, "]}");
    return w.failed ? -ENOMEM : 0;
}
