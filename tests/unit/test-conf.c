/* conf: which files are refused, with which words; what is accepted reads back equal; the files
 * shipped are right. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/address.h"
#include "base/err.h"
#include "base/prng.h"
#include "conf/conf_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLUSTER "[cluster]\nname = c\n"
#define PEERS   "[peers]\nn1 = a:1 a:2\n"
#define GOOD    CLUSTER PEERS /* 4 lines; more sections start on line 5 */
#define PLAIN   "[security]\ninsecure = yes\n"

#define Z10 "0123456789"
#define Z50 Z10 Z10 Z10 Z10 Z10

/* Hosts have names here, and names are not loopback: a text that is not about [security] is allowed
 * them behind its last line, so that its own lines keep their numbers. */
static const char *allowed(const char *text)
{
    static char with[8192];
    const int n =
        snprintf(with, sizeof(with), "%s%s", text, strstr(text, "[secur") != NULL ? "" : PLAIN);

    assert_true(n > 0 && (size_t)n < sizeof(with));
    return with;
}

static int parse(const char *text, const char *id, bool need_self, struct conf *ret,
                 struct conf_problems *ret_problems)
{
    text = allowed(text);
    return conf_parse("f", text, strlen(text), id, need_self, ret, ret_problems);
}

/* All problems as conf_problems_print() writes them; the caller frees. */
static char *problems_of(const void *data, size_t len, const char *id, bool need_self)
{
    static struct conf c;
    struct conf_problems ps;
    char *text = NULL;
    size_t text_len = 0;
    FILE *f = open_memstream(&text, &text_len);
    int r = conf_parse("f", data, len, id, need_self, &c, &ps);

    assert_non_null(f);
    assert_true(r == (ps.n > 0 ? CONF_E_PROBLEMS : 0));
    conf_problems_print(&ps, "f", f);
    assert_int_equal(fclose(f), 0);
    conf_problems_done(&ps);
    return text;
}

static void expect_n(const void *data, size_t len, const char *problems)
{
    char *text = problems_of(data, len, NULL, false);

    assert_string_equal(text, problems);
    free(text);
}

static void expect(const char *file, const char *problems)
{
    file = allowed(file);
    expect_n(file, strlen(file), problems);
}

static char *printed(const struct conf *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    conf_print(c, f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void assert_security_equal(const struct conf_security *a, const struct conf_security *b)
{
    assert_string_equal(a->secret_file, b->secret_file);
    assert_string_equal(a->peer_cert, b->peer_cert);
    assert_string_equal(a->peer_key, b->peer_key);
    assert_string_equal(a->peer_ca, b->peer_ca);
    assert_string_equal(a->client_cert, b->client_cert);
    assert_string_equal(a->client_key, b->client_key);
    assert_string_equal(a->client_ca, b->client_ca);
    assert_int_equal(a->insecure, b->insecure);
}

static void assert_grant_equal(const struct conf_grant *a, const struct conf_grant *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->role, b->role);
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->who, b->who);
    assert_int_equal(a->has_prefix, b->has_prefix);
    assert_string_equal(a->prefix, b->prefix);
}

static void assert_conf_equal(const struct conf *a, const struct conf *b)
{
    assert_string_equal(a->cluster_name, b->cluster_name);
    assert_int_equal(a->n_peers, b->n_peers);
    for (unsigned i = 0; i < a->n_peers; i++) {
        assert_string_equal(a->peers[i].name, b->peers[i].name);
        assert_true(a->peers[i].id == b->peers[i].id);
        assert_string_equal(a->peers[i].peer_addr, b->peers[i].peer_addr);
        assert_string_equal(a->peers[i].client_addr, b->peers[i].client_addr);
        assert_string_equal(a->peers[i].http_addr, b->peers[i].http_addr);
        assert_int_equal(a->peers[i].client_scheme, b->peers[i].client_scheme);
        assert_int_equal(a->peers[i].http_scheme, b->peers[i].http_scheme);
    }
    assert_security_equal(&a->security, &b->security);
    assert_int_equal(a->n_grants, b->n_grants);
    for (unsigned i = 0; i < a->n_grants; i++)
        assert_grant_equal(&a->grants[i], &b->grants[i]);
    assert_int_equal(a->n_listen, b->n_listen);
    for (unsigned i = 0; i < a->n_listen; i++) {
        assert_string_equal(a->listen[i].addr, b->listen[i].addr);
        assert_int_equal(a->listen[i].scheme, b->listen[i].scheme);
    }
    assert_int_equal(a->http_scheme, b->http_scheme);
    assert_int_equal(a->self != NULL ? a->self - a->peers : -1,
                     b->self != NULL ? b->self - b->peers : -1);
    assert_string_equal(a->data_dir, b->data_dir);
    assert_string_equal(a->http_addr, b->http_addr);
    assert_string_equal(a->http_hosts, b->http_hosts);
    assert_string_equal(a->client_socket, b->client_socket);
    assert_true(conf_who_equal(&a->unix_read, &b->unix_read));
    assert_true(conf_who_equal(&a->unix_write, &b->unix_write));
    assert_true(conf_who_equal(&a->unix_admin, &b->unix_admin));
    assert_int_equal(a->map_size_bytes, b->map_size_bytes);
    assert_int_equal(a->log_level, b->log_level);
    assert_true(a->heartbeat_us == b->heartbeat_us);
    assert_true(a->election_us == b->election_us);
    assert_int_equal(a->rounds_max, b->rounds_max);
    assert_true(a->lease_us == b->lease_us);
    assert_int_equal(a->request_bytes, b->request_bytes);
    assert_int_equal(a->in_flight, b->in_flight);
    assert_int_equal(a->connections, b->connections);
    assert_int_equal(a->connections_per_address, b->connections_per_address);
    assert_int_equal(a->memory_bytes, b->memory_bytes);
    assert_int_equal(a->segment_bytes, b->segment_bytes);
    assert_int_equal(a->scrub_mib, b->scrub_mib);
}

/* ---- what is accepted ---- */

static void conf__defaults_are_those_of_the_manual(void **state)
{
    static struct conf c;
    struct conf_problems ps;

    (void)state;
    assert_int_equal(parse(GOOD, "n1", true, &c, &ps), 0);
    assert_string_equal(c.path, "f");
    assert_string_equal(c.cluster_name, "c");
    assert_int_equal(c.n_peers, 1);
    assert_ptr_equal(c.self, &c.peers[0]);
    assert_true(c.self->id == raft_founder_id("n1"));
    assert_int_equal(c.self->line, 4);
    assert_string_equal(c.self->http_addr, "");
    assert_string_equal(conf_http_addr(&c), "");
    assert_string_equal(c.http_hosts, "");
    assert_string_equal(c.data_dir, "/var/lib/ridd/n1");
    assert_int_equal(c.map_size_bytes, 1u << 30);
    assert_int_equal(c.log_level, LOG_INFO);
    assert_int_equal(c.heartbeat_us, 50000);
    assert_int_equal(c.election_us, 500000);
    assert_int_equal(c.rounds_max, 2);
    assert_true(c.lease_us == 0);
    assert_int_equal(c.request_bytes, 1u << 20);
    assert_int_equal(c.in_flight, 128);
    assert_int_equal(c.connections, 10000);
    assert_int_equal(c.connections_per_address, 0);
    assert_int_equal(c.memory_bytes, 256u << 20);
    assert_int_equal(c.segment_bytes, 64u << 20);
    assert_int_equal(c.scrub_mib, 4);
}

static void conf__every_key_is_read(void **state)
{
    static struct conf c;
    struct conf_problems ps;

    (void)state;
    assert_int_equal(parse("[node]\r\n"
                           "id = n2\r\n"
                           "data_dir = /srv/a b/%i/x/%i ; a comment\r\n"
                           "map_size = 16M\n"
                           "log_level:debug\n"
                           "# comments of any length: " Z50 Z50 Z50 Z50 Z50 "\n"
                           "  ; may be indented\n"
                           "\t\n"
                           "[raft] ; one here\n"
                           "heartbeat_ms = 10\n"
                           "election_ms = 30\n"
                           "[reads] # or here\n"
                           "rounds = 8\n"
                           "lease_ms = 2000\n"
                           "[limits]\n"
                           "request_bytes = 4096\n"
                           "in_flight = 1\n"
                           "connections = 10\n"
                           "connections_per_address = 9\n"
                           "memory = 17M\n"
                           "[log]\n"
                           "segment_size = 1M\n"
                           "[state]\n"
                           "scrub = 0\n"
                           "[http]\n"
                           "address = 127.0.0.1:7402\n"
                           "hosts = Ridd.Example , b\n"
                           "[cluster]\n"
                           "name = x-Y_9\n"
                           "[peers]\n"
                           "n2 = Host.Example:65535\t[FE80:0::1%eth0]:7400 LocalHost:80\n"
                           "n1 = [::1]:1 [::1]:2 [0:0::1]:3\n",
                           NULL, true, &c, &ps),
                     0);
    assert_string_equal(c.data_dir, "/srv/a b/n2/x/n2");
    assert_int_equal(c.map_size_bytes, 16u << 20);
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_int_equal(c.heartbeat_us, 10000);
    assert_int_equal(c.election_us, 30000);
    assert_int_equal(c.rounds_max, 8);
    assert_true(c.lease_us == 2000000);
    assert_int_equal(c.request_bytes, 4096);
    assert_int_equal(c.in_flight, 1);
    assert_int_equal(c.connections, 10);
    assert_int_equal(c.connections_per_address, 9);
    assert_int_equal(c.memory_bytes, 17u << 20);
    assert_int_equal(c.segment_bytes, 1u << 20);
    assert_int_equal(c.scrub_mib, 0);
    assert_string_equal(c.cluster_name, "x-Y_9");
    assert_string_equal(c.peers[0].name, "n1"); /* sorted */
    assert_string_equal(c.peers[0].http_addr, "[::1]:3");
    assert_string_equal(c.peers[1].http_addr, "localhost:80");
    assert_string_equal(c.http_addr, "127.0.0.1:7402");
    assert_string_equal(c.http_hosts, "ridd.example,b");
    assert_string_equal(conf_http_addr(&c), "localhost:80");
    assert_string_equal(c.peers[1].peer_addr, "host.example:65535");
    assert_string_equal(c.peers[1].client_addr, "[fe80::1%eth0]:7400");
    assert_ptr_equal(c.self, &c.peers[1]);
}

/* Line endings and the last newline do not matter. */
static void conf__both_line_endings(void **state)
{
    static const char *const ends[] = {"\r\n", "", "\r"};
    char file[128];

    (void)state;
    expect("[cluster]\r\nname = c\r\n[peers]\r\nn1 = a:1 a:2\r\n", "");
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        (void)snprintf(file, sizeof(file), CLUSTER "[peers]\nn1 = [::1]:1 [::1]:2%s", ends[i]);
        expect_n(file, strlen(file), "");
    }
    expect("[cluster]\nname = c\n[peers]\nn1 = a:1\ra:2\r\n",
           "f:4: control character \\x0d in column 9\n");
    expect("[cluster]\nname = c\r\r\n[peers]\nn1 = a:1 a:2\n",
           "f:1: [cluster] has no 'name'\n"
           "f:2: control character \\x0d in column 9\n");
}

