/* Five nights: a disk that is slow, one that is full, a node that is cut off, a wrong configuration, a damaged node. Each
 * is found with three commands: `ridctl status`, `ridctl doctor` on the machine that status names, and the page.
 *
 * What each command must say stands here, so docs/STORY.md is what was seen and not what was hoped for: with RIDD_STORY=FILE
 * the whole is written there as it happened, but for addresses and folders, which are those of docs/OPERATIONS.md. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/shim.h"
#include "cluster/snapshots.h"

#include "base/banned.h"

static FILE *story; /* NULL: nobody wants to read it */

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...)
{
    va_list ap;

    if (story == NULL)
        return;
    va_start(ap, format);
    (void)vfprintf(story, format, ap);
    va_end(ap);
}

/* ---- what a reader sees ---- */

struct machine {
    char conf[256]; /* of its own, and says which node it is */
    char control[300];
    char variable[400];
    struct shim_env shim;
};

struct night {
    struct cluster *c;
    struct machine machines[3];
};

static void replace_all(struct buf *text, const char *what, const char *with)
{
    struct buf to = BUF_INIT;
    const char *from = (const char *)text->data;
    const char *at;

    while ((at = strstr(from, what)) != NULL) {
        assert_int_equal(buf_add(&to, from, (size_t)(at - from)), 0);
        assert_int_equal(buf_add(&to, with, strlen(with)), 0);
        from = at + strlen(what);
    }
    assert_int_equal(buf_add(&to, from, strlen(from) + 1), 0);
    buf_done(text);
    *text = to;
}

/* As if it were three machines. */
static void as_in_the_book(const struct night *n, struct buf *text)
{
    char with[64];

    for (unsigned i = 0; i < n->c->n; i++)
        replace_all(text, n->machines[i].conf, "/etc/ridd/ridd.conf");
    for (unsigned i = 0; i < n->c->n; i++) {
        const struct node *node = &n->c->nodes[i];

        (void)snprintf(with, sizeof(with), "10.0.0.%u:7400", i + 1);
        replace_all(text, node->addr, with);
        (void)snprintf(with, sizeof(with), "10.0.0.%u:7401", i + 1);
        replace_all(text, node->peer_addr, with);
        (void)snprintf(with, sizeof(with), "/var/lib/ridd/%s", node->name);
        replace_all(text, node->dir, with);
    }
    replace_all(text, n->c->conf, "/etc/ridd/ridd.conf");
}

static void night_begin(struct night *n, const char *title, const char *what)
{
    static const struct shim_control nothing;
    static const char times[] = "[raft]\nheartbeat_ms = 50\nelection_ms = 500\n"
                                "[log]\nsegment_size = 1M\nsnapshot_bytes = 64M\n[http]\n";
    char control[sizeof(n->machines[0].control)];
    char extra[300];

    n->c = cluster_new(3, times);
    for (unsigned i = 0; i < n->c->n; i++) {
        struct machine *m = &n->machines[i];

        (void)snprintf(m->conf, sizeof(m->conf), "%s/n%u.conf", n->c->dir, i + 1);
        (void)snprintf(extra, sizeof(extra), "id = n%u\n%s", i + 1, times);
        cluster_write_conf_to(n->c, m->conf, "example", extra);
        n->c->nodes[i].conf = m->conf;
        (void)snprintf(control, sizeof(control), "%s/shim.n%u", n->c->dir, i + 1);
        file_write(control, &nothing, sizeof(nothing));
        memcpy(m->control, control, sizeof(control));
        (void)snprintf(m->variable, sizeof(m->variable), "RIDD_SHIM_CONTROL=%s", control);
        shim_env_init(&m->shim, m->variable);
    }
    cluster_write_conf(n->c, "example", times);
    tell("\n## %s\n\n%s\n", title, what);
}

static void start_all(struct night *n)
{
    for (unsigned i = 0; i < n->c->n; i++) {
        n->c->env = n->machines[i].shim.env;
        node_spawn(n->c, i);
    }
    n->c->env = NULL;
    for (unsigned i = 0; i < n->c->n; i++)
        node_wait_logged(n->c, i, " event=ready ");
    (void)cluster_leader(n->c);
}

