/* Level after level. A state is known by a fingerprint of 128 bits, so that of n states two are taken for one with a
 * chance of n * n / 2^129: for 10^9 states one in 10^20. The way to a state is kept as the number of the state before and
 * the action; whole states are kept for this level and the next. */
#include <time.h>

#include "mc/mc.h"
#include "mc/search.h"

#include "base/banned.h"

static struct mc_search s;

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- fingerprints ---- */

static uint64_t fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static struct mc_print fingerprint(const unsigned char *p, size_t len)
{
    uint64_t a = 0x9e3779b97f4a7c15u ^ len;
    uint64_t b = 0xd1b54a32d192ed03u + len;

    while (len > 0) {
        uint64_t v = 0;
        const size_t n = len < 8 ? len : 8;

        memcpy(&v, p, n);
        a = fold(a ^ v, 0xe7037ed1a0b428dbu) + 0x8ebc6af09c88c6e3u;
        b = fold(b + v, 0xa0761d6478bd642fu ^ a);
        p += n;
        len -= n;
    }
    a = fold(a ^ 0x589965cc75374cc3u, b | 1);
    b = fold(b ^ 0x1d8e4e27c47d124fu, a | 1);
    return (struct mc_print){a | (uint64_t)(a == 0 && b == 0), b};
}

static void grow_table(void)
{
    struct mc_print *old = s.table;
    const size_t n_old = s.table_size;

    s.table_size = n_old != 0 ? 2 * n_old : 1u << 16;
    if (s.options.memory_max != 0 && s.table_size * sizeof(*old) > s.options.memory_max) {
        fprintf(stderr, "mc: the table of states needs more than %zu MiB (--memory)\n",
                s.options.memory_max >> 20);
        exit(70);
    }
    s.table = mc_alloc(s.table_size * sizeof(*s.table));
    for (size_t i = 0; i < n_old; i++)
        if (old[i].a != 0 || old[i].b != 0)
            (void)mc_search_add(&s, old[i]);
    free(old);
}

/* False: it is there already. */
bool mc_search_add(struct mc_search *search, struct mc_print print)
{
    size_t at = print.a & (search->table_size - 1);

    while (search->table[at].a != 0 || search->table[at].b != 0) {
        if (search->table[at].a == print.a && search->table[at].b == print.b)
            return false;
        at = (at + 1) & (search->table_size - 1);
    }
    search->table[at] = print;
    return true;
}

void mc_search_make_room(uint64_t n_states)
{
    while (s.table_size == 0 || n_states > s.table_size / 4 * 3)
        grow_table();
}

/* ---- states ---- */

/* Of states that are one the first is kept, with the way to it. */
static void found(struct mc_world *w, uint64_t parent, uint32_t action)
{
    unsigned char record[MC_RECORD_MAX];
    struct mc_print print;
    size_t len;

    if (s.options.symmetry)
        (void)mc_world_canonical(w);
    len = mc_world_write(w, record);
    print = fingerprint(record, len);
    mc_search_make_room(s.n_states + 1);
    if (!mc_search_add(&s, print))
        return;
    mc_files_add(&s, print, parent, action, record, len);
    s.n_states++;
    s.n_next++;
}

/* The actions from the beginning to a state, and one more. Their number. */
static unsigned way_to(uint64_t state, uint32_t last, uint32_t *actions)
{
    unsigned n = 0;

    for (uint64_t at = state; at != 0;)
        at = mc_files_parent(&s, at, &actions[n++]);
    for (unsigned i = 0; i < n / 2; i++) {
        const uint32_t other = actions[i];

        actions[i] = actions[n - 1 - i];
        actions[n - 1 - i] = other;
    }
    actions[n++] = last;
    return n;
}

static void report(uint64_t state, uint32_t action, const struct mc_verdict *v)
{
    uint32_t *actions = mc_alloc((s.depth + 2) * sizeof(*actions));
    const unsigned n = way_to(state, action, actions);

    s.violated = true;
    printf("mc: VIOLATION after %u actions: %s\n", n, v->text);
    mc_show(actions, n, s.options.symmetry);
    free(actions);
}

