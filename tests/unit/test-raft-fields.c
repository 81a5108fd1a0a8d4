/* CORE-6: images of cores keep nothing that does not matter, and what is in them is known: of every field of every struct of a core
 * it is said here whether turning its bits shows in the image. The names of the fields are read from the headers, so that a
 * new one fails this test until it is thought of. */
#include <inttypes.h>

#include "raft-schedule.h"

#include "base/hash.h"
#include "raft/image.h"
#include "raft/raft_int.h"

#include "base/banned.h"

static uint64_t image_hash(const struct fx *fx, const struct fx_node *node)
{
    const struct raft_image_how how = {.now_us = fx_now(fx, node->i), .hold_us = fx_hold(fx, node->i)};
    struct buf bytes = BUF_INIT;
    uint64_t h;

    assert_int_equal(raft_image_write(node->r, &how, &bytes), 0);
    h = hash_fnv64(bytes.data, bytes.len);
    buf_done(&bytes);
    return h;
}

enum kind {
    SHOWS,    /* another value, another image, in one core at least */
    TIME,     /* a microsecond earlier, likewise */
    AHEAD,    /* a time in the future, likewise */
    NAME,     /* another node, likewise */
    NOT_SEEN, /* whatever stands there, no image changes */
    PART,     /* made of others: shown by what stands in them, or by their number */
};

struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t size;
    const char *why; /* NOT_SEEN: why nothing is lost */
};
#define F(type, member, kind)                                                                      \
    {                                                                                              \
#member, kind, offsetof(struct type, member), sizeof(((struct type *)NULL)->member), NULL  \
    }
#define N(type, member, why)                                                                       \
    {                                                                                              \
#member, NOT_SEEN, offsetof(struct type, member), sizeof(((struct type *)NULL)->member),   \
            why                                                                                    \
    }

