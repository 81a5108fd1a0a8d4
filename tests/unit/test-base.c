/* base: checksums, buffers, arenas, lists, errors and what may reach a log line. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/assert.h"
#include "base/budget.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mark.h"
#include "base/prng.h"
#include "base/thread.h"
#include "unit/temp-folder.h"

static void base__crc32c_known_values(void **state)
{
    unsigned char zeros[32] = {0};

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aau); /* RFC 3720 B.4 */
    assert_int_equal(crc32c(0, "", 0), 0);
}

static void base__crc32c_both_variants_agree(void **state)
{
    unsigned char data[257];
    struct prng p;

    (void)state;
    prng_init(&p, 1);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)prng_next(&p);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; from + len <= sizeof(data); len++)
            assert_int_equal(crc32c(7, data + from, len), crc32c_table(7, data + from, len));
    /* In pieces as at once. */
    assert_int_equal(crc32c(crc32c(0, data, 100), data + 100, 157), crc32c(0, data, 257));
}

/* Long ones are added up in several parts at once. */
static void base__crc32c_of_long_data(void **state)
{
    static unsigned char data[20000];
    struct prng p;

    (void)state;
    prng_init(&p, 2);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)prng_next(&p);
    for (size_t len = 3000; len < sizeof(data); len += 1 + prng_below(&p, 200)) {
        const size_t from = prng_below(&p, sizeof(data) - len);

        assert_int_equal(crc32c(len & 1u, data + from, len),
                         crc32c_table(len & 1u, data + from, len));
    }
}

static void base__bytes_are_little_endian(void **state)
{
    unsigned char b[8];

    (void)state;
    put_u64(b, 0x0102030405060708u);
    assert_int_equal(b[0], 8);
    assert_int_equal(b[7], 1);
    assert_true(get_u64(b) == 0x0102030405060708u);
    put_u32(b, 0xfffefdfcu);
    assert_int_equal(get_u32(b), 0xfffefdfcu);
    put_u16(b, 0x1234);
    assert_int_equal(get_u16(b), 0x1234);
}

static void base__buf_grows_and_consumes(void **state)
{
    volatile size_t too_much = SIZE_MAX; /* a compiler that knew it would refuse the call */
    cleanup_buf struct buf b = BUF_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_add_format(&b, "%03d,", i), 0);
    assert_int_equal(b.len, 4000);
    buf_consume(&b, 3996);
    assert_memory_equal(b.data, "999,", 4);
    buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    assert_null(buf_reserve(&b, SIZE_MAX - 10));
    assert_int_equal(buf_add(&b, "x", too_much), -ENOMEM);
}

/* An allocator that fails on order. */
static void *fickle_resize(void *ctx, void *ptr, size_t size)
{
    return *(const bool *)ctx ? NULL : mem_libc.resize(NULL, ptr, size);
}

static void base__arrays_grow_and_are_kept_when_they_cannot(void **state)
{
    bool fails = false;
    struct mem mem = {fickle_resize, &fails};
    uint32_t *array = NULL;
    size_t size = 0;
    size_t n = 0;

    (void)state;
    while (n < 1000) {
        array = array_reserve(mem, array, &size, n, 1, sizeof(*array));
        assert_non_null(array);
        assert_true(size > n);
        array[n] = (uint32_t)n;
        n++;
    }
    assert_true(size < 2 * n + 16);
    fails = true;
    assert_ptr_equal(array_reserve(mem, array, &size, n, size - n, sizeof(*array)), array);
    n = size;
    assert_null(array_reserve(mem, array, &size, n, 1, sizeof(*array)));
    fails = false;
    /* More than there are addresses, by the sum and by the product. */
    assert_null(array_reserve(mem, array, &size, n, SIZE_MAX, sizeof(*array)));
    assert_null(array_reserve(mem, array, &size, n, SIZE_MAX / 8, 4096));
    assert_int_equal(size, n);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(array[i], i);
    array = array_reserve(mem, array, &size, n, 5000, sizeof(*array));
    assert_non_null(array);
    assert_true(size >= n + 5000);
    free(array);
}

