/* A heap sort: no memory and no worst case, unlike qsort(). */
#include "wire/json_names_int.h"

#include <string.h>

#include "base/banned.h"

int json_name_order(const char *text_a, const struct json_name *a, const char *text_b,
                    const struct json_name *b)
{
    int rc = memcmp(text_a + a->at, text_b + b->at, a->len < b->len ? a->len : b->len);

    return rc != 0 ? rc : (a->len > b->len) - (a->len < b->len);
}

static void sift_down(const char *text, struct json_name *v, unsigned root, unsigned n)
{
    for (;;) {
        unsigned child = 2 * root + 1;
        struct json_name swap;

        if (child >= n)
            return;
        if (child + 1 < n && json_name_order(text, &v[child], text, &v[child + 1]) < 0)
            child++;
        if (json_name_order(text, &v[root], text, &v[child]) >= 0)
            return;
        swap = v[root];
        v[root] = v[child];
        v[child] = swap;
        root = child;
    }
}

bool json_names_sort(const char *text, struct json_name *v, unsigned n)
{
    for (unsigned i = n / 2; i > 0; i--)
        sift_down(text, v, i - 1, n);
    for (unsigned i = n; i > 1; i--) {
        struct json_name swap = v[0];

        v[0] = v[i - 1];
        v[i - 1] = swap;
        sift_down(text, v, 0, i - 1);
    }
    for (unsigned i = 1; i < n; i++)
        if (json_name_order(text, &v[i - 1], text, &v[i]) == 0)
            return false;
    return true;
}
