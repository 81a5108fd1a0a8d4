/* The snapshots of a node: a folder on a virtual disk of its own, the chores of the engine as
 * events, and what goes wrong with them.
 *
 * The makers and the bench are two events, each with a time of its own, so that a chore runs beside
 * everything else; what a death finds of it is a chore not begun, done, or cut inside any of its
 * calls. Node and disk of the log die with it.
 *
 * Here, too, is the oracle of snapshots: what is newest is whole, durable, of committed entries and
 * of the model's state; the log lets go of nothing that no durable snapshot covers, and is reset to
 * none that is not there (SNAP-2, SNAP-8); a state goes back only where it is not believed (SNAP-1).
 *
 * All is drawn from one stream: a seed without the feature is what it was. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "engine/engine_int.h"
#include "sim/sim.h"
#include "snap/snap_int.h"
#include "store/store_int.h"

#include "base/banned.h"

#define SNAP_ENTITY 32u /* of draws about all nodes */

enum { MAKERS, BENCH };

enum deed {
    DEED_ASK,
    DEED_ASK_LEADER,
    DEED_DOWN, /* for so long that the log goes on without it */
    DEED_DIE_RECEIVING,
    DEED_LOSE_STATE,
    DEED_LOSE_SNAPSHOTS,
    DEED_ROT,
    DEED_FULL,
    DEED_ROOM_AGAIN,
    DEED_SYNC_FAILS,
    DEED_CALL_FAILS,
    DEED_DAMAGE_STATE,
    DEED_STALL,
    DEED_KINDS
};

static uint64_t below(struct sim *s, uint64_t bound)
{
    return sim_below(s, STREAM_SNAP, SNAP_ENTITY, bound);
}

static uint64_t below_of(struct sim_node *n, uint64_t bound)
{
    return sim_below(n->sim, STREAM_SNAP, n->i, bound);
}

bool snap_is_on(const struct sim *s)
{
    return (s->p.features >> FEATURE_SNAPSHOTS & 1) != 0;
}

/* ---- the disk ---- */

static void count_calls(void *ctx, const char *what, const char *name)
{
    struct sim_node *n = ctx;
    struct sim_snap *sn = &n->snap;

    (void)name;
    if (strcmp(what, "fdatasync") != 0 && strcmp(what, "sync_dir") != 0)
        return;
    sn->n_syncs++;
    if (sn->lie_at != 0 && sn->n_syncs == sn->lie_at && what[0] == 'f') {
        sn->untrusted = true;
        MARK(n->sim, snap_lied);
    }
}

static bool is_snapshot(const char *name, struct raft_entry_id *ret_id)
{
    return snap_name_parse(name, ret_id);
}

/* As a start would find it: its trailer and all its bytes. */
static bool is_whole(struct sim_node *n, struct raft_entry_id id)
{
    struct fake_disk *clone = fake_disk_clone(n->snap.disk, 1);
    struct snap_conf conf = {.vfs = fake_disk_vfs(clone), .cluster_id = "simulated"};
    struct snap_folder *folder = NULL;
    bool whole;

    fake_disk_restart(clone);
    fake_disk_set_capacity(clone, 0);
    whole = snap_open(&conf, &folder) == 0 && snap_check(folder, id) == 0;
    snap_close(folder);
    fake_disk_free(clone);
    return whole;
}

/* One that no power cut takes away, of this entry or a later one. */
static bool is_covered(struct sim_node *n, struct raft_entry_id least, bool exactly)
{
    const struct fake_disk *d = n->snap.disk;

    for (unsigned i = 0; i < fake_disk_n_files(d); i++) {
        const char *name = fake_disk_name(d, i);
        struct raft_entry_id id = {0};
        size_t size;

        if (!is_snapshot(name, &id) || id.index < least.index ||
            (exactly && (id.index != least.index || id.term != least.term)))
            continue;
        if (fake_disk_durable(d, name, &size) != NULL && is_whole(n, id))
            return true;
    }
    return false;
}

void snap_reset_durable(struct sim_node *n, struct raft_entry_id id)
{
    if (n->snap.untrusted || is_covered(n, id, true))
        return;
    sim_fail(n->sim, "SNAP-8",
             "the log of n%u is reset to %" PRIu64 ", and no snapshot of that is on its disk",
             n->i + 1, id.index);
}

