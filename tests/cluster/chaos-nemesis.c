/* Periods of a few seconds, each with a random set of kinds of fault, one time in four with none;
 * at the end of each everything is made good again, so that damage never adds up to more than the
 * cluster promises to survive, and the next period finds a cluster that may have something to lose.
 *
 * What happens later in a period waits in a short list of actions. A node that ended is started
 * again here and nowhere else; it may end by itself only when its disk was made to fail, and then
 * with 74, or with 0 when it is no member any more (chaos-members.c).
 *
 * A cluster may have more places than members: where nobody lives nothing is hurt or started. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/prng.h"
#include "cluster/chaos.h"

#include "base/banned.h"

#define ACTIONS_MAX   256u
#define EXIT_OF_DISK  74
#define DISK_BYTES    (1024ull << 20)
#define PERIOD_MS_MIN 3000u
#define PERIOD_MS_MAX 6000u
#define AWAY_MS       4000u /* so much longer is a period in which one is away */
#define ECHO_MS       2000u /* or in which one hears of its past */
#define FLOOD_MS      4u    /* between two large values, while one is */
/* Two of them are apart by less than what ends the use of leases (LEASE-13). */
#define RATE_PPM_MAX 2000
/* What a stop may take to be one, as the kernel shows it. */
#define STOP_MS 500u

const char *const fault_names[N_FAULTS] = {"kill", "pause", "partition", "echo",  "link",
                                           "slow", "error", "full",      "clock", "away",
                                           "rate", "sleep", "move",      "hand"};

/* What a process that stands still finds when it goes on. */
enum still {
    STILL_PAUSED, /* its clocks have gone on */
    STILL_SLEPT,  /* its machine was suspended: the clock that counts that has gone on */
    STILL_MOVED   /* no clock has gone on, and the hypervisor says so */
};

enum act {
    ACT_KILL,
    ACT_START,
    ACT_STOP, /* other: enum still */
    ACT_CONTINUE,
    ACT_RESET,
    ACT_HAND,      /* whoever leads then */
    ACT_HEAR_LATE, /* other: by so many ms */
    ACT_MUTE       /* nothing from it; what it hears stays as it is */
};

struct action {
    uint64_t at_ms;
    enum act act;
    unsigned node;
    unsigned other;
};

struct victim {
    struct shim_control *control; /* owned: a mapping */
    char env[5][4200];
    const char *envs[6];
    const char *option; /* borrowed; of the next start, NULL: none */
    bool own_disk;      /* its data folder is a file system of its own */
    bool was_hurt;      /* its disk was made to fail since it was started */
    bool full;
    bool down; /* ended by us, or by its disk; an ACT_START is due */
    bool kept_down;
    enum still still; /* while it is stopped */
    int64_t since_ns; /* from when on, by the clock that nobody slews */
    uint64_t n_moves; /* of its machine */
    bool may_leave;   /* it may end by itself, with 0 */
    bool has_left;
};

struct nemesis {
    struct cluster *cluster;
    struct prng prng;
    struct proxy *proxy; /* owned */
    unsigned faults;
    bool say;
    uint64_t began_ms;
    uint64_t period_ends_ms;
    int leader; /* who said last that it leads; -1: nobody */
    uint64_t period_ms_min;
    uint64_t period_ms_max;
    struct action actions[ACTIONS_MAX];
    unsigned n_actions;
    struct victim victims[CLUSTER_NODES_MAX];
    struct nemesis_stats stats;
    unsigned n_periods; /* with faults */
    struct flood floods[CLUSTER_NODES_MAX];
    unsigned away; /* bits of nodes */
    uint64_t flooded_ms;
};

static uint64_t draw(struct nemesis *m, uint64_t bound)
{
    return prng_below(&m->prng, bound);
}

__attribute__((format(printf, 2, 3))) static void tell(struct nemesis *m, const char *format, ...)
{
    va_list ap;

    if (!m->say)
        return;
    (void)printf("%8.3f ", (double)(now_ms() - m->began_ms) / 1000.0);
    va_start(ap, format);
    (void)vprintf(format, ap);
    va_end(ap);
    (void)printf("\n");
    (void)fflush(stdout);
}

/* ---- clocks ---- */

static int64_t raw_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* What the hypervisor says of the machine, as vmclock.c reads it. */
static void write_moves(struct nemesis *m, unsigned i)
{
    const uint64_t n = m->victims[i].n_moves;
    unsigned char page[4096] = {0};
    char path[300];
    int fd;

    put_u32(page, 0x4b4c4356u);
    put_u32(page + 4, sizeof(page));
    put_u16(page + 8, 1);
    put_u32(page + 12, (uint32_t)(2 * n));
    put_u64(page + 16, n);
    (void)snprintf(path, sizeof(path), "%s/place%u.vmclock", m->cluster->dir, i + 1);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, page, sizeof(page), 0) != (ssize_t)sizeof(page))
        harness_fail("cannot write '%s': %s", path, strerror(errno));
    (void)close(fd);
}

