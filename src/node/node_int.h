/* The inside of the daemon, shared by its files. */
#ifndef RIDD_NODE_NODE_INT_H
#define RIDD_NODE_NODE_INT_H

#include <event2/event.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/histogram.h"
#include "base/hold_clock.h"
#include "base/slice.h"
#include "base/vmclock.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "net/client_port.h"
#include "net/peer_net.h"
#include "node/access.h"
#include "node/identity.h"
#include "node/node.h"
#include "node/peer_lines.h"
#include "store/sync_times.h"

/* Of all servers, and of strangers that may become some (PEER-9). */
#define NODE_MET_MAX (RAFT_SERVERS_MAX + PEER_STRANGERS_MAX)

struct node_http;
struct node_room;

/* tls.c: what TLS is done with. */
struct node_tls {
    struct tls_ctx *peers;   /* counted; NULL: it is not spoken with them */
    struct tls_ctx *clients; /* likewise */
    unsigned n_expiries;     /* of both: what status and metrics may show */
    struct tls_expiry expiries[2 * TLS_EXPIRIES_MAX];
    uint64_t look_us; /* when those are looked at the next time */
    struct log_limit failed_limit;
    bool has_seal_key;
    unsigned char seal_key[TLS_SEAL_KEY_BYTES]; /* of sessions, where the cluster has no id */
};

enum node_phase {
    NODE_RUNNING,
    NODE_TRANSFERRING, /* told to stop: leadership is being handed over */
    NODE_DRAINING,     /* what is owed is answered */
    NODE_STOPPED,
};

/* Of a connection of a client, beside its mark. */
struct node_client {
    struct service_conn *service;                /* owned */
    uint64_t prefixed;                           /* of its right, as old as the mark is */
    bool has_token;                              /* it has shown a good one */
    unsigned char token_hash[ACCESS_HASH_BYTES]; /* of the last: it is judged anew by it */
};

struct peer_about {
    raft_node_id id;
    struct wire_about about;
};

struct node {
    const struct conf *conf;      /* borrowed; the file as first read */
    const struct conf_peer *self; /* in conf */
    struct conf *reloaded;        /* owned; after SIGHUP: newer limits and addresses */
    struct identity_dir *dir;
    raft_node_id id; /* of the identity: that of self is the one that a founder of its name has */
    uint64_t incarnation;
    char cluster_hash[WIRE_CLUSTER_HASH_BUF]; /* what clients are shown of the cluster's id */
    bool founded; /* its identity is the founding id; false: an earlier version made it */
    struct engine *engine;
    int durable_fd; /* eventfd of the log thread */
    struct client_port *client_port;
    struct peer_net *peer_net;
    struct event_base *base;
    struct event *durable_event;
    int timer_fd;
    struct event *timer;
    uint64_t timer_us; /* when timer_fd becomes readable, monotonic; 0: it is not armed */
    struct event *signals[4];
    struct memory memory; /* what clients cost */
    size_t memory_peak;   /* since it was last trimmed */
    uint64_t memory_trimmed_us;
    struct arena arena;   /* entries of the frame being decoded */
    struct slice peers;   /* the share of this turn for frames; without a clock until the first */
    struct slice clients; /* likewise for lines */
    uint64_t share_us;
    uint64_t n_frames;      /* of peers, since the start */
    uint64_t n_frames_done; /* those that had their turn */
    uint64_t wire_bytes;    /* of frames, both ways */
    struct {
        struct sync_times took; /* CPU time of this thread, turn by turn */
        uint64_t cpu_us;        /* of this thread, when it was asked for last */
        uint64_t ended_us;      /* when the last turn did, on the monotonic clock */
        unsigned n_short;       /* turns since cpu_us was asked for */
        uint64_t short_us;      /* and how long they took, with the waiting */
        uint64_t until_us;      /* so long the figures below are told again */
        uint64_t p50_us;
        uint64_t p99_us;
        uint64_t p999_us;
        uint64_t max_us;
        uint64_t rss_bytes;
        struct histogram all; /* of their CPU time, since the start */
    } turns;

    struct {
        struct hold_clock hold;
        struct vmclock *vm; /* owned; NULL: there is none */
        uint64_t awake_us;  /* when the loop had to be awake again at the latest */
        bool gap;           /* it was not, by more than a lease stands (LEASE-12) */
        uint64_t n_late;    /* times that it was not, by more than a heartbeat */
    } clocks;