/* ---- the chores ---- */

static struct chores *chores_of(const struct sim_node *n, unsigned which)
{
    return which == MAKERS ? n->engine->snap.makers : n->engine->snap.bench;
}

/* Who sent what is being checked dies, and by the time it is checked the receiver may campaign. */
static uint64_t lose_sender(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct receiving *r = &n->engine->snap.receiving;
    const struct sim_node *from = node_of_id(s, r->from);

    if (r->phase != RECEIVE_CHECKING || from == NULL || s->healing || below_of(n, 4) != 0)
        return 0;
    sim_push_any(s, s->now + 1, EV_SNAP, 0, (uint16_t)(1 + from->i), NULL);
    return s->p.election_us * 1000 * (1 + below_of(n, 3));
}

static void kick(struct sim_node *n, unsigned which)
{
    struct sim *s = n->sim;
    struct sim_snap *sn = &n->snap;
    uint64_t took;

    if (sn->busy[which] || n->replica == NULL || !chores_has_work(chores_of(n, which)))
        return;
    took = s->p.disk_min_ns + below_of(n, s->p.snap_chore_ns);
    if (which == BENCH)
        took += lose_sender(n);
    if (which == MAKERS && below_of(n, 4) == 0)
        took *= 1 + below_of(n, 30); /* a large state */
    if (s->now + took < sn->stalled_until)
        took = sn->stalled_until - s->now;
    sn->busy[which] = true;
    sim_push(s, s->now + took, EV_CHORE, n, (uint16_t)which, NULL);
}

void snap_kick(struct sim_node *n)
{
    if (n->snap.disk == NULL)
        return;
    kick(n, MAKERS);
    kick(n, BENCH);
    if (n->engine->front_goes)
        wal_look_idle(n);
}

void snap_chore_event(struct sim_node *n, unsigned which)
{
    n->snap.busy[which] = false;
    if (n->fatal_error != 0)
        return;
    chores_work(chores_of(n, which));
    kick(n, which);
    node_input(n);
}

bool snap_is_copying(const struct sim_node *n)
{
    const struct making *m = &n->engine->snap.making;

    return n->snap.disk != NULL && chore_is_busy(&m->chore) && !m->finishing;
}

/* ---- what the oracle sees ---- */

static void check_newest(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct snapshots *es = &n->engine->snap;
    const struct raft_entry_id id = es->newest;
    const struct oracle_entry *o;
    struct snap_meta list[SNAP_LIST_MAX];
    unsigned n_list;

    if (id.index == n->snap.newest.index && id.term == n->snap.newest.term)
        return;
    n->snap.newest = id;
    if (id.index == 0)
        return;
    if (id.index > s->oracle.committed)
        sim_fail(s, "SNAP-4", "n%u has a snapshot of %" PRIu64 ", and %" PRIu64 " is committed",
                 n->i + 1, id.index, s->oracle.committed);
    o = oracle_entry(s, id.index);
    if (o->term != id.term)
        sim_fail(s, "SNAP-4",
                 "n%u has a snapshot of %" PRIu64 " with term %" PRIu64 ", and that is of %" PRIu64,
                 n->i + 1, id.index, id.term, o->term);
    n_list = snap_list(es->folder, list, SNAP_LIST_MAX);
    for (unsigned i = 0; i < n_list; i++) {
        if (list[i].id.index != id.index)
            continue;
        if (n->state.kv == NULL && !s->has_ghost && list[i].digest.low != o->digest)
            sim_fail(s, "STATE-7", "the snapshot of n%u of %" PRIu64 " is not of the model's state",
                     n->i + 1, id.index);
        if (!changes_config_is_right(s, &list[i].config, id.index))
            sim_fail(s, "SNAP-4", "the snapshot of n%u of %" PRIu64 " has another configuration",
                     n->i + 1, id.index);
    }
    /* SNAP-11: what has a name is good. */
    if (!n->snap.untrusted && !is_covered(n, id, true))
        sim_fail(s, "SNAP-6",
                 "n%u counts on its snapshot of %" PRIu64 ", and it is not on its disk", n->i + 1,
                 id.index);
}

