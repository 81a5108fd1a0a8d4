/* A line of [peers]: a name that no other has, and two or three addresses that nobody else listens
 * on. */
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/log.h"
#include "conf/reading_int.h"

#include "base/banned.h"

#define WORDS_MAX 3u

struct words {
    unsigned n; /* on the line; of more than WORDS_MAX the rest is only counted */
    char word[WORDS_MAX][ADDRESS_BYTES_MAX + 1];
};

static void split_words(const char *value, struct words *ret)
{
    ret->n = 0;
    for (const char *s = value; *s != '\0';) {
        size_t len = strcspn(s, " \t");

        if (ret->n < WORDS_MAX)
            (void)snprintf(ret->word[ret->n], sizeof(ret->word[0]), "%.*s", (int)len, s);
        ret->n++;
        s += len;
        s += strspn(s, " \t");
    }
}

/* Whether the name may be one more peer's. */
static bool check_name(struct reading *rd, const char *name)
{
    const struct conf *c = rd->c;
    char esc[LOG_ESC_BUF];

    if (!conf_name_ok(name)) {
        conf_problem_add(rd, rd->line, "peer name %s: 1 to %u of A-Z a-z 0-9 _ - are allowed",
                         log_esc(esc, sizeof(esc), name, strlen(name)), NODE_NAME_BYTES_MAX);
        return false;
    }
    for (unsigned i = 0; i < c->n_peers; i++) {
        const struct conf_peer *q = &c->peers[i];

        if (strcmp(q->name, name) == 0) {
            conf_problem_add(rd, rd->line, "peer '%s' stands twice, first on line %u", name,
                             q->line);
            return false;
        }
        if (q->id == raft_founder_id(name)) {
            conf_problem_add(
                rd, rd->line,
                "peers '%s' and '%s' (line %u) get the same number from their names: rename one",
                name, q->name, q->line);
            return false;
        }
    }
    if (c->n_peers < RAFT_SERVERS_MAX)
        return true;
    if (!rd->peers_cut)
        conf_problem_add(rd, rd->line, "more than %u peers", RAFT_SERVERS_MAX);
    rd->peers_cut = true;
    return false;
}

static struct conf_peer *add_peer(struct reading *rd, const char *name)
{
    struct conf_peer *p = &rd->c->peers[rd->c->n_peers++];

    memset(p, 0, sizeof(*p));
    (void)snprintf(p->name, sizeof(p->name), "%s", name);
    p->id = raft_founder_id(name);
    p->line = rd->line;
    return p;
}

/* Without its port. */
static size_t host_bytes(const char *addr)
{
    const char *colon = strrchr(addr, ':');

    return colon != NULL ? (size_t)(colon - addr) : strlen(addr);
}

/* Each host has a loopback of its own: the same address there is one only where both nodes are on
 * one host, which their peer addresses tell. */
static bool are_on_one_host(const struct conf_peer *p, const struct conf_peer *q)
{
    const size_t n = host_bytes(p->peer_addr);

    return n == host_bytes(q->peer_addr) && memcmp(p->peer_addr, q->peer_addr, n) == 0;
}

/* One listener per address, whatever it is for. addr is the at-th of the peer p. */
static void check_address_is_new(struct reading *rd, const struct conf_peer *p, unsigned at,
                                 const char *addr)
{
    for (unsigned k = 0; k < rd->c->n_peers; k++) {
        const struct conf_peer *q = &rd->c->peers[k];
        const bool self = q == p;

        /* Of its own line only what stands before it is compared. */
        if ((strcmp(q->peer_addr, addr) != 0 || (self && at == 0)) &&
            (strcmp(q->client_addr, addr) != 0 || (self && at <= 1)) &&
            (strcmp(q->http_addr, addr) != 0 || self))
            continue;
        if (at == 2 && !self && !are_on_one_host(p, q) && conf_address_is_loopback(addr))
            continue;
        if (self)
            conf_problem_add(rd, rd->line, "address '%s' stands twice on this line", addr);
        else
            conf_problem_add(rd, rd->line, "address '%s' stands twice, first on line %u", addr,
                             q->line);
        return;
    }
}

/* Peers are all spoken with alike, as [security] says. */
static const char *take_peer_address(const char *word, char *ret)
{
    return strstr(word, "://") != NULL ? "has a word before '://': a peer address has none"
                                       : address_normal(word, ret);
}

static void take_addresses(struct reading *rd, struct conf_peer *p, const struct words *words)
{
    char *const to[WORDS_MAX] = {p->peer_addr, p->client_addr, p->http_addr};
    char esc[LOG_ESC_BUF];

    for (unsigned i = 0; i < words->n; i++) {
        const char *word = words->word[i];
        const char *wrong;

        if (i == 0)
            wrong = take_peer_address(word, to[i]);
        else if (i == 1)
            wrong = conf_parse_address(word, &conf_client_schemes, to[i], &p->client_scheme);
        else
            wrong = conf_parse_address(word, &conf_http_schemes, to[i], &p->http_scheme);

        if (wrong != NULL)
            conf_problem_add(rd, rd->line, "%s %s", log_esc(esc, sizeof(esc), word, strlen(word)),
                             wrong);
        else
            check_address_is_new(rd, p, i, to[i]);
    }
}

void conf_take_peer(struct reading *rd, const char *name, const char *value)
{
    struct words words;
    struct conf_peer *p;

    if (!check_name(rd, name))
        return;
    /* Known from here on, so that a mistyped address does not make the name unknown too. */
    p = add_peer(rd, name);
    if (conf_has_hash_comment(value)) {
        conf_problem_add(rd, rd->line, CONF_HASH_COMMENT);
        return;
    }
    split_words(value, &words);
    if (words.n < 2 || words.n > WORDS_MAX)
        conf_problem_add(
            rd, rd->line,
            "peer '%s' has %u address%s; give peer and client address, and perhaps one for HTTP",
            name, words.n, words.n == 1 ? "" : "es");
    else
        take_addresses(rd, p, &words);
}