static void conf__which_node_this_is(void **state)
{
    static struct conf c;
    struct conf_problems ps;
    char *text;

    (void)state;
    text = problems_of(GOOD PLAIN, strlen(GOOD PLAIN), NULL, true);
    assert_string_equal(text,
                        "f: which node this is was not said: give --id NAME or 'id' in [node]; "
                        "known: n1\n");
    free(text);
    text = problems_of(GOOD PLAIN, strlen(GOOD PLAIN), "n2", true);
    assert_string_equal(text, "f: --id 'n2' is not in [peers]; known: n1\n");
    free(text);
    text = problems_of(GOOD "[node]\nid = x\n" PLAIN, strlen(GOOD "[node]\nid = x\n" PLAIN), NULL,
                       true);
    assert_string_equal(text, "f:6: id 'x' is not in [peers]; known: n1\n");
    free(text);

    /* The caller's word goes before the file's. */
    assert_int_equal(parse(GOOD "[node]\nid = x\n", "n1", true, &c, &ps), 0);
    assert_string_equal(c.self->name, "n1");
    /* A client needs to be nobody; the directory keeps its %i. */
    assert_int_equal(parse(GOOD "[node]\nid = x\n", NULL, false, &c, &ps), 0);
    assert_null(c.self);
    assert_string_equal(c.data_dir, "/var/lib/ridd/%i");
    assert_int_equal(parse(GOOD "n2 = b:1 b:2\n", "n2", false, &c, &ps), 0);
    assert_string_equal(c.self->name, "n2");
    assert_string_equal(c.data_dir, "/var/lib/ridd/n2");
}

/* ---- what is refused ---- */

#define PLAIN_HTTP                                                                                 \
    "is not of loopback (127.0.0.1, [::1], localhost), and HTTP is answered there by TLS alone, "  \
    "with client_cert in [security]: see [http] in ridd.conf(5)\n"

static const struct {
    const char *file;
    const char *problems;
} refused[] = {
    {"", "f: section [cluster] is missing: it names the cluster ('name = example')\n"
         "f: section [peers] is missing: one line per node ('n1 = host:port host:port')\n"},
    {"[cluster]\n[peers]\n", "f:1: [cluster] has no 'name'\nf:2: [peers] names no node\n"},
    {"[clusters]\nname = c\n" PEERS,
     "f:1: unknown section ['clusters']; did you mean 'cluster'?\n"},
    {GOOD "[PEERS]\nx\n", "f:5: unknown section ['PEERS']; did you mean 'peers'?\n"},
    {GOOD "[tls]\nkey = x\n[log]\nx = 1\n",
     "f:5: unknown section ['tls']; known: cluster, peers, security, node, raft, reads, limits, "
     "log, state, access, http\n"
     "f:8: unknown key 'x' in [log]; known: segment_size, snapshot_bytes, keep_bytes, "
     "snapshot_mib_per_s\n"},
    {GOOD "[http]\nport = 80\n", "f:6: unknown key 'port' in [http]; known: address, hosts\n"},
    {GOOD "[raft]\nheartbeet_ms = 5\nrounds = 1\nNode = 3\n",
     "f:6: unknown key 'heartbeet_ms' in [raft]; did you mean 'heartbeat_ms'?\n"
     "f:7: unknown key 'rounds' in [raft]; it belongs to [reads]\n"
     "f:8: unknown key 'Node' in [raft]; known: heartbeat_ms, election_ms, fast_failover\n"},
    {GOOD "[limits]\ninflight = 5\nconecctions = 7\n",
     "f:6: unknown key 'inflight' in [limits]; did you mean 'in_flight'?\n"
     "f:7: unknown key 'conecctions' in [limits]; did you mean 'connections'?\n"},
    {"name = c\n" GOOD, "f:1: key 'name' stands before the first section header\n"},
    /* inih would take these for something else, or not see them. */
    {GOOD "[node]\nmap_size = 16M\n  log_level = debug\n",
     "f:7: indented line 'log_level = debug'; keys and headers start in the first column\n"},
    {GOOD "\t[node]\n",
     "f:5: indented line '[node]'; keys and headers start in the first column\n"},
    {GOOD "[node] log_level = debug\n", "f:5: text after a section header: 'log_level = debug'\n"},
    {GOOD "[node\nlog_level = debug\n[raft\n",
     "f:5: section header '[node' has no ']'\nf:7: section header '[raft' has no ']'\n"},
    {GOOD "[node]\nlog_level\n= 5\nmap_size ; = 3\n",
     "f:6: 'log_level' is neither 'key = value' nor a section header\n"
     "f:7: no key before '='\n"
     "f:8: 'map_size ; = 3' is neither 'key = value' nor a section header\n"},
    {GOOD "[node]\ndata_dir = /" Z50 Z50 Z50 "0123456789012345678901234567890123\n",
     "f:6: data_dir = '/" Z50
     "0123456789012...' is too long: 180 bytes, the node's name included\n"},
    {GOOD "[node]\ndata_dir = /" Z50 Z50 Z50 "012345678901234567890123456789012345\n",
     "f:6: line of 198 bytes; at most 197 are read\n"},
    {"\xef\xbb\xbf" GOOD, "f:1: a byte order mark before the text; save the file as plain UTF-8\n"},
    {"\xff\xfe[", "f:1: this is UTF-16; save the file as plain UTF-8\n"},
    {GOOD "[node]\nlog_\x1b[31mlevel = info\n\x7f\n",
     "f:6: control character \\x1b in column 5\nf:7: control character \\x7f in column 1\n"},
    /* Twice. */
    {GOOD "[raft]\nelection_ms = 600\n[raft]\nelection_ms = 700\n",
     "f:7: section [raft] stands twice, first on line 5\n"
     "f:8: key 'election_ms' stands twice, first on line 6\n"},
    {GOOD "n1 = b:1 b:2\n", "f:5: peer 'n1' stands twice, first on line 4\n"},
    {GOOD "n2 = b:1 A:2\nn3 = c:1 c:1\nn4 = [::1]:1 [0::1]:2 [::0:1]:1\nn5 = d:1 b:1\n"
          "n6 = localhost:1 localhost:2 localhost:2\nn7 = localhost:4 g:2 [::1]:3\nn8 = "
          "localhost:5 i:2 [::1]:3\n"
          "n9 = j:5 i:3 [::1]:3\n[http]\naddress = localhost:2\n",
     "f:5: address 'a:2' stands twice, first on line 4\n"
     "f:6: address 'c:1' stands twice on this line\n"
     "f:7: address '[::1]:1' stands twice on this line\n"
     "f:8: address 'b:1' stands twice, first on line 5\n"
     "f:9: address 'localhost:2' stands twice on this line\n"
     "f:11: address '[::1]:3' stands twice, first on line 10\n"
     "f:14: address 'localhost:2' stands twice, first on line 9\n"},
    /* HTTP: beyond this host by TLS alone (HTTP-1). */
    {GOOD "n2 = b:1 b:2 10.0.0.1:3\nn3 = c:1 c:2 localhost.example:3\nn4 = d:1 d:2 [::2]:3\n",
     "f:5: '10.0.0.1:3' " PLAIN_HTTP "f:6: 'localhost.example:3' " PLAIN_HTTP
     "f:7: '[::2]:3' " PLAIN_HTTP},
    {GOOD "[http]\naddress = 0.0.0.0:80\n",
     "f:6: address = '0.0.0.0:80' cannot be dialled by others: write the address they reach\n"},
    {GOOD "[http]\naddress = example.org:80\nhosts = a:80\n",
     "f:6: address = 'example.org:80' " PLAIN_HTTP
     "f:7: hosts = 'a:80' is not a list of names: they have A-Z a-z 0-9 . _ -, no port, and ',' "
     "between them\n"},
    {GOOD "[http]\nhosts = a,,b\n", "f:6: hosts = 'a,,b' has a name that is empty\n"},
    {GOOD "[http]\nhosts = a,\n", "f:6: hosts = 'a,' has a name that is empty\n"},
    {GOOD "[http]\nhosts = a b\n", "f:6: hosts = 'a b' is not a list of names: they have A-Z a-z "
                                   "0-9 . _ -, no port, and ',' between them\n"},
    {GOOD "[http]\nhosts = a,b,c,d,e,f,g,h,i\n",
     "f:6: hosts = 'a,b,c,d,e,f,g,h,i' has too many names, or too long ones\n"},
    /* Two names with the same FNV-1a: */
    {CLUSTER "[peers]\n8yn0iYCKYHlIj4-BwPqk = a:1 a:2\nGReLUrM4wMqfg9yzV3KQ = b:1 b:2\n",
     "f:5: peers 'GReLUrM4wMqfg9yzV3KQ' and '8yn0iYCKYHlIj4-BwPqk' (line 4) get the same number "
     "from their names: "
     "rename one\n"},
    /* Names and addresses. */
    {"[cluster]\nname = my cluster\n[peers]\nn.1 = a:1 a:2\n\xc3\xa4 = a:1 a:2\n" Z50 Z10
     "0123 = a:1 a:2\n",
     "f:2: name = 'my cluster': 1 to 63 of A-Z a-z 0-9 _ - are allowed\n"
     "f:4: peer name 'n.1': 1 to 63 of A-Z a-z 0-9 _ - are allowed\n"
     "f:5: peer name '\\xc3\\xa4': 1 to 63 of A-Z a-z 0-9 _ - are allowed\n"
     "f:6: peer name '" Z50 Z10 "0123': 1 to 63 of A-Z a-z 0-9 _ - are allowed\n"},
    {GOOD "n2 =\nn3 = b:1\nn4 = b:1 b:2 b:3 b:4\nn5 = b:1 b:2 # here\n",
     "f:5: peer 'n2' has 0 addresses; give peer and client address, and perhaps one for HTTP\n"
     "f:6: peer 'n3' has 1 address; give peer and client address, and perhaps one for HTTP\n"
     "f:7: peer 'n4' has 4 addresses; give peer and client address, and perhaps one for HTTP\n"
     "f:8: '#' behind a value; there a comment starts with ';'\n"},
    /* ';' without a blank before it belongs to the value. */
    {GOOD "n2 = b:1 b:2;x\nn3 = c:1 c:2 ;x\n",
     "f:5: 'b:2;x' is not an address: host:port or [ipv6]:port, port 1 to 65535\n"},
    {GOOD "n2 = 0.0.0.0:1 [::]:2\nn3 = b ::1:2\n",
     "f:5: '0.0.0.0:1' cannot be dialled by others: write the address they reach\n"
     "f:5: '[::]:2' cannot be dialled by others: write the address they reach\n"
     "f:6: 'b' is not an address: host:port or [ipv6]:port, port 1 to 65535\n"
     "f:6: '::1:2' is not an address: host:port or [ipv6]:port, port 1 to 65535\n"},
    /* Values. */
    {GOOD "[raft]\nheartbeat_ms = 0\nelection_ms = 60001\n[reads]\nrounds = "
          "9\n[limits]\nrequest_bytes = 5M\n"
          "in_flight = -1\nconnections = 10 20\n",
     "f:6: heartbeat_ms = '0' is out of range, 1 to 10000\n"
     "f:7: election_ms = '60001' is out of range, 10 to 60000\n"
     "f:9: rounds = '9' is out of range, 1 to 8\n"
     "f:11: request_bytes = '5M' is out of range, 1K to 4M\n"
     "f:12: in_flight = '-1' is not a number, 1 to 4096\n"
     "f:13: connections = '10 20' is not a number, 1 to 65536\n"},
    {GOOD "[reads]\nlease_ms = 2001\n[raft]\nlease_ms = 3\n",
     "f:6: lease_ms = '2001' is out of range, 0 to 2000\n"
     "f:8: unknown key 'lease_ms' in [raft]; it belongs to [reads]\n"},
    {GOOD "[reads]\nlease_ms = -1\n", "f:6: lease_ms = '-1' is not a number, 0 to 2000\n"},
    {GOOD "[log]\nsegment_size = 99999999999999999999\n[node]\nmap_size = 17179869184G\n",
     "f:6: segment_size = '99999999999999999999' is out of range, 1M to 1G\n"
     "f:8: map_size = '17179869184G' is out of range, 1M to 1024G\n"},
    {GOOD "[log]\nsegment_size = 1048577\n[limits]\nrequest_bytes = 1m\n[reads]\nrounds = 1K\n",
     "f:6: segment_size = '1048577' is not a multiple of 4096\n"
     "f:8: request_bytes = '1m' is not a size: a number and perhaps K, M or G, 1K to 4M\n"
     "f:10: rounds = '1K' is not a number, 1 to 8\n"},
    {GOOD "[raft]\nheartbeat_ms =\nelection_ms = ; nothing\n",
     "f:6: key 'heartbeat_ms' has no value\nf:7: key 'election_ms' has no value\n"},
    {GOOD "[raft]\nheartbeat_ms = 100 # fast\n",
     "f:6: '#' behind a value; there a comment starts with ';'\n"},
    {GOOD "[node]\nlog_level = warn\ndata_dir = lib\n",
     "f:6: log_level = 'warn' is unknown; known: error, warning, info, debug\n"
     "f:7: data_dir = 'lib' is not an absolute path\n"},
    {GOOD "[node]\nlog_level = wraning\ndata_dir = /x/%n\nid = a/b\n",
     "f:6: log_level = 'wraning' is unknown; did you mean 'warning'?\n"
     "f:7: data_dir = '/x/%n' holds a '%' that is not %i, the only one replaced\n"
     "f:8: id = 'a/b': 1 to 63 of A-Z a-z 0-9 _ - are allowed\n"},
    /* Relations. */
    {GOOD "[raft]\nheartbeat_ms = 167\n",
     "f:6: heartbeat_ms = 167 is more than a third of election_ms = 500\n"},
    /* Three heartbeats to an election timeout, or one that is lost starts an election (VOTE-8). */
    {GOOD "[raft]\nelection_ms = 149\n",
     "f:6: heartbeat_ms = 50 is more than a third of election_ms = 149\n"},
    {GOOD "[limits]\nmemory = 31M\nrequest_bytes = 4M\n",
     "f:6: memory = 32505856 is less than 8 times request_bytes = 4194304\n"},
    {GOOD "[limits]\nmemory = 15M\nrequest_bytes = 4M\n",
     "f:6: memory = '15M' is out of range, 16M to 1024G\n"},
    {GOOD "[raft]\nheartbeat_ms = 9999\nelection_ms = x\n",
     "f:7: election_ms = 'x' is not a number, 10 to 60000\n"},
};