    enum node_phase phase;
    uint64_t stop_deadline_us;
    uint64_t started_us;
    int wal_fd;
    int snap_fd;
    char db_path[PATH_MAX];
    int exit_code;
    struct node_http *http; /* owned; NULL: it is answered nowhere */
    struct node_room *room; /* owned; NULL: no memory, and what it tells is not known */

    enum raft_role shown_role; /* in log lines and STATUS= */
    raft_term shown_term;
    raft_node_id shown_leader;
    uint64_t status_due_us;
    struct {
        raft_index replay_from; /* of the state that is made again: where that began, and ends */
        raft_index replay_to;
        char reloaded[512]; /* what the last reload took */
        uint64_t reloaded_until_us;
        char reload_wrong[700]; /* why a reload was refused, or what of it waits; "": nothing */
    } shown;
    struct {
        uint64_t say_us; /* when systemd is told the next time, and the log */
        uint64_t log_us;
        const char *what; /* it was told of last, and how far that was */
        uint64_t done;
    } starting;
    uint64_t watchdog_us; /* 0: none */
    uint64_t watchdog_due_us;
    struct {
        raft_node_id id; /* 0: free */
        unsigned command_version;
        unsigned peer_version;
    } met[NODE_MET_MAX]; /* what each node said last that it understands */
    struct log_limit refused_limit;
    struct {
        struct access local;          /* in force, on the local socket */
        struct access_remote remote;  /* in force, by addresses */
        uint64_t generation;          /* grows with each change of them; from 1 on */
        struct access_search *search; /* for names; NULL: none is under way */
        struct log_limit denied_limit;
        struct log_limit failed_limit;
        uint64_t n_denied[SERVICE_N_IDENTITIES];
        uint64_t n_auth_failed;
    } access;
    struct node_tls tls;
    struct tls_ctx *joins_tls; /* counted; of peers, for the thread that asks: node_joins_tls() */
    atomic_bool closes;        /* nobody waits for a node that is told that it is added */
    bool peers_full;           /* a peer could not be recorded, and none was since */
    unsigned n_abouts;
    struct peer_about abouts[RAFT_SERVERS_MAX]; /* what peers said when they were let in */
    struct peer_lines peer_lines;
    struct {
        bool began;
        raft_index newest_index; /* of the configurations that the links were last made for */
        raft_term newest_term;
        raft_index committed_index;
        raft_index durable_index; /* 0: not known */
        unsigned n_links;
        raft_node_id links[2 * RAFT_SERVERS_MAX]; /* members that the port was told of */
    } follow;
};

/* ask_peers.c: whether the node may be made. cluster_id becomes first_id where the peers belong to
 * a cluster that an earlier version made. 0 or an exit code; then it has been said why. */
int node_ask_peers(const struct conf *conf, struct tls_ctx *tls, const unsigned char first_id[16],
                   unsigned char cluster_id[16]);

/* admit.c, as peer_net_ops.on_hello. Ends the process when it cannot be recorded who came, unless
 * it is for want of room. */
enum wire_refusal node_admit(void *ctx, const struct wire_hello *h, struct peer_asked *asked);
/* What of it the configurations decide. server: of that id; NULL: they have none. leads: and has
 * committed an entry of its term. */
enum wire_refusal node_judge(const struct raft_server *server,
                             const struct raft_configuration *committed, bool leads,
                             uint64_t own_incarnation, const struct wire_hello *h,
                             struct peer_asked *asked);
/* Whether there is a founder in c whose incarnation this node has not been told by anybody. */
bool node_lacks_a_founder(const struct raft_configuration *c, raft_node_id self,
                          const struct identity_dir *dir);

/* tls.c: what a file says of TLS between nodes. *ret: NULL, if that is nothing; of the caller. 0 or
 * -errno with err_text(). */
int node_peer_tls(const struct conf *conf, struct tls_ctx **ret);
/* peer_tls.c: n->tls.peers is what links are made with from now on, also the first. 0 or -errno
 * with err_text(). */
int node_peers_take_tls(struct node *n);
void node_peers_drop_tls(struct node *n);
/* The same for a question to a node that is to join: counted, of the caller; NULL: plain. Any
 * thread. */
