/* One client of libridd for one gathering: its connections are there while somebody looks, and a
 * node that hangs costs the others nothing.
 *
 *   1. all that are known are asked for status, slow and events; this node for the members, too
 *   2. whoever leads is asked for the members, if it was not; who is new there is asked like the
 *      others, and who is silent where a file says that it is, where the leader says that it is
 *   3. what came is judged, written as one document, read again, and given to all who wait */
#include "page/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "client/ridd_async.h"
#include "client/ridd_event.h"
#include "verdict/doc.h"

#include "base/banned.h"

enum question { ASK_STATUS, ASK_SLOW, ASK_EVENTS, ASK_MEMBERS, N_QUESTIONS };

static const char *const questions[N_QUESTIONS] = {
    [ASK_STATUS] = "{\"type\":\"status\",\"verbose\":true}",
    [ASK_SLOW] = "{\"type\":\"slow\"}",
    [ASK_EVENTS] = "{\"type\":\"events\",\"limit\":" GATHER_EVENTS_TEXT "}",
    [ASK_MEMBERS] = "{\"type\":\"members\"}",
};

struct place {
    struct gather *g;
    enum question question;
    struct ridd_reply *reply; /* owned; NULL: not asked, or not answered yet */
};

struct asked {
    char name[NODE_NAME_BYTES_MAX + 1]; /* "": not known */
    char endpoint[RIDD_ENDPOINT_SIZE];
    struct place places[N_QUESTIONS];
    json_t *status; /* owned; NULL: it did not answer */
    bool asked_members;
};

struct waiter {
    gather_fn *fn;
    void *arg;
};

struct known {
    char name[NODE_NAME_BYTES_MAX + 1];
    char endpoint[RIDD_ENDPOINT_SIZE];
};

struct gather {
    struct event_base *base; /* borrowed */
    char cluster[NODE_NAME_BYTES_MAX + 1];
    struct known self;
    struct known nodes[RIDD_ENDPOINTS_MAX]; /* of the configuration */
    unsigned n_nodes;
    struct known learned[RIDD_ENDPOINTS_MAX]; /* members that are not in it, since the last time */
    unsigned n_learned;
    const struct ridd_tls *tls; /* borrowed; NULL: plain */

    struct ridd *client; /* owned; NULL: no gathering is under way */
    struct asked list[RIDD_ENDPOINTS_MAX];
    unsigned n;
    unsigned n_open; /* questions without an answer */
    unsigned n_rounds;
    bool failed;

    struct waiter waiters[GATHER_WAITERS_MAX];
    unsigned n_waiters;

    bool has_result;
    uint64_t began_us; /* the gathering of the result; monotonic */
    struct buf json;   /* of the result, behind it the NUL */
    json_t *doc;       /* owned */
    int64_t at_us;
};

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

static const char *str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "";
}

/* ---- asking ---- */

static void next_step(struct gather *g);

static void on_reply(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct place *place = arg;
    struct gather *g = place->g;

    (void)client;
    place->reply = reply;
    g->n_open--;
    if (g->n_open == 0 && g->client != NULL)
        next_step(g);
}

static void ask(struct gather *g, struct asked *a, enum question question)
{
    struct ridd_op op = ridd_op(RIDD_OP_REQUEST);

    a->places[question] = (struct place){.g = g, .question = question};
    op.node = a->endpoint;
    op.json = questions[question];
    op.kind = RIDD_KIND_READ;
    if (ridd_async_start(g->client, &op, on_reply, &a->places[question]) == 0)
        g->failed = true;
    else
        g->n_open++;
}

static struct asked *find(struct gather *g, const char *name, const char *endpoint)
{
    for (unsigned i = 0; i < g->n; i++)
        if ((name[0] != '\0' && strcmp(g->list[i].name, name) == 0) ||
            strcmp(g->list[i].endpoint, endpoint) == 0)
            return &g->list[i];
    return NULL;
}

/* One more node, asked for all; NULL: there is one of that name or address, or no room. */
static struct asked *add(struct gather *g, const char *name, const char *endpoint)
{
    struct asked *a = &g->list[g->n];

