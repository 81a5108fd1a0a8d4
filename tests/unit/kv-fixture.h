/* What the tests of kv share: a data folder of their own, commands in one line, and a hand on the
 * file calls of kv. */
#ifndef RIDD_TESTS_KV_FIXTURE_H
#define RIDD_TESTS_KV_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "kv/kv.h"

#define BOOT_A      "aaaaaaaa-1111-4222-8333-444444444444"
#define BOOT_B      "bbbbbbbb-1111-4222-8333-444444444444"
#define INCARNATION 0x1122334455667788u

/* ---- the calls that are watched ---- */

extern char events[4096];    /* since watch(): "fsync;rename TRUST;syncdir;" */
extern atomic_bool watching; /* set to false when seen enough */
extern unsigned fail_at;     /* the n-th file call fails, and all after it; 0: none */
/* With this errno, and that one alone; 0: EIO. */
extern int fail_with;
extern unsigned crash_at;    /* the process ends in place of the n-th file call; 0: never */
extern unsigned fail_put_at; /* of LMDB: that put from now on has no room, 0: none */
extern int fail_commit;      /* of LMDB: its commits return this and do nothing */
extern bool did_fail;
extern bool fail_env_sync;
extern bool skip_fsync;  /* for tests that open a thousand times */
extern ino_t opened_ino; /* of data.mdb when LMDB was last given it; 0: it made it */
extern unsigned n_env_opens;
extern void (*on_env_open)(void); /* NULL: nothing; called before LMDB opens its file */

#define CRASHED 99 /* status of a process that crash_at ended */

/* ---- one data folder per test ---- */

struct fixture {
    char root[4096];
    char dir[4200]; /* the kv's */
    struct kv_conf conf;
    struct kv *kv;
    enum kv_trust trust;
    raft_term term;
};

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

void watch(void);
void wipe(const char *path);
int setup(void **state);
int teardown(void **state);

/* kv_open() that must succeed; f->trust says how. */
void kv_up(struct fixture *f);
void kv_down(struct fixture *f, bool clean);

/* Files in the data folder. */
void path_of(const struct fixture *f, const char *name, char *ret, size_t size);
bool there(const struct fixture *f, const char *name);
off_t size_of(const struct fixture *f, const char *name);
ino_t ino_of(const struct fixture *f, const char *name);
size_t slurp(const struct fixture *f, const char *name, void *buf, size_t size);
void spill(const struct fixture *f, const char *name, const void *data, size_t len);
void flip(const struct fixture *f, const char *name, off_t at);

/* ---- commands ---- */

struct wire_slice slice(const char *s);
struct wire_slice key_slice(const struct wire_key *key);
struct wire_key string_key(const char *s);

/* One entry at the next index inside the open transaction; *index moves when it succeeds. */
int apply_next(struct fixture *f, raft_index *index, enum raft_entry_type type, const void *data,
               size_t len, struct command_result *ret);
int apply_command(struct fixture *f, raft_index *index, const struct command *c,
                  struct command_result *ret);
struct command command_write(struct wire_slice key, const char *value);
struct command command_cas(struct wire_slice key, const char *from, const char *to, bool create);

/* One command in a transaction of its own. */
struct command_result apply_one(struct fixture *f, const struct command *c);
struct command_result write_one(struct fixture *f, const char *name, const char *value);
enum command_status cas_one(struct fixture *f, const char *name, const char *from, const char *to,
                            bool create);
bool delete_one(struct fixture *f, const char *name);

/* What a reader finds; expected NULL: nothing. */
void check_value(struct fixture *f, const char *name, const char *expected, raft_index create,
                 raft_index modify, uint64_t version);
uint64_t n_keys(struct fixture *f);

#endif
