/* put, del, cas. A value is a string unless --json-value says that it is JSON; `-` reads it from
 * standard input. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

/* All of standard input, without its last newline. */
static int read_stdin(const struct ctl *ctl, struct buf *ret)
{
    for (;;) {
        void *p = buf_reserve(ret, CTL_CHUNK_BYTES);
        ssize_t n;

        if (p == NULL)
            return report_no_memory(ctl);
        n = read(STDIN_FILENO, p, CTL_CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return report(ctl, CTL_EXIT_USAGE, "cannot read standard input: %s", strerror(errno));
        if (n == 0)
            break;
        ret->len += (size_t)n;
        if (ret->len > CTL_STDIN_BYTES_MAX)
            return report(ctl, CTL_EXIT_USAGE,
                          "the value on standard input is longer than %zu bytes",
                          CTL_STDIN_BYTES_MAX);
    }
    if (ret->len > 0 && ret->data[ret->len - 1] == '\n')
        ret->len--;
    return CTL_EXIT_OK;
}

/* The value of an argument as JSON text. */
static int take_value(const struct ctl *ctl, const char *arg, char **ret_json)
{
    cleanup_buf struct buf in = BUF_INIT;
    bool from_stdin = strcmp(arg, "-") == 0;
    enum ridd_status status;
    int exit_code = CTL_EXIT_OK;

    if (from_stdin)
        exit_code = read_stdin(ctl, &in);
    else if (buf_add_str(&in, arg) != 0)
        return report_no_memory(ctl);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (from_stdin && bytes_look_utf16(in.data, in.len))
        return report(ctl, CTL_EXIT_USAGE, "the value is UTF-16, not UTF-8");
    if (ctl->json_value) {
        if (memchr(in.data, '\0', in.len) != NULL)
            return report(ctl, CTL_EXIT_USAGE, "the value holds a NUL byte");
        if (buf_add_u8(&in, 0) != 0)
            return report_no_memory(ctl);
        *ret_json = (char *)take_ptr(in.data);
        return CTL_EXIT_OK;
    }
    status = ridd_json_string(in.data != NULL ? (const char *)in.data : "", in.len, ret_json);
    if (status == RIDD_INVALID)
        return report(ctl, CTL_EXIT_USAGE, "the value is not UTF-8 text without NUL bytes");
    return status == RIDD_OK ? CTL_EXIT_OK : report_no_memory(ctl);
}

static int print_write_json(const struct ctl *ctl, const struct ridd_reply *r, const char *key)
{
    struct doc d = DOC_INIT;

    doc_open(&d, NULL, '{');
    doc_key(&d, ctl, key);
    doc_bool(&d, "ok", true);
    if (strcmp(ctl->verb->name, "del") == 0)
        doc_bool(&d, "existed", r->exists != 0);
    if (r->index != 0)
        doc_u64(&d, "index", r->index);
    return doc_print_call(&d, ctl, r);
}

/* Reports a finished write and frees what it needed. */
static int finish(const struct ctl *ctl, struct ridd *client, struct ridd_reply *r)
{
    const char *key = ctl->args[0];
    int exit_code = CTL_EXIT_OK;

    if (r->status != RIDD_OK)
        exit_code = report_failure(ctl, r, key);
    else if (ctl->json)
        exit_code = print_write_json(ctl, r, key);
    else if (ctl->verbose)
        (void)fprintf(stderr, "%s: index %llu, from %s in %llu.%03u ms\n", ctl->verb->name,
                      (unsigned long long)r->index, r->endpoint,
                      (unsigned long long)(r->elapsed_us / 1000), (unsigned)(r->elapsed_us % 1000));
    ridd_reply_free(r);
    ridd_close(client);
    return exit_code;
}

int verb_put(struct ctl *ctl)
{
    cleanup_free char *json = NULL;
    struct ridd *client = NULL;
    struct ridd_key key;
    int exit_code = cluster_key(ctl, ctl->args[0], &key);

    if (exit_code == CTL_EXIT_OK)
        exit_code = take_value(ctl, ctl->args[1], &json);
    if (exit_code == CTL_EXIT_OK)
        exit_code = cluster_open(ctl, &client);
    return exit_code != CTL_EXIT_OK ? exit_code : finish(ctl, client, ridd_put(client, key, json));
}

int verb_del(struct ctl *ctl)
{
    struct ridd *client = NULL;
    struct ridd_reply *r;
    struct ridd_key key;
    int exit_code = cluster_key(ctl, ctl->args[0], &key);
    bool existed;

    if (exit_code == CTL_EXIT_OK)
        exit_code = cluster_open(ctl, &client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    r = ridd_del(client, key);
    existed = r->status != RIDD_OK || r->exists;
    exit_code = finish(ctl, client, r);
    if (exit_code == CTL_EXIT_OK && !existed)
        return report(ctl, CTL_EXIT_NO_KEY, "'%.100s': no such key, nothing to delete",
                      ctl->args[0]);
    return exit_code;
}

int verb_cas(struct ctl *ctl)
{
    cleanup_free char *from = NULL;
    cleanup_free char *to = NULL;
    struct ridd *client = NULL;
    struct ridd_key key;
    int exit_code = cluster_key(ctl, ctl->args[0], &key);

    if (exit_code == CTL_EXIT_OK && strcmp(ctl->args[1], "-") == 0 &&
        strcmp(ctl->args[2], "-") == 0)
        return report(ctl, CTL_EXIT_USAGE, "only one of FROM and TO can come from standard input");
    if (exit_code == CTL_EXIT_OK)
        exit_code = take_value(ctl, ctl->args[1], &from);
    if (exit_code == CTL_EXIT_OK)
        exit_code = take_value(ctl, ctl->args[2], &to);
    if (exit_code == CTL_EXIT_OK)
        exit_code = cluster_open(ctl, &client);
    return exit_code != CTL_EXIT_OK
               ? exit_code
               : finish(ctl, client, ridd_cas(client, key, from, to, ctl->create));
}
