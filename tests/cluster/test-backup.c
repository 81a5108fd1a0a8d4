/* Backups of clusters that run, and clusters that begin with one: what is in them (BACKUP-5), and
 * that nothing of the old cluster reaches the new one, or the other way round (BACKUP-1,
 * BACKUP-2). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

/* ---- ridctl and ridd ---- */

static char *path_in(const struct cluster *c, const char *name)
{
    static char paths[4][300];
    static unsigned at;
    char *path = paths[at++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", c->dir, name);
    return path;
}

/* ridctl -c CONF backup WORD ...; the exit code. */
static int backup(const struct cluster *c, struct buf *out, const char *word, const char *file,
                  const char *third, const char *fourth)
{
    const char *const argv[] = {ridctl_path(), "-c",  c->conf, "backup", word,
                                file,          third, fourth,  NULL};

    return run_program_within(argv, out, 60000);
}

static void expect_done(const struct cluster *c, const char *word, const char *file,
                        const char *third, const char *fourth, const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(backup(c, &out, word, file, third, fourth), 0, &out);
    expect_text(&out, text);
}

static void expect_damaged(const struct cluster *c, const char *word, const char *file,
                           const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;

    const bool restores = strcmp(word, "restore") == 0;

    expect_code(backup(c, &out, word, file, restores ? "--id" : NULL, restores ? "n1" : NULL), 65,
                &out);
    expect_text(&out, text);
}

static json_t *inspect(const struct cluster *c, const char *file)
{
    cleanup_buf struct buf out = BUF_INIT;
    json_t *o;

    expect_code(backup(c, &out, "inspect", file, "--json", NULL), 0, &out);
    o = json_loads((const char *)out.data, 0, NULL);
    assert_non_null(o);
    return o;
}

/* Through a shell, for what is led into and out of files: $R is ridctl with that configuration, and
 * $1 and $2 what stands behind. */
static int shell(const struct cluster *c, struct buf *out, const char *line, const char *a,
                 const char *b)
{
    char command[2400];
    const char *const argv[] = {"/bin/sh", "-c", command, "sh", a, b, NULL};

    (void)snprintf(command, sizeof(command), "R='%s -c %s'; %s", ridctl_path(), c->conf, line);
    return run_program_within(argv, out, 60000);
}

/* ---- clusters ---- */

/* Three places of their own addresses, of which n1 begins with the backup, and runs. */
static struct cluster *restored(const char *file)
{
    struct cluster *c = cluster_new(3, NULL);

    expect_done(c, "restore", file, "--id", "n1", "its only voter");
    c->n_members = 1;
    node_start(c, 0);
    assert_int_equal(cluster_leader(c), 0);
    return c;
}

static void add_node(struct cluster *c, unsigned i)
{
    struct node *n = &c->nodes[i];
    const char *const argv[] = {ridctl_path(), "-c",         c->conf, "member", "add",
                                n->name,       n->peer_addr, n->addr, NULL};
    cleanup_buf struct buf out = BUF_INIT;

    node_spawn_with(c, i, "--join");
    node_wait_logged(c, i, "waiting to be added");
    expect_code(run_program_within(argv, &out, 60000), 0, &out);
    node_wait_logged(c, i, " event=ready ");
    c->n_members = i + 1;
}

static char *text_of(struct cluster *c, unsigned i, const char *name)
{
    json_t *status = node_status(c, i);
    char *text = strdup(reply_str(status, name));

    json_decref(status);
    return text;
}

static int64_t applied_of(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);
    const int64_t applied = reply_int(status, "applied_index");

    json_decref(status);
    return applied;
}

/* ---- clients beside it ---- */

static void write_on(void *ctx)
{
    struct writers *w = ctx;

    swarm_turn(w->swarm, 2);
}

/* What was acknowledged so far is what has to be there; of what came later nothing is known. */
static void forget_later(struct writers *w, const unsigned char *fates, size_t n)
{
    for (size_t i = 0; i < w->n; i++)
        w->fates[i] = i < n && fates[i] == FATE_ACKNOWLEDGED ? FATE_ACKNOWLEDGED : FATE_UNKNOWN;
}

