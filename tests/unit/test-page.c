/* The status page, rendered from saved documents: whole, small, nothing of a document becomes
 * markup, and the sentence on top is that of `ridctl status`. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "page/page.h"
#include "verdict/verdict.h"

#define NOW_US INT64_C(1796056200000000) /* when the documents were saved */

static const char *const documents[] = {"healthy", "one-down", "no-quorum", "split", "five", "old"};
#define N_DOCUMENTS (sizeof(documents) / sizeof(documents[0]))

static json_t *load(const char *name)
{
    const char *srcdir = getenv("srcdir");
    char path[512];
    json_error_t error;
    json_t *doc;

    (void)snprintf(path, sizeof(path), "%s/tests/unit/page/%s.json", srcdir != NULL ? srcdir : ".",
                   name);
    doc = json_load_file(path, 0, &error);
    if (doc == NULL)
        fail_msg("%s: %s", path, error.text);
    return doc;
}

/* NUL-terminated; to be freed. */
static char *render(const json_t *doc, bool still)
{
    const struct page_view view = {.self = "n1", .now_us = NOW_US, .still = still};
    struct buf out = BUF_INIT;

    assert_int_equal(page_render(doc, &view, &out), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    return (char *)out.data;
}

static unsigned count(const char *page, const char *what)
{
    unsigned n = 0;

    for (const char *s = strstr(page, what); s != NULL; s = strstr(s + 1, what))
        n++;
    return n;
}

/* ---- is it whole? ---- */

static const char *const elements[] = {
    "a",       "article", "b",        "bdi",    "body",       "button", "code",   "div",
    "dd",      "dl",      "dt",       "em",     "figcaption", "figure", "footer", "h1",
    "h2",      "h3",      "head",     "header", "html",       "i",      "li",     "link",
    "main",    "meta",    "noscript", "ol",     "p",          "path",   "rect",   "script",
    "section", "span",    "strong",   "style",  "svg",        "table",  "tbody",  "td",
    "th",      "thead",   "time",     "title",  "tr",         "ul"};

static bool is_element(const char *name)
{
    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++)
        if (strcmp(elements[i], name) == 0)
            return true;
    return false;
}

static size_t read_name(const char *s, char *ret, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && (isalnum((unsigned char)s[n]) || s[n] == '-' || s[n] == '_'))
        n++;
    memcpy(ret, s, n);
    ret[n] = '\0';
    return n;
}

static void check_attribute(const char *name, const char *value, size_t len)
{
    if (strncmp(name, "on", 2) == 0 || strcmp(name, "style") == 0 || strcmp(name, "src") == 0 ||
        strcmp(name, "action") == 0)
        fail_msg("attribute %s", name);
    if (strcmp(name, "href") == 0 && value[0] != '/' && value[0] != '#' &&
        strncmp(value, "data:,\"", 7) != 0)
        fail_msg("href %.*s", (int)len, value);
    if (strcmp(name, "href") == 0 && value[0] == '/' && value[1] == '/')
        fail_msg("href %.*s", (int)len, value);
    if (memchr(value, '<', len) != NULL)
        fail_msg("'<' in the value of %s", name);
}

/* Attributes up to the end of the tag; true: it closes itself. */
static bool check_attributes(const char **s)
{
    char name[32];

    for (;;) {
        const char *end;

        *s += strspn(*s, " \n");
        if (strncmp(*s, "/>", 2) == 0) {
            *s += 2;
            return true;
        }
        if (**s == '>') {
            *s += 1;
            return false;
        }
        *s += read_name(*s, name, sizeof(name));
        if (name[0] == '\0' || strncmp(*s, "=\"", 2) != 0)
            fail_msg("an attribute without a quoted value at '%.40s'", *s);
        *s += 2;
        end = strchr(*s, '"');
        assert_non_null(end);
        check_attribute(name, *s, (size_t)(end - *s));
        *s = end + 1;
    }
}