struct tls_ctx *node_joins_tls(const struct node *n);

/* join.c, as peer_net_ops.on_join: a leader that lost the answer asks the node again, which runs by
 * now. */
void node_on_join(void *ctx, const struct wire_join *j, struct wire_join_reply *ret);

/* init.c: the log of a new node, which begins with this CONFIG entry, in the directory that is
 * being made. 0; otherwise with err_text(). */
int node_make_log(const struct conf *conf, const struct identity_dir *dir, const void *config,
                  size_t len);

/* admit.c, as engine_ops.command_version. */
unsigned node_command_version(void *ctx, raft_node_id id);
/* As engine_ops.peer_version. */
unsigned node_peer_version(void *ctx, raft_node_id id);
/* What both of them say from then on, whether or not the link lasts. */
void node_note_met(struct node *n, const struct wire_hello *h);
/* It has left. */
void node_forget_met(struct node *n, raft_node_id id);
void node_forget_about(struct node *n, raft_node_id id);

/* about.c: what the hello says of this node, what theirs said, and what status tells of both. */
void node_about(const struct conf *conf, struct wire_about *ret);
void node_about_in_force(const struct node *n, struct wire_about *ret);
void node_heard_about(struct node *n, const struct wire_hello *h);
void node_warn_differences(struct node *n, raft_node_id peer);
void node_about_status(struct node *n, struct wire_reply *w);

/* starting.c: until it is ready, on the thread that opens. */
void node_starting_begin(struct node *n);
void node_starting_end(void);
/* 100 only where nothing is left. */
unsigned node_percent(uint64_t done, uint64_t total);

/* events.c: what happened, as log lines. */
void node_peer_event(void *ctx, enum peer_event event, raft_node_id peer, const char *address,
                     const char *text);
/* As client_port_ops.on_handshake_failed. */
void node_client_tls_failed(void *ctx, const char *address, const char *why);
void node_dump_state(struct node *n);
/* show.c: STATUS= and the fixed keys of log lines follow role, term and leader. */
void node_show(struct node *n, bool force);

/* clocks.c: hold_clock and vmclock; what the engine asks of them. */
void node_clocks_begin(struct node *n);
void node_clocks_end(struct node *n);
uint64_t node_suspended_us(void *ctx);
bool node_disrupted(void *ctx);
/* The loop is awake at now_us, and had to be so at awake_us at the latest. */
void node_look_for_gap(struct node *n, uint64_t awake_us, uint64_t now_us);

/* room.c: free bytes of a directory's file system and all of them, as df counts them, of some
 * seconds ago (ROOM_LOOK_US) and without waiting. False: not known yet, or whoever is asked hangs.
 * Any thread. NULL: no memory; of it nothing is known. */
struct node_room *node_room_new(const char *dir);
/* Once per turn of the loop: it is asked again when it is time. */
void node_room_turn(struct node_room *r, uint64_t now_us);
bool node_room_get(struct node_room *r, uint64_t *ret_free, uint64_t *ret_all);
void node_room_free(struct node_room *r);

/* http.c: what is shown by HTTP, from before the log is read until the state is closed. 0, also
 * where none is wanted, or -errno with err_text(). */
int node_http_begin(struct node *n);
/* The loop is there, and answers from its next turn on. 0 or -ENOMEM. */
int node_http_serve(struct node *n);
/* Once per turn: the loop lives. */
void node_http_turned(struct node *n, uint64_t now_us);
/* After a reload: what [access] and [security] say now. */
void node_http_again(struct node *n);
/* No turn follows. */
void node_http_leave(struct node *n);
void node_http_end(struct node *n);
/* glue.c: what the kernel counts as resident memory. */
uint64_t node_rss_bytes(void);

/* memory.c: whether there can be enough (0 or -ENOMEM with err_text()); before the engine is made,
 * and once per turn. */
int node_memory_check(const struct conf *conf);
void node_memory_begin(struct node *n);
void node_memory_turn(struct node *n, uint64_t now_us);

/* disks.c: once, when the folders are open. */
void node_warn_disks(const struct node *n);

/* Of the file in force. */
void node_snapshots_conf(const struct conf *conf, struct engine_snapshots_conf *ret);

/* follow.c: the peers and the cluster's id of peer_net are those of the configuration; looked at
 * once per turn. _now(): also where no other one came, since addresses may have changed: 0, or
 * -errno with err_text() of the last that could not be added. */
