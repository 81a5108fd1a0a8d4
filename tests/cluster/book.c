#include "cluster/book.h"

#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#include "base/banned.h"

#define COMMAND_MS   60000u
#define TRIES_MAX    20u
#define TRY_AGAIN_MS 200u
#define MOVED_TO     6u /* the node whose addresses stand for 10.0.0.13 */
#define PREFIX       "runuser -u ridd -- "
#define CONF_IN_BOOK "/etc/ridd/ridd.conf"
#define FENCE        "```"
#define FENCE_TO_RUN "```console run="

/* ---- reading ---- */

static bool take_prompt(const char *line, char *ret_machine, size_t size, const char **ret_text)
{
    const size_t len = strcspn(line, "#$ ");
    const bool any = len == 3 && strncmp(line, "any$ ", 5) == 0;

    if (!any && !(len == 2 && line[0] == 'n' && isdigit((unsigned char)line[1]) != 0 &&
                  strncmp(line + 2, "# ", 2) == 0))
        return false;
    (void)snprintf(ret_machine, size, "%.*s", (int)len, line);
    *ret_text = line + len + 2;
    return true;
}

static void take_line(struct book *b, const char *block, const char *line, unsigned at)
{
    char machine[8];
    const char *text;

    if (take_prompt(line, machine, sizeof(machine), &text)) {
        struct book_command *c;

        b->commands = realloc(b->commands, (b->n + 1) * sizeof(*b->commands));
        assert_non_null(b->commands);
        c = &b->commands[b->n++];
        memset(c, 0, sizeof(*c));
        c->line = at;
        (void)snprintf(c->block, sizeof(c->block), "%s", block);
        (void)snprintf(c->machine, sizeof(c->machine), "%s", machine);
        assert_true((size_t)snprintf(c->text, sizeof(c->text), "%s", text) < sizeof(c->text));
        return;
    }
    if (b->n == 0 || strcmp(b->commands[b->n - 1].block, block) != 0 ||
        b->commands[b->n - 1].n_expect == BOOK_EXPECT_MAX)
        harness_fail("docs/OPERATIONS.md:%u: what does this belong to: %s", at, line);
    (void)snprintf(b->commands[b->n - 1].expect[b->commands[b->n - 1].n_expect++], BOOK_TEXT_BYTES,
                   "%s", line);
}

static void read_book(struct book *b)
{
    const char *srcdir = getenv("srcdir");
    char path[PATH_MAX];
    cleanup_file FILE *f = NULL;
    cleanup_free char *line = NULL;
    char block[24] = "";
    bool inside = false;
    size_t size = 0;
    unsigned at = 0;

    (void)snprintf(path, sizeof(path), "%s/docs/OPERATIONS.md", srcdir != NULL ? srcdir : ".");
    f = fopen(path, "re");
    if (f == NULL)
        harness_fail("there is no '%s': set srcdir", path);
    while (getline(&line, &size, f) >= 0) {
        const char *text = line + strspn(line, " ");

        at++;
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(text, "3. " FENCE, 6) == 0 || strncmp(text, "2. " FENCE, 6) == 0 ||
            strncmp(text, "1. " FENCE, 6) == 0)
            text += 3;
        if (strncmp(text, FENCE, 3) == 0) {
            inside = !inside;
            block[0] = '\0';
            if (inside && strncmp(text, FENCE_TO_RUN, strlen(FENCE_TO_RUN)) == 0)
                (void)snprintf(block, sizeof(block), "%s", text + strlen(FENCE_TO_RUN));
        } else if (inside && block[0] != '\0') {
            take_line(b, block, text, at);
        }
    }
    assert_false(inside);
}

/* The configuration of the harness, with the first nodes only. */
static void write_confs(struct book *b, unsigned founders)
{
    struct cluster *c = b->cluster;
    const unsigned n = c->n;

    c->n = founders;
    for (unsigned i = 0; i <= CLUSTER_NODES_MAX; i++) {
        if (i < CLUSTER_NODES_MAX)
            (void)snprintf(b->confs[i], sizeof(b->confs[i]), "%s/n%u.conf", c->dir, i + 1);
        else
            (void)snprintf(b->confs[i], sizeof(b->confs[i]), "%s/clients.conf", c->dir);
        (void)snprintf(c->conf, sizeof(c->conf), "%s", b->confs[i]);
        cluster_write_conf(c, "test", NULL);
    }
    c->n = n;
}

void book_open(struct book *b, struct cluster *c, unsigned founders)
{
    char path[300];

    memset(b, 0, sizeof(*b));
    b->cluster = c;
    assert_int_equal(c->n, CLUSTER_NODES_MAX);
    read_book(b);
    write_confs(b, founders);
    (void)snprintf(path, sizeof(path), "%s/backup", c->dir);
    assert_int_equal(mkdir(path, 0700), 0);
}

void book_close(struct book *b)
{
    free(b->commands);
    b->commands = NULL;
}