/* clang-format off */
static const struct field of_raft[] = {
    {"conf", PART, 0, 0, NULL}, /* the same in all cores of a search, but for the id */
    {"now_us", PART, 0, 0, NULL}, /* what all times are told from, as the next two */
    {"hold_us", PART, 0, 0, NULL},
    {"suspended_us", PART, 0, 0, NULL},
    {"n_holds", PART, 0, 0, NULL}, /* whether it is above ask_n_holds */
    F(raft, prng, SHOWS),
    {"arena", PART, 0, 0, NULL}, /* what the last ready points at */
    F(raft, role, PART), /* decides what else there is */
    F(raft, hard_state, PART),
    F(raft, leader_id, NAME),
    F(raft, leader_heard_us, TIME),
    F(raft, term_leader, NAME),
    F(raft, silent_since_us, TIME),
    F(raft, election_spread_us, SHOWS),
    F(raft, election_due_us, TIME),
    {"early", PART, 0, 0, NULL},
    {"configs", PART, 0, 0, NULL},
    {"n_configs", PART, 0, 0, NULL},
    N(raft, configs_size, "room"),
    {"n_progress", PART, 0, 0, NULL}, /* by the configuration in force, as the next three */
    {"progress", PART, 0, 0, NULL},
    N(raft, self_slot, "by the configuration in force"),
    N(raft, is_voter, "by the configuration in force"),
    {"log", PART, 0, 0, NULL},
    F(raft, commit_index, SHOWS),
    F(raft, last_applied, SHOWS),
    F(raft, ahead, SHOWS),
    F(raft, last_emitted, SHOWS),
    F(raft, last_stored, SHOWS),
    F(raft, held, SHOWS),
    F(raft, installing, SHOWS),
    {"reset", PART, 0, 0, NULL}, /* none at rest */
    {"reset_batch", PART, 0, 0, NULL}, /* among the outstanding ones, as self_vote_batch */
    {"last_handed", PART, 0, 0, NULL}, /* all of the log, at rest */
    {"truncate_from", PART, 0, 0, NULL}, /* 0 at rest */
    {"hard_state_dirty", PART, 0, 0, NULL}, /* false at rest */
    F(raft, apply_waits_for_log, SHOWS),
    N(raft, far_peer, "for people"),
    N(raft, far_term, "for people"),
    N(raft, last_batch, "the last durable one and those that are outstanding"),
    {"last_stored_batch", PART, 0, 0, NULL},
    {"marks", PART, 0, 0, NULL},
    F(raft, disk, PART),
    F(raft, n_late_elections, SHOWS),
    F(raft, self_vote_pending, SHOWS),
    {"self_vote_batch", PART, 0, 0, NULL},
    F(raft, self_vote, SHOWS),
    F(raft, campaign_transfer, SHOWS),
    F(raft, fitness, SHOWS),
    F(raft, waits_for_room, SHOWS),
    F(raft, note, SHOWS),
    {"promises", PART, 0, 0, NULL},
    F(raft, lease_stored_us, SHOWS),
    {"lease_batch", PART, 0, 0, NULL}, /* among the outstanding ones */
    {"asks", PART, 0, 0, NULL},
    {"pairs", PART, 0, 0, NULL},
    F(raft, gate_us, TIME),
    {"lease", PART, 0, 0, NULL},
    F(raft, noop_index, SHOWS),
    F(raft, heartbeat_due_us, TIME),
    F(raft, tick_due_us, TIME),
    F(raft, hand_over_us, AHEAD),
    F(raft, step_down_us, TIME),
    F(raft, uncommitted_bytes, SHOWS),
    F(raft, transfer_to, NAME),
    F(raft, transfer_deadline_us, TIME),
    F(raft, transfer_sent, SHOWS),
    {"reads", PART, 0, 0, NULL},
    {"rounds", PART, 0, 0, NULL},
    {"msgs", PART, 0, 0, NULL}, /* none at rest, as the next */
    {"msgs_after", PART, 0, 0, NULL},
    {"out", PART, 0, 0, NULL}, /* what the last ready handed out, as the next */
    {"out_after", PART, 0, 0, NULL},
    {"loss", PART, 0, 0, NULL}, /* none at rest */
    N(raft, loss_term, "says something only with a loss"),
    N(raft, loss_commit_index, "says something only with a loss"),
    {"transfer_over", PART, 0, 0, NULL}, /* false at rest */
    N(raft, seen, "what the core is at rest"),
};
static const struct field of_progress[] = {
    {"id", PART, 0, 0, NULL}, /* by the configuration in force, as the next */
    {"role", PART, 0, 0, NULL},
    F(progress, link_up, SHOWS),
    F(progress, vote, SHOWS),
    F(progress, state, PART),
    F(progress, match_index, SHOWS),
    F(progress, next_index, SHOWS),
    F(progress, inflight, PART),
    F(progress, inflight_head, PART), /* where the list begins in its array */
    F(progress, n_inflight, PART),
    F(progress, inflight_bytes, SHOWS),
    F(progress, probe_sent, SHOWS),
    F(progress, waits_for_log, SHOWS),
    F(progress, needs_compacted, SHOWS),
    F(progress, append_sent_us, TIME),
    F(progress, append_heard_us, TIME),
    F(progress, resend_us, SHOWS),
    F(progress, resent, SHOWS),
    F(progress, heartbeat_due, SHOWS),
    F(progress, acked_round, SHOWS),
    F(progress, last_heard_us, TIME),
    F(progress, rtt_round, SHOWS),
    F(progress, rtt_sent_us, TIME),
    F(progress, srtt_us, SHOWS),
    F(progress, note_flags, SHOWS),
    F(progress, understands_asks, SHOWS),
    F(progress, gate_us, TIME),
    {"held", PART, 0, 0, NULL},
    {"drift", PART, 0, 0, NULL},
    {"stamps", PART, 0, 0, NULL},
    F(progress, ask, SHOWS),
    F(progress, ask_n_holds, SHOWS),
    F(progress, told_commit, SHOWS),
    F(progress, waits_for, SHOWS),
};
static const struct field of_held[] = {
    F(held, round, SHOWS),
    F(held, end_us, TIME),
};
static const struct field of_stamps[] = {
    F(stamps, waiting, SHOWS),
    F(stamps, needs, SHOWS),
    F(stamps, proved, SHOWS),
};
static const struct field of_drift[] = {
    F(drift, nonce, SHOWS),
    F(drift, suspended_us, SHOWS),
    {"list", PART, 0, 0, NULL},
    {"n", PART, 0, 0, NULL},
    F(drift, slot_us, TIME),
    F(drift, beyond, SHOWS),
};
static const struct field of_drift_reading[] = {
    F(drift_reading, peer_us, SHOWS),
    F(drift_reading, before_us, TIME),
    F(drift_reading, after_us, TIME),
};
static const struct field of_promise[] = {
    F(promise, term, SHOWS),
    F(promise, until_us, TIME),
};
static const struct field of_promises[] = {
    {"list", PART, 0, 0, NULL},
    F(promises, other_until_us, TIME),
};
static const struct field of_lease[] = {
    F(lease, handed_over, SHOWS),
    F(lease, first_round, SHOWS),
    F(lease, suspended_us, SHOWS),
    N(lease, n_reads, "for people"),
};
static const struct field of_ask[] = {
    F(ask, number, SHOWS),
    F(ask, term, SHOWS),
    F(ask, leader, NAME),
    F(ask, sealed_hold_us, TIME),
    F(ask, sent_us, TIME),
};
static const struct field of_asks[] = {
    F(asks, next, SHOWS),
    F(asks, given, SHOWS),
    F(asks, answered, SHOWS),
    F(asks, in_round, SHOWS),
    {"out", PART, 0, 0, NULL},
    F(asks, term, SHOWS),
    F(asks, leader, NAME),
    F(asks, due_us, TIME),
    F(asks, patience_us, SHOWS),
    F(asks, srtt_us, SHOWS),
    {"done", PART, 0, 0, NULL}, /* nothing at rest */
    N(asks, n_sent, "for people"),
    N(asks, n_by_ack, "for people"),
    N(asks, n_by_lease, "for people"),
    N(asks, n_by_round, "for people"),
};
static const struct field of_early[] = {
    F(early, leader, NAME),
    F(early, since_us, TIME),
    F(early, tries_left, SHOWS),
    N(early, n_campaigns, "for people"),
};
static const struct field of_pairs[] = {
    {"list", PART, 0, 0, NULL},
    {"n", PART, 0, 0, NULL},
    F(pairs, first_us, TIME),
};
static const struct field of_inflight[] = {F(inflight, last, SHOWS), F(inflight, bytes, SHOWS)};
static const struct field of_batch_mark[] = {
    N(batch_mark, batch, "the numbers behind the last durable one"),
    F(batch_mark, last_index, SHOWS),
    F(batch_mark, issued_us, TIME),
    F(batch_mark, bytes, SHOWS),
    F(batch_mark, queued_bytes, SHOWS),
};
static const struct field of_disk[] = {
    F(disk, moved_us, TIME),
    N(disk, outstanding_bytes, "a sum"),
    F(disk, proposed_bytes, SHOWS),
    F(disk, window_bytes, SHOWS),
    F(disk, syncs, PART), /* n_syncs of them */
    F(disk, n_syncs, PART), /* and those */
    F(disk, next_sync, SHOWS),
    F(disk, handed_over, SHOWS),
};
static const struct field of_rounds[] = {
    F(rounds, next, PART), /* with the times of the rounds */
    F(rounds, confirmed, SHOWS),
    F(rounds, times, PART),
    F(rounds, due, SHOWS),
    F(rounds, srtt_us, SHOWS),
    F(rounds, max, SHOWS),
    F(rounds, n_open, SHOWS),
    F(rounds, last_us, TIME),
    N(rounds, n_opened, "for people"),
    N(rounds, n_confirmed, "for people"),
};
static const struct field of_round_time[] = {
    F(round_time, round, PART), /* by its place */
    F(round_time, opened_us, TIME),
    F(round_time, hold_us, TIME),
    F(round_time, lease_us, SHOWS),
};
static const struct field of_read[] = {
    F(read, asker, NAME),
    F(read, ask, SHOWS),
    F(read, ctx, SHOWS),
    F(read, min_index, SHOWS),
    F(read, read_index, SHOWS),
    F(read, round, SHOWS),
    F(read, arrival_round, SHOWS),
};
static const struct field of_hard_state[] = {
    F(raft_hard_state, current_term, SHOWS),
    F(raft_hard_state, voted_for, NAME),
    F(raft_hard_state, lease_max_us, SHOWS),
};
static const struct field of_read_queue[] = {
    {"list", PART, 0, 0, NULL},
    F(read_queue, n_inflight, SHOWS),
    N(read_queue, n_asks, "a sum"),
    {"floors", PART, 0, 0, NULL},
    {"done", PART, 0, 0, NULL}, /* none at rest, as the next */
    {"failed", PART, 0, 0, NULL},
};
static const struct field of_raft_log[] = {
    {"mem", PART, 0, 0, NULL},
    {"base", PART, 0, 0, NULL},
    {"cache", PART, 0, 0, NULL},
    {"first_cached", PART, 0, 0, NULL},
    {"last_index", PART, 0, 0, NULL},
    N(raft_log, cached_bytes, "a sum"),
    {"terms", PART, 0, 0, NULL},
    {"n_terms", PART, 0, 0, NULL},
    N(raft_log, terms_size, "room"),
};
/* clang-format on */

