/* What a core knows of its own disk: only when a batch went there, and when the disk said that it
 * had done something. From that it tells a slow disk from one that stands still, how long an
 * election needs on it, and how much may wait for it.
 *
 * A disk that moves is not stalled, however long its queue is: what counts is the time without a
 * completion, since the last one or since there was something to do (READ-51). How long is too
 * long follows the disk: an election makes two syncs one after the other, the candidate's and the
 * voters', and each may have to wait for one under way. With a timeout shorter than that every
 * candidate would give up before its votes can be durable, and nobody would ever lead (VOTE-9). */
#include "raft/raft_int.h"

/* The second longest of the last few: one hiccup is no slow disk. */
uint64_t raft_disk_sync_us(const struct raft *r)
{
    const struct disk *d = &r->disk;
    uint64_t longest = 0;
    uint64_t second = 0;

    for (unsigned i = 0; i < d->n_syncs; i++) {
        uint64_t us = d->syncs[i];

        if (us >= longest) {
            second = longest;
            longest = us;
        } else if (us > second) {
            second = us;
        }
    }
    return d->n_syncs == 1 ? longest : second;
}

/* The clock of elections alone: who is heard, and by whom votes are refused, is a question to the
 * network and keeps the configured time (READ-18, READ-19). */
uint64_t raft_disk_patience_us(const struct raft *r)
{
    uint64_t least = r->conf.election_timeout_us;
    uint64_t most = least * RAFT_PATIENCE_MAX;
    uint64_t us = raft_disk_sync_us(r) * RAFT_PATIENCE_SYNCS;

    if (us < least)
        us = least;
    for (unsigned i = 0; i < r->n_late_elections && us < most; i++)
        us *= 2;
    return us < most ? us : most;
}

/* Since when nothing came back although something was to be done. */
static uint64_t waiting_since_us(const struct raft *r)
{
    uint64_t issued_us = mark_ring_at(&r->marks, 0)->issued_us;

    return issued_us > r->disk.moved_us ? issued_us : r->disk.moved_us;
}

uint64_t raft_disk_silent_us(const struct raft *r)
{
    return mark_ring_n(&r->marks) > 0 ? r->now_us - waiting_since_us(r) : 0;
}

bool raft_disk_is_stalled(const struct raft *r)
{
    return raft_disk_silent_us(r) > raft_disk_patience_us(r);
}

void raft_disk_issue(struct raft *r, uint64_t batch, size_t bytes)
{
    struct batch_mark mark = {.batch = batch,
                              .last_index = r->log.last_index,
                              .issued_us = r->now_us,
                              .bytes = bytes,
                              .queued_bytes = r->disk.outstanding_bytes + bytes};
    int rc = mark_ring_push(&r->marks, mark);

    rid_assert(rc == 0); /* out of memory, where nobody can be refused */
    r->disk.outstanding_bytes += bytes;
    r->disk.proposed_bytes = 0;
}

/* What waits for the disk is bounded by what the disk does in the time after which it would count
 * as stalled: what is more would only wait, and be unknown when the leader changes (DISK-30). The
 * bound is found as a sender finds its window: halved at most when the queue took too long, doubled
 * while a queue of at least half of it takes less than half of the time. */
static void fit_window(struct raft *r, const struct batch_mark *m)
{
    struct disk *d = &r->disk;
    uint64_t took_us = r->now_us - m->issued_us;
    uint64_t allowed_us = raft_disk_patience_us(r);
    uint64_t fits;

    if (took_us > allowed_us) {
        fits = (uint64_t)m->queued_bytes * allowed_us / took_us;
        d->window_bytes = fits < d->window_bytes / 2 ? d->window_bytes / 2
                          : fits < d->window_bytes   ? (size_t)fits
                                                     : d->window_bytes;
    } else if (took_us <= allowed_us / 2 && m->queued_bytes >= d->window_bytes / 2) {
        d->window_bytes *= 2;
    }
    if (d->window_bytes < RAFT_DISK_BYTES_MIN)
        d->window_bytes = RAFT_DISK_BYTES_MIN;
    if (d->window_bytes > RAFT_UNCOMMITTED_BYTES_MAX)
        d->window_bytes = RAFT_UNCOMMITTED_BYTES_MAX;
}

/* Something is durable that was not: of the oldest batch a part, or all, or more. */
void raft_disk_moved(struct raft *r)
{
    struct disk *d = &r->disk;
    uint64_t took_us;

    if (mark_ring_n(&r->marks) == 0)
        return;
    took_us = r->now_us - waiting_since_us(r);
    d->moved_us = r->now_us;
    d->handed_over = false;
    if (took_us == 0)
        return; /* one sync that is told in several pieces counts once */
    d->syncs[d->next_sync] = took_us;
    d->next_sync = (d->next_sync + 1) % RAFT_DISK_SYNCS;
    if (d->n_syncs < RAFT_DISK_SYNCS)
        d->n_syncs++;
}

void raft_disk_done(struct raft *r, const struct batch_mark *m)
{
    rid_assert(r->disk.outstanding_bytes >= m->bytes);
    r->disk.outstanding_bytes -= m->bytes;
    fit_window(r, m);
}

bool raft_disk_takes_more(const struct raft *r)
{
    return r->disk.outstanding_bytes + r->disk.proposed_bytes <= r->disk.window_bytes;
}
