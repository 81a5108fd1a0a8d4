/* What an assertion comes to in libridd: a mistake of its own, which says where before it ends the
 * process. The daemon's tells its log, too, which there is not in somebody else's program. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

void rid_assert_fail(const char *expr, const char *file, int line, const char *func)
{
    (void)fprintf(stderr, "libridd: assertion '%s' failed at %s:%d in %s\n", expr, file, line,
                  func);
    abort();
}