/* ---- sessions and tokens of before ---- */

struct before {
    char client[32];
    char cluster[32];
    int64_t index;
};

static void open_session(struct cluster *c, struct before *b)
{
    struct client *cl = client_open(c, cluster_leader(c));
    json_t *reply = client_ask_json(cl, "{\"type\":\"open_session\",\"msg_id\":1}");
    char *hash = text_of(c, cluster_leader(c), "cluster_hash");

    assert_true(reply_is(reply, "open_session_ok"));
    (void)snprintf(b->client, sizeof(b->client), "%s", reply_str(reply, "client"));
    (void)snprintf(b->cluster, sizeof(b->cluster), "%s", hash);
    free(hash);
    json_decref(reply);
    client_close(cl);
}

/* {"type":"cas"...} of a counter, in that session. */
static json_t *count(struct cluster *c, const struct before *b, unsigned seq, int from)
{
    struct client *cl = client_open(c, cluster_leader(c));
    char line[300];
    json_t *reply;

    (void)snprintf(line, sizeof(line),
                   "{\"type\":\"cas\",\"msg_id\":1,\"key\":\"counter\",\"from\":%d,\"to\":%d,"
                   "\"create_if_not_exists\":true,\"client\":\"%s\",\"seq\":%u,\"first\":%u}",
                   from, from + 1, b->client, seq, seq);
    reply = client_ask_json(cl, line);
    client_close(cl);
    return reply;
}

static void expect_error(json_t *reply, const char *error)
{
    if (strcmp(reply_str(reply, "error"), error) != 0) {
        cleanup_free char *text = json_dumps(reply, 0);

        harness_fail("%s, not %s", text, error);
    }
    json_decref(reply);
}

static void expect_counter(struct cluster *c, int value)
{
    struct client *cl = client_open(c, cluster_leader(c));
    json_t *reply =
        client_ask_json(cl, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"counter\"}");

    assert_int_equal(reply_int(reply, "value"), value);
    json_decref(reply);
    client_close(cl);
}

/* TOKEN-1: also where the index is long there. */
static void expect_token_refused(struct cluster *c, const char *cluster, int64_t index)
{
    struct client *cl = client_open(c, cluster_leader(c));
    char line[300];

    assert_true(applied_of(c, 0) > index);
    (void)snprintf(line, sizeof(line),
                   "{\"type\":\"local_read\",\"msg_id\":1,\"key\":\"counter\",\"min_index\":%lld,"
                   "\"cluster\":\"%s\"}",
                   (long long)index, cluster);
    expect_error(client_ask_json(cl, line), "precondition_failed");
    client_close(cl);
}

/* ---- cases ---- */

