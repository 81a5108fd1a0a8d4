/* What `ridctl bundle` writes: bounds, what is masked, and an archive that tar and gzip read. What is
 * gathered from real nodes, and that no key is among it, is seen in tests/cluster/test-doctor.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "ctl/bundle_int.h"
#include "unit/temp-folder.h"

static struct bundle b;

static int forget(void **state)
{
    (void)state;
    bundle_done(&b);
    memset(&b, 0, sizeof(b));
    return 0;
}

static void add(const char *name, const char *text)
{
    bundle_add(&b, name, text, strlen(text), BUNDLE_HEAD);
}

static bool part_is(unsigned i, const char *text)
{
    return b.parts[i].data.len == strlen(text) &&
           memcmp(b.parts[i].data.data, text, strlen(text)) == 0;
}

/* ---- masks ---- */

static void expect_masked(const char *conf, const char *want)
{
    cleanup_buf struct buf out = BUF_INIT;

    assert_int_equal(bundle_mask_conf(conf, strlen(conf), &out), 0);
    assert_int_equal(buf_add_u8(&out, 0), 0);
    assert_string_equal((const char *)out.data, want);
}

/* DOCTOR-3 */
static void bundle__secrets_and_comments_go(void **state)
{
    (void)state;
    expect_masked("", "");
    expect_masked("# the password is hunter2\n[cluster]\nname = main ; said by Eve\n\n",
                  "[cluster]\nname = main\n");
    expect_masked("[tls]\nPrivate_Key_file = /etc/k\ncluster_secret=abc\nAuth-Token = t=u\n",
                  "[tls]\nPrivate_Key_file = (left out)\ncluster_secret = (left out)\n"
                  "Auth-Token = (left out)\n");
    expect_masked("[peers]\nn1 = 10.0.0.1:1 10.0.0.1:2   # hunter2\r\n  n2 = h:1 h:2",
                  "[peers]\nn1 = 10.0.0.1:1 10.0.0.1:2\nn2 = h:1 h:2\n");
    /* What is no line of such a file may be anything. */
    expect_masked("hunter2\n[a]\n-----BEGIN PRIVATE KEY-----\nMIIB\n",
                  "[a]\n# 3 lines that are neither sections nor keys are left out\n");
    expect_masked(
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = 1\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = (left out)\n");
}

/* DOCTOR-3, GUARD-5: of who may do what is told to whom, and not by which token; of secrets, where they lie. */
static void bundle__a_token_goes_and_a_path_stays(void **state)
{
#define DIGITS "5c4b3a29187f6e5d4c3b2a190817f6e5d4c3b2a1908f7e6d5c4b3a2918f7e6d5"
    (void)state;
    expect_masked(
        "[access]\nci = read token " DIGITS " prefix a/\nops = admin secret ops\n"
        "app1 =\twrite  Cert app1.example.org prefix app1/\nodd = read token not-a-hash\n",
        "[access]\nci = read token (left out) prefix a/\nops = admin secret ops\n"
        "app1 =\twrite  Cert app1.example.org prefix app1/\n"
        "odd = read token (left out)\n");
    expect_masked("[security]\nsecret_file = /etc/ridd/secret\npeer_key=credential:n1-key\n"
                  "client_key = /etc/k.pem\nclient_ca = /etc/ca.pem\ninsecure = no\n",
                  "[security]\nsecret_file = /etc/ridd/secret\npeer_key=credential:n1-key\n"
                  "client_key = /etc/k.pem\nclient_ca = /etc/ca.pem\ninsecure = no\n");
    /* Who wrote a secret where its file should be. */
    expect_masked("secret_file = " DIGITS "\nsecret_file = /" DIGITS " " DIGITS "\n"
                  "secret_files = /a\nname = " DIGITS "\npeer_key = credential\n",
                  "secret_file = (left out)\nsecret_file = /" DIGITS " (left out)\n"
                  "secret_files = (left out)\nname = (left out)\npeer_key = (left out)\n");
#undef DIGITS
}

/* ---- bounds ---- */

/* DOCTOR-3 */
static void bundle__parts_are_cut_at_lines(void **state)
{
    const size_t len = BUNDLE_PART_BYTES_MAX + 100;
    char *text = malloc(len + 1);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', len);
    for (size_t i = 9; i < len; i += 10)
        text[i] = '\n';
    text[len] = '\0';
    bundle_add(&b, "tail", text, len, BUNDLE_TAIL);
    assert_true(b.parts[0].data.len <= BUNDLE_PART_BYTES_MAX);
    assert_true(b.parts[0].data.len > BUNDLE_PART_BYTES_MAX - 10);
    assert_int_equal(b.parts[0].data.len + b.parts[0].n_cut, len);
    assert_memory_equal(b.parts[0].data.data, text + b.parts[0].n_cut, b.parts[0].data.len);
    assert_int_equal(text[b.parts[0].n_cut - 1], '\n');
    bundle_add(&b, "head", text, len, BUNDLE_HEAD);
    assert_int_equal(b.parts[1].data.data[b.parts[1].data.len - 1], '\n');
    assert_memory_equal(b.parts[1].data.data, text, b.parts[1].data.len);
    memset(text, 'x', len); /* one line */
    bundle_add(&b, "line", text, len, BUNDLE_TAIL);
    assert_int_equal(b.parts[2].data.len, BUNDLE_PART_BYTES_MAX);
    for (unsigned i = 0; i < 2 * (BUNDLE_BYTES_MAX / BUNDLE_PART_BYTES_MAX); i++)
        bundle_add(&b, "more", text, len, BUNDLE_HEAD);
    assert_int_equal(b.bytes, BUNDLE_BYTES_MAX);
    assert_true(b.n_gaps > 0);
    assert_string_equal(b.gaps[0].why, "there was no room left in the bundle");
    assert_false(b.failed);
    free(text);
}

static void bundle__more_parts_than_there_may_be_are_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BUNDLE_PARTS_MAX + 3; i++)
        add("part", "x");
    assert_int_equal(b.n, BUNDLE_PARTS_MAX);
    assert_int_equal(b.n_gaps, 3);
    for (unsigned i = 0; i < BUNDLE_PARTS_MAX; i++)
        bundle_leave_out(&b, "gap", "why");
    assert_int_equal(b.n_gaps_untold, 3);
}

