/* events: what all nodes have told lately, as one story by time. Each node numbers its events from
 * 1 and says since when it counts: so with -f none is missed in silence, and none is told twice,
 * over restarts and gaps as well. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/rows_int.h"
#include "ctl/screen_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

/* One node's events, and how far they are known. */
struct feed {
    struct ctl_node node;
    char began[24];   /* the process that counts; "": it never answered */
    uint64_t after;   /* the highest number that was seen of it */
    bool is_silent;   /* that was said */
    bool is_ignorant; /* an older version, which was said, and is not asked again */
    bool is_new;      /* another process than before: all of its events are news */
    bool has_more;    /* it gave as many as it may at once */
};

struct one {
    const struct feed *of;
    json_t *reply; /* counted: it holds the event */
    const json_t *event;
};

struct story {
    struct feed feeds[RIDD_ENDPOINTS_MAX];
    unsigned n_feeds;
    unsigned n_answered; /* ever */
    struct one *list;    /* owned; not told yet */
    size_t n;
    size_t room;
    char day[16]; /* of the line before */
    bool has_doc;
    struct doc doc; /* the one document of --json without -f */
};

static const char *const levels[] = {"error", "warning", "info"};

static unsigned weight_of(const char *level)
{
    for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (strcmp(level, levels[i]) == 0)
            return i;
    return 0; /* a level of later days is worth seeing */
}

/* ---- telling ---- */

static void printf_clean(const char *text)
{
    char clean[1024];

    (void)snprintf(clean, sizeof(clean), "%s", text);
    report_clean(clean);
    (void)fputs(clean, stdout);
}

static void json_event(struct doc *d, const struct one *one)
{
    doc_open(d, NULL, '{');
    doc_str(d, "node", one->of->node.name);
    doc_u64(d, "seq", (uint64_t)json_integer_value(json_object_get(one->event, "seq")));
    doc_str(d, "ts", rows_str(one->event, "ts", ""));
    doc_str(d, "level", rows_str(one->event, "level", ""));
    doc_str(d, "event", rows_str(one->event, "event", ""));
    doc_u64(d, "term", (uint64_t)json_integer_value(json_object_get(one->event, "term")));
    doc_str(d, "role", rows_str(one->event, "role", ""));
    doc_str(d, "text", rows_str(one->event, "text", ""));
    doc_close(d, '}');
}

static int tell(const struct ctl *ctl, struct story *s, const struct one *one)
{
    const char *ts = rows_str(one->event, "ts", "");
    char line[256];

    if (s->has_doc) {
        json_event(&s->doc, one);
        return CTL_EXIT_OK;
    }
    if (ctl->json) {
        struct doc d = DOC_INIT;

        json_event(&d, one);
        return doc_print(&d, ctl);
    }
    if (strlen(ts) > 11 && strncmp(s->day, ts, 10) != 0) {
        (void)snprintf(s->day, sizeof(s->day), "%.10s", ts);
        (void)snprintf(line, sizeof(line), "-- %s (UTC)", s->day);
        printf_clean(line);
        (void)putchar('\n');
    }
    (void)snprintf(line, sizeof(line), "%.12s  %-4s  %-7s  %s", strlen(ts) > 11 ? ts + 11 : ts,
                   one->of->node.name, rows_str(one->event, "level", "-"),
                   rows_str(one->event, "event", "-"));
    printf_clean(line);
    if (ctl->verbose) {
        (void)snprintf(line, sizeof(line), "  term=%lld role=%s",
                       (long long)json_integer_value(json_object_get(one->event, "term")),
                       rows_str(one->event, "role", "-"));
        printf_clean(line);
    }
    (void)fputs(rows_str(one->event, "text", "")[0] != '\0' ? "  " : "", stdout);
    printf_clean(rows_str(one->event, "text", ""));
    (void)putchar('\n');
    return CTL_EXIT_OK;
}