/* BACKUP-1, BACKUP-2, BACKUP-5: all of it at once, beside the old cluster, which goes on. */
CASE(backup__under_load_and_begun_anew_beside_the_old_one)
{
    struct cluster *old = cluster_up(3, NULL);
    struct cluster *c;
    struct before before = {.index = 0};
    struct before after = {.index = 0};
    struct writers w;
    cleanup_free unsigned char *fates = NULL;
    cleanup_free char *hash = NULL;
    cleanup_free char *digest = NULL;
    char file[300];
    json_t *about;
    json_t *reply;
    size_t n;

    (void)snprintf(file, sizeof(file), "%s/backup", old->dir);
    open_session(old, &before);
    reply = count(old, &before, 1, 0);
    assert_true(reply_is(reply, "cas_ok"));
    json_decref(reply);
    writers_init(&w, old, 3, 8, "k", 100);
    writers_run(&w, 500);
    harness_meanwhile(write_on, &w);
    n = w.n;
    fates = malloc(n);
    assert_non_null(fates);
    memcpy(fates, w.fates, n);
    expect_done(old, "save", file, NULL, NULL, " saved in ");
    expect_done(old, "verify", file, NULL, NULL, ": good: cluster test");
    harness_meanwhile(NULL, NULL);
    writers_run(&w, 200);
    writers_stop(&w);
    reply = count(old, &before, 2, 1);
    assert_true(reply_is(reply, "cas_ok")); /* after the backup */
    json_decref(reply);
    before.index = applied_of(old, cluster_leader(old));
    open_session(old, &after); /* a number that the backup does not know */
    about = inspect(old, file);
    assert_int_equal(reply_int(about, "sessions"), 1);
    digest = strdup(reply_str(about, "digest"));

    c = restored(file);
    forget_later(&w, fates, n);
    writers_verify(&w, c);
    expect_counter(c, 1);
    hash = text_of(c, 0, "cluster_hash");
    assert_string_not_equal(hash, before.cluster);
    assert_string_equal(before.cluster, reply_str(about, "cluster_hash"));
    /* What it says of itself, and what it has. */
    json_decref(about);
    about = node_status(c, 0);
    assert_int_equal(reply_int(json_object_get(about, "sessions"), "n"), 0);
    assert_string_equal(reply_str(json_object_get(about, "state"), "verdict"), "good");
    json_decref(about);

    /* The retry of what was done before the backup, of what was done after it, and a first one. */
    expect_error(count(c, &before, 1, 1), "session_expired");
    expect_error(count(c, &before, 2, 1), "session_expired");
    expect_error(count(c, &after, 1, 1), "session_expired");
    expect_counter(c, 1);
    expect_token_refused(c, before.cluster, before.index);
    /* Its own are none of before. */
    open_session(c, &after);
    assert_true(strtoull(after.client, NULL, 10) > (uint64_t)before.index);
    reply = count(c, &after, 1, 1);
    assert_true(reply_is(reply, "cas_ok"));
    json_decref(reply);

    add_node(c, 1);
    add_node(c, 2);
    expect_equal_states(c);
    writers_verify(&w, c);
    expect_counter(c, 2);
    expect_counter(old, 2);
    assert_int_not_equal(digest[0], '\0');
    cluster_free(c);
    writers_done(&w);
    cluster_free(old);
}

static void copy_folder(const char *from, const char *to)
{
    const char *const argv[] = {"/bin/cp", "-a", from, to, NULL};

    assert_int_equal(run_program(argv, NULL), 0);
}

static void put(struct cluster *c, const char *key, const char *value)
{
    const char *const argv[] = {ridctl_path(), "-c", c->conf, "put", key, value, NULL};
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(run_program(argv, &out), 0, &out);
}

/* Both clusters stand in the list of nodes, and whoever leads the one that is named first answers: what
 * is saved is of that one, although the indexes of the other may be higher. */
static void expect_of_one(struct cluster *c, const char *file, const char *first, int keys)
{
    cleanup_buf struct buf out = BUF_INIT;
    char all[200];
    const char *const argv[] = {ridctl_path(), "-e", all, "backup", "save", file, NULL};
    json_t *about;

    (void)snprintf(all, sizeof(all), "%s,%s,%s,%s", first, c->nodes[0].addr, c->nodes[1].addr,
                   c->nodes[2].addr);
    (void)unlink(file);
    expect_code(run_program_within(argv, &out, 60000), 0, &out);
    about = inspect(c, file);
    assert_int_equal(reply_int(about, "keys"), keys);
    json_decref(about);
}

/* BACKUP-1: the two others of the old cluster, which are its majority, come up at the addresses
 * where the restored node looks for nobody, with a file that names it. */
