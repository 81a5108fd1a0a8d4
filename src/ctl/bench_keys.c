/* The keys of `bench`: all below one prefix, each value carries its key and a number, and nothing
 * that is not recognized by both is ever written over or removed (DOCTOR-5). */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "ctl/bench_int.h"
#include "ctl/keys_int.h"

#include "base/banned.h"

/* ---- many at once ---- */

struct bulk {
    struct bench *b;
    uint64_t n_failed;
    struct ridd_reply *failed; /* owned */
};

static void on_done(struct ridd *client, struct ridd_reply *r, void *arg)
{
    struct bulk *k = arg;

    (void)client;
    if (r->status == RIDD_OK) {
        ridd_reply_free(r);
        return;
    }
    k->n_failed++;
    ridd_reply_free(k->failed);
    k->failed = r;
}

static void wait_for_room(const struct bulk *k, size_t most)
{
    while (ridd_async_pending(k->b->ridd) > most)
        (void)ridd_wait(k->b->ridd, -1);
}

static void begin_one(struct bulk *k, const struct ridd_op *op)
{
    wait_for_room(k, CTL_KEYS_WRITES - 1);
    if (ridd_async_start(k->b->ridd, op, on_done, k) == 0)
        k->n_failed++;
}

/* ---- before ---- */

static int refuse(const struct bench *b, const struct ridd_item *item)
{
    return report(b->ctl, CTL_EXIT_PRECONDITION,
                  "'%.100s' is no key of bench; it works below '" BENCH_PREFIX
                  "' only where nothing else is: 'ridctl ls " BENCH_PREFIX "' shows what is there",
                  item->key);
}

/* Its run is over by any means; one that may yet run is left alone. */
static bool is_old(uint64_t begun_s)
{
    return begun_s + BENCH_SECONDS_MAX + BENCH_OLD_S < (uint64_t)time(NULL);
}

static int look_at_page(struct bulk *k, const struct ridd_reply *page)
{
    for (size_t i = 0; i < page->n_items; i++) {
        const struct ridd_item *item = &page->items[i];
        uint64_t begun_s = 0;

        if (!bench_key_is_own(item->key_string, item->string, &begun_s))
            return refuse(k->b, item);
        if (is_old(begun_s)) {
            struct ridd_op op = ridd_op(RIDD_OP_DELETE);

            op.key = ridd_item_key(item);
            begin_one(k, &op);
        } else {
            k->b->n_others++;
        }
    }
    return CTL_EXIT_OK;
}

int bench_prepare(struct bench *b)
{
    struct pages p = {.client = b->ridd, .prefix = BENCH_PREFIX, .via = RIDD_VIA_READ_INDEX};
    struct bulk k = {.b = b};
    int exit_code = CTL_EXIT_OK;

    while (exit_code == CTL_EXIT_OK && pages_go_on(&p))
        exit_code = pages_next(&p) ? look_at_page(&k, p.reply) : pages_report(b->ctl, &p, true);
    pages_done(&p);
    wait_for_room(&k, 0);
    ridd_reply_free(k.failed);
    return exit_code;
}

int bench_fill(struct bench *b)
{
    struct bulk k = {.b = b};
    int exit_code = CTL_EXIT_OK;

    for (unsigned i = 0; i < b->n_keys && k.failed == NULL && !bench_was_signalled(); i++) {
        struct ridd_op op = ridd_op(RIDD_OP_PUT);
        char name[BENCH_KEY_SIZE];
        cleanup_free char *value = bench_value(b, i, 0);

        if (value == NULL)
            return report_no_memory(b->ctl);
        bench_key_name(b, i, name);
        op.key = ridd_key(name);
        op.value = ridd_value_json(value);
        begin_one(&k, &op);
    }
    wait_for_room(&k, 0);
    if (k.failed != NULL)
        exit_code = report_failure(b->ctl, k.failed, NULL);
    ridd_reply_free(k.failed);
    return exit_code;
}

/* Where one cannot be removed within its time the others are not waited for: nobody leads. */
void bench_remove(struct bench *b)
{
    struct bulk k = {.b = b};
    unsigned i;

    for (i = 0; i < b->n_keys && k.failed == NULL; i++) {
        struct ridd_op op = ridd_op(RIDD_OP_DELETE);
        char name[BENCH_KEY_SIZE];

        bench_key_name(b, i, name);
        op.key = ridd_key(name);
        begin_one(&k, &op);
    }
    wait_for_room(&k, 0);
    b->n_left = k.n_failed + (b->n_keys - i);
    ridd_reply_free(k.failed);
}
