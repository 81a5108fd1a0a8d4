/* Which family of metrics a name of a sample belongs to, for tests of what is written and of who
 * looks at it. */
#ifndef RIDD_TESTS_METRIC_NAMES_H
#define RIDD_TESTS_METRIC_NAMES_H

#include <stdbool.h>
#include <string.h>

#include "http/metrics.h"

/* Is it one of "a, b"? */
static inline bool is_in(const char *list, const char *name, size_t len)
{
    for (const char *p = list; *p != '\0';) {
        const size_t n = strcspn(p, ", ");

        if (n == len && memcmp(p, name, len) == 0)
            return true;
        p += n;
        p += strspn(p, ", ");
    }
    return false;
}

/* A histogram's samples have a suffix, and others none. NULL: it is nobody's. */
static inline const struct metric_family *family_of(const char *name, size_t len)
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    unsigned n;
    const struct metric_family *all = metrics_families(&n);

    for (unsigned i = 0; i < n; i++) {
        const size_t own = strlen(all[i].name);

        if (all[i].type != METRIC_HISTOGRAM && own == len && memcmp(all[i].name, name, len) == 0)
            return &all[i];
        for (unsigned k = 0; all[i].type == METRIC_HISTOGRAM && k < 3; k++)
            if (own + strlen(suffixes[k]) == len && memcmp(all[i].name, name, own) == 0 &&
                memcmp(name + own, suffixes[k], len - own) == 0)
                return &all[i];
    }
    return NULL;
}

/* le is that of the buckets of a histogram. */
static inline bool has_label(const struct metric_family *f, const char *name, size_t len)
{
    return is_in(f->labels, name, len) ||
           (f->type == METRIC_HISTOGRAM && len == 2 && memcmp(name, "le", 2) == 0);
}

#endif
