/* What all nodes say, gathered from scripted ones: all at once, once for however many look, and
 * whoever is silent, older or too long is left out and nothing else. The clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/limits.h"
#include "page/gather.h"
#include "unit/fake-server.h"

#define N_NODES 3

static uint64_t now_us = 5000000;

uint64_t clock_mono_us(void)
{
    return now_us;
}

uint64_t clock_wall_us(void)
{
    return 1796056200000000u;
}

/* ---- nodes ---- */

#define SLOW_OK                                                                                    \
    "{\"type\":\"slow_ok\",\"in_reply_to\":%ID,\"node\":\"n\",\"slow\":[],\"stages\":[],"          \
    "\"last\":[]}"
#define EVENTS_OK                                                                                  \
    "{\"type\":\"events_ok\",\"in_reply_to\":%ID,\"node\":\"n\",\"oldest\":1,\"next\":1,"          \
    "\"events\":[]}"
#define NOT_SUPPORTED                                                                              \
    "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":10,\"text\":\"no such request\","            \
    "\"error\":\"not_supported\",\"definite\":true}"

static struct node {
    struct fake_server *server;
    struct fake_step steps[5];
    char status[1024];
    char members[1024];
} nodes[N_NODES];

static const char *const names[N_NODES] = {"n1", "n2", "n3"};

static void status_of(unsigned i)
{
    char peers[512] = "";

    for (unsigned k = 0; k < N_NODES; k++)
        if (k != i)
            (void)snprintf(peers + strlen(peers), sizeof(peers) - strlen(peers),
                           "%s{\"id\":\"%s\",\"connected\":true,\"heard\":true,"
                           "\"match_index\":100}",
                           peers[0] != '\0' ? "," : "", names[k]);
    (void)snprintf(nodes[i].status, sizeof(nodes[i].status),
                   "{\"type\":\"status_ok\",\"in_reply_to\":%%ID,\"node\":\"%s\","
                   "\"cluster\":\"c\",\"role\":\"%s\",\"term\":3,\"leader_id\":\"n2\","
                   "\"serving\":true,\"commit_index\":100,\"applied_index\":100,"
                   "\"last_log_index\":100,\"peers\":[%s]}",
                   names[i], i == 1 ? "leader" : "follower", peers);
}

static void start_nodes(void)
{
    for (unsigned i = 0; i < N_NODES; i++) {
        struct node *n = &nodes[i];

        memset(n, 0, sizeof(*n));
        status_of(i);
        n->steps[0] = (struct fake_step){"\"status\"", FAKE_REPLY, n->status, 0};
        n->steps[1] = (struct fake_step){"\"slow\"", FAKE_REPLY, SLOW_OK, 0};
        n->steps[2] = (struct fake_step){"\"events\"", FAKE_REPLY, EVENTS_OK, 0};
        n->steps[3] = (struct fake_step){"\"members\"", FAKE_REPLY, n->members, 0};
        n->server = fake_start(n->steps, 4);
    }
    for (unsigned i = 0; i < N_NODES; i++) {
        (void)snprintf(nodes[i].members, sizeof(nodes[i].members),
                       "{\"type\":\"members_ok\",\"in_reply_to\":%%ID,\"members\":["
                       "{\"id\":\"n1\",\"client_addr\":\"%s\"},"
                       "{\"id\":\"n2\",\"client_addr\":\"%s\"},"
                       "{\"id\":\"n3\",\"client_addr\":\"%s\"}]}",
                       fake_address(nodes[0].server), fake_address(nodes[1].server),
                       fake_address(nodes[2].server));
        fake_publish(nodes[i].server);
    }
}

static void stop_nodes(void)
{
    for (unsigned i = 0; i < N_NODES; i++)
        fake_stop(nodes[i].server);
}

/* ---- who looks ---- */

struct seen {
    unsigned n;
    int error;
    json_t *doc; /* owned */
};