void nemesis_set_rate(struct nemesis *m, unsigned place, int ppm)
{
    tell(m, "rate: %+d ppm at %s", ppm, m->cluster->nodes[place].name);
    shim_clocks_set(&m->victims[place].control->clocks, raw_ns(), 0, ppm);
}

/* Of a process that stands still: how long its clocks did. */
static void adjust_clocks(struct nemesis *m, unsigned i)
{
    struct victim *v = &m->victims[i];
    struct shim_clocks *c = &v->control->clocks;
    const int64_t now_ns = raw_ns();
    const int64_t stood_ns = now_ns - v->since_ns;

    if (v->still == STILL_PAUSED)
        return;
    /* By what it showed then: it may run at a rate of its own. */
    shim_clocks_set(c, now_ns, shim_clocks_show(c, now_ns) - shim_clocks_show(c, v->since_ns),
                    atomic_load(&c->ppm));
    if (v->still == STILL_SLEPT) {
        (void)atomic_fetch_add(&c->boot_shift_ns, stood_ns);
    } else {
        v->n_moves++;
        write_moves(m, i);
    }
    v->still = STILL_PAUSED;
}

/* ---- making ---- */

static void map_control(struct nemesis *m, unsigned i)
{
    struct victim *v = &m->victims[i];
    char path[300];
    int fd;
    void *p;

    (void)snprintf(path, sizeof(path), "%s/place%u.shim", m->cluster->dir, i + 1);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*v->control)) != 0)
        harness_fail("cannot make '%s': %s", path, strerror(errno));
    p = mmap(NULL, sizeof(*v->control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (p == MAP_FAILED)
        harness_fail("cannot map '%s': %s", path, strerror(errno));
    v->control = p;
    (void)snprintf(v->env[0], sizeof(v->env[0]), "RIDD_SHIM_CONTROL=%s", path);
}

static void make_environment(struct nemesis *m, unsigned i)
{
    struct victim *v = &m->victims[i];
    const char *build = getenv("top_builddir");
    const char *asan = getenv("ASAN_OPTIONS");
    char shim[400];
    char path[4096];
    size_t n = 0;

    (void)snprintf(shim, sizeof(shim), "%s/tests/cluster/shim.so", build != NULL ? build : ".");
    if (realpath(shim, path) == NULL)
        harness_fail("there is no '%s'", shim);
    (void)snprintf(v->env[1], sizeof(v->env[1]), "LD_PRELOAD=%s", path);
    n = (size_t)snprintf(v->env[2], sizeof(v->env[2]), "RIDD_SHIM_PORTS=");
    for (unsigned k = 0; k < m->cluster->n; k++)
        if (k != i)
            n += (size_t)snprintf(v->env[2] + n, sizeof(v->env[2]) - n, "%s%u=%u",
                                  v->env[2][n - 1] == '=' ? "" : ",",
                                  m->cluster->nodes[k].peer_port, proxy_port(m->proxy, i, k));
    v->envs[0] = v->env[0];
    v->envs[1] = v->env[1];
    v->envs[2] = v->env[2];
    /* The sanitizer wants to be loaded first, which a preloaded library makes impossible. */
    (void)snprintf(v->env[3], sizeof(v->env[3]), "ASAN_OPTIONS=%s%sverify_asan_link_order=0",
                   asan != NULL ? asan : "", asan != NULL ? ":" : "");
    v->envs[3] = v->env[3];
    (void)snprintf(v->env[4], sizeof(v->env[4]), "RIDD_SHIM_VMCLOCK=%s/place%u.vmclock",
                   m->cluster->dir, i + 1);
    write_moves(m, i);
    v->envs[4] = v->env[4];
    v->envs[5] = NULL;
}

static bool is_empty(const struct nemesis *m, unsigned i)
{
    return m->cluster->nodes[i].name[0] == '\0';
}

static bool make_disk(struct nemesis *m, unsigned i)
{
    const char *dir = m->cluster->nodes[i].dir;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return false;
    if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=1024m,mode=0700") != 0)
        return false;
    m->victims[i].own_disk = true;
    return true;
}

/* In a mount namespace of our own: the mounts end with us, however we end. */
static bool make_disks(struct nemesis *m)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    for (unsigned i = 0; i < m->cluster->n; i++)
        if (!is_empty(m, i) && !make_disk(m, i))
            return false;
    return true;
}

void nemesis_set_periods(struct nemesis *m, uint64_t ms_min, uint64_t ms_max)
{
    assert_true(ms_min < ms_max);
    m->period_ms_min = ms_min;
    m->period_ms_max = ms_max;
}

struct nemesis *nemesis_new(struct cluster *c, unsigned faults, uint64_t seed, bool say)
{
    struct nemesis *m = calloc(1, sizeof(*m));
    uint16_t ports[CLUSTER_NODES_MAX];

