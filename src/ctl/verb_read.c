/* Reads of one key by any method, and of many keys at one index. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/ctl_int.h"
#include "ctl/keys_int.h"

#include "base/banned.h"

static const char *method_of(enum ridd_via via)
{
    static const char *const names[] = {"read",       "read_index",    "read_via_log",
                                        "lease_read", "follower_read", "local_read"};

    return names[via];
}

/* A node of an older version does not say what stands behind the method that it chose. */
static bool says_guarantee(const struct ridd_reply *r, enum ridd_via via)
{
    return via != RIDD_VIA_DEFAULT || r->linearizable ||
           (r->json != NULL && strstr(r->json, "\"linearizable\":") != NULL);
}

/* How the answer came about: for the curious, so not on standard output. */
static void print_details(const struct ridd_reply *r, enum ridd_via via)
{
    (void)fprintf(stderr, "%s: ", method_of(via));
    if (r->index != 0)
        (void)fprintf(stderr, "index %llu, ", (unsigned long long)r->index);
    if (r->staleness_us >= 0)
        (void)fprintf(stderr, "at most %llu ms old, ",
                      (unsigned long long)(r->staleness_us + 999) / 1000);
    else if (says_guarantee(r, via))
        (void)fprintf(stderr, "%s, ",
                      r->linearizable ? "linearizable" : "not linearizable: may be old");
    if (r->heartbeat_confirmed)
        (void)fprintf(stderr, "confirmed by a quorum, ");
    (void)fprintf(stderr, "from %s in %llu.%03u ms%s\n", r->endpoint,
                  (unsigned long long)(r->elapsed_us / 1000), (unsigned)(r->elapsed_us % 1000),
                  r->attempts > 1 ? " after more than one attempt" : "");
}

static int print_read_json(const struct ctl *ctl, const struct ridd_reply *r, const char *key,
                           enum ridd_via via)
{
    struct doc d = DOC_INIT;

    doc_open(&d, NULL, '{');
    doc_key(&d, ctl, key);
    doc_bool(&d, "exists", r->exists != 0);
    doc_raw(&d, "value", r->value, r->value_len);
    doc_str(&d, "method", method_of(via));
    if (r->index != 0)
        doc_u64(&d, "index", r->index);
    if (says_guarantee(r, via))
        doc_bool(&d, "linearizable", r->linearizable != 0);
    if (via == RIDD_VIA_READ_INDEX || r->heartbeat_confirmed)
        doc_bool(&d, "heartbeat_confirmed", r->heartbeat_confirmed != 0);
    if (r->staleness_us >= 0)
        doc_ms(&d, "staleness_ms", (uint64_t)r->staleness_us);
    return doc_print_call(&d, ctl, r);
}

static int print_read(const struct ctl *ctl, const struct ridd_reply *r, const char *key,
                      enum ridd_via via)
{
    int exit_code = CTL_EXIT_OK;

    if (r->value == NULL)
        return report(ctl, CTL_EXIT_NOBODY,
                      "'%.100s': the reply of %s holds no value; is that ridd?", key, r->endpoint);
    if (ctl->json)
        exit_code = print_read_json(ctl, r, key, via);
    else if (r->exists)
        (void)printf("%s\n", ctl->raw && r->string != NULL ? r->string : r->value);
    if (ctl->verbose)
        print_details(r, via);
    if (exit_code == CTL_EXIT_OK && !r->exists)
        return report(ctl, CTL_EXIT_NO_KEY, "'%.100s': no such key", key);
    return exit_code;
}

/* A linearizable read holds all that was seen, in the same cluster; whether it is the same only a
 * local read is asked to look at. */
static int check_seen(const struct ctl *ctl, struct ridd *client)
{
    struct keys_cluster it;
    const int exit_code = keys_ask_cluster(ctl, client, &it);

    if (exit_code != CTL_EXIT_OK || strcmp(it.hash, ctl->seen.cluster) == 0)
        return exit_code;
    return report(ctl, CTL_EXIT_PRECONDITION,
                  "the index was seen in another cluster, or in this one before it went on alone: "
                  "%s is %s",
                  it.endpoint, it.hash[0] != '\0' ? it.hash : "none that has a hash");
}

/* What was seen and is not there was of another cluster. */
static int check_index(const struct ctl *ctl, const struct ridd_reply *r)
{
    if (r->index >= ctl->seen.index)
        return CTL_EXIT_OK;
    return report(ctl, CTL_EXIT_PRECONDITION,
                  "%s has come to index %llu, and %llu was seen: of another cluster? read without "
                  "--min-index",
                  r->endpoint, (unsigned long long)r->index, (unsigned long long)ctl->seen.index);
}

static struct ridd_reply *ask_key(const struct ctl *ctl, struct ridd *client, struct ridd_key key,
                                  enum ridd_via via)
{
    struct ridd_op op = ridd_op(RIDD_OP_GET);

