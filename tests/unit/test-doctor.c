/* What `ridctl doctor` sees, and what it makes of it: on folders that only look like /proc and /sys,
 * on a disk that is real, and on a name server that is this test. The program as a whole is run in
 * tests/cluster/test-doctor.c. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "ctl/command_int.h"
#include "ctl/doctor_int.h"
#include "unit/fake-names.h"
#include "unit/temp-folder.h"

#define MIB(n) ((uint64_t)(n) << 20)

static struct findings found = FINDINGS_INIT;

static int forget(void **state)
{
    (void)state;
    findings_done(&found);
    memset(&found, 0, sizeof(found));
    return 0;
}

static const struct finding *find(enum finding_level level, const char *check, const char *text)
{
    for (unsigned i = 0; i < found.n; i++) {
        const struct finding *x = &found.list[i];

        if (x->level == level && strcmp(x->check, check) == 0 &&
            (strstr(x->text, text) != NULL || strstr(x->next, text) != NULL ||
             strstr(x->where, text) != NULL))
            return x;
    }
    return NULL;
}

static void expect(enum finding_level level, const char *check, const char *text)
{
    if (find(level, check, text) != NULL)
        return;
    for (unsigned i = 0; i < found.n; i++)
        print_error("%s %s: %s: %s (%s)\n", finding_level_text(found.list[i].level),
                    found.list[i].check, found.list[i].where, found.list[i].text,
                    found.list[i].next);
    fail_msg("no %s of %s with '%s'", finding_level_text(level), check, text);
}

static void expect_none(enum finding_level level)
{
    for (unsigned i = 0; i < found.n; i++)
        if (found.list[i].level == level)
            fail_msg("%s: %s", found.list[i].check, found.list[i].text);
}

/* What is bad has a next step, always. */
static void expect_next_steps(void)
{
    for (unsigned i = 0; i < found.n; i++)
        if (found.list[i].level >= FINDING_WARN && found.list[i].next[0] == '\0')
            fail_msg("no next step: %s: %s", found.list[i].check, found.list[i].text);
}

/* ---- a tree ---- */

static void put(const char *root, const char *name, const void *data, size_t len)
{
    char path[PATH_MAX];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    for (char *s = path + strlen(root) + 1; (s = strchr(s, '/')) != NULL; s++) {
        *s = '\0';
        (void)mkdir(path, 0700);
        *s = '/';
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

static void put_text(const char *root, const char *name, const char *text)
{
    put(root, name, text, strlen(text));
}

static unsigned n_files(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    (void)closedir(d);
    return n;
}

/* ---- findings ---- */

static void doctor__beyond_the_bound_findings_are_counted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DOCTOR_FINDINGS_MAX + 5; i++)
        finding_add(&found, FINDING_OK, "x", NULL, NULL, "%u", i);
    finding_add(&found, FINDING_FAIL, "x", NULL, NULL, "last");
    assert_int_equal(found.n, DOCTOR_FINDINGS_MAX);
    assert_int_equal(found.n_levels[FINDING_OK], DOCTOR_FINDINGS_MAX + 5);
    assert_int_equal(findings_worst(&found), FINDING_FAIL);
}

/* ---- the disk ---- */

static void doctor__figures_are_of_the_times(void **state)
{
    struct sync_figures f;
    uint64_t us[200];

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        us[i] = 200 - i;
    doctor_figures(us, 200, &f);
    assert_int_equal(f.n, 200);
    assert_int_equal(f.p50_us, 100);
    assert_int_equal(f.p99_us, 198);
    assert_int_equal(f.max_us, 200);
    us[0] = 7;
    doctor_figures(us, 1, &f);
    assert_int_equal(f.p99_us, 7);
    doctor_figures(us, 0, &f);
    assert_int_equal(f.max_us, 0);
}

static struct disk_figures disk_of(uint64_t p99_us)
{
    struct disk_figures d = {
        .all = {.n = 300, .p50_us = p99_us / 2, .p99_us = p99_us, .max_us = 2 * p99_us}};

    return d;
}