    assert_non_null(m);
    m->cluster = c;
    m->faults = faults;
    m->say = say;
    m->leader = -1;
    nemesis_set_periods(m, PERIOD_MS_MIN, PERIOD_MS_MAX);
    m->began_ms = now_ms();
    prng_init(&m->prng, seed);
    for (unsigned i = 0; i < c->n; i++)
        ports[i] = c->nodes[i].peer_port;
    m->proxy = proxy_new(c->n, ports, prng_next(&m->prng));
    if (m->proxy == NULL)
        harness_fail("cannot start the proxy: %s", strerror(errno));
    for (unsigned i = 0; i < c->n; i++) {
        map_control(m, i);
        make_environment(m, i);
    }
    if ((faults & (1u << FAULT_FULL)) != 0 && !make_disks(m)) {
        (void)printf("skipped: full disks, because no tmpfs can be mounted: %s\n", strerror(errno));
        m->faults &= ~(1u << FAULT_FULL);
    }
    return m;
}

static void start(struct nemesis *m, unsigned i)
{
    struct victim *v = &m->victims[i];

    if (m->cluster->nodes[i].pid != 0 || is_empty(m, i) || v->kept_down || v->has_left)
        return;
    v->down = false;
    v->still = STILL_PAUSED;
    m->away &= ~(1u << i);
    tell(m, "start %s%s%s", m->cluster->nodes[i].name, v->option != NULL ? " " : "",
         v->option != NULL ? v->option : "");
    /* A sync that is to fail waits through a kill. */
    v->was_hurt = atomic_load(&v->control->fail_sync) != 0;
    m->cluster->env = v->envs;
    node_spawn_with(m->cluster, i, v->option);
    m->cluster->env = NULL;
}

void nemesis_start_all(struct nemesis *m)
{
    for (unsigned i = 0; i < m->cluster->n; i++)
        start(m, i);
    for (unsigned i = 0; i < m->cluster->n; i++)
        if (!is_empty(m, i))
            node_wait_logged(m->cluster, i, " event=ready ");
    (void)cluster_leader(m->cluster);
    m->period_ends_ms = now_ms() + 1000;
}

void nemesis_free(struct nemesis *m)
{
    if (m == NULL)
        return;
    proxy_free(m->proxy);
    for (unsigned i = 0; i < m->cluster->n; i++) {
        if (m->victims[i].own_disk)
            (void)umount2(m->cluster->nodes[i].dir, MNT_DETACH);
        if (m->victims[i].control != NULL)
            (void)munmap(m->victims[i].control, sizeof(*m->victims[i].control));
    }
    free(m);
}

void nemesis_keep(struct nemesis *m)
{
    for (unsigned i = 0; i < m->cluster->n; i++) {
        struct node *node = &m->cluster->nodes[i];

        if (node->pid > 0) {
            (void)kill(node->pid, SIGKILL);
            (void)waitpid(node->pid, NULL, 0);
            node->pid = 0;
        }
        if (m->victims[i].own_disk) {
            char copy[300];
            const char *const argv[] = {"/bin/cp", "-a", node->dir, copy, NULL};

            (void)snprintf(copy, sizeof(copy), "%s.kept", node->dir);
            (void)run_program(argv, NULL);
        }
    }
}

/* ---- actions ---- */

static void later(struct nemesis *m, uint64_t in_ms, enum act act, unsigned node, unsigned other)
{
    if (m->n_actions < ACTIONS_MAX)
        m->actions[m->n_actions++] = (struct action){now_ms() + in_ms, act, node, other};
}

static const char *const still_words[] = {"stop", "suspend the machine of", "stop the machine of"};

/* It is known since when it stands still, and that it does: a clock that is put back may not have
 * been read meanwhile. */
static void stop(struct nemesis *m, unsigned i, enum still still)
{
    struct node *node = &m->cluster->nodes[i];
    const uint64_t deadline = now_ms() + slow(STOP_MS);
    siginfo_t info = {0};

    tell(m, "%s %s", still_words[still], node->name);
    node_signal(m->cluster, i, SIGSTOP);
    node->stopped = true;
    m->victims[i].still = STILL_PAUSED;
    while (waitid(P_PID, (id_t)node->pid, &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0 && now_ms() < deadline)
        pause_briefly();
    if (info.si_code != CLD_STOPPED)
        return; /* it has ended, or waits for the disk */
    m->victims[i].still = still;
    m->victims[i].since_ns = raw_ns();
}

/* Nobody waits for the answer: the request is read before the end of its connection is. */
static void hand_over(struct nemesis *m)
{
    static const char line[] = "{\"type\":\"transfer_leader\"}\n";
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (m->leader < 0 || m->cluster->nodes[m->leader].pid == 0 || fd < 0)
        return;
    in.sin_port = htons(m->cluster->nodes[m->leader].port);
    tell(m, "%s is to hand over", m->cluster->nodes[m->leader].name);
    if (connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0 || errno == EINPROGRESS)
        (void)send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL);
}