static void check_reference(const char *s)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&#160;"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strncmp(s, known[i], strlen(known[i])) == 0)
            return;
    fail_msg("a bare ampersand at '%.40s'", s);
}

static void check_whole(const char *page)
{
    static char open[64][32];
    unsigned depth = 0;
    const char *s = page;

    assert_true(strncmp(s, "<!DOCTYPE html>\n", 16) == 0);
    s += 16;
    while (*s != '\0') {
        char name[32];

        if (*s == '&')
            check_reference(s);
        if ((unsigned char)*s < 0x20 && *s != '\n')
            fail_msg("a control character at '%.40s'", s);
        if (*s == '>')
            fail_msg("a bare '>' at '%.40s'", s);
        if (*s != '<') {
            s++;
            continue;
        }
        if (s[1] == '/') {
            s += 2;
            s += read_name(s, name, sizeof(name));
            if (depth == 0 || strcmp(open[depth - 1], name) != 0 || *s != '>')
                fail_msg("</%s> closes <%s>", name, depth > 0 ? open[depth - 1] : "nothing");
            depth--;
            s++;
            continue;
        }
        s += 1 + read_name(s + 1, name, sizeof(name));
        if (!is_element(name))
            fail_msg("<%s> is no element of the page", name);
        if (check_attributes(&s))
            continue;
        assert_true(depth < 64);
        (void)snprintf(open[depth++], sizeof(open[0]), "%s", name);
        if (strcmp(name, "script") == 0 || strcmp(name, "style") == 0) {
            const char *end = strchr(s, '<');

            assert_non_null(end);
            assert_null(memchr(s, '&', (size_t)(end - s)));
            s = end;
        }
    }
    if (depth != 0)
        fail_msg("<%s> is not closed", open[depth - 1]);
}

/* Each name is given once, and whatever is pointed at is there. */
static void check_names(const char *page)
{
    for (const char *s = strstr(page, " id=\""); s != NULL; s = strstr(s + 1, " id=\"")) {
        char id[80];

        (void)snprintf(id, sizeof(id), "%.*s", (int)(strchr(s + 5, '"') + 1 - s), s);
        if (count(page, id) != 1)
            fail_msg("%s stands there %u times", id, count(page, id));
    }
    for (const char *s = strstr(page, "aria-labelledby=\""); s != NULL;
         s = strstr(s + 1, "aria-labelledby=\"")) {
        char id[80];

        (void)snprintf(id, sizeof(id), " id=\"%.*s", (int)(strchr(s + 17, '"') + 1 - (s + 17)),
                       s + 17);
        if (count(page, id) != 1)
            fail_msg("%s is pointed at, and stands there %u times", id, count(page, id));
    }
}

static void check_landmarks(const char *page)
{
    static const char *const once[] = {
        "<main id=\"main\"",  "<header>",          "<footer>",
        "<h1 id=\"verdict\"", "id=\"h-nodes\"",    "id=\"h-leaders\"",
        "id=\"h-falls\"",     "id=\"h-methods\"",  "id=\"h-disks\"",
        "id=\"h-agreement\"", "id=\"h-events\"",   "id=\"h-slow\"",
        "href=\"#main\"",     "id=\"refresh\"",    "id=\"pause\"",
        "<html lang=\"en\">", "name=\"viewport\"", "<title>",
        "id=\"agreement\""};

    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
        if (count(page, once[i]) != 1)
            fail_msg("%s stands there %u times", once[i], count(page, once[i]));
}

static void check_all(const char *page)
{
    check_whole(page);
    check_names(page);
    check_landmarks(page);
    assert_int_equal(count(page, "http:"), 0);
    assert_int_equal(count(page, "https:"), 0);
    assert_int_equal(count(page, "url("), 0);
    assert_int_equal(count(page, "@import"), 0);
}

/* ---- the sentence ---- */