/* So many writes of 10,000 bytes are acknowledged. */
static void write_some(struct night *n, unsigned n_writes)
{
    struct writers w;

    writers_init(&w, n->c, 4, 8, "key", 10000);
    swarm_set_patience(w.swarm, 20000);
    writers_run(&w, n_writes);
    writers_stop(&w);
    writers_done(&w);
}

static void night_end(struct night *n)
{
    cluster_free(n->c);
}

/* What a program of machine i (-1: of nobody's) says; texts end with NULL, and each is in it, sooner or later: what nodes
 * know of each other takes its time. */
static void look(const struct night *n, int i, const char *const *argv, const char *shown,
                 const char *const *texts)
{
    const uint64_t deadline = now_ms() + slow(WAIT_MS);
    cleanup_buf struct buf out = BUF_INIT;
    const char *missing = NULL;

    do {
        if (missing != NULL)
            pause_briefly();
        buf_reset(&out, SIZE_MAX);
        (void)run_program(argv, &out);
        missing = NULL;
        for (unsigned k = 0; texts[k] != NULL && missing == NULL; k++)
            if (strstr((const char *)out.data, texts[k]) == NULL)
                missing = texts[k];
    } while (missing != NULL && now_ms() < deadline);
    as_in_the_book(n, &out);
    if (missing != NULL)
        harness_fail("'%s' does not say '%s': %.3000s", shown, missing, (const char *)out.data);
    if (i < 0)
        tell("\n```console\nany$ %s\n%s```\n", shown, (const char *)out.data);
    else
        tell("\n```console\nn%d# %s\n%s```\n", i + 1, shown, (const char *)out.data);
}

#define TEXTS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void look_status(const struct night *n, const char *const *texts)
{
    const char *const argv[] = {ridctl_path(), "--config", n->c->conf, "status", NULL};

    look(n, -1, argv, "ridctl status", texts);
}

/* On a machine whose disk is what the library says, for all that runs there. */
static void look_doctor(const struct night *n, unsigned i, const char *const *texts)
{
    const struct machine *m = &n->machines[i];
    const char *const argv[] = {"/usr/bin/env", m->shim.env[0], m->shim.env[1],
                                m->shim.env[2], ridctl_path(),  "--config",
                                m->conf,        "doctor",       NULL};

    look(n, (int)i, argv, "ridctl doctor", texts);
}

/* ---- the page, as one who hears it read ---- */

static bool fetch_page(uint16_t port, struct buf *out)
{
    const struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {5, 0};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char request[128];
    ssize_t got = 1;

    assert_true(fd >= 0);
    (void)snprintf(request, sizeof(request),
                   "GET /?still HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n", port);
    buf_reset(out, SIZE_MAX);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0 ||
        send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        return false;
    while (got > 0) {
        void *to = buf_reserve(out, 65536);

        assert_non_null(to);
        got = recv(fd, to, 65535, 0);
        out->len += got > 0 ? (size_t)got : 0;
    }
    assert_int_equal(buf_add(out, "", 1), 0);
    return strncmp((const char *)out->data, "HTTP/1.1 200", 12) == 0;
}

/* What stands between tags in [from, to), a line for each paragraph, term or heading. */
static void add_text(struct buf *out, const char *from, const char *to)
{
    bool fresh = true;

    while (from < to) {
        if (*from == '<') {
            const char *end = memchr(from, '>', (size_t)(to - from));

            fresh = fresh || strncmp(from, "</h", 3) == 0 || strncmp(from, "</p", 3) == 0 ||
                    strncmp(from, "</dd", 4) == 0 || strncmp(from, "</li", 4) == 0;
            if (strncmp(from, "</dt", 4) == 0)
                assert_int_equal(buf_add_str(out, ": "), 0);
            from = end != NULL ? end + 1 : to;
            continue;
        }
        if (fresh && (*from == ' ' || *from == '\n')) {
            from++;
            continue;
        }
        if (fresh && out->len > 0)
            assert_int_equal(buf_add_str(out, "\n"), 0);
        fresh = false;
        if (strncmp(from, "&#160;", 6) == 0) {
            assert_int_equal(buf_add_u8(out, ' '), 0);
            from += 6;
        } else {
            assert_int_equal(buf_add(out, from, 1), 0);
            from++;
        }
    }
    assert_int_equal(buf_add_str(out, "\n"), 0);
}

