/* Where a client looks for the file of its cluster when nobody says where. */
#include <stdlib.h>
#include <unistd.h>

#include "conf/conf.h"

#include "base/banned.h"

const char *conf_client_path(const char *installed)
{
    const char *named = getenv("RIDD_CONF");

    if (named != NULL && named[0] != '\0')
        return named;
    if (access("./ridd.conf", F_OK) == 0)
        return "./ridd.conf";
    return access(installed, F_OK) == 0 ? installed : NULL;
}
