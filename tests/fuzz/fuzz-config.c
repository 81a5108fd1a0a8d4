/* Configuration entries. Any bytes are refused or are one configuration, sound, which encodes to bytes
 * that decode to the same, and, but for those of version 1 and such as had a shorter form, to the very
 * same. What was damaged on its way is refused with its frame. And by a script: a leader takes the
 * changes that the rules allow and no others, calculated here a second time (MEMBER-1 to MEMBER-9,
 * as far as one core can tell); a follower that is told them, or anything else, has in force what
 * stands last in its log, through truncations and restarts (MEMBER-4).
 *
 * The first byte of an input chooses; a script has steps of OP_BYTES. */
#include <stdlib.h>

#include "base/assert.h"
#include "fuzz/fuzz.h"
#include "raft/raft.h"
#include "wire/frame.h"

#include "base/banned.h"

const char fuzz_name[] = "config";
const unsigned fuzz_runs = 12000;

enum { MODE_BYTES, MODE_DAMAGE, MODE_SCRIPT, N_MODES };
enum { CHANGE, ACK, TELL, RAW, CUT, RESTART, N_OPS };
#define OP_BYTES    8u
#define NAMES       7u
#define ENTRIES_MAX 60u
#define SELF        1u
#define FOLLOWER    90u
#define TELLER      91u /* leads whenever the follower is told something */

/* ---- bytes ---- */

static bool is_text(const char *s, size_t size)
{
    const char *end = memchr(s, '\0', size);

    for (const char *p = s; end != NULL && p < end; p++)
        if (*p < 0x21 || *p > 0x7e)
            return false;
    return end != NULL;
}

static void assert_sound(const struct raft_configuration *c)
{
    rid_assert(c->n >= 1);
    rid_assert(c->n <= RAFT_SERVERS_MAX);
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];

        rid_assert(s->id != 0);
        rid_assert(s->role == RAFT_VOTER || s->role == RAFT_LEARNER);
        rid_assert(s->name[0] != '\0');
        rid_assert(is_text(s->name, sizeof(s->name)));
        rid_assert(is_text(s->peer_addr, sizeof(s->peer_addr)));
        rid_assert(is_text(s->client_addr, sizeof(s->client_addr)));
        rid_assert(i == 0 || strcmp(c->servers[i - 1].name, s->name) < 0);
        for (unsigned k = 0; k < i; k++)
            rid_assert(c->servers[k].id != s->id);
    }
    rid_assert(c->n_removed <= RAFT_REMOVED_MAX);
    for (unsigned i = 0; i < c->n_removed; i++) {
        rid_assert(c->removed[i].id != 0);
        rid_assert(c->removed[i].index >= 1);
        rid_assert(c->removed[i].index <= RAFT_INDEX_MAX);
        rid_assert(c->removed[i].name[0] != '\0');
        rid_assert(is_text(c->removed[i].name, sizeof(c->removed[i].name)));
    }
}

static void check_bytes(const uint8_t *data, size_t size)
{
    static struct raft_configuration c;
    static struct raft_configuration back;
    cleanup_buf struct buf again = BUF_INIT;
    int rc = raft_configuration_decode(data, size, &c);

    rid_assert(rc == 0 || rc == RAFT_CONFIGURATION_E_INVALID || rc == RAFT_CONFIGURATION_E_NEWER);
    if (rc != 0)
        return;
    assert_sound(&c);
    rid_assert(raft_configuration_encode(&c, &again) == 0);
    rid_assert(raft_configuration_decode(again.data, again.len, &back) == 0);
    rid_assert(raft_configuration_equal(&c, &back));
    if (again.data[0] == data[0]) {
        rid_assert(again.len == size);
        rid_assert(memcmp(again.data, data, size) == 0);
    } else {
        rid_assert(again.data[0] == 2); /* all that it says was known to version 2 */
    }
}

/* ---- damage ---- */

/* The entry travels in a frame. Up to four bytes that follow each other are changed: that is as much
 * as the checksum finds for certain. */