/* ---- what this machine has ---- */

static void replace_all(char *text, size_t size, const char *what, const char *with)
{
    cleanup_free char *before = strdup(text);
    const char *from = before;
    const char *at;
    size_t len = 0;

    assert_non_null(before);
    while ((at = strstr(from, what)) != NULL) {
        len += (size_t)snprintf(text + len, size - len, "%.*s%s", (int)(at - from), from, with);
        from = at + strlen(what);
        assert_true(len < size);
    }
    assert_true((size_t)snprintf(text + len, size - len, "%s", from) < size - len);
}

static const char *conf_of(const struct book *b, const char *machine)
{
    return b->confs[machine[0] == 'n' ? (unsigned)(machine[1] - '1') : CLUSTER_NODES_MAX];
}

void book_here(const struct book *b, const struct book_command *command, const char *text,
               char *ret_text, size_t size)
{
    const struct cluster *c = b->cluster;
    char what[64];
    char with[400];

    (void)snprintf(ret_text, size, "%s", text);
    for (unsigned i = 0; i <= CLUSTER_NODES_MAX; i++) {
        const struct node *node = &c->nodes[i < CLUSTER_NODES_MAX ? i : MOVED_TO];
        const unsigned number = i < CLUSTER_NODES_MAX ? i + 1 : 13;

        (void)snprintf(what, sizeof(what), "10.0.0.%u:7401", number);
        replace_all(ret_text, size, what, node->peer_addr);
        (void)snprintf(what, sizeof(what), "10.0.0.%u:7400", number);
        replace_all(ret_text, size, what, node->addr);
        (void)snprintf(what, sizeof(what), "scp n%u:" CONF_IN_BOOK " ", number);
        if (i < CLUSTER_NODES_MAX) {
            (void)snprintf(with, sizeof(with), "cp %s ", b->confs[i]);
            replace_all(ret_text, size, what, with);
        }
    }
    replace_all(ret_text, size, CONF_IN_BOOK, conf_of(b, command->machine));
    (void)snprintf(with, sizeof(with), "%s/", c->dir);
    replace_all(ret_text, size, "/var/lib/ridd/", with);
    (void)snprintf(with, sizeof(with), "%s/backup/", c->dir);
    replace_all(ret_text, size, "/backup/", with);
    replace_all(ret_text, size, PREFIX, "");
    (void)snprintf(with, sizeof(with), "ridd --config %s --id ", conf_of(b, command->machine));
    replace_all(ret_text, size, "ridd --id ", with);
}

/* ---- running ---- */

static int node_named(const struct book *b, const char *text, const char *before)
{
    const char *at = strstr(text, before);
    char name[8];

    if (at == NULL)
        return -1;
    at += strlen(before);
    (void)snprintf(name, sizeof(name), "%.2s", at);
    return cluster_find(b->cluster, name);
}

void book_aim(struct book *b, unsigned node)
{
    (void)snprintf(b->cluster->conf, sizeof(b->cluster->conf), "%s", b->confs[node]);
}

static void end_node(struct book *b, unsigned i)
{
    if (b->cluster->nodes[i].pid != 0)
        assert_int_equal(node_terminate(b->cluster, i), 0);
}

static int do_service(struct book *b, const char *text, unsigned i)
{
    const bool stops = strstr(text, "systemctl stop") == text ||
                       strstr(text, "systemctl disable") == text ||
                       strstr(text, "systemctl restart") == text;
    const bool starts = strstr(text, "systemctl start") == text ||
                        strstr(text, "systemctl enable") == text ||
                        strstr(text, "systemctl restart") == text;

    if (!stops && !starts)
        harness_fail("not understood: %s", text);
    book_aim(b, i);
    if (stops)
        end_node(b, i);
    if (starts && b->cluster->nodes[i].pid == 0)
        node_start(b->cluster, i);
    return 0;
}

/* It waits, and says for what. */
static int do_join(struct book *b, const char *text, unsigned i, struct buf *out)
{
    book_aim(b, i);
    node_spawn_with(b->cluster, i, strstr(text, "--rejoin") != NULL ? "--rejoin" : "--join");
    node_wait_logged(b->cluster, i, "waiting to be added");
    {
        cleanup_free char *line = node_log_line(b->cluster, i, "waiting to be added");

        assert_non_null(line);
        assert_int_equal(buf_add_str(out, line), 0);
        assert_int_equal(buf_add(out, "\n", 2), 0);
        out->len--;
    }
    return 0;
}

static int do_shell(struct book *b, const struct book_command *command, const char *text,
                    struct buf *out)
{
    const char *path = getenv("PATH");
    char conf[400];
    char search[PATH_MAX + 600];
    const char *const argv[] = {"/usr/bin/env", conf, search, "/bin/sh", "-c", text, NULL};
    const char *program = ridd_path();