static void judge(const json_t *doc, char *ret_line, size_t size)
{
    const json_t *list = json_object_get(doc, "nodes");
    static struct verdict_node nodes[RIDD_ENDPOINTS_MAX];
    static struct verdict v;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *n = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(n, "node"));

        nodes[i] =
            (struct verdict_node){.name = name != NULL ? name : "",
                                  .endpoint = json_string_value(json_object_get(n, "endpoint")),
                                  .status = json_object_get(n, "status"),
                                  .failure = RIDD_UNREACHABLE,
                                  .text = "gone"};
    }
    verdict_judge(nodes, (unsigned)json_array_size(list), NULL, &v);
    verdict_line(&v, ret_line, size);
}

/* What stands between two places, without elements. */
static void text_between(const char *page, const char *from, const char *to, char *ret, size_t size)
{
    const char *s = strstr(page, from);
    const char *end = s != NULL ? strstr(s, to) : NULL;
    bool inside = false;
    size_t n = 0;

    assert_non_null(end);
    for (s = strchr(s, '>') + 1; s < end && n + 1 < size; s++) {
        inside = inside || *s == '<';
        if (!inside)
            ret[n++] = *s;
        inside = inside && *s != '>';
    }
    ret[n] = '\0';
}

static void page__says_on_top_what_ridctl_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_DOCUMENTS; i++) {
        json_t *doc = load(documents[i]);
        char *page = render(doc, false);
        char want[VERDICT_TEXT_BYTES + 1];
        char have[1024];

        judge(doc, want, sizeof(want));
        text_between(page, "<h1 id=\"verdict\"", "</h1>", have, sizeof(have));
        assert_string_equal(have, want);
        free(page);
        json_decref(doc);
    }
}

static void page__is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_DOCUMENTS; i++) {
        json_t *doc = load(documents[i]);
        char *page = render(doc, i % 2 == 0);

        check_all(page);
        assert_int_equal(count(page, "<article "), json_array_size(json_object_get(doc, "nodes")));
        assert_int_equal(count(page, "http-equiv=\"refresh\""), i % 2 == 0 ? 0 : 1);
        assert_true(strlen(page) < WEB_BYTES_FIVE);
        free(page);
        json_decref(doc);
    }
}

/* ---- what each cluster looks like ---- */

static void expect(const char *document, const char *const *texts)
{
    json_t *doc = load(document);
    char *page = render(doc, false);

    for (; *texts != NULL; texts++)
        if (strstr(page, *texts) == NULL)
            fail_msg("%s: the page lacks '%s'", document, *texts);
    free(page);
    json_decref(doc);
}

static void page__shows_what_is_there(void **state)
{
    (void)state;
    expect("healthy", (const char *const[]){
                          "66.6&#160;GiB free, ", "class=\"verdict v-ok\"",
                          "<title>OK \xc2\xb7 local", "1 more node may fail",
                          "n1</bdi></b> in term 3 since ", "after 670&#160;ms without a leader",
                          "<b><bdi>n3</bdi></b> in term 2 for 2&#160;min 19&#160;s",
                          "<code>read_index</code> <b>120&#160;\xc2\xb5s</b> on <bdi>n1</bdi>",
                          "<bdi>n2</bdi> acknowledged", "round sent", "stored here", "leader asked",
                          "lease held", "184,322", "A round is 4 messages",
                          "The 3 states that were told are the same", "n2&#39;s disk: fsync 310 ms",
                          "<code>fsync_slow</code> <em>warning</em>", NULL});
    expect("one-down",
           (const char *const[]){"class=\"verdict v-degraded\"", "No more node may fail",
                                 "<span class=\"role down\">silent</span>",
                                 "<ul class=\"wrong\"><li>unreachable: cannot connect",
                                 "Not told by <bdi>n3</bdi>: no answer", "no answer</td>", NULL});
    expect("no-quorum", (const char *const[]){"class=\"verdict v-no_quorum\"",
                                              "No linearizable read and no write is answered",
                                              "nobody since <time", NULL});
    expect("split",
           (const char *const[]){"class=\"verdict v-split\"", "Waiting mends nothing", NULL});
    expect("five", (const char *const[]){"2 more nodes may fail", "A round is 8 messages", NULL});
    expect("old",
           (const char *const[]){"Not told by <bdi>n1</bdi>, <bdi>n2</bdi>, <bdi>n3</bdi>: no",
                                 "No node tells of a change of the leader",
                                 "No node tells of an operation yet", NULL});
}