static void act(struct nemesis *m, const struct action *a)
{
    struct node *node = &m->cluster->nodes[a->node];

    switch (a->act) {
    case ACT_KILL:
        if (node->pid == 0)
            return;
        tell(m, "kill -9 %s", node->name);
        node_signal(m->cluster, a->node, SIGKILL);
        if (node_wait_exit(m->cluster, a->node) != 128 + SIGKILL)
            return; /* it was faster */
        m->victims[a->node].down = true;
        return;
    case ACT_START:
        start(m, a->node);
        return;
    case ACT_STOP:
        if (node->pid == 0 || node->stopped)
            return;
        stop(m, a->node, (enum still)a->other);
        return;
    case ACT_CONTINUE:
        if (node->pid == 0 || !node->stopped)
            return;
        tell(m, "continue %s", node->name);
        adjust_clocks(m, a->node);
        node_continue(m->cluster, a->node);
        return;
    case ACT_HEAR_LATE:
    case ACT_MUTE:
        for (unsigned i = 0; i < m->cluster->n; i++) {
            const struct proxy_fault late_in = {.delay_ms = a->other};
            const struct proxy_fault mute = {.cut = PROXY_DROP};

            if (i != a->node && a->act == ACT_MUTE)
                proxy_set(m->proxy, a->node, i, &mute);
            else if (i != a->node)
                proxy_set(m->proxy, i, a->node, &late_in);
        }
        if (a->act == ACT_MUTE)
            tell(m, "%s is mute", node->name);
        return;
    case ACT_RESET:
        tell(m, "reset %s and %s", node->name, m->cluster->nodes[a->other].name);
        proxy_reset(m->proxy, a->node, a->other);
        return;
    case ACT_HAND:
        hand_over(m);
        return;
    }
}

static void run_actions(struct nemesis *m)
{
    const uint64_t now = now_ms();

    for (unsigned i = 0; i < m->n_actions;) {
        struct action a = m->actions[i];

        if (a.at_ms > now) {
            i++;
            continue;
        }
        m->actions[i] = m->actions[--m->n_actions];
        act(m, &a);
    }
}

/* It waits to be added, and had no room to become a node: it says so and ends (MEMBER-21). */
static bool is_unmade(const struct nemesis *m, unsigned i)
{
    return m->victims[i].full && m->victims[i].option != NULL &&
           !node_logged(m->cluster, i, " event=ready ");
}

/* Nodes that ended by themselves. */
static void look_for_ends(struct nemesis *m)
{
    for (unsigned i = 0; i < m->cluster->n; i++) {
        struct node *node = &m->cluster->nodes[i];
        struct victim *v = &m->victims[i];
        siginfo_t info = {0};
        int code;

        if (node->pid == 0 ||
            waitid(P_PID, (id_t)node->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            info.si_pid != node->pid)
            continue;
        code = node_wait_exit(m->cluster, i);
        if (code == 0 && v->may_leave) {
            tell(m, "%s has left", node->name);
            v->has_left = true;
            continue;
        }
        if (code != EXIT_OF_DISK || !(v->was_hurt || is_unmade(m, i)))
            harness_fail("%s ended by itself with exit code %d%s", node->name, code,
                         v->was_hurt ? " after its disk failed" : "");
        tell(m, "%s ended because of its disk", node->name);
        v->down = true;
        if (!v->full)
            later(m, 200 + draw(m, 1500), ACT_START, i, 0);
    }
}

/* ---- choosing ---- */

static unsigned draw_node(struct nemesis *m)
{
    unsigned i;

    do
        i = (unsigned)draw(m, m->cluster->n);
    while (is_empty(m, i));
    return i;
}

/* The leader one time in two. */
static unsigned choose_node(struct nemesis *m, int leader)
{
    if (leader >= 0 && !is_empty(m, (unsigned)leader) && draw(m, 2) == 0)
        return (unsigned)leader;
    return draw_node(m);
}

static unsigned n_there(const struct nemesis *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->cluster->n; i++)
        n += !is_empty(m, i);
    return n;
}

/* One, one, a majority, or all, as bits; the leader is among them one time in two. */
static unsigned choose_nodes(struct nemesis *m, int leader, bool all_too)
{
    const unsigned n = n_there(m);
    unsigned set = 1u << choose_node(m, leader);
    unsigned want = 1;
    uint64_t x = draw(m, all_too ? 5 : 4);

    if (x == 3)
        want = n / 2 + 1;
    else if (x == 4)
        want = n;
    while ((unsigned)__builtin_popcount(set) < want)
        set |= 1u << draw_node(m);
    return set;
}

static const char *set_text(const struct nemesis *m, unsigned set, char *text, size_t size)
{
    size_t n = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < m->cluster->n && n < size; i++)
        if (set & (1u << i))
            n += (size_t)snprintf(text + n, size - n, "%s%s", n > 0 ? "," : "",
                                  m->cluster->nodes[i].name);
    return text;
}

