/* No core of what holds values (GUARD-1). A limit of 0 is looked at only where the kernel writes
 * the file itself: a program that takes cores through a pipe is started all the same. One byte is
 * less than any core has, and is what the kernel takes as "not by a pipe either". */
#include "base/cores.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/banned.h"

void cores_off(void)
{
    static const struct rlimit one = {1, 1};
    static const struct rlimit none = {0, 0};
    const char *said = getenv("RIDD_CORE"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */

    if (said != NULL && strcmp(said, "yes") == 0)
        return;
    /* Where the limit is 0 already, only root gets as far as 1. */
    if (setrlimit(RLIMIT_CORE, &one) != 0)
        (void)setrlimit(RLIMIT_CORE, &none);
}
