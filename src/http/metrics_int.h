/* What the families write their samples with (metrics_text.c). */
#ifndef RIDD_HTTP_METRICS_INT_H
#define RIDD_HTTP_METRICS_INT_H

#include "http/metrics.h"

struct writer {
    const struct engine_metrics *e;
    const struct metrics_host *h;
    const struct metrics_server *s;
    const char *name; /* of the family */
    struct buf *out;
    bool failed;
};

/* At most two labels; NULL: no more. */
struct labels {
    const char *name[2];
    const char *value[2];
};
#define NO_LABELS ((struct labels){{NULL, NULL}, {NULL, NULL}})

/* name suffix {labels, le}, and a blank. */
void metrics_name(struct writer *w, const char *suffix, const struct labels *l, const char *le);
void metrics_sample(struct writer *w, struct labels l, uint64_t value);
void metrics_u64(struct writer *w, uint64_t value); /* without labels */
void metrics_labelled(struct writer *w, const char *name, const char *label, uint64_t value);
/* Microseconds as seconds. */
void metrics_sample_seconds(struct writer *w, struct labels l, uint64_t us);
void metrics_seconds(struct writer *w, uint64_t us);
/* 0 where the whole is 0. */
void metrics_ratio(struct writer *w, struct labels l, uint64_t part, uint64_t whole);
/* is_time: of microseconds; otherwise of whole numbers. */
void metrics_histogram(struct writer *w, struct labels l, const struct histogram *h, bool is_time);
/* 1 for the one that it is, 0 for each other. */
void metrics_one_of(struct writer *w, const char *label, const char *const *names, unsigned n,
                    const char *is);

#endif
