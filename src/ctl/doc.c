/* A JSON document from parts. Values from the server are spliced in as text, so that they reach a
 * program as they were written: printing them again through a library would turn 0.1 into
 * 0.10000000000000001. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

static void add(struct doc *d, const char *s, size_t len)
{
    if (buf_add(&d->buf, s, len) != 0)
        d->failed = true;
}

static void add_string(struct doc *d, const char *s)
{
    cleanup_free char *json = NULL;

    if (ridd_json_string(s, strlen(s), &json) == RIDD_OK)
        add(d, json, strlen(json));
    else
        add(d, "\"?\"", 3); /* not UTF-8, or no memory, which the next add finds */
}

static void begin(struct doc *d, const char *name)
{
    if (d->comma)
        add(d, ",", 1);
    d->comma = true;
    if (name != NULL) {
        add_string(d, name);
        add(d, ":", 1);
    }
}

void doc_open(struct doc *d, const char *name, char bracket)
{
    begin(d, name);
    add(d, &bracket, 1);
    d->comma = false;
}

void doc_close(struct doc *d, char bracket)
{
    add(d, &bracket, 1);
    d->comma = true;
}

void doc_str(struct doc *d, const char *name, const char *s)
{
    begin(d, name);
    add_string(d, s);
}

void doc_u64(struct doc *d, const char *name, uint64_t v)
{
    begin(d, name);
    if (buf_add_format(&d->buf, "%llu", (unsigned long long)v) != 0)
        d->failed = true;
}

void doc_int(struct doc *d, const char *name, int64_t v)
{
    begin(d, name);
    if (buf_add_format(&d->buf, "%lld", (long long)v) != 0)
        d->failed = true;
}

void doc_bool(struct doc *d, const char *name, bool v)
{
    doc_raw(d, name, v ? "true" : "false", v ? 4 : 5);
}

void doc_null(struct doc *d, const char *name)
{
    doc_raw(d, name, "null", 4);
}

void doc_ms(struct doc *d, const char *name, uint64_t us)
{
    begin(d, name);
    if (buf_add_format(&d->buf, "%llu.%03u", (unsigned long long)(us / 1000),
                       (unsigned)(us % 1000)) != 0)
        d->failed = true;
}

void doc_raw(struct doc *d, const char *name, const char *json, size_t len)
{
    begin(d, name);
    add(d, json, len);
}

int doc_print(struct doc *d, const struct ctl *ctl)
{
    bool failed = d->failed;

    if (!failed) {
        (void)fwrite(d->buf.data, 1, d->buf.len, stdout);
        (void)putchar('\n'); /* errors of standard output are found at the end of main() */
    }
    buf_done(&d->buf);
    return failed ? report_no_memory(ctl) : CTL_EXIT_OK;
}

void doc_key(struct doc *d, const struct ctl *ctl, const char *key)
{
    if (ctl->int_key)
        doc_raw(d, "key", key, strlen(key));
    else
        doc_str(d, "key", key);
}

int doc_print_call(struct doc *d, const struct ctl *ctl, const struct ridd_reply *r)
{
    doc_str(d, "endpoint", r->endpoint);
    doc_u64(d, "attempts", r->attempts);
    doc_ms(d, "elapsed_ms", r->elapsed_us);
    doc_close(d, '}');
    return doc_print(d, ctl);
}
