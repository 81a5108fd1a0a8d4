/* Options as text, runs in a process of their own, and a failing run made smaller: leave out kinds
 * of faults, episodes, clients and operations as long as the same rule breaks, then end it at the
 * event that breaks it.
 *
 * A script is one line of words, name=value, behind lines of comment; tests/sim/regress has those
 * that once failed. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/sim.h"

#include "base/banned.h"

/* ---- options ---- */

static void add_names(char *text, size_t size, const char *word, uint64_t bits,
                      const char *const *names, unsigned n)
{
    const char *between = word;

    for (unsigned i = 0; i < n; i++) {
        size_t len = strlen(text);

        if ((bits >> i & 1) == 0)
            continue;
        (void)snprintf(text + len, size - len, "%s%s", between, names[i]);
        between = ",";
    }
}

void options_print(const struct sim_options *o, char *text, size_t size)
{
    size_t len;

    (void)snprintf(text, size, "seed=0x%" PRIx64, o->seed);
    len = strlen(text);
    if (o->n_nodes != 0)
        (void)snprintf(text + len, size - len, " nodes=%u", o->n_nodes);
    add_names(text, size, " streams-off=", o->streams_off, sim_stream_names, STREAM_COUNT);
    add_names(text, size, " ops-off=", o->ops_off, sim_op_names, OP_COUNT);
    add_names(text, size, " features-off=", o->features_off, sim_feature_names, FEATURE_COUNT);
    len = strlen(text);
    if (o->wrong_clocks)
        (void)snprintf(text + len, size - len, " clocks=wrong");
    len = strlen(text);
    if (o->judge != JUDGE_ALL)
        (void)snprintf(text + len, size - len, " judge=%s", sim_judge_names[o->judge]);
    len = strlen(text);
    if (o->episodes_off != 0)
        (void)snprintf(text + len, size - len, " episodes-off=0x%" PRIx64, o->episodes_off);
    len = strlen(text);
    if (o->clients_off != 0)
        (void)snprintf(text + len, size - len, " clients-off=0x%" PRIx64, o->clients_off);
    len = strlen(text);
    if (o->events_max != 0)
        (void)snprintf(text + len, size - len, " events=%" PRIu64, o->events_max);
}

static bool read_names(const char *value, const char *const *names, unsigned n, uint64_t *ret_bits)
{
    uint64_t bits = 0;

    while (*value != '\0') {
        size_t len = strcspn(value, ",");
        unsigned i = 0;

        while (i < n && (strlen(names[i]) != len || memcmp(names[i], value, len) != 0))
            i++;
        if (i == n)
            return false;
        bits |= UINT64_C(1) << i;
        value += len + (value[len] == ',');
    }
    *ret_bits = bits;
    return true;
}

static bool read_judge(const char *value, enum sim_judge *ret_judge)
{
    for (unsigned i = 0; i < JUDGE_COUNT; i++) {
        if (strcmp(value, sim_judge_names[i]) != 0)
            continue;
        *ret_judge = (enum sim_judge)i;
        return true;
    }
    return false;
}

bool options_word(struct sim_options *o, const char *word)
{
    const char *value = strchr(word, '=');
    size_t len = value != NULL ? (size_t)(value - word) : 0;
    uint64_t number;
    char *end;

    if (value == NULL)
        return false;
    value++;
    if (len == 11 && memcmp(word, "streams-off", len) == 0)
        return read_names(value, sim_stream_names, STREAM_COUNT, &o->streams_off);
    if (len == 7 && memcmp(word, "ops-off", len) == 0)
        return read_names(value, sim_op_names, OP_COUNT, &o->ops_off);
    if (len == 12 && memcmp(word, "features-off", len) == 0)
        return read_names(value, sim_feature_names, FEATURE_COUNT, &o->features_off);
    if (len == 6 && memcmp(word, "clocks", len) == 0)
        return o->wrong_clocks = strcmp(value, "wrong") == 0;
    if (len == 5 && memcmp(word, "judge", len) == 0)
        return read_judge(value, &o->judge);
    if (len == 6 && memcmp(word, "expect", len) == 0)
        return (size_t)snprintf(o->expect, sizeof(o->expect), "%s", value) < sizeof(o->expect);
    errno = 0;
    number = strtoull(value, &end, 0);
    if (errno != 0 || end == value || *end != '\0')
        return false;
    if (len == 4 && memcmp(word, "seed", len) == 0)
        o->seed = number;
    else if (len == 5 && memcmp(word, "nodes", len) == 0 && number >= 1 && number <= SIM_NODES_MAX)
        o->n_nodes = (unsigned)number;
    else if (len == 12 && memcmp(word, "episodes-off", len) == 0)
        o->episodes_off = number;
    else if (len == 11 && memcmp(word, "clients-off", len) == 0)
        o->clients_off = number;
    else if (len == 6 && memcmp(word, "events", len) == 0)
        o->events_max = number;
    else
        return false;
    return true;
}

bool options_read(struct sim_options *o, const char *path)
{
    FILE *f = fopen(path, "re");
    char line[1024];
    bool good = false;

    if (f == NULL)
        return false;
    while (fgets(line, sizeof(line), f) != NULL) {
        char *rest = line;
        char *word;

        if (line[0] == '#')
            continue;
        while ((word = strtok_r(rest, " \n", &rest)) != NULL) {
            good = options_word(o, word);
            if (!good) {
                (void)fclose(f);
                return false;
            }
        }
    }
    (void)fclose(f);
    return good;
}