static void conf__refused_with_these_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        expect(refused[i].file, refused[i].problems);
}

static void conf__nul_bytes_are_refused(void **state)
{
    static const char file[] = GOOD "[node]\nlog_level = info\0debug\n" PLAIN;

    (void)state;
    expect_n(file, sizeof(file) - 1, "f:6: NUL byte in column 17\n");
}

static void conf__too_many_peers_are_one_problem(void **state)
{
    char file[4096];
    size_t at;

    (void)state;
    at = (size_t)snprintf(file, sizeof(file), CLUSTER "[peers]\n");
    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++)
        at += (size_t)snprintf(file + at, sizeof(file) - at, "n%u = h%u:1 h%u:2\n", i, i, i);
    expect(file, "");
    for (unsigned i = RAFT_SERVERS_MAX; i < RAFT_SERVERS_MAX + 3; i++)
        at += (size_t)snprintf(file + at, sizeof(file) - at, "n%u = h%u:1 h%u:2\n", i, i, i);
    expect(file, "f:20: more than 16 peers\n");
}

static void conf__problems_and_size_are_bounded(void **state)
{
    static char file[CONF_FILE_BYTES_MAX + 1];
    static struct conf c;
    struct conf_problems ps;

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        memcpy(file + 2 * i, "x\n", 2);
    assert_int_equal(conf_parse("f", file, 2000, NULL, false, &c, &ps), CONF_E_PROBLEMS);
    assert_int_equal(ps.n, CONF_PROBLEMS_MAX + 1);
    assert_int_equal(ps.list[CONF_PROBLEMS_MAX - 1].line, CONF_PROBLEMS_MAX);
    assert_int_equal(ps.list[CONF_PROBLEMS_MAX].line, 0);
    assert_string_equal(ps.list[CONF_PROBLEMS_MAX].text, "more problems than the 100 shown");
    conf_problems_done(&ps);

    memset(file, '\n', sizeof(file));
    memcpy(file, GOOD PLAIN, strlen(GOOD PLAIN));
    expect_n(file, CONF_FILE_BYTES_MAX, "");
    expect_n(file, CONF_FILE_BYTES_MAX + 1,
             "f: larger than 256 KiB: this is no configuration file\n");
}

/* The name counts in the length of the directory, so that what is printed fits a line. */
static void conf__data_dir_is_bounded_after_the_name(void **state)
{
    static struct conf c;
    struct conf_problems ps;
    static const char file[] =
        CLUSTER "[peers]\n" Z50 " = a:1 a:2\n[node]\ndata_dir = /" Z50 Z50 Z10 Z10 Z10 "/%i\n";
    static const char fits[] =
        CLUSTER "[peers]\n" Z50 " = a:1 a:2\n[node]\ndata_dir = /" Z50 Z50 Z10 Z10 "01234567/%i\n";

    (void)state;
    assert_int_equal(parse(file, Z50, true, &c, &ps), CONF_E_PROBLEMS);
    assert_int_equal(ps.n, 1);
    assert_int_equal(ps.list[0].line, 6);
    assert_string_equal(ps.list[0].text, "data_dir for node '" Z50
                                         "' is too long: 180 bytes, the node's name included");
    conf_problems_done(&ps);
    assert_int_equal(parse(fits, Z50, true, &c, &ps), 0);
    assert_int_equal(strlen(c.data_dir), CONF_DATA_DIR_BYTES_MAX);
}

/* ---- the local socket ---- */

static void conf__local_socket(void **state)
{
    static struct conf c;
    struct conf_problems ps;
    char path[CONF_SOCKET_BYTES_MAX + 1];

    (void)state;
    assert_int_equal(parse(GOOD "[node]\nclient = unix:/run/ridd/%i.sock\n", "n1", true, &c, &ps),
                     0);
    assert_string_equal(c.client_socket, "/run/ridd/n1.sock");
    assert_int_equal(parse(GOOD "[node]\nclient = unix:/run/ridd/%i.sock\n", NULL, false, &c, &ps),
                     0);
    assert_string_equal(c.client_socket, "/run/ridd/%i.sock");
    assert_true(conf_socket_of(&c, "n7", path, sizeof(path)));
    assert_string_equal(path, "/run/ridd/n7.sock");
    assert_int_equal(parse(GOOD "[node]\nclient = none\n", "n1", true, &c, &ps), 0);
    assert_string_equal(c.client_socket, "");
    assert_false(conf_socket_of(&c, "n1", path, sizeof(path)));
    /* 107 bytes fit, with the longest of the names. */
    assert_int_equal(parse(CLUSTER "[peers]\n" Z50 " = a:1 a:2\nn1 = b:1 b:2\n[node]\n"
                                   "client = unix:/" Z50 "12345/%i\n",
                           NULL, false, &c, &ps),
                     0);
    assert_true(conf_socket_of(&c, Z50, path, sizeof(path)));
    assert_int_equal(strlen(path), 107);
    expect(CLUSTER "[peers]\n" Z50 " = a:1 a:2\nn1 = b:1 b:2\n[node]\n"
                   "client = unix:/" Z50 "123456/%i\n",
           "f:7: client for node '" Z50 "' is too long: a socket's path has at most 107 bytes\n");
    expect(GOOD "[node]\nclient = /run/ridd.sock\n",
           "f:6: client = '/run/ridd.sock' is neither unix:/PATH nor none\n");
    expect(GOOD "[node]\nclient = unix:run/ridd.sock\n",
           "f:6: client = 'unix:run/ridd.sock' is not an absolute path behind unix:\n");
    expect(GOOD "[node]\nclient = unix:/run/%n\n",
           "f:6: client = 'unix:/run/%n' holds a '%' that is not %i, the only one replaced\n");
    expect(GOOD "[node]\nclient = unix:/a,b\n",
           "f:6: client = 'unix:/a,b' holds a blank, a comma or what cannot be printed\n");
    expect(GOOD "[node]\nclient = unix:/a b\n",
           "f:6: client = 'unix:/a b' holds a blank, a comma or what cannot be printed\n");
}

static void conf__access_lists(void **state)
{
    static struct conf c;
    static struct conf d;
    struct conf_problems ps;
    char text[128];

    (void)state;
    assert_int_equal(parse(GOOD, "n1", true, &c, &ps), 0);
    assert_int_equal(c.unix_read.n, 0);
    assert_int_equal(c.unix_admin.n, 0);
    assert_int_equal(c.unix_write.n, 1);
    assert_true(c.unix_write.is_default);
    assert_int_equal(c.unix_write.who[0].kind, CONF_WHO_GROUP);
    assert_string_equal(c.unix_write.who[0].name, "ridd");
    assert_int_equal(parse(GOOD "[access]\nunix_read = user alice , group\tops,any\n"
                                "unix_write = none\nunix_admin = user 1000\n",
                           "n1", true, &d, &ps),
                     0);
    assert_int_equal(d.unix_read.n, 3);
    assert_int_equal(d.unix_read.who[0].kind, CONF_WHO_USER);
    assert_string_equal(d.unix_read.who[0].name, "alice");
    assert_int_equal(d.unix_read.who[1].kind, CONF_WHO_GROUP);
    assert_string_equal(d.unix_read.who[1].name, "ops");
    assert_int_equal(d.unix_read.who[2].kind, CONF_WHO_ANY);
    assert_int_equal(d.unix_write.n, 0);
    assert_false(d.unix_write.is_default);
    assert_string_equal(d.unix_admin.who[0].name, "1000");
    /* All of it is taken at HUP. */
    assert_int_equal(conf_differences(&c, &d, true, text, sizeof(text)), 3);
    assert_string_equal(text, "[access] unix_read, [access] unix_write, [access] unix_admin");
    assert_int_equal(conf_differences(&c, &d, false, text, sizeof(text)), 0);
    expect(GOOD "[access]\nunix_read = alice\n",
           "f:6: unix_read = 'alice' is not a list of 'user NAME', 'group NAME' and 'any', with "
           "commas between, nor 'none'\n");
    expect(
        GOOD "[access]\nunix_read = any,\nunix_write = user\nunix_admin = group a b\n",
        "f:6: unix_read = 'any,' is not a list of 'user NAME', 'group NAME' and 'any', with "
        "commas between, nor 'none'\n"
        "f:7: unix_write = 'user' names nobody: 'user' and 'group' are followed by one name or "
        "number\n"
        "f:8: unix_admin = 'group a b' names nobody: 'user' and 'group' are followed by one name "
        "or number\n");
    expect(GOOD "[access]\nunix_read = any,any,any,any,any,any,any,any,any,any,any,any,any,any,any,"
                "any,any\n",
           "f:6: unix_read = 'any,any,any,any,any,any,any,any,any,any,any,any,any,any,any,any,...' "
           "names more than 16\n");
    expect(GOOD "[access]\nunix_rea = any\n",
           "f:6: unknown key 'unix_rea' in [access]; did you mean 'unix_read'?\n");
}