    (void)snprintf(conf, sizeof(conf), "RIDD_CONF=%s", conf_of(b, command->machine));
    (void)snprintf(search, sizeof(search), "PATH=%.*s:%s", (int)(strrchr(program, '/') - program),
                   program, path != NULL ? path : "/usr/bin:/bin");
    return run_program_within(argv, out, COMMAND_MS);
}

int book_do(struct book *b, const struct book_command *command, struct buf *out)
{
    char text[4 * BOOK_TEXT_BYTES];
    const size_t len = strlen(command->text);
    int node = node_named(b, command->text, " ridd@");

    buf_reset(out, SIZE_MAX);
    assert_int_equal(buf_add_u8(out, 0), 0);
    out->len--;
    if (b->before != NULL)
        b->before(b->ctx, command);
    if (node >= 0)
        return do_service(b, command->text, (unsigned)node);
    node = cluster_find(b->cluster, command->machine);
    if (node >= 0 && strcmp(command->text, "kill %1; wait") == 0) {
        end_node(b, (unsigned)node);
        return 0;
    }
    if (node >= 0 && command->text[len - 1] == '&')
        return do_join(b, command->text, (unsigned)node, out);
    book_here(b, command, command->text, text, sizeof(text));
    return do_shell(b, command, text, out);
}

/* ---- comparing ---- */

static bool is_failure(const char *line)
{
    return strncmp(line, "ridctl: ", 8) == 0 || strncmp(line, "ridd: the ", 10) == 0 ||
           strncmp(line, "nothing was changed", 19) == 0;
}

/* Lines that were expected stand there in their order. */
static void compare(const struct book *b, const struct book_command *command, int code,
                    const struct buf *out)
{
    cleanup_free char *said = strdup((const char *)out->data);
    char *save = NULL;
    char *line;
    bool fails = false;

    assert_non_null(said);
    line = strtok_r(said, "\n", &save);
    for (unsigned i = 0; i < command->n_expect; i++) {
        char want[4 * BOOK_TEXT_BYTES];

        book_here(b, command, command->expect[i], want, sizeof(want));
        replace_all(want, sizeof(want), "...", "<*>");
        fails = fails || is_failure(command->expect[i]);
        while (line != NULL && !pattern_matches(want, line))
            line = strtok_r(NULL, "\n", &save);
        if (line == NULL)
            harness_fail("docs/OPERATIONS.md:%u: '%s' should say\n  %s\nand says (%d)\n%.2000s",
                         command->line, command->text, want, code, (const char *)out->data);
        line = strtok_r(NULL, "\n", &save);
    }
    if ((code != 0) != fails)
        harness_fail("docs/OPERATIONS.md:%u: '%s' ends with %d:\n%.2000s", command->line,
                     command->text, code, (const char *)out->data);
}

unsigned book_count(const struct book *b, const char *block)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->n; i++)
        n += strcmp(b->commands[i].block, block) == 0;
    return n;
}

void book_run(struct book *b, const char *block)
{
    cleanup_buf struct buf out = BUF_INIT;

    if (book_count(b, block) == 0)
        harness_fail("docs/OPERATIONS.md has no block '%s'", block);
    for (unsigned i = 0; i < b->n; i++) {
        const struct book_command *command = &b->commands[i];
        int code;

        if (strcmp(command->block, block) != 0)
            continue;
        code = book_do(b, command, &out);
        compare(b, command, code, &out);
    }
}

static void wait_ms(unsigned ms)
{
    const uint64_t until = now_ms() + ms;

    while (now_ms() < until)
        pause_briefly();
}

static void rename_in(char *text, size_t size, unsigned n4)
{
    char with[32];

    (void)snprintf(with, sizeof(with), "n%u", n4);
    replace_all(text, size, "n4", with);
    (void)snprintf(with, sizeof(with), "10.0.0.%u:", n4);
    replace_all(text, size, "10.0.0.4:", with);
}

void book_run_as(struct book *b, const char *block, unsigned n4)
{
    cleanup_buf struct buf out = BUF_INIT;

    assert_true(book_count(b, block) > 0);
    for (unsigned i = 0; i < b->n; i++) {
        struct book_command command = b->commands[i];
        int code = 1;

        if (strcmp(command.block, block) != 0 || strstr(command.text, "ridctl status") != NULL)
            continue;
        rename_in(command.text, sizeof(command.text), n4);
        rename_in(command.machine, sizeof(command.machine), n4);
        for (unsigned k = 0; code != 0 && k < TRIES_MAX; k++) {
            code = book_do(b, &command, &out);
            if (code != 0 && strncmp(command.text, "ridctl member", 13) != 0)
                break;
            if (code != 0)
                wait_ms(TRY_AGAIN_MS);
        }
        if (code != 0)
            harness_fail("docs/OPERATIONS.md:%u: '%s' ends with %d:\n%.2000s", command.line,
                         command.text, code, (const char *)out.data);
    }
}