/* DOCTOR-6 */
static void doctor__a_disk_is_held_against_election_ms(void **state)
{
    struct disk_figures d = disk_of(50000);

    (void)state;
    doctor_judge_disk(&found, "/d", &d, 0, 50000, 500000);
    expect(FINDING_OK, "fsync", "bear up to 50 ms");
    expect_none(FINDING_WARN);
    /* The network takes its part. */
    doctor_judge_disk(&found, "/d", &d, 1000, 50000, 500000);
    expect(FINDING_WARN, "fsync", "election_ms = 550 and heartbeat_ms = 55 on every node");
    forget(NULL);
    d = disk_of(60000);
    doctor_judge_disk(&found, "/d", &d, 0, 50000, 500000);
    expect(FINDING_WARN, "fsync", "p99 60.0 ms is 12 % of election_ms = 500");
    expect(FINDING_WARN, "fsync", "election_ms = 600 and heartbeat_ms = 60");
    expect_none(FINDING_FAIL);
    d = disk_of(300000);
    doctor_judge_disk(&found, "/d", &d, 0, 50000, 500000);
    expect(FINDING_FAIL, "fsync", "election_ms = 3000");
    assert_int_equal(doctor_election_ms(0, 0), DOCTOR_ELECTION_MS_MIN);
    assert_int_equal(doctor_election_ms(15001, 0), 200);
    expect_next_steps();
}

/* DOCTOR-1 */
static void doctor__a_measurement_leaves_nothing(void **state)
{
    const char *dir = temp_folder_new("doctor");
    struct disk_figures d;
    struct timeval old[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};
    char path[PATH_MAX];

    (void)state;
    put_text(dir, ".ridctl-doctor-1", "left by one that was killed");
    (void)snprintf(path, sizeof(path), "%s/.ridctl-doctor-1", dir);
    assert_int_equal(utimes(path, old), 0);
    put_text(dir, ".ridctl-doctor-2", "of one that runs");
    put_text(dir, "IDENT", "of the node");
    (void)snprintf(path, sizeof(path), "%s/IDENT", dir);
    assert_int_equal(utimes(path, old), 0);
    assert_int_equal(doctor_measure(dir, &d), 0);
    assert_true(d.all.n > 0 && d.all.n <= DOCTOR_SYNCS_MAX);
    assert_true(d.all.p50_us <= d.all.p99_us && d.all.p99_us <= d.all.max_us && d.all.max_us > 0);
    assert_true(d.bytes_written <= DOCTOR_SYNC_BYTES_MAX);
    assert_int_equal(n_files(dir), 2);
    assert_int_equal(doctor_measure("/nonexistent/dir", &d), -ENOENT);
    temp_folder_remove(dir);
}

/* DOCTOR-1: it is removed before the signal is taken, and then that ends the program all the same. */
static void doctor__a_signal_leaves_nothing(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const char *dir = temp_folder_new("doctor");
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            struct disk_figures d;

            (void)signal(signals[i], SIG_DFL); /* nohup, say, leaves them ignored */
            for (;;)
                (void)doctor_measure(dir, &d);
        }
        while (n_files(dir) == 0)
            assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
        assert_int_equal(kill(pid, signals[i]), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
        assert_int_equal(n_files(dir), 0);
        temp_folder_remove(dir);
    }
}

/* ---- where the data lies ---- */

static void look_at_mount(const struct doctor_roots *roots, const char *path, const char *type)
{
    struct doctor_mount m;

    assert_true(doctor_find_mount(roots, path, &m));
    assert_string_equal(m.type, type);
    doctor_judge_mount(&found, path, &m);
}

/* DOCTOR-6 */
static void doctor__file_systems_are_known(void **state)
{
    const char *root = temp_folder_new("doctor");
    const struct doctor_roots roots = {.proc = root, .sys = root};
    struct doctor_mount m;

    (void)state;
    assert_false(doctor_find_mount(&roots, "/x", &m));
    put_text(root, "self/mountinfo",
             "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
             "23 22 0:20 / /run rw,nosuid - tmpfs tmpfs rw,size=1k\n"
             "24 22 8:2 / /srv/a\\040b rw - ext4 /dev/vdb rw,barrier=0\n"
             "25 22 0:31 / /nfs rw - nfs4 host:/x rw,vers=4.2\n"
             "26 22 8:3 / /old rw - ext3 /dev/vdc rw\n"
             "27 22 8:4 / /old ro - xfs /dev/vdd ro\n"
             "28 22 0:50 / /c rw - overlay overlay rw,lowerdir=/l\n"
             "29 22 0:51 / /f rw - fuse.sshfs x rw\n"
             "a line that is none\n");
    look_at_mount(&roots, "/var/lib/ridd/n1", "ext4");
    expect(FINDING_OK, "file_system", "ext4 at /");
    look_at_mount(&roots, "/running", "ext4"); /* not below /run */
    expect_none(FINDING_WARN);
    look_at_mount(&roots, "/run/ridd", "tmpfs");
    expect(FINDING_WARN, "file_system", "gone after a reboot");
    look_at_mount(&roots, "/srv/a b/n1", "ext4");
    expect(FINDING_WARN, "file_system", "barrier=0");
    look_at_mount(&roots, "/nfs", "nfs4");
    expect(FINDING_WARN, "file_system", "nfs4 at /nfs is a disk of another machine");
    look_at_mount(&roots, "/old/n1", "xfs");
    expect(FINDING_FAIL, "file_system", "read-only");
    look_at_mount(&roots, "/c/n1", "overlay");
    expect(FINDING_WARN, "file_system", "goes with the container");
    look_at_mount(&roots, "/f/n1", "fuse.sshfs");
    expect(FINDING_WARN, "file_system", "made by a program");
    expect_next_steps();
    temp_folder_remove(root);
}