/* ---- what makes it safe ---- */

#define LOCAL  CLUSTER "[peers]\nn1 = 127.0.0.1:1 [::1]:2\n" /* 4 lines */
#define BEYOND CLUSTER "[peers]\nn1 = 10.0.0.1:1 10.0.0.1:2\n"
#define SECRET "[security]\nsecret_file = /s\n"
#define SERVER "client_cert = /c\nclient_key = /k\n"
#define SAY_HOW                                                                                    \
    " is not of loopback, and [security] does not say how nodes know each other: give "            \
    "secret_file (make one with `ridd --make-secret FILE`), or peer_cert, peer_key and peer_ca, "  \
    "or insecure = yes\n"
#define PEER_CERTS "peer_cert = /c\npeer_key = /k\npeer_ca = /a\n"

struct row {
    const char *file;
    const char *problems;
};

static void expect_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_n(rows[i].file, strlen(rows[i].file), rows[i].problems);
}

/* Beyond loopback a file says how nodes know each other, or that they do not (CONF-1). */
static void conf__peers_beyond_loopback_need_security(void **state)
{
    static const struct row rows[] = {
        {LOCAL, ""},
        {CLUSTER "[peers]\nn1 = LocalHost:1 10.0.0.1:2\nn2 = 127.9.0.1:1 host:2\n"
                 "n3 = [0:0::1]:1 host:3\n",
         ""},
        {BEYOND SECRET, ""},
        {BEYOND "[security]\n" PEER_CERTS, ""},
        {BEYOND PLAIN, ""},
        {LOCAL PLAIN, ""},
        {BEYOND, "f:4: '10.0.0.1:1'" SAY_HOW},
        {BEYOND "[security]\n", "f:4: '10.0.0.1:1'" SAY_HOW},
        {BEYOND "[security]\ninsecure = no\nsecret_file = none\n", "f:4: '10.0.0.1:1'" SAY_HOW},
        /* That of clients says nothing of nodes. */
        {BEYOND "[security]\nclient_cert = /c\nclient_key = /k\n", "f:4: '10.0.0.1:1'" SAY_HOW},
        /* The first of the file, by whatever name; one problem is enough. */
        {CLUSTER "[peers]\nn3 = 127.0.0.1:1 a:2\nn2 = B:1 b:2\nn1 = 10.0.0.1:1 c:2\n",
         "f:5: 'b:1'" SAY_HOW},
        {CLUSTER "[peers]\nn1 = [::1]:1 [::1]:2\nn2 = [fe80::1%eth0]:1 [::1]:3\n",
         "f:5: '[fe80::1%eth0]:1'" SAY_HOW},
        {CLUSTER "[peers]\nn1 = localhost.example.org:1 [::1]:2\n",
         "f:4: 'localhost.example.org:1'" SAY_HOW},
        {CLUSTER "[peers]\nn1 = [::ffff:127.0.0.1]:1 [::1]:2\n",
         "f:4: '[::ffff:127.0.0.1]:1'" SAY_HOW},
        /* A name that is long leaves room for what is to be done. */
        {CLUSTER "[peers]\nn1 = " Z50 Z50 "a:1 [::1]:2\n",
         "f:4: '" Z50 "01234567890123...'" SAY_HOW},
        /* Of what was not understood nobody knows what it says. */
        {BEYOND "[security]\nsecret_file = s\n",
         "f:6: secret_file = 's' is neither an absolute path, nor credential:NAME, nor none\n"},
        {BEYOND "[security]\nsecret_fil = /s\n",
         "f:6: unknown key 'secret_fil' in [security]; did you mean 'secret_file'?\n"},
        {BEYOND "[security]\n secret_file = /s\n",
         "f:6: indented line 'secret_file = /s'; keys and headers start in the first column\n"},
        {BEYOND "[secrity]\nsecret_file = /s\n",
         "f:5: unknown section ['secrity']; did you mean 'security'?\n"},
        /* One of the two lines is a mistake. */
        {BEYOND SECRET "insecure = yes\n",
         "f:7: insecure = yes says that nothing is encrypted, and "
         "secret_file says otherwise\n"},
        {LOCAL "[security]\ninsecure = yes\n" PEER_CERTS,
         "f:6: insecure = yes says that nothing is encrypted, and peer_cert says otherwise\n"},
        {BEYOND "[security]\ninsecure = yes\nclient_cert = /c\nclient_key = /k\n", ""},
        {BEYOND "[security]\ninsecure = 1\n", "f:6: insecure = '1' is neither yes nor no\n"},
        {BEYOND "[security]\ninsecure = Yes\n", "f:6: insecure = 'Yes' is neither yes nor no\n"},
    };

    (void)state;
    expect_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void conf__files_of_security(void **state)
{
    static const struct row rows[] = {
        {LOCAL
         "[security]\nsecret_file = /a b/c\npeer_cert = none\nclient_ca = credential:ca.pem\n",
         ""},
        {LOCAL "[security]\nsecret_file = credential:a/b\npeer_cert = credential:\n"
               "peer_key = credential:..\npeer_ca = Credential:x\nclient_cert = file:/x\n"
               "client_key =\nclient_ca = /a/%n\n",
         "f:6: secret_file = 'credential:a/b' names no file behind credential:, which is one name "
         "without '/'\n"
         "f:7: peer_cert = 'credential:' names no file behind credential:, which is one name "
         "without '/'\n"
         "f:8: peer_key = 'credential:..' names no file behind credential:, which is one name "
         "without '/'\n"
         "f:9: peer_ca = 'Credential:x' is neither an absolute path, nor credential:NAME, nor "
         "none\n"
         "f:10: client_cert = 'file:/x' is neither an absolute path, nor credential:NAME, nor "
         "none\n"
         "f:11: key 'client_key' has no value\n"
         "f:12: client_ca = '/a/%n' holds a '%' that is not %i, the only one replaced\n"},
        {LOCAL "[security]\nsecret_file = " Z50 "abcdefABCDEF01\npeer_key = k " Z50 "\n",
         "f:6: secret_file = '(left out)' is neither an absolute path, nor credential:NAME, nor "
         "none\n"
         "f:7: peer_key = 'k (left out)' is neither an absolute path, nor credential:NAME, nor "
         "none\n"},
        {LOCAL "[security]\nsecret_file = /" Z50 Z50 Z50 "01234567890123456789012345678\n", ""},
        {LOCAL "[security]\nsecret_file = /" Z50 Z50 Z50 "012345678901234567890123456789\n",
         "f:6: secret_file = '/" Z50 "0123456789012...' is too long: 180 bytes, the node's name "
         "included\n"},
        /* What goes together. */
        {LOCAL "[security]\npeer_ca = /a\npeer_key = /k\n",
         "f:7: peer_key without peer_cert: peer_cert, peer_key and peer_ca go together\n"},
        {LOCAL "[security]\npeer_ca = /a\n",
         "f:6: peer_ca without peer_cert: peer_cert, peer_key and peer_ca go together\n"},
        {LOCAL "[security]\npeer_cert = /c\npeer_key = /k\n",
         "f:6: peer_cert without peer_ca: peer_cert, peer_key and peer_ca go together\n"},
        {LOCAL "[security]\npeer_cert = /c\npeer_ca = /k\nsecret_file = /s\n",
         "f:6: peer_cert without peer_key: peer_cert, peer_key and peer_ca go together\n"},
        {LOCAL "[security]\nclient_cert = /c\n",
         "f:6: client_cert without client_key: they go together\n"},
        {LOCAL "[security]\nclient_key = /k\nsecret_file = /s\n",
         "f:6: client_key without client_cert: they go together\n"},
        {LOCAL "[security]\nclient_ca = /a\n" PEER_CERTS,
         "f:6: client_ca without client_cert or secret_file: clients are not spoken with by TLS, "
         "so "
         "none shows a certificate\n"},
        {LOCAL SECRET "client_ca = /a\n", ""},
        {LOCAL "[security]\nclient_ca = /a\nclient_key = /k\nclient_cert = /c\n", ""},
    };
    static struct conf c;
    struct conf_problems ps;
    static const char named[] = CLUSTER "[peers]\n" Z50 " = [::1]:1 [::1]:2\nb = a:1 a:2\n"
                                        "[security]\nsecret_file = /" Z50 Z50 "0123456789/%i/%i/\n";

    (void)state;
    expect_rows(rows, sizeof(rows) / sizeof(rows[0]));
    assert_int_equal(parse(LOCAL "[security]\nsecret_file = credential:s.%i\npeer_cert = /%i/%i\n"
                                 "peer_key = /k\npeer_ca = /a\nclient_cert = none\n",
                           "n1", true, &c, &ps),
                     0);
    assert_string_equal(c.security.secret_file, "credential:s.n1");
    assert_string_equal(c.security.peer_cert, "/n1/n1");
    assert_string_equal(c.security.client_cert, "");
    /* A client is no node: where the name is, is not known. */
    assert_int_equal(parse(LOCAL "[security]\nsecret_file = /%i\n", NULL, false, &c, &ps), 0);
    assert_string_equal(c.security.secret_file, "/%i");
    assert_int_equal(parse(named, "b", true, &c, &ps), 0);
    assert_int_equal(parse(named, Z50, true, &c, &ps), CONF_E_PROBLEMS);
    assert_int_equal(ps.n, 1);
    assert_int_equal(ps.list[0].line, 7);
    assert_string_equal(ps.list[0].text, "secret_file for node '" Z50
                                         "' is too long: 180 bytes, the node's name included");
    conf_problems_done(&ps);
}

/* What is written tls:// is spoken by TLS, or the file is refused (CONF-2). */
static void conf__schemes(void **state)
{
    static const struct row rows[] = {
        {CLUSTER "[peers]\nn1 = [::1]:1 tls://a:2\n",
         "f:4: 'tls://a:2' needs secret_file or client_cert in [security]\n"},
        {CLUSTER "[peers]\nn1 = [::1]:1 a:2 https://[::1]:3\n[security]\n" PEER_CERTS,
         "f:4: 'https://[::1]:3' needs client_cert in [security]\n"},
        {LOCAL "[http]\naddress = https://a:3\n[node]\nlisten = tls://a:4\n",
         "f:6: address = 'https://a:3' needs client_cert in [security]\n"
         "f:8: 'tls://a:4' needs secret_file or client_cert in [security]\n"},
        {CLUSTER "[peers]\nn1 = tcp://a:1 https://a:2 tls://a:3\n",
         "f:4: 'tcp://a:1' has a word before '://': a peer address has none\n"
         "f:4: 'https://a:2' has a word before '://' that is neither tls nor tcp\n"
         "f:4: 'tls://a:3' has a word before '://' that is neither https nor http\n"},
        {CLUSTER "[peers]\nn1 = [::1]:1 TLS://a:2\nn2 = [::1]:2 tls:a:2\nn3 = [::1]:3 tls://\n",
         "f:4: 'TLS://a:2' has a word before '://' that is neither tls nor tcp\n"
         "f:5: 'tls:a:2' is not an address: host:port or [ipv6]:port, port 1 to 65535\n"
         "f:6: 'tls://' is not an address: host:port or [ipv6]:port, port 1 to 65535\n"},
        /* The scheme is no part of the address. */
        {CLUSTER "[peers]\nn1 = [::1]:1 tcp://a:2\nn2 = [::1]:2 a:2\n",
         "f:5: address 'a:2' stands twice, first on line 4\n"},
        /* Plain text to clients is allowed everywhere. */
        {CLUSTER "[peers]\nn1 = [::1]:1 tcp://10.0.0.1:2\n" SECRET, ""},
        /* HTTP beyond loopback is not in plain text (HTTP-1). */
        {CLUSTER "[peers]\nn1 = [::1]:1 a:2 10.0.0.1:3\n" SECRET, "f:4: '10.0.0.1:3' " PLAIN_HTTP},
        {CLUSTER "[peers]\nn1 = [::1]:1 a:2 https://[::1]:3\n" SECRET,
         "f:4: 'https://[::1]:3' needs client_cert in [security]\n"},
        {CLUSTER "[peers]\nn1 = [::1]:1 a:2 [::1]:3\n" SECRET, ""},
        {CLUSTER "[peers]\nn1 = [::1]:1 a:2 https://a:3\n[security]\nclient_cert = /c\n"
                 "client_key = /k\n[http]\naddress = b:3\n",
         ""},
        {CLUSTER "[peers]\nn1 = [::1]:1 a:2 http://a:3\n" SECRET "[http]\naddress = http://b:3\n",
         "f:4: 'a:3' " PLAIN_HTTP "f:8: address = 'b:3' " PLAIN_HTTP},
        {CLUSTER "[peers]\nn1 = [::1]:1 a:2 a:3\n[security]\n" PEER_CERTS,
         "f:4: 'a:3' " PLAIN_HTTP},
        {CLUSTER "[peers]\nn1 = [::1]:1 a:2 http://127.1.2.3:3\n" SECRET, ""},
        {LOCAL "[http]\naddress = tcp://[::1]:3\n",
         "f:6: address = 'tcp://[::1]:3' has a word before '://' that is neither https nor http\n"},
        /* Only a host's own loopback is not that of another. */
        {CLUSTER "[peers]\nn1 = a:1 a:2 c:3\nn2 = b:1 b:2 c:3\n" SECRET SERVER,
         "f:5: address 'c:3' stands twice, first on line 4\n"},
        {CLUSTER "[peers]\nn1 = a:1 a:2 [::1]:3\nn2 = b:1 b:2 [::1]:3\n" SECRET, ""},
    };
    static struct conf c;
    struct conf_problems ps;

    (void)state;
    expect_rows(rows, sizeof(rows) / sizeof(rows[0]));
    assert_int_equal(parse(CLUSTER
                           "[peers]\nn1 = [::1]:1 tls://Host:2 http://[0::1]:3\n"
                           "n2 = [::1]:4 tcp://b:2\nn3 = [::1]:5 c:2 https://c:3\n" SECRET SERVER
                           "[http]\naddress = https://d:4\n",
                           "n2", true, &c, &ps),
                     0);
    assert_string_equal(c.peers[0].client_addr, "host:2");
    assert_int_equal(c.peers[0].client_scheme, CONF_SCHEME_TLS);
    assert_string_equal(c.peers[0].http_addr, "[::1]:3");
    assert_int_equal(c.peers[0].http_scheme, CONF_SCHEME_PLAIN);
    assert_int_equal(c.peers[1].client_scheme, CONF_SCHEME_PLAIN);
    assert_int_equal(c.peers[2].client_scheme, CONF_SCHEME_DEFAULT);
    assert_int_equal(c.peers[2].http_scheme, CONF_SCHEME_TLS);
    /* That of the address that counts. */
    assert_string_equal(conf_http_addr(&c), "d:4");
    assert_int_equal(conf_http_scheme(&c), CONF_SCHEME_TLS);
    c.self = &c.peers[0];
    assert_int_equal(conf_http_scheme(&c), CONF_SCHEME_PLAIN);
}

static void conf__more_addresses_for_clients(void **state)
{
    static const struct row rows[] = {
        {LOCAL "[node]\nlisten = none\n", ""},
        {LOCAL "[node]\nlisten = 0.0.0.0:7400,[::1]:5,a:2,b:2\n", ""},
        {LOCAL "[node]\nlisten = a:1,b:1,c:1,d:1,e:1\n", "f:6: listen has more than 4 addresses\n"},
        {LOCAL "[node]\nlisten = a:1, ,http://b:1,x\n",
         "f:6: listen: '' is not an address: host:port or [ipv6]:port, port 1 to 65535\n"
         "f:6: listen: 'http://b:1' has a word before '://' that is neither tls nor tcp\n"
         "f:6: listen: 'x' is not an address: host:port or [ipv6]:port, port 1 to 65535\n"},
        {LOCAL "[node]\nlisten = a:1,\n",
         "f:6: listen: '' is not an address: host:port or [ipv6]:port, port 1 to 65535\n"},
        /* One listener per address, also where one stands for many. */
        {LOCAL "[node]\nlisten = 127.0.0.1:1, tcp://[0::1]:2, a:3, tcp://A:3\n",
         "f:6: listen: '127.0.0.1:1' is listened at already, as '127.0.0.1:1' of line 4\n"
         "f:6: listen: '[::1]:2' is listened at already, as '[::1]:2' of line 4\n"
         "f:6: listen: 'a:3' is listened at already, as 'a:3' of line 6\n"},
        {LOCAL "[http]\naddress = 127.0.0.1:4\n[node]\nlisten = 127.0.0.1:4, 0.0.0.0:1\n",
         "f:8: listen: '127.0.0.1:4' is listened at already, as '127.0.0.1:4' of line 6\n"
         "f:8: listen: '0.0.0.0:1' is listened at already, as '127.0.0.1:1' of line 4\n"},
        {LOCAL "[node]\nlisten = 0.0.0.0:2, [::]:1\n",
         "f:6: listen: '[::]:1' is listened at already, as '127.0.0.1:1' of line 4\n"},
        {LOCAL "[node]\nlisten = 0.0.0.0:9, [::]:9, [::]:2\n",
         "f:6: listen: '[::]:9' is listened at already, as '0.0.0.0:9' of line 6\n"
         "f:6: listen: '[::]:2' is listened at already, as '[::1]:2' of line 4\n"},
        {LOCAL "[node]\nlisten = 0.0.0.0:9, 10.0.0.1:9\n",
         "f:6: listen: '10.0.0.1:9' is listened at already, as '0.0.0.0:9' of line 6\n"},
    };
    static struct conf c;
    struct conf_problems ps;

    (void)state;
    expect_rows(rows, sizeof(rows) / sizeof(rows[0]));
    assert_int_equal(parse(LOCAL SECRET
                           "[node]\nlisten = tcp://127.0.0.1:7500 , tls://0.0.0.0:7,\t[0::0]:8\n",
                           "n1", true, &c, &ps),
                     0);
    assert_int_equal(c.n_listen, 3);
    assert_string_equal(c.listen[0].addr, "127.0.0.1:7500");
    assert_int_equal(c.listen[0].scheme, CONF_SCHEME_PLAIN);
    assert_string_equal(c.listen[1].addr, "0.0.0.0:7");
    assert_int_equal(c.listen[1].scheme, CONF_SCHEME_TLS);
    assert_string_equal(c.listen[2].addr, "[::]:8");
    assert_int_equal(c.listen[2].scheme, CONF_SCHEME_DEFAULT);
}

/* Where nobody is asked whoever comes by TCP may do all (CONF-4). */
static void conf__what_security_comes_to(void **state)
{
    static const struct {
        const char *file;
        bool peers;
        bool clients;
        bool asks;
    } rows[] = {
        {LOCAL, false, false, false},
        {LOCAL PLAIN, false, false, false},
        {LOCAL SECRET, true, true, true},
        {LOCAL "[security]\n" PEER_CERTS, true, false, false},
        {LOCAL "[security]\nclient_cert = /c\nclient_key = /k\n", false, true, true},
        /* Lines of [access] alone: who came by TCP is asked where one could name him. */
        {LOCAL "[access]\na = admin user alice\nb = read group 7\n", false, false, false},
        {LOCAL "[access]\nunix_read = any\n", false, false, false},
        {LOCAL "[access]\na = admin user alice\nb = read any\n", false, false, true},
        {LOCAL "[access]\na = read cert x\n", false, false, true},
        {LOCAL "[access]\na = read secret x\n", false, false, true},
        {LOCAL "[access]\na = read token " Z50 "0123456789abcd\n", false, false, true},
    };
    static struct conf c;
    struct conf_problems ps;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(conf_parse("f", rows[i].file, strlen(rows[i].file), "n1", true, &c, &ps),
                         0);
        assert_int_equal(conf_has_peer_tls(&c), rows[i].peers);
        assert_int_equal(conf_has_client_tls(&c), rows[i].clients);
        assert_int_equal(conf_is_tls(&c, CONF_SCHEME_DEFAULT), rows[i].clients);
        assert_true(conf_is_tls(&c, CONF_SCHEME_TLS));
        assert_false(conf_is_tls(&c, CONF_SCHEME_PLAIN));
        assert_int_equal(conf_asks_who(&c), rows[i].asks);
    }
}

