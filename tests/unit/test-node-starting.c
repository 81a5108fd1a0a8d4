/* node: what systemd is told of a start that takes long (UNIT-1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/progress.h"
#include "node/node_int.h"
#include "node/notify.h"

static int heard_fd = -1;
static char heard[1024];

/* An abstract socket: nothing is left of it. */
static int listen_as_systemd(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char name[80];
    int len;

    (void)state;
    len = snprintf(name, sizeof(name), "@ridd-test-%d", (int)getpid());
    heard_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(un.sun_path + 1, name + 1, (size_t)len - 1);
    log_set_level(LOG_ERROR);
    return setenv("NOTIFY_SOCKET", name, 1) != 0 ||
           bind(heard_fd, (struct sockaddr *)&un,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)) != 0;
}

static int stop_listening(void **state)
{
    (void)state;
    return close(heard_fd);
}

static const char *hear(void)
{
    const ssize_t n = recv(heard_fd, heard, sizeof(heard) - 1, 0);

    if (n < 0)
        return NULL;
    heard[n] = '\0';
    return heard;
}

static void starting__only_what_moves_asks_for_time(void **state)
{
    static struct node node;
    const char *const what = "reading the log";

    (void)state;
    node_starting_begin(&node);
    assert_string_equal(hear(), "STATUS=starting: opening the data directory");
    progress_tell(what, 10, 100);
    assert_null(hear()); /* what is over within a second nobody needs to hear of */
    node.starting.say_us = 0;
    progress_tell(what, 20, 100);
    assert_string_equal(hear(), "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=starting: reading the log, "
                                "20 %");
    assert_true(node.starting.say_us > 0);
    /* Round in circles. */
    for (unsigned i = 0; i < 3; i++) {
        node.starting.say_us = 0;
        progress_tell(what, 20 - i, 100);
        assert_null(hear());
    }
    progress_tell(what, 21, 100);
    assert_non_null(hear());
    /* The next piece of work begins at its own beginning. */
    node.starting.say_us = 0;
    progress_tell("checking the state", 1, 3);
    assert_string_equal(hear(), "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=starting: checking the "
                                "state, 33 %");
    node_starting_end();
    node.starting.say_us = 0;
    progress_tell("checking the state", 2, 3);
    assert_null(hear());
}

static void starting__percent(void **state)
{
    (void)state;
    assert_int_equal(node_percent(0, 0), 100);
    assert_int_equal(node_percent(0, 7), 0);
    assert_int_equal(node_percent(999, 1000), 99);
    assert_int_equal(node_percent(7, 7), 100);
    assert_int_equal(node_percent(8, 7), 100); /* the total is an estimate */
    assert_int_equal(node_percent(UINT64_MAX / 2, UINT64_MAX), 50);
}

static void notify__reloading(void **state)
{
    (void)state;
    notify_reloading();
    assert_non_null(hear());
    assert_memory_equal(heard, "RELOADING=1\nMONOTONIC_USEC=", 27);
    assert_true(strtoull(heard + 27, NULL, 10) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starting__only_what_moves_asks_for_time),
        cmocka_unit_test(starting__percent),
        cmocka_unit_test(notify__reloading),
    };

    return cmocka_run_group_tests(tests, listen_as_systemd, stop_listening);
}
