#include "cluster/s-client.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* What is said goes in at once; standard input stays open until what is waited for was written, for
 * its end is the end of the connection. */
static const char script[] =
    "cd \"$1\" && : >s-client.out || exit 1\n"
    "feed() {\n"
    "    printf '%b' \"$3\"\n"
    "    i=0\n"
    "    until grep -aqE \"^exit=|$4\" s-client.out || [ $i -ge 1500 ]; do\n"
    "        i=$((i + 1))\n"
    "        sleep 0.01\n"
    "    done\n"
    "}\n"
    "feed \"$@\" | { openssl s_client -connect \"127.0.0.1:$2\" $5 >>s-client.out 2>&1\n"
    "    echo \"exit=$?\" >>s-client.out; }\n";

bool s_client_is_there(void)
{
    const char *const argv[] = {"/bin/sh", "-c", "command -v openssl", NULL};
    const bool there = run_program(argv, NULL) == 0;

    if (!there)
        printf("the program openssl is not there: skipped\n");
    return there;
}

const char *s_client(const struct s_client *what)
{
    static struct buf out;
    char port[8];
    char path[300];
    const char *argv[] = {"/bin/sh", "-c",      script,      "sh",          what->folder,
                          port,      what->say, what->until, what->options, NULL};

    (void)snprintf(port, sizeof(port), "%u", what->port);
    (void)snprintf(path, sizeof(path), "%s/s-client.out", what->folder);
    assert_int_equal(run_program(argv, NULL), 0);
    file_read(path, &out);
    if (strstr((const char *)out.data, "\nexit=") == NULL)
        harness_fail("s_client was never done: %.1200s", (const char *)out.data);
    return (const char *)out.data;
}
