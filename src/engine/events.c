/* What a node tells its operator about itself, and how it ends. The name of each event is stable
 * and listed in base/event_names.h. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/exit_codes.h"
#include "engine/engine_int.h"

#include "base/banned.h"

const char *engine_name_of(const struct engine *e, raft_node_id id)
{
    const struct raft_configuration *c = NULL;
    const struct raft_server *server = NULL;
    const struct raft_removed *removed = NULL;

    if (id == 0)
        return "none";
    if (e->replica != NULL) {
        c = raft_get_configuration(replica_raft(e->replica));
        server = raft_configuration_get(c, id);
        removed = raft_configuration_removed(c, id);
    }
    if (server != NULL)
        return server->name;
    return removed != NULL ? removed->name : "?";
}

static void log_invalid(struct engine *e, const char *peer, const char *text)
{
    uint64_t suppressed;

    if (log_limit_ok(&e->invalid_limit, engine_now_us(e), &suppressed))
        log_event(LOG_WARNING, "message_refused", "peer=%s why='%s' suppressed=%llu action=%s",
                  peer, text, (unsigned long long)suppressed, e->ops.invalid_action);
}

/* TERM-4: by name and terms, because nobody but an operator can tell a stranger that invents terms
 * from a node that was away. ERROR where it met a group that has a leader: no correct node can be
 * so far above it. */
static void log_term_far(struct engine *e, const char *peer, const struct raft_trace *t)
{
    uint64_t suppressed;

    if (log_limit_ok(&e->term_limit, engine_now_us(e), &suppressed))
        log_event(t->event == RAFT_TRACE_TERM_REFUSED ? LOG_ERROR : LOG_WARNING, "term_far_above",
                  "peer=%s told_term=%llu own_term=%llu suppressed=%llu action=%s", peer,
                  (unsigned long long)t->heard_term, (unsigned long long)t->term,
                  (unsigned long long)suppressed,
                  t->event == RAFT_TRACE_TERM_REFUSED ? "drop" : "drop_and_climb");
}

/* TERM-3: long before the last one. Nothing gives terms back, so an operator needs the time. */
static void log_terms_left(struct engine *e, raft_term term)
{
    uint64_t suppressed;

    if (RAFT_INDEX_MAX - term < RAFT_TERMS_LEFT_FEW &&
        log_limit_ok(&e->terms_left_limit, engine_now_us(e), &suppressed))
        log_event(LOG_ERROR, "terms_run_out",
                  "term=%llu left=%llu action='find out who sent such terms'",
                  (unsigned long long)term, (unsigned long long)(RAFT_INDEX_MAX - term));
}

static void log_trace(struct engine *e, const struct raft_trace *t)
{
    const char *peer = engine_name_of(e, t->peer);
    const char *text = t->text != NULL ? t->text : "";

    switch (t->event) {
    case RAFT_TRACE_ROLE:
        log_set_role(raft_role_name(t->role), t->term);
        log_event(t->role == RAFT_PRE_CANDIDATE ? LOG_DEBUG : LOG_INFO, "role_changed", "why='%s'",
                  text);
        log_terms_left(e, t->term);
        break;
    case RAFT_TRACE_LEADER:
        log_set_role(raft_role_name(t->role), t->term);
        log_event(LOG_INFO, "leader_changed", "leader=%s", peer);
        break;
    case RAFT_TRACE_GONE:
        log_event(LOG_INFO, "leader_gone", "peer=%s action=%s", peer, text);
        break;
    case RAFT_TRACE_VOTE_GRANTED:
        log_event(LOG_DEBUG, "vote_granted", "peer=%s kind='%s'", peer, text);
        break;
    case RAFT_TRACE_VOTE_REFUSED:
        log_event(LOG_DEBUG, "vote_refused", "peer=%s why='%s'", peer, text);
        break;
    case RAFT_TRACE_TRUNCATED:
        log_event(LOG_INFO, "log_truncated", "from_index=%llu", (unsigned long long)t->index);
        break;
    case RAFT_TRACE_CONFIGURATION:
        log_event(LOG_INFO, "configuration", "index=%llu", (unsigned long long)t->index);
        break;
    case RAFT_TRACE_TRANSFER:
        log_event(LOG_INFO, "leader_transfer", "to=%s state=%s", peer, text);
        break;
    case RAFT_TRACE_PROBE:
        log_event(LOG_DEBUG, "follower_probed", "peer=%s next_index=%llu", peer,
                  (unsigned long long)t->index);
        break;
    case RAFT_TRACE_COMPACTED:
        log_event(LOG_INFO, "follower_too_far_behind",
                  "peer=%s next_index=%llu action=send_snapshot", peer,
                  (unsigned long long)t->index);
        break;
    case RAFT_TRACE_INSTALL:
        log_event(LOG_INFO, "snapshot_installed", "from=%s index=%llu what='%s'", peer,
                  (unsigned long long)t->index, text);
        break;
    case RAFT_TRACE_INVALID:
        log_invalid(e, peer, text);
        break;
    case RAFT_TRACE_TERM_REFUSED:
    case RAFT_TRACE_TERM_CLIMB:
        log_term_far(e, peer, t);
        break;
    case RAFT_TRACE_COMMIT:
    case RAFT_TRACE_ROUND:
        break; /* many a second; status counts them */
    }
}

void engine_trace(void *ctx, const struct raft_trace *t)
{
    struct engine *e = ctx;

    engine_seen_trace(e, t);
    if (e->ops.trace != NULL)
        e->ops.trace(e->ops.ctx, t);
    else
        log_trace(e, t);
}

/* ---- the end ---- */

/* What does not check in the log is damage, and a damaged state that cannot be made again here is
 * at the next start (FIT-7); what a later version wrote is there for ever, and only another
 * program can go on (STATE-10); everything else is the environment's failure, and may be gone at
 * the next start. */
static int exit_code_of(int error)
{
    if (error == KV_E_COMMAND_NEWER)
        return EXIT_CONF_ERROR;
    return error == -EBADMSG ? EXIT_DAMAGED : EXIT_IO_ERROR;
}

static const char *error_text(int error)
{
    if (error < 0)
        return strerror(-error);
    return kv_error_text(error);
}

int engine_log_end(int error, const char *what)
{
    const char *text = err_text_for(error);

    log_event(LOG_ERROR, "fatal", "what='%s' error=\"%s\" detail=\"%s\" path='%s' action=exit_%d",
              what, error_text(error), text, err_path_for(error), exit_code_of(error));
    log_flush(); /* the caller ends the process */
    return exit_code_of(error);
}

void engine_fatal(void *ctx, int error, const char *what)
{
    struct engine *e = ctx;
    struct engine_end end = {.exit_code = exit_code_of(error), .error = error, .what = what};

    if (engine_logs(e))
        (void)engine_log_end(error, what);
    e->ops.end(e->ops.ctx, &end);
}

/* DISK-13: a failed write or sync is final, and never damage: what is on the disk is not known any
 * more, so nothing is believed, nothing tried again (a second fsync may say that all is well when
 * it is not). */
void engine_log_failed(void *ctx, int error)
{
    struct engine *e = ctx;
    struct engine_end end = {
        .exit_code = EXIT_IO_ERROR, .error = error, .what = "cannot write the log"};

    if (engine_logs(e))
        log_event(LOG_ERROR, "log_failed", "error=\"%s\" detail=\"%s\" action=exit_%d",
                  error < 0 ? strerror(-error) : store_error_text(error), err_text_for(error),
                  end.exit_code);
    e->ops.end(e->ops.ctx, &end);
}