static void base__arena_blocks_are_apart_and_aligned(void **state)
{
    struct arena a;
    unsigned char *blocks[300];

    (void)state;
    arena_init(&a, mem_libc);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 300; i++) {
            blocks[i] = arena_alloc(&a, i * 7 + 1);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            memset(blocks[i], (int)i & 0xff, i * 7 + 1);
        }
        for (size_t i = 0; i < 300; i++)
            assert_int_equal(blocks[i][i * 7], i & 0xff);
        assert_non_null(arena_alloc(&a, 100000));
        arena_reset(&a);
    }
    arena_done(&a);
}

static void base__list_remove_twice_is_harmless(void **state)
{
    struct list head = LIST_INIT(head);
    struct list other = LIST_INIT(other);
    struct list n[3];
    int seen = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        list_append(&head, &n[i]);
    list_remove(&n[1]);
    list_remove(&n[1]);
    list_append(&other, &n[1]);
    list_splice(&other, &head);
    assert_true(list_empty(&head));
    list_for_each_safe(it, &other)
    {
        list_remove(it);
        seen++;
    }
    assert_int_equal(seen, 3);
    assert_true(list_empty(&other));
}

/* What was said before may be said again within the next sentence. */
static void err__a_sentence_may_hold_the_one_before(void **state)
{
    (void)state;
    (void)err_say(-EIO, "connection refused");
    (void)err_say(-EIO, "'%s' does not answer: %s; is it running?", "n7", err_text());
    assert_string_equal(err_text(), "'n7' does not answer: connection refused; is it running?");
}

static void base__err_keeps_the_path(void **state)
{
    (void)state;
    err_reset();
    assert_int_equal(err_trace(err_origin(err_say(-EIO, "cannot read '%s'", "x"))), -EIO);
    assert_string_equal(err_text(), "cannot read 'x'");
    assert_non_null(strstr(err_path(), " < "));
    assert_string_equal(err_text_for(-EIO), "cannot read 'x'");
    assert_string_equal(err_text_for(-ENOSPC), ""); /* the words of another failure */
    assert_string_equal(err_path_for(-EIO), err_path());
    assert_string_equal(err_path_for(-ENOSPC), ""); /* and its way */
    assert_int_equal(err_fold(3), -ENOTRECOVERABLE);
    assert_int_equal(err_fold(0), 0);
}