#define HASH Z50 "0123456789"

static void conf__grants(void **state)
{
    static struct conf c;
    struct conf_problems ps;
    static const struct conf_grant wanted[] = {
        {"app1", CONF_ROLE_WRITE, CONF_GRANT_CERT, "app1.example.org", true, "app1/", 6},
        {"ops", CONF_ROLE_ADMIN, CONF_GRANT_SECRET, "ops", false, "", 7},
        {"ci", CONF_ROLE_READ, CONF_GRANT_TOKEN, HASH "abcd", false, "", 8},
        {"alice", CONF_ROLE_ADMIN, CONF_GRANT_USER, "alice", false, "", 9},
        {"unix", CONF_ROLE_WRITE, CONF_GRANT_GROUP, "1000", true, "prefix", 10},
        {"all", CONF_ROLE_READ, CONF_GRANT_ANY, "", true, "a=b:%;#~", 12},
        {"p", CONF_ROLE_READ, CONF_GRANT_CERT, "prefix", true, "x", 13},
        {"URI", CONF_ROLE_READ, CONF_GRANT_CERT, "spiffe://a/b,c=d", false, "", 14},
    };

    (void)state;
    assert_int_equal(parse(LOCAL "[access]\n"
                                 "app1 = write cert app1.example.org prefix app1/\n"
                                 "ops = admin secret ops ; who carries the pager\n"
                                 "ci = read token " HASH "aBCd\n"
                                 "alice=admin\tuser  alice\n"
                                 "unix = write group 1000 prefix prefix\n"
                                 "unix_read = user bob\n"
                                 "all = read any prefix a=b:%;#~\n"
                                 "p = read cert prefix prefix x\n"
                                 "URI = read cert spiffe://a/b,c=d\n",
                           "n1", true, &c, &ps),
                     0);
    assert_int_equal(c.n_grants, sizeof(wanted) / sizeof(wanted[0]));
    for (unsigned i = 0; i < c.n_grants; i++) {
        assert_grant_equal(&c.grants[i], &wanted[i]);
        assert_int_equal(c.grants[i].line, wanted[i].line);
    }
    assert_string_equal(c.unix_read.who[0].name, "bob");
}

#define FORM                                                                                       \
    " is not ROLE KIND [WHO] [prefix PREFIX]: read, write or admin, then any, user, group, cert, " \
    "secret or token\n"
#define GRANT(line) LOCAL "[access]\n" line "\n" /* line 6 */