/* ---- the kinds ---- */

static void fault_kill(struct nemesis *m, int leader, uint64_t period_ms)
{
    unsigned set = choose_nodes(m, leader, true);
    uint64_t at = draw(m, period_ms / 3);
    const bool together = draw(m, 2) == 0;

    for (unsigned i = 0; i < m->cluster->n; i++) {
        if ((set & (1u << i)) == 0)
            continue;
        later(m, at, ACT_KILL, i, 0);
        later(m, at + 1 + draw(m, period_ms / 2), ACT_START, i, 0);
        if (!together)
            at += draw(m, 400);
    }
}

/* The flood drives the log on, and the others make snapshots. It comes back before the period ends,
 * so that what else there is of faults finds it at work. */
static void fault_away(struct nemesis *m, int leader, uint64_t period_ms)
{
    const unsigned i = choose_node(m, leader);

    m->away |= 1u << i;
    later(m, draw(m, 300), ACT_KILL, i, 0);
    later(m, period_ms - 1000 - draw(m, 1500), ACT_START, i, 0);
}

static void fault_still(struct nemesis *m, int leader, uint64_t period_ms, enum still still)
{
    unsigned set = choose_nodes(m, leader, true);
    uint64_t at = draw(m, period_ms / 3);

    for (unsigned i = 0; i < m->cluster->n; i++) {
        if ((set & (1u << i)) == 0)
            continue;
        later(m, at, ACT_STOP, i, (unsigned)still);
        later(m, at + 50 + draw(m, period_ms / 2), ACT_CONTINUE, i, 0);
    }
}

static void cut(struct nemesis *m, unsigned from, unsigned to, enum proxy_cut how)
{
    const struct proxy_fault f = {.cut = how};

    if (from != to)
        proxy_set(m->proxy, from, to, &f);
}

/* What a node hears comes later and later, little by little so that it notices nothing, and then
 * nothing that it says arrives any more. It goes on hearing of a past in which it led, while the
 * others elect another: whoever counts answers to what it asked before the cut is deceived. */
static void fault_echo(struct nemesis *m, unsigned node, uint64_t period_ms)
{
    const unsigned n_steps = 4 + (unsigned)draw(m, 10);

    tell(m, "echo: %s hears up to %u ms late, and becomes mute", m->cluster->nodes[node].name,
         n_steps * 100);
    for (unsigned i = 1; i <= n_steps; i++)
        later(m, i * 130, ACT_HEAR_LATE, node, i * 100);
    later(m, n_steps * 130 + draw(m, period_ms / 4), ACT_MUTE, node, 0);
}

static void fault_partition(struct nemesis *m, int leader)
{
    const unsigned n = m->cluster->n;
    const enum proxy_cut how = draw(m, 2) == 0 ? PROXY_HOLD : PROXY_DROP;
    const char *how_text = how == PROXY_HOLD ? "hold" : "drop";
    const unsigned one = choose_node(m, leader);
    const unsigned half = choose_nodes(m, leader, false);
    char text[64];

    switch (draw(m, 5)) {
    case 0:
        tell(m, "partition: %s alone (%s)", m->cluster->nodes[one].name, how_text);
        for (unsigned i = 0; i < n; i++) {
            cut(m, one, i, how);
            cut(m, i, one, how);
        }
        break;
    case 1:
        tell(m, "partition: %s from the rest (%s)", set_text(m, half, text, sizeof(text)),
             how_text);
        for (unsigned a = 0; a < n; a++)
            for (unsigned b = 0; b < n; b++)
                if (((half >> a) & 1u) != ((half >> b) & 1u))
                    cut(m, a, b, how);
        break;
    case 2:
        tell(m, "partition: only %s sees all (%s)", m->cluster->nodes[one].name, how_text);
        for (unsigned a = 0; a < n; a++)
            for (unsigned b = 0; b < n; b++)
                if (a != one && b != one && ((a < one) != (b < one) || n == 3))
                    cut(m, a, b, how);
        break;
    case 3:
        tell(m, "partition: nothing from %s (%s)", m->cluster->nodes[one].name, how_text);
        for (unsigned i = 0; i < n; i++)
            cut(m, one, i, how);
        break;
    default:
        tell(m, "partition: nothing to %s (%s)", m->cluster->nodes[one].name, how_text);
        for (unsigned i = 0; i < n; i++)
            cut(m, i, one, how);
        break;
    }
}