static void on_result(void *arg, const struct gather_result *result)
{
    struct seen *s = arg;

    s->n++;
    s->error = result->error;
    json_decref(s->doc);
    s->doc = NULL;
    if (result->error != 0)
        return;
    assert_string_equal(result->self, "n1");
    s->doc = json_loadb(result->json, result->len, 0, NULL);
    assert_non_null(s->doc);
    assert_true(json_equal(s->doc, result->doc));
}

static struct event_base *base;
static struct gather *gather;

/* n: of how many nodes the configuration knows. */
static void open_gather(unsigned n)
{
    struct gather_node conf[N_NODES];
    const struct gather_conf c = {.base = base,
                                  .cluster = "c",
                                  .self = {"n1", fake_address(nodes[0].server)},
                                  .nodes = conf,
                                  .n_nodes = n};

    for (unsigned i = 0; i < n; i++)
        conf[i] = (struct gather_node){names[i], fake_address(nodes[i].server)};
    assert_int_equal(gather_new(&c, &gather), 0);
}

static void wait_for(const struct seen *s, unsigned n)
{
    while (s->n < n)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
}

static void look(struct seen *s)
{
    const unsigned n = s->n;

    assert_int_equal(gather_ask(gather, on_result, s), 0);
    wait_for(s, n + 1);
}

static const json_t *node_of(const struct seen *s, size_t i)
{
    return json_array_get(json_object_get(s->doc, "nodes"), i);
}

static const char *text(const json_t *o, const char *name)
{
    const char *t = json_string_value(json_object_get(o, name));

    return t != NULL ? t : "";
}

static int setup(void **state)
{
    (void)state;
    base = event_base_new();
    start_nodes();
    return base != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    gather_free(gather);
    gather = NULL;
    event_base_free(base);
    stop_nodes();
    return 0;
}

#define OK_LINE "OK: survives 1 more failure; 3 of 3 nodes answered, leader n2, term 3"

static void gather__one_address_is_enough(void **state)
{
    struct seen s = {0};

    (void)state;
    open_gather(0);
    look(&s);
    assert_int_equal(s.error, 0);
    assert_string_equal(text(s.doc, "line"), OK_LINE);
    assert_int_equal(json_array_size(json_object_get(s.doc, "nodes")), N_NODES);
    for (size_t i = 0; i < N_NODES; i++) {
        assert_string_equal(text(node_of(&s, i), "node"), names[i]);
        assert_string_equal(text(node_of(&s, i), "member"), "voter");
        assert_string_equal(text(json_object_get(node_of(&s, i), "slow"), "type"), "slow_ok");
        assert_string_equal(text(json_object_get(node_of(&s, i), "events"), "type"), "events_ok");
    }
    json_decref(s.doc);
}

/* PAGE-3 */
static void gather__however_many_look_all_are_asked_once(void **state)
{
    struct seen s[10] = {{0}};

    (void)state;
    open_gather(N_NODES);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(gather_ask(gather, on_result, &s[i]), 0);
    for (unsigned i = 0; i < 10; i++) {
        wait_for(&s[i], 1);
        assert_int_equal(s[i].n, 1);
        assert_string_equal(text(s[i].doc, "line"), OK_LINE);
    }
    now_us += GATHER_EVERY_US - 1;
    look(&s[0]);
    for (unsigned i = 0; i < N_NODES; i++) {
        assert_int_equal(fake_count(nodes[i].server, "\"status\""), 1);
        assert_int_equal(fake_count(nodes[i].server, "\"slow\""), 1);
        assert_int_equal(fake_count(nodes[i].server, "\"events\""), 1);
    }
    now_us += 1;
    look(&s[0]);
    for (unsigned i = 0; i < N_NODES; i++)
        assert_int_equal(fake_count(nodes[i].server, "\"status\""), 2);
    for (unsigned i = 0; i < 10; i++)
        json_decref(s[i].doc);
}

/* Nothing is open, and no event is left, while nobody looks. */
static void gather__nobody_is_asked_while_nobody_looks(void **state)
{
    struct seen s = {0};

    (void)state;
    open_gather(N_NODES);
    look(&s);
    now_us += 100 * (uint64_t)GATHER_EVERY_US;
    assert_int_equal(event_base_dispatch(base), 1);
    for (unsigned i = 0; i < N_NODES; i++)
        assert_int_equal(fake_count(nodes[i].server, "\"status\""), 1);
    json_decref(s.doc);
}

