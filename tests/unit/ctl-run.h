/* The real ridctl, run with words for arguments in a folder of its own; what it printed and its exit
 * code are compared whole.
 *
 * One test program, one folder, one run at a time: what it printed last is in `result`. */
#ifndef RIDD_TESTS_CTL_RUN_H
#define RIDD_TESTS_CTL_RUN_H

#include <stdbool.h>

#define STEPS(a)  (a), sizeof(a) / sizeof((a)[0])
#define BYTES_MAX 65536

struct result {
    int exit_code; /* -1: killed */
    char out[BYTES_MAX];
    char err[BYTES_MAX];
};

extern struct result result;
extern char program[4096];
/* Of the runs that follow: */
extern const char *input;         /* for standard input; NULL: /dev/null */
extern const char *env_endpoints; /* RIDCTL_ENDPOINTS; NULL: unset */
extern const char *env_conf;      /* RIDD_CONF */
extern const char *env_locale;

/* Finds ridctl, and makes and enters the folder; for cmocka's groups. */
int ctl_run_set_up(void **state);
/* Leaves it; everything in it goes. */
int ctl_run_tear_down(void **state);

/* The beginning of a file, as text. */
void read_file(const char *path, char *ret);
void write_file(const char *path, const char *text);
/* In a child, which ends when it cannot. */
void redirect(const char *path, int flags, int to);
/* NULL: unset. */
void set_env(const char *name, const char *value);
void run_args(const char *out_path, char *const *argv);
/* Runs ridctl with these arguments, the last NULL. */
void run(const char *first, ...);
/* '*' in a pattern matches any run of bytes. */
bool matches(const char *text, const char *pattern);
/* Whether it says what to type. */
bool names_command(const char *text);
/* The same of what ridctl failed with: the pattern may lack the command that stands at the end. */
bool matches_failure(const char *text, const char *pattern);
/* err may lack the command that every failure ends with, and a failure must have one (TELL-1). */
void expect_at(int exit_code, const char *out, const char *err, int line);
#define EXPECT(exit_code, out, err) expect_at((exit_code), (out), (err), __LINE__)

#endif
