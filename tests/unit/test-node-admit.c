/* node: who is let in, as far as the configurations decide it, and what strangers are served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/identity_int.h"
#include "node/node_int.h"

#define OURS 4242u

static struct raft_configuration members(void)
{
    struct raft_configuration c;

    raft_configuration_init(&c);
    assert_int_equal(raft_configuration_add(&c, 1, "n1", RAFT_VOTER, "a:1", "a:2"), 0);
    assert_int_equal(raft_configuration_add(&c, 2, "n2", RAFT_VOTER, "b:1", "b:2"), 0);
    assert_int_equal(raft_configuration_add(&c, 3, "n3", RAFT_VOTER, "c:1", "c:2"), 0);
    c.servers[1].incarnation = 2200;
    return c;
}

/* PEER-9, PEER-11, IDENTITY-2. */
static void admit__what_configurations_decide(void **state)
{
    static const struct {
        const char *name;
        raft_node_id from;
        uint64_t incarnation;
        uint64_t known; /* of ours */
        bool stranger;
        bool is_server;
        enum wire_refusal refusal;
        raft_index removed;
        bool leads;
    } rows[] = {
        {"a founder that nobody has met", 1, 7, 0, false, true, WIRE_REFUSED_NOT, 0, false},
        {"that knows us", 1, 7, OURS, false, true, WIRE_REFUSED_NOT, 0, false},
        {"that knew another one", 1, 7, OURS + 1, false, true, WIRE_REFUSED_OURSELVES, 0, false},
        {"the incarnation of the log", 2, 2200, 0, false, true, WIRE_REFUSED_NOT, 0, false},
        {"another one", 2, 2201, 0, false, true, WIRE_REFUSED_INCARNATION, 0, false},
        {"none", 2, 0, 0, false, true, WIRE_REFUSED_INCARNATION, 0, false},
        {"another one, which the port does not know yet", 2, 1, 0, true, true,
         WIRE_REFUSED_INCARNATION, 0, false},
        {"removed", 3, 7, 0, false, false, WIRE_REFUSED_REMOVED, 30, false},
        {"removed, and a stranger by now", 3, 7, OURS + 1, true, false, WIRE_REFUSED_REMOVED, 30,
         false},
        /* The entry that adds it is not committed, or it came back: it is a member. */
        {"removed, and a server", 3, 7, 0, false, true, WIRE_REFUSED_NOT, 0, false},
        {"a stranger", 9, 7, 0, true, false, WIRE_REFUSED_NOT, 0, false},
        {"a stranger that knew another one", 9, 7, 1, true, false, WIRE_REFUSED_OURSELVES, 0,
         false},
        {"nobody", 9, 7, 0, false, false, WIRE_REFUSED_FROM, 0, false},
        /* Its configuration is behind nobody's. */
        {"a stranger, to who leads", 9, 7, 0, true, false, WIRE_REFUSED_FROM, 0, true},
        {"a stranger who was removed", 3, 7, 0, true, false, WIRE_REFUSED_REMOVED, 30, true},
        {"a member, to who leads", 1, 7, 0, false, true, WIRE_REFUSED_NOT, 0, true},
    };
    const struct raft_configuration all = members();
    struct raft_configuration committed = members();

    (void)state;
    assert_true(raft_configuration_remove(&committed, 3, 30));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct wire_hello h = {.from = rows[i].from,
                                     .incarnation = rows[i].incarnation,
                                     .known_incarnation = rows[i].known};
        struct peer_asked asked = {.stranger = rows[i].stranger};
        const struct raft_server *server =
            rows[i].is_server ? raft_configuration_get(&all, rows[i].from) : NULL;
        const enum wire_refusal refusal =
            node_judge(server, &committed, rows[i].leads, OURS, &h, &asked);

        if (refusal != rows[i].refusal || asked.removed_index != rows[i].removed)
            fail_msg("%s: %d, index %d", rows[i].name, refusal, (int)asked.removed_index);
    }
}

/* PEER-8: who was added has the cluster's id, and who says nothing of one is somebody else, whatever
 * incarnation it says. A founder may lag. */
static void admit__who_was_added_has_the_id(void **state)
{
    const raft_node_id founder = raft_founder_id("n1");
    const raft_node_id added = raft_member_id("n4", 44);
    struct raft_configuration c;

    (void)state;
    raft_configuration_init(&c);
    assert_int_equal(raft_configuration_add(&c, founder, "n1", RAFT_VOTER, "a:1", "a:2"), 0);
    assert_int_equal(raft_configuration_add(&c, added, "n4", RAFT_LEARNER, "d:1", "d:2"), 0);
    c.servers[0].incarnation = c.servers[1].incarnation = 44;
    for (unsigned i = 0; i < 8; i++) {
        const bool was_added = i & 1;
        struct peer_asked asked = {.stranger = i & 2, .without_id = i & 4};
        const struct wire_hello h = {.from = was_added ? added : founder, .incarnation = 44};

        assert_int_equal(
            node_judge(raft_configuration_get(&c, h.from), &c, false, OURS, &h, &asked),
            asked.stranger && asked.without_id ? WIRE_REFUSED_FROM
            : was_added && asked.without_id    ? WIRE_REFUSED_PROOF
                                               : WIRE_REFUSED_NOT);
    }
}