/* What cannot be kept is not promised (ACCESS-7). */
static void conf__grants_that_are_refused(void **state)
{
    static const struct row rows[] = {
        {GRANT("a = any"), "f:6: a = 'any'" FORM},
        {GRANT("a = read"), "f:6: a = 'read'" FORM},
        {GRANT("a ="), "f:6: a = ''" FORM},
        {GRANT("a = Read any"), "f:6: a = 'Read any'" FORM},
        {GRANT("a = none any"), "f:6: a = 'none any'" FORM},
        {GRANT("a = read certificate x"), "f:6: a = 'read certificate x'" FORM},
        {GRANT("a = read any x"), "f:6: a = 'read any x'" FORM},
        {GRANT("a = read any prefix x y"), "f:6: a = 'read any prefix x y'" FORM},
        {GRANT("a = read user x y"), "f:6: a = 'read user x y'" FORM},
        {GRANT("a = read user"),
         "f:6: a = 'read user' names nobody: any alone is followed by no name\n"},
        {GRANT("a = read user -x"),
         "f:6: a = 'read user -x' has no name or number of a user or a group\n"},
        {GRANT("a = read group x,y"),
         "f:6: a = 'read group x,y' has no name or number of a user or a group\n"},
        {GRANT("a = read cert \xc3\xa4"),
         "f:6: a = 'read cert \\xc3\\xa4' has a name that cannot be printed\n"},
        {GRANT("a = read cert " Z50 Z50 Z10 Z10 "0123456"), ""},
        {GRANT("a = read cert " Z50 Z50 Z10 Z10 "01234567"),
         "f:6: a = 'read cert " Z50 "0123...' has too long a name: 127 bytes\n"},
        {GRANT("a = read secret a.b"),
         "f:6: a = 'read secret a.b' has no name of a secret: 1 to 63 of A-Z a-z 0-9 _ -\n"},
        {GRANT("a = read token " HASH "abc"),
         "f:6: a = 'read token (left out)...' has no hash of a token: 64 hexadecimal digits\n"},
        {GRANT("a = read token " HASH "abcde"),
         "f:6: a = 'read token (left out)...' has no hash of a token: 64 hexadecimal digits\n"},
        {GRANT("a = read token " HASH "abcg"),
         "f:6: a = 'read token (left out)...' has no hash of a token: 64 hexadecimal digits\n"},
        /* Neither a token that stands where its hash should, nor a secret where its path (GUARD-5). */
        {GRANT("a = read token ridd_" HASH "abcd"),
         "f:6: a = 'read token ridd_(left out)...' has no hash of a token: 64 hexadecimal "
         "digits\n"},
        {GRANT("a = read token"),
         "f:6: a = 'read token' names nobody: any alone is followed by no name\n"},
        {GRANT("a = read any prefix"),
         "f:6: a = 'read any prefix' has no prefix behind 'prefix'\n"},
        {GRANT("a = read any prefix " HASH "123"), ""},
        {GRANT("a = read any prefix " HASH "1234"),
         "f:6: a = 'read any prefix 012345678901234567890123456789012345678901234567...' has too "
         "long a prefix: 63 bytes\n"},
        {GRANT("a = read any prefix \x80"),
         "f:6: a = 'read any prefix \\x80' has a prefix that cannot be printed\n"},
        {GRANT("a = admin user alice prefix x"), "f:6: a = 'admin user alice prefix x' has a "
                                                 "prefix, and an administrator sees everything\n"},
        {GRANT("a.b = read any"),
         "f:6: name 'a.b' in [access]: 1 to 63 of A-Z a-z 0-9 _ - are allowed\n"},
        {GRANT("a = read any # all"), "f:6: '#' behind a value; there a comment starts with ';'\n"},
        {GRANT("a = read any\nb = read user x\na = admin user y"),
         "f:8: 'a' stands twice, first on line 6\n"},
        {GRANT("a = read token " HASH "abcd\nb = write token " HASH "ABCD prefix x"),
         "f:7: 'b' has the token of 'a' on line 6\n"},
        {GRANT("a = read cert " HASH "abcd\nb = write token " HASH "abcd\nc = read secret b\n"
               "d = write secret b"),
         ""},
        /* A key that was mistyped, unless it reads as a grant. */
        {GRANT("unix_rea = any"),
         "f:6: unknown key 'unix_rea' in [access]; did you mean 'unix_read'?\n"},
        {GRANT("Unix_Admin = user a, user b"),
         "f:6: unknown key 'Unix_Admin' in [access]; did you mean 'unix_admin'?\n"},
        {GRANT("unix_raed = read user a"), ""},
        {GRANT("rounds = 8"), "f:6: unknown key 'rounds' in [access]; it belongs to [reads]\n"},
    };
    static char many[4096];
    size_t len = (size_t)snprintf(many, sizeof(many), LOCAL "[access]\n");

    (void)state;
    expect_rows(rows, sizeof(rows) / sizeof(rows[0]));
    for (unsigned i = 0; i < CONF_GRANTS_MAX; i++)
        len += (size_t)snprintf(many + len, sizeof(many) - len, "g%u = read any\n", i);
    expect(many, "");
    (void)snprintf(many + len, sizeof(many) - len, "x = read any\ny = read any\ng3 = read any\n");
    expect(many, "f:70: more than 64 lines that name somebody in [access]\n"
                 "f:72: 'g3' stands twice, first on line 9\n");
}

/* What inih reads, but would not read again as it is printed, with blanks and in one spelling
 * (CONF-3). */
static void conf__lines_that_grow_are_refused(void **state)
{
    static const struct row rows[] = {
        {GRANT("a=write cert " Z50 Z50 Z10 Z10
               "1234567 prefix 12345678901234567890123456789012345678901234567"),
         ""},
        {GRANT("a=write cert " Z50 Z50 Z10 Z10
               "1234567 prefix 123456789012345678901234567890123456789012345678"),
         "f:6: line of 198 bytes as it is printed; at most 197 are read\n"},
        {CLUSTER "[peers]\na=[::1]:1 " Z50 Z50 Z50 "012345678901234567890123456789abca:1\n",
         "f:4: line of 198 bytes as it is printed; at most 197 are read\n"},
        {LOCAL "[node]\nlisten=" Z50 Z50 Z50 "a:1,b:1,[::ffff:102:304]:12345,[::1]:55\n",
         "f:6: line of 201 bytes as it is printed; at most 197 are read\n"},
    };

    (void)state;
    expect_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

/* What a process takes when it reads its file again: how it is kept safe, and not where it listens
 * and how. */
static void conf__differences_of_security(void **state)
{
#define TWO CLUSTER "[peers]\nn1 = [::1]:1 [::1]:2\nn2 = [::1]:3 [::1]:4\n"
    static const struct {
        const char *file;
        const char *taken;
        const char *waiting;
    } rows[] = {
        {TWO SECRET, "", ""},
        {TWO "[security]\nsecret_file = /t\n" PEER_CERTS,
         "[security] secret_file, [security] peer_cert, [security] peer_key, [security] peer_ca",
         ""},
        {TWO PLAIN, "[security] secret_file, [security] insecure", ""},
        {TWO SECRET "[access]\na = read any\nb = read any\n", "[access] a (new), [access] b (new)",
         ""},
        {TWO SECRET "[node]\nlisten = a:1\n", "", "[node] listen"},
        {TWO SECRET "[http]\naddress = [::1]:9\n", "", "[http] address"},
        /* Of any node. */
        {CLUSTER "[peers]\nn1 = [::1]:1 tls://[::1]:2\nn2 = [::1]:3 tcp://[::1]:4\n" SECRET, "",
         "[peers] n1, [peers] n2"},
        {CLUSTER "[peers]\nn1 = [::1]:1 [::1]:2\nn2 = [::1]:5 tls://[::1]:4\n" SECRET, "[peers] n2",
         "[peers] n2"},
    };
    static const char before[] =
        TWO "[access]\na = read any\nb = read user x\nc = write token " HASH
            "abcd\n[http]\naddress = [::1]:9\n[node]\nlisten = a:1, b:1\n";
    static const char after[] =
        TWO "[access]\nc = write token " HASH "abcd prefix p\na = read any\nd = read user x\n"
            "[http]\naddress = http://[::1]:9\n[node]\nlisten = a:1, tcp://b:1\n";
    static struct conf a;
    static struct conf b;
    struct conf_problems ps;
    char text[256];

    (void)state;
    assert_int_equal(parse(TWO SECRET, "n1", true, &a, &ps), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(parse(rows[i].file, "n1", true, &b, &ps), 0);
        (void)conf_differences(&a, &b, true, text, sizeof(text));
        assert_string_equal(text, rows[i].taken);
        (void)conf_differences(&a, &b, false, text, sizeof(text));
        assert_string_equal(text, rows[i].waiting);
        assert_true(conf_same_founders(&a, &b));
    }
    assert_int_equal(parse(before, "n1", true, &a, &ps), 0);
    assert_int_equal(parse(after, "n1", true, &b, &ps), 0);
    assert_int_equal(conf_differences(&a, &b, true, text, sizeof(text)), 3);
    assert_string_equal(text, "[access] c, [access] d (new), [access] b (gone)");
    assert_int_equal(conf_differences(&a, &b, false, text, sizeof(text)), 2);
    assert_string_equal(text, "[node] listen, [http] address");
}

/* A lease that outlasts the election makes the next leader wait; one that ends between two heartbeats
 * is of no use. Neither is a mistake. */
static void conf__a_lease_may_be_unwise(void **state)
{
    static const struct {
        const char *file;
        const char *warning; /* NULL: none */
    } rows[] = {
        {GOOD "[reads]\nlease_ms = 0\n[raft]\nelection_ms = 10\nheartbeat_ms = 3\n", NULL},
        {GOOD "[reads]\nlease_ms = 500\n", NULL},
        {GOOD "[reads]\nlease_ms = 501\n", "lease_ms = 501 is more than election_ms = 500: when "
                                           "the leader fails nothing is committed "
                                           "before its lease is over"},
        {GOOD "[reads]\nlease_ms = 100\n", NULL},
        {GOOD "[reads]\nlease_ms = 99\n",
         "lease_ms = 99 is less than two of heartbeat_ms = 50: the lease ends between two "
         "heartbeats"},
    };
    static struct conf c;
    struct conf_problems ps;
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(parse(rows[i].file, "n1", true, &c, &ps), 0);
        assert_int_equal(conf_lease_warning(&c, text, sizeof(text)), rows[i].warning != NULL);
        if (rows[i].warning != NULL)
            assert_string_equal(text, rows[i].warning);
    }
}

/* CONF-5: links that are safe, or of one host, say nothing of clients. */
static void conf__everybody_may_do_everything(void **state)
{
    static const struct {
        const char *client;
        const char *more;
        bool with_self;
        const char *addr; /* NULL: no warning */
    } rows[] = {
        {"127.0.0.1:7400", "", true, NULL},
        {"10.0.0.1:7400", "", true, "10.0.0.1:7400"},
        {"10.0.0.1:7400", "[access]\nalice = admin user alice\nunix_write = group staff\n", true,
         "10.0.0.1:7400"},
        {"10.0.0.1:7400", "[access]\nall = read any\n", true, NULL},
        {"10.0.0.1:7400", "[security]\npeer_cert = /a\npeer_key = /b\npeer_ca = /c\n", true,
         "10.0.0.1:7400"},
        {"10.0.0.1:7400", "[security]\nsecret_file = /a\n", true, NULL},
        {"tcp://10.0.0.1:7400", "[security]\nsecret_file = /a\n", true,
         NULL}, /* asked, all the same */
        {"10.0.0.1:7400", "[security]\ninsecure = yes\n", true, NULL},
        {"127.0.0.1:7400", "[node]\nlisten = 0.0.0.0:7401\n", true, "0.0.0.0:7401"},
        {"127.0.0.1:7400\nn2 = 127.0.0.1:7001 10.0.0.2:7400", "", true, NULL},
        {"127.0.0.1:7400\nn2 = 127.0.0.1:7001 10.0.0.2:7400", "", false, "10.0.0.2:7400"},
    };
    static struct conf c;
    struct conf_problems ps;
    char file[600];
    char text[CONF_OPEN_WARNING_BYTES];
    char reaches[100];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const bool listens = strncmp(rows[i].more, "[node]", 6) == 0;

        (void)snprintf(file, sizeof(file),
                       "[cluster]\nname = c\n[peers]\nn1 = 127.0.0.1:7000 %s\n%s%s"
                       "data_dir = /d\n",
                       rows[i].client, listens ? "" : rows[i].more,
                       listens ? rows[i].more : "[node]\n");
        if (conf_parse("f", file, strlen(file), rows[i].with_self ? "n1" : NULL, rows[i].with_self,
                       &c, &ps) != 0)
            fail_msg("%zu: %s", i, ps.list[0].text);
        conf_problems_done(&ps);
        assert_int_equal(conf_open_warning(&c, text, sizeof(text)), rows[i].addr != NULL);
        if (rows[i].addr == NULL)
            continue;
        (void)snprintf(reaches, sizeof(reaches), "whoever reaches %s may do everything, and",
                       rows[i].addr);
        if (strncmp(text, reaches, strlen(reaches)) != 0)
            fail_msg("%zu: %s", i, text);
    }
}

