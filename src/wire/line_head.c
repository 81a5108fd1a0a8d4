/* The two signs of a stranger: a connection that does not begin with an object, and a line that
 * begins with a method of HTTP. */
#include "wire/line_head.h"

#include <stdint.h>
#include <string.h>

#include "base/banned.h"

/* With the blank behind them: no JSON begins so. */
static const char *const methods[] = {"GET ",     "HEAD ",    "POST ",  "PUT ",   "DELETE ",
                                      "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI "};

static enum wire_line_head against_methods(const char *head, size_t len)
{
    enum wire_line_head found = WIRE_LINE_OURS;

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        const size_t n = strlen(methods[i]);

        if (memcmp(head, methods[i], len < n ? len : n) != 0)
            continue;
        if (len >= n)
            return WIRE_LINE_FOREIGN;
        found = WIRE_LINE_UNDECIDED;
    }
    return found;
}

enum wire_line_head wire_line_head(const char *head, size_t len, bool first)
{
    if (len == 0)
        return WIRE_LINE_UNDECIDED;
    if (wire_line_is_object(head[0]))
        return WIRE_LINE_OURS;
    return first ? WIRE_LINE_FOREIGN : against_methods(head, len);
}