/* What no event says: word for a program, text for people. */
static void note(const struct ctl *ctl, const struct feed *f, const char *word, const char *text)
{
    char line[512];

    if (ctl->json && ctl->follow) {
        struct doc d = DOC_INIT;

        doc_open(&d, NULL, '{');
        doc_str(&d, "node", f->node.name);
        doc_str(&d, "endpoint", f->node.endpoint);
        doc_str(&d, "note", word);
        doc_str(&d, "text", text);
        doc_close(&d, '}');
        (void)doc_print(&d, ctl);
        return;
    }
    (void)snprintf(line, sizeof(line), "-- %s %s",
                   f->node.name[0] != '\0' ? f->node.name : f->node.endpoint, text);
    report_clean(line);
    (void)fflush(stdout);
    (void)fprintf(ctl->follow ? stdout : stderr, "%s\n", line);
}

/* ---- asking ---- */

/* False: no memory. */
static bool take_event(struct story *s, const struct feed *f, json_t *reply, const json_t *event)
{
    if (s->n == s->room) {
        const size_t room = s->room > 0 ? 2 * s->room : CTL_EVENTS_AT_ONCE;
        struct one *list = realloc(s->list, room * sizeof(*list));

        if (list == NULL)
            return false;
        s->list = list;
        s->room = room;
    }
    s->list[s->n++] = (struct one){.of = f, .reply = json_incref(reply), .event = event};
    return true;
}

/* None is told twice, and what is kept no longer is said (TELL-2). */
static void take_reply(const struct ctl *ctl, struct story *s, struct feed *f, json_t *reply)
{
    const json_t *list = json_object_get(reply, "events");
    const uint64_t missed = (uint64_t)json_integer_value(json_object_get(reply, "missed"));
    const size_t n = json_array_size(list);
    char text[128];

    if ((f->after > 0 || f->is_new) && missed > 0) {
        (void)snprintf(text, sizeof(text),
                       "has told %llu events more, which it keeps no longer: see its log",
                       (unsigned long long)missed);
        note(ctl, f, "lost", text);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *event = json_array_get(list, i);
        const uint64_t seq = (uint64_t)json_integer_value(json_object_get(event, "seq"));

        if (seq <= f->after)
            continue;
        if (weight_of(rows_str(event, "level", "")) <= weight_of(ctl->level) &&
            !take_event(s, f, reply, event))
            break; /* it is asked for again */
        f->after = seq;
    }
    f->is_new = false;
    f->has_more = n >= CTL_EVENTS_AT_ONCE;
}

static void take_failure(const struct ctl *ctl, struct story *s, struct feed *f,
                         const struct ridd_reply *r)
{
    char text[RIDD_TEXT_SIZE + 64];

    if (r != NULL && (r->status == RIDD_NOT_SUPPORTED || r->status == RIDD_MALFORMED)) {
        (void)snprintf(text, sizeof(text),
                       "is of a version that keeps no events: 'journalctl -u ridd@%s' there",
                       f->node.name[0] != '\0' ? f->node.name : "NAME");
        note(ctl, f, "not_supported", text);
        f->is_ignorant = true;
        s->n_answered++;
        return;
    }
    if (!f->is_silent) {
        (void)snprintf(text, sizeof(text), "does not answer: %s",
                       r != NULL ? r->text : "its address could not be looked up in time");
        note(ctl, f, "silent", text);
    }
    f->is_silent = true;
}

/* True: it is to be asked again at once: another process counts there. */
static bool take_answer(const struct ctl *ctl, struct story *s, struct feed *f,
                        const struct ridd_reply *r)
{
    cleanup_json json_t *reply = NULL;
    const char *began;

    f->has_more = false;
    if (r != NULL && r->status == RIDD_OK)
        reply = json_loadb(r->json, r->json_len, 0, NULL);
    if (reply == NULL) {
        take_failure(ctl, s, f, r);
        return false;
    }
    began = rows_str(reply, "began", "?");
    s->n_answered += f->began[0] == '\0';
    (void)snprintf(f->node.name, sizeof(f->node.name), "%s", rows_str(reply, "node", f->node.name));
    if (f->began[0] != '\0' && strcmp(f->began, began) != 0) {
        note(ctl, f, "restarted", "has been started anew");
        (void)snprintf(f->began, sizeof(f->began), "%s", began);
        f->after = 0;
        f->is_new = true;
        f->is_silent = false;
        return true;
    }
    if (f->is_silent)
        note(ctl, f, "back", "answers again");
    f->is_silent = false;
    (void)snprintf(f->began, sizeof(f->began), "%s", began);
    take_reply(ctl, s, f, reply);
    return false;
}

