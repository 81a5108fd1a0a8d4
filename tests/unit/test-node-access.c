/* node: who may do what on the local socket (ACCESS-2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/access.h"

static struct access base(void)
{
    return (struct access){
        .own = 500, .sees_all = true, .overflow_uid = 65534, .overflow_gid = 65534};
}

static void put(struct access *a, enum service_role role, enum conf_who_kind kind, uint32_t id,
                const char *name)
{
    struct access_list *l = &a->lists[role - 1];

    l->entries[l->n] = (struct access_entry){.kind = kind, .id = id};
    (void)snprintf(l->entries[l->n++].name, sizeof(l->entries[0].name), "%s", name);
}

static enum service_role role_of(const struct access *a, uid_t uid, gid_t gid, gid_t more)
{
    const gid_t groups[] = {7777, more};

    return access_role(a, &(struct access_peer){uid, gid, groups, more != 0 ? 2 : 1});
}

static void access__roles(void **state)
{
    struct access a = base();

    (void)state;
    assert_int_equal(role_of(&a, 0, 0, 0), SERVICE_ADMIN);
    assert_int_equal(role_of(&a, 500, 1, 0), SERVICE_ADMIN);
    assert_int_equal(role_of(&a, 1000, 1000, 0), SERVICE_NONE);
    put(&a, SERVICE_READ, CONF_WHO_USER, 1000, "alice");
    put(&a, SERVICE_WRITE, CONF_WHO_GROUP, 50, "ridd");
    put(&a, SERVICE_ADMIN, CONF_WHO_GROUP, 60, "ops");
    put(&a, SERVICE_ADMIN, CONF_WHO_USER, 1001, "bob");
    assert_int_equal(role_of(&a, 1000, 1000, 0), SERVICE_READ);
    assert_int_equal(role_of(&a, 1000, 50, 0), SERVICE_WRITE);
    assert_int_equal(role_of(&a, 1000, 1000, 50), SERVICE_WRITE); /* supplementary */
    assert_int_equal(role_of(&a, 1000, 50, 60), SERVICE_ADMIN);   /* the highest */
    assert_int_equal(role_of(&a, 1001, 1, 0), SERVICE_ADMIN);
    assert_int_equal(role_of(&a, 1002, 1, 0), SERVICE_NONE);
    assert_int_equal(role_of(&a, 50, 1, 0), SERVICE_NONE); /* a user is no group */
    assert_int_equal(role_of(&a, 1, 1000, 0), SERVICE_NONE);
    put(&a, SERVICE_READ, CONF_WHO_ANY, 0, "");
    assert_int_equal(role_of(&a, 1002, 1, 0), SERVICE_READ);
}

/* Where others have no numbers of their own, the one that all of them show is nobody's. */
static void access__in_a_user_namespace(void **state)
{
    struct access a = base();
    char who[128];

    (void)state;
    put(&a, SERVICE_WRITE, CONF_WHO_USER, 65534, "nobody");
    put(&a, SERVICE_ADMIN, CONF_WHO_GROUP, 65534, "nogroup");
    assert_int_equal(role_of(&a, 65534, 1, 0), SERVICE_WRITE);
    assert_int_equal(role_of(&a, 1, 65534, 0), SERVICE_ADMIN);
    a.sees_all = false;
    assert_int_equal(role_of(&a, 65534, 1, 0), SERVICE_NONE);
    assert_int_equal(role_of(&a, 1, 65534, 0), SERVICE_NONE);
    assert_int_equal(role_of(&a, 1, 1, 65534), SERVICE_NONE);
    a.own = 65534;
    assert_int_equal(role_of(&a, 65534, 1, 0), SERVICE_NONE);
    assert_int_equal(role_of(&a, 0, 0, 0), SERVICE_ADMIN);
    put(&a, SERVICE_READ, CONF_WHO_ANY, 0, "");
    assert_int_equal(role_of(&a, 65534, 65534, 0), SERVICE_READ);
    assert_non_null(strstr(access_who(&a, 65534, who, sizeof(who)), "cannot see"));
}

static void access__names(void **state)
{
    static const struct conf_who_list none;
    static const struct conf_who_list some = {.n = 4,
                                              .who = {{CONF_WHO_USER, "root"},
                                                      {CONF_WHO_GROUP, "1234"},
                                                      {CONF_WHO_ANY, ""},
                                                      {CONF_WHO_USER, "no-such-user-here"}}};
    static const struct conf_who_list standard = {
        .n = 1, .is_default = true, .who = {{CONF_WHO_GROUP, "no-such-group-here"}}};
    const struct conf_who_list *const lists[ACCESS_ROLES] = {&none, &standard, &some};
    struct access a;
    char who[128];

    (void)state;
    access_find(lists, &a);
    assert_int_equal(a.own, geteuid());
    assert_int_equal(a.lists[0].n, 0);
    assert_int_equal(a.lists[1].n, 0);
    assert_int_equal(a.lists[2].n, 3);
    assert_int_equal(a.lists[2].entries[0].id, 0);
    assert_int_equal(a.lists[2].entries[1].id, 1234);
    assert_string_equal(a.unknown, "unix_admin: user no-such-user-here");
    a.sees_all = true;
    assert_string_equal(access_who(&a, 0, who, sizeof(who)), "uid 0 (root)");
    assert_string_equal(access_who(&a, 1234, who, sizeof(who)), "uid 1234");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access__roles),
        cmocka_unit_test(access__in_a_user_namespace),
        cmocka_unit_test(access__names),
    };

    return cmocka_run_group_tests_name("node-access", tests, NULL, NULL);
}
