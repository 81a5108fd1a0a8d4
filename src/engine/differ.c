/* States that should be equal are compared, all the time, at the price of two digests on each
 * heartbeat and its answer; and when they are not, it is found out whose is wrong.
 *
 *   leader    hears another digest for an index that it knows: begins a check, which has a number
 *             and an index, and rides on its heartbeats
 *   everybody reads its own state through; damage makes it unfit, and out of the question
 *             (agree.c); otherwise it answers with the number, and its digest at that index
 *   leader    judges what it was answered (judge.c). A majority is right: its digest rides on the
 *             heartbeats, and who has another one makes its state again, the leader too, when it is
 *             the wrong one. No majority: nobody does anything, and an operator is told
 *
 * Digests are facts about an index: it does not matter how old a note is, or in which term it was
 * written. What must match is the index, and the way in which the digests were made (FIT-8). */
#include <string.h>

#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

/* ---- what this node knows of itself ---- */

static bool has_digests(const struct engine *e)
{
    return e->state.digest_at != NULL && e->state.digest_version != 0;
}

/* A state that is being made again is on its way, and says nothing yet. */
static bool may_compare(const struct engine *e)
{
    return has_digests(e) && !replica_rebuilding(e->replica);
}

/* The state knows the round indexes and the last one; what was said a moment ago is known, too. */
static bool own_digest(const struct engine *e, raft_index index, struct raft_digest_at *ret)
{
    if (index == 0)
        return false;
    if (e->state.digest_at(e->state.ctx, index, ret))
        return true;
    for (unsigned i = 0; i < DIGESTS_SAID; i++)
        if (e->differ.said[i].index == index) {
            *ret = e->differ.said[i];
            return true;
        }
    return false;
}

static void remember_said(struct differ *d, const struct raft_digest_at *digest)
{
    if (d->said[d->next_said].index == digest->index)
        return;
    d->next_said = (d->next_said + 1) % DIGESTS_SAID;
    d->said[d->next_said] = *digest;
}

/* ---- the note ---- */

static void fill_digests(struct engine *e, struct raft_note *note)
{
    struct differ *d = &e->differ;
    raft_index last = replica_last_applied(e->replica);

    note->digest_version = e->state.digest_version;
    if (own_digest(e, last, &note->digests[1]))
        remember_said(d, &note->digests[1]);
    if (d->check != 0 && own_digest(e, d->at.index, &d->at))
        note->digests[0] = d->at;
    else
        (void)own_digest(e, last - last % KV_DIGEST_EVERY, &note->digests[0]);
}

static void write_note(struct engine *e, bool leads)
{
    const struct differ *d = &e->differ;
    struct raft_note note = {0};

    if (may_compare(e)) {
        fill_digests(e, &note);
        if (leads || d->is_checked)
            note.check = d->check;
        if (leads && d->is_judged)
            note.flags = NOTE_JUDGED;
    }
    if (e->space.log_is_full)
        note.flags |= NOTE_LOG_FULL;
    if (e->snap.restoring.wants)
        note.flags |= NOTE_WANTS_SNAPSHOT;
    raft_set_note(replica_raft_mutable(e->replica), &note);
}

/* ---- the check, at everybody ---- */

static void read_through(struct engine *e)
{
    struct differ *d = &e->differ;

    d->is_checked = e->state.scrub == NULL; /* nothing there that could rot */
    d->passes = engine_scrub_passes(e);
    engine_scrub_now(e);
}

static void end_check(struct differ *d)
{
    d->check = 0;
    d->is_judged = false;
    d->at = (struct raft_digest_at){0};
}

static void look_for_pass(struct engine *e)
{
    struct differ *d = &e->differ;

    if (d->check != 0 && !d->is_checked && engine_scrub_passes(e) > d->passes)
        d->is_checked = true;
}

/* ---- the check, at the leader ---- */

static void begin_check(struct engine *e, raft_index index)
{
    struct differ *d = &e->differ;

    /* Another leader's are of another term; one leader does not begin so many. */
    d->check = raft_get_term(engine_raft(e)) << 16 | (++d->n_checks & 0xffff);
    d->at = (struct raft_digest_at){.index = index};
    d->at_us = engine_now_us(e);
    d->is_judged = false;
    read_through(e);
}

