/* Numbers, times and names of an image. */
#include "raft/image_int.h"

/* Seven bits a byte, the lowest first. */
uint64_t raft_image_code(struct codec *c, uint64_t v)
{
    unsigned char bytes[10];
    unsigned n = 0;
    unsigned shift = 0;
    uint64_t rest = v;

    if (c->reading) {
        v = 0;
        do {
            rid_assert(c->at < c->end);
            v |= (uint64_t)(*c->at & 0x7f) << shift;
            shift += 7;
        } while ((*c->at++ & 0x80) != 0);
        return v;
    }
    do {
        bytes[n++] = (unsigned char)(rest | 0x80);
        rest >>= 7;
    } while (rest != 0);
    bytes[n - 1] &= 0x7f;
    if (c->rc == 0)
        c->rc = buf_add(c->out, bytes, n);
    return v;
}

/* ---- times ---- */

void raft_image_age(struct codec *c, uint64_t *time_us, uint64_t clock_us, uint64_t most_us)
{
    uint64_t age_us = 0;

    if (!c->reading) {
        rid_assert(*time_us <= clock_us);
        age_us = clock_us - *time_us;
        if (age_us > most_us)
            age_us = most_us;
    }
    age_us = raft_image_code(c, age_us);
    if (c->reading) {
        rid_assert(age_us <= clock_us);
        *time_us = clock_us - age_us;
    }
}

void raft_image_left(struct codec *c, uint64_t *time_us, uint64_t clock_us)
{
    uint64_t left_us = 0;

    if (!c->reading && *time_us > clock_us)
        left_us = *time_us != UINT64_MAX ? *time_us - clock_us : UINT64_MAX;
    left_us = raft_image_code(c, left_us);
    if (c->reading)
        *time_us = left_us != UINT64_MAX ? clock_us + left_us : UINT64_MAX;
}

void raft_image_until(struct codec *c, uint64_t *time_us, uint64_t clock_us)
{
    if (raft_image_code(c, *time_us != 0) != 0)
        raft_image_left(c, time_us, clock_us);
}

void raft_image_heard(struct codec *c, uint64_t *time_us, uint64_t most_us)
{
    const uint64_t now_us = c->how->now_us;

    if (!raft_image_is_timeless(c))
        raft_image_age(c, time_us, now_us, most_us);
    else if (c->reading)
        *time_us = now_us - (raft_image_code(c, 0) != 0 ? most_us : 0);
    else
        (void)raft_image_code(c, now_us - *time_us >= most_us);
}

void raft_image_due(struct codec *c, uint64_t *time_us)
{
    if (!raft_image_is_timeless(c))
        raft_image_left(c, time_us, c->how->now_us);
    else if (c->reading)
        *time_us = c->how->now_us;
}

void raft_image_batch(struct codec *c, const struct raft *r, uint64_t *number)
{
    uint64_t ahead = 0;

    if (!c->reading && *number > r->last_stored_batch)
        ahead = *number - r->last_stored_batch;
    ahead = raft_image_code(c, ahead);
    if (c->reading)
        *number = ahead > 0 ? r->last_stored_batch + ahead : 0;
}

/* ---- names ---- */

static const struct raft_server *renamed(const struct raft_renaming *n, raft_node_id id)
{
    for (unsigned i = 0; i < n->n; i++)
        if (n->servers[i].id == id)
            return &n->servers[n->to[i]];
    rid_assert(false);
    return NULL;
}

raft_node_id raft_image_new_id(const struct codec *c, raft_node_id id)
{
    return id != 0 && c->how->renaming != NULL ? renamed(c->how->renaming, id)->id : id;
}

void raft_image_name(struct codec *c, raft_node_id *id)
{
    const uint64_t coded = raft_image_code(c, c->reading ? 0 : raft_image_new_id(c, *id));

    if (c->reading)
        *id = coded;
}

void raft_image_rename(const struct raft_renaming *names, const struct raft_configuration *from,
                       struct raft_configuration *to)
{
    *to = *from;
    to->n = 0;
    memset(to->servers, 0, sizeof(to->servers));
    for (unsigned i = 0; i < from->n; i++) {
        const struct raft_server *old = &from->servers[i];
        const struct raft_server *as = renamed(names, old->id);
        struct raft_server *s;
        unsigned at = 0;

        rid_assert(raft_configuration_add(to, as->id, as->name, old->role, as->peer_addr,
                                          as->client_addr) == 0);
        while (to->servers[at].id != as->id)
            at++;
        s = &to->servers[at];
        s->incarnation = old->incarnation;
        s->promote = old->promote;
        s->replaces = old->replaces != 0 ? renamed(names, old->replaces)->id : 0;
        s->patience_ms = old->patience_ms;
    }
    for (unsigned i = 0; i < from->n_removed; i++) {
        const struct raft_server *as = renamed(names, from->removed[i].id);

        to->removed[i].id = as->id;
        memcpy(to->removed[i].name, as->name, sizeof(to->removed[i].name));
    }
}

/* ---- bytes ---- */

void raft_image_write_bytes(struct codec *c, const void *data, size_t len)
{
    (void)raft_image_code(c, len);
    if (c->rc == 0)
        c->rc = buf_add(c->out, data, len);
}

const void *raft_image_read_bytes(struct codec *c, size_t *ret_len)
{
    const unsigned char *p;

    *ret_len = (size_t)raft_image_code(c, 0);
    rid_assert(*ret_len <= (size_t)(c->end - c->at));
    p = c->at;
    c->at += *ret_len;
    return p;
}

/* Apart, for its large local: who is not renamed does not pay for it. */
static __attribute__((noinline)) int encode_renamed(const struct raft_renaming *names,
                                                    const struct raft_configuration *from,
                                                    struct buf *bytes)
{
    struct raft_configuration to;

    raft_image_rename(names, from, &to);
    return raft_configuration_encode(&to, bytes);
}

void raft_image_write_configuration(struct codec *c, const struct raft_configuration *from)
{
    struct buf bytes = BUF_INIT;
    int rc = c->how->renaming != NULL ? encode_renamed(c->how->renaming, from, &bytes)
                                      : raft_configuration_encode(from, &bytes);

    if (c->rc == 0)
        c->rc = rc;
    raft_image_write_bytes(c, bytes.data, bytes.len);
    buf_done(&bytes);
}