static void check_damage(const uint8_t *data, size_t size)
{
    struct raft_entry e = {.id = {2, 5}, .type = RAFT_ENTRY_CONFIG};
    const struct raft_msg m = {.type = RAFT_MSG_APPEND,
                               .from = 1,
                               .to = 2,
                               .term = 3,
                               .prev = {2, 4},
                               .n_entries = 1,
                               .entries = &e};
    cleanup_buf struct buf good = BUF_INIT;
    cleanup_buf struct buf bad = BUF_INIT;
    struct wire_frame frame;
    size_t at;
    int rc;

    if (size < 6)
        return;
    e.data = data + 6;
    e.len = (uint32_t)(size - 6);
    if (e.len == 0)
        e.data = NULL;
    rid_assert(wire_msg_encode(&m, &good) == 0);
    rid_assert(buf_add(&bad, good.data, good.len) == 0);
    at = FRAME_HEADER_BYTES +
         (data[0] + 256u * data[1]) % (good.len - FRAME_HEADER_BYTES); /* of the payload */
    for (unsigned i = 0; i < 4 && at + i < bad.len; i++)
        bad.data[at + i] ^= data[2 + i];
    rc = wire_frame_cut(bad.data, bad.len, &frame, NULL);
    rid_assert((rc == 0) == (memcmp(bad.data, good.data, good.len) == 0));
}

/* ---- the script: a leader, and a follower ---- */

struct entry {
    raft_term term;
    bool is_config;
    struct raft_configuration configuration;
    struct buf bytes;
};

struct side {
    struct raft *raft;
    struct entry log[ENTRIES_MAX]; /* [i] is index i + 1 */
    unsigned n;
};

static struct side leader;
static struct side follower;
static raft_term told_term;
static bool answered[256]; /* by id: since it came */

static int read_nothing(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                        struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                        unsigned *ret_n)
{
    (void)ctx;
    (void)from;
    (void)to;
    (void)bytes_max;
    (void)arena;
    (void)ret_entries;
    (void)n_max;
    (void)ret_n;
    return RAFT_LOG_E_LATER;
}

static const struct entry *in_force(const struct side *s, raft_index *ret_index)
{
    for (unsigned i = s->n; i > 0; i--)
        if (s->log[i - 1].is_config) {
            *ret_index = i;
            return &s->log[i - 1];
        }
    rid_assert(false);
    return NULL;
}

static void cut_to(struct side *s, unsigned n)
{
    while (s->n > n)
        buf_done(&s->log[--s->n].bytes);
}

/* What is there already, by term, stays. */
static void put(struct side *s, raft_index index, const struct raft_entry *e)
{
    struct entry *to = &s->log[index - 1];

    rid_assert(index <= s->n + 1u);
    rid_assert(index <= ENTRIES_MAX);
    if (index <= s->n && to->term == e->id.term)
        return;
    cut_to(s, (unsigned)index - 1);
    to->term = e->id.term;
    to->is_config = e->type == RAFT_ENTRY_CONFIG;
    buf_init(&to->bytes);
    rid_assert(e->len == 0 || buf_add(&to->bytes, e->data, e->len) == 0);
    if (to->is_config) {
        rid_assert(raft_configuration_decode(e->data, e->len, &to->configuration) == 0);
        assert_sound(&to->configuration);
    }
    s->n++;
}

static void turn(struct side *s)
{
    struct raft_ready rd;

    raft_check(s->raft);
    do {
        raft_ready(s->raft, 1000000, &rd);
        rid_assert(rd.log_error == 0);
        rid_assert(rd.loss == RAFT_LOSS_NONE);
        if (s == &leader)
            for (unsigned i = 0; i < rd.n_entries; i++)
                put(s, rd.entries[i].id.index, &rd.entries[i]);
        if (rd.n_committed > 0)
            raft_applied(s->raft, rd.committed[rd.n_committed - 1].id.index);
        if (rd.batch != 0)
            raft_stored(s->raft, rd.batch, 1000000);
    } while (rd.batch != 0 || rd.n_committed > 0);
    raft_check(s->raft);
}