/* The sentence on top, and the card of that node. */
static void read_page(const struct night *n, const char *html, const char *node, struct buf *out)
{
    const char *verdict = strstr(html, "<h1 id=\"verdict\"");
    const char *verdict_end = verdict != NULL ? strstr(verdict, "</section>") : NULL;
    char title[64];
    const char *card;
    const char *card_end;

    (void)n;
    if (verdict_end != NULL)
        add_text(out, verdict, verdict_end);
    for (unsigned i = 1; i <= 3; i++) {
        (void)snprintf(title, sizeof(title), "<h3 id=\"node-%u\"><bdi>%s</bdi>", i, node);
        card = strstr(html, title);
        card_end = card != NULL ? strstr(card, "</article>") : NULL;
        if (card_end != NULL)
            add_text(out, card, card_end);
    }
}

/* Of n1, about that node. */
static void look_page(const struct night *n, const char *node, const char *const *texts)
{
    const uint64_t deadline = now_ms() + slow(WAIT_MS);
    cleanup_buf struct buf html = BUF_INIT;
    cleanup_buf struct buf out = BUF_INIT;
    const char *missing = "a page";

    do {
        pause_briefly();
        if (!fetch_page(n->c->nodes[0].http_port, &html))
            continue;
        buf_reset(&out, SIZE_MAX);
        read_page(n, (const char *)html.data, node, &out);
        assert_int_equal(buf_add(&out, "", 1), 0);
        missing = NULL;
        for (unsigned k = 0; texts[k] != NULL && missing == NULL; k++)
            if (strstr((const char *)out.data, texts[k]) == NULL)
                missing = texts[k];
    } while (missing != NULL && now_ms() < deadline);
    if (missing != NULL)
        harness_fail("the page does not say '%s': %.3000s", missing,
                     out.data != NULL ? (const char *)out.data : "");
    as_in_the_book(n, &out);
    tell("\nThe page (`http://127.0.0.1:7402/` of n1), on top, and the card of "
         "%s:\n\n```text\n%s```\n",
         node, (const char *)out.data);
}

/* ---- the nights ---- */

CASE(story__a_slow_disk)
{
    const unsigned ms = 400;
    struct night n;

    night_begin(&n, "A slow disk", "Each sync of n3 takes 400 ms longer than it did.");
    cluster_init(n.c);
    start_all(&n);
    file_patch(n.machines[2].control, offsetof(struct shim_control, slow_sync_ms), &ms, sizeof(ms));
    write_some(&n, 50);
    look_status(&n, TEXTS("DEGRADED", "n3", "disk slow"));
    look_doctor(&n, 2, TEXTS("FAIL  fsync"));
    look_page(&n, "n3", TEXTS("DEGRADED", "disk slow"));
    night_end(&n);
}

CASE(story__a_full_disk)
{
    struct night n;

    if (skip_without_disks())
        return;
    night_begin(&n, "A full disk", "Something else has filled the disk of n3.");
    for (unsigned i = 0; i < n.c->n; i++)
        if (mkdir(n.c->nodes[i].dir, 0700) != 0 || !set_disk(n.c, i, DISK_BYTES, 0))
            harness_fail("cannot mount: %s", strerror(errno));
    cluster_init(n.c);
    start_all(&n);
    fill_disk(n.c, 2, 0);
    write_some(&n, 400);
    look_status(&n, TEXTS("DEGRADED", "n3", "no space"));
    look_doctor(&n, 2, TEXTS("FAIL  space"));
    look_page(&n, "n3", TEXTS("DEGRADED", "no space"));
    end_on_disks(n.c);
}

