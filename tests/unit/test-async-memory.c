/* libridd without memory: each allocation of a whole conversation fails in turn, its own and those of
 * jansson. Whatever happens is an outcome, every callback comes once, nothing is left behind, and
 * with memory the client goes on (ASYNC-16). The linker puts this allocator between the library and
 * libc; it fails for the thread of the test alone, not for those of the server. */
#include "unit/async-util.h"

#include <jansson.h>
#include <unistd.h>

static __thread bool counting;
static __thread unsigned allocations_left;
static __thread bool failing_goes_on;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool fails(void)
{
    if (!counting)
        return false;
    if (allocations_left > 0) {
        allocations_left--;
        return false;
    }
    counting = failing_goes_on;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

struct told {
    unsigned n;
    enum ridd_status status;
    int definite;
};

/* Allocates nothing, as a callback may be called where there is nothing. */
static void tell(struct ridd *c, struct ridd_reply *r, void *arg)
{
    struct told *t = arg;

    (void)c;
    t->n++;
    t->status = r->status;
    t->definite = r->definite;
    ridd_reply_free(r);
}

/* A conversation: a session, writes, reads, a scan, another node, one that is given up, an anchor.
 * The fate of each is in told; how many were begun is returned. */
static unsigned converse(struct ridd *c, const char *address, struct told told[8])
{
    struct ridd_op op = ridd_op(RIDD_OP_SCAN);
    struct ridd_op ping = ridd_op(RIDD_OP_PING);
    uint64_t ids[8] = {0};
    unsigned n = 0;

    memset(told, 0, 8 * sizeof(told[0]));
    ids[0] = ridd_async_put(c, ridd_key("w"), ridd_value_string("v"), tell, &told[0]);
    ids[1] = ridd_async_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX, tell, &told[1]);
    ids[2] = ridd_async_put(c, ridd_key("w"), ridd_value_json("{\"a\":[1,\"b\"]}"), tell, &told[2]);
    op.prefix = "p";
    ids[3] = ridd_async_start(c, &op, tell, &told[3]);
    ping.node = address;
    ids[4] = ridd_async_start(c, &ping, tell, &told[4]);
    ids[5] = ridd_async_get(c, ridd_key("silent"), RIDD_VIA_READ_INDEX, tell, &told[5]);
    ids[6] = ridd_async_get(c, ridd_key("y"), RIDD_VIA_LOCAL, tell, &told[6]);
    ids[7] = ridd_async_put(c, ridd_key("w"), ridd_value_bytes("v", 1), tell, &told[7]);
    for (unsigned i = 0; i < 8; i++)
        n += ids[i] != 0;
    while (ridd_async_pending(c) > 1 && ridd_wait(c, 100) == RIDD_OK)
        continue;
    if (ids[5] != 0)
        (void)ridd_async_cancel(c, ids[5]);
    while (ridd_async_pending(c) > 0 && ridd_wait(c, 100) == RIDD_OK)
        continue;
    return n;
}

static bool all_good(const struct told told[8])
{
    for (unsigned i = 0; i < 8; i++)
        if (told[i].status != (i == 5 ? RIDD_CANCELLED : RIDD_OK) || told[i].n != 1)
            return false;
    return true;
}

static void run(bool goes_on)
{
    static const struct fake_step steps[] = {
        {"open_session", FAKE_REPLY,
         "{\"type\":\"open_session_ok\",\"in_reply_to\":%ID,\"client\":\"71\"}", 0},
        {"\"write\"", FAKE_REPLY, WRITE_OK, 0},
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {"\"status\"", FAKE_REPLY,
         "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"cluster_hash\":\"0123456789abcdef\"}", 0},
        {"\"scan\"", FAKE_REPLY,
         "{\"type\":\"scan_ok\",\"in_reply_to\":%ID,\"items\":[{\"key\":\"p\",\"value\":\"v\"}],"
         "\"more\":false,\"read_at_index\":8,\"linearizable\":true}",
         0},
        {"\"local_read\"", FAKE_REPLY, LOCAL_OK, 0},
        {"\"silent\"", FAKE_SILENT, NULL, 0},
        {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    const unsigned flags = RIDD_FLAG_SESSION | RIDD_FLAG_MONOTONIC | RIDD_FLAG_SPREAD;
    unsigned n_bad = 0;
    bool done = false;

    for (unsigned n = 0; n < 3000 && !done; n++) {
        struct ridd_options options = {.timeout_ms = PATIENCE_MS, .flags = flags,
                                       .seed = 7};
        struct ridd *c = NULL;
        struct told told[8];
        unsigned n_begun = 0;
        unsigned n_told = 0;
        enum ridd_status status;

        allocations_left = n;
        failing_goes_on = goes_on;
        counting = true;
        status = ridd_open(fake_address(s), &options, &c);
        if (status == RIDD_OK)
            n_begun = converse(c, fake_address(s), told);
        counting = false;
        if (status != RIDD_OK) {
            assert_int_equal(status, RIDD_NO_MEMORY);
            assert_null(c);
            n_bad++;
            continue;
        }
        for (unsigned i = 0; i < 8; i++) {
            assert_true(told[i].n <= 1);
            n_told += told[i].n;
        }
        assert_int_equal(n_told, n_begun);
        done = all_good(told);
        n_bad += !done;
        if (!done) { /* still fit */
            struct ridd_reply *r = ridd_put(c, ridd_key("w"), "1");

            if (r->status != RIDD_OK)
                print_error("%u: %s: %s\n", n, ridd_status_name(r->status), r->text);
            assert_int_equal(r->status, RIDD_OK);
            ridd_reply_free(r);
        }
        ridd_close(c);
        if (goes_on && n > 600) /* it needs no more than that */
            break;
    }
    assert_true(done);
    assert_true(n_bad > 50);
    fake_stop(s);
}

static void memory__one_allocation_fails(void **state)
{
    (void)state;
    run(false);
}

static void memory__all_of_them_fail_from_then_on(void **state)
{
    (void)state;
    run(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory__one_allocation_fails),
        cmocka_unit_test(memory__all_of_them_fail_from_then_on),
    };

    json_set_alloc_funcs(__wrap_malloc, free);
    return cmocka_run_group_tests_name("async-memory", tests, NULL, NULL);
}