static void expand(const struct mc_world *w, uint64_t number)
{
    struct mc_action actions[MC_ACTIONS_MAX];
    const unsigned n = mc_world_actions(w, actions);

    for (unsigned i = 0; i < n && !s.violated; i++) {
        struct mc_world next = *w;
        struct mc_verdict v = {{0}};

        if (!mc_world_act(&next, actions[i], &mc_by_number, &v))
            continue;
        s.n_transitions++;
        if (v.text[0] != '\0')
            report(number, mc_action_pack(actions[i]), &v);
        else
            found(&next, number, mc_action_pack(actions[i]));
    }
}

/* ---- levels ---- */

static void progress(bool last)
{
    const double t = now();
    const double seconds = t - s.begun;

    if (s.options.quiet || (!last && t - s.told < 10))
        return;
    fprintf(stderr,
            "mc: depth %u, %" PRIu64 " states, %" PRIu64 " of %" PRIu64 " of this level, %" PRIu64
            " of the next, %.0f s, %.0f states/s; %" PRIu32 " nodes, %" PRIu32
            " messages, cores asked %" PRIu64 " times of %" PRIu64 "\n",
            s.depth, s.n_states, s.n_done, s.n_level, s.n_next, seconds,
            (double)s.n_states / (seconds > 0.001 ? seconds : 0.001), mc_n_cells(), mc_n_msgs(),
            mc_counts.played, mc_counts.played + mc_counts.remembered);
    s.told = t;
}

static bool out_of_bounds(void)
{
    return (s.options.states_max != 0 && s.n_states >= s.options.states_max) ||
           (s.options.seconds_max != 0 && now() - s.begun > s.options.seconds_max);
}

/* False: it was ended in the middle. */
static bool do_level(void)
{
    unsigned char record[MC_RECORD_MAX];
    struct mc_world w;
    size_t len;

    while (s.n_done < s.n_level && !s.violated) {
        len = mc_files_next(&s, record);
        mc_world_read(record, len, &w);
        expand(&w, s.first + s.n_done);
        s.n_done++;
        if ((s.n_done & 1023) == 0) {
            progress(false);
            mc_files_maybe_checkpoint(&s, false);
            if (out_of_bounds())
                return false;
        }
    }
    return true;
}

static void begin(void)
{
    struct mc_verdict v = {{0}};
    struct mc_world w;

    mc_world_begin(&w, &mc_by_number, &v);
    if (v.text[0] != '\0') {
        printf("mc: VIOLATION before the search begins: %s\n", v.text);
        s.violated = true;
        return;
    }
    found(&w, 0, 0);
}

void mc_search(const struct mc_options *o, struct mc_result *ret)
{
    bool complete = false;

    s = (struct mc_search){.options = *o, .begun = now(), .told = now()};
    mc_files_open(&s);
    if (s.n_states == 0)
        begin();
    while (!s.violated) {
        if (s.n_done == s.n_level) {
            if (s.n_next == 0) {
                complete = true;
                break;
            }
            if (o->depth_max != 0 && s.depth == o->depth_max)
                break;
            s.depth += s.n_level > 0; /* the first level is that of the beginning */
            s.first += s.n_level;
            s.n_level = s.n_next;
            s.n_next = 0;
            s.n_done = 0;
            s.widest = s.n_level > s.widest ? s.n_level : s.widest;
            mc_files_turn(&s);
        }
        if (!do_level())
            break;
    }
    progress(true);
    mc_files_maybe_checkpoint(&s, true);
    *ret = (struct mc_result){.complete = complete,
                              .violated = s.violated,
                              .states = s.n_states,
                              .transitions = s.n_transitions,
                              .depth = s.depth,
                              .widest = s.widest,
                              .seconds = now() - s.begun};
    mc_files_close(&s);
}
