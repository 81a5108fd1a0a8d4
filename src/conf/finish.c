/* What can only be judged when the whole file is read: what is missing, which node this is, and
 * how values stand to each other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "conf/reading_int.h"

#include "base/banned.h"

size_t conf_key_at(enum conf_section section, const char *name)
{
    const struct conf_key *k = conf_find_key(section, name);

    rid_assert(k != NULL);
    return (size_t)(k - conf_keys);
}

static int peer_order(const void *a, const void *b)
{
    const struct conf_peer *p = a;
    const struct conf_peer *q = b;

    return strcmp(p->name, q->name);
}

static void finish_timing(struct reading *rd)
{
    size_t heartbeat = conf_key_at(CONF_RAFT, "heartbeat_ms");
    size_t election = conf_key_at(CONF_RAFT, "election_ms");
    unsigned line =
        rd->key_lines[heartbeat] != 0 ? rd->key_lines[heartbeat] : rd->key_lines[election];

    if (rd->key_bad[heartbeat] || rd->key_bad[election])
        return;
    /* With less than three heartbeats to a timeout one lost message starts elections (VOTE-8). */
    if (rd->c->heartbeat_us > rd->c->election_us / 3)
        conf_problem_add(rd, line, "heartbeat_ms = %llu is more than a third of election_ms = %llu",
                         (unsigned long long)(rd->c->heartbeat_us / 1000),
                         (unsigned long long)(rd->c->election_us / 1000));
}

/* No mistake: it may be meant so. With nodes whose files differ each leader has its own lease,
 * which its messages say. */
bool conf_lease_warning(const struct conf *c, char *ret_text, size_t size)
{
    const unsigned long long lease_ms = c->lease_us / 1000;

    if (lease_ms == 0)
        return false;
    if (c->lease_us > c->election_us) {
        (void)snprintf(ret_text, size,
                       "lease_ms = %llu is more than election_ms = %llu: when the leader fails "
                       "nothing is committed before its lease is over",
                       lease_ms, (unsigned long long)(c->election_us / 1000));
        return true;
    }
    if (c->lease_us < 2 * c->heartbeat_us) {
        (void)snprintf(ret_text, size,
                       "lease_ms = %llu is less than two of heartbeat_ms = %llu: the lease ends "
                       "between two heartbeats",
                       lease_ms, (unsigned long long)(c->heartbeat_us / 1000));
        return true;
    }
    return false;
}

/* A buffer grows by doubling, and lines have a part of the memory only: below this the longest line
 * that is allowed would never find room (CLIENT-13). */
static void finish_memory(struct reading *rd)
{
    const size_t memory = conf_key_at(CONF_LIMITS, "memory");
    const size_t request = conf_key_at(CONF_LIMITS, "request_bytes");
    const unsigned line =
        rd->key_lines[memory] != 0 ? rd->key_lines[memory] : rd->key_lines[request];

    if (rd->key_bad[memory] || rd->key_bad[request])
        return;
    if (rd->c->memory_bytes / CONF_MEMORY_REQUESTS < rd->c->request_bytes)
        conf_problem_add(rd, line, "memory = %zu is less than %u times request_bytes = %zu",
                         rd->c->memory_bytes, CONF_MEMORY_REQUESTS, rd->c->request_bytes);
}

/* Of every node, so that the file is good for all of them or for none. */
static void finish_socket(struct reading *rd)
{
    const struct conf *c = rd->c;
    const size_t key = conf_key_at(CONF_NODE, "client");
    char path[CONF_SOCKET_BYTES_MAX + 1];

    if (c->client_socket[0] == '\0' || rd->key_bad[key])
        return;
    for (unsigned i = 0; i < c->n_peers; i++)
        if (!conf_socket_of(c, c->peers[i].name, path, sizeof(path))) {
            conf_problem_add(rd, rd->key_lines[key],
                             "client for node '%s' is too long: a socket's path has at most %u "
                             "bytes",
                             c->peers[i].name, CONF_SOCKET_BYTES_MAX);
            return;
        }
}

/* Where %i stands in the name of a file. */
static void expand_files(struct reading *rd)
{
    struct conf *c = rd->c;
    char file[TLS_FILE_BYTES_MAX + 1];

    for (size_t i = 0; i < CONF_N_KEYS; i++) {
        const struct conf_key *k = &conf_keys[i];
        char *at = (char *)c + k->offset;
        const char *wrong;

        if (k->kind != CONF_KIND_FILE || *at == '\0')
            continue;
        wrong = conf_expand_file(at, c->self->name, file, sizeof(file));
        if (wrong != NULL)
            conf_problem_add(rd, rd->key_lines[i], "%s for node '%s' %s", k->name, c->self->name,
                             wrong);
        else
            memcpy(at, file, strlen(file) + 1);
    }
}