static void bundle__files_are_read_from_their_end(void **state)
{
    const char *dir = temp_folder_new("bundle");
    char path[300];
    FILE *file;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/n1.log", dir);
    file = fopen(path, "we");
    assert_non_null(file);
    for (unsigned i = 0; i < BUNDLE_PART_BYTES_MAX / 8; i++)
        (void)fprintf(file, "line %06u\n", i);
    assert_int_equal(fclose(file), 0);
    bundle_add_file(&b, "log/1-n1.log", path, BUNDLE_TAIL);
    assert_int_equal(b.n, 1);
    assert_true(b.parts[0].data.len <= BUNDLE_PART_BYTES_MAX);
    assert_memory_equal(b.parts[0].data.data, "line ", 5);
    assert_memory_equal(b.parts[0].data.data + b.parts[0].data.len - 12, "line 131071\n", 12);
    assert_int_equal(b.parts[0].data.len + b.parts[0].n_cut, (size_t)12 * 131072);
    (void)snprintf(path, sizeof(path), "%s/none", dir);
    bundle_add_file(&b, "none", path, BUNDLE_TAIL);
    bundle_add_file(&b, "folder", dir, BUNDLE_TAIL);
    assert_int_equal(b.n, 1);
    assert_int_equal(b.n_gaps, 2);
    assert_non_null(strstr(b.gaps[0].why, "No such file"));
    temp_folder_remove(dir);
}

/* DOCTOR-3 */
static void bundle__the_manifest_says_what_is_there_and_what_not(void **state)
{
    (void)state;
    add("a b;c/../d", "one\n");
    bundle_leave_out(&b, "log/journal", "there is no %s", "journalctl");
    bundle_add_manifest(&b, "head\n");
    assert_int_equal(b.n, 2);
    assert_string_equal(b.parts[0].name, "MANIFEST");
    assert_int_equal(buf_add_u8(&b.parts[0].data, 0), 0);
    assert_non_null(strstr((char *)b.parts[0].data.data, "head\n\nWhat is in it:\n"));
    assert_non_null(strstr((char *)b.parts[0].data.data, "  a_b_c/../d: 4 bytes\n"));
    assert_non_null(strstr((char *)b.parts[0].data.data, "log/journal: there is no journalctl\n"));
    assert_non_null(strstr((char *)b.parts[0].data.data, "on purpose"));
    assert_true(part_is(1, "one\n"));
}

/* ---- the archive ---- */

static void run_in(const char *dir, const char *command)
{
    char line[700];

    (void)snprintf(line, sizeof(line), "cd '%s' && %s", dir, command);
    assert_int_equal(system(line), 0);
}

static void save(const char *dir, const char *name, const struct buf *data)
{
    char path[300];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data->data, 1, data->len, file), data->len);
    assert_int_equal(fclose(file), 0);
}

static void bundle__tar_and_gzip_read_it(void **state)
{
    const char *dir = temp_folder_new("bundle");
    cleanup_buf struct buf tar = BUF_INIT;
    cleanup_buf struct buf gz = BUF_INIT;
    cleanup_buf struct buf again = BUF_INIT;
    char block[513];

    (void)state;
    memset(block, 'b', 512);
    block[512] = '\0';
    add("empty", "");
    add("status/n1.json", "{}");
    add("block", block);
    assert_int_equal(bundle_tar(&b, "top", 1234567890, &tar), 0);
    assert_int_equal(tar.len % 512, 0);
    assert_int_equal(bundle_gzip(&tar, &gz), 0);
    assert_int_equal(bundle_gzip(&tar, &again), 0);
    assert_int_equal(gz.len, again.len);
    assert_memory_equal(gz.data, again.data, gz.len);
    save(dir, "b.tar", &tar);
    save(dir, "b.tar.gz", &gz);
    run_in(dir, "gzip -t b.tar.gz && gzip -dc b.tar.gz | cmp - b.tar");
    run_in(dir,
           "test \"$(tar -tf b.tar | tr '\\n' ' ')\" = 'top/empty top/status/n1.json top/block '");
    run_in(dir, "tar -xzf b.tar.gz && test -e top/empty && test ! -s top/empty && "
                "test \"$(cat top/status/n1.json)\" = '{}' && test $(wc -c <top/block) = 512 && "
                "test $(stat -c %Y.%a top/block) = 1234567890.600");
    temp_folder_remove(dir);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bundle__secrets_and_comments_go),
        TEST(bundle__a_token_goes_and_a_path_stays),
        TEST(bundle__parts_are_cut_at_lines),
        TEST(bundle__more_parts_than_there_may_be_are_told),
        TEST(bundle__files_are_read_from_their_end),
        TEST(bundle__the_manifest_says_what_is_there_and_what_not),
        TEST(bundle__tar_and_gzip_read_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