CASE(story__a_partition)
{
    struct night n;
    struct links links;

    night_begin(
        &n, "A partition",
        "A switch forwards nothing between n3 and the others any more; clients reach all three.");
    links_begin(&links, n.c);
    cluster_init(n.c);
    links_start_all(&links);
    links_cut(&links, 2, 0, PROXY_DROP);
    links_cut(&links, 2, 1, PROXY_DROP);
    look_status(&n, TEXTS("DEGRADED: survives no more failure", "n3: hears no leader"));
    look_doctor(&n, 2, TEXTS("warn  link", "nothing was heard"));
    look_page(&n, "n3", TEXTS("DEGRADED", "hears no leader"));
    links_end(&links);
    night_end(&n);
}

CASE(story__a_wrong_configuration)
{
    cleanup_buf struct buf conf = BUF_INIT;
    struct night n;
    int code;

    night_begin(&n, "A wrong configuration",
                "Somebody has edited the file of n3, and restarted it.");
    cluster_init(n.c);
    start_all(&n);
    assert_int_equal(node_terminate(n.c, 2), 0);
    file_read(n.machines[2].conf, &conf);
    conf.len = strlen((const char *)conf.data);
    (void)buf_add_format(&conf, "\n[raft]\nelection_timeout_ms = 300\n");
    file_write(n.machines[2].conf, conf.data, conf.len);
    assert_false(node_try_start(n.c, 2, &code));
    assert_int_equal(code, 78);
    look_status(&n, TEXTS("DEGRADED", "n3", "unreachable"));
    look_doctor(&n, 2, TEXTS("FAIL  config", "election_timeout_ms"));
    look_page(&n, "n3", TEXTS("DEGRADED", "unreachable"));
    night_end(&n);
}

CASE(story__a_damaged_node)
{
    struct night n;
    char path[300];
    int code;

    night_begin(
        &n, "A damaged node",
        "A disk has given back other bytes than were written: one in the middle of the log of n3.");
    cluster_init(n.c);
    start_all(&n);
    write_some(&n, 200);
    node_kill(n.c, 2);
    (void)snprintf(path, sizeof(path), "%s/wal/0000000000000002.wal", n.c->nodes[2].dir);
    file_xor(path, 8000, 0x10);
    assert_false(node_try_start(n.c, 2, &code));
    assert_int_equal(code, 65);
    look_status(&n, TEXTS("DEGRADED", "n3", "unreachable"));
    look_doctor(&n, 2, TEXTS("FAIL  log", "damaged"));
    look_page(&n, "n3", TEXTS("DEGRADED", "unreachable"));
    night_end(&n);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(story__a_slow_disk),    HARNESS_TEST(story__a_full_disk),
        HARNESS_TEST(story__a_partition),    HARNESS_TEST(story__a_wrong_configuration),
        HARNESS_TEST(story__a_damaged_node),
    };
    const char *path = getenv("RIDD_STORY");
    int rc;

    own_mounts();
    if (path != NULL && (story = fopen(path, "we")) == NULL) {
        (void)fprintf(stderr, "cannot write '%s'\n", path);
        return 1;
    }
    tell("# Five nights\n\n"
         "A disk that is slow, one that is full, a node that is cut off, a wrong configuration, a "
         "damaged node:\neach is found with three looks, `ridctl status` on any machine, `ridctl "
         "doctor` on the one that status\nnames, and the page of a node that is well.\n\n"
         "This is what `tests/cluster/test-story` saw, which makes all five on real nodes and asks "
         "for the words that\nmatter here; it writes this file (`RIDD_STORY=FILE`). Addresses and "
         "paths are those of [OPERATIONS.md](OPERATIONS.md),\nand all three nodes ran on one "
         "machine.\n");
    rc = harness_main(argc, argv, tests, NULL, NULL);
    if (story != NULL && fclose(story) != 0)
        rc = 1;
    return rc;
}