/* MEMBER-4. */
static void check_in_force(const struct side *s)
{
    raft_index index = 0;
    const struct entry *e = in_force(s, &index);

    rid_assert(raft_get_configuration_index(s->raft) == index);
    rid_assert(raft_configuration_equal(raft_get_configuration(s->raft), &e->configuration));
}

static void start(struct side *s, raft_node_id id, raft_term term)
{
    static struct raft_config_at configs[ENTRIES_MAX];
    struct raft_term_range terms[ENTRIES_MAX];
    struct raft_start st = {.hard_state = {.current_term = term},
                            .last_index = s->n,
                            .commit_index = 1,
                            .last_applied = 1,
                            .terms = terms,
                            .configs = configs};
    struct raft_conf conf;

    raft_conf_init(&conf);
    conf.id = id;
    conf.seed = 1;
    conf.election_timeout_us = 100000;
    conf.heartbeat_us = 20000;
    conf.log_reader.read = read_nothing;
    for (unsigned i = 0; i < s->n; i++) {
        if (i == 0 || s->log[i - 1].term != s->log[i].term)
            terms[st.n_terms++] = (struct raft_term_range){.term = s->log[i].term, .first = i + 1};
        if (s->log[i].is_config) {
            configs[st.n_configs].index = i + 1;
            configs[st.n_configs++].configuration = s->log[i].configuration;
        }
    }
    rid_assert(raft_new(&conf, &st, 0, &s->raft) == 0);
}

static const char *name_of(unsigned who)
{
    static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f", "g"};

    return names[who % NAMES];
}

static raft_node_id id_of(unsigned who)
{
    return 1 + who % NAMES + (who / NAMES % 2) * 10; /* an earlier and a later incarnation */
}