static void doctor__room_is_held_against_what_may_come(void **state)
{
    struct doctor_room r = {.free_bytes = MIB(1024),
                            .total_bytes = MIB(4096),
                            .free_inodes = 100000,
                            .total_inodes = 200000,
                            .segment_bytes = MIB(64),
                            .snapshot_bytes = MIB(64),
                            .keep_bytes = MIB(64),
                            .state_bytes = MIB(100)};

    (void)state;
    doctor_judge_room(&found, "/d", &r);
    expect(FINDING_OK, "space", "1.0 GiB of 4.0 are free");
    expect_none(FINDING_WARN);
    r.free_bytes = MIB(355); /* 64 + 64 + 128 + 100 is one more */
    doctor_judge_room(&found, "/d", &r);
    expect(FINDING_WARN, "space", "another copy of the state may take 0.35 GiB");
    r.free_bytes = MIB(127);
    doctor_judge_room(&found, "/d", &r);
    expect(FINDING_FAIL, "space", "less than two segments");
    r.free_inodes = 10;
    doctor_judge_room(&found, "/d", &r);
    expect(FINDING_FAIL, "inodes", "10 of 200000");
    expect_next_steps();
}

static void doctor__the_owner_of_the_data_matters(void **state)
{
    struct stat st = {.st_mode = S_IFDIR | 0700, .st_uid = 990};

    (void)state;
    doctor_judge_owner(&found, "/d", &st, 990);
    expect(FINDING_OK, "owner", "user 990, mode 0700");
    doctor_judge_owner(&found, "/d", &st, (uid_t)-1);
    expect_none(FINDING_NOTE);
    doctor_judge_owner(&found, "/d", &st, 0);
    expect(FINDING_NOTE, "owner", "as root");
    doctor_judge_owner(&found, "/d", &st, 33);
    expect(FINDING_FAIL, "owner", "chown -R 33 /d");
    st.st_mode = S_IFDIR | 0750;
    doctor_judge_owner(&found, "/d", &st, 990);
    expect(FINDING_WARN, "owner", "chmod 0700 /d");
    expect_next_steps();
}

/* ---- the host ---- */

#define SOURCE "devices/system/clocksource/clocksource0/current_clocksource"

static void doctor__a_slow_clock_is_told(void **state)
{
    const char *root = temp_folder_new("doctor");
    const struct doctor_roots roots = {.proc = root, .sys = root};

    (void)state;
    doctor_clocks(&found, &roots);
    expect(FINDING_NOTE, "clock", "the clock source is not to be seen");
    expect_none(FINDING_FAIL);
    put_text(root, SOURCE, "tsc\n");
    doctor_clocks(&found, &roots);
    expect(FINDING_OK, "clock", "clock source tsc");
    put_text(root, SOURCE, "hpet\n");
    doctor_clocks(&found, &roots);
    expect(FINDING_WARN, "clock", "clock source hpet");
    expect_next_steps();
    temp_folder_remove(root);
}