static void finish_self(struct reading *rd, const char *id, bool need_self)
{
    struct conf *c = rd->c;
    size_t id_key = conf_key_at(CONF_NODE, "id");
    char dir[PATH_MAX];
    char esc[LOG_ESC_BUF];
    char adv[CONF_ADVICE_BUF];
    const char *wrong;
    unsigned line = 0;
    const char *source = "--id";

    if (id == NULL) {
        if (rd->key_bad[id_key])
            return;
        if (rd->id[0] != '\0') {
            id = rd->id;
            line = rd->key_lines[id_key];
            source = "id";
        }
    }
    if (id == NULL) {
        if (need_self)
            conf_problem_add(rd, 0,
                             "which node this is was not said: give --id NAME or 'id' in [node]%s",
                             rd->peers_cut || c->n_peers == 0 ? "" : conf_list_peers(adv, c));
        return;
    }
    for (unsigned i = 0; i < c->n_peers; i++)
        if (strcmp(c->peers[i].name, id) == 0)
            c->self = &c->peers[i];
    if (c->self == NULL) {
        if (need_self && !rd->peers_cut && c->n_peers > 0)
            conf_problem_add(rd, line, "%s %s is not in [peers]%s", source,
                             log_esc(esc, sizeof(esc), id, strlen(id)), conf_list_peers(adv, c));
        return;
    }
    wrong = conf_expand_dir(c->data_dir, c->self->name, dir, sizeof(dir));
    if (wrong != NULL)
        conf_problem_add(rd, rd->key_lines[conf_key_at(CONF_NODE, "data_dir")],
                         "data_dir for node '%s' %s", c->self->name, wrong);
    else
        (void)snprintf(c->data_dir, sizeof(c->data_dir), "%s", dir);
    if (conf_socket_of(c, c->self->name, dir, CONF_SOCKET_BYTES_MAX + 1))
        (void)snprintf(c->client_socket, sizeof(c->client_socket), "%.*s",
                       (int)CONF_SOCKET_BYTES_MAX, dir);
    expand_files(rd);
}

/* One listener per address, as on the lines of [peers]. */
static void finish_http(struct reading *rd)
{
    const struct conf *c = rd->c;
    const unsigned line = rd->key_lines[conf_key_at(CONF_HTTP, "address")];

    for (unsigned i = 0; i < c->n_peers && c->http_addr[0] != '\0'; i++) {
        const struct conf_peer *p = &c->peers[i];

        if (strcmp(p->peer_addr, c->http_addr) == 0 || strcmp(p->client_addr, c->http_addr) == 0)
            conf_problem_add(rd, line, "address '%s' stands twice, first on line %u", c->http_addr,
                             p->line);
    }
}

/* What conf_print() makes of a line must be read back: it has blanks that the file may lack, and
 * addresses in their one spelling (CONF-3). */
static void check_printed(struct reading *rd, unsigned line, const char *text)
{
    if (strlen(text) > CONF_LINE_BYTES_MAX)
        conf_problem_add(rd, line, "line of %zu bytes as it is printed; at most %u are read",
                         strlen(text), CONF_LINE_BYTES_MAX);
}

static void finish_lengths(struct reading *rd)
{
    static const char key[] = "listen = ";
    const struct conf *c = rd->c;
    char peer[CONF_PEER_TEXT];
    char grant[CONF_GRANT_TEXT];
    char listen[sizeof(key) + CONF_LISTEN_TEXT];

    for (unsigned i = 0; i < c->n_peers; i++)
        check_printed(rd, c->peers[i].line, conf_format_peer(&c->peers[i], peer, sizeof(peer)));
    for (unsigned i = 0; i < c->n_grants; i++)
        check_printed(rd, c->grants[i].line,
                      conf_format_grant(&c->grants[i], grant, sizeof(grant)));
    memcpy(listen, key, sizeof(key));
    (void)conf_format_listen(c, listen + strlen(key), CONF_LISTEN_TEXT);
    check_printed(rd, rd->key_lines[conf_key_at(CONF_NODE, "listen")], listen);
}

const char *conf_http_addr(const struct conf *c)
{
    return c->self->http_addr[0] != '\0' ? c->self->http_addr : c->http_addr;
}

enum conf_scheme conf_http_scheme(const struct conf *c)
{
    return c->self->http_addr[0] != '\0' ? c->self->http_scheme : c->http_scheme;
}

void conf_finish(struct reading *rd, const char *id, bool need_self)
{
    struct conf *c = rd->c;

    if (rd->section_lines[CONF_CLUSTER] == 0 && !rd->section_meant[CONF_CLUSTER])
        conf_problem_add(rd, 0,
                         "section [cluster] is missing: it names the cluster ('name = example')");
    else if (rd->section_lines[CONF_CLUSTER] != 0 &&
             rd->key_lines[conf_key_at(CONF_CLUSTER, "name")] == 0)
        conf_problem_add(rd, rd->section_lines[CONF_CLUSTER], "[cluster] has no 'name'");
    if (rd->section_lines[CONF_PEERS] == 0 && !rd->section_meant[CONF_PEERS])
        conf_problem_add(
            rd, 0, "section [peers] is missing: one line per node ('n1 = host:port host:port')");
    else if (rd->section_lines[CONF_PEERS] != 0 && !rd->peers_any)
        conf_problem_add(rd, rd->section_lines[CONF_PEERS], "[peers] names no node");
    if (c->n_peers > 1)
        qsort(c->peers, c->n_peers, sizeof(c->peers[0]), peer_order);
    finish_timing(rd);
    finish_memory(rd);
    finish_http(rd);
    finish_socket(rd);
    conf_finish_listen(rd);
    conf_finish_security(rd);
    finish_lengths(rd);
    finish_self(rd, id, need_self);
}