/* Somebody is not at the index, or past it: a later one, a round one when there is any, for that is
 * known for longest. What differed at an index differs at all that follow. */
static void ask_later(struct engine *e)
{
    struct differ *d = &e->differ;
    raft_index last = replica_last_applied(e->replica);
    raft_index round = last - last % KV_DIGEST_EVERY;
    struct raft_digest_at own;

    if (engine_now_us(e) - d->at_us < AGREE_INDEX_US)
        return;
    d->at_us = engine_now_us(e);
    if (round <= d->at.index || !own_digest(e, round, &own)) /* a restart forgets them */
        round = last;
    d->at = (struct raft_digest_at){.index = round};
    d->is_judged = false; /* nobody has said yet what is right there */
}

static struct heard_note *heard_of(struct differ *d, raft_node_id id)
{
    for (unsigned i = 0; i < d->n_heard; i++)
        if (d->heard[i].id == id)
            return &d->heard[i];
    return NULL;
}

static void take_voice(struct engine *e, const struct raft_server *s, struct voice *v)
{
    struct differ *d = &e->differ;
    const struct heard_note *h = heard_of(d, s->id);

    *v = (struct voice){.id = s->id, .is_voter = s->role == RAFT_VOTER};
    if (s->id == raft_get_id(engine_raft(e))) {
        v->is_heard = true;
        v->is_checked = d->is_checked;
        v->version = e->state.digest_version;
        (void)own_digest(e, d->at.index, &v->digest);
        return;
    }
    if (h == NULL || !replica_hears(e->replica, s->id, engine_now_us(e)))
        return;
    v->is_heard = true;
    v->is_unfit = (h->note.flags & RAFT_NOTE_UNFIT) != 0;
    v->is_checked = h->note.check == d->check;
    v->version = h->note.digest_version;
    for (unsigned i = 0; i < 2; i++)
        if (h->note.digests[i].index == d->at.index)
            v->digest = h->note.digests[i];
}

static unsigned take_voices(struct engine *e, struct voice *voices)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));

    for (unsigned i = 0; i < c->n; i++)
        take_voice(e, &c->servers[i], &voices[i]);
    return c->n;
}

/* Who has what: all that an operator has to go by. */
static void say_split(struct engine *e, const struct voice *voices, unsigned n)
{
    char text[RAFT_SERVERS_MAX * 64] = "";
    size_t len = 0;

    if (!engine_logs(e))
        return;
    for (unsigned i = 0; i < n && len < sizeof(text); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s:%016llx%016llx",
                                i > 0 ? " " : "", engine_name_of(e, voices[i].id),
                                (unsigned long long)voices[i].digest.high,
                                (unsigned long long)voices[i].digest.low);
    log_event(LOG_ERROR, "states_split", "index=%llu digests='%s' action=none",
              (unsigned long long)e->differ.at.index, text);
}

/* Nobody is asked again before AGREE_AGAIN_US, unless a voter comes that was not counted: with it
 * there may be a majority, and until then whoever is wrong goes on answering, the leader too. */
static void put_off(struct engine *e, const struct voice *voices, unsigned n)
{
    struct differ *d = &e->differ;

    d->again_us = engine_now_us(e) + AGREE_AGAIN_US;
    for (unsigned i = 0; i < d->n_heard; i++)
        d->heard[i].is_counted = false;
    for (unsigned i = 0; i < n; i++) {
        struct heard_note *h = heard_of(d, voices[i].id);

        if (h != NULL)
            h->is_counted =
                !voices[i].is_voter || has_answered(&voices[i], e->state.digest_version);
    }
}

/* One of those that are right, by its own choice of the one heard last. */
static void hand_over_to_right(struct engine *e, const struct voice *voices, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (voices[i].is_voter && voices[i].is_heard && !voices[i].is_unfit &&
            digests_equal(&voices[i].digest, &e->differ.right) &&
            replica_transfer(e->replica, voices[i].id, engine_now_us(e)) == 0)
            return;
}

/* ---- wrong ---- */