#define STRUCT(name, header, fields)                                                               \
    {                                                                                              \
        name, header, fields, sizeof(fields) / sizeof((fields)[0])                                 \
    }
static const struct {
    const char *name;
    const char *header;
    const struct field *fields;
    size_t n;
} structs[] = {
    STRUCT("raft", "raft_int.h", of_raft),
    STRUCT("progress", "raft_int.h", of_progress),
    STRUCT("inflight", "raft_int.h", of_inflight),
    STRUCT("batch_mark", "raft_int.h", of_batch_mark),
    STRUCT("disk", "raft_int.h", of_disk),
    STRUCT("rounds", "rounds_int.h", of_rounds),
    STRUCT("round_time", "rounds_int.h", of_round_time),
    STRUCT("read", "read_queue_int.h", of_read),
    STRUCT("read_queue", "read_queue_int.h", of_read_queue),
    STRUCT("raft_log", "log_int.h", of_raft_log),
    STRUCT("raft_hard_state", "types.h", of_hard_state),
    STRUCT("held", "raft_int.h", of_held),
    STRUCT("stamps", "stamps_int.h", of_stamps),
    STRUCT("drift", "drift_int.h", of_drift),
    STRUCT("drift_reading", "drift_int.h", of_drift_reading),
    STRUCT("promise", "promises_int.h", of_promise),
    STRUCT("promises", "promises_int.h", of_promises),
    STRUCT("lease", "raft_int.h", of_lease),
    STRUCT("ask", "raft_int.h", of_ask),
    STRUCT("asks", "raft_int.h", of_asks),
    STRUCT("pairs", "stamps_int.h", of_pairs),
    STRUCT("early", "raft_int.h", of_early),
};
#define N_STRUCTS (sizeof(structs) / sizeof(structs[0]))