static void fault_link(struct nemesis *m, uint64_t period_ms)
{
    const unsigned n = m->cluster->n;

    for (unsigned a = 0; a < n; a++)
        for (unsigned b = 0; b < n; b++) {
            struct proxy_fault f = {0};

            if (a == b || is_empty(m, a) || is_empty(m, b) || draw(m, 2) == 0)
                continue;
            switch (draw(m, 6)) {
            case 5:
                f.again_permille = 20 + (unsigned)draw(m, 300);
                f.jitter_ms = (unsigned)draw(m, 20);
                break;
            case 0:
                f.delay_ms = (unsigned)draw(m, 100);
                f.jitter_ms = (unsigned)draw(m, 200);
                break;
            case 1:
                f.drop_permille = 10 + (unsigned)draw(m, 200);
                break;
            case 2:
                f.twice_permille = 10 + (unsigned)draw(m, 300);
                f.jitter_ms = (unsigned)draw(m, 20);
                break;
            case 3:
                f.dribble = draw(m, 2) == 0;
                f.drop_permille = 20;
                f.twice_permille = 20;
                break;
            default:
                for (uint64_t at = 0; at < period_ms; at += 100 + draw(m, 900))
                    later(m, at, ACT_RESET, a, b);
                break;
            }
            if (f.delay_ms + f.jitter_ms + f.drop_permille + f.twice_permille + f.again_permille ==
                    0 &&
                !f.dribble)
                continue;
            tell(m, "link %s to %s: %u ms + %u, dropped %u, twice %u, again %u permille%s",
                 m->cluster->nodes[a].name, m->cluster->nodes[b].name, f.delay_ms, f.jitter_ms,
                 f.drop_permille, f.twice_permille, f.again_permille,
                 f.dribble ? ", dribbles" : "");
            proxy_set(m->proxy, a, b, &f);
        }
}

static void fault_slow(struct nemesis *m, int leader)
{
    unsigned set = choose_nodes(m, leader, true);

    for (unsigned i = 0; i < m->cluster->n; i++) {
        unsigned ms = draw(m, 3) == 0 ? 500 + (unsigned)draw(m, 2500) : 5 + (unsigned)draw(m, 200);

        if ((set & (1u << i)) == 0)
            continue;
        tell(m, "slow disk: %u ms at %s", ms, m->cluster->nodes[i].name);
        atomic_store(&m->victims[i].control->slow_sync_ms, ms);
    }
}

static void fault_error(struct nemesis *m, int leader)
{
    unsigned i = choose_node(m, leader);
    unsigned nth = 1 + (unsigned)draw(m, 200);

    tell(m, "disk error: sync %u from now at %s", nth, m->cluster->nodes[i].name);
    m->victims[i].was_hurt = true;
    atomic_store(&m->victims[i].control->fail_sync, nth);
}

/* One, two, and so on to all in turn: which share of the periods is of which kind is known. */
static unsigned choose_full(struct nemesis *m, int leader)
{
    const unsigned want = 1 + (unsigned)(m->stats.n_faults[FAULT_FULL] - 1) % n_there(m);
    unsigned set = 1u << choose_node(m, leader);

    while ((unsigned)__builtin_popcount(set) < want)
        set |= 1u << draw_node(m);
    return set;
}

static void fault_full(struct nemesis *m, int leader)
{
    const unsigned set = choose_full(m, leader);

    for (unsigned i = 0; i < m->cluster->n; i++) {
        uint64_t room = draw(m, 3) == 0 ? 0 : draw(m, 512u << 10);

        if ((set & (1u << i)) == 0)
            continue;
        m->victims[i].full = disk_fill(&m->cluster->nodes[i], room);
        m->stats.n_disks_filled += m->victims[i].full;
        tell(m, "full disk: %llu bytes left at %s%s", (unsigned long long)room,
             m->cluster->nodes[i].name, m->victims[i].full ? "" : " (it could not be made so)");
    }
}

/* Before there is room again: who has said that there was none? */
static void end_full(struct nemesis *m, unsigned i)
{
    struct victim *v = &m->victims[i];

    flood_end(&m->floods[i]);
    if (!v->full)
        return;
    m->stats.n_disks_felt += node_logged(m->cluster, i, "event=no_space");
    if (!disk_set(&m->cluster->nodes[i], DISK_BYTES))
        harness_fail("the disk of %s cannot be made large again: %s", m->cluster->nodes[i].name,
                     strerror(errno));
    v->full = false;
}

/* While any disk is full, or one is away, and for all nodes: who leads is not known for long. */
static void flood_all(struct nemesis *m)
{
    bool any = false;

    for (unsigned i = 0; i < m->cluster->n; i++)
        any = any || m->victims[i].full;
    if (!any && m->away != 0 && now_ms() >= m->flooded_ms + FLOOD_MS) {
        m->flooded_ms = now_ms();
        any = true;
    }
    for (unsigned i = 0; any && i < m->cluster->n; i++)
        if (!is_empty(m, i))
            flood_turn(&m->floods[i], m->cluster->nodes[i].port);
}