    if (g->n == RIDD_ENDPOINTS_MAX || find(g, name, endpoint) != NULL ||
        ridd_check_endpoints(endpoint, NULL, 0) != RIDD_OK)
        return NULL;
    g->n++;
    memset(a, 0, sizeof(*a));
    (void)snprintf(a->name, sizeof(a->name), "%s", name);
    (void)snprintf(a->endpoint, sizeof(a->endpoint), "%s", endpoint);
    ask(g, a, ASK_STATUS);
    ask(g, a, ASK_SLOW);
    ask(g, a, ASK_EVENTS);
    return a;
}

static void ask_members(struct gather *g, struct asked *a)
{
    a->asked_members = true;
    ask(g, a, ASK_MEMBERS);
}

/* ---- what came back ---- */

/* An answer of more than GATHER_ANSWER_BYTES_MAX, or that is none, is as good as none. */
static bool is_answer(const struct place *place)
{
    return place->reply != NULL && place->reply->status == RIDD_OK && place->reply->json != NULL &&
           place->reply->json_len <= GATHER_ANSWER_BYTES_MAX;
}

static void read_status(struct asked *a)
{
    const struct place *place = &a->places[ASK_STATUS];

    if (a->status != NULL || !is_answer(place))
        return;
    a->status = json_loadb(place->reply->json, place->reply->json_len, 0, NULL);
    if (str(a->status, "node")[0] != '\0')
        (void)snprintf(a->name, sizeof(a->name), "%s", str(a->status, "node"));
}

static bool leads(const struct asked *a)
{
    return strcmp(str(a->status, "role"), "leader") == 0;
}

/* Who knows best who belongs to the cluster; where nobody leads the first that answered, which is
 * this node. */
static struct asked *best(struct gather *g)
{
    struct asked *found = NULL;

    for (unsigned i = 0; i < g->n; i++) {
        struct asked *a = &g->list[i];

        if (a->status != NULL && (found == NULL || verdict_knows_better(a->status, found->status)))
            found = a;
    }
    return found;
}

static void forget_answers(struct asked *a)
{
    for (unsigned q = 0; q < N_QUESTIONS; q++) {
        ridd_reply_free(a->places[q].reply);
        a->places[q].reply = NULL;
    }
    json_decref(a->status);
    a->status = NULL;
}

/* It does not answer where a file says that it is, and the leader knows it elsewhere. */
static void move(struct gather *g, struct asked *a, const char *endpoint)
{
    const struct ridd_reply *reply = a->places[ASK_STATUS].reply;

    if (a->status != NULL || strcmp(a->endpoint, endpoint) == 0 ||
        (reply != NULL && reply->status == RIDD_BUSY) ||
        ridd_check_endpoints(endpoint, NULL, 0) != RIDD_OK)
        return;
    forget_answers(a);
    (void)snprintf(a->endpoint, sizeof(a->endpoint), "%s", endpoint);
    ask(g, a, ASK_STATUS);
    ask(g, a, ASK_SLOW);
    ask(g, a, ASK_EVENTS);
}

/* Names for those that have none, and who is not asked yet. */
static void take_members(struct gather *g, const struct asked *from)
{
    const bool leader_says = leads(from);
    const struct place *place = &from->places[ASK_MEMBERS];
    cleanup_json json_t *reply =
        is_answer(place) ? json_loadb(place->reply->json, place->reply->json_len, 0, NULL) : NULL;
    const json_t *members = json_object_get(reply, "members");

    if (json_is_array(members))
        g->n_learned = 0;
    for (size_t i = 0; i < json_array_size(members); i++) {
        const char *name = str(json_array_get(members, i), "id");
        const char *endpoint = str(json_array_get(members, i), "client_addr");
        struct asked *a = find(g, name, endpoint);

        if (a != NULL && a->name[0] == '\0')
            (void)snprintf(a->name, sizeof(a->name), "%s", name);
        if (a != NULL && leader_says)
            move(g, a, endpoint);
        if (a == NULL)
            (void)add(g, name, endpoint);
        if (g->n_learned < RIDD_ENDPOINTS_MAX && strlen(name) < sizeof(g->learned[0].name) &&
            strlen(endpoint) < sizeof(g->learned[0].endpoint)) {
            struct known *k = &g->learned[g->n_learned++];

            (void)snprintf(k->name, sizeof(k->name), "%s", name);
            (void)snprintf(k->endpoint, sizeof(k->endpoint), "%s", endpoint);
        }
    }
}