/* SNAP-2. A log that was reset began behind its snapshot from then on. */
static void check_base(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct raft_entry_id base = store_base(n->wal.store);
    struct raft_status st;

    raft_get_status(node_raft(n), &st);
    if (base.index <= n->wal.base)
        return;
    n->wal.base = base.index;
    MARK(s, log_compacted);
    if (base.index > n->wal.durable.n)
        sim_fail(s, "SNAP-2",
                 "the log of n%u begins behind %" PRIu64 ", and its disk holds %" PRIu64, n->i + 1,
                 base.index, n->wal.durable.n);
    if (base.index > s->oracle.committed || oracle_entry(s, base.index)->term != base.term)
        sim_fail(s, "SNAP-2",
                 "the log of n%u begins behind %" PRIu64 " of term %" PRIu64
                 ", which nobody has committed",
                 n->i + 1, base.index, base.term);
    if (base.index > replica_last_applied(n->replica) && st.base.index >= base.index &&
        !raft_is_installing(node_raft(n)))
        sim_fail(s, "SNAP-2", "the log of n%u begins behind %" PRIu64 ", and that is not applied",
                 n->i + 1, base.index);
    if (!n->snap.untrusted && !is_covered(n, base, false))
        sim_fail(s, "SNAP-2",
                 "the log of n%u begins behind %" PRIu64
                 ", and no snapshot on its disk covers that",
                 n->i + 1, base.index);
}

static void count(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_snap *sn = &n->snap;
    const struct snapshots *es = &n->engine->snap;
    const raft_index floor = engine_send_floor(n->engine);

    if (es->making.n_made != sn->n_made)
        MARK(s, snap_made);
    if (es->making.n_failed != sn->n_failed)
        MARK(s, snap_failed);
    if (es->n_sent != sn->n_sent)
        MARK(s, transfer_sent);
    sn->n_made = es->making.n_made;
    sn->n_failed = es->making.n_failed;
    sn->n_sent = es->n_sent;
    if (es->restoring.wants && !sn->wants)
        MARK(s, state_wanted);
    sn->wants = es->restoring.wants;
    if (es->receiving.phase == RECEIVE_INSTALLING)
        MARK(s, install_later);
    if (floor != 0 && floor < es->newest.index && floor < store_marked(n->wal.store))
        MARK(s, log_kept_for_sending);
}

/* At a step of taking a snapshot (s1 to s6), or so many turns behind it. */
static bool dies_here(struct sim_node *n)
{
    struct sim_snap *sn = &n->snap;
    const enum receive_phase phase = n->engine->snap.receiving.phase;

    /* Nearly nobody is in this one at the end of a turn. */
    if (phase == RECEIVE_INSTALLING && !n->sim->healing && below_of(n, 30) == 0)
        sn->crash_phase = RECEIVE_INSTALLING;
    if (sn->crash_phase == 0 || phase != (enum receive_phase)sn->crash_phase)
        return false;
    if (phase != RECEIVE_INSTALLING && sn->crash_in-- > 0)
        return false;
    sn->crash_phase = 0;
    node_crash(n, sn->crash_machine, n->sim->p.election_us * 500 * (1 + below_of(n, 12)));
    return true;
}

bool snap_turn(struct sim_node *n)
{
    if (n->snap.disk == NULL)
        return false;
    check_newest(n);
    check_base(n);
    count(n);
    return dies_here(n);
}

bool snap_crash_stored(struct sim_node *n)
{
    const struct receiving *r;

    if (n->snap.disk == NULL || n->snap.crash_phase != RECEIVE_SWITCHING)
        return false;
    r = &n->engine->snap.receiving;
    if (r->phase != RECEIVE_SWITCHING || n->wal.durable.reset != r->meta.id.index)
        return false;
    n->snap.crash_phase = 0;
    node_crash(n, n->snap.crash_machine, n->sim->p.election_us * 500 * (1 + below_of(n, 12)));
    return true;
}