/* Its pages are what its digest says, and still not what the log makes of others: a fault of memory
 * or of a program, that the log can mend. It is fit again when it is made, and equal. */
static void be_wrong(struct engine *e)
{
    struct differ *d = &e->differ;

    d->is_wrong = true;
    d->wrong_us = engine_now_us(e);
    if (d->at.index > d->differs_at)
        d->differs_at = d->at.index;
    end_check(d);
    engine_snapshots_doubt(e);
    engine_state_damaged(e, "a majority of the voters holds another state");
}

static void judge_all(struct engine *e)
{
    struct differ *d = &e->differ;
    struct voice voices[RAFT_SERVERS_MAX];
    unsigned n = take_voices(e, voices);
    struct raft_digest_at own;

    switch (judge_states(voices, n, e->state.digest_version, &d->right)) {
    case JUDGE_WAIT:
        ask_later(e);
        break;
    case JUDGE_EQUAL:
        d->differs = false;
        end_check(d);
        break;
    case JUDGE_SPLIT:
        say_split(e, voices, n);
        put_off(e, voices, n);
        end_check(d);
        break;
    case JUDGE_RIGHT:
        if (!own_digest(e, d->right.index, &own)) {
            ask_later(e); /* it may be wrong itself, and would send the others its own as right */
            break;
        }
        d->is_judged = true;
        if (digests_equal(&own, &d->right))
            break;
        hand_over_to_right(e, voices, n);
        be_wrong(e);
        break;
    }
}

/* ---- what is heard ---- */

static void say_differ(struct engine *e, raft_node_id from, const struct raft_digest_at *own,
                       const struct raft_digest_at *theirs)
{
    uint64_t suppressed;

    if (engine_logs(e) && log_limit_ok(&e->differ.limit, engine_now_us(e), &suppressed))
        log_event(LOG_ERROR, "states_differ",
                  "peer=%s index=%llu own=%016llx%016llx theirs=%016llx%016llx action=check",
                  engine_name_of(e, from), (unsigned long long)own->index,
                  (unsigned long long)own->high, (unsigned long long)own->low,
                  (unsigned long long)theirs->high, (unsigned long long)theirs->low);
}

static void alarm(struct engine *e, raft_node_id from, const struct raft_digest_at *own,
                  const struct raft_digest_at *theirs)
{
    struct differ *d = &e->differ;

    say_differ(e, from, own, theirs);
    if (d->is_wrong) {
        /* Made again, and still not equal: it goes on being unfit. */
        d->wrong_us = engine_now_us(e);
        return;
    }
    d->n_alarms += !d->differs;
    d->differs = true;
    d->differs_at = own->index;
    if (d->check != 0 || engine_now_us(e) < d->again_us)
        return;
    if (raft_get_role(engine_raft(e)) == RAFT_LEADER)
        begin_check(e, own->index);
}

raft_index engine_agreed_index(const struct engine *e)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));
    raft_index equal[RAFT_SERVERS_MAX] = {0}; /* falling */
    unsigned n = 0;

    for (unsigned i = 0; i < e->differ.n_heard; i++) {
        const struct heard_note *h = &e->differ.heard[i];
        const struct raft_server *s = raft_configuration_get(c, h->id);
        unsigned at = n;

        if (s == NULL || s->role != RAFT_VOTER || h->equal_at == 0)
            continue;
        for (n++; at > 0 && equal[at - 1] < h->equal_at; at--)
            equal[at] = equal[at - 1];
        equal[at] = h->equal_at;
    }
    n = raft_configuration_n_voters(c) / 2; /* others that make a majority with this one */
    return n > 0 ? equal[n - 1] : 0;
}

/* What was said by one that knows itself to be unfit, or made its digest in another way, says
 * nothing of this state (FIT-8). */