/* ---- the document ---- */

/* By name. */
static void put_in_order(struct gather *g, const struct asked **ret)
{
    for (unsigned i = 0; i < g->n; i++) {
        unsigned k = i;

        for (; k > 0 && strcmp(ret[k - 1]->name, g->list[i].name) > 0; k--)
            ret[k] = ret[k - 1];
        ret[k] = &g->list[i];
    }
}

static struct doc_text text_of(const struct asked *a, enum question q, size_t *room)
{
    const struct place *place = &a->places[q];

    if (!is_answer(place) || place->reply->json_len > *room)
        return (struct doc_text){NULL, 0};
    *room -= place->reply->json_len;
    return (struct doc_text){place->reply->json, place->reply->json_len};
}

static struct verdict_node judged(const struct asked *a)
{
    const struct ridd_reply *reply = a->places[ASK_STATUS].reply;
    const char *why = "no answer: its address could not be looked up in time";

    if (reply != NULL)
        why = reply->status == RIDD_OK ? "what it answered is no status" : reply->text;
    return (struct verdict_node){
        .name = a->name,
        .endpoint = a->endpoint,
        .status = a->status,
        .failure = reply != NULL && reply->status != RIDD_OK ? reply->status : RIDD_NO_ANSWER,
        .text = why};
}

static int write_doc(struct gather *g)
{
    cleanup_free struct verdict *v = calloc(1, sizeof(*v));
    struct verdict_node nodes[RIDD_ENDPOINTS_MAX];
    struct doc_node said[RIDD_ENDPOINTS_MAX];
    const struct asked *order[RIDD_ENDPOINTS_MAX];
    size_t room = GATHER_BYTES_MAX;
    int r;

    if (v == NULL)
        return err_origin(-ENOMEM);
    put_in_order(g, order);
    /* What the verdict needs has its room first. */
    for (unsigned i = 0; i < g->n; i++) {
        nodes[i] = judged(order[i]);
        said[i] = (struct doc_node){.answered = order[i]->places[ASK_STATUS].reply != NULL,
                                    .has_more = true};
        if (order[i]->status != NULL)
            said[i].status = text_of(order[i], ASK_STATUS, &room);
    }
    for (unsigned i = 0; i < g->n; i++) {
        said[i].slow = text_of(order[i], ASK_SLOW, &room);
        said[i].events = text_of(order[i], ASK_EVENTS, &room);
    }
    verdict_judge(nodes, g->n, g->cluster[0] != '\0' ? g->cluster : NULL, v);
    buf_reset(&g->json, GATHER_KEPT_BYTES);
    r = verdict_doc(v, nodes, said, g->n, &g->json);
    return r == 0 ? 0 : err_origin(r);
}

static int make_result(struct gather *g)
{
    int r = g->failed ? err_origin(-ENOMEM) : write_doc(g);

    json_decref(g->doc);
    g->doc = NULL;
    if (r == 0) {
        g->doc = json_loadb((const char *)g->json.data, g->json.len, 0, NULL);
        if (g->doc == NULL)
            r = err_origin(-ENOMEM);
    }
    g->at_us = (int64_t)clock_wall_us();
    g->has_result = r == 0;
    return r;
}

/* ---- the course of a gathering ---- */

static struct gather_result result_of(const struct gather *g, int error)
{
    return (struct gather_result){.error = error,
                                  .json = (const char *)g->json.data,
                                  .len = g->json.len,
                                  .doc = g->doc,
                                  .self = g->self.name,
                                  .at_us = g->at_us};
}

static void tell(struct gather *g, int error)
{
    const struct gather_result result = result_of(g, error);
    struct waiter waiters[GATHER_WAITERS_MAX];
    const unsigned n = g->n_waiters;

    /* Who is told may ask again. */
    memcpy(waiters, g->waiters, n * sizeof(waiters[0]));
    g->n_waiters = 0;
    for (unsigned i = 0; i < n; i++)
        waiters[i].fn(waiters[i].arg, &result);
}

/* The client may be closed from its own callback; what it then calls back finds none. */
static void end(struct gather *g)
{
    struct ridd *client = take_ptr(g->client);

    ridd_close(client);
}

