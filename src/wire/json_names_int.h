/* Names of objects by their order, for who looks at the text and has no tree (json_compact.c,
 * value_equal.c). A name is where it stands in its text, with its quotes: in compact text equal
 * names have equal escapes. Pure, no memory, any thread. */
#ifndef RIDD_WIRE_JSON_NAMES_INT_H
#define RIDD_WIRE_JSON_NAMES_INT_H

#include <stdbool.h>
#include <stdint.h>

struct json_name {
    uint32_t at;
    uint32_t len;
    uint32_t value; /* where the value begins; the caller's */
};

/* As memcmp(), the shorter first. */
int json_name_order(const char *text_a, const struct json_name *a, const char *text_b,
                    const struct json_name *b);
/* False: a name stands twice. */
bool json_names_sort(const char *text, struct json_name *v, unsigned n);

#endif
