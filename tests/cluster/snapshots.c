/* Looking at snapshots, and the clients beside them. */
#include "cluster/snapshots.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/cleanup.h"

#include "base/banned.h"

/* ---- looking ---- */

int64_t status_of(struct cluster *c, unsigned i, const char *object, const char *name)
{
    json_t *status = node_status(c, i);
    int64_t value = reply_int(json_object_get(status, object), name);

    json_decref(status);
    return value;
}

int64_t snap_of(struct cluster *c, unsigned i, const char *name)
{
    return status_of(c, i, "snapshots", name);
}

int64_t percent_sent(struct cluster *c, unsigned from, unsigned to)
{
    json_t *status = node_status(c, from);
    const json_t *all = json_object_get(json_object_get(status, "snapshots"), "sending");
    int64_t percent = -1;

    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);

        if (strcmp(reply_str(one, "to"), c->nodes[to].name) == 0)
            percent = reply_int(one, "percent");
    }
    json_decref(status);
    return percent;
}

bool is_receiving(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);
    const bool is =
        json_is_object(json_object_get(json_object_get(status, "snapshots"), "receiving"));

    json_decref(status);
    return is;
}

uint64_t wal_bytes(const struct cluster *c, unsigned i)
{
    json_t *status = node_status((struct cluster *)(uintptr_t)c, i);
    int64_t bytes = reply_int(json_object_get(status, "log"), "bytes");

    json_decref(status);
    return bytes < 0 ? 0 : (uint64_t)bytes;
}