static void drop_answers(struct gather *g)
{
    for (unsigned i = 0; i < g->n; i++)
        forget_answers(&g->list[i]);
    g->n = 0;
}

static void finish(struct gather *g)
{
    int r = make_result(g);

    drop_answers(g);
    end(g);
    tell(g, r);
}

static void next_step(struct gather *g)
{
    struct asked *from;

    for (unsigned i = 0; i < g->n; i++)
        read_status(&g->list[i]);
    from = best(g);
    g->n_rounds++;
    if (from != NULL && g->n_rounds < GATHER_ROUNDS_MAX && !g->failed) {
        if (!from->asked_members)
            ask_members(g, from);
        else
            take_members(g, from);
    }
    if (g->n_open == 0)
        finish(g);
}

static void ask_all(struct gather *g)
{
    struct asked *self = add(g, g->self.name, g->self.endpoint);

    if (self != NULL)
        ask_members(g, self);
    for (unsigned i = 0; i < g->n_nodes; i++)
        (void)add(g, g->nodes[i].name, g->nodes[i].endpoint);
    for (unsigned i = 0; i < g->n_learned; i++)
        (void)add(g, g->learned[i].name, g->learned[i].endpoint);
}

static int begin(struct gather *g)
{
    const struct ridd_options options = {.timeout_ms = GATHER_ASK_MS,
                                         .connect_timeout_ms = GATHER_ASK_MS};
    char why[RIDD_TEXT_SIZE];

    if (ridd_open(g->self.endpoint, &options, &g->client) != RIDD_OK)
        return err_origin(-ENOMEM);
    if (g->tls != NULL && ridd_set_tls(g->client, g->tls, why, sizeof(why)) != RIDD_OK) {
        end(g);
        return err_origin(err_say(-EKEYREJECTED, "%s", why));
    }
    if (ridd_event_join(g->client, g->base) == NULL) {
        end(g);
        return err_origin(-ENOMEM);
    }
    g->began_us = clock_mono_us();
    g->n_rounds = 0;
    g->failed = false;
    ask_all(g);
    if (g->n_open == 0) {
        end(g);
        return err_origin(-ENOMEM);
    }
    return 0;
}

int gather_ask(struct gather *g, gather_fn *fn, void *arg)
{
    int r;

    /* As often as once a second, however many look (PAGE-3). */
    if (g->client == NULL && g->has_result && clock_mono_us() - g->began_us < GATHER_EVERY_US) {
        const struct gather_result result = result_of(g, 0);

        fn(arg, &result);
        return 0;
    }
    if (g->n_waiters == GATHER_WAITERS_MAX)
        return -EAGAIN;
    r = g->client == NULL ? begin(g) : 0;
    if (r != 0)
        return err_trace(r);
    g->waiters[g->n_waiters++] = (struct waiter){fn, arg};
    return 0;
}

void gather_forget(struct gather *g, void *arg)
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->n_waiters; i++)
        if (g->waiters[i].arg != arg)
            g->waiters[n++] = g->waiters[i];
    g->n_waiters = n;
}

static void know(struct known *k, const struct gather_node *node)
{
    (void)snprintf(k->name, sizeof(k->name), "%s", node->name);
    (void)snprintf(k->endpoint, sizeof(k->endpoint), "%s", node->endpoint);
}

int gather_new(const struct gather_conf *conf, struct gather **ret)
{
    struct gather *g = calloc(1, sizeof(*g));

    if (g == NULL)
        return err_origin(-ENOMEM);
    g->base = conf->base;
    buf_init(&g->json);
    (void)snprintf(g->cluster, sizeof(g->cluster), "%s", conf->cluster);
    g->tls = conf->tls;
    know(&g->self, &conf->self);
    for (unsigned i = 0; i < conf->n_nodes && i < RIDD_ENDPOINTS_MAX; i++)
        know(&g->nodes[g->n_nodes++], &conf->nodes[i]);
    *ret = g;
    return 0;
}

void gather_free(struct gather *g)
{
    if (g == NULL)
        return;
    end(g);
    drop_answers(g);
    g->has_result = false;
    json_decref(g->doc);
    g->doc = NULL;
    tell(g, -ECANCELED);
    buf_done(&g->json);
    free(g);
}