/* ---- addresses ---- */

static void conf__split_address(void **state)
{
    static const struct {
        const char *addr;
        const char *host; /* NULL: not an address */
        const char *port;
    } rows[] = {
        {"localhost:7400", "localhost", "7400"},
        {"10.0.0.1:1", "10.0.0.1", "1"},
        {"a_b-c.example.:65535", "a_b-c.example.", "65535"},
        {"[::1]:7400", "::1", "7400"},
        {"[fe80::1%eth0.5]:7400", "fe80::1%eth0.5", "7400"},
        {"[::ffff:10.0.0.1]:7", "::ffff:10.0.0.1", "7"},
        {"", NULL, NULL},
        {":", NULL, NULL},
        {"host", NULL, NULL},
        {"host:", NULL, NULL},
        {":7400", NULL, NULL},
        {"host:0", NULL, NULL},
        {"host:07", NULL, NULL},
        {"host:65536", NULL, NULL},
        {"host:123456", NULL, NULL},
        {"host:7400x", NULL, NULL},
        {"host:-1", NULL, NULL},
        {"host:+1", NULL, NULL},
        {"host:7K", NULL, NULL},
        {"ho st:1", NULL, NULL},
        {"h\xc3\xb6st:1", NULL, NULL},
        {"-host:1", NULL, NULL},
        {".host:1", NULL, NULL},
        {"a..b:1", NULL, NULL},
        {"10.0.0.256:1", NULL, NULL},
        {"10.0.1:1", NULL, NULL},
        {"1:1", NULL, NULL},
        {"::1:7400", NULL, NULL},
        {"[::1]7400", NULL, NULL},
        {"[::1]", NULL, NULL},
        {"[::1", NULL, NULL},
        {"[]:1", NULL, NULL},
        {"[host]:1", NULL, NULL},
        {"[10.0.0.1]:1", NULL, NULL},
        {"[fe80::1%]:1", NULL, NULL},
        {"[fe80::1%a b]:1", NULL, NULL},
        {"[1:2:3:4:5:6:7:8:9]:1", NULL, NULL},
    };
    char host[254];
    char port[6];
    char longest[300];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool split = address_split(rows[i].addr, host, sizeof(host), port, sizeof(port));

        assert_int_equal(split, rows[i].host != NULL);
        if (rows[i].host != NULL) {
            assert_string_equal(host, rows[i].host);
            assert_string_equal(port, rows[i].port);
        }
    }
    /* 253 bytes of host are the most, and the caller's room counts. */
    memset(longest, 'a', sizeof(longest));
    (void)snprintf(longest + 253, sizeof(longest) - 253, ":1");
    assert_true(address_split(longest, host, sizeof(host), port, sizeof(port)));
    assert_false(address_split(longest, host, sizeof(host) - 1, port, sizeof(port)));
    longest[253] = 'a';
    (void)snprintf(longest + 254, sizeof(longest) - 254, ":1");
    assert_false(address_split(longest, longest, sizeof(longest), port, sizeof(port)));
    assert_false(address_split("a:12345", host, sizeof(host), port, 5));
    assert_true(address_split("a:12345", host, sizeof(host), port, 6));
    assert_false(address_split("ab:1", host, 2, port, sizeof(port)));
}

/* ---- identities ---- */

static void id_of(const char *file, unsigned char ret_id[16])
{
    static struct conf c;
    struct conf_problems ps;

    assert_int_equal(parse(file, NULL, false, &c, &ps), 0);
    conf_founding_id(&c, ret_id);
}

static void first_id_of(const char *file, unsigned char ret_id[16])
{
    static struct conf c;
    static struct raft_configuration members;
    struct conf_problems ps;

    assert_int_equal(parse(file, NULL, false, &c, &ps), 0);
    assert_int_equal(conf_to_configuration(&c, true, &members), 0);
    conf_first_id(c.cluster_name, &members, ret_id);
}

/* Lists that differ make clusters that differ (IDENTITY-7); addresses may change. */
static void conf__founding_id_is_name_and_names_of_founders(void **state)
{
    unsigned char id[16];
    unsigned char other[16];
    static const char *const same[] = {
        CLUSTER "[peers]\nn2 = b:1 b:2\nn1 = a:1 a:2\n",
        CLUSTER "[peers]\nn1 = a:1 x:2 [::1]:3\nn2 = b:1 y:2\n",
        CLUSTER "[raft]\nelection_ms = 300\n[peers]\nn1 = A:1 a:2\nn2 = b:1 b:2\n",
        CLUSTER "[peers]\nn1 = a:1 a:2\nn2 = b:3 b:2\n",
        CLUSTER "[peers]\nn1 = b:1 b:2\nn2 = a:1 a:2\n",
    };
    static const char *const different[] = {
        "[cluster]\nname = d\n[peers]\nn1 = a:1 a:2\nn2 = b:1 b:2\n",
        CLUSTER "[peers]\nn1 = a:1 a:2\nn3 = b:1 b:2\n",
        CLUSTER "[peers]\nn1 = a:1 a:2\n",
        CLUSTER "[peers]\nn1 = a:1 a:2\nn2 = b:1 b:2\nn3 = c:1 c:2\n",
    };
    /* Written into every data directory: it may not change. */
    static const unsigned char known[16] = {0xba, 0x4c, 0x6a, 0xf7, 0x14, 0xb8, 0x5e, 0x20,
                                            0x2a, 0x91, 0x61, 0x5b, 0x02, 0xf7, 0x14, 0xca};

    (void)state;
    id_of(CLUSTER "[peers]\nn1 = a:1 a:2\nn2 = b:1 b:2\n", id);
    assert_memory_equal(id, known, 16);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        id_of(same[i], other);
        assert_memory_equal(id, other, 16);
    }
    for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
        id_of(different[i], other);
        assert_memory_not_equal(id, other, 16);
    }
}

/* What earlier versions wrote into their directories must be recognised. */
static void conf__first_id_is_name_and_peer_addresses(void **state)
{
    static const unsigned char known[16] = {0x36, 0xb3, 0xe5, 0xb4, 0x4a, 0x9c, 0x06, 0x94,
                                            0x85, 0xbd, 0x99, 0x40, 0x50, 0xc4, 0x77, 0x6a};
    unsigned char id[16];

    (void)state;
    first_id_of(CLUSTER "[peers]\nn2 = b:1 b:2\nn1 = a:1 a:2\n", id);
    assert_memory_equal(id, known, 16);
    first_id_of(CLUSTER "[peers]\nn1 = a:1 a:7\nn2 = b:1 b:2\n", id);
    assert_memory_equal(id, known, 16);
    first_id_of(CLUSTER "[peers]\nn1 = a:1 a:2\nn2 = b:3 b:2\n", id);
    assert_memory_not_equal(id, known, 16);
}

static void conf__first_membership_has_all_as_voters(void **state)
{
    static struct conf c;
    static struct raft_configuration cfg;
    struct conf_problems ps;

    (void)state;
    assert_int_equal(parse(CLUSTER "[peers]\nn3 = c:1 c:2\nn1 = a:1 a:2 [::1]:3\nn2 = b:1 b:2\n",
                           NULL, false, &c, &ps),
                     0);
    for (unsigned with = 0; with < 2; with++) {
        assert_int_equal(conf_to_configuration(&c, with == 1, &cfg), 0);
        assert_int_equal(cfg.n, 3);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(cfg.servers[i].role, RAFT_VOTER);
            assert_true(cfg.servers[i].id == c.peers[i].id);
            assert_string_equal(cfg.servers[i].name, c.peers[i].name);
            assert_string_equal(cfg.servers[i].peer_addr, with ? c.peers[i].peer_addr : "");
            assert_string_equal(cfg.servers[i].client_addr, with ? c.peers[i].client_addr : "");
        }
    }
}

/* ---- files ---- */

static const char *in_srcdir(char *buf, size_t size, const char *name)
{
    const char *srcdir = getenv("srcdir");

    (void)snprintf(buf, size, "%s/%s", srcdir != NULL ? srcdir : ".", name);
    return buf;
}

static void load_shipped(const char *name, const char *id, struct conf *ret)
{
    char path[PATH_MAX];
    struct conf_problems ps;
    int r = conf_load(in_srcdir(path, sizeof(path), name), id, id != NULL, ret, &ps);

    if (r == CONF_E_PROBLEMS)
        conf_problems_print(&ps, path, stderr);
    else if (r < 0)
        (void)fprintf(stderr, "%s\n", err_text());
    assert_int_equal(r, 0);
    assert_string_equal(ret->path, path);
}

/* conf/ridd.conf shows each key at its default, so its own lines and the table of keys must agree.
 */
static void conf__shipped_file_equals_the_defaults(void **state)
{
    static struct conf shipped;
    static struct conf plain;
    static char text[CONF_FILE_BYTES_MAX];
    char path[PATH_MAX];
    char wanted[64];
    struct conf_problems ps;
    FILE *f;

    (void)state;
    load_shipped("conf/ridd.conf", NULL, &shipped);
    assert_int_equal(
        parse(
            "[cluster]\nname = example\n[peers]\nn1 = 127.0.0.1:7401 127.0.0.1:7400\n[security]\n",
            NULL, false, &plain, &ps),
        0);
    assert_conf_equal(&shipped, &plain);

    f = fopen(in_srcdir(path, sizeof(path), "conf/ridd.conf"), "re");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    assert_int_equal(fclose(f), 0);
    for (size_t i = 0; i < CONF_N_KEYS; i++) {
        const enum conf_kind kind = conf_keys[i].kind;

        /* What has no default stands there as a comment. */
        (void)snprintf(
            wanted, sizeof(wanted), "\n%s%s = ",
            kind == CONF_KIND_SELF || kind == CONF_KIND_ADDRESS || kind == CONF_KIND_HOSTS ? "#"
                                                                                           : "",
            conf_keys[i].name);
        if (strstr(text, wanted) == NULL)
            fail_msg("conf/ridd.conf does not show '%s' of [%s]", conf_keys[i].name,
                     conf_section_names[conf_keys[i].section]);
    }
    for (unsigned s = 0; s < CONF_N_SECTIONS; s++) {
        (void)snprintf(wanted, sizeof(wanted), "\n[%s]\n", conf_section_names[s]);
        assert_non_null(strstr(text, wanted));
    }
}