static void compare(struct engine *e, struct heard_note *h)
{
    struct differ *d = &e->differ;
    const struct raft_note *note = &h->note;
    struct raft_digest_at own;

    if (!may_compare(e) || note->digest_version != e->state.digest_version ||
        (note->flags & RAFT_NOTE_UNFIT) != 0)
        return;
    if (!h->is_counted)
        d->again_us = 0;
    h->is_counted = true;
    for (unsigned i = 0; i < 2; i++) {
        const struct raft_digest_at *theirs = &note->digests[i];

        if (!own_digest(e, theirs->index, &own))
            continue;
        if (!digests_equal(&own, theirs)) {
            alarm(e, h->id, &own, theirs);
            return;
        }
        if (own.index > h->equal_at)
            h->equal_at = own.index;
        /* Equal to the one who leads, and not only before the difference: it is right again. */
        if (h->id == raft_get_leader(engine_raft(e)) && own.index >= d->differs_at)
            d->differs = d->is_wrong = false;
    }
}

/* The leader's check is everybody's; its judgement too. */
static void obey_leader(struct engine *e, const struct raft_note *note)
{
    struct differ *d = &e->differ;
    struct raft_digest_at own;

    if (note->check != d->check) {
        end_check(d);
        d->check = note->check;
        if (note->check != 0)
            read_through(e);
    }
    d->at.index = note->check != 0 ? note->digests[0].index : 0;
    if ((note->flags & NOTE_JUDGED) == 0 || d->is_wrong || !may_compare(e) ||
        note->digest_version != e->state.digest_version)
        return;
    if (own_digest(e, note->digests[0].index, &own) && !digests_equal(&own, &note->digests[0]))
        be_wrong(e);
}

void engine_heard_note(void *ctx, raft_node_id from, const struct raft_note *note)
{
    struct engine *e = ctx;
    struct differ *d = &e->differ;
    unsigned i = 0;

    engine_send_heard(e, from, note->flags);
    if (!has_digests(e))
        return;
    while (i < d->n_heard && d->heard[i].id != from)
        i++;
    if (i == RAFT_SERVERS_MAX)
        i = 0; /* of a server that is no longer there */
    if (i == d->n_heard)
        d->n_heard++;
    if (d->heard[i].id != from)
        d->heard[i] = (struct heard_note){.id = from};
    d->heard[i].note = *note;
    compare(e, &d->heard[i]);
    if (from == raft_get_leader(engine_raft(e)))
        obey_leader(e, note);
}

/* ---- the turn ---- */

/* What was read through, or was about to be, is gone: the leader's next heartbeat asks again. */
void engine_differ_forget(struct engine *e)
{
    for (unsigned i = 0; i < e->differ.n_heard; i++)
        e->differ.heard[i].equal_at = 0;
    memset(e->differ.said, 0, sizeof(e->differ.said));
    end_check(&e->differ);
}

void engine_differ_begin(struct engine *e, uint64_t heartbeat_us)
{
    e->differ = (struct differ){.period_us = heartbeat_us / 2,
                                .limit = {.window_us = AGREE_AGAIN_US, .burst = 1}};
}

/* Nobody could tell it that it is equal, or that it is not: it is as good as any that was made from
 * the log at a start. */
static void forgive(struct engine *e, uint64_t now)
{
    struct differ *d = &e->differ;

    if (replica_rebuilding(e->replica))
        d->wrong_us = now;
    else if (now - d->wrong_us > AGREE_AGAIN_US)
        d->is_wrong = false;
}

/* It knew of a difference as a follower, from the one that led before; with nobody left that
 * differs no alarm comes any more, and no leader says that it is over. */
static void ask_once_more(struct engine *e, uint64_t now)
{
    struct differ *d = &e->differ;

    if (d->differs && !d->is_wrong && d->check == 0 && now >= d->again_us && may_compare(e))
        begin_check(e, replica_last_applied(e->replica));
}

void engine_differ_turn(struct engine *e, uint64_t now)
{
    struct differ *d = &e->differ;
    bool leads = raft_get_role(engine_raft(e)) == RAFT_LEADER;

    if (!has_digests(e))
        return;
    if (d->is_wrong)
        forgive(e, now);
    if (leads != d->led) /* what one began the next does not go on with */
        end_check(d);
    d->led = leads;
    look_for_pass(e);
    if (leads)
        ask_once_more(e, now);
    if (leads && d->check != 0 && may_compare(e))
        judge_all(e);
    if (now < d->due_us && d->check == 0)
        return;
    d->due_us = now + d->period_us;
    write_note(e, raft_get_role(engine_raft(e)) == RAFT_LEADER);
}