    op.key = key;
    op.via = via;
    op.max_stale_ms = ctl->max_stale_ms;
    if (via == RIDD_VIA_LOCAL) {
        op.min_index = ctl->seen.index;
        op.cluster = ctl->seen.cluster[0] != '\0' ? ctl->seen.cluster : NULL;
    }
    return ridd_call(client, &op);
}

static int read_key(struct ctl *ctl, enum ridd_via via)
{
    const char *arg = ctl->args[0];
    struct ridd *client = NULL;
    struct ridd_reply *r;
    struct ridd_key key;
    int exit_code = cluster_key(ctl, arg, &key);

    if (exit_code == CTL_EXIT_OK)
        exit_code = cluster_open(ctl, &client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (via != RIDD_VIA_LOCAL && ctl->seen.cluster[0] != '\0')
        exit_code = check_seen(ctl, client);
    if (exit_code != CTL_EXIT_OK) {
        ridd_close(client);
        return exit_code;
    }
    r = ask_key(ctl, client, key, via);
    if (r->status == RIDD_OK && check_index(ctl, r) != CTL_EXIT_OK)
        exit_code = CTL_EXIT_PRECONDITION;
    else if (r->status == RIDD_OK)
        exit_code = print_read(ctl, r, arg, via);
    else
        exit_code = report_failure(ctl, r, arg);
    ridd_reply_free(r);
    ridd_close(client);
    return exit_code;
}

int verb_read_index(struct ctl *ctl)
{
    return read_key(ctl, RIDD_VIA_READ_INDEX);
}

int verb_read_via_log(struct ctl *ctl)
{
    return read_key(ctl, RIDD_VIA_LOG);
}

int verb_follower_read(struct ctl *ctl)
{
    return read_key(ctl, RIDD_VIA_FOLLOWER);
}

int verb_lease_read(struct ctl *ctl)
{
    return read_key(ctl, RIDD_VIA_LEASE);
}

int verb_local_read(struct ctl *ctl)
{
    return read_key(ctl, RIDD_VIA_LOCAL);
}

int verb_get(struct ctl *ctl)
{
    if (ctl->max_stale_ms != 0 && ctl->via == RIDD_VIA_DEFAULT)
        ctl->via = RIDD_VIA_LOCAL; /* no other may be old at all */
    if (ctl->max_stale_ms != 0 && ctl->via != RIDD_VIA_LOCAL)
        return report(ctl, CTL_EXIT_USAGE, "--max-stale is for --via local: no other may be old");
    return read_key(ctl, ctl->via);
}

static int print_batch_json(const struct ctl *ctl, const struct ridd_reply *r)
{
    struct doc d = DOC_INIT;

    doc_open(&d, NULL, '{');
    doc_open(&d, "values", '[');
    for (size_t i = 0; i < r->n_items; i++) {
        doc_open(&d, NULL, '{');
        doc_raw(&d, "key", r->items[i].key, strlen(r->items[i].key));
        doc_bool(&d, "exists", r->items[i].exists != 0);
        doc_raw(&d, "value", r->items[i].value, r->items[i].value_len);
        doc_close(&d, '}');
    }
    doc_close(&d, ']');
    doc_u64(&d, "index", r->index);
    doc_bool(&d, "linearizable", r->linearizable != 0);
    doc_bool(&d, "heartbeat_confirmed", r->heartbeat_confirmed != 0);
    return doc_print_call(&d, ctl, r);
}

/* Values can be long and are shown whole, so the key's column alone is aligned. */
static void print_batch(const struct ctl *ctl, const struct ridd_reply *r)
{
    int width = 0;

    for (int i = 0; i < ctl->n_args; i++)
        if (strlen(ctl->args[i]) > (size_t)width && strlen(ctl->args[i]) <= 40)
            width = (int)strlen(ctl->args[i]);
    for (size_t i = 0; i < r->n_items; i++)
        (void)printf("%-*s  %s\n", width, ctl->args[i],
                     r->items[i].exists ? r->items[i].value : "(no such key)");
}

int verb_batch(struct ctl *ctl)
{
    cleanup_free struct ridd_key *keys = calloc((size_t)ctl->n_args, sizeof(*keys));
    struct ridd *client = NULL;
    struct ridd_reply *r;
    int exit_code = CTL_EXIT_OK;

    if (keys == NULL)
        return report_no_memory(ctl);
    for (int i = 0; i < ctl->n_args && exit_code == CTL_EXIT_OK; i++)
        exit_code = cluster_key(ctl, ctl->args[i], &keys[i]);
    if (exit_code == CTL_EXIT_OK)
        exit_code = cluster_open(ctl, &client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    r = ridd_batch_get(client, keys, (size_t)ctl->n_args);
    if (r->status != RIDD_OK)
        exit_code = report_failure(ctl, r, NULL);
    else if (ctl->json)
        exit_code = print_batch_json(ctl, r);
    else
        print_batch(ctl, r);
    if (r->status == RIDD_OK && ctl->verbose)
        print_details(r, RIDD_VIA_READ_INDEX);
    ridd_reply_free(r);
    ridd_close(client);
    return exit_code;
}