unsigned lines_ever(const struct cluster *c, unsigned i, const char *text)
{
    cleanup_buf struct buf log = BUF_INIT;
    unsigned n = 0;

    file_read(c->nodes[i].log, &log);
    for (const char *at = (const char *)log.data; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

void expect_nobody_ended(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        siginfo_t info = {0};

        if (c->nodes[i].pid != 0 &&
            waitid(P_PID, (id_t)c->nodes[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0)
            harness_fail("%s ended with %d", c->nodes[i].name, info.si_status);
    }
}

/* ---- doing ---- */

void small_conf(char *conf, size_t size, unsigned mib_per_s)
{
    (void)snprintf(conf, size,
                   "map_size = 256M\n[log]\nsegment_size = 1M\nsnapshot_bytes = 1M\n"
                   "keep_bytes = 0\nsnapshot_mib_per_s = %u\n",
                   mib_per_s);
}

struct cluster *cluster_small(unsigned mib_per_s)
{
    char conf[200];

    small_conf(conf, sizeof(conf), mib_per_s);
    return cluster_up_without_syncs(3, conf);
}

void take_conf(struct cluster *c, const char *extra)
{
    cluster_write_conf(c, "test", extra);
    for (unsigned i = 0; i < c->n; i++) {
        unsigned n;

        if (c->nodes[i].pid == 0)
            continue;
        n = node_log_lines(c, i, "event=reloaded", NULL);
        node_signal(c, i, SIGHUP);
        wait_until(node_log_lines(c, i, "event=reloaded", NULL) > n, "the file to be read again");
    }
}

void set_speed(struct cluster *c, unsigned mib_per_s)
{
    char conf[200];

    small_conf(conf, sizeof(conf), mib_per_s);
    take_conf(c, conf);
}

static void ask_snapshot(struct cluster *c, unsigned i)
{
    struct client *cl = client_open(c, i);

    client_expect(cl, "{\"type\":\"snapshot\"}",
                  "{\"type\":\"snapshot_ok\",\"index\":<n>,\"making\":<*>}");
    client_close(cl);
}

void make_snapshot(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);
    const int64_t applied = reply_int(status, "applied_index");

    json_decref(status);
    ask_snapshot(c, i);
    wait_until(snap_of(c, i, "index") >= applied, "a snapshot");
}

/* The last segment stays, so that there must be a whole one behind what is to go. */
void leave_behind(struct cluster *c, unsigned node, struct writers *w)
{
    const uint64_t deadline = now_ms() + slow(3 * WAIT_MS);
    const unsigned leader = cluster_leader(c);
    json_t *status = node_status(c, leader);
    const int64_t index = reply_int(status, "last_log_index");

    json_decref(status);
    assert_int_equal(c->nodes[node].pid, 0);
    for (;;) {
        unsigned n_needed = 0;

        if (now_ms() > deadline)
            harness_fail("the log does not let go of what %s needs", c->nodes[node].name);
        writers_run(w, SEGMENT_BYTES / (unsigned)w->value_bytes + 1);
        for (unsigned i = 0; i < c->n; i++) {
            if (c->nodes[i].pid == 0 || snap_of(c, i, "log_begins_behind") > index)
                continue;
            ask_snapshot(c, i);
            n_needed++;
        }
        if (n_needed == 0)
            return;
    }
}

/* ---- clients beside it ---- */

#define BESIDE_CLIENTS 4u

struct one_beside {
    int64_t acknowledged;
    int64_t attempted;
    uint64_t write_id; /* under way; 0: none */
    uint64_t read_id;
    int64_t floor; /* acknowledged when the read was asked */
};

struct beside {
    struct cluster *cluster;
    struct swarm *swarm;
    struct one_beside ones[BESIDE_CLIENTS];
    uint64_t n_writes;
    uint64_t n_reads;
    unsigned n_turns;
};

static bool next_beside(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    struct beside *b = ctx;
    struct one_beside *o = &b->ones[client];

    if (o->write_id == 0 && msg_id % 2 == 0) {
        o->write_id = msg_id;
        o->attempted++;
        (void)snprintf(fields, size, "\"type\":\"write\",\"key\":\"beside%u\",\"value\":%lld",
                       client, (long long)o->attempted);
        return true;
    }
    if (o->read_id != 0)
        return false;
    o->read_id = msg_id;
    o->floor = o->acknowledged;
    (void)snprintf(fields, size, "\"type\":\"read_index\",\"key\":\"beside%u\"", client);
    return true;
}

static void check_read(struct beside *b, unsigned client, const json_t *reply)
{
    const struct one_beside *o = &b->ones[client];
    int64_t value = 0;

    if (reply_is(reply, "read_index_ok")) {
        if (json_is_integer(json_object_get(reply, "value")))
            value = reply_int(reply, "value");
        b->n_reads++;
    } else {
        return;
    }
    if (value < o->floor || value > o->attempted)
        harness_fail("client %u reads %lld: %lld was acknowledged, %lld the last that was tried",
                     client, (long long)value, (long long)o->floor, (long long)o->attempted);
}

static void beside_done(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    struct beside *b = ctx;
    struct one_beside *o = &b->ones[client];

    if (msg_id == o->write_id) {
        o->write_id = 0;
        if (reply != NULL && reply_is(reply, "write_ok")) {
            o->acknowledged = o->attempted;
            b->n_writes++;
        }
        return;
    }
    o->read_id = 0;
    if (reply != NULL)
        check_read(b, client, reply);
}

struct beside *beside_new(struct cluster *c)
{
    static const struct swarm_ops ops = {next_beside, beside_done};
    struct beside *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    b->cluster = c;
    b->swarm = swarm_new(c, BESIDE_CLIENTS, 2, &ops, b);
    return b;
}

/* What they wait for elsewhere takes the same processors: they take a part of the time. */
void beside_turn(struct beside *b, unsigned ms)
{
    swarm_turn(b->swarm, ms);
    if (b->n_turns++ % 8 == 0)
        pause_briefly();
}

uint64_t beside_writes(const struct beside *b)
{
    return b->n_writes;
}

uint64_t beside_reads(const struct beside *b)
{
    return b->n_reads;
}

void beside_end(struct beside *b)
{
    swarm_drain(b->swarm);
    swarm_free(b->swarm);
    for (unsigned i = 0; i < BESIDE_CLIENTS; i++) {
        const uint64_t deadline = now_ms() + slow(WAIT_MS);
        bool is_read = false;

        while (!is_read) {
            struct client *cl = client_open(b->cluster, cluster_leader(b->cluster));
            json_t *reply;

            if (now_ms() > deadline)
                harness_fail("beside%u cannot be read", i);
            client_sendf(cl, "{\"type\":\"read_index\",\"key\":\"beside%u\"}", i);
            reply = client_recv_json(cl);
            is_read = reply_is(reply, "read_index_ok");
            b->ones[i].floor = b->ones[i].acknowledged;
            check_read(b, i, reply);
            json_decref(reply);
            client_close(cl);
        }
    }
    free(b);
}

void expect_never_half(struct cluster *c, unsigned node, const struct writers *w)
{
    struct client *cl = client_open(c, node);

    for (unsigned i = 0; i < 40; i++) {
        const char *text;

        if (w->fates[i] != FATE_ACKNOWLEDGED)
            continue;
        text = client_askf(cl, "{\"type\":\"local_read\",\"key\":\"%s%u\",\"timeout_ms\":50}",
                           w->prefix, i);

        if (strstr(text, "\"type\":\"local_read_ok\"") != NULL
                ? strstr(text, "\"value\":null") != NULL
                : strstr(text, "\"code\":20,") != NULL)
            harness_fail("%s says of a key that it had shown: %s", c->nodes[node].name, text);
    }
    client_close(cl);
}

/* ---- links ---- */

void links_begin(struct links *l, struct cluster *c)
{
    uint16_t ports[CLUSTER_NODES_MAX];

    memset(l, 0, sizeof(*l));
    l->cluster = c;
    for (unsigned i = 0; i < c->n; i++)
        ports[i] = c->nodes[i].peer_port;
    l->proxy = proxy_new(c->n, ports, 1);
    assert_non_null(l->proxy);
    for (unsigned i = 0; i < c->n; i++) {
        char *text = l->nodes[i].ports;
        const size_t size = sizeof(l->nodes[i].ports);
        size_t n = (size_t)snprintf(text, size, "RIDD_SHIM_PORTS=");

        for (unsigned k = 0; k < c->n; k++)
            if (k != i)
                n += (size_t)snprintf(text + n, size - n, "%s%u=%u", text[n - 1] == '=' ? "" : ",",
                                      c->nodes[k].peer_port, proxy_port(l->proxy, i, k));
        shim_env_init(&l->nodes[i].shim, text);
    }
}

void links_start(struct links *l, unsigned i)
{
    l->cluster->env = l->nodes[i].shim.env;
    node_spawn(l->cluster, i);
    l->cluster->env = NULL;
}

void links_start_all(struct links *l)
{
    for (unsigned i = 0; i < l->cluster->n; i++)
        links_start(l, i);
    for (unsigned i = 0; i < l->cluster->n; i++)
        node_wait_logged(l->cluster, i, " event=ready ");
    (void)cluster_leader(l->cluster);
}

void links_cut(struct links *l, unsigned a, unsigned b, enum proxy_cut how)
{
    const struct proxy_fault fault = {.cut = how};

    proxy_set(l->proxy, a, b, &fault);
    proxy_set(l->proxy, b, a, &fault);
}

void links_end(struct links *l)
{
    proxy_free(l->proxy);
    l->proxy = NULL;
}

/* ---- loads and files ---- */

char *path_of(const struct cluster *c, unsigned i, const char *name)
{
    static char paths[2][PATH_MAX];
    static unsigned n;
    char *path = paths[n++ % 2];

    (void)snprintf(path, PATH_MAX, "%s/%s", c->nodes[i].dir, name);
    return path;
}

void verify(struct writers *w, struct cluster *c)
{
    writers_stop(w);
    writers_verify(w, c);
    writers_done(w);
    expect_equal_states(c);
    expect_nobody_ended(c);
}

void preload(struct writers *w, struct cluster *c, unsigned mib)
{
    writers_init(w, c, 4, 8, "k", VALUE_BYTES);
    writers_run(w, mib * SEGMENT_BYTES / VALUE_BYTES);
    (void)cluster_settle(c);
}

void spoil_snaps(const struct cluster *c, unsigned node, bool trailer)
{
    char **names;
    const unsigned n = folder_list(path_of(c, node, "snap"), &names);

    assert_true(n > 0);
    for (unsigned i = 0; i < n; i++) {
        char path[PATH_MAX];
        uint64_t bytes;

        (void)snprintf(path, sizeof(path), "%s/snap/%s", c->nodes[node].dir, names[i]);
        bytes = file_size(path);
        /* Within the pages of a value there are bytes that say nothing. */
        for (uint64_t k = 0; k < (trailer ? 1 : 16); k++)
            file_xor(path, trailer ? bytes - 30 : bytes / 2 + k * 1000, 0x10);
    }
    names_free(names, n);
}

/* ---- disks ---- */

static bool has_disks;

void own_mounts(void)
{
    has_disks = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool skip_without_disks(void)
{
    if (!has_disks)
        print_message("skipped: no tmpfs can be mounted: %s\n", strerror(errno));
    return !has_disks;
}

bool set_disk(const struct cluster *c, unsigned i, uint64_t bytes, unsigned long flags)
{
    char options[64];

    (void)snprintf(options, sizeof(options), "size=%llu,mode=0700", (unsigned long long)bytes);
    return mount("tmpfs", c->nodes[i].dir, "tmpfs", flags | MS_NOSUID | MS_NODEV, options) == 0;
}

void fill_disk(const struct cluster *c, unsigned i, uint64_t room)
{
    struct statvfs fs;

    for (unsigned try = 0; try < 50; try++) {
        assert_int_equal(statvfs(c->nodes[i].dir, &fs), 0);
        if (set_disk(c, i, (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize + room, MS_REMOUNT))
            return;
    }
    harness_fail("the disk of %s cannot be made full: %s", c->nodes[i].name, strerror(errno));
}

struct cluster *cluster_on_disks(void)
{
    char conf[200];
    struct cluster *c;

    small_conf(conf, sizeof(conf), 0);
    c = cluster_new(3, conf);
    for (unsigned i = 0; i < c->n; i++)
        if (mkdir(c->nodes[i].dir, 0700) != 0 || !set_disk(c, i, DISK_BYTES, 0))
            harness_fail("cannot mount: %s", strerror(errno));
    cluster_init(c);
    cluster_start(c);
    return c;
}

void end_on_disks(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (c->nodes[i].pid != 0)
            node_kill(c, i);
        (void)umount2(c->nodes[i].dir, MNT_DETACH);
    }
    cluster_free(c);
}
