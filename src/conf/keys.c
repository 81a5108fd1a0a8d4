/* The table of keys. A new key is one line here, one field in struct conf, one paragraph in
 * man/ridd.conf.5 and one line in conf/ridd.conf: tests/unit/test-conf.c holds the last against
 * this table. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "conf/conf_int.h"

#include "base/banned.h"

const char *const conf_section_names[CONF_N_SECTIONS] = {
    [CONF_CLUSTER] = "cluster", [CONF_PEERS] = "peers", [CONF_SECURITY] = "security",
    [CONF_NODE] = "node",       [CONF_RAFT] = "raft",   [CONF_READS] = "reads",
    [CONF_LIMITS] = "limits",   [CONF_LOG] = "log",     [CONF_STATE] = "state",
    [CONF_ACCESS] = "access",   [CONF_HTTP] = "http",
};

/* LMDB and the log count in pages. */
#define PAGE_BYTES 4096u

#define AT(field) offsetof(struct conf, field)

const struct conf_key conf_keys[CONF_N_KEYS] = {
    {CONF_CLUSTER, "name", CONF_KIND_NAME, AT(cluster_name), 0, 0, 0, 0},
    {CONF_SECURITY, "secret_file", CONF_KIND_FILE, AT(security.secret_file), 0, 0, 0, 0},
    {CONF_SECURITY, "peer_cert", CONF_KIND_FILE, AT(security.peer_cert), 0, 0, 0, 0},
    {CONF_SECURITY, "peer_key", CONF_KIND_FILE, AT(security.peer_key), 0, 0, 0, 0},
    {CONF_SECURITY, "peer_ca", CONF_KIND_FILE, AT(security.peer_ca), 0, 0, 0, 0},
    {CONF_SECURITY, "client_cert", CONF_KIND_FILE, AT(security.client_cert), 0, 0, 0, 0},
    {CONF_SECURITY, "client_key", CONF_KIND_FILE, AT(security.client_key), 0, 0, 0, 0},
    {CONF_SECURITY, "client_ca", CONF_KIND_FILE, AT(security.client_ca), 0, 0, 0, 0},
    {CONF_SECURITY, "insecure", CONF_KIND_YES, AT(security.insecure), 0, 0, 0, 0},
    {CONF_NODE, "id", CONF_KIND_SELF, 0, 0, 0, 0, 0},
    {CONF_NODE, "data_dir", CONF_KIND_DIR, AT(data_dir), 0, 0, 0, 0},
    {CONF_NODE, "client", CONF_KIND_SOCKET, AT(client_socket), 0, 0, 0, 0},
    {CONF_NODE, "listen", CONF_KIND_LISTEN, AT(listen), 0, 0, 0, 0},
    {CONF_NODE, "map_size", CONF_KIND_SIZE, AT(map_size_bytes), CONF_MAP_BYTES_DEFAULT,
     CONF_MAP_BYTES_MIN, CONF_MAP_BYTES_MAX, PAGE_BYTES},
    {CONF_NODE, "log_level", CONF_KIND_LEVEL, AT(log_level), LOG_INFO, LOG_ERROR, LOG_DEBUG, 0},
    {CONF_RAFT, "heartbeat_ms", CONF_KIND_MS, AT(heartbeat_us), RAFT_HEARTBEAT_US_DEFAULT / 1000,
     CONF_HEARTBEAT_MS_MIN, CONF_HEARTBEAT_MS_MAX, 0},
    {CONF_RAFT, "election_ms", CONF_KIND_MS, AT(election_us), RAFT_ELECTION_US_DEFAULT / 1000,
     CONF_ELECTION_MS_MIN, CONF_ELECTION_MS_MAX, 0},
    {CONF_RAFT, "fast_failover", CONF_KIND_UNSIGNED, AT(fast_failover), 1, 0, 1, 0},
    {CONF_READS, "rounds", CONF_KIND_UNSIGNED, AT(rounds_max), RAFT_ROUNDS_MAX, 1, CONF_ROUNDS_MAX,
     0},
    {CONF_READS, "lease_ms", CONF_KIND_MS, AT(lease_us), 0, 0, RAFT_LEASE_US_MAX / 1000, 0},
    {CONF_LIMITS, "request_bytes", CONF_KIND_SIZE, AT(request_bytes), REQUEST_BYTES_DEFAULT,
     REQUEST_BYTES_MIN, REQUEST_BYTES_MAX, 0},
    {CONF_LIMITS, "in_flight", CONF_KIND_UNSIGNED, AT(in_flight), CLIENT_IN_FLIGHT_DEFAULT, 1,
     CLIENT_IN_FLIGHT_MAX, 0},
    {CONF_LIMITS, "connections", CONF_KIND_UNSIGNED, AT(connections), CLIENT_CONNECTIONS_DEFAULT, 1,
     CLIENT_CONNECTIONS_MAX, 0},
    {CONF_LIMITS, "connections_per_address", CONF_KIND_UNSIGNED, AT(connections_per_address), 0, 0,
     CLIENT_CONNECTIONS_MAX, 0},
    {CONF_LIMITS, "memory", CONF_KIND_SIZE, AT(memory_bytes), MEMORY_BYTES_DEFAULT,
     MEMORY_BYTES_MIN, MEMORY_BYTES_MAX, 0},
    {CONF_LOG, "segment_size", CONF_KIND_SIZE, AT(segment_bytes), STORE_SEGMENT_BYTES,
     STORE_SEGMENT_BYTES_MIN, STORE_SEGMENT_BYTES_MAX, PAGE_BYTES},
    {CONF_LOG, "snapshot_bytes", CONF_KIND_SIZE, AT(snapshot_bytes), SNAP_LOG_BYTES_DEFAULT,
     SNAP_LOG_BYTES_MIN, SNAP_LOG_BYTES_MAX, 0},
    {CONF_LOG, "keep_bytes", CONF_KIND_SIZE, AT(keep_bytes), SNAP_KEEP_BYTES_DEFAULT, 0,
     SNAP_LOG_BYTES_MAX, 0},
    {CONF_LOG, "snapshot_mib_per_s", CONF_KIND_UNSIGNED, AT(snapshot_mib), SNAP_MIB_PER_S_DEFAULT,
     0, SNAP_MIB_PER_S_MAX, 0},
    {CONF_STATE, "scrub", CONF_KIND_UNSIGNED, AT(scrub_mib), CONF_SCRUB_MIB_DEFAULT, 0,
     CONF_SCRUB_MIB_MAX, 0},
    {CONF_HTTP, "address", CONF_KIND_ADDRESS, AT(http_addr), 0, 0, 0, 0},
    {CONF_HTTP, "hosts", CONF_KIND_HOSTS, AT(http_hosts), 0, 0, 0, 0},
    {CONF_ACCESS, "unix_read", CONF_KIND_WHO, AT(unix_read), 0, 0, 0, 0},
    {CONF_ACCESS, "unix_write", CONF_KIND_WHO, AT(unix_write), 0, 0, 0, 0},
    {CONF_ACCESS, "unix_admin", CONF_KIND_WHO, AT(unix_admin), 0, 0, 0, 0},
};