CASE(backup__old_nodes_and_the_new_one_refuse_each_other)
{
    struct cluster *old = cluster_up(3, NULL);
    struct cluster *c;
    cleanup_buf struct buf out = BUF_INIT;
    char file[300];
    unsigned leader;

    (void)snprintf(file, sizeof(file), "%s/backup", old->dir);
    put(old, "where", "old");
    expect_done(old, "save", file, NULL, NULL, " saved in ");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(node_terminate(old, i), 0);
    c = restored(file);
    put(c, "where", "new");
    put(c, "only", "new");
    for (unsigned i = 1; i < 3; i++) {
        copy_folder(old->nodes[i].dir, c->nodes[i].dir);
        node_spawn(c, i);
    }
    node_wait_logged(c, 1, "event=ready");
    node_wait_logged(c, 2, "event=ready");
    /* These two lead each other, and nobody else. */
    wait_until(node_logged(c, 1, "role=leader event=leader_changed") ||
                   node_logged(c, 2, "role=leader event=leader_changed"),
               "a leader of the old ones");
    leader = node_logged(c, 1, "role=leader event=leader_changed") ? 1 : 2;
    wait_until(node_log_lines(c, 1, "event=peer_refused", "another cluster") > 0 &&
                   node_log_lines(c, 2, "event=peer_refused", "another cluster") > 0,
               "refusals");
    for (unsigned i = 1; i < 3; i++) {
        cleanup_free char *hash = text_of(c, i, "cluster_hash");
        cleanup_free char *ours = text_of(c, 0, "cluster_hash");

        assert_string_not_equal(hash, ours);
    }
    {
        struct client *cl = client_open(c, leader);

        client_expect(cl, "{\"type\":\"read_index\",\"key\":\"where\"}", "<*>\"value\":\"old\"<*>");
        client_expect(cl, "{\"type\":\"read_index\",\"key\":\"only\"}", "<*>\"value\":null<*>");
        client_close(cl);
        cl = client_open(c, 0);
        client_expect(cl, "{\"type\":\"read_index\",\"key\":\"where\"}", "<*>\"value\":\"new\"<*>");
        client_close(cl);
    }
    {
        json_t *status = node_status(c, 0);

        assert_string_equal(reply_str(status, "role"), "leader");
        assert_string_equal(reply_str(status, "leader_id"), "n1");
        json_decref(status);
    }
    expect_of_one(c, file, c->nodes[leader].addr, 1);
    expect_of_one(c, file, c->nodes[0].addr, 2);
    /* An empty one that is made as founders are is told, too, and nothing is made. */
    for (unsigned i = 1; i < 3; i++) {
        node_kill(c, i);
        tree_remove(c->nodes[i].dir, false);
    }
    expect_code(run_ridd(c->conf, "n2", &out, "--init", NULL), 78, &out);
    expect_text(&out, "belongs to another cluster");
    expect_text(&out, "--join");
    add_node(c, 1);
    cluster_free(c);
    cluster_free(old);
}

/* BACKUP-1: of one backup, two clusters of one name. */
CASE(backup__two_restores_are_two_clusters)
{
    struct cluster *old = cluster_up(1, NULL);
    struct cluster *a;
    struct cluster *b;
    cleanup_free char *hash_a = NULL;
    cleanup_free char *hash_b = NULL;
    char file[300];

    (void)snprintf(file, sizeof(file), "%s/backup", old->dir);
    put(old, "k", "v");
    expect_done(old, "save", file, NULL, NULL, "n1: index");
    a = restored(file);
    b = restored(file);
    hash_a = text_of(a, 0, "cluster_hash");
    hash_b = text_of(b, 0, "cluster_hash");
    assert_string_not_equal(hash_a, hash_b);
    expect_token_refused(a, hash_b, 1);
    cluster_free(b);
    cluster_free(a);
    cluster_free(old);
}

