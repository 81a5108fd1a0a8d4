/* The calls that wait: store a value, read it back as of now, count with compare-and-set.
 *
 *     cc -std=c99 blocking.c $(pkg-config --cflags --libs libridd) -o blocking
 *     ./blocking 127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420 */
#include <ridd.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(struct ridd_reply *reply, const char *what)
{
    fprintf(stderr, "%s: %s (%s)\n", what, reply->text, ridd_status_name(reply->status));
    ridd_reply_free(reply);
    return 1;
}

/* Adds one to a counter, which others may do at the same time. */
static int count(struct ridd *client, struct ridd_key key)
{
    for (;;) {
        struct ridd_reply *reply = ridd_linearizable_read(client, key);
        long long old = 0;

        if (reply->status != RIDD_OK)
            return fail(reply, "cannot read the counter");
        if (reply->exists)
            old = strtoll(reply->value, NULL, 10);
        ridd_reply_free(reply);
        /* An absent key becomes 1; then only who has seen the last value may write the next. */
        reply = ridd_cas_value(client, key, ridd_value_integer(old), ridd_value_integer(old + 1),
                               old == 0);
        if (reply->status == RIDD_OK) {
            printf("counter %lld\n", old + 1);
            ridd_reply_free(reply);
            return 0;
        }
        if (reply->status != RIDD_PRECONDITION_FAILED)
            return fail(reply, "cannot count");
        ridd_reply_free(reply); /* somebody was quicker */
    }
}

static int store_and_read(struct ridd *client)
{
    static const unsigned char bytes[] = {0x00, 0xff, 0x7f, 0x0a};
    struct ridd_key key = ridd_key("examples/blocking");
    unsigned char *back = NULL;
    size_t len = 0;
    struct ridd_reply *reply =
        ridd_put_value(client, key, ridd_value_bytes(bytes, sizeof(bytes)));

    if (reply->status != RIDD_OK)
        return fail(reply, "cannot write");
    ridd_reply_free(reply);
    reply = ridd_linearizable_read(client, key);
    if (reply->status != RIDD_OK)
        return fail(reply, "cannot read");
    if (ridd_bytes(reply->string, &back, &len) != RIDD_OK)
        return fail(reply, "these are no bytes");
    printf("%u bytes, the second is %u\n", (unsigned)len, (unsigned)back[1]);
    free(back);
    ridd_reply_free(reply);
    return 0;
}

int main(int argc, char **argv)
{
    struct ridd *client;
    char why[RIDD_TEXT_SIZE];
    int status;

    if (ridd_check_endpoints(argc > 1 ? argv[1] : "", why, sizeof(why)) != RIDD_OK ||
        ridd_open(argv[1], NULL, &client) != RIDD_OK) {
        fprintf(stderr, "usage: blocking HOST:PORT,...: %s\n", why);
        return 64;
    }
    status = store_and_read(client);
    if (status == 0)
        status = count(client, ridd_key("examples/counter"));
    ridd_close(client);
    return status;
}
