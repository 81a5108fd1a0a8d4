/* A number that is free is the next that open() gives away. */
#include "base/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/banned.h"

void fds_hold_standard(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};

    /* In order, so that each gets its own number. */
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", modes[fd]);
}