/* All that there is of those that are to be asked. An exit code. */
static int ask_feeds(const struct ctl *ctl, struct story *s)
{
    bool pending[RIDD_ENDPOINTS_MAX] = {false};
    bool any = s->n_feeds > 0;

    for (unsigned i = 0; i < s->n_feeds; i++)
        pending[i] = !s->feeds[i].is_ignorant;
    while (any && !screen_is_ended()) {
        struct answer answers[RIDD_ENDPOINTS_MAX];
        struct ctl_node nodes[RIDD_ENDPOINTS_MAX];
        const char *jsons[RIDD_ENDPOINTS_MAX];
        char texts[RIDD_ENDPOINTS_MAX][96];
        struct feed *asked[RIDD_ENDPOINTS_MAX];
        unsigned n = 0;
        int exit_code;

        for (unsigned i = 0; i < s->n_feeds; i++) {
            if (!pending[i])
                continue;
            asked[n] = &s->feeds[i];
            nodes[n] = s->feeds[i].node;
            (void)snprintf(texts[n], sizeof(texts[n]),
                           "{\"type\":\"events\",\"after\":%llu,\"limit\":%u}",
                           (unsigned long long)s->feeds[i].after, CTL_EVENTS_AT_ONCE);
            jsons[n] = texts[n];
            n++;
        }
        if (n == 0)
            return CTL_EXIT_OK;
        exit_code = ask_each(ctl, nodes, n, jsons,
                             ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_ASK_MS, answers);
        if (exit_code != CTL_EXIT_OK)
            return exit_code;
        any = false;
        for (unsigned i = 0; i < n; i++) {
            const uint64_t before = asked[i]->after;
            const bool again = take_answer(ctl, s, asked[i], answers[i].reply);

            /* The first time the newest are wanted, and the node has given those. */
            pending[asked[i] - s->feeds] = again || (before > 0 && asked[i]->has_more);
            any = any || pending[asked[i] - s->feeds];
        }
        ask_done(answers, n);
    }
    return CTL_EXIT_OK;
}

static int compare(const void *a, const void *b)
{
    const struct one *x = a;
    const struct one *y = b;
    int r = strcmp(rows_str(x->event, "ts", ""), rows_str(y->event, "ts", ""));

    if (r == 0)
        r = strcmp(x->of->node.name, y->of->node.name);
    if (r == 0)
        r = json_integer_value(json_object_get(x->event, "seq")) <
                    json_integer_value(json_object_get(y->event, "seq"))
                ? -1
                : 1;
    return r;
}

/* The last `most` of what has come, in the order of time; 0: all. */
static int tell_all(const struct ctl *ctl, struct story *s, size_t most)
{
    int exit_code = CTL_EXIT_OK;

    if (s->n > 0)
        qsort(s->list, s->n, sizeof(s->list[0]), compare);
    for (size_t i = 0; i < s->n; i++) {
        if (exit_code == CTL_EXIT_OK && (most == 0 || i + most >= s->n))
            exit_code = tell(ctl, s, &s->list[i]);
        json_decref(s->list[i].reply);
    }
    s->n = 0;
    (void)fflush(stdout);
    return exit_code;
}

/* ---- who is asked ---- */

static bool is_wanted(const struct ctl *ctl, const struct ctl_node *node)
{
    return ctl->n_args == 0 || strcmp(node->name, ctl->args[0]) == 0 ||
           strcmp(cluster_address(node->endpoint), cluster_address(ctl->args[0])) == 0;
}

static bool is_known(const struct story *s, const struct ctl_node *node)
{
    for (unsigned i = 0; i < s->n_feeds; i++)
        if (strcmp(cluster_address(s->feeds[i].node.endpoint), cluster_address(node->endpoint)) ==
            0)
            return true;
    return false;
}

