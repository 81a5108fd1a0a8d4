/* Configuration files: any bytes either give problems that can be printed, or a configuration that
 * conf_print() writes so that it is read back equal. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "conf/conf.h"
#include "fuzz/fuzz.h"

#include "base/banned.h"

const char fuzz_name[] = "conf";
const unsigned fuzz_runs = 4000;

static char *print(const struct conf *c, size_t *ret_len)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, ret_len);

    rid_assert(f != NULL);
    conf_print(c, f);
    rid_assert(fclose(f) == 0);
    return text;
}

static void check_problems(const struct conf_problems *ps)
{
    rid_assert(ps->n > 0 && ps->n <= CONF_PROBLEMS_MAX + 1);
    for (size_t i = 0; i < ps->n; i++) {
        const char *text = ps->list[i].text;

        rid_assert(text[0] != '\0');
        for (size_t k = 0; text[k] != '\0'; k++)
            rid_assert((unsigned char)text[k] >= 0x20 && (unsigned char)text[k] < 0x7f);
        if (i > 0 && ps->list[i].line != 0)
            rid_assert(ps->list[i - 1].line != 0 && ps->list[i - 1].line <= ps->list[i].line);
    }
}

static bool is_loopback(const char *addr)
{
    char host[256];
    char port[6];

    return address_split(addr, host, sizeof(host), port, sizeof(port)) &&
           address_host_is_loopback(host);
}

/* Beyond loopback nodes know each other, or somebody has written that they do not (CONF-1); HTTP is
 * spoken by TLS there (HTTP-1). */
static void check_peer_is_safe(const struct conf *c, const struct conf_peer *p)
{
    rid_assert(!c->security.insecure || !conf_has_peer_tls(c));
    rid_assert(c->security.insecure || conf_has_peer_tls(c) || is_loopback(p->peer_addr));
    rid_assert(p->http_addr[0] == '\0' || is_loopback(p->http_addr) ||
               (conf_http_is_tls(p->http_addr, p->http_scheme) && c->security.client_cert[0] != '\0'));
    rid_assert(p->client_scheme != CONF_SCHEME_TLS || conf_has_client_tls(c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *a = malloc(sizeof(*a));
    struct conf *b = malloc(sizeof(*b));
    struct conf_problems ps;
    int r;

    rid_assert(a != NULL && b != NULL);
    r = conf_parse("fuzz", data, size, NULL, false, a, &ps);
    rid_assert(r == 0 || r == CONF_E_PROBLEMS);
    if (r == CONF_E_PROBLEMS) {
        check_problems(&ps);
    } else {
        size_t len_a = 0;
        size_t len_b = 0;
        char *text_a = print(a, &len_a);
        char *text_b;
        unsigned char id_a[16];
        unsigned char id_b[16];
        char differences[256];
        char host[256];
        char port[6];

        rid_assert(ps.n == 0 && ps.list == NULL);
        rid_assert(a->n_peers > 0 && a->heartbeat_us <= a->election_us / 3);
        for (unsigned i = 0; i < a->n_peers; i++) {
            rid_assert(
                address_split(a->peers[i].peer_addr, host, sizeof(host), port, sizeof(port)));
            rid_assert(
                address_split(a->peers[i].client_addr, host, sizeof(host), port, sizeof(port)));
            check_peer_is_safe(a, &a->peers[i]);
            rid_assert(i == 0 || strcmp(a->peers[i - 1].name, a->peers[i].name) < 0);
        }
        r = conf_parse("fuzz", text_a, len_a, NULL, a->self != NULL, b, &ps);
        rid_assert(r == 0);
        text_b = print(b, &len_b);
        rid_assert(len_a == len_b && memcmp(text_a, text_b, len_a) == 0);
        /* What is lost in both is not in force any more (CONF-3). */
        rid_assert(conf_differences(a, b, false, differences, sizeof(differences)) == 0);
        rid_assert(conf_differences(a, b, true, differences, sizeof(differences)) == 0);
        conf_founding_id(a, id_a);
        conf_founding_id(b, id_b);
        rid_assert(memcmp(id_a, id_b, sizeof(id_a)) == 0);
        free(text_a);
        free(text_b);
    }
    conf_problems_done(&ps);
    free(a);
    free(b);
    return 0;
}

static const char *const seeds[] = {
    "[cluster]\nname = c\n[peers]\nn1 = 127.0.0.1:1 [::1]:2\n",
    "[cluster]\nname = c\n[peers]\nn1 = a:1 a:2\n[security]\ninsecure = yes\n",
    "# three nodes\n[cluster]\nname = three-nodes\n\n[peers]\n"
    "n1 = 127.0.0.1:7401 127.0.0.1:7400\nn2 = 127.0.0.1:7411 127.0.0.1:7410\n"
    "n3 = 127.0.0.1:7421 127.0.0.1:7420\n\n[node]\nid = n1\ndata_dir = /var/lib/ridd/%i\n"
    "map_size = 256M\nlog_level = debug\n[raft]\nheartbeat_ms = 50\nelection_ms = 500\n"
    "[reads]\nrounds = 2\n[limits]\nrequest_bytes = 1M\nin_flight = 128\n"
    "connections = 4096\n[log]\nsegment_size = 8M\n",
    "[cluster]\r\nname=c\r\n[peers]\r\nn1=[2001:db8::1]:7401 host.example:7400 [::1]:7402\r\n"
    "[security]\r\nsecret_file=/etc/ridd/%i/secret\r\n",
    "[cluster]\nname=c\n[peers]\nn1=10.0.0.1:1 tls://a:2 https://a:3\nn2=b:1 tcp://b:2 "
    "http://[::1]:3\n"
    "[security]\npeer_cert=credential:c\npeer_key=/k\npeer_ca=/a\nclient_cert=/x y\nclient_key=/z\n"
    "client_ca=/q\n[node]\nlisten=tcp://127.0.0.1:7500,tls://0.0.0.0:7,[::]:8\n[http]\n"
    "address=https://h:1\n[access]\na=read any\nb=write cert URI:x/y\tprefix p/#\n"
    "c=admin secret s\nd=admin user u\ne=read group 7 prefix ;\nf=read token "
    "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\n",
    "[cluster]\nname = c ; why\nname = d\n[peers]\n n1 = a:1 a:2\nn1 = a:1\n[nod]\nidd = x\n",
    "[cluster]\nname = c\n[peers]\nn1 = [::1]:1 [::1]:2\n[node]\nclient = "
    "unix:/run/%i/%i.s\n[access]\n"
    "unix_read = any\nunix_write = user a.b, group 7,group c$ , any\nunix_admin = none\n",
    "[node]\nmap_size = 18446744073709551615G\nlog_level = loud\nid = n9\n",
};

int fuzz_seed(unsigned i, struct buf *buf)
{
    if (i >= sizeof(seeds) / sizeof(seeds[0]))
        return 1;
    rid_assert(buf_add_str(buf, seeds[i]) == 0);
    return 0;
}
