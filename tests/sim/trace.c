/* What a run leaves: a hash of everything that happened, lines for a person, marks of rare
 * branches, and the line of a violation, with which the process ends. */
#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "sim/sim.h"

#include "base/banned.h"

const char *const sim_mark_names[MARK_COUNT] = {
#define X(name) #name,
    SIM_MARKS(X)
#undef X
};
const char *const sim_stream_names[STREAM_COUNT] = {
    "profile", "loss", "dup",     "delay", "replay", "flip",    "conn",  "disk",
    "crash",   "turn", "client",  "op",    "state",  "nemesis", "clock", "heal",
    "piece",   "read", "feature", "snap",  "member", "session", "lease", "gone"};
const char *const sim_feature_names[FEATURE_COUNT] = {"stranger", "space",    "lines",  "snapshots",
                                                      "members",  "sessions", "leases", "tokens", "gone"};
const char *const sim_op_names[OP_COUNT] = {
    "write",    "cas",  "delete",        "read",       "read_log",     "read_local",
    "transfer", "open", "read_follower", "read_lease", "read_bounded", "read_token"};
const char *const sim_judge_names[JUDGE_COUNT] = {"all", "reads", "index"};

void trace_note(struct sim *s, uint64_t a, uint64_t b, uint64_t c)
{
    s->hash = hash_mix64(s->hash ^ (a * 0x9e3779b97f4a7c15u) ^ (b * 0xc2b2ae3d27d4eb4fu) ^
                         (c * 0x165667b19e3779f9u));
}

void sim_line(struct sim *s, const char *format, ...)
{
    va_list args;

    (void)printf("%12.6f %7" PRIu64 " ", (double)s->now / 1e9, s->n_events);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
}

const char *trace_commit(void)
{
    static char text[64];
    FILE *p;

    if (text[0] != '\0')
        return text;
    (void)snprintf(text, sizeof(text), "unknown");
#ifdef SIM_SRCDIR
    p = popen("git -C '" SIM_SRCDIR "' rev-parse --short=12 HEAD 2>/dev/null", "r");
    if (p != NULL) {
        char line[64];

        if (fgets(line, sizeof(line), p) != NULL && line[0] > ' ') {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(text, sizeof(text), "%s", line);
        }
        (void)pclose(p);
    }
#else
    (void)p;
#endif
    return text;
}

static void print_failure(struct sim *s, const char *invariant, const char *text)
{
    char options[512];

    options_print(&s->options, options, sizeof(options));
    (void)printf("sim FAIL %s commit=%s event=%" PRIu64 " time=%.6f node=n%u inv=%s \"%s\"\n",
                 options, trace_commit(), s->n_events, (double)s->now / 1e9, s->current_node + 1,
                 invariant, text);
    (void)fflush(stdout);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        state_remove_dir(&s->nodes[i]);
}

void sim_fail(struct sim *s, const char *invariant, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_failure(s, invariant, text);
    _exit(1);
}

/* An assertion of the code under test: the text goes to stderr with the place; here is what repeats
 * it. */
static void assert_context(void *ctx, char *buf, size_t size)
{
    struct sim *s = ctx;

    print_failure(s, "assert", "an assertion of the code under test, see the line after this");
    (void)snprintf(buf, size, "seed=0x%" PRIx64 " event=%" PRIu64 " node=n%u", s->options.seed,
                   s->n_events, s->current_node + 1);
}

void trace_watch(struct sim *s)
{
    rid_assert_set_context(s != NULL ? assert_context : NULL, s);
}