/* CLIENT-7: whatever comes from outside, one event is one line. */
static void base__log_one_event_is_one_line(void **state)
{
    char esc[LOG_ESC_BUF];
    char line[2048];
    unsigned char all[256];
    int pipe_fds[2];
    int saved;
    ssize_t n;

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    assert_int_equal(pipe(pipe_fds), 0);
    saved = dup(STDERR_FILENO);
    (void)dup2(pipe_fds[1], STDERR_FILENO);
    log_event(LOG_ERROR, "test", "a=%s raw=%s", log_esc(esc, sizeof(esc), all, sizeof(all)),
              "x\ny\x1b[31m");
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    n = read(pipe_fds[0], line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = '\0';
    for (ssize_t i = 0; i < n - 1; i++)
        assert_true(line[i] >= 0x20 && line[i] < 0x7f);
    assert_int_equal(line[n - 1], '\n');
    assert_non_null(strstr(line, "level=error"));
    assert_non_null(strstr(line, "event=test"));
    assert_non_null(strstr(line, "a='\\x00\\x01")); /* told, not dropped: CLIENT-7 */
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

/* ---- lines that nobody reads ---- */

/* A pipe that takes nothing more. */
static void full_pipe(int ret_fds[2])
{
    static const char zeros[512];

    assert_int_equal(pipe(ret_fds), 0);
    assert_int_equal(fcntl(ret_fds[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ret_fds[1], zeros, sizeof(zeros)) > 0)
        continue;
    while (write(ret_fds[1], zeros, 1) > 0)
        continue;
    assert_int_equal(fcntl(ret_fds[1], F_SETFL, 0), 0);
}

/* In a process of its own whose standard error is full: there the thread of the lines may go on. */
static pid_t fork_with_stderr(int fds[2])
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    (void)alarm(30);
    if (dup2(fds[1], STDERR_FILENO) < 0 || log_start_thread() != 0)
        _exit(2);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

/* LOOP-1: who logs never waits. What was not written is counted, and no line is lost without being
 * counted. */
static void base__log_waits_for_nobody(void **state)
{
    enum { LINES = 20000 };
    unsigned long long n_lines = 0;
    unsigned long long n_dropped = 0;
    char line[LOG_LINE_BYTES_MAX + 1];
    bool last = false;
    char c = 'x';
    int fds[2];
    int done[2];
    int go[2];
    int status;
    FILE *file;
    pid_t pid;

    (void)state;
    full_pipe(fds);
    assert_int_equal(pipe(done), 0);
    assert_int_equal(pipe(go), 0);
    pid = fork_with_stderr(fds);
    if (pid == 0) {
        for (unsigned i = 0; i < LINES; i++)
            log_event(LOG_ERROR, "numbered", "i=%u", i);
        (void)!write(done[1], &c, 1);
        (void)!read(go[0], &c, 1);
        do { /* room comes when the reader does */
            log_event(LOG_ERROR, "last", NULL);
            log_flush();
        } while (poll(&(struct pollfd){.fd = go[0], .events = POLLIN}, 1, 10) == 0);
        _exit(0);
    }
    (void)close(fds[1]);
    (void)close(done[1]); /* an end of the other process is seen then */
    (void)close(go[0]);
    assert_int_equal(read(done[0], &c, 1), 1); /* all were taken, and nobody has read one */
    assert_int_equal(write(go[1], &c, 1), 1);
    file = fdopen(fds[0], "r");
    assert_non_null(file);
    while ((c = (char)fgetc(file)) == '\0')
        continue;
    (void)ungetc(c, file);
    while (fgets(line, sizeof(line), file) != NULL) {
        unsigned long long n;
        const char *at = strstr(line, "event=log_lines_dropped n=");

        n_lines += strstr(line, "event=numbered i=") != NULL;
        if (at != NULL && sscanf(at, "event=log_lines_dropped n=%llu", &n) == 1)
            n_dropped += n;
        if (!last && strstr(line, "event=last") != NULL) {
            last = true;
            assert_int_equal(write(go[1], "x", 1), 1);
        }
    }
    assert_true(last);
    assert_true(n_dropped > 0);
    assert_true(n_lines + n_dropped >= LINES); /* the first of the last may be among them */
    assert_true(n_lines <= LINES);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)fclose(file);
    (void)close(done[0]);
    (void)close(go[1]);
}

/* The last lines are tried, for a bounded time: a process ends although nobody reads. */
static void base__nobody_reads_the_last_words(void **state)
{
    int status;
    int fds[2];
    pid_t pid;

    (void)state;
    full_pipe(fds);
    pid = fork_with_stderr(fds);
    if (pid == 0) {
        log_event(LOG_ERROR, "fatal", NULL);
        log_flush();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pid = fork_with_stderr(fds);
    if (pid == 0)
        rid_assert_fail("nothing", "nowhere", 1, "nobody");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void base__log_limit_counts_what_it_drops(void **state)
{
    struct log_limit l = {.window_us = 1000, .burst = 2};
    uint64_t suppressed = 99;

    (void)state;
    assert_true(log_limit_ok(&l, 5000, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_true(log_limit_ok(&l, 5001, &suppressed));
    assert_false(log_limit_ok(&l, 5002, &suppressed));
    assert_false(log_limit_ok(&l, 5003, &suppressed));
    assert_true(log_limit_ok(&l, 6000, &suppressed));
    assert_int_equal(suppressed, 2);
}

static void base__prng_repeats_and_stays_below(void **state)
{
    struct prng a;
    struct prng b;

    (void)state;
    prng_init(&a, 42);
    prng_init(&b, 42);
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_below(&a, 7);

        assert_true(x < 7);
        assert_true(x == prng_below(&b, 7));
    }
    assert_true(hash_fnv64("n1", 2) != hash_fnv64("n2", 2));
}

/* What is stored and sent by it never changes: the vectors of draft-eastlake-fnv, whose first byte is the highest. */
static void base__a_hash_of_128_bits_is_that_of_the_draft(void **state)
{
    static const struct {
        const char *text;
        const char *hex;
    } vectors[] = {
        {"", "6c62272e07bb014262b821756295c58d"},
        {"a", "d228cb696f1a8caf78912b704e4a8964"},
        {"foobar", "343e1662793c64bf6f0d3597ba446f18"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        unsigned char hash[16];
        char hex[33];

        hash_fnv128(vectors[i].text, strlen(vectors[i].text), hash);
        for (size_t byte = 0; byte < 16; byte++)
            (void)snprintf(hex + 2 * byte, 3, "%02x", (unsigned)hash[15 - byte]);
        assert_string_equal(hex, vectors[i].hex);
    }
}

static void base__a_draw_is_the_upper_half_of_a_product(void **state)
{
    struct prng a;
    struct prng b;

    (void)state;
    prng_init(&a, 7);
    for (int i = 0; i < 10000; i++) {
        const unsigned shift = (unsigned)(prng_next(&a) & 63);
        const uint64_t bound = prng_next(&a) >> shift;
        uint64_t x;
        uint64_t below;

        b = a;
        x = prng_next(&b);
        below = prng_below(&a, bound);
        assert_true(bound == 0 ? below == 0 : below < bound);
        /* below * 2^64 <= x * bound, to 53 bits. */
        assert_float_equal((float)((double)x / 18446744073709551616.0 * (double)bound),
                           (float)below, (float)(1.0 + (double)bound / 1e6));
    }
    /* Both products of the middle carry. */
    a.state = 0;
    for (int i = 0; i < 1000; i++) {
        b = a;
        assert_true(prng_below(&a, UINT64_MAX) == prng_next(&b) - 1);
    }
}

static void context_of_a_node(void *ctx, char *buf, size_t size)
{
    (void)snprintf(buf, size, "node %s term 7", (const char *)ctx);
}

/* What a process says that fails an assertion; it must be ended by SIGABRT. */
static size_t said_by_failing(const char *expr, char *ret, size_t size)
{
    static char name[] = "n2";
    int pipe_fds[2];
    int status = 0;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(pipe_fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(pipe_fds[1], STDERR_FILENO);
        rid_assert_set_context(context_of_a_node, name);
        if (expr != NULL)
            rid_assert_fail(expr, "some/file.c", 12, "some_function");
        rid_assert(pid == 0); /* holds, and says nothing */
        rid_assert(pid == 1);
        _exit(0);
    }
    (void)close(pipe_fds[1]);
    while ((n = read(pipe_fds[0], ret + len, size - 1 - len)) > 0)
        len += (size_t)n;
    ret[len] = '\0';
    (void)close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    return len;
}

/* One line, with what the node was doing: often all that is left of it. */
static void base__a_failed_assertion_says_where_and_what_node(void **state)
{
    char text[4096];
    char expr[1000];

    (void)state;
    (void)said_by_failing(NULL, text, sizeof(text));
    assert_true(strncmp(text, "ridd: assertion 'pid == 1' failed at ", 37) == 0);
    assert_non_null(strstr(text, "test-base.c:"));
    assert_non_null(strstr(text, " in said_by_failing: node n2 term 7\n"));
    memset(expr, 'x', sizeof(expr) - 1);
    expr[sizeof(expr) - 1] = '\0';
    assert_true(said_by_failing(expr, text, sizeof(text)) < 800); /* cut, not run over */
    assert_non_null(strstr(text, "'xxxx"));
}

/* A name that is not a file of one's own is told from a file that is damaged inside. */
static void base__a_mark_is_a_file_of_ones_own(void **state)
{
    const char *folder = temp_folder_new("mark");
    char got[8];
    size_t len = 0;
    int fd;

    (void)state;
    fd = open(folder, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(mark_write(fd, "M", "TESTMAG1", "old", 3), 0);

    assert_int_equal(symlinkat("M", fd, "LINK"), 0);
    assert_int_equal(mark_read(fd, "LINK", "TESTMAG1", got, sizeof(got), &len), MARK_E_DAMAGED);
    assert_non_null(strstr(err_text(), "'LINK' is no regular file"));
    assert_int_equal(mkfifoat(fd, "FIFO", 0600), 0);
    assert_int_equal(mark_read(fd, "FIFO", "TESTMAG1", got, sizeof(got), &len), MARK_E_DAMAGED);
    assert_non_null(strstr(err_text(), "'FIFO' is no regular file"));
    assert_int_equal(mark_read(fd, "M/below", "TESTMAG1", got, sizeof(got), &len), -ENOTDIR);
    assert_non_null(strstr(err_text(), "open"));

    assert_int_equal(fchmodat(fd, "M", 0640, 0), 0);
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), MARK_E_ACCESS);
    assert_non_null(strstr(err_text(), "mode 0640"));
    assert_int_equal(fchmodat(fd, "M", 0600, 0), 0);
    /* What a later version wrote is so whatever its mode: it is not ours to remove. */
    assert_int_equal(mark_write(fd, "LATER", "TESTMAG2", "abc", 3), 0);
    assert_int_equal(fchmodat(fd, "LATER", 0640, 0), 0);
    assert_int_equal(mark_read(fd, "LATER", "TESTMAG1", got, sizeof(got), &len), MARK_E_NEWER);
    assert_int_equal(mark_remove(fd, "LATER"), 0);
    if (geteuid() == 0) { /* only root can give a file away */
        assert_int_equal(fchownat(fd, "M", 4711, (gid_t)-1, 0), 0);
        assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), MARK_E_ACCESS);
        assert_non_null(strstr(err_text(), "belongs to user 4711"));
        assert_int_equal(fchownat(fd, "M", 0, (gid_t)-1, 0), 0);
    }

    /* Where a new one cannot be put, the old one stays. */
    assert_int_equal(mkdirat(fd, "M.tmp", 0700), 0);
    assert_true(mark_write(fd, "M", "TESTMAG1", "new", 3) < 0);
    assert_non_null(strstr(err_text(), "M.tmp"));
    assert_int_equal(mark_read(fd, "M", "TESTMAG1", got, sizeof(got), &len), 0);
    assert_memory_equal(got, "old", 3);
    assert_int_equal(mkdirat(fd, "D", 0700), 0);
    assert_int_equal(mark_write(fd, "D", "TESTMAG1", "new", 3), -EISDIR);
    assert_non_null(strstr(err_text(), "rename to"));
    assert_true(mark_remove(fd, "D") < 0);

    (void)close(fd);
    temp_folder_remove(folder);
}

static void base__budgets_are_charged_all_the_way_up(void **state)
{
    struct budget all;
    struct budget kind;
    struct budget one[2];

    (void)state;
    budget_init(&all, NULL, 100);
    budget_init(&kind, &all, 60);
    for (int i = 0; i < 2; i++)
        budget_init(&one[i], &kind, SIZE_MAX);
    budget_take(&one[0], 40);
    budget_take(&one[1], 15);
    assert_int_equal(kind.used, 55);
    assert_int_equal(all.used, 55);
    assert_true(budget_may(&one[0], 5));
    assert_false(budget_may(&one[0], 6)); /* its kind is full */
    assert_true(budget_may(&all, 45));
    assert_false(budget_may(&all, 46));
    budget_set(&one[1], 70); /* what is here is counted, though it is too much */
    assert_int_equal(all.used, 110);
    assert_false(budget_may(&one[0], 0));
    budget_set(&one[1], 10);
    assert_int_equal(all.used, 50);
    budget_give(&one[0], 40);
    budget_give(&one[1], 10);
    assert_int_equal(all.used + kind.used + one[0].used + one[1].used, 0);
    assert_ptr_equal(budget_root(&one[0]), &all);
}

/* What nobody may take who owes already is there for who owes nothing (CLIENT-14). */
static void base__memory_keeps_room_for_who_owes_nothing(void **state)
{
    const size_t mib = (size_t)1 << 20;
    struct memory m;
    struct memory_conn slow;
    struct memory_conn good;
    struct memory_conn other;
    struct buf empty = BUF_INIT;
    struct buf owed = {NULL, CLIENT_OUT_BYTES_FREE + 1, 128u << 10};

    (void)state;
    memory_init(&m, 32 * mib);
    memory_conn_init(&slow, &m);
    memory_conn_init(&good, &m);
    memory_conn_init(&other, &m);
    budget_set(&slow.replies, 23 * mib);
    assert_true(memory_is_tight(&m));
    assert_false(memory_conn_may_reply(&slow, &owed, 25 * mib)); /* its own mark */
    assert_true(slow.waits);
    owed.size = 23 * mib;
    owed.len = 23 * mib - 100;
    assert_false(memory_conn_may_reply(&slow, &owed, 200));
    assert_true(memory_conn_may_reply(&good, &empty, 500000));
    assert_int_equal(good.replies.used, 512u << 10); /* as the buffer grows */
    assert_false(good.waits);
    assert_true(memory_conn_has_room(&good, &empty));
    budget_set(&good.replies, 5 * mib);
    assert_false(memory_conn_has_room(&good, &empty));
    assert_true(memory_conn_may_reply(&slow, &empty, 100000)); /* it has room already */
    budget_set(&slow.replies, 0);
    assert_false(memory_is_tight(&m));
    /* Many who owe nothing leave room for requests, and so do replies and commands together. */
    budget_set(&good.replies, 28 * mib);
    assert_false(memory_conn_may_reply(&other, &empty, mib));
    assert_true(budget_may(&other.requests, 3 * mib));
    budget_set(&good.replies, 14 * mib);
    budget_set(&good.commands, 14 * mib);
    assert_false(budget_may(&other.commands, mib));
    assert_true(budget_may(&other.requests, 3 * mib));
    budget_set(&good.commands, 0);
    budget_set(&good.replies, 0);
    assert_int_equal(m.all.used, 0);
    /* Nobody counts: only the connection's own mark holds. */
    memory_conn_init(&good, NULL);
    assert_true(memory_conn_may_reply(&good, &empty, CLIENT_OUT_BYTES_HIGH));
    assert_false(memory_conn_may_reply(&good, &empty, (size_t)CLIENT_OUT_BYTES_HIGH + 1));
    assert_true(memory_conn_has_room(&good, &empty));
}

static void base__memory_keeps_room_for_who_has_few_requests(void **state)
{
    const size_t few = CLIENT_HELD_BYTES_FREE / 2;
    const size_t mib = (size_t)1 << 20;
    struct memory m;
    struct memory_conn slow;
    struct memory_conn many;
    struct memory_conn good;
    cleanup_buf struct buf empty = BUF_INIT;

    (void)state;
    memory_init(&m, 100 * mib);
    assert_int_equal(m.kept, 5 * mib);
    memory_conn_init(&slow, &m);
    memory_conn_init(&many, &m);
    memory_conn_init(&good, &m);
    /* The whole: by replies that are not read, and requests that wait for them. */
    budget_set(&slow.replies, m.bulk.limit);
    budget_set(&many.requests, m.all.limit - m.kept - m.all.used);
    assert_false(memory_conn_may_hold(&many, 1, 0));
    assert_false(memory_conn_may_reply(&good, &empty, few));
    assert_true(memory_conn_may_hold(&good, few, 0));
    assert_true(memory_conn_may_hold(&good, few, few)); /* a command, too */
    assert_false(memory_conn_may_hold(&good, few, few + 1));
    budget_set(&good.requests, few);
    assert_true(memory_conn_may_hold(&good, few, 0));
    assert_false(memory_conn_may_hold(&good, few + 1, 0));
    budget_set(&good.commands, 1);
    assert_false(memory_conn_may_hold(&good, few, 0));
    budget_set(&good.commands, 0);
    budget_set(&good.requests, 0);
    /* Replies leave it, too, of whatever kind the whole is full. */
    budget_set(&many.requests, m.requests.limit - m.kept);
    budget_set(&slow.replies, m.all.limit - m.kept - many.requests.used);
    assert_true(budget_may(&m.bulk, few));
    assert_false(memory_conn_may_reply(&good, &empty, few));
    assert_true(memory_conn_may_hold(&good, few, few));
    /* And an end is an end. */
    budget_set(&slow.commands, m.all.limit - m.all.used - few);
    assert_true(memory_conn_may_hold(&good, few, 0));
    assert_false(memory_conn_may_hold(&good, few, 1));
    budget_set(&slow.commands, 0);
    budget_set(&slow.replies, 0);
    /* One kind. */
    budget_set(&many.requests, m.requests.limit - m.kept);
    assert_false(memory_conn_may_hold(&many, 1, 0));
    assert_true(memory_conn_may_hold(&good, few, few));
    budget_set(&many.requests, m.requests.limit - 1);
    assert_false(memory_conn_may_hold(&good, few, 0));
    budget_set(&many.requests, 0);
    budget_set(&many.commands, m.commands.limit - m.kept);
    assert_false(memory_conn_may_hold(&many, 1, 1));
    assert_true(memory_conn_may_hold(&many, 1, 0));
    assert_true(memory_conn_may_hold(&good, 1, few));
    budget_set(&many.commands, m.commands.limit - 1);
    assert_false(memory_conn_may_hold(&good, 1, few));
    budget_set(&many.commands, 0);
    assert_int_equal(m.all.used, 0);
    /* Without a whole: anything. */
    memory_conn_init(&good, NULL);
    assert_true(memory_conn_may_hold(&good, SIZE_MAX / 4, SIZE_MAX / 4));
}

struct sleeper {
    struct worker worker;
    sem_t woke;
    bool takes_signals;
    unsigned n_wakes; /* read after its end */
};

static void *sleep_and_wake(void *arg)
{
    struct sleeper *s = arg;
    sigset_t blocked;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    s->takes_signals = sigismember(&blocked, SIGTERM) != 1;
    for (;;) {
        worker_wait(&s->worker, 0);
        if (worker_stopping(&s->worker))
            return NULL;
        s->n_wakes++;
        (void)sem_post(&s->woke);
    }
}

/* A kick is never lost, also one that comes before the wait; a stop ends any wait. */
static void base__a_worker_wakes_once_for_each_kick(void **state)
{
    struct sleeper s = {.n_wakes = 0};
    sigset_t blocked;

    (void)state;
    assert_int_equal(sem_init(&s.woke, 0, 0), 0);
    assert_int_equal(worker_start(&s.worker, "sleeper", sleep_and_wake, &s), 0);
    for (unsigned i = 0; i < 100; i++) {
        worker_kick(&s.worker);
        while (sem_wait(&s.woke) != 0)
            continue;
    }
    worker_stop(&s.worker);
    assert_int_equal(s.n_wakes, 100);
    assert_false(s.takes_signals);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_int_equal(sigismember(&blocked, SIGTERM), 0);
    (void)sem_destroy(&s.woke);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base__crc32c_known_values),
        cmocka_unit_test(base__crc32c_both_variants_agree),
        cmocka_unit_test(base__crc32c_of_long_data),
        cmocka_unit_test(base__bytes_are_little_endian),
        cmocka_unit_test(base__buf_grows_and_consumes),
        cmocka_unit_test(base__arrays_grow_and_are_kept_when_they_cannot),
        cmocka_unit_test(base__arena_blocks_are_apart_and_aligned),
        cmocka_unit_test(base__list_remove_twice_is_harmless),
        cmocka_unit_test(base__err_keeps_the_path),
        cmocka_unit_test(err__a_sentence_may_hold_the_one_before),
        cmocka_unit_test(base__log_one_event_is_one_line),
        cmocka_unit_test(base__log_waits_for_nobody),
        cmocka_unit_test(base__nobody_reads_the_last_words),
        cmocka_unit_test(base__log_limit_counts_what_it_drops),
        cmocka_unit_test(base__prng_repeats_and_stays_below),
        cmocka_unit_test(base__a_hash_of_128_bits_is_that_of_the_draft),
        cmocka_unit_test(base__a_draw_is_the_upper_half_of_a_product),
        cmocka_unit_test(base__a_failed_assertion_says_where_and_what_node),
        cmocka_unit_test(base__a_mark_is_a_file_of_ones_own),
        cmocka_unit_test(base__budgets_are_charged_all_the_way_up),
        cmocka_unit_test(base__a_worker_wakes_once_for_each_kick),
        cmocka_unit_test(base__memory_keeps_room_for_who_owes_nothing),
        cmocka_unit_test(base__memory_keeps_room_for_who_has_few_requests),
    };

    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