/* Nobody may care: what needs a time reads the monotonic clock (READ-44). */
static void fault_clock(struct nemesis *m)
{
    static const long long jumps_s[] = {3600, -3600, 86400 * 365 * 20, -86400 * 365 * 20, 2, -2};

    for (unsigned i = 0; i < m->cluster->n; i++) {
        long long s = jumps_s[draw(m, sizeof(jumps_s) / sizeof(jumps_s[0]))];

        if (is_empty(m, i) || draw(m, 2) == 0)
            continue;
        tell(m, "wall clock: %+lld s at %s", s, m->cluster->nodes[i].name);
        atomic_store(&m->victims[i].control->clock_shift_s, s);
    }
}

/* Within what is promised of clocks; it stays so until the next period. A clock that counts the
 * time of being suspended may also have counted some that was none. */
static void fault_rate(struct nemesis *m)
{
    for (unsigned i = 0; i < m->cluster->n; i++) {
        if (is_empty(m, i))
            continue;
        nemesis_set_rate(m, i, (int)draw(m, 2 * RATE_PPM_MAX + 1) - RATE_PPM_MAX);
        if (draw(m, 4) != 0)
            continue;
        tell(m, "BOOTTIME jumps at %s", m->cluster->nodes[i].name);
        (void)atomic_fetch_add(&m->victims[i].control->clocks.boot_shift_ns,
                               1000000 * (int64_t)(1 + draw(m, 3000)));
    }
}

static void fault_hand(struct nemesis *m, uint64_t period_ms)
{
    for (uint64_t at = draw(m, 300); at < period_ms; at += 100 + draw(m, 1200))
        later(m, at, ACT_HAND, 0, 0);
}

static void inflict(struct nemesis *m, enum fault_kind kind, int leader, uint64_t period_ms)
{
    m->stats.n_faults[kind]++;
    switch (kind) {
    case FAULT_KILL:
        fault_kill(m, leader, period_ms);
        break;
    case FAULT_PAUSE:
        fault_still(m, leader, period_ms, STILL_PAUSED);
        break;
    case FAULT_SLEEP:
        fault_still(m, leader, period_ms, STILL_SLEPT);
        break;
    case FAULT_MOVE:
        fault_still(m, leader, period_ms, STILL_MOVED);
        break;
    case FAULT_HAND:
        fault_hand(m, period_ms);
        break;
    case FAULT_RATE:
        fault_rate(m);
        break;
    case FAULT_PARTITION:
        fault_partition(m, leader);
        break;
    case FAULT_ECHO:
        fault_echo(m, leader >= 0 ? (unsigned)leader : choose_node(m, leader), period_ms);
        break;
    case FAULT_LINK:
        fault_link(m, period_ms);
        break;
    case FAULT_SLOW:
        fault_slow(m, leader);
        break;
    case FAULT_ERROR:
        fault_error(m, leader);
        break;
    case FAULT_FULL:
        fault_full(m, leader);
        break;
    case FAULT_CLOCK:
        fault_clock(m);
        break;
    case FAULT_AWAY:
        fault_away(m, leader, period_ms);
        break;
    case N_FAULTS:
        break;
    }
}

/* ---- periods ---- */

void nemesis_heal(struct nemesis *m)
{
    m->n_actions = 0;
    m->away = 0;
    proxy_heal(m->proxy);
    for (unsigned i = 0; i < m->cluster->n; i++) {
        struct victim *v = &m->victims[i];

        atomic_store(&v->control->slow_sync_ms, 0);
        atomic_store(&v->control->fail_sync, 0);
        atomic_store(&v->control->clock_shift_s, 0);
        if (atomic_load(&v->control->clocks.ppm) != 0)
            nemesis_set_rate(m, i, 0);
        end_full(m, i);
        if (m->cluster->nodes[i].stopped)
            act(m, &(struct action){0, ACT_CONTINUE, i, 0});
    }
    look_for_ends(m);
    for (unsigned i = 0; i < m->cluster->n; i++)
        if (m->cluster->nodes[i].pid == 0)
            act(m, &(struct action){0, ACT_START, i, 0});
    m->n_actions = 0;
}