/* BACKUP-5: the last write that was acknowledged is in it, and whichever node is asked. */
CASE(backup__holds_what_was_acknowledged)
{
    static const char *const nodes[] = {NULL, "n1", "n2", "n3"};
    struct cluster *c = cluster_up(3, NULL);
    char file[300];
    char key[16];

    (void)snprintf(file, sizeof(file), "%s/backup", c->dir);
    for (unsigned i = 1; i <= 12; i++) {
        json_t *about;

        (void)snprintf(key, sizeof(key), "k%u", i);
        put(c, key, "v");
        expect_done(c, "save", file, nodes[i % 4], NULL, " saved in ");
        about = inspect(c, file);
        if (reply_int(about, "keys") != i)
            harness_fail("%lld keys of %u are in the backup from %s",
                         (long long)reply_int(about, "keys"), i,
                         nodes[i % 4] != NULL ? nodes[i % 4] : "whoever");
        assert_string_equal(reply_str(about, "cluster"), "test");
        if (nodes[i % 4] != NULL)
            assert_string_equal(reply_str(about, "node"), nodes[i % 4]);
        else
            assert_true(strcmp(reply_str(about, "node"), c->nodes[cluster_leader(c)].name) != 0);
        json_decref(about);
    }
    cluster_free(c);
}

/* A node that cannot have as much is told of, and not waited for without end. */
CASE(backup__of_a_node_that_is_behind_is_none)
{
    struct cluster *c = cluster_up(3, NULL);
    const unsigned leader = cluster_leader(c);
    const unsigned away = (leader + 1) % 3;
    cleanup_buf struct buf out = BUF_INIT;
    char file[300];
    int code;

    (void)snprintf(file, sizeof(file), "%s/backup", c->dir);
    put(c, "k", "v");
    node_stop(c, away);
    put(c, "k2", "v");
    expect_done(c, "save", file, NULL, NULL, " saved in ");
    code = shell(c, &out, "$R -t 1000 backup save $1 $2", path_in(c, "other"), c->nodes[away].name);
    assert_int_not_equal(code, 0);
    assert_int_equal(access(path_in(c, "other"), F_OK), -1);
    node_continue(c, away);
    cluster_free(c);
}

/* The stream of standard output, and what is cut off it; an index that is asked for. */
CASE(backup__comes_and_goes_through_pipes)
{
    struct cluster *c = cluster_up(3, NULL);
    struct cluster *d = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char file[300];
    char cut[300];

    (void)snprintf(file, sizeof(file), "%s/backup", c->dir);
    (void)snprintf(cut, sizeof(cut), "%s/cut", c->dir);
    put(c, "k", "v");
    expect_code(shell(c, &out, "$R backup save - | cat > $1", file, ""), 0, &out);
    expect_text(&out, "saved in standard output");
    expect_done(c, "verify", file, NULL, NULL, ": good: ");
    expect_code(shell(c, &out, "cat $1 | $R backup verify -", file, ""), 0, &out);
    expect_code(shell(c, &out, "$R backup inspect - < $1", file, ""), 0, &out);
    expect_text(&out, "which a restore drops");
    expect_code(shell(c, &out, "head -c 10000 $1 > $2", file, cut), 0, &out);
    expect_damaged(c, "verify", cut, "its end is missing or damaged");
    expect_damaged(c, "inspect", cut, "its end is missing or damaged");
    expect_code(shell(d, &out, "cat $1 | $R backup restore - --id n1", cut, ""), 65, &out);
    assert_int_equal(access(d->nodes[0].dir, F_OK), -1);
    expect_code(shell(d, &out, "cat $1 | $R backup restore - --id n1", file, ""), 0, &out);
    node_start(d, 0);
    assert_int_equal(cluster_leader(d), 0);
    expect_code(shell(d, &out, "test \"$($R get k --raw)\" = v", "", ""), 0, &out);
    /* An index of another cluster, and one that does not come. */
    expect_code(shell(c, &out, "$R backup save $1 --min-index 0123456789abcdef:3", file, ""), 4,
                &out);
    expect_code(shell(c, &out, "$R -t 500 backup save $1 --min-index 1000000", file, ""), 75, &out);
    cluster_free(d);
    cluster_free(c);
}

static bool has_begun(const char *part)
{
    struct stat st;

    return stat(part, &st) == 0 && st.st_size > 0;
}