/* A state goes back only where it is not believed, and is never ahead of its log (SNAP-1, SNAP-8). */
void snap_switches(struct sim_node *n, struct raft_entry_id id)
{
    struct sim *s = n->sim;
    const struct shadow_log *log = &n->wal.durable;
    const bool believed = n->replica != NULL && !replica_rebuilding(n->replica);

    if (believed && id.index < state_last_applied(n).index)
        sim_fail(s, "SNAP-1", "the state of n%u goes back from %" PRIu64 " to %" PRIu64, n->i + 1,
                 state_last_applied(n).index, id.index);
    if (id.index > log->n || log->entries[id.index - 1].term != id.term)
        sim_fail(s, "SNAP-8",
                 "the state of n%u becomes that of %" PRIu64 " of term %" PRIu64
                 ", and the log on its disk has not that entry",
                 n->i + 1, id.index, id.term);
    if (id.index < n->wal.durable.reset)
        sim_fail(s, "SNAP-8", "the state of n%u becomes that of %" PRIu64 ", before its log begins",
                 n->i + 1, id.index);
    if (n->replica == NULL)
        MARK(s, restored_at_start);
    else if (n->engine->snap.receiving.phase != RECEIVE_SWITCHING)
        MARK(s, restored_later);
    else
        n->snap.n_installed += s->all_healed;
}

void snap_trace(struct sim_node *n, const struct raft_trace *t)
{
    struct sim *s = n->sim;

    if (t->event != RAFT_TRACE_INSTALL || t->text == NULL)
        return;
    if (strcmp(t->text, "the log has it") == 0)
        MARK(s, install_nothing);
    else if (strcmp(t->text, "the state is taken from it") == 0)
        MARK(s, install_state);
    else if (strcmp(t->text, "log and state are taken from it") == 0)
        MARK(s, install_log);
    else
        MARK(s, install_refused);
}

static void sends_answer(struct sim *s, const struct raft_snapshot_part *part)
{
    switch ((enum raft_snapshot_status)part->status) {
    case RAFT_SNAPSHOT_CHECKING:
        MARK(s, said_checking);
        break;
    case RAFT_SNAPSHOT_DONE:
        MARK(s, said_done);
        break;
    case RAFT_SNAPSHOT_REFUSED:
        MARK(s, said_refused);
        break;
    case RAFT_SNAPSHOT_NO_ROOM:
        MARK(s, said_no_room);
        break;
    case RAFT_SNAPSHOT_TOO_OLD:
        MARK(s, said_too_old);
        break;
    case RAFT_SNAPSHOT_GO_ON:
    case RAFT_SNAPSHOT_STATUSES:
        break;
    }
}

/* SNAP-12: only what is not in doubt is given away. */
void snap_sends(struct sim_node *n, const struct raft_msg *m)
{
    struct sim *s = n->sim;
    const struct sim_node *to = node_of_id(s, m->to);
    const struct raft_snapshot_part *part = m->part;

    if (part == NULL || m->reject || to == NULL)
        return;
    if (m->type == RAFT_MSG_SNAPSHOT_RESP) {
        sends_answer(s, part);
        return;
    }
    if (raft_get_role(node_raft(n)) != RAFT_LEADER || replica_rebuilding(n->replica))
        sim_fail(s, "SNAP-12", "n%u sends a snapshot, and %s", n->i + 1,
                 replica_rebuilding(n->replica) ? "its state is being made again"
                                                : "does not lead");
    if (part->len == 0)
        return;
    MARK(s, parts_sent);
    if (members_are_on(s) && !s->healing && below_of(n, 12) == 0) {
        MARK(s, crash_sending);
        sim_push_any(s, s->now + 1, EV_SNAP, 0, (uint16_t)(1 + n->i), NULL);
    }
    if (part->transfer != n->snap.sent[to->i].transfer) {
        if (n->snap.sent[to->i].transfer != 0)
            MARK(s, transfer_anew);
        n->snap.sent[to->i].transfer = part->transfer;
        n->snap.sent[to->i].end = 0;
    }
    if (part->offset < n->snap.sent[to->i].end) /* SNAP-10 */
        MARK(s, transfer_resumed);
    n->snap.sent[to->i].end = part->offset + part->len;
}