static void doctor__memory_of_the_machine(void **state)
{
    const char *root = temp_folder_new("doctor");
    const struct doctor_roots roots = {.proc = root, .sys = root};

    (void)state;
    doctor_memory(&found, &roots);
    assert_int_equal(found.n, 0); /* nothing to be seen, nothing said */
    put_text(root, "meminfo", "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable: 4000000 kB\n");
    put_text(root, "sys/vm/overcommit_memory", "0\n");
    put_text(root, "kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put_text(root, "pressure/io", "some avg10=0.00 avg60=3.00 avg300=0.00 total=1\nfull ...\n");
    doctor_memory(&found, &roots);
    expect_none(FINDING_WARN);
    expect_none(FINDING_NOTE);
    put_text(root, "meminfo", "MemTotal:  8000000 kB\nMemAvailable: 300000 kB\n");
    put_text(root, "sys/vm/overcommit_memory", "2\n");
    put_text(root, "kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    put_text(root, "pressure/io", "some avg10=0.00 avg60=43.10 avg300=0.00 total=1\n");
    doctor_memory(&found, &roots);
    expect(FINDING_WARN, "memory", "293 MiB of 7812 are available");
    expect(FINDING_NOTE, "memory", "vm.overcommit_memory = 2");
    expect(FINDING_NOTE, "memory", "[always]");
    expect(FINDING_WARN, "pressure", "waited for io 43 % of the time");
    expect_next_steps();
    temp_folder_remove(root);
}

#define LIMITS(files, space, size, core)                                                           \
    "Limit                     Soft Limit           Hard Limit           Units     \n"             \
    "Max file size             " size "            unlimited            bytes     \n"              \
    "Max core file size        " core "                    unlimited            bytes     \n"      \
    "Max open files            " files "                524288               files     \n"         \
    "Max address space         " space "            unlimited            bytes     \n"
#define STATUS(swap)                                                                               \
    "Name:\tridd\nUid:\t990\t990\t990\t990\nVmRSS:\t    6144 kB\nVmSwap:\t    " swap " kB\n"

static void put_process(const char *root, const char *limits, const char *status)
{
    static const char words[] = "/usr/sbin/ridd\0--config\0/etc/ridd/x.conf\0--id=n2\0";

    put_text(root, "77/comm", "ridd\n");
    put(root, "77/cmdline", words, sizeof(words) - 1);
    put_text(root, "77/limits", limits);
    put_text(root, "77/status", status);
    put_text(root, "77/cgroup", "0::/system.slice/ridd@n2.service\n");
}

/* Started in another folder, by a file there. */
static void put_relative(const char *root)
{
    static const char words[] = "ridd\0-cx.conf\0";
    const struct doctor_roots roots = {.proc = root, .sys = root};
    struct doctor_process p[3];
    char link[300];
    char ours[300];
    char theirs[300];

    put_text(root, "78/comm", "ridd\n");
    put(root, "78/cmdline", words, sizeof(words) - 1);
    put_text(root, "here/x.conf", "");
    put_text(root, "there/x.conf", "");
    (void)snprintf(link, sizeof(link), "%s/78/cwd", root);
    (void)snprintf(theirs, sizeof(theirs), "%s/there", root);
    assert_int_equal(symlink(theirs, link), 0);
    assert_int_equal(doctor_find_processes(&roots, p, 3), 2);
    (void)snprintf(theirs, sizeof(theirs), "%s/there/x.conf", root);
    (void)snprintf(ours, sizeof(ours), "%s/here/x.conf", root);
    assert_string_equal(p[1].config, theirs);
    assert_true(doctor_process_is_of(&p[1], theirs));
    assert_false(doctor_process_is_of(&p[1], ours));
    assert_true(doctor_process_is_of(&p[1], NULL));
    assert_true(doctor_process_is_of(&p[0], ours)); /* it names a file that is not there */
    assert_int_equal(unlink(link), 0);
    assert_int_equal(doctor_find_processes(&roots, p, 3), 2);
    assert_string_equal(p[1].config, "x.conf");
    assert_true(doctor_process_is_of(&p[1], ours)); /* nobody knows: it is looked at */
}

/* DOCTOR-6 */
static void doctor__a_process_is_held_against_the_file(void **state)
{
    const char *root = temp_folder_new("doctor");
    const struct doctor_roots roots = {.proc = root, .sys = root};
    struct doctor_process p[2];

    (void)state;
    put_text(root, "5/comm", "sshd\n");
    put_text(root, "self/comm", "ridd\n");
    put_text(root, "fs/cgroup/system.slice/memory.max", "max\n");
    put_process(root, LIMITS("65536", "unlimited", "unlimited", "0"), STATUS("0"));
    assert_int_equal(doctor_find_processes(&roots, p, 2), 1);
    assert_int_equal(p[0].pid, 77);
    assert_string_equal(p[0].id, "n2");
    assert_string_equal(p[0].config, "/etc/ridd/x.conf");
    assert_int_equal(p[0].uid, 990);
    put_relative(root);
    doctor_judge_process(&found, &roots, &p[0], NULL);
    expect(FINDING_OK, "descriptors", "65536 may be open, 10166 are needed");
    expect(FINDING_OK, "memory", "6.0 MiB resident");
    expect(FINDING_OK, "memory", "its cgroup has no limit");
    put_process(root, LIMITS("65536", "unlimited", "unlimited", "1"), STATUS("0"));
    doctor_judge_process(&found, &roots, &p[0], NULL); /* GUARD-1: what it sets itself */
    expect_none(FINDING_NOTE);
    expect_none(FINDING_WARN);

    put_process(root, LIMITS("1024", "1073741824", "1048576", "unlimited"), STATUS("2048"));
    put_text(root, "fs/cgroup/system.slice/memory.max", "268435456\n");
    put_text(root, "fs/cgroup/system.slice/ridd@n2.service/memory.max", "1073741824\n");
    doctor_judge_process(&found, &roots, &p[0], NULL);
    expect(FINDING_WARN, "descriptors",
           "1024 may be open, [limits] connections = 10000 needs 10166");
    expect(FINDING_WARN, "memory", "2.0 MiB of it are swapped out");
    expect(FINDING_WARN, "memory",
           "its cgroup may take 256 MiB, [limits] memory and the node itself "
           "320 MiB: the kernel may kill it");
    expect(FINDING_WARN, "limits", "its address space is limited to 1024 MiB");
    expect(FINDING_FAIL, "limits", "no file may be larger than 1048576 bytes");
    expect(FINDING_NOTE, "limits", "a core is written");
    expect_next_steps();
    forget(NULL);
    p[0].pid = 78; /* it has ended, or is somebody else's */
    doctor_judge_process(&found, &roots, &p[0], NULL);
    expect(FINDING_NOTE, "limits", "its limits are not to be seen");
    temp_folder_remove(root);
}

/* ---- the cluster ---- */

static json_t *status(const char *version, int election_ms, int p99_us, const char *more)
{
    char text[1024];
    json_t *o;

    (void)snprintf(text, sizeof(text),
                   "{\"version\":\"%s\",\"cluster\":\"main\",\"heartbeat_ms\":50,"
                   "\"election_ms\":%d,\"disk\":{\"fsync_p50_us\":100,\"fsync_p99_us\":%d,"
                   "\"fsync_max_us\":%d,\"slow\":%s}%s}",
                   version, election_ms, p99_us, p99_us, p99_us > 300000 ? "true" : "false", more);
    o = json_loads(text, 0, NULL);
    assert_non_null(o);
    return o;
}

static void load_conf(struct conf *conf, const char *peers)
{
    struct conf_problems problems;
    char text[1024];
    int rc;

    (void)snprintf(text, sizeof(text),
                   "[cluster]\nname = main\n[peers]\n%s[security]\ninsecure = yes\n", peers);
    rc = conf_parse("test", text, strlen(text), NULL, false, conf, &problems);
    if (rc != 0)
        conf_problems_print(&problems, "test", stderr);
    conf_problems_done(&problems);
    assert_int_equal(rc, 0);
}

/* STATUS-5: of a log that cannot be read, which file and where, and the way out. */
static void doctor__a_log_that_is_damaged(void **state)
{
    (void)state;
    doctor_judge_log(&found, "/d/n3", "n3", 0, "verdict=clean batch=7 last_index=9\n");
    expect(FINDING_OK, "log", "clean batch=7");
    doctor_judge_log(&found, "/d/n3", "n3", 65,
                     "verdict=damaged: damaged log: 'wal/2.wal' offset 8000, index 14\nmore\n");
    expect(FINDING_FAIL, "log", "damaged log: 'wal/2.wal' offset 8000, index 14");
    assert_non_null(strstr(found.list[1].next, "ridctl member rejoin n3"));
    doctor_judge_log(&found, "/d/n3", "", 78, "verdict=newer: a later version");
    expect(FINDING_FAIL, "log", "a later version");
    expect_next_steps();
    forget(NULL);
}

/* STATUS-5: by the sync that does not end, not by the quick ones before it. */
static void doctor__a_disk_that_stands(void **state)
{
    struct doctor_answer a = {"n3", "h3:1", NULL};
    json_t *s = status(PACKAGE_VERSION, 500, 900, "");

    (void)state;
    a.status = s;
    (void)json_object_set_new(
        s, "disk",
        json_pack("{s:b,s:i,s:i}", "slow", 1, "fsync_p99_us", 900, "oldest_append_ms", 420));
    doctor_judge_answers(&found, &a, 1, NULL);
    expect(FINDING_FAIL, "fsync", "a sync of its log has taken 420 ms so far");
    expect_next_steps();
    forget(NULL);
    json_decref(s);
}

static void doctor__nodes_are_held_against_each_other(void **state)
{
    static struct conf conf;
    struct doctor_answer a[3] = {{"n1", "h1:1", NULL}, {"n2", "h2:1", NULL}, {"n3", "h3:1", NULL}};
    json_t *well = status(PACKAGE_VERSION, 500, 900, "");
    json_t *leader =
        status(PACKAGE_VERSION, 500, 900,
               ",\"peers\":[{\"id\":\"n2\",\"rtt_us\":150,\"connected\":true,\"heard\":false,"
               "\"last_heard_ms\":1240},"
               "{\"id\":\"n1\",\"connected\":false},{\"id\":\"n4\",\"connected\":false},"
               "{\"id\":\"n3\",\"rtt_us\":61000}],"
               "\"clients\":{\"open\":3,\"limit\":10,\"refused\":2},"
               "\"leases\":{\"clocks\":[{\"id\":\"n2\",\"ppm\":12.5,\"error_ppm\":1}]}");
    json_t *odd = status("0.0.9", 900, 400000, ",\"warnings\":[\"map_size differs from n1\"]");

    (void)state;
    load_conf(&conf, "n1 = 10.0.0.1:1 10.0.0.1:2\n");
    a[0].status = well;
    doctor_judge_answers(&found, a, 3, &conf);
    expect(FINDING_OK, "version", "all nodes, and ridctl");
    expect(FINDING_OK, "settings", "on 1 node");
    expect_none(FINDING_WARN);
    a[1].status = odd;
    a[2].status = leader;
    doctor_judge_answers(&found, a, 3, &conf);
    expect(FINDING_WARN, "version", "runs 0.0.9, and n1 runs");
    expect(FINDING_WARN, "settings", "runs with election_ms = 900, and the file says 500");
    expect(FINDING_WARN, "settings", "map_size differs from n1");
    expect(FINDING_FAIL, "fsync", "p99 400.0 ms");
    expect(FINDING_WARN, "round_trip", "61.00 ms, and heartbeat_ms is 50");
    expect(FINDING_OK, "round_trip", "n3 to n2");
    expect(FINDING_WARN, "link", "n3 to n2"); /* DOCTOR-7 */
    expect(FINDING_WARN, "link", "nothing was heard for 1240 ms");
    expect(FINDING_WARN, "link", "n3 to n1");
    expect(FINDING_WARN, "link", "not connected, and both run");
    expect(FINDING_WARN, "connections", "2 were refused");
    expect(FINDING_OK, "drift", "12.5 ppm");
    assert_int_equal(doctor_rtt_us(a, 3), 61000);
    expect_next_steps();
    forget(NULL);
    (void)json_object_set_new(well, "cluster", json_string("other"));
    doctor_judge_answers(&found, a, 1, &conf);
    expect(FINDING_FAIL, "settings", "belongs to cluster 'other'");
    json_decref(well);
    json_decref(odd);
    json_decref(leader);
}

/* ---- the network ---- */

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t size = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static void doctor__names_and_ports_are_tried(void **state)
{
    static struct conf conf;
    char peers[512];
    uint16_t open_port;
    uint16_t closed_port;
    int fd = listen_somewhere(&open_port);
    int other = listen_somewhere(&closed_port);

    (void)state;
    (void)close(other); /* nobody listens there now */
    (void)snprintf(peers, sizeof(peers),
                   "n1 = 127.0.0.1:%u 127.0.0.1:%u\n"
                   "n2 = gone.invalid:%u gone.invalid:%u\n"
                   "n3 = hangs.test:%u hangs.test:%u\n",
                   open_port, closed_port, open_port, closed_port, open_port, closed_port);
    load_conf(&conf, peers);
    fake_names_hang(true);
    doctor_network(&found, &conf);
    fake_names_end();
    expect(FINDING_OK, "reach", "n1 peer 127.0.0.1");
    expect(FINDING_FAIL, "reach", "n1 client 127.0.0.1");
    expect(FINDING_FAIL, "reach", "systemctl status ridd@n1");
    expect(FINDING_FAIL, "name", "gone.invalid");
    expect(FINDING_FAIL, "name", "no answer within 2.0 s");
    assert_null(find(FINDING_OK, "reach", "n3"));
    expect_none(FINDING_WARN);
    forget(NULL);
    /* A name that leads here while another node is elsewhere (nobody is at 192.0.2.1, RFC 5737). */
    (void)snprintf(peers, sizeof(peers),
                   "n1 = hangs.test:%u hangs.test:%u\nn2 = 192.0.2.1:7401 192.0.2.1:7400\n",
                   open_port, closed_port);
    load_conf(&conf, peers);
    doctor_network(&found, &conf);
    expect(FINDING_WARN, "name", "leads to this host itself");
    expect(FINDING_OK, "reach", "n1 peer");
    expect(FINDING_FAIL, "reach", "n2 client 192.0.2.1:7400");
    expect_next_steps();
    (void)close(fd);
}

/* ---- systemd, and programs that are asked ---- */

static void doctor__units_are_told(void **state)
{
    (void)state;
    doctor_judge_units(&found, "Id=ridd@n1.service\nActiveState=active\nSubState=running\n"
                               "Result=success\nNRestarts=0\n\n"
                               "Id=ridd@n2.service\nActiveState=failed\nSubState=failed\n"
                               "Result=watchdog\nNRestarts=5\n\n"
                               "NRestarts=2\nId=ridd@n3.service\nActiveState=active\n"
                               "SubState=running\nResult=success\n");
    expect(FINDING_OK, "unit", "ridd@n1.service");
    expect(FINDING_FAIL, "unit", "failed (watchdog) after 5 restarts");
    expect(FINDING_FAIL, "unit", "journalctl -u ridd@n2.service");
    expect(FINDING_WARN, "unit", "started again 2 times");
    assert_int_equal(found.n, 3);
    forget(NULL);
    doctor_judge_units(&found, "");
    expect(FINDING_NOTE, "unit", "systemd knows no ridd@NAME");
    expect_next_steps();
}

static void doctor__a_program_is_bounded_in_time_and_output(void **state)
{
    static const char *const talks[] = {"sh", "-c", "echo 0123456789; exit 3", NULL};
    static const char *const hangs[] = {"sh", "-c", "echo here; exec sleep 600", NULL};
    static const char *const none[] = {"ridctl-no-such-program", NULL};
    cleanup_buf struct buf out = BUF_INIT;
    bool cut;
    int code = -1;

    (void)state;
    assert_int_equal(command_run(talks, 20000, 100, &out, &cut, &code), 0);
    assert_int_equal(code, 3);
    assert_false(cut);
    assert_string_equal((char *)out.data, "0123456789\n");
    out.len = 0;
    assert_int_equal(command_run(talks, 20000, 4, &out, &cut, &code), 0);
    assert_true(cut);
    assert_string_equal((char *)out.data, "0123");
    out.len = 0;
    assert_int_equal(command_run(hangs, 300, 100, &out, &cut, &code), -ETIMEDOUT);
    assert_int_equal(code, 128 + SIGKILL);
    out.len = 0;
    assert_int_equal(command_run(none, 1000, 100, &out, &cut, &code), -ENOENT);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(doctor__beyond_the_bound_findings_are_counted),
        TEST(doctor__figures_are_of_the_times),
        TEST(doctor__a_disk_is_held_against_election_ms),
        TEST(doctor__a_measurement_leaves_nothing),
        TEST(doctor__a_signal_leaves_nothing),
        TEST(doctor__file_systems_are_known),
        TEST(doctor__room_is_held_against_what_may_come),
        TEST(doctor__the_owner_of_the_data_matters),
        TEST(doctor__a_slow_clock_is_told),
        TEST(doctor__memory_of_the_machine),
        TEST(doctor__a_process_is_held_against_the_file),
        TEST(doctor__a_log_that_is_damaged),
        TEST(doctor__a_disk_that_stands),
        TEST(doctor__nodes_are_held_against_each_other),
        TEST(doctor__names_and_ports_are_tried),
        TEST(doctor__units_are_told),
        TEST(doctor__a_program_is_bounded_in_time_and_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