static char *header_text(const char *header)
{
    const char *srcdir = getenv("srcdir");
    char path[512];
    char *text = calloc(1, 1 << 18);
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/src/raft/%s", srcdir != NULL ? srcdir : ".", header);
    f = fopen(path, "r");
    if (f == NULL)
        fail_msg("cannot open '%s': run by make check, or set srcdir", path);
    assert_non_null(text);
    assert_in_range(fread(text, 1, (1 << 18) - 1, f), 1, (1 << 18) - 2);
    (void)fclose(f);
    return text;
}

/* Comments become blanks. */
static void strip(char *text)
{
    char *from;

    while ((from = strstr(text, "/*")) != NULL) {
        char *to = strstr(from, "*/");

        assert_non_null(to);
        memset(from, ' ', (size_t)(to + 2 - from));
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The name before `end`, which is a semicolon or what stands before it, and where it begins. */
static const char *name_before(const char *begin, const char *end, size_t *ret_len)
{
    const char *bracket = memchr(begin, '[', (size_t)(end - begin));
    const char *at = bracket != NULL ? bracket : end;
    const char *last = at;

    while (at > begin && is_word(at[-1]))
        at--;
    *ret_len = (size_t)(last - at);
    return at;
}

static void check_names(size_t k)
{
    char *text = header_text(structs[k].header);
    char head[64];
    const char *at;
    size_t n = 0;

    strip(text);
    (void)snprintf(head, sizeof(head), "struct %s {", structs[k].name);
    at = strstr(text, head);
    if (at == NULL)
        fail_msg("there is no struct %s in %s", structs[k].name, structs[k].header);
    for (at += strlen(head); n < 200; n++) {
        const char *end = at + strcspn(at, ";}");
        size_t len;
        const char *name;

        if (*end == '}')
            break;
        name = name_before(at, end, &len);
        if (n >= structs[k].n || strlen(structs[k].fields[n].name) != len ||
            strncmp(structs[k].fields[n].name, name, len) != 0)
            fail_msg("struct %s has a field '%.*s' that this test does not know there: is it in "
                     "the image "
                     "(src/raft/image.c), and if not, why?",
                     structs[k].name, (int)len, name);
        at = end + 1;
    }
    assert_int_equal(n, structs[k].n);
    free(text);
}

static void fields__every_field_is_thought_of(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_STRUCTS; k++)
        check_names(k);
}

static bool shown[N_STRUCTS][80];

static void turn_bits(const struct fx *fx, const struct fx_node *node, size_t k, void *object)
{
    const uint64_t before = image_hash(fx, node);

    for (size_t i = 0; i < structs[k].n; i++) {
        const struct field *f = &structs[k].fields[i];
        unsigned char *p = (unsigned char *)object + f->offset;
        uint64_t old;
        uint64_t other;

        switch (f->kind) {
        case PART:
            break;
        case NAME:
        case TIME:
        case AHEAD:
            memcpy(&old, p, sizeof(old));
            if (old == 0)
                break; /* nobody, or never */
            other = f->kind == TIME    ? old - 1
                    : f->kind == AHEAD ? fx->now + 7
                                       : fx_id(fx, 1 + fx_of(fx, old) % fx->n);
            memcpy(p, &other, sizeof(other));
            shown[k][i] |= image_hash(fx, node) != before;
            memcpy(p, &old, sizeof(old));
            break;
        case SHOWS:
        case NOT_SEEN:
            for (size_t b = 0; b < f->size; b++) {
                p[b] ^= 1;
                if (image_hash(fx, node) != before) {
                    if (f->kind == NOT_SEEN)
                        fail_msg("byte %zu of '%s' shows, and should not: %s", b, f->name, f->why);
                    shown[k][i] = true;
                }
                p[b] ^= 1;
            }
            break;
        }
        assert_int_equal(image_hash(fx, node), before);
    }
}

static void turn_bits_of(const struct fx *fx, const struct fx_node *node)
{
    struct raft *r = node->r;
    size_t k = 0;

    turn_bits(fx, node, k++, r);
    for (unsigned i = 0; i < r->n_progress; i++)
        turn_bits(fx, node, 1, &r->progress[i]);
    k++;
    if (r->role == RAFT_LEADER && r->progress[0].n_inflight > 0)
        turn_bits(fx, node, k, &r->progress[0].inflight[r->progress[0].inflight_head]);
    k++;
    if (mark_ring_n(&r->marks) > 0)
        turn_bits(fx, node, k, mark_ring_at(&r->marks, 0));
    k++;
    turn_bits(fx, node, k++, &r->disk);
    turn_bits(fx, node, k++, &r->rounds);
    if (r->rounds.next > 1)
        turn_bits(fx, node, k, &r->rounds.times[raft_rounds_last(&r->rounds) % ROUND_TIMES]);
    k++;
    if (read_ring_n(&r->reads.list) > 0)
        turn_bits(fx, node, k, read_ring_at(&r->reads.list, 0));
    k++;
    turn_bits(fx, node, k++, &r->reads);
    turn_bits(fx, node, k++, &r->log);
    turn_bits(fx, node, k++, &r->hard_state);
    if (r->role == RAFT_LEADER)
        for (unsigned i = 0; i < r->n_progress; i++) {
            turn_bits(fx, node, k, &r->progress[i].held);
            turn_bits(fx, node, k + 1, &r->progress[i].stamps);
        }
    k += 2;
    turn_bits(fx, node, k++, &r->progress[0].drift);
    if (r->progress[0].drift.n > 0)
        turn_bits(fx, node, k, &r->progress[0].drift.list[0]);
    k++;
    for (unsigned i = 0; i < RAFT_PROMISES_MAX; i++)
        turn_bits(fx, node, k, &r->promises.list[i]);
    k++;
    turn_bits(fx, node, k++, &r->promises);
    turn_bits(fx, node, k++, &r->lease);
    turn_bits(fx, node, k++, &r->asks.out[0]);
    turn_bits(fx, node, k++, &r->asks);
    turn_bits(fx, node, k++, &r->pairs);
    turn_bits(fx, node, k++, &r->early);
    assert_int_equal(k, N_STRUCTS);
}

/* A candidate of five that has one vote, with a promise behind it. */
static void turn_bits_of_candidate(void)
{
    struct raft_msg m;
    struct fx fx;

    fx_init(&fx, 5, 0, 1);
    fx_leases(&fx, FX_ELECTION_US);
    fx_start(&fx, 1);
    while (fx_role(&fx, 1) != RAFT_PRE_CANDIDATE)
        fx_tick_deadline(&fx, 1);
    for (unsigned j = 2; j <= 3; j++) {
        m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, j, 1, fx_term(&fx, 1) + 1);
        fx_inject_ok(&fx, &m);
    }
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 2, 1, fx_term(&fx, 1));
    m.left_us = FX_ELECTION_US / 2;
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    turn_bits_of(&fx, &fx.nodes[1]);
    fx_done(&fx);
}

