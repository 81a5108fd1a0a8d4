/* node: the files of [security] are taken all together or not at all (TLS-25), and it is told in time
 * when certificates end (TLS-26). */
#include "node/node_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/events.h"
#include "temp-folder.h"
#include "unit/fake-certs.h"

struct fixture {
    const char *folder;
    struct conf conf;
    struct node node;
};

static void name_file(struct fixture *f, char *field, const char *name)
{
    (void)snprintf(field, TLS_FILE_BYTES_MAX + 1, "%s/%s", f->folder, name);
}

/* A node with a secret and certificates for both uses; the daemon's struct is a large one. */
static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    memset(f, 0, sizeof(*f));
    f->folder = temp_folder_new("tls");
    fake_certs_make(f->folder, "c");
    (void)snprintf(f->conf.cluster_name, sizeof(f->conf.cluster_name), "c");
    (void)snprintf(f->conf.path, sizeof(f->conf.path), "ridd.conf");
    name_file(f, f->conf.security.secret_file, "secret");
    name_file(f, f->conf.security.peer_cert, "n1.pem");
    name_file(f, f->conf.security.peer_key, "n1.key");
    name_file(f, f->conf.security.peer_ca, "ca.pem");
    name_file(f, f->conf.security.client_cert, "server.pem");
    name_file(f, f->conf.security.client_key, "server.key");
    name_file(f, f->conf.security.client_ca, "ca.pem");
    assert_int_equal(tls_secret_make(f->conf.security.secret_file), 0);
    f->node.conf = &f->conf;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    node_tls_end(&f->node);
    assert_null(f->node.tls.peers);
    temp_folder_remove(f->folder);
    return 0;
}

static uint64_t last_event(void)
{
    struct events_range range;
    struct event e;

    (void)events_get(0, 1, &e, &range);
    return range.next;
}

/* How many of that name, with this in their text, came behind `after`; the last of them. */
static unsigned count_with(uint64_t after, const char *name, const char *part,
                           struct event *ret_last)
{
    static struct event kept[EVENTS_KEPT_MAX];
    struct events_range range;
    const unsigned n = events_get(after, EVENTS_KEPT_MAX, kept, &range);
    unsigned n_found = 0;

    for (unsigned i = 0; i < n; i++) {
        if (kept[i].seq <= after || strcmp(kept[i].name, name) != 0 ||
            strstr(kept[i].text, part) == NULL)
            continue;
        *ret_last = kept[i];
        n_found++;
    }
    return n_found;
}

static unsigned count(uint64_t after, const char *name, struct event *ret_last)
{
    return count_with(after, name, "", ret_last);
}

/* Of one that reads well no more is needed for what breaks it. */
static void spoil(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs("rubbish\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void node_tls__all_files_or_none(void **state)
{
    struct fixture *f = *state;
    char *const files[] = {f->conf.security.peer_cert, f->conf.security.client_key,
                           f->conf.security.client_ca, f->conf.security.secret_file};
    struct tls_ctx *peers;
    struct tls_ctx *clients;
    struct event e;

    assert_int_equal(node_tls_begin(&f->node), 0);
    peers = f->node.tls.peers;
    clients = f->node.tls.clients;
    assert_non_null(peers);
    assert_non_null(clients);
    assert_int_equal(node_tls_again(&f->node, &f->conf), 0);
    assert_ptr_not_equal(f->node.tls.peers, NULL);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const uint64_t before = last_event();
        struct conf fresh = f->conf;
        char *const field = (char *)&fresh + (files[i] - (char *)&f->conf);

        peers = f->node.tls.peers;
        clients = f->node.tls.clients;
        name_file(f, field, "spoilt");
        spoil(field);
        assert_int_equal(chmod(field, 0600), 0);
        assert_true(node_tls_again(&f->node, &fresh) < 0);
        assert_non_null(strstr(err_text(), "spoilt"));
        assert_ptr_equal(f->node.tls.peers, peers);
        assert_ptr_equal(f->node.tls.clients, clients);
        assert_int_equal(count(before, "tls_not_taken", &e), 1);
        assert_non_null(strstr(e.text, "spoilt"));
        assert_int_equal(count(before, "tls_taken", &e), 0);
        assert_false(node_tls_check(&fresh));
    }
    assert_true(node_tls_check(&f->conf));
}

static void node_tls__a_bad_start(void **state)
{
    struct fixture *f = *state;

    spoil(f->conf.security.client_cert);
    assert_true(node_tls_begin(&f->node) < 0);
    assert_non_null(strstr(err_text(), "server.pem"));
    assert_null(f->node.tls.peers);
    assert_null(f->node.tls.clients);
}

static void node_tls__what_is_not_configured(void **state)
{
    struct fixture *f = *state;

    memset(&f->conf.security, 0, sizeof(f->conf.security));
    assert_int_equal(node_tls_begin(&f->node), 0);
    assert_null(f->node.tls.peers);
    assert_null(f->node.tls.clients);
    assert_int_equal(node_tls_again(&f->node, &f->conf), 0);
    assert_int_equal(f->node.tls.n_expiries, 0);
}

/* Listeners and links speak what they spoke. */
static void node_tls__a_reload_turns_nothing_on_or_off(void **state)
{
    struct fixture *f = *state;
    struct conf none = f->conf;
    struct event e;
    uint64_t before;

    memset(&none.security, 0, sizeof(none.security));
    assert_int_equal(node_tls_begin(&f->node), 0);
    before = last_event();
    assert_int_equal(node_tls_again(&f->node, &none), -EINVAL);
    assert_non_null(f->node.tls.peers);
    node_tls_end(&f->node);
    assert_int_equal(node_tls_again(&f->node, &f->conf), -EINVAL);
    assert_null(f->node.tls.peers);
    assert_int_equal(count(before, "tls_not_taken", &e), 2);
    assert_non_null(strstr(e.text, "restart"));
}

/* At the start, at each reload, and once a day. */
static void node_tls__ends_are_told(void **state)
{
    struct fixture *f = *state;
    uint64_t before = last_event();
    struct event e;

    /* Those of this test are good for a day: all are told of. */
    assert_int_equal(node_tls_begin(&f->node), 0);
    assert_true(f->node.tls.n_expiries >= 4);
    assert_int_equal(count(before, "certificate_ends", &e), f->node.tls.n_expiries);
    assert_int_equal(e.level, LOG_WARNING);
    assert_non_null(strstr(e.text, f->folder));
    assert_non_null(strstr(e.text, " days="));
    before = last_event();
    assert_true(f->node.tls.look_us > 0);
    node_tls_turn(&f->node, f->node.tls.look_us - 1);
    assert_int_equal(count(before, "certificate_ends", &e), 0);
    node_tls_turn(&f->node, f->node.tls.look_us);
    assert_int_equal(count(before, "certificate_ends", &e), f->node.tls.n_expiries);
    before = last_event();
    name_file(f, f->conf.security.client_cert, "expired.pem");
    name_file(f, f->conf.security.client_key, "expired.key");
    assert_int_equal(node_tls_again(&f->node, &f->conf), 0);
    assert_int_equal(count(before, "certificate_ends", &e), f->node.tls.n_expiries);
    assert_int_equal(count_with(before, "certificate_ends", "expired.pem", &e), 1);
    assert_int_equal(e.level, LOG_ERROR);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(node_tls__all_files_or_none),      CASE(node_tls__a_bad_start),
        CASE(node_tls__what_is_not_configured), CASE(node_tls__a_reload_turns_nothing_on_or_off),
        CASE(node_tls__ends_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
