/* bench: what ridbench does, found beside this program, or else in PATH. Its options are handed on
 * under the names that it knows them by; it takes the place of this process, so that signals and
 * the exit code are its own. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command_line_int.h"
#include "load/methods.h"

#include "base/banned.h"

#define NAME(name, ...) name,
static const char *const methods[] = {LOAD_METHODS(NAME)};

const char *ctl_bench_word(unsigned i)
{
    return i < sizeof(methods) / sizeof(methods[0]) ? methods[i] : NULL;
}

/* Room for each option with its value, and the end. */
#define N_WORDS 38u

struct command_line {
    char *words[N_WORDS + 1];
    char numbers[8][16];
    unsigned n;
    unsigned n_numbers;
};

static void add(struct command_line *l, const char *option, const char *value)
{
    if (value == NULL)
        return;
    l->words[l->n++] = (char *)(uintptr_t)option;
    l->words[l->n++] = (char *)(uintptr_t)value;
}

static void add_number(struct command_line *l, const char *option, unsigned value)
{
    char *text = l->numbers[l->n_numbers];

    if (value == 0)
        return;
    l->n_numbers++;
    (void)snprintf(text, sizeof(l->numbers[0]), "%u", value);
    add(l, option, text);
}

static void make_words(const struct ctl *ctl, char *program, struct command_line *l)
{
    l->words[l->n++] = program;
    add(l, "--endpoints", ctl->endpoints_option);
    add(l, "--config", ctl->config_option);
    add(l, "--ca", ctl->keyring.ca);
    add(l, "--cert", ctl->keyring.cert);
    add(l, "--key", ctl->keyring.key);
    add(l, "--secret", ctl->keyring.secret);
    add(l, "--cluster", ctl->keyring.cluster);
    add(l, "--server-name", ctl->keyring.server_name);
    add(l, "--token-file", ctl->keyring.token_file);
    add(l, "--method", ctl->method);
    add_number(l, "--connections", ctl->clients);
    add_number(l, "--in-flight", ctl->in_flight);
    add_number(l, "--seconds", ctl->seconds);
    add_number(l, "--keys", ctl->keys);
    add_number(l, "--value-bytes", ctl->value_bytes);
    add_number(l, "--timeout", ctl->timeout_ms);
    if (ctl->json)
        l->words[l->n++] = (char *)(uintptr_t) "--json";
    if (ctl->verbose)
        l->words[l->n++] = (char *)(uintptr_t) "--verbose";
}

/* False: this program has no folder that can be told. */
static bool find_beside(char *ret, size_t size)
{
    const ssize_t len = readlink("/proc/self/exe", ret, size);
    char *slash;

    if (len <= 0 || (size_t)len >= size)
        return false;
    ret[len] = '\0';
    slash = strrchr(ret, '/');
    if (slash == NULL || (size_t)(slash - ret) + sizeof("/ridbench") > size)
        return false;
    memcpy(slash, "/ridbench", sizeof("/ridbench"));
    return true;
}

int verb_bench(struct ctl *ctl)
{
    struct command_line l = {.n = 0};
    char beside[PATH_MAX];
    char in_path[] = "ridbench";

    make_words(ctl, in_path, &l);
    if (find_beside(beside, sizeof(beside)))
        (void)execv(beside, l.words);
    (void)execvp(in_path, l.words);
    return report(ctl, CTL_EXIT_SYSTEM,
                  "cannot run ridbench, neither beside this program nor in PATH: %s; it comes with "
                  "ridctl",
                  strerror(errno));
}
