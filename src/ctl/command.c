/* posix_spawn(), a pipe, and a deadline. */
#include "ctl/command_int.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"

#include "base/banned.h"

#ifndef RIDD_SBINDIR
#define RIDD_SBINDIR "/usr/sbin"
#endif

extern char **environ;

static int start(const char *const *argv, int out_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    char **args;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc != 0)
        return -rc;
    memcpy(&args, &argv, sizeof(args)); /* posix_spawnp() only reads them, its prototype is old */
    rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawnp(ret_pid, argv[0], &actions, NULL, args, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

/* 0: the end; -EAGAIN: there may be more. */
static int take(int fd, size_t bytes_max, struct buf *out, bool *ret_cut)
{
    char piece[CTL_CHUNK_BYTES];
    ssize_t n = read(fd, piece, sizeof(piece));
    size_t room = bytes_max - out->len;

    if (n == 0)
        return 0;
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    if ((size_t)n > room)
        *ret_cut = true;
    if (buf_add(out, piece, (size_t)n < room ? (size_t)n : room) != 0)
        return -ENOMEM;
    return -EAGAIN;
}

static int take_all(int fd, unsigned timeout_ms, size_t bytes_max, struct buf *out, bool *ret_cut)
{
    const uint64_t end_us = clock_mono_us() + timeout_ms * UINT64_C(1000);
    int rc = -EAGAIN;

    while (rc == -EAGAIN) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const uint64_t now_us = clock_mono_us();
        int n;

        if (now_us >= end_us)
            return -ETIMEDOUT;
        n = poll(&p, 1, (int)((end_us - now_us) / 1000) + 1);
        if (n > 0)
            rc = take(fd, bytes_max, out, ret_cut);
        else if (n < 0 && errno != EINTR)
            rc = -errno;
    }
    return rc;
}

int command_run(const char *const *argv, unsigned timeout_ms, size_t bytes_max, struct buf *out,
                bool *ret_cut, int *ret_status)
{
    int pipe_fds[2];
    int status = 0;
    pid_t pid = -1;
    int rc;

    *ret_cut = false;
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return err_origin(-errno);
    rc = start(argv, pipe_fds[1], &pid);
    (void)close(pipe_fds[1]);
    if (rc == 0) {
        rc = take_all(pipe_fds[0], timeout_ms, bytes_max, out, ret_cut);
        if (rc != 0)
            (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    (void)close(pipe_fds[0]);
    if (buf_add_u8(out, 0) != 0)
        return err_origin(-ENOMEM);
    out->len--;
    return rc;
}

/* Beside this very program: of the same build, wherever that lies. */
static bool find_beside(char *ret_path, size_t size)
{
    char self[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n <= 0)
        return false;
    self[n] = '\0';
    return (size_t)snprintf(ret_path, size, "%s/ridd", dirname(self)) < size &&
           access(ret_path, X_OK) == 0;
}

bool command_find_ridd(char *ret_path, size_t size)
{
    return find_beside(ret_path, size) ||
           ((size_t)snprintf(ret_path, size, "%s/ridd", RIDD_SBINDIR) < size &&
            access(ret_path, X_OK) == 0);
}