/* ---- documents that mean harm ---- */

#define HARM                                                                                       \
    "'\"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;&copy;\x01\t\n\xe2\x80\xae"     \
    "\xe2\x81\xa6\xc2\x9b</style></title><!-- http://x.example/ ${x} {{x}} %s%n javascript:x"

/* All strings but those that say what an object is about: these lead to the places where the
 * others are shown. */
static json_t *harmed(const json_t *o, bool all, const char *harm)
{
    static const char *const keep[] = {"verdict", "event", "op", "what", "ts", "type", "role"};
    json_t *copy;
    const char *key;
    json_t *v;

    if (json_is_array(o)) {
        copy = json_array();
        for (size_t i = 0; i < json_array_size(o); i++)
            (void)json_array_append_new(copy, harmed(json_array_get(o, i), all, harm));
        return copy;
    }
    if (!json_is_object(o))
        return json_is_string(o) ? json_string(harm) : json_deep_copy(o);
    copy = json_object();
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        bool kept = false;

        for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]) && !all; i++)
            kept = kept || (strcmp(key, keep[i]) == 0 && json_is_string(v));
        (void)json_object_set_new(copy, key, kept ? json_deep_copy(v) : harmed(v, all, harm));
    }
    return copy;
}

/* PAGE-1: nothing of it is markup, hides or turns the text around it. */
static void page__takes_text_as_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * N_DOCUMENTS; i++) {
        json_t *doc = load(documents[i / 2]);
        json_t *bad = harmed(doc, i % 2 == 1, HARM);
        const struct page_view view = {.self = HARM, .now_us = NOW_US};
        struct buf out = BUF_INIT;
        char *page;

        assert_int_equal(page_render(bad, &view, &out), 0);
        assert_int_equal(buf_add(&out, "", 1), 0);
        page = (char *)out.data;
        check_whole(page);
        check_names(page);
        check_landmarks(page);
        assert_int_equal(count(page, "<script"), 1);
        assert_int_equal(count(page, "<img"), 0);
        assert_int_equal(count(page, "\xe2\x80\xae"), 0);
        assert_int_equal(count(page, "\xe2\x81\xa6"), 0);
        assert_int_equal(count(page, "\xc2\x9b"), 0);
        assert_true(count(page, "&lt;script&gt;") > 0);
        free(page);
        json_decref(bad);
        json_decref(doc);
    }
}

/* Every value once of each type that it should not have. */
static json_t *twisted(const json_t *o, unsigned *seed)
{
    json_t *copy;
    const char *key;
    json_t *v;

    *seed = *seed * 1103515245u + 12345u;
    switch (*seed >> 16 & 63) {
    case 0:
        return json_null();
    case 1:
        return json_integer(-1);
    case 2:
        return json_integer(INT64_MAX);
    case 3:
        return json_integer(INT64_MIN);
    case 4:
        return json_string("");
    case 5:
        return json_array();
    case 6:
        return json_object();
    case 7:
        return json_real(1e300);
    default:
        break;
    }
    if (json_is_array(o)) {
        copy = json_array();
        for (size_t i = 0; i < json_array_size(o); i++)
            (void)json_array_append_new(copy, twisted(json_array_get(o, i), seed));
        return copy;
    }
    if (!json_is_object(o))
        return json_deep_copy(o);
    copy = json_object();
    json_object_foreach((json_t *)(uintptr_t)o, key, v)(void)
        json_object_set_new(copy, key, twisted(v, seed));
    return copy;
}

static void page__takes_any_document(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        json_t *doc = load(documents[i % N_DOCUMENTS]);
        unsigned seed = i + 1;
        json_t *bad = twisted(doc, &seed);
        char *page = render(bad, false);

        check_whole(page);
        check_names(page);
        free(page);
        json_decref(bad);
        json_decref(doc);
    }
}

