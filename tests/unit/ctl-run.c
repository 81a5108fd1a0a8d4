#include "unit/ctl-run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 24

char program[4096];
struct result result;
const char *input;
const char *env_endpoints;
const char *env_conf;
const char *env_locale = "C";
static char directory[] = "/tmp/ridd-test-ctl-XXXXXX";

void read_file(const char *path, char *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    assert_true(fd >= 0);
    n = read(fd, ret, BYTES_MAX - 1);
    assert_true(n >= 0);
    ret[n] = '\0';
    (void)close(fd);
}

void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

void redirect(const char *path, int flags, int to)
{
    int fd = open(path, flags, 0600);

    if (fd < 0 || dup2(fd, to) < 0)
        _exit(126);
    if (fd != to)
        (void)close(fd);
}

void set_env(const char *name, const char *value)
{
    if (value != NULL)
        (void)setenv(name, value, 1);
    else
        (void)unsetenv(name);
}

void run_args(const char *out_path, char *const *argv)
{
    pid_t pid;
    int status;

    if (input != NULL)
        write_file("in", input);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        redirect(input != NULL ? "in" : "/dev/null", O_RDONLY, STDIN_FILENO);
        redirect(out_path, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
        redirect("err", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
        set_env("RIDCTL_ENDPOINTS", env_endpoints);
        set_env("RIDD_CONF", env_conf);
        set_env("LC_ALL", env_locale);
        (void)alarm(60); /* nothing here may hang */
        (void)execv(program, argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result.out[0] = '\0';
    if (strcmp(out_path, "out") == 0)
        read_file("out", result.out);
    read_file("err", result.err);
}

/* Runs ridctl with these arguments, the last NULL. */
void run(const char *first, ...)
{
    char *argv[ARGS_MAX] = {program};
    char words[4096];
    size_t used = 0;
    int n = 1;
    va_list ap;

    va_start(ap, first);
    for (const char *s = first; s != NULL && n < ARGS_MAX - 1; s = va_arg(ap, const char *)) {
        argv[n++] = words + used;
        used += (size_t)snprintf(words + used, sizeof(words) - used, "%s", s) + 1;
        assert_true(used < sizeof(words));
    }
    va_end(ap);
    run_args("out", argv);
}

/* '*' matches any run of bytes. */
bool matches(const char *text, const char *pattern)
{
    for (; *pattern != '\0'; pattern++, text++) {
        if (*pattern == '*') {
            for (pattern++;; text++) {
                if (matches(text, pattern))
                    return true;
                if (*text == '\0')
                    return false;
            }
        }
        if (*text != *pattern)
            return false;
    }
    return *text == '\0';
}

bool names_command(const char *text)
{
    static const char *const marks[] = {
        "`ridctl ", "`ridd ",    "'ridctl ",      "'ridd ",         "'df'",
        "'id'",     "'free -m'", "usage: ridctl", "did you mean '", "give --endpoints"};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (strstr(text, marks[i]) != NULL)
            return true;
    return false;
}

/* A line without the command that stands at its end where nothing better is known. */
static bool matches_before_next(const char *text, const char *pattern)
{
    char longer[BYTES_MAX];
    const size_t len = strlen(pattern);

    if (len == 0 || pattern[len - 1] != '\n' || names_command(pattern))
        return false;
    (void)snprintf(longer, sizeof(longer), "%.*s%s '*\n", (int)len - 1, pattern,
                   pattern[len - 2] == '?' ? "" : ";*");
    return matches(text, longer);
}

bool matches_failure(const char *text, const char *pattern)
{
    return matches(text, pattern) || matches_before_next(text, pattern);
}

void expect_at(int exit_code, const char *out, const char *err, int line)
{
    const char *failure = strstr(result.err, "ridctl: ");
    bool good = result.exit_code == exit_code && matches(result.out, out) &&
                matches_failure(result.err, err);

    if (!good)
        print_error("line %d: exit code %d (expected %d)\n---- output:\n%s---- expected:\n%s\n---- "
                    "errors:\n%s---- "
                    "expected:\n%s\n",
                    line, result.exit_code, exit_code, result.out, out, result.err, err);
    /* Every failure ends with what to type next (TELL-1). */
    if (failure != NULL && !names_command(failure))
        print_error("line %d: no command in: %s\n", line, failure);
    assert_true(good && (failure == NULL || names_command(failure)));
}

int ctl_run_set_up(void **state)
{
    const char *top = getenv("top_builddir");
    char relative[2048];

    (void)state;
    (void)snprintf(relative, sizeof(relative), "%s/ridctl", top != NULL ? top : ".");
    if (realpath(relative, program) == NULL || mkdtemp(directory) == NULL ||
        chdir(directory) != 0) {
        print_error("cannot find '%s' or work in '%s': %s\n", relative, directory, strerror(errno));
        return -1;
    }
    (void)unsetenv("NO_COLOR");
    return 0;
}

int ctl_run_tear_down(void **state)
{
    DIR *dir = opendir(".");
    const struct dirent *entry;

    (void)state;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlink(entry->d_name);
    if (dir != NULL)
        (void)closedir(dir);
    return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}