/* What was cut short goes on where it was, of the time at which it was begun. */
CASE(backup__goes_on_where_it_was_cut)
{
    struct cluster *c = cluster_up(3, "[log]\nsnapshot_mib_per_s = 1\n");
    char file[300];
    char part[320];
    const char *const argv[] = {ridctl_path(), "-c", c->conf, "backup", "save", file, "n2", NULL};
    cleanup_buf struct buf out = BUF_INIT;
    struct writers w;
    json_t *about;
    int64_t index;
    pid_t pid;
    int code;

    (void)snprintf(file, sizeof(file), "%s/backup", c->dir);
    (void)snprintf(part, sizeof(part), "%s.part", file);
    writers_init(&w, c, 2, 4, "k", 20000);
    writers_run(&w, 150);
    writers_stop(&w);
    pid = program_begin(argv, path_in(c, "said"));
    wait_until(has_begun(part), "the first part");
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_until(program_ended(pid, &code), "its end");
    assert_int_equal(access(file, F_OK), -1);
    /* Before the write, after the copy was begun: the leader writes too, its limit for one. */
    index = applied_of(c, 1);
    put(c, "later", "v");
    expect_code(run_program_within(argv, &out, 60000), 0, &out);
    expect_text(&out, "it was begun at ");
    about = inspect(c, file);
    assert_true(reply_int(about, "index") <= index);
    assert_true(reply_int(about, "keys") >= (int64_t)w.n_acknowledged);
    json_decref(about);
    assert_int_equal(access(part, F_OK), -1);
    expect_done(c, "verify", file, NULL, NULL, ": good: ");
    writers_done(&w);
    cluster_free(c);
}

/* What people give by mistake, each in one line, and nothing is left. */
CASE(backup__what_is_none_is_told_what_it_is)
{
    struct cluster *c = cluster_up(1, NULL);
    struct cluster *d = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char file[300];

    (void)snprintf(file, sizeof(file), "%s/file", c->dir);
    put(c, "k", "v");
    expect_code(shell(c, &out, "$R export --save $1", file, ""), 0, &out);
    expect_damaged(c, "verify", file, "ridctl import");
    expect_damaged(d, "restore", file, "ridctl import");
    expect_damaged(c, "verify", path_in(c, "n1/wal/0000000000000001.wal"), "a segment of a node's");
    expect_damaged(c, "verify", path_in(c, "n1/IDENT"), "data directory");
    expect_damaged(c, "inspect", path_in(c, "n1/db/data.mdb"), "or is the state of a data");
    expect_damaged(c, "verify", c->dir, "is a folder");
    expect_damaged(c, "verify", "/dev/null", "no regular file");
    file_write(file, "", 0);
    expect_damaged(d, "restore", file, "is empty");
    expect_code(backup(c, &out, "verify", path_in(c, "nothing"), NULL, NULL), 64, &out);
    expect_code(backup(c, &out, "mend", file, NULL, NULL), 64, &out);
    expect_text(&out, "it is save, verify, inspect or restore");
    /* A flipped bit, in each third. */
    expect_done(c, "save", file, NULL, NULL, " saved in ");
    for (uint64_t i = 0; i < 3; i++) {
        file_xor(file, file_size(file) * (2 * i + 1) / 6, 0x10);
        expect_damaged(c, "verify", file, "take another");
        expect_damaged(d, "restore", file, "take another");
        file_xor(file, file_size(file) * (2 * i + 1) / 6, 0x10);
    }
    assert_int_equal(access(d->nodes[0].dir, F_OK), -1);
    expect_done(d, "restore", file, "--id", "n1", "its only voter");
    expect_code(backup(d, &out, "restore", file, "--id", "n1"), 78, &out);
    expect_text(&out, "is initialised as node 'n1' already");
    cluster_free(d);
    cluster_free(c);
}