static void page__takes_none(void **state)
{
    char *page = render(NULL, false);

    (void)state;
    check_all(page);
    free(page);
}

/* ---- size ---- */

/* Of the longest texts, each another one. */
static void repeat(json_t *list, size_t n, const char *field)
{
    const size_t have = json_array_size(list);
    static unsigned number;

    for (size_t i = have; i < n && have > 0; i++)
        (void)json_array_append_new(list, json_deep_copy(json_array_get(list, i % have)));
    for (size_t i = 0; i < n && have > 0; i++) {
        char text[300];

        (void)snprintf(text, sizeof(text), "number=%u why='%0*d'", number++, 250, 0);
        (void)json_object_set_new(json_array_get(list, i), field, json_string(text));
    }
}

/* As much as nodes keep, and with the longest texts. */
static void fill(json_t *doc)
{
    static const char *const ops[] = {"read_index",   "batch",        "follower_read",
                                      "lease_read",   "bounded_read", "local_read",
                                      "read_via_log", "scan",         "write"};
    json_t *nodes = json_object_get(doc, "nodes");

    for (size_t i = 0; i < json_array_size(nodes); i++) {
        json_t *n = json_array_get(nodes, i);
        json_t *slow = json_object_get(n, "slow");
        json_t *last = json_array();
        const json_t *leader = json_array_get(nodes, 3);
        json_t *steps = json_object_get(
            json_array_get(json_object_get(json_object_get(leader, "slow"), "last"), 0), "steps");

        for (size_t k = 0; k < sizeof(ops) / sizeof(ops[0]); k++)
            (void)json_array_append_new(last, json_pack("{s:s,s:s,s:i,s:O}", "op", ops[k], "ts",
                                                        "2026-11-30T16:29:50.123456Z", "total_us",
                                                        12345, "steps", steps));
        (void)json_object_set_new(slow, "last", last);
        (void)json_object_set_new(
            slow, "slow", json_deep_copy(json_object_get(json_object_get(leader, "slow"), "slow")));
        repeat(json_object_get(slow, "slow"), 64, "why");
        repeat(json_object_get(json_object_get(n, "events"), "events"), 256, "text");
    }
}

/* PAGE-2: five nodes that tell all that they keep. */
static void page__of_five_nodes_is_small(void **state)
{
    static const char *const harms[] = {NULL, "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"", HARM};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        json_t *doc = load("five");
        json_t *bad;
        char harm[2048] = "";
        char *page;

        fill(doc);
        for (size_t k = 0; i > 0 && k < 16; k++)
            (void)snprintf(harm + strlen(harm), sizeof(harm) - strlen(harm), "%s", harms[i]);
        bad = i > 0 ? harmed(doc, false, harm) : json_incref(doc);
        page = render(bad, false);
        check_whole(page);
        print_message("five nodes, document %zu: %zu bytes\n", i, strlen(page));
        assert_true(strlen(page) < WEB_BYTES_FIVE);
        free(page);
        json_decref(bad);
        json_decref(doc);
    }
}

static void page__allows_nothing_but_its_own(void **state)
{
    struct buf out = BUF_INIT;

    (void)state;
    assert_int_equal(page_policy(&out), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    assert_non_null(strstr((char *)out.data, "default-src 'none'; "));
    assert_int_equal(count((char *)out.data, "'sha256-"), 2);
    assert_null(strstr((char *)out.data, "unsafe"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page__says_on_top_what_ridctl_says),
        cmocka_unit_test(page__is_whole),
        cmocka_unit_test(page__shows_what_is_there),
        cmocka_unit_test(page__takes_text_as_text),
        cmocka_unit_test(page__takes_any_document),
        cmocka_unit_test(page__takes_none),
        cmocka_unit_test(page__of_five_nodes_is_small),
        cmocka_unit_test(page__allows_nothing_but_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