/* One that was told that its leader is gone. */
static void turn_bits_of_follower(void)
{
    struct fx fx;

    fx_init(&fx, 3, 0, 1);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, FX_HEARTBEAT_US);
    raft_gone(fx.nodes[2].r, fx_id(&fx, 1), fx_now(&fx, 2));
    fx_turn(&fx, 2);
    fx.now += 10;
    raft_hold(fx.nodes[2].r, fx_now(&fx, 2), fx_hold(&fx, 2));
    turn_bits_of(&fx, &fx.nodes[2]);
    fx_done(&fx);
}

/* The cores of random schedules, at the end: some have this, some that. */
static void fields__show_as_they_should(void **state)
{
    struct prng prng;
    struct fx fx;

    (void)state;
    memset(shown, 0, sizeof(shown));
    for (uint64_t seed = 1; seed <= 300; seed++) {
        fx_init(&fx, seed % 2 == 0 ? 5 : 3, 0, seed);
        prng_init(&prng, seed);
        fx_leases(&fx, 3 * FX_ELECTION_US);
        for (unsigned i = 1; i <= fx.n; i++)
            fx.nodes[i].manual_store = seed % 2 == 0;
        fx_start_all(&fx);
        for (unsigned k = 0; k < 60 + seed * 7 % 900; k++)
            schedule_step(&fx, &prng);
        for (unsigned i = 1; i <= fx.n; i++)
            if (fx.nodes[i].state == FX_UP) {
                if (seed % 7 == 0)
                    raft_forget_held(fx.nodes[i].r, fx_now(&fx, i));
                raft_hold(fx.nodes[i].r, fx_now(&fx, i), fx_hold(&fx, i));
                turn_bits_of(&fx, &fx.nodes[i]);
            }
        fx_done(&fx);
    }
    turn_bits_of_candidate();
    turn_bits_of_follower();
    for (size_t k = 0; k < N_STRUCTS; k++)
        for (size_t i = 0; i < structs[k].n; i++)
            if (structs[k].fields[i].kind != PART && structs[k].fields[i].kind != NOT_SEEN &&
                !shown[k][i])
                fail_msg("%s.%s never shows", structs[k].name, structs[k].fields[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields__every_field_is_thought_of),
        cmocka_unit_test(fields__show_as_they_should),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
