/* Whose keys are below the prefix of bench: each value carries its key, and nothing that is not
 * recognized by both is ever written over or removed (DOCTOR-5). */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "client/ridd_async.h"
#include "load/ridbench_int.h"

#include "base/banned.h"

bool bench_key_is_own(const char *key, const char *value, uint64_t *ret_begun_s)
{
    static const char form[] = BENCH_PREFIX "xxxxxxxx-xxxx/dddddddd";

    if (key == NULL || value == NULL || strlen(key) != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        const char *allowed = i < sizeof(BENCH_PREFIX) - 1 ? NULL
                              : form[i] == 'x'             ? "0123456789abcdef"
                              : form[i] == 'd'             ? "0123456789"
                                                           : NULL;

        if (allowed != NULL ? strchr(allowed, key[i]) == NULL : key[i] != form[i])
            return false;
    }
    if (strncmp(value, key, sizeof(form) - 1) != 0 || value[sizeof(form) - 1] != '/')
        return false;
    *ret_begun_s = strtoull(key + sizeof(BENCH_PREFIX) - 1, NULL, 16);
    return true;
}

/* Its run is over by any means; one that may yet run is left alone. */
static bool is_old(uint64_t begun_s)
{
    return begun_s + LOAD_SECONDS_MAX + BENCH_OLD_S < (uint64_t)time(NULL);
}

static void remove_old(struct ridd *client, const struct ridd_item *item)
{
    struct ridd_op op = ridd_op(RIDD_OP_DELETE);

    op.key = ridd_item_key(item);
    while (ridd_async_pending(client) >= CTL_KEYS_WRITES)
        (void)ridd_wait(client, -1);
    (void)ridd_async_start(client, &op, NULL, NULL); /* what stays the next run removes */
}

static int look_at_page(struct bench *b, struct ridd *client, const struct ridd_reply *page)
{
    for (size_t i = 0; i < page->n_items; i++) {
        const struct ridd_item *item = &page->items[i];
        uint64_t begun_s = 0;

        if (!bench_key_is_own(item->key_string, item->string, &begun_s))
            return bench_report(b, BENCH_EXIT_PRECONDITION,
                                "'%.100s' is no key of ridbench; it works below '" BENCH_PREFIX
                                "' only where nothing else is: 'ridctl ls " BENCH_PREFIX
                                "' shows what is there",
                                item->key);
        if (is_old(begun_s))
            remove_old(client, item);
        else
            b->n_others++;
    }
    return BENCH_EXIT_OK;
}

static int look(struct bench *b, struct ridd *client)
{
    struct ridd_reply *page = NULL;
    int exit_code = BENCH_EXIT_OK;
    bool more = true;

    while (more && exit_code == BENCH_EXIT_OK) {
        struct ridd_op op = ridd_op(RIDD_OP_SCAN);
        struct ridd_reply *before = page;
        struct ridd_key after;

        op.prefix = BENCH_PREFIX;
        op.via = RIDD_VIA_READ_INDEX;
        if (before != NULL) {
            after = ridd_item_key(&before->items[before->n_items - 1]);
            op.after = &after;
        }
        page = ridd_call(client, &op);
        ridd_reply_free(before);
        if (page->status != RIDD_OK)
            exit_code = bench_report(
                b, page->status == RIDD_NETWORK ? BENCH_EXIT_NO_QUORUM : BENCH_EXIT_AGAIN,
                "%s; 'ridctl status' shows who leads", page->text);
        else
            exit_code = look_at_page(b, client, page);
        more = page->status == RIDD_OK && page->more && page->n_items > 0;
    }
    ridd_reply_free(page);
    while (ridd_async_pending(client) > 0)
        (void)ridd_wait(client, -1);
    return exit_code;
}

int bench_prepare(struct bench *b)
{
    const struct ridd_options options = {.timeout_ms = b->timeout_ms};
    cleanup_free char *list = NULL;
    struct ridd *client = NULL;
    size_t size = 1;
    int exit_code;

    for (unsigned i = 0; i < b->n_addresses; i++)
        size += strlen(b->addresses[i]) + 1;
    list = calloc(1, size);
    if (list == NULL)
        return bench_report(b, BENCH_EXIT_SYSTEM, "no memory");
    for (unsigned i = 0, at = 0; i < b->n_addresses; i++)
        at += (unsigned)snprintf(list + at, size - at, "%s%s", i > 0 ? "," : "", b->addresses[i]);
    exit_code = bench_dial(b, list, &options, &client);
    if (exit_code != BENCH_EXIT_OK)
        return exit_code;
    exit_code = look(b, client);
    ridd_close(client);
    return exit_code;
}