static void gather__who_is_silent_costs_nothing_else(void **state)
{
    struct seen s = {0};

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        nodes[2].steps[i].action = FAKE_SILENT;
    fake_publish(nodes[2].server);
    open_gather(N_NODES);
    look(&s);
    assert_string_equal(text(s.doc, "line"),
                        "DEGRADED: survives 1 more failure; 2 of 3 nodes answered, leader n2, "
                        "term 3");
    assert_string_equal(text(node_of(&s, 2), "error"), "no_answer");
    assert_true(json_is_null(json_object_get(node_of(&s, 2), "slow")));
    assert_true(json_is_object(json_object_get(node_of(&s, 1), "slow")));
    json_decref(s.doc);
}

static void gather__what_a_node_does_not_know_is_left_out(void **state)
{
    struct seen s = {0};

    (void)state;
    nodes[1].steps[1].reply = NOT_SUPPORTED;
    nodes[1].steps[2].reply = NOT_SUPPORTED;
    fake_publish(nodes[1].server);
    open_gather(N_NODES);
    look(&s);
    assert_string_equal(text(s.doc, "line"), OK_LINE);
    assert_true(json_is_null(json_object_get(node_of(&s, 1), "slow")));
    assert_true(json_is_null(json_object_get(node_of(&s, 1), "events")));
    assert_true(json_is_object(json_object_get(node_of(&s, 0), "events")));
    json_decref(s.doc);
}

static void gather__what_is_too_long_is_left_out(void **state)
{
    static char long_reply[GATHER_ANSWER_BYTES_MAX + 256];
    struct seen s = {0};

    (void)state;
    (void)snprintf(long_reply, sizeof(long_reply),
                   "{\"type\":\"events_ok\",\"in_reply_to\":%%ID,\"events\":[\"%0*d\"]}",
                   (int)GATHER_ANSWER_BYTES_MAX, 0);
    nodes[1].steps[2].reply = long_reply;
    fake_publish(nodes[1].server);
    open_gather(N_NODES);
    look(&s);
    assert_string_equal(text(s.doc, "line"), OK_LINE);
    assert_true(json_is_null(json_object_get(node_of(&s, 1), "events")));
    json_decref(s.doc);
}

/* The file has an address of before; the leader knows better. */
static void gather__who_has_moved_is_found(void **state)
{
    struct gather_node conf[] = {{"n3", "127.0.0.1:1"}};
    const struct gather_conf c = {.base = base,
                                  .cluster = "c",
                                  .self = {"n1", fake_address(nodes[0].server)},
                                  .nodes = conf,
                                  .n_nodes = 1};
    struct seen s = {0};

    (void)state;
    assert_int_equal(gather_new(&c, &gather), 0);
    look(&s);
    assert_string_equal(text(s.doc, "line"), OK_LINE);
    assert_string_equal(text(node_of(&s, 2), "endpoint"), fake_address(nodes[2].server));
    json_decref(s.doc);
}

static void gather__ends_in_the_middle(void **state)
{
    struct seen s = {0};
    struct seen forgotten = {0};

    (void)state;
    nodes[1].steps[0].action = FAKE_HOLD;
    fake_publish(nodes[1].server);
    open_gather(N_NODES);
    assert_int_equal(gather_ask(gather, on_result, &s), 0);
    assert_int_equal(gather_ask(gather, on_result, &forgotten), 0);
    gather_forget(gather, &forgotten);
    gather_free(gather);
    gather = NULL;
    assert_int_equal(s.n, 1);
    assert_int_equal(s.error, -ECANCELED);
    assert_int_equal(forgotten.n, 0);
    assert_int_equal(event_base_dispatch(base), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gather__one_address_is_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(gather__however_many_look_all_are_asked_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gather__nobody_is_asked_while_nobody_looks, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gather__who_is_silent_costs_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(gather__what_a_node_does_not_know_is_left_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gather__what_is_too_long_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(gather__who_has_moved_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(gather__ends_in_the_middle, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