void conf_number_set(struct conf *c, const struct conf_key *k, uint64_t value)
{
    char *at = (char *)c + k->offset;

    rid_assert(k->min <= value && value <= k->max);
    switch (k->kind) {
    case CONF_KIND_LEVEL: {
        enum log_level level = (enum log_level)value;

        memcpy(at, &level, sizeof(level));
        break;
    }
    case CONF_KIND_UNSIGNED: {
        unsigned n = (unsigned)value;

        memcpy(at, &n, sizeof(n));
        break;
    }
    case CONF_KIND_MS: {
        uint64_t us = value * 1000;

        memcpy(at, &us, sizeof(us));
        break;
    }
    case CONF_KIND_SIZE: {
        size_t n = (size_t)value;

        memcpy(at, &n, sizeof(n));
        break;
    }
    case CONF_KIND_NAME:
    case CONF_KIND_SELF:
    case CONF_KIND_DIR:
    case CONF_KIND_ADDRESS:
    case CONF_KIND_HOSTS:
    case CONF_KIND_SOCKET:
    case CONF_KIND_WHO:
    case CONF_KIND_FILE:
    case CONF_KIND_YES:
    case CONF_KIND_LISTEN:
        rid_assert(false);
    }
}

uint64_t conf_number_get(const struct conf *c, const struct conf_key *k)
{
    const char *at = (const char *)c + k->offset;

    switch (k->kind) {
    case CONF_KIND_LEVEL: {
        enum log_level level;

        memcpy(&level, at, sizeof(level));
        return (uint64_t)level;
    }
    case CONF_KIND_UNSIGNED: {
        unsigned n;

        memcpy(&n, at, sizeof(n));
        return n;
    }
    case CONF_KIND_MS: {
        uint64_t us;

        memcpy(&us, at, sizeof(us));
        return us / 1000;
    }
    case CONF_KIND_SIZE: {
        size_t n;

        memcpy(&n, at, sizeof(n));
        return n;
    }
    case CONF_KIND_NAME:
    case CONF_KIND_SELF:
    case CONF_KIND_DIR:
    case CONF_KIND_ADDRESS:
    case CONF_KIND_HOSTS:
    case CONF_KIND_SOCKET:
    case CONF_KIND_WHO:
    case CONF_KIND_FILE:
    case CONF_KIND_YES:
    case CONF_KIND_LISTEN:
        break;
    }
    rid_assert(false);
}

void conf_set_defaults(struct conf *c)
{
    memset(c, 0, sizeof(*c));
    (void)snprintf(c->data_dir, sizeof(c->data_dir), "%s", CONF_DATA_DIR_DEFAULT);
    /* Whom an administrator puts into the daemon's group, as with other daemons. Group ids say
     * nothing by themselves: the daemon's own may be one that everybody has. */
    c->unix_write = (struct conf_who_list){
        .n = 1, .is_default = true, .who = {{.kind = CONF_WHO_GROUP, .name = CONF_GROUP_DEFAULT}}};
    for (size_t i = 0; i < CONF_N_KEYS; i++)
        if (conf_keys[i].max != 0)
            conf_number_set(c, &conf_keys[i], conf_keys[i].value);
}
