/* FILE.part (src/ctl/part.c): one process at a time, and never the file that it has become.
 *
 * flock(2) is this program's own, so that what others do right before it can be done here. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/part_int.h"
#include "temp-folder.h"

#include "base/banned.h"

static void (*before_lock)(void); /* once */
static char why[RIDD_TEXT_SIZE];

int flock(int fd, int operation)
{
    void (*hook)(void) = before_lock;

    before_lock = NULL;
    if (hook != NULL)
        hook();
    return (int)syscall(SYS_flock, fd, operation);
}

static ino_t inode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static ino_t inode_open(const struct part *p)
{
    struct stat st;

    assert_int_equal(fstat(p->fd, &st), 0);
    return st.st_ino;
}

static void open_well(struct part *p)
{
    assert_int_equal(part_open(p, "file", why), CTL_EXIT_OK);
    assert_true(part_is_named(p));
}

static int in_folder(void **state)
{
    (void)state;
    return chdir(temp_folder_new("part"));
}

static void part__is_for_one(void **state)
{
    struct part a;
    struct part b;

    (void)state;
    open_well(&a);
    assert_int_equal(part_open(&b, "file", why), CTL_EXIT_AGAIN);
    assert_string_equal(why, "another ridctl is saving to 'file'");
    part_close(&b, false); /* who has it not leaves it alone */
    assert_int_equal(access("file.part", F_OK), 0);
    part_close(&a, false);
    assert_int_equal(access("file.part", F_OK), -1);
}

static void part__comes_under_its_name_whole(void **state)
{
    struct part a;

    (void)state;
    open_well(&a);
    assert_int_equal(write(a.fd, "half", 4), 4);
    part_close(&a, true);
    open_well(&a); /* what is there stays */
    assert_int_equal(lseek(a.fd, 0, SEEK_END), 4);
    assert_int_equal(part_place(&a, "file", why), CTL_EXIT_OK);
    assert_int_equal(access("file.part", F_OK), -1);
    part_close(&a, false); /* nor does it take away what has its name */
    assert_int_equal(access("file", F_OK), 0);
    assert_int_equal(unlink("file"), 0);
}

static void give_name(void)
{
    assert_int_equal(rename("file.part", "file"), 0);
}

static void give_name_and_begin(void)
{
    const int fd = open("file.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    give_name();
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(rename("file.new", "file.part"), 0);
}

static void take_away(void)
{
    assert_int_equal(unlink("file.part"), 0);
}

/* CLIENT-36: it was opened, and became the file before it was locked. */
static void part__is_not_the_file_that_it_became(void **state)
{
    struct part a;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        before_lock = i == 0 ? give_name : give_name_and_begin;
        open_well(&a);
        assert_true(inode_open(&a) != inode_of("file"));
        assert_true(inode_open(&a) == inode_of("file.part"));
        part_close(&a, false);
        assert_int_equal(access("file", F_OK), 0);
        assert_int_equal(unlink("file"), 0);
    }
    before_lock = take_away;
    open_well(&a);
    part_close(&a, false);
}

static void part__says_what_it_cannot(void **state)
{
    struct part a;

    (void)state;
    assert_int_equal(part_open(&a, ".", why), CTL_EXIT_USAGE);
    assert_string_equal(why, "'.' is no regular file");
    assert_int_equal(part_open(&a, "no/such", why), CTL_EXIT_OUTPUT);
    assert_string_equal(why, "cannot write 'no/such.part': No such file or directory");
    assert_int_equal(a.fd, -1);
    open_well(&a);
    assert_int_equal(part_place(&a, "no/such", why), CTL_EXIT_OUTPUT);
    assert_string_equal(why, "cannot name 'no/such': No such file or directory");
    part_close(&a, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(part__is_for_one),
        cmocka_unit_test(part__comes_under_its_name_whole),
        cmocka_unit_test(part__is_not_the_file_that_it_became),
        cmocka_unit_test(part__says_what_it_cannot),
    };

    return cmocka_run_group_tests(tests, in_folder, NULL);
}