static void begin_period(struct nemesis *m, int leader)
{
    uint64_t period_ms = m->period_ms_min + draw(m, m->period_ms_max - m->period_ms_min);
    unsigned want = 1 + (unsigned)draw(m, 3);
    unsigned chosen = 0;

    nemesis_heal(m);
    m->period_ends_ms = now_ms() + period_ms;
    if (m->faults == 0 || draw(m, 4) == 0) {
        tell(m, "-- nothing for %llu ms", (unsigned long long)period_ms);
        m->stats.n_quiet++;
        return;
    }
    tell(m, "-- %llu ms", (unsigned long long)period_ms);
    /* Undisturbed, or the deceived leader is killed before anybody asks it. */
    if ((m->faults & (1u << FAULT_ECHO)) != 0 && draw(m, 4) == 0) {
        chosen = 1u << FAULT_ECHO;
        want = 0;
    }
    /* One period of three, the first one among them. */
    if (m->n_periods++ % 3 == 0 && (m->faults & (1u << FAULT_FULL)) != 0) {
        chosen |= 1u << FAULT_FULL;
        want = want > 0 ? want - 1 : 0;
    }
    for (unsigned tries = 0; tries < 64 && want > 0; tries++) {
        unsigned kind = (unsigned)draw(m, N_FAULTS);

        if ((m->faults & (1u << kind)) == 0 || (chosen & (1u << kind)) != 0)
            continue;
        chosen |= 1u << kind;
        want--;
    }
    if (chosen & (1u << FAULT_AWAY)) {
        period_ms += AWAY_MS;
        m->period_ends_ms += AWAY_MS;
    }
    if (chosen & (1u << FAULT_ECHO)) {
        period_ms += ECHO_MS;
        m->period_ends_ms += ECHO_MS;
    }
    for (unsigned kind = 0; kind < N_FAULTS; kind++)
        if (chosen & (1u << kind))
            inflict(m, (enum fault_kind)kind, leader, period_ms);
}

void nemesis_turn(struct nemesis *m, int leader)
{
    m->leader = leader;
    run_actions(m);
    look_for_ends(m);
    flood_all(m);
    if (now_ms() >= m->period_ends_ms)
        begin_period(m, leader);
}

void nemesis_watch(struct nemesis *m)
{
    run_actions(m);
    look_for_ends(m);
}

static unsigned n_lines(const struct nemesis *m, unsigned i, const char *text)
{
    cleanup_buf struct buf log = BUF_INIT;
    unsigned n = 0;

    if (is_empty(m, i))
        return 0;
    file_read(m->cluster->nodes[i].log, &log);
    for (const char *at = (const char *)log.data; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

/* What the place's present node has logged. */
static void add_logged(const struct nemesis *m, unsigned i, struct nemesis_stats *ret)
{
    ret->n_snapshots_made += n_lines(m, i, " event=snapshot_made ");
    ret->n_snapshots_begun += n_lines(m, i, " event=snapshot_sending ");
    ret->n_snapshots_sent += n_lines(m, i, " event=snapshot_sent ");
    ret->n_installed += n_lines(m, i, " event=snapshot_installed ");
    ret->n_restored += n_lines(m, i, " event=state_restored ");
}

uint64_t nemesis_count(const struct nemesis *m)
{
    uint64_t n = 0;

    for (unsigned k = 0; k < N_FAULTS; k++)
        n += m->stats.n_faults[k];
    return n;
}

void nemesis_get_stats(const struct nemesis *m, struct nemesis_stats *ret)
{
    *ret = m->stats;
    proxy_get_stats(m->proxy, &ret->proxy);
    for (unsigned i = 0; i < m->cluster->n; i++) {
        ret->n_syncs += atomic_load(&m->victims[i].control->n_syncs);
        ret->n_syncs_failed += atomic_load(&m->victims[i].control->n_failed);
        ret->n_redirected += atomic_load(&m->victims[i].control->n_redirected);
        add_logged(m, i, ret);
    }
}

/* ---- places ---- */

void nemesis_settle(struct nemesis *m, unsigned i)
{
    struct victim *v = &m->victims[i];

    v->kept_down = false;
    v->may_leave = false;
    v->has_left = false;
    v->was_hurt = false;
    v->option = "--join";
    atomic_store(&v->control->slow_sync_ms, 0);
    atomic_store(&v->control->fail_sync, 0);
    if ((m->faults & (1u << FAULT_FULL)) != 0 && !make_disk(m, i))
        harness_fail("no disk for %s: %s", m->cluster->nodes[i].name, strerror(errno));
    start(m, i);
}

void nemesis_has_joined(struct nemesis *m, unsigned i)
{
    m->victims[i].option = NULL;
}

void nemesis_keep_down(struct nemesis *m, unsigned i, bool down)
{
    m->victims[i].kept_down = down;
    act(m, &(struct action){0, down ? ACT_KILL : ACT_START, i, 0});
}

void nemesis_let_leave(struct nemesis *m, unsigned i)
{
    m->victims[i].may_leave = true;
}

bool nemesis_has_left(const struct nemesis *m, unsigned i)
{
    return m->victims[i].has_left;
}

void nemesis_empty(struct nemesis *m, unsigned i)
{
    struct victim *v = &m->victims[i];
    struct node *node = &m->cluster->nodes[i];

    assert_true(node->pid == 0 && v->has_left);
    add_logged(m, i, &m->stats);
    end_full(m, i);
    for (unsigned k = 0; k < m->n_actions;)
        if (m->actions[k].node == i)
            m->actions[k] = m->actions[--m->n_actions];
        else
            k++;
    m->away &= ~(1u << i);
    if (v->own_disk)
        (void)umount2(node->dir, MNT_DETACH);
    v->own_disk = false;
    tree_remove(node->dir, false);
    node->name[0] = '\0';
}