/* ---- life ---- */

void snap_node_init(struct sim_node *n)
{
    if (!snap_is_on(n->sim))
        return;
    n->snap.disk = fake_disk_new(sim_draw(n->sim, STREAM_SNAP, 24 + n->i));
    fake_disk_set_hook(n->snap.disk, count_calls, n);
    fake_disk_set_write_max(n->snap.disk, n->sim->p.disk_write_max);
}

void snap_node_done(struct sim_node *n)
{
    fake_disk_free(n->snap.disk);
}

void snap_conf(struct sim_node *n, struct engine_conf *conf)
{
    const struct profile *p = &n->sim->p;

    if (n->snap.disk == NULL)
        return;
    conf->snap_vfs = fake_disk_vfs(n->snap.disk);
    conf->snapshots = (struct engine_snapshots_conf){
        .log_bytes = p->snap_log_bytes,
        .keep_bytes = p->snap_keep_bytes,
        .mib_per_s = p->snap_mib_per_s,
    };
}

void snap_opening(struct sim_node *n)
{
    if (n->snap.disk != NULL && !n->sim->healing && below_of(n, 8) == 0)
        fake_disk_cut_after(n->snap.disk, 1 + below_of(n, 4));
}

bool snap_not_opened(const struct sim_node *n)
{
    return n->snap.disk != NULL &&
           (fake_disk_is_off(n->snap.disk) || n->snap.armed || n->state.full);
}

void snap_opened(struct sim_node *n)
{
    struct sim_snap *sn = &n->snap;

    if (sn->disk == NULL)
        return;
    fake_disk_cut_after(sn->disk, 0);
    sn->newest = (struct raft_entry_id){0};
    sn->n_made = sn->n_failed = sn->n_sent = 0;
    sn->wants = false;
    sn->busy[MAKERS] = sn->busy[BENCH] = false;
    memset(sn->sent, 0, sizeof(sn->sent));
    if (state_last_applied(n).index < store_base(n->wal.store).index)
        MARK(n->sim, boot_without_state);
    n->applied = state_last_applied(n).index;
}

static void note_death(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct receiving *r = &n->engine->snap.receiving;

    switch (r->phase) {
    case RECEIVE_NOT:
        break;
    case RECEIVE_PARTS:
        MARK(s, crash_receiving);
        break;
    case RECEIVE_CHECKING:
        MARK(s, crash_checking);
        break;
    case RECEIVE_INSTALLING:
        MARK(s, crash_installing);
        break;
    case RECEIVE_SWITCHING:
        MARK(s, crash_switching);
        if (n->wal.durable.reset == r->meta.id.index &&
            state_last_applied(n).index < r->meta.id.index)
            MARK(s, crash_between_reset_and_switch);
        break;
    }
}

/* A chore that was under way has done some of it. */
void snap_dies(struct sim_node *n)
{
    struct sim_snap *sn = &n->snap;

    if (sn->disk == NULL)
        return;
    note_death(n);
    for (unsigned which = MAKERS; which <= BENCH; which++) {
        if (!chores_has_work(chores_of(n, which)) || n->fatal_error != 0 ||
            fake_disk_is_off(sn->disk) || below_of(n, 2) == 0)
            continue;
        MARK(n->sim, crash_in_chore);
        fake_disk_cut_after(sn->disk, 1 + below_of(n, 9));
        chores_work(chores_of(n, which));
    }
    fake_disk_cut_now(sn->disk);
}

void snap_dead(struct sim_node *n, bool machine)
{
    struct sim_snap *sn = &n->snap;

    if (sn->disk == NULL)
        return;
    fake_disk_cut_now(sn->disk);
    if (fake_disk_n_open(sn->disk) != 0)
        sim_fail(n->sim, "CORE-4", "n%u leaves %u files of snapshots open", n->i + 1,
                 fake_disk_n_open(sn->disk));
    if (machine)
        fake_disk_power_on(sn->disk, NULL);
    else
        fake_disk_restart(sn->disk);
    sn->armed = false; /* with the process */
    sn->lie_at = 0;
}

/* ---- what goes wrong ---- */