/* ---- probes ---- */

static void run_child(const struct sim_options *o, int fd)
{
    struct sim *s;

    if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(3);
    s = run_new(o);
    run_seed(s);
    (void)fflush(stdout);
    run_free(s);
    _exit(0);
}

/* What broke, without numbers that may change: the name of the rule, or the assertion and its
 * place. */
static void read_output(FILE *f, char *what, size_t size, uint64_t *event, bool quiet)
{
    char line[2048];

    while (fgets(line, sizeof(line), f) != NULL) {
        const char *inv = strstr(line, " inv=");
        const char *at = strstr(line, " event=");

        if (!quiet)
            (void)fputs(line, stdout);
        if (strncmp(line, "sim FAIL ", 9) == 0 && inv != NULL && at != NULL) {
            *event = strtoull(at + 7, NULL, 10);
            (void)snprintf(what, size, "%.*s", (int)strcspn(inv + 5, " "), inv + 5);
        } else if (strncmp(line, "ridd: assertion", 15) == 0) {
            const char *end = strstr(line, " in ");

            (void)snprintf(what, size, "%.*s", end != NULL ? (int)(end - line) : 200, line);
        } else if (what[0] == '\0' && strncmp(line, "==", 2) == 0) {
            (void)snprintf(what, size, "sanitizer");
        }
    }
}

int probe_run(const struct sim_options *o, char *ret_what, size_t size, uint64_t *ret_event,
              bool quiet)
{
    int fds[2];
    int status = 0;
    pid_t pid;
    FILE *f;

    ret_what[0] = '\0';
    *ret_event = 0;
    (void)fflush(NULL);
    if (pipe(fds) != 0)
        abort();
    pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        (void)close(fds[0]);
        run_child(o, fds[1]);
    }
    (void)close(fds[1]);
    f = fdopen(fds[0], "r");
    if (f == NULL)
        abort();
    read_output(f, ret_what, size, ret_event, quiet);
    (void)fclose(f);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status == 0)
        return 0;
    if (ret_what[0] == '\0')
        (void)snprintf(ret_what, size, "status %d", status);
    return 1;
}

/* ---- shrinking ---- */

struct search {
    struct sim_options best;
    char what[256];
    uint64_t event;
    unsigned n_tried;
};

static bool try(struct search *x, const struct sim_options *o)
{
    char what[256];
    uint64_t event;

    x->n_tried++;
    if (probe_run(o, what, sizeof(what), &event, true) == 0 || strcmp(what, x->what) != 0)
        return false;
    x->best = *o;
    x->event = event;
    return true;
}

static void try_bits(struct search *x, uint64_t *field, uint64_t all)
{
    /* All of them, then halves, quarters, ..., single ones. */
    for (unsigned width = 64; width >= 1; width /= 2) {
        for (unsigned from = 0; from < 64; from += width) {
            uint64_t bits = (width == 64 ? UINT64_MAX : ((UINT64_C(1) << width) - 1) << from) & all;
            uint64_t before = *field;

            if ((bits & ~before) == 0)
                continue;
            *field |= bits;
            if (!try(x, &x->best))
                *field = before;
        }
    }
}

/* try() copies what it is given into best, which is the same object here: a failed one is undone by
 * the caller. */
int shrink(const struct sim_options *o, const char *path)
{
    struct search x = {.best = *o};
    struct sim_options with_end;
    char text[512];
    FILE *f;

    x.best.trace = false;
    if (probe_run(&x.best, x.what, sizeof(x.what), &x.event, true) == 0) {
        (void)printf("sim: nothing to shrink, the run is well\n");
        return 1;
    }
    (void)printf("sim: shrinking a run that breaks %s at event %" PRIu64 "\n", x.what, x.event);
    for (unsigned nodes = 1; nodes <= 3 && o->n_nodes == 0; nodes += 2) {
        struct sim_options fewer = x.best;

        fewer.n_nodes = nodes;
        if (try(&x, &fewer))
            break;
    }
    for (unsigned round = 0; round < 2; round++) {
        try_bits(&x, &x.best.features_off, (UINT64_C(1) << FEATURE_COUNT) - 1);
        try_bits(&x, &x.best.streams_off, SIM_STREAMS_FAULTS);
        try_bits(&x, &x.best.episodes_off, (UINT64_C(1) << 24) - 1);
        try_bits(&x, &x.best.clients_off, (UINT64_C(1) << SIM_CLIENTS_MAX) - 1);
        try_bits(&x, &x.best.ops_off, (UINT64_C(1) << OP_COUNT) - 1);
    }
    with_end = x.best;
    with_end.events_max = x.event + 1;
    (void)try(&x, &with_end);
    options_print(&x.best, text, sizeof(text));
    (void)printf("sim: %u runs tried; still breaks %s at event %" PRIu64 ": %s\n", x.n_tried,
                 x.what, x.event, text);
    if (path == NULL)
        return 0;
    f = fopen(path, "we");
    if (f == NULL) {
        (void)printf("sim: cannot write '%s'\n", path);
        return 1;
    }
    (void)fprintf(f, "# Broke %s at event %" PRIu64 " of commit %s.\n%s\n", x.what, x.event,
                  trace_commit(), text);
    (void)fclose(f);
    (void)printf("sim: written to %s\n", path);
    return 0;
}