void node_follow_configuration(struct node *n);
int node_follow_now(struct node *n);
/* Borrowed until the core's next call. */
const struct raft_config_at *node_committed_configuration(const struct node *n);
/* Of the configuration in force, or else of the committed one; NULL: it is no member. */
const struct raft_server *node_server(const struct node *n, raft_node_id id);
/* node.c: a peer has proved that we are no member since that index. */
void node_was_removed(struct node *n, raft_node_id told_by, const char *index);
/* One line with err_text(); returns the exit code. */
int node_fail(const char *event, int exit_code);

/* founders.c: 0, or an exit code; then it has been said why. When the log is open. */
int node_check_founders(const struct node *n);
/* Says where the file that is in force and the configuration do not name the same members. */
void node_compare_members(const struct node *n);
/* Whether the next start would take that file. */
bool node_same_cluster(const struct node *n, const struct conf *fresh);

/* reload.c: SIGHUP, as a callback of libevent; arg is the node. */
void node_on_reload(evutil_socket_t fd, short what, void *arg);
/* What is allowed and unwise in the length of leases. */
void node_warn_lease(const struct conf *conf);
void node_warn_open(const struct conf *conf);

/* admit_local.c: what [access] says is in force, and the local socket is open, if the file names
 * one; 0 or -errno with err_text(). */
int node_access_begin(struct node *n);
/* The file in force is another one: what it says of addresses counts at once, its names are found
 * anew, and taken by a later turn. */
void node_access_again(struct node *n);
void node_access_turn(struct node *n);
void node_access_end(struct node *n);

/* admit_client.c: who a client is and what it may do; as engine_ops. */
enum service_role node_client_role(void *ctx, void *conn);
unsigned node_client_grants(void *ctx, void *conn, struct service_grant ret[CONF_GRANTS_MAX]);
void node_client_denied(void *ctx, void *conn, const struct service_denial *denial, char *ret_who,
                        size_t size);
void node_client_admin(void *ctx, void *conn, const struct wire_request *q);
/* The seal of session `client`, by the id of the cluster, for whoever this connection is. */
bool node_seal(const struct node *n, struct client_conn *c,
               const unsigned char key[TLS_SEAL_KEY_BYTES], uint64_t client, uint64_t *ret);
int node_client_auth(void *ctx, void *conn, struct wire_slice token, struct service_who *ret);
/* Fields of `clients` of status. */
void node_access_status(const struct node *n, struct wire_reply *w);
/* What an admin's request names, for a line of the log: "id=n4 old=n2". */
void node_request_words(const struct wire_request *q, char *ret, size_t size);

/* tls.c: reads the files of [security]. 0 or -errno with err_text(). */
int node_tls_begin(struct node *n);
/* The same of a file that is to be in force: all of it is taken, or nothing is, and then it has
 * been said why: -errno with err_text(). The ports are to be told of what is new by the caller. */
int node_tls_again(struct node *n, const struct conf *fresh);
/* Once per turn. */
void node_tls_turn(struct node *n, uint64_t now_us);
/* tls_status.c: the object "security" of status, and sentences for its list of warnings. */
void node_tls_status(const struct node *n, struct wire_reply *w);
void node_tls_warnings(const struct node *n, struct wire_reply *w);
void node_tls_end(struct node *n);
/* For --check-config. False: something is wrong, and it has been said on standard error. */
bool node_tls_check(const struct conf *conf);

/* glue.c: tables of functions between the modules. */
void node_fill_engine_ops(struct node *n, struct engine_ops *ops);
void node_fill_client_ops(struct node *n, struct client_port_ops *ops);
void node_fill_peer_ops(struct node *n, struct peer_net_ops *ops);
void node_client_conf(struct node *n, struct client_port_conf *ret);
bool node_serves_stranger(enum raft_msg_type type);
/* The configuration in force: the file as it was last read without a problem. */
static inline const struct conf *node_conf(const struct node *n)
{
    return n->reloaded != NULL ? n->reloaded : n->conf;
}
/* Where a node is reached: what the log says once the cluster has an id, before that the file.
 * NULL: unknown. */
const char *node_client_addr(void *ctx, raft_node_id id);
const char *node_peer_addr(void *ctx, raft_node_id id);

#endif