/* Once more, of a cluster that was restored and grew; and one that goes on alone after that. */
CASE(backup__of_a_restored_cluster)
{
    struct cluster *old = cluster_up(1, NULL);
    struct cluster *c;
    struct cluster *d;
    char file[300];
    json_t *first;
    json_t *second;

    (void)snprintf(file, sizeof(file), "%s/backup", old->dir);
    put(old, "k", "v");
    expect_done(old, "save", file, NULL, NULL, " saved in ");
    first = inspect(old, file);
    c = restored(file);
    add_node(c, 1);
    put(c, "k2", "v");
    expect_done(c, "save", file, NULL, NULL, " saved in ");
    expect_done(c, "verify", file, NULL, NULL, "2 keys");
    second = inspect(c, file);
    assert_true(reply_int(second, "index") > reply_int(first, "index") + ((int64_t)1 << 40));
    assert_string_not_equal(reply_str(second, "cluster_hash"), reply_str(first, "cluster_hash"));
    d = restored(file);
    put(d, "k3", "v");
    /* Restarted, its state lost: the snapshot that it began with, and the log behind it. */
    assert_int_equal(node_terminate(d, 0), 0);
    tree_remove(path_in(d, "n1/db"), true);
    node_start(d, 0);
    assert_int_equal(cluster_leader(d), 0);
    {
        struct client *cl = client_open(d, 0);

        client_expect(cl, "{\"type\":\"read_index\",\"key\":\"k\"}", "<*>\"value\":\"v\"<*>");
        client_expect(cl, "{\"type\":\"read_index\",\"key\":\"k3\"}", "<*>\"value\":\"v\"<*>");
        client_close(cl);
    }
    json_decref(first);
    json_decref(second);
    cluster_free(d);
    cluster_free(c);
    cluster_free(old);
}

/* What cron calls once a month: one line, and nothing is left of it. */
CASE(backup__is_tried_out_by_the_script)
{
    const char *source = getenv("srcdir");
    struct cluster *c = cluster_up(3, NULL);
    struct before session = {.index = 0};
    cleanup_buf struct buf out = BUF_INIT;
    char command[1400];
    char script[600];
    char file[300];
    char **names;
    unsigned n;

    (void)snprintf(file, sizeof(file), "%s/backup", c->dir);
    (void)snprintf(script, sizeof(script), "%s/examples/backup-test",
                   source != NULL ? source : ".");
    assert_int_equal(mkdir(path_in(c, "room"), 0700), 0);
    put(c, "a key", "v");
    put(c, "b", "v");
    open_session(c, &session);
    (void)snprintf(command, sizeof(command),
                   "PATH=\"$(dirname \"$(command -v ${R%%%% *})\"):$PATH\" %s -c %s -d %s $2 $1",
                   script, c->conf, path_in(c, "room"));
    expect_code(shell(c, &out, command, file, ""), 0, &out);
    expect_text(&out, "backup-test: good: ");
    expect_text(&out, "cluster test, index ");
    expect_text(&out, "; 2 keys, digest ");
    expect_code(shell(c, &out, command, file, "-n"), 0, &out);
    expect_text(&out, "backup-test: good: ");
    file_xor(file, file_size(file) / 2, 1);
    expect_code(shell(c, &out, command, file, "-n"), 1, &out);
    expect_text(&out, "backup-test: FAILED: ");
    expect_text(&out, "is damaged");
    expect_code(shell(c, &out, command, path_in(c, "no/where"), ""), 1, &out);
    expect_text(&out, "it cannot be saved");
    n = folder_list(path_in(c, "room"), &names);
    names_free(names, n);
    assert_int_equal(n, 0);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(backup__under_load_and_begun_anew_beside_the_old_one),
        HARNESS_TEST(backup__old_nodes_and_the_new_one_refuse_each_other),
        HARNESS_TEST(backup__two_restores_are_two_clusters),
        HARNESS_TEST(backup__holds_what_was_acknowledged),
        HARNESS_TEST(backup__of_a_node_that_is_behind_is_none),
        HARNESS_TEST(backup__comes_and_goes_through_pipes),
        HARNESS_TEST(backup__goes_on_where_it_was_cut),
        HARNESS_TEST(backup__what_is_none_is_told_what_it_is),
        HARNESS_TEST(backup__of_a_restored_cluster),
        HARNESS_TEST(backup__is_tried_out_by_the_script),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