/* So that no more is lost than the group survives; what is lost comes back by itself. */
static bool may_lose(struct sim_node *n)
{
    struct sim *s = n->sim;

    /* Where voters come and go, one of all, and never a voter, which may be the only one: its log is
     * not the only one with its front, and what it alone has nobody gives back (FIT-10). */
    if (members_are_on(s) && node_is_voter(n))
        return false;
    if (n->damaged || n->snap.lost)
        return true;
    if (members_are_on(s) && s->n_damaged > 0)
        return false;
    if (!node_is_voter(n) && !members_are_on(s))
        return true;
    if (!members_are_on(s) && s->n_damaged >= (s->p.n_voters - 1) / 2)
        return false;
    s->n_damaged++;
    n->snap.lost = true;
    return true;
}

static void lose_snapshots(struct sim_node *n)
{
    if (!may_lose(n))
        return;
    MARK(n->sim, snap_lost);
    node_crash(n, below(n->sim, 2) == 0, n->sim->p.election_us * 1000 * (1 + below(n->sim, 8)));
    n->snap.untrusted = true;
    while (fake_disk_n_files(n->snap.disk) > 0) {
        char name[64];

        (void)snprintf(name, sizeof(name), "%s", fake_disk_name(n->snap.disk, 0));
        fake_disk_remove(n->snap.disk, name);
    }
    if (below(n->sim, 2) == 0)
        state_lose(n);
}

static void flip(struct sim_node *n, const char *name, size_t size)
{
    struct sim_snap *sn = &n->snap;
    struct sim_rot *r = &sn->rots[sn->n_rots];

    if (sn->n_rots == sizeof(sn->rots) / sizeof(sn->rots[0]))
        return;
    sn->n_rots++;
    sn->untrusted = true;
    (void)snprintf(r->name, sizeof(r->name), "%s", name);
    r->at = below(n->sim, size);
    r->bit = (unsigned)below(n->sim, 8);
    r->was = fake_disk_bytes(sn->disk, name, &size)[r->at];
    fake_disk_flip(sn->disk, name, r->at, r->bit);
}

bool snap_put_back(struct sim_node *n)
{
    struct sim_snap *sn = &n->snap;
    bool is_good = false;

    if (n->fatal_error != -EBADMSG || strstr(err_text(), "this is the only voter") == NULL)
        return false;
    for (; sn->n_rots > 0; sn->n_rots--) {
        const struct sim_rot *r = &sn->rots[sn->n_rots - 1];
        size_t size = 0;
        const unsigned char *bytes = fake_disk_bytes(sn->disk, r->name, &size);

        if (bytes == NULL || r->at >= size || bytes[r->at] != (unsigned char)(r->was ^ 1u << r->bit))
            continue; /* another file by now */
        fake_disk_flip(sn->disk, r->name, r->at, r->bit);
        is_good = true;
    }
    if (is_good)
        MARK(n->sim, snap_put_back);
    return is_good;
}

static void rot(struct sim_node *n)
{
    const unsigned n_files = fake_disk_n_files(n->snap.disk);
    const char *name;
    size_t size = 0;

    if (n_files == 0)
        return;
    name = fake_disk_name(n->snap.disk, (unsigned)below(n->sim, n_files));
    if (fake_disk_bytes(n->snap.disk, name, &size) == NULL || size == 0 || !may_lose(n))
        return;
    MARK(n->sim, snap_rotten);
    TRACE(n->sim, "n%u: its snapshot %s rots", n->i + 1, name);
    flip(n, name, size);
}

static void sync_fails(struct sim_node *n)
{
    static const enum fake_disk_sync_failure how[] = {FAKE_DISK_SYNC_PAGES_CLEAN,
                                                      FAKE_DISK_SYNC_REVERT, FAKE_DISK_SYNC_NEXT};
    const unsigned which = (unsigned)below(n->sim, 3);
    const uint64_t in = 1 + below(n->sim, 5);

    /* What an operator may have to put back is known (snap_put_back()). */
    if (which == 2 && (members_are_on(n->sim) || !may_lose(n)))
        return;
    if (which == 2)
        n->snap.lie_at = n->snap.n_syncs + in;
    MARK(n->sim, snap_disk_failed);
    n->snap.armed = true;
    fake_disk_fail_sync(n->snap.disk, in, how[which]);
}