/* Those that were named, and the members that they know, now. */
static int find_feeds(const struct ctl *ctl, struct story *s)
{
    cleanup_free struct rows *rows = calloc(1, sizeof(*rows));
    int exit_code;

    if (rows == NULL)
        return report_no_memory(ctl);
    exit_code = rows_ask(ctl, rows);
    for (unsigned i = 0; exit_code == CTL_EXIT_OK && i < rows->n; i++) {
        const struct ctl_node *node = &rows->list[i].node;

        if (is_wanted(ctl, node) && !is_known(s, node) && s->n_feeds < RIDD_ENDPOINTS_MAX)
            s->feeds[s->n_feeds++] = (struct feed){.node = *node};
    }
    rows_done(rows);
    if (exit_code == CTL_EXIT_OK && s->n_feeds == 0)
        return report(ctl, CTL_EXIT_USAGE,
                      "no node is called '%.60s'; 'ridctl members' shows their names",
                      ctl->args[0]);
    return exit_code;
}

static int follow(const struct ctl *ctl, struct story *s)
{
    int exit_code = CTL_EXIT_OK;

    for (unsigned looks = 1;
         exit_code == CTL_EXIT_OK && !ferror(stdout) &&
         screen_wait(ctl->interval_ms != 0 ? ctl->interval_ms : CTL_LOOK_EVERY_MS);
         looks++) {
        if (looks % CTL_MEMBERS_EVERY == 0)
            exit_code = find_feeds(ctl, s);
        if (exit_code == CTL_EXIT_OK)
            exit_code = ask_feeds(ctl, s);
        if (exit_code == CTL_EXIT_OK)
            exit_code = tell_all(ctl, s, 0);
    }
    return exit_code;
}

/* How many at first: all that are kept, or as many as a terminal shows. */
static size_t first_count(const struct ctl *ctl)
{
    if (ctl->count != 0)
        return ctl->count;
    return ctl->all || ctl->json ? 0 : CTL_EVENTS_SHOWN;
}

/* Whose events they are, and who has said nothing. */
static void json_nodes(struct doc *d, const struct story *s)
{
    doc_open(d, "nodes", '[');
    for (unsigned i = 0; i < s->n_feeds; i++) {
        doc_open(d, NULL, '{');
        doc_str(d, "node", s->feeds[i].node.name);
        doc_str(d, "endpoint", s->feeds[i].node.endpoint);
        doc_bool(d, "answered", s->feeds[i].began[0] != '\0');
        doc_close(d, '}');
    }
    doc_close(d, ']');
}

static int run(const struct ctl *ctl, struct story *s)
{
    struct doc *d = &s->doc;
    int exit_code = find_feeds(ctl, s);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (ctl->json && !ctl->follow) {
        s->has_doc = true;
        doc_open(d, NULL, '{');
        doc_open(d, "events", '[');
    }
    exit_code = ask_feeds(ctl, s);
    if (exit_code == CTL_EXIT_OK)
        exit_code = tell_all(ctl, s, first_count(ctl));
    if (s->has_doc && exit_code == CTL_EXIT_OK) {
        doc_close(d, ']');
        json_nodes(d, s);
        doc_close(d, '}');
        exit_code = doc_print(d, ctl);
    }
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (ctl->follow)
        return follow(ctl, s);
    if (s->n_answered > 0)
        return CTL_EXIT_OK;
    return report(ctl, CTL_EXIT_NOBODY,
                  "none of %u nodes answered; is ridd running there? try 'ridctl status'",
                  s->n_feeds);
}

int verb_events(struct ctl *ctl)
{
    cleanup_free struct story *s = NULL;
    int exit_code = CTL_EXIT_OK;

    if (ctl->level == NULL)
        ctl->level = "info";
    else
        exit_code = ctl_check_word(ctl, "--level", "LEVEL", ctl->level);
    if (exit_code == CTL_EXIT_OK)
        exit_code = cluster_find(ctl);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return report_no_memory(ctl);
    if (ctl->follow)
        screen_begin(false);
    exit_code = run(ctl, s);
    screen_end();
    free(s->list);
    return exit_code;
}