/* TLS-11: whose certificate names another node is refused, also where that one's id fits; without a
 * certificate there is no name to compare. */
static void admit__a_certificate_names_its_node(void **state)
{
    static const struct {
        const char *name;
        raft_node_id from;
        enum wire_refusal refusal;
    } rows[] = {
        {NULL, 1, WIRE_REFUSED_NOT},  {"", 1, WIRE_REFUSED_NOT},    {"n1", 1, WIRE_REFUSED_NOT},
        {"n2", 1, WIRE_REFUSED_NAME}, {"n1", 2, WIRE_REFUSED_NAME}, {"n11", 1, WIRE_REFUSED_NAME},
        {"n9", 9, WIRE_REFUSED_NOT}, /* a stranger, whose id the port has compared */
    };
    const struct raft_configuration c = members();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct wire_hello h = {.from = rows[i].from,
                                     .incarnation = rows[i].from == 2 ? 2200 : 7};
        struct peer_asked asked = {.stranger = rows[i].from == 9, .tls_name = rows[i].name};

        assert_int_equal(
            node_judge(raft_configuration_get(&c, h.from), &c, false, OURS, &h, &asked),
            rows[i].refusal);
    }
}

/* PEER-11: a founder that was removed before it heard of the id is let as far as to be told; nobody
 * else is who has none and is no peer. */
static void admit__a_founder_without_the_id_may_be_removed(void **state)
{
    struct raft_configuration committed = members();

    (void)state;
    assert_true(raft_configuration_remove(&committed, 3, 30));
    for (raft_node_id id = 3; id <= 4; id++) {
        struct peer_asked asked = {.stranger = true, .without_id = true};
        const struct wire_hello h = {.from = id, .incarnation = 7};

        assert_int_equal(node_judge(NULL, &committed, false, OURS, &h, &asked),
                         id == 3 ? WIRE_REFUSED_REMOVED : WIRE_REFUSED_FROM);
    }
}

/* PEER-9: whether somebody can have come who was never told of us. */
static void admit__founders_that_were_never_met(void **state)
{
    const struct raft_configuration c = members();
    struct identity_dir dir = {.n_peers = 1, .peers = {{.id = 1, .incarnation = 7}}};

    (void)state;
    assert_true(node_lacks_a_founder(&c, 1, &dir));
    assert_false(node_lacks_a_founder(&c, 3, &dir)); /* of 2 the configuration says it */
    dir.n_peers = 0;
    assert_true(node_lacks_a_founder(&c, 3, &dir));
}

/* MEMBER-17: the last word counts, and nothing is known of who was not met. */
static void admit__what_was_met_is_remembered(void **state)
{
    struct node *n = calloc(1, sizeof(*n));

    (void)state;
    assert_non_null(n);
    assert_int_equal(node_peer_version(n, 2), 0);
    for (raft_node_id id = 1; id <= NODE_MET_MAX + 1; id++)
        node_note_met(n,
                      &(struct wire_hello){.from = id, .version_highest = 2, .command_version = 3});
    assert_int_equal(node_peer_version(n, 2), 2);
    assert_int_equal(node_command_version(n, 2), 3);
    assert_int_equal(node_peer_version(n, NODE_MET_MAX + 1), 0); /* no room */
    node_note_met(n, &(struct wire_hello){.from = 2, .version_highest = 1});
    assert_int_equal(node_peer_version(n, 2), 1);
    assert_int_equal(node_command_version(n, 2), 0);
    assert_int_equal(node_peer_version(n, 1), 2);
    node_forget_met(n, 2);
    assert_int_equal(node_peer_version(n, 2), 0);
    assert_int_equal(node_peer_version(n, NODE_MET_MAX), 2);
    free(n);
}

/* Of all that there is so far: what candidates and leaders send, and answers. A new kind of message
 * is for members until somebody says otherwise. */
static void admit__strangers_are_served_what_elects_and_replicates(void **state)
{
    (void)state;
    for (int type = 0; type < 32; type++)
        assert_int_equal(node_serves_stranger((enum raft_msg_type)type),
                         type >= RAFT_MSG_PRE_VOTE && type <= RAFT_MSG_READ_ANSWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admit__what_configurations_decide),
        cmocka_unit_test(admit__who_was_added_has_the_id),
        cmocka_unit_test(admit__a_certificate_names_its_node),
        cmocka_unit_test(admit__a_founder_without_the_id_may_be_removed),
        cmocka_unit_test(admit__founders_that_were_never_met),
        cmocka_unit_test(admit__what_was_met_is_remembered),
        cmocka_unit_test(admit__strangers_are_served_what_elects_and_replicates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
