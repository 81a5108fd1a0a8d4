#include "unit/kv-copies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "kv/kv_int.h"

int bytes_write(void *ctx, const void *data, size_t n)
{
    struct bytes *b = ctx;

    while (b->len + n > b->room) {
        b->room = b->room > 0 ? b->room * 2 : 1u << 20;
        b->data = realloc(b->data, b->room);
        assert_non_null(b->data);
    }
    memcpy(b->data + b->len, data, n);
    b->len += n;
    b->n_pieces++;
    if (n > b->piece_max)
        b->piece_max = n;
    return 0;
}

static int bytes_read(void *ctx, void *buf, size_t n, uint64_t offset)
{
    struct bytes *b = ctx;

    if (b->error != 0)
        return b->error;
    assert_true(offset <= b->len);
    assert_true(n <= b->len - offset);
    memcpy(buf, b->data + offset, n);
    b->n_read += n;
    return 0;
}

struct kv_source source_of_bytes(struct bytes *b)
{
    return (struct kv_source){.read = bytes_read, .ctx = b, .bytes = b->len};
}

void take_copy(struct kv *kv, struct bytes *b)
{
    const struct kv_sink sink = {.write = bytes_write, .ctx = b};

    b->len = 0;
    if (kv_copy(kv, &sink) != 0)
        fail_msg("kv_copy: %s (%s)", err_text(), err_path());
    assert_true(b->piece_max <= KV_COPY_PIECE_BYTES);
}

int check_bytes(struct kv *kv, struct bytes *b, struct kv_copy_info *ret)
{
    const struct kv_source source = source_of_bytes(b);

    return kv_check_copy(kv, &source, ret);
}

int prepare_bytes(struct kv *kv, struct bytes *b, struct kv_copy_info *ret)
{
    const struct kv_source source = source_of_bytes(b);

    return kv_prepare(kv, &source, ret);
}

bool digests_equal(struct kv_digest a, struct kv_digest b)
{
    return a.high == b.high && a.low == b.low;
}

struct kv_stats stats_of(struct fixture *f)
{
    struct kv_stats stats;

    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    return stats;
}

/* What a copy says is what the state says. */
void check_info(struct fixture *f, const struct kv_copy_info *info)
{
    const struct kv_stats stats = stats_of(f);

    assert_true(info->last_applied.index == kv_last_applied(f->kv).index);
    assert_true(info->last_applied.term == kv_last_applied(f->kv).term);
    assert_true(info->n_keys == stats.n_keys);
    assert_true(info->live_bytes == stats.live_bytes);
    assert_true(info->limit_bytes == stats.limit_bytes);
    assert_true(digests_equal(info->digest, stats.digest));
}

struct fixture *make_another(void)
{
    void *state = NULL;

    assert_int_equal(setup(&state), 0);
    skip_fsync = true;
    return state;
}

void drop_another(struct fixture *g)
{
    void *state = g;

    assert_int_equal(teardown(&state), 0);
}

/* The pages of a running file, read through. */
void check_scrub(struct fixture *f)
{
    struct kv_scrub_progress progress = {0};

    kv_scrub_restart(f->kv);
    do
        assert_int_equal(kv_scrub_step(f->kv, 1u << 20, &progress), 0);
    while (progress.percent != 0);
}

/* f's copy takes the place of g's state. */
void copy_over(struct fixture *f, struct fixture *g)
{
    struct bytes b = {0};
    struct kv_copy_info info;

    take_copy(f->kv, &b);
    assert_int_equal(check_bytes(g->kv, &b, &info), 0);
    check_info(f, &info);
    assert_int_equal(prepare_bytes(g->kv, &b, &info), 0);
    check_info(f, &info);
    assert_int_equal(kv_switch(g->kv), 0);
    check_info(g, &info);
    assert_false(there(g, "data.mdb.new"));
    assert_false(there(g, "CLEAN"));
    assert_true(there(g, "TRUST"));
    free(b.data);
}

void many_keys(struct fixture *f, unsigned n)
{
    raft_index index = kv_last_applied(f->kv).index;
    struct command_result result;
    char name[32];

    assert_int_equal(kv_begin(f->kv), 0);
    for (unsigned i = 0; i < n; i++) {
        struct wire_key key;
        struct command c;

        (void)snprintf(name, sizeof(name), "key %u", i);
        key = string_key(name);
        c = command_write(key_slice(&key), "\"some text\"");
        assert_int_equal(apply_command(f, &index, &c, &result), 0);
    }
    assert_int_equal(kv_commit(f->kv), 0);
}

static char *long_value(size_t len)
{
    char *text = malloc(len + 3);

    assert_non_null(text);
    memset(text, 'v', len + 2);
    text[0] = text[len + 1] = '"';
    text[len + 2] = '\0';
    return text;
}

void write_long(struct fixture *f, const char *name, size_t len)
{
    char *text = long_value(len);

    write_one(f, name, text);
    free(text);
}

void flip_in(struct bytes *b, size_t bit)
{
    b->data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
}