/* Where a voter's state is wrong for good, and others are damaged, nobody may be right. */
static void damage_state(struct sim_node *n)
{
    struct sim *s = n->sim;

    if (n->life != NODE_UP || n->state.kv != NULL || n->state.was_damaged || s->has_ghost)
        return;
    MARK(s, states_damaged);
    TRACE(s, "n%u: its state is damaged", n->i + 1);
    n->state.damaged = n->state.was_damaged = true;
}

static struct sim_node *whose(struct sim *s)
{
    return &s->nodes[below(s, s->p.n_nodes)];
}

static void ask(struct sim_node *n)
{
    if (n == NULL || n->life != NODE_UP || n->fatal_error != 0)
        return;
    MARK(n->sim, snap_asked);
    TRACE(n->sim, "n%u is asked for a snapshot", n->i + 1);
    (void)engine_make_snapshot(n->engine);
    node_input(n);
}

static void die_receiving(struct sim_node *n)
{
    n->snap.crash_phase = RECEIVE_PARTS + (unsigned)below(n->sim, 4);
    n->snap.crash_in = (unsigned)below(n->sim, 4);
    n->snap.crash_machine = below(n->sim, 2) == 0;
}

static void give_room(struct sim_node *n)
{
    fake_disk_set_capacity(n->snap.disk, 0);
    n->state.full = false;
}

static void do_deed(struct sim *s, enum deed deed)
{
    struct sim_node *n = whose(s);

    if (n->life == NODE_OUT)
        return;
    switch (deed) {
    case DEED_ASK:
        ask(n);
        break;
    case DEED_ASK_LEADER:
        ask(node_leader(s));
        break;
    case DEED_DOWN:
        MARK(s, down_for_long);
        node_crash(n, below(s, 2) == 0, s->p.election_us * 1000 * (8 + below(s, 40)));
        break;
    case DEED_DIE_RECEIVING:
        die_receiving(n);
        break;
    case DEED_LOSE_STATE:
        node_crash(n, below(s, 2) == 0, s->p.election_us * 1000 * (1 + below(s, 8)));
        state_lose(n);
        break;
    case DEED_LOSE_SNAPSHOTS:
        lose_snapshots(n);
        break;
    case DEED_ROT:
        rot(n);
        break;
    case DEED_FULL:
        MARK(s, snap_disk_full);
        n->state.full |= below(s, 2) == 0;
        n->snap.armed = true;
        fake_disk_set_capacity(n->snap.disk, fake_disk_used(n->snap.disk) + 1 + below(s, 2000));
        break;
    case DEED_ROOM_AGAIN:
        for (unsigned i = 0; i < s->p.n_nodes; i++)
            give_room(&s->nodes[i]);
        break;
    case DEED_SYNC_FAILS:
        sync_fails(n);
        break;
    case DEED_CALL_FAILS:
        MARK(s, snap_disk_failed);
        n->snap.armed = true;
        fake_disk_fail_call(n->snap.disk, 1 + below(s, 10), -EIO);
        break;
    case DEED_DAMAGE_STATE:
        damage_state(n);
        break;
    case DEED_STALL:
        n->snap.stalled_until = s->now + s->p.election_us * 1000 * (1 + below(s, 20));
        break;
    case DEED_KINDS:
        break;
    }
}

static void later(struct sim *s)
{
    sim_push_any(s, s->now + s->p.snap_every_ns / 2 + below(s, s->p.snap_every_ns), EV_SNAP, 0, 0,
                 NULL);
}

void snap_init(struct sim *s)
{
    if (snap_is_on(s))
        later(s);
}

void snap_event(struct sim *s, const struct sim_event *e)
{
    if (e->arg != 0) {
        node_crash(&s->nodes[e->arg - 1], false, s->p.election_us * 4000);
        return;
    }
    if (!s->healing) {
        do_deed(s, (enum deed)below(s, DEED_KINDS));
    } else if (s->drained) {
        return;
    } else if (below(s, 4) == 0) {
        ask(whose(s));
    }
    later(s);
}