/* The manual names every key and every section. */
static void conf__manual_names_every_key(void **state)
{
    static char text[CONF_FILE_BYTES_MAX];
    char path[PATH_MAX];
    char wanted[64];
    FILE *f;

    (void)state;
    f = fopen(in_srcdir(path, sizeof(path), "man/ridd.conf.5"), "re");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    assert_int_equal(fclose(f), 0);
    for (size_t i = 0; i < CONF_N_KEYS; i++) {
        (void)snprintf(wanted, sizeof(wanted), "\n.It Cm %s\n", conf_keys[i].name);
        if (strstr(text, wanted) == NULL)
            fail_msg("man/ridd.conf.5 does not explain '%s'", conf_keys[i].name);
    }
    for (unsigned s = 0; s < CONF_N_SECTIONS; s++) {
        (void)snprintf(wanted, sizeof(wanted), "\n.Ss [%s]\\&\n", conf_section_names[s]);
        if (strstr(text, wanted) == NULL)
            fail_msg("man/ridd.conf.5 has no part for [%s]", conf_section_names[s]);
    }
}

static void conf__three_nodes_on_one_host(void **state)
{
    static struct conf c;
    char names[3][3] = {"n1", "n2", "n3"};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        load_shipped("conf/three-nodes.conf", names[i], &c);
        assert_int_equal(c.n_peers, 3);
        assert_ptr_equal(c.self, &c.peers[i]);
        assert_non_null(strstr(c.data_dir, names[i]));
    }
}

static void conf__unreadable_files_are_errors(void **state)
{
    static struct conf c;
    struct conf_problems ps;

    (void)state;
    assert_int_equal(conf_load("/nonexistent/ridd.conf", NULL, false, &c, &ps), -ENOENT);
    assert_string_equal(err_text(),
                        "cannot open '/nonexistent/ridd.conf': No such file or directory");
    assert_null(ps.list);
    assert_int_equal(conf_load("/", NULL, false, &c, &ps), -EISDIR);
    assert_string_equal(err_text(), "cannot read '/': Is a directory");
    /* Endless, and stops. */
    assert_int_equal(conf_load("/dev/zero", NULL, false, &c, &ps), CONF_E_PROBLEMS);
    assert_string_equal(ps.list[0].text, "larger than 256 KiB: this is no configuration file");
    conf_problems_done(&ps);
}

static void conf__printed_file_reads_back_equal(void **state)
{
    static struct conf a;
    static struct conf b;
    static const char *const files[] = {
        GOOD,
        CLUSTER
        "[peers]\nn2 = [::1]:1 host:2 [::1]:3\nn1 = a:1 a:2\n[node]\nmap_size = "
        "1052672\ndata_dir = /x y/%i/%i\n"
        "log_level = error\n[raft]\nheartbeat_ms = 1\nelection_ms = 60000\n[reads]\nrounds = "
        "1\nlease_ms = 1\n[limits]\n"
        "request_bytes = 1025\nin_flight = 4096\nconnections = 65536\nmemory = "
        "1G\nconnections_per_address = "
        "3\n[log]\nsegment_size = 1G\n[state]\nscrub = 1024\n[http]\naddress = [0::1]:9\nhosts = "
        "A,b\n",
        GOOD "[node]\nclient = unix:/run/%i/%i\n[access]\nunix_read = any\nunix_write=none\n"
             "unix_admin = user  a.b ,group\t7,user d\\x$\n",
        LOCAL SECRET "peer_cert = credential:c\npeer_key=/%i/k\npeer_ca=/a\nclient_cert=/x "
                     "y\nclient_key=/z\nclient_ca = /q\n[node]\nlisten=tcp://127.0.0.1:7500,tls://"
                     "0.0.0.0:7,\t[0::0]:8\n[http]\naddress=https://H:1\n",
        CLUSTER "[peers]\nn2 = 10.0.0.2:1 tls://B:2 http://[0::1]:9\nn1 = 10.0.0.1:1 tcp://a:2 "
                "https://A:3\nn3 = c:1 c:2 c:3\n" SECRET SERVER
                "[access]\na=read any\nb = write cert "
                "URI:x/y\tprefix p/#;\nc=admin secret s\nd=admin user u\ne=read group 7 prefix "
                "=\nf=read token " HASH "abCD\nunix_read = any\n",
    };
    static const char *const ids[] = {NULL, "n1"};
    struct conf_problems ps;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(files) / sizeof(files[0]); i++) {
        char *text;

        assert_int_equal(parse(files[i / 2], ids[i % 2], false, &a, &ps), 0);
        text = printed(&a);
        assert_int_equal(parse(text, NULL, ids[i % 2] != NULL, &b, &ps), 0);
        assert_conf_equal(&a, &b);
        free(text);
    }
}

/* ---- the nearest name ---- */

static void conf__nearest_name(void **state)
{
    static const char *const names[] = {"heartbeat_ms", "election_ms", "name", "id"};
    static const struct {
        const char *word;
        const char *near;
    } rows[] = {
        {"heartbeat_ms", "heartbeat_ms"},
        {"HeartBeat_MS", "heartbeat_ms"},
        {"hearbeat_ms", "heartbeat_ms"},
        {"heartbeat", "heartbeat_ms"},
        {"haertbeat_ms", "heartbeat_ms"},
        {"elction_ms", "election_ms"},
        {"nmae", "name"},
        {"nam", "name"},
        {"xyzw", NULL},
        {"", NULL},
        {"x", NULL},
        {"identity", NULL},
    };
    char longest[200];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *near = conf_near(rows[i].word, names, 4);

        if (rows[i].near == NULL)
            assert_null(near);
        else
            assert_string_equal(near, rows[i].near);
    }
    memset(longest, 'n', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_null(conf_near(longest, names, 4));
}

/* ---- mutations ---- */

static void conf__mutated_files_do_no_harm(void **state)
{
    static const char *const pieces[] = {
        "\n",
        "[",
        "]",
        "=",
        ":",
        " ",
        ";",
        "#",
        "\t",
        "%i",
        "[peers]\n",
        "[node]\n",
        "n1",
        "n2 = ",
        "::1",
        "0",
        "99",
        "K",
        "G",
        "\r\n",
        "\xef\xbb",
        "[raft]\n",
        "a:1 a:2",
        "/",
        "\x80",
        "\x1b",
        ".",
        "-",
        Z50 Z50,
        "id = n1\n",
        "rounds = ",
        "lease_ms = 2",
        "[cluster]\n",
        "name = ",
        "[http]",
        "[access]",
        "client = unix:/run/%i.sock\n",
        "unix_write = user a, group b, any\n",
        "a = read cert b prefix c\n",
        "b = admin user x\n",
        "c = write token " HASH "abCD\n",
        "[security]\n",
        "insecure = yes\n",
        "secret_file = /s\n",
        "client_ca = credential:%i\n",
        "listen = tcp://a:7, [::]:8\n",
        "tls://",
        "http://",
        "n9 = [::2]:5 b:6\n",
        "election_ms = 300\n",
    };
    static const char *const starts[] = {
        LOCAL,
        CLUSTER
        "[peers]\nn1 = a:1 a:2\nn2 = [::1]:1 [::1]:2 127.0.0.1:3\nn3 = 10.0.0.1:1 "
        "10.0.0.1:2\n[node]\nid = "
        "n1\n"
        "data_dir = /x/%i\nmap_size = 16M\nlog_level = debug\n[raft]\nheartbeat_ms = "
        "50\nelection_ms = 500\n"
        "[reads]\nrounds = 2\n[limits]\nrequest_bytes = 1M\nin_flight = 7\nconnections = 9\n[log]\n"
        "segment_size = 2M\n[http]\naddress = 127.0.0.1:7402\nhosts = a,b.c\n[security]\ninsecure "
        "= yes\n",
    };
    struct prng p;
    uint8_t file[2048];

    (void)state;
    prng_init(&p, 7);
    for (unsigned run = 0; run < 6000; run++) {
        const char *start = starts[run % 2];
        size_t len = strlen(start);

        memcpy(file, start, len);
        for (uint64_t n = 1 + prng_below(&p, 4); n > 0; n--) {
            size_t at = (size_t)prng_below(&p, len + 1);
            size_t left = len - at;

            switch (prng_below(&p, 4)) {
            case 0: { /* put a piece in */
                const char *piece = pieces[prng_below(&p, sizeof(pieces) / sizeof(pieces[0]))];
                size_t n_piece = strlen(piece);

                if (len + n_piece > sizeof(file))
                    break;
                memmove(file + at + n_piece, file + at, left);
                memcpy(file + at, piece, n_piece);
                len += n_piece;
                break;
            }
            case 1: { /* take some out */
                size_t n_out = (size_t)prng_below(&p, left < 20 ? left + 1 : 20);

                memmove(file + at, file + at + n_out, left - n_out);
                len -= n_out;
                break;
            }
            case 2:
                if (left > 0)
                    file[at] = (uint8_t)prng_next(&p);
                break;
            default: { /* repeat a part elsewhere */
                size_t from = (size_t)prng_below(&p, len + 1);
                size_t n_copy = (size_t)prng_below(&p, len - from < 40 ? len - from + 1 : 40);
                uint8_t copy[40];

                if (len + n_copy > sizeof(file))
                    break;
                memcpy(copy, file + from, n_copy);
                memmove(file + at + n_copy, file + at, left);
                memcpy(file + at, copy, n_copy);
                len += n_copy;
                break;
            }
            }
        }
        (void)LLVMFuzzerTestOneInput(file, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conf__defaults_are_those_of_the_manual),
        cmocka_unit_test(conf__every_key_is_read),
        cmocka_unit_test(conf__both_line_endings),
        cmocka_unit_test(conf__which_node_this_is),
        cmocka_unit_test(conf__refused_with_these_words),
        cmocka_unit_test(conf__nul_bytes_are_refused),
        cmocka_unit_test(conf__too_many_peers_are_one_problem),
        cmocka_unit_test(conf__problems_and_size_are_bounded),
        cmocka_unit_test(conf__data_dir_is_bounded_after_the_name),
        cmocka_unit_test(conf__local_socket),
        cmocka_unit_test(conf__access_lists),
        cmocka_unit_test(conf__peers_beyond_loopback_need_security),
        cmocka_unit_test(conf__files_of_security),
        cmocka_unit_test(conf__schemes),
        cmocka_unit_test(conf__more_addresses_for_clients),
        cmocka_unit_test(conf__what_security_comes_to),
        cmocka_unit_test(conf__grants),
        cmocka_unit_test(conf__grants_that_are_refused),
        cmocka_unit_test(conf__lines_that_grow_are_refused),
        cmocka_unit_test(conf__differences_of_security),
        cmocka_unit_test(conf__a_lease_may_be_unwise),
        cmocka_unit_test(conf__everybody_may_do_everything),
        cmocka_unit_test(conf__split_address),
        cmocka_unit_test(conf__founding_id_is_name_and_names_of_founders),
        cmocka_unit_test(conf__first_id_is_name_and_peer_addresses),
        cmocka_unit_test(conf__first_membership_has_all_as_voters),
        cmocka_unit_test(conf__shipped_file_equals_the_defaults),
        cmocka_unit_test(conf__manual_names_every_key),
        cmocka_unit_test(conf__three_nodes_on_one_host),
        cmocka_unit_test(conf__unreadable_files_are_errors),
        cmocka_unit_test(conf__printed_file_reads_back_equal),
        cmocka_unit_test(conf__nearest_name),
        cmocka_unit_test(conf__mutated_files_do_no_harm),
    };

    return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
