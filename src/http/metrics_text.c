/* Samples as Prometheus reads them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "http/metrics_int.h"

#include "base/banned.h"

#define METRICS_TIME_FIRST 6u  /* 64 us */
#define METRICS_TIME_LAST  24u /* 17 s */
#define METRICS_COUNT_LAST 16u

static void add(struct writer *w, const char *text)
{
    w->failed |= buf_add_str(w->out, text) != 0;
}

int metrics_add_label(struct buf *out, const char *text)
{
    int rc = 0;

    for (; *text != '\0' && rc == 0; text++) {
        if (*text == '\\')
            rc = buf_add_str(out, "\\\\");
        else if (*text == '"')
            rc = buf_add_str(out, "\\\"");
        else if (*text == '\n')
            rc = buf_add_str(out, "\\n");
        else
            rc = buf_add(out, text, 1);
    }
    return rc;
}

static void add_pair(struct writer *w, const char *name, const char *value)
{
    add(w, name);
    add(w, "=\"");
    w->failed |= metrics_add_label(w->out, value) != 0;
    add(w, "\"");
}

/* name suffix {labels, le}. */
void metrics_name(struct writer *w, const char *suffix, const struct labels *l, const char *le)
{
    const char *before = "{";

    add(w, w->name);
    add(w, suffix);
    for (unsigned i = 0; i < 2 && l->name[i] != NULL; i++) {
        add(w, before);
        add_pair(w, l->name[i], l->value[i]);
        before = ",";
    }
    if (le != NULL) {
        add(w, before);
        add_pair(w, "le", le);
        before = ",";
    }
    add(w, *before == ',' ? "} " : " ");
}

void metrics_sample(struct writer *w, struct labels l, uint64_t value)
{
    metrics_name(w, "", &l, NULL);
    w->failed |= buf_add_format(w->out, "%" PRIu64 "\n", value) != 0;
}

void metrics_u64(struct writer *w, uint64_t value)
{
    metrics_sample(w, NO_LABELS, value);
}

void metrics_labelled(struct writer *w, const char *name, const char *label, uint64_t value)
{
    metrics_sample(w, (struct labels){{name, NULL}, {label, NULL}}, value);
}

/* Whole microseconds as seconds, exactly. */
static void add_seconds(struct writer *w, uint64_t us)
{
    w->failed |=
        buf_add_format(w->out, "%" PRIu64 ".%06u\n", us / 1000000u, (unsigned)(us % 1000000u)) != 0;
}

void metrics_sample_seconds(struct writer *w, struct labels l, uint64_t us)
{
    metrics_name(w, "", &l, NULL);
    add_seconds(w, us);
}

void metrics_seconds(struct writer *w, uint64_t us)
{
    metrics_sample_seconds(w, NO_LABELS, us);
}

void metrics_ratio(struct writer *w, struct labels l, uint64_t part, uint64_t whole)
{
    metrics_name(w, "", &l, NULL);
    w->failed |=
        buf_add_format(w->out, "%.4f\n", whole > 0 ? (double)part / (double)whole : 0.0) != 0;
}

/* Edges are powers of two, of which the buckets know exactly how many values are below. */
void metrics_histogram(struct writer *w, struct labels l, const struct histogram *h, bool is_time)
{
    const unsigned first = is_time ? METRICS_TIME_FIRST : 1;
    const unsigned last = is_time ? METRICS_TIME_LAST : METRICS_COUNT_LAST;
    char le[24];

    for (unsigned i = first; i <= last; i++) {
        const uint64_t edge = UINT64_C(1) << i;
        const uint64_t n = histogram_n_below(h, edge);

        if (is_time)
            (void)snprintf(le, sizeof(le), "%.6f", (double)edge / 1e6);
        else
            (void)snprintf(le, sizeof(le), "%" PRIu64, edge - 1); /* whole numbers */
        metrics_name(w, "_bucket", &l, le);
        w->failed |= buf_add_format(w->out, "%" PRIu64 "\n", n) != 0;
    }
    metrics_name(w, "_bucket", &l, "+Inf");
    w->failed |= buf_add_format(w->out, "%" PRIu64 "\n", h->n) != 0;
    metrics_name(w, "_sum", &l, NULL);
    if (is_time)
        add_seconds(w, h->sum);
    else
        w->failed |= buf_add_format(w->out, "%" PRIu64 "\n", h->sum) != 0;
    metrics_name(w, "_count", &l, NULL);
    w->failed |= buf_add_format(w->out, "%" PRIu64 "\n", h->n) != 0;
}

/* 1 for the one that it is, 0 for each other. */
void metrics_one_of(struct writer *w, const char *label, const char *const *names, unsigned n,
                    const char *is)
{
    for (unsigned i = 0; i < n; i++)
        metrics_labelled(w, label, names[i], strcmp(names[i], is) == 0);
}