/* ---- the end of it ---- */

void snap_heal(struct sim_node *n)
{
    struct sim_snap *sn = &n->snap;

    if (sn->disk == NULL)
        return;
    fake_disk_set_capacity(sn->disk, 0);
    fake_disk_fail_sync(sn->disk, 0, FAKE_DISK_SYNC_REVERT);
    fake_disk_fail_call(sn->disk, 0, 0);
    sn->lie_at = 0;
    sn->armed = false;
    sn->stalled_until = 0;
    sn->crash_phase = 0;
}

/* SNAP-17: nothing is written any more that would make another. */
void snap_rot_at_last(struct sim *s)
{
    struct sim_node *n = node_leader(s);
    char name[SNAP_NAME_BYTES];
    size_t size = 0;

    if (n == NULL || n->snap.disk == NULL || n->engine->snap.newest.index == 0 || below(s, 3) != 0)
        return;
    snap_name(name, n->engine->snap.newest);
    if (fake_disk_bytes(n->snap.disk, name, &size) == NULL || size == 0 || !may_lose(n))
        return;
    MARK(s, snap_rotten);
    TRACE(s, "n%u: its snapshot %s rots at last", n->i + 1, name);
    flip(n, name, size);
}

/* What came to nothing is tried again after a pause that no election timeout measures. */
uint64_t snap_patience_ns(const struct sim *s)
{
    if (!snap_is_on(s))
        return 0;
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if (s->nodes[i].state.was_damaged) /* and to be made again twice (FIT-6) */
            return (REBUILD_AGAIN_US + 5 * (uint64_t)SNAP_AGAIN_US) * 1000;
    return 5 * (uint64_t)SNAP_AGAIN_US * 1000;
}

static raft_index raft_base(const struct sim_node *n)
{
    return store_base(n->wal.store).index;
}

bool snap_is_in_doubt(struct sim *s)
{
    const struct sim_node *leader = node_leader(s);

    if (!snap_is_on(s) || !s->has_ghost || leader == NULL || !leader->engine->differ.differs)
        return false;
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        const struct sending *to = &leader->engine->snap.sendings[i];

        if (to->to != 0 && !to->is_open &&
            (to->wants || raft_needs_snapshot(node_raft(leader), to->to)) &&
            (leader->engine->snap.newest.index <= to->above ||
             leader->engine->snap.newest.index < raft_base(leader) ||
             leader->engine->snap.newest.index > engine_agreed_index(leader->engine)))
            return true;
    }
    return false;
}

/* A batch has a segment of its own when it fits no other. */
static uint64_t longest_segment(const struct sim_node *n)
{
    const struct store *store = n->wal.store;
    uint64_t most = n->sim->p.segment_bytes;

    for (uint32_t i = 0; i < store->n_segments; i++)
        most = store->segments[i].used > most ? store->segments[i].used : most;
    return most;
}

const char *snap_long_log(struct sim *s)
{
    static char text[256];

    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        struct sim_node *n = &s->nodes[i];
        struct store_stats st;
        uint64_t most;

        if (n->snap.disk == NULL || n->life != NODE_UP || (s->core >> i & 1) == 0)
            continue;
        store_get_counts(n->wal.store, &st);
        most = n->engine->state.copy_bytes(n);
        if (most < s->p.snap_log_bytes)
            most = s->p.snap_log_bytes;
        if (engine_send_floor(n->engine) !=
            0) /* somebody is away who was being sent one (SNAP-7) */
            most += SNAP_SEND_KEEPS * s->p.snap_keep_bytes;
        most += s->p.snap_keep_bytes + 4 * longest_segment(n) + 2 * s->p.segment_first_bytes;
        if (st.log_bytes > most && !n->engine->differ.differs) {
            (void)snprintf(text, sizeof(text),
                           ", but the log of n%u has %" PRIu64 " bytes, %" PRIu64
                           " at most, begins behind %" PRIu64 " with a snapshot of %" PRIu64,
                           i + 1, st.log_bytes, most, store_base(n->wal.store).index,
                           n->engine->snap.newest.index);
            return text;
        }
    }
    return NULL;
}