static struct raft_server *server(struct raft_configuration *c, raft_node_id id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

/* One thing, or none where it cannot be. */
static void alter(struct raft_configuration *c, unsigned what, unsigned who, unsigned how)
{
    const raft_node_id id = id_of(who);
    struct raft_server *s = server(c, id);

    switch (what % 8) {
    case 0:
    case 1:
        (void)raft_configuration_add(c, id, name_of(who), how % 2 == 0 ? RAFT_VOTER : RAFT_LEARNER,
                                     "1:1", "");
        break;
    case 2:
        if (s != NULL)
            s->role = how % 2 == 0 ? RAFT_VOTER : RAFT_LEARNER;
        break;
    case 3:
        (void)raft_configuration_remove(c, id, how % 4 == 0 ? 0 : how);
        break;
    case 4:
        if (s != NULL) {
            s->promote = how % 2 == 1;
            s->replaces = how / 2 % 8;
            s->patience_ms = how * 1000u;
            s->incarnation = how / 16;
        }
        break;
    case 5:
        if (s != NULL)
            s->peer_addr[0] = (char)how; /* perhaps none that can be */
        break;
    case 6:
        c->cluster_id[how % 16] ^= (unsigned char)who;
        break;
    default:
        c->version = how % 4;
        break;
    }
}

static bool votes(const struct raft_configuration *c, raft_node_id id)
{
    const struct raft_server *s = raft_configuration_get(c, id);

    return s != NULL && s->role == RAFT_VOTER;
}

/* The rules once more, over all ids that there are. */
static int judge(const struct raft_configuration *from, const struct raft_configuration *to,
                 bool based, bool committed, bool force)
{
    unsigned voters = 0, come = 0, go = 0, n_voters = 0, n_heard = 0;
    bool readable = true;

    for (raft_node_id id = 1; id < 30; id++) {
        const bool was = raft_configuration_get(from, id) != NULL;
        const bool is = raft_configuration_get(to, id) != NULL;

        voters += votes(from, id) != votes(to, id);
        come += is && !was;
        go += was && !is;
        n_voters += votes(to, id);
        n_heard += votes(to, id) && (id == SELF || (was && answered[id]));
        readable &= !is || raft_configuration_removed(to, id) == NULL;
    }
    for (unsigned i = 0; i < to->n; i++)
        readable &= is_text(to->servers[i].peer_addr, sizeof(to->servers[i].peer_addr));
    if (!based)
        return RAFT_E_BASED;
    if (!committed)
        return RAFT_E_CHANGING;
    if (voters > 1 || come > 1 || go > 1 || to->version < from->version ||
        (raft_configuration_has_cluster_id(from) &&
         memcmp(from->cluster_id, to->cluster_id, sizeof(to->cluster_id)) != 0))
        return RAFT_E_STEP;
    if (!votes(to, SELF))
        return RAFT_E_SELF;
    if (!force && 2 * n_heard <= n_voters)
        return RAFT_E_QUORUM;
    return readable ? 0 : RAFT_E_INVALID;
}

static void change(const uint8_t *op)
{
    static struct raft_configuration from;
    static struct raft_configuration to;
    const raft_index at = raft_get_configuration_index(leader.raft);
    const raft_index based = at + (op[7] / 64 == 2 ? 1u : 0u) - (op[7] / 64 == 3 ? 1u : 0u);
    struct raft_entry_id id;
    int expected;
    int rc;

    if (leader.n == ENTRIES_MAX)
        return;
    to = from = *raft_get_configuration(leader.raft);
    alter(&to, op[1], op[2], op[3]);
    if (op[7] % 4 == 1)
        alter(&to, op[4], op[5], op[6]);
    expected =
        judge(&from, &to, based == at, at <= raft_get_commit_index(leader.raft), op[7] % 16 >= 8);
    rc = raft_configure(leader.raft, &to, based, op[7] % 16 >= 8, &id);
    rid_assert(rc == expected);
    if (rc != 0) {
        rid_assert(raft_configuration_equal(raft_get_configuration(leader.raft), &from));
        return;
    }
    rid_assert(id.index == leader.n + 1u);
    rid_assert(raft_configuration_equal(raft_get_configuration(leader.raft), &to));
    for (raft_node_id k = 1; k < 30; k++)
        answered[k] &= raft_configuration_get(&to, k) != NULL;
    turn(&leader);
    rid_assert(leader.n == id.index);
    rid_assert(raft_configuration_equal(&leader.log[id.index - 1].configuration, &to));
}

/* Everybody, or one, has all that the leader has. */
static void acknowledge(const uint8_t *op)
{
    static struct raft_configuration c;

    c = *raft_get_configuration(leader.raft);
    for (unsigned i = 0; i < c.n; i++) {
        const struct raft_msg m = {.type = RAFT_MSG_APPEND_RESP,
                                   .from = c.servers[i].id,
                                   .to = SELF,
                                   .term = raft_get_term(leader.raft),
                                   .index = leader.n};

        if (m.from == SELF || (op[1] % 2 == 1 && m.from != id_of(op[2])))
            continue;
        rid_assert(raft_step(leader.raft, &m, 1000000) == 0);
        answered[m.from] = true;
        turn(&leader);
    }
}

/* As the leader of a term that begins with it. */
static int tell(raft_index prev, const struct raft_entry *entries, unsigned n)
{
    const struct raft_msg m = {.type = RAFT_MSG_APPEND,
                               .from = TELLER,
                               .to = FOLLOWER,
                               .term = ++told_term,
                               .prev = {follower.log[prev - 1].term, prev},
                               .leader_commit = 1,
                               .n_entries = n,
                               .entries = n > 0 ? entries : NULL};
    int rc = raft_step(follower.raft, &m, 1000000);

    for (unsigned i = 0; rc == 0 && i < n; i++)
        put(&follower, prev + 1 + i, &entries[i]);
    turn(&follower);
    return rc;
}

/* All that the leader has. */
static void tell_all(void)
{
    struct raft_entry entries[ENTRIES_MAX];

    for (unsigned i = 1; i < leader.n; i++) {
        const struct entry *e = &leader.log[i];

        entries[i - 1] =
            (struct raft_entry){.id = {e->term, i + 1},
                                .type = e->is_config ? RAFT_ENTRY_CONFIG : RAFT_ENTRY_NOOP,
                                .len = (uint32_t)e->bytes.len,
                                .data = e->bytes.len > 0 ? e->bytes.data : NULL};
    }
    rid_assert(tell(1, entries, leader.n - 1) == 0);
    if (follower.n == leader.n)
        rid_assert(raft_configuration_equal(raft_get_configuration(follower.raft),
                                            raft_get_configuration(leader.raft)));
}

/* An entry that says to be a configuration. Refused, it changes nothing. */
static void tell_raw(const uint8_t *data, size_t size)
{
    static struct raft_configuration c;
    const bool good = raft_configuration_decode(data, size, &c) == 0;
    const struct raft_entry e = {.id = {told_term + 1, follower.n + 1},
                                 .type = RAFT_ENTRY_CONFIG,
                                 .len = (uint32_t)size,
                                 .data = size > 0 ? data : NULL};
    int rc;

    if (follower.n == ENTRIES_MAX)
        return;
    rc = tell(follower.n, &e, 1);
    rid_assert((rc == 0) == good);
    rid_assert(rc == 0 || rc == RAFT_E_INVALID);
}

static void found(void)
{
    static struct raft_configuration c;
    struct raft_entry e = {.id = {1, 1}, .type = RAFT_ENTRY_CONFIG};
    cleanup_buf struct buf b = BUF_INIT;

    memset(answered, 0, sizeof(answered));
    raft_configuration_init(&c);
    rid_assert(raft_configuration_add(&c, SELF, name_of(0), RAFT_VOTER, "1:1", "") == 0);
    rid_assert(raft_configuration_encode(&c, &b) == 0);
    e.data = b.data;
    e.len = (uint32_t)b.len;
    put(&leader, 1, &e);
    put(&follower, 1, &e);
    start(&leader, SELF, 1);
    start(&follower, FOLLOWER, 1);
    told_term = 2; /* that of the leader: terms of what only the follower is told are later ones */
    raft_tick(leader.raft, 1000000);
    turn(&leader);
    rid_assert(raft_can_serve(leader.raft));
}

static void check_script(const uint8_t *data, size_t size)
{
    found();
    while (size > 0) {
        uint8_t op[OP_BYTES] = {0};
        size_t n = size < OP_BYTES ? size : OP_BYTES;

        memcpy(op, data, n);
        data += n;
        size -= n;
        switch (op[0] % N_OPS) {
        case CHANGE:
            change(op);
            break;
        case ACK:
            acknowledge(op);
            break;
        case TELL:
            tell_all();
            break;
        case RAW:
            n = op[1] < size ? op[1] : size;
            tell_raw(data, n);
            data += n;
            size -= n;
            break;
        case CUT: {
            raft_index prev = 1 + op[1] % follower.n;
            const struct raft_entry e = {.id = {told_term + 1, prev + 1}, .type = RAFT_ENTRY_NOOP};

            if (prev < ENTRIES_MAX)
                rid_assert(tell(prev, &e, 1) == 0);
            break;
        }
        default:
            raft_free(follower.raft);
            start(&follower, FOLLOWER, told_term);
            break;
        }
        check_in_force(&leader);
        check_in_force(&follower);
    }
    raft_free(leader.raft);
    raft_free(follower.raft);
    cut_to(&leader, 0);
    cut_to(&follower, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    switch (data[0] % N_MODES) {
    case MODE_BYTES:
        check_bytes(data + 1, size - 1);
        break;
    case MODE_DAMAGE:
        check_damage(data + 1, size - 1);
        break;
    default:
        check_script(data + 1, size - 1);
        break;
    }
    return 0;
}

/* ---- seeds ---- */

static void add(struct buf *buf, const void *data, size_t n)
{
    if (buf_add(buf, data, n) != 0)
        abort();
}

/* Of version 2, of 3 with all that it can say, and the largest. */
static void seed_bytes(unsigned kind, struct buf *buf)
{
    static struct raft_configuration c;
    static const char v1[] = {1,   0,   2,   0, 1, 2, 3, 0, 3, 0,   'n', '1', 'a', ':', '1',
                              'b', ':', '1', 2, 2, 3, 0, 0, 0, 'n', '2', 'a', ':', '2'};

    if (kind == 3) {
        add(buf, v1, sizeof(v1));
        return;
    }
    raft_configuration_init(&c);
    for (unsigned i = 0; i < (kind == 2 ? NAMES : 3u); i++)
        rid_assert(raft_configuration_add(&c, id_of(i), name_of(i),
                                          i == 2 ? RAFT_LEARNER : RAFT_VOTER, "10.0.0.1:7401",
                                          "10.0.0.1:7400") == 0);
    if (kind > 0) {
        c.servers[2].promote = true;
        c.servers[2].replaces = 2;
        c.servers[2].patience_ms = 60000;
        c.servers[1].incarnation = 77;
        memcpy(c.cluster_id, "sixteen bytes..", 16);
        c.version = 1;
        (void)raft_configuration_remove(&c, id_of(0), 5);
        rid_assert(raft_configuration_add(&c, 99, "who-was-here-before", RAFT_VOTER, "", "") == 0);
        (void)raft_configuration_remove(&c, 99, 7);
    }
    rid_assert(raft_configuration_encode(&c, buf) == 0);
}

static void seed_script(unsigned kind, struct buf *buf)
{
    /* n voters come and are acknowledged, one goes, the follower is told, and loses some of it. */
    static const uint8_t ops[][OP_BYTES] = {
        {CHANGE, 0, 1, 1, 0, 0, 0, 8},
        {ACK},
        {CHANGE, 2, 1, 0, 0, 0, 0, 0},
        {ACK},
        {TELL},
        {CHANGE, 0, 2, 0, 0, 0, 0, 8},
        {TELL},
        {CUT, 3},
        {RESTART},
        {ACK},
        {TELL},
        {CHANGE, 3, 1, 9, 0, 8, 1, 1},
        {CHANGE, 3, 1, 9},
        {ACK},
        {CHANGE, 6, 5, 3},
        {ACK},
        {TELL},
        {CHANGE, 7, 0, 2},
        {ACK, 1, 2},
        {CUT, 200},
        {CHANGE, 0, 8, 1, 3, 2, 7, 1},
        {CHANGE, 0, 3, 1, 0, 0, 0, 200},
        {TELL},
    };
    const size_t n = sizeof(ops) / sizeof(ops[0]);
    const size_t from = kind * 5 % n;

    add(buf, ops[from], sizeof(ops) - from * OP_BYTES);
    if (kind % 2 == 1) {
        cleanup_buf struct buf raw = BUF_INIT;
        uint8_t op[OP_BYTES] = {RAW};

        seed_bytes(kind % 4, &raw);
        op[1] = (uint8_t)raw.len;
        add(buf, op, sizeof(op));
        add(buf, raw.data, op[1]);
    }
}

int fuzz_seed(unsigned i, struct buf *buf)
{
    static const uint8_t damage[6] = {9, 0, 1, 0, 0, 128};
    const unsigned mode = i % N_MODES;

    if (i >= 4 * N_MODES)
        return 1;
    if (buf_add_u8(buf, (uint8_t)mode) != 0)
        abort();
    if (mode == MODE_SCRIPT) {
        seed_script(i / N_MODES, buf);
        return 0;
    }
    if (mode == MODE_DAMAGE)
        add(buf, damage, sizeof(damage));
    seed_bytes(i / N_MODES, buf);
    return 0;
}
