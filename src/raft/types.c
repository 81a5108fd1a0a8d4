/* Names for people: log lines, transcripts, dumps. */
#include "raft/types.h"

#include "raft/raft.h"

const char *raft_msg_type_name(enum raft_msg_type type)
{
    switch (type) {
    case RAFT_MSG_PRE_VOTE:
        return "pre_vote";
    case RAFT_MSG_PRE_VOTE_RESP:
        return "pre_vote_resp";
    case RAFT_MSG_VOTE:
        return "vote";
    case RAFT_MSG_VOTE_RESP:
        return "vote_resp";
    case RAFT_MSG_APPEND:
        return "append";
    case RAFT_MSG_APPEND_RESP:
        return "append_resp";
    case RAFT_MSG_HEARTBEAT:
        return "heartbeat";
    case RAFT_MSG_HEARTBEAT_RESP:
        return "heartbeat_resp";
    case RAFT_MSG_TIMEOUT_NOW:
        return "timeout_now";
    case RAFT_MSG_SNAPSHOT:
        return "snapshot";
    case RAFT_MSG_SNAPSHOT_RESP:
        return "snapshot_resp";
    case RAFT_MSG_READ_ASK:
        return "read_ask";
    case RAFT_MSG_READ_ANSWER:
        return "read_answer";
    }
    return "unknown";
}

const char *raft_entry_type_name(enum raft_entry_type type)
{
    switch (type) {
    case RAFT_ENTRY_NOOP:
        return "noop";
    case RAFT_ENTRY_CONFIG:
        return "config";
    case RAFT_ENTRY_COMMAND:
        return "command";
    case RAFT_ENTRY_READ:
        return "read";
    }
    return "unknown";
}

const char *raft_fitness_name(enum raft_fitness fitness)
{
    switch (fitness) {
    case RAFT_FIT:
        return "fit";
    case RAFT_PARKED:
        return "parked";
    case RAFT_UNFIT:
        return "unfit";
    }
    return "unknown";
}

const char *raft_error_text(int rc)
{
    switch ((enum raft_error)rc) {
#define RAFT_ERROR(name, value, text)                                                              \
    case name:                                                                                     \
        return text;
        RAFT_ERRORS(RAFT_ERROR)
#undef RAFT_ERROR
    }
    return "unknown";
}

const char *raft_log_error_text(int rc)
{
    switch ((enum raft_log_error)rc) {
#define RAFT_LOG_ERROR(name, value, text)                                                          \
    case name:                                                                                     \
        return text;
        RAFT_LOG_ERRORS(RAFT_LOG_ERROR)
#undef RAFT_LOG_ERROR
    }
    return "unknown";
}

const char *raft_role_name(enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_PRE_CANDIDATE:
        return "pre_candidate";
    case RAFT_CANDIDATE:
        return "candidate";
    case RAFT_LEADER:
        return "leader";
    }
    return "unknown";
}
